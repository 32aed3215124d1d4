/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * section_reuse.c - what an open section still rests on after a drain that timed out. Everything
 * that the change gave up is somebody else's by then: grace periods end, and new domains and
 * devices take bindings, spaces and tables. The section goes on to translate, and must meet
 * neither freed memory nor anything of theirs.
 */
#include "section_world.h"
#include "rcu.h"

#define FOREIGN UINT64_C(0xf0e1f0e1f0e1f0e1)
#define FOREIGN_PAGE (SECTION_DATA_BYTES / TABLE_PAGE - 1)

void section_mark_foreign(struct section_world *world) {
    *(uint64_t *)(void *)(world->data + FOREIGN_PAGE * TABLE_PAGE) = FOREIGN;
}

/* Another domain has the section's addresses, and leads all of them to the foreign page. */
static struct ciommu_domain *foreign_domain(struct section_world *world) {
    struct ciommu_paging_config config;
    ciommu_paging_config_init(&config);
    struct ciommu_domain *domain = NULL;
    EXPECT(world, ciommu_paging_create(world->unit, &config, &domain) == CIOMMU_OK);
    for (uint64_t page = 0; page < FOREIGN_PAGE; page++) {
        struct ciommu_mapping mapping = {.size = sizeof mapping,
                                         .rights = SECTION_RW,
                                         .iova = SECTION_IOVA + page * TABLE_PAGE,
                                         .length = TABLE_PAGE,
                                         .address = SECTION_DATA + FOREIGN_PAGE * TABLE_PAGE};
        EXPECT(world, ciommu_domain_map(domain, &mapping) == CIOMMU_OK);
    }
    return domain;
}

static void reuse(struct section_world *world) {
    ciommu_rcu_barrier(); /* grace periods wait for no section */
    if (world->late_count == SECTION_LATE) {
        return;
    }
    uint32_t number = world->late_count++;
    struct ciommu_device_config config = {.size = sizeof config,
                                          .source = SECTION_HOST_SOURCE + 16 + number,
                                          .id = 16 + number,
                                          .share = CIOMMU_SHARE_WHOLE};
    struct ciommu_device *device = NULL;
    struct ciommu_domain *domain = foreign_domain(world);
    (void)ciommu_device_create(world->unit, world->caller, &config, &device);
    EXPECT(world, ciommu_device_attach(device, CIOMMU_NO_PASID, domain) == CIOMMU_OK);
    for (uint64_t page = 0; page < FOREIGN_PAGE; page++) {
        struct ciommu_result found = {.size = sizeof found};
        EXPECT(world, ciommu_translate(world->unit, world->caller, config.source, CIOMMU_NO_PASID,
                                       SECTION_IOVA + page * TABLE_PAGE, CIOMMU_READ,
                                       CIOMMU_NO_FAULT, &found) == CIOMMU_OK);
        EXPECT(world, found.outcome == CIOMMU_TRANSLATED_OK &&
                          found.address == SECTION_DATA + FOREIGN_PAGE * TABLE_PAGE);
    }
    world->late_devices[number] = device;
    world->late_domains[number] = domain;
}

void section_give_back(struct section_world *world) {
    for (uint32_t number = 0; number < world->late_count; number++) {
        EXPECT(world, ciommu_device_destroy(world->late_devices[number], NULL) == CIOMMU_OK);
        EXPECT(world, ciommu_domain_destroy(world->late_domains[number]) == CIOMMU_OK);
    }
}

/* What is found now was true at the section's beginning or since: it is never the others'. */
static bool finds_nothing_foreign(struct section_world *world) {
    static const uint32_t flags[] = {0, CIOMMU_NO_CACHE};
    bool fine = true;
    for (uint64_t page = 0; page < FOREIGN_PAGE; page++) {
        for (uint32_t index = 0; index < sizeof flags / sizeof *flags; index++) {
            struct ciommu_result found = {.size = sizeof found};
            fine =
                fine && ciommu_translate(world->unit, world->port, world->source, CIOMMU_NO_PASID,
                                         SECTION_IOVA + page * TABLE_PAGE, CIOMMU_READ,
                                         CIOMMU_NO_FAULT | flags[index], &found) == CIOMMU_OK;
            bool there = found.outcome == CIOMMU_TRANSLATED_OK && found.host != NULL;
            fine = fine && (!there || *(uint64_t *)(void *)found.host != FOREIGN);
        }
    }
    return fine;
}

bool section_holds(struct section_world *world) {
    if (world->found.host == NULL || *(uint64_t *)(void *)world->found.host != SECTION_STAMP) {
        return false;
    }
    reuse(world);
    /* The section's own thread does nothing: the port may be used here. */
    return finds_nothing_foreign(world) && *(uint64_t *)(void *)world->found.host == SECTION_STAMP;
}

/* ---- Cases ---- */

/* A domain's space, its tables and its bindings go, one after the other. */
static void a_domain_goes(struct section_world *world) {
    section_stop(world, true, SECTION_ASLEEP, SECTION_HOST_SOURCE);
    EXPECT(world,
           ciommu_device_detach(world->device, world->caller, CIOMMU_NO_PASID) == CIOMMU_TIMED_OUT);
    EXPECT(world, section_holds(world));
    EXPECT(world,
           ciommu_device_detach(world->device, world->caller, SECTION_PASID) == CIOMMU_TIMED_OUT);
    EXPECT(world, ciommu_domain_destroy(world->domain) == CIOMMU_OK);
    world->domain = NULL;
    EXPECT(world, section_holds(world));
    section_release(world);
}

static void a_guests_space_goes(struct section_world *world) {
    section_stop(world, true, SECTION_ASLEEP, SECTION_SOURCE);
    const struct ciommu_invalidation what = {.size = sizeof what,
                                             .kind = CIOMMU_INVALIDATE_CONTEXT,
                                             .domain = CIOMMU_ANY,
                                             .pasid = CIOMMU_ANY,
                                             .source = CIOMMU_ANY,
                                             .last = UINT64_MAX};
    EXPECT(world, ciommu_invalidate(world->unit, NULL, &what) == CIOMMU_TIMED_OUT);
    EXPECT(world, section_holds(world));
    section_release(world);
    EXPECT(world, ciommu_invalidate(world->unit, NULL, &what) == CIOMMU_OK);
}

const struct section_named_case section_reuse_cases[] = {
    {"a section meets nothing that took a domain's place", a_domain_goes},
    {"a section meets nothing that took a guest's place", a_guests_space_goes},
    {0},
};
