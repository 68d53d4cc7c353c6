//! Compiles the fault-injecting file system of the tests, if feature `fault-env` asks for it.

fn main() {
    println!("cargo:rerun-if-changed=fault/shim.cc");
    #[cfg(feature = "fault-env")]
    shim();
}

/// The flags are those that librocksdb-sys compiles with: another set gives its classes another size.
#[cfg(feature = "fault-env")]
fn shim() {
    let source = std::env::var("DEP_ROCKSDB_CARGO_MANIFEST_DIR").unwrap_or_default();
    let mut build = cc::Build::new();
    build.cpp(true).std("c++20").file("fault/shim.cc").flag("-include").flag("cstdint").warnings(false);
    build.include(format!("{source}/rocksdb")).include(format!("{source}/rocksdb/include"));
    build.define("NDEBUG", "1");
    for name in [
        "HAVE_ALIGNED_NEW",
        "HAVE_UINT128_EXTENSION",
        "OS_LINUX",
        "ROCKSDB_PLATFORM_POSIX",
        "ROCKSDB_LIB_IO_POSIX",
        "ROCKSDB_SCHED_GETCPU_PRESENT",
        "ROCKSDB_AUXV_GETAUXVAL_PRESENT",
        "ROCKSDB_FALLOCATE_PRESENT",
        "ROCKSDB_RANGESYNC_PRESENT",
    ] {
        build.define(name, None);
    }
    build.compile("iris_fault_shim");
}
