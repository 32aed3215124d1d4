/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * gap_meetings.c - one call that comes upon another in the middle.
 */
#include "gap.h"

const struct gap_case gap_meeting_cases[] = {
    {"x", NULL},
};
const uint32_t gap_meeting_count = 0;
