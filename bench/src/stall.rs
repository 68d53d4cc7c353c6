//! `stall`: the disk of one shard stands still for a while. Users of that shard wait; those of the others must not notice.
//!
//! The folder of the last core is put on a file system of its own, which is frozen and thawed again.
//!
//! Invariants
//! - Bystanders, and their conversations, are at home on the first shard; the stalled pairs, and theirs, on the last one.
//! - A stall in which nobody waited for as long proves nothing: it fails the run.

use crate::backlog::Sample;
use crate::beside::beside;
use crate::bystanders::Bystanders;
use crate::drive::{self, Driven, Starter, Target, Watcher};
use crate::error::BenchError;
use crate::gateway::{Credential, Gateway, GatewayPlan, Keyring};
use crate::host;
use crate::options::StallArgs;
use crate::output::{Progress, publish};
use crate::plan::TrafficPlan;
use crate::report::Report;
use crate::volume::Volume;
use iris_protocol::{Mono, Placement, ShardId};
use std::time::Duration;

/// How much longer than the stall bystanders are measured, and than them the stalled.
const LONGER: Duration = Duration::from_secs(3);
/// Bystanders log in and warm up while the stalled are measured.
const PREPARED: Duration = Duration::from_secs(6);
/// Of the stall: so much of it the slowest of the stalled messages must have waited.
const WAITED: f64 = 0.8;
/// Users for each pair that is needed, times the shards: not every shard has as many.
const USERS_PER_PAIR: u32 = 4;

/// Stalls.
///
/// # Errors
/// The run could not be completed, or [`BenchError::Verdict`]: a message was lost, doubled, reordered or altered, bystanders
/// suffered more than the limit, or nothing stalled.
pub fn run(args: &StallArgs) -> Result<(), BenchError> {
    let server = GatewayPlan::new(&args.gateway)?;
    if server.is_running_already() || server.shards < 2 {
        return Err(BenchError::Usage("stall starts its own gateway, of two shards or more".to_owned()));
    }
    let mut beside = TrafficPlan::bystanders(&args.bystanders)?;
    beside.span.duration = beside.span.duration.max(args.stall + LONGER);
    let stalled = beside.span.duration + PREPARED + LONGER;
    let mut plan = TrafficPlan::small(args.stalled, args.stalled_rate, stalled)?;
    plan.drain = plan.drain.max(args.stall * 3);
    let progress = Progress::new();
    progress.say("making keys and tokens");
    let (first, last) = (ShardId(0), ShardId(server.shards - 1));
    let users = plan.pairs.max(beside.pairs) * USERS_PER_PAIR * u32::from(server.shards);
    let keys = Keyring::new(&server, users)?;
    let placement = Placement::even(server.shards);
    let pairs = |shard, count| pairs_on(shard, &placement, &keys.credentials, count);
    let (credentials, waiting) = (pairs(first, beside.pairs)?, pairs(last, plan.pairs)?);
    let mut gateway = Gateway::start(&server, &keys)?;
    gateway.move_core(last.0)?;
    let mut bystanders = Bystanders {
        plan: &beside,
        credentials: &credentials,
        target: Target::of(&gateway, &server),
        report: Report::default(),
        verdict: Vec::new(),
    };
    let driven = match gateway.volume() {
        Some(volume) => measure(args.stall, &plan, &waiting, &mut bystanders, volume),
        None => unreachable!("a core was put on a volume"),
    };
    let driven = driven.map_err(|error| gateway.explain(error))?;
    gateway.stop()?;
    bystanders.compare("stall", args.bystanders.ratio_max);
    let mut report = Report::new("stall");
    report.number("stall.seconds", args.stall.as_secs_f64());
    report.summary("stalled.delivery", driven.tally.delivery.summary());
    report.summary("stalled.ack", driven.tally.ack.summary());
    report.count("stalled.delivered", driven.tally.delivered);
    report.count("stalled.put_off", driven.tally.put_off);
    report.count("stalled.disconnects", driven.tally.disconnects);
    report.extend(bystanders.report);
    crate::gateway::describe(&server, &mut report);
    host::describe(&mut report);
    let mut verdict = bystanders.verdict;
    verdict.extend(driven.tally.verdict(true).map(|complaint| format!("stalled: {complaint}")));
    verdict.extend(nobody_waited(driven.tally.delivery.summary().max_us, args.stall));
    report.text("verdict", if verdict.is_empty() { "good" } else { "bad" });
    publish(&report, &[], beside.span.duration, &args.output)?;
    if verdict.is_empty() { Ok(()) } else { Err(BenchError::Verdict(verdict.join("; "))) }
}

fn nobody_waited(slowest_us: f64, stall: Duration) -> Option<String> {
    let least = stall.as_secs_f64() * WAITED;
    let slowest = slowest_us / 1e6;
    (slowest < least).then(|| format!("nothing stalled: the slowest message took {slowest:.1} s"))
}

fn measure(
    stall: Duration,
    plan: &TrafficPlan,
    waiting: &[Credential],
    bystanders: &mut Bystanders<'_>,
    volume: &mut Volume,
) -> Result<Driven, BenchError> {
    bystanders.measure_before()?;
    let target = Target { fresh: true, ..bystanders.target.clone() };
    let stalled = move |begin| drive::drive(plan, &target, waiting, &mut Starter::new(begin));
    let driven = beside("the stalled", stalled, || {
        let mut freezer = Freezer { volume, stall, since: None };
        let measured = bystanders.measure("stall", &mut freezer);
        // Whatever went wrong: what waits must go on, or nobody ever ends.
        measured.and(freezer.volume.thaw())
    });
    driven.map(|(driven, ())| driven)
}

/// Freezes a volume for a while, from the first look on.
struct Freezer<'a> {
    volume: &'a mut Volume,
    stall: Duration,
    since: Option<Mono>,
}

impl Watcher for Freezer<'_> {
    fn look(&mut self, at: Mono, _: &Sample) -> Result<(), BenchError> {
        match self.since {
            None => {
                self.since = Some(at);
                self.volume.freeze()
            }
            Some(since) if at.since(since) >= self.stall => self.volume.thaw(),
            Some(_) => Ok(()),
        }
    }
}

/// Neighbours who are at home on this shard; so is their conversation, which belongs to the slot of one of them.
fn pairs_on(
    shard: ShardId,
    placement: &Placement,
    credentials: &[Credential],
    count: u32,
) -> Result<Vec<Credential>, BenchError> {
    let at_home = |credential: &&Credential| placement.shard_of(credential.user.slot()) == shard;
    let users: Vec<Credential> =
        credentials.iter().filter(at_home).take(count as usize * 2).cloned().collect();
    if users.len() < count as usize * 2 {
        let found = users.len() / 2;
        return Err(BenchError::Protocol(format!("{found} of {count} pairs are at home on shard {shard}")));
    }
    Ok(users)
}

#[cfg(test)]
mod tests {
    use super::*;
    use iris_protocol::{ConversationId, DeviceId, UserId};

    /// Both users of a pair and their conversation are on the shard asked for, and nobody is in two pairs.
    /// Seen to fail when: nobody's slot is looked at.
    #[test]
    fn pairs_are_at_home_where_they_should_be() {
        let credentials: Vec<Credential> = (0..800)
            .map(|number| Credential {
                user: UserId::parse(&format!("u{number}")).unwrap(),
                device: DeviceId::parse("d1").unwrap(),
                token: String::new(),
            })
            .collect();
        let placement = Placement::even(2);
        for shard in [ShardId(0), ShardId(1)] {
            let pairs = pairs_on(shard, &placement, &credentials, 100).unwrap();
            let mut users: Vec<_> = pairs.iter().map(|credential| credential.user.clone()).collect();
            assert!(users.iter().all(|user| placement.shard_of(user.slot()) == shard));
            for pair in users.chunks(2) {
                let conversation = ConversationId::direct(&pair[0], &pair[1]);
                assert_eq!(placement.shard_of(conversation.slot()), shard, "{conversation}");
            }
            users.sort_unstable();
            users.dedup();
            assert_eq!(users.len(), 200);
        }
        assert!(pairs_on(ShardId(0), &placement, &credentials, 400).is_err(), "there are too few");
    }

    /// A stall in which nobody waited fails.
    /// Seen to fail when: the slowest message is not compared.
    #[test]
    fn a_stall_in_which_nobody_waited_is_none() {
        assert_eq!(nobody_waited(9_000_000.0, Duration::from_secs(10)), None);
        assert!(nobody_waited(7_900_000.0, Duration::from_secs(10)).is_some());
    }
}
