/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * HostSetup - what it costs a host to set things up: mapping, unmapping, attaching, replacing and
 * detaching, idle and beside ports that translate without pause. Every figure is measured many
 * times in turn with a baseline, and reported as minimum, median and the ratio of the medians.
 */
#include <ciommu_domains.h>

#include "samples.h"

#include <inttypes.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define GIB (UINT64_C(1) << 30)
#define SOURCE 0x38u
#define ALL_PASIDS 0xfffffu /* 2^20 - 1 of them: 0 to 0xffffe */

static struct ciommu_memory *memory;
static struct ciommu_unit *unit;

/* ---- Baselines ---- */

/* The least that a map of `pages` pages must do: store one word for each, into fresh memory. */
static double store_words(uint64_t pages) {
    uint64_t *words = aligned_alloc(4096, (pages * sizeof *words + 4095) & ~UINT64_C(4095));
    uint64_t begin = now();
    for (uint64_t page = 0; page < pages; page++) {
        ((volatile uint64_t *)words)[page] = page << 12 | 3;
    }
    double each = (double)(now() - begin) / (double)pages;
    free(words);
    return each;
}

static pthread_mutex_t one_lock = PTHREAD_MUTEX_INITIALIZER;
static void *volatile one_slot;

/* The least that a replace must do without readers: allocate, swap under a lock, free. */
static double swap_locked(unsigned times) {
    uint64_t begin = now();
    for (unsigned time = 0; time < times; time++) {
        void *fresh = malloc(128);
        pthread_mutex_lock(&one_lock);
        void *old = one_slot;
        one_slot = fresh;
        pthread_mutex_unlock(&one_lock);
        free(old);
    }
    return (double)(now() - begin) / times;
}

/* ---- Mapping ---- */

static void measure_mapping(uint32_t page_lg2) {
    struct ciommu_paging_config config;
    struct ciommu_domain *domain;
    ciommu_paging_config_init(&config);
    config.largest_page_lg2 = page_lg2;
    CHECK(ciommu_paging_create(unit, &config, &domain));
    struct samples maps = {0};
    struct samples unmaps = {0};
    struct samples stores = {0};
    struct samples more_stores = {0};
    uint64_t pages = GIB >> page_lg2;
    for (unsigned round = 0; round < 31; round++) {
        struct ciommu_mapping mapping = {sizeof mapping, 3, 0, GIB, 4 * GIB, 0, 0};
        uint64_t begin = now();
        CHECK(ciommu_domain_map(domain, &mapping));
        uint64_t mapped = now();
        CHECK(ciommu_domain_unmap(domain, NULL, 0, GIB, NULL));
        uint64_t unmapped = now();
        add(&maps, (double)(mapped - begin) / (double)pages);
        add(&unmaps, (double)(unmapped - mapped) / (double)pages);
        add(&stores, store_words(pages));
        add(&more_stores, store_words(pages));
    }
    const char *size = page_lg2 == 12 ? "4 KiB" : page_lg2 == 21 ? "2 MiB" : "1 GiB";
    char name[80];
    snprintf(name, sizeof name, "map 1 GiB, %s pages, per page", size);
    report(name, &maps, &stores);
    snprintf(name, sizeof name, "unmap 1 GiB, %s pages, per page", size);
    report(name, &unmaps, &more_stores);
    CHECK(ciommu_domain_destroy(domain));
}

/* One call a page, as a guest's driver maps and unmaps single buffers. */
static void measure_single_pages(void) {
    struct ciommu_paging_config config;
    struct ciommu_domain *domain;
    ciommu_paging_config_init(&config);
    CHECK(ciommu_paging_create(unit, &config, &domain));
    struct samples maps = {0};
    struct samples unmaps = {0};
    struct samples swaps = {0};
    struct samples more_swaps = {0};
    const unsigned pages = 4096;
    for (unsigned round = 0; round < 101; round++) {
        uint64_t begin = now();
        for (unsigned page = 0; page < pages; page++) {
            struct ciommu_mapping mapping = {sizeof mapping,
                                             3,
                                             (uint64_t)page << 13,
                                             4096,
                                             4 * GIB + ((uint64_t)page << 12),
                                             0,
                                             0};
            CHECK(ciommu_domain_map(domain, &mapping));
        }
        uint64_t mapped = now();
        for (unsigned page = 0; page < pages; page++) {
            CHECK(ciommu_domain_unmap(domain, NULL, (uint64_t)page << 13, 4096, NULL));
        }
        uint64_t unmapped = now();
        add(&maps, (double)(mapped - begin) / pages);
        add(&unmaps, (double)(unmapped - mapped) / pages);
        add(&swaps, swap_locked(pages));
        add(&more_swaps, swap_locked(pages));
    }
    report("map one 4 KiB page", &maps, &swaps);
    report("unmap one 4 KiB page, with its invalidation and drain", &unmaps, &more_swaps);
    CHECK(ciommu_domain_destroy(domain));
}

/* ---- Attaching ---- */

struct reader {
    pthread_t thread;
    uint32_t source;
    unsigned burst;
    volatile int *stop;
    volatile int running;
};

/* Translates without pause, over 256 pages, in sections of `burst` requests. */
static void *translate(void *context) {
    struct reader *reader = context;
    struct ciommu_port *port;
    CHECK(ciommu_port_create(unit, &port));
    uint64_t address = 0;
    while (!*reader->stop) {
        ciommu_port_enter(port);
        for (unsigned request = 0; request < reader->burst; request++) {
            struct ciommu_result result = {.size = sizeof result};
            address = (address + 0x3000) & 0xfffff;
            CHECK(ciommu_translate(unit, port, reader->source, CIOMMU_NO_PASID, address,
                                   CIOMMU_READ, 0, &result));
            if (result.outcome != CIOMMU_TRANSLATED_OK) {
                fprintf(stderr, "a reader met a fault\n");
                exit(1);
            }
        }
        ciommu_port_leave(port);
        reader->running = 1;
    }
    CHECK(ciommu_port_destroy(port));
    return NULL;
}

static struct ciommu_device *make_device(uint32_t source) {
    struct ciommu_device_config config = {
        .size = sizeof config, .source = source, .id = source, .share = CIOMMU_SHARE_WHOLE};
    struct ciommu_device *device;
    CHECK(ciommu_device_create(unit, NULL, &config, &device));
    return device;
}

/* Samples single calls on PASIDs spread over those attached. */
static void sample_changes(struct ciommu_device *device, struct ciommu_domain *domains[2],
                           uint32_t attached, const char *beside) {
    struct samples attaches = {0};
    struct samples replaces = {0};
    struct samples detaches = {0};
    struct samples swaps[3] = {{0}};
    for (unsigned round = 0; round < 4000; round++) {
        uint32_t pasid = round * 7919u % attached;
        uint64_t begin = now();
        CHECK(ciommu_device_replace(device, NULL, pasid, domains[round / attached & 1]));
        uint64_t replaced = now();
        CHECK(ciommu_device_detach(device, NULL, pasid));
        uint64_t detached = now();
        CHECK(ciommu_device_attach(device, pasid, domains[1]));
        uint64_t done = now();
        add(&replaces, (double)(replaced - begin));
        add(&detaches, (double)(detached - replaced));
        add(&attaches, (double)(done - detached));
        for (unsigned index = 0; index < 3; index++) {
            add(&swaps[index], swap_locked(1));
        }
    }
    char name[100];
    snprintf(name, sizeof name, "attach a PASID, %u attached, %s", attached, beside);
    report(name, &attaches, &swaps[0]);
    snprintf(name, sizeof name, "replace a PASID, %u attached, %s", attached, beside);
    report(name, &replaces, &swaps[1]);
    snprintf(name, sizeof name, "detach a PASID, %u attached, %s", attached, beside);
    report(name, &detaches, &swaps[2]);
}

static uint64_t resident_bytes(void) {
    unsigned long total = 0;
    unsigned long resident = 0;
    FILE *file = fopen("/proc/self/statm", "r");
    if (file == NULL || fscanf(file, "%lu %lu", &total, &resident) != 2) {
        resident = 0;
    }
    if (file != NULL) {
        fclose(file);
    }
    return (uint64_t)resident * (uint64_t)sysconf(_SC_PAGESIZE);
}

static void measure_attaching(uint32_t attached, unsigned readers, unsigned burst) {
    struct ciommu_paging_config config;
    struct ciommu_domain *domains[2];
    struct ciommu_mapping mapping = {sizeof mapping, 3, 0, 1u << 20, 4 * GIB, 0, 0};
    ciommu_paging_config_init(&config);
    config.largest_page_lg2 = 12;
    for (unsigned index = 0; index < 2; index++) {
        CHECK(ciommu_paging_create(unit, &config, &domains[index]));
        CHECK(ciommu_domain_map(domains[index], &mapping));
    }
    struct ciommu_device *device = make_device(SOURCE);
    uint64_t before = resident_bytes();
    for (uint32_t pasid = 0; pasid < attached; pasid++) {
        CHECK(ciommu_device_attach(device, pasid, domains[0]));
    }
    uint64_t grown = resident_bytes() - before;

    volatile int stop = 0;
    struct reader threads[4];
    struct ciommu_device *busy[4];
    for (unsigned index = 0; index < readers; index++) {
        busy[index] = make_device(SOURCE + 1 + index);
        CHECK(ciommu_device_attach(busy[index], CIOMMU_NO_PASID, domains[0]));
        threads[index] =
            (struct reader){.source = SOURCE + 1 + index, .burst = burst, .stop = &stop};
        pthread_create(&threads[index].thread, NULL, translate, &threads[index]);
    }
    for (unsigned index = 0; index < readers; index++) {
        while (!threads[index].running) {
            sched_yield();
        }
    }
    char beside[40];
    snprintf(beside, sizeof beside, readers == 0 ? "idle" : "2 ports, bursts of %u", burst);
    sample_changes(device, domains, attached, beside);
    stop = 1;
    for (unsigned index = 0; index < readers; index++) {
        pthread_join(threads[index].thread, NULL);
        CHECK(ciommu_device_destroy(busy[index], NULL));
    }
    if (readers == 0) {
        printf("%-58s %9.1f\n", "    memory for each attached PASID, bytes",
               (double)grown / attached);
    }
    CHECK(ciommu_device_destroy(device, NULL));
    for (unsigned index = 0; index < 2; index++) {
        CHECK(ciommu_domain_destroy(domains[index]));
    }
}

int main(void) {
    struct ciommu_unit_config config;
    ciommu_unit_config_init(&config);
    CHECK(ciommu_memory_create(&memory));
    CHECK(ciommu_unit_create(&config, memory, &unit));
    printf("%-58s %9s %9s %9s %9s %9s\n", "nanoseconds", "minimum", "median", "p99", "baseline",
           "ratio");
    measure_mapping(12);
    measure_mapping(21);
    measure_mapping(30);
    measure_single_pages();
    const uint32_t counts[] = {16, 4096, ALL_PASIDS};
    for (unsigned index = 0; index < 3; index++) {
        measure_attaching(counts[index], 0, 0);
        measure_attaching(counts[index], 2, 1);
        measure_attaching(counts[index], 2, 16);
    }
    puts("baseline of mapping: one word stored for each page, into fresh memory;");
    puts("of the rest: malloc, a pointer swapped under a mutex, free. p99 shows how the machine "
         "schedules.");
    CHECK(ciommu_unit_destroy(unit));
    CHECK(ciommu_memory_destroy(memory));
    return 0;
}
