//! Bodies and parameters of requests, whose mistakes are answered as every other refusal.

use super::errors::{Code, Failure};
use axum::body::Bytes;
use axum::extract::{FromRequest, Request};
use axum::http::StatusCode;
use axum::response::IntoResponse as _;
use serde::de::DeserializeOwned;

/// A JSON body of this form; its Content-Type is not looked at.
pub(super) struct Body<T>(pub(super) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Body<T> {
    type Rejection = Failure;

    async fn from_request(request: Request, state: &S) -> Result<Self, Failure> {
        let bytes = Bytes::from_request(request, state).await.map_err(|rejection| {
            let is_large = rejection.into_response().status() == StatusCode::PAYLOAD_TOO_LARGE;
            Failure::of(if is_large { Code::BodyTooLarge } else { Code::Invalid })
        })?;
        let parsed = serde_json::from_slice(&bytes);
        parsed.map(Self).map_err(|error| Failure::new(Code::Invalid, format!("the body: {error}")))
    }
}
