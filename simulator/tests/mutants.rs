//! The list of mutants in docs/GUARANTEES.md is the shard's own.
#![cfg(test)]

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

fn read(path: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path)).unwrap()
}

/// Proves: G-SIM-2 (the list of mutants is the shard's own)
/// Seen to fail when: a mutant is taken out of the page, or a row of the page names none.
#[test]
fn f_84_the_page_names_every_mutant_and_no_other() {
    let source = read("shard/src/mutant.rs");
    let listed = source.split_once("mutants! {\n    ///").unwrap().1.split_once("\n}\n").unwrap().0;
    let names = listed.lines().filter_map(|line| line.trim().strip_suffix(','));
    let names: BTreeSet<&str> = names.filter(|name| name.chars().all(char::is_alphanumeric)).collect();
    assert!(names.len() >= 50, "{names:?}");
    let page = read("docs/GUARANTEES.md");
    let table = page.split_once("| switched off |").unwrap().1.split_once("\n\n").unwrap().0;
    let rows: BTreeSet<&str> = table
        .lines()
        .filter_map(|row| row.strip_prefix("| `")?.split_once('`'))
        .map(|(name, _)| name)
        .collect();
    assert_eq!(rows, names);
}
