/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * poison_change.c - what a guest does to its tables in the worlds of poison_world.h: it changes
 * leaves, exchanges tables for copies, moves the pages under tables, and sends the invalidation
 * that this needs, at the narrowest granularity or a wider one. A table that went is overwritten
 * and used anew at once.
 */
#include "poison_world.h"

#define IOTLB UINT64_C(2)
#define PASID_IOTLB UINT64_C(6)
#define LEAF_ONLY UINT64_C(0x40)
#define ADDRESS_BITS UINT64_C(0x000ffffffffff000)

/* What an invalidation has to cover. */
enum reach { THE_LEAF, ALL_PAGES, THE_DOMAIN };

/* What a change concerns. */
struct change {
    struct poison_world *world;
    const struct guest_tree *tree;
    uint64_t input;  /* of the tree: an input address, or a guest-physical one */
    uint64_t origin; /* of the first page */
    uint64_t random;
};

enum ciommu_status poison_send(struct poison_world *world, uint64_t low, uint64_t high) {
    const uint64_t words[4] = {low, high, 0, 0};
    bool wide = poison_is_scalable(world);
    struct ciommu_descriptor_result result = {.size = sizeof result};
    return ciommu_invalidate_descriptor(world->unit, NULL, words, wide, &result);
}

static bool is_first_stage(const struct change *change) {
    return change->tree == &change->world->first;
}

/* The address and its mask that cover one page, or all of them; sometimes more. */
static uint64_t address_and_mask(const struct change *change, bool all) {
    const struct poison_world *world = change->world;
    uint32_t mask_lg2 = change->tree->page_lg2 - 12;
    if (all) {
        mask_lg2 = world->stride_lg2 - 12 + (uint32_t)__builtin_ctz(world->pages);
    } else if ((change->random >> 12 & 3) == 0) {
        return poison_align(change->input, 12); /* a part of a page takes all of it along */
    }
    mask_lg2 += change->random >> 8 & 1;
    uint64_t size = UINT64_C(1) << (mask_lg2 + 12);
    return ((all ? change->origin : change->input) & ~(size - 1)) | mask_lg2;
}

/* Waits until nobody uses what was there before. */
static enum ciommu_status invalidate(const struct change *change, enum reach reach) {
    struct poison_world *world = change->world;
    const uint64_t domain = (uint64_t)POISON_DOMAIN << 16;
    bool wide = change->random % 8 == 0;
    bool all = reach != THE_LEAF;
    uint64_t pages = address_and_mask(change, all) | (all ? 0 : LEAF_ONLY);
    if (world->kind == PROBE_POISON_NESTED_HOST) {
        uint64_t size = UINT64_C(1) << ((pages & 0x3f) + 12);
        uint64_t first = wide ? 0 : pages & ~UINT64_C(0xfff);
        return ciommu_nested_invalidate(world->child, NULL, first,
                                        wide ? UINT64_MAX : first + (size - 1), !all);
    }
    if (change->random % 32 == 0) {
        return poison_send(world, IOTLB | 1 << 4, 0); /* everything */
    }
    if (wide || reach == THE_DOMAIN) {
        return poison_send(world, IOTLB | 2 << 4 | domain, 0);
    }
    if (!is_first_stage(change)) {
        return poison_send(world, IOTLB | 3 << 4 | domain, pages);
    }
    const uint64_t pasid = (uint64_t)POISON_PASID << 32;
    if (change->random % 8 == 1) {
        return poison_send(world, PASID_IOTLB | 2 << 4 | domain | pasid, 0);
    }
    return poison_send(world, PASID_IOTLB | 3 << 4 | domain | pasid, pages);
}

void poison_table(struct poison_world *world, const struct guest_tree *tree, uint64_t place,
                  uint32_t level) {
    const struct poison_trap *trap =
        tree == &world->first ? &world->first_trap : &world->second_trap;
    guest_fill(&world->ram, place, trap->entries[level]);
}

/* Exchanges a table below the root for a copy; the lowest one has the new leaf in it alone. */
static enum ciommu_status exchange_table(const struct change *change, uint64_t leaf) {
    struct poison_world *world = change->world;
    struct guest_ram *ram = &world->ram;
    const struct guest_tree *tree = change->tree;
    uint32_t lowest = poison_leaf_level(tree);
    uint32_t level = lowest + (uint32_t)(change->random >> 16) % (tree->levels - 1 - lowest);
    uint64_t slot = guest_slot(ram, tree, change->input, level + 1);
    uint64_t pointer = guest_load(ram, slot);
    uint64_t old = pointer & ADDRESS_BITS;
    uint64_t copy = guest_tree_table(ram, tree);
    guest_copy(ram, guest_tree_place(tree, copy), guest_tree_place(tree, old));
    if (level != lowest) {
        guest_write(ram, guest_slot(ram, tree, change->input, lowest), leaf);
        guest_write(ram, slot, copy | (pointer & ~ADDRESS_BITS));
    } else {
        uint64_t offset =
            guest_slot(ram, tree, change->input, lowest) - guest_tree_place(tree, old);
        guest_write(ram, guest_tree_place(tree, copy) + offset, leaf);
        guest_write(ram, slot, copy | (pointer & ~ADDRESS_BITS));
    }
    /* A guest's second stage has its other pages below the same tables. */
    bool shared = poison_is_nested(world) && !is_first_stage(change);
    enum ciommu_status status = invalidate(change, shared ? THE_DOMAIN : ALL_PAGES);
    if (status == CIOMMU_OK) {
        poison_table(world, tree, guest_tree_place(tree, old), level);
        guest_tree_back(ram, tree, old);
    }
    return status;
}

/* Leads one address of a tree to `output`, and invalidates. */
static enum ciommu_status lead(struct poison_world *world, const struct guest_tree *tree,
                               uint64_t input, uint64_t origin, uint64_t output, uint64_t random) {
    const struct change change = {world, tree, input, origin, random >> 8};
    uint32_t level = poison_leaf_level(tree);
    uint64_t leaf = guest_leaf(tree, output, tree->page_lg2);
    if (random % 8 == 0 && world->kind != PROBE_POISON_NESTED_HOST) {
        enum ciommu_status status = poison_exchange(world, tree, change.random);
        if (status != CIOMMU_OK) {
            return status;
        }
    }
    if (random % 4 == 1 && level + 1 < tree->levels) {
        return exchange_table(&change, leaf);
    }
    guest_write(&world->ram, guest_slot(&world->ram, tree, input, level), leaf);
    return invalidate(&change, THE_LEAF);
}

enum ciommu_status poison_lead_first(struct poison_world *world, uint32_t page, uint32_t guest_side,
                                     uint64_t random) {
    world->guest_side[page] = guest_side;
    return lead(world, &world->first, poison_iova(world, page), poison_iova(world, 0),
                poison_guest(world, page, guest_side), random);
}

static enum ciommu_status lead_second(struct poison_world *world, uint32_t page,
                                      uint32_t guest_side, uint32_t side, uint64_t random) {
    return lead(world, &world->second, poison_guest(world, page, guest_side),
                poison_guest(world, 0, guest_side), poison_output(world, page, side), random);
}

/* ---- Pages under tables of a nested first stage ---- */

struct poison_move poison_move(struct poison_world *world, uint32_t page, uint64_t random) {
    const struct guest_tree *tree = &world->first;
    uint32_t lowest = poison_leaf_level(tree);
    struct poison_move move = {.level = lowest};
    move.level += (uint32_t)random % (tree->levels - lowest);
    move.table = tree->root;
    if (move.level + 1 < tree->levels) {
        uint64_t slot = guest_slot(&world->ram, tree, poison_iova(world, page), move.level + 1);
        move.table = guest_load(&world->ram, slot) & ADDRESS_BITS;
    }
    move.old = guest_window_move(&world->ram, &world->window, move.table);
    move.now = guest_tree_place(tree, move.table);
    return move;
}

void poison_moved(struct poison_world *world, const struct poison_move *move) {
    poison_table(world, &world->first, move->old, move->level);
    guest_table_back(&world->ram, move->old);
}

void poison_lead_in_copy(struct poison_world *world, uint32_t page, uint32_t guest_side) {
    const struct guest_tree *tree = &world->first;
    world->guest_side[page] = guest_side;
    guest_write(&world->ram,
                guest_slot(&world->ram, tree, poison_iova(world, page), poison_leaf_level(tree)),
                guest_leaf(tree, poison_guest(world, page, guest_side), tree->page_lg2));
}

/* The second stage leads a table of the first to a copy. The first stage's own caches are not told:
 * nothing of them outlives a change of the second stage. */
static enum ciommu_status move_table(struct poison_world *world, uint32_t page, uint32_t guest_side,
                                     uint64_t random) {
    struct poison_move move = poison_move(world, page, random >> 40);
    bool leads = move.level == poison_leaf_level(&world->first);
    if (leads) {
        poison_lead_in_copy(world, page, guest_side);
    }
    struct guest_tree tree = world->second;
    tree.page_lg2 = 12;
    const struct change change = {world, &tree, move.table, move.table, random >> 8};
    guest_write(&world->ram, guest_slot(&world->ram, &tree, move.table, 0),
                guest_leaf(&tree, move.now, 12));
    enum ciommu_status status = invalidate(&change, THE_LEAF);
    if (status != CIOMMU_OK) {
        return status;
    }
    poison_moved(world, &move);
    return leads ? status : poison_lead_first(world, page, guest_side, random >> 24);
}

/* Nested: the second stage under the guest page in use; or that under the other one, to which the
 * first stage then leads; and perhaps its table is elsewhere, as the second stage says. */
static enum ciommu_status lead_nested(struct poison_world *world, uint32_t page, uint32_t side,
                                      uint64_t random) {
    uint32_t present = world->guest_side[page];
    uint32_t changed = random % 4 < 2 ? present : present ^ 1;
    enum ciommu_status status = lead_second(world, page, changed, side, random >> 2);
    if (status != CIOMMU_OK || changed == present) {
        return status;
    }
    return random % 4 == 2 ? poison_lead_first(world, page, changed, random >> 24)
                           : move_table(world, page, changed, random >> 2);
}

enum ciommu_status poison_lead(struct poison_world *world, uint32_t page, uint32_t side,
                               uint64_t random) {
    if (poison_is_nested(world)) {
        return lead_nested(world, page, side, random);
    }
    const struct guest_tree *tree = world->first.root != 0 ? &world->first : &world->second;
    return lead(world, tree, poison_iova(world, page), poison_iova(world, 0),
                poison_output(world, page, side), random);
}
