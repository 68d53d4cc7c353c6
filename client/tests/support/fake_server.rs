//! A server by script: each connection is handed to a closure that plays the server's part.

#![cfg(test)]
#![allow(dead_code, reason = "each test binary uses a part of it")]

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use iris_client::Endpoint;
use iris_protocol::limits::{FRAME_BYTES_MAX, LENGTH_BYTES};
use iris_protocol::websocket::upgrade::read_request;
use iris_protocol::websocket::write::reframe;
use iris_protocol::websocket::{Event, Reader, Role, Rules, SUBPROTOCOL};
use iris_protocol::wire::{client_frame, server_frame};
use iris_protocol::{frame, wire};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// Longer than any step of a test takes.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

trait Stream: Read + Write {}
impl<T: Read + Write> Stream for T {}

/// The server's end of one connection.
pub(crate) struct Peer {
    stream: Box<dyn Stream>,
    /// Once it is a WebSocket: what reads it, and what it has not read.
    websocket: Option<(Reader, Vec<u8>)>,
}

impl Peer {
    fn new(stream: impl Stream + 'static) -> Self {
        Self { stream: Box::new(stream), websocket: None }
    }

    /// Grants the request of a WebSocket, whatever its path, and speaks WebSocket from then on; the request.
    pub(crate) fn upgrade(&mut self) -> String {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            self.stream.read_exact(&mut byte).unwrap();
            head.extend(byte);
        }
        let rules = Rules { path: None, subprotocol: Some(SUBPROTOCOL), origins: None };
        let granted = read_request(&head, &rules).unwrap().unwrap();
        self.write_bytes(&granted.answer);
        self.websocket = Some((Reader::new(Role::Server, false), Vec::new()));
        String::from_utf8(head).unwrap()
    }

    fn read_message(&mut self) -> Option<Bytes> {
        let (reader, unread) = self.websocket.as_mut().unwrap();
        loop {
            let mut rest = unread.as_slice();
            let event = reader.next(&mut rest, FRAME_BYTES_MAX).unwrap();
            *unread = rest.to_vec();
            match event {
                Some(Event::Binary(body)) => return Some(body),
                Some(Event::Close(_)) => return None,
                Some(other) => panic!("not a message of a client: {other:?}"),
                None => {}
            }
            let mut piece = [0; 4096];
            let count = self.stream.read(&mut piece).ok().filter(|count| *count > 0)?;
            unread.extend_from_slice(&piece[..count]);
        }
    }

    /// The next frame; `None` once the client has gone.
    pub(crate) fn read(&mut self) -> Option<client_frame::Frame> {
        if self.websocket.is_some() {
            let body = self.read_message()?;
            return frame::decode_client(body).unwrap().frame;
        }
        let mut prefix = [0; LENGTH_BYTES];
        self.stream.read_exact(&mut prefix).ok()?;
        let length = usize::try_from(u32::from_be_bytes(prefix)).unwrap();
        let mut body = vec![0; length];
        self.stream.read_exact(&mut body).ok()?;
        frame::decode_client(&body[..]).unwrap().frame
    }

    pub(crate) fn write(&mut self, frame: server_frame::Frame) {
        let mut bytes = Vec::new();
        frame::encode_server(frame, &mut bytes);
        if self.websocket.is_some() {
            reframe(&mut bytes, 0);
        }
        self.write_bytes(&bytes);
    }

    pub(crate) fn write_bytes(&mut self, bytes: &[u8]) {
        // The client may be gone already: what it did is judged by what it sent.
        let _ = self.stream.write_all(bytes).and_then(|()| self.stream.flush());
    }

    /// Reads Hello and answers with Welcome.
    pub(crate) fn login(&mut self, welcome: wire::Welcome) -> Option<wire::Hello> {
        let frame = self.read()?;
        let client_frame::Frame::Hello(hello) = frame else {
            panic!("not a Hello: {frame:?}");
        };
        self.write(server_frame::Frame::Welcome(welcome));
        Some(hello)
    }

    /// The next Send; acknowledgements and pings before it are passed over.
    pub(crate) fn read_send(&mut self) -> Option<wire::Send> {
        loop {
            let frame = self.read()?;
            if let client_frame::Frame::Send(send) = frame {
                return Some(send);
            }
            let passed = matches!(frame, client_frame::Frame::Ack(_) | client_frame::Frame::Ping(_));
            assert!(passed, "not a Send: {frame:?}");
        }
    }

    pub(crate) fn close(&mut self, code: iris_protocol::CloseCode) {
        let close = wire::Close { code: code.number(), ..wire::Close::default() };
        self.write(server_frame::Frame::Close(close));
    }
}

pub(crate) fn welcome() -> wire::Welcome {
    wire::Welcome {
        version: 1,
        incarnation: Bytes::from(vec![1; 16]),
        window: 256,
        send_window: 100,
        heartbeat_s: 60,
        durability: wire::Durability::Fsync.into(),
        ..wire::Welcome::default()
    }
}

pub(crate) fn accepted(send: &wire::Send, sequence: u64) -> server_frame::Frame {
    server_frame::Frame::Accepted(wire::Accepted {
        request_id: send.request_id,
        message_id: send.message_id.clone(),
        conversation: "d:alice:bob".to_owned(),
        sequence,
        server_time: 1,
        durability: wire::Durability::Fsync.into(),
        ..wire::Accepted::default()
    })
}

pub(crate) fn rejected(send: &wire::Send, code: iris_protocol::RejectCode) -> server_frame::Frame {
    server_frame::Frame::Rejected(wire::Rejected {
        request_id: send.request_id,
        message_id: Some(send.message_id.clone()),
        code: code.number(),
        retry_after_ms: Some(1),
        server_time: 1,
    })
}

pub(crate) fn deliver(offset: u64, sequence: u64, text: &str) -> server_frame::Frame {
    let mut id = [u8::try_from(sequence).unwrap(); 16];
    id[6] = 0x70;
    id[8] = 0x80;
    server_frame::Frame::Deliver(wire::Deliver {
        offset,
        conversation: "d:alice:bob".to_owned(),
        sequence,
        previous_sequence: sequence - 1,
        sender: "bob".to_owned(),
        device: "phone".to_owned(),
        message_id: Bytes::copy_from_slice(&id),
        server_time: 1,
        payload: Bytes::copy_from_slice(text.as_bytes()),
    })
}

/// What a token looks like from outside: claims without a signature that anybody would accept.
pub(crate) fn token(user: &str, device: &str) -> String {
    let claims = URL_SAFE_NO_PAD.encode(format!(r#"{{"sub":"{user}","dev":"{device}"}}"#));
    format!("e30.{claims}.none")
}

/// A server that runs a script for each connection, one after the other.
pub(crate) struct FakeServer {
    pub(crate) address: SocketAddr,
    authority: Option<PathBuf>,
    _directory: tempfile::TempDir,
}

impl FakeServer {
    pub(crate) fn plaintext(mut script: impl FnMut(usize, &mut Peer) + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        std::thread::spawn(move || {
            for (index, stream) in listener.incoming().enumerate() {
                let stream = patient(stream.unwrap());
                script(index, &mut Peer::new(stream));
            }
        });
        Self { address, authority: None, _directory: tempfile::tempdir().unwrap() }
    }

    /// Over TLS, with a certificate for this name.
    pub(crate) fn tls(name: &str, mut script: impl FnMut(usize, &mut Peer) + Send + 'static) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let made = rcgen::generate_simple_self_signed(vec![name.to_owned()]).unwrap();
        let authority = directory.path().join("ca.pem");
        std::fs::write(&authority, made.cert.pem()).unwrap();
        let key = rustls::pki_types::PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = rustls::ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![made.cert.der().clone()], key)
            .unwrap();
        let config = Arc::new(config);
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        std::thread::spawn(move || {
            for (index, stream) in listener.incoming().enumerate() {
                let conn = rustls::ServerConnection::new(Arc::clone(&config)).unwrap();
                let stream = rustls::StreamOwned::new(conn, patient(stream.unwrap()));
                script(index, &mut Peer::new(stream));
            }
        });
        Self { address, authority: Some(authority), _directory: directory }
    }

    pub(crate) fn endpoint(&self) -> Endpoint {
        match &self.authority {
            None => Endpoint::insecure_plaintext(&self.address.to_string()).unwrap(),
            Some(authority) => {
                Endpoint::tls(&format!("localhost:{}", self.address.port()), authority).unwrap()
            }
        }
    }

    pub(crate) fn authority(&self) -> Option<&PathBuf> {
        self.authority.as_ref()
    }
}

fn patient(stream: TcpStream) -> TcpStream {
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.set_write_timeout(Some(PATIENCE)).unwrap();
    stream
}
