/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * section_threads.c - cases of threads that are asleep, gone or cancelled. Outside a section nobody
 * waits for them. Inside one, whoever waits is told at the deadline which port it was; nothing is
 * claimed, and when the section ends everything goes on.
 */
#include "section_world.h"

/* Everything that drains, while no section is open: nobody waits, nobody times out. */
static void nobody_waits(struct section_world *world, enum section_manner manner) {
    section_stop(world, false, manner, SECTION_SOURCE);
    struct ciommu_descriptor_result result;
    uint32_t port_id = UINT32_MAX;
    EXPECT(world, section_invalidate(world, &result) == CIOMMU_OK);
    EXPECT(world, ciommu_unit_drain(world->unit, &port_id) == CIOMMU_OK);
    EXPECT(world, ciommu_domain_unmap(world->domain, world->caller, SECTION_IOVA,
                                      SECTION_DATA_BYTES, NULL) == CIOMMU_OK);
    EXPECT(world, ciommu_device_replace(world->device, world->caller, CIOMMU_NO_PASID,
                                        world->other) == CIOMMU_OK);
    EXPECT(world, ciommu_device_detach(world->device, world->caller, SECTION_PASID) == CIOMMU_OK);
    EXPECT(world,
           ciommu_memory_remove(world->memory, SECTION_DATA, SECTION_DATA_BYTES) == CIOMMU_OK);
    EXPECT(world, ciommu_unit_reset(world->unit) == CIOMMU_OK);
    EXPECT(world, port_id == UINT32_MAX);
    EXPECT(world, section_waits(world) == 0);
    struct ciommu_statistics statistics = {.size = sizeof statistics};
    ciommu_unit_statistics(world->unit, &statistics);
    EXPECT(world, statistics.drain_timeouts == 0 && statistics.drains > 0);
    section_release(world);
}

static void asleep_outside(struct section_world *world) {
    nobody_waits(world, SECTION_ASLEEP);
}

static void exited_outside(struct section_world *world) {
    nobody_waits(world, SECTION_EXITED);
}

static void busy_outside(struct section_world *world) {
    nobody_waits(world, SECTION_BUSY);
}

static void cancelled_outside(struct section_world *world) {
    nobody_waits(world, SECTION_CANCELLED);
}

/* The deadline names the port, the change is made, and later sections see it. */
static void the_port_is_named(struct section_world *world, enum section_manner manner) {
    section_stop(world, true, manner, SECTION_SOURCE);
    guest_map(&world->ram, &world->tree, SECTION_IOVA, SECTION_DATA + TABLE_PAGE, 12);
    struct ciommu_descriptor_result result;
    uint32_t port_id = UINT32_MAX;
    EXPECT(world, section_invalidate(world, &result) == CIOMMU_TIMED_OUT);
    EXPECT(world, result.kind == CIOMMU_DESCRIPTOR_CACHES);
    EXPECT(world, result.port_id == ciommu_port_id(world->port));
    EXPECT(world, ciommu_unit_drain(world->unit, &port_id) == CIOMMU_TIMED_OUT);
    EXPECT(world, port_id == ciommu_port_id(world->port));
    EXPECT(world, section_holds(world));
    struct ciommu_result found = {.size = sizeof found};
    EXPECT(world, ciommu_translate(world->unit, world->caller, SECTION_SOURCE, CIOMMU_NO_PASID,
                                   SECTION_IOVA, CIOMMU_READ, 0, &found) == CIOMMU_OK);
    EXPECT(world, found.address == SECTION_DATA + TABLE_PAGE);
    section_release(world);
    port_id = UINT32_MAX;
    EXPECT(world, ciommu_unit_drain(world->unit, &port_id) == CIOMMU_OK);
    EXPECT(world, port_id == UINT32_MAX);
    EXPECT(world, section_invalidate(world, &result) == CIOMMU_OK);
    EXPECT(world, ciommu_translate(world->unit, world->port, SECTION_SOURCE, CIOMMU_NO_PASID,
                                   SECTION_IOVA, CIOMMU_READ, 0, &found) == CIOMMU_OK);
    EXPECT(world, found.address == SECTION_DATA + TABLE_PAGE);
}

static void asleep_inside(struct section_world *world) {
    the_port_is_named(world, SECTION_ASLEEP);
}

static void exited_inside(struct section_world *world) {
    the_port_is_named(world, SECTION_EXITED);
}

static void cancelled_inside(struct section_world *world) {
    the_port_is_named(world, SECTION_CANCELLED);
}

static void busy_inside(struct section_world *world) {
    the_port_is_named(world, SECTION_BUSY);
}

/* The inner leave ends nothing. */
static void the_outermost_leave_counts(struct section_world *world) {
    section_stop(world, true, SECTION_EXITED, SECTION_SOURCE);
    ciommu_port_enter(world->port);
    ciommu_port_leave(world->port);
    struct ciommu_descriptor_result result;
    EXPECT(world, section_invalidate(world, &result) == CIOMMU_TIMED_OUT);
    section_release(world);
    EXPECT(world, section_invalidate(world, &result) == CIOMMU_OK);
}

/* Of two sections that are open, one is named; then the other. */
static void each_port_in_turn(struct section_world *world) {
    section_stop(world, true, SECTION_EXITED, SECTION_SOURCE);
    struct ciommu_port *second = NULL;
    EXPECT(world, ciommu_port_create(world->unit, &second) == CIOMMU_OK);
    ciommu_port_enter(second);
    uint32_t port_id = UINT32_MAX;
    EXPECT(world, ciommu_unit_drain(world->unit, &port_id) == CIOMMU_TIMED_OUT);
    EXPECT(world, port_id == ciommu_port_id(world->port));
    section_release(world);
    EXPECT(world, ciommu_unit_drain(world->unit, &port_id) == CIOMMU_TIMED_OUT);
    EXPECT(world, port_id == ciommu_port_id(second));
    ciommu_port_leave(second);
    EXPECT(world, ciommu_unit_drain(world->unit, &port_id) == CIOMMU_OK);
    EXPECT(world, ciommu_port_destroy(second) == CIOMMU_OK);
}

/* Without patience an open section is a time-out at once, and none is none. */
static void no_patience(struct section_world *world) {
    struct section_world hasty = {.result = world->result};
    EXPECT(world, section_world_create(&hasty, 0));
    struct ciommu_descriptor_result result;
    EXPECT(world, section_invalidate(&hasty, &result) == CIOMMU_OK);
    section_stop(&hasty, true, SECTION_ASLEEP, SECTION_SOURCE);
    EXPECT(world, section_invalidate(&hasty, &result) == CIOMMU_TIMED_OUT);
    EXPECT(world, result.port_id == ciommu_port_id(hasty.port));
    section_release(&hasty);
    EXPECT(world, section_invalidate(&hasty, &result) == CIOMMU_OK);
    section_world_destroy(&hasty);
}

/* Neither the port nor the unit goes while a section is open. */
static void nothing_is_destroyed(struct section_world *world) {
    section_stop(world, true, SECTION_EXITED, SECTION_SOURCE);
    EXPECT(world, ciommu_port_destroy(world->port) == CIOMMU_IN_SECTION);
    EXPECT(world, ciommu_unit_destroy(world->unit) == CIOMMU_IN_USE);
    EXPECT(world, ciommu_memory_destroy(world->memory) == CIOMMU_IN_USE);
    EXPECT(world, section_holds(world));
    section_release(world);
    EXPECT(world, ciommu_port_destroy(world->port) == CIOMMU_OK);
}

const struct section_named_case section_thread_cases[] = {
    {"a thread asleep outside a section delays nobody", asleep_outside},
    {"a thread that exited outside a section delays nobody", exited_outside},
    {"a thread that computes outside a section delays nobody", busy_outside},
    {"a thread cancelled outside a section delays nobody", cancelled_outside},
    {"a thread asleep inside a section is named", asleep_inside},
    {"a thread that exited inside a section is named", exited_inside},
    {"a thread cancelled inside a section is named", cancelled_inside},
    {"a thread that computes inside a section is named", busy_inside},
    {"an inner leave ends no section", the_outermost_leave_counts},
    {"of two open sections each is named in turn", each_port_in_turn},
    {"without patience an open section is late at once", no_patience},
    {"neither port nor unit goes while a section is open", nothing_is_destroyed},
    {0},
};
