//! The flag by which a thread says that it is about to sleep, and the order that makes it safe.
//!
//! The sleeper sets the flag, then looks for work once more. A sender makes work, then looks at the flag. Each has a
//! sequentially consistent fence between its two steps, so at least one of them sees what the other did.
//! The same argument as for futexes and Dekker's algorithm; `tests` explores all orders of a model of it.
//!
//! Invariants
//! - Work that was made before the sender looked is either found by the sleeper's last look or claimed by the sender.
//! - Of several senders, one claims the wake-up.

#[cfg(loom)]
use loom::sync::atomic::{AtomicBool, Ordering, fence};
#[cfg(not(loom))]
use std::sync::atomic::{AtomicBool, Ordering, fence};

/// Whether a thread sleeps or is about to.
#[derive(Debug)]
pub struct Sleep {
    asleep: AtomicBool,
}

impl Default for Sleep {
    fn default() -> Self {
        Self::new()
    }
}

impl Sleep {
    /// Of a thread that is awake.
    pub fn new() -> Self {
        Self { asleep: AtomicBool::new(false) }
    }

    /// The sleeper's first step; the second is to look for work, and to [`cancel`](Self::cancel) if there is any.
    pub fn announce(&self) {
        self.asleep.store(true, Ordering::Relaxed);
        fence(Ordering::SeqCst);
    }

    /// The sleeper found work, or is back.
    pub fn cancel(&self) {
        // Not a mere store: what a sender wrote before is in order before whatever is announced next.
        if self.asleep.load(Ordering::Relaxed) {
            self.asleep.swap(false, Ordering::Relaxed);
        }
    }

    /// The sender's second step, after making work: whether it is the one who must wake the sleeper.
    pub fn claim_wake(&self) -> bool {
        fence(Ordering::SeqCst);
        // The load alone answers the sender of a sleeper that is awake, which is the rule under load.
        self.asleep.load(Ordering::Relaxed)
            && self.asleep.compare_exchange(true, false, Ordering::Relaxed, Ordering::Relaxed).is_ok()
    }
}

#[cfg(all(test, loom))]
mod tests;
