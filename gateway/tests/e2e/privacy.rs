//! What a client says, and what the log repeats.

use crate::harness::*;
use crate::raw::*;
use bytes::Bytes;
use iris_client::raw::RawConn;
use iris_protocol::wire::send::Target::{Conversation, To};
use iris_protocol::wire::{self, client_frame::Frame as ClientFrame, server_frame::Frame};
use serde_json::Value;

/// Said by the client wherever it may say something; nothing of it is an id.
const SAID: &str = "plugh\n{\"level\":\"ERROR\",\"message\":\"plugh\"}\r\u{1b}[31mplugh";

fn said() -> Bytes {
    Bytes::from_static(SAID.as_bytes())
}

/// Everything that a connection may say before it logs in, and is closed for.
fn hellos() -> Vec<ClientFrame> {
    let told = wire::Hello { versions: vec![1], window: 16, ..Default::default() };
    vec![
        hello(SAID),
        hello(&format!("{0}.{0}.{0}", "plugh")),
        ClientFrame::Hello(wire::Hello { capabilities: vec![SAID.into()], ..told }),
        ClientFrame::Unlink(wire::Unlink { request_id: 1, device: SAID.into() }),
    ]
}

/// Everything that a session may say, and is refused or answered.
fn requests() -> Vec<ClientFrame> {
    let payload = |target| {
        ClientFrame::Send(wire::Send {
            request_id: 7,
            target: Some(target),
            message_id: Bytes::copy_from_slice(&fresh_id()),
            payload: said(),
            ack_through: None,
        })
    };
    let strange_id = ClientFrame::Send(wire::Send {
        request_id: 7,
        target: Some(To("bob".into())),
        message_id: said(),
        payload: said(),
        ack_through: None,
    });
    vec![
        payload(To("bob".into())),
        payload(To(SAID.into())),
        payload(Conversation(format!("d:alice:{SAID}"))),
        strange_id,
        ClientFrame::Refresh(wire::Refresh { request_id: 7, token: SAID.into() }),
        ClientFrame::Unlink(wire::Unlink { request_id: 7, device: SAID.into() }),
    ]
}

/// Proves: G-PRIVACY-1 (f_81: at the finest level, whatever a client says in whatever field, the log repeats nothing of it, nor of a
/// token, and every line is one JSON object of the server's own)
/// Seen to fail when: `Core::take_frame` logs a frame with its debug format.
#[test]
fn f_81_the_log_repeats_nothing_that_a_client_says() {
    let mut gateway = Gateway::start(Setup { level: "trace", ..Setup::default() });
    for frame in hellos() {
        let mut conn = RawConn::connect(&gateway.over_tcp(), PATIENCE).unwrap();
        conn.send_frame(frame).unwrap();
        assert!(close_code(&mut conn).is_some());
    }
    for endpoint in [gateway.over_tcp(), gateway.over_tls()] {
        let mut conn = RawConn::connect(&endpoint, PATIENCE).unwrap();
        conn.send_bytes(SAID.as_bytes()).unwrap();
        assert!(close_code(&mut conn).is_some());
    }
    let tokens = [gateway.token("alice", "phone"), gateway.token("bob", "phone")];
    let mut bob = logged_in(&gateway, &tokens[1]);
    let mut alice = logged_in(&gateway, &tokens[0]);
    for frame in requests() {
        alice.send_frame(frame).unwrap();
        assert!(matches!(
            next_frame(&mut alice),
            Some(Frame::Accepted(_) | Frame::Rejected(_) | Frame::Refreshed(_) | Frame::Unlinked(_))
        ));
    }
    assert!(matches!(next_frame(&mut bob), Some(Frame::Deliver(delivered)) if delivered.payload == said()));
    drop((alice, bob));
    assert_eq!(gateway.terminate(), Some(0));
    let log = gateway.log();
    assert!(log.contains("\"TRACE\"") && !log.contains("plugh"), "{log}");
    for part in tokens.iter().flat_map(|token| token.split('.').skip(1)) {
        assert!(!log.contains(part), "a part of a token is in the log");
    }
    for line in log.lines() {
        let event: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        assert!(event["level"].is_string() && event["message"].is_string(), "{line}");
    }
}
