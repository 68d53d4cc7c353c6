//! A member judges what a server sends it.
#![cfg(test)]

use super::*;
use iris_protocol::wire::server_frame::Frame;
use iris_protocol::{DeviceId, Offset};

struct World {
    plan: FleetPlan,
    sender: Member,
    receiver: Member,
    tally: Tally,
}

const NOW: Mono = Mono(2_000_000_000);

fn credential(user: &str) -> Credential {
    Credential {
        user: UserId::parse(user).unwrap(),
        device: DeviceId::parse("d1").unwrap(),
        token: "token".to_owned(),
    }
}

fn world() -> World {
    let server = std::net::SocketAddr::from(([127, 0, 0, 1], 9));
    let idle = FleetPlan::idle(server, Durability::Os, 1.0);
    let plan = FleetPlan { run: Run(77), payload_bytes: 64, fresh: true, ..idle };
    let member = |id: u32, user: &str, partner: &str| {
        let inbound = Inbound::partner(MemberId(id ^ 1), &plan);
        Member::new(MemberId(id), credential(user), UserId::parse(partner).unwrap(), inbound, &plan)
    };
    let (sender, receiver) = (member(0, "u0", "u1"), member(1, "u1", "u0"));
    let mut world = World { sender, receiver, tally: Tally::new(), plan };
    world.log_in(Durability::Os);
    world
}

impl World {
    /// Of the sender's messages, so many.
    fn missing_count(&mut self, sent: u64) -> u64 {
        let sender = self.sender.user().clone();
        self.receiver.stream_of(&sender).unwrap().missing_count(sent)
    }

    fn log_in(&mut self, durability: Durability) {
        let welcome = wire::Welcome {
            version: 1,
            server_time: 1,
            incarnation: vec![3; 16].into(),
            window: 256,
            send_window: 100,
            heartbeat_s: 60,
            limits: Some(wire::Limits::default()),
            durability: durability.to_wire().into(),
            linked_now: true,
            ..wire::Welcome::default()
        };
        for member in [&mut self.sender, &mut self.receiver] {
            member.connected(NOW);
            member.handle(NOW, wire::ServerFrame { frame: Some(Frame::Welcome(welcome.clone())) });
            member.drain(NOW, &mut Vec::new(), &mut self.tally, &mut Vec::new());
        }
    }

    /// The frames that the sender makes of its next message.
    fn send(&mut self) -> wire::Send {
        assert!(self.sender.send(NOW, NOW, &self.plan));
        let mut sent = None;
        while let Some(output) = self.sender.session.poll() {
            if let Output::Frame(wire::client_frame::Frame::Send(send)) = output {
                sent = Some(send);
            }
        }
        sent.unwrap()
    }

    fn deliver(&mut self, sequence: u64, send: &wire::Send) -> Vec<Note> {
        let deliver = wire::Deliver {
            offset: Offset::new(iris_protocol::Generation(1), sequence).0,
            conversation: "d:u0:u1".to_owned(),
            sequence,
            previous_sequence: sequence - 1,
            sender: "u0".to_owned(),
            device: "d1".to_owned(),
            message_id: send.message_id.clone(),
            server_time: 1,
            payload: send.payload.clone(),
        };
        self.receiver.handle(NOW, wire::ServerFrame { frame: Some(Frame::Deliver(deliver)) });
        let mut notes = Vec::new();
        self.receiver.drain(NOW, &mut Vec::new(), &mut self.tally, &mut notes);
        notes
    }
}

/// Messages in order are delivered once each and leave no fault; the login is counted.
/// Seen to fail when: the payload's sender is not the partner.
#[test]
fn what_arrives_in_order_is_clean() {
    let mut world = world();
    for sequence in 1..=3 {
        let send = world.send();
        let notes = world.deliver(sequence, &send);
        assert!(matches!(notes[..], [Note::Delivered]), "{notes:?}");
    }
    assert_eq!((world.tally.logged_in, world.tally.delivered), (2, 3));
    assert!(world.tally.faults.is_clean(), "{:?}", world.tally.faults);
    assert_eq!(world.missing_count(3), 0);
    assert_eq!(world.missing_count(4), 1);
    assert_eq!(world.receiver.flush_acks(NOW), 3);
}

/// The same envelope twice is a duplicate.
/// Seen to fail when: the session's Duplicate is not counted.
#[test]
fn the_same_envelope_twice_is_a_duplicate() {
    let mut world = world();
    let send = world.send();
    world.deliver(1, &send);
    world.deliver(1, &send);
    assert_eq!((world.tally.duplicated(), world.tally.delivered), (1, 1));
}

/// One message under two sequences is a duplicate too, which no session notices.
/// Seen to fail when: the ledger is not asked.
#[test]
fn one_message_in_two_places_is_a_duplicate() {
    let mut world = world();
    let send = world.send();
    world.deliver(1, &send);
    world.deliver(2, &send);
    assert_eq!((world.tally.faults.duplicated, world.tally.delivered), (1, 1));
}

/// Messages of one sender in another order than sent are reordered, though their sequences are dense.
/// Seen to fail when: only sequences are judged.
#[test]
fn an_order_other_than_the_senders_is_noticed() {
    let mut world = world();
    let (first, second) = (world.send(), world.send());
    world.deliver(1, &second);
    world.deliver(2, &first);
    assert_eq!(world.tally.faults, crate::ledger::Faults { reordered: 1, ..Default::default() });
}

/// A payload with a flipped bit, or under another message's id, is corrupted and not delivered.
/// Seen to fail when: the hash, or the number in the id, is not compared.
#[test]
fn a_changed_payload_is_corrupted() {
    let mut world = world();
    let (first, second) = (world.send(), world.send());
    let mut flipped = first.payload.to_vec();
    flipped[40] ^= 1;
    world.deliver(1, &wire::Send { payload: flipped.into(), ..first.clone() });
    world.deliver(2, &wire::Send { payload: first.payload.clone(), ..second });
    assert_eq!((world.tally.faults.corrupted, world.tally.delivered), (2, 0));
    assert_eq!(world.missing_count(2), 2);
}

/// A gateway that promises another durability than the run is about is a fault.
/// Seen to fail when: Welcome's durability is not looked at.
#[test]
fn another_durability_is_a_fault() {
    let mut world = world();
    assert_eq!(world.tally.server_faults, 0);
    world.sender.disconnected(NOW);
    world.receiver.disconnected(NOW);
    world.log_in(Durability::Fsync);
    assert_eq!(world.tally.server_faults, 2);
}

/// Numbers survive their way through a message id, which is a UUIDv7.
/// Seen to fail when: the id's last four bytes hold something else.
#[test]
fn a_message_id_carries_the_number() {
    for number in [0, 1, 65_536, u64::from(u32::MAX)] {
        let id = message_id(MemberId(4_000_000), Number(number), Run(u32::MAX)).unwrap();
        assert_eq!(message_number(id), Number(number));
    }
    assert!(message_id(MemberId(1), Number(1 << 32), Run(0)).is_none());
}
