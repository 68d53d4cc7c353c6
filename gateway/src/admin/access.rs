//! Who may ask what.
//!
//! Invariants
//! - A request whose Host is no loopback name is refused: a web page cannot reach the port through a name of its own.
//! - How long a comparison of credentials takes does not depend on where they differ.

use super::board::Board;
use super::errors::{Code, Failure};
use crate::secret_file;
use axum::extract::{FromRequestParts, Request};
use axum::http::header::{AUTHORIZATION, HOST};
use axum::http::request::Parts;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use ring::digest::{SHA256, digest};
use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;

/// Fewest characters of a credential.
pub(crate) const CREDENTIAL_LENGTH_MIN: usize = 32;

/// What a request must show, kept as its SHA-256.
pub(crate) struct Credential([u8; 32]);

impl Credential {
    /// Reads the file.
    ///
    /// # Errors
    /// What is wrong with it, in words.
    pub(crate) fn load(path: &Path) -> Result<Self, String> {
        let text = secret_file::read(path).map_err(|error| error.to_string())?;
        let text = text.trim();
        if text.len() < CREDENTIAL_LENGTH_MIN || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err("a credential is one word of at least 32 characters; \
                        `iris-gateway admin keygen --out FILE` makes one"
                .to_owned());
        }
        Ok(Self(hash(text)))
    }

    /// Reads the file that a setting names; `None` if it names none.
    ///
    /// # Errors
    /// As [`Credential::load`].
    pub(crate) fn of_setting(path: &Path) -> Result<Option<Self>, String> {
        if path.as_os_str().is_empty() {
            return Ok(None);
        }
        Self::load(path).map(Some)
    }

    fn is(&self, shown: &str) -> bool {
        let differences = self.0.iter().zip(hash(shown)).fold(0, |all, (own, other)| all | (own ^ other));
        differences == 0
    }

    /// Refuses a request that does not show this credential.
    pub(crate) fn check(own: Option<&Self>, parts: &Parts, setting: &str) -> Result<(), Failure> {
        let Some(own) = own else {
            return Err(Failure::new(Code::NotConfigured, format!("it needs the setting {setting}")));
        };
        let shown = parts.headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok());
        let shown = shown.and_then(|value| value.split_once(' '));
        match shown {
            Some((scheme, shown)) if scheme.eq_ignore_ascii_case("bearer") && own.is(shown.trim()) => Ok(()),
            Some(_) | None => Err(Failure::of(Code::Unauthorized)),
        }
    }
}

fn hash(text: &str) -> [u8; 32] {
    let mut bytes = [0; 32];
    bytes.copy_from_slice(digest(&SHA256, text.as_bytes()).as_ref());
    bytes
}

/// In a handler's arguments: it was asked by somebody who has `admin.credential`.
pub(crate) struct Operator;

impl FromRequestParts<Arc<Board>> for Operator {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, board: &Arc<Board>) -> Result<Self, Failure> {
        Credential::check(board.credential(), parts, "admin.credential").map(|()| Self)
    }
}

/// Refuses what was not asked of a loopback name.
pub(crate) async fn only_loopback_hosts(request: Request, next: Next) -> Response {
    let host = request.headers().get(HOST).and_then(|value| value.to_str().ok());
    if host.is_some_and(is_loopback) {
        return next.run(request).await;
    }
    Failure::of(Code::HostRefused).into_response()
}

/// True for `localhost`, `127.0.0.1`, `[::1]` and the like, with or without a port.
fn is_loopback(host: &str) -> bool {
    let is_port = |port: &str| port.bytes().all(|byte| byte.is_ascii_digit());
    let name = match host.rsplit_once(':') {
        Some((name, port)) if is_port(port) && name.starts_with('[') == name.ends_with(']') => name,
        Some(_) | None => host,
    };
    let address = name.strip_prefix('[').and_then(|name| name.strip_suffix(']')).unwrap_or(name);
    name.eq_ignore_ascii_case("localhost") || address.parse().is_ok_and(|ip: IpAddr| ip.is_loopback())
}

#[cfg(test)]
mod tests;
