/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * device_tlb_ats.c - what translation requests are answered: rights, untranslated only, refusals;
 * and the tokens by which an answer is stored after its section.
 */
#define _GNU_SOURCE
#include "device_tlb_bench.h"

#include <string.h>

#define PASID TLB_FIRST_PASID
#define SIBLING (2 * TLB_FIRST_PASID)
#define WHOLE 0x55u /* a source id whose device has requests without PASID */
#define INTERRUPTS UINT64_C(0xfee00000)
#define DTE_CLEAR 0x44u
#define PASID_ABSENT 0x59u
#define SS_ABSENT 0x79u

/* A request of a source. */
struct question {
    uint32_t source;
    uint32_t pasid;
    uint32_t access;
    uint32_t flags;
};

static const struct question of_device = {TLB_SOURCE, PASID, CIOMMU_READ,
                                          CIOMMU_TRANSLATION_REQUEST};
static const struct question of_whole = {WHOLE, CIOMMU_NO_PASID, CIOMMU_READ,
                                         CIOMMU_TRANSLATION_REQUEST};

static struct ciommu_result ask(struct tlb_bench *bench, struct question question,
                                uint64_t address) {
    struct ciommu_result result = {.size = sizeof result};
    memset(&result.token, 0xff, sizeof result.token);
    EXPECT(bench, ciommu_translate(bench->unit, bench->port, question.source, question.pasid,
                                   address, question.access, question.flags, &result) == CIOMMU_OK);
    return result;
}

static bool is_untranslated(const struct ciommu_result *result) {
    return result->outcome == CIOMMU_TRANSLATED_OK &&
           (result->attributes & CIOMMU_ATTRIBUTE_UNTRANSLATED_ONLY) != 0 &&
           result->token.unit == 0;
}

static bool is_translated(const struct ciommu_result *result) {
    return result->outcome == CIOMMU_TRANSLATED_OK &&
           (result->attributes & CIOMMU_ATTRIBUTE_UNTRANSLATED_ONLY) == 0 &&
           result->token.unit != 0;
}

/* A device of a whole source id with a device-TLB, and what is attached for it. */
struct whole {
    struct ciommu_device *device;
    struct ciommu_device_tlb *tlb;
};

static struct whole make_whole(struct tlb_bench *bench) {
    struct whole whole = {0};
    struct ciommu_device_tlb_config tlb = tlb_config(&bench->devices[0]);
    struct ciommu_device_config config = {.size = sizeof config, .source = WHOLE, .id = 5};
    tlb.source = WHOLE;
    tlb.device = 5;
    tlb.flags = CIOMMU_DEVICE_TLB_ALL_PASIDS;
    EXPECT(bench, ciommu_device_create(bench->unit, NULL, &config, &whole.device) == CIOMMU_OK);
    EXPECT(bench, ciommu_device_tlb_create(bench->unit, &tlb, &whole.tlb) == CIOMMU_OK);
    EXPECT(bench, ciommu_device_attach(whole.device, CIOMMU_NO_PASID, bench->parent) == CIOMMU_OK);
    EXPECT(bench, ciommu_device_attach(whole.device, 1, bench->parent) == CIOMMU_OK);
    return whole;
}

static void unmake_whole(struct tlb_bench *bench, struct whole *whole) {
    EXPECT(bench, ciommu_device_destroy(whole->device, NULL) == CIOMMU_OK);
    EXPECT(bench, ciommu_device_tlb_destroy(whole->tlb, NULL) == CIOMMU_OK);
}

/* ---- Answers ---- */

static void untranslated_only(struct tlb_bench *bench) {
    struct whole whole = make_whole(bench);
    struct ciommu_mapping mapping = {
        .size = sizeof mapping,
        .rights = CIOMMU_READ | CIOMMU_WRITE,
        .iova = INTERRUPTS - 0x200000,
        .length = 0x400000,
        .address = UINT64_C(0x200000000),
    };
    EXPECT(bench, ciommu_domain_map(bench->parent, &mapping) == CIOMMU_OK);
    struct question message = of_whole;
    for (uint32_t access = 0; access < 4; access++) {
        message.access = access;
        struct ciommu_result result = ask(bench, message, INTERRUPTS + 0x1234);
        EXPECT(bench, is_untranslated(&result) && result.rights == CIOMMU_WRITE);
        EXPECT(bench, result.address == INTERRUPTS + 0x1234 && result.host == NULL);
    }
    message.flags = 0;
    EXPECT(bench, ask(bench, message, INTERRUPTS).outcome == CIOMMU_INTERRUPT);
    /* With PASID the range is DMA. */
    struct question tagged = of_whole;
    tagged.pasid = 1;
    struct ciommu_result result = ask(bench, tagged, INTERRUPTS + 0x1234);
    EXPECT(bench, is_translated(&result) && result.address == UINT64_C(0x200201234));
    EXPECT(bench, result.page_lg2 == 21);
    /* What lies beside the range in the same page is no answer for the range. */
    result = ask(bench, of_whole, INTERRUPTS + 0x100000);
    EXPECT(bench, is_translated(&result) && result.address == UINT64_C(0x200300000));
    EXPECT(bench, result.page_lg2 == 12 && result.mask == 0xfff && result.contiguous <= 0x1000);
    result = ask(bench, of_whole, INTERRUPTS - 0x200000);
    EXPECT(bench, is_translated(&result) && result.page_lg2 == 21);
    /* The source's entries come first. */
    EXPECT(bench, ciommu_device_detach(whole.device, NULL, CIOMMU_NO_PASID) == CIOMMU_OK);
    result = ask(bench, of_whole, INTERRUPTS);
    EXPECT(bench, result.outcome == CIOMMU_FAULT && result.fault.code == PASID_ABSENT);
    unmake_whole(bench, &whole);
}

/* A source of the guest while translation is disabled: switching it on asks nobody. */
static void untranslated_while_disabled(struct tlb_bench *bench) {
    struct question question = of_whole;
    struct ciommu_result result = ask(bench, question, TLB_OUTPUT);
    EXPECT(bench, is_untranslated(&result) && result.address == TLB_OUTPUT);
    EXPECT(bench, result.rights == (CIOMMU_READ | CIOMMU_WRITE));
    result = ask(bench, question, INTERRUPTS);
    EXPECT(bench, is_untranslated(&result) && result.rights == CIOMMU_WRITE);
    question.flags = 0;
    EXPECT(bench, ask(bench, question, TLB_OUTPUT).attributes == 0);
}

/* W is left out until D is set, and is no reason to stay untranslated. */
static void rights_and_dirty_bits(struct tlb_bench *bench) {
    struct question question = of_device;
    EXPECT(bench, ciommu_device_attach(bench->devices[0].device, PASID, bench->parent) == 0);
    EXPECT(bench, ciommu_dirty_start(bench->parent, bench->port, 0) == CIOMMU_OK);
    struct ciommu_result result = ask(bench, question, tlb_at(2));
    EXPECT(bench, is_translated(&result) && result.rights == CIOMMU_READ);
    question.access = CIOMMU_READ | CIOMMU_WRITE;
    result = ask(bench, question, tlb_at(2));
    EXPECT(bench, is_translated(&result) && result.rights == (CIOMMU_READ | CIOMMU_WRITE));
    question.access = CIOMMU_READ;
    result = ask(bench, question, tlb_at(2));
    EXPECT(bench, is_translated(&result) && result.rights == (CIOMMU_READ | CIOMMU_WRITE));
    EXPECT(bench, ciommu_dirty_stop(bench->parent, bench->port) == CIOMMU_OK);
    /* A condition that a page request cures is answered without rights, and told to nobody. */
    EXPECT(bench, tlb_unmap(bench, bench->parent, 2, 1) == CIOMMU_OK);
    result = ask(bench, question, tlb_at(2));
    EXPECT(bench, result.outcome == CIOMMU_FAULT && result.fault.code == SS_ABSENT);
    EXPECT(bench, result.rights == 0 && result.token.unit == 0);
    EXPECT(bench, (result.fault.flags & CIOMMU_FAULT_RECOVERABLE) != 0);
    EXPECT(bench, (result.fault.flags & CIOMMU_FAULT_RECORDED) == 0);
}

static void is_refused(struct tlb_bench *bench, struct question question) {
    const uint32_t kinds[] = {CIOMMU_TRANSLATION_REQUEST, CIOMMU_TRANSLATED};
    for (uint32_t kind = 0; kind < 2; kind++) {
        question.flags = kinds[kind];
        struct ciommu_result result = ask(bench, question, tlb_at(3));
        EXPECT(bench, result.outcome == CIOMMU_FAULT && result.fault.code == DTE_CLEAR);
        EXPECT(bench, result.fault.reason == CIOMMU_FAULT_REQUEST_BLOCKED);
        EXPECT(bench, (result.fault.flags & CIOMMU_FAULT_RECOVERABLE) == 0);
        EXPECT(bench, (result.fault.flags & CIOMMU_FAULT_RECORDED) != 0);
        EXPECT(bench, (result.fault.flags & CIOMMU_FAULT_HAS_DEVICE) != 0);
        EXPECT(bench, result.fault.device == 1000 && result.token.unit == 0);
    }
    question.flags = 0;
    EXPECT(bench, ask(bench, question, tlb_at(3)).outcome == CIOMMU_TRANSLATED_OK);
}

/* A host's device without a device-TLB is one whose DTE is clear. */
static void without_device_tlb(struct tlb_bench *bench) {
    struct fake_device *device = &bench->devices[0];
    struct ciommu_device_tlb_config config = tlb_config(device);
    EXPECT(bench, ciommu_device_attach(device->device, PASID, bench->parent) == CIOMMU_OK);
    EXPECT(bench, ciommu_device_tlb_destroy(device->tlb, NULL) == CIOMMU_OK);
    is_refused(bench, of_device);
    /* One that covers other PASIDs is not enough. */
    config.last_pasid = config.first_pasid = PASID + 3;
    EXPECT(bench, ciommu_device_tlb_create(bench->unit, &config, &device->tlb) == CIOMMU_OK);
    is_refused(bench, of_device);
    EXPECT(bench, ciommu_device_tlb_destroy(device->tlb, NULL) == CIOMMU_OK);
    config = tlb_config(device);
    EXPECT(bench, ciommu_device_tlb_create(bench->unit, &config, &device->tlb) == CIOMMU_OK);
    struct ciommu_result result = ask(bench, of_device, tlb_at(3));
    EXPECT(bench, is_translated(&result));
    /* Also where the guest's PASID table stands in: its context entry is the host's too. */
    EXPECT(bench, ciommu_device_reset(device->device, NULL) == CIOMMU_OK);
    EXPECT(bench, ciommu_device_tlb_destroy(device->tlb, NULL) == CIOMMU_OK);
    device->tlb = NULL;
    struct ciommu_pasid_table table = {
        .size = sizeof table, .model = CIOMMU_MODEL_VTD, .levels = 2, .pasid_bits = 20};
    table.address = TLB_OUTPUT;
    EXPECT(bench, ciommu_device_bind(device->device, NULL, &table) == CIOMMU_OK);
    result = ask(bench, of_device, tlb_at(3));
    EXPECT(bench, result.outcome == CIOMMU_FAULT && result.fault.code == DTE_CLEAR);
}

/* ---- Tokens ---- */

static bool is_valid_through(struct ciommu_port *port, const struct ciommu_ats_token *token) {
    ciommu_port_enter(port);
    bool valid = ciommu_ats_token_valid(port, token);
    ciommu_port_leave(port);
    return valid;
}

static bool is_valid(struct tlb_bench *bench, const struct ciommu_ats_token *token) {
    bool valid = is_valid_through(bench->port, token);
    EXPECT(bench, is_valid_through(bench->devices[1].port, token) == valid);
    return valid;
}

static struct ciommu_ats_token take_token(struct tlb_bench *bench, uint32_t page) {
    struct ciommu_result result = ask(bench, of_device, tlb_at(page));
    EXPECT(bench, is_translated(&result));
    EXPECT(bench, is_valid(bench, &result.token));
    return result.token;
}

static void tokens_of_nothing(struct tlb_bench *bench) {
    struct ciommu_ats_token none = {0};
    struct ciommu_memory *memory = NULL;
    struct ciommu_unit *unit = NULL;
    struct ciommu_port *port = NULL;
    struct ciommu_unit_config config;
    EXPECT(bench, ciommu_device_attach(bench->devices[0].device, PASID, bench->parent) == 0);
    struct ciommu_ats_token token = take_token(bench, 3);
    EXPECT(bench, !is_valid(bench, &none));
    EXPECT(bench, !ciommu_ats_token_valid(bench->port, &token)); /* in no section */
    EXPECT(bench, !ciommu_ats_token_valid(NULL, &token));
    EXPECT(bench, !is_valid_through(bench->port, NULL));
    ciommu_unit_config_init(&config);
    EXPECT(bench, ciommu_memory_create(&memory) == CIOMMU_OK);
    EXPECT(bench, ciommu_unit_create(&config, memory, &unit) == CIOMMU_OK);
    EXPECT(bench, ciommu_port_create(unit, &port) == CIOMMU_OK);
    token.ugen = 0; /* what a new unit has */
    EXPECT(bench, !is_valid_through(port, &token));
    EXPECT(bench, ciommu_unit_destroy(unit) == CIOMMU_OK);
    EXPECT(bench, ciommu_memory_destroy(memory) == CIOMMU_OK);
}

/* Changes that tell nothing about the answer leave it alone. */
static void tokens_live(struct tlb_bench *bench) {
    static unsigned char page[TLB_PAGE] __attribute__((aligned(4096)));
    struct ciommu_memory_range range = {sizeof range, CIOMMU_READ, UINT64_C(0x900000000), TLB_PAGE,
                                        page};
    EXPECT(bench, ciommu_device_attach(bench->devices[0].device, PASID, bench->parent) == 0);
    struct ciommu_ats_token token = take_token(bench, 3);
    EXPECT(bench, ciommu_unit_drain(bench->unit, NULL) == CIOMMU_OK);
    EXPECT(bench, tlb_unmap(bench, bench->other, 3, 1) == CIOMMU_OK && is_valid(bench, &token));
    EXPECT(bench, ciommu_memory_add(bench->memory, &range) == CIOMMU_OK);
    EXPECT(bench, ciommu_memory_remove(bench->memory, range.address, TLB_PAGE) == CIOMMU_OK);
    EXPECT(bench, is_valid(bench, &token));
    /* An answer without a space that could tell dies with the next change of anything. */
    struct question question = of_device;
    question.flags |= CIOMMU_NO_CACHE;
    struct ciommu_result result = ask(bench, question, tlb_at(3));
    EXPECT(bench, is_translated(&result) && is_valid(bench, &result.token));
    EXPECT(bench, tlb_unmap(bench, bench->other, 4, 1) == CIOMMU_OK);
    EXPECT(bench, !is_valid(bench, &result.token) && is_valid(bench, &token));
}

static void tokens_die(struct tlb_bench *bench) {
    struct fake_device *device = &bench->devices[0];
    struct ciommu_domain *domain = bench->parent;
    EXPECT(bench, ciommu_device_attach(device->device, PASID, domain) == CIOMMU_OK);
    struct ciommu_ats_token token = take_token(bench, 3);
    EXPECT(bench, tlb_unmap(bench, domain, 3, 1) == CIOMMU_OK && !is_valid(bench, &token));
    token = take_token(bench, 4);
    EXPECT(bench,
           ciommu_domain_protect(domain, NULL, tlb_at(4), TLB_PAGE, CIOMMU_READ) == CIOMMU_OK);
    EXPECT(bench, !is_valid(bench, &token));
    token = take_token(bench, 4);
    const struct ciommu_invalidation what = {
        .size = sizeof what,
        .kind = CIOMMU_INVALIDATE_TRANSLATIONS,
        .domain = ciommu_domain_id(domain),
        .pasid = CIOMMU_ANY,
        .source = CIOMMU_ANY,
        .stages = CIOMMU_STAGES_SECOND,
        .first = tlb_at(4),
        .last = tlb_at(5) - 1,
    };
    EXPECT(bench, ciommu_invalidate(bench->unit, NULL, &what) == CIOMMU_OK);
    EXPECT(bench, !is_valid(bench, &token));
    token = take_token(bench, 4);
    EXPECT(bench, ciommu_device_replace(device->device, NULL, PASID, bench->other) == CIOMMU_OK);
    EXPECT(bench, !is_valid(bench, &token));
    token = take_token(bench, 4);
    EXPECT(bench, ciommu_device_detach(device->device, NULL, PASID) == CIOMMU_OK);
    EXPECT(bench, ciommu_device_attach(device->device, PASID, bench->other) == CIOMMU_OK);
    EXPECT(bench, !is_valid(bench, &token));
    token = take_token(bench, 4);
    device->manner = ANSWERS_NEVER;
    EXPECT(bench, ciommu_device_tlb_retry(device->tlb, NULL) == CIOMMU_TIMED_OUT); /* blocks it */
    EXPECT(bench, !is_valid(bench, &token));
    EXPECT(bench, ciommu_device_tlb_reset(device->tlb, NULL) == CIOMMU_OK);
    EXPECT(bench, !is_valid(bench, &token));
    device->manner = ANSWERS_AT_ONCE;
    token = take_token(bench, 4);
    EXPECT(bench, ciommu_device_tlb_destroy(device->tlb, NULL) == CIOMMU_OK);
    device->tlb = NULL;
    EXPECT(bench, !is_valid(bench, &token));
}

/* Parents reach children, and what comes after a space in its slot is another space. */
static void tokens_of_children(struct tlb_bench *bench) {
    struct fake_device *device = &bench->devices[0];
    struct ciommu_nested_config config = {
        .size = sizeof config, .address_width = 48, .pgtbl_addr = tlb_at(0)};
    struct ciommu_domain *child = NULL;
    uint64_t *tables = (uint64_t *)(void *)bench->ram;
    for (uint32_t level = 3; level > 0; level--) {
        tables[(3 - level) * 512 + (tlb_at(9) >> (12 + 9 * level) & 511)] =
            tlb_at(4 - level) | 0x67;
    }
    tables[3 * 512 + (tlb_at(9) >> 12 & 511)] = tlb_at(20) | 0x67;
    EXPECT(bench, ciommu_nested_create(bench->parent, &config, &child) == CIOMMU_OK);
    EXPECT(bench, ciommu_device_attach(device->device, PASID, child) == CIOMMU_OK);
    struct ciommu_ats_token token = take_token(bench, 9);
    EXPECT(bench, ciommu_nested_invalidate(child, NULL, 0, UINT64_MAX, true) == CIOMMU_OK);
    EXPECT(bench, !is_valid(bench, &token));
    token = take_token(bench, 9);
    EXPECT(bench, tlb_unmap(bench, bench->parent, 40, 1) == CIOMMU_OK);
    EXPECT(bench, !is_valid(bench, &token));
    struct ciommu_ats_token later = token;
    for (uint32_t time = 1; time < 50; time++) { /* a slot returns after a grace period */
        token = take_token(bench, 9);
        EXPECT(bench, ciommu_device_detach(device->device, NULL, PASID) == CIOMMU_OK);
        EXPECT(bench, ciommu_domain_destroy(child) == CIOMMU_OK);
        tlb_nap(20 * time);
        EXPECT(bench, ciommu_nested_create(bench->parent, &config, &child) == CIOMMU_OK);
        EXPECT(bench, ciommu_device_attach(device->device, PASID, child) == CIOMMU_OK);
        later = take_token(bench, 9);
        if (later.space == token.space) {
            break;
        }
    }
    EXPECT(bench, later.space == token.space && later.generation != token.generation);
    token.tables = later.tables; /* were it not for the detach */
    EXPECT(bench, !is_valid(bench, &token) && is_valid(bench, &later));
    EXPECT(bench, ciommu_device_reset(device->device, NULL) == CIOMMU_OK);
    EXPECT(bench, ciommu_domain_destroy(child) == CIOMMU_OK);
}

/* A section that found its token valid has not stored the answer yet. */
struct storer {
    struct tlb_bench *bench;
    struct ciommu_ats_token token;
    uint32_t phase; /* 1: found valid, 2: the device was asked to drop it */
    uint32_t held;  /* in the device's cache */
};
static struct storer storer;

static void *store_by_token(void *argument) {
    struct tlb_bench *bench = argument;
    struct ciommu_port *port = bench->devices[0].port;
    ciommu_port_enter(port);
    bool valid = ciommu_ats_token_valid(port, &storer.token);
    EXPECT(bench, valid);
    __atomic_store_n(&storer.phase, 1, __ATOMIC_RELEASE);
    for (uint32_t time = 0; time < 50 && __atomic_load_n(&storer.phase, __ATOMIC_ACQUIRE) == 1;
         time++) {
        tlb_nap(1);
    }
    __atomic_store_n(&storer.held, valid, __ATOMIC_RELEASE);
    ciommu_port_leave(port);
    return NULL;
}

static void drop_it(struct fake_device *device, const struct ciommu_device_tlb_request *request) {
    (void)device;
    (void)request;
    __atomic_store_n(&storer.held, 0, __ATOMIC_RELEASE);
    __atomic_store_n(&storer.phase, 2, __ATOMIC_RELEASE);
    tlb_nap(1);
}

static void stored_before_asked(struct tlb_bench *bench) {
    pthread_t thread;
    EXPECT(bench, ciommu_device_attach(bench->devices[0].device, PASID, bench->parent) == 0);
    storer = (struct storer){.bench = bench, .token = take_token(bench, 2)};
    bench->devices[0].hook = drop_it;
    pthread_create(&thread, NULL, store_by_token, bench);
    while (__atomic_load_n(&storer.phase, __ATOMIC_ACQUIRE) == 0) {
        tlb_nap(1);
    }
    EXPECT(bench, tlb_unmap(bench, bench->parent, 2, 1) == CIOMMU_OK);
    pthread_join(thread, NULL);
    EXPECT(bench, __atomic_load_n(&storer.held, __ATOMIC_ACQUIRE) == 0);
    EXPECT(bench, !is_valid(bench, &storer.token));
    bench->devices[0].hook = NULL;
}

const struct tlb_case tlb_ats_cases[] = {
    {"untranslated only", untranslated_only, 0, 0, 0, false},
    {"untranslated only while disabled", untranslated_while_disabled, 0, 0, 0, false},
    {"rights and dirty bits", rights_and_dirty_bits, 0, 0, 0, false},
    {"devices without a device-TLB", without_device_tlb, 0, 0, 0, false},
    {"tokens of nothing", tokens_of_nothing, 0, 0, 0, false},
    {"tokens live", tokens_live, 0, 0, 0, false},
    {"tokens die", tokens_die, 0, 0, 0, true},
    {"tokens of nested domains", tokens_of_children, 0, 0, 0, false},
    {"what is stored by token is asked for", stored_before_asked, 0, 0, 0, false},
};
const uint32_t tlb_ats_count = sizeof tlb_ats_cases / sizeof tlb_ats_cases[0];
