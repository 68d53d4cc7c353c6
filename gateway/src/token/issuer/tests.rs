//! Keys and tokens as the commands make them.

use super::{Bearer, IssueError, Issuer, JWKS_FILE, KEY_FILE, keygen};
use crate::token::{Policy, TokenError, Verifier};
use iris_protocol::{DeviceId, UserId, Wall};
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

const NOW: Wall = Wall(1_767_225_600_000);

fn policy() -> Policy {
    Policy { audience: "iris".into(), issuer: "iris".into(), leeway: Duration::from_mins(1) }
}

fn token(issuer: &Issuer) -> String {
    let bearer = Bearer { user: UserId::parse("alice").unwrap(), device: DeviceId::parse("phone").unwrap() };
    issuer.issue(&bearer, &policy(), NOW, Duration::from_mins(1)).unwrap()
}

/// Proves: keygen never overwrites a private key, gives it to nobody else, and adds to the public keys.
/// Seen to fail when: the key file is made with `fs::write`.
#[test]
fn keygen_keeps_what_exists() {
    let folder = tempfile::tempdir().unwrap();
    let key_path = folder.path().join(KEY_FILE);
    keygen(folder.path()).unwrap();
    let first = std::fs::read(&key_path).unwrap();
    assert_eq!(std::fs::metadata(&key_path).unwrap().permissions().mode() & 0o777, 0o600);
    let old_token = token(&Issuer::load(&key_path).unwrap());

    assert!(matches!(keygen(folder.path()), Err(IssueError::File { .. })));
    assert_eq!(std::fs::read(&key_path).unwrap(), first);
    assert!(
        Verifier::load(&folder.path().join(JWKS_FILE), policy()).unwrap().verify(&old_token, NOW).is_ok()
    );

    std::fs::rename(&key_path, folder.path().join("old.key")).unwrap();
    keygen(folder.path()).unwrap();
    let verifier = Verifier::load(&folder.path().join(JWKS_FILE), policy()).unwrap();
    assert!(verifier.verify(&old_token, NOW).is_ok(), "the old public key stays");
    assert!(verifier.verify(&token(&Issuer::load(&key_path).unwrap()), NOW).is_ok());
}

/// Proves: a public key file that is damaged is not replaced by a new one.
/// Seen to fail when: any error of reading counts as a missing file.
#[test]
fn keygen_refuses_to_replace_a_damaged_key_file() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join(JWKS_FILE), "{").unwrap();
    assert!(matches!(keygen(folder.path()), Err(IssueError::Jwks { .. })));
    assert!(!folder.path().join(KEY_FILE).exists());
}

/// Proves: a token for less than a second or more than a day is not issued.
/// Seen to fail when: the upper bound is left out.
#[test]
fn no_token_is_issued_for_more_than_a_day() {
    let folder = tempfile::tempdir().unwrap();
    keygen(folder.path()).unwrap();
    let issuer = Issuer::load(&folder.path().join(KEY_FILE)).unwrap();
    let bearer = Bearer { user: UserId::parse("a").unwrap(), device: DeviceId::parse("d").unwrap() };
    for (seconds, issued) in [(0, false), (1, true), (86_400, true), (86_401, false)] {
        let token = issuer.issue(&bearer, &policy(), NOW, Duration::from_secs(seconds));
        assert_eq!(token.is_ok(), issued, "{seconds} s");
    }
}

/// Proves: what is not an Ed25519 private key is refused by the file's name.
/// Seen to fail when: the PEM's label is not looked at.
#[test]
fn another_kind_of_key_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    crate::tls::selfsigned::write(folder.path(), &[]).unwrap();
    for file in ["server.key", "server.pem", "ca.pem"] {
        assert!(matches!(Issuer::load(&folder.path().join(file)), Err(IssueError::Key { .. })), "{file}");
    }
    assert!(matches!(Issuer::load(&folder.path().join("missing")), Err(IssueError::File { .. })));
}

/// Proves: each token has an id of its own, so that one can be revoked alone.
/// Seen to fail when: `jti` is made from user and time.
#[test]
fn two_tokens_have_two_ids() {
    let folder = tempfile::tempdir().unwrap();
    keygen(folder.path()).unwrap();
    let issuer = Issuer::load(&folder.path().join(KEY_FILE)).unwrap();
    let verifier = Verifier::load(&folder.path().join(JWKS_FILE), policy()).unwrap();
    let ids = [token(&issuer), token(&issuer)].map(|token| verifier.verify(&token, NOW).unwrap().jti);
    assert_ne!(ids[0], ids[1]);
    let later = Wall(NOW.0 + 120_000);
    assert_eq!(verifier.verify(&token(&issuer), later), Err(TokenError::Expired));
}
