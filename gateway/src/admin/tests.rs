//! The port's tables against the operators' page.

use super::errors::Code;
use super::metrics::table;
use std::collections::BTreeSet;

const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/OPERATING.md");

/// Holds the text between two marks of the page equal to `expected`, or writes it there.
fn hold(mark: &str, expected: &str) {
    let (open, close) = (format!("<!-- {mark} -->\n"), format!("<!-- end of {mark} -->"));
    let page = std::fs::read_to_string(PAGE).unwrap();
    let (before, rest) = page.split_once(&open).expect("the opening mark");
    let (documented, after) = rest.split_once(&close).expect("the closing mark");
    if std::env::var_os("IRIS_WRITE_DOCS").is_some() {
        std::fs::write(PAGE, format!("{before}{open}{expected}{close}{after}")).unwrap();
        return;
    }
    assert_eq!(documented, expected, "IRIS_WRITE_DOCS=1 rewrites the table");
}

/// Proves: G-ADMIN-2 (every metric is documented with its kind and meaning, and no other is)
/// Seen to fail when: the help of a metric is changed without the page.
#[test]
fn the_operators_page_has_the_same_metrics() {
    hold("metrics", &table());
}

/// Proves: G-ADMIN-2 (names are unique, say their unit, and only what rises is a total)
/// Seen to fail when: `iris_accepts_total` is called `iris_accepts`.
#[test]
fn names_of_metrics_say_what_they_are() {
    use crate::control::{Kind, METRICS};
    let all: Vec<_> = METRICS.iter().chain(super::metrics::PROCESS_METRICS).collect();
    let names: BTreeSet<&str> = all.iter().map(|metric| metric.name).collect();
    assert_eq!(names.len(), all.len());
    for metric in all {
        let is_total = metric.name.ends_with("_total");
        assert_eq!(is_total, metric.kind == Kind::Counter, "{}", metric.name);
        assert!(metric.name.starts_with("iris_") && metric.help.ends_with('.'), "{}", metric.name);
        let in_seconds = metric.name.trim_end_matches("_total").ends_with("_seconds");
        assert!(in_seconds || metric.divisor == 1, "{}", metric.name);
    }
}

/// Proves: G-ADMIN-3 (every code is documented with its status, and no other is)
/// Seen to fail when: a code gets another status.
#[test]
fn the_operators_page_has_the_same_codes() {
    let row = |code: &Code| format!("| `{}` | {} | {} |", code.name(), code.status(), code.message());
    let rows: Vec<String> = Code::ALL.iter().map(row).collect();
    let table = format!("| code | status | meaning |\n|---|---|---|\n{}\n", rows.join("\n"));
    hold("admin codes", &table);
}

/// Proves: G-ADMIN-3 (every path is documented with what it needs, and no other is)
/// Seen to fail when: the kick of a user needs nothing.
#[test]
fn the_operators_page_has_the_same_paths() {
    hold("admin paths", &super::paths::table());
}
