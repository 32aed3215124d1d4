/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * cases.h - groups of deterministic cases (case_probe.h).
 */
#ifndef PROBE_CASES_H
#define PROBE_CASES_H

#include "case_probe.h"

struct case_table {
    const struct probe_case *rows;
    uint32_t count;
};

extern const struct case_table cases_of_mechanisms;
extern const struct case_table cases_of_rights;
extern const struct case_table cases_of_caches;
extern const struct case_table cases_of_schedules;
extern const struct case_table cases_of_reports;
extern const struct case_table cases_of_marks;
extern const struct case_table cases_of_cuts;
extern const struct case_table cases_of_late_reports;

#endif
