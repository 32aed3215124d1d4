/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * gap.c - see gap_probe.h.
 */
#include "gap.h"

#include <stdlib.h>

uint32_t probe_gap_count(void) {
    return gap_argument_count + gap_place_count + gap_core_count + gap_request_count;
}

static const struct gap_case *find(uint32_t number) {
    if (number < gap_argument_count) {
        return &gap_argument_cases[number];
    }
    number -= gap_argument_count;
    if (number < gap_place_count) {
        return &gap_place_cases[number];
    }
    number -= gap_place_count;
    if (number < gap_core_count) {
        return &gap_core_cases[number];
    }
    number -= gap_core_count;
    return number < gap_request_count ? &gap_request_cases[number] : NULL;
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
