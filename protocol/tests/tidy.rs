//! Rules about the whole workspace that no compiler checks: sizes, heads, arrows, guarantees, pages.
//!
//! Invariants
//! - A rule is a pure function of the files; each has samples that it must complain about.
//! - Forbidden words are put together from halves here, so that this file keeps its own rules.
#![cfg(test)]

#[path = "tidy/faults.rs"]
mod faults;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// Most lines of a source file.
const LINES_MAX: usize = 800;
/// The page of guarantees.
const GUARANTEES: &str = "docs/GUARANTEES.md";
/// What writes the lists of tests on that page.
const WRITE: &str = "IRIS_WRITE_DOCS";

/// Which crates of the workspace a crate may depend on, and which its tests may besides.
const ARROWS: &[(&str, &[&str], &[&str])] = &[
    ("protocol", &[], &[]),
    ("storage", &["protocol"], &[]),
    ("shard", &["protocol", "storage"], &[]),
    ("simulator", &["protocol", "storage", "shard", "client"], &[]),
    ("reactor", &[], &[]),
    ("tuning", &[], &[]),
    ("tls", &[], &[]),
    ("gateway", &["protocol", "storage", "shard", "reactor", "tls", "tuning"], &["client"]),
    ("client", &["protocol"], &[]),
    ("bench", &["protocol", "client", "reactor", "tls"], &[]),
];
/// Crates that only some may name: third party, and who may.
const RESERVED: &[(&str, &[&str])] =
    &[("io-uring", &["reactor"]), ("monoio", &["bench"]), ("glommio", &["bench"]), ("rocksdb", &["storage"])];

/// The only code outside the reactor that is unsafe: a test's way to RocksDB's fault injection.
const FAULT_SHIM: &str = "storage/src/tables/tests/power.rs";

/// A text file: its path from the workspace's root, and its text.
struct File {
    path: String,
    text: String,
}

/// A rule, and trees of files that it must complain about.
struct Rule {
    name: &'static str,
    judge: fn(&[File]) -> Vec<String>,
    bad: fn() -> Vec<Vec<File>>,
}

const RULES: &[Rule] = &[
    Rule {
        name: "a source file has at most 800 lines",
        judge: long_files,
        bad: || vec![tree(&[("shard/src/a.rs", &"\n".repeat(LINES_MAX + 1))])],
    },
    Rule {
        name: "a source file begins with what it is for",
        judge: missing_heads,
        bad: || {
            vec![
                tree(&[("shard/src/a.rs", "use b;\n//! Late.")]),
                tree(&[("shard/src/a.rs", "//!\nuse b;")]),
                tree(&[("shard/src/lib.rs", "//! Without what must stay true.")]),
            ]
        },
    },
    Rule {
        name: "nothing is left unfinished",
        judge: unfinished,
        bad: || {
            let words = [
                concat!("FIX", "ME"),
                concat!("TO", "DO"),
                concat!("to", "do!()"),
                concat!("unimple", "mented!()"),
            ];
            words.iter().map(|word| tree(&[("scripts/a", word)])).collect()
        },
    },
    Rule {
        name: "only the reactor names io_uring",
        judge: named_rings,
        bad: || {
            let text = concat!("use io_", "uring::opcode;");
            vec![tree(&[("gateway/src/a.rs", text)]), tree(&[("bench/src/a.rs", text)])]
        },
    },
    Rule {
        name: "dependencies point one way",
        judge: wrong_arrows,
        bad: || {
            vec![
                tree(&[(
                    "shard/Cargo.toml",
                    "[package]\nname = \"iris-shard\"\n[dependencies]\niris-gateway.workspace = true",
                )]),
                tree(&[(
                    "shard/Cargo.toml",
                    "[package]\nname = \"iris-shard\"\n[dev-dependencies]\niris-client = { path = \"../client\" }",
                )]),
                tree(&[(
                    "shard/Cargo.toml",
                    "[package]\nname = \"iris-shard\"\n[dependencies.iris-tuning]\nworkspace = true",
                )]),
                tree(&[(
                    "shard/Cargo.toml",
                    "[package]\nname = \"iris-shard\"\n[target.\"cfg(unix)\".dependencies]\nio-uring = \"0.7\"",
                )]),
                tree(&[(
                    "bench/Cargo.toml",
                    "[package]\nname = \"iris-bench\"\n[dependencies]\nmonoio.workspace = true",
                )]),
                tree(&[(
                    "shard/Cargo.toml",
                    "[package]\nname = \"iris-shard\"\n[dependencies]\niris-storage = { workspace = true, features = [\"rocks\"] }",
                )]),
                tree(&[(
                    "Cargo.toml",
                    "[workspace.dependencies]\niris-storage = { path = \"storage\", features = [\"rocks\"] }",
                )]),
                tree(&[("shard/Cargo.toml", "[package]\nname = \"shard\"")]),
                tree(&[("util/Cargo.toml", "[package]\nname = \"iris-util\"")]),
            ]
        },
    },
    Rule {
        name: "only the reactor is unsafe",
        judge: unsafe_code,
        bad: || {
            let block = concat!("fn f() { uns", "afe { g() } }");
            let allowed = concat!("#![allow(", "unsafe_code)]");
            vec![
                tree(&[("storage/src/a.rs", block)]),
                tree(&[("shard/src/a.rs", allowed)]),
                tree(&[("shard/src/fault.rs", block)]),
            ]
        },
    },
    Rule {
        name: "a module lies beside its folder",
        judge: module_files,
        bad: || vec![tree(&[("shard/src/a/mod.rs", "//! A.")])],
    },
    Rule { name: "guarantees and tests name each other", judge: loose_guarantees, bad: bad_guarantees },
    Rule { name: "faults and scenarios name each other", judge: faults::loose, bad: faults::bad },
    Rule {
        name: "no path of one machine is written down",
        judge: machine_paths,
        bad: || {
            let paths = [concat!("/ro", "ot/x"), concat!("/ho", "me/x"), concat!("/wo", "rk/x")];
            paths.iter().map(|path| tree(&[("scripts/a", path)])).collect()
        },
    },
    Rule {
        name: "the README has a table of figures",
        judge: missing_figures,
        bad: || {
            vec![
                tree(&[("README.md", "# Iris\n")]),
                tree(&[("README.md", "## Figures\n\n## Next\n| a |\n|---|\n| b |\n")]),
                tree(&[("README.md", "## Figures\n\n| a |\n|---|\n")]),
            ]
        },
    },
    Rule {
        name: "every page that is named exists",
        judge: dead_pages,
        bad: || {
            vec![
                tree(&[("README.md", concat!("see [it](no-such", ".md)"))]),
                tree(&[("shard/src/a.rs", concat!("//! See docs/no-such", ".md."))]),
            ]
        },
    },
    Rule {
        name: "every decision is in the index",
        judge: lost_decisions,
        bad: || {
            vec![tree(&[
                ("docs/decisions/README.md", "none"),
                (concat!("docs/decisions/0001-a", ".md"), "# A"),
            ])]
        },
    },
];

/// Seen to fail when: any file breaks any rule, each of which was tried through its samples.
#[test]
fn the_workspace_keeps_every_rule() {
    let files = workspace();
    assert!(files.len() > 50, "only {} files were found", files.len());
    if std::env::var_os(WRITE).is_some() {
        let page = faults::rewritten(&rewritten(page(&files), &proofs(&files)), &files);
        fs::write(root().join(GUARANTEES), page).expect("the page is written");
        return;
    }
    let judged = RULES
        .iter()
        .flat_map(|rule| (rule.judge)(&files).into_iter().map(|what| format!("{}: {what}", rule.name)));
    let complaints: Vec<String> = judged.collect();
    assert!(complaints.is_empty(), "{} complaints:\n{}", complaints.len(), complaints.join("\n"));
}

/// Seen to fail when: a rule answers without looking.
#[test]
fn every_rule_complains_about_its_bad_samples() {
    for rule in RULES {
        let samples = (rule.bad)();
        assert!(!samples.is_empty(), "no sample for: {}", rule.name);
        for (index, sample) in samples.iter().enumerate() {
            assert!(!(rule.judge)(sample).is_empty(), "sample {index} passed: {}", rule.name);
        }
    }
}

/// Seen to fail when: an id that is there twice, or without a test, is let through.
#[test]
fn what_is_wrong_with_a_guarantee_is_named() {
    for (files, (_, _, wanted)) in bad_guarantees().iter().zip(SPOILT) {
        let complaints = loose_guarantees(files);
        assert!(complaints.iter().any(|what| what.contains(wanted)), "{wanted:?} expected: {complaints:?}");
    }
}

/// Seen to fail when: the exception of bench's rivals, of storage's fault shim, or of the client in gateway's tests is taken out.
#[test]
fn no_rule_complains_about_what_is_allowed() {
    let ring = concat!("//! A rival.\nuse io_", "uring::opcode;");
    let shim = concat!("//! A shim.\nfn f() { uns", "afe { g() } }");
    let gateway = "[package]\nname = \"iris-gateway\"\n[dependencies]\niris-storage = { workspace = true, features = [\"rocks\"] }\n[dev-dependencies]\niris-client.workspace = true";
    let rivals =
        "[package]\nname = \"iris-bench\"\n[dependencies]\nmonoio = { workspace = true, optional = true }";
    let mut files = tree(&[
        ("bench/src/rivals/monoio.rs", ring),
        (FAULT_SHIM, shim),
        ("shard/src/a/tests.rs", "use super::a;"),
        ("gateway/Cargo.toml", gateway),
        ("bench/Cargo.toml", rivals),
        ("README.md", "## Figures\n\n| measure | figure |\n|---|---|\n| a | 1 |\n"),
        ("docs/decisions/README.md", concat!("[0001](0001-a", ".md)")),
        (concat!("docs/decisions/0001-a", ".md"), "see docs/decisions/README.md"),
    ]);
    files.extend(good_guarantees());
    let catalogue = faults::good();
    for (file, more) in files.iter_mut().filter(|file| file.path == GUARANTEES).zip(&catalogue) {
        file.text.push('\n');
        file.text.push_str(&more.text);
    }
    files.extend(catalogue.into_iter().skip(1));
    for rule in RULES {
        assert_eq!((rule.judge)(&files), Vec::<String>::new(), "{}", rule.name);
    }
}

/// Seen to fail when: the old list is kept beside the new one.
#[test]
fn the_lists_of_tests_are_written_once_and_stay() {
    let files = good_guarantees();
    let proofs = proofs(&files);
    let once = rewritten(page(&files), &proofs);
    assert_eq!(once, page(&files), "a page that is right is left as it is");
    let without = once.lines().filter(|line| !line.contains('`')).collect::<Vec<_>>().join("\n");
    assert_eq!(rewritten(&without, &proofs), once);
}

// --- the files ---

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Every text file of the workspace that is not ignored, sorted by path.
fn workspace() -> Vec<File> {
    let ignored = fs::read_to_string(root().join(".gitignore")).expect("the workspace has a .gitignore");
    let mut files = Vec::new();
    let mut folders = vec![String::new()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(root().join(&folder)).expect("a readable folder") {
            let entry = entry.expect("a readable entry");
            let path = format!("{folder}{}", entry.file_name().to_string_lossy());
            if path == ".git" || is_ignored(&path, &ignored) {
                continue;
            }
            if entry.file_type().expect("a file type").is_dir() {
                folders.push(path + "/");
            } else if let Some(text) =
                fs::read(root().join(&path)).ok().and_then(|bytes| String::from_utf8(bytes).ok())
            {
                files.push(File { path, text });
            }
        }
    }
    files.sort_by(|a, b| a.path.cmp(&b.path));
    files
}

/// Understands the forms that this workspace uses: `/path`, `name/`, `name` and `*.ending`.
fn is_ignored(path: &str, ignored: &str) -> bool {
    ignored.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')).any(|line| {
        let name = path.rsplit('/').next().unwrap_or(path);
        match (line.strip_prefix('/'), line.strip_prefix('*')) {
            (Some(from_root), _) => path == from_root.trim_end_matches('/'),
            (None, Some(ending)) => name.ends_with(ending),
            (None, None) => name == line.trim_end_matches('/'),
        }
    })
}

fn tree(files: &[(&str, &str)]) -> Vec<File> {
    files.iter().map(|(path, text)| File { path: (*path).to_owned(), text: (*text).to_owned() }).collect()
}

fn sources(files: &[File]) -> impl Iterator<Item = &File> {
    files.iter().filter(|file| has_ending(file, "rs"))
}

fn has_ending(file: &File, ending: &str) -> bool {
    Path::new(&file.path).extension().is_some_and(|found| found == ending)
}

/// The crate's folder that a file lies in.
fn folder(file: &File) -> &str {
    file.path.split('/').next().unwrap_or_default()
}

/// A complaint for each line of `files` that `is_bad`.
fn lines<'a>(files: impl Iterator<Item = &'a File>, is_bad: impl Fn(&str) -> bool) -> Vec<String> {
    let mut complaints = Vec::new();
    for file in files {
        for (index, line) in file.text.lines().enumerate().filter(|(_, line)| is_bad(line)) {
            complaints.push(format!("{}:{}: {}", file.path, index + 1, line.trim()));
        }
    }
    complaints
}

// --- the rules ---

fn long_files(files: &[File]) -> Vec<String> {
    let long = sources(files).map(|file| (file, file.text.lines().count()));
    long.filter(|(_, count)| *count > LINES_MAX)
        .map(|(file, count)| format!("{}: {count} lines", file.path))
        .collect()
}

/// The head of a crate says what must stay true, too. For `x/tests.rs` the head of `x.rs` speaks.
fn missing_heads(files: &[File]) -> Vec<String> {
    let mut complaints = Vec::new();
    for file in sources(files).filter(|file| !file.path.ends_with("/tests.rs")) {
        let head: Vec<&str> = file.text.lines().take_while(|line| line.starts_with("//!")).collect();
        if head.first().is_none_or(|line| line.len() < "//! For it".len()) {
            complaints.push(format!("{}: no module head", file.path));
        }
        if file.path.ends_with("src/lib.rs") && !head.iter().any(|line| line.contains("Invariants")) {
            complaints.push(format!("{}: its head does not say what must stay true", file.path));
        }
    }
    complaints
}

fn unfinished(files: &[File]) -> Vec<String> {
    let words =
        [concat!("FIX", "ME"), concat!("TO", "DO"), concat!("to", "do!("), concat!("unimple", "mented!(")];
    lines(files.iter(), |line| words.iter().any(|word| line.contains(word)))
}

fn named_rings(files: &[File]) -> Vec<String> {
    let others = sources(files).filter(|file| {
        let is_rival = folder(file) == "bench" && file.path.contains("rival");
        folder(file) != "reactor" && !is_rival
    });
    lines(others, |line| line.contains(concat!("io_", "uring::")))
}

fn unsafe_code(files: &[File]) -> Vec<String> {
    let words =
        ["{", "fn ", "impl", "extern", "trait", "("].map(|next| format!("{} {next}", concat!("uns", "afe")));
    let others = sources(files).filter(|file| folder(file) != "reactor" && file.path != FAULT_SHIM);
    lines(others, |line| {
        let code = line.split("//").next().unwrap_or_default();
        code.contains(concat!("allow(", "unsafe_code")) || words.iter().any(|word| code.contains(word))
    })
}

fn module_files(files: &[File]) -> Vec<String> {
    files.iter().map(|file| file.path.clone()).filter(|path| path.ends_with("/mod.rs")).collect()
}

fn machine_paths(files: &[File]) -> Vec<String> {
    let paths = [concat!("/ro", "ot/"), concat!("/ho", "me/"), concat!("/wo", "rk/")];
    lines(files.iter(), |line| paths.iter().any(|path| line.contains(path)))
}

/// Under its heading: titles, a rule, at least one row.
fn missing_figures(files: &[File]) -> Vec<String> {
    let readme = files.iter().find(|file| file.path == "README.md").map_or("", |file| &file.text);
    let section = readme.lines().skip_while(|line| *line != "## Figures").skip(1);
    let rows =
        section.take_while(|line| !line.starts_with("## ")).filter(|line| line.starts_with('|')).count();
    if rows >= 3 { Vec::new() } else { vec![format!("{rows} lines of a table under \"## Figures\"")] }
}

/// A page may be named by its path from the root, from the file that names it, or by its name alone.
fn dead_pages(files: &[File]) -> Vec<String> {
    let ending = concat!(".", "md");
    let pages: BTreeSet<&str> =
        files.iter().filter(|file| has_ending(file, "md")).map(|file| file.path.as_str()).collect();
    let exists = |name: &str| pages.iter().any(|page| *page == name || page.ends_with(&format!("/{name}")));
    let is_part = |c: char| c.is_ascii_alphanumeric() || "_-./".contains(c);
    lines(files.iter(), |line| {
        let words = line.split(|c| !is_part(c)).map(|word| word.trim_end_matches('.'));
        words
            .filter(|word| word.ends_with(ending) && *word != ending && !line.contains("://"))
            .any(|word| !exists(word.trim_start_matches(['.', '/'])))
    })
}

fn lost_decisions(files: &[File]) -> Vec<String> {
    let index =
        files.iter().find(|file| file.path == "docs/decisions/README.md").map_or("", |file| &file.text);
    let names = files.iter().filter_map(|file| file.path.strip_prefix("docs/decisions/"));
    names
        .filter(|name| *name != "README.md" && !index.contains(&format!("({name})")))
        .map(str::to_owned)
        .collect()
}

/// A dependency in a manifest: its name, the whole line, and whether only tests have it.
struct Dependency<'a> {
    name: &'a str,
    line: &'a str,
    is_dev: bool,
}

fn dependencies(manifest: &str) -> Vec<Dependency<'_>> {
    let mut found = Vec::new();
    let mut section = "";
    for line in manifest.lines().map(str::trim).filter(|line| !line.starts_with('#')) {
        if let Some(header) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            section = header;
            if let Some((kind, name)) = header.rsplit_once("dependencies.") {
                found.push(Dependency { name, line, is_dev: kind.ends_with("dev-") });
            }
        } else if section.ends_with("dependencies")
            && !section.starts_with("workspace")
            && let Some((name, _)) = line.split_once(['=', '.', ' '])
        {
            found.push(Dependency { name: name.trim(), line, is_dev: section.ends_with("dev-dependencies") });
        }
    }
    found
}

fn wrong_arrows(files: &[File]) -> Vec<String> {
    let mut complaints = Vec::new();
    for file in
        files.iter().filter(|file| file.path.ends_with("Cargo.toml") && !file.path.starts_with("fuzz/"))
    {
        let mut complain = |what: &str| complaints.push(format!("{}: {what}", file.path));
        let rocks = |line: &&str| line.contains("iris-storage") && line.contains("rocks");
        if folder(file) != "gateway" {
            file.text.lines().filter(rocks).for_each(&mut complain);
        }
        if file.path == "Cargo.toml" {
            continue;
        }
        let Some((_, normal, dev)) = ARROWS.iter().find(|(crate_folder, ..)| *crate_folder == folder(file))
        else {
            complain("a crate without a place among the arrows");
            continue;
        };
        if !file.text.contains(&format!("name = \"iris-{}\"", folder(file))) {
            complain("the package is not called after its folder");
        }
        for dependency in dependencies(&file.text) {
            let ours = dependency.name.strip_prefix("iris-");
            let may_name =
                ours.is_none_or(|name| normal.contains(&name) || (dependency.is_dev && dev.contains(&name)));
            let reserved = RESERVED.iter().find(|(name, _)| *name == dependency.name);
            let may_use = reserved.is_none_or(|(_, users)| users.contains(&folder(file)));
            let is_rival = reserved.is_some_and(|(_, users)| users.contains(&"bench"));
            if !may_name || !may_use || (is_rival && !dependency.line.contains("optional = true")) {
                complain(dependency.line);
            }
        }
    }
    complaints
}

// --- guarantees ---

/// Each guarantee's id with the tests that name it, as `path::name`.
type Proofs = BTreeMap<String, BTreeSet<String>>;

fn page(files: &[File]) -> &str {
    files.iter().find(|file| file.path == GUARANTEES).map_or("", |file| &file.text)
}

/// Ids of guarantees in a line: a G, a word in capitals and a number, joined by hyphens.
fn ids(line: &str) -> Vec<&str> {
    let words = line.split(|c: char| !c.is_ascii_alphanumeric() && c != '-');
    words
        .filter(|word| {
            let parts: Vec<&str> = word.split('-').collect();
            matches!(parts[..], ["G", name, number] if !name.is_empty() && name.bytes().all(|b| b.is_ascii_uppercase())
                && !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit()))
        })
        .collect()
}

/// What tests say that they prove: the paragraph of their doc comment that begins so, then the function's name.
fn proofs(files: &[File]) -> Proofs {
    let mut proofs = Proofs::new();
    for file in sources(files) {
        let mut claimed = Vec::new();
        let mut is_claim = false;
        for line in file.text.lines().map(str::trim) {
            if let Some(doc) = line.strip_prefix("///").map(str::trim) {
                is_claim = doc.starts_with("Proves:")
                    || (is_claim && !doc.is_empty() && !doc.starts_with("Seen to fail"));
                if is_claim {
                    claimed.extend(ids(doc));
                }
            } else if let Some((_, rest)) = line.split_once("fn ") {
                let name = rest.split(['(', '<']).next().unwrap_or_default();
                for id in claimed.drain(..) {
                    proofs.entry(id.to_owned()).or_default().insert(format!("{}::{name}", file.path));
                }
            } else {
                is_claim = false;
            }
        }
    }
    proofs
}

/// The page with its lists of tests as they should be: each at the end of the list that begins with the scope.
fn rewritten(page: &str, proofs: &Proofs) -> String {
    let is_by_hand = |line: &&str| !line.starts_with("- Tests:") && !line.starts_with("  - `");
    let mut out: Vec<String> = Vec::new();
    let mut id = None;
    let mut is_due = false;
    // The empty line at the end ends the last list; joined, it becomes the last line's end.
    for line in page.lines().filter(is_by_hand).chain([""]) {
        if let Some(title) = line.strip_prefix("### ") {
            id = ids(title).first().copied();
        }
        is_due |= line.starts_with("- Break:");
        if line.is_empty() && std::mem::take(&mut is_due) {
            let tests = id.and_then(|id| proofs.get(id)).into_iter().flatten();
            let list: Vec<String> = tests.map(|test| format!("  - `{test}`")).collect();
            if !list.is_empty() {
                out.push("- Tests:".to_owned());
                out.extend(list);
            }
        }
        out.push(line.to_owned());
    }
    out.join("\n")
}

fn loose_guarantees(files: &[File]) -> Vec<String> {
    let proofs = proofs(files);
    let page = page(files);
    let mut complaints = Vec::new();
    let mut known = BTreeSet::new();
    for section in page.split("\n### ").skip(1) {
        let id = ids(section.lines().next().unwrap_or_default()).first().copied().unwrap_or_default();
        if id.is_empty() || !known.insert(id) {
            complaints.push(format!("{id:?} is no id, or there twice"));
        }
        for part in ["- Scope: ", "- Break: "] {
            if !section.contains(part) {
                complaints.push(format!("{id}: no line {part:?}"));
            }
        }
        if !proofs.contains_key(id) {
            complaints.push(format!("{id}: no test proves it"));
        }
    }
    let named = files.iter().flat_map(|file| ids(&file.text).into_iter().map(move |id| (id, &file.path)));
    let unknown: BTreeSet<_> = named.filter(|(id, _)| !known.contains(id)).collect();
    complaints.extend(unknown.iter().map(|(id, path)| format!("{path}: there is no {id} on the page")));
    if rewritten(page, &proofs) != page {
        complaints.push(format!("the lists of tests are old: run it with {WRITE}=1"));
    }
    complaints
}

fn good_guarantees() -> Vec<File> {
    let test = concat!(
        "//! What is tested.\n/// Proves: G-",
        "ACK-1 (as\n/// G-",
        "ACK-2 is).\n/// Seen to fail when: G\n#[test]\nfn a() {}\n"
    );
    let first = concat!(
        "### G-",
        "ACK-1: A\n\nA.\n\n- Scope: all.\n- Break: one,\n  or another.\n- Tests:\n  - `shard/tests/a.rs::a`\n\n"
    );
    let second = concat!(
        "### G-",
        "ACK-2: B\n\nB.\n\n- Scope: all.\n- Break: two.\n- Tests:\n  - `shard/tests/a.rs::a`\n"
    );
    tree(&[("shard/tests/a.rs", test), (GUARANTEES, &format!("# Guarantees\n\n{first}{second}"))])
}

/// What is spoilt in one place of the good page and its test, by what, and part of the complaint about it.
const SPOILT: &[(&str, &str, &str)] = &[
    ("- Scope: all.", "", "no line \"- Scope: \""),
    ("- Break: two.", "", "no line \"- Break: \""),
    ("shard/tests/a.rs::a", "shard/tests/a.rs::b", "are old"),
    ("  - `shard/tests/a.rs::a`\n", "", "are old"),
    ("fn a()", "fn b()", "are old"),
    ("/// Proves:", "/// Shows:", "no test proves it"),
    (concat!("/// G-", "ACK-2"), concat!("/// G-", "ACK-3"), concat!("there is no G-", "ACK-3")),
    (concat!("### G-", "ACK-2"), concat!("### G-", "ACK-1"), "there twice"),
    (concat!("### G-", "ACK-1: A"), "### A", "is no id"),
    ("# Guarantees", concat!("# Guarantees of G-", "NONE-1"), concat!("there is no G-", "NONE-1")),
];

fn bad_guarantees() -> Vec<Vec<File>> {
    let spoil = |(old, new, _): &(&str, &str, &str)| {
        let mut files = good_guarantees();
        assert!(files.iter().any(|file| file.text.contains(old)), "nothing to spoil: {old}");
        for file in &mut files {
            file.text = file.text.replacen(old, new, 1);
        }
        files
    };
    SPOILT.iter().map(spoil).collect()
}
