/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * history_bytes.c - calls of the public interface out of bytes. Translations are in
 * history_bytes_asks.c. What a call answers decides what is written down; what it refuses must have
 * changed nothing, which the answers show.
 */
#include "history_bytes.h"
#include "history_probe.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define STEPS 160u
#define RESERVE 600u /* records kept for the last sweep */

uint32_t bytes_take(struct bytes_reader *reader) {
    return reader->at < reader->count ? reader->bytes[reader->at++] : 0;
}

/* ---- What the calls share ---- */

uint32_t bytes_rights(uint32_t byte) {
    return byte % 4 == 0 ? CIOMMU_READ : byte % 4 == 1 ? CIOMMU_WRITE : BYTES_RW;
}

struct ciommu_port *bytes_port(struct bytes_world *world, uint32_t byte) {
    return byte % 2 == 0 ? world->port : NULL;
}

void bytes_check_section(struct bytes_world *world, const struct ciommu_port *port,
                         enum ciommu_status status) {
    bool refused = status == CIOMMU_IN_SECTION;
    if (world->depth == 0 ? refused
                          : port != NULL && (status == CIOMMU_OK || status == CIOMMU_TIMED_OUT)) {
        bytes_complain(world, refused ? "refused outside of sections" : "not refused in a section");
    }
}

uint32_t bytes_instance(const struct bytes_world *world, struct bytes_reader *reader) {
    return bytes_take(reader) % world->made;
}

uint32_t bytes_pasid(uint32_t number) {
    return number == 0 ? CIOMMU_NO_PASID : number;
}

void bytes_forget_device(struct bytes_world *world, uint64_t begin, enum ciommu_status status,
                         uint32_t device) {
    for (uint32_t pasid = 0; pasid < BYTES_PASIDS; pasid++) {
        if (world->slice == NULL || bytes_owner(world, device, pasid) != world->slice) {
            bytes_changed(world, begin, status, bytes_binding(device, pasid), 0, 0);
        }
    }
}

static void section(struct bytes_world *world, struct bytes_reader *reader) {
    uint32_t byte = bytes_take(reader);
    if (byte % 2 == 0 && world->depth < 4) {
        bytes_enter(world);
    } else if (world->depth != 0) {
        bytes_leave(world);
    }
}

/* ---- All of it ---- */

bool bytes_step(struct bytes_world *world, struct bytes_reader *reader) {
    static void (*const calls[])(struct bytes_world *, struct bytes_reader *) = {
        bytes_make_domain,
        bytes_destroy_domain,
        bytes_map,
        bytes_map,
        bytes_unmap,
        bytes_protect,
        bytes_track,
        bytes_change_device,
        bytes_attach,
        bytes_attach,
        bytes_bind,
        bytes_guest_write,
        bytes_guest_write,
        bytes_invalidate_nested,
        bytes_describe,
        bytes_invalidate,
        bytes_change_memory,
        bytes_change_memory,
        bytes_change_unit,
        section,
        section,
        bytes_ats,
        bytes_ats,
        bytes_copy,
        bytes_translate,
        bytes_translate,
        bytes_translate,
        bytes_translate_many,
        bytes_apply,
        bytes_name,
        bytes_slice,
        bytes_track,
    };
    if (reader->at >= reader->count || world->complaint != NULL ||
        world->log.count + RESERVE > world->log.capacity) {
        return false;
    }
    calls[bytes_take(reader) % (sizeof calls / sizeof calls[0])](world, reader);
    return true;
}

/* Random bytes seldom make a world in which much can go wrong: most inputs begin in one that these
 * have made, in the same language. */
static const uint8_t prepared[] = {
    7,  0, 7,  1,                                                    /* both devices */
    16, 8, 16, 9,  16,  10, 16, 11, 16, 12,  16, 13, 16, 14, 16, 15, /* all memory */
    0,  1, 0,  0,  2,   0,                                           /* a parent, a domain */
    2,  3, 0,  55, 192, 2,  3,  8,  55, 200,                         /* the parent's pages */
    2,  4, 0,  55, 208, 2,  4,  8,  55, 216,                         /* the domain's */
    0,  3, 3,                                                        /* a nested one */
    11, 5, 8,  0,  11,  5,  9,  1,  11, 5,   10, 2,  11, 5,  11, 3,  /* its leaves */
    11, 2, 8,  0,  11,  2,  9,  1,  11, 2,   10, 9,  11, 2,  11, 10, /* of the bound table */
    8,  0, 3,  8,  2,   5,  8,  4,  4,  8,   6,  5,                  /* device 0 */
    10, 1,                                                           /* device 1 */
};
static const uint8_t prepared_ats[] = {21, 0};

static void prepare(struct bytes_world *world, const uint8_t *bytes, size_t count) {
    struct bytes_reader reader = {bytes, count, 0};
    while (bytes_step(world, &reader)) {
    }
}

bool probe_history_bytes(const uint8_t *bytes, size_t count, char *first, size_t first_bytes) {
    struct bytes_world *world = calloc(1, sizeof *world);
    struct bytes_reader reader = {bytes, count, 0};
    const struct history_record *wrong = NULL;
    first[0] = 0;
    if (world == NULL || !bytes_world_create(world)) {
        free(world);
        return true; /* no memory is no violation */
    }
    uint32_t kind = bytes_take(&reader) % 4;
    prepare(world, prepared, kind == 0 ? 0 : sizeof prepared);
    prepare(world, prepared_ats, kind < 2 ? 0 : sizeof prepared_ats);
    for (uint32_t step = 0; step < STEPS && bytes_step(world, &reader); step++) {
    }
    while (world->depth != 0) {
        bytes_leave(world);
    }
    bytes_sweep(world);
    enum history_verdict verdict = bytes_judge(world, &wrong);
    if (world->complaint != NULL) {
        (void)snprintf(first, first_bytes, "%s", world->complaint);
    } else if (verdict != HISTORY_RIGHT) {
        (void)snprintf(first, first_bytes,
                       "attachment %u page %u access %u form %u: %" PRIx64
                       " rights %u (holds %" PRIx64 ") at %" PRIu64 "-%" PRIu64 ": %s",
                       wrong->first - BYTES_BINDINGS, wrong->last >> 8, wrong->last & 0xff,
                       wrong->scope, wrong->value, wrong->rights, wrong->seen, wrong->begin,
                       wrong->end, history_verdict_text(verdict));
    }
    bool fine = world->complaint == NULL && verdict == HISTORY_RIGHT;
    bytes_world_destroy(world);
    if (fine && world->complaint != NULL) {
        (void)snprintf(first, first_bytes, "%s", world->complaint);
        fine = false;
    }
    free(world);
    return fine;
}
