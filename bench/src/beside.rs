//! Two things at the same time: one on a thread of its own, and what is done here once that has begun.

use crate::error::BenchError;
use std::sync::mpsc::{Sender, channel};

/// Runs `other` on a thread of its own, and `here` once `other` has said that it began. `what` it is, for an error.
///
/// # Errors
/// That of `other`, since it says more than that it never began, or that of `here`.
pub fn beside<T: Send, U>(
    what: &str,
    other: impl FnOnce(Sender<()>) -> Result<T, BenchError> + Send,
    here: impl FnOnce() -> Result<U, BenchError>,
) -> Result<(T, U), BenchError> {
    let (begin, is_begun) = channel();
    std::thread::scope(|scope| {
        let other = scope.spawn(move || other(begin));
        let seen = is_begun.recv().map_err(|_| BenchError::Protocol(format!("{what} never began")));
        let done = seen.and_then(|()| here());
        let panicked = |_| Err(BenchError::Protocol(format!("{what} panicked")));
        let other = other.join().unwrap_or_else(panicked)?;
        done.map(|done| (other, done))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is done here begins after the other has begun, and is not done if that never begins; its error is the one told.
    /// Seen to fail when: `here` runs whether the other began or not; or its error comes first.
    #[test]
    fn here_begins_once_the_other_has_begun() {
        let failed = |what: &str| BenchError::Protocol(what.to_owned());
        let begun = |begin: Sender<()>| begin.send(()).map_err(|_| failed("nobody listens"));
        assert_eq!(beside("it", begun, || Ok(7)).unwrap(), ((), 7));
        let mut ran = false;
        let never = beside(
            "it",
            |_| Err::<(), _>(failed("broken")),
            || {
                ran = true;
                Ok(())
            },
        );
        assert_eq!((never.unwrap_err().to_string(), ran), ("broken".to_owned(), false));
        let both = beside(
            "it",
            |begin| begun(begin).and(Err::<(), _>(failed("other"))),
            || Err::<(), _>(failed("here")),
        );
        assert_eq!(both.unwrap_err().to_string(), "other");
        let silent = beside("it", |_| Ok(()), || Ok(()));
        assert_eq!(silent.unwrap_err().to_string(), "it never began");
    }
}
