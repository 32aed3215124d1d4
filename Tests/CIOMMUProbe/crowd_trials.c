/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * crowd_trials.c - the list of trials of stress_probe.h and explore_probe.h with their names and
 * settings. It is worked out once, because most of it is every kind with every page size.
 */
#include "explore_probe.h"
#include "stress_probe.h"

#include <pthread.h>
#include <stdio.h>

#define TRIALS_MOST 224u
#define EXPLORE_BOUND 2u

/* How a trial differs from the plain one. */
struct variant {
    const char *name;
    struct probe_stress_settings settings;
};

#define PLAIN                                                                                      \
    .widen = true, .readers = 3, .iotlb_entries = 256, .first_level_entries = 64,                  \
    .walk_cache_entries = 64

static const struct variant variants[] = {
    {"", {PLAIN}},
    {", no walk cache",
     {.widen = true, .readers = 3, .iotlb_entries = 256, .first_level_entries = 4}},
    {", no caches", {.widen = true, .readers = 3}},
    {", tiny caches",
     {.widen = true,
      .readers = 3,
      .iotlb_entries = 4,
      .first_level_entries = 4,
      .walk_cache_entries = 4}},
    {", portable IOTLB", {PLAIN, .portable = true}},
    {", one thread on each processor",
     {.pinned = true, .iotlb_entries = 256, .first_level_entries = 64, .walk_cache_entries = 64}},
    {", four threads for each processor", {PLAIN, .crowding = 4}},
};

#define VARIANTS (sizeof variants / sizeof *variants)

typedef int (*runner)(const struct probe_trial *trial, const struct probe_trial_options *options,
                      struct probe_trial_result *result);

static pthread_once_t once = PTHREAD_ONCE_INIT;
static struct probe_trial trials[TRIALS_MOST];
static struct probe_stress_settings settings[TRIALS_MOST];
static struct probe_explore_settings explore_settings[TRIALS_MOST];
static char names[TRIALS_MOST][128];
static uint32_t count;

static void add(const char *name, const struct variant *variant, runner run, uint32_t kind,
                uint32_t page_lg2) {
    (void)snprintf(names[count], sizeof names[count], "%s%s", name, variant->name);
    settings[count] = variant->settings;
    settings[count].kind = kind;
    settings[count].page_lg2 = page_lg2;
    trials[count] = (struct probe_trial){names[count], run, &settings[count]};
    count++;
}

static const char *size_name(uint32_t page_lg2) {
    return page_lg2 == 12 ? "4 KiB" : page_lg2 == 21 ? "2 MiB" : "1 GiB";
}

/* `second_lg2` 0 = both stages have the same. */
static void add_poison(uint32_t kind, uint32_t page_lg2, uint32_t second_lg2,
                       const struct variant *variant) {
    char name[96];
    (void)snprintf(name, sizeof name, "poison, %s, pages of %s%s%s", probe_poison_name(kind),
                   size_name(page_lg2), second_lg2 == 0 ? "" : " over ",
                   second_lg2 == 0 ? "" : size_name(second_lg2));
    struct variant mixed = *variant;
    mixed.settings.second_lg2 = second_lg2;
    add(name, &mixed, probe_poison_trial, kind, page_lg2);
}

/* Stages with pages of different sizes. */
static void add_mixed(void) {
    static const struct {
        uint32_t kind;
        uint32_t first_lg2;
        uint32_t second_lg2;
    } mixes[] = {
        {PROBE_POISON_NESTED_4, 12, 21},    {PROBE_POISON_NESTED_4, 21, 12},
        {PROBE_POISON_NESTED_4, 21, 30},    {PROBE_POISON_NESTED_5, 12, 30},
        {PROBE_POISON_NESTED_5, 30, 21},    {PROBE_POISON_NESTED_HOST, 12, 21},
        {PROBE_POISON_NESTED_HOST, 21, 12},
    };
    for (uint32_t mix = 0; mix < sizeof mixes / sizeof *mixes; mix++) {
        add_poison(mixes[mix].kind, mixes[mix].first_lg2, mixes[mix].second_lg2, &variants[0]);
        if (mixes[mix].kind != PROBE_POISON_NESTED_5) {
            add_poison(mixes[mix].kind, mixes[mix].first_lg2, mixes[mix].second_lg2, &variants[1]);
        }
    }
}

static void add_explorations(void) {
    for (uint32_t scenario = 0; scenario < probe_explore_count(); scenario++) {
        (void)snprintf(names[count], sizeof names[count], "exploration, %s",
                       probe_explore_name(scenario));
        explore_settings[count] = (struct probe_explore_settings){scenario, EXPLORE_BOUND};
        trials[count] =
            (struct probe_trial){names[count], probe_explore_trial, &explore_settings[count]};
        count++;
    }
}

static void fill(void) {
    static const uint32_t sizes[] = {12, 21, 30};
    static const uint32_t varied[] = {PROBE_POISON_LEGACY_4, PROBE_POISON_FIRST_4,
                                      PROBE_POISON_NESTED_4, PROBE_POISON_NESTED_HOST,
                                      PROBE_POISON_HOST,     PROBE_POISON_SECOND_4};
    for (uint32_t kind = 0; kind < PROBE_POISON_KINDS; kind++) {
        for (uint32_t size = 0; size < sizeof sizes / sizeof *sizes; size++) {
            add_poison(kind, sizes[size], 0, &variants[0]);
        }
    }
    add_mixed();
    for (uint32_t variant = 0; variant < VARIANTS; variant++) {
        for (uint32_t kind = 0; kind < sizeof varied / sizeof *varied && variant != 0; kind++) {
            add_poison(varied[kind], 12, 0, &variants[variant]);
        }
        add("memory unmapped", &variants[variant], probe_unmapped_trial, 0, 0);
        add("ports made and destroyed", &variants[variant], probe_ports_trial, 0, 0);
        add("4,096 domains", &variants[variant], probe_crowd_trial, 0, 0);
    }
    add_explorations();
}

uint32_t probe_stress_trial_count(void) {
    (void)pthread_once(&once, fill);
    return count;
}

const struct probe_trial *probe_stress_trial(uint32_t number) {
    return number < probe_stress_trial_count() ? &trials[number] : NULL;
}
