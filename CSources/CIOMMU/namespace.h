/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * namespace.h - a guest's PASIDs and the host PASIDs behind them. It lies beside the way of a
 * request: hosts translate PASIDs with it before and after they use the unit.
 *
 * Protocol (PASID namespaces)
 *   Readers      lock-free, under the RCU read lock that each lookup takes for itself; a lookup
 *                that must stay true for a while is made inside a section of a port.
 *   Writers      under `lock`. Nothing waits under it, so that a thread inside a section may bind.
 *   Publication  bind stores host -> guest, then guest -> host (pasid_table.h): who finds the host
 *                PASID finds its way back.
 *   Removal      unbind clears guest -> host, then host -> guest; then, without the lock, ugen
 *                moves and the ports drain. The host PASID stays taken all the while.
 *   Reuse        drained: the host PASID is free. Timed out: it goes into quarantine together with
 *                the ugen of that moment, and is free once no section is open that has not seen
 *                that ugen (ciommu_ports_horizon). Each later bind and unbind looks, and never
 *                waits for it.
 *   Guarantee    what a section found is not given to another guest PASID before it ends.
 *   Stale        a section that began before an unbind may have found the pair, and may use it
 *                until it ends.
 *   Ranges       the namespaces of a unit are disjoint: a list under the unit's namespaces_lock.
 */
#ifndef CIOMMU_NAMESPACE_H
#define CIOMMU_NAMESPACE_H

#include "ciommu_domains.h"
#include "pasid_pool.h"
#include "pasid_table.h"
#include "unit.h"

/* A host PASID that a section may still use. */
struct quarantined {
    uint64_t ugen; /* free when every open section has seen it */
    uint32_t host;
};

/* First in, first out; in the order of ugen, too. */
struct quarantine {
    struct quarantined *ring;
    uint32_t capacity; /* a power of two, or 0 */
    uint32_t head;
    uint32_t count;
};

/* Invariants: a host PASID is taken in the pool if it is bound, in quarantine, or an unbind waits
 * for sections. The quarantine has room for all that are taken, so that unbind needs no memory. */
struct ciommu_namespace {
    struct pasid_table hosts;  /* guest -> host; writers under lock */
    struct pasid_table guests; /* host -> guest; writers under lock */

    struct ciommu_unit *unit; /* constant */
    pthread_mutex_t lock;
    struct pasid_pool pool;       /* lock; its first and count are constant */
    struct quarantine quarantine; /* lock */
    struct deferrals deferrals;
    struct ciommu_namespace *next; /* namespaces_lock of the unit */
};

#endif
