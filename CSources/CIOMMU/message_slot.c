/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * message_slot.c - entries as a guest sees them, in the layout that DSA gives them [FORMATS-VTD
 * F3]. Nothing that a guest writes here reaches a PASID or the question whether it is looked at.
 */
#include "message_store.h"

/* What every access must be. */
static enum ciommu_status check(const struct ciommu_message_store *store, uint32_t index,
                                uint32_t offset, uint32_t length) {
    if (store == NULL || index >= store->count || (length != 4 && length != 8) ||
        offset >= CIOMMU_SLOT_LENGTH) {
        return CIOMMU_INVALID_ARGUMENT;
    }
    return offset % length == 0 ? CIOMMU_OK : CIOMMU_MISALIGNED;
}

/* The control word of a slot. A guest's entry shows the guest's own PASID. */
static uint32_t control_word(const struct ciommu_message_info *info) {
    uint32_t word = info->state == CIOMMU_MESSAGE_ARMED ? 0 : CIOMMU_SLOT_MASK;
    if (info->pasid != CIOMMU_NO_PASID) {
        uint32_t pasid = info->guest != CIOMMU_NO_PASID ? info->guest : info->pasid;
        word |= CIOMMU_SLOT_PASID_ENABLE | pasid << CIOMMU_SLOT_PASID_SHIFT;
    }
    return word;
}

enum ciommu_status ciommu_message_slot_read(const struct ciommu_message_store *store,
                                            uint32_t index, uint32_t offset, uint32_t length,
                                            uint64_t *value) {
    enum ciommu_status status = check(store, index, offset, length);
    if (status != CIOMMU_OK || value == NULL) {
        return status != CIOMMU_OK ? status : CIOMMU_INVALID_ARGUMENT;
    }
    struct ciommu_message_info info = {.size = sizeof info};
    status = ciommu_message_read_info(store, index, &info);
    if (status == CIOMMU_OK) {
        const uint32_t words[] = {(uint32_t)info.address, (uint32_t)(info.address >> 32), info.data,
                                  control_word(&info)};
        uint64_t upper = length == 8 ? words[offset / 4 + 1] : 0;
        *value = words[offset / 4] | upper << 32;
    }
    return status;
}

/* The mask bit of a slot. */
static enum ciommu_status write_mask(struct ciommu_message_store *store, struct ciommu_port *port,
                                     uint32_t index, bool masked, bool *pending) {
    struct ciommu_message_info info = {.size = sizeof info};
    (void)ciommu_message_read_info(store, index, &info); /* the slot was checked */
    switch (info.state) {
    case CIOMMU_MESSAGE_ARMED:
        return masked ? ciommu_message_mask(store, port, index) : CIOMMU_OK;
    case CIOMMU_MESSAGE_MASKED:
        return masked ? CIOMMU_OK : ciommu_message_unmask(store, index, pending);
    case CIOMMU_MESSAGE_PROGRAMMED:
        return masked ? CIOMMU_OK : ciommu_message_arm(store, index);
    case CIOMMU_MESSAGE_ALLOCATED:
        return masked ? CIOMMU_OK : CIOMMU_BAD_STATE;
    default:
        return CIOMMU_BAD_STATE;
    }
}

enum ciommu_status ciommu_message_slot_write(struct ciommu_message_store *store,
                                             struct ciommu_port *port, uint32_t index,
                                             uint32_t offset, uint32_t length, uint64_t value,
                                             bool *pending) {
    enum ciommu_status status = check(store, index, offset, length);
    if (status == CIOMMU_OK) {
        status = ciommu_message_check_port(store, port);
    }
    if (status != CIOMMU_OK) {
        return status;
    }
    bool raised = false;
    bool controls = offset + length > CIOMMU_SLOT_CONTROL;
    uint64_t control = offset == CIOMMU_SLOT_CONTROL ? value : value >> 32;
    bool masks = controls && (control & CIOMMU_SLOT_MASK) != 0;
    struct message_change change = {.armed = true};
    if (offset < CIOMMU_SLOT_DATA) {
        change.address = value << 8 * offset;
        change.address_mask = (length == 8 ? UINT64_MAX : UINT32_MAX) << 8 * offset;
    } else if (offset == CIOMMU_SLOT_DATA) {
        change.data = (uint32_t)value;
        change.data_mask = UINT32_MAX;
    }
    /* A mask comes first: so the change exposes nothing, and what is raised meanwhile is noted. */
    if (masks) {
        status = write_mask(store, port, index, true, NULL);
    }
    if (status == CIOMMU_OK && offset <= CIOMMU_SLOT_DATA) {
        status = ciommu_message_change(store, index, &change, &raised);
    }
    if (status == CIOMMU_OK && controls && !masks) {
        bool again = false;
        status = write_mask(store, port, index, false, &again);
        raised = raised || again;
    }
    if (pending != NULL) {
        *pending = raised;
    }
    return status;
}
