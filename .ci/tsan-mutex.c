/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * tsan-mutex.c - tells ThreadSanitizer about the slow ways of Swift's Mutex, which are in a library that is not built with it: the
 * kernel hands a contended lock over, and the tool would call whatever it guards a race. Preloaded by `make tsan`.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdint.h>

#define SELF __attribute__((swift_context))
#define SWIFT __attribute__((swiftcall))

#define LOCK_SLOW $s15Synchronization12_MutexHandleV9_lockSlowyys6UInt32VF
#define UNLOCK_SLOW $s15Synchronization12_MutexHandleV11_unlockSlowyyF
#define TEXT_OF(name) #name
#define NAME(symbol) TEXT_OF(symbol)

typedef SWIFT void lock_function(uint32_t thread, SELF void *mutex);
typedef SWIFT void unlock_function(SELF void *mutex);
typedef void edge_function(void *address);

/* Null in programs without the tool, and without Mutex. */
static lock_function *real_lock;
static unlock_function *real_unlock;
static edge_function *acquire;
static edge_function *release;

__attribute__((constructor)) static void find(void) {
    real_lock = (lock_function *)dlsym(RTLD_NEXT, NAME(LOCK_SLOW));
    real_unlock = (unlock_function *)dlsym(RTLD_NEXT, NAME(UNLOCK_SLOW));
    acquire = (edge_function *)dlsym(RTLD_DEFAULT, "__tsan_acquire");
    release = (edge_function *)dlsym(RTLD_DEFAULT, "__tsan_release");
}

SWIFT void LOCK_SLOW(uint32_t thread, SELF void *mutex) {
    real_lock(thread, mutex);
    if (acquire != 0) {
        acquire(mutex);
    }
}

SWIFT void UNLOCK_SLOW(SELF void *mutex) {
    if (release != 0) {
        release(mutex);
    }
    real_unlock(mutex);
}
