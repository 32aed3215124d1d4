/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * domain_flips.c - pages that are mapped, protected, unmapped and mapped elsewhere, over and over;
 * the first half each for itself, the second half all in one call. Read through the domain itself
 * (PROBE_DOMAIN_FLIPS) or through nested children (PROBE_DOMAIN_CHILDREN).
 *
 * State: three bits a page, the place in the cycle below.
 */
#include "domain_world.h"

#define PAGES 16u
#define SINGLE_PAGES 8u
#define SIDE_BYTES UINT64_C(0x100000)
#define TABLES (2 * SIDE_BYTES)
#define PARENT_IOVA UINT64_C(0x2000000000)

enum place { FIRST_RW = 0, FIRST_R, FIRST_GONE, SECOND_RW, SECOND_GONE, PLACES };

static enum place place_of(uint64_t state, uint32_t page) {
    return (enum place)(state >> (3 * page) & 7);
}

static uint64_t with_place(uint64_t state, uint32_t page, enum place place) {
    return (state & ~(UINT64_C(7) << (3 * page))) | (uint64_t)place << (3 * page);
}

static uint64_t output_of(uint32_t page, enum place place) {
    uint64_t side = place == SECOND_RW || place == SECOND_GONE ? SIDE_BYTES : 0;
    return DOMAIN_OUTPUT + side + page * DOMAIN_PAGE;
}

/* Input address of the domain that changes. */
static uint64_t input_of(const struct domain_world *world, uint32_t page) {
    return (world->kind == PROBE_DOMAIN_CHILDREN ? PARENT_IOVA : DOMAIN_IOVA) + page * DOMAIN_PAGE;
}

static enum ciommu_status build(struct domain_world *world) {
    bool nested = world->kind == PROBE_DOMAIN_CHILDREN;
    enum ciommu_status status =
        domain_paging(world, nested ? CIOMMU_PAGING_NEST_PARENT : 0, 0, &world->domains[0]);
    for (uint32_t page = 0; page < PAGES; page++) {
        domain_restore(world, output_of(page, FIRST_RW));
        domain_poison(world, output_of(page, SECOND_RW));
    }
    if (status == CIOMMU_OK) {
        status = domain_map(world->domains[0], input_of(world, 0), output_of(0, FIRST_RW),
                            PAGES * DOMAIN_PAGE, DOMAIN_RW);
    }
    if (status != CIOMMU_OK) {
        return status;
    }
    return nested ? domain_children(world, DOMAIN_CHILDREN, TABLES, PARENT_IOVA, PAGES)
                  : ciommu_device_attach(world->device, CIOMMU_NO_PASID, world->domains[0]);
}

static void poison(struct domain_world *world, uint32_t first, uint32_t count, uint64_t before) {
    for (uint32_t page = first; page < first + count; page++) {
        enum place place = place_of(before, page);
        if (place == FIRST_RW || place == FIRST_R || place == SECOND_RW) {
            domain_poison(world, output_of(page, place));
        }
    }
}

/* Everything at once: whatever was mapped is gone. */
static enum ciommu_status unmap_all(struct domain_world *world) {
    uint64_t before = domain_state(world);
    uint64_t after = before;
    uint64_t wanted = 0;
    uint64_t unmapped = 0;
    for (uint32_t page = 0; page < PAGES; page++) {
        enum place place = place_of(before, page);
        bool first = place == FIRST_RW || place == FIRST_R || place == FIRST_GONE;
        wanted += place == FIRST_GONE || place == SECOND_GONE ? 0 : DOMAIN_PAGE;
        after = with_place(after, page, first ? FIRST_GONE : SECOND_GONE);
    }
    domain_begin(world, after);
    enum ciommu_status status =
        ciommu_domain_unmap(world->domains[0], NULL, 0, UINT64_MAX, &unmapped);
    domain_finish(world);
    if (status == CIOMMU_OK) {
        poison(world, 0, PAGES, before);
        world->complaint = unmapped == wanted ? world->complaint : "bytes unmapped are wrong";
    }
    return status;
}

/* Nobody may write a page between the return of the call that took the right and the next change.
 */
static void note_sums(struct domain_world *world, uint32_t first, uint32_t count) {
    for (uint32_t page = first; page < first + count; page++) {
        world->sums[page] = domain_slot_sum(world, output_of(page, FIRST_R));
    }
}

static void check_sums(struct domain_world *world, uint32_t first, uint32_t count) {
    for (uint32_t page = first; page < first + count; page++) {
        if (place_of(domain_state(world), page) == FIRST_R &&
            domain_slot_sum(world, output_of(page, FIRST_R)) != world->sums[page]) {
            world->complaint = "written while it was read-only";
        }
    }
}

static enum ciommu_status call(struct domain_world *world, uint32_t first, uint32_t count,
                               enum place next) {
    struct ciommu_domain *domain = world->domains[0];
    uint64_t iova = input_of(world, first);
    uint64_t length = count * DOMAIN_PAGE;
    switch (next) {
    case FIRST_R:
        return ciommu_domain_protect(domain, NULL, iova, length, CIOMMU_READ);
    case FIRST_GONE:
    case SECOND_GONE:
        return ciommu_domain_unmap(domain, NULL, iova, length, NULL);
    default:
        return domain_map(domain, iova, output_of(first, next), length, DOMAIN_RW);
    }
}

static enum ciommu_status change(struct domain_world *world, uint64_t random) {
    if (world->kind == PROBE_DOMAIN_FLIPS && random % 64 == 0) {
        return unmap_all(world);
    }
    uint32_t pick = (uint32_t)(random >> 8) % (SINGLE_PAGES + 1);
    uint32_t count = pick == SINGLE_PAGES ? PAGES - SINGLE_PAGES : 1;
    uint64_t before = domain_state(world);
    uint64_t after = before;
    enum place next = (enum place)((place_of(before, pick) + 1) % PLACES);
    for (uint32_t page = pick; page < pick + count; page++) {
        after = with_place(after, page, next);
        if (next == FIRST_RW || next == SECOND_RW) {
            domain_restore(world, output_of(page, next));
        }
    }
    check_sums(world, pick, count);
    domain_begin(world, after);
    enum ciommu_status status = call(world, pick, count, next);
    domain_finish(world);
    if (status == CIOMMU_OK && next == FIRST_R) {
        note_sums(world, pick, count);
    }
    if (status == CIOMMU_OK && (next == FIRST_GONE || next == SECOND_GONE)) {
        poison(world, pick, count, before);
    }
    return status;
}

static void ask(const struct domain_world *world, uint64_t random,
                struct domain_question *question) {
    uint64_t child = random % 8 == 0 ? (random >> 8) : (random >> 8) % 8 * 131;
    question->pasid = world->kind == PROBE_DOMAIN_CHILDREN
                          ? 1 + (uint32_t)(child % world->child_count)
                          : CIOMMU_NO_PASID;
    question->iova = DOMAIN_IOVA + (random >> 32) % PAGES * DOMAIN_PAGE;
    question->payload = true;
}

static struct domain_expected expect(const struct domain_world *world, uint64_t state,
                                     const struct domain_question *question) {
    (void)world;
    uint32_t page = (uint32_t)((question->iova - DOMAIN_IOVA) / DOMAIN_PAGE);
    enum place place = place_of(state, page);
    switch (place) {
    case FIRST_RW:
    case SECOND_RW:
        return (struct domain_expected){output_of(page, place), DOMAIN_RW};
    case FIRST_R:
        return (struct domain_expected){output_of(page, place), CIOMMU_READ};
    default:
        return (struct domain_expected){0, 0};
    }
}

const struct domain_plan domain_flips = {build, change, ask, expect};
