//! `iris-gateway fsck` on the directories of real processes.

use crate::harness::*;
use serde_json::Value;
use std::path::Path;
use std::process::Output;

fn fsck(data_dir: &Path) -> Output {
    run(&["fsck", "--json", "--data-dir", data_dir.to_str().unwrap()])
}

fn report(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap()
}

/// Messages for two users, then a stop.
fn used(stop: impl FnOnce(&mut Gateway)) -> Gateway {
    let mut gateway = Gateway::start(Setup::default());
    let mut alice = gateway.device(gateway.over_tcp(), "alice", "phone");
    wait_welcome(&mut alice);
    for number in 0..10 {
        send_accepted(&mut alice, to("bob"), &format!("needle {number}"));
    }
    drop(alice);
    stop(&mut gateway);
    gateway
}

/// Proves: a directory is sound after a clean stop and after a kill, can be checked twice, and serves afterwards.
/// Seen to fail when: fsck looks for the slots of another core in each core.
#[test]
fn a_stopped_directory_is_sound() {
    for killed in [false, true] {
        let mut gateway = used(|gateway| {
            if killed {
                gateway.kill();
            } else {
                assert_eq!(gateway.terminate(), Some(0), "{}", gateway.log());
            }
        });
        let data_dir = gateway.dir.path().join("data");
        for _ in 0..2 {
            let output = fsck(&data_dir);
            let said = report(&output);
            assert_eq!(output.status.code(), Some(0), "{said}");
            assert_eq!(said["sound"], true, "{said}");
            let read = said["rows"].as_u64().unwrap() + said["records"].as_u64().unwrap();
            assert!(read > 0, "nothing was read: {said}");
        }
        gateway.restart();
        let mut bob = gateway.device(gateway.over_tcp(), "bob", "phone");
        assert_eq!(text(&wait_message(&mut bob)), "needle 0");
    }
}

/// Proves: G-META-1 (a directory that is in use is not checked)
/// Seen to fail when: fsck does not take the lock.
#[test]
fn a_directory_in_use_is_not_checked() {
    let gateway = Gateway::start(Setup::default());
    let output = fsck(&gateway.dir.path().join("data"));
    assert_eq!(output.status.code(), Some(67), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(report(&output)["checked"], false);
}

/// Proves: what is not a data directory is refused, and nothing is made there.
/// Seen to fail when: the lock is taken before META is looked for.
#[test]
fn what_is_no_data_directory_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    for path in [folder.path().to_owned(), folder.path().join("missing")] {
        let output = fsck(&path);
        assert_eq!(output.status.code(), Some(66), "{}", String::from_utf8_lossy(&output.stderr));
    }
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}

/// Proves: G-LOG-1 (damage in front of readable records is found, and told with where it is)
/// Seen to fail when: fsck leaves the logs out.
#[test]
fn damage_is_found() {
    let gateway = used(Gateway::kill);
    let data_dir = gateway.dir.path().join("data");
    let segments =
        folder_files(&data_dir).into_iter().filter(|path| path.components().any(|c| c.as_os_str() == "log"));
    let holds = |bytes: &[u8]| bytes.windows(8).position(|window| window == b"needle 3");
    let mut segments = segments;
    let (path, mut bytes, at) = segments
        .find_map(|path| {
            let bytes = std::fs::read(&path).unwrap();
            let at = holds(&bytes)?;
            Some((path, bytes, at))
        })
        .expect("the log holds the message");
    bytes[at] ^= 1;
    std::fs::write(path, bytes).unwrap();
    let output = fsck(&data_dir);
    let said = report(&output);
    assert_eq!(output.status.code(), Some(68), "{said}");
    assert_eq!(said["sound"], false);
    assert_eq!(said["findings"][0]["place"], "log", "{said}");
    assert_eq!(said["findings"][0]["severity"], "damage", "{said}");
}
