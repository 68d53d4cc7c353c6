//! Why a request of the admin port is refused: a table of codes, each with its HTTP status.
//!
//! Invariants
//! - A code is never reused for another meaning. docs/OPERATING.md has the same table; a test holds the two together.
//! - Every answer that is not a success is `{"code": ..., "message": ...}`.

use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::json;

macro_rules! codes {
    ($( $(#[doc = $doc:literal])+ $variant:ident = $status:literal, $name:literal, $message:literal; )*) => {
        /// Why a request is refused.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(crate) enum Code { $( $(#[doc = $doc])+ $variant, )* }

        impl Code {
            /// Every code.
            pub(crate) const ALL: &'static [Self] = &[$(Self::$variant),*];

            /// Its name in answers and in the documentation.
            pub(crate) fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }

            /// The HTTP status that goes with it.
            pub(crate) fn status(self) -> u16 {
                match self { $(Self::$variant => $status,)* }
            }

            /// What it says where nothing more is known.
            pub(crate) fn message(self) -> &'static str {
                match self { $(Self::$variant => $message,)* }
            }
        }
    };
}

codes! {
    /// A field, a parameter or the body is not what it must be.
    Invalid = 400, "INVALID", "the request is not what this path takes";
    /// No credential, or a wrong one.
    Unauthorized = 401, "UNAUTHORIZED", "send the credential as `Authorization: Bearer ...`";
    /// The page of another site, or a name that was bent to this address.
    HostRefused = 403, "HOST_REFUSED", "the Host header must name a loopback address or localhost";
    /// The configuration does not allow it.
    NotConfigured = 403, "NOT_CONFIGURED", "the configuration does not allow this";
    /// No such path.
    UnknownPath = 404, "UNKNOWN_PATH", "no such path; /api/v1/openapi.json lists them";
    /// Nobody knows this user.
    UnknownUser = 404, "UNKNOWN_USER", "this user has no device and was never sent anything";
    /// No ban to lift.
    UnknownBan = 404, "UNKNOWN_BAN", "this address is not banned";
    /// The path does not take this method.
    MethodNotAllowed = 405, "METHOD_NOT_ALLOWED", "this path does not take this method";
    /// Too many revocations.
    RevocationsFull = 409, "REVOCATIONS_FULL", "there are 100000 revocations, which is the limit; each lives for a day";
    /// Too many bans.
    BansFull = 409, "BANS_FULL", "65536 addresses are banned, which is the limit; lift others first";
    /// The body is above the limit.
    BodyTooLarge = 413, "BODY_TOO_LARGE", "the body is larger than 16 KiB";
    /// A core did not answer in time.
    CoreBusy = 503, "CORE_BUSY", "the core did not answer within a second; ask again";
    /// The file of revocations could not be written.
    NotStored = 503, "NOT_STORED", "it could not be made durable and is not in force; see the disk";
    /// The tables cannot read it.
    StorageFault = 503, "STORAGE_FAULT", "the stored state cannot be read; see the log";
    /// The cores are not there yet.
    Starting = 503, "STARTING", "the gateway is starting; ask again";
}

/// A refusal as it is answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Failure {
    code: Code,
    message: String,
}

impl Failure {
    /// A refusal with the code's own words.
    pub(crate) fn of(code: Code) -> Self {
        Self::new(code, code.message())
    }

    /// A refusal with words of its own.
    pub(crate) fn new(code: Code, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.code.status()).unwrap_or(StatusCode::BAD_REQUEST);
        (status, Json(json!({ "code": self.code.name(), "message": self.message }))).into_response()
    }
}
