/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * trials_protocol.c - the worlds of probe.h and batch_probe.h as trials: the protocol between
 * translations and invalidations, from guest tables and from batches.
 */
#include "batch_probe.h"
#include "probe.h"
#include "trials.h"

#include <stdio.h>

/* ---- Worlds ---- */

struct world_settings {
    enum probe_world world;
    uint32_t readers;
    uint32_t iotlb_entries;
    uint32_t first_level_entries;
    uint32_t walk_cache_entries;
    bool portable;
    bool slow_stores; /* instead of wide races */
};

static int world_pass(const void *opaque, const struct probe_trial_options *options,
                      struct trial_pass *pass) {
    const struct world_settings *settings = opaque;
    const struct probe_options world = {
        .world = settings->world,
        .mutant = options->mutant,
        .readers = settings->readers,
        .milliseconds = options->milliseconds,
        .seed = options->seed,
        .iotlb_entries = settings->iotlb_entries,
        .first_level_entries = settings->first_level_entries,
        .walk_cache_entries = settings->walk_cache_entries,
        .portable = settings->portable,
        .widen = !settings->slow_stores,
        .slow_stores = settings->slow_stores,
    };
    struct probe_result result;
    int status = probe_stress(&world, &result);
    /* Nothing changes in a crowd: what it asks of the shared cache counts, or, where known tables
     * come before that, what it asks of those. */
    uint64_t shared = settings->walk_cache_entries == 0 ? result.iotlb_hits : result.walks;
    pass->violations = result.violations;
    pass->operations = result.reads;
    pass->changes = result.changes;
    pass->sights =
        trial_sees(SEES_OPERATIONS, result.reads) |
        trial_sees(SEES_CHANGES, settings->world == PROBE_CROWD ? shared : result.changes);
    (void)snprintf(pass->first, sizeof pass->first, "%s", result.first);
    return status;
}

static int run_world(const struct probe_trial *trial, const struct probe_trial_options *options,
                     struct probe_trial_result *result) {
    static const struct trial_world world = {world_pass, SEES_OPERATIONS | SEES_CHANGES};
    return trial_run(&world, trial, options, result);
}

/* ---- Batches ---- */

struct batch_settings {
    bool observed;
    bool widen;
};

/* Implementation: batches of a pass; with wide races each takes some ten times as long. */
#define BATCHES 2000u
#define BATCHES_WIDE 300u

static int batch_pass(const void *opaque, const struct probe_trial_options *options,
                      struct trial_pass *pass) {
    const struct batch_settings *settings = opaque;
    const struct probe_batch_options world = {
        .appliers = 8,
        .readers = 2,
        .batches = settings->widen ? BATCHES_WIDE : BATCHES,
        .mutant = options->mutant,
        .seed = options->seed,
        .observed = settings->observed,
        .widen = settings->widen,
    };
    struct probe_batch_result result;
    int status = probe_batch_stress(&world, &result);
    pass->violations = result.violations;
    pass->operations = result.reads;
    pass->changes = result.entries;
    pass->sights = trial_sees(SEES_OPERATIONS, result.reads) |
                   trial_sees(SEES_CHANGES, result.entries) | trial_sees(SEES_WAITS, result.waits) |
                   trial_sees(SEES_MERGES, result.merged);
    (void)snprintf(pass->first, sizeof pass->first, "%s", result.first);
    if (status == 0 && result.violations == 0 && result.batches != world.batches) {
        trial_violate(pass, "not every batch was applied");
    }
    return status;
}

static int run_batches(const struct probe_trial *trial, const struct probe_trial_options *options,
                       struct probe_trial_result *result) {
    static const struct trial_world world = {batch_pass, SEES_OPERATIONS | SEES_CHANGES |
                                                             SEES_WAITS | SEES_MERGES};
    return trial_run(&world, trial, options, result);
}

/* ---- The table ---- */

#define SIZES(threads, iotlb, first_level, walk_cache)                                             \
    .readers = threads, .iotlb_entries = iotlb, .first_level_entries = first_level,                \
    .walk_cache_entries = walk_cache
#define USUAL SIZES(3, 256, 64, 64)
#define PORTABLE SIZES(2, 256, 64, 0), .portable = true

#define WORLD(name, kind, ...)                                                                     \
    {                                                                                              \
        name, run_world, &(const struct world_settings) {                                          \
            .world = kind, __VA_ARGS__                                                             \
        }                                                                                          \
    }
#define BATCHES_OF(name, ...)                                                                      \
    {                                                                                              \
        name, run_batches, &(const struct batch_settings) {                                        \
            __VA_ARGS__                                                                            \
        }                                                                                          \
    }

static const struct probe_trial rows[] = {
    WORLD("pages", PROBE_PAGES, USUAL),
    WORLD("pages, portable", PROBE_PAGES, PORTABLE),
    WORLD("pages, slow stores", PROBE_PAGES, SIZES(1, 256, 64, 64), .slow_stores = true),
    WORLD("pages, many readers", PROBE_PAGES, SIZES(6, 256, 4, 64)),
    WORLD("pages, no walk cache", PROBE_PAGES, SIZES(3, 256, 64, 0)),
    WORLD("pages, no walk cache, small first level", PROBE_PAGES, SIZES(3, 256, 4, 0)),
    WORLD("pages, no walk cache, one reader", PROBE_PAGES, SIZES(1, 256, 4, 0)),
    WORLD("pages, no walk cache, tiny caches", PROBE_PAGES, SIZES(3, 4, 4, 0)),
    WORLD("tables", PROBE_TABLES, USUAL),
    WORLD("tables, portable", PROBE_TABLES, PORTABLE),
    WORLD("superpages", PROBE_SUPERPAGES, USUAL),
    WORLD("superpages, portable", PROBE_SUPERPAGES, PORTABLE),
    WORLD("superpages, no walk cache, small first level", PROBE_SUPERPAGES, SIZES(3, 256, 4, 0)),
    WORLD("bindings", PROBE_BINDINGS, USUAL),
    WORLD("bindings, portable", PROBE_BINDINGS, PORTABLE),
    WORLD("memory", PROBE_MEMORY, USUAL),
    WORLD("memory, portable", PROBE_MEMORY, PORTABLE),
    WORLD("nested", PROBE_NESTED, USUAL),
    WORLD("nested, portable", PROBE_NESTED, PORTABLE),
    WORLD("nested tables", PROBE_NESTED_TABLES, USUAL),
    WORLD("nested tables, portable", PROBE_NESTED_TABLES, PORTABLE),
    WORLD("crowd", PROBE_CROWD, SIZES(3, 16, 64, 64)),
    WORLD("crowd, portable", PROBE_CROWD, SIZES(2, 16, 64, 0), .portable = true),
    WORLD("crowd, no walk cache", PROBE_CROWD, SIZES(3, 16, 64, 0)),
    WORLD("evictions", PROBE_EVICTIONS, USUAL),
    WORLD("evictions, portable", PROBE_EVICTIONS, PORTABLE),

    BATCHES_OF("batches", .widen = false),
    BATCHES_OF("batches, observed", .observed = true),
    BATCHES_OF("batches, wide races", .widen = true),
    BATCHES_OF("batches, observed, wide races", .observed = true, .widen = true),
};

const struct trial_table trials_of_protocol = {rows, sizeof rows / sizeof *rows};
