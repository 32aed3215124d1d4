/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * ciommu_interrupts.h - interrupt messages: remapping through the guest's table, and a
 * device's own store of messages (IMS) whose entries are tied to PASIDs [B-C1...C4].
 *
 * The conventions of ciommu.h and ciommu_domains.h hold. A message is a value: nothing here
 * signals anybody. A device asks inside a section of its port and signals before it leaves it;
 * then a call that changes something and answers CIOMMU_OK knows that nothing from before is
 * signalled any more, as with translations.
 */
#ifndef CIOMMU_INTERRUPTS_H
#define CIOMMU_INTERRUPTS_H

#include "ciommu_invalidation.h"

#ifdef __cplusplus
extern "C" {
#endif

/* -------------------------------------------------------------------------------------------- */
/* Remapping [FORMATS-VTD F1, F2] */

/* Latches IRTA (address and size of the table, EIME) [FORMATS-VTD B9], as GCMD.SIRTP does,
 * together with GCMD.IRE and CFI: `enabled`, and whether messages in compatibility format pass
 * while EIME is clear. EIME counts only with ECAP.EIM. What is in the register is not checked:
 * a table where no memory is, is a fault of each message. CIOMMU_UNSUPPORTED: no ECAP.IR.
 * CIOMMU_IN_SECTION. CIOMMU_OK: no message from the old table is being signalled.
 * CIOMMU_TIMED_OUT: latched, but an older section still runs. ciommu_unit_reset sets all of it
 * to zero.
 *
 * Entries are read from the guest's memory for every message and never cached. So a guest's
 * change of an entry is seen by every later section, and an interrupt-entry-cache descriptor
 * needs no more than the drain that comes with it. */
CIOMMU_API enum ciommu_status ciommu_unit_set_interrupt_table(struct ciommu_unit *unit,
                                                              struct ciommu_port *port,
                                                              uint64_t irta, bool enabled,
                                                              bool compatibility);

enum ciommu_interrupt_outcome {
    CIOMMU_INTERRUPT_PASSED =
        0,                     /* unchanged: remapping is off, or compatibility format is allowed */
    CIOMMU_INTERRUPT_REMAPPED, /* by an entry of the table */
    CIOMMU_INTERRUPT_BLOCKED   /* a fault */
};

/* DLM of an entry, and bits 10:8 of a message's data; 3 and 6 are reserved. */
enum ciommu_delivery_mode {
    CIOMMU_DELIVERY_FIXED = 0,
    CIOMMU_DELIVERY_LOWEST = 1,
    CIOMMU_DELIVERY_SMI = 2,
    CIOMMU_DELIVERY_NMI = 4,
    CIOMMU_DELIVERY_INIT = 5,
    CIOMMU_DELIVERY_EXTINT = 7
};

/* What became of a message. Address and data are what to signal, as a write of 4 bytes; the
 * fields below say the same in words, of a message that passed as its compatibility format has
 * it. */
struct ciommu_interrupt {
    uint32_t size;
    uint32_t outcome; /* enum ciommu_interrupt_outcome */
    uint64_t address; /* bits 63:40 hold bits 31:8 of a 32-bit destination */
    uint32_t data;
    uint32_t index; /* of the entry that remapped it, else 0 */
    uint32_t vector;
    uint32_t delivery_mode;    /* enum ciommu_delivery_mode */
    uint32_t destination;      /* APIC id: 32 bits with EIME, else 8 */
    uint32_t logical;          /* 1: destination mode is logical */
    uint32_t redirection_hint; /* 1: RH */
    uint32_t level;            /* 1: level-triggered */
    uint32_t urgent;           /* of a refused posted entry, for diagnosis: URG, */
    uint32_t reserved;
    uint64_t descriptor;       /* and where its descriptor lies; `vector` is the virtual one */
    const char *error;         /* sentence that names what was wrong, static; NULL unless BLOCKED */
    struct ciommu_fault fault; /* when BLOCKED */
};

/* Remaps one message: what `source` writes to `address`. Inside a section of `port`. A DMA
 * write for which ciommu_translate answers CIOMMU_INTERRUPT is such a message: source, address
 * and the 4 bytes of data come here, and what comes back is signalled before the section ends:
 *
 *     ciommu_port_enter(port);
 *     ciommu_translate(unit, port, source, CIOMMU_NO_PASID, iova, CIOMMU_WRITE, 0, &result);
 *     if (result.outcome == CIOMMU_INTERRUPT &&
 *         ciommu_interrupt_remap(port, source, iova, data, 0, &interrupt) == CIOMMU_OK &&
 *         interrupt.outcome != CIOMMU_INTERRUPT_BLOCKED) {
 *         signal(interrupt.address, interrupt.data);
 *     }
 *     ciommu_port_leave(port);
 *
 * While remapping is off, everything at 0xFEExxxxx passes.
 *
 * Checks, in this order [FORMATS-VTD F2]: an address other than 0xFEExxxxx, also while remapping
 * is off, and reserved bits of the message (0x20), compatibility
 * format (0x25), index (0x21), entry readable (0x23), present (0x22), its reserved bits
 * (0x24), the source id (0x26). FPD of the entry suppresses the last three. A fault is
 * CIOMMU_OK with outcome BLOCKED; it goes into the port's ring like those of translations,
 * with CIOMMU_REQUEST_INTERRUPT and the index as address, unless `flags` holds
 * CIOMMU_NO_FAULT. CIOMMU_INVALID_ARGUMENT: not inside a section, a source over 16 bits,
 * another flag.
 *
 * Choices, where the sources leave it open: a posted entry (IM = 1) is reserved, as CAP.PI = 0
 * demands, and a unit with CAP.PI still refuses it, in both cases by 0x24 with `error` saying
 * so; reserved delivery modes (3, 6) are reserved bits; SVT = 3 fails validation [D6]; handle
 * and subhandle whose sum has 17 bits lie beyond every table. */
CIOMMU_API enum ciommu_status ciommu_interrupt_remap(struct ciommu_port *port, uint32_t source,
                                                     uint64_t address, uint32_t data,
                                                     uint32_t flags, struct ciommu_interrupt *out);

/* -------------------------------------------------------------------------------------------- */
/* Message store (IMS) */

/* A device's entries. Belongs to the device, which must outlive it.
 *
 * An entry is allocated with its PASID, then programmed, then armed, then masked and unmasked:
 * it cannot be armed before its PASID is in place [B-C3]. A call on an entry that is in
 * another state than the call wants answers CIOMMU_BAD_STATE; CIOMMU_IN_USE: another call on
 * the entry is waiting for sections; CIOMMU_INVALID_ARGUMENT: no such entry. All three change
 * nothing. */
struct ciommu_message_store;

enum ciommu_message_state {
    CIOMMU_MESSAGE_FREE = 0,
    CIOMMU_MESSAGE_ALLOCATED,
    CIOMMU_MESSAGE_PROGRAMMED,
    CIOMMU_MESSAGE_ARMED,
    CIOMMU_MESSAGE_MASKED,
    CIOMMU_MESSAGE_RETIRED /* freed, but a section may still use it; free when that has ended */
};

#define CIOMMU_MESSAGES_MOST 65536u

/* of ciommu_message_allocate: any work may raise it, its PASID is not looked at; for entries that
 * only the host's own work raises [B-C1]. Fixed for the life of the entry; no other call and no
 * access to a slot can set it. */
#define CIOMMU_MESSAGE_UNCHECKED 1u

struct ciommu_message_store_config {
    uint32_t size;
    uint32_t flags;   /* 0 */
    uint32_t entries; /* 1...CIOMMU_MESSAGES_MOST; 64 bytes each */
    uint32_t reserved;
};

/* Makes a store of a device, all entries free. A device may have several.
 * CIOMMU_INVALID_ARGUMENT, CIOMMU_NO_MEMORY. */
CIOMMU_API enum ciommu_status
ciommu_message_store_create(struct ciommu_device *device,
                            const struct ciommu_message_store_config *config,
                            struct ciommu_message_store **out);

/* Frees every entry and destroys the store, after the last call that uses it; it is gone also on
 * CIOMMU_TIMED_OUT, when a section may still be signalling. NULL is allowed. */
CIOMMU_API enum ciommu_status ciommu_message_store_destroy(struct ciommu_message_store *store,
                                                           struct ciommu_port *port);

/* Takes a free entry for a PASID of the device, the lowest one; `*index` receives it. With
 * CIOMMU_MESSAGE_UNCHECKED `pasid` is CIOMMU_NO_PASID, otherwise a PASID. CIOMMU_NOT_OWNED: the
 * device does not own it. CIOMMU_UNSUPPORTED: no ECAP.PASID, or beyond ECAP.PSS. CIOMMU_NO_SPACE:
 * none is free. */
CIOMMU_API enum ciommu_status ciommu_message_allocate(struct ciommu_message_store *store,
                                                      uint32_t pasid, uint32_t flags,
                                                      uint32_t *index);

/* The same for a guest's PASID, which the guest's own namespace translates [B-C4]; its device
 * sees the host PASID. There is no flag that a guest could ask for. CIOMMU_NOT_FOUND: it is
 * not bound. The namespace is destroyed after the entry is freed or has another PASID. */
CIOMMU_API enum ciommu_status ciommu_message_allocate_guest(struct ciommu_message_store *store,
                                                            const struct ciommu_namespace *space,
                                                            uint32_t guest, uint32_t *index);

/* Sets the message. Allocated or programmed: programmed. Masked: stays masked. CIOMMU_TIMED_OUT,
 * only of an entry whose masking timed out: a section may still signal the old message, which
 * stays. */
CIOMMU_API enum ciommu_status ciommu_message_program(struct ciommu_message_store *store,
                                                     struct ciommu_port *port, uint32_t index,
                                                     uint64_t address, uint32_t data);

/* Programmed: armed. Sections that begin after it, and those that run, may deliver it. */
CIOMMU_API enum ciommu_status ciommu_message_arm(struct ciommu_message_store *store,
                                                 uint32_t index);

/* Armed: masked. On CIOMMU_OK it is not being signalled any more. CIOMMU_TIMED_OUT: masked, but a
 * section that began before may still signal it; masking again waits again. Masked: as before. */
CIOMMU_API enum ciommu_status ciommu_message_mask(struct ciommu_message_store *store,
                                                  struct ciommu_port *port, uint32_t index);

/* Masked: armed. `*pending` (may be NULL): it was raised while it was masked and is to be
 * delivered now, that is, ciommu_message_deliver is to be called again with the entry's PASID. */
CIOMMU_API enum ciommu_status ciommu_message_unmask(struct ciommu_message_store *store,
                                                    uint32_t index, bool *pending);

/* Gives an entry another PASID of the device, or of a guest. An armed one is masked, drained,
 * changed and unmasked in this one call: on CIOMMU_OK it is armed, and no interrupt that work
 * of the old PASID raised is signalled any more. What such work raised meanwhile is dropped,
 * because it concerns the old PASID. A masked, programmed or allocated one stays what it is.
 * CIOMMU_TIMED_OUT: it is masked if it was armed, and still has the old PASID, because a
 * section may still signal it; call again, or unmask. Otherwise as allocating;
 * CIOMMU_BAD_STATE also for an unchecked entry. */
CIOMMU_API enum ciommu_status ciommu_message_set_pasid(struct ciommu_message_store *store,
                                                       struct ciommu_port *port, uint32_t index,
                                                       uint32_t pasid);
CIOMMU_API enum ciommu_status ciommu_message_set_guest_pasid(struct ciommu_message_store *store,
                                                             struct ciommu_port *port,
                                                             uint32_t index,
                                                             const struct ciommu_namespace *space,
                                                             uint32_t guest);

/* Frees an entry in whatever state. On CIOMMU_OK it is not being signalled any more. On
 * CIOMMU_TIMED_OUT it is retired, and given to nobody before the sections have ended. */
CIOMMU_API enum ciommu_status ciommu_message_free(struct ciommu_message_store *store,
                                                  struct ciommu_port *port, uint32_t index);

/* An entry as it is now. */
struct ciommu_message_info {
    uint32_t size;
    uint32_t state; /* enum ciommu_message_state */
    uint32_t flags; /* CIOMMU_MESSAGE_* */
    uint32_t pasid; /* of the host; CIOMMU_NO_PASID without validation, or of a free entry */
    uint32_t guest; /* the guest's PASID, or CIOMMU_NO_PASID */
    uint32_t data;
    uint64_t address;
    uint32_t pending; /* 1: raised while masked */
    uint32_t reserved;
};
CIOMMU_API enum ciommu_status ciommu_message_read_info(const struct ciommu_message_store *store,
                                                       uint32_t index,
                                                       struct ciommu_message_info *out);

/* ---- Delivery ---- */

enum ciommu_message_outcome {
    CIOMMU_MESSAGE_DELIVER = 0,  /* signal `interrupt` before the section ends */
    CIOMMU_MESSAGE_IS_MASKED,    /* noted: unmasking will say so */
    CIOMMU_MESSAGE_NOT_ARMED,    /* free, allocated or programmed only */
    CIOMMU_MESSAGE_WRONG_PASID,  /* the work carries another PASID */
    CIOMMU_MESSAGE_ABSENT_PASID, /* the work carries none */
    /* the PASID is no longer the device's (a slice was made over it), or no longer what the
     * guest's PASID is bound to */
    CIOMMU_MESSAGE_REVOKED,
    CIOMMU_MESSAGE_FAULT /* remapping blocked it: interrupt.fault */
};

struct ciommu_delivery {
    uint32_t size;
    uint32_t outcome;                  /* enum ciommu_message_outcome */
    struct ciommu_interrupt interrupt; /* of DELIVER and FAULT */
};

/* Work with `pasid` (CIOMMU_NO_PASID: without one) raises entry `index`: may it, and what is
 * to be signalled? Remaps, with the device's source id, if the unit does. Inside a section of
 * `port`, any number of threads at once, lock-free: it takes no lock, allocates nothing and
 * waits for nobody (a thread's first call registers it with liburcu). CIOMMU_INVALID_ARGUMENT:
 * not inside a section of the device's unit, no such entry, a PASID over 20 bits.
 *
 * What a host may rely on, if devices signal before they leave the section. No interrupt is
 * signalled
 *   - by work with another PASID than the entry's, or without one, unless the entry is unchecked;
 *   - with an old PASID, message or table after the call that changed it answered CIOMMU_OK;
 *   - of a guest's PASID after ciommu_namespace_unbind of it answered CIOMMU_OK;
 *   - with a PASID that a slice was made over after ciommu_device_create answered CIOMMU_OK;
 *   - of an entry that was armed when the device was reset, until it is unmasked.
 * Whether a domain is attached for the PASID does not count: a device whose PASID is detached
 * can reach no memory, but work that is under way may end with an interrupt. Whoever wants
 * silence masks or frees the entry. */
CIOMMU_API enum ciommu_status ciommu_message_deliver(struct ciommu_port *port,
                                                     struct ciommu_message_store *store,
                                                     uint32_t index, uint32_t pasid,
                                                     struct ciommu_delivery *out);

/* Counters since the store was made. What was delivered is not counted, because that would cost
 * deliveries a shared write. */
struct ciommu_message_statistics {
    uint32_t size;
    uint32_t entries;
    uint32_t allocated; /* neither free nor retired */
    uint32_t retired;
    uint64_t masked; /* deliveries that found the entry masked, and so on */
    uint64_t not_armed;
    uint64_t wrong_pasid;
    uint64_t absent_pasid;
    uint64_t revoked;
    uint64_t faults;
};
CIOMMU_API void ciommu_message_read_statistics(const struct ciommu_message_store *store,
                                               struct ciommu_message_statistics *out);

/* ---- Slots: the layout that DSA gives a store [FORMATS-VTD F3] ---- */

/* A slot has 16 bytes, and who may write them:
 *    0  address, low   the guest
 *    4  address, high  the guest
 *    8  data           the guest
 *   12  control        bit 0 mask: the guest. Bit 3 PASID enable, bits 31:12 PASID: read-only;
 *                      they come from allocating and set_pasid. The others are zero. */
#define CIOMMU_SLOT_LENGTH 16u
#define CIOMMU_SLOT_ADDRESS 0u
#define CIOMMU_SLOT_DATA 8u
#define CIOMMU_SLOT_CONTROL 12u
#define CIOMMU_SLOT_MASK 1u
#define CIOMMU_SLOT_PASID_ENABLE 8u
#define CIOMMU_SLOT_PASID_SHIFT 12u

/* A guest reads 4 or 8 bytes of an entry's slot, at a multiple of their number. The PASID is
 * the guest's own if the entry was allocated for one, else the host's. An entry that is not
 * armed reads as masked, a free one as masked zeroes. CIOMMU_MISALIGNED;
 * CIOMMU_INVALID_ARGUMENT: length, offset. */
CIOMMU_API enum ciommu_status ciommu_message_slot_read(const struct ciommu_message_store *store,
                                                       uint32_t index, uint32_t offset,
                                                       uint32_t length, uint64_t *value);

/* A guest writes 4 or 8 bytes of it. Address and data program the entry; an armed one is
 * masked, drained, changed and unmasked. Clearing the mask arms a programmed entry or unmasks
 * it; setting it masks an armed one. Everything else is ignored. `*pending` (may be NULL) as
 * for unmask. CIOMMU_BAD_STATE: the entry is free, or was never programmed and is to be
 * unmasked: the write has no effect. A mask is set before the data change and cleared after, so
 * what is raised meanwhile is kept, or in `*pending`. CIOMMU_TIMED_OUT, CIOMMU_IN_USE as above, and
 * then the rest of the write has none. */
CIOMMU_API enum ciommu_status ciommu_message_slot_write(struct ciommu_message_store *store,
                                                        struct ciommu_port *port, uint32_t index,
                                                        uint32_t offset, uint32_t length,
                                                        uint64_t value, bool *pending);

static inline void ciommu_message_store_config_init(struct ciommu_message_store_config *config) {
    config->size = (uint32_t)sizeof *config;
    config->flags = 0;
    config->entries = 256;
    config->reserved = 0;
}

#ifdef __cplusplus
}
#endif
#endif
