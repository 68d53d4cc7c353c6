//! What a run consists of: how many of everything, and which faults.

use std::time::Duration;

/// A run, apart from its seed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// Messages sent before the world calms down.
    pub ops: u64,
    /// Shards of the process.
    pub shards: u16,
    /// Users.
    pub users: u64,
    /// Devices of each.
    pub devices: u64,
    /// Which faults happen.
    pub faults: Faults,
    /// The process stops after this happening, whatever else happens.
    pub stop_at: Option<u64>,
    /// How long the calm world may take to converge.
    pub calm: Duration,
}

macro_rules! faults {
    ($($(#[$doc:meta])* $field:ident: $name:literal,)*) => {
        /// Faults by kind.
        #[allow(clippy::struct_excessive_bools, reason = "independent switches, named in the list of faults")]
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub struct Faults { $($(#[$doc])* pub $field: bool,)* }

        impl Faults {
            /// Everything.
            pub const ALL: Self = Self { $($field: true,)* };
            /// Nothing.
            pub const NONE: Self = Self { $($field: false,)* };
            /// What a list may name.
            pub const NAMES: &[&str] = &[$($name,)* "all"];

            /// The list that [`Faults::parse`] takes for these.
            pub fn list(&self) -> String {
                if *self == Self::ALL {
                    return "all".to_owned();
                }
                let named = [$((self.$field, $name),)*];
                let named: Vec<_> = named.iter().filter(|(is_on, _)| *is_on).map(|(_, name)| *name).collect();
                named.join(",")
            }

            /// The named ones.
            ///
            /// # Errors
            /// The name that is not a fault, and those that are.
            pub fn parse(list: &str) -> Result<Self, String> {
                let mut faults = Self::NONE;
                for name in list.split(',').filter(|name| !name.is_empty()) {
                    match name {
                        "all" => faults = Self::ALL,
                        $($name => faults.$field = true,)*
                        other => return Err(format!("{other:?} is none of {}", Self::NAMES.join(", "))),
                    }
                }
                Ok(faults)
            }

            /// These with one less, for each of them.
            pub fn one_less(&self) -> Vec<Self> {
                let mut less = Vec::new();
                $(if self.$field {
                    less.push(Self { $field: false, ..*self });
                })*
                less
            }
        }
    };
}

faults! {
    /// The process is killed, or the power cut: unsynced writes are lost, torn or garbled.
    crashes: "crash",
    /// Connections break at any frame, half-open ones linger.
    network: "network",
    /// A sync takes up to 200 ms.
    slow_disk: "disk",
    /// A device loses its memory and comes back from its saved state.
    devices: "device",
    /// A core takes no mail for up to 800 ms.
    stalls: "stall",
    /// A user's devices, and another user's last one, are linked while messages flow; the process likes to stop then.
    late_links: "link",
    /// The server's clock is up to four minutes off, another way after each boot; or it has jumped by hours, a day, ten years,
    /// or to 1970.
    clock: "clock",
    /// A read of the tables fails now and then.
    reads: "read",
    /// A disk has no room for a while.
    full_disk: "full",
    /// In one seed of four, ids grow old within seconds.
    old_ids: "age",
    /// The process starts with another number of shards now and then.
    cores: "core",
    /// A bit of a log flips while the process is down.
    flips: "flip",
    /// In one seed of four, durability is `os`: a stop of the host loses what was not synced.
    os: "os",
    /// In one seed of four, limits are narrow, and devices stay away until they are reached; in another, shards keep few message
    /// ids in memory.
    limits: "limit",
}

impl Plan {
    /// What to type to see this seed again.
    pub fn command(&self, seed: u64) -> String {
        let stop = self.stop_at.map_or_else(String::new, |step| format!(" --stop-at {step}"));
        format!(
            "iris-simulator --seed {seed} --ops {} --shards {} --users {} --devices {} --fault {:?}{stop}",
            self.ops,
            self.shards,
            self.users,
            self.devices,
            self.faults.list()
        )
    }
}

impl Default for Plan {
    fn default() -> Self {
        Self {
            ops: 300,
            shards: 2,
            users: 4,
            devices: 2,
            faults: Faults::ALL,
            stop_at: None,
            calm: Duration::from_mins(10),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a failure's report says to type brings the same faults again.
    /// Seen to fail when: a name is left out of the list.
    #[test]
    fn a_list_of_faults_names_the_same_faults() {
        for list in
            ["", "all", "crash", "network,disk", "device,stall,clock,read,link,full,age,core,flip,os,limit"]
        {
            let faults = Faults::parse(list).unwrap();
            assert_eq!(Faults::parse(&faults.list()), Ok(faults), "{list}");
        }
        assert!(Faults::parse("flood").is_err());
    }
}
