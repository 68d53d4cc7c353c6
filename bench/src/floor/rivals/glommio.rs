//! Echo on glommio: an executor a core.

use super::{Echoer, READ_BYTES};
use crate::channel::Security;
use crate::error::BenchError;
use futures_lite::io::{AsyncReadExt, AsyncWriteExt};
use glommio::net::TcpStream;
use glommio::{LocalExecutorBuilder, Placement};
use std::net::TcpListener;

/// Serves until an error.
///
/// # Errors
/// The executor or the listener failed.
pub(in crate::floor) fn serve(
    listener: TcpListener,
    security: Security,
    ready: impl FnOnce(),
) -> Result<(), BenchError> {
    // It binds for itself only, so the port is given back and taken again.
    let address = listener.local_addr().map_err(BenchError::io("glommio"))?;
    drop(listener);
    let executor = LocalExecutorBuilder::new(Placement::Unbound).make().map_err(failed)?;
    executor.run(async move {
        let listener = glommio::net::TcpListener::bind(address).map_err(failed)?;
        ready();
        loop {
            let stream = listener.accept().await.map_err(failed)?;
            stream.set_nodelay(true).map_err(failed)?;
            let echoer = Echoer::new(&security)?;
            glommio::spawn_local(echo(stream, echoer)).detach();
        }
    })
}

fn failed(error: glommio::GlommioError<()>) -> BenchError {
    BenchError::io("glommio")(error.into())
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
