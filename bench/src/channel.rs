//! What a connection's bytes go through: nothing, or TLS 1.3. The same on every engine, on both sides.
//!
//! The load side and the floors use rustls' buffered connection: its extra memory is on the side of the load, and
//! the copy it costs a floor (a few hundred bytes a frame) is small beside a record's encryption.
//!
//! Invariants
//! - Plaintext is never put on the wire by a TLS channel: what cannot be encrypted yet waits inside rustls.
//! - A server's certificate is always verified against the one authority that was given.

mod tickets;
mod websocket;

use crate::error::BenchError;
use rustls::crypto::CryptoProvider;
use rustls::crypto::ring::{cipher_suite::TLS13_AES_128_GCM_SHA256, default_provider};
use rustls::{ClientConfig, ClientConnection, Connection, RootCertStore, ServerConfig, ServerConnection};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName};
use std::io::{Read, Write};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tickets::Tickets;
use websocket::WebSocketEnd;

/// Channels made so far: each masks in its own way.
static CHANNELS: AtomicU64 = AtomicU64::new(0);

/// How new channels of one side are made.
#[derive(Clone)]
pub enum Security {
    /// Plain TCP.
    Plain,
    /// TLS, as the side that connects.
    TlsClient(Arc<ClientConfig>),
    /// TLS, as the side that accepts.
    TlsServer(Arc<ServerConfig>),
    /// WebSocket inside one of the others, as the side that connects.
    WebSocketClient(Box<Security>),
}

impl Security {
    /// A client that trusts the certificates of a PEM file.
    ///
    /// # Errors
    /// The file cannot be read or holds no certificate.
    pub fn trusting(ca: &Path) -> Result<Self, BenchError> {
        let mut roots = RootCertStore::empty();
        let certificates = CertificateDer::pem_file_iter(ca)
            .map_err(|error| BenchError::Tls(format!("{}: {error}", ca.display())))?;
        for certificate in certificates {
            let certificate =
                certificate.map_err(|error| BenchError::Tls(format!("{}: {error}", ca.display())))?;
            roots.add(certificate).map_err(|error| BenchError::Tls(error.to_string()))?;
        }
        Ok(Self::TlsClient(Arc::new(client_config(roots))))
    }

    /// The same for connections that resume the session of an earlier one, where they have its ticket.
    #[must_use]
    pub fn resuming(&self) -> Self {
        match self {
            Self::TlsClient(config) => {
                let mut config = ClientConfig::clone(config);
                config.resumption = rustls::client::Resumption::store(Arc::new(Tickets::default()));
                Self::TlsClient(Arc::new(config))
            }
            Self::WebSocketClient(inner) => Self::WebSocketClient(Box::new(inner.resuming())),
            Self::Plain | Self::TlsServer(_) => self.clone(),
        }
    }

    /// WebSocket inside this.
    #[must_use]
    pub fn with_websocket(self) -> Self {
        Self::WebSocketClient(Box::new(self))
    }

    /// The same without WebSocket around it.
    #[must_use]
    pub fn without_websocket(&self) -> Self {
        match self {
            Self::WebSocketClient(inner) => Self::clone(inner),
            Self::Plain | Self::TlsClient(_) | Self::TlsServer(_) => self.clone(),
        }
    }

    /// A channel for a new connection.
    ///
    /// # Errors
    /// rustls refused its configuration.
    pub fn channel(&self) -> Result<Channel, BenchError> {
        let failed = |error: rustls::Error| BenchError::Tls(error.to_string());
        Ok(match self {
            Self::Plain => Channel::Plain,
            Self::TlsClient(config) => {
                let name =
                    ServerName::try_from("localhost").map_err(|error| BenchError::Tls(error.to_string()))?;
                let client = ClientConnection::new(Arc::clone(config), name).map_err(failed)?;
                Channel::Tls(Box::new(client.into()))
            }
            Self::TlsServer(config) => {
                let server = ServerConnection::new(Arc::clone(config)).map_err(failed)?;
                Channel::Tls(Box::new(server.into()))
            }
            Self::WebSocketClient(inner) => {
                let number = CHANNELS.fetch_add(1, Ordering::Relaxed);
                Channel::WebSocket(Box::new((inner.channel()?, WebSocketEnd::new(number))))
            }
        })
    }

    fn is_plain(&self) -> bool {
        matches!(self, Self::Plain)
    }

    /// "plain", "tls", "websocket" or "websocket over tls", for reports.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Plain => "plain",
            Self::TlsClient(_) | Self::TlsServer(_) => "tls",
            Self::WebSocketClient(inner) if inner.is_plain() => "websocket",
            Self::WebSocketClient(_) => "websocket over tls",
        }
    }
}

/// A self-signed certificate for localhost and its key, in DER: what a floor's server shows its own load.
pub struct Identity {
    /// The certificate.
    pub certificate: Vec<u8>,
    /// Its key, PKCS#8.
    pub key: Vec<u8>,
}

impl Identity {
    /// Makes a new one.
    ///
    /// # Errors
    /// The generator failed.
    pub fn generate() -> Result<Self, BenchError> {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()])
            .map_err(|error| BenchError::Tls(error.to_string()))?;
        Ok(Self { certificate: made.cert.der().to_vec(), key: made.signing_key.serialize_der() })
    }

    /// The accepting side of this identity.
    ///
    /// # Errors
    /// The key or certificate is not usable.
    pub fn server(&self) -> Result<Security, BenchError> {
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(self.key.clone()));
        let chain = vec![CertificateDer::from(self.certificate.clone())];
        // The gateway's cipher: another one would compare other work.
        let provider = CryptoProvider { cipher_suites: vec![TLS13_AES_128_GCM_SHA256], ..default_provider() };
        let mut config = ServerConfig::builder_with_provider(Arc::new(provider))
            .with_protocol_versions(&[&rustls::version::TLS13])
            .map_err(|error| BenchError::Tls(error.to_string()))?
            .with_no_client_auth()
            .with_single_cert(chain, key)
            .map_err(|error| BenchError::Tls(error.to_string()))?;
        config.send_tls13_tickets = 0;
        Ok(Security::TlsServer(Arc::new(config)))
    }

    /// The connecting side that trusts this identity alone.
    ///
    /// # Errors
    /// The certificate is not usable.
    pub fn client(&self) -> Result<Security, BenchError> {
        let mut roots = RootCertStore::empty();
        roots
            .add(CertificateDer::from(self.certificate.clone()))
            .map_err(|error| BenchError::Tls(error.to_string()))?;
        Ok(Security::TlsClient(Arc::new(client_config(roots))))
    }
}

fn client_config(roots: RootCertStore) -> ClientConfig {
    let mut config = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
    // Every connection pays its whole handshake: a resumed one would hide it.
    config.resumption = rustls::client::Resumption::disabled();
    config
}

/// One connection's transformation of bytes.
pub enum Channel {
    /// None.
    Plain,
    /// TLS 1.3.
    Tls(Box<Connection>),
    /// WebSocket inside another one.
    WebSocket(Box<(Channel, WebSocketEnd)>),
}

impl Channel {
    /// True once application bytes can flow.
    pub fn is_open(&self) -> bool {
        match self {
            Self::Plain => true,
            Self::Tls(tls) => !tls.is_handshaking(),
            Self::WebSocket(websocket) => websocket.1.is_open(),
        }
    }

    /// True if the handshake resumed an earlier session.
    pub fn is_resumed(&self) -> bool {
        match self {
            Self::Plain => false,
            Self::Tls(tls) => tls.handshake_kind() == Some(rustls::HandshakeKind::Resumed),
            Self::WebSocket(websocket) => websocket.0.is_resumed(),
        }
    }

    /// Takes received bytes of a TLS channel: plaintext is appended to `plain`, what must be answered to `wire`.
    ///
    /// # Errors
    /// The peer broke TLS, or its certificate is not trusted.
    pub fn open(
        &mut self,
        mut received: &[u8],
        plain: &mut Vec<u8>,
        wire: &mut Vec<u8>,
    ) -> Result<(), BenchError> {
        let tls = match self {
            Self::Plain => {
                plain.extend_from_slice(received);
                return Ok(());
            }
            Self::Tls(tls) => tls,
            Self::WebSocket(websocket) => {
                let (inner, end) = &mut **websocket;
                let (mut bytes, mut answers) = (Vec::new(), Vec::new());
                inner.open(received, &mut bytes, wire)?;
                if inner.is_open() {
                    end.ask(&mut answers);
                }
                if !bytes.is_empty() {
                    end.receive(&bytes, plain, &mut answers)?;
                }
                return if answers.is_empty() { Ok(()) } else { inner.seal(&answers, wire) };
            }
        };
        let failed = |error: &dyn std::fmt::Display| BenchError::Tls(error.to_string());
        while !received.is_empty() {
            tls.read_tls(&mut received).map_err(|error| failed(&error))?;
            let state = tls.process_new_packets().map_err(|error| failed(&error))?;
            let start = plain.len();
            plain.resize(start + state.plaintext_bytes_to_read(), 0);
            tls.reader().read_exact(&mut plain[start..]).map_err(|error| failed(&error))?;
        }
        self.drain(wire)
    }

    /// Encrypts `plain` (or copies it) behind what is in `wire` already.
    ///
    /// # Errors
    /// rustls refused it.
    pub fn seal(&mut self, plain: &[u8], wire: &mut Vec<u8>) -> Result<(), BenchError> {
        match self {
            Self::Plain => wire.extend_from_slice(plain),
            Self::Tls(tls) => {
                tls.writer().write_all(plain).map_err(|error| BenchError::Tls(error.to_string()))?;
                self.drain(wire)?;
            }
            Self::WebSocket(websocket) => {
                let (inner, end) = &mut **websocket;
                let mut messages = Vec::new();
                end.send(plain, &mut messages)?;
                inner.seal(&messages, wire)?;
            }
        }
        Ok(())
    }

    /// Appends what TLS has to say of itself to `wire`: the client's first flight, for one.
    ///
    /// # Errors
    /// rustls refused it.
    pub fn drain(&mut self, wire: &mut Vec<u8>) -> Result<(), BenchError> {
        match self {
            Self::Plain => {}
            Self::Tls(tls) => {
                while tls.wants_write() {
                    tls.write_tls(wire).map_err(|error| BenchError::Tls(error.to_string()))?;
                }
            }
            Self::WebSocket(websocket) => {
                let (inner, end) = &mut **websocket;
                inner.drain(wire)?;
                if inner.is_open() {
                    let mut request = Vec::new();
                    end.ask(&mut request);
                    inner.seal(&request, wire)?;
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
