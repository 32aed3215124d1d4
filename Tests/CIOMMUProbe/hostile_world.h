/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * hostile_world.h - the tables of the hostile guest, and which answers they can give.
 *
 * Some words of the tables are switches: each has a few values, and belongs to one flipper, which
 * alone writes it. The indices of all levels above the leaves are 1, so that a table that points to
 * itself is read through the same switch at every level.
 */
#ifndef PROBE_HOSTILE_WORLD_H
#define PROBE_HOSTILE_WORLD_H

#include "hostile_probe.h"
#include "ciommu.h"

#include <stddef.h>

#define HOSTILE_PAGE UINT64_C(4096)
#define HOSTILE_RAM UINT64_C(0x1000000)
#define HOSTILE_RAM_PAGES 128u
#define HOSTILE_LENT UINT64_C(0x2000000) /* memory that comes and goes */
#define HOSTILE_LENT_PAGES 16u
#define HOSTILE_ROM UINT64_C(0x3000000)
#define HOSTILE_ROM_PAGES 16u
#define HOSTILE_HOLE UINT64_C(0x5000000)
#define HOSTILE_SOURCE 0x10u
#define HOSTILE_PASID 0x45u
#define HOSTILE_DOMAIN 7u
#define HOSTILE_INPUTS 8u /* pages that devices ask for: leaf indices 1...8 */
#define HOSTILE_SWITCHES 64u
#define HOSTILE_VALUES 10u
#define HOSTILE_ANSWERS 4096u
#define HOSTILE_CANARY UINT64_C(0xc0ffee5add1e0000) /* no entry: absent, whoever reads it */

struct hostile_switch {
    uint64_t address;
    uint64_t values[HOSTILE_VALUES];
    uint32_t count;
    uint64_t last; /* its flipper alone */
    bool paging;   /* a walk may mark it */
};

/* What a walk may come to. */
struct hostile_answer {
    uint64_t address; /* of the page; 0 of a fault */
    uint32_t code;    /* of a fault, else 0 */
    uint32_t page_lg2;
    uint32_t rights;
};

struct hostile_answers {
    uint32_t count;
    bool overflowed;
    struct hostile_answer items[HOSTILE_ANSWERS];
};

struct hostile_world {
    uint32_t kind;
    uint32_t levels; /* of `first`, or without it of `second`; a parent has 4 */
    struct ciommu_memory *memory;
    struct ciommu_unit *unit;
    unsigned char *ram;
    unsigned char *lent;
    unsigned char *rom;
    uint64_t *initial; /* what ram and rom held before anybody ran, page by page */
    uint64_t next;     /* free page of ram */
    struct hostile_switch switches[HOSTILE_SWITCHES];
    uint32_t switch_count;
    uint64_t first[2]; /* roots */
    uint64_t second[2];
    uint64_t data;       /* eight pages of stamps in ram */
    uint64_t changeling; /* a table that turns into data and back */
    uint64_t lent_table; /* a table in lent memory; the pages after it are data */
    struct hostile_answers *answers[HOSTILE_INPUTS][2]; /* of reads and of writes */
};

int hostile_world_create(struct hostile_world *world,
                         const struct probe_hostile_settings *settings);
void hostile_world_destroy(struct hostile_world *world);

/* The input address of a page. */
uint64_t hostile_input(const struct hostile_world *world, uint32_t page);
/* What every word of a data page holds. */
uint64_t hostile_stamp(uint64_t address);
/* The word at an output address, NULL where no memory is. */
uint64_t *hostile_word(const struct hostile_world *world, uint64_t address);
/* Bits that walks may set in a value. */
uint64_t hostile_marks(const struct hostile_world *world, uint64_t value);
/* Leaf entry number `index` of a table that leads to data pages. */
uint64_t hostile_leaf(const struct hostile_world *world, uint64_t address);
struct hostile_switch *hostile_find(const struct hostile_world *world, uint64_t address);
enum ciommu_status hostile_lend(struct hostile_world *world);

/* All that a request can be answered (hostile_answers.c). */
void hostile_enumerate(const struct hostile_world *world, uint64_t input, uint32_t access,
                       struct hostile_answers *answers);
bool hostile_is_possible(const struct hostile_answers *answers, uint64_t input,
                         const struct ciommu_result *result);
/* May the first word of the page be that? Of stamps it is known whose they are. */
bool hostile_may_hold(const struct hostile_answers *answers, uint64_t found);

#endif
