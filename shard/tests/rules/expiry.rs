//! Expiry: entries that nobody fetched in time, in flight, in many inboxes at once, and where tables cannot be read.

use crate::world::{World, conversation};
use iris_protocol::GapReason;
use iris_protocol::limits::Limits;
use iris_shard::io::{Input, LoadId};
use iris_storage::load::{LoadError, LoadRequest};
use iris_storage::op::Entry;
use std::time::Duration;

const RETENTION: Duration = Duration::from_secs(40);

/// Everything is looked at each second, and what is 40 s old expires.
fn brief() -> Limits {
    Limits {
        retention: RETENTION,
        sends_per_second: 1000,
        sends_burst: 100_000,
        new_conversations_per_hour: 10_000,
        ..Limits::default()
    }
}

fn with_pair(limits: Limits) -> World {
    let mut world = World::with_limits(1, limits);
    world.online("alice", "phone");
    world.online("bob", "phone");
    world
}

/// The holes that a device was told of: from, through, and whether what was there expired.
fn holes(world: &World, client: usize, of: &str) -> Vec<(u64, u64, bool)> {
    let gaps = world.clients[client].gaps.iter().filter(|gap| gap.conversation == of);
    let expired = i32::from(GapReason::Expired.to_wire());
    gaps.map(|gap| (gap.from_sequence, gap.through_sequence, gap.reason == expired)).collect()
}

/// Questions of the retention that wait for an answer.
fn questions(world: &World) -> usize {
    let asked = world.nodes[0].loads.iter();
    asked.filter(|(_, request)| matches!(request, LoadRequest::Expired { .. })).count()
}

/// Answers one of the questions that wait: its rows cannot be read.
pub(crate) fn fail_one(world: &mut World, at: usize) {
    let (id, _) = world.nodes[0].loads.remove(at).expect("a question");
    let answer = Err(LoadError::Damaged { table: "inbox", key: "here".to_owned() });
    world.input(0, Input::Loaded { id, answer });
}

/// Proves: G-GAP-1 (no hole without a word), G-WINDOW-1 (what expired is in no window any more), G-LIMIT-1 (usage is exact)
/// Seen to fail when: `rewrite_done` leaves in flight what it removed (`forget_in_flight`), or the bytes of what a gap replaced
/// (`empty_in_flight`).
#[test]
fn what_expires_in_flight_makes_room_in_the_window() {
    let mut world = with_pair(brief());
    world.online("bob", "tablet");
    (world.clients[1].window, world.clients[1].acks) = (3, false);
    world.connect(1);
    world.disconnect(2);
    for number in 0..3 {
        world.send(0, "bob", &format!("old {number}"));
        world.settle();
    }
    world.pass(Duration::from_secs(30));
    world.send(0, "bob", "young");
    world.settle();
    assert_eq!(world.clients[1].payloads(), ["old 0", "old 1", "old 2"]);
    let place = world.clients[1].stored;
    world.pass(Duration::from_secs(15));
    assert_eq!(world.clients[1].payloads(), ["old 0", "old 1", "old 2", "young"], "the window is full");
    assert_eq!(world.rows("bob"), 2);
    assert_eq!((world.sum(|it| it.removed), world.sum(|it| it.gaps_expired)), (2, 1));
    // The tables compare what is counted with what is there.
    world.connect(2);
    world.settle();
    assert_eq!(holes(&world, 2, "d:alice:bob"), [(1, 3, true)]);
    world.ack(1, place);
    world.settle();
    assert_eq!(world.rows("bob"), 1);
    world.ack(1, world.clients[1].stored);
    world.settle();
    assert_eq!(world.rows("bob"), 0);
    assert!(world.clients.iter().all(|client| client.closed.is_empty()));
}

/// Proves: G-GAP-1 (what has no bytes expires as well, and a gap of another reason stays what it is)
/// Seen to fail when: `widen` takes only what has bytes for something that expired, or every gap; or `expiry_page_loaded` leaves the
/// last row out.
#[test]
fn a_message_without_a_byte_expires_and_a_gap_stays_what_it_is() {
    let mut world = with_pair(Limits { inbox_envelopes: 4, ..brief() });
    world.online("carl", "phone");
    world.clients[0].acks = false;
    world.connect(0);
    for _ in 0..4 {
        world.send(1, "alice", "full");
        world.settle();
    }
    world.send(0, "carl", "its own copy is a gap");
    world.clients[2].acks = false;
    world.send(1, "carl", "");
    world.settle();
    assert_eq!(world.rows("alice"), 5);
    world.pass(Duration::from_secs(45));
    assert_eq!((world.rows("alice"), world.rows("carl")), (2, 2));
    let is_message = |entry: &Entry| matches!(entry, Entry::Message { .. });
    assert!(!world.nodes[0].tables.inbox.values().any(is_message), "something did not expire");
    assert_eq!((world.sum(|it| it.gaps_expired), world.sum(|it| it.removed)), (3, 3));
    world.clients[0].gaps.clear();
    world.clients[0].resumes = false;
    world.connect(0);
    world.settle();
    assert_eq!(holes(&world, 0, "d:alice:bob"), [(1, 4, true)]);
    assert_eq!(holes(&world, 0, "d:alice:carl"), [(1, 1, false)]);
}

/// Proves: G-GAP-1 (a gap that grows takes the place of the last entry that it replaces), G-INBOX-1 (what everybody has leaves the
/// disk, also where the retention finds it)
#[test]
fn a_gap_of_what_expired_grows() {
    let mut world = with_pair(brief());
    world.disconnect(1);
    for number in 0..4 {
        world.send(0, "bob", &format!("{number}"));
        world.pass(Duration::from_secs(15));
    }
    world.pass(Duration::from_secs(30));
    assert_eq!(world.rows("bob"), 1);
    world.connect(0);
    world.run();
    world.send(0, "bob", "young");
    world.settle();
    world.connect(1);
    world.settle();
    assert_eq!(holes(&world, 1, "d:alice:bob"), [(1, 4, true)]);
    assert_eq!(world.clients[1].payloads(), ["young"]);
    assert_eq!(world.rows("bob"), 0);
    assert_eq!(world.clients[1].sequences(&conversation("alice", "bob")), [5]);
}

/// Proves: G-LIMIT-2 (no queue grows without a bound): the retention asks one question at a time, and rewrites 32 inboxes at most
/// at the same time, each of them in the end; what was rewritten leaves memory when it is idle.
/// Seen to fail when: `rewritten` does not count a rewrite that is over; or one inbox more is rewritten at the same time.
#[test]
fn the_retention_goes_on_with_a_few_inboxes_at_a_time() {
    let mut world = with_pair(brief());
    let users: Vec<String> = (0..80).map(|number| format!("user{number}")).collect();
    for user in &users {
        let phone = world.online(user, "phone");
        world.disconnect(phone);
        world.send(0, user, "nobody comes for it");
        world.settle();
    }
    // Their records, and what follows from them.
    world.pass(Duration::from_secs(20));
    (world.hold_stores, world.hold_loads) = (true, true);
    world.pass(Duration::from_secs(10));
    assert_eq!(questions(&world), 1);
    world.hold_loads = false;
    world.pass(Duration::from_secs(20));
    let is_one = |kind: fn(&[iris_storage::op::Op]) -> bool| {
        world.nodes[0].stores.iter().filter(|(_, ops)| kind(ops)).count()
    };
    let fences = is_one(
        |ops| matches!(ops, [iris_storage::op::Op::User { user, .. }] if user.as_str().starts_with("user")),
    );
    assert_eq!(fences, 32);
    world.hold_stores = false;
    world.pass(Duration::from_secs(5));
    let is_message = |entry: &Entry| matches!(entry, Entry::Message { .. });
    assert!(!world.nodes[0].tables.inbox.values().any(is_message), "an inbox was not rewritten");
    assert_eq!(world.sum(|it| it.gaps_expired), 80);
}

/// Proves: G-EDGE-1 (where the tables cannot be read, a later round of the retention tries again, and the device is served)
/// Seen to fail when: `expiry_failed` does nothing.
#[test]
fn what_expired_is_looked_for_again_when_it_could_not_be_read() {
    let mut world = with_pair(brief());
    world.clients[1].acks = false;
    world.send(0, "bob", "old");
    world.settle();
    world.pass(Duration::from_secs(39));
    world.hold_loads = true;
    world.pass(Duration::from_secs(2));
    assert_eq!(questions(&world), 1);
    fail_one(&mut world, 0);
    // A round later it is bob's inbox.
    let is_question = |(_, request): &(LoadId, LoadRequest)| matches!(request, LoadRequest::Expired { .. });
    while world.nodes[0].loads.front().is_some_and(is_question) {
        world.load_one(0);
        world.run();
    }
    let is_inbox = |(_, request): &(LoadId, LoadRequest)| matches!(request, LoadRequest::Inbox { .. });
    let at = world.nodes[0].loads.iter().position(is_inbox).expect("his inbox is not read");
    world.clients[1].resumes = false;
    world.connect(1);
    world.run();
    fail_one(&mut world, at);
    world.hold_loads = false;
    world.run();
    assert_eq!(world.sum(|it| it.load_errors), 2);
    assert_eq!(world.clients[1].raw_duplicates, 1, "it waits for what could not be read");
    world.pass(Duration::from_secs(5));
    assert_eq!(world.sum(|it| it.gaps_expired), 1);
    assert_eq!(world.rows("bob"), 1);
    // Nothing holds on to him, as soon as there is another record.
    let evicted = world.sum(|it| it.evicted);
    world.disconnect(1);
    world.send(0, "alice", "to herself");
    world.pass(Duration::from_secs(10));
    assert_eq!(world.sum(|it| it.evicted), evicted + 4, "a channel, a conversation, a recipient, and he");
}

/// Proves: G-GAP-1 (while rows are rewritten no session reads them)
/// Seen to fail when: `read_page` does not look whether they are.
#[test]
fn rows_that_are_being_rewritten_are_read_by_nobody() {
    let mut world = with_pair(brief());
    world.disconnect(1);
    for number in 0..3 {
        world.send(0, "bob", &format!("{number}"));
        world.settle();
    }
    world.pass(Duration::from_secs(36));
    world.hold_stores = true;
    world.pass(Duration::from_secs(8));
    assert_eq!(world.nodes[0].stores.len(), 1, "no rewrite was begun");
    world.connect(1);
    world.run();
    assert!(world.clients[1].welcome.is_some() && world.nodes[0].loads.is_empty());
    assert!(world.clients[1].applied.is_empty(), "it was sent what is being replaced");
    world.hold_stores = false;
    world.settle();
    assert_eq!(holes(&world, 1, "d:alice:bob"), [(1, 3, true)]);
    assert!(world.clients[1].applied.is_empty());
    assert_eq!(world.rows("bob"), 0);
}

/// Proves: G-GAP-1 (a page that was asked for before a rewrite is not sent after it, however long the disk took)
/// Seen to fail when: `tidy` lets the count of rewrites go; or `page_loaded` does not compare it.
#[test]
fn a_page_from_before_a_rewrite_is_worth_nothing_when_it_comes() {
    let mut world = with_pair(brief());
    world.disconnect(1);
    for number in 0..3 {
        world.send(0, "bob", &format!("{number}"));
        world.settle();
    }
    // He leaves memory: his rows are in the tables alone.
    world.pass(Duration::from_secs(36));
    world.hold_loads = true;
    world.connect(1);
    world.run();
    let is_inbox = |(_, request): &(LoadId, LoadRequest)| matches!(request, LoadRequest::Inbox { .. });
    while !world.nodes[0].loads.iter().any(is_inbox) {
        assert!(world.load_one(0), "his inbox is not read");
        world.run();
    }
    // The purge at load looks, too: the page for his phone is the one that wants more than a row.
    let is_page = |(_, request): &(LoadId, LoadRequest)| matches!(request, LoadRequest::Inbox { entries_max, .. } if *entries_max > 1);
    let at = world.nodes[0].loads.iter().position(is_page).expect("no page is read for his phone");
    let (id, request) = world.nodes[0].loads.remove(at).expect("a question");
    let late = world.nodes[0].tables.load(&request);
    world.hold_loads = false;
    world.pass(Duration::from_secs(10));
    assert_eq!((world.rows("bob"), world.sum(|it| it.gaps_expired)), (1, 1), "no rewrite, or a second one");
    world.input(0, Input::Loaded { id, answer: late });
    world.settle();
    assert!(world.clients[1].applied.is_empty(), "he was sent what had expired");
    assert_eq!(holes(&world, 1, "d:alice:bob"), [(1, 3, true)]);
    assert_eq!(world.rows("bob"), 0);
}
