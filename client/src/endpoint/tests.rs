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

/// Proves: G-TLS-1 (a URL's scheme and what was asked for must agree, and nothing is opened before)
/// Seen to fail when: `Place::parse` does not compare the two.
#[test]
fn a_url_is_as_encrypted_as_was_asked_for_or_refused() {
    let nowhere = Path::new("/nowhere/ca.pem");
    let tls = |server: &str| Endpoint::tls(server, nowhere).err();
    let plain = |server: &str| Endpoint::insecure_plaintext(server).err();
    assert!(matches!(tls("ws://localhost"), Some(EndpointError::Unencrypted { .. })));
    assert!(matches!(Endpoint::check_tls("ws://localhost"), Err(EndpointError::Unencrypted { .. })));
    assert!(matches!(plain("wss://localhost"), Some(EndpointError::Encrypted { .. })));
    assert!(
        matches!(tls("wss://localhost"), Some(EndpointError::Authority { .. })),
        "only the authority is missing"
    );
    assert!(plain("ws://localhost").is_none() && Endpoint::check_tls("wss://localhost").is_ok());
    for wrong in ["https://localhost", "wss://", "ws://localhost:0"] {
        assert!(matches!(tls(wrong), Some(EndpointError::Url { .. })), "{wrong}");
        assert!(matches!(plain(wrong), Some(EndpointError::Url { .. })), "{wrong}");
    }
}

/// Seen to fail when: `over_websocket` sets Iris's own path, or the port is left out of every authority.
#[test]
fn a_url_says_where_the_request_goes() {
    let asked = |server: &str| {
        let endpoint = Endpoint::insecure_plaintext(server).unwrap().over_websocket();
        endpoint.websocket().map(|(authority, path)| format!("{authority} {path}")).unwrap()
    };
    assert_eq!(asked("localhost:7444"), "localhost:7444 /v1/connect");
    assert_eq!(asked("ws://localhost"), "localhost /v1/connect");
    assert_eq!(asked("ws://localhost:443/"), "localhost:443 /");
    assert_eq!(asked("ws://[::1]:7444/a?b"), "[::1]:7444 /a?b");
    assert_eq!(asked("ws://[::1]:80/a?b"), "[::1] /a?b");
    assert!(Endpoint::insecure_plaintext("localhost:7444").unwrap().websocket().is_none());
}
