/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * history_judge.c - what an answer says about each element it depends on, and whether that was
 * right. See history_world.h.
 */
#include "history_world.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* An answer taken apart. */
struct parts {
    const struct history_target *target;
    const struct history_space *space;
    uint32_t number; /* of the space */
    uint32_t page;
    uint32_t side;
    uint32_t parent_side;
    uint32_t output;
};

static struct history_moment moment_of(const struct history_record *answer) {
    return (struct history_moment){answer->begin, answer->end, answer->scope == HISTORY_DEVICE_USE};
}

static uint32_t page_of(const struct history_record *answer) {
    return answer->last >> 8;
}

static uint32_t access_of(const struct history_record *answer) {
    return answer->last & 0xff;
}

/* Is the output page one of that space? Then which way leads there? */
static bool find_way(const struct history_space *space, struct parts *parts) {
    uint32_t at = parts->output - space->outputs;
    if (parts->output < space->outputs || at >= space->output_count) {
        return false;
    }
    parts->space = space;
    parts->parent_side = 0;
    if (parts->number == HISTORY_LARGE) {
        parts->side = at / HISTORY_LARGE_PAGES;
        parts->page = at % HISTORY_LARGE_PAGES / HISTORY_LARGE_STEP;
        return at % HISTORY_LARGE_STEP == 0;
    }
    if (space->parents != HISTORY_NO_ELEMENT) {
        parts->parent_side = at % 2;
        at /= 2;
    }
    parts->side = at % 2;
    parts->page = at / 2;
    return true;
}

/* False: no way of the target leads there. */
static bool take_apart(const struct history_world *world, const struct history_record *answer,
                       struct parts *parts) {
    parts->target = &world->targets[answer->first];
    uint64_t offset = answer->value - HISTORY_OUTPUT;
    if (answer->value < HISTORY_OUTPUT || offset / HISTORY_PAGE >= world->output_count ||
        offset % HISTORY_PAGE != 0) {
        return false;
    }
    parts->output = (uint32_t)(offset / HISTORY_PAGE);
    uint32_t spaces = parts->target->binding == HISTORY_NO_ELEMENT ? 1 : 2;
    for (uint32_t at = 0; at < spaces; at++) {
        parts->number = parts->target->space + at;
        if (find_way(&world->spaces[parts->number], parts)) {
            return parts->page == page_of(answer);
        }
    }
    return false;
}

/* The first verdict that is not HISTORY_RIGHT. */
static enum history_verdict worse(enum history_verdict one, enum history_verdict other) {
    return one != HISTORY_RIGHT ? one : other;
}

static enum history_verdict judge_mapped(const struct history_world *world,
                                         const struct history *history,
                                         const struct history_record *answer) {
    struct parts parts;
    const struct history_moment moment = moment_of(answer);
    if (!take_apart(world, answer, &parts)) {
        return HISTORY_NEVER;
    }
    enum history_verdict verdict = HISTORY_RIGHT;
    if (parts.target->binding != HISTORY_NO_ELEMENT) {
        verdict = history_shows(history, parts.target->binding, &moment,
                                parts.number - parts.target->space, answer->rights);
    }
    verdict = worse(verdict, history_shows(history, history_leaf(parts.space, parts.page), &moment,
                                           parts.side, answer->rights));
    if (parts.space->parents != HISTORY_NO_ELEMENT) {
        verdict = worse(verdict,
                        history_shows(history, history_parent(parts.space, parts.page, parts.side),
                                      &moment, parts.parent_side, answer->rights));
    }
    /* Whoever stored an output address resolves the memory behind it again. */
    const struct history_moment now = {answer->begin, answer->end, false};
    uint32_t memory = history_memory(world, parts.output);
    if (answer->scope == HISTORY_NO_HOST) {
        return worse(verdict, history_refuses(history, memory, &now, access_of(answer)));
    }
    if (answer->scope == HISTORY_UNLOOKED) {
        return verdict;
    }
    uint32_t copy = answer->seen == history_stamp(parts.output, 1) ? 1 : 0;
    if (answer->seen != history_stamp(parts.output, copy)) {
        return worse(verdict, HISTORY_TORN);
    }
    return worse(verdict, history_shows(history, memory, &now, copy, answer->rights));
}

/* Of two reasons why nothing may be refused, the one that says more. */
static enum history_verdict clearer(enum history_verdict one, enum history_verdict other) {
    return one == HISTORY_STALE || other == HISTORY_STALE ? HISTORY_STALE
           : one == HISTORY_EARLY                         ? one
                                                          : other;
}

/* A leaf of that space, or what its parent has there. */
static enum history_verdict judge_refused_in(const struct history_space *space,
                                             const struct history *history,
                                             const struct history_record *answer) {
    const struct history_moment moment = moment_of(answer);
    uint32_t page = page_of(answer);
    uint32_t leaf = history_leaf(space, page);
    enum history_verdict verdict = history_refuses(history, leaf, &moment, access_of(answer));
    uint32_t count;
    const struct history_state *window = history_window(history, leaf, &moment, &count);
    for (uint32_t at = 0; at < count && space->parents != HISTORY_NO_ELEMENT; at++) {
        uint32_t parent = history_parent(space, page, (uint32_t)window[at].value);
        enum history_verdict other = history_refuses(history, parent, &moment, access_of(answer));
        verdict = verdict == HISTORY_RIGHT || other == HISTORY_RIGHT ? HISTORY_RIGHT
                                                                     : clearer(verdict, other);
    }
    return verdict;
}

/* Any element that may have refused is enough. */
static enum history_verdict judge_refused(const struct history_world *world,
                                          const struct history *history,
                                          const struct history_record *answer) {
    const struct history_target *target = &world->targets[answer->first];
    const struct history_moment moment = moment_of(answer);
    if (target->binding == HISTORY_NO_ELEMENT) {
        return judge_refused_in(&world->spaces[target->space], history, answer);
    }
    enum history_verdict verdict =
        history_refuses(history, target->binding, &moment, access_of(answer));
    uint32_t count;
    const struct history_state *window = history_window(history, target->binding, &moment, &count);
    for (uint32_t at = 0; at < count; at++) {
        enum history_verdict other =
            judge_refused_in(&world->spaces[target->space + window[at].value], history, answer);
        verdict = verdict == HISTORY_RIGHT || other == HISTORY_RIGHT ? HISTORY_RIGHT
                                                                     : clearer(verdict, other);
    }
    return verdict;
}

enum history_verdict history_judge_answer(const struct history_world *world,
                                          const struct history *history,
                                          const struct history_record *answer) {
    return answer->scope == HISTORY_FAULT ? judge_refused(world, history, answer)
                                          : judge_mapped(world, history, answer);
}

uint32_t history_chain(const struct history_world *world, const struct history_record *answer,
                       uint32_t elements[HISTORY_CHAIN]) {
    const struct history_target *target = &world->targets[answer->first];
    struct parts parts;
    uint32_t count = 0;
    if (target->binding != HISTORY_NO_ELEMENT) {
        elements[count++] = target->binding;
    }
    for (uint32_t at = 0; at < (target->binding == HISTORY_NO_ELEMENT ? 1u : 2u); at++) {
        const struct history_space *space = &world->spaces[target->space + at];
        elements[count++] = history_leaf(space, page_of(answer));
        for (uint32_t side = 0; side < 2 && space->parents != HISTORY_NO_ELEMENT; side++) {
            elements[count++] = history_parent(space, page_of(answer), side);
        }
    }
    if (answer->scope != HISTORY_FAULT && take_apart(world, answer, &parts)) {
        elements[count++] = history_memory(world, parts.output);
    }
    return count;
}

void history_describe(struct history_world *world, const struct history_record *answer,
                      enum history_verdict verdict, char *text, size_t bytes) {
    static const char *const forms[] = {"", "", ", no memory", ", outside of a section",
                                        ", from a device's cache"};
    const struct history_target *target = &world->targets[answer->first];
    char said[96] = "refused";
    if (answer->scope != HISTORY_FAULT) {
        (void)snprintf(said, sizeof said, "%" PRIx64 " (holds %" PRIx64 "), rights %u",
                       answer->value, answer->seen, answer->rights);
    }
    (void)snprintf(text, bytes,
                   "%" PRIu64 "-%" PRIu64 " source %x pasid %x %s page %u for %s%s: %s%s: %s",
                   answer->begin, answer->end, target->source, target->pasid,
                   world->spaces[target->space].name, page_of(answer),
                   (access_of(answer) & CIOMMU_READ) != 0 ? "r" : "",
                   (access_of(answer) & CIOMMU_WRITE) != 0 ? "w" : "", said, forms[answer->scope],
                   history_verdict_text(verdict));
}
