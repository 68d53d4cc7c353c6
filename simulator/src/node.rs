//! One shard of the simulated process: state machine, record log and storage engine.

use crate::disk::Disk;
use iris_protocol::{Durability, Generation, Incarnation, Limits, Mono, Placement, ShardId, Wall};
use iris_shard::io::Ticket;
use iris_shard::{Config, Shard};
use iris_storage::log::LogWrite;
use iris_storage::open::OpenedCore;
use iris_storage::segment::LogFiles;
use iris_storage::tables::{MemoryTables, SharedTables};
use iris_storage::{RecordLog, StorageEngine};

/// Mail that fits between two shards: little, so that credits run out.
pub(crate) const MAIL_RING: usize = 64;

/// One shard.
pub(crate) struct Node {
    pub(crate) shard: Shard,
    pub(crate) log: RecordLog,
    pub(crate) engine: StorageEngine<SharedTables<MemoryTables>>,
    /// The write in flight.
    pub(crate) writing: Option<LogWrite>,
    /// The last ticket whose record the engine has.
    pub(crate) absorbed_through: Ticket,
    /// When the world will next tick it; `None`: not planned.
    pub(crate) tick_at: Option<Mono>,
}

/// What a boot of the process is.
#[derive(Clone, Copy)]
pub(crate) struct Boot {
    pub(crate) shards: u16,
    pub(crate) generation: Generation,
    pub(crate) incarnation: Incarnation,
    pub(crate) clock: Wall,
    pub(crate) now: Mono,
    pub(crate) limits: Limits,
    /// Message ids that a shard keeps in memory.
    pub(crate) dedup_ids: usize,
    pub(crate) durability: Durability,
}

impl Node {
    /// A shard on what was opened.
    pub(crate) fn new(shard: ShardId, boot: &Boot, opened: OpenedCore<SharedTables<MemoryTables>>) -> Self {
        let config = Config {
            shard,
            placement: Placement::even(boot.shards),
            generation: boot.generation,
            incarnation: boot.incarnation,
            durability: boot.durability,
            limits: boot.limits,
            dedup_ids: boot.dedup_ids,
            hash_seed: 11,
            mail_ring: MAIL_RING,
            clock: boot.clock,
            capabilities: Vec::new(),
        };
        let shard = Shard::new(boot.now, config, opened.boot);
        Self {
            shard,
            log: opened.log,
            engine: opened.engine,
            writing: None,
            absorbed_through: Ticket(0),
            tick_at: None,
        }
    }

    /// The next record to write, if nothing is in flight.
    pub(crate) fn begin_write(&mut self, disk: &mut Disk) -> bool {
        while let Some(segment) = self.log.needs_segment() {
            let made = disk.log.create(segment.id, segment.bytes);
            assert!(made.is_ok(), "a segment in memory: {made:?}");
            self.log.provide(segment);
        }
        if self.writing.is_none() {
            self.writing = self.log.seal();
            return self.writing.is_some();
        }
        false
    }

    /// Flushes the tables, so that segments can be used again.
    pub(crate) fn flush(&mut self) {
        let flushed = self.engine.flush();
        let flushed = flushed.unwrap_or_else(|error| unreachable!("no fault was injected: {error}"));
        self.log.flushed(flushed);
    }
}
