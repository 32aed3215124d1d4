/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * machine.h - a machine of one page of code: memory, a virtual VT-d, a device that does DMA. The
 * driver sees what a guest sees: memory and registers.
 */
#ifndef MACHINE_H
#define MACHINE_H

#include <stdbool.h>
#include <stdint.h>

struct machine;

/* The guest's memory, from address 0 on. */
uint64_t *machine_memory(struct machine *machine, uint64_t address);

/* The guest's accesses to the unit's registers. */
uint64_t machine_read(struct machine *machine, uint32_t offset, uint32_t size);
void machine_write(struct machine *machine, uint32_t offset, uint32_t size, uint64_t value);

/* Interrupts of the unit that nobody has taken yet; 0 when there is none, else its data. */
uint32_t machine_take_interrupt(struct machine *machine);

/* The device reads 8 bytes. False: it may not. */
bool machine_dma_read(struct machine *machine, uint64_t iova, uint64_t *value);

/* What a guest does with it. False, and a line on standard error, when something is not as it
 * should be. */
bool driver_run_legacy(struct machine *machine);
bool driver_run_scalable(struct machine *machine);

#define DEVICE 0x10u /* 00:02.0 */

#endif
