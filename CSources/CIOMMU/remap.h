/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * remap.h - interrupt remapping: a message and its source go through the guest's table and
 * come out as another message or as a fault.
 *
 * Protocol (interrupt table)
 *   Register    one word of the unit: where the table lies, its size, EIME, and the two switches,
 *               stored whole (seq_cst) by changers under the table lock, who then settle.
 *   Readers     inside a section, lock-free: load the word, read the entry from guest memory with
 *               one 16-byte access, or until two readings agree. Nothing is kept.
 *   Guarantee   what a section read is used until it ends: after the drain of a change of the
 *               register, or of an interrupt-entry-cache descriptor, no message from before is
 *               being signalled.
 */
#ifndef CIOMMU_REMAP_H
#define CIOMMU_REMAP_H

#include "ciommu_interrupts.h"
#include "unit.h"

/* Bits of the word that are reserved in IRTA hold the switches. */
#define IRTA_SIZE UINT64_C(0xf)
#define IRTA_ENABLED UINT64_C(0x10)
#define IRTA_COMPATIBILITY UINT64_C(0x20)
#define IRTA_EIME UINT64_C(0x800)
#define IRTA_ADDRESS UINT64_C(0xfffffffffffff000)

struct interrupt_request {
    uint64_t address;
    uint32_t data;
    uint32_t source;
    uint32_t flags;                     /* CIOMMU_NO_FAULT */
    const struct ciommu_device *device; /* a fault is its; NULL: the source id says whose */
};

/* Remaps. Inside a section of `port`. `out->size` stays. */
void ciommu_interrupt_apply(struct ciommu_port *port, const struct interrupt_request *request,
                            struct ciommu_interrupt *out);

#endif
