//! Every way to forge a token, and the edges of its times.

use super::issuer::{Bearer, Issuer};
use super::jwks::{Jwk, Jwks, PublicKeys};
use super::{Claims, Policy, TokenCache, TokenError, Verifier};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE, URL_SAFE_NO_PAD};
use iris_protocol::{DeviceId, UserId, Wall};
use serde_json::{Value, json};
use std::time::Duration;

/// 2026-01-01, in seconds.
const NOW: u64 = 1_767_225_600;
const LEEWAY: u64 = 60;
const DAY: u64 = 86_400;

fn issuer(seed: u8) -> Issuer {
    let der = [super::issuer::PKCS8_PREFIX.as_slice(), &[seed; 32]].concat();
    Issuer::of_der(&der).unwrap()
}

fn policy() -> Policy {
    Policy { audience: "iris".into(), issuer: "iris".into(), leeway: Duration::from_secs(LEEWAY) }
}

fn verifier(issuers: &[&Issuer]) -> Verifier {
    let keys = issuers.iter().map(|issuer| Jwk::of(&issuer.public_key())).collect();
    Verifier::new(PublicKeys::of(&Jwks { keys }).unwrap(), policy())
}

fn claims() -> Value {
    json!({ "sub": "alice", "dev": "phone", "jti": "t-1", "aud": "iris", "iss": "iris", "iat": NOW, "exp": NOW + 3600 })
}

fn header(issuer: &Issuer) -> Value {
    json!({ "alg": "EdDSA", "typ": "JWT", "kid": issuer.public_key().thumbprint() })
}

fn signed(issuer: &Issuer, header: &Value, claims: &Value) -> String {
    issuer.sign(&URL_SAFE_NO_PAD.encode(header.to_string()), claims.to_string().as_bytes())
}

fn at(seconds: u64) -> Wall {
    Wall(seconds * 1000)
}

/// The outcome of the usual token with one header field and one claim changed; `Null` takes the field away.
fn outcome(header_change: (&str, Value), claim_change: (&str, Value)) -> Result<Claims, TokenError> {
    let issuer = issuer(1);
    let (mut header, mut claims) = (header(&issuer), claims());
    for (object, (field, value)) in [(&mut header, header_change), (&mut claims, claim_change)] {
        let fields = object.as_object_mut().unwrap();
        if value.is_null() {
            fields.remove(field);
        } else if !field.is_empty() {
            fields.insert(field.to_owned(), value);
        }
    }
    verifier(&[&issuer]).verify(&signed(&issuer, &header, &claims), at(NOW))
}

fn with_claim(field: &str, value: Value) -> Result<Claims, TokenError> {
    outcome(("", json!(0)), (field, value))
}

fn with_header(field: &str, value: Value) -> Result<Claims, TokenError> {
    outcome((field, value), ("", json!(0)))
}

/// Proves: G-TOKEN-1 (a token that was issued for this gateway is accepted, and says who its bearer is).
/// Seen to fail when: `dev` is read from `sub`.
#[test]
fn an_issued_token_is_accepted_and_names_user_and_device() {
    let issuer = issuer(1);
    let bearer = Bearer { user: UserId::parse("alice").unwrap(), device: DeviceId::parse("phone").unwrap() };
    let token = issuer.issue(&bearer, &policy(), at(NOW), Duration::from_secs(DAY)).unwrap();
    let claims = verifier(&[&issuer]).verify(&token, at(NOW)).unwrap();
    assert_eq!((claims.user, claims.device), (bearer.user, bearer.device));
    assert_eq!(claims.expires_at, at(NOW + DAY));
    assert_eq!(claims.refused_from, at(NOW + DAY + LEEWAY));
    assert!(!claims.jti.is_empty());
}

/// Proves: G-TOKEN-1 (the algorithm is the key's: whatever the header says, nothing else is accepted).
/// Seen to fail when: the comparison of `alg` is left out.
#[test]
fn another_algorithm_is_refused_in_any_spelling() {
    for alg in
        ["none", "None", "NONE", "nOnE", "", "HS256", "HS512", "RS256", "ES256", "Ed25519", "eddsa", "EDDSA"]
    {
        assert_eq!(with_header("alg", json!(alg)), Err(TokenError::Algorithm), "{alg}");
    }
    for alg in [json!(null), json!(1), json!(["EdDSA"]), json!({ "EdDSA": 1 })] {
        assert_eq!(with_header("alg", alg.clone()), Err(TokenError::Header), "{alg}");
    }
}

/// Proves: G-TOKEN-1 (a token that is signed with the public key as a shared secret is refused).
/// Seen to fail when: an `alg` of HS256 is checked with HMAC over the key's bytes.
#[test]
fn a_mac_with_the_public_key_is_refused() {
    let issuer = issuer(1);
    let secret = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, issuer.public_key().bytes());
    for alg in ["HS256", "EdDSA"] {
        let mut header = header(&issuer);
        header["alg"] = json!(alg);
        let message = format!("{}.{}", encoded(&header), encoded(&claims()));
        let tag = ring::hmac::sign(&secret, message.as_bytes());
        let token = format!("{message}.{}", URL_SAFE_NO_PAD.encode(tag.as_ref()));
        assert!(verifier(&[&issuer]).verify(&token, at(NOW)).is_err(), "{alg}");
    }
}

fn encoded(value: &Value) -> String {
    URL_SAFE_NO_PAD.encode(value.to_string())
}

/// Proves: G-TOKEN-1 (only a kid of the file finds a key: no path, no statement, no length does).
/// Seen to fail when: a token without a known kid is tried with the only key.
#[test]
fn an_unknown_kid_is_refused() {
    let huge = "k".repeat(900);
    for kid in
        ["", "unknown", "../../../dev/null", "/dev/null", "' OR 1=1 --", "http://evil/jwks", "\u{0}", &huge]
    {
        assert_eq!(with_header("kid", json!(kid)), Err(TokenError::UnknownKey), "{kid}");
    }
    for kid in [json!(null), json!(7), json!(["a"])] {
        assert_eq!(with_header("kid", kid.clone()), Err(TokenError::Header), "{kid}");
    }
}

/// Proves: G-TOKEN-1 (a header that brings a key, points to one, or makes demands is refused).
/// Seen to fail when: unknown fields of the header are ignored.
#[test]
fn a_header_field_outside_the_three_is_refused() {
    let own = json!(Jwk::of(&issuer(2).public_key()));
    let url = json!("https://evil.example/jwks.json");
    let fields = [
        ("jwk", own),
        ("jku", url.clone()),
        ("x5u", url),
        ("x5c", json!(["MIIB"])),
        ("x5t", json!("abc")),
        ("x5t#S256", json!("abc")),
        ("crit", json!(["exp"])),
        ("cty", json!("JWT")),
        ("zip", json!("DEF")),
        ("b64", json!(false)),
        ("", json!("")),
    ];
    for (field, value) in fields.into_iter().filter(|(field, _)| !field.is_empty()) {
        assert_eq!(with_header(field, value), Err(TokenError::Header), "{field}");
    }
    assert_eq!(with_header("typ", json!("at+jwt")), Err(TokenError::Type));
    assert!(with_header("typ", Value::Null).is_ok(), "typ may be missing");
}

/// Proves: G-TOKEN-1 (a header or payload that says a thing twice is refused: two readers could take it differently).
/// Seen to fail when: the claims are read into a map first.
#[test]
fn a_field_given_twice_is_refused() {
    let issuer = issuer(1);
    let kid = issuer.public_key().thumbprint();
    let twice = format!(r#"{{"alg":"none","alg":"EdDSA","kid":"{kid}"}}"#);
    let token = issuer.sign(&URL_SAFE_NO_PAD.encode(twice), claims().to_string().as_bytes());
    assert_eq!(verifier(&[&issuer]).verify(&token, at(NOW)), Err(TokenError::Header));
    let twice = claims().to_string().replacen('{', r#"{"sub":"mallory","#, 1);
    let token = issuer.sign(&encoded(&header(&issuer)), twice.as_bytes());
    assert_eq!(verifier(&[&issuer]).verify(&token, at(NOW)), Err(TokenError::Claims));
}

/// Proves: G-TOKEN-1 (times are whole seconds; another type, a sign or a fraction is refused).
/// Seen to fail when: `exp` is read as a float and cut.
#[test]
fn a_time_of_another_type_is_refused() {
    let whole = NOW + 3600;
    let wrong = [
        json!(whole.to_string()),
        serde_json::from_str(&format!("{whole}.0")).unwrap(),
        serde_json::from_str(&format!("{whole}.5")).unwrap(),
        serde_json::from_str("1.7672292e9").unwrap(),
        json!(-1),
        json!(true),
        json!([whole]),
        json!({ "exp": whole }),
        serde_json::from_str("1e400").unwrap_or(json!("1e400")),
        serde_json::from_str("18446744073709551616").unwrap(),
    ];
    for value in wrong {
        for field in ["exp", "iat", "nbf"] {
            assert_eq!(with_claim(field, value.clone()), Err(TokenError::Claims), "{field} = {value}");
        }
    }
    assert_eq!(with_claim("exp", Value::Null), Err(TokenError::Claims), "exp is missing");
    for value in [(NOW + 3600) * 1000, u64::MAX, u64::MAX / 1000] {
        assert_eq!(with_claim("exp", json!(value)), Err(TokenError::Lifetime), "exp = {value}");
    }
}

/// Proves: G-TOKEN-1 (a token for another audience or from another issuer is refused).
/// Seen to fail when: the comparison of `aud` is left out.
#[test]
fn another_audience_or_issuer_is_refused() {
    for (field, error) in [("aud", TokenError::Audience), ("iss", TokenError::Issuer)] {
        for value in ["", "Iris", "iris ", "iris2", "other"] {
            assert_eq!(with_claim(field, json!(value)), Err(error), "{field} = {value}");
        }
        for value in [Value::Null, json!(["iris"]), json!(["iris", "other"]), json!(1), json!({ "iris": 1 })]
        {
            assert_eq!(with_claim(field, value.clone()), Err(TokenError::Claims), "{field} = {value}");
        }
    }
}

/// Proves: G-TOKEN-2 (a token without a valid user and device is nobody's).
/// Seen to fail when: `dev` is given the default "".
#[test]
fn a_bearer_that_is_no_id_is_refused() {
    let long = "a".repeat(65);
    for (field, error) in [("sub", TokenError::User), ("dev", TokenError::Device)] {
        for value in ["", "a b", "a:b", "a/b", "a\u{0}", "ä", "a\n", &long] {
            assert_eq!(with_claim(field, json!(value)), Err(error), "{field} = {value:?}");
        }
        for value in [Value::Null, json!(7), json!(["alice"])] {
            assert_eq!(with_claim(field, value.clone()), Err(TokenError::Claims), "{field} = {value}");
        }
    }
    assert_eq!(with_claim("jti", json!("")), Err(TokenError::Id));
    assert_eq!(with_claim("jti", json!("j".repeat(129))), Err(TokenError::Id));
    assert_eq!(with_claim("jti", Value::Null), Err(TokenError::Claims));
}

/// Proves: G-TOKEN-1 (a signature that is missing, cut, zero, of another key or over something else is refused).
/// Seen to fail when: the outcome of the signature check is ignored.
#[test]
fn a_signature_that_does_not_hold_is_refused() {
    let (issuer, other) = (issuer(1), issuer(2));
    let verifier = verifier(&[&issuer]);
    let token = signed(&issuer, &header(&issuer), &claims());
    let (message, signature) = token.rsplit_once('.').unwrap();
    let bytes = URL_SAFE_NO_PAD.decode(signature).unwrap();
    let mut forged: Vec<Vec<u8>> =
        vec![vec![], bytes[..63].to_vec(), [bytes.clone(), vec![0]].concat(), vec![0; 64]];
    forged.extend((0..64).map(|index| {
        let mut flipped = bytes.clone();
        flipped[index] ^= 1;
        flipped
    }));
    for signature in forged {
        let token = format!("{message}.{}", URL_SAFE_NO_PAD.encode(&signature));
        assert_eq!(verifier.verify(&token, at(NOW)), Err(TokenError::Signature), "{signature:?}");
    }
    // Another key under this key's id.
    assert_eq!(
        verifier.verify(&signed(&other, &header(&issuer), &claims()), at(NOW)),
        Err(TokenError::Signature)
    );
    // Another user's name under this user's signature.
    let mut other_claims = claims();
    other_claims["sub"] = json!("bob");
    let swapped = format!("{}.{}.{signature}", encoded(&header(&issuer)), encoded(&other_claims));
    assert_eq!(verifier.verify(&swapped, at(NOW)), Err(TokenError::Signature));
}

/// Proves: G-TOKEN-1 (every byte of a token counts: no change of any byte leaves it valid).
/// Seen to fail when: the signature's base64 may have bits behind its last byte.
#[test]
fn no_changed_byte_leaves_a_token_valid() {
    let issuer = issuer(1);
    let verifier = verifier(&[&issuer]);
    let token = signed(&issuer, &header(&issuer), &claims());
    for index in 0..token.len() {
        for replacement in [b'A', b'B', b'_', b'-', b'.', b'=', b'+', b'/', b' ', b'\n', 0] {
            let mut bytes = token.clone().into_bytes();
            if std::mem::replace(&mut bytes[index], replacement) == replacement {
                continue;
            }
            let changed = String::from_utf8(bytes).unwrap();
            assert!(verifier.verify(&changed, at(NOW)).is_err(), "byte {index} to {replacement}");
        }
    }
}

/// Proves: G-TOKEN-1 (one token has one spelling: padding, the other alphabet, spare bits and white space are refused).
/// Seen to fail when: parts are decoded with padding indifferent.
#[test]
fn base64_that_is_not_canonical_is_refused() {
    let issuer = issuer(1);
    let verifier = verifier(&[&issuer]);
    let token = signed(&issuer, &header(&issuer), &claims());
    let parts: Vec<&str> = token.split('.').collect();
    for index in 0..3 {
        let bytes = URL_SAFE_NO_PAD.decode(parts[index]).unwrap();
        let spellings = [
            format!("{}=", parts[index]),
            format!("{}==", parts[index]),
            format!("{}\n", parts[index]),
            format!(" {}", parts[index]),
            format!("{}A", parts[index]),
        ];
        let padded = URL_SAFE.encode(&bytes);
        let standard = STANDARD.encode(&bytes);
        for spelling in spellings.into_iter().chain([padded, standard]).filter(|text| text != parts[index]) {
            let mut changed = parts.clone();
            changed[index] = &spelling;
            assert!(verifier.verify(&changed.join("."), at(NOW)).is_err(), "part {index}: {spelling}");
        }
    }
    // 64 bytes leave four spare bits in the last character: they must be zero.
    let (last, rest) = token.as_bytes().split_last().unwrap();
    let alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let place = alphabet.iter().position(|c| c == last).unwrap();
    let spare = [rest, &[alphabet[place + 1]]].concat();
    assert_eq!(verifier.verify(std::str::from_utf8(&spare).unwrap(), at(NOW)), Err(TokenError::Base64));
}

/// Proves: G-TOKEN-1 (a token has three parts and 2 KiB at most).
/// Seen to fail when: parts behind the third are ignored.
#[test]
fn another_number_of_parts_or_a_huge_token_is_refused() {
    let issuer = issuer(1);
    let verifier = verifier(&[&issuer]);
    let token = signed(&issuer, &header(&issuer), &claims());
    let two = token.rsplit_once('.').unwrap().0;
    for text in [
        "",
        ".",
        "..",
        "...",
        two,
        &format!("{two}."),
        &format!("{token}."),
        &format!("{token}.{two}"),
        "a.b",
    ] {
        assert!(verifier.verify(text, at(NOW)).is_err(), "{text}");
    }
    assert_eq!(verifier.verify(&"a".repeat(64 << 10), at(NOW)), Err(TokenError::Length));
    assert_eq!(with_claim("note", json!("n".repeat(2048))), Err(TokenError::Length));
    assert!(with_claim("note", json!("n".repeat(100))).is_ok(), "other claims are the issuer's own business");
}

/// Proves: G-TOKEN-1 (a token ends at `exp` plus leeway, to the second).
/// Seen to fail when: the comparison with the end is `>` instead of `>=`.
#[test]
fn a_token_is_refused_from_its_end_plus_leeway() {
    let issuer = issuer(1);
    let verifier = verifier(&[&issuer]);
    let token = signed(&issuer, &header(&issuer), &claims());
    let end = NOW + 3600 + LEEWAY;
    for (now, valid) in
        [(NOW + 3599, true), (NOW + 3600, true), (end - 1, true), (end, false), (end + 1, false)]
    {
        let outcome = verifier.verify(&token, at(now)).map(drop);
        assert_eq!(outcome, if valid { Ok(()) } else { Err(TokenError::Expired) }, "{now}");
    }
    let last_instant = Wall(end * 1000 - 1);
    assert!(verifier.verify(&token, last_instant).is_ok());
    assert_eq!(verifier.verify(&token, last_instant).unwrap().refused_from, Wall(end * 1000));
}

/// Proves: G-TOKEN-1 (a token does not begin before `nbf` and `iat` less leeway, to the second).
/// Seen to fail when: leeway is left out for `nbf`.
#[test]
fn a_token_is_refused_before_its_begin_less_leeway() {
    for (ahead, valid) in [(0, true), (LEEWAY - 1, true), (LEEWAY, true), (LEEWAY + 1, false), (3600, false)]
    {
        let nbf = with_claim("nbf", json!(NOW + ahead)).map(drop);
        assert_eq!(nbf, if valid { Ok(()) } else { Err(TokenError::NotYetValid) }, "nbf {ahead}");
        let iat = with_claim("iat", json!(NOW + ahead)).map(drop);
        assert_eq!(iat, if valid { Ok(()) } else { Err(TokenError::IssuedAhead) }, "iat {ahead}");
    }
    assert!(with_claim("iat", Value::Null).is_ok(), "iat may be missing");
}

/// Proves: G-TOKEN-1 (no token is valid for more than a day, with or without `iat`).
/// Seen to fail when: the lifetime is compared with `iat` alone.
#[test]
fn a_token_for_more_than_a_day_is_refused() {
    let issuer = issuer(1);
    let verifier = verifier(&[&issuer]);
    let outcome = |iat: Option<u64>, exp: u64| {
        let mut claims = claims();
        claims["exp"] = json!(exp);
        match iat {
            Some(iat) => claims["iat"] = json!(iat),
            None => drop(claims.as_object_mut().unwrap().remove("iat")),
        }
        verifier.verify(&signed(&issuer, &header(&issuer), &claims), at(NOW)).map(drop)
    };
    assert_eq!(outcome(Some(NOW), NOW + DAY), Ok(()));
    assert_eq!(outcome(Some(NOW), NOW + DAY + 1), Err(TokenError::Lifetime));
    assert_eq!(outcome(Some(NOW + LEEWAY), NOW + LEEWAY + DAY), Ok(()));
    assert_eq!(outcome(None, NOW + LEEWAY + DAY), Ok(()));
    assert_eq!(outcome(None, NOW + LEEWAY + DAY + 1), Err(TokenError::Lifetime));
    assert_eq!(outcome(Some(NOW + 10), NOW + 10), Err(TokenError::Lifetime), "it ends as it begins");
    assert_eq!(outcome(Some(NOW + 11), NOW + 10), Err(TokenError::Lifetime), "it ends before it begins");
}

/// Proves: G-TOKEN-1 (keys rotate by kid: both are taken while both are in the file, and one that left is not).
/// Seen to fail when: the cache is not emptied at another verifier.
#[test]
fn keys_rotate_without_an_outage() {
    let (old, new) = (issuer(1), issuer(2));
    let with_old = signed(&old, &header(&old), &claims());
    let with_new = signed(&new, &header(&new), &claims());
    let mut cache = TokenCache::new(16);
    let before = verifier(&[&old]);
    assert!(cache.verify(&before, &with_old, at(NOW)).is_ok());
    assert_eq!(cache.verify(&before, &with_new, at(NOW)), Err(TokenError::UnknownKey));
    let both = verifier(&[&old, &new]);
    assert!(cache.verify(&both, &with_old, at(NOW)).is_ok());
    assert!(cache.verify(&both, &with_new, at(NOW)).is_ok());
    let after = verifier(&[&new]);
    assert_eq!(cache.verify(&after, &with_old, at(NOW)), Err(TokenError::UnknownKey));
    assert!(cache.verify(&after, &with_new, at(NOW)).is_ok());
}
