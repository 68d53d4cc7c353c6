//! The same echo on the runtimes that the reactor was chosen over. Behind the feature `rivals`.
//!
//! Invariants
//! - Every engine runs one thread a core with one task a connection, reads into a 4 KiB buffer of the connection
//!   and writes what it read: the way each is meant to be used.

#[cfg(feature = "rivals")]
mod glommio;
#[cfg(feature = "rivals")]
mod monoio;
#[cfg(feature = "rivals")]
mod tokio;

#[cfg(feature = "rivals")]
pub(in crate::floor) use self::{glommio::serve as glommio, monoio::serve as monoio, tokio::serve as tokio};

#[cfg(not(feature = "rivals"))]
pub(in crate::floor) use missing::{serve as glommio, serve as monoio, serve as tokio};

/// Bytes of a connection's read buffer: the size of the reactor's receive buffers.
#[cfg(feature = "rivals")]
const READ_BYTES: usize = 4096;

/// One connection's echo: what came in goes out, through its channel.
#[cfg(feature = "rivals")]
struct Echoer {
    channel: crate::channel::Channel,
    plain: Vec<u8>,
}

#[cfg(feature = "rivals")]
impl Echoer {
    fn new(security: &crate::channel::Security) -> Result<Self, crate::error::BenchError> {
        Ok(Self { channel: security.channel()?, plain: Vec::new() })
    }

    /// Replaces `wire` by what is to be sent for `received`.
    fn turn(&mut self, received: &mut [u8], wire: &mut Vec<u8>) -> Result<(), crate::error::BenchError> {
        wire.clear();
        if matches!(self.channel, crate::channel::Channel::Plain) {
            wire.extend_from_slice(received);
            return Ok(());
        }
        self.plain.clear();
        self.channel.open(received, &mut self.plain, wire)?;
        if self.plain.is_empty() { Ok(()) } else { self.channel.seal(&self.plain, wire) }
    }
}

#[cfg(not(feature = "rivals"))]
mod missing {
    use crate::channel::Security;
    use crate::error::BenchError;
    use std::net::TcpListener;

    /// Says how to get the engine.
    pub(in crate::floor) fn serve(_: TcpListener, _: Security, _: impl FnOnce()) -> Result<(), BenchError> {
        Err(BenchError::Usage(
            "this engine is not compiled in: cargo build --release -p iris-bench --features rivals"
                .to_owned(),
        ))
    }
}
