//! Wake-ups: from foreign threads, and between cores.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use iris_reactor::{Event, Peer, Reactor, Wait, mail};

use crate::harness::{PATIENCE, config, until};

/// Proves: G-MAIL-1 (a wake that races with going to sleep is not lost)
/// Seen to fail when: `before_sleep` does not look at `woken`, or `wake` does not write the eventfd.
#[test]
fn f_64_a_foreign_thread_wakes_a_reactor_that_sleeps_or_is_about_to() {
    const ROUNDS: u64 = 3000;
    let mut reactor = Reactor::new(&config()).expect("a reactor");
    let waker = reactor.waker();
    let (asked, answered) = (Arc::new(AtomicU64::new(0)), mpsc::channel::<u64>());
    let (answer, answers) = answered;
    let thread = std::thread::spawn({
        let asked = Arc::clone(&asked);
        move || {
            for round in 1..=ROUNDS {
                asked.store(round, Ordering::Relaxed);
                waker.wake();
                assert_eq!(answers.recv_timeout(PATIENCE), Ok(round), "the wake-up was lost");
            }
        }
    });
    let mut round = 0;
    while round < ROUNDS {
        until(&mut reactor, |_, event| matches!(event, Event::Woken).then_some(()));
        let now = asked.load(Ordering::Relaxed);
        if now > round {
            round = now;
            answer.send(round).expect("sent");
        }
    }
    thread.join().expect("thread");
}

/// Seen to fail when: `wake` writes the eventfd each time.
#[test]
fn a_reactor_that_is_awake_costs_its_wakers_no_system_call() {
    let mut reactor = Reactor::new(&config()).expect("a reactor");
    let waker = reactor.waker();
    for _ in 0..100 {
        waker.wake();
    }
    reactor.turn(Wait::Forever).expect("a turn");
    assert!(matches!(reactor.next(), Some(Event::Woken)));
    assert!(reactor.next().is_none(), "once a turn at most");
    assert_eq!(reactor.counters().wakes_saved, 100);
}

/// Seen to fail when: a turn's limit ignores the deadline.
#[test]
fn a_turn_ends_at_its_deadline() {
    let mut reactor = Reactor::new(&config()).expect("a reactor");
    let deadline = Instant::now() + Duration::from_millis(20);
    while Instant::now() < deadline {
        reactor.turn(Wait::Until(deadline)).expect("a turn");
        assert!(reactor.next().is_none());
    }
    assert!(reactor.counters().turns < 20, "it waits in the kernel");
}

type Mailed = (u64, Instant);

/// One core of a pair: hands a number to and fro, sleeping whenever nothing is there.
fn play(
    mut post: mail::Post<Mailed>,
    swap: impl FnOnce(Peer) -> Peer,
    serve: Option<u64>,
    rounds: u64,
) -> Vec<Duration> {
    let mut reactor = Reactor::new(&config()).expect("a reactor");
    let other = swap(reactor.peer());
    let to = 1 - post.core();
    let mut delays = Vec::new();
    let mut reply = serve;
    loop {
        if let Some(number) = reply.take() {
            post.send(to, (number, Instant::now())).expect("room");
            if number >= rounds {
                for _ in post.take_wakes() {
                    reactor.wake(&other);
                }
                reactor.turn(Wait::Poll).expect("a turn");
                return delays;
            }
        }
        for _ in post.take_wakes() {
            reactor.wake(&other);
        }
        let deadline = Instant::now() + PATIENCE;
        let wait = if post.before_sleep() { Wait::Until(deadline) } else { Wait::Poll };
        reactor.turn(wait).expect("a turn");
        post.after_sleep();
        assert!(Instant::now() < deadline, "the wake-up was lost");
        while reactor.next().is_some() {}
        let came: Vec<(usize, Mailed)> = post.receive(8).collect();
        for (_, (number, sent)) in came {
            delays.push(sent.elapsed());
            if number >= rounds {
                return delays;
            }
            reply = Some(number + 1);
        }
    }
}

/// Proves: G-MAIL-1 (mail wakes a core that sleeps or is about to)
/// Seen to fail when: `Post::send` does not look at the sleeper's flag.
#[test]
fn f_64_mail_wakes_a_core_that_sleeps_or_is_about_to() {
    const ROUNDS: u64 = 4000;
    let mut posts = mail::mesh::<Mailed>(2, 16);
    let (second, first) = (posts.pop().expect("two"), posts.pop().expect("two"));
    let (to_second, at_second) = mpsc::channel();
    let (to_first, at_first) = mpsc::channel();
    let other = std::thread::spawn(move || {
        let swap = move |own| {
            to_first.send(own).expect("sent");
            at_second.recv().expect("received")
        };
        play(second, swap, None, ROUNDS).len()
    });
    let swap = move |own| {
        to_second.send(own).expect("sent");
        at_first.recv().expect("received")
    };
    let delays = play(first, swap, Some(0), ROUNDS).len() as u64;
    let others = other.join().expect("core") as u64;
    assert_eq!(delays + others, ROUNDS + 1);
}
