/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * walk.h - one walk through guest-owned tables: what it needs, what it finds, and the generic
 * walker that formats instantiate. A format knows nothing of caches, tables of devices, or fault
 * rings.
 *
 * The guest may change its tables at any moment. Every entry is loaded once, by one 8-byte load,
 * and everything about it is judged from that value; an accessed or dirty update compares against
 * it, and judges anew when the guest was faster. A nested first stage's table is found once and may
 * be elsewhere by the time an entry of it is marked: only where the second stage lets it be written
 * now is it written, and if that is another page, the walk begins anew without known tables. A walk
 * has at most five levels a stage and retries a bounded number of times, so it ends whatever the
 * guest does.
 */
#ifndef CIOMMU_WALK_H
#define CIOMMU_WALK_H

#include "fault.h"
#include "port.h"

/* A compare-and-exchange that loses this often in a row is a failed update [FORMATS-VTD A9]. */
#define UPDATE_ATTEMPTS 64u

#define INTERRUPT_FIRST UINT64_C(0xfee00000)
#define INTERRUPT_LAST UINT64_C(0xfeefffff)

static inline bool in_interrupt_range(uint64_t address) {
    return address - INTERRUPT_FIRST <= INTERRUPT_LAST - INTERRUPT_FIRST;
}

/* Entries seen, in order, for ciommu_trace. */
struct trace {
    struct ciommu_step *steps;
    uint32_t capacity;
    uint32_t count;
};

struct walk_fault {
    uint32_t code;
    uint32_t stage;
    uint32_t level;
    uint32_t found;
    uint64_t entry_address;
};

/* One walk. The caller fills the first part; the walk fills the second. Lives on the stack. */
struct walker {
    struct ciommu_port *port;
    const struct ciommu_memory *memory;
    const struct space_shape *shape;
    const struct ciommu_space *space;  /* whose walk-cache entries may be used; NULL = none */
    uint64_t walk_generation;          /* of it, read before the walk */
    const struct ciommu_space *parent; /* the same for the second stage of a nested space */
    uint64_t parent_walk_generation;
    uint32_t access; /* READ, WRITE, EXECUTE; none = probe */
    bool privileged;
    bool update;         /* accessed and dirty bits may be written */
    struct trace *trace; /* NULL = none */

    bool complete; /* every accessed bit that the path needs is set: the answer may be cached */
    struct walk_fault fault;
};

/* Whole-walk interface of a format. On success `*out` is the leaf; otherwise walker->fault says why
 * not. Under the RCU read lock and inside a section of walker->port. */
struct ciommu_format {
    const char *name;
    bool (*walk)(struct walker *walker, uint64_t input, struct leaf *out);
};

extern const struct ciommu_format ciommu_vtd_second_stage;
extern const struct ciommu_format ciommu_vtd_first_stage; /* alone or nested, as the shape says */

/* A second-stage walk on its own account or on behalf of a first stage. `judge` applies the
 * interrupt-range rule to the result. */
bool ciommu_vtd_walk_second(struct walker *walker, const struct ciommu_space *space,
                            uint64_t walk_generation, uint64_t input, uint32_t access, bool judge,
                            struct leaf *out);

static inline bool is_canonical(uint64_t input, uint32_t bits) {
    uint32_t unused = 64 - bits;
    return (uint64_t)((int64_t)(input << unused) >> unused) == input;
}

/* Records an entry for ciommu_trace. */
void ciommu_trace_step(struct trace *trace, uint32_t table, uint32_t level, uint64_t address,
                       uint64_t input, const uint64_t *words, uint32_t count);

static inline bool walk_fails(struct walker *walker, uint32_t code) {
    walker->fault.code = code;
    return false;
}

/* An opened paging table. */
struct table {
    unsigned char *host;
    uint64_t address; /* output address */
    uint64_t guest;   /* as the entry above named it */
    uint32_t host_rights;
};

/* What distinguishes one paging format from another, entry by entry. Constant at every
 * instantiation, so that all calls are inlined. */
struct walk_format {
    uint32_t table;   /* enum ciommu_table, for traces */
    uint64_t present; /* any of these bits: present */
    uint8_t ad_snoop; /* codes; 0 = the stage's own table */
    uint8_t ad_failed;
    /* Opening a table walks itself, and tells its faults by where this walk stands. */
    bool nested;
    uint32_t (*absent)(const struct stage_shape *stage, uint32_t access);
    /* Everything about one entry but the rights of a leaf; 0 = fine. */
    uint32_t (*check)(const struct walker *walker, const struct stage_shape *stage, uint64_t entry,
                      uint32_t level, bool leaf);
    uint32_t (*rights)(const struct stage_shape *stage, uint64_t entry);
    uint32_t (*deny)(const struct walker *walker, const struct stage_shape *stage, uint32_t access,
                     uint32_t *rights);
    bool (*open)(struct walker *walker, const struct stage_shape *stage, uint64_t address, bool top,
                 struct table *table);
    /* Before a leaf is marked: the rest of the translation and the interrupt-range rule. `out`
     * holds the stage's own leaf. */
    bool (*finish)(struct walker *walker, const struct stage_shape *stage, uint64_t input,
                   bool judge, struct leaf *out);
    /* Before an entry is written: may its table be written, and where is the entry now? */
    bool (*may_mark)(struct walker *walker, const struct table *table, uint64_t offset,
                     uint64_t *address);
};

#define always_inline inline __attribute__((always_inline))

#define LARGE_PAGE UINT64_C(0x80)
#define LARGE_LEVEL_MOST 2u

static inline uint32_t level_shift(uint32_t level) {
    return 12 + 9 * level;
}

/* The key of a known table has 24 bits for its space (walk_key). */
#define WALK_KEY_SPACE_SHIFT 36u
#define WALK_KEY_SPACES (1u << 24)

static inline uint64_t entry_offset(uint64_t input, uint32_t level) {
    return (input >> level_shift(level) & 511) * 8;
}

/* Where the walk stands, should it fail there. */
static inline void walk_at(struct walker *walker, uint32_t level, uint64_t entry_address) {
    walker->fault.level = level;
    walker->fault.entry_address = entry_address;
}

/* Where it stands, and what it has been granted so far. */
static always_inline void walk_stands(struct walker *walker, uint32_t level, uint64_t entry_address,
                                      uint32_t rights) {
    walk_at(walker, level, entry_address);
    walker->fault.found = walker->privileged ? RIGHTS_PRIVILEGED(rights) : RIGHTS_USER(rights);
}

/* Host memory of a table page, through the port's table window. */
static always_inline bool open_page(struct walker *walker, uint64_t address, struct table *table) {
    struct memory_window *window = &walker->port->windows[0];
    table->host = ciommu_memory_host(walker->memory, window, address);
    table->address = address;
    table->host_rights = window->rights;
    return table->host != NULL;
}

/* What a table translates (bits 56:21 of the input at the lowest level, the rest repeats the
 * highest), its level and its space. */
static inline uint64_t walk_key(uint64_t input, uint32_t level, uint32_t space) {
    uint64_t span = input << 7 >> (level_shift(level + 1) + 7);
    return span | (uint64_t)space << WALK_KEY_SPACE_SHIFT | (uint64_t)level << 60;
}

static inline struct walk_entry *walk_slot(const struct ciommu_port *port, uint64_t key) {
    return &port->walks[key * UINT64_C(0x9e3779b97f4a7c15) >> 32 & port->walk_mask];
}

/* What is known of the table of `level` that leads to `input`, or NULL. One whose upper levels deny
 * what is needed (in the half that counts) is of no use: first-stage rights are judged entry by
 * entry, and only the walk from the top meets the entry that denies. */
static always_inline const struct walk_entry *known_table(const struct ciommu_port *port,
                                                          const struct ciommu_space *space,
                                                          uint64_t walk_generation, uint64_t input,
                                                          uint32_t needed, uint32_t level) {
    uint64_t key = walk_key(input, level, space->index);
    const struct walk_entry *entry = walk_slot(port, key);
    bool good = entry->key == key &&
                (entry->walk_generation == walk_generation || MUTANT(KNOWN_TABLE_UNCHECKED)) &&
                ((needed & ~entry->rights) == 0 || MUTANT(KNOWN_TABLE_GRANTS));
    return good ? entry : NULL;
}

static always_inline void remember_table(struct ciommu_port *port, const struct ciommu_space *space,
                                         uint64_t walk_generation, uint64_t input,
                                         const struct table *table, uint32_t level,
                                         uint32_t rights) {
    uint64_t key = walk_key(input, level, space->index);
    struct walk_entry *entry = walk_slot(port, key);
    entry->key = key;
    entry->walk_generation = walk_generation;
    entry->host = table->host;
    entry->address = table->address;
    entry->guest = table->guest;

    entry->rights = rights;
    entry->host_rights = table->host_rights;
}

/* The deepest table known for `input`: the leaf table, or the one above it. */
static always_inline bool deepest_known(const struct walker *walker,
                                        const struct ciommu_space *space, uint64_t walk_generation,
                                        uint64_t input, uint32_t access, struct table *table,
                                        uint32_t *level, uint32_t *rights) {
    uint32_t needed = (access | CIOMMU_READ) << (walker->privileged ? 3 : 0);
    for (uint32_t at = 0; at < 2; at++) {
        const struct walk_entry *entry =
            known_table(walker->port, space, walk_generation, input, needed, at);
        if (entry != NULL) {
            *table = (struct table){entry->host, entry->address, entry->guest, entry->host_rights};
            *level = at;
            *rights = entry->rights;
            return true;
        }
    }
    return false;
}

enum mark_result {
    MARKED,
    MARK_LOST,
    MARK_MOVED, /* the table has another place */
    MARK_FAILED
};

/* Sets `missing` in the entry that was judged as `*entry`. */
static always_inline enum mark_result mark(struct walker *walker, const struct walk_format *format,
                                           const struct stage_shape *stage,
                                           const struct table *table, uint64_t offset,
                                           uint64_t missing, uint64_t *entry) {
    if (!stage->snooped) {
        walker->fault.code = format->ad_snoop != 0 ? format->ad_snoop : stage->codes->ad_snoop;
        return MARK_FAILED;
    }
    uint64_t address;
    if (!format->may_mark(walker, table, offset, &address)) {
        return MARK_FAILED;
    }
    if (unlikely(address != table->address + offset) && !MUTANT(MARK_ELSEWHERE)) {
        return MARK_MOVED;
    }
    if ((table->host_rights & CIOMMU_WRITE) == 0) {
        walker->fault.code = format->ad_failed != 0 ? format->ad_failed : stage->codes->ad_failed;
        return MARK_FAILED;
    }
    uint64_t *slot = (uint64_t *)(void *)(table->host + offset);
    yield_point(CIOMMU_YIELD_MARKING);
    count_guest_load();
    if (MUTANT(MARK_PLAIN)) {
        store_relaxed(slot, *entry | missing);
    } else if (!compare_exchange_seq_cst(slot, entry, *entry | missing)) {
        return MARK_LOST;
    }
    *entry |= missing;
    if (!stage->host_tables && !MUTANT(DIRTY_LOG_SILENT)) {
        ciommu_port_note_write(walker->port, table->address + offset, sizeof *entry);
    }
    return MARKED;
}

/* Puts a leaf entry into `*out` and finishes the translation. */
static always_inline bool take_leaf(struct walker *walker, const struct walk_format *format,
                                    const struct stage_shape *stage, uint32_t level, uint64_t entry,
                                    uint32_t rights, uint64_t input, bool judge, struct leaf *out) {
    uint64_t size = UINT64_C(1) << level_shift(level);
    out->page_lg2 = level_shift(level);
    out->cut = 0;
    out->address = entry & stage->address_mask & ~(size - 1);
    out->rights = rights;
    out->attributes = (entry & stage->snoop) != 0 ? CIOMMU_ATTRIBUTE_SNOOP : 0;
    return format->finish(walker, stage, input, judge, out);
}

/* One entry, judged. */
struct judged {
    uint64_t entry;
    uint32_t rights; /* accumulated, this entry included */
    bool leaf;
};

enum visit {
    VISITED,
    VISIT_AGAIN, /* the guest changed the entry before it could be marked */
    VISIT_ANEW,  /* the table is no longer where it was found: known ones may be older still */
    VISIT_FAILED
};

/* Judges the entry at `offset`, and marks it. A leaf goes into `*out`. */
static always_inline enum visit visit_entry(struct walker *walker, const struct walk_format *format,
                                            const struct stage_shape *stage,
                                            const struct table *table, uint32_t level,
                                            uint32_t rights, uint64_t input, uint32_t access,
                                            bool judge, struct judged *judged, struct leaf *out) {
    uint64_t offset = entry_offset(input, level);
    const uint64_t *slot = (const uint64_t *)(const void *)(table->host + offset);
    uint64_t entry = load_guest(slot);
    uint64_t where = table->address + offset;
    if (unlikely(walker->trace != NULL)) {
        /* Where the host's own tables lie is nobody's business. */
        bool hidden = stage->host_tables && level != 0 && (entry & LARGE_PAGE) == 0;
        uint64_t shown = hidden ? entry & ~stage->address_mask : entry;
        ciommu_trace_step(walker->trace, format->table, level, stage->host_tables ? 0 : where,
                          input, &shown, 1);
    }
    if (unlikely((entry & format->present) == 0)) {
        walk_stands(walker, level, where, 0);
        (void)walk_fails(walker, format->absent(stage, access));
        return VISIT_FAILED;
    }
    uint32_t granted = rights & format->rights(stage, entry);
    judged->entry = entry;
    judged->leaf = level == 0 || ((entry & LARGE_PAGE) != 0 && level <= LARGE_LEVEL_MOST);
    judged->rights = granted;
    uint32_t code = format->check(walker, stage, entry, level, judged->leaf);
    if (code == 0 && judged->leaf) {
        code = format->deny(walker, stage, access, &judged->rights);
    }
    if (format->nested || judged->leaf || unlikely(code != 0)) {
        walk_stands(walker, level, where, granted);
    }
    if (unlikely(code != 0)) {
        (void)walk_fails(walker, code);
        return VISIT_FAILED;
    }
    if (MUTANT(ENTRY_READ_TWICE)) {
        judged->entry = entry = load_guest(slot);
    }
    if (judged->leaf &&
        !take_leaf(walker, format, stage, level, entry, judged->rights, input, judge, out)) {
        return VISIT_FAILED;
    }
    bool writes = judged->leaf && (access & CIOMMU_WRITE) != 0;
    uint64_t missing = (stage->accessed | (writes ? stage->dirty : 0)) & ~entry;
    if (likely(missing == 0)) {
        return VISITED;
    }
    if (!walker->update) {
        walker->complete = walker->complete && (missing & stage->accessed) == 0;
        return VISITED;
    }
    if (!format->nested && !judged->leaf) {
        walk_stands(walker, level, where, granted);
    } else { /* `found` is known, perhaps from the other stage */
        walk_at(walker, level, where);
    }
    switch (mark(walker, format, stage, table, offset, missing, &judged->entry)) {
    case MARKED:
        return VISITED;
    case MARK_LOST:
        return VISIT_AGAIN;
    case MARK_MOVED:
        return VISIT_ANEW;
    default:
        return VISIT_FAILED;
    }
}

/* One attempt of walk_stage. */
static always_inline enum visit walk_once(struct walker *walker, const struct walk_format *format,
                                          const struct stage_shape *stage,
                                          const struct ciommu_space *space,
                                          uint64_t walk_generation, uint64_t input, uint32_t access,
                                          bool judge, struct leaf *out) {
    struct table table;
    uint32_t level = stage->levels - 1;
    uint32_t rights = RIGHTS_ALL;
    bool cached = space != NULL && walker->port->walks != NULL;
    if (!cached ||
        !deepest_known(walker, space, walk_generation, input, access, &table, &level, &rights)) {
        walk_at(walker, level, stage->roots[0] + entry_offset(input, level));
        if (unlikely(!format->open(walker, stage, stage->roots[0], true, &table))) {
            return VISIT_FAILED;
        }
    }
    for (;;) {
        struct judged judged;
        enum visit visit = visit_entry(walker, format, stage, &table, level, rights, input, access,
                                       judge, &judged, out);
        if (unlikely(visit != VISITED)) {
            return visit;
        }
        if (judged.leaf) {
            if ((stage->dirty & ~judged.entry) != 0 && !MUTANT(RIGHTS_WITHOUT_D)) {
                out->rights &= ~(uint32_t)RIGHTS_BOTH(CIOMMU_WRITE);
            }
            return VISITED;
        }
        rights = judged.rights;
        level--;
        uint64_t below = judged.entry & stage->address_mask;
        if (format->nested) {
            walk_at(walker, level, below + entry_offset(input, level));
        }
        if (unlikely(!format->open(walker, stage, below, false, &table))) {
            if (!format->nested) {
                walk_stands(walker, level, below + entry_offset(input, level), rights);
            }
            return VISIT_FAILED;
        }
        if (cached && walker->complete && level < 2) {
            remember_table(walker->port, space, walk_generation, input, &table, level, rights);
        }
    }
}

/* The generic walker. `space` NULL: no walk cache. An entry that the guest changes before it is
 * marked is judged anew by another walk, which finds the entries above marked. A walk that came
 * through a table which has moved leaves the walk cache alone from then on, in both stages. */
static always_inline bool walk_stage(struct walker *walker, const struct walk_format *format,
                                     const struct stage_shape *stage,
                                     const struct ciommu_space *space, uint64_t walk_generation,
                                     uint64_t input, uint32_t access, bool judge,
                                     struct leaf *out) {
    const uint32_t stage_at = walker->fault.stage;
    for (uint32_t attempt = 0; attempt < UPDATE_ATTEMPTS; attempt++) {
        enum visit visit =
            walk_once(walker, format, stage, space, walk_generation, input, access, judge, out);
        if (likely(visit != VISIT_AGAIN && visit != VISIT_ANEW)) {
            return visit == VISITED;
        }
        if (visit == VISIT_ANEW) {
            space = NULL;
            walker->parent = NULL;
        }
        walker->fault.stage = stage_at; /* a nested walk may have moved it */
    }
    return walk_fails(walker, format->ad_failed != 0 ? format->ad_failed : stage->codes->ad_failed);
}

#endif
