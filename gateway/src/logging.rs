//! The log: JSON lines, or text on a terminal, on standard error, written by a thread of its own.
//!
//! Fields have one name each: `shard conn user device conversation message_id sequence epoch`. Levels: a message is TRACE, a
//! connection DEBUG, a change of state INFO, what needs an operator WARN, and a stop ERROR.
//!
//! Invariants
//! - Logging never blocks a core: lines that the log's thread cannot take are dropped and counted.
//! - An event is one line, whatever its fields hold.
//! - Never a payload, never a token.

use crate::config::{Log, LogFormat, LogLevel};
use crate::exit::ExitStatus;
use std::io::{self, IsTerminal, Write};
use std::panic::PanicHookInfo;
use tracing_appender::non_blocking::{ErrorCounter, NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::{Registry, reload};

/// Lines that wait for the log's thread at most; more are dropped. 16,384 of some 200 bytes are about 3 MiB.
const LINES_MAX: usize = 16_384;

/// Keeps the log's thread; dropping it writes what waits.
#[must_use = "the log ends when this is dropped"]
pub struct LogGuard {
    _worker: WorkerGuard,
    control: LogControl,
}

impl LogGuard {
    /// A handle on the log, for others.
    pub fn control(&self) -> LogControl {
        self.control.clone()
    }
}

/// A handle on the running log.
#[derive(Clone, Debug)]
pub struct LogControl {
    dropped: ErrorCounter,
    level: reload::Handle<LevelFilter, Registry>,
}

impl LogControl {
    /// Lines that were dropped so far because the log's thread was too slow.
    pub fn dropped_lines(&self) -> usize {
        self.dropped.dropped_lines()
    }

    /// Writes events of this level and above from here on.
    ///
    /// # Errors
    /// [`LogEnded`].
    pub fn set_level(&self, level: LogLevel) -> Result<(), LogEnded> {
        self.level.reload(filter(level)).map_err(|_| LogEnded)
    }
}

/// The log has ended.
#[derive(Debug, thiserror::Error)]
#[error("the log has ended")]
pub struct LogEnded;

/// The process already logs.
#[derive(Debug, thiserror::Error)]
#[error("the log was started twice")]
pub struct StartedTwice;

/// Starts the log of this process, on standard error.
///
/// # Errors
/// [`StartedTwice`] at a second call.
pub fn start(log: &Log) -> Result<LogGuard, StartedTwice> {
    let text = match log.format {
        LogFormat::Auto => io::stderr().is_terminal(),
        LogFormat::Json => false,
        LogFormat::Text => true,
    };
    let (writer, worker) =
        NonBlockingBuilder::default().lossy(true).buffered_lines_limit(LINES_MAX).finish(io::stderr());
    let dropped = writer.error_counter();
    let (subscriber, level) = subscriber(log.level, text, writer);
    tracing::subscriber::set_global_default(subscriber).map_err(|_| StartedTwice)?;
    Ok(LogGuard { _worker: worker, control: LogControl { dropped, level } })
}

/// What writes events, and the handle that changes which: those of a level and above.
type Leveled = (Box<dyn tracing::Subscriber + Send + Sync>, reload::Handle<LevelFilter, Registry>);

/// What writes events of this level and above to `writer`.
fn subscriber<W>(level: LogLevel, text: bool, writer: W) -> Leveled
where
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    let (level, handle) = reload::Layer::new(filter(level));
    let registry = tracing_subscriber::registry().with(level);
    let lines = tracing_subscriber::fmt::layer().with_writer(writer);
    if text {
        return (Box::new(registry.with(lines.with_ansi(false))), handle);
    }
    let json = lines.json().flatten_event(true).with_current_span(false).with_span_list(false);
    (Box::new(registry.with(json)), handle)
}

fn filter(level: LogLevel) -> LevelFilter {
    match level {
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Debug => LevelFilter::DEBUG,
        LogLevel::Trace => LevelFilter::TRACE,
    }
}

/// From here on a panic of any thread is logged and ends the process at once with [`ExitStatus::Panic`]: one dead core
/// with its siblings serving is the worst outcome.
pub fn exit_on_panic() {
    std::panic::set_hook(Box::new(|panic| {
        // Written past the log's thread, which may never run again. A write that fails has nobody left to tell.
        let _unwritten = io::stderr().write_all(panic_line(panic).as_bytes());
        ExitStatus::Panic.exit_now()
    }));
}

/// The panic as one JSON line.
fn panic_line(panic: &PanicHookInfo<'_>) -> String {
    let message = panic.payload_as_str().unwrap_or("a value that is not text");
    let place = panic.location().map(ToString::to_string);
    let thread = std::thread::current().name().map(str::to_owned);
    let line = serde_json::json!({
        "level": "ERROR", "message": message, "place": place, "thread": thread, "status": ExitStatus::Panic.name(),
    });
    format!("{line}\n")
}

#[cfg(test)]
mod tests;
