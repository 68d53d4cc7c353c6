//! Answers to the admin port.
//!
//! Invariants
//! - A question looks at a bounded number of places, or at one user.
//! - Questions to the tables carry ids that the shard never gives.

use super::Core;
use crate::asks::{ASKS_MAX, Ask, ConnPage, ConnRow, Place, SlowPage};
use crate::conn::{ConnState, Phase};
use crate::flight::Way;
use crate::revocations::Target;
use iris_protocol::{CloseCode, DeviceId, Mono, UserId};
use iris_reactor::Conn;
use iris_shard::inspect::{DeviceView, UserView};
use iris_shard::io::{ConnId, Input, LoadId};
use iris_storage::load::{LoadError, LoadRequest, Loaded};
use std::collections::HashMap;
use tokio::sync::oneshot;

/// Questions to the tables for the admin port at once.
const LOADS_MAX: usize = 64;
/// Places of the table of connections that one question looks at.
const PLACES_MAX: usize = 16_384;
/// Set in the ids of the admin port's questions to the tables.
const ADMIN_LOAD: u64 = 1 << 63;

type UserReply = oneshot::Sender<Result<Option<UserView>, LoadError>>;

/// Questions to the tables on the way.
#[derive(Default)]
pub(super) struct Asked {
    last_load: u64,
    loads: HashMap<LoadId, UserReply>,
}

impl Core {
    /// Answers what the admin port asked.
    pub(super) fn take_asks(&mut self, now: Mono) {
        for _ in 0..ASKS_MAX {
            let Ok(ask) = self.parts.asks.try_recv() else { return };
            match ask {
                Ask::Conns { from, rows_max, reply } => {
                    let _nobody_waits = reply.send(self.page_of_conns(from, rows_max));
                }
                Ask::User { user, reply } => self.ask_user(user, reply),
                Ask::Slow { reply } => {
                    let _nobody_waits = reply.send(self.page_of_slow());
                }
                Ask::Revoked { reply } => {
                    // What was revoked after this tick's look, and before the question, counts too.
                    self.end_revoked(now);
                    let _nobody_waits = reply.send(());
                }
                Ask::Kick { user, device, reply } => {
                    let _nobody_waits = reply.send(self.kick(now, &user, device.as_ref()));
                }
            }
        }
    }

    fn page_of_conns(&self, from: Place, rows_max: usize) -> ConnPage {
        let mut rows = Vec::new();
        let next = self.conns.walk(from, PLACES_MAX, |state| {
            rows.push(ConnRow {
                conn: state.id().0,
                phase: phase_name(state),
                view: state.in_shard.then(|| self.parts.shard.view_conn(state.id())).flatten(),
            });
            rows.len() < rows_max
        });
        ConnPage { rows, next }
    }

    fn page_of_slow(&self) -> SlowPage {
        let summaries = Way::ALL.map(|way| (way, self.recorder.summary(way).clone()));
        SlowPage { slow: self.recorder.slow().cloned().collect(), summaries: summaries.into() }
    }

    /// From memory, or from the tables.
    fn ask_user(&mut self, user: UserId, reply: UserReply) {
        if let Some(view) = self.parts.shard.view_user(&user) {
            let _nobody_waits = reply.send(Ok(Some(view)));
        } else if self.asked.loads.len() < LOADS_MAX {
            self.asked.last_load += 1;
            let id = LoadId(ADMIN_LOAD | self.asked.last_load);
            self.asked.loads.insert(id, reply);
            self.parts.storage.ask(id, LoadRequest::User(user));
        }
    }

    /// Takes an answer of the tables if it is the admin port's; otherwise it is the shard's.
    pub(super) fn take_load(&mut self, now: Mono, id: LoadId, answer: Result<Loaded, LoadError>) {
        if id.0 & ADMIN_LOAD == 0 {
            self.recorder.answered(id);
            return self.give(now, Input::Loaded { id, answer });
        }
        if let Some(reply) = self.asked.loads.remove(&id) {
            let _nobody_waits = reply.send(answer.map(view_of_rows));
        }
    }

    /// Ends the sessions whose tokens were revoked since the last look.
    pub(super) fn end_revoked(&mut self, now: Mono) {
        let Some((set, new)) = self.parts.tokens.newly_revoked() else { return };
        let mut ended = if new.iter().any(|entry| matches!(entry.target, Target::Token(_))) {
            self.conns.marked(|mark| set.has_token(mark))
        } else {
            Vec::new()
        };
        for entry in new {
            let conns = match &entry.target {
                Target::Token(_) => continue,
                Target::Device(user, device) => self.parts.shard.conns_of(user, Some(device)),
                Target::User(user) => self.parts.shard.conns_of(user, None),
            };
            let is_covered = |conn: &ConnId| {
                let mark = self.conns.mark(Conn::from_bits(conn.0));
                mark.is_some_and(|mark| mark.was_issued_by(entry.made_at))
            };
            ended.extend(conns.into_iter().filter(is_covered));
        }
        for conn in ended {
            self.give(now, Input::End { conn, code: CloseCode::AuthFailed });
        }
    }

    fn kick(&mut self, now: Mono, user: &UserId, device: Option<&DeviceId>) -> usize {
        let conns = self.parts.shard.conns_of(user, device);
        for conn in &conns {
            self.give(now, Input::End { conn: *conn, code: CloseCode::Kicked });
        }
        conns.len()
    }
}

/// A user as the tables have it; `None`: they have nothing.
fn view_of_rows(loaded: Loaded) -> Option<UserView> {
    let Loaded::User { row, devices } = loaded else { return None };
    if row.last_offset.0 == 0 && devices.is_empty() {
        return None;
    }
    let devices = devices.into_iter().map(|(id, row)| DeviceView {
        id,
        conn: None,
        linked_at: row.linked_at,
        last_seen_at: row.last_seen_at,
        acked_through: row.acked_through,
        is_detached: row.detached,
    });
    Some(UserView {
        last_offset: row.last_offset,
        entries: u64::from(row.stored_entries),
        bytes: row.stored_bytes,
        devices: devices.collect(),
    })
}

fn phase_name(state: &ConnState) -> &'static str {
    match state.phase {
        Phase::Login => "login",
        Phase::Refused => "refused",
        Phase::Moving => "moving",
        Phase::Open => "open",
        Phase::Closing => "closing",
    }
}
