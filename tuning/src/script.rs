//! The same as a shell script, which can be read first, kept, and run again after a boot.
//!
//! Invariants
//! - The script holds what the host's findings ask for, and nothing else; running it twice changes nothing more.
//! - With a directory as its argument it writes below that and runs no command of the host.

use crate::finding::{Finding, Remedy};
use std::fmt::Write as _;

/// Where sysctls are kept over a boot.
const SYSCTLS: &str = "/etc/sysctl.d/90-iris.conf";
/// Where the limits of the gateway's service are kept.
const LIMITS: &str = "/etc/systemd/system/iris-gateway.service.d/limits.conf";

/// A POSIX shell script that does what these findings say.
pub fn script(findings: &[Finding], summary: &str) -> String {
    let remedies: Vec<&Remedy> = findings.iter().filter_map(|finding| finding.remedy.as_ref()).collect();
    let mut text = String::from(
        "#!/bin/sh\n# Settings for an Iris gateway, made by iris-tuning. To be run as root, again after each boot: what is\n\
         # written below /sys does not last. An argument is a directory to write below, instead of this host.\n",
    );
    for line in summary.lines() {
        add(&mut text, format_args!("# {line}"));
    }
    text.push_str("set -eu\nroot=${1:-}\n");
    sysctls(&mut text, &remedies);
    kernel_files(&mut text, &remedies);
    limits(&mut text, &remedies);
    for remedy in remedies {
        if let Remedy::Advice(advice) = remedy {
            add(&mut text, format_args!("echo {} >&2", quoted(&format!("yours: {advice}"))));
        }
    }
    text
}

fn sysctls(text: &mut String, remedies: &[&Remedy]) {
    let mut lines = String::new();
    for remedy in remedies {
        if let Remedy::Sysctl { key, value } = remedy {
            add(&mut lines, format_args!("{key} = {value}"));
        }
    }
    if !lines.is_empty() {
        file(text, SYSCTLS, &lines);
        add(text, format_args!("[ -n \"$root\" ] || sysctl -p {SYSCTLS}"));
    }
}

fn kernel_files(text: &mut String, remedies: &[&Remedy]) {
    for remedy in remedies {
        if let Remedy::Kernel { path, value } = remedy {
            let write = format!("[ ! -e \"$file\" ] || echo {} > \"$file\"", quoted(value));
            add(text, format_args!("for file in \"$root\"/{path}; do {write}; done"));
        }
    }
}

fn limits(text: &mut String, remedies: &[&Remedy]) {
    let mut lines = String::new();
    for remedy in remedies {
        match remedy {
            Remedy::OpenFiles(limit) => add(&mut lines, format_args!("LimitNOFILE={limit}")),
            Remedy::LockedBytes(bytes) => add(&mut lines, format_args!("LimitMEMLOCK={bytes}")),
            Remedy::Sysctl { .. } | Remedy::Kernel { .. } | Remedy::Advice(_) => {}
        }
    }
    if !lines.is_empty() {
        file(text, LIMITS, &format!("[Service]\n{lines}"));
        add(
            text,
            format_args!("[ -n \"$root\" ] || ! command -v systemctl >/dev/null || systemctl daemon-reload"),
        );
    }
}

/// Writes a file with this text.
fn file(text: &mut String, path: &str, content: &str) {
    add(text, format_args!("mkdir -p \"$root\"\"$(dirname {path})\""));
    add(text, format_args!("cat > \"$root\"{path} <<'END'\n{content}END"));
}

/// One word of a shell, whatever is in it.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "'\\''"))
}

fn add(text: &mut String, line: std::fmt::Arguments<'_>) {
    // Writing into a String cannot fail.
    let _ = writeln!(text, "{line}");
}
