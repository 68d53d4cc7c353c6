//! The demo page, with `serve --demo` alone: its files, where it connects to, and its tokens.
//!
//! Invariants
//! - A page of another site gets no token: its Origin is not this page's.

use super::board::Board;
use super::body::Body;
use super::errors::{Code, Failure};
use crate::demo::Demo;
use crate::token::issuer::Bearer;
use axum::extract::{Path, State};
use axum::http::HeaderMap;
use axum::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ORIGIN, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
};
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use iris_protocol::{DeviceId, UserId};
use serde::Deserialize;
use serde_json::{Value, json};
use std::sync::Arc;

/// The files of the page, made from client/typescript/demo by `npm run demo`: name, type, bytes.
const ASSETS: [(&str, &str, &[u8]); 4] = [
    ("index.html", "text/html; charset=utf-8", include_bytes!("../../assets/demo/index.html")),
    ("app.js", "text/javascript; charset=utf-8", include_bytes!("../../assets/demo/app.js")),
    ("style.css", "text/css; charset=utf-8", include_bytes!("../../assets/demo/style.css")),
    ("icon.svg", "image/svg+xml", include_bytes!("../../assets/demo/icon.svg")),
];

/// The demo's paths.
pub(super) fn routes() -> Router<Arc<Board>> {
    Router::new()
        .route("/demo", get(|| async { Redirect::permanent("/demo/") }))
        .route("/demo/", get(page))
        .route("/demo/server", get(server))
        .route("/demo/token", post(token))
        .route("/demo/{name}", get(asset))
}

fn demo(board: &Board) -> Result<&Demo, Failure> {
    board.demo().ok_or_else(|| Failure::of(Code::UnknownPath))
}

async fn page(State(board): State<Arc<Board>>) -> Result<Response, Failure> {
    file(demo(&board)?, "index.html")
}

async fn asset(State(board): State<Arc<Board>>, Path(name): Path<String>) -> Result<Response, Failure> {
    file(demo(&board)?, &name)
}

fn file(demo: &Demo, name: &str) -> Result<Response, Failure> {
    let found = ASSETS.iter().find(|(known, _, _)| *known == name);
    let (_, kind, bytes) = found.ok_or_else(|| Failure::of(Code::UnknownPath))?;
    let policy = demo.security_policy();
    let headers = [
        (CONTENT_TYPE, *kind),
        (CONTENT_SECURITY_POLICY, policy.as_str()),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (REFERRER_POLICY, "no-referrer"),
        (CACHE_CONTROL, "no-cache"),
    ];
    Ok((headers, *bytes).into_response())
}

/// `GET /demo/server`: where the page connects to.
async fn server(State(board): State<Arc<Board>>) -> Result<Json<Value>, Failure> {
    Ok(Json(json!({ "url": demo(&board)?.socket_url() })))
}

/// The body of `POST /demo/token`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Who {
    user: String,
    device: String,
}

/// `POST /demo/token`: a token for whoever the page says it is.
async fn token(
    State(board): State<Arc<Board>>,
    headers: HeaderMap,
    Body(who): Body<Who>,
) -> Result<Json<Value>, Failure> {
    let demo = demo(&board)?;
    let is_ours =
        |origin: &axum::http::HeaderValue| demo.origins().iter().any(|ours| origin == ours.as_str());
    if !headers.get(ORIGIN).is_none_or(is_ours) {
        return Err(Failure::new(Code::HostRefused, "the demo's tokens are for its own page"));
    }
    let invalid = |error: &dyn std::fmt::Display| Failure::new(Code::Invalid, error.to_string());
    let bearer = Bearer {
        user: UserId::parse(&who.user).map_err(|error| invalid(&error))?,
        device: DeviceId::parse(&who.device).map_err(|error| invalid(&error))?,
    };
    let token = demo.token(&bearer).map_err(|error| invalid(&error))?;
    Ok(Json(json!({ "token": token })))
}
