/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * cases.c - the registry of deterministic cases (case_probe.h).
 */
#include "cases.h"
#include "device_tlb_probe.h"
#include "fault_probe.h"
#include "gap_probe.h"
#include "message_probe.h"
#include "page_probe.h"
#include "probe.h"
#include "stress_probe.h"

#include <stdio.h>
#include <string.h>

/* Cases that are alike: a table, or the functions of a probe. */
struct case_group {
    const char *name;
    const struct case_table *table; /* NULL = the functions */
    uint32_t (*count)(void);
    const char *(*title)(uint32_t number);
    void (*run)(uint32_t number, uint32_t mutant, struct probe_case_result *result);
};

static void keep(struct probe_case_result *result, uint32_t failures, const char *first) {
    result->failures = failures;
    (void)snprintf(result->first, sizeof result->first, "%s", first);
}

static void run_fault(uint32_t number, uint32_t mutant, struct probe_case_result *result) {
    struct probe_fault_result told = {0};
    probe_set_mutant(mutant);
    probe_fault_case(number, &told);
    probe_set_mutant(0);
    keep(result, told.failures, told.first);
}

static void run_page(uint32_t number, uint32_t mutant, struct probe_case_result *result) {
    struct probe_page_result told = {0};
    probe_page_case(number, mutant, &told);
    keep(result, told.failures, told.first);
}

static void run_device_tlb(uint32_t number, uint32_t mutant, struct probe_case_result *result) {
    struct probe_device_tlb_result told = {0};
    probe_device_tlb_case(number, mutant, &told);
    keep(result, told.failures, told.first);
}

static void run_message(uint32_t number, uint32_t mutant, struct probe_case_result *result) {
    struct probe_message_result told = {0};
    probe_message_case(number, mutant, false, &told);
    keep(result, told.failures, told.first);
}

static void run_portable_message(uint32_t number, uint32_t mutant,
                                 struct probe_case_result *result) {
    struct probe_message_result told = {0};
    probe_message_case(number, mutant, true, &told);
    keep(result, told.failures, told.first);
}

static void run_section(uint32_t number, uint32_t mutant, struct probe_case_result *result) {
    struct probe_section_result told = {0};
    probe_set_mutant(mutant);
    probe_section_case(number, &told);
    probe_set_mutant(0);
    keep(result, told.failures, told.first);
}

static void run_injection(uint32_t number, uint32_t mutant, struct probe_case_result *result) {
    struct probe_inject_result told = {0};
    probe_set_mutant(mutant);
    probe_inject_case(number, &told);
    probe_set_mutant(0);
    keep(result, told.failures, told.first);
}

static void run_gap(uint32_t number, uint32_t mutant, struct probe_case_result *result) {
    struct probe_inject_result told = {0};
    probe_set_mutant(mutant);
    probe_gap_case(number, &told);
    probe_set_mutant(0);
    keep(result, told.failures, told.first);
}

static const struct case_group groups[] = {
    {"mechanisms", &cases_of_mechanisms, NULL, NULL, NULL},
    {"rights", &cases_of_rights, NULL, NULL, NULL},
    {"caches", &cases_of_caches, NULL, NULL, NULL},
    {"schedules", &cases_of_schedules, NULL, NULL, NULL},
    {"reports", &cases_of_reports, NULL, NULL, NULL},
    {"marks", &cases_of_marks, NULL, NULL, NULL},
    {"cut leaves", &cases_of_cuts, NULL, NULL, NULL},
    {"late reports", &cases_of_late_reports, NULL, NULL, NULL},
    {"sections", NULL, probe_section_count, probe_section_name, run_section},
    {"device-TLBs", NULL, probe_device_tlb_count, probe_device_tlb_name, run_device_tlb},
    {"faults", NULL, probe_fault_count, probe_fault_name, run_fault},
    {"pages", NULL, probe_page_count, probe_page_name, run_page},
    {"messages", NULL, probe_message_count, probe_message_name, run_message},
    {"messages, portable", NULL, probe_message_count, probe_message_name, run_portable_message},
    {"failures", NULL, probe_inject_count, probe_inject_name, run_injection},
    {"gaps", NULL, probe_gap_count, probe_gap_name, run_gap},
};

#define GROUPS (sizeof groups / sizeof *groups)

static uint32_t count_of(const struct case_group *group) {
    return group->table != NULL ? group->table->count : group->count();
}

/* The group of a case; its number becomes that in the group. */
static const struct case_group *group_of(uint32_t *number) {
    for (uint32_t index = 0; index < GROUPS; index++) {
        uint32_t count = count_of(&groups[index]);
        if (*number < count) {
            return &groups[index];
        }
        *number -= count;
    }
    return NULL;
}

uint32_t probe_case_count(void) {
    uint32_t count = 0;
    for (uint32_t index = 0; index < GROUPS; index++) {
        count += count_of(&groups[index]);
    }
    return count;
}

void probe_case_name(uint32_t number, char *name, uint32_t size) {
    const struct case_group *group = group_of(&number);
    const char *title = group == NULL          ? ""
                        : group->table != NULL ? group->table->rows[number].title
                                               : group->title(number);
    (void)snprintf(name, size, "%s: %s", group == NULL ? "" : group->name, title);
}

bool probe_case_find(const char *name, uint32_t *number) {
    char candidate[200];
    for (*number = 0; *number < probe_case_count(); ++*number) {
        probe_case_name(*number, candidate, sizeof candidate);
        if (strcmp(candidate, name) == 0) {
            return true;
        }
    }
    return false;
}

void probe_case_run(uint32_t number, uint32_t mutant, struct probe_case_result *result) {
    memset(result, 0, sizeof *result);
    const struct case_group *group = group_of(&number);
    if (group == NULL) {
        probe_expect(result, false, "no such case");
    } else if (group->table == NULL) {
        group->run(number, mutant, result);
    } else {
        probe_set_mutant(mutant);
        group->table->rows[number].run(result);
        probe_set_mutant(0);
    }
}

void probe_expect(struct probe_case_result *result, bool fine, const char *what) {
    if (!fine && result->failures++ == 0) {
        (void)snprintf(result->first, sizeof result->first, "%s", what);
    }
}
