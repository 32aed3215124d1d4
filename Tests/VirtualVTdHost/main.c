/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * main.c - a host in C, with no Swift of its own: memory, a virtual VT-d, and a device behind it.
 * Runs the driver in legacy mode, then in scalable mode after a migration to a second unit.
 */
#include "machine.h"

#include "ciommu.h"
#include "iommu_vtd.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MEMORY_BYTES (UINT64_C(2) << 20)

struct machine {
    struct ciommu_memory *memory;
    unsigned char *ram;
    struct iommu_vtd *vtd;
    struct ciommu_port *port; /* the device's way in */
    uint32_t interrupt;
    uint32_t invalidations;
};

uint64_t *machine_memory(struct machine *machine, uint64_t address) {
    return (uint64_t *)(void *)(machine->ram + address);
}

uint64_t machine_read(struct machine *machine, uint32_t offset, uint32_t size) {
    return iommu_vtd_read(machine->vtd, offset, size);
}

void machine_write(struct machine *machine, uint32_t offset, uint32_t size, uint64_t value) {
    (void)iommu_vtd_write(machine->vtd, NULL, offset, size, value);
}

uint32_t machine_take_interrupt(struct machine *machine) {
    uint32_t data = machine->interrupt;
    machine->interrupt = 0;
    return data;
}

bool machine_dma_read(struct machine *machine, uint64_t iova, uint64_t *value) {
    const struct ciommu_request request = {.source = DEVICE,
                                           .pasid = CIOMMU_NO_PASID,
                                           .iova = iova,
                                           .length = sizeof *value,
                                           .access = CIOMMU_READ};
    struct ciommu_progress progress = {.size = sizeof progress};
    bool fine = ciommu_read(machine->port, &request, value, &progress) == CIOMMU_OK;
    iommu_vtd_collect_faults(machine->vtd);
    return fine;
}

static void signal_host(void *context, uint64_t address, uint32_t data) {
    struct machine *machine = context;
    if (address >> 20 == 0xfee) {
        machine->interrupt = data;
    }
}

/* A host that shadows the guest's tables would look at them again here. */
static void note_invalidation(void *context, const struct ciommu_invalidation *invalidation) {
    struct machine *machine = context;
    machine->invalidations += invalidation->kind == CIOMMU_INVALIDATE_TRANSLATIONS;
}

static bool fine(int status, const char *what) {
    if (status != 0) {
        (void)fprintf(stderr, "%s: status %d, %s\n", what, status, iommu_vtd_error());
    }
    return status == 0;
}

static bool plug_in(struct machine *machine) {
    struct ciommu_unit_config engine;
    ciommu_unit_config_init(&engine);
    engine.iotlb_entries = 4096;
    const struct iommu_vtd_config config = {
        .size = sizeof config, .flags = IOMMU_VTD_INLINE, .engine = &engine};
    const struct iommu_vtd_host host = {.size = sizeof host,
                                        .context = machine,
                                        .signal = signal_host,
                                        .invalidated = note_invalidation};
    return fine(iommu_vtd_create(&config, machine->memory, &host, &machine->vtd), "the unit") &&
           fine(ciommu_port_create(iommu_vtd_unit(machine->vtd), &machine->port), "a port");
}

static void unplug(struct machine *machine) {
    (void)ciommu_port_destroy(machine->port);
    iommu_vtd_destroy(machine->vtd);
}

static bool begin(struct machine *machine) {
    machine->ram = aligned_alloc(4096, MEMORY_BYTES);
    if (machine->ram == NULL || !fine(ciommu_memory_create(&machine->memory), "memory")) {
        return false;
    }
    memset(machine->ram, 0, MEMORY_BYTES);
    const struct ciommu_memory_range range = {.size = sizeof range,
                                              .rights = CIOMMU_READ | CIOMMU_WRITE,
                                              .length = MEMORY_BYTES,
                                              .host = machine->ram};
    return fine(ciommu_memory_add(machine->memory, &range), "memory") && plug_in(machine);
}

/* The unit's state goes into a new one. */
static bool migrate(struct machine *machine) {
    uint64_t bytes = iommu_vtd_snapshot(machine->vtd, NULL, 0);
    char *state = malloc(bytes);
    if (state == NULL || iommu_vtd_snapshot(machine->vtd, state, bytes) != bytes) {
        return false;
    }
    unplug(machine);
    bool there = plug_in(machine) && fine(iommu_vtd_restore(machine->vtd, state, bytes), "restore");
    free(state);
    return there;
}

/* Capabilities that no unit has, and a write that would wait for itself. */
static bool refuses(struct machine *machine) {
    struct iommu_vtd *vtd = NULL;
    struct ciommu_unit_config engine;
    ciommu_unit_config_init(&engine);
    engine.cap = 8;
    engine.ecap = 0;
    const struct iommu_vtd_config config = {.size = sizeof config, .engine = &engine};
    if (iommu_vtd_create(&config, machine->memory, NULL, &vtd) == 0 || vtd != NULL ||
        iommu_vtd_error()[0] == 0) {
        return false;
    }
    ciommu_port_enter(machine->port);
    int status = iommu_vtd_write(machine->vtd, machine->port, 0x18, 4, 0);
    ciommu_port_leave(machine->port);
    return status == CIOMMU_IN_SECTION;
}

int main(void) {
    struct machine machine = {0};
    if (!begin(&machine) || !refuses(&machine) || !driver_run_legacy(&machine)) {
        return 1;
    }
    (void)puts(
        "legacy mode: a page mapped, moved and unmapped; the fault recorded, its interrupt raised");
    if (!migrate(&machine) || (machine_read(&machine, 0x1c, 4) >> 31) != 1 ||
        !fine(iommu_vtd_reset(machine.vtd), "reset") || !driver_run_scalable(&machine) ||
        machine.invalidations == 0) {
        return 1;
    }
    (void)puts("scalable mode: the same, in a second unit that took over the first one's state");
    unplug(&machine);
    (void)ciommu_memory_destroy(machine.memory);
    free(machine.ram);
    return 0;
}
