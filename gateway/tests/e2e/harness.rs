//! Starts, kills and asks a gateway in a folder of its own.

use bytes::Bytes;
use iris_client::driver::{Driver, DriverConfig, Notice};
use iris_client::endpoint::Endpoint;
use iris_client::session::{Backoff, Event, Message, SessionConfig};
use iris_client::state::Target;
use iris_client::token::TokenSource;
use iris_protocol::{MessageId, UserId};
use serde_json::Value;
use std::ffi::OsString;
use std::fmt::Write as _;
use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// Long enough for a busy host; every wait ends with its event, this is only when a test gives up.
pub(crate) const PATIENCE: Duration = Duration::from_mins(1);

/// All clients of a test come from one address; a test of the limits of addresses says so in its environment.
const CROWDS_FROM_ONE_ADDRESS: [(&str, &str); 2] = [
    ("IRIS__LIMITS__UNAUTHENTICATED_PER_ADDRESS", "10000"),
    ("IRIS__LIMITS__HANDSHAKES_PER_SECOND_PER_ADDRESS", "10000"),
];

/// What a gateway is started with.
#[derive(Clone)]
pub(crate) struct Setup {
    pub(crate) durability: &'static str,
    pub(crate) shards: u16,
    pub(crate) level: &'static str,
    /// Above so much memory newcomers are refused; "0B": as shipped.
    pub(crate) memory: &'static str,
    pub(crate) extra: String,
    /// Where TLS is served at the first start.
    pub(crate) tls: String,
    /// Serve WebSocket, too.
    pub(crate) websocket: bool,
    /// Where the admin port is at the first start; "" for none.
    pub(crate) admin: &'static str,
    /// Names in the certificate beside those of this host.
    pub(crate) names: Vec<String>,
    /// The data directory, if it is not in the gateway's own folder.
    pub(crate) data_dir: Option<PathBuf>,
    /// A command that becomes the gateway: its name and first arguments.
    pub(crate) prefix: Vec<String>,
    pub(crate) environment: Vec<(&'static str, OsString)>,
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            durability: "fsync",
            shards: 2,
            level: "info",
            memory: "0B",
            extra: String::new(),
            tls: lasting_address(),
            websocket: false,
            admin: "",
            names: Vec::new(),
            data_dir: None,
            prefix: Vec::new(),
            environment: Vec::new(),
        }
    }
}

/// A gateway process and its folder.
pub(crate) struct Gateway {
    pub(crate) dir: TempDir,
    setup: Setup,
    child: Option<Child>,
    tls: String,
    plaintext: String,
    websocket: String,
    websocket_plaintext: String,
    admin: String,
    pub(crate) started_in: Duration,
}

pub(crate) fn run(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_iris-gateway")).args(args).output().unwrap()
}

fn must(args: &[&str]) -> String {
    let output = run(args);
    assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// An address of loopback that stays this gateway's while its process is killed and started again. A port that the
/// kernel gives (`:0`) may go to any other test in the meantime, whose server would answer this one's clients.
fn lasting_address() -> String {
    /// Below the ports that kernels give out.
    const PORTS: std::ops::Range<u16> = 10_000..32_000;
    static TAKEN: AtomicU32 = AtomicU32::new(0);
    for _ in 0..1_000 {
        // Tests run in processes of their own: neighbours begin far from each other.
        let seed =
            std::process::id().wrapping_mul(40_503).wrapping_add(TAKEN.fetch_add(1, Ordering::Relaxed));
        let port = PORTS.start + u16::try_from(seed % u32::from(PORTS.end - PORTS.start)).unwrap();
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return format!("127.0.0.1:{port}");
        }
    }
    panic!("no port of {PORTS:?} is free");
}

impl Gateway {
    pub(crate) fn start(setup: Setup) -> Self {
        let dir = TempDir::new().unwrap();
        let path = dir.path().to_str().unwrap();
        must(&["token", "keygen", "--out", path]);
        let names = setup.names.iter().flat_map(|name| ["--name", name]);
        must(&["tls", "selfsigned", "--out", path].into_iter().chain(names).collect::<Vec<_>>());
        if !setup.admin.is_empty() {
            must(&["admin", "keygen", "--out", &format!("{path}/admin.credential")]);
        }
        let websocket = || if setup.websocket { lasting_address() } else { String::new() };
        let (websocket, websocket_plaintext) = (websocket(), websocket());
        let mut gateway = Self {
            dir,
            child: None,
            tls: setup.tls.clone(),
            admin: setup.admin.to_owned(),
            setup,
            plaintext: lasting_address(),
            websocket,
            websocket_plaintext,
            started_in: Duration::ZERO,
        };
        gateway.restart();
        gateway
    }

    /// Changes the setup for the next start.
    pub(crate) fn set(&mut self, change: impl FnOnce(&mut Setup)) {
        change(&mut self.setup);
    }

    /// Changes the configuration file of the process that runs, and sends SIGHUP; waits for its answer, and gives it.
    pub(crate) fn reload(&mut self, change: impl FnOnce(&mut Setup)) -> String {
        let answers = |log: &str| log.lines().filter(|line| line.contains("reloaded:")).count();
        let before = answers(&self.log());
        self.set(change);
        self.write_config();
        signal(self.pid(), "HUP");
        wait_until("the reload to end", || answers(&self.log()) > before);
        self.log().lines().rfind(|line| line.contains("reloaded:")).unwrap().to_owned()
    }

    fn write_config(&self) {
        let dir = self.dir.path().display();
        let Setup { durability, shards, level, memory, extra, .. } = &self.setup;
        let data_dir = self.data_dir();
        let credential =
            if self.admin.is_empty() { String::new() } else { format!("{dir}/admin.credential") };
        let mut config = String::new();
        write!(
            config,
            "[server]\ndata_dir = \"{}\"\nshards = {shards}\ndrain = \"5s\"\nmemory = \"{memory}\"\n\
             [listen]\ntls = \"{}\"\nplaintext = \"{}\"\n\
             websocket = \"{}\"\nwebsocket_plaintext = \"{}\"\n\
             [tls]\ncertificate = \"{dir}/server.pem\"\nkey = \"{dir}/server.key\"\n\
             [tokens]\njwks = \"{dir}/jwks.json\"\n\
             [storage]\ndurability = \"{durability}\"\nsegment_bytes = \"16MiB\"\nballast = \"1MiB\"\n\
             [admin]\nlisten = \"{}\"\ncredential = \"{credential}\"\n\
             [log]\nlevel = \"{level}\"\nformat = \"json\"\n{extra}",
            data_dir.display(),
            self.tls,
            self.plaintext,
            self.websocket,
            self.websocket_plaintext,
            self.admin,
        )
        .unwrap();
        std::fs::write(self.config(), config).unwrap();
    }

    pub(crate) fn data_dir(&self) -> PathBuf {
        self.setup.data_dir.clone().unwrap_or_else(|| self.dir.path().join("data"))
    }

    pub(crate) fn config(&self) -> PathBuf {
        self.dir.path().join("iris.toml")
    }

    pub(crate) fn log_file(&self) -> PathBuf {
        self.dir.path().join("log")
    }

    /// Starts the process, on the same ports as before, and waits until it serves.
    pub(crate) fn restart(&mut self) {
        let started = self.try_restart();
        assert!(started.is_ok(), "the gateway did not start: {started:?}\n{}", self.log());
    }

    /// As `restart`; the exit status if it ends instead.
    pub(crate) fn try_restart(&mut self) -> Result<(), Option<i32>> {
        assert!(self.child.is_none(), "already running");
        self.write_config();
        let log = std::fs::OpenOptions::new().append(true).create(true).open(self.log_file()).unwrap();
        let started = Instant::now();
        let gateway = env!("CARGO_BIN_EXE_iris-gateway");
        let mut command = self.setup.prefix.iter().map(String::as_str).chain([gateway]);
        let mut child = Command::new(command.next().unwrap())
            .args(command)
            .args(["serve", "--insecure-plaintext", "--config"])
            .arg(self.config())
            .envs(CROWDS_FROM_ONE_ADDRESS)
            .envs(self.setup.environment.iter().cloned())
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .unwrap();
        let mut line = String::new();
        let mut out = BufReader::new(child.stdout.take().unwrap());
        out.read_line(&mut line).unwrap();
        let Ok(ready) = serde_json::from_str::<Value>(&line) else {
            return Err(child.wait().unwrap().code());
        };
        self.started_in = started.elapsed();
        ready["listen"].as_str().unwrap().clone_into(&mut self.tls);
        ready["plaintext"].as_str().unwrap().clone_into(&mut self.plaintext);
        ready["websocket"].as_str().unwrap_or_default().clone_into(&mut self.websocket);
        ready["websocket_plaintext"].as_str().unwrap_or_default().clone_into(&mut self.websocket_plaintext);
        ready["admin"].as_str().unwrap_or_default().clone_into(&mut self.admin);
        // The pipe stays open for the stats line.
        child.stdout = Some(out.into_inner());
        self.child = Some(child);
        Ok(())
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.as_ref().unwrap().id()
    }

    /// SIGKILL.
    pub(crate) fn kill(&mut self) {
        let mut child = self.child.take().unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
    }

    pub(crate) fn has_ended(&mut self) -> bool {
        self.child.as_mut().unwrap().try_wait().unwrap().is_some()
    }

    /// Waits until the process has ended by itself, or by a signal sent before; the exit status.
    pub(crate) fn ended(&mut self) -> Option<i32> {
        let mut status = None;
        let child = self.child.as_mut().unwrap();
        wait_until("the process to end", || {
            status = child.try_wait().unwrap();
            status.is_some()
        });
        self.child = None;
        status.unwrap().code()
    }

    /// SIGTERM; the exit status.
    pub(crate) fn terminate(&mut self) -> Option<i32> {
        let mut child = self.child.take().unwrap();
        signal(child.id(), "TERM");
        child.wait().unwrap().code()
    }

    /// The figures of all cores, through SIGUSR1.
    pub(crate) fn stats(&mut self) -> Value {
        let child = self.child.as_mut().unwrap();
        let mut out = BufReader::new(child.stdout.take().unwrap());
        signal(child.id(), "USR1");
        let mut line = String::new();
        out.read_line(&mut line).unwrap();
        child.stdout = Some(out.into_inner());
        serde_json::from_str(&line).unwrap()
    }

    /// As `stats`, once the cores have published this figure: they do so ten times a second.
    pub(crate) fn stats_with(&mut self, name: &str, value: u64) -> Value {
        let until = Instant::now() + PATIENCE;
        loop {
            let stats = self.stats();
            if stats[name] == value || Instant::now() > until {
                assert_eq!(stats[name], value, "{name} in {stats}");
                return stats;
            }
        }
    }

    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.log_file()).unwrap_or_default()
    }

    /// How many cores have started so far with nothing to replay.
    pub(crate) fn clean_recoveries(&self) -> usize {
        let log = self.log();
        let is_clean = |line: &&str| line.contains("\"recovered\"") && line.contains("\"records\":0,");
        log.lines().filter(is_clean).count()
    }

    pub(crate) fn token(&self, user: &str, device: &str) -> String {
        self.token_for(user, device, "24h")
    }

    /// A token that is valid for so long.
    pub(crate) fn token_for(&self, user: &str, device: &str, ttl: &str) -> String {
        let key = self.dir.path().join("issuer.key");
        let key = key.to_str().unwrap();
        let bearer = ["--user", user, "--device", device, "--ttl", ttl];
        must(&[&["token", "issue", "--key", key], &bearer[..]].concat()).trim().to_owned()
    }

    /// The TLS endpoint, checked against the generated authority.
    pub(crate) fn over_tls(&self) -> Endpoint {
        Endpoint::tls(&self.tls, &self.dir.path().join("ca.pem")).unwrap()
    }

    pub(crate) fn over_tcp(&self) -> Endpoint {
        Endpoint::insecure_plaintext(&self.plaintext).unwrap()
    }

    /// The WebSocket port, over TLS.
    pub(crate) fn over_websocket(&self) -> Endpoint {
        Endpoint::tls(&self.websocket, &self.dir.path().join("ca.pem")).unwrap().over_websocket()
    }

    pub(crate) fn websocket_address(&self) -> &str {
        &self.websocket
    }

    pub(crate) fn websocket_plaintext_address(&self) -> &str {
        &self.websocket_plaintext
    }

    pub(crate) fn tls_address(&self) -> &str {
        &self.tls
    }

    pub(crate) fn admin_address(&self) -> &str {
        &self.admin
    }

    pub(crate) fn plaintext_address(&self) -> &str {
        &self.plaintext
    }

    pub(crate) fn state_file(&self, user: &str, device: &str) -> PathBuf {
        self.dir.path().join(format!("{user}-{device}.state"))
    }

    /// A device that keeps its state in a file.
    pub(crate) fn device(&self, endpoint: Endpoint, user: &str, device: &str) -> Driver {
        let token = TokenSource::Fixed(self.token(user, device));
        let state = Some(self.state_file(user, device));
        Driver::new(DriverConfig { state, session: session(user), ..DriverConfig::new(endpoint, token) })
            .unwrap()
    }
}

impl Gateway {
    /// A device without a state file: a second hand on the same token.
    pub(crate) fn stateless(&self, endpoint: Endpoint, user: &str, device: &str) -> Driver {
        let token = TokenSource::Fixed(self.token(user, device));
        Driver::new(DriverConfig { session: session(user), ..DriverConfig::new(endpoint, token) }).unwrap()
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        if std::thread::panicking() {
            println!("the gateway's log:\n{}", self.log());
        }
        if let Some(mut child) = self.child.take() {
            let _ended_already = child.kill();
            let _ended_already = child.wait();
        }
    }
}

/// A session that comes back fast and has jitter of its own.
fn session(user: &str) -> SessionConfig {
    let backoff = Backoff {
        base: Duration::from_millis(20),
        cap: Duration::from_millis(200),
        stable_after: Duration::from_millis(100),
    };
    let jitter_seed =
        user.bytes().fold(7_u64, |seed, byte| seed.wrapping_mul(31).wrapping_add(u64::from(byte)));
    SessionConfig { backoff, jitter_seed, answer_timeout: Duration::from_secs(2), ..SessionConfig::default() }
}

pub(crate) fn signal(pid: u32, name: &str) {
    let status = Command::new("kill").args([format!("-{name}"), pid.to_string()]).status().unwrap();
    assert!(status.success(), "kill -{name} {pid}");
}

/// Says why a test proves nothing here.
pub(crate) fn skip(why: &str) {
    println!("SKIPPED: {why}");
}

pub(crate) fn to(user: &str) -> Target {
    Target::To(UserId::parse(user).unwrap())
}

/// Waits for something that nobody tells.
pub(crate) fn wait_until(what: &str, mut is_true: impl FnMut() -> bool) {
    let until = Instant::now() + PATIENCE;
    while !is_true() {
        assert!(Instant::now() < until, "waited in vain for {what}");
        std::thread::park_timeout(Duration::from_millis(5));
    }
}

/// Waits for the first notice that `pick` takes.
pub(crate) fn wait_for<T>(device: &mut Driver, what: &str, mut pick: impl FnMut(&Notice) -> Option<T>) -> T {
    let until = Instant::now() + PATIENCE;
    let mut seen = Vec::new();
    loop {
        let left = until.saturating_duration_since(Instant::now());
        let Some(notice) = device.next(left).unwrap() else {
            panic!("{}: no {what}; saw {seen:#?}", device.claims().user);
        };
        if let Some(found) = pick(&notice) {
            return found;
        }
        seen.push(notice);
    }
}

pub(crate) fn wait_welcome(device: &mut Driver) -> iris_client::session::Welcome {
    wait_for(device, "welcome", |notice| match notice {
        Notice::Event(Event::Welcome(welcome)) => Some(welcome.clone()),
        Notice::Event(_) | Notice::Sending { .. } | Notice::Lost { .. } => None,
    })
}

pub(crate) fn wait_message(device: &mut Driver) -> Message {
    wait_for(device, "message", |notice| match notice {
        Notice::Event(Event::Message(message)) => Some(message.clone()),
        Notice::Event(_) | Notice::Sending { .. } | Notice::Lost { .. } => None,
    })
}

/// Waits for the next message of this user; the device's own may come again after a break.
pub(crate) fn wait_message_of(device: &mut Driver, sender: &str) -> Message {
    wait_for(device, "message", |notice| match notice {
        Notice::Event(Event::Message(message)) if message.sender.as_str() == sender => Some(message.clone()),
        Notice::Event(_) | Notice::Sending { .. } | Notice::Lost { .. } => None,
    })
}

/// Sends one text and waits until it is accepted.
pub(crate) fn send_accepted(device: &mut Driver, target: Target, text: &str) -> MessageId {
    device.submit(target, Bytes::copy_from_slice(text.as_bytes())).unwrap();
    wait_for(device, "acceptance", |notice| match notice {
        Notice::Event(Event::Accepted(accepted)) => Some(accepted.message_id),
        Notice::Event(_) | Notice::Sending { .. } | Notice::Lost { .. } => None,
    })
}

/// Reads until everything that waited at the login has come: the texts.
pub(crate) fn caught_up(device: &mut Driver) -> Vec<String> {
    let mut texts = Vec::new();
    wait_for(device, "the end of what waited", |notice| match notice {
        Notice::Event(Event::CaughtUp { .. }) => Some(()),
        Notice::Event(Event::Message(message)) => {
            texts.push(text(message));
            None
        }
        Notice::Event(_) | Notice::Sending { .. } | Notice::Lost { .. } => None,
    });
    texts
}

pub(crate) fn text(message: &Message) -> String {
    String::from_utf8(message.payload.to_vec()).unwrap()
}

/// Bytes of a folder's regular files.
pub(crate) fn folder_files(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { files.extend(folder_files(&path)) } else { files.push(path) }
    }
    files
}
