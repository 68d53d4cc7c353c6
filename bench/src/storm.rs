//! `storm`: every device loses its connection at the same moment and comes back within a short time; or the gateway is killed, and
//! everybody comes back to the next one.
//!
//! Invariants
//! - A device counts as back when it has its Welcome; all of them must come back in time.
//! - Those who stay are measured while the storm blows, from its first moment on.

use crate::beside::beside;
use crate::bystanders::{Bystanders, elsewhere};
use crate::clock::Clock;
use crate::cpu::us_per_message;
use crate::drive::{Starter, Target, durability, load_config};
use crate::error::BenchError;
use crate::fleet::{Fleet, FleetPlan, Meter, Tally};
use crate::gateway::{Credential, Gateway, GatewayPlan, Keyring};
use crate::hiccup::exact_timers;
use crate::host;
use crate::links::Links;
use crate::measure::{Cost, Measurement};
use crate::options::StormArgs;
use crate::output::{Progress, publish};
use crate::plan::TrafficPlan;
use crate::report::Report;
use crate::schedule::exact;
use iris_client::session::Backoff;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, TryRecvError, channel};
use std::time::Duration;

/// What those who stay are measured under.
const NAME: &str = "storm";

/// Makes a storm.
///
/// # Errors
/// The run could not be completed, or [`BenchError::Verdict`] if not all devices came back in time, or those who stayed lost
/// something or suffered more than the limit.
pub fn run(args: &StormArgs) -> Result<(), BenchError> {
    let is_possible =
        args.devices > 0 && args.connect_rate > 0.0 && args.connecting > 0 && !args.within.is_zero();
    if !is_possible {
        let allowed = "allowed: --devices, --connect-rate, --connecting and --within above 0";
        return Err(BenchError::Usage(allowed.to_owned()));
    }
    let server = GatewayPlan::new(&args.gateway)?;
    if args.elsewhere && (server.is_running_already() || args.bystanders.bystanders == 0) {
        let needed = "--elsewhere needs bystanders, and a gateway that is started here";
        return Err(BenchError::Usage(needed.to_owned()));
    }
    let stay = if args.kill { 0 } else { args.bystanders.bystanders };
    let plan = (stay > 0).then(|| TrafficPlan::bystanders(&args.bystanders)).transpose()?;
    let progress = Progress::new();
    progress.say("making keys and tokens");
    let keys = Keyring::new(&server, args.devices + 2 * stay)?;
    let (leave, credentials) = keys.credentials.split_at(args.devices as usize);
    let mut gateway = Gateway::start(&server, &keys)?;
    let mut stayers = plan.as_ref().map(|plan| Bystanders {
        plan,
        credentials,
        target: Target::of(&gateway, &server),
        report: Report::default(),
        verdict: Vec::new(),
    });
    if let (true, Some(stayers)) = (args.elsewhere, &mut stayers) {
        let mut other = Gateway::start(&server, &keys)?;
        let name = elsewhere(NAME);
        let storm = watch(args, &server, &mut other, leave, Some((stayers, &name)));
        storm.map_err(|error| other.explain(error))?;
        other.stop()?;
    }
    let watching = stayers.as_mut().map(|stayers| (stayers, NAME));
    let storm = watch(args, &server, &mut gateway, leave, watching);
    let storm = storm.map_err(|error| gateway.explain(error))?;
    gateway.stop()?;
    let (report, verdict) = describe(args, &server, &storm, stayers);
    publish(&report, &[("storm.login".to_owned(), storm.tally.login)], storm.took, &args.output)?;
    if verdict.is_empty() { Ok(()) } else { Err(BenchError::Verdict(verdict.join("; "))) }
}

fn describe(
    args: &StormArgs,
    server: &GatewayPlan,
    storm: &Storm,
    stayers: Option<Bystanders<'_>>,
) -> (Report, Vec<String>) {
    let (tally, back) = (&storm.tally, storm.tally.login.count());
    let mut report = Report::new("storm");
    report.summary("storm.login", tally.login.summary());
    report.number("storm.seconds", storm.took.as_secs_f64());
    report.number("storm.within_s", args.within.as_secs_f64());
    report.flag("storm.killed", args.kill);
    report.number("storm.returns_per_second", exact(back) / storm.took.as_secs_f64());
    report.count("storm.returns", back);
    report.count("storm.attempts_lost", tally.disconnects);
    report.count("storm.refused", tally.closes);
    report.count("devices", u64::from(args.devices));
    if let Some(cpu) = storm.cost.server {
        report.number("server.cpu_us_per_login", us_per_message(cpu, back));
    }
    report.number("load.cpu_us_per_login", us_per_message(storm.cost.load, back));
    crate::gateway::describe(server, &mut report);
    storm.cost.describe(&mut report);
    host::describe(&mut report);
    let missing = u64::from(args.devices).saturating_sub(u64::try_from(tally.online).unwrap_or(0));
    report.count("storm.missing", missing);
    let mut verdict = Vec::new();
    if missing > 0 {
        verdict.push(format!("{missing} of {} devices are not back ({})", args.devices, tally.last_close()));
    }
    if let Some(mut stayers) = stayers {
        stayers.compare(NAME, args.bystanders.ratio_max);
        report.extend(stayers.report);
        verdict.extend(stayers.verdict);
    }
    report.text("verdict", if verdict.is_empty() { "good" } else { "bad" });
    (report, verdict)
}

/// What came of it. Logins of the tally are those of the devices that came back.
struct Storm {
    took: Duration,
    cost: Cost,
    tally: Tally,
}

/// Lets the storm begin at a gateway once everybody is there and those who stay, at whichever, were measured, and measures them again
/// under this name while it blows.
fn watch(
    args: &StormArgs,
    server: &GatewayPlan,
    gateway: &mut Gateway,
    leave: &[Credential],
    stayers: Option<(&mut Bystanders<'_>, &str)>,
) -> Result<Storm, BenchError> {
    let idle = FleetPlan::idle(gateway.address, durability(server.durability), args.connect_rate);
    let backoff = Backoff { base: args.within, cap: args.within * 4, stable_after: Duration::ZERO };
    let clock = Clock::start();
    let idle = FleetPlan { backoff, connecting: args.connecting, heartbeat: args.heartbeat, ..idle };
    let fleet = Fleet::new(idle, clock, leave.to_vec(), Arc::new(Meter::default()));
    let (begin, is_begun) = channel();
    let sky = Sky {
        clock,
        devices: leave.len(),
        kill: args.kill,
        patience: args.patience,
        server: gateway.pid.filter(|_| !args.kill),
        is_begun,
    };
    let security = gateway.security.clone();
    let storm = move |ready: Sender<()>| {
        exact_timers();
        sky.blow(fleet, Links::new(&load_config(), security)?, &ready)
    };
    let stormed = beside("the storm", storm, || {
        if let Some((stayers, name)) = stayers {
            stayers.measure_before()?;
            return stayers.measure(name, &mut Starter::new(begin));
        }
        // Without the thread of the storm there is nobody to tell.
        let _ = begin.send(());
        if args.kill { gateway.kill_and_restart() } else { Ok(()) }
    });
    stormed.map(|(storm, ())| storm)
}

/// What the thread of the storm needs beside its devices.
struct Sky {
    clock: Clock,
    devices: usize,
    /// The gateway is killed by somebody else.
    kill: bool,
    patience: Duration,
    /// Whose CPU is measured.
    server: Option<u32>,
    is_begun: Receiver<()>,
}

impl Sky {
    fn blow(self, mut fleet: Fleet, mut links: Links, ready: &Sender<()>) -> Result<Storm, BenchError> {
        fleet.log_in(&mut links, self.devices)?;
        fleet.forget_logins();
        // Without the coordinating thread there is nobody to tell.
        let _ = ready.send(());
        let mut is_off = false;
        fleet.serve_until(&mut links, || match self.is_begun.try_recv() {
            Ok(()) => true,
            Err(TryRecvError::Empty) => false,
            Err(TryRecvError::Disconnected) => {
                is_off = true;
                true
            }
        })?;
        if is_off {
            return Err(BenchError::Protocol("nobody let the storm begin".to_owned()));
        }
        let measurement = Measurement::begin(self.server)?;
        let (since, devices) = (self.clock.now(), self.devices as u64);
        if !self.kill {
            fleet.cut_off(&mut links)?;
        }
        fleet.serve_until_counted(&mut links, since.after(self.patience), |tally| {
            tally.returns >= devices && tally.online >= self.devices
        })?;
        let took = self.clock.now().since(since);
        let cost = measurement.end()?;
        Ok(Storm { took, cost, tally: fleet.into_tally() })
    }
}
