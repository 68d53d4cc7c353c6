//! Isolation (C9): the same seeded world runs with an attacker and without. Users whose shards share no conversation with it must
//! not notice: everything that happens to them and their shards, every frame, write and time, is the same.
#![cfg(test)]

use iris_simulator::{Apart, Attack, run_apart};

/// Seeds of each comparison.
const SEEDS: std::ops::Range<u64> = 0..3;
/// Senders of a hot receiver. 10,000 was run once: two minutes, and the bystanders' trace is the same.
const SENDERS: usize = 1_500;

/// Runs a seed with the attack and without, and compares the bystanders; gives what was seen with it and without.
fn compare(seed: u64, attack: Attack, attackers: u64) -> (Apart, Apart) {
    let [(with, attacked), (without, calm)] = [Some(attack), None].map(|attack| run_apart(seed, attack));
    assert_eq!(with.violations, [], "seed {seed} with {attack:?}");
    assert_eq!(without.violations, [], "seed {seed} without an attack");
    let others = &calm.bystanders;
    assert!(
        others.written > 3_000 && others.applied > 10_000 && calm.happenings > 50_000,
        "seed {seed}: {others:?}"
    );
    assert_eq!((others.written, others.closed), (others.accepted, 0), "seed {seed}: {others:?}");
    assert_eq!(&attacked.bystanders, others, "seed {seed}: what bystanders did and saw");
    assert_eq!(
        (attacked.trace, attacked.happenings),
        (calm.trace, calm.happenings),
        "seed {seed}: what happened to the bystanders and their shards"
    );
    // Their shards hear of each user that is linked, and of nothing else.
    assert!(calm.foreign_mail > 0, "seed {seed}: no mail between the camps");
    assert!(
        attacked.foreign_mail <= calm.foreign_mail + 2 * attackers,
        "seed {seed}: {} and {}",
        attacked.foreign_mail,
        calm.foreign_mail
    );
    assert_eq!(
        (attacked.reads_stopped, calm.reads_stopped),
        (0, 0),
        "seed {seed}: sockets of bystanders waited"
    );
    assert_eq!(
        attacked.neighbours.written, attacked.neighbours.accepted,
        "seed {seed}: neighbours lost messages"
    );
    (attacked, calm)
}

/// Proves: G-LIMIT-2 (a stalled shard makes its senders wait, nobody else: p99.9 and loss of others are those of a run without)
/// Seen to fail when: a shard that hears of another shard's user loads it (`State` in `Shard::body_in`).
#[test]
fn f_38_a_sync_of_ten_seconds_is_noticed_on_its_own_shards_alone() {
    for seed in SEEDS {
        let (attacked, calm) = compare(seed, Attack::StalledDisk, 0);
        assert!(calm.neighbours.longest_wait_us < 2_500_000, "seed {seed}: {:?}", calm.neighbours);
        let struck = &attacked.neighbours;
        assert_eq!((attacked.stalled_syncs, calm.stalled_syncs), (1, 0), "seed {seed}");
        assert!(struck.longest_wait_us > 9_000_000 && struck.refused > 1_000, "seed {seed}: {struck:?}");
    }
}

/// Proves: G-LIMIT-2 (a core that takes a hundred times as long for everything makes its own users wait, nobody else)
/// Seen to fail when: a shard that hears of another shard's user loads it (`State` in `Shard::body_in`).
#[test]
fn f_61_a_core_a_hundred_times_slower_is_noticed_on_its_own_shards_alone() {
    for seed in SEEDS {
        let (attacked, calm) = compare(seed, Attack::SlowCore, 0);
        let (struck, before) = (&attacked.neighbours, &calm.neighbours);
        assert!(attacked.slow_turns > 8_000 && calm.slow_turns == 0, "seed {seed}: {}", attacked.slow_turns);
        assert!(struck.mean_wait_us() > 2 * before.mean_wait_us(), "seed {seed}: {struck:?} {before:?}");
    }
}

/// Proves: G-LIMIT-2 (1,500 senders to one user make each other wait, and nobody of other shards)
/// Seen to fail when: a shard that hears of another shard's user loads it (`State` in `Shard::body_in`).
#[test]
fn f_67_a_crowd_that_writes_to_one_user_is_noticed_on_its_own_shards_alone() {
    let (attacked, calm) = compare(1, Attack::HotReceiver { senders: SENDERS }, SENDERS as u64);
    let crowd = &attacked.attackers;
    assert!(crowd.written > 2 * SENDERS as u64, "{crowd:?}");
    assert_eq!(crowd.written, crowd.accepted, "{crowd:?}");
    assert!(attacked.neighbours.applied > calm.neighbours.applied + crowd.written / 2, "{attacked:?}");
    assert_eq!(calm.attackers.written, 0);
}

/// Proves: G-LIMIT-3 (users who send what no client may send, as fast as they can, are refused and hung up on alone)
/// Seen to fail when: a shard that hears of another shard's user loads it (`State` in `Shard::body_in`).
#[test]
fn f_67_users_who_flood_with_hostile_frames_are_noticed_on_their_own_shards_alone() {
    for seed in SEEDS {
        let (attacked, calm) = compare(seed, Attack::HostileClients { clients: 40 }, 40);
        let flood = &attacked.attackers;
        assert!(
            flood.hostile_frames > 4_000 && flood.refused > 2_000 && flood.closed > 50,
            "seed {seed}: {flood:?}"
        );
        assert_eq!(calm.attackers.hostile_frames, 0);
    }
}
