/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * remap.c - interrupt remapping, top to bottom: message -> index -> entry -> checks -> message or
 * fault [FORMATS-VTD F1, F2]. The protocol stands in remap.h.
 */
#include "remap.h"
#include "fault.h"
#include "invalidate.h"

/* Readings of an entry before it is used as it was read last. */
#define READ_ATTEMPTS 8u

#define BITS(word, low, width) ((uint32_t)((word) >> (low) & ((UINT64_C(1) << (width)) - 1)))

#define ENTRY_PRESENT UINT64_C(1)
#define ENTRY_FPD UINT64_C(2)
#define ENTRY_POSTED UINT64_C(0x8000)
#define ENTRY_RESERVED UINT64_C(0xff007000)              /* low half, IM = 0 */
#define ENTRY_DESTINATION_RESERVED UINT64_C(0xffff00ff)  /* of bits 63:32 while EIME is clear */
#define ENTRY_HIGH_RESERVED UINT64_C(0xfffffffffff00000) /* high half, IM = 0 */
#define POSTED_RESERVED UINT64_C(0x3fff0030fc)           /* low half, IM = 1 */
#define POSTED_HIGH_RESERVED UINT64_C(0xfff00000)

#define MESSAGE_BASE UINT64_C(0xfee00000)
#define MESSAGE_HEAD UINT64_C(0xfffffffffff00000)
#define MESSAGE_REMAPPABLE UINT64_C(0x10)
#define MESSAGE_SUBHANDLE UINT64_C(8)

/* One message on its way. */
struct remapping {
    struct ciommu_port *port;
    const struct interrupt_request *request;
    struct ciommu_interrupt *out;
    uint64_t table; /* the unit's word */
    uint32_t index;
    uint64_t entry_address;
    bool fault_disabled;
};

/* ---- Answers ---- */

static void block(struct remapping *r, uint32_t code, const char *error) {
    const struct interrupt_request *request = r->request;
    const struct fault_code *row = ciommu_fault_code(code);
    bool suppressed = r->fault_disabled && row->qualified;
    struct ciommu_interrupt *out = r->out;
    *out = (struct ciommu_interrupt){
        .size = out->size,
        .outcome = CIOMMU_INTERRUPT_BLOCKED,
        .index = r->index,
        .error = error != NULL ? error : row->text,
        .fault =
            {
                .size = sizeof out->fault,
                .reason = row->reason,
                .code = code,
                .stage = CIOMMU_STAGE_NONE,
                .source = request->source,
                .pasid = CIOMMU_NO_PASID,
                .access = CIOMMU_WRITE,
                .flags = suppressed ? CIOMMU_FAULT_SUPPRESSED : 0,
                .level = CIOMMU_NO_LEVEL,
                .address = r->index,
                .entry_address = r->entry_address,
                .request = CIOMMU_REQUEST_INTERRUPT,
            },
    };
    const struct source *source = ciommu_source_find(&r->port->unit->devices, request->source);
    const struct ciommu_device *device = request->device;
    if (device != NULL) {
        out->fault.flags |= CIOMMU_FAULT_HAS_DEVICE;
        out->fault.device = device->config.id;
    } else if (source != NULL) {
        device = ciommu_source_attribute(source, &out->fault);
    }
    count_owned(&r->port->faults);
    if (!suppressed && (request->flags & CIOMMU_NO_FAULT) == 0) {
        ciommu_faults_record(r->port, source, device, &out->fault);
    }
}

/* The message as it came. */
static void pass(const struct interrupt_request *request, struct ciommu_interrupt *out) {
    uint64_t address = request->address;
    bool compatible = (address & MESSAGE_REMAPPABLE) == 0;
    out->outcome = CIOMMU_INTERRUPT_PASSED;
    out->address = address;
    out->data = request->data;
    out->index = 0;
    out->vector = request->data & 0xff;
    out->delivery_mode = request->data >> 8 & 7;
    out->destination = BITS(address, 12, 8) | (compatible ? BITS(address, 5, 7) << 8 : 0);
    out->logical = BITS(address, 2, 1);
    out->redirection_hint = BITS(address, 3, 1);
    out->level = request->data >> 15 & 1;
    out->urgent = 0;
    out->reserved = 0;
    out->descriptor = 0;
    out->error = NULL;
}

/* The message that an entry describes. The low address bits, which mean nothing, are kept, and
 * the level bit of the data is set: an edge ignores it, a level-triggered interrupt is
 * asserted. */
static void deliver(struct remapping *r, struct wide_word entry) {
    struct ciommu_interrupt *out = r->out;
    bool extended = (r->table & IRTA_EIME) != 0;
    uint32_t destination = extended ? BITS(entry.low, 32, 32) : BITS(entry.low, 40, 8);
    out->outcome = CIOMMU_INTERRUPT_REMAPPED;
    out->index = r->index;
    out->logical = BITS(entry.low, 2, 1);
    out->redirection_hint = BITS(entry.low, 3, 1);
    out->level = BITS(entry.low, 4, 1);
    out->delivery_mode = BITS(entry.low, 5, 3);
    out->vector = BITS(entry.low, 16, 8);
    out->destination = destination;
    out->urgent = 0;
    out->reserved = 0;
    out->descriptor = 0;
    out->error = NULL;
    out->address = MESSAGE_BASE | (uint64_t)(destination & 0xff) << 12 |
                   (uint64_t)(destination >> 8) << 40 | out->redirection_hint << 3 |
                   out->logical << 2 | (r->request->address & 3);
    out->data = out->vector | out->delivery_mode << 8 | 1u << 14 | out->level << 15;
}

/* ---- Steps; false: blocked ---- */

/* The message itself [FORMATS-VTD F1]. Upper address bits are checked in either format. */
static bool decode_message(struct remapping *r) {
    const struct interrupt_request *request = r->request;
    uint64_t address = request->address;
    if ((address & MESSAGE_HEAD) != MESSAGE_BASE) {
        block(r, VTD_IR_REQUEST_RESERVED, "the message's address is not 0xFEExxxxx");
        return false;
    }
    if ((address & MESSAGE_REMAPPABLE) == 0) {
        if ((r->table & IRTA_EIME) == 0 && (r->table & IRTA_COMPATIBILITY) != 0) {
            pass(request, r->out);
        } else {
            block(r, VTD_IR_COMPATIBILITY, NULL);
        }
        return false;
    }
    bool subhandle = (address & MESSAGE_SUBHANDLE) != 0;
    if (subhandle && request->data >> 16 != 0) {
        block(r, VTD_IR_REQUEST_RESERVED, "bits 31:16 of the message's data are set, with SHV");
        return false;
    }
    uint32_t index = BITS(address, 5, 15) | BITS(address, 2, 1) << 15;
    index += subhandle ? request->data & 0xffff : 0;
    r->index = index & 0xffff; /* a fault record has 16 bits */
    if (index >= UINT32_C(2) << (r->table & IRTA_SIZE)) {
        block(r, VTD_IR_INDEX, NULL);
        return false;
    }
    return true;
}

static struct wide_word read_stable(const uint64_t *host) {
    struct wide_word entry = {load_guest(&host[0]), load_guest(&host[1])};
    for (uint32_t attempt = 0; attempt < READ_ATTEMPTS; attempt++) {
        struct wide_word again = {load_guest(&host[0]), load_guest(&host[1])};
        if (again.low == entry.low && again.high == entry.high) {
            break;
        }
        entry = again;
    }
    return entry;
}

/* Under the RCU read lock. */
static bool read_entry(struct remapping *r, struct wide_word *entry) {
    struct ciommu_unit *unit = r->port->unit;
    uint64_t base = r->table & IRTA_ADDRESS;
    const unsigned char *host = NULL;
    r->entry_address = base + (uint64_t)r->index * sizeof *entry;
    if (((base | r->entry_address) & unit->caps.high_mask) == 0) {
        host = ciommu_memory_host(unit->memory, &r->port->windows[0], r->entry_address);
    }
    if (host == NULL) {
        block(r, VTD_IR_ACCESS, NULL);
        return false;
    }
    if (unit->wide && ((uintptr_t)host & 15) == 0) {
        count_guest_load();
        *entry = load_wide((const struct wide_word *)(const void *)host);
    } else {
        *entry = read_stable((const uint64_t *)(const void *)host);
    }
    return true;
}

/* Names what a posted entry (IM = 1) holds, for diagnosis, and refuses it. */
static void refuse_posted(struct remapping *r, struct wide_word entry) {
    bool reserved = ((entry.low & POSTED_RESERVED) | (entry.high & POSTED_HIGH_RESERVED)) != 0;
    block(r, VTD_IR_RESERVED,
          reserved ? "the entry is a posted one (IM = 1), and has reserved bits set"
                   : "the entry is a posted one (IM = 1), which is not offered");
    r->out->vector = BITS(entry.low, 16, 8);
    r->out->urgent = BITS(entry.low, 14, 1);
    r->out->descriptor =
        (entry.low >> 32 & UINT64_C(0xffffffc0)) | (entry.high & UINT64_C(0xffffffff00000000));
}

static bool check_entry(struct remapping *r, struct wide_word entry) {
    r->fault_disabled = (entry.low & ENTRY_FPD) != 0;
    if ((entry.low & ENTRY_PRESENT) == 0) {
        block(r, VTD_IR_ABSENT, NULL);
        return false;
    }
    if ((entry.low & ENTRY_POSTED) != 0) {
        refuse_posted(r, entry);
        return false;
    }
    uint64_t reserved = (entry.low & ENTRY_RESERVED) | (entry.high & ENTRY_HIGH_RESERVED);
    if ((r->table & IRTA_EIME) == 0) {
        reserved |= entry.low >> 32 & ENTRY_DESTINATION_RESERVED;
    }
    uint32_t mode = BITS(entry.low, 5, 3);
    if (reserved != 0 || mode == 3 || mode == 6) {
        block(r, VTD_IR_RESERVED, reserved != 0 ? NULL : "the entry's delivery mode is reserved");
        return false;
    }
    return true;
}

/* Source-id validation by SVT and SQ. */
static bool check_source(struct remapping *r, struct wide_word entry) {
    static const uint32_t ignored[] = {0, 4, 6, 7};
    uint32_t source = r->request->source;
    uint32_t id = BITS(entry.high, 0, 16);
    uint32_t bus = source >> 8;
    bool fine = false;
    switch (BITS(entry.high, 18, 2)) {
    case 0:
        fine = true;
        break;
    case 1:
        fine = ((source ^ id) & ~ignored[BITS(entry.high, 16, 2)]) == 0;
        break;
    case 2:
        fine = bus >= (id & 0xff) && bus <= id >> 8;
        break;
    default: /* Choice [D6] */
        break;
    }
    if (!fine) {
        block(r, VTD_IR_SOURCE, NULL);
    }
    return fine;
}

void ciommu_interrupt_apply(struct ciommu_port *port, const struct interrupt_request *request,
                            struct ciommu_interrupt *out) {
    /* Seq_cst: pairs with the drain of ciommu_unit_set_interrupt_table. */
    uint64_t table = load_seq_cst(&port->unit->interrupt_table);
    /* Choice: off or on, what lies elsewhere is no interrupt. A guest writes the addresses of a
     * message store, and the host signals what comes out of here. */
    if ((table & IRTA_ENABLED) == 0 && (request->address & MESSAGE_HEAD) == MESSAGE_BASE) {
        pass(request, out);
        return;
    }
    struct remapping r = {.port = port, .request = request, .out = out, .table = table};
    struct wide_word entry;
    ciommu_rcu_lock();
    if (decode_message(&r) && read_entry(&r, &entry) && check_entry(&r, entry) &&
        check_source(&r, entry)) {
        deliver(&r, entry);
    }
    ciommu_rcu_unlock();
}

/* ---- The interface ---- */

enum ciommu_status ciommu_interrupt_remap(struct ciommu_port *port, uint32_t source,
                                          uint64_t address, uint32_t data, uint32_t flags,
                                          struct ciommu_interrupt *out) {
    if (port == NULL || !port_is_inside(port) || source > 0xffff ||
        (flags & ~CIOMMU_NO_FAULT) != 0 || out == NULL || out->size < sizeof *out) {
        return CIOMMU_INVALID_ARGUMENT;
    }
    const struct interrupt_request request = {
        .address = address, .data = data, .source = source, .flags = flags};
    ciommu_interrupt_apply(port, &request, out);
    return CIOMMU_OK;
}

enum ciommu_status ciommu_unit_set_interrupt_table(struct ciommu_unit *unit,
                                                   struct ciommu_port *port, uint64_t irta,
                                                   bool enabled, bool compatibility) {
    if (unit == NULL || (port != NULL && port->unit != unit)) {
        return CIOMMU_INVALID_ARGUMENT;
    }
    if (ports_wait_for_caller(&unit->ports, port)) {
        return CIOMMU_IN_SECTION;
    }
    if (!unit->caps.interrupt_remapping) {
        return CIOMMU_UNSUPPORTED;
    }
    uint64_t kept = IRTA_ADDRESS | IRTA_SIZE | (unit->caps.interrupt_extended ? IRTA_EIME : 0);
    uint64_t table =
        (irta & kept) | (enabled ? IRTA_ENABLED : 0) | (compatibility ? IRTA_COMPATIBILITY : 0);
    pthread_mutex_lock(&unit->table_lock);
    store_seq_cst(&unit->interrupt_table, table);
    pthread_mutex_unlock(&unit->table_lock);
    return ciommu_unit_settle(unit, NULL);
}
