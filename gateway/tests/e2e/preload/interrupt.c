/* Interrupts every second read of a segment of the log, as a signal may. */
#define _GNU_SOURCE
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

static __thread unsigned reads;

static int is_of_the_log(int fd) {
  char link[64], path[PATH_MAX];
  ssize_t length;
  snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
  length = readlink(link, path, sizeof path - 1);
  if (length < 0) return 0;
  path[length] = 0;
  return strstr(path, "/log/") != NULL;
}

ssize_t pread64(int fd, void *out, size_t bytes, off64_t offset) {
  if (is_of_the_log(fd) && reads++ % 2 == 0) {
    errno = EINTR;
    return -1;
  }
  return syscall(SYS_pread64, fd, out, bytes, offset);
}
