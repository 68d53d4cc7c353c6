//! Ids of users, devices, conversations and messages, and the slot that each belongs to.
//!
//! Invariants
//! - An id that exists as a value is valid: 1-64 bytes of `[A-Za-z0-9_.-]`.
//! - A direct conversation's id is `d:` + smaller user + `:` + larger user, bytewise.
//! - The slot function is version 1 and never changes: stored keys start with its result.

use crate::limits::{ID_BYTES_MAX, SLOTS};
use crate::time::Wall;
use smol_str::SmolStr;
use std::fmt;

/// Why a text is not an id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IdError {
    /// Empty, or longer than [`ID_BYTES_MAX`].
    #[error("an id has 1 to 64 bytes, this one has {bytes}")]
    Length {
        /// The length found.
        bytes: usize,
    },
    /// A byte outside `[A-Za-z0-9_.-]`.
    #[error("an id consists of A-Z a-z 0-9 _ . -")]
    Alphabet,
    /// Not a conversation id: neither `d:a:b` with a <= b nor `g:id`.
    #[error("a conversation id is d:a:b with a <= b, or g:id")]
    Conversation,
    /// A message id is 16 bytes, of UUID version 7.
    #[error("a message id is a uuid of version 7, 16 bytes")]
    MessageId,
}

fn check(text: &str) -> Result<(), IdError> {
    if text.is_empty() || text.len() > ID_BYTES_MAX {
        return Err(IdError::Length { bytes: text.len() });
    }
    let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-');
    if text.bytes().all(allowed) { Ok(()) } else { Err(IdError::Alphabet) }
}

macro_rules! text_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(SmolStr);

        impl $name {
            /// Checks and takes an id.
            ///
            /// # Errors
            /// [`IdError`] if the text is not a valid id.
            pub fn parse(text: &str) -> Result<Self, IdError> {
                check(text)?;
                Ok(Self(SmolStr::new(text)))
            }

            /// The id's text.
            pub fn as_str(&self) -> &str {
                self.0.as_str()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }
    };
}
text_id! {
    /// A user: the token's `sub`.
    UserId
}
text_id! {
    /// A device of a user: the token's `dev`. Unique for its user only.
    DeviceId
}

impl UserId {
    /// The slot that owns this user.
    pub fn slot(&self) -> Slot {
        Slot::of(self.as_str())
    }
}

/// A conversation: the unit of order.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConversationId(SmolStr);

impl ConversationId {
    /// The direct conversation of two users; both the same is a note to self.
    pub fn direct(a: &UserId, b: &UserId) -> Self {
        let (low, high) = if a <= b { (a, b) } else { (b, a) };
        Self(smol_str::format_smolstr!("d:{low}:{high}"))
    }

    /// Checks and takes a conversation id.
    ///
    /// # Errors
    /// [`IdError`] if the text is not `d:a:b` with a <= b, or `g:id`.
    pub fn parse(text: &str) -> Result<Self, IdError> {
        if let Some(group) = text.strip_prefix("g:") {
            check(group)?;
            return Ok(Self(SmolStr::new(text)));
        }
        let pair = text.strip_prefix("d:").ok_or(IdError::Conversation)?;
        let (low, high) = pair.split_once(':').ok_or(IdError::Conversation)?;
        check(low)?;
        check(high)?;
        if low > high {
            return Err(IdError::Conversation);
        }
        Ok(Self(SmolStr::new(text)))
    }

    /// The id's text.
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }

    /// The two users of a direct conversation, smaller first (equal for a note to self); `None` for a group.
    pub fn direct_users(&self) -> Option<(UserId, UserId)> {
        let (low, high) = self.pair()?;
        Some((UserId(SmolStr::new(low)), UserId(SmolStr::new(high))))
    }

    /// True if `user` is one of the two users of a direct conversation.
    pub fn is_direct_member(&self, user: &UserId) -> bool {
        self.pair().is_some_and(|(low, high)| low == user.as_str() || high == user.as_str())
    }

    /// The slot that owns this conversation: of the smaller user, or of the group's id.
    pub fn slot(&self) -> Slot {
        let owner = self.pair().map_or(self.as_str(), |(low, _)| low);
        Slot::of(owner.strip_prefix("g:").unwrap_or(owner))
    }

    fn pair(&self) -> Option<(&str, &str)> {
        self.as_str().strip_prefix("d:")?.split_once(':')
    }
}

impl fmt::Display for ConversationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// 1/1024 of the users and conversations; the unit that moves between shards.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Slot(u16);

impl Slot {
    /// The slot of an id: XXH3-64 with seed 0, modulo 1,024. Version 1.
    pub fn of(id: &str) -> Self {
        let hash = xxhash_rust::xxh3::xxh3_64(id.as_bytes());
        let slot = hash.checked_rem(u64::from(SLOTS)).and_then(|slot| u16::try_from(slot).ok());
        assert!(slot.is_some(), "a remainder of {SLOTS} fits 16 bits");
        Self(slot.unwrap_or(0))
    }

    /// The slot with this number; `None` at 1,024 and above.
    pub fn new(number: u16) -> Option<Self> {
        (number < SLOTS).then_some(Self(number))
    }

    /// Its number, below 1,024.
    pub fn number(self) -> u16 {
        self.0
    }
}

/// A shard of one process, by its place in the slot table. Never stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ShardId(pub u16);

impl fmt::Display for ShardId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The client's idempotency key and the id in every log line: a UUIDv7.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MessageId([u8; 16]);

impl MessageId {
    /// Takes the 16 bytes of a UUID of version 7.
    ///
    /// # Errors
    /// [`IdError::MessageId`] for another length, version or variant.
    pub fn parse(bytes: &[u8]) -> Result<Self, IdError> {
        let id: [u8; 16] = bytes.try_into().map_err(|_| IdError::MessageId)?;
        let [_, _, _, _, _, _, version, _, variant, ..] = id;
        if version >> 4 == 7 && variant >> 6 == 0b10 { Ok(Self(id)) } else { Err(IdError::MessageId) }
    }

    /// The 16 bytes.
    pub fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }

    /// The time inside the id: when the client minted it.
    pub fn minted_at(&self) -> Wall {
        // The upper 48 of 128 bits.
        Wall(u64::try_from(u128::from_be_bytes(self.0) >> 80).unwrap_or(u64::MAX))
    }
}

impl fmt::Display for MessageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, byte) in self.0.iter().enumerate() {
            if matches!(index, 4 | 6 | 8 | 10) {
                f.write_str("-")?;
            }
            write!(f, "{byte:02x}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for MessageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The first 16 bytes of the payload's SHA-256: tells a retry from a conflict.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PayloadHash(pub [u8; 16]);

/// The random identity of a data directory's history.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Incarnation(pub [u8; 16]);

#[cfg(test)]
mod tests;
