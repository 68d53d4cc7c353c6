//! One connection to a server: with length prefixes or as a WebSocket, over TLS or plain TCP, never blocking but in `wait` and `open`.
//!
//! Invariants
//! - A frame's length is judged before memory is taken for it.
//! - Bytes leave in the order they were queued.

use crate::endpoint::Endpoint;
use crate::websocket::WebSocket;
use bytes::{Buf, Bytes, BytesMut};
use iris_protocol::frame::{self, FrameError};
use iris_protocol::limits::{FRAME_BYTES_MAX, LENGTH_BYTES};
use iris_protocol::websocket::upgrade::Target;
use iris_protocol::websocket::{AnswerError, CloseStatus, WebSocketError};
use iris_protocol::wire;
use rustix::event::{PollFd, PollFlags, Timespec};
use rustls::ClientConnection;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

/// Bytes taken from the socket at once.
const READ_BYTES: usize = 16 << 10;
/// Bytes that are shown of what is no frame.
const EVIDENCE_BYTES: usize = 64;

/// Why a connection cannot be made or used. The connection is of no use any more.
#[derive(Debug, thiserror::Error)]
pub enum ConnError {
    /// The name cannot be looked up.
    #[error("{host}: {source}")]
    Lookup {
        /// The host.
        host: String,
        /// What went wrong.
        source: io::Error,
    },
    /// Nobody answers there.
    #[error("{address}: {source}")]
    Connect {
        /// The address tried last.
        address: SocketAddr,
        /// What went wrong.
        source: io::Error,
    },
    /// The name has no address.
    #[error("{host}: no address")]
    NoAddress {
        /// The host.
        host: String,
    },
    /// A token would travel readably.
    #[error("{address} is not a loopback address: plain text goes no further than this host")]
    NotLoopback {
        /// The address.
        address: SocketAddr,
    },
    /// The host is neither a name nor an address that a certificate can carry.
    #[error("{host} is not a name that a certificate can carry")]
    ServerName {
        /// The host.
        host: String,
    },
    /// The server did not prove itself, or the encrypted stream is broken.
    #[error("tls: {0}")]
    Tls(#[from] rustls::Error),
    /// The server does not become a WebSocket.
    #[error("websocket: {0}")]
    Upgrade(#[from] AnswerError),
    /// The server broke the rules of WebSocket.
    #[error("websocket: {0}")]
    WebSocket(#[from] WebSocketError),
    /// The server sent something that is not a frame.
    #[error(transparent)]
    Frame(#[from] FrameError),
    /// The connection broke.
    #[error("connection lost: {0}")]
    Io(#[from] io::Error),
}

/// What a wait ended with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ready {
    /// The connection has something to read, or can take more.
    pub conn: bool,
    /// The other descriptor has something to read.
    pub other: bool,
}

/// One connection.
pub struct Conn {
    socket: TcpStream,
    tls: Option<Box<ClientConnection>>,
    websocket: Option<Box<WebSocket>>,
    input: BytesMut,
    output: BytesMut,
    ended: bool,
}

impl Conn {
    /// Connects; blocks for `timeout` at most for each address. TLS handshake and upgrade happen with the first reads and
    /// writes.
    ///
    /// # Errors
    /// [`ConnError`]: try again after a while, unless the endpoint is wrong.
    pub fn open(endpoint: &Endpoint, timeout: Duration) -> Result<Self, ConnError> {
        let socket = connect(endpoint, timeout)?;
        socket.set_nodelay(true)?;
        socket.set_nonblocking(true)?;
        let tls = match endpoint.tls_config() {
            None => None,
            Some(config) => {
                let host = || ConnError::ServerName { host: endpoint.host().to_owned() };
                let name = endpoint.server_name().ok_or_else(host)?;
                Some(Box::new(ClientConnection::new(config, name)?))
            }
        };
        let mut output = BytesMut::new();
        let websocket = endpoint.websocket().map(|(authority, path)| {
            Box::new(WebSocket::begin(Target { authority: &authority, path }, &mut output))
        });
        Ok(Self { socket, tls, websocket, input: BytesMut::new(), output, ended: false })
    }

    /// Queues a frame.
    pub fn queue_frame(&mut self, frame: wire::client_frame::Frame) {
        let mut bytes = Vec::new();
        frame::encode_client(frame, &mut bytes);
        match &mut self.websocket {
            Some(websocket) => websocket.queue_frame(&bytes, &mut self.output),
            None => self.output.extend_from_slice(&bytes),
        }
    }

    /// Queues bytes as they are; on a WebSocket, behind the upgrade.
    pub fn queue(&mut self, bytes: &[u8]) {
        match &mut self.websocket {
            Some(websocket) => websocket.queue(bytes, &mut self.output),
            None => self.output.extend_from_slice(bytes),
        }
    }

    /// True while bytes wait for the socket.
    pub fn has_output(&self) -> bool {
        !self.output.is_empty() || self.tls.as_ref().is_some_and(|tls| tls.wants_write())
    }

    /// Writes what the socket takes.
    ///
    /// # Errors
    /// [`ConnError::Io`] if the connection is gone.
    pub fn flush(&mut self) -> Result<(), ConnError> {
        let Some(tls) = &mut self.tls else {
            while !self.output.is_empty() {
                match pending(self.socket.write(&self.output))? {
                    Some(written) => self.output.advance(written),
                    None => return Ok(()),
                }
            }
            return Ok(());
        };
        loop {
            while tls.wants_write() {
                if pending(tls.write_tls(&mut self.socket))?.is_none() {
                    return Ok(());
                }
            }
            // During the handshake the bytes wait here, not in the encrypted stream.
            if self.output.is_empty() || tls.is_handshaking() {
                return Ok(());
            }
            let taken = tls.writer().write(&self.output)?;
            self.output.advance(taken);
        }
    }

    /// Takes what the socket has. False: the server has closed its side, and what it sent is all there is.
    ///
    /// # Errors
    /// [`ConnError`] if the connection is gone or the server does not prove itself.
    pub fn read(&mut self) -> Result<bool, ConnError> {
        while !self.ended {
            let Some(count) = self.read_once()? else {
                return Ok(true);
            };
            self.ended = count == 0;
        }
        Ok(false)
    }

    /// `None`: nothing there now. `Some(0)`: the end.
    fn read_once(&mut self) -> Result<Option<usize>, ConnError> {
        let Some(tls) = &mut self.tls else {
            let start = self.input.len();
            self.input.resize(start + READ_BYTES, 0);
            let count =
                self.input.get_mut(start..).map_or(Ok(Some(0)), |tail| pending(self.socket.read(tail)));
            self.input.truncate(start + count.as_ref().ok().copied().flatten().unwrap_or(0));
            return Ok(count?);
        };
        let Some(count) = pending(tls.read_tls(&mut self.socket))? else {
            return Ok(None);
        };
        let state = match tls.process_new_packets() {
            Ok(state) => state,
            Err(error) => {
                // Tells the server why, if the socket still takes it.
                drop(tls.write_tls(&mut self.socket));
                return Err(error.into());
            }
        };
        let start = self.input.len();
        self.input.resize(start + state.plaintext_bytes_to_read(), 0);
        if let Some(tail) = self.input.get_mut(start..) {
            tls.reader().read_exact(tail)?;
        }
        Ok(Some(if state.peer_has_closed() { 0 } else { count }))
    }

    /// The next complete frame's body; `None`: read more.
    ///
    /// # Errors
    /// [`ConnError`] if the server announces a frame that is too large or empty, or is no WebSocket.
    pub fn next_body(&mut self) -> Result<Option<Bytes>, ConnError> {
        if let Some(websocket) = &mut self.websocket {
            return websocket.next_body(&mut self.input, &mut self.output);
        }
        let Some(length) = frame::body_length(&self.input, FRAME_BYTES_MAX)? else {
            return Ok(None);
        };
        let Some(body) = self.input.get(LENGTH_BYTES..LENGTH_BYTES + length) else {
            return Ok(None);
        };
        // A copy of the right size: a payload that is kept must not keep the whole buffer.
        let body = Bytes::copy_from_slice(body);
        self.input.advance(LENGTH_BYTES + length);
        Ok(Some(body))
    }

    /// Waits until the connection can go on, `other` can be read, or the time is over.
    ///
    /// # Errors
    /// [`ConnError::Io`] if the system refuses to wait.
    pub fn wait(&self, other: Option<BorrowedFd<'_>>, timeout: Duration) -> Result<Ready, ConnError> {
        let mut wanted = PollFlags::IN;
        if self.has_output() {
            wanted |= PollFlags::OUT;
        }
        let mut fds = vec![PollFd::from_borrowed_fd(self.socket.as_fd(), wanted)];
        fds.extend(other.map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN)));
        poll(&mut fds, timeout)?;
        let is_ready = |index: usize| fds.get(index).is_some_and(|fd| !fd.revents().is_empty());
        Ok(Ready { conn: is_ready(0), other: is_ready(1) })
    }

    /// The local address.
    pub fn local_address(&self) -> Option<SocketAddr> {
        self.socket.local_addr().ok()
    }

    /// Who talked to whom, and what of it was not understood: for whoever looks for the fault.
    pub(crate) fn evidence(&self) -> String {
        let name =
            |address: io::Result<SocketAddr>| address.map_or_else(|_| "?".to_owned(), |it| it.to_string());
        let (own, peer) = (name(self.socket.local_addr()), name(self.socket.peer_addr()));
        let rest: Vec<u8> = self.input.iter().take(EVIDENCE_BYTES).copied().collect();
        format!("{own} from {peer}, {} bytes unread: {rest:02x?}", self.input.len())
    }

    pub(crate) fn socket(&self) -> &TcpStream {
        &self.socket
    }

    /// Says goodbye as a WebSocket and in TLS, writes what the socket still takes, and closes.
    pub fn close(mut self) {
        if let Some(websocket) = &mut self.websocket {
            websocket.close(Some(CloseStatus::NORMAL), &mut self.output);
        }
        let mut flushed = self.flush();
        if let Some(tls) = &mut self.tls {
            tls.send_close_notify();
            flushed = flushed.and_then(|()| self.flush());
        }
        if let Err(error) = flushed {
            tracing::debug!(%error, "closed a broken connection");
        }
    }
}

/// Waits for one of the descriptors. An interrupted wait counts as ended.
pub(crate) fn poll(fds: &mut [PollFd<'_>], timeout: Duration) -> io::Result<()> {
    let timeout = Timespec {
        tv_sec: i64::try_from(timeout.as_secs()).unwrap_or(i64::MAX),
        tv_nsec: i64::from(timeout.subsec_nanos()),
    };
    match rustix::event::poll(fds, Some(&timeout)) {
        Ok(_) | Err(rustix::io::Errno::INTR) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// `None` if the socket cannot go on now.
fn pending(result: io::Result<usize>) -> io::Result<Option<usize>> {
    match result {
        Ok(count) => Ok(Some(count)),
        Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

fn connect(endpoint: &Endpoint, timeout: Duration) -> Result<TcpStream, ConnError> {
    let host = || endpoint.host().to_owned();
    let addresses = (endpoint.host(), endpoint.port())
        .to_socket_addrs()
        .map_err(|source| ConnError::Lookup { host: host(), source })?;
    let mut failed = ConnError::NoAddress { host: host() };
    for address in addresses {
        if endpoint.tls_config().is_none() && !address.ip().is_loopback() {
            return Err(ConnError::NotLoopback { address });
        }
        match TcpStream::connect_timeout(&address, timeout) {
            Ok(socket) if !is_own_end(&socket) => return Ok(socket),
            Ok(_) => {
                failed = ConnError::Connect { address, source: io::ErrorKind::ConnectionRefused.into() };
            }
            Err(source) => failed = ConnError::Connect { address, source },
        }
    }
    Err(failed)
}

/// True if a socket is connected to itself. On this host, while nobody listens on a port that the kernel also gives to
/// outgoing connections, one try in some ten thousand ends so (RFC 9293, section 3.5: a simultaneous open), and holds the
/// port against the server that is coming back.
fn is_own_end(socket: &TcpStream) -> bool {
    matches!((socket.local_addr(), socket.peer_addr()), (Ok(own), Ok(peer)) if own == peer)
}

#[cfg(test)]
mod tests;
