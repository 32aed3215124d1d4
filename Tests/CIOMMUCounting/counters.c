/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * counters.c - see counters.h. Each wrapper counts itself, and does what it stands for.
 */
#define _GNU_SOURCE /* sem_clockwait */
#include "counters.h"

#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <stddef.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

static _Thread_local struct counts counts;

void counters_reset(void) {
    counts = (struct counts){0};
}

struct counts counters_read(void) {
    return counts;
}

static void note(uint64_t *counter, const char *name) {
    (*counter)++;
    counts.first = counts.first == NULL ? name : counts.first;
}

/* ---- Memory ---- */

void *__real_malloc(size_t bytes);
void *__wrap_malloc(size_t bytes);

void *__wrap_malloc(size_t bytes) {
    note(&counts.allocations, "malloc");
    return __real_malloc(bytes);
}

void *__real_calloc(size_t count, size_t bytes);
void *__wrap_calloc(size_t count, size_t bytes);

void *__wrap_calloc(size_t count, size_t bytes) {
    note(&counts.allocations, "calloc");
    return __real_calloc(count, bytes);
}

void *__real_realloc(void *memory, size_t bytes);
void *__wrap_realloc(void *memory, size_t bytes);

void *__wrap_realloc(void *memory, size_t bytes) {
    note(&counts.allocations, "realloc");
    return __real_realloc(memory, bytes);
}

void *__real_reallocarray(void *memory, size_t count, size_t bytes);
void *__wrap_reallocarray(void *memory, size_t count, size_t bytes);

void *__wrap_reallocarray(void *memory, size_t count, size_t bytes) {
    note(&counts.allocations, "reallocarray");
    return __real_reallocarray(memory, count, bytes);
}

void *__real_aligned_alloc(size_t alignment, size_t bytes);
void *__wrap_aligned_alloc(size_t alignment, size_t bytes);

void *__wrap_aligned_alloc(size_t alignment, size_t bytes) {
    note(&counts.allocations, "aligned_alloc");
    return __real_aligned_alloc(alignment, bytes);
}

int __real_posix_memalign(void **memory, size_t alignment, size_t bytes);
int __wrap_posix_memalign(void **memory, size_t alignment, size_t bytes);

int __wrap_posix_memalign(void **memory, size_t alignment, size_t bytes) {
    note(&counts.allocations, "posix_memalign");
    return __real_posix_memalign(memory, alignment, bytes);
}

void __real_free(void *memory);
void __wrap_free(void *memory);

void __wrap_free(void *memory) {
    note(&counts.allocations, "free");
    __real_free(memory);
}

/* ---- Locks ---- */

int __real_pthread_mutex_lock(pthread_mutex_t *mutex);
int __wrap_pthread_mutex_lock(pthread_mutex_t *mutex);

int __wrap_pthread_mutex_lock(pthread_mutex_t *mutex) {
    note(&counts.locks, "pthread_mutex_lock");
    return __real_pthread_mutex_lock(mutex);
}

int __real_pthread_mutex_trylock(pthread_mutex_t *mutex);
int __wrap_pthread_mutex_trylock(pthread_mutex_t *mutex);

int __wrap_pthread_mutex_trylock(pthread_mutex_t *mutex) {
    note(&counts.locks, "pthread_mutex_trylock");
    return __real_pthread_mutex_trylock(mutex);
}

int __real_pthread_mutex_timedlock(pthread_mutex_t *mutex, const struct timespec *end);
int __wrap_pthread_mutex_timedlock(pthread_mutex_t *mutex, const struct timespec *end);

int __wrap_pthread_mutex_timedlock(pthread_mutex_t *mutex, const struct timespec *end) {
    note(&counts.locks, "pthread_mutex_timedlock");
    return __real_pthread_mutex_timedlock(mutex, end);
}

int __real_pthread_mutex_unlock(pthread_mutex_t *mutex);
int __wrap_pthread_mutex_unlock(pthread_mutex_t *mutex);

int __wrap_pthread_mutex_unlock(pthread_mutex_t *mutex) {
    note(&counts.locks, "pthread_mutex_unlock");
    return __real_pthread_mutex_unlock(mutex);
}

int __real_pthread_rwlock_rdlock(pthread_rwlock_t *lock);
int __wrap_pthread_rwlock_rdlock(pthread_rwlock_t *lock);

int __wrap_pthread_rwlock_rdlock(pthread_rwlock_t *lock) {
    note(&counts.locks, "pthread_rwlock_rdlock");
    return __real_pthread_rwlock_rdlock(lock);
}

int __real_pthread_rwlock_tryrdlock(pthread_rwlock_t *lock);
int __wrap_pthread_rwlock_tryrdlock(pthread_rwlock_t *lock);

int __wrap_pthread_rwlock_tryrdlock(pthread_rwlock_t *lock) {
    note(&counts.locks, "pthread_rwlock_tryrdlock");
    return __real_pthread_rwlock_tryrdlock(lock);
}

int __real_pthread_rwlock_wrlock(pthread_rwlock_t *lock);
int __wrap_pthread_rwlock_wrlock(pthread_rwlock_t *lock);

int __wrap_pthread_rwlock_wrlock(pthread_rwlock_t *lock) {
    note(&counts.locks, "pthread_rwlock_wrlock");
    return __real_pthread_rwlock_wrlock(lock);
}

int __real_pthread_rwlock_trywrlock(pthread_rwlock_t *lock);
int __wrap_pthread_rwlock_trywrlock(pthread_rwlock_t *lock);

int __wrap_pthread_rwlock_trywrlock(pthread_rwlock_t *lock) {
    note(&counts.locks, "pthread_rwlock_trywrlock");
    return __real_pthread_rwlock_trywrlock(lock);
}

int __real_pthread_rwlock_unlock(pthread_rwlock_t *lock);
int __wrap_pthread_rwlock_unlock(pthread_rwlock_t *lock);

int __wrap_pthread_rwlock_unlock(pthread_rwlock_t *lock) {
    note(&counts.locks, "pthread_rwlock_unlock");
    return __real_pthread_rwlock_unlock(lock);
}

int __real_pthread_spin_lock(pthread_spinlock_t *lock);
int __wrap_pthread_spin_lock(pthread_spinlock_t *lock);

int __wrap_pthread_spin_lock(pthread_spinlock_t *lock) {
    note(&counts.locks, "pthread_spin_lock");
    return __real_pthread_spin_lock(lock);
}

int __real_pthread_spin_trylock(pthread_spinlock_t *lock);
int __wrap_pthread_spin_trylock(pthread_spinlock_t *lock);

int __wrap_pthread_spin_trylock(pthread_spinlock_t *lock) {
    note(&counts.locks, "pthread_spin_trylock");
    return __real_pthread_spin_trylock(lock);
}

int __real_pthread_cond_wait(pthread_cond_t *condition, pthread_mutex_t *mutex);
int __wrap_pthread_cond_wait(pthread_cond_t *condition, pthread_mutex_t *mutex);

int __wrap_pthread_cond_wait(pthread_cond_t *condition, pthread_mutex_t *mutex) {
    note(&counts.locks, "pthread_cond_wait");
    return __real_pthread_cond_wait(condition, mutex);
}

int __real_pthread_cond_timedwait(pthread_cond_t *condition, pthread_mutex_t *mutex,
                                  const struct timespec *end);
int __wrap_pthread_cond_timedwait(pthread_cond_t *condition, pthread_mutex_t *mutex,
                                  const struct timespec *end);

int __wrap_pthread_cond_timedwait(pthread_cond_t *condition, pthread_mutex_t *mutex,
                                  const struct timespec *end) {
    note(&counts.locks, "pthread_cond_timedwait");
    return __real_pthread_cond_timedwait(condition, mutex, end);
}

int __real_pthread_cond_signal(pthread_cond_t *condition);
int __wrap_pthread_cond_signal(pthread_cond_t *condition);

int __wrap_pthread_cond_signal(pthread_cond_t *condition) {
    note(&counts.locks, "pthread_cond_signal");
    return __real_pthread_cond_signal(condition);
}

int __real_pthread_cond_broadcast(pthread_cond_t *condition);
int __wrap_pthread_cond_broadcast(pthread_cond_t *condition);

int __wrap_pthread_cond_broadcast(pthread_cond_t *condition) {
    note(&counts.locks, "pthread_cond_broadcast");
    return __real_pthread_cond_broadcast(condition);
}

int __real_pthread_once(pthread_once_t *once, void (*function)(void));
int __wrap_pthread_once(pthread_once_t *once, void (*function)(void));

int __wrap_pthread_once(pthread_once_t *once, void (*function)(void)) {
    note(&counts.locks, "pthread_once");
    return __real_pthread_once(once, function);
}

int __real_sem_wait(sem_t *semaphore);
int __wrap_sem_wait(sem_t *semaphore);

int __wrap_sem_wait(sem_t *semaphore) {
    note(&counts.locks, "sem_wait");
    return __real_sem_wait(semaphore);
}

int __real_sem_trywait(sem_t *semaphore);
int __wrap_sem_trywait(sem_t *semaphore);

int __wrap_sem_trywait(sem_t *semaphore) {
    note(&counts.locks, "sem_trywait");
    return __real_sem_trywait(semaphore);
}

int __real_sem_clockwait(sem_t *semaphore, clockid_t clock, const struct timespec *end);
int __wrap_sem_clockwait(sem_t *semaphore, clockid_t clock, const struct timespec *end);

int __wrap_sem_clockwait(sem_t *semaphore, clockid_t clock, const struct timespec *end) {
    note(&counts.locks, "sem_clockwait");
    return __real_sem_clockwait(semaphore, clock, end);
}

int __real_sem_post(sem_t *semaphore);
int __wrap_sem_post(sem_t *semaphore);

int __wrap_sem_post(sem_t *semaphore) {
    note(&counts.locks, "sem_post");
    return __real_sem_post(semaphore);
}

/* ---- System ---- */

void *__real_mmap(void *address, size_t bytes, int rights, int flags, int file, off_t offset);
void *__wrap_mmap(void *address, size_t bytes, int rights, int flags, int file, off_t offset);

void *__wrap_mmap(void *address, size_t bytes, int rights, int flags, int file, off_t offset) {
    note(&counts.calls, "mmap");
    return __real_mmap(address, bytes, rights, flags, file, offset);
}

int __real_munmap(void *address, size_t bytes);
int __wrap_munmap(void *address, size_t bytes);

int __wrap_munmap(void *address, size_t bytes) {
    note(&counts.calls, "munmap");
    return __real_munmap(address, bytes);
}

int __real_madvise(void *address, size_t bytes, int advice);
int __wrap_madvise(void *address, size_t bytes, int advice);

int __wrap_madvise(void *address, size_t bytes, int advice) {
    note(&counts.calls, "madvise");
    return __real_madvise(address, bytes, advice);
}

int __real_pthread_create(pthread_t *thread, const pthread_attr_t *attributes,
                          void *(*function)(void *), void *context);
int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attributes,
                          void *(*function)(void *), void *context);

int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attributes,
                          void *(*function)(void *), void *context) {
    note(&counts.calls, "pthread_create");
    return __real_pthread_create(thread, attributes, function, context);
}

int __real_sched_yield(void);
int __wrap_sched_yield(void);

int __wrap_sched_yield(void) {
    note(&counts.calls, "sched_yield");
    return __real_sched_yield();
}

int __real_nanosleep(const struct timespec *time, struct timespec *left);
int __wrap_nanosleep(const struct timespec *time, struct timespec *left);

int __wrap_nanosleep(const struct timespec *time, struct timespec *left) {
    note(&counts.calls, "nanosleep");
    return __real_nanosleep(time, left);
}

int __real_poll(struct pollfd *files, nfds_t count, int timeout);
int __wrap_poll(struct pollfd *files, nfds_t count, int timeout);

int __wrap_poll(struct pollfd *files, nfds_t count, int timeout) {
    note(&counts.calls, "poll");
    return __real_poll(files, count, timeout);
}

ssize_t __real_read(int file, void *bytes, size_t count);
ssize_t __wrap_read(int file, void *bytes, size_t count);

ssize_t __wrap_read(int file, void *bytes, size_t count) {
    note(&counts.calls, "read");
    return __real_read(file, bytes, count);
}

ssize_t __real_write(int file, const void *bytes, size_t count);
ssize_t __wrap_write(int file, const void *bytes, size_t count);

ssize_t __wrap_write(int file, const void *bytes, size_t count) {
    note(&counts.calls, "write");
    return __real_write(file, bytes, count);
}
