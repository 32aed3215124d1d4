/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * page_interface.c - making and ending a device's interface for page requests, its counters, and
 * the native descriptors. The protocol stands in pages.h.
 */
#include "alloc.h"
#include "page_answer.h"
#include "pasid_table.h"
#include "unit.h"

#include <string.h>

static enum ciommu_status check_config(const struct vtd_caps *caps,
                                       const struct ciommu_page_interface_config *config) {
    bool all = (config->flags & CIOMMU_PAGE_ALL_PASIDS) != 0;
    bool range = config->first_pasid <= config->last_pasid && config->last_pasid <= PASID_LAST;
    bool untagged = config->first_pasid == CIOMMU_NO_PASID && config->last_pasid == CIOMMU_NO_PASID;
    if ((config->flags & ~CIOMMU_PAGE_ALL_PASIDS) != 0 || config->source > 0xffff ||
        (!all && !range && !untagged) || config->groups < 1 || config->groups > PAGE_GROUPS_MOST ||
        config->pages < 1 || config->pages > PAGE_PAGES_MOST || config->reserved != 0 ||
        config->handler == NULL) {
        return CIOMMU_INVALID_ARGUMENT;
    }
    bool pasids = all || untagged || (caps->pasid && config->last_pasid >> caps->pasid_bits == 0);
    return caps->page_request && pasids ? CIOMMU_OK : CIOMMU_UNSUPPORTED;
}

enum ciommu_status ciommu_page_interface_create(struct ciommu_unit *unit,
                                                const struct ciommu_page_interface_config *config,
                                                struct ciommu_page_interface **out) {
    if (unit == NULL || config == NULL || out == NULL || config->size < sizeof *config) {
        return CIOMMU_INVALID_ARGUMENT;
    }
    enum ciommu_status status = check_config(&unit->caps, config);
    if (status != CIOMMU_OK) {
        return status;
    }
    struct ciommu_page_interface *interface = ciommu_allocate(CACHE_LINE, sizeof *interface);
    if (interface == NULL) {
        return CIOMMU_NO_MEMORY;
    }
    interface->unit = unit;
    interface->config = *config;
    status = ciommu_page_pools_init(interface);
    if (status != CIOMMU_OK) {
        ciommu_page_pools_fini(interface);
        ciommu_free(interface);
        return status;
    }
    struct pages *pages = &unit->pages;
    pthread_mutex_lock(&pages->lock);
    struct ciommu_page_interface **bucket = &pages->interfaces[config->source % PAGE_BUCKETS];
    interface->next = *bucket;
    *bucket = interface;
    pages->count++;
    pthread_mutex_unlock(&pages->lock);
    *out = interface;
    return CIOMMU_OK;
}

void ciommu_page_interface_close(struct ciommu_page_interface *interface) {
    if (interface == NULL) {
        return;
    }
    struct pages *pages = &interface->unit->pages;
    struct page_target target = {
        .source = interface->config.source,
        .device = interface->config.device,
        .last = UINT64_MAX,
        .interface = interface,
        .everywhere = true,
    };
    pthread_mutex_lock(&pages->lock);
    interface->ending = true;
    pthread_mutex_unlock(&pages->lock);
    ciommu_pages_cancel(interface->unit, &target);
}

void ciommu_page_interface_destroy(struct ciommu_page_interface *interface) {
    if (interface == NULL) {
        return;
    }
    struct pages *pages = &interface->unit->pages;
    ciommu_page_interface_close(interface);
    pthread_mutex_lock(&pages->lock);
    ciommu_page_wait_for_calls(pages, interface); /* those that were in a drain themselves */
    struct ciommu_page_interface **link =
        &pages->interfaces[interface->config.source % PAGE_BUCKETS];
    while (*link != interface) {
        link = &(*link)->next;
    }
    *link = interface->next;
    pages->count--;
    pthread_mutex_unlock(&pages->lock);
    ciommu_page_pools_fini(interface);
    ciommu_free(interface);
}

void ciommu_page_interface_read_statistics(const struct ciommu_page_interface *interface,
                                           struct ciommu_page_interface_statistics *out) {
    if (interface == NULL || out == NULL) {
        return;
    }
    struct pages *pages = &interface->unit->pages;
    pthread_mutex_lock(&pages->lock);
    struct ciommu_page_interface_statistics sum = interface->counts;
    pthread_mutex_unlock(&pages->lock);
    uint32_t size = out->size;
    sum.size = size;
    memcpy(out, &sum, size < sizeof sum ? size : sizeof sum);
}

/* ---- Native formats ---- */

#define TYPE_PAGE_REQUEST UINT64_C(1)
#define TYPE_PAGE_RESPONSE UINT64_C(9)
#define PASID_PRESENT (UINT64_C(1) << 8)
#define PRIVATE_PRESENT (UINT64_C(1) << 9)
#define EXECUTE_REQUESTED (UINT64_C(1) << 52)
#define PRIVILEGED_REQUESTED (UINT64_C(1) << 53)
#define READ_REQUESTED UINT64_C(1)
#define WRITE_REQUESTED UINT64_C(2)
#define LAST_IN_GROUP UINT64_C(4)
#define FAILURE_CODE 15u

void ciommu_page_descriptor(uint32_t source, const struct ciommu_page_request *request,
                            uint64_t words[4]) {
    uint32_t access = request->access;
    bool private = (request->flags & CIOMMU_PAGE_PRIVATE_DATA) != 0;
    uint64_t low = TYPE_PAGE_REQUEST | (uint64_t)(source & 0xffff) << 16;
    if (request->pasid != CIOMMU_NO_PASID) {
        low |= PASID_PRESENT | (uint64_t)(request->pasid & CIOMMU_PASID_MAX) << 32;
        low |= (access & CIOMMU_EXECUTE) != 0 ? EXECUTE_REQUESTED : 0;
        low |= (access & CIOMMU_PRIVILEGED) != 0 ? PRIVILEGED_REQUESTED : 0;
    }
    uint64_t high = (request->address & ~UINT64_C(0xfff)) |
                    (uint64_t)(request->group & CIOMMU_PAGE_GROUP_MAX) << 3;
    high |= (access & CIOMMU_READ) != 0 ? READ_REQUESTED : 0;
    high |= (access & CIOMMU_WRITE) != 0 ? WRITE_REQUESTED : 0;
    high |= (request->flags & CIOMMU_PAGE_LAST) != 0 ? LAST_IN_GROUP : 0;
    words[0] = low | (private ? PRIVATE_PRESENT : 0);
    words[1] = high;
    words[2] = private ? request->private_data[0] : 0;
    words[3] = private ? request->private_data[1] : 0;
}

enum ciommu_status ciommu_page_response_decode(const uint64_t words[4], uint32_t *source,
                                               uint32_t *pasid, uint32_t *group,
                                               enum ciommu_page_code *code) {
    if (words == NULL || source == NULL || pasid == NULL || group == NULL || code == NULL) {
        return CIOMMU_INVALID_ARGUMENT;
    }
    uint64_t type = (words[0] & 0xf) | (words[0] >> 9 & 7) << 4;
    if (type != TYPE_PAGE_RESPONSE) {
        return CIOMMU_BAD_DESCRIPTOR;
    }
    uint32_t native = (uint32_t)(words[0] >> 12 & FAILURE_CODE);
    *source = (uint32_t)(words[0] >> 16 & 0xffff);
    *pasid =
        (words[0] & 0x10) != 0 ? (uint32_t)(words[0] >> 32 & CIOMMU_PASID_MAX) : CIOMMU_NO_PASID;
    *group = (uint32_t)(words[1] >> 3 & CIOMMU_PAGE_GROUP_MAX);
    *code = native == 0   ? CIOMMU_PAGE_SUCCESS
            : native == 1 ? CIOMMU_PAGE_INVALID
                          : CIOMMU_PAGE_FAILURE;
    return CIOMMU_OK;
}
