//! Durations and sizes, read and printed.

use super::{Size, Span, UnitError};
use std::time::Duration;

/// Proves: each unit has its meaning.
/// Seen to fail when: the factor of "m" is 60.
#[test]
fn every_unit_is_read() {
    let spans = [
        ("0s", 0),
        ("100ms", 100),
        ("60s", 60_000),
        ("5 m", 300_000),
        ("24h", 86_400_000),
        ("7d", 604_800_000),
    ];
    for (text, ms) in spans {
        assert_eq!(text.parse(), Ok(Span(Duration::from_millis(ms))), "{text}");
    }
    for (text, bytes) in [("0B", 0), ("4KiB", 4096), ("48MiB", 48 << 20), ("2 GiB", 2 << 30)] {
        assert_eq!(text.parse(), Ok(Size(bytes)), "{text}");
    }
}

/// Proves: what is printed parses back to the same value.
/// Seen to fail when: print takes the first unit that is not larger than the value.
#[test]
fn what_is_printed_parses_back() {
    for ms in [0, 1, 999, 1000, 1500, 60_000, 61_000, 3_600_000, 86_400_000, u64::MAX] {
        let span = Span(Duration::from_millis(ms));
        assert_eq!(span.to_string().parse(), Ok(span));
    }
    for bytes in [0, 1, 1023, 1024, 1025, 48 << 20, 1 << 30, u64::MAX] {
        assert_eq!(Size(bytes).to_string().parse(), Ok(Size(bytes)));
    }
}

/// Proves: a text without number, without unit, with a foreign unit or beyond the range is refused.
/// Seen to fail when: an empty unit counts as milliseconds.
#[test]
fn other_texts_are_refused() {
    for text in ["", "s", "-1s", "1.5s", "60", "60sec", "1 s s", "1S"] {
        assert!(text.parse::<Span>().is_err(), "{text}");
    }
    for text in ["48MB", "48", "MiB", "1e3B"] {
        assert!(text.parse::<Size>().is_err(), "{text}");
    }
    assert!(matches!("99999999999999999999d".parse::<Span>(), Err(UnitError::Range { .. })));
    assert!(matches!("18446744073709551615KiB".parse::<Size>(), Err(UnitError::Range { .. })));
}
