//! Certificates for development: an authority of its own, and a server certificate by it for this host.
//!
//! Invariants
//! - The authority's private key is never written: nothing else can be certified by it.
//! - The server's key is made with mode 0600; nothing is overwritten.

use crate::secret_file;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer,
    KeyPair, KeyUsagePurpose,
};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

/// Name of the authority's certificate, which clients trust.
pub const CA_FILE: &str = "ca.pem";
/// Name of the server's certificate.
pub const CERTIFICATE_FILE: &str = "server.pem";
/// Name of the server's private key.
pub const KEY_FILE: &str = "server.key";

/// How long the certificates are valid.
const VALID_FOR: Duration = Duration::from_hours(365 * 24);
/// How long before now they begin: clocks differ.
const VALID_BEFORE: Duration = Duration::from_hours(24);

/// Why there are no certificates.
#[derive(Debug, thiserror::Error)]
pub enum SelfSignedError {
    /// A name that no certificate can carry, or no random bytes.
    #[error("certificate: {0}")]
    Certificate(#[from] rcgen::Error),
    /// A file cannot be written; it may exist.
    #[error("{}: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// Writes `ca.pem`, `server.pem` and `server.key` for these names besides localhost, 127.0.0.1 and ::1.
///
/// # Errors
/// [`SelfSignedError`]; a file that exists is left as it is.
pub fn write(directory: &Path, names: &[String]) -> Result<(), SelfSignedError> {
    let ca_key = KeyPair::generate()?;
    let ca_params = authority()?;
    let ca = ca_params.self_signed(&ca_key)?;
    let issuer = Issuer::new(ca_params, ca_key);
    let key = KeyPair::generate()?;
    let certificate = server(names)?.signed_by(&key, &issuer)?;
    let failed = |path: &Path, source| SelfSignedError::File { path: path.to_owned(), source };
    fs::create_dir_all(directory).map_err(|source| failed(directory, source))?;
    let files = [CA_FILE, CERTIFICATE_FILE, KEY_FILE].map(|name| directory.join(name));
    for path in &files {
        if path.exists() {
            return Err(failed(path, io::ErrorKind::AlreadyExists.into()));
        }
    }
    let [ca_path, certificate_path, key_path] = &files;
    secret_file::write_new(key_path, key.serialize_pem().as_bytes()).map_err(|e| failed(key_path, e))?;
    fs::write(ca_path, ca.pem()).map_err(|source| failed(ca_path, source))?;
    fs::write(certificate_path, certificate.pem()).map_err(|source| failed(certificate_path, source))
}

fn authority() -> Result<CertificateParams, rcgen::Error> {
    let mut params = named("Iris development authority", Vec::new())?;
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    Ok(params)
}

fn server(names: &[String]) -> Result<CertificateParams, rcgen::Error> {
    let mut all = ["localhost", "127.0.0.1", "::1"].map(str::to_owned).to_vec();
    all.extend(names.iter().filter(|name| !all.contains(name)).cloned().collect::<Vec<_>>());
    let mut params = named("Iris development server", all)?;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    Ok(params)
}

fn named(common_name: &str, subject_names: Vec<String>) -> Result<CertificateParams, rcgen::Error> {
    let mut params = CertificateParams::new(subject_names)?;
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, common_name);
    params.use_authority_key_identifier_extension = true;
    let now = SystemTime::now();
    params.not_before = (now - VALID_BEFORE).into();
    params.not_after = (now + VALID_FOR).into();
    Ok(params)
}
