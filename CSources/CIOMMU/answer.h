/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * answer.h - answers that are no memory: faults, interrupt messages, and what a device that asks
 * through ATS may not store. None of them lies on the way of a hit or a walk.
 */
#ifndef CIOMMU_ANSWER_H
#define CIOMMU_ANSWER_H

#include "translate.h"

/* Answers with a fault, and records it where it is to be recorded. Under the RCU read lock,
 * inside a section of `port`. */
void ciommu_answer_fault(struct ciommu_port *port, const struct lookup *lookup,
                         const struct walk_fault *fault, bool fault_disabled,
                         struct ciommu_result *out) __attribute__((cold));

void ciommu_answer_interrupt(const struct lookup *lookup, struct ciommu_result *out);

/* The device gets no translation: its untranslated request is a message. The reasons stand with
 * CIOMMU_ATTRIBUTE_UNTRANSLATED_ONLY. */
void ciommu_answer_untranslated_only(const struct lookup *lookup, struct ciommu_result *out);

#endif
