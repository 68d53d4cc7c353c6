//! Mail that came to the wrong shard, and what an owner does when a home did not take it.

use crate::accepting::pair;
use crate::world::{World, conversation};
use bytes::Bytes;
use iris_protocol::{
    ConversationId, DeviceId, Envelope, MessageId, RejectCode, Sequence, ShardId, Slot, UserId,
};
use iris_shard::io::{ConnId, Input};
use iris_shard::mail::{Body, Mail, Outcome, RequestRef};
use std::sync::Arc;

fn mail(world: &World, body: Body) -> Mail {
    Mail { epoch: world.generation, body }
}

/// The answer that waits on the way from a shard.
fn answer(world: &World, from: u16, to: u16) -> &Body {
    &world.mail.get(&(from, to)).and_then(|queue| queue.back()).expect("an answer").body
}

/// Proves: G-FORWARD-1 (mail for a slot that a shard does not own is answered, and never confirmed or taken)
/// Seen to fail when: `forward_in` takes what is for a slot of another shard.
#[test]
fn a_forward_for_a_slot_of_another_shard_is_answered_not_owner() {
    let (mut world, alice, bob) = pair(2, 0, 1);
    let id = ConversationId::parse(&conversation(&alice, &bob)).unwrap();
    let slot = UserId::parse(&alice).unwrap().slot();
    world.hold_mail = true;
    let envelope = Arc::new(Envelope {
        conversation: id.clone(),
        sequence: Sequence(1),
        sender: UserId::parse(&bob).unwrap(),
        device: DeviceId::parse("phone").unwrap(),
        message_id: world.new_id(),
        server_time: world.wall(),
        payload: Bytes::from_static(b"astray"),
    });
    let body = Body::Forward { slot, previous: Sequence::NONE, envelope, answers: None };
    let astray = mail(&world, body);
    world.input(1, Input::Mail { from: ShardId(0), mail: astray });
    world.run();
    let Body::NotOwner { slot: refused, conversation } = answer(&world, 1, 0) else {
        panic!("answered with {:?}", answer(&world, 1, 0));
    };
    assert_eq!((*refused, conversation.as_ref()), (slot, Some(&id)));
    assert!(world.nodes[1].stores.is_empty(), "something of it was kept");
    assert_eq!(world.nodes[1].shard.counters().not_owner, 1);
}

/// Proves: G-FORWARD-1 (nor is a conversation sequenced, or a recipient judged, by a shard that does not own it)
/// Seen to fail when: `submit_in` does not look whose the conversation is.
#[test]
fn a_submit_and_a_question_for_another_shard_are_answered_not_owner() {
    let (mut world, alice, bob) = pair(2, 0, 1);
    let id = conversation(&alice, &bob);
    let owner = u16::try_from(world.owner(&id)).unwrap();
    let stranger = 1 - owner;
    world.hold_mail = true;
    let request = RequestRef { shard: ShardId(owner), conn: ConnId(77), request_id: 5 };
    let body = Body::Submit {
        request,
        sender: UserId::parse(&alice).unwrap(),
        device: DeviceId::parse("phone").unwrap(),
        conversation: ConversationId::parse(&id).unwrap(),
        message_id: world.new_id(),
        payload: Bytes::from_static(b"astray"),
    };
    let astray = mail(&world, body);
    world.input(usize::from(stranger), Input::Mail { from: ShardId(owner), mail: astray });
    let Body::Submitted { outcome, .. } = answer(&world, stranger, owner) else {
        panic!("answered with {:?}", answer(&world, stranger, owner));
    };
    assert!(matches!(outcome, Outcome::Rejected { code: RejectCode::NotOwner, retry_after_ms: Some(_) }));
    assert_eq!((world.sum(|it| it.not_owner), world.sum(|it| it.rejected_owner)), (1, 1));
    let user = UserId::parse(if owner == 0 { &alice } else { &bob }).unwrap();
    let before = world.sum(|it| it.not_owner);
    let astray = mail(&world, Body::Ask { user: user.clone() });
    world.input(usize::from(stranger), Input::Mail { from: ShardId(owner), mail: astray });
    let Body::NotOwner { slot, conversation: None } = answer(&world, stranger, owner) else {
        panic!("answered with {:?}", answer(&world, stranger, owner));
    };
    assert_eq!(*slot, user.slot());
    assert_eq!(world.sum(|it| it.not_owner), before + 1);
    assert!(world.nodes[usize::from(stranger)].stores.is_empty(), "something of it was kept");
}

/// Sends `count` messages and one more; the forwards that cross are answered by `refusal` instead of being taken. Everybody has
/// all of them in the end.
fn refused_once(count: u64, refusal: impl Fn(ConversationId, Slot) -> Body) {
    let (mut world, alice, bob) = pair(2, 0, 1);
    let id = conversation(&alice, &bob);
    let owner = u16::try_from(world.owner(&id)).unwrap();
    let home = 1 - owner;
    let conversation = ConversationId::parse(&id).unwrap();
    let slot = UserId::parse(if home == 0 { &alice } else { &bob }).unwrap().slot();
    world.hold_mail = true;
    let mut ids: Vec<MessageId> = (0..count).map(|number| world.send(0, &bob, &number.to_string())).collect();
    // Everything but forwards arrives.
    let mut refused = 0;
    for _ in 0..20 {
        world.run();
        for (from, to) in [(0, 1), (1, 0)] {
            let queue = world.mail.entry((from, to)).or_default();
            if let Some(Mail { body: Body::Forward { .. }, .. }) = queue.front() {
                queue.pop_front();
                refused += 1;
                assert_eq!((from, to), (owner, home));
                let body = refusal(conversation.clone(), slot);
                let answer = mail(&world, body);
                world.input(usize::from(owner), Input::Mail { from: ShardId(home), mail: answer });
                if refused == 1 {
                    // While the lane goes back nothing new may overtake.
                    ids.push(world.send(0, &bob, &count.to_string()));
                }
            } else {
                world.mail_one(from, to);
            }
        }
    }
    assert_eq!(refused, count, "forwards that crossed");
    world.hold_mail = false;
    world.settle();
    world.pass(std::time::Duration::from_secs(5));
    let expected: Vec<String> = (0..=count).map(|number| number.to_string()).collect();
    assert_eq!(world.clients[1].payloads(), expected);
    for client in 0..2 {
        assert!(world.clients[client].sequences(&id).into_iter().eq(1..=count + 1), "client {client}");
    }
    assert!(ids.iter().all(|id| world.clients[0].accepted.contains_key(id)), "a Send is unanswered");
    assert_eq!(world.outbox_rows(), 0);
}

/// Proves: G-FORWARD-1 (what a home did not take is forwarded again, from the lowest, in order)
/// Seen to fail when: `forward_refused` leaves the lane where it was, does not mark it as rewinding, or starts again while an
/// answer is on its way.
#[test]
fn forwards_that_a_shard_did_not_own_go_out_again_in_order() {
    for count in [1, 3] {
        refused_once(count, |conversation, slot| Body::NotOwner { slot, conversation: Some(conversation) });
    }
}

/// Proves: G-FORWARD-1 (as does what a home asks for again)
/// Seen to fail when: the same as of a NOT_OWNER.
#[test]
fn forwards_that_a_home_asks_for_again_go_out_again_in_order() {
    for count in [1, 3] {
        refused_once(count, |conversation, slot| Body::Reforward { conversation, slot });
    }
}

/// Proves: G-REJECT-1 (a Send whose recipient's home is asked in vain is refused, and can be sent again), G-FORWARD-1
/// Seen to fail when: `ask_refused` does nothing; or refuses those who wait for another slot.
#[test]
fn a_question_that_a_shard_did_not_own_refuses_the_sends_that_wait_for_it() {
    let mut world = World::new(2);
    let [alice, bob, carl] =
        [("a-lice", 0), ("bob", 1), ("carl", 1)].map(|(stem, at)| world.user_on(stem, at));
    for user in [&alice, &bob, &carl] {
        world.online(user, "phone");
    }
    world.hold_mail = true;
    let [to_bob, to_carl] = [&bob, &carl].map(|to| world.send(0, to, "hello"));
    world.run();
    assert_eq!(world.mail[&(0, 1)].len(), 2, "each home is asked");
    let slot = UserId::parse(&bob).unwrap().slot();
    let Some(Mail { body: Body::Ask { user }, .. }) = world.mail.get_mut(&(0, 1)).unwrap().pop_front() else {
        panic!("no question");
    };
    assert_eq!(user.slot(), slot);
    let refusal = mail(&world, Body::NotOwner { slot, conversation: None });
    world.input(0, Input::Mail { from: ShardId(1), mail: refusal });
    world.run();
    assert_eq!(world.clients[0].rejected, [(to_bob, RejectCode::NotOwner)]);
    assert_eq!(world.clients[0].retries, [(RejectCode::NotOwner, Some(1_000))]);
    world.hold_mail = false;
    world.send_id(0, &bob, to_bob, "hello");
    world.settle();
    assert!([to_bob, to_carl].iter().all(|id| world.clients[0].accepted.contains_key(id)));
    assert_eq!((world.clients[1].applied.len(), world.clients[2].applied.len()), (1, 1));
}
