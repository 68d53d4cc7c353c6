//! What is revoked, and what a file may hold.

use super::{ENTRIES_MAX, FileError, Revocations, RevokeError, Target};
use iris_protocol::{DeviceId, UserId, Wall};
use std::path::Path;

const NOW: Wall = Wall(1_767_225_600_000);

fn user(name: &str) -> UserId {
    UserId::parse(name).unwrap()
}

fn device(name: &str) -> DeviceId {
    DeviceId::parse(name).unwrap()
}

/// True if a token with this `jti`, issued so many seconds after [`NOW`], is refused.
fn is_refused(revoked: &Revocations, name: &str, own: &str, jti: &str, issued_s: u64) -> bool {
    let mark = revoked.mark(jti, NOW.after_ms(issued_s * 1000));
    revoked.current().covers(&user(name), &device(own), mark)
}

/// Proves: G-TOKEN-4 (what is revoked is exactly the token, or what a device or a user was issued up to then)
/// Seen to fail when: `covers` does not look at the devices' cuts.
#[test]
fn a_revocation_covers_what_it_names_and_no_more() {
    let folder = tempfile::tempdir().unwrap();
    let revoked = Revocations::open(folder.path(), NOW).unwrap();
    assert!(!is_refused(&revoked, "alice", "phone", "t1", 0));
    revoked.revoke(Target::Token("t1".into()), NOW).unwrap();
    revoked.revoke(Target::Device(user("bob"), device("phone")), NOW.after_ms(5000)).unwrap();
    revoked.revoke(Target::User(user("carol")), NOW.after_ms(9000)).unwrap();
    revoked.revoke(Target::Device(user("carol"), device("old")), NOW.after_ms(20_000)).unwrap();
    for (name, own, jti, issued_s, refused) in [
        ("alice", "phone", "t1", 99, true),
        ("alice", "phone", "t2", 0, false),
        ("bob", "phone", "t3", 5, true),
        ("bob", "phone", "t3", 6, false),
        ("bob", "tablet", "t3", 5, false),
        ("carol", "any", "t4", 9, true),
        ("carol", "any", "t4", 10, false),
        ("carol", "old", "t4", 20, true),
        ("carol", "old", "t4", 21, false),
    ] {
        assert_eq!(is_refused(&revoked, name, own, jti, issued_s), refused, "{name} {own} {jti} {issued_s}");
    }
}

/// Proves: G-TOKEN-4 (revocations are there after a restart, until no token that they cover can be accepted any more)
/// Seen to fail when: `revoke` does not write the file; or `open` does not look at `ends_at`.
#[test]
fn revocations_outlive_the_process_and_die_with_their_tokens() {
    let folder = tempfile::tempdir().unwrap();
    let first = Revocations::open(folder.path(), NOW).unwrap();
    let entry = first.revoke(Target::User(user("alice")), NOW).unwrap();
    let second = Revocations::open(folder.path(), NOW.after_ms(24 * 3_600_000)).unwrap();
    assert!(is_refused(&second, "alice", "phone", "t1", 0));
    assert_eq!(second.current().entries(), first.current().entries());
    let next = second.revoke(Target::Token("t".into()), NOW.after_ms(1000)).unwrap();
    assert!(next.serial > entry.serial);
    assert_eq!(second.current().after(entry.serial).len(), 1);
    let last = Revocations::open(folder.path(), entry.ends_at).unwrap();
    assert!(!is_refused(&last, "alice", "phone", "t1", 0) && is_refused(&last, "alice", "phone", "t", 0));
    assert!(entry.ends_at >= NOW.after_ms(24 * 3_600_000 + 300_000));
}

/// Proves: G-TOKEN-4 (a file that is not what was written, whichever byte is wrong, refuses the start)
/// Seen to fail when: the checksum is not compared.
#[test]
fn a_damaged_file_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let revoked = Revocations::open(folder.path(), NOW).unwrap();
    revoked.revoke(Target::Device(user("alice"), device("phone")), NOW).unwrap();
    let path = folder.path().join("REVOCATIONS");
    let whole = std::fs::read(&path).unwrap();
    let open = |bytes: &[u8]| {
        std::fs::write(&path, bytes).unwrap();
        Revocations::open(folder.path(), NOW).map(drop)
    };
    for index in 0..whole.len() {
        let mut bytes = whole.clone();
        bytes[index] ^= 1;
        assert!(open(&bytes).is_err(), "byte {index}");
        assert!(open(&whole[..index]).is_err(), "cut at {index}");
    }
    let other = String::from_utf8(whole.clone()).unwrap().replace("revocations 1", "revocations 2");
    assert!(matches!(open(other.as_bytes()), Err(FileError::Version { .. })));
    assert!(open(&whole).is_ok());
}

/// Proves: G-TOKEN-4 (what cannot be made durable is refused and not in force)
/// Seen to fail when: the set is replaced before the file is written.
#[test]
fn what_cannot_be_written_is_not_in_force() {
    let revoked = Revocations::open(Path::new("/nowhere/at/all"), NOW).unwrap();
    let refused = revoked.revoke(Target::User(user("alice")), NOW);
    assert!(matches!(refused, Err(RevokeError::File(_))));
    assert!(!is_refused(&revoked, "alice", "phone", "t1", 0) && revoked.last() == 0);
}

/// Proves: G-TOKEN-4 (more than the limit are refused, and room comes back when entries have ended)
/// Seen to fail when: entries that have ended are counted.
#[test]
fn revocations_are_bounded() {
    let folder = tempfile::tempdir().unwrap();
    let entries: Vec<_> = (1..=ENTRIES_MAX as u64)
        .map(|serial| {
            let target = Target::Token(format!("token-{serial}").into());
            std::sync::Arc::new(super::Entry { serial, target, made_at: NOW, ends_at: NOW.after_ms(1000) })
        })
        .collect();
    super::file::write(folder.path(), &entries).unwrap();
    let revoked = Revocations::open(folder.path(), NOW).unwrap();
    assert!(matches!(revoked.revoke(Target::User(user("alice")), NOW), Err(RevokeError::Full)));
    revoked.revoke(Target::User(user("alice")), NOW.after_ms(1000)).unwrap();
    assert_eq!(revoked.current().entries().len(), 1);
}
