//! Deadlines, and the ways into and out of a connection.

use super::event::{DisconnectReason, Next, Output};
use super::link::Phase;
use super::{Frame, Session};
use iris_protocol::{Mono, wire};

impl Session {
    /// When `tick` is due next; `None`: nothing depends on time.
    pub fn next_deadline(&self) -> Option<Mono> {
        match self.link.phase {
            Phase::Offline(connect_at) => connect_at,
            Phase::LoggingIn(since) => Some(since.after(self.config.answer_timeout)),
            Phase::Online(_) => {
                let life = self.link.ping_at().min(self.link.dead_at());
                let leave = self.link.leave.map(|leave| leave.close_at);
                let retry = self.outgoing.retry_deadline();
                [self.answer_deadline(), retry, self.incoming.ack_deadline(), leave]
                    .into_iter()
                    .flatten()
                    .chain([life])
                    .min()
            }
        }
    }

    fn answer_deadline(&self) -> Option<Mono> {
        let request = self.link.requests.front().map(|request| request.sent_at);
        let sent_at = [self.outgoing.oldest_sent_at(), request].into_iter().flatten().min()?;
        Some(sent_at.after(self.config.answer_timeout))
    }

    /// Does what is due: connects, pings, re-sends, acknowledges, gives up on a silent server.
    pub fn tick(&mut self, now: Mono) {
        match self.link.phase {
            Phase::Offline(Some(connect_at)) if connect_at <= now => {
                self.link.phase = Phase::Offline(None);
                self.outputs.push_back(Output::Connect);
            }
            Phase::Offline(_) => {}
            Phase::LoggingIn(since) => {
                if since.after(self.config.answer_timeout) <= now {
                    self.leave(now, DisconnectReason::LoginTimeout);
                }
            }
            Phase::Online(_) => self.tick_online(now),
        }
    }

    fn tick_online(&mut self, now: Mono) {
        if self.link.dead_at() <= now {
            return self.leave(now, DisconnectReason::HeartbeatTimeout);
        }
        if self.answer_deadline().is_some_and(|deadline| deadline <= now) {
            return self.leave(now, DisconnectReason::AnswerTimeout);
        }
        if self.link.leave.is_some_and(|leave| leave.close_at <= now) {
            self.acknowledge(now);
            return self.leave(now, DisconnectReason::GoAway);
        }
        if self.link.ping_at() <= now {
            self.ping(now);
        }
        self.outgoing.release_retries(now);
        self.settle(now);
    }

    fn ping(&mut self, now: Mono) {
        self.link.ping_nonce += 1;
        self.link.last_ping = now;
        self.emit(now, Frame::Ping(wire::Ping { nonce: self.link.ping_nonce }));
    }

    /// After anything changed: sends what the window allows, then acknowledges if that is due.
    pub(super) fn settle(&mut self, now: Mono) {
        if !self.link.is_online() {
            return;
        }
        self.transmit(now);
        let every = self.config.ack_every(self.link.window);
        if self.incoming.ack_is_due(now, every, self.config.ack_waits()) {
            self.acknowledge(now);
        }
        let done = self.outgoing.on_wire_count() == 0 && self.link.requests.is_empty();
        if self.link.leave.is_some() && done && self.incoming.all_stored() {
            self.acknowledge(now);
            self.leave(now, DisconnectReason::GoAway);
        }
    }

    /// Ends the connection from this side.
    pub(super) fn leave(&mut self, now: Mono, reason: DisconnectReason) {
        let had_transport = !matches!(self.link.phase, Phase::Offline(_));
        self.go_offline(now);
        if had_transport {
            self.outputs.push_back(Output::Disconnect { reason });
        }
    }

    /// Into the offline phase. While a reconnect is planned already, nothing changes.
    pub(super) fn go_offline(&mut self, now: Mono) {
        match self.link.phase {
            Phase::Offline(Some(_)) if self.link.next == Next::Reconnect => return,
            Phase::Offline(_) | Phase::LoggingIn(_) => {}
            Phase::Online(since) => {
                if now.since(since) >= self.config.backoff.stable_after {
                    self.link.attempts = 0;
                }
            }
        }
        self.outgoing.requeue();
        self.link.requests.clear();
        if self.link.next == Next::Reconnect {
            self.plan_reconnect(now);
        } else {
            self.link.phase = Phase::Offline(None);
        }
    }

    /// At the time the server named, or after the backoff, whichever is later.
    pub(super) fn plan_reconnect(&mut self, now: Mono) {
        let delay = self.config.backoff.delay(self.link.attempts, &mut self.jitter);
        self.link.attempts = self.link.attempts.saturating_add(1);
        let leave = self.link.leave.take().map(|leave| leave.reconnect_at.max(now));
        let at = match (leave, self.link.hint.take()) {
            (Some(at), _) => at,
            (None, Some(hint)) => hint.max(now).after(delay),
            (None, None) => now.after(delay),
        };
        self.link.phase = Phase::Offline(Some(at));
    }
}
