//! What can be typed. What it means is in `options`.

use clap::{Parser, Subcommand};
use std::path::PathBuf;

/// Chat over Iris at a terminal.
#[derive(Debug, Parser)]
#[command(version, about, after_long_help = crate::command::status::EXIT_HELP)]
pub(crate) struct Args {
    #[command(flatten)]
    pub(crate) common: CommonArgs,
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, clap::Args)]
pub(crate) struct CommonArgs {
    /// The server: localhost:7443 without this, or localhost:7444 with --websocket.
    ///
    /// A URL speaks WebSocket: wss://HOST[:PORT][/PATH] over TLS, port 443 if it names none, or, with --insecure-plaintext,
    /// ws://HOST[:PORT][/PATH], port 80. Without a path it is Iris's own, /v1/connect.
    #[arg(long, value_name = "HOST:PORT|URL", global = true)]
    pub(crate) server: Option<String>,
    /// Speak WebSocket, as web pages do. With a URL it is spoken anyway.
    #[arg(long, global = true)]
    pub(crate) websocket: bool,
    /// PEM file of the authority that vouches for the server's certificate.
    #[arg(long, value_name = "FILE", global = true)]
    pub(crate) ca: Option<PathBuf>,
    /// File that holds this device's token; read again at every login, and watched for a fresh one.
    #[arg(long, value_name = "FILE", global = true)]
    pub(crate) token_file: Option<PathBuf>,
    /// File that keeps this device's place and its unanswered messages over restarts.
    #[arg(long, value_name = "FILE", global = true)]
    pub(crate) state: Option<PathBuf>,
    /// One JSON object a line instead of text.
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// No TLS. Loopback addresses only.
    #[arg(long, conflicts_with = "ca", global = true)]
    pub(crate) insecure_plaintext: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Talk with one user: each line typed is a message.
    Chat(ChatArgs),
    /// Send messages, wait until the server has accepted them, and leave. Incoming messages stay for chat or listen.
    Send(SendArgs),
    /// Print every message that arrives.
    Listen(ListenArgs),
}

#[derive(Debug, clap::Args)]
pub(crate) struct ChatArgs {
    /// The other user.
    #[arg(long, value_name = "USER")]
    pub(crate) to: String,
}

#[derive(Debug, clap::Args)]
pub(crate) struct SendArgs {
    /// The recipient.
    #[arg(long, value_name = "USER")]
    pub(crate) to: String,
    /// The text. Without it, each line of standard input is a message.
    pub(crate) text: Option<String>,
    /// How often to send the text, each time as a message of its own.
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub(crate) count: u32,
    /// How long to wait for the server's answers, in seconds.
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    pub(crate) timeout: u64,
}

#[derive(Debug, clap::Args)]
pub(crate) struct ListenArgs {
    /// Leave after so many messages.
    #[arg(long, value_name = "N")]
    pub(crate) count: Option<u64>,
    /// Leave once everything that waited has arrived.
    #[arg(long)]
    pub(crate) until_caught_up: bool,
    /// Leave after so many seconds, with status 5 if a count was asked for and not reached.
    #[arg(long, value_name = "SECONDS")]
    pub(crate) timeout: Option<u64>,
}
