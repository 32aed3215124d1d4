/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * answer.c - see answer.h.
 */
#include "answer.h"
#include "tracepoints.h"

static uint32_t request_kind(const struct lookup *lookup) {
    if ((lookup->flags & CIOMMU_TRANSLATION_REQUEST) != 0) {
        return CIOMMU_REQUEST_TRANSLATION;
    }
    return (lookup->flags & CIOMMU_TRANSLATED) != 0 ? CIOMMU_REQUEST_TRANSLATED
                                                    : CIOMMU_REQUEST_UNTRANSLATED;
}

void ciommu_answer_fault(struct ciommu_port *port, const struct lookup *lookup,
                         const struct walk_fault *fault, bool fault_disabled,
                         struct ciommu_result *out) {
    const struct fault_code *row = ciommu_fault_code(fault->code);
    bool suppressed = fault->code == 0 || (fault_disabled && row->qualified);
    bool completes = (lookup->flags & CIOMMU_TRANSLATION_REQUEST) != 0 && row->recoverable;
    out->outcome = CIOMMU_FAULT;
    out->address = 0;
    out->mask = 0;
    out->page_lg2 = 0;
    out->rights = 0;
    out->host = NULL;
    out->contiguous = 1;
    out->attributes = 0;
    out->token.unit = 0;
    out->fault = (struct ciommu_fault){
        .size = sizeof out->fault,
        .reason = fault->code == 0 ? (uint32_t)CIOMMU_FAULT_ABORTED : row->reason,
        .code = fault->code,
        .stage = fault->stage,
        .source = lookup->source,
        .pasid = (lookup->flags & CIOMMU_IMPLIED_PASID) != 0 ? CIOMMU_NO_PASID : lookup->pasid,
        .access = lookup->access,
        .found = fault->found,
        .flags = (suppressed ? CIOMMU_FAULT_SUPPRESSED : 0) |
                 (row->recoverable ? CIOMMU_FAULT_RECOVERABLE : 0),
        .level = fault->level,
        .address = lookup->iova,
        .entry_address = fault->entry_address,
        .request = request_kind(lookup),
    };
    const struct source *source = ciommu_source_find(&port->unit->devices, lookup->source);
    const struct ciommu_device *device =
        source == NULL ? NULL : ciommu_source_attribute(source, &out->fault);
    count_owned(&port->faults);
    bool probe = (lookup->access & ACCESS_RIGHTS) == 0;
    if (!suppressed && !completes && !probe && (lookup->flags & CIOMMU_NO_FAULT) == 0) {
        ciommu_faults_record(port, source, device, &out->fault);
    }
    tracepoint_fault(&out->fault);
}

void ciommu_answer_interrupt(const struct lookup *lookup, struct ciommu_result *out) {
    out->outcome = CIOMMU_INTERRUPT;
    out->address = lookup->iova;
    out->mask = 0xfff;
    out->page_lg2 = 12;
    out->rights = CIOMMU_WRITE;
    out->host = NULL;
    out->contiguous = INTERRUPT_LAST - lookup->iova + 1;
    out->attributes = 0;
    out->token.unit = 0;
}

void ciommu_answer_untranslated_only(const struct lookup *lookup, struct ciommu_result *out) {
    ciommu_answer_interrupt(lookup, out);
    out->outcome = CIOMMU_TRANSLATED_OK;
    out->attributes = CIOMMU_ATTRIBUTE_UNTRANSLATED_ONLY;
}
