//! TLS channels, in memory.
#![cfg(test)]

use super::*;

/// Lets two channels talk until neither has anything to say; gives what the server received.
fn exchange(client: &mut Channel, server: &mut Channel, first: Vec<u8>) -> Result<Vec<u8>, BenchError> {
    let (mut to_server, mut received) = (first, Vec::new());
    for _ in 0..8 {
        let (mut to_client, mut ignored) = (Vec::new(), Vec::new());
        server.open(&mut std::mem::take(&mut to_server), &mut received, &mut to_client)?;
        client.open(&mut to_client, &mut ignored, &mut to_server)?;
        if to_server.is_empty() {
            break;
        }
    }
    Ok(received)
}

/// Nothing is sealed before the handshake is complete; what is sealed then arrives, and is not in the clear on the wire.
/// Seen to fail when: `seal` copies plaintext for TLS too.
#[test]
fn nothing_is_sealed_before_the_handshake_and_nothing_is_in_the_clear_after_it() {
    let identity = Identity::generate().unwrap();
    let mut client = identity.client().unwrap().channel().unwrap();
    let mut server = identity.server().unwrap().channel().unwrap();
    let mut wire = Vec::new();
    assert!(client.seal(b"a frame of a load", &mut wire).is_err() && wire.is_empty());
    client.drain(&mut wire).unwrap();
    assert_eq!(exchange(&mut client, &mut server, wire).unwrap(), b"");
    assert!(client.is_open() && server.is_open());
    let mut wire = Vec::new();
    client.seal(b"a frame of a load", &mut wire).unwrap();
    assert!(!wire.windows(7).any(|window| window == b"a frame"));
    assert_eq!(exchange(&mut client, &mut server, wire).unwrap(), b"a frame of a load");
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

/// Frames go through a WebSocket end as masked messages and come back with their prefixes, pings are answered, and nothing
/// but the request is sent before the upgrade.
#[test]
fn frames_travel_as_messages() {
    use iris_protocol::websocket::{Event, Opcode, PATH, Reader, Role, SUBPROTOCOL, upgrade, write};
    let mut client = Security::Plain.with_websocket().channel().unwrap();
    let mut wire = Vec::new();
    client.drain(&mut wire).unwrap();
    assert!(wire.starts_with(b"GET /v1/connect HTTP/1.1\r\n") && !client.is_open());
    let rules = upgrade::Rules { path: Some(PATH), subprotocol: Some(SUBPROTOCOL), origins: None };
    let mut answer = upgrade::read_request(&wire, &rules).unwrap().unwrap().answer;
    write::encode(Opcode::Binary, b"from the server", None, &mut answer);
    write::encode(Opcode::Ping, b"?", None, &mut answer);
    let (mut frames, mut answers) = (Vec::new(), Vec::new());
    for byte in answer {
        client.open(&mut [byte], &mut frames, &mut answers).unwrap();
    }
    assert!(client.is_open());
    assert_eq!(frames, [&15_u32.to_be_bytes()[..], b"from the server"].concat());
    client
        .seal(&[&2_u32.to_be_bytes()[..], b"ab", &1_u32.to_be_bytes(), b"c"].concat(), &mut answers)
        .unwrap();
    let (mut reader, mut rest, mut seen) = (Reader::new(Role::Server, false), &answers[..], Vec::new());
    while let Some(event) = reader.next(&mut rest, 100).unwrap() {
        seen.push(event);
    }
    let bytes = bytes::Bytes::from_static;
    assert_eq!(seen, [Event::Pong(bytes(b"?")), Event::Binary(bytes(b"ab")), Event::Binary(bytes(b"c"))]);
}
