//! `compare`: two reports side by side, and conditions that fail the comparison.
//!
//! Invariants
//! - A condition on a key that a report does not have fails: a gate that measures nothing must not pass.

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
    let conditions: Vec<Condition> =
        args.fail_if.iter().map(|text| text.parse().map_err(BenchError::Usage)).collect::<Result<_, _>>()?;
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

/// What a value may not exceed or fall below.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Limit {
    Value(f64),
    TimesBase(f64),
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
        let wrong =
            || format!("{text:?} is no condition, such as delivery.p99_us>1.1x or rate.held<0.95x or lost>0");
        let at = text.find(['>', '<']).ok_or_else(wrong)?;
        let (key, rest) = text.split_at(at);
        let (above, limit) = (rest.starts_with('>'), rest[1..].trim());
        let (number, times) = limit.strip_suffix('x').map_or((limit, false), |number| (number, true));
        let number: f64 = number.trim().parse().map_err(|_| wrong())?;
        let limit = if times { Limit::TimesBase(number) } else { Limit::Value(number) };
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
        let limit = match self.limit {
            Limit::Value(limit) => limit,
            Limit::TimesBase(factor) => match base.get(key).and_then(Value::as_f64) {
                Some(before) => before * factor,
                None => return Some(format!("{key} is not in the report to compare with")),
            },
        };
        let failed = if self.above { value > limit } else { value < limit };
        let relation = if self.above { "above" } else { "below" };
        failed.then(|| format!("{key} is {value}, {relation} {limit:.3}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(text: &str) -> Map<String, Value> {
        serde_json::from_str(text).unwrap()
    }

    fn complaint(condition: &str) -> Option<String> {
        let base = report(r#"{"delivery.p99_us":100.0,"rate.held":30000,"lost":0}"#);
        let next = report(r#"{"delivery.p99_us":111.0,"rate.held":29000,"lost":0,"text":"5"}"#);
        condition.parse::<Condition>().unwrap().complaint(&base, &next)
    }

    /// Limits are absolute or relative to the base, from above or from below.
    /// Seen to fail when: `1.1x` is read as 1.1.
    #[test]
    fn conditions_are_judged_against_the_base() {
        assert!(complaint("delivery.p99_us>1.1x").is_some());
        assert_eq!(complaint("delivery.p99_us>1.2x"), None);
        assert_eq!(complaint("delivery.p99_us > 112"), None);
        assert!(complaint("rate.held<0.97x").is_some());
        assert_eq!(complaint("rate.held<0.95x"), None);
        assert_eq!(complaint("lost>0"), None);
    }

    /// A key that is missing, or is no number, fails.
    /// Seen to fail when: a missing key is skipped.
    #[test]
    fn a_missing_figure_fails() {
        assert!(complaint("ack.p99_us>5").is_some());
        assert!(complaint("text>5").is_some());
        assert!(complaint("text>2x").is_some());
    }

    /// What is no condition is refused.
    /// Seen to fail when: a missing number is taken for 0.
    #[test]
    fn nonsense_is_refused() {
        for text in ["", "p99", ">5", "p99>", "p99>fast", "p99>1.1y"] {
            assert!(text.parse::<Condition>().is_err(), "{text}");
        }
    }
}
