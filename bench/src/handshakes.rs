//! `handshakes`: what a login over TLS costs the gateway, beside a bare rustls handshake and one Ed25519 verification.
//!
//! Devices log in and leave again, a number of them at a time, first with full handshakes, then with resumed ones. The gateway
//! remembers no tokens meanwhile: every login is verified.
//!
//! Invariants
//! - A login counts when its Welcome has come; the run fails if one does not come.
//! - Server and floor are compared by CPU time: both ends share the host's cores.

mod bare;

use crate::channel::Security;
use crate::clock::Clock;
use crate::cpu::us_per_message;
use crate::drive::load_config;
use crate::error::BenchError;
use crate::framing;
use crate::gateway::{Credential, Gateway, GatewayPlan, Keyring, source_address};
use crate::hiccup::exact_timers;
use crate::histogram::Latencies;
use crate::host;
use crate::links::{Ending, LinkId, Links, Traffic, Wires};
use crate::measure::{Cost, Measurement};
use crate::options::HandshakesArgs;
use crate::output::{Progress, publish};
use crate::report::Report;
use bytes::Bytes;
use hashbrown::HashMap;
use iris_client::DeviceState;
use iris_client::session::{Event, Output, Session, SessionConfig};
use iris_protocol::Mono;
use iris_protocol::frame::{decode_server, encode_client};
use iris_reactor::{CloseCause, Wait};
use std::net::SocketAddr;
use std::time::Duration;

/// How long the next login may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// Measures.
///
/// # Errors
/// A login failed, or what is needed is missing.
pub fn run(args: &HandshakesArgs) -> Result<(), BenchError> {
    if args.devices == 0 || args.logins == 0 || args.at_once == 0 || args.at_once > args.devices {
        let allowed = "allowed: --devices and --logins above 0, --at-once from 1 to --devices";
        return Err(BenchError::Usage(allowed.to_owned()));
    }
    let server = GatewayPlan::new(&args.gateway)?.with_tls()?.without_token_cache();
    let progress = Progress::new();
    progress.say("making keys and tokens");
    let keys = Keyring::new(&server, args.devices)?;
    let gateway = Gateway::start(&server, &keys)?;
    let mut report = Report::new("handshakes");
    let mut distributions = Vec::new();
    let measured = measure(args, &gateway, &keys, &progress);
    let [full, resumed] = measured.map_err(|error| gateway.explain(error))?;
    gateway.stop()?;
    let floors = bare::measure()?;
    floors.describe(&mut report);
    for (name, round) in [("full", full), ("resumed", resumed)] {
        round.describe(name, &mut report);
        report.ratio(
            &format!("ratio.{name}"),
            &format!("floor.{name}_cpu_us"),
            &format!("server.{name}_cpu_us"),
        );
        distributions.push((format!("login.{name}"), round.times));
    }
    report.count("devices", u64::from(args.devices));
    report.count("logins", u64::from(args.logins));
    report.count("logins_at_once", u64::from(args.at_once));
    crate::gateway::describe(&server, &mut report);
    host::describe(&mut report);
    publish(&report, &distributions, PATIENCE, &args.output)
}

/// Links every device once, then measures full handshakes, then resumed ones.
fn measure(
    args: &HandshakesArgs,
    gateway: &Gateway,
    keys: &Keyring,
    progress: &Progress,
) -> Result<[Round; 2], BenchError> {
    exact_timers();
    progress.say("linking the devices");
    round(args.devices, args, gateway, keys, gateway.security.clone())?;
    progress.say("full handshakes");
    let full = round(args.logins, args, gateway, keys, gateway.security.clone())?;
    progress.say("resumed handshakes");
    let tickets = gateway.security.resuming();
    let resumed = round(args.logins, args, gateway, keys, tickets)?;
    Ok([full, resumed])
}

/// What a number of logins cost.
struct Round {
    logins: u64,
    resumed: u64,
    took: Duration,
    times: Latencies,
    cost: Cost,
}

impl Round {
    fn describe(&self, name: &str, report: &mut Report) {
        report.summary(&format!("login.{name}"), self.times.summary());
        let per_second = crate::schedule::exact(self.logins) / self.took.as_secs_f64();
        report.number(&format!("login.{name}.per_second"), per_second);
        report.count(&format!("login.{name}.resumed"), self.resumed);
        if let Some(cpu) = self.cost.server {
            report.number(&format!("server.{name}_cpu_us"), us_per_message(cpu, self.logins));
        }
        report.number(&format!("load.{name}_cpu_us"), us_per_message(self.cost.load, self.logins));
        report.number(&format!("host.{name}_steal_percent"), self.cost.steal_percent);
    }
}

fn round(
    logins: u32,
    args: &HandshakesArgs,
    gateway: &Gateway,
    keys: &Keyring,
    security: Security,
) -> Result<Round, BenchError> {
    let mut links = Links::new(&load_config(), security)?;
    let mut callers = Callers {
        server: gateway.address,
        credentials: &keys.credentials,
        clock: Clock::start(),
        calls: HashMap::new(),
        started: 0,
        welcomed: 0,
        resumed: 0,
        times: Latencies::new(),
    };
    let measurement = Measurement::begin(gateway.pid)?;
    let since = callers.clock.now();
    callers.call(&mut links, logins, args.at_once)?;
    let took = callers.clock.now().since(since);
    let cost = measurement.end()?;
    let Callers { resumed, times, .. } = callers;
    Ok(Round { logins: u64::from(logins), resumed, took, times, cost })
}

/// Devices that log in and leave.
struct Callers<'a> {
    server: SocketAddr,
    credentials: &'a [Credential],
    clock: Clock,
    calls: HashMap<LinkId, Call>,
    started: u32,
    welcomed: u32,
    resumed: u64,
    times: Latencies,
}

/// One connection of a device.
struct Call {
    credential: usize,
    since: Mono,
    login: Login,
}

/// How far a login has come.
enum Login {
    /// TCP or TLS is on its way.
    Connecting,
    /// Hello was said.
    Asked(Box<Session>),
    /// The Welcome has come.
    Done,
}

impl Callers<'_> {
    fn call(&mut self, links: &mut Links, logins: u32, at_once: u32) -> Result<(), BenchError> {
        let mut deadline = self.clock.now().after(PATIENCE);
        while self.welcomed < logins {
            let room = at_once.saturating_sub(u32::try_from(self.calls.len()).unwrap_or(u32::MAX));
            for _ in 0..room.min(logins - self.started) {
                self.connect(links)?;
            }
            let before = self.welcomed;
            links.flush()?;
            links.turn(Wait::Until(self.clock.instant(deadline)), self)?;
            if self.welcomed > before {
                deadline = self.clock.now().after(PATIENCE);
            } else if self.clock.now() >= deadline {
                let what = format!("login {} of {logins}", self.welcomed + 1);
                return Err(BenchError::Timeout { what, seconds: PATIENCE.as_secs() });
            }
        }
        links.flush()
    }

    fn connect(&mut self, links: &mut Links) -> Result<(), BenchError> {
        let credential = self.started as usize % self.credentials.len();
        let from = self.server.ip().is_loopback().then(|| source_address(self.started));
        let since = self.clock.now();
        let link = links.connect(self.server, from)?;
        self.calls.insert(link, Call { credential, since, login: Login::Connecting });
        self.started += 1;
        Ok(())
    }

    /// Sends what the session has to say; the connection has done its work when the Welcome is there.
    fn drain(&mut self, wires: &mut Wires, link: LinkId) -> Result<(), BenchError> {
        let Some(call) = self.calls.get_mut(&link) else { return Ok(()) };
        let Login::Asked(session) = &mut call.login else { return Ok(()) };
        let mut welcomed = false;
        while let Some(output) = session.poll() {
            match output {
                Output::Frame(frame) => {
                    if let Some(out) = wires.out(link) {
                        encode_client(frame, out);
                    }
                }
                Output::Event(Event::Welcome(_)) => welcomed = true,
                Output::Event(Event::Closed(closed)) => {
                    return Err(BenchError::Protocol(format!("a login was refused: {closed:?}")));
                }
                Output::Event(_) | Output::Connect | Output::Disconnect { .. } => {}
            }
        }
        if welcomed {
            self.welcomed += 1;
            self.resumed += u64::from(wires.is_resumed(link));
            self.times.record(self.clock.now().since(call.since));
            wires.end(link, Ending::Close);
            call.login = Login::Done;
        }
        Ok(())
    }

    fn frame(&mut self, wires: &mut Wires, link: LinkId, body: &[u8]) -> Result<(), BenchError> {
        let frame = decode_server(Bytes::copy_from_slice(body))
            .map_err(|error| BenchError::Protocol(format!("the gateway sent a {error}")))?;
        let now = self.clock.now();
        if let Some(Call { login: Login::Asked(session), .. }) = self.calls.get_mut(&link) {
            session.handle(now, frame);
        }
        self.drain(wires, link)
    }
}

impl Traffic for Callers<'_> {
    fn opened(&mut self, wires: &mut Wires, link: LinkId) -> Result<(), BenchError> {
        let now = self.clock.now();
        if let Some(call) = self.calls.get_mut(&link) {
            let Credential { user, token, .. } = &self.credentials[call.credential];
            let mut session = Session::new(SessionConfig::default(), user.clone(), DeviceState::default());
            session.connected(now, token);
            call.login = Login::Asked(Box::new(session));
        }
        self.drain(wires, link)
    }

    fn received(&mut self, wires: &mut Wires, link: LinkId, bytes: &[u8]) -> Result<(), BenchError> {
        let mut partial = wires.take_partial(link);
        let result = framing::split(&mut partial, bytes, |body| self.frame(wires, link, body));
        wires.put_partial(link, partial);
        result
    }

    fn closed(&mut self, _: &mut Wires, link: LinkId, cause: CloseCause) -> Result<(), BenchError> {
        match self.calls.remove(&link) {
            Some(Call { login: Login::Done, .. }) | None => Ok(()),
            Some(Call { login: Login::Connecting | Login::Asked(_), .. }) => {
                Err(BenchError::Protocol(format!("a login was cut off: {cause:?}")))
            }
        }
    }
}
