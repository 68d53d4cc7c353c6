//! What the flight recorder is told: frames, mail, records and sends, as they pass through the loop.
//!
//! Invariants
//! - The recorder changes nothing that the shard, the log or a client can see.

use super::Core;
use crate::flight::{Flight, Stage, Way};
use iris_protocol::frame::ClientFrame;
use iris_protocol::{Envelope, MessageId, Mono};
use iris_reactor::Conn;
use iris_shard::io::{ConnId, Ticket};
use iris_shard::mail::{Body, Mail};
use iris_storage::op::Op;

impl Core {
    /// A frame was read: its bytes came at `woken`, and it was its turn at `began`.
    pub(super) fn follow_frame(&mut self, frame: &ClientFrame, woken: Mono, began: Mono) {
        let ClientFrame::Send(send) = frame else { return };
        let Ok(message_id) = send.message_id.parse() else { return };
        let mut flight = Flight::begin(woken);
        flight.pass(Stage::Receive, began);
        flight.pass(Stage::Decode, self.now());
        self.recorder.follow(message_id, flight);
    }

    /// Mail was taken.
    pub(super) fn follow_mail(&mut self, mail: &Mail, flight: Option<Flight>) {
        let Some(mut flight) = flight else { return };
        flight.pass(Stage::Mail, self.now());
        match &mail.body {
            Body::Submit { message_id, .. } => self.recorder.follow(*message_id, flight),
            Body::Submitted { message_id, .. } => self.recorder.follow_through_tick(*message_id, flight),
            Body::Forward { envelope, .. } => {
                self.recorder.follow_through_tick(envelope.message_id, flight);
            }
            Body::Confirm { .. }
            | Body::Reforward { .. }
            | Body::Ask { .. }
            | Body::State { .. }
            | Body::Unclaimed { .. }
            | Body::Booted
            | Body::Noted
            | Body::NotOwner { .. } => {}
        }
    }

    /// The flight that goes with mail to another core.
    pub(super) fn flight_of(&mut self, now: Mono, mail: &Mail) -> Option<Flight> {
        match &mail.body {
            Body::Submit { message_id, .. } => self.recorder.hand_on(message_id, now),
            Body::Submitted { message_id, .. } => self.recorder.copy(message_id, now),
            Body::Forward { envelope, .. } => self.recorder.copy(&envelope.message_id, now),
            Body::Confirm { .. }
            | Body::Reforward { .. }
            | Body::Ask { .. }
            | Body::State { .. }
            | Body::Unclaimed { .. }
            | Body::Booted
            | Body::Noted
            | Body::NotOwner { .. } => None,
        }
    }

    /// Operations wait for their record.
    pub(super) fn gather_ops(&mut self, now: Mono, ticket: Ticket, ops: &[Op]) {
        self.recorder.append(ticket);
        for op in ops {
            match op {
                Op::Accept { envelope, .. } => self.recorder.gather(ticket, envelope.message_id, now),
                Op::Confirm { .. }
                | Op::Append { .. }
                | Op::Elide { .. }
                | Op::Remove { .. }
                | Op::User { .. }
                | Op::Cursor { .. }
                | Op::Unlink { .. }
                | Op::DedupFloor { .. } => {}
            }
        }
    }

    /// A message goes to a device.
    pub(super) fn leave_delivered(&mut self, now: Mono, conn: ConnId, envelope: &Envelope) {
        self.recorder.leave(Conn::from_bits(conn.0), &envelope.message_id, Way::Delivered, now);
    }

    /// A message is acknowledged.
    pub(super) fn leave_accepted(&mut self, now: Mono, conn: ConnId, message_id: &MessageId) {
        self.recorder.leave(Conn::from_bits(conn.0), message_id, Way::Accepted, now);
    }
}
