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
    /// How long the calm world may take to converge.
    pub calm: Duration,
}

/// Faults by kind.
#[allow(clippy::struct_excessive_bools, reason = "independent switches, named in the list of faults")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Faults {
    /// The process is killed, or the power cut: unsynced writes are lost, torn or garbled.
    pub crashes: bool,
    /// Connections break at any frame, half-open ones linger.
    pub network: bool,
    /// A sync takes up to 200 ms.
    pub slow_disk: bool,
    /// A device loses its memory and comes back from its saved state.
    pub devices: bool,
    /// A core takes no mail for up to 800 ms.
    pub stalls: bool,
    /// A user's devices, and another user's last one, are linked while messages flow; the process likes to stop then.
    pub late_links: bool,
}

impl Faults {
    /// Everything.
    pub const ALL: Self =
        Self { crashes: true, network: true, slow_disk: true, devices: true, stalls: true, late_links: true };
    /// Nothing.
    pub const NONE: Self = Self {
        crashes: false,
        network: false,
        slow_disk: false,
        devices: false,
        stalls: false,
        late_links: false,
    };

    /// The named ones.
    ///
    /// # Errors
    /// The name that is not a fault.
    pub fn parse(list: &str) -> Result<Self, String> {
        let mut faults = Self::NONE;
        for name in list.split(',').filter(|name| !name.is_empty()) {
            match name {
                "all" => faults = Self::ALL,
                "crash" => faults.crashes = true,
                "network" => faults.network = true,
                "disk" => faults.slow_disk = true,
                "device" => faults.devices = true,
                "stall" => faults.stalls = true,
                "link" => faults.late_links = true,
                other => {
                    return Err(format!(
                        "{other:?} is none of crash, network, disk, device, stall, link, all"
                    ));
                }
            }
        }
        Ok(faults)
    }
}

impl Default for Plan {
    fn default() -> Self {
        Self { ops: 300, shards: 2, users: 4, devices: 2, faults: Faults::ALL, calm: Duration::from_mins(10) }
    }
}
