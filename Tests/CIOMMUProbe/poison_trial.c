/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * poison_trial.c - readers of the worlds of poison_world.h. Payload is read and written without
 * atomics on purpose: under ThreadSanitizer a missing edge of the drain is a data race.
 */
#define _GNU_SOURCE
#include "poison_world.h"
#include "atomics.h"

#include <stdlib.h>

#define TOGETHER 5u /* pages of a batch */
#define LOOKS 3u    /* at a page in a section */

/* One page of a section. */
struct reading {
    uint32_t page;
    uint32_t spot;
    uint64_t done;
    uint64_t gaps; /* finished before the section */
    struct ciommu_result result;
    uint64_t seen[LOOKS];
};

/* How a section asks. */
enum manner { ONE_BY_ONE = 0, IN_A_BATCH, BY_COPY, MANNERS };

static uint64_t address_of(const struct poison_world *world, const struct reading *reading) {
    return poison_iova(world, reading->page) + poison_spot(world, reading->spot);
}

static void judge(struct poison_world *world, const struct reading *reading) {
    uint64_t started = __atomic_load_n(&world->started[reading->page], __ATOMIC_SEQ_CST);
    bool moving = started > reading->done;
    const struct ciommu_result *result = &reading->result;
    bool fine = result->outcome == CIOMMU_TRANSLATED_OK && result->host != NULL;
    bool gone = __atomic_load_n(&world->gaps_started, __ATOMIC_SEQ_CST) > reading->gaps;
    if (!fine && (moving || gone) && poison_may_fault(world)) {
        return;
    }
    if (!fine) {
        crowd_report(world->run,
                     "%s: page %u, outcome %u, fault %x, address %llx, changes finished %llu, "
                     "begun %llu",
                     result->outcome == CIOMMU_TRANSLATED_OK ? "no memory" : "fault", reading->page,
                     result->outcome, result->fault.code, (unsigned long long)result->address,
                     (unsigned long long)reading->done, (unsigned long long)started);
        return;
    }
    uint32_t side = (uint32_t)(reading->done & 1);
    for (uint32_t look = 0; look < LOOKS; look++) {
        uint64_t seen = reading->seen[look];
        if (seen == poison_stamp(reading->page, side, reading->spot) ||
            (moving && seen == poison_stamp(reading->page, side ^ 1, reading->spot))) {
            continue;
        }
        crowd_report(world->run,
                     "%s: page %u, look %u read %llx, changes finished %llu, begun %llu",
                     seen == POISON_VALUE ? "poison" : "stale or foreign", reading->page, look,
                     (unsigned long long)seen, (unsigned long long)reading->done,
                     (unsigned long long)started);
        return;
    }
}

static void ask(struct poison_world *world, struct ciommu_port *port, struct reading *readings,
                uint32_t count, enum manner manner) {
    struct ciommu_request requests[TOGETHER];
    struct ciommu_result results[TOGETHER];
    for (uint32_t index = 0; index < count; index++) {
        results[index] =
            (struct ciommu_result){.size = sizeof results[index], .outcome = CIOMMU_FAULT};
        requests[index] = (struct ciommu_request){.source = POISON_SOURCE,
                                                  .pasid = world->pasid,
                                                  .iova = address_of(world, &readings[index]),
                                                  .access = CIOMMU_READ,
                                                  .flags = CIOMMU_NO_FAULT};
    }
    if (manner == IN_A_BATCH) {
        (void)ciommu_translate_batch(port, requests, results, count, NULL);
    } else {
        for (uint32_t index = 0; index < count; index++) {
            (void)ciommu_translate(world->unit, port, POISON_SOURCE, world->pasid,
                                   requests[index].iova, CIOMMU_READ, CIOMMU_NO_FAULT,
                                   &results[index]);
        }
    }
    for (uint32_t index = 0; index < count; index++) {
        readings[index].result = results[index];
    }
}

/* Reads through the host pointers several times, while the section lasts. */
static void look(struct reading *readings, uint32_t count) {
    for (uint32_t time = 0; time < LOOKS; time++) {
        for (uint32_t index = 0; index < count; index++) {
            struct reading *reading = &readings[index];
            if (reading->result.outcome == CIOMMU_TRANSLATED_OK && reading->result.host != NULL) {
                reading->seen[time] = *(volatile uint64_t *)(void *)reading->result.host;
            }
        }
        for (uint32_t spin = 0; spin < 8; spin++) {
            cpu_relax();
        }
    }
}

/* The copy helper has a section of its own. */
static void copy(struct poison_world *world, struct ciommu_port *port, struct reading *reading) {
    struct ciommu_request request = {.source = POISON_SOURCE,
                                     .pasid = world->pasid,
                                     .iova = address_of(world, reading),
                                     .length = sizeof reading->seen[0],
                                     .access = CIOMMU_READ,
                                     .flags = CIOMMU_NO_FAULT};
    struct ciommu_progress progress = {.size = sizeof progress};
    enum ciommu_status status = ciommu_read(port, &request, &reading->seen[0], &progress);
    reading->result = (struct ciommu_result){
        .outcome = status == CIOMMU_FAULTED ? CIOMMU_FAULT : CIOMMU_TRANSLATED_OK,
        .fault = progress.fault,
        .host = status == CIOMMU_OK ? (unsigned char *)&reading->seen[0] : NULL,
    };
    for (uint32_t time = 1; time < LOOKS; time++) {
        reading->seen[time] = reading->seen[0];
    }
}

/* One section; how many pages it asked for. */
static uint32_t read_section(struct crowd_member *member, struct ciommu_port *port) {
    struct poison_world *world = member->context;
    struct reading readings[TOGETHER];
    uint64_t choice = probe_random(&member->random);
    uint64_t kind = choice >> 8 & 15;
    enum manner manner = kind == 0 ? BY_COPY : kind < 8 ? ONE_BY_ONE : IN_A_BATCH;
    uint32_t count = manner == BY_COPY ? 1 : 1 + (uint32_t)(choice >> 16) % TOGETHER;
    for (uint32_t index = 0; index < count; index++) {
        uint64_t place = probe_random(&member->random) >> 20;
        readings[index].page = (uint32_t)(place % world->pages);
        readings[index].spot = (uint32_t)(place >> 8) % POISON_SPOTS;
        readings[index].gaps = __atomic_load_n(&world->gaps_finished, __ATOMIC_SEQ_CST);
        readings[index].done =
            __atomic_load_n(&world->finished[readings[index].page], __ATOMIC_SEQ_CST);
    }
    if (manner == BY_COPY) {
        copy(world, port, &readings[0]);
    } else {
        ciommu_port_enter(port);
        ask(world, port, readings, count, manner);
        look(readings, count);
        ciommu_port_leave(port);
    }
    for (uint32_t index = 0; index < count; index++) {
        judge(world, &readings[index]);
    }
    return count;
}

static void read_pages(struct crowd_member *member) {
    struct poison_world *world = member->context;
    struct ciommu_port *port = NULL;
    enum ciommu_status status = ciommu_port_create(world->unit, &port);
    if (status != CIOMMU_OK) {
        crowd_report(member->run, "no port: %s", ciommu_status_text(status));
        return;
    }
    do {
        member->operations += read_section(member, port);
    } while (crowd_goes_on(member->run));
    (void)ciommu_port_destroy(port);
}

static uint64_t change_pages(struct crowd_run *run, void *context) {
    struct poison_world *world = context;
    uint64_t random = run->options->seed | 1;
    uint64_t changes = 0;
    for (; crowd_has_time(run); changes++) {
        uint64_t choice = probe_random(&random);
        uint32_t page = (uint32_t)(choice >> 40) % world->pages;
        enum ciommu_status status = poison_change(world, page, choice);
        if (status != CIOMMU_OK) {
            crowd_report(run, "change %llu of page %u: %s", (unsigned long long)changes, page,
                         ciommu_status_text(status));
        }
        if (choice >> 62 == 0) {
            probe_nap(20000); /* a stale answer must get the time to show itself */
        }
    }
    return changes;
}

int probe_poison_trial(const struct probe_trial *trial, const struct probe_trial_options *options,
                       struct probe_trial_result *result) {
    struct crowd_run run;
    crowd_begin(&run, trial, options);
    struct poison_world *world = malloc(sizeof *world);
    int status = world == NULL ? CIOMMU_NO_MEMORY : poison_world_create(world, &run);
    uint64_t changes = 0;
    if (status == CIOMMU_OK) {
        changes = crowd_race(&run, crowd_size(&run), read_pages, change_pages, world);
    }
    if (world != NULL) {
        poison_world_destroy(world);
    }
    free(world);
    crowd_finish(&run, changes, result);
    return status;
}
