/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Invalidation - what batches of invalidation descriptors cost: pages, whole domains, very many
 * domains, idle and beside a port that translates without pause; and what they cost readers of
 * other domains. Every figure is measured many times in turn with a baseline, and reported as
 * minimum, median, 99th percentile and the ratio of the medians.
 */
#include <ciommu_invalidation.h>

#include "samples.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define PAGE UINT64_C(4096)
#define RAM_BYTES (UINT64_C(4) << 20)
#define PAGES (1u << 16) /* mapped in every domain */
#define DOMAINS 1000u    /* domain n + 1 of source id n; all of them share their tables */
#define READER 1001u     /* source id of the busy port, with a domain of its own */
#define OUTPUT (UINT64_C(1) << 40)

static struct ciommu_memory *memory;
static struct ciommu_unit *unit;
static unsigned char *ram;

/* ---- The guest ---- */

static uint64_t *word_at(uint64_t address) {
    return (uint64_t *)(void *)(ram + address);
}

static uint64_t new_table(void) {
    static uint64_t next = PAGE;
    uint64_t table = next;
    next += PAGE;
    if (next > RAM_BYTES) {
        fputs("the guest's memory is full\n", stderr);
        exit(1);
    }
    return table;
}

/* Tables that map PAGES pages from 0. */
static uint64_t map_pages(void) {
    uint64_t root = new_table();
    uint64_t third = new_table();
    uint64_t second = new_table();
    *word_at(root) = third | 3;
    *word_at(third) = second | 3;
    for (uint32_t leaf = 0; leaf < PAGES / 512; leaf++) {
        uint64_t table = new_table();
        *word_at(second + leaf * 8) = table | 3;
        for (uint32_t page = 0; page < 512; page++) {
            *word_at(table + page * 8) = (OUTPUT + (leaf * UINT64_C(512) + page) * PAGE) | 3;
        }
    }
    return root;
}

static uint64_t build(void) {
    uint64_t root_table = new_table();
    uint64_t tables = map_pages();
    for (uint32_t source = 0; source <= READER; source++) {
        if (source % 256 == 0) {
            *word_at(root_table + source / 256 * 16) = new_table() | 1;
        }
        uint64_t contexts = *word_at(root_table + source / 256 * 16) & ~UINT64_C(1);
        *word_at(contexts + source % 256 * 16) = tables | 1;
        *word_at(contexts + source % 256 * 16 + 8) = 2 | (uint64_t)(source + 1) << 8;
    }
    return root_table;
}

static void translate(struct ciommu_port *port, uint32_t source, uint64_t iova) {
    struct ciommu_result result = {.size = sizeof result};
    CHECK(ciommu_translate(unit, port, source, CIOMMU_NO_PASID, iova, CIOMMU_READ, 0, &result));
    if (result.outcome != CIOMMU_TRANSLATED_OK) {
        fprintf(stderr, "a fault\n");
        exit(1);
    }
}

/* ---- Entries ---- */

struct descriptor {
    uint64_t words[2];
};

static struct descriptor page_of(uint32_t domain, uint64_t iova) {
    return (struct descriptor){{2 | 3 << 4 | (uint64_t)domain << 16, iova | 1 << 6}};
}

static struct descriptor all_of(uint32_t domain) {
    return (struct descriptor){{2 | 2 << 4 | (uint64_t)domain << 16, 0}};
}

static void apply(struct ciommu_port *port, const struct descriptor *entries, uint32_t count) {
    const struct ciommu_batch batch = {
        .size = sizeof batch,
        .format = CIOMMU_BATCH_VTD_128,
        .entry_length = sizeof *entries,
        .count = count,
        .entries = entries,
    };
    struct ciommu_batch_result result = {.size = sizeof result};
    CHECK(ciommu_batch_apply(unit, port, &batch, NULL, &result));
}

static void apply_each(struct ciommu_port *port, const struct descriptor *entries, uint32_t count) {
    for (uint32_t index = 0; index < count; index++) {
        struct ciommu_descriptor_result result = {.size = sizeof result};
        CHECK(ciommu_invalidate_descriptor(unit, port, entries[index].words, false, &result));
    }
}

/* Samples a batch in turn with the same descriptors one by one. */
static void sample(const char *what, struct ciommu_port *port, const struct descriptor *entries,
                   uint32_t count, unsigned rounds) {
    struct samples batches = {0};
    struct samples singles = {0};
    for (unsigned round = 0; round < rounds; round++) {
        uint64_t begin = now();
        apply(port, entries, count);
        uint64_t middle = now();
        apply_each(port, entries, count);
        add(&batches, (double)(middle - begin));
        add(&singles, (double)(now() - middle));
    }
    report(what, &batches, &singles);
}

/* ---- The busy port ---- */

struct reader {
    pthread_t thread;
    uint64_t translations; /* atomic */
    int stop;              /* atomic */
};

/* Translates without pause, over 256 pages, in sections of 16 requests. */
static void *read_pages(void *context) {
    struct reader *reader = context;
    struct ciommu_port *port;
    CHECK(ciommu_port_create(unit, &port));
    uint64_t address = 0;
    while (!__atomic_load_n(&reader->stop, __ATOMIC_RELAXED)) {
        ciommu_port_enter(port);
        for (unsigned request = 0; request < 16; request++) {
            address = (address + 0x3000) & 0xfffff;
            translate(port, READER, address);
        }
        ciommu_port_leave(port);
        __atomic_store_n(&reader->translations, reader->translations + 16, __ATOMIC_RELAXED);
    }
    CHECK(ciommu_port_destroy(port));
    return NULL;
}

static void start(struct reader *reader) {
    *reader = (struct reader){.stop = 0};
    pthread_create(&reader->thread, NULL, read_pages, reader);
    while (__atomic_load_n(&reader->translations, __ATOMIC_RELAXED) == 0) {
    }
}

static void stop(struct reader *reader) {
    __atomic_store_n(&reader->stop, 1, __ATOMIC_RELAXED);
    pthread_join(reader->thread, NULL);
}

/* ---- Figures ---- */

/* Pages that do not touch; every domain's own space is in the pool. */
static void measure_pages(struct ciommu_port *port, const char *beside) {
    const uint32_t counts[] = {1, 32, 256};
    struct descriptor entries[256];
    translate(port, 0, 0); /* else no page size is in use, and there is nothing to clear */
    for (uint32_t page = 0; page < 256; page++) {
        entries[page] = page_of(1, page * 2 * PAGE);
    }
    for (unsigned index = 0; index < 3; index++) {
        char name[80];
        snprintf(name, sizeof name, "batch of %u pages apart, %s", counts[index], beside);
        sample(name, port, entries, counts[index], counts[index] == 1 ? 20000 : 1001);
    }
    for (uint32_t page = 0; page < 256; page++) {
        entries[page] = page_of(1, page * PAGE);
    }
    char name[80];
    snprintf(name, sizeof name, "batch of 256 pages in a row, %s", beside);
    sample(name, port, entries, 256, 1001);
}

static pthread_mutex_t one_lock = PTHREAD_MUTEX_INITIALIZER;
static uint64_t one_word;

/* The least that dropping a domain must do: one store under a lock. */
static double store_locked(void) {
    uint64_t begin = now();
    pthread_mutex_lock(&one_lock);
    __atomic_store_n(&one_word, one_word + 1, __ATOMIC_SEQ_CST);
    pthread_mutex_unlock(&one_lock);
    return (double)(now() - begin);
}

static void measure_domains(struct ciommu_port *port) {
    const uint32_t cached[] = {0, 1u << 10, 1u << 16};
    for (unsigned index = 0; index < 3; index++) {
        struct samples drops = {0};
        struct samples stores = {0};
        struct descriptor entry = all_of(1);
        for (unsigned round = 0; round < (cached[index] > 1024 ? 101 : 1001); round++) {
            for (uint32_t page = 0; page < cached[index]; page++) {
                translate(port, 0, page * PAGE);
            }
            uint64_t begin = now();
            apply(port, &entry, 1);
            add(&drops, (double)(now() - begin));
            add(&stores, store_locked());
        }
        char name[80];
        snprintf(name, sizeof name, "whole domain, %u entries cached", cached[index]);
        report(name, &drops, &stores);
    }
}

static void measure_many_domains(struct ciommu_port *port, const char *beside) {
    static struct descriptor entries[DOMAINS];
    for (uint32_t domain = 0; domain < DOMAINS; domain++) {
        entries[domain] = all_of(domain + 1);
        translate(port, domain, 0);
    }
    char name[80];
    snprintf(name, sizeof name, "1,000 whole domains in a batch, %s", beside);
    sample(name, port, entries, DOMAINS, 301);
    for (uint32_t domain = 0; domain < DOMAINS; domain++) {
        entries[domain] = page_of(domain + 1, 0);
    }
    snprintf(name, sizeof name, "a page of 1,000 domains in a batch, %s", beside);
    sample(name, port, entries, DOMAINS, 301);
}

/* Nanoseconds a translation in a window, and pages dropped in it: 100 a millisecond, or none. */
static double measure_window(struct reader *reader, struct ciommu_port *port, bool drops,
                             uint64_t *pages) {
    struct descriptor entries[100];
    uint64_t begin = now();
    uint64_t done = __atomic_load_n(&reader->translations, __ATOMIC_RELAXED);
    for (unsigned turn = 0; turn < 50; turn++) {
        for (uint32_t page = 0; drops && page < 100; page++) {
            entries[page] = page_of(1 + turn % 8, (turn * 100 + page) * 2 % PAGES * PAGE);
        }
        if (drops) {
            apply(port, entries, 100);
            *pages += 100;
        }
        uint64_t next = begin + (turn + 1) * UINT64_C(1000000);
        uint64_t time = now();
        if (time < next) {
            struct timespec nap = {0, (long)(next - time)};
            nanosleep(&nap, NULL);
        }
    }
    done = __atomic_load_n(&reader->translations, __ATOMIC_RELAXED) - done;
    return (double)(now() - begin) / (double)done;
}

static void measure_readers(struct ciommu_port *port) {
    struct samples beside = {0};
    struct samples alone = {0};
    struct reader reader;
    uint64_t pages = 0;
    uint64_t nothing = 0;
    uint64_t spent = 0;
    start(&reader);
    for (unsigned round = 0; round < 60; round++) {
        uint64_t begin = now();
        add(&beside, measure_window(&reader, port, true, &pages));
        spent += now() - begin;
        add(&alone, measure_window(&reader, port, false, &nothing));
    }
    stop(&reader);
    report("a translation of another domain, pages being dropped", &beside, &alone);
    printf("%-58s %9.0f\n", "    pages dropped per second", (double)pages * 1e9 / (double)spent);
}

int main(void) {
    struct ciommu_unit_config config;
    ciommu_unit_config_init(&config);
    ram = aligned_alloc(PAGE, RAM_BYTES);
    memset(ram, 0, RAM_BYTES);
    const struct ciommu_memory_range range = {
        .size = sizeof range, .rights = 3, .length = RAM_BYTES, .host = ram};
    CHECK(ciommu_memory_create(&memory));
    CHECK(ciommu_memory_add(memory, &range));
    CHECK(ciommu_unit_create(&config, memory, &unit));
    CHECK(ciommu_unit_set_root(unit, build()));
    CHECK(ciommu_unit_set_translation(unit, true));
    struct ciommu_port *port;
    CHECK(ciommu_port_create(unit, &port));
    translate(port, 0, 0);
    printf("%-58s %9s %9s %9s %9s %9s\n", "nanoseconds", "minimum", "median", "p99", "baseline",
           "ratio");
    measure_pages(port, "idle");
    measure_domains(port);
    measure_many_domains(port, "idle");
    struct reader reader;
    start(&reader);
    measure_pages(port, "a busy port");
    measure_many_domains(port, "a busy port");
    stop(&reader);
    measure_readers(port);
    puts("baseline of batches: the same descriptors one by one, a drain each; of whole domains: a");
    puts("store under a mutex; of a translation: the same while nothing is dropped. p99 shows how");
    puts("the machine schedules.");
    CHECK(ciommu_port_destroy(port));
    CHECK(ciommu_unit_destroy(unit));
    CHECK(ciommu_memory_destroy(memory));
    free(ram);
    return 0;
}
