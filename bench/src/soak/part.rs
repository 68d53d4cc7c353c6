//! What a soak counted so far, in a file: it is written every minute, and an interrupted soak goes on from it.
//!
//! Invariants
//! - The file is replaced whole: it holds a minute's end, or the one before.
//! - What was under way when a soak was interrupted is said, and never counts as delivered.

use super::faults::Found;
use crate::error::BenchError;
use crate::fleet::{Part, Tally};
use crate::options::SoakArgs;
use crate::report::Report;
use serde::{Deserialize, Serialize};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::mpsc::Receiver;

/// In the directory of the results.
const FILE: &str = "soak.part.json";

/// What an interrupted soak leaves.
#[derive(Clone, Debug, Deserialize, Serialize)]
struct Left {
    /// Of the soak: another one does not go on from it.
    settings: String,
    minutes: u32,
    interruptions: u64,
    found: Found,
    tally: Tally,
}

/// Where a soak's file is, and what was in it.
pub(super) struct Kept {
    path: Option<PathBuf>,
    settings: String,
    left: Option<Left>,
}

impl Kept {
    /// What a soak with these settings goes on from: nothing, unless that is asked for.
    ///
    /// # Errors
    /// There is a file and it is not asked for, or it is asked for and there is none, or that of another soak.
    pub(super) fn before(args: &SoakArgs, settings: String) -> Result<Self, BenchError> {
        let path = args.output.out.as_ref().map(|directory| directory.join(FILE));
        let left = match &path {
            Some(path) if args.resume => Some(read(path, &settings)?),
            Some(path) if path.exists() => {
                let problem =
                    "an interrupted soak left it: --resume goes on from it, or remove it".to_owned();
                return Err(BenchError::Input { path: path.clone(), problem });
            }
            Some(_) | None => None,
        };
        Ok(Self { path, settings, left })
    }

    /// Minutes of the soak that were over.
    pub(super) fn minutes(&self) -> u32 {
        self.left.as_ref().map_or(0, |left| left.minutes)
    }

    /// What its faults did.
    pub(super) fn found(&self) -> Found {
        self.left.as_ref().map_or_else(Found::default, |left| left.found.clone())
    }

    /// Puts it before what was counted since. Whether what was under way arrived nobody can say: it is told, and not judged.
    pub(super) fn join(&mut self, tally: &mut Tally, report: &mut Report) {
        let Some(left) = self.left.take() else { return };
        report.count("resumed.interruptions", left.interruptions + 1);
        report.count("resumed.minutes", u64::from(left.minutes));
        report.count("resumed.under_way", under_way(&left.tally));
        tally.resume(left.tally);
    }

    /// The soak is over: its file is removed.
    ///
    /// # Errors
    /// It cannot be.
    pub(super) fn forget(&self) -> Result<(), BenchError> {
        match &self.path {
            Some(path) if path.exists() => {
                fs::remove_file(path).map_err(BenchError::io(path.display().to_string()))
            }
            Some(_) | None => Ok(()),
        }
    }

    fn keep(&self, found: &Found, minutes: u32, mut tally: Tally) -> Result<(), BenchError> {
        let Some(path) = &self.path else { return Ok(()) };
        let before = self.left.clone();
        let interruptions = before.as_ref().map_or(0, |left| left.interruptions + 1);
        if let Some(before) = before {
            tally.resume(before.tally);
        }
        let left = Left {
            settings: self.settings.clone(),
            minutes: self.minutes() + minutes,
            interruptions,
            found: found.clone(),
            tally,
        };
        write(path, &left)
    }
}

/// Messages that were sent and neither delivered nor refused.
fn under_way(tally: &Tally) -> u64 {
    tally.sent.saturating_sub(tally.delivered + tally.refused)
}

fn read(path: &Path, settings: &str) -> Result<Left, BenchError> {
    let wrong = |problem: String| BenchError::Input { path: path.to_owned(), problem };
    let text = fs::read(path).map_err(|error| wrong(error.to_string()))?;
    let left: Left = serde_json::from_slice(&text).map_err(|error| wrong(error.to_string()))?;
    if left.settings == settings {
        return Ok(left);
    }
    Err(wrong(format!("it is of another soak: {}; this one: {settings}", left.settings)))
}

fn write(path: &Path, left: &Left) -> Result<(), BenchError> {
    let failed = || BenchError::io(path.display().to_string());
    let text = serde_json::to_vec(left).map_err(|error| failed()(error.into()))?;
    path.parent().map_or(Ok(()), fs::create_dir_all).map_err(failed())?;
    let next = path.with_extension("next");
    fs::write(&next, text).and_then(|()| fs::rename(&next, path)).map_err(failed())
}

/// Puts together what the threads of a running soak hand in.
pub(super) struct Keeping {
    pub(super) parts: Receiver<Part>,
    pub(super) threads: u16,
    pub(super) before: Kept,
    /// The latest of each thread, with the distributions of all its minutes.
    pub(super) latest: Vec<Part>,
}

impl Keeping {
    /// Takes what was handed in, and writes the file once all threads have.
    ///
    /// # Errors
    /// The file cannot be written.
    pub(super) fn look(&mut self, found: &Found) -> Result<(), BenchError> {
        while let Ok(part) = self.parts.try_recv() {
            self.take(part);
            let minutes = self.latest.first().map_or(0, |part| part.minutes);
            let is_whole = self.latest.iter().all(|part| part.minutes == minutes);
            if is_whole && self.latest.len() == usize::from(self.threads) {
                self.keep(found, minutes)?;
            }
        }
        Ok(())
    }

    fn take(&mut self, mut part: Part) {
        match self.latest.iter_mut().find(|known| known.first == part.first) {
            Some(known) => {
                known.tally.minutes.append(&mut part.tally.minutes);
                part.tally.minutes = std::mem::take(&mut known.tally.minutes);
                *known = part;
            }
            None => self.latest.push(part),
        }
    }

    fn keep(&self, found: &Found, minutes: usize) -> Result<(), BenchError> {
        let mut tally = Tally::new();
        for part in &self.latest {
            tally.add(&part.tally);
        }
        self.before.keep(found, u32::try_from(minutes).unwrap_or(u32::MAX), tally)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::options::{Command, Options};
    use clap::Parser;
    use std::sync::mpsc::channel;
    use std::time::Duration;

    fn args(words: &[&str]) -> SoakArgs {
        let words = ["iris-bench", "soak"].iter().chain(words);
        let Command::Soak(args) = Options::parse_from(words).command else { unreachable!() };
        args
    }

    /// One message sent, and as many delivered as the thread has minutes.
    fn part(first: u32, minutes: usize) -> Part {
        let mut tally = Tally::new();
        tally.sent = 5;
        tally.delivered = minutes as u64;
        let mut minute = crate::histogram::Latencies::new();
        minute.record(Duration::from_millis(3));
        tally.minutes = vec![minute];
        Part { first, minutes, tally }
    }

    /// A soak that was interrupted twice goes on where it ended, with all its minutes, and says what was under way; one with other
    /// settings, or one that was not asked to go on, is refused; once it is over, nothing is left.
    /// Seen to fail when: the file is not joined with what was before it; settings are not compared; or the file is written when the
    /// first of two threads has handed in.
    #[test]
    fn an_interrupted_soak_goes_on() {
        let directory = tempfile::tempdir().unwrap();
        let out = directory.path().join("out");
        let path = out.to_str().unwrap();
        let fresh = args(&["--out", path]);
        let mut before = Kept::before(&fresh, "a".to_owned()).unwrap();
        for minutes in [0, 2] {
            assert_eq!(before.minutes(), minutes);
            let (hand_in, parts) = channel();
            let mut keeping = Keeping { parts, threads: 2, before, latest: Vec::new() };
            for (first, minutes) in [(0, 1), (10, 1), (10, 2), (0, 2), (0, 3)] {
                hand_in.send(part(first, minutes)).unwrap();
            }
            keeping.look(&Found::default()).unwrap();
            assert!(Kept::before(&fresh, "a".to_owned()).is_err(), "it is not asked to go on");
            let resumed = args(&["--out", path, "--resume"]);
            assert!(Kept::before(&resumed, "b".to_owned()).is_err(), "it is another soak");
            before = Kept::before(&resumed, "a".to_owned()).unwrap();
        }
        assert_eq!(before.minutes(), 4);
        let (mut tally, mut report) = (part(0, 1).tally, Report::new("soak"));
        before.join(&mut tally, &mut report);
        let counted: Vec<u64> = tally.minutes.iter().map(crate::histogram::Latencies::count).collect();
        assert_eq!(counted, [2, 2, 2, 2, 1]);
        assert_eq!((tally.sent, tally.delivered), (5 + 20, 1 + 8));
        let told =
            ["interruptions", "minutes", "under_way"].map(|key| report.value(&format!("resumed.{key}")));
        assert_eq!(told, [Some(2.0), Some(4.0), Some(12.0)]);
        before.forget().unwrap();
        assert!(Kept::before(&fresh, "a".to_owned()).is_ok());
    }
}
