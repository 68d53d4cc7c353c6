//! A history in words: the last things that happened, for whoever reads a failure.

use crate::world::Happening;
use iris_protocol::frame::{decode_client, decode_server};
use iris_protocol::wire::{client_frame, server_frame};
use iris_protocol::{ConversationId, MessageId};
use std::collections::VecDeque;
use std::fmt::Write;

/// The last lines of a history.
#[derive(Clone, Debug)]
pub(crate) struct Story {
    lines: VecDeque<String>,
    lines_max: usize,
}

impl Story {
    /// An empty story, that keeps this many lines.
    pub(crate) fn new(lines_max: usize) -> Self {
        Self { lines: VecDeque::new(), lines_max }
    }

    /// Adds a line: something happened at this time, in microseconds.
    pub(crate) fn tell(&mut self, micros: u64, words: &str) {
        if self.lines.len() == self.lines_max {
            self.lines.pop_front();
        }
        self.lines.push_back(format!("{:>8}.{:03} ms  {words}", micros / 1_000, micros % 1_000));
    }

    /// The lines, oldest first.
    pub(crate) fn lines(self) -> Vec<String> {
        self.lines.into()
    }
}

/// A happening in words; `None` for what only passes time. `name` names a device.
pub(crate) fn words(happening: &Happening, name: impl Fn(usize) -> String) -> Option<String> {
    let words = match happening {
        Happening::Compose { person } => format!("{} writes a message", name(*person)),
        Happening::Connect { person } => format!("{} connects", name(*person)),
        Happening::ToServer { person, body, .. } => {
            let frame = decode_client(body.clone()).ok().and_then(|frame| frame.frame);
            format!("{} -> server: {}", name(*person), frame.map_or_else(|| "?".to_owned(), from_client))
        }
        Happening::ToPerson { person, body, .. } => {
            let frame = decode_server(body.clone()).ok().and_then(|frame| frame.frame);
            format!("server -> {}: {}", name(*person), frame.map_or_else(|| "?".to_owned(), from_server))
        }
        Happening::Gone { shard, conn, .. } => {
            format!("shard {shard} notices that connection {} is gone", conn.0)
        }
        Happening::Synced { shard, .. } => format!("shard {shard}: a record is synced"),
        Happening::Mail { from, to, mail, .. } => {
            let mail = format!("{:?}", mail.body);
            let kind = mail.split(|letter: char| !letter.is_alphanumeric()).next().unwrap_or_default();
            format!("shard {from} -> shard {to}: {kind}")
        }
        Happening::Crash => "the process stops, and starts again".to_owned(),
        Happening::Break { person } | Happening::NextBreak { person } => {
            format!("the connection of {} breaks", name(*person))
        }
        Happening::Restart { person } => format!("{} stops, and comes back later", name(*person)),
        Happening::Room { shard, available, .. } => {
            let room = if *available { "room again" } else { "no room" };
            format!("the disk of shard {shard} has {room}")
        }
        Happening::Act(act) => format!("{act:?}"),
        Happening::PersonTick { .. }
        | Happening::ShardTick { .. }
        | Happening::Answer { .. }
        | Happening::Flush
        | Happening::SlowTurn
        | Happening::Sync => return None,
    };
    Some(words)
}

/// The end of a message id: what tells ids of one history apart.
fn short(id: &[u8]) -> String {
    let parsed = MessageId::parse(id);
    parsed.map_or_else(
        |_| "?".to_owned(),
        |id| id.to_string().chars().rev().take(4).collect::<Vec<_>>().iter().rev().collect(),
    )
}

fn from_client(frame: client_frame::Frame) -> String {
    match frame {
        client_frame::Frame::Hello(hello) => format!("Hello, resumes at {:?}", hello.resume_offset),
        client_frame::Frame::Send(send) => {
            let mut words = format!("Send {}", short(&send.message_id));
            if let Some(through) = send.ack_through {
                let _never_fails = write!(words, ", acks {through}");
            }
            words
        }
        client_frame::Frame::Ack(ack) => format!("Ack {}", ack.through_offset),
        other @ (client_frame::Frame::Refresh(_)
        | client_frame::Frame::Devices(_)
        | client_frame::Frame::Unlink(_)
        | client_frame::Frame::Ping(_)
        | client_frame::Frame::Pong(_)) => format!("{other:?}"),
    }
}

fn from_server(frame: server_frame::Frame) -> String {
    let conversation = |name: &str| {
        ConversationId::parse(name).map_or_else(|_| "?".to_owned(), |conversation| conversation.to_string())
    };
    match frame {
        server_frame::Frame::Welcome(welcome) => {
            format!("Welcome, resumed at {}, ends at {}", welcome.resumed_at, welcome.end_offset)
        }
        server_frame::Frame::Accepted(accepted) => format!(
            "Accepted {} as {} {} at {:?}",
            short(&accepted.message_id),
            conversation(&accepted.conversation),
            accepted.sequence,
            accepted.offset
        ),
        server_frame::Frame::Deliver(deliver) => format!(
            "Deliver {} as {} {} (after {}) at {}",
            short(&deliver.message_id),
            conversation(&deliver.conversation),
            deliver.sequence,
            deliver.previous_sequence,
            deliver.offset
        ),
        other @ (server_frame::Frame::Rejected(_)
        | server_frame::Frame::Gap(_)
        | server_frame::Frame::Refreshed(_)
        | server_frame::Frame::Pong(_)
        | server_frame::Frame::GoAway(_)
        | server_frame::Frame::Close(_)
        | server_frame::Frame::DeviceList(_)
        | server_frame::Frame::Unlinked(_)
        | server_frame::Frame::Ping(_)) => format!("{other:?}"),
    }
}
