//! Peers that take their time, or leave without a word.

use crate::floods::{client_hello, greeted};
use crate::harness::*;
use crate::raw::*;
use iris_client::raw::RawConn;
use iris_protocol::wire::ClientFrame;
use prost::Message as _;
use socket2::SockRef;
use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

const LOGIN: Duration = Duration::from_secs(2);

/// A peer that sends byte after byte.
struct Slow {
    socket: TcpStream,
    bytes: Vec<u8>,
    sent: usize,
}

impl Slow {
    fn connect(address: &str, bytes: Vec<u8>) -> Self {
        let socket = TcpStream::connect(address).unwrap();
        socket.set_nonblocking(true).unwrap();
        Self { socket, bytes, sent: 0 }
    }

    /// Sends one byte more; false once the connection has ended.
    fn trickle(&mut self) -> bool {
        let written = self.socket.write(&self.bytes[self.sent..=self.sent]);
        self.sent += 1;
        let ended = match self.socket.read(&mut [0; 256]) {
            Ok(count) => count == 0,
            Err(error) => error.kind() != ErrorKind::WouldBlock,
        };
        written.is_ok() && !ended
    }
}

fn framed_hello(token: &str) -> Vec<u8> {
    let body = ClientFrame { frame: Some(hello(token)) }.encode_to_vec();
    [&u32::try_from(body.len()).unwrap().to_be_bytes(), &body[..]].concat()
}

/// Proves: G-EDGE-2 (f_49: a handshake or a Hello that comes byte by byte ends at the login deadline, whatever comes meanwhile; an
/// address has its share of them, and is served when they are gone)
/// Seen to fail when: `Core::accepted` sets no login deadline.
#[test]
fn f_49_slow_handshakes_and_slow_hellos_end_at_the_login_deadline() {
    let mut gateway = Gateway::start(Setup {
        extra: format!("[limits]\nlogin = \"{}s\"\n", LOGIN.as_secs()),
        environment: vec![("IRIS__LIMITS__UNAUTHENTICATED_PER_ADDRESS", "10".into())],
        ..Setup::default()
    });
    let token = gateway.token("alice", "phone");
    let begun = Instant::now();
    let handshakes = (0..5).map(|_| Slow::connect(gateway.tls_address(), client_hello()));
    let hellos = (0..5).map(|_| Slow::connect(gateway.plaintext_address(), framed_hello(&token)));
    let mut slow: Vec<Slow> = handshakes.chain(hellos).collect();
    gateway.stats_with("unauthenticated", 10);
    assert_eq!(greeted(&gateway, &token), None, "more than the address's share");
    while !slow.is_empty() {
        slow.retain_mut(Slow::trickle);
        assert!(slow.iter().all(|slow| slow.sent < slow.bytes.len()), "it was waited for the last byte");
        // Their slowness is the fault, not a wait for something.
        std::thread::park_timeout(Duration::from_millis(50));
    }
    let took = begun.elapsed();
    println!("all had ended after {took:.1?}");
    assert!((LOGIN..LOGIN * 4).contains(&took), "{took:?}");
    gateway.stats_with("unauthenticated", 0);
    assert!(greeted(&gateway, &token).is_some());
}

/// Connects, goes so far, and leaves with a reset.
fn leave_abruptly(gateway: &Gateway, how: usize, token: &str) {
    let over_tls = |bytes: &[u8]| {
        let mut socket = TcpStream::connect(gateway.tls_address()).unwrap();
        SockRef::from(&socket).set_linger(Some(Duration::ZERO)).unwrap();
        socket.write_all(bytes).unwrap();
    };
    let connect = || RawConn::connect(&gateway.over_tcp(), PATIENCE).unwrap();
    match how % 6 {
        0 => connect().reset().unwrap(),
        1 => over_tls(&[]),
        2 => over_tls(&client_hello()[..100]),
        3 => over_tls(&client_hello()),
        4 => {
            let mut conn = connect();
            conn.send_frame(hello(token)).unwrap();
            conn.reset().unwrap();
        }
        _ => logged_in(gateway, token).reset().unwrap(),
    }
}

/// Descriptors and resident memory of a process.
fn footprint(pid: u32) -> (usize, u64) {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    let kib: u64 = line.trim().trim_end_matches(" kB").parse().unwrap();
    (std::fs::read_dir(format!("/proc/{pid}/fd")).unwrap().count(), kib)
}

/// Proves: G-EDGE-1 (f_47: a flood of connections that are reset at every stage leaves no place, descriptor or memory behind)
/// Seen to fail when: `Core::closed` keeps the place of who had not logged in.
#[test]
fn f_47_a_flood_of_resets_leaves_nothing_behind() {
    let extra = "[connections]\nrings = 1\ndescriptors_per_ring = 256\n".into();
    let mut gateway = Gateway::start(Setup { extra, ..Setup::default() });
    let tokens: Vec<String> =
        (0..12).map(|number| gateway.token(&format!("user{number}"), "phone")).collect();
    let flood = |gateway: &mut Gateway, count: usize| {
        for number in 0..count {
            leave_abruptly(gateway, number, &tokens[number % tokens.len()]);
        }
        for name in ["connections", "unauthenticated", "handshakes_waiting"] {
            gateway.stats_with(name, 0);
        }
        footprint(gateway.pid())
    };
    let (descriptors, memory) = flood(&mut gateway, 2_400);
    let (descriptors_after, memory_after) = flood(&mut gateway, 2_400);
    println!("{descriptors} and {descriptors_after} descriptors, {memory} and {memory_after} KiB");
    assert_eq!(descriptors_after, descriptors);
    assert!(memory_after < memory + (8 << 10), "{memory} and {memory_after} KiB");
    assert!(greeted(&gateway, &tokens[0]).is_some());
}
