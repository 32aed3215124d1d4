/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * busy.c - a thread beside that translates without pause, while somebody else invalidates.
 */
#include "baseline.h"

#include <pthread.h>
#include <sched.h>
#include <stdlib.h>

#define CHOSEN 4096u /* requests, asked again and again */
#define BATCHES 100u /* until it counts as busy */

struct bench_busy {
    struct bench_world *world; /* NULL: the baseline */
    struct bench_baseline *baseline;
    uint32_t lane;
    pthread_t thread;
    uint32_t batches; /* atomic, made so far; wraps */
    bool stop;        /* atomic */
    uint64_t translations;
    struct ciommu_request requests[CHOSEN];
    uint64_t answers[CHOSEN];
};

static void *translate(void *context) {
    struct bench_busy *busy = context;
    (void)bench_pin(1);
    uint32_t begin = 0;
    while (!__atomic_load_n(&busy->stop, __ATOMIC_RELAXED)) {
        const struct ciommu_request *requests = &busy->requests[begin];
        const uint64_t *answers = &busy->answers[begin];
        if (busy->world != NULL) {
            (void)bench_world_translate(busy->world, busy->lane, BENCH_BATCH, requests, answers,
                                        BENCH_BATCH_SIZE);
        } else {
            (void)bench_baseline_translate(busy->baseline, BENCH_BATCH, requests, answers,
                                           BENCH_BATCH_SIZE);
        }
        busy->translations += BENCH_BATCH_SIZE;
        begin = (begin + BENCH_BATCH_SIZE) % CHOSEN;
        __atomic_store_n(&busy->batches, busy->batches + 1, __ATOMIC_RELAXED);
    }
    return NULL;
}

static struct bench_busy *start(struct bench_world *world, struct bench_baseline *baseline,
                                uint32_t lane) {
    struct bench_busy *busy = bench_zeroed(1, sizeof *busy);
    uint64_t seed = bench_now();
    busy->world = world;
    busy->baseline = baseline;
    busy->lane = lane;
    bench_world_choose(world != NULL ? world : baseline->world, &seed, 0, busy->requests,
                       busy->answers, CHOSEN);
    if (pthread_create(&busy->thread, NULL, translate, busy) != 0) {
        bench_fail("no thread");
    }
    while (__atomic_load_n(&busy->batches, __ATOMIC_RELAXED) < BATCHES) {
        sched_yield();
    }
    return busy;
}

struct bench_busy *bench_busy_world(struct bench_world *world, uint32_t lane) {
    if (lane >= world->config.lanes) {
        bench_fail("the busy thread's lane does not exist");
    }
    return start(world, NULL, lane);
}

struct bench_busy *bench_busy_baseline(struct bench_baseline *baseline) {
    return start(NULL, baseline, 0);
}

uint64_t bench_busy_stop(struct bench_busy *busy) {
    __atomic_store_n(&busy->stop, true, __ATOMIC_RELAXED);
    pthread_join(busy->thread, NULL);
    uint64_t translations = busy->translations;
    free(busy);
    return translations;
}
