//! Rules of the shard switched off, one at a time, so that the simulator's checkers prove that they would notice.
//!
//! Only with feature `mutants`, which no shipped program has: without it nothing can be switched off, and every question
//! is answered at compile time, with no.
//!
//! Invariants
//! - Each mutant breaks one rule, in one place, and nothing else.

/// How often a mutant that spoils single messages does so: once in so many.
const RARELY: u64 = 200;

macro_rules! mutants {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        /// A rule that is off.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Mutant { $($(#[$doc])* $name,)* }

        impl Mutant {
            /// Every one.
            pub const ALL: &[Self] = &[$(Self::$name,)*];

            /// Its name.
            pub fn name(self) -> &'static str {
                match self { $(Self::$name => stringify!($name),)* }
            }
        }
    };
}

mutants! {
    /// A message is acknowledged and forwarded before its record is durable.
    AckBeforeStored,
    /// One accepted message in many is left out of an inbox.
    MessageDropped,
    /// Two deliveries in many change places.
    DeliveriesSwapped,
    /// One delivery in many is sent twice.
    DeliveredTwice,
    /// One delivery in many goes to somebody else's connection.
    DeliveredToStranger,
    /// One payload in many is altered.
    PayloadAltered,
    /// A sequence is left out now and then.
    SequenceSkipped,
    /// A retry is answered with another sequence.
    ReplayedWrong,
    /// An envelope that the watermark says is known is taken again.
    WatermarkIgnored,
    /// A known envelope is ignored without a confirmation.
    KnownNotConfirmed,
    /// The watermark of an entry that needed no record is not recorded.
    WatermarkLost,
    /// A home confirms what is not durable yet.
    ConfirmedBeforeDurable,
    /// What was accepted before a stop is not forwarded after it.
    OutboxForgotten,
    /// The age of an id is judged before it is looked up.
    AgeBeforeLookUp,
    /// An id whose record is in flight counts as unknown.
    InFlightUnknown,
    /// After a boot, ids that are not in memory count as new.
    HorizonAtZero,
    /// After a boot, ids younger than the shard clock count as new.
    HorizonAtClock,
    /// An id that left memory counts as new.
    ForgottenIdIsNew,
    /// An entry leaves the inbox when it was sent.
    DeletedWhenSent,
    /// An entry leaves the inbox when one device has it.
    OneDeviceIsEnough,
    /// A device gets more than its window.
    WindowIgnored,
    /// A device is welcomed before its row is durable.
    LinkNotDurable,
    /// A user without devices keeps no inbox.
    UnclaimedDropped,
    /// The first device of a user starts behind what waits for it.
    FirstDeviceAtEnd,
    /// Messages are accepted although the disk has no room.
    FullDiskIgnored,
    /// Mail is sent without credits.
    CreditsIgnored,
    /// A boot does not raise the generation.
    GenerationNotRaised,
    /// A full inbox refuses a message that is accepted all the same.
    InboxFullAfterAcceptance,
    /// Messages are accepted for a full inbox.
    InboxFullIgnored,
    /// A user without devices is granted many envelopes at a time.
    UnclaimedUnlimited,
    /// Messages are accepted for users without devices although all unclaimed inboxes together are full.
    UnclaimedTotalIgnored,
    /// An owner holds more than K unconfirmed for a recipient.
    UnconfirmedUnlimited,
    /// An own copy that a full inbox does not take leaves no gap.
    OwnCopyGapMissing,
    /// Expired entries go without a gap.
    ExpiredWithoutGap,
    /// Entries expire at once.
    ExpiredYoung,
    /// A detached device is told of no gap when it returns.
    DetachedUntold,
    /// A device that was detached is welcomed before its row says so.
    ReturnNotDurable,
    /// A full inbox detaches the device that is not behind, too.
    NotBehindDetached,
    /// A device is silent when it is offline.
    NotSilentDetached,
    /// A session starts below the stored cursor, at the offset that the device names.
    ResumeBelowCursor,
    /// A device that named less than it acknowledged is told of no gap.
    AlreadyAckedUntold,
    /// An acknowledgement of what was never sent is taken.
    AckTooHighIgnored,
    /// A delivery names no sequence before it.
    PreviousWrong,
    /// Another payload under a known id counts as a retry.
    ConflictIgnored,
    /// A device that was unlinked goes on getting messages until the process stops.
    UnlinkedKept,
    /// A device that returns after an unlink, with an offset, is told of no gap.
    RelinkedUntold,
    /// A new connection of a device leaves the older one open.
    OldConnectionKept,
    /// A Hello of an abandoned connection closes the one that the same client opened later.
    LateHelloWins,
    /// After a boot, what is new is forwarded before what is old.
    NewBeforeOld,
    /// Entries go into a record in the reverse of their order.
    EntriesOutOfOrder,
    /// New conversations are not counted.
    ConversationsUnlimited,
    /// Sends are not counted.
    SendsUnlimited,
    /// The last device that holds entries is unlinked while a purge is at its rows.
    UnlinkedInPurge,
    /// A gap entry of the retention is put over the row that it replaces.
    RowReplaced,
    /// A device that is connected and acknowledges nothing counts as silent.
    ConnectedIsSilent,
    /// A user may have any number of devices.
    DevicesUnlimited,
    /// Users, channels and conversations leave memory before the tables hold their last records.
    ForgottenBeforeFilled,
}

#[cfg(feature = "mutants")]
static ACTIVE: std::sync::OnceLock<Mutant> = std::sync::OnceLock::new();

/// Breaks a rule for the rest of the process.
///
/// # Panics
/// If another one is broken already: a process judges one.
#[cfg(feature = "mutants")]
pub fn switch_on(mutant: Mutant) {
    assert!(*ACTIVE.get_or_init(|| mutant) == mutant, "two mutants in one process");
}

/// True if this rule is off.
#[cfg(feature = "mutants")]
pub fn is_on(mutant: Mutant) -> bool {
    ACTIVE.get() == Some(&mutant)
}

/// True if this rule is off: never, in what is shipped.
#[cfg(not(feature = "mutants"))]
pub const fn is_on(_: Mutant) -> bool {
    false
}

/// True if a mutant that spoils single messages is to spoil this one, the `count`th of its kind.
pub(crate) fn strikes(mutant: Mutant, count: u64) -> bool {
    is_on(mutant) && count % RARELY == 7
}
