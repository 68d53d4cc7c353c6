//! Statuses and reasons.
use super::{Close, CloseStatus};
use crate::code::CloseCode;
use crate::websocket::WebSocketError;
use std::collections::HashSet;

/// Proves: G-WS-1 (a close frame's payload is empty, or a status that may be sent and a reason in UTF-8)
/// Seen to fail when: 1005 is taken, one byte counts as an empty payload, or the reason is not looked at.
#[test]
fn a_close_frame_is_taken_exactly_if_its_status_may_be_sent() {
    assert_eq!(Close::decode(&[]), Ok(None));
    assert_eq!(Close::decode(&[3]), Err(WebSocketError::Close));
    for number in 0..=u16::MAX {
        let allowed = matches!(number, 1000 | 1001 | 1002 | 1003 | 1007..=1014 | 3000..=4999);
        let found = Close::decode(&number.to_be_bytes());
        assert_eq!(found.is_ok(), allowed, "status {number}: {found:?}");
    }
    let with_reason = [&1000_u16.to_be_bytes(), "grüße".as_bytes()].concat();
    let close = Close { status: CloseStatus::NORMAL, reason: "grüße".to_owned() };
    assert_eq!(Close::decode(&with_reason), Ok(Some(close)));
    let (cut, _) = with_reason.split_at(5);
    assert_eq!(Close::decode(cut), Err(WebSocketError::NotUtf8));
}

/// Proves: G-WS-1 (every Close frame of Iris has a status of its own, and one that may be sent)
/// Seen to fail when: OVERLOADED closes with 1013, or 4000 is not added.
#[test]
fn every_close_code_has_a_status_of_its_own() {
    let mut seen = HashSet::new();
    for code in CloseCode::ALL {
        let status = CloseStatus::of_code(*code);
        assert!(CloseStatus::of_number(status.number()).is_some(), "{code}: {status:?}");
        assert!(seen.insert(status.number()), "{code}: {status:?} is another's");
        let is_own = status.number() == 4000 + u16::try_from(code.number()).unwrap();
        assert!(is_own || (1001..=1011).contains(&status.number()), "{code}: {status:?}");
    }
}

/// Seen to fail when: a reason is cut at 123 bytes whatever stands there.
#[test]
fn a_long_reason_is_cut_between_two_characters() {
    for text in ["x".repeat(200), format!("x{}", "€".repeat(60)), "ü".repeat(80)] {
        let payload = Close::payload(CloseStatus::NORMAL, &text);
        let close = Close::decode(&payload).unwrap().unwrap();
        assert!(payload.len() <= 125 && payload.len() > 120, "{} bytes", payload.len());
        assert!(text.starts_with(&close.reason));
    }
}
