//! The rules of RFC 6455, one case a line, against `iris-gateway websocket-echo` over TCP and TLS: what a peer writes, in
//! which pieces, and what must come back. The groups are those of the public conformance suites.

use super::by_hand::*;
use bytes::Bytes;
use iris_protocol::websocket::Event;
use serde_json::Value;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use tempfile::TempDir;

const NORMAL: u16 = 1000;
const PROTOCOL: u16 = 1002;
const NOT_UTF8: u16 = 1007;

const TEXT: u8 = 0x81;
const BINARY: u8 = 0x82;
const CLOSE: u8 = 0x88;
const PING: u8 = 0x89;
const PONG: u8 = 0x8a;
/// The first byte without the bit that ends a message.
const MORE: u8 = 0x7f;
const CONTINUATION: u8 = 0x80;

/// What is written, in pieces, and what comes back: echoes and pongs in order, then a close frame of this status, or one
/// without, and the end.
struct Case {
    what: String,
    pieces: Vec<Vec<u8>>,
    echoes: Vec<Event>,
    status: Option<u16>,
}

fn text(payload: &[u8]) -> Event {
    Event::Text(Bytes::copy_from_slice(payload))
}

fn binary(payload: &[u8]) -> Event {
    Event::Binary(Bytes::copy_from_slice(payload))
}

fn pong(payload: &[u8]) -> Event {
    Event::Pong(Bytes::copy_from_slice(payload))
}

fn close(status: u16) -> Vec<u8> {
    fragment(CLOSE, &status.to_be_bytes())
}

/// Frames, each in one piece, that are echoed so; then the peer closes.
fn good(what: impl Into<String>, frames: Vec<Vec<u8>>, echoes: Vec<Event>) -> Case {
    let pieces = frames.into_iter().chain([close(NORMAL)]).collect();
    Case { what: what.into(), pieces, echoes, status: Some(NORMAL) }
}

/// Frames that end the connection with this status, after these echoes.
fn bad(what: impl Into<String>, frames: Vec<Vec<u8>>, echoes: Vec<Event>, status: u16) -> Case {
    Case { what: what.into(), pieces: frames, echoes, status: Some(status) }
}

/// The same case, written in pieces of so many bytes.
fn chopped(case: Case, bytes: usize) -> Case {
    let pieces = case.pieces.concat().chunks(bytes).map(<[u8]>::to_vec).collect();
    Case { what: format!("{}, in pieces of {bytes}", case.what), pieces, ..case }
}

fn framing() -> Vec<Case> {
    let mut cases = Vec::new();
    for size in [0, 1, 125, 126, 127, 128, 65_535, 65_536, 1 << 20] {
        let payload = vec![b'*'; size];
        cases.push(good(format!("text of {size}"), vec![fragment(TEXT, &payload)], vec![text(&payload)]));
        let bytes = vec![0xfe; size];
        cases.push(good(format!("{size} bytes"), vec![fragment(BINARY, &bytes)], vec![binary(&bytes)]));
        if size == 65_536 {
            let case = good("a text", vec![fragment(TEXT, &payload)], vec![text(&payload)]);
            cases.push(chopped(case, 997));
            let case = good("bytes", vec![fragment(BINARY, &bytes)], vec![binary(&bytes)]);
            cases.push(chopped(case, 997));
        }
    }
    cases
}

fn pings() -> Vec<Case> {
    let largest = [0xfe; 125];
    let ten: Vec<Vec<u8>> = (0..10).map(|number| format!("payload {number}").into_bytes()).collect();
    let pings = || ten.iter().map(|payload| fragment(PING, payload)).collect::<Vec<_>>();
    let answers = || ten.iter().map(|payload| pong(payload)).collect::<Vec<_>>();
    vec![
        good("an empty ping", vec![fragment(PING, b"")], vec![pong(b"")]),
        good("a ping of text", vec![fragment(PING, b"hello")], vec![pong(b"hello")]),
        good("a ping of bytes", vec![fragment(PING, b"\x00\xff\xfe\xfd")], vec![pong(b"\x00\xff\xfe\xfd")]),
        good("the largest ping", vec![fragment(PING, &largest)], vec![pong(&largest)]),
        chopped(good("the largest ping", vec![fragment(PING, &largest)], vec![pong(&largest)]), 1),
        bad("a ping of 126 bytes", vec![fragment(PING, &[0xfe; 126])], vec![], PROTOCOL),
        good("an unasked pong", vec![fragment(PONG, b"")], vec![]),
        good("an unasked pong of text", vec![fragment(PONG, b"unasked")], vec![]),
        good("pong, then ping", vec![fragment(PONG, b"unasked"), fragment(PING, b"?")], vec![pong(b"?")]),
        good("ten pings", pings(), answers()),
        chopped(good("ten pings", pings(), answers()), 1),
        good("ten pings at once", vec![pings().concat()], answers()),
    ]
}

fn reserved_bits() -> Vec<Case> {
    let mut cases = Vec::new();
    for bits in [0x10, 0x20, 0x30, 0x40, 0x50, 0x60, 0x70] {
        for (kind, first) in [("text", TEXT), ("bytes", BINARY), ("ping", PING), ("close", CLOSE)] {
            let frames = || vec![fragment(TEXT, b"ok"), fragment(first | bits, b""), fragment(PING, b"?")];
            let case = bad(format!("{kind} with bits {bits:#x}"), frames(), vec![text(b"ok")], PROTOCOL);
            cases.extend([
                case,
                chopped(bad(format!("{kind} with bits {bits:#x}"), frames(), vec![text(b"ok")], PROTOCOL), 1),
            ]);
        }
        let frames = vec![fragment(TEXT & MORE, b"ok"), fragment(CONTINUATION | bits, b"")];
        cases.push(bad(format!("a fragment with bits {bits:#x}"), frames, vec![], PROTOCOL));
    }
    cases
}

fn opcodes() -> Vec<Case> {
    let unknown = (3..=7).chain(11..=15);
    let case = |opcode: u8, payload: &'static [u8]| {
        let frames = vec![fragment(TEXT, b"ok"), fragment(0x80 | opcode, payload), fragment(PING, b"?")];
        bad(format!("opcode {opcode} with {} bytes", payload.len()), frames, vec![text(b"ok")], PROTOCOL)
    };
    unknown
        .flat_map(|opcode| {
            [case(opcode, b""), case(opcode, b"payload"), chopped(case(opcode, b"payload"), 1)]
        })
        .collect()
}

fn fragmentation() -> Vec<Case> {
    let first = || fragment(TEXT & MORE, b"one ");
    let middle = || fragment(CONTINUATION & MORE, b"two ");
    let last = || fragment(CONTINUATION, b"three");
    let ping = || fragment(PING, b"?");
    let whole = || vec![text(b"one two three")];
    let mut cases = vec![
        bad(
            "a fragmented ping",
            vec![fragment(PING & MORE, b"a"), fragment(CONTINUATION, b"b")],
            vec![],
            PROTOCOL,
        ),
        bad(
            "a fragmented pong",
            vec![fragment(PONG & MORE, b"a"), fragment(CONTINUATION, b"b")],
            vec![],
            PROTOCOL,
        ),
        bad("a fragmented close", vec![fragment(CLOSE & MORE, b"\x03\xe8")], vec![], PROTOCOL),
        good("three fragments", vec![first(), middle(), last()], whole()),
        good("three fragments at once", vec![[first(), middle(), last()].concat()], whole()),
        chopped(good("three fragments", vec![first(), middle(), last()], whole()), 1),
        good(
            "pings between",
            vec![ping(), first(), ping(), middle(), ping(), last(), ping()],
            [vec![pong(b"?"); 3], whole(), vec![pong(b"?")]].concat(),
        ),
        good("a pong between", vec![first(), middle(), fragment(PONG, b"!"), last()], whole()),
        good(
            "an empty fragment",
            vec![first(), fragment(CONTINUATION & MORE, b""), middle(), last()],
            whole(),
        ),
        good(
            "nothing in three fragments",
            vec![
                fragment(BINARY & MORE, b""),
                fragment(CONTINUATION & MORE, b""),
                fragment(CONTINUATION, b""),
            ],
            vec![binary(b"")],
        ),
        good(
            "two messages",
            vec![first(), middle(), last(), first(), middle(), last()],
            [whole(), whole()].concat(),
        ),
        bad("a text inside a text", vec![first(), fragment(TEXT, b"x")], vec![], PROTOCOL),
        bad("bytes inside a text", vec![first(), fragment(BINARY, b"x")], vec![], PROTOCOL),
        bad("a second first fragment", vec![first(), first()], vec![], PROTOCOL),
        bad("a fragment after the end", vec![first(), middle(), last(), last()], whole(), PROTOCOL),
        Case {
            what: "a close between fragments".to_owned(),
            pieces: vec![first(), middle(), close(NORMAL), last()],
            echoes: vec![],
            status: Some(NORMAL),
        },
    ];
    for first in [CONTINUATION, CONTINUATION & MORE] {
        for payload in [b"".as_slice(), b"x"] {
            let frames = vec![fragment(first, payload), fragment(TEXT, b"never looked at")];
            cases.push(bad(format!("{first:#x} without a message"), frames, vec![], PROTOCOL));
            let frames = vec![fragment(TEXT, b"ok"), fragment(first, payload)];
            cases.push(bad(format!("{first:#x} after a message"), frames, vec![text(b"ok")], PROTOCOL));
        }
    }
    cases
}

/// Each ends with the byte that spoils it.
const NO_TEXT: &[&[u8]] = &[
    b"\x80",
    b"\xbf",
    b"\xc0",
    b"\xc1",
    b"\xf5",
    b"\xf8",
    b"\xfc",
    b"\xfe",
    b"\xff",
    b"\xc3\x28",
    b"\xc3\xc3",
    b"\xe0\x80",
    b"\xe0\x9f",
    b"\xe2\x28",
    b"\xe2\x82\x28",
    b"\xe2\x82\xe2",
    b"\xed\xa0",
    b"\xed\xad",
    b"\xed\xbf",
    b"\xf0\x80",
    b"\xf0\x8f",
    b"\xf0\x28",
    b"\xf0\x90\x28",
    b"\xf0\x90\x8c\x28",
    b"\xf4\x90",
    b"\xf4\xbf",
    b"\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5\xed\xa0",
];

/// Begins of characters, which may stand at the end of a fragment and not of a message.
const UNFINISHED: &[&[u8]] =
    &[b"\xc2", b"\xdf", b"\xe0\xa0", b"\xe2\x82", b"\xef\xbf", b"\xf0\x90\x8d", b"\xf4\x8f\xbf", b"ok\xce"];

/// Whole characters at the borders of every length and range, and some that are unusual and right.
const TEXTS: &[&str] = &[
    "",
    "Hello-µ@ßöäüàá-UTF-8!!",
    "κόσμε",
    "\0",
    "\u{7f}",
    "\u{80}",
    "\u{7ff}",
    "\u{800}",
    "\u{d7ff}",
    "\u{e000}",
    "\u{fffd}",
    "\u{fffe}",
    "\u{ffff}",
    "\u{10000}",
    "\u{1fffe}",
    "\u{10fffe}",
    "\u{10ffff}",
    "\u{feff}with a mark",
    "e\u{301}",
    "🏳️‍🌈",
];

fn utf8() -> Vec<Case> {
    let mut cases = Vec::new();
    for good_text in TEXTS {
        let bytes = good_text.as_bytes();
        let whole = || good(format!("{good_text:?}"), vec![fragment(TEXT, bytes)], vec![text(bytes)]);
        cases.extend([whole(), chopped(whole(), 1)]);
        let mut fragments = vec![fragment(TEXT & MORE, b"")];
        fragments.extend(bytes.iter().map(|byte| fragment(CONTINUATION & MORE, &[*byte])));
        fragments.push(fragment(CONTINUATION, b""));
        cases.push(good(format!("{good_text:?} in fragments of one byte"), fragments, vec![text(bytes)]));
    }
    for bytes in NO_TEXT {
        let longer = [bytes, b" and more".as_slice()].concat();
        cases.push(bad(format!("{bytes:x?} and more"), vec![fragment(TEXT, &longer)], vec![], NOT_UTF8));
        // Neither the frame nor the message is at its end: the byte alone must do.
        let mut head_and_bytes = fragment(TEXT & MORE, &longer);
        head_and_bytes.truncate(6 + bytes.len());
        let pieces = head_and_bytes.chunks(1).map(<[u8]>::to_vec).collect();
        cases.push(bad(format!("{bytes:x?}, byte by byte, and nothing more"), pieces, vec![], NOT_UTF8));
        let fragments = bytes.iter().map(|byte| fragment(CONTINUATION & MORE, &[*byte]));
        let pieces = [fragment(TEXT & MORE, "κό".as_bytes())].into_iter().chain(fragments).collect();
        cases.push(bad(format!("{bytes:x?} in fragments"), pieces, vec![], NOT_UTF8));
    }
    for bytes in UNFINISHED {
        cases.push(bad(format!("{bytes:x?} at the end"), vec![fragment(TEXT, bytes)], vec![], NOT_UTF8));
        let frames = vec![fragment(TEXT & MORE, bytes), fragment(PING, b"?"), fragment(CONTINUATION, b"")];
        cases.push(bad(format!("{bytes:x?} at the end of fragments"), frames, vec![pong(b"?")], NOT_UTF8));
    }
    cases.push(good(
        "any bytes in a binary message",
        vec![fragment(BINARY, b"\xff\x80\xc0")],
        vec![binary(b"\xff\x80\xc0")],
    ));
    cases
}

fn closes() -> Vec<Case> {
    let with = |status: u16, reason: &[u8]| fragment(CLOSE, &[&status.to_be_bytes(), reason].concat());
    let mut cases = vec![
        good("a text before the close", vec![fragment(TEXT, b"ok")], vec![text(b"ok")]),
        Case {
            what: "an empty close".to_owned(),
            pieces: vec![fragment(CLOSE, b"")],
            echoes: vec![],
            status: None,
        },
        bad("a close of one byte", vec![fragment(CLOSE, b"\x03")], vec![], PROTOCOL),
        bad("a close of 126 bytes", vec![with(NORMAL, &[b'x'; 124])], vec![], PROTOCOL),
        bad(
            "a reason that is no text",
            vec![with(NORMAL, b"\xce\xba\xe1\xbd\xb9\xed\xa0\x80")],
            vec![],
            NOT_UTF8,
        ),
        bad("a reason with half a character", vec![with(NORMAL, b"ok\xce")], vec![], NOT_UTF8),
    ];
    for reason in [b"bye".as_slice(), &[b'x'; 123], "κόσμε".as_bytes()] {
        let pieces = vec![with(NORMAL, reason)];
        cases.push(Case {
            what: format!("a reason of {} bytes", reason.len()),
            pieces,
            echoes: vec![],
            status: Some(NORMAL),
        });
    }
    for behind in [
        fragment(PING, b"?"),
        fragment(TEXT, b"late"),
        close(NORMAL),
        fragment(0x83, b""),
        vec![0; 256 << 10],
    ] {
        let what = format!("{:x?} behind the close", &behind[..2]);
        cases.push(Case { what, pieces: vec![close(NORMAL), behind], echoes: vec![], status: Some(NORMAL) });
    }
    for status in
        [1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014, 3000, 3999, 4000, 4999]
    {
        cases.push(Case {
            what: format!("status {status}"),
            pieces: vec![close(status)],
            echoes: vec![],
            status: Some(status),
        });
    }
    for status in [0, 1, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65_535] {
        cases.push(bad(format!("status {status}"), vec![close(status)], vec![], PROTOCOL));
    }
    cases
}

fn many_fragments() -> Vec<Case> {
    let payload: Vec<u8> = (b'a'..=b'z').cycle().take(65_536).collect();
    let case = |bytes: usize| {
        let parts: Vec<&[u8]> = payload.chunks(bytes).collect();
        let frames = parts.iter().enumerate().map(|(index, part)| {
            let first = if index == 0 { TEXT } else { CONTINUATION };
            fragment(if index + 1 == parts.len() { first } else { first & MORE }, part)
        });
        good(format!("65,536 bytes in fragments of {bytes}"), frames.collect(), vec![text(&payload)])
    };
    [64, 1300, 32_768].map(case).into()
}

/// The echo server's process.
struct Echo {
    child: Child,
    address: String,
}

impl Echo {
    fn start(rest: &[&str]) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_iris-gateway"))
            .args([&["websocket-echo", "--listen", "127.0.0.1:0"], rest].concat())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let ready: Value = serde_json::from_str(&line).unwrap();
        Self { child, address: ready["listen"].as_str().unwrap().to_owned() }
    }
}

impl Drop for Echo {
    fn drop(&mut self) {
        let _ended_already = self.child.kill();
        let _ended_already = self.child.wait();
    }
}

/// Plays every case on a connection of its own; what came back otherwise.
fn failures(cases: &[Case], connect: impl Fn() -> Socket) -> Vec<String> {
    let mut failures = Vec::new();
    for case in cases {
        let mut conn = WebSocket::open_to_echo(connect());
        for piece in &case.pieces {
            conn.write(piece);
        }
        let (echoes, status) = conn.echoes();
        if (&echoes, status) != (&case.echoes, case.status) {
            failures.push(format!(
                "{}: {} echoes {:?}, status {status:?}",
                case.what,
                echoes.len(),
                echoes.first()
            ));
        }
    }
    failures
}

fn play(cases: &[Case]) {
    let plain = Echo::start(&[]);
    assert_eq!(failures(cases, || Socket::plain(&plain.address)), Vec::<String>::new(), "over TCP");
    let dir = TempDir::new().unwrap();
    let path = |name: &str| dir.path().join(name).display().to_string();
    assert!(
        crate::harness::run(&["tls", "selfsigned", "--out", dir.path().to_str().unwrap()]).status.success()
    );
    let (certificate, key, authority) = (path("server.pem"), path("server.key"), path("ca.pem"));
    let tls = Echo::start(&["--tls-certificate", &certificate, "--tls-key", &key]);
    let connect = || Socket::tls(&tls.address, Path::new(&authority));
    assert_eq!(failures(cases, connect), Vec::<String>::new(), "over TLS");
    println!("{} cases over TCP and TLS", cases.len());
}

/// Proves: G-WS-1 (messages of every length form, in one piece and in many; fragments of many sizes)
#[test]
fn f_53_messages_of_every_size_are_echoed() {
    play(&[framing(), many_fragments()].into_iter().flatten().collect::<Vec<_>>());
}

/// Proves: G-WS-1 (pings are answered in order, pongs are not)
#[test]
fn f_53_pings_are_answered_and_pongs_are_taken() {
    play(&pings());
}

/// Proves: G-WS-1 (reserved bits and unknown opcodes end the connection at once)
#[test]
fn f_53_reserved_bits_and_unknown_opcodes_are_refused() {
    play(&[reserved_bits(), opcodes()].into_iter().flatten().collect::<Vec<_>>());
}

/// Proves: G-WS-1 (fragments make a message in their order, and have no other place)
#[test]
fn f_53_fragments_make_one_message_and_have_no_other_place() {
    play(&fragmentation());
}

/// Proves: G-WS-1 (text is UTF-8, or ends the connection at the byte that spoils it)
#[test]
fn f_53_text_is_utf8_or_refused_at_its_first_wrong_byte() {
    play(&utf8());
}

/// Proves: G-WS-1 (closes are answered with their status, wrong ones refused, and nothing is looked at behind one)
#[test]
fn f_53_closes_are_answered_and_end_everything() {
    play(&closes());
}
