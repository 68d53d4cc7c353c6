//! `iris-gateway fsck`: checks the data directory of a gateway that is stopped.
//!
//! Invariants
//! - The directory's lock is held, so that no gateway starts meanwhile; no row and no record is changed.
//! - Every finding is printed; the status is [`ExitStatus::Damaged`] if one of them breaks a guarantee.

use crate::commands::{complain, print, print_json};
use crate::exit::ExitStatus;
use iris_protocol::Durability;
use iris_storage::fsck::{Finding, FsckReport, Severity, check_log, check_tables};
use iris_storage::meta::{Meta, MetaFile};
use iris_storage::open::{
    Databases, DirectoryLock, OpenError, RocksDatabases, log_folder, owner, tables_folder,
};
use iris_storage::recovery::RecoveryPlan;
use iris_storage::segment::Padding;
use iris_storage::tables::{RocksConfig, RocksShared, Tables};
use serde_json::json;
use std::io::{self, IsTerminal, Write};
use std::path::Path;

/// Slots between two lines of progress.
const PROGRESS_SLOTS: u16 = 64;

/// Why a directory was not checked.
struct Refused {
    status: ExitStatus,
    reason: String,
}

impl Refused {
    fn new(status: ExitStatus, reason: impl std::fmt::Display) -> Self {
        Self { status, reason: reason.to_string() }
    }
}

/// The `fsck` command.
pub fn run(data_dir: &Path, json: bool) -> ExitStatus {
    match check(data_dir) {
        Ok(report) => tell(&report, json),
        Err(refused) => {
            if json {
                print_json(&json!({ "sound": false, "checked": false, "reason": refused.reason }));
            }
            complain(refused.reason);
            refused.status
        }
    }
}

fn check(data_dir: &Path) -> Result<FsckReport, Refused> {
    // Read before the lock is taken, which would make the directory if there were none.
    read_meta(data_dir)?;
    let _lock = DirectoryLock::take(data_dir).map_err(|error| {
        let locked = matches!(error, OpenError::Locked { .. });
        Refused::new(if locked { ExitStatus::DataDirLocked } else { ExitStatus::DataDirUnusable }, error)
    })?;
    let file = read_meta(data_dir)?;
    let mut databases = RocksDatabases::new(data_dir, RocksShared::new(RocksConfig::default()));
    let mut report = FsckReport::default();
    for core in 0..file.meta().shards {
        check_core(data_dir, &mut databases, (file.meta(), core), &mut report);
    }
    Ok(report)
}

fn read_meta(data_dir: &Path) -> Result<MetaFile, Refused> {
    let read = MetaFile::read(data_dir).map_err(|error| Refused::new(ExitStatus::Damaged, error))?;
    let missing = || format!("{}: no META here, so this is not a data directory", data_dir.display());
    read.ok_or_else(|| Refused::new(ExitStatus::DataDirUnusable, missing()))
}

fn check_core(
    data_dir: &Path,
    databases: &mut RocksDatabases,
    (meta, core): (&Meta, u16),
    report: &mut FsckReport,
) {
    let mut damage = |place, text: String| {
        report.findings.push(Finding { core, severity: Severity::Damage, place, text });
    };
    for folder in [tables_folder(data_dir, core), log_folder(data_dir, core)] {
        if !folder.is_dir() {
            return damage("folder", format!("{} is missing", folder.display()));
        }
    }
    let tables = match databases.tables(core) {
        Ok(tables) => tables,
        Err(error) => return damage("tables", error.to_string()),
    };
    let mut files = match databases.files(core) {
        Ok(files) => files,
        Err(error) => return damage("log", error.to_string()),
    };
    // While slots move, a slot's rows are at both places.
    let owns = |slot| meta.moving.is_some() || owner(slot, meta.shards) == core;
    check_tables(&tables, core, &owns, &mut |slot| progress(core, slot), report);
    let plan = RecoveryPlan {
        key: meta.log_key.of_core(core),
        padding: match meta.durability {
            Durability::Fsync => Padding::Block,
            Durability::Os => Padding::Eight,
        },
        applied: tables.applied(),
        vouched: meta.vouched.get(usize::from(core)).copied().unwrap_or_default(),
        generation: meta.generation,
        host_lost_writes: false,
    };
    check_log(&mut files, core, &plan, report);
}

/// A line that overwrites itself, on a terminal alone.
fn progress(core: u16, slot: u16) {
    let mut err = io::stderr();
    if (slot + 1).is_multiple_of(PROGRESS_SLOTS) && err.is_terminal() {
        // Progress that cannot be shown is no reason to stop.
        let _unshown = write!(err, "\rcore {core}: {} of 1024 slots", slot + 1).and_then(|()| err.flush());
    }
}

fn tell(report: &FsckReport, json: bool) -> ExitStatus {
    let severity = |finding: &Finding| match finding.severity {
        Severity::Note => "note",
        Severity::Damage => "damage",
    };
    if json {
        let findings = report.findings.iter().map(|finding| {
            let (core, place, text) = (finding.core, finding.place, &finding.text);
            json!({ "core": core, "severity": severity(finding), "place": place, "text": text })
        });
        print_json(&json!({
            "sound": report.is_sound(), "checked": true, "rows": report.rows, "records": report.records,
            "findings": findings.collect::<Vec<_>>(),
        }));
    } else {
        for finding in &report.findings {
            let (core, place, text) = (finding.core, finding.place, &finding.text);
            print(&format!("{}: core {core}, {place}: {text}\n", severity(finding)));
        }
        let verdict = if report.is_sound() { "sound" } else { "damaged" };
        print(&format!("{verdict}: {} rows and {} records read\n", report.rows, report.records));
    }
    if report.is_sound() { ExitStatus::Ok } else { ExitStatus::Damaged }
}
