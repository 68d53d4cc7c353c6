//! What a core remembers of tokens.

use super::TokenCache;
use crate::token::issuer::{Bearer, Issuer, PKCS8_PREFIX};
use crate::token::jwks::{Jwk, Jwks, PublicKeys};
use crate::token::{Policy, TokenError, Verifier};
use iris_protocol::{DeviceId, UserId, Wall};
use std::time::Duration;

const NOW: Wall = Wall(1_767_225_600_000);

fn policy() -> Policy {
    Policy { audience: "iris".into(), issuer: "iris".into(), leeway: Duration::from_mins(1) }
}

fn issuer() -> Issuer {
    Issuer::of_der(&[PKCS8_PREFIX.as_slice(), &[1; 32]].concat()).unwrap()
}

fn verifier() -> Verifier {
    let keys = vec![Jwk::of(&issuer().public_key())];
    Verifier::new(PublicKeys::of(&Jwks { keys }).unwrap(), policy())
}

fn token(user: usize) -> String {
    let user = UserId::parse(&format!("u{user}")).unwrap();
    let bearer = Bearer { user, device: DeviceId::parse("d1").unwrap() };
    issuer().issue(&bearer, &policy(), NOW, Duration::from_hours(1)).unwrap()
}

/// Proves: G-TOKEN-3 (a remembered token is refused at the moment at which a check refuses it).
/// Seen to fail when: a remembered token is given out without looking at its end.
#[test]
fn a_remembered_token_ends_when_it_ends() {
    let (verifier, token) = (verifier(), token(0));
    let mut cache = TokenCache::new(16);
    let claims = cache.verify(&verifier, &token, NOW).unwrap();
    assert_eq!(cache.verify(&verifier, &token, NOW), Ok(claims.clone()));
    let last = Wall(claims.refused_from.0 - 1);
    assert_eq!(cache.verify(&verifier, &token, last), Ok(claims.clone()));
    assert_eq!(cache.verify(&verifier, &token, claims.refused_from), Err(TokenError::Expired));
    assert_eq!(verifier.verify(&token, last), Ok(claims.clone()));
    assert_eq!(verifier.verify(&token, claims.refused_from), Err(TokenError::Expired));
}

/// Proves: the memory of a cache is bounded, and what is asked for again and again stays.
/// Seen to fail when: the old half is kept when the young one becomes old.
#[test]
fn a_cache_is_bounded_and_keeps_what_is_used() {
    let verifier = verifier();
    let mut cache = TokenCache::new(8);
    let favourite = token(0);
    for user in 1..40 {
        cache.verify(&verifier, &favourite, NOW).unwrap();
        cache.verify(&verifier, &token(user), NOW).unwrap();
        assert!(cache.len() <= 8, "{} tokens", cache.len());
        let known = cache.young.len() + cache.old.len();
        cache.verify(&verifier, &favourite, NOW).unwrap();
        assert!(cache.len() <= known, "the favourite was forgotten");
    }
}

/// Proves: refused tokens are not remembered, so that garbage pushes nothing out.
/// Seen to fail when: refusals are remembered too.
#[test]
fn garbage_takes_no_room() {
    let verifier = verifier();
    let mut cache = TokenCache::new(4);
    let token = token(0);
    cache.verify(&verifier, &token, NOW).unwrap();
    for number in 0..100 {
        let forged = token.replacen('.', &format!("{number}."), 1);
        assert!(cache.verify(&verifier, &forged, NOW).is_err());
        assert!(cache.verify(&verifier, &"x".repeat(3000 + number), NOW).is_err());
    }
    assert_eq!(cache.len(), 1);
}
