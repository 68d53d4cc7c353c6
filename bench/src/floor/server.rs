//! The server side of the echo, routed and message floors: a child process, so that its CPU is counted apart.
//!
//! Every shard is a thread pinned to a core with a listener of its own on loopback, so that the load decides which
//! pair spans two cores. The process prints one line of JSON when it is ready and ends with its standard input.
//!
//! Invariants
//! - No thread but the shards does anything while load runs.

use super::relay::{Letter, Relay};
use super::rivals;
use super::work::Work;
use crate::channel::{Identity, Security};
use crate::error::BenchError;
use crate::host;
use crate::links::{LinkId, Links, Traffic, Wires};
use crate::options::{Engine, ServeArgs, ServeKind};
use iris_protocol::ShardId;
use iris_reactor::mail::{Post, mesh};
use iris_reactor::{CloseCause, Config, Peer, Wait};
use serde::{Deserialize, Serialize};
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Barrier, Mutex, PoisonError};

/// Letters in one ring between two cores.
const MAIL_CAPACITY: usize = 4096;

/// The line that a floor's server prints when it is ready.
#[derive(Debug, Serialize, Deserialize)]
pub struct Ready {
    /// One port for each shard.
    pub ports: Vec<u16>,
    /// The certificate in DER, with TLS.
    pub certificate: Option<Vec<u8>>,
}

/// Runs the server until standard input ends.
///
/// # Errors
/// A shard failed.
pub fn serve(args: &ServeArgs) -> Result<(), BenchError> {
    let identity = if args.tls { Some(Identity::generate()?) } else { None };
    let security = identity.as_ref().map_or(Ok(Security::Plain), Identity::server)?;
    let listeners = (0..args.shards)
        .map(|_| TcpListener::bind((Ipv4Addr::LOCALHOST, 0)))
        .collect::<Result<Vec<_>, _>>()
        .map_err(BenchError::io("listening on 127.0.0.1"))?;
    let ports =
        listeners.iter().filter_map(|listener| listener.local_addr().ok()).map(|address| address.port());
    let ready = Ready { ports: ports.collect(), certificate: identity.map(|identity| identity.certificate) };
    let (sender, news) = channel();
    start_shards(args, &security, listeners, &sender)?;
    end_with_input(sender)?;
    let mut listening = 0;
    for item in news {
        match item {
            News::Listening => listening += 1,
            News::Failed(error) => return Err(error),
            News::InputEnded => return Ok(()),
        }
        if listening == args.shards {
            print_line(&ready)?;
        }
    }
    Ok(())
}

/// What the threads tell the one that started them.
enum News {
    /// A shard accepts connections.
    Listening,
    /// A shard ended.
    Failed(BenchError),
    /// The parent is gone, or wants this process to end.
    InputEnded,
}

fn start_shards(
    args: &ServeArgs,
    security: &Security,
    listeners: Vec<TcpListener>,
    news: &Sender<News>,
) -> Result<(), BenchError> {
    let meeting = Arc::new(Meeting::new(args.shards));
    let posts = mesh::<Letter>(usize::from(args.shards), MAIL_CAPACITY);
    for ((index, listener), post) in (0..args.shards).zip(listeners).zip(posts) {
        let (args, security, news) = (args.clone(), security.clone(), news.clone());
        let meeting = Arc::clone(&meeting);
        let shard = move || {
            host::pin(index);
            // The receiver lives as long as the process: sending to it cannot fail before the end.
            let ready = || drop(news.send(News::Listening));
            let result = match args.kind {
                ServeKind::Echo => echo(args.engine, listener, security, ready),
                ServeKind::Routed | ServeKind::Message => {
                    relay(&args, ShardId(index), Seat { listener, security, post, meeting }, ready)
                }
            };
            if let Err(error) = result {
                drop(news.send(News::Failed(error)));
            }
        };
        std::thread::Builder::new()
            .name(format!("shard-{index}"))
            .spawn(shard)
            .map_err(BenchError::io("starting a shard"))?;
    }
    Ok(())
}

fn end_with_input(news: Sender<News>) -> Result<(), BenchError> {
    let watch = move || {
        // An error of the pipe ends it as well.
        drop(std::io::stdin().read_to_end(&mut Vec::new()));
        drop(news.send(News::InputEnded));
    };
    std::thread::Builder::new()
        .name("stdin".to_owned())
        .spawn(watch)
        .map(drop)
        .map_err(BenchError::io("watching standard input"))
}

fn print_line(ready: &Ready) -> Result<(), BenchError> {
    let line = serde_json::to_string(ready).map_err(|error| BenchError::Protocol(error.to_string()))?;
    let mut output = std::io::stdout().lock();
    writeln!(output, "{line}").and_then(|()| output.flush()).map_err(BenchError::io("standard output"))
}

fn echo(
    engine: Engine,
    listener: TcpListener,
    security: Security,
    ready: impl FnOnce(),
) -> Result<(), BenchError> {
    match engine {
        Engine::Uring => echo_on_the_reactor(listener, security, ready),
        Engine::Monoio => rivals::monoio(listener, security, ready),
        Engine::Glommio => rivals::glommio(listener, security, ready),
        Engine::Tokio => rivals::tokio(listener, security, ready),
    }
}

struct Echo;

impl Traffic for Echo {
    fn opened(&mut self, _: &mut Wires, _: LinkId) -> Result<(), BenchError> {
        Ok(())
    }

    fn received(&mut self, wires: &mut Wires, link: LinkId, bytes: &[u8]) -> Result<(), BenchError> {
        if let Some(out) = wires.out(link) {
            out.extend_from_slice(bytes);
        }
        Ok(())
    }

    fn closed(&mut self, _: &mut Wires, _: LinkId, _: CloseCause) -> Result<(), BenchError> {
        Ok(())
    }
}

fn echo_on_the_reactor(
    listener: TcpListener,
    security: Security,
    ready: impl FnOnce(),
) -> Result<(), BenchError> {
    let mut links = Links::new(&Config::default(), security)?;
    links.listen(listener);
    ready();
    loop {
        links.flush()?;
        links.turn(Wait::Forever, &mut Echo)?;
    }
}

/// Where the shards exchange the handles by which they wake each other.
struct Meeting {
    barrier: Barrier,
    peers: Mutex<Vec<Option<Peer>>>,
}

impl Meeting {
    fn new(shards: u16) -> Self {
        let peers = (0..shards).map(|_| None).collect();
        Self { barrier: Barrier::new(usize::from(shards)), peers: Mutex::new(peers) }
    }

    /// Leaves this shard's handle and gives those of all; blocks until all are there.
    fn exchange(&self, shard: ShardId, peer: Peer) -> Vec<Option<Peer>> {
        let lock = || self.peers.lock().unwrap_or_else(PoisonError::into_inner);
        lock()[usize::from(shard.0)] = Some(peer);
        self.barrier.wait();
        lock().clone()
    }
}

/// What a relay's thread is given.
struct Seat {
    listener: TcpListener,
    security: Security,
    post: Post<Letter>,
    meeting: Arc<Meeting>,
}

fn relay(args: &ServeArgs, shard: ShardId, seat: Seat, ready: impl FnOnce()) -> Result<(), BenchError> {
    let work = match args.kind {
        ServeKind::Message => Some(Work::new(&args.data_dir, shard.0, args.answer_bytes)?),
        ServeKind::Routed | ServeKind::Echo => None,
    };
    let mut links = Links::new(&Config::default(), seat.security)?;
    let peers = seat.meeting.exchange(shard, links.reactor().peer());
    links.listen(seat.listener);
    ready();
    let mut relay = Relay::new(shard, seat.post, work);
    loop {
        relay.tick(links.wires())?;
        links.flush()?;
        for to in relay.post().take_wakes() {
            if let Some(Some(peer)) = peers.get(to) {
                links.reactor().wake(peer);
            }
        }
        let idle = !relay.has_waiting() && relay.post().before_sleep();
        let wait = if idle { Wait::Forever } else { Wait::Poll };
        links.turn(wait, &mut relay)?;
        relay.post().after_sleep();
    }
}
