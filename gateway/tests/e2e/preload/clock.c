/* Moves the wall clock of the process as the file IRIS_CLOCK says: "+5" or "-5" by seconds, "@5" to seconds since 1970.
   While the file IRIS_BREAK_CLOCK exists, reading the monotonic clock fails on the thread that it names. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static int read_file(const char *variable, char *text, size_t bytes) {
  const char *path = getenv(variable);
  ssize_t length;
  int fd = path == NULL ? -1 : open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0) return 0;
  length = read(fd, text, bytes - 1);
  close(fd);
  if (length <= 0) return 0;
  text[length] = 0;
  return 1;
}

static int is_broken(void) {
  char text[64], name[64];
  if (!read_file("IRIS_BREAK_CLOCK", text, sizeof text)) return 0;
  return pthread_getname_np(pthread_self(), name, sizeof name) == 0 && strcmp(text, name) == 0;
}

int clock_gettime(clockid_t clock, struct timespec *time) {
  char text[64];
  int result;
  if (clock == CLOCK_MONOTONIC && is_broken()) {
    errno = EINVAL;
    return -1;
  }
  result = (int)syscall(SYS_clock_gettime, clock, time);
  if (clock != CLOCK_REALTIME || !read_file("IRIS_CLOCK", text, sizeof text)) return result;
  if (text[0] == '@') {
    time->tv_sec = atoll(text + 1);
  } else {
    time->tv_sec += atoll(text);
  }
  return result;
}
