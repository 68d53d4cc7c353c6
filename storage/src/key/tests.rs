use super::*;
use crate::testing::{message_id, user};
use iris_protocol::Wall;
use proptest::prelude::*;

fn text_id() -> impl Strategy<Value = String> {
    "[A-Za-z0-9_.-]{1,64}"
}

/// Proves: G-MOVE-1 (a change of the core count loses nothing): a row's key starts with the slot that owns it.
/// Seen to fail when: the group's prefix is hashed with its id.
#[test]
fn slots_of_bytes_are_the_slots_of_ids() {
    for number in 0..=255 {
        let (one, other) = (user(number), user(number / 3));
        assert_eq!(slot_of_id(one.as_str().as_bytes()), one.slot());
        let direct = ConversationId::direct(&one, &other);
        assert_eq!(slot_of_conversation(direct.as_str().as_bytes()), direct.slot());
        let group = ConversationId::parse(&format!("g:{one}")).unwrap();
        assert_eq!(slot_of_conversation(group.as_str().as_bytes()), group.slot());
    }
}

/// Seen to fail when: a range holds its end.
#[test]
fn a_slots_range_ends_before_the_next_slot() {
    let floor = |number| Key::Floor { slot: Slot::new(number).unwrap() }.to_vec();
    let range = KeyRange::slot(Slot::new(7).unwrap());
    assert_eq!([6, 7, 8].map(|number| range.contains(&floor(number))), [false, true, false]);
}

/// Seen to fail when: an integer is written little-endian, or an id without its end.
#[test]
fn the_bytes_of_keys_stay() {
    let slot = Slot::new(0x0102).unwrap();
    let id = message_id(5, Wall(0x0001_0203_0405));
    let conversation = b"d:a:b".as_slice();
    let hex = |key: Key<'_>| crate::tables::hex(&key.to_vec());
    assert_eq!(hex(Key::Sequence { slot, conversation }), "0102643a613a6200");
    let sequence = Sequence(258);
    assert_eq!(hex(Key::Outbox { slot, conversation, sequence }), "0102643a613a62000000000000000102");
    let recipient = Slot::new(3).unwrap();
    let pending = Key::OutboxPending { slot, conversation, sequence, recipient };
    assert_eq!(hex(pending), "0102643a613a620000000000000001020003");
    let dedup = Key::Dedup { slot, day: 9, conversation, sender: b"a", message_id: id.as_bytes() };
    assert_eq!(hex(dedup), "010200000009643a613a62006100000102030405700080000000000000 05".replace(' ', ""));
    assert_eq!(hex(Key::Inbox { slot, user: b"a", offset: Offset(1 << 33) }), "010261000000000200000000");
    assert_eq!(hex(Key::Watermark { slot, user: b"a", conversation }), "01026100643a613a6200");
    assert_eq!(hex(Key::User { slot, user: b"a" }), "01026100");
    assert_eq!(hex(Key::Cursor { slot, user: b"a", device: b"x" }), "010261007800");
    assert_eq!(hex(Key::Floor { slot }), "0102");
}

proptest! {
    /// Proves: G-TOKEN-2 (user and device come from the token alone): one user's range holds no other user's keys, also of
    /// one whose id is a part of the other's, in the same slot.
    /// Seen to fail when: the range ends behind all ids that begin with the user's.
    #[test]
    fn a_users_range_holds_that_users_rows_alone(one in text_id(), other in text_id(), n in any::<u64>()) {
        let one = UserId::parse(&one).unwrap();
        let (range, slot) = (KeyRange::user(&one), one.slot());
        let id = one.as_str();
        let longer = format!("{id}x");
        for user in [id, other.as_str(), &longer, &id[..id.len() - 1]].into_iter().filter(|user| !user.is_empty()) {
            let key = Key::Inbox { slot, user: user.as_bytes(), offset: Offset(n) };
            let bytes = key.to_vec();
            prop_assert_eq!(range.contains(&bytes), user == id);
            prop_assert!(KeyRange::slot(slot).contains(&bytes));
            prop_assert!(KeyRange::all().contains(&bytes));
            prop_assert_eq!(parse(Table::Inbox, &bytes), Ok(key));
        }
    }

    /// Seen to fail when: a parser indexes.
    #[test]
    fn any_bytes_parse_or_are_refused(bytes in proptest::collection::vec(any::<u8>(), 0..60), low in 0_u8..4) {
        let mut bytes = bytes;
        if let Some(first) = bytes.first_mut() {
            *first = low;
        }
        for table in Table::ALL {
            if let Ok(key) = parse(table, &bytes) {
                prop_assert_eq!(key.to_vec(), bytes.clone());
                prop_assert_eq!(key.table(), table);
            }
        }
    }
}
