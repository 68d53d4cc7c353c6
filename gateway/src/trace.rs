//! TRACE lines in which a message can be followed by its id, from its record to its delivery.
//!
//! Invariants
//! - Never a payload, never a token.
//! - Without TRACE a line costs one relaxed load.

use iris_protocol::{Acceptance, ShardId};
use iris_shard::io::{ConnId, Frame};
use iris_shard::mail::{Body, Mail};
use iris_storage::op::Op;
use tracing::{Level, enabled, trace};

/// A message was put into a record.
pub(crate) fn stored(shard: ShardId, ops: &[Op]) {
    if !enabled!(Level::TRACE) {
        return;
    }
    for op in ops {
        match op {
            Op::Accept { envelope, .. } => {
                trace!(
                    shard = shard.0,
                    message_id = envelope.message_id.to_string(),
                    conversation = envelope.conversation.as_str(),
                    sequence = envelope.sequence.0,
                    "persist"
                );
            }
            Op::Confirm { conversation, recipient, sequences } => {
                for (sequence, last) in sequences {
                    trace!(
                        shard = shard.0,
                        conversation = conversation.as_str(),
                        sequence = sequence.0,
                        slot = recipient.number(),
                        last,
                        "confirmed"
                    );
                }
            }
            Op::Append { .. }
            | Op::Elide { .. }
            | Op::Remove { .. }
            | Op::User { .. }
            | Op::Cursor { .. }
            | Op::Unlink { .. }
            | Op::DedupFloor { .. } => {}
        }
    }
}

/// A message went to another shard.
pub(crate) fn mailed(shard: ShardId, to: ShardId, mail: &Mail) {
    if !enabled!(Level::TRACE) {
        return;
    }
    match &mail.body {
        Body::Submit { message_id, conversation, .. } => {
            let message_id = message_id.to_string();
            trace!(shard = shard.0, to = to.0, message_id, conversation = conversation.as_str(), "submit");
        }
        Body::Forward { envelope, .. } => {
            trace!(
                shard = shard.0,
                to = to.0,
                message_id = envelope.message_id.to_string(),
                conversation = envelope.conversation.as_str(),
                sequence = envelope.sequence.0,
                "route"
            );
        }
        Body::Submitted { .. }
        | Body::Confirm { .. }
        | Body::Reforward { .. }
        | Body::Ask { .. }
        | Body::State { .. }
        | Body::Unclaimed { .. }
        | Body::Booted
        | Body::Noted
        | Body::NotOwner { .. } => {}
    }
}

/// A message goes to a device.
pub(crate) fn delivered(shard: ShardId, conn: ConnId, frame: &Frame) {
    if !enabled!(Level::TRACE) {
        return;
    }
    if let Frame::Deliver { offset, envelope, .. } = frame {
        trace!(
            shard = shard.0,
            conn = conn.0,
            message_id = envelope.message_id.to_string(),
            conversation = envelope.conversation.as_str(),
            sequence = envelope.sequence.0,
            offset = offset.0,
            "deliver"
        );
    }
}

/// A message was acknowledged to its sender.
pub(crate) fn accepted(shard: ShardId, conn: ConnId, acceptance: &Acceptance) {
    if !enabled!(Level::TRACE) {
        return;
    }
    trace!(
        shard = shard.0,
        conn = conn.0,
        message_id = acceptance.message_id.to_string(),
        conversation = acceptance.conversation.as_str(),
        sequence = acceptance.sequence.0,
        offset = acceptance.place.map(|(offset, _)| offset.0),
        "accept"
    );
}
