/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * fault_probe.h - deterministic cases of fault queues (ciommu_faults.h), a model of them, and a
 * stress world in which every fault that happens is accounted for.
 */
#ifndef CIOMMU_FAULT_PROBE_H
#define CIOMMU_FAULT_PROBE_H

#include <stdbool.h>
#include <stdint.h>

/* How many cases there are, and their names. */
uint32_t probe_fault_count(void);
const char *probe_fault_name(uint32_t number);

struct probe_fault_result {
    uint32_t failures;
    char first[200]; /* what the first failed expectation was; "" */
};

/* Runs a case. */
void probe_fault_case(uint32_t number, struct probe_fault_result *result);

/* Random faults, reads, quotas, folding, policies and changes of devices in one thread, beside a
 * plain list of what each queue must hold. */
void probe_fault_model(uint64_t seed, uint32_t steps, struct probe_fault_result *result);

/* Fails the n-th allocation in the life of a unit with queues, for every n; `*lives` is how many
 * were tried. The number of wrong answers; UINT64_MAX where failures cannot be injected. */
uint64_t probe_fault_failure_errors(uint32_t *lives);

struct probe_fault_options {
    uint32_t mutant;
    uint32_t threads; /* that translate, 2...16 */
    uint32_t
        readers; /* threads that poll queues; 0: notices of the event thread drive one reader */
    uint32_t milliseconds; /* longest run; ends at the first violation */
    uint32_t ring;         /* fault_entries */
    uint32_t quota;
    uint64_t seed;
    bool flood; /* one device faults at full speed, through every port */
    bool churn; /* ports go and come back, and so do a device and its queue */
    bool widen; /* yield and sleep at the yield points */
};

struct probe_fault_totals {
    uint64_t violations;
    uint64_t faults;     /* that happened */
    uint64_t received;   /* that a record stood for */
    uint64_t lost;       /* that a loss stood for */
    uint64_t quiet_lost; /* of these: of devices that never had many in flight */
    uint64_t notices;
    char first[200];
};

/* 64 devices on four source ids. Half of them are handed from thread to thread, so that each of
 * their faults happens before the next: record and fault must have the same number. The others
 * fault in several threads at a time: each thread's faults must arrive in order. 0, or the
 * ciommu_status that setup failed with. */
int probe_fault_stress(const struct probe_fault_options *options,
                       struct probe_fault_totals *totals);

#endif
