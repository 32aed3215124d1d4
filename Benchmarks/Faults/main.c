/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Faults - what a fault costs the thread that translates, how long it takes to a reader on another
 * thread, and how many a second go through without a loss. Rings and queues have the sizes that are
 * printed. Figures are reported as minimum, median, 99th percentile and the ratio to a baseline.
 */
#include <ciommu_faults.h>

#include "samples.h"

#include <inttypes.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define SOURCE 0x42u
#define RING 32768u /* of the sustained run; the others have the default */
#define QUOTA 65536u
#define RATE 1000000u /* faults a second */
#define SECONDS 5u
#define BATCH 64u /* faults in one sample of the cost */
#define READ 64u

static struct ciommu_memory *memory;
static struct ciommu_unit *unit;
static struct ciommu_device *device;
static struct ciommu_port *port;

static void set_up(uint32_t ring) {
    struct ciommu_unit_config config;
    ciommu_unit_config_init(&config);
    config.fault_entries = ring == 0 ? config.fault_entries : ring;
    const struct ciommu_device_config whole = {.size = sizeof whole, .source = SOURCE, .id = 1};
    CHECK(ciommu_memory_create(&memory));
    CHECK(ciommu_unit_create(&config, memory, &unit));
    CHECK(ciommu_device_create(unit, NULL, &whole, &device));
    CHECK(ciommu_port_create(unit, &port));
}

static void tear_down(void) {
    CHECK(ciommu_port_destroy(port));
    CHECK(ciommu_device_destroy(device, NULL));
    CHECK(ciommu_unit_destroy(unit));
    CHECK(ciommu_memory_destroy(memory));
}

static struct ciommu_fault_queue *make_queue(uint32_t quota, ciommu_fault_ready ready,
                                             void *context) {
    struct ciommu_fault_queue_config config;
    ciommu_fault_queue_config_init(&config);
    config.quota = quota;
    config.ready = ready;
    config.context = context;
    struct ciommu_fault_queue *queue;
    CHECK(ciommu_fault_queue_create(unit, device, &config, &queue));
    return queue;
}

/* One request: nothing is attached to the device, so it faults. */
static void fault(uint64_t address, uint32_t flags) {
    struct ciommu_result result = {.size = sizeof result};
    CHECK(ciommu_translate(unit, port, SOURCE, CIOMMU_NO_PASID, address, CIOMMU_READ, flags,
                           &result));
}

/* Reads all there is; how many faults it was, and how many were lost. */
static uint64_t read_all(struct ciommu_fault_queue *queue, uint64_t *lost) {
    struct ciommu_fault_record records[READ];
    uint64_t faults = 0;
    uint32_t count;
    do {
        for (uint32_t index = 0; index < READ; index++) {
            records[index].size = sizeof records[index];
        }
        count = ciommu_fault_read(queue, records, READ);
        for (uint32_t index = 0; index < count; index++) {
            *(records[index].kind == CIOMMU_RECORD_LOSS ? lost : &faults) += records[index].count;
        }
    } while (count == READ);
    return faults;
}

/* ---- Cost on the translating thread ---- */

static double sample_batch(uint32_t flags, bool inside) {
    uint64_t begin = now();
    if (inside) {
        ciommu_port_enter(port);
    }
    for (uint32_t request = 0; request < BATCH; request++) {
        fault(request * UINT64_C(4096), flags);
    }
    if (inside) {
        ciommu_port_leave(port);
    }
    return (double)(now() - begin) / BATCH;
}

static void ignore(void *context) {
    (void)context;
}

static void measure_cost(const char *what, ciommu_fault_ready ready, bool inside) {
    struct ciommu_fault_queue *queue = make_queue(1024, ready, NULL);
    struct samples recorded = {0};
    struct samples silent = {0};
    struct samples difference = {0};
    struct samples again = {0};
    uint64_t lost = 0;
    for (unsigned round = 0; round < 5000; round++) {
        double with = sample_batch(0, inside);
        (void)read_all(queue, &lost);
        double without = sample_batch(CIOMMU_NO_FAULT, inside);
        add(&recorded, with);
        add(&silent, without);
        add(&difference, with - without);
        add(&again, without);
    }
    char name[80];
    snprintf(name, sizeof name, "a request that faults, %s", what);
    report(name, &recorded, &silent);
    snprintf(name, sizeof name, "  its record alone, %s", what);
    report(name, &difference, &again);
    printf("%-58s %9" PRIu64 "\n", "  lost", lost);
    ciommu_fault_queue_destroy(queue);
}

/* ---- From the fault to a reader ---- */

struct reader {
    pthread_t thread;
    struct ciommu_fault_queue *queue;
    int fd;
    uint64_t seen; /* atomic: the time of arrival */
    uint64_t faults;
    uint64_t lost;
    int stop; /* atomic */
};

static void arrived(void *context) {
    struct reader *reader = context;
    uint64_t time = now();
    reader->faults += read_all(reader->queue, &reader->lost);
    __atomic_store_n(&reader->seen, time, __ATOMIC_RELEASE);
}

static void *wait_and_read(void *context) {
    struct reader *reader = context;
    while (!__atomic_load_n(&reader->stop, __ATOMIC_ACQUIRE)) {
        struct pollfd wanted = {.fd = reader->fd, .events = POLLIN};
        if (poll(&wanted, 1, 100) == 1) {
            arrived(reader);
        }
    }
    arrived(reader);
    return NULL;
}

static void start(struct reader *reader) {
    CHECK(ciommu_fault_queue_fd(reader->queue, &reader->fd));
    pthread_create(&reader->thread, NULL, wait_and_read, reader);
}

static void stop(struct reader *reader) {
    __atomic_store_n(&reader->stop, 1, __ATOMIC_RELEASE);
    pthread_join(reader->thread, NULL);
}

static void measure_latency(const char *what, bool descriptor) {
    struct reader reader = {0};
    struct samples times = {0};
    struct samples clocks = {0};
    reader.queue = make_queue(1024, descriptor ? NULL : arrived, &reader);
    if (descriptor) {
        start(&reader);
    }
    for (unsigned round = 0; round < 2000; round++) {
        struct timespec nap = {0, 200000};
        nanosleep(&nap, NULL); /* everybody is asleep */
        __atomic_store_n(&reader.seen, 0, __ATOMIC_RELAXED);
        uint64_t begin = now();
        fault(round * UINT64_C(4096), 0);
        uint64_t end;
        while ((end = __atomic_load_n(&reader.seen, __ATOMIC_ACQUIRE)) == 0) {
        }
        add(&times, (double)(end - begin));
        begin = now();
        add(&clocks, (double)(now() - begin));
    }
    report(what, &times, &clocks);
    if (descriptor) {
        stop(&reader);
    }
    ciommu_fault_queue_destroy(reader.queue);
}

/* ---- Sustained ---- */

static void measure_sustained(void) {
    struct reader reader = {.queue = make_queue(QUOTA, NULL, NULL)};
    struct samples bursts = {0};
    struct samples wanted = {0};
    start(&reader);
    uint64_t begin = now();
    uint64_t made = 0;
    while (made < UINT64_C(1) * RATE * SECONDS) {
        uint64_t due = (now() - begin) / (1000000000u / RATE);
        uint64_t from = now();
        uint64_t burst = due - made;
        for (; made < due; made++) {
            fault(made % 65536 << 12, 0); /* below the interrupt range */
        }
        if (burst != 0) {
            add(&bursts, (double)(now() - from) / (double)burst);
            add(&wanted, 1e9 / RATE);
        }
    }
    double seconds = (double)(now() - begin) / 1e9;
    stop(&reader);
    struct ciommu_fault_queue_statistics counters = {.size = sizeof counters};
    ciommu_fault_queue_read_statistics(reader.queue, &counters);
    report("a fault of the sustained run; baseline: its time", &bursts, &wanted);
    printf("%-58s %9.0f\n", "  faults a second", (double)made / seconds);
    printf("%-58s %9" PRIu64 "\n", "  received", reader.faults);
    printf("%-58s %9" PRIu64 "\n", "  lost to the ring", counters.lost);
    printf("%-58s %9" PRIu64 "\n", "  lost to the quota", counters.over_quota);
    printf("%-58s %9" PRIu64 "\n", "  most unread at a time", counters.high_water);
    ciommu_fault_queue_destroy(reader.queue);
}

int main(void) {
    printf("%-58s %9s %9s %9s %9s %9s\n", "nanoseconds", "minimum", "median", "p99", "baseline",
           "ratio");
    set_up(0);
    measure_cost("polled", NULL, false);
    measure_cost("polled, in one section", NULL, true);
    measure_cost("with notices", ignore, false);
    measure_cost("with notices, in one section", ignore, true);
    measure_latency("from a fault to `ready` on the event thread", false);
    measure_latency("from a fault to a reader that waits for the descriptor", true);
    tear_down();
    set_up(RING);
    printf("sustained: ring %u, quota %u\n", RING, QUOTA);
    measure_sustained();
    tear_down();
    puts("baseline of a fault: the same request with CIOMMU_NO_FAULT; of latencies: a look at the");
    puts("clock. p99 shows how the machine schedules.");
    return 0;
}
