/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * section_world.c - see section_world.h.
 */
#define _GNU_SOURCE
#include "section_world.h"

#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TIMEOUT UINT64_C(5000000) /* a section that is open stays so, however long this takes */

void section_expect(struct probe_section_result *result, bool fine, const char *what,
                    const char *file, int line) {
    if (fine) {
        return;
    }
    if (result->failures++ == 0) {
        const char *name = strrchr(file, '/');
        (void)snprintf(result->first, sizeof result->first, "%s:%d: %s",
                       name == NULL ? file : name + 1, line, what);
    }
}

/* ---- Life ---- */

static enum ciommu_status add_range(struct section_world *world, uint64_t address, uint64_t length,
                                    void *host) {
    struct ciommu_memory_range range = {.size = sizeof range,
                                        .rights = SECTION_RW,
                                        .address = address,
                                        .length = length,
                                        .host = host};
    return ciommu_memory_add(world->memory, &range);
}

static enum ciommu_status build_guest(struct section_world *world) {
    uint64_t entry;
    world->tree = guest_tree_make(&world->ram, 3, SECOND_FLAGS);
    for (uint64_t page = 0; page < 2; page++) {
        guest_map(&world->ram, &world->tree, SECTION_IOVA + page * TABLE_PAGE,
                  SECTION_DATA + page * TABLE_PAGE, 12);
    }
    uint64_t rtaddr = guest_legacy(&world->ram, SECTION_SOURCE, SECTION_DOMAIN, LEGACY_UNTRANSLATED,
                                   &world->tree, &entry);
    enum ciommu_status status = ciommu_unit_set_root(world->unit, rtaddr);
    return status != CIOMMU_OK ? status : ciommu_unit_set_translation(world->unit, true);
}

static enum ciommu_status build_host(struct section_world *world) {
    struct ciommu_paging_config config;
    ciommu_paging_config_init(&config);
    config.flags = CIOMMU_PAGING_DIRTY_TRACKING;
    struct ciommu_mapping mapping = {.size = sizeof mapping,
                                     .rights = SECTION_RW,
                                     .iova = SECTION_IOVA,
                                     .length = SECTION_DATA_BYTES,
                                     .address = SECTION_DATA};
    struct ciommu_device_config device = {
        .size = sizeof device, .source = SECTION_HOST_SOURCE, .id = 1, .share = CIOMMU_SHARE_WHOLE};
    enum ciommu_status status = ciommu_paging_create(world->unit, &config, &world->domain);
    status =
        status != CIOMMU_OK ? status : ciommu_paging_create(world->unit, &config, &world->other);
    status = status != CIOMMU_OK ? status : ciommu_domain_map(world->domain, &mapping);
    status = status != CIOMMU_OK ? status
                                 : ciommu_device_create(world->unit, NULL, &device, &world->device);
    status = status != CIOMMU_OK
                 ? status
                 : ciommu_device_attach(world->device, CIOMMU_NO_PASID, world->domain);
    return status != CIOMMU_OK ? status
                               : ciommu_device_attach(world->device, SECTION_PASID, world->domain);
}

bool section_world_create(struct section_world *world, uint64_t drain_timeout) {
    struct probe_section_result *result = world->result;
    memset(world, 0, sizeof *world);
    world->result = result;
    (void)sem_init(&world->stopped, 0, 0);
    (void)sem_init(&world->released, 0, 0);
    world->data = aligned_alloc(TABLE_PAGE, SECTION_DATA_BYTES);
    if (world->data == NULL || !guest_ram_init(&world->ram, SECTION_TABLES)) {
        return false;
    }
    memset(world->data, 0, SECTION_DATA_BYTES);
    *(uint64_t *)(void *)world->data = SECTION_STAMP;
    section_mark_foreign(world);
    struct ciommu_unit_config config;
    ciommu_unit_config_init(&config);
    config.iotlb_entries = 64;
    config.drain_timeout = drain_timeout;
    enum ciommu_status status = ciommu_memory_create(&world->memory);
    status = status != CIOMMU_OK ? status : add_range(world, 0, SECTION_TABLES, world->ram.host);
    status = status != CIOMMU_OK ? status
                                 : add_range(world, SECTION_DATA, SECTION_DATA_BYTES, world->data);
    status =
        status != CIOMMU_OK ? status : ciommu_unit_create(&config, world->memory, &world->unit);
    status = status != CIOMMU_OK ? status : build_guest(world);
    status = status != CIOMMU_OK ? status : build_host(world);
    status = status != CIOMMU_OK ? status : ciommu_port_create(world->unit, &world->caller);
    status = status != CIOMMU_OK ? status : ciommu_port_create(world->unit, &world->port);
    return status == CIOMMU_OK;
}

void section_world_destroy(struct section_world *world) {
    section_give_back(world);
    EXPECT(world, ciommu_device_destroy(world->device, NULL) == CIOMMU_OK);
    EXPECT(world, ciommu_domain_destroy(world->domain) == CIOMMU_OK);
    EXPECT(world, ciommu_domain_destroy(world->other) == CIOMMU_OK);
    EXPECT(world, ciommu_unit_destroy(world->unit) == CIOMMU_OK);
    EXPECT(world, ciommu_memory_destroy(world->memory) == CIOMMU_OK);
    guest_ram_fini(&world->ram);
    free(world->data);
    (void)sem_destroy(&world->stopped);
    (void)sem_destroy(&world->released);
}

/* ---- The thread ---- */

static void wait_for(sem_t *semaphore) {
    while (sem_wait(semaphore) != 0 && errno == EINTR) {
    }
}

static void *stop_there(void *argument) {
    struct section_world *world = argument;
    world->found = (struct ciommu_result){.size = sizeof world->found};
    ciommu_port_enter(world->port);
    (void)ciommu_translate(world->unit, world->port, world->source, CIOMMU_NO_PASID, SECTION_IOVA,
                           CIOMMU_READ, CIOMMU_NO_FAULT, &world->found);
    if (!world->inside) {
        ciommu_port_leave(world->port);
    }
    (void)sem_post(&world->stopped);
    if (world->manner == SECTION_ASLEEP) {
        wait_for(&world->released);
    }
    /* Not in a call that blocks: ThreadSanitizer takes it ill if one never returns. */
    while (world->manner == SECTION_CANCELLED) {
        pthread_testcancel();
        (void)sched_yield();
    }
    while (world->manner == SECTION_BUSY && __atomic_load_n(&world->spin, __ATOMIC_ACQUIRE) != 0) {
    }
    return NULL;
}

void section_stop(struct section_world *world, bool inside, enum section_manner manner,
                  uint32_t source) {
    world->inside = inside;
    world->manner = manner;
    world->source = source;
    world->spin = 1;
    EXPECT(world, pthread_create(&world->thread, NULL, stop_there, world) == 0);
    wait_for(&world->stopped);
    if (manner == SECTION_CANCELLED) {
        EXPECT(world, pthread_cancel(world->thread) == 0);
    }
    if (manner == SECTION_CANCELLED || manner == SECTION_EXITED) {
        EXPECT(world, pthread_join(world->thread, NULL) == 0);
    }
    EXPECT(world, world->found.outcome == CIOMMU_TRANSLATED_OK);
}

void section_release(struct section_world *world) {
    if (world->manner == SECTION_ASLEEP) {
        (void)sem_post(&world->released);
    }
    __atomic_store_n(&world->spin, 0, __ATOMIC_RELEASE);
    if (world->manner == SECTION_ASLEEP || world->manner == SECTION_BUSY) {
        EXPECT(world, pthread_join(world->thread, NULL) == 0);
    }
    if (world->inside) {
        EXPECT(world, section_holds(world));
        ciommu_port_leave(world->port); /* the port has moved to this thread */
    }
    world->inside = false;
}

/* ---- For the cases ---- */

enum ciommu_status section_invalidate(struct section_world *world,
                                      struct ciommu_descriptor_result *out) {
    const uint64_t words[2] = {2 | 3 << 4 | (uint64_t)SECTION_DOMAIN << 16, SECTION_IOVA};
    *out = (struct ciommu_descriptor_result){.size = sizeof *out};
    return ciommu_invalidate_descriptor(world->unit, world->caller, words, false, out);
}

uint64_t section_waits(struct section_world *world) {
    struct ciommu_invalidation_statistics statistics = {.size = sizeof statistics};
    ciommu_unit_invalidation_statistics(world->unit, &statistics);
    uint64_t sum = 0;
    for (uint32_t time = 0; time < sizeof statistics.drain_times / sizeof(uint64_t); time++) {
        sum += statistics.drain_times[time];
    }
    return sum;
}

static const struct section_named_case *case_at(uint32_t number) {
    static const struct section_named_case *const lists[] = {
        section_thread_cases, section_call_cases, section_reuse_cases};
    for (uint32_t list = 0; list < sizeof lists / sizeof *lists; list++) {
        for (const struct section_named_case *at = lists[list]; at->name != NULL; at++) {
            if (number-- == 0) {
                return at;
            }
        }
    }
    return NULL;
}

uint32_t probe_section_count(void) {
    uint32_t count = 0;
    while (case_at(count) != NULL) {
        count++;
    }
    return count;
}

const char *probe_section_name(uint32_t number) {
    const struct section_named_case *found = case_at(number);
    return found == NULL ? "" : found->name;
}

void probe_section_case(uint32_t number, struct probe_section_result *result) {
    memset(result, 0, sizeof *result);
    const struct section_named_case *found = case_at(number);
    struct section_world world = {.result = result};
    if (found == NULL || !section_world_create(&world, TIMEOUT)) {
        section_expect(result, false, "there is such a case, and a world", __FILE__, __LINE__);
        return;
    }
    found->run(&world);
    section_world_destroy(&world);
}
