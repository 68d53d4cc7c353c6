//! Session tickets of the real process.

use crate::harness::*;
use crate::raw::hello;
use iris_protocol::wire::ClientFrame;
use prost::Message as _;
use rustls::crypto::ring::default_provider;
use rustls::{ClientConfig, ClientConnection, HandshakeKind, RootCertStore, StreamOwned};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, ServerName};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;

/// A client that remembers tickets.
fn client(gateway: &Gateway) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(gateway.dir.path().join("ca.pem")).unwrap()).unwrap();
    let builder = ClientConfig::builder_with_provider(Arc::new(default_provider()));
    let builder = builder.with_protocol_versions(&[&rustls::version::TLS13]).unwrap();
    Arc::new(builder.with_root_certificates(roots).with_no_client_auth())
}

/// Logs in, and says how the handshake went. The Welcome comes behind the ticket.
fn log_in(gateway: &Gateway, client: &Arc<ClientConfig>, token: &str) -> HandshakeKind {
    let name = ServerName::try_from("127.0.0.1").unwrap();
    let socket = TcpStream::connect(gateway.tls_address()).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut stream = StreamOwned::new(ClientConnection::new(Arc::clone(client), name).unwrap(), socket);
    let body = ClientFrame { frame: Some(hello(token)) }.encode_to_vec();
    stream.write_all(&[&u32::try_from(body.len()).unwrap().to_be_bytes(), &body[..]].concat()).unwrap();
    stream.read_exact(&mut [0; 5]).unwrap();
    stream.conn.handshake_kind().unwrap()
}

/// Proves: G-TLS-2 (a client resumes on every core, after a clean stop and after a kill; without the keys it has a full handshake)
/// Seen to fail when: `open_tickets` makes keys in memory.
#[test]
fn a_client_resumes_over_restarts() {
    let mut gateway = Gateway::start(Setup::default());
    let (client, token) = (client(&gateway), gateway.token("alice", "phone"));
    assert_eq!(log_in(&gateway, &client, &token), HandshakeKind::Full);
    for _ in 0..8 {
        assert_eq!(log_in(&gateway, &client, &token), HandshakeKind::Resumed);
    }
    assert_eq!(gateway.terminate(), Some(0));
    gateway.restart();
    assert_eq!(log_in(&gateway, &client, &token), HandshakeKind::Resumed, "after a stop");
    gateway.kill();
    gateway.restart();
    assert_eq!(log_in(&gateway, &client, &token), HandshakeKind::Resumed, "after a kill");
    let keys = gateway.data_dir().join("tickets");
    assert_eq!(std::fs::metadata(&keys).unwrap().permissions().mode() & 0o777, 0o600);
    gateway.kill();
    std::fs::remove_file(keys).unwrap();
    gateway.restart();
    assert_eq!(log_in(&gateway, &client, &token), HandshakeKind::Full);
    assert_eq!(log_in(&gateway, &client, &token), HandshakeKind::Resumed);
}
