/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * domain.h - what a host's device is translated by: blocked, identity, paging (host-owned second
 * stage), nested (guest's first stage over a paging domain). It knows spaces and paging structures,
 * not devices.
 *
 * Protocol (domains)
 *   Readers      walks use the domain's space and paging structures through an attachment
 *                (device.h), never the domain itself.
 *   Writers      paging structures: `lock`. Counts of users: the unit's table lock, taken inside
 *                `lock` where both are held.
 *   Changes      edit, then under the table lock invalidate the space (and so the children, see
 *                space.h), then ugen++ and drain (ciommu_unit_settle), then devices, then
 *                observers. A mapping of free addresses invalidates nothing: absence is never
 *                cached.
 *   Removal      destroying needs that no attachment and no child is left. The space goes first
 *                (its birth moves), the paging structures after it, both through call_rcu.
 */
#ifndef CIOMMU_DOMAIN_H
#define CIOMMU_DOMAIN_H

#include "ciommu_domains.h"
#include "paging.h"
#include "port.h"

struct ciommu_page_queue;

struct ciommu_domain {
    enum ciommu_domain_kind kind; /* constant, like all up to `lock` */
    uint32_t flags;               /* CIOMMU_PAGING_* */
    uint32_t bits;                /* input address bits of a paging domain */
    uint32_t id;                  /* HOST_DOMAIN_FIRST...; names the space in invalidations */
    struct ciommu_unit *unit;
    struct ciommu_domain *parent; /* of a nested domain */
    struct ciommu_space *space;   /* NULL: blocked */
    struct resolved resolved;     /* what a request that it translates is resolved to */

    pthread_mutex_t lock; /* paging structures */
    struct paging paging;

    /* Table lock. */
    uint32_t attachments; /* with those that are leaving */
    uint32_t children;
    uint64_t serial;                      /* of a nested domain, among its parent's children */
    struct attachment *newest_attachment; /* (device.h) */
    struct ciommu_domain *newest_child;
    struct ciommu_domain *older; /* of the parent's children */
    struct ciommu_domain *newer;

    struct ciommu_page_queue *page_queue; /* pages.lock (pages.h) */
};

/* The host's domains of a unit. */
struct domains {
    struct page_store pages;
    struct ciommu_domain blocked;
    struct ciommu_domain identity;
    uint32_t count;   /* table lock: paging and nested domains that exist */
    uint32_t next_id; /* table lock */
};

/* Makes the fixed domains. The unit's spaces exist. */
enum ciommu_status ciommu_domains_init(struct ciommu_unit *unit, uint64_t table_pages);
/* No host-made domain is left, and nothing is deferred. */
void ciommu_domains_fini(struct ciommu_unit *unit);

#endif
