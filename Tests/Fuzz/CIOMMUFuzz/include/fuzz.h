/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * fuzz.h - what the fuzz targets need of libFuzzer and of the system, for Swift.
 */
#ifndef CIOMMU_FUZZ_H
#define CIOMMU_FUZZ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef int (*fuzz_one)(const uint8_t *bytes, size_t count);

/* Runs libFuzzer with the arguments of the command line. */
int fuzz_run(int count, char **arguments, fuzz_one one);

/* Zeroed memory of whole pages between two pages that trap; NULL if there is none. */
void *fuzz_guarded_create(size_t bytes);
/* Such memory lets itself be written, or traps. */
void fuzz_guarded_protect(void *memory, size_t bytes, bool is_writable);

/* memcmp and memset, which Swift has only with all of the system. */
bool fuzz_is_same(const void *one, const void *other, size_t bytes);
void fuzz_clear(void *memory, size_t bytes);

#endif
