/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * gap_pools.c - numbers, tags, pages and places that run out or begin anew.
 */
#include "gap.h"
#include "tlb_round.h"
#include "unit.h"

#include <string.h>

#define RW (CIOMMU_READ | CIOMMU_WRITE)
#define REFUSED(world, call) EXPECT((world), (call) == CIOMMU_INVALID_ARGUMENT)

struct gap_beside gap_beside_make(struct inject_world *world, uint32_t iotlb_entries,
                                  uint64_t table_pages, uint64_t drain_timeout) {
    struct gap_beside beside = {NULL, NULL, NULL};
    const struct ciommu_device_config whole = {
        .size = sizeof whole, .source = INJECT_WHOLE, .id = 1, .share = CIOMMU_SHARE_WHOLE};
    struct ciommu_unit_config config;
    ciommu_unit_config_init(&config);
    config.iotlb_entries = iotlb_entries;
    config.table_pages = table_pages;
    config.drain_timeout = drain_timeout;
    config.pool_ports = 0;
    EXPECT(world, ciommu_unit_create(&config, world->memory, &beside.unit) == CIOMMU_OK);
    EXPECT(world, ciommu_port_create(beside.unit, &beside.port) == CIOMMU_OK);
    EXPECT(world, ciommu_device_create(beside.unit, NULL, &whole, &beside.device) == CIOMMU_OK);
    return beside;
}

void gap_beside_end(struct inject_world *world, struct gap_beside *beside) {
    EXPECT(world, ciommu_device_destroy(beside->device, NULL) == CIOMMU_OK);
    EXPECT(world, ciommu_port_destroy(beside->port) == CIOMMU_OK);
    EXPECT(world, ciommu_unit_destroy(beside->unit) == CIOMMU_OK);
}

static struct ciommu_domain *make_paging(struct inject_world *world, struct ciommu_unit *unit) {
    struct ciommu_paging_config config;
    struct ciommu_domain *domain = NULL;
    ciommu_paging_config_init(&config);
    EXPECT(world, ciommu_paging_create(unit, &config, &domain) == CIOMMU_OK);
    return domain;
}

static void map(struct inject_world *world, struct ciommu_domain *domain, uint64_t address) {
    const struct ciommu_mapping mapping = {.size = sizeof mapping,
                                           .rights = RW,
                                           .iova = INJECT_IOVA,
                                           .length = INJECT_PAGE,
                                           .address = address};
    EXPECT(world, ciommu_domain_map(domain, &mapping) == CIOMMU_OK);
}

static bool leads_to(struct gap_beside *beside, uint64_t address) {
    struct ciommu_result result = {.size = sizeof result};
    return ciommu_translate(beside->unit, beside->port, INJECT_WHOLE, CIOMMU_NO_PASID, INJECT_IOVA,
                            CIOMMU_READ, 0, &result) == CIOMMU_OK &&
           result.outcome == CIOMMU_TRANSLATED_OK && result.address == address;
}

/* ---- Domains ---- */

static void domains_without_pages(struct inject_world *world) {
    struct gap_beside beside = gap_beside_make(world, 0, 0, 1000000);
    struct ciommu_paging_config config;
    struct ciommu_domain *domain = NULL;
    const struct ciommu_nested_config nested = {
        .size = sizeof nested, .address_width = 48, .pgtbl_addr = INJECT_RAM};
    ciommu_paging_config_init(&config);
    EXPECT(world, ciommu_paging_create(beside.unit, &config, &domain) == CIOMMU_NO_MEMORY);
    REFUSED(world, ciommu_paging_create(NULL, &config, &domain));
    REFUSED(world, ciommu_paging_create(beside.unit, NULL, &domain));
    REFUSED(world, ciommu_paging_create(beside.unit, &config, NULL));
    REFUSED(world, ciommu_nested_create(NULL, &nested, &domain));
    REFUSED(world, ciommu_nested_create(world->mapped, NULL, &domain));
    REFUSED(world, ciommu_nested_create(world->mapped, &nested, NULL));
    config.size = 4;
    REFUSED(world, ciommu_paging_create(beside.unit, &config, &domain));
    EXPECT(world, domain == NULL && beside.unit->domains.count == 0);
    gap_beside_end(world, &beside);
}

/* The last number of a host's domain is dealt out, then the first one again. */
static void numbers_of_domains_begin_anew(struct inject_world *world) {
    struct gap_beside beside = gap_beside_make(world, 0, 64, 1000000);
    uint32_t first = beside.unit->domains.next_id;
    beside.unit->domains.next_id = CIOMMU_ANY - 1;
    struct ciommu_domain *last = make_paging(world, beside.unit);
    struct ciommu_domain *again = make_paging(world, beside.unit);
    EXPECT(world, last->id == CIOMMU_ANY - 1 && again->id == first);
    map(world, last, INJECT_RAM);
    map(world, again, INJECT_RAM + INJECT_PAGE);
    EXPECT(world, ciommu_device_attach(beside.device, CIOMMU_NO_PASID, last) == CIOMMU_OK);
    EXPECT(world, leads_to(&beside, INJECT_RAM));
    EXPECT(world, ciommu_device_detach(beside.device, NULL, CIOMMU_NO_PASID) == CIOMMU_OK);
    EXPECT(world, ciommu_device_attach(beside.device, CIOMMU_NO_PASID, again) == CIOMMU_OK);
    EXPECT(world, leads_to(&beside, INJECT_RAM + INJECT_PAGE));
    EXPECT(world, ciommu_device_detach(beside.device, NULL, CIOMMU_NO_PASID) == CIOMMU_OK);
    EXPECT(world, ciommu_domain_destroy(last) == CIOMMU_OK);
    EXPECT(world, ciommu_domain_destroy(again) == CIOMMU_OK);
    gap_beside_end(world, &beside);
}

/* The tags are used up when a domain is made: all get new ones, with an IOTLB and without. */
static void tags_begin_anew(struct inject_world *world) {
    for (uint32_t entries = 0; entries <= 64; entries += 64) {
        struct gap_beside beside = gap_beside_make(world, entries, 64, 1000000);
        struct ciommu_domain *old = make_paging(world, beside.unit);
        map(world, old, INJECT_RAM);
        EXPECT(world, ciommu_device_attach(beside.device, CIOMMU_NO_PASID, old) == CIOMMU_OK);
        EXPECT(world, leads_to(&beside, INJECT_RAM));
        beside.unit->spaces.next_tag = IOTLB_TAG_MAX + 1;
        struct ciommu_domain *young = make_paging(world, beside.unit);
        EXPECT(world, beside.unit->spaces.next_tag == 3);
        EXPECT(world, (uint32_t)old->space->tag == 1 && (uint32_t)young->space->tag == 2);
        EXPECT(world, leads_to(&beside, INJECT_RAM));
        EXPECT(world, ciommu_device_detach(beside.device, NULL, CIOMMU_NO_PASID) == CIOMMU_OK);
        EXPECT(world, !leads_to(&beside, INJECT_RAM));
        EXPECT(world, ciommu_domain_destroy(old) == CIOMMU_OK);
        EXPECT(world, ciommu_domain_destroy(young) == CIOMMU_OK);
        gap_beside_end(world, &beside);
    }
}

/* ---- PASIDs ---- */

/* Everything behind the place where the search begins is taken, word for word to the end. */
static void the_search_begins_anew(struct inject_world *world) {
    const uint32_t first = 0x2000;
    struct ciommu_namespace *space = NULL;
    EXPECT(world, ciommu_namespace_create(world->unit, first, first + 4095, &space) == CIOMMU_OK);
    for (uint32_t pasid = 4095; pasid >= 64; pasid--) {
        uint32_t host = first + pasid;
        EXPECT(world, ciommu_namespace_bind(space, pasid, &host) == CIOMMU_OK);
    }
    for (uint32_t pasid = 0; pasid < 64; pasid++) {
        uint32_t host = CIOMMU_NO_PASID;
        EXPECT(world, ciommu_namespace_bind(space, pasid, &host) == CIOMMU_OK);
        EXPECT(world, host == first + pasid);
    }
    uint32_t host = CIOMMU_NO_PASID;
    EXPECT(world, ciommu_namespace_bind(space, 5000, &host) == CIOMMU_NO_SPACE);
    ciommu_namespace_destroy(space);
}

/* More room is needed while a section may still use a PASID that was unbound. */
static void quarantine_grows(struct inject_world *world) {
    struct gap_beside beside = gap_beside_make(world, 0, 64, 1000);
    struct ciommu_namespace *space = NULL;
    uint32_t old = CIOMMU_NO_PASID;
    EXPECT(world, ciommu_namespace_create(beside.unit, 0x100, 0x1ff, &space) == CIOMMU_OK);
    EXPECT(world, ciommu_namespace_bind(space, 0, &old) == CIOMMU_OK);
    struct ciommu_port *other = NULL;
    EXPECT(world, ciommu_port_create(beside.unit, &other) == CIOMMU_OK);
    ciommu_port_enter(other);
    EXPECT(world, ciommu_namespace_unbind(space, beside.port, 0) == CIOMMU_TIMED_OUT);
    for (uint32_t guest = 1; guest <= 40; guest++) {
        uint32_t host = guest == 20 ? old : CIOMMU_NO_PASID;
        enum ciommu_status status = ciommu_namespace_bind(space, guest, &host);
        EXPECT(world, status == (guest == 20 ? CIOMMU_OCCUPIED : CIOMMU_OK));
        EXPECT(world, guest == 20 || host != old);
    }
    ciommu_port_leave(other);
    EXPECT(world, ciommu_namespace_bind(space, 20, &old) == CIOMMU_OK);
    EXPECT(world, ciommu_namespace_host(space, 20) == old);
    ciommu_namespace_destroy(space);
    EXPECT(world, ciommu_port_destroy(other) == CIOMMU_OK);
    gap_beside_end(world, &beside);
}

/* ---- Device-TLBs ---- */

/* More are meant than one round has room for: each is asked once. */
static void rounds_are_full(struct inject_world *world) {
    enum { MOST = 2 * TLB_ROUND_MOST + 3 };
    static struct ciommu_device_tlb *tlbs[MOST];
    const struct ciommu_invalidation what = {
        .size = sizeof what,
        .kind = CIOMMU_INVALIDATE_DEVICE_TLB,
        .pasid = 5,
        .source = CIOMMU_ANY,
        .last = UINT64_MAX,
    };
    for (uint32_t number = 0; number < MOST; number++) {
        const struct ciommu_device_tlb_config config = inject_tlb_config(world, 0x1000 + number);
        EXPECT(world, ciommu_device_tlb_create(world->unit, &config, &tlbs[number]) == CIOMMU_OK);
    }
    EXPECT(world, ciommu_invalidate(world->unit, world->port, &what) == CIOMMU_OK);
    for (uint32_t number = 0; number < MOST; number++) {
        struct ciommu_device_tlb_statistics counts = {.size = sizeof counts};
        ciommu_device_tlb_read_statistics(tlbs[number], &counts);
        EXPECT(world, counts.requests == 1);
        EXPECT(world, ciommu_device_tlb_destroy(tlbs[number], NULL) == CIOMMU_OK);
    }
}

const struct gap_case gap_pool_cases[] = {
    {"domains without pages", domains_without_pages},
    {"numbers of domains begin anew", numbers_of_domains_begin_anew},
    {"tags begin anew", tags_begin_anew},
    {"the search for a PASID begins anew", the_search_begins_anew},
    {"a quarantine grows", quarantine_grows},
    {"rounds are full", rounds_are_full},
};
const uint32_t gap_pool_count = sizeof gap_pool_cases / sizeof gap_pool_cases[0];
