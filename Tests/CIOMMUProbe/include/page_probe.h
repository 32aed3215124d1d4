/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * page_probe.h - deterministic cases of page requests (ciommu_pages.h), a reference model that
 * random steps are checked against, and stress worlds.
 */
#ifndef CIOMMU_PAGE_PROBE_H
#define CIOMMU_PAGE_PROBE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct probe_page_result {
    uint32_t failures;
    char first[200]; /* what the first failed expectation was; "" */
};

/* How many cases there are, and their names. */
uint32_t probe_page_count(void);
const char *probe_page_name(uint32_t number);
/* Runs a case, with a rule broken or none (0). */
void probe_page_case(uint32_t number, uint32_t mutant, struct probe_page_result *result);

/* Random steps against the model of page_model.c. The result names the seed and the step. */
void probe_page_model(uint64_t seed, uint64_t steps, uint32_t mutant,
                      struct probe_page_result *result);

/* The same steps, and requests and responses in their native formats, chosen by bytes: the same
 * bytes play the same. False when the model disagrees. One thread at a time. */
bool probe_page_bytes(const uint8_t *bytes, size_t count, struct probe_page_result *result);
/* Frees the empty unit that one play leaves for the next. */
void probe_page_bytes_end(void);

enum probe_page_stress {
    PROBE_PAGE_DETACH = 0, /* groups are asked for and answered while their device is detached */
    PROBE_PAGE_RESPOND,    /* threads answer the same groups, deadlines pass */
    PROBE_PAGE_ENDS        /* queues, interfaces and domains come and go beside it */
};

struct probe_page_options {
    uint32_t kind; /* enum probe_page_stress */
    uint32_t mutant;
    uint64_t rounds;       /* of the changing thread; or */
    uint32_t milliseconds; /* at most; 0: no limit */
    uint64_t seed;
    bool widen;
};

struct probe_page_totals {
    uint64_t violations; /* groups that were not answered exactly once, or after a detach */
    uint64_t groups;
    uint64_t answers;
    uint64_t responses; /* accepted */
    uint64_t refusals;  /* of responses: too late */
    uint64_t cancelled;
    uint64_t rounds;
    char first[200];
};

/* 0, or the ciommu_status that setup failed with. */
int probe_page_stress(const struct probe_page_options *options, struct probe_page_totals *totals);

struct probe_page_speed {
    double request; /* nanoseconds: a group of one page, queued */
    double respond; /* read and answered */
    double detach;  /* with nothing outstanding, page requests in use */
};
int probe_page_speed(struct probe_page_speed *speed);

#endif
