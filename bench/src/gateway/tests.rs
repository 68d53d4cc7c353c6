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
fn the_ready_line_names_both_addresses() {
    let line = r#"{"ready":true,"listen":"127.0.0.1:7443","plaintext":"127.0.0.1:7445","pid":9}"#;
    assert_eq!(ready_address(line, true).unwrap().port(), 7443);
    assert_eq!(ready_address(line, false).unwrap().port(), 7445);
    assert!(ready_address(r#"{"ready":true,"listen":"127.0.0.1:7443","plaintext":null}"#, false).is_err());
    assert!(ready_address("listening", true).is_err());
}

/// Record figures are read as a total or summed over shards; a line without them is no figure.
/// Seen to fail when: shards are not summed, or a missing figure counts as 0.
#[test]
fn record_figures_are_summed_over_shards() {
    let expected = Some(RecordStats { records: 5, messages: 70 });
    assert_eq!(record_stats(r#"{"stats":true,"records":5,"record_messages":70}"#), expected);
    let by_shard =
        r#"{"stats":true,"shards":[{"records":2,"record_messages":30},{"records":3,"record_messages":40}]}"#;
    assert_eq!(record_stats(by_shard), expected);
    assert_eq!(record_stats(r#"{"stats":true}"#), None);
    assert_eq!(record_stats("no json"), None);
}

/// No two of 100,000 connections come from the same address, and all of them are loopback's.
/// Seen to fail when: the third byte does not change.
#[test]
fn every_connection_has_an_address_of_its_own() {
    let all: std::collections::HashSet<_> = (0..100_000).map(source_address).collect();
    assert_eq!(all.len(), 100_000);
    assert!(all.iter().all(|address| address.ip().is_loopback() && address.ip() != Ipv4Addr::LOCALHOST));
}
