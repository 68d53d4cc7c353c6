//! What a ticket opens, for how long, and after which stops.

use super::{PERIOD, Tickets, now};
use iris_protocol::Wall;
use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;
use std::time::Duration;

fn after(begin: Wall, time: Duration) -> Wall {
    Wall(begin.0 + u64::try_from(time.as_millis()).unwrap())
}

/// Proves: G-TLS-2 (a ticket that was touched anywhere, cut or made up opens to nothing)
/// Seen to fail when: a ticket of an unknown key is tried with the newest one.
#[test]
fn a_touched_ticket_opens_to_nothing() {
    let tickets = Tickets::in_memory().unwrap();
    let ticket = tickets.seal(b"a session").unwrap();
    assert_eq!(tickets.unseal(&ticket, now()).unwrap(), b"a session");
    for place in 0..ticket.len() {
        for bit in 0..8 {
            let mut touched = ticket.clone();
            touched[place] ^= 1 << bit;
            assert_eq!(tickets.unseal(&touched, now()), None, "byte {place}, bit {bit}");
        }
        assert_eq!(tickets.unseal(&ticket[..place], now()), None, "cut at {place}");
    }
    let stranger = Tickets::in_memory().unwrap();
    assert_eq!(stranger.unseal(&ticket, now()), None);
}

/// Proves: G-TLS-2 (a key seals for one period and opens for one more)
#[test]
fn a_key_seals_for_a_period_and_opens_for_two() {
    let folder = tempfile::tempdir().unwrap();
    let begin = Wall(1_700_000_000_000);
    let tickets = Tickets::open(&folder.path().join("tickets"), begin).unwrap();
    let (almost_one, almost_two) = (Duration::from_mins(359), Duration::from_mins(719));
    let first = tickets.seal(b"first").unwrap();
    tickets.keep(after(begin, almost_one)).unwrap();
    assert_eq!(tickets.seal(b"same").unwrap()[..16], first[..16], "the key changed too early");
    tickets.keep(after(begin, PERIOD)).unwrap();
    let second = tickets.seal(b"second").unwrap();
    assert_ne!(second[..16], first[..16], "the key did not change");
    let late = after(begin, almost_two);
    assert_eq!(tickets.unseal(&first, late).unwrap(), b"first");
    assert_eq!(tickets.unseal(&first, after(begin, 2 * PERIOD)), None);
    tickets.keep(after(begin, 2 * PERIOD)).unwrap();
    assert_eq!(tickets.unseal(&first, begin), None, "a key that has ended is still in memory");
    assert_eq!(tickets.unseal(&second, late).unwrap(), b"second");
}

/// Proves: G-TLS-2 (keys are read again after a stop, from a file that is its owner's alone; old ones, and those that others may have
/// read, are not)
#[test]
fn keys_survive_a_stop_in_a_private_file() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("tickets");
    let begin = Wall(1_700_000_000_000);
    let opened = |time| Tickets::open(&file, after(begin, time)).unwrap();
    let unsealed = |tickets: &Arc<Tickets>, ticket: &[u8]| tickets.unseal(ticket, begin);
    let ticket = opened(Duration::ZERO).seal(b"a session").unwrap();
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    assert!(unsealed(&opened(Duration::from_hours(1)), &ticket).is_some());
    assert!(unsealed(&opened(PERIOD), &ticket).is_some());
    assert!(unsealed(&opened(3 * PERIOD), &ticket).is_none());
    let ticket = opened(3 * PERIOD).seal(b"a session").unwrap();
    std::fs::set_permissions(&file, PermissionsExt::from_mode(0o644)).unwrap();
    assert!(opened(3 * PERIOD).unseal(&ticket, after(begin, 3 * PERIOD)).is_none());
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
}

/// Proves: G-TLS-2 (a damaged file of keys is replaced, and never stops the process)
/// Seen to fail when: `Tickets::open` passes the error of reading on.
#[test]
fn a_damaged_file_of_keys_is_replaced() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("tickets");
    let now = Wall(1_700_000_000_000);
    drop(Tickets::open(&file, now).unwrap());
    let whole = std::fs::read_to_string(&file).unwrap();
    for bad in ["", "iris ticket keys 2\n", &whole[..whole.len() - 9], &whole.replace(' ', "")] {
        std::fs::write(&file, bad).unwrap();
        let ticket = Tickets::open(&file, now).unwrap().seal(b"a session").unwrap();
        assert!(Tickets::open(&file, now).unwrap().unseal(&ticket, now).is_some(), "{bad:?}");
    }
}
