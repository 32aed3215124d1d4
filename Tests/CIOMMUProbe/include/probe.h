/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * probe.h - the tests' way to the kernel's internals: protocol mutants, yield points, and stress
 * worlds whose readers check every answer.
 */
#ifndef CIOMMU_PROBE_H
#define CIOMMU_PROBE_H

#include <stdbool.h>
#include <stdint.h>

/* How many mutants there are, and what they break. False and "" where mutants are compiled out
 * (release). */
bool probe_has_mutants(void);
uint32_t probe_mutant_count(void);
const char *probe_mutant_name(uint32_t mutant);

/* Breaks one rule (0 = none). Only while no engine call runs. */
void probe_set_mutant(uint32_t mutant);

enum probe_world {
    PROBE_PAGES = 0,  /* leaf entries are remapped; page, domain and global invalidations */
    PROBE_TABLES,     /* a 2 MiB region flips between two leaf tables */
    PROBE_SUPERPAGES, /* a 2 MiB region flips between a 2 MiB leaf and a table of 4 KiB leaves */
    PROBE_BINDINGS,   /* a context entry flips between two domains that other devices keep alive */
    PROBE_MEMORY,     /* host memory behind output addresses is replaced */
    PROBE_NESTED,     /* second-stage leaves under a first stage are remapped */
    PROBE_NESTED_TABLES, /* second-stage tables under a first stage are exchanged */
    PROBE_CROWD,         /* far more pages than a tiny IOTLB holds; nothing changes */
    PROBE_EVICTIONS,     /* pages, with pools far too small for the devices that translate */
    PROBE_WORLDS
};

const char *probe_world_name(uint32_t world);

struct probe_options {
    uint32_t world;
    uint32_t mutant;
    uint32_t readers;      /* threads */
    uint32_t milliseconds; /* longest run; ends at the first violation */
    uint64_t seed;
    uint32_t iotlb_entries;
    uint32_t first_level_entries;
    uint32_t walk_cache_entries; /* 0 = all that is not in the first level goes to the IOTLB */
    bool portable;               /* the IOTLB without 16-byte loads */
    bool widen;                  /* yield and sleep at the yield points */
    bool slow_stores; /* keep the readers' store buffers busy, so that a missing barrier shows */
};

struct probe_result {
    uint64_t violations;
    uint64_t reads;
    uint64_t changes;
    uint64_t first_level_hits;
    uint64_t iotlb_hits;
    uint64_t walks;
    char first[160]; /* what the first violation was; "" */
};

/* Runs a world. 0, or the ciommu_status that setup failed with. */
int probe_stress(const struct probe_options *options, struct probe_result *result);

/* Deterministic check: read, then write, through a first-stage page whose D bit is clear. True when
 * D was set before the write was granted. */
bool probe_dirty_bit_precedes_write(void);

/* The most pages out of `pages` at a stride of `stride` pages that share a set of an IOTLB with
 * `entries` entries, against the mean. */
double probe_iotlb_crowding(uint32_t entries, uint32_t pages, uint64_t stride, bool portable);

/* Forces the tags of a fresh world to run out `renewals` times while two spaces translate; the
 * number of wrong answers. */
uint64_t probe_tag_renewal_errors(uint32_t renewals);

/* Fails the n-th allocation in the life of a memory map, a unit, a port and an observer, for every
 * n. `*lives` is how many were tried. The number of calls that answered anything but success or
 * "out of memory". UINT64_MAX where failures cannot be injected (release). */
uint64_t probe_allocation_failure_errors(uint32_t *lives);

/* ---- PASID tables ---- */

/* Random reservations, fills, sets and clears beside a plain array of 2^20 pointers, with failing
 * allocations in between (`*refused` counts them; none in release). The number of differences: in
 * lookups, in the tables that exist for what is in them, and in what a refused reservation left. */
uint64_t probe_pasid_table_errors(uint64_t seed, uint32_t steps, uint64_t *refused);

/* Two threads look up while one splits, fills, sets and clears. The number of values that were
 * never there, or were missing where something always is. */
uint64_t probe_pasid_table_race_errors(uint64_t seed, uint32_t milliseconds, uint64_t *lookups);

/* ---- PASID namespaces ---- */

/* Random binds and unbinds in a namespace of first...last beside plain arrays. The number of
 * differences. */
uint64_t probe_namespace_errors(uint64_t seed, uint32_t first, uint32_t last, uint32_t steps);

/* Fails the n-th allocation in the life of a namespace, for every n, as
 * probe_allocation_failure_errors. */
uint64_t probe_namespace_failure_errors(uint32_t *lives);

enum probe_namespace_rule {
    PROBE_NAMESPACE_SOUND = 0,
    PROBE_NAMESPACE_REUSED_EARLY,      /* unbind does not wait for sections */
    PROBE_NAMESPACE_QUARANTINE_IGNORED /* nor does what follows a drain that timed out */
};

/* The mutant that breaks the rule. */
uint32_t probe_namespace_mutant(enum probe_namespace_rule rule);

struct probe_namespace_options {
    uint32_t rule; /* the one that is broken */
    uint32_t readers;
    uint32_t binders;
    uint32_t milliseconds; /* longest run; ends at the first violation */
    uint64_t drain_timeout;
    uint64_t seed;
};

struct probe_namespace_result {
    uint64_t violations;
    uint64_t lookups;  /* that found something */
    uint64_t binds;    /* done */
    uint64_t drained;  /* unbinds that answered CIOMMU_OK */
    uint64_t timeouts; /* and CIOMMU_TIMED_OUT */
    uint64_t refused;  /* binds: the host PASID is taken, or none is free */
    char first[160];   /* what the first violation was; "" */
};

/* Readers keep what they looked up until their section ends, beside threads that bind and unbind.
 * 0, or the ciommu_status that setup failed with. */
int probe_namespace_stress(const struct probe_namespace_options *options,
                           struct probe_namespace_result *result);

#endif
