//! Files of public keys.

use super::{Jwks, JwksError, PublicKey, PublicKeys};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

/// RFC 8037, appendix A.2.
const X: &str = "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo";

fn key() -> Value {
    json!({ "kty": "OKP", "crv": "Ed25519", "x": X, "kid": "a", "alg": "EdDSA", "use": "sig" })
}

fn read(file: Value) -> Result<PublicKeys, JwksError> {
    let file: Jwks =
        serde_json::from_value(file).map_err(|e| JwksError::Syntax { message: e.to_string() })?;
    PublicKeys::of(&file)
}

/// Proves: the thumbprint is that of RFC 7638; RFC 8037, appendix A.3 has the example.
/// Seen to fail when: the members are not in alphabetical order.
#[test]
fn the_thumbprint_is_that_of_the_rfc() {
    let bytes: [u8; 32] = hex("d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a");
    let key = PublicKey::new(bytes);
    assert_eq!(URL_SAFE_NO_PAD.encode(bytes), X);
    assert_eq!(key.thumbprint(), "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k");
}

fn hex(text: &str) -> [u8; 32] {
    let byte = |index: usize| u8::from_str_radix(&text[2 * index..2 * index + 2], 16).unwrap();
    std::array::from_fn(byte)
}

/// Proves: G-TOKEN-1 (only Ed25519 public keys for signatures, each with an id, are taken; else the file is refused).
/// Seen to fail when: the check of `crv` is left out.
#[test]
fn a_file_with_any_other_key_is_refused() {
    assert!(read(json!({ "keys": [key()] })).is_ok());
    let changes = [
        ("kty", json!("oct")),
        ("kty", json!("RSA")),
        ("crv", json!("X25519")),
        ("crv", json!("Ed448")),
        ("crv", Value::Null),
        ("alg", json!("HS256")),
        ("alg", json!("none")),
        ("use", json!("enc")),
        ("kid", Value::Null),
        ("kid", json!("")),
        ("kid", json!("k".repeat(129))),
        ("x", Value::Null),
        ("x", json!("")),
        ("x", json!("AAAA")),
        ("x", json!(format!("{X}="))),
        ("d", json!("nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A")),
    ];
    for (field, value) in changes {
        let mut altered = key();
        altered[field] = value.clone();
        let outcome = read(json!({ "keys": [key_named("b"), altered] }));
        assert!(matches!(outcome, Err(JwksError::Key { index: 1, .. })), "{field} = {value}: {outcome:?}");
    }
}

fn key_named(kid: &str) -> Value {
    let mut key = key();
    key["kid"] = json!(kid);
    key
}

/// Proves: a file without keys, with too many, with an id twice, or that is no JWKS, is refused.
/// Seen to fail when: the second key of an id replaces the first.
#[test]
fn a_file_that_is_no_set_of_keys_is_refused() {
    assert!(matches!(read(json!({ "keys": [] })), Err(JwksError::Count { count: 0 })));
    let many: Vec<Value> = (0..65).map(|n| key_named(&n.to_string())).collect();
    assert!(matches!(read(json!({ "keys": many })), Err(JwksError::Count { count: 65 })));
    assert!(matches!(read(json!({ "keys": [key(), key()] })), Err(JwksError::Key { index: 1, .. })));
    for file in [json!({}), json!([]), json!("keys"), json!({ "keys": {} }), json!({ "keys": [1] })] {
        assert!(matches!(read(file.clone()), Err(JwksError::Syntax { .. })), "{file}");
    }
}

/// Proves: a file that is missing, huge or not JSON is refused with a reason.
/// Seen to fail when: a missing file counts as a file without keys.
#[test]
fn a_file_that_cannot_be_read_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("jwks.json");
    assert!(matches!(Jwks::load(&path), Err(JwksError::Read { .. })));
    std::fs::write(&path, "{").unwrap();
    assert!(matches!(Jwks::load(&path), Err(JwksError::Syntax { .. })));
    std::fs::write(&path, vec![b' '; (1 << 20) + 1]).unwrap();
    assert!(matches!(Jwks::load(&path), Err(JwksError::Size)));
}
