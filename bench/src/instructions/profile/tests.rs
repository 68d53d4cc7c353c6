//! What is read from a profile.
#![cfg(test)]

use super::*;

/// A core's thread: one vector that grows below a send, one box, and what the allocator does for them.
const CORE: &str = "# callgrind format
thread: 6
events: Ir
summary: 1000

fn=iris_gateway::storage_thread::StorageHandle::absorb
210 7
fn=iris_gateway::core_loop::Core::run
12 40
cfn=iris_gateway::storage_thread::StorageHandle::absorb
calls=3 210
14 21
cfn=__rustc::__rust_alloc'iris_gateway::core_loop::Core::run'iris_gateway::serve::run_core
calls=5 0
15 500

fn=alloc::raw_vec::RawVecInner<A>::finish_grow
1 9
cfn=__rustc::__rust_realloc'alloc::raw_vec::RawVecInner<A>::finish_grow'2'iris_shard::outbox::push'iris_shard::shard::Shard::handle
calls=2 0
1 60

fn=__rustc::__rust_realloc'alloc::raw_vec::RawVecInner<A>::finish_grow
0 6
cfn=mi_realloc_aligned
calls=2 0
0 50

fn=iris_gateway::core_loop::Core::run
16 4
cfn=__rustc::__rust_dealloc
calls=7 0
16 70

totals: 990
";

/// Instructions are the totals; allocations are counted once, where the allocator is entered, and named by who is behind the
/// library.
/// Seen to fail when: calls from inside the allocator are counted too (9 for 7).
#[test]
fn allocations_are_counted_where_the_allocator_is_entered() {
    let (thread, work) = read(CORE).unwrap();
    assert_eq!((thread, work.instructions, work.allocated()), (Thread::Core, 990, 7));
    let sites: Vec<_> = work.allocations.iter().map(|(site, count)| (site.as_str(), *count)).collect();
    let expected = [
        ("iris_gateway::core_loop::Core::run < iris_gateway::serve::run_core", 5),
        ("iris_shard::outbox::push < iris_shard::shard::Shard::handle", 2),
    ];
    assert_eq!(sites, expected);
}

/// A thread is known by what it runs; a core's also enters the storage thread's code.
/// Seen to fail when: the worker's name is cut to its module, and a core's no longer wins.
#[test]
fn threads_are_known_by_what_they_run() {
    let thread = |functions: &[&str]| {
        let lines: Vec<_> = functions.iter().map(|name| format!("fn={name}\n1 1\n")).collect();
        read(&format!("{}totals: 1\n", lines.concat())).map(|(thread, _)| thread)
    };
    let (worker, core) =
        ("iris_gateway::storage_thread::Worker<T>::run", "iris_gateway::core_loop::Core::run");
    assert_eq!(thread(&[worker]), Some(Thread::Storage));
    assert_eq!(thread(&[worker, core]), Some(Thread::Core));
    assert_eq!(thread(&[core, worker]), Some(Thread::Core));
    assert_eq!(thread(&["rocksdb::ThreadPoolImpl::Impl::BGThread(unsigned long)"]), Some(Thread::Other));
}

/// A profile that was cut off is none.
/// Seen to fail when: missing totals count as 0.
#[test]
fn a_profile_without_totals_is_none() {
    assert_eq!(read(CORE.trim_end_matches("totals: 990\n")), None);
    assert_eq!(read(""), None);
}

/// Memory that C and C++ ask for counts as well, and is named by the function that asks.
/// Seen to fail when: `malloc` below `operator new` counts again.
#[test]
fn allocations_of_other_languages_count() {
    let text = "fn=rocksdb::MemTable::Add\n1 1\ncfn=operator new(unsigned long)\ncalls=4 0\n1 8\n\
                fn=operator new(unsigned long)\n1 1\ncfn=malloc\ncalls=4 0\n1 8\ntotals: 9\n";
    let (_, work) = read(text).unwrap();
    assert_eq!(work.allocations.into_iter().collect::<Vec<_>>(), [("rocksdb::MemTable::Add".to_owned(), 4)]);
}
