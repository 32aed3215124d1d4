/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * history_trial.c - a trial: threads that translate and threads that change, in rounds, and the
 * rule. See history_run.h and history_probe.h.
 */
#define _GNU_SOURCE
#include "history_run.h"
#include "harness.h"
#include "probe.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ROUND_MILLISECONDS 50u
#define PATIENCE_MILLISECONDS 120000u

static bool is_set(const uint32_t *flag) {
    return __atomic_load_n(flag, __ATOMIC_RELAXED) != 0;
}

static void set(uint32_t *flag, uint32_t value) {
    __atomic_store_n(flag, value, __ATOMIC_RELAXED);
}

/* ---- Threads ---- */

static void change(struct history_thread *thread) {
    thread->change(&thread->changer);
    uint64_t random = probe_random(&thread->random) >> 20;
    if (!thread->run->settings->calm && random % 8 == 0) {
        probe_nap(20000); /* a stale answer must get the time to show itself */
    }
    if ((thread->run->settings->mixes & PROBE_HISTORY_SILENT) != 0 && random % 64 == 1) {
        history_device_retry(&thread->run->devices[random / 64 % HISTORY_DEVICE_COUNT]);
    }
    if (thread->changer.complaint != NULL) {
        set(&thread->run->pause, 1);
    }
}

/* Steps until the run is over; between rounds everybody is at the barrier. */
static void *work(void *argument) {
    struct history_thread *thread = argument;
    struct history_run *run = thread->run;
    do {
        while (!is_set(&run->pause)) {
            thread->step(thread);
            if (thread->log.capacity - thread->log.count < HISTORY_STEP_RECORDS) {
                set(&run->pause, 1);
            }
        }
        pthread_barrier_wait(&run->barrier); /* the judge reads */
        pthread_barrier_wait(&run->barrier); /* and has read */
    } while (!is_set(&run->stop));
    return NULL;
}

static struct history_thread *add_thread(struct history_run *run, uint64_t seed,
                                         void (*step)(struct history_thread *)) {
    struct history_thread *thread = &run->threads[run->count];
    thread->run = run;
    thread->number = run->count;
    thread->random = (seed + run->count + 1) * UINT64_C(0x9e3779b97f4a7c15) | 1;
    thread->step = step;
    thread->changer = (struct history_changer){
        .world = &run->world, .log = &thread->log, .random = thread->random * 3 | 1};
    run->count++;
    return history_log_create(&thread->log, HISTORY_LOG_RECORDS) ? thread : NULL;
}

static enum ciommu_status add_readers(struct history_run *run, uint64_t seed) {
    enum ciommu_status status = CIOMMU_OK;
    for (uint32_t at = 0; at < run->settings->readers && status == CIOMMU_OK; at++) {
        struct history_thread *thread = add_thread(run, seed, history_read);
        status =
            thread == NULL ? CIOMMU_NO_MEMORY : ciommu_port_create(run->world.unit, &thread->port);
    }
    return status;
}

static enum ciommu_status add_devices(struct history_run *run, uint64_t seed) {
    enum ciommu_status status = history_device_create(run, &run->devices[0], HISTORY_DEVICE_SOURCE,
                                                      HISTORY_DEVICE_PAGING, 2);
    status = status != CIOMMU_OK
                 ? status
                 : history_device_create(run, &run->devices[1], HISTORY_GUEST_DEVICE_SOURCE,
                                         HISTORY_DEVICE_SECOND, 3);
    for (uint32_t at = 0; at < HISTORY_DEVICE_COUNT && status == CIOMMU_OK; at++) {
        struct history_thread *thread = add_thread(run, seed, history_be_device);
        if (thread == NULL) {
            return CIOMMU_NO_MEMORY;
        }
        thread->device = &run->devices[at];
        status = ciommu_port_create(run->world.unit, &thread->port);
    }
    return status;
}

static enum ciommu_status add_changer(struct history_run *run, uint64_t seed,
                                      void (*what)(struct history_changer *),
                                      struct history_pair *pair, bool follows) {
    struct history_thread *thread = add_thread(run, seed, change);
    if (thread == NULL) {
        return CIOMMU_NO_MEMORY;
    }
    thread->change = what;
    thread->changer.pair = follows ? NULL : pair;
    thread->changer.follows = follows ? pair : NULL;
    return CIOMMU_OK;
}

static enum ciommu_status add_changers(struct history_run *run, uint64_t seed) {
    static const struct {
        uint32_t mix;
        void (*change)(struct history_changer *);
        void (*second)(struct history_changer *);
    } kinds[HISTORY_KINDS] = {
        {PROBE_HISTORY_MAPPINGS, history_change_mappings, history_follow},
        {PROBE_HISTORY_ATTACHMENTS, history_change_attachments, history_follow},
        {PROBE_HISTORY_GUEST, history_change_guest, history_invalidate_guest},
        {PROBE_HISTORY_PARENTS, history_change_parents, history_follow},
        {PROBE_HISTORY_MEMORY, history_change_memory, history_follow},
    };
    enum ciommu_status status = CIOMMU_OK;
    for (uint32_t at = 0; at < HISTORY_KINDS && status == CIOMMU_OK; at++) {
        if ((run->settings->mixes & kinds[at].mix) != 0) {
            bool pairs = run->settings->pairs;
            struct history_pair *pair = pairs ? &run->pairs[at] : NULL;
            run->pairs[at].pause = &run->pause;
            status = add_changer(run, seed, kinds[at].change, pair, false);
            status = status != CIOMMU_OK || !pairs
                         ? status
                         : add_changer(run, seed, kinds[at].second, pair, true);
        }
    }
    return status;
}

/* ---- The run ---- */

static bool carry_beginning(struct history_run *run) {
    bool fine = history_log_create(&run->base, HISTORY_LOG_RECORDS);
    for (uint32_t at = 0; fine && at < run->world.elements; at++) {
        struct history_record *record = history_log_add(&run->base);
        *record = (struct history_record){
            .kind = HISTORY_WRITE, .first = at, .last = at, .rights = HISTORY_RW};
    }
    return fine;
}

static void choose_targets(struct history_run *run) {
    for (uint32_t at = 0; at < HISTORY_DEVICE_PAGING; at++) {
        if ((run->world.targets[at].mix & run->settings->mixes) != 0) {
            run->asked[run->asked_count++] = at;
        }
    }
}

static enum ciommu_status create(struct history_run *run, uint64_t seed) {
    enum ciommu_status status = history_world_create(&run->world, run->settings);
    if (status == CIOMMU_OK && !carry_beginning(run)) {
        status = CIOMMU_NO_MEMORY;
    }
    choose_targets(run);
    status = status != CIOMMU_OK ? status : add_readers(run, seed);
    if (status == CIOMMU_OK && (run->settings->mixes & PROBE_HISTORY_DEVICES) != 0) {
        status = add_devices(run, seed);
    }
    return status != CIOMMU_OK ? status : add_changers(run, seed);
}

static void destroy(struct history_run *run) {
    for (uint32_t at = 0; at < run->count; at++) {
        (void)ciommu_port_destroy(run->threads[at].port);
        history_log_destroy(&run->threads[at].log);
    }
    for (uint32_t at = 0; at < HISTORY_DEVICE_COUNT; at++) {
        (void)ciommu_device_tlb_destroy(run->devices[at].tlb, NULL);
    }
    history_log_destroy(&run->base);
    history_world_destroy(&run->world);
}

static void count_up(struct history_run *run, struct probe_trial_result *result) {
    result->changes = 0;
    for (uint32_t at = 0; at < run->count; at++) {
        const struct history_changer *changer = &run->threads[at].changer;
        result->changes += changer->changes;
        if (changer->complaint != NULL) {
            result->violations++;
            if (result->first[0] == 0) {
                (void)snprintf(result->first, sizeof result->first, "a change failed: %s",
                               changer->complaint);
            }
        }
    }
}

/* What the trial should have shown and has not, or NULL. */
static const char *missing(const struct history_run *run) {
    static const char *const forms[HISTORY_FORMS] = {
        [HISTORY_MAPPED] = "nothing was translated",
        [HISTORY_FAULT] = "nothing was refused",
        [HISTORY_NO_HOST] = "no memory was missing",
        [HISTORY_UNLOOKED] = "nothing was asked outside of a section",
        [HISTORY_DEVICE_USE] = "no device used what it had stored",
    };
    const uint32_t refusing = PROBE_HISTORY_MAPPINGS | PROBE_HISTORY_ATTACHMENTS |
                              PROBE_HISTORY_GUEST | PROBE_HISTORY_PARENTS;
    const uint32_t mixes[HISTORY_FORMS] = {
        [HISTORY_MAPPED] = UINT32_MAX,
        [HISTORY_FAULT] = refusing,
        [HISTORY_NO_HOST] = PROBE_HISTORY_MEMORY,
        [HISTORY_UNLOOKED] = UINT32_MAX,
        [HISTORY_DEVICE_USE] = PROBE_HISTORY_DEVICES,
    };
    for (uint32_t form = 0; form < HISTORY_FORMS; form++) {
        if ((run->settings->mixes & mixes[form]) != 0 && run->seen[form] == 0) {
            return forms[form];
        }
    }
    for (uint32_t at = 0; at < run->count; at++) {
        if (run->threads[at].change != NULL && run->threads[at].changer.changes == 0) {
            return "a changer changed nothing";
        }
    }
    return NULL;
}

/* The time is over, and all was seen; a slow machine gets more time for that. */
static bool is_over(const struct history_run *run, uint64_t end) {
    uint64_t now = probe_now();
    return now >= end && (missing(run) == NULL || now >= end + PATIENCE_MILLISECONDS);
}

/* Ends a round; the next one begins unless the run is over. */
static void judge_round(struct history_run *run, uint64_t end, struct probe_trial_result *result) {
    set(&run->pause, 1);
    pthread_barrier_wait(&run->barrier);
    result->violations +=
        history_judge_round(run, &result->operations, result->first, sizeof result->first);
    count_up(run, result);
    if (result->violations != 0 || is_over(run, end)) {
        set(&run->stop, 1);
    } else {
        set(&run->pause, 0);
    }
    pthread_barrier_wait(&run->barrier);
}

static void race(struct history_run *run, const struct probe_trial_options *options,
                 struct probe_trial_result *result) {
    uint64_t end = probe_now() + options->milliseconds;
    pthread_barrier_init(&run->barrier, NULL, run->count + 1);
    probe_widen(!run->settings->calm);
    probe_set_mutant(options->mutant);
    for (uint32_t at = 0; at < run->count; at++) {
        pthread_create(&run->threads[at].thread, NULL, work, &run->threads[at]);
    }
    while (!is_set(&run->stop)) {
        uint64_t now = probe_now();
        uint64_t until =
            now < end && end - now < ROUND_MILLISECONDS ? end : now + ROUND_MILLISECONDS;
        while (!is_set(&run->pause) && probe_now() < until) {
            probe_nap(1000000);
        }
        judge_round(run, end, result);
    }
    for (uint32_t at = 0; at < run->count; at++) {
        pthread_join(run->threads[at].thread, NULL);
    }
    probe_set_mutant(0);
    probe_widen(false);
    pthread_barrier_destroy(&run->barrier);
}

int probe_history_trial(const struct probe_trial *trial, const struct probe_trial_options *options,
                        struct probe_trial_result *result) {
    memset(result, 0, sizeof *result);
    struct history_run *run = aligned_alloc(64, (sizeof *run + 63) & ~(size_t)63);
    if (run == NULL) {
        return CIOMMU_NO_MEMORY;
    }
    memset(run, 0, sizeof *run);
    run->settings = trial->settings;
    run->seed = options->seed;
    enum ciommu_status status = create(run, options->seed);
    if (status == CIOMMU_OK) {
        race(run, options, result);
    }
    const char *unseen = missing(run);
    if (status == CIOMMU_OK && result->violations == 0 && unseen != NULL) {
        result->violations = 1;
        (void)snprintf(result->first, sizeof result->first, "%s", unseen);
    }
    destroy(run);
    free(run);
    return status;
}

/* ---- The trials ---- */

#define SMALL_CACHES .readers = 3, .iotlb_entries = 64, .first_level_entries = 16
#define NO_TABLES SMALL_CACHES, .walk_cache_entries = 0 /* all goes to the IOTLB */
#define TABLES SMALL_CACHES, .walk_cache_entries = 64

static const struct probe_history_settings mappings = {.mixes = PROBE_HISTORY_MAPPINGS, NO_TABLES};
static const struct probe_history_settings mappings_tiny = {
    .mixes = PROBE_HISTORY_MAPPINGS, .readers = 4, .iotlb_entries = 4, .first_level_entries = 4};
static const struct probe_history_settings mappings_tables = {.mixes = PROBE_HISTORY_MAPPINGS,
                                                              TABLES};
static const struct probe_history_settings attachments = {.mixes = PROBE_HISTORY_ATTACHMENTS,
                                                          TABLES};
static const struct probe_history_settings guest = {.mixes = PROBE_HISTORY_GUEST, NO_TABLES};
static const struct probe_history_settings guest_tables = {.mixes = PROBE_HISTORY_GUEST, TABLES};
static const struct probe_history_settings parents = {.mixes = PROBE_HISTORY_PARENTS, NO_TABLES};
static const struct probe_history_settings parents_tables = {.mixes = PROBE_HISTORY_PARENTS,
                                                             TABLES};
static const struct probe_history_settings memory = {.mixes = PROBE_HISTORY_MEMORY, TABLES};
static const struct probe_history_settings devices = {
    .mixes = PROBE_HISTORY_DEVICES | PROBE_HISTORY_MAPPINGS | PROBE_HISTORY_PARENTS |
             PROBE_HISTORY_GUEST,
    TABLES};
static const struct probe_history_settings silent = {
    .mixes = PROBE_HISTORY_DEVICES | PROBE_HISTORY_SILENT | PROBE_HISTORY_MAPPINGS, TABLES};
static const struct probe_history_settings everything = {.mixes = PROBE_HISTORY_EVERYTHING, TABLES};
static const struct probe_history_settings portable = {
    .mixes = PROBE_HISTORY_EVERYTHING, .portable = true, NO_TABLES};
static const struct probe_history_settings bare = {.mixes = PROBE_HISTORY_EVERYTHING, .readers = 3};
static const struct probe_history_settings large = {.mixes = PROBE_HISTORY_EVERYTHING,
                                                    .readers = 4,
                                                    .iotlb_entries = 4096,
                                                    .first_level_entries = 1024,
                                                    .walk_cache_entries = 256,
                                                    .calm = true};

static const struct probe_history_settings attachments_iotlb = {.mixes = PROBE_HISTORY_ATTACHMENTS,
                                                                NO_TABLES};
static const struct probe_history_settings memory_iotlb = {.mixes = PROBE_HISTORY_MEMORY,
                                                           NO_TABLES};
static const struct probe_history_settings devices_iotlb = {
    .mixes = PROBE_HISTORY_DEVICES | PROBE_HISTORY_MAPPINGS | PROBE_HISTORY_PARENTS |
             PROBE_HISTORY_GUEST,
    NO_TABLES};
static const struct probe_history_settings everything_iotlb = {.mixes = PROBE_HISTORY_EVERYTHING,
                                                               NO_TABLES};

static const struct probe_history_settings legacy = {
    .mixes = PROBE_HISTORY_GUEST, .legacy = true, NO_TABLES};
static const struct probe_history_settings legacy_tables = {
    .mixes = PROBE_HISTORY_GUEST | PROBE_HISTORY_MEMORY, .legacy = true, TABLES};
static const struct probe_history_settings legacies = {
    .mixes = PROBE_HISTORY_GUEST, .legacy = true, .pairs = true, TABLES};

static const struct probe_history_settings mappers = {
    .mixes = PROBE_HISTORY_MAPPINGS, .pairs = true, TABLES};
static const struct probe_history_settings attachers = {
    .mixes = PROBE_HISTORY_ATTACHMENTS, .pairs = true, TABLES};
static const struct probe_history_settings guests = {
    .mixes = PROBE_HISTORY_GUEST, .pairs = true, TABLES};
static const struct probe_history_settings owners = {
    .mixes = PROBE_HISTORY_PARENTS | PROBE_HISTORY_MEMORY, .pairs = true, NO_TABLES};
static const struct probe_history_settings everybody = {
    .mixes = PROBE_HISTORY_EVERYTHING, .pairs = true, TABLES};

const struct probe_trial probe_history_trials[PROBE_HISTORY_TRIALS] = {
    {"history: mappings", probe_history_trial, &mappings},
    {"history: mappings, tiny caches", probe_history_trial, &mappings_tiny},
    {"history: mappings, walk caches", probe_history_trial, &mappings_tables},
    {"history: attachments", probe_history_trial, &attachments},
    {"history: guest tables", probe_history_trial, &guest},
    {"history: guest tables, walk caches", probe_history_trial, &guest_tables},
    {"history: parents", probe_history_trial, &parents},
    {"history: parents, walk caches", probe_history_trial, &parents_tables},
    {"history: memory map", probe_history_trial, &memory},
    {"history: devices with ATS", probe_history_trial, &devices},
    {"history: devices that do not answer", probe_history_trial, &silent},
    {"history: everything", probe_history_trial, &everything},
    {"history: everything, portable", probe_history_trial, &portable},
    {"history: everything, no caches", probe_history_trial, &bare},
    {"history: everything, large caches, calm", probe_history_trial, &large},
    {"history: attachments, no walk cache", probe_history_trial, &attachments_iotlb},
    {"history: memory map, no walk cache", probe_history_trial, &memory_iotlb},
    {"history: devices with ATS, no walk cache", probe_history_trial, &devices_iotlb},
    {"history: everything, no walk cache", probe_history_trial, &everything_iotlb},
    {"history: legacy mode", probe_history_trial, &legacy},
    {"history: legacy mode, walk caches, memory map", probe_history_trial, &legacy_tables},
    {"history: legacy mode, two changers", probe_history_trial, &legacies},
    {"history: mappings, two changers", probe_history_trial, &mappers},
    {"history: attachments, two changers", probe_history_trial, &attachers},
    {"history: guest tables, two changers", probe_history_trial, &guests},
    {"history: parents and memory, two changers", probe_history_trial, &owners},
    {"history: everything, two changers of each kind", probe_history_trial, &everybody},
};
