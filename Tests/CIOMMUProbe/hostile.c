/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * hostile.c - flippers rewrite the hostile guest's tables as fast as they can, walkers translate,
 * and a keeper takes memory away, turns a table into data, and invalidates.
 *
 * A flipper takes the old value out of a switch as it puts the new one in: what comes out must be
 * what it wrote last, with nothing but marks added. So an update of an accessed or dirty bit that
 * brings an old value back, or lands in a word that is no entry any more, is seen at once.
 */
#define _GNU_SOURCE
#include "harness.h"
#include "hostile_run.h"
#include "probe.h"
#include "trials.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define THREADS_MOST 16u

bool hostile_is_over(const struct hostile_run *run) {
    return __atomic_load_n(&run->stop, __ATOMIC_RELAXED) != 0;
}

void hostile_report(struct hostile_run *run, const char *what, uint64_t one, uint64_t other,
                    uint64_t third) {
    (void)__atomic_fetch_add(&run->violations, 1, __ATOMIC_RELAXED);
    pthread_mutex_lock(&run->lock);
    if (run->first[0] == 0) {
        (void)snprintf(run->first, sizeof run->first, "%s: %llx, %llx, %llx", what,
                       (unsigned long long)one, (unsigned long long)other,
                       (unsigned long long)third);
    }
    pthread_mutex_unlock(&run->lock);
    __atomic_store_n(&run->stop, 1, __ATOMIC_RELAXED);
}

/* ---- Flippers ---- */

static uint64_t marks_of(const struct hostile_world *world, const struct hostile_switch *what) {
    return what->paging ? hostile_marks(world, what->last) : 0;
}

static void flip(struct hostile_run *run, struct hostile_switch *what, uint64_t random) {
    uint64_t value = what->values[random % 2 == 0 ? 0 : (random >> 8) % what->count];
    uint64_t found =
        __atomic_exchange_n(hostile_word(&run->world, what->address), value, __ATOMIC_ACQ_REL);
    if ((found & ~marks_of(&run->world, what)) != what->last) {
        hostile_report(run, "a switch lost its value (address, found, written)", what->address,
                       found, what->last);
    }
    what->last = value;
}

static void *flip_switches(void *argument) {
    struct hostile_worker *worker = argument;
    struct hostile_run *run = worker->run;
    uint64_t flips = 0;
    uint32_t step = run->settings->flippers;
    while (!hostile_is_over(run)) {
        for (uint32_t index = worker->number; index < run->world.switch_count; index += step) {
            uint64_t random = probe_random(&worker->random) >> 16;
            if (random % 4 == 0) {
                flip(run, &run->world.switches[index], random >> 2);
                flips++;
            }
        }
    }
    (void)__atomic_fetch_add(&run->flips, flips, __ATOMIC_RELAXED);
    return NULL;
}

/* ---- The keeper ---- */

/* The lent memory is taken back: from then on it is the host's, which nobody else writes. */
static void take_back(struct hostile_run *run) {
    struct hostile_world *world = &run->world;
    const size_t bytes = HOSTILE_LENT_PAGES * HOSTILE_PAGE;
    const size_t words = bytes / 8;
    uint64_t *host = (uint64_t *)(void *)world->lent;
    uint64_t *content = malloc(bytes);
    if (content == NULL) {
        return;
    }
    enum ciommu_status status = ciommu_memory_remove(world->memory, HOSTILE_LENT, bytes);
    if (status == CIOMMU_OK) {
        memcpy(content, host, bytes);
        for (size_t word = 0; word < words; word++) {
            host[word] = HOSTILE_CANARY + word * HOSTILE_PAGE;
        }
        probe_nap(20000);
        for (size_t word = 0; word < words; word++) {
            if (host[word] != HOSTILE_CANARY + word * HOSTILE_PAGE) {
                hostile_report(run, "written after it was removed (word, found)", word, host[word],
                               0);
            }
        }
        memcpy(host, content, bytes);
        status = hostile_lend(world);
    }
    if (status != CIOMMU_OK) {
        hostile_report(run, ciommu_status_text(status), 0, 0, 0);
    }
    free(content);
}

/* A leaf table becomes data and a table again, without a word to anybody. */
static void turn(struct hostile_run *run, bool data) {
    struct hostile_world *world = &run->world;
    uint64_t *words = hostile_word(world, world->changeling);
    for (uint32_t word = 0; word < HOSTILE_PAGE / 8; word++) {
        bool leaf = word >= 1 && word <= HOSTILE_INPUTS;
        uint64_t entry = leaf ? hostile_leaf(world, world->data + (word - 1) * HOSTILE_PAGE) : 0;
        uint64_t before = data ? entry : HOSTILE_CANARY;
        uint64_t marks = data ? hostile_marks(world, entry) : 0;
        uint64_t found =
            __atomic_exchange_n(&words[word], data ? HOSTILE_CANARY : entry, __ATOMIC_ACQ_REL);
        if ((found & ~marks) != before) {
            hostile_report(run, "a table that turned was written (word, found, before)", word,
                           found, before);
        }
    }
}

/* One descriptor: of a kind that covers what changes, or of any bits at all. */
static void invalidate(struct hostile_run *run, uint64_t random) {
    static const uint64_t types[] = {0x12, 0x32, 0x22, 0x11, 0x37, 0x26, 0x36};
    struct ciommu_descriptor_result result = {.size = sizeof result};
    bool wide = run->world.kind != PROBE_HOSTILE_LEGACY;
    uint64_t words[4] = {types[random % (wide ? 7 : 4)], 0, 0, 0};
    words[0] |= (words[0] & 0xf) == 1 || (words[0] & 0xff) == 0x12 || words[0] == 0x37
                    ? 0
                    : (uint64_t)HOSTILE_DOMAIN << 16;
    words[0] |= (words[0] & 0xf) == 6 ? (uint64_t)HOSTILE_PASID << 32 : 0;
    words[1] = (words[0] & 0x30) == 0x30 && (words[0] & 0xf) != 7
                   ? hostile_input(&run->world, (uint32_t)(random >> 8) % HOSTILE_INPUTS) |
                         (random >> 12) % 48
                   : 0;
    bool garbage = (random >> 20) % 4 == 0;
    for (uint32_t word = 0; word < 4 && garbage; word++) {
        words[word] = random * UINT64_C(0x9e3779b97f4a7c15) >> word;
    }
    enum ciommu_status status =
        ciommu_invalidate_descriptor(run->world.unit, NULL, words, wide, &result);
    if (status != CIOMMU_OK && !(garbage && status == CIOMMU_BAD_DESCRIPTOR)) {
        hostile_report(run, ciommu_status_text(status), words[0], words[1], result.iqei);
    }
}

static void keep(struct hostile_run *run, const struct probe_trial_options *options) {
    uint64_t random = options->seed * 2 + 1;
    uint64_t end = probe_now() + options->milliseconds;
    bool data = false;
    while (!hostile_is_over(run) && probe_now() < end) {
        uint64_t choice = probe_random(&random) >> 16;
        if (choice % 8 == 0) {
            take_back(run);
        } else if (choice % 8 < 4) {
            data = !data;
            turn(run, data);
        } else {
            invalidate(run, choice >> 3);
        }
        if ((choice >> 40) % 4 == 0) {
            probe_nap(20000);
        }
    }
    __atomic_store_n(&run->stop, 1, __ATOMIC_RELAXED);
    if (data) {
        turn(run, false);
    }
}

/* ---- The end ---- */

static uint64_t initial_marks(const struct hostile_world *world, uint64_t address,
                              uint64_t initial) {
    return address >= HOSTILE_ROM ? 0 : hostile_marks(world, initial);
}

/* Every word holds what was written last, and marks where they belong. */
static void check_memory(struct hostile_run *run) {
    struct hostile_world *world = &run->world;
    const uint64_t ram = HOSTILE_RAM_PAGES * HOSTILE_PAGE;
    const uint64_t all = ram + HOSTILE_ROM_PAGES * HOSTILE_PAGE;
    for (uint64_t byte = 0; byte < all; byte += 8) {
        uint64_t address = byte < ram ? HOSTILE_RAM + byte : HOSTILE_ROM + (byte - ram);
        uint64_t found = *hostile_word(world, address);
        uint64_t wanted = world->initial[byte / 8];
        uint64_t marks = initial_marks(world, address, wanted);
        const struct hostile_switch *what = hostile_find(world, address);
        if (what != NULL) {
            wanted = what->last;
            marks = marks_of(world, what);
        }
        if ((found & ~marks) != (wanted & ~marks) || (found & wanted) != wanted) {
            hostile_report(run, "memory at the end (address, found, wanted)", address, found,
                           wanted);
        }
    }
}

static void run_threads(struct hostile_run *run, const struct probe_trial_options *options) {
    struct hostile_worker workers[THREADS_MOST];
    uint32_t flippers = run->settings->flippers;
    uint32_t count = flippers + run->settings->walkers;
    probe_widen(run->settings->widen);
    probe_set_mutant(options->mutant);
    for (uint32_t index = 0; index < count; index++) {
        bool flips = index < flippers;
        workers[index] = (struct hostile_worker){.run = run,
                                                 .number = flips ? index : index - flippers,
                                                 .random = (options->seed + index * 77) * 2 + 1};
        pthread_create(&workers[index].thread, NULL, flips ? flip_switches : hostile_walk,
                       &workers[index]);
    }
    keep(run, options);
    for (uint32_t index = 0; index < count; index++) {
        pthread_join(workers[index].thread, NULL);
    }
    probe_set_mutant(0);
    probe_widen(false);
    check_memory(run);
}

static int run_pass(const void *settings, const struct probe_trial_options *options,
                    struct trial_pass *pass) {
    struct hostile_run *run = calloc(1, sizeof *run);
    if (run == NULL) {
        return CIOMMU_NO_MEMORY;
    }
    run->settings = settings;
    pthread_mutex_init(&run->lock, NULL);
    int status = hostile_world_create(&run->world, run->settings);
    for (uint32_t number = 0; number < HOSTILE_INPUTS * 2 && status == CIOMMU_OK; number++) {
        if (run->world.answers[number / 2][number % 2]->overflowed) {
            hostile_report(run, "more answers than there is room for", number, 0, 0);
        }
    }
    if (status == CIOMMU_OK && run->violations == 0) {
        run_threads(run, options);
    }
    pass->violations = run->violations;
    pass->operations = run->mapped + run->faulted;
    pass->changes = run->flips;
    pass->sights = trial_sees(SEES_MAPPED, run->mapped) | trial_sees(SEES_FAULTS, run->faulted);
    memcpy(pass->first, run->first, sizeof pass->first);
    hostile_world_destroy(&run->world);
    pthread_mutex_destroy(&run->lock);
    free(run);
    return status;
}

int probe_hostile_trial(const struct probe_trial *trial, const struct probe_trial_options *options,
                        struct probe_trial_result *result) {
    static const struct trial_world world = {run_pass, SEES_MAPPED | SEES_FAULTS};
    return trial_run(&world, trial, options, result);
}
