/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * team.c - threads that translate at the same time.
 *
 * Protocol: the maker writes what is to be done, then `round` (release; pairs with the members'
 * acquire). Every thread brings its requests, which the maker has just written, into its own
 * caches, counts itself into `ready`, and waits for the others, so that all begin together and none
 * measures the maker's caches. A member does what is to be done, writes its times, then counts
 * itself into `done` (release; pairs with the maker's acquire).
 */
#include "world.h"

#include <pthread.h>
#include <sched.h>
#include <stdlib.h>

struct member {
    struct bench_team *team;
    pthread_t thread;
    uint32_t number;
    uint64_t begin;
    uint64_t end;
} __attribute__((aligned(64)));

/* What every thread does in a round. */
struct task {
    struct bench_world *world;       /* NULL: the baseline */
    struct bench_baseline *baseline; /* NULL too: additions */
    const struct ciommu_request *requests;
    const uint64_t *answers;
    enum bench_manner manner;
    uint32_t count;
};

struct bench_team {
    uint32_t threads;
    struct member *members;
    struct task task;
    uint32_t round __attribute__((aligned(64)));
    uint32_t ready __attribute__((aligned(64))); /* threads times rounds, when all are */
    uint32_t done __attribute__((aligned(64)));
    bool ends;
};

/* Threads may outnumber processors. */
static void wait_until(const uint32_t *word, uint32_t value) {
    for (uint32_t turn = 1; __atomic_load_n(word, __ATOMIC_ACQUIRE) != value; turn++) {
        if (turn % 4096 == 0) {
            sched_yield();
        }
    }
}

/* Six at a time, which is about what a processor can do. */
static void add_up(uint32_t count) {
    uint64_t sums[6] = {0};
    for (uint32_t round = 0; round < count; round++) {
        for (uint32_t sum = 0; sum < 6; sum++) {
            sums[sum] += round;
            __asm__ volatile("" : "+r"(sums[sum]));
        }
    }
}

static void get_ready(struct bench_team *team, const struct task *task, uint64_t first) {
    uint64_t sum = 0;
    for (uint32_t index = 0; index < task->count && task->requests != NULL; index++) {
        sum += task->requests[first + index].iova ^ task->answers[first + index];
    }
    __asm__ volatile("" : : "r"(sum));
    __atomic_fetch_add(&team->ready, 1, __ATOMIC_ACQ_REL);
    wait_until(&team->ready, team->threads * team->round);
}

static void work(struct member *member) {
    const struct task *task = &member->team->task;
    uint64_t first = (uint64_t)member->number * task->count;
    get_ready(member->team, task, first);
    member->begin = bench_now();
    if (task->world != NULL) {
        (void)bench_world_translate(task->world, member->number, task->manner,
                                    task->requests + first, task->answers + first, task->count);
    } else if (task->baseline == NULL) {
        add_up(task->count);
    } else {
        (void)bench_baseline_translate(task->baseline, task->manner, task->requests + first,
                                       task->answers + first, task->count);
    }
    member->end = bench_now();
}

static void *wait_and_work(void *context) {
    struct member *member = context;
    struct bench_team *team = member->team;
    (void)bench_pin(member->number);
    for (uint32_t round = 1;; round++) {
        wait_until(&team->round, round);
        if (team->ends) {
            return NULL;
        }
        work(member);
        __atomic_fetch_add(&team->done, 1, __ATOMIC_RELEASE);
    }
}

struct bench_team *bench_team_create(uint32_t threads) {
    struct bench_team *team = aligned_alloc(64, sizeof *team);
    struct member *members = aligned_alloc(64, threads * sizeof *members);
    if (team == NULL || members == NULL || threads == 0) {
        bench_fail("no memory for a team, or a team of nobody");
    }
    *team = (struct bench_team){.threads = threads, .members = members};
    for (uint32_t number = 0; number < threads; number++) {
        members[number] = (struct member){.team = team, .number = number};
        if (number != 0 &&
            pthread_create(&members[number].thread, NULL, wait_and_work, &members[number]) != 0) {
            bench_fail("no thread");
        }
    }
    return team;
}

static void begin_round(struct bench_team *team) {
    __atomic_store_n(&team->done, 0, __ATOMIC_RELAXED);
    __atomic_store_n(&team->round, team->round + 1, __ATOMIC_RELEASE);
}

void bench_team_destroy(struct bench_team *team) {
    if (team == NULL) {
        return;
    }
    team->ends = true;
    begin_round(team);
    for (uint32_t number = 1; number < team->threads; number++) {
        pthread_join(team->members[number].thread, NULL);
    }
    free(team->members);
    free(team);
}

static uint64_t run(struct bench_team *team, const struct task *task) {
    team->task = *task;
    begin_round(team);
    work(&team->members[0]);
    wait_until(&team->done, team->threads - 1);
    uint64_t begin = UINT64_MAX;
    uint64_t end = 0;
    for (uint32_t number = 0; number < team->threads; number++) {
        const struct member *member = &team->members[number];
        begin = member->begin < begin ? member->begin : begin;
        end = member->end > end ? member->end : end;
    }
    return end - begin;
}

uint64_t bench_team_world(struct bench_team *team, struct bench_world *world,
                          enum bench_manner manner, const struct ciommu_request *requests,
                          const uint64_t *answers, uint32_t count) {
    if (world->config.lanes < team->threads) {
        bench_fail("a world has a lane for each thread of a team");
    }
    const struct task task = {world, NULL, requests, answers, manner, count};
    return run(team, &task);
}

uint64_t bench_team_baseline(struct bench_team *team, struct bench_baseline *baseline,
                             enum bench_manner manner, const struct ciommu_request *requests,
                             const uint64_t *answers, uint32_t count) {
    const struct task task = {NULL, baseline, requests, answers, manner, count};
    return run(team, &task);
}

uint64_t bench_team_additions(struct bench_team *team, uint32_t count) {
    const struct task task = {.count = count};
    return run(team, &task);
}

uint64_t bench_additions(uint32_t count) {
    uint64_t begin = bench_now();
    add_up(count);
    return bench_now() - begin;
}
