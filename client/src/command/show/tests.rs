//! Claims about lines.

use super::*;

/// Seen to fail when: control characters are passed on.
#[test]
fn what_others_wrote_cannot_steer_a_terminal() {
    assert_eq!(readable("grüße 😀\tשלום".as_bytes()), "grüße 😀\tשלום");
    assert_eq!(readable(b"\x1b[2J\x07\0\r\n"), r"\u{1b}[2J\u{7}\u{0}\r\n");
    assert_eq!(readable("\u{202e}abc\u{9b}".as_bytes()), r"\u{202e}abc\u{9b}");
    assert_eq!(readable(&[0xff]), "\u{fffd}");
}

/// Seen to fail when: a payload that is no text is shown lossily.
#[test]
fn a_payload_is_in_the_json_byte_for_byte() {
    let text = with_payload(json!({}), "\u{0}ü".as_bytes());
    assert_eq!(text["text"], "\u{0}ü");
    let bytes = with_payload(json!({}), &[0xff, 0xfe]);
    assert_eq!((&bytes["text"], &bytes["payload_base64"]), (&Value::Null, &Value::from("//4=")));
}

/// Seen to fail when: minutes are not taken modulo 60.
#[test]
fn a_time_of_day_is_shown_in_utc() {
    assert_eq!(clock(Wall(0)), "00:00:00");
    assert_eq!(clock(Wall(1_763_838_109_999)), "19:01:49");
}
