//! The checks against directories that look like a host: each is shown to pass, to complain, and to be healed.

use crate::sysroot::{Sysroot, plan};
use iris_tuning::{CHECKS, Finding, Host, Plan, Remedy, Verdict, failed, findings};

/// One spoilt file for each check: check, path, text, verdict.
const SPOILT: &[(&str, &str, &str, Verdict)] = &[
    ("io_uring", "proc/sys/kernel/io_uring_disabled", "2", Verdict::Fail),
    ("kernel", "proc/sys/kernel/osrelease", "6.11.9-generic", Verdict::Fail),
    (
        "nofile",
        "proc/self/limits",
        "Max open files 1024 4096 files\nMax locked memory 8388608 8388608 bytes",
        Verdict::Fail,
    ),
    ("nr_open", "proc/sys/fs/nr_open", "1024", Verdict::Fail),
    ("file-max", "proc/sys/fs/file-max", "100000", Verdict::Fail),
    ("memory", "proc/meminfo", "MemTotal: 1048576 kB\nMemAvailable: 524288 kB", Verdict::Fail),
    (
        "memlock",
        "proc/self/limits",
        "Max open files 20000 20000 files\nMax locked memory 65536 65536 bytes",
        Verdict::Warn,
    ),
    ("filesystem", "proc/self/mountinfo", "27 1 254:0 / / rw - tmpfs none rw", Verdict::Fail),
    ("somaxconn", "proc/sys/net/core/somaxconn", "128", Verdict::Warn),
    ("tcp_max_syn_backlog", "proc/sys/net/ipv4/tcp_max_syn_backlog", "256", Verdict::Warn),
    ("tcp_mem", "proc/sys/net/ipv4/tcp_mem", "1000\t2000\t3000", Verdict::Warn),
    ("ip_local_port_range", "proc/sys/net/ipv4/ip_local_port_range", "1024\t65535", Verdict::Warn),
    ("conntrack", "proc/sys/net/netfilter/nf_conntrack_max", "65536", Verdict::Warn),
    ("thp", "sys/kernel/mm/transparent_hugepage/enabled", "[always] madvise never", Verdict::Warn),
    ("swappiness", "proc/sys/vm/swappiness", "60", Verdict::Warn),
    ("governor", "sys/devices/system/cpu/cpu1/cpufreq/scaling_governor", "powersave", Verdict::Warn),
    ("clocksource", "sys/devices/system/clocksource/clocksource0/current_clocksource", "hpet", Verdict::Warn),
];

fn only(host: &Host, plan: &Plan) -> Finding {
    let mut found = failed(host, plan);
    assert_eq!(found.len(), 1, "one finding expected: {found:#?}");
    found.remove(0)
}

fn finding(host: &Host, plan: &Plan, check: &str) -> Finding {
    findings(host, plan).into_iter().find(|finding| finding.check == check).expect("no such check")
}

/// Seen to fail when: `or_fail` ignores `held`.
#[test]
fn a_host_that_fits_has_nothing_to_complain_about() {
    assert_eq!(failed(&Sysroot::healthy().host(), &plan()), []);
}

/// Seen to fail when: any one check answers ok without looking.
#[test]
fn every_check_complains_about_its_own_spoilt_file_alone() {
    for (check, path, text, verdict) in SPOILT {
        let sysroot = Sysroot::healthy();
        sysroot.put(path, text);
        let found = only(&sysroot.host(), &plan());
        assert_eq!((found.check, found.verdict), (*check, *verdict), "{path} = {text}");
        assert!(found.remedy.is_some(), "{check} does not say what to type");
    }
}

/// Seen to fail when: a row of `SPOILT` is taken out.
#[test]
fn no_check_is_without_a_spoilt_file() {
    let spoilt: Vec<&str> = SPOILT.iter().map(|(check, ..)| *check).collect();
    assert_eq!(CHECKS.iter().map(|check| check.name).collect::<Vec<_>>(), spoilt);
}

/// Seen to fail when: `at_least` names one less than it wants.
#[test]
fn what_a_finding_says_to_type_heals_it() {
    for (check, path, text, _) in SPOILT {
        let sysroot = Sysroot::healthy();
        sysroot.put(path, text);
        let remedy = only(&sysroot.host(), &plan()).remedy.expect("no remedy");
        if sysroot.apply(&remedy) {
            assert_eq!(failed(&sysroot.host(), &plan()), [], "{check} after: {remedy}");
        } else {
            assert!(matches!(remedy, Remedy::Advice(_)), "{check}: nothing was applied of {remedy}");
        }
    }
}

/// Seen to fail when: a reader falls back to a default.
#[test]
fn a_setting_that_cannot_be_understood_is_never_ok() {
    for garbage in ["", "?", "-1", "99999999999999999999999", "a b c d", "\u{0}\u{fffd}", "[always"] {
        for (check, path, ..) in SPOILT {
            let sysroot = Sysroot::healthy();
            sysroot.put(path, garbage);
            let found = finding(&sysroot.host(), &plan(), check);
            assert_ne!(found.verdict, Verdict::Ok, "{check} of {garbage:?}: {found:?}");
        }
    }
}

/// Seen to fail when: a missing file is read as 0.
#[test]
fn an_empty_host_is_findings_and_no_panic() {
    let sysroot = Sysroot::empty();
    let quiet: Vec<&str> = findings(&sysroot.host(), &plan())
        .iter()
        .filter(|finding| finding.verdict == Verdict::Ok)
        .map(|finding| finding.check)
        .collect();
    // A host lacks these files where there is no such thing: no tracking, no huge pages, no frequency control.
    assert_eq!(quiet, ["conntrack", "thp", "governor"]);
}

/// Seen to fail when: value 1 of the switch is taken for 0, or for 2.
#[test]
fn a_restricted_io_uring_is_for_its_group_and_for_administrators() {
    let cases = [
        ("CapEff:\t0000000000000000\nGid:\t0 0 0 0\nGroups:\t7 8", Verdict::Fail),
        ("CapEff:\t0000000000000000\nGid:\t0 0 0 0\nGroups:\t7 1234", Verdict::Ok),
        ("CapEff:\t0000000000000000\nGid:\t1234 1234 1234 1234\nGroups:\t", Verdict::Ok),
        ("CapEff:\t0000000000200000\nGid:\t0 0 0 0\nGroups:\t", Verdict::Ok),
    ];
    for (status, verdict) in cases {
        let sysroot = Sysroot::healthy();
        sysroot.put("proc/sys/kernel/io_uring_disabled", "1");
        sysroot.put("proc/sys/kernel/io_uring_group", "1234");
        sysroot.put("proc/self/status", status);
        assert_eq!(finding(&sysroot.host(), &plan(), "io_uring").verdict, verdict, "{status}");
    }
}

/// Seen to fail when: major and minor are compared apart.
#[test]
fn the_kernel_is_compared_as_a_version() {
    let cases = [
        ("6.12.0", Verdict::Ok),
        ("7.0-rc1", Verdict::Ok),
        ("6.9.1", Verdict::Fail),
        ("5.15.0-91-generic", Verdict::Fail),
    ];
    for (release, verdict) in cases {
        let sysroot = Sysroot::healthy();
        sysroot.put("proc/sys/kernel/osrelease", release);
        assert_eq!(finding(&sysroot.host(), &plan(), "kernel").verdict, verdict, "{release}");
    }
}

/// Seen to fail when: the first mount that matches is taken instead of the longest.
#[test]
fn the_data_directory_belongs_to_its_nearest_mount() {
    let sysroot = Sysroot::healthy();
    sysroot.put(
        "proc/self/mountinfo",
        "1 0 254:0 / / rw - overlay none rw\n\
         2 1 254:1 / /var/lib rw - xfs /dev/b rw\n\
         3 2 254:2 / /var/lib/iris\\040two rw - tmpfs none rw\n\
         4 1 254:3 / /var/lib/i rw - btrfs /dev/c rw",
    );
    let at = |data_dir: &str| {
        finding(&sysroot.host(), &Plan { data_dir: data_dir.into(), ..plan() }, "filesystem")
    };
    assert_eq!((at("/var/lib/iris").found.as_str(), at("/var/lib/iris").verdict), ("xfs", Verdict::Ok));
    assert_eq!(at("/var/lib/iris two/x").verdict, Verdict::Fail);
    assert_eq!((at("/srv").found.as_str(), at("/srv").verdict), ("overlay", Verdict::Warn));
}

/// Seen to fail when: reserved ports are not subtracted.
#[test]
fn a_listening_port_in_the_local_range_must_be_reserved() {
    let sysroot = Sysroot::healthy();
    sysroot.put("proc/sys/net/ipv4/ip_local_port_range", "1024\t65535");
    sysroot.put("proc/sys/net/ipv4/ip_local_reserved_ports", "8000-8100,7440-7450");
    let found = only(&sysroot.host(), &plan());
    let reserve = "sysctl -w net.ipv4.ip_local_reserved_ports='8000-8100,7440-7450,7480'";
    assert_eq!(found.remedy.map(|remedy| remedy.to_string()).as_deref(), Some(reserve));
}

/// Seen to fail when: swap devices are not looked at, or SYN cookies are not.
#[test]
fn a_setting_without_effect_is_not_complained_about() {
    let sysroot = Sysroot::healthy();
    sysroot.put("proc/sys/vm/swappiness", "60");
    sysroot.put("proc/swaps", "Filename Type Size Used Priority");
    sysroot.put("proc/sys/net/ipv4/tcp_max_syn_backlog", "256");
    sysroot.put("proc/sys/net/ipv4/tcp_syncookies", "1");
    assert_eq!(failed(&sysroot.host(), &plan()), []);
}

/// Seen to fail when: a reader's path begins with a slash.
#[test]
fn this_host_is_read_without_a_panic() {
    assert_eq!(findings(&Host::here(), &Plan::default()).len(), CHECKS.len());
}
