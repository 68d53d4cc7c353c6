//! `/metrics`: figures for monitoring, in Prometheus's text format.
//!
//! Invariants
//! - The only label is `shard`. No user, no device, no address.

use super::board::Board;
use crate::control::{Kind, METRICS, Metric};
use crate::logging::LogControl;
use crate::memory::MemoryFigures;
use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use std::fmt::Write as _;
use std::sync::Arc;

/// Figures of the process as a whole, in the order of [`of_process`].
pub(crate) const PROCESS_METRICS: &[Metric] = &[
    Metric {
        name: "iris_start_time_seconds",
        kind: Kind::Gauge,
        divisor: 1,
        help: "When the process started, in seconds since 1970.",
    },
    Metric {
        name: "iris_log_lines_dropped_total",
        kind: Kind::Counter,
        divisor: 1,
        help: "Lines of the log that were dropped because its thread was too slow.",
    },
    Metric {
        name: "iris_memory_resident_bytes",
        kind: Kind::Gauge,
        divisor: 1,
        help: "Resident memory of the process, without files that it maps.",
    },
    Metric {
        name: "iris_memory_kernel_bytes",
        kind: Kind::Gauge,
        divisor: 1,
        help: "Memory of the kernel for the connections: their number times what one was measured to take.",
    },
    Metric {
        name: "iris_memory_limit_bytes",
        kind: Kind::Gauge,
        divisor: 1,
        help: "What these two may be together; above it, new connections are refused.",
    },
];

fn of_process(board: &Board) -> [u64; 5] {
    let dropped = board.log().map_or(0, LogControl::dropped_lines);
    let MemoryFigures { resident, kernel, limit } = board.control().memory();
    [board.started_s(), u64::try_from(dropped).unwrap_or(u64::MAX), resident, kernel, limit]
}

/// The answer to a scrape.
pub(super) async fn show(State(board): State<Arc<Board>>) -> Response {
    ([(CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text(&board)).into_response()
}

fn text(board: &Board) -> String {
    let mut text = String::new();
    for (metric, value) in PROCESS_METRICS.iter().zip(of_process(board)) {
        head(&mut text, metric);
        line(&mut text, format_args!("{} {}", metric.name, amount(value, metric.divisor)));
    }
    let cores: Vec<Vec<u64>> =
        board.cores().unwrap_or_default().iter().map(|core| core.stats.values()).collect();
    for (index, metric) in METRICS.iter().enumerate().filter(|_| !cores.is_empty()) {
        head(&mut text, metric);
        for (shard, values) in cores.iter().enumerate() {
            let value = amount(values[index], metric.divisor);
            line(&mut text, format_args!("{}{{shard=\"{shard}\"}} {value}", metric.name));
        }
    }
    text
}

fn head(text: &mut String, metric: &Metric) {
    let Metric { name, kind, help, .. } = metric;
    line(text, format_args!("# HELP {name} {help}"));
    line(text, format_args!("# TYPE {name} {}", kind.name()));
}

/// A figure in its unit, without the rounding of floating point.
fn amount(value: u64, divisor: u64) -> String {
    let (whole, rest) = (value / divisor, value % divisor);
    let digits = usize::try_from(divisor.ilog10()).unwrap_or(0);
    if digits == 0 { whole.to_string() } else { format!("{whole}.{rest:0digits$}") }
}

/// The operators' table, Markdown.
#[cfg(test)]
pub(crate) fn table() -> String {
    let mut text = String::from("| metric | kind | label | meaning |\n|---|---|---|---|\n");
    let process = PROCESS_METRICS.iter().map(|metric| (metric, "-"));
    for (Metric { name, kind, help, .. }, label) in process.chain(METRICS.iter().map(|m| (m, "`shard`"))) {
        line(&mut text, format_args!("| `{name}` | {} | {label} | {help} |", kind.name()));
    }
    text
}

fn line(text: &mut String, line: std::fmt::Arguments<'_>) {
    let _always_works = writeln!(text, "{line}");
}
