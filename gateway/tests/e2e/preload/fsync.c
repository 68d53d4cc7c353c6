/* Makes every sync of the tables' files fail with EIO while the file IRIS_FAIL_SYNC exists, and every sync of a folder but theirs
   while IRIS_FAIL_FOLDER_SYNC exists. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

static int is_set(const char *variable) {
  const char *trigger = getenv(variable);
  return trigger != NULL && access(trigger, F_OK) == 0;
}

static int fails(int fd) {
  char link[64], path[PATH_MAX];
  struct stat facts;
  ssize_t length;
  int is_table;
  snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
  length = readlink(link, path, sizeof path - 1);
  if (length < 0) return 0;
  path[length] = 0;
  is_table = strstr(path, "/tables") != NULL;
  if (is_table ? !is_set("IRIS_FAIL_SYNC") : !is_set("IRIS_FAIL_FOLDER_SYNC")) return 0;
  if (!is_table && (fstat(fd, &facts) != 0 || !S_ISDIR(facts.st_mode))) return 0;
  errno = EIO;
  return 1;
}

int fsync(int fd) { return fails(fd) ? -1 : (int)syscall(SYS_fsync, fd); }

int fdatasync(int fd) { return fails(fd) ? -1 : (int)syscall(SYS_fdatasync, fd); }

int sync_file_range(int fd, off64_t offset, off64_t bytes, unsigned flags) {
  return fails(fd) ? -1 : (int)syscall(SYS_sync_file_range, fd, offset, bytes, flags);
}
