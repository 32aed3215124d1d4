/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * history.c - logs, and the rule. See history.h.
 */
#include "history.h"

#include <stdlib.h>
#include <string.h>

#define KEPT_STATES 4u /* that can show no more, of each element, from round to round */

bool history_log_create(struct history_log *log, uint32_t capacity) {
    *log = (struct history_log){.capacity = capacity};
    log->records = calloc(capacity == 0 ? 1 : capacity, sizeof log->records[0]);
    return log->records != NULL;
}

void history_log_destroy(struct history_log *log) {
    free(log->records);
    *log = (struct history_log){0};
}

struct history_record *history_log_add(struct history_log *log) {
    return log->count == log->capacity ? NULL : &log->records[log->count++];
}

/* ---- Building ---- */

/* An invalidation of one element: whoever asks after `end` sees nothing that was overwritten by
 * `covered`, the largest of those that ended no later. */
struct cover {
    uint64_t end;
    uint64_t covered;
    bool both; /* one call that covers the caches before it asks devices */
};

struct element {
    uint32_t states; /* index of the first, and how many */
    uint32_t state_count;
    uint32_t covers[2]; /* of caches, of devices */
    uint32_t cover_count[2];
};

struct history {
    uint32_t elements;
    struct element *table;
    struct history_state *states;
    struct cover *covers[2];
};

static bool concerns(const struct history_record *record, uint32_t scope) {
    return record->kind == HISTORY_INVALIDATION && (record->scope & scope) != 0;
}

static void count_record(struct history *history, const struct history_record *record) {
    if (record->kind == HISTORY_WRITE) {
        history->table[record->first].state_count++;
        return;
    }
    for (uint32_t scope = 0; scope < 2; scope++) {
        for (uint32_t element = record->first;
             concerns(record, 1u << scope) && element <= record->last; element++) {
            history->table[element].cover_count[scope]++;
        }
    }
}

static void place_record(struct history *history, const struct history_record *record) {
    if (record->kind == HISTORY_WRITE) {
        struct element *element = &history->table[record->first];
        /* `replaced` is this write's own end until the states are in order. */
        history->states[element->states + element->state_count++] =
            (struct history_state){record->begin, record->end, record->value, record->rights};
        return;
    }
    for (uint32_t scope = 0; scope < 2; scope++) {
        for (uint32_t at = record->first; concerns(record, 1u << scope) && at <= record->last;
             at++) {
            struct element *element = &history->table[at];
            history->covers[scope][element->covers[scope] + element->cover_count[scope]++] =
                (struct cover){record->end, record->begin, record->scope == HISTORY_BOTH};
        }
    }
}

static void for_each(struct history *history, const struct history_log *logs, uint32_t count,
                     void (*what)(struct history *, const struct history_record *)) {
    for (uint32_t log = 0; log < count; log++) {
        for (uint32_t index = 0; index < logs[log].count; index++) {
            const struct history_record *record = &logs[log].records[index];
            if (record->kind == HISTORY_WRITE || record->kind == HISTORY_INVALIDATION) {
                what(history, record);
            }
        }
    }
}

static bool reserve(struct history *history) {
    uint32_t states = 0;
    uint32_t covers[2] = {0, 0};
    for (uint32_t index = 0; index < history->elements; index++) {
        struct element *element = &history->table[index];
        element->states = states;
        states += element->state_count;
        element->state_count = 0;
        for (uint32_t scope = 0; scope < 2; scope++) {
            element->covers[scope] = covers[scope];
            covers[scope] += element->cover_count[scope];
            element->cover_count[scope] = 0;
        }
    }
    history->states = calloc(states + 1, sizeof history->states[0]);
    history->covers[0] = calloc(covers[0] + 1, sizeof history->covers[0][0]);
    history->covers[1] = calloc(covers[1] + 1, sizeof history->covers[1][0]);
    return history->states != NULL && history->covers[0] != NULL && history->covers[1] != NULL;
}

static int compare_states(const void *left, const void *right) {
    const struct history_state *a = left;
    const struct history_state *b = right;
    return (a->begin > b->begin) - (a->begin < b->begin);
}

static int compare_covers(const void *left, const void *right) {
    const struct cover *a = left;
    const struct cover *b = right;
    return (a->end > b->end) - (a->end < b->end);
}

/* The largest `covered` of those whose end is at most `moment`; 0: none. */
static uint64_t covered_at(const struct history *history, const struct element *element,
                           uint32_t scope, uint64_t moment) {
    const struct cover *covers = &history->covers[scope][element->covers[scope]];
    uint32_t low = 0;
    uint32_t high = element->cover_count[scope];
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (covers[middle].end <= moment) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low == 0 ? 0 : covers[low - 1].covered;
}

static void sort_element(struct history *history, struct element *element) {
    struct history_state *states = &history->states[element->states];
    qsort(states, element->state_count, sizeof states[0], compare_states);
    for (uint32_t index = 0; index < element->state_count; index++) {
        states[index].replaced =
            index + 1 < element->state_count ? states[index + 1].replaced : UINT64_MAX;
    }
    /* A write that is over has overwritten all before it, though their own calls may go on. */
    for (uint32_t index = element->state_count; index-- > 1;) {
        if (states[index - 1].replaced > states[index].replaced) {
            states[index - 1].replaced = states[index].replaced;
        }
    }
    for (uint32_t scope = 0; scope < 2; scope++) {
        struct cover *covers = &history->covers[scope][element->covers[scope]];
        uint32_t count = element->cover_count[scope];
        qsort(covers, count, sizeof covers[0], compare_covers);
        for (uint32_t index = 0; index < count; index++) {
            /* What a device asked for again was as old as the caches before it allowed. */
            uint64_t own = scope == 0 || covers[index].both
                               ? covers[index].covered
                               : covered_at(history, element, 0, covers[index].covered);
            uint64_t before = index == 0 ? 0 : covers[index - 1].covered;
            covers[index].covered = own > before ? own : before;
        }
    }
}

struct history *history_build(const struct history_log *logs, uint32_t count, uint32_t elements) {
    struct history *history = calloc(1, sizeof *history);
    if (history == NULL) {
        return NULL;
    }
    history->elements = elements;
    history->table = calloc(elements + 1, sizeof history->table[0]);
    if (history->table != NULL) {
        for_each(history, logs, count, count_record);
    }
    if (history->table == NULL || !reserve(history)) {
        history_free(history);
        return NULL;
    }
    for_each(history, logs, count, place_record);
    for (uint32_t index = 0; index < elements; index++) {
        sort_element(history, &history->table[index]);
    }
    return history;
}

void history_free(struct history *history) {
    if (history != NULL) {
        free(history->table);
        free(history->states);
        free(history->covers[0]);
        free(history->covers[1]);
        free(history);
    }
}

/* ---- The rule ---- */

const struct history_state *history_states(const struct history *history, uint32_t element,
                                           uint32_t *count) {
    *count = history->table[element].state_count;
    return &history->states[history->table[element].states];
}

/* How many states were overwritten, or begun, by then: the first ones. */
static uint32_t count_states(const struct history_state *states, uint32_t count, uint64_t clock,
                             bool overwritten) {
    uint32_t low = 0;
    uint32_t high = count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if ((overwritten ? states[middle].replaced : states[middle].begin) <= clock) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

const struct history_state *history_window(const struct history *history, uint32_t element,
                                           const struct history_moment *moment, uint32_t *count) {
    const struct element *at = &history->table[element];
    const struct history_state *states = &history->states[at->states];
    uint64_t covered = covered_at(history, at, moment->device ? 1 : 0, moment->begin);
    uint32_t first = count_states(states, at->state_count, covered, true);
    uint32_t end = count_states(states, at->state_count, moment->end, false);
    *count = end > first ? end - first : 0;
    return &states[first];
}

static bool shows(const struct history_state *state, uint64_t value, uint32_t rights) {
    return state->rights != 0 && state->value == value && (rights & ~state->rights) == 0;
}

enum history_verdict history_shows(const struct history *history, uint32_t element,
                                   const struct history_moment *moment, uint64_t value,
                                   uint32_t rights) {
    uint32_t count;
    const struct history_state *window = history_window(history, element, moment, &count);
    for (uint32_t index = 0; index < count; index++) {
        if (shows(&window[index], value, rights)) {
            return HISTORY_RIGHT;
        }
    }
    uint32_t all;
    const struct history_state *states = history_states(history, element, &all);
    enum history_verdict verdict = HISTORY_NEVER;
    for (uint32_t index = 0; index < all; index++) {
        if (shows(&states[index], value, rights)) {
            verdict = &states[index] < window    ? HISTORY_STALE
                      : verdict == HISTORY_NEVER ? HISTORY_EARLY
                                                 : verdict;
        }
    }
    return verdict;
}

enum history_verdict history_refuses(const struct history *history, uint32_t element,
                                     const struct history_moment *moment, uint32_t access) {
    uint32_t count;
    const struct history_state *window = history_window(history, element, moment, &count);
    uint32_t all;
    const struct history_state *states = history_states(history, element, &all);
    enum history_verdict verdict = HISTORY_DENIED;
    for (uint32_t index = 0; index < all; index++) {
        if (states[index].rights == 0 || (access & ~states[index].rights) != 0) {
            if (&states[index] >= window && &states[index] < window + count) {
                return HISTORY_RIGHT;
            }
            verdict = &states[index] < window     ? HISTORY_STALE
                      : verdict == HISTORY_DENIED ? HISTORY_EARLY
                                                  : verdict;
        }
    }
    return verdict;
}

const char *history_verdict_text(enum history_verdict verdict) {
    static const char *const texts[] = {
        [HISTORY_RIGHT] = "right",
        [HISTORY_STALE] = "stale",
        [HISTORY_EARLY] = "from a later write",
        [HISTORY_NEVER] = "never so",
        [HISTORY_DENIED] = "refused what was granted",
        [HISTORY_TORN] = "memory is not what the answer says",
    };
    return texts[verdict];
}

/* ---- From round to round ---- */

static bool carry_cover(struct history_log *base, uint32_t element, uint64_t covered,
                        uint32_t scope) {
    struct history_record *record = history_log_add(base);
    if (record != NULL) {
        *record = (struct history_record){.begin = covered,
                                          .end = covered,
                                          .first = element,
                                          .last = element,
                                          .kind = HISTORY_INVALIDATION,
                                          .scope = (uint8_t)scope};
    }
    return record != NULL;
}

bool history_carry(const struct history *history, struct history_log *base) {
    bool fine = true;
    base->count = 0;
    for (uint32_t index = 0; index < history->elements && fine; index++) {
        const struct element *element = &history->table[index];
        uint64_t caches = covered_at(history, element, 0, UINT64_MAX);
        uint64_t devices = covered_at(history, element, 1, UINT64_MAX);
        const struct history_state *states = &history->states[element->states];
        uint64_t end = 0; /* of the state's own write */
        /* `devices` is never more than `caches`. What is just over tells a stale answer from one
         * that was never so. */
        uint32_t over = count_states(states, element->state_count, devices, true);
        uint32_t first = over < KEPT_STATES ? 0 : over - KEPT_STATES;
        for (uint32_t at = 0; at < element->state_count && fine; at++) {
            if (at >= first) {
                struct history_record *record = history_log_add(base);
                fine = record != NULL;
                if (fine) {
                    *record = (struct history_record){.begin = states[at].begin,
                                                      .end = end,
                                                      .value = states[at].value,
                                                      .first = index,
                                                      .last = index,
                                                      .rights = states[at].rights,
                                                      .kind = HISTORY_WRITE};
                }
            }
            end = states[at].replaced;
        }
        fine = fine && carry_cover(base, index, devices, HISTORY_BOTH) &&
               carry_cover(base, index, caches, HISTORY_CACHES);
    }
    return fine;
}
