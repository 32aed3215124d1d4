/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * explore_world.h - the small worlds of explorations: two pages, each of which leads to one of two
 * places. Made anew for every schedule.
 */
#ifndef PROBE_EXPLORE_WORLD_H
#define PROBE_EXPLORE_WORLD_H

#include "ciommu.h"
#include "ciommu_domains.h"
#include "explore_schedule.h"
#include "poison_tables.h"

#define EXPLORE_PAGES 2u
#define EXPLORE_SOURCE 0x10u
#define EXPLORE_DOMAIN 1u
#define EXPLORE_OTHER_DOMAIN 2u
#define EXPLORE_IOVA (UINT64_C(1) << 30)
#define EXPLORE_GUEST (UINT64_C(2) << 30) /* nested: guest-physical addresses of the pages */
#define EXPLORE_DATA (UINT64_C(16) << 20) /* output addresses of the places; 2 MiB aligned */
#define EXPLORE_DATA_BYTES (UINT64_C(4) << 20)
#define EXPLORE_RW (CIOMMU_READ | CIOMMU_WRITE)

/* What the ports know before the threads begin. */
enum explore_warmth {
    EXPLORE_COLD = 0,
    EXPLORE_WARM,       /* the reader's port has translated the pages */
    EXPLORE_OTHER_WARM, /* another one has: they are in the IOTLB, and their binding is known */
    EXPLORE_BOUND,      /* another one has translated the second page alone */
    EXPLORE_NEAR        /* the reader's port has translated the second page alone */
};

/* Memory that worlds share, one after the other. */
struct explore_memory {
    struct guest_ram ram;
    unsigned char *data;
};

struct explore_world {
    const struct explore_scenario *scenario;
    struct explore_memory *shared;
    struct ciommu_memory *memory;
    struct ciommu_unit *unit;
    struct ciommu_device *device;
    struct ciommu_domain *domains[2];
    struct ciommu_port *ports[EXPLORE_THREADS]; /* of the readers; the last one is another's */
    struct guest_tree first;
    struct guest_tree second;
    struct guest_tree other; /* of the second domain */
    uint32_t pasid;
    uint64_t entry;     /* context entry or PASID-table entry */
    uint64_t tables[2]; /* what a scenario exchanges: the entries for the two sides */
    uint64_t started[EXPLORE_PAGES];
    uint64_t finished[EXPLORE_PAGES];
    bool failed;
    char what[200]; /* the first wrong answer */
};

/* What a scenario is. */
struct explore_scenario {
    const char *name;
    /* Makes tables or domains; pages lead to side 0. */
    enum ciommu_status (*build)(struct explore_world *world);
    /* Leads a page (or all) to a side, and waits. */
    enum ciommu_status (*lead)(struct explore_world *world, uint32_t page, uint32_t side);
    /* What the changing thread does; NULL: it leads page 0 to its other side. */
    void (*act)(struct explore_world *world);
    enum explore_warmth warmth;
    uint32_t walk_cache;
    uint32_t readers;  /* 0 = one */
    uint32_t sections; /* of a reader; 0 = one */
    uint32_t access;   /* asked for; 0 = to read */
    bool batch;        /* both pages at once */
    bool whole;        /* `lead` moves all pages */
    bool may_fault;    /* while a change is under way */
    bool ends_absent;  /* side 1 is a fault, or no memory */
    bool no_first_level;
};

/* One file each; each ends with one that has no name. */
extern const struct explore_scenario explore_guest_scenarios[];
extern const struct explore_scenario explore_reuse_scenarios[];
extern const struct explore_scenario explore_structure_scenarios[];
extern const struct explore_scenario explore_host_scenarios[];

/* The n-th of all, or NULL. */
const struct explore_scenario *explore_scenario(uint32_t number);

bool explore_memory_init(struct explore_memory *shared);
void explore_memory_fini(struct explore_memory *shared);

enum ciommu_status explore_world_create(struct explore_world *world,
                                        const struct explore_scenario *scenario,
                                        struct explore_memory *shared);
/* In two steps: the second waits for grace periods of the first, so that many worlds go together.
 */
void explore_world_empty(struct explore_world *world);
void explore_world_destroy(struct explore_world *world);

/* Bodies of the threads: the readers come first. */
void explore_world_body(void *world, uint32_t thread);
/* Afterwards, alone: what everybody is told now, and after one more change. */
void explore_world_check(struct explore_world *world);

/* For scenarios. Output address of a page's place, and its input address. */
uint64_t explore_output(uint32_t page, uint32_t side);
uint64_t explore_iova(uint32_t page);
/* One change of a page (or all): lead and poison. */
void explore_change(struct explore_world *world, uint32_t page);
void explore_fail(struct explore_world *world, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* One translation through a port, and its payload. */
void explore_look(struct explore_world *world, struct ciommu_port *port, uint32_t page);

#endif
