//! The connections of one ring: a slab whose entries are small, because there are a million of them.
//!
//! Invariants
//! - An entry is 40 bytes; what only some connections need lives in side tables.
//! - `pending` counts the operations that still owe their last completion; a slot with any is never freed.
//! - The generation changes when a slot is freed, so that no tag of its former owner names the next.

use crate::event::CloseCause;

/// No slot, no descriptor, no side-table entry.
pub(crate) const NONE: u32 = u32::MAX;

/// Where a connection is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Phase {
    /// Nobody's.
    Free,
    /// Being made: socket, options, bind, connect.
    Connecting,
    /// Accepted; its peer's address is being asked for.
    Naming,
    /// In use.
    Open,
    /// Its receive and its send are ending, to be moved.
    Detaching,
    /// Quiet: moved here and not yet armed, or ready to be moved.
    Detached,
    /// Its descriptor is being sent to another core.
    Moving,
    /// Closed here; what the peer still sends is thrown away for a while.
    Draining,
    /// Waits for its last completions.
    Closing,
    /// The close itself is in the ring.
    Closed,
}

/// What takes bytes from the socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Receive {
    /// Nothing.
    Off,
    /// A multishot receive.
    Armed,
    /// A poll, because the connection is silent.
    Polling,
    /// A single receive of what ended the poll of a silent connection.
    Once,
    /// A receive or poll that was told to end and has not yet.
    Stopping,
}

macro_rules! flags {
    ($($read:ident $write:ident $bit:expr, $doc:literal;)*) => {
        /// Facts about a slot, a bit each.
        #[derive(Debug, Clone, Copy, Default)]
        pub(crate) struct Flags(u16);

        impl Flags {
            $(
                #[doc = $doc]
                pub(crate) fn $read(self) -> bool {
                    self.0 & (1 << $bit) != 0
                }

                pub(crate) fn $write(&mut self, on: bool) {
                    self.0 = self.0 & !(1 << $bit) | u16::from(on) << $bit;
                }
            )*
        }
    };
}

flags! {
    in_wheel set_in_wheel 0, "It is in a bucket of the wheel; belongs to the slot, not to its owner.";
    paused set_paused 1, "The owner does not want bytes now.";
    waiting set_waiting 2, "It waits for buffers or for the next turn before it receives again.";
    silent set_silent 3, "It is to be polled, not received from.";
    sending set_sending 4, "A send is in the ring.";
    shut set_shut 5, "Our side has been shut down.";
    close_wanted set_close_wanted 6, "Close it when the move has failed.";
    moved set_moved 7, "Another core has it; the close ends with `Moved`.";
    unannounced set_unannounced 8, "The owner does not know of it yet: no event is owed.";
    readable set_readable 9, "Its poll has ended: there is something to receive.";
}

/// One connection.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Slot {
    pub(crate) generation: u32,
    /// Index in the ring's descriptor table.
    pub(crate) descriptor: u32,
    pub(crate) wheel_next: u32,
    /// Tick of the last byte received.
    pub(crate) last_tick: u32,
    /// Entry in a side table: the send in flight, the address of a connect, or the next free slot.
    pub(crate) side: u32,
    /// Bytes received in the turn `turn`.
    pub(crate) taken: u32,
    pub(crate) turn: u32,
    cause: i32,
    pub(crate) pending: u16,
    /// How often a silent connection said something within the time of silence.
    pub(crate) stirs: u8,
    pub(crate) flags: Flags,
    pub(crate) phase: Phase,
    pub(crate) receive: Receive,
}

const _: () = assert!(size_of::<Slot>() <= 40);

impl Slot {
    fn new() -> Self {
        Self {
            generation: 0,
            descriptor: NONE,
            wheel_next: NONE,
            last_tick: 0,
            side: NONE,
            taken: 0,
            turn: 0,
            cause: 0,
            pending: 0,
            stirs: 0,
            flags: Flags::default(),
            phase: Phase::Free,
            receive: Receive::Off,
        }
    }

    /// Whether a receive is armed for an owner, so that silence means something.
    pub(crate) fn is_receiving(&self) -> bool {
        self.phase == Phase::Open && self.receive == Receive::Armed
    }

    /// Counts an operation's last completion.
    pub(crate) fn complete(&mut self) {
        assert!(self.pending > 0, "a completion nobody waited for: {self:?}");
        self.pending -= 1;
    }

    pub(crate) fn cause(&self) -> CloseCause {
        match self.cause {
            0 => CloseCause::Local,
            -1 => CloseCause::Peer,
            -2 => CloseCause::Reset,
            errno => CloseCause::Error(errno),
        }
    }

    pub(crate) fn set_cause(&mut self, cause: CloseCause) {
        self.cause = match cause {
            CloseCause::Local => 0,
            CloseCause::Peer => -1,
            CloseCause::Reset => -2,
            CloseCause::Error(errno) => errno,
        };
    }
}

/// A slot's index with the generation it was noted in.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SlotRef {
    pub(crate) index: u32,
    pub(crate) generation: u32,
}

#[derive(Debug)]
pub(crate) struct Slots {
    entries: Vec<Slot>,
    free: u32,
    len: u32,
}

impl Slots {
    /// Reserves address space, not memory: a page is used when its first slot is.
    pub(crate) fn with_capacity(capacity: u32) -> Self {
        Self { entries: Vec::with_capacity(capacity as usize), free: NONE, len: 0 }
    }

    /// Slots in use.
    pub(crate) fn len(&self) -> u32 {
        self.len
    }

    /// Slots that are, or were, in use: their indexes are below.
    pub(crate) fn places(&self) -> u32 {
        u32::try_from(self.entries.len()).unwrap_or(NONE)
    }

    /// Memory of the slots that are, or were, in use, in bytes.
    pub(crate) fn bytes(&self) -> usize {
        self.entries.len() * size_of::<Slot>()
    }

    /// A slot for a new owner, in the phase `Closing` until the caller says otherwise.
    pub(crate) fn insert(&mut self) -> u32 {
        let index = if self.free == NONE {
            self.entries.push(Slot::new());
            u32::try_from(self.entries.len() - 1).unwrap_or(NONE)
        } else {
            self.free
        };
        let slot = &mut self.entries[index as usize];
        assert!(slot.phase == Phase::Free, "slot {index} is in use: {slot:?}");
        if self.free != NONE {
            self.free = slot.side;
        }
        slot.side = NONE;
        slot.phase = Phase::Closing;
        self.len += 1;
        index
    }

    /// Frees a slot that has nothing in the ring.
    pub(crate) fn remove(&mut self, index: u32) {
        let slot = &mut self.entries[index as usize];
        assert!(slot.phase != Phase::Free, "slot {index} is freed twice");
        assert!(slot.pending == 0, "slot {index} is freed before its last completion: {slot:?}");
        let mut flags = Flags::default();
        flags.set_in_wheel(slot.flags.in_wheel());
        *slot = Slot {
            generation: slot.generation.wrapping_add(1),
            wheel_next: slot.wheel_next,
            side: self.free,
            flags,
            ..Slot::new()
        };
        self.free = index;
        self.len -= 1;
    }

    pub(crate) fn at(&mut self, index: u32) -> &mut Slot {
        &mut self.entries[index as usize]
    }

    pub(crate) fn peek(&self, index: u32) -> &Slot {
        &self.entries[index as usize]
    }

    /// The slot, if it still has the owner of that generation.
    pub(crate) fn owned(&mut self, index: u32, generation: u32) -> Option<&mut Slot> {
        let slot = self.entries.get_mut(index as usize)?;
        (slot.generation == generation && slot.phase != Phase::Free).then_some(slot)
    }

    /// Whether the slot still has the owner of that generation.
    pub(crate) fn is_owned(&self, index: u32, generation: u32) -> bool {
        let slot = self.entries.get(index as usize);
        slot.is_some_and(|slot| slot.generation == generation && slot.phase != Phase::Free)
    }
}
