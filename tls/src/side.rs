//! The two sides of a connection, as far as rustls tells them apart.

use rustls::CommonState;
use rustls::client::{ClientConnectionData, UnbufferedClientConnection};
use rustls::server::{ServerConnectionData, UnbufferedServerConnection};
use rustls::unbuffered::UnbufferedStatus;

/// The side that accepts.
pub type Server = ServerConnectionData;
/// The side that connects.
pub type Client = ClientConnectionData;

/// One of the two.
pub trait Side: Sized + sealed::Sealed {
    /// rustls' connection of this side.
    type Conn;

    /// Goes on with these bytes.
    fn process<'c, 'i>(conn: &'c mut Self::Conn, bytes: &'i mut [u8]) -> UnbufferedStatus<'c, 'i, Self>;

    /// What both have in common.
    fn common(conn: &Self::Conn) -> &CommonState;
}

impl Side for Server {
    type Conn = UnbufferedServerConnection;

    fn process<'c, 'i>(conn: &'c mut Self::Conn, bytes: &'i mut [u8]) -> UnbufferedStatus<'c, 'i, Self> {
        conn.process_tls_records(bytes)
    }

    fn common(conn: &Self::Conn) -> &CommonState {
        conn
    }
}

impl Side for Client {
    type Conn = UnbufferedClientConnection;

    fn process<'c, 'i>(conn: &'c mut Self::Conn, bytes: &'i mut [u8]) -> UnbufferedStatus<'c, 'i, Self> {
        conn.process_tls_records(bytes)
    }

    fn common(conn: &Self::Conn) -> &CommonState {
        conn
    }
}

mod sealed {
    /// There is no third side.
    pub trait Sealed {}
    impl Sealed for super::Server {}
    impl Sealed for super::Client {}
}
