/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * history_bytes_more.c - what history_bytes.h asks of the library besides translations and their
 * changes: batches of a guest's entries, PASID namespaces, slices of a device, and which pages are
 * dirty. In a section everything that waits is refused, for there is one thread.
 */
#include "history_bytes.h"

#include <string.h>

/* ---- Dirty pages ---- */

/* A write was granted. Which domain it went through is certain while nothing is on its way. */
void bytes_wrote(struct bytes_world *world, uint32_t binding, uint32_t page,
                 const struct ciommu_result *result) {
    const struct history_state *bound = &world->now[binding];
    uint32_t number = (uint32_t)bound->value;
    world->writes++;
    if (bound->rights == 0 || number < BYTES_FIRST_MADE || number >= world->made ||
        world->pending_count != 0 || world->instances[number].parent != 0) {
        return;
    }
    const struct history_state *leaf = &world->now[bytes_element(number, page)];
    if ((leaf->rights & CIOMMU_WRITE) != 0 &&
        leaf->value == (result->address & ~(BYTES_PAGE - 1))) {
        world->dirty[number].pages |= UINT64_C(1) << page;
    }
}

static void start(struct bytes_world *world, uint32_t number, struct ciommu_port *port,
                  uint32_t flags) {
    struct bytes_dirty *dirty = &world->dirty[number];
    enum ciommu_status status = ciommu_dirty_start(world->instances[number].domain, port, flags);
    bytes_check_section(world, port, status);
    if (status == CIOMMU_OK) {
        *dirty = (struct bytes_dirty){.certain = true, .writes = world->writes};
    } else if (status == CIOMMU_TIMED_OUT) {
        dirty->certain = false; /* a section goes on writing as before */
    }
}

static void read_dirty(struct bytes_world *world, uint32_t number, struct ciommu_port *port,
                       uint32_t flags) {
    struct bytes_dirty *dirty = &world->dirty[number];
    uint64_t bitmap = 0;
    enum ciommu_status status =
        ciommu_dirty_read(world->instances[number].domain, port, BYTES_IOVA,
                          BYTES_PAGES * BYTES_PAGE, BYTES_PAGE, &bitmap, flags);
    bytes_check_section(world, port, status);
    if (status != CIOMMU_OK && status != CIOMMU_TIMED_OUT) {
        return;
    }
    uint64_t present = 0;
    for (uint32_t page = 0; page < BYTES_PAGES; page++) {
        bool there = world->now[bytes_element(number, page)].rights != 0;
        present |= (uint64_t)there << page;
    }
    if (dirty->certain && (dirty->pages & ~bitmap) != 0) {
        bytes_complain(world, "a page was written and is not dirty");
    }
    if (dirty->certain && dirty->writes == world->writes && bitmap != 0) {
        bytes_complain(world, "nothing was written, and a page is dirty");
    }
    if ((bitmap & ~present) != 0) {
        bytes_complain(world, "a page is dirty that is not mapped");
    }
    if ((flags & CIOMMU_DIRTY_NO_CLEAR) == 0) {
        dirty->pages = 0;
        dirty->certain = dirty->certain && status == CIOMMU_OK;
    }
}

void bytes_track(struct bytes_world *world, struct bytes_reader *reader) {
    uint32_t number = bytes_instance(world, reader);
    uint32_t byte = bytes_take(reader);
    struct ciommu_port *port = bytes_port(world, byte);
    struct ciommu_domain *domain = world->instances[number].domain;
    if (domain == NULL) {
        return;
    }
    switch (byte / 2 % 3) {
    case 0:
        start(world, number, port, (byte & 64) != 0 ? CIOMMU_DIRTY_SPLIT : 0);
        break;
    case 1:
        bytes_check_section(world, NULL, ciommu_dirty_stop(domain, NULL));
        world->dirty[number].certain = false;
        break;
    default:
        read_dirty(world, number, port, (byte & 64) != 0 ? CIOMMU_DIRTY_NO_CLEAR : 0);
    }
}

/* ---- Batches ---- */

#define ENTRIES 4u

/* One entry of a guest's, and what it covers: the second stage of the bound table, or a nested
 * domain's pages. */
static void fill_entry(uint32_t byte, bool stage1, uint64_t *words, uint32_t *first,
                       uint32_t *last) {
    uint32_t page = byte / 4 % BYTES_LEAVES;
    bool whole = byte % 4 == 1;
    *first = whole ? 0 : page;
    *last = whole ? BYTES_LEAVES - 1 : page;
    if (stage1) {
        words[0] = whole ? 0 : BYTES_IOVA + page * BYTES_PAGE;
        words[1] = whole ? UINT64_MAX : 1;
    } else if (byte % 4 == 3) { /* a wait covers nothing */
        words[0] = 5;
        *first = 1;
        *last = 0;
    } else {
        words[0] = whole ? 2 | 2 << 4 | 1 << 16 : 2 | 3 << 4 | 1 << 16;
        words[1] = whole ? 0 : BYTES_IOVA + page * BYTES_PAGE;
    }
}

void bytes_apply(struct bytes_world *world, struct bytes_reader *reader) {
    uint32_t byte = bytes_take(reader);
    uint32_t number = bytes_instance(world, reader);
    struct ciommu_port *port = bytes_port(world, byte);
    bool stage1 = world->instances[number].parent != 0 && world->instances[number].domain != NULL;
    uint32_t count = 1 + byte / 2 % ENTRIES;
    uint32_t words = stage1 ? 3 : 2;
    uint64_t entries[ENTRIES * 3] = {0};
    uint32_t first[ENTRIES];
    uint32_t last[ENTRIES];
    for (uint32_t at = 0; at < count; at++) {
        fill_entry(bytes_take(reader), stage1, &entries[at * words], &first[at], &last[at]);
    }
    uint32_t bad = byte / 8 % 8; /* the entry with that index says what nobody says */
    if (bad < count) {
        entries[bad * words] = 10;
    }
    const struct ciommu_batch batch = {
        .size = sizeof batch,
        .format = stage1 ? CIOMMU_BATCH_VTD_S1 : CIOMMU_BATCH_VTD_128,
        .entry_length = words * (uint32_t)sizeof entries[0],
        .count = count,
        .entries = entries,
        .domain = stage1 ? world->instances[number].domain : NULL,
    };
    struct ciommu_batch_result result = {.size = sizeof result};
    uint64_t begin = bytes_begin(world);
    enum ciommu_status status = ciommu_batch_apply(world->unit, port, &batch, NULL, &result);
    bytes_check_section(world, port, status);
    if (status == CIOMMU_IN_SECTION || status == CIOMMU_NO_PORT) {
        return;
    }
    if (result.handled != (bad < count ? bad : count) ||
        (status == CIOMMU_BAD_DESCRIPTOR) != (bad < count)) {
        bytes_complain(world, "a batch ends at another entry");
    }
    /* Beside a refusal it is complete unless something else failed. */
    enum ciommu_status reached = status == CIOMMU_BAD_DESCRIPTOR
                                     ? (result.failed > 1 ? CIOMMU_TIMED_OUT : CIOMMU_OK)
                                     : status;
    uint32_t instance = stage1 ? number : BYTES_BOUND;
    for (uint32_t at = 0; at < result.handled && at < count; at++) {
        if (first[at] <= last[at]) {
            bytes_covered(world, begin, reached, bytes_element(instance, first[at]),
                          bytes_element(instance, last[at]),
                          stage1 ? HISTORY_BOTH : HISTORY_CACHES);
        }
    }
}

/* ---- Namespaces ---- */

static uint32_t *host_of(struct bytes_world *world, uint32_t guest) {
    return &world->names.hosts[guest % BYTES_NAMES];
}

static uint32_t first_name(struct bytes_world *world) {
    for (uint32_t guest = 0; guest < BYTES_NAMES; guest++) {
        if (*host_of(world, guest) != 0) {
            return guest;
        }
    }
    return CIOMMU_NO_PASID;
}

static void check_names(struct bytes_world *world) {
    for (uint32_t guest = 0; guest < BYTES_NAMES; guest++) {
        uint32_t host = *host_of(world, guest);
        uint32_t found = ciommu_namespace_host(world->names.space, guest);
        if (found != (host == 0 ? CIOMMU_NO_PASID : host) ||
            (host != 0 && ciommu_namespace_guest(world->names.space, host) != guest)) {
            bytes_complain(world, "a namespace finds another PASID");
        }
    }
}

static void bind_name(struct bytes_world *world, uint32_t guest, uint32_t wanted) {
    struct bytes_names *names = &world->names;
    uint32_t host = wanted == 0 ? CIOMMU_NO_PASID : BYTES_FIRST_HOST + wanted - 1;
    uint32_t *bound = host_of(world, guest);
    enum ciommu_status status = ciommu_namespace_bind(names->space, guest, &host);
    if (status != CIOMMU_OK) {
        return; /* what it refuses must have changed nothing */
    }
    bool inside = host >= BYTES_FIRST_HOST && host < BYTES_FIRST_HOST + BYTES_NAMES - 1;
    bool taken = *bound != 0;
    for (uint32_t other = 0; other < BYTES_NAMES; other++) {
        taken = taken || names->hosts[other] == host;
    }
    if (!inside || taken) {
        bytes_complain(world, "a bind that must be refused was not");
    }
    *bound = host;
}

void bytes_name(struct bytes_world *world, struct bytes_reader *reader) {
    struct bytes_names *names = &world->names;
    uint32_t byte = bytes_take(reader);
    uint32_t guest = byte / 4 % BYTES_NAMES;
    if (names->space == NULL) {
        if (ciommu_namespace_create(world->unit, BYTES_FIRST_HOST,
                                    BYTES_FIRST_HOST + BYTES_NAMES - 2,
                                    &names->space) != CIOMMU_OK) {
            names->space = NULL;
            return;
        }
    }
    struct ciommu_port *port = bytes_port(world, byte >> 7);
    enum ciommu_status status;
    switch (byte % 4) {
    case 0:
    case 1:
        bind_name(world, guest, byte / 32 % (BYTES_NAMES + 1));
        break;
    case 2:
        status = ciommu_namespace_unbind(names->space, port, guest);
        bytes_check_section(world, port, status);
        if (status == CIOMMU_OK || status == CIOMMU_TIMED_OUT) {
            if (*host_of(world, guest) == 0) {
                bytes_complain(world, "an unbind of nothing");
            }
            *host_of(world, guest) = 0;
        }
        break;
    default:
        if (ciommu_namespace_next(names->space, 0) != first_name(world)) {
            bytes_complain(world, "a namespace lists another PASID");
        }
    }
    check_names(world);
}

/* ---- Slices ---- */

struct ciommu_device *bytes_owner(const struct bytes_world *world, uint32_t device,
                                  uint32_t pasid) {
    bool sliced = device == 0 && pasid >= BYTES_SLICE && world->slice != NULL;
    return sliced ? world->slice : world->devices[device];
}

/* Makes or ends a slice of device 0's PASIDs. */
void bytes_slice(struct bytes_world *world, struct bytes_reader *reader) {
    struct ciommu_port *port = bytes_port(world, bytes_take(reader));
    const struct ciommu_device_config config = {.size = sizeof config,
                                                .source = 16,
                                                .id = 7,
                                                .share = CIOMMU_SHARE_SLICE,
                                                .first_pasid = BYTES_SLICE,
                                                .last_pasid = BYTES_PASIDS - 1};
    uint64_t begin = bytes_begin(world);
    enum ciommu_status status;
    if (world->slice == NULL) {
        bool used = false;
        for (uint32_t pasid = BYTES_SLICE; pasid < BYTES_PASIDS; pasid++) {
            const struct history_state *bound = &world->now[bytes_binding(0, pasid)];
            used = used || (bound->rights != 0 && bound->value != BYTES_BOUND);
        }
        status = ciommu_device_create(world->unit, port, &config, &world->slice);
        if (status != CIOMMU_OK && status != CIOMMU_TIMED_OUT) {
            world->slice = NULL;
        } else if (used && world->devices[0] != NULL) {
            bytes_complain(world, "a slice was made of PASIDs in use");
        }
    } else {
        status = ciommu_device_destroy(world->slice, port);
        world->slice = status == CIOMMU_OK || status == CIOMMU_TIMED_OUT ? NULL : world->slice;
    }
    bytes_check_section(world, port, status);
    /* What is in no slice is the parent's: by the guest's own table, if that is bound. */
    const struct history_state *whole = &world->now[bytes_binding(0, 0)];
    bool bound = world->slice == NULL && whole->rights != 0 && whole->value == BYTES_BOUND;
    for (uint32_t pasid = BYTES_SLICE; pasid < BYTES_PASIDS; pasid++) {
        bytes_changed(world, begin, status, bytes_binding(0, pasid), BYTES_BOUND,
                      bound ? BYTES_RW : 0);
    }
}
