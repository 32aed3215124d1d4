/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * domain_probe.h - stress worlds of what a host sets up itself: paging domains, their superpages,
 * dirty bits, attachments. Readers check every answer. Calls use ciommu_domains.h only.
 */
#ifndef CIOMMU_DOMAIN_PROBE_H
#define CIOMMU_DOMAIN_PROBE_H

#include <stdbool.h>
#include <stdint.h>

enum probe_domain_world {
    /* Pages are mapped, protected, unmapped, mapped elsewhere; one by one and in groups. Caught:
     * no drain, one bump, a generation loaded late, tables freed early, unmap without
     * invalidation, protect without invalidation. */
    PROBE_DOMAIN_FLIPS = 0,
    /* One page of a 2 MiB page is unmapped, protected, mapped again, while readers translate all
     * the others; now and then the whole moves. Caught: a split with a gap, a merge that keeps walk
     * caches, tables freed early, kept 2 MiB answers after a split. */
    PROBE_DOMAIN_SPLITS,
    /* The same of a 1 GiB page, with holes of 4 KiB and 2 MiB. */
    PROBE_DOMAIN_HUGE_SPLITS,
    /* A PASID alternates between two domains. Caught: a replace with a gap, bindings kept over a
     * table change, no drain, a binding published after an unlink. */
    PROBE_DOMAIN_REPLACE,
    /* PASIDs are attached, replaced, detached; the device is reset and made again, domains come and
     * go. Caught: a detach that does not move tablegen, a domain's place reused too early, and
     * those of the world before. */
    PROBE_DOMAIN_ATTACH,
    /* PROBE_DOMAIN_FLIPS on a parent, read through some of its 1,000 nested children. Caught:
     * parent changes that do not reach children, no drain. */
    PROBE_DOMAIN_CHILDREN,
    /* Many threads change neighbouring pages of one 2 MiB page, each its own, and one switches
     * dirty tracking; each must find its own pages as it left them. Caught: edits that lose one
     * another, a split or merge without the lock. */
    PROBE_DOMAIN_MAPPERS,
    /* Writers beside a reader of dirty bits, as a live migration. 4 KiB pages. Caught: D cleared
     * without invalidation, rights granted without D, no drain. */
    PROBE_DOMAIN_DIRTY,
    /* The same with 2 MiB pages that stay, but for one that is cut by a protect. Caught, besides: D
     * lost in a split, a split with a gap. */
    PROBE_DOMAIN_DIRTY_LARGE,
    /* The same with pages that tracking splits, stopped and started over and over. */
    PROBE_DOMAIN_DIRTY_SPLIT,
    /* Writers go through nested children; the parent is tracked. */
    PROBE_DOMAIN_DIRTY_NESTED,
    PROBE_DOMAIN_WORLDS
};

const char *probe_domain_world_name(uint32_t world);

struct probe_domain_options {
    uint32_t world;
    uint32_t mutant;
    uint32_t readers;      /* threads, up to 16; writers in the worlds of dirty bits */
    uint32_t milliseconds; /* longest run; ends at the first violation */
    uint32_t rounds;       /* fewest rounds of dirty bits before `milliseconds` counts */
    uint64_t seed;
    uint32_t iotlb_entries;
    uint32_t first_level_entries;
    uint32_t walk_cache_entries;
    bool portable; /* the IOTLB without 16-byte loads */
    bool widen;    /* yield and sleep at the yield points */
};

struct probe_domain_result {
    uint64_t violations;
    uint64_t reads;   /* sections of readers or writers */
    uint64_t changes; /* or rounds of dirty bits */
    uint64_t writes;
    uint64_t first_level_hits;
    uint64_t iotlb_hits;
    uint64_t walks;
    char first[200]; /* what the first violation was; "" */
};

/* Runs a world. 0, or the ciommu_status that setup failed with. */
int probe_domain_stress(const struct probe_domain_options *options,
                        struct probe_domain_result *result);

/* The next `allocations` requests of the engine for memory succeed, the one after fails; negative:
 * none fails. Returns what was left of the last number. INT_MIN where failures cannot be injected
 * (release). */
int probe_allocations(int allocations);

/* From now on only one request fails, and those after it succeed; or all after it fail too. */
void probe_allocations_fail_once(bool once);

/* Bytes that malloc has handed out and not got back; 0 under a sanitizer with its own allocator. */
uint64_t probe_heap_bytes(void);

/* Waits until everything that was given up before has been freed: liburcu's thread then holds no
 * lock that would make an answer uncached. */
void probe_wait_for_reclamation(void);

#endif
