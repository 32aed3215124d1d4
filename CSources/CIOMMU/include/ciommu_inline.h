/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * ciommu_inline.h - the hit path, inlined into the host: enter, first-level lookup, leave.
 * Optional: ciommu.h offers the same as functions. Everything else of a port is private; only the
 * fields below have a fixed layout (CIOMMU_LAYOUT).
 *
 * Protocol (port head and first level):
 *   Readers    the thread that uses the port, wait-free; invalidators read `state` only.
 *   Writers    the thread that uses the port.
 *   Enter      `state` becomes odd with a full barrier, then `ugen` is loaded. Pairs with
 *              invalidate.c: the bump of ugen, the full barrier and the snapshot of every `state`.
 *              Either the invalidator sees the port odd and waits for it, or the section sees the
 *              new ugen and resynchronises.
 *   Validity   an entry may be used when its `epoch` is the port's. The port's epoch moves on when
 *              a section finds a new ugen; an older entry is then checked against its address
 *              space's generation before its next use (port.c: revalidate), or is dead if the
 *              tables or the memory map changed (its epoch lies below the port's floor).
 *   Leave      `state` becomes even, store-release, after the last use of the host pointers. Pairs
 *              with the drain's acquire load. A section that wrote begins its report before that,
 *              so that whoever finds it ended finds its report begun (port.c).
 */
#ifndef CIOMMU_INLINE_H
#define CIOMMU_INLINE_H

#include "ciommu.h"

#ifdef __cplusplus
extern "C" {
#endif

/* One page as one port last saw it. Owner-written, owner-read; one cache line. */
struct ciommu_first_level_entry {
    uint64_t page;       /* iova >> 12 */
    uint64_t requester;  /* ciommu_requester(source, pasid); UINT64_MAX = empty */
    uint64_t epoch;      /* port epoch at which the entry was last known to be current */
    uint64_t address;    /* output address of the 4 KiB page */
    unsigned char *host; /* its host memory, if `host_rights` has any */
    uint64_t last;       /* last input address up to which address and host run on */
    uint64_t generation; /* of the address space, loaded before the walk or the IOTLB probe */
    uint32_t space;      /* pool index of the address space */
    uint8_t rights;      /* bits 0-2 user R W X, bits 3-5 privileged R W X */
    uint8_t page_lg2;
    uint8_t host_rights; /* what the registered memory permits; 0 = there is none */
    uint8_t attributes;
};

/* The fixed prefix of struct ciommu_port, at a multiple of 128 bytes. A drain watches `state` and
 * so takes its cache line away, and processors fetch lines in pairs: the line beside it is never
 * written during a section, and what every hit writes lies in the next pair. */
struct ciommu_port_head {
    uint64_t state;      /* odd inside a section; owner writes, drains read */
    uint64_t inside;     /* owner: `state` of the section, so that leave need not wait for enter's
                            exchange to load it */
    uint64_t seen_ugen;  /* owner: ugen at the last resynchronisation; others may read */
    uint32_t depth;      /* owner: nesting of sections */
    uint32_t leave_work; /* owner: something to do at the outermost leave */
    uint64_t reserved[4];

    uint64_t epoch;                               /* owner; moves with seen_ugen */
    const uint64_t *ugen;                         /* constant: the unit's generation */
    struct ciommu_first_level_entry *first_level; /* constant */
    uint64_t first_level_mask;                    /* constant: entries - 1 */
    uint64_t more_reserved[4];

    uint64_t hits; /* owner: first-level hits; statistics read */
};

/* Slow halves; not for hosts to call directly. */
CIOMMU_API void ciommu_port_resynchronise(struct ciommu_port *port);
CIOMMU_API bool ciommu_port_revalidate(struct ciommu_port *port,
                                       struct ciommu_first_level_entry *entry);
CIOMMU_API void ciommu_port_leave_with_work(struct ciommu_port *port);

static inline uint64_t ciommu_requester(uint32_t source, uint32_t pasid) {
    return (uint64_t)pasid << 32 | source;
}

static inline struct ciommu_port_head *ciommu_head_of(struct ciommu_port *port) {
    return (struct ciommu_port_head *)(void *)port;
}

/* ciommu_port_enter, inlined. */
static inline void ciommu_enter(struct ciommu_port *port) {
    struct ciommu_port_head *head = ciommu_head_of(port);
    if (head->depth++ != 0) {
        return;
    }
    uint64_t inside = head->state + 1;
    head->inside = inside;
    /* Full barrier: pairs with the drain (port.c). */
    __atomic_exchange_n(&head->state, inside, __ATOMIC_SEQ_CST);
    if (__builtin_expect(__atomic_load_n(head->ugen, __ATOMIC_SEQ_CST) != head->seen_ugen, 0)) {
        ciommu_port_resynchronise(port);
    }
}

/* ciommu_port_leave, inlined. */
static inline void ciommu_leave(struct ciommu_port *port) {
    struct ciommu_port_head *head = ciommu_head_of(port);
    if (__builtin_expect(head->depth == 0, 0)) {
        __builtin_trap();
    }
    if (--head->depth != 0) {
        return;
    }
    if (__builtin_expect(head->leave_work != 0, 0)) {
        ciommu_port_leave_with_work(port);
        return;
    }
    __atomic_store_n(&head->state, head->inside + 1, __ATOMIC_RELEASE);
}

/* The rights an access needs, as bits of ciommu_first_level_entry.rights. Without a PASID the entry
 * holds the request's own (implied) privilege in both halves. */
static inline uint32_t ciommu_rights_needed(uint32_t access) {
    uint32_t rights = access & 7u;
    return (access & CIOMMU_PRIVILEGED) != 0 ? rights << 3 : rights;
}

/* The requester's part of where its pages sit in the first level. */
static inline uint64_t ciommu_first_level_salt(uint64_t requester) {
    return requester ^ (requester >> 21) ^ (requester >> 35);
}

/* Where a page sits in the first level: mixes the requester in, keeps neighbours apart. */
static inline struct ciommu_first_level_entry *
ciommu_first_level_place(const struct ciommu_port_head *head, uint64_t page, uint64_t salt) {
    return &head->first_level[(page ^ (page >> 9) ^ salt) & head->first_level_mask];
}

/* The same as ciommu_first_level_find, for callers that look for many pages of one requester: its
 * salt, and the rights that the access needs, are worked out once. `slot` is where the page sits.
 */
static inline __attribute__((always_inline)) const struct ciommu_first_level_entry *
ciommu_first_level_find_in(struct ciommu_port *port, struct ciommu_first_level_entry *slot,
                           uint64_t page, uint64_t requester, uint32_t needed) {
    struct ciommu_port_head *head = ciommu_head_of(port);
    if (slot->page != page || slot->requester != requester ||
        (needed & ~(uint32_t)slot->rights) != 0) {
        return NULL;
    }
    if (__builtin_expect(slot->epoch != head->epoch, 0) && !ciommu_port_revalidate(port, slot)) {
        return NULL;
    }
    __atomic_store_n(&head->hits, head->hits + 1, __ATOMIC_RELAXED);
    return slot;
}

/* The entry of the port's first level that grants `access` (which must contain R, W or X) to the
 * byte, or NULL, which says nothing. Inside a section only. Counts the hit. */
static inline __attribute__((always_inline)) const struct ciommu_first_level_entry *
ciommu_first_level_find(struct ciommu_port *port, uint32_t source, uint32_t pasid, uint64_t iova,
                        uint32_t access) {
    uint64_t page = iova >> 12;
    uint64_t requester = ciommu_requester(source, pasid);
    struct ciommu_first_level_entry *slot =
        ciommu_first_level_place(ciommu_head_of(port), page, ciommu_first_level_salt(requester));
    return ciommu_first_level_find_in(port, slot, page, requester, ciommu_rights_needed(access));
}

/* The host byte of `iova` in a page of the first level, where the memory permits `access`. */
static inline unsigned char *ciommu_first_level_host(const struct ciommu_first_level_entry *entry,
                                                     uint64_t iova, uint32_t access) {
    uint32_t needed = (access & CIOMMU_WRITE) | CIOMMU_READ; /* all memory may be read */
    return (needed & ~(uint32_t)entry->host_rights) == 0 ? entry->host + (iova & 0xfffu) : NULL;
}

/* The rights of a page of the first level for the privilege in `access`. */
static inline uint32_t ciommu_first_level_rights(const struct ciommu_first_level_entry *entry,
                                                 uint32_t access) {
    return ((access & CIOMMU_PRIVILEGED) != 0 ? entry->rights >> 3 : entry->rights) & 7u;
}

/* Looks one byte up in the port's first level, as above. True on a hit: `*segment` then covers
 * from iova to the end of what is contiguous, rights of the asked privilege. False says nothing:
 * ask ciommu_translate. */
static inline bool ciommu_first_level_lookup(struct ciommu_port *port, uint32_t source,
                                             uint32_t pasid, uint64_t iova, uint32_t access,
                                             struct ciommu_segment *segment) {
    const struct ciommu_first_level_entry *entry =
        ciommu_first_level_find(port, source, pasid, iova, access);
    if (entry == NULL) {
        return false;
    }
    segment->iova = iova;
    segment->address = entry->address + (iova & 0xfffu);
    segment->host = ciommu_first_level_host(entry, iova, access);
    segment->length = entry->last - iova + 1;
    segment->rights = ciommu_first_level_rights(entry, access);
    segment->page_lg2 = entry->page_lg2;
    return true;
}

#ifdef __cplusplus
}
#endif
#endif
