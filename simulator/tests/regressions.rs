//! Histories that broke a claim once, each under the name of the bug that it found.
//!
//! A seed is a history of this simulator as it is: when the simulator changes, it is another one, and the seeds below are chosen
//! anew (`iris-judge` names the one that notices a mutant). The rule that was broken has a test of its own beside the code.
#![cfg(test)]

use iris_simulator::plan::Faults;
use iris_simulator::{Plan, run};
use std::ops::Range;

fn hold(seeds: Range<u64>, plan: &Plan) {
    let mut messages = 0;
    for seed in seeds {
        let outcome = run(seed, plan);
        assert_eq!(outcome.violations, [], "{}", plan.command(seed));
        messages += outcome.messages;
    }
    assert!(messages > 0, "nothing was sent");
}

/// Proves: G-INCARNATION-1 (a rewound history is announced)
/// The host lost a log's only segment; the next process vouched for it, and the one after that refused to start.
/// Seen to fail when: a log vouches for a segment that it does not have.
#[test]
fn f_85_a_segment_that_the_host_lost_is_not_vouched_for() {
    let faults = "crash,network,device,stall,link,full,core,flip,os";
    let plan = Plan { ops: 1, users: 3, faults: Faults::parse(faults).unwrap(), ..Plan::default() };
    hold(60..90, &plan);
}

/// Proves: G-INCARNATION-1 (a rewound history is announced)
/// The host lost what an owner had, not what the home had: the next messages got known sequences, and were ignored.
/// Seen to fail when: homes are not cut after the host lost writes.
#[test]
fn f_85_a_message_after_a_rewound_start_is_not_taken_for_a_lost_one() {
    hold(3..4, &Plan::default());
}

/// Proves: G-INCARNATION-1 (a rewound history is announced)
/// The host lost an entry of an inbox, and then, a second time, what its owner had behind it: the home was made to remember the
/// entry that it never had again, and the next message named it to a device.
/// Seen to fail when: the watermark of a home that is cut falls to the owner's last, whatever the home had.
#[test]
fn f_85_a_home_does_not_claim_what_it_lost_before() {
    hold(2263..2264, &Plan { ops: 2_000, ..Plan::default() });
}

/// Proves: G-SIM-1 (a failure that was found is run again)
/// A device that was unlinked while it was away came back with its state, and was told of no gap.
/// Seen to fail when: mutant `RelinkedUntold` is on.
#[test]
fn f_85_a_device_that_was_unlinked_while_it_was_away_comes_back() {
    hold(1..2, &Plan::default());
}

/// Proves: G-SIM-1 (a failure that was found is run again)
/// A device that was connected for hours was detached as silent, because the process stopped.
/// Seen to fail when: mutant `ConnectedIsSilent` is on.
#[test]
fn f_85_a_connected_device_is_not_silent() {
    hold(5..6, &Plan::default());
}

/// Proves: G-SIM-1 (a failure that was found is run again)
/// The row that an expiry gap had replaced was back in the tables after the gap was removed.
/// Seen to fail when: mutant `RowReplaced` is on.
#[test]
fn f_85_a_row_that_expired_does_not_come_back() {
    hold(17..18, &Plan::default());
}

/// Proves: G-SIM-1 (a failure that was found is run again)
/// The last device that held entries was unlinked during a purge: another one, detached before, got rows of it, with holes.
/// Seen to fail when: mutant `UnlinkedInPurge` is on.
#[test]
fn f_85_a_purge_ends_before_the_last_device_that_holds_entries_is_unlinked() {
    hold(29..30, &Plan::default());
}

/// Proves: G-SIM-1 (a failure that was found is run again)
/// Rows that all devices had, left by a stop, counted when their user was loaded: a device was detached that was not a whole inbox
/// behind.
/// Seen to fail when: `first_judgement` detaches laggards before the purge at load.
#[test]
fn f_85_rows_that_a_stop_left_put_no_device_behind() {
    hold(773..774, &Plan { ops: 2_000, ..Plan::default() });
}

/// Proves: G-SIM-1 (a failure that was found is run again), G-DEVICE-3
/// A Hello arrived after its device had given the connection up and opened another one, which was closed with CONFLICT: the device
/// stopped for good.
/// Seen to fail when: mutant `LateHelloWins` is on.
#[test]
fn f_85_a_late_hello_stops_no_device() {
    hold(8..9, &Plan::default());
}

/// Proves: G-SIM-1 (a failure that was found is run again), G-GAP-1
/// The last device that held entries acknowledged them and was unlinked, and a detached one claimed the inbox before that was on the
/// disk: it was sent rows that were on their way out, with holes, or its acknowledgements removed them a second time, and the process
/// ended.
/// Seen to fail when: `resume` lets `is_returning` be `was_claimed`.
#[test]
fn f_85_who_claims_an_inbox_reads_nothing_that_its_last_holder_removed() {
    hold(11_933..11_934, &Plan::default());
}

/// Proves: G-SIM-1 (a failure that was found is run again), G-GAP-1, G-DEVICE-5
/// A device without any state was detached and came back; the process stopped when it had heard where its session starts, and before
/// its row said detached: it was never told of the hole.
/// Seen to fail when: mutant `ReturnNotDurable` is on.
#[test]
fn f_85_a_device_that_returns_is_told_although_the_process_stops_at_its_welcome() {
    hold(109..110, &Plan::default());
}

/// Proves: G-SIM-1 (a failure that was found is run again)
/// No bug of the shard: a detached device was back, and where it starts was on the disk; the process stopped before it was told, and
/// another device of its user, linked then, was expected to have what lies before.
/// Seen to fail when: `Progress::returned` changes nothing.
#[test]
fn f_85_what_a_return_left_behind_is_owed_to_nobody() {
    hold(7389..7390, &Plan::default());
}

/// Proves: G-SIM-1 (a failure that was found is run again)
/// No bug of the shard: a detached device was back before anything on the disk said that it was detached, and was judged by where it
/// starts: not behind at all.
/// Seen to fail when: `recorded_cursor` does not tell the inbox of a return.
#[test]
fn f_85_a_device_that_returns_was_behind_before() {
    for seed in [5109, 7389] {
        hold(seed..seed + 1, &Plan::default());
    }
}

/// Proves: G-SIM-1 (a failure that was found is run again)
/// No bug of the shard: a Hello that was never served counted as an acknowledgement of what it named, and an older one of the same device,
/// which came behind it, was sent that.
/// Seen to fail when: `Wires::logged_in` counts what a Hello names.
#[test]
fn f_85_a_hello_that_is_not_served_acknowledges_nothing() {
    for seed in [9313, 10_345] {
        hold(seed..seed + 1, &Plan::default());
    }
}

/// Proves: G-SIM-1 (a failure that was found is run again)
/// No bug of the shard: a Hello whose connection was gone before its user had been read counted as life of its device, which was
/// detached two minutes later for the silence before.
/// Seen to fail when: `Wires::ended` takes every end for life.
#[test]
fn f_85_a_hello_that_is_not_served_is_no_life() {
    hold(64_837..64_838, &Plan::default());
}

/// Proves: G-SIM-1 (a failure that was found is run again)
/// No bug of the shard: a device was linked and its connection gone before its row was durable; another one was refused for it, and the
/// place counted as free.
/// Seen to fail when: `Wires::ended` forgets who was not served.
#[test]
fn f_85_a_device_whose_row_is_on_its_way_has_a_place() {
    for seed in [51_497, 52_073, 66_745, 92_585] {
        hold(seed..seed + 1, &Plan::default());
    }
}
