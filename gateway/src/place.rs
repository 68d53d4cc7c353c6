//! Which processor each core's two threads run on.
//!
//! Invariants
//! - Only processors that the process may use are given out, in ascending order, again from the first when there are
//!   more shards than processors.

use rustix::process::{Pid, setpriority_process};
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

/// The storage threads' nice value: about a tenth of a core's share of the processor, when the core wants all of it.
const STORAGE_NICE: i32 = 10;

/// The place of one shard.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CorePlace {
    /// The shard.
    pub(crate) shard: u16,
    /// The processor's number, if the affinity of the process could be read.
    pub(crate) processor: Option<usize>,
}

impl CorePlace {
    /// Lets the calling thread step back for others on its processor: for one beside a core, which must not hold up messages.
    /// Threads that it starts inherit it.
    pub(crate) fn step_back(&self) {
        // Linux takes it for the calling thread alone.
        if let Err(error) = setpriority_process(None::<Pid>, STORAGE_NICE) {
            tracing::warn!(shard = self.shard, %error, "cannot lower the thread's priority");
        }
    }

    /// Binds the calling thread to the processor.
    pub(crate) fn pin(&self) {
        let Some(processor) = self.processor else { return };
        let mut set = CpuSet::new();
        set.set(processor);
        if let Err(error) = sched_setaffinity(None::<Pid>, &set) {
            tracing::warn!(shard = self.shard, processor, %error, "cannot pin the thread");
        }
    }
}

/// The processors that the process may use.
pub(crate) fn processors() -> Vec<usize> {
    let Ok(set) = sched_getaffinity(None::<Pid>) else { return Vec::new() };
    (0..CpuSet::MAX_CPU).filter(|processor| set.is_set(*processor)).collect()
}

/// A place for each shard.
pub(crate) fn places(shards: u16) -> Vec<CorePlace> {
    let processors = processors();
    let place = |shard: u16| CorePlace {
        shard,
        processor: (!processors.is_empty()).then(|| processors[usize::from(shard) % processors.len()]),
    };
    (0..shards).map(place).collect()
}
