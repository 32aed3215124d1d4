/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * quick_walk.c - whole quick walks (quick_walk.h), and the rarer ways to a leaf (short_way.h).
 */
#include "quick_walk.h"
#include "short_way.h"
#include "tracepoints.h"

struct leaf ciommu_quick_second(struct ciommu_port *port, const struct quick_parent *parent,
                                uint64_t input, uint32_t access) {
    const struct quick_stage walk = quick_stage(port, parent->stage, QUICK_SECOND, parent->space,
                                                parent->walk_generation, access);
    return quick_walk(&walk, QUICK_SECOND, NULL, input);
}

static struct leaf walk_nested(struct ciommu_port *port, const struct way *way, uint64_t iova,
                               uint32_t access) {
    const struct quick_stage walk = quick_stage_of(port, way, QUICK_NESTED, access);
    const struct quick_parent parent = quick_parent_of(way);
    return quick_finish(&walk, QUICK_NESTED, &parent, iova,
                        quick_walk(&walk, QUICK_NESTED, &parent, iova));
}

static struct leaf walk_first(struct ciommu_port *port, const struct way *way, uint64_t iova,
                              uint32_t access) {
    const struct quick_stage walk = quick_stage_of(port, way, QUICK_FIRST, access);
    return quick_finish(&walk, QUICK_FIRST, NULL, iova, quick_walk(&walk, QUICK_FIRST, NULL, iova));
}

static struct leaf walk_second(struct ciommu_port *port, const struct way *way, uint64_t iova,
                               uint32_t access) {
    const struct quick_stage walk = quick_stage_of(port, way, QUICK_SECOND, access);
    return quick_finish(&walk, QUICK_SECOND, NULL, iova,
                        quick_walk(&walk, QUICK_SECOND, NULL, iova));
}

uint64_t ciommu_walk_quickly(struct ciommu_port *port, struct way *way, uint64_t iova,
                             uint32_t access) {
    uint32_t kind = way->grant->shape->kind;
    struct leaf leaf = kind == SPACE_SECOND  ? walk_second(port, way, iova, access)
                       : kind == SPACE_FIRST ? walk_first(port, way, iova, access)
                                             : walk_nested(port, way, iova, access);
    if (unlikely(!leaf_exists(leaf))) {
        return 0; /* counted where it is walked again */
    }
    count_owned(&port->page_walks);
    tracepoint_walk(port->id, way->grant->shape->domain, iova, leaf.page_lg2);
    way_walked(way);
    ciommu_iotlb_fill(port, way, iova, leaf);
    return leaf_pack(leaf);
}

uint64_t ciommu_iotlb_larger(const struct iotlb *iotlb, uint32_t tag, uint64_t sizes, uint64_t iova,
                             uint32_t needed) {
    struct leaf leaf = NO_LEAF;
    for (; sizes != 0 && !leaf_exists(leaf); sizes &= sizes - 1) {
        leaf = iotlb_lookup(iotlb, tag, iova, (uint32_t)__builtin_ctzll(sizes), needed);
    }
    return leaf_exists(leaf) ? leaf_pack(leaf) : 0;
}

void ciommu_iotlb_fill(struct ciommu_port *port, const struct way *way, uint64_t iova,
                       struct leaf leaf) {
    struct iotlb *iotlb = &port->unit->iotlb;
    struct ciommu_space *space = way->space;
    /* Of a page that lies partly in the interrupt range parts fault. */
    if (iotlb->entries == NULL || way->tag == 0 ||
        covers_interrupts(leaf.address, leaf_mask(leaf))) {
        return;
    }
    uint64_t cut = MUTANT(CUTS_FORGOTTEN) ? 0 : (uint64_t)leaf.cut << SPACE_CUTS_SHIFT;
    uint64_t sizes = UINT64_C(1) << leaf.page_lg2 | (MUTANT(CUTS_LATE) ? 0 : cut);
    /* The bits are there (seq_cst, whoever set them) before the generation is checked; pairs with
     * space.c: invalidate_ranges. */
    if (!MUTANT(SIZES_LATE) && (~load_seq_cst(&space->sizes) & sizes) != 0) {
        (void)or_seq_cst(&space->sizes, sizes);
    }
    port->random = port->random * UINT64_C(6364136223846793005) + 1442695040888963407u;
    ciommu_iotlb_insert(iotlb, (uint32_t)way->tag, iova, leaf, &space->generation, way->generation,
                        port->random >> 60);
    if (MUTANT(SIZES_LATE) || MUTANT(CUTS_LATE)) {
        yield_point(CIOMMU_YIELD_INSERTING);
        (void)or_seq_cst(&space->sizes, sizes | cut);
    }
}
