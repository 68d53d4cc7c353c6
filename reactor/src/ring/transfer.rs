//! Giving a connection to another core, and taking one.
//!
//! Detach: end the receive, report every byte that it took, let the send finish. Then the descriptor is copied into
//! the other core's table, and the one here is closed. Until the other core arms it, the kernel keeps what comes in.
//!
//! Invariants
//! - A connection is armed at one core at most: here nothing is in the ring when the descriptor is sent.
//! - If the other core cannot take it, it is still here, whole. (One case leaves a copy in the other table as well: the
//!   kernel had no memory for the completion that announces it, EOVERFLOW. It is closed with that core's ring.)

use std::os::fd::RawFd;

use io_uring::{opcode, types};

use super::{Completion, Output, Ring};
use crate::conn::Conn;
use crate::event::{CloseCause, Event};
use crate::slots::Phase;
use crate::tag::{Kind, Tag};

impl Ring {
    /// Begins to make the connection quiet; `Detached` follows, or `Closed` if the peer ends it meanwhile.
    pub(crate) fn detach(&mut self, index: u32, output: &mut Output) {
        let slot = self.slots.at(index);
        match slot.phase {
            Phase::Open => {
                slot.phase = Phase::Detaching;
                self.settle(index, output);
            }
            Phase::Draining | Phase::Closing | Phase::Closed => {}
            Phase::Free
            | Phase::Connecting
            | Phase::Naming
            | Phase::Detaching
            | Phase::Detached
            | Phase::Moving => unreachable!("a connection cannot be detached in phase {:?}", slot.phase),
        }
    }

    pub(super) fn settle_detach(&mut self, index: u32, output: &mut Output) {
        self.stop_receive(index);
        let conn = self.conn(index);
        let slot = self.slots.at(index);
        if slot.pending == 0 {
            slot.phase = Phase::Detached;
            slot.flags.set_silent(false);
            slot.flags.set_readable(false);
            output.events.push_back(Event::Detached { conn });
        }
    }

    /// Sends the descriptor to the ring `target` of another core.
    pub(crate) fn move_to(&mut self, index: u32, target: RawFd, label: u64) {
        let slot = self.slots.at(index);
        match slot.phase {
            Phase::Detached => slot.phase = Phase::Moving,
            Phase::Draining | Phase::Closing | Phase::Closed => return,
            Phase::Free
            | Phase::Connecting
            | Phase::Naming
            | Phase::Open
            | Phase::Detaching
            | Phase::Moving => {
                unreachable!("a connection cannot move in phase {:?}", slot.phase)
            }
        }
        let arrival = Tag::labelled(Kind::Arrived, label).bits();
        let place = types::DestinationSlot::auto_target();
        let send = opcode::MsgRingSendFd::new(types::Fd(target), self.fixed(index), place, arrival).build();
        let send = send.user_data(self.tag(Kind::Move, index));
        // SAFETY: the entry points to nothing.
        unsafe { self.push_owed(index, send) };
    }

    pub(super) fn on_move(&mut self, index: u32, completion: Completion, output: &mut Output) {
        let conn = self.conn(index);
        let slot = self.slots.at(index);
        assert!(slot.phase == Phase::Moving, "{conn:?} moved in phase {:?}", slot.phase);
        if completion.errno().is_none() {
            slot.flags.set_moved(true);
            return self.begin_close(index, CloseCause::Local, output);
        }
        output.counters.move_failures += 1;
        slot.phase = Phase::Detached;
        if slot.flags.close_wanted() {
            return self.close(index, output);
        }
        output.events.push_back(Event::MoveFailed { conn });
    }

    /// Takes a descriptor that another core has put into this ring's table.
    pub(crate) fn arrive(&mut self, descriptor: u32) -> Conn {
        let index = self.adopt(descriptor, Phase::Detached);
        self.conn(index)
    }
}
