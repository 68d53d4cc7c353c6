//! Two people, several devices, absences and restarts.

use crate::harness::*;
use bytes::Bytes;
use iris_client::driver::{Driver, Notice};
use iris_client::session::Event;
use iris_protocol::{CloseCode, Durability};

/// The next texts of other people; own copies are passed over.
fn texts(device: &mut Driver, count: usize) -> Vec<String> {
    let own = device.claims().user.clone();
    let mut others = Vec::new();
    while others.len() < count {
        let message = wait_message(device);
        if message.sender != own {
            others.push(text(&message));
        }
    }
    others
}

/// Proves: G-DELIVER-1 (what was accepted reaches every device, over TLS, at once and after an absence and a kill)
/// Seen to fail when: `Op::Append` is left out of `Merger::absorb`.
#[test]
fn two_people_talk_one_goes_away_and_comes_back_and_the_server_is_killed() {
    let mut gateway = Gateway::start(Setup::default());
    let mut alice = gateway.device(gateway.over_tls(), "alice", "phone");
    let mut bob = gateway.device(gateway.over_tls(), "bob", "phone");
    let welcome = wait_welcome(&mut alice);
    assert!(welcome.linked_now);
    assert_eq!(welcome.durability, Some(Durability::Fsync));
    assert!(wait_welcome(&mut bob).linked_now);

    send_accepted(&mut alice, to("bob"), "one");
    assert_eq!(texts(&mut bob, 1), ["one"]);
    send_accepted(&mut bob, to("alice"), "two");
    // Her own copy stands in its place.
    assert_eq!(texts(&mut alice, 1), ["two"]);

    let stats = gateway.stats_with("accepted", 2);
    assert_eq!(stats["record_messages"], 2, "{stats}");
    bob.close().unwrap();
    gateway.stats_with("connections", 1);
    let appended = gateway.stats()["appended"].as_u64();
    for number in 0..20 {
        send_accepted(&mut alice, to("bob"), &format!("while away {number}"));
    }
    // His inbox has them; the conversation's owner forgets them with the next record.
    wait_until("bob's inbox", || gateway.stats()["appended"].as_u64() >= appended.map(|before| before + 20));
    send_accepted(&mut alice, to("bob"), "while away 20");
    gateway.kill();
    gateway.restart();
    send_accepted(&mut alice, to("bob"), "after the kill");

    let mut bob = gateway.device(gateway.over_tls(), "bob", "phone");
    let welcome = wait_welcome(&mut bob);
    assert!(!welcome.linked_now, "the device was linked before");
    let mut expected: Vec<String> = (0..=20).map(|number| format!("while away {number}")).collect();
    expected.push("after the kill".to_owned());
    // Bob's own "two" may come again after the kill, to be dropped by his session.
    assert_eq!(texts(&mut bob, 22), expected);
    assert_eq!(gateway.terminate(), Some(0), "{}", gateway.log());
}

/// Proves: G-ORDER-1 (a sequence is read where it stands): a core that meets users and a conversation for the first time asks its tables'
/// memory, for each user, and at the sender's home, the owner and the recipient's home, and no other thread.
/// Seen to fail when: `load_resident` answers nothing.
#[test]
fn a_conversation_begins_without_another_thread() {
    let mut gateway = Gateway::start(Setup::default());
    let mut alice = gateway.device(gateway.over_tls(), "alice", "phone");
    let mut bob = gateway.device(gateway.over_tls(), "bob", "phone");
    wait_welcome(&mut alice);
    wait_welcome(&mut bob);
    let loads =
        |stats: &serde_json::Value| ["loads", "resident_loads"].map(|name| stats[name].as_u64().unwrap());
    assert_eq!(loads(&gateway.stats_with("logins", 2)), [2, 2]);
    send_accepted(&mut alice, to("bob"), "one");
    assert_eq!(texts(&mut bob, 1), ["one"]);
    assert_eq!(loads(&gateway.stats_with("loads", 5)), [5, 5]);
    assert_eq!(gateway.terminate(), Some(0), "{}", gateway.log());
}

/// Proves: G-DEVICE-2 (all devices of a user end equal)
/// Seen to fail when: `Shard::push` skips the sender's other devices.
#[test]
fn every_device_of_both_gets_what_either_sends() {
    let gateway = Gateway::start(Setup::default());
    let mut devices: Vec<Driver> = Vec::new();
    for (user, device) in [("alice", "phone"), ("alice", "tablet"), ("bob", "phone"), ("bob", "web")] {
        let mut driver = gateway.device(gateway.over_tls(), user, device);
        wait_welcome(&mut driver);
        devices.push(driver);
    }
    devices[0].submit(to("bob"), Bytes::from_static(b"from a phone")).unwrap();
    let seen: Vec<_> = devices.iter_mut().map(wait_message).collect();
    for message in &seen {
        assert_eq!(text(message), "from a phone");
        assert_eq!(message.sequence.0, 1);
        assert_eq!(message.message_id, seen[0].message_id);
        assert_eq!(message.server_time, seen[0].server_time);
    }
    devices[3].submit(to("alice"), Bytes::from_static(b"from the web")).unwrap();
    // The sender first: a device runs only while somebody waits for it.
    for device in devices.iter_mut().rev() {
        let message = wait_message(device);
        assert_eq!((text(&message).as_str(), message.sequence.0), ("from the web", 2));
    }
}

/// Proves: G-DELIVER-1 (what arrives is what was sent, byte for byte, whatever it holds)
#[test]
fn f_54_payloads_of_any_bytes_arrive_as_they_were() {
    let gateway = Gateway::start(Setup::default());
    let mut alice = gateway.device(gateway.over_tls(), "alice", "phone");
    let mut bob = gateway.device(gateway.over_tls(), "bob", "phone");
    wait_welcome(&mut alice);
    wait_welcome(&mut bob);
    let all: Vec<u8> = (0..=u8::MAX).collect();
    let large = vec![0xa5; 65_536];
    let payloads: [&[u8]; 9] = [
        b"",
        b"\0",
        &all,
        b"\xff\xfe not utf-8 \xc3\x28",
        b"\xed\xa0\x80 half of a pair",
        "\u{202e}from right to left\u{202c}".as_bytes(),
        "four bytes: \u{1f409}, composed: e\u{301}".as_bytes(),
        "\u{feff}mark\r\n\u{2028}lines".as_bytes(),
        &large,
    ];
    for payload in payloads {
        alice.submit(to("bob"), Bytes::copy_from_slice(payload)).unwrap();
        for device in [&mut alice, &mut bob] {
            assert!(wait_message(device).payload == payload, "{:?}...", &payload[..payload.len().min(20)]);
        }
    }
}

/// Proves: G-DEVICE-3 (a second login of a device closes the first with CONFLICT)
/// Seen to fail when: `Shard::take_over` does not close the older connection.
#[test]
fn a_second_connection_of_a_device_takes_over() {
    let gateway = Gateway::start(Setup::default());
    let mut first = gateway.device(gateway.over_tls(), "alice", "phone");
    wait_welcome(&mut first);
    let mut second = gateway.stateless(gateway.over_tls(), "alice", "phone");
    wait_welcome(&mut second);
    let code = wait_for(&mut first, "close", |notice| match notice {
        Notice::Event(Event::Closed(closed)) => Some(closed.code),
        Notice::Event(_) | Notice::Sending { .. } | Notice::Lost { .. } => None,
    });
    assert_eq!(code, Some(CloseCode::Conflict));
}

/// Proves: G-MOVE-1 (a changed core count moves users before serving, with messages under way)
/// Seen to fail when: the rows of `inbox` are left out of the move.
#[test]
fn f_41_a_changed_core_count_loses_nothing() {
    let mut gateway = Gateway::start(Setup { shards: 2, level: "trace", ..Setup::default() });
    let names: Vec<String> = (0..12).map(|number| format!("user{number}")).collect();
    let mut expected = Vec::new();
    for name in &names {
        let mut device = gateway.device(gateway.over_tcp(), name, "phone");
        wait_welcome(&mut device);
        device.close().unwrap();
    }
    let mut sender = gateway.device(gateway.over_tcp(), "sender", "phone");
    wait_welcome(&mut sender);
    for round in 0..3 {
        for name in &names {
            send_accepted(&mut sender, to(name), &format!("{round} to {name}"));
        }
        expected.push(round);
        gateway.kill();
        gateway.set(|setup| setup.shards = [3, 1, 2][round]);
        gateway.restart();
    }
    for name in &names {
        let mut device = gateway.device(gateway.over_tcp(), name, "phone");
        let found = texts(&mut device, expected.len());
        let wanted: Vec<String> = expected.iter().map(|round| format!("{round} to {name}")).collect();
        assert_eq!(found, wanted, "{name}");
    }
}
