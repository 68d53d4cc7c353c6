//! Origins as browsers write them, and everything else.
use super::Origins;

/// Proves: G-WS-2 (an origin matches as a whole, and a list holds nothing that never matches)
/// Seen to fail when: an origin matches by its beginning.
#[test]
fn an_origin_is_allowed_exactly_if_it_is_listed() {
    let listed = ["https://chat.example.org", "http://localhost:8080", "https://[::1]:8443", "app://iris"];
    let origins = Origins::parse(listed).unwrap();
    for origin in listed {
        assert!(origins.allow(origin.as_bytes()), "{origin}");
    }
    let strange = [
        "",
        "null",
        "https://chat.example.org:8443",
        "https://chat.example.org.evil.example",
        "https://chat.example.or",
        "http://chat.example.org",
        "https://CHAT.example.org",
        "http://localhost",
        "http://localhost:80800",
    ];
    for origin in strange {
        assert!(!origins.allow(origin.as_bytes()), "{origin}");
    }
    assert!(!Origins::default().allow(b"https://chat.example.org"), "an empty list allows no page");
}

/// Proves: G-WS-2 (no wildcard can be configured)
/// Seen to fail when: a host may have any character, or a scheme's own port is taken.
#[test]
fn what_no_browser_sends_cannot_be_listed() {
    let wrong = [
        "*",
        "https://*",
        "https://*.example.org",
        "null",
        "",
        "chat.example.org",
        "https://",
        "://chat.example.org",
        "https://chat.example.org/",
        "https://chat.example.org/page",
        "https://Chat.example.org",
        "HTTPS://chat.example.org",
        "https://user@chat.example.org",
        "https://chat.example.org:",
        "https://chat.example.org:0",
        "https://chat.example.org:443",
        "http://chat.example.org:80",
        "https://chat.example.org:65536",
        "https://chat.example.org:08443",
        "https://chat.example.org:8443:1",
        "https://[::1",
        "https://[::g]",
        "https://[::1]x",
        "https://::1",
    ];
    for text in wrong {
        assert!(Origins::parse([text]).is_err(), "{text}");
    }
}
