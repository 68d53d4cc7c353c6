//! Where a message's time went: the flight recorder of a core.
//!
//! Invariants
//! - The stages of a flight add up to its time from the turn that took its bytes to the send that the kernel took.
//! - A recorder's memory is bounded, and what it cannot follow is not slower for it.

mod line;
mod recorder;

use iris_protocol::Mono;

pub(crate) use line::Summary;
pub(crate) use recorder::{FlightFigures, Recorder, Slow};

/// What a message's time is spent on, in the order of its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// Its bytes are here, and wait for what came before them.
    Receive,
    /// Its frame is read.
    Decode,
    /// It waits in the mail of another core: on its way to the owner, and from there to the recipient's home.
    Mail,
    /// Its shards judge it, and its owner gives it a sequence.
    Sequence,
    /// It waits for the record before its own to become durable.
    StoreWait,
    /// Its record becomes durable.
    Commit,
    /// It is routed, takes its place in the inbox, and becomes a frame.
    Deliver,
    /// The frame waits for its turn, and the kernel takes it.
    Send,
}

impl Stage {
    /// All, in order.
    pub(crate) const ALL: [Self; 8] = [
        Self::Receive,
        Self::Decode,
        Self::Mail,
        Self::Sequence,
        Self::StoreWait,
        Self::Commit,
        Self::Deliver,
        Self::Send,
    ];

    /// Its name for operators.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Receive => "receive",
            Self::Decode => "decode",
            Self::Mail => "mail",
            Self::Sequence => "sequence",
            Self::StoreWait => "store_wait",
            Self::Commit => "commit",
            Self::Deliver => "deliver",
            Self::Send => "send",
        }
    }
}

/// Microseconds by stage.
pub(crate) type Spent = [u32; Stage::ALL.len()];

/// What a flight ends in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// Its acknowledgement to the sender.
    Accepted,
    /// Its delivery to a device.
    Delivered,
}

impl Way {
    /// Both.
    pub(crate) const ALL: [Self; 2] = [Self::Accepted, Self::Delivered];

    /// Its name for operators.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::Delivered => "delivered",
        }
    }
}

/// A message on its way. It goes with the message's mail from core to core: all cores count time from the same moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Flight {
    origin: Mono,
    /// The end of the last stage, in microseconds after the origin.
    at_us: u32,
    spent_us: Spent,
}

impl Flight {
    /// A message whose bytes came at `origin`.
    pub(crate) fn begin(origin: Mono) -> Self {
        Self { origin, at_us: 0, spent_us: Spent::default() }
    }

    /// Everything since the end of the last stage was spent on this one.
    pub(crate) fn pass(&mut self, stage: Stage, now: Mono) {
        let since = now.0.saturating_sub(self.origin.0) / 1_000;
        let at_us = u32::try_from(since).unwrap_or(u32::MAX).max(self.at_us);
        self.spent_us[stage as usize] += at_us - self.at_us;
        self.at_us = at_us;
    }

    /// Microseconds from the origin to the end of the last stage.
    pub(crate) fn total_us(&self) -> u32 {
        self.at_us
    }

    /// The same by stage.
    pub(crate) fn spent_us(&self) -> Spent {
        self.spent_us
    }
}

#[cfg(test)]
mod tests;
