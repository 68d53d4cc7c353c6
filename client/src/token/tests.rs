//! Claims about reading tokens.

use super::*;

fn token_of(claims: &str) -> String {
    format!("e30.{}.none", URL_SAFE_NO_PAD.encode(claims))
}

/// Seen to fail when: `sub` and `dev` are exchanged.
#[test]
fn user_and_device_are_read_from_the_claims() {
    let claims = Claims::of(&token_of(r#"{"sub":"alice","dev":"phone","exp":1}"#)).unwrap();
    assert_eq!((claims.user.as_str(), claims.device.as_str()), ("alice", "phone"));
}

/// Proves: G-PRIVACY-1 (tokens are not logged)
/// Seen to fail when: an error carries the text it could not read, or `TokenSource` derives Debug.
#[test]
fn what_is_no_token_is_refused_without_being_repeated() {
    let secrets = ["secret", "e30.secret", "e30.c2VjcmV0.x", &token_of(r#"{"sub":"secret me","dev":"a"}"#)];
    for secret in secrets {
        let error = Claims::of(secret).unwrap_err();
        assert!(!format!("{error} {error:?}").contains("secret"), "{error:?}");
    }
    assert!(!format!("{:?}", TokenSource::Fixed("secret".to_owned())).contains("secret"));
}

/// Seen to fail when: the length is not checked, or the text not trimmed.
#[test]
fn a_token_file_is_read_again_each_time() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("token");
    let source = TokenSource::File(path.clone());
    assert!(matches!(source.read(), Err(TokenError::Read { .. })));
    for (written, read) in [("one\n", Some("one")), ("  two ", Some("two")), ("\n", None)] {
        std::fs::write(&path, written).unwrap();
        assert_eq!(source.read().ok().as_deref(), read);
    }
    std::fs::write(&path, "x".repeat(TOKEN_BYTES_MAX + 1)).unwrap();
    assert!(matches!(source.read(), Err(TokenError::Invalid { .. })));
}
