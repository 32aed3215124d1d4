/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * history_world.h - what the threads of a history translate: domains of every kind over one memory
 * map, with a number for every element that can change.
 *
 * Every element has two places it may lead to, its sides 0 and 1, or is absent. Each output page
 * belongs to one way through one space, so an answer tells every element's side; each host page
 * holds its own number and which of two copies it is, so memory tells it again.
 *
 *   binding (side = space) -> leaf or table (side) [-> parent's leaf (side)] -> memory (side =
 * copy)
 */
#ifndef PROBE_HISTORY_WORLD_H
#define PROBE_HISTORY_WORLD_H

#include "ciommu_invalidation.h"
#include "history.h"
#include "history_probe.h"

#define HISTORY_PAGE UINT64_C(4096)
#define HISTORY_PAGES 8u /* input pages of a space */
#define HISTORY_IOVA UINT64_C(0x40000000)
#define HISTORY_OUTPUT UINT64_C(0x100000000)
#define HISTORY_GUEST UINT64_C(0x80000000) /* parents' addresses of nested pages */
#define HISTORY_NO_ELEMENT UINT32_MAX
#define HISTORY_RW (CIOMMU_READ | CIOMMU_WRITE)
#define HISTORY_LARGE_PAGES 512u
#define HISTORY_LARGE_STEP (HISTORY_LARGE_PAGES / HISTORY_PAGES)
#define HISTORY_RANGE_PAGES 4u /* of a range of the memory map, but for the large space's */

enum history_space_name {
    HISTORY_PAGING = 0, /* a host's domain */
    HISTORY_LARGE,      /* the same, 2 MiB; the pages are samples of it */
    HISTORY_SLOT_X,     /* two that a device is switched between */
    HISTORY_SLOT_Y,
    HISTORY_NESTED,        /* a guest's first stage over a host's parent */
    HISTORY_SECOND,        /* a guest's second stage; from here on the guest's own */
    HISTORY_FIRST,         /* a guest's first stage */
    HISTORY_TABLES,        /* a guest's second stage whose leaf table is exchanged */
    HISTORY_NESTED_GUEST,  /* both stages of a guest */
    HISTORY_NESTED_TABLES, /* the same, whose parent's leaf table is exchanged */
    HISTORY_BOUND_X,       /* two that a PASID-table entry leads to in turn */
    HISTORY_BOUND_Y,
    HISTORY_SPACES
};

struct history_space {
    const char *name;
    uint32_t leaves;  /* element of page 0 */
    bool together;    /* one element for all pages */
    uint32_t parents; /* nested: elements of the parent's pages 2 * page + side, or NO_ELEMENT */
    uint32_t parent_count; /* 0; 1: one element for all; or 2 * HISTORY_PAGES */
    uint32_t outputs;      /* number of its first output page */
    uint32_t output_count;
};

enum history_target_name {
    HISTORY_ASK_PAGING = 0,
    HISTORY_ASK_LARGE,
    HISTORY_ASK_SLOT,
    HISTORY_ASK_NESTED,
    HISTORY_ASK_SECOND,
    HISTORY_ASK_FIRST,
    HISTORY_ASK_TABLES,
    HISTORY_ASK_NESTED_GUEST,
    HISTORY_ASK_NESTED_TABLES,
    HISTORY_ASK_BOUND,
    HISTORY_ASK_BOUND_X, /* keeps X and Y alive, so that a stale binding still finds its space */
    HISTORY_ASK_BOUND_Y,
    HISTORY_DEVICE_PAGING, /* of devices with ATS */
    HISTORY_DEVICE_NESTED,
    HISTORY_DEVICE_SECOND,
    HISTORY_DEVICE_FIRST,
    HISTORY_DEVICE_NESTED_GUEST,
    HISTORY_TARGETS
};

struct history_target {
    uint32_t source;
    uint32_t pasid;
    uint32_t binding; /* element, or NO_ELEMENT */
    uint32_t space;   /* of side 0 of the binding; side 1 is the next one */
    uint32_t mix;     /* any of these PROBE_HISTORY_* makes it worth asking */
};

#define HISTORY_SOURCE 0x42u /* a host's device */
#define HISTORY_SLOT_SOURCE 0x70u
#define HISTORY_DEVICE_SOURCE 0x60u /* with ATS */
#define HISTORY_GUEST_SOURCE 0x50u
#define HISTORY_GUEST_DEVICE_SOURCE 0x58u /* with ATS */
#define HISTORY_BOUND_PASID 5u
#define HISTORY_LEGACY_SOURCE 0x80u /* and on: of legacy mode; their places of 8 functions */

/* A guest's entry: its place, and what leads to each side, with all rights. */
struct history_entry {
    uint64_t *word; /* NULL: not a guest's */
    uint64_t sides[2];
};

#define HISTORY_ELEMENTS 512u

struct history_world {
    const struct probe_history_settings *settings;
    struct ciommu_memory *memory;
    struct ciommu_unit *unit;
    struct ciommu_device *device;
    struct ciommu_device *slot_device;
    struct ciommu_device *ats_device;
    struct ciommu_domain *paging;
    struct ciommu_domain *large;
    struct ciommu_domain *slots[2];
    struct ciommu_domain *parent;
    struct ciommu_domain *child;
    unsigned char *copies[2]; /* of the output pages */
    unsigned char *tables;    /* of guests */
    uint64_t next_table;      /* free from here on */
    uint64_t roots[2];        /* RTADDR: two root tables that say the same */
    uint32_t output_count;
    uint32_t elements;
    uint32_t bindings[2]; /* elements: the slot's and the guest's */
    uint32_t memories;    /* element of the first range */
    uint32_t memory_count;
    struct history_space spaces[HISTORY_SPACES];
    struct history_target targets[HISTORY_TARGETS];
    /* The changer that an element belongs to alone reads and writes these. */
    struct history_entry entries[HISTORY_ELEMENTS];
    struct history_state now[HISTORY_ELEMENTS]; /* value and rights */

    _Alignas(64) uint64_t clock;
};

enum ciommu_status history_world_create(struct history_world *world,
                                        const struct probe_history_settings *settings);
void history_world_destroy(struct history_world *world);

/* Element of a page. */
uint32_t history_leaf(const struct history_space *space, uint32_t page);
/* Element of the parent's page behind it; of nested spaces. */
uint32_t history_parent(const struct history_space *space, uint32_t page, uint32_t side);
/* Input address of a page. */
uint64_t history_iova(uint32_t space, uint32_t page);
/* Number of the output page behind page and side; of a nested space with the parent's side too. */
uint32_t history_output(const struct history_world *world, uint32_t space, uint32_t page,
                        uint32_t side, uint32_t parent_side);
/* First output page and length of a range of the memory map, by element. */
void history_range(const struct history_world *world, uint32_t element, uint32_t *first,
                   uint32_t *count);
uint32_t history_memory(const struct history_world *world, uint32_t output);
enum ciommu_status history_add_range(struct history_world *world, uint32_t element, uint32_t copy,
                                     bool replace);
/* Puts a guest's entry into a state. */
void history_store(struct history_world *world, uint32_t element, uint32_t side, uint32_t rights);
/* What a host page holds. */
uint64_t history_stamp(uint32_t output, uint32_t copy);
/* For printing. Not thread-safe. */
const char *history_element_name(void *world, uint32_t element);

/* ---- Answers ---- */

/* What came of a question. */
enum history_form {
    HISTORY_MAPPED = 0,
    HISTORY_FAULT,      /* refused */
    HISTORY_NO_HOST,    /* mapped, and no memory there */
    HISTORY_UNLOOKED,   /* mapped, outside of a section: no memory to look at */
    HISTORY_DEVICE_USE, /* of what a device had stored */
    HISTORY_FORMS
};

/* An answer's record: `first` is the target, `last` the page and the access, `value` the output
 * address, `seen` the word behind it, `rights` those granted, `scope` the form. */
static inline uint32_t history_question(uint32_t page, uint32_t access) {
    return page << 8 | access;
}

/* Judges one. */
enum history_verdict history_judge_answer(const struct history_world *world,
                                          const struct history *history,
                                          const struct history_record *answer);

/* The elements that the answer depends on, or may depend on. Returns how many. */
#define HISTORY_CHAIN 16u
uint32_t history_chain(const struct history_world *world, const struct history_record *answer,
                       uint32_t elements[HISTORY_CHAIN]);

/* "target page 3 read: stale ..." */
void history_describe(struct history_world *world, const struct history_record *answer,
                      enum history_verdict verdict, char *text, size_t bytes);

/* ---- Changers; each writes its own log ---- */

struct history_pair;

struct history_changer {
    struct history_world *world;
    struct history_pair *pair;    /* NULL, or who puts back what this one takes away */
    struct history_pair *follows; /* NULL, or whose takings this one puts back */
    struct history_log *log;
    uint64_t random;
    uint64_t changes;
    const char *complaint; /* a call that failed; NULL */
};

/* One change or a few, of the mix that its name says. Needs HISTORY_CHANGE_RECORDS of room. */
#define HISTORY_CHANGE_RECORDS 64u
void history_change_mappings(struct history_changer *changer);
void history_change_attachments(struct history_changer *changer);
void history_change_guest(struct history_changer *changer);
void history_change_parents(struct history_changer *changer);
void history_change_memory(struct history_changer *changer);

/* What they are made of. A host's call changes elements first...first+count-1 to {side, rights};
 * begins before and ends after the call. */
uint64_t history_call_begins(struct history_changer *changer);
void history_call_ends(struct history_changer *changer, uint64_t begin, uint32_t first,
                       uint32_t count, uint32_t side, uint32_t rights);
void history_write_guest(struct history_changer *changer, uint32_t element, uint32_t side,
                         uint32_t rights);
/* What another thread's call has taken away is there again; the call began at `begin`. */
void history_put_back(struct history_changer *changer, uint64_t begin, uint32_t element,
                      uint32_t side);
/* Invalidates something of a guest's, whether it changed or not. */
void history_invalidate_guest(struct history_changer *changer);
/* Records that first...last were invalidated; `begin` is history_tick before the call. */
void history_invalidated(struct history_changer *changer, uint64_t begin, uint32_t first,
                         uint32_t last, uint32_t scope);
void history_complain(struct history_changer *changer, const char *what, enum ciommu_status status);

#endif
