//! Clocks: what reads them, and what does not.

use crate::accepting::pair;
use crate::world::{START, conversation};
use iris_protocol::{Mono, Wall};
use iris_shard::io::Input;
use std::time::Duration;

/// Proves: G-CLOCK-1 (the clock never goes back)
/// Seen to fail when: `handle` takes a time that lies before the last one.
#[test]
fn the_shard_clock_follows_monotonic_time_and_never_goes_back() {
    let (mut world, _, bob) = pair(1, 0, 0);
    assert!(world.wall() >= START);
    let before = world.wall();
    world.now = world.now.after(Duration::from_millis(1500));
    assert_eq!(world.wall(), Wall(before.0 + 1500));
    let shard = &mut world.nodes[0].shard;
    assert!(shard.handle(world.now, Input::Tick).is_ok());
    assert!(shard.handle(Mono(1), Input::Tick).is_ok());
    assert!(shard.clock(world.now) >= Wall(before.0 + 1500));
    world.now = Mono(1);
    let id = world.send(0, &bob, "hello");
    world.run();
    assert_eq!(world.clients[0].accepted[&id].server_time, before.0 + 1500, "the clock went back");
}

/// Proves: G-CLOCK-1 (no clock decides order or identity)
/// Seen to fail when: `accept` takes the sequence from the clock.
#[test]
fn f_42_a_clock_that_stands_still_over_a_restart_changes_no_order() {
    let (mut world, alice, bob) = pair(2, 0, 1);
    for round in 0..5 {
        let id = world.send(0, &bob, &format!("{round}"));
        world.run();
        world.send_id(0, &bob, id, &format!("{round}"));
        world.run();
        world.crash();
        world.connect(0);
        world.connect(1);
        world.run();
    }
    world.settle();
    assert_eq!(world.clients[1].sequences(&conversation(&alice, &bob)), [1, 2, 3, 4, 5]);
}
