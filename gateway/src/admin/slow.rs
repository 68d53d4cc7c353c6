//! Where the time of messages went, as the flight recorders of the cores have it.
//!
//! Invariants
//! - Ids, times and places alone: no user, no payload.

use super::access::Operator;
use super::board::Board;
use super::body::Parameters;
use super::errors::{Code, Failure};
use crate::asks::{Ask, SlowPage};
use crate::flight::{Slow, Stage, Summary, Way};
use axum::Json;
use axum::extract::State;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use std::cmp::Reverse;
use std::sync::Arc;

/// Most messages in one answer, and how many without `limit`.
const ROWS_MAX: usize = 500;
const ROWS_DEFAULT: usize = 20;

/// The parameters of `GET /api/v1/slow`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Amount {
    limit: Option<usize>,
}

/// `GET /api/v1/slow`: the means of each core, and the slowest messages.
pub(super) async fn slow(
    _operator: Operator,
    State(board): State<Arc<Board>>,
    Parameters(amount): Parameters<Amount>,
) -> Result<Json<Value>, Failure> {
    let limit = amount.limit.unwrap_or(ROWS_DEFAULT);
    if !(1..=ROWS_MAX).contains(&limit) {
        return Err(Failure::new(Code::Invalid, format!("limit: 1 to {ROWS_MAX}")));
    }
    let (mut lines, mut rows) = (Vec::new(), Vec::new());
    for (shard, core) in board.cores()?.iter().enumerate() {
        let SlowPage { slow, summaries } = core.ask(|reply| Ask::Slow { reply }).await?;
        lines.extend(summaries.iter().map(|(way, summary)| line(shard, *way, summary)));
        rows.extend(slow.into_iter().map(|slow| (shard, slow)));
    }
    rows.sort_by_key(|(_, slow)| Reverse(slow.total_us));
    rows.truncate(limit);
    let rows: Vec<Value> = rows.iter().map(|(shard, slow)| row(*shard, slow)).collect();
    Ok(Json(json!({ "stages": Stage::ALL.map(Stage::name), "lines": lines, "slow": rows })))
}

fn line(shard: usize, way: Way, summary: &Summary) -> Value {
    let Summary { messages, p50_us, p99_us, p999_us, means_us } = summary;
    json!({
        "shard": shard, "way": way.name(), "messages": messages, "p50_us": p50_us, "p99_us": p99_us,
        "p999_us": p999_us, "mean_us": by_stage(means_us.map(|us| json!((us * 10.0).round() / 10.0))),
    })
}

fn row(shard: usize, slow: &Slow) -> Value {
    json!({
        "message_id": slow.message_id.to_string(), "way": slow.way.name(), "shard": shard,
        "conn": slow.conn.to_bits(), "at_ms": slow.at_ms,
        "total_us": slow.total_us, "stages_us": by_stage(slow.spent_us.map(|us| json!(us))),
    })
}

fn by_stage(values: [Value; Stage::ALL.len()]) -> Map<String, Value> {
    Stage::ALL.iter().map(|stage| stage.name().to_owned()).zip(values).collect()
}
