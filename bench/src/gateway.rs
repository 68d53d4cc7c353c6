//! The gateway under load: a program that is started with a fresh data directory, or one that runs already.
//!
//! Invariants
//! - The gateway is never linked: keys, tokens and certificates are made by its own commands.
//! - Every limit that is raised for the load is in the report.

use crate::channel::Security;
use crate::drive::RINGS_MAX;
use crate::error::BenchError;
use crate::host;
use crate::options::{DurabilityArg, GatewayArgs};
use crate::plan::{check_shards, data_dir};
use crate::process::Process;
use crate::report::Report;
use crate::volume::{Volume, call};
use iris_protocol::{DeviceId, UserId};
use rustix::process::Signal;
use serde::Deserialize;
use serde_json::Value;
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt::Write as _;
use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// How long a gateway may take to start: it writes its log segments and its ballast first.
const START_PATIENCE: Duration = Duration::from_mins(1);
/// How long it may take to stop: with a million connections it took two and a half minutes once (docs/decisions/0023).
const STOP_PATIENCE: Duration = Duration::from_mins(5);
/// How long it may take to answer a signal with its statistics.
const STATS_PATIENCE: Duration = Duration::from_secs(5);
/// Limits that no load of a bench is meant to meet, by their key in the configuration's `[limits]`.
const RAISED: &[(&str, u32)] = &[("sends_per_second", 1_000_000), ("sends_burst", 1_000_000)];
/// Limits of addresses that a load from few addresses would meet.
const RAISED_OF_ADDRESSES: &[(&str, u32)] =
    &[("unauthenticated_per_address", 10_000), ("handshakes_per_second_per_address", 10_000)];
/// How the gateway calls the parts of its memory.
const LEDGER_PREFIX: &str = "memory_";
/// A gateway's log, in its temporary directory.
const LOG_FILE: &str = "gateway.log";
/// What is told of a gateway's log when it fails, in bytes.
const LOG_TAIL_BYTES: usize = 2_000;

/// A device that may log in.
#[derive(Clone, Debug)]
pub struct Credential {
    /// The user.
    pub user: UserId,
    /// The device.
    pub device: DeviceId,
    /// What it shows at login.
    pub token: String,
}

/// Which gateway to use.
#[derive(Clone, Debug)]
pub struct GatewayPlan {
    program: PathBuf,
    transport: Transport,
    /// Its shards.
    pub shards: u16,
    /// Where its data directory is made.
    pub data_dir: PathBuf,
    /// What its acknowledgements promise.
    pub durability: DurabilityArg,
    pools: Pools,
    address_limits: bool,
    /// Another program and its words, which start the gateway; none as a rule.
    below: Vec<OsString>,
    running: Option<Running>,
}

/// What clients speak.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Transport {
    websocket: bool,
    tls: bool,
}

impl Transport {
    fn name(self) -> &'static str {
        match (self.websocket, self.tls) {
            (false, false) => "plain",
            (false, true) => "tls",
            (true, false) => "websocket",
            (true, true) => "websocket over tls",
        }
    }
}

/// How large the gateway's bounded pools (cached tokens, cached blocks) are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Pools {
    AsShipped,
    /// Full after a few thousand logins, and without huge pages: what grows then is a connection's.
    Least,
    /// No more than two tokens are remembered.
    NoTokens,
}

#[derive(Clone, Debug)]
struct Running {
    address: SocketAddr,
    tokens: PathBuf,
    pid: Option<u32>,
    ca: Option<PathBuf>,
}

impl GatewayPlan {
    /// What was typed, checked.
    ///
    /// # Errors
    /// The program is missing, or a running gateway lacks its certificate authority.
    pub fn new(args: &GatewayArgs) -> Result<Self, BenchError> {
        let shards = args.shards.unwrap_or_else(host::cores);
        check_shards(shards)?;
        let running = match (args.server, &args.tokens) {
            (Some(address), Some(tokens)) => {
                Some(Running { address, tokens: tokens.clone(), pid: args.pid, ca: args.ca.clone() })
            }
            (None, _) | (Some(_), None) => None,
        };
        if args.tls && running.as_ref().is_some_and(|running| running.ca.is_none()) {
            return Err(BenchError::Usage("a running gateway's --tls needs --ca".to_owned()));
        }
        let program = match &args.gateway {
            Some(program) => program.clone(),
            None => beside_this_program()?,
        };
        if running.is_none() && !program.is_file() {
            return Err(BenchError::Missing {
                what: "the gateway",
                path: program,
                command: "cargo build --release -p iris-gateway (or --gateway PATH)",
            });
        }
        let data_dir = data_dir(args.data_dir.as_ref());
        Ok(Self {
            program,
            transport: Transport { websocket: args.websocket, tls: args.tls },
            shards,
            data_dir,
            durability: args.durability,
            pools: Pools::AsShipped,
            address_limits: false,
            below: Vec::new(),
            running,
        })
    }

    /// With pools that are full before a measurement of memory begins.
    #[must_use]
    pub fn with_least_pools(mut self) -> Self {
        self.pools = Pools::Least;
        self
    }

    /// With TLS, asked for or not.
    ///
    /// # Errors
    /// As of [`GatewayPlan::new`].
    pub fn with_tls(mut self) -> Result<Self, BenchError> {
        self.transport.tls = true;
        if self.running.as_ref().is_some_and(|running| running.ca.is_none()) {
            return Err(BenchError::Usage("a running gateway's TLS needs --ca".to_owned()));
        }
        Ok(self)
    }

    /// With the limits of addresses as shipped: every honest device has an address of its own.
    #[must_use]
    pub fn with_address_limits(mut self) -> Self {
        self.address_limits = true;
        self
    }

    /// Without memory for verified tokens: every login is verified.
    #[must_use]
    pub fn without_token_cache(mut self) -> Self {
        self.pools = Pools::NoTokens;
        self
    }

    /// Started by another program, whose words come before the gateway's own.
    #[must_use]
    pub fn below(mut self, words: Vec<OsString>) -> Self {
        self.below = words;
        self
    }

    /// True if conversations of the load may have a past.
    pub fn is_running_already(&self) -> bool {
        self.running.is_some()
    }

    /// The limits that are raised for the load.
    fn raised(&self) -> impl Iterator<Item = &'static (&'static str, u32)> {
        let of_addresses = if self.address_limits { &[] } else { RAISED_OF_ADDRESSES };
        RAISED.iter().chain(of_addresses)
    }

    /// What clients speak, inside TLS or not.
    fn framed(&self, security: Security) -> Security {
        if self.transport.websocket { security.with_websocket() } else { security }
    }

    /// True if clients speak TLS.
    pub fn is_tls(&self) -> bool {
        self.transport.tls
    }

    fn call(&self, arguments: &[&str]) -> Result<(), BenchError> {
        let output = Command::new(&self.program)
            .args(arguments)
            .stdin(Stdio::null())
            .output()
            .map_err(BenchError::io(format!("starting {}", self.program.display())))?;
        if output.status.success() {
            return Ok(());
        }
        let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        Err(BenchError::Child { program: format!("iris-gateway {}", arguments.join(" ")), problem: said })
    }
}

fn beside_this_program() -> Result<PathBuf, BenchError> {
    let program = std::env::current_exe().map_err(BenchError::io("finding this program"))?;
    Ok(program.with_file_name("iris-gateway"))
}

/// Keys, certificates and tokens of a load; they outlive the gateways that are started with them.
pub struct Keyring {
    directory: Option<TempDir>,
    /// One device each of as many users as were asked for.
    pub credentials: Vec<Credential>,
}

impl Keyring {
    /// Makes them by the gateway's own commands, or reads the tokens of a running gateway.
    ///
    /// # Errors
    /// A command failed, or there are too few tokens.
    pub fn new(plan: &GatewayPlan, users: u32) -> Result<Self, BenchError> {
        let (directory, tokens) = if let Some(running) = &plan.running {
            (None, running.tokens.clone())
        } else {
            let directory = make_keys(plan)?;
            let tokens = issue_tokens(plan, directory.path(), "d1", users)?;
            (Some(directory), tokens)
        };
        let credentials = read_tokens(&tokens)?;
        let found = credentials.len();
        if u32::try_from(found).unwrap_or(u32::MAX) < users {
            let problem = format!("{found} tokens, {users} are needed");
            return Err(BenchError::Input { path: tokens, problem });
        }
        Ok(Self { directory, credentials })
    }
}

impl Keyring {
    /// A second device each of the first users of a keyring that was made here.
    ///
    /// # Errors
    /// A command failed.
    pub fn second_devices(&self, plan: &GatewayPlan, users: u32) -> Result<Vec<Credential>, BenchError> {
        match &self.directory {
            Some(directory) if users > 0 => read_tokens(&issue_tokens(plan, directory.path(), "d2", users)?),
            Some(_) | None => Ok(Vec::new()),
        }
    }
}

fn make_keys(plan: &GatewayPlan) -> Result<TempDir, BenchError> {
    let directory = tempfile::Builder::new()
        .prefix("iris-bench-keys-")
        .tempdir()
        .map_err(BenchError::io("a temporary directory"))?;
    let path = |name: &str| directory.path().join(name).to_string_lossy().into_owned();
    let out = path("");
    plan.call(&["token", "keygen", "--out", &out])?;
    plan.call(&["tls", "selfsigned", "--out", &out])?;
    Ok(directory)
}

/// Issues a token for a device of each of the first users: the file that they are in.
fn issue_tokens(plan: &GatewayPlan, keys: &Path, device: &str, users: u32) -> Result<PathBuf, BenchError> {
    let tokens = keys.join(format!("tokens.{device}"));
    let words = |path: &Path| path.to_string_lossy().into_owned();
    let (key, out, count) = (words(&keys.join("issuer.key")), words(&tokens), users.to_string());
    let whose = ["--count", &count, "--users", "u%d", "--device", device];
    plan.call(&[&["token", "issue", "--key", &key, "--out", &out][..], &whose].concat())?;
    Ok(tokens)
}

fn read_tokens(path: &Path) -> Result<Vec<Credential>, BenchError> {
    let text = fs::read_to_string(path).map_err(BenchError::io(path.display().to_string()))?;
    credentials(&text).map_err(|problem| BenchError::Input { path: path.to_owned(), problem })
}

/// Reads lines of user, device and token.
fn credentials(text: &str) -> Result<Vec<Credential>, String> {
    let mut credentials = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let wrong = |problem: &dyn std::fmt::Display| format!("line {}: {problem}", index + 1);
        let fields: Vec<&str> = line.split_whitespace().collect();
        let [user, device, token] = fields[..] else {
            return Err(wrong(&"not a user, a device and a token"));
        };
        credentials.push(Credential {
            user: UserId::parse(user).map_err(|error| wrong(&error))?,
            device: DeviceId::parse(device).map_err(|error| wrong(&error))?,
            token: token.to_owned(),
        });
    }
    Ok(credentials)
}

/// A gateway that serves.
pub struct Gateway {
    started: Option<Started>,
    /// Where it listens.
    pub address: SocketAddr,
    /// How it is talked to.
    pub security: Security,
    /// Its process, if it is known.
    pub pid: Option<u32>,
}

/// What was started here, and how to start it again. It ends in the order of its fields.
struct Started {
    process: Process,
    volume: Option<Volume>,
    directory: TempDir,
    plan: GatewayPlan,
    keys: PathBuf,
}

impl Started {
    fn log(&self) -> PathBuf {
        self.directory.path().join(LOG_FILE)
    }
}

/// The line that a gateway prints when it is ready.
#[derive(Deserialize)]
struct Ready {
    listen: Option<SocketAddr>,
    plaintext: Option<SocketAddr>,
    websocket: Option<SocketAddr>,
    websocket_plaintext: Option<SocketAddr>,
}

/// A gateway's statistics line: totals since its start by name, all shards together.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ServerStats(BTreeMap<String, u64>);

impl ServerStats {
    /// Understands the line; `None` if it is none.
    pub(crate) fn parse(line: &str) -> Option<Self> {
        let stats: serde_json::Map<String, Value> = serde_json::from_str(line).ok()?;
        stats.get("stats")?.as_bool()?.then_some(())?;
        let totals = stats.into_iter().filter_map(|(name, value)| Some((name, value.as_u64()?)));
        Some(Self(totals.collect()))
    }

    /// What the gateway says its memory is for, in bytes, by component; empty if it does not say.
    pub fn ledger(&self) -> BTreeMap<&str, u64> {
        let parts = self.0.iter();
        parts.filter_map(|(name, bytes)| Some((name.strip_prefix(LEDGER_PREFIX)?, *bytes))).collect()
    }

    /// A total, or what a gauge shows now; `None` if this gateway does not count it.
    pub fn total(&self, name: &str) -> Option<u64> {
        self.0.get(name).copied()
    }

    /// By how much a total grew since `before`; `None` if this gateway does not count it.
    pub fn growth(&self, before: &Self, name: &str) -> Option<u64> {
        Some(self.0.get(name)?.saturating_sub(*before.0.get(name)?))
    }
}

impl Gateway {
    /// Starts one with an empty data directory, or takes the running one.
    ///
    /// # Errors
    /// It did not become ready; the end of its log is in the error.
    pub fn start(plan: &GatewayPlan, keys: &Keyring) -> Result<Self, BenchError> {
        if let Some(running) = &plan.running {
            let security = running
                .ca
                .as_deref()
                .filter(|_| plan.transport.tls)
                .map_or(Ok(Security::Plain), Security::trusting)?;
            let security = plan.framed(security);
            return Ok(Self { started: None, address: running.address, security, pid: running.pid });
        }
        let directory = tempfile::Builder::new()
            .prefix("iris-bench-")
            .tempdir_in(&plan.data_dir)
            .map_err(BenchError::io(format!("a directory in {}", plan.data_dir.display())))?;
        let keys = keys.directory.as_ref().map_or(directory.path(), TempDir::path).to_owned();
        let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let (process, address) = launch(plan, directory.path(), &keys, any)?;
        let security =
            if plan.transport.tls { Security::trusting(&keys.join("ca.pem"))? } else { Security::Plain };
        let security = plan.framed(security);
        let pid = Some(process.pid());
        let started = Started { process, volume: None, directory, plan: plan.clone(), keys };
        Ok(Self { started: Some(started), address, security, pid })
    }

    /// Kills it with SIGKILL and starts it again on the same address with the same data.
    ///
    /// # Errors
    /// It was not started here, or did not become ready again; the end of its log is in the error.
    pub fn kill_and_restart(&mut self) -> Result<(), BenchError> {
        self.restart_after(Signal::KILL)
    }

    /// Ends it in peace and starts it again on the same address with the same data.
    ///
    /// # Errors
    /// As of [`Gateway::kill_and_restart`].
    pub fn restart(&mut self) -> Result<(), BenchError> {
        self.restart_after(Signal::TERM)
    }

    fn restart_after(&mut self, signal: Signal) -> Result<(), BenchError> {
        let Some(started) = self.started.as_mut() else {
            return Err(BenchError::Usage(
                "only a gateway that was started here can be restarted".to_owned(),
            ));
        };
        started.process.signal(signal)?;
        started.process.wait(STOP_PATIENCE)?;
        let (process, _) = launch(&started.plan, started.directory.path(), &started.keys, self.address)?;
        self.pid = Some(process.pid());
        started.process = process;
        Ok(())
    }

    /// Puts the folder of one of its cores on a file system of its own. For that it ends in peace and starts again on the same
    /// address.
    ///
    /// # Errors
    /// As of [`Gateway::kill_and_restart`], or the file system cannot be mounted.
    pub fn move_core(&mut self, core: u16) -> Result<(), BenchError> {
        let Some(started) = self.started.as_mut() else {
            return Err(BenchError::Usage("only a gateway that was started here has folders".to_owned()));
        };
        started.process.signal(Signal::TERM)?;
        started.process.wait(STOP_PATIENCE)?;
        let directory = started.directory.path();
        let folder = directory.join("data").join(format!("core-{core:02}"));
        let (before, image) = (directory.join("before"), directory.join("volume"));
        let moved = fs::rename(&folder, &before).and_then(|()| fs::create_dir(&folder));
        moved.map_err(BenchError::io(folder.display().to_string()))?;
        started.volume = Some(Volume::mount(&image, &folder)?);
        call(Command::new("cp").arg("-a").arg(before.join(".")).arg(&folder))?;
        let (process, _) = launch(&started.plan, directory, &started.keys, self.address)?;
        self.pid = Some(process.pid());
        started.process = process;
        Ok(())
    }

    /// The file system of the core that was moved.
    pub fn volume(&mut self) -> Option<&mut Volume> {
        self.started.as_mut()?.volume.as_mut()
    }

    /// Asks for its statistics; `None` if this gateway cannot be asked or does not say.
    pub fn stats(&mut self) -> Option<ServerStats> {
        let process = &mut self.started.as_mut()?.process;
        process.signal(Signal::USR1).ok()?;
        ServerStats::parse(&process.line(STATS_PATIENCE).ok()?)
    }

    /// Ends it with SIGTERM and waits. How long that took; nothing for one that was not started here.
    ///
    /// # Errors
    /// It did not end, or not with status 0; the end of its log is in the error.
    pub fn stop(mut self) -> Result<Option<Duration>, BenchError> {
        let Some(Started { process, .. }) = self.started.as_mut() else { return Ok(None) };
        let since = Instant::now();
        let ended = process.signal(Signal::TERM).and_then(|()| process.wait(STOP_PATIENCE));
        let status = ended.map_err(|error| self.explain(error))?;
        if status.success() {
            return Ok(Some(since.elapsed()));
        }
        let problem = format!("ended with {status} after SIGTERM");
        Err(self.explain(BenchError::Child { program: "iris-gateway".to_owned(), problem }))
    }

    /// Adds the end of the gateway's log to an error.
    pub fn explain(&self, error: BenchError) -> BenchError {
        match &self.started {
            Some(started) if !matches!(error, BenchError::Interrupted) => explain(error, &started.log()),
            Some(_) | None => error,
        }
    }
}

impl Drop for Gateway {
    /// A process that waits for its disk cannot end.
    fn drop(&mut self) {
        let _ = self.volume().map(Volume::thaw);
    }
}

/// Starts the program and waits until it says where it listens.
fn launch(
    plan: &GatewayPlan,
    directory: &Path,
    keys: &Path,
    listen: SocketAddr,
) -> Result<(Process, SocketAddr), BenchError> {
    let config = directory.join("iris.toml");
    let written = fs::write(&config, configuration(plan, directory, keys, listen));
    written.map_err(BenchError::io(config.display().to_string()))?;
    let log_path = directory.join(LOG_FILE);
    let log = fs::OpenOptions::new().create(true).append(true).open(&log_path);
    let log = log.map_err(BenchError::io(log_path.display().to_string()))?;
    let mut words = plan.below.iter().map(OsString::as_os_str).chain([plan.program.as_os_str()]);
    let mut command = Command::new(words.next().unwrap_or_default());
    command.args(words).arg("serve").arg("--config").arg(&config);
    if !plan.transport.tls {
        command.arg("--insecure-plaintext");
    }
    if plan.pools == Pools::Least {
        // The allocator's: a huge page would round what a connection costs to 2 MiB.
        command.env("MIMALLOC_ALLOW_THP", "0");
    }
    let mut process = Process::start(command, "iris-gateway", Some(log))?;
    let ready = process.line(START_PATIENCE).and_then(|line| ready_address(&line, plan.transport));
    let address = ready.map_err(|error| explain(error, &log_path))?;
    Ok((process, address))
}

fn explain(error: BenchError, log: &Path) -> BenchError {
    let text = fs::read(log).unwrap_or_default();
    let tail = String::from_utf8_lossy(&text[text.len().saturating_sub(LOG_TAIL_BYTES)..]).trim().to_owned();
    if tail.is_empty() {
        return error;
    }
    BenchError::Child {
        program: "iris-gateway".to_owned(),
        problem: format!("{error}; its log ends with:\n{tail}"),
    }
}

fn configuration(plan: &GatewayPlan, directory: &Path, keys: &Path, listen: SocketAddr) -> String {
    let quoted = |path: &Path| Value::from(path.to_string_lossy()).to_string();
    let key = |name: &str| quoted(&keys.join(name));
    let (tokens, storage) = match plan.pools {
        Pools::AsShipped => ("", ""),
        Pools::Least => ("cache = 512\n", "block_cache = \"1MiB\"\n"),
        Pools::NoTokens => ("cache = 1\n", ""),
    };
    // One transport alone is listened on.
    let at = |websocket: bool, tls: bool| {
        if plan.transport == (Transport { websocket, tls }) { listen.to_string() } else { String::new() }
    };
    let mut text = String::new();
    // Writing into a String cannot fail.
    let _ = write!(
        text,
        "[server]\ndata_dir = {}\nshards = {}\n\n\
         [listen]\ntls = \"{}\"\nplaintext = \"{}\"\nwebsocket = \"{}\"\nwebsocket_plaintext = \"{}\"\n\n\
         [tls]\ncertificate = {}\nkey = {}\n\n\
         [tokens]\njwks = {}\naudience = \"iris\"\nissuer = \"iris\"\n{tokens}\n\
         [admin]\nlisten = \"\"\n\n\
         [connections]\nrings = {RINGS_MAX}\n\n\
         [storage]\ndurability = \"{}\"\n{storage}\n\
         [limits]\n",
        quoted(&directory.join("data")),
        plan.shards,
        at(false, true),
        at(false, false),
        at(true, true),
        at(true, false),
        key("server.pem"),
        key("server.key"),
        key("jwks.json"),
        plan.durability.name(),
    );
    for (name, value) in plan.raised() {
        let _ = writeln!(text, "{name} = {value}");
    }
    text
}

fn ready_address(line: &str, transport: Transport) -> Result<SocketAddr, BenchError> {
    let failed = |problem: String| BenchError::Child { program: "iris-gateway".to_owned(), problem };
    let ready: Ready = serde_json::from_str(line)
        .map_err(|error| failed(format!("printed {line:?} instead of its address: {error}")))?;
    let address = match (transport.websocket, transport.tls) {
        (false, true) => ready.listen,
        (false, false) => ready.plaintext,
        (true, true) => ready.websocket,
        (true, false) => ready.websocket_plaintext,
    };
    address.ok_or_else(|| failed(format!("does not listen on the transport asked for: {line}")))
}

/// Puts the gateway's settings and the raised limits into a report.
pub fn describe(plan: &GatewayPlan, report: &mut Report) {
    report.text("server.durability", plan.durability.name());
    report.text("server.transport", plan.transport.name());
    report.count("server.shards", u64::from(plan.shards));
    if !plan.is_running_already() {
        for (name, value) in plan.raised() {
            report.count(&format!("limits.raised.{name}"), u64::from(*value));
        }
    }
}

/// The address on loopback that connection `index` comes from: one each, so that limits by address see a crowd and
/// no address runs out of ports.
pub fn source_address(index: u32) -> SocketAddr {
    let (host, rest) = (index % 250, index / 250);
    let byte = |number: u32| u8::try_from(number).unwrap_or(0);
    SocketAddr::from((Ipv4Addr::new(127, byte(rest / 250 % 200) + 1, byte(rest % 250), byte(host) + 1), 0))
}

#[cfg(test)]
mod tests;
