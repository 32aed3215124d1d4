/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * history_bytes_domains.c - calls of history_bytes.h that make domains and change mappings, with
 * proper arguments and others.
 */
#include "history_bytes.h"

/* ---- Domains ---- */

void bytes_make_domain(struct bytes_world *world, struct bytes_reader *reader) {
    uint32_t byte = bytes_take(reader);
    uint32_t number = world->made;
    uint32_t parent = bytes_instance(world, reader);
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

void bytes_destroy_domain(struct bytes_world *world, struct bytes_reader *reader) {
    uint32_t number = bytes_instance(world, reader);
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

void bytes_map(struct bytes_world *world, struct bytes_reader *reader) {
    uint32_t number = bytes_instance(world, reader);
    struct span span = some_span(reader);
    uint32_t output = bytes_take(reader);
    uint32_t rights = bytes_rights(output >> 6);
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

void bytes_unmap(struct bytes_world *world, struct bytes_reader *reader) {
    uint32_t number = bytes_instance(world, reader);
    struct span span = some_span(reader);
    struct ciommu_port *port = bytes_port(world, bytes_take(reader));
    bool whole = span.iova == 0 && span.length == UINT64_MAX;
    uint64_t unmapped = 0;
    if (world->instances[number].domain == NULL) {
        return;
    }
    uint32_t there = present(world, number, &span);
    uint64_t begin = bytes_begin(world);
    enum ciommu_status status = ciommu_domain_unmap(world->instances[number].domain, port,
                                                    span.iova, span.length, &unmapped);
    bytes_check_section(world, port, status);
    bool done = status == CIOMMU_OK || status == CIOMMU_TIMED_OUT;
    if (done && (!is_paging(world, number) || (!whole && !is_aligned(&span)))) {
        bytes_complain(world, "an unmap that must be refused was not");
    }
    if (done && span.exact && unmapped != there * BYTES_PAGE) {
        bytes_complain(world, "unmapped other than what was there");
    }
    for (uint32_t page = 0; done && page < BYTES_PAGES; page++) {
        if (reaches(&span, page)) {
            world->dirty[number].pages &= ~(UINT64_C(1) << page);
            bytes_changed(world, begin, status, bytes_element(number, page), 0, 0);
        }
    }
    if (done && whole) {
        bytes_changed(world, begin, status, bytes_tables(number), 0, 0);
    }
}

void bytes_protect(struct bytes_world *world, struct bytes_reader *reader) {
    uint32_t number = bytes_instance(world, reader);
    struct span span = some_span(reader);
    uint32_t byte = bytes_take(reader);
    struct ciommu_port *port = bytes_port(world, byte);
    uint32_t rights = bytes_rights(byte >> 1);
    if (world->instances[number].domain == NULL) {
        return;
    }
    uint32_t there = present(world, number, &span);
    uint64_t begin = bytes_begin(world);
    enum ciommu_status status = ciommu_domain_protect(world->instances[number].domain, port,
                                                      span.iova, span.length, rights);
    bytes_check_section(world, port, status);
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
