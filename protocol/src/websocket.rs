//! WebSocket (RFC 6455) without I/O, for both roles: the upgrade, frames, messages, closes.
//!
//! One binary message carries the body of one frame of Iris; there are no extensions and no text. Where a connection
//! stands is up to its owner: bytes go in, events and bytes come out.
//!
//! Invariants
//! - A head is judged before memory is taken for what it announces, and by its first byte that is wrong.
//! - Memory is held only while a head, a frame or a message is incomplete.

pub mod close;
pub mod head;
pub mod origin;
pub mod reader;
pub mod upgrade;
mod utf8;
pub mod write;

pub use close::{Close, CloseStatus};
pub use head::{Head, Opcode};
pub use origin::{OriginError, Origins};
pub use reader::{Event, Reader};
pub use upgrade::{AnswerError, Refusal, Rules, Upgrade};

use crate::code::CloseCode;

/// Where frames of Iris are served.
pub const PATH: &str = "/v1/connect";
/// The subprotocol whose messages are frames of Iris.
pub const SUBPROTOCOL: &str = "iris.v1";

/// Which end of a connection this is. Clients mask what they send, servers do not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Accepts connections.
    Server,
    /// Opens them.
    Client,
}

/// How the peer broke the protocol. Each closes the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WebSocketError {
    /// A bit of an extension, and none was agreed upon.
    #[error("a reserved bit is set")]
    ReservedBit,
    /// A kind of frame that does not exist.
    #[error("unknown opcode {opcode}")]
    Opcode {
        /// Its number.
        opcode: u8,
    },
    /// A client's frame without a mask, or a server's with one.
    #[error("a frame is masked by the wrong side")]
    Mask,
    /// A length of 16 or 64 bits where fewer would do, or above 2^63.
    #[error("a frame's length is not in its shortest form")]
    LengthForm,
    /// A control frame that is fragmented, or has more than 125 bytes.
    #[error("a control frame is fragmented or too long")]
    Control,
    /// A continuation without a message, or a new message inside another.
    #[error("a fragment has no place")]
    Fragment,
    /// A close frame of one byte, or with a code that must not be sent.
    #[error("a malformed close frame")]
    Close,
    /// Text or a reason that is not UTF-8.
    #[error("text that is not utf-8")]
    NotUtf8,
    /// A text message where only binary ones are taken.
    #[error("a text message")]
    Text,
    /// A message above the limit.
    #[error("a message of at least {bytes} bytes, allowed are {bytes_max}")]
    TooLarge {
        /// What the heads announced so far.
        bytes: u64,
        /// The limit in force.
        bytes_max: usize,
    },
}

impl WebSocketError {
    /// The status that the connection is closed with.
    pub fn status(self) -> CloseStatus {
        match self {
            Self::ReservedBit
            | Self::Opcode { .. }
            | Self::Mask
            | Self::LengthForm
            | Self::Control
            | Self::Fragment
            | Self::Close => CloseStatus::PROTOCOL_ERROR,
            Self::NotUtf8 => CloseStatus::INVALID_PAYLOAD,
            Self::Text => CloseStatus::UNSUPPORTED,
            Self::TooLarge { .. } => CloseStatus::TOO_LARGE,
        }
    }

    /// The code of the Close frame that goes out before it.
    pub fn close_code(self) -> CloseCode {
        match self {
            Self::ReservedBit
            | Self::Opcode { .. }
            | Self::Mask
            | Self::LengthForm
            | Self::Control
            | Self::Fragment
            | Self::Close
            | Self::NotUtf8
            | Self::Text => CloseCode::MalformedFrame,
            Self::TooLarge { .. } => CloseCode::FrameTooLarge,
        }
    }
}
