//! Users with up to eight devices, each of which is away at times of its own.

use crate::schedules::Dice;
use crate::world::{World, conversation};
use iris_protocol::MessageId;
use std::collections::BTreeSet;

const DEVICES_MAX: usize = 8;
const SEEDS: u64 = 25;
const STEPS: usize = 150;

/// Two users with as many devices each: those of the first, and then those of the second.
struct Homes {
    world: World,
    dice: Dice,
    users: [String; 2],
    devices: usize,
    /// Connections that ended while something was on its way to them.
    cut: usize,
}

impl Homes {
    fn new(devices: usize, seed: u64) -> Self {
        let mut world = World::new(2);
        let mut dice = Dice(seed);
        let users = [world.user_on("alice", 0), world.user_on("bob", 1)];
        for user in &users {
            for number in 0..devices {
                let client = world.client(user, &format!("device{number}"));
                world.clients[client].window = [1, 3, 256][dice.below(3)];
                world.connect(client);
            }
        }
        // All are linked before anything is sent: each has to get everything.
        world.run();
        Self { world, dice, users, devices, cut: 0 }
    }

    fn step(&mut self) {
        let client = self.dice.below(self.world.clients.len());
        match self.dice.below(10) {
            0..5 => self.write(client),
            5..8 if self.world.clients[client].conn.is_some() => {
                self.cut += usize::from(!self.world.clients[client].frames.is_empty());
                self.world.disconnect(client);
            }
            5..8 => self.world.connect(client),
            8 => self.world.run(),
            _ => self.world.settle(),
        }
    }

    /// To the other user, or to itself.
    fn write(&mut self, client: usize) {
        if self.world.clients[client].welcome.is_none() {
            return;
        }
        let to = self.users[self.dice.below(2)].clone();
        self.world.send(client, &to, "from one of many");
        // Its record is durable, and nobody has taken what follows from it.
        if self.dice.chance(50) {
            for shard in [0, 1, 0, 1] {
                while self.world.store_one(shard) || self.world.load_one(shard) {}
                while self.world.mail_one(0, 1) || self.world.mail_one(1, 0) {}
            }
        }
    }

    fn come_back(&mut self) {
        for client in 0..self.world.clients.len() {
            if self.world.clients[client].conn.is_none() {
                self.world.connect(client);
            }
        }
        self.world.settle();
    }

    /// Every device of a user has all of each of its conversations, in the one order. Gives how many messages there are.
    fn are_equal(&self, told: &str) -> usize {
        let [alice, bob] = &self.users;
        let conversations = [(alice, alice, 0..1), (alice, bob, 0..2), (bob, bob, 1..2)];
        let mut messages = BTreeSet::new();
        for (one, other, members) in conversations {
            let id = conversation(one, other);
            let of = |client: usize| -> Vec<(u64, MessageId)> {
                let applied = self.world.clients[client].applied.iter();
                applied.filter(|(of, ..)| *of == id).map(|(_, sequence, id, _)| (*sequence, *id)).collect()
            };
            let clients = members.start * self.devices..members.end * self.devices;
            let first = of(clients.start);
            assert!(
                first.iter().map(|(sequence, _)| *sequence).eq(1..=first.len() as u64),
                "{told}: {first:?}"
            );
            for client in clients {
                assert_eq!(of(client), first, "{told}: device {client} and the first one in {id}");
            }
            messages.extend(first.into_iter().map(|(_, id)| id));
        }
        let accepted: BTreeSet<MessageId> =
            self.world.clients.iter().flat_map(|client| client.accepted.keys().copied()).collect();
        assert!(accepted.is_subset(&messages), "{told}: what was accepted did not arrive");
        messages.len()
    }
}

/// Proves: G-DEVICE-2 (all devices of a user end equal, with what each of them sent), G-ORDER-1
/// Seen to fail when: `acked_by_all` takes the most advanced device; or `push` stops after the device that has the answer; or a
/// session starts at what was sent.
#[test]
fn f_26_up_to_eight_devices_that_are_away_at_random_end_equal() {
    for devices in 1..=DEVICES_MAX {
        let (mut messages, mut cut) = (0, 0);
        for seed in 0..SEEDS {
            let told = format!("{devices} devices, seed {seed}");
            let mut homes = Homes::new(devices, seed);
            for _ in 0..STEPS {
                homes.step();
            }
            homes.come_back();
            messages += homes.are_equal(&told);
            cut += homes.cut;
            for user in &homes.users {
                assert_eq!(homes.world.rows(user), 0, "{told}: rows of {user} that everybody has");
            }
        }
        assert!(messages > 500 && cut > 100, "{devices} devices: {messages} messages, {cut} were cut off");
    }
}
