/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * context_vtd.c - reading guest-owned root, context and PASID entries. Shapes are built in
 * shape_vtd.c.
 *
 * Each entry goes through the same steps: read, FPD, present, reserved bits (those of absent
 * capabilities included), legality, and then whether this kind of request is allowed. The first
 * failure wins.
 */
#include "context_vtd.h"
#include "shape_vtd.h"

#define PAGE UINT64_C(0xfffffffffffff000)
#define PRESENT UINT64_C(1)
#define FPD UINT64_C(2)

#define TTM(root) ((root) >> 10 & 3)
#define TTM_LEGACY 0u
#define TTM_SCALABLE 1u
#define TTM_ABORT 3u

/* Readings of one entry before it counts as unstable. */
#define READ_ATTEMPTS 8u

/* What the steps pass on. */
struct resolution {
    const struct vtd_caps *caps;
    const struct vtd_request *request;
    struct walker *walker;
    struct resolved *resolved;
    struct space_shape *shape;
};

static bool fails(struct resolution *r, uint32_t code) {
    return walk_fails(r->walker, code);
}

/* An entry of several words that the guest replaces in place may be read half old, half new. It is
 * read until two readings agree; one that keeps changing is used as it was read last and not
 * cached. Each reading loads the first word, which holds P, first (acquire), so that the guest's
 * writes before it set P are seen. */
static void read_words(struct resolution *r, const uint64_t *host, uint32_t count,
                       uint64_t *words) {
    for (uint32_t word = 0; word < count; word++) {
        words[word] = load_guest(&host[word]);
    }
    for (uint32_t attempt = 0; count > 1; attempt++) {
        bool same = true;
        yield_point(CIOMMU_YIELD_ENTRY_READ);
        for (uint32_t word = 0; word < count; word++) {
            uint64_t again = load_guest(&host[word]);
            same = same && again == words[word];
            words[word] = again;
        }
        if (same) {
            return;
        }
        if (attempt == READ_ATTEMPTS) {
            r->resolved->unstable = true;
            return;
        }
    }
}

/* Reads `count` words at `address`; false where no memory is, or above the host address width. A
 * word is loaded once; the first one, which holds P, is loaded first (acquire), so that the guest's
 * writes before it set P are seen. */
static bool read_entry(struct resolution *r, enum ciommu_table table, uint64_t address,
                       uint32_t count, uint64_t *words) {
    struct walker *walker = r->walker;
    walker->fault.entry_address = address;
    const unsigned char *host = NULL;
    if ((address & r->caps->high_mask) == 0) {
        host = ciommu_memory_host(walker->memory, &walker->port->windows[0], address);
    }
    if (host != NULL) {
        read_words(r, (const uint64_t *)(const void *)host, count, words);
    }
    if (unlikely(walker->trace != NULL)) {
        ciommu_trace_step(walker->trace, table, CIOMMU_NO_LEVEL, address, 0, words,
                          host != NULL ? count : 0);
    }
    return host != NULL;
}

static bool wants_ats(const struct resolution *r) {
    return (r->request->flags & (CIOMMU_TRANSLATION_REQUEST | CIOMMU_TRANSLATED)) != 0;
}

static bool resolve_legacy_context(struct resolution *r, const uint64_t entry[2]) {
    const struct vtd_caps *caps = r->caps;
    r->resolved->fault_disabled = (entry[0] & FPD) != 0;
    if ((entry[0] & PRESENT) == 0) {
        return fails(r, VTD_CONTEXT_ABSENT);
    }
    uint32_t type = (uint32_t)(entry[0] >> 2 & 3);
    uint32_t width = (uint32_t)(entry[1] & 7);
    uint32_t domain = (uint32_t)(entry[1] >> 8 & 0xffff);
    uint64_t reserved = (entry[0] & UINT64_C(0xff0)) | (entry[1] & UINT64_C(0xffffffffff000080));
    if (type != 2) {
        reserved |= entry[0] & caps->high_mask & PAGE;
    }
    bool bad_domain = domain >> caps->domain_bits != 0 || (domain == 0 && caps->caching_mode);
    if (reserved != 0 || bad_domain) {
        return fails(r, VTD_CONTEXT_RESERVED);
    }
    bool legal_type =
        type == 0 || (type == 1 && caps->device_tlb) || (type == 2 && caps->pass_through);
    if (!legal_type || (caps->sagaw >> width & 1) == 0) {
        return fails(r, VTD_CONTEXT_INVALID);
    }
    if (wants_ats(r) && type != 1) {
        return fails(r, VTD_TYPE_BLOCKED);
    }
    r->resolved->domain = domain;
    r->resolved->device_tlb = type == 1;
    bool translated = (r->request->flags & CIOMMU_TRANSLATED) != 0; /* it names an output address */
    if (type == 2 || translated) {
        r->shape->kind = SPACE_IDENTITY;
        r->shape->domain = domain;
        return true;
    }
    ciommu_vtd_shape_legacy(caps, entry[0] & PAGE, width, domain, r->shape);
    return true;
}

static bool resolve_legacy(struct resolution *r) {
    const struct vtd_request *request = r->request;
    r->resolved->legacy = true;
    if ((request->flags & VTD_PAGE_REQUEST) != 0) {
        return fails(r, VTD_LEGACY_PAGE);
    }
    if (request->pasid != CIOMMU_NO_PASID && (request->flags & CIOMMU_IMPLIED_PASID) == 0) {
        return fails(r, VTD_LEGACY_PASID);
    }
    uint64_t root[2];
    uint64_t bus = request->source >> 8;
    if (!read_entry(r, CIOMMU_TABLE_ROOT, (request->root & PAGE) + bus * sizeof root, 2, root)) {
        return fails(r, VTD_ROOT_ACCESS);
    }
    if ((root[0] & PRESENT) == 0) {
        return fails(r, VTD_ROOT_ABSENT);
    }
    if ((root[0] & ~(PAGE | PRESENT)) != 0 || (root[0] & r->caps->high_mask & PAGE) != 0 ||
        root[1] != 0) {
        return fails(r, VTD_ROOT_RESERVED);
    }
    uint64_t entry[2];
    uint64_t function = request->source & 0xff;
    if (!read_entry(r, CIOMMU_TABLE_CONTEXT, (root[0] & PAGE) + function * sizeof entry, 2,
                    entry)) {
        return fails(r, VTD_CONTEXT_ACCESS);
    }
    return resolve_legacy_context(r, entry);
}

/* Scalable context entry, word 0: P, FPD, DTE, PASIDE, PRE, [8:5], PDTS, PASIDDIRPTR; word 1:
 * RID_PASID, RID_PRIV. */
#define DTE UINT64_C(4)
#define PASIDE UINT64_C(8)
#define PRE UINT64_C(0x10)
#define RID_PASID UINT64_C(0xfffff)
#define RID_PRIV UINT64_C(0x100000)

static bool context_has_reserved_bits(const struct vtd_caps *caps, const uint64_t entry[4]) {
    uint64_t reserved0 = UINT64_C(0x1e0) | (caps->high_mask & PAGE) | (caps->device_tlb ? 0 : DTE) |
                         (caps->page_request ? 0 : PRE);
    uint64_t reserved1 = ~(RID_PASID | RID_PRIV) | (caps->rid_pasid ? 0 : RID_PASID) |
                         (caps->rid_priv ? 0 : RID_PRIV);
    return (entry[0] & reserved0) != 0 || (entry[1] & reserved1) != 0 || entry[2] != 0 ||
           entry[3] != 0;
}

/* Choice [D1]: the kernel's string table has a code of its own for a RID_PASID outside the
 * directory (48), so 43 is left for entries that contradict themselves: PASIDs enabled on a unit
 * without them, page requests without a device-TLB. */
static bool context_contradicts_itself(const struct vtd_caps *caps, uint64_t entry) {
    return ((entry & PASIDE) != 0 && !caps->pasid) || ((entry & PRE) != 0 && (entry & DTE) == 0);
}

/* The PASID whose entry decides, or false. */
static bool choose_pasid(struct resolution *r, const uint64_t entry[4], uint32_t *pasid) {
    const struct vtd_request *request = r->request;
    uint64_t limit = UINT64_C(1) << ((entry[0] >> 9 & 7) + 13);
    bool implied =
        request->pasid == CIOMMU_NO_PASID || (request->flags & CIOMMU_IMPLIED_PASID) != 0;
    bool rid_pasid = request->pasid == CIOMMU_NO_PASID;
    if (rid_pasid && (entry[1] & RID_PASID) >= limit) {
        return fails(r, VTD_SM_RID_PASID);
    }
    if (wants_ats(r) && (entry[0] & DTE) == 0) {
        return fails(r, VTD_SM_DTE_CLEAR);
    }
    if ((request->flags & VTD_PAGE_REQUEST) != 0 && (entry[0] & PRE) == 0) {
        return fails(r, VTD_SM_PRE_CLEAR);
    }
    if (!implied && (entry[0] & PASIDE) == 0) {
        return fails(r, VTD_SM_PASIDE_CLEAR);
    }
    *pasid = rid_pasid ? (uint32_t)(entry[1] & RID_PASID) : request->pasid;
    return *pasid < limit || fails(r, VTD_SM_PASID_RANGE);
}

static bool resolve_pasid_entry(struct resolution *r, uint32_t pasid, uint64_t directory) {
    uint64_t pointer;
    if (!read_entry(r, CIOMMU_TABLE_PASID_DIRECTORY,
                    directory + (uint64_t)(pasid >> 6) * sizeof pointer, 1, &pointer)) {
        return fails(r, VTD_DIRECTORY_ACCESS);
    }
    r->resolved->fault_disabled |= (pointer & FPD) != 0;
    if ((pointer & PRESENT) == 0) {
        return fails(r, VTD_DIRECTORY_ABSENT);
    }
    if ((pointer & UINT64_C(0xffc)) != 0 || (pointer & r->caps->high_mask & PAGE) != 0) {
        return fails(r, VTD_DIRECTORY_RESERVED);
    }
    uint64_t entry[8];
    if (!read_entry(r, CIOMMU_TABLE_PASID, (pointer & PAGE) + (uint64_t)(pasid & 63) * sizeof entry,
                    8, entry)) {
        return fails(r, VTD_PASID_ACCESS);
    }
    r->resolved->fault_disabled |= (entry[0] & FPD) != 0;
    if ((entry[0] & PRESENT) == 0) {
        return fails(r, VTD_PASID_ABSENT);
    }
    uint32_t code = ciommu_vtd_shape_scalable(r->caps, entry, pasid, r->shape);
    if (code != 0) {
        return fails(r, code);
    }
    bool first_stage = r->shape->kind == SPACE_FIRST || r->shape->kind == SPACE_NESTED;
    bool checks_execute = r->caps->revision == CIOMMU_VTD_3 && r->shape->kind != SPACE_IDENTITY;
    r->resolved->domain = r->shape->domain;
    r->resolved->supervisor_allowed = !first_stage || (entry[2] & 1) != 0; /* SRE */
    r->resolved->execute_allowed = !checks_execute || (entry[2] & 2) != 0; /* ERE */
    return true;
}

static bool resolve_scalable(struct resolution *r) {
    const struct vtd_request *request = r->request;
    uint64_t root[2];
    uint64_t bus = request->source >> 8;
    uint32_t function = request->source & 0xff;
    if (!read_entry(r, CIOMMU_TABLE_SCALABLE_ROOT, (request->root & PAGE) + bus * sizeof root, 2,
                    root)) {
        return fails(r, VTD_SM_ROOT_ACCESS);
    }
    uint64_t half = root[function >> 7];
    if ((half & PRESENT) == 0) {
        return fails(r, VTD_SM_ROOT_ABSENT);
    }
    if ((half & ~(PAGE | PRESENT)) != 0 || (half & r->caps->high_mask & PAGE) != 0) {
        return fails(r, VTD_SM_ROOT_RESERVED);
    }
    uint64_t entry[4];
    if (!read_entry(r, CIOMMU_TABLE_SCALABLE_CONTEXT,
                    (half & PAGE) + (uint64_t)(function & 0x7f) * sizeof entry, 4, entry)) {
        return fails(r, VTD_SM_CONTEXT_ACCESS);
    }
    r->resolved->fault_disabled = (entry[0] & FPD) != 0;
    if ((entry[0] & PRESENT) == 0) {
        return fails(r, VTD_SM_CONTEXT_ABSENT);
    }
    if (context_has_reserved_bits(r->caps, entry)) {
        return fails(r, VTD_SM_CONTEXT_RESERVED);
    }
    if (context_contradicts_itself(r->caps, entry[0])) {
        return fails(r, VTD_SM_CONTEXT_INVALID);
    }
    uint32_t pasid;
    if (!choose_pasid(r, entry, &pasid)) {
        return false;
    }
    r->resolved->pasid = pasid;
    r->resolved->device_tlb = (entry[0] & DTE) != 0;
    r->resolved->privileged = (entry[1] & RID_PRIV) != 0;
    if ((request->flags & (CIOMMU_TRANSLATED | VTD_PAGE_REQUEST)) != 0) {
        return true; /* it names an output address, or a page to come: the PASID table has no say */
    }
    return resolve_pasid_entry(r, pasid, entry[0] & PAGE);
}

static void begin(struct walker *walker, struct resolved *resolved) {
    *resolved = (struct resolved){.supervisor_allowed = true, .execute_allowed = true};
    walker->fault = (struct walk_fault){.stage = CIOMMU_STAGE_NONE, .level = CIOMMU_NO_LEVEL};
}

bool ciommu_vtd_resolve_bound(const struct ciommu_unit *unit, const struct bound_table *bound,
                              const struct vtd_request *request, struct walker *walker,
                              struct resolved *resolved, struct space_shape *shape) {
    begin(walker, resolved);
    __builtin_memset(shape, 0, sizeof *shape);
    struct resolution r = {&unit->caps, request, walker, resolved, shape};
    uint32_t pasid = request->pasid == CIOMMU_NO_PASID ? bound->rid_pasid : request->pasid;
    ciommu_assert(!wants_ats(&r) || unit->caps.device_tlb); /* resolve.c: admits_ats */
    if (pasid >= bound->pasid_limit) {
        return fails(&r, VTD_SM_PASID_RANGE);
    }
    resolved->pasid = pasid;
    resolved->device_tlb = unit->caps.device_tlb;
    if ((request->flags & CIOMMU_TRANSLATED) != 0) {
        return true; /* it names an output address: the PASID table has no say */
    }
    return resolve_pasid_entry(&r, pasid, bound->directory);
}

/* Choice: blocking is what an absent PASID-table entry (legacy: context entry) does; hosts block by
 * clearing it. */
bool ciommu_vtd_resolve_blocked(const struct ciommu_unit *unit, const struct vtd_request *request,
                                struct walker *walker, struct resolved *resolved) {
    begin(walker, resolved);
    if (unit->caps.scalable) {
        return walk_fails(walker, VTD_PASID_ABSENT);
    }
    return walk_fails(walker,
                      request->pasid == CIOMMU_NO_PASID ? VTD_CONTEXT_ABSENT : VTD_LEGACY_PASID);
}

bool ciommu_vtd_resolve(const struct ciommu_unit *unit, const struct vtd_request *request,
                        struct walker *walker, struct resolved *resolved,
                        struct space_shape *shape) {
    begin(walker, resolved);
    __builtin_memset(shape, 0, sizeof *shape);
    struct resolution r = {&unit->caps, request, walker, resolved, shape};
    switch (TTM(request->root)) {
    case TTM_LEGACY:
        return resolve_legacy(&r);
    case TTM_SCALABLE:
        return unit->caps.scalable ? resolve_scalable(&r) : fails(&r, VTD_BAD_MODE);
    case TTM_ABORT:
        /* Choice: abort-DMA mode blocks and reports nothing; there is no code for it. */
        return fails(&r, unit->caps.abort_dma ? 0 : VTD_BAD_MODE);
    default:
        return fails(&r, VTD_BAD_MODE);
    }
}
