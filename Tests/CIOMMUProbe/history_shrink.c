/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * history_shrink.c - a wrong answer's history made small: records are taken away, many at a time
 * and then one by one, as long as the answer stays wrong in the same way. See history.h.
 */
#include "history.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct shrinking {
    struct history_log *log;
    struct history_log trial; /* as large */
    uint32_t elements;
    history_judge judge;
    void *context;
    enum history_verdict verdict;
};

static enum history_verdict judge_log(const struct shrinking *s, const struct history_log *log) {
    struct history *history = history_build(log, 1, s->elements);
    enum history_verdict verdict = history == NULL ? HISTORY_RIGHT : s->judge(s->context, history);
    history_free(history);
    return verdict;
}

/* Does the answer stay wrong without records first...first+count-1? Then they are gone. */
static bool take_away(struct shrinking *s, uint32_t first, uint32_t count) {
    s->trial.count = 0;
    for (uint32_t index = 0; index < s->log->count; index++) {
        if (index < first || index >= first + count) {
            s->trial.records[s->trial.count++] = s->log->records[index];
        }
    }
    if (judge_log(s, &s->trial) != s->verdict) {
        return false;
    }
    memcpy(s->log->records, s->trial.records, s->trial.count * sizeof s->trial.records[0]);
    s->log->count = s->trial.count;
    return true;
}

/* One pass with pieces of that size; true if any went. */
static bool pass(struct shrinking *s, uint32_t size) {
    bool any = false;
    uint32_t first = 0;
    while (first < s->log->count) {
        uint32_t rest = s->log->count - first;
        if (take_away(s, first, size < rest ? size : rest)) {
            any = true;
        } else {
            first += size;
        }
    }
    return any;
}

static int compare_records(const void *left, const void *right) {
    const struct history_record *a = left;
    const struct history_record *b = right;
    return a->begin != b->begin ? (a->begin > b->begin) - (a->begin < b->begin)
                                : (a->kind > b->kind) - (a->kind < b->kind);
}

bool history_shrink(struct history_log *log, uint32_t elements, history_judge judge,
                    void *context) {
    struct shrinking s = {.log = log, .elements = elements, .judge = judge, .context = context};
    s.verdict = judge_log(&s, log);
    if (s.verdict == HISTORY_RIGHT || !history_log_create(&s.trial, log->count)) {
        return false;
    }
    for (uint32_t size = log->count / 2; size > 0; size /= 2) {
        (void)pass(&s, size);
    }
    while (pass(&s, 1)) {
    }
    history_log_destroy(&s.trial);
    qsort(log->records, log->count, sizeof log->records[0], compare_records);
    return true;
}

/* ---- Printing ---- */

struct page {
    char *text;
    size_t bytes;
    size_t used;
};

__attribute__((format(printf, 2, 3))) static void put(struct page *page, const char *format, ...) {
    if (page->used + 1 >= page->bytes) {
        return;
    }
    va_list list;
    va_start(list, format);
    int length = vsnprintf(page->text + page->used, page->bytes - page->used, format, list);
    va_end(list);
    size_t left = page->bytes - page->used - 1;
    page->used += length < 0 ? 0 : (size_t)length < left ? (size_t)length : left;
}

static void put_element(struct page *page, const char *(*name)(void *, uint32_t), void *context,
                        uint32_t element) {
    if (name != NULL) {
        put(page, "%s", name(context, element));
    } else {
        put(page, "element %" PRIu32, element);
    }
}

size_t history_print(const struct history_log *log, const char *(*name)(void *, uint32_t),
                     void *context, char *text, size_t bytes) {
    struct page page = {text, bytes, 0};
    if (bytes != 0) {
        text[0] = 0;
    }
    for (uint32_t index = 0; index < log->count; index++) {
        const struct history_record *record = &log->records[index];
        put(&page, "%" PRIu64 "-%" PRIu64 " ", record->begin, record->end);
        put_element(&page, name, context, record->first);
        if (record->kind == HISTORY_WRITE && record->rights == 0) {
            put(&page, " := absent\n");
        } else if (record->kind == HISTORY_WRITE) {
            put(&page, " := %" PRIx64 " %s%s\n", record->value,
                (record->rights & 1) != 0 ? "r" : "", (record->rights & 2) != 0 ? "w" : "");
        } else {
            if (record->last != record->first) {
                put(&page, " to ");
                put_element(&page, name, context, record->last);
            }
            put(&page, " invalidated%s\n",
                record->scope == HISTORY_CACHES    ? " (not in devices)"
                : record->scope == HISTORY_DEVICES ? " (in devices)"
                                                   : "");
        }
    }
    return page.used;
}
