//! The floor of a login: the server's half of a rustls handshake in memory, and one Ed25519 verification.
//!
//! Invariants
//! - Only the server's calls are timed, by the thread's CPU time.
//! - The server's settings are the gateway's: TLS 1.3, one ticket a handshake.

use crate::channel::{Identity, Security};
use crate::error::BenchError;
use crate::report::Report;
use ring::signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey};
use rustix::time::{ClockId, clock_gettime};
use rustls::{ClientConfig, ClientConnection, HandshakeKind, ServerConfig, ServerConnection};
use rustls_pki_types::ServerName;
use std::sync::Arc;
use std::time::Duration;

/// Handshakes and verifications that are measured, after as many as a tenth of it unmeasured.
const COUNT: u32 = 2_000;
/// Signed bytes of a token: header and claims.
const TOKEN_BYTES: usize = 300;

/// CPU time of each step.
pub(super) struct Floors {
    full: Duration,
    resumed: Duration,
    verification: Duration,
}

impl Floors {
    /// Puts the steps, and a login as their sum, into a report.
    pub(super) fn describe(&self, report: &mut Report) {
        let us = |time: Duration| time.as_secs_f64() * 1e6;
        report.number("floor.handshake_full_us", us(self.full));
        report.number("floor.handshake_resumed_us", us(self.resumed));
        report.number("floor.verification_us", us(self.verification));
        for (name, handshake) in [("full", self.full), ("resumed", self.resumed)] {
            let login = handshake + self.verification;
            report.number(&format!("floor.{name}_cpu_us"), us(login));
            report.number(&format!("floor.{name}_per_second_a_core"), 1.0 / login.as_secs_f64());
        }
    }
}

/// Measures on the calling thread.
///
/// # Errors
/// rustls refused its own peer.
pub(super) fn measure() -> Result<Floors, BenchError> {
    let identity = Identity::generate()?;
    let (Security::TlsServer(server), Security::TlsClient(client)) = (identity.server()?, identity.client()?)
    else {
        unreachable!("an identity is TLS")
    };
    let mut server = (*server).clone();
    server.ticketer = rustls::crypto::ring::Ticketer::new().map_err(failed)?;
    server.session_storage = Arc::new(rustls::server::NoServerSessionStorage {});
    server.send_tls13_tickets = 1;
    let server = Arc::new(server);
    let mut resuming = (*client).clone();
    resuming.resumption = rustls::client::Resumption::in_memory_sessions(1);
    let full = handshakes(&server, &client, HandshakeKind::Full)?;
    // The first one fetches the ticket that the second one shows, and so on.
    let resuming = Arc::new(resuming);
    handshake(&server, &resuming)?;
    let resumed = handshakes(&server, &resuming, HandshakeKind::Resumed)?;
    Ok(Floors { full, resumed, verification: verifications()? })
}

fn handshakes(
    server: &Arc<ServerConfig>,
    client: &Arc<ClientConfig>,
    kind: HandshakeKind,
) -> Result<Duration, BenchError> {
    let mut sum = Duration::ZERO;
    for number in 0..COUNT + COUNT / 10 {
        let (took, seen) = handshake(server, client)?;
        if seen != kind {
            return Err(BenchError::Tls(format!("a handshake was {seen:?}, not {kind:?}")));
        }
        if number >= COUNT / 10 {
            sum += took;
        }
    }
    Ok(sum / COUNT)
}

/// One handshake, until both sides are done; gives the server's CPU time.
fn handshake(
    server: &Arc<ServerConfig>,
    client: &Arc<ClientConfig>,
) -> Result<(Duration, HandshakeKind), BenchError> {
    let name = ServerName::try_from("localhost").map_err(failed)?;
    let mut client = ClientConnection::new(Arc::clone(client), name).map_err(failed)?;
    let mut cpu = Duration::ZERO;
    let since = thread_cpu();
    let mut server = ServerConnection::new(Arc::clone(server)).map_err(failed)?;
    cpu += thread_cpu().saturating_sub(since);
    let (mut up, mut down) = (Vec::new(), Vec::new());
    while client.wants_write() || server.wants_write() {
        while client.wants_write() {
            client.write_tls(&mut up).map_err(failed)?;
        }
        let since = thread_cpu();
        let mut unread = up.as_slice();
        while !unread.is_empty() {
            server.read_tls(&mut unread).map_err(failed)?;
            server.process_new_packets().map_err(failed)?;
        }
        while server.wants_write() {
            server.write_tls(&mut down).map_err(failed)?;
        }
        cpu += thread_cpu().saturating_sub(since);
        let mut unread = down.as_slice();
        while !unread.is_empty() {
            client.read_tls(&mut unread).map_err(failed)?;
            client.process_new_packets().map_err(failed)?;
        }
        up.clear();
        down.clear();
    }
    let kind = server.handshake_kind().ok_or_else(|| BenchError::Tls("a handshake has no end".to_owned()))?;
    Ok((cpu, kind))
}

fn verifications() -> Result<Duration, BenchError> {
    let unusable = |_| BenchError::Tls("ring refused its own key".to_owned());
    let seed = [7_u8; 32];
    let pair = Ed25519KeyPair::from_seed_unchecked(&seed).map_err(unusable)?;
    let token = [b'x'; TOKEN_BYTES];
    let signature = pair.sign(&token);
    let key = UnparsedPublicKey::new(&ED25519, pair.public_key().as_ref());
    let since = thread_cpu();
    for _ in 0..COUNT {
        let verified = key.verify(&token, signature.as_ref());
        verified.map_err(|_| BenchError::Tls("ring refused its own signature".to_owned()))?;
    }
    Ok(thread_cpu().saturating_sub(since) / COUNT)
}

/// CPU time of this thread.
fn thread_cpu() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    Duration::new(seconds, u32::try_from(time.tv_nsec).unwrap_or(0))
}

fn failed(error: impl std::fmt::Display) -> BenchError {
    BenchError::Tls(error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The floor knows full handshakes from resumed ones, and times neither as nothing.
    #[test]
    fn both_kinds_of_handshake_are_measured() {
        let floors = measure().unwrap();
        assert!(floors.full > Duration::ZERO && floors.resumed > Duration::ZERO);
        assert!(floors.verification > Duration::ZERO);
    }
}
