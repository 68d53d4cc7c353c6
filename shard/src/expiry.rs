//! Retention: entries that nobody fetched in time become gap entries, and ids that nobody may repeat are forgotten.
//!
//! Invariants
//! - Age is judged by the shard clock alone. An entry that is younger than the retention never expires.
//! - A gap entry stands where the last entry that it replaces stood: everything after it stays after it.
//! - While a user's rows are rewritten, no session reads them.

use crate::loads::Question;
use crate::mutant::{self, Mutant};
use crate::purge::Purge;
use crate::shard::{Config, Shard};
use crate::stored::After;
use crate::user::{Content, NOBODY, Waiter};
use iris_protocol::{ConversationId, GapReason, Mono, Offset, Sequence, Slot, UserId, Wall};
use iris_storage::load::LoadRequest;
use iris_storage::op::{Entry, Op};
use smallvec::smallvec;
use std::collections::{BTreeMap, VecDeque};

/// Every slot is looked at this often in the time that entries are kept: every 6 hours of 30 days.
const ROUNDS_OF_RETENTION: u32 = 120;
/// Users whose rows are rewritten at the same time.
const REWRITES_MAX: u32 = 32;
const EXPIRED_ROWS_MAX: u32 = 1000;
const PAGE_ENTRIES_MAX: u32 = 256;
const PAGE_BYTES_MAX: u64 = 1 << 20;

/// Where the retention stands.
#[derive(Debug)]
pub(crate) struct Expiry {
    slots: Vec<Slot>,
    /// The next slot to look at.
    next: usize,
    /// Slots whose turn has come.
    due: usize,
    /// When the next slot's turn comes.
    next_at: Mono,
    /// A page of a slot, or a user, is being loaded.
    is_asking: bool,
    rewrites: u32,
    /// Users with expired rows.
    users: VecDeque<UserId>,
}

impl Expiry {
    pub(crate) fn new(now: Mono, config: &Config) -> Self {
        let slots = config.placement.slots_of(config.shard).collect();
        Self { slots, next: 0, due: 0, next_at: now, is_asking: false, rewrites: 0, users: VecDeque::new() }
    }
}

/// What a question of the retention is about.
#[derive(Debug)]
pub(crate) enum ExpiryPage {
    /// A page of a slot.
    Slot { slot: Slot, before: Wall },
    /// A page of a user's inbox.
    User { user: u32, rewrite: Box<Rewrite> },
}

/// Expired entries of a conversation that one gap entry replaces.
#[derive(Debug)]
struct Group {
    from: Sequence,
    through: Sequence,
    last: Offset,
    last_bytes: u32,
    /// Something is replaced: else it is a gap entry as it stood.
    is_changed: bool,
    reason: GapReason,
}

/// A rewrite of a user's inbox under way.
#[derive(Debug)]
pub(crate) struct Rewrite {
    before: Wall,
    through: Offset,
    after: Offset,
    groups: BTreeMap<ConversationId, Group>,
    removes: Vec<(Offset, u32)>,
    gaps: Vec<(ConversationId, Group)>,
}

impl Rewrite {
    fn take(&mut self, offset: Offset, entry: &Entry) {
        match entry {
            Entry::Message { envelope, previous } => {
                let bytes = u32::try_from(envelope.payload.len()).unwrap_or(u32::MAX);
                if envelope.server_time < self.before {
                    let from = previous.next();
                    let group = (from, envelope.sequence, GapReason::Expired);
                    self.widen(&envelope.conversation, offset, bytes, group);
                } else if let Some(group) = self.groups.remove(&envelope.conversation) {
                    // Rule: expiry (the gap comes before what is younger)
                    self.gaps.push((envelope.conversation.clone(), group));
                }
            }
            Entry::Gap { conversation, from, through, reason } => {
                self.widen(conversation, offset, 0, (*from, *through, *reason));
            }
        }
    }

    fn widen(
        &mut self,
        conversation: &ConversationId,
        offset: Offset,
        bytes: u32,
        (from, through, reason): (Sequence, Sequence, GapReason),
    ) {
        if let Some(group) = self.groups.get_mut(conversation) {
            self.removes.push((group.last, group.last_bytes));
            (group.through, group.last, group.last_bytes) = (through, offset, bytes);
            group.is_changed = true;
            group.reason = GapReason::Expired;
            return;
        }
        let is_changed = bytes > 0 || reason == GapReason::Expired;
        let group = Group { from, through, last: offset, last_bytes: bytes, is_changed, reason };
        self.groups.insert(conversation.clone(), group);
    }
}

impl Shard {
    /// Counts the slots whose turn has come.
    pub(crate) fn expiry_tick(&mut self) {
        let (now, count) = (self.now, self.expiry.slots.len());
        let slots = u32::try_from(count).unwrap_or(u32::MAX).max(1);
        let share = self.config.limits.retention / ROUNDS_OF_RETENTION / slots;
        let expiry = &mut self.expiry;
        while expiry.next_at <= now && expiry.due < count {
            expiry.due += 1;
            expiry.next_at = expiry.next_at.after(share);
        }
        expiry.next_at = expiry.next_at.max(now);
        self.expire();
    }

    /// Goes on with users that have expired rows, then with the slots whose turn has come.
    fn expire(&mut self) {
        while !self.expiry.is_asking && self.expiry.rewrites < REWRITES_MAX {
            if let Some(id) = self.expiry.users.pop_front() {
                let user = self.user(&id);
                if self.users[user].is_loaded {
                    self.rewrite(user);
                } else {
                    self.expiry.is_asking = true;
                    self.users[user].rare().waiters.push(Waiter::Expiry);
                }
            } else if self.expiry.due > 0 {
                self.expiry.due -= 1;
                self.expire_slot();
            } else {
                return;
            }
        }
    }

    fn expire_slot(&mut self) {
        let slot = self.expiry.slots[self.expiry.next];
        self.expiry.next = (self.expiry.next + 1) % self.expiry.slots.len();
        self.raise_floor(slot);
        let before = self.expires_before();
        self.ask_slot(slot, before, None);
    }

    // Rule: clock (age is judged by the shard clock)
    fn expires_before(&self) -> Wall {
        if mutant::is_on(Mutant::ExpiredYoung) {
            return self.wall();
        }
        let retention_ms = u64::try_from(self.config.limits.retention.as_millis()).unwrap_or(u64::MAX);
        Wall(self.wall().0.saturating_sub(retention_ms))
    }

    // Rule: dedup (rows go only below a stored floor that never falls)
    /// Ids of days that ended two windows ago: none of them can be accepted any more, and each was kept for a window.
    fn raise_floor(&mut self, slot: Slot) {
        let window_ms = u64::try_from(self.config.limits.dedup.as_millis()).unwrap_or(u64::MAX);
        let day = Wall(self.wall().0.saturating_sub(window_ms.saturating_mul(2))).day();
        if self.dedup.raise_floor(slot, day) {
            self.store(smallvec![Op::DedupFloor { slot, floor_day: day }]);
        }
        let lowest = self.expiry.slots.iter().map(|slot| self.dedup.floor_day(*slot)).min().unwrap_or(0);
        self.dedup.forget_days_below(lowest);
    }

    fn ask_slot(&mut self, slot: Slot, before: Wall, from: Option<(UserId, Offset)>) {
        self.expiry.is_asking = true;
        let request = LoadRequest::Expired { slot, from, before, rows_max: EXPIRED_ROWS_MAX };
        self.load(request, Question::Expiry(ExpiryPage::Slot { slot, before }));
    }

    pub(crate) fn expired_loaded(
        &mut self,
        page: &ExpiryPage,
        entries: Vec<(UserId, Offset, Entry)>,
        next: Option<(UserId, Offset)>,
    ) {
        let ExpiryPage::Slot { slot, before } = *page else {
            unreachable!("a user's page is answered with its inbox");
        };
        self.expiry.is_asking = false;
        for (user, _, _) in entries {
            if self.expiry.users.back() != Some(&user) {
                self.expiry.users.push_back(user);
            }
        }
        match next {
            Some(next) => self.ask_slot(slot, before, Some(next)),
            None => self.expire(),
        }
    }

    pub(crate) fn expiry_user_loaded(&mut self, index: u32) {
        self.expiry.is_asking = false;
        self.rewrite(index);
        self.expire();
    }

    /// Rewrites a user's inbox, unless something is at its rows already: then a later round does.
    fn rewrite(&mut self, index: u32) {
        let has_purge = self.users[index].rare.as_ref().is_some_and(|rare| rare.purge.is_some());
        if has_purge {
            return;
        }
        self.make_cold(index);
        let user = &mut self.users[index];
        if user.cold_entries == 0 {
            return;
        }
        let through = user.cold_through;
        self.expiry.rewrites += 1;
        let rare = user.rare();
        rare.version = rare.version.wrapping_add(1);
        rare.is_rewriting = true;
        rare.purge = Some(Purge { after: Offset::NONE, through, is_again: false });
        self.fence(index);
    }

    /// Durable entries leave memory, so that the tables alone hold them.
    fn make_cold(&mut self, index: u32) {
        let user = &mut self.users[index];
        while let Some(front) = user.items.front() {
            if !front.ticket.is_some_and(|ticket| self.tickets.is_durable(ticket)) {
                return;
            }
            user.cold_through = front.offset;
            user.cold_entries += 1;
            user.items.pop_front();
        }
    }

    /// The fence before a rewrite is durable.
    pub(crate) fn rewrite_start(&mut self, index: u32) {
        let Some(purge) = self.users[index].rare.as_ref().and_then(|rare| rare.purge) else { return };
        let rewrite = Rewrite {
            before: self.expires_before(),
            through: purge.through,
            after: Offset::NONE,
            groups: BTreeMap::new(),
            removes: Vec::new(),
            gaps: Vec::new(),
        };
        self.rewrite_page(index, Box::new(rewrite));
    }

    fn rewrite_page(&mut self, index: u32, rewrite: Box<Rewrite>) {
        let request = LoadRequest::Inbox {
            user: self.users[index].id.clone(),
            after: rewrite.after,
            entries_max: PAGE_ENTRIES_MAX,
            bytes_max: PAGE_BYTES_MAX,
        };
        self.load(request, Question::Expiry(ExpiryPage::User { user: index, rewrite }));
    }

    pub(crate) fn expiry_page_loaded(
        &mut self,
        page: ExpiryPage,
        entries: Vec<(Offset, Entry)>,
        complete: bool,
    ) {
        let ExpiryPage::User { user, mut rewrite } = page else {
            unreachable!("a slot's page is answered with expired rows");
        };
        let mut is_done = complete;
        for (offset, entry) in entries {
            if offset > rewrite.through {
                is_done = true;
                break;
            }
            rewrite.after = offset;
            let floor = self.users[user].purge_floor();
            if offset <= floor {
                rewrite.removes.push((offset, Content::of_entry(entry).bytes()));
            } else {
                rewrite.take(offset, &entry);
            }
        }
        if is_done { self.rewrite_done(user, *rewrite) } else { self.rewrite_page(user, rewrite) }
    }

    // Rule: expiry (a gap entry takes the place of what expired)
    fn rewrite_done(&mut self, index: u32, mut rewrite: Rewrite) {
        rewrite.gaps.extend(std::mem::take(&mut rewrite.groups));
        // Removals that are waiting are counted in the usage that goes with this record: they go before it.
        self.settle_now(index);
        let id = self.users[index].id.clone();
        let mut ops = Vec::new();
        // A place is put once: the row that a gap entry replaces goes first.
        let replaced = rewrite.gaps.iter().filter(|(_, group)| group.is_changed).map(|(_, group)| group.last);
        let replaced = replaced.filter(|_| !mutant::is_on(Mutant::RowReplaced));
        let removed = rewrite.removes.iter().map(|(offset, _)| *offset);
        let offsets: Vec<Offset> = removed.chain(replaced).collect();
        if !offsets.is_empty() {
            ops.push(Op::Remove { user: id.clone(), offsets });
        }
        for (offset, bytes) in rewrite.removes {
            let user = &mut self.users[index];
            user.cold_entries -= 1;
            user.forget_rows(1, u64::from(bytes));
            self.counters.removed += 1;
            self.forget_in_flight(index, offset);
        }
        for (conversation, group) in rewrite.gaps.into_iter().filter(|(_, group)| group.is_changed) {
            self.counters.gaps_expired += 1;
            let user = &mut self.users[index];
            if mutant::is_on(Mutant::ExpiredWithoutGap) {
                user.cold_entries -= 1;
                user.forget_rows(1, u64::from(group.last_bytes));
                self.forget_in_flight(index, group.last);
                continue;
            }
            user.row.stored_bytes = user.row.stored_bytes.saturating_sub(u64::from(group.last_bytes));
            user.is_row_dirty = true;
            self.empty_in_flight(index, group.last);
            let Group { from, through, reason, last, .. } = group;
            let entry = Entry::Gap { conversation, from, through, reason };
            ops.push(Op::Append { user: id.clone(), offset: last, entry });
        }
        let user = &mut self.users[index];
        user.is_row_dirty = false;
        user.had_usage = true;
        ops.push(Op::User { user: id, row: user.row });
        self.store_of(index, ops.into(), After::Rewritten { user: index });
    }

    /// A delivery in flight was replaced by a gap entry at the same place: it accounts for no bytes now.
    fn empty_in_flight(&mut self, user: u32, offset: Offset) {
        for place in 0..self.users[user].device_count() {
            let session = self.users[user].device(u8::try_from(place).unwrap_or(0)).session;
            if session == NOBODY {
                continue;
            }
            let in_flight = &mut self.sessions[session].in_flight;
            let at = in_flight.partition_point(|sent| sent.offset < offset);
            if let Some(sent) = in_flight.at_mut(at).filter(|sent| sent.offset == offset) {
                sent.bytes = 0;
            }
        }
    }

    /// The rewritten rows are durable: sessions may read again.
    pub(crate) fn rewritten(&mut self, index: u32) {
        let rare = self.users[index].rare();
        rare.is_rewriting = false;
        // Whatever was acked meanwhile is looked for by a purge.
        rare.purge = None;
        self.purge(index);
        self.judge_user(index);
        self.take_waiting_unlinks(index);
        for place in 0..self.users[index].device_count() {
            let session = self.users[index].device(u8::try_from(place).unwrap_or(0)).session;
            if session != NOBODY {
                self.pump(session);
            }
        }
        self.expiry.rewrites -= 1;
        self.expire();
    }

    /// The tables cannot read the rows: they stay, and a later round tries again.
    pub(crate) fn expiry_failed(&mut self, page: &ExpiryPage) {
        match page {
            ExpiryPage::Slot { .. } => {
                self.expiry.is_asking = false;
                self.expire();
            }
            ExpiryPage::User { user, .. } => {
                self.users[*user].tickets -= 1;
                self.rewritten(*user);
            }
        }
    }
}
