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
/// Seen to fail when: the name in the file is not compared, or a report without a condition passes.
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
