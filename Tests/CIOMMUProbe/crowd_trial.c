/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * crowd_trial.c - thousands of domains at thousands of places. A place is a PASID of a device; one
 * thread attaches, replaces and detaches domains there, and the others translate. All domains map
 * one input address, each to a page of its own, which is overwritten while the domain is attached
 * nowhere.
 */
#define _GNU_SOURCE
#include "crowd_run.h"
#include "audit.h"
#include "ciommu_domains.h"
#include "atomics.h"

#include <stdlib.h>

#define DOMAINS 4096u
#define DEVICES 64u
#define PASIDS 64u
#define PLACES (DEVICES * PASIDS)
#define HISTORY 256u
#define PAGE UINT64_C(4096)
#define IOVA (UINT64_C(1) << 30)
#define OUTPUT (UINT64_C(4) << 30)
#define SOURCE 0x100u
#define POISON UINT64_C(0xdeadbeefdeadbeef)
#define LOOKS 3u
#define TOGETHER 8u /* requests of different devices in a batch */

struct place {
    uint64_t started;
    uint64_t finished;
    uint32_t states[HISTORY]; /* domain number + 1 after the n-th change; 0 = nothing */
};

struct world {
    struct crowd_run *run;
    struct ciommu_memory *memory;
    struct ciommu_unit *unit;
    unsigned char *data; /* a page for each domain */
    struct ciommu_domain *domains[DOMAINS];
    struct ciommu_device *devices[DEVICES];
    uint32_t attachments[DOMAINS];
    struct place places[PLACES];
    uint32_t latest; /* the place that changed last */
    uint64_t unjudged;
};

static uint64_t stamp(uint32_t domain) {
    return UINT64_C(0x5eed000000000000) | domain;
}

static void fill(const struct world *world, uint32_t domain, bool poison) {
    *(uint64_t *)(void *)(world->data + domain * PAGE) = poison ? POISON : stamp(domain);
}

/* ---- Life ---- */

static enum ciommu_status make_domain(struct world *world, uint32_t domain) {
    struct ciommu_paging_config config;
    ciommu_paging_config_init(&config);
    config.address_width = 39;
    struct ciommu_mapping mapping = {.size = sizeof mapping,
                                     .rights = CIOMMU_READ | CIOMMU_WRITE,
                                     .iova = IOVA,
                                     .length = PAGE,
                                     .address = OUTPUT + domain * PAGE};
    enum ciommu_status status = ciommu_paging_create(world->unit, &config, &world->domains[domain]);
    fill(world, domain, true);
    return status != CIOMMU_OK ? status : ciommu_domain_map(world->domains[domain], &mapping);
}

static enum ciommu_status create(struct world *world) {
    world->data = aligned_alloc(PAGE, DOMAINS * PAGE);
    if (world->data == NULL) {
        return CIOMMU_NO_MEMORY;
    }
    struct ciommu_memory_range range = {.size = sizeof range,
                                        .rights = CIOMMU_READ | CIOMMU_WRITE,
                                        .address = OUTPUT,
                                        .length = DOMAINS * PAGE,
                                        .host = world->data};
    struct ciommu_unit_config config;
    crowd_unit_config(world->run, &config);
    config.domains = DOMAINS;
    enum ciommu_status status = ciommu_memory_create(&world->memory);
    status = status != CIOMMU_OK ? status : ciommu_memory_add(world->memory, &range);
    status =
        status != CIOMMU_OK ? status : ciommu_unit_create(&config, world->memory, &world->unit);
    for (uint32_t domain = 0; domain < DOMAINS && status == CIOMMU_OK; domain++) {
        status = make_domain(world, domain);
    }
    for (uint32_t device = 0; device < DEVICES && status == CIOMMU_OK; device++) {
        struct ciommu_device_config made = {.size = sizeof made,
                                            .source = SOURCE + device,
                                            .id = device,
                                            .share = CIOMMU_SHARE_WHOLE};
        status = ciommu_device_create(world->unit, NULL, &made, &world->devices[device]);
    }
    return status;
}

static void destroy(struct world *world) {
    ciommu_audit(ciommu_audit_unit(world->unit));
    for (uint32_t device = 0; device < DEVICES; device++) {
        (void)ciommu_device_destroy(world->devices[device], NULL);
    }
    for (uint32_t domain = 0; domain < DOMAINS; domain++) {
        (void)ciommu_domain_destroy(world->domains[domain]);
    }
    if (ciommu_unit_destroy(world->unit) != CIOMMU_OK) {
        crowd_report(world->run, "the unit is still in use");
    }
    (void)ciommu_memory_destroy(world->memory);
    free(world->data);
}

/* ---- Changes ---- */

static uint32_t present(const struct place *place) {
    return __atomic_load_n(&place->states[place->started % HISTORY], __ATOMIC_RELAXED);
}

/* What is at a place becomes `next` (domain number + 1; 0 = nothing). */
static enum ciommu_status change_place(struct world *world, uint32_t number, uint32_t next) {
    struct place *place = &world->places[number];
    struct ciommu_device *device = world->devices[number / PASIDS];
    uint32_t pasid = number % PASIDS;
    uint32_t last = present(place);
    if (next != 0 && world->attachments[next - 1]++ == 0) {
        fill(world, next - 1, false);
    }
    uint64_t change = place->started + 1;
    __atomic_store_n(&place->states[change % HISTORY], next, __ATOMIC_RELAXED);
    __atomic_store_n(&place->started, change, __ATOMIC_SEQ_CST);
    __atomic_store_n(&world->latest, number, __ATOMIC_RELAXED);
    enum ciommu_status status =
        next == 0   ? ciommu_device_detach(device, NULL, pasid)
        : last == 0 ? ciommu_device_attach(device, pasid, world->domains[next - 1])
                    : ciommu_device_replace(device, NULL, pasid, world->domains[next - 1]);
    __atomic_store_n(&place->finished, change, __ATOMIC_SEQ_CST);
    if (last != 0 && --world->attachments[last - 1] == 0 && status == CIOMMU_OK) {
        fill(world, last - 1, true);
    }
    return status;
}

static uint64_t change_places(struct crowd_run *run, void *context) {
    struct world *world = context;
    uint64_t random = run->options->seed | 1;
    uint64_t changes = 0;
    for (; crowd_has_time(run); changes++) {
        uint64_t choice = probe_random(&random) >> 8;
        bool again = choice % 2 == 0; /* a place that readers look at */
        uint32_t number = again ? world->latest : (uint32_t)(choice >> 8) % PLACES;
        bool detach = (choice >> 24) % 3 == 0 && present(&world->places[number]) != 0;
        enum ciommu_status status =
            change_place(world, number, detach ? 0 : 1 + (uint32_t)(choice >> 32) % DOMAINS);
        if (status != CIOMMU_OK) {
            crowd_report(run, "a change of place %u answered: %s", number,
                         ciommu_status_text(status));
        }
        if (choice >> 54 == 0) {
            probe_nap(20000);
        }
    }
    return changes;
}

/* ---- Readers ---- */

static bool explains(uint32_t state, const struct ciommu_result *result, uint64_t seen) {
    if (result->outcome != CIOMMU_TRANSLATED_OK) {
        return state == 0;
    }
    return state != 0 && result->address == OUTPUT + (state - 1) * PAGE && seen == stamp(state - 1);
}

/* Does some state between the two changes explain what was seen? */
static bool is_right(const struct place *place, uint64_t done, uint64_t started,
                     const struct ciommu_result *result, uint64_t seen) {
    for (uint64_t at = done; at <= started; at++) {
        if (explains(__atomic_load_n(&place->states[at % HISTORY], __ATOMIC_RELAXED), result,
                     seen)) {
            return true;
        }
    }
    return false;
}

/* A reader that slept between its look at `finished` and its section may have missed more changes
 * than the history holds. Then what it read must at least belong to where it was led. */
static bool judge(struct world *world, const struct place *place, uint64_t done, uint64_t started,
                  const struct ciommu_result *result, uint64_t seen) {
    if (started - done < HISTORY / 2) {
        return is_right(place, done, started, result, seen);
    }
    (void)__atomic_fetch_add(&world->unjudged, 1, __ATOMIC_RELAXED);
    uint64_t domain = (result->address - OUTPUT) / PAGE;
    return result->outcome != CIOMMU_TRANSLATED_OK ||
           (domain < DOMAINS && explains((uint32_t)domain + 1, result, seen));
}

struct look {
    uint32_t number; /* of the place */
    uint64_t done;
};

/* Before the section. */
static struct look look_at(struct world *world, uint64_t choice) {
    uint32_t number = choice % 2 == 0 ? __atomic_load_n(&world->latest, __ATOMIC_RELAXED)
                                      : (uint32_t)(choice >> 8) % PLACES;
    return (struct look){number,
                         __atomic_load_n(&world->places[number].finished, __ATOMIC_SEQ_CST)};
}

/* In the section: a change that begins meanwhile does not finish, so the history stands still. */
static void check(struct crowd_member *member, const struct look *look,
                  const struct ciommu_result *result) {
    struct world *world = member->context;
    struct place *place = &world->places[look->number];
    for (uint32_t number = 0; number < LOOKS; number++) {
        uint64_t seen = 0;
        if (result->outcome == CIOMMU_TRANSLATED_OK && result->host != NULL) {
            seen = *(volatile uint64_t *)(void *)result->host;
        }
        uint64_t started = __atomic_load_n(&place->started, __ATOMIC_SEQ_CST);
        if (!judge(world, place, look->done, started, result, seen)) {
            crowd_report(member->run,
                         "place %u, outcome %u fault %x address %llx read %llx, changes finished "
                         "%llu, begun %llu",
                         look->number, result->outcome, result->fault.code,
                         (unsigned long long)result->address, (unsigned long long)seen,
                         (unsigned long long)look->done, (unsigned long long)started);
            return;
        }
        cpu_relax();
    }
}

static void read_once(struct crowd_member *member, struct ciommu_port *port) {
    struct world *world = member->context;
    const struct look look = look_at(world, probe_random(&member->random) >> 8);
    struct ciommu_result result = {.size = sizeof result, .outcome = CIOMMU_FAULT};
    ciommu_port_enter(port);
    (void)ciommu_translate(world->unit, port, SOURCE + look.number / PASIDS, look.number % PASIDS,
                           IOVA, CIOMMU_READ, CIOMMU_NO_FAULT, &result);
    check(member, &look, &result);
    ciommu_port_leave(port);
}

/* Requests of different devices side by side: each gets its own answer. */
static void read_together(struct crowd_member *member, struct ciommu_port *port) {
    struct world *world = member->context;
    struct look looks[TOGETHER];
    struct ciommu_request requests[TOGETHER];
    struct ciommu_result results[TOGETHER];
    for (uint32_t index = 0; index < TOGETHER; index++) {
        looks[index] = look_at(world, probe_random(&member->random) >> 8);
        results[index] =
            (struct ciommu_result){.size = sizeof results[index], .outcome = CIOMMU_FAULT};
        requests[index] = (struct ciommu_request){.source = SOURCE + looks[index].number / PASIDS,
                                                  .pasid = looks[index].number % PASIDS,
                                                  .iova = IOVA,
                                                  .access = CIOMMU_READ,
                                                  .flags = CIOMMU_NO_FAULT};
    }
    ciommu_port_enter(port);
    (void)ciommu_translate_batch(port, requests, results, TOGETHER, NULL);
    for (uint32_t index = 0; index < TOGETHER; index++) {
        check(member, &looks[index], &results[index]);
    }
    ciommu_port_leave(port);
}

static void read_places(struct crowd_member *member) {
    struct world *world = member->context;
    struct ciommu_port *port = NULL;
    if (ciommu_port_create(world->unit, &port) != CIOMMU_OK) {
        crowd_report(member->run, "no port");
        return;
    }
    do {
        if ((probe_random(&member->random) >> 8) % 4 == 0) {
            read_together(member, port);
            member->operations += TOGETHER;
        } else {
            read_once(member, port);
            member->operations++;
        }
    } while (crowd_goes_on(member->run));
    (void)ciommu_port_destroy(port);
}

int probe_crowd_trial(const struct probe_trial *trial, const struct probe_trial_options *options,
                      struct probe_trial_result *result) {
    struct crowd_run run;
    crowd_begin(&run, trial, options);
    struct world *world = calloc(1, sizeof *world);
    uint64_t changes = 0;
    int status = CIOMMU_NO_MEMORY;
    if (world != NULL) {
        world->run = &run;
        status = create(world);
        if (status == CIOMMU_OK) {
            changes = crowd_race(&run, crowd_size(&run), read_places, change_places, world);
        }
        if (world->unjudged > run.operations * LOOKS / 2) {
            crowd_report(&run, "%llu of %llu looks could not be judged",
                         (unsigned long long)world->unjudged,
                         (unsigned long long)run.operations * LOOKS);
        }
        destroy(world);
    }
    free(world);
    crowd_finish(&run, changes, result);
    return status;
}
