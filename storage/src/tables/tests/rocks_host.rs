//! RocksDB under a test: a kill is a copy of the folder while the database is open.

use super::Host;
use crate::tables::rocks::{RocksConfig, RocksShared, RocksTables};
use crate::tables::{Rows as _, Table};
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

/// Copies a folder that changes: the list of files first, and again if one was removed meanwhile.
fn copy(from: &Path, to: &Path) {
    let list_first =
        |path: &Path| !path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("MANIFEST"));
    'again: loop {
        let _ = std::fs::remove_dir_all(to);
        std::fs::create_dir_all(to).unwrap();
        let mut files: Vec<PathBuf> =
            std::fs::read_dir(from).unwrap().map(|entry| entry.unwrap().path()).collect();
        files.sort_by_key(|path| list_first(path));
        for file in files {
            match std::fs::copy(&file, to.join(file.file_name().unwrap())) {
                Ok(_) => {}
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue 'again,
                Err(error) => panic!("{file:?}: {error}"),
            }
        }
        return;
    }
}

impl Host for RocksHost {
    type Tables = RocksTables;

    fn new() -> Self {
        let config =
            RocksConfig { block_cache_bytes: 8 << 20, memtable_bytes: 8 << 20, ..RocksConfig::default() };
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
