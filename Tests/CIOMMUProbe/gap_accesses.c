/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * gap_accesses.c - copies, exchanges and lists of requests that stop: at a refused argument, at a
 * fault, at the interrupt range, and where no memory of the host is.
 */
#include "gap.h"

#include <string.h>

#define RW (CIOMMU_READ | CIOMMU_WRITE)
#define REFUSED(world, call) EXPECT((world), (call) == CIOMMU_INVALID_ARGUMENT)
#define HOLE UINT64_C(0x50000000)  /* mapped, to where no memory is */
#define GUARD UINT64_C(0x60000000) /* mapped, to memory that is registered for reading */
#define READ_ONLY_RAM UINT64_C(0x200000000)

static void map(struct inject_world *world, uint64_t iova, uint64_t address) {
    const struct ciommu_mapping mapping = {.size = sizeof mapping,
                                           .rights = RW,
                                           .iova = iova,
                                           .length = INJECT_PAGE,
                                           .address = address};
    EXPECT(world, ciommu_domain_map(world->mapped, &mapping) == CIOMMU_OK);
}

/* One exchange at an address; what it must leave alone it does. */
static enum ciommu_status exchange_at(struct inject_world *world, uint64_t iova,
                                      struct ciommu_progress *progress) {
    const struct ciommu_request request = {INJECT_WHOLE, CIOMMU_NO_PASID, iova, 8, RW, 0};
    uint64_t expected = 5;
    bool exchanged = true;
    *progress = (struct ciommu_progress){.size = sizeof *progress};
    enum ciommu_status status =
        ciommu_compare_exchange(world->port, &request, &expected, 6, &exchanged, progress);
    EXPECT(world, expected == 5 && exchanged && progress->done == 0);
    return status;
}

static void exchanges_that_stop(struct inject_world *world) {
    const struct ciommu_memory_range range = {sizeof range, CIOMMU_READ, READ_ONLY_RAM, INJECT_PAGE,
                                              world->spare};
    struct ciommu_progress progress;
    EXPECT(world, ciommu_memory_add(world->memory, &range) == CIOMMU_OK);
    map(world, HOLE, UINT64_C(0x300000000));
    map(world, GUARD, READ_ONLY_RAM);
    EXPECT(world, exchange_at(world, UINT64_MAX - 3, &progress) == CIOMMU_WRAPS);
    EXPECT(world, exchange_at(world, INJECT_IOVA + 4, &progress) == CIOMMU_MISALIGNED);
    EXPECT(world, exchange_at(world, UINT64_C(0x70000000), &progress) == CIOMMU_FAULTED);
    EXPECT(world, progress.outcome == CIOMMU_FAULT && progress.fault.code != 0);
    EXPECT(world, exchange_at(world, UINT64_C(0xfee00000), &progress) == CIOMMU_NO_HOST_MEMORY);
    EXPECT(world, exchange_at(world, HOLE, &progress) == CIOMMU_NO_HOST_MEMORY);
    EXPECT(world, exchange_at(world, GUARD, &progress) == CIOMMU_READ_ONLY);
    EXPECT(world, world->ram[0] == 0 && world->spare[0] == 0);
    EXPECT(world, ciommu_memory_remove(world->memory, READ_ONLY_RAM, INJECT_PAGE) == CIOMMU_OK);
}

static void lists_outside_sections(struct inject_world *world) {
    const struct ciommu_request request = {INJECT_WHOLE,    CIOMMU_NO_PASID, INJECT_IOVA,
                                           2 * INJECT_PAGE, CIOMMU_READ,     0};
    struct ciommu_progress progress = {.size = sizeof progress, .done = 77};
    struct ciommu_segment segment = {.length = 99};
    REFUSED(world, ciommu_translate_range(world->port, &request, &segment, 1, &progress));
    EXPECT(world, progress.done == 77 && segment.length == 99);
    ciommu_port_enter(world->port);
    REFUSED(world, ciommu_translate_range(world->port, &request, NULL, 1, &progress));
    EXPECT(world, ciommu_translate_range(world->port, &request, &segment, 1, &progress) == 0);
    EXPECT(world, progress.done == 2 * INJECT_PAGE && segment.length == 2 * INJECT_PAGE);
    EXPECT(world, segment.host == world->ram);
    ciommu_port_leave(world->port);
}

/* A result without its size in the middle: those before it are answered, it is not. */
static void results_without_size(struct inject_world *world) {
    struct ciommu_request requests[3];
    struct ciommu_result results[3];
    uint32_t count = 99;
    memset(results, 0, sizeof results);
    for (uint32_t index = 0; index < 3; index++) {
        requests[index] = (struct ciommu_request){
            INJECT_WHOLE, CIOMMU_NO_PASID, INJECT_IOVA + index * INJECT_PAGE, 0, CIOMMU_READ, 0};
        results[index].size = index == 1 ? 8 : sizeof results[index];
    }
    ciommu_port_enter(world->port);
    REFUSED(world, ciommu_translate_batch(world->port, requests, results, 3, &count));
    EXPECT(world, count == 1 && results[0].address == INJECT_RAM);
    EXPECT(world, results[1].address == 0 && results[2].address == 0);
    results[1].size = sizeof results[1];
    EXPECT(world, ciommu_translate_batch(world->port, requests, results, 3, &count) == CIOMMU_OK);
    EXPECT(world, count == 3 && results[2].address == INJECT_RAM + 2 * INJECT_PAGE);
    ciommu_port_leave(world->port);
}

static void statistics_of_nothing(struct inject_world *world) {
    struct ciommu_invalidation_statistics counts = {.size = sizeof counts, .batches = 77};
    ciommu_unit_invalidation_statistics(NULL, &counts);
    EXPECT(world, counts.batches == 77);
    ciommu_unit_invalidation_statistics(world->unit, NULL);
    ciommu_unit_invalidation_statistics(world->unit, &counts);
    EXPECT(world, counts.batches == 0);
}

const struct gap_case gap_access_cases[] = {
    {"exchanges that stop", exchanges_that_stop},
    {"lists of segments outside sections", lists_outside_sections},
    {"a result without its size", results_without_size},
    {"statistics of nothing", statistics_of_nothing},
};
const uint32_t gap_access_count = sizeof gap_access_cases / sizeof gap_access_cases[0];
