//! The server's end against a rustls client, both in memory.

use super::{ServerTls, ServerTlsError, Tickets, TlsConn, TlsError, TlsState, selfsigned};
use iris_tls::LEFTOVER_BYTES_MAX;
use rustls::client::Resumption;
use rustls::crypto::CryptoProvider;
use rustls::crypto::ring::cipher_suite::{TLS13_AES_128_GCM_SHA256, TLS13_AES_256_GCM_SHA384};
use rustls::crypto::ring::default_provider;
use rustls::{
    ClientConfig, ClientConnection, ConnectionTrafficSecrets, HandshakeKind, RootCertStore,
    SupportedCipherSuite,
};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, ServerName};
use std::io::{Read, Write};
use std::path::Path;
use std::sync::Arc;

fn load(certificate: &Path, key: &Path) -> Result<ServerTls, ServerTlsError> {
    ServerTls::load(certificate, key, Tickets::in_memory().unwrap())
}

fn server() -> (ServerTls, Arc<ClientConfig>) {
    let (tls, config) = server_and_client();
    (tls, Arc::new(config))
}

fn server_and_client() -> (ServerTls, ClientConfig) {
    server_and_client_with(vec![TLS13_AES_256_GCM_SHA384])
}

fn server_and_client_with(cipher_suites: Vec<SupportedCipherSuite>) -> (ServerTls, ClientConfig) {
    let folder = tempfile::tempdir().unwrap();
    selfsigned::write(folder.path(), &["iris.test".to_owned()]).unwrap();
    let at = |name: &str| folder.path().join(name);
    let tls = load(&at("server.pem"), &at("server.key")).unwrap();
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(at("ca.pem")).unwrap()).unwrap();
    let provider = CryptoProvider { cipher_suites, ..default_provider() };
    let builder = ClientConfig::builder_with_provider(Arc::new(provider));
    let builder = builder.with_protocol_versions(&[&rustls::version::TLS13]).unwrap();
    (tls, builder.with_root_certificates(roots).with_no_client_auth())
}

/// Both ends of a connection, and what each has got from the other.
struct Link {
    client: ClientConnection,
    server: TlsConn,
    to_client: Vec<u8>,
    at_server: Vec<u8>,
    at_client: Vec<u8>,
}

impl Link {
    fn new(tls: &ServerTls, config: &Arc<ClientConfig>) -> Self {
        let client =
            ClientConnection::new(Arc::clone(config), ServerName::try_from("localhost").unwrap()).unwrap();
        let server = tls.conn().unwrap();
        Self { client, server, to_client: Vec::new(), at_server: Vec::new(), at_client: Vec::new() }
    }

    fn open(tls: &ServerTls, config: &Arc<ClientConfig>) -> Self {
        let mut link = Self::new(tls, config);
        link.pump(usize::MAX);
        assert!(link.server.is_open() && !link.client.is_handshaking());
        link
    }

    fn client_bytes(&mut self) -> Vec<u8> {
        let mut bytes = Vec::new();
        while self.client.wants_write() {
            self.client.write_tls(&mut bytes).unwrap();
        }
        bytes
    }

    fn feed_server(&mut self, bytes: &mut [u8]) -> Result<TlsState, TlsError> {
        let at_server = &mut self.at_server;
        self.server.receive(bytes, &mut self.to_client, |plain| at_server.extend_from_slice(plain))
    }

    fn feed_client(&mut self) {
        let bytes = std::mem::take(&mut self.to_client);
        let mut bytes = bytes.as_slice();
        while !bytes.is_empty() {
            self.client.read_tls(&mut bytes).unwrap();
            self.client.process_new_packets().unwrap();
            let mut plain = vec![0; 1 << 16];
            while let Ok(count @ 1..) = self.client.reader().read(&mut plain) {
                self.at_client.extend_from_slice(&plain[..count]);
            }
        }
    }

    /// Carries everything both ways until nothing is left, in pieces of at most `piece` bytes to the server.
    fn pump(&mut self, piece: usize) {
        loop {
            let mut bytes = self.client_bytes();
            let done = bytes.is_empty();
            for part in bytes.chunks_mut(piece.min(1 << 30)) {
                self.feed_server(part).unwrap();
            }
            self.feed_client();
            if done && !self.client.wants_write() {
                return;
            }
        }
    }

    /// The ciphertext of application bytes from the client.
    fn sealed_by_client(&mut self, plain: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::new();
        for part in plain.chunks(1 << 14) {
            self.client.writer().write_all(part).unwrap();
            bytes.extend(self.client_bytes());
        }
        bytes
    }
}

fn pattern(length: usize) -> Vec<u8> {
    (0..length).map(|index| u8::try_from(index % 251).unwrap()).collect()
}

/// Proves: a handshake completes however its bytes are cut, and leaves nothing buffered.
/// Seen to fail when: bytes of an incomplete record are dropped between calls.
#[test]
fn a_handshake_completes_however_it_is_cut() {
    let (tls, config) = server();
    for piece in [1, 2, 3, 5, 7, 64, 1000] {
        let mut link = Link::new(&tls, &config);
        link.pump(piece);
        assert!(link.server.is_open(), "pieces of {piece}");
        assert_eq!(link.server.leftover_capacity(), 0, "pieces of {piece}");
    }
    let hello = Link::new(&tls, &config).client_bytes();
    for cut in 0..=hello.len() {
        let mut link = Link::new(&tls, &config);
        let mut bytes = link.client_bytes();
        let cut = cut.min(bytes.len());
        let (first, second) = bytes.split_at_mut(cut);
        assert_eq!(link.feed_server(first).unwrap(), TlsState::Handshaking);
        link.feed_server(second).unwrap();
        link.feed_client();
        link.pump(usize::MAX);
        assert!(link.server.is_open(), "cut at {cut}");
    }
}

/// Proves: application bytes arrive complete and in order wherever their records are cut, and no buffer stays behind.
/// Seen to fail when: what is left over is put behind the new bytes.
#[test]
fn application_bytes_survive_every_cut() {
    let (tls, config) = server();
    let mut link = Link::open(&tls, &config);
    let length = link.sealed_by_client(b"one record").len();
    let mut link = Link::open(&tls, &config);
    let mut expected = Vec::new();
    for cut in 0..2 * length {
        let mut bytes = link.sealed_by_client(b"one record");
        bytes.extend(link.sealed_by_client(b"and another"));
        let (first, second) = bytes.split_at_mut(cut.min(2 * length));
        link.feed_server(first).unwrap();
        assert_eq!(link.feed_server(second).unwrap(), TlsState::Open);
        expected.extend_from_slice(b"one recordand another");
        assert_eq!(link.at_server, expected, "cut at {cut}");
        assert_eq!(link.server.leftover_capacity(), 0, "cut at {cut}");
    }
}

/// Proves: payloads of any size go both ways, in records of at most 16 KiB.
/// Seen to fail when: the room is computed for one record, and not asked for once more.
#[test]
fn large_payloads_go_both_ways() {
    let (tls, config) = server();
    for length in [0, 1, 16_383, 16_384, 16_385, 65_536, 300_000] {
        let mut link = Link::open(&tls, &config);
        let plain = pattern(length);
        for mut part in link.sealed_by_client(&plain).chunks(4096).map(<[u8]>::to_vec) {
            link.feed_server(&mut part).unwrap();
        }
        assert!(link.at_server == plain, "{length} bytes to the server");
        link.server.seal(&plain, &mut link.to_client).unwrap();
        let sealed = link.to_client.len();
        let records = length.div_ceil(16_384);
        assert!(sealed <= length + 22 * records.max(1), "{length} bytes became {sealed}");
        link.feed_client();
        assert!(link.at_client == plain, "{length} bytes to the client");
    }
}

/// A ClientHello that offers TLS 1.2 at most: two suites of TLS 1.2, no supported_versions.
fn hello_of_tls12() -> Vec<u8> {
    let mut body = vec![3, 3];
    body.extend([7; 32]);
    body.extend([0, 0, 4, 0xc0, 0x2f, 0xc0, 0x2b, 1, 0]);
    let extensions =
        [[0, 10, 0, 4, 0, 2, 0, 29].as_slice(), &[0, 11, 0, 2, 1, 0], &[0, 13, 0, 6, 0, 4, 4, 3, 8, 4]]
            .concat();
    body.extend(u16::try_from(extensions.len()).unwrap().to_be_bytes());
    body.extend(extensions);
    let length = u16::try_from(body.len()).unwrap();
    let mut record = vec![22, 3, 1];
    record.extend((length + 4).to_be_bytes());
    record.extend([1, 0]);
    record.extend(length.to_be_bytes());
    record.extend(body);
    record
}

/// Proves: G-TLS-1 (a client of TLS 1.2 is refused with the alert that says so).
/// Seen to fail when: the alert is not taken out of the connection after its error.
#[test]
fn a_client_of_tls12_is_refused_with_an_alert() {
    let (tls, _) = server();
    let mut server = tls.conn().unwrap();
    let mut out = Vec::new();
    let outcome = server.receive(&mut hello_of_tls12(), &mut out, |_| panic!("no application bytes"));
    assert!(matches!(outcome, Err(TlsError::Protocol(_))), "{outcome:?}");
    // Alert record, fatal (2), protocol_version (70). Source: RFC 8446, section 6.2.
    assert_eq!(out, [21, 3, 3, 0, 2, 2, 70]);
    assert!(matches!(server.seal(b"late", &mut out), Err(TlsError::NotOpen)));
}

/// Proves: G-EDGE-1 (what is not TLS is an error of its connection, never a panic).
/// Seen to fail when: an error of the record layer is taken for "more bytes are needed".
#[test]
fn what_is_not_tls_is_an_error() {
    let (tls, _) = server();
    let http = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n".to_vec();
    let frame = [0, 0, 0, 10, 10, 8, 1, 2, 3, 4, 5, 6, 7, 8].to_vec();
    for mut bytes in [http, frame, vec![0; 64], vec![0xff; 64], b"SSH-2.0-OpenSSH_9.2\r\n".to_vec()] {
        let mut server = tls.conn().unwrap();
        let outcome = server.receive(&mut bytes, &mut Vec::new(), |_| panic!("no application bytes"));
        assert!(matches!(outcome, Err(TlsError::Protocol(_))), "{outcome:?}");
        assert!(!server.is_open());
    }
}

/// Proves: G-EDGE-1 (a client's flight with any byte changed ends in an error or in waiting, never in a panic).
/// Seen to fail when: the connection is asked once more, without its bytes, after an error.
#[test]
fn a_damaged_flight_never_panics() {
    let (tls, config) = server();
    let length = Link::new(&tls, &config).client_bytes().len();
    for index in 0..length {
        let mut link = Link::new(&tls, &config);
        let mut bytes = link.client_bytes();
        let Some(byte) = bytes.get_mut(index) else { continue };
        *byte ^= 0xff;
        for part in bytes.chunks_mut(50) {
            if link.feed_server(part).is_err() {
                break;
            }
        }
        let _refused = link.server.seal(b"late", &mut Vec::new());
        link.server.close(&mut Vec::new());
    }
    for index in 0..40 {
        let mut link = Link::open(&tls, &config);
        let mut bytes = link.sealed_by_client(b"0123456789");
        let Some(byte) = bytes.get_mut(index) else { continue };
        *byte ^= 0x10;
        let before = link.to_client.len();
        if link.feed_server(&mut bytes).is_err() {
            assert!(link.to_client.len() > before, "no alert for a change of byte {index}");
            assert!(matches!(link.server.seal(b"late", &mut Vec::new()), Err(TlsError::NotOpen)));
        }
        // The second byte of the version in a record has no meaning. Source: RFC 8446, section 5.1.
        let expected: &[u8] = if index == 2 { b"0123456789" } else { b"" };
        assert_eq!(link.at_server, expected, "byte {index}");
    }
}

/// Proves: G-LIMIT-4 (a message without an end is given up at 20 KiB).
/// Seen to fail when: what is left over is not bounded.
#[test]
fn an_endless_handshake_message_is_given_up() {
    let (tls, _) = server();
    let mut server = tls.conn().unwrap();
    let mut begin = vec![22, 3, 1, 0, 104, 1, 0, 0xff, 0xf0];
    begin.extend([3; 100]);
    server.receive(&mut begin, &mut Vec::new(), |_| {}).unwrap();
    let mut sent = begin.len();
    loop {
        let mut record = vec![22, 3, 1, 0, 100];
        record.extend([3; 100]);
        sent += record.len();
        match server.receive(&mut record, &mut Vec::new(), |_| {}) {
            Ok(state) => assert_eq!(state, TlsState::Handshaking),
            Err(TlsError::Leftover) => break,
            Err(error) => panic!("{error}"),
        }
        assert!(sent <= LEFTOVER_BYTES_MAX + 105, "{sent} bytes are kept");
    }
    assert!(sent > LEFTOVER_BYTES_MAX);
    assert_eq!(server.leftover_capacity(), 0);
}

/// Proves: nothing is sealed before the handshake is complete.
/// Seen to fail when: seal answers Ok where it has nothing to encrypt with.
#[test]
fn nothing_is_sealed_before_the_handshake_is_complete() {
    let (tls, config) = server();
    let mut link = Link::new(&tls, &config);
    let mut out = Vec::new();
    assert!(matches!(link.server.seal(b"early", &mut out), Err(TlsError::NotOpen)));
    let mut hello = link.client_bytes();
    link.feed_server(&mut hello[..100]).unwrap();
    assert!(matches!(link.server.seal(b"early", &mut out), Err(TlsError::NotOpen)));
    link.server.close(&mut out);
    assert!(out.is_empty() && !link.server.is_open());
}

/// Proves: a close_notify of the client ends what it sends, and what it sent before has arrived.
/// Seen to fail when: the state stays Open at a close_notify.
#[test]
fn the_clients_close_comes_after_its_last_bytes() {
    let (tls, config) = server();
    let mut link = Link::open(&tls, &config);
    let mut bytes = link.sealed_by_client(b"last words");
    link.client.send_close_notify();
    bytes.extend(link.client_bytes());
    let mut seen = Vec::new();
    for byte in bytes.chunks_mut(1) {
        seen.push(link.feed_server(byte).unwrap());
    }
    assert_eq!(link.at_server, b"last words");
    assert_eq!(seen.pop(), Some(TlsState::PeerClosed));
    assert!(seen.iter().all(|state| *state == TlsState::Open));
    assert!(!link.server.is_open());
    link.server.seal(b"an answer", &mut link.to_client).unwrap();
    link.server.close(&mut link.to_client);
    link.feed_client();
    assert_eq!(link.at_client, b"an answer");
}

/// Proves: our close_notify comes after what was sealed, once, and nothing can be sealed behind it.
/// Seen to fail when: close may be called twice.
#[test]
fn our_close_comes_after_our_last_bytes() {
    let (tls, config) = server();
    let mut link = Link::open(&tls, &config);
    link.server.seal(b"goodbye", &mut link.to_client).unwrap();
    link.server.close(&mut link.to_client);
    let sent = link.to_client.len();
    link.server.close(&mut link.to_client);
    assert_eq!(link.to_client.len(), sent);
    assert!(matches!(link.server.seal(b"late", &mut link.to_client), Err(TlsError::NotOpen)));
    link.feed_client();
    assert_eq!(link.at_client, b"goodbye");
    assert!(matches!(link.client.reader().read(&mut [0; 8]), Ok(0)), "the client sees a clean end");
}

/// Proves: a connection goes on in another thread, in the middle of a record.
/// Seen to fail when: what is left over does not go along.
#[test]
fn a_connection_moves_between_threads_in_the_middle_of_a_record() {
    let (tls, config) = server();
    let mut link = Link::open(&tls, &config);
    let mut bytes = link.sealed_by_client(b"from one core to the other");
    let (first, second) = bytes.split_at_mut(20);
    link.feed_server(first).unwrap();
    let Link { server, .. } = link;
    let (second, mut moved) = (second.to_vec(), server);
    let (at_server, out) = std::thread::spawn(move || {
        let (mut second, mut at_server, mut out) = (second, Vec::new(), Vec::new());
        moved.receive(&mut second, &mut out, |plain| at_server.extend_from_slice(plain)).unwrap();
        moved.seal(b"welcome", &mut out).unwrap();
        (at_server, out)
    })
    .join()
    .unwrap();
    assert_eq!(at_server, b"from one core to the other");
    assert!(out.len() > b"welcome".len());
}

/// Proves: G-EDGE-1 (half of a handshake message after the handshake does no harm to what is sealed meanwhile).
/// Seen to fail when: rustls is asked for its state without what is left over: it panics, and any client could do that.
#[test]
fn half_a_key_update_does_not_disturb_sealing() {
    let (tls, mut config) = server_and_client();
    config.enable_secret_extraction = true;
    let config = Arc::new(config);
    let link = Link::open(&tls, &config);
    #[allow(deprecated, reason = "the only way to a client that breaks a message in two")]
    let secrets = link.client.dangerous_extract_secrets().unwrap();
    let (sequence, ConnectionTrafficSecrets::Aes256Gcm { key, iv }) = secrets.tx else {
        panic!("another cipher")
    };
    let mut server = link.server;
    let mut out = Vec::new();
    // KeyUpdate: type 24, length 1, update_not_requested. Two bytes of it first. Source: RFC 8446, section 4.6.3.
    let mut half = sealed_record(sequence, key.as_ref(), iv.as_ref(), &[24, 0]);
    assert_eq!(
        server.receive(&mut half, &mut out, |_| panic!("no application bytes")).unwrap(),
        TlsState::Open
    );
    for round in 0..3 {
        server.seal(b"meanwhile", &mut out).unwrap();
        assert!(server.is_open(), "round {round}");
    }
    let mut rest = sealed_record(sequence + 1, key.as_ref(), iv.as_ref(), &[0, 1, 0]);
    assert_eq!(
        server.receive(&mut rest, &mut out, |_| panic!("no application bytes")).unwrap(),
        TlsState::Open
    );
    server.seal(b"afterwards", &mut out).unwrap();
    assert_eq!(server.leftover_capacity(), 0);
    server.close(&mut out);
}

/// Proves: G-EDGE-1 (half of a handshake message and then an error, or our close, does not panic either).
/// Seen to fail when: the alert is asked for once more than there is something to take.
#[test]
fn an_error_behind_half_a_message_does_not_panic() {
    for close_first in [false, true] {
        let (tls, mut config) = server_and_client();
        config.enable_secret_extraction = true;
        let config = Arc::new(config);
        let link = Link::open(&tls, &config);
        #[allow(deprecated, reason = "the only way to a client that breaks a message in two")]
        let secrets = link.client.dangerous_extract_secrets().unwrap();
        let (sequence, ConnectionTrafficSecrets::Aes256Gcm { key, iv }) = secrets.tx else {
            panic!("another cipher")
        };
        let (mut server, mut out) = (link.server, Vec::new());
        let mut half = sealed_record(sequence, key.as_ref(), iv.as_ref(), &[24, 0]);
        server.receive(&mut half, &mut out, |_| {}).unwrap();
        if close_first {
            server.close(&mut out);
        }
        let before = out.len();
        let mut garbage = vec![23, 3, 3, 0, 20];
        garbage.extend([9; 20]);
        assert!(server.receive(&mut garbage, &mut out, |_| panic!("no application bytes")).is_err());
        assert!(close_first || out.len() > before, "no alert");
        assert!(matches!(server.seal(b"late", &mut out), Err(TlsError::NotOpen)));
        server.close(&mut out);
    }
}

/// A record of TLS 1.3 with a part of a handshake message. Source: RFC 8446, section 5.2 and 5.3.
fn sealed_record(sequence: u64, key: &[u8], iv: &[u8], part: &[u8]) -> Vec<u8> {
    use ring::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
    let key = LessSafeKey::new(UnboundKey::new(&AES_256_GCM, key).unwrap());
    let mut nonce: [u8; 12] = iv.try_into().unwrap();
    nonce.iter_mut().skip(4).zip(sequence.to_be_bytes()).for_each(|(byte, part)| *byte ^= part);
    let mut inner = [part, &[22]].concat();
    let length = u16::try_from(inner.len() + 16).unwrap().to_be_bytes();
    let header = [23, 3, 3, length[0], length[1]];
    key.seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), Aad::from(header), &mut inner).unwrap();
    [header.as_slice(), &inner].concat()
}

/// Proves: keys are renewed at the client's wish, while bytes flow.
/// Seen to fail when: a call ends with its first record of application bytes.
#[test]
fn a_key_update_keeps_the_bytes_flowing() {
    let (tls, config) = server();
    let mut link = Link::open(&tls, &config);
    for round in 0..3 {
        link.client.refresh_traffic_keys().unwrap();
        let mut bytes = link.client_bytes();
        bytes.extend(link.sealed_by_client(b"again "));
        bytes.extend(link.sealed_by_client(b"and again"));
        link.feed_server(&mut bytes).unwrap();
        link.server.seal(b"and back", &mut link.to_client).unwrap();
        link.feed_client();
        assert_eq!(link.at_server, b"again and again".repeat(round + 1));
        assert_eq!(link.at_client, b"and back".repeat(round + 1));
    }
}

/// Proves: a handshake gives one ticket, a client resumes with it, and none allows early data.
/// Seen to fail when: the number of tickets is left at rustls' default of 2.
#[test]
fn one_ticket_resumes_without_early_data() {
    let (tls, mut config) = server_and_client();
    config.resumption = Resumption::in_memory_sessions(4);
    config.enable_early_data = true;
    let config = Arc::new(config);
    let first = Link::open(&tls, &config);
    assert_eq!(first.client.tls13_tickets_received(), 1);
    assert_eq!(first.client.handshake_kind(), Some(HandshakeKind::Full));
    let mut second = Link::new(&tls, &config);
    assert!(second.client.early_data().is_none(), "the ticket allows early data");
    second.pump(usize::MAX);
    assert_eq!(second.client.handshake_kind(), Some(HandshakeKind::Resumed));
}

/// Proves: a certificate with another key, without a certificate in it, or missing, is refused by its name.
/// Seen to fail when: a chain without a certificate is passed on.
#[test]
fn a_certificate_and_key_that_do_not_belong_together_are_refused() {
    let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    selfsigned::write(one.path(), &[]).unwrap();
    selfsigned::write(two.path(), &[]).unwrap();
    let (certificate, key) = (one.path().join("server.pem"), one.path().join("server.key"));
    assert!(load(&certificate, &key).is_ok());
    let pair = load(&certificate, &two.path().join("server.key"));
    assert!(matches!(pair, Err(ServerTlsError::Pair { .. })), "{pair:?}");
    let empty = load(&key, &key);
    assert!(matches!(empty, Err(ServerTlsError::Empty { .. })), "{empty:?}");
    let missing = load(&one.path().join("missing"), &key).unwrap_err();
    assert!(missing.to_string().contains("missing"), "{missing}");
    let existing = selfsigned::write(one.path(), &[]);
    assert!(existing.is_err(), "existing files are overwritten");
}

/// Proves: an idle connection costs at most 3.5 KiB of memory, TLS state and allocator included.
/// Seen to fail when: each connection keeps a receive buffer of 4 KiB.
#[test]
fn an_idle_connection_is_small() {
    let (tls, config) = server();
    let mut held = Vec::with_capacity(4000);
    let mut keep_many = |count: usize| {
        for _ in 0..count {
            let mut link = Link::open(&tls, &config);
            let mut bytes = link.sealed_by_client(b"hello");
            link.feed_server(&mut bytes).unwrap();
            link.server.seal(b"welcome", &mut link.to_client).unwrap();
            held.push(Box::new(link.server));
        }
        heap_bytes()
    };
    let before = keep_many(1000);
    let after = keep_many(3000);
    let each = (after - before) / 3000;
    println!("{each} B of heap an idle connection");
    assert!(each <= 3584, "{each} B");
}

/// Memory that the allocator has taken. Not what is resident, which the kernel changes as it likes.
fn heap_bytes() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmData:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<usize>().unwrap() * 1024
}

/// Proves: G-TLS-1 (the server chooses the cipher: the one that costs it least, in whatever order a client has them).
#[test]
fn the_server_chooses_the_cipher() {
    let (tls, config) = server_and_client_with(vec![TLS13_AES_256_GCM_SHA384, TLS13_AES_128_GCM_SHA256]);
    let link = Link::open(&tls, &Arc::new(config));
    assert_eq!(link.client.negotiated_cipher_suite(), Some(TLS13_AES_128_GCM_SHA256));
}
