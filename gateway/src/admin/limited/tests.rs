//! Silent peers, on real sockets.

use super::Limited;
use axum::serve::Listener as _;
use std::io::ErrorKind;
use std::net::TcpStream;
use std::time::Duration;
use tokio::io::AsyncReadExt as _;

/// Proves: G-ADMIN-2 (silent connections cannot keep others out for ever)
/// Seen to fail when: the time is not reset by what is read.
#[test]
fn a_silent_connection_gives_its_place_to_the_next() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let mut limited = Limited::with(listener, 1, Duration::from_millis(300));
        let mut silent = TcpStream::connect(address).unwrap();
        let _next = TcpStream::connect(address).unwrap();
        let (mut first, _) = limited.accept().await;
        let begun = tokio::time::Instant::now();
        let mut byte = [0];
        // It speaks once when most of its time is over, and has all of it again.
        let speaks = async {
            tokio::time::sleep(Duration::from_millis(200)).await;
            std::io::Write::write_all(&mut silent, b"x").unwrap();
        };
        let (read, ()) = tokio::join!(first.read(&mut byte), speaks);
        assert_eq!(read.unwrap(), 1);
        let error = first.read(&mut byte).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TimedOut);
        assert!(begun.elapsed() >= Duration::from_millis(450), "{:?}", begun.elapsed());
        drop(first);
        limited.accept().await;
    });
}
