/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * history_bytes.h - a small world whose every call comes from bytes, on one thread: what its calls
 * did, written down as a history, and its answers.
 *
 * Elements: ranges of the memory map; what is attached to a (device, PASID); and of each domain
 * ever made, an instance, its pages and whether its guest's tables can be read. A page's state has
 * the output address as its value, a nested page's the number of the parent's page.
 */
#ifndef PROBE_HISTORY_BYTES_H
#define PROBE_HISTORY_BYTES_H

#include "ciommu_invalidation.h"
#include "history.h"

#define BYTES_PAGE UINT64_C(4096)
#define BYTES_IOVA UINT64_C(0x40000000)
#define BYTES_OUTPUT UINT64_C(0x100000000)
#define BYTES_TABLES UINT64_C(0x200000000) /* output address of the guest's tables */
#define BYTES_GUEST UINT64_C(0x7000000000) /* where a nest parent has them */
#define BYTES_TABLE_PAGES 20u
#define BYTES_PAGES 16u   /* input pages that are asked about */
#define BYTES_OUTPUTS 32u /* output pages that may have memory */
#define BYTES_RANGES 8u   /* of the memory map */
#define BYTES_RANGE_PAGES (BYTES_OUTPUTS / BYTES_RANGES)
#define BYTES_DEVICES 2u
#define BYTES_PASIDS 4u /* none, 1, 2, 3 */
#define BYTES_LEAVES 4u /* that a guest writes, of each of its spaces */
#define BYTES_RW (CIOMMU_READ | CIOMMU_WRITE)
#define BYTES_SLICE 2u /* device 0's PASIDs from here on may be a slice */
#define BYTES_NAMES 4u /* guest PASIDs of the namespace, which has one host PASID less */
#define BYTES_FIRST_HOST 64u
#define BYTES_STORED 8u
#define BYTES_HELD 16u
#define BYTES_PENDING 128u
#define BYTES_RECORDS 2048u

/* Instances. */
#define BYTES_BLOCKED 0u
#define BYTES_IDENTITY 1u
#define BYTES_BOUND 2u /* the guest's own PASID table */
#define BYTES_FIRST_MADE 3u
#define BYTES_INSTANCES 10u
#define BYTES_NESTED_MOST 3u

#define BYTES_INSTANCE_ELEMENTS (BYTES_PAGES + 1u)
#define BYTES_BINDINGS BYTES_RANGES /* elements of attachments follow those of memory */
#define BYTES_SPACES (BYTES_BINDINGS + BYTES_DEVICES * BYTES_PASIDS)
#define BYTES_ELEMENTS (BYTES_SPACES + BYTES_INSTANCES * BYTES_INSTANCE_ELEMENTS)

struct bytes_instance {
    struct ciommu_domain *domain; /* NULL: destroyed */
    uint32_t parent;              /* instance; 0: none */
    bool nest_parent;
    uint64_t *leaves; /* of a guest's space: its entries; NULL: none */
    bool first_stage;
};

struct bytes_stored {
    uint32_t pasid; /* number */
    uint32_t page;
    uint64_t address;
    uint32_t rights; /* 0: nothing */
};

/* An answer that may be used until its section ends. */
struct bytes_held {
    const uint64_t *host;
    uint64_t seen;
};

/* What the host knows of the pages that devices have written through a domain. */
struct bytes_dirty {
    bool certain; /* tracked, and nothing was left under way */
    uint64_t pages;
    uint64_t writes; /* of the world, when tracking started */
};

struct bytes_names {
    struct ciommu_namespace *space;
    uint32_t hosts[BYTES_NAMES]; /* 0: not bound */
};

struct bytes_world {
    struct ciommu_memory *memory;
    struct ciommu_unit *unit;
    struct ciommu_port *port;
    struct ciommu_device *devices[BYTES_DEVICES];
    struct ciommu_device *slice; /* of device 0's PASIDs from BYTES_SLICE on */
    struct bytes_names names;
    struct bytes_dirty dirty[BYTES_INSTANCES];
    uint64_t writes;               /* that were granted */
    struct ciommu_device_tlb *tlb; /* of device 0 */
    uint64_t tlb_since;
    bool silent;
    bool ever_silent;
    uint64_t time; /* of the device's clock */
    struct bytes_instance instances[BYTES_INSTANCES];
    uint32_t made; /* instances */
    uint32_t nested;
    unsigned char *ranges[BYTES_RANGES];  /* host memory; NULL: absent */
    unsigned char *old[BYTES_RANGES * 4]; /* replaced or removed, maybe in use */
    uint32_t old_count;
    uint32_t copies;
    unsigned char *tables;
    uint32_t table_pages;
    struct bytes_stored stored[BYTES_STORED];
    struct bytes_stored asked; /* an answer with its token, not stored yet */
    struct ciommu_ats_token token;

    uint32_t depth; /* of sections */
    uint64_t section;
    uint32_t section_answers; /* index of the first record */
    struct bytes_held held[BYTES_HELD];
    uint32_t held_count;
    struct history_record pending[BYTES_PENDING]; /* complete when the section ends */
    uint32_t pending_count;

    struct history_log log;
    struct history_state now[BYTES_ELEMENTS];
    uint64_t clock;
    const char *complaint; /* the first one */
};

/* False: no memory, nothing was made. */
bool bytes_world_create(struct bytes_world *world);
/* Ends everything. The unit itself is put aside, and destroyed with others later: that waits for a
 * grace period. */
void bytes_world_destroy(struct bytes_world *world);

uint32_t bytes_binding(uint32_t device, uint32_t pasid);
uint32_t bytes_element(uint32_t instance, uint32_t page);
/* Whether a parent's mapping of its guest's tables is there. */
uint32_t bytes_tables(uint32_t instance);
/* Writes a guest's entry. */
void bytes_store(struct bytes_world *world, uint32_t instance, uint32_t page, uint64_t value,
                 uint32_t rights);
uint64_t bytes_stamp(uint32_t output, uint32_t copy);
/* Builds a first stage for an instance; its root, an address of the parent. */
uint64_t bytes_first_stage(struct bytes_world *world, uint32_t instance);
/* Output address of the guest's PASID directory. */
uint64_t bytes_directory(void);

void bytes_complain(struct bytes_world *world, const char *what);

/* ---- Writing down ---- */

/* Elements first...last get a state by a host's call that answered `status`; nothing if that
 * refused. `begin` is from bytes_begin. */
uint64_t bytes_begin(struct bytes_world *world);
void bytes_changed(struct bytes_world *world, uint64_t begin, enum ciommu_status status,
                   uint32_t element, uint64_t value, uint32_t rights);
void bytes_covered(struct bytes_world *world, uint64_t begin, enum ciommu_status status,
                   uint32_t first, uint32_t last, uint32_t scope);
void bytes_enter(struct bytes_world *world);
void bytes_leave(struct bytes_world *world);

enum bytes_form { BYTES_MAPPED = 0, BYTES_FAULT, BYTES_NO_HOST, BYTES_UNLOOKED, BYTES_DEVICE_USE };

/* An answer; inside a section it ends with that. */
void bytes_answer(struct bytes_world *world, uint32_t binding, uint32_t page, uint32_t access,
                  enum bytes_form form, const struct ciommu_result *result);

/* Judges all answers. */
enum history_verdict bytes_judge(const struct bytes_world *world,
                                 const struct history_record **wrong);

/* Interprets one call; false at the end of the bytes. */
struct bytes_reader {
    const uint8_t *bytes;
    size_t count;
    size_t at;
};
uint32_t bytes_take(struct bytes_reader *reader);
/* Arguments: rights; the caller's port, or none; an instance; the PASID of a number. */
uint32_t bytes_rights(uint32_t byte);
struct ciommu_port *bytes_port(struct bytes_world *world, uint32_t byte);
uint32_t bytes_instance(const struct bytes_world *world, struct bytes_reader *reader);
uint32_t bytes_pasid(uint32_t number);
/* Inside a section a call that was told of the port is refused. */
void bytes_check_section(struct bytes_world *world, const struct ciommu_port *port,
                         enum ciommu_status status);
/* Nothing is attached to it any more. What a slice owns stays. */
void bytes_forget_device(struct bytes_world *world, uint64_t begin, enum ciommu_status status,
                         uint32_t device);
bool bytes_step(struct bytes_world *world, struct bytes_reader *reader);
/* Domains and mappings. */
void bytes_make_domain(struct bytes_world *world, struct bytes_reader *reader);
void bytes_destroy_domain(struct bytes_world *world, struct bytes_reader *reader);
void bytes_map(struct bytes_world *world, struct bytes_reader *reader);
void bytes_unmap(struct bytes_world *world, struct bytes_reader *reader);
void bytes_protect(struct bytes_world *world, struct bytes_reader *reader);
void bytes_track(struct bytes_world *world, struct bytes_reader *reader);
/* Devices, and the guest. */
void bytes_change_device(struct bytes_world *world, struct bytes_reader *reader);
void bytes_attach(struct bytes_world *world, struct bytes_reader *reader);
void bytes_bind(struct bytes_world *world, struct bytes_reader *reader);
void bytes_guest_write(struct bytes_world *world, struct bytes_reader *reader);
void bytes_invalidate_nested(struct bytes_world *world, struct bytes_reader *reader);
void bytes_describe(struct bytes_world *world, struct bytes_reader *reader);
void bytes_invalidate(struct bytes_world *world, struct bytes_reader *reader);
/* What else there is. */
void bytes_apply(struct bytes_world *world, struct bytes_reader *reader);
void bytes_name(struct bytes_world *world, struct bytes_reader *reader);
void bytes_slice(struct bytes_world *world, struct bytes_reader *reader);
/* Who attaches a PASID's domain. */
struct ciommu_device *bytes_owner(const struct bytes_world *world, uint32_t device, uint32_t pasid);
/* A write to a page was granted. */
void bytes_wrote(struct bytes_world *world, uint32_t binding, uint32_t page,
                 const struct ciommu_result *result);
/* Memory and the unit. */
void bytes_change_memory(struct bytes_world *world, struct bytes_reader *reader);
void bytes_change_unit(struct bytes_world *world, struct bytes_reader *reader);
/* Translations. */
void bytes_translate(struct bytes_world *world, struct bytes_reader *reader);
void bytes_translate_many(struct bytes_world *world, struct bytes_reader *reader);
void bytes_copy(struct bytes_world *world, struct bytes_reader *reader);
/* Device-TLB of device 0. */
void bytes_ats(struct bytes_world *world, struct bytes_reader *reader);
/* Asks every page of every attachment. */
void bytes_sweep(struct bytes_world *world);

#endif
