//! All unclaimed inboxes of a shard together.

use crate::world::World;
use iris_protocol::RejectCode;
use iris_protocol::limits::{Limits, UNCLAIMED_ENTRY_BYTES};
use iris_shard::MAIL_RING_MIN;
use iris_shard::io::Input;
use iris_shard::mail::Body;
use std::time::Duration;

/// Every payload here.
const PAYLOAD: &str = "ten bytes.";
/// What a message counts for.
const ENTRY: u64 = UNCLAIMED_ENTRY_BYTES + PAYLOAD.len() as u64;

/// Room for 16 messages of all users without devices, and for five of each.
fn narrow() -> Limits {
    Limits {
        unclaimed_envelopes: 5,
        unclaimed_total_bytes: 16 * ENTRY,
        sends_per_second: 1000,
        sends_burst: 100_000,
        new_conversations_per_hour: 10_000,
        detach: Duration::from_hours(24),
        ..Limits::default()
    }
}

/// Two senders at home on shard 0: what alice writes to the others is owned there, and what zoe writes by shard 1.
struct Crowd {
    world: World,
    ghosts: Vec<String>,
}

/// With the smallest one, a boot report of five pieces of mail has to wait for credit.
const RINGS: [usize; 2] = [4096, MAIL_RING_MIN];

/// What a piece of mail says of a home that boots.
#[derive(Debug, PartialEq, Eq)]
enum Report {
    /// Its unclaimed inboxes together are full.
    Full,
    /// They are not.
    Open,
    /// One user's inbox.
    User,
    /// That was all.
    End,
}

fn report(body: &Body) -> Option<Report> {
    match body {
        Body::Unclaimed { is_full: true } => Some(Report::Full),
        Body::Unclaimed { is_full: false } => Some(Report::Open),
        Body::State { .. } => Some(Report::User),
        Body::Booted => Some(Report::End),
        Body::Submit { .. }
        | Body::Submitted { .. }
        | Body::Forward { .. }
        | Body::Confirm { .. }
        | Body::Reforward { .. }
        | Body::Ask { .. }
        | Body::Noted
        | Body::NotOwner { .. } => None,
    }
}

const ALICE: usize = 0;
const ZOE: usize = 1;

impl Crowd {
    fn new(ghosts: usize) -> Self {
        Self::with_ring(ghosts, 4096)
    }

    fn with_ring(ghosts: usize, mail_ring: usize) -> Self {
        let mut world = World::with_ring(2, narrow(), mail_ring);
        let (alice, zoe) = (world.user_on("alice", 0), world.user_on("zoe", 0));
        world.online(&alice, "phone");
        world.online(&zoe, "phone");
        let ghosts = (0..ghosts).map(|number| world.user_on(&format!("ghost{number}x"), 1)).collect();
        Self { world, ghosts }
    }

    /// True: it was accepted. Else it was refused with INBOX_FULL.
    fn takes(&mut self, sender: usize, to: &str) -> bool {
        let id = self.world.send(sender, to, PAYLOAD);
        self.world.settle();
        let client = &self.world.clients[sender];
        let refused = client.rejected.iter().find(|(rejected, _)| *rejected == id);
        assert!(refused.is_none_or(|(_, code)| *code == RejectCode::InboxFull), "{refused:?}");
        assert_ne!(client.accepted.contains_key(&id), refused.is_some());
        refused.is_none()
    }

    /// What the owner on shard 0 says to alice as long as no mail moves; `None`: nothing yet.
    fn answer_at_once(&mut self, to: &str) -> Option<RejectCode> {
        let id = self.world.send(ALICE, to, PAYLOAD);
        self.world.run();
        let client = &self.world.clients[ALICE];
        assert!(!client.accepted.contains_key(&id), "accepted for {to}, whose home has said nothing");
        client.rejected.iter().find(|(rejected, _)| *rejected == id).map(|(_, code)| *code)
    }

    /// The process starts again with as many unclaimed messages as there may be, and its mail waits. Three ghosts have what
    /// each may have, the fourth has one.
    fn start_full(&mut self) {
        for number in 0..16 {
            let ghost = self.ghosts[number / 5].clone();
            assert!(self.takes(ALICE, &ghost), "message {number} is refused");
        }
        self.world.crash();
        self.world.hold_mail = true;
        self.world.connect(ALICE);
        self.world.connect(ZOE);
        self.world.run();
    }

    /// Alice writes to each ghost, over and over, until `count` messages are accepted.
    fn fill(&mut self, count: usize) {
        for number in 0..count {
            let ghost = self.ghosts[number % self.ghosts.len()].clone();
            assert!(self.takes(ALICE, &ghost), "message {number} of {count} is refused");
        }
    }

    /// What a shard has counted is what a boot would count.
    fn is_counted(&self) {
        for node in &self.world.nodes {
            assert_eq!(node.shard.unclaimed_bytes(), node.tables.boot_state(u32::MAX).unclaimed_bytes);
        }
    }

    /// Everybody goes, everything leaves memory, and the senders come back.
    fn forget(&mut self) {
        for client in 0..self.world.clients.len() {
            self.world.disconnect(client);
        }
        for _ in 0..3 {
            self.world.pass(Duration::from_secs(700));
        }
        let evicted = self.world.nodes[1].shard.counters().evicted;
        assert!(evicted > 0, "nothing left memory");
        self.is_counted();
        for client in [ALICE, ZOE] {
            self.world.connect(client);
        }
        self.world.settle();
    }
}

/// Proves: G-LIMIT-6 (all unclaimed inboxes together)
/// Seen to fail when: `judge_unclaimed` tells nobody; or tells its own shard alone, or the others alone; or opens again at the
/// mark; or `room` looks at claimed users, too.
#[test]
fn unclaimed_inboxes_are_full_together_although_none_of_them_is() {
    let mut crowd = Crowd::new(8);
    let bob = crowd.world.user_on("bob", 1);
    crowd.world.online(&bob, "phone");
    crowd.fill(16);
    for ghost in crowd.ghosts.clone() {
        assert_eq!(crowd.world.rows(&ghost), 2);
        assert!(!crowd.takes(ALICE, &ghost), "the owner is the home's neighbour");
        assert!(!crowd.takes(ZOE, &ghost), "the owner is the home itself");
    }
    let nobody = crowd.world.user_on("nobody", 1);
    assert!(!crowd.takes(ALICE, &nobody), "nothing was ever sent there");
    assert!(crowd.takes(ALICE, &bob) && crowd.takes(ZOE, &bob), "a user with a device is refused");
    let elsewhere = crowd.world.user_on("elsewhere", 0);
    assert!(crowd.takes(ALICE, &elsewhere), "another home's unclaimed inboxes are refused");
    // Two go, and there is an eighth of room.
    let first = crowd.ghosts[0].clone();
    let phone = crowd.world.client(&first, "phone");
    crowd.world.clients[phone].acks = false;
    crowd.world.connect(phone);
    crowd.world.settle();
    assert_eq!(crowd.world.clients[phone].applied.len(), 2, "what was accepted is there");
    assert!(!crowd.takes(ALICE, &nobody), "it is an eighth below the mark, and not less");
    let second = crowd.ghosts[1].clone();
    crowd.world.online(&second, "phone");
    assert!(crowd.takes(ALICE, &nobody) && crowd.takes(ZOE, &nobody), "there is room again");
}

/// Proves: G-LIMIT-6 (over a restart, from the first message on)
/// Seen to fail when: `boot` does not take what the tables hold.
#[test]
fn unclaimed_inboxes_that_are_full_together_are_so_after_a_restart() {
    let mut crowd = Crowd::new(8);
    crowd.fill(16);
    let ghost = crowd.ghosts[0].clone();
    for _ in 0..2 {
        crowd.world.crash();
        crowd.world.connect(ALICE);
        crowd.world.connect(ZOE);
        crowd.world.run();
        assert!(!crowd.takes(ALICE, &ghost) && !crowd.takes(ZOE, &ghost));
    }
    for ghost in crowd.ghosts.clone().iter().take(2) {
        crowd.world.online(ghost, "phone");
    }
    crowd.world.settle();
    assert!(crowd.takes(ALICE, &crowd.ghosts[2].clone()), "what was claimed counts no more");
    // The two that were claimed have everything: 13 are left of 16.
    crowd.world.crash();
    crowd.world.connect(ALICE);
    crowd.world.run();
    for number in 3..6 {
        assert!(crowd.takes(ALICE, &crowd.ghosts[number].clone()), "{number}");
    }
    assert!(!crowd.takes(ALICE, &crowd.ghosts[6].clone()));
    crowd.is_counted();
}

/// Proves: G-LIMIT-6 (owners hear that they are full before the boot report ends, and nothing is accepted before it does)
/// Seen to fail when: `boot` counts them after it reported; or `body_in` takes `Unclaimed` only of a shard that has reported; or
/// forgets it at `Booted`; or `recipients_verdict` asks no home whether it has reported.
#[test]
fn that_unclaimed_inboxes_are_full_is_known_before_their_home_has_booted() {
    for mail_ring in RINGS {
        let mut crowd = Crowd::with_ring(4, mail_ring);
        let (bob, nobody) = (crowd.world.user_on("bob", 1), crowd.world.user_on("nobody", 1));
        crowd.world.online(&bob, "phone");
        let ghost = crowd.ghosts[3].clone();
        crowd.start_full();
        let mut told = Vec::new();
        while told.last() != Some(&Report::End) {
            for user in [&ghost, &nobody, &bob] {
                assert_eq!(crowd.answer_at_once(user), Some(RejectCode::Busy), "{user} after {told:?}");
            }
            told.extend(crowd.world.mail[&(1, 0)].front().and_then(|mail| report(&mail.body)));
            // What has to wait for credit goes when an answer has come.
            let is_moving = crowd.world.mail_one(1, 0) || crowd.world.mail_one(0, 1);
            assert!(is_moving, "the report does not end: {told:?}");
        }
        assert_eq!(told, [Report::Full, Report::User, Report::User, Report::User, Report::End]);
        assert_eq!(crowd.answer_at_once(&ghost), None, "its home is asked for it");
        crowd.world.hold_mail = false;
        crowd.world.settle();
        for user in [&ghost, &nobody] {
            assert!(!crowd.takes(ALICE, user) && !crowd.takes(ZOE, user), "{user}");
        }
        assert!(crowd.takes(ALICE, &bob) && crowd.takes(ZOE, &bob), "a user with a device is refused");
        crowd.is_counted();
    }
}

/// Proves: G-LIMIT-6 (what changes while the boot report is on its way is told behind it, and holds)
/// Seen to fail when: `request` drops an `Unclaimed` that has to wait.
#[test]
fn unclaimed_inboxes_that_are_claimed_during_the_boot_report_are_open_behind_it() {
    for mail_ring in RINGS {
        let mut crowd = Crowd::with_ring(4, mail_ring);
        let nobody = crowd.world.user_on("nobody", 1);
        crowd.start_full();
        for ghost in crowd.ghosts.clone().iter().take(2) {
            crowd.world.online(ghost, "phone");
        }
        assert_eq!(crowd.answer_at_once(&nobody), Some(RejectCode::Busy));
        crowd.world.hold_mail = false;
        crowd.world.settle();
        assert!(crowd.takes(ALICE, &nobody) && crowd.takes(ZOE, &nobody), "6 of 16 are left");
        crowd.is_counted();
    }
}

/// Proves: G-LIMIT-6 (counted once, in memory and out of it)
/// Seen to fail when: `user_loaded` forgets what its rows were counted with.
#[test]
fn an_unclaimed_inbox_is_counted_once_when_it_leaves_memory_and_returns() {
    let mut crowd = Crowd::new(4);
    crowd.fill(8);
    crowd.forget();
    crowd.fill(8);
    assert!(!crowd.takes(ALICE, &crowd.ghosts[0].clone()));
    crowd.forget();
    for ghost in crowd.ghosts.clone() {
        crowd.world.online(&ghost, "phone");
    }
    crowd.world.settle();
    let others: Vec<String> = (0..16).map(|n| crowd.world.user_on(&format!("other{n}x"), 1)).collect();
    for other in &others {
        assert!(crowd.takes(ALICE, other), "{other}: everything was claimed and acknowledged");
    }
    assert!(!crowd.takes(ALICE, &others[0]));
}

/// Proves: G-LIMIT-6 (a user all of whose devices are detached counts, until one is back)
/// Seen to fail when: `resume` does not judge a user that is claimed again; or `sweep_users` does not count who leaves.
#[test]
fn a_detached_device_that_returns_claims_its_inbox() {
    let mut crowd = Crowd::new(4);
    let (carl, dora) = (crowd.world.user_on("carl", 1), crowd.world.user_on("dora", 1));
    let phones = [crowd.world.online(&carl, "phone"), crowd.world.online(&dora, "phone")];
    crowd.forget();
    crowd.world.jump(Duration::from_hours(25));
    crowd.world.connect(ALICE);
    crowd.world.settle();
    // Both are loaded, and their devices detached.
    assert!(crowd.takes(ALICE, &carl) && crowd.takes(ALICE, &dora) && crowd.takes(ALICE, &dora));
    crowd.fill(13);
    assert!(!crowd.takes(ALICE, &carl) && !crowd.takes(ALICE, &dora));
    // One returns, and holds its entries from then on; but it acknowledges nothing, not even that it was detached.
    crowd.world.clients[phones[0]].acks = false;
    crowd.world.connect(phones[0]);
    crowd.world.settle();
    assert!(crowd.takes(ALICE, &carl), "it is claimed");
    assert!(!crowd.takes(ALICE, &dora), "15 of 16 are left");
    // Out of memory it is detached, as its row says.
    crowd.forget();
    assert!(!crowd.takes(ALICE, &dora), "17 are left");
    for phone in phones {
        crowd.world.clients[phone].acks = true;
        crowd.world.connect(phone);
    }
    crowd.world.settle();
    assert!(crowd.takes(ALICE, &crowd.ghosts[0].clone()), "13 are left");
}

/// Proves: G-LIMIT-6, G-RELOAD-1 (another limit is judged when it comes, and told by one piece of mail however often it changes)
/// Seen to fail when: `Input::Limits` is not judged; or `replace_unclaimed` replaces nothing.
#[test]
fn another_limit_opens_unclaimed_inboxes_at_once() {
    let mut crowd = Crowd::new(4);
    crowd.fill(16);
    let ghost = crowd.ghosts[0].clone();
    assert!(!crowd.takes(ALICE, &ghost));
    let wide = Limits { unclaimed_total_bytes: 1 << 20, ..narrow() };
    crowd.world.hold_mail = true;
    for _ in 0..500 {
        for limits in [wide, narrow(), wide] {
            crowd.world.input(1, Input::Limits(Box::new(limits)));
        }
    }
    let ring = crowd.world.mail[&(1, 0)].len();
    crowd.world.hold_mail = false;
    let before = crowd.world.nodes[1].shard.counters().mails;
    crowd.world.settle();
    let after = crowd.world.nodes[1].shard.counters().mails;
    assert!(after - before <= 1, "{ring} were on their way, and {} followed", after - before);
    assert!(crowd.takes(ALICE, &ghost));
    crowd.world.input(1, Input::Limits(Box::new(narrow())));
    crowd.world.settle();
    assert!(!crowd.takes(ALICE, &ghost));
}
