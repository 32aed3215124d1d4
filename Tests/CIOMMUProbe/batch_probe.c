/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * batch_probe.c - sections that end later, and guests that write to their entries.
 */
#define _GNU_SOURCE
#include "batch_probe.h"
#include "ciommu.h"
#include "harness.h"

#include <pthread.h>
#include <sched.h>
#include <stdlib.h>

struct probe_section {
    struct ciommu_port *port;
    uint32_t milliseconds;
    uint32_t is_open;
    uint32_t is_ending;
    pthread_t thread;
};

static void *hold(void *context) {
    struct probe_section *section = context;
    ciommu_port_enter(section->port);
    __atomic_store_n(&section->is_open, 1, __ATOMIC_SEQ_CST);
    uint64_t end = probe_now() + section->milliseconds;
    while (probe_now() < end) {
        probe_nap(500000);
    }
    __atomic_store_n(&section->is_ending, 1, __ATOMIC_SEQ_CST);
    ciommu_port_leave(section->port);
    return NULL;
}

struct probe_section *probe_section_open(struct ciommu_port *port, uint32_t milliseconds) {
    struct probe_section *section = calloc(1, sizeof *section);
    if (section == NULL) {
        return NULL;
    }
    section->port = port;
    section->milliseconds = milliseconds;
    pthread_create(&section->thread, NULL, hold, section);
    while (__atomic_load_n(&section->is_open, __ATOMIC_SEQ_CST) == 0) {
        sched_yield();
    }
    return section;
}

bool probe_section_is_ending(const struct probe_section *section) {
    return __atomic_load_n(&section->is_ending, __ATOMIC_SEQ_CST) != 0;
}

void probe_section_close(struct probe_section *section) {
    pthread_join(section->thread, NULL);
    free(section);
}

struct probe_flipper {
    uint64_t *words;
    const uint64_t *sides[2];
    uint32_t count;
    uint32_t stop;
    uint64_t rounds;
    pthread_t thread;
};

static void *flip(void *context) {
    struct probe_flipper *flipper = context;
    uint64_t random = 0x9e3779b97f4a7c15;
    while (__atomic_load_n(&flipper->stop, __ATOMIC_RELAXED) == 0) {
        uint64_t choice = probe_random(&random);
        for (uint32_t word = 0; word < flipper->count; word++) {
            uint64_t value = flipper->sides[(choice >> word % 60) & 1][word];
            __atomic_store_n(&flipper->words[word], value, __ATOMIC_RELAXED);
        }
        flipper->rounds++;
        if (flipper->rounds % 64 == 0) {
            sched_yield();
        }
    }
    return NULL;
}

struct probe_flipper *probe_flipper_start(uint64_t *words, const uint64_t *left,
                                          const uint64_t *right, uint32_t count) {
    struct probe_flipper *flipper = calloc(1, sizeof *flipper);
    if (flipper == NULL) {
        return NULL;
    }
    *flipper = (struct probe_flipper){.words = words, .sides = {left, right}, .count = count};
    pthread_create(&flipper->thread, NULL, flip, flipper);
    return flipper;
}

uint64_t probe_flipper_stop(struct probe_flipper *flipper) {
    __atomic_store_n(&flipper->stop, 1, __ATOMIC_RELAXED);
    pthread_join(flipper->thread, NULL);
    uint64_t rounds = flipper->rounds;
    free(flipper);
    return rounds;
}

uint32_t probe_load(const uint32_t *word) {
    return __atomic_load_n(word, __ATOMIC_ACQUIRE);
}
