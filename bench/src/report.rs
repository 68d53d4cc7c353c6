//! The result of a run: flat keys with numbers or texts, as a table for people and JSON for programs.
//!
//! Invariants
//! - A key is written once; the JSON keeps every key that the table shows.
//! - Numbers in JSON are plain: no units inside, the unit is the key's last part.

use crate::histogram::Summary;
use serde_json::{Map, Value};

/// Keys and values in the order in which they were put.
#[derive(Clone, Debug, Default)]
pub struct Report {
    entries: Vec<(String, Value)>,
}

impl Report {
    /// An empty one that names its command.
    pub fn new(command: &str) -> Self {
        let mut report = Self::default();
        report.text("command", command);
        report
    }

    /// Puts a number, rounded to three digits behind the point.
    pub fn number(&mut self, key: &str, number: f64) {
        let rounded = (number * 1_000.0).round() / 1_000.0;
        self.put(key, Value::from(rounded));
    }

    /// Puts a count.
    pub fn count(&mut self, key: &str, count: u64) {
        self.put(key, Value::from(count));
    }

    /// Puts a text.
    pub fn text(&mut self, key: &str, text: &str) {
        self.put(key, Value::from(text));
    }

    /// Puts a yes or no.
    pub fn flag(&mut self, key: &str, flag: bool) {
        self.put(key, Value::from(flag));
    }

    /// Puts `prefix.p50_us`, `.p99_us`, `.p999_us` and `.max_us`.
    pub fn summary(&mut self, prefix: &str, summary: Summary) {
        self.number(&format!("{prefix}.p50_us"), summary.p50_us);
        self.number(&format!("{prefix}.p99_us"), summary.p99_us);
        self.number(&format!("{prefix}.p999_us"), summary.p999_us);
        self.number(&format!("{prefix}.max_us"), summary.max_us);
    }

    /// Puts `over / under` if both are there and `under` is not zero: a ratio to nothing is not reported.
    pub fn ratio(&mut self, key: &str, over: &str, under: &str) {
        if let (Some(over), Some(under)) = (self.value(over), self.value(under))
            && under > 0.0
        {
            self.number(key, over / under);
        }
    }

    /// The number under a key.
    pub fn value(&self, key: &str) -> Option<f64> {
        self.entries.iter().find(|(name, _)| name == key)?.1.as_f64()
    }

    /// Takes over everything that `other` holds, except what is here already.
    pub fn extend(&mut self, other: Self) {
        for (key, value) in other.entries {
            if !self.entries.iter().any(|(name, _)| *name == key) {
                self.entries.push((key, value));
            }
        }
    }

    /// The same with every key behind this one.
    #[must_use]
    pub fn under(mut self, prefix: &str) -> Self {
        for (name, _) in &mut self.entries {
            *name = format!("{prefix}.{name}");
        }
        self
    }

    /// The same without keys that begin with one of these.
    #[must_use]
    pub fn without(mut self, prefixes: &[&str]) -> Self {
        self.entries.retain(|(name, _)| !prefixes.iter().any(|prefix| name.starts_with(prefix)));
        self
    }

    /// One JSON object with flat keys, sorted.
    pub fn json(&self) -> String {
        let map: Map<String, Value> = self.entries.iter().cloned().collect();
        serde_json::to_string_pretty(&Value::Object(map)).unwrap_or_else(|error| {
            unreachable!("numbers and texts are always JSON: {error}");
        })
    }

    /// A table of two columns.
    pub fn table(&self) -> String {
        let mut table = comfy_table::Table::new();
        table.load_style(comfy_table::presets::UTF8_BORDERS_ONLY);
        for (key, value) in self.rows() {
            table.add_row([key.to_owned(), value]);
        }
        table.to_string()
    }

    /// Keys and values as people read them, in the order in which they were put.
    pub fn rows(&self) -> impl Iterator<Item = (&str, String)> {
        self.entries.iter().map(|(key, value)| (key.as_str(), plain(value)))
    }

    fn put(&mut self, key: &str, value: Value) {
        assert!(!self.entries.iter().any(|(name, _)| name == key), "report key {key} is put twice");
        self.entries.push((key.to_owned(), value));
    }
}

fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

#[cfg(test)]
mod tests;
