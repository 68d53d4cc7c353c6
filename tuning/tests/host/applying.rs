//! What is asked for is done, by `apply` and by the script, and a dry run does nothing.

use crate::sysroot::{Sysroot, plan};
use iris_tuning::{Finding, Outcome, Remedy, Verdict, apply, failed, findings, script};
use std::process::Command;

/// A host with two settings that a file heals, one limit of a process, and something that only a person can do.
fn spoilt() -> Sysroot {
    let sysroot = Sysroot::healthy();
    sysroot.put("proc/sys/net/core/somaxconn", "128\n");
    sysroot.put("sys/devices/system/cpu/cpu1/cpufreq/scaling_governor", "powersave\n");
    sysroot
        .put("proc/self/limits", "Max open files 1024 4096 files\nMax locked memory 8388608 8388608 bytes\n");
    sysroot.put("proc/self/mountinfo", "27 1 254:0 / / rw - tmpfs none rw\n");
    sysroot
}

fn checks_left(sysroot: &Sysroot) -> Vec<&'static str> {
    failed(&sysroot.host(), &plan()).iter().map(|finding| finding.check).collect()
}

/// Seen to fail when: a dry run writes.
#[test]
fn a_dry_run_says_what_it_would_do_and_does_nothing() {
    let sysroot = spoilt();
    let before = checks_left(&sysroot);
    let steps = apply(&sysroot.host(), &findings(&sysroot.host(), &plan()), true);
    let planned: Vec<_> =
        steps.iter().filter(|step| step.outcome == Outcome::Planned).map(|step| step.check).collect();
    assert_eq!(planned, ["somaxconn", "governor"]);
    assert_eq!(checks_left(&sysroot), before);
}

/// Seen to fail when: a path with a star is written as it is.
#[test]
fn apply_writes_what_a_file_takes_and_tells_the_rest() {
    let sysroot = spoilt();
    let steps = apply(&sysroot.host(), &findings(&sysroot.host(), &plan()), false);
    let outcomes: Vec<_> = steps.iter().map(|step| (step.check, step.outcome.clone())).collect();
    let expected = [
        ("nofile", Outcome::Left),
        ("filesystem", Outcome::Left),
        ("somaxconn", Outcome::Done),
        ("governor", Outcome::Done),
    ];
    assert_eq!(outcomes, expected);
    assert_eq!(checks_left(&sysroot), ["nofile", "filesystem"]);
    let again = apply(&sysroot.host(), &findings(&sysroot.host(), &plan()), false);
    assert!(again.iter().all(|step| step.outcome == Outcome::Left), "{again:?}");
}

/// Seen to fail when: an error of a write counts as done.
#[test]
fn a_setting_that_is_refused_is_a_failure() {
    let sysroot = spoilt();
    let found = findings(&sysroot.host(), &plan());
    std::fs::remove_dir_all(sysroot.path().join("proc/sys/net/core")).unwrap();
    let steps = apply(&sysroot.host(), &found, false);
    let refused = steps.iter().find(|step| step.check == "somaxconn").unwrap();
    assert!(matches!(refused.outcome, Outcome::Failed { .. }), "{refused}");
}

/// Seen to fail when: the script leaves out the files of the kernel, or does not quote.
#[test]
fn the_script_does_the_same_and_keeps_it() {
    let sysroot = spoilt();
    let mut found = findings(&sysroot.host(), &plan());
    found.push(Finding {
        check: "nobody's",
        verdict: Verdict::Warn,
        found: String::new(),
        wanted: String::new(),
        remedy: Some(Remedy::Advice("it's $(echo) yours".to_owned())),
        why: "",
    });
    let text = script(&found, "what the host's summary says: it's two\nlines");
    let path = sysroot.path().join("script.sh");
    std::fs::write(&path, &text).unwrap();
    for _ in 0..2 {
        let ran = Command::new("sh").arg(&path).arg(sysroot.path()).output().unwrap();
        assert!(ran.status.success(), "{text}\n{}", String::from_utf8_lossy(&ran.stderr));
        let said = String::from_utf8_lossy(&ran.stderr).into_owned();
        assert!(said.contains("put the data directory") && said.contains("it's $(echo) yours"), "{said}");
    }
    let kept = std::fs::read_to_string(sysroot.path().join("etc/sysctl.d/90-iris.conf")).unwrap();
    assert_eq!(kept, "net.core.somaxconn = 10000\n");
    let limits = "etc/systemd/system/iris-gateway.service.d/limits.conf";
    let limits = std::fs::read_to_string(sysroot.path().join(limits)).unwrap();
    assert_eq!(limits, "[Service]\nLimitNOFILE=12500\n");
    assert!(!checks_left(&sysroot).contains(&"governor"));
}
