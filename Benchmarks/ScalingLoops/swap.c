/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * swap.c - a device of the host whose domain is replaced while it is asked, and the loop that asks.
 * The loop knows which answers are right: `turn` is odd while a replacement runs, and half of it
 * counts those that have completed.
 */
#include "scaling_loops.h"

#include <ciommu_domains.h>
#include <ciommu_inline.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PAGE UINT64_C(4096)
#define SOURCE 0x10u

static const uint64_t bases[2] = {UINT64_C(1) << 40, UINT64_C(3) << 40};

struct scaling_swap {
    struct ciommu_memory *memory;
    struct ciommu_unit *unit;
    struct ciommu_device *device;
    struct ciommu_domain *domains[2];
    struct ciommu_port **ports;
    uint32_t pages;
    uint32_t lanes;
    _Alignas(128) uint64_t turn; /* atomic; the replacing thread writes */
};

static void check(enum ciommu_status status, const char *what) {
    if (status != CIOMMU_OK) {
        fprintf(stderr, "Scaling: cannot %s: %s\n", what, ciommu_status_text(status));
        exit(1);
    }
}

/* Pages lead to their neighbours' places, so that none merge into larger ones. */
static uint64_t output_of(uint32_t which, uint64_t iova) {
    return bases[which] + (iova ^ PAGE);
}

static struct ciommu_domain *make_domain(struct scaling_swap *swap, uint32_t which) {
    struct ciommu_paging_config config;
    struct ciommu_domain *domain;
    ciommu_paging_config_init(&config);
    config.largest_page_lg2 = 12;
    check(ciommu_paging_create(swap->unit, &config, &domain), "make a domain");
    for (uint64_t page = 0; page < swap->pages; page++) {
        const struct ciommu_mapping mapping = {
            .size = sizeof mapping,
            .rights = CIOMMU_READ | CIOMMU_WRITE,
            .iova = page * PAGE,
            .length = PAGE,
            .address = output_of(which, page * PAGE),
        };
        check(ciommu_domain_map(domain, &mapping), "map a page");
    }
    return domain;
}

struct scaling_swap *scaling_swap_create(uint32_t pages, uint32_t lanes) {
    struct scaling_swap *swap = aligned_alloc(128, sizeof *swap);
    struct ciommu_port **ports = calloc(lanes, sizeof(struct ciommu_port *));
    if (swap == NULL || ports == NULL) {
        check(CIOMMU_NO_MEMORY, "set up the device");
        abort();
    }
    memset(swap, 0, sizeof *swap);
    struct ciommu_unit_config config;
    ciommu_unit_config_init(&config);
    config.ports = lanes + config.pool_ports;
    swap->ports = ports;
    swap->pages = pages;
    swap->lanes = lanes;
    check(ciommu_memory_create(&swap->memory), "make the memory map");
    check(ciommu_unit_create(&config, swap->memory, &swap->unit), "make the unit");
    swap->domains[0] = make_domain(swap, 0);
    swap->domains[1] = make_domain(swap, 1);
    const struct ciommu_device_config device = {.size = sizeof device, .source = SOURCE, .id = 1};
    check(ciommu_device_create(swap->unit, NULL, &device, &swap->device), "make the device");
    check(ciommu_device_attach(swap->device, CIOMMU_NO_PASID, swap->domains[0]), "attach");
    for (uint32_t lane = 0; lane < lanes; lane++) {
        check(ciommu_port_create(swap->unit, &swap->ports[lane]), "make a port");
    }
    return swap;
}

void scaling_swap_destroy(struct scaling_swap *swap) {
    for (uint32_t lane = 0; lane < swap->lanes; lane++) {
        check(ciommu_port_destroy(swap->ports[lane]), "destroy a port");
    }
    check(ciommu_device_destroy(swap->device, NULL), "destroy the device");
    check(ciommu_domain_destroy(swap->domains[0]), "destroy a domain");
    check(ciommu_domain_destroy(swap->domains[1]), "destroy a domain");
    check(ciommu_unit_destroy(swap->unit), "destroy the unit");
    check(ciommu_memory_destroy(swap->memory), "destroy the memory map");
    free(swap->ports);
    free(swap);
}

void scaling_swap_replace(struct scaling_swap *swap) {
    uint64_t turn = swap->turn;
    __atomic_store_n(&swap->turn, turn + 1, __ATOMIC_SEQ_CST);
    check(ciommu_device_replace(swap->device, NULL, CIOMMU_NO_PASID,
                                swap->domains[(turn / 2 + 1) % 2]),
          "replace the domain");
    __atomic_store_n(&swap->turn, turn + 2, __ATOMIC_SEQ_CST);
}

static inline uint64_t ask(struct scaling_swap *swap, struct ciommu_port *port, uint64_t iova) {
    const struct ciommu_first_level_entry *entry =
        ciommu_first_level_find(port, SOURCE, CIOMMU_NO_PASID, iova, CIOMMU_READ);
    if (entry != NULL) {
        return entry->address + (iova & 0xfff);
    }
    struct ciommu_result result;
    result.size = (uint32_t)sizeof result;
    result.fault.size = (uint32_t)sizeof result.fault;
    check(
        ciommu_translate(swap->unit, port, SOURCE, CIOMMU_NO_PASID, iova, CIOMMU_READ, 0, &result),
        "translate");
    return result.outcome == CIOMMU_TRANSLATED_OK ? result.address : UINT64_MAX;
}

static void judge(uint64_t before, uint64_t after, uint64_t iova, uint64_t answer) {
    bool first = answer == output_of(0, iova);
    bool second = answer == output_of(1, iova);
    bool settled = before == after && before % 2 == 0;
    if (settled ? (before / 2 % 2 == 0 ? first : second) : first || second) {
        return;
    }
    fprintf(stderr, "Scaling: wrong answer: 0x%llx translates to 0x%llx %s\n",
            (unsigned long long)iova, (unsigned long long)answer,
            settled ? "by the domain that was replaced" : "by neither domain");
    exit(1);
}

uint64_t scaling_swap_translate(struct scaling_swap *swap, uint32_t lane,
                                const struct ciommu_request *requests, uint32_t count) {
    struct ciommu_port *port = swap->ports[lane];
    uint64_t begin = bench_now();
    for (uint32_t index = 0; index < count; index++) {
        uint64_t before = __atomic_load_n(&swap->turn, __ATOMIC_ACQUIRE);
        ciommu_enter(port);
        uint64_t answer = ask(swap, port, requests[index].iova);
        ciommu_leave(port);
        __atomic_thread_fence(__ATOMIC_ACQUIRE);
        uint64_t after = __atomic_load_n(&swap->turn, __ATOMIC_RELAXED);
        judge(before, after, requests[index].iova, answer);
    }
    return bench_now() - begin;
}

void scaling_swap_choose(const struct scaling_swap *swap, uint64_t *seed,
                         struct ciommu_request *requests, uint32_t count) {
    for (uint32_t index = 0; index < count; index++) {
        *seed = *seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
        uint64_t random = *seed >> 32;
        requests[index] = (struct ciommu_request){
            .source = SOURCE,
            .pasid = CIOMMU_NO_PASID,
            .iova = random * swap->pages / (UINT64_C(1) << 32) * PAGE + (random & 0x1ff) * 8,
            .length = 1,
            .access = CIOMMU_READ,
        };
    }
}
