//! Many connections on one reactor, each through its [`Channel`]: the part that loads and floors share.
//!
//! Invariants
//! - All frames queued for a connection in one turn leave in one send; one send a connection is in flight.
//! - An idle connection has no buffer.
//! - Traffic sees plaintext only; a connection is announced as opened once plaintext can flow, and closed once.

use crate::channel::{Channel, Security};
use crate::error::BenchError;
use hashbrown::HashMap;
use iris_reactor::{CloseCause, Config, Conn, Event, Reactor, Wait};
use slab::Slab;
use std::net::{SocketAddr, TcpListener};

/// Buffers kept for reuse. Above it they are freed: a burst must not be remembered for ever.
const SPARE_MAX: usize = 4096;

/// A connection of one [`Links`]; reused after its close.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LinkId(usize);

/// How a connection ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// Once this turn's frames are out.
    Close,
    /// With a reset, whatever is under way.
    Abort,
}

/// What is done with events. Every method may queue frames on any connection.
pub trait Traffic {
    /// Plaintext can flow from now on.
    ///
    /// # Errors
    /// Ends the run.
    fn opened(&mut self, wires: &mut Wires, link: LinkId) -> Result<(), BenchError>;

    /// Plaintext came.
    ///
    /// # Errors
    /// Ends the run.
    fn received(&mut self, wires: &mut Wires, link: LinkId, bytes: &[u8]) -> Result<(), BenchError>;

    /// The connection is gone; its id may be used again.
    ///
    /// # Errors
    /// Ends the run.
    fn closed(&mut self, wires: &mut Wires, link: LinkId, cause: CloseCause) -> Result<(), BenchError>;
}

struct Link {
    conn: Conn,
    channel: Channel,
    /// Plaintext that waits for the next flush.
    out: Vec<u8>,
    /// Wire bytes that TLS made by itself.
    wire: Vec<u8>,
    /// The start of a frame whose rest has not come yet.
    partial: Vec<u8>,
    state: LinkState,
    /// A send is in flight.
    sending: bool,
    /// Listed for the next flush.
    dirty: bool,
}

/// How far a connection has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum LinkState {
    /// TCP is on its way.
    Connecting,
    /// The channel is opening.
    Connected,
    /// Traffic was told that plaintext can flow.
    Open,
}

/// The queues of all connections.
pub struct Wires {
    links: Slab<Link>,
    dirty: Vec<LinkId>,
    ending: Vec<(LinkId, Ending)>,
    pausing: Vec<(LinkId, bool)>,
    spare: Vec<Vec<u8>>,
}

impl Wires {
    /// The queue of a connection, to append whole frames to; `None` if it has closed.
    pub fn out(&mut self, id: LinkId) -> Option<&mut Vec<u8>> {
        self.mark(id);
        let link = self.links.get_mut(id.0)?;
        if link.out.capacity() == 0 {
            link.out = self.spare.pop().unwrap_or_default();
        }
        Some(&mut link.out)
    }

    /// Ends a connection at the end of this turn.
    pub fn end(&mut self, id: LinkId, how: Ending) {
        self.ending.push((id, how));
    }

    /// Stops reading from a connection at the end of this turn, or reads again.
    pub fn pause(&mut self, id: LinkId, pause: bool) {
        self.pausing.push((id, pause));
    }

    /// True if a connection's handshake resumed an earlier session.
    pub fn is_resumed(&self, id: LinkId) -> bool {
        self.links.get(id.0).is_some_and(|link| link.channel.is_resumed())
    }

    /// Takes the unfinished frame of a connection; [`Wires::put_partial`] gives it back.
    pub fn take_partial(&mut self, id: LinkId) -> Vec<u8> {
        self.links.get_mut(id.0).map(|link| std::mem::take(&mut link.partial)).unwrap_or_default()
    }

    /// Gives an unfinished frame back.
    pub fn put_partial(&mut self, id: LinkId, partial: Vec<u8>) {
        if let Some(link) = self.links.get_mut(id.0) {
            link.partial = if partial.is_empty() { Vec::new() } else { partial };
        }
    }

    fn mark(&mut self, id: LinkId) {
        if let Some(link) = self.links.get_mut(id.0)
            && !link.dirty
        {
            link.dirty = true;
            self.dirty.push(id);
        }
    }

    fn keep(&mut self, mut buffer: Vec<u8>) {
        if buffer.capacity() > 0 && self.spare.len() < SPARE_MAX {
            buffer.clear();
            self.spare.push(buffer);
        }
    }
}

/// The connections of one thread.
pub struct Links {
    reactor: Reactor,
    security: Security,
    by_conn: HashMap<Conn, LinkId>,
    wires: Wires,
    plain: Vec<u8>,
}

impl Links {
    /// None yet.
    ///
    /// # Errors
    /// The host has no usable io_uring.
    pub fn new(config: &Config, security: Security) -> Result<Self, BenchError> {
        let reactor = Reactor::new(config)?;
        let wires = Wires {
            links: Slab::new(),
            dirty: Vec::new(),
            ending: Vec::new(),
            pausing: Vec::new(),
            spare: Vec::new(),
        };
        Ok(Self { reactor, security, by_conn: HashMap::new(), wires, plain: Vec::new() })
    }

    /// The reactor, for mail and wakers.
    pub fn reactor(&mut self) -> &mut Reactor {
        &mut self.reactor
    }

    /// The queues.
    pub fn wires(&mut self) -> &mut Wires {
        &mut self.wires
    }

    /// Connections that exist, connecting ones included.
    pub fn count(&self) -> usize {
        self.wires.links.len()
    }

    /// Starts to accept.
    pub fn listen(&mut self, listener: TcpListener) {
        self.reactor.listen(listener);
    }

    /// Starts to connect; [`Traffic::opened`] follows.
    ///
    /// # Errors
    /// No room, or no channel.
    pub fn connect(&mut self, to: SocketAddr, from: Option<SocketAddr>) -> Result<LinkId, BenchError> {
        let channel = self.security.channel()?;
        let conn = self.reactor.connect(to, from)?;
        Ok(self.add(conn, channel, false))
    }

    /// Sends what was queued: one send a connection.
    ///
    /// # Errors
    /// TLS failed.
    pub fn flush(&mut self) -> Result<(), BenchError> {
        let mut dirty = std::mem::take(&mut self.wires.dirty);
        for id in dirty.drain(..) {
            self.flush_link(id)?;
        }
        self.wires.dirty = dirty;
        for (id, how) in std::mem::take(&mut self.wires.ending) {
            if let Some(link) = self.wires.links.get(id.0) {
                match how {
                    Ending::Close => self.reactor.close(link.conn),
                    Ending::Abort => self.reactor.abort(link.conn),
                }
            }
        }
        for (id, pause) in std::mem::take(&mut self.wires.pausing) {
            match self.wires.links.get(id.0) {
                Some(link) if pause => self.reactor.pause(link.conn),
                Some(link) => self.reactor.resume(link.conn),
                None => {}
            }
        }
        Ok(())
    }

    /// Waits and hands what happened to `traffic`; true if a waker or another core woke this one.
    ///
    /// # Errors
    /// The ring failed, TLS failed, or `traffic` did.
    pub fn turn(&mut self, wait: Wait, traffic: &mut impl Traffic) -> Result<bool, BenchError> {
        self.reactor.turn(wait).map_err(BenchError::io("io_uring_enter"))?;
        let mut woken = false;
        while let Some(event) = self.reactor.next() {
            match event {
                Event::Accepted { conn, .. } => {
                    let channel = self.security.channel()?;
                    let id = self.add(conn, channel, true);
                    self.announce(id, traffic)?;
                }
                Event::Connected { conn, result } => self.connected(conn, result.is_ok(), traffic)?,
                Event::Received { conn, mut bytes } => self.received(conn, &mut bytes, traffic)?,
                Event::Sent { conn, buffer } => self.sent(conn, buffer),
                Event::Closed { conn, cause } => self.closed(conn, cause, traffic)?,
                Event::Woken => woken = true,
                Event::Detached { .. }
                | Event::Moved { .. }
                | Event::MoveFailed { .. }
                | Event::Arrived { .. }
                | Event::Written { .. }
                | Event::Synced { .. } => {
                    unreachable!("no connection moves and no file is written here: {event:?}")
                }
            }
        }
        Ok(woken)
    }

    fn add(&mut self, conn: Conn, channel: Channel, connected: bool) -> LinkId {
        let link = Link {
            conn,
            channel,
            out: Vec::new(),
            wire: Vec::new(),
            partial: Vec::new(),
            state: if connected { LinkState::Connected } else { LinkState::Connecting },
            sending: false,
            dirty: false,
        };
        let id = LinkId(self.wires.links.insert(link));
        let before = self.by_conn.insert(conn, id);
        assert!(before.is_none(), "the reactor gave {conn:?} out twice");
        id
    }

    fn connected(&mut self, conn: Conn, good: bool, traffic: &mut impl Traffic) -> Result<(), BenchError> {
        let Some(&id) = self.by_conn.get(&conn) else { return Ok(()) };
        if !good {
            return Ok(());
        }
        let link = &mut self.wires.links[id.0];
        link.state = LinkState::Connected;
        link.channel.drain(&mut link.wire)?;
        self.wires.mark(id);
        self.announce(id, traffic)
    }

    fn announce(&mut self, id: LinkId, traffic: &mut impl Traffic) -> Result<(), BenchError> {
        let link = &mut self.wires.links[id.0];
        if link.state != LinkState::Connected || !link.channel.is_open() {
            return Ok(());
        }
        link.state = LinkState::Open;
        traffic.opened(&mut self.wires, id)
    }

    fn received(
        &mut self,
        conn: Conn,
        bytes: &mut [u8],
        traffic: &mut impl Traffic,
    ) -> Result<(), BenchError> {
        let Some(&id) = self.by_conn.get(&conn) else { return Ok(()) };
        let link = &mut self.wires.links[id.0];
        if matches!(link.channel, Channel::Plain) {
            return traffic.received(&mut self.wires, id, bytes);
        }
        self.plain.clear();
        link.channel.open(bytes, &mut self.plain, &mut link.wire)?;
        self.wires.mark(id);
        self.announce(id, traffic)?;
        if self.plain.is_empty() {
            return Ok(());
        }
        let plain = std::mem::take(&mut self.plain);
        let result = traffic.received(&mut self.wires, id, &plain);
        self.plain = plain;
        result
    }

    fn sent(&mut self, conn: Conn, buffer: Vec<u8>) {
        self.wires.keep(buffer);
        let Some(&id) = self.by_conn.get(&conn) else { return };
        let link = &mut self.wires.links[id.0];
        link.sending = false;
        if !link.out.is_empty() || !link.wire.is_empty() {
            self.wires.mark(id);
        }
    }

    fn closed(
        &mut self,
        conn: Conn,
        cause: CloseCause,
        traffic: &mut impl Traffic,
    ) -> Result<(), BenchError> {
        let Some(id) = self.by_conn.remove(&conn) else { return Ok(()) };
        self.wires.links.remove(id.0);
        traffic.closed(&mut self.wires, id, cause)
    }

    fn flush_link(&mut self, id: LinkId) -> Result<(), BenchError> {
        let Some(link) = self.wires.links.get_mut(id.0) else { return Ok(()) };
        link.dirty = false;
        // It was asked for and not needed.
        let unused = if link.out.is_empty() { std::mem::take(&mut link.out) } else { Vec::new() };
        self.wires.keep(unused);
        let Some(link) = self.wires.links.get_mut(id.0) else { return Ok(()) };
        if link.sending || link.state == LinkState::Connecting {
            return Ok(());
        }
        let wire = if matches!(link.channel, Channel::Plain) {
            std::mem::take(&mut link.out)
        } else {
            let mut wire = std::mem::take(&mut link.wire);
            if link.channel.is_open() && !link.out.is_empty() {
                if wire.capacity() == 0 {
                    wire = self.wires.spare.pop().unwrap_or_default();
                }
                link.channel.seal(&link.out, &mut wire)?;
                let out = std::mem::take(&mut link.out);
                self.wires.keep(out);
            }
            wire
        };
        if wire.is_empty() {
            self.wires.keep(wire);
            return Ok(());
        }
        let Some(link) = self.wires.links.get_mut(id.0) else { return Ok(()) };
        link.sending = true;
        self.reactor.send(link.conn, wire);
        Ok(())
    }
}
