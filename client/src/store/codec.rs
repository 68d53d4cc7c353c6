//! The bytes of a state file: magic, version, body, checksum. Integers are big-endian.
//!
//! Invariants
//! - The checksum (SHA-256, 16 bytes) covers everything before it, and is looked at before the body is read.
//! - A length is compared with what is left before memory is taken for it.

use crate::state::{Applied, DeviceState, Draft, OutboxEntry, Target};
use bytes::Bytes;
use iris_protocol::{ConversationId, Incarnation, MessageId, Offset, Sequence, UserId};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;

const MAGIC: &[u8; 8] = b"irisdev\n";
const VERSION: u32 = 1;
const CHECKSUM_BYTES: usize = 16;

/// Why bytes are not a state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum DecodeError {
    Foreign,
    Version(u32),
    Damaged(&'static str),
}

/// The file's bytes for this owner and state.
pub(super) fn encode(owner: &str, state: &DeviceState) -> Vec<u8> {
    let mut out = Writer(Vec::new());
    out.0.extend_from_slice(MAGIC);
    out.0.extend_from_slice(&VERSION.to_be_bytes());
    out.bytes(owner.as_bytes());
    out.bytes(state.incarnation.as_ref().map_or(&[][..], |incarnation| &incarnation.0));
    out.number(u64::from(state.stored_through.is_some()));
    out.number(state.stored_through.unwrap_or_default().0);
    out.number(state.last.len() as u64);
    for (conversation, applied) in &state.last {
        out.bytes(conversation.as_str().as_bytes());
        out.number(applied.sequence.0);
        out.number(u64::from(applied.rebase));
    }
    for entries in [&state.outbox, &state.unknown] {
        out.number(entries.len() as u64);
        for entry in entries {
            out.0.extend_from_slice(entry.message_id.as_bytes());
            out.target(&entry.target);
            out.bytes(&entry.payload);
        }
    }
    out.number(state.drafts.len() as u64);
    for draft in &state.drafts {
        out.target(&draft.target);
        out.bytes(&draft.payload);
    }
    let sum = checksum(&out.0);
    out.0.extend_from_slice(&sum);
    out.0
}

/// Owner and state of a file.
pub(super) fn decode(bytes: &[u8]) -> Result<(String, DeviceState), DecodeError> {
    let Some(rest) = bytes.strip_prefix(MAGIC) else {
        return Err(DecodeError::Foreign);
    };
    let Some((version, _)) = rest.split_first_chunk::<4>() else {
        return Err(DecodeError::Damaged("too short"));
    };
    let version = u32::from_be_bytes(*version);
    if version != VERSION {
        return Err(DecodeError::Version(version));
    }
    let Some((covered, sum)) = bytes.split_last_chunk::<CHECKSUM_BYTES>() else {
        return Err(DecodeError::Damaged("too short"));
    };
    if checksum(covered) != *sum {
        return Err(DecodeError::Damaged("checksum"));
    }
    let mut body = Reader(covered.get(MAGIC.len() + size_of::<u32>()..).unwrap_or_default());
    let owner = body.text()?.to_owned();
    let state = body.state()?;
    if body.0.is_empty() { Ok((owner, state)) } else { Err(DecodeError::Damaged("bytes left over")) }
}

pub(super) fn checksum(bytes: &[u8]) -> [u8; CHECKSUM_BYTES] {
    let digest = Sha256::digest(bytes);
    let mut sum = [0; CHECKSUM_BYTES];
    for (to, from) in sum.iter_mut().zip(digest) {
        *to = from;
    }
    sum
}

struct Writer(Vec<u8>);

impl Writer {
    fn number(&mut self, number: u64) {
        self.0.extend_from_slice(&number.to_be_bytes());
    }

    fn bytes(&mut self, bytes: &[u8]) {
        self.number(bytes.len() as u64);
        self.0.extend_from_slice(bytes);
    }

    fn target(&mut self, target: &Target) {
        let (kind, text) = match target {
            Target::To(user) => (0, user.as_str()),
            Target::Conversation(conversation) => (1, conversation.as_str()),
        };
        self.number(kind);
        self.bytes(text.as_bytes());
    }
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn state(&mut self) -> Result<DeviceState, DecodeError> {
        let incarnation = match self.bytes()? {
            [] => None,
            bytes => {
                let id = bytes.try_into().map_err(|_| DecodeError::Damaged("incarnation"))?;
                Some(Incarnation(id))
            }
        };
        let stored = self.flag()?;
        let through = Offset(self.number()?);
        let mut last = BTreeMap::new();
        for _ in 0..self.number()? {
            let conversation = self.conversation()?;
            let applied = Applied { sequence: Sequence(self.number()?), rebase: self.flag()? };
            last.insert(conversation, applied);
        }
        Ok(DeviceState {
            incarnation,
            stored_through: stored.then_some(through),
            last,
            outbox: self.entries()?,
            unknown: self.entries()?,
            drafts: self.drafts()?,
        })
    }

    fn entries(&mut self) -> Result<Vec<OutboxEntry>, DecodeError> {
        let mut entries = Vec::new();
        for _ in 0..self.number()? {
            let id = self.take(16)?;
            let message_id = MessageId::parse(id).map_err(|_| DecodeError::Damaged("message id"))?;
            entries.push(OutboxEntry { message_id, target: self.target()?, payload: self.payload()? });
        }
        Ok(entries)
    }

    fn drafts(&mut self) -> Result<Vec<Draft>, DecodeError> {
        let mut drafts = Vec::new();
        for _ in 0..self.number()? {
            drafts.push(Draft { target: self.target()?, payload: self.payload()? });
        }
        Ok(drafts)
    }

    fn take(&mut self, length: usize) -> Result<&'a [u8], DecodeError> {
        let (taken, rest) = self.0.split_at_checked(length).ok_or(DecodeError::Damaged("too short"))?;
        self.0 = rest;
        Ok(taken)
    }

    fn number(&mut self) -> Result<u64, DecodeError> {
        let (number, rest) = self.0.split_first_chunk().ok_or(DecodeError::Damaged("too short"))?;
        self.0 = rest;
        Ok(u64::from_be_bytes(*number))
    }

    fn flag(&mut self) -> Result<bool, DecodeError> {
        match self.number()? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(DecodeError::Damaged("flag")),
        }
    }

    fn bytes(&mut self) -> Result<&'a [u8], DecodeError> {
        let length = self.number()?;
        self.take(usize::try_from(length).unwrap_or(usize::MAX))
    }

    fn payload(&mut self) -> Result<Bytes, DecodeError> {
        Ok(Bytes::copy_from_slice(self.bytes()?))
    }

    fn text(&mut self) -> Result<&'a str, DecodeError> {
        std::str::from_utf8(self.bytes()?).map_err(|_| DecodeError::Damaged("text"))
    }

    fn conversation(&mut self) -> Result<ConversationId, DecodeError> {
        ConversationId::parse(self.text()?).map_err(|_| DecodeError::Damaged("conversation"))
    }

    fn target(&mut self) -> Result<Target, DecodeError> {
        if self.flag()? {
            return Ok(Target::Conversation(self.conversation()?));
        }
        let user = UserId::parse(self.text()?).map_err(|_| DecodeError::Damaged("user"))?;
        Ok(Target::To(user))
    }
}
