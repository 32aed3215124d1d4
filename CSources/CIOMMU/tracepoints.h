/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * tracepoints.h - static tracepoints of provider "ciommu" [B-B4], for perf, bpftrace and the like.
 * There when CIOMMU_TRACEPOINTS is defined and <sys/sdt.h> is at build time (Debian:
 * systemtap-sdt-dev), nothing otherwise. One that nobody attached to is a no-op instruction; none
 * lies on the way of a first-level hit. README lists them with their arguments.
 *
 * `make lib` defines it. A Swift build does not: its linker strips functions that a program does
 * not use, and some linkers then stumble over the notes that describe tracepoints in them.
 */
#ifndef CIOMMU_TRACEPOINTS_H
#define CIOMMU_TRACEPOINTS_H

#include "ciommu.h"

#if defined(CIOMMU_TRACEPOINTS) && defined(__has_include)
#if __has_include(<sys/sdt.h>)
#include <sys/sdt.h>
#define TRACEPOINTS 1
#endif
#endif

/* A lookup went past the first level. */
static inline void tracepoint_miss(uint32_t port, uint32_t source, uint32_t pasid, uint64_t iova,
                                   uint32_t access) {
#ifdef TRACEPOINTS
    DTRACE_PROBE5(ciommu, miss, port, source, pasid, iova, access);
#else
    (void)port, (void)source, (void)pasid, (void)iova, (void)access;
#endif
}

/* Paging structures were walked; `page_lg2` is 0 if no leaf was found. */
static inline void tracepoint_walk(uint32_t port, uint32_t domain, uint64_t iova,
                                   uint32_t page_lg2) {
#ifdef TRACEPOINTS
    DTRACE_PROBE4(ciommu, walk, port, domain, iova, page_lg2);
#else
    (void)port, (void)domain, (void)iova, (void)page_lg2;
#endif
}

/* A request faulted, recorded or not (flags: CIOMMU_FAULT_*). */
static inline void tracepoint_fault(const struct ciommu_fault *fault) {
#ifdef TRACEPOINTS
    DTRACE_PROBE6(ciommu, fault, fault->source, fault->pasid, fault->address, fault->access,
                  fault->code, fault->flags);
#else
    (void)fault;
#endif
}

/* One inner invalidation is applied. */
static inline void tracepoint_invalidate(const struct ciommu_invalidation *what) {
#ifdef TRACEPOINTS
    DTRACE_PROBE6(ciommu, invalidate, what->kind, what->domain, what->source, what->pasid,
                  what->first, what->last);
#else
    (void)what;
#endif
}

/* The end of a change waits for sections; `drained` comes with the status. */
static inline void tracepoint_drain(const struct ciommu_unit *unit) {
#ifdef TRACEPOINTS
    DTRACE_PROBE1(ciommu, drain, unit);
#else
    (void)unit;
#endif
}

static inline void tracepoint_drained(const struct ciommu_unit *unit, enum ciommu_status status) {
#ifdef TRACEPOINTS
    DTRACE_PROBE2(ciommu, drained, unit, status);
#else
    (void)unit, (void)status;
#endif
}

/* A device asked for a page; a group was answered (code: enum ciommu_page_code). */
static inline void tracepoint_page_request(uint32_t source, uint32_t pasid, uint64_t address,
                                           uint32_t access, uint32_t group) {
#ifdef TRACEPOINTS
    DTRACE_PROBE5(ciommu, page_request, source, pasid, address, access, group);
#else
    (void)source, (void)pasid, (void)address, (void)access, (void)group;
#endif
}

static inline void tracepoint_page_response(uint32_t source, uint32_t pasid, uint32_t group,
                                            uint32_t code) {
#ifdef TRACEPOINTS
    DTRACE_PROBE4(ciommu, page_response, source, pasid, group, code);
#else
    (void)source, (void)pasid, (void)group, (void)code;
#endif
}

#endif
