//! The way of every message, from the log alone (C10).

use crate::harness::*;
use bytes::Bytes;
use iris_client::driver::Driver;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

const USERS: [&str; 4] = ["alice", "bob", "carol", "dave"];
const DEVICES: [&str; 2] = ["phone", "tablet"];
const MESSAGES: usize = 80;

/// A connection, as lines name it.
type Conn = (u64, u64);

/// What the log says of one message; each step with the number of its line.
#[derive(Default)]
struct Path {
    conversation: String,
    sent: Vec<usize>,
    /// The owner's shard.
    persisted: Vec<(usize, u64)>,
    accepted: Vec<usize>,
    /// To which shards it went by mail.
    routed: Vec<(usize, u64)>,
    /// To whom it went, at which offset.
    delivered: Vec<(usize, Conn, u64)>,
}

/// What the log says of everything.
#[derive(Default)]
struct Paths {
    messages: BTreeMap<String, Path>,
    /// Who a connection is.
    logins: BTreeMap<Conn, (String, String)>,
    acks: Vec<(usize, Conn, u64)>,
}

impl Paths {
    fn read(log: &str) -> Self {
        let mut paths = Self::default();
        for (number, line) in log.lines().enumerate() {
            if let Ok(line) = serde_json::from_str::<Value>(line) {
                paths.take(number, &line);
            }
        }
        paths
    }

    fn take(&mut self, number: usize, line: &Value) {
        let of = |name: &str| line[name].as_u64().unwrap_or_default();
        let conn = (of("shard"), of("conn"));
        let Some(step) = line["message"].as_str() else { return };
        if step == "login" {
            let name = |name: &str| line[name].as_str().unwrap().to_owned();
            self.logins.insert(conn, (name("user"), name("device")));
        }
        if step == "ack" {
            self.acks.push((number, conn, of("offset")));
        }
        let Some(id) = line["message_id"].as_str() else { return };
        let path = self.messages.entry(id.to_owned()).or_default();
        if let Some(conversation) = line["conversation"].as_str() {
            conversation.clone_into(&mut path.conversation);
        }
        match step {
            "send" => path.sent.push(number),
            "persist" => path.persisted.push((number, conn.0)),
            "route" => path.routed.push((number, of("to"))),
            "deliver" => path.delivered.push((number, conn, of("offset"))),
            "accept" => {
                path.accepted.push(number);
                if line["offset"].is_u64() {
                    path.delivered.push((number, conn, of("offset")));
                }
            }
            _ => {}
        }
    }

    /// The shard on which a user's connections are.
    fn home(&self, user: &str) -> u64 {
        let shards: BTreeSet<u64> =
            self.logins.iter().filter(|(_, (name, _))| name == user).map(|((shard, _), _)| *shard).collect();
        assert_eq!(shards.len(), 1, "{user} is on {shards:?}");
        shards.into_iter().next().unwrap()
    }

    /// Every step of a message, in its order, for each device of its members; how many deliveries that were.
    fn judge(&self, id: &str, path: &Path) -> usize {
        assert_eq!((path.sent.len(), path.persisted.len(), path.accepted.len()), (1, 1, 1), "{id}");
        let (persisted, owner) = path.persisted[0];
        assert!(path.sent[0] < persisted && persisted < path.accepted[0], "{id}: sent, persisted, accepted");
        let members: BTreeSet<&str> = path.conversation.split(':').skip(1).collect();
        let mut expected = BTreeSet::new();
        for user in members {
            let home = self.home(user);
            let is_routed = path.routed.iter().any(|(number, to)| *number > persisted && *to == home);
            assert_eq!(is_routed, home != owner, "{id}: from shard {owner} to {user} on {home}");
            expected.extend(DEVICES.map(|device| (user.to_owned(), device.to_owned())));
        }
        let mut reached = BTreeSet::new();
        for (number, conn, offset) in &path.delivered {
            assert!(*number > persisted, "{id}: delivered before it was persisted");
            let is_acked =
                self.acks.iter().any(|(ack, by, through)| ack > number && by == conn && through >= offset);
            assert!(is_acked, "{id}: {conn:?} never acknowledged {offset}");
            assert!(reached.insert(self.logins[conn].clone()), "{id}: delivered twice");
        }
        assert_eq!(reached, expected, "{id}: who got it");
        reached.len()
    }
}

/// Proves: G-OBSERVE-1 (the way of every message is rebuilt from the log alone: where it came in, was persisted, accepted, went
/// to other cores, to each device of its members, and was acknowledged, with its id or the offset that a line with its id names)
#[test]
fn the_way_of_every_message_is_rebuilt_from_the_log_alone() {
    let mut gateway = Gateway::start(Setup { level: "trace", ..Setup::default() });
    let mut devices: BTreeMap<(&str, &str), Driver> = BTreeMap::new();
    for user in USERS {
        for device in DEVICES {
            let mut driver = gateway.device(gateway.over_tcp(), user, device);
            wait_welcome(&mut driver);
            devices.insert((user, device), driver);
        }
    }
    let mut sent = BTreeSet::new();
    for number in 0..MESSAGES {
        let (from, with) = (USERS[number % 4], USERS[number / 4 % 4]);
        let sender = devices.get_mut(&(from, DEVICES[number / 16 % 2])).unwrap();
        sender.submit(to(with), Bytes::from(format!("{number}"))).unwrap();
        // The sender first: a device runs only while somebody waits for it.
        let sender = (from, DEVICES[number / 16 % 2]);
        sent.insert(wait_message(devices.get_mut(&sender).unwrap()).message_id.to_string());
        for user in BTreeSet::from([from, with]) {
            for device in DEVICES.into_iter().filter(|device| (user, *device) != sender) {
                assert_eq!(
                    text(&wait_message(devices.get_mut(&(user, device)).unwrap())),
                    format!("{number}")
                );
            }
        }
    }
    for (_, device) in devices {
        device.close().unwrap();
    }
    assert_eq!(gateway.terminate(), Some(0), "{}", gateway.log());
    let paths = Paths::read(&gateway.log());
    assert_eq!(paths.messages.keys().cloned().collect::<BTreeSet<_>>(), sent, "every message is in the log");
    let deliveries: usize = paths.messages.iter().map(|(id, path)| paths.judge(id, path)).sum();
    let routes: usize = paths.messages.values().map(|path| path.routed.len()).sum();
    assert!(routes > MESSAGES / 4, "{routes} messages went to another core");
    assert_eq!(
        deliveries,
        MESSAGES / 4 * (2 + 3 * 4),
        "a note to oneself goes to two devices, the others to four"
    );
}
