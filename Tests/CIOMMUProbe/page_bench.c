/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * page_bench.c - see page_bench.h; and the list of all cases.
 */
#define _GNU_SOURCE
#include "page_bench.h"
#include "probe.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void page_expect(struct page_bench *bench, bool condition, const char *text, const char *file,
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

/* ---- Devices ---- */

static void hear(void *context, const struct ciommu_page_answer *answer) {
    struct page_device *device = context;
    pthread_mutex_lock(&device->bench->lock);
    device->log[device->count++ % PAGE_LOG] = *answer;
    pthread_mutex_unlock(&device->bench->lock);
    if (device->hook != NULL) {
        device->hook(device, answer);
    }
}

struct ciommu_page_interface_config page_interface_config(struct page_device *device) {
    uint32_t number = (uint32_t)(device - device->bench->devices);
    bool whole = device->source == PAGE_WHOLE;
    return (struct ciommu_page_interface_config){
        .size = sizeof(struct ciommu_page_interface_config),
        .flags = whole ? CIOMMU_PAGE_ALL_PASIDS : 0,
        .source = device->source,
        .first_pasid = whole ? 0 : device->pasid,
        .last_pasid = whole ? 0 : device->pasid + 15,
        .groups = 32,
        .pages = 64,
        .device = 1000 + number,
        .handler = hear,
        .context = device,
    };
}

enum ciommu_status page_ask(struct page_device *device, uint32_t group, uint32_t page,
                            uint32_t access, uint32_t flags) {
    const struct ciommu_page_request request = {
        .size = sizeof request,
        .pasid = device->pasid,
        .address = page_at(page) + 0x123,
        .access = access,
        .group = group,
        .flags = flags,
    };
    return ciommu_page_request(device->interface, NULL, &request);
}

uint32_t page_count(struct page_device *device) {
    pthread_mutex_lock(&device->bench->lock);
    uint32_t count = device->count;
    pthread_mutex_unlock(&device->bench->lock);
    return count;
}

bool page_heard(struct page_device *device, uint32_t count, uint32_t group,
                enum ciommu_page_code code, enum ciommu_page_cause cause) {
    pthread_mutex_lock(&device->bench->lock);
    const struct ciommu_page_answer *last = &device->log[(count - 1) % PAGE_LOG];
    bool same = device->count == count && last->group == group && last->code == code &&
                last->cause == cause && last->source == device->source &&
                last->device == 1000 + (uint32_t)(device - device->bench->devices);
    pthread_mutex_unlock(&device->bench->lock);
    return same;
}

/* ---- The owner ---- */

static uint64_t read_clock(void *context) {
    struct page_bench *bench = context;
    return __atomic_load_n(&bench->time, __ATOMIC_RELAXED);
}

static void be_ready(void *context) {
    struct page_bench *bench = context;
    (void)__atomic_fetch_add(&bench->readies, 1, __ATOMIC_RELAXED);
    if (bench->ready_hook != NULL) {
        bench->ready_hook(bench);
    }
}

static void retire(void *context, uint64_t device, bool everybody) {
    struct page_bench *bench = context;
    pthread_mutex_lock(&bench->lock);
    bench->retired++;
    bench->retired_device = device;
    bench->retired_everybody = everybody;
    pthread_mutex_unlock(&bench->lock);
    if (bench->retire_hook != NULL) {
        bench->retire_hook(bench);
    }
}

struct ciommu_page_queue_config page_queue_config(struct page_bench *bench) {
    return (struct ciommu_page_queue_config){
        .size = sizeof(struct ciommu_page_queue_config),
        .groups = 8,
        .pages = 32,
        .timeout = 1000,
        .ready = be_ready,
        .retire = retire,
        .context = bench,
        .clock = read_clock,
        .clock_context = bench,
    };
}

enum ciommu_status page_take(struct ciommu_page_queue *queue, struct ciommu_page_group *group,
                             struct ciommu_page *pages) {
    *group = (struct ciommu_page_group){.size = sizeof *group, .capacity = 16, .pages = pages};
    return ciommu_page_read(queue, group);
}

struct ciommu_page_queue_statistics page_queue_counts(const struct ciommu_page_queue *queue) {
    struct ciommu_page_queue_statistics counts = {.size = sizeof counts};
    ciommu_page_queue_read_statistics(queue, &counts);
    return counts;
}

struct ciommu_page_interface_statistics page_counts(const struct page_device *device) {
    struct ciommu_page_interface_statistics counts = {.size = sizeof counts};
    ciommu_page_interface_read_statistics(device->interface, &counts);
    return counts;
}

/* ---- The unit ---- */

static enum ciommu_status make_unit(struct page_bench *bench) {
    struct ciommu_unit_config config;
    ciommu_unit_config_init(&config);
    config.drain_timeout = UINT64_C(60000000000);
    config.iotlb_entries = 64;
    config.bindings = 64;
    config.spaces = 64;
    config.domains = 64;
    config.table_pages = 1024;
    struct ciommu_memory_range range = {sizeof range, PAGE_RW, PAGE_RAM,
                                        PAGE_RAM_PAGES * PAGE_BYTES, bench->ram};
    enum ciommu_status status = ciommu_memory_create(&bench->memory);
    status = status != CIOMMU_OK ? status : ciommu_memory_add(bench->memory, &range);
    status =
        status != CIOMMU_OK ? status : ciommu_unit_create(&config, bench->memory, &bench->unit);
    status = status != CIOMMU_OK ? status : ciommu_port_create(bench->unit, &bench->port);
    return status != CIOMMU_OK ? status : ciommu_unit_set_translation(bench->unit, true);
}

static enum ciommu_status make_domains(struct page_bench *bench) {
    struct ciommu_paging_config paging;
    ciommu_paging_config_init(&paging);
    enum ciommu_status status = ciommu_paging_create(bench->unit, &paging, &bench->domain);
    paging.flags = CIOMMU_PAGING_NEST_PARENT;
    status =
        status != CIOMMU_OK ? status : ciommu_paging_create(bench->unit, &paging, &bench->parent);
    const struct ciommu_nested_config nested = {
        .size = sizeof nested, .address_width = 48, .pgtbl_addr = PAGE_RAM};
    status =
        status != CIOMMU_OK ? status : ciommu_nested_create(bench->parent, &nested, &bench->nested);
    const struct ciommu_page_queue_config config = page_queue_config(bench);
    return status != CIOMMU_OK
               ? status
               : ciommu_page_queue_create(bench->unit, bench->domain, &config, &bench->queue);
}

static enum ciommu_status make_device(struct page_bench *bench, uint32_t number) {
    struct page_device *device = &bench->devices[number];
    device->bench = bench;
    device->source = number == 2 ? PAGE_WHOLE : PAGE_SOURCE;
    device->pasid = number == 2 ? 5 : 16 * (number + 1);
    struct ciommu_device_config config = {
        .size = sizeof config,
        .source = device->source,
        .id = 1000 + number,
        .share = number == 2 ? CIOMMU_SHARE_WHOLE : CIOMMU_SHARE_SLICE,
        .first_pasid = number == 2 ? 0 : device->pasid,
        .last_pasid = number == 2 ? 0 : device->pasid + 15,
    };
    const struct ciommu_page_interface_config interface = page_interface_config(device);
    enum ciommu_status status =
        ciommu_device_create(bench->unit, bench->port, &config, &device->device);
    status = status != CIOMMU_OK
                 ? status
                 : ciommu_device_attach(device->device, device->pasid, bench->domain);
    return status != CIOMMU_OK
               ? status
               : ciommu_page_interface_create(bench->unit, &interface, &device->interface);
}

enum ciommu_status page_bench_make(struct page_bench *bench, struct probe_page_result *result) {
    memset(result, 0, sizeof *result);
    bench->result = result;
    bench->time = 5000;
    bench->ram = aligned_alloc(PAGE_BYTES, PAGE_RAM_PAGES * PAGE_BYTES);
    memset(bench->ram, 0, PAGE_RAM_PAGES * PAGE_BYTES);
    pthread_mutex_init(&bench->lock, NULL);
    enum ciommu_status status = make_unit(bench);
    status = status != CIOMMU_OK ? status : make_domains(bench);
    for (uint32_t number = 0; number < PAGE_DEVICES && status == CIOMMU_OK; number++) {
        status = make_device(bench, number);
    }
    return status;
}

void page_bench_unmake(struct page_bench *bench) {
    bench->ready_hook = NULL;
    bench->retire_hook = NULL;
    for (uint32_t number = 0; number < PAGE_DEVICES; number++) {
        struct page_device *device = &bench->devices[number];
        device->hook = NULL;
        EXPECT(bench, ciommu_device_destroy(device->device, bench->port) == CIOMMU_OK);
        if (device->interface != NULL) {
            EXPECT(bench, page_counts(device).open == 0);
        }
        ciommu_page_interface_destroy(device->interface);
    }
    ciommu_page_queue_destroy(bench->queue);
    EXPECT(bench, ciommu_domain_destroy(bench->nested) == CIOMMU_OK);
    EXPECT(bench, ciommu_domain_destroy(bench->parent) == CIOMMU_OK);
    EXPECT(bench, ciommu_domain_destroy(bench->domain) == CIOMMU_OK);
    EXPECT(bench, ciommu_unit_destroy(bench->unit) == CIOMMU_OK);
    EXPECT(bench, ciommu_memory_destroy(bench->memory) == CIOMMU_OK);
    pthread_mutex_destroy(&bench->lock);
    free(bench->ram);
}

/* ---- The list ---- */

static const struct page_case *find_case(uint32_t number) {
    const struct {
        const struct page_case *cases;
        uint32_t count;
    } lists[] = {{page_group_cases, page_group_count},   {page_limit_cases, page_limit_count},
                 {page_answer_cases, page_answer_count}, {page_end_cases, page_end_count},
                 {page_guest_cases, page_guest_count},   {page_inject_cases, page_inject_count}};
    for (uint32_t list = 0; list < sizeof lists / sizeof lists[0]; list++) {
        if (number < lists[list].count) {
            return &lists[list].cases[number];
        }
        number -= lists[list].count;
    }
    return NULL;
}

uint32_t probe_page_count(void) {
    return page_group_count + page_limit_count + page_answer_count + page_end_count +
           page_guest_count + page_inject_count;
}

const char *probe_page_name(uint32_t number) {
    const struct page_case *what = find_case(number);
    return what == NULL ? "" : what->name;
}

void probe_page_case(uint32_t number, uint32_t mutant, struct probe_page_result *result) {
    const struct page_case *what = find_case(number);
    struct page_bench *bench = calloc(1, sizeof *bench);
    enum ciommu_status status = page_bench_make(bench, result);
    EXPECT(bench, status == CIOMMU_OK);
    if (status == CIOMMU_OK) {
        bench->mutant = mutant;
        probe_set_mutant(mutant);
        what->run(bench);
        probe_set_mutant(0);
    }
    page_bench_unmake(bench);
    free(bench);
}
