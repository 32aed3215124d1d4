/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * stress_probe.h - stress worlds of promise 1 for every kind of address space and page size, of
 * memory that is unmapped, of ports that come and go, of thousands of domains; and deterministic
 * cases of threads that sleep, exit or are cancelled outside and inside a section.
 */
#ifndef CIOMMU_STRESS_PROBE_H
#define CIOMMU_STRESS_PROBE_H

#include "trial_probe.h"

/* What every trial here may be set to. */
struct probe_stress_settings {
    uint32_t kind;       /* enum probe_poison_kind; of poison worlds */
    uint32_t page_lg2;   /* 12, 21 or 30; of poison worlds */
    uint32_t second_lg2; /* of a nested world's second stage; 0 = the same */
    uint32_t readers;    /* threads; 0 = as many as there are processors */
    uint32_t crowding;   /* 0, or threads for each processor: instead of `readers` */
    bool pinned;         /* each reader stays on one processor */
    bool portable;       /* the IOTLB without 16-byte loads */
    bool widen;          /* yield and sleep at the yield points */
    uint32_t iotlb_entries;
    uint32_t first_level_entries;
    uint32_t walk_cache_entries;
};

/* ---- Poisoned pages ---- */

/* What is remapped. */
enum probe_poison_kind {
    PROBE_POISON_LEGACY_3 = 0, /* legacy second stage, 3 to 5 levels */
    PROBE_POISON_LEGACY_4,
    PROBE_POISON_LEGACY_5,
    PROBE_POISON_FIRST_4, /* scalable first stage, of a PASID */
    PROBE_POISON_FIRST_5,
    PROBE_POISON_SECOND_3, /* scalable second stage */
    PROBE_POISON_SECOND_4,
    PROBE_POISON_SECOND_5,
    PROBE_POISON_NESTED_4, /* the guest's both stages, either changes */
    PROBE_POISON_NESTED_5,
    PROBE_POISON_HOST,        /* the host's paging domain */
    PROBE_POISON_NESTED_HOST, /* a guest's first stage over it, either changes */
    PROBE_POISON_IDENTITY,    /* pass-through; the memory map changes */
    PROBE_POISON_PASS,        /* the same in scalable mode, of a PASID */
    PROBE_POISON_HOST_PASS,   /* the same by the host's identity domain */
    PROBE_POISON_KINDS
};

const char *probe_poison_name(uint32_t kind);

/* Pages are remapped from A to B and invalidated at a random granularity, and A is overwritten when
 * the invalidation completed; paging structures are exchanged, and overwritten and used anew the
 * moment their invalidation completed. Nobody may read what was overwritten. */
int probe_poison_trial(const struct probe_trial *trial, const struct probe_trial_options *options,
                       struct probe_trial_result *result);

/* ---- Removed memory ---- */

/* Ranges of memory, with data and paging structures in them, leave the memory map and the process
 * beside threads that use them; then others take their place. A use of memory that is gone is
 * noticed by its signal, and counted. */
int probe_unmapped_trial(const struct probe_trial *trial, const struct probe_trial_options *options,
                         struct probe_trial_result *result);

/* ---- Ports ---- */

/* Threads make ports, hand them on, borrow from the pool and destroy them, beside invalidations.
 * Every answer is checked, and in the end that no count of the statistics was lost. */
int probe_ports_trial(const struct probe_trial *trial, const struct probe_trial_options *options,
                      struct probe_trial_result *result);

/* ---- Thousands of domains ---- */

/* 4,096 domains, attached, replaced and detached at random at 64 devices with 64 PASIDs each, while
 * threads translate through all of them. */
int probe_crowd_trial(const struct probe_trial *trial, const struct probe_trial_options *options,
                      struct probe_trial_result *result);

/* ---- All of them ---- */

/* The trials above with names and settings, and those of explore_probe.h where there are yield
 * points. */
uint32_t probe_stress_trial_count(void);
const struct probe_trial *probe_stress_trial(uint32_t number);

/* ---- Sections ---- */

/* How many cases of section_*.c there are, and their names. */
uint32_t probe_section_count(void);
const char *probe_section_name(uint32_t number);

struct probe_section_result {
    uint32_t failures;
    char first[200]; /* what the first failed expectation was; "" */
};

/* Runs a case. */
void probe_section_case(uint32_t number, struct probe_section_result *result);

#endif
