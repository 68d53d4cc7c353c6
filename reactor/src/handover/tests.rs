//! Two cores and a stand-in for the kernel: a table with room, a queue of arrivals, a wake-up that counts for both queues.
//! The origin does what the ring and the gateway do there: quiet first, then the descriptor, then the state by mail; what the other
//! table has no room for is armed again where it is.

use std::collections::VecDeque;

use loom::sync::atomic::{AtomicUsize, Ordering};
use loom::sync::{Arc, Mutex, Notify};
use loom::thread;

use super::Handover;
use crate::mail::Sleep;

const NOWHERE: usize = 0;
const ORIGIN: usize = 1;
const TARGET: usize = 2;
const CONNS: u64 = 2;

struct World {
    /// Where each connection is armed.
    armed: [AtomicUsize; CONNS as usize],
    /// Places in the other core's table.
    room: usize,
    arrivals: Mutex<VecDeque<u64>>,
    mail: Mutex<VecDeque<(u64, u64)>>,
    sleep: Sleep,
    ring: Notify,
}

impl World {
    fn new(room: usize) -> Arc<Self> {
        Arc::new(Self {
            armed: std::array::from_fn(|_| AtomicUsize::new(ORIGIN)),
            room,
            arrivals: Mutex::new(VecDeque::new()),
            mail: Mutex::new(VecDeque::new()),
            sleep: Sleep::new(),
            ring: Notify::new(),
        })
    }

    fn arm(&self, conn: u64, at: usize) {
        let before = self.armed[conn as usize].swap(at, Ordering::Relaxed);
        assert_eq!(before, NOWHERE, "connection {conn} is armed at {at} and still at {before}");
    }

    /// The kernel's part: false if the table is full. A completion wakes whoever waits for the ring.
    fn send_descriptor(&self, label: u64) -> bool {
        if label as usize >= self.room {
            return false;
        }
        self.arrivals.lock().expect("a queue").push_back(label);
        self.ring.notify();
        true
    }

    fn give_away(&self) {
        for conn in 0..CONNS {
            self.armed[conn as usize].store(NOWHERE, Ordering::Relaxed);
            if !self.send_descriptor(conn) {
                self.arm(conn, ORIGIN);
                continue;
            }
            self.mail.lock().expect("a queue").push_back((conn, conn));
            if self.sleep.claim_wake() {
                self.ring.notify();
            }
        }
    }

    /// Takes what comes until so many connections are here; blocks for ever if one is lost, which loom reports.
    fn take(&self, expected: usize) {
        let mut handover = Handover::default();
        let mut here = 0;
        while here < expected {
            let arrived = self.arrivals.lock().expect("a queue").pop_front();
            let mut both = arrived.and_then(|label| handover.descriptor_came(label, label));
            if both.is_none() {
                let came = self.mail.lock().expect("a queue").pop_front();
                both = came.and_then(|(label, state)| handover.state_came(label, state));
            }
            if let Some((descriptor, state)) = both {
                assert_eq!(descriptor, state, "a connection got another one's state");
                self.arm(descriptor, TARGET);
                here += 1;
                continue;
            }
            self.sleep.announce();
            if self.arrivals.lock().expect("a queue").is_empty()
                && self.mail.lock().expect("a queue").is_empty()
            {
                self.ring.wait();
            }
            self.sleep.cancel();
        }
    }
}

fn move_with_room(room: usize) {
    let mut model = loom::model::Builder::default();
    model.preemption_bound = Some(3);
    model.check(move || {
        let world = World::new(room);
        let origin = thread::spawn({
            let world = Arc::clone(&world);
            move || world.give_away()
        });
        world.take(room);
        origin.join().expect("origin");
        assert!(world.arrivals.lock().expect("a queue").is_empty(), "a descriptor too many");
        assert!(world.mail.lock().expect("a queue").is_empty(), "a state too many");
        for conn in 0..CONNS as usize {
            let at = world.armed[conn].load(Ordering::Relaxed);
            assert_eq!(at, if conn < room { TARGET } else { ORIGIN }, "connection {conn}");
        }
    });
}

/// Proves: G-MAIL-1 (descriptor and state of a connection meet in either order, and it is armed at one core, once)
/// Seen to fail when: `state_came` keeps nothing (loom: deadlock).
#[test]
fn f_64_loom_the_halves_of_a_connection_meet_in_any_order() {
    move_with_room(2);
}

/// Proves: G-MAIL-1 (a connection that the other core has no room for stays armed where it was, and nothing of it is mailed)
/// Seen to fail when: the origin mails the state of a connection whose move failed.
#[test]
fn f_64_loom_a_failed_move_keeps_the_connection_at_its_origin() {
    move_with_room(1);
}
