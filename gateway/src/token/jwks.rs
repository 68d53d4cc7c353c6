//! Public keys of issuers: a JWKS file (RFC 7517, RFC 8037) with Ed25519 keys alone.
//!
//! Invariants
//! - A key has an id, is an Ed25519 public key, and is for signatures; a file with anything else is refused as a whole.
//! - A private key in the file is refused: the gateway must not be able to make tokens.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::digest::{SHA256, digest};
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::path::{Path, PathBuf};

/// Most keys of a file.
pub const KEYS_MAX: usize = 64;
/// Most bytes of a file.
const FILE_BYTES_MAX: u64 = 1 << 20;
/// Most bytes of a key's id.
const KID_BYTES_MAX: usize = 128;

/// Why a JWKS file is refused.
#[derive(Debug, thiserror::Error)]
pub enum JwksError {
    /// The file cannot be read.
    #[error("{}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Larger than a key file is.
    #[error("larger than 1 MiB")]
    Size,
    /// Not JSON, or not a JWKS.
    #[error("not a JWKS: {message}")]
    Syntax {
        /// Where and why.
        message: String,
    },
    /// No key, or too many.
    #[error("{count} keys; a JWKS has 1 to 64")]
    Count {
        /// How many.
        count: usize,
    },
    /// A key that is not taken.
    #[error("key {index}: {message}")]
    Key {
        /// Its place in the file, from 0.
        index: usize,
        /// What is wrong with it.
        message: &'static str,
    },
}

/// The file.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Jwks {
    /// The keys.
    pub keys: Vec<Jwk>,
}

/// A key as the file has it. What is not named here has no effect.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Jwk {
    /// Key type: OKP.
    pub kty: String,
    /// Curve: Ed25519.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub crv: Option<String>,
    /// The public key, base64url.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub x: Option<String>,
    /// The key's id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kid: Option<String>,
    /// Algorithm, if given: EdDSA.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alg: Option<String>,
    /// Use, if given: sig.
    #[serde(default, rename = "use", skip_serializing_if = "Option::is_none")]
    pub usage: Option<String>,
    /// A private key's own part; refused.
    #[serde(default, skip_serializing)]
    d: Option<serde::de::IgnoredAny>,
}

impl Jwk {
    /// The entry of a public key; its id is the thumbprint.
    pub fn of(key: &PublicKey) -> Self {
        Self {
            kty: "OKP".to_owned(),
            crv: Some("Ed25519".to_owned()),
            x: Some(URL_SAFE_NO_PAD.encode(key.0)),
            kid: Some(key.thumbprint()),
            alg: Some("EdDSA".to_owned()),
            usage: Some("sig".to_owned()),
            d: None,
        }
    }
}

/// An Ed25519 public key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PublicKey([u8; 32]);

impl PublicKey {
    /// Takes the 32 bytes of a key.
    pub fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The 32 bytes.
    pub fn bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// The key's id: its JWK thumbprint. Source: RFC 7638 and RFC 8037, appendix A.3.
    pub fn thumbprint(&self) -> String {
        let x = URL_SAFE_NO_PAD.encode(self.0);
        let canonical = format!(r#"{{"crv":"Ed25519","kty":"OKP","x":"{x}"}}"#);
        URL_SAFE_NO_PAD.encode(digest(&SHA256, canonical.as_bytes()))
    }
}

/// Public keys by their id.
#[derive(Debug)]
pub struct PublicKeys(HashMap<Box<str>, PublicKey>);

impl PublicKeys {
    /// Reads a file.
    ///
    /// # Errors
    /// [`JwksError`] if it is anything but a JWKS of Ed25519 public keys.
    pub fn load(path: &Path) -> Result<Self, JwksError> {
        Self::of(&Jwks::load(path)?)
    }

    /// Checks and takes the keys of a file.
    ///
    /// # Errors
    /// [`JwksError`] for the first key that is not taken.
    pub fn of(file: &Jwks) -> Result<Self, JwksError> {
        if file.keys.is_empty() || file.keys.len() > KEYS_MAX {
            return Err(JwksError::Count { count: file.keys.len() });
        }
        let mut keys = HashMap::with_capacity(file.keys.len());
        for (index, entry) in file.keys.iter().enumerate() {
            let wrong = |message| JwksError::Key { index, message };
            let (kid, key) = check(entry).map_err(wrong)?;
            if keys.insert(kid.into(), key).is_some() {
                return Err(wrong("another key has the same kid"));
            }
        }
        Ok(Self(keys))
    }

    /// The key with this id.
    pub fn find(&self, kid: &str) -> Option<&PublicKey> {
        self.0.get(kid)
    }
}

impl Jwks {
    /// Reads a file; its keys are not checked yet.
    ///
    /// # Errors
    /// [`JwksError`] if it cannot be read or is not of this form.
    pub fn load(path: &Path) -> Result<Self, JwksError> {
        let unreadable = |source| JwksError::Read { path: path.to_owned(), source };
        if std::fs::metadata(path).map_err(unreadable)?.len() > FILE_BYTES_MAX {
            return Err(JwksError::Size);
        }
        let text = std::fs::read(path).map_err(unreadable)?;
        serde_json::from_slice(&text).map_err(|error| JwksError::Syntax { message: error.to_string() })
    }
}

fn check(entry: &Jwk) -> Result<(&str, PublicKey), &'static str> {
    if entry.d.is_some() {
        return Err("a private key (d); the gateway takes public keys alone");
    }
    if entry.kty != "OKP" || entry.crv.as_deref() != Some("Ed25519") {
        return Err("not an Ed25519 key (kty OKP, crv Ed25519)");
    }
    if entry.alg.as_deref().is_some_and(|alg| alg != "EdDSA") {
        return Err("alg is not EdDSA");
    }
    if entry.usage.as_deref().is_some_and(|usage| usage != "sig") {
        return Err("use is not sig");
    }
    let kid = entry.kid.as_deref().filter(|kid| !kid.is_empty() && kid.len() <= KID_BYTES_MAX);
    let kid = kid.ok_or("kid is missing, empty or longer than 128 bytes")?;
    let x = entry.x.as_deref().and_then(|x| URL_SAFE_NO_PAD.decode(x).ok());
    let x = x.and_then(|bytes| <[u8; 32]>::try_from(bytes).ok());
    Ok((kid, PublicKey(x.ok_or("x is not 32 bytes in base64url without padding")?)))
}

#[cfg(test)]
mod tests;
