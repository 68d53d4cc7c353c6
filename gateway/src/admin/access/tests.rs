//! Hosts and credentials.

use super::{Credential, is_loopback};
use crate::secret_file;
use std::os::unix::fs::PermissionsExt as _;

/// Proves: G-ADMIN-1 (only names of this host's loopback are answered, so that a name which a web page bent to 127.0.0.1 is not).
/// Seen to fail when: a name that begins with `localhost` is taken.
#[test]
fn only_loopback_names_are_hosts() {
    for host in
        ["localhost", "LOCALHOST:7480", "127.0.0.1", "127.0.0.1:7480", "127.9.9.9:1", "[::1]", "[::1]:7480"]
    {
        assert!(is_loopback(host), "{host}");
    }
    for host in [
        "",
        ":7480",
        "example.org",
        "example.org:7480",
        "localhost.example.org",
        "127.0.0.1.example.org",
        "10.0.0.1",
        "0.0.0.0:7480",
        "[::]:7480",
        "[::1",
        "localhost:x",
    ] {
        assert!(!is_loopback(host), "{host}");
    }
}

/// Proves: G-ADMIN-1 (a credential is long, and its file is its owner's alone).
/// Seen to fail when: the mode of the file is not looked at.
#[test]
fn a_credential_is_long_and_private() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str, mode: u32| {
        let path = folder.path().join(name);
        secret_file::write_new(&path, text.as_bytes()).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        path
    };
    let long = "a".repeat(32);
    let right = write("right", &format!("{long}\n"), 0o600);
    let credential = Credential::load(&right).unwrap();
    assert!(
        credential.is(&long)
            && !credential.is(&long[1..])
            && !credential.is("")
            && !credential.is(&"b".repeat(32))
    );
    assert!(Credential::load(&write("readable", &long, 0o640)).is_err());
    assert!(Credential::load(&write("others", &long, 0o604)).is_err());
    assert!(Credential::load(&write("short", &long[1..], 0o600)).is_err());
    assert!(Credential::load(&write("words", &format!("{long} {long}"), 0o600)).is_err());
    assert!(Credential::load(&folder.path().join("missing")).is_err());
    assert!(Credential::of_setting(std::path::Path::new("")).unwrap().is_none());
}
