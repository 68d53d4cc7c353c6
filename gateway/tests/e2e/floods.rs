//! Addresses that ask for more than their share.

use crate::harness::*;
use crate::raw::*;
use iris_client::raw::RawConn;
use iris_protocol::wire::server_frame::Frame;
use prost::Message as _;
use socket2::{Domain, Socket, Type};
use std::ffi::OsString;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};

/// A gateway with these limits of an address, and with all the time to log in.
fn strict(unauthenticated: u32, handshakes_per_second: u32) -> Gateway {
    let number = |number: u32| OsString::from(number.to_string());
    Gateway::start(Setup {
        extra: "[limits]\nlogin = \"1m\"\n".into(),
        environment: vec![
            ("IRIS__LIMITS__UNAUTHENTICATED_PER_ADDRESS", number(unauthenticated)),
            ("IRIS__LIMITS__HANDSHAKES_PER_SECOND_PER_ADDRESS", number(handshakes_per_second)),
        ],
        ..Setup::default()
    })
}

fn connect(gateway: &Gateway) -> RawConn {
    RawConn::connect(&gateway.over_tcp(), PATIENCE).unwrap()
}

/// What a connection that says Hello gets; nothing if it is reset, which it may learn at any call.
fn greeted(gateway: &Gateway, token: &str) -> Option<Frame> {
    let mut conn = RawConn::connect(&gateway.over_tcp(), PATIENCE).ok()?;
    conn.send_frame(hello(token)).ok()?;
    next_frame(&mut conn)
}

/// A connection from another address of this host.
fn connect_from(gateway: &Gateway, from: &str) -> TcpStream {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.bind(&format!("{from}:0").parse::<SocketAddr>().unwrap().into()).unwrap();
    socket.connect(&gateway.plaintext_address().parse::<SocketAddr>().unwrap().into()).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket.into()
}

/// Proves: G-EDGE-3 (an address has so many connections before login; one more is reset without a word, another address and those who
/// logged in are served, on every core; a place comes back with a login or an end)
/// Seen to fail when: `Core::take_hello` keeps the place of who has logged in.
#[test]
fn an_address_has_so_many_connections_before_login_and_its_neighbours_do_not_notice() {
    let mut gateway = strict(3, 10_000);
    let mut idle: Vec<RawConn> = (0..3).map(|_| connect(&gateway)).collect();
    gateway.stats_with("unauthenticated", 3);
    for refused in 1..=5 {
        assert_eq!(greeted(&gateway, "no token"), None, "reset without a word");
        gateway.stats_with("refused_unauthenticated", refused);
    }
    let neighbour = gateway.token("neighbour", "phone");
    let mut stream = connect_from(&gateway, "127.0.0.2");
    let body = iris_protocol::wire::ClientFrame { frame: Some(hello(&neighbour)) }.encode_to_vec();
    stream.write_all(&u32::try_from(body.len()).unwrap().to_be_bytes()).unwrap();
    stream.write_all(&body).unwrap();
    stream.read_exact(&mut [0; 4]).unwrap();

    drop(idle.pop());
    gateway.stats_with("unauthenticated", 2);
    let users: Vec<RawConn> = (0..20)
        .map(|number| logged_in(&gateway, &gateway.token(&format!("user{number}"), "phone")))
        .collect();
    assert!(gateway.stats()["moves_in"].as_u64() > Some(0), "users of both cores");
    gateway.stats_with("unauthenticated", 2);
    drop((users, idle));
    gateway.stats_with("unauthenticated", 0);
    gateway.stats_with("connections", 1);
}

/// Proves: G-EDGE-3 (connections of an address that come faster than its rate are reset without a word; it is served again later)
/// Seen to fail when: `Core::knocked` admits whatever the table says.
#[test]
fn f_79_a_flood_of_handshakes_is_reset_and_the_address_is_served_again() {
    let mut gateway = strict(10, 1);
    let alice = gateway.token("alice", "phone");
    let floods = 20;
    let served = (0..floods).filter(|_| greeted(&gateway, &alice).is_some()).count();
    assert!((2..floods).contains(&served), "{served} of {floods}");
    wait_until("the refusals to be counted", || gateway.stats()["refused_handshakes"].as_u64() > Some(0));
    wait_until("the address to be served again", || greeted(&gateway, &alice).is_some());
}
