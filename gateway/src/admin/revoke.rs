//! Revoking tokens, and what is revoked.

use super::access::Operator;
use super::board::Board;
use super::body::{Body, Parameters};
use super::errors::{Code, Failure};
use super::users::{device_id, user_id};
use crate::asks::Ask;
use crate::commands::now;
use crate::revocations::{Entry, RevokeError, Target};
use crate::token::JTI_BYTES_MAX;
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};
use std::sync::Arc;

/// Most revocations in one answer, and how many without `limit`.
const PAGE_MAX: usize = 1000;
const PAGE_DEFAULT: usize = 100;

/// The body of `POST /api/v1/revocations`: `jti`, or `user`, or `user` and `device`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Wanted {
    jti: Option<String>,
    user: Option<String>,
    device: Option<String>,
}

impl Wanted {
    fn target(self) -> Result<Target, Failure> {
        match (self.jti, self.user, self.device) {
            (Some(jti), None, None) if (1..=JTI_BYTES_MAX).contains(&jti.len()) => {
                Ok(Target::Token(jti.into_boxed_str()))
            }
            (Some(_), None, None) => Err(Failure::new(Code::Invalid, "jti: 1 to 128 bytes")),
            (None, Some(user), None) => Ok(Target::User(user_id(&user)?)),
            (None, Some(user), Some(device)) => Ok(Target::Device(user_id(&user)?, device_id(&device)?)),
            _ => Err(Failure::new(Code::Invalid, "the body: jti, or user, or user and device")),
        }
    }
}

/// `POST /api/v1/revocations`: durable when it is answered; `in_force` says whether every core has ended the sessions
/// already, which takes a core that is busy up to a second more.
pub(super) async fn revoke(
    _operator: Operator,
    State(board): State<Arc<Board>>,
    Body(wanted): Body<Wanted>,
) -> Result<(StatusCode, Json<Value>), Failure> {
    let target = wanted.target()?;
    let entry = board.revocations()?.revoke(target, now()).map_err(|error| match error {
        RevokeError::Full => Failure::of(Code::RevocationsFull),
        RevokeError::File(error) => Failure::new(Code::NotStored, error.to_string()),
    })?;
    tracing::info!(serial = entry.serial, "tokens were revoked");
    let mut in_force = true;
    for core in board.cores()? {
        in_force &= core.ask(|reply| Ask::Revoked { reply }).await.is_ok();
    }
    let mut answer = shown(&entry);
    answer["in_force"] = json!(in_force);
    Ok((StatusCode::CREATED, Json(answer)))
}

/// The parameters of `GET /api/v1/revocations`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Page {
    limit: Option<usize>,
    after: Option<u64>,
}

/// `GET /api/v1/revocations`: those behind a serial, the oldest first.
pub(super) async fn list(
    _operator: Operator,
    State(board): State<Arc<Board>>,
    Parameters(page): Parameters<Page>,
) -> Result<Json<Value>, Failure> {
    let limit = page.limit.unwrap_or(PAGE_DEFAULT);
    if !(1..=PAGE_MAX).contains(&limit) {
        return Err(Failure::new(Code::Invalid, format!("limit: 1 to {PAGE_MAX}")));
    }
    let set = board.revocations()?.current();
    let (now, rest) = (now(), set.after(page.after.unwrap_or(0)));
    let part = &rest[..limit.min(rest.len())];
    let alive: Vec<Value> = part.iter().filter(|e| e.ends_at > now).map(|entry| shown(entry)).collect();
    let next = part.last().filter(|_| rest.len() > limit).map(|entry| entry.serial);
    Ok(Json(json!({ "revocations": alive, "next": next })))
}

fn shown(entry: &Entry) -> Value {
    let mut shown = match &entry.target {
        Target::Token(jti) => json!({ "jti": jti }),
        Target::Device(user, device) => json!({ "user": user.as_str(), "device": device.as_str() }),
        Target::User(user) => json!({ "user": user.as_str() }),
    };
    shown["serial"] = json!(entry.serial);
    shown["made_at_ms"] = json!(entry.made_at.0);
    shown["ends_at_ms"] = json!(entry.ends_at.0);
    shown
}
