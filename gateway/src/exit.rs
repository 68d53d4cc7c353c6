//! Exit statuses of `iris-gateway`: every way the process can end has one number, here.
//!
//! Invariants
//! - A number is never reused for another meaning: service files and scripts depend on them. 76 was one.
//! - docs/OPERATING.md has the same table; a test holds the two together.

macro_rules! exit_statuses {
    ($( $(#[doc = $doc:literal])+ $variant:ident = $number:literal, $name:literal, $restart:literal; )*) => {
        /// How the process ends.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[repr(u8)]
        pub enum ExitStatus { $( $(#[doc = $doc])+ $variant = $number, )* }

        impl ExitStatus {
            /// Every status, in the order of its number.
            pub const ALL: &'static [Self] = &[$(Self::$variant),*];

            /// The status's name in logs and documents.
            pub fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }

            /// True if starting again, without an operator's change, can help.
            pub fn restart_helps(self) -> bool {
                match self { $(Self::$variant => $restart,)* }
            }

            /// The number that the shell sees.
            pub fn number(self) -> u8 {
                match self { $(Self::$variant => $number,)* }
            }
        }
    };
}

exit_statuses! {
    /// Finished, or drained after SIGTERM.
    Ok = 0, "OK", false;
    /// A command found an invalid token, or could not read or write a file.
    Failed = 1, "FAILED", false;
    /// The command line is wrong.
    Usage = 2, "USAGE", false;
    /// The configuration, or a file that it names, is wrong.
    Config = 65, "CONFIG", false;
    /// The data directory cannot be made, read or written.
    DataDirUnusable = 66, "DATA_DIR_UNUSABLE", false;
    /// Another process has the data directory.
    DataDirLocked = 67, "DATA_DIR_LOCKED", true;
    /// Recovery or `fsck` found damage that is not a torn tail.
    Damaged = 68, "DAMAGED", false;
    /// The data directory was written by a version with another format.
    FormatUnknown = 69, "FORMAT_UNKNOWN", false;
    /// A bug: a thread panicked.
    Panic = 70, "PANIC", true;
    /// The disk has no room for what must be written.
    DiskFull = 71, "DISK_FULL", false;
    /// A write or a sync of the record log failed.
    StorageWriteFailed = 72, "STORAGE_WRITE_FAILED", true;
    /// The database reported an error.
    StorageEngineFailed = 73, "STORAGE_ENGINE_FAILED", true;
    /// An address to listen on is taken.
    PortTaken = 74, "PORT_TAKEN", true;
    /// The wall clock is more than 7 days ahead of the stored clock, and `--accept-clock` was not given.
    ClockUnaccepted = 75, "CLOCK_UNACCEPTED", false;
    /// io_uring is missing, forbidden or too old.
    IoUringUnavailable = 78, "IO_URING_UNAVAILABLE", false;
}

impl ExitStatus {
    /// Ends the process at once: no destructors, no exit handlers, no waiting for other threads.
    /// For a core that cannot go on, and for the end of `main`; what must be durable is durable already, or was never
    /// acknowledged.
    pub fn exit_now(self) -> ! {
        signal_hook::low_level::exit(i32::from(self.number()))
    }
}

#[cfg(test)]
mod tests;
