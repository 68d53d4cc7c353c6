//! Whether the process lives, and whether clients should be sent to it.

use super::board::Board;
use axum::extract::{RawQuery, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use std::fmt::Write as _;
use std::sync::Arc;

/// `/livez`: the process answers.
pub(super) async fn live() -> &'static str {
    "ok\n"
}

/// `/readyz`: 200 if it takes clients and messages, else 503; `?verbose` names each check.
pub(super) async fn ready(State(board): State<Arc<Board>>, RawQuery(query): RawQuery) -> Response {
    let checks = checks(&board);
    let is_ready = checks.iter().all(|(_, problem)| problem.is_none());
    let status = if is_ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let verbose = query.is_some_and(|query| query.split('&').any(|name| name.starts_with("verbose")));
    let mut text = String::new();
    for (name, problem) in &checks {
        match problem {
            Some(problem) => line(&mut text, format_args!("{name}: {problem}")),
            None if verbose => line(&mut text, format_args!("{name}: ok")),
            None => {}
        }
    }
    line(&mut text, format_args!("{}", if is_ready { "ok" } else { "not ready" }));
    (status, text).into_response()
}

/// What must hold, each with what is wrong.
fn checks(board: &Board) -> [(&'static str, Option<&'static str>); 4] {
    let cores = board.cores().unwrap_or_default();
    let has_started = !cores.is_empty() && cores.iter().all(|core| core.stats.is_published());
    let has_room = cores.iter().all(|core| core.stats.has_storage_room());
    [
        ("started", (!has_started).then_some("the data directory is being opened")),
        ("serving", board.control().is_draining().then_some("the gateway drains")),
        ("memory", board.control().is_memory_full().then_some("there is no memory for new connections")),
        ("storage", (has_started && !has_room).then_some("the disk is full: new messages are refused")),
    ]
}

fn line(text: &mut String, line: std::fmt::Arguments<'_>) {
    let _always_works = writeln!(text, "{line}");
}
