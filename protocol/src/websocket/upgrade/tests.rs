//! Requests and answers, each with one thing wrong.
#![allow(clippy::indexing_slicing, reason = "a test that overruns fails, which is what it is for")]

use super::{AnswerError, HEAD_BYTES_MAX, Refusal, Rules, read_answer, read_request, request};
use crate::websocket::Origins;

const ORIGIN: &str = "https://chat.example.org";
/// RFC 6455, section 1.3.
const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

fn good() -> String {
    format!(
        "GET /v1/connect HTTP/1.1\r\nHost: iris.example:7444\r\nUpgrade: websocket\r\nConnection: keep-alive, Upgrade\r\n\
         Sec-WebSocket-Key: {KEY}\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: other, iris.v1\r\n\
         Origin: {ORIGIN}\r\n\r\n"
    )
}

fn judge(text: &str) -> Result<Option<usize>, Refusal> {
    let origins = Origins::parse([ORIGIN]).unwrap();
    let granted = read_request(text.as_bytes(), &Rules::iris(&origins))?;
    Ok(granted.map(|upgrade| upgrade.head_bytes))
}

/// Proves: G-WS-2 (a request that is whole and right is granted, with the answer of RFC 6455)
/// Seen to fail when: the suffix of the key is another, or frames behind the head count as part of it.
#[test]
fn a_complete_request_is_granted_and_not_before() {
    let text = good();
    for end in 0..text.len() {
        assert_eq!(judge(&text[..end]), Ok(None), "cut at {end}");
    }
    assert_eq!(judge(&text), Ok(Some(text.len())));
    assert_eq!(judge(&format!("{text}frames\r\n\r\n")), Ok(Some(text.len())));
    let upgrade = read_request(text.as_bytes(), &Rules { path: None, subprotocol: None, origins: None });
    let answer = String::from_utf8(upgrade.unwrap().unwrap().answer).unwrap();
    assert!(answer.contains(&format!("Sec-WebSocket-Accept: {ACCEPT}\r\n")), "{answer}");
    assert!(!answer.contains("Sec-WebSocket-Protocol"), "nothing was asked for: {answer}");
}

/// What is replaced in the good request by what, and the status of the refusal; 101: it is granted all the same.
const CHANGES: &[(&str, &str, u16)] = &[
    ("GET", "POST", 405),
    ("GET", "get", 400),
    ("GET ", "\u{16}\u{3}\u{1}", 400),
    ("HTTP/1.1", "HTTP/1.0", 400),
    ("HTTP/1.1", "HTTP/2", 400),
    ("/v1/connect", "/", 404),
    ("/v1/connect", "/v1/connect/", 404),
    ("/v1/connect", "/v1/connect/?a=b", 404),
    ("/v1/connect", "/v1/connected?a=b", 404),
    ("/v1/connect", "/?/v1/connect", 404),
    ("/v1/connect", "/v1/connect?", 101),
    ("/v1/connect", "/v1/connect?a=/b&c=?", 101),
    ("Host: iris.example:7444\r\n", "", 400),
    ("Host: iris.example:7444", "Host:", 400),
    ("Host: iris.example:7444", "Host: a\r\nHost: b", 400),
    ("Upgrade: websocket\r\n", "", 426),
    ("Upgrade: websocket", "Upgrade: h2c", 426),
    ("Upgrade: websocket", "upgrade: WebSocket", 101),
    ("Connection: keep-alive, Upgrade\r\n", "", 426),
    ("keep-alive, Upgrade", "keep-alive", 426),
    ("keep-alive, Upgrade", "UPGRADE", 101),
    ("Version: 13", "Version: 8", 426),
    ("Version: 13", "Version: 13, 8", 426),
    ("Sec-WebSocket-Version: 13\r\n", "", 426),
    ("Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n", "", 400),
    ("dGhlIHNhbXBsZSBub25jZQ==", "dGhlIHNhbXBsZSBub25jZQ", 400),
    ("dGhlIHNhbXBsZSBub25jZQ==", "dGhlIHNhbXBsZSBub25j", 400),
    ("dGhlIHNhbXBsZSBub25jZQ==", "", 400),
    ("Sec-WebSocket-Version", "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version", 400),
    ("other, iris.v1", "other", 400),
    ("other, iris.v1", "IRIS.V1", 400),
    ("other, iris.v1", "iris.v10", 400),
    ("other, iris.v1", "other\r\nSec-WebSocket-Protocol: iris.v1", 101),
    ("Origin: https://chat.example.org\r\n", "", 101),
    ("https://chat.example.org", "https://evil.example", 403),
    ("https://chat.example.org", "null", 403),
    ("https://chat.example.org", "", 403),
    ("https://chat.example.org", "https://chat.example.org\r\nOrigin: https://evil.example", 400),
    ("Origin", "Sec-WebSocket-Extensions: permessage-deflate\r\nOrigin", 101),
    ("Origin", "Content-Length: 5\r\nOrigin", 400),
    ("Origin", "Content-Length: 0\r\nOrigin", 101),
    ("Origin", "Transfer-Encoding: chunked\r\nOrigin", 400),
    ("Origin", " folded\r\nOrigin", 400),
    ("Origin:", "Origin :", 400),
    ("Upgrade: websocket\r\n", "Upgrade: websocket\n", 101),
    ("Host: iris.example:7444\r\n", "Host: iris.example:7444\n\n", 400),
];

/// Proves: G-WS-2 (each thing that a request must have is asked for, and each refusal has its status)
/// Seen to fail when: a query belongs to the path; or the method, the path, the version, the subprotocol, the key's length, the host
/// or the origin is not looked at, or a field that is there twice is taken.
#[test]
fn a_request_with_one_thing_wrong_is_refused_with_its_status() {
    for (old, new, expected) in CHANGES {
        let text = good();
        assert!(text.contains(old), "nothing to replace: {old:?}");
        let outcome = judge(&text.replacen(old, new, 1));
        let status = match &outcome {
            Ok(Some(_)) => "101".to_owned(),
            Ok(None) => "none".to_owned(),
            Err(refusal) => refusal.status()[..3].to_owned(),
        };
        assert_eq!(status, expected.to_string(), "{old:?} as {new:?}: {outcome:?}");
    }
}

/// Proves: G-WS-4 (a head ends at 4 KiB, and at 64 fields)
/// Seen to fail when: an empty line behind the limit counts, or a head without an end is waited for.
#[test]
fn a_head_that_does_not_end_is_refused_at_its_limit() {
    let start = good().replace("\r\n\r\n", "\r\nX-Filler: ");
    let fill = |bytes: usize| format!("{start}{}\r\n\r\n", "x".repeat(bytes - start.len() - 4));
    assert_eq!(judge(&fill(HEAD_BYTES_MAX)), Ok(Some(HEAD_BYTES_MAX)));
    assert_eq!(judge(&fill(HEAD_BYTES_MAX + 1)), Err(Refusal::HeadTooLarge));
    assert_eq!(judge(&fill(HEAD_BYTES_MAX + 5)[..HEAD_BYTES_MAX - 1]), Ok(None));
    assert_eq!(judge(&fill(HEAD_BYTES_MAX + 5)[..HEAD_BYTES_MAX]), Err(Refusal::HeadTooLarge));
    let many = good().replace("\r\n\r\n", &format!("\r\n{}\r\n", "X: y\r\n".repeat(60)));
    assert_eq!(judge(&many), Err(Refusal::HeadTooLarge));
}

/// Seen to fail when: the length of the body leaves out the line's end.
#[test]
fn a_refusal_is_a_whole_answer() {
    let all = [
        Refusal::BadRequest("no Host"),
        Refusal::Forbidden,
        Refusal::NotFound,
        Refusal::MethodNotAllowed,
        Refusal::UpgradeRequired,
        Refusal::Timeout,
        Refusal::HeadTooLarge,
        Refusal::Unavailable,
    ];
    for refusal in all {
        let text = String::from_utf8(refusal.answer()).unwrap();
        let mut headers = [httparse::EMPTY_HEADER; 8];
        let mut answer = httparse::Response::new(&mut headers);
        let head_bytes = answer.parse(text.as_bytes()).unwrap().unwrap();
        let of =
            |name: &str| answer.headers.iter().find(|header| header.name == name).map(|header| header.value);
        let length = (text.len() - head_bytes).to_string();
        assert_eq!(of("Content-Length"), Some(length.as_bytes()), "{text}");
        assert_eq!(of("Retry-After").is_some(), refusal == Refusal::Unavailable, "{text}");
        assert_eq!(of("Sec-WebSocket-Version").is_some(), refusal == Refusal::UpgradeRequired, "{text}");
    }
}

/// Proves: G-WS-2 (a client takes the answer to its own request, and no other)
/// Seen to fail when: the accepted key is not compared, the subprotocol is not compared, or an extension is taken.
#[test]
fn a_client_takes_the_answer_to_its_own_request_alone() {
    let (key, other) = ([1; 16], [2; 16]);
    let asked = request("iris.example:7444", key, Some(ORIGIN));
    let origins = Origins::parse([ORIGIN]).unwrap();
    let granted = read_request(&asked, &Rules::iris(&origins)).unwrap().unwrap();
    let answer = String::from_utf8(granted.answer).unwrap();
    for end in 0..answer.len() {
        assert_eq!(read_answer(&answer.as_bytes()[..end], key), Ok(None), "cut at {end}");
    }
    assert_eq!(read_answer(format!("{answer}frames").as_bytes(), key), Ok(Some(answer.len())));
    assert_eq!(read_answer(answer.as_bytes(), other), Err(AnswerError::Mismatch));
    for (old, new) in [
        ("Sec-WebSocket-Protocol: iris.v1\r\n", ""),
        ("iris.v1", "iris.v2"),
        ("Upgrade: websocket\r\n", ""),
        ("Connection: Upgrade", "Connection: close"),
        ("Sec-WebSocket-Protocol", "Sec-WebSocket-Extensions: permessage-deflate\r\nSec-WebSocket-Protocol"),
    ] {
        let changed = answer.replacen(old, new, 1);
        assert_eq!(read_answer(changed.as_bytes(), key), Err(AnswerError::Mismatch), "{old:?} as {new:?}");
    }
    let refused = Refusal::Forbidden.answer();
    assert_eq!(read_answer(&refused, key), Err(AnswerError::Status { status: 403 }));
    assert_eq!(read_answer(b"hello\r\n\r\n", key), Err(AnswerError::Malformed));
    assert_eq!(read_answer(&[b'x'; HEAD_BYTES_MAX], key), Err(AnswerError::Malformed));
}
