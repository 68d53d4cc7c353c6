//! An echo server on one core: `cargo run --release -p iris-reactor --example echo -- 127.0.0.1:7000`.
#![allow(clippy::print_stdout, reason = "an example talks to a person at a terminal")]

use std::error::Error;
use std::net::TcpListener;

use iris_reactor::{Config, Event, Reactor, Wait};

fn main() -> Result<(), Box<dyn Error>> {
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:7000".to_owned());
    let socket = TcpListener::bind(&address)?;
    println!("echoing on {}", socket.local_addr()?);
    let mut reactor = Reactor::new(&Config::default())?;
    reactor.listen(socket);
    loop {
        reactor.turn(Wait::Forever)?;
        while let Some(event) = reactor.next() {
            match event {
                Event::Received { conn, bytes } if reactor.is_sending(conn) => {
                    // One send at a time: a peer that does not wait for its echo loses the connection.
                    drop(bytes);
                    reactor.close(conn);
                }
                Event::Received { conn, bytes } => reactor.send(conn, bytes.to_vec()),
                Event::Accepted { .. }
                | Event::Connected { .. }
                | Event::Sent { .. }
                | Event::Closed { .. }
                | Event::Detached { .. }
                | Event::Moved { .. }
                | Event::MoveFailed { .. }
                | Event::Arrived { .. }
                | Event::Written { .. }
                | Event::Synced { .. }
                | Event::Woken => {}
            }
        }
    }
}
