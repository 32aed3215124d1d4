/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * device_tlb_stress.c - devices that fill a cache of their own from translation requests and read
 * memory through it, beside a thread that unmaps, poisons and maps elsewhere, and one that
 * replaces, detaches and resets.
 *
 * A device stores an answer inside the section that produced it, or (`late`) in a later section by
 * its token, and uses what it stored in later sections still, by translated requests. It holds its
 * cache's lock while it uses an entry, so that what it has dropped is not in use. Memory is read
 * and written without atomics on purpose: under ThreadSanitizer a missing edge is a data race.
 */
#define _GNU_SOURCE
#include "device_tlb_probe.h"
#include "audit.h"
#include "ciommu_invalidation.h"
#include "harness.h"
#include "probe.h"

#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SOURCE 0x42u
#define DEVICES 8u
#define PAGE UINT64_C(4096)
#define PAGES 8u
#define IOVA UINT64_C(0x40000000)
#define OUTPUT UINT64_C(0x100000000)
/* Each page of the changing domain has two places; the other domain's pages come after them. */
#define PLACES (2 * PAGES)
/* Four tables of a guest's first stage, at parent addresses from GUEST on. */
#define TABLES (OUTPUT + (PLACES + PAGES) * PAGE)
#define TABLE_COUNT 4u
#define GUEST UINT64_C(0x7000000000)
#define FIRST_STAGE_FLAGS UINT64_C(0x67) /* P, R/W, U/S, A, D */
#define POISON UINT64_C(0xdeadbeefdeadbeef)
#define RW (CIOMMU_READ | CIOMMU_WRITE)
#define QUEUE 64u

struct run;

struct answer {
    uint64_t output;
    struct ciommu_ats_token token;
};

struct device {
    struct run *run;
    uint32_t number;
    uint64_t random;
    struct ciommu_port *port;
    struct ciommu_device *device;
    struct ciommu_device_tlb *tlb;
    struct ciommu_domain *child; /* over the changing domain, or NULL */
    pthread_t thread;
    uint64_t uses;
    uint64_t stored;              /* answers, by token */
    uint64_t refused;             /* whose token had died */
    struct answer answers[PAGES]; /* not stored yet; token.unit 0 = none */

    pthread_mutex_t lock;
    uint64_t cache[PAGES]; /* output addresses; 0 = none */
    struct ciommu_device_tlb_request queue[QUEUE];
    uint32_t queued;
    uint64_t handler_random;
};

struct run {
    const struct probe_device_tlb_options *options;
    struct probe_device_tlb_totals *totals;
    struct ciommu_memory *memory;
    struct ciommu_unit *unit;
    struct ciommu_domain *changing;
    struct ciommu_domain *other;
    unsigned char *ram;
    struct device devices[DEVICES];
    uint32_t count;
    uint32_t stop;
    pthread_mutex_t lock;
};

static bool is_over(struct run *run) {
    return __atomic_load_n(&run->stop, __ATOMIC_RELAXED) != 0;
}

static void report(struct run *run, const char *what, uint64_t a, uint64_t b) {
    pthread_mutex_lock(&run->lock);
    if (run->totals->violations++ == 0) {
        (void)snprintf(run->totals->first, sizeof run->totals->first, "%s: %llx, %llx", what,
                       (unsigned long long)a, (unsigned long long)b);
    }
    pthread_mutex_unlock(&run->lock);
    __atomic_store_n(&run->stop, 1, __ATOMIC_RELAXED);
}

static uint64_t *page_at(const struct run *run, uint64_t output) {
    return (uint64_t *)(void *)(run->ram + (output - OUTPUT));
}

static uint32_t pasid_of(const struct device *device) {
    return 16 * (device->number + 1);
}

/* ---- A device ---- */

static bool covers(const struct device *device, const struct ciommu_device_tlb_request *request) {
    return request->global != 0 || request->pasid == pasid_of(device);
}

/* Drops and answers. The cache's lock is free. */
static void serve(struct device *device, const struct ciommu_device_tlb_request *request) {
    pthread_mutex_lock(&device->lock);
    for (uint64_t page = 0; page < PAGES && covers(device, request); page++) {
        uint64_t first = IOVA + page * PAGE;
        if (first <= request->last && first + (PAGE - 1) >= request->first) {
            device->cache[page] = 0;
        }
    }
    pthread_mutex_unlock(&device->lock);
    (void)ciommu_device_tlb_answer(device->run->unit, request->id, true);
}

static void hear(void *context, const struct ciommu_device_tlb_request *request) {
    struct device *device = context;
    pthread_mutex_lock(&device->lock);
    uint64_t random = probe_random(&device->handler_random) >> 20;
    bool silent = device->run->options->silent && random % 32 == 0 && request->global == 0;
    bool queues = !silent && random % 4 == 0 && device->queued < QUEUE && !is_over(device->run);
    if (queues) {
        device->queue[device->queued++] = *request;
    }
    pthread_mutex_unlock(&device->lock);
    if (!queues && !silent) {
        serve(device, request);
    }
}

/* What was left to the device's own thread. */
static void serve_queue(struct device *device) {
    struct ciommu_device_tlb_request request;
    bool more = true;
    while (more) {
        pthread_mutex_lock(&device->lock);
        more = device->queued != 0;
        if (more) {
            request = device->queue[--device->queued];
        }
        pthread_mutex_unlock(&device->lock);
        if (more) {
            serve(device, &request);
        }
    }
}

/* Reads through a stored translation. The cache's lock is held, in a section. */
static void use(struct device *device, uint64_t output) {
    struct run *run = device->run;
    struct ciommu_result result = {.size = sizeof result};
    enum ciommu_status status = ciommu_translate(run->unit, device->port, SOURCE, pasid_of(device),
                                                 output, CIOMMU_READ, CIOMMU_TRANSLATED, &result);
    if (status != CIOMMU_OK || result.outcome != CIOMMU_TRANSLATED_OK) {
        return; /* blocked, or detached */
    }
    const uint64_t *page = (const uint64_t *)(const void *)result.host;
    if (page == NULL || page[0] != output) {
        report(run, page == NULL ? "no memory" : "stale", output, page == NULL ? 0 : page[0]);
    }
    device->uses++;
}

static void store(struct device *device, uint64_t page, uint64_t output) {
    pthread_mutex_lock(&device->lock);
    device->cache[page] = output;
    pthread_mutex_unlock(&device->lock);
}

static void fill(struct device *device, uint64_t page) {
    struct run *run = device->run;
    struct ciommu_result result = {.size = sizeof result};
    enum ciommu_status status =
        ciommu_translate(run->unit, device->port, SOURCE, pasid_of(device), IOVA + page * PAGE,
                         CIOMMU_READ, CIOMMU_TRANSLATION_REQUEST, &result);
    if (status != CIOMMU_OK || result.outcome != CIOMMU_TRANSLATED_OK) {
        return;
    }
    if (run->options->widen && probe_random(&device->random) % 16 == 0) {
        probe_nap(20000); /* the answer is on its way */
    }
    if (run->options->late) {
        device->answers[page] = (struct answer){result.address, result.token};
    } else {
        store(device, page, result.address);
    }
}

/* Stores what an earlier section was answered, if it still may. */
static void store_late(struct device *device, uint64_t page) {
    struct answer *answer = &device->answers[page];
    if (answer->token.unit == 0) {
        return;
    }
    if (ciommu_ats_token_valid(device->port, &answer->token)) {
        if (device->run->options->widen && probe_random(&device->random) % 16 == 0) {
            probe_nap(20000);
        }
        store(device, page, answer->output);
        device->stored++;
    } else {
        device->refused++;
    }
    answer->token.unit = 0;
}

static void *be_a_device(void *argument) {
    struct device *device = argument;
    while (!is_over(device->run)) {
        uint64_t random = probe_random(&device->random) >> 10;
        uint64_t page = random % PAGES;
        bool inside = random / PAGES % 2 == 0;
        if (!inside) {
            serve_queue(device);
        }
        ciommu_port_enter(device->port);
        if (random / 64 % 4 == 0) {
            store_late(device, page);
        }
        pthread_mutex_lock(&device->lock);
        uint64_t output = device->cache[page];
        if (output != 0) {
            use(device, output);
        }
        pthread_mutex_unlock(&device->lock);
        if (output == 0 && device->answers[page].token.unit == 0) {
            fill(device, page);
        }
        if (inside) {
            serve_queue(device);
        }
        ciommu_port_leave(device->port);
        if (random / 1024 % 64 == 0) {
            sched_yield();
        }
    }
    serve_queue(device);
    return NULL;
}

/* ---- Changes ---- */

static enum ciommu_status map_page(struct ciommu_domain *domain, uint64_t page, uint64_t output) {
    struct ciommu_mapping mapping = {
        .size = sizeof mapping,
        .rights = RW,
        .iova = IOVA + page * PAGE,
        .length = PAGE,
        .address = output,
    };
    return ciommu_domain_map(domain, &mapping);
}

static void fill_page(struct run *run, uint64_t output, uint64_t value) {
    uint64_t *page = page_at(run, output);
    for (uint32_t word = 0; word < 8; word++) {
        page[word] = value;
    }
}

/* Moves a page of the changing domain to its other place. */
static void move_page(struct run *run, uint64_t page, uint64_t *places) {
    uint64_t from = OUTPUT + (2 * page + (*places >> page & 1)) * PAGE;
    uint64_t to = OUTPUT + (2 * page + (~*places >> page & 1)) * PAGE;
    enum ciommu_status status =
        ciommu_domain_unmap(run->changing, NULL, IOVA + page * PAGE, PAGE, NULL);
    if (status != CIOMMU_OK && status != CIOMMU_TIMED_OUT) {
        report(run, "unmap", status, page);
    }
    fill_page(run, from, POISON); /* nobody can reach it: who did not answer is blocked */
    fill_page(run, to, to);
    status = map_page(run->changing, page, to);
    if (status != CIOMMU_OK) {
        report(run, "map", status, page);
    }
    *places ^= UINT64_C(1) << page;
}

static void retry(struct run *run, uint64_t random) {
    struct device *device = &run->devices[random % run->count];
    if (ciommu_device_tlb_is_blocked(device->tlb)) {
        enum ciommu_status status = ciommu_device_tlb_retry(device->tlb, NULL);
        if (status != CIOMMU_OK && status != CIOMMU_TIMED_OUT) {
            report(run, "retry", status, device->number);
        }
    }
}

/* How the device reaches the changing domain. */
static struct ciommu_domain *changing_of(const struct device *device) {
    return device->child != NULL ? device->child : device->run->changing;
}

/* What is attached to a device changes. */
static void change_device(struct run *run, uint64_t random) {
    struct device *device = &run->devices[random % run->count];
    uint32_t pasid = pasid_of(device);
    bool detaches = random / 16 % 4 == 0;
    struct ciommu_domain *changing = changing_of(device);
    struct ciommu_domain *next =
        ciommu_device_domain(device->device, pasid) == changing ? run->other : changing;
    enum ciommu_status status;
    if (detaches) {
        status = random / 64 % 4 == 0 ? ciommu_device_reset(device->device, NULL)
                                      : ciommu_device_detach(device->device, NULL, pasid);
        enum ciommu_status again = ciommu_device_attach(device->device, pasid, changing);
        status = again != CIOMMU_OK ? again : status;
    } else {
        status = ciommu_device_replace(device->device, NULL, pasid, next);
    }
    if (status != CIOMMU_OK && status != CIOMMU_TIMED_OUT) {
        report(run, detaches ? "detach" : "replace", status, device->number);
    }
}

static void *change_devices(void *argument) {
    struct run *run = argument;
    uint64_t random = run->options->seed * 2 + 12345;
    while (!is_over(run)) {
        uint64_t choice = probe_random(&random) >> 10;
        change_device(run, choice >> 4);
        retry(run, choice >> 20);
        probe_nap(100000);
    }
    return NULL;
}

static uint64_t change_mappings(struct run *run) {
    uint64_t random = run->options->seed * 2 + 1;
    uint64_t until = probe_now() + run->options->milliseconds;
    uint64_t places = 0;
    uint64_t changes = 0;
    while (!is_over(run) && probe_now() < until) {
        move_page(run, (probe_random(&random) >> 10) % PAGES, &places);
        changes++;
    }
    __atomic_store_n(&run->stop, 1, __ATOMIC_RELAXED);
    return changes;
}

/* ---- The run ---- */

static enum ciommu_status make_device(struct run *run, uint32_t number) {
    struct device *device = &run->devices[number];
    device->run = run;
    device->number = number;
    device->random = run->options->seed * 2 + number * 77 + 1;
    device->handler_random = device->random * 3;
    pthread_mutex_init(&device->lock, NULL);
    const struct ciommu_nested_config nested = {
        .size = sizeof nested, .address_width = 48, .pgtbl_addr = GUEST};
    struct ciommu_device_config config = {
        .size = sizeof config,
        .source = SOURCE,
        .id = 100 + number,
        .share = CIOMMU_SHARE_SLICE,
        .first_pasid = pasid_of(device),
        .last_pasid = pasid_of(device) + 15,
    };
    struct ciommu_device_tlb_config tlb = {
        .size = sizeof tlb,
        .source = SOURCE,
        .pfsid = SOURCE,
        .first_pasid = config.first_pasid,
        .last_pasid = config.last_pasid,
        .queue_depth = 4,
        .timeout = run->options->silent ? UINT64_C(3000000) : UINT64_C(60000000000),
        .device = config.id,
        .handler = hear,
        .context = device,
    };
    enum ciommu_status status = ciommu_device_create(run->unit, NULL, &config, &device->device);
    status = status != CIOMMU_OK ? status : ciommu_device_tlb_create(run->unit, &tlb, &device->tlb);
    status = status != CIOMMU_OK ? status : ciommu_port_create(run->unit, &device->port);
    if (status == CIOMMU_OK && run->options->nested) {
        status = ciommu_nested_create(run->changing, &nested, &device->child);
    }
    return status != CIOMMU_OK
               ? status
               : ciommu_device_attach(device->device, pasid_of(device), changing_of(device));
}

/* The guest's first stage leads every page to the parent's address of the same number. */
static enum ciommu_status make_tables(struct run *run) {
    for (uint32_t level = 3; level > 0; level--) {
        uint64_t *table = page_at(run, TABLES + (3 - level) * PAGE);
        table[IOVA >> (12 + 9 * level) & 511] = (GUEST + (4 - level) * PAGE) | FIRST_STAGE_FLAGS;
    }
    for (uint64_t page = 0; page < PAGES; page++) {
        page_at(run, TABLES + 3 * PAGE)[page] = (IOVA + page * PAGE) | FIRST_STAGE_FLAGS;
    }
    struct ciommu_mapping mapping = {
        .size = sizeof mapping,
        .rights = RW,
        .iova = GUEST,
        .length = TABLE_COUNT * PAGE,
        .address = TABLES,
    };
    return ciommu_domain_map(run->changing, &mapping);
}

static enum ciommu_status make_domains(struct run *run) {
    struct ciommu_paging_config config;
    ciommu_paging_config_init(&config);
    config.flags = CIOMMU_PAGING_NEST_PARENT;
    enum ciommu_status status = ciommu_paging_create(run->unit, &config, &run->changing);
    status = status != CIOMMU_OK ? status : ciommu_paging_create(run->unit, &config, &run->other);
    for (uint64_t page = 0; page < PAGES && status == CIOMMU_OK; page++) {
        uint64_t changing = OUTPUT + 2 * page * PAGE;
        uint64_t other = OUTPUT + (PLACES + page) * PAGE;
        fill_page(run, changing, changing);
        fill_page(run, changing + PAGE, POISON);
        fill_page(run, other, other);
        status = map_page(run->changing, page, changing);
        status = status != CIOMMU_OK ? status : map_page(run->other, page, other);
    }
    return status != CIOMMU_OK ? status : make_tables(run);
}

static enum ciommu_status create(struct run *run) {
    struct ciommu_unit_config config;
    ciommu_unit_config_init(&config);
    config.iotlb_entries = 64;
    config.first_level_entries = 16;
    config.drain_timeout = UINT64_C(60000000000);
    uint64_t bytes = (PLACES + PAGES + TABLE_COUNT) * PAGE;
    run->ram = aligned_alloc(PAGE, bytes);
    if (run->ram == NULL) {
        return CIOMMU_NO_MEMORY;
    }
    memset(run->ram, 0, bytes);
    struct ciommu_memory_range range = {sizeof range, RW, OUTPUT, bytes, run->ram};
    enum ciommu_status status = ciommu_memory_create(&run->memory);
    status = status != CIOMMU_OK ? status : ciommu_memory_add(run->memory, &range);
    status = status != CIOMMU_OK ? status : ciommu_unit_create(&config, run->memory, &run->unit);
    status = status != CIOMMU_OK ? status : make_domains(run);
    for (uint32_t number = 0; number < run->count && status == CIOMMU_OK; number++) {
        status = make_device(run, number);
    }
    return status;
}

static void destroy(struct run *run) {
    ciommu_audit(ciommu_audit_unit(run->unit));
    for (uint32_t number = 0; number < run->count; number++) {
        struct device *device = &run->devices[number];
        struct ciommu_device_tlb_statistics statistics = {.size = sizeof statistics};
        ciommu_device_tlb_read_statistics(device->tlb, &statistics);
        run->totals->requests += statistics.requests;
        run->totals->timeouts += statistics.timeouts;
        run->totals->uses += device->uses;
        run->totals->stored += device->stored;
        run->totals->refused += device->refused;
        if (statistics.open != 0) {
            report(run, "open requests are left", statistics.open, number);
        }
        (void)ciommu_device_destroy(device->device, NULL);
        (void)ciommu_device_tlb_destroy(device->tlb, NULL);
        (void)ciommu_domain_destroy(device->child);
    }
    (void)ciommu_domain_destroy(run->changing);
    (void)ciommu_domain_destroy(run->other);
    if (ciommu_unit_destroy(run->unit) != CIOMMU_OK) {
        report(run, "the unit is in use", 0, 0);
    }
    (void)ciommu_memory_destroy(run->memory);
    free(run->ram);
}

static void race(struct run *run) {
    pthread_t changer;
    probe_widen(run->options->widen);
    probe_set_mutant(run->options->mutant);
    for (uint32_t number = 0; number < run->count; number++) {
        pthread_create(&run->devices[number].thread, NULL, be_a_device, &run->devices[number]);
    }
    pthread_create(&changer, NULL, change_devices, run);
    run->totals->changes = change_mappings(run);
    /* Before the devices: it may wait for an answer of theirs. */
    for (uint32_t number = 0; number < run->count; number++) {
        pthread_join(run->devices[number].thread, NULL);
    }
    pthread_join(changer, NULL);
    probe_set_mutant(0);
    probe_widen(false);
}

int probe_device_tlb_stress(const struct probe_device_tlb_options *options,
                            struct probe_device_tlb_totals *totals) {
    memset(totals, 0, sizeof *totals);
    struct run *run = calloc(1, sizeof *run);
    if (run == NULL) {
        return CIOMMU_NO_MEMORY;
    }
    run->options = options;
    run->totals = totals;
    run->count = options->devices < DEVICES ? options->devices : DEVICES;
    pthread_mutex_init(&run->lock, NULL);
    enum ciommu_status status = create(run);
    if (status == CIOMMU_OK) {
        race(run);
    }
    destroy(run);
    pthread_mutex_destroy(&run->lock);
    free(run);
    return status;
}
