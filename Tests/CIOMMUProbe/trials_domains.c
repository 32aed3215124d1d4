/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * trials_domains.c - the worlds of domain_probe.h as trials: what a host changes under traffic.
 */
#include "domain_probe.h"
#include "trials.h"

#include <stdio.h>

struct domain_settings {
    enum probe_domain_world world;
    uint32_t readers;
    uint32_t iotlb_entries;
    uint32_t first_level_entries;
    uint32_t walk_cache_entries;
    bool portable;
};

static bool is_dirty(const struct domain_settings *settings) {
    return settings->world >= PROBE_DOMAIN_DIRTY;
}

static int domain_pass(const void *opaque, const struct probe_trial_options *options,
                       struct trial_pass *pass) {
    const struct domain_settings *settings = opaque;
    uint64_t least = options->milliseconds < 1000 ? 200 : 1000;
    const struct probe_domain_options world = {
        .world = settings->world,
        .mutant = options->mutant,
        .readers = settings->readers,
        .milliseconds = options->milliseconds,
        .rounds = options->mutant != 0 ? 0 : least,
        .seed = options->seed,
        .iotlb_entries = settings->iotlb_entries,
        .first_level_entries = settings->first_level_entries,
        .walk_cache_entries = settings->walk_cache_entries,
        .portable = settings->portable,
        .widen = true,
    };
    struct probe_domain_result result;
    int status = probe_domain_stress(&world, &result);
    pass->violations = result.violations;
    pass->operations = result.reads;
    pass->changes = result.changes;
    pass->sights = trial_sees(SEES_OPERATIONS, result.reads) |
                   trial_sees(SEES_CHANGES, result.changes) |
                   trial_sees(SEES_WRITES, result.writes);
    (void)snprintf(pass->first, sizeof pass->first, "%s", result.first);
    return status;
}

static int run_domain(const struct probe_trial *trial, const struct probe_trial_options *options,
                      struct probe_trial_result *result) {
    const struct trial_world world = {
        domain_pass, is_dirty(trial->settings) ? SEES_OPERATIONS | SEES_MANY_CHANGES | SEES_WRITES
                                               : SEES_OPERATIONS | SEES_CHANGES};
    return trial_run(&world, trial, options, result);
}

#define SIZES(threads, iotlb, first_level, walk_cache)                                             \
    .readers = threads, .iotlb_entries = iotlb, .first_level_entries = first_level,                \
    .walk_cache_entries = walk_cache
#define USUAL SIZES(3, 256, 64, 64)
#define PORTABLE SIZES(2, 256, 64, 64), .portable = true

#define DOMAIN(name, kind, ...)                                                                    \
    {                                                                                              \
        name, run_domain, &(const struct domain_settings) {                                        \
            .world = kind, __VA_ARGS__                                                             \
        }                                                                                          \
    }
#define BOTH(name, world) DOMAIN(name, world, USUAL), DOMAIN(name ", portable", world, PORTABLE)
/* With a walk cache the leaf tables that it knows are read instead of the IOTLB. */
#define NO_WALKS SIZES(3, 256, 4, 0)
#define IOTLB_ALONE(name, world)                                                                   \
    DOMAIN(name ", no walk cache", world, NO_WALKS),                                               \
        DOMAIN(name ", no walk cache, portable", world, NO_WALKS, .portable = true)

static const struct probe_trial rows[] = {
    BOTH("host flips", PROBE_DOMAIN_FLIPS),
    BOTH("host splits", PROBE_DOMAIN_SPLITS),
    BOTH("host huge splits", PROBE_DOMAIN_HUGE_SPLITS),
    BOTH("host replaces", PROBE_DOMAIN_REPLACE),
    BOTH("host attaches", PROBE_DOMAIN_ATTACH),
    BOTH("host parents", PROBE_DOMAIN_CHILDREN),
    BOTH("host mappers", PROBE_DOMAIN_MAPPERS),
    BOTH("host dirty bits", PROBE_DOMAIN_DIRTY),
    BOTH("host dirty bits, large", PROBE_DOMAIN_DIRTY_LARGE),
    BOTH("host dirty bits, split", PROBE_DOMAIN_DIRTY_SPLIT),
    BOTH("host dirty bits, nested", PROBE_DOMAIN_DIRTY_NESTED),
    DOMAIN("host flips, tiny caches, many readers", PROBE_DOMAIN_FLIPS, SIZES(6, 4, 4, 64)),
    IOTLB_ALONE("host replaces", PROBE_DOMAIN_REPLACE),
    IOTLB_ALONE("host attaches", PROBE_DOMAIN_ATTACH),
    IOTLB_ALONE("host splits", PROBE_DOMAIN_SPLITS),
    IOTLB_ALONE("host parents", PROBE_DOMAIN_CHILDREN),
    IOTLB_ALONE("host mappers", PROBE_DOMAIN_MAPPERS),
    IOTLB_ALONE("host dirty bits", PROBE_DOMAIN_DIRTY),
    IOTLB_ALONE("host dirty bits, split", PROBE_DOMAIN_DIRTY_SPLIT),
    DOMAIN("host splits, no caches", PROBE_DOMAIN_SPLITS, SIZES(3, 0, 0, 0)),
    DOMAIN("host splits, tiny caches", PROBE_DOMAIN_SPLITS, SIZES(3, 4, 4, 4)),
    DOMAIN("host dirty bits, tiny caches", PROBE_DOMAIN_DIRTY, SIZES(3, 4, 4, 64)),
};

const struct trial_table trials_of_domains = {rows, sizeof rows / sizeof *rows};
