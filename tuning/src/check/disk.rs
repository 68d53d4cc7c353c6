//! The file system of the data directory.

use super::{Answer, Check};
use crate::finding::Remedy;
use crate::host::{Host, ReadError};
use crate::plan::Plan;

pub(super) const FILESYSTEM: Check = Check {
    name: "filesystem",
    reads: "proc/self/mountinfo",
    why: "the record log needs a file system that overwrites in place, takes O_DIRECT, and keeps what it synced",
    ask: filesystem,
};

fn filesystem(host: &Host, plan: &Plan) -> Result<Answer, ReadError> {
    let found = host.filesystem(&plan.data_dir)?;
    // They lose everything with the host, or leave it to another host what a sync means.
    let forgets = matches!(found.as_str(), "tmpfs" | "ramfs" | "nfs" | "nfs4" | "cifs" | "smb3" | "9p")
        || found.starts_with("fuse");
    let fits = matches!(found.as_str(), "ext4" | "xfs");
    let remedy = || Remedy::Advice("put the data directory on a local disk with ext4 or xfs".to_owned());
    Ok(Answer::new(found, "ext4 or xfs").or_fail(!forgets, remedy()).or_warn(fits, remedy()))
}
