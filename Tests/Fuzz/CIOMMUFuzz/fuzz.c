/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * fuzz.c - libFuzzer's entry point, and memory whose neighbourhood traps.
 */
#define _GNU_SOURCE
#include "fuzz.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

/* Of libFuzzer, which has no header. */
int LLVMFuzzerRunDriver(int *count, char ***arguments, fuzz_one one);

enum { GUARD = 4096 };

int fuzz_run(int count, char **arguments, fuzz_one one) {
    return LLVMFuzzerRunDriver(&count, &arguments, one);
}

void *fuzz_guarded_create(size_t bytes) {
    char *start =
        mmap(NULL, bytes + 2 * (size_t)GUARD, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (start == MAP_FAILED) {
        return NULL;
    }
    if (mprotect(start + GUARD, bytes, PROT_READ | PROT_WRITE) != 0) {
        munmap(start, bytes + 2 * (size_t)GUARD);
        return NULL;
    }
    return start + GUARD;
}

void fuzz_guarded_protect(void *memory, size_t bytes, bool is_writable) {
    if (mprotect(memory, bytes, is_writable ? PROT_READ | PROT_WRITE : PROT_READ) != 0) {
        abort();
    }
}

bool fuzz_is_same(const void *one, const void *other, size_t bytes) {
    return memcmp(one, other, bytes) == 0;
}

void fuzz_clear(void *memory, size_t bytes) {
    memset(memory, 0, bytes);
}
