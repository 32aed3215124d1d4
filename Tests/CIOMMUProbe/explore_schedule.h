/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * explore_schedule.h - a few threads of which one runs at a time. It hands over at yield points
 * only, and to whom is a choice: a schedule is a list of choices.
 *
 * A thread that waits for another one (a drain for a section, an invalidator for an inserter) comes
 * to a waiting point again and again. It is not chosen before the other one has moved on, so that
 * waiting is no choice.
 *
 * Nothing else may block: a thread that waited for a mutex which another one holds at a yield point
 * would wait for ever. Scenarios therefore have one changer.
 */
#ifndef PROBE_EXPLORE_SCHEDULE_H
#define PROBE_EXPLORE_SCHEDULE_H

#include "explore_probe.h"
#include "debug.h"

#include <pthread.h>
#include <semaphore.h>

#define EXPLORE_THREADS 3u
#define EXPLORE_STEPS 400u

/* Points of the scenarios themselves, after the engine's. */
enum explore_point {
    EXPLORE_BEGINS = CIOMMU_YIELD_COUNT,
    EXPLORE_HOLDS,  /* a reader has its answer, and is inside the section */
    EXPLORE_STORED, /* a changer has written the guest's tables, and invalidated nothing */
    EXPLORE_ENDS,
    EXPLORE_POINTS
};

struct explore_decision {
    uint8_t taken;
    uint8_t count;
    bool preempts; /* any but choice 0 takes the processor from a thread that could go on */
};

struct explore_step {
    uint8_t thread;
    uint8_t point; /* that it came to */
};

enum explore_state { EXPLORE_READY = 0, EXPLORE_WAITING, EXPLORE_OVER };

struct explore_thread {
    struct explore_schedule *schedule;
    uint32_t index;
    enum explore_state state;
    uint32_t point; /* where it stands */
    bool moved;     /* waiting: what it waits for may have happened */
    sem_t turn;
    pthread_t thread;
};

struct explore_schedule {
    uint32_t thread_count;
    void (*body)(void *context, uint32_t thread);
    void *context;
    struct explore_thread threads[EXPLORE_THREADS];
    sem_t over;
    bool quit;

    /* In. */
    uint8_t choices[PROBE_SCHEDULE_CHOICES];
    uint32_t choice_count;
    uint64_t random; /* 0: choice 0 after those given */

    /* Out. */
    struct explore_decision decisions[PROBE_SCHEDULE_CHOICES];
    uint32_t decision_count;
    struct explore_step steps[EXPLORE_STEPS];
    uint32_t step_count;
    bool astray; /* a choice that was given was not there */
    bool stuck;  /* everybody waits */
};

/* Starts the threads, which wait. */
bool explore_schedule_init(struct explore_schedule *schedule, uint32_t threads,
                           void (*body)(void *context, uint32_t thread), void *context);
void explore_schedule_fini(struct explore_schedule *schedule);

/* Runs every body once, by the choices. */
void explore_schedule_run(struct explore_schedule *schedule);

/* Sets the choices for the next schedule within the bound, in depth-first order; false when there
 * is none. */
bool explore_schedule_next(struct explore_schedule *schedule, uint32_t bound);

/* A yield point of a body. Nothing in other threads. */
void explore_at(uint32_t point);

/* The choices as text, trailing zeros left out, and back. */
void explore_schedule_write(const struct explore_schedule *schedule, char *text, uint32_t size);
void explore_schedule_read(struct explore_schedule *schedule, const char *text);

/* The steps as text: "0 entered, resolved | 1 bumped". */
void explore_schedule_tell(const struct explore_schedule *schedule, char *text, uint32_t size);

#endif
