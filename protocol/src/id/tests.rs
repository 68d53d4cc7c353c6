//! Claims about what is an id, and about the slot function.

#![allow(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    reason = "a test that overruns fails, which is what it is for"
)]

use super::{ConversationId, DeviceId, IdError, MessageId, Slot, UserId};
use crate::limits::SLOTS;
use crate::time::Wall;
use proptest::prelude::*;

const VALID: &[&str] = &["a", "Z", "0", "_", ".", "-", "alice", "Alice.Smith-2_x", "...", "0000"];

/// Texts that are no id, each with what is wrong.
fn invalid() -> Vec<(String, IdError)> {
    let alphabet = [
        "a b",
        " a",
        "a\0",
        "\0",
        "a\n",
        "a:b",
        "a/b",
        "a@b",
        "a+b",
        "é",
        "ａ",
        "\u{202e}abc",
        "שלום",
        "مرحبا",
        "😀",
        "a\u{301}",
        "\u{feff}a",
        "a\u{200b}",
        "a\u{7f}",
        "%00",
        "日本",
    ];
    let mut rows: Vec<_> = alphabet.iter().map(|text| ((*text).to_owned(), IdError::Alphabet)).collect();
    rows.push((String::new(), IdError::Length { bytes: 0 }));
    rows.push(("a".repeat(65), IdError::Length { bytes: 65 }));
    rows.push(("é".repeat(33), IdError::Length { bytes: 66 }));
    rows.push(("a".repeat(1 << 20), IdError::Length { bytes: 1 << 20 }));
    rows
}

/// Seen to fail when: `-` is left out of the alphabet.
#[test]
fn f_54_an_id_of_the_alphabet_is_taken_byte_for_byte() {
    let longest = "x".repeat(64);
    for text in VALID.iter().copied().chain([longest.as_str()]) {
        assert_eq!(UserId::parse(text).unwrap().as_str(), text);
        assert_eq!(DeviceId::parse(text).unwrap().to_string(), text);
    }
}

/// Seen to fail when: the alphabet asks `is_alphanumeric` instead of its ASCII part.
#[test]
fn f_54_control_characters_foreign_scripts_and_lengths_out_of_range_are_no_ids() {
    for (text, error) in invalid() {
        assert_eq!(UserId::parse(&text), Err(error), "{text:?}");
        assert_eq!(DeviceId::parse(&text), Err(error), "{text:?}");
        assert!(ConversationId::parse(&format!("g:{text}")).is_err(), "{text:?}");
        assert!(ConversationId::parse(&format!("d:a:{text}")).is_err(), "{text:?}");
        assert!(ConversationId::parse(&format!("d:{text}:z")).is_err(), "{text:?}");
    }
}

proptest! {
    /// Seen to fail when: `check` allows a space.
    #[test]
    fn f_54_a_text_is_an_id_exactly_if_it_matches_the_documented_pattern(text in "\\PC{0,70}|[a-zA-Z0-9_. -]{0,66}") {
        let in_alphabet = text.chars().all(|c| matches!(c, 'A'..='Z' | 'a'..='z' | '0'..='9' | '_' | '.' | '-'));
        prop_assert_eq!(UserId::parse(&text).is_ok(), in_alphabet && (1..=64).contains(&text.len()));
    }

    /// Seen to fail when: `direct` keeps the order of its arguments.
    #[test]
    fn a_direct_conversation_is_the_same_from_both_sides(a in "[a-zA-Z0-9_.-]{1,64}", b in "[a-zA-Z0-9_.-]{1,64}") {
        let (a, b) = (UserId::parse(&a).unwrap(), UserId::parse(&b).unwrap());
        let conversation = ConversationId::direct(&a, &b);
        prop_assert_eq!(&conversation, &ConversationId::direct(&b, &a));
        prop_assert_eq!(&ConversationId::parse(conversation.as_str()).unwrap(), &conversation);
        let (low, high) = conversation.direct_users().unwrap();
        prop_assert!(low <= high);
        prop_assert_eq!(conversation.slot(), low.slot());
        prop_assert!(conversation.is_direct_member(&a) && conversation.is_direct_member(&b));
    }

    /// Seen to fail when: the version nibble is not compared.
    #[test]
    fn any_sixteen_bytes_are_a_message_id_exactly_if_version_and_variant_say_so(bytes in any::<[u8; 16]>()) {
        let valid = bytes[6] & 0xf0 == 0x70 && bytes[8] & 0xc0 == 0x80;
        prop_assert_eq!(MessageId::parse(&bytes).is_ok(), valid);
        let (mut made, minted_ms) = (bytes, u64::from_be_bytes(bytes[..8].try_into().unwrap()) >> 16);
        made[6] = made[6] & 0x0f | 0x70;
        made[8] = made[8] & 0x3f | 0x80;
        let id = MessageId::parse(&made).unwrap();
        prop_assert_eq!(id.as_bytes(), &made);
        prop_assert_eq!(id.minted_at(), Wall(minted_ms));
    }
}

/// Seen to fail when: `low > high` is not checked.
#[test]
fn a_conversation_id_has_one_spelling() {
    for text in ["d:alice:bob", "d:bob:bob", "g:team", "d:B:a", "d:a:a.b"] {
        assert_eq!(ConversationId::parse(text).unwrap().as_str(), text);
    }
    let wrong = [
        "", "d", "d:", "d:a", "d:a:", "d::a", "d:b:a", "d:a:b:c", "d:a:B", "D:a:b", "g:", "g:a:b", "G:a",
        "x:a", "alice", " d:a:b", "d:a:b ", "d:a:b\0", "d:a\0:b",
    ];
    for text in wrong {
        assert!(ConversationId::parse(text).is_err(), "{text:?}");
    }
}

/// Seen to fail when: `is_direct_member` compares the beginnings.
#[test]
fn only_the_two_users_of_a_direct_conversation_are_its_members() {
    let conversation = ConversationId::parse("d:al:bob").unwrap();
    for (user, member) in [("al", true), ("bob", true), ("a", false), ("alb", false), ("al.bob", false)] {
        assert_eq!(conversation.is_direct_member(&UserId::parse(user).unwrap()), member, "{user}");
    }
    let group = ConversationId::parse("g:al").unwrap();
    assert_eq!(group.direct_users(), None);
    assert!(!group.is_direct_member(&UserId::parse("al").unwrap()));
}

/// The values were computed with the reference implementation of XXH3-64 (python package xxhash), not with
/// this crate: stored keys begin with them, so they may never change.
///
/// Seen to fail when: the seed is 1.
#[test]
fn the_slot_function_is_pinned() {
    let golden = [
        ("a", 543),
        ("alice", 688),
        ("bob", 229),
        ("Alice", 240),
        ("user-0", 480),
        ("user-999999", 455),
        ("device_1", 737),
        ("...", 894),
        ("0000000000000000000000000000000000000000000000000000000000000000", 788),
        ("xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx", 580),
        ("9cf3b0d2-1c7a-4b5e-8f3e-0a1b2c3d4e5f", 398),
    ];
    for (id, slot) in golden {
        assert_eq!(Slot::of(id).number(), slot, "{id}");
        assert_eq!(UserId::parse(id).unwrap().slot().number(), slot, "{id}");
        assert_eq!(ConversationId::parse(&format!("g:{id}")).unwrap().slot().number(), slot, "{id}");
    }
}

/// Seen to fail when: `slot` of a direct conversation takes the larger user.
#[test]
fn a_direct_conversation_lives_with_its_smaller_user_and_a_group_with_its_own_id() {
    let slot = |text: &str| ConversationId::parse(text).unwrap().slot();
    assert_eq!(slot("d:alice:bob"), Slot::of("alice"));
    assert_eq!(slot("d:alice:zoe"), Slot::of("alice"));
    assert_eq!(slot("g:bob"), Slot::of("bob"));
}

/// Seen to fail when: `Slot::new` takes 1,024.
#[test]
fn there_are_1024_slots_and_ids_reach_all_of_them() {
    assert_eq!(Slot::new(SLOTS), None);
    assert_eq!(Slot::new(SLOTS - 1).unwrap().number(), 1023);
    let mut hits = vec![0_u32; usize::from(SLOTS)];
    for user in 0..102_400 {
        hits[usize::from(Slot::of(&format!("user-{user}")).number())] += 1;
    }
    let (fewest, most) = (hits.iter().min().unwrap(), hits.iter().max().unwrap());
    assert!(*fewest > 50 && *most < 160, "100 expected a slot, found {fewest} to {most}");
}

/// Seen to fail when: `parse` pads a short id.
#[test]
fn a_message_id_of_another_length_is_refused() {
    let id = [0x01, 0x92, 0xf0, 0xc1, 0x23, 0x45, 0x7a, 0xbc, 0x8d, 0xef, 1, 2, 3, 4, 5, 6];
    assert_eq!(MessageId::parse(&id).unwrap().to_string(), "0192f0c1-2345-7abc-8def-010203040506");
    for length in (0..16).chain([17, 32, 1 << 20]) {
        let bytes: Vec<u8> = id.iter().copied().cycle().take(length).collect();
        assert_eq!(MessageId::parse(&bytes), Err(IdError::MessageId), "{length}");
    }
    for bytes in [[0_u8; 16], [0xff; 16]] {
        assert_eq!(MessageId::parse(&bytes), Err(IdError::MessageId));
    }
}
