/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * check.h - what ends a benchmark: a refusal, missing memory, a wrong answer.
 */
#ifndef CIOMMU_BENCH_CHECK_H
#define CIOMMU_BENCH_CHECK_H

#include "ciommu_bench.h"

#define INLINE inline __attribute__((always_inline))

/* Prints the sentence and ends the process. */
_Noreturn void bench_fail(const char *sentence);

/* Ends the process unless the call answered CIOMMU_OK. */
void bench_must(enum ciommu_status status, const char *what);
#define CHECK(call) bench_must((call), #call)

/* Ends the process unless `wrong` is 0. */
void bench_must_be_right(uint64_t wrong);

/* Zeroed pages, huge ones where the system has them; never NULL. `what` names them if there are
 * none. */
void *bench_pages(uint64_t bytes, const char *what);
void bench_pages_free(void *pages, uint64_t bytes);

/* Zeroed memory from the heap; never NULL. */
void *bench_zeroed(uint64_t count, uint64_t size);

#endif
