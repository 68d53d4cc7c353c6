//! The command `iris-gateway`, as a user runs it: no code of the gateway is linked here.
#![cfg(test)]

use serde_json::Value;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use tempfile::TempDir;

const OK: i32 = 0;
const FAILED: i32 = 1;
const USAGE: i32 = 2;
const CONFIG: i32 = 65;

/// Runs the command in a folder, with an environment of its own.
fn run(folder: &Path, words: &[&str]) -> Output {
    command(folder, words).output().unwrap()
}

fn command(folder: &Path, words: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_iris-gateway"));
    command.args(words).current_dir(folder).env_clear().stdin(Stdio::null());
    command
}

fn folder() -> TempDir {
    tempfile::tempdir().unwrap()
}

fn status(output: &Output) -> i32 {
    output.status.code().unwrap()
}

fn out(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn err(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

fn json(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap()
}

/// A folder with certificates, keys and a configuration that names them.
fn prepared() -> TempDir {
    let folder = folder();
    assert_eq!(status(&run(folder.path(), &["tls", "selfsigned", "--out", "."])), OK);
    assert_eq!(status(&run(folder.path(), &["token", "keygen", "--out", "."])), OK);
    let text = out(&run(folder.path(), &["config", "default"]))
        .replace("/etc/iris/", "")
        .replace("/var/lib/iris", "data");
    std::fs::write(folder.path().join("iris.toml"), text).unwrap();
    folder
}

fn token(folder: &Path, rest: &[&str]) -> String {
    let words = ["token", "issue", "--key", "issuer.key", "--user", "alice", "--device", "phone"];
    let output = run(folder, &[&words, rest].concat());
    assert_eq!(status(&output), OK, "{}", err(&output));
    out(&output).trim().to_owned()
}

/// Proves: the default configuration passes its own check once the files it names exist, and not before.
/// Seen to fail when: a key of the default file is written with another name.
#[test]
fn the_default_configuration_passes_its_check() {
    let folder = prepared();
    let check = run(folder.path(), &["config", "check", "--config", "iris.toml"]);
    assert_eq!(status(&check), OK, "{}", err(&check));
    std::fs::remove_file(folder.path().join("server.pem")).unwrap();
    std::fs::remove_file(folder.path().join("jwks.json")).unwrap();
    let check = run(folder.path(), &["config", "check", "--config", "iris.toml", "--json"]);
    assert_eq!(status(&check), CONFIG);
    let report = json(&check);
    assert_eq!(report["ok"], false);
    assert_eq!(report["problems"].as_array().unwrap().len(), 2, "{report}");
}

/// Proves: an unknown key is refused by its name with the status of a wrong configuration, by check and by serve.
/// Seen to fail when: `serve` skips unknown keys.
#[test]
fn an_unknown_key_is_refused_by_name_and_status() {
    let folder = prepared();
    std::fs::write(folder.path().join("wrong.toml"), "[server]\nshard_count = 2\n").unwrap();
    for command in [["config", "check"].as_slice(), &["serve"]] {
        let output = run(folder.path(), &[command, &["--config", "wrong.toml"]].concat());
        assert_eq!(status(&output), CONFIG, "{}", err(&output));
        assert!(err(&output).contains("server.shard_count"), "{}", err(&output));
        assert_eq!(out(&output), "");
    }
}

/// Proves: the environment is above the file, and `--set` above both.
/// Seen to fail when: the environment is not read.
#[test]
fn the_environment_and_set_are_above_the_file() {
    let folder = prepared();
    let check = |environment: &str, set: &str| {
        let words = ["config", "check", "--config", "iris.toml", "--set", set];
        status(&command(folder.path(), &words).env("IRIS__SERVER__SHARDS", environment).output().unwrap())
    };
    assert_eq!(check("2", "server.shards=2"), OK);
    assert_eq!(check("65", "server.drain=1s"), CONFIG);
    assert_eq!(check("65", "server.shards=2"), OK);
    assert_eq!(check("two", "server.drain=1s"), CONFIG);
}

/// Proves: G-TLS-1 (plain TCP is refused without its flag, and beyond loopback with it).
/// Seen to fail when: the flag is taken as given.
#[test]
fn plaintext_is_refused_without_its_flag() {
    let folder = prepared();
    let base = ["config", "check", "--config", "iris.toml", "--set"];
    let check = |rest: &[&str]| status(&run(folder.path(), &[&base, rest].concat()));
    assert_eq!(check(&["listen.plaintext=127.0.0.1:7080"]), CONFIG);
    assert_eq!(check(&["listen.plaintext=127.0.0.1:7080", "--insecure-plaintext"]), OK);
    assert_eq!(check(&["listen.plaintext=0.0.0.0:7080", "--insecure-plaintext"]), CONFIG);
    let serve =
        run(folder.path(), &["serve", "--config", "iris.toml", "--set", "listen.plaintext=127.0.0.1:0"]);
    assert_eq!(status(&serve), CONFIG, "{}", err(&serve));
    assert!(err(&serve).contains("--insecure-plaintext"), "{}", err(&serve));
}

/// Proves: a token that was issued verifies, as an argument and from standard input, and names its bearer.
/// Seen to fail when: the line's end is taken as part of the token.
#[test]
fn an_issued_token_verifies() {
    let folder = prepared();
    let token = token(folder.path(), &["--ttl", "1h"]);
    let verified = run(folder.path(), &["token", "verify", "--jwks", "jwks.json", "--json", &token]);
    assert_eq!(status(&verified), OK);
    let report = json(&verified);
    assert_eq!(report["valid"], true);
    assert_eq!((&report["user"], &report["device"]), (&"alice".into(), &"phone".into()));
    let left = report["expires_in_seconds"].as_u64().unwrap();
    assert!((3500..=3600).contains(&left), "{left}");

    let mut child = command(folder.path(), &["token", "verify", "--jwks", "jwks.json"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(format!("{token}\n").as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(status(&output), OK);
    assert!(out(&output).contains("alice"));
}

/// Proves: a token that is not valid is told with its reason and a failing status, and is not repeated.
/// Seen to fail when: `verify` ends with 0 whatever it found.
#[test]
fn a_wrong_token_is_told_with_its_reason() {
    let folder = prepared();
    let token = token(folder.path(), &[]);
    let other = token_of_another_key(&token);
    let cases = [
        (vec![other.as_str()], "UnknownKey"),
        (vec![token.as_str(), "--audience", "other"], "Audience"),
        (vec![token.as_str(), "--issuer", "other"], "Issuer"),
        (vec!["nonsense"], "Parts"),
    ];
    for (rest, reason) in cases {
        let words = ["token", "verify", "--jwks", "jwks.json", "--json"];
        let verified = run(folder.path(), &[words.as_slice(), &rest].concat());
        assert_eq!(status(&verified), FAILED);
        assert_eq!(json(&verified)["reason"], reason);
        assert!(!out(&verified).contains(rest[0]) && !err(&verified).contains(rest[0]));
    }
    let missing = run(folder.path(), &["token", "verify", "--jwks", "missing.json", &token]);
    assert_eq!(status(&missing), FAILED);
    assert!(err(&missing).contains("missing.json"));
}

/// The same claims, signed by a key that the gateway does not know.
fn token_of_another_key(own: &str) -> String {
    let folder = prepared();
    let other = token(folder.path(), &[]);
    assert_ne!(own, other);
    other
}

/// Proves: keys, and files of tokens, are for their owner alone and are never overwritten.
/// Seen to fail when: the tokens' file is made with the usual mode.
#[test]
fn secrets_are_private_and_never_overwritten() {
    let folder = prepared();
    let many = [
        "token",
        "issue",
        "--key",
        "issuer.key",
        "--users",
        "u%d",
        "--count",
        "3",
        "--device",
        "d1",
        "--out",
    ];
    let many = [many.as_slice(), &["tokens"]].concat();
    assert_eq!(status(&run(folder.path(), &many)), OK);
    for file in ["issuer.key", "server.key", "tokens"] {
        let mode = std::fs::metadata(folder.path().join(file)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{file}");
    }
    let contents =
        || ["issuer.key", "server.key", "tokens"].map(|f| std::fs::read(folder.path().join(f)).unwrap());
    let before = contents();
    for words in [many.as_slice(), &["token", "keygen", "--out", "."], &["tls", "selfsigned", "--out", "."]] {
        assert_eq!(status(&run(folder.path(), words)), FAILED, "{words:?}");
    }
    assert_eq!(contents(), before);
}

/// Proves: tokens for many users are written one a line, numbered from 0, and are valid.
/// Seen to fail when: numbers begin at 1.
#[test]
fn tokens_for_many_users_are_written_one_a_line() {
    let folder = prepared();
    let words =
        ["token", "issue", "--key", "issuer.key", "--users", "u%d", "--count", "500", "--device", "d1"];
    let issued = run(folder.path(), &[words.as_slice(), &["--out", "tokens"]].concat());
    assert_eq!(status(&issued), OK, "{}", err(&issued));
    let text = std::fs::read_to_string(folder.path().join("tokens")).unwrap();
    let lines: Vec<Vec<&str>> = text.lines().map(|line| line.split(' ').collect()).collect();
    assert_eq!(lines.len(), 500);
    for (number, line) in lines.iter().enumerate() {
        assert_eq!(line.len(), 3);
        assert_eq!((line[0], line[1]), (format!("u{number}").as_str(), "d1"));
    }
    let verified = run(folder.path(), &["token", "verify", "--jwks", "jwks.json", "--json", lines[499][2]]);
    assert_eq!(json(&verified)["user"], "u499");
}

/// Proves: a wrong command line ends with its own status, and nothing is done.
/// Seen to fail when: a wrong lifetime is cut to a day.
#[test]
fn a_wrong_command_line_has_its_own_status() {
    let folder = prepared();
    let cases = [
        vec![],
        vec!["dance"],
        vec!["serve", "--set", "shards=2"],
        vec!["token", "issue", "--key", "issuer.key", "--user", "a", "--device", "d", "--ttl", "25h"],
        vec!["token", "issue", "--key", "issuer.key", "--user", "a:b", "--device", "d"],
        vec![
            "token",
            "issue",
            "--key",
            "issuer.key",
            "--users",
            "u",
            "--count",
            "2",
            "--device",
            "d",
            "--out",
            "new",
        ],
    ];
    for words in cases {
        let output = run(folder.path(), &words);
        assert_eq!(status(&output), USAGE, "{words:?}: {}", err(&output));
        assert_eq!(out(&output), "", "{words:?}");
    }
    assert!(!folder.path().join("new").exists());
}

/// Proves: the version is printed for people and for programs.
/// Seen to fail when: `--json` is ignored.
#[test]
fn the_version_is_printed() {
    let folder = folder();
    let text = run(folder.path(), &["version"]);
    assert!(out(&text).starts_with("iris-gateway "), "{}", out(&text));
    let version = json(&run(folder.path(), &["version", "--json"]));
    assert!(out(&text).contains(version["version"].as_str().unwrap()));
}
