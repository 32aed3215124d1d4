/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * manners.h - the ways to ask a world: one address alone, in a section, in batches, as a scatter
 * list, as a copy. Each checks every answer, and the memory behind it.
 */
#ifndef MANNERS_H
#define MANNERS_H

#include <ciommu_bench.h>
#include <stddef.h>

#define PAGES 64u      /* of every world, each of 4 KiB */
#define REQUESTS 256u  /* of one run */
#define LIST_PAGES 16u /* of a scatter list: 64 KiB */

/* A world, and what is asked of it. */
struct subject {
    struct bench_world *world;
    struct ciommu_port *port;
    uint64_t first_iova;
    struct ciommu_request requests[REQUESTS];
    uint64_t answers[REQUESTS];
};

/* Fills the data pages: each word holds its own output address. Chooses the requests. */
struct subject *subject_create(const struct bench_world_config *config);

struct manner {
    const char *name;
    void (*run)(struct subject *subject);
};

/* Ends with a NULL name. */
extern const struct manner manners[];

/* Needs the first level: a miss ends the process. */
void ask_inlined(struct subject *subject);

/* A request to what is not mapped after every hit; REQUESTS faults. */
void ask_and_fault(struct subject *subject);

#endif
