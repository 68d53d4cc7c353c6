//! Devices: linking, the own copy, unlinking.

use crate::accepting::pair;
use crate::world::{World, conversation};
use iris_protocol::limits::Limits;
use iris_protocol::wire::{self, client_frame, server_frame};
use iris_protocol::{CloseCode, GapReason, RejectCode};
use iris_shard::io::Input;
use iris_storage::load::{LoadError, LoadRequest};
use std::time::Duration;

/// Proves: G-DEVICE-1 (a new device misses nothing after its Welcome)
/// Seen to fail when: `resume` welcomes a device whose row is not durable.
#[test]
fn f_27_the_start_of_a_new_device_is_durable_before_its_welcome() {
    let (mut world, _, bob) = pair(2, 0, 1);
    let tablet = world.client(&bob, "tablet");
    world.hold_stores = true;
    world.connect(tablet);
    world.run();
    assert!(world.clients[tablet].welcome.is_none(), "welcomed before its row was durable");
    world.hold_stores = false;
    world.run();
    assert!(world.clients[tablet].welcome.as_ref().unwrap().linked_now);
    // The Welcome is lost and the process stops: what comes from now on reaches the device.
    world.disconnect(tablet);
    world.clients[tablet].stored = 0;
    world.send(0, &bob, "after");
    world.run();
    world.crash();
    world.clients[tablet].resumes = false;
    world.connect(tablet);
    world.connect(1);
    world.settle();
    assert!(!world.clients[tablet].welcome.as_ref().unwrap().linked_now);
    assert_eq!(world.clients[tablet].payloads(), ["after"]);
}

/// Proves: G-DEVICE-1 (the first device starts at the oldest unclaimed entry; another one after the newest)
/// Seen to fail when: `link` gives the first device the last assigned offset, or a later one the start of the first; or `send_welcome`
/// says that the end is where the session starts.
#[test]
fn the_first_device_gets_the_unclaimed_inbox_and_a_later_one_what_comes() {
    let mut world = World::new(2);
    let (alice, bob) = (world.user_on("alice", 0), world.user_on("bob", 1));
    world.online(&alice, "phone");
    for number in 0..3 {
        world.send(0, &bob, &format!("{number}"));
        world.settle();
    }
    let phone = world.online(&bob, "phone");
    world.settle();
    assert_eq!(world.clients[phone].payloads(), ["0", "1", "2"]);
    let (welcome, last) = (world.clients[phone].welcome.as_ref().unwrap(), world.clients[phone].stored);
    assert!(welcome.resumed_at < last && welcome.end_offset == last, "{welcome:?}, the last is {last}");
    assert!(world.clients[phone].gaps.is_empty(), "a device that is new is told of a gap");
    world.clients[phone].acks = false;
    world.send(0, &bob, "3");
    world.settle();
    let tablet = world.online(&bob, "tablet");
    world.send(0, &bob, "4");
    world.settle();
    assert_eq!(world.clients[tablet].payloads(), ["4"], "it came after the third");
}

/// Proves: G-DEVICE-2 (all devices of a user end equal)
/// Seen to fail when: `push` stops after the device that has the answer.
#[test]
fn f_26_every_device_gets_what_the_user_s_other_devices_sent() {
    let (mut world, alice, bob) = pair(2, 0, 1);
    for number in 0..7 {
        world.online(&alice, &format!("device{number}"));
    }
    world.disconnect(3);
    world.disconnect(4);
    world.send(0, &bob, "from the phone");
    world.send(2, &bob, "from another");
    world.settle();
    world.connect(3);
    world.connect(4);
    world.settle();
    let id = conversation(&alice, &bob);
    for client in (0..9).filter(|client| *client != 1) {
        assert_eq!(world.clients[client].sequences(&id), [1, 2], "device {client}");
    }
    assert_eq!(world.rows(&alice), 0);
}

/// Proves: G-DEVICE-2, G-WINDOW-1 (the own copy counts as a delivery)
/// Seen to fail when: `answer_own` leaves the offset out; or does not look whether it is the next; or not at the
/// window.
#[test]
fn an_own_copy_comes_inside_its_answer_or_in_its_place_later() {
    let (mut world, alice, bob) = pair(2, 0, 1);
    let id = world.send(0, &bob, "in place");
    world.run();
    assert!(world.clients[0].accepted[&id].offset.is_some());
    // Behind something that was not acked, outside a window of 1.
    world.disconnect(0);
    world.clients[0].window = 1;
    world.clients[0].acks = false;
    world.connect(0);
    world.run();
    world.send(1, &alice, "fills the window");
    world.run();
    let id = world.send(0, &bob, "later");
    world.settle();
    assert!(world.clients[0].accepted[&id].offset.is_none(), "the window was full");
    assert_eq!(world.clients[0].sequences(&conversation(&alice, &bob)), [1, 2]);
    world.clients[0].acks = true;
    world.ack(0, world.clients[0].stored);
    world.settle();
    assert_eq!(world.clients[0].sequences(&conversation(&alice, &bob)), [1, 2, 3]);
    // Behind rows that are still being read from the tables.
    world.clients[0].reads = false;
    world.send(1, &alice, "in the tables");
    world.settle();
    world.crash();
    world.connect(1);
    world.run();
    world.send(1, &alice, "behind them");
    world.settle();
    world.clients[0].window = 256;
    world.clients[0].reads = true;
    world.connect(0);
    let page = world.nodes[0].loads.pop_front().expect("no page was asked for");
    let id = world.send(0, &bob, "while the page is read");
    world.run();
    assert!(world.clients[0].accepted[&id].offset.is_none(), "it is not the next");
    world.nodes[0].loads.push_front(page);
    world.settle();
    assert_eq!(world.clients[0].sequences(&conversation(&alice, &bob)), [1, 2, 3, 4, 5, 6]);
}

/// Proves: G-DEVICE-2 (an own copy comes inside its answer also where another device is behind, in rows that memory does not hold)
/// Seen to fail when: `answer_own` takes a copy for the next one only if memory holds the whole inbox.
#[test]
fn an_own_copy_comes_inside_its_answer_although_another_device_is_behind() {
    let (mut world, alice, bob) = pair(2, 0, 1);
    let tablet = world.online(&alice, "tablet");
    world.disconnect(tablet);
    for number in 0..3 {
        world.send(1, &alice, &format!("{number}"));
        world.settle();
    }
    world.crash();
    world.connect(0);
    world.connect(1);
    world.settle();
    assert_eq!(world.rows(&alice), 3, "they are kept for the tablet");
    let id = world.send(0, &bob, "mine");
    world.settle();
    assert!(world.clients[0].accepted[&id].offset.is_some());
    world.connect(tablet);
    world.settle();
    for client in [0, tablet] {
        assert_eq!(world.clients[client].sequences(&conversation(&alice, &bob)), [1, 2, 3, 4]);
    }
    assert_eq!(world.rows(&alice), 0);
}

/// Proves: G-RESUME-1 (a device that missed Accepted gets the copy at resume)
/// Seen to fail when: `answer_own` moves the cursor.
#[test]
fn an_own_copy_whose_answer_was_lost_comes_at_resume() {
    let (mut world, alice, bob) = pair(2, 0, 1);
    world.clients[0].reads = false;
    world.send(0, &bob, "lost answer");
    world.settle();
    world.disconnect(0);
    world.clients[0].reads = true;
    world.connect(0);
    world.settle();
    assert_eq!(world.clients[0].sequences(&conversation(&alice, &bob)), [1]);
}

/// Proves: G-DEVICE-4 (a device that was unlinked gets nothing more)
/// Seen to fail when: `unlinked_durable` does not close; or `take_device` leaves the session live.
#[test]
fn f_28_an_unlinked_device_gets_nothing_more_and_its_entries_go() {
    let (mut world, alice, bob) = pair(2, 0, 1);
    let tablet = world.online(&bob, "tablet");
    world.clients[tablet].acks = false;
    for number in 0..5 {
        world.send(0, &bob, &format!("{number}"));
    }
    world.settle();
    assert_eq!(world.rows(&bob), 5);
    world.hold_stores = true;
    world.frame(1, client_frame::Frame::Unlink(wire::Unlink { request_id: 3, device: "tablet".to_owned() }));
    world.run();
    let unlinked =
        server_frame::Frame::Unlinked(wire::Unlinked { request_id: 3, device: "tablet".to_owned() });
    assert!(!world.clients[1].others.contains(&unlinked), "answered before it was durable");
    world.send(0, &bob, "5");
    world.frame(tablet, client_frame::Frame::Ping(wire::Ping { nonce: 9 }));
    world.run();
    assert!(world.clients[tablet].others.is_empty(), "answered after the unlink was asked for");
    world.hold_stores = false;
    world.settle();
    assert!(world.clients[1].others.contains(&unlinked));
    assert_eq!(world.clients[tablet].closed, [CloseCode::DeviceUnlinked]);
    assert_eq!(world.clients[tablet].sequences(&conversation(&alice, &bob)), [1, 2, 3, 4, 5]);
    assert_eq!(world.rows(&bob), 0, "entries were kept for the unlinked device");
    world.crash();
    world.connect(1);
    world.run();
    world.frame(1, client_frame::Frame::Devices(wire::Devices { request_id: 4 }));
    world.run();
    let list = world.clients[1].others.iter().find_map(|frame| {
        if let server_frame::Frame::DeviceList(list) = frame { Some(list.clone()) } else { None }
    });
    let list = list.unwrap();
    assert_eq!(list.devices.len(), 1);
    assert_eq!((list.devices[0].device.as_str(), list.devices[0].connected), ("phone", true));
}

fn unlink(world: &mut World, asks: usize, device: &str) {
    let unlink = wire::Unlink { request_id: 3, device: device.to_owned() };
    world.frame(asks, client_frame::Frame::Unlink(unlink));
}

/// Proves: G-DEVICE-4 (only the device that is named is unlinked: those that were linked after it go on as they were)
/// Seen to fail when: `take_device` leaves sessions the places of their devices.
#[test]
fn f_28_devices_behind_one_that_is_unlinked_go_on() {
    let (mut world, _, bob) = pair(2, 0, 1);
    let [tablet, laptop, desktop] = ["tablet", "laptop", "desktop"].map(|device| world.online(&bob, device));
    world.disconnect(desktop);
    unlink(&mut world, tablet, "phone");
    world.settle();
    world.send(0, &bob, "first");
    world.settle();
    assert_eq!(world.rows(&bob), 1, "it is kept for the desktop");
    unlink(&mut world, laptop, "desktop");
    world.settle();
    assert_eq!(world.rows(&bob), 0, "both had acknowledged it");
    world.disconnect(tablet);
    world.send(0, &bob, "second");
    world.settle();
    assert_eq!(world.rows(&bob), 1);
    world.frame(laptop, client_frame::Frame::Devices(wire::Devices { request_id: 4 }));
    world.run();
    let list = world.clients[laptop].others.iter().find_map(|frame| {
        if let server_frame::Frame::DeviceList(list) = frame { Some(list.clone()) } else { None }
    });
    let list: Vec<_> = list.unwrap().devices.into_iter().map(|it| (it.connected, it.acked_through)).collect();
    assert_eq!(list, [(false, world.clients[tablet].stored), (true, world.clients[laptop].stored)]);
    world.connect(tablet);
    world.settle();
    for client in [tablet, laptop] {
        assert_eq!(world.clients[client].payloads(), ["first", "second"]);
        assert!(world.clients[client].closed.is_empty());
    }
    assert_eq!(world.rows(&bob), 0);
}

/// Proves: G-LIMIT-2 (no queue grows without a bound): whatever was done to a user and its rows, it leaves memory when it is idle.
/// Seen to fail when: what was counted for a link, an unlink, a purge or one that could not read is not taken back.
#[test]
fn a_user_leaves_memory_after_links_unlinks_and_purges() {
    for fails in [false, true] {
        let mut world = World::new(1);
        world.online("alice", "phone");
        let phone = world.online("bob", "phone");
        let tablet = world.online("bob", "tablet");
        world.disconnect(tablet);
        for number in 0..3 {
            world.send(0, "bob", &format!("{number}"));
            world.settle();
        }
        world.crash();
        world.connect(0);
        world.connect(phone);
        if fails {
            world.hold_loads = true;
            let is_purge = |request: &LoadRequest| matches!(request, LoadRequest::Inbox { .. });
            while !is_purge(&world.nodes[0].loads.front().expect("nothing is purged").1) {
                world.load_one(0);
            }
            let (id, _) = world.nodes[0].loads.pop_front().unwrap();
            let answer = Err(LoadError::Damaged { table: "inbox", key: "bob".to_owned() });
            world.input(0, Input::Loaded { id, answer });
            world.hold_loads = false;
        }
        world.settle();
        world.online("bob", "laptop");
        for device in ["laptop", "tablet"] {
            unlink(&mut world, phone, device);
            world.settle();
        }
        assert_eq!((world.rows("bob"), world.sum(|it| it.load_errors)), (0, u64::from(fails)));
        let evicted = world.sum(|it| it.evicted);
        world.disconnect(phone);
        world.send(0, "alice", "to herself");
        world.pass(Duration::from_secs(10));
        assert_eq!(world.sum(|it| it.evicted), evicted + 4, "a channel, a conversation, a recipient, and he");
    }
}

/// Proves: G-DEVICE-4, G-GAP-1 (a device that did not hear that it was unlinked misses nothing without a word)
/// Seen to fail when: `link` owes no gap to a device that names an offset.
#[test]
fn f_28_a_device_that_returns_with_an_offset_of_its_earlier_life_is_told_of_a_gap() {
    let (mut world, _, bob) = pair(2, 0, 1);
    let tablet = world.online(&bob, "tablet");
    world.send(0, &bob, "for both");
    world.settle();
    world.disconnect(tablet);
    unlink(&mut world, 1, "tablet");
    world.settle();
    world.send(0, &bob, "for the phone alone");
    world.settle();
    // The tablet's offset is where its new life starts, too: no offset shows the hole.
    unlink(&mut world, 1, "phone");
    world.settle();
    world.connect(tablet);
    world.settle();
    let told: Vec<i32> = world.clients[tablet].gaps.iter().map(|gap| gap.reason).collect();
    assert_eq!(told, [i32::from(GapReason::DeviceDetached.to_wire())]);
}

/// Proves: G-DEVICE-4, G-DEVICE-5 (what the last device that held entries had leaves no rows to one that was detached)
/// Seen to fail when: `unlink` waits for a purge only if the user has one device.
#[test]
fn f_28_the_last_device_that_holds_entries_is_unlinked_after_a_purge() {
    let limits = Limits { inbox_envelopes: 10, sends_burst: 1000, ..Limits::default() };
    let mut world = World::with_limits(2, limits);
    let (alice, bob) = (world.user_on("alice", 0), world.user_on("bob", 1));
    world.online(&alice, "phone");
    world.online(&bob, "phone");
    let tablet = world.online(&bob, "tablet");
    world.disconnect(tablet);
    for number in 0..12 {
        world.send(0, &bob, &format!("{number}"));
        world.settle();
    }
    assert_eq!(world.rows(&bob), 0, "the tablet is detached");
    world.clients[1].acks = false;
    for number in 12..15 {
        world.send(0, &bob, &format!("{number}"));
    }
    world.settle();
    world.crash();
    world.connect(0);
    world.run();
    world.send(0, &bob, "in memory");
    world.settle();
    assert_eq!(world.rows(&bob), 4);
    world.clients[1].acks = true;
    world.hold_loads = true;
    world.connect(1);
    world.settle();
    unlink(&mut world, 1, "phone");
    world.settle();
    world.hold_loads = false;
    world.settle();
    assert_eq!(world.clients[1].closed, [CloseCode::DeviceUnlinked]);
    assert_eq!(world.rows(&bob), 0, "rows that the phone had are left");
    world.connect(tablet);
    world.run();
    let welcome = world.clients[tablet].welcome.as_ref().unwrap();
    assert_eq!(welcome.end_offset, welcome.resumed_at, "it has to wait for what is gone");
    world.send(0, &bob, "for the tablet");
    world.settle();
    assert_eq!(world.clients[tablet].payloads().last().unwrap(), "for the tablet");
    assert_eq!(world.clients[tablet].gaps.len(), 1);
}

/// Proves: G-DEVICE-4 (the entries that were kept for it alone are freed)
/// Seen to fail when: `after_fewer_devices` does not purge.
#[test]
fn f_28_cold_entries_of_an_unlinked_device_are_freed() {
    let (mut world, _, bob) = pair(2, 0, 1);
    world.online(&bob, "tablet");
    world.disconnect(2);
    for number in 0..1200 {
        world.send(0, &bob, &format!("{number}"));
        if number % 40 == 0 {
            world.settle();
        }
    }
    world.settle();
    assert_eq!(world.rows(&bob), 1200 - world.clients[0].rejected.len());
    world.frame(1, client_frame::Frame::Unlink(wire::Unlink { request_id: 3, device: "tablet".to_owned() }));
    world.settle();
    assert_eq!(world.rows(&bob), 0);
}

/// Proves: G-REJECT-1 (a refusal says what to do next)
/// Seen to fail when: `unlink` answers an unknown device with Unlinked.
#[test]
fn an_unknown_device_cannot_be_unlinked() {
    let (mut world, _, _) = pair(1, 0, 0);
    for device in ["nobody", "not a device"] {
        let device = device.to_owned();
        world.frame(0, client_frame::Frame::Unlink(wire::Unlink { request_id: 1, device }));
    }
    world.run();
    assert_eq!(world.clients[0].refused, [RejectCode::UnknownDevice, RejectCode::InvalidId]);
}

/// Proves: G-DEVICE-3 (eight devices at most)
/// Seen to fail when: `login_loaded` does not count devices.
#[test]
fn a_ninth_device_is_refused() {
    let mut world = World::new(1);
    for number in 0..8 {
        world.online("alice", &format!("device{number}"));
    }
    let ninth = world.client("alice", "device8");
    world.connect(ninth);
    world.run();
    assert_eq!(world.clients[ninth].closed, [CloseCode::TooManyDevices]);
    world.connect(0);
    world.run();
    assert!(world.clients[0].welcome.is_some(), "a linked device may return");
}
