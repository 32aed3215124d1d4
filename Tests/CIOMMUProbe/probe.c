/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * probe.c - the switch of the mutants, and the deterministic probes of single mechanisms.
 */
#define _GNU_SOURCE
#include "probe.h"
#include "unit.h"
#include "alloc.h"
#include "audit.h"

#include <stdlib.h>
#include <string.h>

#define PAGE UINT64_C(4096)

static const char *const world_names[PROBE_WORLDS] = {
    "pages",  "tables",        "superpages", "bindings",  "memory",
    "nested", "nested tables", "crowd",      "evictions",
};

const char *probe_world_name(uint32_t world) {
    return world < PROBE_WORLDS ? world_names[world] : "";
}

bool probe_has_mutants(void) {
#ifdef CIOMMU_INTERNAL_CHECKS
    return true;
#else
    return false;
#endif
}

void probe_set_mutant(uint32_t mutant) {
#ifdef CIOMMU_INTERNAL_CHECKS
    if (mutant != 0) {
        ciommu_audits_end();
    }
    __atomic_store_n(&ciommu_mutant, mutant, __ATOMIC_RELAXED);
#else
    (void)mutant;
#endif
}

/* ---- A little first-stage world ---- */

struct little {
    uint64_t *ram;
    struct ciommu_memory *memory;
    struct ciommu_unit *unit;
    struct ciommu_port *port;
};

#define LITTLE_BYTES (64 * PAGE)
#define LITTLE_LEAF (7 * PAGE) /* leaf table; page 0 of the input space */

/* Scalable mode, PASIDs 0...7 (implied by RID_PASID) share one first stage; each has domain 1 +
 * pasid. */
static bool little_create(struct little *little, const struct ciommu_unit_config *config) {
    memset(little, 0, sizeof *little);
    little->ram = aligned_alloc(PAGE, LITTLE_BYTES);
    if (little->ram == NULL) {
        return false;
    }
    memset(little->ram, 0, LITTLE_BYTES);
    uint64_t *ram = little->ram;
    ram[1 * PAGE / 8] = 2 * PAGE | 1; /* root: contexts */
    for (uint64_t device = 0; device < 8; device++) {
        ram[(2 * PAGE + device * 32) / 8] = 3 * PAGE | 1;
        ram[(2 * PAGE + device * 32) / 8 + 1] = device; /* RID_PASID */
        uint64_t *entry = &ram[(8 * PAGE + device * 64) / 8];
        entry[1] = (1 + device) | UINT64_C(1) << 23; /* DID, PWSNP */
        entry[2] = 4 * PAGE;
        entry[0] = 1 << 6 | 1;
    }
    ram[3 * PAGE / 8] = 8 * PAGE | 1;    /* directory: PASID table */
    ram[4 * PAGE / 8] = 5 * PAGE | 0x27; /* four levels, A set */
    ram[5 * PAGE / 8] = 6 * PAGE | 0x27;
    ram[6 * PAGE / 8] = LITTLE_LEAF | 0x27;
    struct ciommu_memory_range range = {sizeof range, CIOMMU_READ | CIOMMU_WRITE, 0, LITTLE_BYTES,
                                        ram};
    return ciommu_memory_create(&little->memory) == CIOMMU_OK &&
           ciommu_memory_add(little->memory, &range) == CIOMMU_OK &&
           ciommu_unit_create(config, little->memory, &little->unit) == CIOMMU_OK &&
           ciommu_port_create(little->unit, &little->port) == CIOMMU_OK &&
           ciommu_unit_set_root(little->unit, 1 * PAGE | 1 << 10) == CIOMMU_OK &&
           ciommu_unit_set_translation(little->unit, true) == CIOMMU_OK;
}

static void little_destroy(struct little *little) {
    (void)ciommu_port_destroy(little->port);
    (void)ciommu_unit_destroy(little->unit);
    (void)ciommu_memory_destroy(little->memory);
    free(little->ram);
}

bool probe_dirty_bit_precedes_write(void) {
    struct ciommu_unit_config config;
    ciommu_unit_config_init(&config);
    struct little little;
    bool dirty = false;
    if (little_create(&little, &config)) {
        struct ciommu_result result = {.size = sizeof result};
        little.ram[LITTLE_LEAF / 8] = 9 * PAGE | 0x07; /* A and D clear */
        bool fine = ciommu_translate(little.unit, little.port, 0, CIOMMU_NO_PASID, 0, CIOMMU_READ,
                                     0, &result) == CIOMMU_OK;
        fine = fine && ciommu_translate(little.unit, little.port, 0, CIOMMU_NO_PASID, 0,
                                        CIOMMU_WRITE, 0, &result) == CIOMMU_OK;
        dirty = fine && result.outcome == CIOMMU_TRANSLATED_OK &&
                (little.ram[LITTLE_LEAF / 8] & 0x40) != 0;
    }
    little_destroy(&little);
    return dirty;
}

double probe_iotlb_crowding(uint32_t entries, uint32_t pages, uint64_t stride, bool portable) {
    struct iotlb iotlb;
    if (ciommu_iotlb_init(&iotlb, entries, portable) != CIOMMU_OK) {
        return -1;
    }
    uint64_t sets = iotlb.set_mask + 1;
    uint32_t *counts = calloc(sets, sizeof *counts);
    uint32_t most = 0;
    for (uint32_t page = 0; counts != NULL && page < pages; page++) {
        uint64_t set = iotlb_set(&iotlb, 5, page * stride * PAGE, 12);
        counts[set]++;
        most = counts[set] > most ? counts[set] : most;
    }
    free(counts);
    ciommu_iotlb_fini(&iotlb);
    double mean = (double)pages / (double)sets;
    return (double)most / (mean < 1 ? 1 : mean);
}

uint64_t probe_tag_renewal_errors(uint32_t renewals) {
    struct ciommu_unit_config config;
    ciommu_unit_config_init(&config);
    config.first_level_entries = 0;
    struct little little;
    uint64_t errors = 0;
    if (!little_create(&little, &config)) {
        little_destroy(&little);
        return UINT64_MAX;
    }
    for (uint64_t page = 0; page < 8; page++) {
        little.ram[LITTLE_LEAF / 8 + page] = (10 + page) * PAGE | 0x67;
    }
    for (uint32_t round = 0; round <= renewals; round++) {
        if (round != 0) { /* the spaces exist: the next fresh tag but one renews them all */
            pthread_mutex_lock(&little.unit->table_lock);
            little.unit->spaces.next_tag = IOTLB_TAG_MAX;
            pthread_mutex_unlock(&little.unit->table_lock);
        }
        for (uint32_t device = 0; device < 8; device++) {
            uint64_t words[4] = {6 | 2 << 4 | (uint64_t)(1 + device) << 16 | (uint64_t)device << 32,
                                 0, 0, 0};
            struct ciommu_descriptor_result told = {.size = sizeof told};
            errors +=
                ciommu_invalidate_descriptor(little.unit, NULL, words, true, &told) != CIOMMU_OK;
            for (uint64_t page = 0; page < 8; page++) {
                struct ciommu_result result = {.size = sizeof result};
                errors += ciommu_translate(little.unit, little.port, device, CIOMMU_NO_PASID,
                                           page * PAGE, CIOMMU_READ, 0, &result) != CIOMMU_OK;
                errors += result.address != (10 + page) * PAGE;
            }
        }
        errors += little.unit->spaces.next_tag > 1000; /* they were renewed */
    }
    little_destroy(&little);
    return errors;
}

#ifdef CIOMMU_INTERNAL_CHECKS
static void hear_nothing(void *context, const struct ciommu_invalidation *invalidation) {
    (void)context;
    (void)invalidation;
}

static void hear_no_writes(void *context, uint64_t address, uint64_t length) {
    (void)context;
    (void)address;
    (void)length;
}

/* One life with whatever memory there is; the number of answers that are neither success nor
 * CIOMMU_NO_MEMORY. Sets `*whole` if nothing was missing. */
static uint64_t live_once(unsigned char *ram, bool *whole) {
    struct ciommu_memory *memory = NULL;
    struct ciommu_unit *unit = NULL;
    struct ciommu_port *port = NULL;
    struct ciommu_memory_range range = {sizeof range, CIOMMU_READ, 0, PAGE, ram};
    struct ciommu_unit_config config;
    ciommu_unit_config_init(&config);
    config.flags = CIOMMU_UNIT_NO_WIDE_LOADS;
    config.pool_ports = 2;
    uint32_t id = 0;
    uint64_t errors = 0;
    enum ciommu_status answers[9] = {CIOMMU_NO_MEMORY, CIOMMU_NO_MEMORY, CIOMMU_NO_MEMORY,
                                     CIOMMU_NO_MEMORY};
    answers[0] = ciommu_memory_create(&memory);
    if (memory != NULL) {
        answers[1] = ciommu_memory_add(memory, &range);
        answers[2] = ciommu_unit_create(&config, memory, &unit);
    }
    if (unit != NULL) {
        answers[3] = ciommu_port_create(unit, &port);
        answers[4] = ciommu_observer_add(unit, hear_nothing, NULL, &id);
        answers[5] = ciommu_memory_set_dirty_log(memory, hear_no_writes, NULL);
        answers[6] =
            answers[1] == CIOMMU_OK ? ciommu_memory_replace(memory, &range) : CIOMMU_NO_MEMORY;
        answers[7] =
            answers[1] == CIOMMU_OK ? ciommu_memory_remove(memory, 0, PAGE) : CIOMMU_NO_MEMORY;
        answers[8] = ciommu_unit_reset(unit); /* needs no memory */
        errors += answers[8] != CIOMMU_OK;
    }
    *whole = unit != NULL;
    for (unsigned answer = 0; answer < 9; answer++) {
        errors += answers[answer] != CIOMMU_OK && answers[answer] != CIOMMU_NO_MEMORY;
        *whole = *whole && answers[answer] == CIOMMU_OK;
    }
    errors += ciommu_port_destroy(port) != CIOMMU_OK;
    errors += ciommu_unit_destroy(unit) != CIOMMU_OK;
    errors += ciommu_memory_destroy(memory) != CIOMMU_OK;
    return errors;
}
#endif

uint64_t probe_allocation_failure_errors(uint32_t *lives) {
    uint64_t errors = UINT64_MAX;
    *lives = 0;
#ifdef CIOMMU_INTERNAL_CHECKS
    unsigned char *ram = aligned_alloc(PAGE, PAGE);
    bool whole = false;
    for (errors = 0; ram != NULL && !whole && *lives < 1000; ++*lives) {
        __atomic_store_n(&ciommu_allocations_left, (int)*lives, __ATOMIC_RELAXED);
        errors += live_once(ram, &whole);
    }
    __atomic_store_n(&ciommu_allocations_left, -1, __ATOMIC_RELAXED);
    free(ram);
#endif
    return errors;
}
