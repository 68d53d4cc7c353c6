//! One core of the process, or another number of them.

use crate::harness::*;
use crate::preload::compile;
use crate::raw::*;
use crate::traffic::*;

/// Proves: G-CRASH-1 (one core panics under load: the whole process ends at once with its status, and the next one serves
/// everybody, with nothing lost, doubled or out of order)
#[test]
fn f_62_a_panic_of_one_core_ends_the_process_and_the_next_serves_everybody() {
    let folder = tempfile::tempdir().unwrap();
    let Some(library) = compile("clock", folder.path()) else { return };
    let trigger = folder.path().join("trigger");
    let environment = vec![
        ("LD_PRELOAD", library.into_os_string()),
        ("IRIS_BREAK_CLOCK", trigger.clone().into_os_string()),
    ];
    let mut gateway = Gateway::start(Setup { environment, extra: UNHURRIED.into(), ..Setup::default() });
    let crowd = Crowd::start(&gateway);
    for core in ["shard-0", "shard-1"] {
        crowd.talk(200);
        std::fs::write(&trigger, core).unwrap();
        assert_eq!(gateway.ended(), Some(70), "{}", gateway.log());
        std::fs::remove_file(&trigger).unwrap();
        let log = gateway.log();
        let told = log.lines().any(|line| line.contains("\"PANIC\"") && line.contains(core));
        assert!(told, "no line names {core}:\n{log}");
        gateway.restart();
    }
    crowd.talk(200);
    assert!(crowd.finish() > 600);
    assert_eq!(gateway.terminate(), Some(0), "{}", gateway.log());
}

/// Proves: G-DEDUP-1 (a retry has one effect, also on another core than the first transmission)
#[test]
fn f_03_a_retry_on_another_core_gets_the_same_answer() {
    let mut gateway = Gateway::start(Setup { shards: 1, ..Setup::default() });
    let token = gateway.token("alice", "phone");
    let ids: Vec<_> = (0..10).map(|_| fresh_id()).collect();
    let mut conn = logged_in(&gateway, &token);
    let first: Vec<_> = ids.iter().map(|id| accepted(&mut conn, "alice", *id)).collect();
    for shards in [2, 3, 4, 1] {
        gateway.kill();
        gateway.set(|setup| setup.shards = shards);
        gateway.restart();
        let mut conn = logged_in(&gateway, &token);
        let again: Vec<_> = ids.iter().map(|id| accepted(&mut conn, "alice", *id)).collect();
        assert_eq!(again, first, "{shards} shards");
    }
}
