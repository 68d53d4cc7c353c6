//! Reading CPU time out of /proc.
#![cfg(test)]

use super::*;

/// utime and stime are found behind a command name with blanks and parentheses.
/// Seen to fail when: `rsplit_once` becomes `split_once`.
#[test]
fn a_command_name_with_parentheses_does_not_shift_the_fields() {
    let stat = "77 (a (b) c d) S 1 2 3 0 -1 4194304 98 0 0 0 250 30 0 0 20 0 1 0 1 2 3";
    assert_eq!(process_time(stat), Some(Duration::from_millis(2_800)));
}

/// schedstat's first number is nanoseconds on a CPU.
/// Seen to fail when: the second field is taken.
#[test]
fn schedstat_starts_with_the_time_on_a_cpu() {
    assert_eq!(thread_time("1000517395 368688 6\n"), Some(Duration::from_nanos(1_000_517_395)));
    assert_eq!(thread_time(""), None);
}

/// The finer source counts, unless a thread ended: then the one that remembers it does.
/// Seen to fail when: `since` always returns `threads`.
#[test]
fn time_of_a_thread_that_ended_is_not_forgotten() {
    let at = |threads_ms, process_ms| CpuTime {
        threads: Duration::from_millis(threads_ms),
        process: Duration::from_millis(process_ms),
    };
    assert_eq!(at(1_505, 1_520).since(at(1_000, 990)), Duration::from_millis(505));
    assert_eq!(at(1_005, 1_900).since(at(1_000, 1_000)), Duration::from_millis(900));
}

/// A busy thread of this process shows up in both sources.
/// Seen to fail when: the task directory of another process is read.
#[test]
fn work_done_here_is_counted() {
    let before = CpuTime::of(std::process::id()).unwrap();
    let busy = |round: u64| (0..2_000_000).fold(round, |a: u64, b| std::hint::black_box(a ^ b));
    let used = |round| {
        std::hint::black_box(busy(round));
        CpuTime::of(std::process::id()).unwrap().since(before)
    };
    assert!((0..2_000).any(|round| used(round) >= Duration::from_millis(60)), "no CPU time was counted");
}

/// 3 s of CPU for 300,000 messages are 10 us a message.
/// Seen to fail when: the factor is 1e3.
#[test]
fn cpu_a_message_is_in_microseconds() {
    assert!((us_per_message(Duration::from_secs(3), 300_000) - 10.0).abs() < 1e-9);
    assert!(us_per_message(Duration::from_secs(3), 0).abs() < 1e-9);
}
