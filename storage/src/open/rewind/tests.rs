use super::*;
use crate::tables::MemoryTables;
use iris_protocol::{ConversationId, UserId};

fn user(name: &str) -> UserId {
    UserId::parse(name).unwrap()
}

fn put(tables: &mut [MemoryTables], key: Key<'_>, core: u16, sequence: u64) {
    let (mut batch, mut value) = (ChangeList::default(), Vec::new());
    put_varint(&mut value, sequence);
    batch.put(key.table(), &key.to_vec(), &value);
    let tables = &mut tables[usize::from(core)];
    tables.apply(&batch, tables.applied()).unwrap();
    tables.flush().unwrap();
}

/// Proves: G-INCARNATION-1 (a rewound history is announced): no sequence that a home remembers is given to another message.
/// Seen to fail when: the first watermark of a conversation is taken instead of the highest.
#[test]
fn owners_go_on_behind_what_homes_remember() {
    for shards in 1..=4 {
        let mut tables: Vec<_> = (0..shards).map(|_| MemoryTables::new()).collect();
        let mut expected = Vec::new();
        for pair in 0..40_u64 {
            let (one, other) = (user(&format!("a{pair}")), user(&format!("b{pair}")));
            let conversation = ConversationId::direct(&one, &other);
            let bytes = conversation.as_str().as_bytes();
            let sequence = Key::Sequence { slot: conversation.slot(), conversation: bytes };
            put(&mut tables, sequence, owner(conversation.slot(), shards), 10);
            for (member, watermark) in [(&one, 8 + pair % 13), (&other, 8 + pair % 17)] {
                let name = member.as_str().as_bytes();
                let key = Key::Watermark { slot: member.slot(), user: name, conversation: bytes };
                put(&mut tables, key, owner(member.slot(), shards), watermark);
            }
            expected.push((conversation, 10.max(8 + pair % 13).max(8 + pair % 17)));
        }
        let raise = |tables: &mut [MemoryTables]| raise_sequences(&mut tables.iter_mut().collect::<Vec<_>>());
        let raised = raise(&mut tables).unwrap();
        assert_eq!(raised, expected.iter().filter(|(_, last)| *last > 10).count() as u64);
        tables.iter_mut().for_each(MemoryTables::power_cut);
        for (conversation, last) in expected {
            let slot = conversation.slot();
            let key = Key::Sequence { slot, conversation: conversation.as_str().as_bytes() };
            let found = last_sequence(&tables[usize::from(owner(slot, shards))], key).unwrap();
            assert_eq!(found, Sequence(last), "{conversation} of {shards} shards");
        }
        assert_eq!(raise(&mut tables), Ok(0), "repeated");
    }
}
