//! Opens a data directory: lock, META, recovery of every core, and the move of slots when the number of cores changed.
//!
//! Invariants
//! - One process uses a data directory at a time.
//! - Nothing is served, and no record written, before META holds this boot's generation, durably.
//! - Opening can be stopped at any step and repeated.

use crate::engine::EngineError;
use crate::load::{BootError, BootLimits};
use crate::meta::{FolderMeta, Meta, MetaError, MetaFile, MetaStore, SharedMeta};
use crate::number::LogKey;
use crate::recovery::RecoveryError;
use crate::segment::LogFiles;
use crate::tables::{TableError, Tables};
use iris_protocol::limits::{CLOCK_ADVANCE_MAX, SHARDS_MAX};
use iris_protocol::{Durability, Generation, Incarnation, Slot, Wall};
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

mod core;
mod databases;
mod lock;
mod moving;
mod rewind;

pub use core::{CorePlan, OpenedCore, open_core};
use core::{RecoveredCore, finish_core, recover_core};
#[cfg(feature = "rocks")]
pub use databases::RocksDatabases;
pub use databases::{core_folder, log_folder, tables_folder};
pub use lock::{DirectoryLock, LOCK_FILE};
pub use moving::{MoveReport, owner};

/// Where the tables and logs of a directory's cores are.
pub trait Databases {
    /// Tables of a core.
    type Tables: Tables;
    /// The files of a core's log.
    type Files: LogFiles;

    /// The cores that have something stored, ascending.
    ///
    /// # Errors
    /// The directory cannot be read.
    fn cores(&mut self) -> io::Result<Vec<u16>>;
    /// Opens or makes a core's tables. At most one hand on them at a time.
    ///
    /// # Errors
    /// [`TableError`]: refuse to start.
    fn tables(&mut self, core: u16) -> Result<Self::Tables, TableError>;
    /// Opens or makes a core's log folder.
    ///
    /// # Errors
    /// The folder cannot be made.
    fn files(&mut self, core: u16) -> io::Result<Self::Files>;
    /// Removes everything of a core that owns no slots, in one step: what a stop leaves of it is no core any more.
    ///
    /// # Errors
    /// The folder cannot be removed.
    fn remove(&mut self, core: u16) -> io::Result<()>;
}

/// How a directory is opened.
#[derive(Clone, Debug)]
pub struct OpenRequest {
    /// Number of shards to serve with.
    pub shards: u16,
    /// The durability that this process will use.
    pub durability: Durability,
    /// The host's clock.
    pub wall: Wall,
    /// The host's boot id.
    pub host_boot: String,
    /// The clock may have moved by more than seven days: `--accept-clock`.
    pub accept_clock: bool,
    /// The directory was restored from a backup: `--restored`.
    pub restored: bool,
    /// Random bytes: a new incarnation, should one be needed.
    pub incarnation: Incarnation,
    /// Random: seeds what clients must not guess, should the directory be new; and this process's merging.
    pub random: u64,
    /// Bytes of a new log segment.
    pub segment_bytes: u64,
    /// Most bytes of a record's body.
    pub record_bytes_max: usize,
    /// What a boot looks at.
    pub boot: BootLimits,
}

impl OpenRequest {
    /// A request with the defaults for sizes.
    pub fn new(shards: u16, durability: Durability, wall: Wall) -> Self {
        Self {
            shards,
            durability,
            wall,
            host_boot: "-".into(),
            accept_clock: false,
            restored: false,
            incarnation: Incarnation([0; 16]),
            random: 0,
            segment_bytes: crate::segment::SEGMENT_BYTES,
            record_bytes_max: crate::record::RECORD_BYTES_MAX,
            boot: BootLimits {
                crowded_entries: u32::MAX,
                crowded_bytes: u64::MAX,
                dedup_rows_checked: 1 << 20,
            },
        }
    }

    /// Takes the host's boot id, and randomness for incarnation and seeds, from the system.
    ///
    /// # Errors
    /// /proc or /dev/urandom cannot be read.
    pub fn with_host(mut self) -> io::Result<Self> {
        use std::io::Read;
        fs::read_to_string("/proc/sys/kernel/random/boot_id")?.trim().clone_into(&mut self.host_boot);
        let mut source = File::open("/dev/urandom")?;
        source.read_exact(&mut self.incarnation.0)?;
        let mut random = [0; 8];
        source.read_exact(&mut random)?;
        self.random = u64::from_be_bytes(random);
        Ok(self)
    }
}

/// Why the incarnation is new.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NewIncarnation {
    /// The directory is new.
    FirstStart,
    /// The operator says that it was restored from a backup.
    Restored,
    /// The directory is a copy: its lock file is not the one that META knows.
    Copied,
    /// The host stopped while acknowledged writes were not synced (`os` durability).
    HostStopped,
}

/// What happens while a directory is opened; for progress, and for tests that stop there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OpenStep {
    /// The lock is held.
    Locked,
    /// META is there.
    MetaRead,
    /// A core's log was replayed into its tables, and they are flushed.
    Recovered {
        /// The core.
        core: u16,
    },
    /// META names the new number of shards: the move has begun.
    MoveBegun {
        /// Slots that move.
        slots: u16,
    },
    /// A slot's rows are at the target, durable.
    SlotCopied {
        /// The slot.
        slot: Slot,
        /// Slots done.
        done: u16,
        /// Slots in all.
        slots: u16,
    },
    /// A slot's rows are deleted at the source.
    SlotDropped {
        /// The slot.
        slot: Slot,
    },
    /// Every source is flushed.
    SourcesFlushed,
    /// META holds the new number of shards: the move is done.
    MoveDone,
    /// A database that owns no slots was removed.
    CoreRemoved {
        /// The core.
        core: u16,
    },
    /// The host lost writes: homes have forgotten what owners lost.
    Rewound {
        /// Inboxes that were ahead of an owner.
        inboxes: u64,
    },
    /// META holds this boot's generation.
    GenerationRaised,
}

/// Told of each step; `Err` stops, as a kill at that point would.
pub type Observer<'o> = dyn FnMut(OpenStep) -> Result<(), Stopped> + 'o;

/// The observer wants to stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stopped;

/// Why a directory cannot be opened. The server does not start.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process uses it.
    #[error("{path} is in use by another process: stop it, or give this one another data directory")]
    Locked {
        /// The directory.
        path: PathBuf,
    },
    /// The directory cannot be read or written.
    #[error("cannot {what} {path}: {source}")]
    Io {
        /// The attempt.
        what: &'static str,
        /// The path.
        path: PathBuf,
        /// The system's words.
        source: io::Error,
    },
    /// META cannot be used.
    #[error(transparent)]
    Meta(#[from] MetaError),
    /// There is data, but no META.
    #[error("{path} holds data of {cores} cores but no META: restore the whole data directory from a backup")]
    MetaMissing {
        /// The directory.
        path: PathBuf,
        /// Cores found.
        cores: usize,
    },
    /// META is older than the data.
    #[error(
        "the tables of core {core} were written by generation {found}, META knows {known} only: META is from an older \
             backup; restore the whole data directory from one backup"
    )]
    MetaOlder {
        /// The core.
        core: u16,
        /// In the tables.
        found: Generation,
        /// In META.
        known: Generation,
    },
    /// META does not know a core that holds rows.
    #[error(
        "core {core} holds rows, but META knows {shards} cores only: META is from an older backup; restore the whole \
             data directory from one backup"
    )]
    UnknownCore {
        /// The core.
        core: u16,
        /// In META.
        shards: u16,
    },
    /// The clock moved too far.
    #[error(
        "the host's clock is {days} days ahead of the data directory's: correct it, or start with --accept-clock"
    )]
    ClockJump {
        /// Whole days.
        days: u64,
    },
    /// Not a number of shards.
    #[error("{shards} shards are not 1 to {SHARDS_MAX}")]
    Shards {
        /// The number asked for.
        shards: u16,
    },
    /// A core's log is refused.
    #[error("core {core}: {source}")]
    Recovery {
        /// The core.
        core: u16,
        /// Why.
        source: RecoveryError,
    },
    /// A core's tables cannot be used.
    #[error("core {core}: {source}")]
    Tables {
        /// The core.
        core: u16,
        /// Why.
        source: TableError,
    },
    /// A core's engine failed.
    #[error("core {core}: {source}")]
    Engine {
        /// The core.
        core: u16,
        /// Why.
        source: EngineError,
    },
    /// A core's rows contradict each other.
    #[error("core {core}: {source}")]
    Boot {
        /// The core.
        core: u16,
        /// Why.
        source: BootError,
    },
    /// The observer stopped it.
    #[error("stopped while opening")]
    Stopped,
}

impl From<Stopped> for OpenError {
    fn from(Stopped: Stopped) -> Self {
        Self::Stopped
    }
}

/// A data directory that is this process's own.
#[derive(Debug)]
pub struct DataSite {
    path: PathBuf,
    origin: u64,
    meta: Box<dyn MetaStore>,
    lock: Option<DirectoryLock>,
}

impl DataSite {
    /// A folder, locked.
    ///
    /// # Errors
    /// [`OpenError::Locked`], [`OpenError::Io`].
    pub fn folder(directory: &Path) -> Result<Self, OpenError> {
        let lock = DirectoryLock::take(directory)?;
        let meta = Box::new(FolderMeta::new(directory));
        Ok(Self { path: directory.to_owned(), origin: lock.origin(), meta, lock: Some(lock) })
    }

    /// One in memory, which nobody else can have.
    pub fn simulated(meta: SharedMeta) -> Self {
        Self { path: PathBuf::from("memory"), origin: 1, meta: Box::new(meta), lock: None }
    }
}

/// An open directory.
#[derive(Debug)]
pub struct OpenedDirectory<T> {
    /// Held until the process ends; a simulated directory needs none.
    pub lock: Option<DirectoryLock>,
    /// META, for clock, vouching and the clean stop.
    pub meta: MetaFile,
    /// By core.
    pub cores: Vec<OpenedCore<T>>,
    /// The shard clock at this start.
    pub clock: Wall,
    /// This boot's generation.
    pub generation: Generation,
    /// True if few generations are left: warn the operator.
    pub generations_run_out: bool,
    /// Set if clients will see a new incarnation, and why.
    pub new_incarnation: Option<NewIncarnation>,
    /// Set if slots moved.
    pub moved: Option<MoveReport>,
}

/// Opens a folder for serving.
///
/// # Errors
/// [`OpenError`]: show it and do not start.
pub fn open_directory<D: Databases>(
    directory: &Path,
    databases: &mut D,
    request: &OpenRequest,
    observe: &mut Observer<'_>,
) -> Result<OpenedDirectory<D::Tables>, OpenError> {
    open_site(DataSite::folder(directory)?, databases, request, observe)
}

/// Opens a data directory for serving, wherever it is. Also what the simulator boots a process with.
///
/// # Errors
/// [`OpenError`]: show it and do not start.
pub fn open_site<D: Databases>(
    site: DataSite,
    databases: &mut D,
    request: &OpenRequest,
    observe: &mut Observer<'_>,
) -> Result<OpenedDirectory<D::Tables>, OpenError> {
    if request.shards == 0 || request.shards > SHARDS_MAX {
        return Err(OpenError::Shards { shards: request.shards });
    }
    let DataSite { path, origin, meta, lock } = site;
    let directory = path.as_path();
    observe(OpenStep::Locked)?;
    let mut file = read_meta(directory, meta, databases, request)?;
    observe(OpenStep::MetaRead)?;
    let found = Judged::new(file.meta(), request, origin)?;
    if file.meta().moving.is_none() {
        // Before a move could take a database that was removed halfway for one of its own.
        remove_leftovers(databases, &file, request, &found, observe)?;
    }
    let moved = moving::move_slots(databases, &mut file, request, &found, observe)?;
    remove_leftovers(databases, &file, request, &found, observe)?;
    let next = Generation(file.meta().generation.0.saturating_add(1));
    let mut recovered = Vec::new();
    for core in 0..request.shards {
        let plan = found.core_plan(file.meta(), request, (core, next));
        recovered.push((recover_one(databases, &plan)?, plan));
        observe(OpenStep::Recovered { core })?;
    }
    if found.host_lost_writes {
        let mut tables: Vec<_> =
            recovered.iter_mut().map(|((core, _), _)| core.engine.tables_mut()).collect();
        let cut = rewind::cut_homes(&mut tables);
        let inboxes = cut.map_err(|(core, source)| OpenError::Tables { core, source })?;
        observe(OpenStep::Rewound { inboxes })?;
    }
    let mut cores = Vec::new();
    for ((core, mut files), plan) in recovered {
        cores.push(finish_core(core, &mut files, &plan)?);
    }
    let vouched: Vec<_> = cores.iter().map(|core| core.log.vouch()).collect();
    let generations_run_out = file.raise_generation(|meta| {
        meta.clean = false;
        meta.clock = found.clock;
        meta.origin = found.origin;
        meta.host_boot.clone_from(&request.host_boot);
        meta.durability = request.durability;
        meta.vouched = vouched;
        if found.new_incarnation.is_some() {
            meta.incarnation = request.incarnation;
        }
    })?;
    observe(OpenStep::GenerationRaised)?;
    let Judged { clock, new_incarnation, .. } = found;
    let generation = file.meta().generation;
    Ok(OpenedDirectory {
        lock,
        meta: file,
        cores,
        clock,
        generation,
        generations_run_out,
        new_incarnation,
        moved,
    })
}

/// A core with its log replayed into its tables, and the files of its log.
fn recover_one<D: Databases>(
    databases: &mut D,
    plan: &CorePlan,
) -> Result<(RecoveredCore<D::Tables>, D::Files), OpenError> {
    let core = plan.core;
    let tables = databases.tables(core).map_err(|source| OpenError::Tables { core, source })?;
    let path = || PathBuf::from(format!("log of core {core}"));
    let files = databases.files(core);
    let mut files = files.map_err(|source| OpenError::Io { what: "open", path: path(), source })?;
    Ok((recover_core(tables, &mut files, plan)?, files))
}

fn read_meta<D: Databases>(
    directory: &Path,
    mut store: Box<dyn MetaStore>,
    databases: &mut D,
    request: &OpenRequest,
) -> Result<MetaFile, OpenError> {
    if let Some(meta) = Meta::read(store.as_mut())? {
        return Ok(MetaFile::new(store, meta));
    }
    let list = |source| OpenError::Io { what: "list", path: directory.to_owned(), source };
    let cores = databases.cores().map_err(list)?.len();
    if cores > 0 {
        return Err(OpenError::MetaMissing { path: directory.to_owned(), cores });
    }
    let meta = Meta::new(request.incarnation, LogKey(request.random), request.shards);
    let mut file = MetaFile::new(store, meta);
    file.change(|_| {})?;
    Ok(file)
}

/// A database of a core that owns no slots is what a stop left behind after a move.
fn remove_leftovers<D: Databases>(
    databases: &mut D,
    file: &MetaFile,
    request: &OpenRequest,
    found: &Judged,
    observe: &mut Observer<'_>,
) -> Result<(), OpenError> {
    let failed = |what| move |source| OpenError::Io { what, path: file.directory(), source };
    for core in databases.cores().map_err(failed("list"))? {
        if core >= file.meta().shards {
            moving::check_leftover(databases, file.meta(), request, (found, core))?;
            databases.remove(core).map_err(failed("remove a core's folder in"))?;
            observe(OpenStep::CoreRemoved { core })?;
        }
    }
    Ok(())
}

/// What META and the host say together.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Judged {
    clock: Wall,
    origin: u64,
    new_incarnation: Option<NewIncarnation>,
    host_lost_writes: bool,
}

impl Judged {
    fn new(meta: &Meta, request: &OpenRequest, origin: u64) -> Result<Self, OpenError> {
        let first = meta.generation == Generation(0);
        let lost = meta.durability == Durability::Os && !meta.clean && meta.host_boot != request.host_boot;
        let new_incarnation = if first {
            Some(NewIncarnation::FirstStart)
        } else if request.restored {
            Some(NewIncarnation::Restored)
        } else if lost {
            Some(NewIncarnation::HostStopped)
        } else {
            (meta.origin != origin).then_some(NewIncarnation::Copied)
        };
        let ahead_ms = request.wall.0.saturating_sub(meta.clock.0);
        let advance_ms = u64::try_from(CLOCK_ADVANCE_MAX.as_millis()).unwrap_or(u64::MAX);
        if !first && ahead_ms > advance_ms && !request.accept_clock {
            return Err(OpenError::ClockJump { days: ahead_ms / 86_400_000 });
        }
        Ok(Self { clock: meta.clock.max(request.wall), origin, new_incarnation, host_lost_writes: lost })
    }

    fn core_plan(
        &self,
        meta: &Meta,
        request: &OpenRequest,
        (core, generation): (u16, Generation),
    ) -> CorePlan {
        CorePlan {
            core,
            key: meta.log_key.of_core(core),
            known: meta.generation,
            generation,
            durability: request.durability,
            segment_bytes: request.segment_bytes,
            record_bytes_max: request.record_bytes_max,
            vouched: meta.vouched.get(usize::from(core)).copied().unwrap_or_default(),
            host_lost_writes: self.host_lost_writes,
            merge_seed: request.random,
            boot: request.boot,
        }
    }
}

#[cfg(test)]
mod tests;
