/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * cases_mechanisms.c - single mechanisms of the kernel, and failing allocations, as cases (probe.h
 * and the probes of messages and faults).
 */
#include "cases.h"
#include "fault_probe.h"
#include "message_probe.h"
#include "probe.h"

static void write_after_dirty(struct probe_case_result *result) {
    probe_expect(result, probe_dirty_bit_precedes_write(), "a write is granted without D");
}

static void tags_run_out(struct probe_case_result *result) {
    probe_expect(result, probe_tag_renewal_errors(200) == 0, "wrong answers as tags run out");
}

/* A multiplicative hash resonates with some strides of page numbers; these must not. */
static void spread(struct probe_case_result *result, bool portable) {
    static const uint64_t strides[] = {1, 2, 3, 8, 64, 512, 513, 4096, 262144};
    for (uint32_t index = 0; index < sizeof strides / sizeof *strides; index++) {
        double crowding = probe_iotlb_crowding(1 << 16, 1 << 16, strides[index], portable);
        probe_expect(result, crowding >= 1 && crowding < 6, "strided pages crowd some sets");
    }
}

static void spread_wide(struct probe_case_result *result) {
    spread(result, false);
}

static void spread_portable(struct probe_case_result *result) {
    spread(result, true);
}

/* `errors` of a loop over failing allocations; nothing where none can be made to fail. */
static void judge_lives(struct probe_case_result *result, uint64_t errors, uint32_t lives,
                        uint32_t fewest) {
    if (probe_has_mutants()) {
        probe_expect(result, errors == 0, "a failed allocation has been answered wrongly");
        probe_expect(result, lives > fewest && lives < 1000, "the loop has not met every one");
    }
}

static void unit_without_memory(struct probe_case_result *result) {
    uint32_t lives = 0;
    uint64_t errors = probe_allocation_failure_errors(&lives);
    judge_lives(result, errors, lives, 10);
}

static void namespace_without_memory(struct probe_case_result *result) {
    uint32_t lives = 0;
    uint64_t errors = probe_namespace_failure_errors(&lives);
    judge_lives(result, errors, lives, 10);
}

static void message_without_memory(struct probe_case_result *result) {
    uint32_t lives = 0;
    uint64_t errors = probe_message_failure_errors(&lives);
    judge_lives(result, errors, lives, 2);
}

static void queues_without_memory(struct probe_case_result *result) {
    uint32_t lives = 0;
    uint64_t errors = probe_fault_failure_errors(&lives);
    judge_lives(result, errors, lives, 10);
}

static const struct probe_case rows[] = {
    {"a write is granted only after D is set", write_after_dirty},
    {"answers stay right when tags run out", tags_run_out},
    {"strided pages spread over the sets", spread_wide},
    {"strided pages spread over the sets, portable", spread_portable},
    {"every allocation of a unit may fail", unit_without_memory},
    {"every allocation of a namespace may fail", namespace_without_memory},
    {"every allocation of message stores may fail", message_without_memory},
    {"every allocation of fault queues may fail", queues_without_memory},
};

const struct case_table cases_of_mechanisms = {rows, sizeof rows / sizeof *rows};
