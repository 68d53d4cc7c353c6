//! Who sends the next message of a load.
//!
//! Invariants
//! - Who sends a message follows from its number alone: the same load again has the same senders.
//! - Without skew all take turns; with it, the k-th busiest sends in proportion to 1 / k^skew (Zipf).

use crate::floor::spread;
use crate::schedule::exact;
use xxhash_rust::xxh3::xxh3_64;

/// See the module.
#[derive(Debug)]
pub struct Senders {
    count: u32,
    stride: u32,
    /// Shares of the busiest 1, 2, 3 ... senders together, the last one 1; empty: all take turns.
    shares: Vec<f64>,
}

impl Senders {
    /// `count` senders; `skew` is Zipf's exponent, 0 for none.
    pub fn new(count: u32, skew: f64) -> Self {
        let mut shares = Vec::new();
        if skew > 0.0 {
            let mut sum = 0.0;
            for rank in 1..=count {
                sum += f64::from(rank).powf(-skew);
                shares.push(sum);
            }
            for share in &mut shares {
                *share /= sum;
            }
        }
        Self { count, stride: spread::stride(count), shares }
    }

    /// The sender of message `number`.
    pub fn of(&self, number: u64) -> u32 {
        if self.shares.is_empty() {
            return spread::sender(number, self.count, self.stride);
        }
        // 53 bits: as many as a floating-point number below 1 has.
        let point = exact(xxh3_64(&number.to_le_bytes()) >> 11) / exact(1 << 53);
        let rank = self.shares.partition_point(|share| *share <= point);
        // The busiest are strangers to each other: neighbours are pairs.
        spread::sender(rank as u64, self.count, self.stride)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(senders: &Senders, messages: u64) -> Vec<u32> {
        let mut counts = vec![0; senders.count as usize];
        (0..messages).for_each(|number| counts[senders.of(number) as usize] += 1);
        counts
    }

    /// Without skew everybody sends once before anybody sends twice.
    /// Seen to fail when: a skew of 0 is drawn by lot as well.
    #[test]
    fn without_skew_all_take_turns() {
        let counts = counts(&Senders::new(2_000, 0.0), 6_000);
        assert!(counts.iter().all(|&count| count == 3));
    }

    /// With an exponent of 1 the busiest of 1,000 sends 1 of 7.5 messages (the 1,000th harmonic number), the second half as
    /// much, and still nearly everybody sends something in time.
    /// Seen to fail when: `skew` is left out of the power.
    #[test]
    fn shares_fall_as_zipf_says() {
        let mut counts = counts(&Senders::new(1_000, 1.0), 1_000_000);
        counts.sort_unstable_by(|left, right| right.cmp(left));
        let share = |rank: usize| f64::from(counts[rank]) / 1e6;
        assert!((share(0) * 7.485 - 1.0).abs() < 0.02, "{}", share(0));
        assert!((share(0) / share(1) - 2.0).abs() < 0.1, "{} {}", share(0), share(1));
        assert!(counts[999] > 50, "{}", counts[999]);
    }
}
