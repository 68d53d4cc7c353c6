//! The default file with a comment for every key, and the operators' table: both made from the `sections!` table.

use super::{Config, DESCRIPTIONS};
use std::fmt::Write as _;

/// A section's description.
pub(crate) struct Section {
    /// Its name in the file.
    pub(crate) name: &'static str,
    /// Its description, line by line.
    pub(crate) about: &'static [&'static str],
    /// Its keys, in order.
    pub(crate) keys: &'static [Key],
}

/// A key's description.
pub(crate) struct Key {
    /// Its name in the file.
    pub(crate) name: &'static str,
    /// Its description, line by line.
    pub(crate) about: &'static [&'static str],
}

/// The default of every key, as TOML values by section.
pub(crate) fn default_values() -> toml::Table {
    values(&Config::default())
}

/// The value of every key, as TOML values by section.
pub(crate) fn values(config: &Config) -> toml::Table {
    toml::Table::try_from(config).unwrap_or_else(|error| panic!("a configuration is not TOML: {error}"))
}

/// The default of one key.
fn default_of(values: &toml::Table, section: &Section, key: &Key) -> String {
    let value = values.get(section.name).and_then(|keys| keys.get(key.name));
    value.unwrap_or_else(|| panic!("{}.{} has no default", section.name, key.name)).to_string()
}

/// The whole default file, commented.
pub fn default_file() -> String {
    let values = default_values();
    let mut text = String::from(
        "# Iris configuration. Every key has its default here; what is left out keeps it.\n\
         # Above this file: the environment (IRIS__SERVER__SHARDS=4), and above that --set server.shards=4.\n",
    );
    for section in DESCRIPTIONS {
        text.push('\n');
        section.about.iter().for_each(|line| comment(&mut text, line));
        push_line(&mut text, format_args!("[{}]", section.name));
        for key in section.keys {
            key.about.iter().for_each(|line| comment(&mut text, line));
            push_line(&mut text, format_args!("{} = {}", key.name, default_of(&values, section, key)));
        }
    }
    text
}

/// The operators' table, Markdown: key, default, meaning.
pub fn table() -> String {
    let values = default_values();
    let mut text = String::from("| key | default | meaning |\n|---|---|---|\n");
    for section in DESCRIPTIONS {
        for key in section.keys {
            let about: Vec<&str> = key.about.iter().map(|line| line.trim()).collect();
            let default = default_of(&values, section, key);
            let name = format_args!("{}.{}", section.name, key.name);
            push_line(&mut text, format_args!("| `{name}` | `{default}` | {} |", about.join(" ")));
        }
    }
    text
}

fn comment(text: &mut String, line: &str) {
    push_line(text, format_args!("# {}", line.trim()));
}

fn push_line(text: &mut String, line: std::fmt::Arguments<'_>) {
    writeln!(text, "{line}").unwrap_or_else(|error| panic!("writing to a string failed: {error}"));
}
