/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * section_world.h - a unit with a short drain timeout, a thread with a port of its own that stops
 * where a case wants it to, and checks that are counted.
 */
#ifndef PROBE_SECTION_WORLD_H
#define PROBE_SECTION_WORLD_H

#include "stress_probe.h"
#include "ciommu.h"
#include "ciommu_domains.h"
#include "ciommu_interrupts.h"
#include "ciommu_invalidation.h"
#include "poison_tables.h"

#include <pthread.h>
#include <semaphore.h>

#define SECTION_SOURCE 0x10u       /* behind the guest's tables */
#define SECTION_HOST_SOURCE 0x100u /* a device of the host */
#define SECTION_DOMAIN 1u
#define SECTION_IOVA (UINT64_C(1) << 30)
#define SECTION_PASID 7u
#define SECTION_RW (CIOMMU_READ | CIOMMU_WRITE)
#define SECTION_TABLES UINT64_C(0x40000) /* bytes of guest memory for tables, from address 0 on */
#define SECTION_DATA (UINT64_C(1) << 24) /* output addresses of the data; a range of its own */
#define SECTION_DATA_BYTES UINT64_C(0x4000)
#define SECTION_STAMP UINT64_C(0x5eed5eed5eed5eed)
#define SECTION_LATE 4u                              /* domains that come while a section is open */
#define SECTION_STATUS (SECTION_TABLES - TABLE_PAGE) /* where wait descriptors store */

/* Where and how the thread stops. */
enum section_manner {
    SECTION_ASLEEP = 0, /* blocked on a semaphore, until released */
    SECTION_EXITED,     /* gone */
    SECTION_CANCELLED,  /* cancelled */
    SECTION_BUSY,       /* computes, and never waits for anybody */
    SECTION_MANNERS
};

struct section_world {
    struct probe_section_result *result;
    struct ciommu_memory *memory;
    struct ciommu_unit *unit;
    struct guest_ram ram;
    struct guest_tree tree;
    unsigned char *data;
    struct ciommu_domain *domain; /* maps SECTION_IOVA to the data */
    struct ciommu_domain *other;  /* empty */
    struct ciommu_device *device; /* has `domain` without PASID and at SECTION_PASID */
    struct ciommu_device *late_devices[SECTION_LATE];
    struct ciommu_domain *late_domains[SECTION_LATE];
    uint32_t late_count;
    struct ciommu_port *caller; /* of the case's own thread */

    /* The thread. */
    struct ciommu_port *port;
    enum section_manner manner;
    bool inside;
    uint32_t source;            /* through which it translates */
    struct ciommu_result found; /* what it holds */
    sem_t stopped;
    sem_t released;
    uint32_t spin; /* 0 ends SECTION_BUSY */
    pthread_t thread;
};

void section_expect(struct probe_section_result *result, bool fine, const char *what,
                    const char *file, int line);
#define EXPECT(world, condition)                                                                   \
    section_expect((world)->result, (condition), #condition, __FILE__, __LINE__)

bool section_world_create(struct section_world *world, uint64_t drain_timeout);
void section_world_destroy(struct section_world *world);

/* Starts the thread; it translates in a section, and has stopped when this returns. */
void section_stop(struct section_world *world, bool inside, enum section_manner manner,
                  uint32_t source);
/* Ends its section, if it was inside, and the thread. */
void section_release(struct section_world *world);

/* A page-selective invalidation of the guest's page, as a descriptor. */
enum ciommu_status section_invalidate(struct section_world *world,
                                      struct ciommu_descriptor_result *out);

/* Drains that found a section open. */
uint64_t section_waits(struct section_world *world);

/* section_reuse.c: does the section still read through its pointer what was there, and meet nothing
 * of those who take over whatever nobody has any more? Not beside the section's thread. */
bool section_holds(struct section_world *world);
void section_mark_foreign(struct section_world *world);
void section_give_back(struct section_world *world);

typedef void (*section_case)(struct section_world *world);
struct section_named_case {
    const char *name;
    section_case run;
};
/* section_threads.c, section_calls.c, section_reuse.c */
extern const struct section_named_case section_thread_cases[];
extern const struct section_named_case section_call_cases[];
extern const struct section_named_case section_reuse_cases[];

#endif
