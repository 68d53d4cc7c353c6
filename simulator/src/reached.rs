//! Rare states that a batch of seeds must have reached: otherwise its silence proves nothing.

use crate::checker::Rare;

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
    /// A stop was aimed at the return of a device that had been given up.
    crash_at_return,
    /// A boot's clock was behind the devices'.
    clock_behind,
    /// A boot's clock was hours or days off, or stood in 1970.
    clock_jumps,
    /// A boot's clock was years ahead, and refused.
    clock_refused,
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
    /// A Hello arrived after its device had given the connection up.
    late_hello,
    /// A device was thrown out by an earlier start of itself.
    thrown_out,
    /// A retry was answered with what was stored.
    replayed,
    /// A message id left memory.
    ids_forgotten,
    /// A home had an envelope already.
    forward_duplicates,
    /// An entry was acknowledged by all before it needed a record.
    elided,
    /// Entries were read back from the tables.
    loads,
    /// A question was answered from the tables as they stood.
    resident_loads,
    /// A read of the tables failed.
    failed_reads,
    /// A device was told that what it needs cannot be read.
    storage_faults,
    /// Hours passed.
    nights,
    /// A full inbox refused a message.
    inbox_full,
    /// Of these: it had no device.
    unclaimed_full,
    /// Of the full ones: it had room for more messages, but not for their bytes.
    inbox_full_bytes,
    /// Of these: it had no device.
    unclaimed_full_bytes,
    /// Of the full ones: it had room, but all unclaimed inboxes together had not.
    unclaimed_full_together,
    /// A device found no place.
    too_many_devices,
    /// A device was taken away.
    unlinked,
    /// A device that was taken away was linked again.
    relinked,
    /// A device was to take itself away while a shard removed what the user's other one was given up with.
    parted_in_purge,
    /// A device was told that it had been detached.
    detached_back,
    /// A device was told that it had more than it named.
    already_acked,
    /// A device was told of expired messages.
    expired_gap,
    /// A device was told of own copies that its inbox did not take.
    own_copy_gap,
    /// A device acknowledged what it was never sent.
    ack_too_high,
    /// Another payload under a known id was refused.
    conflict,
    /// A sender was too fast.
    rate_limited,
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
            + self.clock_jumps
            + self.clock_refused
            + self.failed_reads
    }

    /// Takes what the checkers saw until the end.
    pub(crate) fn saw(&mut self, rare: &Rare) {
        self.inbox_full += rare.inbox_full;
        self.unclaimed_full += rare.unclaimed_full;
        self.inbox_full_bytes += rare.inbox_full_bytes;
        self.unclaimed_full_bytes += rare.unclaimed_full_bytes;
        self.unclaimed_full_together += rare.unclaimed_full_together;
        self.too_many_devices += rare.too_many_devices;
        self.unlinked += rare.unlinked;
        self.relinked += rare.relinked;
        self.detached_back += rare.detached_back;
        self.already_acked += rare.already_acked;
        self.expired_gap += rare.expired_gap;
        self.own_copy_gap += rare.own_copy_gap;
        self.ack_too_high += rare.ack_too_high;
        self.conflict += rare.conflict;
        self.rate_limited += rare.rate_limited;
    }

    /// Takes what a shard counted until its end.
    pub(crate) fn count(&mut self, counters: &iris_shard::Counters) {
        self.elided += counters.elided;
        self.loads += counters.loads;
        self.backpressure += counters.backpressure;
        self.takeovers += counters.takeovers;
        self.replayed += counters.replayed;
        self.ids_forgotten += counters.ids_forgotten;
        self.forward_duplicates += counters.forward_duplicates;
    }
}
