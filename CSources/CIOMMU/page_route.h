/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * page_route.h - whose a page request is: from (interface, PASID) through the device table to an
 * attachment and its domain's queue, or through a guest's context entry to the queue of the
 * guest's tables. It changes nothing.
 */
#ifndef CIOMMU_PAGE_ROUTE_H
#define CIOMMU_PAGE_ROUTE_H

#include "pages.h"

enum page_place {
    PAGE_AT_NOTHING = 0, /* nothing is attached for this device */
    PAGE_AT_NOBODY,      /* but nobody takes page requests there */
    PAGE_AT_QUEUE,
    PAGE_AT_GUEST /* the guest's root table decides, and was not asked */
};

struct page_route {
    enum page_place place;
    struct ciommu_page_queue *queue; /* PAGE_AT_QUEUE */
    uint64_t serial;                 /* of the attachment or bound table; 0: the root table */
    uint32_t space;                  /* as in struct page_group */
};

/* What the guest's root table says of page requests. */
enum page_verdict {
    PAGE_NOT_ASKED = 0,
    PAGE_ALLOWED,
    PAGE_FAULTED, /* recorded, where it has to be */
    PAGE_DISABLED /* translation is */
};

/* pages.lock. `verdict` is what ciommu_page_ask_guest said before, if it was asked. */
struct page_route ciommu_page_route(const struct ciommu_page_interface *interface, uint32_t pasid,
                                    enum page_verdict verdict);

/* Reads the guest's root and context entries in a section of `port`, or of a borrowed one
 * (CIOMMU_NO_PORT). Outside locks. `access` and `address` are for the fault. */
enum ciommu_status ciommu_page_ask_guest(const struct ciommu_page_interface *interface,
                                         struct ciommu_port *port, uint32_t pasid, uint64_t address,
                                         uint32_t access, enum page_verdict *verdict);

#endif
