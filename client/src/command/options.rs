//! What the options mean: checked, typed, ready for use.
//!
//! Invariants
//! - A value of these types is valid; what is wrong is said before anything is opened.

use super::Failure;
use super::args::{CommonArgs, SendArgs};
use iris_client::{DriverConfig, Endpoint, SessionConfig, Target, TokenSource};
use iris_protocol::UserId;
use std::path::PathBuf;
use std::time::Duration;

/// The options of every command.
pub(crate) struct Common {
    endpoint: Endpoint,
    token: TokenSource,
    state: Option<PathBuf>,
    pub(crate) json: bool,
}

impl Common {
    pub(crate) fn check(args: CommonArgs) -> Result<Self, Failure> {
        let usual = if args.websocket { "localhost:7444" } else { "localhost:7443" };
        let server = args.server.as_deref().unwrap_or(usual);
        let endpoint = match (&args.ca, args.insecure_plaintext) {
            (_, true) => Endpoint::insecure_plaintext(server)?,
            (Some(authority), false) => Endpoint::tls(server, authority)?,
            (None, false) => {
                Endpoint::check_tls(server)?;
                return Err(Failure::Usage(
                    "--ca FILE is missing: the authority that vouches for the server".to_owned(),
                ));
            }
        };
        let endpoint = if args.websocket { endpoint.over_websocket() } else { endpoint };
        let Some(token_file) = args.token_file else {
            return Err(Failure::Usage(
                "--token-file FILE is missing: `iris-gateway token issue` makes a token".to_owned(),
            ));
        };
        Ok(Self { endpoint, token: TokenSource::File(token_file), state: args.state, json: args.json })
    }

    pub(crate) fn driver_config(&self) -> DriverConfig {
        let mut config = DriverConfig::new(self.endpoint.clone(), self.token.clone());
        config.state.clone_from(&self.state);
        config.session = SessionConfig { jitter_seed: seed(), ..SessionConfig::default() };
        config
    }
}

/// A seed that differs between devices and starts: the random part of a fresh UUID.
fn seed() -> u64 {
    uuid::Uuid::now_v7().as_u64_pair().1
}

/// A user by its id, as the target of messages.
pub(crate) fn target(to: &str) -> Result<Target, Failure> {
    UserId::parse(to).map(Target::To).map_err(|error| Failure::Usage(format!("--to {to}: {error}")))
}

/// The options of `send`.
pub(crate) struct Send {
    pub(crate) target: Target,
    pub(crate) text: Option<String>,
    pub(crate) count: u32,
    pub(crate) timeout: Duration,
}

impl Send {
    pub(crate) fn check(args: SendArgs) -> Result<Self, Failure> {
        if args.count == 0 {
            return Err(Failure::Usage("--count is at least 1".to_owned()));
        }
        if args.text.is_none() && args.count != 1 {
            return Err(Failure::Usage("--count needs a text to repeat".to_owned()));
        }
        Ok(Self {
            target: target(&args.to)?,
            text: args.text,
            count: args.count,
            timeout: Duration::from_secs(args.timeout),
        })
    }
}
