//! `top` without a screen: a table or a JSON object, again and again.

use crate::commands::{print, print_json};
use crate::exit::ExitStatus;
use crate::remote::show::{items, table};
use crate::remote::{Remote, RemoteError, gather};
use serde_json::{Map, Value, json};
use std::io::{IsTerminal as _, stdout};
use std::time::{Duration, Instant};

/// Shown as they are.
const LEVELS: &[&str] = &["shard", "connections"];
/// Shown as what they rose by in a second.
const RATES: &[&str] = &["logins", "accepted", "delivered", "acked", "records", "log_bytes", "turns"];
/// To the upper left, and everything away.
const CLEAR: &str = "\u{1b}[H\u{1b}[2J";

/// Until the reader ends it, or so many times.
pub(super) fn run(
    remote: &Remote,
    interval: Duration,
    count: Option<u32>,
) -> Result<ExitStatus, RemoteError> {
    let mut before = gather(remote)?;
    let mut seen_at = Instant::now();
    let mut shown = 0;
    while count.is_none_or(|count| shown < count) {
        std::thread::sleep(interval);
        let now = gather(remote)?;
        let seconds = seen_at.elapsed().as_secs_f64();
        seen_at = Instant::now();
        let rows: Vec<Map<String, Value>> = items(&now.shards)
            .iter()
            .zip(items(&before.shards))
            .map(|(now, before)| row(now, before, seconds))
            .collect();
        let printed = if remote.json {
            print_json(&json!({ "ready": now.is_ready, "checks": now.checks, "shards": rows }))
        } else {
            let clear = if stdout().is_terminal() { CLEAR } else { "" };
            print(&format!("{clear}{} {}\n{}", remote.admin, now.checks.join(", "), text(&rows)))
        };
        if printed != ExitStatus::Ok {
            return Ok(printed);
        }
        before = now;
        shown += 1;
    }
    Ok(ExitStatus::Ok)
}

/// A core's levels, and its rates.
fn row(now: &Value, before: &Value, seconds: f64) -> Map<String, Value> {
    let levels = LEVELS.iter().map(|name| ((*name).to_owned(), now[*name].clone()));
    let rates = RATES.iter().map(|name| {
        let figure = |figures: &Value| figures[*name].as_f64().unwrap_or_default();
        let rate = (figure(now) - figure(before)).max(0.0) / seconds.max(0.001);
        (format!("{name}/s"), json!(rate.round()))
    });
    levels.chain(rates).collect()
}

fn text(rows: &[Map<String, Value>]) -> String {
    let rates = RATES.iter().map(|name| format!("{name}/s"));
    let head: Vec<String> = LEVELS.iter().map(ToString::to_string).chain(rates).collect();
    let cells = |row: &Map<String, Value>| head.iter().map(|name| number(&row[name])).collect();
    let body: Vec<Vec<String>> = rows.iter().map(cells).collect();
    table(&[vec![head.clone()], body].concat())
}

fn number(value: &Value) -> String {
    value.as_f64().map_or_else(|| "-".to_owned(), |number| format!("{number:.0}"))
}
