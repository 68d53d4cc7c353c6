//! Sockets that a connection must not be made of.

use super::is_own_end;
use rustix::net::{AddressFamily, SocketType, bind, connect, getsockname, socket};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};

/// A client does not take itself for the server while that is down.
/// Seen to fail when: `is_own_end` is false.
#[test]
fn a_socket_that_is_connected_to_itself_is_noticed() {
    let own = socket(AddressFamily::INET, SocketType::STREAM, None).unwrap();
    bind(&own, &SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).unwrap();
    connect(&own, &SocketAddr::try_from(getsockname(&own).unwrap()).unwrap()).unwrap();
    assert!(is_own_end(&TcpStream::from(own)));

    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let other = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    assert!(!is_own_end(&other));
}
