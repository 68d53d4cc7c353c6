//! Claims about the `iris-client` command: what it prints and how it ends.

#![cfg(test)]

#[path = "support/fake_server.rs"]
mod fake_server;

use fake_server::{FakeServer, PATIENCE, Peer, accepted, deliver, rejected, token, welcome};
use iris_protocol::wire::client_frame;
use iris_protocol::{CloseCode, RejectCode};
use std::io::{Read, Write};
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::sync::mpsc;

struct Place {
    directory: tempfile::TempDir,
    server: FakeServer,
}

impl Place {
    fn new(script: impl FnMut(usize, &mut Peer) + Send + 'static) -> Self {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("token"), token("alice", "phone")).unwrap();
        Self { directory, server: FakeServer::plaintext(script) }
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.directory.path().join(name)
    }

    fn run(&self, args: &[&str], input: &[u8]) -> Output {
        run(&self.server.address.to_string(), &self.path("token"), args, input)
    }
}

fn run(server: &str, token_file: &Path, args: &[&str], input: &[u8]) -> Output {
    let mut child = Command::new(env!("CARGO_BIN_EXE_iris-client"))
        .args(["--server", server, "--insecure-plaintext", "--token-file"])
        .arg(token_file)
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // A command that does not read its input closes it: that is no failure.
    let _ = child.stdin.take().unwrap().write_all(input);
    child.wait_with_output().unwrap()
}

fn status(output: &Output) -> Option<i32> {
    output.status.code()
}

fn lines(output: &Output) -> Vec<serde_json::Value> {
    let text = String::from_utf8(output.stdout.clone()).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn answering(mut answer: impl FnMut(&mut Peer, &iris_protocol::wire::Send) + Send + 'static) -> Place {
    Place::new(move |_, peer| {
        peer.login(welcome());
        while let Some(send) = peer.read_send() {
            answer(peer, &send);
        }
    })
}

/// Seen to fail when: `send` leaves before everything is answered, or `code` is left out of the JSON.
#[test]
fn send_waits_for_the_acceptance_of_every_message() {
    let mut sequence = 0;
    let place = answering(move |peer, send| {
        sequence += 1;
        peer.write(accepted(send, sequence));
    });
    let output = place.run(&["--json", "send", "--to", "bob", "--count", "3", "hi"], b"");
    assert_eq!(status(&output), Some(0), "{output:?}");
    let lines = lines(&output);
    let of = |event: &str| lines.iter().filter(|line| line["event"] == event).collect::<Vec<_>>();
    assert_eq!((of("sent").len(), of("accepted").len()), (3, 3), "{lines:?}");
    assert_eq!(of("accepted")[2]["sequence"], 3);
    assert_eq!(of("accepted")[0]["durability"], "fsync");
}

/// Seen to fail when: lines of the input are joined, or empty ones sent.
#[test]
fn send_without_a_text_takes_each_line_of_the_input() {
    let (report, reports) = mpsc::channel();
    let place = answering(move |peer, send| {
        report.send(send.payload.clone()).unwrap();
        peer.write(accepted(send, 1));
    });
    let output = place.run(&["send", "--to", "bob"], b"one\n\ntwo");
    assert_eq!(status(&output), Some(0), "{output:?}");
    let payloads: Vec<_> = reports.try_iter().collect();
    assert_eq!(payloads, ["one", "two"]);
}

/// Seen to fail when: the match in `Outcome::status`, or `after_close`, gives another status.
#[test]
fn every_way_a_send_ends_has_its_status() {
    for (code, expected) in [(RejectCode::Forbidden, 3), (RejectCode::MessageIdTooOld, 4)] {
        let place = answering(move |peer, send| peer.write(rejected(send, code)));
        let output = place.run(&["send", "--to", "bob", "hi"], b"");
        assert_eq!(status(&output), Some(expected), "{code}: {output:?}");
    }
    for (code, expected) in
        [(CloseCode::AuthFailed, 6), (CloseCode::Conflict, 7), (CloseCode::VersionUnsupported, 8)]
    {
        let place = Place::new(move |_, peer| {
            peer.read();
            peer.close(code);
        });
        let output = place.run(&["send", "--to", "bob", "hi"], b"");
        assert_eq!(status(&output), Some(expected), "{code}: {output:?}");
    }
    let silent = Place::new(|_, peer| while peer.read().is_some() {});
    let output = silent.run(&["send", "--to", "bob", "--timeout", "1", "hi"], b"");
    assert_eq!(status(&output), Some(5), "{output:?}");
}

/// Seen to fail when: the checks of `options` are left out.
#[test]
fn a_wrong_command_line_ends_with_status_2_and_says_why() {
    let place = answering(|_, _| {});
    for args in [
        &["send", "--to", "not a user", "hi"][..],
        &["send", "--to", "bob", "--count", "0", "hi"],
        &["send", "--to", "bob", "--count", "2"],
        &["listen", "--unknown"],
    ] {
        let output = place.run(args, b"");
        assert_eq!((status(&output), output.stderr.is_empty()), (Some(2), false), "{args:?}: {output:?}");
    }
    let output = run("nowhere", &place.path("token"), &["listen"], b"");
    assert_eq!(status(&output), Some(2), "{output:?}");
    let output = Command::new(env!("CARGO_BIN_EXE_iris-client")).arg("listen").output().unwrap();
    assert_eq!(status(&output), Some(2), "{output:?}");
}

/// Seen to fail when: `Failure::status` gives another status for the store.
#[test]
fn an_unusable_token_or_state_is_told_by_the_status() {
    let place = answering(|_, _| {});
    let missing = place.path("missing");
    let output = run(&place.server.address.to_string(), &missing, &["listen"], b"");
    assert_eq!(status(&output), Some(6), "{output:?}");
    let state = place.path("state");
    std::fs::write(&state, "something else").unwrap();
    let output = place.run(&["--state", state.to_str().unwrap(), "listen"], b"");
    assert_eq!(status(&output), Some(9), "{output:?}");
    assert_eq!(std::fs::read(&state).unwrap(), b"something else", "a foreign file was changed");
}

/// Proves: G-CLIENT-1 (a line is printed before it is acknowledged, once over restarts)
/// Seen to fail when: `listen` leaves without `close`, so that the last message is not acknowledged.
#[test]
fn listen_prints_messages_then_acknowledges_them() {
    let (report, reports) = mpsc::channel();
    let place = Place::new(move |_, peer| {
        let hello = peer.login(welcome()).unwrap();
        let after = hello.resume_offset.unwrap_or(0);
        for offset in after + 1..=after + 2 {
            peer.write(deliver(offset, offset, "hello"));
        }
        let acks = std::iter::from_fn(|| peer.read()).map(|frame| {
            let client_frame::Frame::Ack(ack) = frame else { panic!("not an Ack: {frame:?}") };
            ack.through_offset
        });
        report.send((hello.resume_offset, acks.max())).unwrap();
    });
    let state = place.path("state");
    let args = ["--json", "--state", state.to_str().unwrap(), "listen", "--count", "2"];
    for (resume, through) in [(None, 2), (Some(2), 4)] {
        let output = place.run(&args, b"");
        assert_eq!(status(&output), Some(0), "{output:?}");
        let messages: Vec<_> = lines(&output).into_iter().filter(|line| line["event"] == "message").collect();
        assert_eq!((messages.len(), &messages[0]["text"]), (2, &"hello".into()));
        assert_eq!(reports.recv_timeout(PATIENCE).unwrap(), (resume, Some(through)));
    }
}

/// Seen to fail when: `chat` leaves at the end of its input, or shows nothing of the acceptance.
#[test]
fn chat_sends_lines_shows_answers_and_ends_with_its_input() {
    let mut sequence = 0;
    let place = answering(move |peer, send| {
        sequence += 1;
        peer.write(accepted(send, sequence));
        if sequence == 2 {
            peer.write(deliver(5, 3, "and\x1b[2J you?"));
        }
    });
    let output = place.run(&["chat", "--to", "bob"], b"hi\nhow are you?\n");
    assert_eq!(status(&output), Some(0), "{output:?}");
    let text = String::from_utf8(output.stdout).unwrap();
    for part in ["alice: hi  [sent ", "alice: how are you?  [sent ", "accepted #2", "durable: fsync"] {
        assert!(text.contains(part), "{part} is missing in {text}");
    }
    assert!(!text.contains('\x1b'), "a message steers the terminal");
}

/// Proves: G-CLIENT-2 (a doubt stays visible)
/// Seen to fail when: `driver` does not show what the state keeps.
#[test]
fn a_message_of_unknown_outcome_is_shown_at_every_start() {
    let place = answering(|peer, send| peer.write(rejected(send, RejectCode::MessageIdTooOld)));
    let state = place.path("state");
    let state = state.to_str().unwrap();
    let output = place.run(&["--state", state, "send", "--to", "bob", "precious"], b"");
    assert_eq!(status(&output), Some(4), "{output:?}");
    for _ in 0..2 {
        let output = place.run(&["--json", "--state", state, "listen", "--until-caught-up"], b"");
        let shown = lines(&output);
        assert_eq!((&shown[0]["event"], &shown[0]["text"]), (&"still_unknown".into(), &"precious".into()));
    }
}

/// Seen to fail when: `long_help` leaves the statuses out.
#[test]
fn the_help_names_every_status() {
    let output = Command::new(env!("CARGO_BIN_EXE_iris-client")).arg("--help").output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    for number in 0..=9 {
        assert!(text.contains(&format!("\n  {number}  ")), "status {number} is not explained");
    }
}

/// Proves: G-WS-2 (`--websocket` asks for the upgrade before anything else)
/// Seen to fail when: the option is not handed to the endpoint.
#[test]
fn a_websocket_begins_with_its_request() {
    let directory = tempfile::tempdir().unwrap();
    let token_file = directory.path().join("token");
    std::fs::write(&token_file, token("alice", "phone")).unwrap();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let server = std::thread::spawn(move || {
        let mut request = [0; 24];
        listener.accept().unwrap().0.read_exact(&mut request).unwrap();
        request
    });
    run(&address, &token_file, &["--websocket", "listen", "--timeout", "1"], b"");
    assert_eq!(&server.join().unwrap(), b"GET /v1/connect HTTP/1.1");
}

/// Proves: G-WS-3 (a wss:// URL is spoken over TLS as a WebSocket, and its host, port and path are asked for)
/// Seen to fail when: the path of a URL is not handed to the request, or `Place::parse` drops it.
#[test]
fn a_url_is_spoken_over_tls_as_a_websocket() {
    let (report, reports) = mpsc::channel();
    let server = FakeServer::tls("localhost", move |_, peer| {
        let head = peer.upgrade();
        peer.login(welcome());
        let send = peer.read_send().unwrap();
        peer.write(accepted(&send, 1));
        report.send((head, send.payload)).unwrap();
        while peer.read().is_some() {}
    });
    let directory = tempfile::tempdir().unwrap();
    let token_file = directory.path().join("token");
    std::fs::write(&token_file, token("alice", "phone")).unwrap();
    let port = server.address.port();
    let output = Command::new(env!("CARGO_BIN_EXE_iris-client"))
        .args(["--server", &format!("wss://localhost:{port}/behind/a/proxy?from=here")])
        .args(["--json", "--ca", server.authority().unwrap().to_str().unwrap(), "--token-file"])
        .arg(&token_file)
        .args(["send", "--to", "bob", "hi"])
        .output()
        .unwrap();
    assert_eq!(status(&output), Some(0), "{output:?}");
    assert!(lines(&output).iter().any(|line| line["event"] == "accepted"), "{output:?}");
    let (head, payload) = reports.recv_timeout(PATIENCE).unwrap();
    assert!(head.starts_with("GET /behind/a/proxy?from=here HTTP/1.1\r\n"), "{head}");
    assert!(head.contains(&format!("\r\nHost: localhost:{port}\r\n")), "{head}");
    assert_eq!(payload, "hi");
}

/// Proves: G-WS-3 (a ws:// URL is a WebSocket in plain text, with Iris's own path if it names none)
/// Seen to fail when: a URL without a path asks for "/".
#[test]
fn a_url_in_plain_text_has_the_usual_path() {
    let (report, reports) = mpsc::channel();
    let place = Place::new(move |_, peer| {
        report.send(peer.upgrade()).unwrap();
        peer.login(welcome());
        while peer.read().is_some() {}
    });
    let server = format!("ws://{}", place.server.address);
    let output = run(&server, &place.path("token"), &["listen", "--timeout", "1"], b"");
    assert_eq!(status(&output), Some(0), "{output:?}");
    let head = reports.recv_timeout(PATIENCE).unwrap();
    assert!(head.starts_with("GET /v1/connect HTTP/1.1\r\n"), "{head}");
}

/// Proves: G-TLS-1 (a URL that says otherwise than the flags about encryption is refused before anything is opened)
/// Seen to fail when: `options` asks for the authority before it has judged the server, or `Failure::status` gives another
/// status for a URL.
#[test]
fn a_url_that_cannot_be_used_ends_with_status_2_and_says_why() {
    let place = answering(|_, _| {});
    for (server, why) in [
        ("wss://localhost", "wss:// is encrypted"),
        ("http://localhost", "neither wss:// nor ws://"),
        ("ws://", "no host"),
        ("ws://localhost:0", "from 1 to 65535"),
        ("ws://localhost/#a", "no fragment"),
        ("ws://alice:secret@localhost", "the token says who logs in"),
    ] {
        let output = run(server, &place.path("token"), &["listen", "--timeout", "1"], b"");
        let said = String::from_utf8(output.stderr.clone()).unwrap();
        assert_eq!((status(&output), said.contains(why)), (Some(2), true), "{server}: {said}");
        assert!(!said.contains("secret"), "{said}");
    }
    let output = Command::new(env!("CARGO_BIN_EXE_iris-client"))
        .args(["--server", "ws://localhost", "listen"])
        .output()
        .unwrap();
    let said = String::from_utf8(output.stderr.clone()).unwrap();
    assert_eq!((status(&output), said.contains("--insecure-plaintext")), (Some(2), true), "{said}");
}
