/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * protocol.pml - the protocol between translations and invalidations as a Promela model, for spin.
 * `make model` searches it exhaustively, sound and with each of its rules broken (Tests/Model/run).
 *
 * Modelled: one IOVA of one address space. A table entry above (TOP) names a table, whose entry
 * (LEAF) names a page. Every invalidation follows a change of the guest, after which the IOVA leads
 * to the next page: page n belongs to the IOVA until invalidation n completes, and is poisoned at
 * that moment; a table that was replaced is freed then. Readers have a port each: a first-level
 * entry, a walk-cache entry, one section after the other, one translation in each, all of which
 * may fill the IOTLB.
 *
 * Memory, sections and the drain stand in memory.pml.
 *
 * Step                       Function in CSources/CIOMMU
 *   Reader: enter            include/ciommu_inline.h: ciommu_enter
 *   Reader: resynchronise    port.c: ciommu_port_resynchronise
 *   Reader: first_level      include/ciommu_inline.h: ciommu_first_level_find_in;
 *                            port.c: ciommu_port_revalidate
 *   Reader: way              short_way.h: way_load
 *   Reader: probe            short_way.h: iotlb_leaf; iotlb.h: iotlb_lookup
 *   Reader: walk             walk.h: known_table, quick_load; quick_walk.c: ciommu_walk_quickly
 *   Reader: fill             quick_walk.c: ciommu_iotlb_fill; iotlb.c: ciommu_iotlb_insert
 *   Reader: answer           short_way.h: answer_found, first_level_fill
 *   Reader: leave            include/ciommu_inline.h: ciommu_leave
 *   Invalidator: whole       space.c: invalidate_whole, fresh_tag
 *   Invalidator: ranges      space.c: invalidate_ranges
 *   Invalidator: clear       space.c: clear_range; iotlb.c: ciommu_iotlb_clear_page, stripe_lock
 *   Invalidator: settle      invalidate.c: ciommu_unit_settle
 *   memory.pml: drain        port.c: ciommu_ports_drain, wait_for_move
 *
 * Made simpler
 *   - Epochs of the first level are a bit: was the entry checked since ugen was last seen to move?
 *   - A deadline is left out: a drain waits for ever.
 *   - The first level, the IOTLB and known tables may miss at will (other pages, other rights); a
 *     translation that finds a known table may leave the IOTLB unfilled (tables_first).
 *   - The table lock orders invalidators; there is one here. It is not counted as a barrier.
 *   - A bump without a locked instruction knows the value (only the lock's holder writes it).
 *   - One way, one page size: its bit in `sizes`. Tags do not run out (renewal.pml), so that the
 *     second look at the tag after a hit is not needed.
 *   - LIVENESS leaves translations out: a stripe's lock is not fair, so inserters that met it again
 *     and again could in theory keep an invalidator from it.
 * Left out: what the other models have; faults, the horizon, and processors weaker than TSO.
 *
 * Rules that a definition breaks (Tests/Model/run knows what each must lead to). As in debug.h:
 * PLAIN_ENTER, NO_DRAIN, NEW_PORT_MISSED, ONE_BUMP, LATE_GENERATION, FILL_STAMPED_LATE,
 * BUMP_AFTER_SCAN, INSERT_UNCHECKED, NO_REVALIDATE, UGEN_KEPT, TAG_KEPT, KEEP_WALKGEN,
 * KNOWN_TABLE_UNCHECKED, SIZES_LATE, SIZES_RESET_LATE. Of the model alone: CLEAR_UNLOCKED (an
 * invalidator clears without the stripe), EARLY_UGEN (ugen moves before the generations),
 * LOOK_TWICE (the drain loads the state once to judge it and once more to know what to wait for),
 * WAIT_FOR_EVEN (it waits for an even state, not for a move).
 *
 * Properties, by the names of the comments beside their assertions
 *   stale      a section that began after an invalidation completed gets no older page
 *   poisoned   nobody uses a page after the invalidation that took it away completed
 *   freed      nobody reads a table after the invalidation that took it away completed
 *   (end)      whatever happens, all processes come to their ends: nobody waits in vain
 *   drained    (LIVENESS) an invalidation ends beside sections that follow each other for ever, as
 *              long as no process stands still for ever
 *
 * Bounds, by -D: READERS (1, 2), SECTIONS of the first, SECOND_SECTIONS of the second,
 * CHANGES, one after the other, each of a kind that the search chooses. LIVENESS: endless
 * sections that translate nothing, and one invalidation. The Buffers never fill (asserted). Within
 * that the search is exhaustive.
 */

#ifndef READERS
#define READERS 2
#endif
#ifndef SECTIONS
#define SECTIONS 2
#endif
#ifndef SECOND_SECTIONS
#define SECOND_SECTIONS SECTIONS
#endif
#ifndef CHANGES
#define CHANGES 1
#endif

/* ---- Memory ---- */

#define TOP 0
#define GENERATION 1
#define WALK_GENERATION 2
#define UGEN 3
#define TAG 4
#define SIZES 5
#define STRIPE 6
#define ENTRY 7 /* the IOTLB's */
#define LEAF 8  /* of table 0, then of the others */
#define WORDS (LEAF + CHANGES + 1)

#define INVALIDATOR READERS
#define PROCESSES (READERS + 1)

byte completed; /* invalidations; pages below are poisoned */
byte freed;     /* tables below are */

#define USED(page) assert(page >= completed) /* poisoned */

#include "memory.pml"

/* ---- Readers ---- */

#define ENTRY_OF(tag, page) (1 + (tag) * 4 + (page))
#define ENTRY_TAG(entry) (((entry) - 1) / 4)
#define ENTRY_PAGE(entry) (((entry) - 1) % 4)

inline enter() {
#ifdef PLAIN_ENTER
	d_step {
		born = completed;
		store(me, ENTER, 0)
	};
#else
	d_step {
		ALONE(me) -> /* exchange_seq_cst */
		born = completed;
		odd[me] = 1;
		moves(me)
	};
#endif
	load(me, UGEN, value);
	if
	:: value != seen_ugen -> /* resynchronise */
		load(me, UGEN, seen_ugen);
		checked = false
	:: else
	fi;
	value = 0
}

/* Sets `page`, or leaves it NONE. */
inline first_level() {
	if
	:: kept_page != NONE && checked -> page = kept_page
	:: kept_page != NONE && !checked ->
#ifndef NO_REVALIDATE
		load(me, GENERATION, value);
		if
		:: d_step { value == kept_generation -> checked = true; page = kept_page }
		:: d_step { value != kept_generation -> kept_page = NONE; kept_generation = 0 }
		fi;
		value = 0
#else
		d_step { checked = true; page = kept_page }
#endif
	:: true /* another page or requester lies there, or less is granted */
	fi
}

inline way() {
#ifndef LATE_GENERATION
	load(me, GENERATION, generation);
#endif
	load(me, TAG, tag);
	load(me, WALK_GENERATION, walk_generation)
}

/* Sets `page`, or leaves it NONE. */
inline probe() {
	load(me, SIZES, value);
	if
	:: value != 0 ->
		load(me, ENTRY, value);
		if
		:: value != 0 && ENTRY_TAG(value) == tag -> page = ENTRY_PAGE(value)
		:: else
		fi
	:: else
	fi;
	value = 0
}

inline walk() {
	if
#ifndef KNOWN_TABLE_UNCHECKED
	:: known_walk_generation == walk_generation
#else
	:: known_walk_generation != NONE
#endif
	:: true ->
		load(me, TOP, known_table);
		known_walk_generation = walk_generation
	fi;
	d_step {
		assert(known_table >= freed); /* freed */
		load(me, LEAF + known_table, page)
	};
#ifdef LATE_GENERATION
	load(me, GENERATION, generation);
	load(me, TAG, tag)
#endif
}

inline set_size() {
	load(me, SIZES, value);
	if
	:: value == 0 -> d_step { ALONE(me) -> memory[SIZES] = 1 } /* or_seq_cst */
	:: else
	fi;
	value = 0
}

inline fill() {
#ifndef SIZES_LATE
	set_size();
#endif
	if /* try-lock */
	:: d_step { ALONE(me) && memory[STRIPE] == 0 -> memory[STRIPE] = 1 };
		load(me, GENERATION, value);
		if
#ifndef INSERT_UNCHECKED
		:: value == generation ->
#else
		:: true ->
#endif
			value = 0;
			store(me, ENTRY, ENTRY_OF(tag, page))
		:: else -> value = 0
		fi;
		store(me, STRIPE, 0)
	:: memory[STRIPE] != 0
	fi;
#ifdef SIZES_LATE
	set_size()
#endif
}

inline answer() {
#ifdef FILL_STAMPED_LATE
	load(me, GENERATION, generation);
#endif
	d_step {
		kept_page = page;
		kept_generation = generation;
		checked = true;
		generation = 0;
		tag = 0;
		walk_generation = 0
	}
}

inline translate() {
	first_level();
	if
	:: page != NONE
	:: else ->
		way();
		if
		:: probe()
		:: true
		fi;
		if
		:: page != NONE
		:: else ->
			walk();
			if
			:: fill()
			:: true
			fi
		fi;
		answer()
	fi
}

proctype Reader(byte me) {
	byte sections;
	byte born; /* invalidations that completed before the section began */
	byte seen_ugen, generation, tag, walk_generation, value;
	byte page = NONE;
	byte kept_page = NONE, kept_generation; /* the first level */
	bool checked;
	byte known_table, known_walk_generation = NONE; /* the walk cache */

	do
#ifdef LIVENESS
	:: enter();
		store(me, LEAVE, NONE)
#else
	:: sections < (me == 0 -> SECTIONS : SECOND_SECTIONS) ->
		enter();
		translate();
		d_step {
			assert(page >= born); /* stale */
			store(me, LEAVE, page);
			page = NONE;
			born = 0;
			sections++
		}
	:: else -> break
#endif
	od
}

/* ---- The invalidator ---- */

#define bump(counter, value) d_step { value++; store(INVALIDATOR, counter, value) }

inline whole() {
	bump(WALK_GENERATION, walk_generation);
#ifndef SIZES_RESET_LATE
	store(INVALIDATOR, SIZES, 0);
#endif
#ifndef TAG_KEPT
	bump(TAG, tag);
#endif
#ifdef SIZES_RESET_LATE
	store(INVALIDATOR, SIZES, 0);
#endif
	bump(GENERATION, generation)
}

inline clear() {
#ifndef CLEAR_UNLOCKED
	d_step { ALONE(INVALIDATOR) && memory[STRIPE] == 0 -> memory[STRIPE] = 1 };
#endif
	load(INVALIDATOR, ENTRY, value);
	if
	:: value != 0 && ENTRY_TAG(value) == tag -> store(INVALIDATOR, ENTRY, 0)
	:: else
	fi;
	value = 0;
#ifndef CLEAR_UNLOCKED
	store(INVALIDATOR, STRIPE, 0)
#endif
}

inline ranges() {
#ifndef KEEP_WALKGEN
	if
	:: tables -> bump(WALK_GENERATION, walk_generation)
	:: !tables /* not `else`, which would be judged beside whole() where this is a choice */
	fi;
#endif
#ifndef BUMP_AFTER_SCAN
	d_step { ALONE(INVALIDATOR) -> generation++; memory[GENERATION] = generation }; /* add_seq_cst */
#endif
	load(INVALIDATOR, SIZES, value);
	if
	:: value != 0 -> clear()
	:: else
	fi;
	value = 0;
#ifndef ONE_BUMP
	bump(GENERATION, generation)
#endif
}

inline bump_ugen() {
#ifndef UGEN_KEPT
	d_step { ALONE(INVALIDATOR) -> memory[UGEN]++ } /* add_seq_cst */
#else
	ALONE(INVALIDATOR)
#endif
}

/* The guest's change: a page, or a table with all below. */
inline change() {
	if
	:: tables = false
	:: tables = true
	fi;
	if
	:: tables ->
		table++;
		store(INVALIDATOR, LEAF + table, completed + 1);
		store(INVALIDATOR, TOP, table)
	:: else -> store(INVALIDATOR, LEAF + table, completed + 1)
	fi
}

proctype Invalidator() {
	byte table, tag, generation, walk_generation, value, port;
	bool tables;

	do
	:: completed < CHANGES ->
		change();
#ifdef EARLY_UGEN
		bump_ugen();
#endif
		if
		:: whole()
		:: ranges()
		fi;
#ifndef EARLY_UGEN
		bump_ugen();
#endif
#ifndef NO_DRAIN
		drain(0);
#endif
		d_step {
			completed++;
			freed = table;
			tables = false
		}
	:: else -> break
	od
}

init {
	atomic {
		byte reader = 0;
		do
		:: reader < READERS ->
			run Reader(reader);
			run Buffer(reader);
			reader++
		:: else -> break
		od;
		reader = 0;
		run Invalidator();
		run Buffer(INVALIDATOR)
	}
}

#ifdef LIVENESS
ltl drained { <> (completed == CHANGES) }
#endif
