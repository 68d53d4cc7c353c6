//! A core's door: tokens against the keys in force.
//!
//! Invariants
//! - New keys are in force for the next token that is shown, on every core.

use crate::commands::now;
use crate::token::{Claims, TokenCache, TokenError, Verifier};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

/// The keys in force.
pub(crate) type Keys = Current<Verifier>;

/// What all cores go by, until it is replaced. Read once a login, written at a reload.
pub(crate) struct Current<T>(Arc<RwLock<Arc<T>>>);

impl<T> Clone for Current<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<T> Current<T> {
    /// The first value.
    pub(crate) fn new(value: T) -> Self {
        Self(Arc::new(RwLock::new(Arc::new(value))))
    }

    /// Puts another value in force.
    pub(crate) fn replace(&self, value: T) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(value);
    }

    /// The value in force.
    pub(crate) fn current(&self) -> Arc<T> {
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
