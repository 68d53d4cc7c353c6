//! Verified tokens that a core remembers, by SHA-256, so that a reconnect costs no signature check (79 us).
//!
//! Invariants
//! - Bounded: two halves; when the young one is full it becomes the old one, and the old one is forgotten.
//! - A remembered token is refused at the same moment at which a check would refuse it.
//! - What was checked with other keys is forgotten at the first question with the new ones.

use super::{Claims, TokenError, Verifier};
use iris_protocol::Wall;
use iris_protocol::limits::TOKEN_BYTES_MAX;
use ring::digest::{SHA256, digest};
use std::collections::HashMap;

/// A token's SHA-256.
type Digest = [u8; 32];

/// The tokens that one core verified last.
#[derive(Debug)]
pub struct TokenCache {
    young: HashMap<Digest, Claims>,
    old: HashMap<Digest, Claims>,
    half_max: usize,
    verifier: u64,
}

impl TokenCache {
    /// A cache for this many tokens, at least two.
    pub fn new(tokens_max: usize) -> Self {
        Self {
            young: HashMap::new(),
            old: HashMap::new(),
            half_max: tokens_max.div_ceil(2).max(1),
            verifier: 0,
        }
    }

    /// As [`Verifier::verify`], from memory if the token is known.
    ///
    /// # Errors
    /// As [`Verifier::verify`]. Refusals are not remembered: garbage cannot push valid tokens out.
    pub fn verify(&mut self, verifier: &Verifier, token: &str, now: Wall) -> Result<Claims, TokenError> {
        if token.len() > TOKEN_BYTES_MAX {
            return Err(TokenError::Length);
        }
        if self.verifier != verifier.id {
            (self.young, self.old) = (HashMap::new(), HashMap::new());
            self.verifier = verifier.id;
        }
        let digest = sha256(token);
        if let Some(claims) = self.find(&digest) {
            return if now.0 < claims.refused_from.0 { Ok(claims) } else { Err(TokenError::Expired) };
        }
        let claims = verifier.verify(token, now)?;
        self.remember(digest, claims.clone());
        Ok(claims)
    }

    /// How many tokens are remembered.
    pub fn len(&self) -> usize {
        self.young.len() + self.old.len()
    }

    /// True if none is remembered.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn find(&mut self, digest: &Digest) -> Option<Claims> {
        if let Some(claims) = self.young.get(digest) {
            return Some(claims.clone());
        }
        let claims = self.old.remove(digest)?;
        self.remember(*digest, claims.clone());
        Some(claims)
    }

    fn remember(&mut self, digest: Digest, claims: Claims) {
        if self.young.len() >= self.half_max {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(digest, claims);
        assert!(self.len() <= 2 * self.half_max, "the cache holds {} tokens", self.len());
    }
}

fn sha256(token: &str) -> Digest {
    let mut bytes = [0; 32];
    bytes.copy_from_slice(digest(&SHA256, token.as_bytes()).as_ref());
    bytes
}

#[cfg(test)]
mod tests;
