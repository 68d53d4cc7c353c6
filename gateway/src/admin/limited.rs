//! The port's socket, with a bound on how many connections are open at once, and on how long one may be silent.
//!
//! Invariants
//! - Above the bound nothing is accepted until somebody goes.
//! - Whoever is silent goes, so that the silent cannot keep others out.

use axum::serve::Listener;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, Sleep, sleep};

/// Connections at once: some operators and a scraper need a handful.
const CONNECTIONS_MAX: usize = 128;
/// A connection on which nothing comes for this long is closed: more than most scrapers wait between two looks.
const SILENCE_MAX: Duration = Duration::from_mins(1);

/// See the module.
pub(super) struct Limited {
    listener: TcpListener,
    places: Arc<Semaphore>,
    silence_max: Duration,
}

impl Limited {
    /// Bounds a socket.
    pub(super) fn new(listener: TcpListener) -> Self {
        Self::with(listener, CONNECTIONS_MAX, SILENCE_MAX)
    }

    fn with(listener: TcpListener, connections_max: usize, silence_max: Duration) -> Self {
        Self { listener, places: Arc::new(Semaphore::new(connections_max)), silence_max }
    }
}

impl Listener for Limited {
    type Io = Placed;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Placed, SocketAddr) {
        let place = Arc::clone(&self.places).acquire_owned().await.ok();
        let (stream, address) = Listener::accept(&mut self.listener).await;
        let silence_max = self.silence_max;
        (Placed { stream, silence_max, silent: Box::pin(sleep(silence_max)), _place: place }, address)
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

/// A connection, and its place among those that may be open.
pub(super) struct Placed {
    stream: TcpStream,
    silence_max: Duration,
    /// Ends when the peer was silent for too long.
    silent: Pin<Box<Sleep>>,
    _place: Option<OwnedSemaphorePermit>,
}

impl AsyncRead for Placed {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if let Poll::Ready(read) = Pin::new(&mut self.stream).poll_read(context, buffer) {
            let until = Instant::now() + self.silence_max;
            self.silent.as_mut().reset(until);
            return Poll::Ready(read);
        }
        self.silent.as_mut().poll(context).map(|()| Err(io::ErrorKind::TimedOut.into()))
    }
}

impl AsyncWrite for Placed {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests;
