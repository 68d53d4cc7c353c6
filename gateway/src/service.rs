//! What a service manager is told: that the process serves, reloads, ends, and that its cores turn.
//!
//! Invariants
//! - Without a manager (no `NOTIFY_SOCKET`) nothing is said.
//! - A sign of life is given only if every core's loop has turned since the last one.

use sd_notify::NotifyState;
use std::time::{Duration, Instant};

/// Signs of life in the time after which the manager gives the process up.
const SIGNS_OF_LIFE: u32 = 3;

/// The service manager's side of this process.
pub(crate) struct Service {
    /// How often a sign of life is due, if the manager wants any.
    every: Option<Duration>,
    next: Instant,
    watch: Watch,
}

impl Service {
    /// As this process was started.
    pub(crate) fn of_process() -> Self {
        let every = sd_notify::watchdog_enabled().map(|limit| limit / SIGNS_OF_LIFE);
        Self { every, next: Instant::now(), watch: Watch::default() }
    }

    /// The process serves.
    pub(crate) fn ready() {
        tell(&[NotifyState::Ready, NotifyState::Status("serving")]);
    }

    /// The configuration is read again, by `reload`.
    pub(crate) fn reloading(reload: impl FnOnce()) {
        let since = NotifyState::monotonic_usec_now().ok();
        tell(&[NotifyState::Reloading].into_iter().chain(since).collect::<Vec<_>>());
        reload();
        Self::ready();
    }

    /// The process drains, and ends then.
    pub(crate) fn stopping() {
        tell(&[NotifyState::Stopping, NotifyState::Status("draining")]);
    }

    /// Gives a sign of life if one is due and the cores have turned. `turns`: of each core, since the start.
    pub(crate) fn keep_alive(&mut self, turns: impl FnOnce() -> Vec<u64>) {
        let now = Instant::now();
        let Some(every) = self.every.filter(|_| now >= self.next) else { return };
        self.next = now + every;
        match self.watch.first_that_stands(turns()) {
            None => tell(&[NotifyState::Watchdog]),
            Some(core) => {
                tracing::warn!(core, "the core has not turned: no sign of life is given");
            }
        }
    }
}

/// A manager that does not listen is no reason to stop serving.
fn tell(state: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(state) {
        tracing::warn!(%error, "the service manager does not listen");
    }
}

/// How far the cores were at the last look.
#[derive(Default)]
struct Watch {
    turns: Vec<u64>,
}

impl Watch {
    /// The first core whose loop has not turned since the last look.
    fn first_that_stands(&mut self, turns: Vec<u64>) -> Option<usize> {
        let before = std::mem::replace(&mut self.turns, turns);
        before.iter().zip(&self.turns).position(|(before, now)| before == now)
    }
}

#[cfg(test)]
mod tests;
