//! What a connection's bytes go through: nothing, or TLS 1.3. The same on every engine, on both sides.
//!
//! Both sides go through the gateway's own kind of connection, which keeps no buffers: a million of them fit beside the
//! gateway, and a floor's server does the work of the gateway's.
//!
//! Invariants
//! - Plaintext is never put on the wire by a TLS channel: before the handshake is complete, nothing can be sealed.
//! - A server's certificate is always verified against the one authority that was given.

mod tickets;
mod websocket;

use crate::error::BenchError;
use iris_tls::{Client, Server, TlsConn};
use rustls::crypto::CryptoProvider;
use rustls::crypto::ring::{cipher_suite::TLS13_AES_128_GCM_SHA256, default_provider};
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName};
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
        Ok(match self {
            Self::Plain => Channel::Plain,
            Self::TlsClient(config) => {
                let name =
                    ServerName::try_from("localhost").map_err(|error| BenchError::Tls(error.to_string()))?;
                Channel::TlsClient(Box::new(TlsConn::client(Arc::clone(config), name)?))
            }
            Self::TlsServer(config) => Channel::TlsServer(Box::new(TlsConn::server(Arc::clone(config))?)),
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
    /// TLS 1.3, the side that connects.
    TlsClient(Box<TlsConn<Client>>),
    /// TLS 1.3, the side that accepts.
    TlsServer(Box<TlsConn<Server>>),
    /// WebSocket inside another one.
    WebSocket(Box<(Channel, WebSocketEnd)>),
}

impl Channel {
    /// True once application bytes can flow.
    pub fn is_open(&self) -> bool {
        match self {
            Self::Plain => true,
            Self::TlsClient(tls) => tls.is_open(),
            Self::TlsServer(tls) => tls.is_open(),
            Self::WebSocket(websocket) => websocket.1.is_open(),
        }
    }

    /// True if the handshake resumed an earlier session.
    pub fn is_resumed(&self) -> bool {
        match self {
            Self::Plain => false,
            Self::TlsClient(tls) => tls.is_resumed(),
            Self::TlsServer(tls) => tls.is_resumed(),
            Self::WebSocket(websocket) => websocket.0.is_resumed(),
        }
    }

    /// Takes received bytes, and spends them: plaintext is appended to `plain`, what must be answered to `wire`.
    ///
    /// # Errors
    /// The peer broke TLS, or its certificate is not trusted.
    pub fn open(
        &mut self,
        received: &mut [u8],
        plain: &mut Vec<u8>,
        wire: &mut Vec<u8>,
    ) -> Result<(), BenchError> {
        let taken = |bytes: &[u8]| plain.extend_from_slice(bytes);
        match self {
            Self::Plain => plain.extend_from_slice(received),
            Self::TlsClient(tls) => _ = tls.receive(received, wire, taken)?,
            Self::TlsServer(tls) => _ = tls.receive(received, wire, taken)?,
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
                if !answers.is_empty() {
                    inner.seal(&answers, wire)?;
                }
            }
        }
        Ok(())
    }

    /// Encrypts `plain` (or copies it) behind what is in `wire` already.
    ///
    /// # Errors
    /// The handshake is not complete, or rustls refused it.
    pub fn seal(&mut self, plain: &[u8], wire: &mut Vec<u8>) -> Result<(), BenchError> {
        match self {
            Self::Plain => wire.extend_from_slice(plain),
            Self::TlsClient(tls) => tls.seal(plain, wire)?,
            Self::TlsServer(tls) => tls.seal(plain, wire)?,
            Self::WebSocket(websocket) => {
                let (inner, end) = &mut **websocket;
                let mut messages = Vec::new();
                end.send(plain, &mut messages)?;
                inner.seal(&messages, wire)?;
            }
        }
        Ok(())
    }

    /// Appends what the connecting side says first to `wire`.
    ///
    /// # Errors
    /// rustls refused it.
    pub fn drain(&mut self, wire: &mut Vec<u8>) -> Result<(), BenchError> {
        match self {
            Self::Plain | Self::TlsServer(_) => {}
            Self::TlsClient(tls) => _ = tls.receive(&mut [], wire, |_| ())?,
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
