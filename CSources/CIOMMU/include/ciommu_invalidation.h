/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * ciommu_invalidation.h - invalidations as linear arrays of native entries [B-D1]: how many took
 * effect, and which entry and device the hardware error concerns [B-D2, B-A4]; device-TLBs.
 *
 * The conventions of ciommu.h and ciommu_domains.h hold.
 */
#ifndef CIOMMU_INVALIDATION_H
#define CIOMMU_INVALIDATION_H

#include "ciommu_domains.h"

#ifdef __cplusplus
extern "C" {
#endif

/* -------------------------------------------------------------------------------------------- */
/* Batches */

enum ciommu_batch_format {
    CIOMMU_BATCH_VTD_S1 = 1, /* 24-byte entries against one nested domain [FORMATS-IOMMUFD 5] */
    CIOMMU_BATCH_VTD_128,    /* 16-byte queue descriptors against the unit [FORMATS-VTD C] */
    CIOMMU_BATCH_VTD_256     /* 32-byte queue descriptors */
};

#define CIOMMU_BATCH_COUNT_MAX (1u << 19)
#define CIOMMU_BATCH_ENTRY_MAX 4096u

/* An array of entries. Each is copied once before it is looked at, so a guest that writes to the
 * array meanwhile changes nothing that was checked. */
struct ciommu_batch {
    uint32_t size;
    uint32_t format; /* enum ciommu_batch_format */
    /* bytes from entry to entry: at least the format's own, at most CIOMMU_BATCH_ENTRY_MAX; what is
     * beyond the format's own must be zero in each entry */
    uint32_t entry_length;
    uint32_t count;      /* at most CIOMMU_BATCH_COUNT_MAX; 0 asks whether the format is known */
    const void *entries; /* any alignment; may be NULL if count is 0 */
    struct ciommu_domain *domain; /* CIOMMU_BATCH_VTD_S1: a nested domain; otherwise NULL */
};

/* What the descriptors of a queue ask of the host. Every function may be NULL: then the descriptor
 * is only checked. Called on the thread that applies the batch, in the order of the entries. */
struct ciommu_batch_host {
    uint32_t size;
    uint32_t reserved;
    void *context;
    /* interrupt-entry cache: entries first...last of the remapping table, 0...0xffff = all */
    void (*interrupt_cache)(void *context, uint32_t index, uint32_t first, uint32_t last);
    /* page-group response, as written */
    void (*page_response)(void *context, uint32_t index, const uint64_t words[4]);
    /* everything before wait descriptor `index` is complete, and its status is stored; `interrupt`
     * asks for the completion event (IF) */
    void (*waited)(void *context, uint32_t index, bool interrupt);
};

/* The class of a hardware error. */
enum ciommu_batch_error {
    CIOMMU_BATCH_FINE = 0,
    /* an entry was refused. Later entries were not looked at. The same array on the same state
     * gives the same result. */
    CIOMMU_BATCH_DESCRIPTOR,
    /* a device answered an invalidation in a way that it must not */
    CIOMMU_BATCH_COMPLETION,
    /* a device or a port did not finish by its deadline; later wait descriptors were aborted */
    CIOMMU_BATCH_TIMEOUT
};

#define CIOMMU_BATCH_HAS_DEVICE 1u
#define CIOMMU_BATCH_AMBIGUOUS 2u
/* a port's access section, not a device, was late */
#define CIOMMU_BATCH_PORT 4u

/* One entry that could not be completed, and by whom. */
struct ciommu_batch_failure {
    uint32_t index;  /* of the entry; UINT32_MAX for an invalidation that a domain change caused */
    uint32_t error;  /* enum ciommu_batch_error */
    uint32_t flags;  /* CIOMMU_BATCH_* */
    uint32_t source; /* CIOMMU_ANY where no device is involved */
    uint32_t pasid;  /* CIOMMU_NO_PASID where none is */
    uint32_t port_id;
    uint64_t device; /* the host's id, with CIOMMU_BATCH_HAS_DEVICE */
};

struct ciommu_batch_result {
    uint32_t size;
    uint32_t error; /* enum ciommu_batch_error: a refusal's, else the first failure's */
    uint32_t code;  /* native, of a refused entry: IQEI [FORMATS-VTD B8]; of CIOMMU_BATCH_VTD_S1 the
                       errno of the kernel's interface [FORMATS-IOMMUFD 5] */
    uint32_t handled;  /* entries consumed: those before a refused one, or all of them */
    uint32_t lowest;   /* index of the lowest and the highest entry that may have caused it; */
    uint32_t highest;  /* UINT32_MAX when nothing failed */
    uint32_t failed;   /* failures found; at most `capacity` are in `failures`: the first ones, and
                          in the last place the first time-out, if it would not be there */
    uint32_t capacity; /* in */
    struct ciommu_batch_failure *failures; /* in; may be NULL if capacity is 0 */
    const char *text;  /* the rule that a refused entry broke, static; else NULL */
    uint32_t merged;   /* entries that needed no work of their own */
    uint32_t segments; /* completions: wait descriptors, and what came after */
};

/* Applies a batch, segment by segment: a segment ends with a wait descriptor or the array, changes
 * what it must under one lock, drains once, asks devices, and completes. Adjacent and overlapping
 * ranges are merged. `host` may be NULL. `result` is written unless nothing happened. Answers:
 *   - CIOMMU_OK: everything is complete (promise 1).
 *   - CIOMMU_BAD_DESCRIPTOR: entry result->handled was refused. Those before it are applied, and
 *     complete unless result->failed counts more than the refusal.
 *   - CIOMMU_TIMED_OUT: consumed, but a device or a port did not finish; the device is blocked.
 *   - CIOMMU_IN_SECTION, CIOMMU_INVALID_ARGUMENT (format, count, length, domain), and
 *     CIOMMU_NO_PORT (none was given and the unit's pool has none, so that no status could be
 *     stored): nothing happened.
 *
 * Needs no memory. A status that leads to no writable memory is lost, as on hardware. With
 * observers or device-TLBs registered, a segment of more than 64 ranges drains once for each 64. */
CIOMMU_API enum ciommu_status ciommu_batch_apply(struct ciommu_unit *unit, struct ciommu_port *port,
                                                 const struct ciommu_batch *batch,
                                                 const struct ciommu_batch_host *host,
                                                 struct ciommu_batch_result *result);

/* Counters of a unit's invalidations since its creation. */
struct ciommu_invalidation_statistics {
    uint32_t size;
    uint32_t reserved;
    uint64_t batches;
    uint64_t segments;
    uint64_t entries[16]; /* taken from batches, by descriptor type [FORMATS-VTD C2]; 0: stage-1
                             entries */
    uint64_t refused;     /* batches that ended with a refused entry */
    uint64_t late;        /* batches in which a device or a port was late or failed */
    uint64_t merged;      /* entries that needed no work of their own */
    uint64_t widened;     /* times that many ranges became a whole space */
    uint64_t drains;      /* waits for sections, of batches and everything else */
    uint64_t drain_timeouts;
    uint64_t drain_times[40]; /* of those that found a section open, by the base-2 logarithm of
                                 nanoseconds */
};
CIOMMU_API void ciommu_unit_invalidation_statistics(struct ciommu_unit *unit,
                                                    struct ciommu_invalidation_statistics *out);

/* -------------------------------------------------------------------------------------------- */
/* Submission */

/* Hears of a submitted batch, on the unit's invalidation thread, outside locks and sections;
 * `result` and its failures are valid during the call. */
typedef void (*ciommu_batch_completion)(void *context, enum ciommu_status status,
                                        const struct ciommu_batch_result *result);

/* Submits a batch and returns; the entries are copied before that. `host` functions and
 * `completion` run on the unit's invalidation thread, in the order of submission of one submitting
 * thread. Batches that are waiting together share a drain. `failures` is how many failures the
 * completion is shown at most. CIOMMU_IN_SECTION: `port` is inside a section, or, with NULL in
 * debug builds, the calling thread is (as ciommu_invalidate). CIOMMU_NO_MEMORY;
 * CIOMMU_INVALID_ARGUMENT as ciommu_batch_apply: nothing was submitted and `completion` is not
 * called. */
CIOMMU_API enum ciommu_status
ciommu_batch_submit(struct ciommu_unit *unit, struct ciommu_port *port,
                    const struct ciommu_batch *batch, const struct ciommu_batch_host *host,
                    uint32_t failures, ciommu_batch_completion completion, void *context);

/* Waits until everything submitted before the call is complete. Not from a completion. */
CIOMMU_API void ciommu_batch_finish(struct ciommu_unit *unit);

/* -------------------------------------------------------------------------------------------- */
/* Device-TLBs (ATS) */

struct ciommu_device_tlb;

/* What a device is asked to drop. */
struct ciommu_device_tlb_request {
    uint32_t size;
    uint32_t source;
    uint32_t pasid; /* CIOMMU_NO_PASID: translations of requests without one; CIOMMU_ANY is the same
                       number: with `global` all PASIDs and those without */
    uint32_t global;
    uint64_t id;    /* to be answered; never used again */
    uint64_t first; /* input addresses, inclusive */
    uint64_t last;
};

/* Asks a device to drop translations and returns at once; the device answers with
 * ciommu_device_tlb_answer, from any thread, also from inside this call. Called on an invalidating
 * thread, outside locks and sections. Requests of one device may come from several threads. A
 * translation of which any part lies in the range is to be dropped. Must not destroy its own
 * device-TLB. */
typedef void (*ciommu_device_tlb_handler)(void *context,
                                          const struct ciommu_device_tlb_request *request);

/* Monotonic nanoseconds; so that tests need not wait. */
typedef uint64_t (*ciommu_clock)(void *context);

/* the whole source id, alone */
#define CIOMMU_DEVICE_TLB_ALL_PASIDS 1u
/* A parent function beside slices of its source id: requests without PASID, and every PASID, as far
 * as no other device-TLB of the source id covers them. Those are asked themselves, and the parent's
 * is not asked about their PASIDs; invalidations that name no PASID ask all. A slice whose device
 * has no device-TLB of its own is the parent's. */
#define CIOMMU_DEVICE_TLB_OTHER_PASIDS 2u

struct ciommu_device_tlb_config {
    uint32_t size;
    uint32_t flags;  /* one of CIOMMU_DEVICE_TLB_*, or 0: the PASIDs below */
    uint32_t source; /* 16 bits */
    uint32_t pfsid;  /* physical function; devices of one share `queue_depth` [FORMATS-VTD C2] */
    /* both CIOMMU_NO_PASID: only requests without PASID, beside slices of the same source id */
    uint32_t first_pasid;
    uint32_t last_pasid;
    uint32_t queue_depth; /* requests in flight for its physical function, 1...32 */
    uint32_t reserved;    /* 0 */
    /* nanoseconds from asking to answering. A request that finds the queue full waits, and times
     * out only if the physical function ends none for this time and the longest one of those in
     * flight together. */
    uint64_t timeout;
    uint64_t device; /* the host's id, for reports */
    ciommu_device_tlb_handler handler;
    void *context;
    ciommu_clock clock; /* NULL: the system's monotonic clock */
    void *clock_context;
};

/* Makes a device's cache known (ATS is switched on). From now on unmap, protect, replace and detach
 * of what translates it, and the guest's device-TLB descriptors, ask the device and return when it
 * has answered; CIOMMU_TIMED_OUT otherwise, and if it answers that it could not: then it is
 * blocked. Only translations are followed that a section asked for which began after this returned,
 * and that are stored before that section ends, or with their token (ciommu_ats_token_valid). Until
 * now requests of ATS from a device of the host were refused (CIOMMU_TRANSLATION_REQUEST).
 *
 * Beside a device-TLB of CIOMMU_DEVICE_TLB_OTHER_PASIDS, which may hold translations of these
 * PASIDs, the call waits for sections and asks that one to drop everything. CIOMMU_TIMED_OUT: a
 * section or it was late (then it is blocked), and nothing was made. CIOMMU_IN_SECTION as for
 * ciommu_invalidate with port NULL.
 *
 * CIOMMU_OVERLAP: another one covers a PASID of it.
 * CIOMMU_UNSUPPORTED: no ECAP.DT, or PASIDs beyond ECAP.PSS. CIOMMU_INVALID_ARGUMENT also for
 * another queue depth than the function's other devices have. CIOMMU_NO_MEMORY. */
CIOMMU_API enum ciommu_status
ciommu_device_tlb_create(struct ciommu_unit *unit, const struct ciommu_device_tlb_config *config,
                         struct ciommu_device_tlb **out);

/* Switches ATS off: asks the device to drop everything (also if it is blocked), waits, and forgets
 * it; it is gone also on CIOMMU_TIMED_OUT, and what it may hold is then the host's to care for (a
 * reset). The device asks for no translation any more. Waits for calls in other threads that are
 * asking it. NULL is allowed. */
CIOMMU_API enum ciommu_status ciommu_device_tlb_destroy(struct ciommu_device_tlb *tlb,
                                                        struct ciommu_port *port);

/* The device has dropped what request `id` named, and will use no translation from before. The
 * first answer counts: CIOMMU_NOT_FOUND for an id that is not open (answered before, or too late),
 * which changes nothing. `fine` false: the device could not (a completion error). Any thread, any
 * state. */
CIOMMU_API enum ciommu_status ciommu_device_tlb_answer(struct ciommu_unit *unit, uint64_t id,
                                                       bool fine);

/* A device that did not answer in time, or answered that it could not, is blocked before the call
 * that asked returns: every request of its (source, PASIDs) faults as if nothing were attached,
 * translated requests included, so that promise 1 holds without its answer. While it is blocked it
 * is asked nothing, and fails nobody: it can use nothing. Other devices of its source id go on. */
CIOMMU_API bool ciommu_device_tlb_is_blocked(const struct ciommu_device_tlb *tlb);

/* Asks a device to drop everything; when it answers in time it is no longer blocked: CIOMMU_OK,
 * else CIOMMU_TIMED_OUT (also if another call blocked it meanwhile, or a section is late). */
CIOMMU_API enum ciommu_status ciommu_device_tlb_retry(struct ciommu_device_tlb *tlb,
                                                      struct ciommu_port *port);

/* The device was reset by other means and holds nothing: no longer blocked, requests that are open
 * at the call count as answered. Reset it when no section from before it was blocked is open any
 * more: after the call that blocked it has returned. What such a section stored after the reset
 * would go unasked for. CIOMMU_TIMED_OUT: a section is late, or another call blocked it meanwhile,
 * or sections from before it was blocked had not ended when this call began; it stays blocked, and
 * is to be reset once more. */
CIOMMU_API enum ciommu_status ciommu_device_tlb_reset(struct ciommu_device_tlb *tlb,
                                                      struct ciommu_port *port);

/* Counters of one device-TLB; histograms count by the base-2 logarithm of nanoseconds. */
struct ciommu_device_tlb_statistics {
    uint32_t size;
    uint32_t open; /* requests in flight now */
    uint64_t requests;
    uint64_t answers;
    uint64_t late_answers; /* and second ones */
    uint64_t timeouts;
    uint64_t errors;
    uint64_t round_trip[40];
};
CIOMMU_API void ciommu_device_tlb_read_statistics(const struct ciommu_device_tlb *tlb,
                                                  struct ciommu_device_tlb_statistics *out);

/* Reports a time-out as hardware does, besides the exact device in `failures`: every device-TLB
 * entry of the segment counts as timed out [B-A4]. Off by default.
 *
 * Choice [FORMATS-VTD C4]: also those whose devices had answered by then. Hardware tells software
 * of a device-TLB invalidation only through a later wait descriptor; that one is aborted, so
 * everything since the last completed one is in doubt, and is what software issues again. Of
 * entries that were asked in an earlier wave (a segment of more than 64 ranges), the first and the
 * last are listed. */
CIOMMU_API void ciommu_unit_set_coarse_timeouts(struct ciommu_unit *unit, bool coarse);

#ifdef __cplusplus
}
#endif
#endif
