//! What a shard says of its memory.

use crate::world::World;
use iris_protocol::limits::OWN_COPY_DELAY_MAX;
use iris_shard::memory::Memory;
use std::time::Duration;

fn memory(world: &mut World) -> Memory {
    world.nodes[0].shard.memory()
}

/// Proves: G-ADMIN-6 (users and sessions cost what their places cost, and a message that waits in an inbox costs its payload until it is
/// acknowledged, also while its owner still has it: it is counted once)
/// Seen to fail when: an envelope is counted whole for each of its holders, or the survey is not taken.
#[test]
fn the_ledger_follows_users_sessions_and_entries() {
    const PAYLOAD: usize = 40_000;
    let mut world = World::new(1);
    let empty = memory(&mut world);
    let alice = world.online("alice", "a1");
    let bob = world.online("bob", "b1");
    let two = memory(&mut world);
    for others in 0..62 {
        world.online(&format!("user{others}"), "d1");
    }
    let many = memory(&mut world);
    assert!(two.users > empty.users && two.sessions > empty.sessions);
    let (users, sessions) = ((many.users - two.users) / 62, (many.sessions - two.sessions) / 62);
    assert!((200..=320).contains(&users), "{users} bytes a user");
    assert!((90..=200).contains(&sessions), "{sessions} bytes a session");

    for client in [alice, bob] {
        world.clients[client].acks = false;
    }
    world.send(alice, "bob", &"x".repeat(PAYLOAD));
    world.run();
    world.pass(Duration::from_secs(2));
    let waiting = memory(&mut world);
    let held = waiting.inboxes + waiting.routes - many.inboxes - many.routes;
    let payload = u64::try_from(PAYLOAD).unwrap();
    // The test's own tables hold it, too, and have their share.
    assert!((payload / 4..payload * 5 / 4).contains(&held), "{held} bytes for one message of {PAYLOAD}");

    for client in [alice, bob] {
        let through = world.clients[client].stored;
        world.ack(client, through);
    }
    world.run();
    world.pass(OWN_COPY_DELAY_MAX + Duration::from_secs(2));
    let acknowledged = memory(&mut world);
    assert!(acknowledged.inboxes < 1_000, "{acknowledged:?}");
}
