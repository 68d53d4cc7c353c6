//! Conditions, and what the committed ones find.
#![cfg(test)]

use super::*;

fn report(text: &str) -> Map<String, Value> {
    serde_json::from_str(text).unwrap()
}

fn complaint(condition: &str) -> Option<String> {
    let base = report(r#"{"delivery.p99_us":100.0,"rate.held":30000,"lost":0}"#);
    let next = report(r#"{"delivery.p99_us":111.0,"rate.held":29000,"lost":0,"text":"5"}"#);
    condition.parse::<Condition>().unwrap().complaint(&base, &next)
}

/// Limits are absolute or relative to the base, from above or from below.
/// Seen to fail when: `1.1x` is read as 1.1.
#[test]
fn conditions_are_judged_against_the_base() {
    assert!(complaint("delivery.p99_us>1.1x").is_some());
    assert_eq!(complaint("delivery.p99_us>1.2x"), None);
    assert_eq!(complaint("delivery.p99_us > 112"), None);
    assert!(complaint("rate.held<0.97x").is_some());
    assert_eq!(complaint("rate.held<0.95x"), None);
    assert_eq!(complaint("lost>0"), None);
}

/// A limit may be so much above the base: a base of 0 leaves no room for a factor.
/// Seen to fail when: `+0.5` is read as 0.5.
#[test]
fn a_limit_may_be_above_the_base_by_a_number() {
    assert!(complaint("delivery.p99_us>+10.5").is_some());
    assert_eq!(complaint("delivery.p99_us>+11.5"), None);
    assert_eq!(complaint("lost>+0.5"), None);
    assert!(complaint("text>+1").is_some());
}

/// A key that is missing, or is no number, fails.
/// Seen to fail when: a missing key is skipped.
#[test]
fn a_missing_figure_fails() {
    assert!(complaint("ack.p99_us>5").is_some());
    assert!(complaint("text>5").is_some());
    assert!(complaint("text>2x").is_some());
}

/// What is no condition is refused.
/// Seen to fail when: a missing number is taken for 0.
#[test]
fn nonsense_is_refused() {
    for text in ["", "p99", ">5", "p99>", "p99>fast", "p99>1.1y"] {
        assert!(text.parse::<Condition>().is_err(), "{text}");
    }
}

/// A file gives each report its own conditions.
/// Seen to fail when: the name in the file is not compared.
#[test]
fn a_report_is_judged_by_its_own_lines() {
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(
        file.path(),
        "# figures\nmemory  memory.bytes_per_connection > 1.1x # slope\n\nlatency-os lost>0\n",
    )
    .unwrap();
    let own = conditions_of(file.path(), Path::new("baselines/memory.json")).unwrap();
    assert_eq!(own, ["memory.bytes_per_connection>1.1x".parse().unwrap()]);
    assert!(conditions_of(file.path(), Path::new("baselines/soak.json")).is_err());
    fs::write(file.path(), "memory\n").unwrap();
    assert!(conditions_of(file.path(), Path::new("baselines/memory.json")).is_err());
}

/// What the committed conditions may judge: figures that mean the same on another host.
const COMPARABLE: &[&str] = &[
    "ratio.delivery_p50",
    "ratio.ack_p50",
    "ratio.cpu",
    "memory.bytes_per_connection",
    "server.instructions_per_message",
    "server.allocations_per_message",
];

fn committed() -> (Vec<(String, Condition)>, std::path::PathBuf) {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("baselines");
    let text = fs::read_to_string(directory.join("conditions.txt")).unwrap();
    (conditions(&text).unwrap(), directory)
}

/// What the committed conditions say about a report in which `key` is changed.
fn verdict(name: &str, key: &str, change: impl Fn(f64) -> f64) -> Vec<String> {
    let (all, directory) = committed();
    let base = load(&directory.join(format!("{name}.json"))).unwrap();
    let mut next = base.clone();
    let value = change(base[key].as_f64().unwrap());
    next.insert(key.to_owned(), Value::from(value));
    let own = all.iter().filter(|(report, _)| report == name);
    own.filter_map(|(_, condition)| condition.complaint(&base, &next)).collect()
}

/// Every committed baseline has conditions, every condition has its figure, and none judges the host.
/// Seen to fail when: a line for `delivery.p99_us` is added, a baseline is removed, or its last condition is.
#[test]
fn the_committed_conditions_judge_what_can_be_compared() {
    let (all, directory) = committed();
    for (report, condition) in &all {
        assert!(
            COMPARABLE.contains(&condition.key.as_str()),
            "{report}: {} depends on the host",
            condition.key
        );
        let base = load(&directory.join(format!("{report}.json"))).unwrap();
        assert!(base.contains_key("host.cpu"), "{report} does not say where it was made");
        assert_eq!(condition.complaint(&base, &base), None, "{report} fails its own condition");
    }
    for entry in fs::read_dir(&directory).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_stem().unwrap().to_string_lossy().into_owned();
        let is_judged = name == "conditions" || all.iter().any(|(report, _)| *report == name);
        assert!(is_judged, "{name} has no condition");
    }
}

/// What a regression adds to a message fails the committed conditions, and what noise adds does not: a spin of 20 us, one
/// allocation, one more sync before the acknowledgement.
/// Seen to fail when: the line for `ratio.cpu`, `server.allocations_per_message` or `ratio.ack_p50` of `latency-os` is taken out of the file.
#[test]
fn deliberate_regressions_fail_the_committed_conditions() {
    let (_, directory) = committed();
    let os = load(&directory.join("latency-os.json")).unwrap();
    let figure = |key: &str| os[key].as_f64().unwrap();
    let spin = 20.0 / figure("floor.message.cpu_us");
    let sync = figure("floor.commit.p50_us") / figure("floor.routed.p50_us");
    let [cpu, ack, each] = ["ratio.cpu", "ratio.ack_p50", "server.allocations_per_message"];
    assert_ne!(verdict("latency-os", cpu, |ratio| ratio + spin), Vec::<String>::new(), "a spin");
    assert_ne!(verdict("latency-os", ack, |ratio| ratio + sync), Vec::<String>::new(), "a sync");
    assert_ne!(verdict("instructions", each, |each| each + 1.0), Vec::<String>::new(), "an allocation");
    for (report, key) in [("latency-os", cpu), ("latency-os", ack), ("instructions", each)] {
        assert_eq!(verdict(report, key, |figure| figure * 1.02), Vec::<String>::new(), "{report}: {key}");
    }
}
