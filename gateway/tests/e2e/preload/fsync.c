/* Makes every sync of the tables' files fail with EIO while the file IRIS_FAIL_SYNC exists. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

static int fails(int fd) {
  const char *trigger = getenv("IRIS_FAIL_SYNC");
  char link[64], path[PATH_MAX];
  ssize_t length;
  if (trigger == NULL || access(trigger, F_OK) != 0) return 0;
  snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
  length = readlink(link, path, sizeof path - 1);
  if (length < 0) return 0;
  path[length] = 0;
  if (strstr(path, "/tables") == NULL) return 0;
  errno = EIO;
  return 1;
}

int fsync(int fd) { return fails(fd) ? -1 : (int)syscall(SYS_fsync, fd); }

int fdatasync(int fd) { return fails(fd) ? -1 : (int)syscall(SYS_fdatasync, fd); }

int sync_file_range(int fd, off64_t offset, off64_t bytes, unsigned flags) {
  return fails(fd) ? -1 : (int)syscall(SYS_sync_file_range, fd, offset, bytes, flags);
}
