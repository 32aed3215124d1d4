/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * debug.h - assertions, protocol mutants, yield points and the count of loads from guest memory.
 * All vanish unless CIOMMU_INTERNAL_CHECKS is defined (debug builds).
 *
 * A mutant is a deliberate break of one rule of the protocol: the stress test proves that it would
 * notice. A yield point is a place where a preemption is interesting: the test's hook sleeps or
 * yields there, or runs an invalidation.
 */
#ifndef CIOMMU_DEBUG_H
#define CIOMMU_DEBUG_H

#include "atomics.h"

enum ciommu_mutant {
    CIOMMU_MUTANT_NONE = 0,
    CIOMMU_MUTANT_ONE_BUMP,        /* no second generation bump after the ways are cleared */
    CIOMMU_MUTANT_LATE_GENERATION, /* generation loaded after the walk instead of before */
    CIOMMU_MUTANT_BUMP_AFTER_SCAN, /* the only bump comes after the scan */
    CIOMMU_MUTANT_PLAIN_ENTER,     /* section entered with a plain store, no full barrier */
    CIOMMU_MUTANT_NO_DRAIN,        /* invalidation does not wait for sections */
    CIOMMU_MUTANT_CHILD_FIRST,     /* children bumped before the parent's generations and ways */
    CIOMMU_MUTANT_IGNORE_TABLEGEN, /* a port keeps its bindings and first level over a table change
                                    */
    CIOMMU_MUTANT_IGNORE_MAPGEN,   /* a port keeps host pointers over a memory-map change */
    CIOMMU_MUTANT_PUBLISH_UNCHECKED, /* a binding is published although the tables changed meanwhile
                                      */
    CIOMMU_MUTANT_RIGHTS_WITHOUT_D,  /* W is granted by an entry whose D bit is clear */
    CIOMMU_MUTANT_TORN_ENTRY,        /* IOTLB entries are stored and loaded as two halves */
    CIOMMU_MUTANT_INSERT_UNCHECKED,  /* IOTLB insertion does not check the generation again */
    CIOMMU_MUTANT_SIZES_LATE,        /* the size's bit is set after the entry is stored */
    CIOMMU_MUTANT_KEEP_WALKGEN,      /* a non-leaf change leaves the walk caches valid */
    CIOMMU_MUTANT_NO_CHILDREN,       /* a parent's change does not reach its children */
    CIOMMU_MUTANT_NO_REVALIDATE,     /* first-level entries survive a new ugen unchecked */
    CIOMMU_MUTANT_ALIVE_ONCE, /* a space's life is not checked again after its generation was loaded
                               */
    CIOMMU_MUTANT_SIZES_RESET_LATE, /* page sizes forgotten after the new tag is out, not before */
    CIOMMU_MUTANT_SPLIT_WITH_GAP, /* a large page is cleared before the table of its parts is there
                                   */
    CIOMMU_MUTANT_DIRTY_NO_INVALIDATE, /* D is cleared and cached rights to write are kept */
    CIOMMU_MUTANT_REPLACE_WITH_GAP,  /* the old domain is detached before the new one is attached */
    CIOMMU_MUTANT_TABLE_FREED_EARLY, /* a paging structure is overwritten while walks may read it */
    CIOMMU_MUTANT_MERGE_KEEPS_WALKGEN, /* merging leaves the walk caches on the parts' table */
    CIOMMU_MUTANT_DETACH_NO_TABLEGEN,  /* ports keep what they resolved over a detach or replace */
    CIOMMU_MUTANT_PASID_REUSED_EARLY,  /* a host PASID is free before sections that found it end */
    CIOMMU_MUTANT_QUARANTINE_IGNORED,  /* the same, after a drain that timed out */
    CIOMMU_MUTANT_TLB_NOT_BLOCKED,     /* a device that did not answer goes on translating */
    CIOMMU_MUTANT_TLB_BEFORE_DRAIN,    /* devices are asked before the ports are drained */
    CIOMMU_MUTANT_TLB_LATE_ACCEPTED,   /* a late answer ends a newer request of its device */
    CIOMMU_MUTANT_TOKEN_UNCHECKED,     /* an answer of ATS is stored whatever happened meanwhile */
    CIOMMU_MUTANT_MESSAGE_ARMED_EARLY, /* an interrupt message is armed, then gets its PASID */
    CIOMMU_MUTANT_MESSAGE_NO_DRAIN,    /* its PASID changes while sections deliver the old one */
    CIOMMU_MUTANT_FAULT_SLOT_FREED_EARLY, /* a fault ring's slot is free before it was copied */
    CIOMMU_MUTANT_FAULT_LIMIT_LATE, /* faults that came after the rings were looked at are taken */
    CIOMMU_MUTANT_PAGE_ANSWERED_TWICE,    /* a page-request group takes a second response */
    CIOMMU_MUTANT_PAGE_CANCEL_FIRST,      /* detach cancels groups before it unpublishes */
    CIOMMU_MUTANT_FILL_STAMPED_LATE,      /* a first-level entry gets the generation of its fill */
    CIOMMU_MUTANT_SUPERPAGE_MISSED,       /* ranges are cleared at the smallest size alone */
    CIOMMU_MUTANT_RANGE_FORGOTTEN,        /* of several ranges the first is not cleared */
    CIOMMU_MUTANT_TAG_KEPT,               /* a whole space is invalidated under its old tag */
    CIOMMU_MUTANT_CHILD_KEEPS_WALKGEN,    /* a parent's change leaves its children's walk caches */
    CIOMMU_MUTANT_CHILD_KEEPS_TAG,        /* and their entries in the IOTLB */
    CIOMMU_MUTANT_WINDOWS_KEPT,           /* a port keeps its window over a memory-map change */
    CIOMMU_MUTANT_WALKS_KEPT,             /* and its known tables' host addresses */
    CIOMMU_MUTANT_NEW_PORT_MISSED,        /* a drain does not know the youngest port */
    CIOMMU_MUTANT_UGEN_KEPT,              /* sections do not learn of an invalidation */
    CIOMMU_MUTANT_KNOWN_TABLE_UNCHECKED,  /* a known table of an old walk_generation is used */
    CIOMMU_MUTANT_KNOWN_TABLE_GRANTS,     /* what the levels above it denied does not count */
    CIOMMU_MUTANT_MARK_PLAIN,             /* A and D are set by a store, not an exchange */
    CIOMMU_MUTANT_DIRTY_LOG_SILENT,       /* the dirty log does not hear that A and D were set */
    CIOMMU_MUTANT_IOTLB_GRANTS,           /* an entry of the IOTLB grants what it lacks */
    CIOMMU_MUTANT_RESONATING_HASH,        /* IOTLB sets by a multiplicative hash */
    CIOMMU_MUTANT_QUICK_WITHOUT_A,        /* quick walks pass entries whose A bit is clear */
    CIOMMU_MUTANT_QUICK_WITHOUT_D,        /* quick walks for writes pass leaves without D */
    CIOMMU_MUTANT_QUICK_RESERVED,         /* quick walks pass reserved bits */
    CIOMMU_MUTANT_QUICK_INTERRUPTS,       /* quick walks end in the interrupt range */
    CIOMMU_MUTANT_QUICK_UPPER_RIGHTS,     /* quick walks forget what upper levels deny */
    CIOMMU_MUTANT_SHORT_WAY_WIDTH,        /* the short way takes addresses beyond the width */
    CIOMMU_MUTANT_SHORT_WAY_INTERRUPTS,   /* the short way takes messages for memory */
    CIOMMU_MUTANT_SHORT_WAY_USABLE,       /* the short way grants what the binding does not */
    CIOMMU_MUTANT_TAG_UNCHECKED,          /* a tag is not looked at again after a hit */
    CIOMMU_MUTANT_BATCH_MIXES_REQUESTERS, /* a batch answers from another requester's binding */
    CIOMMU_MUTANT_BATCH_MIXES_ACCESSES,   /* a batch answers a write as the read before it */
    CIOMMU_MUTANT_WAIT_BEFORE_DRAIN,      /* a wait descriptor's status precedes the drain */
    CIOMMU_MUTANT_TLB_PARENT_NOT_ASKED,   /* the parent's device-TLB is not asked */
    CIOMMU_MUTANT_FAULT_LOSS_UNCOUNTED,   /* a lost fault is not counted */
    CIOMMU_MUTANT_PAGE_FOLLOWERS_FORGOTTEN, /* only the leader of equal groups is answered */
    CIOMMU_MUTANT_MESSAGE_NOTE_UNCHECKED,   /* a raise noted too late for the unmask is lost */
    CIOMMU_MUTANT_MESSAGE_MASK_NO_DRAIN,    /* mask does not wait for deliveries under way */
    CIOMMU_MUTANT_MESSAGE_FREED_EARLY,      /* an entry is free while deliveries are under way */
    CIOMMU_MUTANT_PASID_TABLE_FREED_EARLY,  /* a PASID table is overwritten while it is read */
    CIOMMU_MUTANT_MAP_FREED_EARLY,          /* a memory map is overwritten while it is searched */
    CIOMMU_MUTANT_UNMAP_NO_INVALIDATE,      /* the host unmaps, and nothing is invalidated */
    CIOMMU_MUTANT_TLB_LEFT_UNSEEN, /* PASIDs fall to a parent's device-TLB, and ports keep theirs */
    CIOMMU_MUTANT_TLB_PAID_EARLY,  /* what a late drain owes is paid before the devices are asked */
    CIOMMU_MUTANT_TLB_BLOCK_MISTAKEN, /* a device's newer block is taken for the one that settled */
    CIOMMU_MUTANT_MARK_ELSEWHERE,     /* A is set where the table was found, not where it is */
    CIOMMU_MUTANT_CUTS_FORGOTTEN,     /* nobody notes that the IOTLB holds parts of large leaves */
    CIOMMU_MUTANT_CUTS_LATE,          /* or only after the part is stored */
    CIOMMU_MUTANT_UGEN_OUTSIDE_LOCK,  /* ugen moves only after the lock of a change was let go */
    CIOMMU_MUTANT_RENEWAL_KEEPS_ENTRIES, /* tags are dealt out anew over a full IOTLB */
    CIOMMU_MUTANT_RENEWAL_UNBUMPED,      /* and generations stay where they were */
    CIOMMU_MUTANT_WHOLE_KEEPS_WALKGEN, /* a whole space is invalidated, and its known tables stay */
    CIOMMU_MUTANT_WHOLE_KEEPS_GENERATION, /* and its generation */
    CIOMMU_MUTANT_CHILD_KEEPS_GENERATION, /* a parent's change leaves its children's generations */
    CIOMMU_MUTANT_WALKGEN_EARLY,          /* walk_generation is loaded before the generation */
    CIOMMU_MUTANT_PARENT_WALKGEN_EARLY,   /* and the parent's */
    CIOMMU_MUTANT_BIRTH_UNCHECKED,        /* a binding's space may be dead */
    CIOMMU_MUTANT_BIRTH_KEPT,             /* a space that dies keeps its birth */
    CIOMMU_MUTANT_DEATH_UNBUMPED,         /* and its generation */
    CIOMMU_MUTANT_SPACE_REUSED_EARLY, /* a space's slot is free before sections that found it end */
    CIOMMU_MUTANT_BINDING_REUSED_EARLY, /* and a binding's */
    CIOMMU_MUTANT_EARLY_UGEN,           /* ugen moves before the generations do */
    CIOMMU_MUTANT_TABLEGEN_LATE,        /* tablegen is loaded after the guest's tables were read */
    CIOMMU_MUTANT_TLB_TAKEN_UNASKED,  /* a device is made, and keeps what the guest's tables gave it
                                       */
    CIOMMU_MUTANT_RESET_BELIEVED,     /* a reset ends a block that is not settled yet */
    CIOMMU_MUTANT_REPORT_LATE,        /* a report of writes begins after its section has ended */
    CIOMMU_MUTANT_QUIESCE_SKIPPED,    /* a drain of the memory map waits for no report */
    CIOMMU_MUTANT_ENTRY_READ_TWICE,   /* an entry is judged by one load and used by another */
    CIOMMU_MUTANT_REFUSAL_LEAKS,      /* a call that is refused its second block keeps the first */
    CIOMMU_MUTANT_SEQUENCE_UNCHECKED, /* portable: an IOTLB entry that changes while it is loaded */
    CIOMMU_MUTANT_COUNT
};

enum ciommu_yield_point {
    CIOMMU_YIELD_ENTERED = 0,     /* between the section word and the load of ugen */
    CIOMMU_YIELD_RESOLVED,        /* binding found alive, generation not loaded */
    CIOMMU_YIELD_GENERATION_READ, /* generation loaded, nothing read yet */
    CIOMMU_YIELD_WALKED,          /* walk done, nothing inserted */
    CIOMMU_YIELD_INSERTING,       /* stripe taken and checked, entry not stored */
    CIOMMU_YIELD_HALF_STORED,     /* between the halves of a torn store (mutant) */
    CIOMMU_YIELD_BUMPED,          /* first bump done, ways not cleared */
    CIOMMU_YIELD_CLEARED,         /* ways cleared, second bump not done */
    CIOMMU_YIELD_PARENT_DONE,     /* parent done, children not */
    CIOMMU_YIELD_TABLES_READ,     /* guest tables walked, binding not published */
    CIOMMU_YIELD_BEFORE_DRAIN,    /* everything bumped */
    CIOMMU_YIELD_LEAVING,         /* before the section word turns even */
    CIOMMU_YIELD_TABLE_CHANGED,   /* host-made paging structures changed, nothing invalidated */
    CIOMMU_YIELD_MESSAGE_ARMED,   /* a message is armed without its PASID (mutant) */
    CIOMMU_YIELD_MESSAGE_JUDGED,  /* a message's control was read, nothing else */
    CIOMMU_YIELD_FAULT_FREED,     /* a slot freed and not copied (mutant) */
    CIOMMU_YIELD_FAULT_RING_READ, /* one fault ring looked at, the next ones not */
    CIOMMU_YIELD_PAGE_ASKED,      /* the guest's tables were asked about a request, no lock */
    CIOMMU_YIELD_PAGE_ROUTED,     /* a page request has found its queue, under its lock */
    CIOMMU_YIELD_PAGES_CANCELLED, /* groups cancelled, attachment still published (mutant) */
    CIOMMU_YIELD_MARKING,         /* an entry judged, its A and D not stored */
    CIOMMU_YIELD_SEARCHING,       /* memory map loaded, not searched */
    CIOMMU_YIELD_PROBING,         /* tag loaded, the IOTLB not asked */
    CIOMMU_YIELD_ANSWERING,       /* leaf found; host memory not looked up, answer not kept */
    CIOMMU_YIELD_RETAGGED,        /* a whole space has its new tag, generation not bumped */
    CIOMMU_YIELD_TABLES_CHANGING, /* between the two moves of tablegen */
    CIOMMU_YIELD_MAP_PUBLISHED,   /* a new memory map is out, mapgen not bumped */
    CIOMMU_YIELD_DRAINING,        /* waits for a section to end; comes again and again */
    CIOMMU_YIELD_MESSAGE_NOTED,   /* noted in a masked entry, its control not read again */
    CIOMMU_YIELD_ENTRY_READ,      /* an entry of several words read, not yet once more */
    CIOMMU_YIELD_STRIPE_BUSY,     /* waits for an inserter; comes again and again */
    CIOMMU_YIELD_BLOCK_SETTLED,   /* a device's block holds for all sections, not yet noted */
    CIOMMU_YIELD_BINDING_FOUND,   /* a cached binding found, not copied */
    CIOMMU_YIELD_LEFT,            /* a section has ended, what it wrote is not reported */
    CIOMMU_YIELD_COUNT
};

#ifdef CIOMMU_INTERNAL_CHECKS

#include <assert.h>

extern unsigned ciommu_mutant;                                   /* enum ciommu_mutant */
extern void (*ciommu_yield_hook)(enum ciommu_yield_point point); /* NULL = none */
extern uint64_t ciommu_yield_points_met; /* by a hook: a bit each; only tests look at them */
extern _Thread_local uint64_t ciommu_guest_loads; /* of the calling thread; only counted */

#define MUTANT(name) (load_relaxed(&ciommu_mutant) == (unsigned)CIOMMU_MUTANT_##name)

static inline void yield_point(enum ciommu_yield_point point) {
    void (*hook)(enum ciommu_yield_point) = load_acquire(&ciommu_yield_hook);
    if (hook != 0) {
        uint64_t bit = UINT64_C(1) << point;
        if ((load_relaxed(&ciommu_yield_points_met) & bit) == 0) {
            (void)__atomic_fetch_or(&ciommu_yield_points_met, bit, __ATOMIC_RELAXED);
        }
        hook(point);
    }
}

#define ciommu_assert(condition) assert(condition)
#define count_guest_load() ((void)ciommu_guest_loads++)

#else

#define MUTANT(name) false

static inline void yield_point(enum ciommu_yield_point point) {
    (void)point;
}

#define ciommu_assert(condition) ((void)0)
#define count_guest_load() ((void)0)

#endif

/* Loads a word of the tables that a guest may own (acquire). All loads of table words are this one,
 * so that tests can count what an answer costs. */
static inline uint64_t load_guest(const uint64_t *word) {
    count_guest_load();
    return load_acquire(word);
}

#endif
