//! What a report holds.
#![cfg(test)]

use super::*;

/// A ratio needs both sides, and a floor of zero gives none.
/// Seen to fail when: the check for zero is dropped.
#[test]
fn a_ratio_to_nothing_is_not_reported() {
    let mut report = Report::new("latency");
    report.number("delivery.p50_us", 120.0);
    report.number("floor.echo.p50_us", 40.0);
    report.number("floor.routed.p50_us", 0.0);
    report.ratio("ratio.delivery_p50_echo", "delivery.p50_us", "floor.echo.p50_us");
    report.ratio("ratio.delivery_p50", "delivery.p50_us", "floor.routed.p50_us");
    report.ratio("ratio.cpu", "server.cpu_us_per_message", "floor.message.cpu_us");
    assert_eq!(report.value("ratio.delivery_p50_echo"), Some(3.0));
    assert_eq!(report.value("ratio.delivery_p50"), None);
    assert_eq!(report.value("ratio.cpu"), None);
}

/// JSON has flat keys with plain numbers.
/// Seen to fail when: numbers are written as texts.
#[test]
fn json_is_flat() {
    let mut report = Report::new("floor echo");
    report.summary("floor.echo", Summary { p50_us: 41.2345, p99_us: 90.0, p999_us: 120.0, max_us: 500.5 });
    report.count("sent", 7);
    report.flag("held", true);
    let parsed: Value = serde_json::from_str(&report.json()).unwrap();
    assert_eq!(parsed["floor.echo.p50_us"], Value::from(41.235));
    assert_eq!(parsed["sent"], Value::from(7));
    assert_eq!(parsed["held"], Value::from(true));
    assert_eq!(parsed["command"], Value::from("floor echo"));
}

/// The same key twice is our own mistake.
/// Seen to fail when: the assertion of `put` is dropped.
#[test]
#[should_panic(expected = "put twice")]
fn a_key_is_written_once() {
    let mut report = Report::new("floor");
    report.count("sent", 1);
    report.count("sent", 2);
}
