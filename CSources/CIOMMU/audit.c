/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * audit.c - see audit.h. Every rule is one that the comments of the structure's header state.
 */
#include "audit.h"

#ifdef CIOMMU_INTERNAL_CHECKS
#include "unit.h"

#include <stdio.h>
#include <stdlib.h>

bool ciommu_audits_on = true;

/* What one audit of a unit gathers. */
struct audit {
    struct ciommu_unit *unit;
    uint32_t *references; /* found, of each space of the pool */
    uint32_t *by_tag;     /* hash table of places in the pool, by tag; 0 = empty */
    uint32_t tag_mask;
    const char *finding; /* the first one */
};

static bool holds(struct audit *audit, bool condition, const char *rule) {
    if (!condition && audit->finding == NULL) {
        audit->finding = rule;
    }
    return condition;
}

/* ---- Spaces ---- */

static uint32_t *place_of_tag(const struct audit *audit, uint32_t tag) {
    uint32_t place = tag & audit->tag_mask;
    while (audit->by_tag[place] != 0 &&
           (uint32_t)audit->unit->spaces.pool[audit->by_tag[place]].tag != tag) {
        place = (place + 1) & audit->tag_mask;
    }
    return &audit->by_tag[place];
}

static void look_at_children(struct audit *audit, const struct ciommu_space *parent,
                             uint32_t *children) {
    for (const struct ciommu_space *child = parent->children; child != NULL;
         child = child->sibling_next) {
        if (!holds(audit, child->alive && child->parent == parent,
                   "a space's child is alive, and names it as its parent") ||
            !holds(audit, ++*children < audit->unit->spaces.count,
                   "lists of children have an end")) {
            return;
        }
        audit->references[parent->index]++;
    }
}

static void audit_spaces(struct audit *audit) {
    const struct spaces *spaces = &audit->unit->spaces;
    uint32_t alive = 0, nested = 0, children = 0, linked = 0, free = 0;
    for (uint32_t index = 1; index < spaces->top; index++) {
        const struct ciommu_space *space = &spaces->pool[index];
        holds(audit, space->index == index, "a space knows its place in the pool");
        if (space->alive) {
            alive++;
            nested += space->parent != NULL;
            uint32_t tag = (uint32_t)space->tag;
            holds(audit, tag != 0 && tag < spaces->next_tag,
                  "a space that is alive has a tag that was dealt out");
            holds(audit, *place_of_tag(audit, tag) == 0, "no two spaces share a tag");
            *place_of_tag(audit, tag) = index;
            look_at_children(audit, space, &children);
        }
    }
    holds(audit, children == nested, "every space over a parent is in the parent's list");
    for (uint32_t bucket = 0; bucket <= spaces->bucket_mask; bucket++) {
        const struct ciommu_space *space = spaces->buckets[bucket];
        for (; space != NULL && linked <= alive; space = space->domain_next, linked++) {
            uint32_t domain = space->shape.domain;
            holds(audit, space->alive && ((domain ^ domain >> 16) & spaces->bucket_mask) == bucket,
                  "a space lies in its domain's bucket while it is alive");
        }
    }
    holds(audit, linked == alive, "every space that is alive is found by its domain, once");
    const struct ciommu_space *space = spaces->free;
    for (; space != NULL && free < spaces->count; space = space->free_next, free++) {
        holds(audit, !space->alive, "a free slot holds no space");
    }
    holds(audit, spaces->used + spaces->host_used + free == spaces->top - 1,
          "a slot is used or free");
}

static void audit_references(struct audit *audit) {
    const struct spaces *spaces = &audit->unit->spaces;
    for (uint32_t index = 1; index < spaces->top; index++) {
        const struct ciommu_space *space = &spaces->pool[index];
        /* A domain of the host's holds one more. */
        uint32_t found =
            audit->references[index] + (space->shape.domain >= HOST_DOMAIN_FIRST ? 1 : 0);
        holds(audit, !space->alive || space->references == found,
              "a space counts the bindings, children and domains that use it");
    }
}

/* ---- Bindings ---- */

static void audit_bindings(struct audit *audit) {
    const struct bindings *bindings = &audit->unit->bindings;
    const struct spaces *spaces = &audit->unit->spaces;
    uint32_t linked = 0, aged = 0, free = 0;
    for (uint32_t bucket = 0; bucket <= bindings->bucket_mask; bucket++) {
        const struct binding *binding = bindings->buckets[bucket];
        for (; binding != NULL && linked <= bindings->count; binding = binding->next) {
            linked++;
        }
    }
    const struct binding *newer = NULL;
    const struct binding *binding = bindings->newest;
    for (; binding != NULL && aged <= bindings->count; binding = binding->older, aged++) {
        const struct ciommu_space *space = binding->resolved.space;
        struct resolved found;
        holds(audit, binding->newer == newer, "the list of bindings by age goes both ways");
        holds(audit,
              space >= spaces->pool && space < spaces->pool + spaces->top && space->alive &&
                  space->birth == binding->resolved.birth,
              "a binding keeps its space alive");
        holds(audit,
              ciommu_bindings_find(bindings, binding->requester, &found) && found.space == space,
              "a binding is found by its requester");
        if (audit->finding == NULL) {
            audit->references[space->index]++;
        }
        newer = binding;
    }
    holds(audit, bindings->oldest == newer, "the list of bindings ends at the oldest");
    holds(audit, linked == aged, "a binding is found by requester and by age");
    for (binding = bindings->free; binding != NULL && free <= bindings->count;
         binding = binding->newer) {
        free++;
    }
    holds(audit, bindings->used + free == bindings->count && linked <= bindings->used,
          "a binding's slot is used or free");
}

/* ---- IOTLB ---- */

static void audit_entry(struct audit *audit, uint64_t set, struct wide_word entry) {
    const struct iotlb *iotlb = &audit->unit->iotlb;
    const struct spaces *spaces = &audit->unit->spaces;
    uint32_t page_lg2 = leaf_unpack(entry.high).page_lg2;
    uint32_t tag = (uint32_t)(entry.low >> IOTLB_PAGE_BITS |
                              entry.high >> IOTLB_TAG_HIGH_SHIFT << IOTLB_TAG_LOW_BITS);
    uint64_t iova = (entry.low & IOTLB_PAGE_MASK) << 12;
    if (!holds(audit, page_lg2 >= 12 && page_lg2 < 64, "an entry of the IOTLB has a size") ||
        !holds(audit, iotlb_set(iotlb, tag, iova, page_lg2) == set,
               "an entry of the IOTLB lies in the set of its page")) {
        return;
    }
    holds(audit, tag != 0 && tag < spaces->next_tag, "an entry of the IOTLB has a dealt tag");
    uint32_t index = *place_of_tag(audit, tag);
    holds(audit, index == 0 || (load_seq_cst(&spaces->pool[index].sizes) >> page_lg2 & 1) != 0,
          "a space knows the sizes that the IOTLB holds of it");
}

/* Sets whose stripe is busy are left out: somebody is storing. */
static void audit_iotlb(struct audit *audit) {
    struct iotlb *iotlb = &audit->unit->iotlb;
    for (uint64_t set = 0; iotlb->entries != NULL && set <= iotlb->set_mask; set++) {
        const struct wide_word *ways = &iotlb->entries[set * IOTLB_WAYS];
        uint32_t *stripe = &iotlb->stripes[set & iotlb->stripe_mask];
        if (exchange_acquire(stripe, 1) != 0) {
            continue;
        }
        for (uint32_t way = 0; way < IOTLB_WAYS; way++) {
            struct wide_word entry = {load_relaxed(&ways[way].low), load_relaxed(&ways[way].high)};
            if (entry.high == 0) {
                continue;
            }
            audit_entry(audit, set, entry);
            for (uint32_t other = 0; other < way; other++) {
                uint64_t differing = ways[other].high ^ entry.high;
                holds(audit,
                      ways[other].high == 0 || ways[other].low != entry.low ||
                          (differing & iotlb_key_mask.high) != 0,
                      "a page is in the IOTLB once");
            }
        }
        store_release(stripe, 0);
    }
}

/* ---- Devices ---- */

static void audit_domain(struct audit *audit, const struct ciommu_domain *domain) {
    uint64_t count = 0;
    const struct attachment *newer = NULL;
    const struct attachment *attachment = domain->newest_attachment;
    for (; attachment != NULL && count <= domain->attachments; attachment = attachment->older) {
        holds(audit, attachment->domain == domain && attachment->newer == newer,
              "a domain's list has its own attachments, both ways");
        newer = attachment;
        count++;
    }
    holds(audit, count == domain->attachments, "a domain counts its attachments");
}

/* How many devices hold it. */
static uint64_t audit_attachment(struct audit *audit, const struct source *source,
                                 const struct attachment *attachment) {
    uint64_t holders = 0;
    const struct holder *holder = &attachment->holder;
    for (; holder != NULL; holder = holder->next) {
        holders += holder->device != NULL;
        holds(audit, holder->device == NULL || holder->device->source == source,
              "an attachment is held by devices of its source id");
    }
    holds(audit, holders > 0, "an attachment has somebody who holds it");
    holds(audit, attachment->source == source->id, "an attachment knows its source id");
    if (attachment->domain->newest_attachment == attachment) {
        audit_domain(audit, attachment->domain);
    }
    return holders;
}

static void audit_source(struct audit *audit, const struct source *source) {
    uint64_t held = 0, counted = 0;
    const struct ciommu_device *previous = NULL;
    const struct ciommu_device *device = source->first;
    for (; device != NULL; previous = device, device = device->next) {
        counted += device->attachments;
        if (!holds(audit, device->source == source && device->previous == previous,
                   "a source's list has its own devices, both ways")) {
            return;
        }
    }
    holds(audit, source->last == previous, "a source's list ends at its last device");
    if (source->untagged != NULL) {
        held += audit_attachment(audit, source, source->untagged);
    }
    uint32_t pasid = 0;
    void *attachment;
    while (pasid <= PASID_LAST &&
           ciommu_pasid_table_next(&source->attachments, &pasid, &attachment)) {
        held += audit_attachment(audit, source, attachment);
        pasid++;
    }
    holds(audit, held == counted, "devices count what they hold");
}

static void audit_devices(struct audit *audit) {
    const struct devices *devices = &audit->unit->devices;
    uint64_t count = 0;
    for (uint32_t id = 0; id <= UINT16_MAX; id++) {
        const struct source *source = ciommu_source_find(devices, id);
        if (source != NULL && holds(audit, source->id == id, "a source id is its own")) {
            audit_source(audit, source);
        }
    }
    for (uint32_t bucket = 0; bucket < DEVICE_BUCKETS; bucket++) {
        const struct ciommu_device *device = devices->buckets[bucket];
        for (; device != NULL && count <= devices->count; device = device->bucket, count++) {
            holds(audit, ciommu_source_find(devices, device->config.source) == device->source,
                  "a device's source id leads to it");
        }
    }
    holds(audit, count == devices->count, "every device is found by its id, once");
}

/* ---- All of it ---- */

const char *ciommu_audit_unit(struct ciommu_unit *unit) {
    struct audit audit = {.unit = unit, .tag_mask = 1};
    if (unit == NULL || !load_relaxed(&ciommu_audits_on)) {
        return NULL;
    }
    pthread_mutex_lock(&unit->table_lock);
    /* Not ciommu_allocate: tests count what the engine asks for. */
    while (audit.tag_mask < 2 * unit->spaces.top) {
        audit.tag_mask = 2 * audit.tag_mask + 1;
    }
    audit.references = calloc(unit->spaces.top, sizeof *audit.references);
    audit.by_tag = calloc(audit.tag_mask + 1, sizeof *audit.by_tag);
    if (audit.references != NULL && audit.by_tag != NULL) {
        audit_spaces(&audit);
        audit_bindings(&audit);
        audit_references(&audit);
        audit_iotlb(&audit);
        audit_devices(&audit);
    }
    pthread_mutex_unlock(&unit->table_lock);
    free(audit.references);
    free(audit.by_tag);
    return audit.finding;
}

/* Counts the leaves of each level and the tables below `table` into `seen`. */
static const char *audit_table(const uint64_t *table, uint32_t level, struct paging *seen) {
    const char *finding = NULL;
    uint32_t live = 0;
    for (uint32_t index = 0; index < TABLE_ENTRIES && finding == NULL; index++) {
        uint64_t entry = load_relaxed(&table[index]);
        if ((entry & (PAGING_READ | PAGING_WRITE)) == 0) {
            continue;
        }
        live++;
        if (paging_is_leaf(entry, level)) {
            if (level > seen->largest_level) {
                return "no leaf is larger than the domain's largest";
            }
            seen->pages[level]++;
        } else {
            seen->tables++;
            finding =
                audit_table((const uint64_t *)(uintptr_t)(entry & PAGING_ADDRESS), level - 1, seen);
        }
    }
    bool counted = page_note_of(table)->live == live;
    return finding != NULL || counted ? finding : "a table counts its entries";
}

const char *ciommu_audit_paging(const struct paging *paging) {
    struct paging seen = {.largest_level = paging->largest_level};
    if (!load_relaxed(&ciommu_audits_on)) {
        return NULL;
    }
    const char *finding = audit_table(paging->root, paging->levels - 1, &seen);
    for (uint32_t level = 0; level <= 2 && finding == NULL; level++) {
        finding = seen.pages[level] == paging->pages[level] ? NULL : "a domain counts its leaves";
    }
    return finding != NULL || seen.tables + 1 == paging->tables ? finding
                                                                : "a domain counts its tables";
}

void ciommu_audit_passed(const char *finding) {
    if (finding != NULL) {
        fprintf(stderr, "libciommu: a structure is broken: %s\n", finding);
        abort();
    }
}
#else
/* ISO C wants something in every file. */
typedef int ciommu_audit_is_off;
#endif
