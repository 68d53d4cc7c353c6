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
