/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * load_probe.c - see load_probe.h.
 */
#include "load_probe.h"
#include "debug.h"

#include <stddef.h>

#ifdef CIOMMU_INTERNAL_CHECKS

/* Ignored by both stages [FORMATS-VTD A7, A8]. */
#define IGNORED (UINT64_C(1) << 55)

static struct {
    const struct probe_words *ranges;
    uint32_t count;
    uint32_t left;
    uint32_t done;
} guest;

uint64_t probe_guest_loads(void) {
    return ciommu_guest_loads;
}

/* A word that is zero without the bit is left alone, so that every change can be turned back. */
static void turn_over(void) {
    for (uint32_t at = 0; at < guest.count; at++) {
        for (uint64_t word = 0; word < guest.ranges[at].count; word++) {
            uint64_t *slot = &guest.ranges[at].words[word];
            uint64_t value = load_relaxed(slot);
            if ((value & ~IGNORED) != 0) {
                store_relaxed(slot, value ^ IGNORED);
            }
        }
    }
}

static void disturb(enum ciommu_yield_point point) {
    if (point == CIOMMU_YIELD_MARKING && guest.left != 0) {
        guest.left--;
        guest.done++;
        turn_over();
    }
}

void probe_marks_lose(const struct probe_words *ranges, uint32_t count, uint32_t times) {
    guest.ranges = ranges;
    guest.count = count;
    guest.left = times;
    guest.done = 0;
    store_release(&ciommu_yield_hook, disturb);
}

uint32_t probe_marks_end(void) {
    store_release(&ciommu_yield_hook, NULL);
    if (guest.done % 2 != 0) {
        turn_over();
    }
    return guest.done;
}

#else

uint64_t probe_guest_loads(void) {
    return 0;
}

void probe_marks_lose(const struct probe_words *ranges, uint32_t count, uint32_t times) {
    (void)ranges;
    (void)count;
    (void)times;
}

uint32_t probe_marks_end(void) {
    return 0;
}

#endif
