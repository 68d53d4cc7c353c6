//! The admin port: health, metrics, and what operators ask and order, over HTTP on a loopback address.
//!
//! It has a thread of its own. What it shows of the cores are the figures that they publish.
//!
//! Invariants
//! - A request can make a core do a bounded piece of work in its loop, and never wait.
//! - What changes something, or shows users, needs the credential; a page of another site cannot ask at all.
//! - Whatever is asked, the answer is typed: no panic, no error of the server.

mod access;
mod bans;
pub(crate) mod board;
mod body;
mod demo;
mod errors;
mod health;
mod limited;
pub(crate) mod metrics;
mod open;
mod orders;
mod paths;
mod revoke;
mod slow;
mod tokens;
mod users;
mod views;

pub(crate) use access::Credential;
use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::middleware::from_fn;
use board::Board;
use errors::{Code, Failure};
use limited::Limited;
pub(crate) use open::open;
use paths::operations;
use std::io;
use std::net::TcpListener;
use std::sync::Arc;

/// Most bytes of a request's body.
const BODY_BYTES_MAX: usize = 16 << 10;

/// Serves the port on a thread of its own, until the process ends.
///
/// # Errors
/// The operating system's, if the thread or its event loop cannot be made.
fn start(listener: TcpListener, board: Arc<Board>) -> io::Result<()> {
    listener.set_nonblocking(true)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().enable_time().build()?;
    std::thread::Builder::new().name("admin".to_owned()).spawn(move || {
        let served = runtime.block_on(async {
            let listener = tokio::net::TcpListener::from_std(listener)?;
            axum::serve(Limited::new(listener), router(board)).await
        });
        if let Err(error) = served {
            tracing::warn!(%error, "the admin port has ended");
        }
    })?;
    Ok(())
}

/// Every path of the port.
fn router(board: Arc<Board>) -> Router {
    operations()
        .into_iter()
        .fold(Router::new(), |router, operation| router.route(operation.path, operation.answer))
        .merge(demo::routes())
        .fallback(|| async { Failure::of(Code::UnknownPath) })
        .method_not_allowed_fallback(|| async { Failure::of(Code::MethodNotAllowed) })
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .layer(from_fn(access::only_loopback_hosts))
        .with_state(board)
}

#[cfg(test)]
mod tests;
