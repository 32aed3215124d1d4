/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * mutants.h - the table of what must notice which mutant (mutant_rows.c).
 */
#ifndef PROBE_MUTANTS_H
#define PROBE_MUTANTS_H

#include "mutant_probe.h"

struct mutant_table {
    const struct probe_mutant_row *rows;
    uint32_t count;
};

extern const struct mutant_table mutant_rows;

#endif
