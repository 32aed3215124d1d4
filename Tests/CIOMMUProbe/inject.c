/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * inject.c - see inject_probe.h: refuses the n-th request for memory, for every n.
 */
#include "inject_world.h"
#include "alloc.h"
#include "audit.h"
#include "domain.h"
#include "domain_probe.h"
#include "probe.h"

#include <stdlib.h>

#define ROUNDS 6   /* each loses more places than a pool of the world has, if it loses any */
#define MOST 10000 /* requests of one call */

/* ---- Refusing ---- */

/* From now on `granted` requests are granted, and the next one or all later ones refused. */
static void refuse_after(int granted, bool once) {
#ifdef CIOMMU_INTERNAL_CHECKS
    ciommu_allocations_fail_once = once;
#else
    (void)once;
#endif
    (void)probe_allocations(granted);
}

/* Grants everything again; was any request refused? */
static bool grant_all(bool once) {
    int left = probe_allocations(-1);
    return once ? left < 0 : left == 0;
}

/* What must be the same after a refused call. */
struct before {
    uint64_t digest;
    struct inject_holdings held;
    bool keeps; /* objects keep a thread, or a page of a table, that the first call was granted */
};

/* One attempt that meets a refusal, if it asks for more than `granted`. True: it succeeded. */
static bool attempt(struct inject_world *world, const struct inject_operation *operation,
                    int granted, bool once, const struct before *before) {
    refuse_after(granted, once);
    enum ciommu_status status = operation->attempt(world);
    bool refused = grant_all(once);
    if (status == CIOMMU_OK) {
        EXPECT(world, !once || !refused); /* what it asked for it needed */
        return true;
    }
    EXPECT(world, status == CIOMMU_NO_MEMORY);
    EXPECT(world, refused);
    EXPECT(world, inject_digest(world) == before->digest);
    if (!before->keeps) {
        EXPECT_HELD(world, &before->held);
    }
    ciommu_audit(ciommu_audit_unit(world->unit));
    ciommu_audit(ciommu_audit_paging(&world->mapped->paging));
    world->result->refusals++;
    return false;
}

static void run(struct inject_world *world, const struct inject_operation *operation) {
    if (operation->prepare != NULL) {
        operation->prepare(world);
    }
    struct before before = {.digest = inject_digest(world)};
    for (uint32_t round = 0; round < ROUNDS; round++) {
        bool once = round % 2 != 0;
        before.keeps = round == 0;
        if (round < 2) { /* from then on nothing is kept that was not */
            before.held = inject_holdings(world->held.alone);
        }
        int granted = 0;
        while (granted < MOST && world->result->failures == 0 &&
               !attempt(world, operation, granted, once, &before)) {
            granted++;
        }
        EXPECT(world, granted < MOST);
        if (world->result->failures != 0) {
            return;
        }
        EXPECT(world, operation->undo(world) == CIOMMU_OK);
        probe_wait_for_reclamation();
        EXPECT(world, inject_digest(world) == before.digest);
        if (!before.keeps) {
            EXPECT_HELD(world, &before.held);
        }
    }
}

/* ---- The list ---- */

uint32_t probe_inject_count(void) {
    return inject_object_count + inject_change_count;
}

static const struct inject_operation *find(uint32_t number) {
    if (number < inject_object_count) {
        return &inject_objects[number];
    }
    number -= inject_object_count;
    return number < inject_change_count ? &inject_changes[number] : NULL;
}

const char *probe_inject_name(uint32_t number) {
    const struct inject_operation *operation = find(number);
    return operation == NULL ? "" : operation->name;
}

void probe_inject_case(uint32_t number, struct probe_inject_result *result) {
    const struct inject_operation *operation = find(number);
    struct inject_world *world = calloc(1, sizeof *world);
    if (world != NULL && operation != NULL && inject_world_make(world, result)) {
        if (probe_has_mutants()) {
            run(world, operation);
        }
        (void)ciommu_device_destroy(world->new_device, world->port);
        ciommu_fault_queue_destroy(world->new_faults);
        ciommu_page_queue_destroy(world->new_pages);
        inject_world_unmake(world);
    }
    free(world);
}
