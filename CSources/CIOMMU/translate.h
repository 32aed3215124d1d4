/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * translate.h - one address on its way through the engine: the request, what it is, and the entry
 * that translate.c and access.c share. The other parts of the way: resolve.h, answer.h.
 */
#ifndef CIOMMU_TRANSLATE_H
#define CIOMMU_TRANSLATE_H

#include "unit.h"
#include "walk.h"

#define ACCESS_RIGHTS (CIOMMU_READ | CIOMMU_WRITE | CIOMMU_EXECUTE)
#define ACCESS_ALL (ACCESS_RIGHTS | CIOMMU_PRIVILEGED)
#define REQUEST_FLAGS_ALL                                                                          \
    (CIOMMU_NO_FAULT | CIOMMU_NO_AD | CIOMMU_TRANSLATION_REQUEST | CIOMMU_TRANSLATED |             \
     CIOMMU_IMPLIED_PASID | CIOMMU_NO_CACHE)

/* A checked request for one address. */
struct lookup {
    uint32_t source;
    uint32_t pasid;
    uint64_t iova;
    uint32_t access;
    uint32_t flags;
    struct trace *trace;
};

/* CIOMMU_OK if the fields are in range. */
static inline enum ciommu_status lookup_check(const struct lookup *lookup) {
    bool pasid_ok = lookup->pasid <= CIOMMU_PASID_MAX || lookup->pasid == CIOMMU_NO_PASID;
    if (!pasid_ok || lookup->source > 0xffff || (lookup->access & ~ACCESS_ALL) != 0 ||
        (lookup->flags & ~REQUEST_FLAGS_ALL) != 0) {
        return CIOMMU_INVALID_ARGUMENT;
    }
    bool kinds = (lookup->flags & CIOMMU_TRANSLATION_REQUEST) != 0 &&
                 (lookup->flags & CIOMMU_TRANSLATED) != 0;
    bool implied = (lookup->flags & CIOMMU_IMPLIED_PASID) != 0 && lookup->pasid == CIOMMU_NO_PASID;
    return kinds || implied ? CIOMMU_INVALID_ARGUMENT : CIOMMU_OK;
}

static inline bool carries_pasid(const struct lookup *lookup) {
    return lookup->pasid != CIOMMU_NO_PASID && (lookup->flags & CIOMMU_IMPLIED_PASID) == 0;
}

/* The PASID that the device's own translations are tagged with. */
static inline uint32_t tagged_pasid(const struct lookup *lookup) {
    return carries_pasid(lookup) ? lookup->pasid : CIOMMU_NO_PASID;
}

static inline bool asks_ats(const struct lookup *lookup) {
    return (lookup->flags & CIOMMU_TRANSLATION_REQUEST) != 0;
}

/* A request of ATS: for a translation, or with one. */
static inline bool is_ats(const struct lookup *lookup) {
    return (lookup->flags & (CIOMMU_TRANSLATION_REQUEST | CIOMMU_TRANSLATED)) != 0;
}

/* Requests to the interrupt range are messages unless a PASID or ATS makes them DMA. */
static inline bool meets_interrupts(const struct lookup *lookup) {
    return !carries_pasid(lookup) && !is_ats(lookup);
}

/* Answers a checked lookup; every field of `*out` but `size`. Inside a section of `port`. */
void ciommu_lookup_answer(struct ciommu_port *port, const struct lookup *lookup,
                          struct ciommu_result *out);

#endif
