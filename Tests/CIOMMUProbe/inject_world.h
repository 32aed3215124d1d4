/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * inject_world.h - one of each object that a host makes, and a digest of all that it can see of
 * them.
 */
#ifndef PROBE_INJECT_WORLD_H
#define PROBE_INJECT_WORLD_H

#include "ciommu_faults.h"
#include "ciommu_interrupts.h"
#include "ciommu_pages.h"
#include "inject_probe.h"

#define INJECT_WHOLE 0x10u  /* owned by one device */
#define INJECT_SHARED 0x20u /* by a parent and slices */
#define INJECT_FREE 0x30u   /* by nobody */
#define INJECT_FIRST 16u    /* PASIDs of the slice */
#define INJECT_LAST 31u
#define INJECT_PASID 20u /* what it attached */
#define INJECT_PAGE UINT64_C(4096)
#define INJECT_PAGES 16u
#define INJECT_RAM UINT64_C(0x100000000)
#define INJECT_IOVA UINT64_C(0x40000000)

/* What the engine has taken and not given back. Threads and descriptors are the process's: counted
 * only where it has no thread of its own beside the caller's. */
struct inject_holdings {
    bool alone;
    int64_t blocks; /* of memory; 0 in release builds */
    uint32_t descriptors;
    uint32_t threads;
};

struct inject_world {
    struct probe_inject_result *result;
    struct inject_holdings held; /* before the world was made */
    unsigned char *ram;          /* INJECT_PAGES, registered at INJECT_RAM */
    unsigned char *spare;        /* as many, registered nowhere */
    struct ciommu_memory *memory;
    struct ciommu_unit *unit;
    struct ciommu_port *port;
    struct ciommu_domain *mapped; /* a nest parent that maps the memory; of `whole` and `slice` */
    struct ciommu_domain *nested;
    struct ciommu_domain *other; /* has `pages` */
    struct ciommu_device *whole;
    struct ciommu_device *parent;
    struct ciommu_device *slice;
    struct ciommu_namespace *space; /* 0x1000...0x10ff; guest 7 is bound */
    struct ciommu_message_store *store;
    struct ciommu_fault_queue *faults; /* of `whole` */
    struct ciommu_page_interface *interface;
    struct ciommu_page_queue *pages;
    struct ciommu_device_tlb *tlb; /* of `whole` */
    uint32_t completed;            /* batches that were submitted */

    /* What the call that is tried has made. */
    struct ciommu_memory *new_memory;
    struct ciommu_unit *new_unit;
    struct ciommu_port *new_port;
    struct ciommu_domain *new_domain;
    struct ciommu_device *new_device;
    struct ciommu_namespace *new_space;
    struct ciommu_message_store *new_store;
    struct ciommu_fault_queue *new_faults;
    struct ciommu_page_interface *new_interface;
    struct ciommu_page_queue *new_pages;
    struct ciommu_device_tlb *new_tlb;
    uint32_t new_observer;
};

#define EXPECT(world, condition)                                                                   \
    inject_expect((world)->result, (condition), #condition, __FILE__, __LINE__)
void inject_expect(struct probe_inject_result *result, bool condition, const char *text,
                   const char *file, int line);

bool inject_world_make(struct inject_world *world, struct probe_inject_result *result);
void inject_world_unmake(struct inject_world *world);

/* Of all that calls can tell about the objects, but for counters of what happened. */
uint64_t inject_digest(struct inject_world *world);

/* Now, and whether it is still the same: what goes after a grace period is waited for. */
bool inject_is_alone(void);
void inject_prepare_holdings(void);
struct inject_holdings inject_holdings(bool alone);
#define EXPECT_HELD(world, expected)                                                               \
    inject_expect_holdings((world)->result, (expected), __FILE__, __LINE__)
void inject_expect_holdings(struct probe_inject_result *result,
                            const struct inject_holdings *expected, const char *file, int line);

struct ciommu_fault_queue_config inject_fault_config(void);
struct ciommu_page_queue_config inject_page_config(void);
struct ciommu_page_interface_config inject_interface_config(void);
struct ciommu_device_tlb_config inject_tlb_config(struct inject_world *world, uint32_t source);
struct ciommu_device_config inject_slice_config(uint64_t id, uint32_t first, uint32_t last);

/* A call that needs memory. */
struct inject_operation {
    const char *name;
    enum ciommu_status (*attempt)(struct inject_world *world);
    enum ciommu_status (*undo)(struct inject_world *world);
    void (*prepare)(struct inject_world *world); /* may be NULL */
};

extern const struct inject_operation inject_objects[];
extern const uint32_t inject_object_count;
extern const struct inject_operation inject_changes[];
extern const uint32_t inject_change_count;

#endif
