/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * domain_world.h - a unit with host-made domains, its history, and the poison that shows stale
 * answers.
 *
 * One thread changes the world, one step at a time. A step writes the next state into the history,
 * announces it (`started`), calls the engine, and announces that the call returned (`finished`). A
 * state is one word; the world's `expect` says what it answers to a question. A reader notes
 * `finished` before its section and `started` after its translation: some state in between must
 * explain the answer (promise 1). Data pages that the finished state no longer reaches are poisoned
 * after the call returned, so that a host pointer that is still in use shows as well.
 */
#ifndef PROBE_DOMAIN_WORLD_H
#define PROBE_DOMAIN_WORLD_H

#include "domain_probe.h"
#include "ciommu_domains.h"

#define DOMAIN_PAGE UINT64_C(4096)
#define DOMAIN_RW (CIOMMU_READ | CIOMMU_WRITE)
#define DOMAIN_SOURCE 0x42u
#define DOMAIN_IOVA UINT64_C(0x40000000) /* 1 GiB aligned */
#define DOMAIN_OUTPUT UINT64_C(0x100000000)
#define DOMAIN_READERS 16u
#define DOMAIN_HISTORY 65536u
#define DOMAIN_POISON UINT64_C(0xdeadbeefdeadbeef)
#define DOMAIN_SAMPLES 24u
#define DOMAIN_CHILDREN 1000u
#define DOMAIN_SLOTS 8u

/* A question, and what explains an answer. */
struct domain_question {
    uint32_t pasid;
    uint32_t access;
    uint64_t iova;
    bool payload; /* there is a stamp behind it */
};

struct domain_expected {
    uint64_t address;
    uint32_t rights; /* 0: fault */
};

struct domain_world;

/* What a kind of world does. */
struct domain_plan {
    enum ciommu_status (*build)(struct domain_world *world);
    /* One step or a few. */
    enum ciommu_status (*change)(struct domain_world *world, uint64_t random);
    void (*ask)(const struct domain_world *world, uint64_t random,
                struct domain_question *question);
    struct domain_expected (*expect)(const struct domain_world *world, uint64_t state,
                                     const struct domain_question *question);
};

extern const struct domain_plan domain_flips;
extern const struct domain_plan domain_splits;
extern const struct domain_plan domain_slots;

struct domain_world {
    const struct domain_plan *plan;
    uint32_t kind;
    struct ciommu_memory *memory;
    struct ciommu_unit *unit;
    struct ciommu_device *device;
    struct ciommu_domain *domains[DOMAIN_SLOTS * 2]; /* paging domains; [0] alone in most worlds */
    struct ciommu_domain *children[DOMAIN_CHILDREN];
    uint32_t child_count;
    unsigned char *ram; /* output addresses from DOMAIN_OUTPUT on */
    uint64_t ram_bytes;
    const char *complaint; /* of the changer; NULL */

    uint64_t sums[64]; /* domain_slot_sum of a page when it became read-only */

    /* A superpage that is split: [0] and [1] are the two places it may lead to. */
    uint64_t span;
    uint32_t sample_count;
    uint64_t samples[DOMAIN_SAMPLES]; /* page numbers in it that have stamps */

    uint64_t started;
    uint64_t finished;
    uint64_t states[DOMAIN_HISTORY];
};

/* Makes memory, unit and device; then the plan builds. */
int domain_world_create(struct domain_world *world, const struct domain_plan *plan,
                        const struct probe_domain_options *options, uint64_t ram_bytes);
void domain_world_destroy(struct domain_world *world);

/* A paging domain of 48 bits. */
enum ciommu_status domain_paging(struct domain_world *world, uint32_t flags, uint32_t largest_lg2,
                                 struct ciommu_domain **out);
enum ciommu_status domain_map(struct ciommu_domain *domain, uint64_t iova, uint64_t address,
                              uint64_t length, uint32_t rights);

/* A device that owns its whole source id. */
enum ciommu_status domain_device(struct domain_world *world);

/* Nested children over world->domains[0], attached to the PASIDs from 1 on. Their first stage maps
 * `pages` input pages from DOMAIN_IOVA on to parent addresses from `guest` on. The tables are in
 * world->ram at `tables`, at the parent addresses from DOMAIN_GUEST_TABLES on. */
#define DOMAIN_GUEST_TABLES UINT64_C(0x7000000000)
enum ciommu_status domain_children(struct domain_world *world, uint32_t count, uint64_t tables,
                                   uint64_t guest, uint32_t pages);

/* One step, in two halves around the engine's call. */
void domain_begin(struct domain_world *world, uint64_t state);
void domain_finish(struct domain_world *world);
uint64_t domain_state(const struct domain_world *world); /* the changer's view */

/* What the data page behind an output address holds, from its first word. */
uint64_t domain_stamp(uint64_t address);
/* Before it is mapped: complains if anybody wrote into the poisoned page. */
void domain_restore(struct domain_world *world, uint64_t address);
/* After it was unmapped. */
void domain_poison(struct domain_world *world, uint64_t address);
/* The word that reader `reader` may write, of the data page at `host`. */
uint64_t *domain_slot_in(unsigned char *host, uint32_t reader);
uint64_t *domain_slot(const struct domain_world *world, uint64_t address, uint32_t reader);
/* A sum over all readers' words: it stands still while nobody may write. */
uint64_t domain_slot_sum(const struct domain_world *world, uint64_t address);

/* The worlds of dirty bits have threads of their own (domain_dirty.c). */
int domain_dirty_stress(const struct probe_domain_options *options,
                        struct probe_domain_result *result);
/* And so has PROBE_DOMAIN_MAPPERS (domain_mappers.c). */
int domain_mappers_stress(const struct probe_domain_options *options,
                          struct probe_domain_result *result);

#endif
