/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * domain_world.c - see domain_world.h.
 */
#define _GNU_SOURCE
#include "domain_world.h"
#include "audit.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define FIRST_STAGE_FLAGS UINT64_C(0x67) /* P, R/W, U/S, A, D */
#define SLOT_WORDS 8u                    /* a cache line a reader */

static enum ciommu_status make_unit(struct domain_world *world,
                                    const struct probe_domain_options *options) {
    struct ciommu_unit_config config;
    ciommu_unit_config_init(&config);
    config.iotlb_entries = options->iotlb_entries;
    config.first_level_entries = options->first_level_entries;
    config.walk_cache_entries = options->walk_cache_entries;
    config.flags = options->portable ? CIOMMU_UNIT_NO_WIDE_LOADS : 0;
    config.drain_timeout = UINT64_C(60000000000);
    if (options->world == PROBE_DOMAIN_REPLACE || options->world == PROBE_DOMAIN_ATTACH) {
        config.domains = DOMAIN_SLOTS * 2 + 2;
    }
    struct ciommu_memory_range range = {
        .size = sizeof range,
        .rights = DOMAIN_RW,
        .address = DOMAIN_OUTPUT,
        .length = world->ram_bytes,
        .host = world->ram,
    };
    enum ciommu_status status = ciommu_memory_create(&world->memory);
    status = status != CIOMMU_OK ? status : ciommu_memory_add(world->memory, &range);
    status =
        status != CIOMMU_OK ? status : ciommu_unit_create(&config, world->memory, &world->unit);
    /* A source id without a device is the guest's, who has no root table: it faults. */
    return status != CIOMMU_OK ? status : ciommu_unit_set_translation(world->unit, true);
}

enum ciommu_status domain_device(struct domain_world *world) {
    struct ciommu_device_config config = {
        .size = sizeof config,
        .source = DOMAIN_SOURCE,
        .id = 7,
        .share = CIOMMU_SHARE_WHOLE,
    };
    return ciommu_device_create(world->unit, NULL, &config, &world->device);
}

int domain_world_create(struct domain_world *world, const struct domain_plan *plan,
                        const struct probe_domain_options *options, uint64_t ram_bytes) {
    memset(world, 0, sizeof *world);
    world->plan = plan;
    world->kind = options->world;
    world->ram_bytes = ram_bytes;
    world->ram = mmap(NULL, ram_bytes, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (world->ram == MAP_FAILED) {
        world->ram = NULL;
        return CIOMMU_NO_MEMORY;
    }
    enum ciommu_status status = make_unit(world, options);
    status = status != CIOMMU_OK ? status : domain_device(world);
    return status != CIOMMU_OK || plan == NULL ? status : plan->build(world);
}

void domain_world_destroy(struct domain_world *world) {
    ciommu_audit(ciommu_audit_unit(world->unit));
    (void)ciommu_device_destroy(world->device, NULL);
    for (uint32_t child = 0; child < world->child_count; child++) {
        (void)ciommu_domain_destroy(world->children[child]);
    }
    for (uint32_t domain = 0; domain < DOMAIN_SLOTS * 2; domain++) {
        (void)ciommu_domain_destroy(world->domains[domain]);
    }
    (void)ciommu_unit_destroy(world->unit);
    (void)ciommu_memory_destroy(world->memory);
    if (world->ram != NULL) {
        (void)munmap(world->ram, world->ram_bytes);
    }
}

enum ciommu_status domain_paging(struct domain_world *world, uint32_t flags, uint32_t largest_lg2,
                                 struct ciommu_domain **out) {
    struct ciommu_paging_config config;
    ciommu_paging_config_init(&config);
    config.flags = flags;
    config.largest_page_lg2 = largest_lg2;
    return ciommu_paging_create(world->unit, &config, out);
}

enum ciommu_status domain_map(struct ciommu_domain *domain, uint64_t iova, uint64_t address,
                              uint64_t length, uint32_t rights) {
    struct ciommu_mapping mapping = {
        .size = sizeof mapping,
        .rights = rights,
        .iova = iova,
        .length = length,
        .address = address,
    };
    return ciommu_domain_map(domain, &mapping);
}

/* ---- A guest's first stage ---- */

static uint64_t *ram_word(const struct domain_world *world, uint64_t offset) {
    return (uint64_t *)(void *)(world->ram + offset);
}

/* Four tables, one per level, for inputs that share all but the last index. */
static void build_first_stage(struct domain_world *world, uint64_t tables, uint64_t guest,
                              uint32_t pages) {
    for (uint32_t level = 3; level > 0; level--) {
        uint64_t table = (3 - level) * DOMAIN_PAGE;
        uint64_t index = DOMAIN_IOVA >> (12 + 9 * level) & 511;
        *ram_word(world, tables + table + index * 8) =
            (DOMAIN_GUEST_TABLES + table + DOMAIN_PAGE) | FIRST_STAGE_FLAGS;
    }
    for (uint32_t page = 0; page < pages; page++) {
        *ram_word(world, tables + 3 * DOMAIN_PAGE + page * UINT64_C(8)) =
            (guest + page * DOMAIN_PAGE) | FIRST_STAGE_FLAGS;
    }
}

enum ciommu_status domain_children(struct domain_world *world, uint32_t count, uint64_t tables,
                                   uint64_t guest, uint32_t pages) {
    build_first_stage(world, tables, guest, pages);
    enum ciommu_status status = domain_map(world->domains[0], DOMAIN_GUEST_TABLES,
                                           DOMAIN_OUTPUT + tables, 4 * DOMAIN_PAGE, DOMAIN_RW);
    struct ciommu_nested_config config = {
        .size = sizeof config,
        .address_width = 48,
        .pgtbl_addr = DOMAIN_GUEST_TABLES,
    };
    for (uint32_t child = 0; child < count && status == CIOMMU_OK; child++) {
        status = ciommu_nested_create(world->domains[0], &config, &world->children[child]);
        if (status == CIOMMU_OK) {
            world->child_count++;
            status = ciommu_device_attach(world->device, 1 + child, world->children[child]);
        }
    }
    return status;
}

/* ---- History ---- */

void domain_begin(struct domain_world *world, uint64_t state) {
    uint64_t next = world->started + 1;
    __atomic_store_n(&world->states[next % DOMAIN_HISTORY], state, __ATOMIC_RELAXED);
    __atomic_store_n(&world->started, next, __ATOMIC_SEQ_CST);
}

void domain_finish(struct domain_world *world) {
    __atomic_store_n(&world->finished, world->started, __ATOMIC_SEQ_CST);
}

uint64_t domain_state(const struct domain_world *world) {
    return __atomic_load_n(&world->states[world->started % DOMAIN_HISTORY], __ATOMIC_RELAXED);
}

/* ---- Data pages ---- */

static uint64_t *data_word(const struct domain_world *world, uint64_t address, uint32_t word) {
    return ram_word(world, address - DOMAIN_OUTPUT + word * UINT64_C(8));
}

uint64_t domain_stamp(uint64_t address) {
    return UINT64_C(0x5eed000000000000) ^ address >> 12;
}

uint64_t *domain_slot_in(unsigned char *host, uint32_t reader) {
    return (uint64_t *)(void *)host + SLOT_WORDS * (1 + reader);
}

uint64_t *domain_slot(const struct domain_world *world, uint64_t address, uint32_t reader) {
    return domain_slot_in(world->ram + (address - DOMAIN_OUTPUT), reader);
}

uint64_t domain_slot_sum(const struct domain_world *world, uint64_t address) {
    uint64_t sum = 0;
    for (uint32_t reader = 0; reader < DOMAIN_READERS; reader++) {
        sum += *domain_slot(world, address, reader);
    }
    return sum;
}

void domain_restore(struct domain_world *world, uint64_t address) {
    if (*data_word(world, address, 0) == DOMAIN_POISON &&
        domain_slot_sum(world, address) != DOMAIN_POISON * DOMAIN_READERS) {
        world->complaint = "written after it was unmapped";
    }
    for (uint32_t reader = 0; reader < DOMAIN_READERS; reader++) {
        *domain_slot(world, address, reader) = 0;
    }
    *data_word(world, address, 0) = domain_stamp(address);
}

void domain_poison(struct domain_world *world, uint64_t address) {
    *data_word(world, address, 0) = DOMAIN_POISON;
    for (uint32_t reader = 0; reader < DOMAIN_READERS; reader++) {
        *domain_slot(world, address, reader) = DOMAIN_POISON;
    }
}
