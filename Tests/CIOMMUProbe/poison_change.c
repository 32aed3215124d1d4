/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * poison_change.c - what a guest does to its tables in the worlds of poison_world.h: it changes
 * leaves, exchanges tables for copies, and sends the invalidation that this needs, at the
 * narrowest granularity or a wider one. A table that went is overwritten and used anew at once.
 */
#include "poison_world.h"

#define CONTEXT_CACHE UINT64_C(1)
#define IOTLB UINT64_C(2)
#define PASID_IOTLB UINT64_C(6)
#define PASID_CACHE UINT64_C(7)
#define LEAF_ONLY UINT64_C(0x40)
#define ADDRESS_BITS UINT64_C(0x000ffffffffff000)

/* What a change concerns. */
struct change {
    struct poison_world *world;
    const struct guest_tree *tree;
    uint64_t input;  /* of the tree: an input address, or a guest-physical one */
    uint64_t origin; /* of the first page */
    uint64_t random;
};

static enum ciommu_status send(struct poison_world *world, uint64_t low, uint64_t high) {
    const uint64_t words[4] = {low, high, 0, 0};
    bool wide = world->kind > PROBE_POISON_LEGACY_5 && world->kind != PROBE_POISON_IDENTITY;
    struct ciommu_descriptor_result result = {.size = sizeof result};
    return ciommu_invalidate_descriptor(world->unit, NULL, words, wide, &result);
}

static bool is_first_stage(const struct change *change) {
    return change->tree == &change->world->first;
}

/* The address and its mask that cover one page, or all of them; sometimes more. */
static uint64_t address_and_mask(const struct change *change, bool all) {
    const struct poison_world *world = change->world;
    uint32_t mask_lg2 = world->page_lg2 - 12;
    mask_lg2 += all ? (uint32_t)__builtin_ctz(world->pages) : 0;
    mask_lg2 += change->random >> 8 & 1;
    uint64_t size = UINT64_C(1) << (mask_lg2 + 12);
    return ((all ? change->origin : change->input) & ~(size - 1)) | mask_lg2;
}

/* Waits until nobody uses what was there before. `all`: a table went, not just one leaf. */
static enum ciommu_status invalidate(const struct change *change, bool all) {
    struct poison_world *world = change->world;
    const uint64_t domain = (uint64_t)POISON_DOMAIN << 16;
    uint64_t pages = address_and_mask(change, all) | (all ? 0 : LEAF_ONLY);
    if (world->kind == PROBE_POISON_NESTED_HOST) {
        bool whole = change->random % 8 == 0;
        uint64_t size = UINT64_C(1) << ((pages & 0x3f) + 12);
        uint64_t first = whole ? 0 : pages & ~UINT64_C(0xfff);
        return ciommu_nested_invalidate(world->child, NULL, first,
                                        whole ? UINT64_MAX : first + (size - 1), !all);
    }
    if (change->random % 32 == 0) {
        return send(world, IOTLB | 1 << 4, 0); /* everything */
    }
    if (change->random % 8 == 0) {
        return send(world, IOTLB | 2 << 4 | domain, 0);
    }
    if (!is_first_stage(change)) {
        return send(world, IOTLB | 3 << 4 | domain, pages);
    }
    const uint64_t pasid = (uint64_t)POISON_PASID << 32;
    if (change->random % 8 == 1) {
        return send(world, PASID_IOTLB | 2 << 4 | domain | pasid, 0);
    }
    return send(world, PASID_IOTLB | 3 << 4 | domain | pasid, pages);
}

/* What stands in a table that is gone: leaves to the poison page, or nothing where no leaf of this
 * size can stand. */
static void poison_table(const struct change *change, uint64_t table, uint32_t level) {
    struct poison_world *world = change->world;
    bool leaves = level == (world->page_lg2 - 12) / 9;
    uint64_t value =
        leaves ? guest_leaf(change->tree, poison_output(world, 0, 2), world->page_lg2) : 0;
    for (uint64_t offset = 0; offset < TABLE_PAGE; offset += sizeof value) {
        guest_write(&world->ram, table + offset, value);
    }
    guest_table_back(&world->ram, table);
}

/* Exchanges the leaf table for a copy in which the page leads elsewhere. */
static enum ciommu_status exchange_table(const struct change *change, uint64_t leaf) {
    struct guest_ram *ram = &change->world->ram;
    uint32_t level = (change->world->page_lg2 - 12) / 9;
    uint64_t slot = guest_slot(ram, change->tree, change->input, level + 1);
    uint64_t pointer = guest_load(ram, slot);
    uint64_t old = pointer & ADDRESS_BITS;
    uint64_t copy = guest_copy(ram, old);
    uint64_t offset = guest_slot(ram, change->tree, change->input, level) - old;
    guest_write(ram, copy + offset, leaf);
    guest_write(ram, slot, copy | (pointer & ~ADDRESS_BITS));
    enum ciommu_status status = invalidate(change, true);
    if (status == CIOMMU_OK) {
        poison_table(change, old, level);
    }
    return status;
}

/* Exchanges the root for a copy: the context entry or PASID-table entry changes. */
static enum ciommu_status exchange_root(const struct change *change) {
    struct poison_world *world = change->world;
    struct guest_tree *tree = is_first_stage(change) ? &world->first : &world->second;
    uint64_t word = world->entry + (is_first_stage(change) ? 16 : 0);
    uint64_t old = tree->root;
    tree->root = guest_copy(&world->ram, old);
    guest_write(&world->ram, word, (guest_load(&world->ram, word) & ~ADDRESS_BITS) | tree->root);
    const uint64_t domain = (uint64_t)POISON_DOMAIN << 16;
    enum ciommu_status status;
    if (world->kind <= PROBE_POISON_LEGACY_5) {
        status = send(world, CONTEXT_CACHE | 3 << 4 | domain | (uint64_t)POISON_SOURCE << 32, 0);
    } else {
        uint64_t pasid = world->pasid == CIOMMU_NO_PASID ? 0 : world->pasid;
        bool all = change->random % 4 == 0;
        status =
            send(world, PASID_CACHE | (all ? 3 : 1) << 4 | domain | (all ? 0 : pasid << 32), 0);
    }
    status = status != CIOMMU_OK ? status : send(world, IOTLB | 2 << 4 | domain, 0);
    if (status == CIOMMU_OK) {
        poison_table(change, old, tree->levels - 1);
    }
    return status;
}

/* Leads one address of a tree to `output`, and invalidates. */
static enum ciommu_status lead(struct poison_world *world, const struct guest_tree *tree,
                               uint64_t input, uint64_t origin, uint64_t output, uint64_t random) {
    const struct change change = {world, tree, input, origin, random >> 8};
    uint32_t level = (world->page_lg2 - 12) / 9;
    uint64_t leaf = guest_leaf(tree, output, world->page_lg2);
    if (random % 16 == 0 && world->kind != PROBE_POISON_NESTED_HOST) {
        enum ciommu_status status = exchange_root(&change);
        if (status != CIOMMU_OK) {
            return status;
        }
    }
    if (random % 4 == 1 && level + 1 < tree->levels) {
        return exchange_table(&change, leaf);
    }
    guest_write(&world->ram, guest_slot(&world->ram, tree, input, level), leaf);
    return invalidate(&change, false);
}

static enum ciommu_status lead_first(struct poison_world *world, uint32_t page, uint64_t output,
                                     uint64_t random) {
    return lead(world, &world->first, poison_iova(world, page), poison_iova(world, 0), output,
                random);
}

/* Nested: the second stage under the guest page in use, or that under the other one, to which the
 * first stage then leads. */
static enum ciommu_status lead_nested(struct poison_world *world, uint32_t page, uint32_t side,
                                      uint64_t random) {
    uint32_t present = world->guest_side[page];
    uint32_t changed = random % 2 == 0 ? present : present ^ 1;
    enum ciommu_status status =
        lead(world, &world->second, poison_guest(world, page, changed),
             poison_guest(world, 0, changed), poison_output(world, page, side), random >> 1);
    if (status == CIOMMU_OK && changed != present) {
        world->guest_side[page] = changed;
        status = lead_first(world, page, poison_guest(world, page, changed), random >> 24);
    }
    return status;
}

enum ciommu_status poison_lead(struct poison_world *world, uint32_t page, uint32_t side,
                               uint64_t random) {
    if (poison_is_nested(world)) {
        return lead_nested(world, page, side, random);
    }
    if (world->kind == PROBE_POISON_NESTED_HOST) {
        world->guest_side[page] ^= 1;
        return lead_first(world, page, poison_guest(world, page, world->guest_side[page]), random);
    }
    if (world->first.root != 0) {
        return lead_first(world, page, poison_output(world, page, side), random);
    }
    return lead(world, &world->second, poison_iova(world, page), poison_iova(world, 0),
                poison_output(world, page, side), random);
}
