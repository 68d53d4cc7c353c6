//! One TLS connection: ciphertext in, application bytes and ciphertext out.
//!
//! Invariants
//! - Between calls nothing is buffered but an incomplete record, and its memory is given back once it is complete.
//! - An incomplete record has at most [`LEFTOVER_BYTES_MAX`]; more is a peer's fault.
//! - After an error the connection is used for nothing but dropping it; the alert for the peer is in `out` by then.

use crate::side::{Client, Server, Side};
use rustls::client::UnbufferedClientConnection;
use rustls::server::UnbufferedServerConnection;
use rustls::unbuffered::{
    ConnectionState, EncodeError, EncodeTlsData, EncryptError, InsufficientSizeError, UnbufferedStatus,
    WriteTraffic,
};
use rustls::{ClientConfig, HandshakeKind, ServerConfig};
use rustls_pki_types::ServerName;
use std::sync::Arc;

/// Most bytes of an incomplete record: the largest that TLS 1.3 knows is 16,645 bytes (RFC 8446, section 5.2); rustls
/// takes up to 18,437. A handshake message in many records must fit too: a ClientHello has some 300 to 2,000 bytes, a server's
/// chain of certificates rarely more than 5 KiB.
pub const LEFTOVER_BYTES_MAX: usize = 20 << 10;
/// Bytes that a record of application data has more than its plaintext: header 5, content type 1, tag 16.
const RECORD_OVERHEAD: usize = 22;
/// Plaintext bytes of a record.
const RECORD_BYTES_MAX: usize = 16 << 10;

/// Where a connection stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TlsState {
    /// No application bytes may be sent yet.
    Handshaking,
    /// Application bytes go both ways.
    Open,
    /// The peer said that it sends no more.
    PeerClosed,
}

/// Why a connection has failed. Close it, after sending what is in `out`.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// The peer broke the protocol, or offers nothing that we take.
    #[error("tls: {0}")]
    Protocol(#[from] rustls::Error),
    /// A record or a handshake message that does not end.
    #[error("tls: an incomplete message of more than 20 KiB")]
    Leftover,
    /// Application bytes before the handshake is complete, or after we closed.
    #[error("tls: the connection is not open for sending")]
    NotOpen,
    /// The keys of the connection are used up.
    #[error("tls: the connection's keys are used up")]
    Exhausted,
}

/// One end of a connection.
pub struct TlsConn<S: Side> {
    conn: S::Conn,
    /// The begin of an incomplete record; empty, without memory, most of the time.
    leftover: Vec<u8>,
    state: TlsState,
    /// True once our close_notify is in `out`.
    closed: bool,
}

const _: fn() = || {
    fn sent_between_threads<T: Send>() {}
    sent_between_threads::<TlsConn<Server>>();
    sent_between_threads::<TlsConn<Client>>();
};

impl TlsConn<Server> {
    /// A server's end before its first byte.
    ///
    /// # Errors
    /// [`TlsError::Protocol`] if the system gives no random bytes.
    pub fn server(config: Arc<ServerConfig>) -> Result<Self, TlsError> {
        Ok(Self::begin(UnbufferedServerConnection::new(config)?))
    }
}

impl TlsConn<Client> {
    /// A client's end; receive nothing, to get its first flight.
    ///
    /// # Errors
    /// [`TlsError::Protocol`] if the system gives no random bytes.
    pub fn client(config: Arc<ClientConfig>, name: ServerName<'static>) -> Result<Self, TlsError> {
        Ok(Self::begin(UnbufferedClientConnection::new(config, name)?))
    }
}

impl<S: Side> TlsConn<S> {
    fn begin(conn: S::Conn) -> Self {
        Self { conn, leftover: Vec::new(), state: TlsState::Handshaking, closed: false }
    }

    /// Takes ciphertext as it arrived (decrypted in place, so its bytes are spent), calls `plain` with application
    /// bytes in order, and appends what must be sent to the peer to `out`.
    ///
    /// # Errors
    /// [`TlsError`]; the alert for the peer, if there is one, is in `out`, and nothing can be sealed any more.
    pub fn receive(
        &mut self,
        bytes: &mut [u8],
        out: &mut Vec<u8>,
        plain: impl FnMut(&[u8]),
    ) -> Result<TlsState, TlsError> {
        let outcome = self.take(bytes, out, plain);
        if outcome.is_err() {
            self.closed = true;
            self.leftover = Vec::new();
        }
        outcome
    }

    fn take(
        &mut self,
        bytes: &mut [u8],
        out: &mut Vec<u8>,
        plain: impl FnMut(&[u8]),
    ) -> Result<TlsState, TlsError> {
        let mut run = Run::<S, _> { conn: &mut self.conn, state: &mut self.state, out, plain };
        if self.leftover.is_empty() {
            let done = run.process(bytes)?;
            self.leftover = bytes.get(done..).unwrap_or_default().to_vec();
        } else {
            self.leftover.extend_from_slice(bytes);
            let done = run.process(&mut self.leftover)?;
            self.forget(done);
        }
        if self.state == TlsState::PeerClosed {
            self.leftover = Vec::new();
        }
        if self.leftover.len() > LEFTOVER_BYTES_MAX {
            return Err(TlsError::Leftover);
        }
        Ok(self.state)
    }

    /// Drops this many bytes from the front of what is left over, and the memory that they took.
    fn forget(&mut self, done: usize) {
        if done > 0 {
            self.leftover = self.leftover.get(done..).unwrap_or_default().to_vec();
        }
    }

    /// Appends the records of these application bytes to `out`.
    ///
    /// # Errors
    /// [`TlsError::NotOpen`] before the handshake is complete, after [`TlsConn::close`] and after an error.
    pub fn seal(&mut self, plain: &[u8], out: &mut Vec<u8>) -> Result<(), TlsError> {
        if self.closed || self.state == TlsState::Handshaking {
            return Err(TlsError::NotOpen);
        }
        let records = plain.len().div_ceil(RECORD_BYTES_MAX).max(1);
        let room = plain.len() + records * RECORD_OVERHEAD;
        self.with_traffic(out, |traffic, out| append(out, room, |free| traffic.encrypt(plain, free)))
    }

    /// Appends the close_notify that tells the peer that nothing follows. Nothing before the handshake is complete, and
    /// nothing at a second call.
    pub fn close(&mut self, out: &mut Vec<u8>) {
        if self.closed || self.state == TlsState::Handshaking {
            return;
        }
        let room = 2 + RECORD_OVERHEAD;
        // A connection whose keys are used up cannot say goodbye; it is closed all the same.
        let _unsaid =
            self.with_traffic(out, |traffic, out| append(out, room, |free| traffic.queue_close_notify(free)));
        self.closed = true;
    }

    /// True from the end of the handshake until one side closes or fails.
    pub fn is_open(&self) -> bool {
        self.state == TlsState::Open && !self.closed
    }

    /// True once the two have agreed on a cipher. Of a server: the ClientHello was answered, the costly half of the handshake is done.
    pub fn has_begun(&self) -> bool {
        S::common(&self.conn).negotiated_cipher_suite().is_some()
    }

    /// True if the handshake resumed an earlier session.
    pub fn is_resumed(&self) -> bool {
        S::common(&self.conn).handshake_kind() == Some(HandshakeKind::Resumed)
    }

    /// Memory that is held for an incomplete record, in bytes.
    pub fn leftover_capacity(&self) -> usize {
        self.leftover.capacity()
    }

    /// Brings the connection to where it can encrypt, and does so. What is left over goes along each time: rustls
    /// remembers places in it, and panics if they are gone.
    fn with_traffic(
        &mut self,
        out: &mut Vec<u8>,
        write: impl FnOnce(&mut WriteTraffic<'_, S>, &mut Vec<u8>) -> Result<(), TlsError>,
    ) -> Result<(), TlsError> {
        loop {
            let UnbufferedStatus { discard, state } = S::process(&mut self.conn, &mut self.leftover);
            match state {
                Ok(ConnectionState::EncodeTlsData(data)) => encode(data, out)?,
                Ok(ConnectionState::TransmitTlsData(data)) => data.done(),
                Ok(ConnectionState::WriteTraffic(mut traffic)) => return write(&mut traffic, out),
                Ok(ConnectionState::PeerClosed) => self.state = TlsState::PeerClosed,
                Ok(_) => return Err(TlsError::NotOpen),
                Err(error) => return Err(error.into()),
            }
            self.forget(discard);
        }
    }
}

/// One call's work.
struct Run<'a, S: Side, P> {
    conn: &'a mut S::Conn,
    state: &'a mut TlsState,
    out: &'a mut Vec<u8>,
    plain: P,
}

impl<S: Side, P: FnMut(&[u8])> Run<'_, S, P> {
    /// Takes all complete records; gives how many bytes of `bytes` are done with.
    fn process(&mut self, bytes: &mut [u8]) -> Result<usize, TlsError> {
        let mut done = 0;
        loop {
            let rest = bytes.get_mut(done..).unwrap_or_default();
            let UnbufferedStatus { mut discard, state } = S::process(self.conn, rest);
            let more = match state {
                Ok(ConnectionState::ReadTraffic(mut traffic)) => {
                    while let Some(record) = traffic.next_record() {
                        let record = record?;
                        discard += record.discard;
                        (self.plain)(record.payload);
                    }
                    true
                }
                Ok(ConnectionState::EncodeTlsData(data)) => {
                    encode(data, self.out)?;
                    true
                }
                Ok(ConnectionState::TransmitTlsData(data)) => {
                    data.done();
                    true
                }
                Ok(ConnectionState::PeerClosed) => {
                    *self.state = TlsState::PeerClosed;
                    true
                }
                Ok(ConnectionState::WriteTraffic(_)) => {
                    if *self.state == TlsState::Handshaking {
                        *self.state = TlsState::Open;
                    }
                    false
                }
                Ok(ConnectionState::Closed | ConnectionState::BlockedHandshake) => false,
                Ok(_) => return Err(TlsError::Protocol(rustls::Error::General("early data".to_owned()))),
                Err(error) => {
                    self.alert();
                    return Err(error.into());
                }
            };
            done += discard;
            if !more {
                return Ok(done);
            }
        }
    }

    /// Takes out what rustls has to tell the peer about its error. Only while there is something: one call more would
    /// look into bytes that are gone.
    fn alert(&mut self) {
        while S::common(self.conn).wants_write() {
            let UnbufferedStatus { state, .. } = S::process(self.conn, &mut []);
            let Ok(ConnectionState::EncodeTlsData(data)) = state else { return };
            if encode(data, self.out).is_err() {
                return;
            }
        }
    }
}

fn encode<S>(mut data: EncodeTlsData<'_, S>, out: &mut Vec<u8>) -> Result<(), TlsError> {
    append(out, 0, |free| {
        data.encode(free).map_err(|error| match error {
            EncodeError::InsufficientSize(size) => EncryptError::InsufficientSize(size),
            EncodeError::AlreadyEncoded => EncryptError::EncryptExhausted,
        })
    })
}

/// Lets `write` write behind the end of `out`, with this room at first, and once more if it asks for more.
fn append(
    out: &mut Vec<u8>,
    room: usize,
    mut write: impl FnMut(&mut [u8]) -> Result<usize, EncryptError>,
) -> Result<(), TlsError> {
    let start = out.len();
    let mut room = room;
    for _ in 0..2 {
        out.resize(start + room, 0);
        match write(out.get_mut(start..).unwrap_or_default()) {
            Ok(written) => {
                out.truncate(start + written);
                return Ok(());
            }
            Err(EncryptError::InsufficientSize(InsufficientSizeError { required_size })) => {
                room = required_size;
            }
            Err(EncryptError::EncryptExhausted) => break,
        }
    }
    out.truncate(start);
    Err(TlsError::Exhausted)
}
