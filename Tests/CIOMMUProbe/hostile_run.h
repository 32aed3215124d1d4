/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * hostile_run.h - what the threads of a run beside a hostile guest share.
 */
#ifndef PROBE_HOSTILE_RUN_H
#define PROBE_HOSTILE_RUN_H

#include "harness.h"
#include "hostile_world.h"

#include <pthread.h>

struct hostile_run {
    const struct probe_hostile_settings *settings;
    struct hostile_world world;
    uint32_t stop;
    uint64_t violations;
    uint64_t mapped;
    uint64_t faulted;
    uint64_t flips;
    pthread_mutex_t lock;
    char first[400];
};

struct hostile_worker {
    struct hostile_run *run;
    uint32_t number;
    uint64_t random;
    uint64_t counts[2]; /* of walkers: mapped and faulted */
    pthread_t thread;
};

bool hostile_is_over(const struct hostile_run *run);
/* Counts a violation, keeps the first, and ends the run. */
void hostile_report(struct hostile_run *run, const char *what, uint64_t one, uint64_t other,
                    uint64_t third);
/* The body of a walker (hostile_walk.c); its argument is a struct hostile_worker. */
void *hostile_walk(void *argument);

#endif
