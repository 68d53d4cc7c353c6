//! The attackers: many connections from many addresses, on a thread of their own.
//!
//! Invariants
//! - At most so many connections at the same time, and so many new ones a second: the load is bounded, and ends when told.
//! - What the server does to an attacker is counted, never an error of the run.

use crate::channel::Security;
use crate::clock::Clock;
use crate::drive::load_config;
use crate::error::BenchError;
use crate::links::{Ending, LinkId, Links, Traffic, Wires};
use clap::ValueEnum;
use hashbrown::HashMap;
use iris_client::DeviceState;
use iris_client::session::{Output, Session, SessionConfig};
use iris_protocol::frame::encode_client;
use iris_protocol::{Mono, UserId};
use iris_reactor::{CloseCause, Wait};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

/// How often a slow attacker sends its next byte.
const DRIP: Duration = Duration::from_secs(1);
/// Longest wait of a turn: new connections are paced.
const TURN: Duration = Duration::from_millis(5);
/// What looks like the begin of a ClientHello of 512 bytes: a server waits for its rest.
const CLIENT_HELLO: [u8; 9] = [0x16, 0x03, 0x01, 0x02, 0x00, 0x01, 0x00, 0x01, 0xfc];
/// A length of 2 GiB.
const OVERSIZED: [u8; 4] = [0x7f, 0xff, 0xff, 0xff];
/// Bytes that are no protocol.
const GARBAGE: [u8; 64] = [0xe7; 64];

/// What attackers do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Attack {
    /// Connect and say nothing.
    Silent,
    /// A ClientHello, one byte a second.
    Slow,
    /// Connect and reset.
    Resets,
    /// Bytes that are no protocol.
    Garbage,
    /// Full TLS handshakes, and nothing after them.
    Handshakes,
    /// A frame of 2 GiB, after a handshake.
    Oversized,
    /// A token that nobody signed, after a handshake.
    Forged,
}

impl Attack {
    /// Every one.
    pub const ALL: [Self; 7] = [
        Self::Silent,
        Self::Slow,
        Self::Resets,
        Self::Garbage,
        Self::Handshakes,
        Self::Oversized,
        Self::Forged,
    ];

    /// Its name, as typed.
    pub fn name(self) -> &'static str {
        match self {
            Self::Silent => "silent",
            Self::Slow => "slow",
            Self::Resets => "resets",
            Self::Garbage => "garbage",
            Self::Handshakes => "handshakes",
            Self::Oversized => "oversized",
            Self::Forged => "forged",
        }
    }

    /// True if it begins with a handshake.
    fn needs_tls(self) -> bool {
        match self {
            Self::Handshakes | Self::Oversized | Self::Forged => true,
            Self::Silent | Self::Slow | Self::Resets | Self::Garbage => false,
        }
    }
}

/// How large an attack is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Size {
    /// Connections at the same time.
    pub(super) connections: u32,
    /// Addresses that they come from.
    pub(super) addresses: u32,
    /// New connections a second.
    pub(super) per_second: f64,
}

/// What attackers did, and met.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Toll {
    /// Connections begun.
    pub(super) begun: u64,
    /// Connections over which bytes could be sent.
    pub(super) opened: u64,
    /// Connections that the server ended.
    pub(super) ended_by_server: u64,
    /// Most connections at the same time.
    pub(super) most: u64,
}

/// Attackers at work.
pub(super) struct Siege {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Result<Toll, BenchError>>,
}

impl Siege {
    /// Begins.
    ///
    /// # Errors
    /// No thread.
    pub(super) fn begin(
        attack: Attack,
        size: Size,
        server: SocketAddr,
        security: &Security,
    ) -> Result<Self, BenchError> {
        let stop = Arc::new(AtomicBool::new(false));
        let seen = Arc::clone(&stop);
        let security = if attack.needs_tls() { security.clone() } else { Security::Plain };
        let work = move || Attackers::new(attack, size, server).work(security, &seen);
        let thread = std::thread::Builder::new().name("attackers".to_owned()).spawn(work);
        Ok(Self { stop, thread: thread.map_err(BenchError::io("starting the attackers"))? })
    }

    /// Ends, with all its connections.
    ///
    /// # Errors
    /// The attackers could not go on.
    pub(super) fn end(self) -> Result<Toll, BenchError> {
        self.stop.store(true, Ordering::Release);
        let joined = self.thread.join();
        joined.map_err(|_| BenchError::Protocol("the attackers panicked".to_owned()))?
    }
}

/// The connections of an attack.
struct Attackers {
    attack: Attack,
    size: Size,
    server: SocketAddr,
    clock: Clock,
    /// How many bytes of its ClientHello each has sent.
    conns: HashMap<LinkId, usize>,
    left: Vec<LinkId>,
    forged: Vec<u8>,
    toll: Toll,
}

impl Attackers {
    fn new(attack: Attack, size: Size, server: SocketAddr) -> Self {
        Self {
            attack,
            size,
            server,
            clock: Clock::start(),
            conns: HashMap::new(),
            left: Vec::new(),
            forged: forged_hello(),
            toll: Toll::default(),
        }
    }

    fn work(mut self, security: Security, stop: &AtomicBool) -> Result<Toll, BenchError> {
        let mut links = Links::new(&load_config(), security)?;
        let begun = self.clock.now();
        let mut next_drip = begun.after(DRIP);
        while !stop.load(Ordering::Acquire) {
            let now = self.clock.now();
            self.connect(&mut links, now.since(begun))?;
            if now >= next_drip {
                next_drip = now.after(DRIP);
                self.drip(links.wires());
            }
            for link in std::mem::take(&mut self.left) {
                links.wires().end(link, Ending::Abort);
            }
            let turned = links
                .flush()
                .and_then(|()| links.turn(Wait::Until(self.clock.instant(now.after(TURN))), &mut self));
            match turned {
                // A handshake that the server cut short.
                Ok(_) | Err(BenchError::Tls(_)) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(self.toll)
    }

    fn connect(&mut self, links: &mut Links, since: Duration) -> Result<(), BenchError> {
        let due = crate::schedule::exact(self.toll.begun) < self.size.per_second * since.as_secs_f64();
        let mut room = if due { 64 } else { 0 };
        while room > 0 && self.conns.len() < self.size.connections as usize {
            let from = self.server.ip().is_loopback().then(|| self.address());
            let link = links.connect(self.server, from)?;
            self.conns.insert(link, 0);
            self.toll.begun += 1;
            self.toll.most = self.toll.most.max(u64::try_from(self.conns.len()).unwrap_or(u64::MAX));
            room -= 1;
        }
        Ok(())
    }

    /// One of the attackers' addresses: no honest connection of a load has it.
    fn address(&self) -> SocketAddr {
        let index = u32::try_from(self.toll.begun % u64::from(self.size.addresses)).unwrap_or(0);
        let byte = |number: u32| u8::try_from(number).unwrap_or(0);
        let ip = Ipv4Addr::new(
            127,
            240 + byte(index / 62_500 % 15),
            byte(index / 250 % 250),
            byte(index % 250) + 1,
        );
        SocketAddr::from((ip, 0))
    }

    fn drip(&mut self, wires: &mut Wires) {
        if self.attack != Attack::Slow {
            return;
        }
        let links: Vec<LinkId> =
            self.conns.iter().filter(|(_, sent)| **sent > 0).map(|(link, _)| *link).collect();
        for link in links {
            self.drop_of_hello(wires, link);
        }
    }

    fn drop_of_hello(&mut self, wires: &mut Wires, link: LinkId) {
        let Some(sent) = self.conns.get_mut(&link) else { return };
        if let Some(out) = wires.out(link) {
            out.push(CLIENT_HELLO.get(*sent).copied().unwrap_or(0));
            *sent += 1;
        }
    }
}

impl Traffic for Attackers {
    fn opened(&mut self, wires: &mut Wires, link: LinkId) -> Result<(), BenchError> {
        self.toll.opened += 1;
        let bytes: &[u8] = match self.attack {
            Attack::Silent | Attack::Handshakes => &[],
            Attack::Slow => {
                self.drop_of_hello(wires, link);
                &[]
            }
            Attack::Resets => {
                self.left.push(link);
                &[]
            }
            Attack::Garbage => &GARBAGE,
            Attack::Oversized => &OVERSIZED,
            Attack::Forged => &self.forged,
        };
        if !bytes.is_empty()
            && let Some(out) = wires.out(link)
        {
            out.extend_from_slice(bytes);
        }
        Ok(())
    }

    fn received(&mut self, _: &mut Wires, _: LinkId, _: &[u8]) -> Result<(), BenchError> {
        Ok(())
    }

    fn closed(&mut self, _: &mut Wires, link: LinkId, cause: CloseCause) -> Result<(), BenchError> {
        self.conns.remove(&link);
        self.toll.ended_by_server += u64::from(cause != CloseCause::Local);
        Ok(())
    }
}

/// A Hello with a token of the right shape that no issuer signed.
fn forged_hello() -> Vec<u8> {
    // {"alg":"EdDSA","typ":"JWT","kid":"k"} and {"sub":"u0","dev":"d1"}, with a signature of zeros.
    let token = format!(
        "eyJhbGciOiJFZERTQSIsInR5cCI6IkpXVCIsImtpZCI6ImsifQ.eyJzdWIiOiJ1MCIsImRldiI6ImQxIn0.{}",
        "A".repeat(86)
    );
    let mut hello = Vec::new();
    let Ok(user) = UserId::parse("u0") else { return hello };
    let mut session = Session::new(SessionConfig::default(), user, DeviceState::default());
    session.connected(Mono(0), &token);
    while let Some(output) = session.poll() {
        if let Output::Frame(frame) = output {
            encode_client(frame, &mut hello);
        }
    }
    hello
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The forged Hello is a whole frame: what the server refuses is its token.
    #[test]
    fn a_forged_hello_is_a_frame() {
        let hello = forged_hello();
        let mut seen = 0;
        crate::framing::split(&mut Vec::new(), &hello, |body| {
            assert!(iris_protocol::frame::decode_client(bytes::Bytes::copy_from_slice(body)).is_ok());
            seen += 1;
            Ok(())
        })
        .unwrap();
        assert_eq!(seen, 1);
    }

    /// No attacker comes from an address that honest connections come from, and as many addresses are used as asked for.
    #[test]
    fn attackers_have_addresses_of_their_own() {
        let size = Size { connections: 10_000, addresses: 1_000, per_second: 1.0 };
        let server = SocketAddr::from((Ipv4Addr::LOCALHOST, 1));
        let mut attackers = Attackers::new(Attack::Silent, size, server);
        let mut seen = std::collections::BTreeSet::new();
        for begun in 0..3_000 {
            attackers.toll.begun = begun;
            seen.insert(attackers.address());
        }
        assert_eq!(seen.len(), 1_000);
        let honest: std::collections::BTreeSet<_> =
            (0..100_000).map(crate::gateway::source_address).collect();
        assert!(seen.is_disjoint(&honest));
    }
}
