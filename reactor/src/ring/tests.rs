use super::*;

fn nop(number: u32) -> squeue::Entry {
    opcode::Nop::new().build().user_data(Tag::new(Kind::Ignored, number, 0).bits())
}

/// What could not be submitted when it was pushed follows later, in order, and what is linked stays together.
/// Seen to fail when: `refill` fills the queue whatever is linked (a chain that is cut in two runs as two), or `enter`
/// does not refill.
#[test]
fn the_backlog_follows_in_order_and_keeps_chains_whole() {
    let config = Config { submissions: 8, completions: 64, descriptors_per_ring: 8, ..Config::default() };
    let mut ring = Ring::new(&config, 0).expect("a ring");
    // Chains of three whose first fails: the others are cancelled only if they went along.
    let mut expected = Vec::new();
    for chain in 0..6 {
        let broken =
            opcode::Close::new(Fixed(7)).build().user_data(Tag::new(Kind::Ignored, 3 * chain, 0).bits());
        let linked = squeue::Flags::IO_LINK;
        ring.backlog.extend([broken.flags(linked), nop(3 * chain + 1).flags(linked), nop(3 * chain + 2)]);
        expected.extend([
            (3 * chain, -libc::EBADF),
            (3 * chain + 1, -libc::ECANCELED),
            (3 * chain + 2, -libc::ECANCELED),
        ]);
    }
    // SAFETY: the entry points to nothing.
    unsafe { ring.push(nop(18)) };
    expected.push((18, 0));
    let (mut counters, mut taken) = (Counters::default(), Vec::new());
    while taken.len() < expected.len() {
        assert!(counters.enters < 100, "{} of {} are done", taken.len(), expected.len());
        ring.enter(Limit::After(Duration::from_millis(100)), &mut counters).expect("entered");
        ring.reap(usize::MAX, &mut taken);
    }
    let mut results: Vec<_> = taken.iter().map(|done| (done.tag.index(), done.result)).collect();
    results.sort_unstable();
    assert_eq!(results, expected);
    let place = |number| taken.iter().position(|done| done.tag.index() == number);
    assert!((0..5).all(|chain| place(3 * chain) < place(3 * chain + 3)), "out of order");
    assert!(place(15) < place(18), "what was pushed later went first");
}
