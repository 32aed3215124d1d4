/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * domain_dirty.c - dirty bits under traffic, as a live migration uses them: writers count up words
 * of pages, one thread reads the bitmap round by round and copies what it names.
 *
 * What must hold, exactly: a write whose section ended before round n began is in the copy when
 * round n is done. So it showed in the round during which it was made, or in the next. A page that
 * is only read never shows.
 *
 * Every writer has a word of its own in every page and publishes the count after the section. The
 * copy is made while others write, as in a migration; its reads are hidden from ThreadSanitizer.
 */
#define _GNU_SOURCE
#include "domain_world.h"
#include "probe.h"
#include "harness.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TARGETS 64u /* pages that are written */
#define MOST_PAGES 1024u
#define REGION_PAGES 512u
#define CHILDREN 4u
#define TABLES (UINT64_C(2) * MOST_PAGES * DOMAIN_PAGE)
#define PARENT_IOVA UINT64_C(0x2000000000)
#define VICTIM 511u /* cuts its 2 MiB page */

#if defined(__clang__)
#define UNSEEN __attribute__((no_sanitize("thread"), noinline))
#else
#define UNSEEN __attribute__((no_sanitize_thread, noinline))
#endif

struct dirty_run {
    const struct probe_domain_options *options;
    struct domain_world world;
    uint32_t writers;
    uint32_t stop;
    uint32_t pages;
    bool is_target[MOST_PAGES];
    uint32_t targets[TARGETS];
    uint32_t track_flags;
    uint64_t random;
    uint64_t reads;
    uint64_t writes;
    uint64_t rounds;
    uint64_t violations;
    uint64_t published[DOMAIN_READERS][TARGETS]; /* writer: counts of sections that ended */
    uint64_t copied[DOMAIN_READERS][TARGETS];
    uint64_t every[MOST_PAGES / 64]; /* union of the bitmaps */
    pthread_mutex_t lock;
    char first[200];
};

struct writer {
    struct dirty_run *run;
    uint32_t index;
    uint64_t random;
    uint64_t counts[TARGETS];
    pthread_t thread;
};

static void report(struct dirty_run *run, const char *what, uint32_t page, uint64_t found,
                   uint64_t wanted) {
    (void)__atomic_fetch_add(&run->violations, 1, __ATOMIC_RELAXED);
    pthread_mutex_lock(&run->lock);
    if (run->first[0] == 0) {
        (void)snprintf(run->first, sizeof run->first,
                       "%s: page %u, found %llu, wanted %llu, round %llu", what, page,
                       (unsigned long long)found, (unsigned long long)wanted,
                       (unsigned long long)run->rounds);
    }
    pthread_mutex_unlock(&run->lock);
    __atomic_store_n(&run->stop, 1, __ATOMIC_RELAXED);
}

static bool is_nested(const struct dirty_run *run) {
    return run->options->world == PROBE_DOMAIN_DIRTY_NESTED;
}

static bool has_regions(const struct dirty_run *run) {
    return run->options->world == PROBE_DOMAIN_DIRTY_LARGE ||
           run->options->world == PROBE_DOMAIN_DIRTY_SPLIT;
}

/* Of the tracked domain. */
static uint64_t tracked_iova(const struct dirty_run *run, uint32_t page) {
    return (is_nested(run) ? PARENT_IOVA : DOMAIN_IOVA) + page * DOMAIN_PAGE;
}

static uint64_t output_of(uint32_t page) {
    return DOMAIN_OUTPUT + page * DOMAIN_PAGE;
}

/* ---- Setting up ---- */

static enum ciommu_status build(struct dirty_run *run) {
    struct domain_world *world = &run->world;
    bool nested = is_nested(run);
    run->pages = has_regions(run) ? 2 * REGION_PAGES : 2 * TARGETS;
    run->track_flags = run->options->world == PROBE_DOMAIN_DIRTY_SPLIT ? CIOMMU_DIRTY_SPLIT : 0;
    for (uint32_t target = 0; target < TARGETS; target++) {
        run->targets[target] = has_regions(run) ? target * 7 : target;
        run->is_target[run->targets[target]] = true;
    }
    enum ciommu_status status = domain_paging(
        world, CIOMMU_PAGING_DIRTY_TRACKING | (nested ? CIOMMU_PAGING_NEST_PARENT : 0),
        has_regions(run) ? 21 : 12, &world->domains[0]);
    status = status != CIOMMU_OK ? status
                                 : domain_map(world->domains[0], tracked_iova(run, 0), output_of(0),
                                              run->pages * DOMAIN_PAGE, DOMAIN_RW);
    if (status != CIOMMU_OK) {
        return status;
    }
    return nested ? domain_children(world, CHILDREN, TABLES, PARENT_IOVA, run->pages)
                  : ciommu_device_attach(world->device, CIOMMU_NO_PASID, world->domains[0]);
}

/* ---- Writers ---- */

static uint32_t pasid_of(const struct dirty_run *run, uint64_t random) {
    return is_nested(run) ? 1 + (uint32_t)(random % CHILDREN) : CIOMMU_NO_PASID;
}

static bool translate(struct dirty_run *run, struct ciommu_port *port, uint32_t page,
                      uint32_t access, uint64_t random, struct ciommu_result *result) {
    enum ciommu_status status =
        ciommu_translate(run->world.unit, port, DOMAIN_SOURCE, pasid_of(run, random),
                         DOMAIN_IOVA + page * DOMAIN_PAGE, access, CIOMMU_NO_FAULT, result);
    bool fine = status == CIOMMU_OK && result->outcome == CIOMMU_TRANSLATED_OK &&
                result->host != NULL && result->address == output_of(page);
    if (!fine) {
        report(run, access == CIOMMU_READ ? "a read failed" : "a write failed", page,
               result->outcome, result->fault.code);
    }
    return fine;
}

/* Counts the writer's word of a target up. In a section. */
static void write_target(struct dirty_run *run, struct ciommu_port *port, struct writer *writer,
                         uint32_t target, uint64_t random) {
    uint32_t page = run->targets[target];
    uint64_t count = writer->counts[target] + 1;
    struct ciommu_result result = {.size = sizeof result};
    if (random % 4 == 0) {
        struct ciommu_progress progress = {.size = sizeof progress};
        struct ciommu_request request = {
            .source = DOMAIN_SOURCE,
            .pasid = pasid_of(run, random >> 8),
            .iova = DOMAIN_IOVA + page * DOMAIN_PAGE + 64 * (1 + writer->index),
            .length = sizeof count,
        };
        if (ciommu_write(port, &request, &count, &progress) != CIOMMU_OK) {
            report(run, "a copy failed", page, progress.outcome, progress.done);
            return;
        }
    } else if (translate(run, port, page, CIOMMU_WRITE, random >> 8, &result)) {
        *(volatile uint64_t *)(void *)(result.host + 64 * (1 + writer->index)) = count;
    } else {
        return;
    }
    writer->counts[target] = count;
}

static void write_section(struct dirty_run *run, struct ciommu_port *port, struct writer *writer) {
    uint64_t random = probe_random(&writer->random);
    uint32_t first = (uint32_t)(random >> 8) % TARGETS;
    uint32_t second = (uint32_t)(random >> 16) % TARGETS;
    struct ciommu_result result = {.size = sizeof result};
    ciommu_port_enter(port);
    /* Any page may be read: it must neither show nor warm a cache that lets writes pass. */
    (void)translate(run, port, (uint32_t)(random >> 24) % run->pages, CIOMMU_READ, random >> 34,
                    &result);
    (void)translate(run, port, run->targets[first], CIOMMU_READ, random >> 36, &result);
    write_target(run, port, writer, first, random >> 40);
    if (random % 2 == 0) {
        write_target(run, port, writer, second, random >> 50);
    }
    ciommu_port_leave(port);
    __atomic_store_n(&run->published[writer->index][first], writer->counts[first],
                     __ATOMIC_SEQ_CST);
    __atomic_store_n(&run->published[writer->index][second], writer->counts[second],
                     __ATOMIC_SEQ_CST);
}

static void *write_for_ever(void *argument) {
    struct writer *writer = argument;
    struct dirty_run *run = writer->run;
    struct ciommu_port *port = NULL;
    uint64_t sections = 0;
    uint64_t writes = 0;
    if (ciommu_port_create(run->world.unit, &port) != CIOMMU_OK) {
        report(run, "no port", 0, 0, 0);
    }
    while (port != NULL && __atomic_load_n(&run->stop, __ATOMIC_RELAXED) == 0) {
        write_section(run, port, writer);
        sections++;
    }
    for (uint32_t target = 0; target < TARGETS; target++) {
        writes += writer->counts[target];
    }
    (void)ciommu_port_destroy(port);
    (void)__atomic_fetch_add(&run->reads, sections, __ATOMIC_RELAXED);
    (void)__atomic_fetch_add(&run->writes, writes, __ATOMIC_RELAXED);
    return NULL;
}

/* ---- Rounds ---- */

UNSEEN static uint64_t raw_read(const uint64_t *word) {
    return *(const volatile uint64_t *)word;
}

static bool has_bit(const uint64_t *bitmap, uint32_t page) {
    return (bitmap[page / 64] >> (page % 64) & 1) != 0;
}

static void copy_page(struct dirty_run *run, uint32_t target) {
    for (uint32_t writer = 0; writer < run->writers; writer++) {
        run->copied[writer][target] =
            raw_read(domain_slot(&run->world, output_of(run->targets[target]), writer));
    }
}

/* What was published before a round must be in the copy after it. */
static void check_copy(struct dirty_run *run, uint64_t before[DOMAIN_READERS][TARGETS]) {
    for (uint32_t writer = 0; writer < run->writers; writer++) {
        for (uint32_t target = 0; target < TARGETS; target++) {
            if (run->copied[writer][target] < before[writer][target]) {
                report(run, "a write shows in no round", run->targets[target],
                       run->copied[writer][target], before[writer][target]);
                return;
            }
        }
    }
}

static void check_quiet(struct dirty_run *run, const uint64_t *bitmap) {
    uint32_t first = run->options->world == PROBE_DOMAIN_DIRTY_LARGE ? REGION_PAGES : 0;
    for (uint32_t page = first; page < run->pages; page++) {
        if (has_bit(bitmap, page) && !run->is_target[page]) {
            report(run, "a page that was only read is dirty", page, 1, 0);
            return;
        }
    }
}

static void take_snapshot(struct dirty_run *run, uint64_t before[DOMAIN_READERS][TARGETS]) {
    for (uint32_t writer = 0; writer < run->writers; writer++) {
        for (uint32_t target = 0; target < TARGETS; target++) {
            before[writer][target] =
                __atomic_load_n(&run->published[writer][target], __ATOMIC_SEQ_CST);
        }
    }
}

static enum ciommu_status read_bitmap(struct dirty_run *run, uint64_t *bitmap, uint32_t flags) {
    memset(bitmap, 0, MOST_PAGES / 8);
    return ciommu_dirty_read(run->world.domains[0], NULL, tracked_iova(run, 0),
                             run->pages * DOMAIN_PAGE, DOMAIN_PAGE, bitmap, flags);
}

static enum ciommu_status do_round(struct dirty_run *run) {
    uint64_t before[DOMAIN_READERS][TARGETS];
    uint64_t peeked[MOST_PAGES / 64] = {0};
    uint64_t bitmap[MOST_PAGES / 64];
    take_snapshot(run, before);
    bool peeks = probe_random(&run->random) % 8 == 0;
    enum ciommu_status status = peeks ? read_bitmap(run, peeked, CIOMMU_DIRTY_NO_CLEAR) : CIOMMU_OK;
    status = status != CIOMMU_OK ? status : read_bitmap(run, bitmap, 0);
    if (status != CIOMMU_OK) {
        return status;
    }
    for (uint32_t word = 0; word < MOST_PAGES / 64; word++) {
        if ((peeked[word] & ~bitmap[word]) != 0) {
            report(run, "a look without clearing cleared", word * 64, bitmap[word], peeked[word]);
        }
        run->every[word] |= bitmap[word];
    }
    for (uint32_t target = 0; target < TARGETS; target++) {
        if (has_bit(bitmap, run->targets[target])) {
            copy_page(run, target);
        }
    }
    check_copy(run, before);
    check_quiet(run, bitmap);
    run->rounds++;
    return CIOMMU_OK;
}

/* As a migration that begins: tracking first, then a copy of everything. */
static enum ciommu_status restart(struct dirty_run *run) {
    uint64_t before[DOMAIN_READERS][TARGETS];
    enum ciommu_status status = ciommu_dirty_stop(run->world.domains[0], NULL);
    take_snapshot(run, before);
    status = status != CIOMMU_OK
                 ? status
                 : ciommu_dirty_start(run->world.domains[0], NULL, run->track_flags);
    for (uint32_t target = 0; target < TARGETS && status == CIOMMU_OK; target++) {
        copy_page(run, target);
    }
    check_copy(run, before);
    return status;
}

/* Cuts the first 2 MiB page while it is written to, at a page that nobody touches... */
static enum ciommu_status cut(struct dirty_run *run) {
    struct ciommu_domain *domain = run->world.domains[0];
    uint64_t iova = tracked_iova(run, VICTIM);
    enum ciommu_status status = ciommu_domain_protect(domain, NULL, iova, DOMAIN_PAGE, CIOMMU_READ);
    return status != CIOMMU_OK ? status
                               : ciommu_domain_protect(domain, NULL, iova, DOMAIN_PAGE, DOMAIN_RW);
}

static void migrate(struct dirty_run *run) {
    uint64_t end = probe_now() + run->options->milliseconds;
    enum ciommu_status status = CIOMMU_OK;
    while (__atomic_load_n(&run->stop, __ATOMIC_RELAXED) == 0 && status == CIOMMU_OK &&
           (probe_now() < end || run->rounds < run->options->rounds)) {
        uint64_t random = probe_random(&run->random);
        if (has_regions(run) && random % 16 == 0) {
            status = restart(run);
        } else if (has_regions(run) && random % 16 < 3) {
            status = cut(run);
        } else {
            status = do_round(run);
        }
        if (run->options->widen && random >> 32 & 1) {
            probe_nap(20000); /* a write that is lost must get the time to happen */
        }
    }
    if (status != CIOMMU_OK) {
        report(run, ciommu_status_text(status), 0, 0, 0);
    }
    __atomic_store_n(&run->stop, 1, __ATOMIC_RELAXED);
}

/* Nobody writes any more: one more round makes the copy complete, and the next is empty. */
static void finish(struct dirty_run *run) {
    uint64_t bitmap[MOST_PAGES / 64];
    if (do_round(run) != CIOMMU_OK || read_bitmap(run, bitmap, 0) != CIOMMU_OK) {
        report(run, "the last round failed", 0, 0, 0);
        return;
    }
    for (uint32_t target = 0; target < TARGETS; target++) {
        uint32_t page = run->targets[target];
        uint64_t written = 0;
        for (uint32_t writer = 0; writer < run->writers; writer++) {
            uint64_t there = *domain_slot(&run->world, output_of(page), writer);
            written += there;
            if (there != run->copied[writer][target]) {
                report(run, "the copy differs at the end", page, run->copied[writer][target],
                       there);
            }
        }
        if (has_bit(bitmap, page)) {
            report(run, "dirty again without a write", page, 1, 0);
        }
        if (written != 0 && !has_regions(run) && !has_bit(run->every, page)) {
            report(run, "written and in no bitmap", page, 0, written);
        }
    }
}

static void race(struct dirty_run *run) {
    struct writer writers[DOMAIN_READERS];
    probe_widen(run->options->widen);
    probe_set_mutant(run->options->mutant);
    for (uint32_t index = 0; index < run->writers; index++) {
        writers[index] = (struct writer){
            .run = run, .index = index, .random = run->options->seed * 2 + index * 77 + 1};
        pthread_create(&writers[index].thread, NULL, write_for_ever, &writers[index]);
    }
    migrate(run);
    for (uint32_t index = 0; index < run->writers; index++) {
        pthread_join(writers[index].thread, NULL);
    }
    if (run->violations == 0) {
        finish(run);
    }
    probe_set_mutant(0);
    probe_widen(false);
}

int domain_dirty_stress(const struct probe_domain_options *options,
                        struct probe_domain_result *result) {
    struct dirty_run *run = calloc(1, sizeof *run);
    if (run == NULL) {
        return CIOMMU_NO_MEMORY;
    }
    run->options = options;
    run->writers = options->readers < DOMAIN_READERS ? options->readers : DOMAIN_READERS;
    run->random = options->seed | 1;
    pthread_mutex_init(&run->lock, NULL);
    enum ciommu_status status =
        domain_world_create(&run->world, NULL, options, TABLES + 16 * DOMAIN_PAGE);
    status = status != CIOMMU_OK ? status : build(run);
    status = status != CIOMMU_OK
                 ? status
                 : ciommu_dirty_start(run->world.domains[0], NULL, run->track_flags);
    if (status == CIOMMU_OK) {
        race(run);
        struct ciommu_statistics statistics = {.size = sizeof statistics};
        ciommu_unit_statistics(run->world.unit, &statistics);
        result->first_level_hits = statistics.first_level_hits;
        result->iotlb_hits = statistics.iotlb_hits;
        result->walks = statistics.walks;
        result->violations = run->violations;
        result->reads = run->reads;
        result->writes = run->writes;
        result->changes = run->rounds;
        memcpy(result->first, run->first, sizeof result->first);
    }
    domain_world_destroy(&run->world);
    pthread_mutex_destroy(&run->lock);
    free(run);
    return status;
}
