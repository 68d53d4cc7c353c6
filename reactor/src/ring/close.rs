//! Ending a connection: politely, at once, or because the peer did.
//!
//! Polite: the send in flight, then our side is shut, then what the peer still sends is thrown away until it has shut
//! its side or the time is up, then the close. Closing a socket with unread bytes makes the kernel send a reset, which
//! may overtake our last frame (RFC 1122, 4.2.2.13).
//!
//! Invariants
//! - The close is pushed when no other operation of the connection is in the ring.
//! - The slot is freed by the close's completion, and by nothing else if it ever had a descriptor.

use io_uring::opcode;

use super::{Output, Ring};
use crate::event::{CloseCause, Event};
use crate::slots::{NONE, Phase, Receive, SlotRef};
use crate::tag::Kind;

/// SO_LINGER with zero seconds: a close resets the connection. Source: socket(7).
static RESET_ON_CLOSE: libc::linger = libc::linger { l_onoff: 1, l_linger: 0 };

impl Ring {
    /// Closes after the send in flight.
    pub(crate) fn close(&mut self, index: u32, output: &mut Output) {
        let slot = self.slots.at(index);
        match slot.phase {
            Phase::Open | Phase::Detaching | Phase::Detached if !self.linger.is_zero() => {
                slot.set_cause(CloseCause::Local);
                slot.phase = Phase::Draining;
                self.settle(index, output);
            }
            Phase::Open | Phase::Detaching | Phase::Detached => {
                self.begin_close(index, CloseCause::Local, output);
            }
            Phase::Connecting | Phase::Naming => self.abort(index, output),
            Phase::Moving => slot.flags.set_close_wanted(true),
            Phase::Draining | Phase::Closing | Phase::Closed => {}
            Phase::Free => unreachable!("slot {index} has no owner"),
        }
    }

    /// Ends it now: the send in flight is cancelled and the peer gets a reset.
    pub(crate) fn abort(&mut self, index: u32, output: &mut Output) {
        let slot = self.slots.at(index);
        match slot.phase {
            Phase::Closed => return,
            Phase::Moving => return slot.flags.set_close_wanted(true),
            Phase::Draining | Phase::Closing => {}
            Phase::Connecting | Phase::Naming | Phase::Open | Phase::Detaching | Phase::Detached => {
                slot.set_cause(CloseCause::Local);
            }
            Phase::Free => unreachable!("slot {index} has no owner"),
        }
        slot.phase = Phase::Closing;
        if slot.descriptor != NONE {
            self.push_reset_on_close(index);
        }
        self.cancel_rest(index);
        self.settle(index, output);
    }

    /// Closes for a cause that makes politeness pointless.
    pub(super) fn begin_close(&mut self, index: u32, cause: CloseCause, output: &mut Output) {
        let slot = self.slots.at(index);
        match slot.phase {
            // A reset shows as an orderly end to a receive, if a send has been told of it.
            Phase::Closing if slot.cause() == CloseCause::Peer => slot.set_cause(cause),
            Phase::Closing | Phase::Closed => {}
            Phase::Draining => slot.phase = Phase::Closing,
            Phase::Connecting
            | Phase::Naming
            | Phase::Open
            | Phase::Detaching
            | Phase::Detached
            | Phase::Moving => {
                slot.phase = Phase::Closing;
                slot.set_cause(cause);
            }
            Phase::Free => unreachable!("slot {index} has no owner"),
        }
        match cause {
            CloseCause::Reset | CloseCause::Error(_) => self.cancel_rest(index),
            CloseCause::Peer | CloseCause::Local => {}
        }
        self.settle(index, output);
    }

    fn push_reset_on_close(&mut self, index: u32) {
        let value = (&raw const RESET_ON_CLOSE).cast();
        let option = opcode::SetSockOpt::new(
            self.fixed(index),
            libc::SOL_SOCKET.unsigned_abs(),
            libc::SO_LINGER.unsigned_abs(),
            value,
            u32::try_from(size_of::<libc::linger>()).unwrap_or(0),
        );
        let option = option.build().user_data(self.tag(Kind::Prepare, index));
        // SAFETY: the value is a static.
        unsafe { self.push_owed(index, option) };
    }

    /// Cancels a send or a connect that nobody will wait for.
    pub(super) fn cancel_rest(&mut self, index: u32) {
        for kind in [Kind::Send, Kind::Connect] {
            let slot = self.slots.peek(index);
            let there = if kind == Kind::Send { slot.flags.sending() } else { slot.side != NONE };
            if there {
                let tag = self.tag(kind, index);
                self.cancel(tag);
            }
        }
    }

    /// Shuts our side after the send, and takes what the peer still sends.
    pub(super) fn settle_drain(&mut self, index: u32, output: &mut Output) {
        let slot = self.slots.at(index);
        if slot.flags.sending() {
            return;
        }
        if !slot.flags.shut() {
            slot.flags.set_shut(true);
            let generation = slot.generation;
            self.lingering.push_back((output.now + self.linger, SlotRef { index, generation }));
            let shutdown = opcode::Shutdown::new(self.fixed(index), libc::SHUT_WR).build();
            let shutdown = shutdown.user_data(self.tag(Kind::Shutdown, index));
            // SAFETY: the entry points to nothing.
            unsafe { self.push_owed(index, shutdown) };
        }
        let slot = self.slots.peek(index);
        if slot.receive == Receive::Off && !slot.flags.waiting() {
            self.arm_receive(index);
        }
    }

    /// Closes draining connections whose time is up.
    pub(super) fn end_lingering(&mut self, output: &mut Output) {
        while let Some((until, waiting)) = self.lingering.front().copied()
            && until <= output.now
        {
            self.lingering.pop_front();
            if let Some(slot) = self.slots.owned(waiting.index, waiting.generation)
                && slot.phase == Phase::Draining
            {
                slot.phase = Phase::Closing;
                self.settle(waiting.index, output);
            }
        }
    }

    /// Closes the descriptor once nothing else of the connection is in the ring.
    pub(super) fn settle_close(&mut self, index: u32, output: &mut Output) {
        if self.slots.peek(index).flags.sending() {
            return;
        }
        self.stop_receive(index);
        let slot = self.slots.at(index);
        if slot.pending > 0 {
            return;
        }
        slot.phase = Phase::Closed;
        if slot.descriptor == NONE {
            return self.on_close(index, output);
        }
        let close = opcode::Close::new(self.fixed(index)).build().user_data(self.tag(Kind::Close, index));
        // SAFETY: the entry points to nothing.
        unsafe { self.push_owed(index, close) };
    }

    pub(super) fn on_close(&mut self, index: u32, output: &mut Output) {
        let conn = self.conn(index);
        let slot = *self.slots.peek(index);
        self.slots.remove(index);
        self.freed = true;
        if slot.flags.moved() {
            output.counters.moves_out += 1;
            output.events.push_back(Event::Moved { conn });
            return;
        }
        output.counters.closes += 1;
        if !slot.flags.unannounced() {
            output.events.push_back(Event::Closed { conn, cause: slot.cause() });
        }
    }
}
