/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * poison_structures.c - what leads to paging structures in the worlds of poison_world.h: roots. A
 * guest exchanges them for copies and sends the invalidations that this needs.
 */
#include "poison_world.h"

#define CONTEXT_CACHE UINT64_C(1)
#define IOTLB UINT64_C(2)
#define PASID_CACHE UINT64_C(7)
#define ADDRESS_BITS UINT64_C(0x000ffffffffff000)

/* ---- Traps ---- */

static void make_trap(struct poison_world *world, const struct guest_tree *tree, uint64_t poison,
                      struct poison_trap *trap) {
    uint64_t entry = guest_leaf(tree, poison, tree->page_lg2);
    for (uint32_t level = poison_leaf_level(tree); level < tree->levels; level++) {
        trap->entries[level] = entry;
        trap->root = guest_tree_table(&world->ram, tree);
        guest_fill(&world->ram, guest_tree_place(tree, trap->root), entry);
        entry = trap->root | tree->flags;
    }
}

void poison_make_traps(struct poison_world *world) {
    if (world->first.root != 0) {
        bool below = world->first.window != NULL;
        make_trap(world, &world->first,
                  below ? poison_guest(world, 0, 2) : poison_output(world, 0, 2),
                  &world->first_trap);
    }
    if (world->second.root != 0) {
        make_trap(world, &world->second, poison_output(world, 0, 2), &world->second_trap);
    }
}

/* ---- Roots ---- */

/* Exchanges the root for a copy: the context entry or PASID-table entry changes. */
static enum ciommu_status exchange_root(struct poison_world *world, struct guest_tree *tree,
                                        uint64_t random) {
    uint64_t word = world->entry + (tree == &world->first ? 16 : 0);
    uint64_t old = tree->root;
    tree->root = guest_tree_table(&world->ram, tree);
    guest_copy(&world->ram, guest_tree_place(tree, tree->root), guest_tree_place(tree, old));
    guest_write(&world->ram, word, (guest_load(&world->ram, word) & ~ADDRESS_BITS) | tree->root);
    const uint64_t domain = (uint64_t)POISON_DOMAIN << 16;
    enum ciommu_status status;
    if (!poison_is_scalable(world)) {
        status =
            poison_send(world, CONTEXT_CACHE | 3 << 4 | domain | (uint64_t)POISON_SOURCE << 32, 0);
    } else {
        uint64_t pasid = world->pasid == CIOMMU_NO_PASID ? 0 : world->pasid;
        bool all = random % 4 == 0;
        status = poison_send(
            world, PASID_CACHE | (all ? 3 : 1) << 4 | domain | (all ? 0 : pasid << 32), 0);
    }
    status = status != CIOMMU_OK ? status : poison_send(world, IOTLB | 2 << 4 | domain, 0);
    if (status == CIOMMU_OK) {
        poison_table(world, tree, guest_tree_place(tree, old), tree->levels - 1);
        guest_tree_back(&world->ram, tree, old);
    }
    return status;
}

enum ciommu_status poison_exchange(struct poison_world *world, const struct guest_tree *tree,
                                   uint64_t random) {
    return exchange_root(world, tree == &world->first ? &world->first : &world->second, random);
}
