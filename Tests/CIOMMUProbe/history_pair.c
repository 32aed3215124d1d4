/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * history_pair.c - see history_pair.h.
 */
#include "history_pair.h"

#include <sched.h>

static uint32_t state_of(const struct history_pair *pair) {
    return __atomic_load_n(&pair->state, __ATOMIC_ACQUIRE);
}

static bool move(struct history_pair *pair, uint32_t from, uint32_t to) {
    return __atomic_compare_exchange_n(&pair->state, &from, to, false, __ATOMIC_ACQ_REL,
                                       __ATOMIC_ACQUIRE);
}

static bool is_paused(const struct history_pair *pair) {
    return __atomic_load_n(pair->pause, __ATOMIC_RELAXED) != 0;
}

bool history_pair_offer(struct history_pair *pair, const struct history_follow *follow) {
    pair->follow = *follow;
    __atomic_store_n(&pair->state, HISTORY_PAIR_OFFERED, __ATOMIC_RELEASE);
    while (state_of(pair) == HISTORY_PAIR_OFFERED) {
        if (is_paused(pair) && move(pair, HISTORY_PAIR_OFFERED, HISTORY_PAIR_IDLE)) {
            return false;
        }
        sched_yield();
    }
    return true;
}

bool history_pair_wait(struct history_pair *pair, bool taken_away) {
    if (!taken_away) {
        (void)move(pair, HISTORY_PAIR_TAKEN, HISTORY_PAIR_GIVEN_UP);
    }
    while (state_of(pair) < HISTORY_PAIR_DONE) {
        sched_yield();
    }
    bool done = state_of(pair) == HISTORY_PAIR_DONE;
    __atomic_store_n(&pair->state, HISTORY_PAIR_IDLE, __ATOMIC_RELAXED);
    return done;
}

void history_follow(struct history_changer *changer) {
    struct history_pair *pair = changer->follows;
    if (!move(pair, HISTORY_PAIR_OFFERED, HISTORY_PAIR_TAKEN)) {
        sched_yield();
        return;
    }
    const struct history_follow *follow = &pair->follow;
    enum ciommu_status status;
    uint64_t begin;
    do {
        begin = history_tick(&changer->world->clock);
        status = follow->put(changer, follow);
        sched_yield();
    } while ((status == CIOMMU_OVERLAP || status == CIOMMU_OCCUPIED) &&
             state_of(pair) == HISTORY_PAIR_TAKEN);
    if (status == CIOMMU_OK) {
        history_put_back(changer, begin, follow->element, follow->side);
        changer->changes++;
    } else if (state_of(pair) == HISTORY_PAIR_TAKEN) {
        history_complain(changer, "putting back", status);
    }
    __atomic_store_n(&pair->state, status == CIOMMU_OK ? HISTORY_PAIR_DONE : HISTORY_PAIR_FAILED,
                     __ATOMIC_RELEASE);
}
