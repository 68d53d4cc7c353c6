//! Questions to the tables, and what waits for the answers.
//!
//! Invariants
//! - Every question is answered once; what waits for a failed one is refused, closed, or asked again.

use crate::delivery::Page;
use crate::expiry::ExpiryPage;
use crate::io::{Effect, LoadId};
use crate::owner::DedupAnswer;
use crate::shard::Shard;
use crate::timers::Delayed;
use crate::unclaimed::counted_bytes;
use crate::user::{Device, NOBODY, Waiter};
use hashbrown::HashMap;
use iris_protocol::{CloseCode, DeviceId, Mono};
use iris_storage::load::{LoadError, LoadRequest, Loaded};
use iris_storage::op::{CursorRow, UserRow};
use std::time::Duration;

/// What a question is for.
#[derive(Debug)]
pub(crate) enum Question {
    User { user: u32 },
    Watermark { channel: u32, member: u8 },
    Conversation { conversation: u32 },
    Dedup { conversation: u32 },
    Page(Page),
    Purge { user: u32 },
    Expiry(ExpiryPage),
}

/// What is tried again after a while.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Retry {
    User { user: u32 },
    Watermark { channel: u32, member: u8 },
    Lane { conversation: u32, lane: u8 },
}

/// Time until a failed read is tried again.
const RETRY_DELAY: Duration = Duration::from_secs(1);

/// Every open question.
#[derive(Debug)]
pub(crate) struct Loads {
    last: LoadId,
    open: HashMap<LoadId, Question, foldhash::fast::FixedState>,
    retries: Delayed<Retry>,
}

impl Loads {
    pub(crate) fn new() -> Self {
        Self {
            last: LoadId(0),
            open: HashMap::with_hasher(foldhash::fast::FixedState::with_seed(0)),
            retries: Delayed::new(RETRY_DELAY),
        }
    }

    pub(crate) fn is_idle(&self) -> bool {
        self.open.is_empty()
    }

    pub(crate) fn next_retry(&self) -> Option<Mono> {
        self.retries.next_due()
    }

    pub(crate) fn retry(&mut self, now: Mono, what: Retry) {
        self.retries.push(now, what);
    }
}

impl Shard {
    pub(crate) fn load(&mut self, request: LoadRequest, question: Question) -> LoadId {
        let id = LoadId(self.loads.last.0 + 1);
        self.loads.last = id;
        self.counters.loads += 1;
        let old = self.loads.open.insert(id, question);
        assert!(old.is_none(), "question {id:?} is asked twice");
        self.effects.push_back(Effect::Load { id, request });
        id
    }

    pub(crate) fn loaded(&mut self, id: LoadId, answer: Result<Loaded, LoadError>) {
        let question = self.loads.open.remove(&id);
        let Some(question) = question else {
            unreachable!("question {id:?} was never asked, or is answered twice");
        };
        match answer {
            Ok(loaded) => self.answered(id, question, loaded),
            Err(error) => {
                self.counters.load_errors += 1;
                self.unanswered(id, question, &error);
            }
        }
    }

    fn answered(&mut self, id: LoadId, question: Question, loaded: Loaded) {
        match (question, loaded) {
            (Question::User { user }, Loaded::User { row, devices }) => {
                self.user_loaded(user, row, devices);
            }
            (Question::Watermark { channel, member }, Loaded::Watermark(through)) => {
                self.watermark_loaded(channel, member, through);
            }
            (Question::Conversation { conversation }, Loaded::Conversation(last)) => {
                self.conversation_loaded(conversation, last);
            }
            (Question::Dedup { conversation }, Loaded::Dedup(row)) => {
                self.dedup_loaded(conversation, id, DedupAnswer::Told(row));
            }
            (Question::Page(page), Loaded::Inbox { entries, complete }) => {
                self.page_loaded(&page, entries, complete);
            }
            (Question::Purge { user }, Loaded::Inbox { entries, complete }) => {
                self.purge_loaded(user, entries, complete);
            }
            (Question::Expiry(page), Loaded::Expired { entries, next }) => {
                self.expired_loaded(&page, entries, next);
            }
            (Question::Expiry(page), Loaded::Inbox { entries, complete }) => {
                self.expiry_page_loaded(page, entries, complete);
            }
            (question, loaded) => unreachable!("{question:?} was answered with {loaded:?}"),
        }
    }

    fn unanswered(&mut self, id: LoadId, question: Question, error: &LoadError) {
        match question {
            Question::User { user } => self.user_failed(user),
            Question::Watermark { channel, member } => {
                self.loads.retry(self.now, Retry::Watermark { channel, member });
            }
            Question::Conversation { conversation } => self.conversation_failed(conversation),
            Question::Dedup { conversation } => self.dedup_loaded(conversation, id, DedupAnswer::Failed),
            Question::Page(page) => self.page_failed(&page, error),
            Question::Purge { user } => self.purge_failed(user),
            Question::Expiry(page) => self.expiry_failed(&page),
        }
    }

    pub(crate) fn take_retries(&mut self) {
        while let Some(retry) = self.loads.retries.pop_due(self.now) {
            match retry {
                Retry::User { user } => {
                    let id = self.users[user].id.clone();
                    self.load(LoadRequest::User(id), Question::User { user });
                }
                Retry::Watermark { channel, member } => {
                    let state = &self.channels[channel];
                    let id = self.users[state.members[usize::from(member)].user].id.clone();
                    let request = LoadRequest::Watermark(id, state.conversation.clone());
                    self.load(request, Question::Watermark { channel, member });
                }
                Retry::Lane { conversation, lane } => self.forward_again(conversation, lane),
            }
        }
    }

    fn user_loaded(&mut self, index: u32, row: UserRow, devices: Vec<(DeviceId, CursorRow)>) {
        let user = &mut self.users[index];
        assert!(!user.is_loaded, "user {} is loaded twice", user.id);
        user.is_loaded = true;
        user.row = row;
        user.had_usage = row.stored_entries > 0;
        if row.stored_entries > 0 {
            user.cold_through = row.last_offset;
            user.cold_entries = row.stored_entries;
        }
        user.counted_bytes = counted_bytes(&row, devices.iter().map(|(_, device)| *device));
        for (id, row) in devices {
            user.add_device(Device {
                id,
                cursor: row.acked_through,
                sent_through: row.acked_through,
                linked_at: row.linked_at,
                last_seen_at: row.last_seen_at,
                session: NOBODY,
                detached: row.detached,
                owes_gap: false,
                is_durable: true,
                is_returning: false,
                is_dirty: false,
            });
        }
        let waiters = user.rare.as_mut().map(|rare| std::mem::take(&mut rare.waiters)).unwrap_or_default();
        let is_changed = self.detach_silent(index);
        self.first_judgement(index, is_changed);
        // A stop may have come between a cursor and the removal of the rows that it passed.
        self.purge_at_load(index);
        for waiter in waiters {
            match waiter {
                Waiter::Login(conn) => self.login_loaded(conn),
                Waiter::Ask(from) => self.answer_ask(from, index),
                Waiter::Channel(channel) => self.channel_waits_less(channel),
                Waiter::Expiry => self.expiry_user_loaded(index),
            }
        }
        self.users[index].tidy(self.now);
    }

    /// The tables cannot read a user: who logs in is told; mail waits, and the read is tried again.
    fn user_failed(&mut self, index: u32) {
        let waiters = std::mem::take(&mut self.users[index].rare().waiters);
        for waiter in waiters {
            match waiter {
                Waiter::Login(conn) => {
                    if let Some(session) = self.session_of(conn) {
                        self.close(session, CloseCode::StorageFault, None);
                    }
                }
                Waiter::Ask(_) | Waiter::Channel(_) | Waiter::Expiry => {
                    self.users[index].rare().waiters.push(waiter);
                }
            }
        }
        if self.users[index].rare().waiters.is_empty() {
            let user = self.users.remove(index);
            assert!(user.pins == 0, "user {} is gone and pinned", user.id);
        } else {
            self.loads.retry(self.now, Retry::User { user: index });
        }
    }
}
