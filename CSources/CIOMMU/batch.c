/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * batch.c - arrays of native invalidation entries: copied once, decoded, collected by segment,
 * completed by one drain a segment [B-D1, B-D2, B-D3].
 *
 * The way of an entry: copy -> decode -> pending (pending.h) -> at the segment's end applied,
 * drained, devices asked, told to observers -> a wait descriptor's status and event.
 */
#include "batch.h"
#include "descriptor_vtd.h"
#include "invalidate.h"

#include <errno.h>
#include <string.h>

#define PAGE UINT64_C(0xfffffffffffff000)
#define NOTHING UINT32_MAX

/* ---- Formats ---- */

static uint32_t native_length(uint32_t format) {
    switch (format) {
    case CIOMMU_BATCH_VTD_S1:
        return 24;
    case CIOMMU_BATCH_VTD_128:
        return 16;
    case CIOMMU_BATCH_VTD_256:
        return 32;
    default:
        return 0;
    }
}

static bool refuse(struct batch_run *run, uint32_t code, const char *text) {
    run->result->code = code;
    run->result->text = text;
    return false;
}

/* Copies one entry. What lies beyond the format's own length must be zero: false if it is not. */
static bool copy_entry(const struct ciommu_batch *batch, uint32_t native, uint32_t index,
                       uint64_t words[4]) {
    const unsigned char *entry =
        (const unsigned char *)batch->entries + (size_t)index * batch->entry_length;
    unsigned char any = 0;
    /* The guest may write here at the same time: every word is read once, whatever it is. */
    if ((uintptr_t)entry % sizeof words[0] == 0) {
        const uint64_t *aligned = (const uint64_t *)(const void *)entry;
        words[0] = load_relaxed(&aligned[0]);
        words[1] = load_relaxed(&aligned[1]);
        words[2] = native > 16 ? load_relaxed(&aligned[2]) : 0;
        words[3] = native > 24 ? load_relaxed(&aligned[3]) : 0;
    } else {
        unsigned char *copy = (unsigned char *)words;
        memset(words, 0, 4 * sizeof words[0]);
        for (uint32_t at = 0; at < native; at++) {
            copy[at] = load_relaxed(&entry[at]);
        }
    }
    for (uint32_t at = native; at < batch->entry_length; at++) {
        any |= load_relaxed(&entry[at]);
    }
    return any == 0;
}

/* The kernel's stage-1 entry: addr, npages, flags, __reserved [FORMATS-IOMMUFD 5]. Unknown flags
 * come before bad values [FORMATS-IOMMUFD 12]. */
static bool decode_stage1(struct batch_run *run, const uint64_t words[4],
                          struct ciommu_invalidation *what) {
    uint64_t address = words[0];
    uint64_t pages = words[1];
    uint32_t flags = (uint32_t)words[2];
    if ((flags & ~1u) != 0) {
        return refuse(run, EOPNOTSUPP, "stage-1 entry: a flag other than LEAF");
    }
    if (words[2] >> 32 != 0) {
        return refuse(run, EOPNOTSUPP, "stage-1 entry: __reserved is not zero");
    }
    if ((address & ~PAGE) != 0) {
        return refuse(run, EINVAL, "stage-1 entry: addr is not a multiple of 4096");
    }
    if (pages == UINT64_MAX && address != 0) {
        return refuse(run, EINVAL, "stage-1 entry: npages of everything with addr other than 0");
    }
    *what = (struct ciommu_invalidation){
        .size = sizeof *what,
        .kind = CIOMMU_INVALIDATE_TRANSLATIONS,
        .domain = ciommu_domain_id(run->batch->domain),
        .pasid = CIOMMU_ANY,
        .source = CIOMMU_ANY,
        .stages = CIOMMU_STAGES_FIRST,
        .leaf_only = flags & 1,
        .last = UINT64_MAX,
    };
    /* Choice: npages = 0, whose effect is not documented, drops the page at addr; a range that
     * wraps drops everything. Both do more than any reading asks for. */
    uint64_t most = (UINT64_MAX - address) >> 12; /* pages after the first one */
    if (pages <= most + 1) {
        what->first = address;
        what->last = address + ((pages == 0 ? 1 : pages) << 12) - 1;
    }
    return true;
}

/* ---- Segments ---- */

static void fail(struct batch_run *run, const struct ciommu_batch_failure *failure) {
    struct ciommu_batch_result *result = run->result;
    bool first_timeout = failure->error == CIOMMU_BATCH_TIMEOUT && !run->told_timeout;
    if (result->failed < result->capacity) {
        result->failures[result->failed] = *failure;
    } else if (first_timeout && result->capacity != 0) {
        result->failures[result->capacity - 1] = *failure; /* it is why later waits are aborted */
    }
    run->told_timeout = run->told_timeout || first_timeout;
    result->failed++;
    if (result->error == CIOMMU_BATCH_FINE) {
        result->error = failure->error;
    }
}

static void span(struct ciommu_batch_result *result, uint32_t lowest, uint32_t highest) {
    result->lowest = lowest < result->lowest ? lowest : result->lowest;
    bool higher = result->highest == NOTHING || highest > result->highest;
    result->highest = higher ? highest : result->highest;
}

/* A device did not answer as it must. An entry that was refused is answered for once its device is
 * blocked in every section: then later wait descriptors tell the truth [FORMATS-VTD C4: ICE stops
 * nothing]. */
static void device_failed(void *context, const struct ciommu_batch_failure *failure) {
    struct batch_run *run = context;
    fail(run, failure);
    span(run->result, failure->index, failure->index);
}

/* A port's section was open at the deadline of a segment's drain, or of the drain that follows the
 * block of a device. */
static void note_late_port(struct batch_run *run, uint32_t last) {
    bool late = run->pending.late_now;
    run->pending.late_now = false;
    if (late) {
        const struct ciommu_batch_failure failure = {
            .index = last,
            .error = CIOMMU_BATCH_TIMEOUT,
            .flags = CIOMMU_BATCH_PORT,
            .source = CIOMMU_ANY,
            .pasid = CIOMMU_NO_PASID,
            .port_id = run->pending.port_id,
        };
        fail(run, &failure);
        span(run->result, run->segment_first, last);
    }
}

static bool is_late(const struct batch_run *run) {
    return run->pending.late || run->pending.device_late;
}

/* Stores a wait descriptor's status where the guest reads it; lost where no writable memory is. */
static void store_status(struct batch_run *run, uint64_t address, uint32_t data) {
    struct ciommu_port *port = run->port;
    ciommu_port_enter(port);
    ciommu_rcu_lock();
    struct memory_window *window = &port->windows[1];
    unsigned char *host = ciommu_memory_host(run->unit->memory, window, address);
    if (host != NULL && (window->rights & CIOMMU_WRITE) != 0) {
        store_release((uint32_t *)(void *)host, data); /* after everything that it reports */
        ciommu_port_note_write(port, address, sizeof data);
    }
    ciommu_rcu_unlock();
    ciommu_port_leave(port);
}

/* Completes what was collected up to the wait descriptor. After a time-out wait descriptors are
 * aborted: consumed, and nobody is told [FORMATS-VTD C4]; the rest of the array is then one
 * segment, so that there is one deadline more to wait for and not one at each wait. */
static void finish_wait(struct batch_run *run, uint32_t index,
                        const struct ciommu_descriptor_result *decoded) {
    if (is_late(run)) {
        return;
    }
    run->result->segments++;
    if (MUTANT(WAIT_BEFORE_DRAIN)) {
        store_status(run, decoded->wait_address, decoded->wait_data);
    }
    ciommu_pending_complete(&run->pending);
    note_late_port(run, index);
    run->segment_first = index + 1;
    if (is_late(run)) {
        return;
    }
    if ((decoded->wait_flags & 2) != 0) {
        store_status(run, decoded->wait_address, decoded->wait_data);
    }
    if (run->host != NULL && run->host->waited != NULL) {
        run->host->waited(run->host->context, index, (decoded->wait_flags & 1) != 0);
    }
}

/* What an accepted descriptor asks for. */
static void take_descriptor(struct batch_run *run, uint32_t index, const uint64_t words[4],
                            const struct ciommu_descriptor_result *decoded) {
    const struct ciommu_batch_host *host = run->host;
    switch (decoded->kind) {
    case CIOMMU_DESCRIPTOR_WAIT:
        finish_wait(run, index, decoded);
        return;
    case CIOMMU_DESCRIPTOR_INTERRUPT_CACHE:
        run->pending.changed = true; /* entries are not cached; sections may use what they read */
        if (host != NULL && host->interrupt_cache != NULL) {
            host->interrupt_cache(host->context, index, decoded->interrupt_first,
                                  decoded->interrupt_last);
        }
        return;
    case CIOMMU_DESCRIPTOR_PAGE_RESPONSE:
        if (host != NULL && host->page_response != NULL) {
            host->page_response(host->context, index, words);
        }
        return;
    default:
        ciommu_pending_add(&run->pending, index);
    }
}

/* One entry; false if it is refused. */
static bool take_entry(struct batch_run *run, uint32_t index) {
    const struct ciommu_batch *batch = run->batch;
    uint64_t words[4];
    if (!copy_entry(batch, run->native, index, words)) {
        uint32_t code = batch->format == CIOMMU_BATCH_VTD_S1 ? E2BIG : VTD_IQEI_RESERVED;
        return refuse(run, code, "bytes beyond the entry's format are not zero");
    }
    struct ciommu_invalidation *next = pending_next(&run->pending);
    if (batch->format == CIOMMU_BATCH_VTD_S1) {
        if (!decode_stage1(run, words, next)) {
            return false;
        }
        ciommu_pending_add(&run->pending, index);
        run->entries[0]++;
        return true;
    }
    struct ciommu_descriptor_result decoded; /* but for its invalidation */
    bool wide = batch->format == CIOMMU_BATCH_VTD_256;
    if (!ciommu_vtd_decode(run->unit, words, wide, &decoded, next)) {
        return refuse(run, decoded.iqei, decoded.error);
    }
    run->entries[words[0] & 15]++; /* of those types that exist, bits 11:9 are zero */
    take_descriptor(run, index, words, &decoded);
    return true;
}

/* ---- A run ---- */

void ciommu_batch_begin(struct batch_run *run) {
    struct ciommu_batch_result *result = run->result;
    *result = (struct ciommu_batch_result){
        .size = result->size,
        .lowest = NOTHING,
        .highest = NOTHING,
        .capacity = result->capacity,
        .failures = result->failures,
    };
    pending_init(&run->pending, run->unit);
    run->pending.domain = run->batch->domain;
    run->pending.report = device_failed;
    run->pending.context = run;
    run->segment_first = 0;
    run->native = native_length(run->batch->format);
    run->refused = false;
    run->told_timeout = false;
    memset(run->entries, 0, sizeof run->entries);
    while (result->handled < run->batch->count && !run->refused) {
        run->refused = !take_entry(run, result->handled);
        result->handled += run->refused ? 0 : 1;
    }
    ciommu_pending_apply(&run->pending);
}

bool ciommu_batch_needs_drain(const struct batch_run *run) {
    return run->pending.changed;
}

/* Adds a run to the unit's counters. */
static void count(const struct batch_run *run) {
    struct batch_counters *counters = &run->unit->batches;
    for (uint32_t type = 0; type < 16; type++) {
        if (run->entries[type] != 0) {
            (void)add_relaxed(&counters->entries[type], run->entries[type]);
        }
    }
    (void)add_relaxed(&counters->batches, 1);
    (void)add_relaxed(&counters->segments, run->result->segments);
    (void)add_relaxed(&counters->refused, run->refused ? 1 : 0);
    (void)add_relaxed(&counters->late, run->result->failed > (run->refused ? 1u : 0u) ? 1 : 0);
    (void)add_relaxed(&counters->merged, run->pending.merged);
    (void)add_relaxed(&counters->widened, run->pending.widened);
}

void ciommu_unit_invalidation_statistics(struct ciommu_unit *unit,
                                         struct ciommu_invalidation_statistics *out) {
    if (unit == NULL || out == NULL) {
        return;
    }
    const struct batch_counters *counters = &unit->batches;
    struct ciommu_invalidation_statistics sum = {
        .size = out->size,
        .batches = load_relaxed(&counters->batches),
        .segments = load_relaxed(&counters->segments),
        .refused = load_relaxed(&counters->refused),
        .late = load_relaxed(&counters->late),
        .merged = load_relaxed(&counters->merged),
        .widened = load_relaxed(&counters->widened),
        .drains = load_relaxed(&unit->drains),
        .drain_timeouts = load_relaxed(&unit->drain_timeouts),
    };
    for (uint32_t type = 0; type < 16; type++) {
        sum.entries[type] = load_relaxed(&counters->entries[type]);
    }
    for (uint32_t lg2 = 0; lg2 < DRAIN_TIMES; lg2++) {
        sum.drain_times[lg2] = load_relaxed(&unit->ports.waits[lg2]);
    }
    memcpy(out, &sum, sum.size < sizeof sum ? sum.size : sizeof sum);
}

enum ciommu_status ciommu_batch_end(struct batch_run *run, enum ciommu_status drained,
                                    uint32_t port_id) {
    struct ciommu_batch_result *result = run->result;
    if (run->segment_first < result->handled) {
        result->segments++;
        ciommu_pending_drained(&run->pending, drained, port_id);
        note_late_port(run, result->handled - 1);
    }
    if (run->refused) {
        const struct ciommu_batch_failure failure = {
            .index = result->handled,
            .error = CIOMMU_BATCH_DESCRIPTOR,
            .source = CIOMMU_ANY,
            .pasid = CIOMMU_NO_PASID,
        };
        fail(run, &failure);
        span(result, result->handled, result->handled);
        result->error = CIOMMU_BATCH_DESCRIPTOR; /* the queue stops for it, whatever else is late */
    }
    result->merged = run->pending.merged;
    count(run);
    return run->refused          ? CIOMMU_BAD_DESCRIPTOR
           : result->failed != 0 ? CIOMMU_TIMED_OUT
                                 : CIOMMU_OK;
}

/* ---- Checks ---- */

bool ciommu_batch_is_well_formed(const struct ciommu_unit *unit, const struct ciommu_port *port,
                                 const struct ciommu_batch *batch,
                                 const struct ciommu_batch_host *host) {
    if (unit == NULL || batch == NULL || batch->size < sizeof *batch ||
        (host != NULL && host->size < sizeof *host) || (port != NULL && port->unit != unit)) {
        return false;
    }
    uint32_t native = native_length(batch->format);
    if (native == 0 || batch->count > CIOMMU_BATCH_COUNT_MAX) {
        return false;
    }
    bool stage1 = batch->format == CIOMMU_BATCH_VTD_S1;
    bool domain = stage1 ? batch->domain != NULL &&
                               ciommu_domain_kind(batch->domain) == CIOMMU_DOMAIN_NESTED &&
                               batch->domain->unit == unit
                         : batch->domain == NULL;
    bool entries = batch->count == 0 || (batch->entries != NULL && batch->entry_length >= native &&
                                         batch->entry_length <= CIOMMU_BATCH_ENTRY_MAX);
    return domain && entries;
}

enum ciommu_status ciommu_batch_apply(struct ciommu_unit *unit, struct ciommu_port *port,
                                      const struct ciommu_batch *batch,
                                      const struct ciommu_batch_host *host,
                                      struct ciommu_batch_result *result) {
    if (result == NULL || result->size < sizeof *result ||
        (result->capacity != 0 && result->failures == NULL) ||
        !ciommu_batch_is_well_formed(unit, port, batch, host)) {
        return CIOMMU_INVALID_ARGUMENT;
    }
    if (ports_wait_for_caller(&unit->ports, port)) {
        return CIOMMU_IN_SECTION;
    }
    struct ciommu_port *used = port;
    if (batch->format != CIOMMU_BATCH_VTD_S1 && port == NULL) {
        used = ciommu_port_borrow(unit);
        if (used == NULL) {
            return CIOMMU_NO_PORT;
        }
    }
    struct batch_run
        run; /* filled piece by piece: clearing all of it costs more than most batches */
    run.unit = unit;
    run.port = used;
    run.batch = batch;
    run.host = host;
    run.result = result;
    ciommu_batch_begin(&run);
    uint32_t port_id = 0;
    enum ciommu_status drained = CIOMMU_OK;
    if (ciommu_batch_needs_drain(&run)) {
        drained = ciommu_unit_settle(unit, &port_id);
    }
    enum ciommu_status status = ciommu_batch_end(&run, drained, port_id);
    if (used != port) {
        ciommu_port_give_back(used);
    }
    return status;
}
