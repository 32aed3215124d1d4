/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * cases.c - `proof cases`: every deterministic case, each in a process of its own.
 */
#include "proof.h"

#include "case_probe.h"

#include <stdio.h>

/* Implementation: longer than any case takes on a slow machine or an emulated one. */
#define LIMIT 600000u

static void run_case(const void *context, struct report *report, int file) {
    const uint32_t *number = context;
    struct probe_case_result result;
    (void)file;
    probe_case_run(*number, 0, &result);
    report->violations = result.failures;
    (void)snprintf(report->first, sizeof report->first, "%s", result.first);
}

int run_cases(const struct options *options) {
    uint32_t failed = 0;
    uint32_t count = 0;
    for (uint32_t number = 0; number < probe_case_count(); number++) {
        char name[200];
        probe_case_name(number, name, sizeof name);
        if (!is_wanted(options, name)) {
            continue;
        }
        count++;
        if (options->list) {
            (void)printf("%s\n", name);
            continue;
        }
        struct child child;
        const struct work work = {run_case, &number, false};
        if (!child_start(&child, &work, LIMIT)) {
            (void)fprintf(stderr, "proof: no process\n");
            return 1;
        }
        enum child_end end = child_wait(&child);
        if (end != CHILD_FINISHED) {
            char text[100];
            child_tell_end(&child, end, text, sizeof text);
            (void)printf("FAILED  %s: %s\n", name, text);
            failed++;
        } else if (child.report->violations != 0) {
            (void)printf("FAILED  %s: %s\n", name, child.report->first);
            failed++;
        }
        child_forget(&child);
    }
    if (!options->list) {
        (void)printf("%u cases, %u failed\n", count, failed);
    }
    return failed != 0 || count == 0;
}
