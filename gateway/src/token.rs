//! Tokens: who a client is. A JWT signed with Ed25519, checked against public keys from a file.
//!
//! The gateway holds public keys alone; private keys are the issuer's (see [`issuer`], for commands, and for the admin port where
//! `admin.issuer_key` is set).
//!
//! Invariants
//! - The algorithm is that of the key, never of the token's header: a header may only agree.
//! - Nothing of the claims is looked at before the signature holds.
//! - No error holds a part of the token, and a client is told one and the same for all of them, after [`REFUSAL_DELAY`].

pub mod cache;
pub mod issuer;
pub mod jwks;

pub use cache::TokenCache;
pub use jwks::{JwksError, KEYS_MAX};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use iris_protocol::limits::TOKEN_BYTES_MAX;
use iris_protocol::{DeviceId, UserId, Wall};
use jwks::PublicKeys;
use ring::signature::{ED25519, UnparsedPublicKey};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Every refused login is answered after this time, whatever was wrong: the time tells nothing.
/// 250 ms: three thousand times a signature check, and still short for a person.
pub const REFUSAL_DELAY: Duration = Duration::from_millis(250);
/// The longest that a token may be valid, in seconds.
pub const LIFETIME_SECONDS_MAX: u64 = 24 * 3600;
/// Length of `jti`, in bytes.
pub const JTI_BYTES_MAX: usize = 128;
/// Bytes of an Ed25519 signature.
const SIGNATURE_BYTES: usize = 64;

/// What a token must say besides who its bearer is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// What `aud` must be.
    pub audience: String,
    /// What `iss` must be.
    pub issuer: String,
    /// How far the issuer's clock may differ from ours.
    pub leeway: Duration,
}

/// What a valid token says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claims {
    /// `sub`: the user.
    pub user: UserId,
    /// `dev`: the user's device.
    pub device: DeviceId,
    /// `iat`; for a token without one a day before `exp`, the earliest that it can be.
    pub issued_at: Wall,
    /// `exp`: when the client should have another token.
    pub expires_at: Wall,
    /// `exp` plus leeway: from here on the token is refused, and a session that it opened ends.
    pub refused_from: Wall,
    /// `jti`: the token's own id.
    pub jti: Box<str>,
}

/// Why a token is refused. For operators; a client is told AUTH_FAILED.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// Longer than [`TOKEN_BYTES_MAX`].
    #[error("the token is longer than 2 KiB")]
    Length,
    /// Not three parts.
    #[error("a token has three parts, header.payload.signature")]
    Parts,
    /// A part is not canonical base64url without padding.
    #[error("a part is not base64url without padding")]
    Base64,
    /// Not a header of `alg`, `kid` and perhaps `typ`, each once.
    #[error("the header is not a JSON object of alg, kid and perhaps typ")]
    Header,
    /// Another algorithm than the keys'.
    #[error("the header's alg is not EdDSA")]
    Algorithm,
    /// `typ` is something else than JWT.
    #[error("the header's typ is not JWT")]
    Type,
    /// No such key.
    #[error("no key in the JWKS file has the token's kid")]
    UnknownKey,
    /// The signature does not hold.
    #[error("the signature does not hold")]
    Signature,
    /// A claim is missing or of the wrong type.
    #[error(
        "a claim is missing or of the wrong type: sub, dev, jti, aud, iss are texts; exp, iat, nbf whole seconds"
    )]
    Claims,
    /// Another audience.
    #[error("aud is another audience than this gateway's")]
    Audience,
    /// Another issuer.
    #[error("iss is another issuer than this gateway's")]
    Issuer,
    /// `sub` is not a user id.
    #[error("sub is not a user id: 1 to 64 of A-Z a-z 0-9 _ . -")]
    User,
    /// `dev` is not a device id.
    #[error("dev is not a device id: 1 to 64 of A-Z a-z 0-9 _ . -")]
    Device,
    /// `jti` is empty or too long.
    #[error("jti has 1 to 128 bytes")]
    Id,
    /// It was revoked; found by the gateway, not by [`Verifier::verify`].
    #[error("the token was revoked")]
    Revoked,
    /// `exp` is past.
    #[error("the token has expired")]
    Expired,
    /// `nbf` is ahead.
    #[error("the token is not valid yet")]
    NotYetValid,
    /// `iat` is ahead.
    #[error("the token was issued in the future")]
    IssuedAhead,
    /// `exp` is more than a day after now or after `iat`, or not after `iat`.
    #[error("the token is valid for longer than 24 hours, or ends before it begins")]
    Lifetime,
}

/// Checks tokens. Immutable: new keys make a new verifier, which is swapped in.
#[derive(Debug)]
pub struct Verifier {
    keys: PublicKeys,
    policy: Policy,
    /// Distinguishes verifiers, so that a cache knows when what it remembers came from other keys.
    id: u64,
}

/// The header: these fields and no others, so that `jku`, `jwk`, `x5u` and `crit` are refused.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Header {
    alg: String,
    kid: String,
    typ: Option<String>,
}

/// The claims that are looked at. Numbers are whole and not negative, or the token is refused.
#[derive(Deserialize)]
struct RawClaims {
    sub: String,
    dev: String,
    jti: String,
    aud: String,
    iss: String,
    exp: u64,
    iat: Option<u64>,
    nbf: Option<u64>,
}

impl Verifier {
    /// Reads the keys from a JWKS file.
    ///
    /// # Errors
    /// [`JwksError`] if it cannot be read or holds anything but Ed25519 public keys.
    pub fn load(jwks: &Path, policy: Policy) -> Result<Self, JwksError> {
        Ok(Self::new(PublicKeys::load(jwks)?, policy))
    }

    /// A verifier for these keys.
    pub fn new(keys: PublicKeys, policy: Policy) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        Self { keys, policy, id: NEXT.fetch_add(1, Ordering::Relaxed) }
    }

    /// Who the token's bearer is. `now` is the host's wall clock.
    ///
    /// # Errors
    /// [`TokenError`], for the log; the client is told AUTH_FAILED after [`REFUSAL_DELAY`].
    pub fn verify(&self, token: &str, now: Wall) -> Result<Claims, TokenError> {
        if token.len() > TOKEN_BYTES_MAX {
            return Err(TokenError::Length);
        }
        let mut parts = token.split('.');
        let (Some(header), Some(payload), Some(signature), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(TokenError::Parts);
        };
        let signed = token.get(..header.len() + 1 + payload.len()).ok_or(TokenError::Parts)?;
        self.check_signature(header, signed, signature)?;
        self.check_claims(part(payload, TokenError::Claims)?, now)
    }

    fn check_signature(&self, header: &str, signed: &str, signature: &str) -> Result<(), TokenError> {
        let header: Header = part(header, TokenError::Header)?;
        if header.alg != "EdDSA" {
            return Err(TokenError::Algorithm);
        }
        if header.typ.is_some_and(|typ| !typ.eq_ignore_ascii_case("JWT")) {
            return Err(TokenError::Type);
        }
        let key = self.keys.find(&header.kid).ok_or(TokenError::UnknownKey)?;
        let signature = URL_SAFE_NO_PAD.decode(signature).map_err(|_| TokenError::Base64)?;
        if signature.len() != SIGNATURE_BYTES {
            return Err(TokenError::Signature);
        }
        let key = UnparsedPublicKey::new(&ED25519, key.bytes());
        key.verify(signed.as_bytes(), &signature).map_err(|_| TokenError::Signature)
    }

    fn check_claims(&self, claims: RawClaims, now: Wall) -> Result<Claims, TokenError> {
        if claims.aud != self.policy.audience {
            return Err(TokenError::Audience);
        }
        if claims.iss != self.policy.issuer {
            return Err(TokenError::Issuer);
        }
        let user = UserId::parse(&claims.sub).map_err(|_| TokenError::User)?;
        let device = DeviceId::parse(&claims.dev).map_err(|_| TokenError::Device)?;
        if claims.jti.is_empty() || claims.jti.len() > JTI_BYTES_MAX {
            return Err(TokenError::Id);
        }
        let refused_from = self.check_times(&claims, now.0 / 1000)?;
        let issued_s = claims.iat.unwrap_or(claims.exp.saturating_sub(LIFETIME_SECONDS_MAX));
        let jti = claims.jti.into_boxed_str();
        let (issued_at, expires_at) =
            (Wall(issued_s.saturating_mul(1000)), Wall(claims.exp.saturating_mul(1000)));
        Ok(Claims { user, device, issued_at, expires_at, refused_from, jti })
    }

    /// The times against the clock; gives the moment from which the token is refused.
    fn check_times(&self, claims: &RawClaims, now_seconds: u64) -> Result<Wall, TokenError> {
        let leeway = self.policy.leeway.as_secs();
        let end = claims.exp.saturating_add(leeway);
        if now_seconds >= end {
            return Err(TokenError::Expired);
        }
        let latest = now_seconds.saturating_add(leeway);
        if claims.nbf.is_some_and(|nbf| nbf > latest) {
            return Err(TokenError::NotYetValid);
        }
        if claims.iat.is_some_and(|iat| iat > latest) {
            return Err(TokenError::IssuedAhead);
        }
        let too_long = |from: u64| claims.exp > from.saturating_add(LIFETIME_SECONDS_MAX);
        if too_long(latest) || claims.iat.is_some_and(|iat| too_long(iat) || claims.exp <= iat) {
            return Err(TokenError::Lifetime);
        }
        Ok(Wall(end.saturating_mul(1000)))
    }
}

/// Decodes one part: canonical base64url without padding, then JSON. What is not JSON of that shape is `otherwise`.
fn part<T: DeserializeOwned>(text: &str, otherwise: TokenError) -> Result<T, TokenError> {
    let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| TokenError::Base64)?;
    serde_json::from_slice(&bytes).map_err(|_| otherwise)
}

#[cfg(test)]
mod tests;
