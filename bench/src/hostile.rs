//! `hostile`: what attackers do to the latency of honest users. The same load is measured before, under each attack, and
//! after; the attackers connect from addresses of their own, as many connections as the limits let them.
//!
//! Invariants
//! - The gateway's limits by address are as shipped; only what honest users need is raised, and the report says so.
//! - Honest messages are verified in every phase: an attack that costs one fails the run.

mod attack;

pub use attack::Attack;

use crate::bystanders::{Bystanders, elsewhere};
use crate::channel::Security;
use crate::drive::{Nobody, Target};
use crate::error::BenchError;
use crate::footprint::{self, Reading};
use crate::gateway::{Gateway, GatewayPlan, Keyring};
use crate::host;
use crate::options::HostileArgs;
use crate::output::{Progress, publish};
use crate::plan::TrafficPlan;
use crate::report::Report;
use attack::{Siege, Size, Toll};
use std::net::SocketAddr;
use std::time::Duration;

/// Until what an attack left behind is gone: its last connections wait for the login deadline.
const SETTLE: Duration = Duration::from_secs(8);

/// Attacks.
///
/// # Errors
/// The run could not be completed, or [`BenchError::Verdict`] if honest users lost messages, suffered more than the limit,
/// or the gateway did not come back to what it held before.
pub fn run(args: &HostileArgs) -> Result<(), BenchError> {
    if args.attackers == 0 || args.addresses == 0 || args.attack_rate <= 0.0 {
        return Err(BenchError::Usage("allowed: --attackers, --addresses, --attack-rate above 0".to_owned()));
    }
    let server = GatewayPlan::new(&args.gateway)?.with_tls()?.with_address_limits();
    if args.elsewhere && server.is_running_already() {
        return Err(BenchError::Usage("--elsewhere needs a gateway that is started here".to_owned()));
    }
    let plan = TrafficPlan::new(&args.traffic, args.rate)?;
    let progress = Progress::new();
    progress.say("making keys and tokens");
    let keys = Keyring::new(&server, plan.pairs * 2)?;
    let mut gateway = Gateway::start(&server, &keys)?;
    let other = args.elsewhere.then(|| Gateway::start(&server, &keys)).transpose()?;
    let mut honest = Bystanders {
        plan: &plan,
        credentials: &keys.credentials,
        target: Target::of(&gateway, &server),
        report: Report::new("hostile"),
        verdict: Vec::new(),
    };
    let attacked = attack_all(&mut honest, args, &mut gateway, other.as_ref());
    attacked.map_err(|error| gateway.explain(error))?;
    other.map_or(Ok(None), Gateway::stop)?;
    let Bystanders { mut report, verdict, .. } = honest;
    gateway.stop()?;
    report.number("rate", plan.rate);
    report.count("users", u64::from(plan.pairs) * 2);
    report.count("attackers", u64::from(args.attackers));
    report.count("attackers.addresses", u64::from(args.addresses));
    report.number("attackers.per_second", args.attack_rate);
    crate::gateway::describe(&server, &mut report);
    host::describe(&mut report);
    report.text("verdict", if verdict.is_empty() { "good" } else { "bad" });
    publish(&report, &[], plan.span.duration, &args.output)?;
    if verdict.is_empty() { Ok(()) } else { Err(BenchError::Verdict(verdict.join("; "))) }
}

/// What the gateway holds when nobody attacks.
#[derive(Clone, Copy, Debug)]
struct Held {
    private_dirty: u64,
    descriptors: u64,
    connections: u64,
}

impl Held {
    fn of(gateway: &mut Gateway) -> Result<Self, BenchError> {
        let Some(pid) = gateway.pid else {
            return Err(BenchError::Usage("a running gateway under attack needs --pid".to_owned()));
        };
        let connections = gateway.stats().and_then(|stats| stats.total("connections")).unwrap_or(0);
        let private_dirty = Reading::of(pid)?.private_dirty;
        Ok(Self { private_dirty, descriptors: footprint::descriptors(pid)?, connections })
    }
}

impl Bystanders<'_> {
    /// Measures them under this name while this gateway is attacked.
    fn measure_beside(
        &mut self,
        name: &str,
        attack: Attack,
        (address, security): (SocketAddr, &Security),
        args: &HostileArgs,
    ) -> Result<(), BenchError> {
        let size =
            Size { connections: args.attackers, addresses: args.addresses, per_second: args.attack_rate };
        let siege = Siege::begin(attack, size, address, security)?;
        std::thread::sleep(args.siege);
        let measured = self.measure(name, &mut Nobody);
        let toll = siege.end();
        measured?;
        describe_toll(name, toll?, &mut self.report);
        Ok(())
    }
}

fn attack_all(
    honest: &mut Bystanders<'_>,
    args: &HostileArgs,
    gateway: &mut Gateway,
    other: Option<&Gateway>,
) -> Result<(), BenchError> {
    honest.measure_before()?;
    let before = Held::of(gateway)?;
    for attack in args.attacks() {
        if let Some(other) = other {
            let name = elsewhere(attack.name());
            honest.measure_beside(&name, attack, (other.address, &other.security), args)?;
        }
        let own = (gateway.address, &gateway.security);
        honest.measure_beside(attack.name(), attack, own, args)?;
        honest.compare(attack.name(), args.ratio_max);
    }
    std::thread::sleep(SETTLE);
    let after = Held::of(gateway)?;
    honest.measure("after", &mut Nobody)?;
    let report = &mut honest.report;
    report.ratio("ratio.after_p99", "after.delivery.p99_us", "before.delivery.p99_us");
    report.count("held.before.private_dirty_bytes", before.private_dirty);
    report.count("held.after.private_dirty_bytes", after.private_dirty);
    report.count("held.before.descriptors", before.descriptors);
    report.count("held.after.descriptors", after.descriptors);
    report.count("held.after.connections", after.connections);
    if after.connections > 0 {
        honest.verdict.push(format!("{} connections of attackers were left", after.connections));
    }
    Ok(())
}

fn describe_toll(name: &str, toll: Toll, report: &mut Report) {
    report.count(&format!("{name}.attackers.begun"), toll.begun);
    report.count(&format!("{name}.attackers.opened"), toll.opened);
    report.count(&format!("{name}.attackers.ended_by_server"), toll.ended_by_server);
    report.count(&format!("{name}.attackers.most"), toll.most);
}
