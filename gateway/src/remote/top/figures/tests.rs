//! What is counted, and how it is written.

use super::{Figure, Figures, Row, Unit, written};
use serde_json::json;

fn figures(shard: u64, rising: u64) -> Figures {
    Figures::of(&json!({
        "shard": shard, "connections": 12, "unauthenticated": 2, "accepted": rising, "records": rising / 10,
        "record_write_us": rising * 50, "refused_banned": rising, "handshakes_refused": rising, "cpu_us": rising,
    }))
}

/// Seen to fail when: `Row::since` does not divide by the seconds.
#[test]
fn a_rate_is_what_a_counter_rose_by_in_a_second() {
    let row = Row::since(&figures(0, 1000), figures(0, 2000), 2.0);
    assert_eq!(row.value(Figure::Messages), Some(500.0));
    assert_eq!(row.value(Figure::Connections), Some(12.0));
    assert_eq!(row.value(Figure::Sessions), Some(10.0));
    assert_eq!(row.value(Figure::Sync), Some(500.0));
    assert_eq!(row.value(Figure::Reset), Some(1000.0));
    assert_eq!(row.value(Figure::Cpu), Some(500.0));
}

/// Seen to fail when: `Row::value` takes a figure that is not told as 0.
#[test]
fn what_is_not_told_is_not_shown_as_nothing() {
    let first = Row::first(figures(0, 1000));
    assert_eq!((first.value(Figure::Messages), first.value(Figure::Sessions)), (None, Some(10.0)));
    let row = Row::since(&figures(0, 1000), figures(0, 1000), 1.0);
    assert_eq!((row.value(Figure::Messages), row.value(Figure::Sync)), (Some(0.0), None));
    assert_eq!((row.value(Figure::Delivered), row.text(Figure::Delivered, 7)), (None, "-".to_owned()));
}

/// Seen to fail when: `Row::total` has the rises of its last core.
#[test]
fn the_host_is_the_sum_of_its_cores_and_the_mean_of_their_records() {
    let rows = [
        Row::since(&figures(0, 0), figures(0, 1000), 1.0),
        Row::since(&figures(1, 0), figures(1, 3000), 1.0),
        Row::first(figures(2, 9000)),
    ];
    let total = Row::total(&rows);
    assert_eq!(total.value(Figure::Connections), Some(36.0));
    assert_eq!(total.value(Figure::Messages), Some(4000.0));
    assert_eq!(total.value(Figure::Sync), Some(500.0));
    assert_eq!(Row::total(&rows[2..]).value(Figure::Messages), None);
}

/// Seen to fail when: `fell_since` does not look at the means.
#[test]
fn a_counter_that_fell_is_noticed_and_a_level_that_fell_is_not() {
    let before = figures(0, 1000);
    assert!(figures(0, 999).fell_since(&before) && !figures(0, 1000).fell_since(&before));
    let told = |spent: u64, connections: u64| {
        Figures::of(&json!({ "shard": 0, "record_write_us": spent, "connections": connections }))
    };
    assert!(told(4, 7).fell_since(&told(5, 7)) && !told(5, 6).fell_since(&told(5, 7)));
}

/// Seen to fail when: `scaled` goes on to the next unit at 1,024 of one.
#[test]
fn figures_are_written_in_few_columns() {
    let cases = [
        (Unit::Number, 0.0, "0"),
        (Unit::Number, 123_456.0, "123,456"),
        (Unit::Number, 1_234_567.0, "1.2M"),
        (Unit::Rate, 0.0, "0"),
        (Unit::Rate, 0.25, "0.2"),
        (Unit::Rate, 9.9, "9.9"),
        (Unit::Rate, 9.96, "10"),
        (Unit::Rate, 12_345.4, "12,345"),
        (Unit::Rate, 999_999.7, "1.0M"),
        (Unit::Bytes, 999.0, "999 B"),
        (Unit::Bytes, 1000.0, "1.0 KiB"),
        (Unit::Bytes, 1023.0 * 1024.0, "1.0 MiB"),
        (Unit::Bytes, 20.0 * 1024.0 * 1024.0, "20 MiB"),
        (Unit::Milliseconds, 47.0, "0.05 ms"),
        (Unit::Milliseconds, 12_300.0, "12 ms"),
        (Unit::Milliseconds, 2_500_000.0, "2.5 s"),
        (Unit::Share, 1_370_000.0, "137 %"),
    ];
    for (unit, value, expected) in cases {
        assert_eq!(written(unit, value, 7), expected, "{unit:?} {value}");
        assert!(expected.len() <= 7);
    }
}
