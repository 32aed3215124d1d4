/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * history_round.c - judging a round of a trial, and making a wrong answer's history small.
 */
#define _GNU_SOURCE
#include "history_run.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TEXT_BYTES 8192u

struct question {
    const struct history_world *world;
    const struct history_record *answer;
};

static enum history_verdict judge(void *context, const struct history *history) {
    const struct question *question = context;
    return history_judge_answer(question->world, history, question->answer);
}

/* Does the record concern one of the elements? */
static bool concerns(const struct history_record *record, const uint32_t *elements,
                     uint32_t count) {
    bool any = false;
    for (uint32_t at = 0; at < count && record->kind != HISTORY_ANSWER; at++) {
        any = any || (elements[at] >= record->first && elements[at] <= record->last);
    }
    return any;
}

/* What all threads did to the elements of one answer. */
static void gather(struct history_log *into, const struct history_log *logs, uint32_t count,
                   const uint32_t *elements, uint32_t element_count) {
    for (uint32_t log = 0; log < count; log++) {
        for (uint32_t at = 0; at < logs[log].count; at++) {
            const struct history_record *record = &logs[log].records[at];
            struct history_record *copy =
                concerns(record, elements, element_count) ? history_log_add(into) : NULL;
            if (copy != NULL) {
                *copy = *record;
            }
        }
    }
}

/* Prints the smallest history: on one line into `first`, and as it is where that is asked for. */
static void explain(struct history_run *run, const struct history_log *logs, uint32_t count,
                    const struct history_record *answer, enum history_verdict verdict, char *first,
                    size_t bytes) {
    struct history_log small;
    char *text = malloc(TEXT_BYTES);
    uint32_t elements[HISTORY_CHAIN];
    uint32_t element_count = history_chain(&run->world, answer, elements);
    if (text == NULL || !history_log_create(&small, (count + 1) * HISTORY_LOG_RECORDS)) {
        free(text);
        return;
    }
    gather(&small, logs, count, elements, element_count);
    struct question question = {&run->world, answer};
    (void)history_shrink(&small, run->world.elements, judge, &question);
    (void)snprintf(text, TEXT_BYTES, "seed %" PRIu64 ": ", run->seed);
    size_t length = strlen(text);
    history_describe(&run->world, answer, verdict, text + length, TEXT_BYTES - length);
    length += strlen(text + length);
    text[length++] = '\n';
    text[length] = 0;
    (void)history_print(&small, history_element_name, &run->world, text + length,
                        TEXT_BYTES - length);
    const char *wanted = getenv("IOMMU_HISTORY_PRINT");
    if (wanted != NULL && strcmp(wanted, "1") == 0) {
        (void)fprintf(stderr, "%s", text);
    }
    for (char *end = text; *end != 0; end++) {
        *end = *end == '\n' ? ';' : *end;
    }
    (void)snprintf(first, bytes, "%.*s", (int)bytes - 1, text);
    history_log_destroy(&small);
    free(text);
}

static uint64_t judge_log(struct history_run *run, const struct history *history,
                          const struct history_log *logs, uint32_t count, uint32_t which,
                          uint64_t *answers, char *first, size_t first_bytes) {
    uint64_t wrong = 0;
    for (uint32_t at = 0; at < logs[which].count; at++) {
        const struct history_record *record = &logs[which].records[at];
        if (record->kind != HISTORY_ANSWER) {
            continue;
        }
        enum history_verdict verdict = history_judge_answer(&run->world, history, record);
        (*answers)++;
        run->seen[record->scope]++;
        if (verdict != HISTORY_RIGHT) {
            wrong++;
            if (first[0] == 0) {
                explain(run, logs, count, record, verdict, first, first_bytes);
            }
        }
    }
    return wrong;
}

uint64_t history_judge_round(struct history_run *run, uint64_t *answers, char *first,
                             size_t first_bytes) {
    struct history_log logs[HISTORY_THREADS + 1];
    uint64_t wrong = 0;
    logs[0] = run->base;
    for (uint32_t at = 0; at < run->count; at++) {
        logs[at + 1] = run->threads[at].log;
    }
    struct history *history = history_build(logs, run->count + 1, run->world.elements);
    if (history == NULL) {
        (void)snprintf(first, first_bytes, "no memory to judge with");
        return 1;
    }
    for (uint32_t at = 1; at <= run->count; at++) {
        wrong += judge_log(run, history, logs, run->count + 1, at, answers, first, first_bytes);
    }
    if (!history_carry(history, &run->base) && first[0] == 0) {
        (void)snprintf(first, first_bytes, "too much to carry from round to round");
        wrong++;
    }
    history_free(history);
    for (uint32_t at = 0; at < run->count; at++) {
        run->threads[at].log.count = 0;
    }
    return wrong;
}
