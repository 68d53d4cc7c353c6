//! One io_uring with its descriptor table, its receive buffers and its connections.
//!
//! Invariants
//! - Operations reach the kernel in the order in which they were pushed, linked ones in one submission.
//! - What an operation points to is kept in this ring's side tables (or the caller's) until its last completion.

mod close;
mod connect;
mod receive;
mod send;
mod transfer;

use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsRawFd, RawFd};
use std::rc::Rc;
use std::time::{Duration, Instant};

use io_uring::types::{Fixed, SubmitArgs, Timespec};
use io_uring::{IoUring, cqueue, opcode, squeue, types};
use slab::Slab;

use crate::buffers::Pool;
use crate::config::Config;
use crate::conn::Conn;
use crate::counters::Counters;
use crate::descriptors::descriptor_limit;
use crate::event::Event;
use crate::setup::{SetupError, check_kernel};
use crate::slots::{NONE, Phase, Slot, SlotRef, Slots};
use crate::tag::{Kind, Tag};
use crate::wheel::Wheel;

use connect::Address;
pub(crate) use connect::Family;
use send::Outgoing;

/// The only group of receive buffers in a ring.
const BUFFER_GROUP: u16 = 0;

/// What rings and reactor report into.
#[derive(Debug)]
pub(crate) struct Output {
    pub(crate) events: VecDeque<Event>,
    pub(crate) counters: Counters,
    /// The moment at which the turn began, or was woken.
    pub(crate) now: Instant,
    /// The number of the turn, wrapping.
    pub(crate) turn: u32,
}

/// When a wait is over even if nothing has happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Limit {
    /// It does not even begin.
    Now,
    After(Duration),
    Never,
}

impl Limit {
    /// The time to wait; none if there is no limit.
    pub(crate) fn after(self) -> Option<Duration> {
        match self {
            Self::Now => Some(Duration::ZERO),
            Self::After(limit) => Some(limit),
            Self::Never => None,
        }
    }
}

/// A completion, copied out of the queue.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Completion {
    pub(crate) tag: Tag,
    pub(crate) result: i32,
    pub(crate) flags: u32,
}

impl Completion {
    /// Whether the operation goes on.
    pub(crate) fn more(self) -> bool {
        cqueue::more(self.flags)
    }

    /// The error number of a failure.
    pub(crate) fn errno(self) -> Option<i32> {
        (self.result < 0).then_some(-self.result)
    }
}

pub(crate) struct Ring {
    uring: IoUring,
    /// Operations that found the submission queue full and could not be submitted at once.
    backlog: VecDeque<squeue::Entry>,
    pool: Rc<Pool>,
    pub(crate) slots: Slots,
    sends: Slab<Outgoing>,
    addresses: Slab<Box<Address>>,
    wheel: Option<Wheel>,
    tick: u32,
    /// Connections whose receive ended because no buffer was left, longest first.
    starved: VecDeque<SlotRef>,
    /// Connections that had their share of this turn.
    throttled: VecDeque<SlotRef>,
    /// Connections that are draining, with the moment at which that ends.
    lingering: VecDeque<(Instant, SlotRef)>,
    linger: Duration,
    share_bytes: u32,
    /// Whether the kernel ends a multishot receive after as many bytes as it is told.
    limits_receives: bool,
    number: u8,
    capacity: u32,
    /// Operations that owe a last completion, connections' and others'.
    in_flight: u32,
    /// Single-shot accepts in flight, each of which will want a descriptor.
    pub(crate) accepts: u32,
    /// Whether a descriptor has come free since somebody last asked.
    freed: bool,
}

impl Ring {
    /// Sets up ring `number` with a table of up to `config.descriptors_per_ring` descriptors.
    pub(crate) fn new(config: &Config, number: u8) -> Result<Self, SetupError> {
        let mut uring = build(config).map_err(SetupError::from_setup)?;
        check_kernel(&uring)?;
        let capacity = config.descriptors_per_ring.min(descriptor_limit());
        let registered = uring.submitter().register_files_sparse(capacity);
        registered.map_err(|source| SetupError::from_step("descriptor table", source))?;
        let pool = Pool::new(config.receive_buffers, config.receive_buffer_bytes)
            .map_err(|source| SetupError::from_step("receive buffers", source))?;
        // SAFETY: the pool's entries are page-aligned, of that length, and live until the ring is gone.
        let offered = unsafe {
            uring.submitter().register_buf_ring_with_flags(
                pool.entries_address(),
                pool.buffers(),
                BUFFER_GROUP,
                0,
            )
        };
        offered.map_err(|source| SetupError::from_step("receive buffers", source))?;
        let limits_receives = receive::probe_limit(&mut uring);
        Ok(Self {
            uring,
            backlog: VecDeque::new(),
            pool,
            slots: Slots::with_capacity(capacity),
            sends: Slab::new(),
            addresses: Slab::new(),
            wheel: config.idle_after.map(|silence| Wheel::new(Instant::now(), silence)),
            tick: 0,
            starved: VecDeque::new(),
            throttled: VecDeque::new(),
            lingering: VecDeque::new(),
            linger: config.close_linger,
            share_bytes: config.receive_bytes_per_turn,
            limits_receives,
            number,
            capacity,
            in_flight: 0,
            accepts: 0,
            freed: false,
        })
    }

    pub(crate) fn fd(&self) -> RawFd {
        self.uring.as_raw_fd()
    }

    /// Memory of connections, receive buffers and side tables, in bytes.
    pub(crate) fn bytes(&self) -> usize {
        let sends = self.sends.capacity() * size_of::<Outgoing>();
        self.slots.bytes() + self.pool.bytes() + sends
    }

    /// Descriptors that the table holds.
    pub(crate) fn capacity(&self) -> u32 {
        self.capacity
    }

    /// Whether by our count the table has room.
    pub(crate) fn has_room(&self) -> bool {
        self.room() > 0
    }

    /// Descriptors that are free by our count.
    pub(crate) fn room(&self) -> u32 {
        self.capacity.saturating_sub(self.slots.len())
    }

    /// Whether the table is nearly full, accepts in flight counted: time to look for another ring.
    pub(crate) fn is_nearly_full(&self) -> bool {
        self.room().saturating_sub(self.accepts) <= (self.capacity / 64).min(1024)
    }

    /// Whether a descriptor has come free since the last question.
    pub(crate) fn take_freed(&mut self) -> bool {
        std::mem::take(&mut self.freed)
    }

    /// Signals every completion through this eventfd.
    pub(crate) fn signal_through(&self, eventfd: RawFd) -> io::Result<()> {
        self.uring.submitter().register_eventfd(eventfd)
    }

    pub(crate) fn conn(&self, index: u32) -> Conn {
        Conn::new(self.number, index, self.slots.peek(index).generation)
    }

    /// A tag for an operation of the slot.
    fn tag(&self, kind: Kind, index: u32) -> u64 {
        Tag::new(kind, index, self.slots.peek(index).generation).bits()
    }

    fn fixed(&self, index: u32) -> Fixed {
        let descriptor = self.slots.peek(index).descriptor;
        assert!(descriptor != NONE, "slot {index} has no descriptor");
        Fixed(descriptor)
    }

    /// Queues an operation.
    ///
    /// # Safety
    /// What the entry points to must stay valid until its last completion (addresses of sockets: until it is submitted).
    pub(crate) unsafe fn push(&mut self, entry: squeue::Entry) {
        // SAFETY: the caller promises it.
        unsafe { self.push_linked(&[entry]) };
    }

    /// Queues operations that are linked, all of them in one submission.
    ///
    /// # Safety
    /// As [`Ring::push`], for each entry.
    pub(crate) unsafe fn push_linked(&mut self, entries: &[squeue::Entry]) {
        if self.backlog.is_empty() {
            // SAFETY: the caller promises it.
            if unsafe { self.uring.submission().push_multiple(entries) }.is_ok() {
                return;
            }
            // Full: the kernel takes what is there. If it cannot, the backlog keeps the order.
            if self.uring.submit().is_ok() {
                // SAFETY: the caller promises it.
                if unsafe { self.uring.submission().push_multiple(entries) }.is_ok() {
                    return;
                }
            }
        }
        self.backlog.extend(entries.iter().cloned());
    }

    /// Queues an operation of a connection and counts what it owes.
    ///
    /// # Safety
    /// As [`Ring::push`].
    unsafe fn push_owed(&mut self, index: u32, entry: squeue::Entry) {
        self.slots.at(index).pending += 1;
        self.in_flight += 1;
        // SAFETY: the caller promises it.
        unsafe { self.push(entry) };
    }

    /// Counts an operation that is not a connection's, so that a dropped ring waits for it.
    pub(crate) fn owe(&mut self, operations: u32) {
        self.in_flight += operations;
    }

    /// Counts the last completion of such an operation.
    pub(crate) fn settle_debt(&mut self) {
        assert!(self.in_flight > 0, "a completion nobody waited for");
        self.in_flight -= 1;
    }

    /// Asks for the end of the operation with this tag; its own completion tells.
    pub(crate) fn cancel(&mut self, tag: u64) {
        let cancel = opcode::AsyncCancel2::new(types::CancelBuilder::user_data(tag)).build();
        let cancel = cancel.user_data(Tag::of(Kind::Ignored).bits()).flags(squeue::Flags::SKIP_SUCCESS);
        // SAFETY: the entry points to nothing.
        unsafe { self.push(cancel) };
    }

    /// Wakes the core of another ring. Nobody waits for the answer: a core that is gone needs no waking.
    pub(crate) fn wake(&mut self, ring: RawFd) {
        let wake = opcode::MsgRingData::new(types::Fd(ring), 0, Tag::of(Kind::Wake).bits(), None).build();
        let wake = wake.user_data(Tag::of(Kind::Ignored).bits()).flags(squeue::Flags::SKIP_SUCCESS);
        // SAFETY: the entry points to nothing.
        unsafe { self.push(wake) };
    }

    /// Reports each signal of the waker's eventfd.
    pub(crate) fn watch(&mut self, eventfd: RawFd) {
        let readable = u32::from(libc::POLLIN.cast_unsigned());
        let poll = opcode::PollAdd::new(types::Fd(eventfd), readable).multi(true).build();
        self.owe(1);
        // SAFETY: the entry points to nothing.
        unsafe { self.push(poll.user_data(Tag::of(Kind::Waker).bits())) };
    }

    /// Whether entering the ring would do anything without waiting.
    pub(crate) fn wants_enter(&mut self) -> bool {
        let submission = self.uring.submission();
        !submission.is_empty() || submission.taskrun() || submission.cq_overflow() || !self.backlog.is_empty()
    }

    /// Whether completions can be taken.
    pub(crate) fn has_completions(&mut self) -> bool {
        !self.uring.completion().is_empty()
    }

    /// Submits everything and waits for a completion, at most that long.
    pub(crate) fn enter(&mut self, limit: Limit, counters: &mut Counters) -> io::Result<()> {
        self.refill();
        if self.uring.submission().cq_overflow() {
            counters.cq_overflows += 1;
        }
        counters.enters += 1;
        let entered = match limit {
            Limit::Now => self.uring.submit(),
            Limit::Never => self.uring.submit_and_wait(1),
            Limit::After(limit) => {
                let limit = Timespec::new().sec(limit.as_secs()).nsec(limit.subsec_nanos());
                self.uring.submitter().submit_with_args(1, &SubmitArgs::new().timespec(&limit))
            }
        };
        let dropped = self.uring.completion().overflow();
        if dropped > 0 {
            return Err(io::Error::other(format!(
                "the kernel dropped {dropped} completions for lack of memory"
            )));
        }
        match entered {
            Ok(_) => Ok(()),
            // Time is up, a signal came, or completions must be taken first: all are answered by taking completions.
            Err(error)
                if matches!(
                    error.raw_os_error(),
                    Some(libc::ETIME | libc::EINTR | libc::EBUSY | libc::EAGAIN)
                ) =>
            {
                Ok(())
            }
            Err(error) => Err(error),
        }
    }

    /// Moves the backlog into the submission queue, as far as it fits without splitting what is linked.
    fn refill(&mut self) {
        while !self.backlog.is_empty() {
            let mut submission = self.uring.submission();
            let room = submission.capacity() - submission.len();
            let linked = self.backlog.iter().take_while(|entry| is_linked(entry)).count() + 1;
            if room < linked.min(self.backlog.len()) {
                drop(submission);
                if self.uring.submit().is_err() {
                    return;
                }
                continue;
            }
            for entry in self.backlog.drain(..linked.min(self.backlog.len())) {
                // SAFETY: whoever queued it promised it; room for it was found above.
                let pushed = unsafe { submission.push(&entry) };
                assert!(pushed.is_ok(), "no room in the submission queue");
            }
        }
    }

    /// Takes at most `max` completions.
    pub(crate) fn reap(&mut self, max: usize, into: &mut Vec<Completion>) {
        let taken = self.uring.completion().take(max).map(|entry| Completion {
            tag: Tag::from_bits(entry.user_data()),
            result: entry.result(),
            flags: entry.flags(),
        });
        into.extend(taken);
    }

    /// What a turn begins with: connections that waited for it, and the wheel.
    pub(crate) fn begin_turn(&mut self, output: &mut Output) {
        self.release_throttled(output);
        self.release_starved(output);
        self.end_lingering(output);
        self.turn_wheel(output);
    }

    /// When this ring wants a turn even if nothing happens. `Some(past)`: at once.
    pub(crate) fn next_deadline(&self, now: Instant) -> Option<Instant> {
        let wheel = self.wheel.as_ref().and_then(Wheel::next_deadline);
        let linger = self.lingering.front().map(|(until, _)| *until);
        let deadlines = [wheel, linger].into_iter().flatten().min();
        // A throttled connection goes on in the next turn, which must not wait.
        if self.throttled.is_empty() { deadlines } else { Some(now) }
    }

    /// Notes the moment at which completions are taken.
    pub(crate) fn note_time(&mut self, now: Instant) {
        if let Some(wheel) = &self.wheel {
            self.tick = wheel.tick_at(now);
        }
    }

    /// Handles a completion of one of this ring's connections.
    pub(crate) fn complete(&mut self, completion: Completion, output: &mut Output) {
        let tag = completion.tag;
        if !completion.more() {
            self.settle_debt();
        }
        let lease = self.take_lease(completion);
        let index = tag.index();
        let Some(slot) = self.slots.owned(index, tag.generation()) else {
            output.counters.late_completions += 1;
            return;
        };
        if !completion.more() {
            slot.complete();
        }
        match tag.kind() {
            Kind::Receive => self.on_receive(index, completion, lease, output),
            Kind::Poll => self.on_poll(index, output),
            Kind::Send => self.on_send(index, completion, output),
            Kind::Shutdown => self.settle(index, output),
            Kind::Close => self.on_close(index, output),
            Kind::Socket => self.on_socket(index, completion, output),
            Kind::Prepare => self.on_prepare(index, completion, output),
            Kind::Connect => self.on_connect(index, completion, output),
            Kind::PeerName => self.on_peer_name(index, completion, output),
            Kind::Move => self.on_move(index, completion, output),
            Kind::Ignored
            | Kind::Arrived
            | Kind::Accept
            | Kind::AcceptOne
            | Kind::FileWrite
            | Kind::FileSync
            | Kind::Wake
            | Kind::Waker => unreachable!("not a connection's operation: {:?}", tag.kind()),
        }
    }

    /// Brings what is in the ring nearer to what the connection's phase asks for. Called after every change.
    fn settle(&mut self, index: u32, output: &mut Output) {
        match self.slots.peek(index).phase {
            Phase::Open => self.settle_receive(index),
            Phase::Detaching => self.settle_detach(index, output),
            Phase::Draining => self.settle_drain(index, output),
            Phase::Closing => self.settle_close(index, output),
            Phase::Free
            | Phase::Connecting
            | Phase::Naming
            | Phase::Detached
            | Phase::Moving
            | Phase::Closed => {}
        }
    }

    /// A slot for a descriptor that has come into the table.
    fn adopt(&mut self, descriptor: u32, phase: Phase) -> u32 {
        let index = self.slots.insert();
        let slot: &mut Slot = self.slots.at(index);
        slot.descriptor = descriptor;
        slot.phase = phase;
        index
    }

    /// Ends everything and waits for it, a second at most.
    ///
    /// # Errors
    /// The number of operations that are still in the kernel; what they point to must be leaked.
    pub(crate) fn quiesce(&mut self) -> Result<(), u32> {
        let deadline = Instant::now() + Duration::from_secs(1);
        // By name: to end whatever there is, the kernel looks through all that it has ended
        // before, for each operation again, until their completions are taken.
        let mut of_connections = 0;
        for index in 0..self.slots.places() {
            let pending = u32::from(self.slots.peek(index).pending);
            if pending > 0 {
                of_connections += pending;
                self.stop_receive(index);
                self.cancel_rest(index);
            }
        }
        let of_others = self.in_flight.saturating_sub(of_connections);
        self.await_debt(of_others, deadline);
        let cancel = opcode::AsyncCancel2::new(types::CancelBuilder::any()).build();
        // SAFETY: the entry points to nothing.
        unsafe { self.push(cancel.user_data(Tag::of(Kind::Ignored).bits())) };
        self.await_debt(0, deadline);
        if self.in_flight == 0 {
            return Ok(());
        }
        std::mem::forget(std::mem::take(&mut self.sends));
        std::mem::forget(std::mem::take(&mut self.addresses));
        std::mem::forget(Rc::clone(&self.pool));
        Err(self.in_flight)
    }

    /// Takes completions, and looks at none, until at most so many operations owe theirs, or it is too late.
    fn await_debt(&mut self, operations: u32, deadline: Instant) {
        let (mut counters, mut taken) = (Counters::default(), Vec::new());
        while self.in_flight > operations && Instant::now() < deadline {
            if self.enter(Limit::After(Duration::from_millis(50)), &mut counters).is_err() {
                return;
            }
            self.reap(usize::MAX, &mut taken);
            for completion in taken.drain(..) {
                drop(self.take_lease(completion));
                let owed = !matches!(completion.tag.kind(), Kind::Ignored | Kind::Arrived | Kind::Wake);
                if owed && !completion.more() {
                    self.settle_debt();
                }
            }
        }
    }

    /// The bytes that came with a completion, whoever they were for.
    fn take_lease(&self, completion: Completion) -> Option<crate::buffers::Lease> {
        let id = cqueue::buffer_select(completion.flags)?;
        Some(self.pool.lend(id, u32::try_from(completion.result).unwrap_or(0)))
    }
}

fn is_linked(entry: &squeue::Entry) -> bool {
    // SAFETY: an entry is a 64-byte submission of plain numbers, whose second byte holds its flags (linux/io_uring.h).
    let flags = unsafe { std::ptr::from_ref(entry).cast::<u8>().add(1).read() };
    flags & squeue::Flags::IO_LINK.bits() != 0
}

fn build(config: &Config) -> io::Result<IoUring> {
    IoUring::builder()
        .setup_single_issuer()
        .setup_defer_taskrun()
        .setup_coop_taskrun()
        .setup_taskrun_flag()
        .setup_submit_all()
        .setup_clamp()
        .setup_cqsize(config.completions)
        .dontfork()
        .build(config.submissions)
}

#[cfg(test)]
mod tests;
