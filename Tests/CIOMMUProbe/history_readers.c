/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * history_readers.c - threads that translate and write down what they were answered and what they
 * found there; devices that keep answers (ATS) and use them later.
 */
#define _GNU_SOURCE
#include "history_run.h"
#include "harness.h"

#include <sched.h>

#define TOGETHER 5u

/* ---- Answers ---- */

static uint32_t form_of(const struct ciommu_result *result, bool inside) {
    if (result->outcome != CIOMMU_TRANSLATED_OK) {
        return HISTORY_FAULT;
    }
    return result->host != NULL ? HISTORY_MAPPED : inside ? HISTORY_NO_HOST : HISTORY_UNLOOKED;
}

static uint64_t look(const unsigned char *host) {
    return host == NULL ? 0
                        : __atomic_load_n((const uint64_t *)(const void *)host, __ATOMIC_RELAXED);
}

/* The section's end is not known yet. */
static void note(struct history_thread *thread, uint64_t begin, uint32_t target, uint32_t question,
                 uint32_t form, uint64_t address, uint32_t rights, uint64_t seen) {
    struct history_record *record = history_log_add(&thread->log);
    if (record != NULL) {
        *record = (struct history_record){.kind = HISTORY_ANSWER,
                                          .begin = begin,
                                          .first = target,
                                          .last = question,
                                          .scope = (uint8_t)form,
                                          .value = address,
                                          .rights = rights & HISTORY_RW,
                                          .seen = seen,
                                          .thread = (uint16_t)thread->number};
    }
}

static void end_section(struct history_thread *thread, uint32_t from) {
    uint64_t end = history_after(&thread->run->world.clock);
    for (uint32_t at = from; at < thread->log.count; at++) {
        thread->log.records[at].end = end;
    }
}

/* ---- Readers ---- */

struct asking {
    uint32_t count;
    uint32_t targets[TOGETHER];
    uint32_t questions[TOGETHER];
    struct ciommu_request requests[TOGETHER];
    struct ciommu_result results[TOGETHER];
};

static void choose(struct history_thread *thread, struct asking *asking, uint32_t count) {
    static const uint32_t accesses[] = {CIOMMU_READ, CIOMMU_READ, HISTORY_RW, CIOMMU_WRITE};
    struct history_run *run = thread->run;
    asking->count = count;
    for (uint32_t at = 0; at < count; at++) {
        uint64_t random = probe_random(&thread->random) >> 16;
        uint32_t number = run->asked[random % run->asked_count];
        const struct history_target *target = &run->world.targets[number];
        uint32_t page = (uint32_t)(random >> 8) % HISTORY_PAGES;
        uint32_t access = accesses[(random >> 16) % 4];
        asking->targets[at] = number;
        asking->questions[at] = history_question(page, access);
        asking->results[at] =
            (struct ciommu_result){.size = sizeof asking->results[at], .outcome = CIOMMU_FAULT};
        asking->requests[at] = (struct ciommu_request){
            .source = target->source,
            .pasid = target->pasid,
            .iova = history_iova(target->space, page),
            .access = access,
            .flags = CIOMMU_NO_FAULT,
        };
    }
}

static void translate(struct history_thread *thread, struct asking *asking) {
    const struct ciommu_request *request = &asking->requests[0];
    if (asking->count == 1) {
        (void)ciommu_translate(thread->run->world.unit, thread->port, request->source,
                               request->pasid, request->iova, request->access, request->flags,
                               &asking->results[0]);
    } else {
        (void)ciommu_translate_batch(thread->port, asking->requests, asking->results, asking->count,
                                     NULL);
    }
}

static void note_all(struct history_thread *thread, const struct asking *asking, uint64_t begin,
                     bool inside) {
    for (uint32_t at = 0; at < asking->count; at++) {
        const struct ciommu_result *result = &asking->results[at];
        note(thread, begin, asking->targets[at], asking->questions[at], form_of(result, inside),
             result->address, result->rights, look(inside ? result->host : NULL));
    }
}

/* What is used once more, later in the section: a section of its own to the rule. */
static void use_again(struct history_thread *thread, const struct asking *asking) {
    uint64_t begin = history_before(&thread->run->world.clock);
    for (uint32_t at = 0; at < asking->count; at++) {
        const struct ciommu_result *result = &asking->results[at];
        if (form_of(result, true) == HISTORY_MAPPED) {
            note(thread, begin, asking->targets[at], asking->questions[at], HISTORY_MAPPED,
                 result->address, result->rights, look(result->host));
        }
    }
}

/* A copy, which has a section of its own. What it brings says where it comes from; where no memory
 * is, nothing says it. */
static void copy(struct history_thread *thread) {
    struct asking asking;
    uint64_t seen = 0;
    struct ciommu_progress progress = {.size = sizeof progress};
    uint32_t from = thread->log.count;
    choose(thread, &asking, 1);
    asking.requests[0].length = sizeof seen;
    asking.requests[0].access = CIOMMU_READ;
    uint32_t question = history_question(asking.questions[0] >> 8, CIOMMU_READ);
    uint64_t begin = history_before(&thread->run->world.clock);
    enum ciommu_status status = ciommu_read(thread->port, &asking.requests[0], &seen, &progress);
    uint64_t address = HISTORY_OUTPUT + (uint32_t)(seen >> 8) * HISTORY_PAGE;
    if (status == CIOMMU_OK) {
        note(thread, begin, asking.targets[0], question, HISTORY_MAPPED, address, CIOMMU_READ,
             seen);
    } else if (status == CIOMMU_FAULTED) {
        note(thread, begin, asking.targets[0], question, HISTORY_FAULT, 0, 0, 0);
    }
    end_section(thread, from);
}

void history_read(struct history_thread *thread) {
    struct asking asking;
    uint64_t random = probe_random(&thread->random) >> 16;
    if ((random >> 12) % 8 == 0) {
        copy(thread);
        return;
    }
    bool inside = random % 8 != 0;
    uint32_t from = thread->log.count;
    choose(thread, &asking, inside && (random >> 3) % 2 == 0 ? TOGETHER : 1);
    uint64_t begin = history_before(&thread->run->world.clock);
    if (inside) {
        ciommu_port_enter(thread->port);
    }
    translate(thread, &asking);
    note_all(thread, &asking, begin, inside);
    bool again = !thread->run->settings->pairs && (random >> 4) % 4 == 0; /* see history_pair.h */
    if (inside && again) {
        if (!thread->run->settings->calm && (random >> 6) % 16 == 0) {
            probe_nap(20000);
        }
        use_again(thread, &asking);
    }
    if (inside) {
        ciommu_port_leave(thread->port);
    }
    end_section(thread, from);
}

/* ---- Devices ---- */

/* Drops what was named, and says so; a silent one does neither now and then. */
static void hear(void *context, const struct ciommu_device_tlb_request *request) {
    struct history_device *device = context;
    struct history_run *run = device->run;
    pthread_mutex_lock(&device->lock);
    bool silent = (run->settings->mixes & PROBE_HISTORY_SILENT) != 0 &&
                  (probe_random(&device->random) >> 20) % 16 == 0 && request->global == 0;
    for (uint32_t at = device->first_target; at < device->first_target + device->targets && !silent;
         at++) {
        for (uint32_t page = 0; page < HISTORY_PAGES; page++) {
            uint64_t first = history_iova(run->world.targets[at].space, page);
            bool named = request->global != 0 || request->pasid == run->world.targets[at].pasid;
            if (named && first <= request->last && first + (HISTORY_PAGE - 1) >= request->first) {
                device->stored[at][page].rights = 0;
            }
        }
    }
    pthread_mutex_unlock(&device->lock);
    if (!silent) {
        (void)ciommu_device_tlb_answer(run->world.unit, request->id, true);
    }
}

/* A use of what is stored; in a section, the cache's lock held. */
static void use_stored(struct history_thread *thread, uint32_t number, uint32_t page,
                       const struct history_stored *stored, uint64_t begin) {
    const struct history_target *target = &thread->run->world.targets[number];
    struct ciommu_result result = {.size = sizeof result};
    enum ciommu_status status = ciommu_translate(
        thread->run->world.unit, thread->port, target->source, target->pasid, stored->address,
        CIOMMU_READ, CIOMMU_TRANSLATED | CIOMMU_NO_FAULT, &result);
    if (status == CIOMMU_OK && result.outcome == CIOMMU_TRANSLATED_OK && result.host != NULL) {
        note(thread, begin, number, history_question(page, CIOMMU_READ), HISTORY_DEVICE_USE,
             stored->address, stored->rights, look(result.host));
    }
}

/* Asks, and stores the answer inside the section. */
static void fill(struct history_thread *thread, uint32_t number, uint32_t page, uint64_t begin) {
    struct history_run *run = thread->run;
    struct history_device *device = thread->device;
    const struct history_target *target = &run->world.targets[number];
    struct ciommu_result result = {.size = sizeof result};
    enum ciommu_status status =
        ciommu_translate(run->world.unit, thread->port, target->source, target->pasid,
                         history_iova(target->space, page), CIOMMU_READ,
                         CIOMMU_TRANSLATION_REQUEST | CIOMMU_NO_FAULT, &result);
    bool mapped = status == CIOMMU_OK && result.outcome == CIOMMU_TRANSLATED_OK;
    /* A device that did not answer is blocked, and so is refused. */
    if (mapped || (run->settings->mixes & PROBE_HISTORY_SILENT) == 0) {
        note(thread, begin, number, history_question(page, CIOMMU_READ),
             mapped ? HISTORY_UNLOOKED : HISTORY_FAULT, result.address, result.rights, 0);
    }
    if (!run->settings->calm && (probe_random(&thread->random) >> 20) % 16 == 0) {
        probe_nap(20000); /* the answer is on its way */
    }
    if (mapped) {
        pthread_mutex_lock(&device->lock);
        device->stored[number][page] =
            (struct history_stored){result.address, result.rights & HISTORY_RW};
        pthread_mutex_unlock(&device->lock);
    }
}

void history_be_device(struct history_thread *thread) {
    struct history_device *device = thread->device;
    uint64_t random = probe_random(&thread->random) >> 16;
    uint32_t number = device->first_target + (uint32_t)(random % device->targets);
    uint32_t page = (uint32_t)(random >> 8) % HISTORY_PAGES;
    uint32_t from = thread->log.count;
    uint64_t begin = history_before(&thread->run->world.clock);
    ciommu_port_enter(thread->port);
    pthread_mutex_lock(&device->lock);
    const struct history_stored stored = device->stored[number][page];
    if (stored.rights != 0) {
        use_stored(thread, number, page, &stored, begin);
    }
    pthread_mutex_unlock(&device->lock);
    if (stored.rights == 0) {
        fill(thread, number, page, begin);
    }
    ciommu_port_leave(thread->port);
    end_section(thread, from);
    if ((random >> 16) % 16 == 0) {
        sched_yield();
    }
}

void history_device_retry(struct history_device *device) {
    if (ciommu_device_tlb_is_blocked(device->tlb)) {
        (void)ciommu_device_tlb_retry(device->tlb, NULL);
    }
}

enum ciommu_status history_device_create(struct history_run *run, struct history_device *device,
                                         uint32_t source, uint32_t first_target, uint32_t targets) {
    const uint64_t patient = UINT64_C(60000000000);
    const uint64_t impatient = 2000000;
    device->run = run;
    device->source = source;
    device->first_target = first_target;
    device->targets = targets;
    device->random = source * UINT64_C(0x9e3779b97f4a7c15) | 1;
    pthread_mutex_init(&device->lock, NULL);
    const struct ciommu_device_tlb_config config = {
        .size = sizeof config,
        .flags = CIOMMU_DEVICE_TLB_ALL_PASIDS,
        .source = source,
        .pfsid = source,
        .queue_depth = 8,
        .timeout = (run->settings->mixes & PROBE_HISTORY_SILENT) != 0 ? impatient : patient,
        .device = source,
        .handler = hear,
        .context = device,
    };
    return ciommu_device_tlb_create(run->world.unit, &config, &device->tlb);
}
