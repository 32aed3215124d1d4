/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * pasid_table_probe.c - PASID tables beside a plain array, and under threads.
 */
#define _GNU_SOURCE
#include "probe.h"
#include "alloc.h"
#include "pasid_table.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define PASIDS (PASID_LAST + 1)

static uint64_t next_random(uint64_t *state) {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state >> 11;
}

static void fail_allocations_after(int count) {
#ifdef CIOMMU_INTERNAL_CHECKS
    __atomic_store_n(&ciommu_allocations_left, count, __ATOMIC_RELAXED);
#else
    (void)count;
#endif
}

/* ---- Beside an array ---- */

struct compared {
    struct pasid_table table;
    struct deferrals deferrals;
    void **array; /* what each PASID should hold */
    uint64_t random;
    uint64_t errors;
    uint64_t refused;
};

struct range {
    uint32_t first;
    uint32_t last;
};

/* Edges of blocks are likely, and the far end of the space. */
static uint32_t random_pasid(struct compared *compared) {
    uint64_t random = next_random(&compared->random);
    uint32_t block = (uint32_t)(random >> 8 & 3) << PASID_BLOCK_LG2;
    switch (random & 3) {
    case 0:
        return block;
    case 1:
        return block | PASID_BLOCK_MASK;
    case 2:
        return block | (uint32_t)(random >> 16 & PASID_BLOCK_MASK);
    default:
        return PASID_LAST - (uint32_t)(random >> 16 & 2047);
    }
}

static struct range random_range(struct compared *compared) {
    uint32_t first = random_pasid(compared);
    uint32_t last = next_random(&compared->random) % 2 == 0 ? first : random_pasid(compared);
    struct range range = first <= last ? (struct range){first, last} : (struct range){last, first};
    if (range.last - range.first > 16 * PASID_BLOCK_MASK &&
        next_random(&compared->random) % 32 != 0) {
        range.last = range.first; /* everything between low and high PASIDs: not too often */
    }
    return range;
}

/* Lookups and counts in one block, and whether a table is there that nothing needs. */
static void check_block(struct compared *compared, uint32_t block, uint64_t *total) {
    const struct pasid_directory *directory = compared->table.directory;
    uintptr_t word = directory == NULL ? 0 : directory->blocks[block];
    uint64_t used = 0;
    for (uint32_t index = 0; index <= PASID_BLOCK_MASK; index++) {
        uint32_t pasid = block << PASID_BLOCK_LG2 | index;
        used += compared->array[pasid] != NULL;
        compared->errors += pasid_table_find(&compared->table, pasid) != compared->array[pasid];
    }
    bool is_leaf = word != 0 && (word & PASID_UNIFORM) == 0;
    compared->errors += (word == 0) != (used == 0);
    compared->errors += is_leaf && ((const struct pasid_leaf *)word)->node.used != used;
    *total += used;
}

static void check_all(struct compared *compared) {
    uint64_t total = 0;
    uint64_t blocks = 0;
    for (uint32_t block = 0; block < PASID_BLOCKS; block++) {
        uint64_t before = total;
        check_block(compared, block, &total);
        blocks += total != before;
    }
    const struct pasid_directory *directory = compared->table.directory;
    compared->errors += compared->table.count != total;
    compared->errors += (directory == NULL) != (total == 0);
    compared->errors += directory != NULL && directory->node.used != blocks;
    compared->errors += pasid_table_find(&compared->table, PASIDS) != NULL;
    compared->errors += pasid_table_find(&compared->table, CIOMMU_NO_PASID) != NULL;
}

/* The questions that writers ask. */
static void check_questions(struct compared *compared) {
    struct range range = random_range(compared);
    uint32_t expected = range.first;
    while (expected <= PASID_LAST && compared->array[expected] == NULL) {
        expected++;
    }
    uint32_t found = range.first;
    void *value = NULL;
    bool any = ciommu_pasid_table_next(&compared->table, &found, &value);
    compared->errors += any != (expected <= PASID_LAST);
    compared->errors += any && (found != expected || value != compared->array[found]);
    compared->errors += ciommu_pasid_table_is_clear(&compared->table, range.first, range.last) !=
                        (expected > range.last);
}

/* Does a clear of the range cut a uniform block? */
static bool cuts_uniform(const struct compared *compared, struct range range) {
    const struct pasid_directory *directory = compared->table.directory;
    const uint32_t edges[2] = {range.first, range.last};
    for (uint32_t edge = 0; directory != NULL && edge < 2; edge++) {
        uint32_t block = edges[edge] >> PASID_BLOCK_LG2;
        bool whole = range.first <= block << PASID_BLOCK_LG2 &&
                     range.last >= (block << PASID_BLOCK_LG2 | PASID_BLOCK_MASK);
        if ((directory->blocks[block] & PASID_UNIFORM) != 0 && !whole) {
            return true;
        }
    }
    return false;
}

/* A reservation that failed must leave every word as it was. */
static bool reserve(struct compared *compared, struct range range) {
    static uintptr_t before[PASID_BLOCKS];
    struct pasid_table table = compared->table;
    if (table.directory != NULL) {
        memcpy(before, table.directory->blocks, sizeof before);
    }
    if (next_random(&compared->random) % 2 == 0) {
        fail_allocations_after((int)(next_random(&compared->random) % 4));
    }
    enum ciommu_status status =
        ciommu_pasid_table_reserve(&compared->table, range.first, range.last);
    fail_allocations_after(-1);
    if (status == CIOMMU_OK) {
        return true;
    }
    compared->refused++;
    compared->errors += status != CIOMMU_NO_MEMORY;
    compared->errors += memcmp(&table, &compared->table, sizeof table) != 0;
    compared->errors +=
        table.directory != NULL && memcmp(before, table.directory->blocks, sizeof before) != 0;
    return false;
}

static void step(struct compared *compared) {
    uint64_t random = next_random(&compared->random);
    struct range range = random_range(compared);
    void *value = random % 8 < 3 ? NULL : (void *)(uintptr_t)(2 + 2 * (random >> 8 & 7));
    if (random >> 16 & 1023) {
        if ((value != NULL || cuts_uniform(compared, range)) && !reserve(compared, range)) {
            return;
        }
    } else { /* from time to time everything goes */
        range = (struct range){0, PASID_LAST};
        value = NULL;
    }
    if (random >> 32 & 7) {
        fail_allocations_after(0); /* a reservation is enough */
        if (range.first == range.last) {
            ciommu_pasid_table_set(&compared->table, range.first, value);
        } else {
            ciommu_pasid_table_fill(&compared->table, range.first, range.last, value);
        }
        fail_allocations_after(-1);
        for (uint32_t pasid = range.first; pasid <= range.last; pasid++) {
            compared->array[pasid] = value;
        }
    } else {
        ciommu_pasid_table_unreserve(&compared->table, range.first, range.last);
    }
    uint64_t ignored = 0;
    check_block(compared, range.first >> PASID_BLOCK_LG2, &ignored);
    check_block(compared, range.last >> PASID_BLOCK_LG2, &ignored);
}

uint64_t probe_pasid_table_errors(uint64_t seed, uint32_t steps, uint64_t *refused) {
    struct compared compared = {.random = seed * 2 + 1};
    compared.array = calloc(PASIDS, sizeof *compared.array);
    if (compared.array == NULL) {
        return UINT64_MAX;
    }
    ciommu_rcu_prepare();
    ciommu_pasid_table_init(&compared.table, &compared.deferrals);
    check_all(&compared);
    for (uint32_t count = 0; count < steps; count++) {
        step(&compared);
        if (count % 256 == 0) {
            check_all(&compared);
            check_questions(&compared);
        }
    }
    if (seed % 2 == 0) { /* it ends empty, or with what is in it */
        ciommu_pasid_table_fill(&compared.table, 0, PASID_LAST, NULL);
        memset(compared.array, 0, PASIDS * sizeof *compared.array);
    }
    check_all(&compared);
    ciommu_rcu_wait(&compared.deferrals);
    ciommu_pasid_table_fini(&compared.table);
    free(compared.array);
    *refused = compared.refused;
    return compared.errors;
}

/* ---- Under threads ----
 *
 * Blocks 0...2 always hold something, blocks 3...5 come and go. A value says in which half of the
 * six blocks it may be found. */

#define RACE_BLOCKS 6u
#define RACE_LAST ((RACE_BLOCKS << PASID_BLOCK_LG2) - 1)
#define RACE_HALF ((RACE_BLOCKS / 2) << PASID_BLOCK_LG2)

struct race {
    struct pasid_table table;
    struct deferrals deferrals;
    uint64_t seed;
    uint32_t stop;
    uint64_t errors;
    uint64_t lookups;
};

static void *value_of(uint32_t half, uint64_t random) {
    return (void *)(uintptr_t)(2 + 2 * half + 4 * (random & 255));
}

static void *look_up(void *argument) {
    struct race *race = argument;
    uint64_t random = race->seed * 4 + (uint64_t)(uintptr_t)&random + 1;
    uint64_t errors = 0;
    uint64_t lookups = 0;
    for (; __atomic_load_n(&race->stop, __ATOMIC_RELAXED) == 0; lookups++) {
        uint32_t pasid = (uint32_t)next_random(&random) % (RACE_LAST + 1);
        ciommu_rcu_lock();
        uintptr_t value = (uintptr_t)pasid_table_find(&race->table, pasid);
        ciommu_rcu_unlock();
        bool low = pasid < RACE_HALF;
        errors += value == 0 ? low : (value >> 1 & 1) != (low ? 1u : 0u);
    }
    (void)__atomic_fetch_add(&race->errors, errors, __ATOMIC_RELAXED);
    (void)__atomic_fetch_add(&race->lookups, lookups, __ATOMIC_RELAXED);
    return NULL;
}

static void change(struct race *race, uint64_t *random) {
    uint64_t choice = next_random(random);
    uint32_t half = (uint32_t)(choice & 1);
    uint32_t base = half * RACE_HALF;
    uint32_t first = base + (uint32_t)(choice >> 8) % RACE_HALF;
    uint32_t last = first;
    if (choice >> 2 & 1) {
        first = base + ((first - base) & ~PASID_BLOCK_MASK); /* whole blocks, and more */
        last = base + RACE_HALF - 1 - (uint32_t)(choice >> 4 & 1) * 7;
    }
    void *value = half == 1 && (choice >> 3 & 1) ? NULL : value_of(half, choice >> 24);
    if (ciommu_pasid_table_reserve(&race->table, first, last) != CIOMMU_OK) {
        race->errors++;
        return;
    }
    ciommu_pasid_table_fill(&race->table, first, last, value);
}

static bool is_over(const struct timespec *end) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec > end->tv_sec || (now.tv_sec == end->tv_sec && now.tv_nsec >= end->tv_nsec);
}

uint64_t probe_pasid_table_race_errors(uint64_t seed, uint32_t milliseconds, uint64_t *lookups) {
    struct race race = {.seed = seed};
    struct timespec end;
    clock_gettime(CLOCK_MONOTONIC, &end);
    end.tv_sec += milliseconds / 1000;
    end.tv_nsec += (long)(milliseconds % 1000) * 1000000;
    end.tv_sec += end.tv_nsec / 1000000000;
    end.tv_nsec %= 1000000000;
    ciommu_rcu_prepare();
    ciommu_pasid_table_init(&race.table, &race.deferrals);
    if (ciommu_pasid_table_reserve(&race.table, 0, RACE_HALF - 1) != CIOMMU_OK) {
        return UINT64_MAX;
    }
    ciommu_pasid_table_fill(&race.table, 0, RACE_HALF - 1, value_of(0, 0));
    pthread_t threads[2];
    for (uint32_t index = 0; index < 2; index++) {
        pthread_create(&threads[index], NULL, look_up, &race);
    }
    uint64_t random = seed * 2 + 1;
    while (!is_over(&end)) {
        for (uint32_t count = 0; count < 16; count++) {
            change(&race, &random);
        }
    }
    __atomic_store_n(&race.stop, 1, __ATOMIC_RELAXED);
    for (uint32_t index = 0; index < 2; index++) {
        pthread_join(threads[index], NULL);
    }
    ciommu_rcu_wait(&race.deferrals);
    ciommu_pasid_table_fini(&race.table);
    *lookups = race.lookups;
    return race.errors;
}
