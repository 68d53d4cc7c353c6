//! A stand-in for the queue: a number of pieces of mail, and for the kernel's wake-up, which may come for no reason.

use loom::sync::atomic::{AtomicUsize, Ordering};
use loom::sync::{Arc, Notify};
use loom::thread;

use super::Sleep;

struct World {
    sleep: Sleep,
    mail: AtomicUsize,
    eventfd: Notify,
}

impl World {
    fn new() -> Arc<Self> {
        Arc::new(Self { sleep: Sleep::new(), mail: AtomicUsize::new(0), eventfd: Notify::new() })
    }

    fn post(&self) {
        self.mail.fetch_add(1, Ordering::Release);
        if self.sleep.claim_wake() {
            self.eventfd.notify();
        }
    }

    /// Takes mail until it has had this many pieces; blocks for ever if a wake-up is lost, which loom reports.
    fn take(&self, expected: usize) {
        let mut taken = 0;
        while taken < expected {
            taken += self.mail.swap(0, Ordering::Acquire);
            if taken >= expected {
                return;
            }
            self.sleep.announce();
            if self.mail.load(Ordering::Acquire) == 0 {
                self.eventfd.wait();
            }
            self.sleep.cancel();
        }
    }
}

/// Proves: G-MAIL-1 (an enqueue that races with going to sleep wakes the sleeper)
/// Seen to fail when: the fence in `announce` or the one in `claim_wake` is dropped (loom: deadlock).
#[test]
fn f_64_loom_one_sender_never_loses_a_wake_up() {
    loom::model(|| {
        let world = World::new();
        let sender = thread::spawn({
            let world = Arc::clone(&world);
            move || {
                world.post();
                world.post();
            }
        });
        world.take(2);
        sender.join().expect("sender");
    });
}

/// Proves: G-MAIL-1 (with two senders, one claims the wake-up and the other's mail is found too)
/// Seen to fail when: `claim_wake` answers false if another sender has looked.
#[test]
fn f_64_loom_two_senders_never_lose_a_wake_up() {
    // Three threads without a bound take hours.
    let mut model = loom::model::Builder::default();
    model.preemption_bound = Some(3);
    model.check(|| {
        let world = World::new();
        let senders = [(); 2].map(|()| {
            let world = Arc::clone(&world);
            thread::spawn(move || world.post())
        });
        world.take(2);
        for sender in senders {
            sender.join().expect("sender");
        }
    });
}

/// Proves: G-MAIL-1 (a taker that rests a bounded time after it has taken something, and is woken for other things as well, never
/// sleeps on work: the storage thread beside each core)
/// Seen to fail when: the fence in `claim_wake` is dropped (loom: deadlock).
#[test]
fn f_64_loom_a_taker_that_rests_between_looks_never_sleeps_on_work() {
    loom::model(|| {
        let world = World::new();
        let sender = thread::spawn({
            let world = Arc::clone(&world);
            move || {
                world.post();
                // A question wakes it, whether it sleeps or not.
                world.eventfd.notify();
                world.post();
            }
        });
        let mut taken = 0;
        while taken < 2 {
            let came = world.mail.swap(0, Ordering::Acquire);
            taken += came;
            if came > 0 {
                // Parked with a time limit, which needs no wake-up.
                thread::yield_now();
                continue;
            }
            world.sleep.announce();
            if world.mail.load(Ordering::Acquire) == 0 {
                // The model has no time limit here: a lost wake-up would be for ever.
                world.eventfd.wait();
            }
            world.sleep.cancel();
        }
        sender.join().expect("sender");
    });
}
