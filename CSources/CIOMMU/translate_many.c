/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * translate_many.c - batches of requests. Requests of one requester in a row are taken through the
 * short way (short_way.h) stage by stage instead of one by one, so that what they have in common is
 * loaded once, and loads which miss the processor's caches wait together: each is looked up in the
 * first level; for those that are not there, what will be read next is found and fetched; then it
 * is read and answered; the walks that are left go down level by level, side by side.
 *
 * The order among the requests of a batch is free: they are one caller's, under way at once. Faults
 * are recorded in the order of the requests.
 */
#include "short_way.h"
#include "tracepoints.h"

/* Implementation: requests that go together; they share an RCU read section. */
#define GROUP 32u

/* A request that the first level did not answer, and what is read for it next. */
struct look {
    const struct ciommu_request *request;
    struct ciommu_result *out;
    struct ciommu_first_level_entry *slot;
    const unsigned char *table; /* the leaf table; NULL = none is known */
    uint32_t rights;            /* granted above it */
};

/* Neighbours of a group that ask alike. */
struct run {
    uint64_t requester;
    uint64_t asked; /* access, flags */
    uint64_t salt;
    uint32_t access;
    uint32_t needed;  /* rights in the first level */
    bool first_level; /* it may answer */
    bool short_way;   /* `way` is open */
    bool tables;      /* leaf tables in the walk cache are asked first */
    bool near;        /* it may lead to leaves without a walk */
    struct grant
        grant; /* of `way`, copied: the long way may put another one into the port's slot */
    struct way way;
};

/* A group on its way. */
struct group {
    struct ciommu_port *port;
    bool inside; /* a section goes on after the call: host pointers are of use */
    bool locked; /* the RCU read section has begun */
    uint32_t looks_count;
    struct run run;
    struct look looks[GROUP];
};

static always_inline uint64_t requester_of(const struct ciommu_request *request) {
    return ciommu_requester(request->source, request->pasid);
}

static always_inline uint64_t asked_of(const struct ciommu_request *request) {
    return (uint64_t)request->flags << 32 | request->access;
}

/* Answers a request for which there is no short way. */
static __attribute__((noinline)) void answer_slowly(struct group *group, const struct look *look) {
    const struct ciommu_request *request = look->request;
    const struct lookup lookup = {request->source, request->pasid, request->iova,
                                  request->access, request->flags, NULL};
    ciommu_answer_slowly(group->port, &lookup, look->out);
    if (!group->inside) {
        look->out->host = NULL; /* no section keeps it valid */
    }
}

/* ---- Walks side by side ---- */

/* Goes down to the table of `level`, and fetches the entry that is read there. */
static always_inline void go_down(const struct quick_stage *walk, enum quick_kind kind,
                                  struct quick *quick, uint32_t level) {
    while (quick->level > level && quick_down(walk, kind, NULL, quick)) {
    }
    if (quick->level == level) {
        __builtin_prefetch(quick->table + entry_offset(quick->input, level));
    }
}

/* Answers a look with the leaf that was walked to, or the long way. */
static always_inline void answer_walked(struct group *group, const struct look *look,
                                        struct leaf leaf) {
    struct ciommu_port *port = group->port;
    struct run *run = &group->run;
    uint64_t iova = look->request->iova;
    if (unlikely(!leaf_exists(leaf))) {
        answer_slowly(group, look);
        return;
    }
    count_owned(&port->page_walks);
    tracepoint_walk(port->id, run->way.grant->shape->domain, iova, leaf.page_lg2);
    if (port->unit->iotlb.entries != NULL) {
        ciommu_iotlb_fill(port, &run->way, iova, leaf);
    }
    answer_found(port, &run->way, look->slot, run->requester, iova, run->access, leaf,
                 group->inside, look->out);
}

/* Walks for the looks of a space of one stage. The tables of the two lowest levels are the many, so
 * those are fetched for all before any is read. */
static always_inline void walk_all(struct group *group, enum quick_kind kind,
                                   const struct look *looks, uint32_t count) {
    struct run *run = &group->run;
    const struct quick_stage walk = quick_stage_of(group->port, &run->way, kind, run->access);
    struct quick quicks[GROUP];
    for (uint32_t index = 0; index < count; index++) {
        uint64_t iova = looks[index].request->iova;
        if (likely(way_leads_to(&run->way, iova) &&
                   quick_begin(&walk, kind, NULL, iova, &quicks[index]))) {
            go_down(&walk, kind, &quicks[index], 1);
        } else {
            quicks[index].level = LEVELS_MOST; /* which is no leaf's */
            quicks[index].entry = 0;
        }
    }
    for (uint32_t index = 0; index < count; index++) {
        if (quicks[index].level == 1) {
            go_down(&walk, kind, &quicks[index], 0);
        }
    }
    for (uint32_t index = 0; index < count; index++) {
        struct leaf leaf = quick_end(&walk, kind, &quicks[index]);
        way_walked(&run->way);
        leaf = quick_finish(&walk, kind, NULL, looks[index].request->iova, leaf);
        answer_walked(group, &looks[index], leaf);
    }
}

/* ---- One run ---- */

/* Answers the looks that neither a known table nor the IOTLB answered. */
static __attribute__((noinline)) void answer_far(struct group *group, const struct look *looks,
                                                 uint32_t count) {
    struct run *run = &group->run;
    const struct grant *grant = run->short_way ? run->way.grant : NULL;
    store_relaxed(&group->port->lookups_slow, group->port->lookups_slow + count);
    if (grant != NULL && grant->quick && grant->shape->kind == SPACE_SECOND) {
        walk_all(group, QUICK_SECOND, looks, count);
        return;
    }
    if (grant != NULL && grant->quick && grant->shape->kind == SPACE_FIRST) {
        walk_all(group, QUICK_FIRST, looks, count);
        return;
    }
    for (uint32_t index = 0; index < count; index++) {
        const struct ciommu_request *request = looks[index].request;
        struct leaf leaf = NO_LEAF;
        if (grant != NULL && grant->quick && way_leads_to(&run->way, request->iova)) {
            leaf = leaf_unpack(
                ciommu_walk_quickly(group->port, &run->way, request->iova, run->access));
        }
        if (leaf_exists(leaf)) {
            answer_found(group->port, &run->way, looks[index].slot, run->requester, request->iova,
                         run->access, leaf, group->inside, looks[index].out);
        } else {
            answer_slowly(group, &looks[index]);
        }
    }
}

/* Answers what can be answered without a walk; the others go to the front. How many those are. */
static always_inline uint32_t answer_near(struct group *group, enum quick_kind kind,
                                          uint32_t count) {
    struct ciommu_port *port = group->port;
    struct run *run = &group->run;
    struct way *way = &run->way;
    const struct quick_stage walk = quick_stage_of(port, way, kind, run->access);
    const struct quick_parent parent = quick_parent_of(way);
    uint32_t far = 0;
    uint32_t tables = 0;
    for (uint32_t index = 0; index < count; index++) {
        const struct look *look = &group->looks[index];
        uint64_t iova = look->request->iova;
        struct leaf leaf = NO_LEAF;
        if (unlikely(!way_leads_to(way, iova))) {
            /* for the long way */
        } else if (look->table != NULL) {
            leaf = leaf_in_table(&walk, kind, &parent, way, look->table, look->rights, iova);
            tables += leaf_exists(leaf);
        } else if (way->grant->passes) {
            leaf = leaf_of_itself(iova);
        } else {
            leaf = iotlb_leaf(port, way, iova, run->access << way->grant->shift);
        }
        if (unlikely(!leaf_exists(leaf))) {
            group->looks[far++] = *look;
            continue;
        }
        answer_found(port, way, look->slot, run->requester, iova, run->access, leaf, group->inside,
                     look->out);
    }
    uint32_t answered = count - far;
    store_relaxed(&port->lookups_slow, port->lookups_slow + answered);
    store_relaxed(&port->page_walks, port->page_walks + tables);
    if (!way->grant->passes) {
        store_relaxed(&port->iotlb_hits, port->iotlb_hits + (answered - tables));
    }
    return far;
}

/* Answers everything that was looked up so far. */
static __attribute__((noinline)) void answer_looks(struct group *group) {
    struct run *run = &group->run;
    uint32_t count = group->looks_count;
    group->looks_count = 0;
    if (run->near) {
        uint32_t kind = run->way.grant->shape->kind;
        count = kind == SPACE_SECOND  ? answer_near(group, QUICK_SECOND, count)
                : kind == SPACE_FIRST ? answer_near(group, QUICK_FIRST, count)
                                      : answer_near(group, QUICK_NESTED, count);
    }
    if (count != 0) {
        answer_far(group, group->looks, count);
    }
}

/* Begins another run, and answers what the last one left. */
static __attribute__((noinline)) enum ciommu_status
begin_run(struct group *group, const struct ciommu_request *request) {
    const struct lookup lookup = {request->source, request->pasid, request->iova,
                                  request->access, request->flags, NULL};
    struct run *run = &group->run;
    if (group->looks_count != 0) {
        answer_looks(group);
    }
    run->requester = requester_of(request);
    run->asked = asked_of(request);
    run->salt = ciommu_first_level_salt(run->requester);
    run->access = request->access;
    run->needed = ciommu_rights_needed(request->access);
    run->first_level = asks_first_level(request->access, request->flags);
    run->short_way = false;
    return lookup_check(&lookup);
}

/* The first request of a run that the first level does not answer. */
static __attribute__((noinline)) void open_run(struct group *group) {
    struct run *run = &group->run;
    if (!group->locked) {
        ciommu_rcu_lock();
        group->locked = true;
    }
    run->short_way = is_plain(run->access, (uint32_t)(run->asked >> 32)) &&
                     way_open(group->port, run->requester, &run->way);
    if (run->short_way) {
        run->grant = *run->way.grant;
        run->way.grant = &run->grant;
    }
    run->tables = run->short_way && reads_known_tables(group->port, run->way.grant);
    run->near = run->short_way &&
                (run->tables || run->way.grant->passes || group->port->unit->iotlb.entries != NULL);
}

/* Notes a request, and fetches what will be read for it. */
static always_inline void look_ahead(struct group *group, const struct ciommu_request *request,
                                     struct ciommu_first_level_entry *slot,
                                     struct ciommu_result *out) {
    struct ciommu_port *port = group->port;
    struct run *run = &group->run;
    if (unlikely(group->looks_count == 0)) {
        open_run(group);
    }
    tracepoint_miss(port->id, request->source, request->pasid, request->iova, request->access);
    struct look *look = &group->looks[group->looks_count++];
    look->request = request;
    look->out = out;
    look->slot = slot;
    look->table = NULL;
    if (!run->near) {
        return;
    }
    const struct way *way = &run->way;
    if (run->tables) {
        const struct walk_entry *known = known_leaf_table(port, way, request->iova, run->access);
        if (likely(known != NULL)) {
            look->table = known->host;
            look->rights = known->rights;
            __builtin_prefetch(known->host + entry_offset(request->iova, 0));
            return;
        }
    }
    const struct iotlb *iotlb = &port->unit->iotlb;
    uint64_t sizes = page_sizes(load_relaxed(&way->space->sizes));
    if (iotlb->entries != NULL && sizes != 0) {
        iotlb_prefetch(iotlb, (uint32_t)way->tag, request->iova, (uint32_t)__builtin_ctzll(sizes));
    }
}

/* Answers requests until the end or the first that is refused; how many were answered. Inside a
 * section. */
static uint32_t answer_group(struct group *group, const struct ciommu_request *requests,
                             struct ciommu_result *results, uint32_t count,
                             enum ciommu_status *status) {
    struct ciommu_port *port = group->port;
    struct run *run = &group->run;
    bool inside = group->inside;
    uint32_t done = 0;
    for (; done < count; done++) {
        const struct ciommu_request *request = &requests[done];
        struct ciommu_result *out = &results[done];
        uint64_t asked = asked_of(request);
        if (unlikely((requester_of(request) != run->requester && !MUTANT(BATCH_MIXES_REQUESTERS)) ||
                     (asked != run->asked && !MUTANT(BATCH_MIXES_ACCESSES)))) {
            *status = begin_run(group, request);
        }
        if (unlikely(out->size < sizeof *out)) {
            *status = CIOMMU_INVALID_ARGUMENT;
        }
        if (unlikely(*status != CIOMMU_OK)) {
            break;
        }
        uint64_t page = request->iova >> 12;
        struct ciommu_first_level_entry *slot =
            ciommu_first_level_place(&port->head, page, run->salt);
        if (likely(run->first_level) &&
            ciommu_first_level_find_in(port, slot, page, run->requester, run->needed) != NULL) {
            answer_hit(slot, request->iova, run->access, inside, out);
        } else {
            look_ahead(group, request, slot, out);
        }
    }
    if (group->looks_count != 0) {
        answer_looks(group);
    }
    if (group->locked) {
        ciommu_rcu_unlock();
        group->locked = false;
    }
    return done;
}

enum ciommu_status ciommu_translate_batch(struct ciommu_port *port,
                                          const struct ciommu_request *requests,
                                          struct ciommu_result *results, uint32_t count,
                                          uint32_t *done) {
    if (port == NULL || (count != 0 && (requests == NULL || results == NULL))) {
        return CIOMMU_INVALID_ARGUMENT;
    }
    struct group group;
    group.port = port;
    group.locked = false;
    group.looks_count = 0;
    group.inside = port_is_inside(port);
    enum ciommu_status status = count == 0 ? CIOMMU_OK : begin_run(&group, requests);
    uint32_t index = 0;
    port_enter(port);
    while (index < count && status == CIOMMU_OK) {
        uint32_t together = count - index < GROUP ? count - index : GROUP;
        index += answer_group(&group, &requests[index], &results[index], together, &status);
    }
    port_leave(port);

    if (done != NULL) {
        *done = index;
    }
    return status;
}
