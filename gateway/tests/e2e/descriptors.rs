//! No descriptors are left.

use crate::harness::*;
use crate::raw::*;
use iris_client::raw::{RawConn, Read};
use std::time::{Duration, Instant};

/// RLIMIT_NOFILE of the gateway: each of its tables of connections is as large, and it opens some files of its own.
const DESCRIPTORS: u64 = 96;
const CLIENTS: usize = 200;

/// Processor time that a process has used.
fn processor_time(pid: u32) -> Duration {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let fields: Vec<&str> = stat.rsplit(") ").next().unwrap().split(' ').collect();
    let ticks: u64 = fields[11..=12].iter().map(|ticks| ticks.parse::<u64>().unwrap()).sum();
    Duration::from_millis(ticks * 1000 / rustix::param::clock_ticks_per_second())
}

/// Says Hello on many connections; who is welcomed, and who waits.
fn crowd(gateway: &mut Gateway) -> (Vec<RawConn>, Vec<RawConn>) {
    let mut conns: Vec<RawConn> = (0..CLIENTS)
        .map(|number| {
            let mut conn = RawConn::connect(&gateway.over_tcp(), PATIENCE).unwrap();
            conn.send_frame(hello(&gateway.token(&format!("client{number}"), "phone"))).unwrap();
            conn
        })
        .collect();
    let mut welcomed = Vec::new();
    loop {
        let (mut some, mut waiting) = (Vec::new(), Vec::new());
        for mut conn in conns {
            let patience =
                if welcomed.is_empty() && some.is_empty() { PATIENCE } else { Duration::from_millis(5) };
            match conn.read_frame(patience).unwrap() {
                Read::Frame(_) => some.push(conn),
                Read::TimedOut => waiting.push(conn),
                Read::Closed => panic!("a client was hung up on"),
            }
        }
        let settled = some.is_empty() && gateway.stats()["accept_backoffs"].as_u64() > Some(0);
        welcomed.append(&mut some);
        conns = waiting;
        if settled {
            return (welcomed, conns);
        }
    }
}

/// Proves: G-EDGE-1 (more clients than descriptors: those who are in talk on, the others wait without keeping a core busy, and
/// come in when somebody leaves; the process goes on to write its files)
/// Seen to fail when: `Reactor::back_off` waits for no time.
#[test]
fn f_40_without_descriptors_accepting_pauses_and_goes_on_when_clients_leave() {
    let limit = format!("--nofile={DESCRIPTORS}:{DESCRIPTORS}");
    let mut gateway = Gateway::start(Setup {
        shards: 1,
        prefix: vec!["prlimit".into(), limit],
        extra: "[connections]\nrings = 1\n".into(),
        ..Setup::default()
    });
    let mut alice = gateway.device(gateway.over_tls(), "alice", "phone");
    let mut bob = gateway.device(gateway.over_tls(), "bob", "phone");
    wait_welcome(&mut alice);
    wait_welcome(&mut bob);
    let (welcomed, mut waiting) = crowd(&mut gateway);
    println!("{} clients are in, {} wait", welcomed.len(), waiting.len());
    assert!(welcomed.len() > 20 && waiting.len() > 20, "{} and {}", welcomed.len(), waiting.len());

    let (before, begun) = (processor_time(gateway.pid()), Instant::now());
    let mut number = 0;
    while begun.elapsed() < Duration::from_secs(2) {
        send_accepted(&mut alice, to("bob"), &format!("{number}"));
        assert_eq!(text(&wait_message(&mut bob)), format!("{number}"));
        number += 1;
        std::thread::park_timeout(Duration::from_millis(50));
    }
    let used = processor_time(gateway.pid()).saturating_sub(before);
    println!("{number} messages, {used:?} of processor time");
    assert!(used < Duration::from_millis(400), "{used:?} of processor time in 2 s: it spins");

    drop(welcomed);
    while !waiting.is_empty() {
        // As many as there are places come in; they leave, and the next come in.
        let mut conn = waiting.remove(0);
        assert!(next_frame(&mut conn).is_some(), "a client was hung up on");
    }
    alice.close().unwrap();
    bob.close().unwrap();
    assert_eq!(gateway.terminate(), Some(0), "{}", gateway.log());
}

/// Proves: G-META-1 (a start that cannot open all its files ends with a status that says so, and changes nothing)
/// Seen to fail when: `main` returns its status instead of leaving with it (some of the starts abort).
#[test]
fn f_40_a_start_with_too_few_descriptors_is_refused_with_its_status() {
    let mut gateway = Gateway::start(Setup::default());
    let mut alice = gateway.device(gateway.over_tls(), "alice", "phone");
    wait_welcome(&mut alice);
    send_accepted(&mut alice, to("bob"), "kept");
    drop(alice);
    gateway.kill();
    let mut refused = 0;
    for limit in (8..=64).step_by(4) {
        gateway.set(|setup| setup.prefix = vec!["prlimit".into(), format!("--nofile={limit}:{limit}")]);
        match gateway.try_restart() {
            Ok(()) => gateway.kill(),
            Err(status) => {
                refused += 1;
                assert!(status.is_some_and(|status| status != 70), "{limit}: {status:?}\n{}", gateway.log());
            }
        }
    }
    println!("{refused} starts were refused");
    assert!(refused > 3, "{refused} starts were refused: no shortage, no proof");
    gateway.set(|setup| setup.prefix = Vec::new());
    gateway.restart();
    let mut bob = gateway.device(gateway.over_tls(), "bob", "phone");
    assert_eq!(text(&wait_message(&mut bob)), "kept");
}
