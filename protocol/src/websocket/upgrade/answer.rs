//! A client's request, and the check of the answer.

use super::{BASE64, HEADERS_MAX, Headers, accept_of, complete_head};
use super::{HEAD_BYTES_MAX, PATH, SUBPROTOCOL};
use base64::Engine as _;
use httparse::Status;

/// Why an answer is not taken. Close the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AnswerError {
    /// The server refused.
    #[error("the server answers with status {status}")]
    Status {
        /// The status.
        status: u16,
    },
    /// Not the head of an answer, or one that does not end.
    #[error("the answer is not that of a server of HTTP/1.1")]
    Malformed,
    /// It does not prove that the server read the request, or agrees upon what was not offered.
    #[error("the answer does not belong to the request")]
    Mismatch,
}

/// Where a request goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Target<'a> {
    /// HOST or HOST:PORT, as in a URL.
    pub authority: &'a str,
    /// The path, with its query.
    pub path: &'a str,
}

/// A client's request to Iris's own path at `host`, which is `HOST:PORT` as in a URL. The key's 16 bytes are random, for each
/// connection.
pub fn request(host: &str, key: [u8; 16], origin: Option<&str>) -> Vec<u8> {
    request_to(Target { authority: host, path: PATH }, key, origin)
}

/// As [`request`], to any path. Who takes a target from elsewhere sees to it that it holds no space and no end of a line.
pub fn request_to(target: Target<'_>, key: [u8; 16], origin: Option<&str>) -> Vec<u8> {
    let Target { authority, path } = target;
    let key = BASE64.encode(key);
    let origin = origin.map(|origin| format!("Origin: {origin}\r\n")).unwrap_or_default();
    format!(
        "GET {path} HTTP/1.1\r\nHost: {authority}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: {SUBPROTOCOL}\r\n{origin}\r\n"
    )
    .into_bytes()
}

/// Judges what a server has sent so far, from its first byte: the length of its head, behind which frames follow.
/// `None`: the head is not complete.
///
/// # Errors
/// [`AnswerError`]: close the connection.
pub fn read_answer(bytes: &[u8], key: [u8; 16]) -> Result<Option<usize>, AnswerError> {
    let Some(head) = complete_head(bytes) else {
        return if bytes.len() < HEAD_BYTES_MAX { Ok(None) } else { Err(AnswerError::Malformed) };
    };
    let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let mut answer = httparse::Response::new(&mut headers);
    match answer.parse(head) {
        Ok(Status::Complete(parsed)) if parsed == head.len() => {}
        Ok(_) | Err(_) => return Err(AnswerError::Malformed),
    }
    let status = answer.code.ok_or(AnswerError::Malformed)?;
    if status != 101 {
        return Err(AnswerError::Status { status });
    }
    let headers = Headers(answer.headers);
    let one = |name| headers.one(name).map_err(|_| AnswerError::Mismatch);
    let accept = accept_of(BASE64.encode(key).as_bytes());
    let belongs = headers.lists("upgrade", b"websocket")
        && headers.lists("connection", b"upgrade")
        && one("sec-websocket-accept")? == Some(accept.as_bytes())
        && one("sec-websocket-protocol")? == Some(SUBPROTOCOL.as_bytes())
        && one("sec-websocket-extensions")?.is_none();
    if belongs { Ok(Some(head.len())) } else { Err(AnswerError::Mismatch) }
}
