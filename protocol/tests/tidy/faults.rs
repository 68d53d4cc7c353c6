//! The catalogue of faults on the page of guarantees: every scenario is in it, and every row has one or says why not.

use super::{File, GUARANTEES, page, sources, tree};
use std::collections::{BTreeMap, BTreeSet};

/// Rows that must be there: retries, order, devices, disk, clock, framing and slow peers; shards and operation; evidence.
const IN_SCOPE: &[(u32, u32)] = &[(1, 54), (61, 71), (82, 85)];
/// How a row without a scenario begins.
const NOT_YET: &str = "not yet: ";

/// Scenarios by row: the functions whose names begin with the row's number.
type Scenarios = BTreeMap<u32, BTreeSet<String>>;

fn scenarios(files: &[File]) -> Scenarios {
    let mut found = Scenarios::new();
    for line in sources(files).flat_map(|file| file.text.lines()) {
        let name = line.trim().strip_prefix("fn ").unwrap_or_default();
        let name = name.split(['(', '<']).next().unwrap_or_default();
        let number = name.strip_prefix("f_").and_then(|rest| rest.split('_').next()?.parse().ok());
        if let Some(number) = number {
            found.entry(number).or_default().insert(name.to_owned());
        }
    }
    found
}

/// A row of the table: its number, its fault, and its last cell.
fn row(line: &str) -> Option<(u32, &str, &str)> {
    let cells: Vec<&str> = line.strip_prefix("| F-")?.strip_suffix(" |")?.split(" | ").collect();
    match cells[..] {
        [number, fault, last] => Some((number.parse().ok()?, fault, last)),
        _ => None,
    }
}

/// The page with the last cell of each row as it should be; what is there by hand stays where there is no scenario.
pub(super) fn rewritten(page: &str, files: &[File]) -> String {
    let scenarios = scenarios(files);
    let lines = page.lines().map(|line| match row(line) {
        Some((number, fault, _)) if scenarios.contains_key(&number) => {
            let names: Vec<String> = scenarios[&number].iter().map(|name| format!("`{name}`")).collect();
            format!("| F-{number:02} | {fault} | {} |", names.join(", "))
        }
        Some(_) | None => line.to_owned(),
    });
    lines.chain([String::new()]).collect::<Vec<_>>().join("\n")
}

pub(super) fn loose(files: &[File]) -> Vec<String> {
    let (page, scenarios) = (page(files), scenarios(files));
    let mut complaints = Vec::new();
    let mut known = BTreeSet::new();
    for (number, _, last) in page.lines().filter_map(row) {
        if !known.insert(number) {
            complaints.push(format!("F-{number:02} is there twice"));
        }
        if !scenarios.contains_key(&number) && !last.starts_with(NOT_YET) {
            complaints.push(format!("F-{number:02}: no scenario, and no reason"));
        }
    }
    let wanted = IN_SCOPE.iter().flat_map(|(from, through)| *from..=*through);
    let wanted: BTreeSet<u32> = wanted.chain(scenarios.keys().copied()).collect();
    complaints
        .extend(wanted.difference(&known).map(|number| format!("F-{number:02} is not in the catalogue")));
    if rewritten(page, files) != page {
        complaints.push("the scenarios of the catalogue are old".to_owned());
    }
    complaints
}

/// A page with every row, and a test for the first one.
pub(super) fn good() -> Vec<File> {
    let rows = IN_SCOPE.iter().flat_map(|(from, through)| *from..=*through).map(|number| match number {
        1 => "| F-01 | a fault | `f_01_is_met` |\n".to_owned(),
        _ => format!("| F-{number:02} | a fault | not yet: why |\n"),
    });
    let test = format!("//! A test.\n{} f_01_is_met() {{}}\n", "fn");
    tree(&[(GUARANTEES, &rows.collect::<String>()), ("shard/tests/f.rs", &test)])
}

/// What is spoilt in the good page and its test, by what, and part of the complaint about it.
pub(super) const SPOILT: &[(&str, &str, &str)] = &[
    ("`f_01_is_met`", "`f_01_is_not`", "are old"),
    ("`f_01_is_met`", "not yet: why", "are old"),
    ("f_01_is_met()", "f_02_is_met()", "F-01: no scenario"),
    ("f_01_is_met()", "f_99_is_met()", "F-99 is not in the catalogue"),
    ("| F-02 | a fault | not yet: why |", "| F-02 | a fault | - |", "F-02: no scenario"),
    ("| F-02 | a fault | not yet: why |\n", "", "F-02 is not in the catalogue"),
    ("| F-02 |", "| F-03 |", "F-03 is there twice"),
];

pub(super) fn bad() -> Vec<Vec<File>> {
    let spoil = |(old, new, _): &(&str, &str, &str)| {
        let mut files = good();
        assert!(files.iter().any(|file| file.text.contains(old)), "nothing to spoil: {old}");
        for file in &mut files {
            file.text = file.text.replacen(old, new, 1);
        }
        files
    };
    SPOILT.iter().map(spoil).collect()
}

#[test]
fn what_is_wrong_with_the_catalogue_is_named() {
    assert_eq!(loose(&good()), Vec::<String>::new());
    for (files, (_, _, wanted)) in bad().iter().zip(SPOILT) {
        let complaints = loose(files);
        assert!(complaints.iter().any(|what| what.contains(wanted)), "{wanted:?} expected: {complaints:?}");
    }
}
