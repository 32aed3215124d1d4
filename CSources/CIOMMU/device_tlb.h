/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * device_tlb.h - the caches that devices keep themselves (ATS): who has one, which requests to drop
 * something are open, and who is blocked. What is asked of whom stands in tlb_ask.h, asking and
 * waiting in tlb_round.h. It knows source ids and PASIDs, neither domains nor devices.
 *
 * Protocol (device-TLBs)
 *   Readers      hits, and walks of bindings that the port remembers, load nothing: what a port
 *                remembers is of nobody blocked. Who resolves loads `tlbs_blocked` (relaxed), and
 *                if one is, finds the device-TLB of (source, PASID) lock-free, under the RCU read
 *                lock.
 *   Writers      the registry (sources, list, count, `blocked`, `blocks`): the table lock; lookups
 *                of writers hold it too. Requests, users and counters: `tlbs.lock`.
 *   Locks        domain lock -> table lock -> tlbs.lock. Nobody waits for sections or for devices
 *                under any of them, and no handler or clock is called under one.
 *   Asking       only after the caches were invalidated and the ports drained: a device stores an
 *                answer inside the section that produced it, so whatever it got from before the
 *                change is in its cache before it is asked, and what it gets later is true.
 *   Answering    the first answer closes the request under tlbs.lock. Ids are a 64-bit counter, so
 *                an answer that comes late or twice meets no newer request.
 *   Blocking     table lock: blocked = BLOCKING, tlbs_blocked++, tablegen moves; then (unlocked)
 *                ugen++ and drain, then blocked = BLOCKED (release). A section that begins later
 *                synchronises with ugen (enter), so its relaxed load sees the counter and its port
 *                has forgotten what it resolved; answers of a blocked device are faults, and faults
 *                are never cached. So a port remembers a binding again only after its device was
 *                found working, in a section that the next block makes stale. A round that meets
 *                BLOCKING settles itself before it returns, because the blocker's drain may not be
 *                over. Who has drained marks only the block that it drained for (`blocks`): since
 *                then the device may have come back and been blocked anew.
 *   Guarantee    when a round returns, each device in it has answered, or is blocked and no section
 *                from before runs: either way it uses nothing from before the change.
 *   Unblocking   retry: drain, then ask for everything; reset: drain. Nothing was given to the
 *                device while it was blocked, and sections from before are over, so it holds
 *                nothing. Not if it was blocked anew meanwhile (`blocks` moved). A reset believes
 *                that the device was cleared only if it was BLOCKED by then: before, a section from
 *                before the block may store an answer after the clearing, which invalidations
 *                since did not ask for. One that meets BLOCKING ends the block's drain and refuses,
 *                so that the host clears the device once more.
 *   Joining      one that takes PASIDs over from a parent's (`whole`, TLB_OF_REST), which may hold
 *                translations of them. While `joining` the parent is asked along with it, and
 *                blocks with it; then: drain, ask the parent for everything, joining = false. What
 *                the parent did not drop makes the new one be unlinked again. The other way round
 *                nothing is handed over: a device-TLB that goes was asked for everything, and the
 *                parent was given nothing of its PASIDs.
 *   Removal      destroying moves tablegen, so that tokens of answers die (port.h), asks for
 *                everything, unlinks under the table lock, closes what is open, waits until no
 *                round holds it (`users`), then frees through call_rcu. Unlinking moves tablegen
 *                too: what is its parent's from then on may be blocked.
 *   Owing        a drain that timed out leaves sections that may still store an answer after their
 *                device was asked. Then `owed` moves, and ciommu_unit_drain and wait descriptors
 *                ask everybody for everything once the sections have ended. Who does so reads
 *                `owed` before it drains and stores what it read in `paid` after the devices have
 *                dropped: until then whoever else comes asks too.
 *   Left out     no note of who may hold translations at all: clearing one by a global flush is
 *                sound only if other rounds wait for that flush, which costs more than asking.
 */
#ifndef CIOMMU_DEVICE_TLB_H
#define CIOMMU_DEVICE_TLB_H

#include "ciommu_invalidation.h"
#include "pasid_table.h"

#include <pthread.h>

#define TLB_DEPTH_MOST 32u
#define TLB_BUCKETS 64u
#define TLB_RECENT 1024u
#define TLB_ROUND_TRIPS 40u

struct tlb_item;

/* A request in flight. tlbs.lock. */
struct tlb_slot {
    uint64_t id; /* 0 = free */
    struct ciommu_device_tlb *tlb;
    struct tlb_item *item; /* of the round that waits for it (tlb_round.h) */
    uint64_t sent;         /* by the device-TLB's clock */
};

/* What the devices of one physical function share. tlbs.lock. */
struct tlb_function {
    struct tlb_function *next;
    uint32_t pfsid; /* constant */
    uint32_t depth; /* constant */
    uint32_t members;
    uint32_t open;
    uint64_t ended; /* requests that were answered, timed out or void */
    struct tlb_slot slots[TLB_DEPTH_MOST];
};

/* The device-TLBs of a source id. */
struct tlb_source {
    struct rcu_head rcu;
    struct tlb_source *next;            /* of the bucket; table lock, readers acquire */
    uint32_t id;                        /* constant */
    uint32_t members;                   /* table lock */
    struct ciommu_device_tlb *untagged; /* requests without PASID alone; readers acquire */
    struct ciommu_device_tlb *whole;    /* whatever the others leave; readers acquire */
    struct pasid_table ranges;          /* struct ciommu_device_tlb */
    struct device_tlbs *tlbs;           /* constant */
};

/* Whose translations it holds. */
enum tlb_place {
    TLB_OF_RANGE = 0, /* of a range of PASIDs */
    TLB_OF_UNTAGGED,  /* of requests without PASID */
    TLB_OF_SOURCE,    /* of all, and there is no other */
    TLB_OF_REST       /* of what the others leave */
};

enum tlb_blocked { TLB_WORKING = 0, TLB_BLOCKING, TLB_BLOCKED };

enum tlb_presence { TLB_PRESENT = 0, TLB_GONE, TLB_GONE_IN_VAIN };

struct ciommu_device_tlb {
    struct rcu_head rcu;
    struct ciommu_unit *unit; /* constant, like all up to `serial` */
    struct ciommu_device_tlb_config config;
    enum tlb_place place;
    struct tlb_source *source;
    struct tlb_function *function;
    uint64_t serial; /* order of making */

    struct ciommu_device_tlb *next; /* older; table lock */
    uint64_t blocks;                /* times it was blocked; table lock */
    bool linked;                    /* table lock */
    uint32_t blocked;               /* enum tlb_blocked; table lock, readers acquire */
    bool joining; /* its parent's may hold translations of it; table lock, readers acquire */

    /* tlbs.lock */
    enum tlb_presence presence;
    uint32_t users; /* rounds and answers that hold it */
    uint32_t open;
    uint64_t requests;
    uint64_t answers;
    uint64_t late_answers;
    uint64_t timeouts;
    uint64_t errors;
    uint64_t round_trip[TLB_ROUND_TRIPS];
};

/* Whose a request was, for as long as the entry is not used again. */
struct tlb_recent {
    uint64_t id;
    struct ciommu_device_tlb *tlb;
    struct tlb_slot *slot;
};

/* The device-TLBs of a unit. */
struct device_tlbs {
    uint64_t count;                   /* table lock; readers acquire */
    uint64_t serial;                  /* of attachments, children and device-TLBs; table lock */
    struct ciommu_device_tlb *newest; /* table lock */
    struct tlb_source *buckets[TLB_BUCKETS]; /* table lock, readers acquire */
    uint32_t coarse;                         /* relaxed */
    struct deferrals deferrals;

    pthread_mutex_t lock;
    pthread_cond_t moved; /* `events` moved, or a user went */
    /* lock */
    uint64_t events; /* moves whenever a request ends */
    uint64_t last_id;
    uint64_t owed; /* times a drain timed out that devices depended on */
    uint64_t paid; /* of those, made up for */
    struct tlb_function *functions;
    struct tlb_recent *recent; /* TLB_RECENT; made with the first device-TLB */
};

void ciommu_device_tlbs_init(struct device_tlbs *tlbs);
/* No device-TLB is left. */
void ciommu_device_tlbs_fini(struct device_tlbs *tlbs);

/* The device-TLB that holds translations of (source, pasid or CIOMMU_NO_PASID), or NULL. Under the
 * RCU read lock or the table lock. */
struct ciommu_device_tlb *ciommu_device_tlb_find(const struct device_tlbs *tlbs, uint32_t source,
                                                 uint32_t pasid);

/* The parent's device-TLB if it is to be asked along with this one, or NULL. Under the RCU read
 * lock or the table lock. */
static inline struct ciommu_device_tlb *
ciommu_device_tlb_companion(const struct ciommu_device_tlb *tlb) {
    return load_acquire(&tlb->joining) ? load_acquire(&tlb->source->whole) : NULL;
}

/* Is (source, pasid) blocked? For requests that found unit->tlbs_blocked not zero. Under the RCU
 * read lock. */
bool ciommu_device_tlb_blocks(const struct device_tlbs *tlbs, uint32_t source, uint32_t pasid);

/* Marks it, unless it is blocked or unlinked already. True: it was marked, inside a table change
 * that the caller began. Table lock. */
bool ciommu_device_tlb_block(struct ciommu_device_tlb *tlb);
/* The drain after that is over, of the block that was number `blocks`. Table lock. */
void ciommu_device_tlb_blocked(struct ciommu_device_tlb *tlb, uint64_t blocks);

uint64_t ciommu_device_tlb_now(const struct ciommu_device_tlb *tlb);

/* All below: tlbs.lock. */

/* Takes a slot for `item`, or NULL if the physical function has none free. */
struct tlb_slot *ciommu_device_tlb_open(struct ciommu_device_tlb *tlb, struct tlb_item *item,
                                        uint64_t now);
/* Ends a request: its item becomes `state`. */
void ciommu_device_tlb_close(struct device_tlbs *tlbs, struct tlb_slot *slot, uint32_t state);
void ciommu_device_tlb_let_go(struct device_tlbs *tlbs, struct ciommu_device_tlb *tlb);

#endif
