/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * ordered_map.c - see ordered_map.h.
 */
#include "ordered_map.h"
#include "check.h"

#include <string.h>

#define SPARE 16u /* nodes that one insertion may take at most */

typedef int64_t lanes __attribute__((vector_size(32)));

/* How many keys of the node are not above `key`. */
static INLINE uint32_t rank_in(const struct map_node *node, int64_t key) {
    const lanes *keys = (const lanes *)(const void *)node->keys;
    const lanes wanted = {key, key, key, key};
    lanes sum = {0};
    for (unsigned index = 0; index < MAP_FANOUT / 4; index++) {
        sum -= keys[index] <= wanted;
    }
    return (uint32_t)(sum[0] + sum[1] + sum[2] + sum[3]);
}

static INLINE uint64_t value_in(const struct map_node *leaf, int64_t key) {
    uint32_t rank = rank_in(leaf, key);
    return rank != 0 && leaf->keys[rank - 1] == key ? leaf->values[rank - 1] : 0;
}

static INLINE uint64_t look_up(const struct ordered_map *map, int64_t key) {
    const struct map_node *node = &map->nodes[map->root];
    for (uint32_t level = map->height; level > 0; level--) {
        node = &map->nodes[node->children[rank_in(node, key) - 1]];
    }
    return value_in(node, key);
}

static INLINE void fetch(const struct map_node *node) {
    for (unsigned line = 0; line < MAP_FANOUT / 8; line++) {
        __builtin_prefetch(&node->keys[line * 8]);
    }
}

/* All leaves lie equally deep, so a group descends together, and every level's nodes come in while
 * the others are searched. */
static INLINE void look_up_group(const struct ordered_map *map, const int64_t *keys,
                                 uint64_t *values, uint32_t count) {
    const struct map_node *nodes[MAP_GROUP];
    for (uint32_t index = 0; index < count; index++) {
        nodes[index] = &map->nodes[map->root];
    }
    for (uint32_t level = map->height; level > 0; level--) {
        for (uint32_t index = 0; index < count; index++) {
            const struct map_node *node = nodes[index];
            nodes[index] = &map->nodes[node->children[rank_in(node, keys[index]) - 1]];
            fetch(nodes[index]);
        }
    }
    for (uint32_t index = 0; index < count; index++) {
        values[index] = value_in(nodes[index], keys[index]);
    }
}

static void find_plain(const struct ordered_map *map, const int64_t *keys, uint64_t *values,
                       uint32_t count) {
    look_up_group(map, keys, values, count);
}

static uint64_t find_one_plain(const struct ordered_map *map, int64_t key) {
    return look_up(map, key);
}

#if defined(__x86_64__)
__attribute__((target("avx2"))) static void
find_wide(const struct ordered_map *map, const int64_t *keys, uint64_t *values, uint32_t count) {
    look_up_group(map, keys, values, count);
}

__attribute__((target("avx2"))) static uint64_t find_one_wide(const struct ordered_map *map,
                                                              int64_t key) {
    return look_up(map, key);
}
#endif

/* ---- Life ---- */

static uint32_t new_node(struct ordered_map *map) {
    struct map_node *node = &map->nodes[map->used];
    for (unsigned index = 0; index < MAP_FANOUT; index++) {
        node->keys[index] = INT64_MAX;
    }
    node->count = 0;
    node->next = 0;
    return map->used++;
}

void map_clear(struct ordered_map *map) {
    map->used = 1; /* 0 is no node */
    map->height = 0;
    map->root = new_node(map);
}

void map_init(struct ordered_map *map, uint64_t entries) {
    map->capacity = (uint32_t)(entries / (MAP_FANOUT / 4) + 4 * SPARE);
    map->nodes = bench_pages(map->capacity * sizeof(struct map_node), "the tree");
    map->find = find_plain;
    map->find_one = find_one_plain;
#if defined(__x86_64__)
    if (__builtin_cpu_supports("avx2")) {
        map->find = find_wide;
        map->find_one = find_one_wide;
    }
#endif
    map_clear(map);
}

void map_fini(struct ordered_map *map) {
    bench_pages_free(map->nodes, map->capacity * sizeof(struct map_node));
}

/* ---- Changes ---- */

static void open_gap(struct map_node *node, uint32_t at, bool leaf) {
    uint32_t moved = node->count++ - at;
    memmove(&node->keys[at + 1], &node->keys[at], moved * sizeof node->keys[0]);
    if (leaf) {
        memmove(&node->values[at + 1], &node->values[at], moved * sizeof node->values[0]);
    } else {
        memmove(&node->children[at + 1], &node->children[at], moved * sizeof node->children[0]);
    }
}

/* Splits the full child at `place` of a parent that has room; the right half is new. Keys that come
 * in ascending order leave full nodes behind. */
static void split(struct ordered_map *map, struct map_node *parent, uint32_t place, bool leaf,
                  int64_t key) {
    struct map_node *left = &map->nodes[parent->children[place]];
    uint32_t fresh = new_node(map);
    struct map_node *right = &map->nodes[fresh];
    bool at_end = key > left->keys[MAP_FANOUT - 1];
    uint32_t stay = !at_end ? MAP_FANOUT / 2 : leaf ? MAP_FANOUT : MAP_FANOUT - 1;
    int64_t separator = stay == MAP_FANOUT ? key : left->keys[stay];
    right->count = MAP_FANOUT - stay;
    memcpy(right->keys, &left->keys[stay], right->count * sizeof right->keys[0]);
    if (leaf) {
        memcpy(right->values, &left->values[stay], right->count * sizeof right->values[0]);
        right->next = left->next;
        left->next = fresh;
    } else {
        memcpy(right->children, &left->children[stay], right->count * sizeof right->children[0]);
    }
    left->count = stay;
    for (uint32_t index = stay; index < MAP_FANOUT; index++) {
        left->keys[index] = INT64_MAX;
    }
    open_gap(parent, place + 1, false);
    parent->keys[place + 1] = separator;
    parent->children[place + 1] = fresh;
}

static void grow_root(struct ordered_map *map, int64_t key) {
    uint32_t fresh = new_node(map);
    struct map_node *root = &map->nodes[fresh];
    root->keys[0] = INT64_MIN;
    root->children[0] = map->root;
    root->count = 1;
    split(map, root, 0, map->height == 0, key);
    map->root = fresh;
    map->height++;
}

void map_insert(struct ordered_map *map, int64_t key, uint64_t value) {
    if (map->used + SPARE > map->capacity) {
        map_clear(map);
    }
    if (map->nodes[map->root].count == MAP_FANOUT) {
        grow_root(map, key);
    }
    struct map_node *node = &map->nodes[map->root];
    for (uint32_t level = map->height; level > 0; level--) {
        uint32_t place = rank_in(node, key) - 1;
        if (map->nodes[node->children[place]].count == MAP_FANOUT) {
            split(map, node, place, level == 1, key);
            place = rank_in(node, key) - 1;
        }
        node = &map->nodes[node->children[place]];
    }
    uint32_t place = rank_in(node, key);
    if (place == 0 || node->keys[place - 1] != key) {
        open_gap(node, place, true);
        node->keys[place++] = key;
    }
    node->values[place - 1] = value;
}

/* Takes first...last out of a leaf. */
static void thin(struct map_node *leaf, int64_t first, int64_t last) {
    uint32_t kept = 0;
    for (uint32_t index = 0; index < leaf->count; index++) {
        int64_t key = leaf->keys[index];
        if (key < first || key > last) {
            leaf->keys[kept] = key;
            leaf->values[kept++] = leaf->values[index];
        }
    }
    for (uint32_t index = kept; index < leaf->count; index++) {
        leaf->keys[index] = INT64_MAX;
    }
    leaf->count = kept;
}

void map_remove(struct ordered_map *map, int64_t first, int64_t last) {
    struct map_node *leaf = &map->nodes[map->root];
    for (uint32_t level = map->height; level > 0; level--) {
        leaf = &map->nodes[leaf->children[rank_in(leaf, first) - 1]];
    }
    for (;;) {
        bool ends = leaf->count != 0 && leaf->keys[leaf->count - 1] > last;
        thin(leaf, first, last);
        if (ends || leaf->next == 0 || first == last) {
            return;
        }
        leaf = &map->nodes[leaf->next];
    }
}
