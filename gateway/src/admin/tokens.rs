//! Issuing tokens, where the configuration switches it on.
//!
//! Invariants
//! - It has a credential of its own: an operator's does not issue.

use super::access::Credential;
use super::board::Board;
use super::body::Body;
use super::errors::{Code, Failure};
use super::users::{device_id, user_id};
use crate::commands::now;
use crate::token::LIFETIME_SECONDS_MAX;
use crate::token::issuer::{Bearer, Issuer};
use axum::Json;
use axum::extract::{FromRequestParts, State};
use axum::http::StatusCode;
use axum::http::request::Parts;
use serde::Deserialize;
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;

/// What tokens are issued with.
pub(crate) struct Issuing {
    /// Signs them.
    pub(crate) issuer: Issuer,
    /// Must be shown.
    pub(crate) credential: Credential,
}

/// In a handler's arguments: it was asked by somebody who has `admin.issuer_credential`.
pub(super) struct TokenClient;

impl FromRequestParts<Arc<Board>> for TokenClient {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, board: &Arc<Board>) -> Result<Self, Failure> {
        let credential = board.issuing().map(|issuing| &issuing.credential);
        Credential::check(credential, parts, "admin.issuer_key").map(|()| Self)
    }
}

/// The body of `POST /api/v1/tokens`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Wanted {
    user: String,
    device: String,
    #[serde(default = "an_hour")]
    ttl_s: u64,
}

fn an_hour() -> u64 {
    3600
}

/// `POST /api/v1/tokens`.
pub(super) async fn issue(
    _client: TokenClient,
    State(board): State<Arc<Board>>,
    Body(wanted): Body<Wanted>,
) -> Result<(StatusCode, Json<Value>), Failure> {
    let bearer = Bearer { user: user_id(&wanted.user)?, device: device_id(&wanted.device)? };
    if !(1..=LIFETIME_SECONDS_MAX).contains(&wanted.ttl_s) {
        return Err(Failure::new(Code::Invalid, "ttl_s: 1 to 86400"));
    }
    let issuing = board.issuing().ok_or_else(|| Failure::of(Code::NotConfigured))?;
    let (now, lifetime) = (now(), Duration::from_secs(wanted.ttl_s));
    let token = issuing.issuer.issue(&bearer, &board.config().tokens.policy(), now, lifetime);
    let token = token.map_err(|error| Failure::new(Code::Invalid, error.to_string()))?;
    tracing::info!(user = bearer.user.as_str(), device = bearer.device.as_str(), "a token was issued");
    let expires_at_ms = (now.0 / 1000 + wanted.ttl_s) * 1000;
    Ok((StatusCode::CREATED, Json(json!({ "token": token, "expires_at_ms": expires_at_ms }))))
}
