/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * port.c - sections, resynchronisation, the drain, dirty notes. Protocols: port.h and
 * ciommu_inline.h.
 */
#define _GNU_SOURCE
#include "port.h"
#include "alloc.h"
#include "unit.h"

#include <assert.h>
#include <pthread.h>
#include <sched.h>
#include <string.h>
#include <time.h>

static_assert(sizeof(struct ciommu_first_level_entry) == 64, "one cache line");
static_assert(sizeof(struct walk_entry) == 64, "one cache line");
static_assert(offsetof(struct ciommu_port_head, epoch) == 64, "what drains watch is alone");
static_assert(offsetof(struct ciommu_port_head, hits) == LINE_PAIR, "nothing written beside it");
static_assert(offsetof(struct binding_slot, resolved) == 64, "a hit needs one line of a binding");
static_assert(offsetof(struct ciommu_space, shape) <= 64, "and one of its space");
static_assert(offsetof(struct ciommu_port, head) == 0, "the fixed prefix comes first");

#define EMPTY UINT64_MAX

/* Implementation: pauses between two looks at an open section, and between two yields. */
#define LOOK_PAUSES_MOST 16u
#define YIELD_PAUSES 64u

/* An empty slot holds a requester whose place is another slot, so that nobody is found there,
 * whatever a host asks for. (EMPTY is a source id and PASID that a call may have.) */
static void forget_bindings(struct ciommu_port *port) {
    for (uint32_t slot = 0; slot < BINDING_SLOTS; slot++) {
        port->bindings[slot].requester = slot == 0 ? 1 : 0;
        ciommu_assert(binding_slot(port->bindings[slot].requester) != slot);
    }
}

static void forget_host_pointers(struct ciommu_port *port) {
    for (uint32_t window = 0; window < WINDOWS && !MUTANT(WINDOWS_KEPT); window++) {
        port->windows[window] = MEMORY_NO_WINDOW;
    }
    if (port->walks != NULL && !MUTANT(WALKS_KEPT)) {
        for (uint64_t entry = 0; entry <= port->walk_mask; entry++) {
            port->walks[entry].key = EMPTY;
        }
    }
}

static void flush(struct ciommu_port *port) {
    for (uint64_t entry = 0; entry <= port->head.first_level_mask; entry++) {
        port->head.first_level[entry].requester = EMPTY;
        port->head.first_level[entry].page = EMPTY;
    }
    forget_bindings(port);
    forget_host_pointers(port);
    store_relaxed(&port->head.seen_ugen, EMPTY); /* the first enter resynchronises */
}

void ciommu_port_free(struct ciommu_port *port) {
    if (port != NULL) {
        ciommu_free(port->head.first_level);
        ciommu_free(port->walks);
        ciommu_fault_ring_fini(&port->ring);
        ciommu_free(port);
    }
}

struct ciommu_port *ciommu_port_allocate(struct ciommu_unit *unit, const uint64_t *ugen,
                                         uint32_t id, const struct port_sizes *sizes) {
    struct ciommu_port *port = ciommu_allocate(LINE_PAIR, sizeof *port);
    if (port == NULL) {
        return NULL;
    }
    /* Without a first level one entry stays, for ever empty, so that the hit path needs no test. */
    uint32_t first_level = sizes->first_level == 0 ? 1 : sizes->first_level;
    port->head.first_level =
        ciommu_allocate(CACHE_LINE, first_level * sizeof *port->head.first_level);
    port->head.first_level_mask = first_level - 1;
    port->walks =
        sizes->walks == 0 ? NULL : ciommu_allocate(CACHE_LINE, sizes->walks * sizeof *port->walks);
    port->walk_mask = sizes->walks == 0 ? 0 : sizes->walks - 1;
    bool ring = ciommu_fault_ring_init(&port->ring, sizes->faults, false);
    if (port->head.first_level == NULL || (sizes->walks != 0 && port->walks == NULL) || !ring) {
        ciommu_port_free(port);
        return NULL;
    }
    port->head.ugen = ugen;
    port->unit = unit;
    port->id = id;
    port->random = UINT64_C(0x9e3779b97f4a7c15) * (id + 1);
    flush(port);
    return port;
}

void ciommu_port_recycle(struct ciommu_port *port) {
    ciommu_faults_recycle(port);
    flush(port);
}

struct ciommu_port *ciommu_port_borrow(struct ciommu_unit *unit) {
    char here;
    uint32_t count = unit->pool_ports;
    uint32_t start = (uint32_t)((uintptr_t)&here >> 16); /* threads start at different ports */
    for (uint32_t attempt = 0; attempt < count; attempt++) {
        struct ciommu_port *port = unit->ports.slots[(start + attempt) % count];
        if (load_relaxed(&port->taken) == 0 && exchange_acquire(&port->taken, 1) == 0) {
            return port;
        }
    }
    return NULL;
}

void ciommu_port_give_back(struct ciommu_port *port) {
    store_release(&port->taken, 0); /* pairs with ciommu_port_borrow */
}

void ciommu_port_resynchronise(struct ciommu_port *port) {
    struct ciommu_unit *unit = port->unit;
    /* ugen first: what moves after this load moves ugen again. tablegen and mapgen before anything
     * that they guard is touched. */
    store_release(&port->head.seen_ugen,
                  load_seq_cst(port->head.ugen)); /* pairs with ciommu_ports_horizon */
    port->head.epoch++;
    uint64_t tablegen = load_seq_cst(&unit->tablegen);
    uint64_t mapgen = load_seq_cst(&unit->mapgen);
    if (tablegen != port->seen_tablegen && !MUTANT(IGNORE_TABLEGEN)) {
        forget_bindings(port);
        port->floor = port->head.epoch;
    }
    if (mapgen != port->seen_mapgen && !MUTANT(IGNORE_MAPGEN)) {
        forget_host_pointers(port);
        port->floor = port->head.epoch;
    }
    port->seen_tablegen = tablegen;
    port->seen_mapgen = mapgen;
}

bool ciommu_port_revalidate(struct ciommu_port *port, struct ciommu_first_level_entry *entry) {
    if (entry->epoch < port->floor) {
        entry->requester = EMPTY;
        return false;
    }
    const struct ciommu_space *space = &port->unit->spaces.pool[entry->space];
    if (load_acquire(&space->generation) != entry->generation && !MUTANT(NO_REVALIDATE)) {
        entry->requester = EMPTY;
        return false;
    }
    entry->epoch = port->head.epoch;
    return true;
}

void ciommu_port_enter(struct ciommu_port *port) {
#ifdef CIOMMU_INTERNAL_CHECKS
    struct ciommu_port_head *head = &port->head;
    if (head->depth++ != 0) {
        return;
    }
    uint64_t ugen;
    if (MUTANT(PLAIN_ENTER)) {
        /* A plain store may pass the load that follows it (it waits in the store buffer). Done in
         * that order here, so that the break shows on every machine. */
        ugen = load_relaxed(head->ugen);
        yield_point(CIOMMU_YIELD_ENTERED);
        store_relaxed(&head->state, head->state + 1);
    } else {
        (void)exchange_seq_cst(&head->state, head->state + 1);
        yield_point(CIOMMU_YIELD_ENTERED);
        ugen = load_seq_cst(head->ugen);
    }
    store_relaxed(&port->entered_by, (uint64_t)(uintptr_t)pthread_self());
    head->inside = head->state;
    store_release(&port->entered_state, head->state); /* pairs with ciommu_ports_hold_caller */
    if (ugen != head->seen_ugen) {
        ciommu_port_resynchronise(port);
    }
#else
    ciommu_enter(port);
#endif
}

void ciommu_port_leave(struct ciommu_port *port) {
    port_leave(port);
}

bool ciommu_ats_token_valid(const struct ciommu_port *port, const struct ciommu_ats_token *token) {
    if (port == NULL || token == NULL || token->unit != port->unit->number ||
        !port_is_inside(port)) {
        return false;
    }
    if (MUTANT(TOKEN_UNCHECKED)) {
        return true;
    }
    const struct ciommu_unit *unit = port->unit;
    if (load_seq_cst(&unit->ugen) == token->ugen) {
        return true;
    }
    return token->space < unit->spaces.count &&
           load_seq_cst(&unit->spaces.pool[token->space].generation) == token->generation &&
           load_seq_cst(&unit->tablegen) == token->tables;
}

uint32_t ciommu_port_id(const struct ciommu_port *port) {
    return port->id;
}

void ciommu_port_note_write(struct ciommu_port *port, uint64_t address, uint64_t length) {
    uint64_t last = address + (length - 1);
    port->head.leave_work |= LEAVE_REPORTS;
    for (uint32_t slot = port->dirty_count; slot-- > 0;) {
        struct dirty_range *range = &port->dirty[slot];
        if (address >= range->first && last <= range->last) {
            return;
        }
        if (address == range->last + 1) {
            range->last = last;
            return;
        }
    }
    if (port->dirty_count < DIRTY_SLOTS) {
        port->dirty[port->dirty_count++] = (struct dirty_range){address, last};
        return;
    }
    /* Full: the last slot becomes one range over everything further. More than was written, never
     * less. */
    struct dirty_range *range = &port->dirty[DIRTY_SLOTS - 1];
    range->first = address < range->first ? address : range->first;
    range->last = last > range->last ? last : range->last;
}

static void begin_report(struct ciommu_port *port) {
    (void)exchange_seq_cst(&port->reporting,
                           port->reporting + 1); /* pairs with ciommu_ports_quiesce */
}

/* Reports what the section wrote. */
static void report_writes(struct ciommu_port *port, bool outermost) {
    struct dirty_range dirty[DIRTY_SLOTS];
    uint32_t count = port->dirty_count;
    memcpy(dirty, port->dirty, count * sizeof dirty[0]); /* the hook may use the port */
    port->dirty_count = 0;
    const struct memory_dirty_log *log = ciommu_memory_dirty_log(port->unit->memory);
    if (log != NULL && log->log != NULL) {
        for (uint32_t range = 0; range < count; range++) {
            log->log(log->context, dirty[range].first, dirty[range].last - dirty[range].first + 1);
        }
    }
    if (outermost) {
        store_release(&port->reporting, port->reporting + 1);
    }
}

void ciommu_port_leave_with_work(struct ciommu_port *port) {
    uint32_t work = port->head.leave_work;
    bool outermost = (port->reporting & 1) == 0; /* else the dirty log uses the port */
    bool reports = (work & LEAVE_REPORTS) != 0 && outermost;
    port->head.leave_work = 0;
    if (reports && !MUTANT(REPORT_LATE)) {
        begin_report(port);
    }
    store_release(&port->head.state, port->head.inside + 1);
    yield_point(CIOMMU_YIELD_LEFT);
    if (reports && MUTANT(REPORT_LATE)) {
        begin_report(port);
    }
    if ((work & LEAVE_WAKES) != 0) {
        events_wake(&port->unit->events);
    }
    if ((work & LEAVE_REPORTS) != 0) {
        report_writes(port, outermost);
    }
}

static uint64_t now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (uint64_t)time.tv_sec * UINT64_C(1000000000) + (uint64_t)time.tv_nsec;
}

/* Waits until `word` is no longer the odd value `seen`. `*deadline` is 0 until the first time the
 * clock is needed. Every look takes the cache line away from the owner, who writes to it with every
 * request: looks that follow closely upon each other delay what they wait for. */
static bool wait_for_move(const uint64_t *word, uint64_t seen, uint64_t timeout,
                          uint64_t *deadline) {
    uint32_t spins = 0;
    uint32_t pauses = 1;
    while (load_acquire(word) == seen) {
        yield_point(CIOMMU_YIELD_DRAINING);
        for (uint32_t pause = 0; pause < pauses; pause++) {
            cpu_relax();
        }
        spins += pauses;
        pauses = pauses < LOOK_PAUSES_MOST ? 2 * pauses : pauses;
        if (spins < YIELD_PAUSES) {
            continue;
        }
        spins = 0;
        uint64_t time = now();
        if (*deadline == 0) {
            *deadline = time + timeout < time ? UINT64_MAX : time + timeout;
        }
        if (time >= *deadline) {
            return load_acquire(word) != seen;
        }
        sched_yield();
    }
    return true;
}

static void count_wait(struct ports *ports, uint64_t nanoseconds) {
    uint32_t lg2 = nanoseconds == 0 ? 0 : 63 - (uint32_t)__builtin_clzll(nanoseconds);
    (void)add_relaxed(&ports->waits[lg2 < DRAIN_TIMES ? lg2 : DRAIN_TIMES - 1], 1);
}

enum ciommu_status ciommu_ports_drain(struct ports *ports, uint32_t *port_id) {
    /* All seq_cst, like the bump of ugen before: either the section sees the new ugen, or we see
     * its state odd (or the port is so new that its first enter sees the new ugen). */
    uint32_t count = load_seq_cst(&ports->count);
    uint64_t deadline = 0;
    uint64_t begin = 0;
    enum ciommu_status status = CIOMMU_OK;
    count -= MUTANT(NEW_PORT_MISSED) && count != 0;
    for (uint32_t slot = 0; slot < count; slot++) {
        const struct ciommu_port *port = load_acquire(&ports->slots[slot]);
        uint64_t seen = load_seq_cst(&port->head.state); /* pairs with enter and leave */
        if ((seen & 1) == 0) {
            continue;
        }
        begin = begin == 0 ? now() : begin;
        if (wait_for_move(&port->head.state, seen, ports->timeout, &deadline)) {
            continue;
        }
        if (status == CIOMMU_OK && port_id != NULL) {
            *port_id = port->id;
        }
        status = CIOMMU_TIMED_OUT;
    }
    if (begin != 0) {
        count_wait(ports, now() - begin);
    }
    return status;
}

#ifdef CIOMMU_INTERNAL_CHECKS
bool ciommu_ports_hold_caller(const struct ports *ports) {
    uint64_t self = (uint64_t)(uintptr_t)pthread_self();
    uint32_t count = load_seq_cst(&ports->count);
    for (uint32_t slot = 0; slot < count; slot++) {
        const struct ciommu_port *port = load_acquire(&ports->slots[slot]);
        uint64_t state = load_acquire(&port->head.state);
        /* A section's number is its own, and who opened it is stored first: never another's. */
        if ((state & 1) != 0 && load_acquire(&port->entered_state) == state &&
            load_relaxed(&port->entered_by) == self) {
            return true;
        }
    }
    return false;
}
#endif

uint64_t ciommu_ports_horizon(const struct ports *ports) {
    uint32_t count = load_seq_cst(&ports->count);
    uint64_t horizon = UINT64_MAX;
    for (uint32_t slot = 0; slot < count; slot++) {
        const struct ciommu_port *port = load_acquire(&ports->slots[slot]);
        if ((load_seq_cst(&port->head.state) & 1) == 0) { /* pairs with enter and leave */
            continue;
        }
        /* Of this section, or of one before it: then it is older. A port's first section has none
         * until it resynchronises. */
        uint64_t seen = load_acquire(&port->head.seen_ugen);
        seen = seen == EMPTY ? 0 : seen;
        horizon = seen < horizon ? seen : horizon;
    }
    return horizon;
}

enum ciommu_status ciommu_ports_quiesce(const struct ports *ports) {
    uint32_t count = load_seq_cst(&ports->count);
    uint64_t deadline = 0;
    enum ciommu_status status = CIOMMU_OK;
    for (uint32_t slot = 0; slot < count; slot++) {
        const struct ciommu_port *port = load_acquire(&ports->slots[slot]);
        uint64_t seen = load_seq_cst(&port->reporting);
        if ((seen & 1) != 0 && !wait_for_move(&port->reporting, seen, ports->timeout, &deadline)) {
            status = CIOMMU_TIMED_OUT;
        }
    }
    return status;
}
