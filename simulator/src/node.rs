//! One shard of the simulated process: state machine, record log and storage engine, opened from its disk.

use crate::disk::Disk;
use crate::reached::Reached;
use iris_protocol::{Durability, Generation, Incarnation, Limits, Mono, ShardId, Wall};
use iris_shard::{Config, Placement, Shard};
use iris_storage::load::BootLimits;
use iris_storage::log::LogWrite;
use iris_storage::open::{CorePlan, open_core};
use iris_storage::recovery::Tail;
use iris_storage::segment::LogFiles;
use iris_storage::tables::{MemoryTables, SharedTables};
use iris_storage::{LogKey, RecordLog, StorageEngine, Vouch};

/// Mail that fits between two shards: little, so that credits run out.
pub(crate) const MAIL_RING: usize = 64;
/// Small segments, so that a run passes many.
const SEGMENT_BYTES: u64 = 512 << 10;
const RECORD_BYTES_MAX: usize = 192 << 10;

/// One shard.
pub(crate) struct Node {
    pub(crate) shard: Shard,
    pub(crate) log: RecordLog,
    pub(crate) engine: StorageEngine<SharedTables<MemoryTables>>,
    /// The write in flight.
    pub(crate) writing: Option<LogWrite>,
    /// When the world will next tick it; `None`: not planned.
    pub(crate) tick_at: Option<Mono>,
}

/// What a boot of the process is.
#[derive(Clone, Copy)]
pub(crate) struct Boot {
    pub(crate) shards: u16,
    /// The generation of the boot before.
    pub(crate) known: Generation,
    pub(crate) generation: Generation,
    pub(crate) clock: Wall,
    pub(crate) now: Mono,
    pub(crate) limits: Limits,
}

impl Node {
    /// Recovers a shard from its disk.
    pub(crate) fn open(
        shard: ShardId,
        boot: &Boot,
        disk: &mut Disk,
        reached: &mut Reached,
    ) -> Result<Self, String> {
        let plan = CorePlan {
            core: shard.0,
            key: LogKey(7).of_core(shard.0),
            known: boot.known,
            generation: boot.generation,
            durability: Durability::Fsync,
            segment_bytes: SEGMENT_BYTES,
            record_bytes_max: RECORD_BYTES_MAX,
            vouched: Vouch::default(),
            host_lost_writes: false,
            merge_seed: 3,
            boot: BootLimits {
                crowded_entries: boot.limits.inbox_envelopes,
                crowded_bytes: boot.limits.inbox_bytes,
                dedup_rows_checked: 1 << 20,
            },
        };
        let opened = open_core(disk.tables.clone(), &mut disk.log, &plan);
        let opened = opened.map_err(|error| format!("recovery refused: {error}"))?;
        if opened.report.tail != Tail::Clean {
            reached.torn_tail += 1;
        }
        let config = Config {
            shard,
            placement: Placement::even(boot.shards),
            generation: boot.generation,
            incarnation: Incarnation([1; 16]),
            durability: Durability::Fsync,
            limits: boot.limits,
            hash_seed: 11,
            mail_ring: MAIL_RING,
            clock: boot.clock,
            capabilities: Vec::new(),
        };
        let shard = Shard::new(boot.now, config, opened.boot);
        Ok(Self { shard, log: opened.log, engine: opened.engine, writing: None, tick_at: None })
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
