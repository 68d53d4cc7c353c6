//! Claims about code numbers and their classes.

use super::{CloseClass, CloseCode, RejectClass, RejectCode};
use std::collections::BTreeSet;

/// Proves: G-WIRE-1 (a number stands for one code)
/// Seen to fail when: CLOCK_SKEW is given the number of FORBIDDEN.
#[test]
fn no_two_codes_share_a_number_or_a_name() {
    let numbers = RejectCode::ALL
        .iter()
        .map(|code| code.number())
        .chain(CloseCode::ALL.iter().map(|code| code.number()));
    let names =
        RejectCode::ALL.iter().map(|code| code.name()).chain(CloseCode::ALL.iter().map(|code| code.name()));
    let count = RejectCode::ALL.len().saturating_add(CloseCode::ALL.len());
    assert_eq!(numbers.collect::<BTreeSet<_>>().len(), count);
    assert_eq!(names.collect::<BTreeSet<_>>().len(), count);
}

/// Seen to fail when: `from_number` knows one number less.
#[test]
fn every_code_is_found_again_by_its_number_and_no_other_number_is_a_code() {
    let mut found = 0_usize;
    for number in 0..1000 {
        if let Some(code) = RejectCode::from_number(number) {
            assert_eq!(code.number(), number);
            found = found.saturating_add(1);
        }
        if let Some(code) = CloseCode::from_number(number) {
            assert_eq!(code.number(), number);
            found = found.saturating_add(1);
        }
    }
    assert_eq!(found, RejectCode::ALL.len().saturating_add(CloseCode::ALL.len()));
    assert_eq!(RejectCode::from_number(u32::MAX), None);
    assert_eq!(CloseCode::from_number(u32::MAX), None);
}

/// Proves: G-REJECT-1 (each code has one of three meanings, told by its number)
/// Seen to fail when: NOT_OWNER gets number 29.
#[test]
fn the_range_of_a_reject_number_gives_its_class() {
    for code in RejectCode::ALL {
        assert_eq!(RejectClass::of_number(code.number()), code.class(), "{code}");
    }
}

/// Seen to fail when: `of_number` answers RetrySameId outside the ranges.
#[test]
fn a_reject_of_a_later_version_outside_the_ranges_is_an_unknown_outcome() {
    for number in [0, 60, 61, 100, 101, u32::MAX] {
        assert_eq!(RejectClass::of_number(number), RejectClass::OutcomeUnknown, "{number}");
    }
    assert_eq!(RejectClass::of_number(19), RejectClass::RetrySameId);
    assert_eq!(RejectClass::of_number(59), RejectClass::Refused);
}

/// Seen to fail when: CONFLICT is moved to the class that reconnects.
#[test]
fn a_client_that_lost_its_session_to_another_login_stays_away() {
    assert_eq!(CloseCode::Conflict.class(), CloseClass::Stop);
    assert_eq!(CloseCode::DeviceUnlinked.class(), CloseClass::Stop);
}

/// Seen to fail when: `CloseClass::of_number` answers Stop for a number it does not know.
#[test]
fn a_close_of_a_later_version_lets_the_client_come_back() {
    for number in [0, 100, 199, u32::MAX] {
        assert_eq!(CloseClass::of_number(number), CloseClass::Reconnect, "{number}");
    }
    assert_eq!(CloseClass::of_number(109), CloseClass::Stop);
    assert_eq!(CloseClass::of_number(101), CloseClass::FreshToken);
}
