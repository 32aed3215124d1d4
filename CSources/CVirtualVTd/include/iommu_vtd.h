/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * iommu_vtd.h - a virtual Intel IOMMU for hosts written in C: registers that a guest programs, in
 * front of the engine of ciommu.h. In libiommu-vtd, which holds the engine too.
 *
 * Any thread may call, at any time. Functions that answer an int answer 0, or an enum ciommu_status
 * (ciommu.h). What a guest does wrong is never an error of these functions: it is in the registers.
 */
#ifndef IOMMU_VTD_H
#define IOMMU_VTD_H

#include "ciommu.h"
#include "ciommu_pages.h"

#ifdef __cplusplus
extern "C" {
#endif

struct iommu_vtd;

/* What a unit is made with. Zero-fill it, then set `size`. */
struct iommu_vtd_config {
    uint32_t size;
    uint32_t flags; /* IOMMU_VTD_* */
    /* Capabilities and sizes, read only by the call. NULL: as ciommu_unit_config_init. Where
     * CAP.FRO or ECAP.IRO is 0, registers are placed for you. */
    const struct ciommu_unit_config *engine;
    uint64_t page_timeout; /* nanoseconds that a guest may take to answer page requests, before the
                              device hears failure; 0: 10 seconds; UINT64_MAX: for ever */
    uint32_t version;      /* VER; 0: 0x10 */
    uint32_t reserved;
};

/* Commands and descriptors are worked on inside the register write that asks for it, which waits
 * for access sections; and a host that wants the fault event in time calls
 * iommu_vtd_collect_faults. Otherwise all of that happens on threads of the unit's, and register
 * accesses wait for nothing. */
#define IOMMU_VTD_INLINE 1u

/* What a unit asks of its host: called outside its locks and access sections, by a register access
 * or on a thread of the unit's. They may call the unit. While one runs, these wait for it:
 * iommu_vtd_reset, _finish, _snapshot, _restore, and with IOMMU_VTD_INLINE iommu_vtd_write; so do
 * not call those with a lock held that a callback takes. Each may be NULL. The structure is copied.
 */
struct iommu_vtd_host {
    uint32_t size;
    uint32_t reserved;
    void *context;
    /* The unit raises an interrupt of its own: a write of `data` to `address`, not remapped. */
    void (*signal)(void *context, uint64_t address, uint32_t data);
    /* Entries of the interrupt-remapping table changed. The engine keeps none of them. */
    void (*interrupt_entries)(void *context, uint32_t first, uint32_t last);
    /* An invalidation took effect, whoever asked for it: for hosts that keep translations
     * elsewhere, such as shadow tables. On the invalidating thread, before it is reported complete.
     */
    void (*invalidated)(void *context, const struct ciommu_invalidation *invalidation);
};

/* Makes a unit as after power-on, over memory made with ciommu_memory_create, which outlives it.
 * CIOMMU_INCONSISTENT for capabilities that no such unit has: iommu_vtd_error then says which rule
 * they break. */
int iommu_vtd_create(const struct iommu_vtd_config *config, struct ciommu_memory *memory,
                     const struct iommu_vtd_host *host, struct iommu_vtd **out);

/* Ends a unit. No port of its engine's unit may exist any more. NULL is allowed. */
void iommu_vtd_destroy(struct iommu_vtd *vtd);

/* What the last call of this thread that failed has to say; "" for nothing. Valid until the
 * thread's next call. */
const char *iommu_vtd_error(void);

/* A guest's access to the registers: `size` bytes at `offset` from the unit's base. `port` is the
 * caller's own one, or NULL: a device that writes to the registers. CIOMMU_IN_SECTION: nothing was
 * written; with IOMMU_VTD_INLINE a write from inside a section would wait for itself. */
uint64_t iommu_vtd_read(struct iommu_vtd *vtd, uint64_t offset, uint32_t size);
int iommu_vtd_write(struct iommu_vtd *vtd, struct ciommu_port *port, uint64_t offset, uint32_t size,
                    uint64_t value);

/* Puts faults that were recorded since the last access into the registers, and raises the event. */
void iommu_vtd_collect_faults(struct iommu_vtd *vtd);

/* Waits until everything that was asked for so far is done. From a callback: returns at once. */
void iommu_vtd_finish(struct iommu_vtd *vtd);

/* Everything as after power-on. CIOMMU_TIMED_OUT: done, but an older section still runs. */
int iommu_vtd_reset(struct iommu_vtd *vtd);

/* The engine's unit, for ports, translations, interrupts and device-TLBs (ciommu.h and its
 * neighbours). It belongs to the virtual unit: never destroy it, nor set its root. */
struct ciommu_unit *iommu_vtd_unit(struct iommu_vtd *vtd);

/* The state as text, for live migration, with the guest paused. Writes at most `bytes` and answers
 * how many there are: more than `bytes` means that the text is cut off. Each call takes the state
 * anew, and devices that fault meanwhile change it: call it with 0 for a first guess, and again
 * with a longer buffer for as long as the answer is more than the buffer holds. */
uint64_t iommu_vtd_snapshot(struct iommu_vtd *vtd, char *buffer, uint64_t bytes);

/* Puts a unit into such a state. CIOMMU_UNSUPPORTED, CIOMMU_INVALID_ARGUMENT: nothing changed. */
int iommu_vtd_restore(struct iommu_vtd *vtd, const char *buffer, uint64_t bytes);

/* A device has come along with the guest: what it asked for elsewhere (ciommu_pages.h), and has no
 * answer to, is its again. `interface`, of iommu_vtd_unit, was made with `config`, whose handler
 * hears the guest's responses, also those that have come since iommu_vtd_restore. The guest, which
 * has the requests already, sees nothing of it. Once for each interface, after iommu_vtd_restore
 * and before the device asks for anything else. Errors as those of ciommu_page_request: call it
 * again for what was not asked for yet. */
int iommu_vtd_resume_page_requests(struct iommu_vtd *vtd, struct ciommu_page_interface *interface,
                                   const struct ciommu_page_interface_config *config);

#ifdef __cplusplus
}
#endif
#endif
