/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * descriptor_vtd.c - decodes VT-d invalidation descriptors into inner invalidations [FORMATS-VTD
 * C]. A descriptor is copied before it is looked at, and refused whole or applied whole.
 */
#include "descriptor_vtd.h"
#include "invalidate.h"
#include "tlb_ask.h"

#define IQEI_TYPE 3u
#define IQEI_RESERVED VTD_IQEI_RESERVED
#define IQEI_WIDTH 5u
#define IQEI_MODE 7u

enum descriptor_type {
    TYPE_CONTEXT = 1,
    TYPE_IOTLB = 2,
    TYPE_DEVICE_TLB = 3,
    TYPE_INTERRUPT = 4,
    TYPE_WAIT = 5,
    TYPE_PIOTLB = 6,
    TYPE_PASID_CACHE = 7,
    TYPE_PASID_DEVICE_TLB = 8,
    TYPE_PAGE_RESPONSE = 9
};

#define EVERYTHING UINT64_MAX
#define PAGE UINT64_C(0xfffffffffffff000)

struct decoder {
    const struct vtd_caps *caps;
    uint64_t q0;
    uint64_t q1;
    uint32_t ttm;
    struct ciommu_descriptor_result *out;
};

static bool refuse(struct decoder *d, uint32_t iqei, const char *error) {
    d->out->iqei = iqei;
    d->out->error = error;
    return false;
}

static uint32_t field(uint64_t word, unsigned low, unsigned width) {
    return (uint32_t)(word >> low & ((UINT64_C(1) << width) - 1));
}

static bool reserved(struct decoder *d, uint64_t mask0, uint64_t mask1) {
    return (d->q0 & mask0) != 0 || (d->q1 & mask1) != 0;
}

/* The aligned block of 2^mask pages around the address in q1. */
static void page_range(const struct decoder *d, struct ciommu_invalidation *what) {
    uint32_t mask = field(d->q1, 0, 6);
    uint64_t low = mask >= 52 ? EVERYTHING : (UINT64_C(4096) << mask) - 1;
    what->first = d->q1 & PAGE & ~low;
    what->last = what->first | low;
    what->leaf_only = field(d->q1, 6, 1);
}

static bool decode_context(struct decoder *d, struct ciommu_invalidation *what) {
    static const uint32_t ignored_source_bits[4] = {0, 4, 6, 7};
    if (reserved(d, UINT64_C(0xfffc00000000f1c0), EVERYTHING)) {
        return refuse(d, IQEI_RESERVED, "context-cache descriptor: reserved bits set");
    }
    what->kind = CIOMMU_INVALIDATE_CONTEXT;
    switch (field(d->q0, 4, 2)) {
    case 1:
        return true;
    case 2:
        /* Scalable context entries name no domain: all of them may lead to it. */
        what->domain = d->ttm == 0 ? field(d->q0, 16, 16) : CIOMMU_ANY;
        return true;
    case 3:
        /* The source decides; the domain id may be that of the entry before or after the change. */
        what->source = field(d->q0, 32, 16);
        what->source_mask = ignored_source_bits[field(d->q0, 48, 2)];
        return true;
    default:
        return refuse(d, IQEI_RESERVED, "context-cache descriptor: granularity 0");
    }
}

static bool decode_iotlb(struct decoder *d, struct ciommu_invalidation *what) {
    if (reserved(d, UINT64_C(0xffffffff0000f100), UINT64_C(0xf80))) {
        return refuse(d, IQEI_RESERVED, "IOTLB descriptor: reserved bits set");
    }
    what->kind = CIOMMU_INVALIDATE_TRANSLATIONS;
    what->stages = CIOMMU_STAGES_FIRST | CIOMMU_STAGES_SECOND;
    switch (field(d->q0, 4, 2)) {
    case 1:
        return true;
    case 2:
        what->domain = field(d->q0, 16, 16);
        return true;
    case 3:
        if (!d->caps->page_selective) {
            return refuse(d, IQEI_RESERVED,
                          "IOTLB descriptor: page-selective although CAP.PSI is clear");
        }
        if (field(d->q1, 0, 6) > d->caps->mamv) {
            return refuse(d, IQEI_RESERVED, "IOTLB descriptor: AM above CAP.MAMV");
        }
        /* The address is a second-stage input; spaces with a first stage are dropped whole. */
        what->stages = CIOMMU_STAGES_SECOND;
        what->domain = field(d->q0, 16, 16);
        page_range(d, what);
        return true;
    default:
        return refuse(d, IQEI_RESERVED, "IOTLB descriptor: granularity 0");
    }
}

static bool decode_piotlb(struct decoder *d, struct ciommu_invalidation *what) {
    if (reserved(d, UINT64_C(0xfff000000000f1c0), UINT64_C(0xf80))) {
        return refuse(d, IQEI_RESERVED, "PASID-based IOTLB descriptor: reserved bits set");
    }
    what->kind = CIOMMU_INVALIDATE_TRANSLATIONS;
    what->domain = field(d->q0, 16, 16);
    what->pasid = field(d->q0, 32, 20);
    switch (field(d->q0, 4, 2)) {
    case 2:
        /* Second-stage entries of the same {domain, PASID} go too. */
        what->stages = CIOMMU_STAGES_FIRST | CIOMMU_STAGES_SECOND;
        return true;
    case 3:
        what->stages = CIOMMU_STAGES_FIRST;
        page_range(d, what);
        return true;
    default:
        return refuse(d, IQEI_RESERVED, "PASID-based IOTLB descriptor: granularity 0 or 1");
    }
}

static bool decode_pasid_cache(struct decoder *d, struct ciommu_invalidation *what) {
    if (reserved(d, UINT64_C(0xfff000000000f1c0), EVERYTHING)) {
        return refuse(d, IQEI_RESERVED, "PASID-cache descriptor: reserved bits set");
    }
    what->kind = CIOMMU_INVALIDATE_PASID;
    switch (field(d->q0, 4, 2)) {
    case 0:
        what->domain = field(d->q0, 16, 16);
        return true;
    case 1:
        what->domain = field(d->q0, 16, 16);
        what->pasid = field(d->q0, 32, 20);
        return true;
    case 3:
        return true;
    default:
        return refuse(d, IQEI_RESERVED, "PASID-cache descriptor: granularity 2");
    }
}

/* Size of a device-TLB range: without S one page; with S the lowest zero at or above bit 12 says.
 */
static void device_range(const struct decoder *d, bool sized, struct ciommu_invalidation *what) {
    uint64_t ones = (d->q1 | 0xfff) +
                    1; /* carries into the lowest zero at or above bit 12; 0 = there is none */
    uint64_t low = 0xfff;
    if (sized) {
        uint64_t size_bit = ones & ~(d->q1 & PAGE);
        low = ones == 0 || (size_bit & -size_bit) >= UINT64_C(1) << 63
                  ? EVERYTHING
                  : ((size_bit & -size_bit) << 1) - 1;
    }
    what->first = d->q1 & PAGE & ~low;
    what->last = what->first | low;
}

static bool decode_device_tlb(struct decoder *d, struct ciommu_invalidation *what) {
    uint64_t mask0 = UINT64_C(0x1f0) | UINT64_C(0xffe00000) | UINT64_C(0x000f000000000000);
    if (reserved(d, mask0, UINT64_C(0xffe))) {
        return refuse(d, IQEI_RESERVED, "device-TLB descriptor: reserved bits set");
    }
    what->kind = CIOMMU_INVALIDATE_DEVICE_TLB;
    what->source = field(d->q0, 32, 16);
    what->stages = CIOMMU_STAGES_UNTAGGED; /* its invalidation request carries no PASID */
    device_range(d, (d->q1 & 1) != 0, what);
    return true;
}

static bool decode_pasid_device_tlb(struct decoder *d, struct ciommu_invalidation *what) {
    if (reserved(d, UINT64_C(0x200), UINT64_C(0x7fe))) {
        return refuse(d, IQEI_RESERVED, "PASID-based device-TLB descriptor: reserved bits set");
    }
    what->kind = CIOMMU_INVALIDATE_DEVICE_TLB;
    what->source = field(d->q0, 16, 16);
    what->pasid = (d->q1 & 1) != 0 ? CIOMMU_ANY : field(d->q0, 32, 20);
    device_range(d, (d->q1 & 0x800) != 0, what);
    return true;
}

static bool decode_interrupt(struct decoder *d) {
    if (reserved(d, UINT64_C(0x1e0) | UINT64_C(0x7fff000) | UINT64_C(0xffff000000000000),
                 EVERYTHING)) {
        return refuse(d, IQEI_RESERVED, "interrupt-entry-cache descriptor: reserved bits set");
    }
    if (field(d->q0, 4, 1) == 1 && field(d->q0, 27, 5) > d->caps->mhmv) {
        return refuse(d, IQEI_RESERVED, "interrupt-entry-cache descriptor: IM above ECAP.MHMV");
    }
    d->out->kind = CIOMMU_DESCRIPTOR_INTERRUPT_CACHE;
    d->out->interrupt_first = 0;
    d->out->interrupt_last = 0xffff;
    if (field(d->q0, 4, 1) == 1) {
        uint32_t low = (UINT32_C(1) << field(d->q0, 27, 5)) - 1;
        d->out->interrupt_first = field(d->q0, 32, 16) & ~low;
        d->out->interrupt_last = d->out->interrupt_first | low;
    }
    return true;
}

/* Choice [D5]: a wait with SW = IF = FN = 0 is accepted; it waits and tells nobody. */
static bool decode_wait(struct decoder *d) {
    uint64_t drain = UINT64_C(0x80);
    uint64_t mask0 = UINT64_C(0x100) | UINT64_C(0xfffff000) | (d->caps->page_drain ? 0 : drain);
    if (reserved(d, mask0, 3)) {
        return refuse(d, IQEI_RESERVED, "wait descriptor: reserved bits set");
    }
    d->out->kind = CIOMMU_DESCRIPTOR_WAIT;
    d->out->wait_flags = field(d->q0, 4, 4);
    d->out->wait_data = field(d->q0, 32, 32);
    d->out->wait_address = d->q1;
    return true;
}

static bool decode_page_response(struct decoder *d) {
    if (reserved(d, UINT64_C(0xfff00000000001e0), UINT64_C(0xfffffffffffff003))) {
        return refuse(d, IQEI_RESERVED, "page-group response descriptor: reserved bits set");
    }
    d->out->kind = CIOMMU_DESCRIPTOR_PAGE_RESPONSE;
    return true;
}

/* Is this type legal on this unit, in this mode and width [FORMATS-VTD C1]? */
static bool check_type(struct decoder *d, uint32_t type, uint32_t ttm, bool wide) {
    const struct vtd_caps *caps = d->caps;
    if (ttm == 2) {
        return refuse(d, IQEI_MODE, "RTADDR.TTM = 2 is reserved");
    }
    if (ttm == 0 ? wide && !(caps->scalable || caps->abort_dma) : !wide) {
        return refuse(d, IQEI_WIDTH,
                      ttm == 0 ? "256-bit descriptors need ECAP.SMTS or ADMS"
                               : "scalable and abort modes need 256-bit descriptors");
    }
    bool exists = type >= TYPE_CONTEXT && type <= (ttm == 0 ? TYPE_WAIT : TYPE_PAGE_RESPONSE);
    bool offered = (type != TYPE_DEVICE_TLB && type != TYPE_PASID_DEVICE_TLB) || caps->device_tlb;
    offered = offered && (type != TYPE_INTERRUPT || caps->interrupt_remapping);
    offered = offered && (type != TYPE_PAGE_RESPONSE || caps->page_request);
    if (!exists) {
        return refuse(d, IQEI_TYPE, "no such descriptor type in this translation mode");
    }
    return offered || refuse(d, IQEI_TYPE,
                             "descriptor type of a capability that the unit lacks (DT, IR or PRS)");
}

static bool decode(struct decoder *d, uint32_t type, struct ciommu_invalidation *what) {
    switch (type) {
    case TYPE_CONTEXT:
        return decode_context(d, what);
    case TYPE_IOTLB:
        return decode_iotlb(d, what);
    case TYPE_DEVICE_TLB:
        return decode_device_tlb(d, what);
    case TYPE_INTERRUPT:
        return decode_interrupt(d);
    case TYPE_WAIT:
        return decode_wait(d);
    case TYPE_PIOTLB:
        return decode_piotlb(d, what);
    case TYPE_PASID_CACHE:
        return decode_pasid_cache(d, what);
    case TYPE_PASID_DEVICE_TLB:
        return decode_pasid_device_tlb(d, what);
    default:
        return decode_page_response(d);
    }
}

bool ciommu_vtd_decode(const struct ciommu_unit *unit, const uint64_t words[4], bool wide,
                       struct ciommu_descriptor_result *out, struct ciommu_invalidation *what) {
    static const struct ciommu_invalidation nothing_named = {
        .size = sizeof nothing_named,
        .domain = CIOMMU_ANY,
        .pasid = CIOMMU_ANY,
        .source = CIOMMU_ANY,
        .last = EVERYTHING,
    };
    out->kind = 0;
    out->iqei = 0;
    out->error = NULL;
    *what = nothing_named;
    uint32_t ttm = field(load_seq_cst(&unit->root), 10, 2);
    struct decoder decoder = {&unit->caps, words[0], words[1], ttm, out};
    uint32_t type = field(words[0], 9, 3) << 4 | field(words[0], 0, 4);
    bool fine = check_type(&decoder, type, ttm, wide);
    /* The upper half is reserved but for the private data that old page-group responses carry. */
    if (fine && wide && type != TYPE_PAGE_RESPONSE && (words[2] | words[3]) != 0) {
        fine = refuse(&decoder, IQEI_RESERVED, "the upper 128 bits of the descriptor are not zero");
    }
    if (!fine || !decode(&decoder, type, what)) {
        out->kind = 0;
        return false;
    }
    if (what->kind != 0) {
        out->kind = what->kind == CIOMMU_INVALIDATE_DEVICE_TLB ? CIOMMU_DESCRIPTOR_DEVICE_TLB
                                                               : CIOMMU_DESCRIPTOR_CACHES;
    }
    return true;
}

enum ciommu_status ciommu_invalidate_descriptor(struct ciommu_unit *unit, struct ciommu_port *port,
                                                const uint64_t *words, bool wide,
                                                struct ciommu_descriptor_result *out) {
    if (unit == NULL || words == NULL || out == NULL || out->size < sizeof *out ||
        (port != NULL && port->unit != unit)) {
        return CIOMMU_INVALID_ARGUMENT;
    }
    if (ports_wait_for_caller(&unit->ports, port)) {
        return CIOMMU_IN_SECTION;
    }
    uint64_t copy[4] = {0};
    for (unsigned word = 0; word < (wide ? 4u : 2u); word++) {
        copy[word] = load_relaxed(&words[word]);
    }
    *out = (struct ciommu_descriptor_result){.size = out->size};
    bool accepted = ciommu_vtd_decode(unit, copy, wide, out, &out->invalidation);
    const struct ciommu_invalidation what = out->invalidation;
    if (!accepted || what.kind == 0) {
        out->invalidation = (struct ciommu_invalidation){0};
    }
    if (!accepted) {
        return CIOMMU_BAD_DESCRIPTOR;
    }
    if (out->kind == CIOMMU_DESCRIPTOR_WAIT) {
        /* An earlier entry may have timed out, and then a device may owe an answer too. */
        return ciommu_tlbs_owed(unit) ? ciommu_tlbs_drain(unit, &out->port_id)
                                      : ciommu_ports_drain(&unit->ports, &out->port_id);
    }
    if (out->kind == CIOMMU_DESCRIPTOR_INTERRUPT_CACHE) {
        return ciommu_unit_settle(unit, &out->port_id);
    }
    return what.kind == 0 ? CIOMMU_OK : ciommu_unit_apply(unit, port, &what, &out->port_id);
}
