use super::*;

/// Seen to fail when: rings are not counted.
#[test]
fn tables_keep_files_open_in_what_others_leave_of_the_descriptors() {
    assert_eq!(open_files_max(2, 16, 20_000), 512);
    assert_eq!(open_files_max(8, 1, 1_024), 108 - 27);
    assert_eq!(open_files_max(64, 16, 4_096), 20, "the library takes no less");
    assert_eq!(open_files_max(1, 16, u64::MAX), 512);
    for (shards, rings) in (1..=64).flat_map(|shards| [(shards, 1), (shards, 16), (shards, 64)]) {
        let files = u64::try_from(open_files_max(shards, rings, 20_000)).unwrap();
        let taken = 160 + u64::from(shards) * (24 + 3 * u64::from(rings) + files);
        assert!(taken <= 20_000, "{shards} shards with {rings} rings take {taken}");
    }
}
