//! What each frame of the server does.

use super::event::{Closed, DisconnectReason, Event, Gap, Message, Next, ServerFault, Welcome};
use super::incoming::{Place, Verdict};
use super::link::{Leave, Phase};
use super::{PROTOCOL_VERSION, Session};
use iris_protocol::wire::client_frame::Frame as ClientFrame;
use iris_protocol::wire::server_frame::Frame;
use iris_protocol::{
    CloseClass, CloseCode, ConversationId, DeviceId, Durability, Incarnation, MessageId, Mono, Offset,
    Sequence, UserId, Wall, wire,
};
use std::time::Duration;

pub(super) type Handled = Result<(), ServerFault>;

fn invalid<T>(frame: &'static str, field: &'static str) -> impl FnOnce(T) -> ServerFault {
    move |_| ServerFault::Invalid { frame, field }
}

pub(super) fn ms(ms: u32) -> Duration {
    Duration::from_millis(u64::from(ms))
}

pub(super) fn durability(value: wire::Durability) -> Option<Durability> {
    match value {
        wire::Durability::Fsync => Some(Durability::Fsync),
        wire::Durability::Os => Some(Durability::Os),
        wire::Durability::Unspecified => None,
    }
}

impl Session {
    /// Takes a frame of the current connection. Without one it is ignored: a late frame of an old connection.
    pub fn handle(&mut self, now: Mono, frame: wire::ServerFrame) {
        let online = match self.link.phase {
            Phase::Offline(_) => return,
            Phase::LoggingIn(_) => false,
            Phase::Online(_) => true,
        };
        self.link.last_received = now;
        let Some(frame) = frame.frame else {
            return; // a kind of a later version
        };
        let stored = self.incoming.stored_through();
        let handled = if online { self.handle_online(now, frame) } else { self.handle_login(now, frame) };
        self.unsaved |= stored != self.incoming.stored_through();
        if let Err(fault) = handled {
            self.fault(now, fault);
        } else {
            self.tell_if_caught_up();
            self.settle(now);
        }
    }

    /// The bytes that came are no frame, or break a rule that the caller found: reports it and reconnects.
    pub fn fault(&mut self, now: Mono, fault: ServerFault) {
        self.tell(Event::ServerFault(fault));
        self.leave(now, DisconnectReason::ServerFault);
    }

    fn handle_login(&mut self, now: Mono, frame: Frame) -> Handled {
        let unexpected = |frame| Err(ServerFault::Unexpected { frame });
        match frame {
            Frame::Welcome(welcome) => self.on_welcome(now, &welcome)?,
            Frame::Close(close) => self.on_close(now, close),
            Frame::GoAway(go_away) => self.on_go_away(now, &go_away),
            Frame::Ping(ping) => self.on_ping(now, ping),
            Frame::Pong(_) => {}
            Frame::Accepted(_) => return unexpected("Accepted"),
            Frame::Rejected(_) => return unexpected("Rejected"),
            Frame::Deliver(_) => return unexpected("Deliver"),
            Frame::Gap(_) => return unexpected("Gap"),
            Frame::Refreshed(_) => return unexpected("Refreshed"),
            Frame::DeviceList(_) => return unexpected("DeviceList"),
            Frame::Unlinked(_) => return unexpected("Unlinked"),
        }
        Ok(())
    }

    fn handle_online(&mut self, now: Mono, frame: Frame) -> Handled {
        match frame {
            Frame::Deliver(deliver) => self.on_deliver(deliver)?,
            Frame::Accepted(accepted) => self.on_accepted(&accepted)?,
            Frame::Rejected(rejected) => self.on_rejected(now, &rejected)?,
            Frame::Gap(gap) => self.on_gap(&gap)?,
            Frame::Ping(ping) => self.on_ping(now, ping),
            Frame::Pong(_) => {} // any frame counts as life
            Frame::GoAway(go_away) => self.on_go_away(now, &go_away),
            Frame::Close(close) => self.on_close(now, close),
            Frame::Refreshed(refreshed) => {
                let event = Event::Refreshed {
                    request_id: refreshed.request_id,
                    expires_at: Wall(refreshed.expires_at),
                };
                self.on_answer(refreshed.request_id, event)?;
            }
            Frame::DeviceList(list) => {
                let event = Event::Devices { request_id: list.request_id, devices: list.devices };
                self.on_answer(list.request_id, event)?;
            }
            Frame::Unlinked(unlinked) => {
                let event = Event::Unlinked { request_id: unlinked.request_id, device: unlinked.device };
                self.on_answer(unlinked.request_id, event)?;
            }
            Frame::Welcome(_) => return Err(ServerFault::Unexpected { frame: "Welcome" }),
        }
        Ok(())
    }

    fn on_ping(&mut self, now: Mono, ping: wire::Ping) {
        self.emit(now, ClientFrame::Pong(wire::Pong { nonce: ping.nonce }));
    }

    fn on_answer(&mut self, request_id: u64, event: Event) -> Handled {
        if !self.link.close_request(request_id) {
            return Err(ServerFault::Answer { request_id });
        }
        self.tell(event);
        Ok(())
    }

    fn on_welcome(&mut self, now: Mono, welcome: &wire::Welcome) -> Handled {
        if welcome.version != PROTOCOL_VERSION {
            return Err(ServerFault::Invalid { frame: "Welcome", field: "version" });
        }
        let incarnation = <[u8; 16]>::try_from(welcome.incarnation.as_ref())
            .map(Incarnation)
            .map_err(invalid("Welcome", "incarnation"))?;
        let resumed_at = Offset(welcome.resumed_at);
        let rewound = self.incarnation.is_some_and(|known| known != incarnation);
        if rewound {
            self.incoming.rewind(resumed_at);
        }
        self.unsaved |= self.incarnation != Some(incarnation);
        self.incarnation = Some(incarnation);
        self.incoming.resume(self.link.named, resumed_at);
        self.link.phase = Phase::Online(now);
        self.link.resume_refused = false;
        self.link.end_offset = Some(Offset(welcome.end_offset));
        self.link.window = welcome.window;
        let send_window = self.config.send_window.min(welcome.send_window).max(1);
        self.link.send_window = usize::try_from(send_window).unwrap_or(1);
        self.link.heartbeat = self.heartbeat(welcome.heartbeat_s);
        let durability = durability(welcome.durability());
        self.tell(Event::Welcome(Welcome {
            incarnation,
            resumed_at,
            linked_now: welcome.linked_now,
            end_offset: Offset(welcome.end_offset),
            window: welcome.window,
            send_window: welcome.send_window,
            heartbeat: self.link.heartbeat,
            durability,
            server_time: Wall(welcome.server_time),
            limits: welcome.limits.unwrap_or_default(),
        }));
        if rewound {
            self.tell(Event::Gap(Gap {
                offset: None,
                conversation: None,
                from: Sequence::NONE,
                through: Sequence::NONE,
                reason: wire::GapReason::HistoryRewound,
            }));
        }
        self.outgoing.release_retries(now);
        Ok(())
    }

    /// What the server granted, else what was asked for, else the documented default.
    fn heartbeat(&self, granted_s: u32) -> Duration {
        let granted = Duration::from_secs(u64::from(granted_s));
        let default = iris_protocol::limits::Limits::default().heartbeat;
        [granted, self.config.heartbeat].into_iter().find(|heartbeat| !heartbeat.is_zero()).unwrap_or(default)
    }

    fn on_deliver(&mut self, deliver: wire::Deliver) -> Handled {
        let conversation =
            ConversationId::parse(&deliver.conversation).map_err(invalid("Deliver", "conversation"))?;
        let place = Place {
            offset: Offset(deliver.offset),
            sequence: Sequence(deliver.sequence),
            previous: Sequence(deliver.previous_sequence),
            is_own: false,
        };
        let message = Message {
            offset: place.offset,
            sequence: place.sequence,
            conversation,
            sender: UserId::parse(&deliver.sender).map_err(invalid("Deliver", "sender"))?,
            device: Some(DeviceId::parse(&deliver.device).map_err(invalid("Deliver", "device"))?),
            message_id: MessageId::parse(&deliver.message_id).map_err(invalid("Deliver", "message_id"))?,
            server_time: Wall(deliver.server_time),
            payload: deliver.payload,
        };
        if place.previous >= place.sequence {
            return Err(ServerFault::Invalid { frame: "Deliver", field: "previous_sequence" });
        }
        if is_foreign(&message.conversation, &self.user) {
            return Err(ServerFault::Invalid { frame: "Deliver", field: "conversation" });
        }
        self.apply(place, message)
    }

    pub(super) fn apply(&mut self, place: Place, message: Message) -> Handled {
        let event = match self.incoming.envelope(&message.conversation, place)? {
            Verdict::Apply => Event::Message(message),
            Verdict::Duplicate => Event::Duplicate {
                offset: message.offset,
                conversation: message.conversation,
                sequence: message.sequence,
                message_id: message.message_id,
            },
        };
        self.tell(event);
        Ok(())
    }

    fn tell_if_caught_up(&mut self) {
        if !self.link.is_online() {
            return;
        }
        if let Some(end_offset) = self.link.end_offset.take_if(|end| *end <= self.incoming.received()) {
            self.tell(Event::CaughtUp { end_offset });
        }
    }

    fn on_gap(&mut self, gap: &wire::Gap) -> Handled {
        let conversation = match gap.conversation.as_str() {
            "" => None,
            text => Some(ConversationId::parse(text).map_err(invalid("Gap", "conversation"))?),
        };
        let (from, through) = (Sequence(gap.from_sequence), Sequence(gap.through_sequence));
        let offset = Offset(gap.offset);
        if self.incoming.gap(offset, conversation.as_ref(), through) {
            let reason = gap.reason();
            self.tell(Event::Gap(Gap { offset: Some(offset), conversation, from, through, reason }));
        }
        Ok(())
    }

    fn on_go_away(&mut self, now: Mono, go_away: &wire::GoAway) {
        let (reconnect_after, close_after) = (ms(go_away.reconnect_after_ms), ms(go_away.close_after_ms));
        // A token that ends is no reason to go: a Refresh keeps the session, and a reconnect gains nothing.
        if go_away.reason != CloseCode::TokenExpired.number() {
            self.link.leave =
                Some(Leave { reconnect_at: now.after(reconnect_after), close_at: now.after(close_after) });
        }
        self.tell(Event::GoAway { reason: go_away.reason, reconnect_after, close_after });
    }

    fn on_close(&mut self, now: Mono, close: wire::Close) {
        let code = CloseCode::from_number(close.code);
        let class = CloseClass::of_number(close.code);
        self.link.next = after_close(class);
        self.link.hint = close.retry_after_ms.map(|retry_ms| now.after(ms(retry_ms)));
        let at_login = matches!(self.link.phase, Phase::LoggingIn(_));
        if code == Some(CloseCode::AckTooHigh) && at_login && self.link.named.is_some() {
            self.link.resume_refused = true;
        } else if class == CloseClass::ClientFault {
            self.link.hint = Some(now.after(self.config.backoff.cap));
        }
        let next = self.link.next;
        self.tell(Event::Closed(Closed { code, number: close.code, message: close.message, next }));
        self.leave(now, DisconnectReason::ClosedByServer);
    }
}

/// True for a direct conversation of other users.
fn is_foreign(conversation: &ConversationId, user: &UserId) -> bool {
    conversation.as_str().starts_with("d:") && !conversation.is_direct_member(user)
}

/// What the session does after a close. A client's own fault is reported, and does not keep it away for good.
fn after_close(class: CloseClass) -> Next {
    match class {
        CloseClass::Reconnect | CloseClass::ClientFault => Next::Reconnect,
        CloseClass::FreshToken => Next::FreshToken,
        CloseClass::Stop => Next::Stop,
    }
}
