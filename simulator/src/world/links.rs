//! The network between devices and the process: delays, order, breaks.

use super::{Happening, World};
use crate::checker::Hello;
use crate::people::Person;
use bytes::Bytes;
use iris_protocol::frame::{body_length, decode_client, decode_server, encode_client};
use iris_protocol::limits::{FRAME_BYTES_MAX, LENGTH_BYTES};
use iris_protocol::wire::client_frame::Frame;
use iris_protocol::{Generation, Mono, Offset};
use iris_shard::io::{ConnId, Input, Login};
use std::time::Duration;

/// One-way delay in microseconds.
const DELAY: (u64, u64) = (50, 20_000);
/// One Hello of these takes so much longer, in microseconds: until its device has given up, and come back.
const SLOW_HELLO_ONE_IN: u64 = 10;
const SLOW_HELLO: (u64, u64) = (2_800_000, 3_300_000);
/// A token is good for a day.
const TOKEN_LIFE: Duration = Duration::from_hours(24);
/// Whoever was thrown out by an earlier start of itself comes back after this long, in microseconds.
const AGAIN: (u64, u64) = (1_000, 200_000);
/// The server hears of a broken connection after this long, in microseconds.
const HALF_OPEN: (u64, u64) = (1, 4_000_000);

impl World {
    pub(super) fn connect(&mut self, person: usize) {
        if self.people[person].conn.is_some() || self.is_away(person) {
            return;
        }
        let conn = ConnId(self.next_conn);
        self.next_conn += 1;
        let home = usize::from(self.placement().shard_of(self.people[person].user.slot()).0);
        self.people[person].conn = Some(conn);
        self.conns.insert(conn, (person, home));
        // Connections keep no order among each other: a Hello may come behind that of a later one.
        self.people[person].last_to_server = self.now;
        let now = self.now;
        let token = self.people[person].name();
        self.people[person].session.connected(now, &token);
        self.take_outputs(person);
    }

    /// A frame leaves a device.
    pub(super) fn send_to_server(&mut self, person: usize, frame: Frame) {
        let Some(conn) = self.people[person].conn else { return };
        let is_slow = matches!(frame, Frame::Hello(_))
            && self.plan.faults.network
            && self.random.one_in(SLOW_HELLO_ONE_IN);
        let mut bytes = Vec::new();
        encode_client(frame, &mut bytes);
        let mut at = self.arrival(self.people[person].last_to_server);
        if is_slow {
            at = at.after(Duration::from_micros(self.random.within(SLOW_HELLO.0, SLOW_HELLO.1)));
        }
        self.people[person].last_to_server = at;
        self.plan_at(at, Happening::ToServer { person, conn, body: body(bytes) });
    }

    /// A frame leaves the process.
    pub(super) fn send_to_device(&mut self, conn: ConnId, bytes: Vec<u8>) {
        let Some((person, _)) = self.conns.get(&conn).copied() else { return };
        let at = self.arrival(self.people[person].last_from_server);
        self.people[person].last_from_server = at;
        self.plan_at(at, Happening::ToPerson { person, conn, body: body(bytes) });
    }

    /// After a delay, and not before what was sent earlier.
    fn arrival(&mut self, last: Mono) -> Mono {
        let delay = self.random.within(DELAY.0, DELAY.1);
        self.now.after(Duration::from_micros(delay)).max(last)
    }

    pub(super) fn take_at_server(&mut self, person: usize, conn: ConnId, body: Bytes) {
        // What was on its way when the device gave its connection up arrives all the same.
        let Some((_, home)) = self.conns.get(&conn).or_else(|| self.left.get(&conn)).copied() else { return };
        let Ok(frame) = decode_client(body) else {
            if self.is_hostile(person) {
                return self.break_connection(person);
            }
            return self.checker.violate("C5", "a client's frame does not decode".to_owned());
        };
        match &frame.frame {
            Some(Frame::Hello(hello)) => {
                self.reached.late_hello += u64::from(self.left.contains_key(&conn));
                let said = &mut self.people[person];
                said.is_doubled = hello.instance != said.starts;
                let Person { user, device, .. } = &self.people[person];
                let named = hello.resume_offset.map(Offset);
                self.checker.logged_in(conn, &Hello { user, device, window: hello.window, named });
            }
            Some(Frame::Ack(ack)) => {
                if self.came_true(person, conn, Offset(ack.through_offset)) {
                    return;
                }
                self.checker.acked(conn, Offset(ack.through_offset), self.generation);
            }
            Some(Frame::Send(send)) => {
                self.checker.acked(conn, Offset(send.ack_through.unwrap_or(0)), self.generation);
            }
            Some(_) | None => {}
        }
        let input = match frame.frame {
            Some(Frame::Hello(hello)) => {
                let (user, device) = (self.people[person].user.clone(), self.people[person].device.clone());
                let ends_at = self.now.after(TOKEN_LIFE);
                Input::Login { conn, login: Box::new(Login { user, device, ends_at, hello }) }
            }
            frame => Input::Frame { conn, frame: iris_protocol::wire::ClientFrame { frame }.into() },
        };
        self.input(home, input);
    }

    pub(super) fn take_at_device(&mut self, person: usize, conn: ConnId, body: Bytes) {
        let Some((_, home)) = self.conns.get(&conn).copied() else { return };
        self.input(home, Input::Sent { conn, bytes: body.len() + LENGTH_BYTES });
        if self.people[person].conn != Some(conn) {
            return;
        }
        match decode_server(body) {
            Ok(frame) => {
                let now = self.now;
                self.people[person].session.handle(now, frame);
                self.people[person].session.flush_acks(now);
                self.take_outputs(person);
            }
            Err(error) => self.checker.violate("C5", format!("a server's frame does not decode: {error}")),
        }
    }

    /// The device's end of the connection is gone; the server notices later.
    pub(super) fn hang_up(&mut self, person: usize) {
        let Some(conn) = self.people[person].conn.take() else { return };
        let Some((_, shard)) = self.conns.remove(&conn) else { return };
        self.left.insert(conn, (person, shard));
        let boot = self.generation;
        let half_open = self.random.one_in(3);
        self.reached.half_open += u64::from(half_open);
        let to = if half_open { HALF_OPEN.1 } else { 10_000 };
        let mut at = self.now.after(Duration::from_micros(self.random.within(HALF_OPEN.0, to)));
        if self.random.one_in(2) {
            // Nothing is lost on its way: the end comes behind all that was sent.
            at = at.max(self.people[person].last_to_server.after(Duration::from_micros(1)));
        }
        self.plan_at(at, Happening::Gone { shard, conn, boot });
    }

    /// Another connection of the device took over: one of an earlier start of it, or the session stops for nothing. Its
    /// user has it come back.
    pub(super) fn thrown_out(&mut self, person: usize) {
        if !self.people[person].is_doubled {
            let what = format!("{} was thrown out by itself", self.people[person].name());
            self.checker.violate("C7", what);
        }
        self.reached.thrown_out += 1;
        self.plan_in(AGAIN.0, AGAIN.1, Happening::Connect { person });
    }

    pub(super) fn gone(&mut self, shard: usize, conn: ConnId, boot: Generation) {
        if boot == self.generation {
            self.left.remove(&conn);
            self.checker.ended(conn);
            self.input(shard, Input::Gone { conn });
        }
    }

    /// The process closed the connection: everything sent before arrives, then the end.
    pub(super) fn closed_by_server(&mut self, conn: ConnId) {
        let Some((person, shard)) = self.conns.get(&conn).copied() else { return };
        let boot = self.generation;
        let at = self.people[person].last_from_server.max(self.now).after(Duration::from_micros(1));
        self.plan_at(at, Happening::Gone { shard, conn, boot });
        if self.people[person].conn == Some(conn) {
            self.plan_at(at, Happening::Break { person });
        }
    }

    pub(super) fn break_connection(&mut self, person: usize) {
        if self.people[person].conn.is_none() {
            return;
        }
        self.reached.disconnects += 1;
        self.closed_apart(person);
        self.hang_up(person);
        let now = self.now;
        self.people[person].session.disconnected(now);
        self.take_outputs(person);
    }
}

/// A frame's body, through the production codec's length check.
fn body(bytes: Vec<u8>) -> Bytes {
    let length = body_length(&bytes, FRAME_BYTES_MAX);
    assert_eq!(length, Ok(Some(bytes.len() - LENGTH_BYTES)), "one whole frame");
    Bytes::from(bytes).slice(LENGTH_BYTES..)
}
