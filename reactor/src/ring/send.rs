//! Sending: one buffer at a time, whole.
//!
//! Invariants
//! - A connection has at most one send in the ring, and its buffer lies still until that has completed.

use io_uring::opcode;

use super::{Completion, Output, Ring};
use crate::event::{CloseCause, Event};
use crate::slots::{NONE, Phase};
use crate::tag::Kind;

/// A buffer on its way out.
#[derive(Debug)]
pub(super) struct Outgoing {
    buffer: Vec<u8>,
    sent: usize,
}

impl Ring {
    /// Sends a buffer. The connection must not be sending, and must be open or about to be moved or closed.
    pub(crate) fn send(&mut self, index: u32, buffer: Vec<u8>, output: &mut Output) {
        let conn = self.conn(index);
        let slot = self.slots.peek(index);
        assert!(!slot.flags.sending(), "{conn:?} is sending already");
        match slot.phase {
            Phase::Open => {}
            // On its way out: `Closed` tells the owner what became of it.
            Phase::Draining | Phase::Closing | Phase::Closed => return,
            Phase::Free
            | Phase::Connecting
            | Phase::Naming
            | Phase::Detaching
            | Phase::Detached
            | Phase::Moving => unreachable!("{conn:?} cannot send in phase {:?}", slot.phase),
        }
        if buffer.is_empty() {
            output.events.push_back(Event::Sent { conn, buffer });
            return;
        }
        let side = u32::try_from(self.sends.insert(Outgoing { buffer, sent: 0 })).unwrap_or(NONE);
        let slot = self.slots.at(index);
        slot.side = side;
        slot.flags.set_sending(true);
        self.push_send(index);
    }

    fn push_send(&mut self, index: u32) {
        let outgoing = &self.sends[self.slots.peek(index).side as usize];
        let rest = &outgoing.buffer[outgoing.sent..];
        // A part at a time beyond 4 GiB; the rest follows like after any short send.
        let len = u32::try_from(rest.len()).unwrap_or(1 << 30);
        let send = opcode::Send::new(self.fixed(index), rest.as_ptr(), len);
        let send = send.flags(libc::MSG_NOSIGNAL | libc::MSG_WAITALL).build();
        let send = send.user_data(self.tag(Kind::Send, index));
        // SAFETY: the buffer stays in `sends`, unchanged, until this send's completion; a Vec's bytes do not move with it.
        unsafe { self.push_owed(index, send) };
    }

    pub(super) fn on_send(&mut self, index: u32, completion: Completion, output: &mut Output) {
        let side = self.slots.peek(index).side as usize;
        let outgoing = &mut self.sends[side];
        if let Ok(sent) = usize::try_from(completion.result) {
            outgoing.sent += sent;
            output.counters.send_bytes += sent as u64;
            assert!(outgoing.sent <= outgoing.buffer.len(), "more was sent than there was");
            if outgoing.sent < outgoing.buffer.len() && self.slots.peek(index).phase != Phase::Closing {
                output.counters.short_sends += 1;
                return self.push_send(index);
            }
        }
        let outgoing = self.sends.remove(side);
        let conn = self.conn(index);
        let slot = self.slots.at(index);
        slot.side = NONE;
        slot.flags.set_sending(false);
        if outgoing.sent == outgoing.buffer.len() {
            output.counters.sends += 1;
            output.events.push_back(Event::Sent { conn, buffer: outgoing.buffer });
        } else if let Some(errno) = completion.errno()
            && errno != libc::ECANCELED
        {
            return self.begin_close(index, CloseCause::of_errno(errno), output);
        }
        self.settle(index, output);
    }

    /// Whether a send is in the ring.
    pub(crate) fn is_sending(&self, index: u32) -> bool {
        self.slots.peek(index).flags.sending()
    }
}
