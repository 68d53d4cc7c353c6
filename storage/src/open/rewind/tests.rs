use super::*;
use crate::op::Op;
use crate::record::RecordBuilder;
use crate::tables::MemoryTables;
use crate::testing::{KEY, accept, dump, envelope};
use crate::{Mark, StorageEngine};
use iris_protocol::{ConversationId, Generation, Offset};

fn user(name: &str) -> UserId {
    UserId::parse(name).unwrap()
}

/// Tables that hold these operations.
fn tables(ops: &[Op]) -> MemoryTables {
    let mut engine = StorageEngine::new(3, MemoryTables::new()).unwrap();
    engine.absorb(RecordBuilder::record(ops, KEY, Mark::default(), Generation(1))).unwrap();
    engine.flush().unwrap();
    engine.into_tables()
}

fn append(user: &UserId, offset: u64, envelope: &std::sync::Arc<iris_protocol::Envelope>) -> Op {
    let previous = Sequence(envelope.sequence.0 - 1);
    let entry = Entry::Message { envelope: envelope.clone(), previous };
    Op::Append { user: user.clone(), offset: Offset(offset), entry }
}

fn usage(user: &UserId, entries: u32, bytes: u64) -> Op {
    let row = UserRow { last_offset: Offset(90), stored_entries: entries, stored_bytes: bytes };
    Op::User { user: user.clone(), row }
}

/// Two users on two cores, and their conversation, which the first one's core owns.
fn pair() -> (UserId, UserId, ConversationId) {
    let on = |name, core| {
        (0..64).map(|n| user(&format!("{name}{n}"))).find(|user| owner(user.slot(), 2) == core).unwrap()
    };
    let (one, other) = (on("a", 0), on("b", 1));
    let conversation = ConversationId::direct(&one, &other);
    assert_eq!(owner(conversation.slot(), 2), 0, "{conversation}");
    (one, other, conversation)
}

/// Proves: G-INCARNATION-1 (a rewound history is announced): a home forgets what the owner has lost, and nothing else.
/// Seen to fail when: entries above the owner's last stay in the inbox, or usage counts them.
#[test]
fn homes_forget_what_their_owners_have_lost() {
    let (one, other, conversation) = pair();
    let note = ConversationId::direct(&other, &other);
    let sent: Vec<_> = (1..=4).map(|sequence| envelope(&conversation, sequence, b"12345")).collect();
    let to_self = envelope(&note, 1, b"abc");
    let owned: Vec<Op> = sent[..2].iter().map(accept).collect();
    let mut inbox: Vec<Op> = (10..).zip(&sent).map(|(offset, sent)| append(&other, offset, sent)).collect();
    inbox.extend([accept(&to_self), append(&other, 20, &to_self), usage(&other, 5, 23)]);
    let mut kept = inbox.clone();
    kept.drain(2..4);
    *kept.last_mut().unwrap() = usage(&other, 3, 13);
    let (mut first, mut home) = (tables(&owned), tables(&inbox));
    assert_eq!(cut_homes(&mut [&mut first, &mut home]), Ok(1));
    home.power_cut();
    assert_eq!(dump(&home), dump(&tables(&kept)));
    assert_eq!(dump(&first), dump(&tables(&owned)), "of {one}");
    assert_eq!(cut_homes(&mut [&mut first, &mut home]), Ok(0), "repeated");
}

/// Proves: G-INCARNATION-1 (a rewound history is announced): a gap ends where the owner's history does.
/// Seen to fail when: a gap that begins before the owner's last is left as it is.
#[test]
fn a_gap_ends_with_the_history() {
    let (_, other, conversation) = pair();
    let gap = |offset, from, through| {
        let (from, through) = (Sequence(from), Sequence(through));
        let reason = iris_protocol::GapReason::Expired;
        let entry = Entry::Gap { conversation: conversation.clone(), from, through, reason };
        Op::Append { user: other.clone(), offset: Offset(offset), entry }
    };
    let owned: Vec<Op> = (1..=2).map(|n| accept(&envelope(&conversation, n, b"1"))).collect();
    let (mut first, mut home) = (tables(&owned), tables(&[gap(5, 1, 3), gap(6, 4, 7)]));
    assert_eq!(cut_homes(&mut [&mut first, &mut home]), Ok(1));
    assert_eq!(dump(&home), dump(&tables(&[gap(5, 1, 2)])));
}

/// Proves: G-INCARNATION-1 (a rewound history is announced): what a home had lost before stays unknown to it, so that the next
/// message names the one that its devices have.
/// Seen to fail when: the watermark falls to the owner's last, whatever the home had.
#[test]
fn a_home_that_lost_more_than_its_owner_does_not_claim_to_have_it() {
    let (_, other, conversation) = pair();
    let sent: Vec<_> = (1..=4).map(|sequence| envelope(&conversation, sequence, b"12345")).collect();
    let behind = |offset, at: usize, previous| {
        let entry = Entry::Message { envelope: sent[at].clone(), previous: Sequence(previous) };
        Op::Append { user: other.clone(), offset: Offset(offset), entry }
    };
    let owned: Vec<Op> = sent[..2].iter().map(accept).collect();
    let (mut first, mut home) =
        (tables(&owned), tables(&[behind(5, 0, 0), behind(9, 2, 1), behind(10, 3, 3)]));
    assert_eq!(cut_homes(&mut [&mut first, &mut home]), Ok(1));
    assert_eq!(dump(&home), dump(&tables(&[behind(5, 0, 0)])));
}
