/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * explore_mutants.c - the rules that explorations show broken, each with the scenario that it is
 * there for.
 */
#include "explore_world.h"

#include <string.h>

#ifdef CIOMMU_INTERNAL_CHECKS

struct pair {
    const char *name;
    uint32_t mutant;
    const char *scenario;
};

#define RULE(name) #name, CIOMMU_MUTANT_##name

static const struct pair pairs[] = {
    {RULE(ONE_BUMP), "page remapped, known to the IOTLB"},
    {RULE(LATE_GENERATION), "page remapped, nothing known"},
    {RULE(BUMP_AFTER_SCAN), "page remapped, binding known"},
    {RULE(PLAIN_ENTER), "page remapped, known to the first level"},
    {RULE(NO_DRAIN), "page remapped, known to the first level"},
    {RULE(CHILD_FIRST), "nested, second-stage table exchanged, no first level"},
    {RULE(IGNORE_TABLEGEN), "context entry changed, known"},
    {RULE(IGNORE_MAPGEN), "memory replaced"},
    {RULE(PUBLISH_UNCHECKED), "context entry changed, not known"},
    {RULE(INSERT_UNCHECKED), "page remapped, nothing known"},
    {RULE(SIZES_LATE), "page remapped, nothing known"},
    {RULE(KEEP_WALKGEN), "leaf table exchanged, known to the walk cache"},
    {RULE(NO_CHILDREN), "nested, second stage remapped"},
    {RULE(NO_REVALIDATE), "page remapped, known to the first level"},
    {RULE(ALIVE_ONCE), "binding evicted"},
    {RULE(SIZES_RESET_LATE), "domain invalidated, then a page"},
    {RULE(SPLIT_WITH_GAP), "large page of the host split"},
    {RULE(REPLACE_WITH_GAP), "domain of the host replaced"},
    {RULE(MERGE_KEEPS_WALKGEN), "large page of the host merged"},
    {RULE(DETACH_NO_TABLEGEN), "domain of the host detached"},
    {RULE(RENEWAL_KEEPS_ENTRIES), "tags renewed"},
    {RULE(RENEWAL_UNBUMPED), "tags renewed, and another gets the reader's"},
    {RULE(WHOLE_KEEPS_WALKGEN), "leaf table exchanged, domain invalidated"},
    {RULE(WHOLE_KEEPS_GENERATION), "domain invalidated"},
    {RULE(CHILD_KEEPS_GENERATION), "nested, second stage remapped"},
    {RULE(WALKGEN_EARLY), "leaf table exchanged, nearly known"},
    {RULE(PARENT_WALKGEN_EARLY), "nested, second-stage table exchanged, nearly known"},
    {RULE(BIRTH_UNCHECKED), "binding evicted long ago, its space another's"},
    {RULE(BIRTH_KEPT), "binding evicted"},
    {RULE(DEATH_UNBUMPED), "binding evicted"},
    {RULE(SPACE_REUSED_EARLY), "binding evicted, and another takes its place"},
    {RULE(BINDING_REUSED_EARLY), "binding evicted, and another takes its place"},
    {RULE(EARLY_UGEN), "page remapped, known to the first level"},
    {RULE(TABLEGEN_LATE), "context entry changed, not known"},
    {RULE(CHILD_KEEPS_WALKGEN), "nested, first stage's table moved, known to the walk cache"},
    {RULE(CHILD_KEEPS_TAG), "nested, first stage's table moved, known to the IOTLB"},
    {RULE(MARK_PLAIN), "accessed bit set beside a remap"},
    {RULE(IGNORE_TABLEGEN), "scalable context entry changed, known"},
    {RULE(PUBLISH_UNCHECKED), "scalable context entry changed, not known"},
    {RULE(PUBLISH_UNCHECKED), "PASID directory changed, not known"},
    {RULE(PUBLISH_UNCHECKED), "root table changed, not known"},
    {RULE(IGNORE_MAPGEN), "memory removed"},
    {RULE(NO_REVALIDATE), "page of the host protected"},
    {RULE(NO_CHILDREN), "page of a host's parent remapped, known to the IOTLB"},
    {RULE(NO_DRAIN), "page of a host's parent remapped, known to the first level"},
};

uint32_t probe_explore_mutant_count(void) {
    return sizeof pairs / sizeof *pairs;
}

struct probe_explore_mutant probe_explore_mutant(uint32_t number) {
    const struct pair *pair = &pairs[number % (sizeof pairs / sizeof *pairs)];
    uint32_t scenario = 0;
    while (explore_scenario(scenario) != NULL &&
           strcmp(probe_explore_name(scenario), pair->scenario) != 0) {
        scenario++;
    }
    return (struct probe_explore_mutant){pair->name, pair->mutant, scenario};
}

#else

uint32_t probe_explore_mutant_count(void) {
    return 0;
}

struct probe_explore_mutant probe_explore_mutant(uint32_t number) {
    (void)number;
    return (struct probe_explore_mutant){"", 0, 0};
}

#endif
