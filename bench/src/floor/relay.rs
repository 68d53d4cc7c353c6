//! The routed floor's shard: a frame that comes in on one connection goes out on its pair's other connection,
//! over the mail to another core when that lives there. With [`Work`], the message floor.
//!
//! Invariants
//! - A frame is copied once on its way to another core, as a payload is in the gateway.
//! - The work of all frames of a tick is done together before their frames are sent: one log append a tick.

use super::frame::{Endpoint, Head, Kind};
use super::work::Work;
use crate::error::BenchError;
use crate::framing;
use crate::links::{LinkId, Traffic, Wires};
use hashbrown::HashMap;
use iris_protocol::ShardId;
use iris_protocol::limits::LENGTH_BYTES;
use iris_reactor::CloseCause;
use iris_reactor::mail::Post;
use std::collections::VecDeque;

/// Letters taken in one tick at most, as the gateway bounds its mail.
const LETTERS_MAX: usize = 512;

/// A frame on its way to an endpoint of another core.
pub(super) struct Letter {
    endpoint: Endpoint,
    frame: Vec<u8>,
}

/// What a shard knows of one of its connections.
#[derive(Default)]
struct Local {
    links: HashMap<Endpoint, LinkId>,
    endpoints: HashMap<LinkId, Endpoint>,
}

impl Local {
    fn deliver(&self, wires: &mut Wires, endpoint: Endpoint, frame: &[u8]) {
        let link = self.links.get(&endpoint).copied();
        if let Some(out) = link.and_then(|link| wires.out(link)) {
            out.extend_from_slice(frame);
        }
    }
}

/// One core of the routed floor.
pub(super) struct Relay {
    shard: ShardId,
    post: Post<Letter>,
    local: Local,
    /// Letters that a full ring did not take.
    waiting: VecDeque<(ShardId, Letter)>,
    work: Option<Work>,
}

impl Relay {
    /// The relay of `shard`; with `work` it is the message floor.
    pub(super) fn new(shard: ShardId, post: Post<Letter>, work: Option<Work>) -> Self {
        Self { shard, post, local: Local::default(), waiting: VecDeque::new(), work }
    }

    /// This core's end of the mail.
    pub(super) fn post(&mut self) -> &mut Post<Letter> {
        &mut self.post
    }

    /// True while letters wait for room in a ring: the core must not sleep.
    pub(super) fn has_waiting(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// Takes mail, offers what waited again and does the work of this tick.
    ///
    /// # Errors
    /// The work failed.
    pub(super) fn tick(&mut self, wires: &mut Wires) -> Result<(), BenchError> {
        for _ in 0..self.waiting.len() {
            if let Some((to, letter)) = self.waiting.pop_front() {
                self.mail(to, letter);
            }
        }
        for (_, letter) in self.post.receive(LETTERS_MAX) {
            self.local.deliver(wires, letter.endpoint, &letter.frame);
        }
        self.work.as_mut().map_or(Ok(()), Work::finish)
    }

    fn frame(&mut self, wires: &mut Wires, link: LinkId, body: &[u8]) -> Result<(), BenchError> {
        let head = Head::decode(body)?;
        match head.kind {
            Kind::Hello => {
                self.local.links.insert(head.endpoint, link);
                self.local.endpoints.insert(link, head.endpoint);
                if let Some(out) = wires.out(link) {
                    head.encode(LENGTH_BYTES + body.len(), out);
                }
            }
            Kind::Message => {
                if let Some(work) = &mut self.work {
                    work.message(body);
                    if let Some(out) = wires.out(link) {
                        Head { kind: Kind::Answer, ..head }.encode(work.answer_bytes(), out);
                    }
                }
                self.forward(wires, head, body);
            }
            Kind::Ack => {
                if let Some(work) = &mut self.work {
                    work.acked();
                }
            }
            Kind::Answer => return Err(BenchError::Protocol("a load sent an answer".to_owned())),
        }
        Ok(())
    }

    fn forward(&mut self, wires: &mut Wires, head: Head, body: &[u8]) {
        let prefixed = |out: &mut Vec<u8>| {
            out.extend_from_slice(&u32::try_from(body.len()).unwrap_or(u32::MAX).to_be_bytes());
            out.extend_from_slice(body);
        };
        if head.shard == self.shard {
            let link = self.local.links.get(&head.endpoint).copied();
            if let Some(out) = link.and_then(|link| wires.out(link)) {
                prefixed(out);
            }
            return;
        }
        let mut frame = Vec::with_capacity(LENGTH_BYTES + body.len());
        prefixed(&mut frame);
        self.mail(head.shard, Letter { endpoint: head.endpoint, frame });
    }

    fn mail(&mut self, to: ShardId, letter: Letter) {
        if let Err(letter) = self.post.send(usize::from(to.0), letter) {
            self.waiting.push_back((to, letter));
        }
    }
}

impl Traffic for Relay {
    fn opened(&mut self, _: &mut Wires, _: LinkId) -> Result<(), BenchError> {
        Ok(())
    }

    fn received(&mut self, wires: &mut Wires, link: LinkId, bytes: &[u8]) -> Result<(), BenchError> {
        let mut partial = wires.take_partial(link);
        let result = framing::split(&mut partial, bytes, |body| self.frame(wires, link, body));
        wires.put_partial(link, partial);
        result
    }

    fn closed(&mut self, _: &mut Wires, link: LinkId, _: CloseCause) -> Result<(), BenchError> {
        if let Some(endpoint) = self.local.endpoints.remove(&link) {
            self.local.links.remove(&endpoint);
        }
        Ok(())
    }
}
