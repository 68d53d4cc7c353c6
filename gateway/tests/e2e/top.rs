//! `iris-gateway top` on a terminal, which `script` (util-linux) makes.

use crate::admin::with_admin;
use crate::harness::*;
use crate::raw::logged_in;
use serde_json::Value;
use std::io::{Read as _, Write as _};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};

/// What shows another screen, the one before, and the cursor.
const OTHER_SCREEN: &str = "\u{1b}[?1049h";
const OWN_SCREEN: &str = "\u{1b}[?1049l";
const CURSOR: &str = "\u{1b}[?25h";
/// What begins a colour.
const COLOUR: &str = "\u{1b}[38;5;";

/// A terminal with `top` in it, and then what the terminal is set to.
struct Terminal {
    child: Child,
    seen: Arc<Mutex<String>>,
}

impl Terminal {
    fn start(gateway: &Gateway, environment: &[(&str, &str)]) -> Self {
        let top = env!("CARGO_BIN_EXE_iris-gateway");
        let admin = gateway.admin_address();
        let shell = format!(
            "stty rows 24 cols 80; {top} top --interval 100ms --admin http://{admin}; echo left with $?; stty -a"
        );
        let mut child = Command::new("script")
            .args(["--quiet", "--flush", "--command", &shell, "/dev/null"])
            .env("TERM", "xterm-256color")
            .env_remove("NO_COLOR")
            .envs(environment.iter().copied())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut out = child.stdout.take().unwrap();
        let seen = Arc::new(Mutex::new(String::new()));
        let shared = Arc::clone(&seen);
        std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(count @ 1..) = out.read(&mut buffer) {
                shared.lock().unwrap().push_str(&String::from_utf8_lossy(&buffer[..count]));
            }
        });
        Self { child, seen }
    }

    fn seen(&self) -> String {
        self.seen.lock().unwrap().clone()
    }

    /// Waits until this is written behind what was seen `after`.
    fn wait_for(&self, text: &str, after: usize) {
        wait_until(&format!("{text:?} on the terminal"), || self.seen()[after..].contains(text));
    }

    fn press(&mut self, keys: &str) {
        self.child.stdin.as_mut().unwrap().write_all(keys.as_bytes()).unwrap();
    }

    /// Presses the keys, and waits for the end: what was seen after them.
    fn leave(mut self, keys: &str) -> String {
        let before = self.seen().len();
        self.press(keys);
        self.wait_for("left with ", before);
        drop(self.child.stdin.take());
        assert!(self.child.wait().unwrap().success());
        wait_until("the terminal's settings", || self.seen()[before..].contains("echoke"));
        self.seen()[before..].to_owned()
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ended_already = self.child.kill();
        let _ended_already = self.child.wait();
    }
}

/// The terminal is as it was before.
fn assert_restored(end: &str) {
    assert!(end.contains("left with 0"), "{end:?}");
    let (before, _) = end.split_once("left with").unwrap();
    assert!(before.contains(OWN_SCREEN) && before.contains(CURSOR), "{end:?}");
    let settings = |name: &str| end.split([' ', ';', '\n', '\r']).any(|word| word == name);
    assert!(settings("icanon") && settings("echo") && settings("isig"), "{end:?}");
}

/// Proves: `top` shows a gateway on a terminal, tells that it is lost and goes on when it is back, and gives the terminal back as it was.
/// Seen to fail when: `Screen` is not dropped, or `spawn_looks` ends at the first failure.
#[test]
fn top_shows_a_gateway_survives_its_loss_and_gives_the_terminal_back() {
    let mut gateway = Gateway::start(with_admin());
    let _phone = logged_in(&gateway, &gateway.token("alice", "phone"));
    let mut terminal = Terminal::start(&gateway, &[]);
    for text in [OTHER_SCREEN, "iris-gateway top", "ready", "delivered/s", "log sync", COLOUR] {
        terminal.wait_for(text, 0);
    }
    gateway.kill();
    terminal.wait_for("no answer since", 0);
    let before = terminal.seen().len();
    gateway.restart();
    terminal.wait_for("ready", before);
    terminal.press("p");
    terminal.wait_for("paused", before);
    assert_restored(&terminal.leave("q"));
}

/// Proves: `top` takes Ctrl-C for a wish to leave, and shows no colours where none are wanted.
/// Seen to fail when: `meaning` does not know Ctrl-C; or `Screen::take` does not look at NO_COLOR, and nor does the library below it.
#[test]
fn top_leaves_at_ctrl_c_and_shows_no_unwanted_colours() {
    let gateway = Gateway::start(with_admin());
    let terminal = Terminal::start(&gateway, &[("NO_COLOR", "1")]);
    terminal.wait_for("handshakes", 0);
    assert!(!terminal.seen().contains(COLOUR), "{:?}", terminal.seen());
    assert_restored(&terminal.leave("\u{3}"));
}

/// Proves: without a terminal `top` prints lines; each core tells what processor time its thread took.
/// Seen to fail when: `has_screen` does not look at standard output; or `cpu_us` is published as 0.
#[test]
fn top_prints_lines_where_there_is_no_terminal() {
    let gateway = Gateway::start(with_admin());
    let admin = format!("http://{}", gateway.admin_address());
    let mut child = Command::new(env!("CARGO_BIN_EXE_iris-gateway"))
        .args(["top", "--interval", "10ms", "--admin", &admin])
        .env("TERM", "xterm-256color")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut out = child.stdout.take().unwrap();
    let mut lines = vec![0; 200];
    out.read_exact(&mut lines).unwrap();
    child.kill().unwrap();
    child.wait().unwrap();
    let lines = String::from_utf8(lines).unwrap();
    assert!(lines.contains("shard  connections  logins/s") && !lines.contains('\u{1b}'), "{lines:?}");
    let shards = || gateway.ask("GET", "/api/v1/shards").json()["shards"].clone();
    let has_computed = |shard: &Value| shard["cpu_us"].as_u64().is_some_and(|us| us > 0);
    wait_until("processor time of every core", || shards().as_array().unwrap().iter().all(has_computed));
}
