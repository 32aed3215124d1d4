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
    uint32_t own; /* of the reader: which word of the page it may write */
    bool writes;  /* asks for that word, and writes it; the stamp of spot 0 is in the same page */
    bool unread;  /* nothing was seen: written by a copy helper */
    bool unasked; /* behind a fault in a range */
    uint64_t done;
    uint64_t gaps; /* finished before the section */
    struct ciommu_result result;
    uint64_t seen[LOOKS];
};

/* How a section asks. */
enum manner { ONE_BY_ONE = 0, IN_A_BATCH, AS_A_RANGE, BY_COPY };

static uint64_t address_of(const struct poison_world *world, const struct reading *reading) {
    return poison_iova(world, reading->page) +
           (reading->writes ? poison_word(reading->own) : poison_spot(world, reading->spot));
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
    if (reading->unread) {
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

static uint32_t access_of(const struct reading *reading) {
    return CIOMMU_READ | (reading->writes ? CIOMMU_WRITE : 0);
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
                                                  .access = access_of(&readings[index]),
                                                  .flags = CIOMMU_NO_FAULT};
    }
    if (manner == IN_A_BATCH) {
        (void)ciommu_translate_batch(port, requests, results, count, NULL);
    } else {
        for (uint32_t index = 0; index < count; index++) {
            (void)ciommu_translate(world->unit, port, POISON_SOURCE, world->pasid,
                                   requests[index].iova, requests[index].access, CIOMMU_NO_FAULT,
                                   &results[index]);
        }
    }
    for (uint32_t index = 0; index < count; index++) {
        readings[index].result = results[index];
    }
}

/* The pages follow one another; so they are one request. */
static void ask_range(struct poison_world *world, struct ciommu_port *port,
                      struct reading *readings, uint32_t count) {
    uint64_t first = address_of(world, &readings[0]);
    uint64_t last = address_of(world, &readings[count - 1]);
    struct ciommu_request request = {.source = POISON_SOURCE,
                                     .pasid = world->pasid,
                                     .iova = first,
                                     .length = last - first + sizeof(uint64_t),
                                     .access = access_of(&readings[0]),
                                     .flags = CIOMMU_NO_FAULT};
    struct ciommu_segment segments[2 * TOGETHER];
    struct ciommu_progress progress = {.size = sizeof progress};
    (void)ciommu_translate_range(port, &request, segments, 2 * TOGETHER, &progress);
    for (uint32_t index = 0; index < count; index++) {
        struct ciommu_result *result = &readings[index].result;
        uint64_t offset = address_of(world, &readings[index]) - first;
        *result = (struct ciommu_result){.outcome = CIOMMU_FAULT, .fault = progress.fault};
        /* The page after what is done is the one that faulted. */
        uint64_t page = UINT64_C(1) << world->page_lg2;
        readings[index].unasked = offset >= progress.done + page;
        for (uint32_t at = 0; at < progress.segments; at++) {
            const struct ciommu_segment *segment = &segments[at];
            uint64_t inside = first + offset - segment->iova;
            if (inside < segment->length) {
                result->outcome = CIOMMU_TRANSLATED_OK;
                result->address = segment->address + inside;
                result->host = segment->host == NULL ? NULL : segment->host + inside;
            }
        }
    }
}

/* Reads through the host pointers several times while the section lasts, and writes. */
static void look(struct reading *readings, uint32_t count) {
    for (uint32_t time = 0; time < LOOKS; time++) {
        for (uint32_t index = 0; index < count; index++) {
            struct reading *reading = &readings[index];
            unsigned char *host = reading->result.host;
            if (reading->result.outcome != CIOMMU_TRANSLATED_OK || host == NULL) {
                continue;
            }
            if (reading->writes) {
                *(volatile uint64_t *)(void *)host = reading->done;
                host -= poison_word(reading->own);
            }
            reading->seen[time] = *(volatile uint64_t *)(void *)host;
        }
        for (uint32_t spin = 0; spin < 8; spin++) {
            cpu_relax();
        }
    }
}

/* The copy helpers have sections of their own. */
static void copy(struct poison_world *world, struct ciommu_port *port, struct reading *reading,
                 bool exchange) {
    struct ciommu_request request = {.source = POISON_SOURCE,
                                     .pasid = world->pasid,
                                     .iova = address_of(world, reading),
                                     .length = sizeof reading->seen[0],
                                     .access = CIOMMU_READ,
                                     .flags = CIOMMU_NO_FAULT};
    struct ciommu_progress progress = {.size = sizeof progress};
    enum ciommu_status status;
    if (!reading->writes) {
        status = ciommu_read(port, &request, &reading->seen[0], &progress);
    } else if (!exchange) {
        request.access = CIOMMU_WRITE;
        status = ciommu_write(port, &request, &reading->done, &progress);
    } else {
        uint64_t expected = POISON_VALUE; /* in a place that is new, or is gone */
        bool exchanged;
        request.access |= CIOMMU_WRITE;
        status = ciommu_compare_exchange(port, &request, &expected, reading->done, &exchanged,
                                         &progress);
    }
    reading->unread = reading->writes;
    reading->result = (struct ciommu_result){
        .outcome = status == CIOMMU_FAULTED ? CIOMMU_FAULT : CIOMMU_TRANSLATED_OK,
        .fault = progress.fault,
        .host = status == CIOMMU_OK ? (unsigned char *)&reading->seen[0] : NULL,
    };
    for (uint32_t time = 1; time < LOOKS; time++) {
        reading->seen[time] = reading->seen[0];
    }
}

static void choose(struct crowd_member *member, struct reading *readings, uint32_t count,
                   enum manner manner) {
    const struct poison_world *world = member->context;
    uint64_t choice = probe_random(&member->random) >> 20;
    for (uint32_t index = 0; index < count; index++) {
        uint64_t place = probe_random(&member->random) >> 20;
        struct reading *reading = &readings[index];
        *reading = (struct reading){
            .page = (uint32_t)(place % world->pages),
            .own = member->index,
            .writes = place >> 24 & 1,
        };
        if (manner == AS_A_RANGE) {
            reading->page = (uint32_t)(choice % (world->pages - count + 1)) + index;
            reading->writes = choice >> 24 & 1;
        }
        /* In a range each page is asked for at the same offset. */
        reading->spot =
            reading->writes || manner == AS_A_RANGE ? 0 : (uint32_t)(place >> 8) % POISON_SPOTS;
        reading->gaps = __atomic_load_n(&world->gaps_finished, __ATOMIC_SEQ_CST);
        reading->done = __atomic_load_n(&world->finished[reading->page], __ATOMIC_SEQ_CST);
    }
}

/* One section; how many pages it asked for. */
static uint32_t read_section(struct crowd_member *member, struct ciommu_port *port) {
    struct poison_world *world = member->context;
    struct reading readings[TOGETHER];
    uint64_t choice = probe_random(&member->random);
    uint64_t kind = choice >> 8 & 15;
    enum manner manner = kind < 2   ? BY_COPY
                         : kind < 4 ? AS_A_RANGE
                         : kind < 9 ? ONE_BY_ONE
                                    : IN_A_BATCH;
    uint32_t most = TOGETHER;
    if (manner == AS_A_RANGE) {
        /* What passes through is translated in pages of 4 KiB: of large pages those are many. */
        bool adjacent = world->page_lg2 == world->stride_lg2 &&
                        (world->page_lg2 == 12 || !poison_passes(world));
        most = !adjacent ? 1 : world->pages < TOGETHER ? world->pages : TOGETHER;
    }
    uint32_t count = manner == BY_COPY ? 1 : 1 + (uint32_t)(choice >> 16) % most;
    choose(member, readings, count, manner);
    if (manner == BY_COPY) {
        copy(world, port, &readings[0], choice >> 40 & 1);
    } else {
        ciommu_port_enter(port);
        if (manner == AS_A_RANGE) {
            ask_range(world, port, readings, count);
        } else {
            ask(world, port, readings, count, manner);
        }
        look(readings, count);
        ciommu_port_leave(port);
    }
    for (uint32_t index = 0; index < count; index++) {
        if (!readings[index].unasked) {
            judge(world, &readings[index]);
        }
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
