/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * device.h - the device table that the host fills: source ids, the devices that share them, what is
 * attached or bound, and to whom a (source id, PASID) belongs.
 *
 * Protocol (device table)
 *   Readers      lock-free, under the RCU read lock: source id -> source -> attachment, or bound
 *                table, or owners. Ports keep what they resolved until a section finds a new
 *                tablegen (port.h).
 *   Writers      the unit's table lock.
 *   Publication  one store-release per entry, of something complete. Attaching where nothing was
 *                invalidates nothing, because "blocked" is never cached. Making a device takes its
 *                PASIDs from the guest's tables, or from what is bound to the parent: sections are
 *                drained and devices asked as for any other change.
 *   Changes      tablegen++, replace or unlink with one store, tablegen++; then (unlocked) ugen++
 *                and drain. A section that began before keeps the old attachment to its end or
 *                takes the new one; there is no moment without either.
 *   Removal      sources, attachments, bound tables, owners and devices go through call_rcu.
 *   Guarantee    after the drain no section uses what was replaced or detached, and then, asked, no
 *                device (tlb_ask.h).
 */
#ifndef CIOMMU_DEVICE_H
#define CIOMMU_DEVICE_H

#include "domain.h"
#include "pasid_table.h"

/* A device that uses an attachment; more than one under a shared-PASID policy. */
struct holder {
    struct ciommu_device *device; /* NULL = none; readers acquire */
    struct holder *next;          /* readers acquire */
};

/* What one entry of a source's tables leads to. Freed with all its holders. */
struct attachment {
    struct rcu_head rcu;
    struct deferrals *deferrals; /* constant, like all up to `holder` */
    struct resolved resolved;
    struct ciommu_domain *domain; /* writers only: readers may outlive it */
    uint32_t source;
    uint32_t requested; /* the PASID, or CIOMMU_NO_PASID */
    uint64_t serial;    /* order of making, in the unit */
    /* Table lock: among those of the domain. */
    struct attachment *older;
    struct attachment *newer;
    struct attachment *leaving; /* of `departures` */
    struct holder holder;
};

/* Attachments that no request is resolved to any more, but that stay in their domain's list until
 * their devices have been asked to drop everything: an unmap in another thread must not return
 * before that. Empty where the unit has no device-TLB. */
struct departures {
    struct attachment *first;
};

/* A guest's PASID table. Constant. */
struct bound_table {
    struct rcu_head rcu;
    struct deferrals *deferrals;
    uint64_t serial; /* as an attachment's */
    uint64_t directory;
    uint32_t pasid_limit;
    uint32_t rid_pasid;
};

/* The slices that meet in one range of PASIDs. Constant, but that a device which goes is replaced
 * by NULL. */
struct owners {
    struct rcu_head rcu;
    struct deferrals *deferrals;
    struct owners *next; /* sets of a source; table lock */
    uint32_t first;      /* the range */
    uint32_t last;
    uint32_t count;
    struct ciommu_device *devices[]; /* in the order of their making */
};

/* A source id that has devices. */
struct source {
    struct rcu_head rcu;
    struct deferrals *deferrals;    /* constant */
    uint32_t id;                    /* constant */
    struct attachment *untagged;    /* requests without PASID; readers acquire */
    struct pasid_table attachments; /* struct attachment */
    struct pasid_table slices;      /* struct owners */
    struct ciommu_device *main;     /* the WHOLE or PARENT device; readers acquire */
    struct ciommu_device *first;    /* devices, oldest first; table lock */
    struct ciommu_device *last;
    struct owners *shared; /* sets of more than one device; table lock */
};

struct ciommu_device {
    struct rcu_head rcu;
    struct ciommu_unit *unit; /* constant, like all up to `bound` */
    struct source *source;
    struct ciommu_device_config config;
    uint64_t serial;                     /* order of making */
    struct owners *own;                  /* the set of this slice alone */
    struct bound_table *bound;           /* table lock; readers acquire */
    struct ciommu_fault_queue *faults;   /* its queue, or NULL; table lock; readers acquire */
    uint64_t attachments;                /* held; table lock */
    struct ciommu_message_store *stores; /* table lock */
    struct ciommu_device *next;          /* of the source; table lock */
    struct ciommu_device *previous;
    struct ciommu_device *bucket; /* of the same hash; table lock */
};

#define SOURCES_LG2 8u
#define SOURCES_MASK ((1u << SOURCES_LG2) - 1)

struct source_page {
    struct source *sources[SOURCES_MASK + 1]; /* readers acquire */
};

#define DEVICE_BUCKETS 1024u

struct devices {
    struct source_page *pages[SOURCES_MASK + 1];   /* made when needed, kept; readers acquire */
    struct ciommu_device *buckets[DEVICE_BUCKETS]; /* by id; table lock */
    uint64_t count;                                /* table lock */
    uint64_t serial;                               /* table lock */
    struct deferrals deferrals;
};

/* The source's devices, or NULL: the guest's tables decide. Under the RCU read lock. */
static inline struct source *ciommu_source_find(const struct devices *devices, uint32_t source) {
    const struct source_page *page = load_acquire(&devices->pages[source >> SOURCES_LG2]);
    return page == NULL ? NULL : load_acquire(&page->sources[source & SOURCES_MASK]);
}

/* What is attached for `pasid` (or CIOMMU_NO_PASID), or NULL. Under the RCU read lock. */
static inline const struct attachment *ciommu_source_attachment(const struct source *source,
                                                                uint32_t pasid) {
    return pasid == CIOMMU_NO_PASID ? load_acquire(&source->untagged)
                                    : pasid_table_find(&source->attachments, pasid);
}

/* The guest's table that `pasid` is looked up in, or NULL. Under the RCU read lock. */
const struct bound_table *ciommu_source_bound(const struct source *source, uint32_t pasid);

/* Fills device and attribution flags of a fault of this source; the device, or NULL. Under the RCU
 * read lock. */
const struct ciommu_device *ciommu_source_attribute(const struct source *source,
                                                    struct ciommu_fault *fault);

/* Of the devices that could have sent a request with this PASID, the one made next after `device`
 * (NULL: the first one), or NULL. Under the RCU read lock. */
const struct ciommu_device *ciommu_source_younger(const struct source *source, uint32_t pasid,
                                                  const struct ciommu_device *device);

/* No device is left. */
void ciommu_devices_fini(struct devices *devices);

/* Is there a device of this id? Table lock. */
bool ciommu_device_find(struct devices *devices, uint64_t id);

/* All below: table lock, between two moves of tablegen where something goes. */

/* The set of one device, or of several that the caller fills in; NULL without memory. */
struct owners *ciommu_owners_make(struct devices *devices, uint32_t count);

/* Is the device's a slice that meets the range? */
bool ciommu_slice_touches(const struct ciommu_device *device, uint32_t first, uint32_t last);

/* Enters the slice of a device that is in its source's list already. */
enum ciommu_status ciommu_slice_enter(struct devices *devices, struct ciommu_device *device);
/* Takes it out again. Needs no memory. */
void ciommu_slice_leave(struct ciommu_device *device);

/* May `device` attach to `pasid` (or CIOMMU_NO_PASID)? */
enum ciommu_status ciommu_device_owns(const struct ciommu_device *device, uint32_t pasid);

/* Detaches and unbinds everything of a device, or of every device. Needs no memory. */
void ciommu_device_clear(struct ciommu_device *device, struct departures *departures);
void ciommu_devices_clear(struct devices *devices, struct departures *departures);

/* The end of a change: settles, asks devices, cancels page requests, and lets what departs go.
 * Outside locks. */
struct tlb_target;
struct page_target;
enum ciommu_status ciommu_departures_end(struct ciommu_unit *unit, struct departures *departures,
                                         const struct tlb_target *target,
                                         struct page_target *pages);

/* What of page requests the end of one attachment or bound table of the device concerns; its
 * domain, or NULL. Table lock; to be cancelled. */
struct page_target ciommu_pages_of(const struct ciommu_device *device, uint64_t serial,
                                   struct ciommu_domain *domain);

/* Takes a bound table away, if there is one. Table lock, inside a table change. */
void ciommu_device_drop_bound(struct ciommu_device *device);

/* May the caller with this port (or NULL) wait for sections? */
enum ciommu_status ciommu_device_check_port(const struct ciommu_device *device,
                                            const struct ciommu_port *port);

/* What of page requests the end of everything that a device has attached and bound concerns. Table
 * lock. */
struct page_target ciommu_pages_of_device(const struct ciommu_device *device);

#endif
