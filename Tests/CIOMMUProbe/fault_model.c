/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * fault_model.c - random operations on fault queues in one thread, beside a plain list of what each
 * queue must tell; and allocations that fail.
 *
 * The model knows nothing of rings: whether a fault found a place there is what the request
 * answered (CIOMMU_FAULT_RECORDED). Everything else it decides itself, from the order of
 * operations: it collects when a queue is read or destroyed, or the unit polled.
 */
#include "fault_world.h"
#include "harness.h"

#include <stdlib.h>
#include <string.h>

#define PAGE UINT64_C(4096)
#define DEVICES 6u
#define QUEUES (DEVICES + 1) /* the last one is the unit's */
#define MOST 256u
#define PORTS 3u

struct expected {
    uint64_t lost_before;
    uint64_t count;
    uint64_t address;
    uint64_t device;
};

/* What a queue holds. */
struct model_queue {
    struct ciommu_fault_queue *queue; /* NULL: there is none */
    uint32_t quota;
    bool folds;
    struct expected list[MOST];
    uint32_t used;
    uint64_t missing;
    uint64_t sequence;
};

/* A fault that was not collected yet. */
struct pending {
    uint32_t queue;
    bool lost;
    uint64_t address;
    uint64_t device;
};

struct model {
    struct fault_world *world;
    struct ciommu_device *devices[DEVICES]; /* 0: the parent; else slices, 4 and 5 overlap */
    struct ciommu_port *ports[PORTS];
    struct model_queue queues[QUEUES];
    struct pending pending[65536];
    uint32_t pending_count;
    uint64_t orphans;
    uint64_t random;
};

static uint64_t next_random(struct model *model) {
    return probe_random(&model->random) >> 16;
}

/* ---- What must become of faults ---- */

static void collect_one(struct model_queue *queue, const struct pending *fault) {
    struct expected *newest = queue->used == 0 ? NULL : &queue->list[queue->used - 1];
    if (fault->lost) {
        queue->missing++;
    } else if (queue->folds && newest != NULL && queue->missing == 0 &&
               newest->address == fault->address && newest->device == fault->device) {
        newest->count++;
    } else if (queue->used == queue->quota) {
        queue->missing++;
    } else {
        queue->list[queue->used++] =
            (struct expected){queue->missing, 1, fault->address, fault->device};
        queue->missing = 0;
    }
}

static void collect(struct model *model) {
    for (uint32_t index = 0; index < model->pending_count; index++) {
        collect_one(&model->queues[model->pending[index].queue], &model->pending[index]);
    }
    model->pending_count = 0;
}

/* The queue of a device, or the unit's. QUEUES: nobody's. */
static uint32_t queue_for(const struct model *model, uint32_t device) {
    if (device < DEVICES && model->queues[device].queue != NULL) {
        return device;
    }
    return model->queues[DEVICES].queue != NULL ? DEVICES : QUEUES;
}

/* A fault happened. */
static void note(struct model *model, uint32_t device, uint64_t address, bool recorded) {
    uint32_t queue = queue_for(model, device);
    if (queue == QUEUES) {
        model->orphans++;
        return;
    }
    model->pending[model->pending_count++] =
        (struct pending){queue, !recorded, address, device < DEVICES ? UINT64_C(100) + device : 0};
}

/* ---- Operations ---- */

static bool has_any_queue(const struct model *model) {
    bool any = false;
    for (uint32_t queue = 0; queue < QUEUES; queue++) {
        any = any || model->queues[queue].queue != NULL;
    }
    return any;
}

/* Slices: devices 1...3 alone; 4 and 5 share the PASIDs of number 4. */
static void make_fault(struct model *model) {
    uint64_t random = next_random(model);
    uint32_t slice = (uint32_t)(random % 7); /* 0: untagged; 5: nobody's; 6: another source */
    uint32_t pasid =
        slice == 0 || slice == 6 ? FAULT_NONE : slice * FAULT_SLICE + (random >> 8) % FAULT_SLICE;
    uint64_t address = (random >> 16) % 3 * PAGE;
    struct ciommu_port *port = model->ports[(random >> 24) % PORTS];
    if (!has_any_queue(model) || model->pending_count + 2 > 65536) {
        return;
    }
    if (slice == 4) { /* the flag speaks for both: let there be room for both */
        collect(model);
        (void)ciommu_unit_poll(model->world->unit);
    }
    uint32_t source = slice == 6 ? FAULT_SOURCE + 1 : FAULT_SOURCE;
    /* The PASID takes part in folding: keep it the same for one device. */
    pasid = pasid == FAULT_NONE ? pasid : pasid / FAULT_SLICE * FAULT_SLICE;
    struct ciommu_fault fault = fault_make(model->world, port, source, pasid, address);
    bool recorded = (fault.flags & CIOMMU_FAULT_RECORDED) != 0;
    /* The unclaimed ones differ from the parent's own by their flags. */
    uint64_t tagged = slice == 5 ? address | UINT64_C(1) << 63 : address;
    if (slice == 4) {
        note(model, 4, tagged, true);
        note(model, 5, tagged, true);
        EXPECT_EQUAL(model->world, recorded,
                     queue_for(model, 4) != QUEUES || queue_for(model, 5) != QUEUES);
    } else {
        note(model, slice == 5 ? 0 : slice == 6 ? DEVICES : slice, tagged, recorded);
    }
}

static void expect_record(struct model *model, struct model_queue *queue,
                          const struct ciommu_fault_record *record) {
    struct fault_world *world = model->world;
    EXPECT_EQUAL(world, record->sequence, queue->sequence);
    queue->sequence += record->count;
    struct expected *first = queue->used == 0 ? NULL : &queue->list[0];
    if (first == NULL || first->lost_before != 0) {
        EXPECT_EQUAL(world, record->kind, CIOMMU_RECORD_LOSS);
        EXPECT_EQUAL(world, record->count, first == NULL ? queue->missing : first->lost_before);
        *(first == NULL ? &queue->missing : &first->lost_before) = 0;
        return;
    }
    bool unclaimed = (record->fault.flags & CIOMMU_FAULT_UNCLAIMED) != 0;
    EXPECT_EQUAL(world, record->kind, CIOMMU_RECORD_FAULT);
    EXPECT_EQUAL(world, record->count, first->count);
    EXPECT_EQUAL(world, record->fault.address | (uint64_t)unclaimed << 63, first->address);
    EXPECT_EQUAL(world, record->fault.device, first->device);
    memmove(&queue->list[0], &queue->list[1], --queue->used * sizeof queue->list[0]);
}

static void read_some(struct model *model) {
    uint64_t random = next_random(model);
    struct model_queue *queue = &model->queues[random % QUEUES];
    if (queue->queue == NULL) {
        return;
    }
    struct ciommu_fault_record records[40];
    uint32_t capacity = 1 + (uint32_t)(random >> 8) % 40;
    for (uint32_t index = 0; index < capacity; index++) {
        records[index].size = sizeof records[index];
    }
    collect(model);
    uint32_t count = ciommu_fault_read(queue->queue, records, capacity);
    for (uint32_t index = 0; index < count; index++) {
        expect_record(model, queue, &records[index]);
    }
    EXPECT(model->world, count == capacity || (queue->used == 0 && queue->missing == 0));
}

static void change_queue(struct model *model) {
    uint64_t random = next_random(model);
    uint32_t number = (uint32_t)(random % QUEUES);
    struct model_queue *queue = &model->queues[number];
    collect(model);
    if (queue->queue != NULL) {
        ciommu_fault_queue_destroy(queue->queue);
        memset(queue, 0, sizeof *queue);
        return;
    }
    queue->quota = 1 + (uint32_t)(random >> 8) % (random >> 20 & 1 ? 8 : MOST);
    queue->folds = (random >> 24 & 1) != 0;
    queue->queue = fault_queue(model->world, number == DEVICES ? NULL : model->devices[number],
                               queue->quota, queue->folds ? CIOMMU_FAULT_QUEUE_FOLD : 0);
}

static void change_port(struct model *model) {
    struct ciommu_port **port = &model->ports[next_random(model) % PORTS];
    EXPECT_EQUAL(model->world, ciommu_port_destroy(*port), CIOMMU_OK);
    EXPECT_EQUAL(model->world, ciommu_port_create(model->world->unit, port), CIOMMU_OK);
}

static void step(struct model *model) {
    uint64_t kind = next_random(model) % 1000;
    if (kind < 900) {
        make_fault(model);
    } else if (kind < 980) {
        read_some(model);
    } else if (kind < 988) {
        change_port(model);
    } else if (kind < 994 && has_any_queue(model)) {
        collect(model);
        (void)ciommu_unit_poll(model->world->unit);
    } else {
        change_queue(model);
    }
}

static void end(struct model *model) {
    for (uint32_t queue = 0; queue < QUEUES; queue++) {
        ciommu_fault_queue_destroy(model->queues[queue].queue);
    }
    struct ciommu_statistics statistics = {.size = sizeof statistics};
    ciommu_unit_statistics(model->world->unit, &statistics);
    EXPECT_EQUAL(model->world, statistics.faults_orphaned, model->orphans);
    for (uint32_t port = 0; port < PORTS; port++) {
        (void)ciommu_port_destroy(model->ports[port]);
    }
    for (uint32_t device = 0; device < DEVICES; device++) {
        (void)ciommu_device_destroy(model->devices[device], NULL);
    }
}

void probe_fault_model(uint64_t seed, uint32_t steps, struct probe_fault_result *result) {
    memset(result, 0, sizeof *result);
    struct fault_world world = {.result = result};
    struct model *model = calloc(1, sizeof *model);
    if (model == NULL || !fault_world_create(&world, 64, 8)) {
        fault_expect(result, false, "a model and its world");
        free(model);
        return;
    }
    model->world = &world;
    model->random = seed * UINT64_C(0x9e3779b97f4a7c15) | 1;
    model->devices[0] = fault_parent(&world, 100, FAULT_SOURCE);
    for (uint32_t device = 1; device < DEVICES; device++) {
        uint32_t number = device < 4 ? device : 4;
        model->devices[device] =
            fault_shared(&world, 100 + device, FAULT_SOURCE, number * FAULT_SLICE,
                         number * FAULT_SLICE + FAULT_SLICE - 1,
                         device < 4 ? CIOMMU_SHARED_PASID_REFUSED : CIOMMU_SHARED_PASID_ALL);
    }
    for (uint32_t port = 0; port < PORTS; port++) {
        EXPECT_EQUAL(&world, ciommu_port_create(world.unit, &model->ports[port]), CIOMMU_OK);
    }
    for (uint32_t turn = 0; turn < steps && result->failures == 0; turn++) {
        step(model);
    }
    end(model);
    free(model);
    fault_world_destroy(&world);
}
