/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * domain_mappers.c - many threads that change one domain at once. Each owns every n-th page of one
 * 2 MiB page and of the next; all pages together make the large pages whole, so that the threads
 * split and merge under one another. A thread's own pages must be as it left them, whatever the
 * others do.
 */
#define _GNU_SOURCE
#include "domain_world.h"
#include "probe.h"
#include "harness.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PAGES 1024u

struct mappers {
    const struct probe_domain_options *options;
    struct domain_world world;
    uint32_t threads;
    uint32_t stop;
    uint64_t violations;
    uint64_t reads;
    uint64_t changes;
    pthread_mutex_t lock;
    char first[200];
};

struct mapper {
    struct mappers *run;
    uint32_t index;
    uint64_t random;
    uint8_t rights[PAGES]; /* of its own pages */
    pthread_t thread;
};

static void report(struct mappers *run, const char *what, uint32_t page, uint64_t found,
                   uint64_t wanted) {
    (void)__atomic_fetch_add(&run->violations, 1, __ATOMIC_RELAXED);
    pthread_mutex_lock(&run->lock);
    if (run->first[0] == 0) {
        (void)snprintf(run->first, sizeof run->first, "%s: page %u, found %llx, wanted %llx", what,
                       page, (unsigned long long)found, (unsigned long long)wanted);
    }
    pthread_mutex_unlock(&run->lock);
    __atomic_store_n(&run->stop, 1, __ATOMIC_RELAXED);
}

static uint64_t iova_of(uint32_t page) {
    return DOMAIN_IOVA + page * DOMAIN_PAGE;
}

static uint64_t output_of(uint32_t page) {
    return DOMAIN_OUTPUT + page * DOMAIN_PAGE;
}

/* What the engine says of a page of one's own, from the listing and from a translation. */
static void check_page(struct mapper *mapper, struct ciommu_port *port, uint32_t page,
                       uint32_t access) {
    struct mappers *run = mapper->run;
    uint32_t rights = mapper->rights[page];
    struct ciommu_mapping mapping = {.size = sizeof mapping};
    bool listed = ciommu_domain_next(run->world.domains[0], iova_of(page), &mapping) == CIOMMU_OK &&
                  mapping.iova <= iova_of(page);
    uint32_t found = listed ? mapping.rights : 0;
    if (found != rights) {
        report(run, "the listing differs", page, found, rights);
    }
    struct ciommu_result result = {.size = sizeof result};
    enum ciommu_status status =
        ciommu_translate(run->world.unit, port, DOMAIN_SOURCE, CIOMMU_NO_PASID, iova_of(page),
                         access, CIOMMU_NO_FAULT, &result);
    bool granted = status == CIOMMU_OK && result.outcome == CIOMMU_TRANSLATED_OK;
    if (granted != ((access & ~rights) == 0)) {
        report(run, "a wrong right", page, granted, rights);
    } else if (granted && result.address != output_of(page)) {
        report(run, "a wrong address", page, result.address, output_of(page));
    }
}

static enum ciommu_status change_page(struct mapper *mapper, uint32_t page, uint64_t random) {
    struct ciommu_domain *domain = mapper->run->world.domains[0];
    uint64_t unmapped = 0;
    enum ciommu_status status;
    if (mapper->rights[page] == 0) {
        status = domain_map(domain, iova_of(page), output_of(page), DOMAIN_PAGE, DOMAIN_RW);
        mapper->rights[page] = DOMAIN_RW;
    } else if (random % 4 == 0) {
        mapper->rights[page] = mapper->rights[page] == DOMAIN_RW ? CIOMMU_READ : DOMAIN_RW;
        status =
            ciommu_domain_protect(domain, NULL, iova_of(page), DOMAIN_PAGE, mapper->rights[page]);
    } else {
        status = ciommu_domain_unmap(domain, NULL, iova_of(page), DOMAIN_PAGE, &unmapped);
        mapper->rights[page] = 0;
        if (status == CIOMMU_OK && unmapped != DOMAIN_PAGE) {
            report(mapper->run, "bytes unmapped", page, unmapped, DOMAIN_PAGE);
        }
    }
    return status;
}

static void *change_for_ever(void *argument) {
    struct mapper *mapper = argument;
    struct mappers *run = mapper->run;
    struct ciommu_port *port = NULL;
    uint64_t changes = 0;
    if (ciommu_port_create(run->world.unit, &port) != CIOMMU_OK) {
        report(run, "no port", 0, 0, 0);
    }
    while (port != NULL && __atomic_load_n(&run->stop, __ATOMIC_RELAXED) == 0) {
        uint64_t random = probe_random(&mapper->random);
        uint32_t own = PAGES / run->threads;
        /* Few pages most of the time, so that the rest is whole and is merged. */
        uint32_t pick = (uint32_t)(random >> 8) % (random % 8 == 0 ? own : 2);
        uint32_t page = pick * run->threads + mapper->index;
        enum ciommu_status status = change_page(mapper, page, random >> 40);
        if (status != CIOMMU_OK) {
            report(run, ciommu_status_text(status), page, 0, 0);
        }
        check_page(mapper, port, page, CIOMMU_READ);
        check_page(mapper, port, page, CIOMMU_WRITE);
        uint32_t other = (uint32_t)(random >> 24) % own * run->threads + mapper->index;
        check_page(mapper, port, other, random >> 60 & 1 ? CIOMMU_WRITE : CIOMMU_READ);
        if (pick >= 2 && mapper->rights[page] != DOMAIN_RW) { /* whole again */
            if (mapper->rights[page] != 0) {
                mapper->rights[page] = DOMAIN_RW;
                status = ciommu_domain_protect(run->world.domains[0], NULL, iova_of(page),
                                               DOMAIN_PAGE, DOMAIN_RW);
            } else {
                status = change_page(mapper, page, 0);
            }
            if (status != CIOMMU_OK) {
                report(run, ciommu_status_text(status), page, 0, 0);
            }
        }
        changes++;
    }
    (void)ciommu_port_destroy(port);
    (void)__atomic_fetch_add(&run->changes, changes, __ATOMIC_RELAXED);
    return NULL;
}

/* Tracking and attachments change meanwhile. */
static void disturb(struct mappers *run) {
    uint64_t bitmap[PAGES / 64];
    uint64_t random = run->options->seed | 1;
    uint64_t end = probe_now() + run->options->milliseconds;
    struct ciommu_domain *domain = run->world.domains[0];
    while (__atomic_load_n(&run->stop, __ATOMIC_RELAXED) == 0 && probe_now() < end) {
        enum ciommu_status status = CIOMMU_OK;
        switch (probe_random(&random) % 8) {
        case 0:
            status = ciommu_dirty_start(domain, NULL, 0);
            break;
        case 1:
            status = ciommu_dirty_start(domain, NULL, CIOMMU_DIRTY_SPLIT);
            break;
        case 2:
        case 3:
            status = ciommu_dirty_stop(domain, NULL);
            break;
        case 4:
            status = ciommu_device_attach(run->world.device, 5, domain);
            status =
                status != CIOMMU_OK ? status : ciommu_device_detach(run->world.device, NULL, 5);
            break;
        default:
            status = ciommu_dirty_read(domain, NULL, DOMAIN_IOVA, PAGES * DOMAIN_PAGE, DOMAIN_PAGE,
                                       bitmap, 0);
            status = status == CIOMMU_NOT_TRACKING ? CIOMMU_OK : status;
        }
        if (status != CIOMMU_OK) {
            report(run, ciommu_status_text(status), 0, 0, 0);
        }
        run->reads++;
        probe_nap(200000);
    }
    __atomic_store_n(&run->stop, 1, __ATOMIC_RELAXED);
}

static void race(struct mappers *run) {
    struct mapper *mappers = calloc(run->threads, sizeof *mappers);
    if (mappers == NULL) {
        report(run, "no memory", 0, 0, 0);
        return;
    }
    probe_widen(run->options->widen);
    probe_set_mutant(run->options->mutant);
    for (uint32_t index = 0; index < run->threads; index++) {
        mappers[index] = (struct mapper){
            .run = run, .index = index, .random = run->options->seed * 2 + index * 77 + 1};
        memset(mappers[index].rights, DOMAIN_RW, PAGES);
        pthread_create(&mappers[index].thread, NULL, change_for_ever, &mappers[index]);
    }
    disturb(run);
    for (uint32_t index = 0; index < run->threads; index++) {
        pthread_join(mappers[index].thread, NULL);
    }
    probe_set_mutant(0);
    probe_widen(false);
    uint64_t wanted = 0;
    for (uint32_t page = 0; page < PAGES; page++) {
        wanted += mappers[page % run->threads].rights[page] == 0 ? 0 : DOMAIN_PAGE;
    }
    uint64_t unmapped = 0;
    enum ciommu_status status =
        ciommu_domain_unmap(run->world.domains[0], NULL, 0, UINT64_MAX, &unmapped);
    if (status != CIOMMU_OK || unmapped != wanted) {
        report(run, "bytes unmapped at the end", 0, unmapped, wanted);
    }
    free(mappers);
}

int domain_mappers_stress(const struct probe_domain_options *options,
                          struct probe_domain_result *result) {
    struct mappers *run = calloc(1, sizeof *run);
    if (run == NULL) {
        return CIOMMU_NO_MEMORY;
    }
    run->options = options;
    run->threads = 1;
    while (run->threads * 2 <= options->readers && run->threads < DOMAIN_READERS) {
        run->threads *= 2; /* a divisor of PAGES */
    }
    pthread_mutex_init(&run->lock, NULL);
    enum ciommu_status status =
        domain_world_create(&run->world, NULL, options, PAGES * DOMAIN_PAGE);
    status = status != CIOMMU_OK ? status
                                 : domain_paging(&run->world, CIOMMU_PAGING_DIRTY_TRACKING, 21,
                                                 &run->world.domains[0]);
    status = status != CIOMMU_OK ? status
                                 : domain_map(run->world.domains[0], DOMAIN_IOVA, DOMAIN_OUTPUT,
                                              PAGES * DOMAIN_PAGE, DOMAIN_RW);
    status = status != CIOMMU_OK
                 ? status
                 : ciommu_device_attach(run->world.device, CIOMMU_NO_PASID, run->world.domains[0]);
    if (status == CIOMMU_OK) {
        race(run);
        result->violations = run->violations;
        result->reads = run->reads;
        result->changes = run->changes;
        memcpy(result->first, run->first, sizeof result->first);
    }
    domain_world_destroy(&run->world);
    pthread_mutex_destroy(&run->lock);
    free(run);
    return status;
}
