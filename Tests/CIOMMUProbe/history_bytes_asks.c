/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * history_bytes_asks.c - the translating calls of history_bytes.h: one address, many, a range,
 * copies; and a device that keeps answers (ATS).
 */
#include "history_bytes.h"

#define MANY 4u

static uint32_t source_of(uint32_t device) {
    return 16 + 8 * device;
}

/* One question out of two bytes. */
struct asking {
    uint32_t device;
    uint32_t pasid;
    uint32_t page;
    uint32_t access;
};

static bool ask(struct bytes_world *world, struct bytes_reader *reader, struct asking *asking) {
    uint32_t byte = bytes_take(reader);
    uint32_t page = bytes_take(reader);
    asking->device = byte % BYTES_DEVICES;
    asking->pasid = byte / 2 % BYTES_PASIDS;
    /* The first ones most often, so that changes meet what was cached. */
    asking->page = page % ((page & 64) != 0 ? BYTES_PAGES : BYTES_LEAVES);
    asking->access = (byte & 16) != 0 ? BYTES_RW : (byte & 32) != 0 ? CIOMMU_WRITE : CIOMMU_READ;
    return world->devices[asking->device] != NULL;
}

static enum bytes_form form_of(const struct ciommu_result *result, bool inside) {
    if (result->outcome != CIOMMU_TRANSLATED_OK) {
        return BYTES_FAULT;
    }
    return result->host != NULL ? BYTES_MAPPED : inside ? BYTES_NO_HOST : BYTES_UNLOOKED;
}

/* A device that did not answer is blocked: what it is refused says nothing. */
static void answer(struct bytes_world *world, const struct asking *asking,
                   const struct ciommu_result *result, bool inside) {
    enum bytes_form form = form_of(result, inside);
    if (form != BYTES_FAULT && (asking->access & CIOMMU_WRITE) != 0) {
        bytes_wrote(world, bytes_binding(asking->device, asking->pasid), asking->page, result);
    }
    if (form != BYTES_FAULT || !world->ever_silent || asking->device != 0) {
        bytes_answer(world, bytes_binding(asking->device, asking->pasid), asking->page,
                     asking->access, form, result);
    }
}

static void translate(struct bytes_world *world, const struct asking *asking, uint32_t offset,
                      uint32_t flags, bool borrows) {
    struct ciommu_result result = {.size = sizeof result};
    enum ciommu_status status = ciommu_translate(
        world->unit, borrows ? NULL : world->port, source_of(asking->device),
        bytes_pasid(asking->pasid), BYTES_IOVA + asking->page * BYTES_PAGE + offset, asking->access,
        flags, &result);
    if (status != CIOMMU_OK) {
        bytes_complain(world, "a translation was refused");
        return;
    }
    if (result.outcome == CIOMMU_TRANSLATED_OK && result.address % BYTES_PAGE != offset) {
        bytes_complain(world, "another offset");
    }
    answer(world, asking, &result, world->depth != 0 && !borrows);
}

void bytes_translate(struct bytes_world *world, struct bytes_reader *reader) {
    struct asking asking;
    uint32_t byte = bytes_take(reader);
    if (ask(world, reader, &asking)) {
        uint32_t flags = (byte & 1) != 0 ? CIOMMU_NO_FAULT : 0;
        flags |= (byte & 6) == 6 ? CIOMMU_NO_CACHE : 0;
        translate(world, &asking, (byte & 8) != 0 ? 0x123 : 0, flags, (byte & 48) == 48);
    }
}

/* In one section of its own or the caller's: as a batch, or pages in a row. */
void bytes_translate_many(struct bytes_world *world, struct bytes_reader *reader) {
    struct asking asking[MANY];
    struct ciommu_request requests[MANY];
    struct ciommu_result results[MANY];
    uint32_t done = 0;
    uint32_t count = 0;
    for (uint32_t at = 0; at < MANY; at++) {
        if (ask(world, reader, &asking[count])) {
            requests[count] = (struct ciommu_request){
                .source = source_of(asking[count].device),
                .pasid = bytes_pasid(asking[count].pasid),
                .iova = BYTES_IOVA + asking[count].page * BYTES_PAGE,
                .access = asking[count].access,
            };
            results[count] = (struct ciommu_result){.size = sizeof results[0]};
            count++;
        }
    }
    bytes_enter(world);
    if (ciommu_translate_batch(world->port, requests, results, count, &done) != CIOMMU_OK ||
        done != count) {
        bytes_complain(world, "a batch was refused");
    }
    for (uint32_t at = 0; at < done; at++) {
        answer(world, &asking[at], &results[at], true);
    }
    bytes_leave(world);
}

/* A run of pages into segments. */
static void translate_range(struct bytes_world *world, const struct asking *asking) {
    struct ciommu_segment segments[2];
    struct ciommu_progress progress = {.size = sizeof progress};
    const struct ciommu_request request = {
        .source = source_of(asking->device),
        .pasid = bytes_pasid(asking->pasid),
        .iova = BYTES_IOVA + asking->page * BYTES_PAGE,
        .length = (BYTES_PAGES - asking->page) * BYTES_PAGE,
        .access = asking->access,
    };
    bytes_enter(world);
    if (ciommu_translate_range(world->port, &request, segments, 2, &progress) != CIOMMU_OK) {
        bytes_complain(world, "a range was refused");
        progress.segments = 0;
    }
    uint64_t done = 0;
    for (uint32_t at = 0; at < progress.segments; at++) {
        for (uint64_t offset = 0; offset < segments[at].length; offset += BYTES_PAGE) {
            struct asking page = *asking;
            struct ciommu_result result = {
                .outcome = CIOMMU_TRANSLATED_OK,
                .address = segments[at].address + offset,
                .host = segments[at].host == NULL ? NULL : segments[at].host + offset,
                .rights = segments[at].rights,
            };
            page.page += (uint32_t)(done / BYTES_PAGE);
            answer(world, &page, &result, true);
            done += BYTES_PAGE;
        }
    }
    if (done != progress.done) {
        bytes_complain(world, "segments and progress differ");
    }
    bytes_leave(world);
}

void bytes_copy(struct bytes_world *world, struct bytes_reader *reader) {
    struct asking asking;
    uint32_t byte = bytes_take(reader);
    uint64_t word = byte;
    if (!ask(world, reader, &asking)) {
        return;
    }
    if (byte % 4 == 0) {
        translate_range(world, &asking);
        return;
    }
    struct ciommu_request request = {
        .source = source_of(asking.device),
        .pasid = bytes_pasid(asking.pasid),
        .iova = BYTES_IOVA + asking.page * BYTES_PAGE + (byte % 4 == 1 ? 0 : 64),
        .length = sizeof word,
    };
    struct ciommu_progress progress = {.size = sizeof progress};
    bool exchanged;
    uint64_t expected = 0;
    enum ciommu_status status;
    if (byte % 4 == 1) {
        status = ciommu_read(world->port, &request, &word, &progress);
        if (status == CIOMMU_OK && word >> 48 != 0x5eed) {
            bytes_complain(world, "read from elsewhere");
        }
    } else if (byte % 4 == 2) {
        status = ciommu_write(world->port, &request, &word, &progress);
    } else {
        status =
            ciommu_compare_exchange(world->port, &request, &expected, 1, &exchanged, &progress);
    }
    if (status != CIOMMU_OK && status != CIOMMU_FAULTED && status != CIOMMU_NO_HOST_MEMORY &&
        status != CIOMMU_READ_ONLY) {
        bytes_complain(world, "a copy was refused");
    }
    /* Afterwards the same page must say the same. */
    asking.access = byte % 4 == 1 ? CIOMMU_READ : byte % 4 == 2 ? CIOMMU_WRITE : BYTES_RW;
    translate(world, &asking, 0, CIOMMU_NO_FAULT, false);
}

/* ---- A device's cache ---- */

static uint64_t read_clock(void *context) {
    struct bytes_world *world = context;
    world->time += 1000000;
    return world->time;
}

static void hear(void *context, const struct ciommu_device_tlb_request *request) {
    struct bytes_world *world = context;
    if (world->silent) {
        return;
    }
    for (uint32_t at = 0; at < BYTES_STORED; at++) {
        struct bytes_stored *stored = &world->stored[at];
        uint64_t first = BYTES_IOVA + stored->page * BYTES_PAGE;
        if ((request->global != 0 || request->pasid == bytes_pasid(stored->pasid)) &&
            first <= request->last && first + (BYTES_PAGE - 1) >= request->first) {
            stored->rights = 0;
        }
    }
    (void)ciommu_device_tlb_answer(world->unit, request->id, true);
}

static void forget(struct bytes_world *world) {
    for (uint32_t at = 0; at < BYTES_STORED; at++) {
        world->stored[at].rights = 0;
    }
    world->token.unit = 0;
}

static void make_tlb(struct bytes_world *world, uint32_t byte) {
    const struct ciommu_device_tlb_config config = {
        .size = sizeof config,
        .flags = CIOMMU_DEVICE_TLB_ALL_PASIDS,
        .source = source_of(0),
        .pfsid = source_of(0),
        .queue_depth = 1 + byte % 4,
        .timeout = 5000000,
        .handler = hear,
        .context = world,
        .clock = read_clock,
        .clock_context = world,
    };
    if (ciommu_device_tlb_create(world->unit, &config, &world->tlb) != CIOMMU_OK) {
        world->tlb = NULL;
    }
    world->tlb_since = ++world->clock;
    forget(world);
}

static void end_tlb(struct bytes_world *world) {
    if (ciommu_device_tlb_destroy(world->tlb, NULL) != CIOMMU_IN_SECTION) {
        world->tlb = NULL;
        forget(world); /* the host resets it */
    }
}

/* Asks, and stores the answer in the same section; or keeps it with its token. */
static void fill(struct bytes_world *world, const struct asking *asking, uint32_t place,
                 bool late) {
    struct ciommu_result result = {.size = sizeof result};
    bytes_enter(world);
    enum ciommu_status status =
        ciommu_translate(world->unit, world->port, source_of(0), bytes_pasid(asking->pasid),
                         BYTES_IOVA + asking->page * BYTES_PAGE, asking->access,
                         CIOMMU_TRANSLATION_REQUEST, &result);
    if (status == CIOMMU_OK && world->tlb != NULL) {
        result.host = NULL;
        answer(world, asking, &result, false);
    }
    bool usable = status == CIOMMU_OK && result.outcome == CIOMMU_TRANSLATED_OK &&
                  world->tlb != NULL && world->section >= world->tlb_since &&
                  (result.rights & BYTES_RW) != 0 &&
                  (result.attributes & CIOMMU_ATTRIBUTE_UNTRANSLATED_ONLY) == 0;
    const struct bytes_stored stored = {
        asking->pasid, asking->page, result.address & ~(BYTES_PAGE - 1), result.rights & BYTES_RW};
    if (usable && late) {
        world->asked = stored;
        world->token = result.token;
    } else if (usable) {
        world->stored[place] = stored;
    }
    bytes_leave(world);
}

static void store_late(struct bytes_world *world, uint32_t place) {
    bytes_enter(world);
    if (world->token.unit != 0 && world->tlb != NULL &&
        ciommu_ats_token_valid(world->port, &world->token)) {
        world->stored[place] = world->asked;
    }
    world->token.unit = 0;
    bytes_leave(world);
}

static void use(struct bytes_world *world, uint32_t place) {
    const struct bytes_stored stored = world->stored[place];
    struct ciommu_result result = {.size = sizeof result};
    if (stored.rights == 0 || world->devices[0] == NULL) {
        return;
    }
    bytes_enter(world);
    uint32_t access = stored.rights & CIOMMU_READ ? CIOMMU_READ : CIOMMU_WRITE;
    enum ciommu_status status =
        ciommu_translate(world->unit, world->port, source_of(0), bytes_pasid(stored.pasid),
                         stored.address, access, CIOMMU_TRANSLATED, &result);
    if (status == CIOMMU_OK && result.outcome == CIOMMU_TRANSLATED_OK && result.host != NULL) {
        result.rights = stored.rights;
        bytes_answer(world, bytes_binding(0, stored.pasid), stored.page, access, BYTES_DEVICE_USE,
                     &result);
    }
    bytes_leave(world);
}

void bytes_ats(struct bytes_world *world, struct bytes_reader *reader) {
    uint32_t byte = bytes_take(reader);
    uint32_t place = byte / 8 % BYTES_STORED;
    struct asking asking;
    switch (byte % 8) {
    case 0:
        if (world->tlb == NULL) {
            make_tlb(world, byte >> 3);
        } else if (byte >> 6 == 3) {
            end_tlb(world);
        } else if (byte >> 6 == 2) {
            (void)ciommu_device_tlb_retry(world->tlb, NULL);
        } else if (byte >> 6 == 1 && world->depth == 0) {
            forget(world);
            (void)ciommu_device_tlb_reset(world->tlb, NULL);
        }
        break;
    case 1:
        world->silent = byte >> 5 == 7;
        world->ever_silent = world->ever_silent || world->silent;
        break;
    case 2:
        store_late(world, place);
        break;
    case 3:
    case 4:
    case 5:
        if (ask(world, reader, &asking) && asking.device == 0) {
            fill(world, &asking, place, byte % 8 == 5);
        }
        break;
    default:
        use(world, place);
    }
}

void bytes_sweep(struct bytes_world *world) {
    for (uint32_t at = 0; at < BYTES_DEVICES * BYTES_PASIDS * BYTES_PAGES; at++) {
        const struct asking asking = {at % BYTES_DEVICES, at / BYTES_DEVICES % BYTES_PASIDS,
                                      at / (BYTES_DEVICES * BYTES_PASIDS),
                                      at % 3 == 0 ? CIOMMU_WRITE : CIOMMU_READ};
        if (world->devices[asking.device] != NULL) {
            bytes_enter(world);
            translate(world, &asking, 0, CIOMMU_NO_FAULT, false);
            bytes_leave(world);
        }
    }
    for (uint32_t place = 0; place < BYTES_STORED; place++) {
        use(world, place);
    }
}
