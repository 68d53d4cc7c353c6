//! Drives one load on one gateway: threads, window, samples, cost.
//!
//! Invariants
//! - No message leaves before every device of every thread is logged in.
//! - The backlog is sampled over the same window that latency and CPU are measured in.

use crate::backlog::{Backlog, Sample};
use crate::channel::Security;
use crate::clock::Clock;
use crate::error::BenchError;
use crate::fleet::{Fleet, FleetPlan, Meter, PATIENCE, Tally};
use crate::gateway::{Credential, Gateway, GatewayPlan};
use crate::hiccup::exact_timers;
use crate::links::Links;
use crate::measure::{Cost, Measurement};
use crate::options::DurabilityArg;
use crate::output::Progress;
use crate::payload::Run;
use crate::plan::TrafficPlan;
use crate::schedule::{Schedule, Window};
use iris_protocol::{Durability, Mono};
use iris_reactor::Config;
use std::net::SocketAddr;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, OnceLock};
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime};

/// Time between two samples of the backlog.
const SAMPLE_EVERY: Duration = Duration::from_millis(100);
/// Time between the last login and the first message.
const HEAD_START: Duration = Duration::from_millis(50);

/// Where a load goes.
#[derive(Clone)]
pub struct Target {
    /// Where the gateway listens.
    pub address: SocketAddr,
    /// How it is talked to.
    pub security: Security,
    /// The process whose CPU is measured.
    pub pid: Option<u32>,
    /// What every Welcome must promise.
    pub durability: Durability,
    /// Conversations begin at sequence 1.
    pub fresh: bool,
}

impl Target {
    /// This gateway.
    pub fn of(gateway: &Gateway, plan: &GatewayPlan) -> Self {
        Self {
            address: gateway.address,
            security: gateway.security.clone(),
            pid: gateway.pid,
            durability: durability(plan.durability),
            fresh: !plan.is_running_already(),
        }
    }
}

/// Rings of a thread that makes load, and of a gateway's core: with RLIMIT_NOFILE at 20,000, they hold 1,280,000 connections. They
/// are opened when they are needed.
pub const RINGS_MAX: u16 = 64;

/// What is done beside a load while it is measured.
pub trait Watcher {
    /// Called for every sample, some ten times a second.
    ///
    /// # Errors
    /// Ends the run.
    fn look(&mut self, at: Mono, sample: &Sample) -> Result<(), BenchError>;
}

/// Says when the measured time begins.
pub struct Starter(Option<Sender<()>>);

impl Starter {
    /// Says it here.
    pub fn new(begin: Sender<()>) -> Self {
        Self(Some(begin))
    }
}

impl Watcher for Starter {
    fn look(&mut self, _: Mono, _: &Sample) -> Result<(), BenchError> {
        if let Some(begin) = self.0.take() {
            // Who does not listen any more has an error of its own.
            let _ = begin.send(());
        }
        Ok(())
    }
}

/// Nothing is done beside the load.
pub struct Nobody;

impl Watcher for Nobody {
    fn look(&mut self, _: Mono, _: &Sample) -> Result<(), BenchError> {
        Ok(())
    }
}

/// What one load found.
pub struct Driven {
    /// All threads' counts and distributions.
    pub tally: Tally,
    /// What the window cost.
    pub cost: Cost,
    /// Whether the rate was held.
    pub backlog: Backlog,
    /// The connections' pace: from the first to the last login.
    pub login: Duration,
}

/// What starts all threads at the same time; `None` inside sends them home.
type Start = Arc<OnceLock<Option<Mono>>>;

struct Team {
    threads: Vec<JoinHandle<Result<Tally, BenchError>>>,
    meters: Vec<Arc<Meter>>,
    ready: Receiver<()>,
    start: Start,
}

/// Runs `plan` on `target` with one device for each of the credentials it needs.
///
/// # Errors
/// The gateway, the load or the watcher failed; what went wrong with messages is in the tally.
pub fn drive(
    plan: &TrafficPlan,
    target: &Target,
    credentials: &[Credential],
    watcher: &mut impl Watcher,
) -> Result<Driven, BenchError> {
    let clock = Clock::start();
    let progress = Progress::new();
    let begun = clock.now();
    let team = Team::gather(plan, target, credentials, clock)?;
    if let Err(error) = team.wait_until_ready(&progress, plan) {
        // A thread's own error says more than that it never got ready.
        let _ = team.start.set(None);
        return Err(team.join().err().unwrap_or(error));
    }
    let login = clock.now().since(begun);
    let start = clock.now().after(HEAD_START);
    let from = start.after(plan.span.ramp).after(plan.span.warmup);
    let window = Window { from, until: from.after(plan.span.duration) };
    let _ = team.start.set(Some(start));
    progress.say("warming up");
    clock.sleep_until(window.from);
    let measured = Measurement::begin(target.pid).and_then(|measurement| {
        let schedule = Schedule::new(start, plan.rate, plan.span.ramp);
        let mut samples = Vec::new();
        team.sample(schedule, window, clock, |at, sample| {
            let left = window.until.since(at).as_secs();
            progress.say(&format!("measuring: {left} s to go, {} delivered", sample.delivered));
            samples.push(sample);
            watcher.look(at, &sample)
        })?;
        measurement.end().map(|cost| (cost, samples))
    });
    if measured.is_err() {
        plan.orders.stop();
    }
    progress.say("waiting for the last messages");
    let tally = team.join()?;
    let (cost, samples) = measured?;
    let p99 = |latencies: &crate::histogram::Latencies| latencies.summary().p99_us;
    let backlog = Backlog::judge(&samples, plan.rate, p99(&tally.first), p99(&tally.last));
    Ok(Driven { tally, cost, backlog, login })
}

impl Team {
    fn gather(
        plan: &TrafficPlan,
        target: &Target,
        credentials: &[Credential],
        clock: Clock,
    ) -> Result<Self, BenchError> {
        let (is_ready, ready) = channel();
        let start: Start = Arc::new(OnceLock::new());
        let mut team = Self { threads: Vec::new(), meters: Vec::new(), ready, start };
        let run = Run(u32::try_from(run_number() & 0x3_ffff).unwrap_or(0));
        for index in 0..plan.threads {
            let share = share_of(plan.pairs, plan.threads, index);
            let range = share.start as usize * 2..share.end as usize * 2;
            let devices = credentials.get(range).unwrap_or_default().to_vec();
            let fleet = fleet_plan(plan, target, run, share.start * 2);
            let meter = Arc::new(Meter::default());
            team.meters.push(Arc::clone(&meter));
            let soldier = Soldier {
                plan: plan.clone(),
                index,
                clock,
                security: target.security.clone(),
                ready: is_ready.clone(),
                start: Arc::clone(&team.start),
            };
            let work = move || soldier.run(Fleet::new(fleet, clock, devices, meter));
            let thread = std::thread::Builder::new().name(format!("load-{index}")).spawn(work);
            team.threads.push(thread.map_err(BenchError::io("starting the load"))?);
        }
        Ok(team)
    }

    fn wait_until_ready(&self, progress: &Progress, plan: &TrafficPlan) -> Result<(), BenchError> {
        let mut ready = 0;
        while ready < usize::from(plan.threads) {
            let logged_in: u64 = self.meters.iter().map(|meter| meter.logged_in()).sum();
            progress.say(&format!("logging in: {logged_in} of {}", u64::from(plan.pairs) * 2));
            match self.ready.recv_timeout(SAMPLE_EVERY) {
                Ok(()) => ready += 1,
                Err(RecvTimeoutError::Timeout) if self.threads.iter().any(JoinHandle::is_finished) => {
                    return Err(BenchError::Protocol("a thread of the load ended at login".to_owned()));
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => {
                    return Err(BenchError::Protocol("the load ended at login".to_owned()));
                }
            }
        }
        Ok(())
    }

    fn sample(
        &self,
        schedule: Schedule,
        window: Window,
        clock: Clock,
        mut each: impl FnMut(Mono, Sample) -> Result<(), BenchError>,
    ) -> Result<(), BenchError> {
        let mut next = window.from;
        while next < window.until {
            clock.sleep_until(next);
            let at = clock.now();
            let sum = |count: fn(&Meter) -> u64| self.meters.iter().map(|meter| count(meter)).sum::<u64>();
            let (accepted, delivered) = (sum(Meter::accepted), sum(Meter::delivered));
            each(at, Sample { at, offered: schedule.due(at), accepted, delivered })?;
            next = next.after(SAMPLE_EVERY);
        }
        clock.sleep_until(window.until);
        Ok(())
    }

    fn join(self) -> Result<Tally, BenchError> {
        let mut sum: Option<Tally> = None;
        let mut failure = None;
        for thread in self.threads {
            match thread.join() {
                Ok(Ok(tally)) => match &mut sum {
                    Some(sum) => sum.add(&tally),
                    None => sum = Some(tally),
                },
                Ok(Err(error)) => failure = failure.or(Some(error)),
                Err(_) => failure = failure.or(Some(BenchError::Protocol("the load panicked".to_owned()))),
            }
        }
        match (failure, sum) {
            (Some(error), _) => Err(error),
            (None, Some(tally)) => Ok(tally),
            (None, None) => Err(BenchError::Protocol("the load had no threads".to_owned())),
        }
    }
}

/// What one thread needs beside its fleet.
struct Soldier {
    plan: TrafficPlan,
    index: u16,
    clock: Clock,
    security: Security,
    ready: Sender<()>,
    start: Start,
}

impl Soldier {
    fn run(self, mut fleet: Fleet) -> Result<Tally, BenchError> {
        exact_timers();
        let mut links = Links::new(&load_config(), self.security)?;
        fleet.log_in(&mut links, usize::MAX)?;
        // Without the coordinating thread there is nobody to tell.
        let _ = self.ready.send(());
        let (start, waited_since) = (&self.start, self.clock.now());
        let clock = self.clock;
        let over = || start.get().is_some() || clock.now().since(waited_since) > PATIENCE * 4;
        fleet.serve_until(&mut links, over)?;
        let Some(&Some(start)) = start.get() else {
            return Err(BenchError::Protocol("another thread of the load failed".to_owned()));
        };
        let threads = f64::from(self.plan.threads);
        // Threads take turns, so that all messages together are evenly spaced.
        let turn = Duration::from_secs_f64(f64::from(self.index) / self.plan.rate);
        let schedule = Schedule::new(start.after(turn), self.plan.rate / threads, self.plan.span.ramp);
        let from = start.after(self.plan.span.ramp).after(self.plan.span.warmup);
        let window = Window { from, until: from.after(self.plan.span.duration) };
        fleet.run(&mut links, schedule, Tally::of(window))
    }
}

/// What the fleet of one of the plan's threads does; its first device is number `first` of the load.
pub fn fleet_plan(plan: &TrafficPlan, target: &Target, run: Run, first: u32) -> FleetPlan {
    FleetPlan {
        server: target.address,
        first,
        run,
        partners: plan.partners,
        skew: plan.skew,
        payload_bytes: plan.payload_bytes,
        drain: plan.drain,
        own_ack_delay: plan.own_ack_delay,
        heartbeat: plan.heartbeat,
        durability: target.durability,
        fresh: target.fresh,
        connecting: (plan.connecting / u32::from(plan.threads)).max(1),
        connect_rate: plan.connect_rate / f64::from(plan.threads),
        churn: plan.churn / f64::from(plan.threads),
        backoff: plan.backoff,
        is_slow: plan.is_slow,
        orders: plan.orders.clone(),
        parts: plan.parts.clone(),
    }
}

/// The reactor of a load: several rings where descriptors are scarce. Silent connections are polled, as the gateway's: a
/// million of them share the host.
pub fn load_config() -> Config {
    Config { rings: RINGS_MAX, receive_buffers: 4096, ..Config::default() }
}

/// The durability that a Welcome must promise.
pub fn durability(argument: DurabilityArg) -> Durability {
    match argument {
        DurabilityArg::Os => Durability::Os,
        DurabilityArg::Fsync => Durability::Fsync,
    }
}

/// The pairs of thread `index`, as even as possible.
fn share_of(pairs: u32, threads: u16, index: u16) -> std::ops::Range<u32> {
    let bound = |index: u16| {
        let bound = u64::from(pairs) * u64::from(index) / u64::from(threads);
        u32::try_from(bound).unwrap_or(pairs)
    };
    bound(index)..bound(index + 1)
}

/// Tells runs on one gateway apart.
fn run_number() -> u64 {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    crate::clock::nanos(now).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40 ^ u64::from(std::process::id())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Threads share all pairs, each pair once, evenly.
    /// Seen to fail when: the last thread's bound is cut.
    #[test]
    fn threads_share_all_pairs() {
        for (pairs, threads) in [(1_000, 1), (1_000, 3), (7, 4), (5, 5)] {
            let shares: Vec<_> = (0..threads).map(|index| share_of(pairs, threads, index)).collect();
            let all: Vec<u32> = shares.iter().cloned().flatten().collect();
            assert!(all.into_iter().eq(0..pairs), "{pairs} pairs, {threads} threads");
            let sizes: Vec<_> = shares.iter().map(ExactSizeIterator::len).collect();
            assert!(sizes.iter().max().unwrap() - sizes.iter().min().unwrap() <= 1, "{sizes:?}");
        }
    }
}
