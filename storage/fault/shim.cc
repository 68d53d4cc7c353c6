// A file system under RocksDB that loses what was not synced, for tests. Wraps RocksDB's own FaultInjectionTestFS.
#include <memory>

#include "rocksdb/env.h"
#include "rocksdb/file_system.h"
#include "util/random.h"
#include "utilities/fault_injection_fs.h"

using namespace ROCKSDB_NAMESPACE;

// As in db/c.cc: what rocksdb_env_destroy expects.
struct rocksdb_env_t {
  Env* rep;
  bool is_default;
};

struct iris_fault {
  std::shared_ptr<FaultInjectionTestFS> fs;
};

extern "C" {

iris_fault* iris_fault_new() {
  return new iris_fault{std::make_shared<FaultInjectionTestFS>(FileSystem::Default())};
}

// The caller owns the environment; the databases that use it are closed before it is destroyed.
rocksdb_env_t* iris_fault_env(iris_fault* fault) {
  return new rocksdb_env_t{NewCompositeEnv(fault->fs).release(), false};
}

// True, before a database is opened: writes stay in memory until they are synced.
void iris_fault_lose_unsynced(iris_fault* fault, bool lose) { fault->fs->SetInjectUnsyncedDataLoss(lose); }

// False: every write fails, as after a power cut.
void iris_fault_set_active(iris_fault* fault, bool active) { fault->fs->SetFilesystemActive(active); }

// After the database was closed: all that was not synced is gone, and the file system works again. False if that fails.
bool iris_fault_drop_unsynced(iris_fault* fault) {
  bool dropped = fault->fs->DropUnsyncedFileData().ok();
  fault->fs->SetFilesystemActive(true);
  return dropped && fault->fs->DeleteFilesCreatedAfterLastDirSync(IOOptions(), nullptr).ok();
}

void iris_fault_free(iris_fault* fault) { delete fault; }
}
