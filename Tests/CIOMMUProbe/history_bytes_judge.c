/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * history_bytes_judge.c - judges the answers of history_bytes.h: some way through states that may
 * have shown must explain each.
 */
#include "history_bytes.h"

struct judging {
    const struct bytes_world *world;
    const struct history *history;
    const struct history_record *answer;
    struct history_moment moment;
    uint32_t page;
    uint32_t access;
};

/* A verdict of one way: the best of all counts. */
static enum history_verdict better(enum history_verdict one, enum history_verdict other) {
    if (one == HISTORY_RIGHT || other == HISTORY_RIGHT) {
        return HISTORY_RIGHT;
    }
    return one == HISTORY_STALE || other == HISTORY_STALE ? HISTORY_STALE
           : one == HISTORY_NEVER                         ? other
                                                          : one;
}

static enum history_verdict worse(enum history_verdict one, enum history_verdict other) {
    return one != HISTORY_RIGHT ? one : other;
}

static enum history_verdict element_shows(const struct judging *j, uint32_t element,
                                          uint64_t value) {
    return history_shows(j->history, element, &j->moment, value, j->answer->rights);
}

static enum history_verdict element_refuses(const struct judging *j, uint32_t element) {
    return history_refuses(j->history, element, &j->moment, j->access);
}

/* May that instance have given the answer's address? */
static enum history_verdict shows(const struct judging *j, uint32_t instance) {
    uint64_t address = j->answer->value;
    uint32_t parent = j->world->instances[instance].parent;
    uint32_t element = bytes_element(instance, j->page);
    if (instance == BYTES_BLOCKED) {
        return HISTORY_NEVER;
    }
    if (instance == BYTES_IDENTITY) {
        return address == BYTES_IOVA + j->page * BYTES_PAGE ? HISTORY_RIGHT : HISTORY_NEVER;
    }
    if (parent == 0) {
        return element_shows(j, element, address);
    }
    enum history_verdict verdict = HISTORY_NEVER;
    uint32_t count;
    const struct history_state *window = history_window(j->history, element, &j->moment, &count);
    for (uint32_t at = 0; at < count; at++) {
        if (window[at].rights != 0 && (j->answer->rights & ~window[at].rights) == 0) {
            verdict =
                better(verdict, element_shows(j, bytes_element(parent, (uint32_t)window[at].value),
                                              address));
        }
    }
    return worse(verdict,
                 history_shows(j->history, bytes_tables(parent), &j->moment, 0, CIOMMU_READ));
}

static enum history_verdict refuses(const struct judging *j, uint32_t instance) {
    uint32_t parent = j->world->instances[instance].parent;
    uint32_t element = bytes_element(instance, j->page);
    if (instance == BYTES_BLOCKED) {
        return HISTORY_RIGHT;
    }
    if (instance == BYTES_IDENTITY) {
        return HISTORY_DENIED;
    }
    enum history_verdict verdict = element_refuses(j, element);
    if (parent == 0) {
        return verdict;
    }
    uint32_t count;
    const struct history_state *window = history_window(j->history, element, &j->moment, &count);
    for (uint32_t at = 0; at < count; at++) {
        if (window[at].rights != 0) {
            verdict = better(verdict,
                             element_refuses(j, bytes_element(parent, (uint32_t)window[at].value)));
        }
    }
    return better(verdict, element_refuses(j, bytes_tables(parent)));
}

/* What lies behind the address. */
static enum history_verdict memory_shows(const struct judging *j) {
    const struct history_record *answer = j->answer;
    const struct history_moment now = {j->moment.begin, j->moment.end, false};
    uint64_t output = (answer->value - BYTES_OUTPUT) / BYTES_PAGE;
    bool backed = answer->value >= BYTES_OUTPUT && output < BYTES_OUTPUTS;
    if (answer->scope == BYTES_UNLOOKED) {
        return HISTORY_RIGHT;
    }
    uint32_t element = (uint32_t)output / BYTES_RANGE_PAGES;
    if (answer->scope == BYTES_NO_HOST) {
        return backed ? history_refuses(j->history, element, &now, j->access) : HISTORY_RIGHT;
    }
    uint32_t copy = (uint32_t)answer->seen & 0xffff;
    if (!backed || answer->seen != bytes_stamp((uint32_t)output, copy)) {
        return HISTORY_TORN;
    }
    return history_shows(j->history, element, &now, copy, j->access & BYTES_RW);
}

static enum history_verdict judge(const struct judging *j) {
    bool refused = j->answer->scope == BYTES_FAULT;
    enum history_verdict verdict = HISTORY_NEVER;
    uint32_t count;
    const struct history_state *window =
        history_window(j->history, j->answer->first, &j->moment, &count);
    for (uint32_t at = 0; at < count; at++) {
        uint32_t instance = (uint32_t)window[at].value;
        enum history_verdict one = window[at].rights == 0
                                       ? (refused ? HISTORY_RIGHT : HISTORY_NEVER)
                                   : refused ? refuses(j, instance)
                                             : shows(j, instance);
        verdict = better(verdict, one);
    }
    return refused || verdict != HISTORY_RIGHT ? verdict : memory_shows(j);
}

enum history_verdict bytes_judge(const struct bytes_world *world,
                                 const struct history_record **wrong) {
    enum history_verdict verdict = HISTORY_RIGHT;
    struct history *history = history_build(&world->log, 1, BYTES_ELEMENTS);
    for (uint32_t at = 0; history != NULL && at < world->log.count && verdict == HISTORY_RIGHT;
         at++) {
        const struct history_record *record = &world->log.records[at];
        if (record->kind == HISTORY_ANSWER) {
            const struct judging j = {
                .world = world,
                .history = history,
                .answer = record,
                .moment = {record->begin, record->end, record->scope == BYTES_DEVICE_USE},
                .page = record->last >> 8,
                .access = record->last & 0xff,
            };
            verdict = judge(&j);
            *wrong = record;
        }
    }
    history_free(history);
    return verdict;
}
