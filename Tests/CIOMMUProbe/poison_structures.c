/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * poison_structures.c - what leads to paging structures in the worlds of poison_world.h: roots,
 * PASID tables and their directory, context tables, the root table. A guest exchanges each for a
 * copy and sends the invalidations that this needs; what was there becomes a trap and is used anew
 * at once, as a table of any kind.
 */
#include "poison_world.h"

#define CONTEXT_CACHE UINT64_C(1)
#define IOTLB UINT64_C(2)
#define PASID_IOTLB UINT64_C(6)
#define PASID_CACHE UINT64_C(7)
#define ADDRESS_BITS UINT64_C(0x000ffffffffff000)
#define DOMAIN_BITS ((uint64_t)POISON_DOMAIN << 16)
#define SOURCE_BITS ((uint64_t)POISON_SOURCE << 32)
#define KEEPER 8u /* a PASID, or so much further a source */

/* What is exchanged, with all that is below it. Legacy mode has no PASIDs. */
enum structure { PAGING_ROOT = 0, PASID_TABLE, PASID_DIRECTORY, CONTEXT_TABLE, ROOT_TABLE };

static uint64_t led_to(const struct poison_world *world, uint64_t word) {
    return guest_load(&world->ram, word) & ADDRESS_BITS;
}

static void lead_to(struct poison_world *world, uint64_t word, uint64_t table) {
    guest_write(&world->ram, word, (guest_load(&world->ram, word) & ~ADDRESS_BITS) | table);
}

/* The one that holds the paging structures' roots. */
static enum structure lowest(const struct poison_world *world) {
    return poison_is_scalable(world) ? PASID_TABLE : CONTEXT_TABLE;
}

/* Where in a structure the pointer to the one below stands; in the lowest, `tree`'s root. */
static uint64_t offset_in(const struct poison_world *world, enum structure structure,
                          const struct guest_tree *tree) {
    if (structure == lowest(world)) {
        return (world->entry & (TABLE_PAGE - 1)) + (tree == &world->first ? 16 : 0);
    }
    return structure == CONTEXT_TABLE ? UINT64_C(32) * POISON_SOURCE : 0;
}

/* Where each is. */
static void find_structures(const struct poison_world *world, uint64_t tables[ROOT_TABLE + 1]) {
    tables[ROOT_TABLE] = world->rtaddr & ADDRESS_BITS;
    for (enum structure at = ROOT_TABLE; at > lowest(world); at--) {
        tables[at - 1] = led_to(world, tables[at] + offset_in(world, at, NULL));
    }
}

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

static uint64_t copy_of(struct poison_world *world, uint64_t table) {
    uint64_t copy = guest_table(&world->ram);
    guest_copy(&world->ram, copy, table);
    return copy;
}

/* Copies of the tables that are there lead to one another and to the root of a trap. */
static void make_structures(struct poison_world *world) {
    uint64_t tables[ROOT_TABLE + 1];
    find_structures(world, tables);
    bool first = world->first.root != 0;
    uint64_t below = first ? world->first_trap.root : world->second_trap.root;
    for (enum structure at = lowest(world); at <= ROOT_TABLE; at++) {
        uint64_t copy = copy_of(world, tables[at]);
        uint64_t word = copy + offset_in(world, at, first ? &world->first : NULL);
        if (below != 0) {
            lead_to(world, word, below);
        } else {
            guest_write(&world->ram, word, 0); /* no paging structures: no entry */
        }
        world->structures_trap[at] = copy;
        below = copy;
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
    if (world->rtaddr != 0) {
        make_structures(world);
    }
}

/* ---- Invalidations ---- */

static enum ciommu_status send_contexts(struct poison_world *world, bool all, uint64_t random) {
    if (all || random % 4 == 0) {
        return poison_send(world, CONTEXT_CACHE | 1 << 4, 0);
    }
    uint64_t granularity = random % 4 == 1 ? 2 : 3; /* of the domain, or of the device */
    return poison_send(
        world,
        CONTEXT_CACHE | granularity << 4 | DOMAIN_BITS | (granularity == 3 ? SOURCE_BITS : 0), 0);
}

static enum ciommu_status send_pasids(struct poison_world *world, enum structure changed,
                                      uint64_t random) {
    if (changed == ROOT_TABLE || changed == CONTEXT_TABLE || random % 4 == 0) {
        return poison_send(world, PASID_CACHE | 3 << 4, 0);
    }
    if (changed != PAGING_ROOT || random % 4 == 1) {
        return poison_send(world, PASID_CACHE | DOMAIN_BITS, 0);
    }
    uint64_t pasid = world->pasid == CIOMMU_NO_PASID ? 0 : world->pasid;
    return poison_send(world, PASID_CACHE | 1 << 4 | DOMAIN_BITS | pasid << 32, 0);
}

static enum ciommu_status send_translations(struct poison_world *world, enum structure changed,
                                            uint64_t random) {
    if (changed == ROOT_TABLE || changed == CONTEXT_TABLE || random % 8 == 0) {
        return poison_send(world, IOTLB | 1 << 4, 0);
    }
    if (changed == PAGING_ROOT && world->second.root == 0 && random % 2 == 0) {
        return poison_send(world, PASID_IOTLB | 2 << 4 | DOMAIN_BITS | (uint64_t)POISON_PASID << 32,
                           0);
    }
    return poison_send(world, IOTLB | 2 << 4 | DOMAIN_BITS, 0);
}

/* From the top down: whoever reads anew meets only what is new. */
static enum ciommu_status invalidate(struct poison_world *world, enum structure changed,
                                     uint64_t random) {
    bool scalable = poison_is_scalable(world);
    enum ciommu_status status = CIOMMU_OK;
    if (!scalable || changed >= PASID_DIRECTORY) {
        status = send_contexts(world, changed >= CONTEXT_TABLE, random >> 8);
    }
    if (status == CIOMMU_OK && scalable) {
        status = send_pasids(world, changed, random >> 16);
    }
    return status != CIOMMU_OK ? status : send_translations(world, changed, random >> 24);
}

/* ---- Exchanges ---- */

/* Where the root or structure below `changed` is led to from, once all is ready. */
static enum ciommu_status publish(struct poison_world *world, const struct guest_tree *tree,
                                  const uint64_t tables[], enum structure changed, uint64_t now) {
    if (changed == ROOT_TABLE) {
        world->rtaddr = now | (world->rtaddr & ~ADDRESS_BITS);
        return ciommu_unit_set_root(world->unit, world->rtaddr);
    }
    enum structure above = changed == PAGING_ROOT ? lowest(world) : changed + 1;
    lead_to(world, tables[above] + offset_in(world, above, tree), now);
    return CIOMMU_OK;
}

/* Another device (or PASID) keeps the space of the root that goes alive: whoever still has the
 * binding of before would find it. Nobody else asks through it. */
static enum ciommu_status keep_space(struct poison_world *world) {
    bool scalable = poison_is_scalable(world);
    uint32_t words = scalable ? 8 : 2;
    uint32_t source = scalable ? POISON_SOURCE : POISON_SOURCE + KEEPER;
    uint32_t pasid = scalable ? KEEPER : CIOMMU_NO_PASID;
    uint64_t keeper = world->entry + (uint64_t)KEEPER * words * sizeof(uint64_t);
    for (uint32_t word = words; word-- > 0;) {
        uint64_t offset = word * sizeof(uint64_t);
        guest_write(&world->ram, keeper + offset, guest_load(&world->ram, world->entry + offset));
    }
    enum ciommu_status status =
        poison_send(world,
                    (scalable ? PASID_CACHE | 1 << 4 | (uint64_t)KEEPER << 32
                              : CONTEXT_CACHE | 3 << 4 | (uint64_t)source << 32) |
                        DOMAIN_BITS,
                    0);
    struct ciommu_result result = {.size = sizeof result};
    return status != CIOMMU_OK
               ? status
               : ciommu_translate(world->unit, NULL, source, pasid, poison_iova(world, 0),
                                  CIOMMU_READ, CIOMMU_NO_FAULT, &result);
}

/* Everything from the root of a tree up to `changed` moves. */
static enum ciommu_status exchange(struct poison_world *world, struct guest_tree *tree,
                                   enum structure changed, uint64_t random) {
    uint64_t tables[ROOT_TABLE + 1];
    enum ciommu_status status = CIOMMU_OK;
    if (tree == &world->second && world->first.root == 0) {
        status = keep_space(world);
    }
    if (status == CIOMMU_OK && random % 2 == 0) {
        status = send_contexts(world, true, 0); /* readers resolve beside the change */
    }
    if (status != CIOMMU_OK) {
        return status;
    }
    find_structures(world, tables);
    uint64_t root = tree == NULL ? 0 : tree->root;
    uint64_t below = 0;
    if (tree != NULL) {
        tree->root = guest_tree_table(&world->ram, tree);
        guest_copy(&world->ram, guest_tree_place(tree, tree->root), guest_tree_place(tree, root));
        below = tree->root;
    }
    for (enum structure at = lowest(world); at <= changed; at++) {
        uint64_t copy = copy_of(world, tables[at]);
        lead_to(world, copy + offset_in(world, at, tree), below);
        below = copy;
    }
    status = publish(world, tree, tables, changed, below);
    uint64_t now[ROOT_TABLE + 1];
    find_structures(world, now);
    world->entry = now[lowest(world)] | (world->entry & (TABLE_PAGE - 1));
    status = status != CIOMMU_OK ? status : invalidate(world, changed, random >> 1);
    if (status != CIOMMU_OK) {
        return status;
    }
    for (enum structure at = lowest(world); at <= changed; at++) {
        guest_copy(&world->ram, tables[at], world->structures_trap[at]);
        guest_table_back(&world->ram, tables[at]);
    }
    if (tree != NULL) {
        poison_table(world, tree, guest_tree_place(tree, root), tree->levels - 1);
        guest_tree_back(&world->ram, tree, root);
    }
    return status;
}

enum ciommu_status poison_exchange(struct poison_world *world, const struct guest_tree *tree,
                                   uint64_t random) {
    static const enum structure choices[] = {PAGING_ROOT,     PAGING_ROOT,   PASID_TABLE,
                                             PASID_TABLE,     CONTEXT_TABLE, CONTEXT_TABLE,
                                             PASID_DIRECTORY, ROOT_TABLE};
    enum structure changed = choices[random % 8];
    if (changed < lowest(world) && (changed != PAGING_ROOT || tree == NULL)) {
        return CIOMMU_OK; /* there is none */
    }
    struct guest_tree *own = tree == &world->first ? &world->first : &world->second;
    return exchange(world, tree == NULL ? NULL : own, changed, random >> 8);
}
