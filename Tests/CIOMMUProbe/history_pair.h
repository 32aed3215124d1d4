/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * history_pair.h - two threads that change the same thing: one takes it away, and the other one
 * puts it back elsewhere as soon as it can be, while the first call has not returned. What the
 * second call promises rests on the first one's half.
 *
 * Protocol: the first thread offers and owns the pair but from TAKEN to DONE. Its call has begun
 * when it offers, so that the second one's begins later: that is the order of their writes. When
 * the second call returns nothing old is answered any more; that nothing old is in use, in sections
 * and in devices, only the first one's return says.
 */
#ifndef PROBE_HISTORY_PAIR_H
#define PROBE_HISTORY_PAIR_H

#include "history_world.h"

/* What the second thread does. */
struct history_follow {
    /* CIOMMU_OVERLAP or CIOMMU_OCCUPIED: not yet. */
    enum ciommu_status (*put)(struct history_changer *changer, const struct history_follow *follow);
    struct ciommu_domain *domain;
    uint64_t iova;
    uint64_t address;
    uint32_t element;
    uint32_t side; /* which it gets, with all rights */
};

enum history_pair_state {
    HISTORY_PAIR_IDLE = 0,
    HISTORY_PAIR_OFFERED,
    HISTORY_PAIR_TAKEN,
    HISTORY_PAIR_GIVEN_UP, /* taken, and the first call failed */
    HISTORY_PAIR_DONE,
    HISTORY_PAIR_FAILED /* the second call did */
};

struct history_pair {
    uint32_t state; /* enum history_pair_state */
    struct history_follow follow;
    const uint32_t *pause; /* set: the round ends, nobody offers or takes */
};

/* The first thread's: true when the other one has taken it. */
bool history_pair_offer(struct history_pair *pair, const struct history_follow *follow);
/* Then, after its own call: waits for the other one. True: it was put back. */
bool history_pair_wait(struct history_pair *pair, bool taken_away);

/* The second thread's: takes what is offered, if anything is. */
void history_follow(struct history_changer *changer);

#endif
