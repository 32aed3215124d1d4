/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * poison_unmapped.c - regions of memory that leave the memory map, and then the process, beside
 * threads that read their data and walk the leaf tables that lie in them. A use of memory that is
 * gone raises SIGSEGV; the handler counts it and puts a page of zeros there, so that the run can
 * end in order and say what happened.
 */
#define _GNU_SOURCE
#include "crowd_run.h"
#include "atomics.h"
#include "poison_tables.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define REGIONS 6u
#define PLACES 2u /* of a region in the process: a new one is elsewhere */
#define REGION_BYTES UINT64_C(0x10000)
#define PAGES 8u /* with data; the page before them is the leaf table */
#define SOURCE 0x10u
#define DOMAIN 3u
#define OUTPUT (UINT64_C(1) << 30)
#define SPACING (UINT64_C(1) << 21) /* of regions, in input and output addresses */
#define IOVA (UINT64_C(8) << 30)
#define RAM_BYTES UINT64_C(0x20000)
#define HISTORY 256u
#define LOOKS 3u

struct region {
    uint32_t place; /* where it is, or was last */
    uint64_t incarnation;
    uint64_t started;
    uint64_t finished;
    uint64_t states[HISTORY]; /* incarnation after the n-th change; 0 = absent */
};

struct world {
    struct crowd_run *run;
    struct ciommu_memory *memory;
    struct ciommu_unit *unit;
    struct guest_ram ram;
    struct guest_tree tree;
    struct region regions[REGIONS];
    uint64_t incarnations;
    uint64_t unjudged; /* reads beside more changes than a history holds */
    struct sigaction before;
};

/* What the handler needs; one trial at a time. */
static unsigned char *area;
static uint64_t signals;
static uint64_t signal_offset; /* of the first one in the area */

#define AREA_BYTES (REGIONS * PLACES * REGION_BYTES)

static void note_signal(int number, siginfo_t *info, void *context) {
    (void)context;
    uintptr_t offset = (uintptr_t)info->si_addr - (uintptr_t)area;
    unsigned char *page = area + (offset & ~(uintptr_t)(TABLE_PAGE - 1));
    if (offset >= AREA_BYTES || mmap(page, TABLE_PAGE, PROT_READ | PROT_WRITE,
                                     MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) != page) {
        (void)signal(number, SIG_DFL); /* not ours: it happens again, and ends the process */
        return;
    }
    if (__atomic_fetch_add(&signals, 1, __ATOMIC_RELAXED) == 0) {
        __atomic_store_n(&signal_offset, offset, __ATOMIC_RELAXED);
    }
}

static void catch_signals(struct world *world) {
    struct sigaction action;
    memset(&action, 0, sizeof action);
    action.sa_sigaction = note_signal;
    action.sa_flags = SA_SIGINFO | SA_NODEFER;
    (void)sigemptyset(&action.sa_mask);
    (void)sigaction(SIGSEGV, &action, &world->before);
}

/* ---- Regions ---- */

static unsigned char *place_of(uint32_t region, uint32_t place) {
    return area + (region * PLACES + place) * REGION_BYTES;
}

static uint64_t output_of(uint32_t region) {
    return OUTPUT + region * SPACING;
}

static uint64_t stamp(uint32_t region, uint32_t page, uint64_t incarnation) {
    return UINT64_C(0x5eed000000000000) | (uint64_t)region << 40 | (uint64_t)page << 32 |
           incarnation;
}

static bool map_in(uint32_t region, uint32_t place, bool there) {
    void *wanted = place_of(region, place);
    return mmap(wanted, REGION_BYTES, there ? PROT_READ | PROT_WRITE : PROT_NONE,
                MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_NORESERVE, -1, 0) == wanted;
}

/* Maps the region's place into the process: leaf table and data. */
static bool fill_place(struct world *world, uint32_t region, uint32_t place, uint64_t incarnation) {
    if (!map_in(region, place, true)) {
        return false;
    }
    unsigned char *host = place_of(region, place);
    for (uint32_t page = 0; page < PAGES; page++) {
        uint64_t output = output_of(region) + (page + 1) * TABLE_PAGE;
        ((uint64_t *)(void *)host)[page] = guest_leaf(&world->tree, output, 12);
        *(uint64_t *)(void *)(host + (page + 1) * TABLE_PAGE) = stamp(region, page, incarnation);
    }
    return true;
}

static struct ciommu_memory_range range_of(uint32_t region, uint32_t place) {
    return (struct ciommu_memory_range){.size = sizeof(struct ciommu_memory_range),
                                        .rights = CIOMMU_READ | CIOMMU_WRITE,
                                        .address = output_of(region),
                                        .length = REGION_BYTES,
                                        .host = place_of(region, place)};
}

static void begin_change(struct region *region, uint64_t incarnation) {
    uint64_t next = region->started + 1;
    __atomic_store_n(&region->states[next % HISTORY], incarnation, __ATOMIC_RELAXED);
    __atomic_store_n(&region->started, next, __ATOMIC_SEQ_CST);
    region->incarnation = incarnation;
}

static void end_change(struct region *region) {
    __atomic_store_n(&region->finished, region->started, __ATOMIC_SEQ_CST);
}

/* Removes a region that is there, or replaces it, or adds one that is not. */
static enum ciommu_status change_region(struct world *world, uint32_t number, uint64_t random) {
    struct region *region = &world->regions[number];
    bool was_there = region->incarnation != 0;
    uint32_t old = region->place;
    if (was_there && random % 2 == 0) {
        begin_change(region, 0);
        enum ciommu_status status =
            ciommu_memory_remove(world->memory, output_of(number), REGION_BYTES);
        end_change(region);
        if (status == CIOMMU_OK && !map_in(number, old, false)) {
            return CIOMMU_NO_MEMORY;
        }
        return status;
    }
    region->place = old ^ 1;
    uint64_t incarnation = __atomic_add_fetch(&world->incarnations, 1, __ATOMIC_SEQ_CST);
    if (!fill_place(world, number, region->place, incarnation)) {
        return CIOMMU_NO_MEMORY;
    }
    struct ciommu_memory_range range = range_of(number, region->place);
    begin_change(region, incarnation);
    enum ciommu_status status = was_there ? ciommu_memory_replace(world->memory, &range)
                                          : ciommu_memory_add(world->memory, &range);
    end_change(region);
    if (status == CIOMMU_OK && was_there && !map_in(number, old, false)) {
        return CIOMMU_NO_MEMORY;
    }
    return status;
}

/* ---- Life ---- */

static enum ciommu_status build(struct world *world) {
    struct ciommu_unit_config config;
    crowd_unit_config(world->run, &config);
    struct ciommu_memory_range ram = {.size = sizeof ram,
                                      .rights = CIOMMU_READ | CIOMMU_WRITE,
                                      .length = RAM_BYTES,
                                      .host = world->ram.host};
    world->tree = guest_tree_make(&world->ram, 4, SECOND_FLAGS);
    for (uint32_t region = 0; region < REGIONS; region++) {
        uint64_t iova = IOVA + region * SPACING;
        guest_write(&world->ram, guest_slot(&world->ram, &world->tree, iova, 1),
                    output_of(region) | SECOND_FLAGS);
    }
    uint64_t entry;
    uint64_t rtaddr =
        guest_legacy(&world->ram, SOURCE, DOMAIN, LEGACY_UNTRANSLATED, &world->tree, &entry);
    enum ciommu_status status = ciommu_memory_create(&world->memory);
    status = status != CIOMMU_OK ? status : ciommu_memory_add(world->memory, &ram);
    status =
        status != CIOMMU_OK ? status : ciommu_unit_create(&config, world->memory, &world->unit);
    status = status != CIOMMU_OK ? status : ciommu_unit_set_root(world->unit, rtaddr);
    status = status != CIOMMU_OK ? status : ciommu_unit_set_translation(world->unit, true);
    for (uint32_t region = 0; region < REGIONS && status == CIOMMU_OK; region++) {
        status = change_region(world, region, 1);
    }
    return status;
}

static enum ciommu_status create(struct world *world) {
    area = mmap(NULL, AREA_BYTES, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    signals = 0;
    signal_offset = 0;
    if (area == MAP_FAILED || !guest_ram_init(&world->ram, RAM_BYTES)) {
        return CIOMMU_NO_MEMORY;
    }
    return build(world);
}

static void destroy(struct world *world) {
    (void)ciommu_unit_destroy(world->unit);
    (void)ciommu_memory_destroy(world->memory);
    guest_ram_fini(&world->ram);
    if (area != MAP_FAILED) {
        (void)munmap(area, AREA_BYTES);
    }
    area = NULL;
}

/* ---- Readers ---- */

/* Is it a stamp of this page, of whatever time? Of memory that is gone it is none. */
static bool is_known(const struct world *world, uint32_t number, uint32_t page, uint64_t seen) {
    uint64_t incarnation = seen ^ stamp(number, page, 0);
    return incarnation != 0 &&
           incarnation <= __atomic_load_n(&world->incarnations, __ATOMIC_SEQ_CST);
}

/* Does some state between the two changes explain what was seen (NULL = nothing)? */
static bool is_right(const struct region *region, uint32_t number, uint32_t page, uint64_t done,
                     uint64_t started, const uint64_t *seen) {
    for (uint64_t at = done; at <= started; at++) {
        uint64_t state = __atomic_load_n(&region->states[at % HISTORY], __ATOMIC_RELAXED);
        if (seen == NULL ? state == 0 : state != 0 && *seen == stamp(number, page, state)) {
            return true;
        }
    }
    return false;
}

/* A reader that slept between its look at `finished` and its section may have missed more changes
 * than the history holds. Then what it read must at least be known. */
static bool judge(struct world *world, uint32_t number, uint32_t page, uint64_t done,
                  uint64_t started, const uint64_t *seen) {
    if (started - done < HISTORY / 2) {
        return is_right(&world->regions[number], number, page, done, started, seen);
    }
    (void)__atomic_fetch_add(&world->unjudged, 1, __ATOMIC_RELAXED);
    return seen == NULL || is_known(world, number, page, *seen);
}

static void read_once(struct crowd_member *member, struct ciommu_port *port) {
    struct world *world = member->context;
    uint64_t choice = probe_random(&member->random) >> 8;
    uint32_t number = (uint32_t)choice % REGIONS;
    uint32_t page = (uint32_t)(choice >> 8) % PAGES;
    uint32_t flags = (choice >> 16) % 16 == 0 ? CIOMMU_NO_CACHE : 0;
    struct region *region = &world->regions[number];
    struct ciommu_result result = {.size = sizeof result, .outcome = CIOMMU_FAULT};
    uint64_t seen[LOOKS] = {0};
    uint64_t before = __atomic_load_n(&signals, __ATOMIC_RELAXED);
    uint64_t done = __atomic_load_n(&region->finished, __ATOMIC_SEQ_CST);
    ciommu_port_enter(port);
    (void)ciommu_translate(world->unit, port, SOURCE, CIOMMU_NO_PASID,
                           IOVA + number * SPACING + page * TABLE_PAGE, CIOMMU_READ,
                           flags | CIOMMU_NO_FAULT, &result);
    bool there = result.outcome == CIOMMU_TRANSLATED_OK && result.host != NULL;
    for (uint32_t look = 0; look < LOOKS && there; look++) {
        seen[look] = *(volatile uint64_t *)(void *)result.host;
        cpu_relax();
    }
    /* While the section lasts, a change that begins does not finish: the history stands still. */
    uint64_t started = __atomic_load_n(&region->started, __ATOMIC_SEQ_CST);
    uint32_t wrong = 0;
    while (wrong < LOOKS &&
           judge(world, number, page, done, started, there ? &seen[wrong] : NULL)) {
        wrong++;
    }
    ciommu_port_leave(port);
    if (__atomic_load_n(&signals, __ATOMIC_RELAXED) != before) {
        crowd_report(member->run, "memory that is gone was used, at offset %llx of the regions",
                     (unsigned long long)__atomic_load_n(&signal_offset, __ATOMIC_RELAXED));
    }
    if (wrong < LOOKS) {
        crowd_report(member->run,
                     "region %u page %u, outcome %u fault %x read %llx, changes finished %llu, "
                     "begun %llu",
                     number, page, result.outcome, result.fault.code,
                     (unsigned long long)seen[wrong], (unsigned long long)done,
                     (unsigned long long)started);
    }
}

static void read_regions(struct crowd_member *member) {
    struct world *world = member->context;
    struct ciommu_port *port = NULL;
    if (ciommu_port_create(world->unit, &port) != CIOMMU_OK) {
        crowd_report(member->run, "no port");
        return;
    }
    do {
        read_once(member, port);
        member->operations++;
    } while (crowd_goes_on(member->run));
    (void)ciommu_port_destroy(port);
}

static uint64_t change_regions(struct crowd_run *run, void *context) {
    struct world *world = context;
    uint64_t random = run->options->seed | 1;
    uint64_t changes = 0;
    for (; crowd_has_time(run); changes++) {
        uint64_t choice = probe_random(&random) >> 8;
        enum ciommu_status status = change_region(world, (uint32_t)choice % REGIONS, choice >> 8);
        if (status != CIOMMU_OK) {
            crowd_report(run, "a change answered: %s", ciommu_status_text(status));
        }
        if (choice >> 52 == 0) {
            probe_nap(20000);
        }
    }
    return changes;
}

int probe_unmapped_trial(const struct probe_trial *trial, const struct probe_trial_options *options,
                         struct probe_trial_result *result) {
    struct crowd_run run;
    crowd_begin(&run, trial, options);
    struct world *world = calloc(1, sizeof *world);
    uint64_t changes = 0;
    int status = CIOMMU_NO_MEMORY;
    if (world != NULL) {
        world->run = &run;
        status = create(world);
        catch_signals(world);
        if (status == CIOMMU_OK) {
            changes = crowd_race(&run, crowd_size(&run), read_regions, change_regions, world);
        }
        if (signals != 0 && run.violations == 0) {
            crowd_report(&run, "memory that is gone was used");
        }
        if (world->unjudged > run.operations * LOOKS / 2) {
            crowd_report(&run, "%llu of %llu looks could not be judged",
                         (unsigned long long)world->unjudged,
                         (unsigned long long)run.operations * LOOKS);
        }
        destroy(world);
        (void)sigaction(SIGSEGV, &world->before, NULL);
    }
    free(world);
    crowd_finish(&run, changes, result);
    return status;
}
