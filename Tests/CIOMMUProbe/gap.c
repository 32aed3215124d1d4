/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * gap.c - see gap_probe.h.
 */
#include "gap.h"

#include <stdlib.h>

static const struct {
    const struct gap_case *cases;
    const uint32_t *count;
} lists[] = {
    {gap_argument_cases, &gap_argument_count}, {gap_place_cases, &gap_place_count},
    {gap_core_cases, &gap_core_count},         {gap_request_cases, &gap_request_count},
    {gap_access_cases, &gap_access_count},     {gap_pool_cases, &gap_pool_count},
    {gap_page_cases, &gap_page_count},         {gap_meeting_cases, &gap_meeting_count},
    {gap_table_cases, &gap_table_count},
};

#define LISTS (sizeof lists / sizeof *lists)

uint32_t probe_gap_count(void) {
    uint32_t count = 0;
    for (uint32_t list = 0; list < LISTS; list++) {
        count += *lists[list].count;
    }
    return count;
}

static const struct gap_case *find(uint32_t number) {
    for (uint32_t list = 0; list < LISTS; list++) {
        if (number < *lists[list].count) {
            return &lists[list].cases[number];
        }
        number -= *lists[list].count;
    }
    return NULL;
}

const char *probe_gap_name(uint32_t number) {
    const struct gap_case *what = find(number);
    return what == NULL ? "" : what->name;
}

void probe_gap_case(uint32_t number, struct probe_inject_result *result) {
    const struct gap_case *what = find(number);
    struct inject_world *world = calloc(1, sizeof *world);
    if (world != NULL && what != NULL && inject_world_make(world, result)) {
        what->run(world);
        inject_world_unmake(world);
    }
    free(world);
}
