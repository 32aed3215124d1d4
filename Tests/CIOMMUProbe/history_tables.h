/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * history_tables.h - a guest's tables for histories, written by hand; see history_tables.c.
 */
#ifndef PROBE_HISTORY_TABLES_H
#define PROBE_HISTORY_TABLES_H

#include "history_world.h"

#define HISTORY_TABLE_BASE UINT64_C(0x200000000) /* output address of a guest's tables */
#define HISTORY_TABLE_BYTES (UINT64_C(96) * HISTORY_PAGE)

/* The first stage of a nested space; the root, an address of the parent. */
uint64_t history_build_first(struct history_world *world, uint32_t space);

/* Everything behind the root tables: fills in world->roots. */
void history_build_guest(struct history_world *world);

#endif
