//! Rare states that a batch of seeds must have reached: otherwise its silence proves nothing.

macro_rules! reached {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        /// How often each rare state was reached.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        pub struct Reached { $($(#[$doc])* pub $name: u64,)* }

        impl Reached {
            /// Every state by name.
            pub fn list(&self) -> Vec<(&'static str, u64)> {
                vec![$((stringify!($name), self.$name),)*]
            }

            /// Adds another run's.
            pub fn add(&mut self, other: &Self) {
                $(self.$name += other.$name;)*
            }
        }
    };
}

reached! {
    /// The process stopped.
    crashes,
    /// A record was in flight when it stopped.
    crash_in_flight,
    /// The process was stopped while it opened its disks.
    crash_in_boot,
    /// It started with another number of shards.
    core_changes,
    /// A bit of a log flipped.
    flipped,
    /// And the log was refused.
    flip_refused,
    /// What was in flight was torn, and recovery cut it.
    torn_tail,
    /// What was in flight reached the disk whole, unacknowledged.
    written_unacknowledged,
    /// The power was cut: unflushed tables were rebuilt from the log.
    power_cut,
    /// The host lost writes under `os` durability.
    rewound,
    /// A device was told that its history was rewound.
    rewound_told,
    /// A connection broke.
    disconnects,
    /// A server noticed a broken connection late.
    half_open,
    /// A message was accepted after more than one transmission.
    retry_accepted,
    /// A message was delivered twice on the wire and applied once.
    raw_duplicates,
    /// A device came back from its saved state.
    device_restarts,
    /// A message was refused for a while and then accepted.
    busy,
    /// A stop was aimed at a device's link.
    crash_at_link,
    /// A boot's clock was behind the devices'.
    clock_behind,
    /// A disk had no room for a while.
    full_disks,
    /// A retry came so late that its outcome could not be told.
    too_old,
    /// A core took no mail for a while.
    stalled_cores,
    /// A shard ran out of credit: sockets were not to be read.
    backpressure,
    /// A device's older connection was taken over.
    takeovers,
    /// A retry was answered with what was stored.
    replayed,
    /// A home had an envelope already.
    forward_duplicates,
    /// An entry was acknowledged by all before it needed a record.
    elided,
    /// Entries were read back from the tables.
    loads,
}

impl Reached {
    /// Faults that were injected, of every kind.
    pub fn faults(&self) -> u64 {
        self.crashes
            + self.crash_in_boot
            + self.flipped
            + self.disconnects
            + self.device_restarts
            + self.full_disks
            + self.stalled_cores
            + self.clock_behind
    }

    /// Takes what a shard counted until its end.
    pub(crate) fn count(&mut self, counters: &iris_shard::Counters) {
        self.elided += counters.elided;
        self.loads += counters.loads;
        self.backpressure += counters.backpressure;
        self.takeovers += counters.takeovers;
        self.replayed += counters.replayed;
        self.forward_duplicates += counters.forward_duplicates;
    }
}
