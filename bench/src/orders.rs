//! What a running load is told by whoever watches it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// Orders to all threads of a load; every copy gives and sees the same ones.
#[derive(Clone, Debug, Default)]
pub struct Orders(Arc<Given>);

#[derive(Debug, Default)]
struct Given {
    cuts: AtomicU64,
    stop: AtomicBool,
}

impl Orders {
    /// Every connection ends now, with a reset.
    pub fn cut_off(&self) {
        self.0.cuts.fetch_add(1, Ordering::Relaxed);
    }

    /// How often every connection was to end so far.
    pub fn cuts(&self) -> u64 {
        self.0.cuts.load(Ordering::Relaxed)
    }

    /// The load ends now, whatever is under way.
    pub fn stop(&self) {
        self.0.stop.store(true, Ordering::Relaxed);
    }

    /// True once the load has to end.
    pub fn is_stopped(&self) -> bool {
        self.0.stop.load(Ordering::Relaxed)
    }
}
