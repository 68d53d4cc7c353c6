//! A bare framed connection: any bytes out, frames in. For tests of how a server takes a hostile client.
//!
//! Invariants
//! - Nothing is sent that the caller did not ask for, the TLS handshake apart.

use crate::conn::{Conn, ConnError};
use crate::endpoint::Endpoint;
use iris_protocol::{frame, wire};
use std::time::{Duration, Instant};

/// How long a write may wait for the server to read.
const WRITE_TIMEOUT: Duration = Duration::from_secs(10);

/// What a read found.
#[derive(Clone, Debug, PartialEq)]
pub enum Read {
    /// A frame; `None` inside is one of an unknown kind.
    Frame(wire::ServerFrame),
    /// The server has closed the connection.
    Closed,
    /// Nothing came in time.
    TimedOut,
}

/// A blocking framed connection.
pub struct RawConn {
    conn: Conn,
}

impl RawConn {
    /// Connects. Over TLS the handshake happens with the first read or write.
    ///
    /// # Errors
    /// [`ConnError`] if nobody answers.
    pub fn connect(endpoint: &Endpoint, timeout: Duration) -> Result<Self, ConnError> {
        Ok(Self { conn: Conn::open(endpoint, timeout)? })
    }

    /// Sends one frame.
    ///
    /// # Errors
    /// [`ConnError`] if the connection is gone, or the server does not read for 10 s.
    pub fn send_frame(&mut self, frame: wire::client_frame::Frame) -> Result<(), ConnError> {
        self.conn.queue_frame(frame);
        self.write_out()
    }

    /// Sends bytes as they are: half frames, wrong lengths, garbage.
    ///
    /// # Errors
    /// As `send_frame`.
    pub fn send_bytes(&mut self, bytes: &[u8]) -> Result<(), ConnError> {
        self.conn.queue(bytes);
        self.write_out()
    }

    fn write_out(&mut self) -> Result<(), ConnError> {
        let deadline = Instant::now() + WRITE_TIMEOUT;
        loop {
            self.conn.flush()?;
            if !self.conn.has_output() {
                return Ok(());
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(std::io::Error::from(std::io::ErrorKind::TimedOut).into());
            }
            // What the server sends meanwhile is kept for `read_frame`; a handshake needs it.
            if !self.conn.read()? {
                return Err(std::io::Error::from(std::io::ErrorKind::UnexpectedEof).into());
            }
            self.conn.wait(None, left)?;
        }
    }

    /// The next frame. A reset by the server counts as closed.
    ///
    /// # Errors
    /// [`ConnError`] if the server sends what is no frame, or does not prove itself.
    pub fn read_frame(&mut self, timeout: Duration) -> Result<Read, ConnError> {
        let deadline = Instant::now() + timeout;
        loop {
            if let Some(body) = self.conn.next_body()? {
                return Ok(Read::Frame(frame::decode_server(body)?));
            }
            let open = match self.read_and_flush() {
                Err(ConnError::Io(error)) if is_reset(&error) => false,
                other => other?,
            };
            if let Some(body) = self.conn.next_body()? {
                return Ok(Read::Frame(frame::decode_server(body)?));
            }
            if !open {
                return Ok(Read::Closed);
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(Read::TimedOut);
            }
            self.conn.wait(None, left)?;
        }
    }

    fn read_and_flush(&mut self) -> Result<bool, ConnError> {
        let open = self.conn.read()?;
        if open {
            self.conn.flush()?;
        }
        Ok(open)
    }

    /// Ends the sending side only.
    ///
    /// # Errors
    /// [`ConnError::Io`] if the connection is gone already.
    pub fn shutdown_write(&mut self) -> Result<(), ConnError> {
        Ok(self.conn.socket().shutdown(std::net::Shutdown::Write)?)
    }

    /// Ends the connection with a reset instead of an orderly close.
    ///
    /// # Errors
    /// [`ConnError::Io`] if the system refuses the option.
    pub fn reset(self) -> Result<(), ConnError> {
        rustix::net::sockopt::set_socket_linger(self.conn.socket(), Some(Duration::ZERO))
            .map_err(std::io::Error::from)?;
        drop(self.conn);
        Ok(())
    }

    /// The local address.
    pub fn local_address(&self) -> Option<std::net::SocketAddr> {
        self.conn.local_address()
    }
}

fn is_reset(error: &std::io::Error) -> bool {
    matches!(
        error.kind(),
        std::io::ErrorKind::ConnectionReset
            | std::io::ErrorKind::BrokenPipe
            | std::io::ErrorKind::UnexpectedEof
            | std::io::ErrorKind::NotConnected
    )
}
