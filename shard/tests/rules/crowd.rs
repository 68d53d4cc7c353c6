//! One receiver whom a crowd writes to, and users beside it.

use crate::world::{World, conversation};
use iris_protocol::limits::{Limits, UNCONFIRMED_MAX};
use iris_protocol::{MessageId, RejectCode};
use std::collections::BTreeMap;

const SHARDS: u16 = 4;
const SENDERS: usize = 10_000;
/// One sender in so many has more than one message, and how many it has.
const TALKATIVE: usize = 10;
const TALKATIVE_MESSAGES: usize = 3;
const MESSAGES: usize = SENDERS + SENDERS / TALKATIVE * (TALKATIVE_MESSAGES - 1);
/// What the receiver's inbox holds.
const INBOX: u32 = 500;
/// Rounds in which the receiver is offline: its inbox is full after two of them.
const OFFLINE_ROUNDS: usize = 4;

/// A sender of the crowd: what it has still to say, and the message that it says now.
struct Fan {
    client: usize,
    said: usize,
    messages: usize,
    now: Option<MessageId>,
}

/// Somebody beside the crowd who writes to somebody else beside it.
struct Neighbour {
    from: usize,
    to: usize,
    now: Option<MessageId>,
}

struct Crowd {
    world: World,
    star: usize,
    star_name: String,
    fans: Vec<Fan>,
    neighbours: Vec<Neighbour>,
    busy: usize,
    full: usize,
}

impl Crowd {
    fn new() -> Self {
        let limits = Limits {
            sends_per_second: 1_000,
            sends_burst: 100_000,
            new_conversations_per_hour: 10_000,
            inbox_envelopes: INBOX,
            ..Limits::default()
        };
        let mut world = World::with_limits(SHARDS, limits);
        let star_name = world.user_on("star", SHARDS - 1);
        let star = world.online(&star_name, "phone");
        let neighbours = neighbours(&mut world);
        let fans = (0..SENDERS).map(|number| {
            // A conversation belongs to the smaller name: one in eight to the receiver's shard, wherever its sender is.
            let stem = if number % 8 == 7 { "zoe" } else { "fan" };
            let client = world.client(&format!("{stem}{number}"), "phone");
            world.connect(client);
            let messages = if number % TALKATIVE == 0 { TALKATIVE_MESSAGES } else { 1 };
            Fan { client, said: 0, messages, now: None }
        });
        let fans = fans.collect();
        let mut crowd = Self { world, star, star_name, fans, neighbours, busy: 0, full: 0 };
        crowd.world.settle();
        // Their conversations are in memory from here on.
        crowd.write_beside();
        crowd.world.settle();
        crowd
    }

    /// Everybody of the crowd who has something to say says it, under the same id as before if it was refused.
    fn write(&mut self) {
        for at in 0..self.fans.len() {
            let Fan { client, said, messages, now } = self.fans[at];
            if said == messages {
                continue;
            }
            let id = now.unwrap_or_else(|| self.world.new_id());
            self.fans[at].now = Some(id);
            self.world.send_id(client, &self.star_name, id, &format!("{at} {said}"));
            let home = self.world.home(&self.world.clients[client].user);
            if self.world.nodes[home].backpressure {
                // Its sockets are not read until answers came.
                self.world.run();
            }
        }
    }

    fn write_beside(&mut self) {
        for Neighbour { from, to, now } in &mut self.neighbours {
            let to = self.world.clients[*to].user.to_string();
            *now = Some(self.world.send(*from, &to, "beside the crowd"));
        }
    }

    /// Every shard's disk syncs once: what had been emitted before.
    fn sync_once(&mut self) {
        for shard in 0..self.world.nodes.len() {
            for _ in 0..self.world.nodes[shard].stores.len() {
                assert!(self.world.store_one(shard));
            }
        }
        self.world.run();
    }

    /// The crowd writes, and then the users beside it: these have their answers and their messages after one sync.
    fn round(&mut self) {
        self.world.hold_stores = true;
        self.write();
        self.write_beside();
        self.world.run();
        self.sync_once();
        for Neighbour { from, to, now } in &self.neighbours {
            let (from, to, id) = (&self.world.clients[*from], &self.world.clients[*to], now.unwrap());
            assert!(from.rejected.is_empty(), "{} was refused: {:?}", from.user, from.rejected);
            assert!(from.accepted.contains_key(&id), "{} waits for its answer", from.user);
            // Its own copies are among them: of what it writes itself.
            let mut last = to.applied.iter().rev().take(4);
            assert!(last.any(|(_, _, applied, _)| *applied == id), "{} waits for its message", to.user);
        }
        self.world.hold_stores = false;
        self.world.settle();
        self.take_answers();
        let most = INBOX as usize + usize::from(SHARDS) * UNCONFIRMED_MAX as usize;
        assert!(self.world.rows(&self.star_name) <= most, "{} rows", self.world.rows(&self.star_name));
    }

    /// Takes the answers of a round: each is an acceptance, or a refusal that says what to do.
    fn take_answers(&mut self) {
        for fan in self.fans.iter_mut().filter(|fan| fan.said < fan.messages) {
            let client = &mut self.world.clients[fan.client];
            let id = fan.now.unwrap();
            let refused = std::mem::take(&mut client.rejected);
            if client.accepted.contains_key(&id) {
                assert!(refused.is_empty(), "{id} was accepted and refused: {refused:?}");
                fan.said += 1;
                fan.now = None;
                continue;
            }
            let [(of, code)] = refused[..] else { panic!("{id} has {} answers", refused.len()) };
            assert_eq!(of, id);
            assert!(matches!(code, RejectCode::Busy | RejectCode::InboxFull), "{id}: {code:?}");
            self.busy += usize::from(code == RejectCode::Busy);
            self.full += usize::from(code == RejectCode::InboxFull);
        }
    }

    fn is_done(&self) -> bool {
        self.fans.iter().all(|fan| fan.said == fan.messages)
    }

    /// Rounds in which each owner accepts as many messages as it may hold unconfirmed.
    fn rounds_at_least(&self) -> usize {
        let mut messages = vec![0; usize::from(SHARDS)];
        for fan in &self.fans {
            let user = self.world.clients[fan.client].user.as_str();
            messages[self.world.owner(&conversation(user, &self.star_name))] += fan.messages;
        }
        messages.into_iter().max().unwrap_or(0).div_ceil(UNCONFIRMED_MAX as usize)
    }

    /// The receiver has everything that was accepted, once, and each sender's messages in order.
    fn star_has_everything(&self) {
        let star = &self.world.clients[self.star];
        assert_eq!((star.applied.len(), star.raw_duplicates), (MESSAGES, 0));
        assert!(star.gaps.is_empty(), "{:?}", star.gaps);
        let mut by_conversation: BTreeMap<&str, Vec<(u64, &[u8])>> = BTreeMap::new();
        for (id, sequence, _, payload) in &star.applied {
            by_conversation.entry(id).or_default().push((*sequence, payload));
        }
        assert_eq!(by_conversation.len(), SENDERS);
        for (at, fan) in self.fans.iter().enumerate() {
            let user = self.world.clients[fan.client].user.as_str();
            let words: Vec<String> = (0..fan.messages).map(|said| format!("{at} {said}")).collect();
            let expected: Vec<(u64, &[u8])> = (1..).zip(words.iter().map(String::as_bytes)).collect();
            assert_eq!(by_conversation[conversation(user, &self.star_name).as_str()], expected, "{user}");
        }
    }
}

/// From every shard to every shard, the receiver's among them, and back.
fn neighbours(world: &mut World) -> Vec<Neighbour> {
    let mut neighbours = Vec::new();
    for (home, other) in (0..SHARDS).flat_map(|home| (0..SHARDS).map(move |other| (home, other))) {
        let one = world.user_on(&format!("one{home}{other}x"), home);
        let two = world.user_on(&format!("two{home}{other}x"), other);
        let (one, two) = (world.online(&one, "phone"), world.online(&two, "phone"));
        neighbours.push(Neighbour { from: one, to: two, now: None });
        neighbours.push(Neighbour { from: two, to: one, now: None });
    }
    neighbours
}

/// Proves: G-LIMIT-2 (ten thousand senders to one receiver wait for each other, are all served, and hold nobody else up)
/// Seen to fail when: `release_held` frees nothing; or `room` does not look at K; or a shard has no more credit for forwards than
/// for those to one receiver (`forwards_max: UNCONFIRMED_MAX` in `Peer::all`).
#[test]
fn f_67_ten_thousand_senders_to_one_receiver_are_all_served_and_hold_nobody_else_up() {
    let mut crowd = Crowd::new();
    crowd.world.disconnect(crowd.star);
    let rounds_max = crowd.rounds_at_least() + OFFLINE_ROUNDS;
    for round in 0..rounds_max {
        if round == OFFLINE_ROUNDS {
            assert!(crowd.full > SENDERS, "{} were refused because of a full inbox", crowd.full);
            crowd.world.connect(crowd.star);
            crowd.world.settle();
        }
        crowd.round();
        if crowd.is_done() {
            break;
        }
    }
    assert!(crowd.is_done(), "not everybody was served in {rounds_max} rounds");
    assert!(crowd.busy > SENDERS, "{} had to wait", crowd.busy);
    crowd.star_has_everything();
    assert_eq!((crowd.world.rows(&crowd.star_name), crowd.world.outbox_rows()), (0, 0));
}
