//! The load against a small server that keeps the protocol, or breaks a promise in one way: each way is caught.
#![cfg(test)]

use bytes::Bytes;
use hashbrown::HashMap;
use iris_bench::channel::Security;
use iris_bench::drive::{Driven, Nobody, Target, drive};
use iris_bench::error::BenchError;
use iris_bench::fleet::Partners;
use iris_bench::framing;
use iris_bench::gateway::{Gateway, GatewayPlan, Keyring};
use iris_bench::links::{LinkId, Links, Traffic, Wires};
use iris_bench::options::{DurabilityArg, GatewayArgs};
use iris_bench::plan::{Span, TrafficPlan};
use iris_protocol::frame::{decode_client, encode_server};
use iris_protocol::wire::{self, client_frame, server_frame};
use iris_protocol::{ConversationId, Generation, Offset, UserId};
use iris_reactor::{CloseCause, Config, Wait, Waker};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::channel;
use std::thread::JoinHandle;
use std::time::Duration;

/// How the server breaks its promise, for every tenth message.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Breach {
    None,
    Lose,
    Double,
    Swap,
    Flip,
    Refuse,
    /// All messages: nothing is ever answered.
    Silence,
}

#[derive(Clone)]
struct Message {
    sender: UserId,
    to: UserId,
    send: wire::Send,
}

#[derive(Default)]
struct Conversation {
    last: u64,
    /// The last sequence that each of the two has.
    seen: HashMap<UserId, u64>,
}

struct Server {
    breach: Breach,
    taken: u64,
    users: HashMap<LinkId, UserId>,
    links: HashMap<UserId, LinkId>,
    offsets: HashMap<UserId, u64>,
    conversations: HashMap<ConversationId, Conversation>,
    held: HashMap<UserId, Message>,
}

impl Server {
    fn answer(&self, wires: &mut Wires, user: &UserId, frame: server_frame::Frame) {
        if let Some(out) = self.links.get(user).and_then(|link| wires.out(*link)) {
            encode_server(frame, out);
        }
    }

    fn offset(&mut self, user: &UserId) -> u64 {
        let offset = self.offsets.entry(user.clone()).or_insert(0);
        *offset += 1;
        Offset::new(Generation(1), *offset).0
    }

    fn hello(&mut self, wires: &mut Wires, link: LinkId, hello: &wire::Hello) {
        let user = UserId::parse(&hello.token).unwrap();
        self.users.insert(link, user.clone());
        self.links.insert(user.clone(), link);
        let welcome = wire::Welcome {
            version: 1,
            incarnation: vec![1; 16].into(),
            linked_now: true,
            window: hello.window,
            send_window: 100,
            heartbeat_s: 60,
            limits: Some(wire::Limits::default()),
            durability: wire::Durability::Os.into(),
            ..wire::Welcome::default()
        };
        self.answer(wires, &user, server_frame::Frame::Welcome(welcome));
    }

    fn send(&mut self, wires: &mut Wires, message: Message) {
        self.taken += 1;
        let breach = if self.taken.is_multiple_of(10) { self.breach } else { Breach::None };
        if self.breach == Breach::Silence {
            return;
        }
        if breach == Breach::Swap {
            self.held.insert(message.sender.clone(), message);
            return;
        }
        let held = self.held.remove(&message.sender);
        self.accept(wires, &message, breach);
        if breach == Breach::Double {
            self.deliver(wires, &message, breach);
        }
        if let Some(held) = held {
            self.accept(wires, &held, Breach::None);
        }
    }

    fn accept(&mut self, wires: &mut Wires, message: &Message, breach: Breach) {
        let Message { sender, to, send } = message;
        if breach == Breach::Refuse {
            let rejected = wire::Rejected {
                request_id: send.request_id,
                message_id: Some(send.message_id.clone()),
                code: iris_protocol::RejectCode::Forbidden.number(),
                retry_after_ms: None,
                server_time: 1,
            };
            return self.answer(wires, sender, server_frame::Frame::Rejected(rejected));
        }
        self.deliver(wires, message, breach);
        let offset = self.offset(sender);
        let id = ConversationId::direct(sender, to);
        let conversation = self.conversations.entry(id.clone()).or_default();
        let sequence = conversation.last;
        let previous = conversation.seen.insert(sender.clone(), sequence).unwrap_or(0);
        let accepted = wire::Accepted {
            request_id: send.request_id,
            message_id: send.message_id.clone(),
            conversation: id.as_str().to_owned(),
            sequence,
            server_time: 1,
            durability: wire::Durability::Os.into(),
            offset: Some(offset),
            previous_sequence: previous,
        };
        self.answer(wires, sender, server_frame::Frame::Accepted(accepted));
    }

    /// Takes the next sequence and brings the message to its recipient.
    fn deliver(&mut self, wires: &mut Wires, message: &Message, breach: Breach) {
        let Message { sender, to, send } = message;
        let id = ConversationId::direct(sender, to);
        let conversation = self.conversations.entry(id.clone()).or_default();
        conversation.last += 1;
        let sequence = conversation.last;
        if breach == Breach::Lose {
            return;
        }
        let previous = conversation.seen.insert(to.clone(), sequence).unwrap_or(0);
        let mut payload = send.payload.to_vec();
        if breach == Breach::Flip {
            payload[20] ^= 4;
        }
        let deliver = wire::Deliver {
            offset: self.offset(to),
            conversation: id.as_str().to_owned(),
            sequence,
            previous_sequence: previous,
            sender: sender.as_str().to_owned(),
            device: "d1".to_owned(),
            message_id: send.message_id.clone(),
            server_time: 1,
            payload: payload.into(),
        };
        self.answer(wires, to, server_frame::Frame::Deliver(deliver));
    }

    fn frame(&mut self, wires: &mut Wires, link: LinkId, body: &[u8]) {
        let frame = decode_client(Bytes::copy_from_slice(body)).unwrap().frame;
        match frame {
            Some(client_frame::Frame::Hello(hello)) => self.hello(wires, link, &hello),
            Some(client_frame::Frame::Send(send)) => {
                let sender = self.users[&link].clone();
                let Some(wire::send::Target::To(to)) = &send.target else {
                    panic!("a send to {:?}", send.target)
                };
                let to = UserId::parse(to).unwrap();
                self.send(wires, Message { sender, to, send });
            }
            Some(client_frame::Frame::Ack(_)) => {}
            other => panic!("the load sent {other:?}"),
        }
    }
}

impl Traffic for Server {
    fn opened(&mut self, _: &mut Wires, _: LinkId) -> Result<(), BenchError> {
        Ok(())
    }

    fn received(&mut self, wires: &mut Wires, link: LinkId, bytes: &[u8]) -> Result<(), BenchError> {
        let mut partial = wires.take_partial(link);
        let result = framing::split(&mut partial, bytes, |body| {
            self.frame(wires, link, body);
            Ok(())
        });
        wires.put_partial(link, partial);
        result
    }

    fn closed(&mut self, _: &mut Wires, link: LinkId, _: CloseCause) -> Result<(), BenchError> {
        self.users.remove(&link);
        Ok(())
    }
}

struct Running {
    address: SocketAddr,
    stop: Arc<AtomicBool>,
    waker: Waker,
    thread: JoinHandle<()>,
}

impl Running {
    fn start(breach: Breach) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let stop = Arc::new(AtomicBool::new(false));
        let seen = Arc::clone(&stop);
        let (send_waker, wakers) = channel();
        let thread = std::thread::spawn(move || {
            let mut links = Links::new(&Config::default(), Security::Plain).unwrap();
            send_waker.send(links.reactor().waker()).unwrap();
            links.listen(listener);
            let mut server = Server {
                breach,
                taken: 0,
                users: HashMap::new(),
                links: HashMap::new(),
                offsets: HashMap::new(),
                conversations: HashMap::new(),
                held: HashMap::new(),
            };
            while !seen.load(Ordering::Acquire) {
                links.flush().unwrap();
                links.turn(Wait::Forever, &mut server).unwrap();
            }
        });
        Self { address, stop, waker: wakers.recv().unwrap(), thread }
    }

    fn stop(self) {
        self.stop.store(true, Ordering::Release);
        self.waker.wake();
        self.thread.join().unwrap();
    }
}

const BOTH: [Partners; 2] = [Partners::Neighbours, Partners::First];

/// Two pairs, or three who write to one; 200 messages: 100 of warm-up, 100 measured.
fn load(partners: Partners, breach: Breach, drain: Duration) -> Driven {
    let server = Running::start(breach);
    let directory = tempfile::tempdir().unwrap();
    let tokens = directory.path().join("tokens");
    std::fs::write(&tokens, "u0 d1 u0\nu1 d1 u1\nu2 d1 u2\nu3 d1 u3\n").unwrap();
    let gateway = GatewayPlan::new(&GatewayArgs {
        gateway: None,
        tls: false,
        websocket: false,
        shards: None,
        data_dir: None,
        durability: DurabilityArg::Os,
        server: Some(server.address),
        tokens: Some(tokens),
        pid: None,
        ca: None,
    })
    .unwrap();
    let span = Span {
        ramp: Duration::ZERO,
        warmup: Duration::from_millis(200),
        duration: Duration::from_millis(200),
    };
    let plan = TrafficPlan {
        pairs: 2,
        rate: 500.0,
        partners,
        skew: 0.0,
        payload_bytes: 64,
        span,
        drain,
        own_ack_delay: Duration::ZERO,
        heartbeat: Duration::ZERO,
        threads: if partners == Partners::First { 1 } else { 2 },
        connecting: 4,
        connect_rate: 1_000.0,
        churn: 0.0,
        backoff: iris_client::session::Backoff::default(),
        is_slow: false,
        orders: iris_bench::orders::Orders::default(),
        parts: None,
    };
    let keys = Keyring::new(&gateway, 4).unwrap();
    let running = Gateway::start(&gateway, &keys).unwrap();
    let driven = drive(&plan, &Target::of(&running, &gateway), &keys.credentials, &mut Nobody).unwrap();
    server.stop();
    driven
}

/// Long enough for any host.
const LONG: Duration = Duration::from_secs(30);
/// A run in which messages never come waits so long for them, and finds them missing all the same.
const SHORT: Duration = Duration::from_millis(300);

/// An honest server passes: everything sent, accepted and delivered, and the window measured.
/// Seen to fail when: the own copy in Accepted is not taken into the conversation's line; or the one to whom all write is drawn as a
/// sender, too.
#[test]
fn an_honest_server_passes() {
    for partners in BOTH {
        let driven = load(partners, Breach::None, LONG);
        let tally = &driven.tally;
        assert_eq!(tally.verdict(true), None, "{partners:?}");
        assert_eq!((tally.sent, tally.accepted, tally.delivered), (tally.sent, tally.sent, tally.sent));
        assert_eq!(tally.arrived, tally.sent * 2, "each comes to its recipient, and as an own copy");
        assert!((198..=202).contains(&tally.sent), "{} sent", tally.sent);
        assert!((99..=101).contains(&tally.delivery.count()), "{} measured", tally.delivery.count());
        assert_eq!(tally.ack.count(), tally.delivery.count());
        assert!(tally.completed > 0 && tally.faults.is_clean() && tally.disconnects == 0);
    }
}

/// Every breach is caught, under its own name.
/// Seen to fail when: the ledger is not asked about it; or what each sender's recipient has seen is not counted.
#[test]
fn f_84_every_breach_is_caught() {
    type Count = fn(&Driven) -> u64;
    let breaches: [(Breach, Duration, &str, Count); 5] = [
        (Breach::Lose, SHORT, "lost", |driven| driven.tally.faults.lost),
        (Breach::Double, LONG, "duplicated", |driven| driven.tally.faults.duplicated),
        (Breach::Swap, SHORT, "reordered", |driven| driven.tally.faults.reordered),
        (Breach::Flip, SHORT, "corrupted", |driven| driven.tally.faults.corrupted),
        (Breach::Refuse, LONG, "refused", |driven| driven.tally.refused),
    ];
    for (partners, (breach, drain, name, count)) in
        BOTH.into_iter().flat_map(|partners| breaches.map(|breach| (partners, breach)))
    {
        let driven = load(partners, breach, drain);
        assert!(count(&driven) >= 10, "{partners:?}, {name}: {:?}", driven.tally.faults);
        let verdict = driven.tally.verdict(true).unwrap();
        assert!(verdict.contains(name), "{name}: {verdict}");
    }
}

/// A server that answers nothing fails the run, verified or not.
/// Seen to fail when: the check for traffic is dropped.
#[test]
fn f_83_a_silent_server_fails_the_run() {
    let driven = load(Partners::Neighbours, Breach::Silence, SHORT);
    assert!(driven.tally.verdict(false).unwrap().contains("no message"));
    assert_eq!(driven.tally.faults.lost, driven.tally.sent);
    assert!(!driven.backlog.held);
}
