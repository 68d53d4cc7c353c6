//! Echo on tokio: a current-thread runtime a core.

use super::{Echoer, READ_BYTES};
use crate::channel::Security;
use crate::error::BenchError;
use std::net::TcpListener;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Serves until an error.
///
/// # Errors
/// The runtime or the listener failed.
pub(in crate::floor) fn serve(
    listener: TcpListener,
    security: Security,
    ready: impl FnOnce(),
) -> Result<(), BenchError> {
    let failed = || BenchError::io("tokio");
    listener.set_nonblocking(true).map_err(failed())?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build().map_err(failed())?;
    runtime.block_on(async move {
        let listener = tokio::net::TcpListener::from_std(listener).map_err(failed())?;
        ready();
        loop {
            let (stream, _) = listener.accept().await.map_err(failed())?;
            stream.set_nodelay(true).map_err(failed())?;
            let echoer = Echoer::new(&security)?;
            tokio::spawn(echo(stream, echoer));
        }
    })
}

/// Ends with the connection: an error of one is not an error of the server.
async fn echo(mut stream: TcpStream, mut echoer: Echoer) {
    let (mut buffer, mut wire) = (vec![0; READ_BYTES], Vec::new());
    while let Ok(count) = stream.read(&mut buffer).await {
        if count == 0 || echoer.turn(&mut buffer[..count], &mut wire).is_err() {
            return;
        }
        if stream.write_all(&wire).await.is_err() {
            return;
        }
    }
}
