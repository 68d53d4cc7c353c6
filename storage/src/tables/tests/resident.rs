//! Another thread's hand on tables in RocksDB.

use super::rocks_host::RocksHost;
use super::*;

fn get_from(rows: &dyn Rows, key: &[u8]) -> Result<Option<Vec<u8>>, TableError> {
    let mut value = b"left over".to_vec();
    Ok(rows.get(Table::Sequence, key, &mut value)?.then_some(value))
}

fn scan_from(rows: &dyn Rows) -> Result<usize, TableError> {
    let mut count = 0;
    rows.scan(Table::Cursors, b"", b"\x04", &mut |_, _| {
        count += 1;
        Ok(Next::Continue)
    })?;
    Ok(count)
}

/// Proves: G-ORDER-1 (a sequence is read where it stands): another thread's hand on the tables sees each batch that was applied,
/// in memtables and in blocks that were read; it tells a row that is not there, and never waits for the disk.
/// Seen to fail when: the tier of its reads is `All`.
#[test]
fn memory_tells_what_was_applied_and_leaves_the_disk_alone() {
    let mut host = RocksHost::new();
    let mut tables = host.open();
    let rows = tables.resident_rows().unwrap();
    assert_eq!((get_from(&*rows, b"key"), scan_from(&*rows)), (Ok(None), Ok(0)));
    for (number, value) in [(1, b"one"), (2, b"two")] {
        let mut batch = ChangeList::default();
        batch.put(Table::Sequence, b"key", value);
        batch.put(Table::Cursors, &[0, u8::try_from(number).unwrap()], value);
        tables.apply(&batch, mark(number)).unwrap();
        let other = tables.resident_rows().unwrap();
        let read =
            std::thread::spawn(move || (get_from(&*other, b"key"), scan_from(&*other))).join().unwrap();
        let count = usize::try_from(number).unwrap();
        assert_eq!(read, (Ok(Some(value.to_vec())), Ok(count)));
        assert_eq!((get_from(&*rows, b"key"), scan_from(&*rows)), read);
    }
    tables.flush().unwrap();
    drop(rows);
    // After a start nothing is cached; one read brings a row's block, and the filter that knows of what is not there.
    let tables = host.kill(tables);
    let rows = tables.resident_rows().unwrap();
    assert_eq!(get_from(&*rows, b"key"), Err(TableError::OnDisk { table: "sequence" }));
    assert_eq!(scan_from(&*rows), Err(TableError::OnDisk { table: "cursors" }));
    assert_eq!((get_from(&tables, b"key"), scan_from(&tables)), (Ok(Some(b"two".to_vec())), Ok(2)));
    assert_eq!((get_from(&*rows, b"key"), scan_from(&*rows)), (Ok(Some(b"two".to_vec())), Ok(2)));
    assert_eq!(get_from(&*rows, b"kex"), Ok(None));
}

/// Proves: G-LOG-1 (a torn tail is told from damage): a damaged row is no answer.
/// Seen to fail when: `RocksRows::get` gives the value without a look at its checksum.
#[test]
fn memory_tells_no_damaged_row() {
    let mut host = RocksHost::new();
    let mut tables = host.open();
    let mut batch = ChangeList::default();
    batch.put(Table::Sequence, b"key", b"value");
    tables.apply(&batch, mark(1)).unwrap();
    host.damage(&mut tables, Table::Sequence, b"key");
    let damaged = TableError::Damaged { table: "sequence", key: hex(b"key") };
    assert_eq!(get_from(&*tables.resident_rows().unwrap(), b"key"), Err(damaged));
}
