/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * counters.h - what the calling thread asked of the allocator, of locks and of the system through
 * its library. The linker leads every call in this program here (--wrap; the Makefile takes the
 * names from counters.c). Calls inside shared libraries are not seen: what of them reaches the
 * kernel, filter.h stops.
 */
#ifndef COUNTERS_H
#define COUNTERS_H

#include <stdint.h>

struct counts {
    uint64_t allocations; /* and releases */
    uint64_t locks;       /* taken, tried or given back; waits and wake-ups */
    uint64_t calls;       /* of functions that are system calls */
    const char *first;    /* the first function that was counted, or NULL */
};

/* Forgets what the calling thread did so far. */
void counters_reset(void);

/* Since then. */
struct counts counters_read(void);

#endif
