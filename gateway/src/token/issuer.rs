//! The issuer's side: key pairs and tokens. Used by commands, and by the admin port where `admin.issuer_key` is set; else a
//! serving gateway holds no private key.
//!
//! Invariants
//! - A private key file is made with mode 0600 and never overwritten.
//! - What is issued here is accepted by a verifier with the public key and the same policy.

use super::jwks::{Jwk, Jwks, JwksError, PublicKey};
use super::{LIFETIME_SECONDS_MAX, Policy};
use crate::secret_file;
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use iris_protocol::{DeviceId, UserId, Wall};
use ring::rand::{SecureRandom, SystemRandom};
use ring::signature::{Ed25519KeyPair, KeyPair as _};
use rustls_pki_types::PrivatePkcs8KeyDer;
use rustls_pki_types::pem::PemObject;
use serde::Serialize;
use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Name of the private key's file.
pub const KEY_FILE: &str = "issuer.key";
/// Name of the public keys' file.
pub const JWKS_FILE: &str = "jwks.json";

/// What stands before the 32 bytes of an Ed25519 private key in PKCS#8 version 1. Source: RFC 8410, section 10.3.
/// Version 1, since OpenSSL does not read the version 2 that carries the public key along.
pub(crate) const PKCS8_PREFIX: [u8; 16] =
    [0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20];

/// Why there is no key or token.
#[derive(Debug, thiserror::Error)]
pub enum IssueError {
    /// A file cannot be read or written.
    #[error("{}: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The existing public keys cannot be taken over.
    #[error("{}: {source}", path.display())]
    Jwks {
        /// The file.
        path: PathBuf,
        /// Why.
        source: JwksError,
    },
    /// Not an Ed25519 private key.
    #[error("{}: not an Ed25519 private key in PKCS#8 PEM; `iris-gateway token keygen` makes one", path.display())]
    Key {
        /// The file.
        path: PathBuf,
    },
    /// The system gave no random bytes.
    #[error("the system gave no random bytes")]
    Random,
    /// A token for longer than a day.
    #[error("a token is valid for 1 second to 24 hours")]
    Lifetime,
}

/// A private key that signs tokens.
pub struct Issuer {
    pair: Ed25519KeyPair,
    header: String,
}

/// Whom a token is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bearer {
    /// The user.
    pub user: UserId,
    /// The user's device.
    pub device: DeviceId,
}

/// Makes a key pair: `issuer.key` in the directory, its public half added to `jwks.json` there. Gives the key's id.
///
/// # Errors
/// [`IssueError`]; a private key that exists is left as it is.
pub fn keygen(directory: &Path) -> Result<String, IssueError> {
    let key_path = directory.join(KEY_FILE);
    let jwks_path = directory.join(JWKS_FILE);
    fs::create_dir_all(directory)
        .map_err(|source| IssueError::File { path: directory.to_owned(), source })?;
    let mut jwks = match Jwks::load(&jwks_path) {
        Ok(jwks) => jwks,
        Err(JwksError::Read { source, .. }) if source.kind() == io::ErrorKind::NotFound => Jwks::default(),
        Err(source) => return Err(IssueError::Jwks { path: jwks_path, source }),
    };
    let der = new_key()?;
    let issuer = Issuer::of_der(&der).ok_or_else(|| IssueError::Key { path: key_path.clone() })?;
    let pem = format!("-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n", STANDARD.encode(&der));
    let written = secret_file::write_new(&key_path, pem.as_bytes());
    written.map_err(|source| IssueError::File { path: key_path, source })?;
    let entry = Jwk::of(&issuer.public_key());
    let kid = entry.kid.clone().unwrap_or_default();
    jwks.keys.push(entry);
    replace(&jwks_path, &jwks).map_err(|source| IssueError::File { path: jwks_path, source })?;
    Ok(kid)
}

/// A new private key, PKCS#8 DER.
fn new_key() -> Result<Vec<u8>, IssueError> {
    let mut seed = [0; 32];
    SystemRandom::new().fill(&mut seed).map_err(|_| IssueError::Random)?;
    Ok([PKCS8_PREFIX.as_slice(), &seed].concat())
}

/// Replaces the file of public keys in one step.
fn replace(path: &Path, jwks: &Jwks) -> io::Result<()> {
    let new = path.with_extension("json.new");
    let mut file = fs::File::create(&new)?;
    serde_json::to_writer_pretty(&mut file, jwks)?;
    file.write_all(b"\n")?;
    file.sync_all()?;
    fs::rename(&new, path)
}

impl Issuer {
    /// Reads a private key, PKCS#8 PEM.
    ///
    /// # Errors
    /// [`IssueError`] if it cannot be read or is another kind of key.
    pub fn load(path: &Path) -> Result<Self, IssueError> {
        let unreadable = |source| IssueError::File { path: path.to_owned(), source };
        let pem = fs::read(path).map_err(unreadable)?;
        let der = PrivatePkcs8KeyDer::from_pem_slice(&pem).ok();
        let issuer = der.and_then(|der| Self::of_der(der.secret_pkcs8_der()));
        issuer.ok_or_else(|| IssueError::Key { path: path.to_owned() })
    }

    /// A new key that is in no file.
    ///
    /// # Errors
    /// [`IssueError::Random`].
    pub(crate) fn generate() -> Result<Self, IssueError> {
        Self::of_der(&new_key()?).ok_or(IssueError::Random)
    }

    /// A private key from PKCS#8 DER, version 1 or 2.
    pub(crate) fn of_der(der: &[u8]) -> Option<Self> {
        let pair = Ed25519KeyPair::from_pkcs8_maybe_unchecked(der).ok()?;
        let kid = public_key(&pair).thumbprint();
        let header = URL_SAFE_NO_PAD.encode(format!(r#"{{"alg":"EdDSA","typ":"JWT","kid":"{kid}"}}"#));
        Some(Self { pair, header })
    }

    /// The public half.
    pub fn public_key(&self) -> PublicKey {
        public_key(&self.pair)
    }

    /// Signs a token.
    ///
    /// # Errors
    /// [`IssueError::Lifetime`] if `lifetime` is not 1 second to 24 hours.
    pub fn issue(
        &self,
        bearer: &Bearer,
        policy: &Policy,
        now: Wall,
        lifetime: Duration,
    ) -> Result<String, IssueError> {
        let lifetime = lifetime.as_secs();
        if !(1..=LIFETIME_SECONDS_MAX).contains(&lifetime) {
            return Err(IssueError::Lifetime);
        }
        let iat = now.0 / 1000;
        let claims = IssuedClaims {
            sub: bearer.user.as_str(),
            dev: bearer.device.as_str(),
            iat,
            exp: iat.saturating_add(lifetime),
            jti: uuid::Uuid::now_v7().to_string(),
            aud: &policy.audience,
            iss: &policy.issuer,
        };
        let claims =
            serde_json::to_vec(&claims).unwrap_or_else(|error| panic!("claims are not JSON: {error}"));
        Ok(self.sign(&self.header, &claims))
    }

    /// Signs any claims under any header, which is base64url already.
    pub(crate) fn sign(&self, header: &str, claims: &[u8]) -> String {
        let mut token = format!("{header}.{}", URL_SAFE_NO_PAD.encode(claims));
        let signature = self.pair.sign(token.as_bytes());
        token.push('.');
        token.push_str(&URL_SAFE_NO_PAD.encode(signature));
        token
    }
}

#[derive(Serialize)]
struct IssuedClaims<'a> {
    sub: &'a str,
    dev: &'a str,
    iat: u64,
    exp: u64,
    jti: String,
    aud: &'a str,
    iss: &'a str,
}

fn public_key(pair: &Ed25519KeyPair) -> PublicKey {
    let mut bytes = [0; 32];
    bytes.copy_from_slice(pair.public_key().as_ref());
    PublicKey::new(bytes)
}

#[cfg(test)]
mod tests;
