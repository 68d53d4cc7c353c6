//! A core's door: tokens against the keys in force and the revocations.
//!
//! Invariants
//! - New keys are in force for the next token that is shown, on every core.
//! - What is revoked is refused from the tick on in which the core looks: at that token's next use, and at the end of its
//!   sessions.

use crate::commands::now;
use crate::revocations::{Entry, Revocations, Set, TokenMark};
use crate::token::{Claims, TokenCache, TokenError, Verifier};
use iris_protocol::{DeviceId, UserId};
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

/// A token that was accepted.
pub(crate) struct Shown {
    /// What it says.
    pub(crate) claims: Claims,
    /// What is kept of it.
    pub(crate) mark: TokenMark,
}

/// One core's view of the keys and revocations, with what it remembers of verified tokens.
pub(crate) struct TokenGate {
    keys: Keys,
    cache: TokenCache,
    revocations: Revocations,
    revoked: Arc<Set>,
}

impl TokenGate {
    /// A door that remembers this many tokens.
    pub(crate) fn new(keys: Keys, tokens_max: usize, revocations: Revocations) -> Self {
        let revoked = revocations.current();
        Self { keys, cache: TokenCache::new(tokens_max), revocations, revoked }
    }

    /// Who shows this token.
    ///
    /// # Errors
    /// [`TokenError`], for the log alone: the client is told AUTH_FAILED.
    pub(crate) fn check(&mut self, token: &str) -> Result<Shown, TokenError> {
        let claims = self.cache.verify(&self.keys.current(), token, now())?;
        let mark = self.revocations.mark(&claims.jti, claims.issued_at);
        if self.is_revoked(&claims.user, &claims.device, mark) {
            return Err(TokenError::Revoked);
        }
        Ok(Shown { claims, mark })
    }

    /// True if a token that was accepted, perhaps by another core, is revoked by now.
    pub(crate) fn is_revoked(&self, user: &UserId, device: &DeviceId, mark: TokenMark) -> bool {
        self.revoked.covers(user, device, mark)
    }

    /// Looks at the revocations: what is new, with the set that is in force from here on.
    pub(crate) fn newly_revoked(&mut self) -> Option<(Arc<Set>, Vec<Arc<Entry>>)> {
        if self.revocations.last() == self.revoked.last() {
            return None;
        }
        let before = self.revoked.last();
        self.revoked = self.revocations.current();
        Some((Arc::clone(&self.revoked), self.revoked.after(before).to_vec()))
    }

    /// For how long a token is still taken, by the clock that judged it. What comes behind the door counts from there:
    /// the shards' clock may be days ahead of the host's.
    pub(crate) fn life(claims: &Claims) -> Duration {
        Duration::from_millis(claims.refused_from.0.saturating_sub(now().0))
    }
}
