//! Fuzz target `token`: see src/token.rs. `scripts/fuzz token 60` runs it.
#![no_main]

// The gateway's own modules, without the gateway: it links RocksDB, which takes long to build with a sanitizer.
#[allow(dead_code, unused_imports, reason = "the target uses a part of them")]
#[path = "../../gateway/src"]
mod gateway {
    pub mod secret_file;
    pub mod token;
}
#[path = "../src/token.rs"]
mod check;

use gateway::secret_file;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| check::check(bytes));
