//! Claims about URLs.

use super::*;

fn url(is_encrypted: bool, host: &str, port: u16, path: &str) -> Url {
    Url { is_encrypted, host: host.to_owned(), port, path: path.to_owned() }
}

/// Seen to fail when: a URL without a port gets Iris's own, or one without a path gets "/".
#[test]
fn a_url_has_a_scheme_a_host_and_may_have_a_port_and_a_path() {
    let longest = format!("/{}", "x".repeat(PATH_BYTES_MAX - 1));
    let good = [
        ("wss://chat.example.org", Some(url(true, "chat.example.org", 443, "/v1/connect"))),
        ("ws://localhost", Some(url(false, "localhost", 80, "/v1/connect"))),
        ("WSS://Chat.example:7444", Some(url(true, "Chat.example", 7444, "/v1/connect"))),
        ("wss://[::1]", Some(url(true, "::1", 443, "/v1/connect"))),
        ("wss://[::1]:7444/v1/connect", Some(url(true, "::1", 7444, "/v1/connect"))),
        ("ws://127.0.0.1:65535/", Some(url(false, "127.0.0.1", 65535, "/"))),
        (
            "wss://host/iris/v1/connect?from=a:b@c",
            Some(url(true, "host", 443, "/iris/v1/connect?from=a:b@c")),
        ),
        ("wss://host:1?from=here/there", Some(url(true, "host", 1, "/v1/connect?from=here/there"))),
        (&format!("wss://host{longest}"), Some(url(true, "host", 443, &longest))),
        // No URL: HOST:PORT, or something that is told to be wrong as such.
        ("localhost:7443", None),
        ("[::1]:7443", None),
        ("wss:/host", None),
        ("", None),
    ];
    for (text, expected) in good {
        assert_eq!(Url::parse(text), Ok(expected), "{text}");
    }
}

/// Seen to fail when: a host or a path is taken without a look at its bytes.
#[test]
fn what_is_wrong_with_a_url_is_named() {
    let too_long = format!("wss://host/{}", "x".repeat(PATH_BYTES_MAX));
    let long_host = format!("wss://{}", "x".repeat(HOST_BYTES_MAX + 1));
    let bad = [
        ("https://host", UrlError::Scheme),
        ("iris://host:7443", UrlError::Scheme),
        ("://host", UrlError::Scheme),
        ("wss ://host", UrlError::Scheme),
        ("wss://alice:secret@host", UrlError::User),
        ("wss://", UrlError::Host),
        ("wss://:7444", UrlError::Host),
        ("wss:///v1/connect", UrlError::Host),
        ("wss://?x", UrlError::Host),
        ("wss://a b", UrlError::Host),
        ("wss://a\r\nX: y", UrlError::Host),
        ("wss://bücher.example", UrlError::Host),
        ("wss://[::1", UrlError::Host),
        ("wss://[::1]7444", UrlError::Host),
        ("wss://[localhost]", UrlError::Host),
        (&long_host, UrlError::Host),
        // The first colon ends the host.
        ("wss://::1", UrlError::Host),
        ("wss://host:", UrlError::Port),
        ("wss://host:0", UrlError::Port),
        ("wss://host:65536", UrlError::Port),
        ("wss://host:+1", UrlError::Port),
        ("wss://host:1:2", UrlError::Port),
        ("wss://[::1]:x", UrlError::Port),
        ("wss://host/#part", UrlError::Path),
        ("wss://host#part", UrlError::Path),
        ("wss://host/a b", UrlError::Path),
        ("wss://host/ HTTP/1.1\r\nX: y", UrlError::Path),
        ("wss://host/ü", UrlError::Path),
        (&too_long, UrlError::Path),
    ];
    for (text, expected) in bad {
        assert_eq!(Url::parse(text), Err(expected), "{text}");
    }
}
