/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * unit.h - one IOMMU: what its ports share.
 *
 * Protocol (generations)
 *   ugen      moves after every change that a section may have to notice; sections compare it when
 *             they begin.
 *   tablegen  moves before and after bindings are unlinked (odd while that happens); table lock.
 *   mapgen    moves when the memory map has changed.
 *   Order     tablegen and mapgen, and the spaces' generations, move before ugen; then the ports
 *             are drained. All seq_cst.
 */
#ifndef CIOMMU_UNIT_H
#define CIOMMU_UNIT_H

#include "binding.h"
#include "device.h"
#include "events.h"
#include "faults.h"
#include "pages.h"
#include "submit.h"
#include "device_tlb.h"
#include "vtd_caps.h"

#include <pthread.h>

struct observer {
    struct observer *next;
    ciommu_observer call;
    void *context;
    uint32_t id;
    uint32_t running; /* calls in progress; observers_lock */
    bool removed;
};

/* What batches did; relaxed counters. */
struct batch_counters {
    uint64_t batches;
    uint64_t segments;
    uint64_t entries[16];
    uint64_t refused;
    uint64_t late;
    uint64_t merged;
    uint64_t widened;
};

struct ciommu_unit {
    /* Read by every section; written by changers. */
    uint64_t ugen __attribute__((aligned(64)));
    uint64_t tablegen;
    uint64_t mapgen;
    uint64_t root;            /* RTADDR as latched; seq_cst by changers */
    uint32_t enabled;         /* translation */
    uint32_t tlbs_blocked;    /* device-TLBs that are; table lock, the slow path loads it relaxed */
    uint64_t interrupt_table; /* as latched (remap.h); seq_cst by changers, table lock */

    /* Constant after creation (their contents have their own protocols). */
    struct vtd_caps caps __attribute__((aligned(64)));
    bool wide; /* the processor's 16-byte accesses are to be used */
    struct ciommu_memory *memory;
    struct iotlb iotlb;
    struct spaces spaces;
    struct bindings bindings;
    struct domains domains;
    struct devices devices;
    struct device_tlbs tlbs;
    struct submissions submissions;
    struct events events;
    struct faults faults;
    struct pages pages;
    struct ports ports;
    struct port_sizes port_sizes;
    uint32_t pool_ports; /* the first slots of `ports` */
    uint32_t number;     /* of all units of the process, from 1; tokens of ATS answers carry it */
    struct memory_user memory_user;

    pthread_mutex_t table_lock; /* spaces, bindings, devices, tablegen, root, enabled */
    pthread_mutex_t ports_lock; /* creation and destruction of ports */
    pthread_mutex_t observers_lock;
    pthread_mutex_t namespaces_lock;
    struct ciommu_namespace *namespaces; /* namespaces_lock; empty before the unit ends */
    struct observer *observers;
    uint32_t next_observer;

    struct batch_counters batches;
    uint64_t invalidations; /* relaxed counters */
    uint64_t drains;
    uint64_t drain_timeouts;
    uint64_t made_up; /* of those time-outs, how many a later drain has covered; any changer */
};

/* The end of every change: ugen++ and drain. Outside the table lock. */
enum ciommu_status ciommu_unit_settle(struct ciommu_unit *unit, uint32_t *port_id);

/* Waits for the sections that are open: the end of a change of something that ports keep nothing
 * of, so that ugen need not move. What was stored before (seq_cst) is seen by every section that is
 * not waited for. */
enum ciommu_status ciommu_unit_wait(struct ciommu_unit *unit);

/* Drains if an earlier end of a change timed out and none since then did not: for promises about
 * everything before. Outside the table lock. */
enum ciommu_status ciommu_unit_make_up(struct ciommu_unit *unit, uint32_t *port_id);

#endif
