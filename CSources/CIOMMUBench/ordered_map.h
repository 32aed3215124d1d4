/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * ordered_map.h - a B+-tree from numbers to numbers, for the baseline behind a reader-writer lock.
 * Knows nothing of locks: one writer, or any readers.
 *
 * Nodes come from an array and are never given back singly; a leaf that lost its keys stays in the
 * tree. When the array is used up, the map empties itself: it is a cache.
 */
#ifndef CIOMMU_BENCH_ORDERED_MAP_H
#define CIOMMU_BENCH_ORDERED_MAP_H

#include <stdint.h>

#define MAP_FANOUT 32u
#define MAP_GROUP 32u /* keys looked up together */

/* A node; inner ones begin with the smallest key of each child (the leftmost with INT64_MIN), and
 * places that are not used hold INT64_MAX. */
struct map_node {
    int64_t keys[MAP_FANOUT];
    union {
        uint64_t values[MAP_FANOUT];
        uint32_t children[MAP_FANOUT];
    };
    uint32_t count;
    uint32_t next; /* leaf to the right; 0 = none */
} __attribute__((aligned(64)));

struct ordered_map;

/* Looks keys up, all of a group together level by level; a value that is not there is 0. */
typedef void (*map_find)(const struct ordered_map *map, const int64_t *keys, uint64_t *values,
                         uint32_t count);
typedef uint64_t (*map_find_one)(const struct ordered_map *map, int64_t key);

struct ordered_map {
    struct map_node *nodes;
    uint32_t root;
    uint32_t height; /* levels above the leaves */
    uint32_t used;
    uint32_t capacity;
    map_find find;
    map_find_one find_one; /* chosen by what the processor can do */
};

/* For about `entries` keys. */
void map_init(struct ordered_map *map, uint64_t entries);
void map_fini(struct ordered_map *map);
/* Keys are above INT64_MIN and below INT64_MAX, values not 0. */
void map_insert(struct ordered_map *map, int64_t key, uint64_t value);
/* Removes the keys first...last, inclusive. */
void map_remove(struct ordered_map *map, int64_t first, int64_t last);
void map_clear(struct ordered_map *map);

#endif
