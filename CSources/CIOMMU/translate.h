/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * translate.h - one address through the engine, for the entry points in translate.c and access.c.
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
enum ciommu_status ciommu_lookup_check(const struct lookup *lookup);

/* Answers a checked lookup; every field of `*out` but `size`. Inside a section of `port`. */
void ciommu_lookup_answer(struct ciommu_port *port, const struct lookup *lookup,
                          struct ciommu_result *out);

#endif
