//! A core's door: tokens against the keys in force.
//!
//! Invariants
//! - New keys are in force for the next token that is shown, on every core.

use crate::commands::now;
use crate::token::{Claims, TokenCache, TokenError, Verifier};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

/// The keys in force, shared by all cores. Read once a login, written at a reload.
#[derive(Clone)]
pub(crate) struct Keys(Arc<RwLock<Arc<Verifier>>>);

impl Keys {
    /// The first keys.
    pub(crate) fn new(verifier: Verifier) -> Self {
        Self(Arc::new(RwLock::new(Arc::new(verifier))))
    }

    /// Puts other keys in force.
    pub(crate) fn replace(&self, verifier: Verifier) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(verifier);
    }

    fn current(&self) -> Arc<Verifier> {
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }
}

/// One core's view of the keys, with what it remembers of verified tokens.
pub(crate) struct TokenGate {
    keys: Keys,
    cache: TokenCache,
}

impl TokenGate {
    /// A door that remembers this many tokens.
    pub(crate) fn new(keys: Keys, tokens_max: usize) -> Self {
        Self { keys, cache: TokenCache::new(tokens_max) }
    }

    /// Who shows this token.
    ///
    /// # Errors
    /// [`TokenError`], for the log alone: the client is told AUTH_FAILED.
    pub(crate) fn check(&mut self, token: &str) -> Result<Claims, TokenError> {
        self.cache.verify(&self.keys.current(), token, now())
    }

    /// For how long a token is still taken, by the clock that judged it. What comes behind the door counts from there:
    /// the shards' clock may be days ahead of the host's.
    pub(crate) fn life(claims: &Claims) -> Duration {
        Duration::from_millis(claims.refused_from.0.saturating_sub(now().0))
    }
}
