//! The configuration: typed, with one source of truth for every key, its default and its description.
//!
//! Values come from the file, above it from the environment (`IRIS__SECTION__KEY`), above that from `--set section.key=value`.
//! The `sections!` table below makes the types, the defaults, the default file's comments and the operators' table.
//!
//! Invariants
//! - A key exists once, in the `sections!` table; a key outside of it is refused by name.
//! - Defaults of limits and of the reactor are those of their own crates.

pub mod check;
pub mod source;
pub mod text;
pub mod units;

pub use check::Flags;
pub use source::{ConfigError, Origin, Sources};
pub use units::{Size, Span};

use crate::address::{AddressLimits, Networks};
use crate::token::Policy;
use iris_protocol::limits::Limits;
use iris_protocol::websocket::{OriginError, Origins};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

macro_rules! sections {
    ($( $(#[doc = $about:literal])+ $field:ident: $section:ident {
        $( $(#[doc = $doc:literal])+ $key:ident: $kind:ty = $default:expr; )*
    } )*) => {
        /// Everything that can be configured.
        #[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
        pub struct Config {
            $( $(#[doc = $about])+ #[serde(default)] pub $field: $section, )*
        }

        $(
            $(#[doc = $about])+
            #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
            #[serde(default)]
            pub struct $section { $( $(#[doc = $doc])+ pub $key: $kind, )* }

            impl Default for $section {
                fn default() -> Self {
                    Self { $( $key: $default, )* }
                }
            }
        )*

        /// Every section with its description and its keys with theirs, in the order of the default file.
        pub(crate) const DESCRIPTIONS: &[text::Section] = &[$(
            text::Section {
                name: stringify!($field),
                about: &[$($about),+],
                keys: &[$( text::Key { name: stringify!($key), about: &[$($doc),+] } ),*],
            },
        )*];
    };
}

sections! {
    /// The process.
    server: Server {
        /// Where everything durable lives. One process uses it at a time.
        data_dir: PathBuf = PathBuf::from("/var/lib/iris");
        /// Cores that serve, each with its own slice of the users; 0 takes every core that the process may run on.
        /// Another number than at the last start moves users between cores before serving. At most 64.
        shards: u16 = 0;
        /// How long a drain (SIGTERM) may take before the process ends anyway. Who is still connected after half of it is closed.
        drain: Span = seconds(10);
        /// Over which the times are spread at which clients are told to come back after a drain: about what the servers that take
        /// them over need for so many handshakes.
        reconnect_spread: Span = Span(limits().reconnect_spread);
        /// Memory that the process, and the kernel for its connections, may take; above it, new connections are told OVERLOADED
        /// and when to come back, and who is connected stays. 0 takes seven eighths of what the host has at the start.
        memory: Size = Size(0);
    }
    /// Addresses to listen on, IP:PORT; port 0 takes a free one, "" listens not at all.
    listen: Listen {
        /// Clients over TLS 1.3.
        tls: Address = Address(Some(SocketAddr::from(([127, 0, 0, 1], 7443))));
        /// Clients without encryption: loopback addresses alone, and only with --insecure-plaintext.
        plaintext: Address = Address(None);
        /// Web pages and other WebSocket clients, over TLS 1.3: subprotocol iris.v1 at the path /v1/connect.
        websocket: Address = Address(Some(SocketAddr::from(([127, 0, 0, 1], 7444))));
        /// WebSocket clients without encryption: loopback addresses alone, and only with --insecure-plaintext.
        websocket_plaintext: Address = Address(None);
        /// Connections that the kernel holds until they are accepted; the kernel's own limit is net.core.somaxconn.
        backlog: u32 = 4096;
    }
    /// WebSocket clients.
    websocket: WebSocket {
        /// Origins whose web pages may connect, each as scheme://host[:port]; clients that are no browsers send none, and
        /// need none.
        origins: Vec<String> = Vec::new();
    }
    /// The server's certificate. SIGHUP reads it again.
    tls: Tls {
        /// Certificate chain, PEM, the server's own first.
        certificate: PathBuf = PathBuf::from("/etc/iris/server.pem");
        /// Its private key, PEM.
        key: PathBuf = PathBuf::from("/etc/iris/server.key");
    }
    /// Who may log in: tokens are JWTs signed with Ed25519. SIGHUP reads the keys again.
    tokens: Tokens {
        /// Public keys of the issuers, a JWKS file. A key that leaves the file ends its tokens' logins.
        jwks: PathBuf = PathBuf::from("/etc/iris/jwks.json");
        /// What `aud` must be.
        audience: String = "iris".to_owned();
        /// What `iss` must be.
        issuer: String = "iris".to_owned();
        /// How far the issuer's clock may differ from this host's.
        leeway: Span = seconds(60);
        /// Verified tokens that a core remembers, so that a reconnect costs no signature check.
        cache: u32 = 4096;
    }
    /// What is kept, and how well.
    storage: Storage {
        /// When a message counts as accepted: "fsync" (on the disk), or "os" (written; on the disk within 100 ms, so a
        /// power cut may lose that much, which is announced to clients).
        durability: Durability = Durability::Fsync;
        /// Size of one file of the record log. Written once with zeros, then recycled.
        segment_bytes: Size = Size(64 << 20);
        /// How long records are merged before they are filled into the tables: what lives shorter never gets there.
        fill_interval: Span = seconds(5);
        /// Memory for the tables' newest rows, of all cores together.
        write_buffer: Size = Size(256 << 20);
        /// Memory for the tables' cached blocks, of all cores together.
        block_cache: Size = Size(256 << 20);
        /// Size of the ballast file, which keeps room for acknowledgements and deletions on a full disk: it is let go when
        /// less than that is free, and made again at a start with room.
        ballast: Size = Size(64 << 20);
    }
    /// Limits of users and devices.
    limits: LimitSection {
        /// Inbox of a user, in messages; above it, direct messages are refused with INBOX_FULL.
        inbox_envelopes: u32 = limits().inbox_envelopes;
        /// Inbox of a user, in bytes; above it, direct messages are refused with INBOX_FULL.
        inbox_bytes: Size = Size(limits().inbox_bytes);
        /// Inbox of a user who has no device yet, in messages.
        unclaimed_envelopes: u32 = limits().unclaimed_envelopes;
        /// Inbox of a user who has no device yet, in bytes.
        unclaimed_bytes: Size = Size(limits().unclaimed_bytes);
        /// Inboxes of all users who have no device yet together, in bytes, 256 of them a message beside its payload; above it,
        /// messages to any of them are refused with INBOX_FULL. 0 takes 1 % of the disk. Each core has an even share.
        unclaimed_total_bytes: Size = Size(0);
        /// Devices of a user; one more is refused with TOO_MANY_DEVICES.
        devices: u32 = limits().devices;
        /// Messages a second that a user may send, sustained; above it: RATE_LIMITED.
        sends_per_second: u32 = limits().sends_per_second;
        /// Messages that a user may send at once.
        sends_burst: u32 = limits().sends_burst;
        /// New direct conversations an hour that a user may begin; above it: RATE_LIMITED.
        new_conversations_per_hour: u32 = limits().new_conversations_per_hour;
        /// Silence after which a connection is asked whether it lives; clients may ask for up to 10 minutes.
        heartbeat: Span = Span(limits().heartbeat);
        /// Time that a connection has to log in.
        login: Span = Span(limits().login);
        /// How long a message id is remembered, so that a retry has no second effect.
        dedup: Span = Span(limits().dedup);
        /// Age at which a message that was not fetched expires, and leaves a gap notice.
        retention: Span = Span(limits().retention);
        /// Silence after which a device is detached and holds no messages any more.
        detach: Span = Span(limits().detach);
        /// Message ids that a core may remember; above it: BUSY.
        dedup_rows: u64 = limits().dedup_rows;
        /// Connections of one address (of one /64, with IPv6) that have not logged in; one more is reset at once.
        unauthenticated_per_address: u32 = 10;
        /// New connections a second of one address, sustained, and twice as many at once; what is above is reset at once.
        handshakes_per_second_per_address: u32 = 5;
        /// Addresses and networks (such as "10.0.0.0/8") that the two limits of addresses leave alone: load balancers, and carriers
        /// that hide many people behind one address.
        address_allow: Networks = Networks::default();
    }
    /// Connections of one core.
    connections: Connections {
        /// Most io_uring instances of a core. Each has a table of descriptors of its own.
        rings: u16 = 16;
        /// Descriptors in one of these tables; the kernel allows no more than RLIMIT_NOFILE, which is raised to its hard limit at the start.
        descriptors_per_ring: u32 = reactor().descriptors_per_ring;
        /// Most receive buffers of a ring, shared by its connections and taken as they are needed; a power of two.
        receive_buffers: u16 = reactor().receive_buffers;
        /// Size of a receive buffer.
        receive_buffer_bytes: Size = Size(u64::from(reactor().receive_buffer_bytes));
        /// Silence after which a connection is parked: it then pins less kernel memory.
        idle_after: Span = Span(reactor().idle_after.unwrap_or(Duration::from_secs(10)));
    }
    /// The admin port: health, metrics, and what operators ask and order. HTTP, on a loopback address.
    admin: Admin {
        /// Where it listens: a loopback address; "" switches it off.
        listen: Address = Address(Some(SocketAddr::from(([127, 0, 0, 1], 7480))));
        /// File with the credential that operators show, mode 0600; `iris-gateway admin keygen --out FILE` makes one. With
        /// "", what changes something or shows users is refused.
        credential: PathBuf = PathBuf::new();
        /// Private key with which the port issues tokens; "": it issues none.
        issuer_key: PathBuf = PathBuf::new();
        /// File with the credential that is needed for it, another one than the operators'.
        issuer_credential: PathBuf = PathBuf::new();
    }
    /// The log, on standard error.
    log: Log {
        /// "error", "warn", "info", "debug" (each connection) or "trace" (each message).
        level: LogLevel = LogLevel::Info;
        /// "json" (a line an event), "text", or "auto" (text on a terminal).
        format: LogFormat = LogFormat::Auto;
    }
}

fn limits() -> Limits {
    Limits::default()
}

fn reactor() -> iris_reactor::Config {
    iris_reactor::Config::default()
}

const fn seconds(count: u64) -> Span {
    Span(Duration::from_secs(count))
}

/// An address to listen on, or none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Address(pub Option<SocketAddr>);

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.map_or(Ok(()), |address| address.fmt(f))
    }
}

impl FromStr for Address {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        if text.is_empty() {
            return Ok(Self(None));
        }
        let address = text.parse().map_err(|_| AddressError { text: text.to_owned() })?;
        Ok(Self(Some(address)))
    }
}

/// The text is not an address.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not IP:PORT, such as 127.0.0.1:7443 or [::1]:7443")]
pub struct AddressError {
    text: String,
}

impl Serialize for Address {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Address {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

/// What an acknowledgement promises.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Durability {
    /// Synced to the disk before it.
    Fsync,
    /// Written to the operating system before it.
    Os,
}

impl From<Durability> for iris_protocol::Durability {
    fn from(durability: Durability) -> Self {
        match durability {
            Durability::Fsync => Self::Fsync,
            Durability::Os => Self::Os,
        }
    }
}

/// Which events are logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogLevel {
    /// The process stops.
    Error,
    /// An operator is needed.
    Warn,
    /// Changes of state.
    Info,
    /// Each connection.
    Debug,
    /// Each message.
    Trace,
}

/// How events are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// Text on a terminal, JSON lines elsewhere.
    Auto,
    /// A JSON object a line.
    Json,
    /// For people.
    Text,
}

impl Listen {
    /// True if something is served over TLS.
    pub fn needs_certificate(&self) -> bool {
        self.tls.0.is_some() || self.websocket.0.is_some()
    }
}

impl WebSocket {
    /// The origins, checked.
    ///
    /// # Errors
    /// [`OriginError`] naming the first that is none.
    pub fn origins(&self) -> Result<Origins, OriginError> {
        Origins::parse(self.origins.iter().map(String::as_str))
    }
}

impl Tokens {
    /// What a token must say, for the verifier.
    pub fn policy(&self) -> Policy {
        Policy { audience: self.audience.clone(), issuer: self.issuer.clone(), leeway: self.leeway.0 }
    }
}

/// What the shards of this process share.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DiskShare {
    /// Size of the file system of the data directory.
    pub disk_bytes: u64,
    /// Among how many shards.
    pub shards: u16,
}

impl DiskShare {
    /// A shard's part of what is configured for all, or of 1 % of the disk if that is 0.
    fn unclaimed_bytes(self, configured: Size) -> u64 {
        let all = if configured.0 == 0 { self.disk_bytes / 100 } else { configured.0 };
        all / u64::from(self.shards.max(1))
    }
}

impl Config {
    /// The limits as the shard takes them.
    pub fn shard_limits(&self, share: DiskShare) -> Limits {
        let (drain, reconnect_spread) = (self.server.drain.0 / 2, self.server.reconnect_spread.0);
        let unclaimed_total_bytes = share.unclaimed_bytes(self.limits.unclaimed_total_bytes);
        Limits { drain, reconnect_spread, unclaimed_total_bytes, ..self.limits.limits() }
    }
}

impl LimitSection {
    /// What an address may do before somebody has logged in from it.
    pub fn of_addresses(&self) -> AddressLimits {
        AddressLimits {
            unauthenticated: self.unauthenticated_per_address,
            handshakes_per_second: self.handshakes_per_second_per_address,
            allow: self.address_allow.clone(),
        }
    }

    /// The limits of users and devices.
    fn limits(&self) -> Limits {
        Limits {
            inbox_envelopes: self.inbox_envelopes,
            inbox_bytes: self.inbox_bytes.0,
            unclaimed_envelopes: self.unclaimed_envelopes,
            unclaimed_bytes: self.unclaimed_bytes.0,
            devices: self.devices,
            sends_per_second: self.sends_per_second,
            sends_burst: self.sends_burst,
            new_conversations_per_hour: self.new_conversations_per_hour,
            heartbeat: self.heartbeat.0,
            login: self.login.0,
            dedup: self.dedup.0,
            retention: self.retention.0,
            detach: self.detach.0,
            dedup_rows: self.dedup_rows,
            ..Limits::default()
        }
    }
}

#[cfg(test)]
mod tests;
