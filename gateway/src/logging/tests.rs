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
    tracing::subscriber::with_default(subscriber(level, text, move || writer.clone()), log);
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
