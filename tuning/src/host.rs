//! Reads the host's settings below a root directory.
//!
//! Invariants
//! - Paths have no leading slash and are always taken below the root.
//! - Every text is parsed with a typed error; nothing is assumed about files that a kernel may lack.

use std::fs;
use std::io;
use std::path::{Component, Path, PathBuf};

/// A host, or a directory that looks like one.
#[derive(Clone, Debug)]
pub struct Host {
    root: PathBuf,
}

/// Why a setting is not known.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The file is not there or not readable.
    #[error("/{path} cannot be read: {source}")]
    File {
        /// Its path without the leading slash.
        path: String,
        /// The system's error.
        source: io::Error,
    },
    /// The file's text is not of the form that it should have.
    #[error("/{path} was not understood")]
    Form {
        /// Its path without the leading slash.
        path: String,
    },
}

impl ReadError {
    /// True if the file does not exist.
    pub fn is_missing(&self) -> bool {
        matches!(self, Self::File { source, .. } if source.kind() == io::ErrorKind::NotFound)
    }

    pub(crate) fn form(path: &str) -> Self {
        Self::Form { path: path.to_owned() }
    }
}

/// A resource limit of this process; unlimited is the largest number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ResourceLimit {
    pub(crate) soft: u64,
    pub(crate) hard: u64,
}

impl Host {
    /// This host.
    pub fn here() -> Self {
        Self::at("/")
    }

    /// The host whose files lie below `root`: a fixture, or another host's files.
    pub fn at(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    /// The trimmed text of a file.
    pub(crate) fn text(&self, path: &str) -> Result<String, ReadError> {
        assert!(!path.starts_with('/'), "{path} would leave the root");
        let bytes = fs::read(self.root.join(path))
            .map_err(|source| ReadError::File { path: path.to_owned(), source })?;
        Ok(String::from_utf8_lossy(&bytes).trim().to_owned())
    }

    /// The one number of a file.
    pub(crate) fn number(&self, path: &str) -> Result<u64, ReadError> {
        self.text(path)?.parse().map_err(|_| ReadError::form(path))
    }

    /// Exactly `N` numbers of a file, separated by spaces or tabs.
    pub(crate) fn numbers<const N: usize>(&self, path: &str) -> Result<[u64; N], ReadError> {
        let text = self.text(path)?;
        let numbers: Result<Vec<u64>, _> = text.split_whitespace().map(str::parse).collect();
        numbers.ok().and_then(|n| n.try_into().ok()).ok_or_else(|| ReadError::form(path))
    }

    /// The choice in brackets of a file such as `always [madvise] never`.
    pub(crate) fn choice(&self, path: &str) -> Result<String, ReadError> {
        let text = self.text(path)?;
        let chosen = text.split_once('[').and_then(|(_, rest)| rest.split_once(']'));
        chosen.map(|(choice, _)| choice.to_owned()).ok_or_else(|| ReadError::form(path))
    }

    /// The text behind `name:` in a file of such lines.
    pub(crate) fn field(&self, path: &str, name: &str) -> Result<String, ReadError> {
        let text = self.text(path)?;
        let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        value.map(|value| value.trim().to_owned()).ok_or_else(|| ReadError::form(path))
    }

    /// A limit of this process, by its name in `/proc/self/limits`.
    pub(crate) fn resource_limit(&self, name: &str) -> Result<ResourceLimit, ReadError> {
        const PATH: &str = "proc/self/limits";
        let parse = |word: &str| if word == "unlimited" { Some(u64::MAX) } else { word.parse().ok() };
        let text = self.text(PATH)?;
        let line = text.lines().find_map(|line| line.strip_prefix(name));
        let mut words = line.ok_or_else(|| ReadError::form(PATH))?.split_whitespace().map(parse);
        match (words.next().flatten(), words.next().flatten()) {
            (Some(soft), Some(hard)) => Ok(ResourceLimit { soft, hard }),
            (None, _) | (_, None) => Err(ReadError::form(PATH)),
        }
    }

    /// Names in a directory, sorted; empty if there is no such directory.
    pub(crate) fn names(&self, path: &str) -> Vec<String> {
        let entries = fs::read_dir(self.root.join(path)).into_iter().flatten().flatten();
        let mut names: Vec<String> =
            entries.filter_map(|entry| entry.file_name().into_string().ok()).collect();
        names.sort();
        names
    }

    /// Writes a setting; a name of the path that ends with `*` stands for all that begin so and have the rest of the path.
    ///
    /// # Errors
    /// The system's, of the first file that refuses.
    pub(crate) fn write(&self, path: &str, value: &str) -> io::Result<()> {
        assert!(!path.starts_with('/'), "{path} would leave the root");
        let Some((before, after)) = path.split_once('*') else {
            return fs::write(self.root.join(path), value);
        };
        let (directory, begin) = before.rsplit_once('/').unwrap_or(("", before));
        let names = self.names(directory).into_iter().filter(|name| name.starts_with(begin));
        let files = names.map(|name| self.root.join(format!("{directory}/{name}{after}")));
        files.filter(|file| file.exists()).try_for_each(|file| fs::write(file, value))
    }

    /// Type of the file system that holds a directory, which need not exist.
    pub(crate) fn filesystem(&self, directory: &Path) -> Result<String, ReadError> {
        const PATH: &str = "proc/self/mountinfo";
        let directory = self.absolute(directory);
        let text = self.text(PATH)?;
        let mounts = text.lines().filter_map(mount);
        let holder = mounts
            .filter(|(point, _)| directory.starts_with(point))
            // A later mount on the same point hides the earlier: max_by_key keeps the last of equals.
            .max_by_key(|(point, _)| point.components().count());
        holder.map(|(_, kind)| kind).ok_or_else(|| ReadError::form(PATH))
    }

    /// A path as the mount table has it: on this host links are followed as far as the path exists.
    fn absolute(&self, path: &Path) -> PathBuf {
        let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
        if self.root != Path::new("/") {
            return path;
        }
        let existing = path.ancestors().find_map(|part| Some((part, part.canonicalize().ok()?)));
        existing.map_or_else(
            || path.clone(),
            |(part, real)| path.strip_prefix(part).map_or_else(|_| path.clone(), |rest| real.join(rest)),
        )
    }
}

/// Mount point and type of a line of mountinfo. Source: proc_pid_mountinfo(5).
fn mount(line: &str) -> Option<(PathBuf, String)> {
    let (mount, kind) = line.split_once(" - ")?;
    let point = unescape(mount.split(' ').nth(4)?);
    let point = Path::new(&point).components().filter(|part| *part != Component::CurDir).collect();
    Some((point, kind.split(' ').next()?.to_owned()))
}

/// Space, tab, newline and backslash are written as octal numbers there.
fn unescape(text: &str) -> String {
    text.replace("\\040", " ").replace("\\011", "\t").replace("\\012", "\n").replace("\\134", "\\")
}
