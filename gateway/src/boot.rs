//! Opens the data directory and makes everything a core starts with.
//!
//! Invariants
//! - A refused start changes nothing that was acknowledged, and says what to do.

use crate::args::ServePlan;
use crate::commands::now;
use crate::config::{Config, DiskShare};
use crate::exit::ExitStatus;
use crate::serve::ServeError;
use iris_protocol::limits::DEDUP_MEMORY_MAX;
use iris_protocol::{Durability, Placement, ShardId, Wall};
use iris_storage::log::RecordLog;
use iris_storage::meta::MetaError;
use iris_storage::number::Vouch;
use iris_storage::open::{
    OpenError, OpenRequest, OpenStep, OpenedDirectory, RocksDatabases, log_folder, open_directory,
};
use iris_storage::segment::DirectoryLog;
use iris_storage::space::{Space, SpaceConfig};
use iris_storage::tables::{RocksConfig, RocksShared, RocksTables};
use iris_storage::{StorageEngine, load::BootState, recovery::Tail};
use std::fs;
use std::path::PathBuf;

/// Mail that fits between two cores: half of it is requests, half is room for their replies.
pub(crate) const MAIL_RING: usize = 16_384;

/// Descriptors of the process that are no shard's: 128 connections of operators, signals, the log's text, what starts it.
const DESCRIPTORS_OF_OTHERS: u64 = 160;
/// Descriptors of a ring: its own, that which others post to, and its wake-up.
const DESCRIPTORS_OF_A_RING: u64 = 3;
/// Descriptors of a shard beside its rings and the files that its tables keep open: sockets that listen, wakers, segments of the
/// log, files that the tables write.
const DESCRIPTORS_OF_A_SHARD: u64 = 24;
/// Files of a shard's tables that are kept open, at least (the library's own least) and at most.
const OPEN_FILES: (i32, i32) = (20, 512);

/// An open data directory.
pub(crate) struct Opened {
    directory: OpenedDirectory<RocksTables>,
    /// What each core starts with, until it is taken.
    pub(crate) cores: Vec<CoreBoot>,
    /// Which shard owns which slot.
    pub(crate) placement: Placement,
    /// What the cores share.
    pub(crate) share: DiskShare,
}

/// What one core starts with.
pub(crate) struct CoreBoot {
    /// The record log's writer.
    pub(crate) log: RecordLog,
    /// Tables and merger.
    pub(crate) engine: StorageEngine<RocksTables>,
    /// The log's folder.
    pub(crate) files: DirectoryLog,
    /// Watches the disk.
    pub(crate) space: Space,
    /// For the shard.
    pub(crate) shard: (iris_shard::Config, BootState),
    /// The log's folder.
    pub(crate) directory: PathBuf,
    /// What an acknowledgement promises.
    pub(crate) durability: Durability,
}

/// Opens the data directory for this many shards, with as many descriptors as the process may have.
///
/// # Errors
/// [`ServeError`]: locked, damaged, of another format, or not usable.
pub(crate) fn open(
    config: &Config,
    (shards, descriptors): (u16, u64),
    plan: &ServePlan,
) -> Result<Opened, ServeError> {
    let path = &config.server.data_dir;
    let unusable = |what: &str, error: std::io::Error| {
        ServeError::new(ExitStatus::DataDirUnusable, format!("cannot {what} {}: {error}", path.display()))
    };
    fs::create_dir_all(path).map_err(|error| unusable("make", error))?;
    let request = request(config, shards, plan).map_err(|error| unusable("ask the system for", error))?;
    let rocks = RocksConfig {
        memtable_bytes: usize::try_from(config.storage.write_buffer.0).unwrap_or(usize::MAX),
        block_cache_bytes: usize::try_from(config.storage.block_cache.0).unwrap_or(usize::MAX),
        open_files_max: open_files_max(shards, config.connections.rings, descriptors),
        ..RocksConfig::default()
    };
    let mut databases = RocksDatabases::new(path, RocksShared::new(rocks));
    let opened = open_directory(path, &mut databases, &request, &mut |step| {
        report(step);
        Ok(())
    });
    let mut directory = opened.map_err(|error| ServeError::new(status_of(&error), error))?;
    tell(&directory);
    let placement = Placement::even(shards);
    let disk_bytes = Space::new(path, SpaceConfig::default()).total_bytes();
    let disk_bytes = disk_bytes.map_err(|error| unusable("measure the disk of", error))?;
    let share = DiskShare { disk_bytes, shards };
    let cores = cores((config, share), &mut directory, &request, &placement)
        .map_err(|error| unusable("prepare", error))?;
    Ok(Opened { directory, cores, placement, share })
}

/// Files that the tables of one shard may keep open, of the descriptors that connections of operators, rings and logs leave. A
/// file that cannot be opened ends the process, so nobody else may take these.
fn open_files_max(shards: u16, rings: u16, descriptors: u64) -> i32 {
    let share = descriptors.saturating_sub(DESCRIPTORS_OF_OTHERS) / u64::from(shards.max(1));
    let taken = DESCRIPTORS_OF_A_SHARD + DESCRIPTORS_OF_A_RING * u64::from(rings);
    let files = i32::try_from(share.saturating_sub(taken)).unwrap_or(i32::MAX);
    if files < OPEN_FILES.0 {
        tracing::warn!(
            descriptors,
            shards,
            rings,
            "RLIMIT_NOFILE is too low: the tables may find no descriptor"
        );
    }
    files.clamp(OPEN_FILES.0, OPEN_FILES.1)
}

fn request(config: &Config, shards: u16, plan: &ServePlan) -> std::io::Result<OpenRequest> {
    let mut request = OpenRequest::new(shards, config.storage.durability.into(), now()).with_host()?;
    request.accept_clock = plan.accept_clock;
    request.restored = plan.new_incarnation;
    request.segment_bytes = config.storage.segment_bytes.0;
    request.boot.crowded_entries = config.limits.inbox_envelopes;
    request.boot.crowded_bytes = config.limits.inbox_bytes.0;
    Ok(request)
}

fn cores(
    (config, disk): (&Config, DiskShare),
    directory: &mut OpenedDirectory<RocksTables>,
    request: &OpenRequest,
    placement: &Placement,
) -> std::io::Result<Vec<CoreBoot>> {
    let path = &config.server.data_dir;
    let space_config = SpaceConfig { ballast_bytes: config.storage.ballast.0, ..SpaceConfig::default() };
    if !Space::new(path, space_config).make_ballast()? {
        tracing::warn!("the disk has no room for the ballast file: nothing new will be accepted");
    }
    let mut cores = Vec::new();
    for (number, core) in std::mem::take(&mut directory.cores).into_iter().enumerate() {
        let number = u16::try_from(number).unwrap_or(u16::MAX);
        let folder = log_folder(path, number);
        let shard = iris_shard::Config {
            shard: ShardId(number),
            placement: placement.clone(),
            generation: directory.generation,
            incarnation: directory.meta.meta().incarnation,
            durability: request.durability,
            limits: config.shard_limits(disk),
            dedup_ids: DEDUP_MEMORY_MAX,
            hash_seed: request.random.rotate_left(u32::from(number)),
            mail_ring: MAIL_RING,
            clock: directory.clock,
            capabilities: Vec::new(),
        };
        cores.push(CoreBoot {
            log: core.log,
            engine: core.engine,
            files: DirectoryLog::open(&folder)?,
            space: Space::new(path, space_config),
            shard: (shard, core.boot),
            directory: folder,
            durability: request.durability,
        });
    }
    Ok(cores)
}

/// Progress of what can take long.
fn report(step: OpenStep) {
    match step {
        OpenStep::MoveBegun { slots } => tracing::info!(slots, "moving users to another number of shards"),
        OpenStep::SlotCopied { done, slots, .. } if done % 64 == 0 => {
            tracing::info!(done, slots, "moving users");
        }
        OpenStep::MoveDone => tracing::info!("users have moved"),
        OpenStep::Rewound { inboxes } => {
            tracing::warn!(
                inboxes,
                "the host lost writes: inboxes were cut to what is left of their conversations"
            );
        }
        OpenStep::Recovered { core } => tracing::debug!(core, "recovered"),
        OpenStep::Locked
        | OpenStep::MetaRead
        | OpenStep::SlotCopied { .. }
        | OpenStep::SlotDropped { .. }
        | OpenStep::SourcesFlushed
        | OpenStep::CoreRemoved { .. }
        | OpenStep::GenerationRaised => {}
    }
}

/// What an operator should know of this start.
fn tell(directory: &OpenedDirectory<RocksTables>) {
    for (core, opened) in directory.cores.iter().enumerate() {
        let report = &opened.report;
        tracing::info!(core, records = report.replayed_records, bytes = report.replayed_bytes, "recovered");
        if report.tail != Tail::Clean {
            tracing::warn!(core, tail = ?report.tail, "a torn record at the end of the log was cut: it was never acknowledged");
        }
    }
    if let Some(why) = directory.new_incarnation {
        tracing::info!(?why, "new incarnation");
    }
    if directory.generations_run_out {
        tracing::warn!(
            generation = directory.generation.0,
            "90 % of all generations are used: plan a new data directory"
        );
    }
}

fn status_of(error: &OpenError) -> ExitStatus {
    match error {
        OpenError::Io { source, .. } | OpenError::Meta(MetaError::Io { source, .. })
            if source.kind() == std::io::ErrorKind::StorageFull =>
        {
            ExitStatus::DiskFull
        }
        OpenError::Engine { source, .. } if source.is_disk_full() => ExitStatus::DiskFull,
        OpenError::Tables { source, .. } if source.is_disk_full() => ExitStatus::DiskFull,
        OpenError::Locked { .. } => ExitStatus::DataDirLocked,
        OpenError::Meta(MetaError::Version { .. }) => ExitStatus::FormatUnknown,
        OpenError::Io { .. } | OpenError::Meta(MetaError::Io { .. }) => ExitStatus::DataDirUnusable,
        OpenError::ClockJump { .. } => ExitStatus::ClockUnaccepted,
        OpenError::Shards { .. } => ExitStatus::Config,
        OpenError::Tables { .. } | OpenError::Engine { .. } => ExitStatus::StorageEngineFailed,
        OpenError::Meta(MetaError::Damaged { .. } | MetaError::GenerationsUsed { .. })
        | OpenError::MetaMissing { .. }
        | OpenError::MetaOlder { .. }
        | OpenError::UnknownCore { .. }
        | OpenError::Recovery { .. }
        | OpenError::Boot { .. } => ExitStatus::Damaged,
        OpenError::Stopped => ExitStatus::Failed,
    }
}

impl Opened {
    /// Writes down that a core's log reaches this far.
    ///
    /// # Errors
    /// [`MetaError`]: end the process.
    pub(crate) fn vouch(&mut self, core: u16, vouch: Vouch) -> Result<(), MetaError> {
        self.directory.meta.vouch(core, vouch)
    }

    /// Writes down how far the shard clock is.
    ///
    /// # Errors
    /// [`MetaError`]: end the process.
    pub(crate) fn store_clock(&mut self, clock: Wall) -> Result<(), MetaError> {
        self.directory.meta.store_clock(clock)
    }

    /// Writes down a clean stop: the last thing of a process.
    ///
    /// # Errors
    /// [`MetaError`]: the next start recovers as after a crash.
    pub(crate) fn stop_clean(&mut self, clock: Wall, vouched: &[Vouch]) -> Result<(), MetaError> {
        self.directory.meta.stop_clean(clock, vouched)
    }
}

#[cfg(test)]
mod tests;
