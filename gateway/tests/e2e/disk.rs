//! The disk has no room, or does not keep what it was told to.

use crate::harness::*;
use crate::traffic::UNHURRIED;
use bytes::Bytes;
use iris_client::driver::{Driver, Notice};
use iris_client::session::{Event, Rejected};
use iris_protocol::{MessageId, RejectCode};
use std::path::PathBuf;
use std::process::Command;
use tempfile::TempDir;

/// Enough that messages are accepted: a little more than the 640 MiB above which a full disk has room again. It is a limit
/// of the file system, not memory that is used.
const ROOMY: u64 = 900 << 20;
/// What is left of it makes the disk full: less than 512 MiB.
const TIGHT: u64 = 100 << 20;

/// A file system in memory, with a size that can change.
struct Disk {
    folder: TempDir,
}

impl Disk {
    /// `None` where it cannot be mounted.
    fn mount() -> Option<Self> {
        Self::mount_as("tmpfs", ROOMY)
    }

    /// The same of another kind, or of another size.
    fn mount_as(kind: &str, bytes: u64) -> Option<Self> {
        let folder = TempDir::new().unwrap();
        let mount = Command::new("mount")
            .args(["-t", kind, "-o", &format!("size={bytes}"), "iris-test"])
            .arg(folder.path())
            .output();
        match mount {
            Ok(output) if output.status.success() => Some(Self { folder }),
            Ok(output) => {
                skip(&format!("mount: {}", String::from_utf8_lossy(&output.stderr)));
                None
            }
            Err(error) => {
                skip(&format!("mount: {error}"));
                None
            }
        }
    }

    fn data_dir(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    fn used(&self) -> u64 {
        let facts = rustix::fs::statvfs(self.folder.path()).unwrap();
        (facts.f_blocks - facts.f_bavail) * facts.f_frsize
    }

    /// False if more than that is used already.
    fn resize(&self, bytes: u64) -> bool {
        let options = format!("remount,size={bytes}");
        Command::new("mount").args(["-o", &options]).arg(self.folder.path()).status().unwrap().success()
    }

    /// Leaves so many bytes.
    fn leave(&self, bytes: u64) {
        // What is written meanwhile makes a try fail.
        assert!((0..100).any(|_| self.resize(self.used() + bytes)), "{} bytes are used", self.used());
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _busy = Command::new("umount").arg("--lazy").arg(self.folder.path()).status();
    }
}

/// Sends numbered texts until one is refused: what was accepted, and the refusal.
fn send_until_refused(device: &mut Driver, user: &str) -> (Vec<String>, Rejected) {
    let mut accepted = Vec::new();
    loop {
        let text = format!("after {}", accepted.len());
        device.submit(to(user), Bytes::from(text.clone())).unwrap();
        let refused = wait_for(device, "an answer", |notice| match notice {
            Notice::Event(Event::Accepted(_)) => Some(None),
            Notice::Event(Event::Rejected(rejected)) => Some(Some(rejected.clone())),
            Notice::Event(_) | Notice::Sending { .. } | Notice::Lost { .. } => None,
        });
        match refused {
            None => accepted.push(text),
            Some(rejected) => return (accepted, rejected),
        }
    }
}

fn wait_accepted(device: &mut Driver, id: MessageId) {
    wait_for(device, "acceptance of what was refused", |notice| match notice {
        Notice::Event(Event::Accepted(accepted)) if accepted.message_id == id => Some(()),
        Notice::Event(_) | Notice::Sending { .. } | Notice::Lost { .. } => None,
    });
}

fn others(device: &mut Driver, count: usize) -> Vec<String> {
    (0..count).map(|_| text(&wait_message(device))).collect()
}

/// Proves: G-LIMIT-5 (a full disk refuses messages before they are written, delivers what it has, keeps acknowledgements over a
/// restart, and accepts again once there is room; the refused message is then accepted once)
/// Seen to fail when: `Core::take_answers` does not tell the shard of the room; the storage thread first looks a second
/// after the start.
#[test]
fn f_37_a_full_disk_refuses_messages_and_goes_on_after_space_is_freed() {
    let Some(disk) = Disk::mount() else { return };
    let setup = Setup { data_dir: Some(disk.data_dir()), extra: UNHURRIED.into(), ..Setup::default() };
    let mut gateway = Gateway::start(setup);
    let mut alice = gateway.device(gateway.over_tls(), "alice", "phone");
    let mut bob = gateway.device(gateway.over_tcp(), "bob", "phone");
    let mut carol = gateway.device(gateway.over_tcp(), "carol", "phone");
    for device in [&mut alice, &mut bob, &mut carol] {
        wait_welcome(device);
    }
    carol.close().unwrap();
    let waiting: Vec<String> = (0..20).map(|number| format!("waiting {number}")).collect();
    for text in &waiting {
        send_accepted(&mut alice, to("carol"), text);
    }
    disk.leave(TIGHT);
    let (accepted, refused) = send_until_refused(&mut alice, "bob");
    assert_eq!(refused.code, Some(RejectCode::StorageFull));
    assert!(refused.retry_after.is_some(), "{refused:?}");
    assert_eq!(others(&mut bob, accepted.len()), accepted);

    let mut carol = gateway.device(gateway.over_tcp(), "carol", "phone");
    assert_eq!(caught_up(&mut carol), waiting, "deliveries go on");
    for device in [alice, bob, carol] {
        device.close().unwrap();
    }
    assert_eq!(gateway.terminate(), Some(0), "{}", gateway.log());
    gateway.restart();
    let mut carol = gateway.stateless(gateway.over_tcp(), "carol", "phone");
    assert_eq!(caught_up(&mut carol), Vec::<String>::new(), "acknowledgements were kept");
    let (at_start, refused_too) = send_until_refused(&mut carol, "alice");
    assert_eq!(at_start, Vec::<String>::new(), "a start on a full disk");
    assert_eq!(refused_too.code, Some(RejectCode::StorageFull));

    drop(carol);

    assert!(disk.resize(ROOMY));
    wait_until("room", || gateway.log().contains("\"full\":false"));
    let mut alice = gateway.device(gateway.over_tls(), "alice", "phone");
    wait_accepted(&mut alice, refused.message_id);
    send_accepted(&mut alice, to("bob"), "with room again");
    let mut bob = gateway.device(gateway.over_tcp(), "bob", "phone");
    let expected = [format!("after {}", accepted.len()), "with room again".to_owned()];
    assert_eq!(others(&mut bob, 2), expected);
    for device in [alice, bob] {
        device.close().unwrap();
    }
    assert_eq!(gateway.terminate(), Some(0), "{}", gateway.log());
    gateway.restart();
    let mut bob = gateway.stateless(gateway.over_tcp(), "bob", "phone");
    assert_eq!(caught_up(&mut bob), Vec::<String>::new(), "everything was delivered once and acknowledged");
}

/// Proves: G-LIMIT-5 (a write without room ends the process with the status DISK_FULL; nothing accepted is lost)
/// Seen to fail when: `or_die` ends with STORAGE_ENGINE_FAILED whatever the error; the ballast is never let go.
#[test]
fn f_37_a_write_without_room_ends_the_process_with_its_status() {
    let Some(disk) = Disk::mount() else { return };
    let setup = Setup { data_dir: Some(disk.data_dir()), extra: UNHURRIED.into(), ..Setup::default() };
    let mut gateway = Gateway::start(setup);
    let mut bob = gateway.device(gateway.over_tcp(), "bob", "phone");
    wait_welcome(&mut bob);
    bob.close().unwrap();
    let mut alice = gateway.device(gateway.over_tls(), "alice", "phone");
    wait_welcome(&mut alice);
    let texts: Vec<String> = (0..20).map(|number| format!("kept {number}")).collect();
    for text in &texts {
        send_accepted(&mut alice, to("bob"), text);
    }
    drop(alice);
    // Between two answers META was written: it names the segments that the first records began, and has no room any more soon.
    for _ in 0..2 {
        gateway.stats();
    }
    disk.leave(0);
    let ballast = disk.data_dir().join("BALLAST");
    wait_until("the ballast to go", || !ballast.exists());
    // Its name goes first, and its room a moment later: each mount takes milliseconds, and what it finds free away.
    (0..20).for_each(|_| disk.leave(0));
    assert_eq!(gateway.terminate(), Some(71), "{}", gateway.log());
    assert_eq!(gateway.try_restart(), Err(Some(71)), "{}", gateway.log());
    assert!(disk.resize(ROOMY));
    gateway.restart();
    let mut bob = gateway.device(gateway.over_tcp(), "bob", "phone");
    assert_eq!(others(&mut bob, texts.len()), texts);
}

/// Proves: G-LIMIT-5 (a disk that fills up while the ballast is made starts without one; where blocks cannot be reserved they are
/// written)
/// The ballast is a link to another file system: one that is too small for it, and one that reserves nothing.
/// Seen to fail when: `make_ballast` takes a lack of room for another error; `fill` writes nothing.
#[test]
fn f_37_a_ballast_that_finds_no_room_does_not_refuse_the_start() {
    const BALLAST: u64 = 2_500_000;
    let (Some(small), Some(plain)) = (Disk::mount_as("tmpfs", 1 << 20), Disk::mount_as("ramfs", ROOMY))
    else {
        return;
    };
    let environment = vec![("IRIS__STORAGE__BALLAST", format!("{BALLAST}B").into())];
    let mut gateway = Gateway::start(Setup { environment, ..Setup::default() });
    let ballast = gateway.data_dir().join("BALLAST");
    assert_eq!(std::fs::metadata(&ballast).unwrap().len(), BALLAST);
    let said = |gateway: &Gateway| gateway.log().matches("no room for the ballast file").count();
    for (disk, is_made) in [(&small, false), (&plain, true)] {
        assert_eq!(gateway.terminate(), Some(0), "{}", gateway.log());
        std::fs::remove_file(&ballast).unwrap_or_default();
        let target = disk.folder.path().join("ballast");
        std::os::unix::fs::symlink(&target, &ballast).unwrap();
        let before = said(&gateway);
        gateway.restart();
        assert_eq!(said(&gateway) - before, usize::from(!is_made), "{}", gateway.log());
        assert_eq!(ballast.exists(), is_made);
        if is_made {
            assert_eq!(std::fs::metadata(&target).unwrap().len(), BALLAST);
        }
    }
}
