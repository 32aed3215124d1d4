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

static uint32_t rights_of(uint32_t byte) {
    return byte % 4 == 0 ? CIOMMU_READ : byte % 4 == 1 ? CIOMMU_WRITE : BYTES_RW;
}

/* The caller's port, or none. */
static struct ciommu_port *some_port(struct bytes_world *world, uint32_t byte) {
    return byte % 2 == 0 ? world->port : NULL;
}

/* Inside a section a call that was told of the port is refused. */
static void check_section(struct bytes_world *world, const struct ciommu_port *port,
                          enum ciommu_status status) {
    bool refused = status == CIOMMU_IN_SECTION;
    if (world->depth == 0 ? refused
                          : port != NULL && (status == CIOMMU_OK || status == CIOMMU_TIMED_OUT)) {
        bytes_complain(world, refused ? "refused outside of sections" : "not refused in a section");
    }
}

/* ---- Domains ---- */

static uint32_t some_instance(struct bytes_world *world, struct bytes_reader *reader) {
    return bytes_take(reader) % world->made;
}

static void make_domain(struct bytes_world *world, struct bytes_reader *reader) {
    uint32_t byte = bytes_take(reader);
    uint32_t number = world->made;
    uint32_t parent = some_instance(world, reader);
    struct bytes_instance *instance = &world->instances[number];
    if (number == BYTES_INSTANCES) {
        return;
    }
    enum ciommu_status status;
    bool nested = byte % 4 == 3;
    if (nested && world->nested == BYTES_NESTED_MOST) {
        return;
    }
    if (nested) {
        const struct ciommu_nested_config config = {
            .size = sizeof config,
            .address_width = (byte & 16) != 0 ? 47 : 48,
            .pgtbl_addr = BYTES_GUEST +
                          (world->table_pages + ((byte & 32) != 0 ? 1 : 0)) * BYTES_PAGE +
                          ((byte & 64) != 0 ? 8 : 0),
        };
        bool proper = (byte & 112) == 0 && world->instances[parent].nest_parent &&
                      world->instances[parent].domain != NULL;
        status =
            ciommu_nested_create(proper || byte % 8 == 3 ? world->instances[parent].domain : NULL,
                                 &config, &instance->domain);
        if (status == CIOMMU_OK && !proper) {
            /* Only the root is odd: its entries are absent, which is one more kind of fault. */
            (void)ciommu_domain_destroy(instance->domain);
            instance->domain = NULL;
            return;
        }
        if (status == CIOMMU_OK) {
            (void)bytes_first_stage(world, number);
            instance->parent = parent;
            world->nested++;
        }
    } else {
        struct ciommu_paging_config config;
        ciommu_paging_config_init(&config);
        config.flags = byte % 4; /* nest parent, dirty tracking; both */
        config.largest_page_lg2 = (byte & 16) != 0 ? 12 : (byte & 32) != 0 ? 13 : 0;
        status = ciommu_paging_create(world->unit, &config, &instance->domain);
        instance->nest_parent = (config.flags & CIOMMU_PAGING_NEST_PARENT) != 0;
    }
    if (status != CIOMMU_OK) {
        instance->domain = NULL;
        instance->nest_parent = false;
        return;
    }
    world->made++;
    if (instance->nest_parent) {
        const struct ciommu_mapping mapping = {
            .size = sizeof mapping,
            .rights = BYTES_RW,
            .iova = BYTES_GUEST,
            .length = BYTES_TABLE_PAGES * BYTES_PAGE,
            .address = BYTES_TABLES,
        };
        uint64_t begin = bytes_begin(world);
        bytes_changed(world, begin, ciommu_domain_map(instance->domain, &mapping),
                      bytes_tables(number), 0, BYTES_RW);
    }
}

static void destroy_domain(struct bytes_world *world, struct bytes_reader *reader) {
    uint32_t number = some_instance(world, reader);
    enum ciommu_status status = ciommu_domain_destroy(world->instances[number].domain);
    if (number < BYTES_FIRST_MADE && number != BYTES_BOUND && status == CIOMMU_OK) {
        bytes_complain(world, "a domain of the unit's own was destroyed");
    }
    if (status == CIOMMU_OK && number >= BYTES_FIRST_MADE) {
        world->instances[number].domain = NULL;
    }
}

/* ---- Mappings ---- */

/* A range around the pages that are asked about: first page, and how many. Wild ones too. */
struct span {
    uint64_t iova;
    uint64_t length;
    bool exact; /* within the pages */
};

static struct span some_span(struct bytes_reader *reader) {
    uint32_t byte = bytes_take(reader);
    uint32_t size = bytes_take(reader);
    uint32_t page = byte % ((byte & 64) != 0 ? BYTES_LEAVES : BYTES_PAGES);
    struct span span = {BYTES_IOVA + page * BYTES_PAGE, (1 + size % 8) * BYTES_PAGE, false};
    switch (size / 8 % 16) {
    case 0:
        span.iova = BYTES_IOVA;
        span.length = UINT64_C(0x200000);
        break;
    case 1:
        span.length = (size & 128) != 0 ? UINT64_C(0x40000000) : 0;
        break;
    case 2:
        span.iova += 8;
        break;
    case 3:
        span.length += 1;
        break;
    case 4:
        span.iova = UINT64_MAX - (BYTES_PAGE - 1) * (byte % 3);
        break;
    case 5:
        span.iova = 0;
        span.length = UINT64_MAX;
        break;
    default:
        break;
    }
    span.exact = span.iova >= BYTES_IOVA && span.length != 0 &&
                 (span.iova | span.length) % BYTES_PAGE == 0 &&
                 span.length <= BYTES_PAGES * BYTES_PAGE &&
                 span.iova + span.length <= BYTES_IOVA + BYTES_PAGES * BYTES_PAGE;
    return span;
}

static bool is_aligned(const struct span *span) {
    return (span->iova | span->length) % BYTES_PAGE == 0 && span->length != 0 &&
           span->length - 1 <= UINT64_MAX - span->iova;
}

static bool reaches(const struct span *span, uint32_t page) {
    uint64_t iova = BYTES_IOVA + page * BYTES_PAGE;
    return iova >= span->iova && iova - span->iova < span->length;
}

static uint32_t present(const struct bytes_world *world, uint32_t instance,
                        const struct span *span) {
    uint32_t count = 0;
    for (uint32_t page = 0; page < BYTES_PAGES; page++) {
        count += reaches(span, page) && world->now[bytes_element(instance, page)].rights != 0;
    }
    return count;
}

/* A paging domain of the host. */
static bool is_paging(const struct bytes_world *world, uint32_t instance) {
    return instance >= BYTES_FIRST_MADE && world->instances[instance].domain != NULL &&
           world->instances[instance].parent == 0;
}

static void map(struct bytes_world *world, struct bytes_reader *reader) {
    uint32_t number = some_instance(world, reader);
    struct span span = some_span(reader);
    uint32_t output = bytes_take(reader);
    uint32_t rights = rights_of(output >> 6);
    struct ciommu_mapping mapping = {
        .size = sizeof mapping,
        .rights = output == 255 ? 0 : rights,
        .iova = span.iova,
        .length = span.length,
        .address = span.length >= UINT64_C(0x200000) ? BYTES_OUTPUT
                                                     : BYTES_OUTPUT + output % 48 * BYTES_PAGE,
    };
    if (world->instances[number].domain == NULL) {
        return;
    }
    uint32_t there = present(world, number, &span);
    uint64_t begin = bytes_begin(world);
    enum ciommu_status status = ciommu_domain_map(world->instances[number].domain, &mapping);
    bool proper = is_paging(world, number) && is_aligned(&span) && mapping.rights != 0;
    if (status == CIOMMU_OK && (!proper || there != 0)) {
        bytes_complain(world, "a map that must be refused was not");
    }
    if (status == CIOMMU_OVERLAP && span.exact && there == 0) {
        bytes_complain(world, "an overlap with nothing");
    }
    for (uint32_t page = 0; status == CIOMMU_OK && page < BYTES_PAGES; page++) {
        if (reaches(&span, page)) {
            uint64_t offset = BYTES_IOVA + page * BYTES_PAGE - span.iova;
            bytes_changed(world, begin, status, bytes_element(number, page),
                          mapping.address + offset, rights);
        }
    }
}

static void unmap(struct bytes_world *world, struct bytes_reader *reader) {
    uint32_t number = some_instance(world, reader);
    struct span span = some_span(reader);
    struct ciommu_port *port = some_port(world, bytes_take(reader));
    bool whole = span.iova == 0 && span.length == UINT64_MAX;
    uint64_t unmapped = 0;
    if (world->instances[number].domain == NULL) {
        return;
    }
    uint32_t there = present(world, number, &span);
    uint64_t begin = bytes_begin(world);
    enum ciommu_status status = ciommu_domain_unmap(world->instances[number].domain, port,
                                                    span.iova, span.length, &unmapped);
    check_section(world, port, status);
    bool done = status == CIOMMU_OK || status == CIOMMU_TIMED_OUT;
    if (done && (!is_paging(world, number) || (!whole && !is_aligned(&span)))) {
        bytes_complain(world, "an unmap that must be refused was not");
    }
    if (done && span.exact && unmapped != there * BYTES_PAGE) {
        bytes_complain(world, "unmapped other than what was there");
    }
    for (uint32_t page = 0; done && page < BYTES_PAGES; page++) {
        if (reaches(&span, page)) {
            bytes_changed(world, begin, status, bytes_element(number, page), 0, 0);
        }
    }
    if (done && whole) {
        bytes_changed(world, begin, status, bytes_tables(number), 0, 0);
    }
}

static void protect(struct bytes_world *world, struct bytes_reader *reader) {
    uint32_t number = some_instance(world, reader);
    struct span span = some_span(reader);
    uint32_t byte = bytes_take(reader);
    struct ciommu_port *port = some_port(world, byte);
    uint32_t rights = rights_of(byte >> 1);
    if (world->instances[number].domain == NULL) {
        return;
    }
    uint32_t there = present(world, number, &span);
    uint64_t begin = bytes_begin(world);
    enum ciommu_status status = ciommu_domain_protect(world->instances[number].domain, port,
                                                      span.iova, span.length, rights);
    check_section(world, port, status);
    bool done = status == CIOMMU_OK || status == CIOMMU_TIMED_OUT;
    if (done && (!is_paging(world, number) || !is_aligned(&span) ||
                 (span.exact && there != span.length / BYTES_PAGE))) {
        bytes_complain(world, "a protect that must be refused was not");
    }
    for (uint32_t page = 0; done && page < BYTES_PAGES; page++) {
        if (reaches(&span, page)) {
            uint32_t element = bytes_element(number, page);
            bytes_changed(world, begin, status, element, world->now[element].value, rights);
        }
    }
}

/* Dirty tracking changes no translation. */
static void track(struct bytes_world *world, struct bytes_reader *reader) {
    uint32_t number = some_instance(world, reader);
    uint32_t byte = bytes_take(reader);
    struct ciommu_port *port = some_port(world, byte);
    struct ciommu_domain *domain = world->instances[number].domain;
    uint64_t bitmap[1] = {0};
    if (domain == NULL) {
        return;
    }
    switch (byte / 2 % 3) {
    case 0:
        check_section(world, port,
                      ciommu_dirty_start(domain, port, byte & 64 ? CIOMMU_DIRTY_SPLIT : 0));
        break;
    case 1:
        check_section(world, NULL, ciommu_dirty_stop(domain, NULL));
        break;
    default:
        (void)ciommu_dirty_read(domain, port, BYTES_IOVA, BYTES_PAGES * BYTES_PAGE, BYTES_PAGE,
                                bitmap, byte & 64 ? CIOMMU_DIRTY_NO_CLEAR : 0);
    }
}

/* ---- Devices ---- */

static void forget_device(struct bytes_world *world, uint64_t begin, enum ciommu_status status,
                          uint32_t device) {
    for (uint32_t pasid = 0; pasid < BYTES_PASIDS; pasid++) {
        bytes_changed(world, begin, status, bytes_binding(device, pasid), 0, 0);
    }
}

static void change_device(struct bytes_world *world, struct bytes_reader *reader) {
    uint32_t byte = bytes_take(reader);
    uint32_t number = byte % BYTES_DEVICES;
    struct ciommu_port *port = some_port(world, byte >> 1);
    struct ciommu_device **device = &world->devices[number];
    const struct ciommu_device_config config = {.size = sizeof config,
                                                .source = 16 + 8 * number,
                                                .id = number,
                                                .share = (byte & 4) != 0 ? CIOMMU_SHARE_PARENT
                                                                         : CIOMMU_SHARE_WHOLE};
    uint64_t begin = bytes_begin(world);
    enum ciommu_status status;
    if (*device == NULL) {
        status = ciommu_device_create(world->unit, port, &config, device);
        if (status == CIOMMU_TIMED_OUT || status == CIOMMU_OK) {
            forget_device(world, begin, status, number);
        } else {
            *device = NULL;
        }
    } else if ((byte & 8) != 0) {
        status = ciommu_device_reset(*device, port);
        forget_device(world, begin, status, number);
    } else {
        status = ciommu_device_destroy(*device, port);
        forget_device(world, begin, status, number);
        *device = status == CIOMMU_OK || status == CIOMMU_TIMED_OUT ? NULL : *device;
    }
    check_section(world, port, status);
}

static uint32_t pasid_of(uint32_t number) {
    return number == 0 ? CIOMMU_NO_PASID : number;
}

static void attach(struct bytes_world *world, struct bytes_reader *reader) {
    uint32_t byte = bytes_take(reader);
    uint32_t number = byte % BYTES_DEVICES;
    uint32_t pasid = byte / 2 % BYTES_PASIDS;
    uint32_t instance = some_instance(world, reader);
    struct ciommu_device *device = world->devices[number];
    struct ciommu_domain *domain = world->instances[instance].domain;
    struct ciommu_port *port = some_port(world, byte >> 6);
    uint32_t element = bytes_binding(number, pasid);
    bool there = world->now[element].rights != 0;
    bool bound = there && world->now[element].value == BYTES_BOUND;
    if (device == NULL || (domain == NULL && byte / 8 % 4 != 3)) {
        return;
    }
    uint64_t begin = bytes_begin(world);
    enum ciommu_status status;
    switch (byte / 8 % 4) {
    case 0:
        status = ciommu_device_attach(device, pasid_of(pasid), domain);
        there = !there;
        break;
    case 1:
    case 2:
        status = ciommu_device_replace(device, port, pasid_of(pasid), domain);
        check_section(world, port, status);
        break;
    default:
        status = ciommu_device_detach(device, port, pasid_of(pasid));
        check_section(world, port, status);
    }
    if ((status == CIOMMU_OK || status == CIOMMU_TIMED_OUT) && (!there || bound)) {
        bytes_complain(world, "an attachment that must be refused was not");
    }
    bytes_changed(world, begin, status, element, instance, byte / 8 % 4 == 3 ? 0 : BYTES_RW);
}

/* The guest's own PASID table. */
static void bind(struct bytes_world *world, struct bytes_reader *reader) {
    uint32_t byte = bytes_take(reader);
    uint32_t number = byte % BYTES_DEVICES;
    struct ciommu_port *port = some_port(world, byte >> 1);
    struct ciommu_device *device = world->devices[number];
    const struct ciommu_pasid_table table = {
        .size = sizeof table,
        .model = (byte & 32) != 0 ? CIOMMU_MODEL_SMMU_V3 : CIOMMU_MODEL_VTD,
        .levels = 2,
        .pasid_bits = 6 + (byte >> 6),
        .address = bytes_directory() + ((byte & 16) != 0 ? 64 : 0),
    };
    if (device == NULL) {
        return;
    }
    uint64_t begin = bytes_begin(world);
    bool binds = (byte & 4) == 0;
    enum ciommu_status status =
        binds ? ciommu_device_bind(device, port, &table) : ciommu_device_unbind(device, port);
    check_section(world, port, status);
    if (binds && (byte & 48) != 0 && status == CIOMMU_OK) {
        bytes_complain(world, "a table that must be refused was bound");
    }
    for (uint32_t pasid = 0; pasid < BYTES_PASIDS; pasid++) {
        bytes_changed(world, begin, status, bytes_binding(number, pasid), BYTES_BOUND,
                      binds ? BYTES_RW : 0);
    }
}

/* ---- The guest ---- */

static void guest_write(struct bytes_world *world, struct bytes_reader *reader) {
    uint32_t number = some_instance(world, reader);
    uint32_t byte = bytes_take(reader);
    uint32_t value = bytes_take(reader);
    uint32_t page = byte % BYTES_LEAVES;
    uint32_t rights = byte / 4 % 4 == 0 ? 0 : byte / 4 % 4 == 1 ? CIOMMU_READ : BYTES_RW;
    const struct bytes_instance *instance = &world->instances[number];
    if (instance->leaves == NULL) {
        return;
    }
    uint64_t state = instance->first_stage ? value % BYTES_PAGES
                                           : BYTES_OUTPUT + value % BYTES_OUTPUTS * BYTES_PAGE;
    uint64_t begin = ++world->clock;
    bytes_store(world, number, page, state, rights);
    struct history_record *record = history_log_add(&world->log);
    if (record != NULL) {
        *record = (struct history_record){.kind = HISTORY_WRITE,
                                          .begin = begin,
                                          .end = ++world->clock,
                                          .value = state,
                                          .first = bytes_element(number, page),
                                          .last = bytes_element(number, page),
                                          .rights = rights};
    }
}

static void invalidate_nested(struct bytes_world *world, struct bytes_reader *reader) {
    uint32_t number = some_instance(world, reader);
    uint32_t byte = bytes_take(reader);
    struct ciommu_port *port = some_port(world, byte);
    struct ciommu_domain *domain = world->instances[number].domain;
    uint32_t page = byte / 2 % BYTES_LEAVES;
    bool whole = (byte & 16) != 0;
    uint64_t first = whole ? 0 : BYTES_IOVA + page * BYTES_PAGE;
    uint64_t last = whole ? UINT64_MAX : first + (BYTES_PAGE - 1);
    if (domain == NULL) {
        return;
    }
    uint64_t begin = bytes_begin(world);
    enum ciommu_status status =
        ciommu_nested_invalidate(domain, port, first, last, (byte & 32) != 0);
    check_section(world, port, status);
    bytes_covered(world, begin, status, bytes_element(number, whole ? 0 : page),
                  bytes_element(number, whole ? BYTES_LEAVES - 1 : page), HISTORY_BOTH);
}

/* A descriptor: one that the guest's tables need, or anything, which is taken to cover nothing. */
static void describe(struct bytes_world *world, struct bytes_reader *reader) {
    uint32_t byte = bytes_take(reader);
    uint32_t page = byte / 8 % BYTES_LEAVES;
    struct ciommu_port *port = some_port(world, byte >> 7);
    uint64_t words[4] = {0};
    uint32_t first = bytes_element(BYTES_BOUND, 0);
    uint32_t last = first + BYTES_LEAVES - 1;
    uint32_t scope = HISTORY_CACHES;
    switch (byte % 8) {
    case 0:
        words[0] = 2 | 3 << 4 | 1 << 16;
        words[1] = BYTES_IOVA + page * BYTES_PAGE;
        first += page;
        last = first;
        break;
    case 1:
        words[0] = 2 | 2 << 4 | 1 << 16;
        break;
    case 2:
        words[0] = 2 | 1 << 4;
        break;
    case 3: /* everything of device 0, in legacy mode without PASID */
        words[0] = 3 | UINT64_C(16) << 32;
        words[1] = UINT64_C(0x7ffffffffffff) << 12 | 1;
        scope = 0;
        break;
    case 4:
        words[0] = 5;
        scope = 0;
        break;
    default:
        for (uint32_t at = 0; at < 16; at++) {
            words[at / 8] |= (uint64_t)bytes_take(reader) << at % 8 * 8;
        }
        scope = 0;
    }
    struct ciommu_descriptor_result result = {.size = sizeof result};
    bool wide = (byte & 64) != 0;
    uint64_t begin = bytes_begin(world);
    enum ciommu_status status =
        ciommu_invalidate_descriptor(world->unit, port, words, wide, &result);
    check_section(world, port, status);
    if (status == CIOMMU_BAD_DESCRIPTOR && byte % 8 < 5 && !wide) {
        bytes_complain(world, "a proper descriptor was refused");
    }
    if (scope != 0) {
        bytes_covered(world, begin, status, first, last, scope);
    }
}

/* The inner invalidation. */
static void invalidate(struct bytes_world *world, struct bytes_reader *reader) {
    uint32_t byte = bytes_take(reader);
    struct ciommu_port *port = some_port(world, byte);
    bool all = (byte & 64) != 0;
    const struct ciommu_invalidation what = {
        .size = sizeof what,
        .kind = byte / 2 % 5, /* 0 is none */
        .domain = (byte & 128) != 0 ? 1 : CIOMMU_ANY,
        .pasid = CIOMMU_ANY,
        .source = CIOMMU_ANY,
        .stages = CIOMMU_STAGES_FIRST | CIOMMU_STAGES_SECOND,
        .first = all ? 0 : BYTES_IOVA,
        .last = all ? UINT64_MAX : BYTES_IOVA + BYTES_PAGE - 1,
    };
    uint32_t first = bytes_element(BYTES_BOUND, 0);
    uint64_t begin = bytes_begin(world);
    enum ciommu_status status = ciommu_invalidate(world->unit, port, &what);
    check_section(world, port, status);
    if (what.kind == CIOMMU_INVALIDATE_TRANSLATIONS) {
        bytes_covered(world, begin, status, first, first + (all ? BYTES_LEAVES - 1 : 0),
                      HISTORY_CACHES);
    }
}

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

static void change_memory(struct bytes_world *world, struct bytes_reader *reader) {
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

static void change_unit(struct bytes_world *world, struct bytes_reader *reader) {
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
            forget_device(world, begin, status, device);
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
        make_domain,
        destroy_domain,
        map,
        map,
        unmap,
        protect,
        track,
        change_device,
        attach,
        attach,
        bind,
        guest_write,
        guest_write,
        invalidate_nested,
        describe,
        invalidate,
        change_memory,
        change_memory,
        change_unit,
        section,
        section,
        bytes_ats,
        bytes_ats,
        bytes_copy,
        bytes_translate,
        bytes_translate,
        bytes_translate,
        bytes_translate_many,
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
    0,  1, 0,  0,  0,   0,                                           /* a parent, a domain */
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
