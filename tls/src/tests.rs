//! Both ends against each other, in memory. Against rustls' buffered client: `gateway/src/tls/tests.rs`.

use super::*;
use rustls::client::Resumption;
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName};
use std::io::Write;
use std::sync::Arc;

fn configs() -> (Arc<ServerConfig>, Arc<ClientConfig>) {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(made.signing_key.serialize_der()));
    let certificate = CertificateDer::from(made.cert.der().to_vec());
    let mut server = ServerConfig::builder_with_protocol_versions(&[&rustls::version::TLS13])
        .with_no_client_auth()
        .with_single_cert(vec![certificate.clone()], key)
        .unwrap();
    server.ticketer = rustls::crypto::ring::Ticketer::new().unwrap();
    let mut roots = RootCertStore::empty();
    roots.add(certificate).unwrap();
    let mut client = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
    client.resumption = Resumption::in_memory_sessions(8);
    (Arc::new(server), Arc::new(client))
}

struct Ends {
    server: TlsConn<Server>,
    client: TlsConn<Client>,
    at_server: Vec<u8>,
    at_client: Vec<u8>,
}

impl Ends {
    fn new((server, client): &(Arc<ServerConfig>, Arc<ClientConfig>)) -> Self {
        let name = ServerName::try_from("localhost").unwrap();
        Self {
            server: TlsConn::server(Arc::clone(server)).unwrap(),
            client: TlsConn::client(Arc::clone(client), name).unwrap(),
            at_server: Vec::new(),
            at_client: Vec::new(),
        }
    }

    /// Lets both talk, in pieces of so many bytes, until neither has anything to say.
    fn talk(&mut self, piece: usize, mut to_server: Vec<u8>) -> Result<(), TlsError> {
        loop {
            let mut to_client = Vec::new();
            for bytes in to_server.chunks_mut(piece) {
                let at_server = &mut self.at_server;
                self.server.receive(bytes, &mut to_client, |plain| at_server.extend_from_slice(plain))?;
            }
            to_server.clear();
            for bytes in to_client.chunks_mut(piece) {
                let at_client = &mut self.at_client;
                self.client.receive(bytes, &mut to_server, |plain| at_client.extend_from_slice(plain))?;
            }
            if to_server.is_empty() {
                return Ok(());
            }
        }
    }

    fn shake_hands(&mut self, piece: usize) -> Result<(), TlsError> {
        let mut hello = Vec::new();
        self.client.receive(&mut [], &mut hello, |_| ())?;
        self.talk(piece, hello)
    }
}

/// Seen to fail when: `forget` drops nothing.
#[test]
fn both_ends_talk_in_pieces_of_any_size_and_keep_nothing() {
    let configs = configs();
    for piece in [1, 2, 3, 100, 4_096, usize::MAX] {
        let mut ends = Ends::new(&configs);
        assert!(matches!(ends.client.seal(b"early", &mut Vec::new()), Err(TlsError::NotOpen)));
        ends.shake_hands(piece).unwrap();
        assert!(ends.client.is_open() && ends.server.is_open(), "pieces of {piece}");
        let said = vec![7; 40_000];
        let (mut up, mut down) = (Vec::new(), Vec::new());
        ends.client.seal(&said, &mut up).unwrap();
        assert!(!up.windows(16).any(|bytes| bytes == &said[..16]), "in the clear");
        ends.server.seal(b"an answer", &mut down).unwrap();
        ends.talk(piece, up).unwrap();
        let at_client = &mut ends.at_client;
        for bytes in down.chunks_mut(piece) {
            ends.client.receive(bytes, &mut Vec::new(), |plain| at_client.extend_from_slice(plain)).unwrap();
        }
        assert_eq!(ends.at_server, said);
        assert_eq!(ends.at_client, b"an answer");
        assert_eq!((ends.client.leftover_capacity(), ends.server.leftover_capacity()), (0, 0));
    }
}

/// Seen to fail when: `is_resumed` is the wrong way round.
#[test]
fn the_second_connection_resumes_the_session_of_the_first() {
    let configs = configs();
    for expected in [false, true, true] {
        let mut ends = Ends::new(&configs);
        ends.shake_hands(usize::MAX).unwrap();
        assert_eq!((ends.client.is_resumed(), ends.server.is_resumed()), (expected, expected));
    }
}

/// Seen to fail when: `alert` does nothing.
#[test]
fn a_client_that_does_not_trust_the_server_says_so_and_is_closed() {
    let (mine, others) = (configs(), configs());
    let mut ends = Ends::new(&(Arc::clone(&others.0), Arc::clone(&mine.1)));
    let (mut hello, mut answer, mut alert) = (Vec::new(), Vec::new(), Vec::new());
    ends.client.receive(&mut [], &mut hello, |_| ()).unwrap();
    ends.server.receive(&mut hello, &mut answer, |_| ()).unwrap();
    let error = ends.client.receive(&mut answer, &mut alert, |_| ()).unwrap_err();
    assert!(matches!(error, TlsError::Protocol(rustls::Error::InvalidCertificate(_))), "{error}");
    let told = ends.server.receive(&mut alert, &mut Vec::new(), |_| ()).unwrap_err();
    assert!(matches!(told, TlsError::Protocol(rustls::Error::AlertReceived(_))), "{told}");
    assert!(matches!(ends.client.seal(b"still", &mut Vec::new()), Err(TlsError::NotOpen)));
}

/// Seen to fail when: `process` takes the peer's close_notify for nothing.
#[test]
fn what_one_end_closed_is_closed_for_the_other() {
    let configs = configs();
    let mut ends = Ends::new(&configs);
    ends.shake_hands(usize::MAX).unwrap();
    let mut bye = Vec::new();
    ends.client.close(&mut bye);
    let state = ends.server.receive(&mut bye, &mut Vec::new(), |_| ()).unwrap();
    assert_eq!((state, ends.client.is_open(), ends.server.is_open()), (TlsState::PeerClosed, false, false));
    let mut ends = Ends::new(&configs);
    ends.shake_hands(usize::MAX).unwrap();
    let mut bye = Vec::new();
    ends.server.close(&mut bye);
    let state = ends.client.receive(&mut bye, &mut Vec::new(), |_| ()).unwrap();
    assert_eq!((state, ends.client.is_open(), ends.server.is_open()), (TlsState::PeerClosed, false, false));
}

/// A server that changes its keys, and wants the client's changed: both understand each other after it.
/// Seen to fail when: `process` sends nothing of what is to be encoded.
#[test]
fn a_client_follows_when_the_server_changes_its_keys() {
    let (server, config) = configs();
    let mut server = rustls::ServerConnection::new(server).unwrap();
    let mut client = TlsConn::client(config, ServerName::try_from("localhost").unwrap()).unwrap();
    let (mut up, mut heard) = (Vec::new(), Vec::new());
    client.receive(&mut [], &mut up, |_| ()).unwrap();
    for said in [b"first", b"again", b"third"] {
        for piece in [usize::MAX, 1] {
            let mut unread = up.as_slice();
            while !unread.is_empty() {
                server.read_tls(&mut unread).unwrap();
                server.process_new_packets().unwrap();
            }
            up.clear();
            let mut down = Vec::new();
            server.write_tls(&mut down).unwrap();
            let count = piece.min(down.len().max(1));
            for bytes in down.chunks_mut(count) {
                client.receive(bytes, &mut up, |plain| heard.extend_from_slice(plain)).unwrap();
            }
        }
        assert!(client.is_open() && !server.is_handshaking());
        server.refresh_traffic_keys().unwrap();
        server.writer().write_all(said).unwrap();
        client.seal(b"meanwhile", &mut up).unwrap();
    }
    let mut down = Vec::new();
    while server.wants_write() {
        server.write_tls(&mut down).unwrap();
    }
    client.receive(&mut down, &mut up, |plain| heard.extend_from_slice(plain)).unwrap();
    assert_eq!(heard, b"firstagainthird");
    assert_eq!(client.leftover_capacity(), 0);
}
