//! `iris-gateway websocket-echo`: the server's codec, TLS and reactor without Iris behind them, so that conformance suites for
//! WebSocket can drive them. Every path, origin and subprotocol is taken, and every ping answered.
//!
//! Invariants
//! - A peer that does not read its echoes is not read.

use crate::bind::listeners;
use crate::commands::{complain, print_json};
use crate::exit::ExitStatus;
use crate::tls::Tickets;
use crate::tls::{ServerTls, TlsConn};
use iris_protocol::websocket::upgrade::read_request;
use iris_protocol::websocket::write::encode;
use iris_protocol::websocket::{
    Close, CloseStatus, Event as Message, Opcode, Reader, Role, Rules, WebSocketError,
};
use iris_reactor::{Config, Conn, Event, Reactor, Wait};
use serde_json::json;
use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::PathBuf;

/// Longest message that is echoed: what the public suites send at most.
const MESSAGE_BYTES_MAX: usize = 16 << 20;
/// Unsent bytes above which a peer is not read.
const UNSENT_BYTES_MAX: usize = 32 << 20;
const BACKLOG: i32 = 128;
const ANYBODY: Rules<'static> = Rules { path: None, subprotocol: None, origins: None };

/// Where to echo.
#[derive(Debug)]
pub struct EchoPlan {
    /// The address.
    pub listen: SocketAddr,
    /// Certificate and key, PEM; without them, plain TCP.
    pub tls: Option<(PathBuf, PathBuf)>,
}

/// Echoes until a signal ends the process.
pub fn run(plan: &EchoPlan) -> ExitStatus {
    let tickets = match Tickets::in_memory() {
        Ok(tickets) => tickets,
        Err(error) => return failed(error, ExitStatus::Failed),
    };
    let load = |(certificate, key): &(PathBuf, PathBuf)| ServerTls::load(certificate, key, tickets);
    let tls = plan.tls.as_ref().map(load).transpose();
    let tls = match tls {
        Ok(tls) => tls,
        Err(error) => return failed(error, ExitStatus::Config),
    };
    let mut reactor = match Reactor::new(&Config::default()) {
        Ok(reactor) => reactor,
        Err(error) => return failed(error, ExitStatus::IoUringUnavailable),
    };
    let (address, sockets) = match listeners(plan.listen, 1, BACKLOG) {
        Ok(bound) => bound,
        Err(error) => return failed(format_args!("{}: {error}", plan.listen), ExitStatus::PortTaken),
    };
    for socket in sockets {
        reactor.listen(socket);
    }
    print_json(&json!({ "ready": true, "listen": address.to_string(), "pid": std::process::id() }));
    let mut echo = Echo { reactor, tls, peers: HashMap::new() };
    loop {
        if let Err(error) = echo.turn() {
            return failed(error, ExitStatus::Panic);
        }
    }
}

fn failed(error: impl std::fmt::Display, status: ExitStatus) -> ExitStatus {
    complain(error);
    status
}

struct Echo {
    reactor: Reactor,
    tls: Option<ServerTls>,
    peers: HashMap<Conn, Peer>,
}

impl Echo {
    fn turn(&mut self) -> std::io::Result<()> {
        self.reactor.turn(Wait::Forever)?;
        while let Some(event) = self.reactor.next() {
            match event {
                Event::Accepted { conn, .. } => match self.tls.as_ref().map(ServerTls::conn).transpose() {
                    Ok(tls) => {
                        self.peers.insert(conn, Peer { tls, ..Peer::default() });
                    }
                    Err(_) => self.reactor.abort(conn),
                },
                Event::Received { conn, mut bytes } => {
                    if let Some(peer) = self.peers.get_mut(&conn) {
                        peer.receive(&mut bytes);
                        self.flush(conn);
                    }
                }
                Event::Sent { conn, .. } => self.flush(conn),
                Event::Closed { conn, .. } => {
                    self.peers.remove(&conn);
                }
                Event::Connected { .. }
                | Event::Detached { .. }
                | Event::Moved { .. }
                | Event::MoveFailed { .. }
                | Event::Arrived { .. }
                | Event::Written { .. }
                | Event::Synced { .. }
                | Event::Woken => {}
            }
        }
        Ok(())
    }

    /// Sends what waits, or stops reading a peer that has too much of it.
    fn flush(&mut self, conn: Conn) {
        let Some(peer) = self.peers.get_mut(&conn) else { return };
        if self.reactor.is_sending(conn) {
            if peer.out.len() > UNSENT_BYTES_MAX {
                self.reactor.pause(conn);
            }
            return;
        }
        let buffer = peer.take_outgoing();
        if !buffer.is_empty() {
            self.reactor.send(conn, buffer);
        }
        if peer.is_ended {
            self.reactor.close(conn);
        } else {
            self.reactor.resume(conn);
        }
    }
}

/// One connection.
#[derive(Default)]
struct Peer {
    tls: Option<TlsConn>,
    sealed: Vec<u8>,
    /// The request so far.
    head: Vec<u8>,
    /// Absent before the upgrade.
    reader: Option<Reader>,
    out: Vec<u8>,
    is_ended: bool,
}

impl Peer {
    fn receive(&mut self, bytes: &mut [u8]) {
        let Some(tls) = &mut self.tls else { return self.take(bytes) };
        let mut plain = Vec::new();
        let outcome = tls.receive(bytes, &mut self.sealed, |part| plain.extend_from_slice(part));
        self.take(&plain);
        self.is_ended |= outcome.is_err();
    }

    fn take(&mut self, bytes: &[u8]) {
        if self.is_ended {
            return;
        }
        if self.reader.is_some() {
            return self.take_messages(bytes);
        }
        self.head.extend_from_slice(bytes);
        match read_request(&self.head, &ANYBODY) {
            Ok(None) => {}
            Ok(Some(upgrade)) => {
                self.out.extend_from_slice(&upgrade.answer);
                self.reader = Some(Reader::new(Role::Server, true));
                let behind = self.head.split_off(upgrade.head_bytes);
                self.head = Vec::new();
                self.take_messages(&behind);
            }
            Err(refusal) => {
                self.out.extend_from_slice(&refusal.answer());
                self.is_ended = true;
            }
        }
    }

    fn take_messages(&mut self, mut bytes: &[u8]) {
        let Some(reader) = &mut self.reader else { return };
        loop {
            match reader.next(&mut bytes, MESSAGE_BYTES_MAX) {
                Ok(None) => return,
                Ok(Some(Message::Text(text))) => encode(Opcode::Text, &text, None, &mut self.out),
                Ok(Some(Message::Binary(body))) => encode(Opcode::Binary, &body, None, &mut self.out),
                Ok(Some(Message::Ping(payload))) => encode(Opcode::Pong, &payload, None, &mut self.out),
                Ok(Some(Message::Pong(_))) => {}
                Ok(Some(Message::Close(close))) => return self.close(close.map(|close| close.status)),
                Err(error) => return self.close(Some(WebSocketError::status(error))),
            }
        }
    }

    fn close(&mut self, status: Option<CloseStatus>) {
        let payload = status.map(|status| Close::payload(status, "")).unwrap_or_default();
        encode(Opcode::Close, &payload, None, &mut self.out);
        self.is_ended = true;
    }

    fn take_outgoing(&mut self) -> Vec<u8> {
        let plain = std::mem::take(&mut self.out);
        let Some(tls) = &mut self.tls else { return plain };
        if !plain.is_empty() && tls.seal(&plain, &mut self.sealed).is_err() {
            self.is_ended = true;
        }
        if self.is_ended {
            tls.close(&mut self.sealed);
        }
        std::mem::take(&mut self.sealed)
    }
}
