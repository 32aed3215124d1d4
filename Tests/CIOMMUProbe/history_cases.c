/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * history_cases.c - the rule on histories written by hand: at each border of a window, and just
 * beyond it.
 */
#include "history.h"
#include "history_probe.h"

#include <stdio.h>
#include <string.h>

#define RECORDS 12u
#define ELEMENTS 4u
#define RW 3u

#define WRITE(element, from, to, what, allowed)                                                    \
    {.kind = HISTORY_WRITE,                                                                        \
     .first = (element),                                                                           \
     .last = (element),                                                                            \
     .begin = (from),                                                                              \
     .end = (to),                                                                                  \
     .value = (what),                                                                              \
     .rights = (allowed)}
#define COVER(one, other, from, to, reach)                                                         \
    {.kind = HISTORY_INVALIDATION,                                                                 \
     .first = (one),                                                                               \
     .last = (other),                                                                              \
     .begin = (from),                                                                              \
     .end = (to),                                                                                  \
     .scope = (reach)}

/* A question about element 1, and what the rule must say. Rights 0: was `access` refused? */
struct question {
    const char *name;
    uint64_t begin;
    uint64_t end;
    bool device;
    uint64_t value;
    uint32_t rights;
    uint32_t access;
    enum history_verdict verdict;
};

struct expected_case {
    struct history_record records[RECORDS];
    struct question questions[12];
};

/* 1 until 4, 2 from 3 on; invalidated from 5 to 6. */
static const struct expected_case moved = {
    .records = {WRITE(1, 0, 0, 1, RW), WRITE(1, 3, 4, 2, RW), COVER(0, 2, 5, 6, HISTORY_BOTH)},
    .questions =
        {
            {"before everything", 0, 2, false, 1, RW, 0, HISTORY_RIGHT},
            {"the write had not begun", 0, 2, false, 2, RW, 0, HISTORY_EARLY},
            {"the write had just begun", 0, 3, false, 2, RW, 0, HISTORY_RIGHT},
            {"written, not invalidated", 4, 4, false, 1, RW, 0, HISTORY_RIGHT},
            {"begun while the invalidation ran", 5, 9, false, 1, RW, 0, HISTORY_RIGHT},
            {"begun when it completed", 6, 6, false, 1, RW, 0, HISTORY_STALE},
            {"begun long after", 60, 61, false, 1, RW, 0, HISTORY_STALE},
            {"the new one", 6, 6, false, 2, RW, 0, HISTORY_RIGHT},
            {"a device after it completed", 6, 6, true, 1, RW, 0, HISTORY_STALE},
            {"what nobody wrote", 4, 5, false, 3, RW, 0, HISTORY_NEVER},
            {"refused although always granted", 4, 5, false, 0, 0, RW, HISTORY_DENIED},
        },
};

/* The same, asked for before the write was over: it covers nothing. */
static const struct expected_case asked_early = {
    .records = {WRITE(1, 0, 0, 1, RW), WRITE(1, 3, 5, 2, RW), COVER(0, 2, 4, 6, HISTORY_BOTH)},
    .questions = {{"asked for too early", 7, 8, false, 1, RW, 0, HISTORY_RIGHT}},
};
/* The neighbours are covered, it is not; a wider one completed before it was asked again. */
static const struct expected_case neighbours = {
    .records = {WRITE(1, 0, 0, 1, RW), WRITE(1, 3, 4, 2, RW), COVER(0, 0, 5, 6, HISTORY_BOTH),
                COVER(2, 3, 5, 6, HISTORY_BOTH)},
    .questions = {{"only neighbours", 7, 8, false, 1, RW, 0, HISTORY_RIGHT}},
};
/* An old long invalidation and a new short one: the later request decides, whichever ends last. */
static const struct expected_case overlapping = {
    .records = {WRITE(1, 0, 0, 1, RW), WRITE(1, 3, 4, 2, RW), COVER(1, 1, 2, 9, HISTORY_BOTH),
                COVER(1, 1, 5, 6, HISTORY_BOTH)},
    .questions =
        {
            {"between the two ends", 6, 7, false, 1, RW, 0, HISTORY_STALE},
            {"after both", 9, 9, false, 1, RW, 0, HISTORY_STALE},
            {"before both", 5, 7, false, 1, RW, 0, HISTORY_RIGHT},
        },
};
/* Writes without invalidations: all of them may show, until one covers some. */
static const struct expected_case piled_up = {
    .records = {WRITE(1, 0, 0, 1, RW), WRITE(1, 1, 2, 2, RW), WRITE(1, 3, 4, 3, RW),
                COVER(1, 1, 4, 5, HISTORY_BOTH), WRITE(1, 6, 7, 1, RW)},
    .questions =
        {
            {"the first", 4, 4, false, 1, RW, 0, HISTORY_RIGHT},
            {"the second", 4, 4, false, 2, RW, 0, HISTORY_RIGHT},
            {"the second, covered", 5, 5, false, 2, RW, 0, HISTORY_STALE},
            {"the third, overwritten", 7, 8, false, 3, RW, 0, HISTORY_RIGHT},
            {"the first again", 7, 8, false, 1, RW, 0, HISTORY_RIGHT},
            {"the first again, too early", 5, 5, false, 1, RW, 0, HISTORY_STALE},
        },
};
/* One call takes it away from 2 to 9, and another's puts it back meanwhile. */
static const struct expected_case put_back = {
    .records = {WRITE(1, 0, 0, 1, RW), WRITE(1, 2, 9, 0, 0), WRITE(1, 4, 5, 2, RW),
                COVER(1, 1, 5, 5, HISTORY_CACHES), COVER(1, 1, 9, 9, HISTORY_BOTH)},
    .questions =
        {
            {"the old one, begun before it was back", 4, 6, false, 1, RW, 0, HISTORY_RIGHT},
            {"the old one, begun when it was back", 5, 6, false, 1, RW, 0, HISTORY_STALE},
            {"refused, begun when it was back", 5, 6, false, 0, 0, RW, HISTORY_STALE},
            {"the new one", 5, 6, false, 2, RW, 0, HISTORY_RIGHT},
            {"a device while the first call runs", 5, 6, true, 1, RW, 0, HISTORY_RIGHT},
            {"a device after both calls", 9, 9, true, 1, RW, 0, HISTORY_STALE},
        },
};
/* Mapped from 2 on; read-only from 5 on, absent from 8 on. */
static const struct expected_case rights = {
    .records = {WRITE(1, 0, 0, 0, 0), WRITE(1, 2, 3, 1, RW), COVER(1, 1, 3, 3, HISTORY_BOTH),
                WRITE(1, 5, 6, 1, 1), COVER(1, 1, 6, 6, HISTORY_BOTH), WRITE(1, 8, 9, 0, 0),
                COVER(1, 1, 9, 9, HISTORY_BOTH)},
    .questions =
        {
            {"absent", 0, 1, false, 0, 0, 1, HISTORY_RIGHT},
            {"absent after the map returned", 3, 4, false, 0, 0, 1, HISTORY_STALE},
            {"absent while it ran", 2, 4, false, 0, 0, 1, HISTORY_RIGHT},
            {"writing while it is protected", 5, 5, false, 1, RW, 0, HISTORY_RIGHT},
            {"writing after", 6, 7, false, 1, 2, 0, HISTORY_STALE},
            {"reading after", 6, 7, false, 1, 1, 0, HISTORY_RIGHT},
            {"refused to write", 6, 7, false, 0, 0, 2, HISTORY_RIGHT},
            {"refused to read", 6, 7, false, 0, 0, 1, HISTORY_STALE},
            {"refused to write before", 3, 4, false, 0, 0, 2, HISTORY_STALE},
            {"reading when it is gone", 9, 9, false, 1, 1, 0, HISTORY_STALE},
            {"absent before it was", 6, 7, false, 0, 0, 1, HISTORY_STALE},
        },
};
/* Overwritten by 4. Caches from 5 to 6; devices from 7 to 8. */
static const struct expected_case devices = {
    .records = {WRITE(1, 0, 0, 1, RW), WRITE(1, 3, 4, 2, RW), COVER(1, 1, 5, 6, HISTORY_CACHES),
                COVER(1, 1, 7, 8, HISTORY_DEVICES)},
    .questions =
        {
            {"from caches", 6, 6, false, 1, RW, 0, HISTORY_STALE},
            {"from a device that was not asked", 7, 7, true, 1, RW, 0, HISTORY_RIGHT},
            {"from a device that was", 8, 8, true, 1, RW, 0, HISTORY_STALE},
            {"the new one", 8, 8, true, 2, RW, 0, HISTORY_RIGHT},
        },
};
/* The device was asked before the caches were covered: it may have asked again. */
static const struct expected_case device_first = {
    .records = {WRITE(1, 0, 0, 1, RW), WRITE(1, 3, 4, 2, RW), COVER(1, 1, 5, 7, HISTORY_CACHES),
                COVER(1, 1, 6, 8, HISTORY_DEVICES)},
    .questions = {{"asked before", 9, 9, true, 1, RW, 0, HISTORY_RIGHT},
                  {"from caches", 9, 9, false, 1, RW, 0, HISTORY_STALE}},
};

static const struct expected_case *const cases[] = {&moved,       &asked_early, &neighbours,
                                                    &overlapping, &piled_up,    &put_back,
                                                    &rights,      &devices,     &device_first};

static uint32_t length_of(const struct expected_case *expected) {
    uint32_t count = 0;
    while (count < RECORDS && expected->records[count].kind != 0) {
        count++;
    }
    return count;
}

static enum history_verdict ask(const struct history *history, const struct question *question) {
    const struct history_moment moment = {question->begin, question->end, question->device};
    return question->rights != 0
               ? history_shows(history, 1, &moment, question->value, question->rights)
               : history_refuses(history, 1, &moment, question->access);
}

static void complain(char *first, size_t bytes, const char *what, const char *said) {
    if (first[0] == 0) {
        (void)snprintf(first, bytes, "%s: %s", what, said);
    }
}

static uint64_t check_questions(const struct history *history, const struct expected_case *expected,
                                const char *suffix, char *first, size_t bytes) {
    uint64_t wrong = 0;
    for (uint32_t index = 0; expected->questions[index].name != NULL; index++) {
        const struct question *question = &expected->questions[index];
        enum history_verdict verdict = ask(history, question);
        if (verdict != question->verdict) {
            char what[120];
            (void)snprintf(what, sizeof what, "%s%s", question->name, suffix);
            complain(first, bytes, what, history_verdict_text(verdict));
            wrong++;
        }
    }
    return wrong;
}

/* What is asked after a round's end is answered the same from what was carried over. */
static uint64_t check_carried(const struct history *history, const struct expected_case *expected,
                              char *first, size_t bytes) {
    const uint64_t late = 100;
    uint64_t wrong = 0;
    struct history_log base;
    if (!history_log_create(&base, 64) || !history_carry(history, &base)) {
        complain(first, bytes, "carry", "no room");
        return 1;
    }
    struct history *next = history_build(&base, 1, ELEMENTS);
    for (uint32_t index = 0; next != NULL && expected->questions[index].name != NULL; index++) {
        struct question question = expected->questions[index];
        question.begin = late;
        question.end = late + 1;
        bool fine = ask(history, &question) == HISTORY_RIGHT;
        if (fine != (ask(next, &question) == HISTORY_RIGHT)) {
            complain(first, bytes, question.name, "changed by carrying");
            wrong++;
        }
    }
    history_free(next);
    history_log_destroy(&base);
    return wrong + (next == NULL);
}

static enum history_verdict judge(void *context, const struct history *history) {
    return ask(history, context);
}

/* Shrinks the stale answers of a history; `left` is what must remain of it. */
static uint64_t check_shrinking(const struct expected_case *expected, uint32_t at, uint32_t left,
                                char *first, size_t bytes) {
    struct history_log log;
    if (!history_log_create(&log, RECORDS)) {
        return 1;
    }
    log.count = length_of(expected);
    memcpy(log.records, expected->records, log.count * sizeof log.records[0]);
    struct question question = expected->questions[at];
    bool fine = history_shrink(&log, ELEMENTS, judge, &question) && log.count == left;
    char text[400];
    fine = fine && history_print(&log, NULL, NULL, text, sizeof text) == strlen(text);
    if (!fine) {
        char said[40];
        (void)snprintf(said, sizeof said, "%u records left", log.count);
        complain(first, bytes, question.name, said);
    }
    history_log_destroy(&log);
    return !fine;
}

uint64_t probe_history_case_errors(uint32_t *checked, char *first, size_t bytes) {
    uint64_t wrong = 0;
    first[0] = 0;
    *checked = 0;
    for (uint32_t index = 0; index < sizeof cases / sizeof cases[0]; index++) {
        const struct expected_case *expected = cases[index];
        struct history_log log = {(struct history_record *)expected->records, length_of(expected),
                                  RECORDS};
        struct history *history = history_build(&log, 1, ELEMENTS);
        if (history == NULL) {
            return wrong + 1;
        }
        wrong += check_questions(history, expected, "", first, bytes);
        wrong += check_carried(history, expected, first, bytes);
        for (uint32_t at = 0; expected->questions[at].name != NULL; at++) {
            (*checked)++;
        }
        history_free(history);
    }
    /* The state, its end, the invalidation; of a window's later states nothing. */
    wrong += check_shrinking(&moved, 5, 3, first, bytes);
    wrong += check_shrinking(&overlapping, 1, 3, first, bytes);
    wrong += check_shrinking(&piled_up, 2, 3, first, bytes);
    /* What was never written needs no history; what was refused needs the refusing state. */
    wrong += check_shrinking(&moved, 9, 0, first, bytes);
    wrong += check_shrinking(&rights, 7, 3, first, bytes);
    /* For a device both invalidations are needed. */
    wrong += check_shrinking(&devices, 2, 4, first, bytes);
    *checked += 6;
    return wrong;
}
