//! A directory that looks like a host, file by file.

use iris_tuning::{Host, Plan, Remedy};
use std::fs;
use std::path::PathBuf;
use tempfile::TempDir;

/// A directory that looks like a host; removed when dropped.
pub(crate) struct Sysroot(TempDir);

/// What the host of these tests is meant to carry.
pub(crate) fn plan() -> Plan {
    Plan {
        connections: 200_000,
        shards: 2,
        rings_per_shard: 8,
        descriptors_per_ring: 65_536,
        ports: vec![7443, 7444, 7480],
        data_dir: PathBuf::from("/var/lib/iris"),
    }
}

/// Every file that a check reads, as it is on a host that fits [`plan`].
const HEALTHY: &[(&str, &str)] = &[
    (
        "proc/meminfo",
        "MemTotal:       24684084 kB\nMemFree:         1000000 kB\nMemAvailable:   20000000 kB\n",
    ),
    ("proc/self/cgroup", "0::/\n"),
    (
        "proc/self/limits",
        "Limit                     Soft Limit           Hard Limit           Units\n\
         Max open files            1024                 20000                files\n\
         Max locked memory         8388608              unlimited            bytes\n",
    ),
    ("proc/self/mountinfo", "27 1 254:0 / / rw,relatime - ext4 /dev/vda rw\n"),
    ("proc/self/status", "Name:\tiris\nGid:\t0 0 0 0\nGroups:\t\nCapEff:\t0000000000000000\n"),
    ("proc/swaps", "Filename Type Size Used Priority\n/dev/vdb partition 1048572 0 -2\n"),
    ("proc/sys/fs/file-max", "2466170\n"),
    ("proc/sys/fs/nr_open", "1048576\n"),
    ("proc/sys/kernel/io_uring_disabled", "0\n"),
    ("proc/sys/kernel/osrelease", "6.18.44-generic\n"),
    ("proc/sys/net/core/somaxconn", "16384\n"),
    ("proc/sys/net/ipv4/ip_local_port_range", "32768\t60999\n"),
    ("proc/sys/net/ipv4/ip_local_reserved_ports", "\n"),
    ("proc/sys/net/ipv4/tcp_max_syn_backlog", "16384\n"),
    ("proc/sys/net/ipv4/tcp_mem", "287898\t383867\t575796\n"),
    ("proc/sys/net/ipv4/tcp_syncookies", "0\n"),
    ("proc/sys/net/netfilter/nf_conntrack_max", "262144\n"),
    ("proc/sys/vm/swappiness", "1\n"),
    ("sys/devices/system/clocksource/clocksource0/available_clocksource", "tsc hpet acpi_pm\n"),
    ("sys/devices/system/clocksource/clocksource0/current_clocksource", "tsc\n"),
    ("sys/devices/system/cpu/cpu0/cpufreq/scaling_governor", "performance\n"),
    ("sys/devices/system/cpu/cpu1/cpufreq/scaling_governor", "performance\n"),
    ("sys/devices/system/cpu/cpufreq/boost", "1\n"),
    ("sys/kernel/mm/transparent_hugepage/enabled", "always [madvise] never\n"),
];

impl Sysroot {
    /// A host with no file at all.
    pub(crate) fn empty() -> Self {
        Self(tempfile::tempdir().expect("a temporary directory"))
    }

    /// A host that fits [`plan`].
    pub(crate) fn healthy() -> Self {
        let sysroot = Self::empty();
        for (path, text) in HEALTHY {
            sysroot.put(path, text);
        }
        sysroot
    }

    /// Writes a file.
    pub(crate) fn put(&self, path: &str, text: &str) {
        let path = self.0.path().join(path);
        fs::create_dir_all(path.parent().expect("a parent")).expect("its directory");
        fs::write(path, text).expect("the file");
    }

    /// The host to ask.
    pub(crate) fn host(&self) -> Host {
        Host::at(self.0.path())
    }

    /// Does what a remedy says, as a person would; false if it is no command.
    pub(crate) fn apply(&self, remedy: &Remedy) -> bool {
        match remedy {
            Remedy::Sysctl { key, value } => self.put(&format!("proc/sys/{}", key.replace('.', "/")), value),
            Remedy::Kernel { path, value } if path.contains("cpu*") => {
                for cpu in ["cpu0", "cpu1"] {
                    self.put(&path.replace("cpu*", cpu), value);
                }
            }
            Remedy::Kernel { path, value } => {
                // The kernel shows a choice in brackets once it is written.
                let text = if path.ends_with("/enabled") { format!("[{value}]") } else { value.clone() };
                self.put(path, &text);
            }
            Remedy::OpenFiles(limit) => self.limit(*limit, 8_388_608),
            Remedy::LockedBytes(bytes) => self.limit(20_000, *bytes),
            Remedy::Advice(_) => return false,
        }
        true
    }

    fn limit(&self, files: u64, locked: u64) {
        let text =
            format!("Max open files {files} {files} files\nMax locked memory {locked} {locked} bytes\n");
        self.put("proc/self/limits", &text);
    }

    /// Where it lies.
    pub(crate) fn path(&self) -> &std::path::Path {
        self.0.path()
    }
}
