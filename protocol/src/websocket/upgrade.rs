//! From HTTP/1.1 to WebSocket (RFC 6455, section 4): the request, the answer, and what each side checks.
//!
//! Invariants
//! - A head is parsed once, when its empty line has come; without one it ends at [`HEAD_BYTES_MAX`].
//! - What is said twice, and what could be read in two ways, is refused.

use super::origin::Origins;
use super::{PATH, SUBPROTOCOL};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use httparse::{Header, Status};
use sha1::{Digest, Sha1};

mod answer;
mod refusal;

pub use answer::{AnswerError, Target, read_answer, request, request_to};
pub use refusal::Refusal;

/// Most bytes of a head, its empty line included.
pub const HEAD_BYTES_MAX: usize = 4 << 10;
/// Most header fields.
const HEADERS_MAX: usize = 64;
const VERSION: &[u8] = b"13";
/// RFC 6455, section 1.3.
const KEY_SUFFIX: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
const HEAD_END: &[u8] = b"\r\n\r\n";

/// What a server asks of a request.
#[derive(Clone, Copy, Debug)]
pub struct Rules<'a> {
    /// The only path, with any query; `None`: any.
    pub path: Option<&'a str>,
    /// The subprotocol that the client must offer, and gets; `None`: none is asked for, and none is agreed upon.
    pub subprotocol: Option<&'a str>,
    /// Web pages that may connect; `None`: all.
    pub origins: Option<&'a Origins>,
}

impl<'a> Rules<'a> {
    /// What Iris asks for.
    pub fn iris(origins: &'a Origins) -> Self {
        Self { path: Some(PATH), subprotocol: Some(SUBPROTOCOL), origins: Some(origins) }
    }
}

/// A request that is granted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Upgrade {
    /// Length of the request's head: what follows are frames.
    pub head_bytes: usize,
    /// What is sent back: the answer's head.
    pub answer: Vec<u8>,
}

/// Judges what a client has sent so far, from its first byte. `None`: the head is not complete.
///
/// # Errors
/// [`Refusal`]: send its answer, then close.
pub fn read_request(bytes: &[u8], rules: &Rules<'_>) -> Result<Option<Upgrade>, Refusal> {
    // Frames of another listener, or TLS inside TLS: no need to wait for an empty line.
    if bytes.first().is_some_and(|first| !first.is_ascii_uppercase()) {
        return Err(Refusal::BadRequest("not an HTTP request"));
    }
    let Some(head) = complete_head(bytes) else {
        return if bytes.len() < HEAD_BYTES_MAX { Ok(None) } else { Err(Refusal::HeadTooLarge) };
    };
    let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let mut request = httparse::Request::new(&mut headers);
    match request.parse(head) {
        Ok(Status::Complete(parsed)) if parsed == head.len() => {}
        Err(httparse::Error::TooManyHeaders) => return Err(Refusal::HeadTooLarge),
        Ok(_) | Err(_) => return Err(Refusal::BadRequest("malformed head")),
    }
    let answer = judge(&request, rules)?;
    Ok(Some(Upgrade { head_bytes: head.len(), answer }))
}

/// The head at the front of these bytes, if its empty line is there and in time.
fn complete_head(bytes: &[u8]) -> Option<&[u8]> {
    let (allowed, _) = bytes.split_at(bytes.len().min(HEAD_BYTES_MAX));
    let at = allowed.windows(HEAD_END.len()).position(|window| window == HEAD_END)?;
    allowed.get(..at.saturating_add(HEAD_END.len()))
}

fn judge(request: &httparse::Request<'_, '_>, rules: &Rules<'_>) -> Result<Vec<u8>, Refusal> {
    if request.method != Some("GET") {
        return Err(Refusal::MethodNotAllowed);
    }
    if request.version != Some(1) {
        return Err(Refusal::BadRequest("not HTTP/1.1"));
    }
    // What stands behind a `?` is for balancers and logs in between; here it changes nothing.
    let path = request.path.and_then(|target| target.split('?').next());
    if rules.path.is_some_and(|wanted| path != Some(wanted)) {
        return Err(Refusal::NotFound);
    }
    let headers = Headers(request.headers);
    if headers.one("host")?.is_none_or(<[u8]>::is_empty) {
        return Err(Refusal::BadRequest("no Host"));
    }
    if headers.one("transfer-encoding")?.is_some()
        || headers.one("content-length")?.is_some_and(|n| n != b"0")
    {
        return Err(Refusal::BadRequest("a body"));
    }
    let asks = headers.lists("upgrade", b"websocket") && headers.lists("connection", b"upgrade");
    if !asks || headers.one("sec-websocket-version")? != Some(VERSION) {
        return Err(Refusal::UpgradeRequired);
    }
    if let (Some(origin), Some(origins)) = (headers.one("origin")?, rules.origins)
        && !origins.allow(origin)
    {
        return Err(Refusal::Forbidden);
    }
    let key = headers.one("sec-websocket-key")?.filter(|key| is_key(key));
    let key = key.ok_or(Refusal::BadRequest("no Sec-WebSocket-Key of 16 bytes"))?;
    let offers = |name: &str| headers.offers("sec-websocket-protocol", name.as_bytes());
    if rules.subprotocol.is_some_and(|name| !offers(name)) {
        return Err(Refusal::BadRequest("the subprotocol iris.v1 is not offered"));
    }
    Ok(grant(key, rules.subprotocol))
}

fn grant(key: &[u8], subprotocol: Option<&str>) -> Vec<u8> {
    let accept = accept_of(key);
    let protocol = subprotocol.map(|name| format!("Sec-WebSocket-Protocol: {name}\r\n")).unwrap_or_default();
    format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Accept: {accept}\r\n{protocol}\r\n"
    )
    .into_bytes()
}

fn is_key(key: &[u8]) -> bool {
    BASE64.decode(key).is_ok_and(|key| key.len() == 16)
}

/// What proves that the server read the key, and is no server of something else.
fn accept_of(key: &[u8]) -> String {
    BASE64.encode(Sha1::new().chain_update(key).chain_update(KEY_SUFFIX).finalize())
}

/// The fields of a head, by name without regard to case.
struct Headers<'a>(&'a [Header<'a>]);

impl<'a> Headers<'a> {
    fn all(&self, name: &'a str) -> impl Iterator<Item = &'a [u8]> {
        let named = self.0.iter().filter(move |header| header.name.eq_ignore_ascii_case(name));
        named.map(|header| header.value.trim_ascii())
    }

    /// The only field of this name.
    fn one(&self, name: &'a str) -> Result<Option<&'a [u8]>, Refusal> {
        let mut values = self.all(name);
        let first = values.next();
        if values.next().is_some() {
            return Err(Refusal::BadRequest("a field is there twice"));
        }
        Ok(first)
    }

    fn items(&self, name: &'a str) -> impl Iterator<Item = &'a [u8]> {
        self.all(name).flat_map(|value| value.split(|b| *b == b',')).map(<[u8]>::trim_ascii)
    }

    /// True if a list has this word, in any case.
    fn lists(&self, name: &'a str, word: &[u8]) -> bool {
        self.items(name).any(|item| item.eq_ignore_ascii_case(word))
    }

    /// True if a list has exactly this word.
    fn offers(&self, name: &'a str, word: &[u8]) -> bool {
        self.items(name).any(|item| item == word)
    }
}

#[cfg(test)]
mod tests;
