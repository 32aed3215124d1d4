/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * example.c - a host in plain C, which compiles as C++ too: registers memory, plays a guest that
 * fills legacy VT-d tables, lets two threads do DMA through a port each, and remaps a page beneath
 * them. Exits 0 only if every answer was the expected one.
 */
#include <ciommu.h>

#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The guest's memory, from output address 0 on, and what its driver put where. */
enum {
    MEMORY_BYTES = 0x10000,
    ROOT_TABLE = 0x1000,
    CONTEXT_TABLE = 0x2000,
    TABLE_LEVEL_2 = 0x3000,
    TABLE_LEVEL_1 = 0x4000,
    TABLE_LEVEL_0 = 0x5000,
    OLD_PAGE = 0x8000,
    CONSTANT_PAGE = 0x9000,
    NEW_PAGE = 0xa000
};

/* The device 00:07.0, its domain, and the addresses that it uses. */
enum { SOURCE = 0x38, DOMAIN = 5, COUNTER_IOVA = 0x10000, CONSTANT_IOVA = 0x11000 };

#define CONSTANT UINT64_C(0x5eed5eed5eed5eed)
#define PAGE_READ 1u
#define PAGE_WRITE 2u

static unsigned char *memory_bytes;
static int stopping;
static int failed;

static void expect(bool truth, const char *what) {
    if (!truth) {
        fprintf(stderr, "not as expected: %s\n", what);
        exit(EXIT_FAILURE);
    }
}

static void check(enum ciommu_status status, const char *what) {
    if (status != CIOMMU_OK) {
        fprintf(stderr, "%s: %s\n", what, ciommu_status_text(status));
        exit(EXIT_FAILURE);
    }
}

static uint64_t *word_at(uint64_t address) {
    return (uint64_t *)(void *)(memory_bytes + address);
}

/* The guest's driver writes a table entry, or any other word of its memory. */
static void store(uint64_t address, uint64_t value) {
    __atomic_store_n(word_at(address), value, __ATOMIC_RELEASE);
}

static uint64_t load(uint64_t address) {
    return __atomic_load_n(word_at(address), __ATOMIC_ACQUIRE);
}

/* snippet-begin */
/* A root entry and a context entry of 16 bytes each, then three levels of second-stage tables (39
 * bits). */
static void fill_tables(void) {
    store(ROOT_TABLE, CONTEXT_TABLE | 1);                    /* bus 0: present */
    store(CONTEXT_TABLE + SOURCE * 16, TABLE_LEVEL_2 | 1);   /* present, untranslated requests */
    store(CONTEXT_TABLE + SOURCE * 16 + 8, 1 | DOMAIN << 8); /* 39 bits, domain id */
    store(TABLE_LEVEL_2, TABLE_LEVEL_1 | PAGE_READ | PAGE_WRITE);
    store(TABLE_LEVEL_1, TABLE_LEVEL_0 | PAGE_READ | PAGE_WRITE);
    store(TABLE_LEVEL_0 + (COUNTER_IOVA >> 12) * 8, OLD_PAGE | PAGE_READ | PAGE_WRITE);
    store(TABLE_LEVEL_0 + (CONSTANT_IOVA >> 12) * 8, CONSTANT_PAGE | PAGE_READ);
}

static struct ciommu_unit *make_unit(struct ciommu_memory *memory) {
    struct ciommu_unit_config config;
    struct ciommu_unit *unit;
    ciommu_unit_config_init(&config);
    check(ciommu_unit_create(&config, memory, &unit), "create the unit");
    check(ciommu_unit_set_root(unit, ROOT_TABLE), "latch the root table");
    check(ciommu_unit_set_translation(unit, true), "enable translation");
    return unit;
}

/* Where a device's access leads. Inside a section the host pointer is good until the section ends.
 */
static struct ciommu_result translate(struct ciommu_unit *unit, struct ciommu_port *port,
                                      uint64_t iova, uint32_t access) {
    struct ciommu_result result;
    memset(&result, 0, sizeof result);
    result.size = (uint32_t)sizeof result;
    result.fault.size = (uint32_t)sizeof result.fault;
    check(ciommu_translate(unit, port, SOURCE, CIOMMU_NO_PASID, iova, access, 0, &result),
          "translate");
    return result;
}

/* One DMA: reads the constant, and adds to the counter if it is right. */
static bool count_once(struct ciommu_unit *unit, struct ciommu_port *port, uint64_t offset) {
    bool good = false;
    ciommu_port_enter(port);
    struct ciommu_result constant = translate(unit, port, CONSTANT_IOVA, CIOMMU_READ);
    struct ciommu_result counter =
        translate(unit, port, COUNTER_IOVA + offset, CIOMMU_READ | CIOMMU_WRITE);
    if (constant.host != NULL && counter.host != NULL) {
        good = __atomic_load_n((uint64_t *)(void *)constant.host, __ATOMIC_RELAXED) == CONSTANT;
        __atomic_fetch_add((uint64_t *)(void *)counter.host, good ? 1 : 0, __ATOMIC_RELAXED);
    }
    ciommu_port_leave(port);
    return good;
}

/* The guest gives the counter another page, and says so with the descriptor that Linux would queue:
 * IOTLB, page-selective. */
static void remap(struct ciommu_unit *unit) {
    uint64_t descriptor[2] = {2 | 3 << 4 | DOMAIN << 16, COUNTER_IOVA};
    struct ciommu_descriptor_result outcome;
    memset(&outcome, 0, sizeof outcome);
    outcome.size = (uint32_t)sizeof outcome;
    store(TABLE_LEVEL_0 + (COUNTER_IOVA >> 12) * 8, NEW_PAGE | PAGE_READ | PAGE_WRITE);
    check(ciommu_invalidate_descriptor(unit, NULL, descriptor, false, &outcome), "invalidate");
    /* From here on nobody holds a pointer into the old page. */
}
/* snippet-end */

/* A thread of the host that serves the device, with a port of its own. */
struct worker {
    pthread_t thread;
    struct ciommu_unit *unit;
    struct ciommu_port *port;
    uint64_t offset; /* of its counter in the page */
    uint64_t count;  /* its DMAs */
};

static void *serve(void *argument) {
    struct worker *worker = (struct worker *)argument;
    while (__atomic_load_n(&stopping, __ATOMIC_ACQUIRE) == 0) {
        if (!count_once(worker->unit, worker->port, worker->offset)) {
            __atomic_store_n(&failed, 1, __ATOMIC_RELEASE);
            break;
        }
        worker->count++;
    }
    return NULL;
}

/* Waits until both counters in `page` have moved, or a worker failed. */
static void wait_for_counters(uint64_t page) {
    while ((load(page) == 0 || load(page + 8) == 0) &&
           __atomic_load_n(&failed, __ATOMIC_ACQUIRE) == 0) {
        (void)sched_yield();
    }
}

static void remap_beneath_two_threads(struct ciommu_unit *unit) {
    struct worker workers[2];
    memset(workers, 0, sizeof workers);
    for (unsigned index = 0; index < 2; index++) {
        workers[index].unit = unit;
        workers[index].offset = index * 8;
        check(ciommu_port_create(unit, &workers[index].port), "create a port");
        expect(pthread_create(&workers[index].thread, NULL, serve, &workers[index]) == 0,
               "create a thread");
    }
    wait_for_counters(OLD_PAGE);
    remap(unit);
    uint64_t old_count[2] = {load(OLD_PAGE), load(OLD_PAGE + 8)};
    wait_for_counters(NEW_PAGE);
    __atomic_store_n(&stopping, 1, __ATOMIC_RELEASE);
    for (unsigned index = 0; index < 2; index++) {
        expect(pthread_join(workers[index].thread, NULL) == 0, "join a thread");
        expect(load(OLD_PAGE + index * 8) == old_count[index],
               "no DMA to the old page after the invalidation");
        expect(old_count[index] + load(NEW_PAGE + index * 8) == workers[index].count,
               "every DMA counted once");
        check(ciommu_port_destroy(workers[index].port), "destroy a port");
    }
    expect(failed == 0, "every DMA translated");
    printf("two threads counted through %#x; its page moved beneath them, and no DMA was lost or "
           "went astray\n",
           (unsigned)COUNTER_IOVA);
}

static void show_answers(struct ciommu_unit *unit) {
    struct ciommu_port *port;
    check(ciommu_port_create(unit, &port), "create a port");
    struct ciommu_result answer = translate(unit, port, COUNTER_IOVA + 8, CIOMMU_READ);
    expect(answer.outcome == CIOMMU_TRANSLATED_OK && answer.address == NEW_PAGE + 8,
           "the counter's new address");
    printf("read of %#x: address %#llx, page of %llu bytes, rights %#x\n",
           (unsigned)COUNTER_IOVA + 8, (unsigned long long)answer.address,
           (unsigned long long)answer.mask + 1, (unsigned)answer.rights);

    answer = translate(unit, port, CONSTANT_IOVA, CIOMMU_WRITE);
    expect(answer.outcome == CIOMMU_FAULT && answer.fault.reason == CIOMMU_FAULT_PERMISSION,
           "a permission fault");
    printf("write of %#x: fault %#x %s (%s), entry at %#llx\n", (unsigned)CONSTANT_IOVA,
           (unsigned)answer.fault.code, ciommu_fault_code_name(answer.fault.code),
           ciommu_fault_code_text(answer.fault.code),
           (unsigned long long)answer.fault.entry_address);

    struct ciommu_fault recorded;
    memset(&recorded, 0, sizeof recorded);
    recorded.size = (uint32_t)sizeof recorded;
    uint64_t lost = 0;
    expect(ciommu_port_take_faults(port, &recorded, 1, &lost) == 1 && lost == 0,
           "one fault recorded");
    expect(recorded.address == CONSTANT_IOVA && recorded.source == SOURCE,
           "the recorded fault is that one");
    check(ciommu_port_destroy(port), "destroy a port");
}

int main(void) {
    memory_bytes = (unsigned char *)aligned_alloc(4096, MEMORY_BYTES);
    expect(memory_bytes != NULL, "memory for the guest");
    memset(memory_bytes, 0, MEMORY_BYTES);
    store(CONSTANT_PAGE, CONSTANT);
    fill_tables();

    struct ciommu_memory *memory;
    struct ciommu_memory_range range;
    memset(&range, 0, sizeof range);
    range.size = (uint32_t)sizeof range;
    range.rights = CIOMMU_READ | CIOMMU_WRITE;
    range.length = MEMORY_BYTES;
    range.host = memory_bytes;
    check(ciommu_memory_create(&memory), "create the memory map");
    check(ciommu_memory_add(memory, &range), "add memory");

    struct ciommu_unit *unit = make_unit(memory);
    remap_beneath_two_threads(unit);
    show_answers(unit);

    check(ciommu_unit_destroy(unit), "destroy the unit");
    check(ciommu_memory_destroy(memory), "destroy the memory map");
    free(memory_bytes);
    return EXIT_SUCCESS;
}
