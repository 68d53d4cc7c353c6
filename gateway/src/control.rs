//! What the main thread tells the cores, and what they tell it: flags and figures without locks.
//!
//! Invariants
//! - A core writes only its own figures; the main thread only the flags.

use iris_protocol::Wall;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// Flags of the process.
#[derive(Debug, Default)]
pub(crate) struct Control {
    draining: AtomicBool,
    stop: AtomicBool,
}

impl Control {
    /// Stop accepting, tell sessions to go.
    pub(crate) fn drain(&self) {
        self.draining.store(true, Ordering::Release);
    }

    /// End as soon as what was accepted is durable.
    pub(crate) fn stop(&self) {
        self.stop.store(true, Ordering::Release);
    }

    /// True once [`Control::drain`] was called.
    pub(crate) fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Acquire)
    }

    /// True once [`Control::stop`] was called.
    pub(crate) fn must_stop(&self) -> bool {
        self.stop.load(Ordering::Acquire)
    }
}

/// Figures of a core's record log.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct LogFigures {
    /// Records written.
    pub(crate) records: u64,
    /// Messages accepted in them.
    pub(crate) messages: u64,
    /// Bytes written, padding included.
    pub(crate) bytes: u64,
    /// Microseconds from handing records to the kernel until they were known to be durable, together.
    pub(crate) write_us: u64,
    /// Number of the last durable record.
    pub(crate) last_number: u64,
}

/// One look at a core.
pub(crate) struct CoreFigures<'a> {
    /// Open connections.
    pub(crate) connections: usize,
    /// The shard clock.
    pub(crate) clock: Wall,
    /// Nothing in memory that is not durable.
    pub(crate) settled: bool,
    /// The record log's.
    pub(crate) log: LogFigures,
    /// The reactor's.
    pub(crate) reactor: iris_reactor::Counters,
    /// The shard's.
    pub(crate) shard: &'a iris_shard::Counters,
}

macro_rules! core_stats {
    ($($name:ident),* $(,)?) => {
        /// The last published figures of a core.
        #[derive(Debug, Default)]
        pub(crate) struct CoreStats {
            settled: AtomicBool,
            $($name: AtomicU64,)*
        }

        impl CoreStats {
            /// The figures by name, as the stats line shows them.
            pub(crate) fn read(&self) -> Vec<(&'static str, u64)> {
                vec![$((stringify!($name), self.$name.load(Ordering::Relaxed)),)*]
            }
        }
    };
}
core_stats! {
    connections, clock_ms, records, record_messages, record_write_us, log_bytes, log_number, accepts, turns, enters, receives,
    sends, cq_overflows,
    buffer_exhausted, accept_backoffs, wakes_sent, wakes_saved, idle_falls, moves_in, accepted, acknowledged, replayed, delivered,
    acked, elided, appended, removed, mails, loads, busy, backpressure,
}

impl CoreStats {
    /// Replaces the figures; called by the core that owns them.
    pub(crate) fn publish(&self, figures: &CoreFigures<'_>) {
        let put = |cell: &AtomicU64, value: u64| cell.store(value, Ordering::Relaxed);
        put(&self.connections, u64::try_from(figures.connections).unwrap_or(u64::MAX));
        put(&self.clock_ms, figures.clock.0);
        put(&self.records, figures.log.records);
        put(&self.record_messages, figures.log.messages);
        put(&self.record_write_us, figures.log.write_us);
        put(&self.log_bytes, figures.log.bytes);
        put(&self.log_number, figures.log.last_number);
        put(&self.accepts, figures.reactor.accepts);
        put(&self.turns, figures.reactor.turns);
        put(&self.enters, figures.reactor.enters);
        put(&self.receives, figures.reactor.receives);
        put(&self.sends, figures.reactor.sends);
        put(&self.cq_overflows, figures.reactor.cq_overflows);
        put(&self.buffer_exhausted, figures.reactor.buffer_exhausted);
        put(&self.accept_backoffs, figures.reactor.accept_backoffs);
        put(&self.wakes_sent, figures.reactor.wakes_sent);
        put(&self.wakes_saved, figures.reactor.wakes_saved);
        put(&self.idle_falls, figures.reactor.idle_falls);
        put(&self.moves_in, figures.reactor.moves_in);
        put(&self.accepted, figures.shard.accepted);
        put(&self.acknowledged, figures.shard.acknowledged);
        put(&self.replayed, figures.shard.replayed);
        put(&self.delivered, figures.shard.delivered);
        put(&self.acked, figures.shard.acked);
        put(&self.elided, figures.shard.elided);
        put(&self.appended, figures.shard.appended);
        put(&self.removed, figures.shard.removed);
        put(&self.mails, figures.shard.mails);
        put(&self.loads, figures.shard.loads);
        put(&self.busy, figures.shard.busy);
        put(&self.backpressure, figures.shard.backpressure);
        self.settled.store(figures.settled, Ordering::Release);
    }

    /// True if the core had nothing left to make durable when it last looked.
    pub(crate) fn is_settled(&self) -> bool {
        self.settled.load(Ordering::Acquire)
    }

    /// True if no connection was open when the core last looked.
    pub(crate) fn is_empty(&self) -> bool {
        self.connections.load(Ordering::Relaxed) == 0
    }

    /// The shard clock, as last published.
    pub(crate) fn clock(&self) -> Wall {
        Wall(self.clock_ms.load(Ordering::Relaxed))
    }
}
