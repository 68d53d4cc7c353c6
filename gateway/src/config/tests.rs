//! Where values come from, and what is refused.

use super::check::Flags;
use super::text::{default_file, table};
use super::{Config, ConfigError, DESCRIPTIONS, DiskShare, Durability, Size, Sources};
use crate::address::Network;
use crate::tls::selfsigned;
use crate::token::issuer::keygen;
use std::path::PathBuf;
use std::time::Duration;
use tempfile::TempDir;

fn file(text: &str) -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("iris.toml");
    std::fs::write(&path, text).unwrap();
    (folder, path)
}

fn load(text: &str, environment: &[(&str, &str)], settings: &[(&str, &str)]) -> Result<Config, ConfigError> {
    let (_folder, path) = file(text);
    let own =
        |pairs: &[(&str, &str)]| pairs.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect();
    Sources { file: Some(path), environment: own(environment), settings: own(settings) }.load()
}

/// Proves: the default file says what holds without any file.
/// Seen to fail when: a default is written into the text by hand.
#[test]
fn the_default_file_is_the_default() {
    assert_eq!(load(&default_file(), &[], &[]).unwrap(), Config::default());
    assert_eq!(load("", &[], &[]).unwrap(), Config::default());
    assert_eq!(Sources::default().load().unwrap(), Config::default());
    assert!(Config::default().problems(Flags::default()).is_empty());
}

/// Proves: limits left alone are the limits of the protocol.
/// Seen to fail when: a default of the section is a number of its own.
#[test]
fn default_limits_are_those_of_the_protocol() {
    let share = DiskShare { disk_bytes: 100 << 30, shards: 1 };
    assert_eq!(Config::default().shard_limits(share), iris_protocol::limits::Limits::default());
}

/// Proves: G-LIMIT-6 (all unclaimed inboxes together: 1 % of the disk, or what is configured, shared by the cores)
#[test]
fn unclaimed_inboxes_take_one_percent_of_the_disk_among_all_cores() {
    let limit = |configured: u64, shards| {
        let mut config = Config::default();
        config.limits.unclaimed_total_bytes = Size(configured);
        config.shard_limits(DiskShare { disk_bytes: 1 << 40, shards }).unclaimed_total_bytes
    };
    assert_eq!(limit(0, 1), (1 << 40) / 100);
    assert_eq!(limit(0, 8), (1 << 40) / 100 / 8);
    assert_eq!(limit(1 << 30, 4), 1 << 28);
}

/// Proves: the environment is above the file, and `--set` above both.
/// Seen to fail when: the environment is applied after `--set`.
#[test]
fn later_sources_win() {
    let text = "[server]\nshards = 1\ndrain = \"1s\"\n[storage]\ndurability = \"os\"\n";
    let environment =
        [("IRIS__SERVER__SHARDS", "2"), ("IRIS__SERVER__DRAIN", "2s"), ("IRIS_SERVER", "left alone")];
    let config = load(text, &environment, &[("server.shards", "3")]).unwrap();
    assert_eq!(config.server.shards, 3);
    assert_eq!(config.server.drain.0, Duration::from_secs(2));
    assert_eq!(config.storage.durability, Durability::Os);
}

/// Proves: a list is written as one in the file, and with commas elsewhere; what does not belong into it is refused by its key.
/// Seen to fail when: a text with commas is taken as one value.
#[test]
fn a_list_has_two_ways_to_be_written() {
    let networks =
        |text: &[&str]| text.iter().map(|network| network.parse().unwrap()).collect::<Vec<Network>>();
    let from_file = load("[limits]\naddress_allow = [\"10.0.0.0/8\", \"::1\"]\n", &[], &[]).unwrap();
    assert_eq!(from_file.limits.address_allow.0, networks(&["10.0.0.0/8", "::1"]));
    let from_flag = load("", &[], &[("limits.address_allow", "192.0.2.7, 2001:db8::/32")]).unwrap();
    assert_eq!(from_flag.limits.address_allow.0, networks(&["192.0.2.7", "2001:db8::/32"]));
    assert!(load("", &[], &[("limits.address_allow", "")]).unwrap().limits.address_allow.0.is_empty());
    let error = load("", &[], &[("limits.address_allow", "10.0.0.0/8,nowhere")]).unwrap_err().to_string();
    assert!(error.contains("limits.address_allow") && error.contains("nowhere"), "{error}");
}

/// Proves: a key that does not exist is refused by its name, wherever it stands.
/// Seen to fail when: an unknown section of the file is skipped.
#[test]
fn an_unknown_key_is_refused_by_its_name() {
    let cases = [
        (load("[server]\nshard = 1\n", &[], &[]), "server.shard"),
        (load("[servers]\nshards = 1\n", &[], &[]), "[servers]"),
        (load("shards = 1\n", &[], &[]), "shards"),
        (load("[server.shards]\na = 1\n", &[], &[]), "server.shards"),
        (load("", &[("IRIS__SERVER__SHARD", "1")], &[]), "server.shard"),
        (load("", &[("IRIS__SHARDS", "1")], &[]), "shards"),
        (load("", &[("IRIS__LIMITS__INBOX__BYTES", "1")], &[]), "limits.inbox__bytes"),
        (load("", &[], &[("limits.sends", "1")]), "limits.sends"),
    ];
    for (outcome, name) in cases {
        let error = outcome.expect_err(name);
        assert!(error.to_string().contains(name), "{name}: {error}");
        let kind = matches!(error, ConfigError::UnknownKey { .. } | ConfigError::Value { .. });
        assert!(kind, "{name}: {error:?}");
    }
}

/// Proves: a value of the wrong type or form is refused with its key and where it was set.
/// Seen to fail when: the origin of a value is not kept.
#[test]
fn a_wrong_value_is_refused_with_its_key_and_origin() {
    let cases = [
        (load("[server]\nshards = \"two\"\n", &[], &[]), "server.shards", "iris.toml"),
        (load("[server]\nshards = -1\n", &[], &[]), "server.shards", "iris.toml"),
        (load("[server]\nshards = 70000\n", &[], &[]), "server.shards", "iris.toml"),
        (load("[limits]\nheartbeat = 60\n", &[], &[]), "limits.heartbeat", "iris.toml"),
        (load("[limits]\ninbox_bytes = \"48MB\"\n", &[], &[]), "limits.inbox_bytes", "iris.toml"),
        (load("[storage]\ndurability = \"fast\"\n", &[], &[]), "storage.durability", "iris.toml"),
        (load("[listen]\ntls = \"localhost\"\n", &[], &[]), "listen.tls", "iris.toml"),
        (load("", &[("IRIS__SERVER__SHARDS", "two")], &[]), "server.shards", "IRIS__SERVER__SHARDS"),
        (load("", &[("IRIS__SERVER__DRAIN", "2")], &[]), "server.drain", "IRIS__SERVER__DRAIN"),
        (load("", &[], &[("log.level", "loud")]), "log.level", "--set"),
    ];
    for (outcome, key, origin) in cases {
        let error = outcome.expect_err(key);
        assert!(matches!(error, ConfigError::Value { .. }), "{error:?}");
        let text = error.to_string();
        assert!(text.contains(key) && text.contains(origin), "{text}");
    }
}

/// Proves: a file that is missing or is not TOML is refused by its name.
/// Seen to fail when: a missing file counts as an empty one.
#[test]
fn a_file_that_cannot_be_read_is_refused() {
    let missing = Sources { file: Some(PathBuf::from("/nowhere/iris.toml")), ..Sources::default() };
    assert!(matches!(missing.load(), Err(ConfigError::Read { .. })));
    let error = load("[server\n", &[], &[]).unwrap_err();
    assert!(
        matches!(error, ConfigError::Syntax { .. }) && error.to_string().contains("iris.toml"),
        "{error}"
    );
}

/// Proves: G-TLS-1 (plain TCP needs the flag and binds loopback addresses alone).
/// Seen to fail when: the address is not looked at once the flag is given.
#[test]
fn plaintext_needs_the_flag_and_a_loopback_address() {
    for key in ["listen.plaintext", "listen.websocket_plaintext"] {
        let problems = |address: &str, insecure_plaintext: bool| {
            let config = load("", &[], &[(key, address)]).unwrap();
            config.problems(Flags { insecure_plaintext }).len()
        };
        for address in ["127.0.0.1:0", "127.9.8.7:7000", "[::1]:7000"] {
            assert_eq!(problems(address, true), 0, "{key} {address}");
            assert_eq!(problems(address, false), 1, "{key} {address}");
        }
        for address in ["0.0.0.0:7000", "[::]:7000", "10.0.0.1:7000", "192.168.1.1:0", "[::ffff:10.0.0.1]:7"]
        {
            assert_eq!(problems(address, true), 1, "{key} {address}");
            assert_eq!(problems(address, false), 2, "{key} {address}");
        }
    }
}

/// Proves: G-WS-2 (origins come from every source, and a list that could not be kept is refused by its key)
#[test]
fn origins_are_listed_and_checked() {
    let file = "[websocket]\norigins = [\"https://a.example\"]\n";
    let texts = [("websocket.origins", "https://b.example, http://localhost:8080")];
    assert_eq!(load(file, &[], &[]).unwrap().websocket.origins, ["https://a.example"]);
    let both = load(file, &[], &texts).unwrap().websocket;
    assert_eq!(both.origins, ["https://b.example", "http://localhost:8080"]);
    let environment = [("IRIS__WEBSOCKET__ORIGINS", "")];
    assert!(load(file, &environment, &[]).unwrap().websocket.origins.is_empty());
    for wrong in ["*", "null", "https://*.example.org", "chat.example.org", "https://a.example/"] {
        let config = load("", &[], &[("websocket.origins", wrong)]).unwrap();
        let problems: Vec<String> =
            config.problems(Flags::default()).iter().map(ToString::to_string).collect();
        assert!(problems.len() == 1 && problems[0].starts_with("websocket.origins"), "{wrong}: {problems:?}");
    }
}

#[test]
fn a_gateway_that_listens_nowhere_is_refused() {
    let config = load("", &[], &[("listen.tls", ""), ("listen.websocket", "")]).unwrap();
    let problems: Vec<String> = config.problems(Flags::default()).iter().map(ToString::to_string).collect();
    assert!(problems.len() == 1 && problems[0].contains("no address to listen on"), "{problems:?}");
}

/// Proves: values out of range are all reported, each with its key.
/// Seen to fail when: the first problem ends the check.
#[test]
fn every_problem_is_reported_with_its_key() {
    let out_of_range = [
        ("server.shards", "65"),
        ("server.drain", "2h"),
        ("server.reconnect_spread", "2h"),
        ("server.data_dir", ""),
        ("listen.websocket", "127.0.0.1:7443"),
        ("listen.backlog", "0"),
        ("websocket.origins", "*"),
        ("tokens.audience", ""),
        ("tokens.issuer", ""),
        ("tokens.leeway", "6m"),
        ("tokens.cache", "0"),
        ("storage.segment_bytes", "1MiB"),
        ("storage.fill_interval", "0s"),
        ("storage.write_buffer", "1MiB"),
        ("storage.block_cache", "1KiB"),
        ("limits.inbox_envelopes", "0"),
        ("limits.inbox_bytes", "1KiB"),
        ("limits.unclaimed_envelopes", "0"),
        ("limits.unclaimed_bytes", "0B"),
        ("limits.unclaimed_total_bytes", "1B"),
        ("limits.devices", "0"),
        ("limits.sends_per_second", "0"),
        ("limits.sends_burst", "0"),
        ("limits.new_conversations_per_hour", "0"),
        ("limits.heartbeat", "11m"),
        ("limits.login", "2m"),
        ("limits.dedup", "0s"),
        ("limits.retention", "0s"),
        ("limits.detach", "0s"),
        ("limits.dedup_rows", "0"),
        ("limits.unauthenticated_per_address", "0"),
        ("limits.handshakes_per_second_per_address", "10001"),
        ("connections.rings", "0"),
        ("connections.descriptors_per_ring", "0"),
        ("connections.receive_buffers", "1000"),
        ("connections.receive_buffer_bytes", "1B"),
        ("connections.idle_after", "0s"),
        ("admin.listen", "0.0.0.0:7480"),
        ("admin.issuer_key", "issuer.key"),
    ];
    let config = load("", &[], &out_of_range).unwrap();
    let problems: Vec<String> = config.problems(Flags::default()).iter().map(ToString::to_string).collect();
    for (key, _) in out_of_range {
        assert!(problems.iter().any(|problem| problem.starts_with(key)), "{key}: {problems:#?}");
    }
    assert_eq!(problems.len(), out_of_range.len(), "{problems:#?}");
}

/// Proves: files that are missing, or are not what they should be, are found before anything is served.
/// Seen to fail when: only the certificate's existence is looked at.
#[test]
fn named_files_are_checked() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name).display().to_string();
    selfsigned::write(folder.path(), &[]).unwrap();
    keygen(folder.path()).unwrap();
    let (data, certificate, key, jwks) = (at("data"), at("server.pem"), at("server.key"), at("jwks.json"));
    let right = [
        ("server.data_dir", data.as_str()),
        ("tls.certificate", &certificate),
        ("tls.key", &key),
        ("tokens.jwks", &jwks),
    ];
    assert!(load("", &[], &right).unwrap().file_problems().is_empty());
    let (nowhere, other) = (at("nowhere/data"), at("issuer.key"));
    let wrong = [
        ("server.data_dir", nowhere.as_str()),
        ("server.data_dir", &certificate),
        ("tls.certificate", &nowhere),
        ("tls.certificate", &key),
        ("tls.key", &certificate),
        ("tls.key", &other),
        ("tokens.jwks", &nowhere),
        ("tokens.jwks", &certificate),
    ];
    for (key, value) in wrong {
        let settings: Vec<_> = right.into_iter().chain([(key, value)]).collect();
        let problems = load("", &[], &settings).unwrap().file_problems();
        assert_eq!(problems.len(), 1, "{key} = {value}: {problems:?}");
    }
    let nothing_encrypted = [right[0], right[3], ("listen.tls", ""), ("listen.websocket", "")];
    let without_tls = load("", &[], &nothing_encrypted).unwrap();
    assert!(without_tls.file_problems().is_empty(), "no certificate is needed without TLS");
}

/// Proves: each key has a description, and the operators' page has the table of all of them.
/// Seen to fail when: a default is changed without the page.
#[test]
fn the_operators_page_has_the_same_keys() {
    for key in DESCRIPTIONS.iter().flat_map(|section| section.keys) {
        assert!(key.about.iter().any(|line| !line.trim().is_empty()), "{} is not described", key.name);
    }
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/OPERATING.md");
    let page = std::fs::read_to_string(path).unwrap();
    let (before, rest) = page.split_once("<!-- configuration -->\n").expect("the opening mark");
    let (documented, after) = rest.split_once("<!-- end of configuration -->").expect("the closing mark");
    if std::env::var_os("IRIS_WRITE_DOCS").is_some() {
        let marks = ("<!-- configuration -->\n", "<!-- end of configuration -->");
        std::fs::write(path, format!("{before}{}{}{}{after}", marks.0, table(), marks.1)).unwrap();
        return;
    }
    assert_eq!(documented, table(), "IRIS_WRITE_DOCS=1 rewrites the table");
}
