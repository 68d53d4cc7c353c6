//! `serve --demo`: tokens for anybody on this host, signed with a key that lives as long as the process.
//!
//! Invariants
//! - The key is in no file, and its tokens are accepted by this process alone.
//! - Nothing of this exists without the flag, and the page and its sockets are on loopback addresses.

use crate::commands::now;
use crate::config::{Config, Tokens};
use crate::token::issuer::{Bearer, IssueError, Issuer};
use crate::token::jwks::{Jwk, Jwks, JwksError, PublicKeys};
use crate::token::{Policy, Verifier};
use std::net::SocketAddr;
use std::time::Duration;

/// How long a token of the demo is valid: short enough that a page renews it while somebody looks.
const TOKEN_LIFETIME: Duration = Duration::from_mins(15);

/// Why there is no demo.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DemoError {
    /// No place for the page.
    #[error("--demo needs admin.listen with a port of its own: the page is served there")]
    Admin,
    /// No place for the page's connections.
    #[error(
        "--demo needs listen.websocket_plaintext with a port of its own, and --insecure-plaintext: the page connects there"
    )]
    Socket,
    /// No key.
    #[error("--demo: {0}")]
    Key(#[from] IssueError),
}

/// What tokens are checked with: the issuers' keys, and the demo's if there is one.
///
/// # Errors
/// [`JwksError`] of the file.
pub(crate) fn verifier(tokens: &Tokens, demo: Option<&Demo>) -> Result<Verifier, JwksError> {
    let mut jwks = Jwks::load(&tokens.jwks)?;
    jwks.keys.extend(demo.map(Demo::key));
    Ok(Verifier::new(PublicKeys::of(&jwks)?, tokens.policy()))
}

/// See the module.
pub(crate) struct Demo {
    issuer: Issuer,
    policy: Policy,
    /// Where the page is.
    page: SocketAddr,
    /// Where it connects to.
    socket: SocketAddr,
}

impl Demo {
    /// A demo with a new key.
    ///
    /// # Errors
    /// [`DemoError`] if the configuration has no place for it.
    pub(crate) fn of(config: &Config) -> Result<Self, DemoError> {
        let has_port = |address: &SocketAddr| address.port() != 0 && address.ip().is_loopback();
        let page = config.admin.listen.0.filter(has_port).ok_or(DemoError::Admin)?;
        let socket = config.listen.websocket_plaintext.0.filter(has_port).ok_or(DemoError::Socket)?;
        Ok(Self { issuer: Issuer::generate()?, policy: config.tokens.policy(), page, socket })
    }

    /// The key that its tokens are checked with.
    fn key(&self) -> Jwk {
        Jwk::of(&self.issuer.public_key())
    }

    /// What a browser says where the page comes from.
    pub(crate) fn origins(&self) -> [String; 2] {
        [format!("http://{}", self.page), format!("http://localhost:{}", self.page.port())]
    }

    /// Where the page connects to.
    pub(crate) fn socket_url(&self) -> String {
        format!("ws://{}/v1/connect", self.socket)
    }

    /// What the page may do: its own script and style, and its own connections.
    pub(crate) fn security_policy(&self) -> String {
        format!(
            "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; \
             connect-src 'self' ws://{}; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; \
             require-trusted-types-for 'script'",
            self.socket
        )
    }

    /// A token for whoever asks.
    ///
    /// # Errors
    /// [`IssueError`], if it cannot be signed.
    pub(crate) fn token(&self, bearer: &Bearer) -> Result<String, IssueError> {
        self.issuer.issue(bearer, &self.policy, now(), TOKEN_LIFETIME)
    }
}
