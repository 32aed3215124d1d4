/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * inject_holdings.c - see inject_world.h: what the engine has taken and not given back, counted
 * where it takes memory, and by the system.
 */
#define _GNU_SOURCE
#include "alloc.h"
#include "atomics.h"
#include "domain_probe.h"
#include "inject_world.h"
#include "rcu.h"

#include <dirent.h>
#include <time.h>

#define NAP 1000000L   /* nanoseconds */
#define PATIENCE 60000 /* naps until a thread that was joined is out of the system's list */

/* Names in a directory; 0 where there is no such directory. */
static uint32_t names_in(const char *path) {
    uint32_t count = 0;
    DIR *directory = opendir(path);
    if (directory == NULL) {
        return 0;
    }
    for (const struct dirent *entry = readdir(directory); entry != NULL;
         entry = readdir(directory)) {
        count += entry->d_name[0] != '.';
    }
    (void)closedir(directory);
    return count;
}

static int64_t live_blocks(void) {
#ifdef CIOMMU_INTERNAL_CHECKS
    return load_relaxed(&ciommu_blocks);
#else
    return 0;
#endif
}

bool inject_is_alone(void) {
    return names_in("/proc/self/task") == 1;
}

struct inject_holdings inject_holdings(bool alone) {
    probe_wait_for_reclamation();
    struct inject_holdings held = {.alone = alone, .blocks = live_blocks()};
    if (alone) {
        held.descriptors = names_in("/proc/self/fd");
        held.threads = names_in("/proc/self/task");
    }
    return held;
}

void inject_expect_holdings(struct probe_inject_result *result,
                            const struct inject_holdings *expected, const char *file, int line) {
    const struct timespec nap = {0, NAP};
    struct inject_holdings held = inject_holdings(expected->alone);
    for (uint32_t naps = 0; held.threads > expected->threads && naps < PATIENCE; naps++) {
        (void)nanosleep(&nap, NULL);
        held.threads = names_in("/proc/self/task");
    }
    inject_expect(result, held.blocks == expected->blocks, "no memory is lost", file, line);
    inject_expect(result, held.descriptors == expected->descriptors, "no descriptor is lost", file,
                  line);
    inject_expect(result, held.threads == expected->threads, "no thread is lost", file, line);
}

void inject_prepare_holdings(void) {
    ciommu_rcu_prepare(); /* its thread stays */
}
