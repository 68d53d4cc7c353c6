//! How the databases are set up.
//!
//! Invariants
//! - All cores share one block cache and one budget of memtables.
//! - Nothing here changes what is stored; only where, how fast and in how much memory.

use super::super::Table;
use rocksdb::{
    BlockBasedOptions, Cache, ColumnFamilyDescriptor, DBCompressionType, Env, LogLevel, Options,
    WriteBufferManager,
};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Sizes of the databases of all cores together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RocksConfig {
    /// Cache of blocks read, in bytes.
    pub block_cache_bytes: usize,
    /// Memtables, in bytes: a flush begins at the latest when they hold this much.
    pub memtable_bytes: usize,
    /// Threads for flushes and compactions of one database.
    pub background_jobs: i32,
    /// Files kept open by one database.
    pub open_files_max: i32,
}

impl Default for RocksConfig {
    /// For a small host: 256 MiB cache, 256 MiB memtables.
    fn default() -> Self {
        Self {
            block_cache_bytes: 256 << 20,
            memtable_bytes: 256 << 20,
            background_jobs: 2,
            open_files_max: 512,
        }
    }
}

/// What the databases of all cores share. Cheap to clone.
#[derive(Clone)]
pub struct RocksShared {
    config: RocksConfig,
    cache: Cache,
    memtables: WriteBufferManager,
    env: Option<Env>,
    databases: Arc<AtomicU64>,
}

/// A database's share of the block cache. Dropping it leaves the others more.
pub(super) struct CacheShare {
    cache: Cache,
    databases: Arc<AtomicU64>,
}

impl CacheShare {
    /// Bytes of cached blocks, shared evenly among the open databases.
    pub(super) fn bytes(&self) -> u64 {
        let usage = u64::try_from(self.cache.get_usage()).unwrap_or(u64::MAX);
        usage.checked_div(self.databases.load(Ordering::Relaxed)).unwrap_or(usage)
    }
}

impl Drop for CacheShare {
    fn drop(&mut self) {
        self.databases.fetch_sub(1, Ordering::Relaxed);
    }
}

impl std::fmt::Debug for RocksShared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RocksShared").field("config", &self.config).finish_non_exhaustive()
    }
}

/// What a table's rows are like.
enum Shape {
    /// Read and written by whole key, for ever.
    Points,
    /// As points, and many: dedup.
    ManyPoints,
    /// Read in ranges, short-lived.
    Queue,
    /// Small.
    Few,
}

fn shape(table: Table) -> Shape {
    match table {
        Table::Sequence | Table::Watermarks | Table::Users => Shape::Points,
        Table::Dedup => Shape::ManyPoints,
        Table::Outbox | Table::OutboxPending | Table::Inbox => Shape::Queue,
        Table::Cursors | Table::Floor | Table::Facts => Shape::Few,
    }
}

impl RocksShared {
    /// Makes the shared parts.
    pub fn new(config: RocksConfig) -> Self {
        let cache = Cache::new_lru_cache(config.block_cache_bytes);
        // Writers never stall on the budget: they run on storage threads, behind a log that bounds them.
        let memtables = WriteBufferManager::new_write_buffer_manager(config.memtable_bytes, false);
        Self { config, cache, memtables, env: None, databases: Arc::default() }
    }

    /// Uses another environment than the operating system's: tests inject faults with it.
    #[must_use]
    pub fn with_env(mut self, env: Env) -> Self {
        self.env = Some(env);
        self
    }

    /// Another database uses the cache.
    pub(super) fn cache_share(&self) -> CacheShare {
        self.databases.fetch_add(1, Ordering::Relaxed);
        CacheShare { cache: self.cache.clone(), databases: Arc::clone(&self.databases) }
    }

    pub(super) fn database_options(&self) -> Options {
        let mut options = Options::default();
        options.create_if_missing(true);
        options.create_missing_column_families(true);
        options.set_atomic_flush(true);
        options.set_paranoid_checks(true);
        options.set_write_buffer_manager(&self.memtables);
        options.set_max_background_jobs(self.config.background_jobs);
        options.set_max_open_files(self.config.open_files_max);
        options.set_keep_log_file_num(2);
        options.set_log_level(LogLevel::Warn);
        options.set_stats_dump_period_sec(0);
        if let Some(env) = &self.env {
            options.set_env(env);
        }
        options
    }

    pub(super) fn families(&self) -> Vec<ColumnFamilyDescriptor> {
        let own = Table::ALL
            .into_iter()
            .map(|table| ColumnFamilyDescriptor::new(table.name(), self.family_options(&shape(table))));
        let reserved = Table::RESERVED
            .into_iter()
            .map(|name| ColumnFamilyDescriptor::new(name, self.family_options(&Shape::Few)));
        own.chain(reserved).collect()
    }

    fn family_options(&self, shape: &Shape) -> Options {
        let mut options = Options::default();
        let mut blocks = BlockBasedOptions::default();
        blocks.set_block_cache(&self.cache);
        blocks.set_cache_index_and_filter_blocks(true);
        blocks.set_pin_l0_filter_and_index_blocks_in_cache(true);
        blocks.set_format_version(6);
        options.set_max_write_buffer_number(4);
        options.set_compression_type(DBCompressionType::Lz4);
        match shape {
            Shape::Points => {
                options.set_write_buffer_size(16 << 20);
                options.set_memtable_whole_key_filtering(true);
                options.set_memtable_prefix_bloom_ratio(0.02);
                blocks.set_bloom_filter(10.0, false);
            }
            Shape::ManyPoints => {
                options.set_write_buffer_size(64 << 20);
                options.set_memtable_whole_key_filtering(true);
                options.set_memtable_prefix_bloom_ratio(0.02);
                // A ribbon filter has the same false positives in 30 % less memory; levels that change often keep Bloom.
                blocks.set_hybrid_ribbon_filter(10.0, 1);
            }
            Shape::Queue => {
                options.set_write_buffer_size(32 << 20);
                blocks.set_block_size(16 << 10);
            }
            Shape::Few => {
                options.set_write_buffer_size(2 << 20);
            }
        }
        options.set_block_based_table_factory(&blocks);
        options
    }
}
