/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * history_guest.c - what a guest changes in a history: entries of its own tables, and the
 * descriptors [FORMATS-VTD C2] with which it invalidates what was cached of them, or some of them.
 */
#include "history_world.h"
#include "harness.h"

#define ALL_BITS UINT64_C(0x7ffffffffffff)
#define PATIENCE 3u /* writes in a row without an invalidation */

/* A part of the guest's tables whose elements are invalidated alike. */
struct part {
    uint32_t space;
    bool parents;
    uint32_t first; /* elements */
    uint32_t count;
    uint32_t domain; /* and PASID, which have the same number */
    bool first_stage;
};

/* The elements that an invalidation covers, and the descriptor. */
struct reach {
    uint64_t words[4];
    uint32_t first;
    uint32_t last;
};

static struct part part_of(const struct history_world *world, uint64_t random) {
    static const struct {
        uint32_t space;
        bool parents;
        uint32_t domain;
        bool first_stage;
    } parts[] = {
        {HISTORY_SECOND, false, 1, false},       {HISTORY_SECOND, false, 1, false},
        {HISTORY_FIRST, false, 2, true},         {HISTORY_FIRST, false, 2, true},
        {HISTORY_TABLES, false, 3, false},       {HISTORY_NESTED_GUEST, false, 4, true},
        {HISTORY_NESTED_GUEST, true, 4, false},  {HISTORY_BOUND_X, false, 5, false},
        {HISTORY_NESTED_TABLES, false, 8, true}, {HISTORY_NESTED_TABLES, true, 8, false},
    };
    static const uint32_t legacy[] = {0, 1, 4, 7}; /* of them */
    uint32_t at = world->settings->legacy ? legacy[random % 4]
                                          : (uint32_t)(random % (sizeof parts / sizeof parts[0]));
    const struct history_space *space = &world->spaces[parts[at].space];
    struct part part = {
        .space = parts[at].space,
        .parents = parts[at].parents,
        .first = parts[at].parents ? space->parents : space->leaves,
        .count = parts[at].parents ? space->parent_count
                 : space->together ? 1
                                   : HISTORY_PAGES,
        .domain = parts[at].domain,
        .first_stage = parts[at].first_stage,
    };
    if (part.space == HISTORY_BOUND_X) {
        part.first = world->bindings[1];
        part.count = 1;
    }
    return part;
}

static struct reach reach_of(uint64_t low, uint64_t high, uint32_t first, uint32_t count) {
    return (struct reach){{low, high, 0, 0}, first, first + count - 1};
}

/* Context cache, of a device: itself, or by one that differs in functions that are masked. */
static uint64_t cover_device(uint64_t source, uint64_t random) {
    static const uint64_t others[] = {0, 4, 6, 7}; /* by mask: bit 2, bits 2 and 1, all three */
    uint64_t mask = random % 4;
    return 1 | 3 << 4 | (source | others[mask]) << 32 | mask << 48;
}

/* The PASID-table entry changed: PASID cache, of the entry, the domain, or all; or the context. Of
 * legacy mode a context entry did: its domain, its device, or all. */
static struct reach cover_binding(const struct history_world *world, const struct part *part,
                                  uint64_t random) {
    uint64_t domain = (uint64_t)part->domain << 16;
    uint64_t pasid = (uint64_t)HISTORY_BOUND_PASID << 32;
    bool legacy = world->settings->legacy;
    uint64_t source =
        legacy ? HISTORY_LEGACY_SOURCE + 8 * HISTORY_BOUND_PASID : HISTORY_GUEST_SOURCE;
    uint64_t device = cover_device(source, random >> 3);
    const uint64_t scalable[] = {7 | 1 << 4 | domain | pasid, 7 | domain, 7 | 3 << 4, 1 | 1 << 4,
                                 device};
    const uint64_t contexts[] = {1 | 2 << 4 | domain, device, 1 | 1 << 4};
    return reach_of(legacy ? contexts[random % 3] : scalable[random % 5], 0, part->first, 1);
}

/* Pages, all of a PASID or domain, or everything. `at` is the element that changed last. */
static struct reach cover_leaves(const struct history_world *world, const struct part *part,
                                 uint32_t at, uint64_t random) {
    uint64_t domain = (uint64_t)part->domain << 16;
    uint64_t pasid = (uint64_t)part->domain << 32;
    uint32_t guest = world->spaces[HISTORY_SECOND].leaves;
    const struct history_space *space = &world->spaces[part->space];
    /* A nested space's parents follow its leaves. */
    uint32_t all = (space->together ? 1 : HISTORY_PAGES) + space->parent_count;
    switch (random % 8) {
    case 0:
        return reach_of(2 | 1 << 4, 0, guest, world->bindings[0] - guest);
    case 1:
        return reach_of(2 | 2 << 4 | domain, 0, space->leaves, all);
    case 2:
        if (part->first_stage) {
            return reach_of(6 | 2 << 4 | domain | pasid, 0, part->first, part->count);
        }
        break;
    default:
        break;
    }
    uint64_t type = part->first_stage ? 6 | 3 << 4 | domain | pasid : 2 | 3 << 4 | domain;
    uint64_t base = part->parents ? HISTORY_GUEST : HISTORY_IOVA;
    if (part->count == 1) {
        return reach_of(type, base | 9, part->first, 1); /* 2 MiB, and not only leaves */
    }
    uint64_t leaf_only = (random >> 8) % 2 << 6;
    uint32_t page = at - part->first;
    if ((random >> 9) % 4 == 0) { /* an aligned run of four */
        return reach_of(type, (base + (page & ~3u) * HISTORY_PAGE) | leaf_only | 2,
                        part->first + (page & ~3u), 4);
    }
    return reach_of(type, (base + page * HISTORY_PAGE) | leaf_only, at, 1);
}

static void apply(struct history_changer *changer, const uint64_t words[4]) {
    struct ciommu_descriptor_result result = {.size = sizeof result};
    enum ciommu_status status = ciommu_invalidate_descriptor(
        changer->world->unit, NULL, words, !changer->world->settings->legacy, &result);
    bool late =
        status == CIOMMU_TIMED_OUT && (changer->world->settings->mixes & PROBE_HISTORY_SILENT) != 0;
    if (status != CIOMMU_OK && !late) {
        history_complain(changer, "descriptor", status);
    }
}

/* What a device is told to drop, and the elements that this covers. */
struct drop {
    uint64_t words[4];
    uint32_t first;
    uint32_t last;
};

/* Everything of the PASID in the device, or of all PASIDs: device-TLB ranges are input addresses,
 * and a parent's selects none of them. A leaf's page, or four of them, can be named. */
static struct drop drop_of(const struct history_world *world, const struct part *part, uint32_t at,
                           uint64_t random) {
    const struct history_space *space = &world->spaces[part->space];
    uint32_t guest = world->spaces[HISTORY_SECOND].leaves;
    bool all = random % 4 == 0;
    uint32_t own = (space->together ? 1 : HISTORY_PAGES) + space->parent_count;
    struct drop drop = {
        .words = {8 | (uint64_t)HISTORY_GUEST_DEVICE_SOURCE << 16 | (uint64_t)part->domain << 32,
                  ALL_BITS << 12 | 1 << 11 | (all ? 1 : 0), 0, 0},
        .first = all ? guest : space->leaves,
        .last = all ? world->bindings[0] - 1 : space->leaves + own - 1,
    };
    if (!all && random % 4 != 1 && !part->parents && part->count == HISTORY_PAGES) {
        uint32_t page = at - part->first;
        bool four = random % 4 == 2;
        page = four ? page & ~3u : page;
        uint64_t size = four ? UINT64_C(1) << 11 | HISTORY_PAGE : 0; /* 01 above: four pages */
        drop.words[1] = (HISTORY_IOVA + page * HISTORY_PAGE) | size;
        drop.first = part->first + page;
        drop.last = drop.first + (four ? 3 : 0);
    }
    return drop;
}

/* One descriptor after the other, each a call of its own. */
static void invalidate_apart(struct history_changer *changer, const struct reach *reach,
                             const struct drop *drop) {
    uint64_t begin = history_call_begins(changer);
    apply(changer, reach->words);
    history_invalidated(changer, begin, reach->first, reach->last, HISTORY_CACHES);
    begin = history_call_begins(changer);
    apply(changer, drop->words);
    history_invalidated(changer, begin, drop->first, drop->last, HISTORY_DEVICES);
}

/* All in one array, with a wait descriptor at its end. */
static void invalidate_together(struct history_changer *changer, const struct reach *reach,
                                const struct drop *drop) {
    uint64_t words[3][4] = {{0}, {0}, {5, 0, 0, 0}};
    for (uint32_t word = 0; word < 4; word++) {
        words[0][word] = reach->words[word];
        words[1][word] = drop->words[word];
    }
    const struct ciommu_batch batch = {
        .size = sizeof batch,
        .format = CIOMMU_BATCH_VTD_256,
        .entry_length = sizeof words[0],
        .count = 3,
        .entries = words,
    };
    struct ciommu_batch_result result = {.size = sizeof result};
    uint64_t begin = history_call_begins(changer);
    enum ciommu_status status =
        ciommu_batch_apply(changer->world->unit, NULL, &batch, NULL, &result);
    bool late =
        status == CIOMMU_TIMED_OUT && (changer->world->settings->mixes & PROBE_HISTORY_SILENT) != 0;
    if (status != CIOMMU_OK && !late) {
        history_complain(changer, "batch", status);
    }
    /* What is covered in both is covered in one call: devices are asked after the drain. */
    uint32_t both_first = drop->first > reach->first ? drop->first : reach->first;
    uint32_t both_last = drop->last < reach->last ? drop->last : reach->last;
    history_invalidated(changer, begin, reach->first, reach->last, HISTORY_CACHES);
    if (both_first <= both_last) {
        history_invalidated(changer, begin, both_first, both_last, HISTORY_BOTH);
    }
}

static void invalidate(struct history_changer *changer, const struct part *part, uint32_t at,
                       uint64_t random) {
    struct history_world *world = changer->world;
    bool binding = part->space == HISTORY_BOUND_X;
    struct reach reach =
        binding ? cover_binding(world, part, random) : cover_leaves(world, part, at, random);
    if ((world->settings->mixes & PROBE_HISTORY_DEVICES) == 0 || binding) {
        uint64_t begin = history_call_begins(changer);
        apply(changer, reach.words);
        history_invalidated(changer, begin, reach.first, reach.last, HISTORY_BOTH);
        return;
    }
    const struct drop drop = drop_of(world, part, at, random >> 12);
    if ((random >> 14) % 2 == 0) {
        invalidate_apart(changer, &reach, &drop);
    } else {
        invalidate_together(changer, &reach, &drop);
    }
}

void history_change_guest(struct history_changer *changer) {
    uint64_t random = probe_random(&changer->random) >> 10;
    struct part part = part_of(changer->world, random);
    random >>= 4;
    uint32_t writes = 1 + (uint32_t)(random % PATIENCE);
    uint32_t element = part.first;
    for (uint32_t at = 0; at < writes; at++) {
        uint64_t choice = probe_random(&changer->random) >> 20;
        uint32_t rights = choice % 8 == 0 ? 0 : choice % 8 == 1 ? CIOMMU_READ : HISTORY_RW;
        bool narrow = part.count == 1; /* leads to a table: all rights, or none */
        element = part.first + (uint32_t)((choice >> 3) % part.count);
        history_write_guest(changer, element, (uint32_t)(choice >> 10 & 1),
                            narrow && rights != 0 ? HISTORY_RW : rights);
    }
    invalidate(changer, &part, element, random >> 4);
    changer->changes++;
}

/* Another root table: all that was made of the tables below it goes. */
static void change_root(struct history_changer *changer, uint64_t random) {
    struct history_world *world = changer->world;
    uint64_t begin = history_call_begins(changer);
    enum ciommu_status status = ciommu_unit_set_root(world->unit, world->roots[random % 2]);
    if (status != CIOMMU_OK) {
        history_complain(changer, "root table", status);
    }
    uint32_t binding = world->bindings[1];
    history_invalidated(changer, begin, world->spaces[HISTORY_SECOND].leaves,
                        world->bindings[0] - 1, HISTORY_CACHES);
    history_invalidated(changer, begin, binding, binding, HISTORY_CACHES);
}

/* A second thread, which owns no element. */
void history_invalidate_guest(struct history_changer *changer) {
    uint64_t random = probe_random(&changer->random) >> 10;
    if ((random >> 32) % 16 == 0) {
        change_root(changer, random);
        changer->changes++;
        return;
    }
    struct part part = part_of(changer->world, random);
    uint32_t element = part.first + (uint32_t)((random >> 20) % part.count);
    invalidate(changer, &part, element, random >> 4);
    changer->changes++;
}
