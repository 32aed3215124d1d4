/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * ciommu_bench.h - what benchmarks share: worlds (a unit with tables or domains, its ports, and the
 * requests that fit), measured loops over them, the baselines in the same binary, and bare loads.
 *
 * Everything here belongs to measuring, not to the engine, and may change with any version. Memory
 * that runs out and refusals of the engine end the process with a message: a benchmark cannot go
 * on. A loop that meets a wrong answer ends it too.
 *
 * Threads: a world, a baseline and their parts are made and destroyed by one thread. A lane (of a
 * world or of a baseline) is used by one thread at a time, different lanes by different threads at
 * once.
 */
#ifndef CIOMMU_BENCH_H
#define CIOMMU_BENCH_H

#include <ciommu.h>
#include <stdbool.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Monotonic nanoseconds. */
uint64_t bench_now(void);

/* Ties the calling thread to one of the processors that the process may use (index modulo their
 * number); false where the system does not allow it. */
bool bench_pin(uint32_t index);

/* How many processors that are; at least 1. */
uint32_t bench_processors(void);

/* ---- Worlds ---- */

/* Who made the tables, and what they are. Four levels everywhere. */
enum bench_way {
    BENCH_GUEST_SECOND, /* a guest's legacy context entry (with PASIDs: scalable-mode PASID
                           entries) and second-stage tables */
    BENCH_GUEST_FIRST,  /* a guest's scalable-mode PASID entry and first-stage tables */
    BENCH_GUEST_NESTED, /* the same over a second stage */
    BENCH_GUEST_PASS,   /* pass-through */
    BENCH_HOST_SECOND,  /* a paging domain */
    BENCH_HOST_NESTED,  /* a guest's first stage in a nested domain */
    BENCH_HOST_PASS     /* the identity domain */
};

struct bench_world_config {
    enum bench_way way;
    uint32_t pages;               /* mapped for each requester, 1 to 1 Mi */
    uint32_t page_lg2;            /* 12, 21 or 30 */
    uint32_t sources;             /* devices, 1 to 64 */
    uint32_t pasids;              /* of each device; 0 = requests carry none; up to 1,024 */
    uint32_t lanes;               /* ports, 1 to 64 */
    uint32_t first_level_entries; /* as in struct ciommu_unit_config */
    uint32_t iotlb_entries;
    uint32_t walk_cache_entries;
    bool scattered; /* input pages lie 2 MiB apart (page_lg2 12 only): every walk has a leaf table
                       of its own */
    uint32_t apart_lg2; /* distance between input pages; 0 = 21 if scattered, else page_lg2. 24: the
                           entry over the leaf table has a cache line of its own, too */
};

/* 1 source, no PASID, 1 lane, pages of 4 KiB, the engine's default caches.
 *
 * Address spaces: each source has one; with PASIDs, each PASID has one that all sources share, as
 * processes do. All pages together cover at most 64 TiB, from 4 GiB to 128 TiB. */
void bench_world_config_init(struct bench_world_config *config, enum bench_way way, uint32_t pages);

struct bench_world;

struct bench_world *bench_world_create(const struct bench_world_config *config);
void bench_world_destroy(struct bench_world *world);

struct ciommu_unit *bench_world_unit(const struct bench_world *world);
struct ciommu_port *bench_world_port(const struct bench_world *world, uint32_t lane);

/* Translates every page of every requester once through every lane, so that caches hold what they
 * can. */
void bench_world_warm(struct bench_world *world);

/* Fills `requests` with fresh random ones (reads of 1 byte, 8-byte aligned) from `*seed` on, and
 * `answers` (NULL = not wanted) with the output addresses. `skew` 0 = uniform; otherwise that many
 * per cent of the requests go to one per cent of the pages. */
void bench_world_choose(const struct bench_world *world, uint64_t *seed, uint32_t skew,
                        struct ciommu_request *requests, uint64_t *answers, uint32_t count);

/* How the loops below ask. */
enum bench_manner {
    BENCH_SINGLE,  /* a section for each */
    BENCH_EMPTY,   /* the section alone, and no translation: the least that BENCH_SINGLE can take */
    BENCH_SECTION, /* one section around all */
    BENCH_BATCH,   /* batches of 32 */
    BENCH_BATCH_16 /* batches of 16 */
};

/* Nanoseconds that the loop took, all requests together; checks every answer. */
uint64_t bench_world_translate(struct bench_world *world, uint32_t lane, enum bench_manner manner,
                               const struct ciommu_request *requests, const uint64_t *answers,
                               uint32_t count);

/* Drops the page of the first requester that holds `iova` / its whole domain, from any thread, as a
 * guest's invalidation would, or by a change of rights in a paging domain; returns when it is done.
 * Not for pass-through. */
void bench_world_invalidate_page(struct bench_world *world, uint64_t iova);
void bench_world_invalidate_domain(struct bench_world *world);

/* What an invalidation covers, of the first requester. */
enum bench_scope {
    BENCH_SCOPE_PAGE,
    BENCH_SCOPE_RANGE, /* 512 pages of 4 KiB from `iova` on */
    BENCH_SCOPE_PASID, /* a guest's first stage or nested tables only: all of a PASID */
    BENCH_SCOPE_DOMAIN,
    BENCH_SCOPE_GLOBAL /* a guest's tables only: everything */
};

/* As bench_world_invalidate_page, for every scope; nanoseconds from the call to completion. */
uint64_t bench_world_invalidate(struct bench_world *world, enum bench_scope scope, uint64_t iova);

/* Exchanges what two pages of a guest's first requester lead to; whoever caches them must be told.
 */
void bench_world_swap(struct bench_world *world, uint32_t page, uint32_t other);

/* Empties every cache, then translates the first `pages` pages of the first requester through lane
 * 0. */
void bench_world_fill(struct bench_world *world, uint32_t pages);

/* ---- Baselines: the same tables behind the usual designs ---- */

enum bench_design {
    BENCH_MUTEX_TABLE, /* one mutex around a chained hash table keyed by (source, PASID, page,
                          level) and around the walk; flushed whole at 1,024 entries */
    BENCH_TREE,        /* a reader-writer lock over an ordered map */
    BENCH_RCU_TABLE    /* cds_lfht, read under RCU */
};

struct bench_baseline;

/* A cache of this design over the world's tables (ways GUEST_SECOND and GUEST_NESTED); `caches`
 * false: no cache, only the lock or read section, and the walk. The world outlives it. */
struct bench_baseline *bench_baseline_create(const struct bench_world *world,
                                             enum bench_design design, bool caches);
void bench_baseline_destroy(struct bench_baseline *baseline);

/* As bench_world_translate; batches take the lock, or enter the read section, once. */
uint64_t bench_baseline_translate(struct bench_baseline *baseline, enum bench_manner manner,
                                  const struct ciommu_request *requests, const uint64_t *answers,
                                  uint32_t count);

void bench_baseline_warm(struct bench_baseline *baseline);

/* Removes, and waits until nobody uses what was removed. A page: worlds with pages of 4 KiB only.
 */
void bench_baseline_invalidate_page(struct bench_baseline *baseline, uint64_t iova);
void bench_baseline_invalidate_domain(struct bench_baseline *baseline);

/* ---- Many threads ---- */

/* Threads that translate at the same time: the caller, and `threads` - 1 that wait, spinning, for
 * what it asks. These are tied to the processors from the second on; the caller may tie itself to
 * the first. */
struct bench_team;

struct bench_team *bench_team_create(uint32_t threads);
void bench_team_destroy(struct bench_team *team);

/* Every thread translates `count` requests of its own (thread n those from n * count on), through
 * lane n. Nanoseconds from the first start to the last end. Called by the thread that made the
 * team. */
uint64_t bench_team_world(struct bench_team *team, struct bench_world *world,
                          enum bench_manner manner, const struct ciommu_request *requests,
                          const uint64_t *answers, uint32_t count);
uint64_t bench_team_baseline(struct bench_team *team, struct bench_baseline *baseline,
                             enum bench_manner manner, const struct ciommu_request *requests,
                             const uint64_t *answers, uint32_t count);

/* The same for `count` rounds of six additions in registers, and what one thread takes for them:
 * how far the machine itself is from doing twice the work with two threads. */
uint64_t bench_team_additions(struct bench_team *team, uint32_t count);
uint64_t bench_additions(uint32_t count);

/* A thread beside, on the second processor if there is one, that translates random addresses in
 * batches of 32 without pause. It has made a hundred batches when the call returns. */
struct bench_busy;

struct bench_busy *bench_busy_world(struct bench_world *world, uint32_t lane);
struct bench_busy *bench_busy_baseline(struct bench_baseline *baseline);
/* Stops it; how many translations it made. */
uint64_t bench_busy_stop(struct bench_busy *busy);

/* ---- Bare loads ---- */

struct bench_loads;

/* A random cycle through `bytes` (8 KiB lies in the first cache, 512 MiB in no cache). */
struct bench_loads *bench_loads_create(uint64_t bytes);
void bench_loads_destroy(struct bench_loads *loads);

/* Nanoseconds of `count` loads that wait for each other. */
uint64_t bench_loads_follow(struct bench_loads *loads, uint32_t count);

/* Nanoseconds of the same loop over the requests without any translation. */
uint64_t bench_loop_alone(const struct ciommu_request *requests, const uint64_t *answers,
                          uint32_t count);

/* ---- Faults ---- */

/* Where a fault goes. */
enum bench_fault_store {
    BENCH_FAULT_NOWHERE,     /* the request says that none is recorded */
    BENCH_FAULT_ENGINE,      /* the engine's queue, which is polled */
    BENCH_FAULT_MUTEX_QUEUE, /* a ring of events under a mutex */
    BENCH_FAULT_TREE,        /* an ordered map of events under a reader-writer lock */
    BENCH_FAULT_WAIT_FREE    /* liburcu's wfcqueue, its nodes from a pool */
};

/* A unit with a device to which nothing is attached, and all those stores. One thread uses it. */
struct bench_faults;

struct bench_faults *bench_faults_create(void);
void bench_faults_destroy(struct bench_faults *faults);

/* Nanoseconds of `count` (at most 256) requests that fault, recorded in `store`. Reads the store
 * empty afterwards, outside of the time, and checks that all have arrived. */
uint64_t bench_faults_record(struct bench_faults *faults, enum bench_fault_store store,
                             uint32_t count);

/* ---- What a host sets up, and interrupt messages ---- */

enum bench_step {
    BENCH_STEP_UNIT,   /* a unit with the default configuration */
    BENCH_STEP_PORT,   /* a port of it */
    BENCH_STEP_MAP,    /* 1 GiB in pages of 4 KiB, one call */
    BENCH_STEP_UNMAP,  /* the same away again */
    BENCH_STEP_ATTACH, /* a domain to a device */
    BENCH_STEP_REPLACE /* what is attached by another domain */
};

/* A unit, a device and domains. One thread uses it. */
struct bench_setup;

struct bench_setup *bench_setup_create(void);
void bench_setup_destroy(struct bench_setup *setup);

/* Takes one step, undoes it, and returns the nanoseconds of the step alone. `*bytes` (may be NULL)
 * is the memory that it took; meant for UNIT and PORT. */
uint64_t bench_setup_take(struct bench_setup *setup, enum bench_step step, int64_t *bytes);

/* 1,024 armed entries of a message store, all of one PASID, delivered through the remapping table.
 * One thread uses it. */
struct bench_messages;

struct bench_messages *bench_messages_create(void);
void bench_messages_destroy(struct bench_messages *messages);

/* Nanoseconds of `count` delivery checks in one section; each must say that it delivers. */
uint64_t bench_messages_deliver(struct bench_messages *messages, uint32_t count);

#ifdef __cplusplus
}
#endif
#endif
