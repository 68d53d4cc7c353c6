//! Claims about the values that an envelope's facts have on the wire.

use super::{Durability, GapReason};
use crate::wire;

/// Seen to fail when: `to_wire` of Os gives DURABILITY_FSYNC, which would promise a sync that did not happen.
#[test]
fn each_durability_names_its_own_level() {
    assert_eq!(Durability::Fsync.to_wire(), wire::Durability::Fsync);
    assert_eq!(Durability::Os.to_wire(), wire::Durability::Os);
}

/// Seen to fail when: Expired and InboxFull are exchanged.
#[test]
fn each_gap_names_its_own_reason() {
    let pairs = [
        (GapReason::AlreadyAcked, wire::GapReason::AlreadyAcked),
        (GapReason::Expired, wire::GapReason::Expired),
        (GapReason::DeviceDetached, wire::GapReason::DeviceDetached),
        (GapReason::InboxFull, wire::GapReason::InboxFull),
    ];
    for (reason, expected) in pairs {
        assert_eq!(reason.to_wire(), expected);
    }
}
