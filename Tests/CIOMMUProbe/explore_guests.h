/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * explore_guests.h - the tables of a guest that explorations share, and how it changes them.
 */
#ifndef PROBE_EXPLORE_GUESTS_H
#define PROBE_EXPLORE_GUESTS_H

#include "explore_world.h"

#define EXPLORE_PASID 5u
#define EXPLORE_DOMAIN_BITS ((uint64_t)EXPLORE_DOMAIN << 16)
#define EXPLORE_PASID_BITS ((uint64_t)EXPLORE_PASID << 32)
#define EXPLORE_LEAF_ONLY UINT64_C(0x40)

/* Sends a descriptor. */
enum ciommu_status explore_send(struct explore_world *world, uint64_t low, uint64_t high);
/* Stores an entry of a guest's table. */
void explore_store(struct explore_world *world, uint64_t slot, uint64_t value);
/* Both pages to their places of one side. */
void explore_map_both(struct explore_world *world, const struct guest_tree *tree, uint32_t side);

/* Legacy mode; a second stage. */
enum ciommu_status explore_build_legacy(struct explore_world *world);
enum ciommu_status explore_lead_page(struct explore_world *world, uint32_t page, uint32_t side);
/* Invalidates the domain in the schedule, and the page alone in the change after it. */
enum ciommu_status explore_lead_domain_first(struct explore_world *world, uint32_t page,
                                             uint32_t side);

/* The same, two domains with the sides; and two more devices, one in each. */
enum ciommu_status explore_build_contexts(struct explore_world *world);
enum ciommu_status explore_lead_context(struct explore_world *world, uint32_t page, uint32_t side);
/* A translation for the n-th device beside the reader's. */
enum ciommu_status explore_ask_beside(struct explore_world *world, uint32_t device);

/* Scalable mode: a first stage for each side; both stages. */
enum ciommu_status explore_build_pasid(struct explore_world *world);
enum ciommu_status explore_build_nested(struct explore_world *world);

#endif
