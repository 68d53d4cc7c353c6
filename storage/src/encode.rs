//! Operations as bytes: what stands in a record's body.
//!
//! Invariants
//! - One operation has one encoding; golden bytes pin it, since logs outlive the process that wrote them.
//! - What becomes a row's value stands in one piece, so that the merger can point at it instead of copying it.
//! - Encoding appends to one buffer and takes no other memory.

use crate::codec::{put_bytes, put_varint, wide};
use crate::op::{CursorRow, Entry, Op, UserRow};
use iris_protocol::{Envelope, GapReason};

pub(crate) mod tag {
    //! Kinds of operations and entries. Never reused.
    pub(crate) const ACCEPT: u8 = 1;
    pub(crate) const CONFIRM: u8 = 2;
    pub(crate) const APPEND: u8 = 3;
    pub(crate) const ELIDE: u8 = 4;
    pub(crate) const REMOVE: u8 = 5;
    pub(crate) const USER: u8 = 6;
    pub(crate) const CURSOR: u8 = 7;
    pub(crate) const UNLINK: u8 = 8;
    pub(crate) const DEDUP_FLOOR: u8 = 9;

    pub(crate) const MESSAGE: u8 = 1;
    pub(crate) const GAP: u8 = 2;
}

/// Appends one operation.
pub(crate) fn put_op(out: &mut Vec<u8>, op: &Op) {
    match op {
        Op::Accept { envelope, hash, recipients } => {
            out.push(tag::ACCEPT);
            out.extend_from_slice(&hash.0);
            put_varint(out, wide(recipients.len()));
            for slot in recipients {
                put_varint(out, u64::from(slot.number()));
            }
            put_envelope(out, envelope);
        }
        Op::Confirm { conversation, recipient, sequences } => {
            out.push(tag::CONFIRM);
            put_bytes(out, conversation.as_str().as_bytes());
            put_varint(out, u64::from(recipient.number()));
            put_varint(out, wide(sequences.len()));
            for (sequence, last) in sequences {
                put_varint(out, sequence.0);
                out.push(u8::from(*last));
            }
        }
        Op::Append { user, offset, entry } => {
            out.push(tag::APPEND);
            put_bytes(out, user.as_str().as_bytes());
            put_varint(out, offset.0);
            put_entry(out, entry);
        }
        Op::Elide { user, watermarks } => {
            out.push(tag::ELIDE);
            put_bytes(out, user.as_str().as_bytes());
            put_varint(out, wide(watermarks.len()));
            for (conversation, sequence) in watermarks {
                put_bytes(out, conversation.as_str().as_bytes());
                put_varint(out, sequence.0);
            }
        }
        Op::Remove { .. }
        | Op::User { .. }
        | Op::Cursor { .. }
        | Op::Unlink { .. }
        | Op::DedupFloor { .. } => {
            put_small_op(out, op);
        }
    }
}

fn put_small_op(out: &mut Vec<u8>, op: &Op) {
    match op {
        Op::Remove { user, offsets } => {
            out.push(tag::REMOVE);
            put_bytes(out, user.as_str().as_bytes());
            put_varint(out, wide(offsets.len()));
            for offset in offsets {
                put_varint(out, offset.0);
            }
        }
        Op::User { user, row } => {
            out.push(tag::USER);
            put_bytes(out, user.as_str().as_bytes());
            put_user_row(out, row);
        }
        Op::Cursor { user, device, row } => {
            out.push(tag::CURSOR);
            put_bytes(out, user.as_str().as_bytes());
            put_bytes(out, device.as_str().as_bytes());
            put_cursor_row(out, row);
        }
        Op::Unlink { user, device } => {
            out.push(tag::UNLINK);
            put_bytes(out, user.as_str().as_bytes());
            put_bytes(out, device.as_str().as_bytes());
        }
        Op::DedupFloor { slot, floor_day } => {
            out.push(tag::DEDUP_FLOOR);
            put_varint(out, u64::from(slot.number()));
            put_varint(out, u64::from(*floor_day));
        }
        Op::Accept { .. } | Op::Confirm { .. } | Op::Append { .. } | Op::Elide { .. } => {
            unreachable!("encoded by put_op")
        }
    }
}

/// Appends an envelope: an outbox row's value, and part of an inbox row's.
pub(crate) fn put_envelope(out: &mut Vec<u8>, envelope: &Envelope) {
    put_bytes(out, envelope.conversation.as_str().as_bytes());
    put_varint(out, envelope.sequence.0);
    put_bytes(out, envelope.sender.as_str().as_bytes());
    put_bytes(out, envelope.device.as_str().as_bytes());
    out.extend_from_slice(envelope.message_id.as_bytes());
    put_varint(out, envelope.server_time.0);
    put_bytes(out, &envelope.payload);
}

/// Appends an entry: an inbox row's value.
pub(crate) fn put_entry(out: &mut Vec<u8>, entry: &Entry) {
    match entry {
        Entry::Message { envelope, previous } => {
            out.push(tag::MESSAGE);
            put_varint(out, previous.0);
            put_envelope(out, envelope);
        }
        Entry::Gap { conversation, from, through, reason } => {
            out.push(tag::GAP);
            out.push(reason_number(*reason));
            put_bytes(out, conversation.as_str().as_bytes());
            put_varint(out, from.0);
            put_varint(out, through.0);
        }
    }
}

/// Appends a users row's value.
pub(crate) fn put_user_row(out: &mut Vec<u8>, row: &UserRow) {
    put_varint(out, row.last_offset.0);
    put_varint(out, u64::from(row.stored_entries));
    put_varint(out, row.stored_bytes);
}

/// Appends a cursors row's value.
pub(crate) fn put_cursor_row(out: &mut Vec<u8>, row: &CursorRow) {
    put_varint(out, row.acked_through.0);
    put_varint(out, row.linked_at.0);
    put_varint(out, row.last_seen_at.0);
    out.push(u8::from(row.detached));
}

/// The stored number of a reason. Never reused.
pub(crate) fn reason_number(reason: GapReason) -> u8 {
    match reason {
        GapReason::AlreadyAcked => 1,
        GapReason::Expired => 2,
        GapReason::DeviceDetached => 3,
        GapReason::InboxFull => 4,
    }
}

/// The reason with this number.
pub(crate) fn reason_of(number: u8) -> Option<GapReason> {
    match number {
        1 => Some(GapReason::AlreadyAcked),
        2 => Some(GapReason::Expired),
        3 => Some(GapReason::DeviceDetached),
        4 => Some(GapReason::InboxFull),
        _ => None,
    }
}
