//! One thread's profile as callgrind writes it: how much was executed, and who called the allocator.
//!
//! Invariants
//! - Only a call into the allocator from outside of it is an allocation: what an entry point calls in turn is not counted again.
//! - Names are whole (`--compress-strings=no`); a caller's name may follow a function's behind an apostrophe (`--separate-callers`).
//!
//! Source: callgrind's format, <https://valgrind.org/docs/manual/cl-format.html>.

use std::collections::BTreeMap;

/// Functions that give memory to a program. One that ends with `*` stands for all that begin so.
const ENTRIES: &[&str] = &[
    "__rustc::__rust_alloc",
    "__rustc::__rust_alloc_zeroed",
    "__rustc::__rust_realloc",
    "mi_malloc*",
    "mi_zalloc*",
    "mi_calloc*",
    "mi_realloc*",
    "mi_rezalloc*",
    "malloc",
    "calloc",
    "realloc",
    "memalign",
    "aligned_alloc",
    "posix_memalign",
    "operator new*",
];
/// What else belongs to the allocators, so that its calls are no program's.
const INSIDE: &[&str] = &["__rustc::__rust_*", "mi_*", "_mi_*", "<mimalloc::*", "__libc_*", "_int_*"];
/// Callers that say nothing about where an allocation comes from.
const PASSED_ON: &[&str] = &["alloc::*", "<alloc::*", "core::*", "<core::*", "<T as alloc::*"];
/// Named callers of an allocation.
const CALLERS_SHOWN: usize = 2;

/// Which of the gateway's threads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Thread {
    /// A core's: reactor, shard and log.
    Core,
    /// The one that fills the tables.
    Storage,
    /// Another: start-up, RocksDB's own, the logger.
    Other,
}

/// What one thread did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Work {
    /// Instructions executed in user space.
    pub(super) instructions: u64,
    /// Calls into an allocator that may have given memory, by where they came from.
    pub(super) allocations: BTreeMap<String, u64>,
}

impl Work {
    /// Adds another thread's.
    pub(super) fn add(&mut self, other: &Self) {
        self.instructions += other.instructions;
        for (site, count) in &other.allocations {
            *self.allocations.entry(site.clone()).or_default() += count;
        }
    }

    /// All allocations.
    pub(super) fn allocated(&self) -> u64 {
        self.allocations.values().sum()
    }
}

/// Reads a thread's profile. `None`: the text is none, since its totals are missing.
pub(super) fn read(text: &str) -> Option<(Thread, Work)> {
    let mut work = Work::default();
    let (mut function, mut callee) = ("", "");
    let mut thread = Thread::Other;
    let mut totals = None;
    for line in text.lines() {
        if let Some(name) = line.strip_prefix("fn=") {
            function = name;
            thread = thread_of(name, thread);
        } else if let Some(name) = line.strip_prefix("cfn=") {
            callee = name;
        } else if let Some(calls) = line.strip_prefix("calls=") {
            if is_any(ENTRIES, bare(callee)) && !is_allocators(bare(function)) {
                let count: u64 = calls.split_whitespace().next()?.parse().ok()?;
                *work.allocations.entry(site(function, callee)).or_default() += count;
            }
        } else if let Some(sum) = line.strip_prefix("totals:") {
            totals = sum.trim().parse().ok();
        }
    }
    work.instructions = totals?;
    Some((thread, work))
}

fn thread_of(function: &str, before: Thread) -> Thread {
    if function.contains("iris_gateway::core_loop::Core") {
        // It also calls the storage thread's handle, whoever is seen first.
        Thread::Core
    } else if function.contains("iris_gateway::storage_thread::Worker") && before == Thread::Other {
        Thread::Storage
    } else {
        before
    }
}

/// A function's name without its callers.
fn bare(name: &str) -> &str {
    name.split('\'').next().unwrap_or(name)
}

fn is_any(patterns: &[&str], name: &str) -> bool {
    patterns
        .iter()
        .any(|pattern| pattern.strip_suffix('*').map_or(*pattern == name, |begin| name.starts_with(begin)))
}

fn is_allocators(function: &str) -> bool {
    is_any(ENTRIES, function) || is_any(INSIDE, function)
}

/// The nearest callers that say something, the innermost first.
fn site(function: &str, callee: &str) -> String {
    let says = |name: &&str| {
        !name.is_empty()
            && !name.bytes().all(|byte| byte.is_ascii_digit())
            && !is_any(PASSED_ON, name)
            && !is_allocators(name)
    };
    let named: Vec<&str> = callee.split('\'').skip(1).filter(says).take(CALLERS_SHOWN).collect();
    if named.is_empty() { bare(function).to_owned() } else { named.join(" < ") }
}

#[cfg(test)]
mod tests;
