use super::*;

/// Seen to fail when: `receive` starts at core 0 each time.
#[test]
fn receiving_takes_one_from_each_core_in_turn() {
    let mut posts = mesh::<u32>(3, 8);
    for mail in 0..4 {
        posts[1].send(0, 10 + mail).expect("room");
        posts[2].send(0, 20 + mail).expect("room");
    }
    let first: Vec<(usize, u32)> = posts[0].receive(3).collect();
    let second: Vec<(usize, u32)> = posts[0].receive(10).collect();
    assert_eq!(first, [(1, 10), (2, 20), (1, 11)]);
    assert_eq!(second, [(2, 21), (1, 12), (2, 22), (1, 13), (2, 23)]);
}

/// Proves: G-MAIL-1 (a full ring of a pair refuses and gives the mail back)
/// Seen to fail when: `send` uses `force_push`.
#[test]
fn a_full_queue_gives_the_mail_back_and_no_other_pair_notices() {
    let mut posts = mesh::<u32>(3, 2);
    posts[0].send(1, 1).expect("room");
    posts[0].send(1, 2).expect("room");
    assert_eq!(posts[0].free(1), 0);
    assert_eq!(posts[0].send(1, 3), Err(3));
    assert_eq!(posts[0].send(2, 4), Ok(()));
    assert_eq!(posts[1].receive(9).collect::<Vec<_>>(), [(0, 1), (0, 2)]);
    assert_eq!(posts[0].send(1, 3), Ok(()));
}

/// Seen to fail when: `send` does not note whom to wake.
#[test]
fn only_a_core_that_said_it_sleeps_is_woken_and_only_once() {
    let mut posts = mesh::<u32>(2, 8);
    posts[0].send(1, 1).expect("room");
    assert_eq!(posts[0].take_wakes().count(), 0, "it is awake");
    assert!(!posts[1].before_sleep(), "mail is here");
    assert_eq!(posts[1].receive(9).count(), 1);
    assert!(posts[1].before_sleep());
    posts[0].send(1, 2).expect("room");
    posts[0].send(1, 3).expect("room");
    assert_eq!(posts[0].take_wakes().collect::<Vec<_>>(), [1]);
    assert_eq!(posts[0].take_wakes().count(), 0);
    posts[1].after_sleep();
    posts[0].send(1, 4).expect("room");
    assert_eq!(posts[0].take_wakes().count(), 0, "it is awake again");
}

/// Seen to fail when: `receive` forgets `left`.
#[test]
fn receiving_stops_at_its_allowance() {
    let mut posts = mesh::<u32>(2, 8);
    for mail in 0..8 {
        posts[0].send(1, mail).expect("room");
    }
    assert_eq!(posts[1].receive(5).map(|(_, mail)| mail).collect::<Vec<_>>(), [0, 1, 2, 3, 4]);
    assert!(posts[1].has_mail());
}
