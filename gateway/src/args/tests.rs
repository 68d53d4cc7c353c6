//! Command lines and what they mean.

use super::{Bearers, Task, UsageError};
use crate::cli::Cli;
use clap::Parser as _;

fn task(line: &str) -> Result<Task, UsageError> {
    let words = std::iter::once("iris-gateway").chain(line.split_whitespace());
    Task::of(Cli::try_parse_from(words).unwrap_or_else(|error| panic!("{error}")))
}

fn refused_by_clap(line: &str) -> bool {
    Cli::try_parse_from(std::iter::once("iris-gateway").chain(line.split_whitespace())).is_err()
}

/// Proves: what serve is told reaches the plan.
/// Seen to fail when: `accept_clock` and `new_incarnation` are swapped.
#[test]
fn serve_takes_its_flags() {
    let Ok(Task::Serve(plan)) = task("serve --config iris.toml --accept-clock --set server.shards=2") else {
        panic!("not a plan to serve")
    };
    assert_eq!(plan.sources.file.as_deref(), Some(std::path::Path::new("iris.toml")));
    assert_eq!(plan.sources.settings, [("server.shards".to_owned(), "2".to_owned())]);
    assert!(plan.accept_clock && !plan.new_incarnation && !plan.flags.insecure_plaintext);
}

/// Proves: a setting without key or value is a mistake, not a setting.
/// Seen to fail when: a missing "=" means "true".
#[test]
fn a_setting_needs_key_and_value() {
    for setting in ["server.shards", "shards=2", "=2"] {
        assert!(
            matches!(task(&format!("serve --set {setting}")), Err(UsageError::Setting { .. })),
            "{setting}"
        );
    }
}

/// Proves: a pattern makes ids for all its numbers, or is refused before anything is written.
/// Seen to fail when: only the first number is tried.
#[test]
fn a_pattern_makes_valid_users() {
    let issue = |rest: &str| task(&format!("token issue --key k --device d1 {rest}"));
    let Ok(Task::TokenIssue(plan)) = issue("--users u%d.x --count 11 --out f") else {
        panic!("not a plan to issue")
    };
    let Bearers::Many(many) = plan.bearers else { panic!("not many") };
    assert_eq!(many.user(0).unwrap().as_str(), "u0.x");
    assert_eq!(many.user(10).unwrap().as_str(), "u10.x");
    let long = "u".repeat(63);
    assert!(issue(&format!("--users {long}%d --count 10 --out f")).is_ok());
    assert!(matches!(issue(&format!("--users {long}%d --count 11 --out f")), Err(UsageError::Id { .. })));
    for pattern in ["u", "%d%d"] {
        let outcome = issue(&format!("--users {pattern} --count 2 --out f"));
        assert!(matches!(outcome, Err(UsageError::Pattern { .. })), "{pattern}");
    }
    assert!(matches!(issue("--users u%d --count 0 --out f"), Err(UsageError::Count)));
    assert!(matches!(issue("--users u:%d --count 1 --out f"), Err(UsageError::Id { .. })));
}

/// Proves: one user or a pattern with count and file, nothing in between.
/// Seen to fail when: `--count` does not require `--users`.
#[test]
fn one_user_or_many_but_not_both() {
    let issue = "token issue --key k --device d1";
    assert!(!refused_by_clap(&format!("{issue} --user a")));
    for rest in [
        "",
        "--user a --users u%d --count 1 --out f",
        "--users u%d",
        "--users u%d --count 2",
        "--user a --count 2",
    ] {
        assert!(refused_by_clap(&format!("{issue} {rest}")), "{rest}");
    }
}

/// Proves: durations and ids of the command line are checked where they were typed.
/// Seen to fail when: the bound of 24 hours is left out.
#[test]
fn a_wrong_duration_or_id_is_named_by_its_flag() {
    let issue = |rest: &str| task(&format!("token issue --key k {rest}"));
    for ttl in ["25h", "2d", "0s", "999ms"] {
        assert!(
            matches!(issue(&format!("--user a --device d --ttl {ttl}")), Err(UsageError::Lifetime)),
            "{ttl}"
        );
    }
    let duration = issue("--user a --device d --ttl day").unwrap_err().to_string();
    assert!(duration.contains("--ttl"), "{duration}");
    let user = issue("--user a:b --device d").unwrap_err().to_string();
    assert!(user.contains("--user"), "{user}");
    let device = issue("--user a --device d/1").unwrap_err().to_string();
    assert!(device.contains("--device"), "{device}");
}
