//! A large backlog and a restart.

use crate::harness::*;
use bytes::Bytes;
use iris_client::driver::Notice;
use iris_client::session::Event;
use std::collections::BTreeSet;
use std::time::Duration;

const USERS: usize = 20;

fn backlog() -> usize {
    std::env::var("IRIS_BACKLOG").ok().and_then(|count| count.parse().ok()).unwrap_or(20_000)
}

/// Proves: G-CRASH-1 (a kill with a backlog of undelivered messages: everything is there after the restart)
/// Seen to fail when: `Loaded::Inbox` pages stop after the first.
#[test]
fn a_backlog_survives_a_kill_and_is_delivered_whole() {
    let extra = "[limits]\nsends_per_second = 1000000\nsends_burst = 1000000\n".to_owned();
    let mut gateway = Gateway::start(Setup { durability: "os", extra, ..Setup::default() });
    let names: Vec<String> = (0..USERS).map(|number| format!("reader{number}")).collect();
    for name in &names {
        let mut device = gateway.device(gateway.over_tcp(), name, "phone");
        wait_welcome(&mut device);
        device.close().unwrap();
    }
    let each = backlog() / USERS;
    let mut senders = Vec::new();
    for name in &names {
        let mut device = gateway.device(gateway.over_tcp(), &format!("{name}-friend"), "phone");
        wait_welcome(&mut device);
        for number in 0..each {
            device.submit(to(name), Bytes::from(format!("{number}"))).unwrap();
        }
        senders.push(device);
    }
    for device in &mut senders {
        let mut accepted = 0;
        wait_for(device, "all accepted", |notice| {
            accepted += usize::from(matches!(notice, Notice::Event(Event::Accepted(_))));
            (accepted == each).then_some(())
        });
    }
    drop(senders);
    gateway.kill();
    gateway.restart();
    println!("{} undelivered messages: served again after {:?}", each * USERS, gateway.started_in);
    assert!(gateway.started_in < Duration::from_secs(30), "a start is bounded");
    for name in &names {
        let mut device = gateway.device(gateway.over_tcp(), name, "phone");
        // A message that met BUSY was sent again later, so texts may change places; sequences do not.
        let mut texts = BTreeSet::new();
        for number in 1..=each {
            let message = wait_message(&mut device);
            assert_eq!(message.sequence.0, number as u64, "{name}");
            assert!(texts.insert(text(&message)), "{name}: {} came twice", text(&message));
        }
    }
}
