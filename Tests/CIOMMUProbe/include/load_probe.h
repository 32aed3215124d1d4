/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * load_probe.h - what an answer costs: loads of table words, and marks that are lost to a guest.
 */
#ifndef CIOMMU_LOAD_PROBE_H
#define CIOMMU_LOAD_PROBE_H

#include <stdint.h>

/* How many words of guests' tables the calling thread has ever loaded, or tried to mark. 0 where
 * nothing is counted (release). */
uint64_t probe_guest_loads(void);

/* Memory of a guest. */
struct probe_words {
    uint64_t *words;
    uint64_t count;
};

/* From now on the guest is faster than the next `times` marks: a bit that means nothing in paging
 * entries is turned over in all that is not zero, before the mark is stored. `ranges` must live
 * until probe_marks_end. One thread. */
void probe_marks_lose(const struct probe_words *ranges, uint32_t count, uint32_t times);

/* Turns everything back. How many marks were disturbed. */
uint32_t probe_marks_end(void);

#endif
