//! Mail between cores: a bounded queue for each ordered pair, and wake-ups for cores that sleep.
//!
//! A core that has posted mail asks [`Post::take_wakes`] whom to wake, and wakes them through its reactor. A core that is
//! about to sleep asks [`Post::before_sleep`] whether it may, and says [`Post::after_sleep`] when it is back.
//!
//! Invariants
//! - Mail of one pair arrives in the order in which it was sent. A full queue gives the mail back.
//! - Mail posted to a core that sleeps, or is about to, wakes it: the sleeper announces and then looks, the sender posts
//!   and then looks, with a sequentially consistent fence between (`mail/sleep.rs`, checked with loom).

mod sleep;

use std::fmt;
use std::sync::Arc;

use crossbeam_queue::ArrayQueue;
use crossbeam_utils::CachePadded;

pub use sleep::Sleep;

/// Most cores in one mesh: a bit each in a set of wake-ups.
pub const CORES_MAX: usize = 64;

type Lane<T> = Arc<CachePadded<ArrayQueue<T>>>;

/// One core's end of the mesh.
pub struct Post<T> {
    core: usize,
    /// To each core; its own is never used.
    outgoing: Vec<Lane<T>>,
    /// From each core; its own is never used.
    incoming: Vec<Lane<T>>,
    sleeps: Arc<[CachePadded<Sleep>]>,
    /// Cores that were asleep when mail was posted to them, a bit each.
    wakes: u64,
    /// Where the next round of receiving begins.
    next: usize,
}

impl<T> fmt::Debug for Post<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Post")
            .field("core", &self.core)
            .field("cores", &self.outgoing.len())
            .finish_non_exhaustive()
    }
}

/// A post for each core, with room for `capacity` pieces of mail from each core to each other.
pub fn mesh<T: Send>(cores: usize, capacity: usize) -> Vec<Post<T>> {
    assert!((1..=CORES_MAX).contains(&cores), "a mesh of {cores} cores");
    assert!(capacity > 0, "a mesh without room");
    // A core's way to itself is never used and holds one.
    let room = |from: usize, to: usize| if from == to { 1 } else { capacity };
    let lane = |from, to| Arc::new(CachePadded::new(ArrayQueue::new(room(from, to))));
    let lanes: Vec<Vec<Lane<T>>> =
        (0..cores).map(|from| (0..cores).map(|to| lane(from, to)).collect()).collect();
    let sleeps: Arc<[CachePadded<Sleep>]> = (0..cores).map(|_| CachePadded::new(Sleep::new())).collect();
    let post = |core: usize| Post {
        core,
        outgoing: lanes[core].clone(),
        incoming: lanes.iter().map(|row| Arc::clone(&row[core])).collect(),
        sleeps: Arc::clone(&sleeps),
        wakes: 0,
        next: (core + 1) % cores,
    };
    (0..cores).map(post).collect()
}

impl<T: Send> Post<T> {
    /// The core whose post this is.
    pub fn core(&self) -> usize {
        self.core
    }

    /// Cores in the mesh.
    pub fn cores(&self) -> usize {
        self.outgoing.len()
    }

    /// Memory of the ways to the other cores, in bytes.
    pub fn memory_bytes(&self) -> usize {
        // Each place has a stamp beside the mail.
        let place = size_of::<T>() + size_of::<usize>();
        self.outgoing.iter().map(|lane| lane.capacity() * place).sum()
    }

    /// Posts mail to another core.
    ///
    /// # Errors
    /// The mail, if the queue is full: keep it, and stop taking what leads to more of it.
    pub fn send(&mut self, to: usize, mail: T) -> Result<(), T> {
        assert!(to != self.core, "core {to} posts mail to itself");
        self.outgoing[to].push(mail)?;
        if self.wakes & 1 << to == 0 && self.sleeps[to].claim_wake() {
            self.wakes |= 1 << to;
        }
        Ok(())
    }

    /// Pieces of mail that certainly fit on the way to that core.
    pub fn free(&self, to: usize) -> usize {
        let lane = &self.outgoing[to];
        lane.capacity() - lane.len()
    }

    /// At most `max` pieces of mail, each with the core it came from; one from each core in turn.
    pub fn receive(&mut self, max: usize) -> impl Iterator<Item = (usize, T)> + '_ {
        let mut left = max;
        let mut empty = 0;
        std::iter::from_fn(move || {
            while left > 0 && empty < self.incoming.len() {
                let from = self.next;
                self.next = (from + 1) % self.incoming.len();
                if let Some(mail) = self.incoming[from].pop() {
                    left -= 1;
                    empty = 0;
                    return Some((from, mail));
                }
                empty += 1;
            }
            None
        })
    }

    /// Whether mail waits for this core.
    pub fn has_mail(&self) -> bool {
        self.incoming.iter().any(|lane| !lane.is_empty())
    }

    /// Says that this core is about to sleep. False: it must not, because mail is here.
    pub fn before_sleep(&self) -> bool {
        self.sleeps[self.core].announce();
        if self.has_mail() {
            self.sleeps[self.core].cancel();
            return false;
        }
        true
    }

    /// Says that this core is awake: from now on nobody wakes it.
    pub fn after_sleep(&self) {
        self.sleeps[self.core].cancel();
    }

    /// The cores that slept when mail was posted to them since the last call: each must be woken, once.
    pub fn take_wakes(&mut self) -> impl Iterator<Item = usize> + use<T> {
        let mut wakes = std::mem::take(&mut self.wakes);
        std::iter::from_fn(move || {
            let core = (wakes != 0).then(|| wakes.trailing_zeros() as usize)?;
            wakes &= wakes - 1;
            Some(core)
        })
    }
}

#[cfg(all(test, not(loom)))]
mod tests;
