use super::recorder::{FLIGHTS_MAX, LEAVING_MAX, SLOW_MAX};
use super::{Flight, Recorder, Spent, Stage, Way};
use iris_protocol::{MessageId, Mono};
use iris_reactor::Conn;
use iris_shard::io::{LoadId, Ticket};

const ALICE: u64 = 1;
const BOB: u64 = 2;

fn us(us: u64) -> Mono {
    Mono(us * 1_000)
}

fn id(number: u64) -> MessageId {
    let mut bytes = [0; 16];
    bytes[8..].copy_from_slice(&number.to_be_bytes());
    (bytes[6], bytes[8]) = (0x70, 0x80);
    MessageId::parse(&bytes).unwrap()
}

fn conn(bits: u64) -> Conn {
    Conn::from_bits(bits)
}

/// A message that is received at `start` and delivered after `total` microseconds, all of them spent on the way into the kernel.
fn deliver(recorder: &mut Recorder, number: u64, start: u64, total: u64) {
    recorder.follow_through_tick(id(number), Flight::begin(us(start)));
    recorder.leave(conn(BOB), &id(number), Way::Delivered, us(start));
    recorder.sent(conn(BOB), us(start + total));
    recorder.end_tick();
}

fn kept(recorder: &Recorder) -> Vec<(MessageId, u32)> {
    recorder.slow().map(|slow| (slow.message_id, slow.total_us)).collect()
}

fn last_kept(recorder: &Recorder) -> MessageId {
    recorder.slow().last().unwrap().message_id
}

/// Proves: G-ADMIN-5 (each stage has the time that was spent on it, on three cores, and they add up to the whole)
/// Seen to fail when: `Flight::pass` leaves `at_us` as it was.
#[test]
fn a_flight_over_three_cores_has_each_stage_with_its_time() {
    let (mut sender, mut owner, mut home) = (Recorder::new(), Recorder::new(), Recorder::new());
    let mut flight = Flight::begin(us(100));
    flight.pass(Stage::Receive, us(103));
    flight.pass(Stage::Decode, us(105));
    sender.follow(id(1), flight);
    let mut flight = sender.hand_on(&id(1), us(110)).unwrap();
    flight.pass(Stage::Mail, us(130));
    owner.follow(id(1), flight);
    owner.gather(Ticket(7), id(1), us(137));
    owner.end_tick();
    owner.stored(Ticket(7), us(150), us(350));
    let mut flight = owner.copy(&id(1), us(351)).unwrap();
    flight.pass(Stage::Mail, us(400));
    home.follow_through_tick(id(1), flight);
    home.leave(conn(BOB), &id(1), Way::Delivered, us(402));
    home.end_tick();
    home.sent(conn(ALICE), us(410));
    home.sent(conn(BOB), us(420));
    let slow: Vec<_> = home.slow().cloned().collect();
    let [slow] = slow.as_slice() else { panic!("{slow:?}") };
    assert_eq!(slow.spent_us, [3, 2, 20 + 49, 5 + 7, 13, 200, 1 + 2, 18]);
    assert_eq!((slow.total_us, slow.spent_us.iter().sum::<u32>()), (320, 320));
    assert_eq!((slow.way, slow.conn), (Way::Delivered, conn(BOB)));
}

/// Proves: G-ADMIN-5 (the line follows the last ten seconds: a message is slow by what was usual before it)
/// Seen to fail when: `Line::judge` compares with the 50th percentile, and when `Line::roll` does not reset its histogram.
#[test]
fn the_line_moves_with_what_is_usual() {
    let mut recorder = Recorder::new();
    for number in 0..10_000 {
        deliver(&mut recorder, number, 0, 100 + number % 10);
    }
    deliver(&mut recorder, 10_000, 11_000_000, 100);
    deliver(&mut recorder, 10_001, 11_000_000, 108);
    assert_ne!(last_kept(&recorder), id(10_001), "as fast as the others");
    deliver(&mut recorder, 10_002, 11_000_000, 150);
    assert_eq!(last_kept(&recorder), id(10_002));
    // An hour in which everything is ten times slower moves it.
    for number in 20_000..30_000 {
        deliver(&mut recorder, number, 30_000_000, 1_000);
    }
    deliver(&mut recorder, 30_000, 50_000_000, 1_000);
    deliver(&mut recorder, 30_001, 50_000_000, 900);
    assert_ne!(last_kept(&recorder), id(30_001), "usual by now");
    assert_eq!(recorder.summary(Way::Delivered).p50_us / 10, 100);
}

/// Proves: G-ADMIN-5 (a recorder is bounded: by messages that are refused and never end, by sends that nobody takes, by slow messages)
/// Seen to fail when: `forget_old` drains nothing, when `leave` does not look at the number, when `closed` removes nothing, and when
/// `keep` pops nothing.
#[test]
fn a_recorder_is_bounded_and_goes_on() {
    let mut recorder = Recorder::new();
    for number in 0..3 * FLIGHTS_MAX as u64 {
        recorder.follow(id(number), Flight::begin(us(number)));
        recorder.end_tick();
        assert!(recorder.followed() <= FLIGHTS_MAX);
    }
    // The kernel takes nothing of these, until they are hung up on.
    let stuck: Vec<Conn> = (0..2 * LEAVING_MAX as u64).map(|number| conn(1_000 + number)).collect();
    recorder.follow_through_tick(id(50_000), Flight::begin(us(0)));
    for conn in &stuck {
        recorder.leave(*conn, &id(50_000), Way::Delivered, us(0));
    }
    assert_eq!(recorder.leaving(), LEAVING_MAX);
    for conn in stuck {
        recorder.closed(conn);
    }
    assert_eq!((recorder.leaving(), kept(&recorder)), (0, Vec::new()));
    for number in 100_000..100_000 + 2 * SLOW_MAX as u64 {
        deliver(&mut recorder, number, 0, number);
    }
    assert_eq!(kept(&recorder).len(), SLOW_MAX);
    assert_eq!(last_kept(&recorder), id(100_000 + 2 * SLOW_MAX as u64 - 1));
}

/// Proves: G-ADMIN-5 (a message that waits in an inbox is not followed: the time of its device is not the gateway's)
/// Seen to fail when: `end_tick` removes nothing.
#[test]
fn what_stays_in_an_inbox_is_over_at_the_end_of_the_tick() {
    let mut recorder = Recorder::new();
    recorder.follow_through_tick(id(1), Flight::begin(us(0)));
    recorder.end_tick();
    recorder.leave(conn(BOB), &id(1), Way::Delivered, us(9_000_000));
    recorder.sent(conn(BOB), us(9_000_001));
    assert_eq!(kept(&recorder), []);
    assert_eq!(recorder.followed(), 0);
}

/// Proves: G-ADMIN-5 (a message that waits for the tables, twice, or for a record, is followed, and its wait counts; then it is over)
/// Seen to fail when: `end_tick` does not look at `asked`.
#[test]
fn a_question_to_the_tables_is_part_of_the_way() {
    let mut recorder = Recorder::new();
    recorder.ask(LoadId(1));
    recorder.end_tick();
    recorder.follow_through_tick(id(1), Flight::begin(us(0)));
    recorder.end_tick();
    recorder.end_tick();
    recorder.answered(LoadId(1));
    recorder.ask(LoadId(2));
    recorder.end_tick();
    recorder.answered(LoadId(2));
    recorder.append(Ticket(1));
    recorder.end_tick();
    recorder.stored(Ticket(1), us(2_000), us(2_900));
    recorder.leave(conn(BOB), &id(1), Way::Delivered, us(3_000));
    recorder.end_tick();
    assert_eq!(recorder.followed(), 0);
    recorder.sent(conn(BOB), us(3_010));
    assert_eq!(kept(&recorder), [(id(1), 3_010)]);
}

/// Proves: G-ADMIN-5 (frames that leave in one send are all timed)
/// Seen to fail when: `sent` does not go on with `joined`.
#[test]
fn frames_of_one_send_are_all_timed() {
    let mut recorder = Recorder::new();
    for number in 1..=3 {
        recorder.follow(id(number), Flight::begin(us(number)));
        recorder.leave(conn(BOB), &id(number), Way::Delivered, us(10));
    }
    recorder.sent(conn(BOB), us(100));
    let mut all = kept(&recorder);
    all.sort_by_key(|(_, total_us)| *total_us);
    assert_eq!(all, [(id(3), 97), (id(2), 98), (id(1), 99)]);
}

/// Proves: G-ADMIN-5 (a retry while the first copy is on its way is timed from the first copy)
/// Seen to fail when: `Recorder::follow` inserts always.
#[test]
fn a_retry_is_timed_from_the_first_copy() {
    let mut recorder = Recorder::new();
    recorder.follow(id(1), Flight::begin(us(0)));
    recorder.follow(id(1), Flight::begin(us(500)));
    recorder.leave(conn(ALICE), &id(1), Way::Accepted, us(700));
    recorder.sent(conn(ALICE), us(701));
    let spent: Vec<Spent> = recorder.slow().map(|slow| slow.spent_us).collect();
    assert_eq!(spent, [[0, 0, 0, 0, 0, 0, 700, 1]]);
}
