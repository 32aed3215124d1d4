/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * driver.c - a guest's driver for the unit, as short as it can be: tables, the queue, one page for
 * the device, and what happens when it goes. In legacy and in scalable mode.
 */
#include "machine.h"

#include <stdio.h>

/* Where the driver keeps things. */
#define ROOT 0x1000u
#define CONTEXTS 0x2000u
#define DIRECTORY 0x3000u
#define PASIDS 0x4000u
#define PAGING 0x5000u /* four levels, a page each */
#define QUEUE 0x9000u
#define STATUS 0xa000u
#define IOVA 0x40000u
#define BUFFERS 0x80000u

#define CHECK(condition)                                                                           \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            (void)fprintf(stderr, "driver: %s is not so\n", #condition);                           \
            return false;                                                                          \
        }                                                                                          \
    } while (0)

struct driver {
    struct machine *machine;
    uint64_t tail;
    bool wide; /* descriptors of 256 bits */
    uint32_t waits;
};

static void store(struct driver *driver, uint64_t address, uint64_t value) {
    *machine_memory(driver->machine, address) = value;
}

/* Issues a global command and waits for its status. */
static void command(struct driver *driver, uint64_t bit) {
    uint64_t status = machine_read(driver->machine, 0x1c, 4);
    machine_write(driver->machine, 0x18, 4, (status & 0x96ffffff) | bit);
    while ((machine_read(driver->machine, 0x1c, 4) & bit) == 0) {
    }
}

static void put(struct driver *driver, uint64_t low, uint64_t high) {
    uint64_t slot = QUEUE + driver->tail;
    store(driver, slot, low);
    store(driver, slot + 8, high);
    if (driver->wide) {
        store(driver, slot + 16, 0);
        store(driver, slot + 24, 0);
    }
    driver->tail = (driver->tail + (driver->wide ? 32 : 16)) % 4096;
}

/* A descriptor, and a wait until it is done. */
static void invalidate(struct driver *driver, uint64_t low, uint64_t high) {
    uint32_t mark = ++driver->waits;
    put(driver, low, high);
    put(driver, 5 | 1 << 5 | (uint64_t)mark << 32, STATUS);
    machine_write(driver->machine, 0x88, 4, driver->tail);
    while ((uint32_t)*(volatile uint64_t *)machine_memory(driver->machine, STATUS) != mark) {
    }
}

static void map(struct driver *driver, uint64_t page) {
    store(driver, PAGING + 0x3000 + (IOVA >> 12 & 511) * 8, page == 0 ? 0 : page | 3);
}

/* Tables for one page, the queue, and translation on. */
static void begin(struct driver *driver, uint64_t rtaddr) {
    for (uint64_t level = 0; level < 3; level++) {
        store(driver, PAGING + level * 0x1000, (PAGING + (level + 1) * 0x1000) | 3);
    }
    map(driver, BUFFERS);
    machine_write(driver->machine, 0x20, 8, rtaddr);
    command(driver, 1u << 30);
    machine_write(driver->machine, 0x88, 4, 0);
    machine_write(driver->machine, 0x90, 8, QUEUE | (driver->wide ? 1u << 11 : 0));
    command(driver, 1u << 26);
    invalidate(driver, 1 | 1 << 4, 0); /* contexts */
    invalidate(driver, 2 | 1 << 4, 0); /* the IOTLB */
    machine_write(driver->machine, 0x3c, 4, 0x21);
    machine_write(driver->machine, 0x40, 4, 0xfee00000);
    machine_write(driver->machine, 0x38, 4, 0);
    command(driver, 1u << 31);
}

/* What the device may read, before and after the page moves, and when it is gone. */
static bool use(struct driver *driver, uint64_t domain) {
    uint64_t value = 0;
    store(driver, BUFFERS, 0x1111);
    store(driver, BUFFERS + 0x1000, 0x2222);
    CHECK(machine_dma_read(driver->machine, IOVA, &value) && value == 0x1111);
    map(driver, BUFFERS + 0x1000);
    invalidate(driver, 2 | 3 << 4 | domain << 16, IOVA);
    CHECK(machine_dma_read(driver->machine, IOVA, &value) && value == 0x2222);
    map(driver, 0);
    invalidate(driver, 2 | 3 << 4 | domain << 16, IOVA);
    CHECK(!machine_dma_read(driver->machine, IOVA, &value));
    CHECK((machine_read(driver->machine, 0x34, 4) & 2) != 0);
    CHECK(machine_take_interrupt(driver->machine) == 0x21);
    uint64_t records = (machine_read(driver->machine, 0x08, 8) >> 24 & 0x3ff) * 16;
    CHECK(machine_read(driver->machine, (uint32_t)records, 8) == IOVA);
    CHECK((machine_read(driver->machine, (uint32_t)records + 8, 8) & 0xffff) == DEVICE);
    machine_write(driver->machine, (uint32_t)records + 12, 4, 1u << 31);
    CHECK((machine_read(driver->machine, 0x34, 4) & 2) == 0);
    return true;
}

bool driver_run_legacy(struct machine *machine) {
    struct driver driver = {.machine = machine};
    store(&driver, ROOT, CONTEXTS | 1);
    store(&driver, CONTEXTS + DEVICE * 16, PAGING | 1);
    store(&driver, CONTEXTS + DEVICE * 16 + 8, 7 << 8 | 2);
    begin(&driver, ROOT);
    return use(&driver, 7);
}

bool driver_run_scalable(struct machine *machine) {
    struct driver driver = {.machine = machine, .wide = true};
    store(&driver, ROOT, CONTEXTS | 1);
    store(&driver, CONTEXTS + DEVICE * 32, DIRECTORY | 1);
    store(&driver, DIRECTORY, PASIDS | 1);
    store(&driver, PASIDS, PAGING | 2 << 6 | 2 << 2 | 1);
    store(&driver, PASIDS + 8, 8);
    begin(&driver, ROOT | 1 << 10);
    invalidate(&driver, 7 | 3 << 4, 0); /* the PASID cache */
    return use(&driver, 8);
}
