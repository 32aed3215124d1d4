/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * poison_tables.c - see poison_tables.h.
 */
#include "poison_tables.h"

#include <stdlib.h>
#include <string.h>

#define PRESENT UINT64_C(1)
#define LARGE UINT64_C(0x80)
#define PASID_ENABLED UINT64_C(8)         /* PASIDE of a scalable context entry */
#define SCALABLE_MODE (UINT64_C(1) << 10) /* RTADDR.TTM */
#define ENTRY_ADDRESS (~(TABLE_PAGE - 1) & UINT64_C(0x000fffffffffffff))

bool guest_ram_init(struct guest_ram *ram, uint64_t bytes) {
    memset(ram, 0, sizeof *ram);
    ram->host = aligned_alloc(TABLE_PAGE, bytes);
    if (ram->host == NULL) {
        return false;
    }
    memset(ram->host, 0, bytes);
    ram->bytes = bytes;
    ram->next = TABLE_PAGE; /* address 0 is nobody's */
    return true;
}

void guest_ram_fini(struct guest_ram *ram) {
    free(ram->host);
    ram->host = NULL;
}

static uint64_t *word_at(const struct guest_ram *ram, uint64_t address) {
    if (address + sizeof(uint64_t) > ram->bytes) {
        abort(); /* a world that needs more memory than it has is a mistake of the test */
    }
    return (uint64_t *)(void *)(ram->host + address);
}

uint64_t guest_load(const struct guest_ram *ram, uint64_t address) {
    return __atomic_load_n(word_at(ram, address), __ATOMIC_ACQUIRE);
}

void guest_write(struct guest_ram *ram, uint64_t address, uint64_t value) {
    __atomic_store_n(word_at(ram, address), value, __ATOMIC_RELEASE);
}

uint64_t guest_table(struct guest_ram *ram) {
    uint64_t table = ram->next;
    if (ram->spare_count != 0) {
        table = ram->spare[--ram->spare_count];
        guest_fill(ram, table, 0);
    } else {
        ram->next += TABLE_PAGE;
    }
    return table;
}

void guest_table_back(struct guest_ram *ram, uint64_t table) {
    if (ram->spare_count == TABLES_SPARE) {
        abort();
    }
    ram->spare[ram->spare_count++] = table;
}

void guest_copy(struct guest_ram *ram, uint64_t to, uint64_t from) {
    for (uint64_t offset = 0; offset < TABLE_PAGE; offset += sizeof(uint64_t)) {
        guest_write(ram, to + offset, guest_load(ram, from + offset));
    }
}

void guest_fill(struct guest_ram *ram, uint64_t table, uint64_t value) {
    for (uint64_t offset = 0; offset < TABLE_PAGE; offset += sizeof value) {
        guest_write(ram, table + offset, value);
    }
}

/* ---- Windows ---- */

void guest_window_init(struct guest_ram *ram, struct guest_window *window, uint64_t base) {
    window->base = base;
    window->spare_count = WINDOW_PAGES;
    for (uint32_t page = 0; page < WINDOW_PAGES; page++) {
        window->pages[page] = guest_table(ram);
        window->spare[page] = page;
    }
}

static uint64_t *window_page(struct guest_window *window, uint64_t address) {
    uint64_t page = (address - window->base) / TABLE_PAGE;
    if (page >= WINDOW_PAGES) {
        abort();
    }
    return &window->pages[page];
}

uint64_t guest_window_move(struct guest_ram *ram, struct guest_window *window, uint64_t address) {
    uint64_t *page = window_page(window, address);
    uint64_t old = *page;
    *page = guest_table(ram);
    guest_copy(ram, *page, old);
    return old;
}

/* ---- Trees ---- */

uint64_t guest_tree_place(const struct guest_tree *tree, uint64_t table) {
    return tree->window == NULL ? table : *window_page(tree->window, table);
}

uint64_t guest_tree_table(struct guest_ram *ram, const struct guest_tree *tree) {
    struct guest_window *window = tree->window;
    if (window == NULL) {
        return guest_table(ram);
    }
    if (window->spare_count == 0) {
        abort();
    }
    uint32_t page = window->spare[--window->spare_count];
    guest_fill(ram, window->pages[page], 0);
    return window->base + page * TABLE_PAGE;
}

void guest_tree_back(struct guest_ram *ram, const struct guest_tree *tree, uint64_t table) {
    struct guest_window *window = tree->window;
    if (window == NULL) {
        guest_table_back(ram, table);
        return;
    }
    window->spare[window->spare_count++] = (uint32_t)((table - window->base) / TABLE_PAGE);
}

struct guest_tree guest_tree_behind(struct guest_ram *ram, struct guest_window *window,
                                    uint32_t levels, uint64_t flags) {
    struct guest_tree tree = {.levels = levels, .page_lg2 = 12, .flags = flags, .window = window};
    tree.root = guest_tree_table(ram, &tree);
    return tree;
}

struct guest_tree guest_tree_make(struct guest_ram *ram, uint32_t levels, uint64_t flags) {
    return guest_tree_behind(ram, NULL, levels, flags);
}

static uint64_t slot_in(uint64_t table, uint64_t address, uint32_t level) {
    return table + (address >> (12 + 9 * level) & 511) * sizeof(uint64_t);
}

uint64_t guest_slot(struct guest_ram *ram, const struct guest_tree *tree, uint64_t address,
                    uint32_t level) {
    uint64_t table = guest_tree_place(tree, tree->root);
    for (uint32_t at = tree->levels - 1; at > level; at--) {
        uint64_t slot = slot_in(table, address, at);
        if (guest_load(ram, slot) == 0) {
            guest_write(ram, slot, guest_tree_table(ram, tree) | tree->flags);
        }
        table = guest_tree_place(tree, guest_load(ram, slot) & ENTRY_ADDRESS);
    }
    return slot_in(table, address, level);
}

uint64_t guest_leaf(const struct guest_tree *tree, uint64_t output, uint32_t page_lg2) {
    return (output & ~((UINT64_C(1) << page_lg2) - 1)) | tree->flags | (page_lg2 > 12 ? LARGE : 0);
}

void guest_map(struct guest_ram *ram, const struct guest_tree *tree, uint64_t address,
               uint64_t output, uint32_t page_lg2) {
    guest_write(ram, guest_slot(ram, tree, address, (page_lg2 - 12) / 9),
                guest_leaf(tree, output, page_lg2));
}

/* AW of a second stage: 1 is 39 bits, 2 is 48, 3 is 57. */
static uint64_t width_of(const struct guest_tree *second) {
    return second == NULL ? 2 : second->levels - 2;
}

uint64_t guest_legacy_more(struct guest_ram *ram, uint64_t rtaddr, uint32_t source, uint32_t domain,
                           uint64_t type, const struct guest_tree *second) {
    uint64_t contexts = guest_load(ram, rtaddr & ENTRY_ADDRESS) & ENTRY_ADDRESS;
    uint64_t entry = contexts + UINT64_C(16) * (source & 0xff);
    guest_write(ram, entry + 8, width_of(second) | (uint64_t)domain << 8);
    guest_write(ram, entry, (second == NULL ? 0 : second->root) | type << 2 | PRESENT);
    return entry;
}

uint64_t guest_legacy(struct guest_ram *ram, uint32_t source, uint32_t domain, uint64_t type,
                      const struct guest_tree *second, uint64_t *entry) {
    uint64_t roots = guest_table(ram);
    guest_write(ram, roots, guest_table(ram) | PRESENT);
    *entry = guest_legacy_more(ram, roots, source, domain, type, second);
    return roots;
}

uint64_t guest_scalable(struct guest_ram *ram, uint32_t source, uint32_t pasid, uint32_t domain,
                        uint64_t type, const struct guest_tree *first,
                        const struct guest_tree *second, uint64_t *entry) {
    uint64_t roots = guest_table(ram);
    uint64_t contexts = guest_table(ram);
    uint64_t directory = guest_table(ram);
    uint64_t pasids = guest_table(ram);
    guest_write(ram, roots, contexts | PRESENT);
    guest_write(ram, contexts + UINT64_C(32) * (source & 0x7f),
                directory | PASID_ENABLED | PRESENT);
    guest_write(ram, directory, pasids | PRESENT);
    *entry = pasids + UINT64_C(64) * pasid;
    guest_write(ram, *entry + 8, domain);
    if (first != NULL) {
        guest_write(ram, *entry + 16, first->root | (uint64_t)(first->levels == 5) << 2);
    }
    guest_write(ram, *entry,
                (second == NULL ? 0 : second->root) | type << 6 | width_of(second) << 2 | PRESENT);
    return roots | SCALABLE_MODE;
}
