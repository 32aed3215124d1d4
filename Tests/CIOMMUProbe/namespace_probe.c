/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * namespace_probe.c - PASID namespaces beside plain arrays, and without memory.
 */
#include "probe.h"
#include "alloc.h"
#include "namespace.h"

#include <stdlib.h>
#include <string.h>

static uint64_t next_random(uint64_t *state) {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state >> 11;
}

static bool make_unit(struct ciommu_memory **memory, struct ciommu_unit **unit) {
    struct ciommu_unit_config config;
    ciommu_unit_config_init(&config);
    config.iotlb_entries = 0;
    config.pool_ports = 1;
    *memory = NULL;
    *unit = NULL;
    return ciommu_memory_create(memory) == CIOMMU_OK &&
           ciommu_unit_create(&config, *memory, unit) == CIOMMU_OK;
}

static void end_unit(struct ciommu_memory *memory, struct ciommu_unit *unit) {
    (void)ciommu_unit_destroy(unit);
    (void)ciommu_memory_destroy(memory);
}

/* ---- Beside arrays ---- */

#define GUESTS 4096u /* guest PASIDs in use: these, scattered over all 2^20 */

struct compared {
    struct ciommu_namespace *space;
    uint32_t first;
    uint32_t last;
    uint32_t bound;
    uint32_t *host_of;  /* by guest number */
    uint32_t *guest_of; /* guest PASID by host PASID - first */
    uint64_t random;
    uint64_t errors;
};

static uint32_t guest_pasid(uint32_t number) {
    return number * 257 & PASID_LAST;
}

static void bind_one(struct compared *compared, uint32_t number) {
    uint64_t random = next_random(&compared->random);
    uint32_t count = compared->last - compared->first + 1;
    bool any = random % 4 != 0;
    uint32_t wanted = compared->first + (uint32_t)(random >> 8) % count;
    uint32_t host = any ? CIOMMU_NO_PASID : wanted;
    enum ciommu_status status = ciommu_namespace_bind(compared->space, guest_pasid(number), &host);
    enum ciommu_status expected = CIOMMU_OK;
    if (compared->host_of[number] != CIOMMU_NO_PASID ||
        (!any && compared->guest_of[wanted - compared->first] != CIOMMU_NO_PASID)) {
        expected = CIOMMU_OCCUPIED;
    } else if (any && compared->bound == count) {
        expected = CIOMMU_NO_SPACE;
    }
    compared->errors += status != expected;
    compared->errors += !any && host != wanted;
    if (status != CIOMMU_OK) {
        compared->errors += any && host != CIOMMU_NO_PASID;
        return;
    }
    if (host < compared->first || host > compared->last ||
        compared->guest_of[host - compared->first] != CIOMMU_NO_PASID) {
        compared->errors++;
        return;
    }
    compared->host_of[number] = host;
    compared->guest_of[host - compared->first] = guest_pasid(number);
    compared->bound++;
}

static void unbind_one(struct compared *compared, uint32_t number) {
    enum ciommu_status status = ciommu_namespace_unbind(compared->space, NULL, guest_pasid(number));
    uint32_t host = compared->host_of[number];
    compared->errors += status != (host == CIOMMU_NO_PASID ? CIOMMU_NOT_FOUND : CIOMMU_OK);
    if (host != CIOMMU_NO_PASID) {
        compared->host_of[number] = CIOMMU_NO_PASID;
        compared->guest_of[host - compared->first] = CIOMMU_NO_PASID;
        compared->bound--;
    }
}

static void check_all(struct compared *compared) {
    uint32_t bound = 0;
    for (uint32_t number = 0; number < GUESTS; number++) {
        bound += compared->host_of[number] != CIOMMU_NO_PASID;
        compared->errors += ciommu_namespace_host(compared->space, guest_pasid(number)) !=
                            compared->host_of[number];
    }
    for (uint32_t host = compared->first; host <= compared->last; host++) {
        compared->errors += ciommu_namespace_guest(compared->space, host) !=
                            compared->guest_of[host - compared->first];
    }
    uint32_t listed = 0;
    for (uint32_t guest = ciommu_namespace_next(compared->space, 0); guest != CIOMMU_NO_PASID;
         guest = ciommu_namespace_next(compared->space, guest + 1)) {
        compared->errors += ciommu_namespace_host(compared->space, guest) == CIOMMU_NO_PASID;
        listed++;
    }
    compared->errors += listed != bound || bound != compared->bound;
    compared->errors += compared->space->pool.taken != bound;
    compared->errors += compared->space->hosts.count != bound;
    compared->errors += compared->space->guests.count != bound;
    compared->errors += (compared->space->quarantine.ring == NULL) != (bound == 0);
}

uint64_t probe_namespace_errors(uint64_t seed, uint32_t first, uint32_t last, uint32_t steps) {
    struct ciommu_memory *memory;
    struct ciommu_unit *unit;
    uint32_t hosts = last - first + 1;
    struct compared compared = {.first = first, .last = last, .random = seed * 2 + 1};
    compared.host_of = malloc(GUESTS * sizeof(uint32_t));
    compared.guest_of = malloc(hosts * sizeof(uint32_t));
    if (compared.host_of == NULL || compared.guest_of == NULL || !make_unit(&memory, &unit) ||
        ciommu_namespace_create(unit, first, last, &compared.space) != CIOMMU_OK) {
        return UINT64_MAX;
    }
    memset(compared.host_of, 0xff, GUESTS * sizeof(uint32_t));
    memset(compared.guest_of, 0xff, hosts * sizeof(uint32_t));
    check_all(&compared);
    for (uint32_t count = 0; count < steps; count++) {
        uint32_t number = (uint32_t)next_random(&compared.random) % GUESTS;
        bool fills = count / 16384 % 2 == 0; /* first it fills up, then it empties, and again */
        if (next_random(&compared.random) % 4 < (fills ? 3u : 1u)) {
            bind_one(&compared, number);
        } else {
            unbind_one(&compared, number);
        }
        if (count % 2048 == 0) {
            check_all(&compared);
        }
    }
    for (uint32_t number = 0; number < GUESTS; number++) {
        unbind_one(&compared, number);
    }
    check_all(&compared);
    ciommu_namespace_destroy(compared.space);
    end_unit(memory, unit);
    free(compared.host_of);
    free(compared.guest_of);
    return compared.errors;
}

/* ---- Without memory ---- */

#ifdef CIOMMU_INTERNAL_CHECKS
#define PAIRS 40u /* more than a quarantine's first room, in many blocks of the tables */

static uint32_t guest_of_pair(uint32_t pair) {
    return pair % 5 << PASID_BLOCK_LG2 | pair;
}

/* Binds what can be bound and unbinds it, with every section left open on purpose, so that all of
 * it passes through the quarantine. */
static uint64_t live_once(struct ciommu_unit *unit, struct ciommu_port *port,
                          struct ciommu_port *idle, bool *whole) {
    struct ciommu_namespace *space = NULL;
    enum ciommu_status status = ciommu_namespace_create(unit, 100, 5000, &space);
    uint64_t errors = status != CIOMMU_OK && status != CIOMMU_NO_MEMORY;
    *whole = status == CIOMMU_OK;
    if (space == NULL) {
        return errors + (unit->namespaces != NULL);
    }
    for (uint32_t pair = 0; pair < PAIRS; pair++) {
        uint32_t host = pair % 3 == 0 ? 100 + 100 * pair : CIOMMU_NO_PASID;
        uint32_t asked = host;
        status = ciommu_namespace_bind(space, guest_of_pair(pair), &host);
        errors += status != CIOMMU_OK && status != CIOMMU_NO_MEMORY;
        *whole = *whole && status == CIOMMU_OK;
        uint32_t found = ciommu_namespace_host(space, guest_of_pair(pair));
        errors += status == CIOMMU_OK ? found != host || host == CIOMMU_NO_PASID
                                      : found != CIOMMU_NO_PASID || host != asked;
    }
    ciommu_port_enter(port);
    for (uint32_t pair = 0; pair < PAIRS; pair++) { /* needs no memory */
        bool bound = ciommu_namespace_host(space, guest_of_pair(pair)) != CIOMMU_NO_PASID;
        status = ciommu_namespace_unbind(space, idle, guest_of_pair(pair));
        errors += status != (bound ? CIOMMU_TIMED_OUT : CIOMMU_NOT_FOUND);
    }
    errors += space->hosts.count != 0 || space->guests.count != 0;
    errors += space->hosts.directory != NULL || space->guests.directory != NULL;
    errors += space->quarantine.count != space->pool.taken;
    ciommu_port_leave(port);
    errors += ciommu_namespace_unbind(space, NULL, 0) != CIOMMU_NOT_FOUND;
    errors += space->pool.taken != 0 || space->quarantine.ring != NULL;
    ciommu_namespace_destroy(space);
    return errors;
}
#endif

uint64_t probe_namespace_failure_errors(uint32_t *lives) {
    uint64_t errors = UINT64_MAX;
    *lives = 0;
#ifdef CIOMMU_INTERNAL_CHECKS
    struct ciommu_unit_config config;
    ciommu_unit_config_init(&config);
    config.drain_timeout = 0;
    struct ciommu_memory *memory = NULL;
    struct ciommu_unit *unit = NULL;
    struct ciommu_port *port = NULL;
    struct ciommu_port *idle = NULL;
    if (ciommu_memory_create(&memory) != CIOMMU_OK ||
        ciommu_unit_create(&config, memory, &unit) != CIOMMU_OK ||
        ciommu_port_create(unit, &port) != CIOMMU_OK ||
        ciommu_port_create(unit, &idle) != CIOMMU_OK) {
        return errors;
    }
    bool whole = false;
    for (errors = 0; !whole && *lives < 1000; ++*lives) {
        __atomic_store_n(&ciommu_allocations_left, (int)*lives, __ATOMIC_RELAXED);
        errors += live_once(unit, port, idle, &whole);
    }
    __atomic_store_n(&ciommu_allocations_left, -1, __ATOMIC_RELAXED);
    (void)ciommu_port_destroy(port);
    (void)ciommu_port_destroy(idle);
    end_unit(memory, unit);
#endif
    return errors;
}
