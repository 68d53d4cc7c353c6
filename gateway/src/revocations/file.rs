//! The file REVOCATIONS: a line that says what it is, with a checksum, and a JSON line for each entry.

use super::set::{Entry, Target};
use iris_protocol::{DeviceId, UserId, Wall};
use ring::digest::{SHA256, digest};
use serde::{Deserialize, Serialize};
use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Its name.
const NAME: &str = "REVOCATIONS";
/// Its name while it is written.
const NEW: &str = "REVOCATIONS.new";
/// Begin of its first line; the checksum follows.
const HEAD: &str = "iris revocations 1 sha256 ";
/// Begin of the first line of any version.
const ANY_HEAD: &str = "iris revocations ";

/// Why the file cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FileError {
    /// The system says so.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Another version wrote it.
    #[error("{}: written by a version with another format", path.display())]
    Version {
        /// The file.
        path: PathBuf,
    },
    /// It is not what was written.
    #[error("{}: damaged; without it, revoked tokens would be accepted: restore it, or remove it if all of them have ended", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
    },
}

/// An entry as it is written.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    serial: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    jti: Option<Box<str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    user: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    device: Option<String>,
    made_at_ms: u64,
    ends_at_ms: u64,
}

impl Line {
    fn of(entry: &Entry) -> Self {
        let (jti, user, device) = match &entry.target {
            Target::Token(jti) => (Some(jti.clone()), None, None),
            Target::Device(user, device) => (None, Some(user), Some(device)),
            Target::User(user) => (None, Some(user), None),
        };
        Self {
            serial: entry.serial,
            jti,
            user: user.map(|user| user.as_str().to_owned()),
            device: device.map(|device| device.as_str().to_owned()),
            made_at_ms: entry.made_at.0,
            ends_at_ms: entry.ends_at.0,
        }
    }

    fn entry(self) -> Option<Entry> {
        let target = match (self.jti, self.user, self.device) {
            (Some(jti), None, None) => Target::Token(jti),
            (None, Some(user), None) => Target::User(UserId::parse(&user).ok()?),
            (None, Some(user), Some(device)) => {
                Target::Device(UserId::parse(&user).ok()?, DeviceId::parse(&device).ok()?)
            }
            _ => return None,
        };
        let (made_at, ends_at) = (Wall(self.made_at_ms), Wall(self.ends_at_ms));
        Some(Entry { serial: self.serial, target, made_at, ends_at })
    }
}

/// The entries in a data directory.
pub(super) fn read(directory: &Path) -> Result<Vec<Entry>, FileError> {
    let path = directory.join(NAME);
    let text = match fs::read(&path) {
        Ok(bytes) => String::from_utf8(bytes).map_err(|_| FileError::Damaged { path: path.clone() })?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(source) => return Err(FileError::Io { path, source }),
    };
    if text.starts_with(ANY_HEAD) && !text.starts_with(HEAD) {
        return Err(FileError::Version { path });
    }
    parse(&text).ok_or(FileError::Damaged { path })
}

fn parse(text: &str) -> Option<Vec<Entry>> {
    let (head, body) = text.split_once('\n')?;
    if head.strip_prefix(HEAD)? != checksum(body) {
        return None;
    }
    let entries = body.lines().map(|line| serde_json::from_str::<Line>(line).ok()?.entry());
    entries.collect()
}

/// Replaces the file.
pub(super) fn write(directory: &Path, entries: &[Arc<Entry>]) -> Result<(), FileError> {
    let mut body = String::new();
    for entry in entries {
        let line = serde_json::to_string(&Line::of(entry));
        body.push_str(&line.unwrap_or_else(|error| panic!("a revocation is not JSON: {error}")));
        body.push('\n');
    }
    let new = directory.join(NEW);
    let replaced = write_synced(&new, &format!("{HEAD}{}\n{body}", checksum(&body)))
        .and_then(|()| fs::rename(&new, directory.join(NAME)))
        .and_then(|()| File::open(directory)?.sync_all());
    replaced.map_err(|source| FileError::Io { path: directory.join(NAME), source })
}

fn write_synced(path: &Path, text: &str) -> io::Result<()> {
    let mut file = File::create(path)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()
}

fn checksum(body: &str) -> String {
    let mut text = String::new();
    for byte in digest(&SHA256, body.as_bytes()).as_ref() {
        let _always_works = write!(text, "{byte:02x}");
    }
    text
}
