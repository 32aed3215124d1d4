/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * isolation_writes.c - what devices write: each has a word of its own in every page. So a write
 * tells who made it; and the words of a domain that is attached nowhere stand still.
 */
#include "isolation_world.h"

/* Of a device's own word: how often it wrote, in what the stamp leaves free. */
#define WRITES UINT64_C(0xfffffe00)
#define WRITES_SHIFT 9

static uint32_t word_of(const struct iso_device *device) {
    return ISO_SLOTS + (uint32_t)device->id;
}

bool iso_may_hold(uint32_t guest, uint32_t domain, uint32_t page, uint32_t word, uint64_t found) {
    uint64_t plain = iso_stamp(guest, domain, page, word);
    uint32_t number = word - ISO_SLOTS - 1 - guest * ISO_DEVICES; /* its writer, in the guest */
    bool tenants = domain >= ISO_TENANTS;
    return found == plain || ((found & ~WRITES) == plain && number < ISO_DEVICES &&
                              (number == ISO_TENANT_DEVICE) == tenants);
}

void iso_write(const struct iso_device *device, uint64_t *host, uint64_t count) {
    uint64_t *word = host + word_of(device);
    uint64_t before = __atomic_load_n(word, __ATOMIC_RELAXED);
    uint64_t mark = (count << WRITES_SHIFT | UINT64_C(1) << WRITES_SHIFT) & WRITES;
    __atomic_store_n(word, (before & ~WRITES) | mark, __ATOMIC_RELAXED);
}

uint64_t iso_written(const struct iso_guest *guest, uint32_t domain) {
    uint64_t sum = 0;
    for (uint32_t page = 0; page < ISO_PAGES; page++) {
        const uint64_t *words = iso_host(guest, domain, page) + ISO_SLOTS;
        for (uint32_t word = 1; word <= ISO_GUESTS * ISO_DEVICES; word++) {
            sum = sum * 31 + __atomic_load_n(&words[word], __ATOMIC_RELAXED);
        }
    }
    return sum;
}

void iso_rest(struct iso_guest *guest, uint32_t domain) {
    guest->written[domain] = iso_written(guest, domain);
}

void iso_check_rest(struct iso_guest *guest, uint32_t domain) {
    uint64_t now = iso_written(guest, domain);
    if (now != guest->written[domain]) {
        guest->world->complain(guest->world,
                               "written while attached nowhere (guest, domain, sum of its words)",
                               guest->number, domain, now);
    }
}

uint32_t iso_used(const struct iso_guest *guest) {
    uint32_t used = 0;
    for (uint32_t number = 0; number < ISO_TENANT_DEVICE; number++) {
        for (uint32_t point = 0; point < ISO_POINTS; point++) {
            uint32_t state = iso_state(&guest->devices[number].points[point]);
            used |= state == ISO_NOTHING ? 0 : 1u << state;
        }
    }
    return used;
}
