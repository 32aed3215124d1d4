/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * samples.h - what the benchmark programs share: a clock, samples, and rows of minimum, median,
 * 99th percentile and the ratio to a baseline.
 */
#ifndef SAMPLES_H
#define SAMPLES_H

#include <ciommu.h>
#include <stddef.h>
#include <stdint.h>

/* Ends the program with a message unless the call answered CIOMMU_OK. */
void must_answer(enum ciommu_status status, const char *what);
#define CHECK(call) must_answer((call), #call)

/* Monotonic nanoseconds. */
uint64_t now(void);

struct samples {
    double *values;
    size_t count;
    size_t capacity;
};

void add(struct samples *samples, double value);

/* Prints one row and forgets the samples. */
void report(const char *what, struct samples *ours, struct samples *baseline);

#endif
