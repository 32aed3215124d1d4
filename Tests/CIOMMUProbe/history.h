/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * history.h - what threads did to translations and what they were answered, in logs; and the rule
 * of DESIGN.md's promise 1 that says afterwards which answers were right.
 *
 * Protocol
 *   - Clock: one counter of events. Only those who change something add to it; readers only load
 *     it, so that they write no line that another thread reads, and order nobody before anybody. A
 *     changer adds before its first store (`begin` of a write), after its last one (`end`), before
 *     it asks for an invalidation (`begin`) and after that returned (`end`).
 *   - A reader loads the clock before its section (`begin`) and, behind an acquire fence, after it
 *     (`end`). begin >= E means that the load read from E's addition or a later one: the event
 *     happened before the section. end < E means that what was done after E's addition was not
 *     read from: whatever the section saw of a store would have brought the addition along, since
 *     the store released it and the fence acquired it. So no right answer is called wrong.
 *   - What may be missed: an event that is over and not counted yet seems to be running still, and
 *     one that is counted and not begun seems to have begun. Windows only grow by that.
 *   - Logs belong to one thread each and have a fixed size. They are read when every writer of them
 *     has stopped behind a barrier.
 *
 * The rule. An element is one place that translations depend on: a leaf entry, an entry that leads
 * to a table, a binding, a range of the memory map. Writes put its states in place, one after the
 * other. An answer that shows a state is right if
 *   - the state's write had begun when the section ended, and
 *   - no invalidation that covers the element completed before the section began and was asked for
 *     after the state had been overwritten.
 * That is: the state held at a moment between the completion of the last covering invalidation that
 * completed before the section began, and the section's end. Choice: an invalidation covers what
 * was overwritten before it was asked for, as ciommu_invalidate says; a state that was overwritten
 * while it ran may have been read again meanwhile. Nothing is asked of two readers' order.
 *
 * A use of an answer is judged like an answer, with a section that began when the use did: no
 * invalidation returns while an earlier result is in use (promise 1 again).
 *
 * Choice: an answer that depends on several elements is right if each of them was right, at moments
 * of their own. A walk reads them one after the other, in hardware as here, and a change of two of
 * them may pass between; promise 1 is about a translation's each part, and an answer that mixes
 * parts which never held together is what a guest gets that changes both under traffic.
 *
 * What a device keeps (ATS) is dropped by invalidations of its own: those count from the moment
 * that the caches before it were covered, since it may have asked again until then.
 */
#ifndef PROBE_HISTORY_H
#define PROBE_HISTORY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum history_kind {
    HISTORY_WRITE = 1,    /* element `first` got the state {value, rights} */
    HISTORY_INVALIDATION, /* elements first...last */
    HISTORY_ANSWER        /* the world's own; see history_world.h */
};

/* What an invalidation reaches. A host's call reaches both. */
#define HISTORY_CACHES 1u
#define HISTORY_DEVICES 2u
#define HISTORY_BOTH 3u

struct history_record {
    uint64_t begin; /* clock */
    uint64_t end;
    uint64_t value;
    uint64_t seen;
    uint32_t first;
    uint32_t last;
    uint32_t rights;
    uint16_t thread;
    uint8_t kind;  /* enum history_kind */
    uint8_t scope; /* of an invalidation: HISTORY_*; of an answer: its form */
};

/* One thread's records. Full: `count` == `capacity`, and nothing is added. */
struct history_log {
    struct history_record *records;
    uint32_t count;
    uint32_t capacity;
};

bool history_log_create(struct history_log *log, uint32_t capacity);
void history_log_destroy(struct history_log *log);
/* The new record, or NULL. */
struct history_record *history_log_add(struct history_log *log);

/* ---- Clock ---- */

static inline uint64_t history_tick(uint64_t *clock) {
    return __atomic_add_fetch(clock, 1, __ATOMIC_SEQ_CST);
}

static inline uint64_t history_before(const uint64_t *clock) {
    return __atomic_load_n(clock, __ATOMIC_SEQ_CST);
}

static inline uint64_t history_after(const uint64_t *clock) {
    __atomic_thread_fence(__ATOMIC_ACQUIRE);
    return __atomic_load_n(clock, __ATOMIC_SEQ_CST);
}

/* ---- A history ---- */

struct history;

/* Sorts what `count` logs say about elements 0...elements-1. NULL: no memory. */
struct history *history_build(const struct history_log *logs, uint32_t count, uint32_t elements);
void history_free(struct history *history);

struct history_state {
    uint64_t begin;    /* of the write that put it in place */
    uint64_t replaced; /* end of the next write; UINT64_MAX = it still holds */
    uint64_t value;
    uint32_t rights; /* 0: absent */
};

/* When something was asked and when its section ended. */
struct history_moment {
    uint64_t begin;
    uint64_t end;
    bool device; /* from what a device keeps */
};

/* The states that an element may show at that moment; `*count` of them, in order. */
const struct history_state *history_window(const struct history *history, uint32_t element,
                                           const struct history_moment *moment, uint32_t *count);
/* All states of an element. */
const struct history_state *history_states(const struct history *history, uint32_t element,
                                           uint32_t *count);

enum history_verdict {
    HISTORY_RIGHT = 0,
    HISTORY_STALE,  /* it was so, and a completed invalidation forbids it */
    HISTORY_EARLY,  /* it became so only after the section */
    HISTORY_NEVER,  /* it was never so */
    HISTORY_DENIED, /* refused, though granted in every state of the window, and always before */
    HISTORY_TORN    /* the memory behind an answer is not what the answer says */
};
const char *history_verdict_text(enum history_verdict verdict);

/* May an answer show that state with these rights? */
enum history_verdict history_shows(const struct history *history, uint32_t element,
                                   const struct history_moment *moment, uint64_t value,
                                   uint32_t rights);
/* May an answer refuse `access` for this element? */
enum history_verdict history_refuses(const struct history *history, uint32_t element,
                                     const struct history_moment *moment, uint32_t access);

/* What later answers may still show, as records of a fresh log: a round's end becomes the next
 * one's beginning. Everything in `history` is over. False: no room. */
bool history_carry(const struct history *history, struct history_log *base);

/* ---- Shrinking ---- */

/* The verdict of the answer in question by that history. */
typedef enum history_verdict (*history_judge)(void *context, const struct history *history);

/* Takes away records of `log` (writes and invalidations) as long as `judge` keeps its verdict.
 * False: no memory, or the answer is right. */
bool history_shrink(struct history_log *log, uint32_t elements, history_judge judge, void *context);

/* Writes the records, one a line; `name` (may be NULL) names an element. Returns the length. */
size_t history_print(const struct history_log *log, const char *(*name)(void *, uint32_t),
                     void *context, char *text, size_t bytes);

#endif
