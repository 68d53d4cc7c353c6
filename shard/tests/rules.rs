//! The rules of a message's life, each as a scenario around real shards: named ones, and seeded random schedules.
//!
//! The world here is small on purpose: tables that apply operations as their documentation says, mail that the test
//! holds or lets go, records that become durable when the test says so, and clients that check what they are sent.
#![cfg(test)]

#[path = "rules/client.rs"]
mod client;
#[path = "rules/tables.rs"]
mod tables;
#[path = "rules/world.rs"]
mod world;

#[path = "rules/accepting.rs"]
mod accepting;
#[path = "rules/clocks.rs"]
mod clocks;
#[path = "rules/connections.rs"]
mod connections;
#[path = "rules/crowd.rs"]
mod crowd;
#[path = "rules/detaching.rs"]
mod detaching;
#[path = "rules/devices.rs"]
mod devices;
#[path = "rules/expiry.rs"]
mod expiry;
#[path = "rules/inboxes.rs"]
mod inboxes;
#[path = "rules/limits.rs"]
mod limits;
#[path = "rules/many_devices.rs"]
mod many_devices;
#[path = "rules/memory.rs"]
mod memory;
#[path = "rules/operators.rs"]
mod operators;
#[path = "rules/order.rs"]
mod order;
#[path = "rules/own_copies.rs"]
mod own_copies;
#[path = "rules/schedules.rs"]
mod schedules;
#[path = "rules/sessions.rs"]
mod sessions;
#[path = "rules/strays.rs"]
mod strays;
#[path = "rules/unclaimed.rs"]
mod unclaimed;
