/*
 * Loaded into a gateway below valgrind 3.19, which runs one thread at a time and does not know that io_uring_enter may wait: while
 * a core waits in it, no other thread of the process gets a turn, and the core waits for the storage thread's answer.
 * Here a core submits, waits for the ring's eventfd in ppoll, for which valgrind gives the turn away, and takes what has come.
 * Not for the ring itself: with deferred task work nobody wakes who polls it.
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

static long (*real)(long, ...);

/* The eventfd of the ring that this thread waits for: always the same one. */
static int event_of(int ring) {
  static __thread int known = -1, event = -1;
  if (known != ring) {
    event = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    known = ring;
    real(SYS_io_uring_register, (long)ring, (long)IORING_REGISTER_EVENTFD, &event, 1L);
  }
  return event;
}

static const struct timespec *limit(long flags, long argument) {
  if (!(flags & IORING_ENTER_EXT_ARG) || !argument) return 0;
  return (const struct timespec *)(uintptr_t)((struct io_uring_getevents_arg *)argument)->ts;
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
  ppoll(&event, 1, limit(fourth, fifth), 0);
  long taken = real(number, first, 0L, 0L, flags, 0L, 0L);
  /* What is posted after this read is found by the next first call, which then signals again. */
  uint64_t count;
  (void)!read(event.fd, &count, sizeof count);
  return taken < 0 ? taken : submitted;
}
