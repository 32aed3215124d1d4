/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * device_tlb_bench.h - a unit with memory, two virtual devices of one source id, and devices that
 * answer as they are told.
 */
#ifndef PROBE_DEVICE_TLB_BENCH_H
#define PROBE_DEVICE_TLB_BENCH_H

#include "device_tlb_probe.h"
#include "ciommu_invalidation.h"

#include <pthread.h>

#define TLB_SOURCE 0x42u
#define TLB_FIRST_PASID 16u /* of the first device; each has 16 */
#define TLB_OUTPUT UINT64_C(0x100000000)
#define TLB_IOVA UINT64_C(0x40000000)
#define TLB_PAGE UINT64_C(4096)
#define TLB_PAGES 64u
#define TLB_LOG 512u
#define TLB_EVERYTHING UINT64_MAX

enum tlb_manner {
    ANSWERS_AT_ONCE = 0,
    ANSWERS_TWICE,
    ANSWERS_NEVER,     /* and lets a custom clock pass its timeout */
    ANSWERS_FALSE,     /* a completion error */
    ANSWERS_ELSEWHERE, /* on another thread, a little later */
    ANSWERS_IN_SECTION /* inside a section of its own port */
};

struct tlb_bench;

struct fake_device {
    struct tlb_bench *bench;
    struct ciommu_device *device;
    struct ciommu_device_tlb *tlb;
    struct ciommu_port *port; /* its own */
    uint32_t manner;          /* enum tlb_manner */
    uint32_t second_status;   /* of ANSWERS_TWICE */
    void (*hook)(struct fake_device *device, const struct ciommu_device_tlb_request *request);
    uint32_t count; /* requests heard; bench lock */
    struct ciommu_device_tlb_request log[TLB_LOG];
    pthread_t answerer;
    uint32_t answerers;
};

struct tlb_bench {
    struct probe_device_tlb_result *result;
    struct ciommu_memory *memory;
    struct ciommu_unit *unit;
    struct ciommu_port *port;
    unsigned char *ram;
    uint64_t time; /* of the custom clock */
    pthread_mutex_t lock;
    struct fake_device devices[2]; /* slices of TLB_SOURCE */
    struct ciommu_domain *parent;  /* maps every page from TLB_IOVA on */
    struct ciommu_domain *other;
    uint32_t depth;
    uint64_t timeout;
    bool custom_clock;
};

/* One case: `bench` is made and unmade around it. */
struct tlb_case {
    const char *name;
    void (*run)(struct tlb_bench *bench);
    uint32_t depth;        /* 0: 8 */
    uint64_t milliseconds; /* of a device's timeout; 0: 60,000 */
    uint64_t drain;        /* milliseconds; 0: 60,000; 1: none */
    bool custom_clock;
};

#define EXPECT(bench, condition) tlb_expect((bench), (condition), #condition, __FILE__, __LINE__)
void tlb_expect(struct tlb_bench *bench, bool condition, const char *text, const char *file,
                int line);

/* Is request `number` of the device exactly this? */
bool tlb_heard(struct fake_device *device, uint32_t number, uint32_t pasid, uint64_t first,
               uint64_t last);
bool tlb_heard_everything(struct fake_device *device, uint32_t number);
uint32_t tlb_count(struct fake_device *device);
void tlb_forget(struct fake_device *device);

struct ciommu_device_tlb_config tlb_config(struct fake_device *device);

/* What a request of the device comes to: enum ciommu_outcome. */
uint32_t tlb_translate(struct tlb_bench *bench, uint32_t pasid, uint64_t address, uint32_t flags);

enum ciommu_status tlb_map(struct tlb_bench *bench, struct ciommu_domain *domain, uint32_t page,
                           uint32_t pages);
enum ciommu_status tlb_unmap(struct tlb_bench *bench, struct ciommu_domain *domain, uint32_t page,
                             uint32_t pages);
/* The input address of a page. */
static inline uint64_t tlb_at(uint32_t page) {
    return TLB_IOVA + page * TLB_PAGE;
}

struct ciommu_device_tlb_statistics tlb_statistics(const struct fake_device *device);

void tlb_nap(uint32_t milliseconds);

extern const struct tlb_case tlb_answer_cases[];
extern const uint32_t tlb_answer_count;
extern const struct tlb_case tlb_ask_cases[];
extern const uint32_t tlb_ask_count;
extern const struct tlb_case tlb_batch_cases[];
extern const uint32_t tlb_batch_count;
extern const struct tlb_case tlb_ats_cases[];
extern const uint32_t tlb_ats_count;
extern const struct tlb_case tlb_parent_cases[];
extern const uint32_t tlb_parent_count;
extern const struct tlb_case tlb_unsettled_cases[];
extern const uint32_t tlb_unsettled_count;
extern const struct tlb_case tlb_takeover_cases[];
extern const uint32_t tlb_takeover_count;
extern const struct tlb_case tlb_reset_cases[];
extern const uint32_t tlb_reset_count;
extern const struct tlb_case tlb_silence_cases[]; /* inject_silence.c */
extern const uint32_t tlb_silence_count;
extern const struct tlb_case tlb_clock_cases[]; /* inject_clocks.c */
extern const uint32_t tlb_clock_count;

#endif
