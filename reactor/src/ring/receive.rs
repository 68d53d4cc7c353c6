//! Receiving: armed, starved, throttled, silent.
//!
//! A receive that stays in the ring costs the kernel memory and, if the connection falls silent, a cancellation, for which the kernel
//! looks through other operations. So a silent connection is polled, what ends the poll is received once, and it is polled
//! again; only one that goes on talking is received from all the time.
//!
//! Invariants
//! - A connection has at most one receive or poll in the ring.
//! - Bytes are reported in order, also those that come while a receive is being ended.
//! - No retry without something new: a starved connection waits for a buffer, a throttled one for the next turn.

use io_uring::{IoUring, opcode, squeue, types};

use super::{BUFFER_GROUP, Completion, Output, Ring};
use crate::buffers::Lease;
use crate::event::{CloseCause, Event};
use crate::slots::{Phase, Receive, SlotRef};
use crate::tag::Kind;
use crate::wheel::Wheel;

/// What ends a silent connection's poll. POLLERR and POLLHUP always do.
const READABLE: u32 = (libc::POLLIN | libc::POLLRDHUP) as u32;
/// Polls of a silent connection that may end, each within the time of silence of the one before, until it counts as silent no
/// more. 3: a Send, and the acknowledgements that follow it.
const STIRS_MAX: u8 = 3;

impl Ring {
    pub(super) fn on_receive(
        &mut self,
        index: u32,
        completion: Completion,
        lease: Option<Lease>,
        output: &mut Output,
    ) {
        let slot = self.slots.at(index);
        let is_single = slot.receive == Receive::Once;
        if !completion.more() {
            slot.receive = Receive::Off;
        }
        let ended_early = !completion.more() && !is_single;
        match completion.errno() {
            None if completion.result == 0 => return self.on_end(index, CloseCause::Peer, output),
            None => {
                let Some(bytes) = lease else { unreachable!("bytes without a buffer") };
                // There may be more than the buffer held: no poll has to say so.
                self.slots.at(index).flags.set_readable(is_single && bytes.is_full());
                self.deliver(index, bytes, output);
                let share_is_used = self.slots.peek(index).taken > self.share_bytes;
                if share_is_used || (self.limits_receives && ended_early) {
                    self.throttle(index, output);
                } else if ended_early {
                    output.counters.rearms += 1;
                }
            }
            Some(libc::ENOBUFS) => {
                self.slots.at(index).flags.set_readable(is_single);
                self.starve(index, output);
            }
            Some(libc::ECANCELED | libc::EINTR | libc::EAGAIN) => {}
            Some(errno) => return self.on_end(index, CloseCause::of_errno(errno), output),
        }
        self.settle(index, output);
    }

    fn deliver(&mut self, index: u32, bytes: Lease, output: &mut Output) {
        let conn = self.conn(index);
        let slot = self.slots.at(index);
        let received = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
        slot.last_tick = self.tick;
        if slot.turn != output.turn {
            slot.turn = output.turn;
            slot.taken = 0;
        }
        slot.taken = slot.taken.saturating_add(received);
        output.counters.receives += 1;
        output.counters.receive_bytes += u64::from(received);
        match slot.phase {
            Phase::Open | Phase::Detaching => output.events.push_back(Event::Received { conn, bytes }),
            Phase::Draining | Phase::Closing | Phase::Closed => {}
            Phase::Free | Phase::Connecting | Phase::Naming | Phase::Detached | Phase::Moving => {
                unreachable!("bytes in phase {:?}", slot.phase)
            }
        }
    }

    /// Lets the connection wait for the next turn before it receives again.
    fn throttle(&mut self, index: u32, output: &mut Output) {
        let slot = self.slots.at(index);
        if !slot.flags.waiting() {
            slot.flags.set_waiting(true);
            let generation = slot.generation;
            self.throttled.push_back(SlotRef { index, generation });
            output.counters.throttled += 1;
        }
    }

    /// The peer has ended or broken the connection.
    fn on_end(&mut self, index: u32, cause: CloseCause, output: &mut Output) {
        match self.slots.peek(index).phase {
            Phase::Draining => {
                self.slots.at(index).phase = Phase::Closing;
                self.settle(index, output);
            }
            Phase::Closing | Phase::Closed => self.settle(index, output),
            Phase::Open | Phase::Detaching => self.begin_close(index, cause, output),
            Phase::Free | Phase::Connecting | Phase::Naming | Phase::Detached | Phase::Moving => {
                unreachable!("a receive ended in phase {:?}", self.slots.peek(index).phase)
            }
        }
    }

    pub(super) fn on_poll(&mut self, index: u32, output: &mut Output) {
        let tick = self.tick;
        let slot = self.slots.at(index);
        // A poll that was told to end says nothing of the peer.
        let has_stirred = slot.receive == Receive::Polling && slot.flags.silent();
        slot.receive = Receive::Off;
        if has_stirred {
            slot.stirs =
                if Wheel::is_silence(slot.last_tick, tick) { 1 } else { slot.stirs.saturating_add(1) };
            let is_silent = slot.stirs <= STIRS_MAX;
            slot.flags.set_silent(is_silent);
            slot.flags.set_readable(is_silent);
            output.counters.idle_returns += u64::from(!is_silent);
        }
        slot.last_tick = tick;
        self.settle(index, output);
    }

    /// Arms or ends the receive of an open connection, as its owner, the buffers and the turn allow.
    pub(super) fn settle_receive(&mut self, index: u32) {
        let slot = self.slots.peek(index);
        let wanted = !slot.flags.paused() && !slot.flags.waiting();
        match (slot.receive, wanted) {
            (Receive::Off, true) if slot.flags.silent() && slot.flags.readable() => self.receive_once(index),
            (Receive::Off, true) if slot.flags.silent() => self.arm_poll(index),
            (Receive::Off, true) => self.arm_receive(index),
            (Receive::Armed, false) => self.stop_receive(index),
            (Receive::Armed, true) if slot.flags.silent() => self.stop_receive(index),
            // A single receive ends by itself, before anybody could stop it.
            (Receive::Off, false)
            | (Receive::Armed, true)
            | (Receive::Once | Receive::Polling | Receive::Stopping, _) => {}
        }
    }

    pub(super) fn arm_receive(&mut self, index: u32) {
        let mut receive = opcode::RecvMulti::new(self.fixed(index), BUFFER_GROUP).build();
        if self.limits_receives {
            set_limit(&mut receive, self.share_bytes);
        }
        let receive = receive.user_data(self.tag(Kind::Receive, index));
        self.slots.at(index).receive = Receive::Armed;
        if let Some(wheel) = &mut self.wheel {
            self.slots.at(index).last_tick = self.tick;
            wheel.insert(&mut self.slots, index);
        }
        // SAFETY: the entry points to nothing; its buffers come from the registered pool.
        unsafe { self.push_owed(index, receive) };
    }

    fn arm_poll(&mut self, index: u32) {
        let poll = opcode::PollAdd::new(self.fixed(index), READABLE).build();
        let poll = poll.user_data(self.tag(Kind::Poll, index));
        self.slots.at(index).receive = Receive::Polling;
        // SAFETY: the entry points to nothing.
        unsafe { self.push_owed(index, poll) };
    }

    /// Receives what there is. If it is gone, nothing waits in the ring for more.
    fn receive_once(&mut self, index: u32) {
        let receive = opcode::Recv::new(self.fixed(index), std::ptr::null_mut(), 0)
            .buf_group(BUFFER_GROUP)
            .flags(libc::MSG_DONTWAIT)
            .build()
            .flags(squeue::Flags::BUFFER_SELECT)
            .user_data(self.tag(Kind::Receive, index));
        let slot = self.slots.at(index);
        slot.receive = Receive::Once;
        slot.flags.set_readable(false);
        // SAFETY: the entry points to nothing; its buffer comes from the registered pool.
        unsafe { self.push_owed(index, receive) };
    }

    /// Tells the receive or poll to end, if there is one that was not told yet.
    pub(super) fn stop_receive(&mut self, index: u32) {
        let kind = match self.slots.peek(index).receive {
            Receive::Armed => Kind::Receive,
            Receive::Polling => Kind::Poll,
            Receive::Off | Receive::Once | Receive::Stopping => return,
        };
        self.slots.at(index).receive = Receive::Stopping;
        let tag = self.tag(kind, index);
        self.cancel(tag);
    }

    fn starve(&mut self, index: u32, output: &mut Output) {
        // What the kernel knew of was not enough for one turn; what there is may be.
        output.counters.buffer_exhausted += u64::from(!self.pool.grow());
        let slot = self.slots.at(index);
        if !slot.flags.waiting() {
            slot.flags.set_waiting(true);
            let generation = slot.generation;
            self.starved.push_back(SlotRef { index, generation });
        }
    }

    /// Lets as many starved connections receive as there are buffers, the longest waiting first.
    pub(super) fn release_starved(&mut self, output: &mut Output) {
        let free = usize::from(self.pool.free()).min(self.starved.len());
        for _ in 0..free {
            let Some(waiting) = self.starved.pop_front() else { return };
            self.release(waiting, output);
        }
    }

    pub(super) fn release_throttled(&mut self, output: &mut Output) {
        for _ in 0..self.throttled.len() {
            let Some(waiting) = self.throttled.pop_front() else { return };
            self.release(waiting, output);
        }
    }

    fn release(&mut self, waiting: SlotRef, output: &mut Output) {
        if let Some(slot) = self.slots.owned(waiting.index, waiting.generation) {
            slot.flags.set_waiting(false);
            output.counters.rearms += 1;
            self.settle(waiting.index, output);
        }
    }

    /// Ends the receive of connections that have been silent for long enough; a poll takes its place.
    pub(super) fn turn_wheel(&mut self, output: &mut Output) {
        let Some(wheel) = &mut self.wheel else { return };
        self.tick = wheel.tick_at(output.now);
        let mut looks = Wheel::looks();
        while let Some(wheel) = &mut self.wheel
            && let Some(index) = wheel.next_silent(&mut self.slots, self.tick, &mut looks)
        {
            let slot = self.slots.at(index);
            slot.flags.set_silent(true);
            slot.stirs = 0;
            output.counters.idle_falls += 1;
            self.settle(index, output);
        }
    }

    /// Stops or starts reading.
    pub(crate) fn set_paused(&mut self, index: u32, paused: bool, output: &mut Output) {
        self.slots.at(index).flags.set_paused(paused);
        self.settle(index, output);
    }

    /// Starts receiving from a connection that arrived, or was detached and stays.
    pub(crate) fn arm(&mut self, index: u32, output: &mut Output) {
        let slot = self.slots.at(index);
        if slot.phase == Phase::Detached {
            slot.phase = Phase::Open;
            self.settle(index, output);
        }
    }
}

/// Ends a multishot receive after this many bytes. The crate has no setter for the field.
fn set_limit(entry: &mut squeue::Entry, bytes: u32) {
    /// Where `optlen` lies in a submission. Source: struct io_uring_sqe, linux/io_uring.h.
    const OPTLEN: usize = 44;
    const { assert!(size_of::<squeue::Entry>() == 64, "not a submission as the kernel defines it") };
    // SAFETY: an entry is the kernel's 64-byte structure of plain numbers; these four bytes are the field.
    unsafe { std::ptr::from_mut(entry).cast::<[u8; 4]>().byte_add(OPTLEN).write(bytes.to_ne_bytes()) };
}

/// Whether the kernel knows that limit (Linux 6.17 does): an older one calls the field invalid before it finds that the
/// descriptor is. Called while the table is empty and nothing else is in the ring.
pub(super) fn probe_limit(uring: &mut IoUring) -> bool {
    let mut receive = opcode::RecvMulti::new(types::Fixed(0), BUFFER_GROUP).build();
    set_limit(&mut receive, 1);
    // SAFETY: the entry points to nothing.
    let pushed = unsafe { uring.submission().push(&receive) };
    if pushed.is_err() || uring.submit_and_wait(1).is_err() {
        return false;
    }
    uring.completion().next().is_some_and(|answer| answer.result() == -libc::EBADF)
}
