//! TLS channels, in memory.
#![cfg(test)]

use super::*;

/// Lets two channels talk until neither has anything to say; gives what the server received.
fn exchange(client: &mut Channel, server: &mut Channel, first: Vec<u8>) -> Result<Vec<u8>, BenchError> {
    let (mut to_server, mut received) = (first, Vec::new());
    for _ in 0..8 {
        let (mut to_client, mut ignored) = (Vec::new(), Vec::new());
        server.open(&std::mem::take(&mut to_server), &mut received, &mut to_client)?;
        client.open(&to_client, &mut ignored, &mut to_server)?;
        if to_server.is_empty() && to_client.is_empty() {
            break;
        }
    }
    Ok(received)
}

/// What was sealed before the handshake ended comes out on the other side, and not in the clear on the wire.
/// Seen to fail when: `seal` copies plaintext for TLS too.
#[test]
fn early_bytes_wait_for_the_handshake_and_arrive() {
    let identity = Identity::generate().unwrap();
    let mut client = identity.client().unwrap().channel().unwrap();
    let mut server = identity.server().unwrap().channel().unwrap();
    let mut wire = Vec::new();
    client.seal(b"a frame of a load", &mut wire).unwrap();
    assert!(!wire.windows(7).any(|window| window == b"a frame"));
    assert!(!client.is_open());
    assert_eq!(exchange(&mut client, &mut server, wire).unwrap(), b"a frame of a load");
    assert!(client.is_open() && server.is_open());
}

/// A server with another certificate is refused.
/// Seen to fail when: the client trusts the identity of the server it talks to.
#[test]
fn an_unknown_certificate_is_refused() {
    let (mine, other) = (Identity::generate().unwrap(), Identity::generate().unwrap());
    let mut client = mine.client().unwrap().channel().unwrap();
    let mut server = other.server().unwrap().channel().unwrap();
    let mut wire = Vec::new();
    client.drain(&mut wire).unwrap();
    assert!(exchange(&mut client, &mut server, wire).is_err());
}
