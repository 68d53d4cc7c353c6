//! The admin port of a real process.

use crate::harness::*;
use serde_json::Value;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;

/// An answer of the port.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) body: String,
}

impl Reply {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// Panics unless the refusal has this status and code, and says something.
    pub(crate) fn assert_refused(&self, status: u16, code: &str) {
        let body = self.json();
        assert_eq!((self.status, body["code"].as_str()), (status, Some(code)), "{self:?}");
        assert!(!body["message"].as_str().unwrap().is_empty(), "{self:?}");
    }
}

impl Gateway {
    pub(crate) fn credential(&self) -> String {
        let text = std::fs::read_to_string(self.dir.path().join("admin.credential")).unwrap();
        text.trim().to_owned()
    }

    /// Asks the admin port without a credential.
    pub(crate) fn ask(&self, method: &str, path: &str) -> Reply {
        request(self.admin_address(), &format!("{method} {path}"), &[], "")
    }

    /// Asks the admin port as an operator; `body` is JSON, or empty.
    pub(crate) fn order(&self, method: &str, path: &str, body: &str) -> Reply {
        let bearer = format!("Authorization: Bearer {}", self.credential());
        request(self.admin_address(), &format!("{method} {path}"), &[&bearer], body)
    }
}

/// One request on a connection of its own.
pub(crate) fn request(address: &str, line: &str, headers: &[&str], body: &str) -> Reply {
    let has_host = headers.iter().any(|header| header.starts_with("Host:"));
    let host = if has_host { String::new() } else { format!("Host: {address}\r\n") };
    let headers: String = headers.iter().flat_map(|header| [header, "\r\n"]).collect();
    let mut socket = TcpStream::connect(address).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    let length = body.len();
    let head =
        format!("{line} HTTP/1.1\r\n{host}{headers}Connection: close\r\nContent-Length: {length}\r\n\r\n");
    socket.write_all(format!("{head}{body}").as_bytes()).unwrap();
    let mut answer = String::new();
    socket.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or_else(|| panic!("{line}: {answer:?}"));
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    Reply { status, body: body.to_owned() }
}

pub(crate) fn with_admin() -> Setup {
    Setup { admin: "127.0.0.1:0", ..Setup::default() }
}

/// Proves: G-ADMIN-2 (a gateway that serves lives and is ready; one that drains lives and is not)
/// Seen to fail when: `/readyz` does not look at the drain.
#[test]
fn health_follows_what_the_process_does() {
    let mut gateway = Gateway::start(with_admin());
    assert_eq!(gateway.ask("GET", "/livez").status, 200);
    wait_until("the cores' first figures", || gateway.ask("GET", "/readyz").status == 200);
    let verbose = gateway.ask("GET", "/readyz?verbose").body;
    for check in ["started: ok", "serving: ok", "storage: ok"] {
        assert!(verbose.contains(check), "{verbose}");
    }
    let stays = crate::raw::logged_in(&gateway, &gateway.token("alice", "phone"));
    signal(gateway.pid(), "TERM");
    wait_until("the drain", || gateway.ask("GET", "/readyz").status == 503);
    assert_eq!(gateway.ask("GET", "/livez").status, 200);
    assert!(gateway.ask("GET", "/readyz").body.contains("drains"));
    drop(stays);
    assert_eq!(gateway.ended(), Some(0), "{}", gateway.log());
}

/// Proves: G-ADMIN-2 (metrics are what the cores counted, for each shard, under documented names; no user is in them)
/// Seen to fail when: `CoreStats::values` skips a figure.
#[test]
fn metrics_are_what_the_cores_counted() {
    let gateway = Gateway::start(with_admin());
    let mut alice = gateway.device(gateway.over_tls(), "alice", "phone");
    send_accepted(&mut alice, to("bob"), "hello");
    let sum = |text: &str, name: &str| -> f64 {
        let lines = text.lines().filter(|line| line.starts_with(&format!("{name}{{shard=")));
        lines.map(|line| line.rsplit_once(' ').unwrap().1.parse::<f64>().unwrap()).sum()
    };
    let scrape = || gateway.ask("GET", "/metrics").body;
    wait_until("the message in the metrics", || sum(&scrape(), "iris_messages_accepted_total") >= 1.0);
    let text = scrape();
    assert!(sum(&text, "iris_connections") >= 1.0 && sum(&text, "iris_logins_total") >= 1.0, "{text}");
    assert!(sum(&text, "iris_log_write_seconds_total") > 0.0, "{text}");
    assert!(!text.contains("alice") && !text.contains("bob"), "{text}");
    let page = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/OPERATING.md")).unwrap();
    for line in text.lines().filter(|line| line.starts_with("# TYPE ")) {
        let name = line.split(' ').nth(2).unwrap();
        assert!(page.contains(&format!("| `{name}` |")), "{name} is not documented");
    }
    let shards = gateway.ask("GET", "/api/v1/shards").json();
    assert_eq!(shards["shards"].as_array().unwrap().len(), 2);
    assert_eq!(shards["shards"][1]["shard"], 1);
}

/// Proves: G-ADMIN-1 (a request that names another host, or none, is refused, whatever it asks)
/// Seen to fail when: the layer that looks at the Host is left out.
#[test]
fn another_host_is_refused() {
    let gateway = Gateway::start(with_admin());
    let address = gateway.admin_address();
    for path in ["/livez", "/metrics", "/api/v1/config", "/nowhere"] {
        for host in ["Host: example.org", "Host: 127.0.0.1.example.org:7480", "Host: 10.0.0.1", "Host:"] {
            request(address, &format!("GET {path}"), &[host], "").assert_refused(403, "HOST_REFUSED");
        }
    }
    assert_eq!(request(address, "GET /livez", &["Host: localhost"], "").status, 200);
}

/// Proves: G-ADMIN-3 (what is not there is refused with a code, and the configuration names files and no secrets)
/// Seen to fail when: the router has no fallback of its own.
#[test]
fn what_is_not_there_is_refused_with_a_code() {
    let gateway = Gateway::start(with_admin());
    gateway.ask("GET", "/nowhere").assert_refused(404, "UNKNOWN_PATH");
    gateway.ask("POST", "/livez").assert_refused(405, "METHOD_NOT_ALLOWED");
    let config = gateway.ask("GET", "/api/v1/config");
    assert_eq!(config.json()["server"]["shards"], 2);
    assert!(config.json()["admin"]["credential"].as_str().unwrap().ends_with("admin.credential"));
    assert!(!config.body.contains(&gateway.credential()));
}

/// Proves: G-ADMIN-1 (what changes something is refused without the credential, and with a wrong one)
/// Seen to fail when: `log_level` does not ask for an `Operator`.
#[test]
fn orders_need_the_credential() {
    let mut gateway = Gateway::start(with_admin());
    let address = gateway.admin_address().to_owned();
    let wrong = format!("Authorization: Bearer {}x", gateway.credential());
    let other = format!("Authorization: Basic {}", gateway.credential());
    for line in ["POST /api/v1/drain", "PUT /api/v1/log-level"] {
        for headers in [&[][..], &[wrong.as_str()], &[other.as_str()], &["Authorization: Bearer "]] {
            request(&address, line, headers, "{\"level\":\"debug\"}").assert_refused(401, "UNAUTHORIZED");
        }
    }
    assert!(!gateway.log().contains("\"draining\""), "{}", gateway.log());
    gateway.kill();
    std::fs::write(gateway.dir.path().join("admin.credential"), "short").unwrap();
    assert_eq!(gateway.try_restart(), Err(Some(65)), "a short credential was taken");
}

/// Proves: G-ADMIN-3 (the log's level changes at once, and a level that is none, or a body too large, changes nothing)
/// Seen to fail when: the handle's filter is not the subscriber's.
#[test]
fn the_log_level_is_changed_while_it_runs() {
    let gateway = Gateway::start(with_admin());
    let level = |body: &str| gateway.order("PUT", "/api/v1/log-level", body);
    for body in ["", "{}", "{\"level\":\"loud\"}", "{\"level\":\"debug\",\"x\":1}", "[]", "{"] {
        level(body).assert_refused(400, "INVALID");
    }
    level(&format!("{{\"level\":\"{}\"}}", "x".repeat(20_000))).assert_refused(413, "BODY_TOO_LARGE");
    drop(crate::raw::logged_in(&gateway, &gateway.token("alice", "phone")));
    assert_eq!(level("{\"level\":\"debug\"}").status, 200);
    drop(crate::raw::logged_in(&gateway, &gateway.token("bob", "phone")));
    wait_until("a line of the new level", || gateway.log().contains("\"user\":\"bob\""));
    assert!(!gateway.log().contains("\"user\":\"alice\""), "{}", gateway.log());
}

/// Proves: G-ADMIN-3 (an ordered drain is a drain: status 0, nothing left for recovery)
/// Seen to fail when: the main thread does not look at the order.
#[test]
fn an_ordered_drain_ends_the_process() {
    let mut gateway = Gateway::start(with_admin());
    assert_eq!(gateway.order("POST", "/api/v1/drain", "").status, 202);
    assert_eq!(gateway.ended(), Some(0), "{}", gateway.log());
}
