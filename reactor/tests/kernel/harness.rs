//! A reactor with a listener, and ordinary sockets as its peers.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

use iris_reactor::{CloseCause, Config, Conn, Event, Listener, Reactor, Wait};

/// A test that waits longer has failed.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) struct Host {
    pub(crate) reactor: Reactor,
    pub(crate) address: SocketAddr,
    pub(crate) listener: Listener,
}

/// Small, quick to set up, closing at once.
pub(crate) fn config() -> Config {
    Config {
        descriptors_per_ring: 256,
        submissions: 64,
        completions: 256,
        receive_buffers: 64,
        receive_buffer_bytes: 4096,
        idle_after: None,
        close_linger: Duration::ZERO,
        ..Config::default()
    }
}

impl Host {
    pub(crate) fn new(config: &Config) -> Self {
        Self::at(config, "127.0.0.1:0")
    }

    pub(crate) fn at(config: &Config, address: &str) -> Self {
        let mut reactor = Reactor::new(config).expect("a reactor");
        let socket = TcpListener::bind(address).expect("a socket");
        let address = socket.local_addr().expect("an address");
        let listener = reactor.listen(socket);
        Self { reactor, address, listener }
    }

    /// An ordinary socket that is connected here; the kernel has taken it, the reactor perhaps not yet.
    pub(crate) fn dial(&self) -> TcpStream {
        let stream = TcpStream::connect(self.address).expect("connected");
        stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        stream.set_write_timeout(Some(PATIENCE)).expect("a timeout");
        stream
    }

    /// A peer and the connection it became.
    pub(crate) fn pair(&mut self) -> (TcpStream, Conn) {
        let stream = self.dial();
        let conn = self.until(|_, event| match event {
            Event::Accepted { conn, .. } => Some(conn),
            _ => None,
        });
        (stream, conn)
    }

    /// Takes turns and hands out events until one of them is the one.
    pub(crate) fn until<T>(&mut self, wanted: impl FnMut(&mut Reactor, Event) -> Option<T>) -> T {
        until(&mut self.reactor, wanted)
    }

    /// The cause of the connection's end.
    pub(crate) fn closed(&mut self, conn: Conn) -> CloseCause {
        self.until(|_, event| match event {
            Event::Closed { conn: closed, cause } if closed == conn => Some(cause),
            _ => None,
        })
    }

    /// The next `count` bytes of a connection.
    pub(crate) fn bytes(&mut self, conn: Conn, count: usize) -> Vec<u8> {
        let mut taken = Vec::new();
        self.until(|_, event| {
            if let Event::Received { conn: from, bytes } = event {
                assert_eq!(from, conn);
                taken.extend_from_slice(&bytes);
            }
            (taken.len() >= count).then_some(())
        });
        assert_eq!(taken.len(), count, "more came than was sent");
        taken
    }

    /// Sends and waits until the kernel has it.
    pub(crate) fn say(&mut self, conn: Conn, bytes: &[u8]) {
        self.reactor.send(conn, bytes.to_vec());
        self.until(|_, event| matches!(event, Event::Sent { conn: to, .. } if to == conn).then_some(()));
    }

    /// A peer says something, and the connection hears it.
    pub(crate) fn hears(&mut self, stream: &mut TcpStream, conn: Conn, bytes: &[u8]) {
        stream.write_all(bytes).expect("written");
        assert_eq!(self.bytes(conn, bytes.len()), bytes);
    }

    /// Both directions work.
    pub(crate) fn talks(&mut self, stream: &mut TcpStream, conn: Conn) {
        self.hears(stream, conn, b"question");
        self.say(conn, b"answer");
        assert_eq!(read_exactly(stream, 6), b"answer");
    }

    /// Takes turns without waiting until this holds.
    pub(crate) fn until_holds(&mut self, mut holds: impl FnMut(&Reactor) -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while !holds(&self.reactor) {
            assert!(Instant::now() < deadline, "it did not happen: {:?}", self.reactor.counters());
            self.reactor.turn(Wait::Until(Instant::now() + Duration::from_millis(5))).expect("a turn");
        }
    }
}

pub(crate) fn until<T>(reactor: &mut Reactor, mut wanted: impl FnMut(&mut Reactor, Event) -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        while let Some(event) = reactor.next() {
            if let Some(found) = wanted(reactor, event) {
                return found;
            }
        }
        assert!(Instant::now() < deadline, "it did not happen: {:?}", reactor.counters());
        reactor.turn(Wait::Until(deadline)).expect("a turn");
    }
}

pub(crate) fn read_exactly(stream: &mut TcpStream, count: usize) -> Vec<u8> {
    let mut bytes = vec![0; count];
    stream.read_exact(&mut bytes).expect("read");
    bytes
}

/// Ends a peer's connection with a reset.
pub(crate) fn reset(stream: TcpStream) {
    socket2::SockRef::from(&stream).set_linger(Some(Duration::ZERO)).expect("an option");
    drop(stream);
}

/// How a peer sees the end: `None` is an orderly one.
pub(crate) fn read_to_end(stream: &mut TcpStream) -> (Vec<u8>, Option<ErrorKind>) {
    let mut bytes = Vec::new();
    let end = stream.read_to_end(&mut bytes).err().map(|error| error.kind());
    (bytes, end)
}

/// Bytes whose order can be checked.
pub(crate) fn pattern(count: usize) -> Vec<u8> {
    (0..count).map(|place| (place.wrapping_mul(2_654_435_761) >> 16).to_le_bytes()[0]).collect()
}
