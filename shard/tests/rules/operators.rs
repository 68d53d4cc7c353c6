//! What a shard says to operators of users and connections, and which connections it names for an order to end them.

use crate::accepting::pair;
use iris_protocol::{CloseCode, DeviceId, UserId};
use iris_shard::io::{ConnId, Input};
use std::time::Duration;

fn user(id: &str) -> UserId {
    UserId::parse(id).unwrap()
}

fn device(id: &str) -> DeviceId {
    DeviceId::parse(id).unwrap()
}

/// Proves: G-ADMIN-4 (a user is shown with its devices and inbox, and a connection with what it has open)
/// Seen to fail when: `entries` leaves out what is in no record, or `bytes` that, or what is in one.
#[test]
fn a_user_and_its_connections_are_shown_as_they_are() {
    let (mut world, alice, bob) = pair(1, 0, 0);
    let tablet = world.online(&bob, "tablet");
    let gone = world.clients[tablet].conn.unwrap();
    world.disconnect(tablet);
    world.send(0, &bob, "12345");
    world.settle();
    (world.clients[1].acks, world.clients[1].reads) = (false, false);
    world.clients[0].acks = false;
    world.send(0, &bob, "123");
    world.run();
    let shard = &world.nodes[0].shard;
    let shown = shard.view_user(&user(&bob)).expect("bob is in memory");
    assert_eq!((shown.entries, shown.bytes), (2, 8));
    let conn = world.clients[1].conn.unwrap();
    let devices: Vec<_> = shown
        .devices
        .iter()
        .map(|it| (it.id.as_str(), it.conn, it.acked_through.0, it.is_detached))
        .collect();
    let had = world.clients[1].stored;
    assert_eq!(devices, [("phone", Some(conn), had, false), ("tablet", None, 0, false)]);
    assert!(shown.last_offset.0 > had);
    assert_eq!(shard.view_user(&user("nobody")), None);
    let shown = shard.view_conn(conn).expect("it is connected");
    assert_eq!((shown.user.as_str(), shown.device.as_str(), shown.is_welcomed), (&*bob, "phone", true));
    assert_eq!((shown.in_flight, shown.unanswered), (1, 0));
    assert_eq!(shown.unsent_bytes as usize, world.clients[1].unsent);
    assert!(shown.life > Duration::from_hours(23));
    assert_eq!(shard.view_conn(gone), None);
    // Her own copy is in no record, and then it is.
    for rows in [0, 1] {
        let shown = world.nodes[0].shard.view_user(&user(&alice)).expect("alice is in memory");
        assert_eq!((shown.entries, shown.bytes, world.rows(&alice)), (1, 3, rows));
        world.pass(Duration::from_secs(1));
    }
}

/// Proves: G-ADMIN-4, G-TOKEN-4 (an order ends the connections of the user or the device that it names, those that wait for their
/// user among them, and no other)
/// Seen to fail when: `conns_of` leaves out who waits; or takes every device for the one that is named.
#[test]
fn the_connections_of_a_user_or_a_device_are_named_while_they_wait_too() {
    let (mut world, alice, bob) = pair(1, 0, 0);
    let tablet = world.online(&bob, "tablet");
    world.crash();
    world.hold_loads = true;
    for client in [0, 1, tablet] {
        world.connect(client);
    }
    let conns = |world: &crate::world::World, of: &str, which: Option<&str>| -> Vec<ConnId> {
        let which = which.map(device);
        world.nodes[0].shard.conns_of(&user(of), which.as_ref())
    };
    for is_waiting in [true, false] {
        let of = |client: usize| world.clients[client].conn.unwrap();
        assert_eq!(conns(&world, &bob, None), [of(1), of(tablet)]);
        assert_eq!(conns(&world, &bob, Some("tablet")), [of(tablet)]);
        assert_eq!(conns(&world, &bob, Some("desktop")), []);
        assert_eq!(conns(&world, &alice, None), [of(0)]);
        assert_eq!(conns(&world, "nobody", None), []);
        let shown = world.nodes[0].shard.view_conn(of(tablet)).expect("it has shown its token");
        assert_eq!((shown.user.as_str(), shown.device.as_str()), (&*bob, "tablet"));
        assert_eq!(shown.is_welcomed, !is_waiting);
        assert_eq!(world.nodes[0].shard.view_user(&user(&bob)).is_none(), is_waiting);
        world.hold_loads = false;
        world.run();
    }
    for conn in conns(&world, &bob, Some("tablet")) {
        world.input(0, Input::End { conn, code: CloseCode::Kicked });
    }
    assert_eq!(world.clients[tablet].closed, [CloseCode::Kicked]);
    assert!(world.clients[0].closed.is_empty() && world.clients[1].closed.is_empty());
    assert_eq!(conns(&world, &bob, None), [world.clients[1].conn.unwrap()]);
}
