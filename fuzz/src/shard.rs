//! Target `shard`: arbitrary bytes as what happens to two shards: logins, frames (also arbitrary ones), bytes that leave,
//! records, answers, mail, time and stops, in an order that a driver could see.
//!
//! Invariants checked
//! - No assertion of the shard fails, and none of the world's.
//! - When everything that waits was given, nothing waits.

use crate::world::{Conn, World};
use bytes::Bytes;
use iris_protocol::frame::decode_client;
use iris_protocol::wire::{self, client_frame, send::Target};
use iris_protocol::{DeviceId, UserId};
use iris_shard::io::{ConnId, Input, Login, Renewal};
use std::time::Duration;

const USERS: [&str; 4] = ["ann", "bob", "cid", "dora"];
const DEVICES: [&str; 3] = ["phone", "pad", "web"];
/// Connections at a time.
const CONNS_MAX: usize = 12;

/// Judges one input; panics on a broken invariant.
pub(crate) fn check(bytes: &[u8]) {
    let mut script = Script { bytes: &[], world: World::new(), conns: 0, ids: 0, requests: 0 };
    // Everybody is there, so that the first send has somewhere to go.
    for who in 0..4 {
        script.login(who);
    }
    script.world.settle();
    script.bytes = bytes;
    while !script.bytes.is_empty() {
        script.step();
    }
    script.world.settle();
}

struct Script<'i> {
    bytes: &'i [u8],
    world: World,
    conns: u64,
    ids: u64,
    requests: u64,
}

impl Script<'_> {
    fn byte(&mut self) -> u8 {
        let Some((first, rest)) = self.bytes.split_first() else { return 0 };
        self.bytes = rest;
        *first
    }

    fn number(&mut self) -> u64 {
        let bytes: [u8; 8] = std::array::from_fn(|_| self.byte());
        u64::from_be_bytes(bytes)
    }

    fn step(&mut self) {
        let (what, who) = (self.byte() % 20, self.byte());
        let shard = usize::from(who) % self.world.nodes.len();
        match what {
            0 | 1 => self.login(who),
            2..=6 => self.send(who),
            7 => self.raw(who),
            8 => self.ack(who),
            9 => self.other(who),
            10 => self.sent(who),
            11 => drop(self.world.store(shard, 1 + usize::from(who / 32))),
            12 => drop(self.world.load(shard, who > 240)),
            13 => drop((0..=who / 64).all(|_| self.world.mail(shard))),
            14 => self.world.run(),
            15 | 16 => self.time(who),
            17 => self.world.input(shard, Input::StorageRoom { available: who < 160 }),
            18 if who == 255 => self.world.input(shard, Input::Drain),
            18 => self.gone(who),
            _ if who > 200 => self.world.crash(u64::from(who - 200) * 60_000),
            _ => self.world.settle(),
        }
    }

    fn login(&mut self, who: u8) {
        if self.world.conns.len() >= CONNS_MAX {
            self.gone(who);
        }
        let user = UserId::parse(USERS[usize::from(who) % USERS.len()]).expect("an id");
        let device = DeviceId::parse(DEVICES[usize::from(who / 4) % DEVICES.len()]).expect("an id");
        let (how, window) = (self.byte(), self.byte());
        let resume_offset = match how % 8 {
            0..=4 => None,
            5 => Some(u64::from(window)),
            6 => self.world.conns.iter().map(|conn| conn.last).max(),
            _ => Some(self.number()),
        };
        let hello = wire::Hello {
            versions: vec![u32::from(how != 255)],
            capabilities: Vec::new(),
            token: String::new(),
            resume_offset,
            window: u32::from(window.wrapping_add(8) % 32) + u32::from(how < 250),
            heartbeat_s: u32::from(how / 16),
            instance: u32::from(how % 3),
            attempt: u32::from(how / 3 % 4),
        };
        self.conns += 1;
        let (id, home) = (ConnId(self.conns), World::home(&user));
        let life_ms = if how / 8 == 30 { 500 } else { 3_600_000 };
        let ends_at = self.world.now.after(Duration::from_millis(life_ms));
        let login = Box::new(Login { user: user.clone(), device, ends_at, hello });
        self.world.conns.push(Conn { id, user, home, unsent: 0, last: 0, is_closed: false });
        self.world.input(home, Input::Login { conn: id, login });
    }

    fn chosen(&self, who: u8) -> Option<(usize, ConnId, usize)> {
        let at = usize::from(who) % self.world.conns.len().max(1);
        self.world.conns.get(at).map(|conn| (at, conn.id, conn.home))
    }

    fn frame(&mut self, who: u8, frame: Option<client_frame::Frame>) {
        let Some((at, conn, home)) = self.chosen(who) else { return };
        if !self.world.conns[at].is_closed {
            self.world.input(home, Input::Frame { conn, frame: wire::ClientFrame { frame }.into() });
        }
    }

    fn send(&mut self, who: u8) {
        let (how, bytes) = (self.byte(), self.byte());
        let to = USERS[usize::from(how) % USERS.len()].to_owned();
        let Some((at, _, home)) = self.chosen(who) else { return };
        // A new id, or one of those before.
        self.ids += u64::from(how < 200);
        let number = if how < 200 { self.ids } else { self.ids.saturating_sub(u64::from(how - 200)) };
        let minted_at = self.world.nodes[home].shard.clock(self.world.now).0;
        let minted_at =
            if how % 64 == 63 { minted_at - (u64::from(bytes) << 22) } else { minted_at >> 22 << 22 };
        let mut id = [0; 16];
        id[..6].copy_from_slice(&minted_at.to_be_bytes()[2..]);
        (id[6], id[8]) = (0x70, 0x80);
        id[9..].copy_from_slice(&number.to_be_bytes()[1..]);
        self.requests += 1;
        let send = wire::Send {
            request_id: self.requests,
            target: Some(Target::To(to)),
            message_id: Bytes::copy_from_slice(&id),
            payload: Bytes::from(vec![bytes; usize::from(bytes) * (1 + usize::from(how == 100) * 200)]),
            ack_through: (how % 16 == 3).then(|| self.world.conns[at].last),
        };
        self.frame(who, Some(client_frame::Frame::Send(send)));
    }

    /// A frame of arbitrary bytes.
    fn raw(&mut self, who: u8) {
        let count = usize::from(self.byte()).min(self.bytes.len());
        let (body, rest) = self.bytes.split_at(count);
        self.bytes = rest;
        if let Ok(frame) = decode_client(Bytes::copy_from_slice(body)) {
            self.frame(who, frame.frame);
        }
    }

    fn ack(&mut self, who: u8) {
        let Some((at, _, _)) = self.chosen(who) else { return };
        let last = self.world.conns[at].last;
        let through_offset = match self.byte() {
            how @ 0..=199 => last.saturating_sub(u64::from(how % 4)),
            200..=229 => last + 1,
            _ => self.number(),
        };
        self.frame(who, Some(client_frame::Frame::Ack(wire::Ack { through_offset })));
    }

    fn other(&mut self, who: u8) {
        let (how, request_id) = (self.byte(), u64::from(self.byte()));
        let device = DEVICES[usize::from(how / 8) % DEVICES.len()];
        match how % 6 {
            0 => self.frame(who, Some(client_frame::Frame::Devices(wire::Devices { request_id }))),
            1 => {
                let unlink = wire::Unlink { request_id, device: device.to_owned() };
                self.frame(who, Some(client_frame::Frame::Unlink(unlink)));
            }
            2 => self.frame(who, Some(client_frame::Frame::Ping(wire::Ping { nonce: request_id }))),
            3 => self.frame(who, Some(client_frame::Frame::Pong(wire::Pong { nonce: request_id }))),
            4 => self.frame(who, None),
            _ => self.refresh(who, request_id, device),
        }
    }

    fn refresh(&mut self, who: u8, request_id: u64, device: &str) {
        let Some((at, conn, home)) = self.chosen(who) else { return };
        let device = DeviceId::parse(device).expect("an id");
        let ends_at = self.world.now.after(Duration::from_secs(request_id));
        let expires_at = self.world.nodes[home].shard.clock(self.world.now).after_ms(request_id * 1_000);
        let user = self.world.conns[at].user.clone();
        let renewal = (request_id % 2 == 0).then(|| Box::new(Renewal { user, device, ends_at, expires_at }));
        self.world.input(home, Input::Refreshed { conn, request_id, renewal });
    }

    fn sent(&mut self, who: u8) {
        let part = usize::from(self.byte());
        let Some((at, conn, home)) = self.chosen(who) else { return };
        let unsent = &mut self.world.conns[at].unsent;
        let bytes = if part > 100 { *unsent } else { *unsent * part / 100 };
        *unsent -= bytes;
        if bytes > 0 {
            self.world.input(home, Input::Sent { conn, bytes });
        }
    }

    fn gone(&mut self, who: u8) {
        let Some((at, conn, home)) = self.chosen(who) else { return };
        self.world.conns.remove(at);
        self.world.input(home, Input::Gone { conn });
    }

    fn time(&mut self, who: u8) {
        let ms = match who {
            0..=150 => u64::from(who),
            151..=240 => u64::from(who - 150) * 700,
            _ => u64::from(who - 240) * 43_200_000,
        };
        self.world.pass(ms);
    }
}
