/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * ports_trial.c - ports that are made, handed from thread to thread and destroyed, and borrowed
 * from the unit's pool, beside invalidations. Answers are checked as in stress.c; in the end every
 * translation must be in the statistics, whatever became of its port.
 */
#define _GNU_SOURCE
#include "crowd_run.h"
#include "world.h"
#include "atomics.h"

#include <stdlib.h>

#define SHELF 8u /* ports that nobody uses at the moment */
#define SECTIONS_MOST 8u
#define DATA_BYTES UINT64_C(0x1000)

struct ports_world {
    struct world world;
    pthread_mutex_t lock;
    struct ciommu_port *shelf[SHELF];
};

/* The address of a page's place; stress worlds register memory from address 0 on. */
static uint64_t address_of(const struct ports_world *ports, uint32_t page, uint32_t side) {
    return ports->world.data[side] + page * DATA_BYTES;
}

static void complain(struct crowd_member *member, const char *what, uint32_t page, uint64_t seen,
                     uint64_t done, uint64_t started) {
    crowd_report(member->run, "%s: page %u gave %llx, changes finished %llu, begun %llu", what,
                 page, (unsigned long long)seen, (unsigned long long)done,
                 (unsigned long long)started);
}

/* One translation in a section of `port`, its payload judged. */
static void use_port(struct crowd_member *member, struct ciommu_port *port) {
    struct ports_world *ports = member->context;
    uint32_t page = (uint32_t)(probe_random(&member->random) >> 20) % ports->world.pages;
    uint64_t done = __atomic_load_n(&ports->world.finished[page], __ATOMIC_SEQ_CST);
    struct ciommu_result result = {.size = sizeof result, .outcome = CIOMMU_FAULT};
    ciommu_port_enter(port);
    (void)ciommu_translate(ports->world.unit, port, WORLD_DEVICE, CIOMMU_NO_PASID,
                           WORLD_IOVA + page * DATA_BYTES, CIOMMU_READ, 0, &result);
    member->operations++;
    bool fine = result.outcome == CIOMMU_TRANSLATED_OK && result.host != NULL;
    uint64_t seen = 0;
    for (uint32_t look = 0; look < 2 && fine; look++) {
        seen = *(volatile uint64_t *)(void *)result.host;
        cpu_relax();
    }
    ciommu_port_leave(port);
    uint64_t started = __atomic_load_n(&ports->world.started[page], __ATOMIC_SEQ_CST);
    uint32_t side = (uint32_t)(done & 1);
    bool right =
        seen == world_stamp(page, side) || (started > done && seen == world_stamp(page, side ^ 1));
    if (!fine || !right) {
        complain(member, fine ? "stale, foreign or poison" : "fault or no memory", page, seen, done,
                 started);
    }
}

/* One translation through a port of the pool: an address alone. */
static void borrow_port(struct crowd_member *member) {
    struct ports_world *ports = member->context;
    uint32_t page = (uint32_t)(probe_random(&member->random) >> 20) % ports->world.pages;
    uint64_t done = __atomic_load_n(&ports->world.finished[page], __ATOMIC_SEQ_CST);
    struct ciommu_result result = {.size = sizeof result, .outcome = CIOMMU_FAULT};
    enum ciommu_status status =
        ciommu_translate(ports->world.unit, NULL, WORLD_DEVICE, CIOMMU_NO_PASID,
                         WORLD_IOVA + page * DATA_BYTES, CIOMMU_READ, 0, &result);
    uint64_t started = __atomic_load_n(&ports->world.started[page], __ATOMIC_SEQ_CST);
    if (status == CIOMMU_NO_PORT) {
        return;
    }
    member->operations++;
    uint32_t side = (uint32_t)(done & 1);
    bool right = result.outcome == CIOMMU_TRANSLATED_OK && result.host == NULL &&
                 (result.address == address_of(ports, page, side) ||
                  (started > done && result.address == address_of(ports, page, side ^ 1)));
    if (status != CIOMMU_OK || !right) {
        complain(member, "through a borrowed port", page, result.address, done, started);
    }
}

/* Puts a port on the shelf, and gets what was there. */
static struct ciommu_port *exchange_port(struct ports_world *ports, uint32_t place,
                                         struct ciommu_port *port) {
    pthread_mutex_lock(&ports->lock);
    struct ciommu_port *found = ports->shelf[place];
    ports->shelf[place] = port;
    pthread_mutex_unlock(&ports->lock);
    return found;
}

static void come_and_go(struct crowd_member *member) {
    struct ports_world *ports = member->context;
    do {
        uint64_t choice = probe_random(&member->random) >> 16;
        uint32_t place = (uint32_t)(choice >> 8) % SHELF;
        struct ciommu_port *port = exchange_port(ports, place, NULL);
        borrow_port(member);
        if (port == NULL) {
            enum ciommu_status status = ciommu_port_create(ports->world.unit, &port);
            if (status != CIOMMU_OK && status != CIOMMU_NO_PORT) {
                crowd_report(member->run, "no port: %s", ciommu_status_text(status));
            }
        }
        uint32_t sections = (uint32_t)(choice >> 16) % SECTIONS_MOST;
        for (uint32_t section = 0; section < sections && port != NULL; section++) {
            use_port(member, port);
        }
        if (choice % 2 == 0) {
            port = exchange_port(ports, place, port);
        }
        if (ciommu_port_destroy(port) != CIOMMU_OK) {
            crowd_report(member->run, "a port outside a section could not be destroyed");
        }
    } while (crowd_goes_on(member->run));
}

static uint64_t change_pages(struct crowd_run *run, void *context) {
    struct ports_world *ports = context;
    uint64_t random = run->options->seed | 1;
    uint64_t changes = 0;
    for (; crowd_has_time(run); changes++) {
        uint64_t choice = probe_random(&random);
        enum ciommu_status status =
            world_change(&ports->world, (uint32_t)(choice >> 32) % ports->world.pages, choice);
        if (status != CIOMMU_OK) {
            crowd_report(run, "a change answered: %s", ciommu_status_text(status));
        }
        if (choice >> 62 == 0) {
            probe_nap(20000);
        }
    }
    return changes;
}

/* Every translation is counted; half of the ports left are destroyed, the unit takes the others. */
static void check_statistics(struct crowd_run *run, struct ports_world *ports) {
    uint32_t left = 0;
    for (uint32_t place = 0; place < SHELF; place++) {
        if (place % 2 == 0) {
            (void)ciommu_port_destroy(ports->shelf[place]);
        } else {
            left += ports->shelf[place] != NULL;
        }
    }
    struct ciommu_unit_config config;
    ciommu_unit_config_init(&config);
    struct ciommu_statistics statistics = {.size = sizeof statistics};
    ciommu_unit_statistics(ports->world.unit, &statistics);
    if (statistics.lookups != run->operations) {
        crowd_report(run, "%llu translations, %llu in the statistics",
                     (unsigned long long)run->operations, (unsigned long long)statistics.lookups);
    }
    if (statistics.ports != config.pool_ports + left) {
        crowd_report(run, "%u ports in the statistics, %u exist", statistics.ports,
                     config.pool_ports + left);
    }
}

int probe_ports_trial(const struct probe_trial *trial, const struct probe_trial_options *options,
                      struct probe_trial_result *result) {
    struct crowd_run run;
    crowd_begin(&run, trial, options);
    const struct probe_options world = {
        .world = PROBE_PAGES,
        .iotlb_entries = run.settings->iotlb_entries,
        .first_level_entries = run.settings->first_level_entries,
        .walk_cache_entries = run.settings->walk_cache_entries,
        .portable = run.settings->portable,
    };
    struct ports_world *ports = calloc(1, sizeof *ports);
    uint64_t changes = 0;
    int status = ports == NULL ? (int)CIOMMU_NO_MEMORY : world_create(&ports->world, &world);
    if (status == CIOMMU_OK) {
        pthread_mutex_init(&ports->lock, NULL);
        changes = crowd_race(&run, crowd_size(&run), come_and_go, change_pages, ports);
        check_statistics(&run, ports);
        pthread_mutex_destroy(&ports->lock);
        world_destroy(&ports->world);
    }
    free(ports);
    crowd_finish(&run, changes, result);
    return status;
}
