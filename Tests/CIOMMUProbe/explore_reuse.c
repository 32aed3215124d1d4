/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * explore_reuse.c - what is explored of bindings and spaces that make room for others, and of tags
 * that are dealt out anew.
 */
#include "explore_guests.h"

#ifdef CIOMMU_INTERNAL_CHECKS

#include "rcu.h"
#include "unit.h"

/* The next fresh tag is none: all are dealt out anew. */
static enum ciommu_status lead_renewal(struct explore_world *world, uint32_t page, uint32_t side) {
    world->unit->spaces.next_tag = IOTLB_TAG_MAX + 1;
    return explore_lead_domain_first(world, page, side);
}

/* ---- Bindings that make room ---- */

/* What the worker does when the pool of bindings is full: it takes them away and moves no tablegen.
 */
static void evict(struct explore_world *world) {
    const struct ciommu_invalidation everything = {
        .size = sizeof everything,
        .kind = CIOMMU_INVALIDATE_CONTEXT,
        .domain = CIOMMU_ANY,
        .pasid = CIOMMU_ANY,
        .source = CIOMMU_ANY,
        .last = UINT64_MAX,
    };
    pthread_mutex_lock(&world->unit->table_lock);
    ciommu_bindings_remove(&world->unit->bindings, &everything);
    pthread_mutex_unlock(&world->unit->table_lock);
}

/* The reader's port has asked, the binding and its space are gone, and another domain has got the
 * space's place. */
static enum ciommu_status build_taken(struct explore_world *world) {
    enum ciommu_status status = explore_build_contexts(world);
    if (status == CIOMMU_OK) {
        explore_look(world, world->ports[0], 0);
        evict(world);
        ciommu_rcu_barrier();
        status = explore_ask_beside(world, 2);
    }
    return status;
}

static void look_beside(struct explore_world *world) {
    (void)explore_ask_beside(world, 2);
}

/* The reader's tag is what the other domain gets when tags are dealt out anew: in order. */
static enum ciommu_status build_tags(struct explore_world *world) {
    enum ciommu_status status = explore_build_contexts(world);
    world->unit->spaces.next_tag = 5;
    status = status != CIOMMU_OK ? status : explore_ask_beside(world, 2);
    world->unit->spaces.next_tag = 1;
    return status;
}

static void renew_for_another(struct explore_world *world) {
    struct ciommu_result result = {.size = sizeof result};
    pthread_mutex_lock(&world->unit->table_lock);
    world->unit->spaces.next_tag = IOTLB_TAG_MAX + 1;
    pthread_mutex_unlock(&world->unit->table_lock);
    (void)explore_send(world, 2 | 2 << 4 | (uint64_t)EXPLORE_OTHER_DOMAIN << 16, 0);
    for (uint32_t page = EXPLORE_PAGES; page-- > 0;) { /* the second one's size is seen again */
        (void)ciommu_translate(world->unit, world->ports[EXPLORE_THREADS - 1], EXPLORE_SOURCE + 16,
                               CIOMMU_NO_PASID, explore_iova(page), CIOMMU_READ, 0, &result);
        if (result.address != explore_output(page, 1)) {
            explore_fail(world, "another domain's page led to %llx",
                         (unsigned long long)result.address);
        }
    }
}

/* And another device, of the other domain, gets one. */
static void evict_for_another(struct explore_world *world) {
    evict(world);
    (void)explore_ask_beside(world, 2);
}

const struct explore_scenario explore_reuse_scenarios[] = {
    {.name = "binding evicted",
     .build = explore_build_legacy,
     .lead = explore_lead_page,
     .act = evict,
     .warmth = EXPLORE_OTHER_WARM},
    {.name = "binding evicted, and another takes its place",
     .build = explore_build_contexts,
     .lead = explore_lead_context,
     .act = evict_for_another,
     .warmth = EXPLORE_OTHER_WARM,
     .whole = true},
    {.name = "binding evicted long ago, its space another's",
     .build = build_taken,
     .lead = explore_lead_context,
     .act = look_beside,
     .whole = true},
    {.name = "tags renewed",
     .build = explore_build_legacy,
     .lead = lead_renewal,
     .warmth = EXPLORE_OTHER_WARM},
    {.name = "tags renewed, and another gets the reader's",
     .build = build_tags,
     .lead = explore_lead_page,
     .act = renew_for_another,
     .warmth = EXPLORE_BOUND},
    {.name = NULL},
};

#else
/* ISO C wants something in every file. */
typedef int explore_reuse_is_off;
#endif
