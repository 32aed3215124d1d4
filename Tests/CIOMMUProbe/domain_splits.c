/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * domain_splits.c - a 2 MiB or 1 GiB page of which one part, the victim, is unmapped, protected and
 * made whole again, so that the page is split and merged; now and then all of it leads elsewhere.
 * Whatever the victim suffers, no other page may fault or move for a moment.
 *
 * Stale walk caches show because the page is split (readers cache its table), merged (the table
 * goes), and then moved as a whole: who still walks the old table finds the old place.
 */
#include "domain_world.h"

/* State: what the whole page does, what the victim does, and which pages the victim is. */
enum whole { AT_FIRST = 0, AT_SECOND = 1, GONE = 2 };
enum victim { UNHARMED = 0, HOLE = 1, READ_ONLY = 2 };

static enum whole whole_of(uint64_t state) {
    return (enum whole)(state & 3);
}

static enum victim victim_of(uint64_t state) {
    return (enum victim)(state >> 2 & 3);
}

static uint64_t victim_first(uint64_t state) {
    return state >> 4 & 0xfffff;
}

static uint64_t victim_count(uint64_t state) {
    return (state >> 24 & 1) != 0 ? 512 : 1;
}

static uint64_t make_state(enum whole whole, enum victim victim, uint64_t first, uint64_t count) {
    return (uint64_t)whole | (uint64_t)victim << 2 | first << 4 |
           (count == 1 ? 0 : UINT64_C(1) << 24);
}

static uint64_t output_of(const struct domain_world *world, enum whole whole, uint64_t page) {
    return DOMAIN_OUTPUT + (whole == AT_SECOND ? world->span : 0) + page * DOMAIN_PAGE;
}

/* Pages with stamps, at the edges of everything that may be split off; every second may become a
 * victim. */
static void choose_samples(struct domain_world *world) {
    const uint64_t pages = world->span / DOMAIN_PAGE;
    const uint64_t edges[] = {0, 1, 2, 3, 510, 511, 512, 513, 1023, 1024, pages / 2, pages - 1};
    for (uint32_t edge = 0; edge < sizeof edges / sizeof *edges; edge++) {
        if (edges[edge] < pages) {
            world->samples[world->sample_count++] = edges[edge];
        }
    }
}

static void restore(struct domain_world *world, enum whole whole, uint64_t first, uint64_t count) {
    for (uint32_t sample = 0; sample < world->sample_count; sample++) {
        if (world->samples[sample] - first < count) {
            domain_restore(world, output_of(world, whole, world->samples[sample]));
        }
    }
}

static void poison(struct domain_world *world, enum whole whole, uint64_t first, uint64_t count) {
    for (uint32_t sample = 0; sample < world->sample_count; sample++) {
        if (world->samples[sample] - first < count) {
            domain_poison(world, output_of(world, whole, world->samples[sample]));
        }
    }
}

static enum ciommu_status build(struct domain_world *world) {
    bool huge = world->kind == PROBE_DOMAIN_HUGE_SPLITS;
    world->span = world->ram_bytes / 2;
    choose_samples(world);
    restore(world, AT_FIRST, 0, world->span);
    poison(world, AT_SECOND, 0, world->span);
    enum ciommu_status status = domain_paging(world, 0, huge ? 30 : 21, &world->domains[0]);
    if (status == CIOMMU_OK) {
        status = domain_map(world->domains[0], DOMAIN_IOVA, output_of(world, AT_FIRST, 0),
                            world->span, DOMAIN_RW);
    }
    if (status == CIOMMU_OK &&
        !huge) { /* a neighbour keeps the upper tables: only leaf tables go */
        status = domain_map(world->domains[0], DOMAIN_IOVA + world->span, DOMAIN_OUTPUT,
                            DOMAIN_PAGE, CIOMMU_READ);
    }
    struct ciommu_domain_statistics statistics = {.size = sizeof statistics};
    if (status == CIOMMU_OK) {
        ciommu_domain_read_statistics(world->domains[0], &statistics);
        status = statistics.pages[huge ? 2 : 1] == 1 ? CIOMMU_OK : CIOMMU_INCONSISTENT;
    }
    return status != CIOMMU_OK
               ? status
               : ciommu_device_attach(world->device, CIOMMU_NO_PASID, world->domains[0]);
}

/* Unmaps all and maps it to the other place: two steps. */
static enum ciommu_status move(struct domain_world *world) {
    uint64_t before = domain_state(world);
    enum whole old = whole_of(before);
    enum whole next = old == AT_FIRST ? AT_SECOND : AT_FIRST;
    domain_begin(world, make_state(GONE, UNHARMED, 0, 1));
    enum ciommu_status status =
        ciommu_domain_unmap(world->domains[0], NULL, DOMAIN_IOVA, world->span, NULL);
    domain_finish(world);
    if (status != CIOMMU_OK) {
        return status;
    }
    uint64_t hole = victim_of(before) == HOLE ? victim_count(before) : 0;
    poison(world, old, 0, victim_first(before));
    poison(world, old, victim_first(before) + hole, world->span); /* the hole is poisoned already */
    restore(world, next, 0, world->span);
    domain_begin(world, make_state(next, UNHARMED, 0, 1));
    status = domain_map(world->domains[0], DOMAIN_IOVA, output_of(world, next, 0), world->span,
                        DOMAIN_RW);
    domain_finish(world);
    return status;
}

static enum ciommu_status step(struct domain_world *world, uint64_t first, uint64_t count,
                               enum victim next) {
    uint64_t before = domain_state(world);
    enum whole whole = whole_of(before);
    uint64_t iova = DOMAIN_IOVA + first * DOMAIN_PAGE;
    uint64_t length = count * DOMAIN_PAGE;
    bool maps = next == UNHARMED && victim_of(before) == HOLE;
    if (maps) {
        restore(world, whole, first, count);
    }
    domain_begin(world, make_state(whole, next, first, count));
    enum ciommu_status status;
    if (next == HOLE) {
        status = ciommu_domain_unmap(world->domains[0], NULL, iova, length, NULL);
    } else if (maps) {
        status =
            domain_map(world->domains[0], iova, output_of(world, whole, first), length, DOMAIN_RW);
    } else {
        uint32_t rights = next == READ_ONLY ? CIOMMU_READ : DOMAIN_RW;
        status = ciommu_domain_protect(world->domains[0], NULL, iova, length, rights);
    }
    domain_finish(world);
    if (status == CIOMMU_OK && next == HOLE) {
        poison(world, whole, first, count);
    }
    return status;
}

/* Once it is whole again it must be one page again. */
static void check_merged(struct domain_world *world) {
    struct ciommu_domain_statistics statistics = {.size = sizeof statistics};
    ciommu_domain_read_statistics(world->domains[0], &statistics);
    if (statistics.pages[world->kind == PROBE_DOMAIN_HUGE_SPLITS ? 2 : 1] != 1) {
        world->complaint = "not merged again";
    }
}

static enum ciommu_status change(struct domain_world *world, uint64_t random) {
    uint64_t state = domain_state(world);
    uint64_t first = victim_first(state);
    uint64_t count = victim_count(state);
    uint64_t dice = random % 16;
    enum ciommu_status status;
    if (victim_of(state) == UNHARMED && dice < 4) {
        status = move(world);
    } else if (victim_of(state) == UNHARMED) {
        bool large = world->kind == PROBE_DOMAIN_HUGE_SPLITS && dice >= 12;
        uint64_t pick = (random >> 8) % ((world->sample_count + 1) / 2) * 2;
        first =
            large ? (random >> 8) % (world->span / DOMAIN_PAGE / 512) * 512 : world->samples[pick];
        status = step(world, first, large ? 512 : 1, dice % 2 == 0 ? HOLE : READ_ONLY);
    } else if (victim_of(state) == READ_ONLY && dice < 4) {
        status = step(world, first, count, HOLE);
    } else if (dice == 15) {
        status = move(world);
    } else {
        status = step(world, first, count, UNHARMED);
        check_merged(world);
    }
    return status;
}

static void ask(const struct domain_world *world, uint64_t random,
                struct domain_question *question) {
    question->payload = random % 2 == 0;
    uint64_t page = question->payload ? world->samples[(random >> 8) % world->sample_count]
                                      : (random >> 8) % (world->span / DOMAIN_PAGE);
    question->pasid = CIOMMU_NO_PASID;
    question->iova = DOMAIN_IOVA + page * DOMAIN_PAGE;
}

static struct domain_expected expect(const struct domain_world *world, uint64_t state,
                                     const struct domain_question *question) {
    uint64_t page = (question->iova - DOMAIN_IOVA) / DOMAIN_PAGE;
    bool harmed = page - victim_first(state) < victim_count(state);
    if (whole_of(state) == GONE || (harmed && victim_of(state) == HOLE)) {
        return (struct domain_expected){0, 0};
    }
    bool read_only = harmed && victim_of(state) == READ_ONLY;
    return (struct domain_expected){output_of(world, whole_of(state), page),
                                    read_only ? CIOMMU_READ : DOMAIN_RW};
}

const struct domain_plan domain_splits = {build, change, ask, expect};
