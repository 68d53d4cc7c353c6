//! One core's driver: rings, listeners, files and the turn that serves them all.
//!
//! Invariants
//! - One system call a turn with one ring; with several, one for each ring that has something to do, and one to wait.
//! - A turn waits only if nothing is left to report, to submit or to take.
//! - A steady turn allocates nothing: queues and tables keep what they have grown to.

mod accept;
mod several;
mod turn;

use std::collections::VecDeque;
use std::fmt;
use std::fs::File;
use std::marker::PhantomData;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::BorrowedFd;
use std::rc::Rc;
use std::time::{Duration, Instant};

use crate::config::Config;
use crate::conn::{Conn, Full, Listener};
use crate::counters::Counters;
use crate::event::Event;
use crate::file::{Files, Write};
use crate::peer::Peer;
use crate::ring::{Completion, Output, Ring};
use crate::setup::SetupError;
use crate::waker::Waker;

use accept::Listening;
use several::Several;

/// After a ring could not be opened, this long nobody tries again.
const RING_RETRY: Duration = Duration::from_secs(1);

/// The driver of one core. It stays on the thread that made it.
pub struct Reactor {
    rings: Vec<Ring>,
    several: Option<Several>,
    listeners: Vec<Option<Listening>>,
    files: Files,
    output: Output,
    waker: Waker,
    woken: bool,
    peer: Peer,
    landing: usize,
    completions: Vec<Completion>,
    ring_retry_at: Instant,
    config: Config,
    /// A ring with a single issuer must not change threads.
    _not_send: PhantomData<*const ()>,
}

impl fmt::Debug for Reactor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (rings, connections) = (self.rings.len(), self.connections());
        f.debug_struct("Reactor")
            .field("rings", &rings)
            .field("connections", &connections)
            .finish_non_exhaustive()
    }
}

impl Reactor {
    /// Makes a reactor for this thread.
    ///
    /// # Errors
    /// What the host lacks or forbids, in a sentence for its operator; trying again does not help.
    pub fn new(config: &Config) -> Result<Self, SetupError> {
        config.check().map_err(|rule| SetupError::Config { rule })?;
        let waker = Waker::new().map_err(|source| SetupError::from_step("eventfd", source))?;
        let now = Instant::now();
        let mut reactor = Self {
            rings: Vec::with_capacity(usize::from(config.rings)),
            several: None,
            listeners: Vec::new(),
            files: Files::default(),
            output: Output {
                events: VecDeque::with_capacity(config.reap_max.min(1 << 16) + 64),
                counters: Counters::default(),
                now,
                turn: 0,
            },
            waker,
            woken: false,
            peer: Peer::new(config.rings),
            landing: 0,
            completions: Vec::with_capacity(config.reap_max.min(1 << 16)),
            ring_retry_at: now,
            config: config.clone(),
            _not_send: PhantomData,
        };
        reactor.open_ring()?;
        reactor.arm_waker();
        Ok(reactor)
    }

    fn open_ring(&mut self) -> Result<(), SetupError> {
        let number = self.rings.len();
        let ring = Ring::new(&self.config, u8::try_from(number).unwrap_or(u8::MAX))?;
        // SAFETY: the ring lives longer than this borrow of its descriptor.
        let fd = unsafe { BorrowedFd::borrow_raw(ring.fd()) };
        if number > 0 {
            let several = match &mut self.several {
                Some(several) => several,
                none => none.insert(Several::new(&self.rings[0])?),
            };
            several.add(number, &ring)?;
        }
        self.peer.publish(number, fd).map_err(|source| SetupError::from_step("ring descriptor", source))?;
        self.rings.push(ring);
        self.output.counters.rings_opened += 1;
        Ok(())
    }

    /// A ring with room for a connection, opening one if that is needed and allowed.
    fn ring_with_room(&mut self, preferred: usize) -> Option<usize> {
        let order = std::iter::once(preferred).chain(0..self.rings.len());
        if let Some(roomy) = order.into_iter().find(|number| !self.rings[*number].is_nearly_full()) {
            return Some(roomy);
        }
        if self.rings.len() < usize::from(self.config.rings) && self.output.now >= self.ring_retry_at {
            if self.open_ring().is_ok() {
                return Some(self.rings.len() - 1);
            }
            self.output.counters.ring_failures += 1;
            self.ring_retry_at = self.output.now + RING_RETRY;
        }
        (0..self.rings.len()).find(|number| self.rings[*number].has_room())
    }

    /// Accepts from this socket until [`stop_listening`](Self::stop_listening). Accepted connections send without delay.
    pub fn listen(&mut self, socket: TcpListener) -> Listener {
        let number = u16::try_from(self.listeners.len());
        assert!(number.is_ok_and(|number| number < accept::LISTENERS_MAX), "too many listeners");
        // Accepted sockets inherit it. A socket that does not know the option has no delay to switch off.
        let _ = socket2::SockRef::from(&socket).set_tcp_nodelay(true);
        // A non-blocking socket would answer an accept with EAGAIN instead of letting it wait in the ring.
        let _ = socket.set_nonblocking(false);
        let listener = Listener(number.unwrap_or(0));
        self.listeners.push(Some(Listening::new(socket, self.config.peer_addresses)));
        self.arm_accept(listener);
        listener
    }

    /// Accepts no more and closes the listening socket. What the kernel has accepted by then is still reported.
    pub fn stop_listening(&mut self, listener: Listener) {
        self.stop_accept(listener);
    }

    /// Begins a connection; `Connected` tells how it went. The port of `from` is chosen by the kernel if it is 0.
    ///
    /// # Errors
    /// Every table is full.
    pub fn connect(&mut self, to: SocketAddr, from: Option<SocketAddr>) -> Result<Conn, Full> {
        let Some(ring) = self.ring_with_room(self.rings.len() - 1) else {
            return Err(Full { open: self.connections(), capacity: self.capacity() });
        };
        Ok(self.rings[ring].connect(to, from))
    }

    /// Starts receiving from a connection that arrived, or was detached and stays here.
    pub fn arm(&mut self, conn: Conn) {
        if let Some((ring, output)) = self.find(conn) {
            ring.arm(conn.index(), output);
        }
    }

    /// Stops receiving: the peer will feel it once the kernel's buffers are full. Bytes that were taken still come.
    /// A paused connection does not notice that its peer is gone.
    pub fn pause(&mut self, conn: Conn) {
        if let Some((ring, output)) = self.find(conn) {
            ring.set_paused(conn.index(), true, output);
        }
    }

    /// Receives again.
    pub fn resume(&mut self, conn: Conn) {
        if let Some((ring, output)) = self.find(conn) {
            ring.set_paused(conn.index(), false, output);
        }
    }

    /// Sends a buffer, whole; `Sent` gives it back. One at a time for each connection. If the connection ends first,
    /// the buffer is dropped and `Closed` is the answer.
    pub fn send(&mut self, conn: Conn, buffer: Vec<u8>) {
        if let Some((ring, output)) = self.find(conn) {
            ring.send(conn.index(), buffer, output);
        }
    }

    /// Whether a buffer is on its way out.
    pub fn is_sending(&self, conn: Conn) -> bool {
        let ring = self.rings.get(conn.ring());
        ring.is_some_and(|ring| {
            ring.slots.is_owned(conn.index(), conn.generation()) && ring.is_sending(conn.index())
        })
    }

    /// Closes after the send in flight, so that what was sent is not overtaken by a reset. `Closed` follows.
    pub fn close(&mut self, conn: Conn) {
        if let Some((ring, output)) = self.find(conn) {
            ring.close(conn.index(), output);
        }
    }

    /// Ends it at once: the send in flight is given up and the peer gets a reset. `Closed` follows.
    pub fn abort(&mut self, conn: Conn) {
        if let Some((ring, output)) = self.find(conn) {
            ring.abort(conn.index(), output);
        }
    }

    /// Makes a connection quiet before it is moved: `Detached` (or `Closed`) follows, after all bytes that were taken.
    /// Nothing may be sent until it is armed again.
    pub fn detach(&mut self, conn: Conn) {
        if let Some((ring, output)) = self.find(conn) {
            ring.detach(conn.index(), output);
        }
    }

    /// Gives a detached connection to another core, where it arrives with the label, at most [`LABEL_MAX`](crate::LABEL_MAX).
    /// `Moved` or `MoveFailed` follows; the other core's `Arrived` may come before `Moved` does.
    pub fn move_to(&mut self, conn: Conn, peer: &Peer, label: u64) {
        if let Some((ring, _)) = self.find(conn) {
            ring.move_to(conn.index(), peer.landing_ring(), label);
        }
    }

    /// Writes to a file; `Written` follows.
    pub fn write(&mut self, token: u64, file: &Rc<File>, write: Write) {
        self.files.write(&mut self.rings[0], token, file, write);
    }

    /// Makes a file's data durable (fdatasync); `Synced` follows. It says nothing about writes that are still in flight.
    pub fn sync(&mut self, token: u64, file: &Rc<File>) {
        self.files.sync(&mut self.rings[0], token, file);
    }

    /// Writes, then makes the data durable; `Written` and `Synced` follow. If the write fails or is short, the sync is
    /// cancelled.
    pub fn write_then_sync(&mut self, token: u64, file: &Rc<File>, write: Write) {
        self.files.write_then_sync(&mut self.rings[0], token, file, write);
    }

    /// How other cores name this one.
    pub fn peer(&self) -> Peer {
        self.peer.clone()
    }

    /// Wakes another core, with the next turn's submission.
    pub fn wake(&mut self, peer: &Peer) {
        self.output.counters.wakes_sent += 1;
        self.rings[0].wake(peer.first_ring());
    }

    /// Wakes this reactor from any thread.
    pub fn waker(&self) -> Waker {
        self.waker.clone()
    }

    /// The time of the last turn: when its wait was over, before it collected what had happened.
    pub fn now(&self) -> Instant {
        self.output.now
    }

    /// The next thing that happened. To be called until `None` after each turn.
    #[allow(clippy::should_implement_trait, reason = "a reactor is no iterator: another turn brings more")]
    pub fn next(&mut self) -> Option<Event> {
        self.output.events.pop_front()
    }

    /// What was counted since the start.
    pub fn counters(&self) -> Counters {
        Counters { wakes_saved: self.waker.saved(), ..self.output.counters }
    }

    /// Memory of its own, in bytes: connections, receive buffers, side tables, queues. The kernel's is not in it.
    pub fn memory_bytes(&self) -> usize {
        let queues = self.output.events.capacity() * size_of::<Event>()
            + self.completions.capacity() * size_of::<Completion>();
        self.rings.iter().map(Ring::bytes).sum::<usize>() + queues
    }

    /// Connections that hold a slot, those that are closing included.
    pub fn connections(&self) -> usize {
        self.rings.iter().map(|ring| ring.slots.len() as usize).sum()
    }

    /// Connections that the rings opened so far can hold.
    pub fn capacity(&self) -> usize {
        self.rings.iter().map(|ring| ring.capacity() as usize).sum()
    }

    /// Connections that can be held when every allowed ring is open.
    pub fn allowance(&self) -> usize {
        self.rings[0].capacity() as usize * usize::from(self.config.rings)
    }

    /// The ring of a connection that is still there.
    fn find(&mut self, conn: Conn) -> Option<(&mut Ring, &mut Output)> {
        let ring = self.rings.get_mut(conn.ring());
        let ring = ring.filter(|ring| ring.slots.is_owned(conn.index(), conn.generation()));
        if ring.is_none() {
            self.output.counters.stale_calls += 1;
        }
        ring.map(|ring| (ring, &mut self.output))
    }
}

impl Drop for Reactor {
    /// Ends every operation first, because the kernel writes into memory that is freed here; what does not end is leaked.
    fn drop(&mut self) {
        for ring in &mut self.rings {
            if ring.quiesce().is_err() {
                self.files.leak();
                std::mem::forget(std::mem::take(&mut self.listeners));
            }
        }
    }
}

#[cfg(test)]
mod tests;
