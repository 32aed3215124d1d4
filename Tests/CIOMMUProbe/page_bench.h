/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * page_bench.h - a unit with devices that ask for pages and note what they are answered.
 */
#ifndef PROBE_PAGE_BENCH_H
#define PROBE_PAGE_BENCH_H

#include "ciommu_faults.h"
#include "ciommu_pages.h"
#include "page_probe.h"

#include <pthread.h>

#define PAGE_SOURCE 0x42u  /* of the slices 0 and 1 */
#define PAGE_WHOLE 0x50u   /* of device 2, which owns its source id */
#define PAGE_GUESTS 0x123u /* nobody's: the guest's tables decide */
#define PAGE_IOVA UINT64_C(0x40000000)
#define PAGE_BYTES UINT64_C(4096)
#define PAGE_RAM_PAGES 16u
#define PAGE_RAM UINT64_C(0x100000000)
#define PAGE_DEVICES 3u
#define PAGE_LOG 4096u
#define PAGE_RW (CIOMMU_READ | CIOMMU_WRITE)

struct page_bench;

struct page_device {
    struct page_bench *bench;
    uint32_t source;
    uint32_t pasid; /* the first of its slice; 5 of the whole one */
    struct ciommu_device *device;
    struct ciommu_page_interface *interface;
    void (*hook)(struct page_device *device, const struct ciommu_page_answer *answer);
    uint32_t count; /* answers; bench lock */
    struct ciommu_page_answer log[PAGE_LOG];
};

struct page_bench {
    struct probe_page_result *result;
    uint32_t mutant;
    struct ciommu_memory *memory;
    struct ciommu_unit *unit;
    struct ciommu_port *port;
    uint64_t *ram;
    pthread_mutex_t lock;
    struct page_device devices[PAGE_DEVICES];
    struct ciommu_domain *domain;    /* attached to every device's `pasid` */
    struct ciommu_domain *parent;    /* of `nested` */
    struct ciommu_domain *nested;    /* attached nowhere */
    struct ciommu_page_queue *queue; /* of `domain`; custom clock, timeout 1,000 */
    uint64_t time;                   /* of the custom clock */
    uint32_t readies;                /* calls of ready */
    uint32_t retired;                /* calls of retire */
    uint64_t retired_device;
    bool retired_everybody;
    void (*retire_hook)(struct page_bench *bench);
    void (*ready_hook)(struct page_bench *bench);
};

/* One case: `bench` is made and unmade around it. */
struct page_case {
    const char *name;
    void (*run)(struct page_bench *bench);
};

#define EXPECT(bench, condition) page_expect((bench), (condition), #condition, __FILE__, __LINE__)
void page_expect(struct page_bench *bench, bool condition, const char *text, const char *file,
                 int line);

enum ciommu_status page_bench_make(struct page_bench *bench, struct probe_page_result *result);
void page_bench_unmake(struct page_bench *bench);

/* The input address of a page. */
static inline uint64_t page_at(uint32_t page) {
    return PAGE_IOVA + page * PAGE_BYTES;
}

struct ciommu_page_interface_config page_interface_config(struct page_device *device);
struct ciommu_page_queue_config page_queue_config(struct page_bench *bench);

/* One part of a group at the device's own PASID. */
enum ciommu_status page_ask(struct page_device *device, uint32_t group, uint32_t page,
                            uint32_t access, uint32_t flags);

/* Reads a group of at most 16 pages; `pages` of 16. */
enum ciommu_status page_take(struct ciommu_page_queue *queue, struct ciommu_page_group *group,
                             struct ciommu_page *pages);

uint32_t page_count(struct page_device *device);
/* Was the last answer this, and is it answer number `count`? */
bool page_heard(struct page_device *device, uint32_t count, uint32_t group,
                enum ciommu_page_code code, enum ciommu_page_cause cause);

struct ciommu_page_queue_statistics page_queue_counts(const struct ciommu_page_queue *queue);
struct ciommu_page_interface_statistics page_counts(const struct page_device *device);

extern const struct page_case page_group_cases[];
extern const uint32_t page_group_count;
extern const struct page_case page_limit_cases[];
extern const uint32_t page_limit_count;
extern const struct page_case page_answer_cases[];
extern const uint32_t page_answer_count;
extern const struct page_case page_end_cases[];
extern const uint32_t page_end_count;
extern const struct page_case page_guest_cases[];
extern const uint32_t page_guest_count;
extern const struct page_case page_inject_cases[]; /* inject_pages.c */
extern const uint32_t page_inject_count;

#endif
