//! What operators order of the process as a whole.

use super::access::Operator;
use super::board::Board;
use super::body::Body;
use super::errors::{Code, Failure};
use crate::config::LogLevel;
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};
use std::sync::Arc;

/// `POST /api/v1/drain`: as SIGTERM. Asking again changes nothing.
pub(super) async fn drain(_operator: Operator, State(board): State<Arc<Board>>) -> (StatusCode, Json<Value>) {
    tracing::info!("a drain was ordered");
    board.control().order_drain();
    (StatusCode::ACCEPTED, Json(json!({ "draining": true })))
}

/// The body of `PUT /api/v1/log-level`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Level {
    level: LogLevel,
}

/// `PUT /api/v1/log-level`: until the process ends; the configuration stays as it is.
pub(super) async fn log_level(
    _operator: Operator,
    State(board): State<Arc<Board>>,
    Body(Level { level }): Body<Level>,
) -> Result<Json<Value>, Failure> {
    let set = board.log().map(|log| log.set_level(level));
    match set {
        Some(Ok(())) => {
            tracing::info!(?level, "the log level was changed");
            Ok(Json(json!({ "level": level })))
        }
        Some(Err(_)) | None => Err(Failure::new(Code::NotConfigured, "this process has no log")),
    }
}
