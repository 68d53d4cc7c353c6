//! Answers and keys in, rows out.

use super::{Flow, Health, Input, Key, Look, Watch};
use crate::remote::top::figures::{Figure, Figures};
use iris_protocol::Mono;
use serde_json::json;
use std::time::Duration;

const EVERY: Duration = Duration::from_secs(1);

fn at(ms: u64) -> Mono {
    Mono(ms * 1_000_000)
}

/// An answer with a core for each of these counts of accepted messages.
fn look(accepted: &[u64]) -> Look {
    let core = |(shard, accepted): (usize, &u64)| {
        Figures::of(
            &json!({ "shard": shard, "connections": 10 * shard, "unauthenticated": 0, "accepted": accepted }),
        )
    };
    Look { is_ready: true, checks: Vec::new(), shards: accepted.iter().enumerate().map(core).collect() }
}

fn watch(accepted: &[u64]) -> Watch {
    let mut watch = Watch::new("http://here".into(), EVERY, look(accepted), at(0));
    watch.fit(100);
    watch
}

fn messages(watch: &Watch) -> Vec<Option<f64>> {
    watch.rows().1.iter().map(|row| row.value(Figure::Messages)).collect()
}

fn shards(watch: &Watch) -> Vec<f64> {
    watch.rows().1.iter().filter_map(|row| row.value(Figure::Shard)).collect()
}

fn press(watch: &mut Watch, keys: &[Key]) {
    for key in keys {
        assert_eq!(watch.handle(at(0), Input::Key(*key)), Flow::Stay);
    }
}

/// Seen to fail when: `looked` keeps the time of the first answer.
#[test]
fn rates_are_counted_from_one_answer_to_the_next() {
    let mut watch = watch(&[100, 1000]);
    assert_eq!(messages(&watch), [None, None]);
    watch.handle(at(2000), Input::Looked(look(&[300, 1000])));
    assert_eq!(messages(&watch), [Some(100.0), Some(0.0)]);
    watch.handle(at(2500), Input::Looked(look(&[400, 1001])));
    assert_eq!(messages(&watch), [Some(200.0), Some(2.0)]);
    assert_eq!(watch.total().value(Figure::Messages), Some(202.0));
    assert_eq!(watch.history().collect::<Vec<_>>(), [202.0, 100.0]);
}

/// Seen to fail when: `looked` counts on although a counter fell.
#[test]
fn a_restart_begins_another_count_and_is_told() {
    let mut watch = watch(&[100, 1000]);
    watch.handle(at(1000), Input::Looked(look(&[5000, 3])));
    assert_eq!(messages(&watch), [None, None], "a count over a restart");
    assert_eq!(watch.health(at(1000)), Health::Ready { restarted_s: Some(0) });
    watch.handle(at(2000), Input::Looked(look(&[5007, 3])));
    assert_eq!(messages(&watch), [Some(7.0), Some(0.0)]);
    assert_eq!(watch.health(at(4000)), Health::Ready { restarted_s: Some(3) });
    watch.handle(at(70_000), Input::Looked(look(&[5007, 3])));
    assert_eq!(watch.health(at(70_000)), Health::Ready { restarted_s: None });
}

/// Seen to fail when: `looked` does not compare the number of cores.
#[test]
fn another_number_of_cores_begins_another_count() {
    let mut watch = watch(&[0, 0]);
    watch.handle(at(1000), Input::Looked(look(&[])));
    assert_eq!((watch.rows_len(), watch.total().value(Figure::Messages)), (0, None));
    watch.handle(at(2000), Input::Looked(look(&[100, 100, 100])));
    assert_eq!(messages(&watch), [None, None, None]);
    watch.handle(at(3000), Input::Looked(look(&[100, 101, 100])));
    assert_eq!(messages(&watch), [Some(0.0), Some(1.0), Some(0.0)]);
}

/// Seen to fail when: `looked` does not ask whether an answer failed meanwhile.
#[test]
fn a_gateway_that_was_lost_keeps_its_rows_and_begins_another_count() {
    let mut watch = watch(&[100]);
    watch.handle(at(1000), Input::Looked(look(&[200])));
    watch.handle(at(2000), Input::Failed("connection refused".into()));
    let silent = Health::Silent { seconds: 4, why: "connection refused".into() };
    assert_eq!(watch.health(at(5000)), silent);
    assert_eq!(messages(&watch), [Some(100.0)], "the last figures stay");
    // It may be another process, which counted further meanwhile.
    watch.handle(at(6000), Input::Looked(look(&[9000])));
    assert_eq!((messages(&watch), watch.health(at(6000))), (vec![None], Health::Ready { restarted_s: None }));
    watch.handle(at(7000), Input::Looked(look(&[9001])));
    assert_eq!(messages(&watch), [Some(1.0)]);
}

/// Seen to fail when: `health` waits for a failure that is told.
#[test]
fn an_answer_that_is_late_is_told_before_it_is_given_up() {
    let watch = watch(&[100]);
    assert_eq!(watch.health(at(3000)), Health::Ready { restarted_s: None });
    assert_eq!(watch.health(at(3001)), Health::Silent { seconds: 3, why: "still waiting".into() });
}

/// Seen to fail when: `health` tells the checks that are met.
#[test]
fn a_gateway_that_is_not_ready_says_why() {
    let checks = ["started: ok", "serving: the gateway drains", "storage: ok", "not ready"];
    let checks = checks.map(str::to_owned).to_vec();
    let mut watch = watch(&[100]);
    watch.handle(at(1000), Input::Looked(Look { is_ready: false, checks, ..look(&[100]) }));
    assert_eq!(watch.health(at(1000)), Health::NotReady("serving: the gateway drains".into()));
}

/// Seen to fail when: `looked` shows the rows although it is paused.
#[test]
fn a_pause_keeps_what_is_shown_and_counts_on_behind_it() {
    let mut watch = watch(&[0]);
    watch.handle(at(1000), Input::Looked(look(&[10])));
    press(&mut watch, &[Key::Pause]);
    watch.handle(at(2000), Input::Looked(look(&[30])));
    assert_eq!((messages(&watch), watch.history().count()), (vec![Some(10.0)], 1));
    assert!(matches!(watch.health(at(9000)), Health::Silent { .. }));
    press(&mut watch, &[Key::Pause]);
    assert_eq!(messages(&watch), [Some(10.0)]);
    watch.handle(at(3000), Input::Looked(look(&[35])));
    assert_eq!(messages(&watch), [Some(5.0)]);
}

/// Seen to fail when: `sort_rows` puts what is not known in front; or does not look at `is_falling`.
#[test]
fn rows_are_sorted_by_the_column_that_keys_choose() {
    let mut watch = watch(&[0, 0, 0]);
    watch.handle(at(1000), Input::Looked(look(&[5, 9, 5])));
    assert_eq!(shards(&watch), [0.0, 1.0, 2.0]);
    press(&mut watch, &[Key::Right]);
    assert_eq!((watch.sort.figure, shards(&watch)), (Figure::Connections, vec![2.0, 1.0, 0.0]));
    press(&mut watch, &[Key::Right, Key::Right]);
    assert_eq!((watch.sort.figure, shards(&watch)), (Figure::Messages, vec![1.0, 0.0, 2.0]));
    press(&mut watch, &[Key::Reverse]);
    assert_eq!(shards(&watch), [0.0, 2.0, 1.0]);
    watch.handle(at(2000), Input::Looked(look(&[9, 9, 5])));
    assert_eq!(shards(&watch), [1.0, 2.0, 0.0], "it stays sorted");
    press(&mut watch, &[Key::Left, Key::Left, Key::Left]);
    assert_eq!((watch.sort.figure, shards(&watch)), (Figure::Shard, vec![0.0, 1.0, 2.0]));
    press(&mut watch, &[Key::Left]);
    assert_eq!(watch.sort.figure, *Figure::COLUMNS.last().unwrap());
    let mut some = look(&[3, 4]);
    some.shards[0] = Figures::of(&json!({ "shard": 0 }));
    let mut watch = Watch::new("http://here".into(), EVERY, some, at(0));
    watch.fit(100);
    press(&mut watch, &[Key::Right, Key::Reverse]);
    assert_eq!(shards(&watch), [1.0, 0.0], "what is not known is the last");
}

/// Seen to fail when: `fit` does not hold the last page full.
#[test]
fn keys_show_every_row_and_none_beyond() {
    let mut watch = watch(&[0; 10]);
    watch.fit(4);
    let places = |watch: &Watch| (watch.rows().0, watch.rows().1.len());
    press(&mut watch, &[Key::PageDown, Key::Down]);
    assert_eq!(places(&watch), (5, 4));
    press(&mut watch, &[Key::PageDown, Key::PageDown, Key::Down]);
    assert_eq!(places(&watch), (6, 4));
    press(&mut watch, &[Key::Up]);
    assert_eq!(places(&watch), (5, 4));
    press(&mut watch, &[Key::Home, Key::Up]);
    assert_eq!(places(&watch), (0, 4));
    press(&mut watch, &[Key::End]);
    assert_eq!(places(&watch), (6, 4));
    watch.fit(100);
    assert_eq!(places(&watch), (0, 10));
}

/// Seen to fail when: `handle` does not know `Key::Leave`.
#[test]
fn who_wants_to_leave_leaves() {
    assert_eq!(watch(&[0]).handle(at(0), Input::Key(Key::Leave)), Flow::Leave);
}

/// Seen to fail when: nothing is taken from the front of the history.
#[test]
fn the_history_has_an_end() {
    let mut watch = watch(&[0]);
    for number in 1..2000 {
        watch.handle(at(1000 * number), Input::Looked(look(&[number])));
    }
    assert_eq!(watch.history().count(), super::HISTORY_MAX);
}
