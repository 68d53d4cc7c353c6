use super::*;
use iris_protocol::UserId;

fn conversation(number: u64) -> ConversationId {
    let user = UserId::parse(&format!("user{number}")).unwrap();
    ConversationId::direct(&user, &UserId::parse("zed").unwrap())
}

fn id(at: u64, number: u64) -> MessageId {
    let mut bytes = [0; 16];
    bytes[..6].copy_from_slice(&at.to_be_bytes()[2..]);
    bytes[6] = 0x70;
    bytes[8] = 0x80;
    bytes[9..].copy_from_slice(&number.to_be_bytes()[1..]);
    MessageId::parse(&bytes).unwrap()
}

fn row(sequence: u64) -> DedupRow {
    DedupRow { sequence: Sequence(sequence), server_time: Wall(1), hash: PayloadHash([1; 16]) }
}

/// Proves: G-DEDUP-1 (a retry has one effect)
/// Seen to fail when: `forget_oldest` does not raise the horizon, or does not feed the filter.
#[test]
fn an_id_that_left_memory_is_asked_for_and_a_new_one_is_not() {
    let mut dedup = Dedup::new(7, Wall(0), &BootState::default());
    let conversation = conversation(1);
    let slot = conversation.slot();
    let count = DEDUP_MEMORY_MAX as u64 + 1000;
    for number in 0..count {
        let key = Key { conversation: &conversation, sender: 0, message_id: id(1000 + number, number) };
        dedup.remember(&key, row(number + 1), Ticket(number + 1));
    }
    let look = |message_id| dedup.look_up(&Key { conversation: &conversation, sender: 0, message_id }, slot);
    for number in 0..1000 {
        assert_eq!(look(id(1000 + number, number)), Lookup::Ask, "{number} was forgotten");
    }
    assert_eq!(look(id(1000 + 1000, 1000)), Lookup::Known(row(1001), Ticket(1001)));
    assert_eq!(look(id(1000 + count, count)), Lookup::New);
    let unknown = (0..1000).filter(|number| look(id(1000 + number, 1 << 40 | number)) == Lookup::New).count();
    assert!(unknown > 950, "the filter answers for {unknown} of 1000 unknown ids only");
}

/// Proves: G-DEDUP-1 (a retry has one effect)
/// Seen to fail when: the sender is left out of the comparison.
#[test]
fn the_same_id_of_the_other_member_is_another_key() {
    let mut dedup = Dedup::new(7, Wall(0), &BootState::default());
    let conversation = conversation(1);
    let slot = conversation.slot();
    let message_id = id(1000, 1);
    dedup.remember(&Key { conversation: &conversation, sender: 0, message_id }, row(1), Ticket(1));
    let look = |sender| dedup.look_up(&Key { conversation: &conversation, sender, message_id }, slot);
    assert_eq!(look(0), Lookup::Known(row(1), Ticket(1)));
    assert_eq!(look(1), Lookup::New);
}

/// Proves: G-DEDUP-3 (an id that was forgotten is never accepted a second time)
/// Seen to fail when: `raise_floor` takes a lower day.
#[test]
fn a_floor_never_falls() {
    let boot = BootState { floors: vec![(Slot::new(3).unwrap(), 100, Wall(5))], ..BootState::default() };
    let mut dedup = Dedup::new(7, Wall(0), &boot);
    let slot = Slot::new(3).unwrap();
    assert!(!dedup.raise_floor(slot, 99));
    assert_eq!(dedup.floor_day(slot), 100);
    assert!(dedup.raise_floor(slot, 101));
    assert!(!dedup.raise_floor(slot, 101));
}

/// Proves: G-DEDUP-1 (known ids are kept inside the window)
/// Seen to fail when: `forget_days_below` forgets the day itself.
#[test]
fn rows_are_counted_by_day_and_leave_with_their_day() {
    let day = 86_400_000;
    let mut dedup =
        Dedup::new(7, Wall(10 * 86_400_000), &BootState { dedup_rows: 5, ..BootState::default() });
    let conversation = conversation(1);
    for number in 0..3 {
        let key = Key { conversation: &conversation, sender: 0, message_id: id(12 * day, number) };
        dedup.remember(&key, row(number + 1), Ticket(number + 1));
    }
    assert_eq!(dedup.rows(), 8);
    dedup.forget_days_below(11);
    assert_eq!(dedup.rows(), 3);
    dedup.forget_days_below(12);
    assert_eq!(dedup.rows(), 3);
    dedup.forget_days_below(13);
    assert_eq!(dedup.rows(), 0);
}
