/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * ciommu_pages.h - page requests (PRI): a device asks for pages in groups, whoever owns the
 * address space gets whole groups and answers each of them once [FORMATS-VTD D, FORMATS-IOMMUFD
 * 6].
 *
 * The conventions of ciommu.h and ciommu_domains.h hold. In addition: nothing here is called
 * inside a section of the calling thread's port; handlers may be called before the call that
 * caused them returns.
 */
#ifndef CIOMMU_PAGES_H
#define CIOMMU_PAGES_H

#include "ciommu_invalidation.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Group indices are 0...511 [FORMATS-VTD D1]. */
#define CIOMMU_PAGE_GROUP_MAX 511u
/* The group of ciommu_page_request_group, which needs no index. */
#define CIOMMU_NO_PAGE_GROUP UINT32_MAX

/* -------------------------------------------------------------------------------------------- */
/* Answers */

/* With the values of the old interface [FORMATS-IOMMUFD 10]; a descriptor's are others. */
enum ciommu_page_code {
    CIOMMU_PAGE_SUCCESS = 0, /* retry: the pages are there, or the request was lost */
    CIOMMU_PAGE_INVALID = 1, /* the pages cannot be had */
    CIOMMU_PAGE_FAILURE = 2  /* nobody can answer; PCIe switches page requests off */
};

/* Whose answer it is. */
enum ciommu_page_cause {
    CIOMMU_PAGE_BY_OWNER = 0,    /* ciommu_page_respond */
    CIOMMU_PAGE_BY_RULE,         /* the request breaks a rule of FORMATS-VTD D1: invalid */
    CIOMMU_PAGE_BY_OVERFLOW,     /* it was lost: success, so that the device asks again */
    CIOMMU_PAGE_BY_DEADLINE,     /* the owner did not answer in time: failure */
    CIOMMU_PAGE_BY_DETACH,       /* detach, replace, reset, or the end of an object: invalid */
    CIOMMU_PAGE_BY_NOT_ATTACHED, /* nothing, or nothing of this device, is attached: invalid */
    CIOMMU_PAGE_BY_NOBODY        /* nobody takes page requests there: failure */
};

struct ciommu_page_answer {
    uint32_t size;
    uint32_t code;  /* enum ciommu_page_code */
    uint32_t cause; /* enum ciommu_page_cause */
    uint32_t source;
    uint32_t pasid; /* or CIOMMU_NO_PASID */
    uint32_t group; /* or CIOMMU_NO_PAGE_GROUP */
    uint32_t flags; /* CIOMMU_PAGE_PRIVATE_DATA */
    uint32_t reserved;
    uint64_t private_data[2]; /* as in the request, with the flag */
    uint64_t device;          /* the host's id */
};

/* Hears of the answer to a group, once. Any thread, outside locks and sections. Soon returns: for a
 * late group that thread is the unit's event thread, which carries faults and keeps every other
 * deadline. May call back into the library, but not destroy its own interface. */
typedef void (*ciommu_page_handler)(void *context, const struct ciommu_page_answer *answer);

/* -------------------------------------------------------------------------------------------- */
/* A device's interface */

struct ciommu_page_interface;

#define CIOMMU_PAGE_ALL_PASIDS 1u

struct ciommu_page_interface_config {
    uint32_t size;
    uint32_t flags;  /* CIOMMU_PAGE_ALL_PASIDS: requests with any PASID, and those without */
    uint32_t source; /* 16 bits */
    /* without the flag: inclusive; both CIOMMU_NO_PASID: only requests without PASID */
    uint32_t first_pasid;
    uint32_t last_pasid;
    uint32_t groups; /* most groups outstanding or incomplete, 1...65536 */
    uint32_t pages;  /* most pages in them, 1...1048576 */
    uint32_t reserved;
    uint64_t device; /* the host's id: that of the ciommu_device, where the source id has one */
    ciommu_page_handler handler; /* of groups asked for with ciommu_page_request */
    void *context;
};

/* Gives a device an interface for page requests. It takes all the memory that requests need.
 * Several interfaces of one source id and PASID may exist (devices that share them).
 * CIOMMU_UNSUPPORTED: no ECAP.PRS, PASIDs beyond ECAP.PSS. CIOMMU_INVALID_ARGUMENT, _NO_MEMORY.
 */
CIOMMU_API enum ciommu_status
ciommu_page_interface_create(struct ciommu_unit *unit,
                             const struct ciommu_page_interface_config *config,
                             struct ciommu_page_interface **out);

/* Ends the interface: answers everything outstanding with `invalid` and waits for calls of its
 * handlers in other threads. Requests are refused from then on (CIOMMU_CLOSED). */
CIOMMU_API void ciommu_page_interface_close(struct ciommu_page_interface *interface);

/* Closes and frees it, after every call of its handlers. Not from one of them; two handlers that
 * destroy each other's interfaces wait for ever. NULL is allowed. */
CIOMMU_API void ciommu_page_interface_destroy(struct ciommu_page_interface *interface);

/* last in group: the group is complete and wants an answer */
#define CIOMMU_PAGE_LAST 1u
/* private data present; the request is the last of its group then, and is told back in the answer
 * [FORMATS-VTD D3] */
#define CIOMMU_PAGE_PRIVATE_DATA 2u

struct ciommu_page_request {
    uint32_t size;
    uint32_t pasid;   /* or CIOMMU_NO_PASID */
    uint64_t address; /* any in the page */
    uint32_t access;  /* CIOMMU_READ, _WRITE, _EXECUTE, _PRIVILEGED */
    uint32_t group;   /* 0...511 */
    uint32_t flags;   /* CIOMMU_PAGE_LAST, _PRIVATE_DATA */
    uint32_t reserved;
    uint64_t private_data[2];
};

/* One part of a group. Parts of a group (PASID, index) are gathered until one is the last of it;
 * then, and only then, the interface's handler is called, once. A stop marker (last in group,
 * neither read nor write) is dropped silently. What is lost or dropped before the last one gets
 * no answer [FORMATS-VTD D1].
 *
 * `port` is the caller's port or NULL; a fault of a guest's tables is recorded by it.
 * CIOMMU_FAULTED: the guest's context entry forbids page requests (47), or the unit is in legacy
 * mode (32), or the entry faults otherwise: recorded, the request is discarded, no answer comes.
 * CIOMMU_NO_SPACE: more than the interface's groups or pages; nothing changed, ask again after an
 * answer. CIOMMU_NO_PORT: the guest's tables decide, `port` is NULL and the unit's pool is empty.
 * CIOMMU_NOT_OWNED: not a PASID of this interface. CIOMMU_CLOSED, CIOMMU_INVALID_ARGUMENT,
 * CIOMMU_IN_SECTION. */
CIOMMU_API enum ciommu_status ciommu_page_request(struct ciommu_page_interface *interface,
                                                  struct ciommu_port *port,
                                                  const struct ciommu_page_request *request);

struct ciommu_page {
    uint64_t address; /* of the page: a multiple of 4096 when read, any in the page when asked */
    uint32_t access;
    uint32_t reserved;
};

/* A whole group at once, without an index and with a handler of its own, which is called once if
 * and only if this answers CIOMMU_OK. Otherwise like ciommu_page_request with the last part; a
 * page that breaks a rule makes the whole group invalid, as does one with no right at all. */
CIOMMU_API enum ciommu_status ciommu_page_request_group(struct ciommu_page_interface *interface,
                                                        struct ciommu_port *port, uint32_t pasid,
                                                        const struct ciommu_page *pages,
                                                        uint32_t count, ciommu_page_handler handler,
                                                        void *context);

/* Counters of an interface. Histograms count by the base-2 logarithm of nanoseconds. */
struct ciommu_page_interface_statistics {
    uint32_t size;
    uint32_t open;       /* groups without an answer now, incomplete ones included */
    uint32_t high_water; /* the most there ever were */
    uint32_t reserved;
    uint64_t requests; /* parts */
    uint64_t refused;  /* by a status: limits and faults */
    uint64_t dropped;  /* parts without an answer: invalid, lost, or of a discarded group */
    uint64_t repeated; /* parts equal to an earlier one of their group */
    uint64_t stop_markers;
    uint64_t groups;      /* complete ones, request_group included */
    uint64_t followers;   /* of those, answered together with another one */
    uint64_t answers[3];  /* by enum ciommu_page_code */
    uint64_t causes[7];   /* by enum ciommu_page_cause; all but the first are automatic */
    uint64_t latency[40]; /* from complete to answered, of groups that an owner was to answer */
};
CIOMMU_API void ciommu_page_interface_read_statistics(const struct ciommu_page_interface *interface,
                                                      struct ciommu_page_interface_statistics *out);

/* -------------------------------------------------------------------------------------------- */
/* The owner's queue */

struct ciommu_page_queue;

/* There is something to be read, or the queue has overflowed. Called on a requesting or answering
 * thread, outside locks and sections, whenever something was added; calls may overlap. Soon
 * returns; must not destroy its queue. */
typedef void (*ciommu_page_ready)(void *context);

/* Everything outstanding of a device (`everybody`: of all) in one of its attachments has been
 * answered, with `invalid`; returns when the host runs nothing for it any more. Called by detach,
 * replace, unbind, resets and the end of objects, on their thread, outside locks and sections;
 * must not destroy its queue. */
typedef void (*ciommu_page_retire)(void *context, uint64_t device, bool everybody);

/* groups that ask for the same pages are delivered each on its own */
#define CIOMMU_PAGE_QUEUE_NO_SHARING 1u

struct ciommu_page_queue_config {
    uint32_t size;
    uint32_t flags;            /* CIOMMU_PAGE_QUEUE_* */
    uint32_t groups;           /* most groups that were not answered, 1...65536 */
    uint32_t pages;            /* most pages in them, 1...1048576 */
    uint64_t timeout;          /* nanoseconds to answer; UINT64_MAX: for ever */
    ciommu_page_ready ready;   /* may be NULL */
    ciommu_page_retire retire; /* may be NULL */
    void *context;
    /* NULL: the system's monotonic clock, and the unit's event thread keeps the deadlines.
     * Otherwise ciommu_unit_poll does. Called under a lock: calls nothing of the library. */
    ciommu_clock clock;
    void *clock_context;
};

/* Makes the queue of a paging or nested domain, or (NULL) of the requests that a guest's own
 * tables translate: sources behind the root table and devices with a bound PASID table. A group
 * with a PASID where its device attached nothing goes to the nested domain that the device
 * attached for requests without PASID, if that has a queue. CIOMMU_EXISTS: there is one.
 * CIOMMU_UNSUPPORTED: no ECAP.PRS; a nest parent [FORMATS-IOMMUFD 12]. CIOMMU_INVALID_ARGUMENT:
 * another kind of domain. CIOMMU_OTHER_UNIT, CIOMMU_NO_MEMORY. */
CIOMMU_API enum ciommu_status
ciommu_page_queue_create(struct ciommu_unit *unit, struct ciommu_domain *domain,
                         const struct ciommu_page_queue_config *config,
                         struct ciommu_page_queue **out);

/* Ends the queue: everything outstanding is answered with `invalid`, later requests find nobody.
 * Returns when retire did and no other thread is in a call of `ready`. The end of the queue's
 * domain does the same. */
CIOMMU_API void ciommu_page_queue_close(struct ciommu_page_queue *queue);

/* Closes and frees it. Not from its own callbacks. NULL is allowed. */
CIOMMU_API void ciommu_page_queue_destroy(struct ciommu_page_queue *queue);

/* A group that its owner has to answer. */
struct ciommu_page_group {
    uint32_t size;
    uint32_t capacity;         /* in: of `pages` */
    struct ciommu_page *pages; /* in: written in the order in which they were asked for */
    uint32_t count;            /* pages, also when they do not fit */
    uint32_t source;
    uint32_t pasid; /* or CIOMMU_NO_PASID */
    uint32_t group; /* or CIOMMU_NO_PAGE_GROUP */
    uint32_t flags; /* CIOMMU_PAGE_PRIVATE_DATA */
    uint32_t reserved;
    uint64_t cookie; /* names it in its answer; never used again by this queue; from 1 */
    uint64_t device; /* the host's id */
    uint64_t private_data[2];
    uint64_t deadline; /* by the queue's clock; UINT64_MAX: none */
};

/* Takes the oldest group. CIOMMU_NOT_FOUND: there is none. CIOMMU_NO_SPACE: it has more pages
 * than `capacity`; `count` says how many, nothing else changed. CIOMMU_CLOSED. Never waits. */
CIOMMU_API enum ciommu_status ciommu_page_read(struct ciommu_page_queue *queue,
                                               struct ciommu_page_group *group);

/* Answers a group that was read: of several answers exactly one is CIOMMU_OK, and the device
 * hears that one. CIOMMU_ALREADY_ANSWERED: by another response, its deadline, a detach or a
 * reset. CIOMMU_NOT_FOUND: a cookie that was never given. CIOMMU_INVALID_ARGUMENT: the code. */
CIOMMU_API enum ciommu_status ciommu_page_respond(struct ciommu_page_queue *queue, uint64_t cookie,
                                                  enum ciommu_page_code code);

/* The same by what a page-group response names: the oldest group of that name which was read and
 * not answered. CIOMMU_NOT_FOUND: none is. */
CIOMMU_API enum ciommu_status ciommu_page_respond_by_group(struct ciommu_page_queue *queue,
                                                           uint32_t source, uint32_t pasid,
                                                           uint32_t group,
                                                           enum ciommu_page_code code);

/* Is the group of this cookie still to be answered? For a host that hands groups to threads: a
 * thread that is known to its `retire` and then finds the group open may work on it, because a
 * detach that comes later waits in retire. It calls nobody but the queue's clock, so locks may be
 * held that a handler takes: a group whose deadline has passed is not open, and is answered by the
 * next poll, read or response. */
CIOMMU_API bool ciommu_page_is_open(struct ciommu_page_queue *queue, uint64_t cookie);

/* A group found the queue full. Until it is acknowledged every request to this queue is discarded
 * (the last of a group is answered with success, so that the device asks again), as with PRS.PRO
 * [FORMATS-VTD D2]; incomplete groups were discarded. */
CIOMMU_API bool ciommu_page_queue_overflowed(const struct ciommu_page_queue *queue);
CIOMMU_API void ciommu_page_queue_acknowledge(struct ciommu_page_queue *queue);

/* A descriptor to poll: readable while there is a group to be read, or the queue has overflowed
 * or is closed. Made by the first call, closed with the queue; the caller neither reads nor
 * closes it. Negative: the system gave none. */
CIOMMU_API int ciommu_page_queue_descriptor(struct ciommu_page_queue *queue);

/* Counters of a queue. */
struct ciommu_page_queue_statistics {
    uint32_t size;
    uint32_t queued;     /* groups to be read now */
    uint32_t delivered;  /* read and not answered now */
    uint32_t high_water; /* the most there ever were of both */
    uint64_t groups;     /* that were accepted, followers included */
    uint64_t followers;
    uint64_t promoted; /* followers that had to be delivered after all */
    uint64_t reads;
    uint64_t responses[3]; /* accepted ones, by enum ciommu_page_code */
    uint64_t late;         /* responses to what was answered before */
    uint64_t timeouts;
    uint64_t cancelled;
    uint64_t overflows;
    uint64_t lost;        /* requests discarded because of them */
    uint64_t latency[40]; /* from complete to the owner's response */
};
CIOMMU_API void ciommu_page_queue_read_statistics(const struct ciommu_page_queue *queue,
                                                  struct ciommu_page_queue_statistics *out);

/* -------------------------------------------------------------------------------------------- */
/* Native formats, for a virtual unit's queues */

/* The page-request descriptor of a request [FORMATS-VTD D1]. Any state; nothing is checked. */
CIOMMU_API void ciommu_page_descriptor(uint32_t source, const struct ciommu_page_request *request,
                                       uint64_t words[4]);

/* What a page-group response descriptor says [FORMATS-VTD C2 type 9]; reserved codes mean
 * failure, as for a PCIe device. CIOMMU_BAD_DESCRIPTOR: another type. */
CIOMMU_API enum ciommu_status ciommu_page_response_decode(const uint64_t words[4], uint32_t *source,
                                                          uint32_t *pasid, uint32_t *group,
                                                          enum ciommu_page_code *code);

#ifdef __cplusplus
}
#endif
#endif
