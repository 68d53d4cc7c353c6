//! `instructions`: what the gateway executes and allocates for a message, counted by callgrind and not by time.
//!
//! One gateway gets loads of the same length in turn, at a slow and at a fast rate. What both have in common - logins, idle
//! ticks, ends of connections - cancels in the slope between them. Each thread of the gateway is counted apart.
//!
//! Invariants
//! - Rates are so low that a message is alone in its ticks, and so high that what a record waits for comes with the next message: how
//!   many share a tick or a record would depend on the machine.
//! - A sender acknowledges its own copy alone: whether it can ride on the next Send would depend on the rate.
//! - A run that lost, doubled or refused a message fails.

mod callgrind;
mod profile;

use crate::drive::{self, Driven, Nobody, Target};
use crate::error::BenchError;
use crate::gateway::{Gateway, GatewayPlan, Keyring};
use crate::host;
use crate::options::InstructionsArgs;
use crate::output::{Progress, publish};
use crate::plan::{Span, TrafficPlan};
use crate::report::Report;
use crate::schedule::exact;
use callgrind::{Callgrind, Works};
use profile::Work;
use std::collections::BTreeMap;
use std::time::Duration;

/// The first load, which is not counted: devices are linked, pools and tables take their sizes.
const WARMUP: Duration = Duration::from_secs(3);
/// After a load: its connections end, and what they left is written.
const SETTLE: Duration = Duration::from_millis(500);
/// How long the last messages may take.
const DRAIN: Duration = Duration::from_secs(20);
/// After that a sender acknowledges its own copy: later than the record of the message, sooner than what its device says next.
const OWN_ACK_DELAY: Duration = Duration::from_millis(8);
/// Pairs of users; a payload as in the other measurements.
const PAIRS: u32 = 4;
const PAYLOAD_BYTES: usize = 128;
/// Places in the gateway that allocate, named in the report, and the fewest allocations a message that are named.
const SITES_MAX: usize = 16;
const SITE_MIN: f64 = 0.01;

/// Counts.
///
/// # Errors
/// There is no valgrind, the gateway does not run below it, or [`BenchError::Verdict`].
pub fn run(args: &InstructionsArgs) -> Result<(), BenchError> {
    let allowed = args.rounds >= 1 && args.slow > 0.0 && args.fast > args.slow && !args.duration.is_zero();
    if !allowed || args.gateway.server.is_some() {
        let allowed = "allowed: a round or more, --fast above --slow, and a gateway that is started here";
        return Err(BenchError::Usage(allowed.to_owned()));
    }
    let mut callgrind = Callgrind::new()?;
    let mut gateway = args.gateway.clone();
    // Valgrind runs one thread at a time: more shards would only share it.
    gateway.shards = gateway.shards.or(Some(1));
    let server = GatewayPlan::new(&gateway)?.below(callgrind.words());
    let keys = Keyring::new(&server, PAIRS * 2)?;
    let gateway = Gateway::start(&server, &keys)?;
    let mut bench = Bench { server: &server, gateway: &gateway, keys: &keys, callgrind: &mut callgrind };
    let rounds = bench.rounds(args).map_err(|error| gateway.explain(error))?;
    // Not in peace: a thread that waits for a signal gets no turn below callgrind while the cores are idle.
    drop(gateway);
    let mut report = Report::new("instructions");
    describe(&rounds, &mut report);
    report.number("rate.slow", args.slow);
    report.number("rate.fast", args.fast);
    report.number("duration_s", args.duration.as_secs_f64());
    report.count("pairs", u64::from(PAIRS));
    report.count("payload_bytes", u64::try_from(PAYLOAD_BYTES).unwrap_or(u64::MAX));
    report.text("host.valgrind", &callgrind.version);
    crate::gateway::describe(&server, &mut report);
    host::describe(&mut report);
    publish(&report, &[], args.duration, &args.output)
}

/// A load and what it made the gateway do.
struct Load {
    messages: u64,
    delivery_p50_us: f64,
    works: Works,
}

/// A slow load and a fast one.
struct Round {
    slow: Load,
    fast: Load,
}

impl Round {
    /// Messages by which the loads differ.
    fn messages(&self) -> f64 {
        exact(self.fast.messages) - exact(self.slow.messages)
    }

    /// What a message adds to a figure of these threads.
    fn slope(&self, threads: fn(&Works) -> &Work, figure: fn(&Work) -> u64) -> f64 {
        let of = |load: &Load| exact(figure(threads(&load.works)));
        (of(&self.fast) - of(&self.slow)) / self.messages()
    }
}

struct Bench<'a> {
    server: &'a GatewayPlan,
    gateway: &'a Gateway,
    keys: &'a Keyring,
    callgrind: &'a mut Callgrind,
}

impl Bench<'_> {
    fn rounds(&mut self, args: &InstructionsArgs) -> Result<Vec<Round>, BenchError> {
        self.load(args.fast, WARMUP, true)?;
        let mut rounds = Vec::new();
        for _ in 0..args.rounds {
            let slow = self.load(args.slow, args.duration, false)?;
            let fast = self.load(args.fast, args.duration, false)?;
            rounds.push(Round { slow, fast });
        }
        Ok(rounds)
    }

    fn load(&mut self, rate: f64, duration: Duration, fresh: bool) -> Result<Load, BenchError> {
        let plan = TrafficPlan {
            payload_bytes: PAYLOAD_BYTES,
            span: Span { ramp: Duration::ZERO, warmup: Duration::ZERO, duration },
            drain: DRAIN,
            own_ack_delay: OWN_ACK_DELAY,
            connecting: 1,
            connect_rate: 100.0,
            ..TrafficPlan::small(PAIRS, rate, duration)?
        };
        let target = Target { fresh, ..Target::of(self.gateway, self.server) };
        let driven = drive::drive(&plan, &target, &self.keys.credentials, &mut Nobody)?;
        check(&driven)?;
        std::thread::sleep(SETTLE);
        Progress::new().say("writing profiles");
        let works = self.callgrind.take(self.gateway.pid.unwrap_or_default())?;
        let delivery_p50_us = driven.tally.delivery.summary().p50_us;
        Ok(Load { messages: driven.tally.accepted, delivery_p50_us, works })
    }
}

fn check(driven: &Driven) -> Result<(), BenchError> {
    driven.tally.verdict(true).map_or(Ok(()), |why| Err(BenchError::Verdict(why)))
}

fn describe(rounds: &[Round], report: &mut Report) {
    let mut figure = |key: &str, threads: fn(&Works) -> &Work, figure: fn(&Work) -> u64| {
        let (median, spread) = middle(rounds.iter().map(|round| round.slope(threads, figure)).collect());
        report.number(&format!("{key}_per_message"), median);
        report.number(&format!("{key}_spread"), spread);
    };
    figure("server.instructions", |works| &works.core, |work| work.instructions);
    figure("server.allocations", |works| &works.core, Work::allocated);
    figure("server.storage.instructions", |works| &works.storage, |work| work.instructions);
    figure("server.storage.allocations", |works| &works.storage, Work::allocated);
    figure("server.other.instructions", |works| &works.other, |work| work.instructions);
    for (place, (site, each)) in sites(rounds).into_iter().take(SITES_MAX).enumerate() {
        report.text(&format!("server.allocation_site.{:02}", place + 1), &format!("{each:.3} {site}"));
    }
    // So much of the time between two messages is taken: the rest is rest.
    let slowest = rounds.iter().map(|round| round.fast.delivery_p50_us).fold(0.0, f64::max);
    report.number("delivery.p50_us", slowest);
    report.count("rounds", u64::try_from(rounds.len()).unwrap_or(u64::MAX));
    report.number("messages_per_round", rounds.iter().map(Round::messages).sum::<f64>() / exact_len(rounds));
}

/// The median, and the distance between the smallest and the largest.
fn middle(mut figures: Vec<f64>) -> (f64, f64) {
    figures.sort_by(f64::total_cmp);
    let (Some(first), Some(last)) = (figures.first(), figures.last()) else { return (0.0, 0.0) };
    let half = figures.len() / 2;
    let median =
        if figures.len() % 2 == 1 { figures[half] } else { f64::midpoint(figures[half - 1], figures[half]) };
    (median, last - first)
}

/// Where a core's thread allocates, and how often for a message, over all rounds; the most frequent first.
fn sites(rounds: &[Round]) -> Vec<(String, f64)> {
    let messages: f64 = rounds.iter().map(Round::messages).sum();
    let mut grown: BTreeMap<&str, f64> = BTreeMap::new();
    for round in rounds {
        for (load, sign) in [(&round.fast, 1.0), (&round.slow, -1.0)] {
            for (site, count) in &load.works.core.allocations {
                *grown.entry(site).or_default() += sign * exact(*count);
            }
        }
    }
    let each = |(site, grown): (&str, f64)| (site.to_owned(), grown / messages);
    let mut sites: Vec<_> = grown.into_iter().map(each).filter(|(_, each)| *each >= SITE_MIN).collect();
    sites.sort_by(|one, other| other.1.total_cmp(&one.1));
    sites
}

fn exact_len(rounds: &[Round]) -> f64 {
    exact(u64::try_from(rounds.len()).unwrap_or(u64::MAX).max(1))
}

#[cfg(test)]
mod tests;
