//! The command line as it is typed. What it means is in [`crate::args`].
//!
//! Invariants
//! - Nothing here looks at a file, the environment or the clock.

use clap::{Args, Parser, Subcommand};
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

/// Iris: a messaging gateway.
#[derive(Debug, Parser)]
#[command(name = "iris-gateway", version, about, propagate_version = true)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Serve clients until SIGTERM.
    Serve(Serve),
    /// Check a configuration, or print the default one.
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Make keys and tokens, and check tokens.
    #[command(subcommand)]
    Token(TokenCommand),
    /// Make certificates.
    #[command(subcommand)]
    Tls(TlsCommand),
    /// Say whether a running gateway is ready, and what its cores do.
    Status(Remote),
    /// Show what the cores of a running gateway do a second: on a terminal a screen with keys, else lines.
    Top(Top),
    /// Show connections of a running gateway.
    Connections(Connections),
    /// Show the slowest messages of late, and where their time went.
    Slow(Slow),
    /// Show a user's devices, and what waits for them.
    User(User),
    /// Close the connections of a user or a device.
    Kick(Kick),
    /// Revoke tokens: one by its jti, or those that a user or a device has.
    Revoke(Revoke),
    /// Refuse new connections of an address for a while, or no longer.
    Ban(Ban),
    /// Show the addresses that are banned.
    Bans(Remote),
    /// Let a running gateway drain and end.
    Drain(Remote),
    /// Make the credential of the admin port.
    #[command(subcommand)]
    Admin(AdminCommand),
    /// Check the data directory of a gateway that is stopped.
    Fsck(Fsck),
    /// Echo WebSocket messages, for conformance suites: the server's WebSocket without Iris.
    WebsocketEcho(WebsocketEcho),
    /// Print the version.
    Version(Version),
}

/// Where configuration comes from.
#[derive(Debug, Args)]
pub struct Source {
    /// Configuration file, TOML; without it every key has its default.
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Set a key, above the file and the environment; may be given many times.
    #[arg(long = "set", value_name = "SECTION.KEY=VALUE")]
    pub settings: Vec<String>,
    /// Allow listen.plaintext: clients without encryption, on loopback addresses.
    #[arg(long)]
    pub insecure_plaintext: bool,
}

/// `serve`.
#[derive(Debug, Args)]
pub struct Serve {
    /// Where configuration comes from.
    #[command(flatten)]
    pub source: Source,
    /// Start although the wall clock is more than 7 days ahead of the stored clock.
    #[arg(long)]
    pub accept_clock: bool,
    /// The data directory is a restored backup: announce to every client that its history may be rewound.
    #[arg(long)]
    pub new_incarnation: bool,
    /// Serve a demo chat page at /demo/ of the admin port, with tokens for anybody on this host: not for production.
    #[arg(long)]
    pub demo: bool,
}

/// `config ...`.
#[derive(Debug, Subcommand)]
pub enum ConfigCommand {
    /// Check keys, values, and the files that they name.
    Check(ConfigCheck),
    /// Print the default configuration, with every key described.
    Default,
}

/// `config check`.
#[derive(Debug, Args)]
pub struct ConfigCheck {
    /// Where configuration comes from.
    #[command(flatten)]
    pub source: Source,
    /// Print the outcome as JSON.
    #[arg(long)]
    pub json: bool,
}

/// `token ...`.
#[derive(Debug, Subcommand)]
pub enum TokenCommand {
    /// Make an issuer's key pair: DIR/issuer.key, and its public half in DIR/jwks.json.
    Keygen(TokenKeygen),
    /// Sign tokens with an issuer's private key.
    Issue(TokenIssue),
    /// Say whether a token is valid, and if not, why.
    Verify(TokenVerify),
}

/// `token keygen`.
#[derive(Debug, Args)]
pub struct TokenKeygen {
    /// Directory for the files; issuer.key must not exist there.
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
}

/// `token issue`.
#[derive(Debug, Args)]
pub struct TokenIssue {
    /// The issuer's private key.
    #[arg(long, value_name = "FILE")]
    pub key: PathBuf,
    /// The user.
    #[arg(long, value_name = "USER", required_unless_present = "users", conflicts_with = "users")]
    pub user: Option<String>,
    /// The user's device.
    #[arg(long, value_name = "DEVICE")]
    pub device: String,
    /// How long the token is valid, at most 24h.
    #[arg(long, value_name = "DURATION", default_value = "24h")]
    pub ttl: String,
    /// The claim `aud`.
    #[arg(long, default_value = "iris")]
    pub audience: String,
    /// The claim `iss`.
    #[arg(long, default_value = "iris")]
    pub issuer: String,
    /// Many users: %d stands for 0, 1, 2, ...
    #[arg(long, value_name = "PATTERN", requires = "count", requires = "out")]
    pub users: Option<String>,
    /// How many users.
    #[arg(long, value_name = "N", requires = "users")]
    pub count: Option<u32>,
    /// File for the lines `user device token`; must not exist.
    #[arg(long, value_name = "FILE", requires = "users")]
    pub out: Option<PathBuf>,
}

/// `token verify`.
#[derive(Debug, Args)]
pub struct TokenVerify {
    /// Public keys of the issuers.
    #[arg(long, value_name = "FILE")]
    pub jwks: PathBuf,
    /// The token; without it, standard input is read.
    pub token: Option<String>,
    /// What the claim `aud` must be.
    #[arg(long, default_value = "iris")]
    pub audience: String,
    /// What the claim `iss` must be.
    #[arg(long, default_value = "iris")]
    pub issuer: String,
    /// How far the issuer's clock may differ.
    #[arg(long, value_name = "DURATION", default_value = "60s")]
    pub leeway: String,
    /// Print the outcome as JSON.
    #[arg(long)]
    pub json: bool,
}

/// `tls ...`.
#[derive(Debug, Subcommand)]
pub enum TlsCommand {
    /// Make a development authority and a server certificate: DIR/ca.pem, DIR/server.pem, DIR/server.key.
    Selfsigned(TlsSelfsigned),
}

/// `tls selfsigned`.
#[derive(Debug, Args)]
pub struct TlsSelfsigned {
    /// Directory for the files, which must not exist there.
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
    /// A name or address of the server, besides localhost, 127.0.0.1 and ::1; may be given many times.
    #[arg(long = "name", value_name = "NAME")]
    pub names: Vec<String>,
}

/// Which running gateway.
#[derive(Debug, Args)]
pub struct Remote {
    /// Its admin port.
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:7480")]
    pub admin: String,
    /// The file that its admin.credential names; `status` needs none.
    #[arg(long, value_name = "FILE")]
    pub credential: Option<PathBuf>,
    /// Print the answer as JSON.
    #[arg(long)]
    pub json: bool,
}

/// `top`.
#[derive(Debug, Args)]
pub struct Top {
    /// Which gateway.
    #[command(flatten)]
    pub remote: Remote,
    /// How long between two looks.
    #[arg(long, value_name = "DURATION", default_value = "1s")]
    pub interval: String,
    /// How many times, in lines; without it, until q or Ctrl-C.
    #[arg(long, value_name = "N")]
    pub count: Option<u32>,
}

/// `connections`.
#[derive(Debug, Args)]
pub struct Connections {
    /// Which gateway.
    #[command(flatten)]
    pub remote: Remote,
    /// How many.
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u16).range(1..=500))]
    pub limit: u16,
    /// Go on where an earlier answer ended.
    #[arg(long, value_name = "PLACE")]
    pub from: Option<String>,
}

/// `slow`.
#[derive(Debug, Args)]
pub struct Slow {
    /// Which gateway.
    #[command(flatten)]
    pub remote: Remote,
    /// How many.
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u16).range(1..=500))]
    pub limit: u16,
}

/// `user`.
#[derive(Debug, Args)]
pub struct User {
    /// The user.
    pub user: String,
    /// Which gateway.
    #[command(flatten)]
    pub remote: Remote,
}

/// `kick`.
#[derive(Debug, Args)]
pub struct Kick {
    /// The user.
    pub user: String,
    /// One of its devices; without it, all.
    #[arg(long, value_name = "DEVICE")]
    pub device: Option<String>,
    /// Which gateway.
    #[command(flatten)]
    pub remote: Remote,
}

/// `revoke`.
#[derive(Debug, Args)]
pub struct Revoke {
    /// The token with this jti.
    #[arg(long, required_unless_present = "user", conflicts_with = "user")]
    pub jti: Option<String>,
    /// The tokens that this user was issued so far.
    #[arg(long, value_name = "USER")]
    pub user: Option<String>,
    /// Only those of this device.
    #[arg(long, value_name = "DEVICE", requires = "user")]
    pub device: Option<String>,
    /// Which gateway.
    #[command(flatten)]
    pub remote: Remote,
}

/// `ban`.
#[derive(Debug, Args)]
pub struct Ban {
    /// The address; an IPv6 one stands for its /64.
    pub address: IpAddr,
    /// For how long, at most 30 days; a restart ends it, too.
    #[arg(long = "for", value_name = "DURATION", default_value = "1h")]
    pub ttl: String,
    /// End the ban.
    #[arg(long, conflicts_with = "ttl")]
    pub lift: bool,
    /// Which gateway.
    #[command(flatten)]
    pub remote: Remote,
}

/// `admin ...`.
#[derive(Debug, Subcommand)]
pub enum AdminCommand {
    /// Make a credential for admin.credential or admin.issuer_credential.
    Keygen(AdminKeygen),
}

/// `admin keygen`.
#[derive(Debug, Args)]
pub struct AdminKeygen {
    /// The file, which must not exist.
    #[arg(long, value_name = "FILE")]
    pub out: PathBuf,
}

/// `fsck`.
#[derive(Debug, Args)]
pub struct Fsck {
    /// The data directory.
    #[arg(long, value_name = "DIR")]
    pub data_dir: PathBuf,
    /// Print the outcome as JSON.
    #[arg(long)]
    pub json: bool,
}

/// `websocket-echo`.
#[derive(Debug, Args)]
pub struct WebsocketEcho {
    /// Where to listen; port 0 takes a free one.
    #[arg(long, value_name = "IP:PORT")]
    pub listen: SocketAddr,
    /// Certificate chain, PEM; without it, plain TCP.
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    pub tls_certificate: Option<PathBuf>,
    /// Its private key, PEM.
    #[arg(long, value_name = "FILE", requires = "tls_certificate")]
    pub tls_key: Option<PathBuf>,
}

/// `version`.
#[derive(Debug, Args)]
pub struct Version {
    /// Print it as JSON.
    #[arg(long)]
    pub json: bool,
}
