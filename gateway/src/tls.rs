//! TLS 1.3 for clients: rustls with ring, through the API that keeps no buffers.
//!
//! Invariants
//! - TLS 1.3 alone, no early data, no client certificates, no ALPN; the server chooses the cipher.
//! - Connections keep the certificate that they began with; others can be put in force for those that follow.

pub mod selfsigned;
pub mod tickets;

pub use iris_tls::{TlsError, TlsState};
pub use tickets::{TicketError, Tickets};

use rustls::ServerConfig;
use rustls::crypto::CryptoProvider;
use rustls::crypto::ring::cipher_suite::{
    TLS13_AES_128_GCM_SHA256, TLS13_AES_256_GCM_SHA384, TLS13_CHACHA20_POLY1305_SHA256,
};
use rustls::crypto::ring::default_provider;
use rustls::server::NoServerSessionStorage;
use rustls_pki_types::pem::{self, PemObject};
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

/// Tickets after a full handshake. 1: rustls' default of 2 costs a record and an encryption more at every handshake.
const TICKETS: usize = 1;

/// The server's end of one connection.
pub type TlsConn = iris_tls::TlsConn<iris_tls::Server>;

/// Why a certificate or a key is not taken.
#[derive(Debug, thiserror::Error)]
pub enum ServerTlsError {
    /// A file cannot be read or is not PEM.
    #[error("{}: {source}; `iris-gateway tls selfsigned` makes one for development", path.display())]
    Pem {
        /// The file.
        path: PathBuf,
        /// Why.
        source: pem::Error,
    },
    /// The certificate's file holds no certificate.
    #[error("{}: no certificate in it", path.display())]
    Empty {
        /// The file.
        path: PathBuf,
    },
    /// The key does not belong to the certificate, or is of an unknown kind.
    #[error("{} and {}: {source}", certificate.display(), key.display())]
    Pair {
        /// The certificate's file.
        certificate: PathBuf,
        /// The key's file.
        key: PathBuf,
        /// Why.
        source: rustls::Error,
    },
}

/// The server's side of TLS, shared by all cores. Read once a connection, written at a reload.
#[derive(Clone, Debug)]
pub struct ServerTls {
    config: Arc<RwLock<Arc<ServerConfig>>>,
}

impl ServerTls {
    /// Reads a certificate chain and its private key, both PEM. The tickets are shared by all that have this certificate, or had
    /// the one before.
    ///
    /// # Errors
    /// [`ServerTlsError`] naming the file that is missing, damaged, or of another pair.
    pub fn load(certificate: &Path, key: &Path, tickets: Arc<Tickets>) -> Result<Self, ServerTlsError> {
        let unreadable = |path: &Path, source| ServerTlsError::Pem { path: path.to_owned(), source };
        let chain: Result<Vec<_>, _> = CertificateDer::pem_file_iter(certificate).and_then(Iterator::collect);
        let chain = chain.map_err(|source| unreadable(certificate, source))?;
        if chain.is_empty() {
            return Err(ServerTlsError::Empty { path: certificate.to_owned() });
        }
        let private = PrivateKeyDer::from_pem_file(key).map_err(|source| unreadable(key, source))?;
        let pair = |source| ServerTlsError::Pair {
            certificate: certificate.to_owned(),
            key: key.to_owned(),
            source,
        };
        let builder = ServerConfig::builder_with_provider(Arc::new(provider()))
            .with_protocol_versions(&[&rustls::version::TLS13])
            .map_err(pair)?;
        let mut config = builder.with_no_client_auth().with_single_cert(chain, private).map_err(pair)?;
        config.ignore_client_order = true;
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.ticketer = tickets;
        config.send_tls13_tickets = TICKETS;
        assert!(config.max_early_data_size == 0, "early data could be replayed");
        Ok(Self { config: Arc::new(RwLock::new(Arc::new(config))) })
    }

    /// Shows the other one's certificate to all connections from now on.
    pub fn replace(&self, other: &Self) {
        let config = other.config();
        *self.config.write().unwrap_or_else(PoisonError::into_inner) = config;
    }

    /// A connection before its first byte.
    ///
    /// # Errors
    /// [`TlsError::Protocol`] if the system gives no random bytes.
    pub fn conn(&self) -> Result<TlsConn, TlsError> {
        TlsConn::server(self.config())
    }

    fn config(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.config.read().unwrap_or_else(PoisonError::into_inner))
    }
}

/// ring's, with AES-128 first: its key schedule hashes with SHA-256, which processors compute themselves, where that of
/// AES-256 takes SHA-384 in software (12 % of a login's CPU time; docs/decisions/0010). Both are beyond any attack.
fn provider() -> CryptoProvider {
    let cipher_suites =
        vec![TLS13_AES_128_GCM_SHA256, TLS13_AES_256_GCM_SHA384, TLS13_CHACHA20_POLY1305_SHA256];
    CryptoProvider { cipher_suites, ..default_provider() }
}

#[cfg(test)]
mod tests;
