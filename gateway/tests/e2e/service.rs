//! What a service manager hears.

use crate::harness::*;
use std::os::unix::net::UnixDatagram;
use std::time::Instant;

/// A service manager's socket.
struct Manager(UnixDatagram);

impl Manager {
    /// Waits until a message says this; everything that came on the way.
    fn hears(&self, wanted: &str) -> Vec<String> {
        let until = Instant::now() + PATIENCE;
        let mut heard = Vec::new();
        while Instant::now() < until {
            let mut bytes = [0; 1024];
            let Ok(count) = self.0.recv(&mut bytes) else { break };
            let message = std::str::from_utf8(&bytes[..count]).unwrap();
            heard.extend(message.lines().map(str::to_owned));
            if message.lines().any(|line| line == wanted) {
                return heard;
            }
        }
        panic!("{wanted} was not heard, but {heard:?}");
    }
}

/// Proves: G-SERVICE-1 (the manager hears when the process is ready, reloads and stops, and signs of life in between)
/// Seen to fail when: `Main::watch` gives no sign of life.
#[test]
fn the_service_manager_hears_of_every_change_and_of_life() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("notify");
    let manager = Manager(UnixDatagram::bind(&path).unwrap());
    manager.0.set_read_timeout(Some(PATIENCE)).unwrap();
    let environment = vec![("NOTIFY_SOCKET", path.into()), ("WATCHDOG_USEC", "3000000".into())];
    let mut gateway = Gateway::start(Setup { environment, ..Setup::default() });
    let before = manager.hears("READY=1");
    assert!(!before.contains(&"WATCHDOG=1".to_owned()), "life before it is ready: {before:?}");
    for _ in 0..2 {
        manager.hears("WATCHDOG=1");
    }
    gateway.reload(|setup| setup.level = "debug");
    let reloading = manager.hears("RELOADING=1");
    assert!(reloading.iter().any(|line| line.starts_with("MONOTONIC_USEC=")), "{reloading:?}");
    manager.hears("READY=1");
    signal(gateway.pid(), "TERM");
    manager.hears("STOPPING=1");
    assert_eq!(gateway.ended(), Some(0), "{}", gateway.log());
}
