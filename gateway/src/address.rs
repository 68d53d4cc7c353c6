//! How much one address may ask for before somebody has logged in from it: one table, shared by all cores.
//!
//! An address has a cell in each of four rows, found by a hash with a random seed. Only an address whose four cells are all full
//! is refused, so that who shares one of them with an attacker does not notice. IPv6 addresses count by their /64.
//!
//! Invariants
//! - The memory is fixed, whoever comes; nothing waits for a lock but a change of the configuration or of the bans.
//! - A connection's place is given back exactly once, when its [`Seat`] is dropped.
//! - Cores that decide on one address at the same moment may admit one connection more each; nobody is refused wrongly for it.

mod bans;
pub mod network;

pub use bans::TooManyBans;
pub use network::{Network, NetworkError, Networks};

use bans::Bans;
use std::array;
use std::hash::{BuildHasher, RandomState};
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

/// Cells that an address has.
const ROWS: usize = 4;
/// Bits of a cell's place in its row. 14: 64 Ki cells of eight bytes, and with 1,000 attackers one stranger in 100,000 is hit.
const ROW_BITS: u32 = 14;
/// Bits of a cell that count connections; the others hold a time.
const COUNT_BITS: u32 = 20;
const COUNT_MAX: u64 = (1 << COUNT_BITS) - 1;
/// The unit of the times in cells: 44 bits of it are 55 years.
const TICK: Duration = Duration::from_micros(100);
const TICKS_PER_SECOND: u64 = 10_000;
/// Seconds of its rate that an address may use at once.
const BURST_SECONDS: u64 = 2;

/// Most connections that have not logged in, or handshakes a second, that an address may be allowed.
pub const PER_ADDRESS_MAX: u32 = 10_000;

/// What an address may do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AddressLimits {
    /// Connections that have not logged in.
    pub unauthenticated: u32,
    /// New connections a second, sustained; twice as many at once.
    pub handshakes_per_second: u32,
    /// Who may do as they like: carriers' address translators, load balancers.
    pub allow: Networks,
}

/// Why a connection is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The address is banned.
    #[error("the address is banned")]
    Banned,
    /// It has too many connections that have not logged in.
    #[error("too many connections of the address wait to log in")]
    Unauthenticated,
    /// Its connections come too fast.
    #[error("connections of the address come too fast")]
    Handshakes,
    /// The peer had gone before it could be asked who it is.
    #[error("the peer has gone")]
    Gone,
}

/// Everything known of addresses. See the module.
#[derive(Debug)]
pub struct AddressTable {
    cells: Box<[AtomicU64]>,
    hasher: RandomState,
    started: Instant,
    unauthenticated_max: AtomicU32,
    handshakes_per_second: AtomicU32,
    allow: RwLock<Arc<Networks>>,
    bans: Bans,
}

/// A connection's place among those of its address that have not logged in. Dropping it gives the place back.
#[derive(Debug)]
pub struct Seat {
    /// None: the address is on the allow-list.
    counted: Option<(Arc<AddressTable>, u64)>,
}

impl Drop for Seat {
    fn drop(&mut self) {
        if let Some((table, hash)) = self.counted.take() {
            table.release(hash);
        }
    }
}

impl AddressTable {
    /// A table without anybody in it.
    pub fn new(limits: &AddressLimits) -> Arc<Self> {
        let table = Self {
            cells: std::iter::repeat_with(AtomicU64::default).take(ROWS << ROW_BITS).collect(),
            hasher: RandomState::new(),
            started: Instant::now(),
            unauthenticated_max: AtomicU32::new(0),
            handshakes_per_second: AtomicU32::new(0),
            allow: RwLock::default(),
            bans: Bans::default(),
        };
        table.set_limits(limits);
        Arc::new(table)
    }

    /// Puts other limits in force, for connections that come from now on.
    pub fn set_limits(&self, limits: &AddressLimits) {
        self.unauthenticated_max.store(limits.unauthenticated, Ordering::Relaxed);
        self.handshakes_per_second.store(limits.handshakes_per_second, Ordering::Relaxed);
        *self.allow.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(limits.allow.clone());
    }

    /// Takes a place for a new connection.
    ///
    /// # Errors
    /// [`Refusal`]: close the connection at once, and do nothing for it.
    pub fn admit(self: &Arc<Self>, peer: Option<SocketAddr>, now: Instant) -> Result<Seat, Refusal> {
        let source = source_of(peer.ok_or(Refusal::Gone)?.ip());
        if self.bans.has(source, now) {
            return Err(Refusal::Banned);
        }
        if self.allow.read().unwrap_or_else(PoisonError::into_inner).contain(source) {
            return Ok(Seat { counted: None });
        }
        let hash = self.hasher.hash_one(source);
        self.take(hash, now)?;
        Ok(Seat { counted: Some((Arc::clone(self), hash)) })
    }

    /// Refuses all connections of this address (of its /64, if it is an IPv6 one) until then.
    ///
    /// # Errors
    /// [`TooManyBans`]: unban others first.
    pub fn ban(&self, address: IpAddr, until: Instant) -> Result<(), TooManyBans> {
        self.bans.add(source_of(address), until)
    }

    /// Ends a ban; false if there was none.
    pub fn unban(&self, address: IpAddr) -> bool {
        self.bans.remove(source_of(address))
    }

    /// Who is banned, and until when, in the order of the addresses.
    pub fn banned(&self) -> Vec<(IpAddr, Instant)> {
        self.bans.list(Instant::now())
    }

    fn cells_of(&self, hash: u64) -> [&AtomicU64; ROWS] {
        array::from_fn(|row| {
            let place = hash >> (ROW_BITS * u32::try_from(row).unwrap_or(0)) & ((1 << ROW_BITS) - 1);
            &self.cells[row << ROW_BITS | usize::try_from(place).unwrap_or(0)]
        })
    }

    fn take(&self, hash: u64, now: Instant) -> Result<(), Refusal> {
        let cells = self.cells_of(hash);
        let seen = cells.map(|cell| Cell::of(cell.load(Ordering::Relaxed)));
        let fewest = seen.iter().map(|cell| cell.count).min().unwrap_or(0);
        let is_full = fewest >= u64::from(self.unauthenticated_max.load(Ordering::Relaxed));
        if is_full || seen.iter().any(|cell| cell.count == COUNT_MAX) {
            return Err(Refusal::Unauthenticated);
        }
        let per_second = u64::from(self.handshakes_per_second.load(Ordering::Relaxed)).max(1);
        let interval = TICKS_PER_SECOND.div_ceil(per_second);
        let now = self.ticks(now);
        // The generic cell rate algorithm: the time at which an address that keeps to its rate would come next.
        let due = seen.iter().map(|cell| cell.due).min().unwrap_or(0).max(now);
        if due - now + interval > BURST_SECONDS * TICKS_PER_SECOND {
            return Err(Refusal::Handshakes);
        }
        for cell in cells {
            let add = |bits| Cell::of(bits).with_one_more(due + interval).bits();
            cell.update(Ordering::Relaxed, Ordering::Relaxed, add);
        }
        Ok(())
    }

    fn release(&self, hash: u64) {
        for cell in self.cells_of(hash) {
            let before = Cell::of(cell.fetch_sub(1, Ordering::Relaxed));
            assert!(before.count > 0, "a place of an address was given back twice");
        }
    }

    fn ticks(&self, now: Instant) -> u64 {
        let since = now.saturating_duration_since(self.started);
        u64::try_from(since.as_nanos() / TICK.as_nanos()).unwrap_or(u64::MAX)
    }

    /// True if no connection is counted anywhere.
    #[cfg(test)]
    fn is_vacant(&self) -> bool {
        self.cells.iter().all(|cell| Cell::of(cell.load(Ordering::Relaxed)).count == 0)
    }
}

/// What a cell holds.
#[derive(Clone, Copy)]
struct Cell {
    count: u64,
    /// When the next handshake is due, in ticks.
    due: u64,
}

impl Cell {
    fn of(bits: u64) -> Self {
        Self { count: bits & COUNT_MAX, due: bits >> COUNT_BITS }
    }

    fn bits(self) -> u64 {
        self.due << COUNT_BITS | self.count
    }

    /// The time only goes on, and never further than one of the cell's addresses has come.
    fn with_one_more(self, due: u64) -> Self {
        Self { count: (self.count + 1).min(COUNT_MAX), due: self.due.max(due) }
    }
}

/// What an address counts as: an IPv4 address itself, an IPv6 one its /64, which is what a subscriber gets.
fn source_of(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() >> 64 << 64)),
        v4 @ IpAddr::V4(_) => v4,
    }
}

#[cfg(test)]
mod tests;
