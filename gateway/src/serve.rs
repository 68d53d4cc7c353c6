//! `iris-gateway serve`: opens the data directory, starts the cores, waits for signals.
//!
//! Invariants
//! - No client is listened to before every core has recovered; the admin port says meanwhile that it starts.
//! - A clean stop is recorded only after every core's last record is durable and its tables are flushed.

use crate::address::AddressTable;
use crate::admin;
use crate::admin::board;
use crate::args::ServePlan;
use crate::asks::{self, Ask, Asker};
use crate::bind::listeners;
use crate::boot::{self, CoreBoot, MAIL_RING, Opened};
use crate::commands::{complain, now};
use crate::config::{Config, Flags};
use crate::control::{Control, CoreStats};
use crate::core_loop::{Core, CoreError, CoreMail, CoreParts, Scheme};
use crate::demo::{self, Demo};
use crate::durable::DurableLog;
use crate::exit::ExitStatus;
use crate::fatal::die;
use crate::gate::{Current, Keys, TokenGate};
use crate::host;
use crate::in_force::InForce;
use crate::logging::{self, LogControl, LogGuard};
use crate::memory::MemoryGuard;
use crate::place::{CorePlace, places, processors};
use crate::revocations::{FileError, Revocations};
use crate::service::Service;
use crate::storage_thread::{self, StorageParts};
use crate::tls::{ServerTls, Tickets};
use crate::token::Verifier;
use crate::websocket::Upgrades;
use crossbeam_channel::{Receiver, Sender, unbounded};
use iris_protocol::websocket::Origins;
use iris_protocol::{Placement, ShardId, Wall};
use iris_reactor::mail::{Post, mesh};
use iris_reactor::{Peer, PeerAddresses, Reactor, Waker, raise_descriptor_limit};
use iris_shard::Shard;
use iris_storage::meta::MetaError;
use iris_storage::number::Vouch;
use serde_json::json;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGUSR1};
use signal_hook::iterator::Signals;
use std::io::Write;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Room for connections on the move, beside the shards' mail.
const MOVES_MAX: usize = 1024;
/// How often the main thread looks at what the cores report.
const WATCH_INTERVAL: Duration = Duration::from_millis(20);
/// How often the shard clock is written down.
const CLOCK_INTERVAL: Duration = Duration::from_mins(1);
/// Keys of session tickets, in the data directory.
const TICKETS_FILE: &str = "tickets";

/// Why serving did not start, or ended.
#[derive(Debug, thiserror::Error)]
#[error("{reason}")]
pub struct ServeError {
    /// How the process ends.
    pub status: ExitStatus,
    /// What an operator reads.
    pub reason: String,
}

impl ServeError {
    /// An error of this status with the reason in words.
    pub(crate) fn new(status: ExitStatus, reason: impl std::fmt::Display) -> Self {
        Self { status, reason: reason.to_string() }
    }
}

/// One running core, as the main thread sees it.
struct Running {
    thread: JoinHandle<Vouch>,
    stats: Arc<CoreStats>,
    asks: Sender<Ask>,
}

/// How a core is reached by others.
struct Ring {
    peer: Peer,
    waker: Waker,
}

/// What a core's thread is started with.
struct CoreSeed {
    boot: CoreBoot,
    place: CorePlace,
    post: Post<CoreMail>,
    listeners: Vec<(TcpListener, Scheme)>,
    stats: Arc<CoreStats>,
    asks: Receiver<Ask>,
    shared: Shared,
}

/// What all cores have in common.
#[derive(Clone)]
struct Shared {
    keys: Keys,
    origins: Current<Origins>,
    control: Arc<Control>,
    config: Arc<Config>,
    addresses: Arc<AddressTable>,
    vouches: Sender<(u16, Vouch)>,
    revocations: Revocations,
    placement: Placement,
    started: Instant,
}

/// The `serve` command: until a signal ends it, or what it needs is missing.
pub fn run(plan: &ServePlan) -> ExitStatus {
    let config = match plan.sources.load() {
        Ok(config) => config,
        Err(error) => {
            complain(error);
            return ExitStatus::Config;
        }
    };
    let problems: Vec<_> = config.problems(plan.flags).into_iter().chain(config.file_problems()).collect();
    for problem in &problems {
        complain(problem);
    }
    if !problems.is_empty() {
        return ExitStatus::Config;
    }
    let log = logging::start(&config.log).ok();
    logging::exit_on_panic();
    match serve(config, plan, log.as_ref().map(LogGuard::control)) {
        Ok(()) => ExitStatus::Ok,
        Err(error) => {
            tracing::error!(status = error.status.name(), reason = error.reason, "stopping");
            complain(&error);
            error.status
        }
    }
}

fn serve(mut config: Config, plan: &ServePlan, log: Option<LogControl>) -> Result<(), ServeError> {
    let demo = open_demo(&mut config, plan)?;
    let flags = plan.flags;
    let shards = shard_count(&config);
    let descriptors = raise_descriptor_limit();
    host::tell(&config, shards);
    let keys = Keys::new(load_keys(&config, demo.as_deref())?);
    let origins = Current::new(load_origins(&config)?);
    let mut signals = Signals::new([SIGTERM, SIGINT, SIGHUP, SIGUSR1])
        .map_err(|error| ServeError::new(ExitStatus::Failed, format!("cannot take signals: {error}")))?;
    let shown = Arc::new(config.clone());
    let control = Arc::new(Control::default());
    let addresses = AddressTable::new(&config.limits.of_addresses());
    let (board, admin) = admin::open(&shown, &control, log.clone(), demo.clone())?;
    let mut opened = boot::open(&config, (shards, descriptors), plan)?;
    let tickets = open_tickets(&config)?;
    let tls = load_tls(&config, &tickets)?;
    let mut bound = bind_all(&config, flags, tls.as_ref(), usize::from(shards))?;
    bound.addresses.admin = admin;
    let revocations = open_revocations(&config)?;
    let (vouch_tx, vouches) = unbounded();
    let shared = Shared {
        keys: keys.clone(),
        origins: origins.clone(),
        control: Arc::clone(&control),
        config: shown,
        addresses: Arc::clone(&addresses),
        vouches: vouch_tx,
        revocations: revocations.clone(),
        placement: opened.placement.clone(),
        started: Instant::now(),
    };
    let (cores, wakers) = start_cores(std::mem::take(&mut opened.cores), bound.sockets, &shared)?;
    let shown = cores.iter().zip(wakers).map(|(core, waker)| board::Core {
        stats: Arc::clone(&core.stats),
        asker: Asker::new(core.asks.clone(), waker),
    });
    let placement = opened.placement.clone();
    let serving =
        board::Serving { cores: shown.collect(), placement, revocations, addresses: Arc::clone(&addresses) };
    board.introduce(serving);
    announce(&bound.addresses);
    let in_force = InForce {
        plan,
        demo,
        log,
        config,
        share: opened.share,
        keys,
        origins,
        tls,
        tickets,
        addresses,
        board,
        control: Arc::clone(&control),
    };
    let mut main = Main {
        opened,
        cores,
        control,
        vouches,
        in_force,
        service: Service::of_process(),
        memory: MemoryGuard::new(),
        drain_until: None,
        clock_at: Instant::now(),
    };
    Service::ready();
    main.watch(&mut signals);
    main.stop()
}

fn open_revocations(config: &Config) -> Result<Revocations, ServeError> {
    Revocations::open(&config.server.data_dir, now()).map_err(|error| {
        let status = match &error {
            FileError::Io { .. } => ExitStatus::DataDirUnusable,
            FileError::Version { .. } => ExitStatus::FormatUnknown,
            FileError::Damaged { .. } => ExitStatus::Damaged,
        };
        ServeError::new(status, error)
    })
}

/// The end of a process that cannot have an address.
pub(crate) fn cannot_listen(address: SocketAddr, error: &std::io::Error) -> ServeError {
    let is_taken = error.kind() == std::io::ErrorKind::AddrInUse;
    let status = if is_taken { ExitStatus::PortTaken } else { ExitStatus::Config };
    ServeError::new(status, format!("cannot listen on {address}: {error}"))
}

fn shard_count(config: &Config) -> u16 {
    match config.server.shards {
        0 => u16::try_from(processors().len()).unwrap_or(1).clamp(1, iris_protocol::limits::SHARDS_MAX),
        shards => shards,
    }
}

/// The demo, if it was asked for; its page may connect.
fn open_demo(config: &mut Config, plan: &ServePlan) -> Result<Option<Arc<Demo>>, ServeError> {
    if !plan.demo {
        return Ok(None);
    }
    let demo = Demo::of(config).map_err(|error| ServeError::new(ExitStatus::Config, error))?;
    config.websocket.origins.extend(demo.origins());
    tracing::warn!("demo: whoever can reach the admin port is given tokens of any user");
    Ok(Some(Arc::new(demo)))
}

fn load_keys(config: &Config, demo: Option<&Demo>) -> Result<Verifier, ServeError> {
    demo::verifier(&config.tokens, demo).map_err(|error| ServeError::new(ExitStatus::Config, error))
}

/// Keys of session tickets, in the data directory.
fn open_tickets(config: &Config) -> Result<Arc<Tickets>, ServeError> {
    let file = config.server.data_dir.join(TICKETS_FILE);
    let tickets = Tickets::open(&file, now());
    tickets.map_err(|error| ServeError::new(ExitStatus::DataDirUnusable, error))
}

fn load_tls(config: &Config, tickets: &Arc<Tickets>) -> Result<Option<Arc<ServerTls>>, ServeError> {
    if !config.listen.needs_certificate() {
        return Ok(None);
    }
    let tls = ServerTls::load(&config.tls.certificate, &config.tls.key, Arc::clone(tickets));
    tls.map(|tls| Some(Arc::new(tls))).map_err(|error| ServeError::new(ExitStatus::Config, error))
}

fn load_origins(config: &Config) -> Result<Origins, ServeError> {
    config.websocket.origins().map_err(|error| ServeError::new(ExitStatus::Config, error))
}

/// Addresses that are served, and the sockets of each core.
struct Bound {
    addresses: Addresses,
    sockets: Vec<Vec<(TcpListener, Scheme)>>,
}

#[derive(Clone, Copy, Default)]
struct Addresses {
    tls: Option<SocketAddr>,
    plaintext: Option<SocketAddr>,
    websocket: Option<SocketAddr>,
    websocket_plaintext: Option<SocketAddr>,
    admin: Option<SocketAddr>,
}

fn bind_all(
    config: &Config,
    flags: Flags,
    tls: Option<&Arc<ServerTls>>,
    cores: usize,
) -> Result<Bound, ServeError> {
    let backlog = i32::try_from(config.listen.backlog).unwrap_or(i32::MAX);
    let mut sockets: Vec<Vec<(TcpListener, Scheme)>> = (0..cores).map(|_| Vec::new()).collect();
    let mut bind = |address: Option<SocketAddr>, is_websocket: bool, tls: Option<&Arc<ServerTls>>| {
        let Some(address) = address else { return Ok(None) };
        let scheme = Scheme { tls: tls.map(Arc::clone), is_websocket };
        let (bound, listening) =
            listeners(address, cores, backlog).map_err(|error| cannot_listen(address, &error))?;
        for (core, socket) in sockets.iter_mut().zip(listening) {
            core.push((socket, scheme.clone()));
        }
        Ok(Some(bound))
    };
    let listen = &config.listen;
    let mut addresses = Addresses::default();
    if tls.is_some() {
        addresses.tls = bind(listen.tls.0, false, tls)?;
        addresses.websocket = bind(listen.websocket.0, true, tls)?;
    }
    if flags.insecure_plaintext {
        addresses.plaintext = bind(listen.plaintext.0, false, None)?;
        addresses.websocket_plaintext = bind(listen.websocket_plaintext.0, true, None)?;
    }
    Ok(Bound { addresses, sockets })
}

fn start_cores(
    boots: Vec<CoreBoot>,
    sockets: Vec<Vec<(TcpListener, Scheme)>>,
    shared: &Shared,
) -> Result<(Vec<Running>, Vec<Waker>), ServeError> {
    let shards = boots.len();
    let places = places(u16::try_from(shards).unwrap_or(u16::MAX));
    let posts = mesh(shards, MAIL_RING + MOVES_MAX);
    let (ready_tx, ready) = unbounded();
    let mut cores = Vec::with_capacity(shards);
    let mut peer_tx = Vec::with_capacity(shards);
    for (((boot, place), post), listeners) in boots.into_iter().zip(places).zip(posts).zip(sockets) {
        let stats = Arc::new(CoreStats::default());
        let shared = shared.clone();
        let (asks, asked) = asks::channel();
        let seed = CoreSeed { boot, place, post, listeners, stats: Arc::clone(&stats), asks: asked, shared };
        let (tx, peers) = unbounded();
        peer_tx.push(tx);
        let ready = ready_tx.clone();
        let name = format!("shard-{}", place.shard);
        let thread = std::thread::Builder::new().name(name).spawn(move || run_core(seed, &ready, &peers));
        let thread = thread.map_err(|error| ServeError::new(ExitStatus::Failed, error))?;
        cores.push(Running { thread, stats, asks });
    }
    let wakers = introduce(shards, &ready, &peer_tx)?;
    Ok((cores, wakers))
}

/// Gives every core the rings of all; gives their wakers.
fn introduce(
    shards: usize,
    ready: &Receiver<(u16, Result<Ring, ServeError>)>,
    peer_tx: &[Sender<Vec<Peer>>],
) -> Result<Vec<Waker>, ServeError> {
    let mut rings = Vec::with_capacity(shards);
    for _ in 0..shards {
        let Ok((shard, ring)) = ready.recv() else {
            return Err(ServeError::new(ExitStatus::Panic, "a core ended while it started"));
        };
        rings.push((shard, ring?));
    }
    rings.sort_by_key(|(shard, _)| *shard);
    let (peers, wakers): (Vec<Peer>, Vec<Waker>) =
        rings.into_iter().map(|(_, Ring { peer, waker })| (peer, waker)).unzip();
    for core in peer_tx {
        let _ended = core.send(peers.clone());
    }
    Ok(wakers)
}

/// The life of a core's thread.
fn run_core(
    seed: CoreSeed,
    ready: &Sender<(u16, Result<Ring, ServeError>)>,
    peers: &Receiver<Vec<Peer>>,
) -> Vouch {
    seed.place.pin();
    let Shared { keys, origins, control, config, addresses, vouches, revocations, placement, started } =
        seed.shared;
    let reactor = match Reactor::new(&reactor_config(&config)) {
        Ok(reactor) => reactor,
        Err(error) => {
            let refused = ServeError::new(ExitStatus::IoUringUnavailable, error);
            let _main_gone = ready.send((seed.place.shard, Err(refused)));
            return Vouch::default();
        }
    };
    let waker: Waker = reactor.waker();
    let ring = Ring { peer: reactor.peer(), waker: waker.clone() };
    let _main_gone = ready.send((seed.place.shard, Ok(ring)));
    let Ok(peers) = peers.recv() else { return Vouch::default() };
    let fill_interval = config.storage.fill_interval.0;
    let CoreBoot { log, engine, files, space, shard, directory, durability } = seed.boot;
    let storage =
        storage_thread::start(StorageParts { engine, files, space, fill_interval }, waker, seed.place);
    let (storage, storage_thread) = match storage {
        Ok(started) => started,
        Err(error) => die(ExitStatus::Failed, &format!("cannot start a storage thread: {error}")),
    };
    let core = Core::new(CoreParts {
        reactor,
        shard: Shard::new(iris_protocol::Mono(0), shard.0, shard.1),
        id: ShardId(seed.place.shard),
        placement,
        post: seed.post,
        peers,
        log: DurableLog::new(log, seed.place.shard, directory, durability, vouches),
        storage,
        listeners: seed.listeners,
        addresses,
        upgrades: Upgrades::Iris(origins),
        tokens: TokenGate::new(keys, config.tokens.cache as usize, revocations),
        asks: seed.asks,
        control,
        stats: seed.stats,
        started,
        login_timeout: config.limits.login.0,
    });
    match core.run() {
        Ok(ended) => {
            let vouch = ended.vouch();
            drop(ended);
            storage_thread.finish();
            vouch
        }
        Err(error) => die(status_of(&error), &error.to_string()),
    }
}

fn reactor_config(config: &Config) -> iris_reactor::Config {
    let connections = &config.connections;
    iris_reactor::Config {
        rings: connections.rings,
        descriptors_per_ring: connections.descriptors_per_ring,
        receive_buffers: connections.receive_buffers,
        receive_buffer_bytes: u32::try_from(connections.receive_buffer_bytes.0).unwrap_or(u32::MAX),
        idle_after: Some(connections.idle_after.0),
        peer_addresses: PeerAddresses::Asked,
        ..iris_reactor::Config::default()
    }
}

fn status_of(error: &CoreError) -> ExitStatus {
    match error {
        CoreError::Ring(_) => ExitStatus::Panic,
        CoreError::Write(error) if error.is_disk_full() => ExitStatus::DiskFull,
        CoreError::Write(_) => ExitStatus::StorageWriteFailed,
    }
}

fn meta_status(error: &MetaError) -> ExitStatus {
    if error.is_disk_full() { ExitStatus::DiskFull } else { ExitStatus::StorageWriteFailed }
}

/// Tells whoever started the process that it serves, and where.
fn announce(addresses: &Addresses) {
    let line = json!({
        "ready": true,
        "listen": addresses.tls.map(|address| address.to_string()),
        "plaintext": addresses.plaintext.map(|address| address.to_string()),
        "websocket": addresses.websocket.map(|address| address.to_string()),
        "websocket_plaintext": addresses.websocket_plaintext.map(|address| address.to_string()),
        "admin": addresses.admin.map(|address| address.to_string()),
        "pid": std::process::id(),
    });
    say(&line);
    let Addresses { tls, plaintext, websocket, websocket_plaintext, admin } = addresses;
    tracing::info!(?tls, ?plaintext, ?websocket, ?websocket_plaintext, ?admin, "serving");
}

/// One line on standard output; nobody may be listening.
fn say(line: &serde_json::Value) {
    let mut out = std::io::stdout().lock();
    let _unheard = writeln!(out, "{line}").and_then(|()| out.flush());
}

struct Main<'a> {
    opened: Opened,
    cores: Vec<Running>,
    control: Arc<Control>,
    vouches: Receiver<(u16, Vouch)>,
    in_force: InForce<'a>,
    service: Service,
    memory: MemoryGuard,
    drain_until: Option<Instant>,
    clock_at: Instant,
}

impl Main<'_> {
    /// Until a drain is complete, or has taken too long.
    fn watch(&mut self, signals: &mut Signals) {
        loop {
            for signal in signals.pending() {
                match signal {
                    SIGHUP => Service::reloading(|| self.in_force.reload()),
                    SIGUSR1 => self.print_stats(),
                    _ => self.drain(),
                }
            }
            if self.control.is_drain_ordered() && self.drain_until.is_none() {
                self.drain();
            }
            self.keep_meta();
            self.check_threads();
            self.keep_memory();
            self.service.keep_alive(|| self.cores.iter().map(|core| core.stats.turns()).collect());
            let settled = self.cores.iter().all(|core| core.stats.is_settled() && core.stats.is_empty());
            if let Some(until) = self.drain_until
                && (settled || Instant::now() >= until)
            {
                return;
            }
            std::thread::park_timeout(WATCH_INTERVAL);
        }
    }

    fn drain(&mut self) {
        if self.drain_until.is_some() {
            tracing::info!("second signal: the drain ends now");
            self.drain_until = Some(Instant::now());
            return;
        }
        tracing::info!("draining");
        Service::stopping();
        self.control.drain();
        self.drain_until = Some(Instant::now() + self.in_force.config.server.drain.0);
    }

    fn print_stats(&self) {
        let mut sums = serde_json::Map::new();
        for core in &self.cores {
            for (name, value) in core.stats.read() {
                let sum = sums.get(name).and_then(serde_json::Value::as_u64).unwrap_or(0);
                sums.insert(name.to_owned(), json!(sum.saturating_add(value)));
            }
        }
        sums.insert("stats".to_owned(), json!(true));
        say(&serde_json::Value::Object(sums));
    }

    fn keep_memory(&mut self) {
        let connections = self.cores.iter().map(|core| core.stats.connections()).sum();
        self.memory.look(self.in_force.config.server.memory.0, connections, &self.control);
    }

    /// Writes down what the cores' logs hold, and how far the clock is.
    fn keep_meta(&mut self) {
        let mut kept = Ok(());
        while let Ok((core, vouch)) = self.vouches.try_recv() {
            kept = kept.and_then(|()| self.opened.vouch(core, vouch));
        }
        if Instant::now() >= self.clock_at {
            self.clock_at = Instant::now() + CLOCK_INTERVAL;
            if let Err(error) = self.in_force.tickets.keep(now()) {
                tracing::warn!(%error, "new ticket keys are not in their file: after a restart they are unknown");
            }
            kept = kept.and_then(|()| self.opened.store_clock(self.clock()));
        }
        if let Err(error) = kept {
            die(meta_status(&error), &error.to_string());
        }
    }

    fn clock(&self) -> Wall {
        self.cores.iter().map(|core| core.stats.clock()).max().unwrap_or_default()
    }

    /// A core that ended by itself takes the process with it.
    fn check_threads(&self) {
        if self.cores.iter().any(|core| core.thread.is_finished()) {
            die(ExitStatus::Panic, "a core ended while the process serves");
        }
    }

    fn stop(mut self) -> Result<(), ServeError> {
        self.control.stop();
        let clock = self.clock();
        let mut stopped = Vec::new();
        for core in std::mem::take(&mut self.cores) {
            let vouch = core.thread.join();
            stopped
                .push(vouch.map_err(|_| ServeError::new(ExitStatus::Panic, "a core panicked as it ended"))?);
        }
        let closed = self.opened.stop_clean(clock, &stopped);
        closed.map_err(|error| ServeError::new(meta_status(&error), error))?;
        tracing::info!("stopped");
        Ok(())
    }
}
