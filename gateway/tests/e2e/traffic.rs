//! Users whose devices send all the time, whatever happens to the server, and what must be true of everything they saw.

use crate::harness::*;
use bytes::Bytes;
use iris_client::driver::{Driver, Notice};
use iris_client::endpoint::Endpoint;
use iris_client::session::{Event, Message};
use iris_protocol::{ConversationId, MessageId, Sequence};
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

const USERS: [&str; 4] = ["alice", "bob", "carol", "dave"];
const DEVICES: [&str; 2] = ["phone", "tablet"];

/// A small generator: each round and device has its own seed, printed on failure.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }
}

/// What one device saw.
#[derive(Default)]
struct Seen {
    welcomes: usize,
    applied: Vec<Message>,
    accepted: Vec<(MessageId, ConversationId, Sequence)>,
    trouble: Vec<String>,
    unanswered: usize,
    /// It sends nothing any more: `unanswered` will not grow.
    is_quiet: bool,
    /// What else happened lately, for whoever reads a failure.
    lately: VecDeque<String>,
}

impl Seen {
    fn note(&mut self, what: String) {
        self.lately.push_back(what);
        if self.lately.len() > 8 {
            self.lately.pop_front();
        }
    }
}

#[derive(Clone, Default)]
struct Phases {
    quiet: Arc<AtomicBool>,
    stop: Arc<AtomicBool>,
}

/// Runs a device: sends every few milliseconds until it is quiet, notes everything until it stops.
fn run_device(mut driver: Driver, name: &str, seen: &Mutex<Seen>, phases: &Phases) {
    let mut random =
        Random(name.bytes().fold(11, |seed, byte| seed.wrapping_mul(131).wrapping_add(u64::from(byte))));
    let started = Instant::now();
    let mut next_send = started;
    let mut number = 0;
    while !phases.stop.load(Ordering::Relaxed) {
        let is_quiet = phases.quiet.load(Ordering::Relaxed);
        if !is_quiet && Instant::now() >= next_send && driver.unanswered_count() < 50 {
            next_send = Instant::now() + Duration::from_millis(4 + random.below(8));
            number += 1;
            let peer = USERS[usize::try_from(random.below(USERS.len() as u64)).unwrap()];
            driver.submit(to(peer), Bytes::from(format!("{name} {number}"))).unwrap();
        }
        let notice = driver.next(Duration::from_millis(3)).unwrap();
        let mut seen = seen.lock().unwrap();
        seen.unanswered = driver.unanswered_count();
        seen.is_quiet = is_quiet;
        if let Some(notice) = &notice
            && !matches!(notice, Notice::Event(Event::Message(_) | Event::Accepted(_)))
        {
            seen.note(format!("{:?} {notice:?}", started.elapsed()));
        }
        match notice {
            Some(Notice::Event(Event::Welcome(_))) => seen.welcomes += 1,
            Some(Notice::Event(Event::Message(message))) => seen.applied.push(message),
            Some(Notice::Event(Event::Accepted(accepted))) => {
                seen.accepted.push((accepted.message_id, accepted.conversation, accepted.sequence));
            }
            Some(Notice::Event(event @ (Event::ServerFault(_) | Event::Gap(_) | Event::Unknown { .. }))) => {
                seen.trouble.push(format!("{event:?}"));
            }
            Some(Notice::Event(Event::Rejected(rejected))) if rejected.retry_after.is_none() => {
                seen.trouble.push(format!("{rejected:?}"));
            }
            Some(Notice::Lost { why }) if why.starts_with("no frame came") => seen.trouble.push(why),
            Some(_) | None => {}
        }
    }
}

/// Limits that let a crowd send as much as it does.
pub(crate) const UNHURRIED: &str = "[limits]\nsends_per_second = 100000\nsends_burst = 100000\n";

/// Four users with two devices each, which talk to each other and to themselves.
pub(crate) struct Crowd {
    devices: Vec<(String, Arc<Mutex<Seen>>)>,
    threads: Vec<JoinHandle<()>>,
    phases: Phases,
}

impl Crowd {
    pub(crate) fn start(gateway: &Gateway) -> Self {
        Self::start_on(gateway, [Gateway::over_tls, Gateway::over_tcp])
    }

    /// As `start`, with phones and tablets on these ports.
    pub(crate) fn start_on(gateway: &Gateway, [phones, tablets]: [fn(&Gateway) -> Endpoint; 2]) -> Self {
        let phases = Phases::default();
        let (mut devices, mut threads) = (Vec::new(), Vec::new());
        // Every device is linked before the first message.
        let mut drivers = Vec::new();
        for user in USERS {
            for device in DEVICES {
                let endpoint = if device == "phone" { phones(gateway) } else { tablets(gateway) };
                let mut driver = gateway.device(endpoint, user, device);
                wait_welcome(&mut driver);
                drivers.push((user, device, driver));
            }
        }
        for (user, device, driver) in drivers {
            let seen = Arc::new(Mutex::new(Seen::default()));
            devices.push((user.to_owned(), Arc::clone(&seen)));
            let phases = phases.clone();
            let name = format!("{user}/{device}");
            threads.push(std::thread::spawn(move || run_device(driver, &name, &seen, &phases)));
        }
        Self { devices, threads, phases }
    }

    /// Sequences by conversation, as the senders were told.
    fn accepted(&self) -> BTreeMap<ConversationId, BTreeMap<Sequence, MessageId>> {
        let mut all: BTreeMap<_, BTreeMap<Sequence, MessageId>> = BTreeMap::new();
        for (_, seen) in &self.devices {
            for (id, conversation, sequence) in &seen.lock().unwrap().accepted {
                let before = all.entry(conversation.clone()).or_default().insert(*sequence, *id);
                assert!(
                    before.is_none_or(|before| before == *id),
                    "{conversation} {sequence} is two messages"
                );
            }
        }
        all
    }

    /// Waits until this many more messages were accepted.
    pub(crate) fn talk(&self, more: usize) {
        let count =
            || self.devices.iter().map(|(_, seen)| seen.lock().unwrap().accepted.len()).sum::<usize>();
        let (enough, until) = (count() + more, Instant::now() + PATIENCE);
        while count() < enough {
            assert!(Instant::now() < until, "{} of {enough} messages were accepted", count());
            std::thread::park_timeout(Duration::from_millis(5));
        }
    }

    /// How often each device was welcomed since its first login.
    pub(crate) fn returns(&self) -> Vec<usize> {
        self.devices.iter().map(|(_, seen)| seen.lock().unwrap().welcomes).collect()
    }

    /// Ends the talk, waits until everybody has everything, and judges what they saw: how many messages it was.
    pub(crate) fn finish(self) -> usize {
        let settled = self.settle();
        if !settled {
            for (user, seen) in &self.devices {
                let seen = seen.lock().unwrap();
                let (applied, accepted) = (seen.applied.len(), seen.accepted.len());
                println!("{user}: {} unanswered, {accepted} accepted, {applied} applied", seen.unanswered);
                println!("    {:#?}", seen.lately);
            }
        }
        let accepted = self.accepted();
        let devices = self.stop();
        let messages = judge(&accepted, &devices);
        assert!(settled, "something is still unanswered");
        messages
    }

    /// Waits until nothing is unanswered and every device has applied all it must.
    fn settle(&self) -> bool {
        self.phases.quiet.store(true, Ordering::Relaxed);
        let until = Instant::now() + PATIENCE;
        while Instant::now() < until {
            let is_answered = |seen: &Seen| seen.is_quiet && seen.unanswered == 0;
            let answered = self.devices.iter().all(|(_, seen)| is_answered(&seen.lock().unwrap()));
            if answered && self.devices.iter().all(|device| self.has_all(device)) {
                return true;
            }
            std::thread::park_timeout(Duration::from_millis(50));
        }
        false
    }

    fn has_all(&self, (user, seen): &(String, Arc<Mutex<Seen>>)) -> bool {
        let user = iris_protocol::UserId::parse(user).unwrap();
        let accepted = self.accepted();
        let mine = accepted.iter().filter(|(conversation, _)| conversation.is_direct_member(&user));
        let count: usize = mine.map(|(_, sequences)| sequences.len()).sum();
        seen.lock().unwrap().applied.len() >= count
    }

    fn stop(self) -> Vec<(String, Seen)> {
        self.phases.stop.store(true, Ordering::Relaxed);
        for thread in self.threads {
            thread.join().unwrap();
        }
        self.devices
            .into_iter()
            .map(|(user, seen)| (user, std::mem::take(&mut *seen.lock().unwrap())))
            .collect()
    }
}

/// Checks C1 to C5 over everything the devices noted.
fn judge(
    accepted: &BTreeMap<ConversationId, BTreeMap<Sequence, MessageId>>,
    devices: &[(String, Seen)],
) -> usize {
    let mut payloads: HashMap<MessageId, Bytes> = HashMap::new();
    for (conversation, sequences) in accepted {
        let dense: Vec<u64> = (1..=sequences.len() as u64).collect();
        let found: Vec<u64> = sequences.keys().map(|sequence| sequence.0).collect();
        assert_eq!(found, dense, "{conversation}: sequences are dense");
    }
    for (user, seen) in devices {
        assert!(seen.trouble.is_empty(), "{user}: {:#?}", seen.trouble);
        let mut last: BTreeMap<&ConversationId, Sequence> = BTreeMap::new();
        for message in &seen.applied {
            let before = last.insert(&message.conversation, message.sequence).unwrap_or_default();
            assert_eq!(before.next(), message.sequence, "{user}: {} in order, once", message.conversation);
            assert_eq!(
                accepted[&message.conversation][&message.sequence], message.message_id,
                "{user}: no phantom"
            );
            let payload = payloads.entry(message.message_id).or_insert_with(|| message.payload.clone());
            assert_eq!(*payload, message.payload, "{user}: unaltered");
            let sent_by = String::from_utf8(message.payload.to_vec()).unwrap();
            assert!(sent_by.starts_with(message.sender.as_str()), "{sent_by} from {}", message.sender);
        }
        let id = iris_protocol::UserId::parse(user).unwrap();
        for (conversation, sequences) in accepted {
            let through = last.get(conversation).copied().unwrap_or_default();
            let expected = if conversation.is_direct_member(&id) { sequences.len() as u64 } else { 0 };
            assert_eq!(through.0, expected, "{user}: all of {conversation}");
        }
    }
    accepted.values().map(BTreeMap::len).sum()
}
