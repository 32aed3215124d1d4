/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * page_group.c - see page_group.h.
 */
#include "page_group.h"
#include "alloc.h"

/* ---- Pools ---- */

enum ciommu_status ciommu_page_pools_init(struct ciommu_page_interface *interface) {
    uint32_t groups = interface->config.groups;
    uint32_t pages = interface->config.pages;
    interface->groups = ciommu_allocate(CACHE_LINE, groups * sizeof *interface->groups);
    interface->items = ciommu_allocate(CACHE_LINE, pages * sizeof *interface->items);
    if (interface->groups == NULL || interface->items == NULL) {
        return CIOMMU_NO_MEMORY;
    }
    for (uint32_t index = groups; index-- > 0;) {
        struct page_group *group = &interface->groups[index];
        group->interface = interface;
        group->all_next = interface->free;
        interface->free = group;
    }
    for (uint32_t index = 0; index < pages; index++) {
        interface->items[index].next = index + 1 < pages ? index + 1 : PAGE_NONE;
    }
    return CIOMMU_OK;
}

void ciommu_page_pools_fini(struct ciommu_page_interface *interface) {
    ciommu_free(interface->groups);
    ciommu_free(interface->items);
}

struct page_group *ciommu_page_group_take(struct ciommu_page_interface *interface, uint32_t pasid,
                                          uint32_t index) {
    struct page_group *group = interface->free;
    if (group == NULL) {
        return NULL;
    }
    interface->free = group->all_next;
    *group = (struct page_group){
        .interface = interface,
        .state = PAGE_OPEN,
        .pasid = pasid,
        .index = index,
        .first_page = PAGE_NONE,
        .last_page = PAGE_NONE,
        .handler = interface->config.handler,
        .context = interface->config.context,
        .deadline = UINT64_MAX,
        .all_previous = interface->all_last,
    };
    *(interface->all_last != NULL ? &interface->all_last->all_next : &interface->all) = group;
    interface->all_last = group;
    struct ciommu_page_interface_statistics *counts = &interface->counts;
    counts->open++;
    counts->high_water = counts->open > counts->high_water ? counts->open : counts->high_water;
    return group;
}

void ciommu_page_group_drop_pages(struct page_group *group) {
    struct ciommu_page_interface *interface = group->interface;
    if (group->count != 0) {
        interface->items[group->last_page].next = interface->free_items;
        interface->free_items = group->first_page;
    }
    group->count = 0;
    group->first_page = PAGE_NONE;
    group->last_page = PAGE_NONE;
}

void ciommu_page_group_recycle(struct page_group *group) {
    struct ciommu_page_interface *interface = group->interface;
    ciommu_page_group_drop_pages(group);
    *(group->all_previous != NULL ? &group->all_previous->all_next : &interface->all) =
        group->all_next;
    *(group->all_next != NULL ? &group->all_next->all_previous : &interface->all_last) =
        group->all_previous;
    if (group->state == PAGE_OPEN) { /* an answered one was counted out then */
        interface->counts.open--;
    }
    group->state = PAGE_FREE;
    group->all_next = interface->free;
    interface->free = group;
}

struct page_group *ciommu_page_group_find(struct ciommu_page_interface *interface, uint32_t pasid,
                                          uint32_t index) {
    struct page_group *group = page_open_list(interface, pasid, index)->first;
    while (group != NULL && (group->pasid != pasid || group->index != index)) {
        group = group->next;
    }
    return group;
}

static bool has_page(const struct page_group *group, uint64_t address, uint32_t access) {
    const struct page_item *items = group->interface->items;
    uint32_t page = group->first_page;
    for (uint32_t seen = 0; page != PAGE_NONE && seen < PAGE_COMPARED; seen++) {
        if (items[page].address == address && items[page].access == access) {
            return true;
        }
        page = items[page].next;
    }
    return false;
}

enum ciommu_status ciommu_page_group_add(struct page_group *group, uint64_t address,
                                         uint32_t access) {
    struct ciommu_page_interface *interface = group->interface;
    address &= ~UINT64_C(0xfff);
    if (has_page(group, address, access)) {
        return CIOMMU_EXISTS;
    }
    uint32_t page = interface->free_items;
    if (page == PAGE_NONE) {
        return CIOMMU_NO_SPACE;
    }
    struct page_item *item = &interface->items[page];
    interface->free_items = item->next;
    *item = (struct page_item){address, access, PAGE_NONE};
    *(group->count != 0 ? &interface->items[group->last_page].next : &group->first_page) = page;
    group->last_page = page;
    group->count++;
    return CIOMMU_OK;
}

/* ---- Groups that ask for the same ---- */

/* The same for every order of the pages. */
static uint64_t hash_of(const struct page_group *group) {
    const struct page_item *items = group->interface->items;
    uint64_t sum = group->count;
    for (uint32_t page = group->first_page; page != PAGE_NONE; page = items[page].next) {
        uint64_t mixed = (items[page].address | items[page].access) * UINT64_C(0x9e3779b97f4a7c15);
        sum += mixed ^ mixed >> 29;
    }
    return sum;
}

/* Pages are different in a group, so equal numbers and one direction suffice. */
static bool is_same(const struct page_group *group, const struct page_group *other) {
    const struct page_item *items = group->interface->items;
    if (group->hash != other->hash || group->count != other->count ||
        group->space != other->space) {
        return false;
    }
    for (uint32_t page = group->first_page; page != PAGE_NONE; page = items[page].next) {
        if (!has_page(other, items[page].address, items[page].access)) {
            return false;
        }
    }
    return true;
}

static bool may_follow(const struct ciommu_page_queue *queue, const struct page_group *group) {
    return queue->shares && group->count <= PAGE_FOLLOW_MOST &&
           (group->flags & CIOMMU_PAGE_PRIVATE_DATA) == 0;
}

struct page_group *ciommu_page_group_leader(const struct ciommu_page_queue *queue,
                                            struct page_group *group) {
    if (!may_follow(queue, group)) {
        return NULL;
    }
    group->hash = hash_of(group);
    struct page_group *leader = queue->by_hash[group->hash & queue->mask];
    while (leader != NULL && !is_same(group, leader)) {
        leader = leader->match_next;
    }
    return leader;
}

void ciommu_page_group_list(struct page_group *group) {
    struct ciommu_page_queue *queue = group->queue;
    if (may_follow(queue, group)) {
        struct page_group **bucket = &queue->by_hash[group->hash & queue->mask];
        group->match_next = *bucket;
        *bucket = group;
    }
}

void ciommu_page_group_unlist(struct page_group *group) {
    struct page_group **link = &group->queue->by_hash[group->hash & group->queue->mask];
    while (*link != NULL && *link != group) {
        link = &(*link)->match_next;
    }
    if (*link != NULL) {
        *link = group->match_next;
    }
}
