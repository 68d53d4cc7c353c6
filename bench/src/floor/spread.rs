//! Where the endpoints of a load live, and in which order they send.
//!
//! Invariants
//! - Both sides of a pair know each other's shard without asking: it follows from the endpoint's number.
//! - With n shards, of every n x n pairs in a row exactly n stay on one shard: 1 - 1/n of the messages hop.

use super::frame::Endpoint;
use iris_protocol::ShardId;

/// The other side of an endpoint's pair.
pub fn partner(endpoint: Endpoint) -> Endpoint {
    Endpoint(endpoint.0 ^ 1)
}

/// The shard that an endpoint connects to.
pub fn shard_of(endpoint: Endpoint, shards: u16) -> ShardId {
    let (pair, shards) = (endpoint.0 / 2, u32::from(shards));
    let shard = if endpoint.0.is_multiple_of(2) { pair } else { pair + pair / shards } % shards;
    ShardId(u16::try_from(shard).unwrap_or(0))
}

/// A step that visits all of `count` senders, neighbours far apart: the first number from 0.618 x count on that has
/// no factor in common with it.
pub fn stride(count: u32) -> u32 {
    let golden = u32::try_from(u64::from(count) * 618 / 1_000).unwrap_or(1).max(1);
    (golden..=count.max(golden)).find(|&step| greatest_common_divisor(step, count) == 1).unwrap_or(1)
}

/// The sender of message `number` when all of `count` senders take turns.
pub fn sender(number: u64, count: u32, stride: u32) -> u32 {
    let turn = number % u64::from(count);
    u32::try_from(turn * u64::from(stride) % u64::from(count)).unwrap_or(0)
}

fn greatest_common_divisor(left: u32, right: u32) -> u32 {
    if right == 0 { left } else { greatest_common_divisor(right, left % right) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The share of pairs that span two cores is 1 - 1/n.
    /// Seen to fail when: the odd side of a pair follows the even one.
    #[test]
    fn the_share_of_hops_is_exact() {
        for shards in 1..=8_u16 {
            let pairs = u32::from(shards) * u32::from(shards) * 3;
            let hops = (0..pairs * 2)
                .step_by(2)
                .filter(|&even| shard_of(Endpoint(even), shards) != shard_of(partner(Endpoint(even)), shards))
                .count();
            let expected = pairs - pairs / u32::from(shards);
            assert_eq!(hops, expected as usize, "{shards} shards");
        }
    }

    /// Every shard gets the same number of connections.
    /// Seen to fail when: all odd sides live on shard 0.
    #[test]
    fn shards_share_connections_evenly() {
        let mut counts = [0; 4];
        for endpoint in 0..320 {
            counts[usize::from(shard_of(Endpoint(endpoint), 4).0)] += 1;
        }
        assert_eq!(counts, [80; 4]);
    }

    /// In every round each sender sends once.
    /// Seen to fail when: the step shares a factor with the count.
    #[test]
    fn senders_take_turns() {
        for count in [1, 2, 10, 99, 1_000, 2_000] {
            let stride = stride(count);
            let mut seen: Vec<u32> =
                (0..u64::from(count)).map(|number| sender(number, count, stride)).collect();
            seen.sort_unstable();
            assert!(seen.into_iter().eq(0..count), "{count} senders, step {stride}");
        }
    }
}
