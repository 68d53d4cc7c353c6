//! From the inbox to a device: in offset order, inside its window, from memory or from the tables.
//!
//! Invariants
//! - `position` only rises: no entry is sent twice on a session, none is overtaken.
//! - Entries at or below `cold_through` come from pages; a page counts for what was cold when it was asked for.

use crate::io::ConnId;
use crate::loads::Question;
use crate::mail::RequestRef;
use crate::mutant::{self, Mutant};
use crate::session::InFlight;
use crate::shard::Shard;
use crate::user::{Content, NOBODY};
use iris_protocol::limits::UNSENT_BYTES_MAX;
use iris_protocol::wire::{self, server_frame};
use iris_protocol::{CloseCode, Offset};
use iris_storage::load::{LoadError, LoadRequest};
use iris_storage::op::Entry;

/// Most entries of a page.
const PAGE_ENTRIES_MAX: usize = 64;

/// The own copy of a Send that waits for its answer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Own {
    pub(crate) request: RequestRef,
    pub(crate) offset: Offset,
}

/// A page that was asked for.
#[derive(Debug)]
pub(crate) struct Page {
    pub(crate) conn: ConnId,
    /// `cold_through` when it was asked for.
    pub(crate) through: Offset,
    /// The rewrites of the inbox when it was asked for.
    pub(crate) version: u32,
}

impl Shard {
    // Rule: devices (Accepted carries the own copy's offset)
    /// Pushes what is new to every device of a user. True: an own copy went out inside its Accepted.
    pub(crate) fn push(&mut self, user: u32, own: Option<Own>) -> bool {
        let mut is_answered = false;
        for place in 0..self.users[user].device_count() {
            let session = self.users[user].device(u8::try_from(place).unwrap_or(0)).session;
            if session == NOBODY {
                continue;
            }
            let own = own.filter(|own| self.sessions[session].conn == own.request.conn);
            if let Some(own) = own {
                is_answered = true;
                self.answer_own(session, own);
            }
            self.pump(session);
        }
        is_answered
    }

    /// Answers a Send with its own copy's place if that is the next inside the window, else without.
    fn answer_own(&mut self, index: u32, own: Own) {
        let session = &self.sessions[index];
        let user = &self.users[session.user];
        let at = user.items.partition_point(|item| item.offset <= session.position);
        let is_next = session.position >= user.cold_through || user.cold_entries == 0;
        let item =
            user.items.at(at).filter(|item| item.offset == own.offset && is_next && session.has_room());
        let found = item.map(|item| (item.bytes, item.content.clone()));
        match found {
            Some((bytes, Content::Message { envelope, previous })) => {
                self.count_delivery(index, own.offset, bytes);
                self.acknowledge_at(index, &envelope, own.request, Some((own.offset, previous)));
            }
            Some((_, Content::Gap(_))) => unreachable!("an own copy that is a gap has no place"),
            None => {
                let items = &self.users[self.sessions[index].user].items;
                let last = items.back().map(|item| item.content.clone());
                if let Some(Content::Message { envelope, .. }) = last {
                    self.acknowledge_at(index, &envelope, own.request, None);
                }
            }
        }
    }

    /// Sends what the window and the unsent bytes allow.
    pub(crate) fn pump(&mut self, index: u32) {
        while self.sessions[index].has_room() {
            let session = &mut self.sessions[index];
            let user = &self.users[session.user];
            if session.position < user.cold_through {
                if user.cold_entries > 0 {
                    return self.read_page(index);
                }
                session.position = user.cold_through;
            }
            let position = session.position;
            if user.items.back().is_none_or(|item| item.offset <= position) {
                return;
            }
            let at = user.items.partition_point(|item| item.offset <= position);
            let Some(item) = user.items.at(at) else { return };
            let (offset, bytes, content) = (item.offset, item.bytes, item.content.clone());
            self.deliver(index, offset, bytes, content);
        }
    }

    /// Sends one entry; its place is counted as sent.
    fn deliver(&mut self, index: u32, offset: Offset, bytes: u32, content: Content) {
        self.count_delivery(index, offset, bytes);
        match content {
            Content::Message { envelope, previous } => {
                let is_wrong = mutant::is_on(Mutant::PreviousWrong);
                let previous = if is_wrong { iris_protocol::Sequence::NONE } else { previous };
                self.send_deliver(index, offset, previous, envelope);
            }
            Content::Gap(hole) => {
                let gap = wire::Gap {
                    offset: offset.0,
                    conversation: hole.conversation.as_str().to_owned(),
                    from_sequence: hole.from.0,
                    through_sequence: hole.through.0,
                    reason: hole.reason.to_wire().into(),
                };
                self.send_frame(index, server_frame::Frame::Gap(gap));
            }
        }
    }

    fn count_delivery(&mut self, index: u32, offset: Offset, bytes: u32) {
        let session = &mut self.sessions[index];
        assert!(offset > session.position, "offset {offset} was sent before on {:?}", session.conn);
        session.position = offset;
        session.in_flight.push_back(InFlight { offset, bytes });
        let device = self.users[session.user].device_mut(session.place);
        device.sent_through = device.sent_through.max(offset);
        self.counters.delivered += 1;
    }

    // Rule: cold inbox (a page may not overtake nor double)
    fn read_page(&mut self, index: u32) {
        let session = &mut self.sessions[index];
        let is_rewriting = self.users[session.user].rare.as_ref().is_some_and(|rare| rare.is_rewriting);
        if is_rewriting || std::mem::replace(&mut session.is_reading_page, true) {
            return;
        }
        let room = usize::from(session.window) - session.in_flight.len();
        let bytes_max = UNSENT_BYTES_MAX - (session.unsent as usize).min(UNSENT_BYTES_MAX);
        let user = &self.users[session.user];
        let request = LoadRequest::Inbox {
            user: user.id.clone(),
            after: session.position,
            entries_max: u32::try_from(room.min(PAGE_ENTRIES_MAX)).unwrap_or(u32::MAX),
            bytes_max: u64::try_from(bytes_max).unwrap_or(u64::MAX),
        };
        let version = user.rare.as_ref().map_or(0, |rare| rare.version);
        let page = Page { conn: session.conn, through: user.cold_through, version };
        self.load(request, Question::Page(page));
    }

    pub(crate) fn page_loaded(&mut self, page: &Page, entries: Vec<(Offset, Entry)>, complete: bool) {
        let Some(index) = self.session_of(page.conn) else { return };
        self.sessions[index].is_reading_page = false;
        let rare = self.users[self.sessions[index].user].rare.as_ref();
        if rare.map_or(0, |rare| rare.version) != page.version {
            return self.pump(index);
        }
        let mut is_through = complete;
        for (offset, entry) in entries {
            if offset > page.through {
                is_through = true;
                break;
            }
            if offset <= self.sessions[index].position {
                continue;
            }
            if !self.sessions[index].has_room() {
                // The rest is read again when there is room.
                return;
            }
            let content = Content::of_entry(entry);
            let bytes = content.bytes();
            self.deliver(index, offset, bytes, content);
        }
        if is_through {
            let session = &mut self.sessions[index];
            session.position = session.position.max(page.through);
        }
        self.pump(index);
    }

    /// The tables could not answer: this device is told, nobody else notices.
    pub(crate) fn page_failed(&mut self, page: &Page, _error: &LoadError) {
        if let Some(index) = self.session_of(page.conn) {
            self.close(index, CloseCode::StorageFault, None);
        }
    }

    /// An entry was taken out of the inbox: it counts in no window any more.
    pub(crate) fn forget_in_flight(&mut self, user: u32, offset: Offset) {
        for place in 0..self.users[user].device_count() {
            let session = self.users[user].device(u8::try_from(place).unwrap_or(0)).session;
            if session == NOBODY {
                continue;
            }
            let in_flight = &mut self.sessions[session].in_flight;
            let at = in_flight.partition_point(|sent| sent.offset < offset);
            if in_flight.at(at).is_some_and(|sent| sent.offset == offset) {
                in_flight.remove(at);
            }
        }
    }
}

/// How many entries a user may hold in memory, and their payload bytes: above, durable ones leave.
pub(crate) const HOT_ENTRIES_MAX: usize = 512;
pub(crate) const HOT_BYTES_MAX: u64 = 256 << 10;

impl Shard {
    /// Lets the oldest durable entries leave memory while there are too many; devices read them from the tables.
    pub(crate) fn trim(&mut self, index: u32) {
        let user = &mut self.users[index];
        if user.items.len() <= HOT_ENTRIES_MAX && user.bytes() <= HOT_BYTES_MAX {
            return;
        }
        let mut bytes: u64 = user.items.iter().map(|item| u64::from(item.bytes)).sum();
        while user.items.len() > HOT_ENTRIES_MAX || bytes > HOT_BYTES_MAX {
            let Some(front) = user.items.front() else { return };
            if !front.ticket.is_some_and(|ticket| self.tickets.is_durable(ticket)) {
                return;
            }
            bytes -= u64::from(front.bytes);
            user.cold_through = front.offset;
            user.cold_entries += 1;
            user.items.pop_front();
        }
    }
}
