//! Echo on monoio, its io_uring driver.

use super::{Echoer, READ_BYTES};
use crate::channel::Security;
use crate::error::BenchError;
use monoio::io::{AsyncReadRent, AsyncWriteRentExt};
use monoio::net::TcpStream;
use std::net::TcpListener;

/// Entries of its ring, as many as the reactor's completion queue would take in half a burst.
const ENTRIES: u32 = 4096;

/// Serves until an error.
///
/// # Errors
/// The runtime or the listener failed.
pub(in crate::floor) fn serve(
    listener: TcpListener,
    security: Security,
    ready: impl FnOnce(),
) -> Result<(), BenchError> {
    let failed = || BenchError::io("monoio");
    let mut runtime = monoio::RuntimeBuilder::<monoio::IoUringDriver>::new()
        .with_entries(ENTRIES)
        .build()
        .map_err(failed())?;
    runtime.block_on(async move {
        let listener = monoio::net::TcpListener::from_std(listener).map_err(failed())?;
        ready();
        loop {
            let (stream, _) = listener.accept().await.map_err(failed())?;
            stream.set_nodelay(true).map_err(failed())?;
            let echoer = Echoer::new(&security)?;
            monoio::spawn(echo(stream, echoer));
        }
    })
}

/// Ends with the connection: an error of one is not an error of the server.
async fn echo(mut stream: TcpStream, mut echoer: Echoer) {
    let (mut buffer, mut wire) = (Vec::with_capacity(READ_BYTES), Vec::new());
    loop {
        let (read, back) = stream.read(buffer).await;
        buffer = back;
        let Ok(count) = read else { return };
        if count == 0 || echoer.turn(&mut buffer[..count], &mut wire).is_err() {
            return;
        }
        buffer.clear();
        let (written, back) = stream.write_all(wire).await;
        wire = back;
        if written.is_err() {
            return;
        }
    }
}
