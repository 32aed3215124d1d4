/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * cases_rights.c - what an answer may grant, by whatever way it comes: every check of the first
 * level, the known leaf tables, the IOTLB and the quick walks, one after another.
 */
#include "case_bench.h"
#include "debug.h"
#include "load_probe.h"
#include "probe.h"

static bool reads(struct case_bench *bench, uint64_t iova) {
    struct ciommu_result out;
    return case_bench_ask(bench, 0, iova, CIOMMU_READ, &out);
}

static bool writes(struct case_bench *bench, uint64_t iova) {
    struct ciommu_result out;
    return case_bench_ask(bench, 0, iova, CIOMMU_WRITE, &out);
}

/* ---- Rights ---- */

static void check_read_only(struct case_bench *bench, struct probe_case_result *result) {
    *case_bench_entry(bench, BENCH_FIRST_0, 1) &= ~BENCH_WRITE;
    for (uint32_t round = 0; round < 3; round++) {
        probe_expect(result, writes(bench, 0), "a page is not written");
        probe_expect(result, reads(bench, BENCH_PAGE), "a read-only page is not read");
        probe_expect(result, !writes(bench, BENCH_PAGE), "a read-only page is written");
    }
}

static void read_only(struct probe_case_result *result) {
    case_bench_with_caches(result, check_read_only);
}

/* The large pages above it, and the table of small ones. */
static void check_upper_level(struct case_bench *bench, struct probe_case_result *result) {
    *case_bench_entry(bench, BENCH_FIRST_2, 0) &= ~BENCH_WRITE;
    *case_bench_entry(bench, BENCH_FIRST_1, 1) = BENCH_LEAF | BENCH_LARGE;
    for (uint32_t round = 0; round < 3; round++) {
        for (uint64_t iova = 0; iova <= 0x200000; iova += 0x200000) {
            struct ciommu_result out;
            bool fine = case_bench_ask(bench, 0, iova, CIOMMU_READ, &out);
            probe_expect(result, fine, "a page below a read-only table is not read");
            probe_expect(result, (out.rights & CIOMMU_WRITE) == 0,
                         "a page below a read-only table may be written");
            probe_expect(result, !writes(bench, iova), "a page below a read-only table is written");
        }
    }
}

static void upper_levels(struct probe_case_result *result) {
    case_bench_with_caches(result, check_upper_level);
}

static void check_binding(struct case_bench *bench, struct probe_case_result *result) {
    for (uint32_t round = 0; round < 3; round++) {
        for (uint64_t page = 0; page < 3; page++) {
            struct ciommu_result out;
            probe_expect(result, case_bench_ask(bench, 0, page * BENCH_PAGE, CIOMMU_READ, &out),
                         "a page is not read");
            probe_expect(result, out.rights == (CIOMMU_READ | CIOMMU_WRITE),
                         "execution is granted that the binding does not know");
        }
    }
}

static void bindings(struct probe_case_result *result) {
    case_bench_with_caches(result, check_binding);
}

/* ---- Marks ---- */

static void check_accessed(struct case_bench *bench, struct probe_case_result *result) {
    probe_expect(result, reads(bench, 0), "a page is not read");
    for (uint32_t page = 1; page < 4; page++) {
        uint64_t *entry = case_bench_entry(bench, BENCH_FIRST_0, page);
        *entry &= ~UINT64_C(0x60);
        probe_expect(result, reads(bench, page * BENCH_PAGE), "a page is not read");
        probe_expect(result, (*entry & 0x60) == 0x20, "A is not set, or D is");
    }
}

static void accessed(struct probe_case_result *result) {
    case_bench_with_caches(result, check_accessed);
}

#ifdef CIOMMU_INTERNAL_CHECKS
static uint64_t *taken_away;

/* The guest takes an entry away that was just judged. */
static void take_away(enum ciommu_yield_point point) {
    if (point == CIOMMU_YIELD_MARKING && taken_away != NULL) {
        __atomic_store_n(taken_away, 0, __ATOMIC_SEQ_CST);
        taken_away = NULL;
    }
}

static void check_mark(struct case_bench *bench, struct probe_case_result *result) {
    uint64_t *entry = case_bench_entry(bench, BENCH_FIRST_0, 1);
    *entry &= ~UINT64_C(0x60);
    taken_away = entry;
    __atomic_store_n(&ciommu_yield_hook, take_away, __ATOMIC_RELEASE);
    probe_expect(result, !writes(bench, BENCH_PAGE), "a page is written that was taken away");
    __atomic_store_n(&ciommu_yield_hook, NULL, __ATOMIC_RELEASE);
    probe_expect(result, taken_away == NULL, "nothing was marked");
    probe_expect(result, *entry == 0, "an entry is back that was taken away");
}

static void marks(struct probe_case_result *result) {
    case_bench_with_caches(result, check_mark);
}
#else
static void marks(struct probe_case_result *result) {
    (void)result; /* nothing can come in between */
}
#endif

/* ---- Entries and addresses that fault ---- */

static void check_reserved(struct case_bench *bench, struct probe_case_result *result) {
    *case_bench_entry(bench, BENCH_FIRST_1, 1) = BENCH_LEAF | BENCH_LARGE | 1 << 13;
    for (uint32_t round = 0; round < 2; round++) {
        probe_expect(result, reads(bench, 0), "a page is not read");
        probe_expect(result, !reads(bench, 0x200000), "a reserved bit in a large page is passed");
    }
}

static void reserved(struct probe_case_result *result) {
    case_bench_with_caches(result, check_reserved);
}

#define MESSAGES UINT64_C(0xfee00000)

static void check_output(struct case_bench *bench, struct probe_case_result *result) {
    *case_bench_entry(bench, BENCH_FIRST_0, 1) = MESSAGES | BENCH_LEAF;
    for (uint32_t round = 0; round < 2; round++) {
        probe_expect(result, reads(bench, 0), "a page is not read");
        probe_expect(result, !reads(bench, BENCH_PAGE), "an answer is in the interrupt range");
    }
}

static void outputs(struct probe_case_result *result) {
    case_bench_with_caches(result, check_output);
}

/* The tables map the interrupt range, but a request without PASID to it is a message. */
static void check_message(struct case_bench *bench, struct probe_case_result *result) {
    *case_bench_entry(bench, BENCH_FIRST_2, MESSAGES >> 30 & 511) =
        BENCH_SPARE * BENCH_PAGE | BENCH_ENTRY;
    *case_bench_entry(bench, BENCH_SPARE, MESSAGES >> 21 & 511) =
        (BENCH_SPARE + 1) * BENCH_PAGE | BENCH_ENTRY;
    *case_bench_entry(bench, BENCH_SPARE + 1, 0) = BENCH_TABLES * BENCH_PAGE | BENCH_LEAF;
    for (uint32_t round = 0; round < 2; round++) {
        probe_expect(result, reads(bench, 0), "a page is not read");
        probe_expect(result, !reads(bench, MESSAGES), "a message has become a read");
        probe_expect(result, !writes(bench, MESSAGES), "a message has become a write");
    }
}

static void messages(struct probe_case_result *result) {
    case_bench_with_caches(result, check_message);
}

static void check_width(struct case_bench *bench, struct probe_case_result *result) {
    for (uint32_t bit = 47; bit < 64; bit++) {
        probe_expect(result, reads(bench, 0), "a page is not read");
        probe_expect(result, !reads(bench, UINT64_C(1) << bit),
                     "an address beyond the width is answered");
    }
}

static void widths(struct probe_case_result *result) {
    case_bench_with_caches(result, check_width);
}

/* ---- Loads ---- */

/* What resolving loads: root, context and PASID entry twice, a directory entry once. */
#define CONFIGURATION_LOADS (2u * (2 + 4 + 8) + 1)

/* Four entries of a first stage; for a nested one each table and the result are found by four. */
static void check_loads(struct case_bench *bench, struct probe_case_result *result) {
    for (uint32_t device = 0; device <= BENCH_NESTED; device += BENCH_NESTED) {
        uint64_t most = device == BENCH_NESTED ? 4 + 5 * 4 : 4;
        for (uint32_t round = 0; round < 3; round++) {
            uint64_t before = probe_guest_loads();
            struct ciommu_result out;
            bool fine = case_bench_ask(bench, device, round / 2 * BENCH_PAGE, CIOMMU_READ, &out);
            uint64_t loads = probe_guest_loads() - before;
            probe_expect(result, fine, "a page is not read");
            probe_expect(result, loads <= most + (round == 0 ? CONFIGURATION_LOADS : 0),
                         "an entry is loaded more than once");
            probe_expect(result, round != 0 || loads >= most / 4 || !probe_has_mutants(),
                         "nothing is counted");
        }
    }
}

static void loads(struct probe_case_result *result) {
    case_bench_with_caches(result, check_loads);
}

/* ---- Batches ---- */

static void check_batch(struct case_bench *bench, struct probe_case_result *result) {
    *case_bench_entry(bench, BENCH_FIRST_0, 1) &= ~BENCH_WRITE;
    struct ciommu_request requests[6] = {
        {.source = 0, .iova = 0, .access = CIOMMU_READ},
        {.source = BENCH_SECOND, .iova = 0, .access = CIOMMU_READ},
        {.source = 0, .iova = BENCH_PAGE, .access = CIOMMU_READ},
        {.source = 0, .iova = BENCH_PAGE, .access = CIOMMU_WRITE},
        {.source = BENCH_SECOND, .iova = BENCH_PAGE, .access = CIOMMU_WRITE},
        {.source = 0, .iova = 0, .access = CIOMMU_WRITE},
    };
    for (uint32_t round = 0; round < 3; round++) {
        struct ciommu_result out[6];
        for (uint32_t index = 0; index < 6; index++) {
            requests[index].pasid = CIOMMU_NO_PASID;
            out[index] = (struct ciommu_result){.size = sizeof out[index]};
        }
        uint32_t done = 0;
        probe_expect(result,
                     ciommu_translate_batch(bench->port, requests, out, 6, &done) == CIOMMU_OK &&
                         done == 6,
                     "a batch is refused");
        for (uint32_t index = 0; index < 6; index++) {
            uint64_t right = requests[index].iova +
                             (requests[index].source == 0 ? BENCH_TABLES * BENCH_PAGE : 0);
            bool fault = index == 3;
            probe_expect(result, (out[index].outcome != CIOMMU_TRANSLATED_OK) == fault,
                         fault ? "a write is answered as the read before it"
                               : "a request of a batch faults");
            probe_expect(result, fault || out[index].address == right,
                         "a request of a batch has another's answer");
        }
    }
}

static void batches(struct probe_case_result *result) {
    case_bench_with_caches(result, check_batch);
}

/* ---- Memory that comes late ---- */

#ifdef CIOMMU_INTERNAL_CHECKS
#define LATE UINT64_C(0x10000000)
#define SEARCHES 16u /* of the memory map by one copy at most, and a few */

static struct case_bench *growing;
static uint32_t searches;
static uint32_t grows_at;

static void grow_at_search(enum ciommu_yield_point point) {
    struct ciommu_memory_range range = {sizeof range, CIOMMU_READ | CIOMMU_WRITE, LATE, BENCH_PAGE,
                                        growing->other};
    if (point == CIOMMU_YIELD_SEARCHING && ++searches == grows_at) {
        (void)ciommu_memory_add(growing->memory, &range); /* it cannot wait for our section */
    }
}

/* Before it came there was none; never is it called read-only. */
static void late_memory(struct probe_case_result *result) {
    struct ciommu_unit_config config;
    struct case_bench bench;
    ciommu_unit_config_init(&config);
    config.drain_timeout = 0;
    if (!case_bench_make(&bench, &config, result)) {
        return;
    }
    growing = &bench;
    uint32_t most = 0;
    *case_bench_entry(&bench, BENCH_FIRST_0, 1) = LATE | BENCH_LEAF;
    for (uint32_t round = 0; round < 2 * SEARCHES; round++) {
        struct ciommu_request request = {
            .pasid = CIOMMU_NO_PASID, .iova = BENCH_PAGE, .length = sizeof(uint64_t)};
        struct ciommu_progress progress = {.size = sizeof progress};
        uint64_t word = 0;
        searches = 0;
        grows_at = round / 2 + 1;
        __atomic_store_n(&ciommu_yield_hook, grow_at_search, __ATOMIC_RELEASE);
        enum ciommu_status status = grows_at % 2 != 0
                                        ? ciommu_read(bench.port, &request, &word, &progress)
                                        : ciommu_write(bench.port, &request, &word, &progress);
        __atomic_store_n(&ciommu_yield_hook, NULL, __ATOMIC_RELEASE);
        probe_expect(result, status == CIOMMU_OK || status == CIOMMU_NO_HOST_MEMORY,
                     "memory that came meanwhile is refused as something else");
        most = searches > most ? searches : most;
        (void)ciommu_memory_remove(bench.memory, LATE, BENCH_PAGE);
    }
    probe_expect(result, most > 1 && most < SEARCHES, "not every search was tried");
    case_bench_unmake(&bench);
}
#endif

static const struct probe_case rows[] = {
#ifdef CIOMMU_INTERNAL_CHECKS
    {"memory that comes late is not read-only", late_memory},
#endif
    {"a page that was read is not written", read_only},
    {"what an upper level denies is denied", upper_levels},
    {"a binding limits what entries grant", bindings},
    {"accessed bits are set", accessed},
    {"a mark does not bring an entry back", marks},
    {"reserved bits fault", reserved},
    {"no answer lies in the interrupt range", outputs},
    {"messages are no accesses to memory", messages},
    {"addresses beyond the width fault", widths},
    {"an entry is loaded once", loads},
    {"a batch answers each request for itself", batches},
};

const struct case_table cases_of_rights = {rows, sizeof rows / sizeof *rows};
