//! Accepting, and not accepting while there is no room.
//!
//! Invariants
//! - A listener that was refused a descriptor waits until one comes free, or 50 ms, doubling to 1 s: it never spins.
//! - Near the end of a table accepts are single-shot and no more than its room: a multishot accept takes a connection
//!   from the backlog first and looks for a descriptor after, so that a full table costs the peer its connection.
//! - A listening socket is closed after its last accept has completed.

use std::net::TcpListener;
use std::os::fd::AsRawFd;
use std::time::{Duration, Instant};

use io_uring::{opcode, types};
use socket2::{SockAddr, SockAddrStorage};

use crate::config::PeerAddresses;
use crate::conn::Listener;
use crate::reactor::Reactor;
use crate::ring::{Completion, Family};
use crate::tag::{Kind, Tag};

/// Most listeners of a reactor over its life: half of a tag's index.
pub(super) const LISTENERS_MAX: u16 = 1 << 12;
/// Bits of a single-shot accept's place in a tag's index.
const PLACE_BITS: u32 = 12;
/// Single-shot accepts in flight: enough that a burst of arrivals does not wait for a turn.
const PLACES: usize = 64;

/// A multishot accept needs room for a whole backlog, which one completion of it can bring.
/// Source: net.core.somaxconn, 4,096 since Linux 5.4.
const BURST: u32 = 4096;

const BACKOFF_MIN: Duration = Duration::from_millis(50);
const BACKOFF_MAX: Duration = Duration::from_secs(1);

/// Where a single-shot accept writes the peer's address.
struct Place {
    storage: SockAddrStorage,
    len: libc::socklen_t,
    in_flight: bool,
}

pub(super) struct Listening {
    socket: TcpListener,
    /// The ring whose table takes the connections.
    ring: usize,
    /// Accepts in the ring.
    in_flight: u32,
    addresses: PeerAddresses,
    family: Family,
    /// Whether the accept in flight is a multishot one.
    multishot: bool,
    /// Room for the addresses of single-shot accepts.
    places: Box<[Place]>,
    stopping: bool,
    /// It accepts nothing before this moment, unless a descriptor comes free.
    waits_until: Option<Instant>,
    backoff: Duration,
}

impl Listening {
    pub(super) fn new(socket: TcpListener, addresses: PeerAddresses) -> Self {
        let place = || Place { storage: SockAddrStorage::zeroed(), len: 0, in_flight: false };
        let family = socket.local_addr().map_or(Family::V6, Family::of);
        Self {
            socket,
            family,
            ring: 0,
            in_flight: 0,
            addresses,
            multishot: false,
            places: std::iter::repeat_with(place).take(PLACES).collect(),
            stopping: false,
            waits_until: None,
            backoff: BACKOFF_MIN,
        }
    }
}

fn tag(kind: Kind, listener: Listener, place: usize) -> u64 {
    let place = u32::try_from(place).unwrap_or(0);
    Tag::new(kind, u32::from(listener.0) << PLACE_BITS | place, 0).bits()
}

impl Reactor {
    /// Puts the accepts of a listener into a ring with room, or lets it wait for room.
    pub(super) fn arm_accept(&mut self, listener: Listener) {
        let Some(listening) = &self.listeners[usize::from(listener.0)] else { return };
        if listening.stopping || listening.waits_until.is_some() {
            return;
        }
        let number =
            if listening.in_flight > 0 { Some(listening.ring) } else { self.ring_with_room(listening.ring) };
        let Some(number) = number else { return self.back_off(listener) };
        let Some(listening) = &mut self.listeners[usize::from(listener.0)] else { return };
        listening.ring = number;
        if listening.in_flight == 0 {
            let room = self.rings[number].room();
            listening.multishot = listening.addresses != PeerAddresses::WithAccept && room > BURST;
        }
        if listening.multishot {
            self.push_multishot(listener);
        } else {
            self.push_places(listener);
        }
    }

    fn push_multishot(&mut self, listener: Listener) {
        let Some(listening) = &mut self.listeners[usize::from(listener.0)] else { return };
        if listening.in_flight > 0 {
            return;
        }
        listening.in_flight = 1;
        let accept =
            opcode::AcceptMulti::new(types::Fd(listening.socket.as_raw_fd())).allocate_file_index(true);
        let accept = accept.build().user_data(tag(Kind::Accept, listener, 0));
        let ring = &mut self.rings[listening.ring];
        ring.owe(1);
        // SAFETY: the entry points to nothing; the socket is closed after its last accept.
        unsafe { ring.push(accept) };
    }

    fn push_places(&mut self, listener: Listener) {
        let Some(listening) = &mut self.listeners[usize::from(listener.0)] else { return };
        let ring = &mut self.rings[listening.ring];
        // Half the room: other listeners, connects and arrivals want some too.
        let allowed = ring.room().div_ceil(2);
        for (number, place) in listening.places.iter_mut().enumerate() {
            if place.in_flight || listening.in_flight >= allowed {
                continue;
            }
            ring.accepts += 1;
            place.in_flight = true;
            place.len = libc::socklen_t::try_from(size_of::<SockAddrStorage>()).unwrap_or(0);
            listening.in_flight += 1;
            let (address, len) = ((&raw mut place.storage).cast(), &raw mut place.len);
            let accept = opcode::Accept::new(types::Fd(listening.socket.as_raw_fd()), address, len);
            let accept = accept.file_index(Some(types::DestinationSlot::auto_target()));
            let accept = accept.build().user_data(tag(Kind::AcceptOne, listener, number));
            ring.owe(1);
            // SAFETY: the boxed place stays until the listener's last accept has completed, and nobody touches it before.
            unsafe { ring.push(accept) };
        }
    }

    pub(super) fn on_accept(&mut self, ring: usize, completion: Completion) {
        let index = completion.tag.index();
        let listener = Listener(u16::try_from(index >> PLACE_BITS).unwrap_or(u16::MAX));
        let Some(listening) = &mut self.listeners[usize::from(listener.0)] else {
            unreachable!("an accept of {listener:?} outlived it")
        };
        if !completion.more() {
            listening.in_flight -= 1;
            self.rings[ring].settle_debt();
            self.rings[ring].accepts -= u32::from(completion.tag.kind() == Kind::AcceptOne);
        }
        let single = completion.tag.kind() == Kind::AcceptOne;
        let place = (index & ((1 << PLACE_BITS) - 1)) as usize;
        let place = listening.places.get_mut(place).filter(|_| single);
        if let Ok(descriptor) = u32::try_from(completion.result) {
            listening.backoff = BACKOFF_MIN;
            let peer = place.and_then(|place| {
                place.in_flight = false;
                let storage = std::mem::replace(&mut place.storage, SockAddrStorage::zeroed());
                // SAFETY: the kernel wrote an address of this length into the storage.
                unsafe { SockAddr::new(storage, place.len) }.as_socket()
            });
            if listening.addresses == PeerAddresses::Asked {
                self.rings[ring].accept_and_ask(descriptor, listener, listening.family);
            } else {
                self.rings[ring].accept(descriptor, listener, peer, &mut self.output);
            }
            self.leave_full_ring(listener);
        } else {
            if let Some(place) = place {
                place.in_flight = false;
            }
            self.on_refusal(listener, completion.errno().unwrap_or(0));
        }
        self.after_accept(listener);
    }

    /// A refusal that would repeat at once must wait; one that has used up a connection need not.
    fn on_refusal(&mut self, listener: Listener, errno: i32) {
        match errno {
            libc::ECANCELED | libc::ECONNABORTED | libc::EINTR | libc::EPROTO => {}
            _ => self.back_off(listener),
        }
    }

    /// Ends a multishot accept whose ring has no room for a whole backlog any more; single-shot ones follow.
    fn leave_full_ring(&mut self, listener: Listener) {
        let Some(listening) = &self.listeners[usize::from(listener.0)] else { return };
        if listening.multishot && listening.in_flight > 0 && self.rings[listening.ring].room() <= BURST {
            self.cancel_accepts(listener);
        }
    }

    fn after_accept(&mut self, listener: Listener) {
        let entry = &mut self.listeners[usize::from(listener.0)];
        match entry {
            Some(listening) if listening.stopping && listening.in_flight == 0 => *entry = None,
            Some(_) => self.arm_accept(listener),
            None => {}
        }
    }

    fn back_off(&mut self, listener: Listener) {
        let Some(listening) = &mut self.listeners[usize::from(listener.0)] else { return };
        if listening.waits_until.is_none() {
            listening.waits_until = Some(self.output.now + listening.backoff);
            listening.backoff = (listening.backoff * 2).min(BACKOFF_MAX);
            self.output.counters.accept_backoffs += 1;
        }
    }

    /// Lets listeners go on whose wait is over, or all that wait if a descriptor has come free.
    pub(super) fn end_backoffs(&mut self) {
        let mut freed = false;
        for ring in &mut self.rings {
            freed |= ring.take_freed();
        }
        for number in 0..self.listeners.len() {
            let listener = Listener(u16::try_from(number).unwrap_or(u16::MAX));
            self.leave_full_ring(listener);
            let Some(listening) = &mut self.listeners[number] else { continue };
            if listening.waits_until.is_some_and(|until| freed || until <= self.output.now) {
                listening.waits_until = None;
                self.arm_accept(listener);
            }
        }
    }

    /// When the first waiting listener goes on.
    pub(super) fn next_accept(&self) -> Option<Instant> {
        self.listeners.iter().flatten().filter_map(|listening| listening.waits_until).min()
    }

    pub(super) fn stop_accept(&mut self, listener: Listener) {
        let Some(listening) = &mut self.listeners[usize::from(listener.0)] else { return };
        listening.stopping = true;
        listening.waits_until = None;
        if listening.in_flight == 0 {
            self.listeners[usize::from(listener.0)] = None;
        } else {
            self.cancel_accepts(listener);
        }
    }

    pub(super) fn cancel_accepts(&mut self, listener: Listener) {
        let Some(listening) = &self.listeners[usize::from(listener.0)] else { return };
        let ring = &mut self.rings[listening.ring];
        if listening.multishot {
            ring.cancel(tag(Kind::Accept, listener, 0));
        }
        for (number, _) in listening.places.iter().enumerate().filter(|(_, place)| place.in_flight) {
            ring.cancel(tag(Kind::AcceptOne, listener, number));
        }
    }
}
