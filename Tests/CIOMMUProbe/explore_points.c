/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * explore_points.c - is every yield point passed? By a scenario of the explorations, or by a case
 * that is named here.
 */
#define _GNU_SOURCE
#include "case_probe.h"
#include "explore_world.h"
#include "probe.h"

#include <sched.h>
#include <stdio.h>

#ifdef CIOMMU_INTERNAL_CHECKS

static const struct {
    enum ciommu_yield_point point;
    uint32_t mutant; /* without which there is no such point; 0 */
    const char *name;
} passing[] = {
    {CIOMMU_YIELD_HALF_STORED, CIOMMU_MUTANT_TORN_ENTRY,
     "caches: what was invalidated is read anew"},
    {CIOMMU_YIELD_MESSAGE_ARMED, CIOMMU_MUTANT_MESSAGE_ARMED_EARLY,
     "messages: nothing is armed before its PASID is in place"},
    {CIOMMU_YIELD_MESSAGE_JUDGED, 0, "messages: an unmask beside a raise loses nothing"},
    {CIOMMU_YIELD_MESSAGE_NOTED, 0, "messages: an unmask beside a raise takes it once"},
    {CIOMMU_YIELD_FAULT_FREED, CIOMMU_MUTANT_FAULT_SLOT_FREED_EARLY,
     "faults: faults arrive in order"},
    {CIOMMU_YIELD_FAULT_RING_READ, 0, "faults: faults arrive in order"},
    {CIOMMU_YIELD_PAGE_ASKED, 0, "pages: no request outlives the root table"},
    {CIOMMU_YIELD_PAGE_ROUTED, 0, "pages: delivers whole groups"},
    {CIOMMU_YIELD_PAGES_CANCELLED, CIOMMU_MUTANT_PAGE_CANCEL_FIRST,
     "pages: no request slips through a detach"},
    {CIOMMU_YIELD_BLOCK_SETTLED, 0, "device-TLBs: blocked anew meanwhile"},
    {CIOMMU_YIELD_LEFT, 0, "late reports: a drain waits for what was written"},
};

#define PASSING (sizeof passing / sizeof *passing)

static void pass(enum ciommu_yield_point point) {
    (void)point;
    sched_yield();
}

static uint64_t met_in_scenarios(void) {
    struct probe_explore_result result;
    __atomic_store_n(&ciommu_yield_points_met, 0, __ATOMIC_RELAXED);
    for (uint32_t scenario = 0; scenario < probe_explore_count(); scenario++) {
        (void)probe_explore_run(scenario, 0, 1, &result);
    }
    return __atomic_load_n(&ciommu_yield_points_met, __ATOMIC_RELAXED);
}

static uint64_t met_in_case(const char *name, uint32_t mutant) {
    struct probe_case_result result;
    uint32_t number;
    if (!probe_case_find(name, &number)) {
        return 0;
    }
    __atomic_store_n(&ciommu_yield_points_met, 0, __ATOMIC_RELAXED);
    __atomic_store_n(&ciommu_yield_hook, pass, __ATOMIC_RELEASE); /* unless the case has its own */
    probe_case_run(number, mutant, &result);
    __atomic_store_n(&ciommu_yield_hook, NULL, __ATOMIC_RELEASE);
    return __atomic_load_n(&ciommu_yield_points_met, __ATOMIC_RELAXED);
}

uint32_t probe_points_missed(char *text, uint32_t size) {
    uint32_t missed = 0;
    uint32_t length = 0;
    uint64_t met = met_in_scenarios();
    for (uint32_t row = 0; row < PASSING; row++) {
        met |= met_in_case(passing[row].name, passing[row].mutant) & UINT64_C(1)
                                                                         << passing[row].point;
    }
    text[0] = 0;
    for (uint32_t point = 0; point < CIOMMU_YIELD_COUNT; point++) {
        if ((met >> point & 1) == 0) {
            missed++;
            int written = snprintf(text + length, size - length, "%u ", point);
            length += written < 0 || (uint32_t)written >= size - length ? 0 : (uint32_t)written;
        }
    }
    return missed;
}

#else

uint32_t probe_points_missed(char *text, uint32_t size) {
    (void)size;
    text[0] = 0;
    return 0;
}

#endif
