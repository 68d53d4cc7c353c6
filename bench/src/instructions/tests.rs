//! What is made of profiles.
#![cfg(test)]

use super::*;

fn load(messages: u64, instructions: u64, allocations: &[(&str, u64)]) -> Load {
    let allocations = allocations.iter().map(|(site, count)| ((*site).to_owned(), *count)).collect();
    let works = Works { core: Work { instructions, allocations }, ..Works::default() };
    Load { messages, delivery_p50_us: 2_000.0, works }
}

/// A start of 1,000,000 instructions and a box for each of 40 ticks, and `each` instructions and three allocations a message.
fn round(each: u64) -> Round {
    let load = |messages: u64| {
        load(
            messages,
            1_000_000 + each * messages,
            &[("tick", 40), ("push", messages * 2), ("seal", messages)],
        )
    };
    Round { slow: load(50), fast: load(450) }
}

/// What does not depend on the number of messages cancels, in the figures and in the list of places.
/// Seen to fail when: the slow load is not subtracted.
#[test]
fn what_both_loads_have_in_common_cancels() {
    let mut report = Report::default();
    describe(&[round(30_000), round(30_300), round(29_900)], &mut report);
    assert_eq!(report.value("server.instructions_per_message"), Some(30_000.0));
    assert_eq!(report.value("server.instructions_spread"), Some(400.0));
    assert_eq!(report.value("server.allocations_per_message"), Some(3.0));
    assert_eq!(report.value("server.allocations_spread"), Some(0.0));
    let sites: Vec<_> = report.rows().filter(|(key, _)| key.contains("site")).collect();
    let expected = [
        ("server.allocation_site.01", "2.000 push".to_owned()),
        ("server.allocation_site.02", "1.000 seal".to_owned()),
    ];
    assert_eq!(sites, expected);
}

/// The median of an even number lies between the two in the middle, whatever their order.
/// Seen to fail when: the figures are not sorted.
#[test]
fn the_median_is_in_the_middle() {
    assert_eq!(middle(vec![4.0, 1.0, 3.0, 2.0]), (2.5, 3.0));
    assert_eq!(middle(vec![9.0, 1.0, 2.0]), (2.0, 8.0));
    assert_eq!(middle(Vec::new()), (0.0, 0.0));
}
