//! Each kind of fault is caught, and nothing else is.
#![cfg(test)]

use super::*;

fn judge(numbers: &[u64], sent: u64) -> Faults {
    let (mut stream, mut faults) = (Stream::default(), Faults::default());
    for &number in numbers {
        stream.arrived(Number(number), &mut faults);
    }
    faults.lost = stream.missing_count(sent);
    faults
}

/// Messages in order are clean.
/// Seen to fail when: `next` starts at 1.
#[test]
fn messages_in_order_are_clean() {
    assert!(judge(&[0, 1, 2, 3], 4).is_clean());
}

/// A message that never came is lost, in the middle and at the end.
/// Seen to fail when: `missing_count` leaves out the end.
#[test]
fn a_missing_message_is_lost() {
    assert_eq!(judge(&[0, 2, 3], 4), Faults { lost: 1, ..Faults::default() });
    assert_eq!(judge(&[0, 1], 4), Faults { lost: 2, ..Faults::default() });
    assert_eq!(judge(&[], 3), Faults { lost: 3, ..Faults::default() });
}

/// A message that came twice is duplicated, also when the first came late.
/// Seen to fail when: a number below `next` is always taken for reordered.
#[test]
fn a_second_copy_is_a_duplicate() {
    assert_eq!(judge(&[0, 1, 1, 2], 3), Faults { duplicated: 1, ..Faults::default() });
    assert_eq!(judge(&[0, 2, 1, 1], 3), Faults { duplicated: 1, reordered: 1, ..Faults::default() });
}

/// Two swapped messages are one reordering.
/// Seen to fail when: late arrivals are ignored.
#[test]
fn swapped_messages_are_reordered() {
    assert_eq!(judge(&[0, 2, 1, 3], 4), Faults { reordered: 1, ..Faults::default() });
}

/// A message that the server put off may be overtaken; one that it refused for good is no loss.
/// Seen to fail when: `excuse` does nothing, or `refused` keeps the number missing.
#[test]
fn what_the_server_refused_is_excused() {
    let (mut stream, mut faults) = (Stream::default(), Faults::default());
    stream.arrived(Number(0), &mut faults);
    stream.excuse(Number(1));
    stream.arrived(Number(2), &mut faults);
    stream.arrived(Number(1), &mut faults);
    stream.refused(Number(3));
    stream.arrived(Number(4), &mut faults);
    stream.refused(Number(5));
    faults.lost = stream.missing_count(6);
    assert!(faults.is_clean(), "{faults:?}");
}

/// A skipped, repeated or early sequence of a conversation is a hole.
/// Seen to fail when: only larger sequences count.
#[test]
fn a_conversation_is_dense() {
    let judge = |sequences: &[u64], mut line: Line| {
        let mut faults = Faults::default();
        for &sequence in sequences {
            line.arrived(Sequence(sequence), &mut faults);
        }
        faults.holes
    };
    assert_eq!(judge(&[1, 2, 3], Line::from_the_start()), 0);
    assert_eq!(judge(&[7, 8, 9], Line::from_anywhere()), 0);
    assert_eq!(judge(&[2, 3], Line::from_the_start()), 1);
    assert_eq!(judge(&[1, 2, 4], Line::from_the_start()), 1);
    assert_eq!(judge(&[1, 2, 2], Line::from_the_start()), 1);
    assert!(judge(&[1, 3, 2], Line::from_the_start()) > 0);
}
