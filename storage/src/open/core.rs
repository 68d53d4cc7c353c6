//! Opens one core: its log is recovered into its tables, and is ready to be written.
//!
//! Invariants
//! - The tables are flushed before a segment is free to be written again.

use super::OpenError;
use crate::engine::StorageEngine;
use crate::load::{BootLimits, BootState, boot_state};
use crate::log::{LogConfig, RecordLog};
use crate::number::{LogKey, Vouch};
use crate::recovery::{RecoveryPlan, RecoveryReport, recover};
use crate::segment::{LogFiles, Padding};
use crate::tables::Tables;
use iris_protocol::{Durability, Generation};
use std::fmt;
use std::path::PathBuf;

/// How a core is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CorePlan {
    /// Which, for messages.
    pub core: u16,
    /// The key of its log.
    pub key: LogKey,
    /// The highest generation that may have written.
    pub known: Generation,
    /// The generation that will write.
    pub generation: Generation,
    /// How it will write: direct and synced, or buffered.
    pub durability: Durability,
    /// Bytes of a new segment.
    pub segment_bytes: u64,
    /// Most bytes of a record's body.
    pub record_bytes_max: usize,
    /// What the log must reach.
    pub vouched: Vouch,
    /// The host stopped while writes were not synced.
    pub host_lost_writes: bool,
    /// Seeds the merger's hashes.
    pub merge_seed: u64,
    /// What a boot looks at.
    pub boot: BootLimits,
}

impl CorePlan {
    fn padding(&self) -> Padding {
        match self.durability {
            Durability::Fsync => Padding::Block,
            Durability::Os => Padding::Eight,
        }
    }
}

/// A core that is ready.
pub struct OpenedCore<T> {
    /// For the driver.
    pub log: RecordLog,
    /// For the storage thread.
    pub engine: StorageEngine<T>,
    /// For the shard.
    pub boot: BootState,
    /// For the operator.
    pub report: RecoveryReport,
}

/// Without the boot state: it holds payloads.
impl<T> fmt::Debug for OpenedCore<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OpenedCore").field("report", &self.report).finish_non_exhaustive()
    }
}

/// Recovers a log into the tables and gets both ready.
///
/// # Errors
/// [`OpenError`]: do not start.
pub fn open_core<T: Tables>(
    tables: T,
    files: &mut dyn LogFiles,
    plan: &CorePlan,
) -> Result<OpenedCore<T>, OpenError> {
    finish_core(recover_core(tables, files, plan)?, files, plan)
}

/// A core whose tables hold everything that its log does, flushed.
pub(super) struct RecoveredCore<T> {
    pub(super) engine: StorageEngine<T>,
    log: RecordLog,
    report: RecoveryReport,
}

/// Makes the first segment, and reads what the shard begins with.
pub(super) fn finish_core<T: Tables>(
    recovered: RecoveredCore<T>,
    files: &mut dyn LogFiles,
    plan: &CorePlan,
) -> Result<OpenedCore<T>, OpenError> {
    let RecoveredCore { mut engine, mut log, report } = recovered;
    let core = plan.core;
    while let Some(segment) = log.needs_segment() {
        let path = PathBuf::from(segment.id.file_name());
        let failed = |source| OpenError::Io { what: "make log segment", path, source };
        files.create(segment.id, segment.bytes).map_err(failed)?;
        log.provide(segment);
    }
    engine.fill().map_err(|source| OpenError::Engine { core, source })?;
    let boot = boot_state(engine.tables(), &plan.boot).map_err(|source| OpenError::Boot { core, source })?;
    Ok(OpenedCore { log, engine, boot, report })
}

/// Recovers a log into the tables, flushed.
pub(super) fn recover_core<T: Tables>(
    tables: T,
    files: &mut dyn LogFiles,
    plan: &CorePlan,
) -> Result<RecoveredCore<T>, OpenError> {
    let core = plan.core;
    let applied = tables.applied();
    if applied.generation > plan.known {
        return Err(OpenError::MetaOlder { core, found: applied.generation, known: plan.known });
    }
    let failed = |source| OpenError::Engine { core, source };
    let mut engine = StorageEngine::new(plan.merge_seed, tables).map_err(failed)?;
    let recovery = RecoveryPlan {
        key: plan.key,
        padding: plan.padding(),
        applied,
        vouched: plan.vouched,
        generation: plan.known,
        host_lost_writes: plan.host_lost_writes,
    };
    let recovered = recover(files, &recovery, &mut |record| {
        engine.absorb(record)?;
        Ok(())
    });
    let (position, report) = recovered.map_err(|source| OpenError::Recovery { core, source })?;
    let flushed = engine.flush().map_err(failed)?;
    let config = LogConfig {
        key: plan.key,
        generation: plan.generation,
        padding: plan.padding(),
        segment_bytes: plan.segment_bytes,
        record_bytes_max: plan.record_bytes_max,
    };
    let mut log = RecordLog::new(config, position);
    log.flushed(flushed);
    Ok(RecoveredCore { engine, log, report })
}
