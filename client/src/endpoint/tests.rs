//! Claims about addresses and authorities.

use super::*;

/// Seen to fail when: `split` takes the first colon.
#[test]
fn a_server_is_a_host_and_a_port() {
    let parts = |text: &str| split(text).ok();
    assert_eq!(parts("localhost:7443"), Some(("localhost".to_owned(), 7443)));
    assert_eq!(parts("[::1]:7443"), Some(("::1".to_owned(), 7443)));
    assert_eq!(parts("127.0.0.1:1"), Some(("127.0.0.1".to_owned(), 1)));
    for wrong in ["", "localhost", ":7443", "localhost:", "localhost:70000", "::1:7443", "[::1]"] {
        assert_eq!(parts(wrong), None, "{wrong}");
    }
}

/// Seen to fail when: an empty set of roots is taken.
#[test]
fn an_authority_without_certificates_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("ca.pem");
    let refused = |path: &Path| Endpoint::tls("localhost:7443", path).err();
    assert!(matches!(refused(&path), Some(EndpointError::Authority { .. })));
    std::fs::write(&path, "no certificate").unwrap();
    assert!(matches!(refused(&path), Some(EndpointError::Authority { .. })));
}
