//! One connection as the core loop sees it, and the table of all of them.
//!
//! Invariants
//! - The shard knows a connection from its Login until [`Phase::Open`] ends with the reactor's `Closed`.
//! - At most one send is in flight; everything else waits in `pending`, joined.

use crate::framing::Framing;
use crate::revocations::TokenMark;
use crate::tls::TlsConn;
use iris_protocol::limits::{FRAME_BYTES_MAX, HELLO_BYTES_MAX};
use iris_reactor::Conn;
use iris_shard::io::ConnId;
use iris_shard::memory::block_bytes;

/// What TLS takes for an idle connection, in bytes: rustls's state of both directions, and ours around it.
///
/// Source: `iris-bench memory`, with and without `--tls`; the command tells when the sum of the ledger is not what was measured.
const TLS_BYTES: u64 = 3_760;
/// Looks in which the ledger has seen every connection once: a minute of them.
const SURVEY_ROUNDS: usize = 600;
/// Places that one look of the ledger takes at least.
const SURVEY_MIN: usize = 512;

/// What carries the bytes.
pub(crate) enum Transport {
    /// TCP on loopback, by flag.
    Plain,
    /// TLS 1.3.
    Tls(Box<TlsLink>),
}

/// TLS, and what it has to say.
pub(crate) struct TlsLink {
    /// The protocol.
    pub(crate) conn: TlsConn,
    /// Handshake bytes and alerts that wait for the send in flight; after TLS.
    pub(crate) sealed: Vec<u8>,
}

impl Transport {
    /// True if TLS bytes wait to be sent.
    pub(crate) fn has_sealed(&self) -> bool {
        match self {
            Self::Plain => false,
            Self::Tls(link) => !link.sealed.is_empty(),
        }
    }
}

/// Where a connection stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// No valid Hello yet.
    Login,
    /// The token was refused: the answer waits for its fixed delay.
    Refused,
    /// The user lives on another core.
    Moving,
    /// The shard has it.
    Open,
    /// A Close frame is on its way.
    Closing,
}

/// One connection.
pub(crate) struct ConnState {
    /// The reactor's name for it.
    pub(crate) conn: Conn,
    /// What carries its bytes.
    pub(crate) transport: Transport,
    /// Where it stands.
    pub(crate) phase: Phase,
    /// How frames travel in them; the incomplete frame.
    pub(crate) framing: Framing,
    /// Frames that wait for the send in flight; before TLS.
    pub(crate) pending: Vec<u8>,
    /// Frame bytes inside the send in flight.
    pub(crate) sending_bytes: u32,
    /// True while it stands in the loop's list of connections to flush.
    pub(crate) dirty: bool,
    /// True once the reactor was told to close.
    pub(crate) closed: bool,
    /// True if the shard was given a Login and waits for Gone.
    pub(crate) in_shard: bool,
}

impl ConnState {
    /// A connection before its Hello.
    pub(crate) fn new(conn: Conn, transport: Transport, framing: Framing) -> Self {
        Self {
            conn,
            transport,
            phase: Phase::Login,
            framing,
            pending: Vec::new(),
            sending_bytes: 0,
            dirty: false,
            closed: false,
            in_shard: false,
        }
    }

    /// The shard's name for it.
    pub(crate) fn id(&self) -> ConnId {
        ConnId(self.conn.to_bits())
    }

    fn is_tls(&self) -> bool {
        matches!(self.transport, Transport::Tls(_))
    }

    /// Memory that it owns elsewhere, in bytes; without TLS.
    fn owned_bytes(&self) -> u64 {
        self.framing.bytes() + block_bytes(self.pending.capacity())
    }

    /// The frame limit in force.
    pub(crate) fn frame_bytes_max(&self) -> usize {
        match self.phase {
            Phase::Login => HELLO_BYTES_MAX,
            Phase::Refused | Phase::Moving | Phase::Open | Phase::Closing => FRAME_BYTES_MAX,
        }
    }
}

// The budget of an idle connection here; TLS and WebSocket come on top.
const _: () = assert!(size_of::<ConnState>() <= 56);

/// One of the reactor's rings.
#[derive(Default)]
struct Places {
    states: Vec<Option<Box<ConnState>>>,
    /// Of each connection's token, beside the states: inside, it would cost 24 bytes instead of 12.
    marks: Vec<TokenMark>,
}

/// All connections of a core, found by the reactor's slot without hashing.
#[derive(Default)]
pub(crate) struct ConnTable {
    rings: Vec<Places>,
    count: usize,
    /// Of these: with TLS.
    tls: usize,
    survey: Survey,
}

/// What the connections hold, looked at a part at a time.
#[derive(Default)]
struct Survey {
    next: (usize, usize),
    sum: u64,
    /// Of the last whole round.
    last: u64,
}

impl ConnTable {
    /// Adds a connection.
    pub(crate) fn insert(&mut self, state: ConnState) {
        let (ring, index) = state.conn.place();
        if self.rings.len() <= ring {
            self.rings.resize_with(ring + 1, Places::default);
        }
        let places = &mut self.rings[ring];
        if places.states.len() <= index {
            places.states.resize_with(index + 1, || None);
            places.marks.resize(index + 1, TokenMark::default());
        }
        self.tls += usize::from(state.is_tls());
        let old = places.states[index].replace(Box::new(state));
        assert!(old.is_none(), "connection slot {ring}/{index} is used twice");
        places.marks[index] = TokenMark::default();
        self.count += 1;
    }

    /// Keeps the mark of the token that a connection lives by.
    pub(crate) fn set_mark(&mut self, conn: Conn, mark: TokenMark) {
        let (ring, index) = conn.place();
        if self.find(conn).is_some() {
            self.rings[ring].marks[index] = mark;
        }
    }

    /// The mark of a connection's token, if it is still there.
    pub(crate) fn mark(&mut self, conn: Conn) -> Option<TokenMark> {
        let (ring, index) = conn.place();
        self.find(conn)?;
        self.rings[ring].marks.get(index).copied()
    }

    /// The connections whose mark is one of these.
    pub(crate) fn marked(&self, is_asked: impl Fn(TokenMark) -> bool) -> Vec<ConnId> {
        let all = self.rings.iter().flat_map(|places| places.states.iter().zip(&places.marks));
        let asked = all.filter(|(state, mark)| state.is_some() && is_asked(**mark));
        asked.filter_map(|(state, _)| state.as_deref().map(ConnState::id)).collect()
    }

    /// The connection of this name, if it is still there.
    pub(crate) fn find(&mut self, conn: Conn) -> Option<&mut ConnState> {
        let (ring, index) = conn.place();
        let state = self.rings.get_mut(ring)?.states.get_mut(index)?.as_deref_mut()?;
        (state.conn == conn).then_some(state)
    }

    /// Takes a connection out.
    pub(crate) fn remove(&mut self, conn: Conn) -> Option<Box<ConnState>> {
        self.find(conn)?;
        let (ring, index) = conn.place();
        let state = self.rings.get_mut(ring)?.states.get_mut(index)?.take();
        self.count -= usize::from(state.is_some());
        self.tls -= usize::from(state.as_deref().is_some_and(ConnState::is_tls));
        state
    }

    /// Goes on with the survey, and gives what connections take, and TLS for them, in bytes.
    pub(crate) fn memory(&mut self) -> (u64, u64) {
        let places: usize = self.rings.iter().map(|ring| ring.states.len()).sum();
        let mut sum = 0;
        let next = self.walk(self.survey.next, (places / SURVEY_ROUNDS).max(SURVEY_MIN), |state| {
            sum += state.owned_bytes();
            true
        });
        let survey = &mut self.survey;
        survey.sum += sum;
        survey.next = next.unwrap_or_default();
        if next.is_none() {
            survey.last = std::mem::take(&mut survey.sum);
        }
        let place = size_of::<Option<Box<ConnState>>>() + size_of::<TokenMark>();
        let bytes = |count: usize, each: u64| u64::try_from(count).unwrap_or(u64::MAX).saturating_mul(each);
        let states = bytes(self.count, block_bytes(size_of::<ConnState>()));
        (bytes(places * place, 1) + states + survey.last, bytes(self.tls, TLS_BYTES))
    }

    /// Shows connections from a place on, until `show` says false or `places_max` places were looked at. The place behind
    /// the last one; `None`: there are no more.
    pub(crate) fn walk(
        &self,
        from: (usize, usize),
        places_max: usize,
        mut show: impl FnMut(&ConnState) -> bool,
    ) -> Option<(usize, usize)> {
        let (mut places, mut begin) = (0, from.1);
        for (ring, slots) in self.rings.iter().enumerate().skip(from.0) {
            for (index, slot) in slots.states.iter().enumerate().skip(begin) {
                places += 1;
                let goes_on = slot.as_deref().is_none_or(&mut show);
                if !goes_on || places == places_max {
                    return Some((ring, index + 1));
                }
            }
            begin = 0;
        }
        None
    }

    /// Connections in the table.
    pub(crate) fn len(&self) -> usize {
        self.count
    }
}
