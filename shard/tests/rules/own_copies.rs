//! Own copies: their acknowledgement may ride on the sender's next Send or Ack, and needs no record until then.

use crate::accepting::pair;
use iris_protocol::limits::{OWN_COPIES_WAITING_MAX, OWN_COPY_DELAY_MAX};
use std::time::Duration;

/// Proves: G-INBOX-1 (an own copy whose acknowledgement rides on the next one is never written)
/// Seen to fail when: `may_wait` is false; or `forget_item` leaves the bytes of what was acknowledged.
#[test]
fn an_own_copy_waits_for_its_senders_next_word_and_needs_no_record() {
    let (mut world, alice, bob) = pair(2, 0, 1);
    for _ in 0..20 {
        world.clients[0].acks = false;
        world.send(0, &bob, "question");
        world.pass(Duration::from_millis(200));
        assert_eq!(world.rows(&alice), 0, "an own copy was written that may yet be acknowledged");
        world.clients[0].acks = true;
        // More than may wait, if what was acknowledged still counted.
        world.send(1, &alice, &"answer".repeat(1_500));
        world.pass(Duration::from_millis(200));
    }
    world.settle();
    let appends: u64 = world.nodes.iter().filter_map(|node| node.tables.applied.get("append")).sum();
    assert_eq!(appends, 0);
    assert_eq!(world.outbox_rows(), 0);
}

/// Proves: G-INBOX-1 (entries go into records in time), G-LIMIT-2 (the owner's outbox does not wait for a client)
/// Seen to fail when: `list_fresh` lists nobody whose entries may all wait, or only from the second entry on.
#[test]
fn an_own_copy_that_is_not_acknowledged_is_in_a_record_within_half_a_second() {
    for texts in [&["first"][..], &["first", "second"]] {
        let (mut world, alice, bob) = pair(2, 0, 1);
        world.clients[0].acks = false;
        let mut left = OWN_COPY_DELAY_MAX;
        for text in texts {
            world.send(0, &bob, text);
            world.pass(Duration::from_millis(100));
            left = left.saturating_sub(Duration::from_millis(100));
        }
        world.pass(left);
        assert_eq!(usize::try_from(world.sum(|it| it.appended)), Ok(texts.len()));
        assert_eq!(
            world.rows(&alice),
            texts.len(),
            "own copies were in no record after {OWN_COPY_DELAY_MAX:?}"
        );
        world.pass(Duration::from_millis(20));
        assert_eq!(world.outbox_rows(), 0, "an owner waited for a client");
    }
}

/// Proves: G-INBOX-1 (an own copy that another device lacks does not wait)
/// Seen to fail when: `may_wait` does not look at other devices than the sending one.
#[test]
fn an_own_copy_that_another_device_lacks_is_in_a_record_within_20_ms() {
    let (mut world, alice, bob) = pair(2, 0, 1);
    let tablet = world.online(&alice, "tablet");
    world.clients[tablet].acks = false;
    world.send(0, &bob, "for the tablet, too");
    world.pass(Duration::from_millis(20));
    assert_eq!(world.rows(&alice), 1);
}

/// Proves: G-INBOX-1 (in offset order: what must be written takes the waiting own copy before it along)
/// Seen to fail when: `settle_entries` ends at the first entry that is not due.
#[test]
fn a_delivery_that_must_be_written_takes_the_own_copy_before_it_along() {
    let (mut world, alice, bob) = pair(2, 0, 1);
    world.clients[0].acks = false;
    world.send(0, &bob, "mine");
    world.run();
    world.send(1, &alice, "theirs");
    world.pass(Duration::from_millis(20));
    assert_eq!(world.rows(&alice), 2);
}

/// Proves: G-INBOX-1 (at once when the sender goes offline), G-CRASH-1 (and a waiting copy survives a stop)
/// Seen to fail when: `forget_session` does not settle.
#[test]
fn a_waiting_own_copy_is_written_when_its_sender_leaves_and_survives_a_stop() {
    let (mut world, alice, bob) = pair(2, 0, 1);
    world.clients[0].acks = false;
    world.send(0, &bob, "one");
    world.run();
    assert_eq!(world.rows(&alice), 0);
    world.disconnect(0);
    world.run();
    assert_eq!(world.rows(&alice), 1, "an own copy waits for a device that is gone");
    world.connect(0);
    world.settle();
    world.send(0, &bob, "two");
    world.run();
    world.crash();
    world.clients[0].acks = true;
    world.connect(0);
    world.connect(1);
    world.settle();
    let conversation = crate::world::conversation(&alice, &bob);
    assert_eq!(world.clients[0].sequences(&conversation), [1, 2]);
    assert_eq!(world.clients[1].sequences(&conversation), [1, 2]);
    assert_eq!((world.rows(&alice), world.outbox_rows()), (0, 0));
}

/// Proves: G-LIMIT-2 (few own copies wait for a client, whatever it sends)
/// Seen to fail when: `may_wait` does not count entries; when it does not count bytes.
#[test]
fn only_a_few_own_copies_of_a_user_wait() {
    let (mut world, alice, bob) = pair(2, 0, 1);
    world.clients[0].acks = false;
    for number in 0..=OWN_COPIES_WAITING_MAX {
        world.send(0, &bob, &format!("{number}"));
    }
    world.pass(Duration::from_millis(20));
    assert_eq!(world.rows(&alice), OWN_COPIES_WAITING_MAX as usize + 1);
    for _ in 0..2 {
        world.send(0, &bob, &"x".repeat(60 << 10));
    }
    world.pass(Duration::from_millis(20));
    assert_eq!(world.rows(&alice), OWN_COPIES_WAITING_MAX as usize + 3);
}
