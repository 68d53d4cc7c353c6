//! Listening sockets: one per core and address, so that the kernel spreads connections.
//!
//! Invariants
//! - All sockets of one address have the same port, also when the configuration says 0.
//! - After a crash the old process's sockets may linger: binding is tried again for a while.

use socket2::{Domain, Protocol, Socket, Type};
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::time::{Duration, Instant};

/// How long a taken address is tried again. A killed server with 300,000 connections held its port for 2 s.
const BIND_PATIENCE: Duration = Duration::from_secs(10);
/// Between two tries.
const BIND_PAUSE: Duration = Duration::from_millis(100);

/// One socket for each of `cores`, and the address that they really have.
///
/// # Errors
/// The operating system's for the last try: the address is taken, or not of this host.
pub(crate) fn listeners(
    address: SocketAddr,
    cores: usize,
    backlog: i32,
) -> io::Result<(SocketAddr, Vec<TcpListener>)> {
    // Another server may hold the address with SO_REUSEPORT too: a socket without it finds out.
    let first = patiently(|| exclusive(address))?;
    let bound = first.local_addr()?;
    drop(first);
    let mut sockets = Vec::with_capacity(cores);
    for _ in 0..cores {
        sockets.push(patiently(|| shared(bound, backlog))?);
    }
    Ok((bound, sockets))
}

fn patiently<T>(bind: impl Fn() -> io::Result<T>) -> io::Result<T> {
    let until = Instant::now() + BIND_PATIENCE;
    loop {
        match bind() {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse && Instant::now() < until => {
                std::thread::sleep(BIND_PAUSE);
            }
            outcome => return outcome,
        }
    }
}

fn socket(address: SocketAddr) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    Ok(socket)
}

fn exclusive(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = socket(address)?;
    socket.bind(&address.into())?;
    // Two sockets may share an address until one of them listens.
    socket.listen(1)?;
    Ok(socket.into())
}

fn shared(address: SocketAddr, backlog: i32) -> io::Result<TcpListener> {
    let socket = socket(address)?;
    socket.set_reuse_port(true)?;
    socket.set_tcp_nodelay(true)?;
    socket.bind(&address.into())?;
    socket.listen(backlog)?;
    Ok(socket.into())
}
