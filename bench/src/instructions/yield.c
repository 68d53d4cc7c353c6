/*
 * Loaded into a gateway below valgrind 3.19, which runs one thread at a time and does not know that io_uring_enter may wait: while
 * a core waits in it, no other thread of the process gets a turn, and the core waits for the storage thread's answer.
 * Here a core submits, waits for the ring's eventfd in ppoll, for which valgrind gives the turn away, and takes what has come.
 * Not for the ring itself: with deferred task work nobody wakes who polls it.
 *
 * A core's clock goes SLOWER times slower, as the core does below callgrind: how many acknowledgements come before a record is
 * closed (it waits 3 ms for them) is then as at full speed, and the same whatever else the host does.
 *
 * Only what goes through libc's syscall() comes by: that is how the io-uring crate calls the kernel.
 * Source: io_uring_enter(2), io_uring_register(2).
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <linux/io_uring.h>
#include <poll.h>
#include <stdarg.h>
#include <stdint.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define SLOWER 20
#define SECOND 1000000000LL

static long (*real)(long, ...);

/* When the clock of this thread became slow, in nanoseconds; 0: it is none that waits for a ring. */
static __thread int64_t slow_since;

static int64_t nanoseconds(const struct timespec *time) { return time->tv_sec * SECOND + time->tv_nsec; }

static struct timespec timespec_of(int64_t nanoseconds) {
  return (struct timespec){.tv_sec = nanoseconds / SECOND, .tv_nsec = nanoseconds % SECOND};
}

int clock_gettime(clockid_t clock, struct timespec *time) {
  long result = syscall(SYS_clock_gettime, (long)clock, time);
  if (result == 0 && clock == CLOCK_MONOTONIC && slow_since)
    *time = timespec_of(slow_since + (nanoseconds(time) - slow_since) / SLOWER);
  return (int)result;
}

/* The eventfd of the ring that this thread waits for: always the same one. */
static int event_of(int ring) {
  static __thread int known = -1, event = -1;
  if (known != ring) {
    event = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    known = ring;
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    if (!slow_since) slow_since = nanoseconds(&now);
    real(SYS_io_uring_register, (long)ring, (long)IORING_REGISTER_EVENTFD, &event, 1L);
  }
  return event;
}

/* How long the caller would wait, by the host's clock; false: for ever. */
static int limit(long flags, long argument, struct timespec *time) {
  if (!(flags & IORING_ENTER_EXT_ARG) || !argument) return 0;
  const struct timespec *asked = (void *)(uintptr_t)((struct io_uring_getevents_arg *)argument)->ts;
  if (!asked) return 0;
  *time = timespec_of(nanoseconds(asked) * SLOWER);
  return 1;
}

long syscall(long number, ...) {
  if (!real) real = (long (*)(long, ...))dlsym(RTLD_NEXT, "syscall");
  va_list list;
  va_start(list, number);
  long first = va_arg(list, long), second = va_arg(list, long), third = va_arg(list, long);
  long fourth = va_arg(list, long), fifth = va_arg(list, long), sixth = va_arg(list, long);
  va_end(list);
  if (number != SYS_io_uring_enter || third == 0) return real(number, first, second, third, fourth, fifth, sixth);
  struct pollfd event = {.fd = event_of((int)first), .events = POLLIN};
  long flags = (fourth & ~IORING_ENTER_EXT_ARG) | IORING_ENTER_GETEVENTS;
  long submitted = real(number, first, second, 0L, flags, 0L, 0L);
  if (submitted < 0) return submitted;
  struct timespec time;
  ppoll(&event, 1, limit(fourth, fifth, &time) ? &time : 0, 0);
  long taken = real(number, first, 0L, 0L, flags, 0L, 0L);
  /* What is posted after this read is found by the next first call, which then signals again. */
  uint64_t count;
  (void)!read(event.fd, &count, sizeof count);
  return taken < 0 ? taken : submitted;
}
