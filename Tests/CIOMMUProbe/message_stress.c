/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * message_stress.c - devices raise entries beside threads that mask them, change their
 * messages, give them other PASIDs, free and allocate them.
 *
 * Whoever holds an entry says beside it which PASIDs may be signalled (a bit is set before the
 * PASID is given, and cleared when taking it away has answered CIOMMU_OK), and up to which
 * round messages are dead. A raiser looks there at the end of its section, where it would
 * signal: what is not allowed at that moment has been overtaken. Beside those, one entry that
 * is only masked and unmasked must lose no interrupt.
 */
#define _GNU_SOURCE
#include "message_bench.h"
#include "harness.h"
#include "probe.h"

#include <inttypes.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ENTRIES 8u /* that each changer holds */
#define ENTRIES_MOST 64u
#define PASIDS 16u
#define THREADS_MOST 20u
#define SOURCE 0x77u
#define TABLE UINT64_C(0x100000)
#define TICK_PASID 0x12345u
#define PATIENCE 10000u /* milliseconds without an interrupt that is owed */

/* One cache line. */
struct shared_entry {
    uint64_t allowed; /* a bit per PASID; release */
    uint64_t dead;    /* rounds up to this are over; release */
    uint64_t round;   /* whoever holds the entry */
    uint32_t likely;  /* the PASID that it probably has; relaxed */
    uint32_t padding[9];
};

struct run {
    const struct probe_message_options *options;
    struct probe_message_totals *totals; /* lock */
    struct ciommu_memory *memory;
    struct ciommu_unit *unit;
    struct ciommu_device *device;
    struct ciommu_message_store *store;
    unsigned char *ram;
    uint32_t tick; /* the entry that loses nothing */
    struct shared_entry shared[ENTRIES_MOST];
    uint64_t handled; /* interrupts of `tick` that were delivered */
    uint64_t asked;   /* relaxed */
    uint32_t stop;
    pthread_mutex_t lock;
};

struct worker {
    struct run *run;
    uint64_t random;
    struct ciommu_port *port;
    uint32_t held[ENTRIES]; /* entries */
    struct probe_message_totals totals;
    pthread_t thread;
};

static bool is_over(struct run *run) {
    return __atomic_load_n(&run->stop, __ATOMIC_RELAXED) != 0;
}

static void report(struct run *run, const char *what, uint32_t entry, uint64_t first,
                   uint64_t second) {
    pthread_mutex_lock(&run->lock);
    if (run->totals->violations++ == 0) {
        (void)snprintf(run->totals->first, sizeof run->totals->first,
                       "%s: entry %u, %" PRIx64 ", %" PRIx64, what, entry, first, second);
    }
    pthread_mutex_unlock(&run->lock);
    __atomic_store_n(&run->stop, 1, __ATOMIC_RELAXED);
}

static void must(struct worker *worker, enum ciommu_status status, uint32_t entry,
                 const char *what) {
    if (status != CIOMMU_OK) {
        report(worker->run, what, entry, status, 0);
    }
}

/* Writes an entry of the table whole. Even vectors are for SOURCE, odd ones for nobody: so a
 * reader that takes one half of each has a vector that it must not have. */
static void put(struct run *run, uint32_t index, uint32_t vector) {
    unsigned char *slot = run->ram + (size_t)index * 16;
    uint64_t pair[2] __attribute__((aligned(16))) = {
        1 | (uint64_t)vector << 16 | (uint64_t)vector << 40,
        UINT64_C(1) << 18 | (vector % 2 == 0 ? SOURCE : 0xffff),
    };
#if defined(__x86_64__)
    __asm__ volatile("movdqa %1, %%xmm0\n\tmovdqa %%xmm0, %0"
                     : "=m"(*(unsigned char (*)[16])slot)
                     : "m"(pair)
                     : "xmm0");
#else
    memcpy(slot, pair, sizeof pair);
#endif
}

/* ---- Raisers ---- */

static struct ciommu_delivery deliver(struct worker *worker, uint32_t entry, uint32_t pasid) {
    struct ciommu_delivery out = {.size = sizeof out};
    must(worker, ciommu_message_deliver(worker->port, worker->run->store, entry, pasid, &out),
         entry, "deliver");
    worker->totals.deliveries++;
    worker->totals.delivered += out.outcome == CIOMMU_MESSAGE_DELIVER;
    return out;
}

/* At the end of a section: may this be signalled now? */
static void check(struct run *run, uint32_t entry, uint32_t pasid,
                  const struct ciommu_interrupt *got) {
    const struct shared_entry *shared = &run->shared[entry];
    uint64_t allowed = __atomic_load_n(&shared->allowed, __ATOMIC_ACQUIRE);
    uint64_t dead = __atomic_load_n(&shared->dead, __ATOMIC_ACQUIRE);
    if (pasid >= PASIDS || (allowed >> pasid & 1) == 0) {
        report(run, "an old or absent PASID", entry, pasid, allowed);
    }
    if (run->options->remapped) {
        if (got->outcome != CIOMMU_INTERRUPT_REMAPPED || got->vector % 2 != 0 ||
            got->vector != got->destination) {
            report(run, "a torn table entry", entry, got->vector, got->destination);
        }
    } else if ((got->address >> 4 & 0xffff) != (got->data & 0xffff)) {
        report(run, "a torn message", entry, got->address, got->data);
    } else if (got->data <= dead) {
        report(run, "an old message", entry, got->data, dead);
    }
}

static void raise_once(struct worker *worker, uint64_t random) {
    struct run *run = worker->run;
    uint32_t entry = (uint32_t)(random >> 8) % (run->options->changers * ENTRIES);
    uint32_t likely = __atomic_load_n(&run->shared[entry].likely, __ATOMIC_RELAXED);
    uint32_t pasid = random % 4 != 0   ? likely
                     : random % 64 < 8 ? CIOMMU_NO_PASID
                                       : (uint32_t)(random >> 32) % PASIDS;
    ciommu_port_enter(worker->port);
    struct ciommu_delivery out = deliver(worker, entry, pasid);
    if (out.outcome == CIOMMU_MESSAGE_DELIVER) {
        if (random >> 40 & 0x3ff) {
            for (volatile uint32_t spin = 0; spin < (random >> 50 & 63); spin++) {
            }
        } else {
            probe_nap(50000);
        }
        check(run, entry, pasid, &out.interrupt);
    } else if (out.outcome == CIOMMU_MESSAGE_FAULT &&
               (!run->options->remapped || out.interrupt.fault.code != 0x26)) {
        report(run, "a fault", entry, out.interrupt.fault.code, 0);
    }
    ciommu_port_leave(worker->port);
}

static void add_totals(struct worker *worker) {
    struct probe_message_totals *totals = worker->run->totals;
    pthread_mutex_lock(&worker->run->lock);
    totals->deliveries += worker->totals.deliveries;
    totals->delivered += worker->totals.delivered;
    totals->changes += worker->totals.changes;
    totals->pending += worker->totals.pending;
    pthread_mutex_unlock(&worker->run->lock);
}

static void *raise_entries(void *argument) {
    struct worker *worker = argument;
    while (!is_over(worker->run)) {
        for (uint32_t round = 0; round < 256 && !is_over(worker->run); round++) {
            raise_once(worker, probe_random(&worker->random));
        }
        (void)__atomic_fetch_add(&worker->run->asked, 256, __ATOMIC_RELAXED);
    }
    add_totals(worker);
    return NULL;
}

/* ---- An entry that loses nothing ---- */

static bool tick_once(struct worker *worker) {
    struct run *run = worker->run;
    ciommu_port_enter(worker->port);
    struct ciommu_delivery out = deliver(worker, run->tick, TICK_PASID);
    bool delivered = out.outcome == CIOMMU_MESSAGE_DELIVER || out.outcome == CIOMMU_MESSAGE_FAULT;
    if (delivered) {
        (void)__atomic_fetch_add(&run->handled, 1, __ATOMIC_SEQ_CST);
    }
    ciommu_port_leave(worker->port);
    return delivered;
}

/* Raises it, and waits until somebody has delivered it. */
static void *tick(void *argument) {
    struct worker *worker = argument;
    struct run *run = worker->run;
    while (!is_over(run)) {
        uint64_t before = __atomic_load_n(&run->handled, __ATOMIC_SEQ_CST);
        if (tick_once(worker)) {
            continue;
        }
        uint64_t begin = probe_now();
        while (__atomic_load_n(&run->handled, __ATOMIC_SEQ_CST) == before && !is_over(run)) {
            if (probe_now() - begin > PATIENCE) {
                report(run, "an interrupt is lost", run->tick, before, 0);
            }
            sched_yield();
        }
    }
    add_totals(worker);
    return NULL;
}

/* ---- Changers ---- */

static void allow(struct run *run, uint32_t entry, uint32_t pasid) {
    struct shared_entry *shared = &run->shared[entry];
    (void)__atomic_fetch_or(&shared->allowed, UINT64_C(1) << pasid, __ATOMIC_RELEASE);
    __atomic_store_n(&shared->likely, pasid, __ATOMIC_RELAXED);
}

static void forbid_all_but(struct run *run, uint32_t entry, uint64_t allowed) {
    __atomic_store_n(&run->shared[entry].allowed, allowed, __ATOMIC_RELEASE);
}

static void program(struct worker *worker, uint32_t entry) {
    struct run *run = worker->run;
    uint64_t round = ++run->shared[entry].round;
    uint64_t address = UINT64_C(0xfee00000) | (round & 0xffff) << 4;
    if (run->options->remapped) {
        address = UINT64_C(0xfee00010) | entry << 5;
    }
    must(worker, ciommu_message_program(run->store, worker->port, entry, address, (uint32_t)round),
         entry, "program");
}

/* Masks; from then on nothing of the present round is signalled. */
static void mask(struct worker *worker, uint32_t entry) {
    struct run *run = worker->run;
    must(worker, ciommu_message_mask(run->store, worker->port, entry), entry, "mask");
    __atomic_store_n(&run->shared[entry].dead, run->shared[entry].round, __ATOMIC_RELEASE);
}

static void unmask(struct worker *worker, uint32_t entry) {
    bool pending = false;
    must(worker, ciommu_message_unmask(worker->run->store, entry, &pending), entry, "unmask");
    worker->totals.pending += pending;
}

static uint32_t allocate(struct worker *worker, uint32_t pasid) {
    uint32_t entry = 0;
    must(worker, ciommu_message_allocate(worker->run->store, pasid, 0, &entry), 0, "allocate");
    program(worker, entry);
    allow(worker->run, entry, pasid);
    must(worker, ciommu_message_arm(worker->run->store, entry), entry, "arm");
    return entry;
}

static void change(struct worker *worker, uint64_t random) {
    struct run *run = worker->run;
    uint32_t *held = &worker->held[random % ENTRIES];
    uint32_t entry = *held;
    uint32_t pasid = (uint32_t)(random >> 8) % PASIDS;
    switch (random >> 16 & 3) {
    case 0:
        mask(worker, entry);
        program(worker, entry);
        unmask(worker, entry);
        break;
    case 1:
        mask(worker, entry);
        forbid_all_but(run, entry, 0);
        must(worker, ciommu_message_free(run->store, worker->port, entry), entry, "free");
        *held = allocate(worker, pasid);
        break;
    default:
        allow(run, entry, pasid);
        must(worker, ciommu_message_set_pasid(run->store, worker->port, entry, pasid), entry,
             "set_pasid");
        forbid_all_but(run, entry, UINT64_C(1) << pasid);
    }
    if (run->options->remapped) {
        put(run, entry, (uint32_t)(random >> 32) & 0xff);
    }
    worker->totals.changes++;
}

static void *change_entries(void *argument) {
    struct worker *worker = argument;
    struct run *run = worker->run;
    for (uint32_t slot = 0; slot < ENTRIES; slot++) {
        worker->held[slot] = allocate(worker, slot);
    }
    while (!is_over(run)) {
        change(worker, probe_random(&worker->random) >> 8);
    }
    for (uint32_t slot = 0; slot < ENTRIES; slot++) {
        must(worker, ciommu_message_free(run->store, worker->port, worker->held[slot]), slot,
             "free at the end");
    }
    add_totals(worker);
    return NULL;
}

/* Masks and unmasks the entry that loses nothing, and delivers what was pending. */
static void *mask_ticks(void *argument) {
    struct worker *worker = argument;
    struct run *run = worker->run;
    while (!is_over(run)) {
        bool pending = false;
        must(worker, ciommu_message_mask(run->store, worker->port, run->tick), run->tick, "mask");
        for (uint64_t spin = probe_random(&worker->random) % 3; spin != 0; spin--) {
            sched_yield();
        }
        must(worker, ciommu_message_unmask(run->store, run->tick, &pending), run->tick, "unmask");
        if (pending) {
            worker->totals.pending++;
            (void)tick_once(worker);
        }
        worker->totals.changes++;
    }
    add_totals(worker);
    return NULL;
}

/* ---- The run ---- */

static enum ciommu_status create(struct run *run) {
    const struct ciommu_memory_range range = {
        .size = sizeof range,
        .rights = CIOMMU_READ | CIOMMU_WRITE,
        .address = TABLE,
        .length = 4096,
        .host = run->ram,
    };
    const struct ciommu_device_config device = {.size = sizeof device, .source = SOURCE, .id = 1};
    struct ciommu_message_store_config store;
    struct ciommu_unit_config config;
    ciommu_unit_config_init(&config);
    config.iotlb_entries = 0;
    config.flags = run->options->portable ? CIOMMU_UNIT_NO_WIDE_LOADS : 0;
    config.drain_timeout = UINT64_C(60000000000);
    ciommu_message_store_config_init(&store);
    store.entries = run->options->changers * ENTRIES + 1;
    for (uint32_t index = 0; index < 256; index++) {
        put(run, index, 0x20);
    }
    enum ciommu_status status = ciommu_memory_create(&run->memory);
    status = status != CIOMMU_OK ? status : ciommu_memory_add(run->memory, &range);
    status = status != CIOMMU_OK ? status : ciommu_unit_create(&config, run->memory, &run->unit);
    status = status != CIOMMU_OK ? status
                                 : ciommu_unit_set_interrupt_table(run->unit, NULL, TABLE | 7,
                                                                   run->options->remapped, false);
    status =
        status != CIOMMU_OK ? status : ciommu_device_create(run->unit, NULL, &device, &run->device);
    return status != CIOMMU_OK ? status
                               : ciommu_message_store_create(run->device, &store, &run->store);
}

/* The entry that loses nothing is the last one. */
static enum ciommu_status make_tick(struct run *run) {
    uint32_t entries = run->options->changers * ENTRIES;
    uint32_t first = 0;
    enum ciommu_status status = CIOMMU_OK;
    for (uint32_t entry = 0; entry <= entries && status == CIOMMU_OK; entry++) {
        status = ciommu_message_allocate(run->store, TICK_PASID, 0, &run->tick);
    }
    for (; first < entries && status == CIOMMU_OK; first++) {
        status = ciommu_message_free(run->store, NULL, first);
    }
    uint64_t address =
        run->options->remapped ? UINT64_C(0xfee00010) | 255 << 5 : UINT64_C(0xfee00000);
    status = status != CIOMMU_OK ? status
                                 : ciommu_message_program(run->store, NULL, run->tick, address, 0);
    return status != CIOMMU_OK ? status : ciommu_message_arm(run->store, run->tick);
}

static void work(struct run *run, struct worker *workers) {
    const struct probe_message_options *options = run->options;
    uint32_t count = options->raisers + options->changers + 2;
    for (uint32_t index = 0; index < count; index++) {
        struct worker *worker = &workers[index];
        *worker = (struct worker){.run = run, .random = options->seed * 2 + index * 77 + 1};
        void *(*body)(void *) = index == 0                      ? mask_ticks
                                : index == 1                    ? tick
                                : index < 2 + options->changers ? change_entries
                                                                : raise_entries;
        must(worker, ciommu_port_create(run->unit, &worker->port), 0, "no port");
        pthread_create(&worker->thread, NULL, body, worker);
    }
    uint64_t begin = probe_now();
    while (!is_over(run) &&
           (probe_now() - begin < options->milliseconds ||
            __atomic_load_n(&run->asked, __ATOMIC_RELAXED) < options->deliveries)) {
        probe_nap(1000000);
    }
    __atomic_store_n(&run->stop, 1, __ATOMIC_RELAXED);
    for (uint32_t index = 0; index < count; index++) {
        pthread_join(workers[index].thread, NULL);
        (void)ciommu_port_destroy(workers[index].port);
    }
}

int probe_message_stress(const struct probe_message_options *options,
                         struct probe_message_totals *totals) {
    if (options->raisers + options->changers + 2 > THREADS_MOST || options->changers == 0 ||
        options->changers * ENTRIES > ENTRIES_MOST) {
        return CIOMMU_INVALID_ARGUMENT;
    }
    struct run *run = aligned_alloc(64, (sizeof *run + 63) / 64 * 64);
    struct worker *workers = calloc(THREADS_MOST, sizeof *workers);
    memset(totals, 0, sizeof *totals);
    memset(run, 0, sizeof *run);
    run->options = options;
    run->totals = totals;
    run->ram = aligned_alloc(4096, 4096);
    pthread_mutex_init(&run->lock, NULL);
    enum ciommu_status status = create(run);
    status = status != CIOMMU_OK ? status : make_tick(run);
    if (status == CIOMMU_OK) {
        probe_set_mutant(options->mutant);
        probe_widen(options->widen);
        work(run, workers);
        probe_widen(false);
        probe_set_mutant(0);
    }
    (void)ciommu_message_store_destroy(run->store, NULL);
    (void)ciommu_device_destroy(run->device, NULL);
    (void)ciommu_unit_destroy(run->unit);
    (void)ciommu_memory_destroy(run->memory);
    pthread_mutex_destroy(&run->lock);
    free(run->ram);
    free(workers);
    free(run);
    return status;
}
