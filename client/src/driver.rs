//! One device's session on a real socket, clock and file. Blocking, one connection at a time.
//!
//! An event counts as stored once the caller asks for the next one (see [`Stores`]): print or save it first.
//!
//! Invariants
//! - The state is saved before a frame that rests on it is written: an outbox entry before its Send, the stored offset
//!   before its Ack.
//! - A message id is minted right before the first transmission, by nobody else.

use crate::conn::{self, Conn, ConnError, Ready};
use crate::endpoint::Endpoint;
use crate::session::{DisconnectReason, Event, Next, Output, SendError, ServerFault, Session, SessionConfig};
use crate::state::{Draft, Target};
use crate::store::{Store, StoreError};
use crate::token::{Claims, TokenError, TokenSource};
use bytes::Bytes;
use iris_protocol::frame::decode_server;
use iris_protocol::{MessageId, Mono, Offset};
use rustix::event::{PollFd, PollFlags};
use std::collections::VecDeque;
use std::os::fd::BorrowedFd;
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// How long a TCP connect may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// The longest wait for a descriptor: keeps the time arithmetic of the system call simple.
const WAIT_MAX: Duration = Duration::from_mins(1);

/// Why a driver cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum DriverError {
    /// The state cannot be loaded or saved. Nothing that rests on it was sent.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// There is no usable token.
    #[error(transparent)]
    Token(#[from] TokenError),
    /// A message was not taken.
    #[error(transparent)]
    Send(#[from] SendError),
    /// The system refused to wait for the connection.
    #[error("cannot wait for the connection: {0}")]
    Wait(#[from] std::io::Error),
}

/// When an event counts as stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stores {
    /// Once the caller asks for the next one.
    AfterHandling,
    /// When the caller says so with [`Driver::stored`], or never.
    ByCaller,
}

/// Whether `run` goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flow {
    /// On.
    Continue,
    /// Returns to the caller; the event in hand counts as handled with the next call.
    Stop,
}

/// What a driver needs.
#[derive(Clone, Debug)]
pub struct DriverConfig {
    /// The server.
    pub endpoint: Endpoint,
    /// The token.
    pub token: TokenSource,
    /// The state file; `None`: the state is gone with the driver.
    pub state: Option<PathBuf>,
    /// When events count as stored.
    pub stores: Stores,
    /// How often a token file is looked at for a fresh token.
    pub token_check: Duration,
    /// The session's settings.
    pub session: SessionConfig,
}

impl DriverConfig {
    /// Defaults, without a state file.
    pub fn new(endpoint: Endpoint, token: TokenSource) -> Self {
        Self {
            endpoint,
            token,
            state: None,
            stores: Stores::AfterHandling,
            token_check: Duration::from_secs(5),
            session: SessionConfig::default(),
        }
    }
}

/// What the caller sees beside the session's events.
#[derive(Clone, Debug)]
pub enum Notice {
    /// An event of the session.
    Event(Event),
    /// A message got its id and goes out for the first time.
    Sending {
        /// Its id.
        message_id: MessageId,
        /// Where it goes.
        target: Target,
        /// Its bytes.
        payload: Bytes,
    },
    /// A connection could not be made, or broke. The session tries again.
    Lost {
        /// Why.
        why: String,
    },
}

/// Differs between starts, and is not 0: from the random part of a fresh UUID.
fn fresh_instance() -> u32 {
    let [_, .., a, b, c, d] = uuid::Uuid::now_v7().into_bytes();
    u32::from_be_bytes([a, b, c, d]) | 1
}

/// One device, driven.
pub struct Driver {
    session: Session,
    conn: Option<Conn>,
    endpoint: Endpoint,
    tokens: TokenSource,
    /// The token of the last Hello or Refresh.
    token: String,
    claims: Claims,
    store: Option<Store>,
    stores: Stores,
    notices: VecDeque<Notice>,
    /// The offset of the event that the caller has in hand.
    in_hand: Option<Offset>,
    drafts: VecDeque<Draft>,
    drafts_unsaved: bool,
    start: Instant,
    token_check: Duration,
    token_checked: Instant,
}

impl Driver {
    /// Loads token and state, and begins to connect with the next call that waits.
    ///
    /// # Errors
    /// [`DriverError`]: nothing was sent.
    pub fn new(mut config: DriverConfig) -> Result<Self, DriverError> {
        if config.session.instance == 0 {
            config.session.instance = fresh_instance();
        }
        let token = config.token.read()?;
        let claims = Claims::of(&token)?;
        let (store, mut state) = match &config.state {
            None => (None, crate::DeviceState::default()),
            Some(path) => {
                let (store, state) = Store::open(path, &claims)?;
                (Some(store), state)
            }
        };
        let drafts = std::mem::take(&mut state.drafts).into();
        let mut driver = Self {
            session: Session::new(config.session, claims.user.clone(), state),
            conn: None,
            endpoint: config.endpoint,
            tokens: config.token,
            token,
            claims,
            store,
            stores: config.stores,
            notices: VecDeque::new(),
            in_hand: None,
            drafts,
            drafts_unsaved: false,
            start: Instant::now(),
            token_check: config.token_check,
            token_checked: Instant::now(),
        };
        driver.open();
        Ok(driver)
    }

    /// Whose device this is.
    pub fn claims(&self) -> &Claims {
        &self.claims
    }

    /// The session, for its readers.
    pub fn session(&self) -> &Session {
        &self.session
    }

    /// Queues a message. Its id is minted when it goes out for the first time.
    ///
    /// # Errors
    /// [`SendError::PayloadTooLarge`]: nothing was queued.
    pub fn submit(&mut self, target: Target, payload: Bytes) -> Result<(), SendError> {
        SendError::check(&payload)?;
        self.drafts.push_back(Draft { target, payload });
        self.drafts_unsaved = true;
        Ok(())
    }

    /// Sends under an id of the caller's: for tests of retries.
    ///
    /// # Errors
    /// [`DriverError::Send`] if the message is too large or too many wait.
    pub fn send(&mut self, target: Target, message_id: MessageId, payload: Bytes) -> Result<(), DriverError> {
        let now = self.now();
        Ok(self.session.send(now, target, message_id, payload)?)
    }

    /// Messages without an answer, those without an id included.
    pub fn unanswered_count(&self) -> usize {
        self.drafts.len() + self.session.unanswered_count()
    }

    /// The caller has stored everything up to this offset (with [`Stores::ByCaller`]).
    pub fn stored(&mut self, through: Offset) {
        let now = self.now();
        self.session.stored(now, through);
    }

    /// Ends a stop of the session: after a conflict, when the user decides to come back.
    pub fn restart(&mut self) {
        let now = self.now();
        self.session.restart(now);
    }

    /// Uses another token from now on: renews a running session, or ends a wait for a fresh token.
    pub fn replace_token(&mut self, token: &str) {
        self.tokens = TokenSource::Fixed(token.to_owned());
        self.take_token(token);
    }

    /// Breaks the connection as a network would; the session comes back by itself.
    pub fn break_connection(&mut self) {
        self.conn = None;
        let now = self.now();
        self.session.disconnected(now);
    }

    /// Waits for the next notice; `None` if none came in time. What was given before counts as handled.
    ///
    /// # Errors
    /// [`DriverError`]: the driver is of no use any more.
    pub fn next(&mut self, timeout: Duration) -> Result<Option<Notice>, DriverError> {
        let deadline = Instant::now() + timeout;
        loop {
            if let Some(notice) = self.take_notice() {
                return Ok(Some(notice));
            }
            let left = deadline.saturating_duration_since(Instant::now());
            self.turn(None, left)?;
            if left.is_zero() {
                return Ok(self.take_notice());
            }
        }
    }

    /// Runs until `handle` says stop or the time is over. True: it said stop.
    ///
    /// # Errors
    /// [`DriverError`]: the driver is of no use any more.
    pub fn run(
        &mut self,
        timeout: Duration,
        mut handle: impl FnMut(&Notice) -> Flow,
    ) -> Result<bool, DriverError> {
        let deadline = Instant::now() + timeout;
        while let Some(notice) = self.next(deadline.saturating_duration_since(Instant::now()))? {
            if handle(&notice) == Flow::Stop {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// The next notice that is there already. The one before counts as handled.
    pub fn take_notice(&mut self) -> Option<Notice> {
        self.handled();
        let notice = self.notices.pop_front()?;
        self.in_hand = match &notice {
            Notice::Event(Event::Message(message)) => Some(message.offset),
            Notice::Event(Event::Gap(gap)) => gap.offset,
            Notice::Event(_) | Notice::Sending { .. } | Notice::Lost { .. } => None,
        };
        Some(notice)
    }

    /// What was given out counts as stored now.
    fn handled(&mut self) {
        if let Some(offset) = self.in_hand.take().filter(|_| self.stores == Stores::AfterHandling) {
            let now = self.now();
            self.session.stored(now, offset);
        }
    }

    /// One turn: does what is due, then waits for the connection, `other` or the time. True: `other` can be read.
    ///
    /// # Errors
    /// [`DriverError`]: the driver is of no use any more.
    pub fn turn(&mut self, other: Option<BorrowedFd<'_>>, timeout: Duration) -> Result<bool, DriverError> {
        self.work()?;
        let timeout = if self.notices.is_empty() { timeout.min(self.until_due()) } else { Duration::ZERO };
        let ready = self.wait(other, timeout)?;
        if ready.conn {
            self.read();
        }
        self.work()?;
        Ok(ready.other)
    }

    /// Leaves in order: acknowledges, saves, closes.
    ///
    /// # Errors
    /// [`DriverError::Store`] if the state cannot be saved.
    pub fn close(mut self) -> Result<(), DriverError> {
        self.handled();
        let now = self.now();
        self.session.close(now);
        self.work()?;
        self.save()
    }

    fn now(&self) -> Mono {
        Mono(1).after(self.start.elapsed())
    }

    fn until_due(&self) -> Duration {
        let due = self.session.next_deadline().map_or(WAIT_MAX, |deadline| deadline.since(self.now()));
        let watches_token = matches!(self.tokens, TokenSource::File(_));
        let token = if watches_token { self.token_check } else { WAIT_MAX };
        due.min(token).min(WAIT_MAX)
    }

    /// Everything that can be done without waiting.
    fn work(&mut self) -> Result<(), DriverError> {
        let now = self.now();
        self.session.tick(now);
        self.check_token();
        self.drain()?;
        self.mint_drafts()?;
        if self.notices.is_empty() {
            self.session.flush_acks(now);
        }
        self.drain()?;
        self.save_what_changed()?;
        if let Some(conn) = &mut self.conn
            && let Err(error) = conn.flush()
        {
            self.lost(&error);
        }
        Ok(())
    }

    /// Gives waiting texts their ids while the wire takes them.
    fn mint_drafts(&mut self) -> Result<(), DriverError> {
        while self.session.can_transmit() {
            let Some(Draft { target, payload }) = self.drafts.front().cloned() else {
                return Ok(());
            };
            let uuid = uuid::Uuid::now_v7();
            let Ok(message_id) = MessageId::parse(uuid.as_bytes()) else {
                unreachable!("uuid {uuid} is not of version 7");
            };
            self.send(target.clone(), message_id, payload.clone())?;
            self.drafts.pop_front();
            self.notices.push_back(Notice::Sending { message_id, target, payload });
        }
        Ok(())
    }

    fn save_what_changed(&mut self) -> Result<(), DriverError> {
        if self.session.unsaved() || self.drafts_unsaved { self.save() } else { Ok(()) }
    }

    fn save(&mut self) -> Result<(), DriverError> {
        if let Some(store) = &self.store {
            let mut state = self.session.state();
            state.drafts = self.drafts.iter().cloned().collect();
            store.save(&state)?;
        }
        self.session.saved();
        self.drafts_unsaved = false;
        Ok(())
    }

    /// Hands the session's outputs to caller and connection; `work` writes them once the state is saved.
    fn drain(&mut self) -> Result<(), DriverError> {
        while let Some(output) = self.session.poll() {
            match output {
                Output::Frame(frame) => {
                    if let Some(conn) = &mut self.conn {
                        conn.queue_frame(frame);
                    }
                }
                Output::Event(event) => self.notices.push_back(Notice::Event(event)),
                Output::Connect => self.reconnect(),
                Output::Disconnect { reason } => self.disconnect(reason)?,
            }
        }
        Ok(())
    }

    fn disconnect(&mut self, reason: DisconnectReason) -> Result<(), DriverError> {
        self.save_what_changed()?;
        tracing::debug!(?reason, "disconnected");
        if let Some(conn) = self.conn.take() {
            conn.close();
        }
        let why = match reason {
            DisconnectReason::AnswerTimeout | DisconnectReason::LoginTimeout => "the server does not answer",
            DisconnectReason::HeartbeatTimeout => "the server is silent",
            DisconnectReason::ServerFault
            | DisconnectReason::ClosedByServer
            | DisconnectReason::GoAway
            | DisconnectReason::ByCaller => return Ok(()),
        };
        self.notices.push_back(Notice::Lost { why: why.to_owned() });
        Ok(())
    }

    fn reconnect(&mut self) {
        match self.tokens.read() {
            Ok(token) => self.token = token,
            Err(error) => tracing::warn!(%error, "the last token is used again"),
        }
        self.open();
    }

    fn open(&mut self) {
        match Conn::open(&self.endpoint, CONNECT_TIMEOUT) {
            Ok(conn) => {
                tracing::debug!(address = ?conn.local_address(), "connected");
                self.conn = Some(conn);
                let now = self.now();
                self.session.connected(now, &self.token);
            }
            Err(error) => self.lost(&error),
        }
    }

    fn lost(&mut self, error: &ConnError) {
        tracing::debug!(%error, "connection lost");
        self.conn = None;
        let now = self.now();
        self.session.disconnected(now);
        self.notices.push_back(Notice::Lost { why: error.to_string() });
    }

    fn wait(&self, other: Option<BorrowedFd<'_>>, timeout: Duration) -> Result<Ready, DriverError> {
        if let Some(conn) = &self.conn {
            return match conn.wait(other, timeout) {
                Ok(ready) => Ok(ready),
                Err(ConnError::Io(error)) => Err(error.into()),
                Err(_) => Ok(Ready { conn: true, other: false }),
            };
        }
        let mut fds: Vec<PollFd<'_>> =
            other.into_iter().map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN)).collect();
        conn::poll(&mut fds, timeout)?;
        Ok(Ready { conn: false, other: fds.iter().any(|fd| !fd.revents().is_empty()) })
    }

    /// Takes everything the socket has, and hands complete frames to the session.
    fn read(&mut self) {
        let Some(conn) = &mut self.conn else {
            return;
        };
        let read = conn.read();
        let now = Mono(1).after(self.start.elapsed());
        while self.session.is_connected() {
            match conn.next_body().and_then(|body| Ok(body.map(decode_server).transpose()?)) {
                Ok(None) => break,
                Ok(Some(frame)) => self.session.handle(now, frame),
                Err(error @ ConnError::Upgrade(_)) => return self.lost(&error),
                Err(error) => {
                    let why = format!("no frame came: {error}; {}", conn.evidence());
                    self.notices.push_back(Notice::Lost { why });
                    self.session.fault(now, ServerFault::Invalid { frame: "ServerFrame", field: "body" });
                }
            }
        }
        if !self.session.is_connected() {
            return; // the outputs say how to go on
        }
        match read {
            Ok(true) => {}
            Ok(false) => self.lost(&ConnError::Io(std::io::ErrorKind::UnexpectedEof.into())),
            Err(error) => self.lost(&error),
        }
    }

    /// A renewed token file renews the session, or ends its wait for a fresh token.
    fn check_token(&mut self) {
        let TokenSource::File(_) = &self.tokens else {
            return;
        };
        if self.token_checked.elapsed() < self.token_check {
            return;
        }
        self.token_checked = Instant::now();
        if let Ok(token) = self.tokens.read()
            && token != self.token
        {
            self.take_token(&token);
        }
    }

    fn take_token(&mut self, token: &str) {
        token.clone_into(&mut self.token);
        let now = self.now();
        if self.session.next() == Next::FreshToken {
            self.session.restart(now);
        } else if self.session.refresh(now, token).is_err() {
            tracing::debug!("the fresh token is used at the next login");
        }
    }
}
