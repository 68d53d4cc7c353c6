//! What the main thread tells the cores, and what they tell it: flags, limits and figures.
//!
//! Invariants
//! - A core writes only its own figures; the main thread and the admin port only the flags and limits.
//! - A core takes a lock only when the limits have changed.
//! - Every figure of the cores stands once, in `core_stats!`, with its name, kind, unit and meaning.

use crate::core_loop::HandshakeFigures;
use crate::flight::{FlightFigures, Stage};
use crate::memory::MemoryFigures;
use iris_protocol::Wall;
use iris_protocol::limits::Limits;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

/// Flags of the process.
#[derive(Debug, Default)]
pub(crate) struct Control {
    drain_ordered: AtomicBool,
    draining: AtomicBool,
    stop: AtomicBool,
    memory_full: AtomicBool,
    memory: Mutex<MemoryFigures>,
    limits: Mutex<Limits>,
    /// How often other limits were put in force.
    limits_changes: AtomicU64,
}

impl Control {
    /// Asks the main thread to drain.
    pub(crate) fn order_drain(&self) {
        self.drain_ordered.store(true, Ordering::Release);
    }

    /// True once [`Control::order_drain`] was called.
    pub(crate) fn is_drain_ordered(&self) -> bool {
        self.drain_ordered.load(Ordering::Acquire)
    }

    /// Stop accepting, tell sessions to go.
    pub(crate) fn drain(&self) {
        self.draining.store(true, Ordering::Release);
    }

    /// End as soon as what was accepted is durable.
    pub(crate) fn stop(&self) {
        self.stop.store(true, Ordering::Release);
    }

    /// Puts other limits in force.
    pub(crate) fn set_limits(&self, limits: Limits) {
        *self.limits.lock().unwrap_or_else(PoisonError::into_inner) = limits;
        self.limits_changes.fetch_add(1, Ordering::Release);
    }

    /// The limits, if they changed since this core looked; `seen` is what it saw then.
    pub(crate) fn changed_limits(&self, seen: &mut u64) -> Option<Limits> {
        let changes = self.limits_changes.load(Ordering::Acquire);
        if std::mem::replace(seen, changes) == changes {
            return None;
        }
        Some(*self.limits.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Says what the process holds, and whether newcomers must be refused.
    pub(crate) fn set_memory(&self, figures: MemoryFigures, is_full: bool) {
        *self.memory.lock().unwrap_or_else(PoisonError::into_inner) = figures;
        self.memory_full.store(is_full, Ordering::Relaxed);
    }

    /// What the process held when it was last looked at.
    pub(crate) fn memory(&self) -> MemoryFigures {
        *self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// True while there is no memory for newcomers.
    pub(crate) fn is_memory_full(&self) -> bool {
        self.memory_full.load(Ordering::Relaxed)
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

/// What a core's door has refused.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct DoorFigures {
    /// Connections of banned addresses.
    pub(crate) banned: u64,
    /// Connections of addresses with too many that had not logged in.
    pub(crate) unauthenticated: u64,
    /// Connections of addresses that connect too often.
    pub(crate) handshakes: u64,
    /// Connections for which there was no memory.
    pub(crate) memory: u64,
}

/// What a core holds in memory, in bytes, by what it is for.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct LedgerFigures {
    /// The shard's.
    pub(crate) shard: iris_shard::memory::Memory,
    /// States of connections, incomplete frames, and what waits to be sent.
    pub(crate) connections: u64,
    /// TLS.
    pub(crate) tls: u64,
    /// The reactor's, and buffers kept for reuse.
    pub(crate) buffers: u64,
    /// Ways to other cores.
    pub(crate) mail: u64,
    /// The tables, and what waits for them.
    pub(crate) tables: u64,
}

/// One look at a core.
pub(crate) struct CoreFigures<'a> {
    /// Open connections.
    pub(crate) connections: usize,
    /// The shard clock.
    pub(crate) clock: Wall,
    /// Nothing in memory that is not durable.
    pub(crate) settled: bool,
    /// The disk has room for new messages.
    pub(crate) has_storage_room: bool,
    /// What users without devices have in their inboxes.
    pub(crate) unclaimed_bytes: u64,
    /// The record log's.
    pub(crate) log: LogFigures,
    /// Questions to the tables that the core answered itself.
    pub(crate) resident_loads: u64,
    /// The door's.
    pub(crate) door: DoorFigures,
    /// The handshakes'.
    pub(crate) handshakes: HandshakeFigures,
    /// The flight recorder's.
    pub(crate) flights: FlightFigures,
    /// The memory.
    pub(crate) ledger: LedgerFigures,
    /// Connections that have not logged in.
    pub(crate) unauthenticated: usize,
    /// Microseconds that the core's thread has computed.
    pub(crate) cpu_us: u64,
    /// The reactor's.
    pub(crate) reactor: iris_reactor::Counters,
    /// The shard's.
    pub(crate) shard: &'a iris_shard::Counters,
}

/// How a metric moves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// It only rises, from 0 at the start of the process.
    Counter,
    /// It rises and falls.
    Gauge,
}

impl Kind {
    /// Its name in the text format and in the documentation.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
        }
    }
}

/// A figure that every core publishes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Metric {
    /// Its name for monitoring; the name ends with its unit.
    pub(crate) name: &'static str,
    /// How it moves.
    pub(crate) kind: Kind,
    /// What one of the unit is in the figure as it is counted.
    pub(crate) divisor: u64,
    /// What it says.
    pub(crate) help: &'static str,
}

macro_rules! core_stats {
    ($figures:ident: $($field:ident, $metric:literal, $kind:ident / $divisor:literal, $help:literal, $value:expr;)*) => {
        /// The last published figures of a core.
        #[derive(Debug, Default)]
        pub(crate) struct CoreStats {
            settled: AtomicBool,
            $($field: AtomicU64,)*
        }

        /// Every figure for monitoring, in the order of [`CoreStats::values`].
        pub(crate) const METRICS: &[Metric] = &[
            $(Metric { name: $metric, kind: Kind::$kind, divisor: $divisor, help: $help },)*
        ];

        impl CoreStats {
            /// The figures by name, as the stats line shows them.
            pub(crate) fn read(&self) -> Vec<(&'static str, u64)> {
                [$(stringify!($field)),*].into_iter().zip(self.values()).collect()
            }

            /// The figures in the order of [`METRICS`].
            pub(crate) fn values(&self) -> Vec<u64> {
                vec![$(self.$field.load(Ordering::Relaxed),)*]
            }

            fn put(&self, $figures: &CoreFigures<'_>) {
                $(self.$field.store($value, Ordering::Relaxed);)*
            }
        }
    };
}

core_stats! { f:
    connections, "iris_connections", Gauge / 1, "Open connections, logged in or not.",
        u64::try_from(f.connections).unwrap_or(u64::MAX);
    unauthenticated, "iris_connections_unauthenticated", Gauge / 1, "Of these: not logged in yet.",
        u64::try_from(f.unauthenticated).unwrap_or(u64::MAX);
    refused_banned, "iris_refused_banned_total", Counter / 1, "Connections of banned addresses that were reset.",
        f.door.banned;
    refused_unauthenticated, "iris_refused_unauthenticated_total", Counter / 1,
        "Connections that were reset because too many of their address had not logged in.", f.door.unauthenticated;
    refused_handshakes, "iris_refused_handshakes_total", Counter / 1,
        "Connections that were reset because those of their address came too fast.", f.door.handshakes;
    refused_memory, "iris_refused_memory_total", Counter / 1,
        "Connections that were refused because there was no memory for them.", f.door.memory;
    memory_connections, "iris_memory_connections_bytes", Gauge / 1,
        "Memory of connections: their states, incomplete frames, and what waits to be sent.", f.ledger.connections;
    memory_tls, "iris_memory_tls_bytes", Gauge / 1,
        "Memory of TLS: the number of its connections times what an idle one was measured to take.", f.ledger.tls;
    memory_sessions, "iris_memory_sessions_bytes", Gauge / 1,
        "Memory of sessions, with what they have in flight.", f.ledger.shard.sessions;
    memory_users, "iris_memory_users_bytes", Gauge / 1, "Memory of users and their devices.", f.ledger.shard.users;
    memory_inboxes, "iris_memory_inboxes_bytes", Gauge / 1,
        "Memory of inbox entries that are not in the tables alone.", f.ledger.shard.inboxes;
    memory_routes, "iris_memory_routes_bytes", Gauge / 1,
        "Memory of conversations, with messages that are not confirmed.", f.ledger.shard.routes;
    memory_dedup, "iris_memory_dedup_bytes", Gauge / 1, "Memory of remembered message ids.", f.ledger.shard.dedup;
    memory_timers, "iris_memory_timers_bytes", Gauge / 1, "Memory of the sessions' alarms.", f.ledger.shard.timers;
    memory_queues, "iris_memory_queues_bytes", Gauge / 1, "Memory of what a shard has decided and not yet done.",
        f.ledger.shard.queues;
    memory_buffers, "iris_memory_buffers_bytes", Gauge / 1,
        "Memory of receive buffers, send buffers and the rings' tables of connections.", f.ledger.buffers;
    memory_mail, "iris_memory_mail_bytes", Gauge / 1, "Memory of the ways to other cores.", f.ledger.mail;
    memory_tables, "iris_memory_tables_bytes", Gauge / 1,
        "Memory of the tables: newest rows, a share of the cached blocks, and what waits to be filled in.", f.ledger.tables;
    handshakes_waiting, "iris_handshakes_waiting", Gauge / 1, "Connections whose handshake waits for its turn.",
        u64::try_from(f.handshakes.waiting).unwrap_or(u64::MAX);
    handshakes_put_off, "iris_handshakes_put_off_total", Counter / 1,
        "Handshakes that had to wait because a tick had no time left for them.", f.handshakes.put_off;
    handshakes_refused, "iris_handshakes_refused_total", Counter / 1,
        "Connections that were refused because too many handshakes waited.", f.handshakes.refused;
    handshake_us, "iris_handshake_seconds_total", Counter / 1_000_000,
        "Processor time of connections that had not logged in.", f.handshakes.spent_us;
    clock_ms, "iris_shard_clock_seconds", Gauge / 1000, "The shard clock, in seconds since 1970.", f.clock.0;
    storage_room, "iris_storage_room", Gauge / 1, "1 while the disk has room for new messages, else 0.",
        u64::from(f.has_storage_room);
    unclaimed_bytes, "iris_unclaimed_bytes", Gauge / 1,
        "What users who have no device yet have in their inboxes, in bytes as limits.unclaimed_total_bytes counts them.",
        f.unclaimed_bytes;
    records, "iris_log_records_total", Counter / 1, "Records written to the log.", f.log.records;
    record_messages, "iris_log_record_messages_total", Counter / 1, "Messages accepted in these records.",
        f.log.messages;
    record_write_us, "iris_log_write_seconds_total", Counter / 1_000_000,
        "Time from handing records to the kernel until they were durable.", f.log.write_us;
    log_bytes, "iris_log_bytes_total", Counter / 1, "Bytes written to the log, padding included.", f.log.bytes;
    log_number, "iris_log_number", Gauge / 1, "Number of the last durable record.", f.log.last_number;
    timed, "iris_deliveries_timed_total", Counter / 1,
        "Deliveries whose way from the sender's bytes to the recipient's socket was timed: not those that waited in an inbox.",
        f.flights.timed;
    stage_receive_us, "iris_stage_receive_seconds_total", Counter / 1_000_000,
        "Time of these on their first stage: their bytes waited for what came before them.", f.flights.spent(Stage::Receive);
    stage_decode_us, "iris_stage_decode_seconds_total", Counter / 1_000_000,
        "Time in which their frames were read.", f.flights.spent(Stage::Decode);
    stage_mail_us, "iris_stage_mail_seconds_total", Counter / 1_000_000,
        "Time in mail between cores.", f.flights.spent(Stage::Mail);
    stage_sequence_us, "iris_stage_sequence_seconds_total", Counter / 1_000_000,
        "Time in which they were judged and got their sequence.", f.flights.spent(Stage::Sequence);
    stage_store_wait_us, "iris_stage_store_wait_seconds_total", Counter / 1_000_000,
        "Time in which they waited for the record before theirs.", f.flights.spent(Stage::StoreWait);
    stage_commit_us, "iris_stage_commit_seconds_total", Counter / 1_000_000,
        "Time in which their records became durable.", f.flights.spent(Stage::Commit);
    stage_deliver_us, "iris_stage_deliver_seconds_total", Counter / 1_000_000,
        "Time in which they were routed, took their place in the inbox and became frames.", f.flights.spent(Stage::Deliver);
    stage_send_us, "iris_stage_send_seconds_total", Counter / 1_000_000,
        "Time in which the kernel took the frames.", f.flights.spent(Stage::Send);
    accepts, "iris_accepts_total", Counter / 1, "Connections accepted.", f.reactor.accepts;
    cpu_us, "iris_core_cpu_seconds_total", Counter / 1_000_000,
        "Processor time of the core's thread; its storage thread is not in it.", f.cpu_us;
    turns, "iris_turns_total", Counter / 1, "Turns of the core's loop.", f.reactor.turns;
    enters, "iris_ring_enters_total", Counter / 1, "System calls that entered a ring.", f.reactor.enters;
    receives, "iris_receives_total", Counter / 1, "Receives that brought bytes.", f.reactor.receives;
    receive_bytes, "iris_receive_bytes_total", Counter / 1, "Bytes received.", f.reactor.receive_bytes;
    sends, "iris_sends_total", Counter / 1, "Buffers sent.", f.reactor.sends;
    send_bytes, "iris_send_bytes_total", Counter / 1, "Bytes sent.", f.reactor.send_bytes;
    cq_overflows, "iris_ring_overflows_total", Counter / 1, "Completion queues that overflowed.",
        f.reactor.cq_overflows;
    buffer_exhausted, "iris_receive_buffers_exhausted_total", Counter / 1,
        "Receives that ended because every buffer was out.", f.reactor.buffer_exhausted;
    accept_backoffs, "iris_accept_backoffs_total", Counter / 1,
        "Times accepting paused because a table was full or the host was out of something.",
        f.reactor.accept_backoffs;
    wakes_sent, "iris_wakes_total", Counter / 1, "Wake-ups sent to other cores.", f.reactor.wakes_sent;
    wakes_saved, "iris_wakes_saved_total", Counter / 1, "Wake-ups that a core spared because it was awake.",
        f.reactor.wakes_saved;
    idle_falls, "iris_idle_falls_total", Counter / 1, "Silent connections that were parked.", f.reactor.idle_falls;
    moves_in, "iris_moves_in_total", Counter / 1, "Connections taken over from another core.", f.reactor.moves_in;
    logins, "iris_logins_total", Counter / 1, "Logins that were welcomed.", f.shard.logins;
    takeovers, "iris_takeovers_total", Counter / 1, "Sessions taken over by a new connection of their device.",
        f.shard.takeovers;
    closes, "iris_session_closes_total", Counter / 1, "Sessions that the server closed.", f.shard.closes;
    slow_consumers, "iris_slow_consumers_total", Counter / 1, "Of these: SLOW_CONSUMER.", f.shard.slow_consumers;
    heartbeat_timeouts, "iris_heartbeat_timeouts_total", Counter / 1, "Of these: HEARTBEAT_TIMEOUT.",
        f.shard.heartbeat_timeouts;
    messages_in, "iris_messages_sent_total", Counter / 1, "Messages that clients sent.", f.shard.sends;
    accepted, "iris_messages_accepted_total", Counter / 1, "Messages accepted, durable or not yet.",
        f.shard.accepted;
    acknowledged, "iris_messages_acknowledged_total", Counter / 1, "Accepted frames sent to clients.",
        f.shard.acknowledged;
    replayed, "iris_messages_replayed_total", Counter / 1, "Messages that were known already.", f.shard.replayed;
    rejected, "iris_messages_rejected_total", Counter / 1, "Messages that were refused.",
        f.shard.rejected_here + f.shard.rejected_owner;
    inbox_full, "iris_messages_inbox_full_total", Counter / 1, "Of these: INBOX_FULL.", f.shard.inbox_full;
    busy, "iris_messages_busy_total", Counter / 1, "Of these: BUSY.", f.shard.busy;
    delivered, "iris_deliveries_total", Counter / 1, "Deliver and Gap frames sent.", f.shard.delivered;
    acked, "iris_deliveries_acked_total", Counter / 1, "Deliveries acknowledged by devices.", f.shard.acked;
    elided, "iris_entries_elided_total", Counter / 1, "Inbox entries that never needed a record.", f.shard.elided;
    appended, "iris_entries_stored_total", Counter / 1, "Inbox entries put into records.", f.shard.appended;
    removed, "iris_entries_removed_total", Counter / 1, "Inbox entries removed.", f.shard.removed;
    gaps, "iris_gaps_total", Counter / 1, "Gaps put into inboxes, because one was full or entries had expired.",
        f.shard.gaps_inbox_full + f.shard.gaps_expired;
    detached, "iris_devices_detached_total", Counter / 1, "Devices detached.", f.shard.detached;
    mails, "iris_mails_total", Counter / 1, "Mail to other cores.", f.shard.mails;
    loads, "iris_loads_total", Counter / 1, "Questions to the tables.", f.shard.loads;
    resident_loads, "iris_loads_resident_total", Counter / 1,
        "Of these: answered by the core itself, from the tables' memory.", f.resident_loads;
    load_errors, "iris_load_errors_total", Counter / 1, "Of these: unanswered.", f.shard.load_errors;
    backpressure, "iris_backpressure_total", Counter / 1, "Times a core stopped reading its sockets.",
        f.shard.backpressure;
}

impl CoreStats {
    /// Replaces the figures; called by the core that owns them.
    pub(crate) fn publish(&self, figures: &CoreFigures<'_>) {
        self.put(figures);
        self.settled.store(figures.settled, Ordering::Release);
    }

    /// True if the core had nothing left to make durable when it last looked.
    pub(crate) fn is_settled(&self) -> bool {
        self.settled.load(Ordering::Acquire)
    }

    /// True once the core has published its figures.
    pub(crate) fn is_published(&self) -> bool {
        self.turns() > 0
    }

    /// Turns of the core's loop when it last published.
    pub(crate) fn turns(&self) -> u64 {
        self.turns.load(Ordering::Relaxed)
    }

    /// True if the disk had room for new messages when the core last looked.
    pub(crate) fn has_storage_room(&self) -> bool {
        self.storage_room.load(Ordering::Relaxed) > 0
    }

    /// True if no connection was open when the core last looked.
    pub(crate) fn is_empty(&self) -> bool {
        self.connections.load(Ordering::Relaxed) == 0
    }

    /// Connections that were open when the core last looked.
    pub(crate) fn connections(&self) -> u64 {
        self.connections.load(Ordering::Relaxed)
    }

    /// The shard clock, as last published.
    pub(crate) fn clock(&self) -> Wall {
        Wall(self.clock_ms.load(Ordering::Relaxed))
    }
}
