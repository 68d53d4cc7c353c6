//! Reference client of Iris: a sans-IO session, the state a device keeps, and a small blocking driver.
//!
//! Invariants
//! - [`session`] reads no clock, socket, file or randomness: the same inputs give the same outputs.
//! - Nothing here can make a token, and nothing can switch off the check of a server's certificate.

pub mod conn;
pub mod driver;
pub mod endpoint;
pub mod raw;
pub mod session;
pub mod state;
pub mod store;
pub mod token;
mod websocket;

pub use conn::ConnError;
pub use driver::{Driver, DriverConfig, DriverError, Flow, Stores};
pub use endpoint::{Endpoint, EndpointError, UrlError};
pub use raw::RawConn;
pub use session::{Event, Output, Session, SessionConfig};
pub use state::{DeviceState, Draft, OutboxEntry, Target};
pub use store::{Store, StoreError};
pub use token::{Claims, TokenError, TokenSource};
