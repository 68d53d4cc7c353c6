//! Codes of rejects (answer and stay) and closes (answer and hang up).
//!
//! Invariants
//! - A number is never reused. docs/PROTOCOL.md lists the same table; a test holds them together.
//! - A reject's number range decides its class, so that a client can act on a code of a later version.

/// What a client does with a rejected message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RejectClass {
    /// Send the same message id again later.
    RetrySameId,
    /// Give up: the same request will be refused again.
    Refused,
    /// The message may or may not have been accepted: never re-send it under a new id by itself.
    OutcomeUnknown,
}

impl RejectClass {
    /// The class of a code number, known here or not: 1-19 retry, 20-59 refused, everything else unknown.
    pub fn of_number(number: u32) -> Self {
        match number {
            1..=19 => Self::RetrySameId,
            20..=59 => Self::Refused,
            _ => Self::OutcomeUnknown,
        }
    }

    /// Its name in the documentation.
    pub fn name(self) -> &'static str {
        match self {
            Self::RetrySameId => "retry",
            Self::Refused => "refused",
            Self::OutcomeUnknown => "unknown",
        }
    }
}

/// What a client does with a closed connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CloseClass {
    /// Reconnect by itself, after the server's hint or its own backoff.
    Reconnect,
    /// Reconnect with a fresh token; without one, stop and tell the user.
    FreshToken,
    /// A fault of the client: report it, and reconnect at the longest backoff only.
    ClientFault,
    /// Do not reconnect by itself: tell the user.
    Stop,
}

impl CloseClass {
    /// The class of a code number; a number of a later version, or none at all, is [`Self::Reconnect`].
    pub fn of_number(number: u32) -> Self {
        CloseCode::from_number(number).map_or(Self::Reconnect, CloseCode::class)
    }

    /// Its name in the documentation.
    pub fn name(self) -> &'static str {
        match self {
            Self::Reconnect => "reconnect",
            Self::FreshToken => "fresh token",
            Self::ClientFault => "client fault",
            Self::Stop => "stop",
        }
    }
}

macro_rules! codes {
    ($(#[$doc:meta])* $name:ident { $($(#[$vdoc:meta])* $variant:ident = $number:literal, $text:literal;)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum $name { $($(#[$vdoc])* $variant,)* }

        impl $name {
            /// Every code, by number.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// Its number on the wire.
            pub fn number(self) -> u32 {
                match self { $(Self::$variant => $number,)* }
            }

            /// Its name in the documentation.
            pub fn name(self) -> &'static str {
                match self { $(Self::$variant => $text,)* }
            }

            /// The code with this number; `None` for a number of a later version.
            pub fn from_number(number: u32) -> Option<Self> {
                match number { $($number => Some(Self::$variant),)* _ => None }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.name())
            }
        }
    };
}

codes! {
    /// Why a request was refused; the connection stays.
    RejectCode {
        /// More sends, or new conversations, than the limit.
        RateLimited = 1, "RATE_LIMITED";
        /// The recipient's inbox is full.
        InboxFull = 2, "INBOX_FULL";
        /// The disk is full: nothing new is accepted.
        StorageFull = 3, "STORAGE_FULL";
        /// The recipient's shard is behind, or has not reported yet.
        Busy = 4, "BUSY";
        /// The slot has moved to another owner.
        NotOwner = 5, "NOT_OWNER";
        /// A frame of a kind this server does not know.
        UnknownFrame = 20, "UNKNOWN_FRAME";
        /// A user, device or conversation id that is not one.
        InvalidId = 21, "INVALID_ID";
        /// The message id is not a UUIDv7 of 16 bytes.
        InvalidMessageId = 22, "INVALID_MESSAGE_ID";
        /// The payload is above the limit.
        PayloadTooLarge = 23, "PAYLOAD_TOO_LARGE";
        /// Another payload was accepted under this message id.
        IdempotencyConflict = 24, "IDEMPOTENCY_CONFLICT";
        /// The message id's time is more than 5 minutes ahead of the server.
        ClockSkew = 25, "CLOCK_SKEW";
        /// Not allowed for this user; the same answer whether the target exists or not.
        Forbidden = 26, "FORBIDDEN";
        /// No such device of this user.
        UnknownDevice = 27, "UNKNOWN_DEVICE";
        /// The token of a Refresh was not accepted; the old one stays.
        TokenRefused = 28, "TOKEN_REFUSED";
        /// The id is older than the dedup window and was not found.
        MessageIdTooOld = 60, "MESSAGE_ID_TOO_OLD";
    }
}

impl RejectCode {
    /// What a client does next.
    pub fn class(self) -> RejectClass {
        match self {
            Self::RateLimited | Self::InboxFull | Self::StorageFull | Self::Busy | Self::NotOwner => {
                RejectClass::RetrySameId
            }
            Self::UnknownFrame
            | Self::InvalidId
            | Self::InvalidMessageId
            | Self::PayloadTooLarge
            | Self::IdempotencyConflict
            | Self::ClockSkew
            | Self::Forbidden
            | Self::UnknownDevice
            | Self::TokenRefused => RejectClass::Refused,
            Self::MessageIdTooOld => RejectClass::OutcomeUnknown,
        }
    }
}

codes! {
    /// Why the server closed the connection.
    CloseCode {
        /// The token was not accepted. One code for every reason, on the same delay.
        AuthFailed = 101, "AUTH_FAILED";
        /// The token expired during the session.
        TokenExpired = 102, "TOKEN_EXPIRED";
        /// No common protocol version.
        VersionUnsupported = 103, "VERSION_UNSUPPORTED";
        /// A frame length above the limit, or zero.
        FrameTooLarge = 104, "FRAME_TOO_LARGE";
        /// Bytes that are not a frame.
        MalformedFrame = 105, "MALFORMED_FRAME";
        /// The first frame was not a Hello.
        HelloExpected = 106, "HELLO_EXPECTED";
        /// A second Hello.
        UnexpectedHello = 107, "UNEXPECTED_HELLO";
        /// An acknowledgement of something that was never sent.
        AckTooHigh = 108, "ACK_TOO_HIGH";
        /// The device logged in elsewhere: do not reconnect by yourself.
        Conflict = 109, "CONFLICT";
        /// A started frame made no progress.
        SlowConsumer = 110, "SLOW_CONSUMER";
        /// No frame within the heartbeat.
        HeartbeatTimeout = 111, "HEARTBEAT_TIMEOUT";
        /// No Hello within the login time.
        LoginTimeout = 112, "LOGIN_TIMEOUT";
        /// The server drains.
        GoingAway = 113, "GOING_AWAY";
        /// A window of 0.
        InvalidWindow = 114, "INVALID_WINDOW";
        /// The device was unlinked.
        DeviceUnlinked = 115, "DEVICE_UNLINKED";
        /// The user has as many devices as allowed.
        TooManyDevices = 116, "TOO_MANY_DEVICES";
        /// The server cannot take another connection now.
        Overloaded = 117, "OVERLOADED";
        /// The user's stored state cannot be read.
        StorageFault = 118, "STORAGE_FAULT";
        /// An operator closed the connection.
        Kicked = 119, "KICKED";
    }
}

impl CloseCode {
    /// What a client does next.
    pub fn class(self) -> CloseClass {
        match self {
            Self::AuthFailed | Self::TokenExpired => CloseClass::FreshToken,
            Self::VersionUnsupported | Self::Conflict | Self::DeviceUnlinked | Self::TooManyDevices => {
                CloseClass::Stop
            }
            Self::FrameTooLarge
            | Self::MalformedFrame
            | Self::HelloExpected
            | Self::UnexpectedHello
            | Self::AckTooHigh
            | Self::InvalidWindow => CloseClass::ClientFault,
            Self::SlowConsumer
            | Self::HeartbeatTimeout
            | Self::LoginTimeout
            | Self::GoingAway
            | Self::Overloaded
            | Self::StorageFault
            | Self::Kicked => CloseClass::Reconnect,
        }
    }
}

#[cfg(test)]
mod tests;
