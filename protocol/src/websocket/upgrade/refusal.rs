//! Why a request is not granted, and what its sender is told.

/// Why there is no WebSocket for a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// What it says is incomplete, or not HTTP/1.1.
    #[error("bad request: {0}")]
    BadRequest(&'static str),
    /// The page's origin is not on the list.
    #[error("the origin is not allowed")]
    Forbidden,
    /// Another path.
    #[error("nothing is served at this path")]
    NotFound,
    /// Something else than GET.
    #[error("only GET is served")]
    MethodNotAllowed,
    /// No WebSocket, or another version of it.
    #[error("WebSocket version 13 is served here, and nothing else")]
    UpgradeRequired,
    /// A head that did not end in the time to log in.
    #[error("the request was not complete in time")]
    Timeout,
    /// A head that does not end.
    #[error("the head has more than 4 KiB or 64 fields")]
    HeadTooLarge,
    /// Not now.
    #[error("the server takes no connection now")]
    Unavailable,
}

impl Refusal {
    /// Its status, with the phrase that belongs to it.
    pub fn status(self) -> &'static str {
        match self {
            Self::BadRequest(_) => "400 Bad Request",
            Self::Forbidden => "403 Forbidden",
            Self::NotFound => "404 Not Found",
            Self::MethodNotAllowed => "405 Method Not Allowed",
            Self::Timeout => "408 Request Timeout",
            Self::UpgradeRequired => "426 Upgrade Required",
            Self::HeadTooLarge => "431 Request Header Fields Too Large",
            Self::Unavailable => "503 Service Unavailable",
        }
    }

    /// The whole answer; nothing follows it.
    pub fn answer(self) -> Vec<u8> {
        let field = match self {
            Self::MethodNotAllowed => "Allow: GET\r\n",
            Self::UpgradeRequired => "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n",
            Self::Unavailable => "Retry-After: 5\r\n",
            Self::BadRequest(_) | Self::Forbidden | Self::NotFound | Self::Timeout | Self::HeadTooLarge => "",
        };
        let body = format!("{self}\n");
        // 426 names the connection's options twice: closing, and what it could be upgraded to.
        let connection = if self == Self::UpgradeRequired { "close, Upgrade" } else { "close" };
        format!(
            "HTTP/1.1 {}\r\nConnection: {connection}\r\n{field}Content-Type: text/plain\r\nContent-Length: {}\r\n\r\n{body}",
            self.status(),
            body.len(),
        )
        .into_bytes()
    }
}
