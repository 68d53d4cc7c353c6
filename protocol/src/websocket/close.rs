//! Close frames and their statuses (RFC 6455, section 7.4, and the registry that it began).
//!
//! Invariants
//! - A [`CloseStatus`] may stand in a close frame: 1005, 1006, 1015 and unassigned numbers are none.

use super::WebSocketError;
use super::head::CONTROL_BYTES_MAX;
use crate::code::CloseCode;

/// Added to the number of a [`CloseCode`] that has no status of its own.
const IRIS_STATUS: u16 = 4000;
/// Most bytes of a reason: a control frame without the status.
const REASON_BYTES_MAX: usize = CONTROL_BYTES_MAX - 2;

/// Why a side closes, as a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CloseStatus(u16);

impl CloseStatus {
    /// Done.
    pub const NORMAL: Self = Self(1000);
    /// The server drains, or the page is left.
    pub const GOING_AWAY: Self = Self(1001);
    /// The peer broke RFC 6455.
    pub const PROTOCOL_ERROR: Self = Self(1002);
    /// A kind of message that is not taken: text.
    pub const UNSUPPORTED: Self = Self(1003);
    /// A message whose bytes are not what they should be.
    pub const INVALID_PAYLOAD: Self = Self(1007);
    /// Something that is allowed in general, but not here.
    pub const POLICY: Self = Self(1008);
    /// A message above the limit.
    pub const TOO_LARGE: Self = Self(1009);
    /// The server cannot go on.
    pub const INTERNAL: Self = Self(1011);

    /// The status with this number; `None` if it must not stand in a close frame.
    pub fn of_number(number: u16) -> Option<Self> {
        matches!(number, 1000..=1003 | 1007..=1014 | 3000..=4999).then_some(Self(number))
    }

    /// The status that goes with a Close frame of this code: its own, or 4000 and the code's number.
    pub fn of_code(code: CloseCode) -> Self {
        match code {
            CloseCode::GoingAway => Self::GOING_AWAY,
            CloseCode::MalformedFrame => Self::INVALID_PAYLOAD,
            CloseCode::HelloExpected => Self::POLICY,
            CloseCode::FrameTooLarge => Self::TOO_LARGE,
            CloseCode::StorageFault => Self::INTERNAL,
            CloseCode::AuthFailed
            | CloseCode::TokenExpired
            | CloseCode::VersionUnsupported
            | CloseCode::UnexpectedHello
            | CloseCode::AckTooHigh
            | CloseCode::Conflict
            | CloseCode::SlowConsumer
            | CloseCode::HeartbeatTimeout
            | CloseCode::LoginTimeout
            | CloseCode::InvalidWindow
            | CloseCode::DeviceUnlinked
            | CloseCode::TooManyDevices
            | CloseCode::Overloaded
            | CloseCode::Kicked => {
                Self(IRIS_STATUS.saturating_add(u16::try_from(code.number()).unwrap_or_default()))
            }
        }
    }

    /// Its number on the wire.
    pub fn number(self) -> u16 {
        self.0
    }
}

/// What a close frame says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Close {
    /// Why.
    pub status: CloseStatus,
    /// The same for people; at most 123 bytes.
    pub reason: String,
}

impl Close {
    /// Reads the payload of a close frame; `None` if it is empty.
    ///
    /// # Errors
    /// [`WebSocketError::Close`] for one byte or a status that must not be sent, [`WebSocketError::NotUtf8`].
    pub fn decode(payload: &[u8]) -> Result<Option<Self>, WebSocketError> {
        if payload.is_empty() {
            return Ok(None);
        }
        let (number, reason) = payload.split_first_chunk().ok_or(WebSocketError::Close)?;
        let status = CloseStatus::of_number(u16::from_be_bytes(*number)).ok_or(WebSocketError::Close)?;
        let reason = std::str::from_utf8(reason).map_err(|_| WebSocketError::NotUtf8)?.to_owned();
        Ok(Some(Self { status, reason }))
    }

    /// The payload of a close frame: a reason that is too long is cut between two characters.
    pub fn payload(status: CloseStatus, reason: &str) -> Vec<u8> {
        let end = reason.floor_char_boundary(REASON_BYTES_MAX);
        let (reason, _) = reason.split_at(end);
        [&status.0.to_be_bytes(), reason.as_bytes()].concat()
    }
}

#[cfg(test)]
mod tests;
