//! Every path of the port, once: what answers it, and how it is described.
//!
//! Invariants
//! - What is served is described, and what is described is served: both are made from [`operations`]. docs/OPERATING.md has the
//!   same table; a test holds them together.

use super::board::Board;
use super::errors::Code;
use super::{bans, health, metrics, orders, revoke, slow, tokens, users, views};
use axum::Json;
use axum::routing::{MethodRouter, delete, get, post, put};
use serde_json::{Map, Value, json};
use std::sync::Arc;

/// What must be shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Needs {
    /// Nothing.
    Nothing,
    /// `admin.credential`.
    Operator,
    /// `admin.issuer_credential`.
    Issuer,
}

impl Needs {
    /// Its name in the documentation.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Nothing => "-",
            Self::Operator => "operator",
            Self::Issuer => "issuer",
        }
    }
}

/// A parameter behind the `?`.
type Parameter = (&'static str, fn() -> Value);

/// A method of a path.
pub(super) struct Operation {
    /// GET, POST, PUT or DELETE.
    pub(super) method: &'static str,
    /// With `{user}` and `{device}` where they stand.
    pub(super) path: &'static str,
    /// What must be shown.
    pub(super) needs: Needs,
    /// The status of success.
    ok: u16,
    /// What it does.
    pub(super) about: &'static str,
    parameters: &'static [Parameter],
    body: Option<fn() -> Value>,
    /// What answers.
    pub(super) answer: MethodRouter<Arc<Board>>,
}

impl Operation {
    fn new(path: &'static str, answer: MethodRouter<Arc<Board>>, about: &'static str) -> Self {
        let (method, needs, ok) = ("get", Needs::Nothing, 200);
        Self { method, path, needs, ok, about, parameters: &[], body: None, answer }
    }

    fn needs(self, needs: Needs) -> Self {
        Self { needs, ..self }
    }

    fn method(self, method: &'static str, ok: u16) -> Self {
        Self { method, ok, ..self }
    }

    fn body(self, body: fn() -> Value) -> Self {
        Self { body: Some(body), ..self }
    }

    fn parameters(self, parameters: &'static [Parameter]) -> Self {
        Self { parameters, ..self }
    }
}

/// Every method of every path.
pub(super) fn operations() -> Vec<Operation> {
    [of_the_process(), of_users(), of_tokens_and_addresses(), orders()].into_iter().flatten().collect()
}

fn of_the_process() -> Vec<Operation> {
    let new = Operation::new;
    vec![
        new("/livez", get(health::live), "200 while the process answers"),
        new(
            "/readyz",
            get(health::ready),
            "200 while clients and messages are taken; 503 while the process starts or drains, or the disk is full. \
             `?verbose` names each check",
        )
        .parameters(&[("verbose", || json!({ "type": "string" }))]),
        new("/metrics", get(metrics::show), "figures for Prometheus"),
        new("/api/v1/openapi.json", get(describe), "this list, for programs"),
        new("/api/v1/shards", get(views::shards), "the figures of each core"),
        new(
            "/api/v1/memory",
            get(views::memory),
            "what the process holds in memory, by what it is for; what the kernel holds for its connections; and above what new \
             connections are refused",
        ),
        new(
            "/api/v1/config",
            get(views::config),
            "the configuration in force; secrets are in files, and only their names are shown",
        ),
        new(
            "/api/v1/slow",
            get(slow::slow),
            "where the time of messages went: the means of each core, and `?limit=` (20; at most 500) of the messages slower than \
             the 99.9th percentile of their time, the slowest first",
        )
        .needs(Needs::Operator)
        .parameters(&[("limit", || whole(1, 500))]),
    ]
}

fn of_users() -> Vec<Operation> {
    let new = Operation::new;
    vec![
        new(
            "/api/v1/connections",
            get(users::connections),
            "connections, `?limit=` of them (100; at most 500), from `?from=`, which is `next` of the answer before",
        )
        .needs(Needs::Operator)
        .parameters(&[("limit", || whole(1, 500)), ("from", cursor)]),
        new("/api/v1/users/{user}", get(users::user), "a user's devices, and what waits in the inbox")
            .needs(Needs::Operator),
        new("/api/v1/users/{user}/kick", post(users::kick_user), "close the user's connections with KICKED")
            .method("post", 200)
            .needs(Needs::Operator),
        new(
            "/api/v1/users/{user}/devices/{device}/kick",
            post(users::kick_device),
            "close the device's connection with KICKED",
        )
        .method("post", 200)
        .needs(Needs::Operator),
    ]
}

fn of_tokens_and_addresses() -> Vec<Operation> {
    let new = Operation::new;
    vec![
        new(
            "/api/v1/revocations",
            get(revoke::list),
            "what is revoked, the oldest first: `?limit=` (100; at most 1000) behind serial `?after=`",
        )
        .needs(Needs::Operator)
        .parameters(&[("limit", || whole(1, 1000)), ("after", || whole(0, u64::MAX))]),
        new(
            "/api/v1/revocations",
            post(revoke::revoke),
            "revoke tokens: `{\"jti\": ...}`, or those issued so far to `{\"user\": ...}` or `{\"user\": ..., \"device\": ...}`",
        )
        .method("post", 201)
        .needs(Needs::Operator)
        .body(revocation),
        new("/api/v1/bans", get(bans::list), "the addresses that are banned, and for how long yet")
            .needs(Needs::Operator),
        new(
            "/api/v1/bans",
            post(bans::ban),
            "refuse new connections of an address (an IPv6 one: of its /64): `{\"address\": ..., \"ttl_s\": 3600}`; until a restart",
        )
        .method("post", 201)
        .needs(Needs::Operator)
        .body(banning),
        new("/api/v1/bans/{address}", delete(bans::lift), "lift a ban")
            .method("delete", 200)
            .needs(Needs::Operator),
        new(
            "/api/v1/tokens",
            post(tokens::issue),
            "issue a token: `{\"user\": ..., \"device\": ..., \"ttl_s\": 3600}`, for at most a day",
        )
        .method("post", 201)
        .needs(Needs::Issuer)
        .body(token),
    ]
}

fn orders() -> Vec<Operation> {
    let new = Operation::new;
    vec![
        new("/api/v1/drain", post(orders::drain), "drain and end, as SIGTERM")
            .method("post", 202)
            .needs(Needs::Operator),
        new("/api/v1/log-level", put(orders::log_level), "`{\"level\": \"debug\"}`: until the process ends")
            .method("put", 200)
            .needs(Needs::Operator)
            .body(level),
    ]
}

fn whole(least: u64, most: u64) -> Value {
    json!({ "type": "integer", "minimum": least, "maximum": most })
}

fn cursor() -> Value {
    json!({ "type": "string", "pattern": "^[0-9]+\\.[0-9]+\\.[0-9]+$" })
}

fn id() -> Value {
    json!({ "type": "string", "pattern": "^[A-Za-z0-9_.-]{1,64}$" })
}

fn object(properties: &Value, required: &[&str], example: &Value) -> Value {
    json!({
        "type": "object", "properties": properties, "required": required, "additionalProperties": false,
        "example": example,
    })
}

fn revocation() -> Value {
    let jti = json!({ "type": "string", "minLength": 1, "maxLength": 128 });
    let (user, device) = (json!({ "user": id() }), json!({ "user": id(), "device": id() }));
    json!({ "oneOf": [
        object(&json!({ "jti": jti }), &["jti"], &json!({ "jti": "0190a6e0" })),
        object(&user, &["user"], &json!({ "user": "mallory" })),
        object(&device, &["user", "device"], &json!({ "user": "mallory", "device": "phone" })),
    ] })
}

fn address() -> Value {
    json!({ "type": "string", "pattern": "^[0-9A-Fa-f:.]{2,45}$" })
}

fn banning() -> Value {
    let properties = json!({ "address": address(), "ttl_s": whole(1, bans::TTL_S_MAX) });
    object(&properties, &["address", "ttl_s"], &json!({ "address": "192.0.2.1", "ttl_s": 3600 }))
}

fn token() -> Value {
    let properties = json!({ "user": id(), "device": id(), "ttl_s": whole(1, 86_400) });
    object(&properties, &["user", "device"], &json!({ "user": "alice", "device": "phone", "ttl_s": 60 }))
}

fn level() -> Value {
    let levels = json!({ "type": "string", "enum": ["error", "warn", "info", "debug", "trace"] });
    object(&json!({ "level": levels }), &["level"], &json!({ "level": "info" }))
}

/// `GET /api/v1/openapi.json`.
async fn describe() -> Json<Value> {
    let mut paths = Map::new();
    for operation in operations() {
        let path = paths.entry(operation.path).or_insert_with(|| json!({}));
        path[operation.method] = described(&operation);
    }
    let codes: Vec<&str> = Code::ALL.iter().map(|code| code.name()).collect();
    let failure = json!({
        "type": "object", "required": ["code", "message"],
        "properties": { "code": { "type": "string", "enum": codes }, "message": { "type": "string" } },
    });
    let bearer = json!({ "type": "http", "scheme": "bearer" });
    Json(json!({
        "openapi": "3.0.3",
        "info": { "title": "Iris admin port", "version": env!("CARGO_PKG_VERSION") },
        "paths": paths,
        "components": {
            "schemas": { "Failure": failure },
            "securitySchemes": { "operator": bearer, "issuer": bearer },
        },
    }))
}

fn described(operation: &Operation) -> Value {
    let Operation { path, needs, ok, about, parameters, body, .. } = operation;
    let in_path = path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'));
    let schema = |name| if name == "address" { address() } else { id() };
    let in_path =
        in_path.map(|name| json!({ "name": name, "in": "path", "required": true, "schema": schema(name) }));
    let in_query = parameters
        .iter()
        .map(|(name, schema)| json!({ "name": name, "in": "query", "required": false, "schema": schema() }));
    let parameters: Vec<Value> = in_path.chain(in_query).collect();
    let refused = json!({
        "description": "refused",
        "content": { "application/json": { "schema": { "$ref": "#/components/schemas/Failure" } } },
    });
    let mut described = json!({
        "summary": about, "parameters": parameters,
        "responses": { ok.to_string(): { "description": "done" }, "default": refused },
    });
    if *needs != Needs::Nothing {
        described["security"] = json!([{ needs.name(): [] }]);
    }
    if let Some(schema) = body {
        described["requestBody"] =
            json!({ "required": true, "content": { "application/json": { "schema": schema() } } });
    }
    described
}

/// The operators' table, Markdown.
#[cfg(test)]
pub(super) fn table() -> String {
    let rows = operations().into_iter().map(|Operation { method, path, needs, about, .. }| {
        format!("| `{} {path}` | {} | {about} |\n", method.to_uppercase(), needs.name())
    });
    ["| path | credential | what |\n|---|---|---|\n".to_owned()].into_iter().chain(rows).collect()
}
