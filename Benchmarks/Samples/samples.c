/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * samples.c - see samples.h.
 */
#include "samples.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

void must_answer(enum ciommu_status status, const char *what) {
    if (status != CIOMMU_OK) {
        fprintf(stderr, "%s: %s\n", what, ciommu_status_text(status));
        exit(1);
    }
}

uint64_t now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (uint64_t)time.tv_sec * UINT64_C(1000000000) + (uint64_t)time.tv_nsec;
}

void add(struct samples *samples, double value) {
    if (samples->count == samples->capacity) {
        samples->capacity = samples->capacity == 0 ? 64 : 2 * samples->capacity;
        samples->values = realloc(samples->values, samples->capacity * sizeof(double));
    }
    samples->values[samples->count++] = value;
}

static int ascending(const void *left, const void *right) {
    double a = *(const double *)left;
    double b = *(const double *)right;
    return (a > b) - (a < b);
}

static double quantile(struct samples *samples, double part) {
    return samples->values[(size_t)(part * (double)(samples->count - 1))];
}

/* Prints one row and forgets the samples. */
void report(const char *what, struct samples *ours, struct samples *baseline) {
    qsort(ours->values, ours->count, sizeof(double), ascending);
    qsort(baseline->values, baseline->count, sizeof(double), ascending);
    double median = quantile(ours, 0.5);
    printf("%-58s %9.1f %9.1f %9.1f %9.1f %8.2fx\n", what, quantile(ours, 0), median,
           quantile(ours, 0.99), quantile(baseline, 0.5), median / quantile(baseline, 0.5));
    fflush(stdout);
    free(ours->values);
    free(baseline->values);
    memset(ours, 0, sizeof *ours);
    memset(baseline, 0, sizeof *baseline);
}
