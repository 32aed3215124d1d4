/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * world_host.c - devices and domains as a host makes them.
 */
#include "world.h"

static void map(struct ciommu_domain *domain, uint64_t iova, uint64_t address, uint64_t length) {
    const struct ciommu_mapping mapping = {
        .size = sizeof mapping, .rights = 3, .iova = iova, .length = length, .address = address};
    CHECK(ciommu_domain_map(domain, &mapping));
}

static struct ciommu_domain *make_paging(struct bench_world *world, uint32_t flags) {
    struct ciommu_paging_config config;
    struct ciommu_domain *domain;
    ciommu_paging_config_init(&config);
    config.largest_page_lg2 = world->config.page_lg2;
    config.flags = flags;
    CHECK(ciommu_paging_create(world->unit, &config, &domain));
    return domain;
}

static struct ciommu_domain *make_second(struct bench_world *world, uint32_t space) {
    struct ciommu_domain *domain = make_paging(world, 0);
    uint64_t page = UINT64_C(1) << world->config.page_lg2;
    if (world->apart_lg2 == world->config.page_lg2) {
        map(domain, world->first_iova, bench_output(world, space, 0), page * world->config.pages);
        return domain;
    }
    for (uint32_t index = 0; index < world->config.pages; index++) {
        map(domain, bench_iova(world, index), bench_output(world, space, index), page);
    }
    return domain;
}

static struct ciommu_domain *make_nested(struct bench_world *world, uint32_t space) {
    const struct ciommu_nested_config config = {
        .size = sizeof config, .address_width = 48, .pgtbl_addr = bench_tables_first(world, space)};
    struct ciommu_domain *domain;
    CHECK(ciommu_nested_create(world->parent, &config, &domain));
    return domain;
}

static void attach(struct bench_world *world, uint32_t index) {
    uint32_t source = bench_source(index);
    const struct ciommu_device_config config = {
        .size = sizeof config, .source = source, .id = source, .share = CIOMMU_SHARE_WHOLE};
    CHECK(ciommu_device_create(world->unit, NULL, &config, &world->devices[index]));
    uint32_t pasids = world->config.pasids == 0 ? 1 : world->config.pasids;
    for (uint32_t which = 0; which < pasids; which++) {
        uint32_t pasid = bench_pasid(world, which);
        CHECK(ciommu_device_attach(world->devices[index], pasid,
                                   world->domains[bench_space(world, source, pasid)]));
    }
}

void bench_host_open(struct bench_world *world) {
    enum bench_way way = world->config.way;
    if (way == BENCH_HOST_NESTED) {
        world->parent = make_paging(world, CIOMMU_PAGING_NEST_PARENT);
        map(world->parent, 0, 0, world->ram_bytes);
        map(world->parent, BENCH_GUEST_DATA, BENCH_DATA, world->data_bytes);
    }
    for (uint32_t space = 0; space < world->spaces; space++) {
        world->domains[space] = way == BENCH_HOST_SECOND   ? make_second(world, space)
                                : way == BENCH_HOST_NESTED ? make_nested(world, space)
                                                           : ciommu_domain_identity(world->unit);
    }
    for (uint32_t index = 0; index < world->config.sources; index++) {
        attach(world, index);
    }
}

void bench_host_close(struct bench_world *world) {
    for (uint32_t index = 0; index < world->config.sources; index++) {
        CHECK(ciommu_device_destroy(world->devices[index], NULL));
    }
    for (uint32_t space = 0; space < world->spaces; space++) {
        if (!bench_is_pass(world->config.way)) {
            CHECK(ciommu_domain_destroy(world->domains[space]));
        }
    }
    CHECK(ciommu_domain_destroy(world->parent));
}
