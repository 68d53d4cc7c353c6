//! Events as they are written.

use super::subscriber;
use crate::config::LogLevel;
use std::io::{self, Write};
use std::sync::{Arc, Mutex};

#[derive(Clone, Default)]
struct Written(Arc<Mutex<Vec<u8>>>);

impl Write for Written {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn lines(level: LogLevel, text: bool, log: impl FnOnce()) -> Vec<String> {
    let written = Written::default();
    let writer = written.clone();
    let (subscriber, _level) = subscriber(level, text, move || writer.clone());
    tracing::subscriber::with_default(subscriber, log);
    let bytes = written.0.lock().unwrap().clone();
    String::from_utf8(bytes).unwrap().lines().map(str::to_owned).collect()
}

/// Proves: an event is one JSON object with its fields at the top, and what a peer chose cannot begin another line.
/// Seen to fail when: `flatten_event` is left out.
#[test]
fn an_event_is_one_json_line_whatever_a_field_holds() {
    let hostile = "a\n{\"level\":\"ERROR\"}\u{1b}[31m\u{202e}";
    let lines = lines(LogLevel::Info, false, || {
        tracing::info!(shard = 3, conn = 7, user = hostile, "logged in");
    });
    assert_eq!(lines.len(), 1, "{lines:?}");
    let event: serde_json::Value = serde_json::from_str(&lines[0]).unwrap();
    assert_eq!(event["shard"], 3);
    assert_eq!(event["conn"], 7);
    assert_eq!(event["user"], hostile);
    assert_eq!(event["message"], "logged in");
    assert_eq!(event["level"], "INFO");
    assert!(event["timestamp"].is_string());
}

/// Proves: in text, too, a field cannot begin another line or colour the terminal.
/// Seen to fail when: the field is given with `%` (Display).
#[test]
fn an_event_is_one_text_line_whatever_a_field_holds() {
    let lines = lines(LogLevel::Info, true, || tracing::info!(user = "a\nERROR fake\u{1b}[31m", "logged in"));
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert!(!lines[0].contains('\u{1b}'), "{lines:?}");
}

/// Proves: events below the configured level are not written.
/// Seen to fail when: DEBUG is mapped to TRACE.
#[test]
fn events_below_the_level_are_not_written() {
    let lines = lines(LogLevel::Debug, false, || {
        tracing::trace!("a message");
        tracing::debug!("a connection");
        tracing::error!("a stop");
    });
    assert_eq!(lines.len(), 2, "{lines:?}");
}

/// Proves: G-RELOAD-1 (the level can be changed while the process logs)
/// Seen to fail when: `subscriber` gives a handle of another layer.
#[test]
fn the_level_is_changed_while_events_are_written() {
    let written = Written::default();
    let writer = written.clone();
    let (subscriber, level) = subscriber(LogLevel::Info, false, move || writer.clone());
    tracing::subscriber::with_default(subscriber, || {
        for wanted in [LogLevel::Debug, LogLevel::Warn] {
            tracing::debug!("a connection");
            tracing::info!("a change");
            level.reload(super::filter(wanted)).unwrap();
        }
        tracing::info!("a change");
    });
    let bytes = written.0.lock().unwrap().clone();
    let text = String::from_utf8(bytes).unwrap();
    assert_eq!((text.matches("a connection").count(), text.matches("a change").count()), (1, 2), "{text}");
}

/// Set in the process that is to panic.
const PANIC_HERE: &str = "IRIS_TEST_PANIC";

/// Proves: f_62, a panic of any thread ends the whole process with its status, and says so in one JSON line.
/// Seen to fail when: the hook only logs.
#[test]
fn f_62_a_panic_of_one_thread_ends_the_process_with_its_status() {
    if std::env::var_os(PANIC_HERE).is_some() {
        super::exit_on_panic();
        let _joined = std::thread::Builder::new()
            .name("shard-1".into())
            .spawn(|| panic!("of a \"core\""))
            .unwrap()
            .join();
        return;
    }
    let name = "logging::tests::f_62_a_panic_of_one_thread_ends_the_process_with_its_status";
    let own = std::env::current_exe().unwrap();
    let output = std::process::Command::new(own)
        .args(["--exact", name, "--nocapture"])
        .env(PANIC_HERE, "1")
        .output()
        .unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(70), "{said}");
    let line = said.lines().find(|line| line.starts_with('{')).unwrap_or_else(|| panic!("{said}"));
    let line: serde_json::Value = serde_json::from_str(line).unwrap();
    assert_eq!((line["message"].as_str(), line["thread"].as_str()), (Some("of a \"core\""), Some("shard-1")));
    assert_eq!(line["status"], "PANIC");
}
