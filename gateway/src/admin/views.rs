//! What the port shows without a credential: no user is in it.

use super::board::Board;
use super::errors::{Code, Failure};
use axum::Json;
use axum::extract::State;
use serde_json::{Map, Value, json};
use std::sync::Arc;

/// `GET /api/v1/shards`: the figures of every core.
pub(super) async fn shards(State(board): State<Arc<Board>>) -> Result<Json<Value>, Failure> {
    let cores = board.cores()?;
    let shards = cores.iter().enumerate().map(|(shard, core)| {
        let mut figures: Map<String, Value> =
            core.stats.read().into_iter().map(|(name, value)| (name.to_owned(), json!(value))).collect();
        figures.insert("shard".to_owned(), json!(shard));
        Value::Object(figures)
    });
    Ok(Json(json!({ "shards": shards.collect::<Vec<_>>() })))
}

/// `GET /api/v1/config`: every value in force. Secrets are in files, and only their names are here.
pub(super) async fn config(State(board): State<Arc<Board>>) -> Result<Json<Value>, Failure> {
    let values = serde_json::to_value(&*board.config());
    values.map(Json).map_err(|error| Failure::new(Code::Invalid, error.to_string()))
}
