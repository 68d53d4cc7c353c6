//! Shards, their tables, the mail between them, and time: all in the test's hand.

use crate::client::{Client, wire_of};
use crate::tables::Tables;
use bytes::Bytes;
use iris_protocol::frame::encoded_bytes;
use iris_protocol::limits::{DEDUP_MEMORY_MAX, Limits};
use iris_protocol::wire::{self, client_frame, send::Target, server_frame};
use iris_protocol::{
    ConversationId, Durability, Generation, Incarnation, MessageId, Mono, Placement, ShardId, UserId, Wall,
};
use iris_shard::io::{ConnId, Effect, Frame, Input, LoadId, Login, Ticket};
use iris_shard::mail::Mail;
use iris_shard::{Config, Counters, Shard};
use iris_storage::load::LoadRequest;
use iris_storage::op::Ops;
use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

/// 2026-01-01 in ms since 1970.
pub(crate) const START: Wall = Wall(1_767_225_600_000);

/// One shard with its disk.
pub(crate) struct Node {
    pub(crate) shard: Shard,
    pub(crate) tables: Tables,
    pub(crate) stores: VecDeque<(Ticket, Ops)>,
    pub(crate) stored: Ticket,
    pub(crate) loads: VecDeque<(LoadId, LoadRequest)>,
    pub(crate) backpressure: bool,
}

/// See the module.
#[allow(clippy::struct_excessive_bools, reason = "each holds back one thing, alone or with others")]
pub(crate) struct World {
    pub(crate) nodes: Vec<Node>,
    pub(crate) mail: BTreeMap<(u16, u16), VecDeque<Mail>>,
    pub(crate) clients: Vec<Client>,
    pub(crate) now: Mono,
    pub(crate) generation: Generation,
    pub(crate) limits: Limits,
    pub(crate) mail_ring: usize,
    /// Message ids that each shard keeps in memory, from its next boot on.
    pub(crate) dedup_ids: usize,
    pub(crate) hold_stores: bool,
    pub(crate) hold_mail: bool,
    pub(crate) hold_loads: bool,
    /// The shards do not hear that their tables hold what is durable.
    pub(crate) hold_fills: bool,
    pub(crate) crowded_from: u32,
    /// Every message that was ever sent: payload by (conversation, id, sender).
    pub(crate) sent: BTreeMap<(String, MessageId), (UserId, Bytes)>,
    /// Clients by connection, those of the past among them.
    conns: BTreeMap<ConnId, usize>,
    next_conn: u64,
    next_request: u64,
    next_message: u64,
}

impl World {
    pub(crate) fn new(shards: u16) -> Self {
        Self::with_limits(shards, Limits { sends_per_second: 1000, sends_burst: 10_000, ..Limits::default() })
    }

    pub(crate) fn with_limits(shards: u16, limits: Limits) -> Self {
        Self::with_ring(shards, limits, 4096)
    }

    pub(crate) fn with_ring(shards: u16, limits: Limits, mail_ring: usize) -> Self {
        let mut world = Self {
            nodes: Vec::new(),
            mail: BTreeMap::new(),
            clients: Vec::new(),
            now: Mono(1_000_000_000),
            generation: Generation(1),
            limits,
            mail_ring,
            dedup_ids: DEDUP_MEMORY_MAX,
            hold_stores: false,
            hold_mail: false,
            hold_loads: false,
            hold_fills: false,
            crowded_from: limits.inbox_envelopes.min(limits.unclaimed_envelopes),
            sent: BTreeMap::new(),
            conns: BTreeMap::new(),
            next_conn: 1,
            next_request: 1,
            next_message: 1,
        };
        for shard in 0..shards {
            let tables = Tables::default();
            let node = world.boot(ShardId(shard), shards, tables, START);
            world.nodes.push(node);
        }
        world.run();
        world
    }

    fn boot(&self, shard: ShardId, shards: u16, tables: Tables, clock: Wall) -> Node {
        let config = Config {
            shard,
            placement: Placement::even(shards),
            generation: self.generation,
            incarnation: Incarnation([7; 16]),
            durability: Durability::Fsync,
            limits: self.limits,
            dedup_ids: self.dedup_ids,
            hash_seed: 42,
            mail_ring: self.mail_ring,
            clock,
            capabilities: Vec::new(),
        };
        let boot = tables.boot_state(self.crowded_from);
        let shard = Shard::new(self.now, config, boot);
        Node {
            shard,
            tables,
            stores: VecDeque::new(),
            stored: Ticket(0),
            loads: VecDeque::new(),
            backpressure: false,
        }
    }

    /// The process stops and starts again: what is in no durable record is gone.
    pub(crate) fn crash(&mut self) {
        self.crash_after(Duration::ZERO);
    }

    /// As [`World::crash`], with time passing on the wall in between.
    pub(crate) fn crash_after(&mut self, down: Duration) {
        self.crash_at(self.wall().after_ms(u64::try_from(down.as_millis()).unwrap()));
    }

    /// As [`World::crash`]; the shard clocks start again at this time, which may lie in the past.
    pub(crate) fn crash_at(&mut self, clock: Wall) {
        self.generation = Generation(self.generation.0 + 1);
        self.mail.clear();
        let shards = u16::try_from(self.nodes.len()).unwrap();
        let old = std::mem::take(&mut self.nodes);
        for (shard, node) in (0..shards).zip(old) {
            let node = self.boot(ShardId(shard), shards, node.tables, clock);
            self.nodes.push(node);
        }
        for client in &mut self.clients {
            client.drop_conn();
        }
        for shard in 0..usize::from(shards) {
            self.take_effects(shard);
        }
    }

    pub(crate) fn wall(&self) -> Wall {
        self.nodes[0].shard.clock(self.now)
    }

    /// A user whose home is this shard: `stem` with a number.
    pub(crate) fn user_on(&self, stem: &str, shard: u16) -> String {
        let placement = Placement::even(u16::try_from(self.nodes.len()).unwrap());
        (0..1_000_000)
            .map(|number| format!("{stem}{number}"))
            .find(|id| placement.shard_of(UserId::parse(id).unwrap().slot()) == ShardId(shard))
            .unwrap()
    }

    pub(crate) fn home(&self, user: &UserId) -> usize {
        let placement = Placement::even(u16::try_from(self.nodes.len()).unwrap());
        usize::from(placement.shard_of(user.slot()).0)
    }

    pub(crate) fn owner(&self, conversation: &str) -> usize {
        let placement = Placement::even(u16::try_from(self.nodes.len()).unwrap());
        let slot = ConversationId::parse(conversation).unwrap().slot();
        usize::from(placement.shard_of(slot).0)
    }

    /// Adds a device; it connects with [`World::connect`].
    pub(crate) fn client(&mut self, user: &str, device: &str) -> usize {
        self.clients.push(Client::new(user, device));
        self.clients.len() - 1
    }

    /// A device that is logged in.
    pub(crate) fn online(&mut self, user: &str, device: &str) -> usize {
        let client = self.client(user, device);
        self.connect(client);
        self.run();
        assert!(self.clients[client].welcome.is_some(), "{user} {device} got no Welcome");
        client
    }

    pub(crate) fn connect(&mut self, client: usize) {
        self.connect_with(client, |_| {});
    }

    pub(crate) fn connect_with(&mut self, client: usize, change: impl FnOnce(&mut Login)) {
        let conn = ConnId(self.next_conn);
        self.next_conn += 1;
        self.conns.insert(conn, client);
        let state = &mut self.clients[client];
        state.drop_conn();
        state.conn = Some(conn);
        let hello = wire::Hello {
            versions: vec![1],
            capabilities: Vec::new(),
            token: String::new(),
            resume_offset: state.resumes.then_some(state.stored),
            window: state.window,
            heartbeat_s: 0,
            instance: 0,
            attempt: 0,
        };
        let (user, device) = (state.user.clone(), state.device.clone());
        let home = self.home(&user);
        let ends_at = self.now.after(Duration::from_hours(24));
        let mut login = Box::new(Login { user, device, ends_at, hello });
        change(&mut login);
        self.input(home, Input::Login { conn, login });
    }

    pub(crate) fn disconnect(&mut self, client: usize) {
        let Some(conn) = self.clients[client].conn else { return };
        let home = self.home(&self.clients[client].user);
        self.clients[client].drop_conn();
        self.input(home, Input::Gone { conn });
    }

    pub(crate) fn frame(&mut self, client: usize, frame: client_frame::Frame) {
        let Some(conn) = self.clients[client].conn else { return };
        let home = self.home(&self.clients[client].user);
        self.input(home, Input::Frame { conn, frame: wire::ClientFrame { frame: Some(frame) }.into() });
    }

    /// A new message id, minted now.
    pub(crate) fn new_id(&mut self) -> MessageId {
        self.id_at(self.wall())
    }

    pub(crate) fn id_at(&mut self, at: Wall) -> MessageId {
        self.next_message += 1;
        message_id(at, self.next_message)
    }

    /// Sends a new message to a user; gives its id.
    pub(crate) fn send(&mut self, client: usize, to: &str, text: &str) -> MessageId {
        let id = self.new_id();
        self.send_id(client, to, id, text);
        id
    }

    /// Sends a message under an id.
    pub(crate) fn send_id(&mut self, client: usize, to: &str, id: MessageId, text: &str) {
        self.send_frame(client, to, (id, text), None);
    }

    /// Sends a new message that carries an acknowledgement; gives its id.
    pub(crate) fn send_acking(&mut self, client: usize, to: &str, text: &str, through: u64) -> MessageId {
        let id = self.new_id();
        self.send_frame(client, to, (id, text), Some(through));
        id
    }

    fn send_frame(
        &mut self,
        client: usize,
        to: &str,
        (id, text): (MessageId, &str),
        ack_through: Option<u64>,
    ) {
        let sender = self.clients[client].user.clone();
        let conversation = conversation(sender.as_str(), to);
        let payload = Bytes::copy_from_slice(text.as_bytes());
        self.sent.entry((conversation, id)).or_insert((sender, payload.clone()));
        self.next_request += 1;
        let send = wire::Send {
            request_id: self.next_request,
            target: Some(Target::To(to.to_owned())),
            message_id: Bytes::copy_from_slice(id.as_bytes()),
            payload,
            ack_through,
        };
        self.frame(client, client_frame::Frame::Send(send));
    }

    pub(crate) fn ack(&mut self, client: usize, through: u64) {
        self.frame(client, client_frame::Frame::Ack(wire::Ack { through_offset: through }));
    }

    pub(crate) fn input(&mut self, shard: usize, input: Input) {
        let node = &mut self.nodes[shard];
        node.backpressure = node.shard.handle(self.now, input).is_err();
        self.take_effects(shard);
    }

    pub(crate) fn take_effects(&mut self, shard: usize) {
        while let Some(effect) = self.nodes[shard].shard.poll_effect() {
            self.carry_out(shard, effect);
        }
    }

    fn carry_out(&mut self, shard: usize, effect: Effect) {
        match effect {
            Effect::Send { conn, frame } => self.send_to(conn, frame),
            Effect::Accept { conn, acceptance } => {
                let accepted = acceptance.to_wire();
                self.check_durable(conn, &accepted);
                self.send_to(conn, Frame::Other(server_frame::Frame::Accepted(accepted)));
            }
            Effect::Close { conn, code, retry_after_ms } => {
                if let Some(client) = self.client_of(conn) {
                    self.clients[client].closed.push(code);
                    self.clients[client].returns.push(retry_after_ms);
                    self.take_frames(client);
                    self.clients[client].drop_conn();
                }
            }
            Effect::Read { conn, on } => {
                if let Some(client) = self.client_of(conn) {
                    assert_ne!(self.clients[client].is_reading, on, "reading was {on} already");
                    self.clients[client].is_reading = on;
                }
            }
            Effect::Store { ticket, ops } => {
                assert!(!ops.is_empty(), "an empty record part");
                self.nodes[shard].stores.push_back((ticket, ops));
            }
            Effect::Load { id, request } => self.nodes[shard].loads.push_back((id, request)),
            Effect::Mail { to, mail } => {
                let from = u16::try_from(shard).unwrap();
                assert_ne!(from, to.0, "mail to itself");
                let queue = self.mail.entry((from, to.0)).or_default();
                queue.push_back(mail);
                assert!(queue.len() <= self.mail_ring, "the ring from {from} to {to} is full");
            }
        }
    }

    /// C6: at the instant of an Accepted, the owner's disk has the message.
    fn check_durable(&self, conn: ConnId, accepted: &wire::Accepted) {
        let owner = self.owner(&accepted.conversation);
        let id = MessageId::parse(&accepted.message_id).unwrap();
        let conversation = ConversationId::parse(&accepted.conversation).unwrap();
        let Some(client) = self.client_of(conn) else { return };
        let sender = &self.clients[client].user;
        let row = self.nodes[owner].tables.accepted(&conversation, sender, id);
        let row = row.unwrap_or_else(|| panic!("{id} was acknowledged and is not durable"));
        assert_eq!(row.sequence.0, accepted.sequence, "{id} was acknowledged with another sequence");
    }

    fn client_of(&self, conn: ConnId) -> Option<usize> {
        self.conns.get(&conn).copied().filter(|client| self.clients[*client].conn == Some(conn))
    }

    fn send_to(&mut self, conn: ConnId, frame: Frame) {
        let Some(client) = self.client_of(conn) else { return };
        let frame = wire_of(frame);
        let bytes = encoded_bytes(&wire::ServerFrame { frame: Some(frame.clone()) });
        self.clients[client].unsent += bytes;
        self.clients[client].frames.push_back(frame);
    }

    /// Lets a client take what was sent to it; true: there was something.
    pub(crate) fn take_frames(&mut self, client: usize) -> bool {
        let state = &mut self.clients[client];
        let Some(conn) = state.conn else { return false };
        if !state.reads || (state.frames.is_empty() && state.unsent == 0) {
            return false;
        }
        while let Some(frame) = state.frames.pop_front() {
            state.take(frame);
        }
        let bytes = std::mem::take(&mut state.unsent);
        let ack = (state.acks && state.stored > state.acked).then_some(state.stored);
        state.acked = ack.unwrap_or(state.acked);
        let home = self.home(&self.clients[client].user);
        self.input(home, Input::Sent { conn, bytes });
        if let Some(ack) = ack {
            self.ack(client, ack);
        }
        true
    }

    /// Makes the oldest record part of a shard durable.
    pub(crate) fn store_one(&mut self, shard: usize) -> bool {
        let Some((ticket, ops)) = self.nodes[shard].stores.pop_front() else { return false };
        self.nodes[shard].tables.apply(&ops);
        self.input(shard, Input::Stored { through: ticket });
        self.nodes[shard].stored = ticket;
        if !self.hold_fills {
            self.input(shard, Input::Filled { through: ticket });
        }
        true
    }

    /// Tells every shard that its tables hold what is durable.
    pub(crate) fn fill(&mut self) {
        for shard in 0..self.nodes.len() {
            let through = self.nodes[shard].stored;
            self.input(shard, Input::Filled { through });
        }
    }

    pub(crate) fn load_one(&mut self, shard: usize) -> bool {
        let Some((id, request)) = self.nodes[shard].loads.pop_front() else { return false };
        let answer = self.nodes[shard].tables.load(&request);
        self.input(shard, Input::Loaded { id, answer });
        true
    }

    pub(crate) fn mail_one(&mut self, from: u16, to: u16) -> bool {
        let Some(mail) = self.mail.get_mut(&(from, to)).and_then(VecDeque::pop_front) else { return false };
        self.input(usize::from(to), Input::Mail { from: ShardId(from), mail });
        true
    }

    /// Everything that can happen without time, as far as it is not held back.
    pub(crate) fn run(&mut self) {
        loop {
            let mut is_busy = false;
            for shard in 0..self.nodes.len() {
                self.take_effects(shard);
                while !self.hold_stores && self.store_one(shard) {
                    is_busy = true;
                }
                while !self.hold_loads && self.load_one(shard) {
                    is_busy = true;
                }
            }
            let pairs: Vec<_> = self.mail.keys().copied().collect();
            for (from, to) in pairs {
                while !self.hold_mail && self.mail_one(from, to) {
                    is_busy = true;
                }
            }
            for client in 0..self.clients.len() {
                is_busy |= self.take_frames(client);
            }
            if !is_busy {
                return;
            }
        }
    }

    /// Ticks every shard whose deadline has come.
    pub(crate) fn tick(&mut self) {
        for shard in 0..self.nodes.len() {
            if self.nodes[shard].shard.next_deadline().0 <= self.now {
                self.input(shard, Input::Tick);
            }
        }
    }

    /// Lets time pass, with every deadline on the way.
    pub(crate) fn pass(&mut self, time: Duration) {
        let end = self.now.after(time);
        self.run();
        loop {
            let next = self.nodes.iter().map(|node| node.shard.next_deadline().0).min();
            let Some(next) = next.filter(|next| *next <= end) else { break };
            self.now = self.now.max(next);
            self.tick();
            self.run();
        }
        self.now = end;
    }

    /// Lets a long time pass at once: deadlines on the way are seen at its end.
    pub(crate) fn jump(&mut self, time: Duration) {
        self.now = self.now.after(time);
        self.tick();
        self.run();
    }

    /// Long enough for everything to be settled and confirmed.
    pub(crate) fn settle(&mut self) {
        self.pass(Duration::from_millis(200));
    }

    pub(crate) fn tables(&self, user: &str) -> &Tables {
        let user = UserId::parse(user).unwrap();
        &self.nodes[self.home(&user)].tables
    }

    /// Envelopes and gaps in a user's inbox table.
    pub(crate) fn rows(&self, user: &str) -> usize {
        self.tables(user).rows_of(&UserId::parse(user).unwrap()).count()
    }

    /// One of the shards' counters, all together.
    pub(crate) fn sum(&self, of: impl Fn(&Counters) -> u64) -> u64 {
        self.nodes.iter().map(|node| of(node.shard.counters())).sum()
    }

    pub(crate) fn outbox_rows(&self) -> usize {
        self.nodes.iter().map(|node| node.tables.outbox.len()).sum()
    }
}

/// The id of the direct conversation of two users.
pub(crate) fn conversation(a: &str, b: &str) -> String {
    ConversationId::direct(&UserId::parse(a).unwrap(), &UserId::parse(b).unwrap()).to_string()
}

/// A UUIDv7 of a time, with a number inside.
pub(crate) fn message_id(at: Wall, number: u64) -> MessageId {
    let mut id = [0; 16];
    id[..6].copy_from_slice(&at.0.to_be_bytes()[2..]);
    id[6] = 0x70;
    id[8] = 0x80;
    id[9..].copy_from_slice(&number.to_be_bytes()[1..]);
    MessageId::parse(&id).unwrap()
}
