//! Waking a reactor from a thread that has no ring.
//!
//! Invariants
//! - A wake after the reactor's last look is never lost: either the reactor sees it before it sleeps, or the eventfd fires.
//! - A reactor that is awake costs its wakers no system call.

use std::fmt;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use rustix::event::{EventfdFlags, eventfd};

use crate::mail::Sleep;

/// Wakes one reactor; to be cloned and sent wherever it is needed.
#[derive(Clone)]
pub struct Waker {
    shared: Arc<Shared>,
}

struct Shared {
    /// Somebody woke it since the reactor last looked.
    woken: AtomicBool,
    sleep: Sleep,
    /// Wakes that needed no system call.
    saved: AtomicU64,
    eventfd: OwnedFd,
}

impl fmt::Debug for Waker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Waker").field("woken", &self.shared.woken).finish_non_exhaustive()
    }
}

impl Waker {
    pub(crate) fn new() -> io::Result<Self> {
        let eventfd = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        let (woken, sleep, saved) = (AtomicBool::new(false), Sleep::new(), AtomicU64::new(0));
        Ok(Self { shared: Arc::new(Shared { woken, sleep, saved, eventfd }) })
    }

    /// Makes the reactor's present or next turn return, with `Event::Woken`.
    pub fn wake(&self) {
        // Release: what the waker did before is seen by the reactor that takes the wake.
        self.shared.woken.store(true, Ordering::Release);
        if self.shared.sleep.claim_wake() {
            // A full counter means that it has fired and nobody looked yet, which serves as well.
            let _ = rustix::io::write(&self.shared.eventfd, &1u64.to_ne_bytes());
        } else {
            self.shared.saved.fetch_add(1, Ordering::Relaxed);
        }
    }

    pub(crate) fn fd(&self) -> RawFd {
        self.shared.eventfd.as_raw_fd()
    }

    /// Says that the reactor is about to sleep. False: it must not, because somebody woke it.
    pub(crate) fn before_sleep(&self) -> bool {
        self.shared.sleep.announce();
        if self.shared.woken.load(Ordering::Acquire) {
            self.shared.sleep.cancel();
            return false;
        }
        true
    }

    /// Says that the reactor is awake; whether somebody woke it since it last asked.
    pub(crate) fn after_sleep(&self) -> bool {
        self.shared.sleep.cancel();
        self.shared.woken.load(Ordering::Relaxed) && self.shared.woken.swap(false, Ordering::Acquire)
    }

    pub(crate) fn saved(&self) -> u64 {
        self.shared.saved.load(Ordering::Relaxed)
    }
}
