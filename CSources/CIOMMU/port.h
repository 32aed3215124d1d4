/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * port.h - a host thread's way in: the section word, the first level, the walk cache, resolved
 * bindings, the fault ring, counters. The fixed-layout prefix and its protocol stand in
 * ciommu_inline.h; here is the rest, and the drain.
 *
 * Protocol (sections and drain)
 *   Enter        state odd (full barrier), then load ugen. Changed: load tablegen and mapgen first.
 *                tablegen moved: bindings and first level die. mapgen moved: first level, walk
 *                cache and windows die (they hold host pointers). Otherwise first-level entries are
 *                checked one by one before their next use (ciommu_port_revalidate).
 *   Drain        after all bumps: full barrier, then every port's state is loaded (acquire); an odd
 *                one is waited for until it moves. Pairs with enter's exchange and leave's
 *                store-release.
 *   Horizon      the same later, without waiting: an odd state belongs to a section from after the
 *                change if seen_ugen (owner: store-release; load-acquire) is the ugen that followed
 *                the change, or a newer one.
 *   Reports      `reporting` is odd from before the leave of a section that wrote until the dirty
 *                log has heard of it. A drain and then a wait for `reporting` (quiesce) therefore
 *                miss no write of a section from before.
 *   Slots        a port is published in the unit's array before its first enter and never freed
 *                before the unit.
 *
 * Protocol (tokens of ATS answers)
 *   Taking       `ugen` and `tables` are what the section saw when it resynchronised, so no binding
 *                that it uses is older than `tables`, and no walk began before `ugen`. `space` and
 *                `generation` are those that the first level would be stamped with: loaded before
 *                the walk or the probe, the space alive afterwards. Uncached answers have no space.
 *   Checking     inside a section, seq_cst: `ugen` is still the unit's, or else `tables` is still
 *                tablegen and `generation` still the space's.
 *   Why          the section's enter is a full barrier before the check. An invalidation or change
 *                that covers the answer moves the space's generation (children after parents) or
 *                tablegen, then ugen, then looks at the ports' states, all seq_cst. If the check
 *                saw the old values, it came before the move, so the state was odd before it was
 *                looked at: the drain waits for the section, and only then is the device asked,
 *                which drops what was stored. If the move came first, the check fails. What covers
 *                the answer and moved before it was given is in it.
 *   Slots        generations never repeat in a slot, so a space that came after another in the same
 *                slot fails the check. The first move of an odd tablegen fails it too.
 *   Left out     mapgen: an answer is an output address, which outlives what lies behind it. The
 *                range: any invalidation of the space fails the check.
 *
 * Protocol (walk cache): owner only. An entry holds the host address of a paging table and what the
 * levels above it granted. It is good while its space's walk_generation is the one read before the
 * walk; slots never repeat a walk_generation.
 *
 * The fault ring's protocols stand in fault_ring.h and faults.h.
 */
#ifndef CIOMMU_PORT_H
#define CIOMMU_PORT_H

#include "ciommu_inline.h"
#include "fault_ring.h"
#include "memory.h"
#include "space.h"

#define BINDING_SLOTS 16u
#define WINDOWS 2u
#define DIRTY_SLOTS 64u

/* Processors fetch cache lines in pairs of this size. */
#define LINE_PAIR 128u

/* Bits of head.leave_work, which the outermost leave does. */
#define LEAVE_REPORTS 1u /* the dirty log hears of what the section wrote */
#define LEAVE_WAKES 2u   /* the event thread is to look at the fault ring */

/* What a (source, PASID) entry says, as a value: a copy stays meaningful after the original is
 * gone. */
struct resolved {
    struct ciommu_space *space; /* NULL: uncached, walk `shape` given apart */
    uint64_t birth;             /* of the space when the binding was made */
    uint32_t domain;
    uint32_t attributes;     /* CIOMMU_ATTRIBUTE_* of every answer */
    uint32_t pasid;          /* effective: explicit or implied */
    bool fault_disabled;     /* FPD */
    bool privileged;         /* implied privilege of requests without PASID */
    bool supervisor_allowed; /* SRE, or a space that ignores privilege */
    bool execute_allowed;    /* ERE, or a revision without execute requests */
    bool device_tlb;         /* ATS translation requests are allowed (TT = 1, DTE) */
    bool unstable;           /* the guest kept changing the entry: not to be cached */
    bool legacy;
};

/* What a binding says to requests of one privilege: all that stands between them and a leaf, in
 * the form in which a hit needs it (resolve.h: ciommu_grant). */
struct grant {
    struct ciommu_space *space; /* NULL: nothing is taken from caches */
    uint64_t birth;             /* of the space */
    const struct space_shape *shape;
    uint64_t bias; /* an input address is legal if its sum with `bias` has no bit of `outside` */
    uint64_t outside;
    uint32_t attributes; /* CIOMMU_ATTRIBUTE_* of every answer */
    uint32_t usable;     /* the rights that an entry may grant, both halves */
    uint8_t shift;       /* to the half of the rights that counts: 0 user, 3 privileged */
    bool explicit_pasid; /* without, the half that counts stands for both */
    bool passes;         /* the output is the input */
    bool short_way;      /* a plain request may be answered from here */
    bool quick;          /* its walk may be a quick one (quick_walk.h) */
    bool tables_first;   /* known leaf tables are read before the IOTLB is asked (short_way.h) */
    bool fault_disabled;
    bool legacy;
};

/* One requester's way to its leaves: the binding, and the counters of its space, loaded before
 * anything that they cover is read. For as many requests of one section as share it. */
struct way {
    const struct grant *grant;
    struct ciommu_space *space; /* NULL: nothing is taken from caches, or kept in them */
    uint64_t generation;
    uint64_t walk_generation;
    uint64_t parent_walk_generation;
    uint64_t tag; /* space.h */
};

struct binding_slot {
    uint64_t requester; /* empty: one whose place is another slot */
    struct grant grant; /* to plain requests (short_way.h) */
    struct resolved resolved;
} __attribute__((aligned(64)));

static inline uint64_t binding_slot(uint64_t requester) {
    return (requester ^ requester >> 4 ^ requester >> 32) % BINDING_SLOTS;
}

/* A paging table that a walk came through. One cache line. */
struct walk_entry {
    uint64_t key;             /* walk.h: walk_key; UINT64_MAX = empty */
    uint64_t walk_generation; /* of the space, read before the walk */
    unsigned char *host;      /* the table */
    uint64_t address;         /* its output address */
    uint64_t guest;           /* its address as the first stage names it (nested) */
    uint32_t rights;          /* accumulated above it */
    uint32_t host_rights;     /* of the memory it lies in */
    uint64_t reserved[2];
};

struct dirty_range {
    uint64_t first;
    uint64_t last;
};

struct ciommu_port {
    struct ciommu_port_head head;

    /* Owner. */
    uint64_t floor; /* first-level entries of an older epoch are dead */
    uint64_t seen_tablegen;
    uint64_t seen_mapgen;
    uint64_t random;          /* victim choice */
    struct ciommu_unit *unit; /* constant */
    struct walk_entry *walks; /* constant; NULL = no walk cache */
    uint64_t walk_mask;       /* constant */
    struct memory_window windows[WINDOWS];
    struct binding_slot bindings[BINDING_SLOTS];

#ifdef CIOMMU_INTERNAL_CHECKS
    /* Who opened the section that made `state` odd; nobody's if `entered_state` is another one.
     * Owner; ciommu_ports_hold_caller reads. */
    uint64_t entered_state;
    uint64_t entered_by;
#endif

    /* Owner: what the section wrote, for the dirty log. */
    uint32_t dirty_count;
    struct dirty_range dirty[DIRTY_SLOTS];

    /* Owner writes, statistics read. */
    uint64_t lookups_slow;
    uint64_t iotlb_hits;
    uint64_t page_walks;
    uint64_t faults;
    uint64_t orphans; /* faults that had no queue to go to */
    uint64_t binding_walks;
    uint64_t uncached;

    uint32_t id; /* constant */
    struct fault_ring ring;

    /* Odd while the owner runs the dirty log or is about to; pairs with ciommu_ports_quiesce. */
    uint64_t reporting __attribute__((aligned(64)));

    /* Pool: 1 while borrowed or owned. Registry: lock of the unit for create and destroy. */
    uint32_t taken __attribute__((aligned(64)));
} __attribute__((aligned(LINE_PAIR)));

/* Sizes of what a port holds; from the unit's configuration. */
struct port_sizes {
    uint32_t first_level;
    uint32_t walks;
    uint32_t faults;
};

/* Allocates a port; NULL without memory. */
struct ciommu_port *ciommu_port_allocate(struct ciommu_unit *unit, const uint64_t *ugen,
                                         uint32_t id, const struct port_sizes *sizes);
void ciommu_port_free(struct ciommu_port *port);

/* Forgets everything of the former owner: caches, and where there are no fault queues, faults that
 * nobody took (they count as lost). */
void ciommu_port_recycle(struct ciommu_port *port);

static inline bool port_is_inside(const struct ciommu_port *port) {
    return port->head.depth != 0;
}

/* ciommu_port_enter and _leave, inlined where nothing watches sections. */
static inline void port_enter(struct ciommu_port *port) {
#ifdef CIOMMU_INTERNAL_CHECKS
    ciommu_port_enter(port);
#else
    ciommu_enter(port);
#endif
}

static inline void port_leave(struct ciommu_port *port) {
    if (port->head.depth == 1) {
        yield_point(CIOMMU_YIELD_LEAVING);
    }
    ciommu_leave(port);
}

/* Borrows a pooled port, lock-free, in at most one pass over the pool; NULL when all are taken. */
struct ciommu_port *ciommu_port_borrow(struct ciommu_unit *unit);
void ciommu_port_give_back(struct ciommu_port *port);

/* Notes a write of the engine, to be reported when the section ends. */
void ciommu_port_note_write(struct ciommu_port *port, uint64_t address, uint64_t length);

#define DRAIN_TIMES 40u

/* The ports of a unit. */
struct ports {
    struct ciommu_port **slots; /* `limit` pointers; published store-release, never taken back */
    uint32_t limit;             /* constant */
    uint32_t count;             /* slots in use so far; store-release after the slot */
    uint64_t timeout;           /* constant, nanoseconds */
    uint64_t
        waits[DRAIN_TIMES]; /* drains that had to wait, by the base-2 logarithm of nanoseconds */
};

/* Waits until every section that was open at the call has ended; CIOMMU_TIMED_OUT names a port that
 * had not. */
enum ciommu_status ciommu_ports_drain(struct ports *ports, uint32_t *port_id);

/* Every section that is open has seen this ugen, or a later one; UINT64_MAX = none is open. Waits
 * for nothing. Whoever changed something, settled in vain and then loaded ugen asks again: once the
 * horizon is there or beyond, no section from before the change runs. */
uint64_t ciommu_ports_horizon(const struct ports *ports);

#ifdef CIOMMU_INTERNAL_CHECKS
/* Is the calling thread inside a section of one of the ports? Sections opened by the inlined enter
 * (ciommu_inline.h) are not recorded; one that was handed to another thread counts as that of the
 * thread which opened it. Implementation: debug builds only, so that a release enter stores nothing
 * more. */
bool ciommu_ports_hold_caller(const struct ports *ports);
#else
static inline bool ciommu_ports_hold_caller(const struct ports *ports) {
    (void)ports;
    return false;
}
#endif

/* Would a call that waits for sections wait for its own caller? `port` is the caller's, or NULL. */
static inline bool ports_wait_for_caller(const struct ports *ports,
                                         const struct ciommu_port *port) {
    return port != NULL ? port_is_inside(port) : ciommu_ports_hold_caller(ports);
}

/* The same for running dirty-log reports. */
enum ciommu_status ciommu_ports_quiesce(const struct ports *ports);

#endif
