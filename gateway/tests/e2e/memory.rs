//! Memory that runs out, and what is said of it.

use crate::admin::with_admin;
use crate::floods::{greeted, head_of_answer};
use crate::harness::*;
use crate::raw::*;
use iris_client::raw::RawConn;
use iris_protocol::CloseCode;
use iris_protocol::websocket::upgrade::request;
use iris_protocol::wire::server_frame::Frame;
use std::collections::BTreeSet;
use std::io::Write as _;
use std::net::TcpStream;

/// The hint of a newcomer who was told OVERLOADED; `None`: taken.
fn turned_away(gateway: &Gateway, token: &str) -> Option<u32> {
    match greeted(gateway, token) {
        Some(Frame::Welcome(_)) => None,
        Some(Frame::Close(close)) => {
            assert_eq!(CloseCode::from_number(close.code), Some(CloseCode::Overloaded), "{close:?}");
            close.retry_after_ms
        }
        other => panic!("a newcomer got {other:?}"),
    }
}

/// Proves: G-LIMIT-7 (without memory newcomers are told OVERLOADED and when to come back, each another time, over TLS and WebSocket too;
/// who is connected talks on; readiness says so; with memory newcomers are taken again)
/// Seen to fail when: `take_hello` does not ask whether memory is full, or `MemoryGuard::look` tells the cores nothing.
#[test]
fn newcomers_are_told_to_come_back_while_there_is_no_memory() {
    let mut gateway = Gateway::start(Setup { websocket: true, ..with_admin() });
    let (mut alice, mut bob) = (
        gateway.device(gateway.over_tls(), "alice", "phone"),
        gateway.device(gateway.over_websocket(), "bob", "phone"),
    );
    assert_eq!(caught_up(&mut bob), Vec::<String>::new());
    send_accepted(&mut alice, to("bob"), "before");
    assert_eq!(text(&wait_message(&mut bob)), "before");
    let carol = gateway.token("carol", "phone");
    assert_eq!(turned_away(&gateway, &carol), None);

    let changed = gateway.reload(|setup| setup.memory = "1MiB");
    assert!(changed.contains("server.memory"), "{changed}");
    wait_until("the memory to be full", || gateway.ask("GET", "/readyz").status == 503);
    assert!(gateway.ask("GET", "/readyz").body.contains("memory"));
    let hints: BTreeSet<u32> = (0..6).map(|_| turned_away(&gateway, &carol).unwrap()).collect();
    assert!(hints.iter().all(|ms| (5_000..10_000).contains(ms)), "{hints:?}");
    assert!(hints.len() >= 3, "all are asked to come back at the same time: {hints:?}");
    let mut over_tls = RawConn::connect(&gateway.over_tls(), PATIENCE).unwrap();
    over_tls.send_frame(hello(&carol)).unwrap();
    assert!(matches!(next_frame(&mut over_tls), Some(Frame::Close(close)) if close.retry_after_ms.is_some()));
    let mut web = TcpStream::connect(gateway.websocket_plaintext_address()).unwrap();
    web.set_read_timeout(Some(PATIENCE)).unwrap();
    web.write_all(&request("localhost", [7; 16], None)).unwrap();
    let answer = head_of_answer(&mut web);
    assert!(answer.starts_with("HTTP/1.1 503 ") && answer.contains("\r\nRetry-After: "), "{answer}");
    send_accepted(&mut alice, to("bob"), "meanwhile");
    assert_eq!(text(&wait_message(&mut bob)), "meanwhile");
    let memory = gateway.ask("GET", "/api/v1/memory").json();
    assert_eq!(
        (&memory["is_full"], memory["limit_bytes"].as_u64()),
        (&true.into(), Some(1 << 20)),
        "{memory}"
    );

    gateway.reload(|setup| setup.memory = "0B");
    wait_until("room for newcomers", || turned_away(&gateway, &carol).is_none());
    assert_eq!(gateway.ask("GET", "/readyz").status, 200);
    assert!(gateway.stats()["refused_memory"].as_u64() >= Some(8));
}

/// Proves: G-ADMIN-6 (the ledger's parts are what the process holds: they are shown, their sum is below what is resident, and they follow
/// the connections)
/// Seen to fail when: `ConnTable::remove` does not count TLS connections down.
#[test]
fn the_ledger_shows_what_memory_is_for() {
    let gateway = Gateway::start(with_admin());
    let memory = || gateway.ask("GET", "/api/v1/memory").json();
    let part = |name: &str| memory()["components"][name].as_u64().unwrap();
    let mut devices: Vec<_> =
        (0..20).map(|number| gateway.device(gateway.over_tls(), &format!("user{number}"), "phone")).collect();
    for device in &mut devices {
        assert_eq!(caught_up(device), Vec::<String>::new());
    }
    wait_until("all connections in the ledger", || memory()["connections"] == 20);
    let shown = memory();
    let components = shown["components"].as_object().unwrap();
    let sum: u64 = components.values().map(|bytes| bytes.as_u64().unwrap()).sum();
    assert_eq!(shown["accounted_bytes"].as_u64(), Some(sum), "{shown}");
    assert_eq!(
        shown["resident_bytes"].as_u64(),
        Some(sum + shown["other_bytes"].as_u64().unwrap()),
        "more is accounted for than there is: {shown}"
    );
    assert!(components.values().filter(|bytes| **bytes != 0).count() >= 8, "{shown}");
    let tls = part("tls");
    assert!((20 * 3_000..20 * 5_000).contains(&tls), "{shown}");
    devices.truncate(10);
    wait_until("ten to be gone", || part("tls") == tls / 2);
    let status = run(&["status", "--admin", &format!("http://{}", gateway.admin_address())]);
    let status = String::from_utf8(status.stdout).unwrap();
    for word in ["tls", "resident", "kernel, for connections", "bytes a connection"] {
        assert!(status.contains(word), "{word} is not in {status}");
    }
}
