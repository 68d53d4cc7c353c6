//! One connection as the core loop sees it, and the table of all of them.
//!
//! Invariants
//! - The shard knows a connection from its Login until [`Phase::Open`] ends with the reactor's `Closed`.
//! - At most one send is in flight; everything else waits in `pending`, joined.

use crate::framing::Framing;
use crate::tls::TlsConn;
use iris_protocol::limits::{FRAME_BYTES_MAX, HELLO_BYTES_MAX};
use iris_reactor::Conn;
use iris_shard::io::ConnId;

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

/// All connections of a core, found by the reactor's slot without hashing.
#[derive(Default)]
pub(crate) struct ConnTable {
    rings: Vec<Vec<Option<Box<ConnState>>>>,
    count: usize,
}

impl ConnTable {
    /// Adds a connection.
    pub(crate) fn insert(&mut self, state: ConnState) {
        let (ring, index) = state.conn.place();
        if self.rings.len() <= ring {
            self.rings.resize_with(ring + 1, Vec::new);
        }
        let slots = &mut self.rings[ring];
        if slots.len() <= index {
            slots.resize_with(index + 1, || None);
        }
        let old = slots[index].replace(Box::new(state));
        assert!(old.is_none(), "connection slot {ring}/{index} is used twice");
        self.count += 1;
    }

    /// The connection of this name, if it is still there.
    pub(crate) fn find(&mut self, conn: Conn) -> Option<&mut ConnState> {
        let (ring, index) = conn.place();
        let state = self.rings.get_mut(ring)?.get_mut(index)?.as_deref_mut()?;
        (state.conn == conn).then_some(state)
    }

    /// Takes a connection out.
    pub(crate) fn remove(&mut self, conn: Conn) -> Option<Box<ConnState>> {
        self.find(conn)?;
        let (ring, index) = conn.place();
        let state = self.rings.get_mut(ring)?.get_mut(index)?.take();
        self.count -= usize::from(state.is_some());
        state
    }

    /// Connections in the table.
    pub(crate) fn len(&self) -> usize {
        self.count
    }
}
