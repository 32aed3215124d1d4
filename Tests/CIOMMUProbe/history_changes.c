/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * history_changes.c - what a host changes in a history: mappings, attachments, parents, the memory
 * map. Each kind has one thread, which writes down when, or two (history_pair.h). What a guest
 * changes is in history_guest.c.
 */
#include "history_pair.h"
#include "harness.h"

/* ---- Writing it down ---- */

static void record(struct history_changer *changer, const struct history_record *what) {
    struct history_record *next = history_log_add(changer->log);
    if (next != NULL) {
        *next = *what;
    } else {
        history_complain(changer, "the changer's log is full", CIOMMU_OK);
    }
}

void history_complain(struct history_changer *changer, const char *what,
                      enum ciommu_status status) {
    if (changer->complaint == NULL) {
        changer->complaint = status == CIOMMU_OK ? what : ciommu_status_text(status);
    }
}

static void record_write(struct history_changer *changer, uint64_t begin, uint64_t end,
                         uint32_t element, uint32_t side, uint32_t rights) {
    record(changer, &(struct history_record){.kind = HISTORY_WRITE,
                                             .begin = begin,
                                             .end = end,
                                             .first = element,
                                             .last = element,
                                             .value = side,
                                             .rights = rights});
}

static void note_write(struct history_changer *changer, uint64_t begin, uint64_t end,
                       uint32_t element, uint32_t side, uint32_t rights) {
    changer->world->now[element] = (struct history_state){.value = side, .rights = rights};
    record_write(changer, begin, end, element, side, rights);
}

uint64_t history_call_begins(struct history_changer *changer) {
    return history_tick(&changer->world->clock);
}

static void note_call(struct history_changer *changer, uint64_t begin, uint64_t end, uint32_t first,
                      uint32_t count, uint32_t side, uint32_t rights) {
    for (uint32_t at = first; at < first + count; at++) {
        note_write(changer, begin, end, at, side, rights);
    }
    record(changer, &(struct history_record){.kind = HISTORY_INVALIDATION,
                                             .begin = end,
                                             .end = end,
                                             .first = first,
                                             .last = first + count - 1,
                                             .scope = HISTORY_BOTH});
}

/* The call is both: what it changes, and the invalidation that covers it. */
void history_call_ends(struct history_changer *changer, uint64_t begin, uint32_t first,
                       uint32_t count, uint32_t side, uint32_t rights) {
    uint64_t end = history_tick(&changer->world->clock);
    note_call(changer, begin, end, first, count, side, rights);
}

/* A device that was late is blocked; that is as good as its answer. */
static void check(struct history_changer *changer, const char *what, enum ciommu_status status) {
    bool late =
        status == CIOMMU_TIMED_OUT && (changer->world->settings->mixes & PROBE_HISTORY_SILENT) != 0;
    if (status != CIOMMU_OK && !late) {
        history_complain(changer, what, status);
    }
}

/* Nothing old is answered any more; sections and devices may use it still. */
void history_put_back(struct history_changer *changer, uint64_t begin, uint32_t element,
                      uint32_t side) {
    uint64_t end = history_tick(&changer->world->clock);
    record_write(changer, begin, end, element, side, HISTORY_RW);
    history_invalidated(changer, end, element, element, HISTORY_CACHES);
}

/* What is taken away is put back by the other thread, if there is one, as soon as it can be. */
static void take_away(struct history_changer *changer, const struct history_follow *follow,
                      enum ciommu_status (*take)(struct history_changer *changer,
                                                 const struct history_follow *follow)) {
    struct history_world *world = changer->world;
    uint64_t begin = history_call_begins(changer);
    bool taken = changer->pair != NULL && history_pair_offer(changer->pair, follow);
    enum ciommu_status status = take(changer, follow);
    check(changer, "taking away", status);
    uint64_t end = history_tick(&world->clock);
    bool followed = taken && history_pair_wait(changer->pair, changer->complaint == NULL);
    note_call(changer, begin, end, follow->element, 1, 0, 0);
    if (followed) {
        world->now[follow->element] =
            (struct history_state){.value = follow->side, .rights = HISTORY_RW};
    }
}

void history_write_guest(struct history_changer *changer, uint32_t element, uint32_t side,
                         uint32_t rights) {
    uint64_t begin = history_tick(&changer->world->clock);
    history_store(changer->world, element, side, rights);
    note_write(changer, begin, history_tick(&changer->world->clock), element, side, rights);
}

void history_invalidated(struct history_changer *changer, uint64_t begin, uint32_t first,
                         uint32_t last, uint32_t scope) {
    record(changer, &(struct history_record){.kind = HISTORY_INVALIDATION,
                                             .begin = begin,
                                             .end = history_tick(&changer->world->clock),
                                             .first = first,
                                             .last = last,
                                             .scope = (uint8_t)scope});
}

static uint64_t draw(struct history_changer *changer) {
    return probe_random(&changer->random) >> 20;
}

/* ---- Mappings ---- */

/* A host's domain: pages of a run whose elements follow each other. */
struct mapped_run {
    struct ciommu_domain *domain;
    uint32_t space;
    uint32_t element; /* of page 0 */
    uint64_t iova;
    uint64_t step; /* bytes from page to page */
    uint32_t pages;
};

static uint64_t output_of(const struct history_changer *changer, const struct mapped_run *run,
                          uint32_t page, uint32_t side) {
    bool nested = run->space == HISTORY_NESTED;
    uint32_t output = nested ? history_output(changer->world, run->space, page / 2, page % 2, side)
                             : history_output(changer->world, run->space, page, side, 0);
    return HISTORY_OUTPUT + output * HISTORY_PAGE;
}

static void map_page(struct history_changer *changer, const struct mapped_run *run, uint32_t page,
                     uint32_t side, uint32_t rights) {
    const struct ciommu_mapping mapping = {
        .size = sizeof mapping,
        .rights = rights,
        .iova = run->iova + page * run->step,
        .length = HISTORY_PAGE,
        .address = output_of(changer, run, page, side),
    };
    uint64_t begin = history_call_begins(changer);
    check(changer, "map", ciommu_domain_map(run->domain, &mapping));
    history_call_ends(changer, begin, run->element + page, 1, side, rights);
}

static enum ciommu_status put_page(struct history_changer *changer,
                                   const struct history_follow *follow) {
    const struct ciommu_mapping mapping = {
        .size = sizeof mapping,
        .rights = HISTORY_RW,
        .iova = follow->iova,
        .length = HISTORY_PAGE,
        .address = follow->address,
    };
    (void)changer;
    return ciommu_domain_map(follow->domain, &mapping);
}

static enum ciommu_status take_page(struct history_changer *changer,
                                    const struct history_follow *follow) {
    (void)changer;
    return ciommu_domain_unmap(follow->domain, NULL, follow->iova, HISTORY_PAGE, NULL);
}

/* Unmaps a page, which the other thread maps elsewhere. */
static void exchange_page(struct history_changer *changer, const struct mapped_run *run,
                          uint32_t page) {
    uint32_t element = run->element + page;
    uint32_t side = changer->world->now[element].value == 0;
    const struct history_follow follow = {
        .put = put_page,
        .domain = run->domain,
        .iova = run->iova + page * run->step,
        .address = output_of(changer, run, page, side),
        .element = element,
        .side = side,
    };
    take_away(changer, &follow, take_page);
}

static void unmap_pages(struct history_changer *changer, const struct mapped_run *run,
                        uint32_t page, uint32_t count) {
    uint64_t length = (count - 1) * run->step + HISTORY_PAGE;
    uint64_t begin = history_call_begins(changer);
    check(changer, "unmap",
          ciommu_domain_unmap(run->domain, NULL, run->iova + page * run->step, length, NULL));
    history_call_ends(changer, begin, run->element + page, count, 0, 0);
}

static void protect_page(struct history_changer *changer, const struct mapped_run *run,
                         uint32_t page, uint32_t rights) {
    uint32_t side = (uint32_t)changer->world->now[run->element + page].value;
    uint64_t begin = history_call_begins(changer);
    check(changer, "protect",
          ciommu_domain_protect(run->domain, NULL, run->iova + page * run->step, HISTORY_PAGE,
                                rights));
    history_call_ends(changer, begin, run->element + page, 1, side, rights);
}

/* Maps, unmaps, moves or protects a page, or unmaps a few. */
static void change_page(struct history_changer *changer, const struct mapped_run *run) {
    uint64_t random = draw(changer);
    uint32_t page = (uint32_t)(random % run->pages);
    uint32_t side = (uint32_t)(random >> 8 & 1);
    uint32_t rights = (random >> 9) % 4 == 0 ? CIOMMU_READ : HISTORY_RW;
    const struct history_state *now = &changer->world->now[run->element + page];
    if (now->rights == 0) {
        map_page(changer, run, page, side, rights);
    } else if ((random >> 11) % 4 == 0) {
        protect_page(changer, run, page, now->rights == HISTORY_RW ? CIOMMU_READ : HISTORY_RW);
    } else if ((random >> 11) % 4 == 1 && run->step == HISTORY_PAGE && page + 3 <= run->pages) {
        unmap_pages(changer, run, page, 3);
    } else if (changer->pair != NULL) {
        exchange_page(changer, run, page);
    } else {
        side = now->value == 0;
        unmap_pages(changer, run, page, 1);
        map_page(changer, run, page, side, rights);
    }
}

/* The whole 2 MiB, as one leaf if nothing else is in the way. */
static void change_large(struct history_changer *changer, const struct mapped_run *run) {
    const uint64_t all = HISTORY_LARGE_PAGES * HISTORY_PAGE;
    uint32_t side = (uint32_t)(draw(changer) & 1);
    uint64_t begin = history_call_begins(changer);
    check(changer, "unmap", ciommu_domain_unmap(run->domain, NULL, run->iova, all, NULL));
    history_call_ends(changer, begin, run->element, HISTORY_PAGES, 0, 0);
    const struct ciommu_mapping mapping = {
        .size = sizeof mapping,
        .rights = HISTORY_RW,
        .iova = run->iova,
        .length = all,
        .address = output_of(changer, run, 0, side),
    };
    begin = history_call_begins(changer);
    check(changer, "map", ciommu_domain_map(run->domain, &mapping));
    history_call_ends(changer, begin, run->element, HISTORY_PAGES, side, HISTORY_RW);
}

void history_change_mappings(struct history_changer *changer) {
    struct history_world *world = changer->world;
    const struct mapped_run small = {
        world->paging, HISTORY_PAGING, world->spaces[HISTORY_PAGING].leaves,
        HISTORY_IOVA,  HISTORY_PAGE,   HISTORY_PAGES};
    const struct mapped_run large = {world->large,
                                     HISTORY_LARGE,
                                     world->spaces[HISTORY_LARGE].leaves,
                                     HISTORY_IOVA,
                                     HISTORY_LARGE_STEP * HISTORY_PAGE,
                                     HISTORY_PAGES};
    uint64_t random = draw(changer);
    if (random % 8 == 0) {
        change_large(changer, &large);
    } else {
        change_page(changer, random % 8 < 3 ? &large : &small);
    }
    changer->changes++;
}

/* ---- Parents ---- */

/* A guest's leaf, and the invalidation of a range with it. */
static void change_child(struct history_changer *changer, uint64_t random) {
    struct history_world *world = changer->world;
    const struct history_space *space = &world->spaces[HISTORY_NESTED];
    uint32_t page = (uint32_t)(random % HISTORY_PAGES);
    uint32_t element = history_leaf(space, page);
    uint32_t rights = (random >> 9) % 8 == 0   ? 0
                      : (random >> 9) % 8 == 1 ? CIOMMU_READ
                                               : HISTORY_RW;
    history_write_guest(changer, element, (uint32_t)(random >> 4 & 1), rights);
    bool whole = (random >> 12) % 4 == 0;
    bool leaf_only = (random >> 14) % 2 == 0;
    uint64_t first = whole ? 0 : history_iova(HISTORY_NESTED, page);
    uint64_t last = whole ? UINT64_MAX : first + (HISTORY_PAGE - 1);
    uint64_t begin = history_call_begins(changer);
    check(changer, "nested invalidation",
          ciommu_nested_invalidate(world->child, NULL, first, last, leaf_only));
    history_invalidated(changer, begin, whole ? space->leaves : element,
                        whole ? space->leaves + HISTORY_PAGES - 1 : element, HISTORY_BOTH);
}

void history_change_parents(struct history_changer *changer) {
    struct history_world *world = changer->world;
    const struct mapped_run parent = {
        world->parent, HISTORY_NESTED, world->spaces[HISTORY_NESTED].parents,
        HISTORY_GUEST, HISTORY_PAGE,   2 * HISTORY_PAGES};
    uint64_t random = draw(changer);
    if (random % 4 == 0) {
        change_child(changer, random >> 4);
    } else {
        change_page(changer, &parent);
    }
    changer->changes++;
}

/* ---- Attachments ---- */

static enum ciommu_status put_domain(struct history_changer *changer,
                                     const struct history_follow *follow) {
    return ciommu_device_attach(changer->world->slot_device, 1, follow->domain);
}

static enum ciommu_status take_domain(struct history_changer *changer,
                                      const struct history_follow *follow) {
    (void)follow;
    return ciommu_device_detach(changer->world->slot_device, NULL, 1);
}

/* Detaches, and the other thread attaches the other domain. */
static void exchange_domain(struct history_changer *changer, uint32_t element, uint32_t side) {
    const struct history_follow follow = {
        .put = put_domain, .domain = changer->world->slots[side], .element = element, .side = side};
    take_away(changer, &follow, take_domain);
}

void history_change_attachments(struct history_changer *changer) {
    struct history_world *world = changer->world;
    uint32_t element = world->bindings[0];
    const struct history_state *now = &world->now[element];
    uint64_t random = draw(changer);
    uint32_t side = now->rights == 0 ? (uint32_t)(random >> 8 & 1) : now->value == 0;
    uint32_t rights = HISTORY_RW;
    enum ciommu_status status;
    if (now->rights != 0 && changer->pair != NULL && random % 4 != 0) {
        exchange_domain(changer, element, side);
        changer->changes++;
        return;
    }
    uint64_t begin = history_call_begins(changer);
    if (now->rights == 0) {
        status = ciommu_device_attach(world->slot_device, 1, world->slots[side]);
    } else if (random % 4 != 0) {
        status = ciommu_device_replace(world->slot_device, NULL, 1, world->slots[side]);
    } else {
        rights = 0;
        status = random % 8 == 0 ? ciommu_device_reset(world->slot_device, NULL)
                                 : ciommu_device_detach(world->slot_device, NULL, 1);
    }
    check(changer, "attachment", status);
    history_call_ends(changer, begin, element, 1, side, rights);
    changer->changes++;
}

/* ---- Memory ---- */

static enum ciommu_status put_range(struct history_changer *changer,
                                    const struct history_follow *follow) {
    return history_add_range(changer->world, follow->element, follow->side, false);
}

static enum ciommu_status take_range(struct history_changer *changer,
                                     const struct history_follow *follow) {
    uint32_t first;
    uint32_t count;
    history_range(changer->world, follow->element, &first, &count);
    return ciommu_memory_remove(changer->world->memory, HISTORY_OUTPUT + first * HISTORY_PAGE,
                                count * HISTORY_PAGE);
}

void history_change_memory(struct history_changer *changer) {
    struct history_world *world = changer->world;
    uint64_t random = draw(changer);
    uint32_t element = world->memories + (uint32_t)(random % world->memory_count);
    const struct history_state *now = &world->now[element];
    uint32_t copy = now->value == 0;
    uint32_t rights = HISTORY_RW;
    const struct history_follow follow = {.put = put_range, .element = element, .side = copy};
    enum ciommu_status status;
    if (now->rights != 0 && changer->pair != NULL && (random >> 12) % 4 == 1) {
        take_away(changer, &follow, take_range);
        changer->changes++;
        return;
    }
    uint64_t begin = history_call_begins(changer);
    if (now->rights == 0) {
        status = history_add_range(world, element, copy, false);
    } else if ((random >> 12) % 4 != 0) {
        status = history_add_range(world, element, copy, true);
    } else {
        rights = 0;
        status = take_range(changer, &follow);
    }
    check(changer, "memory", status);
    history_call_ends(changer, begin, element, 1, copy, rights);
    changer->changes++;
}
