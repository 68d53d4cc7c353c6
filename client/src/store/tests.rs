//! Claims about the state file.

use super::*;
use crate::state::{Applied, Draft, OutboxEntry, Target};
use bytes::Bytes;
use iris_protocol::{ConversationId, DeviceId, Incarnation, MessageId, Offset, Sequence, UserId};
use proptest::prelude::*;

fn alice() -> Claims {
    Claims { user: UserId::parse("alice").unwrap(), device: DeviceId::parse("phone").unwrap() }
}

fn open(path: &Path) -> Result<(Store, DeviceState), StoreError> {
    Store::open(path, &alice())
}

fn full_state(number: u8) -> DeviceState {
    let mut id = [number; 16];
    id[6] = 0x70;
    id[8] = 0x80;
    let entry = |target| OutboxEntry {
        message_id: MessageId::parse(&id).unwrap(),
        target,
        payload: Bytes::from(vec![number; 40]),
    };
    let bob = Target::To(UserId::parse("bob").unwrap());
    let team = ConversationId::parse("g:team").unwrap();
    DeviceState {
        incarnation: Some(Incarnation([number; 16])),
        stored_through: Some(Offset(u64::from(number))),
        last: [(team.clone(), Applied { sequence: Sequence(9), rebase: true })].into(),
        outbox: vec![entry(bob.clone()), entry(Target::Conversation(team))],
        unknown: vec![entry(bob.clone())],
        drafts: vec![Draft { target: bob, payload: Bytes::new() }],
    }
}

/// Seen to fail when: any field is left out of `codec::encode`.
#[test]
fn a_saved_state_is_loaded_as_it_was() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("state");
    for state in [DeviceState::default(), full_state(1), full_state(2)] {
        let (store, _) = open(&path).unwrap();
        store.save(&state).unwrap();
        drop(store);
        assert_eq!(open(&path).unwrap().1, state);
    }
}

/// Seen to fail when: the checksum is not compared.
#[test]
fn damage_anywhere_is_refused_with_a_typed_error() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("state");
    let (store, _) = open(&path).unwrap();
    store.save(&full_state(1)).unwrap();
    drop(store);
    let whole = std::fs::read(&path).unwrap();
    for index in 0..whole.len() {
        let mut damaged = whole.clone();
        damaged[index] ^= 0x10;
        std::fs::write(&path, &damaged).unwrap();
        let refused = open(&path).err();
        let fits = match index {
            0..8 => matches!(refused, Some(StoreError::Foreign { .. })),
            8..12 => matches!(refused, Some(StoreError::Version { .. })),
            _ => matches!(refused, Some(StoreError::Damaged { .. })),
        };
        assert!(fits, "byte {index}: {refused:?}");
        std::fs::write(&path, &whole[..index]).unwrap();
        let refused = open(&path).err();
        assert!(
            matches!(refused, Some(StoreError::Foreign { .. } | StoreError::Damaged { .. })),
            "cut at {index}"
        );
    }
}

/// Seen to fail when: `save_through` writes to the file itself.
#[test]
fn a_stop_at_any_step_of_a_save_leaves_a_whole_state() {
    for (last, expected) in [(Step::Write, 1), (Step::Sync, 1), (Step::Rename, 2), (Step::SyncDirectory, 2)] {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("state");
        let (store, _) = open(&path).unwrap();
        store.save(&full_state(1)).unwrap();
        store.save_through(&full_state(2), last).unwrap();
        drop(store);
        let (store, state) = open(&path).unwrap();
        assert_eq!(state, full_state(expected), "stopped after {last:?}");
        store.save(&full_state(3)).unwrap();
        drop(store);
        assert_eq!(open(&path).unwrap().1, full_state(3), "after a stop at {last:?}");
    }
}

/// Seen to fail when: the new file is looked at by `open`.
#[test]
fn a_torn_new_file_beside_it_is_ignored() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("state");
    let (store, _) = open(&path).unwrap();
    store.save(&full_state(1)).unwrap();
    drop(store);
    let torn = beside(&path, "new");
    let bytes = codec::encode("alice/phone", &full_state(2));
    for length in 0..bytes.len() {
        std::fs::write(&torn, &bytes[..length]).unwrap();
        assert_eq!(open(&path).unwrap().1, full_state(1));
    }
}

/// Seen to fail when: `flock` is left out.
#[test]
fn one_process_at_a_time_uses_a_state() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("state");
    let (store, _) = open(&path).unwrap();
    assert!(matches!(open(&path), Err(StoreError::InUse { .. })));
    drop(store);
    assert!(open(&path).is_ok());
}

/// Seen to fail when: `decode` does not compare the owner.
#[test]
fn the_state_of_another_device_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("state");
    let (store, _) = open(&path).unwrap();
    store.save(&full_state(1)).unwrap();
    drop(store);
    let tablet = Claims { device: DeviceId::parse("tablet").unwrap(), ..alice() };
    let Err(StoreError::Owner { found, wanted, .. }) = Store::open(&path, &tablet) else {
        panic!("another device's state was taken");
    };
    assert_eq!((found.as_str(), wanted.as_str()), ("alice/phone", "alice/tablet"));
}

/// Seen to fail when: `mode(0o600)` is left out.
#[test]
fn nobody_else_reads_a_state() {
    use std::os::unix::fs::PermissionsExt;
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("state");
    let (store, _) = open(&path).unwrap();
    store.save(&full_state(1)).unwrap();
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
}

proptest! {
    /// Seen to fail when: a length is trusted before it is compared with what is left.
    #[test]
    fn no_bytes_behind_a_right_checksum_make_the_reader_panic(body in proptest::collection::vec(any::<u8>(), 0..200)) {
        let mut bytes = b"irisdev\n\0\0\0\x01".to_vec();
        bytes.extend_from_slice(&body);
        let sum = codec::checksum(&bytes);
        bytes.extend_from_slice(&sum);
        prop_assert!(!matches!(codec::decode(&bytes), Err(codec::DecodeError::Foreign)));
    }
}
