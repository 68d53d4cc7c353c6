use super::*;

/// Proves: G-LIMIT-3 (a flooding user is limited alone)
/// Seen to fail when: `take` forgets what it was.
#[test]
fn a_bucket_gives_its_burst_and_then_its_rate() {
    let mut bucket = Bucket::default();
    let every = interval(Duration::from_secs(1), 20);
    let now = Mono(1_000_000_000_000);
    let burst = (0..200).filter(|_| bucket.take(now, every, 100).is_ok()).count();
    assert_eq!(burst, 100);
    assert_eq!(bucket.take(now, every, 100), Err(Duration::from_millis(50)));
    let later = now.after(Duration::from_secs(2));
    let refilled = (0..200).filter(|_| bucket.take(later, every, 100).is_ok()).count();
    assert_eq!(refilled, 40);
    assert!(bucket.is_full(later.after(Duration::from_secs(6))));
}

/// Seen to fail when: a refusal moves the bucket.
#[test]
fn a_refusal_costs_nothing() {
    let mut bucket = Bucket::default();
    let every = interval(Duration::from_secs(1), 1);
    assert!(bucket.take(Mono(0), every, 1).is_ok());
    for _ in 0..10 {
        assert!(bucket.take(Mono(0), every, 1).is_err());
    }
    assert!(bucket.take(Mono(1_000_000_000), every, 1).is_ok());
}

/// Proves: G-LIMIT-3 (a bucket that was used is as new when its time has come, and one of no tokens gives none)
/// Seen to fail when: `is_full` waits longer.
#[test]
fn a_bucket_is_full_when_what_was_taken_is_back() {
    let mut bucket = Bucket::default();
    let every = interval(Duration::from_secs(1), 20);
    assert!(bucket.take(Mono(0), every, 100).is_ok());
    assert!(!bucket.is_full(Mono(49_999_999)) && bucket.is_full(Mono(50_000_000)));
    assert!(Bucket::default().take(Mono(0), interval(Duration::from_secs(1), 0), 0).is_err());
}
