/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * history_bytes_devices.c - calls of history_bytes.h that concern devices and what is attached to
 * them, and what a guest does: writes to its tables, and invalidations.
 */
#include "history_bytes.h"

/* ---- Devices ---- */

void bytes_change_device(struct bytes_world *world, struct bytes_reader *reader) {
    uint32_t byte = bytes_take(reader);
    uint32_t number = byte % BYTES_DEVICES;
    struct ciommu_port *port = bytes_port(world, byte >> 1);
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
            bytes_forget_device(world, begin, status, number);
        } else {
            *device = NULL;
        }
    } else if ((byte & 8) != 0) {
        status = ciommu_device_reset(*device, port);
        bytes_forget_device(world, begin, status, number);
    } else {
        status = ciommu_device_destroy(*device, port);
        bytes_forget_device(world, begin, status, number);
        *device = status == CIOMMU_OK || status == CIOMMU_TIMED_OUT ? NULL : *device;
    }
    bytes_check_section(world, port, status);
}

void bytes_attach(struct bytes_world *world, struct bytes_reader *reader) {
    uint32_t byte = bytes_take(reader);
    uint32_t number = byte % BYTES_DEVICES;
    uint32_t pasid = byte / 2 % BYTES_PASIDS;
    uint32_t instance = bytes_instance(world, reader);
    struct ciommu_device *owner = bytes_owner(world, number, pasid);
    bool foreign = (byte & 128) != 0 && owner != world->devices[number];
    struct ciommu_device *device = foreign ? world->devices[number] : owner;
    struct ciommu_domain *domain = world->instances[instance].domain;
    struct ciommu_port *port = bytes_port(world, byte >> 6);
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
        status = ciommu_device_attach(device, bytes_pasid(pasid), domain);
        there = !there;
        break;
    case 1:
    case 2:
        status = ciommu_device_replace(device, port, bytes_pasid(pasid), domain);
        bytes_check_section(world, port, status);
        break;
    default:
        status = ciommu_device_detach(device, port, bytes_pasid(pasid));
        bytes_check_section(world, port, status);
    }
    if ((status == CIOMMU_OK || status == CIOMMU_TIMED_OUT) && (!there || bound || foreign)) {
        bytes_complain(world, "an attachment that must be refused was not");
    }
    bytes_changed(world, begin, status, element, instance, byte / 8 % 4 == 3 ? 0 : BYTES_RW);
}

/* The guest's own PASID table. */
void bytes_bind(struct bytes_world *world, struct bytes_reader *reader) {
    uint32_t byte = bytes_take(reader);
    uint32_t number = byte % BYTES_DEVICES;
    struct ciommu_port *port = bytes_port(world, byte >> 1);
    struct ciommu_device *device = world->devices[number];
    const struct ciommu_pasid_table table = {
        .size = sizeof table,
        .model = (byte & 32) != 0 ? CIOMMU_MODEL_SMMU_V3 : CIOMMU_MODEL_VTD,
        .levels = 2,
        .pasid_bits = 6 + (byte >> 6),
        .address = bytes_directory() + ((byte & 16) != 0 ? 64 : 0),
    };
    if (device == NULL || (number == 0 && world->slice != NULL)) {
        return;
    }
    uint64_t begin = bytes_begin(world);
    bool binds = (byte & 4) == 0;
    enum ciommu_status status =
        binds ? ciommu_device_bind(device, port, &table) : ciommu_device_unbind(device, port);
    bytes_check_section(world, port, status);
    if (binds && (byte & 48) != 0 && status == CIOMMU_OK) {
        bytes_complain(world, "a table that must be refused was bound");
    }
    for (uint32_t pasid = 0; pasid < BYTES_PASIDS; pasid++) {
        bytes_changed(world, begin, status, bytes_binding(number, pasid), BYTES_BOUND,
                      binds ? BYTES_RW : 0);
    }
}

/* ---- The guest ---- */

void bytes_guest_write(struct bytes_world *world, struct bytes_reader *reader) {
    uint32_t number = bytes_instance(world, reader);
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

void bytes_invalidate_nested(struct bytes_world *world, struct bytes_reader *reader) {
    uint32_t number = bytes_instance(world, reader);
    uint32_t byte = bytes_take(reader);
    struct ciommu_port *port = bytes_port(world, byte);
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
    bytes_check_section(world, port, status);
    bytes_covered(world, begin, status, bytes_element(number, whole ? 0 : page),
                  bytes_element(number, whole ? BYTES_LEAVES - 1 : page), HISTORY_BOTH);
}

/* A descriptor: one that the guest's tables need, or anything, which is taken to cover nothing. */
void bytes_describe(struct bytes_world *world, struct bytes_reader *reader) {
    uint32_t byte = bytes_take(reader);
    uint32_t page = byte / 8 % BYTES_LEAVES;
    struct ciommu_port *port = bytes_port(world, byte >> 7);
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
    bytes_check_section(world, port, status);
    if (status == CIOMMU_BAD_DESCRIPTOR && byte % 8 < 5 && !wide) {
        bytes_complain(world, "a proper descriptor was refused");
    }
    if (scope != 0) {
        bytes_covered(world, begin, status, first, last, scope);
    }
}

/* The inner invalidation. */
void bytes_invalidate(struct bytes_world *world, struct bytes_reader *reader) {
    uint32_t byte = bytes_take(reader);
    struct ciommu_port *port = bytes_port(world, byte);
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
    bytes_check_section(world, port, status);
    if (what.kind == CIOMMU_INVALIDATE_TRANSLATIONS) {
        bytes_covered(world, begin, status, first, first + (all ? BYTES_LEAVES - 1 : 0),
                      HISTORY_CACHES);
    }
}
