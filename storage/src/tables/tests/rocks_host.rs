//! RocksDB under a test: a kill is a copy of the folder while the database is open.

use super::Host;
use crate::tables::rocks::{RocksConfig, RocksShared, RocksTables};
use crate::tables::{Table, Tables};
use std::path::{Path, PathBuf};
use tempfile::TempDir;

pub(super) struct RocksHost {
    folder: TempDir,
    lives: u32,
    shared: RocksShared,
}

impl RocksHost {
    fn path(&self) -> PathBuf {
        self.folder.path().join(self.lives.to_string())
    }
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        std::fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
    }
}

impl Host for RocksHost {
    type Tables = RocksTables;

    fn new() -> Self {
        let config = RocksConfig { block_cache_bytes: 8 << 20, memtable_bytes: 8 << 20, ..RocksConfig::default() };
        Self { folder: tempfile::tempdir().unwrap(), lives: 0, shared: RocksShared::new(config) }
    }

    fn open(&mut self) -> RocksTables {
        RocksTables::open(&self.path(), &self.shared).unwrap()
    }

    fn kill(&mut self, tables: RocksTables) -> RocksTables {
        let before = self.path();
        self.lives += 1;
        copy(&before, &self.path());
        drop(tables);
        self.open()
    }

    fn damage(&mut self, tables: &mut RocksTables, table: Table, key: &[u8]) {
        let mut value = Vec::new();
        assert!(tables.get(table, key, &mut value).unwrap(), "no such row");
        value[0] ^= 8;
        value.extend_from_slice(&[0; 4]);
        tables.put_raw(table, key, &value);
    }
}
