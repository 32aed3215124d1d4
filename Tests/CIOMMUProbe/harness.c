/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * harness.c - see harness.h.
 */
#define _GNU_SOURCE
#include "harness.h"
#include "debug.h"

#include <pthread.h>
#include <sched.h>
#include <time.h>

uint64_t probe_random(uint64_t *state) {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

uint64_t probe_now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (uint64_t)time.tv_sec * UINT64_C(1000) + (uint64_t)time.tv_nsec / UINT64_C(1000000);
}

void probe_nap(long nanoseconds) {
    struct timespec nap = {0, nanoseconds};
    nanosleep(&nap, NULL);
}

#ifdef CIOMMU_INTERNAL_CHECKS
static _Thread_local uint64_t hook_random;

/* Of how many passages through a yield point one naps, long enough for a whole change to pass. */
static uint64_t nap_period(enum ciommu_yield_point point) {
    switch (point) {
    case CIOMMU_YIELD_BUMPED:
    case CIOMMU_YIELD_CLEARED:
    case CIOMMU_YIELD_PARENT_DONE:
    case CIOMMU_YIELD_TABLE_CHANGED:
    case CIOMMU_YIELD_MESSAGE_ARMED:
    case CIOMMU_YIELD_RETAGGED:
    case CIOMMU_YIELD_TABLES_CHANGING:
    case CIOMMU_YIELD_MAP_PUBLISHED:
        return 8; /* the changer's: readers must get through meanwhile */
    case CIOMMU_YIELD_TABLES_READ:
    case CIOMMU_YIELD_SEARCHING:
        return 8; /* met a few times a change and reader at most */
    case CIOMMU_YIELD_FAULT_FREED:
    case CIOMMU_YIELD_FAULT_RING_READ:
    case CIOMMU_YIELD_INSERTING:
    case CIOMMU_YIELD_WALKED:
    case CIOMMU_YIELD_RESOLVED:
    case CIOMMU_YIELD_ENTERED:
    case CIOMMU_YIELD_ANSWERING:
    case CIOMMU_YIELD_MESSAGE_JUDGED:
        return 64;
    default:
        return 1024;
    }
}

static void widen(enum ciommu_yield_point point) {
    if (hook_random == 0) {
        struct timespec time; /* threads of later runs have the same addresses */
        clock_gettime(CLOCK_MONOTONIC, &time);
        hook_random = ((uint64_t)(uintptr_t)&hook_random ^ (uint64_t)time.tv_nsec << 20) | 1;
    }
    uint64_t random = probe_random(&hook_random) >> 20;
    if (random % nap_period(point) == 0) {
        probe_nap(50000);
    } else if (random % 16 == 0) {
        sched_yield();
    }
}
#endif

void probe_widen(bool on) {
#ifdef CIOMMU_INTERNAL_CHECKS
    __atomic_store_n(&ciommu_yield_hook, on ? widen : NULL, __ATOMIC_RELEASE);
#else
    (void)on;
#endif
}

void probe_pin(bool changer) {
    cpu_set_t allowed;
    if (sched_getaffinity(0, sizeof allowed, &allowed) != 0 || CPU_COUNT(&allowed) < 2) {
        return;
    }
    int first = 0;
    while (!CPU_ISSET(first, &allowed)) {
        first++;
    }
    cpu_set_t set = allowed;
    CPU_CLR(first, &set);
    if (changer) {
        CPU_ZERO(&set);
        CPU_SET(first, &set);
    }
    (void)pthread_setaffinity_np(pthread_self(), sizeof set, &set);
}
