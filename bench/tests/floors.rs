//! The floors as a user runs them: a load and a server in two processes, and the report they print.
#![cfg(test)]

use serde_json::{Map, Value};
use std::process::{Command, Output};

fn bench(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_iris-bench")).args(arguments).output().unwrap()
}

fn report(arguments: &[&str]) -> Map<String, Value> {
    let output = bench(arguments);
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{arguments:?}: {complaint}");
    serde_json::from_slice(&output.stdout).unwrap()
}

const LOAD: [&str; 11] = [
    "--connections",
    "16",
    "--rate",
    "400",
    "--duration",
    "250ms",
    "--warmup",
    "50ms",
    "--shards",
    "2",
    "--json",
];

fn floor(kind: &str, more: &[&str]) -> Map<String, Value> {
    report(&[&["floor", kind], &LOAD[..], more].concat())
}

/// Every message of the window is measured, on both transports, and the server's CPU is told apart.
/// Seen to fail when: the server drops what it should send back, or the load does not record a message.
#[test]
fn every_floor_brings_every_message_back() {
    for kind in ["echo", "routed", "message"] {
        for transport in [&[][..], &["--tls"]] {
            let report = floor(kind, transport);
            let key = |last: &str| format!("floor.{kind}.{last}");
            assert_eq!(report[&key("measured")], 100, "{kind} {transport:?}");
            assert!(report[&key("sent")].as_u64() >= Some(120), "{report:?}");
            assert!(report[&key("cpu_us")].as_f64() > Some(0.0), "{report:?}");
            assert!(report[&key("p50_us")].as_f64() > Some(0.0), "{report:?}");
            assert!(report["hiccup.p999_us"].is_f64(), "{report:?}");
        }
    }
}

/// All messages of the commit floor's window become durable, in at most as many writes.
/// Seen to fail when: the committer forgets the messages that gathered during a write.
#[test]
fn the_commit_floor_commits_every_message() {
    let directory = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let place = directory.path().to_string_lossy().into_owned();
    let arguments =
        ["floor", "commit", "--rate", "2000", "--duration", "250ms", "--warmup", "50ms", "--shards", "2"];
    let report = report(&[&arguments[..], &["--json", "--data-dir", &place]].concat());
    let messages = report["floor.commit.messages"].as_u64().unwrap();
    assert!((499..=501).contains(&messages), "{report:?}");
    assert!(report["floor.commit.writes"].as_u64().unwrap() <= messages);
    assert!(report["floor.commit.p50_us"].as_f64() > Some(0.0));
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0, "a segment was left behind");
}

/// Files of a report are written beside each other.
/// Seen to fail when: the directory is ignored.
#[test]
fn a_report_can_be_kept() {
    let directory = tempfile::tempdir().unwrap();
    let out = directory.path().join("kept");
    floor("echo", &["--out", &out.to_string_lossy()]);
    for name in ["report.json", "report.html", "floor.echo.hgrm", "floor.echo.hlog"] {
        assert!(out.join(name).metadata().unwrap().len() > 100, "{name}");
    }
    let kept = out.join("report.json").to_string_lossy().into_owned();
    assert!(bench(&["compare", &kept, &kept, "--fail-if", "floor.echo.p50_us>1.1x"]).status.success());
    let failed = bench(&["compare", &kept, &kept, "--fail-if", "floor.echo.p50_us>0.9x"]);
    assert_eq!(failed.status.code(), Some(1));
}

/// A missing gateway is named with the command that builds it, and an impossible load with what is allowed.
/// Seen to fail when: the program is not looked for before it is started.
#[test]
fn what_is_missing_or_impossible_is_said() {
    let output = bench(&["latency", "--gateway", "/nonexistent/iris-gateway"]);
    assert_eq!(output.status.code(), Some(3));
    let complaint = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(complaint.contains("cargo build --release -p iris-gateway"), "{complaint}");
    let output = bench(&["floor", "echo", "--connections", "3"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("an even number of connections"));
}

/// Every engine that is compiled in echoes; one that is not says how to get it.
/// Seen to fail when: an engine's listener is not the one that was announced.
#[test]
fn every_engine_echoes() {
    for engine in ["uring", "monoio", "glommio", "tokio"] {
        if engine == "uring" || cfg!(feature = "rivals") {
            for transport in [&[][..], &["--tls"]] {
                let report = floor("echo", &[&["--engine", engine], transport].concat());
                assert_eq!(report["floor.echo.measured"], 100, "{engine} {transport:?}");
            }
        } else {
            let output = bench(&[&["floor", "echo", "--engine", engine], &LOAD[..]].concat());
            assert!(!output.status.success());
            let complaint = String::from_utf8_lossy(&output.stderr).into_owned();
            assert!(complaint.contains("--features rivals"), "{complaint}");
        }
    }
}
