//! Addresses that are refused for a while.

use super::access::Operator;
use super::board::Board;
use super::body::Body;
use super::errors::{Code, Failure};
use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Longest ban, in seconds: 30 days.
pub(super) const TTL_S_MAX: u64 = 30 * 24 * 3600;

/// The body of `POST /api/v1/bans`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Wanted {
    address: String,
    ttl_s: u64,
}

fn address_of(text: &str) -> Result<IpAddr, Failure> {
    text.parse().map_err(|_| Failure::new(Code::Invalid, "address: an IPv4 or IPv6 address"))
}

/// `POST /api/v1/bans`: refuses the connections that come from an address from now on. Those that are open stay.
pub(super) async fn ban(
    _operator: Operator,
    State(board): State<Arc<Board>>,
    Body(Wanted { address, ttl_s }): Body<Wanted>,
) -> Result<(StatusCode, Json<Value>), Failure> {
    let source = address_of(&address)?;
    if !(1..=TTL_S_MAX).contains(&ttl_s) {
        return Err(Failure::new(Code::Invalid, format!("ttl_s: 1 to {TTL_S_MAX}")));
    }
    let banned = board.addresses()?.ban(source, Instant::now() + Duration::from_secs(ttl_s));
    banned.map_err(|_| Failure::of(Code::BansFull))?;
    tracing::info!(address = %source, ttl_s, "an address was banned");
    Ok((StatusCode::CREATED, Json(json!({ "address": source, "ends_in_s": ttl_s }))))
}

/// `DELETE /api/v1/bans/{address}`.
pub(super) async fn lift(
    _operator: Operator,
    State(board): State<Arc<Board>>,
    Path(address): Path<String>,
) -> Result<Json<Value>, Failure> {
    let source = address_of(&address)?;
    if !board.addresses()?.unban(source) {
        return Err(Failure::of(Code::UnknownBan));
    }
    tracing::info!(address = %source, "a ban was lifted");
    Ok(Json(json!({ "lifted": source })))
}

/// `GET /api/v1/bans`, in the order of the addresses.
pub(super) async fn list(
    _operator: Operator,
    State(board): State<Arc<Board>>,
) -> Result<Json<Value>, Failure> {
    let now = Instant::now();
    let left = |until: Instant| until.saturating_duration_since(now).as_secs() + 1;
    let bans = board.addresses()?.banned();
    let bans: Vec<Value> = bans
        .into_iter()
        .map(|(source, until)| json!({ "address": source, "ends_in_s": left(until) }))
        .collect();
    Ok(Json(json!({ "bans": bans })))
}
