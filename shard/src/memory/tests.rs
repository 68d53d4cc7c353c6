use super::*;
use crate::conversation::{Known, Lane};
use crate::io::{ConnId, Login, Ticket};
use crate::mail::RequestRef;
use crate::ring::Ring;
use crate::session::InFlight;
use foldhash::fast::FixedState;
use iris_protocol::{
    ConversationId, DeviceId, GapReason, MessageId, Mono, Offset, Sequence, ShardId, UserId, Wall, wire,
};
use std::hash::BuildHasher;

struct Number(u64);

impl Keyed for Number {
    fn key_hash(&self, state: &FixedState) -> u64 {
        state.hash_one(self.0)
    }
}

/// Proves: G-ADMIN-6 (a block is as large as the allocator's next class)
/// Seen to fail when: eight steps are taken to each doubling.
#[test]
fn blocks_have_the_allocators_sizes() {
    let classes =
        [(0, 0), (1, 16), (16, 16), (17, 32), (56, 64), (128, 128), (129, 160), (257, 320), (4_097, 5_120)];
    for (bytes, block) in classes {
        assert_eq!(block_bytes(bytes), block, "{bytes}");
    }
}

/// Proves: G-ADMIN-6 (a round sums up every value once, however many steps it takes, and a new round begins at nothing)
/// Seen to fail when: the sum of a round is kept for the next one.
#[test]
fn a_round_of_the_survey_counts_every_value_once() {
    /// As many as leave a large rest behind the rounds.
    const VALUES: u64 = 10_199 / 3 * 3;
    let mut arena = Arena::new(7);
    let indices: Vec<u32> = (0..VALUES).map(|number| arena.insert(Number(number))).collect();
    for index in indices.iter().step_by(3) {
        arena.remove(*index);
    }
    let held = u64::from(arena.peak()) - VALUES / 3;
    let mut hand = Hand::default();
    for _round in 0..3 {
        let mut steps = 0;
        hand.last = 0;
        while hand.last == 0 {
            hand.walk(&arena, |_| 5);
            steps += 1;
        }
        assert_eq!(hand.last, 5 * held);
        assert_eq!(steps, VALUES.div_ceil(512));
    }
}

/// Exactly what an id holds itself, and a byte more.
const INLINE: &str = "23-bytes-are-held-insid";
const OUTSIDE: &str = "24-bytes-are-a-block-too";

fn of_blocks(blocks: &[usize]) -> u64 {
    blocks.iter().map(|bytes| block_bytes(*bytes)).sum()
}

fn conversation_id(one: &str, other: &str) -> ConversationId {
    ConversationId::direct(&UserId::parse(one).unwrap(), &UserId::parse(other).unwrap())
}

fn message_id() -> MessageId {
    MessageId::parse(&[1, 155, 118, 218, 160, 0, 0x70, 0, 0x80, 0, 0, 0, 0, 0, 0, 1]).unwrap()
}

fn envelope(payload_bytes: usize) -> Arc<Envelope> {
    Arc::new(Envelope {
        conversation: conversation_id("alice", "bob"),
        sequence: Sequence(1),
        sender: UserId::parse("alice").unwrap(),
        device: DeviceId::parse("phone").unwrap(),
        message_id: message_id(),
        server_time: Wall(1),
        payload: vec![0; payload_bytes].into(),
    })
}

fn device(id: &str) -> Device {
    Device {
        id: DeviceId::parse(id).unwrap(),
        cursor: Offset::NONE,
        sent_through: Offset::NONE,
        linked_at: Wall(1),
        last_seen_at: Wall(1),
        session: u32::MAX,
        detached: false,
        owes_gap: false,
        is_durable: true,
        is_returning: false,
        is_dirty: false,
    }
}

fn item(content: Content) -> Item {
    Item { offset: Offset(1), ticket: None, content, channel: 0, bytes: 0, since_ms: 0, member: 0 }
}

/// Proves: G-ADMIN-6 (a text is a block of its own from 24 bytes on, and an envelope is shared by those who hold it)
/// Seen to fail when: `of_text` leaves out the counts in front; or `of_envelope` counts it whole for each.
#[test]
fn a_long_text_is_a_block_and_an_envelope_is_shared() {
    assert_eq!((INLINE.len(), of_text(INLINE)), (23, 0));
    assert_eq!((OUTSIDE.len(), of_text(OUTSIDE)), (24, block_bytes(16 + 24)));
    let alone = envelope(40_000);
    let whole = of_blocks(&[16 + size_of::<Envelope>(), 40_000]);
    assert_eq!(of_envelope(&alone), whole);
    let (_one, _other) = (Arc::clone(&alone), Arc::clone(&alone));
    assert_eq!(of_envelope(&alone), whole / 3);
}

/// Proves: G-ADMIN-6 (what a user and its sessions own is counted, each block once)
/// Seen to fail when: `of_user` leaves out what waits to be recorded.
#[test]
fn users_inboxes_and_sessions_own_their_blocks() {
    let mut user = User::new(UserId::parse(OUTSIDE).unwrap());
    assert_eq!((of_user(&user), of_inbox(&user)), (block_bytes(40), 0));
    user.first_device = Some(device(OUTSIDE));
    user.work = Some(Box::default());
    user.rare().devices = Vec::with_capacity(7);
    let blocks = [40, 40, size_of::<Rare>(), 7 * size_of::<Device>(), size_of::<Work>()];
    assert_eq!(of_user(&user), of_blocks(&blocks));
    let conversation = conversation_id("alice", "bob");
    let (from, through, reason) = (Sequence(1), Sequence(2), GapReason::Expired);
    user.items.push_back(item(Content::Gap(Box::new(Hole { conversation, from, through, reason }))));
    user.items.push_back(item(Content::Message { envelope: envelope(1_000), previous: Sequence(2) }));
    let entries = of_blocks(&[size_of::<Hole>(), 16 + size_of::<Envelope>(), 1_000]);
    assert_eq!(of_inbox(&user), user.items.bytes() + entries);
    let login = Box::new(Login {
        user: UserId::parse("alice").unwrap(),
        device: DeviceId::parse("phone").unwrap(),
        ends_at: Mono(1_000_000_000),
        hello: wire::Hello::default(),
    });
    let mut session = Session::new(ConnId(1), Mono(1), login);
    session.in_flight.push_back(InFlight { offset: Offset(1), bytes: 1 });
    let arrival = of_blocks(&[size_of::<Arrival>(), size_of::<Login>()]);
    assert_eq!(of_session(&session), session.in_flight.bytes() + arrival);
    session.arrival = None;
    assert_eq!(of_session(&session), session.in_flight.bytes());
}

/// An envelope, and what it takes.
fn on_its_way() -> (Arc<Envelope>, u64) {
    (envelope(3_000), of_blocks(&[16 + size_of::<Envelope>(), 3_000]))
}

/// Proves: G-ADMIN-6 (as is what is on its way)
/// Seen to fail when: `of_channel` counts nothing.
#[test]
fn channels_own_what_waits_in_them() {
    let id = conversation_id("alice", OUTSIDE);
    let name = block_bytes(16 + id.as_str().len());
    let slot = id.slot();
    let (sent, of_sent) = on_its_way();
    let mut channel = Channel {
        conversation: id.clone(),
        slot,
        owner: ShardId(0),
        serial: 1,
        members: Default::default(),
        member_count: 2,
        waiting: 1,
        last_ticket: Ticket::default(),
        confirmed: Sequence::NONE,
        parked: Ring::default(),
        is_counted: false,
        is_touched: false,
    };
    assert_eq!(of_channel(&channel), name);
    let payload = vec![0; 500].into();
    channel.parked.push_back(Parked::Send {
        conn: ConnId(1),
        request_id: 1,
        message_id: message_id(),
        payload,
    });
    let envelope = Arc::clone(&sent);
    channel.parked.push_back(Parked::Forward { previous: Sequence::NONE, envelope, answers: None });
    assert_eq!(of_channel(&channel), name + channel.parked.bytes() + block_bytes(500) + of_sent / 2);
    drop(sent);
    assert_eq!(of_channel(&channel), name + channel.parked.bytes() + block_bytes(500) + of_sent);
}

/// Proves: G-ADMIN-6 (as is what is on its way)
/// Seen to fail when: `of_conversation` leaves out the queue of its outbox.
#[test]
fn conversations_own_what_is_on_its_way() {
    let id = conversation_id("alice", OUTSIDE);
    let name = block_bytes(16 + id.as_str().len());
    let slot = id.slot();
    let request = RequestRef { shard: ShardId(0), conn: ConnId(1), request_id: 1 };
    let (sent, of_sent) = on_its_way();
    let lane = Lane {
        slot,
        shard: ShardId(0),
        forwarded: Sequence::NONE,
        confirmed: Sequence::NONE,
        emitted: Sequence::NONE,
        outstanding: 0,
        is_queued: false,
        is_rewinding: false,
    };
    let mut conversation = Conversation {
        id,
        slot,
        last: Sequence(1),
        durable_through: Sequence::NONE,
        last_ticket: Ticket::default(),
        members: [0, 1],
        lane_of: [0, 1],
        lanes: [lane, lane],
        lane_count: 2,
        outbox: Ring::default(),
        parked: Ring::default(),
        is_loaded: true,
        is_listed: false,
        is_touched: false,
    };
    assert_eq!(of_conversation(&conversation), name);
    conversation.outbox.push_back(Pending { envelope: sent, request: None });
    conversation.parked.push_back(Submission {
        request,
        sender: 0,
        device: DeviceId::parse("phone").unwrap(),
        message_id: message_id(),
        payload: vec![0; 700].into(),
        known: Known::Unasked,
    });
    let rings = conversation.outbox.bytes() + conversation.parked.bytes();
    assert_eq!(of_conversation(&conversation), name + rings + of_sent + block_bytes(700));
}

/// Proves: G-ADMIN-6 (as is who waits for an answer)
/// Seen to fail when: `of_recipient` counts nothing.
#[test]
fn recipients_own_their_names_and_their_waiters() {
    let recipient = Recipient {
        user: UserId::parse(OUTSIDE).unwrap(),
        home: ShardId(0),
        state: None,
        is_asked: false,
        is_touched: false,
        unconfirmed: 0,
        bytes: 0,
        pins: 0,
        waiters: Vec::with_capacity(100),
    };
    assert_eq!(of_recipient(&recipient), of_blocks(&[400, 40]));
}
