//! How far each device is: what it applied, what it was told will not come, and what it may leave out.
//!
//! Invariants
//! - A device goes on right behind what it has. It may leave something out after its link, and after a gap that names no
//!   conversation: up to what was stored then, and only before its next base.

use super::Violation;
use iris_protocol::{ConversationId, Offset, Sequence, UserId};
use std::collections::{BTreeMap, BTreeSet};

/// A place in each conversation.
pub type Places = BTreeMap<ConversationId, Sequence>;

/// One device.
struct Device {
    user: UserId,
    last: Places,
    /// What it may leave out before its next base.
    skips: Places,
    /// `skips` as its link or its last gap of all conversations left them.
    bases: Places,
    /// The highest it ever had.
    ever: Places,
    /// What was stored when it returned after it was detached, or when a gap of all conversations was sent to it.
    stored_at_gap: Places,
    /// Returns that no synced record holds: where it starts, and what was stored then.
    returns: Vec<(Offset, Places)>,
    is_linked: bool,
    was_linked: bool,
}

/// All devices.
#[derive(Default)]
pub(super) struct Progress {
    devices: BTreeMap<String, Device>,
    /// The last stored sequence of each conversation.
    stored: Places,
    /// The first one since the host lost writes: what is below may come or not.
    first: Places,
    is_rewound: bool,
}

fn at(places: &Places, conversation: &ConversationId) -> Sequence {
    places.get(conversation).copied().unwrap_or_default()
}

fn raise(places: &mut Places, conversation: &ConversationId, through: Sequence) {
    let place = places.entry(conversation.clone()).or_default();
    *place = (*place).max(through);
}

fn highest(mut places: Places, others: &Places) -> Places {
    for (conversation, through) in others {
        raise(&mut places, conversation, *through);
    }
    places
}

impl Progress {
    pub(super) fn add(&mut self, name: String, user: UserId) {
        let device = Device {
            user,
            last: Places::new(),
            skips: Places::new(),
            bases: Places::new(),
            ever: Places::new(),
            stored_at_gap: Places::new(),
            returns: Vec::new(),
            is_linked: false,
            was_linked: false,
        };
        self.devices.insert(name, device);
    }

    /// The host lost writes: nothing is known of before, but which devices are linked.
    pub(super) fn rewound(&mut self, linked: &BTreeSet<String>) {
        self.is_rewound = true;
        self.stored.clear();
        self.first.clear();
        for (name, device) in &mut self.devices {
            for places in [
                &mut device.last,
                &mut device.skips,
                &mut device.bases,
                &mut device.ever,
                &mut device.stored_at_gap,
            ] {
                places.clear();
            }
            device.is_linked = linked.contains(name);
            device.was_linked = device.is_linked;
        }
    }

    /// True if the host lost writes, and this was stored before, or was never.
    fn is_of_before(&self, conversation: &ConversationId, sequence: Sequence) -> bool {
        self.is_rewound && self.first.get(conversation).is_none_or(|first| sequence < *first)
    }

    pub(super) fn stored(&mut self, conversation: &ConversationId, sequence: Sequence) {
        self.first.entry(conversation.clone()).or_insert(sequence);
        raise(&mut self.stored, conversation, sequence);
    }

    /// A synced record holds the device. The first of its user goes on behind what any device before it had, or was
    /// told that it might miss, also if that did not arrive; another one has what is stored from now on. True: it is news.
    pub(super) fn linked(&mut self, name: &str, is_first: bool) -> bool {
        let Some(device) = self.devices.get(name) else { return false };
        if device.is_linked {
            return false;
        }
        let siblings = self.devices.values().filter(|other| other.user == device.user);
        let had = siblings.fold(Places::new(), |had, other| {
            [&other.ever, &other.bases, &other.stored_at_gap].into_iter().fold(had, highest)
        });
        let base = if is_first { had } else { self.stored.clone() };
        let Some(device) = self.devices.get_mut(name) else { return false };
        (device.skips, device.bases) = (base.clone(), base);
        (device.is_linked, device.was_linked) = (true, true);
        true
    }

    /// A synced record takes the device away.
    pub(super) fn unlinked(&mut self, name: &str) {
        if let Some(device) = self.devices.get_mut(name) {
            device.is_linked = false;
        }
    }

    pub(super) fn is_linked(&self, name: &str) -> bool {
        self.devices.get(name).is_some_and(|device| device.is_linked)
    }

    pub(super) fn was_linked(&self, name: &str) -> bool {
        self.devices.get(name).is_some_and(|device| device.was_linked)
    }

    /// A device comes back from an older state: `last` without the conversations that wait for a base there.
    /// `is_empty`: it has no state at all, and names no offset.
    pub(super) fn forgot(&mut self, name: &str, last: Places, is_empty: bool) {
        let Some(device) = self.devices.get_mut(name) else { return };
        if is_empty {
            // It goes on behind what it ever had, and so does whatever it saves from now on.
            device.bases = highest(std::mem::take(&mut device.bases), &device.ever);
        }
        device.skips.clone_from(&device.bases);
        device.skips.retain(|conversation, _| !last.contains_key(conversation));
        device.last = last;
    }

    /// A shard writes down that a detached device is back, and where it starts: whoever of its user is linked later may be told
    /// nothing of what lies before, also if the device itself does not hear of it.
    pub(super) fn returns(&mut self, name: &str, start: Offset) {
        if let Some(device) = self.devices.get_mut(name) {
            device.returns.push((start, self.stored.clone()));
        }
    }

    /// A synced record says that a device is detached, and where it starts when it is back.
    pub(super) fn returned(&mut self, name: &str, start: Offset) {
        let Some(device) = self.devices.get_mut(name) else { return };
        let later = device.returns.iter().rposition(|(at, _)| *at == start).map_or(0, |place| place + 1);
        if let Some((_, stored)) = device.returns.drain(..later).next_back() {
            device.stored_at_gap = highest(stored, &device.stored_at_gap);
        }
    }

    /// The process stopped: what it had not written down did not happen.
    pub(super) fn stopped(&mut self) {
        for device in self.devices.values_mut() {
            device.returns.clear();
        }
    }

    /// A gap of all conversations leaves the server.
    pub(super) fn gap_sent(&mut self, name: &str) {
        if let Some(device) = self.devices.get_mut(name) {
            device.stored_at_gap.clone_from(&self.stored);
        }
    }

    /// A device is told that it was detached: what was stored then may be missing.
    pub(super) fn detached(&mut self, name: &str) {
        let Some(device) = self.devices.get_mut(name) else { return };
        device.skips.clone_from(&device.stored_at_gap);
        device.bases.clone_from(&device.stored_at_gap);
    }

    /// A device is told that it had more than it named: that alone may be missing.
    pub(super) fn already_acked(&mut self, name: &str) {
        let Some(device) = self.devices.get_mut(name) else { return };
        device.skips = highest(device.bases.clone(), &device.ever);
        device.bases.clone_from(&device.skips);
    }

    /// A device applies a message.
    pub(super) fn applied(
        &mut self,
        name: &str,
        conversation: &ConversationId,
        sequence: Sequence,
    ) -> Option<Violation> {
        if self.is_of_before(conversation, sequence) {
            return None;
        }
        let last = self.devices.get(name)?.last.get(conversation).copied();
        if last.is_some_and(|last| sequence <= last) {
            let what = format!("{name} applied {conversation} {sequence} after {}", last?);
            return Some(Violation { claim: "C3", what });
        }
        self.covered(name, conversation, (sequence, sequence))
    }

    /// A device has a message, or was told of a gap: from one sequence through another.
    pub(super) fn covered(
        &mut self,
        name: &str,
        conversation: &ConversationId,
        (from, through): (Sequence, Sequence),
    ) -> Option<Violation> {
        if self.is_of_before(conversation, through) {
            return None;
        }
        let first = if self.is_rewound { at(&self.first, conversation) } else { Sequence::NONE };
        let device = self.devices.get_mut(name)?;
        let last = device.last.get(conversation).copied();
        let skip = at(&device.skips, conversation);
        raise(&mut device.last, conversation, through);
        raise(&mut device.ever, conversation, through);
        device.skips.remove(conversation);
        let begin = skip.max(last.unwrap_or_default()).next();
        if from <= begin.max(first) {
            return None;
        }
        let Some(last) = last else {
            let what = format!("{name} begins {conversation} at {from}, it may leave out {skip}");
            return Some(Violation { claim: "C1", what });
        };
        let what = format!("{name} went on in {conversation} at {from} after {last}");
        Some(Violation { claim: "C3", what })
    }

    /// The first device that lacks something.
    pub(super) fn missing(&self) -> Option<String> {
        let linked = self.devices.iter().filter(|(_, device)| device.is_linked);
        for (name, device) in linked {
            for (conversation, stored) in &self.stored {
                let has = at(&device.last, conversation).max(at(&device.skips, conversation));
                if conversation.is_direct_member(&device.user) && has < *stored {
                    return Some(format!("{name} has {conversation} through {has}, stored is {stored}"));
                }
            }
        }
        None
    }

    pub(super) fn user_of(&self, name: &str) -> Option<&UserId> {
        self.devices.get(name).map(|device| &device.user)
    }
}
