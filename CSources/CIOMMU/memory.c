/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * memory.c - building, publishing and searching memory maps. The protocol stands in memory.h.
 */
#include "memory.h"
#include "alloc.h"
#include "debug.h"

#include <string.h>

#define PAGE_MASK UINT64_C(4095)
#define HOST_ALIGNMENT 8u

static void free_map(struct rcu_head *head) {
    ciommu_rcu_callback_begins();
    struct memory_map *map = caa_container_of(head, struct memory_map, rcu);
    struct deferrals *deferrals = map->deferrals;
    ciommu_free(map);
    ciommu_rcu_callback_ends(deferrals);
}

static struct memory_map *map_allocate(uint32_t count) {
    struct memory_map *map =
        ciommu_allocate(CACHE_LINE, sizeof *map + count * sizeof map->ranges[0]);
    if (map != NULL) {
        map->count = count;
    }
    return map;
}

static void free_logs(struct memory_dirty_log *log) {
    for (struct memory_dirty_log *older; log != NULL; log = older) {
        older = log->older;
        ciommu_free(log);
    }
}

enum ciommu_status ciommu_memory_create(struct ciommu_memory **out) {
    if (out == NULL) {
        return CIOMMU_INVALID_ARGUMENT;
    }
    struct ciommu_memory *memory = ciommu_allocate(CACHE_LINE, sizeof *memory);
    struct memory_map *map = map_allocate(0);
    if (memory == NULL || map == NULL || pthread_mutex_init(&memory->lock, NULL) != 0) {
        ciommu_free(map);
        ciommu_free(memory);
        return CIOMMU_NO_MEMORY;
    }
    ciommu_rcu_prepare();
    memory->map = map;
    *out = memory;
    return CIOMMU_OK;
}

enum ciommu_status ciommu_memory_destroy(struct ciommu_memory *memory) {
    if (memory == NULL) {
        return CIOMMU_OK;
    }
    pthread_mutex_lock(&memory->lock);
    bool used = memory->users != NULL;
    pthread_mutex_unlock(&memory->lock);
    if (used) {
        return CIOMMU_IN_USE;
    }
    ciommu_rcu_wait(&memory->deferrals);
    pthread_mutex_destroy(&memory->lock);
    free_logs(memory->dirty_log);
    ciommu_free(memory->map);
    ciommu_free(memory);
    return CIOMMU_OK;
}

void ciommu_memory_join(struct ciommu_memory *memory, struct memory_user *user) {
    pthread_mutex_lock(&memory->lock);
    user->next = memory->users;
    memory->users = user;
    pthread_mutex_unlock(&memory->lock);
}

void ciommu_memory_part(struct ciommu_memory *memory, struct memory_user *user) {
    pthread_mutex_lock(&memory->lock);
    struct memory_user **link = &memory->users;
    while (*link != user) {
        link = &(*link)->next;
    }
    *link = user->next;
    pthread_mutex_unlock(&memory->lock);
}

/* Index of the first range whose last address is at or above `address`; count if there is none. */
static uint32_t lower_bound(const struct memory_map *map, uint64_t address) {
    uint32_t low = 0;
    uint32_t high = map->count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (map->ranges[middle].last < address) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

const struct memory_range *ciommu_memory_find(const struct memory_map *map, uint64_t address) {
    yield_point(CIOMMU_YIELD_SEARCHING);
    uint32_t index = lower_bound(map, address);
    if (index == map->count || map->ranges[index].first > address) {
        return NULL;
    }
    return &map->ranges[index];
}

/* Tells every user; the first bad answer wins, but all are told. Under lock. */
static enum ciommu_status tell_users(struct ciommu_memory *memory) {
    enum ciommu_status status = CIOMMU_OK;
    for (struct memory_user *user = memory->users; user != NULL; user = user->next) {
        enum ciommu_status answer = user->changed(user);
        status = status == CIOMMU_OK ? answer : status;
    }
    return status;
}

/* Under lock: swaps the map in, tells the users, lets the old one go after a grace period. */
static enum ciommu_status publish(struct ciommu_memory *memory, struct memory_map *map) {
    struct memory_map *old = memory->map;
    store_release(&memory->map, map); /* pairs with ciommu_memory_host */
    if (MUTANT(MAP_FREED_EARLY)) {
        old->count = 0;
    }
    yield_point(CIOMMU_YIELD_MAP_PUBLISHED);
    enum ciommu_status status = tell_users(memory);
    old->deferrals = &memory->deferrals;
    ciommu_rcu_defer(&memory->deferrals, &old->rcu, free_map);
    return status;
}

static enum ciommu_status check_range(const struct ciommu_memory_range *range) {
    const uint32_t legal = CIOMMU_READ | CIOMMU_WRITE;
    if (range == NULL || range->size < sizeof *range || range->length == 0 || range->host == NULL ||
        (range->rights & CIOMMU_READ) == 0 || (range->rights & ~legal) != 0) {
        return CIOMMU_INVALID_ARGUMENT;
    }
    if (((range->address | range->length) & PAGE_MASK) != 0 ||
        (uintptr_t)range->host % HOST_ALIGNMENT != 0) {
        return CIOMMU_MISALIGNED;
    }
    if (range->length - 1 > UINT64_MAX - range->address) {
        return CIOMMU_WRAPS;
    }
    return CIOMMU_OK;
}

static struct memory_range as_range(const struct ciommu_memory_range *range) {
    return (struct memory_range){range->address, range->address + (range->length - 1), range->host,
                                 range->rights};
}

static enum ciommu_status add_locked(struct ciommu_memory *memory, struct memory_range range) {
    const struct memory_map *old = memory->map;
    uint32_t index = lower_bound(old, range.first);
    if (index < old->count && old->ranges[index].first <= range.last) {
        return CIOMMU_OVERLAP;
    }
    struct memory_map *map = map_allocate(old->count + 1);
    if (map == NULL) {
        return CIOMMU_NO_MEMORY;
    }
    memcpy(map->ranges, old->ranges, index * sizeof range);
    map->ranges[index] = range;
    memcpy(&map->ranges[index + 1], &old->ranges[index], (old->count - index) * sizeof range);
    return publish(memory, map);
}

/* What ciommu_memory_place asks for: length - 1 and where the range may go. */
struct placement {
    uint64_t first;
    uint64_t last;
    uint64_t mask; /* alignment - 1 */
    uint64_t offset;
    uint64_t extent; /* length - 1 */
};

/* Finds the lowest address that suits; false when there is none. No sum wraps: every one is
 * compared before it is made. */
static bool find_room(const struct memory_map *map, const struct placement *want,
                      uint64_t *address) {
    uint64_t at = want->first;
    for (uint32_t index = lower_bound(map, at);; index++) {
        uint64_t shortfall = (want->offset - at) & want->mask;
        if (shortfall > UINT64_MAX - at || at + shortfall > want->last ||
            want->extent > want->last - (at + shortfall)) {
            return false;
        }
        uint64_t fit = at + shortfall;
        if (index == map->count || map->ranges[index].first > fit + want->extent) {
            *address = fit;
            return true;
        }
        if (map->ranges[index].last == UINT64_MAX) {
            return false;
        }
        if (map->ranges[index].last >= fit) {
            at = map->ranges[index].last + 1;
        }
    }
}

/* Index of the range that is exactly first...last, or count. */
static uint32_t exact(const struct memory_map *map, uint64_t first, uint64_t last) {
    uint32_t index = lower_bound(map, first);
    if (index < map->count && map->ranges[index].first == first &&
        map->ranges[index].last == last) {
        return index;
    }
    return map->count;
}

static enum ciommu_status replace_locked(struct ciommu_memory *memory, struct memory_range range) {
    const struct memory_map *old = memory->map;
    uint32_t index = exact(old, range.first, range.last);
    if (index == old->count) {
        return CIOMMU_NOT_FOUND;
    }
    struct memory_map *map = map_allocate(old->count);
    if (map == NULL) {
        return CIOMMU_NO_MEMORY;
    }
    memcpy(map->ranges, old->ranges, old->count * sizeof range);
    map->ranges[index] = range;
    return publish(memory, map);
}

static enum ciommu_status remove_locked(struct ciommu_memory *memory, uint64_t first,
                                        uint64_t last) {
    const struct memory_map *old = memory->map;
    uint32_t index = exact(old, first, last);
    if (index == old->count) {
        return CIOMMU_NOT_FOUND;
    }
    struct memory_map *map = map_allocate(old->count - 1);
    if (map == NULL) {
        return CIOMMU_NO_MEMORY;
    }
    memcpy(map->ranges, old->ranges, index * sizeof old->ranges[0]);
    memcpy(&map->ranges[index], &old->ranges[index + 1],
           (old->count - index - 1) * sizeof old->ranges[0]);
    return publish(memory, map);
}

enum ciommu_status ciommu_memory_add(struct ciommu_memory *memory,
                                     const struct ciommu_memory_range *range) {
    enum ciommu_status status = memory == NULL ? CIOMMU_INVALID_ARGUMENT : check_range(range);
    if (status != CIOMMU_OK) {
        return status;
    }
    pthread_mutex_lock(&memory->lock);
    status = add_locked(memory, as_range(range));
    pthread_mutex_unlock(&memory->lock);
    return status;
}

enum ciommu_status ciommu_memory_place(struct ciommu_memory *memory,
                                       const struct ciommu_memory_range *range, uint64_t first,
                                       uint64_t last, uint32_t alignment_lg2, uint64_t offset,
                                       uint64_t *address) {
    if (memory == NULL || range == NULL || range->size < sizeof *range || address == NULL ||
        first > last || alignment_lg2 < 12 || alignment_lg2 > 63 || offset >> alignment_lg2 != 0) {
        return CIOMMU_INVALID_ARGUMENT;
    }
    if ((offset & PAGE_MASK) != 0) {
        return CIOMMU_MISALIGNED;
    }
    struct ciommu_memory_range placed = *range;
    placed.address = 0; /* ignored, so it is not checked either */
    enum ciommu_status status = check_range(&placed);
    if (status != CIOMMU_OK) {
        return status;
    }
    const struct placement want = {.first = first,
                                   .last = last,
                                   .mask = (UINT64_C(1) << alignment_lg2) - 1,
                                   .offset = offset,
                                   .extent = range->length - 1};
    pthread_mutex_lock(&memory->lock);
    if (find_room(memory->map, &want, &placed.address)) {
        status = add_locked(memory, as_range(&placed));
    } else {
        status = CIOMMU_NO_SPACE;
    }
    pthread_mutex_unlock(&memory->lock);
    if (status == CIOMMU_OK || status == CIOMMU_TIMED_OUT) {
        *address = placed.address;
    }
    return status;
}

enum ciommu_status ciommu_memory_locate(struct ciommu_memory *memory, const void *host,
                                        uint64_t length, uint32_t rights, uint64_t *address) {
    if (memory == NULL || host == NULL || length == 0 || address == NULL || rights == 0 ||
        (rights & ~(CIOMMU_READ | CIOMMU_WRITE)) != 0) {
        return CIOMMU_INVALID_ARGUMENT;
    }
    enum ciommu_status status = CIOMMU_NOT_FOUND;
    ciommu_rcu_lock(); /* keeps the map; the lock would wait for drains */
    const struct memory_map *map = load_acquire(&memory->map); /* pairs with publish */
    for (uint32_t index = 0; index < map->count; index++) {
        const struct memory_range *range = &map->ranges[index];
        uint64_t skipped = (uint64_t)((uintptr_t)host - (uintptr_t)range->host);
        uint64_t extent = range->last - range->first;
        if (skipped <= extent && length - 1 <= extent - skipped && (rights & ~range->rights) == 0) {
            *address = range->first + skipped;
            status = CIOMMU_OK;
            break;
        }
    }
    ciommu_rcu_unlock();
    return status;
}

enum ciommu_status ciommu_memory_replace(struct ciommu_memory *memory,
                                         const struct ciommu_memory_range *range) {
    enum ciommu_status status = memory == NULL ? CIOMMU_INVALID_ARGUMENT : check_range(range);
    if (status != CIOMMU_OK) {
        return status;
    }
    pthread_mutex_lock(&memory->lock);
    status = replace_locked(memory, as_range(range));
    pthread_mutex_unlock(&memory->lock);
    return status;
}

enum ciommu_status ciommu_memory_remove(struct ciommu_memory *memory, uint64_t address,
                                        uint64_t length) {
    if (memory == NULL || length == 0) {
        return CIOMMU_INVALID_ARGUMENT;
    }
    if (length - 1 > UINT64_MAX - address) {
        return CIOMMU_WRAPS;
    }
    pthread_mutex_lock(&memory->lock);
    enum ciommu_status status = remove_locked(memory, address, address + (length - 1));
    pthread_mutex_unlock(&memory->lock);
    return status;
}

enum ciommu_status ciommu_memory_drain(struct ciommu_memory *memory) {
    if (memory == NULL) {
        return CIOMMU_INVALID_ARGUMENT;
    }
    enum ciommu_status status = CIOMMU_OK;
    pthread_mutex_lock(&memory->lock);
    for (struct memory_user *user = memory->users; user != NULL; user = user->next) {
        enum ciommu_status answer = user->drain(user);
        status = status == CIOMMU_OK ? answer : status;
    }
    pthread_mutex_unlock(&memory->lock);
    return status;
}

enum ciommu_status ciommu_memory_set_dirty_log(struct ciommu_memory *memory, ciommu_dirty_log log,
                                               void *context) {
    if (memory == NULL) {
        return CIOMMU_INVALID_ARGUMENT;
    }
    struct memory_dirty_log *fresh = ciommu_allocate(CACHE_LINE, sizeof *fresh);
    if (fresh == NULL) {
        return CIOMMU_NO_MEMORY;
    }
    fresh->log = log;
    fresh->context = context;
    enum ciommu_status status = CIOMMU_OK;
    pthread_mutex_lock(&memory->lock);
    fresh->older = memory->dirty_log;
    store_seq_cst(&memory->dirty_log, fresh); /* pairs with ciommu_memory_dirty_log */
    for (struct memory_user *user = memory->users; user != NULL; user = user->next) {
        enum ciommu_status answer = user->quiesce(user);
        status = status == CIOMMU_OK ? answer : status;
    }
    if (status == CIOMMU_OK) { /* every report that runs now began after the store */
        free_logs(fresh->older);
        fresh->older = NULL;
    }
    pthread_mutex_unlock(&memory->lock);
    return status;
}
