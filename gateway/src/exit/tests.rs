//! The statuses against the operators' page.

use super::ExitStatus;
use std::collections::BTreeSet;

/// Rows `| number | NAME | ...` of the operators' page, between the marks around the table.
fn documented() -> Vec<(u8, String, bool)> {
    let page = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/OPERATING.md")).unwrap();
    let (_, rest) = page.split_once("<!-- exit statuses -->").expect("the page has the table's opening mark");
    let (table, _) = rest.split_once("<!-- end of exit statuses -->").expect("the page has the closing mark");
    let row = |line: &str| {
        let cells: Vec<&str> = line.split('|').map(str::trim).collect();
        let number = cells.get(1)?.parse().ok()?;
        Some((number, cells.get(2)?.trim_matches('`').to_owned(), *cells.get(3)? == "yes"))
    };
    table.lines().filter_map(row).collect()
}

/// Proves: every exit status is documented with its number and whether a restart helps, and no other is.
/// Seen to fail when: a row of the table gets another number, or a status is added to the enum alone.
#[test]
fn the_operators_page_has_the_same_exit_statuses() {
    let defined: Vec<_> =
        ExitStatus::ALL.iter().map(|s| (s.number(), s.name().to_owned(), s.restart_helps())).collect();
    assert_eq!(documented(), defined);
}

/// Proves: no two statuses share a number or a name.
/// Seen to fail when: two variants get one name.
#[test]
fn exit_statuses_are_distinct() {
    let numbers: BTreeSet<u8> = ExitStatus::ALL.iter().map(|s| s.number()).collect();
    let names: BTreeSet<&str> = ExitStatus::ALL.iter().map(|s| s.name()).collect();
    assert_eq!(numbers.len(), ExitStatus::ALL.len());
    assert_eq!(names.len(), ExitStatus::ALL.len());
}
