/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * explore_schedule.c - see explore_schedule.h.
 */
#define _GNU_SOURCE
#include "explore_schedule.h"
#include "harness.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#ifdef CIOMMU_INTERNAL_CHECKS

static _Thread_local struct explore_thread *running;

static const char *const point_names[EXPLORE_POINTS] = {
    [CIOMMU_YIELD_ENTERED] = "entered",
    [CIOMMU_YIELD_RESOLVED] = "resolved",
    [CIOMMU_YIELD_GENERATION_READ] = "generation read",
    [CIOMMU_YIELD_WALKED] = "walked",
    [CIOMMU_YIELD_INSERTING] = "inserting",
    [CIOMMU_YIELD_HALF_STORED] = "half stored",
    [CIOMMU_YIELD_BUMPED] = "bumped",
    [CIOMMU_YIELD_CLEARED] = "cleared",
    [CIOMMU_YIELD_PARENT_DONE] = "parent done",
    [CIOMMU_YIELD_TABLES_READ] = "tables read",
    [CIOMMU_YIELD_BEFORE_DRAIN] = "before the drain",
    [CIOMMU_YIELD_LEAVING] = "leaving",
    [CIOMMU_YIELD_TABLE_CHANGED] = "table changed",
    [CIOMMU_YIELD_ANSWERING] = "answering",
    [CIOMMU_YIELD_RETAGGED] = "retagged",
    [CIOMMU_YIELD_TABLES_CHANGING] = "tables changing",
    [CIOMMU_YIELD_MAP_PUBLISHED] = "map published",
    [CIOMMU_YIELD_DRAINING] = "draining",
    [CIOMMU_YIELD_STRIPE_BUSY] = "stripe busy",
    [CIOMMU_YIELD_LEFT] = "left",
    [EXPLORE_BEGINS] = "begins",
    [EXPLORE_HOLDS] = "holds its answer",
    [EXPLORE_STORED] = "stored",
    [EXPLORE_ENDS] = "ends",
};

static void wait_for(sem_t *semaphore) {
    while (sem_wait(semaphore) != 0 && errno == EINTR) {
    }
}

static bool is_waiting_point(uint32_t point) {
    return point == CIOMMU_YIELD_DRAINING || point == CIOMMU_YIELD_STRIPE_BUSY;
}

/* A thread came from `from`: may that end somebody's waiting? */
static bool ends_waiting(uint32_t from, uint32_t waiting) {
    return waiting == CIOMMU_YIELD_DRAINING
               ? from == CIOMMU_YIELD_LEAVING || from == CIOMMU_YIELD_LEFT
               : from == CIOMMU_YIELD_INSERTING || from == CIOMMU_YIELD_HALF_STORED;
}

static void arrive(struct explore_thread *thread, uint32_t point) {
    struct explore_schedule *schedule = thread->schedule;
    for (uint32_t index = 0; index < schedule->thread_count; index++) {
        struct explore_thread *other = &schedule->threads[index];
        if (other != thread && other->state == EXPLORE_WAITING) {
            other->moved |= point == EXPLORE_ENDS || ends_waiting(thread->point, other->point);
        }
    }
    thread->point = point;
    thread->moved = false;
    thread->state = point == EXPLORE_ENDS     ? EXPLORE_OVER
                    : is_waiting_point(point) ? EXPLORE_WAITING
                                              : EXPLORE_READY;
    if (schedule->step_count < EXPLORE_STEPS) {
        schedule->steps[schedule->step_count++] =
            (struct explore_step){(uint8_t)thread->index, (uint8_t)point};
    }
}

static bool can_go(const struct explore_thread *thread) {
    return thread->state == EXPLORE_READY || (thread->state == EXPLORE_WAITING && thread->moved);
}

/* Who may go on, the present one first; `current` is NULL at the start. */
static uint32_t candidates(struct explore_schedule *schedule, const struct explore_thread *current,
                           struct explore_thread **out) {
    uint32_t count = 0;
    uint32_t first = current == NULL ? 0 : current->index;
    for (uint32_t step = 0; step < schedule->thread_count; step++) {
        struct explore_thread *thread = &schedule->threads[(first + step) % schedule->thread_count];
        if (can_go(thread)) {
            out[count++] = thread;
        }
    }
    return count;
}

/* Everybody left waits for something that nobody here will do: time must end it. */
static struct explore_thread *longest_wait(struct explore_schedule *schedule) {
    for (uint32_t index = 0; index < schedule->thread_count; index++) {
        if (schedule->threads[index].state == EXPLORE_WAITING) {
            schedule->stuck = true;
            return &schedule->threads[index];
        }
    }
    return NULL;
}

static uint32_t choose(struct explore_schedule *schedule, uint32_t count, bool preempts) {
    uint32_t taken = 0;
    uint32_t number = schedule->decision_count;
    if (number == PROBE_SCHEDULE_CHOICES) {
        schedule->astray = true; /* no schedule beyond this choice is ever tried */
        return 0;
    }
    if (number < schedule->choice_count) {
        taken = schedule->choices[number];
    } else if (schedule->random != 0) {
        uint64_t random = probe_random(&schedule->random) >> 20;
        taken = preempts && random % 3 != 0 ? 0 : (uint32_t)(random >> 8) % count;
    }
    if (taken >= count) {
        schedule->astray = true;
        taken = 0;
    }
    schedule->decisions[schedule->decision_count++] =
        (struct explore_decision){(uint8_t)taken, (uint8_t)count, preempts};
    return taken;
}

/* Who goes on; NULL when all is over. */
static struct explore_thread *next_thread(struct explore_schedule *schedule,
                                          const struct explore_thread *current) {
    struct explore_thread *able[EXPLORE_THREADS];
    uint32_t count = candidates(schedule, current, able);
    if (count == 0) {
        return longest_wait(schedule);
    }
    bool preempts = current != NULL && able[0] == current;
    return able[count == 1 ? 0 : choose(schedule, count, preempts)];
}

void explore_at(uint32_t point) {
    struct explore_thread *self = running;
    if (self == NULL) {
        return;
    }
    arrive(self, point);
    struct explore_thread *next = next_thread(self->schedule, self);
    if (next != self) {
        (void)sem_post(&next->turn);
        wait_for(&self->turn);
    }
}

static void *run_bodies(void *argument) {
    struct explore_thread *self = argument;
    struct explore_schedule *schedule = self->schedule;
    for (;;) {
        wait_for(&self->turn);
        if (schedule->quit) {
            return NULL;
        }
        running = self;
        schedule->body(schedule->context, self->index);
        arrive(self, EXPLORE_ENDS);
        running = NULL;
        struct explore_thread *next = next_thread(schedule, self);
        (void)sem_post(next == NULL ? &schedule->over : &next->turn);
    }
}

bool explore_schedule_init(struct explore_schedule *schedule, uint32_t threads,
                           void (*body)(void *context, uint32_t thread), void *context) {
    memset(schedule, 0, sizeof *schedule);
    schedule->body = body;
    schedule->context = context;
    (void)sem_init(&schedule->over, 0, 0);
    for (uint32_t index = 0; index < threads; index++) {
        struct explore_thread *thread = &schedule->threads[index];
        thread->schedule = schedule;
        thread->index = index;
        (void)sem_init(&thread->turn, 0, 0);
        if (pthread_create(&thread->thread, NULL, run_bodies, thread) != 0) {
            return false;
        }
        schedule->thread_count++;
    }
    return true;
}

void explore_schedule_fini(struct explore_schedule *schedule) {
    schedule->quit = true;
    for (uint32_t index = 0; index < schedule->thread_count; index++) {
        (void)sem_post(&schedule->threads[index].turn);
        (void)pthread_join(schedule->threads[index].thread, NULL);
        (void)sem_destroy(&schedule->threads[index].turn);
    }
    (void)sem_destroy(&schedule->over);
}

void explore_schedule_run(struct explore_schedule *schedule) {
    schedule->decision_count = 0;
    schedule->step_count = 0;
    schedule->astray = false;
    schedule->stuck = false;
    for (uint32_t index = 0; index < schedule->thread_count; index++) {
        schedule->threads[index].state = EXPLORE_READY;
        schedule->threads[index].point = EXPLORE_BEGINS;
        schedule->threads[index].moved = false;
    }
    (void)sem_post(&next_thread(schedule, NULL)->turn);
    wait_for(&schedule->over);
    schedule->astray |= schedule->decision_count < schedule->choice_count;
}

bool explore_schedule_next(struct explore_schedule *schedule, uint32_t bound) {
    uint32_t before[PROBE_SCHEDULE_CHOICES + 1]; /* preemptions before the n-th decision */
    before[0] = 0;
    for (uint32_t index = 0; index < schedule->decision_count; index++) {
        const struct explore_decision *decision = &schedule->decisions[index];
        before[index + 1] = before[index] + (decision->preempts && decision->taken != 0);
    }
    for (uint32_t index = schedule->decision_count; index-- > 0;) {
        const struct explore_decision *decision = &schedule->decisions[index];
        if (decision->taken + 1 < decision->count && before[index] + decision->preempts <= bound) {
            for (uint32_t copy = 0; copy < index; copy++) {
                schedule->choices[copy] = schedule->decisions[copy].taken;
            }
            schedule->choices[index] = (uint8_t)(decision->taken + 1);
            schedule->choice_count = index + 1;
            return true;
        }
    }
    return false;
}

/* ---- As text ---- */

void explore_schedule_write(const struct explore_schedule *schedule, char *text, uint32_t size) {
    uint32_t length = schedule->decision_count;
    while (length > 0 && schedule->decisions[length - 1].taken == 0) {
        length--;
    }
    length = length < size ? length : size - 1;
    for (uint32_t index = 0; index < length; index++) {
        text[index] = (char)('0' + schedule->decisions[index].taken);
    }
    text[length] = 0;
}

void explore_schedule_read(struct explore_schedule *schedule, const char *text) {
    schedule->choice_count = 0;
    schedule->random = 0;
    while (*text >= '0' && *text <= '9' && schedule->choice_count < PROBE_SCHEDULE_CHOICES) {
        schedule->choices[schedule->choice_count++] = (uint8_t)(*text++ - '0');
    }
}

void explore_schedule_tell(const struct explore_schedule *schedule, char *text, uint32_t size) {
    uint32_t length = 0;
    uint32_t last = EXPLORE_THREADS;
    text[0] = 0;
    for (uint32_t index = 0; index < schedule->step_count && length + 1 < size; index++) {
        const struct explore_step *step = &schedule->steps[index];
        const char *name =
            point_names[step->point] == NULL ? "elsewhere" : point_names[step->point];
        int written;
        if (step->thread == last) {
            written = snprintf(text + length, size - length, ", %s", name);
        } else {
            written = snprintf(text + length, size - length, "%s%u %s", index == 0 ? "" : " | ",
                               step->thread, name);
        }
        last = step->thread;
        length += written < 0 ? 0 : (uint32_t)written;
    }
}

#else
/* ISO C wants something in every file. */
typedef int explore_schedule_is_off;
#endif
