/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * domain.c - making and ending domains. Their mappings are in domain_map.c, dirty tracking in
 * domain_dirty.c.
 */
#include "domain.h"
#include "alloc.h"
#include "audit.h"
#include "invalidate.h"
#include "shape_vtd.h"
#include "tlb_ask.h"

#include <string.h>

#define PAGE_MASK UINT64_C(4095)

/* Execution: FORMATS-IOMMUFD 3.1 has no flag for ERE. Choice: a revision 3 unit then refuses
 * requests for instructions, as an entry with ERE = 0 does. */
static struct resolved resolved_to(const struct ciommu_unit *unit, struct ciommu_space *space,
                                   bool supervisor, bool identity) {
    return (struct resolved){
        .space = space,
        .birth = space == NULL ? 0 : space->birth,
        .domain = space == NULL ? 0 : space->shape.domain,
        .supervisor_allowed = supervisor,
        .execute_allowed = identity || unit->caps.revision != CIOMMU_VTD_3,
        .device_tlb = unit->caps.device_tlb,
        .legacy = !unit->caps.scalable,
    };
}

enum ciommu_status ciommu_domains_init(struct ciommu_unit *unit, uint64_t table_pages) {
    struct domains *domains = &unit->domains;
    enum ciommu_status status = ciommu_page_store_init(&domains->pages, table_pages);
    if (status != CIOMMU_OK) {
        return status;
    }
    struct ciommu_space *identity = &unit->spaces.pool[0];
    domains->blocked = (struct ciommu_domain){.kind = CIOMMU_DOMAIN_BLOCKED, .unit = unit};
    domains->identity = (struct ciommu_domain){
        .kind = CIOMMU_DOMAIN_IDENTITY,
        .unit = unit,
        .space = identity,
        .resolved = resolved_to(unit, identity, true, true),
    };
    domains->next_id = HOST_DOMAIN_FIRST;
    return CIOMMU_OK;
}

void ciommu_domains_fini(struct ciommu_unit *unit) {
    ciommu_rcu_wait(&unit->domains.pages.deferrals);
    ciommu_page_store_fini(&unit->domains.pages);
}

struct ciommu_domain *ciommu_domain_blocked(struct ciommu_unit *unit) {
    return unit == NULL ? NULL : &unit->domains.blocked;
}

struct ciommu_domain *ciommu_domain_identity(struct ciommu_unit *unit) {
    return unit == NULL ? NULL : &unit->domains.identity;
}

enum ciommu_domain_kind ciommu_domain_kind(const struct ciommu_domain *domain) {
    return domain->kind;
}

uint32_t ciommu_domain_id(const struct ciommu_domain *domain) {
    return domain->id;
}

/* ---- Making ---- */

/* Ids are dealt out in turn; one comes again after 2^32 - 2^16 others, and one that is then still
 * in use only shares invalidations by number. */
static uint32_t next_id(struct domains *domains) {
    uint32_t id = domains->next_id++;
    if (domains->next_id == CIOMMU_ANY) {
        domains->next_id = HOST_DOMAIN_FIRST;
    }
    return id;
}

/* Table lock. */
static void add_child(struct ciommu_domain *parent, struct ciommu_domain *child) {
    child->serial = ++parent->unit->tlbs.serial;
    child->older = parent->newest_child;
    child->newer = NULL;
    if (child->older != NULL) {
        child->older->newer = child;
    }
    parent->newest_child = child;
    parent->children++;
}

static void remove_child(struct ciommu_domain *parent, struct ciommu_domain *child) {
    *(child->newer != NULL ? &child->newer->older : &parent->newest_child) = child->older;
    if (child->older != NULL) {
        child->older->newer = child->newer;
    }
    parent->children--;
}

/* Gives a domain its space and makes it known. */
static enum ciommu_status try_publish(struct ciommu_domain *domain, struct space_shape *shape) {
    struct ciommu_unit *unit = domain->unit;
    struct ciommu_domain *parent = domain->parent;
    pthread_mutex_lock(&unit->table_lock);
    domain->id = parent == NULL ? next_id(&unit->domains) : parent->id;
    shape->domain = domain->id;
    domain->space = ciommu_spaces_make(&unit->spaces, shape, parent == NULL ? NULL : parent->space);
    if (domain->space != NULL) {
        unit->domains.count++;
        if (parent != NULL) {
            add_child(parent, domain);
        }
    }
    pthread_mutex_unlock(&unit->table_lock);
    return domain->space == NULL ? CIOMMU_NO_SPACE : CIOMMU_OK;
}

/* Spaces of domains that were destroyed a moment ago come back after a grace period; it is waited
 * for only when there is no other. */
static enum ciommu_status publish(struct ciommu_domain *domain, struct space_shape *shape) {
    enum ciommu_status status = try_publish(domain, shape);
    if (status == CIOMMU_NO_SPACE) {
        ciommu_rcu_barrier();
        status = try_publish(domain, shape);
    }
    return status;
}

static struct ciommu_domain *allocate(struct ciommu_unit *unit, enum ciommu_domain_kind kind) {
    struct ciommu_domain *domain = ciommu_allocate(CACHE_LINE, sizeof *domain);
    if (domain != NULL && pthread_mutex_init(&domain->lock, NULL) != 0) {
        ciommu_free(domain);
        domain = NULL;
    }
    if (domain != NULL) {
        domain->unit = unit;
        domain->kind = kind;
    }
    return domain;
}

static void discard(struct ciommu_domain *domain) {
    pthread_mutex_destroy(&domain->lock);
    ciommu_free(domain);
}

/* The level of the largest leaf that is offered and wanted. */
static enum ciommu_status choose_largest(const struct vtd_caps *caps, uint32_t page_lg2,
                                         uint32_t *level) {
    uint32_t offered = caps->second_1g ? 2 : caps->second_2m ? 1 : 0;
    if (page_lg2 == 0) {
        *level = offered;
        return CIOMMU_OK;
    }
    if (page_lg2 != 12 && page_lg2 != 21 && page_lg2 != 30) {
        return CIOMMU_INVALID_ARGUMENT;
    }
    *level = (page_lg2 - 12) / 9;
    return *level <= offered ? CIOMMU_OK : CIOMMU_UNSUPPORTED;
}

static enum ciommu_status check_paging(const struct vtd_caps *caps,
                                       const struct ciommu_paging_config *config) {
    const uint32_t known = CIOMMU_PAGING_NEST_PARENT | CIOMMU_PAGING_DIRTY_TRACKING;
    uint32_t bits = config->address_width;
    if ((config->flags & ~known) != 0 || (bits != 39 && bits != 48 && bits != 57)) {
        return CIOMMU_INVALID_ARGUMENT;
    }
    bool second = !caps->scalable || caps->second_stage;
    bool width = (caps->sagaw >> ((bits - 30) / 9) & 1) != 0 && bits <= caps->mgaw;
    bool parent = (config->flags & CIOMMU_PAGING_NEST_PARENT) == 0 || caps->nested;
    bool tracks = (config->flags & CIOMMU_PAGING_DIRTY_TRACKING) == 0 || caps->second_ad;
    return second && width && parent && tracks ? CIOMMU_OK : CIOMMU_UNSUPPORTED;
}

enum ciommu_status ciommu_paging_create(struct ciommu_unit *unit,
                                        const struct ciommu_paging_config *config,
                                        struct ciommu_domain **out) {
    if (unit == NULL || config == NULL || out == NULL || config->size < sizeof *config) {
        return CIOMMU_INVALID_ARGUMENT;
    }
    uint32_t largest = 0;
    enum ciommu_status status = check_paging(&unit->caps, config);
    if (status == CIOMMU_OK) {
        status = choose_largest(&unit->caps, config->largest_page_lg2, &largest);
    }
    if (status != CIOMMU_OK) {
        return status;
    }
    struct ciommu_domain *domain = allocate(unit, CIOMMU_DOMAIN_PAGING);
    if (domain == NULL) {
        return CIOMMU_NO_MEMORY;
    }
    domain->flags = config->flags;
    domain->bits = config->address_width;
    status =
        ciommu_paging_init(&domain->paging, &unit->domains.pages, (domain->bits - 12) / 9, largest);
    if (status != CIOMMU_OK) {
        discard(domain);
        return status;
    }
    bool tracks = (config->flags & CIOMMU_PAGING_DIRTY_TRACKING) != 0;
    struct space_shape shape;
    memset(&shape, 0, sizeof shape);
    ciommu_vtd_shape_paging(&unit->caps, domain->paging.root, domain->bits, tracks, 0, &shape);
    status = publish(domain, &shape);
    if (status != CIOMMU_OK) {
        ciommu_paging_fini(&domain->paging);
        discard(domain);
        return status;
    }
    domain->resolved = resolved_to(unit, domain->space, true, false);
    *out = domain;
    return CIOMMU_OK;
}

static enum ciommu_status check_nested(const struct vtd_caps *caps,
                                       const struct ciommu_nested_config *config) {
    const uint64_t known = CIOMMU_NESTED_SRE | CIOMMU_NESTED_EAFE | CIOMMU_NESTED_WPE;
    if ((config->flags & ~known) != 0 ||
        (config->address_width != 48 && config->address_width != 57)) {
        return CIOMMU_INVALID_ARGUMENT;
    }
    bool offered = caps->nested && (config->address_width == 48 || caps->first_5_level) &&
                   ((config->flags & CIOMMU_NESTED_SRE) == 0 || caps->supervisor_request) &&
                   ((config->flags & CIOMMU_NESTED_EAFE) == 0 || caps->extended_accessed);
    if (!offered) {
        return CIOMMU_UNSUPPORTED;
    }
    return (config->pgtbl_addr & PAGE_MASK) == 0 ? CIOMMU_OK : CIOMMU_MISALIGNED;
}

enum ciommu_status ciommu_nested_create(struct ciommu_domain *parent,
                                        const struct ciommu_nested_config *config,
                                        struct ciommu_domain **out) {
    if (parent == NULL || config == NULL || out == NULL || config->size < sizeof *config) {
        return CIOMMU_INVALID_ARGUMENT;
    }
    if (parent->kind != CIOMMU_DOMAIN_PAGING || (parent->flags & CIOMMU_PAGING_NEST_PARENT) == 0) {
        return CIOMMU_NOT_NEST_PARENT;
    }
    struct ciommu_unit *unit = parent->unit;
    enum ciommu_status status = check_nested(&unit->caps, config);
    if (status != CIOMMU_OK) {
        return status;
    }
    struct ciommu_domain *domain = allocate(unit, CIOMMU_DOMAIN_NESTED);
    if (domain == NULL) {
        return CIOMMU_NO_MEMORY;
    }
    domain->parent = parent;
    struct space_shape shape = parent->space->shape;
    ciommu_vtd_shape_nested(&unit->caps, config->pgtbl_addr, config->address_width, config->flags,
                            &shape);
    status = publish(domain, &shape);
    if (status != CIOMMU_OK) {
        discard(domain);
        return status;
    }
    bool supervisor = (config->flags & CIOMMU_NESTED_SRE) != 0;
    domain->resolved = resolved_to(unit, domain->space, supervisor, false);
    *out = domain;
    return CIOMMU_OK;
}

/* ---- Ending ---- */

enum ciommu_status ciommu_domain_destroy(struct ciommu_domain *domain) {
    if (domain == NULL) {
        return CIOMMU_OK;
    }
    if (domain->kind != CIOMMU_DOMAIN_PAGING && domain->kind != CIOMMU_DOMAIN_NESTED) {
        return CIOMMU_INVALID_ARGUMENT;
    }
    struct ciommu_unit *unit = domain->unit;
    pthread_mutex_lock(&unit->table_lock);
    bool used = domain->attachments != 0 || domain->children != 0;
    if (!used) {
        ciommu_spaces_release(&unit->spaces, domain->space);
        unit->domains.count--;
        if (domain->parent != NULL) {
            remove_child(domain->parent, domain);
        }
    }
    pthread_mutex_unlock(&unit->table_lock);
    if (used) {
        return CIOMMU_IN_USE;
    }
    ciommu_pages_end_domain(domain);
    if (domain->kind == CIOMMU_DOMAIN_PAGING) {
        ciommu_audit(ciommu_audit_paging(&domain->paging));
        ciommu_paging_fini(&domain->paging);
    }
    discard(domain);
    return CIOMMU_OK;
}

enum ciommu_status ciommu_nested_invalidate(struct ciommu_domain *domain, struct ciommu_port *port,
                                            uint64_t first, uint64_t last, bool leaf_only) {
    if (domain == NULL || domain->kind != CIOMMU_DOMAIN_NESTED || first > last ||
        (port != NULL && port->unit != domain->unit)) {
        return CIOMMU_INVALID_ARGUMENT;
    }
    struct ciommu_invalidation what = {
        .size = sizeof what,
        .kind = CIOMMU_INVALIDATE_TRANSLATIONS,
        .domain = domain->id,
        .pasid = CIOMMU_ANY,
        .source = CIOMMU_ANY,
        .stages = CIOMMU_STAGES_FIRST,
        .leaf_only = leaf_only,
        .first = first,
        .last = last,
    };
    if (ports_wait_for_caller(&domain->unit->ports, port)) {
        return CIOMMU_IN_SECTION;
    }
    struct ciommu_unit *unit = domain->unit;
    pthread_mutex_lock(&unit->table_lock);
    ciommu_space_invalidate(&unit->spaces, domain->space, &what, 1);
    pthread_mutex_unlock(&unit->table_lock);
    const struct tlb_target target = tlb_of_domain(domain, first, last);
    return ciommu_unit_end_change(unit, &what, &target);
}
