//! Golden bytes: `protocol/golden/*.hex` pin every frame and every field of it.
//!
//! A file holds comment lines (`#`) and the frame in hex, its length prefix first. To write them anew after
//! a deliberate addition: `IRIS_GOLDEN_WRITE=1 cargo nextest run --release -p iris-protocol golden`, then read
//! the difference: a changed line in an existing file breaks every client in the field.

use crate::samples::{self, client_kind, server_kind};
use crate::schema::Schema;
use bytes::Bytes;
use iris_protocol::frame::{body_length, decode_client, decode_server, encode};
use iris_protocol::limits::{FRAME_BYTES_MAX, LENGTH_BYTES};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::PathBuf;

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("golden")
}

/// Every sample, encoded with its prefix, by file name.
fn encoded() -> BTreeMap<String, Vec<u8>> {
    let mut all = BTreeMap::new();
    for (name, frame) in samples::client() {
        encode(&frame, all.entry(name).or_default());
    }
    for (name, frame) in samples::server() {
        encode(&frame, all.entry(name).or_default());
    }
    all
}

fn to_hex(name: &str, bytes: &[u8]) -> String {
    let mut text = format!("# {name}: 4 bytes of length, then the body. Pinned by tests/wire/golden.rs.\n");
    let (prefix, body) = bytes.split_at(LENGTH_BYTES);
    for line in [prefix].into_iter().chain(body.chunks(16)) {
        let words: Vec<String> = line.iter().map(|byte| format!("{byte:02x}")).collect();
        writeln!(text, "{}", words.join(" ")).unwrap();
    }
    text
}

fn from_hex(text: &str) -> Vec<u8> {
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines.flat_map(str::split_whitespace).map(|word| u8::from_str_radix(word, 16).unwrap()).collect()
}

fn read(name: &str) -> Vec<u8> {
    let path = folder().join(format!("{name}.hex"));
    let text = std::fs::read_to_string(&path);
    from_hex(&text.unwrap_or_else(|error| panic!("{}: {error}; see tests/wire/golden.rs", path.display())))
}

fn write_if_asked() {
    if std::env::var_os("IRIS_GOLDEN_WRITE").is_none() {
        return;
    }
    for (name, bytes) in encoded() {
        std::fs::write(folder().join(format!("{name}.hex")), to_hex(&name, &bytes)).unwrap();
    }
}

/// Proves: G-WIRE-1 (frames encode to their pinned bytes)
/// Seen to fail when: the numbers of `Deliver.sequence` and `previous_sequence` are exchanged in the .proto.
#[test]
fn golden_every_frame_encodes_to_its_pinned_bytes() {
    write_if_asked();
    for (name, bytes) in encoded() {
        assert_eq!(to_hex(&name, &bytes), to_hex(&name, &read(&name)), "{name}");
    }
}

/// Proves: G-WIRE-1 (pinned bytes decode to their meaning)
/// Seen to fail when: one byte of client_ping.hex is changed.
#[test]
fn golden_every_pinned_frame_decodes_to_its_meaning() {
    write_if_asked();
    let body = |name: &str| {
        let bytes = read(name);
        let length = body_length(&bytes, FRAME_BYTES_MAX).unwrap().unwrap();
        assert_eq!(bytes.len(), length + LENGTH_BYTES, "{name}");
        Bytes::from(bytes).slice(LENGTH_BYTES..)
    };
    for (name, frame) in samples::client() {
        assert_eq!(decode_client(body(&name)).unwrap(), frame, "{name}");
    }
    for (name, frame) in samples::server() {
        assert_eq!(decode_server(body(&name)).unwrap(), frame, "{name}");
    }
}

/// Proves: G-WIRE-1 (no kind of frame is unpinned)
/// Seen to fail when: the sample of Unlink is taken out, or a stray file lies in the folder.
#[test]
fn golden_no_kind_of_frame_is_missing_and_no_file_is_left_over() {
    write_if_asked();
    let schema = Schema::read();
    let kinds = |message: &str| -> BTreeSet<String> {
        schema.messages[message].values().map(|field| field.name.clone()).collect()
    };
    let client =
        samples::client().into_iter().map(|(_, frame)| client_kind(&frame.frame.unwrap()).to_owned());
    let server =
        samples::server().into_iter().map(|(_, frame)| server_kind(&frame.frame.unwrap()).to_owned());
    assert_eq!(client.collect::<BTreeSet<_>>(), kinds("ClientFrame"));
    assert_eq!(server.collect::<BTreeSet<_>>(), kinds("ServerFrame"));
    let file_name =
        |entry: std::io::Result<std::fs::DirEntry>| entry.unwrap().file_name().into_string().unwrap();
    let files: BTreeSet<String> = std::fs::read_dir(folder()).unwrap().map(file_name).collect();
    assert_eq!(files, encoded().into_keys().map(|name| format!("{name}.hex")).collect());
}

/// Proves: G-WIRE-1 (no field is unpinned)
/// Seen to fail when: the sample of Rejected leaves `retry_after_ms` out.
#[test]
fn golden_every_field_of_every_frame_is_pinned() {
    let schema = Schema::read();
    let mut seen = BTreeSet::new();
    for (name, bytes) in encoded() {
        let message = if name.starts_with("client_") { "ClientFrame" } else { "ServerFrame" };
        schema.scan(message, &bytes[LENGTH_BYTES..], &mut seen);
    }
    let mut all = schema.reachable("ClientFrame");
    all.extend(schema.reachable("ServerFrame"));
    assert!(all.len() > 60, "only {} fields were read from the .proto", all.len());
    assert_eq!(seen, all);
}
