//! Starts that must be refused, and how they are told.

use crate::harness::*;
use std::io::{Read, Seek, SeekFrom, Write};
use std::process::Command;

fn status_name(gateway: &Gateway, name: &str) -> bool {
    gateway.log().contains(name)
}

/// Proves: G-META-1 (one process a data directory)
/// Seen to fail when: `DirectoryLock::take` ignores that the lock is held.
#[test]
fn f_70_a_second_process_on_the_same_data_is_refused() {
    let gateway = Gateway::start(Setup::default());
    let output = Command::new(env!("CARGO_BIN_EXE_iris-gateway"))
        .args(["serve", "--insecure-plaintext", "--config"])
        .arg(gateway.config())
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(67), "{}", String::from_utf8_lossy(&output.stderr));
}

/// Seen to fail when: `bind_all` maps every error to CONFIG.
#[test]
fn f_70_a_taken_port_is_named() {
    let gateway = Gateway::start(Setup::default());
    let other = Gateway::start(Setup::default());
    let address = gateway.tls_address().to_owned();
    let output = Command::new(env!("CARGO_BIN_EXE_iris-gateway"))
        .args(["serve", "--set", &format!("listen.tls={address}")])
        .args(["--set", &format!("server.data_dir={}", other.dir.path().join("second").display())])
        .arg("--config")
        .arg(other.config())
        .env("IRIS__LISTEN__PLAINTEXT", "")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(74), "{said}");
    assert!(said.contains(&address), "{said}");
}

/// Proves: G-LOG-1 (damage in front of readable records refuses to start; nothing accepted is skipped in silence)
/// Seen to fail when: recovery drops readable records behind a hole as if the host had lost writes.
#[test]
fn f_35_a_flipped_bit_in_the_log_refuses_to_start() {
    let mut gateway = Gateway::start(Setup { shards: 1, ..Setup::default() });
    let mut alice = gateway.device(gateway.over_tcp(), "alice", "phone");
    wait_welcome(&mut alice);
    for number in 0..10 {
        send_accepted(&mut alice, to("bob"), &format!("needle {number}"));
    }
    gateway.kill();
    let segment = folder_files(&gateway.dir.path().join("data"))
        .into_iter()
        .find(|path| std::fs::read(path).unwrap().windows(8).any(|window| window == b"needle 3"))
        .expect("the log holds the message");
    let bytes = std::fs::read(&segment).unwrap();
    let at = bytes.windows(8).position(|window| window == b"needle 3").unwrap() as u64;
    let mut file = std::fs::OpenOptions::new().read(true).write(true).open(&segment).unwrap();
    file.seek(SeekFrom::Start(at)).unwrap();
    let mut byte = [0];
    file.read_exact(&mut byte).unwrap();
    file.seek(SeekFrom::Start(at)).unwrap();
    file.write_all(&[byte[0] ^ 1]).unwrap();
    drop(file);
    assert_eq!(gateway.try_restart(), Err(Some(68)), "{}", gateway.log());
    assert!(status_name(&gateway, "DAMAGED"));
}

/// Proves: G-DRAIN-1 (SIGTERM ends in order: exit status 0, and nothing is recovered from the log at the next start)
/// Seen to fail when: `run_core` does not finish its storage thread.
#[test]
fn f_68_a_drain_ends_with_status_0_and_tells_its_clients() {
    use iris_client::driver::Notice;
    use iris_client::session::Event;
    let mut gateway = Gateway::start(Setup::default());
    let mut alice = gateway.device(gateway.over_tls(), "alice", "phone");
    wait_welcome(&mut alice);
    send_accepted(&mut alice, to("bob"), "before the drain");
    signal(gateway.pid(), "TERM");
    wait_for(&mut alice, "go away", |notice| {
        matches!(notice, Notice::Event(Event::GoAway { .. })).then_some(())
    });
    drop(alice);
    assert_eq!(gateway.terminate(), Some(0), "{}", gateway.log());
    gateway.restart();
    assert_eq!(gateway.clean_recoveries(), 4, "two cores, two starts:\n{}", gateway.log());
    let mut bob = gateway.device(gateway.over_tls(), "bob", "phone");
    assert_eq!(text(&wait_message(&mut bob)), "before the drain");
}

/// Proves: G-OBSERVE-1 (a message can be followed by its id through the log, from its arrival to its delivery),
/// G-PRIVACY-1 (neither the payload nor the token is in the log)
/// Seen to fail when: `trace::delivered` is not called.
#[test]
fn a_message_can_be_followed_by_its_id_and_its_payload_is_never_logged() {
    let mut gateway = Gateway::start(Setup { level: "trace", ..Setup::default() });
    let token = gateway.token("alice", "phone");
    let mut alice = gateway.device(gateway.over_tls(), "alice", "phone");
    let mut bob = gateway.device(gateway.over_tls(), "bob", "phone");
    wait_welcome(&mut alice);
    wait_welcome(&mut bob);
    let id = send_accepted(&mut alice, to("bob"), "a-secret-text").to_string();
    wait_message(&mut bob);
    assert_eq!(gateway.terminate(), Some(0));
    let log = gateway.log();
    for step in ["send", "persist", "accept", "deliver"] {
        let found = log.lines().any(|line| line.contains(&id) && line.contains(&format!("\"{step}\"")));
        assert!(found, "no line {step} for {id} in:\n{log}");
    }
    assert!(!log.contains("a-secret-text"), "a payload is in the log");
    assert!(!log.contains(&token[..40]), "a token is in the log");
}
