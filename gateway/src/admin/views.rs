//! What the port shows without a credential: no user is in it.

use super::board::Board;
use super::errors::{Code, Failure};
use crate::memory::MemoryFigures;
use axum::Json;
use axum::extract::State;
use serde_json::{Map, Value, json};
use std::sync::Arc;

/// How the figures of the ledger are called.
const LEDGER_PREFIX: &str = "memory_";

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

/// `GET /api/v1/memory`: what the process holds, by what it is for.
pub(super) async fn memory(State(board): State<Arc<Board>>) -> Result<Json<Value>, Failure> {
    let cores = board.cores()?;
    let connections: u64 = cores.iter().map(|core| core.stats.connections()).sum();
    let mut components: Map<String, Value> = Map::new();
    let mut accounted: u64 = 0;
    for (name, bytes) in cores.iter().flat_map(|core| core.stats.read()) {
        let Some(component) = name.strip_prefix(LEDGER_PREFIX) else { continue };
        let before = components.get(component).and_then(Value::as_u64).unwrap_or(0);
        components.insert(component.to_owned(), json!(before.saturating_add(bytes)));
        accounted = accounted.saturating_add(bytes);
    }
    let MemoryFigures { resident, kernel, limit } = board.control().memory();
    Ok(Json(json!({
        "connections": connections,
        "components": components,
        "accounted_bytes": accounted,
        "resident_bytes": resident,
        "other_bytes": resident.saturating_sub(accounted),
        "kernel_bytes": kernel,
        "limit_bytes": limit,
        "is_full": board.control().is_memory_full(),
    })))
}
