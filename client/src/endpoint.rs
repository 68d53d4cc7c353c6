//! Where a server is, and how its identity is proved.
//!
//! Invariants
//! - Over TLS the server's certificate is checked against the given authority, by name, in TLS 1.3. No option skips it.
//! - What a URL says of encryption is what is done: wss:// goes over TLS alone, ws:// over TCP alone.
//! - Plaintext goes to loopback addresses alone: a token in it is readable by whoever carries it.

mod url;

use iris_protocol::websocket::PATH;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use url::Url;
pub use url::UrlError;

/// Why an endpoint cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum EndpointError {
    /// Not `HOST:PORT`.
    #[error(
        "{text}: a server is HOST:PORT, such as localhost:7443 or [::1]:7443, or a URL such as wss://localhost:7444"
    )]
    Address {
        /// What was given.
        text: String,
    },
    /// Not the URL of a WebSocket. It is not repeated: there may be a password in it.
    #[error("not the URL of a server: {source}")]
    Url {
        /// What is wrong with it.
        source: UrlError,
    },
    /// A wss:// URL where plain text was asked for.
    #[error("{text}: wss:// is encrypted; ws:// is the URL of a server in plain text")]
    Encrypted {
        /// What was given.
        text: String,
    },
    /// A ws:// URL where plain text was not asked for.
    #[error(
        "{text}: ws:// is not encrypted; it needs --insecure-plaintext, and goes no further than this host"
    )]
    Unencrypted {
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
    place: Place,
    tls: Option<Arc<ClientConfig>>,
}

/// Where a server is, and what it takes there.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Place {
    host: String,
    port: u16,
    /// The path at which a WebSocket begins; `None`: frames with a length before them.
    path: Option<String>,
}

impl Endpoint {
    /// A server that proves itself with a certificate of an authority in this PEM file. It is given as HOST:PORT, or as a wss:// URL:
    /// then WebSocket is spoken.
    ///
    /// # Errors
    /// [`EndpointError`]: nothing was opened to the network.
    pub fn tls(server: &str, authority: &Path) -> Result<Self, EndpointError> {
        let place = Place::parse(server, true)?;
        let config = Arc::new(tls_config(authority)?);
        Ok(Self { place, tls: Some(config) })
    }

    /// Judges what [`Endpoint::tls`] would be given, for whoever has no authority yet.
    ///
    /// # Errors
    /// [`EndpointError`] if the text is neither HOST:PORT nor a wss:// URL.
    pub fn check_tls(server: &str) -> Result<(), EndpointError> {
        Place::parse(server, true).map(drop)
    }

    /// A server on this host, in plain text: HOST:PORT, or a ws:// URL. Any address that is not a loopback one is refused at connect.
    ///
    /// # Errors
    /// [`EndpointError`] if the text is neither HOST:PORT nor a ws:// URL.
    pub fn insecure_plaintext(server: &str) -> Result<Self, EndpointError> {
        Ok(Self { place: Place::parse(server, false)?, tls: None })
    }

    /// The same server's WebSocket port. An endpoint of a URL stays as it is.
    #[must_use]
    pub fn over_websocket(self) -> Self {
        let Place { host, port, path } = self.place;
        let path = Some(path.unwrap_or_else(|| PATH.to_owned()));
        Self { place: Place { host, port, path }, ..self }
    }

    /// Host and port as in a URL, and the path, if WebSocket is spoken there.
    pub(crate) fn websocket(&self) -> Option<(String, &str)> {
        let Place { host, port, path } = &self.place;
        let host = if host.contains(':') { format!("[{host}]") } else { host.clone() };
        let is_usual = *port == url::usual_port(self.tls.is_some());
        // RFC 6455, section 4.1: what a URL need not say, a Host field need not either, and browsers do not.
        let authority = if is_usual { host } else { format!("{host}:{port}") };
        path.as_deref().map(|path| (authority, path))
    }

    /// The host's name or address, as given.
    pub fn host(&self) -> &str {
        &self.place.host
    }

    /// The port.
    pub fn port(&self) -> u16 {
        self.place.port
    }

    pub(crate) fn tls_config(&self) -> Option<Arc<ClientConfig>> {
        self.tls.clone()
    }

    /// The name that the certificate must carry.
    pub(crate) fn server_name(&self) -> Option<ServerName<'static>> {
        ServerName::try_from(self.place.host.clone()).ok()
    }
}

impl Place {
    /// Reads HOST:PORT, or a URL that is as encrypted as it is asked to be.
    fn parse(server: &str, is_encrypted: bool) -> Result<Self, EndpointError> {
        let text = || server.to_owned();
        let Some(url) = Url::parse(server).map_err(|source| EndpointError::Url { source })? else {
            let (host, port) = split(server)?;
            return Ok(Self { host, port, path: None });
        };
        match (url.is_encrypted, is_encrypted) {
            (true, false) => Err(EndpointError::Encrypted { text: text() }),
            (false, true) => Err(EndpointError::Unencrypted { text: text() }),
            (true, true) | (false, false) => {
                Ok(Self { host: url.host, port: url.port, path: Some(url.path) })
            }
        }
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
