/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * batch_stress.c - many threads apply batches beside ports that check the age of every answer.
 *
 * Each page of a domain leads to an address that names the page and a version. A page has one
 * applier, which raises the version in the guest's table, sends a batch that covers the page, and
 * notes the version as complete: in the `waited` call if a wait descriptor follows the entry, else
 * when the batch returns. A reader's answer v in a section must satisfy
 *     complete when the section began <= v <= begun when it ended, and
 *     complete while the section is still open <= v,
 * because completion waits for the section.
 */
#define _GNU_SOURCE
#include "batch_probe.h"
#include "audit.h"
#include "ciommu_invalidation.h"
#include "harness.h"
#include "probe.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PAGE UINT64_C(4096)
#define RAM_BYTES (UINT64_C(2) << 20)
#define PAGES 160u   /* of each domain */
#define DOMAINS 3u   /* domain 1...3, source id 0x10, 0x11, 0x12 */
#define APPLIERS 16u /* most */
#define ENTRIES 160u /* most of a batch */
#define SOURCE 0x10u
#define IOVA UINT64_C(0x40000000)
#define STATUS UINT64_C(0x1000)

struct page_state {
    uint64_t begun;
    uint64_t complete;
};

struct run {
    const struct probe_batch_options *options;
    struct ciommu_memory *memory;
    struct ciommu_unit *unit;
    unsigned char *ram;
    uint64_t leaves[DOMAINS];
    struct page_state pages[DOMAINS][PAGES];
    uint32_t stop;
    uint32_t batches_left;
    struct probe_batch_result *result;
    pthread_mutex_t lock; /* result */
};

/* A page that a batch covers. */
struct change {
    uint32_t domain;
    uint32_t page;
    uint64_t version;
};

struct applier {
    struct run *run;
    uint32_t number;
    uint64_t random;
    pthread_t thread;
    struct ciommu_port *port;
    struct change changes[ENTRIES];
    uint32_t change_entries[ENTRIES]; /* index of the entry that covers it */
    uint32_t change_count;
    uint32_t noted; /* changes noted as complete */
    uint64_t words[ENTRIES][2];
    uint32_t entries;
    uint32_t status; /* what the last wait before `waited` stores */
    uint64_t waits;
};

static void report(struct run *run, const char *what, uint64_t a, uint64_t b, uint64_t c) {
    pthread_mutex_lock(&run->lock);
    if (run->result->violations++ == 0) {
        (void)snprintf(run->result->first, sizeof run->result->first, "%s: %llu %llu %llu", what,
                       (unsigned long long)a, (unsigned long long)b, (unsigned long long)c);
    }
    pthread_mutex_unlock(&run->lock);
    __atomic_store_n(&run->stop, 1, __ATOMIC_RELAXED);
}

static uint64_t *word_at(struct run *run, uint64_t address) {
    return (uint64_t *)(void *)(run->ram + address);
}

static uint64_t output_of(uint32_t domain, uint32_t page, uint64_t version) {
    return UINT64_C(1) << 50 | (uint64_t)domain << 48 | (uint64_t)page << 40 | version << 12;
}

/* ---- Readers ---- */

struct reader {
    struct run *run;
    uint64_t random;
    pthread_t thread;
    uint64_t reads;
    uint64_t old_reads;
};

static void read_once(struct reader *reader, struct ciommu_port *port) {
    struct run *run = reader->run;
    uint64_t random = probe_random(&reader->random);
    uint32_t domain = (uint32_t)(random % DOMAINS);
    uint32_t page = (uint32_t)(random >> 20) % PAGES;
    struct page_state *state = &run->pages[domain][page];
    uint64_t before = __atomic_load_n(&state->complete, __ATOMIC_SEQ_CST);
    struct ciommu_result result = {.size = sizeof result};
    ciommu_port_enter(port);
    enum ciommu_status status =
        ciommu_translate(run->unit, port, SOURCE + domain, CIOMMU_NO_PASID, IOVA + page * PAGE,
                         CIOMMU_READ, CIOMMU_NO_FAULT, &result);
    for (uint32_t spin = 0; spin < (random >> 40) % 64; spin++) {
        __atomic_signal_fence(__ATOMIC_SEQ_CST);
    }
    uint64_t inside = __atomic_load_n(&state->complete, __ATOMIC_SEQ_CST);
    ciommu_port_leave(port);
    uint64_t begun = __atomic_load_n(&state->begun, __ATOMIC_SEQ_CST);
    if (status != CIOMMU_OK || result.outcome != CIOMMU_TRANSLATED_OK) {
        report(run, "no answer", status, result.outcome, result.fault.code);
        return;
    }
    uint64_t version = (result.address >> 12) & ((UINT64_C(1) << 28) - 1);
    if (result.address != output_of(domain, page, version)) {
        report(run, "foreign answer", domain, page, result.address);
    } else if (version < before) {
        report(run, "older than what was complete before the section", page, version, before);
    } else if (version < inside) {
        report(run, "completed while a section used what it covers", page, version, inside);
    } else if (version > begun) {
        report(run, "newer than ever", page, version, begun);
    }
    reader->reads++;
    reader->old_reads += version < begun;
}

static void *read_pages(void *context) {
    struct reader *reader = context;
    struct run *run = reader->run;
    struct ciommu_port *port = NULL;
    if (ciommu_port_create(run->unit, &port) != CIOMMU_OK) {
        report(run, "no port for a reader", 0, 0, 0);
        return NULL;
    }
    while (__atomic_load_n(&run->stop, __ATOMIC_RELAXED) == 0) {
        read_once(reader, port);
    }
    (void)ciommu_port_destroy(port);
    return NULL;
}

/* ---- Appliers ---- */

static void put(struct applier *applier, uint64_t low, uint64_t high) {
    applier->words[applier->entries][0] = low;
    applier->words[applier->entries][1] = high;
    applier->entries++;
}

/* Raises the version of one of the applier's own pages. */
static void change_page(struct applier *applier, uint32_t domain, uint32_t page) {
    struct run *run = applier->run;
    struct page_state *state = &run->pages[domain][page];
    uint64_t version = state->begun + 1;
    __atomic_store_n(&state->begun, version, __ATOMIC_SEQ_CST);
    __atomic_store_n(word_at(run, run->leaves[domain] + page * 8),
                     output_of(domain, page, version) | 3, __ATOMIC_RELEASE);
    applier->change_entries[applier->change_count] = applier->entries;
    applier->changes[applier->change_count++] = (struct change){domain, page, version};
}

/* Entries with the pages that they cover, and waits between them. */
static void make_batch(struct applier *applier) {
    uint32_t appliers = applier->run->options->appliers;
    uint32_t count = (uint32_t)(probe_random(&applier->random) >> 30) % 24 + 1;
    if ((probe_random(&applier->random) >> 33) % 16 == 0) {
        count = ENTRIES - 1;
    }
    applier->entries = 0;
    applier->change_count = 0;
    applier->noted = 0;
    while (applier->entries < count) {
        uint64_t random = probe_random(&applier->random) >> 8;
        uint32_t domain = (uint32_t)(random % DOMAINS);
        uint32_t page = (uint32_t)(random >> 8) % (PAGES / appliers) * appliers + applier->number;
        uint64_t did = (uint64_t)(domain + 1) << 16;
        switch ((random >> 32) % 16) {
        case 0:
        case 1: /* status at a place of the applier's own */
            put(applier, 5 | 2 << 4 | (uint64_t)applier->entries << 32,
                STATUS + applier->number * 64);
            break;
        case 2:
            change_page(applier, domain, page);
            put(applier, 2 | 2 << 4 | did, 0);
            break;
        case 3:
            change_page(applier, domain, page);
            put(applier, 2 | 3 << 4 | did, (IOVA + page * PAGE) | 3); /* eight pages */
            break;
        case 4:
            change_page(applier, domain, page);
            put(applier, 2 | 3 << 4 | did, IOVA + page * PAGE);
            break;
        default:
            change_page(applier, domain, page);
            put(applier, 2 | 3 << 4 | did, (IOVA + page * PAGE) | 1 << 6);
        }
    }
}

/* Notes what entries before `end` covered as complete. */
static void note(struct applier *applier, uint32_t end) {
    for (; applier->noted < applier->change_count; applier->noted++) {
        if (applier->change_entries[applier->noted] >= end) {
            return;
        }
        const struct change *change = &applier->changes[applier->noted];
        __atomic_store_n(&applier->run->pages[change->domain][change->page].complete,
                         change->version, __ATOMIC_SEQ_CST);
    }
}

static void waited(void *context, uint32_t index, bool interrupt) {
    struct applier *applier = context;
    uint32_t *status =
        (uint32_t *)(void *)(applier->run->ram + STATUS + applier->number * UINT64_C(64));
    uint32_t stored = __atomic_load_n(status, __ATOMIC_ACQUIRE);
    if (stored != index || interrupt) {
        report(applier->run, "a wait was told before its status was stored", index, stored,
               interrupt);
    }
    applier->waits++;
    note(applier, index);
}

static void apply_once(struct applier *applier) {
    struct run *run = applier->run;
    make_batch(applier);
    struct ciommu_batch batch = {
        .size = sizeof batch,
        .format = CIOMMU_BATCH_VTD_128,
        .entry_length = 16,
        .count = applier->entries,
        .entries = applier->words,
    };
    struct ciommu_batch_host host = {.size = sizeof host, .context = applier, .waited = waited};
    struct ciommu_batch_result result = {.size = sizeof result};
    enum ciommu_status status =
        ciommu_batch_apply(run->unit, applier->port, &batch, &host, &result);
    if (status != CIOMMU_OK || result.handled != applier->entries) {
        report(run, "a batch failed", status, result.handled, applier->entries);
        return;
    }
    note(applier, applier->entries);
    pthread_mutex_lock(&run->lock);
    run->result->batches++;
    run->result->entries += applier->entries;
    run->result->merged += result.merged;
    pthread_mutex_unlock(&run->lock);
}

static bool take_batch(struct run *run) {
    uint32_t left = __atomic_load_n(&run->batches_left, __ATOMIC_RELAXED);
    while (left != 0 && !__atomic_compare_exchange_n(&run->batches_left, &left, left - 1, true,
                                                     __ATOMIC_RELAXED, __ATOMIC_RELAXED)) {
    }
    return left != 0;
}

static void *apply_batches(void *context) {
    struct applier *applier = context;
    struct run *run = applier->run;
    /* Every other one borrows a port from the pool. */
    if (applier->number % 2 == 0 && ciommu_port_create(run->unit, &applier->port) != CIOMMU_OK) {
        report(run, "no port for an applier", 0, 0, 0);
    }
    while (__atomic_load_n(&run->stop, __ATOMIC_RELAXED) == 0 && take_batch(run)) {
        apply_once(applier);
    }
    (void)ciommu_port_destroy(applier->port);
    return NULL;
}

/* ---- Setup ---- */

static uint64_t new_table(struct run *run, uint64_t *next) {
    uint64_t table = *next;
    *next += PAGE;
    memset(run->ram + table, 0, PAGE);
    return table;
}

static uint64_t build(struct run *run) {
    uint64_t next = 16 * PAGE;
    uint64_t root_table = new_table(run, &next);
    uint64_t contexts = new_table(run, &next);
    *word_at(run, root_table) = contexts | 1;
    for (uint32_t domain = 0; domain < DOMAINS; domain++) {
        uint64_t table = new_table(run, &next);
        *word_at(run, contexts + (SOURCE + domain) * 16) = table | 1;
        *word_at(run, contexts + (SOURCE + domain) * 16 + 8) = 2 | (uint64_t)(domain + 1) << 8;
        for (uint32_t level = 3; level > 0; level--) {
            uint64_t below = new_table(run, &next);
            *word_at(run, table + (IOVA >> (12 + 9 * level) & 511) * 8) = below | 3;
            table = below;
        }
        run->leaves[domain] = table;
        for (uint32_t page = 0; page < PAGES; page++) {
            *word_at(run, table + page * 8) = output_of(domain, page, 0) | 3;
        }
    }
    return root_table;
}

static int create(struct run *run) {
    struct ciommu_unit_config config;
    ciommu_unit_config_init(&config);
    config.iotlb_entries = 1024;
    config.first_level_entries = 64;
    config.pool_ports = 2 * APPLIERS; /* so that none is missed while others come and go */
    config.drain_timeout = UINT64_C(60000000000);
    struct ciommu_memory_range range = {
        .size = sizeof range, .rights = 3, .length = RAM_BYTES, .host = run->ram};
    enum ciommu_status status = ciommu_memory_create(&run->memory);
    status = status != CIOMMU_OK ? status : ciommu_memory_add(run->memory, &range);
    status = status != CIOMMU_OK ? status : ciommu_unit_create(&config, run->memory, &run->unit);
    status = status != CIOMMU_OK ? status : ciommu_unit_set_root(run->unit, build(run));
    return status != CIOMMU_OK ? (int)status : (int)ciommu_unit_set_translation(run->unit, true);
}

static void ignore(void *context, const struct ciommu_invalidation *what) {
    (void)context;
    (void)what;
}

/* Observers come and go meanwhile. */
static void *change_observers(void *context) {
    struct run *run = context;
    while (__atomic_load_n(&run->stop, __ATOMIC_RELAXED) == 0) {
        uint32_t id = 0;
        if (ciommu_observer_add(run->unit, ignore, NULL, &id) != CIOMMU_OK ||
            ciommu_observer_remove(run->unit, id) != CIOMMU_OK) {
            report(run, "an observer could not come or go", id, 0, 0);
        }
        probe_nap(100000);
    }
    return NULL;
}

static void run_threads(struct run *run, struct applier *appliers, struct reader *readers) {
    const struct probe_batch_options *options = run->options;
    pthread_t changer;
    if (options->observed) {
        pthread_create(&changer, NULL, change_observers, run);
    }
    for (uint32_t index = 0; index < options->readers; index++) {
        readers[index] = (struct reader){.run = run, .random = options->seed * 2 + index * 77 + 1};
        pthread_create(&readers[index].thread, NULL, read_pages, &readers[index]);
    }
    for (uint32_t index = 0; index < options->appliers; index++) {
        appliers[index].run = run;
        appliers[index].number = index;
        appliers[index].random = options->seed * 4 + index * 1001 + 3;
        pthread_create(&appliers[index].thread, NULL, apply_batches, &appliers[index]);
    }
    for (uint32_t index = 0; index < options->appliers; index++) {
        pthread_join(appliers[index].thread, NULL);
        run->result->waits += appliers[index].waits;
    }
    __atomic_store_n(&run->stop, 1, __ATOMIC_RELAXED);
    for (uint32_t index = 0; index < options->readers; index++) {
        pthread_join(readers[index].thread, NULL);
        run->result->reads += readers[index].reads;
        run->result->old_reads += readers[index].old_reads;
    }
    if (options->observed) {
        pthread_join(changer, NULL);
    }
}

int probe_batch_stress(const struct probe_batch_options *options,
                       struct probe_batch_result *result) {
    memset(result, 0, sizeof *result);
    struct run *run = calloc(1, sizeof *run);
    struct applier *appliers = calloc(APPLIERS, sizeof *appliers);
    struct reader *readers = calloc(options->readers, sizeof *readers);
    unsigned char *ram = aligned_alloc(PAGE, RAM_BYTES);
    int status = CIOMMU_NO_MEMORY;
    if (run != NULL && appliers != NULL && readers != NULL && ram != NULL) {
        memset(ram, 0, RAM_BYTES);
        *run = (struct run){
            .options = options, .ram = ram, .result = result, .batches_left = options->batches};
        pthread_mutex_init(&run->lock, NULL);
        status = create(run);
        uint32_t id = 0;
        if (status == CIOMMU_OK && options->observed) {
            status = (int)ciommu_observer_add(run->unit, ignore, NULL, &id);
        }
        if (status == CIOMMU_OK) {
            probe_widen(options->widen);
            probe_set_mutant(options->mutant);
            run_threads(run, appliers, readers);
            probe_set_mutant(0);
            probe_widen(false);
        }
        if (id != 0) {
            (void)ciommu_observer_remove(run->unit, id);
        }
        ciommu_audit(ciommu_audit_unit(run->unit));
        (void)ciommu_unit_destroy(run->unit);
        (void)ciommu_memory_destroy(run->memory);
        pthread_mutex_destroy(&run->lock);
    }
    free(ram);
    free(readers);
    free(appliers);
    free(run);
    return status;
}
