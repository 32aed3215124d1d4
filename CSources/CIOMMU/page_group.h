/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * page_group.h - groups and their pages: the interface's pools, the lists that groups are in, and
 * which groups ask for the same. All under pages.lock (pages.h).
 */
#ifndef CIOMMU_PAGE_GROUP_H
#define CIOMMU_PAGE_GROUP_H

#include "pages.h"

static inline void page_list_append(struct page_list *list, struct page_group *group) {
    group->next = NULL;
    group->previous = list->last;
    *(list->last != NULL ? &list->last->next : &list->first) = group;
    list->last = group;
}

static inline void page_list_remove(struct page_list *list, struct page_group *group) {
    *(group->previous != NULL ? &group->previous->next : &list->first) = group->next;
    *(group->next != NULL ? &group->next->previous : &list->last) = group->previous;
    group->next = NULL;
    group->previous = NULL;
}

/* `taker` stands where `group` stood. */
static inline void page_list_exchange(struct page_list *list, struct page_group *group,
                                      struct page_group *taker) {
    taker->next = group->next;
    taker->previous = group->previous;
    *(taker->previous != NULL ? &taker->previous->next : &list->first) = taker;
    *(taker->next != NULL ? &taker->next->previous : &list->last) = taker;
    group->next = NULL;
    group->previous = NULL;
}

/* Makes both pools. */
enum ciommu_status ciommu_page_pools_init(struct ciommu_page_interface *interface);
void ciommu_page_pools_fini(struct ciommu_page_interface *interface);

/* A group in state OPEN, in no list but that of all; NULL: the interface has none left. */
struct page_group *ciommu_page_group_take(struct ciommu_page_interface *interface, uint32_t pasid,
                                          uint32_t index);
/* Gives it back with its pages. It is in no list but that of all. */
void ciommu_page_group_recycle(struct page_group *group);
void ciommu_page_group_drop_pages(struct page_group *group);

/* Where incomplete groups of this name are. */
static inline struct page_list *page_open_list(struct ciommu_page_interface *interface,
                                               uint32_t pasid, uint32_t index) {
    return &interface->open[(pasid * 31 + index) % PAGE_OPEN_LISTS];
}

/* The incomplete group of this name, or NULL. */
struct page_group *ciommu_page_group_find(struct ciommu_page_interface *interface, uint32_t pasid,
                                          uint32_t index);

/* Adds a page unless the group has it (only its first pages are looked at): CIOMMU_OK,
 * CIOMMU_EXISTS, or CIOMMU_NO_SPACE. */
enum ciommu_status ciommu_page_group_add(struct page_group *group, uint64_t address,
                                         uint32_t access);

/* The queued or read group that asks the same address space for the same pages, or NULL; computes
 * the group's hash. */
struct page_group *ciommu_page_group_leader(const struct ciommu_page_queue *queue,
                                            struct page_group *group);
void ciommu_page_group_list(struct page_group *group);   /* to be found so */
void ciommu_page_group_unlist(struct page_group *group); /* no more; also if it never was */

#endif
