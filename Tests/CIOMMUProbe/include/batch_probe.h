/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * batch_probe.h - threads for the tests of batches: a section that ends later, a guest that writes
 * to its entries meanwhile, and many threads that apply batches beside ports that check every
 * answer. Calls use the public headers only.
 */
#ifndef CIOMMU_BATCH_PROBE_H
#define CIOMMU_BATCH_PROBE_H

#include <stdbool.h>
#include <stdint.h>

struct ciommu_port;

/* A section that another thread keeps open. */
struct probe_section;

/* Returns when the section is open; it ends after that many milliseconds. NULL without memory. */
struct probe_section *probe_section_open(struct ciommu_port *port, uint32_t milliseconds);

/* Has the thread decided to leave? True before the section ends. */
bool probe_section_is_ending(const struct probe_section *section);

/* Waits for the end, and forgets it. */
void probe_section_close(struct probe_section *section);

/* A thread that stores one or the other of two contents into each word, over and over. */
struct probe_flipper;

/* `words`, `left` and `right` have `count` words and outlive it. NULL without memory. */
struct probe_flipper *probe_flipper_start(uint64_t *words, const uint64_t *left,
                                          const uint64_t *right, uint32_t count);

/* Stops it; how often it went over all words. */
uint64_t probe_flipper_stop(struct probe_flipper *flipper);

/* The word, as a guest reads what the engine stores. */
uint32_t probe_load(const uint32_t *word);

struct probe_batch_options {
    uint32_t appliers; /* threads that apply batches, up to 16 */
    uint32_t readers;  /* ports that translate */
    uint32_t batches;  /* of all threads together */
    uint32_t mutant;
    uint64_t seed;
    bool observed; /* an observer is registered, others come and go: segments of many ranges drain
                      more often */
    bool widen;    /* yield and sleep at the yield points */
};

struct probe_batch_result {
    uint64_t violations;
    uint64_t batches;
    uint64_t entries;
    uint64_t waits; /* that were told */
    uint64_t merged;
    uint64_t reads;
    uint64_t old_reads; /* answers older than the newest entry: allowed, and a sign of real races */
    char first[200];    /* what the first violation was; "" */
};

/* Threads change pages of their own, apply a batch that covers them, and note the version as
 * complete; readers' answers must not be older than what was complete when their section began, nor
 * than what becomes complete while it lasts. 0, or the ciommu_status that setup failed with. */
int probe_batch_stress(const struct probe_batch_options *options,
                       struct probe_batch_result *result);

#endif
