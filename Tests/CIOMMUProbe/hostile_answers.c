/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * hostile_answers.c - every answer that the hostile guest's tables can give, each word read having
 * any of its values, whatever the others had [FORMATS-VTD A5-A10]. Shares no code with the walker.
 */
#include "hostile_world.h"

#include <string.h>

#define PARENT_LEVELS 4u
#define STATES 512u
#define HOST_WIDTH 46u
#define ADDRESS UINT64_C(0x000ffffffffff000)
#define LARGE UINT64_C(0x80)
#define RW (CIOMMU_READ | CIOMMU_WRITE)

/* A table that a walk may be at, with the rights that are left. */
struct state {
    uint64_t table;
    uint32_t rights;
};

struct states {
    uint32_t count;
    struct state items[STATES];
};

static void add(struct hostile_answers *answers, const struct hostile_answer *answer) {
    for (uint32_t index = 0; index < answers->count; index++) {
        const struct hostile_answer *item = &answers->items[index];
        if (item->address == answer->address && item->code == answer->code &&
            item->page_lg2 == answer->page_lg2 && item->rights == answer->rights) {
            return;
        }
    }
    if (answers->count == HOSTILE_ANSWERS) {
        answers->overflowed = true;
        return;
    }
    answers->items[answers->count++] = *answer;
}

static void add_fault(struct hostile_answers *answers, uint32_t code) {
    add(answers, &(struct hostile_answer){.code = code});
}

static void add_state(struct hostile_answers *answers, struct states *states, uint64_t table,
                      uint32_t rights) {
    for (uint32_t index = 0; index < states->count; index++) {
        if (states->items[index].table == table && states->items[index].rights == rights) {
            return;
        }
    }
    if (states->count == STATES) {
        answers->overflowed = true;
        return;
    }
    states->items[states->count++] = (struct state){table, rights};
}

/* The values that a word may have, at most HOSTILE_VALUES; 0 where no memory is. `*missing`: it may
 * also be gone. */
static uint32_t values_at(const struct hostile_world *world, uint64_t address, uint64_t *values,
                          bool *missing) {
    const struct hostile_switch *found = hostile_find(world, address);
    const uint64_t *word = address >> HOST_WIDTH != 0 ? NULL : hostile_word(world, address);
    uint64_t page = address & ~(HOSTILE_PAGE - 1);
    *missing = word == NULL || page - HOSTILE_LENT < HOSTILE_LENT_PAGES * HOSTILE_PAGE;
    if (found != NULL) {
        memcpy(values, found->values, found->count * sizeof values[0]);
        return found->count;
    }
    if (word == NULL) {
        return 0;
    }
    values[0] = *word;
    values[1] = HOSTILE_CANARY;
    return page == world->changeling ? 2 : 1;
}

static bool is_interrupt(uint64_t address) {
    return address >> 20 == 0xfee;
}

static uint32_t shift_of(uint32_t level) {
    return 12 + 9 * level;
}

static uint64_t below(uint32_t level) {
    return (UINT64_C(1) << shift_of(level)) - 1;
}

/* ---- Second stage ---- */

struct request {
    uint64_t input;
    uint32_t access;
    bool final; /* not the place of a first-stage table */
};

static uint32_t second_code(const struct hostile_world *world, uint32_t legacy, uint32_t scalable) {
    return world->kind == PROBE_HOSTILE_LEGACY ? legacy : scalable;
}

static bool is_second_reserved(uint64_t entry, uint32_t level, bool leaf) {
    uint64_t address = entry & ADDRESS;
    return (entry >> 62 & 1) != 0 || address >> HOST_WIDTH != 0 ||
           (level > 0 && leaf && (level > 2 || (address & below(level)) != 0));
}

static void second_leaf(const struct hostile_world *world, const struct request *request,
                        uint64_t entry, uint32_t level, uint32_t rights,
                        struct hostile_answers *out) {
    bool write = (request->access & CIOMMU_WRITE) != 0;
    uint64_t output =
        (entry & ADDRESS & ~below(level)) | (request->input & below(level) & ~(HOSTILE_PAGE - 1));
    if (rights == 0) {
        add_fault(out, second_code(world, write ? 0x05 : 0x06, 0x79));
    } else if (write && (rights & CIOMMU_WRITE) == 0) {
        add_fault(out, second_code(world, 0x05, 0x85));
    } else if (!write && (rights & CIOMMU_READ) == 0) {
        add_fault(out, second_code(world, 0x06, 0x86));
    } else if (request->final && is_interrupt(output)) {
        add_fault(out, second_code(world, 0x0e, 0x87));
    } else {
        add(out, &(struct hostile_answer){output, 0, shift_of(level), rights});
    }
}

static void second_entry(const struct hostile_world *world, const struct request *request,
                         uint64_t entry, uint32_t level, uint32_t rights, struct states *next,
                         struct hostile_answers *out) {
    bool write = (request->access & CIOMMU_WRITE) != 0;
    bool leaf = level == 0 || (entry & LARGE) != 0;
    if ((entry & RW) == 0) {
        add_fault(out, second_code(world, write ? 0x05 : 0x06, 0x79));
    } else if (is_second_reserved(entry, level, leaf)) {
        add_fault(out, second_code(world, 0x0c, 0x7a));
    } else if (leaf) {
        second_leaf(world, request, entry, level, rights & (uint32_t)entry, out);
    } else {
        add_state(out, next, entry & ADDRESS, rights & (uint32_t)entry);
    }
}

static void walk_second(const struct hostile_world *world, const struct request *request,
                        struct hostile_answers *out) {
    struct states lists[2];
    struct states *now = &lists[0];
    struct states *next = &lists[1];
    uint32_t levels = world->kind == PROBE_HOSTILE_NESTED ? PARENT_LEVELS : world->levels;
    if (request->input >> shift_of(levels) != 0) {
        add_fault(out, second_code(world, 0x04, 0x84));
        return;
    }
    now->count = 0;
    add_state(out, now, world->second[0], RW);
    add_state(out, now, world->second[1], RW);
    if (world->kind != PROBE_HOSTILE_LEGACY) {
        add_fault(out, 0x7d); /* changed under the walk, again and again; or read-only */
    }
    for (uint32_t level = levels; level-- > 0;) {
        next->count = 0;
        for (uint32_t index = 0; index < now->count; index++) {
            uint64_t values[HOSTILE_VALUES];
            bool missing;
            uint64_t entry = request->input >> shift_of(level) & 511;
            uint32_t count =
                values_at(world, now->items[index].table + entry * 8, values, &missing);
            if (missing) {
                add_fault(out, level == levels - 1 ? second_code(world, 0x03, 0x7b)
                                                   : second_code(world, 0x07, 0x78));
            }
            for (uint32_t value = 0; value < count; value++) {
                second_entry(world, request, values[value], level, now->items[index].rights, next,
                             out);
            }
        }
        struct states *swap = now;
        now = next;
        next = swap;
    }
}

/* ---- First stage ---- */

/* Where a first-stage entry may lie; what goes wrong on the way goes to `out`. */
static void locate(const struct hostile_world *world, uint64_t slot, uint32_t level,
                   struct hostile_answers *places, struct hostile_answers *out) {
    places->count = 0;
    if (world->kind != PROBE_HOSTILE_NESTED) {
        add(places, &(struct hostile_answer){slot & ~(HOSTILE_PAGE - 1), 0, 12, RW});
        return;
    }
    const struct request write = {slot, CIOMMU_WRITE, false}; /* for a mark */
    const struct request read = {slot, CIOMMU_READ, false};
    walk_second(world, &write, places);
    for (uint32_t index = 0; index < places->count; index++) {
        uint32_t code = places->items[index].code;
        if (code != 0) {
            add_fault(out, code == 0x85 ? 0x77 : code);
        }
    }
    places->count = 0;
    walk_second(world, &read, places);
    for (uint32_t index = 0; index < places->count; index++) {
        uint32_t code = places->items[index].code;
        if (code != 0) {
            add_fault(out, code != 0x86 ? code : level == world->levels - 1 ? 0x75 : 0x76);
        }
    }
}

static void first_leaf(const struct hostile_world *world, const struct request *request,
                       uint64_t entry, uint32_t level, uint32_t rights,
                       struct hostile_answers *out) {
    static struct hostile_answers ends; /* one thread, before the others run */
    uint64_t output =
        (entry & ADDRESS & ~below(level)) | (request->input & below(level) & ~(HOSTILE_PAGE - 1));
    if (world->kind != PROBE_HOSTILE_NESTED) {
        if (is_interrupt(output)) {
            add_fault(out, 0x87);
        } else {
            add(out, &(struct hostile_answer){output, 0, shift_of(level), rights});
        }
        return;
    }
    const struct request second = {output, request->access, true};
    ends.count = 0;
    walk_second(world, &second, &ends);
    for (uint32_t index = 0; index < ends.count; index++) {
        struct hostile_answer end = ends.items[index];
        if (end.code == 0) {
            end.page_lg2 = end.page_lg2 < shift_of(level) ? end.page_lg2 : shift_of(level);
            end.rights &= rights;
        }
        add(out, &end);
    }
    out->overflowed |= ends.overflowed;
}

static void first_entry(const struct hostile_world *world, const struct request *request,
                        uint64_t entry, uint32_t level, uint32_t rights, struct states *next,
                        struct hostile_answers *out) {
    uint64_t address = entry & ADDRESS;
    bool large = level > 0 && (entry & LARGE) != 0;
    bool nested = world->kind == PROBE_HOSTILE_NESTED;
    rights &= (entry & 2) != 0 ? RW : CIOMMU_READ;
    if ((entry & 1) == 0) {
        add_fault(out, 0x71);
    } else if ((entry & 4) == 0) {
        add_fault(out, 0x81);
    } else if ((request->access & CIOMMU_WRITE) != 0 && (entry & 2) == 0) {
        add_fault(out, 0x85);
    } else if ((large && (level > 2 || (address & below(level) & ~UINT64_C(0x1000)) != 0)) ||
               (!nested && address >> HOST_WIDTH != 0)) {
        add_fault(out, 0x72);
    } else if (large || level == 0) {
        first_leaf(world, request, entry, level, rights, out);
    } else {
        add_state(out, next, address, rights);
    }
}

static void walk_first(const struct hostile_world *world, const struct request *request,
                       struct hostile_answers *out) {
    struct states lists[2];
    static struct hostile_answers places;
    struct states *now = &lists[0];
    struct states *next = &lists[1];
    now->count = 0;
    add_state(out, now, world->first[0], RW);
    add_state(out, now, world->first[1], RW);
    add_fault(out, 0x91); /* changed under the walk, again and again; or read-only */
    for (uint32_t level = world->levels; level-- > 0;) {
        next->count = 0;
        for (uint32_t index = 0; index < now->count; index++) {
            uint64_t slot = now->items[index].table + (request->input >> shift_of(level) & 511) * 8;
            locate(world, slot, level, &places, out);
            for (uint32_t place = 0; place < places.count; place++) {
                uint64_t values[HOSTILE_VALUES];
                bool missing;
                uint64_t address = places.items[place].address | (slot & (HOSTILE_PAGE - 1));
                uint32_t count =
                    places.items[place].code != 0 ? 0 : values_at(world, address, values, &missing);
                if (places.items[place].code == 0 && missing) {
                    add_fault(out, level == world->levels - 1 ? 0x73 : 0x70);
                }
                for (uint32_t value = 0; value < count; value++) {
                    first_entry(world, request, values[value], level, now->items[index].rights,
                                next, out);
                }
            }
        }
        struct states *swap = now;
        now = next;
        next = swap;
    }
}

/* ---- The whole request ---- */

void hostile_enumerate(const struct hostile_world *world, uint64_t input, uint32_t access,
                       struct hostile_answers *answers) {
    static const uint32_t legacy_codes[] = {0x02, 0x03, 0x0b};
    static const uint32_t scalable_codes[] = {0x41, 0x42, 0x51, 0x52, 0x58, 0x59, 0x5a, 0x5b};
    bool legacy = world->kind == PROBE_HOSTILE_LEGACY;
    const uint32_t *codes = legacy ? legacy_codes : scalable_codes;
    size_t bytes = legacy ? sizeof legacy_codes : sizeof scalable_codes;
    const struct request request = {input, access, true};
    memset(answers, 0, sizeof *answers);
    for (size_t index = 0; index < bytes / sizeof codes[0]; index++) {
        add_fault(answers, codes[index]);
    }
    if (input >> HOST_WIDTH == 0) { /* pass-through */
        add(answers, &(struct hostile_answer){input, 0, 12, RW});
    } else {
        add_fault(answers, legacy ? 0x04 : 0x83);
    }
    if (legacy || world->kind == PROBE_HOSTILE_SECOND) {
        walk_second(world, &request, answers);
    } else {
        walk_first(world, &request, answers);
    }
}

bool hostile_is_possible(const struct hostile_answers *answers, uint64_t input,
                         const struct ciommu_result *result) {
    bool mapped = result->outcome == CIOMMU_TRANSLATED_OK;
    if (result->outcome != CIOMMU_FAULT && !mapped) {
        return false;
    }
    for (uint32_t index = 0; index < answers->count; index++) {
        const struct hostile_answer *item = &answers->items[index];
        if (!mapped) {
            if (item->code != 0 && item->code == result->fault.code) {
                return true;
            }
        } else if (item->code == 0 && item->page_lg2 == result->page_lg2 &&
                   (item->address | (input & (HOSTILE_PAGE - 1))) == result->address &&
                   (result->rights & RW & ~item->rights) == 0) {
            return true;
        }
    }
    return false;
}

bool hostile_may_hold(const struct hostile_answers *answers, uint64_t found) {
    const uint64_t taken = found - HOSTILE_CANARY; /* what hosts write over memory taken back */
    if (taken != 0 && taken < HOSTILE_LENT_PAGES * HOSTILE_PAGE / 8 * HOSTILE_PAGE &&
        taken % HOSTILE_PAGE == 0) {
        return false;
    }
    for (uint32_t index = 0; index < answers->count; index++) {
        const struct hostile_answer *item = &answers->items[index];
        if (item->code == 0 &&
            (found >> 48 != hostile_stamp(0) >> 48 || found == hostile_stamp(item->address))) {
            return true;
        }
    }
    return false;
}
