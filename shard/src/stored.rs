//! Tickets, and what may happen once they are durable. The only place that can acknowledge a message.
//!
//! Invariants
//! - A [`Durable`] exists only for what a record holds that was reported durable: it is made here, from
//!   `Input::Stored`, from a row of the tables, or from an owner's answer (which was made from one of these).
//! - `Effect::Accept`, `Outcome::Accepted` and `Forward::answers` are made only from a [`Durable`].

use crate::io::{ConnId, Effect, Ticket};
use crate::mail::{Body, Outcome, RequestRef};
use crate::mutant::{self, Mutant};
use crate::settle::Mark;
use crate::shard::Shard;
use iris_protocol::frame::accepted_bytes;
use iris_protocol::wire::{self, server_frame};
use iris_protocol::{Acceptance, ConversationId, MessageId, RejectCode, Sequence};
use iris_storage::op::{DedupRow, Ops};
use std::collections::{BTreeMap, VecDeque};

/// Proof that a message is in a durable record. Nothing outside this module can make one.
#[derive(Debug)]
pub(crate) struct Durable(());

impl Durable {
    /// The proof that comes with a forwarded envelope: an owner forwards only what is durable.
    pub(crate) fn of_forward(_answers: &RequestRef) -> Self {
        Self(())
    }
}

/// What happens when a ticket is durable.
#[derive(Debug)]
pub(crate) enum After {
    /// The owner accepted this sequence.
    Accepted { conversation: u32, sequence: Sequence },
    /// A home put watermarks, entries and cursors into the record.
    Settled(Vec<Mark>),
    /// A device's row is durable: its session gets the Welcome.
    Linked { conn: ConnId, user: u32 },
    /// A device is unlinked.
    Unlinked(Box<Unlinked>),
    /// Everything emitted before is durable: a purge of this user may read its rows.
    Fence { user: u32 },
    /// The retention's rewrite of an inbox is durable.
    Rewritten { user: u32 },
    /// A user's row is durable.
    Row { user: u32 },
}

/// An unlink that waits.
#[derive(Debug)]
pub(crate) struct Unlinked {
    /// Who asked.
    pub(crate) asked_by: ConnId,
    pub(crate) request_id: u64,
    pub(crate) device: String,
    /// Whose connection is to be closed.
    pub(crate) closes: Option<ConnId>,
    pub(crate) user: u32,
}

/// A retry of a message whose record is in flight.
#[derive(Debug)]
struct Replay {
    request: RequestRef,
    message_id: MessageId,
    conversation: ConversationId,
    row: DedupRow,
}

/// Every ticket handed out.
#[derive(Debug, Default)]
pub(crate) struct Tickets {
    last: Ticket,
    durable_through: Ticket,
    filled_through: Ticket,
    after: VecDeque<(Ticket, After)>,
    replays: BTreeMap<Ticket, Vec<Replay>>,
}

impl Tickets {
    pub(crate) fn is_durable(&self, ticket: Ticket) -> bool {
        ticket <= self.durable_through
    }

    /// True if the tables hold what this ticket's record says.
    pub(crate) fn is_filled(&self, ticket: Ticket) -> bool {
        ticket <= self.filled_through
            || mutant::is_on(Mutant::ForgottenBeforeFilled) && self.is_durable(ticket)
    }

    pub(crate) fn filled(&mut self, through: Ticket) {
        assert!(through <= self.durable_through, "ticket {through:?} is filled and not durable");
        self.filled_through = self.filled_through.max(through);
    }

    pub(crate) fn is_idle(&self) -> bool {
        self.last == self.durable_through
    }
}

impl Shard {
    /// Asks for operations to be put into the next record.
    pub(crate) fn store(&mut self, ops: Ops) -> Ticket {
        assert!(!ops.is_empty(), "a record of nothing");
        let ticket = self.next_ticket();
        self.tickets.last = ticket;
        self.effects.push_back(Effect::Store { ticket, ops });
        ticket
    }

    /// Asks for operations on a user's rows; the user stays in memory until what follows has happened and the tables hold them.
    pub(crate) fn store_of(&mut self, user: u32, ops: Ops, after: After) {
        let ticket = self.store(ops);
        let state = &mut self.users[user];
        state.tickets += 1;
        state.last_ticket = Some(ticket);
        self.after(ticket, after);
    }

    /// The ticket that the next [`Shard::store`] hands out.
    pub(crate) fn next_ticket(&self) -> Ticket {
        Ticket(self.tickets.last.0 + 1)
    }

    /// Lets something happen once the newest ticket is durable.
    pub(crate) fn after(&mut self, ticket: Ticket, after: After) {
        assert!(ticket == self.tickets.last, "completions are added in ticket order");
        self.tickets.after.push_back((ticket, after));
    }

    // Rule: ack only from Stored
    pub(crate) fn stored(&mut self, through: Ticket) {
        assert!(through <= self.tickets.last, "ticket {through:?} was never handed out");
        assert!(through >= self.tickets.durable_through, "ticket {through:?} was reported before");
        self.tickets.durable_through = through;
        while self.tickets.after.front().is_some_and(|(ticket, _)| *ticket <= through) {
            let Some((_, after)) = self.tickets.after.pop_front() else { return };
            self.complete(after);
        }
        while let Some(entry) = self.tickets.replays.first_entry() {
            if *entry.key() > through {
                break;
            }
            for replay in entry.remove() {
                self.answer_replay(replay, &Durable(()));
            }
        }
    }

    fn complete(&mut self, after: After) {
        match after {
            After::Accepted { conversation, sequence } => {
                self.accepted_durable(conversation, sequence);
            }
            After::Settled(marks) => self.settled_durable(marks),
            After::Linked { conn, user } => self.linked_durable(conn, user),
            After::Unlinked(unlinked) => self.unlinked_durable(&unlinked),
            After::Fence { user } => {
                let is_rewriting = self.users[user].rare().is_rewriting;
                // A rewrite keeps its hold on the user until it is durable itself.
                if is_rewriting {
                    self.rewrite_start(user);
                } else {
                    self.users[user].tickets -= 1;
                    self.purge_page(user);
                }
            }
            After::Rewritten { user } => {
                self.users[user].tickets -= 2;
                self.rewritten(user);
            }
            After::Row { user } => self.users[user].tickets -= 1,
        }
    }

    /// Answers a Send whose key is known, now or when its record is durable.
    pub(crate) fn replay(
        &mut self,
        request: RequestRef,
        message_id: MessageId,
        conversation: ConversationId,
        known: (DedupRow, Option<Ticket>),
    ) {
        self.counters.replayed += 1;
        let (row, ticket) = known;
        let replay = Replay { request, message_id, conversation, row };
        match ticket.filter(|ticket| !self.tickets.is_durable(*ticket)) {
            Some(ticket) => self.tickets.replays.entry(ticket).or_default().push(replay),
            // In the tables, or in a record that was reported durable.
            None => self.answer_replay(replay, &Durable(())),
        }
    }

    fn answer_replay(&mut self, replay: Replay, _proof: &Durable) {
        let Replay { request, message_id, conversation, mut row } = replay;
        if mutant::is_on(Mutant::ReplayedWrong) {
            row.sequence = row.sequence.next();
        }
        let outcome = Outcome::Accepted { sequence: row.sequence, server_time: row.server_time };
        self.reply(request.shard, Body::Submitted { request, message_id, conversation, outcome });
    }

    /// The owner's answer to a Send of a session here.
    pub(crate) fn submitted(
        &mut self,
        request: RequestRef,
        message_id: MessageId,
        conversation: &ConversationId,
        outcome: Outcome,
    ) {
        let Some(index) = self.session_of(request.conn) else { return };
        let request_id = request.request_id;
        match outcome {
            Outcome::Accepted { sequence, server_time } => {
                let acceptance = Acceptance {
                    request_id,
                    message_id,
                    conversation: conversation.clone(),
                    sequence,
                    server_time,
                    durability: self.config.durability,
                    place: None,
                };
                self.acknowledge(index, acceptance, &Durable(()));
            }
            Outcome::Rejected { code, retry_after_ms } => {
                self.reject_send(index, request_id, message_id, (code, retry_after_ms));
            }
        }
        self.count_answered(index);
    }

    /// Sends the acknowledgement.
    pub(crate) fn acknowledge(&mut self, index: u32, acceptance: Acceptance, _proof: &Durable) {
        let bytes = accepted_bytes(&acceptance);
        let conn = self.sessions[index].conn;
        self.effects.push_back(Effect::Accept { conn, acceptance });
        self.counters.acknowledged += 1;
        self.count_unsent(index, bytes);
    }

    pub(crate) fn reject_send(
        &mut self,
        index: u32,
        request_id: u64,
        message_id: MessageId,
        refusal: (RejectCode, Option<u32>),
    ) {
        let (code, retry_after_ms) = refusal;
        let frame = wire::Rejected {
            request_id,
            message_id: Some(bytes::Bytes::copy_from_slice(message_id.as_bytes())),
            code: code.number(),
            retry_after_ms,
            server_time: self.wall().0,
        };
        self.send_frame(index, server_frame::Frame::Rejected(frame));
    }
}
