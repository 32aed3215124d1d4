/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * setup.c - what it costs to make things: units, ports, mappings, attachments.
 */
#include "check.h"

#include <ciommu_domains.h>

#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>

#define SOURCE 8u
#define MAPPED (UINT64_C(1) << 30)

struct bench_setup {
    struct ciommu_memory *memory;
    struct ciommu_unit *unit;
    struct ciommu_device *device;
    struct ciommu_domain *domains[2];
};

struct bench_setup *bench_setup_create(void) {
    struct bench_setup *setup = bench_zeroed(1, sizeof *setup);
    const struct ciommu_device_config device = {
        .size = sizeof device, .source = SOURCE, .id = 1, .share = CIOMMU_SHARE_WHOLE};
    struct ciommu_unit_config unit;
    struct ciommu_paging_config paging;
    ciommu_unit_config_init(&unit);
    ciommu_paging_config_init(&paging);
    paging.largest_page_lg2 = 12;
    CHECK(ciommu_memory_create(&setup->memory));
    CHECK(ciommu_unit_create(&unit, setup->memory, &setup->unit));
    CHECK(ciommu_device_create(setup->unit, NULL, &device, &setup->device));
    CHECK(ciommu_paging_create(setup->unit, &paging, &setup->domains[0]));
    CHECK(ciommu_paging_create(setup->unit, &paging, &setup->domains[1]));
    return setup;
}

void bench_setup_destroy(struct bench_setup *setup) {
    if (setup == NULL) {
        return;
    }
    CHECK(ciommu_device_destroy(setup->device, NULL));
    CHECK(ciommu_domain_destroy(setup->domains[0]));
    CHECK(ciommu_domain_destroy(setup->domains[1]));
    CHECK(ciommu_unit_destroy(setup->unit));
    CHECK(ciommu_memory_destroy(setup->memory));
    free(setup);
}

/* Memory that the process has touched and not given back. The system's own sum is exact; its quick
 * counters are not. */
static int64_t bytes_used(void) {
    char line[128];
    long kilobytes = 0;
    (void)malloc_trim(0);
    FILE *file = fopen("/proc/self/smaps_rollup", "r");
    while (file != NULL && fgets(line, sizeof line, file) != NULL) {
        if (sscanf(line, "Rss: %ld kB", &kilobytes) == 1) {
            break;
        }
    }
    if (file != NULL) {
        fclose(file);
    }
    return (int64_t)kilobytes * 1024;
}

static uint64_t take_unit(struct bench_setup *setup, int64_t *bytes) {
    struct ciommu_unit_config config;
    struct ciommu_unit *unit;
    ciommu_unit_config_init(&config);
    int64_t before = bytes == NULL ? 0 : bytes_used();
    uint64_t begin = bench_now();
    CHECK(ciommu_unit_create(&config, setup->memory, &unit));
    uint64_t end = bench_now();
    if (bytes != NULL) {
        *bytes = bytes_used() - before;
    }
    CHECK(ciommu_unit_destroy(unit));
    return end - begin;
}

static uint64_t take_port(struct bench_setup *setup, int64_t *bytes) {
    struct ciommu_port *port;
    int64_t before = bytes == NULL ? 0 : bytes_used();
    uint64_t begin = bench_now();
    CHECK(ciommu_port_create(setup->unit, &port));
    uint64_t end = bench_now();
    if (bytes != NULL) {
        *bytes = bytes_used() - before;
    }
    CHECK(ciommu_port_destroy(port));
    return end - begin;
}

static uint64_t take_map(struct bench_setup *setup, bool unmap) {
    const struct ciommu_mapping mapping = {.size = sizeof mapping,
                                           .rights = CIOMMU_READ | CIOMMU_WRITE,
                                           .iova = MAPPED,
                                           .length = MAPPED,
                                           .address = 2 * MAPPED};
    uint64_t unmapped;
    uint64_t begin = bench_now();
    CHECK(ciommu_domain_map(setup->domains[0], &mapping));
    uint64_t middle = bench_now();
    CHECK(ciommu_domain_unmap(setup->domains[0], NULL, MAPPED, MAPPED, &unmapped));
    uint64_t end = bench_now();
    bench_must_be_right(unmapped != MAPPED);
    return unmap ? end - middle : middle - begin;
}

static uint64_t take_attach(struct bench_setup *setup, bool replace) {
    uint64_t begin = bench_now();
    CHECK(ciommu_device_attach(setup->device, CIOMMU_NO_PASID, setup->domains[0]));
    uint64_t middle = bench_now();
    if (replace) {
        CHECK(ciommu_device_replace(setup->device, NULL, CIOMMU_NO_PASID, setup->domains[1]));
    }
    uint64_t end = bench_now();
    CHECK(ciommu_device_detach(setup->device, NULL, CIOMMU_NO_PASID));
    return replace ? end - middle : middle - begin;
}

uint64_t bench_setup_take(struct bench_setup *setup, enum bench_step step, int64_t *bytes) {
    switch (step) {
    case BENCH_STEP_UNIT:
        return take_unit(setup, bytes);
    case BENCH_STEP_PORT:
        return take_port(setup, bytes);
    case BENCH_STEP_MAP:
    case BENCH_STEP_UNMAP:
        return take_map(setup, step == BENCH_STEP_UNMAP);
    default:
        return take_attach(setup, step == BENCH_STEP_REPLACE);
    }
}
