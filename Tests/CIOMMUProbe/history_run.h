/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * history_run.h - a trial's threads. They work in rounds: when a log is nearly full or some time
 * has passed, all stop at a barrier, the history is judged, and what may still show is carried
 * over.
 *
 * Protocol: `pause` and `stop` are set by anybody, and read between two steps. The two waits at the
 * barrier order the logs from their threads to the judge and back.
 */
#ifndef PROBE_HISTORY_RUN_H
#define PROBE_HISTORY_RUN_H

#include "history_pair.h"

#include <pthread.h>

#define HISTORY_THREADS 24u
#define HISTORY_LOG_RECORDS 16384u
#define HISTORY_STEP_RECORDS HISTORY_CHANGE_RECORDS /* most that one step adds */
#define HISTORY_DEVICE_COUNT 2u
#define HISTORY_KINDS 5u /* of changers */

struct history_run;

struct history_thread {
    struct history_run *run;
    pthread_t thread;
    struct history_log log;
    uint64_t random;
    uint32_t number;
    void (*step)(struct history_thread *thread);
    struct ciommu_port *port; /* of readers and devices */
    struct history_changer changer;
    void (*change)(struct history_changer *changer);
    struct history_device *device;
};

/* What a device keeps of a page; rights 0: nothing. */
struct history_stored {
    uint64_t address;
    uint32_t rights;
};

/* A device with a cache of its own. It holds `lock` while it uses an entry, so that what it has
 * dropped is not in use. */
struct history_device {
    struct history_run *run;
    struct ciommu_device_tlb *tlb;
    uint32_t source;
    uint32_t first_target;
    uint32_t targets;
    pthread_mutex_t lock;
    uint64_t random; /* of its answers */
    struct history_stored stored[HISTORY_TARGETS][HISTORY_PAGES];
};

struct history_run {
    struct history_world world;
    const struct probe_history_settings *settings;
    uint64_t seed;
    struct history_thread threads[HISTORY_THREADS];
    uint32_t count;
    struct history_log base;
    uint64_t seen[HISTORY_FORMS]; /* answers that were judged */
    struct history_device devices[HISTORY_DEVICE_COUNT];
    uint32_t asked[HISTORY_TARGETS]; /* targets that readers ask */
    uint32_t asked_count;
    struct history_pair pairs[HISTORY_KINDS];
    pthread_barrier_t barrier;
    uint32_t pause;
    uint32_t stop;
};

/* One section, or one translation outside of one. */
void history_read(struct history_thread *thread);
/* One section of a device. */
void history_be_device(struct history_thread *thread);

enum ciommu_status history_device_create(struct history_run *run, struct history_device *device,
                                         uint32_t source, uint32_t first_target, uint32_t targets);
/* Tries to free it if it is blocked. */
void history_device_retry(struct history_device *device);

/* Judges all logs; carries over. The number of wrong answers; the first one, made small, is
 * described in `first`. */
uint64_t history_judge_round(struct history_run *run, uint64_t *answers, char *first,
                             size_t first_bytes);

#endif
