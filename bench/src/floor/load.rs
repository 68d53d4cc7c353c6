//! The open-loop load of a floor: one thread, all connections on one reactor.
//!
//! Latency is from the intended send time to the moment the frame is read back: on the same connection for the
//! echo, on the pair's other connection for the routed and message floors. Both are one way into the server and
//! one way out, as a delivery is.
//!
//! Invariants
//! - Every message that was sent must come back, or the floor fails.
//! - Messages outside the window are sent and checked like the others, and not recorded.

use super::frame::{Endpoint, FRAME_BYTES_MIN, Head, Kind};
use super::spread::{partner, sender, shard_of, stride};
use crate::channel::Security;
use crate::clock::Clock;
use crate::error::BenchError;
use crate::framing;
use crate::hiccup::exact_timers;
use crate::histogram::Latencies;
use crate::links::{LinkId, Links, Traffic, Wires};
use crate::options::ServeKind;
use crate::plan::FloorPlan;
use crate::schedule::{Schedule, Window};
use hashbrown::HashMap;
use iris_protocol::Mono;
use iris_reactor::{CloseCause, Config, Wait};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::mpsc::Sender;
use std::time::Duration;

/// Connections on their way at the same time: below the backlog of 128 that a listener has.
const CONNECTING_MAX: usize = 64;
/// How long everything may take that is not measured: connecting, and the last messages' way back.
const PATIENCE: Duration = Duration::from_secs(20);
/// Time between the last login and the first message, for all threads to learn the window.
const HEAD_START: Duration = Duration::from_millis(20);

/// What a load found.
pub struct LoadOutcome {
    /// Round trips of the messages of the window.
    pub latencies: Latencies,
    /// How late the load itself was to send them.
    pub lag: Latencies,
    /// Messages that came back inside the window (and were acknowledged, if the floor does that).
    pub completed: u64,
    /// Messages sent in all.
    pub sent: u64,
}

/// Where the load connects to, and how.
pub struct LoadTarget {
    /// One port for each shard, on loopback.
    pub ports: Vec<u16>,
    /// The connecting side of the server's channel.
    pub security: Security,
}

/// Runs the load; the window is sent as soon as it is known.
///
/// # Errors
/// The server broke off, or messages did not come back.
pub fn run(
    plan: &FloorPlan,
    target: LoadTarget,
    clock: Clock,
    window: &Sender<Window>,
) -> Result<LoadOutcome, BenchError> {
    exact_timers();
    let mut links = Links::new(&Config { idle_after: None, ..Config::default() }, target.security)?;
    let mut load = Load::new(plan, clock);
    connect_all(plan, &target.ports, &mut links, &mut load)?;
    let start = clock.now().after(HEAD_START);
    let from = start.after(plan.span.ramp).after(plan.span.warmup);
    load.window = Window { from, until: from.after(plan.span.duration) };
    // The measuring thread waits for it; if it is gone the outcome is of no use to anybody.
    let _ = window.send(load.window);
    send_all(plan, Schedule::new(start, plan.rate, plan.span.ramp), &mut links, &mut load)?;
    Ok(LoadOutcome {
        latencies: load.latencies,
        lag: load.lag,
        completed: load.completed,
        sent: load.received,
    })
}

fn connect_all(
    plan: &FloorPlan,
    ports: &[u16],
    links: &mut Links,
    load: &mut Load,
) -> Result<(), BenchError> {
    let deadline = load.clock.now().after(PATIENCE);
    let total = usize::try_from(plan.connections).unwrap_or(usize::MAX);
    while load.greeted < total {
        while load.by_link.len() < total && load.by_link.len() - load.greeted < CONNECTING_MAX {
            let endpoint = Endpoint(u32::try_from(load.by_link.len()).unwrap_or(u32::MAX));
            let port = ports.get(usize::from(shard_of(endpoint, plan.shards).0)).copied().unwrap_or(0);
            let link = links.connect(SocketAddr::from((Ipv4Addr::LOCALHOST, port)), None)?;
            load.by_link.insert(link, endpoint);
            load.links.push(link);
        }
        links.flush()?;
        links.turn(Wait::Until(load.clock.instant(deadline)), load)?;
        if load.clock.now() > deadline {
            return Err(timeout("the login of a floor's connections"));
        }
    }
    Ok(())
}

fn send_all(
    plan: &FloorPlan,
    schedule: Schedule,
    links: &mut Links,
    load: &mut Load,
) -> Result<(), BenchError> {
    let total = schedule.due(load.window.until);
    let deadline = load.window.until.after(PATIENCE);
    let step = stride(plan.connections);
    let mut sent = 0;
    loop {
        let due = schedule.due(load.clock.now()).min(total);
        while sent < due {
            let endpoint = Endpoint(sender(sent, plan.connections, step));
            load.send(links.wires(), endpoint, schedule.intended(sent));
            sent += 1;
        }
        links.flush()?;
        if load.received == total {
            return Ok(());
        }
        let next = if sent < total { schedule.intended(sent) } else { deadline };
        links.turn(Wait::Until(load.clock.instant(next)), load)?;
        if load.clock.now() > deadline {
            let missing = total - load.received;
            return Err(timeout(&format!("the return of the last {missing} of {total} messages")));
        }
    }
}

fn timeout(what: &str) -> BenchError {
    BenchError::Timeout { what: what.to_owned(), seconds: PATIENCE.as_secs() }
}

struct Load {
    clock: Clock,
    kind: ServeKind,
    shards: u16,
    frame_bytes: usize,
    links: Vec<LinkId>,
    by_link: HashMap<LinkId, Endpoint>,
    greeted: usize,
    received: u64,
    completed: u64,
    window: Window,
    latencies: Latencies,
    lag: Latencies,
}

impl Load {
    fn new(plan: &FloorPlan, clock: Clock) -> Self {
        Self {
            clock,
            kind: plan.kind,
            shards: plan.shards,
            frame_bytes: plan.frame_bytes,
            links: Vec::new(),
            by_link: HashMap::new(),
            greeted: 0,
            received: 0,
            completed: 0,
            window: Window { from: Mono(u64::MAX), until: Mono(u64::MAX) },
            latencies: Latencies::new(),
            lag: Latencies::new(),
        }
    }

    /// Who gets a message of `endpoint`.
    fn target(&self, endpoint: Endpoint) -> Endpoint {
        match self.kind {
            ServeKind::Echo => endpoint,
            ServeKind::Routed | ServeKind::Message => partner(endpoint),
        }
    }

    fn send(&mut self, wires: &mut Wires, endpoint: Endpoint, intended: Mono) {
        let target = self.target(endpoint);
        let head =
            Head { kind: Kind::Message, shard: shard_of(target, self.shards), endpoint: target, intended };
        let link = self.links.get(endpoint.0 as usize).copied();
        if let Some(out) = link.and_then(|link| wires.out(link)) {
            head.encode(self.frame_bytes, out);
        }
        if self.window.contains(intended) {
            self.lag.record(self.clock.now().since(intended));
        }
    }

    fn frame(&mut self, wires: &mut Wires, link: LinkId, body: &[u8]) -> Result<(), BenchError> {
        let head = Head::decode(body)?;
        match head.kind {
            Kind::Hello => self.greeted += 1,
            Kind::Message => {
                let now = self.clock.now();
                if self.by_link.get(&link) != Some(&head.endpoint) {
                    return Err(BenchError::Protocol(format!(
                        "{:?} came to another connection",
                        head.endpoint
                    )));
                }
                if self.kind == ServeKind::Message
                    && let Some(out) = wires.out(link)
                {
                    Head { kind: Kind::Ack, ..head }.encode(FRAME_BYTES_MIN, out);
                }
                self.received += 1;
                self.completed += u64::from(self.window.contains(now));
                if self.window.contains(head.intended) {
                    self.latencies.record(now.since(head.intended));
                }
            }
            Kind::Answer => {}
            Kind::Ack => {
                return Err(BenchError::Protocol("a floor's server sent an acknowledgement".to_owned()));
            }
        }
        Ok(())
    }
}

impl Traffic for Load {
    fn opened(&mut self, wires: &mut Wires, link: LinkId) -> Result<(), BenchError> {
        let endpoint = self.by_link.get(&link).copied().unwrap_or(Endpoint(u32::MAX));
        if let Some(out) = wires.out(link) {
            let head = Head {
                kind: Kind::Hello,
                shard: shard_of(endpoint, self.shards),
                endpoint,
                intended: self.clock.now(),
            };
            head.encode(FRAME_BYTES_MIN, out);
        }
        Ok(())
    }

    fn received(&mut self, wires: &mut Wires, link: LinkId, bytes: &[u8]) -> Result<(), BenchError> {
        let mut partial = wires.take_partial(link);
        let result = framing::split(&mut partial, bytes, |body| self.frame(wires, link, body));
        wires.put_partial(link, partial);
        result
    }

    fn closed(&mut self, _: &mut Wires, _: LinkId, cause: CloseCause) -> Result<(), BenchError> {
        Err(BenchError::Protocol(format!("a floor's server closed a connection: {cause:?}")))
    }
}
