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
#include "hostile_world.h"
#include "probe.h"
#include "trials.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define THREADS_MOST 16u
#define TOGETHER 8u

struct run {
    const struct probe_hostile_settings *settings;
    struct hostile_world world;
    uint32_t stop;
    uint64_t violations;
    uint64_t mapped;
    uint64_t faulted;
    uint64_t flips;
    pthread_mutex_t lock;
    char first[400];
};

struct worker {
    struct run *run;
    uint32_t number;
    uint64_t random;
    uint64_t counts[2]; /* of walkers: mapped and faulted */
    pthread_t thread;
};

static bool is_over(const struct run *run) {
    return __atomic_load_n(&run->stop, __ATOMIC_RELAXED) != 0;
}

static void report(struct run *run, const char *what, uint64_t one, uint64_t other,
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

static void flip(struct run *run, struct hostile_switch *what, uint64_t random) {
    uint64_t value = what->values[random % 2 == 0 ? 0 : (random >> 8) % what->count];
    uint64_t found =
        __atomic_exchange_n(hostile_word(&run->world, what->address), value, __ATOMIC_ACQ_REL);
    if ((found & ~marks_of(&run->world, what)) != what->last) {
        report(run, "a switch lost its value (address, found, written)", what->address, found,
               what->last);
    }
    what->last = value;
}

static void *flip_switches(void *argument) {
    struct worker *worker = argument;
    struct run *run = worker->run;
    uint64_t flips = 0;
    uint32_t step = run->settings->flippers;
    while (!is_over(run)) {
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

/* ---- Walkers ---- */

static void check(struct run *run, uint32_t page, bool write, const struct ciommu_result *result) {
    const struct hostile_world *world = &run->world;
    const struct hostile_answers *answers = world->answers[page][write];
    bool mapped = result->outcome == CIOMMU_TRANSLATED_OK;
    uint32_t needs = write ? CIOMMU_WRITE : CIOMMU_READ;
    if (!hostile_is_possible(answers, hostile_input(world, page), result)) {
        report(run, "an impossible answer (outcome or page, address or code, rights)",
               mapped ? result->page_lg2 : 0x1000u + result->outcome,
               mapped ? result->address : result->fault.code, result->rights);
    }
    if (!mapped) {
        return;
    }
    if ((result->rights & needs) != needs) {
        report(run, "granted without the right (address, rights)", result->address, result->rights,
               needs);
    }
    if (result->host == NULL) {
        return;
    }
    const uint64_t *word = hostile_word(world, result->address);
    if (word == NULL || (const unsigned char *)word != result->host) {
        report(run, "a host pointer to elsewhere (address)", result->address, 0, 0);
        return;
    }
    uint64_t data = result->address - world->data;
    uint64_t lent = result->address - (HOSTILE_LENT + HOSTILE_PAGE);
    if ((data < HOSTILE_INPUTS * HOSTILE_PAGE || lent < HOSTILE_INPUTS * HOSTILE_PAGE) &&
        *(const volatile uint64_t *)word != hostile_stamp(result->address)) {
        report(run, "not what the page holds (address, found)", result->address, *word, 0);
    }
}

/* One question of a walker. */
struct question {
    uint32_t page;
    bool write;
    struct ciommu_request request;
};

static struct question question_of(struct worker *worker) {
    const struct hostile_world *world = &worker->run->world;
    uint64_t random = probe_random(&worker->random) >> 16;
    uint32_t page = (uint32_t)(random % HOSTILE_INPUTS);
    bool write = (random >> 8) % 2 != 0;
    return (struct question){
        page,
        write,
        {.source = HOSTILE_SOURCE,
         .pasid = world->kind == PROBE_HOSTILE_LEGACY ? CIOMMU_NO_PASID : HOSTILE_PASID,
         .iova = hostile_input(world, page),
         .access = write ? CIOMMU_WRITE : CIOMMU_READ,
         .flags = (random >> 16) % 4 == 0 ? CIOMMU_NO_CACHE : 0}};
}

static void judge(struct worker *worker, const struct question *question, enum ciommu_status status,
                  const struct ciommu_result *result) {
    if (status == CIOMMU_OK) {
        check(worker->run, question->page, question->write, result);
    } else {
        report(worker->run, ciommu_status_text(status), 0, 0, 0);
    }
    worker->counts[result->outcome == CIOMMU_TRANSLATED_OK ? 0 : 1]++;
}

static void walk_once(struct worker *worker, struct ciommu_port *port) {
    const struct question question = question_of(worker);
    const struct ciommu_request *request = &question.request;
    struct ciommu_result result = {.size = sizeof result};
    ciommu_port_enter(port);
    enum ciommu_status status =
        ciommu_translate(worker->run->world.unit, port, request->source, request->pasid,
                         request->iova, request->access, request->flags, &result);
    judge(worker, &question, status, &result);
    ciommu_port_leave(port);
}

static void walk_together(struct worker *worker, struct ciommu_port *port) {
    struct question questions[TOGETHER];
    struct ciommu_request requests[TOGETHER];
    struct ciommu_result results[TOGETHER];
    for (uint32_t index = 0; index < TOGETHER; index++) {
        questions[index] = question_of(worker);
        requests[index] = questions[index].request;
        results[index] = (struct ciommu_result){.size = sizeof results[index]};
    }
    ciommu_port_enter(port);
    enum ciommu_status status = ciommu_translate_batch(port, requests, results, TOGETHER, NULL);
    for (uint32_t index = 0; index < TOGETHER; index++) {
        judge(worker, &questions[index], status, &results[index]);
    }
    ciommu_port_leave(port);
}

/* Copies a page's first word: what it holds must be there to be read. */
static void copy_once(struct worker *worker, struct ciommu_port *port) {
    const struct question question = question_of(worker);
    const struct hostile_answers *answers = worker->run->world.answers[question.page][0];
    struct ciommu_request request = question.request;
    struct ciommu_progress progress = {.size = sizeof progress};
    uint64_t found = 0;
    request.access = CIOMMU_READ;
    request.length = sizeof found;
    enum ciommu_status status = ciommu_read(port, &request, &found, &progress);
    if (status == CIOMMU_FAULTED) {
        const struct ciommu_result result = {.outcome = progress.outcome, .fault = progress.fault};
        check(worker->run, question.page, false, &result);
    } else if (status == CIOMMU_OK && !hostile_may_hold(answers, found)) {
        report(worker->run, "copied from elsewhere (page, found)", question.page, found, 0);
    } else if (status != CIOMMU_OK && status != CIOMMU_NO_HOST_MEMORY) {
        report(worker->run, ciommu_status_text(status), question.page, 0, 0);
    }
    worker->counts[status == CIOMMU_OK ? 0 : 1]++;
}

static void *walk_tables(void *argument) {
    struct worker *worker = argument;
    struct run *run = worker->run;
    struct ciommu_port *port = NULL;
    if (ciommu_port_create(run->world.unit, &port) != CIOMMU_OK) {
        report(run, "no port", 0, 0, 0);
        return NULL;
    }
    while (!is_over(run)) {
        uint64_t manner = (probe_random(&worker->random) >> 16) % 8;
        if (manner == 0) {
            walk_together(worker, port);
        } else if (manner == 1) {
            copy_once(worker, port);
        } else {
            walk_once(worker, port);
        }
    }
    (void)ciommu_port_destroy(port);
    (void)__atomic_fetch_add(&run->mapped, worker->counts[0], __ATOMIC_RELAXED);
    (void)__atomic_fetch_add(&run->faulted, worker->counts[1], __ATOMIC_RELAXED);
    return NULL;
}

/* ---- The keeper ---- */

/* The lent memory is taken back: from then on it is the host's, which nobody else writes. */
static void take_back(struct run *run) {
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
                report(run, "written after it was removed (word, found)", word, host[word], 0);
            }
        }
        memcpy(host, content, bytes);
        status = hostile_lend(world);
    }
    if (status != CIOMMU_OK) {
        report(run, ciommu_status_text(status), 0, 0, 0);
    }
    free(content);
}

/* A leaf table becomes data and a table again, without a word to anybody. */
static void turn(struct run *run, bool data) {
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
            report(run, "a table that turned was written (word, found, before)", word, found,
                   before);
        }
    }
}

/* One descriptor: of a kind that covers what changes, or of any bits at all. */
static void invalidate(struct run *run, uint64_t random) {
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
        report(run, ciommu_status_text(status), words[0], words[1], result.iqei);
    }
}

static void keep(struct run *run, const struct probe_trial_options *options) {
    uint64_t random = options->seed * 2 + 1;
    uint64_t end = probe_now() + options->milliseconds;
    bool data = false;
    while (!is_over(run) && probe_now() < end) {
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
static void check_memory(struct run *run) {
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
            report(run, "memory at the end (address, found, wanted)", address, found, wanted);
        }
    }
}

static void run_threads(struct run *run, const struct probe_trial_options *options) {
    struct worker workers[THREADS_MOST];
    uint32_t flippers = run->settings->flippers;
    uint32_t count = flippers + run->settings->walkers;
    probe_widen(run->settings->widen);
    probe_set_mutant(options->mutant);
    for (uint32_t index = 0; index < count; index++) {
        bool flips = index < flippers;
        workers[index] = (struct worker){.run = run,
                                         .number = flips ? index : index - flippers,
                                         .random = (options->seed + index * 77) * 2 + 1};
        pthread_create(&workers[index].thread, NULL, flips ? flip_switches : walk_tables,
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
    struct run *run = calloc(1, sizeof *run);
    if (run == NULL) {
        return CIOMMU_NO_MEMORY;
    }
    run->settings = settings;
    pthread_mutex_init(&run->lock, NULL);
    int status = hostile_world_create(&run->world, run->settings);
    for (uint32_t number = 0; number < HOSTILE_INPUTS * 2 && status == CIOMMU_OK; number++) {
        if (run->world.answers[number / 2][number % 2]->overflowed) {
            report(run, "more answers than there is room for", number, 0, 0);
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
