use super::*;
use crate::mail::RecipientState;
use iris_protocol::UserId;

fn report(user: &str, state: RecipientState, reply: bool) -> Body {
    Body::State { user: UserId::parse(user).unwrap(), state, reply }
}

/// Proves: G-LIMIT-2 (queues between shards are bounded): of the reports about a user that wait for credit, the newest alone stays, in the
/// place of the oldest; an answer to a question replaces none.
/// Seen to fail when: `replace_state` replaces nothing.
#[test]
fn a_report_that_waits_is_replaced_by_the_next_one_of_that_user() {
    use RecipientState::{Full, Open};
    let mut peer = Peer::default();
    peer.waiting_controls.extend([report("alice", Full, false), report("bob", Full, false)]);
    assert!(peer.replace_state(&report("alice", Open, false)));
    assert!(!peer.replace_state(&report("carol", Open, false)));
    assert!(!peer.replace_state(&report("bob", Open, true)));
    let words = |body: &Body| format!("{body:?}");
    let left: Vec<String> = peer.waiting_controls.iter().map(words).collect();
    assert_eq!(left, [report("alice", Open, false), report("bob", Full, false)].each_ref().map(words));
}
