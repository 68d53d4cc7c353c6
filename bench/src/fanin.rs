//! `fanin`: thousands of users write to one.
//!
//! Invariants
//! - Each sender's messages are verified as those of a pair are; the bystanders' too.

use crate::beside::beside;
use crate::bystanders::Bystanders;
use crate::drive::{self, Driven, Starter, Target};
use crate::error::BenchError;
use crate::fleet::Partners;
use crate::gateway::{Credential, Gateway, GatewayPlan, Keyring};
use crate::host;
use crate::latency;
use crate::options::FaninArgs;
use crate::output::{Progress, publish};
use crate::plan::TrafficPlan;
use crate::report::Report;
use std::time::Duration;

/// How much longer than the bystanders' measured time the load lasts: they log in and warm up while it runs.
const LONGER: Duration = Duration::from_secs(6);

/// Fans in.
///
/// # Errors
/// The run could not be completed, or [`BenchError::Verdict`]: messages were lost, doubled, reordered or altered, or bystanders
/// suffered more than the limit.
pub fn run(args: &FaninArgs) -> Result<(), BenchError> {
    let server = GatewayPlan::new(&args.gateway)?;
    let mut plan = TrafficPlan::new(&args.traffic, args.rate)?;
    if args.senders == 0 {
        return Err(BenchError::Usage("allowed: --senders above 0".to_owned()));
    }
    // One receives, the others send: an odd number of senders.
    plan.pairs = args.senders.div_ceil(2);
    (plan.partners, plan.threads) = (Partners::First, 1);
    plan.span.duration = plan.span.duration.max(args.bystanders.bystander_duration + LONGER);
    let beside = TrafficPlan::bystanders(&args.bystanders)?;
    let progress = Progress::new();
    progress.say("making keys and tokens");
    let keys = Keyring::new(&server, (plan.pairs + beside.pairs) * 2)?;
    let (crowd, credentials) = keys.credentials.split_at(plan.pairs as usize * 2);
    let gateway = Gateway::start(&server, &keys)?;
    let target = Target::of(&gateway, &server);
    let mut bystanders = Bystanders {
        plan: &beside,
        credentials,
        target: target.clone(),
        report: Report::default(),
        verdict: Vec::new(),
    };
    let driven = measure(&plan, &target, crowd, &mut bystanders);
    let driven = driven.map_err(|error| gateway.explain(error))?;
    gateway.stop()?;
    bystanders.compare("fanin", args.bystanders.ratio_max);
    let mut report = Report::new("fanin");
    report.count("senders", u64::from(plan.pairs) * 2 - 1);
    latency::describe(&plan, &driven, &mut report);
    driven.cost.describe(&mut report);
    report.extend(bystanders.report);
    crate::gateway::describe(&server, &mut report);
    host::describe(&mut report);
    let mut verdict = bystanders.verdict;
    verdict.extend(driven.tally.verdict(true));
    report.text("verdict", if verdict.is_empty() { "good" } else { "bad" });
    let distributions =
        [("delivery".to_owned(), driven.tally.delivery), ("ack".to_owned(), driven.tally.ack)];
    publish(&report, &distributions, plan.span.duration, &args.output)?;
    if verdict.is_empty() { Ok(()) } else { Err(BenchError::Verdict(verdict.join("; "))) }
}

fn measure(
    plan: &TrafficPlan,
    target: &Target,
    crowd: &[Credential],
    bystanders: &mut Bystanders<'_>,
) -> Result<Driven, BenchError> {
    bystanders.measure_before()?;
    let fan = move |begin| drive::drive(plan, target, crowd, &mut Starter::new(begin));
    let driven = beside("the crowd", fan, || bystanders.measure("fanin", &mut drive::Nobody));
    driven.map(|(driven, ())| driven)
}
