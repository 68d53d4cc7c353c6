//! Connections and users: what operators see of them, and how they close their connections.
//!
//! Invariants
//! - Everything here needs the credential.

use super::access::Operator;
use super::board::{Board, Core};
use super::body::{Parameters, Segments};
use super::errors::{Code, Failure};
use crate::asks::{Ask, ConnPage, Place};
use axum::Json;
use axum::extract::State;
use iris_protocol::{DeviceId, Offset, UserId};
use iris_shard::inspect::{ConnView, DeviceView, UserView};
use serde::Deserialize;
use serde_json::{Value, json};
use std::sync::Arc;

/// Most connections in one answer, and how many without `limit`.
const PAGE_MAX: usize = 500;
const PAGE_DEFAULT: usize = 100;
/// Questions to cores for one answer.
const ASKS_MAX: usize = 64;

/// The parameters of `GET /api/v1/connections`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Page {
    limit: Option<usize>,
    from: Option<String>,
}

/// `GET /api/v1/connections`: some of the connections, and where the next ones begin.
pub(super) async fn connections(
    _operator: Operator,
    State(board): State<Arc<Board>>,
    Parameters(page): Parameters<Page>,
) -> Result<Json<Value>, Failure> {
    let cores = board.cores()?;
    let limit = page.limit.unwrap_or(PAGE_DEFAULT);
    if !(1..=PAGE_MAX).contains(&limit) {
        return Err(Failure::new(Code::Invalid, format!("limit: 1 to {PAGE_MAX}")));
    }
    let mut at = page.from.as_deref().map_or(Ok((0, (0, 0))), parse_cursor)?;
    let mut rows = Vec::new();
    for _ in 0..ASKS_MAX {
        let (shard, from) = at;
        let Some(core) = cores.get(shard).filter(|_| rows.len() < limit) else { break };
        let rows_max = limit - rows.len();
        let page: ConnPage = core.ask(|reply| Ask::Conns { from, rows_max, reply }).await?;
        at = page.next.map_or((shard + 1, (0, 0)), |next| (shard, next));
        rows.extend(page.rows.iter().map(|row| {
            let mut shown = json!({ "shard": shard, "conn": row.conn, "phase": row.phase });
            if let Some(view) = &row.view {
                shown["session"] = session(view);
            }
            shown
        }));
    }
    let (shard, (ring, index)) = at;
    let next = (shard < cores.len()).then(|| format!("{shard}.{ring}.{index}"));
    Ok(Json(json!({ "connections": rows, "next": next })))
}

/// `shard.ring.index`, as an earlier answer said it.
fn parse_cursor(text: &str) -> Result<(usize, Place), Failure> {
    let numbers: Option<Vec<usize>> = text.split('.').map(|part| part.parse().ok()).collect();
    match numbers.as_deref() {
        Some([shard, ring, index]) => Ok((*shard, (*ring, *index))),
        Some(_) | None => Err(Failure::new(Code::Invalid, "from: what `next` of an earlier answer was")),
    }
}

fn session(view: &ConnView) -> Value {
    json!({
        "user": view.user.as_str(), "device": view.device.as_str(), "welcomed": view.is_welcomed,
        "expires_in_ms": u64::try_from(view.life.as_millis()).unwrap_or(u64::MAX), "in_flight": view.in_flight, "unsent_bytes": view.unsent_bytes,
        "unanswered": view.unanswered,
    })
}

/// `GET /api/v1/users/{user}`: its devices and its inbox.
pub(super) async fn user(
    _operator: Operator,
    State(board): State<Arc<Board>>,
    Segments(user): Segments<String>,
) -> Result<Json<Value>, Failure> {
    let id = user_id(&user)?;
    let (shard, core) = board.home(&id)?;
    let asked = id.clone();
    let found = core.ask(|reply| Ask::User { user: asked, reply }).await?;
    let found = found.map_err(|error| Failure::new(Code::StorageFault, error.to_string()))?;
    let view = found.ok_or_else(|| Failure::of(Code::UnknownUser))?;
    let UserView { last_offset, entries, bytes, devices } = view;
    let devices: Vec<Value> = devices.iter().map(|device| shown(device, last_offset)).collect();
    Ok(Json(json!({
        "user": id.as_str(), "shard": shard, "last_offset": last_offset.0,
        "inbox": { "entries": entries, "bytes": bytes }, "devices": devices,
    })))
}

fn shown(device: &DeviceView, last: Offset) -> Value {
    json!({
        "device": device.id.as_str(), "connected": device.conn.is_some(), "conn": device.conn.map(|conn| conn.0),
        "linked_at_ms": device.linked_at.0, "last_seen_at_ms": device.last_seen_at.0,
        "acked_through": device.acked_through.0, "behind": behind(device.acked_through, last),
        "detached": device.is_detached,
    })
}

/// How many offsets a device has not acknowledged; `None`: some are of an earlier boot, and cannot be counted.
fn behind(acked: Offset, last: Offset) -> Option<u64> {
    let is_countable = acked >= last || acked.generation() == last.generation();
    is_countable.then(|| last.n().saturating_sub(acked.n()))
}

/// `POST /api/v1/users/{user}/kick`.
pub(super) async fn kick_user(
    _operator: Operator,
    State(board): State<Arc<Board>>,
    Segments(user): Segments<String>,
) -> Result<Json<Value>, Failure> {
    kick(&board, user_id(&user)?, None).await
}

/// `POST /api/v1/users/{user}/devices/{device}/kick`.
pub(super) async fn kick_device(
    _operator: Operator,
    State(board): State<Arc<Board>>,
    Segments((user, device)): Segments<(String, String)>,
) -> Result<Json<Value>, Failure> {
    kick(&board, user_id(&user)?, Some(device_id(&device)?)).await
}

async fn kick(board: &Board, user: UserId, device: Option<DeviceId>) -> Result<Json<Value>, Failure> {
    let (_, core): (_, &Core) = board.home(&user)?;
    tracing::info!(user = user.as_str(), device = device.as_ref().map(DeviceId::as_str), "kick ordered");
    let closed = core.ask(|reply| Ask::Kick { user, device, reply }).await?;
    Ok(Json(json!({ "closed": closed })))
}

/// A user's id, as a path or a body names it.
pub(super) fn user_id(text: &str) -> Result<UserId, Failure> {
    UserId::parse(text).map_err(|error| Failure::new(Code::Invalid, format!("user: {error}")))
}

/// A device's id, as a path or a body names it.
pub(super) fn device_id(text: &str) -> Result<DeviceId, Failure> {
    DeviceId::parse(text).map_err(|error| Failure::new(Code::Invalid, format!("device: {error}")))
}
