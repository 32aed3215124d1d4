/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * binding.c - the pool of bindings. The protocol stands in binding.h.
 */
#include "binding.h"
#include "alloc.h"

#include <string.h>

/* Implementation: part of the pool that one eviction frees. */
#define EVICTION_DIVISOR 8u

enum ciommu_status ciommu_bindings_init(struct bindings *bindings, uint32_t count,
                                        struct spaces *spaces, pthread_mutex_t *lock) {
    memset(bindings, 0, sizeof *bindings);
    uint32_t buckets = 16;
    while (buckets < 2 * count) {
        buckets *= 2;
    }
    bindings->spaces = spaces;
    bindings->lock = lock;
    bindings->count = count;
    bindings->bucket_mask = buckets - 1;
    bindings->pool = ciommu_allocate(CACHE_LINE, count * sizeof *bindings->pool);
    bindings->buckets = ciommu_allocate(CACHE_LINE, buckets * sizeof(struct binding *));
    if (bindings->pool == NULL || bindings->buckets == NULL) {
        ciommu_bindings_fini(bindings);
        return CIOMMU_NO_MEMORY;
    }
    for (uint32_t index = count; index-- > 0;) {
        bindings->pool[index].owner = bindings;
        bindings->pool[index].newer = bindings->free;
        bindings->free = &bindings->pool[index];
    }
    return CIOMMU_OK;
}

void ciommu_bindings_fini(struct bindings *bindings) {
    ciommu_free(bindings->pool);
    ciommu_free(bindings->buckets);
    memset(bindings, 0, sizeof *bindings);
}

static struct binding **bucket_of(const struct bindings *bindings, uint64_t requester) {
    uint64_t hash = requester * UINT64_C(0x9e3779b97f4a7c15);
    return &bindings->buckets[hash >> 40 & bindings->bucket_mask];
}

bool ciommu_bindings_find(const struct bindings *bindings, uint64_t requester,
                          struct resolved *out) {
    const struct binding *binding =
        load_acquire(bucket_of(bindings, requester)); /* pairs with publish */
    while (binding != NULL && binding->requester != requester) {
        binding = load_acquire(&binding->next);
    }
    if (binding == NULL) {
        return false;
    }
    yield_point(CIOMMU_YIELD_BINDING_FOUND);
    *out = binding->resolved;
    return true;
}

/* Under the lock. */
static void give_slot_back(struct bindings *bindings, struct binding *binding) {
    binding->newer = bindings->free;
    bindings->free = binding;
    bindings->used--;
}

static void slot_returns(struct rcu_head *head) {
    ciommu_rcu_callback_begins();
    struct binding *binding = caa_container_of(head, struct binding, rcu);
    struct bindings *bindings = binding->owner;
    pthread_mutex_lock(bindings->lock);
    give_slot_back(bindings, binding);
    pthread_mutex_unlock(bindings->lock);
    ciommu_rcu_callback_ends(&bindings->deferrals);
}

/* Table lock. */
static void unlink_binding(struct bindings *bindings, struct binding *binding) {
    struct binding **link = bucket_of(bindings, binding->requester);
    while (*link != binding) {
        link = &(*link)->next;
    }
    store_release(link, binding->next);
    *(binding->newer != NULL ? &binding->newer->older : &bindings->newest) = binding->older;
    *(binding->older != NULL ? &binding->older->newer : &bindings->oldest) = binding->newer;
    ciommu_spaces_release(bindings->spaces, binding->resolved.space);
    if (MUTANT(BINDING_REUSED_EARLY)) {
        give_slot_back(bindings, binding);
    } else {
        ciommu_rcu_defer(&bindings->deferrals, &binding->rcu, slot_returns);
    }
}

/* On liburcu's thread: the worker that makes room. */
static void evict(struct rcu_head *head) {
    ciommu_rcu_callback_begins();
    struct bindings *bindings = caa_container_of(head, struct bindings, reclaim);
    pthread_mutex_lock(bindings->lock);
    ciommu_spaces_renew_tags(bindings->spaces);
    uint32_t wanted = bindings->count / EVICTION_DIVISOR + 1;
    for (; wanted > 0 && bindings->oldest != NULL; wanted--) {
        unlink_binding(bindings, bindings->oldest);
        store_relaxed(&bindings->reclaimed, bindings->reclaimed + 1);
    }
    store_release(&bindings->reclaiming, 0);
    pthread_mutex_unlock(bindings->lock);
    ciommu_rcu_callback_ends(&bindings->deferrals);
}

/* Table lock. One eviction at a time: waking liburcu's thread is a system call, so it happens once
 * per full pool, not per request. */
static void ask_for_room(struct bindings *bindings) {
    if (exchange_acquire(&bindings->reclaiming, 1) == 0) {
        ciommu_rcu_defer(&bindings->deferrals, &bindings->reclaim, evict);
    }
}

bool ciommu_bindings_publish(struct bindings *bindings, uint64_t requester,
                             const struct space_shape *shape, struct resolved *resolved) {
    struct resolved present;
    if (ciommu_bindings_find(bindings, requester, &present)) {
        *resolved = present; /* another port was faster */
        return true;
    }
    struct binding *binding = bindings->free;
    struct ciommu_space *space =
        binding == NULL ? NULL : ciommu_spaces_acquire(bindings->spaces, shape);
    if (space == NULL) {
        ask_for_room(bindings);
        return false;
    }
    bindings->free = binding->newer;
    bindings->used++;
    resolved->space = space;
    resolved->birth = space->birth;
    binding->requester = requester;
    binding->resolved = *resolved;
    binding->newer = NULL;
    binding->older = bindings->newest;
    *(bindings->newest != NULL ? &bindings->newest->newer : &bindings->oldest) = binding;
    bindings->newest = binding;
    struct binding **bucket = bucket_of(bindings, requester);
    binding->next = *bucket;
    store_release(bucket, binding); /* pairs with find */
    return true;
}

static bool covers(const struct ciommu_invalidation *what, const struct binding *binding) {
    uint32_t source = (uint32_t)binding->requester;
    bool same_source =
        what->source == CIOMMU_ANY || ((source ^ what->source) & ~what->source_mask) == 0;
    bool same_pasid = what->pasid == CIOMMU_ANY || binding->resolved.pasid == what->pasid;
    /* Choice: a PASID-selective invalidation takes every domain's binding of that PASID. An entry
     * that was replaced in place may have been read half old, half new, and guests name the old
     * domain. One for a whole domain takes that domain's bindings alone: of an entry that was
     * rewritten word by word while it was present, it may leave one that has the new domain and
     * the rest of the old entry. Guests clear P first, or name the PASID or the device. */
    bool same_domain = what->domain == CIOMMU_ANY || what->pasid != CIOMMU_ANY ||
                       binding->resolved.domain == what->domain;
    return same_source && same_domain && same_pasid;
}

void ciommu_bindings_remove(struct bindings *bindings, const struct ciommu_invalidation *what) {
    for (struct binding *binding = bindings->oldest, *newer; binding != NULL; binding = newer) {
        newer = binding->newer;
        if (covers(what, binding)) {
            unlink_binding(bindings, binding);
        }
    }
}
