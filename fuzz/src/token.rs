//! Target `token`: the first byte says what the rest is: a token, changes of a valid one, signed claims, a signed header, or a file of
//! keys.
//!
//! Invariants checked
//! - Nothing that was not signed is accepted: neither arbitrary bytes nor a valid token with anything changed.
//! - What is accepted has a user, a device and an id, and ends within a day and the leeway.
//! - A cache answers as the check does, also when it is asked twice.

use crate::gateway::token::issuer::{Issuer, PKCS8_PREFIX};
use crate::gateway::token::jwks::{Jwk, Jwks, PublicKeys};
use crate::gateway::token::{
    Claims, JTI_BYTES_MAX, LIFETIME_SECONDS_MAX, Policy, TokenCache, TokenError, Verifier,
};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use iris_protocol::Wall;
use std::sync::LazyLock;
use std::time::Duration;

/// 2026-01-01, in seconds.
const NOW: u64 = 1_767_225_600;
const LEEWAY: u64 = 60;
/// Claims that are accepted.
const CLAIMS: &str = r#"{"sub":"alice","dev":"phone","jti":"t-1","aud":"iris","iss":"iris","iat":1767225600,"exp":1767229200}"#;

struct World {
    issuer: Issuer,
    verifier: Verifier,
    header: String,
    token: String,
}

static WORLD: LazyLock<World> = LazyLock::new(|| {
    let der = [PKCS8_PREFIX.as_slice(), &[1; 32]].concat();
    let issuer = Issuer::of_der(&der).expect("a private key");
    let keys = PublicKeys::of(&Jwks { keys: vec![Jwk::of(&issuer.public_key())] }).expect("a public key");
    let policy =
        Policy { audience: "iris".into(), issuer: "iris".into(), leeway: Duration::from_secs(LEEWAY) };
    let kid = issuer.public_key().thumbprint();
    let header = URL_SAFE_NO_PAD.encode(format!(r#"{{"alg":"EdDSA","typ":"JWT","kid":"{kid}"}}"#));
    let token = issuer.sign(&header, CLAIMS.as_bytes());
    World { verifier: Verifier::new(keys, policy), issuer, header, token }
});

/// Judges one input; panics on a broken invariant.
pub(crate) fn check(bytes: &[u8]) {
    let Some((kind, rest)) = bytes.split_first() else { return };
    match kind % 5 {
        0 => anything(rest),
        1 => changed(rest),
        2 => signed_claims(rest),
        3 => signed_header(rest),
        _ => keys(rest),
    }
}

/// The answer of the check, which a cache gives as well, twice.
fn verify(token: &str) -> Result<Claims, TokenError> {
    let answer = WORLD.verifier.verify(token, Wall(NOW * 1000));
    let mut cache = TokenCache::new(4);
    for _ in 0..2 {
        assert_eq!(cache.verify(&WORLD.verifier, token, Wall(NOW * 1000)), answer, "the cache");
    }
    if let Ok(claims) = &answer {
        assert!((1..=JTI_BYTES_MAX).contains(&claims.jti.len()), "{claims:?}");
        assert!(claims.refused_from.0 > NOW * 1000, "{claims:?}");
        assert!(claims.expires_at.0 <= (NOW + LEEWAY + LIFETIME_SECONDS_MAX) * 1000, "{claims:?}");
        assert!(claims.issued_at.0 <= (NOW + LEEWAY) * 1000, "{claims:?}");
    }
    answer
}

fn anything(bytes: &[u8]) {
    if let Ok(token) = std::str::from_utf8(bytes)
        && token != WORLD.token
    {
        assert!(verify(token).is_err(), "accepted, and nobody signed it: {token}");
    }
}

/// Four bytes a change: what is done, where (two bytes), and with which byte.
fn changed(changes: &[u8]) {
    let mut token = WORLD.token.clone().into_bytes();
    for change in changes.chunks_exact(4) {
        let at = usize::from(u16::from_be_bytes([change[1], change[2]])) % (token.len() + 1);
        match change[0] % 4 {
            0 => token.insert(at, change[3]),
            1 if at < token.len() => drop(token.remove(at)),
            2 if at < token.len() => token[at] = change[3],
            3 => token.truncate(at),
            _ => {}
        }
    }
    let Ok(token) = String::from_utf8(token) else { return };
    assert_eq!(verify(&token).is_ok(), token == WORLD.token, "{token}");
}

fn signed_claims(claims: &[u8]) {
    let answer = verify(&WORLD.issuer.sign(&WORLD.header, claims));
    if answer.is_ok() {
        let claims: serde_json::Value = serde_json::from_slice(claims).expect("claims are JSON");
        assert_eq!((&claims["aud"], &claims["iss"]), (&"iris".into(), &"iris".into()), "{claims}");
    }
}

/// An @ stands for the id of the key, which is not to be guessed.
fn signed_header(header: &[u8]) {
    let Ok(header) = std::str::from_utf8(header) else { return };
    let kid = WORLD.issuer.public_key().thumbprint();
    let header = header.replace('@', &kid);
    let answer = verify(&WORLD.issuer.sign(&URL_SAFE_NO_PAD.encode(&header), CLAIMS.as_bytes()));
    if answer.is_ok() {
        let header: serde_json::Value = serde_json::from_str(&header).expect("a header is JSON");
        assert_eq!((&header["alg"], &header["kid"]), (&"EdDSA".into(), &kid.into()), "{header}");
        assert!(header.as_object().is_some_and(|fields| fields.len() <= 3), "{header}");
    }
}

fn keys(file: &[u8]) {
    let Ok(file) = serde_json::from_slice::<Jwks>(file) else { return };
    if let Ok(keys) = PublicKeys::of(&file) {
        for entry in &file.keys {
            assert!(entry.kid.as_deref().is_some_and(|kid| keys.find(kid).is_some()), "{entry:?}");
        }
    }
}
