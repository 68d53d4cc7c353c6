//! What is read from a gateway's files and lines.
#![cfg(test)]

use super::*;

/// Tokens are read by line; a line of another shape is named.
/// Seen to fail when: short lines are skipped.
#[test]
fn tokens_are_read_by_line() {
    let read = credentials("u0 d1 aa.bb.cc\nu1 d1 dd.ee.ff\n").unwrap();
    assert_eq!(read.len(), 2);
    assert_eq!((read[1].user.as_str(), read[1].token.as_str()), ("u1", "dd.ee.ff"));
    assert!(credentials("u0 d1 token\nu1 token\n").unwrap_err().starts_with("line 2"));
    assert!(credentials("u/0 d1 token\n").is_err());
}

/// The address of the transport that was asked for is taken from the line that says ready.
/// Seen to fail when: the TLS address is taken for both.
#[test]
fn the_ready_line_names_every_address() {
    let line = r#"{"ready":true,"listen":"127.0.0.1:7443","plaintext":"127.0.0.1:7445","websocket":"127.0.0.1:7444",
        "websocket_plaintext":"127.0.0.1:7446","pid":9}"#;
    let ports = [(false, true, 7443), (false, false, 7445), (true, true, 7444), (true, false, 7446)];
    for (websocket, tls, port) in ports {
        assert_eq!(ready_address(line, Transport { websocket, tls }).unwrap().port(), port);
    }
    let plain = Transport { websocket: false, tls: false };
    assert!(ready_address(r#"{"ready":true,"listen":"127.0.0.1:7443","plaintext":null}"#, plain).is_err());
    assert!(ready_address("listening", plain).is_err());
}

/// What a gateway did between two of its lines; a figure that it does not count is none.
/// Seen to fail when: `growth` gives the total of `after`, or a missing figure counts as 0.
#[test]
fn statistics_are_totals_that_grow() {
    let before = ServerStats::parse(r#"{"stats":true,"records":5,"record_messages":70}"#).unwrap();
    let after = ServerStats::parse(r#"{"stats":true,"records":8,"record_messages":71,"new":1}"#).unwrap();
    assert_eq!(after.growth(&before, "records"), Some(3));
    assert_eq!(after.growth(&before, "record_messages"), Some(1));
    assert_eq!(after.growth(&before, "new"), None);
    assert_eq!(ServerStats::parse(r#"{"records":5}"#), None);
    assert_eq!(ServerStats::parse("no json"), None);
}

/// No two of 100,000 connections come from the same address, and all of them are loopback's.
/// Seen to fail when: the third byte does not change.
#[test]
fn every_connection_has_an_address_of_its_own() {
    let all: std::collections::HashSet<_> = (0..100_000).map(source_address).collect();
    assert_eq!(all.len(), 100_000);
    assert!(all.iter().all(|address| address.ip().is_loopback() && address.ip() != Ipv4Addr::LOCALHOST));
}
