//! Rules between values, and the files that they name.
//!
//! Invariants
//! - Every problem is reported, not only the first.
//! - Nothing is changed or made by a check.

use super::{Address, Admin, Config, ConfigError};
use crate::address::PER_ADDRESS_MAX;
use crate::admin::Credential;
use crate::tls::{ServerTls, Tickets};
use crate::token::Verifier;
use crate::token::issuer::Issuer;
use iris_protocol::limits::{HEARTBEAT_MAX, PAYLOAD_BYTES_MAX, SHARDS_MAX};
use std::path::Path;
use std::time::Duration;

/// Flags that decide what a configuration may say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Flags {
    /// `--insecure-plaintext` was given.
    pub insecure_plaintext: bool,
}

/// Smallest file of the record log.
const SEGMENT_BYTES_MIN: u64 = 16 << 20;
/// Largest file of the record log.
const SEGMENT_BYTES_MAX: u64 = 4 << 30;
/// Least room for all unclaimed inboxes together: less would be full by a few messages.
const UNCLAIMED_TOTAL_MIN: u64 = 1 << 20;
/// The unit of direct writes.
const BLOCK_BYTES: u64 = 4096;

/// Gathers what is wrong.
#[derive(Default)]
struct Problems(Vec<ConfigError>);

impl Problems {
    fn unless(&mut self, holds: bool, key: &'static str, message: &str) {
        if !holds {
            self.0.push(ConfigError::Rule { key, message: message.to_owned() });
        }
    }

    fn file(&mut self, key: &'static str, path: &Path, outcome: Result<(), String>) {
        if let Err(message) = outcome {
            self.0.push(ConfigError::Rule { key, message: format!("{}: {message}", path.display()) });
        }
    }
}

impl Config {
    /// Everything that is wrong with the values themselves.
    pub fn problems(&self, flags: Flags) -> Vec<ConfigError> {
        let mut problems = Problems::default();
        self.process(&mut problems);
        self.addresses(flags, &mut problems);
        self.storage_sizes(&mut problems);
        self.user_limits(&mut problems);
        self.connection_tables(&mut problems);
        self.admin_port(&mut problems);
        problems.0
    }

    /// Everything that is wrong with the files that the values name.
    pub fn file_problems(&self) -> Vec<ConfigError> {
        let mut problems = Problems::default();
        problems.file("server.data_dir", &self.server.data_dir, usable_directory(&self.server.data_dir));
        if self.listen.needs_certificate() {
            let loaded = Tickets::in_memory().map_err(|error| error.to_string()).and_then(|tickets| {
                let tls = ServerTls::load(&self.tls.certificate, &self.tls.key, tickets);
                tls.map_err(|error| error.to_string())
            });
            if let Err(message) = loaded {
                problems.0.push(ConfigError::Rule { key: "tls", message });
            }
        }
        let verifier = Verifier::load(&self.tokens.jwks, self.tokens.policy());
        problems.file("tokens.jwks", &self.tokens.jwks, verifier.map(drop).map_err(|e| e.to_string()));
        for (key, path) in [
            ("admin.credential", &self.admin.credential),
            ("admin.issuer_credential", &self.admin.issuer_credential),
        ] {
            problems.file(key, path, Credential::of_setting(path).map(drop));
        }
        let key = &self.admin.issuer_key;
        if !key.as_os_str().is_empty() {
            problems.file("admin.issuer_key", key, Issuer::load(key).map(drop).map_err(|e| e.to_string()));
        }
        problems.0
    }

    fn process(&self, problems: &mut Problems) {
        problems.unless(self.server.shards <= SHARDS_MAX, "server.shards", "at most 64");
        problems.unless(!self.server.data_dir.as_os_str().is_empty(), "server.data_dir", "must not be empty");
        problems.unless(!self.tokens.audience.is_empty(), "tokens.audience", "must not be empty");
        problems.unless(!self.tokens.issuer.is_empty(), "tokens.issuer", "must not be empty");
        let leeway = self.tokens.leeway.0;
        problems.unless(leeway <= Duration::from_mins(5), "tokens.leeway", "at most 5m");
        problems.unless((1..=1 << 20).contains(&self.tokens.cache), "tokens.cache", "1 to 1048576");
    }

    fn addresses(&self, flags: Flags, problems: &mut Problems) {
        let listen = &self.listen;
        let all = [
            ("listen.tls", listen.tls, true),
            ("listen.plaintext", listen.plaintext, false),
            ("listen.websocket", listen.websocket, true),
            ("listen.websocket_plaintext", listen.websocket_plaintext, false),
        ];
        let is_any = all.iter().any(|(_, address, _)| address.0.is_some());
        problems.unless(is_any, "listen.tls", "no address to listen on");
        for (index, (key, address, is_encrypted)) in all.into_iter().enumerate() {
            let Address(Some(address)) = address else { continue };
            problems.unless(
                is_encrypted || flags.insecure_plaintext,
                key,
                "tokens and messages would travel unencrypted; it needs the flag --insecure-plaintext",
            );
            let may_be_bound = is_encrypted || address.ip().is_loopback();
            problems.unless(may_be_bound, key, "only loopback addresses, 127.0.0.0/8 and ::1");
            let before = all.iter().take(index).any(|(_, other, _)| other.0 == Some(address));
            problems.unless(!before || address.port() == 0, key, "the same address as another listener's");
        }
        if let Err(error) = self.websocket.origins() {
            problems.unless(false, "websocket.origins", &error.to_string());
        }
        problems.unless((1..=1 << 16).contains(&self.listen.backlog), "listen.backlog", "1 to 65536");
        let drain = self.server.drain.0;
        problems.unless(drain <= Duration::from_hours(1), "server.drain", "at most 1h");
        let spread = self.server.reconnect_spread.0;
        problems.unless(spread <= Duration::from_hours(1), "server.reconnect_spread", "at most 1h");
    }

    fn admin_port(&self, problems: &mut Problems) {
        let Admin { listen, credential, issuer_key, issuer_credential } = &self.admin;
        let is_loopback = listen.0.is_none_or(|address| address.ip().is_loopback());
        problems.unless(is_loopback, "admin.listen", "only loopback addresses, 127.0.0.0/8 and ::1");
        let both = issuer_key.as_os_str().is_empty() == issuer_credential.as_os_str().is_empty();
        problems.unless(both, "admin.issuer_key", "it and admin.issuer_credential go together");
        let differ = credential.as_os_str().is_empty() || credential != issuer_credential;
        problems.unless(differ, "admin.issuer_credential", "the same file as admin.credential");
    }

    fn storage_sizes(&self, problems: &mut Problems) {
        let segment = self.storage.segment_bytes.0;
        let fits = (SEGMENT_BYTES_MIN..=SEGMENT_BYTES_MAX).contains(&segment);
        problems.unless(fits, "storage.segment_bytes", "16MiB to 4GiB");
        problems.unless(segment.is_multiple_of(BLOCK_BYTES), "storage.segment_bytes", "a multiple of 4KiB");
        let fill = self.storage.fill_interval.0;
        let fits = (Duration::from_millis(1)..=Duration::from_mins(1)).contains(&fill);
        problems.unless(fits, "storage.fill_interval", "1ms to 1m");
        problems.unless(self.storage.write_buffer.0 >= 8 << 20, "storage.write_buffer", "at least 8MiB");
        problems.unless(self.storage.block_cache.0 >= 1 << 20, "storage.block_cache", "at least 1MiB");
    }

    fn user_limits(&self, problems: &mut Problems) {
        let limits = &self.limits;
        let payload = u64::try_from(PAYLOAD_BYTES_MAX).unwrap_or(u64::MAX);
        problems.unless(limits.inbox_envelopes >= 1, "limits.inbox_envelopes", "at least 1");
        problems.unless(limits.inbox_bytes.0 >= payload, "limits.inbox_bytes", "at least 64KiB, one payload");
        problems.unless(limits.unclaimed_bytes.0 >= payload, "limits.unclaimed_bytes", "at least 64KiB");
        let total = limits.unclaimed_total_bytes.0;
        let fits = total == 0 || total >= UNCLAIMED_TOTAL_MIN;
        problems.unless(fits, "limits.unclaimed_total_bytes", "at least 1MiB, or 0B for 1 % of the disk");
        problems.unless(limits.unclaimed_envelopes >= 1, "limits.unclaimed_envelopes", "at least 1");
        problems.unless(limits.devices >= 1, "limits.devices", "at least 1");
        problems.unless(limits.sends_per_second >= 1, "limits.sends_per_second", "at least 1");
        problems.unless(limits.sends_burst >= 1, "limits.sends_burst", "at least 1");
        problems.unless(
            limits.new_conversations_per_hour >= 1,
            "limits.new_conversations_per_hour",
            "at least 1",
        );
        let heartbeat = limits.heartbeat.0;
        let fits = (Duration::from_secs(1)..=HEARTBEAT_MAX).contains(&heartbeat);
        problems.unless(fits, "limits.heartbeat", "1s to 10m");
        let login = limits.login.0;
        let fits = (Duration::from_millis(100)..=Duration::from_mins(1)).contains(&login);
        problems.unless(fits, "limits.login", "100ms to 1m");
        let second = Duration::from_secs(1);
        problems.unless(limits.dedup.0 >= second, "limits.dedup", "at least 1s");
        problems.unless(limits.retention.0 >= second, "limits.retention", "at least 1s");
        problems.unless(limits.detach.0 >= second, "limits.detach", "at least 1s");
        problems.unless(limits.dedup_rows >= 1, "limits.dedup_rows", "at least 1");
        let per_address = 1..=PER_ADDRESS_MAX;
        problems.unless(
            per_address.contains(&limits.unauthenticated_per_address),
            "limits.unauthenticated_per_address",
            "1 to 10000",
        );
        problems.unless(
            per_address.contains(&limits.handshakes_per_second_per_address),
            "limits.handshakes_per_second_per_address",
            "1 to 10000",
        );
    }

    fn connection_tables(&self, problems: &mut Problems) {
        let tables = &self.connections;
        problems.unless((1..=256).contains(&tables.rings), "connections.rings", "1 to 256");
        let descriptors = tables.descriptors_per_ring;
        problems.unless(
            (16..=1 << 20).contains(&descriptors),
            "connections.descriptors_per_ring",
            "16 to 1048576",
        );
        let buffers = tables.receive_buffers;
        let fits = buffers.is_power_of_two() && buffers <= 1 << 15;
        problems.unless(fits, "connections.receive_buffers", "a power of two, at most 32768");
        let bytes = tables.receive_buffer_bytes.0;
        problems.unless((64..=1 << 24).contains(&bytes), "connections.receive_buffer_bytes", "64B to 16MiB");
        let idle = tables.idle_after.0;
        problems.unless(idle >= Duration::from_millis(8), "connections.idle_after", "at least 8ms");
    }
}

/// A directory, or a name in one.
fn usable_directory(path: &Path) -> Result<(), String> {
    match std::fs::metadata(path) {
        Ok(found) if found.is_dir() => return Ok(()),
        Ok(_) => return Err("not a directory".to_owned()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        Err(error) => return Err(error.to_string()),
    }
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    if parent.is_dir() { Ok(()) } else { Err(format!("{} does not exist", parent.display())) }
}
