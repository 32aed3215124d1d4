/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * access.c - scatter lists and copies as a device model in C writes them; invalidations.
 */
#include "engine_in_c.h"
#include "samples.h"

#include <ciommu_inline.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PAGE 4096u
#define MOST_SEGMENTS 16u

static void must_be_right(uint64_t wrong) {
    if (wrong != 0) {
        fputs("a wrong answer\n", stderr);
        exit(1);
    }
}

void engine_mark_page(struct ciommu_port *port, const struct ciommu_request *request) {
    uint64_t words[PAGE / sizeof(uint64_t)];
    struct ciommu_progress progress = {.size = sizeof progress};
    struct ciommu_request page = *request;
    page.iova &= ~(uint64_t)(PAGE - 1);
    page.length = PAGE;
    for (uint32_t word = 0; word < PAGE / sizeof *words; word++) {
        words[word] = page.iova + word * sizeof *words;
    }
    CHECK(ciommu_write(port, &page, words, &progress));
}

void engine_list(struct ciommu_port *port, const struct ciommu_request *requests, uint32_t count) {
    struct ciommu_segment segments[MOST_SEGMENTS];
    uint64_t wrong = 0;
    for (uint32_t index = 0; index < count; index++) {
        struct ciommu_progress progress = {.size = sizeof progress};
        ciommu_enter(port);
        wrong |= ciommu_translate_range(port, &requests[index], segments, MOST_SEGMENTS, &progress);
        wrong |= progress.done ^ requests[index].length;
        wrong |= segments[0].host == NULL
                     ? 1
                     : *(uint64_t *)(void *)segments[0].host ^ requests[index].iova;
        ciommu_leave(port);
    }
    must_be_right(wrong);
}

/* The memory of a request: from the first level, or else from a scatter list of one segment. */
static inline __attribute__((always_inline)) const unsigned char *
memory_of(struct ciommu_port *port, const struct ciommu_request *request) {
    struct ciommu_segment segment;
    if (ciommu_first_level_lookup(port, request->source, request->pasid, request->iova,
                                  request->access, &segment) &&
        segment.length >= request->length) {
        return segment.host;
    }
    struct ciommu_progress progress = {.size = sizeof progress};
    if (ciommu_translate_range(port, request, &segment, 1, &progress) != CIOMMU_OK ||
        progress.done != request->length) {
        return NULL;
    }
    return segment.host;
}

void engine_access(struct ciommu_port *port, const struct ciommu_request *requests,
                   uint32_t count) {
    unsigned char bytes[PAGE];
    uint64_t wrong = 0;
    for (uint32_t index = 0; index < count; index++) {
        ciommu_enter(port);
        const unsigned char *memory = memory_of(port, &requests[index]);
        if (memory == NULL) {
            wrong = 1;
        } else {
            memcpy(bytes, memory, requests[index].length);
        }
        ciommu_leave(port);
        uint64_t word;
        memcpy(&word, bytes, sizeof word);
        wrong |= word ^ requests[index].iova;
    }
    must_be_right(wrong);
}

void engine_invalidate(struct ciommu_unit *unit, const struct ciommu_invalidation *invalidation,
                       uint32_t count) {
    struct ciommu_statistics before = {.size = sizeof before};
    struct ciommu_statistics after = {.size = sizeof after};
    ciommu_unit_statistics(unit, &before);
    for (uint32_t index = 0; index < count; index++) {
        CHECK(ciommu_invalidate(unit, NULL, invalidation));
    }
    ciommu_unit_statistics(unit, &after);
    must_be_right(after.invalidations - before.invalidations - count);
}
