//! A WebSocket client that sends any bytes, over TCP or TLS.

use crate::harness::PATIENCE;
use iris_protocol::CloseCode;
use iris_protocol::frame::{decode_server, encode_client};
use iris_protocol::limits::LENGTH_BYTES;
use iris_protocol::websocket::upgrade::{read_answer, request};
use iris_protocol::websocket::write::encode;
use iris_protocol::websocket::{Event, Opcode, Reader, Role};
use iris_protocol::wire::{client_frame::Frame as ClientFrame, server_frame::Frame};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use std::io::{self, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::sync::Arc;

/// Tests have no secrets to hide from proxies.
const MASK: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];
/// The longest message that tests take.
const MESSAGE_BYTES_MAX: usize = 32 << 20;

/// A whole message or control frame of a client.
pub(crate) fn masked(opcode: Opcode, payload: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    encode(opcode, payload, Some(MASK), &mut bytes);
    bytes
}

/// A client's frame with these flags and opcode in its first byte.
pub(crate) fn fragment(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = masked(Opcode::Binary, payload);
    bytes[0] = first;
    bytes
}

/// A frame's body, without its prefix.
pub(crate) fn body(frame: ClientFrame) -> Vec<u8> {
    let mut bytes = Vec::new();
    encode_client(frame, &mut bytes);
    bytes.split_off(LENGTH_BYTES)
}

/// What carries the bytes.
pub(crate) enum Socket {
    Plain(TcpStream),
    Tls(Box<StreamOwned<ClientConnection, TcpStream>>),
}

impl Socket {
    pub(crate) fn plain(address: &str) -> Self {
        let socket = TcpStream::connect(address).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        socket.set_write_timeout(Some(PATIENCE)).unwrap();
        socket.set_nodelay(true).unwrap();
        Self::Plain(socket)
    }

    pub(crate) fn tls(address: &str, authority: &Path) -> Self {
        let Self::Plain(socket) = Self::plain(address) else { unreachable!("it was just made") };
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(authority).unwrap()).unwrap();
        let config = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_protocol_versions(&[&rustls::version::TLS13])
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        let name = ServerName::try_from("localhost").unwrap();
        let conn = ClientConnection::new(Arc::new(config), name).unwrap();
        Self::Tls(Box::new(StreamOwned::new(conn, socket)))
    }

    /// Reads the head of an answer; its status.
    pub(crate) fn status(&mut self) -> u16 {
        self.head().split(' ').nth(1).unwrap().parse().unwrap()
    }

    /// Reads the head of an answer.
    pub(crate) fn head(&mut self) -> String {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            self.read_exact(&mut byte).unwrap();
            head.push(byte[0]);
        }
        String::from_utf8(head).unwrap()
    }

    /// Reads until the server has closed.
    pub(crate) fn expect_end(&mut self) {
        let mut rest = Vec::new();
        if let Err(error) = self.read_to_end(&mut rest) {
            assert_eq!(error.kind(), ErrorKind::ConnectionReset, "it was not closed: {rest:?}");
        }
    }
}

impl Read for Socket {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(socket) => socket.read(buffer),
            Self::Tls(socket) => socket.read(buffer),
        }
    }
}

impl Write for Socket {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Plain(socket) => socket.write(bytes),
            Self::Tls(socket) => socket.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Plain(socket) => socket.flush(),
            Self::Tls(socket) => socket.flush(),
        }
    }
}

/// A connection after its upgrade.
pub(crate) struct WebSocket {
    socket: Socket,
    reader: Reader,
    input: Vec<u8>,
}

impl WebSocket {
    /// Upgrades.
    pub(crate) fn open(mut socket: Socket) -> Self {
        let key = [7; 16];
        socket.write_all(&request("localhost:7444", key, None)).unwrap();
        Self::answered(socket, key)
    }

    /// Upgrades at an echo server, with no word of Iris.
    pub(crate) fn open_to_echo(mut socket: Socket) -> Self {
        let lines = [
            "GET /anywhere?case=1 HTTP/1.1",
            "Host: localhost",
            "Upgrade: websocket",
            "Connection: Upgrade",
            "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
            "Sec-WebSocket-Version: 13",
            "Origin: https://suite.example",
        ];
        socket.write_all(format!("{}\r\n\r\n", lines.join("\r\n")).as_bytes()).unwrap();
        assert_eq!(socket.status(), 101);
        Self { socket, reader: Reader::new(Role::Client, true), input: Vec::new() }
    }

    /// Waits for the answer to a request that was sent.
    pub(crate) fn answered(mut socket: Socket, key: [u8; 16]) -> Self {
        let mut input = Vec::new();
        let mut buffer = [0; 4096];
        loop {
            if let Some(head_bytes) = read_answer(&input, key).unwrap() {
                input.drain(..head_bytes);
                return Self { socket, reader: Reader::new(Role::Client, true), input };
            }
            let count = socket.read(&mut buffer).unwrap();
            assert!(count > 0, "closed instead of answered: {}", String::from_utf8_lossy(&input));
            input.extend_from_slice(&buffer[..count]);
        }
    }

    /// Writes bytes as they are. The server may close before it has read them.
    pub(crate) fn write(&mut self, bytes: &[u8]) {
        let written = self.socket.write_all(bytes).and_then(|()| self.socket.flush());
        if let Err(error) = written {
            assert!(matches!(error.kind(), ErrorKind::BrokenPipe | ErrorKind::ConnectionReset), "{error}");
        }
    }

    pub(crate) fn send_frame(&mut self, frame: ClientFrame) {
        self.write(&masked(Opcode::Binary, &body(frame)));
    }

    /// What comes next; `None` at the end.
    pub(crate) fn next_event(&mut self) -> Option<Event> {
        let mut buffer = vec![0; 64 << 10];
        loop {
            let mut input = self.input.as_slice();
            let event = self.reader.next(&mut input, MESSAGE_BYTES_MAX).unwrap();
            let left = input.len();
            self.input.drain(..self.input.len() - left);
            if event.is_some() {
                return event;
            }
            match self.socket.read(&mut buffer) {
                Ok(0) => return None,
                Ok(count) => self.input.extend_from_slice(&buffer[..count]),
                Err(error) if error.kind() == ErrorKind::ConnectionReset => return None,
                Err(error) => panic!("nothing came: {error}"),
            }
        }
    }

    /// The next frame of Iris.
    pub(crate) fn next_frame(&mut self) -> Option<Frame> {
        let event = self.next_event()?;
        let Event::Binary(body) = event else { panic!("not a frame: {event:?}") };
        decode_server(body).unwrap().frame
    }

    /// Reads to the end: what came before the close frame, and its status. Without any close frame the status is 0.
    pub(crate) fn echoes(&mut self) -> (Vec<Event>, Option<u16>) {
        let mut echoes = Vec::new();
        loop {
            match self.next_event() {
                Some(Event::Close(close)) => {
                    self.socket.expect_end();
                    return (echoes, close.map(|close| close.status.number()));
                }
                Some(echo) => echoes.push(echo),
                None => return (echoes, Some(0)),
            }
        }
    }

    /// Reads to the end: the code of the Close frame, and the status of the close frame behind it.
    pub(crate) fn ending(&mut self) -> (Option<CloseCode>, Option<u16>) {
        let mut code = None;
        loop {
            match self.next_event() {
                Some(Event::Binary(body)) => {
                    if let Some(Frame::Close(close)) = decode_server(body).unwrap().frame {
                        code = CloseCode::from_number(close.code);
                    }
                }
                Some(Event::Close(close)) => {
                    self.socket.expect_end();
                    return (code, close.map(|close| close.status.number()));
                }
                Some(Event::Text(_) | Event::Ping(_) | Event::Pong(_)) => {}
                None => panic!("ended without a close frame, after {code:?}"),
            }
        }
    }
}

/// Memory of a process that is in use, in bytes.
pub(crate) fn resident_bytes(pid: u32) -> u64 {
    let text = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = text.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() << 10
}
