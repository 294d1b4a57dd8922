/* Preloaded into the processes of a run: the clock on the wall is off by as many seconds as the file CHAOS_CLOCK holds (a
   native int64, which may change at any time); the monotonic one is left alone. What waits until a time on the wall waits
   until then by that clock. libfaketime cannot do that: with DONT_FAKE_MONOTONIC its clock_nanosleep fails (0.9.10), and
   Python's sleep with it. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static const volatile int64_t *offset;

__attribute__((constructor)) static void begin(void) {
    const char *path = getenv("CHAOS_CLOCK");
    int file = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    if (file < 0) return;
    void *page = mmap(NULL, sizeof(int64_t), PROT_READ, MAP_SHARED, file, 0);
    close(file);
    if (page != MAP_FAILED) offset = page;
}

int clock_gettime(clockid_t clock, struct timespec *now) {
    static int (*real)(clockid_t, struct timespec *);
    if (!real) real = (int (*)(clockid_t, struct timespec *))dlsym(RTLD_NEXT, "clock_gettime");
    int answer = real(clock, now);
    if (answer == 0 && offset && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE)) now->tv_sec += *offset;
    return answer;
}

int gettimeofday(struct timeval *now, void *zone) {
    struct timespec exact;
    (void)zone;
    int answer = clock_gettime(CLOCK_REALTIME, &exact);
    if (answer == 0) *now = (struct timeval){exact.tv_sec, exact.tv_nsec / 1000};
    return answer;
}

time_t time(time_t *where) {
    struct timespec exact;
    clock_gettime(CLOCK_REALTIME, &exact);
    if (where) *where = exact.tv_sec;
    return exact.tv_sec;
}

/* The kernel knows the true time alone. Uptimes, which are below 10^9 seconds, are meant for the monotonic clock. */
static struct timespec true_time(const struct timespec *until) {
    struct timespec there = *until;
    if (offset && there.tv_sec > 1000000000) there.tv_sec -= *offset;
    return there;
}

int pthread_cond_timedwait(pthread_cond_t *condition, pthread_mutex_t *mutex, const struct timespec *until) {
    static int (*real)(pthread_cond_t *, pthread_mutex_t *, const struct timespec *);
    if (!real) real = dlvsym(RTLD_NEXT, "pthread_cond_timedwait", "GLIBC_2.3.2");
    if (!real) real = dlsym(RTLD_NEXT, "pthread_cond_timedwait");
    struct timespec there = true_time(until);
    return real(condition, mutex, &there);
}

int pthread_mutex_timedlock(pthread_mutex_t *mutex, const struct timespec *until) {
    static int (*real)(pthread_mutex_t *, const struct timespec *);
    if (!real) real = dlsym(RTLD_NEXT, "pthread_mutex_timedlock");
    struct timespec there = true_time(until);
    return real(mutex, &there);
}

int sem_timedwait(sem_t *semaphore, const struct timespec *until) {
    static int (*real)(sem_t *, const struct timespec *);
    if (!real) real = dlsym(RTLD_NEXT, "sem_timedwait");
    struct timespec there = true_time(until);
    return real(semaphore, &there);
}

long syscall(long number, ...) { /* abseil waits by futexes of its own */
    static long (*real)(long, ...);
    if (!real) real = (long (*)(long, ...))dlsym(RTLD_NEXT, "syscall");
    va_list all;
    va_start(all, number);
    long a = va_arg(all, long), b = va_arg(all, long), c = va_arg(all, long);
    long d = va_arg(all, long), e = va_arg(all, long), f = va_arg(all, long);
    va_end(all);
    if (number == SYS_futex && (b & FUTEX_CLOCK_REALTIME) && d) {
        struct timespec there = true_time((const struct timespec *)d);
        return real(number, a, b, c, (long)&there, e, f);
    }
    return real(number, a, b, c, d, e, f);
}
