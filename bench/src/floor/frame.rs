//! Frames of the floors: the gateway's length prefix, then a fixed head and filler up to the size asked for.
//!
//! Invariants
//! - A frame of a floor is as long on the wire as it was asked to be: floors and gateway move the same bytes.

use crate::error::BenchError;
use iris_protocol::limits::LENGTH_BYTES;
use iris_protocol::{Mono, ShardId};

/// Bytes of a body's head: kind, shard, endpoint, time.
const HEAD_BYTES: usize = 1 + 2 + 4 + 8;

/// Shortest frame that a floor can send.
pub const FRAME_BYTES_MIN: usize = LENGTH_BYTES + HEAD_BYTES;

/// One side of a pair of the load; the load numbers them from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Endpoint(pub u32);

/// What a frame is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The first frame of a connection: its endpoint. Answered with the same.
    Hello,
    /// To be taken to `endpoint`, which lives on `shard`.
    Message,
    /// The server's answer to the sender of a message.
    Answer,
    /// The recipient's acknowledgement.
    Ack,
}

/// The part of a frame that means something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// What it is for.
    pub kind: Kind,
    /// Where the target lives.
    pub shard: ShardId,
    /// The target, or who says hello.
    pub endpoint: Endpoint,
    /// When the message was meant to leave.
    pub intended: Mono,
}

impl Head {
    /// Appends a frame of `bytes` bytes, prefix included.
    pub fn encode(self, bytes: usize, out: &mut Vec<u8>) {
        assert!(bytes >= FRAME_BYTES_MIN, "a frame of {bytes} bytes is shorter than its head");
        let body = u32::try_from(bytes - LENGTH_BYTES).unwrap_or(u32::MAX);
        let end = out.len() + bytes;
        out.extend_from_slice(&body.to_be_bytes());
        out.push(self.kind.byte());
        out.extend_from_slice(&self.shard.0.to_be_bytes());
        out.extend_from_slice(&self.endpoint.0.to_be_bytes());
        out.extend_from_slice(&self.intended.0.to_be_bytes());
        out.resize(end, 0xa5);
    }

    /// Reads the head of a body.
    ///
    /// # Errors
    /// It is too short or of an unknown kind: the peer is no floor.
    pub fn decode(body: &[u8]) -> Result<Self, BenchError> {
        let head = body.first_chunk::<HEAD_BYTES>().and_then(|head| {
            let (kind, rest) = head.split_first()?;
            let (shard, rest) = rest.split_first_chunk::<2>()?;
            let (endpoint, rest) = rest.split_first_chunk::<4>()?;
            Some(Self {
                kind: Kind::of(*kind)?,
                shard: ShardId(u16::from_be_bytes(*shard)),
                endpoint: Endpoint(u32::from_be_bytes(*endpoint)),
                intended: Mono(u64::from_be_bytes(*rest.first_chunk::<8>()?)),
            })
        });
        head.ok_or_else(|| BenchError::Protocol(format!("{} bytes are no frame of a floor", body.len())))
    }
}

impl Kind {
    fn byte(self) -> u8 {
        match self {
            Self::Hello => 1,
            Self::Message => 2,
            Self::Answer => 3,
            Self::Ack => 4,
        }
    }

    fn of(byte: u8) -> Option<Self> {
        [Self::Hello, Self::Message, Self::Answer, Self::Ack].into_iter().find(|kind| kind.byte() == byte)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every head comes back as it went in, in a frame of exactly the size asked for.
    /// Seen to fail when: the filler is as long as the frame.
    #[test]
    fn a_frame_has_the_size_asked_for_and_keeps_its_head() {
        for kind in [Kind::Hello, Kind::Message, Kind::Answer, Kind::Ack] {
            let head = Head { kind, shard: ShardId(3), endpoint: Endpoint(70_000), intended: Mono(1 << 40) };
            for bytes in [FRAME_BYTES_MIN, 128, 5_000] {
                let mut out = vec![1, 2, 3];
                head.encode(bytes, &mut out);
                assert_eq!(out.len(), 3 + bytes);
                assert_eq!(Head::decode(&out[3 + LENGTH_BYTES..]).unwrap(), head);
            }
        }
        assert!(Head::decode(&[9; 40]).is_err());
        assert!(Head::decode(&[1; 3]).is_err());
    }
}
