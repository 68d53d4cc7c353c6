//! The disk fails: under the tables a library in front of libc makes their syncs fail while a file exists, or no descriptor is left
//! for a new file of theirs; under the log a limit on the size of files makes its writes fail.

use crate::harness::*;
use crate::preload::compile;
use crate::traffic::UNHURRIED;
use bytes::Bytes;
use iris_client::driver::{Driver, Notice};
use iris_client::session::{Event, Message};
use std::process::Command;
use std::time::Duration;

/// Payloads of this size fill the smallest buffer of the tables after some 140 messages.
const PAYLOAD_BYTES: usize = 60_000;
const MESSAGES: usize = 600;

/// What was accepted, by its place.
fn note(notice: Option<Notice>, accepted: &mut Vec<u64>) {
    if let Some(Notice::Event(Event::Accepted(message))) = notice {
        accepted.push(message.sequence.0);
    }
}

fn payload(number: usize) -> Bytes {
    let mut text = format!("{number} ").into_bytes();
    text.resize(PAYLOAD_BYTES, b'.');
    text.into()
}

fn number(message: &Message) -> usize {
    text(message).split_once(' ').unwrap().0.parse().unwrap()
}

fn read_all(bob: &mut Driver) {
    let mut numbers: Vec<usize> = (1..=MESSAGES as u64)
        .map(|sequence| {
            let message = wait_message(bob);
            assert_eq!(message.sequence.0, sequence);
            number(&message)
        })
        .collect();
    // A message that met BUSY was sent again later; each came once.
    numbers.sort_unstable();
    assert_eq!(numbers, (0..MESSAGES).collect::<Vec<_>>());
}

/// A disk fails under load: the process ends with this status, and after a restart on a sound disk every accepted message is there
/// once, in order, and a retry settles the others.
fn fail_under_load(setup: Setup, fail: impl FnOnce(&Gateway), status: i32, repair: impl FnOnce()) {
    let mut gateway = Gateway::start(Setup { extra: UNHURRIED.into(), ..setup });
    let mut bob = gateway.device(gateway.over_tcp(), "bob", "phone");
    wait_welcome(&mut bob);
    bob.close().unwrap();
    let mut alice = gateway.stateless(gateway.over_tcp(), "alice", "phone");
    wait_welcome(&mut alice);
    for message in 0..MESSAGES {
        alice.submit(to("bob"), payload(message)).unwrap();
    }
    let mut accepted = Vec::new();
    while accepted.len() < 50 {
        note(alice.next(PATIENCE).unwrap(), &mut accepted);
    }
    fail(&gateway);
    wait_until("the process to end", || {
        note(alice.next(Duration::from_millis(20)).unwrap(), &mut accepted);
        gateway.has_ended()
    });
    assert_eq!(gateway.ended(), Some(status), "{}", gateway.log());
    println!("{} messages were accepted before the end", accepted.len());
    assert!(accepted.len() < MESSAGES, "everything was accepted: the fault came too late");
    repair();
    gateway.restart();
    while accepted.len() < MESSAGES {
        note(Some(alice.next(PATIENCE).unwrap().expect("an answer")), &mut accepted);
    }
    accepted.sort_unstable();
    assert_eq!(accepted, (1..=MESSAGES as u64).collect::<Vec<_>>(), "one place each");
    let mut bob = gateway.device(gateway.over_tcp(), "bob", "phone");
    read_all(&mut bob);
}

/// Proves: G-LOG-2 (a sync of the tables fails under load: the process ends with its status, and loses nothing)
/// Seen to fail when: `RocksTables` ignores failed batches and background errors.
#[test]
fn f_36_a_failing_sync_of_the_tables_ends_the_process_and_loses_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let Some(library) = compile("fsync", folder.path()) else { return };
    let trigger = folder.path().join("trigger");
    let environment = vec![
        ("LD_PRELOAD", library.into_os_string()),
        ("IRIS_FAIL_SYNC", trigger.clone().into_os_string()),
        ("IRIS__STORAGE__WRITE_BUFFER", "8MiB".into()),
        ("IRIS__STORAGE__FILL_INTERVAL", "50ms".into()),
    ];
    let setup = Setup { environment, ..Setup::default() };
    let fail = |_: &Gateway| std::fs::write(&trigger, "").unwrap();
    fail_under_load(setup, fail, 73, || std::fs::remove_file(&trigger).unwrap());
}

/// Proves: G-LOG-2 (a write of the log fails under load: the process ends with its status, and loses nothing)
/// Seen to fail when: `written` takes a failed write for a whole one.
#[test]
fn f_36_a_failing_write_of_the_log_ends_the_process_and_loses_nothing() {
    // Beyond the limit a write fails with EFBIG, also one of a ring. The signal that comes with it would kill.
    let prefix = ["env", "--ignore-signal=XFSZ"].map(str::to_owned).to_vec();
    // Less than the log has by now, and more than the text of the log takes.
    let limit = |gateway: &Gateway| limit(gateway, "--fsize=1048576");
    fail_under_load(Setup { prefix, ..Setup::default() }, limit, 72, || ());
}

/// Proves: G-LOG-2 (no descriptor is left when the tables need a new file: the process ends with its status, and loses nothing)
/// Seen to fail when: `RocksTables` ignores failed batches and background errors.
#[test]
fn f_40_a_table_without_a_descriptor_ends_the_process_and_loses_nothing() {
    let environment =
        vec![("IRIS__STORAGE__WRITE_BUFFER", "8MiB".into()), ("IRIS__STORAGE__FILL_INTERVAL", "50ms".into())];
    let setup = Setup { environment, ..Setup::default() };
    fail_under_load(setup, |gateway| limit(gateway, "--nofile=3"), 73, || ());
}

/// Proves: G-LOG-2 (a name that may not outlive a power cut is no name: a folder that cannot be synced refuses the start)
/// Seen to fail when: `sync_folder` does nothing.
#[test]
fn f_36_a_folder_that_cannot_be_synced_refuses_the_start() {
    let folder = tempfile::tempdir().unwrap();
    let Some(library) = compile("fsync", folder.path()) else { return };
    let trigger = folder.path().join("trigger");
    let environment = vec![
        ("LD_PRELOAD", library.into_os_string()),
        ("IRIS_FAIL_FOLDER_SYNC", trigger.clone().into_os_string()),
    ];
    let mut gateway = Gateway::start(Setup { environment, ..Setup::default() });
    let mut alice = gateway.device(gateway.over_tcp(), "alice", "phone");
    wait_welcome(&mut alice);
    send_accepted(&mut alice, to("bob"), "before");
    gateway.kill();
    std::fs::write(&trigger, "").unwrap();
    assert_eq!(gateway.try_restart(), Err(Some(73)), "{}", gateway.log());
    assert!(gateway.log().contains("table folder: Input/output error"), "{}", gateway.log());
    std::fs::remove_file(&trigger).unwrap();
    gateway.restart();
    let mut bob = gateway.device(gateway.over_tcp(), "bob", "phone");
    assert_eq!(text(&wait_message(&mut bob)), "before");
}

/// Proves: G-LOG-1 (recovery reads on where a signal interrupts it)
/// Seen to fail when: `read_at` takes `Interrupted` for an error.
#[test]
fn f_36_an_interrupted_read_of_the_log_is_read_again() {
    let folder = tempfile::tempdir().unwrap();
    let Some(library) = compile("interrupt", folder.path()) else { return };
    let environment = vec![("LD_PRELOAD", library.into_os_string())];
    let mut gateway = Gateway::start(Setup { environment, ..Setup::default() });
    let mut alice = gateway.device(gateway.over_tcp(), "alice", "phone");
    wait_welcome(&mut alice);
    send_accepted(&mut alice, to("bob"), "before");
    gateway.kill();
    gateway.restart();
    let mut bob = gateway.device(gateway.over_tcp(), "bob", "phone");
    assert_eq!(text(&wait_message(&mut bob)), "before");
}

/// Sets a limit of a running gateway.
fn limit(gateway: &Gateway, limit: &str) {
    let pid = gateway.pid().to_string();
    let status = Command::new("prlimit").args(["--pid", &pid, limit]).status().unwrap();
    assert!(status.success(), "prlimit {limit}");
}
