//! Where a server is, and how its identity is proved.
//!
//! Invariants
//! - Over TLS the server's certificate is checked against the given authority, by name, in TLS 1.3. No option skips it.
//! - Plaintext goes to loopback addresses alone: a token in it is readable by whoever carries it.

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Why an endpoint cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum EndpointError {
    /// Not `HOST:PORT`.
    #[error("{text}: a server is HOST:PORT, such as localhost:7443 or [::1]:7443")]
    Address {
        /// What was given.
        text: String,
    },
    /// The certificate authority's file cannot be read.
    #[error("{}: no certificates to check the server with: {source}", path.display())]
    Authority {
        /// The file.
        path: PathBuf,
        /// What went wrong.
        source: rustls::pki_types::pem::Error,
    },
    /// A certificate in the file is not one that can vouch for others.
    #[error("{}: {source}", path.display())]
    Certificate {
        /// The file.
        path: PathBuf,
        /// What went wrong.
        source: rustls::Error,
    },
    /// TLS 1.3 is not to be had from the cryptography in use.
    #[error("tls 1.3 is not available: {source}")]
    Tls {
        /// What went wrong.
        source: rustls::Error,
    },
}

/// A server's address and how to talk to it.
#[derive(Clone, Debug)]
pub struct Endpoint {
    host: String,
    port: u16,
    tls: Option<Arc<ClientConfig>>,
    is_websocket: bool,
}

impl Endpoint {
    /// A server that proves itself with a certificate of an authority in this PEM file.
    ///
    /// # Errors
    /// [`EndpointError`]: nothing was opened to the network.
    pub fn tls(server: &str, authority: &Path) -> Result<Self, EndpointError> {
        let (host, port) = split(server)?;
        let config = Arc::new(tls_config(authority)?);
        Ok(Self { host, port, tls: Some(config), is_websocket: false })
    }

    /// A server on this host, in plain text. Any address that is not a loopback one is refused at connect.
    ///
    /// # Errors
    /// [`EndpointError::Address`] if the text is not `HOST:PORT`.
    pub fn insecure_plaintext(server: &str) -> Result<Self, EndpointError> {
        let (host, port) = split(server)?;
        Ok(Self { host, port, tls: None, is_websocket: false })
    }

    /// The same server's WebSocket port.
    #[must_use]
    pub fn over_websocket(self) -> Self {
        Self { is_websocket: true, ..self }
    }

    /// Host and port as in a URL, if WebSocket is spoken there.
    pub(crate) fn websocket_authority(&self) -> Option<String> {
        let host = if self.host.contains(':') { format!("[{}]", self.host) } else { self.host.clone() };
        self.is_websocket.then(|| format!("{host}:{}", self.port))
    }

    /// The host's name or address, as given.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port.
    pub fn port(&self) -> u16 {
        self.port
    }

    pub(crate) fn tls_config(&self) -> Option<Arc<ClientConfig>> {
        self.tls.clone()
    }

    /// The name that the certificate must carry.
    pub(crate) fn server_name(&self) -> Option<ServerName<'static>> {
        ServerName::try_from(self.host.clone()).ok()
    }
}

fn split(server: &str) -> Result<(String, u16), EndpointError> {
    let wrong = || EndpointError::Address { text: server.to_owned() };
    let (host, port) = server.rsplit_once(':').ok_or_else(wrong)?;
    let bracketed = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    let host = bracketed.unwrap_or(host);
    if host.is_empty() || bracketed.is_none() && host.contains(':') {
        return Err(wrong());
    }
    Ok((host.to_owned(), port.parse().map_err(|_| wrong())?))
}

fn tls_config(authority: &Path) -> Result<ClientConfig, EndpointError> {
    let unreadable = |source| EndpointError::Authority { path: authority.to_owned(), source };
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(authority).map_err(unreadable)? {
        let certificate = certificate.map_err(unreadable)?;
        roots
            .add(certificate)
            .map_err(|source| EndpointError::Certificate { path: authority.to_owned(), source })?;
    }
    if roots.is_empty() {
        return Err(unreadable(rustls::pki_types::pem::Error::NoItemsFound));
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(|source| EndpointError::Tls { source })?;
    Ok(builder.with_root_certificates(roots).with_no_client_auth())
}

#[cfg(test)]
mod tests;
