/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * mutants.c - names of the mutants, and running what must notice one (mutant_probe.h). The table
 * of that stands in mutant_rows.c.
 */
#include "mutant_probe.h"
#include "case_probe.h"
#include "debug.h"
#include "harness.h"
#include "mutants.h"
#include "probe.h"
#include "trial_probe.h"

#include <stdio.h>
#include <string.h>

static const struct {
    const char *identifier;
    const char *text;
} names[] = {
    [CIOMMU_MUTANT_NONE] = {"NONE", "none"},
    [CIOMMU_MUTANT_ONE_BUMP] = {"ONE_BUMP", "one bump instead of two"},
    [CIOMMU_MUTANT_LATE_GENERATION] = {"LATE_GENERATION", "generation loaded late"},
    [CIOMMU_MUTANT_BUMP_AFTER_SCAN] = {"BUMP_AFTER_SCAN", "bump only after the scan"},
    [CIOMMU_MUTANT_PLAIN_ENTER] = {"PLAIN_ENTER", "plain-store enter"},
    [CIOMMU_MUTANT_NO_DRAIN] = {"NO_DRAIN", "no drain"},
    [CIOMMU_MUTANT_CHILD_FIRST] = {"CHILD_FIRST", "child bumped before the parent"},
    [CIOMMU_MUTANT_IGNORE_TABLEGEN] = {"IGNORE_TABLEGEN", "bindings kept over a table change"},
    [CIOMMU_MUTANT_IGNORE_MAPGEN] = {"IGNORE_MAPGEN",
                                     "host pointers kept over a memory-map change"},
    [CIOMMU_MUTANT_PUBLISH_UNCHECKED] = {"PUBLISH_UNCHECKED", "binding published after an unlink"},
    [CIOMMU_MUTANT_RIGHTS_WITHOUT_D] = {"RIGHTS_WITHOUT_D", "rights granted without D"},
    [CIOMMU_MUTANT_TORN_ENTRY] = {"TORN_ENTRY", "torn IOTLB entries"},
    [CIOMMU_MUTANT_INSERT_UNCHECKED] = {"INSERT_UNCHECKED",
                                        "IOTLB insertion without a second check"},
    [CIOMMU_MUTANT_SIZES_LATE] = {"SIZES_LATE", "page size announced after the insertion"},
    [CIOMMU_MUTANT_KEEP_WALKGEN] = {"KEEP_WALKGEN", "walk caches kept over a table change"},
    [CIOMMU_MUTANT_NO_CHILDREN] = {"NO_CHILDREN", "parent changes do not reach children"},
    [CIOMMU_MUTANT_NO_REVALIDATE] = {"NO_REVALIDATE",
                                     "first level not checked after an invalidation"},
    [CIOMMU_MUTANT_ALIVE_ONCE] = {"ALIVE_ONCE", "life of a space not checked again"},
    [CIOMMU_MUTANT_SIZES_RESET_LATE] = {"SIZES_RESET_LATE",
                                        "page sizes forgotten after the new tag is out"},
    [CIOMMU_MUTANT_SPLIT_WITH_GAP] = {"SPLIT_WITH_GAP", "a split with a gap"},
    [CIOMMU_MUTANT_DIRTY_NO_INVALIDATE] = {"DIRTY_NO_INVALIDATE",
                                           "D cleared without an invalidation"},
    [CIOMMU_MUTANT_REPLACE_WITH_GAP] = {"REPLACE_WITH_GAP", "a replace with a gap"},
    [CIOMMU_MUTANT_TABLE_FREED_EARLY] = {"TABLE_FREED_EARLY", "a table freed while it is walked"},
    [CIOMMU_MUTANT_MERGE_KEEPS_WALKGEN] = {"MERGE_KEEPS_WALKGEN", "walk caches kept over a merge"},
    [CIOMMU_MUTANT_DETACH_NO_TABLEGEN] = {"DETACH_NO_TABLEGEN",
                                          "resolved bindings kept over a detach"},
    [CIOMMU_MUTANT_PASID_REUSED_EARLY] = {"PASID_REUSED_EARLY",
                                          "host PASID reused without a drain"},
    [CIOMMU_MUTANT_QUARANTINE_IGNORED] = {"QUARANTINE_IGNORED",
                                          "host PASID reused after a drain that timed out"},
    [CIOMMU_MUTANT_TLB_NOT_BLOCKED] = {"TLB_NOT_BLOCKED", "a silent device goes on translating"},
    [CIOMMU_MUTANT_TLB_BEFORE_DRAIN] = {"TLB_BEFORE_DRAIN",
                                        "devices asked before the ports are drained"},
    [CIOMMU_MUTANT_TLB_LATE_ACCEPTED] = {"TLB_LATE_ACCEPTED", "a late answer ends a newer request"},
    [CIOMMU_MUTANT_TOKEN_UNCHECKED] = {"TOKEN_UNCHECKED", "tokens of answers are not checked"},
    [CIOMMU_MUTANT_MESSAGE_ARMED_EARLY] = {"MESSAGE_ARMED_EARLY",
                                           "an interrupt message armed before its PASID"},
    [CIOMMU_MUTANT_MESSAGE_NO_DRAIN] = {"MESSAGE_NO_DRAIN",
                                        "a message's PASID changed without a drain"},
    [CIOMMU_MUTANT_FAULT_SLOT_FREED_EARLY] = {"FAULT_SLOT_FREED_EARLY",
                                              "a fault ring's slot reused before it was read"},
    [CIOMMU_MUTANT_FAULT_LIMIT_LATE] = {"FAULT_LIMIT_LATE",
                                        "faults taken that came after the rings were looked at"},
    [CIOMMU_MUTANT_PAGE_ANSWERED_TWICE] = {"PAGE_ANSWERED_TWICE",
                                           "a page-request group answered twice"},
    [CIOMMU_MUTANT_PAGE_CANCEL_FIRST] = {"PAGE_CANCEL_FIRST",
                                         "groups cancelled before the detach is published"},
    [CIOMMU_MUTANT_FILL_STAMPED_LATE] = {"FILL_STAMPED_LATE",
                                         "first level filled under a late generation"},
    [CIOMMU_MUTANT_SUPERPAGE_MISSED] = {"SUPERPAGE_MISSED",
                                        "superpages missed by a page invalidation"},
    [CIOMMU_MUTANT_RANGE_FORGOTTEN] = {"RANGE_FORGOTTEN", "one range of several not invalidated"},
    [CIOMMU_MUTANT_TAG_KEPT] = {"TAG_KEPT", "a space invalidated under its old tag"},
    [CIOMMU_MUTANT_CHILD_KEEPS_WALKGEN] = {"CHILD_KEEPS_WALKGEN",
                                           "children's walk caches kept over a parent's change"},
    [CIOMMU_MUTANT_CHILD_KEEPS_TAG] = {"CHILD_KEEPS_TAG",
                                       "children's tags kept over a parent's change"},
    [CIOMMU_MUTANT_WINDOWS_KEPT] = {"WINDOWS_KEPT", "memory windows kept over a memory-map change"},
    [CIOMMU_MUTANT_WALKS_KEPT] = {"WALKS_KEPT",
                                  "host addresses of tables kept over a memory-map change"},
    [CIOMMU_MUTANT_NEW_PORT_MISSED] = {"NEW_PORT_MISSED", "a drain that misses the youngest port"},
    [CIOMMU_MUTANT_UGEN_KEPT] = {"UGEN_KEPT", "sections do not learn of an invalidation"},
    [CIOMMU_MUTANT_KNOWN_TABLE_UNCHECKED] = {"KNOWN_TABLE_UNCHECKED",
                                             "a known table without its generation"},
    [CIOMMU_MUTANT_KNOWN_TABLE_GRANTS] = {"KNOWN_TABLE_GRANTS",
                                          "a known table without the rights above it"},
    [CIOMMU_MUTANT_MARK_PLAIN] = {"MARK_PLAIN", "A and D stored without an exchange"},
    [CIOMMU_MUTANT_DIRTY_LOG_SILENT] = {"DIRTY_LOG_SILENT", "A and D set without a dirty log"},
    [CIOMMU_MUTANT_IOTLB_GRANTS] = {"IOTLB_GRANTS", "IOTLB entries without their rights"},
    [CIOMMU_MUTANT_RESONATING_HASH] = {"RESONATING_HASH", "a hash that resonates with strides"},
    [CIOMMU_MUTANT_QUICK_WITHOUT_A] = {"QUICK_WITHOUT_A", "quick walks without accessed bits"},
    [CIOMMU_MUTANT_QUICK_WITHOUT_D] = {"QUICK_WITHOUT_D", "quick walks without dirty bits"},
    [CIOMMU_MUTANT_QUICK_RESERVED] = {"QUICK_RESERVED", "quick walks past reserved bits"},
    [CIOMMU_MUTANT_QUICK_INTERRUPTS] = {"QUICK_INTERRUPTS", "quick walks into the interrupt range"},
    [CIOMMU_MUTANT_QUICK_UPPER_RIGHTS] = {"QUICK_UPPER_RIGHTS",
                                          "quick walks without the upper levels' rights"},
    [CIOMMU_MUTANT_SHORT_WAY_WIDTH] = {"SHORT_WAY_WIDTH", "the short way beyond the address width"},
    [CIOMMU_MUTANT_SHORT_WAY_INTERRUPTS] = {"SHORT_WAY_INTERRUPTS",
                                            "the short way for interrupt messages"},
    [CIOMMU_MUTANT_SHORT_WAY_USABLE] = {"SHORT_WAY_USABLE",
                                        "the short way beyond the binding's rights"},
    [CIOMMU_MUTANT_TAG_UNCHECKED] = {"TAG_UNCHECKED", "a renewed tag believed after a hit"},
    [CIOMMU_MUTANT_BATCH_MIXES_REQUESTERS] = {"BATCH_MIXES_REQUESTERS",
                                              "a batch that mixes requesters"},
    [CIOMMU_MUTANT_BATCH_MIXES_ACCESSES] = {"BATCH_MIXES_ACCESSES", "a batch that mixes accesses"},
    [CIOMMU_MUTANT_WAIT_BEFORE_DRAIN] = {"WAIT_BEFORE_DRAIN",
                                         "a wait descriptor's status before the drain"},
    [CIOMMU_MUTANT_TLB_PARENT_NOT_ASKED] = {"TLB_PARENT_NOT_ASKED",
                                            "a parent's device-TLB not asked"},
    [CIOMMU_MUTANT_FAULT_LOSS_UNCOUNTED] = {"FAULT_LOSS_UNCOUNTED",
                                            "a fault lost without being counted"},
    [CIOMMU_MUTANT_PAGE_FOLLOWERS_FORGOTTEN] = {"PAGE_FOLLOWERS_FORGOTTEN",
                                                "followers of a page-request group not answered"},
    [CIOMMU_MUTANT_MESSAGE_NOTE_UNCHECKED] = {"MESSAGE_NOTE_UNCHECKED",
                                              "an interrupt lost as its entry is unmasked"},
    [CIOMMU_MUTANT_MESSAGE_MASK_NO_DRAIN] = {"MESSAGE_MASK_NO_DRAIN",
                                             "a message masked without a drain"},
    [CIOMMU_MUTANT_MESSAGE_FREED_EARLY] = {"MESSAGE_FREED_EARLY",
                                           "a message's entry freed without a drain"},
    [CIOMMU_MUTANT_PASID_TABLE_FREED_EARLY] = {"PASID_TABLE_FREED_EARLY",
                                               "a PASID table freed while it is read"},
    [CIOMMU_MUTANT_MAP_FREED_EARLY] = {"MAP_FREED_EARLY",
                                       "a memory map freed while it is searched"},
    [CIOMMU_MUTANT_UNMAP_NO_INVALIDATE] = {"UNMAP_NO_INVALIDATE",
                                           "an unmap without an invalidation"},
    [CIOMMU_MUTANT_TLB_LEFT_UNSEEN] = {"TLB_LEFT_UNSEEN",
                                       "bindings kept as a parent's device-TLB gets the PASIDs"},
    [CIOMMU_MUTANT_TLB_PAID_EARLY] = {"TLB_PAID_EARLY",
                                      "a late drain made up for before devices are asked"},
    [CIOMMU_MUTANT_TLB_BLOCK_MISTAKEN] = {"TLB_BLOCK_MISTAKEN",
                                          "a device's newer block taken for the settled one"},
    [CIOMMU_MUTANT_MARK_ELSEWHERE] = {"MARK_ELSEWHERE", "A set in a page that the table has left"},
    [CIOMMU_MUTANT_CUTS_FORGOTTEN] = {"CUTS_FORGOTTEN", "parts of large leaves kept unnoted"},
    [CIOMMU_MUTANT_CUTS_LATE] = {"CUTS_LATE", "parts of large leaves noted after they are kept"},
    [CIOMMU_MUTANT_UGEN_OUTSIDE_LOCK] = {"UGEN_OUTSIDE_LOCK", "ugen moved outside the lock"},
    [CIOMMU_MUTANT_RENEWAL_KEEPS_ENTRIES] = {"RENEWAL_KEEPS_ENTRIES",
                                             "a renewal of tags that keeps the IOTLB's entries"},
    [CIOMMU_MUTANT_RENEWAL_UNBUMPED] = {"RENEWAL_UNBUMPED",
                                        "a renewal of tags that bumps no generation"},
    [CIOMMU_MUTANT_WHOLE_KEEPS_WALKGEN] = {"WHOLE_KEEPS_WALKGEN",
                                           "a whole space's walk caches kept"},
    [CIOMMU_MUTANT_WHOLE_KEEPS_GENERATION] = {"WHOLE_KEEPS_GENERATION",
                                              "a whole space's generation kept"},
    [CIOMMU_MUTANT_CHILD_KEEPS_GENERATION] = {"CHILD_KEEPS_GENERATION",
                                              "a child's generation kept over its parent's change"},
    [CIOMMU_MUTANT_WALKGEN_EARLY] = {"WALKGEN_EARLY", "walk generation loaded early"},
    [CIOMMU_MUTANT_PARENT_WALKGEN_EARLY] = {"PARENT_WALKGEN_EARLY",
                                            "a parent's walk generation loaded early"},
    [CIOMMU_MUTANT_BIRTH_UNCHECKED] = {"BIRTH_UNCHECKED",
                                       "a binding is used though its space is dead"},
    [CIOMMU_MUTANT_BIRTH_KEPT] = {"BIRTH_KEPT", "a dead space's birth kept"},
    [CIOMMU_MUTANT_DEATH_UNBUMPED] = {"DEATH_UNBUMPED", "a dead space's generation kept"},
    [CIOMMU_MUTANT_SPACE_REUSED_EARLY] = {"SPACE_REUSED_EARLY", "a space's slot reused early"},
    [CIOMMU_MUTANT_BINDING_REUSED_EARLY] = {"BINDING_REUSED_EARLY",
                                            "a binding's slot reused early"},
    [CIOMMU_MUTANT_EARLY_UGEN] = {"EARLY_UGEN", "ugen moved before the generations"},
    [CIOMMU_MUTANT_TABLEGEN_LATE] = {"TABLEGEN_LATE", "tablegen loaded late"},
    [CIOMMU_MUTANT_TLB_TAKEN_UNASKED] = {"TLB_TAKEN_UNASKED",
                                         "a device taken from the guest with what it holds"},
    [CIOMMU_MUTANT_RESET_BELIEVED] = {"RESET_BELIEVED", "a reset before the block is settled"},
    [CIOMMU_MUTANT_REPORT_LATE] = {"REPORT_LATE", "a report begun after its section"},
    [CIOMMU_MUTANT_QUIESCE_SKIPPED] = {"QUIESCE_SKIPPED", "a drain that waits for no report"},
    [CIOMMU_MUTANT_ENTRY_READ_TWICE] = {"ENTRY_READ_TWICE", "an entry judged and loaded again"},
    [CIOMMU_MUTANT_REFUSAL_LEAKS] = {"REFUSAL_LEAKS", "a refused call that keeps its first block"},
    [CIOMMU_MUTANT_SEQUENCE_UNCHECKED] = {"SEQUENCE_UNCHECKED",
                                          "a portable IOTLB entry believed while it changes"},
};

uint32_t probe_mutant_count(void) {
    return CIOMMU_MUTANT_COUNT;
}

const char *probe_mutant_name(uint32_t mutant) {
    return mutant < CIOMMU_MUTANT_COUNT ? names[mutant].text : "";
}

const char *probe_mutant_identifier(uint32_t mutant) {
    return mutant < CIOMMU_MUTANT_COUNT ? names[mutant].identifier : "";
}

uint32_t probe_mutant_number(const char *name) {
    for (uint32_t mutant = 1; mutant < CIOMMU_MUTANT_COUNT; mutant++) {
        if (strcmp(names[mutant].identifier, name) == 0) {
            return mutant;
        }
    }
    return 0;
}

static const struct probe_trial *find_trial(const char *name) {
    for (uint32_t number = 0; number < probe_trial_count(); number++) {
        if (strcmp(probe_trial(number)->name, name) == 0) {
            return probe_trial(number);
        }
    }
    return NULL;
}

uint32_t probe_mutant_row_count(void) {
    return mutant_rows.count;
}

const struct probe_mutant_row *probe_mutant_row(uint32_t number) {
    return number < mutant_rows.count ? &mutant_rows.rows[number] : NULL;
}

static bool is_complete(const struct probe_mutant_row *row) {
    uint32_t number;
    bool trial = row->trial != NULL && find_trial(row->trial) != NULL;
    bool noticed = row->noticed_case != NULL && probe_case_find(row->noticed_case, &number);
    return probe_mutant_number(row->mutant) != 0 && trial != noticed;
}

const char *probe_mutant_without_row(void) {
    bool met[CIOMMU_MUTANT_COUNT] = {[CIOMMU_MUTANT_NONE] = true};
    for (uint32_t number = 0; number < mutant_rows.count; number++) {
        const struct probe_mutant_row *row = &mutant_rows.rows[number];
        if (!is_complete(row)) {
            return row->mutant;
        }
        met[probe_mutant_number(row->mutant)] = true;
    }
    for (uint32_t mutant = 0; mutant < CIOMMU_MUTANT_COUNT; mutant++) {
        if (!met[mutant]) {
            return names[mutant].identifier;
        }
    }
    return NULL;
}

static int run_trial(const struct probe_trial *trial, const struct probe_trial_options *options,
                     struct probe_mutant_outcome *outcome) {
    struct probe_trial_result result;
    int status = trial->run(trial, options, &result);
    outcome->violations = result.violations;
    outcome->operations = result.operations;
    memcpy(outcome->first, result.first, sizeof outcome->first);
    return status;
}

/* Over and over, because some cases wait for what a thread may not come to at once. A sound one
 * runs once: it is the same every time. */
static void run_case(uint32_t number, const struct probe_trial_options *options,
                     struct probe_mutant_outcome *outcome) {
    uint64_t end = probe_now() + options->milliseconds;
    do {
        struct probe_case_result result;
        probe_case_run(number, options->mutant, &result);
        outcome->operations++;
        outcome->violations += result.failures;
        (void)snprintf(outcome->first, sizeof outcome->first, "%s", result.first);
    } while (outcome->violations == 0 && options->mutant != 0 && probe_now() < end);
}

int probe_mutant_run(const struct probe_mutant_row *row, bool sound, uint64_t seed,
                     uint32_t milliseconds, struct probe_mutant_outcome *outcome) {
    const struct probe_trial_options options = {
        .seed = seed,
        .milliseconds = milliseconds,
        .mutant = sound ? 0 : probe_mutant_number(row->mutant),
    };
    memset(outcome, 0, sizeof *outcome);
    if (row->trial != NULL) {
        return run_trial(find_trial(row->trial), &options, outcome);
    }
    uint32_t number;
    if (probe_case_find(row->noticed_case, &number)) {
        run_case(number, &options, outcome);
    }
    return 0;
}
