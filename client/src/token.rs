//! A token is taken as it is: from memory or a file. Its claims are read, never judged: judging is the server's.
//!
//! Invariants
//! - No error and no debug output holds a token.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use iris_protocol::limits::TOKEN_BYTES_MAX;
use iris_protocol::{DeviceId, UserId};
use std::path::PathBuf;

/// Why there is no token to use.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    /// The file cannot be read.
    #[error("{}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What went wrong.
        source: std::io::Error,
    },
    /// What is there is not a token: ask its issuer for one.
    #[error("not a token: {what}")]
    Invalid {
        /// What is wrong with it.
        what: &'static str,
    },
}

/// Where tokens come from.
#[derive(Clone)]
pub enum TokenSource {
    /// This one.
    Fixed(String),
    /// A file that holds the token of the moment; somebody else renews it.
    File(PathBuf),
}

impl std::fmt::Debug for TokenSource {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Fixed(_) => f.write_str("Fixed"),
            Self::File(path) => f.debug_tuple("File").field(path).finish(),
        }
    }
}

impl TokenSource {
    /// The token of the moment.
    ///
    /// # Errors
    /// [`TokenError`]: try again when the file has been renewed.
    pub fn read(&self) -> Result<String, TokenError> {
        let text = match self {
            Self::Fixed(token) => token.clone(),
            Self::File(path) => std::fs::read_to_string(path)
                .map_err(|source| TokenError::Read { path: path.clone(), source })?,
        };
        let token = text.trim();
        if token.is_empty() || token.len() > TOKEN_BYTES_MAX {
            return Err(TokenError::Invalid { what: "it must have 1 to 2048 bytes" });
        }
        Ok(token.to_owned())
    }
}

/// Whose a token says it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claims {
    /// The user.
    pub user: UserId,
    /// The device.
    pub device: DeviceId,
}

impl Claims {
    /// Reads user and device, without a check of the signature: the server decides who this is.
    ///
    /// # Errors
    /// [`TokenError::Invalid`] if the text is not a JWT with `sub` and `dev`.
    pub fn of(token: &str) -> Result<Self, TokenError> {
        let invalid = |what| TokenError::Invalid { what };
        let claims = token.split('.').nth(1).ok_or(invalid("it has no claims"))?;
        let claims = URL_SAFE_NO_PAD.decode(claims).map_err(|_| invalid("its claims are not base64url"))?;
        let claims: serde_json::Value =
            serde_json::from_slice(&claims).map_err(|_| invalid("its claims are not json"))?;
        let text = |name: &str| claims.get(name).and_then(serde_json::Value::as_str).unwrap_or_default();
        Ok(Self {
            user: UserId::parse(text("sub")).map_err(|_| invalid("its sub is not a user"))?,
            device: DeviceId::parse(text("dev")).map_err(|_| invalid("its dev is not a device"))?,
        })
    }
}

#[cfg(test)]
mod tests;
