/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * isolation_world.h - two guests with domains whose every word says whose it is, and devices with
 * points: pairs of a device and a PASID, to which one thread attaches one domain after another.
 *
 * That thread writes the next state into the point's history, announces it (`started`), calls the
 * engine, and announces the return (`finished`). A reader notes `finished` before its section and
 * `started` after its translation; what it reads belongs to a domain of a state in between.
 */
#ifndef PROBE_ISOLATION_WORLD_H
#define PROBE_ISOLATION_WORLD_H

#include "isolation_probe.h"
#include "ciommu_faults.h"
#include "ciommu_interrupts.h"
#include "ciommu_pages.h"

#define ISO_GUESTS 2u
#define ISO_PAGE UINT64_C(4096)
#define ISO_PAGES 8u /* of a domain */
#define ISO_IOVA UINT64_C(0x40000000)
#define ISO_TABLES UINT64_C(0x7000000000) /* a nested domain's tables, as its parent maps them */
#define ISO_OUTPUT UINT64_C(0x1000000)
#define ISO_RAM_PAGES 256u
#define ISO_NOTHING 0xffu /* state: nothing is attached */
#define ISO_PAGING 0u     /* domains of a guest: two paging ones, */
#define ISO_NESTED 2u     /* a nested one, */
#define ISO_BOUND 3u      /* what its own PASID table leads to, */
#define ISO_TENANTS 4u    /* and of tenants: guest PASIDs with a host PASID for the time being */
#define ISO_DOMAINS 8u
#define ISO_TENANT_COUNT (ISO_DOMAINS - ISO_TENANTS)
#define ISO_DEVICES 5u /* of a guest: two whole ones, two slices, and that of the tenants */
#define ISO_TENANT_DEVICE 4u
#define ISO_POINTS 2u    /* of a device */
#define ISO_SLICED 0x42u /* the source id of all slices of a unit */
#define ISO_SLICE 16u
#define ISO_SLOTS 496u /* word of a page: after it, one for each device of the world to write */
#define ISO_GROUPS 512u
#define ISO_HISTORY 4096u
#define ISO_HOST_PASIDS 2u /* of a guest's tenants: they are used again and again */

struct iso_point {
    uint32_t pasid;
    uint64_t started;
    uint64_t finished;
    uint8_t states[ISO_HISTORY];
};

struct iso_world;

struct iso_device {
    struct iso_world *world;
    uint32_t guest;
    uint32_t number;
    uint64_t id;
    uint32_t source;
    uint32_t first; /* PASID of a slice */
    bool sliced;
    bool bound;
    struct ciommu_device *device;
    struct ciommu_fault_queue *faults;
    struct ciommu_page_interface *pages;   /* of slices, and so is */
    struct ciommu_message_store *messages; /* entry 0, armed with `first` */
    uint64_t faulted;                      /* recorded ones, as readers count them */
    uint64_t told;                         /* of those; the guest's thread */
    uint64_t raised;                       /* messages, with its own PASID */
    uint64_t foreign_raises;               /* with a sibling's PASID */
    uint64_t asked;                        /* groups of pages */
    uint64_t answered;
    uint64_t served;                         /* groups that the host read; the guest's thread */
    uint32_t groups[ISO_POINTS][ISO_GROUPS]; /* how often each is outstanding */
    struct iso_point points[ISO_POINTS];
};

struct iso_guest {
    struct iso_world *world;
    uint32_t number;
    struct ciommu_unit *unit; /* the same for both, or not */
    unsigned char *ram;
    uint64_t output;                            /* where ram is */
    struct ciommu_domain *domains[ISO_DOMAINS]; /* NULL: ISO_BOUND */
    struct ciommu_domain *parent;
    struct ciommu_page_queue *queues[ISO_NESTED];
    struct ciommu_namespace *space;
    struct ciommu_pasid_table table;
    struct iso_device devices[ISO_DEVICES];
    uint64_t written[ISO_DOMAINS]; /* iso_written, as each domain was left */
};

struct iso_world {
    bool split;
    struct ciommu_memory *memories[ISO_GUESTS];
    struct ciommu_unit *units[ISO_GUESTS];
    struct iso_guest guests[ISO_GUESTS];
    void (*complain)(struct iso_world *world, const char *what, uint64_t one, uint64_t other,
                     uint64_t third);
};

enum ciommu_status iso_world_create(struct iso_world *world,
                                    const struct probe_isolation_settings *settings);
/* Complains about faults, groups and messages that were lost or came to somebody else. */
void iso_world_check(struct iso_world *world);
void iso_world_destroy(struct iso_world *world);

/* The word at `word` of page `page` of a domain. */
uint64_t iso_stamp(uint32_t guest, uint32_t domain, uint32_t page, uint32_t word);
uint64_t *iso_host(const struct iso_guest *guest, uint32_t domain, uint32_t page);
/* May the word hold that: its stamp, or what one of the guest's devices writes there? */
bool iso_may_hold(uint32_t guest, uint32_t domain, uint32_t page, uint32_t word, uint64_t found);
/* The device writes its word of a page, for the `count`-th time. */
void iso_write(const struct iso_device *device, uint64_t *host, uint64_t count);
/* A sum of what devices wrote to a domain. */
uint64_t iso_written(const struct iso_guest *guest, uint32_t domain);
/* The domain is attached nowhere from now on, and: it was until now, so nobody wrote it. By the
 * thread that attaches it. */
void iso_rest(struct iso_guest *guest, uint32_t domain);
void iso_check_rest(struct iso_guest *guest, uint32_t domain);
/* Which domains are attached, a bit for each; but those of tenants. */
uint32_t iso_used(const struct iso_guest *guest);
/* Input addresses where nothing is mapped name the device that asks. */
uint64_t iso_tag(const struct iso_device *device);
/* A device's deeds (isolation_events.c): a fault, in a section; a group of one page; a message with
 * its own PASID, or with a sibling's. */
void iso_make_fault(struct ciommu_port *port, struct iso_device *device, uint64_t random);
void iso_ask_for_page(struct iso_device *device, uint64_t random);
void iso_raise_message(struct ciommu_port *port, struct iso_device *device, uint64_t random);
/* The handler of slices: each answer is one that was asked for. */
void iso_hear(void *context, const struct ciommu_page_answer *answer);
/* Reads a device's fault records: each must be its own. The guest's thread, as is */
void iso_read_faults(struct iso_device *device);
/* what reads and answers a guest's queues: each group must be in that of its point's domain. */
void iso_answer_pages(struct iso_guest *guest);

/* One random change of a guest's attachments (isolation_change.c). */
enum ciommu_status iso_change(struct iso_guest *guest, uint64_t random);
/* A tenant's guest PASID gets a host PASID with the tenant's domain, or loses both. One thread for
 * each half of the tenants: they take host PASIDs from one another. */
enum ciommu_status iso_change_tenant(struct iso_guest *guest, uint32_t half, uint64_t random);
void iso_begin(struct iso_point *point, uint32_t state);
void iso_finish(struct iso_point *point);
uint32_t iso_state(const struct iso_point *point); /* the changer's view */

#endif
