/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * history_bytes_unit.c - calls of history_bytes.h that change the memory map and the unit.
 */
#include "history_bytes.h"

#include <stdlib.h>

/* ---- Memory and the unit ---- */

static unsigned char *new_copy(struct bytes_world *world, uint32_t number, uint32_t *copy) {
    unsigned char *host = aligned_alloc(64, BYTES_RANGE_PAGES * BYTES_PAGE);
    *copy = ++world->copies & 0xffff;
    for (uint32_t page = 0; host != NULL && page < BYTES_RANGE_PAGES; page++) {
        *(uint64_t *)(void *)(host + page * BYTES_PAGE) =
            bytes_stamp(number * BYTES_RANGE_PAGES + page, *copy);
    }
    return host;
}

/* What nobody uses any more, or not yet. */
static void let_go(struct bytes_world *world, unsigned char *host, enum ciommu_status status) {
    if (status == CIOMMU_TIMED_OUT) {
        world->old[world->old_count++] = host;
    } else {
        free(host);
    }
}

void bytes_change_memory(struct bytes_world *world, struct bytes_reader *reader) {
    uint32_t byte = bytes_take(reader);
    uint32_t number = byte % BYTES_RANGES;
    uint32_t rights = (byte & 64) != 0 ? CIOMMU_READ : BYTES_RW;
    uint32_t copy = 0;
    bool removes = (byte & 24) == 24;
    unsigned char *old = world->ranges[number];
    unsigned char *host = removes ? NULL : new_copy(world, number, &copy);
    if ((host == NULL && !removes) || world->old_count == sizeof world->old / sizeof old) {
        free(host);
        return;
    }
    const struct ciommu_memory_range range = {
        .size = sizeof range,
        .rights = rights,
        .address = BYTES_OUTPUT + number * BYTES_RANGE_PAGES * BYTES_PAGE,
        .length = BYTES_RANGE_PAGES * BYTES_PAGE,
        .host = host,
    };
    uint64_t begin = bytes_begin(world);
    enum ciommu_status status =
        removes            ? ciommu_memory_remove(world->memory, range.address, range.length)
        : (byte & 24) == 8 ? ciommu_memory_add(world->memory, &range)
                           : ciommu_memory_replace(world->memory, &range);
    bool done = status == CIOMMU_OK || status == CIOMMU_TIMED_OUT;
    bool proper = ((byte & 24) == 8) == (old == NULL);
    if (done != proper) {
        bytes_complain(world, "a change of memory was refused, or should have been");
    }
    if (!done) {
        free(host);
        return;
    }
    bytes_changed(world, begin, status, number, copy, removes ? 0 : rights);
    world->ranges[number] = host;
    let_go(world, old, status);
}

void bytes_change_unit(struct bytes_world *world, struct bytes_reader *reader) {
    uint32_t byte = bytes_take(reader);
    uint64_t begin = bytes_begin(world);
    enum ciommu_status status;
    switch (byte % 4) {
    case 0:
        (void)ciommu_unit_set_root(world->unit, byte / 4 % 2 == 0 ? 0 : bytes_directory());
        break;
    case 1:
        (void)ciommu_unit_set_translation(world->unit, byte / 4 % 2 == 0);
        break;
    case 2:
        (void)ciommu_unit_drain(world->unit, NULL);
        break;
    default:
        if (byte / 4 % 8 != 0) { /* it ends all that came before: rarely */
            break;
        }
        status = ciommu_unit_reset(world->unit);
        for (uint32_t device = 0; device < BYTES_DEVICES; device++) {
            bytes_forget_device(world, begin, status, device);
        }
        for (uint32_t pasid = BYTES_SLICE; world->slice != NULL && pasid < BYTES_PASIDS; pasid++) {
            bytes_changed(world, begin, status, bytes_binding(0, pasid), 0, 0);
        }
    }
}
