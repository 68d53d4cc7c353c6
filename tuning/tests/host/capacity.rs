//! The sentence that matters: how many connections, what stops the host first, what to type.

use crate::sysroot::{Sysroot, plan};
use iris_tuning::capacity::{FILES_OF_OTHERS, bytes_per_connection};
use iris_tuning::{Capacity, Host, Plan, available_bytes, capacity};
use std::process::{Command, Output};

fn first(host: &Host, plan: &Plan) -> (u64, String) {
    let capacity = capacity(host, plan);
    let bound = capacity.first().expect("no bound");
    (bound.connections, bound.by.clone())
}

/// Seen to fail when: the shards are not multiplied in.
#[test]
fn descriptor_tables_add_up_over_all_rings() {
    let host = Sysroot::healthy();
    let (connections, by) = first(&host.host(), &plan());
    assert_eq!(connections, 20_000 * 2 * 8);
    assert!(by.contains("RLIMIT_NOFILE"), "{by}");
}

/// Seen to fail when: the configured size is left out of the bounds.
#[test]
fn an_unlimited_table_is_as_large_as_it_is_configured() {
    let sysroot = Sysroot::healthy();
    sysroot.put("proc/self/limits", "Max open files unlimited unlimited files");
    let (connections, by) = first(&sysroot.host(), &plan());
    assert_eq!(connections, 65_536 * 2 * 8);
    assert!(by.contains("connections.descriptors_per_ring"), "{by}");
}

/// Seen to fail when: what others hold open is not left to them.
#[test]
fn the_host_may_run_out_of_files_first() {
    let sysroot = Sysroot::healthy();
    sysroot.put("proc/sys/fs/file-max", "50000");
    let (connections, by) = first(&sysroot.host(), &plan());
    assert_eq!(connections, 50_000 - FILES_OF_OTHERS);
    assert!(by.contains("fs.file-max"), "{by}");
}

/// Seen to fail when: only the process's own group is read, or only one version of groups.
#[test]
fn memory_is_what_the_tightest_group_leaves() {
    let layouts = [
        ("0::/a/b", "sys/fs/cgroup/a/memory.max", "sys/fs/cgroup/a/memory.current"),
        ("0::/", "sys/fs/cgroup/memory.max", "sys/fs/cgroup/memory.current"),
        (
            "3:cpuset:/\n4:memory:/a/b\n0::/",
            "sys/fs/cgroup/memory/a/b/memory.limit_in_bytes",
            "sys/fs/cgroup/memory/a/b/memory.usage_in_bytes",
        ),
    ];
    for (groups, limit, used) in layouts {
        let sysroot = Sysroot::healthy();
        sysroot.put("proc/self/cgroup", groups);
        sysroot.put("sys/fs/cgroup/a/b/memory.max", "max");
        sysroot.put(limit, "1000000000");
        sysroot.put(used, "400000000");
        let (connections, by) = first(&sysroot.host(), &plan());
        assert_eq!(connections, 600_000_000 / bytes_per_connection(), "{groups}");
        assert!(by.contains("memory"), "{by}");
    }
}

/// Seen to fail when: `used` is taken whole, the caches of files with it.
#[test]
fn a_group_has_room_where_files_are_cached() {
    let sysroot = Sysroot::healthy();
    sysroot.put("proc/self/cgroup", "0::/a");
    sysroot.put("sys/fs/cgroup/a/memory.max", "1000000000");
    sysroot.put("sys/fs/cgroup/a/memory.current", "900000000");
    sysroot.put(
        "sys/fs/cgroup/a/memory.stat",
        "anon 7\ninactive_file 300000000\nactive_file 200000000\nslab 9\n",
    );
    assert_eq!(available_bytes(&sysroot.host()).unwrap(), 600_000_000);
}

/// Seen to fail when: MemAvailable is believed.
#[test]
fn inodes_of_open_sockets_are_no_room() {
    let sysroot = Sysroot::healthy();
    let meminfo = "MemTotal: 90000 kB\nMemFree: 1000 kB\nMemAvailable: 9000 kB\nActive: 1 kB\n\
                   Active(file): 2000 kB\nInactive(file): 3000 kB\n";
    sysroot.put("proc/meminfo", meminfo);
    assert_eq!(available_bytes(&sysroot.host()).unwrap(), 6_000 * 1024);
}

/// Seen to fail when: the sentence leaves out the second bound below the plan.
#[test]
fn the_sentence_names_everything_that_must_be_set() {
    let sysroot = Sysroot::healthy();
    sysroot.put("proc/sys/fs/file-max", "150000");
    let text = capacity(&sysroot.host(), &Plan { connections: 1_000_000, ..plan() }).to_string();
    assert_eq!(
        text,
        "this host can hold 140,000 connections now; fs.file-max (150000) stops it first. For 1,000,000: \
         sysctl -w fs.file-max='1010000'; then RLIMIT_NOFILE (20000, one table for each of 16 rings): \
         ulimit -n 62500 (systemd: LimitNOFILE=62500)"
    );
}

/// Seen to fail when: the comparison with the plan is turned round.
#[test]
fn a_plan_that_fits_is_said_to_fit() {
    let text = capacity(&Sysroot::healthy().host(), &plan()).to_string();
    assert!(text.starts_with("this host can hold 320,000 connections now"), "{text}");
    assert!(text.ends_with("the 200,000 planned fit"), "{text}");
}

/// Seen to fail when: an unreadable bound counts as 0.
#[test]
fn a_host_that_tells_nothing_is_not_guessed_at() {
    let capacity: Capacity = capacity(&Sysroot::empty().host(), &plan());
    assert_eq!(capacity.bounds, []);
    assert!(capacity.to_string().contains("does not tell"));
}

fn run(sysroot: &Sysroot, connections: &str) -> Output {
    let root = sysroot.path().to_str().expect("utf-8");
    Command::new(env!("CARGO_BIN_EXE_iris-tuning"))
        .args([
            "check",
            "--json",
            "--sysroot",
            root,
            "--connections",
            connections,
            "--data-dir",
            "/var/lib/iris",
        ])
        .args(["--shards", "2"])
        .output()
        .expect("the command runs")
}

/// Seen to fail when: the exit status is taken from warnings, or not at all.
#[test]
fn the_command_exits_with_1_when_the_plan_cannot_be_met() {
    let sysroot = Sysroot::healthy();
    assert_eq!(run(&sysroot, "200000").status.code(), Some(0));
    assert_eq!(run(&sysroot, "5000000").status.code(), Some(1));
    assert_eq!(run(&sysroot, "0").status.code(), Some(2));
    sysroot.put("sys/kernel/mm/transparent_hugepage/enabled", "[always] madvise never");
    assert_eq!(run(&sysroot, "200000").status.code(), Some(0), "a warning changes nothing");
}

/// Seen to fail when: a field of the report is renamed.
#[test]
fn the_command_prints_json_that_a_machine_can_act_on() {
    let output = run(&Sysroot::healthy(), "5000000").stdout;
    let report: serde_json::Value = serde_json::from_slice(&output).expect("valid json");
    assert_eq!(report["capacity"]["bounds"][0]["connections"], 640_000);
    assert_eq!(report["findings"][2]["check"], "nofile");
    assert_eq!(report["findings"][2]["verdict"], "fail");
    assert_eq!(report["findings"][2]["remedy"], "ulimit -n 156250 (systemd: LimitNOFILE=156250)");
    assert_eq!(report["findings"][0]["remedy"], serde_json::Value::Null);
}
