//! `compare`: two reports side by side, and conditions that fail the comparison.
//!
//! Invariants
//! - A condition on a key that a report does not have fails: a gate that measures nothing must not pass.
//! - So does a file of conditions that has none for the report.

use crate::error::BenchError;
use crate::options::CompareArgs;
use crate::output::publish;
use crate::report::Report;
use serde_json::{Map, Value};
use std::fs;
use std::path::Path;
use std::str::FromStr;
use std::time::Duration;

/// Compares.
///
/// # Errors
/// A report cannot be read, a condition is not one, or [`BenchError::Verdict`] if one holds.
pub fn run(args: &CompareArgs) -> Result<(), BenchError> {
    let mut conditions: Vec<Condition> =
        args.fail_if.iter().map(|text| text.parse().map_err(BenchError::Usage)).collect::<Result<_, _>>()?;
    if let Some(file) = &args.conditions {
        conditions.extend(conditions_of(file, &args.base)?);
    }
    let (base, next) = (load(&args.base)?, load(&args.next)?);
    let mut report = Report::new("compare");
    for (key, value) in &next {
        if let (Some(after), Some(before)) = (value.as_f64(), base.get(key).and_then(Value::as_f64)) {
            let change = if before == 0.0 { 0.0 } else { 100.0 * (after / before - 1.0) };
            report.text(key, &format!("{before} -> {after} ({change:+.1} %)"));
        }
    }
    publish(&report, &[], Duration::ZERO, &args.output)?;
    let failed: Vec<String> =
        conditions.iter().filter_map(|condition| condition.complaint(&base, &next)).collect();
    if failed.is_empty() { Ok(()) } else { Err(BenchError::Verdict(failed.join("; "))) }
}

fn load(path: &Path) -> Result<Map<String, Value>, BenchError> {
    let wrong = |problem: String| BenchError::Input { path: path.to_owned(), problem };
    let text = fs::read_to_string(path).map_err(|error| wrong(error.to_string()))?;
    serde_json::from_str(&text).map_err(|error| wrong(format!("no report: {error}")))
}

/// The conditions for the report to compare with, known by its file's name.
fn conditions_of(file: &Path, base: &Path) -> Result<Vec<Condition>, BenchError> {
    let wrong = |problem: String| BenchError::Input { path: file.to_owned(), problem };
    let text = fs::read_to_string(file).map_err(|error| wrong(error.to_string()))?;
    let all = conditions(&text).map_err(wrong)?;
    let name = base.file_stem().unwrap_or_default().to_string_lossy();
    let own: Vec<Condition> =
        all.into_iter().filter(|(report, _)| *report == name).map(|(_, condition)| condition).collect();
    if own.is_empty() { Err(wrong(format!("no condition for {name}"))) } else { Ok(own) }
}

/// Reads lines of a report's name and a condition; `#` begins a comment.
fn conditions(text: &str) -> Result<Vec<(String, Condition)>, String> {
    let lines = text.lines().map(|line| line.split('#').next().unwrap_or_default().trim());
    let read = |line: &str| {
        let (report, condition) =
            line.split_once(char::is_whitespace).ok_or_else(|| format!("{line:?} has no condition"))?;
        Ok((report.to_owned(), condition.parse()?))
    };
    lines.filter(|line| !line.is_empty()).map(read).collect()
}

/// What a value may not exceed or fall below.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Limit {
    Value(f64),
    TimesBase(f64),
    MoreThanBase(f64),
}

/// A condition under which the comparison fails.
#[derive(Clone, Debug, PartialEq)]
struct Condition {
    key: String,
    above: bool,
    limit: Limit,
}

impl FromStr for Condition {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || {
            format!(
                "{text:?} is no condition, such as ratio.cpu>1.1x, rate.held<0.95x, allocations>+0.5 or lost>0"
            )
        };
        let at = text.find(['>', '<']).ok_or_else(wrong)?;
        let (key, rest) = text.split_at(at);
        let (above, limit) = (rest.starts_with('>'), rest[1..].trim());
        let (number, times) = limit.strip_suffix('x').map_or((limit, false), |number| (number, true));
        let number: f64 = number.trim().parse().map_err(|_| wrong())?;
        let limit = match (times, limit.starts_with('+')) {
            (true, _) => Limit::TimesBase(number),
            (false, true) => Limit::MoreThanBase(number),
            (false, false) => Limit::Value(number),
        };
        let key = key.trim().to_owned();
        if key.is_empty() { Err(wrong()) } else { Ok(Self { key, above, limit }) }
    }
}

impl Condition {
    /// Why this condition fails the comparison, if it does.
    fn complaint(&self, base: &Map<String, Value>, next: &Map<String, Value>) -> Option<String> {
        let key = &self.key;
        let Some(value) = next.get(key).and_then(Value::as_f64) else {
            return Some(format!("{key} is not in the report that is judged"));
        };
        let before = base.get(key).and_then(Value::as_f64);
        let limit = match (self.limit, before) {
            (Limit::Value(limit), _) => limit,
            (Limit::TimesBase(factor), Some(before)) => before * factor,
            (Limit::MoreThanBase(more), Some(before)) => before + more,
            (Limit::TimesBase(_) | Limit::MoreThanBase(_), None) => {
                return Some(format!("{key} is not in the report to compare with"));
            }
        };
        let failed = if self.above { value > limit } else { value < limit };
        let relation = if self.above { "above" } else { "below" };
        failed.then(|| format!("{key} is {value}, {relation} {limit:.3}"))
    }
}

#[cfg(test)]
mod tests;
