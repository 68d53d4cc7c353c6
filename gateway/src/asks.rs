//! What the admin port asks of a core: through a bounded channel, answered in the core's loop.
//!
//! Invariants
//! - A core does a bounded piece of work for each, and never waits for whoever asked.
//! - Whoever asked may be gone: an answer that nobody takes is dropped.

use crate::flight::{Slow, Summary, Way};
use crossbeam_channel::{Receiver, Sender};
use iris_protocol::{DeviceId, UserId};
use iris_reactor::Waker;
use iris_shard::inspect::{ConnView, UserView};
use iris_storage::load::LoadError;
use tokio::sync::oneshot;

/// Questions that may wait for a core; above, whoever asks is told that it is busy.
pub(crate) const ASKS_MAX: usize = 16;

/// A place in a core's table of connections: ring and index.
pub(crate) type Place = (usize, usize);

/// A connection and, once it has shown its token, whose it is.
pub(crate) struct ConnRow {
    /// The core's name for it.
    pub(crate) conn: u64,
    /// Where it stands.
    pub(crate) phase: &'static str,
    /// The shard's view.
    pub(crate) view: Option<ConnView>,
}

/// A part of a core's table of connections.
pub(crate) struct ConnPage {
    /// In the order of their places.
    pub(crate) rows: Vec<ConnRow>,
    /// Where the next part begins; `None`: this was the last.
    pub(crate) next: Option<Place>,
}

/// What a core's flight recorder has.
pub(crate) struct SlowPage {
    /// The slow messages, the oldest first.
    pub(crate) slow: Vec<Slow>,
    /// The last complete window of each way.
    pub(crate) summaries: Vec<(Way, Summary)>,
}

/// A question, with where its answer goes.
pub(crate) enum Ask {
    /// Some of the connections.
    Conns {
        /// From here on.
        from: Place,
        /// At most this many.
        rows_max: usize,
        /// The answer.
        reply: oneshot::Sender<ConnPage>,
    },
    /// A user of this core; `None`: nobody knows it.
    User {
        /// Which.
        user: UserId,
        /// The answer.
        reply: oneshot::Sender<Result<Option<UserView>, LoadError>>,
    },
    /// The messages that were slow.
    Slow {
        /// The answer.
        reply: oneshot::Sender<SlowPage>,
    },
    /// Whether the core has ended what was revoked before.
    Revoked {
        /// The answer.
        reply: oneshot::Sender<()>,
    },
    /// Close a user's connections, or those of one device.
    Kick {
        /// Whose.
        user: UserId,
        /// Which device's; `None`: all.
        device: Option<DeviceId>,
        /// How many were closed.
        reply: oneshot::Sender<usize>,
    },
}

/// The admin port's end.
pub(crate) struct Asker {
    asks: Sender<Ask>,
    waker: Waker,
}

impl Asker {
    /// Asks through `asks`, and wakes the core with its waker.
    pub(crate) fn new(asks: Sender<Ask>, waker: Waker) -> Self {
        Self { asks, waker }
    }

    /// Puts a question before the core. False: it has too many.
    pub(crate) fn ask(&self, ask: Ask) -> bool {
        let taken = self.asks.try_send(ask).is_ok();
        self.waker.wake();
        taken
    }
}

/// The channel to a core.
pub(crate) fn channel() -> (Sender<Ask>, Receiver<Ask>) {
    crossbeam_channel::bounded(ASKS_MAX)
}
