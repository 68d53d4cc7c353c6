//! A gateway below valgrind's callgrind: the words that start it, and its profiles.
//!
//! Invariants
//! - Profiles are asked for by valgrind's own door, vgdb: a signal would wait for a thread that callgrind does not let run.
//! - A profile holds what happened since the one before.
//! - The gateway is the one that is shipped; what valgrind lacks is loaded beside it (`yield.c`).

use super::profile::{self, Thread, Work};
use crate::error::BenchError;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use tempfile::TempDir;

/// How long valgrind may take to write all threads' profiles, in seconds.
const DUMP_PATIENCE_S: &str = "60";
/// Callers that are told apart below the allocator's entries: enough to reach past the standard library's vectors.
const CALLERS: usize = 7;
/// The allocator's entries whose callers are told apart. In a build with link-time optimisation Rust's own may be gone.
const ENTRIES: [&str; 6] = [
    "__rustc::__rust_alloc",
    "__rustc::__rust_alloc_zeroed",
    "__rustc::__rust_realloc",
    "mi_malloc_aligned",
    "mi_zalloc_aligned",
    "mi_realloc_aligned",
];
/// The name that profiles begin with, in their directory.
const PROFILE: &str = "profile";
/// What gives the other threads their turns while a core waits, and its name when it is built.
const YIELD: &str = include_str!("yield.c");
const YIELD_LIBRARY: &str = "yield.so";

/// What all cores, storage threads and other threads did.
#[derive(Clone, Debug, Default)]
pub(super) struct Works {
    /// The cores' threads.
    pub(super) core: Work,
    /// The threads that fill the tables.
    pub(super) storage: Work,
    /// All others.
    pub(super) other: Work,
}

/// Where the profiles of one gateway are written.
pub(super) struct Callgrind {
    directory: TempDir,
    dumps: u32,
    /// What `valgrind --version` says.
    pub(super) version: String,
}

impl Callgrind {
    /// A directory for profiles.
    ///
    /// # Errors
    /// [`BenchError::Missing`]: there is no valgrind, or no C compiler.
    pub(super) fn new() -> Result<Self, BenchError> {
        let missing = || BenchError::Missing {
            what: "valgrind",
            path: PathBuf::from("valgrind"),
            command: "apt-get install valgrind",
        };
        let version = Command::new("valgrind").arg("--version").output().map_err(|_| missing())?;
        let version = String::from_utf8_lossy(&version.stdout).trim().to_owned();
        let directory = tempfile::Builder::new().prefix("iris-bench-callgrind-").tempdir();
        let directory = directory.map_err(BenchError::io("a temporary directory"))?;
        build_yield(directory.path())?;
        Ok(Self { directory, dumps: 0, version })
    }

    /// What stands before the gateway's own words.
    pub(super) fn words(&self) -> Vec<OsString> {
        let file = |before: &str, name: &str| {
            let mut word = OsString::from(before);
            word.push(self.directory.path().join(name));
            word
        };
        let mut words = vec!["env".into(), file("LD_PRELOAD=", YIELD_LIBRARY)];
        words.extend(["valgrind", "-q", "--tool=callgrind", "--separate-threads=yes"].map(OsString::from));
        words.extend(["--compress-strings=no".into(), file("--callgrind-out-file=", PROFILE)]);
        words.extend(ENTRIES.map(|entry| format!("--separate-callers{CALLERS}={entry}").into()));
        words
    }

    /// What was done since the last call, or since the start.
    ///
    /// # Errors
    /// Valgrind did not answer, or there is no core's thread in what it wrote.
    pub(super) fn take(&mut self, pid: u32) -> Result<Works, BenchError> {
        ask(pid, "dump")?;
        self.dumps += 1;
        let begin = format!("{PROFILE}.{}-", self.dumps);
        let entries = fs::read_dir(self.directory.path()).map_err(BenchError::io("the profiles"))?;
        let files = entries
            .flatten()
            .map(|entry| entry.path())
            .filter(|path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(&begin)));
        let mut works = Works::default();
        let mut has_core = false;
        for path in files {
            let (thread, work) = read(&path)?;
            has_core |= thread == Thread::Core;
            match thread {
                Thread::Core => works.core.add(&work),
                Thread::Storage => works.storage.add(&work),
                Thread::Other => works.other.add(&work),
            }
            // Megabytes each.
            fs::remove_file(&path).map_err(BenchError::io("removing a profile"))?;
        }
        if has_core { Ok(works) } else { Err(failed("no profile of a core's thread was written".to_owned())) }
    }
}

fn build_yield(directory: &Path) -> Result<(), BenchError> {
    let source = directory.join("yield.c");
    fs::write(&source, YIELD).map_err(BenchError::io(source.display().to_string()))?;
    let mut compiler = Command::new("cc");
    compiler.args(["-shared", "-fPIC", "-O2", "-o"]).arg(directory.join(YIELD_LIBRARY)).arg(&source);
    let output = compiler.stdin(Stdio::null()).output().map_err(|_| BenchError::Missing {
        what: "a C compiler",
        path: PathBuf::from("cc"),
        command: "apt-get install gcc",
    })?;
    if output.status.success() {
        return Ok(());
    }
    let problem = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    Err(BenchError::Child { program: "cc".to_owned(), problem })
}

fn read(path: &Path) -> Result<(Thread, Work), BenchError> {
    let text = fs::read(path).map_err(BenchError::io(path.display().to_string()))?;
    let problem = || BenchError::Input { path: path.to_owned(), problem: "no whole profile".to_owned() };
    profile::read(&String::from_utf8_lossy(&text)).ok_or_else(problem)
}

fn ask(pid: u32, what: &str) -> Result<(), BenchError> {
    let output = Command::new("vgdb")
        .args([format!("--pid={pid}"), format!("--cmd-time-out={DUMP_PATIENCE_S}"), what.to_owned()])
        .stdin(Stdio::null())
        .output()
        .map_err(BenchError::io("starting vgdb"))?;
    if output.status.success() {
        return Ok(());
    }
    Err(failed(String::from_utf8_lossy(&output.stderr).trim().to_owned()))
}

fn failed(problem: String) -> BenchError {
    BenchError::Child { program: "vgdb".to_owned(), problem }
}
