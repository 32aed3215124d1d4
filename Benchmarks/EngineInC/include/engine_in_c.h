/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * engine_in_c.h - what the suite measures in C beside the loops of ciommu_bench.h: accesses,
 * invalidations, and one operation of each kind. A wrong answer ends the process. One thread uses
 * an object at a time.
 */
#ifndef ENGINE_IN_C_H
#define ENGINE_IN_C_H

#include <ciommu.h>
#include <stdint.h>

/* Writes its own input address to every 8 bytes of a page of 4 KiB. */
void engine_mark_page(struct ciommu_port *port, const struct ciommu_request *request);

/* Each request as a scatter list, in a section of its own. `count` requests of whole pages that
 * engine_mark_page has written. */
void engine_list(struct ciommu_port *port, const struct ciommu_request *requests, uint32_t count);

/* Copies the bytes of each request, which lie in one page, from inside a section of its own. */
void engine_access(struct ciommu_port *port, const struct ciommu_request *requests, uint32_t count);

/* The same invalidation `count` times; each must be counted. */
void engine_invalidate(struct ciommu_unit *unit, const struct ciommu_invalidation *invalidation,
                       uint32_t count);

/* A unit with two paging domains of 512 pages, devices, queues and a message store. */
struct engine_operations;

struct engine_operations *engine_operations_create(void);
void engine_operations_destroy(struct engine_operations *operations);

/* Maps 16 pages and unmaps them. */
void engine_map_and_unmap(struct engine_operations *operations);

/* Attaches a domain to a device and detaches it. */
void engine_attach_and_detach(struct engine_operations *operations);

/* Replaces a device's domain by the other one. */
void engine_replace(struct engine_operations *operations);

/* A request that faults and is recorded; and then read from its device's queue. */
void engine_fault(struct engine_operations *operations);

/* A page request, its group read by the domain's owner, the answer, and its handler. */
void engine_page_request(struct engine_operations *operations);

/* An entry of the store is raised, in a section of its own. */
void engine_message(struct engine_operations *operations);

#endif
