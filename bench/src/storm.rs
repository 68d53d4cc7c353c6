//! `storm`: every device loses its connection at the same moment and comes back within a short time.
//!
//! Invariants
//! - A device counts as back when it has its Welcome; all of them must come back in time.

use crate::clock::Clock;
use crate::cpu::us_per_message;
use crate::drive::{durability, load_config};
use crate::error::BenchError;
use crate::fleet::{Fleet, FleetPlan, Meter, Tally};
use crate::gateway::{Gateway, GatewayPlan, Keyring};
use crate::hiccup::exact_timers;
use crate::histogram::Latencies;
use crate::host;
use crate::links::Links;
use crate::measure::{Cost, Measurement};
use crate::options::StormArgs;
use crate::output::{Progress, publish};
use crate::payload::{PAYLOAD_BYTES_MIN, Run};
use crate::report::Report;
use iris_client::session::Backoff;
use std::sync::Arc;
use std::time::Duration;

/// Connections on their way at the same time, before the storm.
const CONNECTING: u32 = 64;

/// Makes a storm.
///
/// # Errors
/// The run could not be completed, or [`BenchError::Verdict`] if not all devices came back in time.
pub fn run(args: &StormArgs) -> Result<(), BenchError> {
    if args.devices == 0 || args.connect_rate <= 0.0 || args.within.is_zero() {
        return Err(BenchError::Usage("allowed: --devices, --connect-rate and --within above 0".to_owned()));
    }
    let server = GatewayPlan::new(&args.gateway)?;
    let progress = Progress::new();
    progress.say("making keys and tokens");
    let keys = Keyring::new(&server, args.devices)?;
    let gateway = Gateway::start(&server, &keys)?;
    let storm = blow(args, &server, &gateway, &keys, &progress).map_err(|error| gateway.explain(error))?;
    gateway.stop()?;
    let back = storm.logins.count();
    let mut report = Report::new("storm");
    report.summary("storm.login", storm.logins.summary());
    report.number("storm.seconds", storm.took.as_secs_f64());
    report.number("storm.within_s", args.within.as_secs_f64());
    report.number("storm.returns_per_second", crate::schedule::exact(back) / storm.took.as_secs_f64());
    report.count("storm.returns", back);
    report.count("storm.attempts_lost", storm.tally.disconnects);
    report.count("devices", u64::from(args.devices));
    if let Some(cpu) = storm.cost.server {
        report.number("server.cpu_us_per_login", us_per_message(cpu, back));
    }
    report.number("load.cpu_us_per_login", us_per_message(storm.cost.load, back));
    crate::gateway::describe(&server, &mut report);
    storm.cost.describe(&mut report);
    host::describe(&mut report);
    let missing = u64::from(args.devices).saturating_sub(u64::try_from(storm.tally.online).unwrap_or(0));
    report.count("storm.missing", missing);
    publish(&report, &[("storm.login".to_owned(), storm.logins)], storm.took, &args.output)?;
    if missing == 0 {
        return Ok(());
    }
    let why = storm.tally.last_close().to_owned();
    Err(BenchError::Verdict(format!("{missing} of {} devices are not back ({why})", args.devices)))
}

struct Storm {
    took: Duration,
    /// Begin of a connection to its Welcome, of the devices that came back.
    logins: Latencies,
    cost: Cost,
    tally: Tally,
}

fn blow(
    args: &StormArgs,
    server: &GatewayPlan,
    gateway: &Gateway,
    keys: &Keyring,
    progress: &Progress,
) -> Result<Storm, BenchError> {
    exact_timers();
    let clock = Clock::start();
    let plan = FleetPlan {
        server: gateway.address,
        first: 0,
        run: Run(0),
        skew: 0.0,
        payload_bytes: PAYLOAD_BYTES_MIN,
        drain: Duration::ZERO,
        own_ack_delay: Duration::ZERO,
        heartbeat: Duration::ZERO,
        durability: durability(server.durability),
        fresh: false,
        connecting: CONNECTING,
        connect_rate: args.connect_rate,
        churn: 0.0,
        backoff: Backoff { base: args.within, cap: args.within * 4, stable_after: Duration::ZERO },
    };
    let mut links = Links::new(&load_config(), gateway.security.clone())?;
    let mut fleet = Fleet::new(plan, clock, keys.credentials.clone(), Arc::new(Meter::default()));
    progress.say("logging in");
    let devices = usize::try_from(args.devices).unwrap_or(usize::MAX);
    fleet.log_in(&mut links, devices)?;
    fleet.forget_logins();
    progress.say("waiting for all devices to come back");
    let measurement = Measurement::begin(gateway.pid)?;
    let (since, deadline) = (clock.now(), clock.now().after(args.patience));
    fleet.cut_off(&mut links)?;
    fleet.serve_until_online(&mut links, devices, deadline)?;
    let took = clock.now().since(since);
    let cost = measurement.end()?;
    let tally = fleet.into_tally();
    Ok(Storm { took, logins: tally.login.clone(), cost, tally })
}
