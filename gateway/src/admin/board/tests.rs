//! A core that does not answer.

use super::{ANSWER_MAX, Core};
use crate::admin::errors::{Code, Failure};
use crate::asks::{self, ASKS_MAX, Ask, Asker};
use crate::control::CoreStats;
use iris_reactor::Reactor;
use std::sync::Arc;
use std::time::Instant;

/// Proves: G-ADMIN-3 (a core that is busy costs whoever asks a second, and is told; questions that wait for it are bounded)
/// Seen to fail when: `Core::ask` waits without an end.
#[test]
fn a_busy_core_is_told_within_a_second() {
    let reactor = Reactor::new(&iris_reactor::Config::default()).unwrap();
    let (asks, waiting) = asks::channel();
    let core = Core { stats: Arc::new(CoreStats::default()), asker: Asker::new(asks, reactor.waker()) };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let busy: Result<(), Failure> = Err(Failure::of(Code::CoreBusy));
    let ask = || runtime.block_on(core.ask(|reply| Ask::Revoked { reply }));
    let begun = Instant::now();
    assert_eq!(ask(), busy);
    assert!((ANSWER_MAX..ANSWER_MAX * 5).contains(&begun.elapsed()), "{:?}", begun.elapsed());
    while waiting.len() < ASKS_MAX {
        let (reply, _answer) = tokio::sync::oneshot::channel();
        assert!(core.asker.ask(Ask::Revoked { reply }));
    }
    let begun = Instant::now();
    assert_eq!(ask(), busy);
    assert!(begun.elapsed() < ANSWER_MAX && waiting.len() == ASKS_MAX);
}
