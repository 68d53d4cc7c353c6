//! Descriptors: of the process, and of the host.

use super::{Answer, Check, at_least};
use crate::capacity::FILES_OF_OTHERS;
use crate::finding::{Remedy, Verdict};
use crate::host::{Host, ReadError};
use crate::plan::Plan;

pub(super) const OPEN_FILES: Check = Check {
    name: "nofile",
    reads: "proc/self/limits",
    why: "the limit bounds the descriptor table of each ring: at the end of the last table no connection is accepted",
    ask: open_files,
};

pub(super) const NR_OPEN: Check = Check {
    name: "nr_open",
    reads: "proc/sys/fs/nr_open",
    why: "RLIMIT_NOFILE cannot be raised above it",
    ask: |host, plan| at_least(host, NR_OPEN.reads, plan.descriptors(), Verdict::Fail),
};

pub(super) const FILE_MAX: Check = Check {
    name: "file-max",
    reads: "proc/sys/fs/file-max",
    why: "every connection is an open file of the host: beyond it, nothing on the host opens one",
    ask: |host, plan| {
        let wanted = plan.connections.saturating_add(FILES_OF_OTHERS);
        at_least(host, FILE_MAX.reads, wanted, Verdict::Fail)
    },
};

fn open_files(host: &Host, plan: &Plan) -> Result<Answer, ReadError> {
    let limit = host.resource_limit("Max open files")?;
    let wanted = plan.descriptors();
    let text = format!("at least {wanted} ({} connections on {} rings)", plan.connections, plan.rings());
    let found = format!("{} (the gateway raises its own from {})", limit.hard, limit.soft);
    Ok(Answer::new(found, text).or_fail(limit.hard >= wanted, Remedy::OpenFiles(wanted)))
}
