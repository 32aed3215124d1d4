/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * message_bench.h - a unit with memory for an interrupt-remapping table, two ports, and devices
 * with message stores. Tables and messages are built here by hand and share no code with the
 * engine.
 */
#ifndef PROBE_MESSAGE_BENCH_H
#define PROBE_MESSAGE_BENCH_H

#include "message_probe.h"
#include "ciommu_interrupts.h"

#include <pthread.h>

#define BENCH_SOURCE 0x1a3bu /* a whole device; bus 0x1a */
#define BENCH_SHARED 0x2000u /* a parent and a slice */
#define BENCH_SLICE_FIRST 16u
#define BENCH_SLICE_LAST 31u
#define BENCH_ENTRIES 4u             /* of a store */
#define BENCH_RAM UINT64_C(0x200000) /* output address; a table of 2^16 entries fits */
#define BENCH_RAM_BYTES UINT64_C(0x100000)
#define BENCH_TABLE BENCH_RAM
#define BENCH_EIME UINT64_C(0x800)

struct message_bench {
    struct probe_message_result *result;
    struct ciommu_memory *memory;
    struct ciommu_unit *unit;
    struct ciommu_port *port;  /* of the caller */
    struct ciommu_port *other; /* whose sections others wait for */
    unsigned char *ram;
    struct ciommu_device *whole;
    struct ciommu_device *parent;
    struct ciommu_device *slice;
    struct ciommu_message_store *store; /* of `whole` */
    struct ciommu_message_store *parents;
    struct ciommu_message_store *slices;
};

/* One case: `bench` is made and unmade around it. */
struct message_case {
    const char *name;
    void (*run)(struct message_bench *bench);
    uint64_t ecap_without; /* bits of ECAP that the unit lacks */
    bool patient;          /* drains wait; otherwise an open section times out at once */
};

#define EXPECT(bench, condition)                                                                   \
    message_expect((bench), (condition), #condition, __FILE__, __LINE__, 0)
/* With a number that tells one round from another. */
#define EXPECT_AT(bench, condition, at)                                                            \
    message_expect((bench), (condition), #condition, __FILE__, __LINE__, (at))
void message_expect(struct message_bench *bench, bool condition, const char *text, const char *file,
                    int line, uint64_t at);

/* Writes an entry of the table. */
void bench_put(struct message_bench *bench, uint32_t index, uint64_t low, uint64_t high);

/* Latches a table of 2^(size + 1) entries at BENCH_TABLE, enabled. */
void bench_table(struct message_bench *bench, uint64_t size, bool eime, bool compatibility);

/* The address of a message in remappable format. */
uint64_t bench_message(uint32_t handle, bool shv);

/* Remaps inside a section. */
struct ciommu_interrupt bench_remap(struct message_bench *bench, uint32_t source, uint64_t address,
                                    uint32_t data);
/* The code of the fault that it comes to, or 0. */
uint32_t bench_code(struct message_bench *bench, uint32_t source, uint64_t address, uint32_t data);

/* Faults in the port's ring; `*last` is the last of them. */
uint32_t bench_recorded(struct message_bench *bench, struct ciommu_fault *last);

/* What raising an entry comes to; `*data` (may be NULL) of what is delivered. */
uint32_t bench_raise(struct message_bench *bench, struct ciommu_message_store *store,
                     uint32_t index, uint32_t pasid, uint32_t *data);

/* An entry of `store` for a PASID, programmed with data 0x100 + its index, perhaps armed. */
uint32_t bench_entry(struct message_bench *bench, struct ciommu_message_store *store,
                     uint32_t pasid, bool armed);

struct ciommu_message_info bench_info(const struct ciommu_message_store *store, uint32_t index);

struct ciommu_device *bench_device(struct message_bench *bench, uint64_t id, uint32_t source,
                                   uint32_t share, uint32_t first, uint32_t last);
struct ciommu_message_store *bench_store(struct message_bench *bench, struct ciommu_device *device,
                                         uint32_t entries);

extern const struct message_case message_remap_cases[];
extern const uint32_t message_remap_count;
extern const struct message_case message_table_cases[];
extern const uint32_t message_table_count;
extern const struct message_case message_state_cases[];
extern const uint32_t message_state_count;
extern const struct message_case message_pasid_cases[];
extern const uint32_t message_pasid_count;
extern const struct message_case message_slot_cases[];
extern const uint32_t message_slot_count;

#endif
