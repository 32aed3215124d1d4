/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * unit.c - making and ending units and ports, the registers that matter, reset, statistics.
 */
#include "invalidate.h"
#include "alloc.h"
#include "audit.h"
#include "tlb_ask.h"
#include "walk.h"

#include <assert.h>
#include <string.h>

#define IOTLB_MOST (1u << 26)
#define PORT_CACHE_MOST (1u << 16)
#define POOL_MOST (1u << 20)
#define PORTS_MOST 4096u

static_assert(2 * POOL_MOST + 1 < WALK_KEY_SPACES, "a walk-cache entry names any space of a pool");

static bool is_power_of_two(uint32_t value) {
    return value != 0 && (value & (value - 1)) == 0;
}

static bool is_cache_size(uint32_t entries) {
    return entries == 0 || (is_power_of_two(entries) && entries <= PORT_CACHE_MOST);
}

static enum ciommu_status check_config(const struct ciommu_unit_config *config) {
    if (config == NULL || config->size < sizeof *config || config->layout != CIOMMU_LAYOUT) {
        return CIOMMU_INVALID_ARGUMENT;
    }
    bool iotlb = config->iotlb_entries == 0 ||
                 (is_power_of_two(config->iotlb_entries) && config->iotlb_entries >= IOTLB_WAYS &&
                  config->iotlb_entries <= IOTLB_MOST);
    bool port_caches =
        is_cache_size(config->first_level_entries) && is_cache_size(config->walk_cache_entries);
    bool pools = config->bindings <= POOL_MOST && config->spaces <= POOL_MOST &&
                 config->domains <= POOL_MOST;
    bool ports =
        config->ports >= 1 && config->ports <= PORTS_MOST && config->pool_ports <= config->ports;
    bool faults = is_power_of_two(config->fault_entries) && config->fault_entries >= 2 &&
                  config->fault_entries <= PORT_CACHE_MOST;
    if (!iotlb || !port_caches || !pools || !ports || !faults ||
        (config->flags & ~CIOMMU_UNIT_NO_WIDE_LOADS) != 0) {
        return CIOMMU_INVALID_ARGUMENT;
    }
    const char *contradiction = ciommu_capabilities_check(
        config->cap, config->ecap, config->revision, config->host_address_width);
    return contradiction == NULL ? CIOMMU_OK : CIOMMU_INCONSISTENT;
}

/* ---- What the memory map asks of a unit ---- */

static struct ciommu_unit *unit_of(struct memory_user *user) {
    return caa_container_of(user, struct ciommu_unit, memory_user);
}

static enum ciommu_status memory_changed(struct memory_user *user) {
    struct ciommu_unit *unit = unit_of(user);
    (void)add_seq_cst(&unit->mapgen, 1);
    return ciommu_unit_settle(unit, NULL);
}

/* Sections, and the dirty reports that follow them (port.h: Reports). */
static enum ciommu_status memory_drain(struct memory_user *user) {
    struct ciommu_unit *unit = unit_of(user);
    enum ciommu_status sections = ciommu_unit_settle(unit, NULL);
    enum ciommu_status reports =
        MUTANT(QUIESCE_SKIPPED) ? CIOMMU_OK : ciommu_ports_quiesce(&unit->ports);
    return sections != CIOMMU_OK ? sections : reports;
}

static enum ciommu_status memory_quiesce(struct memory_user *user) {
    return ciommu_ports_quiesce(&unit_of(user)->ports);
}

/* ---- Life ---- */

static void free_unit(struct ciommu_unit *unit) {
    ciommu_events_fini(&unit->events);
    ciommu_pages_fini(&unit->pages);
    ciommu_submissions_fini(&unit->submissions);
    ciommu_devices_fini(&unit->devices);
    ciommu_device_tlbs_fini(&unit->tlbs);
    ciommu_faults_fini(&unit->faults);
    ciommu_rcu_wait(&unit->bindings.deferrals); /* an eviction retires spaces, so bindings first */
    ciommu_rcu_wait(&unit->spaces.deferrals);
    ciommu_domains_fini(unit);
    for (uint32_t slot = 0; slot < unit->ports.count; slot++) {
        ciommu_port_free(unit->ports.slots[slot]);
    }
    ciommu_free(unit->ports.slots);
    ciommu_bindings_fini(&unit->bindings);
    ciommu_spaces_fini(&unit->spaces);
    ciommu_iotlb_fini(&unit->iotlb);
    pthread_mutex_destroy(&unit->table_lock);
    pthread_mutex_destroy(&unit->ports_lock);
    pthread_mutex_destroy(&unit->observers_lock);
    pthread_mutex_destroy(&unit->namespaces_lock);
    ciommu_free(unit);
}

/* A new slot, published. ports_lock, or before the unit is known. */
static struct ciommu_port *add_port(struct ciommu_unit *unit) {
    uint32_t slot = unit->ports.count;
    if (slot == unit->ports.limit) {
        return NULL;
    }
    struct ciommu_port *port = ciommu_port_allocate(unit, &unit->ugen, slot, &unit->port_sizes);
    if (port != NULL) {
        store_release(&unit->ports.slots[slot], port);
        store_seq_cst(&unit->ports.count,
                      slot + 1); /* before the port's first enter; pairs with the drain */
    }
    return port;
}

static enum ciommu_status fill_unit(struct ciommu_unit *unit,
                                    const struct ciommu_unit_config *config) {
    bool portable = (config->flags & CIOMMU_UNIT_NO_WIDE_LOADS) != 0;
    enum ciommu_status status = ciommu_iotlb_init(&unit->iotlb, config->iotlb_entries, portable);
    if (status == CIOMMU_OK) {
        status = ciommu_spaces_init(&unit->spaces, config->spaces, config->domains, &unit->iotlb,
                                    &unit->table_lock);
    }
    if (status == CIOMMU_OK) {
        uint32_t bindings = config->spaces == 0 ? 0 : config->bindings;
        status = ciommu_bindings_init(&unit->bindings, bindings, &unit->spaces, &unit->table_lock);
    }
    if (status == CIOMMU_OK) {
        status = ciommu_domains_init(unit, config->table_pages);
    }
    unit->ports.slots = ciommu_allocate(CACHE_LINE, config->ports * sizeof(struct ciommu_port *));
    if (status != CIOMMU_OK || unit->ports.slots == NULL) {
        return CIOMMU_NO_MEMORY;
    }
    for (uint32_t slot = 0; slot < config->pool_ports; slot++) {
        if (add_port(unit) == NULL) {
            return CIOMMU_NO_MEMORY;
        }
    }
    return CIOMMU_OK;
}

/* Implementation: numbers repeat after 2^32 - 1 units. */
static uint32_t next_number(void) {
    static uint32_t numbers;
    uint32_t number = add_relaxed(&numbers, 1) + 1;
    return number != 0 ? number : add_relaxed(&numbers, 1) + 1;
}

enum ciommu_status ciommu_unit_create(const struct ciommu_unit_config *config,
                                      struct ciommu_memory *memory, struct ciommu_unit **out) {
    enum ciommu_status status = check_config(config);
    if (status != CIOMMU_OK || memory == NULL || out == NULL) {
        return status != CIOMMU_OK ? status : CIOMMU_INVALID_ARGUMENT;
    }
    struct ciommu_unit *unit = ciommu_allocate(CACHE_LINE, sizeof *unit);
    if (unit == NULL) {
        return CIOMMU_NO_MEMORY;
    }
    unit->number = next_number();
    unit->caps =
        ciommu_vtd_caps(config->cap, config->ecap, config->revision, config->host_address_width);
    unit->wide = processor_has_wide_loads() && (config->flags & CIOMMU_UNIT_NO_WIDE_LOADS) == 0;
    unit->memory = memory;
    unit->port_sizes = (struct port_sizes){config->first_level_entries, config->walk_cache_entries,
                                           config->fault_entries};
    unit->pool_ports = config->pool_ports;
    unit->ports.limit = config->ports;
    unit->ports.timeout = config->drain_timeout;
    unit->memory_user = (struct memory_user){NULL, memory_changed, memory_drain, memory_quiesce};
    pthread_mutex_init(&unit->table_lock, NULL);
    pthread_mutex_init(&unit->ports_lock, NULL);
    pthread_mutex_init(&unit->observers_lock, NULL);
    pthread_mutex_init(&unit->namespaces_lock, NULL);
    ciommu_device_tlbs_init(&unit->tlbs);
    ciommu_submissions_init(&unit->submissions);
    ciommu_events_init(&unit->events);
    ciommu_faults_init(&unit->faults);
    ciommu_pages_init(&unit->pages);
    status = fill_unit(unit, config);
    if (status != CIOMMU_OK) {
        free_unit(unit);
        return status;
    }
    ciommu_memory_join(memory, &unit->memory_user);
    *out = unit;
    return CIOMMU_OK;
}

enum ciommu_status ciommu_unit_destroy(struct ciommu_unit *unit) {
    if (unit == NULL) {
        return CIOMMU_OK;
    }
    for (uint32_t slot = 0; slot < unit->ports.count; slot++) {
        if ((load_acquire(&unit->ports.slots[slot]->head.state) & 1) != 0) {
            return CIOMMU_IN_USE;
        }
    }
    pthread_mutex_lock(&unit->table_lock);
    bool used = unit->devices.count != 0 || unit->domains.count != 0 || unit->tlbs.count != 0 ||
                faults_have_queues(&unit->faults);
    pthread_mutex_unlock(&unit->table_lock);
    if (used || ciommu_pages_used(unit)) {
        return CIOMMU_IN_USE;
    }
    ciommu_audit(ciommu_audit_unit(unit));
    ciommu_memory_part(unit->memory, &unit->memory_user);
    for (struct observer *node = unit->observers, *next; node != NULL; node = next) {
        next = node->next;
        ciommu_free(node);
    }
    free_unit(unit);
    return CIOMMU_OK;
}

enum ciommu_status ciommu_port_create(struct ciommu_unit *unit, struct ciommu_port **out) {
    if (unit == NULL || out == NULL) {
        return CIOMMU_INVALID_ARGUMENT;
    }
    enum ciommu_status status = CIOMMU_OK;
    struct ciommu_port *port = NULL;
    pthread_mutex_lock(&unit->ports_lock);
    for (uint32_t slot = unit->pool_ports; slot < unit->ports.count && port == NULL; slot++) {
        if (unit->ports.slots[slot]->taken == 0) {
            port = unit->ports.slots[slot];
            ciommu_port_recycle(port);
        }
    }
    if (port == NULL) {
        status = unit->ports.count == unit->ports.limit ? CIOMMU_NO_PORT : CIOMMU_NO_MEMORY;
        port = add_port(unit);
    }
    if (port != NULL) {
        port->taken = 1;
        *out = port;
        status = CIOMMU_OK;
    }
    pthread_mutex_unlock(&unit->ports_lock);
    return status;
}

enum ciommu_status ciommu_port_destroy(struct ciommu_port *port) {
    if (port == NULL) {
        return CIOMMU_OK;
    }
    if (port_is_inside(port)) {
        return CIOMMU_IN_SECTION;
    }
    pthread_mutex_lock(&port->unit->ports_lock);
    port->taken = 0;
    pthread_mutex_unlock(&port->unit->ports_lock);
    return CIOMMU_OK;
}

/* ---- Registers ---- */

/* Everything that was bound or cached goes. Table lock. */
static void drop_everything(struct ciommu_unit *unit) {
    struct ciommu_invalidation what = {
        .size = sizeof what,
        .kind = CIOMMU_INVALIDATE_CONTEXT,
        .domain = CIOMMU_ANY,
        .pasid = CIOMMU_ANY,
        .source = CIOMMU_ANY,
        .last = UINT64_MAX,
    };
    ciommu_unit_change_tables(unit, &what);
}

/* Changes what `root` and `enabled` say; NULL = leave. */
static enum ciommu_status set_registers(struct ciommu_unit *unit, const uint64_t *root,
                                        const bool *enabled, bool reset) {
    struct departures departures = {0};
    const struct tlb_target target = {.kind = reset ? TLB_OF_UNIT : TLB_OF_NOTHING};
    struct page_target pages = {.nothing = !reset, .everybody = true, .everywhere = true};
    if (ports_wait_for_caller(&unit->ports, NULL)) {
        return CIOMMU_IN_SECTION;
    }
    pthread_mutex_lock(&unit->table_lock);
    ciommu_unit_begin_table_change(unit);
    if (reset) {
        ciommu_devices_clear(&unit->devices, &departures);
        store_seq_cst(&unit->interrupt_table, 0);
        pages.last = unit->tlbs.serial;
    }
    if (root != NULL) {
        store_seq_cst(&unit->root, *root);
    }
    if (enabled != NULL) {
        store_seq_cst(&unit->enabled, *enabled ? 1u : 0u);
    }
    ciommu_unit_finish_table_change(unit);
    drop_everything(unit);
    pthread_mutex_unlock(&unit->table_lock);
    enum ciommu_status status = ciommu_departures_end(unit, &departures, &target, &pages);
    if (reset) {
        ciommu_audit(ciommu_audit_unit(unit));
    }
    return status;
}

enum ciommu_status ciommu_unit_set_root(struct ciommu_unit *unit, uint64_t rtaddr) {
    return unit == NULL ? CIOMMU_INVALID_ARGUMENT : set_registers(unit, &rtaddr, NULL, false);
}

enum ciommu_status ciommu_unit_set_translation(struct ciommu_unit *unit, bool enabled) {
    return unit == NULL ? CIOMMU_INVALID_ARGUMENT : set_registers(unit, NULL, &enabled, false);
}

enum ciommu_status ciommu_unit_reset(struct ciommu_unit *unit) {
    const uint64_t root = 0;
    const bool enabled = false;
    return unit == NULL ? CIOMMU_INVALID_ARGUMENT : set_registers(unit, &root, &enabled, true);
}

enum ciommu_status ciommu_unit_drain(struct ciommu_unit *unit, uint32_t *port_id) {
    return unit == NULL ? CIOMMU_INVALID_ARGUMENT : ciommu_tlbs_drain(unit, port_id);
}

/* ---- Statistics ---- */

static void add_port_statistics(const struct ciommu_port *port, struct ciommu_statistics *sum) {
    uint64_t hits = load_relaxed(&port->head.hits);
    sum->lookups += hits + load_relaxed(&port->lookups_slow);
    sum->first_level_hits += hits;
    sum->iotlb_hits += load_relaxed(&port->iotlb_hits);
    sum->walks += load_relaxed(&port->page_walks);
    sum->faults += load_relaxed(&port->faults);
    sum->faults_lost += load_relaxed(&port->ring.lost);
    sum->faults_orphaned += load_relaxed(&port->orphans);
    sum->binding_walks += load_relaxed(&port->binding_walks);
    sum->uncached += load_relaxed(&port->uncached);
}

void ciommu_unit_statistics(struct ciommu_unit *unit, struct ciommu_statistics *out) {
    if (unit == NULL || out == NULL) {
        return;
    }
    struct ciommu_statistics sum = {.size = sizeof sum};
    pthread_mutex_lock(&unit->ports_lock);
    for (uint32_t slot = 0; slot < unit->ports.count; slot++) {
        const struct ciommu_port *port = unit->ports.slots[slot];
        sum.ports += slot < unit->pool_ports || port->taken != 0;
        add_port_statistics(port, &sum);
    }
    pthread_mutex_unlock(&unit->ports_lock);
    pthread_mutex_lock(&unit->table_lock);
    sum.bindings = unit->bindings.used;
    sum.spaces = unit->spaces.used + unit->spaces.host_used;
    pthread_mutex_unlock(&unit->table_lock);
    sum.faults_orphaned += load_relaxed(&unit->faults.orphans);
    sum.reclaimed = load_relaxed(&unit->bindings.reclaimed);
    sum.invalidations = load_relaxed(&unit->invalidations);
    sum.drains = load_relaxed(&unit->drains);
    sum.drain_timeouts = load_relaxed(&unit->drain_timeouts);
    uint32_t size = out->size;
    memcpy(out, &sum, size < sizeof sum ? size : sizeof sum);
    out->size = size;
}
