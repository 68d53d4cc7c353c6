//! File writes and syncs.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt;
use std::rc::Rc;

use iris_reactor::{ALIGNMENT, AlignedBuffer, Event, Write};

use crate::harness::{Host, config, pattern};

fn file(name: &str, flags: i32) -> (Rc<File>, tempfile::TempDir) {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a folder");
    let path = folder.path().join(name);
    let open =
        OpenOptions::new().read(true).write(true).create(true).truncate(true).custom_flags(flags).open(path);
    (Rc::new(open.expect("a file")), folder)
}

fn block(count: usize) -> AlignedBuffer {
    let mut buffer = AlignedBuffer::new();
    buffer.extend_from_slice(&pattern(count));
    buffer.pad();
    buffer
}

fn content(file: &tempfile::TempDir, name: &str) -> Vec<u8> {
    std::fs::read(file.path().join(name)).expect("read")
}

/// Seen to fail when: `write_entry` forgets the offset.
#[test]
fn a_direct_durable_write_lands_where_it_was_told_and_gives_its_buffer_back() {
    let mut host = Host::new(&config());
    let (file, folder) = file("log", libc::O_DIRECT);
    for (token, offset) in [(7, ALIGNMENT as u64), (8, 0)] {
        host.reactor.write(token, &file, Write { offset, buffer: block(5000), sync: true });
        let buffer = host.until(|_, event| match event {
            Event::Written { token: told, result, buffer } => {
                assert_eq!((told, result.expect("written")), (token, 2 * ALIGNMENT));
                Some(buffer)
            }
            _ => None,
        });
        assert_eq!(buffer[..], block(5000)[..]);
    }
    let written = content(&folder, "log");
    assert_eq!(written.len(), 3 * ALIGNMENT);
    assert_eq!(written[..2 * ALIGNMENT], block(5000)[..]);
}

/// Seen to fail when: the two are not linked (the sync of a failed write succeeds).
#[test]
fn a_sync_follows_its_write_and_is_cancelled_if_that_fails() {
    let mut host = Host::new(&config());
    let (good, folder) = file("good", 0);
    host.reactor.write_then_sync(1, &good, Write { offset: 0, buffer: block(10), sync: false });
    let mut told = Vec::new();
    host.until(|_, event| {
        match event {
            Event::Written { token, result, .. } => told.push((token, "written", result.is_ok())),
            Event::Synced { token, result } => told.push((token, "synced", result.is_ok())),
            other => panic!("unexpected {other:?}"),
        }
        (told.len() == 2).then_some(())
    });
    assert_eq!(told, [(1, "written", true), (1, "synced", true)]);
    let read_only = Rc::new(File::open(folder.path().join("good")).expect("a file"));
    host.reactor.write_then_sync(2, &read_only, Write { offset: 0, buffer: block(10), sync: false });
    told.clear();
    host.until(|_, event| {
        match event {
            Event::Written { token, result, .. } => told.push((token, "written", result.is_ok())),
            Event::Synced { token, result } => told.push((token, "synced", result.is_ok())),
            other => panic!("unexpected {other:?}"),
        }
        (told.len() == 2).then_some(())
    });
    told.sort_unstable();
    assert_eq!(told, [(2, "synced", false), (2, "written", false)]);
    assert_eq!(content(&folder, "good")[..10], pattern(10)[..]);
}

/// Seen to fail when: `Files` does not keep the file (the descriptor is closed before the sync is submitted).
#[test]
fn a_sync_keeps_its_file_open() {
    let mut host = Host::new(&config());
    let (file, _folder) = file("log", 0);
    host.reactor.sync(3, &file);
    drop(file);
    let synced = host.until(|_, event| match event {
        Event::Synced { token: 3, result } => Some(result.is_ok()),
        _ => None,
    });
    assert!(synced);
}

/// Seen to fail when: `push_linked` submits a full queue and then forgets what did not fit.
#[test]
fn more_writes_than_the_queue_holds_all_happen() {
    let mut host = Host::new(&config());
    let (file, folder) = file("log", 0);
    for token in 0..500u64 {
        let mut buffer = AlignedBuffer::new();
        buffer.extend_from_slice(&token.to_le_bytes());
        host.reactor.write(token, &file, Write { offset: token * 8, buffer, sync: false });
    }
    let mut written = 0;
    host.until(|_, event| {
        written += usize::from(matches!(event, Event::Written { result: Ok(8), .. }));
        (written == 500).then_some(())
    });
    let expected: Vec<u8> = (0..500u64).flat_map(u64::to_le_bytes).collect();
    assert_eq!(content(&folder, "log"), expected);
}
