/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * fault_stress.c - threads that fault for 64 devices, and readers that account for every fault.
 *
 * Devices 0...31 are handed over: a thread that faults for one holds its lock, so each of its
 * faults happens before the next, whatever the thread. The fault's address is its number, and it
 * must arrive in a record of the same number: no other order and no other gap is right.
 * Devices 32...63 fault in many threads at a time: the address names the thread, and that thread's
 * faults must arrive in its order. In the end all that happened was received or told as lost.
 */
#define _GNU_SOURCE
#include "fault_world.h"
#include "harness.h"
#include "probe.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#define DEVICES 64u
#define ORDERED 32u /* the first of them */
#define SOURCES 4u
#define THREADS 16u
#define FLOOD (DEVICES - 1) /* the device that floods */
#define CHURNED (ORDERED)   /* the device that goes and comes back */
#define BATCH 16u

struct tracked {
    struct ciommu_device *device;
    struct ciommu_fault_queue *queue;
    pthread_mutex_t lock; /* of an ordered device: faulting */
    uint64_t made;        /* atomic */
    pthread_mutex_t reading;
    uint64_t sequence; /* reading, atomic: the next record's number */
    uint64_t received; /* reading, like the rest */
    uint64_t lost;
    uint64_t last[THREADS]; /* of an unordered device: numbers received, plus 1 */
    uint64_t noticed;       /* atomic: a notice is due */
};

struct stress {
    struct fault_world world;
    const struct probe_fault_options *options;
    struct probe_fault_totals *totals;
    struct probe_fault_result result;
    struct tracked tracked[DEVICES];
    pthread_mutex_t complaints;
    uint32_t stop; /* atomic; 1 = faulting ends, 2 = reading too */
};

struct worker {
    struct stress *stress;
    uint32_t number;
    pthread_t thread;
    uint64_t made[DEVICES]; /* of unordered devices */
};

static void complain(struct stress *stress, uint32_t device, const char *what, uint64_t found,
                     uint64_t wanted) {
    pthread_mutex_lock(&stress->complaints);
    if (stress->totals->violations++ == 0) {
        (void)snprintf(stress->totals->first, sizeof stress->totals->first,
                       "device %u: %s, %" PRIu64 " instead of %" PRIu64, device, what, found,
                       wanted);
    }
    pthread_mutex_unlock(&stress->complaints);
}

/* The one that goes and comes back has a source id of its own: nobody gets its faults meanwhile. */
static uint32_t source_of(uint32_t device) {
    return FAULT_SOURCE + (device == CHURNED ? SOURCES : device % SOURCES);
}

/* The first four are the parents of their source ids; the others have slices. */
static uint32_t pasid_of(uint32_t device, uint64_t random) {
    return device < SOURCES || device == CHURNED
               ? CIOMMU_NO_PASID
               : device / SOURCES * FAULT_SLICE + (uint32_t)(random % FAULT_SLICE);
}

/* ---- Faulting ---- */

static void fault_once(struct worker *worker, struct ciommu_port *port, uint32_t device,
                       uint64_t random) {
    struct stress *stress = worker->stress;
    struct tracked *tracked = &stress->tracked[device];
    struct ciommu_result result = {.size = sizeof result};
    uint64_t address = ((uint64_t)worker->number << 40 | worker->made[device]) << 12;
    if (device < ORDERED) {
        pthread_mutex_lock(&tracked->lock);
        address = tracked->made << 12;
    }
    /* Beside a flood the others are quiet: they wait for the reader. */
    bool churned = stress->options->churn && device == CHURNED; /* its numbers begin anew */
    bool quiet = stress->options->flood && device != FLOOD && !churned;
    if (!quiet || __atomic_load_n(&tracked->made, __ATOMIC_RELAXED) ==
                      __atomic_load_n(&tracked->sequence, __ATOMIC_RELAXED)) {
        (void)ciommu_translate(stress->world.unit, port, source_of(device),
                               pasid_of(device, random), address | device, CIOMMU_READ, 0, &result);
        worker->made[device]++;
        (void)__atomic_fetch_add(&tracked->made, 1, __ATOMIC_RELAXED);
    }
    if (device < ORDERED) {
        pthread_mutex_unlock(&tracked->lock);
    }
}

static void *fault_often(void *context) {
    struct worker *worker = context;
    struct stress *stress = worker->stress;
    const struct probe_fault_options *options = stress->options;
    uint64_t random = options->seed * 77 + worker->number * 1000003 + 1;
    struct ciommu_port *port = NULL;
    uint32_t turn = 0;
    while (__atomic_load_n(&stress->stop, __ATOMIC_RELAXED) == 0) {
        if (port == NULL && ciommu_port_create(stress->world.unit, &port) != CIOMMU_OK) {
            complain(stress, 0, "no port", 0, 0);
            break;
        }
        uint64_t pick = probe_random(&random);
        uint32_t device = (uint32_t)(pick >> 32) % (DEVICES - 1);
        fault_once(worker, port, device, pick);
        for (uint32_t more = 0; options->flood && more < 32; more++) {
            fault_once(worker, port, FLOOD, pick + more);
        }
        if (!options->flood && turn % 8 == 0) {
            probe_nap(20000);
        }
        if (options->churn && ++turn % 64 == 0) {
            (void)ciommu_port_destroy(port); /* with faults in its ring */
            port = NULL;
        }
    }
    (void)ciommu_port_destroy(port);
    return NULL;
}

/* ---- Reading ---- */

static void check_fault(struct stress *stress, uint32_t number,
                        const struct ciommu_fault_record *record) {
    struct tracked *tracked = &stress->tracked[number];
    const struct ciommu_fault *fault = &record->fault;
    uint64_t value = fault->address >> 12;
    if ((fault->flags & CIOMMU_FAULT_HAS_DEVICE) == 0 || fault->device != number + 1 ||
        (fault->address & 0xfff) != number || fault->source != source_of(number)) {
        complain(stress, number, "a fault of another device", fault->device, number + 1);
    } else if (number < ORDERED && value != record->sequence) {
        complain(stress, number, "a fault out of order", value, record->sequence);
    } else if (number >= ORDERED) {
        uint64_t *last = &tracked->last[value >> 40 & (THREADS - 1)];
        uint64_t turn = (value & ((UINT64_C(1) << 40) - 1)) + 1;
        if (turn <= *last) {
            complain(stress, number, "a thread's fault out of order", turn, *last + 1);
        }
        *last = turn;
    }
}

/* Reads what a queue has; true if there was anything. */
static bool read_queue(struct stress *stress, uint32_t number) {
    struct tracked *tracked = &stress->tracked[number];
    struct ciommu_fault_record records[BATCH];
    pthread_mutex_lock(&tracked->reading);
    for (uint32_t index = 0; index < BATCH; index++) {
        records[index].size = sizeof records[index];
    }
    uint32_t count = tracked->queue == NULL ? 0 : ciommu_fault_read(tracked->queue, records, BATCH);
    for (uint32_t index = 0; index < count; index++) {
        const struct ciommu_fault_record *record = &records[index];
        if (record->sequence != tracked->sequence) {
            complain(stress, number, "a gap in the numbers", record->sequence, tracked->sequence);
        }
        __atomic_store_n(&tracked->sequence, record->sequence + record->count, __ATOMIC_RELAXED);
        if (record->kind == CIOMMU_RECORD_FAULT) {
            tracked->received += record->count;
            check_fault(stress, number, record);
        } else {
            tracked->lost += record->count;
        }
    }
    pthread_mutex_unlock(&tracked->reading);
    return count != 0;
}

static void *read_often(void *context) {
    struct worker *worker = context;
    struct stress *stress = worker->stress;
    while (__atomic_load_n(&stress->stop, __ATOMIC_RELAXED) < 2) {
        bool found = false;
        for (uint32_t device = 0; device < DEVICES; device++) {
            struct tracked *tracked = &stress->tracked[device];
            bool due = stress->options->readers != 0 ||
                       __atomic_exchange_n(&tracked->noticed, 0, __ATOMIC_ACQUIRE) != 0;
            while (due && read_queue(stress, device)) {
                found = true;
            }
        }
        if (!found) {
            probe_nap(50000);
        }
    }
    return NULL;
}

static void notice(void *context) {
    struct tracked *tracked = context;
    __atomic_store_n(&tracked->noticed, 1, __ATOMIC_RELEASE);
}

/* ---- Setting up and accounting ---- */

static struct ciommu_device *make_device(struct stress *stress, uint32_t number) {
    if (number == CHURNED) {
        return fault_whole(&stress->world, number + 1, source_of(number));
    }
    return number < SOURCES
               ? fault_parent(&stress->world, number + 1, source_of(number))
               : fault_slice(&stress->world, number + 1, source_of(number), number / SOURCES);
}

static void make_queue(struct stress *stress, uint32_t number) {
    struct tracked *tracked = &stress->tracked[number];
    struct ciommu_fault_queue_config config;
    ciommu_fault_queue_config_init(&config);
    config.quota = stress->options->quota;
    config.ready = stress->options->readers == 0 ? notice : NULL;
    config.context = tracked;
    EXPECT_EQUAL(
        &stress->world,
        ciommu_fault_queue_create(stress->world.unit, tracked->device, &config, &tracked->queue),
        CIOMMU_OK);
}

/* A device goes, with its faults in rings, and one of the same id comes; then its queue too. The
 * old queue is read to its end: it has nothing of the new device's. */
static void churn(struct stress *stress) {
    struct tracked *tracked = &stress->tracked[CHURNED];
    (void)ciommu_device_destroy(tracked->device, NULL);
    tracked->device = make_device(stress, CHURNED);
    struct ciommu_fault_queue *old = tracked->queue;
    while (read_queue(stress, CHURNED)) {
    }
    pthread_mutex_lock(&tracked->reading);
    make_queue(stress, CHURNED);
    __atomic_store_n(&tracked->sequence, 0, __ATOMIC_RELAXED);
    pthread_mutex_unlock(&tracked->reading);
    struct ciommu_fault_record record = {.size = sizeof record};
    while (ciommu_fault_read(old, &record, 1) == 1) {
        complain(stress, CHURNED, "a queue of a device that is gone received", record.kind, 0);
    }
    ciommu_fault_queue_destroy(old);
}

static bool set_up(struct stress *stress) {
    stress->world.result = &stress->result;
    pthread_mutex_init(&stress->complaints, NULL);
    if (!fault_world_create(&stress->world, stress->options->ring, 64)) {
        return false;
    }
    for (uint32_t number = 0; number < DEVICES; number++) {
        struct tracked *tracked = &stress->tracked[number];
        pthread_mutex_init(&tracked->lock, NULL);
        pthread_mutex_init(&tracked->reading, NULL);
        tracked->device = make_device(stress, number);
        make_queue(stress, number);
    }
    return stress->result.failures == 0;
}

static void account(struct stress *stress) {
    struct probe_fault_totals *totals = stress->totals;
    for (uint32_t number = 0; number < DEVICES; number++) {
        struct tracked *tracked = &stress->tracked[number];
        while (read_queue(stress, number)) {
        }
        struct ciommu_fault_queue_statistics counters = {.size = sizeof counters};
        ciommu_fault_queue_read_statistics(tracked->queue, &counters);
        bool churned = stress->options->churn && number == CHURNED;
        if (!churned && tracked->received + tracked->lost != tracked->made) {
            complain(stress, number, "faults unaccounted for", tracked->received + tracked->lost,
                     tracked->made);
        }
        if (!churned && counters.lost + counters.over_quota != tracked->lost) {
            complain(stress, number, "losses counted", counters.lost + counters.over_quota,
                     tracked->lost);
        }
        totals->faults += tracked->made;
        totals->received += tracked->received;
        totals->lost += tracked->lost;
        totals->quiet_lost += number == FLOOD ? 0 : tracked->lost;
        ciommu_fault_queue_destroy(tracked->queue);
        (void)ciommu_device_destroy(tracked->device, NULL);
    }
}

int probe_fault_stress(const struct probe_fault_options *options,
                       struct probe_fault_totals *totals) {
    static struct stress stress; /* large; one run at a time */
    static struct worker workers[THREADS], readers[4];
    memset(&stress, 0, sizeof stress);
    memset(workers, 0, sizeof workers);
    memset(totals, 0, sizeof *totals);
    stress.options = options;
    stress.totals = totals;
    if (!set_up(&stress)) {
        (void)snprintf(totals->first, sizeof totals->first, "%s", stress.result.first);
        return CIOMMU_NO_MEMORY;
    }
    probe_set_mutant(options->mutant);
    probe_widen(options->widen);
    uint32_t threads = options->threads < THREADS ? options->threads : THREADS;
    uint32_t reading = options->readers == 0 ? 1 : options->readers > 4 ? 4 : options->readers;
    for (uint32_t number = 0; number < threads; number++) {
        workers[number].stress = &stress;
        workers[number].number = number;
        pthread_create(&workers[number].thread, NULL, fault_often, &workers[number]);
    }
    for (uint32_t number = 0; number < reading; number++) {
        readers[number].stress = &stress;
        pthread_create(&readers[number].thread, NULL, read_often, &readers[number]);
    }
    uint64_t end = probe_now() + options->milliseconds;
    while (probe_now() < end && __atomic_load_n(&totals->violations, __ATOMIC_RELAXED) == 0) {
        probe_nap(2000000);
        if (options->churn) {
            churn(&stress);
        }
    }
    __atomic_store_n(&stress.stop, 1, __ATOMIC_RELAXED);
    for (uint32_t number = 0; number < threads; number++) {
        pthread_join(workers[number].thread, NULL);
    }
    __atomic_store_n(&stress.stop, 2, __ATOMIC_RELAXED);
    for (uint32_t number = 0; number < reading; number++) {
        pthread_join(readers[number].thread, NULL);
    }
    probe_widen(false);
    probe_set_mutant(0);
    account(&stress);
    fault_world_destroy(&stress.world);
    if (stress.result.failures != 0) {
        (void)snprintf(totals->first, sizeof totals->first, "%s", stress.result.first);
        totals->violations += stress.result.failures;
    }
    return CIOMMU_OK;
}
