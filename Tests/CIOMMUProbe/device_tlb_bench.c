/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * device_tlb_bench.c - see device_tlb_bench.h; and the list of all cases.
 */
#define _GNU_SOURCE
#include "device_tlb_bench.h"
#include "probe.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define MILLISECOND UINT64_C(1000000)
#define RW (CIOMMU_READ | CIOMMU_WRITE)

void tlb_expect(struct tlb_bench *bench, bool condition, const char *text, const char *file,
                int line) {
    if (condition) {
        return;
    }
    const char *name = strrchr(file, '/');
    pthread_mutex_lock(&bench->lock);
    if (bench->result->failures++ == 0) {
        (void)snprintf(bench->result->first, sizeof bench->result->first, "%s:%d: %s",
                       name == NULL ? file : name + 1, line, text);
    }
    pthread_mutex_unlock(&bench->lock);
}

void tlb_nap(uint32_t milliseconds) {
    struct timespec time = {milliseconds / 1000, (long)(milliseconds % 1000) * 1000000};
    nanosleep(&time, NULL);
}

/* ---- Devices ---- */

static uint64_t read_clock(void *context) {
    struct tlb_bench *bench = context;
    return __atomic_load_n(&bench->time, __ATOMIC_RELAXED);
}

struct delayed {
    struct tlb_bench *bench;
    uint64_t id;
};

static void *answer_elsewhere(void *argument) {
    struct delayed *delayed = argument;
    tlb_nap(1);
    EXPECT(delayed->bench,
           ciommu_device_tlb_answer(delayed->bench->unit, delayed->id, true) == CIOMMU_OK);
    free(delayed);
    return NULL;
}

static void start_answerer(struct fake_device *device, uint64_t id) {
    struct delayed *delayed = malloc(sizeof *delayed);
    pthread_t thread;
    *delayed = (struct delayed){device->bench, id};
    if (pthread_create(&thread, NULL, answer_elsewhere, delayed) == 0) {
        pthread_mutex_lock(&device->bench->lock);
        bool first = device->answerers++ == 0;
        pthread_t before = device->answerer;
        device->answerer = thread;
        pthread_mutex_unlock(&device->bench->lock);
        if (!first) {
            pthread_join(before, NULL);
        }
    }
}

static void hear(void *context, const struct ciommu_device_tlb_request *request) {
    struct fake_device *device = context;
    struct tlb_bench *bench = device->bench;
    pthread_mutex_lock(&bench->lock);
    if (device->count < TLB_LOG) {
        device->log[device->count] = *request;
    }
    device->count++;
    enum tlb_manner manner = (enum tlb_manner)device->manner;
    pthread_mutex_unlock(&bench->lock);
    if (device->hook != NULL) {
        device->hook(device, request);
    }
    switch (manner) {
    case ANSWERS_NEVER:
        __atomic_fetch_add(&bench->time, bench->timeout, __ATOMIC_RELAXED);
        return;
    case ANSWERS_ELSEWHERE:
        start_answerer(device, request->id);
        return;
    case ANSWERS_IN_SECTION:
        ciommu_port_enter(device->port);
        EXPECT(bench, ciommu_device_tlb_answer(bench->unit, request->id, true) == CIOMMU_OK);
        ciommu_port_leave(device->port);
        return;
    default:
        EXPECT(bench, ciommu_device_tlb_answer(bench->unit, request->id, manner != ANSWERS_FALSE) ==
                          CIOMMU_OK);
        if (manner == ANSWERS_TWICE) {
            device->second_status =
                (uint32_t)ciommu_device_tlb_answer(bench->unit, request->id, true);
        }
    }
}

bool tlb_heard(struct fake_device *device, uint32_t number, uint32_t pasid, uint64_t first,
               uint64_t last) {
    pthread_mutex_lock(&device->bench->lock);
    const struct ciommu_device_tlb_request *request = &device->log[number % TLB_LOG];
    bool same = number < device->count && request->source == TLB_SOURCE &&
                request->pasid == pasid && request->first == first && request->last == last &&
                request->global == 0;
    pthread_mutex_unlock(&device->bench->lock);
    return same;
}

bool tlb_heard_everything(struct fake_device *device, uint32_t number) {
    pthread_mutex_lock(&device->bench->lock);
    const struct ciommu_device_tlb_request *request = &device->log[number % TLB_LOG];
    bool same = number < device->count && request->global == 1 && request->first == 0 &&
                request->last == TLB_EVERYTHING && request->pasid == CIOMMU_NO_PASID;
    pthread_mutex_unlock(&device->bench->lock);
    return same;
}

uint32_t tlb_count(struct fake_device *device) {
    pthread_mutex_lock(&device->bench->lock);
    uint32_t count = device->count;
    pthread_mutex_unlock(&device->bench->lock);
    return count;
}

void tlb_forget(struct fake_device *device) {
    pthread_mutex_lock(&device->bench->lock);
    device->count = 0;
    pthread_mutex_unlock(&device->bench->lock);
}

struct ciommu_device_tlb_config tlb_config(struct fake_device *device) {
    struct tlb_bench *bench = device->bench;
    uint32_t number = (uint32_t)(device - bench->devices);
    return (struct ciommu_device_tlb_config){
        .size = sizeof(struct ciommu_device_tlb_config),
        .source = TLB_SOURCE,
        .pfsid = TLB_SOURCE,
        .first_pasid = TLB_FIRST_PASID * (number + 1),
        .last_pasid = TLB_FIRST_PASID * (number + 2) - 1,
        .queue_depth = bench->depth,
        .timeout = bench->timeout,
        .device = 1000 + number,
        .handler = hear,
        .context = device,
        .clock = bench->custom_clock ? read_clock : NULL,
        .clock_context = bench,
    };
}

struct ciommu_device_tlb_statistics tlb_statistics(const struct fake_device *device) {
    struct ciommu_device_tlb_statistics statistics = {.size = sizeof statistics};
    ciommu_device_tlb_read_statistics(device->tlb, &statistics);
    return statistics;
}

/* ---- The unit ---- */

uint32_t tlb_translate(struct tlb_bench *bench, uint32_t pasid, uint64_t address, uint32_t flags) {
    struct ciommu_result result = {.size = sizeof result};
    enum ciommu_status status = ciommu_translate(bench->unit, bench->port, TLB_SOURCE, pasid,
                                                 address, CIOMMU_READ, flags, &result);
    EXPECT(bench, status == CIOMMU_OK);
    return result.outcome;
}

enum ciommu_status tlb_map(struct tlb_bench *bench, struct ciommu_domain *domain, uint32_t page,
                           uint32_t pages) {
    (void)bench;
    struct ciommu_mapping mapping = {
        .size = sizeof mapping,
        .rights = RW,
        .iova = tlb_at(page),
        .length = pages * TLB_PAGE,
        .address = TLB_OUTPUT + page * TLB_PAGE,
    };
    return ciommu_domain_map(domain, &mapping);
}

enum ciommu_status tlb_unmap(struct tlb_bench *bench, struct ciommu_domain *domain, uint32_t page,
                             uint32_t pages) {
    return ciommu_domain_unmap(domain, bench->port, tlb_at(page), pages * TLB_PAGE, NULL);
}

static enum ciommu_status make_unit(struct tlb_bench *bench, const struct tlb_case *what) {
    struct ciommu_unit_config config;
    ciommu_unit_config_init(&config);
    config.drain_timeout = (what->drain == 0   ? UINT64_C(60000)
                            : what->drain == 1 ? 0
                                               : what->drain) *
                           MILLISECOND;
    struct ciommu_memory_range range = {sizeof range, RW, TLB_OUTPUT, TLB_PAGES * TLB_PAGE,
                                        bench->ram};
    enum ciommu_status status = ciommu_memory_create(&bench->memory);
    status = status != CIOMMU_OK ? status : ciommu_memory_add(bench->memory, &range);
    status =
        status != CIOMMU_OK ? status : ciommu_unit_create(&config, bench->memory, &bench->unit);
    status = status != CIOMMU_OK ? status : ciommu_unit_set_root(bench->unit, 1 << 10);
    return status != CIOMMU_OK ? status : ciommu_port_create(bench->unit, &bench->port);
}

static enum ciommu_status make_domains(struct tlb_bench *bench) {
    struct ciommu_paging_config paging;
    ciommu_paging_config_init(&paging);
    paging.flags = CIOMMU_PAGING_NEST_PARENT | CIOMMU_PAGING_DIRTY_TRACKING;
    enum ciommu_status status = ciommu_paging_create(bench->unit, &paging, &bench->parent);
    status =
        status != CIOMMU_OK ? status : ciommu_paging_create(bench->unit, &paging, &bench->other);
    status = status != CIOMMU_OK ? status : tlb_map(bench, bench->parent, 0, TLB_PAGES);
    return status != CIOMMU_OK ? status : tlb_map(bench, bench->other, 0, TLB_PAGES);
}

static enum ciommu_status make_device(struct tlb_bench *bench, uint32_t number) {
    struct fake_device *device = &bench->devices[number];
    device->bench = bench;
    struct ciommu_device_tlb_config tlb = tlb_config(device);
    struct ciommu_device_config config = {
        .size = sizeof config,
        .source = TLB_SOURCE,
        .id = tlb.device,
        .share = CIOMMU_SHARE_SLICE,
        .first_pasid = tlb.first_pasid,
        .last_pasid = tlb.last_pasid,
    };
    enum ciommu_status status =
        ciommu_device_create(bench->unit, bench->port, &config, &device->device);
    status = status != CIOMMU_OK ? status : ciommu_port_create(bench->unit, &device->port);
    return status != CIOMMU_OK ? status : ciommu_device_tlb_create(bench->unit, &tlb, &device->tlb);
}

static void unmake(struct tlb_bench *bench) {
    for (uint32_t number = 0; number < 2; number++) {
        struct fake_device *device = &bench->devices[number];
        if (device->answerers != 0) {
            pthread_join(device->answerer, NULL);
            device->answerers = 0;
        }
        device->manner = ANSWERS_AT_ONCE;
        EXPECT(bench, ciommu_device_destroy(device->device, bench->port) == CIOMMU_OK);
        EXPECT(bench, ciommu_device_tlb_destroy(device->tlb, bench->port) == CIOMMU_OK);
    }
    EXPECT(bench, ciommu_domain_destroy(bench->parent) == CIOMMU_OK);
    EXPECT(bench, ciommu_domain_destroy(bench->other) == CIOMMU_OK);
    EXPECT(bench, ciommu_unit_destroy(bench->unit) == CIOMMU_OK);
    EXPECT(bench, ciommu_memory_destroy(bench->memory) == CIOMMU_OK);
}

static const struct tlb_case *find_case(uint32_t number) {
    const struct {
        const struct tlb_case *cases;
        uint32_t count;
    } groups[] = {
        {tlb_answer_cases, tlb_answer_count},     {tlb_ask_cases, tlb_ask_count},
        {tlb_batch_cases, tlb_batch_count},       {tlb_ats_cases, tlb_ats_count},
        {tlb_parent_cases, tlb_parent_count},     {tlb_silence_cases, tlb_silence_count},
        {tlb_clock_cases, tlb_clock_count},       {tlb_unsettled_cases, tlb_unsettled_count},
        {tlb_takeover_cases, tlb_takeover_count}, {tlb_reset_cases, tlb_reset_count},
    };
    for (uint32_t group = 0; group < sizeof groups / sizeof groups[0]; group++) {
        if (number < groups[group].count) {
            return &groups[group].cases[number];
        }
        number -= groups[group].count;
    }
    return NULL;
}

uint32_t probe_device_tlb_count(void) {
    return tlb_answer_count + tlb_ask_count + tlb_batch_count + tlb_ats_count + tlb_parent_count +
           tlb_silence_count + tlb_clock_count + tlb_unsettled_count + tlb_takeover_count +
           tlb_reset_count;
}

const char *probe_device_tlb_name(uint32_t number) {
    const struct tlb_case *what = find_case(number);
    return what == NULL ? "" : what->name;
}

void probe_device_tlb_case(uint32_t number, uint32_t mutant,
                           struct probe_device_tlb_result *result) {
    const struct tlb_case *what = find_case(number);
    struct tlb_bench *bench = calloc(1, sizeof *bench);
    memset(result, 0, sizeof *result);
    bench->result = result;
    bench->ram = aligned_alloc(TLB_PAGE, TLB_PAGES * TLB_PAGE);
    memset(bench->ram, 0, TLB_PAGES * TLB_PAGE);
    bench->depth = what->depth == 0 ? 8 : what->depth;
    bench->timeout = (what->milliseconds == 0 ? 60000 : what->milliseconds) * MILLISECOND;
    bench->custom_clock = what->custom_clock;
    pthread_mutex_init(&bench->lock, NULL);
    enum ciommu_status status = make_unit(bench, what);
    status = status != CIOMMU_OK ? status : make_domains(bench);
    status = status != CIOMMU_OK ? status : make_device(bench, 0);
    status = status != CIOMMU_OK ? status : make_device(bench, 1);
    EXPECT(bench, status == CIOMMU_OK);
    if (status == CIOMMU_OK) {
        probe_set_mutant(mutant);
        what->run(bench);
        probe_set_mutant(0);
    }
    unmake(bench);
    pthread_mutex_destroy(&bench->lock);
    free(bench->ram);
    free(bench);
}
