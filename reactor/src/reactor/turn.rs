//! One turn: submit, wait, take, hand out.
//!
//! Invariants
//! - At most `reap_max` completions are handled in a turn; what is left makes the next turn return at once.

use std::io;
use std::time::Instant;

use crate::event::{Event, Wait};
use crate::reactor::Reactor;
use crate::ring::{Completion, Limit};
use crate::tag::Kind;

impl Reactor {
    /// Submits everything that was asked for, waits as told, and collects what happened for [`next`](Self::next).
    /// It may return early, with nothing to report.
    ///
    /// # Errors
    /// The kernel refused to go on; nothing can be relied upon any more.
    pub fn turn(&mut self, wait: Wait) -> io::Result<()> {
        self.output.now = Instant::now();
        self.output.turn = self.output.turn.wrapping_add(1);
        self.output.counters.turns += 1;
        for ring in &mut self.rings {
            ring.begin_turn(&mut self.output);
        }
        self.end_backoffs();
        self.find_landing();
        let limit = self.limit(wait);
        let limit = if limit == Limit::Now || self.waker.before_sleep() { limit } else { Limit::Now };
        let entered = if self.rings.len() == 1 { self.enter_one(limit) } else { self.enter_several(limit) };
        self.woken |= self.waker.after_sleep();
        entered?;
        self.output.now = Instant::now();
        self.collect();
        if std::mem::take(&mut self.woken) {
            self.output.counters.wakes += 1;
            self.output.events.push_back(Event::Woken);
        }
        Ok(())
    }

    /// Hands what was asked for to the kernel at once, in the middle of a turn's work: sends leave before something that takes long.
    /// What happens is collected by the next turn.
    ///
    /// # Errors
    /// As of [`turn`](Self::turn).
    pub fn submit(&mut self) -> io::Result<()> {
        self.enter_those_that_want()
    }

    /// How long this turn may wait.
    fn limit(&self, wait: Wait) -> Limit {
        if !self.output.events.is_empty() {
            return Limit::Now;
        }
        let asked = match wait {
            Wait::Poll => return Limit::Now,
            Wait::Until(deadline) => Some(deadline),
            Wait::Forever => None,
        };
        let own = self
            .rings
            .iter()
            .filter_map(|ring| ring.next_deadline(self.output.now))
            .chain(self.next_accept());
        match own.chain(asked).min() {
            None => Limit::Never,
            Some(deadline) if deadline <= self.output.now => Limit::Now,
            Some(deadline) => Limit::After(deadline - self.output.now),
        }
    }

    fn enter_one(&mut self, limit: Limit) -> io::Result<()> {
        let ring = &mut self.rings[0];
        if limit == Limit::Now && !ring.wants_enter() {
            return Ok(());
        }
        ring.enter(limit, &mut self.output.counters)
    }

    fn enter_several(&mut self, limit: Limit) -> io::Result<()> {
        self.enter_those_that_want()?;
        if limit == Limit::Now
            || self.rings.iter_mut().any(|ring| ring.has_completions() || ring.wants_enter())
        {
            return Ok(());
        }
        self.output.counters.enters += 1;
        if let Some(several) = &self.several {
            several.wait(limit)?;
        }
        self.enter_those_that_want()
    }

    fn enter_those_that_want(&mut self) -> io::Result<()> {
        for ring in &mut self.rings {
            if ring.wants_enter() {
                ring.enter(Limit::Now, &mut self.output.counters)?;
            }
        }
        Ok(())
    }

    /// Takes completions, with several rings a fair part from each, and handles them.
    fn collect(&mut self) {
        let share = self.config.reap_max.div_ceil(self.rings.len());
        for number in 0..self.rings.len() {
            let mut completions = std::mem::take(&mut self.completions);
            self.rings[number].note_time(self.output.now);
            self.rings[number].reap(share, &mut completions);
            self.output.counters.completions += completions.len() as u64;
            for completion in completions.drain(..) {
                self.dispatch(number, completion);
            }
            self.completions = completions;
        }
    }

    pub(super) fn dispatch(&mut self, ring: usize, completion: Completion) {
        match completion.tag.kind() {
            Kind::Ignored => {}
            Kind::Wake => self.woken = true,
            Kind::Waker => self.on_waker(completion),
            Kind::Arrived => self.on_arrived(ring, completion),
            Kind::Accept | Kind::AcceptOne => self.on_accept(ring, completion),
            Kind::FileWrite | Kind::FileSync => {
                self.rings[ring].settle_debt();
                self.files.complete(completion, &mut self.output);
            }
            Kind::Receive
            | Kind::Poll
            | Kind::Send
            | Kind::Shutdown
            | Kind::Close
            | Kind::Socket
            | Kind::Prepare
            | Kind::Connect
            | Kind::PeerName
            | Kind::Move => self.rings[ring].complete(completion, &mut self.output),
        }
    }

    fn on_arrived(&mut self, ring: usize, completion: Completion) {
        let Ok(descriptor) = u32::try_from(completion.result) else { return };
        let conn = self.rings[ring].arrive(descriptor);
        self.output.counters.moves_in += 1;
        self.output.events.push_back(Event::Arrived { conn, label: completion.tag.label() });
    }

    fn on_waker(&mut self, completion: Completion) {
        self.woken = true;
        if !completion.more() {
            self.rings[0].settle_debt();
            self.arm_waker();
        }
    }

    pub(super) fn arm_waker(&mut self) {
        let fd = self.waker.fd();
        self.rings[0].watch(fd);
    }

    /// Sends arrivals to another ring before the present one is full.
    fn find_landing(&mut self) {
        if self.rings[self.landing].is_nearly_full()
            && let Some(roomy) = self.ring_with_room(self.landing)
            && roomy != self.landing
        {
            self.landing = roomy;
            self.peer.set_landing(roomy);
        }
    }
}
