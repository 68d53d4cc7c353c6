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
/// Seen to fail when: `forget_oldest` does not raise the horizon, or does not feed the filter; `trim` lets one more leave, or one less;
/// or it does not look at what is filled.
#[test]
fn an_id_that_left_memory_is_asked_for_and_a_new_one_is_not() {
    const KEPT: u64 = 1000;
    let mut dedup = Dedup::new(1000, 7, Wall(0), &BootState::default());
    let conversation = conversation(1);
    let slot = conversation.slot();
    let count = 2 * KEPT;
    let filled = Ticket(1500);
    let mut forgotten = 0;
    for number in 0..count {
        let key = Key { conversation: &conversation, sender: 0, message_id: id(1000 + number, number) };
        dedup.remember(&key, row(number + 1), Ticket(number + 1));
        forgotten += dedup.trim(|ticket| number >= filled.0 && ticket <= filled);
        assert!(number >= filled.0 || forgotten == 0, "{number}: the tables do not hold it");
    }
    assert_eq!(forgotten, 1000, "two for each of the 500 that came once the tables held anything");
    assert_eq!(dedup.trim(|ticket| ticket <= filled), 0, "no more than are kept");
    let look = |message_id| dedup.look_up(&Key { conversation: &conversation, sender: 0, message_id }, slot);
    let first = count - KEPT;
    for number in 0..first {
        assert_eq!(look(id(1000 + number, number)), Lookup::Ask, "{number} was forgotten");
    }
    assert_eq!(look(id(1000 + first, first)), Lookup::Known(row(first + 1), Ticket(first + 1)));
    assert_eq!(look(id(1000 + count, count)), Lookup::New);
    let unknown = (0..1000).filter(|number| look(id(1000 + number, 1 << 40 | number)) == Lookup::New).count();
    assert!(unknown > 950, "the filter answers for {unknown} of 1000 unknown ids only");
}

/// Proves: G-DEDUP-1 (a retry has one effect)
/// The index grows while its first entry is not the first that ever was.
/// Seen to fail when: `remember` looks for entries to be moved at `position + first`.
#[test]
fn ids_are_found_after_the_index_has_grown_behind_what_left_memory() {
    let mut dedup = Dedup::new(100_000, 7, Wall(0), &BootState::default());
    let conversation = conversation(1);
    let slot = conversation.slot();
    let key = |number| Key { conversation: &conversation, sender: 0, message_id: id(1000 + number, number) };
    for number in 0..10_000 {
        dedup.remember(&key(number), row(number + 1), Ticket(number + 1));
        if (5..10).contains(&number) {
            dedup.forget_oldest();
        }
    }
    for number in 5..10_000 {
        let expected = Lookup::Known(row(number + 1), Ticket(number + 1));
        assert_eq!(dedup.look_up(&key(number), slot), expected, "{number}");
    }
}

/// Proves: G-DEDUP-1 (a retry has one effect)
/// Seen to fail when: `filter_add` does not count, or does not raise `asks_through`.
#[test]
fn a_full_filter_is_emptied_and_the_tables_are_asked_for_what_it_knew() {
    let mut dedup = Dedup::new(100_000, 7, Wall(0), &BootState::default());
    let conversation = conversation(1);
    let slot = conversation.slot();
    let known = id(5000, 1);
    dedup.remember(&Key { conversation: &conversation, sender: 0, message_id: known }, row(1), Ticket(1));
    dedup.forget_oldest();
    let look = |dedup: &Dedup, message_id| {
        dedup.look_up(&Key { conversation: &conversation, sender: 0, message_id }, slot)
    };
    dedup.filter_ids = FILTER_IDS_MAX - 1;
    dedup.filter_add(1);
    assert_eq!((look(&dedup, known), look(&dedup, id(4000, 2))), (Lookup::Ask, Lookup::New));
    dedup.filter_add(2);
    assert_eq!(dedup.filter_ids, 1, "it was full");
    assert_eq!((look(&dedup, known), look(&dedup, id(4000, 2))), (Lookup::Ask, Lookup::Ask));
    assert_eq!(look(&dedup, id(5001, 3)), Lookup::New);
}

/// Seen to fail when: the rows, the index or the filter are left out of `bytes`.
#[test]
fn the_memory_of_ids_is_counted() {
    let mut dedup = Dedup::new(100_000, 7, Wall(0), &BootState::default());
    let conversation = conversation(1);
    let empty = to_u64(usize::from(SLOTS) * size_of::<SlotState>());
    assert_eq!(dedup.bytes(), empty);
    for number in 0..1000 {
        let key = Key { conversation: &conversation, sender: 0, message_id: id(1000, number) };
        dedup.remember(&key, row(number + 1), Ticket(number + 1));
    }
    let rows = 1000 * to_u64(size_of::<Remembered>());
    let index = dedup.bytes() - empty - rows;
    assert!((9_000..40_000).contains(&index), "{index} B for 1000 places and a byte each");
    let before = dedup.bytes();
    dedup.filter_add(1);
    assert_eq!(dedup.bytes() - before, FILTER_BITS / 8);
}

/// Proves: G-DEDUP-1 (a retry has one effect)
/// Seen to fail when: the sender is left out of the comparison.
#[test]
fn the_same_id_of_the_other_member_is_another_key() {
    let mut dedup = Dedup::new(100_000, 7, Wall(0), &BootState::default());
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
    let mut dedup = Dedup::new(100_000, 7, Wall(0), &boot);
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
        Dedup::new(100_000, 7, Wall(10 * 86_400_000), &BootState { dedup_rows: 5, ..BootState::default() });
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
