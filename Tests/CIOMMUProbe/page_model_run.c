/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * page_model_run.c - steps of page requests, random or chosen by bytes, on the engine and on the
 * model, compared after each. One thread. What differs is reported with the step.
 */
#include "harness.h"
#include "page_bytes.h"
#include "probe.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

uint32_t page_draw(struct page_run *run, uint32_t limit) {
    if (run->bytes == NULL) {
        return (uint32_t)(probe_random(&run->random) >> 20) % limit;
    }
    uint32_t value = 0;
    for (uint32_t reach = 1; reach < limit; reach <<= 8) {
        value = value << 8 | (run->left != 0 ? *run->bytes : 0);
        run->bytes += run->left != 0;
        run->left -= run->left != 0;
    }
    return value % limit;
}

static void hear(void *context, const struct ciommu_page_answer *answer) {
    struct page_run *run = context;
    uint32_t device = (uint32_t)(answer->device - 1000);
    uint32_t base = run->bench->devices[device % MODEL_DEVICES].pasid;
    if (run->heard_count < ANSWERS_MOST) {
        run->heard[run->heard_count++] = (struct model_answer){
            device, answer->group, answer->pasid - base, answer->code, answer->cause};
    }
}

void page_differ(struct page_run *run, const char *text) {
    struct probe_page_result *result = run->bench->result;
    if (result->failures++ == 0) {
        (void)snprintf(result->first, sizeof result->first, "step %llu (%s): %s",
                       (unsigned long long)run->step, run->what, text);
    }
}

static int by_value(const void *one, const void *other) {
    return memcmp(one, other, sizeof(struct model_answer));
}

void page_expect_answers(struct page_run *run) {
    for (uint32_t index = 0; index < run->model->answer_count; index++) {
        run->expected[run->expected_count++] = run->model->answers[index];
    }
    run->model->answer_count = 0;
}

bool page_is_status(enum model_status model, enum ciommu_status engine) {
    switch (model) {
    case MODEL_FINE:
        return engine == CIOMMU_OK;
    case MODEL_FULL:
        return engine == CIOMMU_NO_SPACE;
    case MODEL_NONE:
        return engine == CIOMMU_NOT_FOUND;
    case MODEL_LATE:
        return engine == CIOMMU_ALREADY_ANSWERED;
    default:
        return engine == CIOMMU_CLOSED;
    }
}

/* ---- Steps ---- */

static struct model_page draw_page(struct page_run *run) {
    struct model_page page = {page_at(page_draw(run, 4)), 1 + page_draw(run, 3)};
    uint32_t oddity = page_draw(run, 40);
    page.address = oddity == 0 ? UINT64_C(1) << 48 : page.address;
    page.access = oddity == 1   ? CIOMMU_READ | CIOMMU_EXECUTE
                  : oddity == 2 ? CIOMMU_WRITE | CIOMMU_PRIVILEGED
                  : oddity == 3 ? CIOMMU_EXECUTE
                  : oddity == 4 ? 0
                                : page.access;
    return page;
}

static void step_request(struct page_run *run) {
    uint32_t number = page_draw(run, MODEL_DEVICES);
    uint32_t pasid = page_draw(run, MODEL_PASIDS);
    struct page_device *device = &run->bench->devices[number];
    struct model_page page = draw_page(run);
    uint32_t flags = page_draw(run, 2) == 0 ? CIOMMU_PAGE_LAST : 0;
    flags |= page_draw(run, 20) == 0 ? CIOMMU_PAGE_PRIVATE_DATA : 0;
    const struct ciommu_page_request request = {.size = sizeof request,
                                                .pasid = device->pasid + pasid,
                                                .address = page.address,
                                                .access = page.access,
                                                .group = page_draw(run, 3),
                                                .flags = flags};
    enum ciommu_status status = ciommu_page_request(device->interface, NULL, &request);
    enum model_status expected =
        model_request(run->model, number, pasid, request.group, &page,
                      (flags & CIOMMU_PAGE_LAST) != 0, (flags & CIOMMU_PAGE_PRIVATE_DATA) != 0);
    page_expect_answers(run);
    SAME(run, page_is_status(expected, status));
}

static void step_request_group(struct page_run *run) {
    uint32_t number = page_draw(run, MODEL_DEVICES);
    uint32_t pasid = page_draw(run, MODEL_PASIDS);
    uint32_t count = 1 + page_draw(run, 3);
    struct page_device *device = &run->bench->devices[number];
    struct model_page wanted[3];
    struct ciommu_page pages[3];
    for (uint32_t index = 0; index < count; index++) {
        wanted[index] = draw_page(run);
        pages[index] =
            (struct ciommu_page){.address = wanted[index].address, .access = wanted[index].access};
    }
    enum ciommu_status status = ciommu_page_request_group(
        device->interface, NULL, device->pasid + pasid, pages, count, hear, run);
    enum model_status expected = model_request_group(run->model, number, pasid, wanted, count);
    page_expect_answers(run);
    SAME(run, page_is_status(expected, status));
}

static void step_read(struct page_run *run) {
    uint32_t domain = page_draw(run, MODEL_DOMAINS);
    struct ciommu_page_group group;
    struct ciommu_page pages[16];
    if (run->queues[domain] == NULL) {
        return;
    }
    enum model_status expected;
    enum ciommu_status status = page_take(run->queues[domain], &group, pages);
    int slot = model_read(run->model, domain, &expected);
    page_expect_answers(run);
    SAME(run, page_is_status(expected, status));
    if (slot >= 0 && status == CIOMMU_OK) {
        const struct model_group *wanted = &run->model->groups[slot];
        SAME(run, group.cookie == wanted->cookie && group.count == wanted->count);
        SAME(run, group.device == 1000 + wanted->device && group.group == wanted->index);
        SAME(run, group.deadline == wanted->deadline);
        for (uint32_t page = 0; page < group.count && page < 16; page++) {
            SAME(run, pages[page].address == wanted->pages[page].address &&
                          pages[page].access == wanted->pages[page].access);
        }
    }
}

static void step_respond(struct page_run *run) {
    uint32_t domain = page_draw(run, MODEL_DOMAINS);
    uint32_t code = page_draw(run, 3);
    enum ciommu_status status;
    enum model_status expected;
    if (run->queues[domain] == NULL) {
        return;
    }
    if (page_draw(run, 4) != 0) {
        uint64_t last = run->model->last_cookie[domain] + 1;
        uint64_t cookie = last < 8 ? page_draw(run, 9) : last - page_draw(run, 8);
        status = ciommu_page_respond(run->queues[domain], cookie, (enum ciommu_page_code)code);
        expected = model_respond(run->model, domain, cookie, code);
    } else {
        uint32_t number = page_draw(run, MODEL_DEVICES);
        uint32_t pasid = page_draw(run, MODEL_PASIDS);
        uint32_t index = page_draw(run, 3);
        const struct page_device *device = &run->bench->devices[number];
        status =
            ciommu_page_respond_by_group(run->queues[domain], device->source, device->pasid + pasid,
                                         index, (enum ciommu_page_code)code);
        expected = model_respond_by_group(run->model, domain, number, pasid, index, code);
    }
    page_expect_answers(run);
    SAME(run, page_is_status(expected, status));
}

static void step_time(struct page_run *run) {
    uint64_t time = page_draw(run, 400);
    run->model->time += time;
    (void)__atomic_fetch_add(&run->bench->time, time, __ATOMIC_RELAXED);
    if (page_draw(run, 2) == 0) {
        (void)ciommu_unit_poll(run->bench->unit);
        model_poll(run->model);
        page_expect_answers(run);
    }
}

static void step_attach(struct page_run *run) {
    uint32_t number = page_draw(run, MODEL_DEVICES);
    uint32_t pasid = page_draw(run, MODEL_PASIDS);
    uint32_t domain = page_draw(run, MODEL_DOMAINS);
    struct page_device *device = &run->bench->devices[number];
    int present = run->model->attached[number][pasid];
    enum ciommu_status status;
    if (present < 0) {
        status = ciommu_device_attach(device->device, device->pasid + pasid, run->domains[domain]);
        model_attach(run->model, number, pasid, (int)domain);
    } else if (page_draw(run, 2) == 0) {
        status = ciommu_device_replace(device->device, NULL, device->pasid + pasid,
                                       run->domains[domain]);
        model_attach(run->model, number, pasid, (int)domain);
    } else {
        status = ciommu_device_detach(device->device, NULL, device->pasid + pasid);
        model_attach(run->model, number, pasid, -1);
    }
    page_expect_answers(run);
    SAME(run, status == CIOMMU_OK);
}

/* FLR, or a reset of the unit. */
static void step_reset(struct page_run *run) {
    bool unit = page_draw(run, 2) == 0;
    uint32_t number = page_draw(run, MODEL_DEVICES);
    enum ciommu_status status = unit
                                    ? ciommu_unit_reset(run->bench->unit)
                                    : ciommu_device_reset(run->bench->devices[number].device, NULL);
    SAME(run, status == CIOMMU_OK);
    for (uint32_t device = 0; device < MODEL_DEVICES; device++) {
        if (unit || device == number) {
            model_reset(run->model, device);
            page_expect_answers(run);
        }
    }
}

static void step_queue(struct page_run *run) {
    uint32_t domain = page_draw(run, MODEL_DOMAINS);
    if (page_draw(run, 4) != 0) {
        ciommu_page_queue_acknowledge(run->queues[domain]);
        run->model->overflowed[domain] = false;
    } else if (run->queues[domain] != NULL) {
        ciommu_page_queue_destroy(run->queues[domain]);
        run->queues[domain] = NULL;
        model_close(run->model, domain);
        page_expect_answers(run);
    } else {
        struct ciommu_page_queue_config config = page_queue_config(run->bench);
        config.groups = MODEL_QUEUE_GROUPS;
        config.pages = MODEL_QUEUE_PAGES;
        config.timeout = MODEL_TIMEOUT;
        SAME(run, ciommu_page_queue_create(run->bench->unit, run->domains[domain], &config,
                                           &run->queues[domain]) == CIOMMU_OK);
        run->model->open[domain] = true;
    }
}

/* ---- The run ---- */

static void compare(struct page_run *run) {
    qsort(run->expected, run->expected_count, sizeof run->expected[0], by_value);
    qsort(run->heard, run->heard_count, sizeof run->heard[0], by_value);
    SAME(run, run->heard_count == run->expected_count);
    SAME(run, memcmp(run->heard, run->expected, run->heard_count * sizeof run->heard[0]) == 0);
    for (uint32_t device = 0; device < MODEL_DEVICES; device++) {
        SAME(run, page_counts(&run->bench->devices[device]).open == model_used(run->model, device));
    }
    for (uint32_t domain = 0; domain < MODEL_DOMAINS; domain++) {
        struct ciommu_page_queue *queue = run->queues[domain];
        if (queue != NULL) {
            struct ciommu_page_queue_statistics counts = page_queue_counts(queue);
            SAME(run, counts.queued == model_waiting(run->model, domain, false) &&
                          counts.delivered == model_waiting(run->model, domain, true));
            SAME(run, ciommu_page_queue_overflowed(queue) == run->model->overflowed[domain]);
        }
    }
}

static void take_step(struct page_run *run) {
    static const struct {
        const char *name;
        void (*take)(struct page_run *run);
        uint32_t weight;
    } steps[] = {{"request", step_request, 100},
                 {"group", step_request_group, 20},
                 {"read", step_read, 60},
                 {"respond", step_respond, 60},
                 {"time", step_time, 20},
                 {"attach", step_attach, 12},
                 {"queue", step_queue, 8},
                 {"reset", step_reset, 1},
                 /* out of the generator's reach: its seeds keep their meaning */
                 {"native request", page_step_native_request, 80},
                 {"native response", page_step_native_response, 40}};
    uint32_t draws = page_draw(run, run->bytes == NULL ? 281 : 401);
    uint32_t kind = 0;
    while (draws >= steps[kind].weight) {
        draws -= steps[kind++].weight;
    }
    run->what = steps[kind].name;
    run->expected_count = 0;
    run->heard_count = 0;
    steps[kind].take(run);
    compare(run);
}

/* Interfaces and queues with the model's limits; nothing is attached. */
static enum ciommu_status prepare(struct page_run *run) {
    struct page_bench *bench = run->bench;
    enum ciommu_status status = CIOMMU_OK;
    ciommu_page_queue_destroy(bench->queue);
    bench->queue = NULL;
    run->domains[0] = bench->domain;
    run->domains[1] = bench->nested;
    for (uint32_t number = 0; number < MODEL_DEVICES && status == CIOMMU_OK; number++) {
        struct page_device *device = &bench->devices[number];
        struct ciommu_page_interface_config config = page_interface_config(device);
        config.groups = MODEL_GROUPS;
        config.pages = MODEL_PAGES;
        config.handler = hear;
        config.context = run;
        ciommu_page_interface_destroy(device->interface);
        (void)ciommu_device_detach(device->device, NULL, device->pasid);
        device->interface = NULL;
        status = ciommu_page_interface_create(bench->unit, &config, &device->interface);
    }
    for (uint32_t domain = 0; domain < MODEL_DOMAINS; domain++) {
        run->model->open[domain] = false;
    }
    return status;
}

/* Nothing is left of the run but an empty unit. */
static void leave(struct page_run *run) {
    struct page_bench *bench = run->bench;
    for (uint32_t domain = 0; domain < MODEL_DOMAINS; domain++) {
        ciommu_page_queue_destroy(run->queues[domain]);
    }
    for (uint32_t number = 0; number < MODEL_DEVICES; number++) {
        struct page_device *device = &bench->devices[number];
        EXPECT(bench, ciommu_device_reset(device->device, bench->port) == CIOMMU_OK);
        EXPECT(bench, page_counts(device).open == 0);
        ciommu_page_interface_destroy(device->interface);
        device->interface = NULL;
    }
}

void page_run_play(struct page_run *run, uint64_t steps, uint32_t mutant) {
    struct page_bench *bench = run->bench;
    struct probe_page_result *result = bench->result;
    model_init(run->model);
    run->model->time = bench->time;
    run->what = "setup";
    SAME(run, prepare(run) == CIOMMU_OK);
    probe_set_mutant(mutant);
    bool chosen = run->bytes != NULL;
    for (run->step = 1; run->step <= steps && result->failures == 0; run->step++) {
        if (chosen && run->left == 0) {
            break;
        }
        take_step(run);
    }
    probe_set_mutant(0);
    bool differs = result->failures != 0; /* the rest would only follow from it */
    struct probe_page_result first = *result;
    leave(run);
    *result = differs ? first : *result;
}

void probe_page_model(uint64_t seed, uint64_t steps, uint32_t mutant,
                      struct probe_page_result *result) {
    struct page_bench *bench = calloc(1, sizeof *bench);
    struct model *model = calloc(1, sizeof *model);
    struct page_run *run = calloc(1, sizeof *run);
    enum ciommu_status status = page_bench_make(bench, result);
    *run = (struct page_run){
        .bench = bench, .model = model, .random = seed * 2 + 1, .what = "making the unit"};
    SAME(run, status == CIOMMU_OK);
    if (status == CIOMMU_OK) {
        page_run_play(run, steps, mutant);
    }
    struct probe_page_result first = *result;
    page_bench_unmake(bench);
    *result = first.failures != 0 ? first : *result;
    free(run);
    free(model);
    free(bench);
}
