//! A child process that says on its standard output when it is ready.
//!
//! Invariants
//! - No child outlives its [`Process`]: dropping one kills it and waits.
//! - Its standard input is a pipe that closes when this process ends, however it ends.

use crate::error::BenchError;
use rustix::process::{Pid, Signal, kill_process};
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

/// How often a child that was told to stop is looked at.
const EXIT_POLL: Duration = Duration::from_millis(5);

/// A running child.
pub struct Process {
    child: Child,
    lines: Receiver<String>,
    name: String,
}

impl Process {
    /// Starts a program. Its errors go to `log`, or to this process's own.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn start(mut command: Command, name: &str, log: Option<File>) -> Result<Self, BenchError> {
        let errors = log.map_or_else(Stdio::inherit, Stdio::from);
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(errors)
            .spawn()
            .map_err(BenchError::io(format!("starting {name}")))?;
        let (sender, lines) = channel();
        let output = child.stdout.take();
        let reader = move || {
            let lines = output.into_iter().flat_map(|output| BufReader::new(output).lines());
            for line in lines.map_while(Result::ok) {
                if sender.send(line).is_err() {
                    break;
                }
            }
        };
        let reading = std::thread::Builder::new().name(format!("{name}-out")).spawn(reader);
        let process = Self { child, lines, name: name.to_owned() };
        reading.map_err(BenchError::io(format!("reading from {name}")))?;
        Ok(process)
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The next line that it prints.
    ///
    /// # Errors
    /// It printed nothing in time, or ended.
    pub fn line(&mut self, within: Duration) -> Result<String, BenchError> {
        self.lines.recv_timeout(within).map_err(|error| match error {
            RecvTimeoutError::Timeout => {
                BenchError::Timeout { what: format!("a line from {}", self.name), seconds: within.as_secs() }
            }
            RecvTimeoutError::Disconnected => {
                let status =
                    self.child.wait().map_or_else(|error| error.to_string(), |status| status.to_string());
                self.failed(format!("ended without an answer ({status})"))
            }
        })
    }

    /// Sends it a signal.
    ///
    /// # Errors
    /// It is gone.
    pub fn signal(&self, signal: Signal) -> Result<(), BenchError> {
        let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw);
        let Some(pid) = pid else {
            return Err(self.failed("has no process id".to_owned()));
        };
        kill_process(pid, signal)
            .map_err(|error| BenchError::io(format!("signalling {}", self.name))(error.into()))
    }

    /// True until it has ended.
    pub fn is_running(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// Waits until it has ended.
    ///
    /// # Errors
    /// It did not end in time.
    pub fn wait(&mut self, within: Duration) -> Result<ExitStatus, BenchError> {
        let since = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().map_err(BenchError::io(self.name.clone()))? {
                return Ok(status);
            }
            if since.elapsed() > within {
                return Err(BenchError::Timeout {
                    what: format!("the end of {}", self.name),
                    seconds: within.as_secs(),
                });
            }
            std::thread::sleep(EXIT_POLL);
        }
    }

    fn failed(&self, problem: String) -> BenchError {
        BenchError::Child { program: self.name.clone(), problem }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Both fail only if it has ended already, which is what is wanted.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
