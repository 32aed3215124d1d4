/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * ciommu.h - the C interface of swift-iommu: a software IOMMU as a library.
 *
 * Flow: memory map + unit -> port -> section -> translate -> result or fault. Invalidation goes the
 * other way: an entry in the guest's native format -> ciommu_invalidate -> when it returns, nothing
 * that it covers is in use any more.
 *
 * Conventions that hold for every function here, so that each comment need say only what differs:
 *   - Threads: any thread may call, at any time, on any object that exists, except that a port is
 *     used by one thread at a time. Objects are not reference counted: destroy them last, after
 *     every use.
 *   - RCU: callers need no RCU registration and hold no RCU lock; the engine takes its own where it
 *     needs one.
 *   - Errors: a status other than CIOMMU_OK means that nothing changed and outputs were not
 *     written, unless the comment says otherwise. A guest's bad tables and requests are never
 *     errors but faults, which are results.
 *   - Public structs begin with `size`, set by the caller to sizeof the struct it was compiled
 *     with; the library reads and writes no byte past it. A size smaller than the first release's
 *     struct is CIOMMU_INVALID_ARGUMENT.
 *   - Callbacks run outside every lock and section of the library and may call back into it, unless
 *     said otherwise.
 *   - Addresses, lengths and sizes are bytes; times are nanoseconds; `last` is inclusive; `_lg2` is
 *     a base-2 logarithm.
 */
#ifndef CIOMMU_H
#define CIOMMU_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#define CIOMMU_API __attribute__((visibility("default")))
#else
#define CIOMMU_API
#endif

/* -------------------------------------------------------------------------------------------- */
/* Status */

/* What a call answers. One internal enumeration; ciommu_status_errno gives the nearest errno. */
enum ciommu_status {
    CIOMMU_OK = 0,
    CIOMMU_NO_MEMORY,        /* the host's allocator refused */
    CIOMMU_INVALID_ARGUMENT, /* a NULL, a size, a flag or a value outside its documented range */
    CIOMMU_MISALIGNED,       /* an address, length or pointer lacks the documented alignment */
    CIOMMU_WRAPS,            /* address + length passes the end of the address space */
    CIOMMU_OVERLAP,          /* the range intersects one that is registered */
    CIOMMU_NOT_FOUND,        /* no such range, port or observer */
    CIOMMU_IN_USE,     /* the object still has users: a unit on a memory map, a section on a port */
    CIOMMU_IN_SECTION, /* the call waits for sections and the caller's own port is inside one */
    CIOMMU_TIMED_OUT,  /* the change is published, but at the deadline a port was still inside a
                          section, or a device with a device-TLB had not answered (it is blocked) */
    CIOMMU_NO_PORT,    /* every pooled port is taken, or the unit's port limit is reached */
    CIOMMU_UNSUPPORTED,    /* the unit's capabilities do not offer this */
    CIOMMU_INCONSISTENT,   /* capability fields that contradict each other */
    CIOMMU_NO_HOST_MEMORY, /* a copy helper met an output address that no registered memory backs */
    CIOMMU_READ_ONLY,      /* a copy helper would have written to memory registered as read-only */
    CIOMMU_FAULTED,        /* a copy helper's DMA faulted; the fault says why */
    CIOMMU_BAD_DESCRIPTOR, /* an invalidation descriptor was refused; the IQEI value says why */
    /* What a host sets up itself (ciommu_domains.h). */
    CIOMMU_NO_SPACE,        /* the unit's pool of domains, or a range of PASIDs, is used up */
    CIOMMU_OUT_OF_RANGE,    /* beyond an address width, or outside the allowed ranges */
    CIOMMU_EXISTS,          /* the name or id is taken */
    CIOMMU_OCCUPIED,        /* something is attached or bound there already */
    CIOMMU_NOT_ATTACHED,    /* nothing is attached or bound there */
    CIOMMU_NOT_OWNED,       /* the PASID lies outside what the device or the namespace owns */
    CIOMMU_OTHER_UNIT,      /* the domain belongs to another unit */
    CIOMMU_NOT_NEST_PARENT, /* the domain was not made as a nest parent */
    CIOMMU_NOT_TRACKING,    /* dirty tracking is off */
    /* Faults, page requests, interrupt messages (ciommu_faults.h, _pages.h, _interrupts.h). */
    CIOMMU_ALREADY_ANSWERED, /* by an earlier response, its deadline, a detach or a reset */
    CIOMMU_CLOSED,           /* the queue or the interface is being destroyed */
    CIOMMU_BAD_STATE         /* the entry is not in a state that allows this */
};

/* A lower-case English phrase for `status`, never NULL, statically allocated. */
CIOMMU_API const char *ciommu_status_text(enum ciommu_status status);

/* The positive errno nearest to `status`; 0 for CIOMMU_OK. */
CIOMMU_API int ciommu_status_errno(enum ciommu_status status);

/* -------------------------------------------------------------------------------------------- */
/* Access and requests */

/* What a request wants, and what a mapping grants. None of R, W, X set is a probe: it reports the
 * rights, updates no accessed or dirty bit and records no fault. PRIV asks with supervisor
 * privilege; it has a meaning only with a PASID (a request without one takes its privilege from
 * RID_PRIV of the context entry). Zero means none. */
#define CIOMMU_READ 1u
#define CIOMMU_WRITE 2u
#define CIOMMU_EXECUTE 4u
#define CIOMMU_PRIVILEGED 8u

/* The PASID argument of a request that carries none. A PASID has 20 bits. */
#define CIOMMU_NO_PASID UINT32_MAX
#define CIOMMU_PASID_MAX 0xfffffu

/* Request flags of ciommu_translate and its relatives. */
/* return the fault, do not put it into the port's fault ring */
#define CIOMMU_NO_FAULT 1u
/* leave accessed and dirty bits alone; W is granted only where D is set already */
#define CIOMMU_NO_AD 2u
/* An ATS translation request [FORMATS-VTD A9b]: the device asks in order to store the answer. A
 * guest's tables allow it or not (TT, DTE). Choice: a source id that has a device of the host is
 * allowed it while a device-TLB of that (source, PASID) is registered (ciommu_invalidation.h),
 * which stands for the context entry that the host has in place of the guest; without, the fault is
 * that of TT = 0 or DTE = 0 (LCT.5, SCT.5), unrecoverable: the device gets an unsupported request.
 * The same goes for translated requests. */
#define CIOMMU_TRANSLATION_REQUEST 4u
/* a translated request: iova is an output address that ATS gave earlier */
#define CIOMMU_TRANSLATED 8u
/* treat the request as one without PASID whose implied PASID (RID_PASID) is `pasid`. For diagnosis:
 * it shows what a PASID-table entry would do, past PASIDE */
#define CIOMMU_IMPLIED_PASID 16u
/* neither look into nor fill any cache: walk the tables as they stand now */
#define CIOMMU_NO_CACHE 32u

/* Which part of the path an answer or a fault comes from. */
enum ciommu_stage {
    CIOMMU_STAGE_NONE = 0,   /* root, context, PASID directory or PASID table, or no table at all */
    CIOMMU_STAGE_FIRST = 1,  /* first-stage paging structures */
    CIOMMU_STAGE_SECOND = 2, /* second-stage paging structures, alone */
    CIOMMU_STAGE_NESTED = 3 /* second stage on behalf of a first stage (its tables or its result) */
};

/* Why a request was refused, whatever the format. The native code says it exactly. */
enum ciommu_fault_reason {
    CIOMMU_FAULT_NONE = 0,
    CIOMMU_FAULT_TABLE_ACCESS,    /* a table lies where no memory is, or beyond the address width */
    CIOMMU_FAULT_CONFIG_ABSENT,   /* a root, context or PASID entry is not present */
    CIOMMU_FAULT_CONFIG_INVALID,  /* a root, context or PASID entry is malformed */
    CIOMMU_FAULT_REQUEST_BLOCKED, /* this kind of request is not allowed for this source */
    CIOMMU_FAULT_INPUT_ADDRESS,   /* the input address is out of range or not canonical */
    CIOMMU_FAULT_NOT_PRESENT,     /* no mapping */
    CIOMMU_FAULT_PERMISSION,      /* a mapping that does not grant the access */
    CIOMMU_FAULT_MALFORMED_ENTRY, /* reserved bits in a paging entry */
    CIOMMU_FAULT_INTERRUPT_RANGE, /* the result lies in 0xFEE00000-0xFEEFFFFF */
    CIOMMU_FAULT_AD_UPDATE,       /* an accessed or dirty bit could not be set */
    CIOMMU_FAULT_ABORTED          /* the unit aborts all DMA (RTADDR.TTM = 3) */
};

/* fault processing was disabled (FPD) for a qualified fault: not recorded */
#define CIOMMU_FAULT_SUPPRESSED 1u
/* a condition that a page request may cure; an ATS translation request that meets it completes with
 * R=W=0 and records nothing */
#define CIOMMU_FAULT_RECOVERABLE 2u
/* went into the port's fault ring, for at least one of those whom it concerns */
#define CIOMMU_FAULT_RECORDED 4u
/* `device` names the (first) device that it is attributed to */
#define CIOMMU_FAULT_HAS_DEVICE 8u
/* more than one device could have sent the request: ciommu_owners names them */
#define CIOMMU_FAULT_AMBIGUOUS 16u
/* the PASID lies in nobody's slice; `device` is then the parent, if there is one */
#define CIOMMU_FAULT_UNCLAIMED 32u
/* the device itself reported it (ciommu_fault_report): the IOMMU has seen nothing */
#define CIOMMU_FAULT_FROM_DEVICE 64u

/* What kind of request faulted: AT of a VT-d fault record [FORMATS-VTD B7], and page requests. */
enum ciommu_request_kind {
    CIOMMU_REQUEST_UNTRANSLATED = 0,
    CIOMMU_REQUEST_TRANSLATION = 1, /* an ATS translation request */
    CIOMMU_REQUEST_TRANSLATED = 2,
    CIOMMU_REQUEST_PAGE = 3,     /* a page request */
    CIOMMU_REQUEST_INTERRUPT = 4 /* an interrupt message: `address` is the table index */
};

/* A level that does not apply. */
#define CIOMMU_NO_LEVEL 0xffu

/* A fault is a value. */
struct ciommu_fault {
    uint32_t size;
    uint32_t reason; /* enum ciommu_fault_reason */
    uint32_t
        code; /* native: the VT-d fault reason [FORMATS-VTD E]; 0 where the architecture has none */
    uint32_t stage;  /* enum ciommu_stage */
    uint32_t source; /* source id of the request */
    uint32_t pasid;  /* the explicit PASID of the request, or CIOMMU_NO_PASID */
    uint32_t access; /* what was asked: CIOMMU_READ ... CIOMMU_PRIVILEGED */
    uint32_t found;  /* the rights found when permission was the reason */
    uint32_t flags;  /* CIOMMU_FAULT_SUPPRESSED ... */
    uint32_t level; /* level of the failing paging entry, 0 = leaf table; CIOMMU_NO_LEVEL where none
                       failed */
    uint64_t address;       /* the input address of the request */
    uint64_t entry_address; /* output address of the entry that failed; 0 where none was read */
    uint64_t sequence; /* position in the port's fault ring, counting lost faults too; of a fault
                          that comes out of a queue (ciommu_faults.h), its number there */
    uint64_t device;   /* the host's id of the device, with CIOMMU_FAULT_HAS_DEVICE */
    uint32_t request;  /* enum ciommu_request_kind */
    uint32_t reserved;
};

/* What became of a request. */
enum ciommu_outcome {
    CIOMMU_TRANSLATED_OK = 0,
    CIOMMU_FAULT = 1,
    /* Untranslated, without PASID, to 0xFEE00000-0xFEEFFFFF: an interrupt message, never DMA.
       `address` is the input. */
    CIOMMU_INTERRUPT = 2
};

/* Says when an answer to an ATS translation request was true. A plain value without pointers; may
 * be copied, and kept for any time. Its fields are the library's own. See ciommu_ats_token_valid.
 */
struct ciommu_ats_token {
    uint64_t ugen;
    uint64_t tables;
    uint64_t generation;
    uint32_t space;
    uint32_t unit; /* 0: no token */
};

/* The answer to one address. */
struct ciommu_result {
    uint32_t size;
    uint32_t outcome;  /* enum ciommu_outcome */
    uint64_t address;  /* output address of the requested byte */
    uint64_t mask;     /* page size - 1 */
    uint32_t page_lg2; /* page size; 12 for pass-through and while translation is disabled */
    uint32_t
        rights; /* granted for this privilege; W only once every D bit that a write needs is set */
    unsigned char *host; /* host byte of `address`; non-NULL only inside a section of the port that
                            was used, where registered memory backs the address and permits the
                            access. Valid until that section ends */
    uint64_t contiguous; /* bytes from here on that this answer covers, in the page and in host
                            memory; at least 1 */
    uint64_t attributes; /* CIOMMU_ATTRIBUTE_* */
    struct ciommu_fault fault; /* meaningful only when outcome is CIOMMU_FAULT */
    /* Written with CIOMMU_TRANSLATION_REQUEST only; `token.unit` is 0 where the answer may not be
       stored */
    struct ciommu_ats_token token;
};

/* the access must be snooped (SNP or PGSNP) */
#define CIOMMU_ATTRIBUTE_SNOOP 1u
/* Untranslated only (U of an ATS translation completion): the device may use the address only in
 * untranslated requests, and stores nothing. `address` is the input, and there is no token.
 *
 * Choice, where FORMATS-VTD A11 is UNCONFIRMED: this is the answer to a translation request
 *   - without PASID to 0xFEE00000-0xFEEFFFFF, once the source's entries allow it: an untranslated
 *     request there is an interrupt message, so the rights are W alone, whatever was asked. Other
 *     answers never cover that range: a larger page that does is answered as one of 4 KiB;
 *   - of a source without devices of the host, while translation is disabled: switching it on asks
 *     no device.
 * A page whose D bit is clear is no such case: W is absent from the answer until a request for W
 * has set it. */
#define CIOMMU_ATTRIBUTE_UNTRANSLATED_ONLY 2u

/* -------------------------------------------------------------------------------------------- */
/* Memory map: output addresses -> host memory */

struct ciommu_memory;

/* One range of output addresses. `address` and `length` are multiples of 4096, `host` of 8;
 * `rights` is CIOMMU_READ or CIOMMU_READ | CIOMMU_WRITE. The host keeps `host` mapped until
 * ciommu_memory_remove or _replace answered CIOMMU_OK. */
struct ciommu_memory_range {
    uint32_t size;
    uint32_t rights;
    uint64_t address;
    uint64_t length;
    void *host;
};

/* Hears of every write the engine itself makes to registered memory (A/D bits, copy helpers):
 * output address and length of the bytes. Called when the section that wrote ends, on the writer's
 * thread, outside locks and sections. May hear of more than was written (never less) when one
 * section made very many writes. Must not call functions on the memory map. */
typedef void (*ciommu_dirty_log)(void *context, uint64_t address, uint64_t length);

/* Makes an empty map. The caller owns it and destroys it after the last unit that uses it. The
 * first one of a process starts liburcu's thread: CIOMMU_NO_MEMORY where the system has none. What
 * is refused to liburcu itself ends the process: its thread, if others took the last one in
 * between, and a few hundred bytes. */
CIOMMU_API enum ciommu_status ciommu_memory_create(struct ciommu_memory **out);

/* Destroys a map that no unit uses; otherwise CIOMMU_IN_USE. NULL is allowed. */
CIOMMU_API enum ciommu_status ciommu_memory_destroy(struct ciommu_memory *memory);

/* Adds a range. CIOMMU_OVERLAP, _WRAPS, _MISALIGNED, _INVALID_ARGUMENT (empty, NULL host, bad
 * rights), _NO_MEMORY. On return every translation that starts later, in any unit, sees it.
 * CIOMMU_TIMED_OUT: added, but an older section still runs without it. */
CIOMMU_API enum ciommu_status ciommu_memory_add(struct ciommu_memory *memory,
                                                const struct ciommu_memory_range *range);

/* Adds a range where there is room: at the lowest output address in first...last (inclusive, both
 * of any alignment) that is congruent to `offset` modulo 2^alignment_lg2, so that it can be mapped
 * with large pages at an input address with the same remainder. `range->address` is ignored;
 * `*address` receives the choice. `alignment_lg2` is 12...63, `offset` a multiple of 4096 below
 * 2^alignment_lg2. CIOMMU_NO_SPACE: no gap is large enough. CIOMMU_INVALID_ARGUMENT also for first
 * > last or a bad alignment. Otherwise as ciommu_memory_add; on CIOMMU_TIMED_OUT `*address` is
 * written too. */
CIOMMU_API enum ciommu_status ciommu_memory_place(struct ciommu_memory *memory,
                                                  const struct ciommu_memory_range *range,
                                                  uint64_t first, uint64_t last,
                                                  uint32_t alignment_lg2, uint64_t offset,
                                                  uint64_t *address);

/* Finds registered host memory: `*address` is the lowest output address behind which the `length`
 * bytes from `host` lie, all in one range that permits `rights` (CIOMMU_READ, CIOMMU_WRITE or
 * both). CIOMMU_NOT_FOUND when there is none. Takes time in proportion to the number of ranges and
 * waits for nobody. What it found stays true until the host removes or replaces the range. */
CIOMMU_API enum ciommu_status ciommu_memory_locate(struct ciommu_memory *memory, const void *host,
                                                   uint64_t length, uint32_t rights,
                                                   uint64_t *address);

/* Gives a registered range (same address and length) other host memory or rights. On CIOMMU_OK
 * nobody uses the old memory any more; on CIOMMU_TIMED_OUT the new one is published but the old may
 * still be in use: call ciommu_memory_drain until it answers CIOMMU_OK. */
CIOMMU_API enum ciommu_status ciommu_memory_replace(struct ciommu_memory *memory,
                                                    const struct ciommu_memory_range *range);

/* Removes a registered range (exactly as added); _NOT_FOUND if there is none. CIOMMU_OK and
 * CIOMMU_TIMED_OUT as for _replace; CIOMMU_NO_MEMORY changes nothing. Translations to the range
 * still translate; they have no host pointer any more. */
CIOMMU_API enum ciommu_status ciommu_memory_remove(struct ciommu_memory *memory, uint64_t address,
                                                   uint64_t length);

/* Waits until every section, in every unit of this map, that began before the call has ended, and
 * the dirty log has heard of what it wrote: CIOMMU_OK or _TIMED_OUT. */
CIOMMU_API enum ciommu_status ciommu_memory_drain(struct ciommu_memory *memory);

/* Sets or clears (NULL) the dirty-log hook. On CIOMMU_OK the old hook is never called again;
 * CIOMMU_TIMED_OUT as above. The hook that is set when a section ends hears of its writes: who
 * needs all of them in the old one drains the sections that write before it is taken away. */
CIOMMU_API enum ciommu_status ciommu_memory_set_dirty_log(struct ciommu_memory *memory,
                                                          ciommu_dirty_log log, void *context);

/* -------------------------------------------------------------------------------------------- */
/* Unit */

struct ciommu_unit;
struct ciommu_port;

/* The revision of the architecture that decides where the revisions differ [FORMATS-VTD D7]. */
enum ciommu_revision {
    CIOMMU_VTD_3 =
        3, /* SSEE, ERE, EMT, PWT, PCD exist; NXE enables XD; execute requests are checked */
    CIOMMU_VTD_4 =
        4 /* rev 4.1: those are reserved, NXE and SMEP ignored, execute requests are reads */
};

/* The layout of struct ciommu_port_head that the caller was compiled with; checked when a unit is
 * made. */
#define CIOMMU_LAYOUT 3u

/* use the portable IOTLB (sequence counters) even where 16-byte loads are atomic */
#define CIOMMU_UNIT_NO_WIDE_LOADS 1u

/* Capacities are the host's choice; memory is taken when the unit is made and never grows (of the
 * pool of spaces the address space; the system adds pages as spaces are used). Zero entries
 * switches a cache off. */
struct ciommu_unit_config {
    uint32_t size;
    uint32_t layout;              /* CIOMMU_LAYOUT */
    uint64_t cap;                 /* capability register [FORMATS-VTD B2] */
    uint64_t ecap;                /* extended capability register [FORMATS-VTD B3] */
    uint32_t revision;            /* enum ciommu_revision */
    uint32_t host_address_width;  /* HAW in bits, 32...52 */
    uint32_t iotlb_entries;       /* 0, or a power of two from 4 to 2^26; 16 bytes each */
    uint32_t first_level_entries; /* per port: 0, or a power of two up to 2^16; 64 bytes each */
    uint32_t walk_cache_entries;  /* per port: 0, or a power of two up to 2^16; 64 bytes each */
    uint32_t bindings;            /* (source, PASID) pairs cached, 0...2^20 */
    uint32_t spaces;              /* address spaces cached, 0...2^20 */
    uint32_t domains;             /* paging and nested domains of the host, 0...2^20 */
    uint32_t ports;               /* most ports that exist at a time, 1...4096, pool included */
    uint32_t pool_ports;          /* ports kept for ciommu_translate(port = NULL), 0...ports */
    uint32_t fault_entries;       /* per port: a power of two from 2 to 2^16; 68 bytes each */
    uint32_t flags;               /* CIOMMU_UNIT_* */
    uint64_t drain_timeout; /* longest wait for sections, nanoseconds; 0 = CIOMMU_TIMED_OUT at once
                               if any is open */
    uint64_t table_pages;   /* most pages of 4096 bytes that the host's own paging structures may
                               take; a map that would need more is CIOMMU_NO_MEMORY */
};

/* Fills `config` with defaults: capabilities of a unit with everything in FORMATS-VTD that the
 * engine implements, 64 Ki IOTLB entries, 256 first-level and 256 walk-cache entries a port, 4,096
 * bindings, 4,096 spaces, 4,096 domains, 64 ports, 8 of them pooled, 256 fault entries, a drain
 * timeout of one second. Inline, so that `size` and `layout` are the caller's. */
static inline void ciommu_unit_config_init(struct ciommu_unit_config *config);

/* Makes a unit: translation disabled, no root table. `memory` must outlive it. CIOMMU_INCONSISTENT
 * when capability fields contradict each other: ciommu_capabilities_check says which. */
CIOMMU_API enum ciommu_status ciommu_unit_create(const struct ciommu_unit_config *config,
                                                 struct ciommu_memory *memory,
                                                 struct ciommu_unit **out);

/* Destroys the unit, its ports included. CIOMMU_IN_USE: a port is inside a section, or a device, a
 * domain, a fault queue, or an interface or a queue of page requests of the host is left. NULL is
 * allowed. */
CIOMMU_API enum ciommu_status ciommu_unit_destroy(struct ciommu_unit *unit);

/* Checks capability registers for contradictions. NULL when they are consistent, else a sentence
 * naming the rule, statically allocated. */
CIOMMU_API const char *ciommu_capabilities_check(uint64_t cap, uint64_t ecap, uint32_t revision,
                                                 uint32_t host_address_width);

/* Latches RTADDR (root-table address and TTM), as GCMD.SRTP does, and drops everything that was
 * cached. What is in the register is not checked here: an illegal TTM is a fault of each request.
 * CIOMMU_OK: nothing from the old tables is in use. CIOMMU_TIMED_OUT: latched and dropped, but an
 * older section still runs. In debug builds CIOMMU_IN_SECTION: the calling thread is inside a
 * section of the unit, which this would wait for; nothing was changed. */
CIOMMU_API enum ciommu_status ciommu_unit_set_root(struct ciommu_unit *unit, uint64_t rtaddr);

/* Switches translation (GCMD.TE). Disabled, a request passes unchanged: 4 KiB pages, read and
 * write. Status as for ciommu_unit_set_root. */
CIOMMU_API enum ciommu_status ciommu_unit_set_translation(struct ciommu_unit *unit, bool enabled);

/* A reset of the unit: translation and interrupt remapping disabled, root zero, every cache empty,
 * and nothing attached or bound to any device, so that their traffic is blocked. Devices, domains
 * with their mappings, namespaces and faults in rings stay. Status as above; CIOMMU_TIMED_OUT also
 * when a device-TLB did not answer. */
CIOMMU_API enum ciommu_status ciommu_unit_reset(struct ciommu_unit *unit);

/* Waits until every section that began before the call has ended. On CIOMMU_TIMED_OUT `*port_id`
 * (may be NULL) names a port that was still inside one. */
CIOMMU_API enum ciommu_status ciommu_unit_drain(struct ciommu_unit *unit, uint32_t *port_id);

/* Counters since creation, summed over ports; each is exact once the ports are idle. */
struct ciommu_statistics {
    uint32_t size;
    uint32_t ports;   /* that exist now, pool included */
    uint64_t lookups; /* pages asked for */
    uint64_t first_level_hits;
    uint64_t iotlb_hits;
    uint64_t walks; /* paging structures walked */
    uint64_t faults;
    uint64_t faults_lost;   /* found their fault ring full */
    uint64_t binding_walks; /* device and PASID tables walked */
    uint64_t
        uncached; /* answered without caching: a pool was full, a lock busy, or caching is off */
    uint64_t invalidations; /* inner invalidations applied */
    uint64_t drains;
    uint64_t drain_timeouts;
    uint64_t bindings;        /* in the pool now */
    uint64_t spaces;          /* in the pool now */
    uint64_t reclaimed;       /* bindings evicted because the pool was full */
    uint64_t faults_orphaned; /* concerned nobody who has a fault queue, while the unit had any */
};
CIOMMU_API void ciommu_unit_statistics(struct ciommu_unit *unit, struct ciommu_statistics *out);

/* -------------------------------------------------------------------------------------------- */
/* Ports and sections */

/* Makes a port: a host thread's way in. One thread uses it at a time; it may move between threads
 * if the host orders the hand-over. CIOMMU_NO_PORT when the unit's limit is reached. */
CIOMMU_API enum ciommu_status ciommu_port_create(struct ciommu_unit *unit,
                                                 struct ciommu_port **out);

/* Gives the port back to its unit. CIOMMU_IN_SECTION if it is inside one. NULL is allowed. Where
 * the unit has no fault queues (ciommu_faults.h), take its faults before: those still in its ring
 * count as lost. */
CIOMMU_API enum ciommu_status ciommu_port_destroy(struct ciommu_port *port);

/* Small number that names the port in reports; stable while it exists. */
CIOMMU_API uint32_t ciommu_port_id(const struct ciommu_port *port);

/* Opens an access section: host pointers that this port returns stay valid until the matching
 * leave. Nested enters count. Wait-free. A full barrier: what an invalidation that completed before
 * the enter made invisible, is not seen inside.
 *
 * Inside a section the thread must not wait for anybody who may invalidate or change the memory
 * map: the section holds their completion back. That includes page faults on registered memory that
 * a user-space resolver (postcopy migration, userfaultfd) answers: the resolver must never
 * invalidate. */
CIOMMU_API void ciommu_port_enter(struct ciommu_port *port);

/* Closes the section (release order: every access through a host pointer happens before the
 * completion of an invalidation that waited for it). The outermost leave reports what the section
 * wrote to the dirty log. Calling without enter is a programming error and traps. */
CIOMMU_API void ciommu_port_leave(struct ciommu_port *port);

/* Takes up to `capacity` recorded faults of this port, oldest first, and returns how many. One
 * thread at a time per port, not necessarily the translating one. `*lost` (may be NULL) is the
 * number of faults lost to a full ring since the port was made. Each element's `size` must be set
 * by the caller, to the same value; the elements are that far apart. For hosts without fault
 * queues (ciommu_faults.h): where there are any, what is taken here does not reach them, and what
 * they have collected is not here. */
CIOMMU_API uint32_t ciommu_port_take_faults(struct ciommu_port *port, struct ciommu_fault *faults,
                                            uint32_t capacity, uint64_t *lost);

/* -------------------------------------------------------------------------------------------- */
/* Translation */

/* Translates one address. `port` NULL borrows one from the unit's pool (lock-free; CIOMMU_NO_PORT
 * when all are taken) and gives an address without host pointer; its fault is in `out` only, in no
 * ring, unless the unit has fault queues (ciommu_faults.h). `pasid` is a PASID or CIOMMU_NO_PASID;
 * `access` any of CIOMMU_READ ... _PRIVILEGED or none; `flags` CIOMMU_NO_FAULT ... . A fault is
 * CIOMMU_OK with out->outcome == CIOMMU_FAULT. CIOMMU_INVALID_ARGUMENT for a PASID over 20 bits, a
 * source over 16 (VT-d), unknown bits, or an `out->size` too small.
 *
 * Outside a section the answer is address-only and may be out of date as soon as the call returns;
 * inside one it stays good until the section ends. No lock, allocation or system call on hits and
 * walks, with three exceptions: a thread's first miss registers it with liburcu (which ends the
 * process where the system refuses it memory for that), a full pool wakes the thread that makes
 * room, and a fault whose queue somebody waits for wakes the unit's event thread. */
CIOMMU_API enum ciommu_status ciommu_translate(struct ciommu_unit *unit, struct ciommu_port *port,
                                               uint32_t source, uint32_t pasid, uint64_t iova,
                                               uint32_t access, uint32_t flags,
                                               struct ciommu_result *out);

/* Is the answer that `token` came with still true, so that its device may store it? Inside a
 * section of `port` (any of the unit), in which the device stores; the token may come from another
 * section, port or thread, or from ciommu_translate outside of one. True: as long as this section
 * lasts, storing is as good as it was in the section that produced the answer, and an invalidation
 * that covers it asks the device after the section. False: an invalidation, a change of tables, or
 * the end of its address space may have overtaken it (or something else in the same address space
 * did): ask again. False also outside a section, for a token of another unit, and for none. A
 * change of the memory map leaves it true: it names an output address. Wait-free. */
CIOMMU_API bool ciommu_ats_token_valid(const struct ciommu_port *port,
                                       const struct ciommu_ats_token *token);

/* One DMA request of `length` bytes. */
struct ciommu_request {
    uint32_t source;
    uint32_t pasid;
    uint64_t iova;
    uint64_t length;
    uint32_t access;
    uint32_t flags;
};

/* A piece of a request that is contiguous in output addresses and, if host is not NULL, in host
 * memory. */
struct ciommu_segment {
    uint64_t iova;
    uint64_t address;
    unsigned char *host; /* NULL where no registered memory permits the access */
    uint64_t length;
    uint32_t rights;
    uint32_t page_lg2; /* of the first page in it */
};

/* How far a request came. */
struct ciommu_progress {
    uint32_t size;
    uint32_t outcome;  /* CIOMMU_TRANSLATED_OK, or what ended it: CIOMMU_FAULT, CIOMMU_INTERRUPT */
    uint32_t segments; /* written */
    uint32_t reserved;
    uint64_t
        done; /* bytes covered by them; less than the length when a fault or `capacity` ended it */
    struct ciommu_fault fault;
};

/* Translates a request into at most `capacity` segments; adjacent pages whose memory is adjacent
 * become one. The port must be inside a section (CIOMMU_INVALID_ARGUMENT otherwise). The first
 * faulting page ends it; what came before is in `segments`. A request whose iova + length wraps is
 * CIOMMU_WRAPS; a zero length is no segment. */
CIOMMU_API enum ciommu_status ciommu_translate_range(struct ciommu_port *port,
                                                     const struct ciommu_request *request,
                                                     struct ciommu_segment *segments,
                                                     uint32_t capacity,
                                                     struct ciommu_progress *out);

/* Translates `count` requests of one address each (length is ignored), with the results in order.
 * Same rules as ciommu_translate with this port; every results[i].size must be set. On a status
 * other than CIOMMU_OK, `*done` (may be NULL) results were written. */
CIOMMU_API enum ciommu_status ciommu_translate_batch(struct ciommu_port *port,
                                                     const struct ciommu_request *requests,
                                                     struct ciommu_result *results, uint32_t count,
                                                     uint32_t *done);

/* Copy helpers: a section of their own (or the caller's), a scatter list, and the copy. `out->done`
 * bytes were transferred. CIOMMU_FAULTED: out->fault ended it; CIOMMU_NO_HOST_MEMORY or
 * CIOMMU_READ_ONLY: the next byte's output address cannot be copied. `access` of the request adds
 * CIOMMU_PRIVILEGED or _EXECUTE if wanted; R or W is implied. */
CIOMMU_API enum ciommu_status ciommu_read(struct ciommu_port *port,
                                          const struct ciommu_request *request, void *buffer,
                                          struct ciommu_progress *out);
CIOMMU_API enum ciommu_status ciommu_write(struct ciommu_port *port,
                                           const struct ciommu_request *request, const void *buffer,
                                           struct ciommu_progress *out);

/* Copies between `buffer` and registered memory at an output address, untranslated: what the unit
 * itself reads and writes, such as the queues of a front end. In a section of its own, or the
 * caller's. `*done` bytes were copied. CIOMMU_NO_HOST_MEMORY, CIOMMU_READ_ONLY: the next byte
 * cannot be; CIOMMU_WRAPS; CIOMMU_INVALID_ARGUMENT for NULL. The dirty log hears of what was
 * written. */
CIOMMU_API enum ciommu_status ciommu_output_read(struct ciommu_port *port, uint64_t address,
                                                 void *buffer, uint64_t length, uint64_t *done);
CIOMMU_API enum ciommu_status ciommu_output_write(struct ciommu_port *port, uint64_t address,
                                                  const void *buffer, uint64_t length,
                                                  uint64_t *done);

/* Atomic compare-and-exchange of request->length bytes (1, 2, 4 or 8, naturally aligned:
 * CIOMMU_MISALIGNED otherwise) with sequentially consistent order. `*expected` receives what was
 * found; `*exchanged` says whether `desired` was stored. Needs R and W. */
CIOMMU_API enum ciommu_status ciommu_compare_exchange(struct ciommu_port *port,
                                                      const struct ciommu_request *request,
                                                      uint64_t *expected, uint64_t desired,
                                                      bool *exchanged, struct ciommu_progress *out);

/* -------------------------------------------------------------------------------------------- */
/* Walk trace: which entry of which table */

enum ciommu_table {
    CIOMMU_TABLE_ROOT = 0,
    CIOMMU_TABLE_SCALABLE_ROOT,
    CIOMMU_TABLE_CONTEXT,
    CIOMMU_TABLE_SCALABLE_CONTEXT,
    CIOMMU_TABLE_PASID_DIRECTORY,
    CIOMMU_TABLE_PASID,
    CIOMMU_TABLE_FIRST_STAGE,
    CIOMMU_TABLE_SECOND_STAGE
};

/* One entry that a walk read. */
struct ciommu_step {
    uint32_t table; /* enum ciommu_table */
    uint32_t level; /* of a paging entry, 0 = leaf table; CIOMMU_NO_LEVEL for the others */
    uint32_t words; /* 8-byte words in `word`: 1, 2, 4 or 8; 0 when the entry could not be read */
    uint32_t reserved;
    uint64_t
        address; /* output address of the entry; 0 in tables of the host's own (ciommu_domains.h),
                    whose entries also show no address of a further table */
    uint64_t input; /* the address that this level translates: the IOVA, or a guest-physical address
                       (nested) */
    uint64_t word[8];
};

/* Walks as ciommu_translate would with CIOMMU_NO_CACHE | CIOMMU_NO_FAULT | CIOMMU_NO_AD added, and
 * writes the entries read, in order, at most `capacity` of them; `*count` is how many the walk has
 * (more than `capacity` means that the rest was not kept). A nested 5-level walk reads up to 39. */
CIOMMU_API enum ciommu_status ciommu_trace(struct ciommu_unit *unit, struct ciommu_port *port,
                                           uint32_t source, uint32_t pasid, uint64_t iova,
                                           uint32_t access, uint32_t flags,
                                           struct ciommu_step *steps, uint32_t capacity,
                                           uint32_t *count, struct ciommu_result *out);

/* The VT-d name of a fault code, such as "SSS.2", and what it means; "" for a code that the engine
 * does not produce. Static. */
CIOMMU_API const char *ciommu_fault_code_name(uint32_t code);
CIOMMU_API const char *ciommu_fault_code_text(uint32_t code);

/* -------------------------------------------------------------------------------------------- */
/* Invalidation */

enum ciommu_invalidation_kind {
    CIOMMU_INVALIDATE_CONTEXT = 1,      /* cached root, context entries and what hangs on them */
    CIOMMU_INVALIDATE_PASID = 2,        /* cached PASID-table entries */
    CIOMMU_INVALIDATE_TRANSLATIONS = 3, /* IOTLB and paging-structure caches */
    CIOMMU_INVALIDATE_DEVICE_TLB = 4    /* translations that devices hold (ATS): they are asked */
};

/* Stage selector of a translation invalidation. */
/* first-stage-only and nested spaces */
#define CIOMMU_STAGES_FIRST 1u
/* second-stage-only spaces; spaces with a first stage are dropped whole */
#define CIOMMU_STAGES_SECOND 2u
/* of a device-TLB invalidation with pasid CIOMMU_ANY: only translations of requests without PASID.
 * Without it those of all PASIDs too */
#define CIOMMU_STAGES_UNTAGGED 4u

/* for domain, source or pasid below */
#define CIOMMU_ANY UINT32_MAX

/* The one inner invalidation: every native format is decoded into this, and only this reaches
 * caches and tables. */
struct ciommu_invalidation {
    uint32_t size;
    uint32_t kind;        /* enum ciommu_invalidation_kind */
    uint32_t domain;      /* domain id or CIOMMU_ANY */
    uint32_t pasid;       /* PASID or CIOMMU_ANY */
    uint32_t source;      /* source id or CIOMMU_ANY (context, device-TLB) */
    uint32_t source_mask; /* bits of `source` that are not compared */
    uint32_t stages;      /* CIOMMU_STAGES_* */
    uint32_t leaf_only;   /* 1: only leaf entries changed, paging-structure caches may stay (IH) */
    uint64_t first;       /* input addresses, inclusive; 0 and UINT64_MAX = the whole space */
    uint64_t last;
};

/* Applies one inner invalidation. When it answers CIOMMU_OK promise 1 holds: nothing covered is
 * cached, and no section that began before can still use it. `port` is the caller's port, or NULL;
 * inside a section of it the call is refused (CIOMMU_IN_SECTION). A range that reaches into a large
 * leaf covers all of it, also where a nested translation is cached in smaller parts. With NULL,
 * debug builds (CIOMMU_INTERNAL_CHECKS) find out whether the thread itself is inside a section of
 * the unit that was opened by ciommu_port_enter, and refuse too: this call would wait for its own
 * caller. CIOMMU_TIMED_OUT: applied, but a section still runs (see ciommu_unit_drain). Cannot fail
 * for lack of memory. The guest's own table writes must happen before the call. Observers hear of
 * it after it took effect. Devices (ATS) are asked by kind DEVICE_TLB alone: after the others they
 * may still hold what was covered, and a guest asks them with entries of their own. */
CIOMMU_API enum ciommu_status ciommu_invalidate(struct ciommu_unit *unit, struct ciommu_port *port,
                                                const struct ciommu_invalidation *invalidation);

/* What a VT-d descriptor asks of the host, once decoded. */
enum ciommu_descriptor_kind {
    CIOMMU_DESCRIPTOR_CACHES = 1, /* context, IOTLB, PIOTLB, PASID cache: the engine has done it */
    /* the devices whose device-TLBs are known (ciommu_invalidation.h) were asked and have answered
     */
    CIOMMU_DESCRIPTOR_DEVICE_TLB = 2,
    /* interrupt-entry cache: the engine keeps none and has waited for the sections; a host that
       keeps one acts */
    CIOMMU_DESCRIPTOR_INTERRUPT_CACHE = 3,
    /* Validated, and on CIOMMU_OK every earlier entry is complete: the host writes the status and
     * signals. CIOMMU_TIMED_OUT: a section still runs, so nothing is complete. */
    CIOMMU_DESCRIPTOR_WAIT = 4,
    CIOMMU_DESCRIPTOR_PAGE_RESPONSE = 5 /* page-group response: validated, the host acts */
};

/* What became of one descriptor. */
struct ciommu_descriptor_result {
    uint32_t size;
    uint32_t kind; /* enum ciommu_descriptor_kind; 0 when refused */
    uint32_t iqei; /* invalidation-queue error information when refused [FORMATS-VTD B8]: 3, 4, 5 or
                      7; else 0 */
    uint32_t wait_flags;   /* of a wait: bit 0 IF, bit 1 SW, bit 2 FN, bit 3 PD */
    uint32_t wait_data;    /* status data to store when SW is set */
    uint32_t port_id;      /* the port that held a timed-out drain, else 0 */
    uint64_t wait_address; /* where to store it */
    const char *error;     /* sentence that names the violated rule, static; NULL when accepted */
    struct ciommu_invalidation invalidation; /* what was applied, for CACHES and DEVICE_TLB */
    uint32_t interrupt_first; /* entries of the interrupt-remapping table, for INTERRUPT_CACHE */
    uint32_t interrupt_last;
};

/* Applies one VT-d invalidation descriptor: `words` points to 2 (128-bit, wide = false) or 4
 * (256-bit) 64-bit words in host byte order, copied before they are looked at. Legality follows the
 * unit's capabilities and current RTADDR.TTM [FORMATS-VTD C]. CIOMMU_BAD_DESCRIPTOR: refused,
 * nothing changed, out->error and out->iqei say why. Otherwise as ciommu_invalidate. */
CIOMMU_API enum ciommu_status ciommu_invalidate_descriptor(struct ciommu_unit *unit,
                                                           struct ciommu_port *port,
                                                           const uint64_t *words, bool wide,
                                                           struct ciommu_descriptor_result *out);

/* Hears of every invalidation after it took effect. */
typedef void (*ciommu_observer)(void *context, const struct ciommu_invalidation *invalidation);

/* Registers an observer; `*id` names it. CIOMMU_NO_MEMORY. Called on the invalidating thread. */
CIOMMU_API enum ciommu_status ciommu_observer_add(struct ciommu_unit *unit,
                                                  ciommu_observer observer, void *context,
                                                  uint32_t *id);

/* Unregisters; on return no call to it runs or will start. Waits for running calls, so an observer
 * must not remove itself from inside its call. CIOMMU_NOT_FOUND. */
CIOMMU_API enum ciommu_status ciommu_observer_remove(struct ciommu_unit *unit, uint32_t id);

/* -------------------------------------------------------------------------------------------- */

static inline void ciommu_unit_config_init(struct ciommu_unit_config *config) {
    config->size = (uint32_t)sizeof *config;
    config->layout = CIOMMU_LAYOUT;
    /* ND=6 (65,536 domains), SAGAW 39+48+57, MGAW 57, SSLPS 2M+1G, PSI, MAMV 48, DWD, DRD, FS1GP,
     * FS5LP. */
    config->cap = UINT64_C(0x11f0008c00380e06);
    /* C QI DT IR EIM PT SC, MHMV 15, NEST, PRS, SRS, EAFS, PSS 19, PASID, PDS, SMTS, SSADS, SSTS,
     * FSTS, SMPWCS, RPS, ADMS, RPRIVS. */
    config->ecap = UINT64_C(0x0033ed9ca4f000df);
    config->revision = CIOMMU_VTD_4;
    config->host_address_width = 52;
    config->iotlb_entries = 1u << 16;
    config->first_level_entries = 256;
    config->walk_cache_entries = 256;
    config->bindings = 4096;
    config->spaces = 4096;
    config->domains = 4096;
    config->ports = 64;
    config->pool_ports = 8;
    config->fault_entries = 256;
    config->flags = 0;
    config->drain_timeout = UINT64_C(1000000000);
    config->table_pages = UINT64_C(1) << 20;
}

#ifdef __cplusplus
}
#endif
#endif
