/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * children.pml - a nested space, and changes of the second stage that it rests on.
 *
 * Modelled: one IOVA of one nested space (the child). Its own table lies somewhere in
 * guest-physical memory and names a page there; where both lie, the parent's table says, which an
 * entry above (TOP) names. A change exchanges the parent's table, or one of its two entries, and is
 * followed by an invalidation of the parent, which goes on to its children. Page n belongs to the
 * IOVA until the change that takes it away completes, and is poisoned at that moment; tables of the
 * parent, and places where the child's table lay, are freed so. The child is made by the first
 * reader that needs it, beside all that (its birth). Readers have a port each: a first-level entry,
 * known tables of both stages, and all fill the IOTLB.
 *
 * Memory, sections and the drain stand in memory.pml.
 *
 * Step                       Function in CSources/CIOMMU
 *   Reader: enter, first_level, probe, fill, answer   as in protocol.pml
 *   Reader: birth            resolve.c: walk_binding; binding.c: ciommu_bindings_publish;
 *                            space.c: make
 *   Reader: way              short_way.h: way_load
 *   Reader: parent_table     quick_walk.h: quick_known, ciommu_quick_second; walk.h: known_table
 *   Reader: walk             quick_walk.c: walk_nested; quick_walk.h: quick_open, quick_finish
 *   Invalidator: parent      space.c: ciommu_space_invalidate, invalidate_whole, invalidate_ranges
 *   Invalidator: children    space.c: invalidate_children, fresh_tag
 *   Invalidator: settle      invalidate.c: ciommu_unit_settle
 *
 * Made simpler
 *   - What protocol.pml makes simpler. The child's own table does not change: protocol.pml.
 *   - Nested walks do not look into the IOTLB for the second stage, so the parent's entries there,
 *     its tag and its generation are not needed.
 *   - A new child begins with an empty IOTLB, a tag of its own, and nothing known.
 *   - A resolver that finds the table lock taken answers without keeping anything.
 * Left out: a second child, the child's retirement (tables.pml), tags that run out
 * (renewal.pml).
 *
 * Rules that a definition breaks. As in debug.h: NO_CHILDREN, CHILD_FIRST, CHILD_KEEPS_WALKGEN,
 * CHILD_KEEPS_TAG, KEEP_WALKGEN (of the parent). Of the model alone: PARENT_EARLY (the parent's
 * walk generation is loaded before the child's generation), BORN_LATE (a child is listed with its
 * parent only after its first walk), CHILD_KEEPS_GENERATION.
 *
 * Properties, by the names of the comments beside their assertions
 *   stale      a section that began after a change completed gets no older page
 *   poisoned   nobody uses a page after the change that took it away completed
 *   freed      nobody reads a table of either stage after the change that took it away completed
 *   (end)      all processes come to their ends
 *
 * Bounds, by -D: READERS (1, 2), SECTIONS of the first, SECOND_SECTIONS of the second, CHANGES.
 */

#ifndef READERS
#define READERS 1
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

#define UGEN 0
#define LOCK 1 /* the table lock */
#define GENERATION 2
#define WALK_GENERATION 3
#define TAG 4
#define SIZES 5
#define STRIPE 6
#define ENTRY 7 /* the IOTLB's */
#define PARENT_WALK_GENERATION 8
#define TOP 9                         /* of the parent */
#define DATA 10                       /* of the parent's tables: where the page lies */
#define PLACE (DATA + CHANGES + 1)    /* and where the child's table lies */
#define WORDS (PLACE + CHANGES + 1)

#define INVALIDATOR READERS
#define PROCESSES (READERS + 1)

byte completed;    /* changes */
byte poisoned;     /* pages below are */
byte freed_tables; /* of the parent, below */
byte freed_places; /* of the child's table, below */

/* Table lock. */
bool listed;   /* the child is alive, and among its parent's children */
byte next_tag;

#define USED(page) assert(page >= poisoned) /* poisoned */

#include "memory.pml"

/* A store of the lock's holder: glibc's mutex has a locked instruction at its beginning. */
inline lock(me) {
	d_step { ALONE(me) && memory[LOCK] == 0 -> memory[LOCK] = 1 }
}

inline unlock(me) {
	store(me, LOCK, 0)
}

#define bump(me, counter) load(me, counter, value); store(me, counter, value + 1); value = 0

/* ---- Readers ---- */

#define ENTRY_OF(tag, page) (1 + (tag) * 4 + (page))
#define ENTRY_TAG(entry) (((entry) - 1) / 4)
#define ENTRY_PAGE(entry) (((entry) - 1) % 4)

inline enter() {
	d_step {
		ALONE(me) -> /* exchange_seq_cst */
		born = poisoned;
		odd[me] = 1;
		moves(me)
	};
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
		load(me, GENERATION, value);
		if
		:: d_step { value == kept_generation -> checked = true; page = kept_page }
		:: d_step { value != kept_generation -> kept_page = NONE; kept_generation = 0 }
		fi;
		value = 0
	:: true /* another page or requester lies there, or less is granted */
	fi
}

inline fresh_tag(me) {
	d_step {
		next_tag++;
		store(me, TAG, next_tag)
	}
}

/* What a space begins with; table lock. */
inline make() {
	store(me, SIZES, 0);
	bump(me, WALK_GENERATION);
	fresh_tag(me);
	d_step { ALONE(me) -> memory[GENERATION]++ }; /* add_seq_cst */
#ifndef BORN_LATE
	listed = true
#endif
}

/* Finds the child, or makes it; or leaves `bound` false. */
inline birth() {
	if
	:: bound
	:: !bound ->
		if /* try-lock */
		:: lock(me);
			if
			:: !listed -> make()
			:: listed
			fi;
			bound = true;
			unlock(me)
		:: memory[LOCK] != 0
		fi
	fi
}

inline way() {
#ifdef PARENT_EARLY
	load(me, PARENT_WALK_GENERATION, parent_walk_generation);
#endif
	load(me, GENERATION, generation);
	load(me, TAG, tag);
	load(me, WALK_GENERATION, walk_generation);
#ifndef PARENT_EARLY
	load(me, PARENT_WALK_GENERATION, parent_walk_generation)
#endif
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

/* Sets `table`: the parent's, known or not. */
inline parent_table() {
	if
	:: bound && known_parent_walk_generation == parent_walk_generation -> table = known_table
	:: true ->
		load(me, TOP, table);
		if
		:: bound -> d_step {
			known_table = table;
			known_parent_walk_generation = parent_walk_generation
		}
		:: !bound
		fi
	fi;
	assert(table >= freed_tables) /* freed */
}

inline walk() {
	if
	:: bound && known_walk_generation == walk_generation -> place = known_place
	:: true ->
		parent_table();
		load(me, PLACE + table, place);
		if
		:: bound -> d_step { known_place = place; known_walk_generation = walk_generation }
		:: !bound
		fi
	fi;
	assert(place >= freed_places); /* freed */
	parent_table();
	d_step {
		load(me, DATA + table, page);
		place = 0;
		table = 0
	}
}

inline fill() {
	load(me, SIZES, value);
	if
	:: value == 0 -> d_step { ALONE(me) -> memory[SIZES] = 1 } /* or_seq_cst */
	:: else
	fi;
	value = 0;
	if /* try-lock */
	:: d_step { ALONE(me) && memory[STRIPE] == 0 -> memory[STRIPE] = 1 };
		load(me, GENERATION, value);
		if
		:: value == generation ->
			value = 0;
			store(me, ENTRY, ENTRY_OF(tag, page))
		:: else -> value = 0
		fi;
		store(me, STRIPE, 0)
	:: memory[STRIPE] != 0
	fi
}

inline answer() {
	d_step {
		kept_page = page;
		kept_generation = generation;
		checked = true;
		generation = 0;
		tag = 0;
		walk_generation = 0;
		parent_walk_generation = 0
	}
#ifdef BORN_LATE
	;
	listed = true
#endif
}

inline translate() {
	first_level();
	if
	:: page != NONE
	:: else ->
		birth();
		if
		:: !bound -> walk()
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
	fi
}

proctype Reader(byte me) {
	byte sections;
	byte born; /* pages below were poisoned before the section began */
	byte seen_ugen, generation, tag, walk_generation, parent_walk_generation, value;
	byte table, place;
	byte page = NONE;
	byte kept_page = NONE, kept_generation; /* the first level */
	bool checked;
	bool bound; /* knows the child */
	byte known_table, known_parent_walk_generation = NONE;
	byte known_place, known_walk_generation = NONE;

	do
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
	od
}

/* ---- The invalidator ---- */

/* Exchanges the parent's table, the entry of the page, or that of the child's table. */
inline change() {
	if
	:: exchanged = true;
		table++;
		page++;
		store(INVALIDATOR, DATA + table, page);
		store(INVALIDATOR, PLACE + table, place);
		store(INVALIDATOR, TOP, table)
	:: exchanged = false;
		page++;
		store(INVALIDATOR, DATA + table, page)
	:: exchanged = false;
		place++;
		store(INVALIDATOR, PLACE + table, place)
	fi
}

inline parent() {
#ifndef KEEP_WALKGEN
	if
	:: bump(INVALIDATOR, PARENT_WALK_GENERATION) /* whole, or not leaves alone */
	:: !exchanged
	fi
#else
	skip
#endif
}

inline children() {
#ifndef NO_CHILDREN
	if
	:: listed ->
#ifndef CHILD_KEEPS_WALKGEN
		bump(INVALIDATOR, WALK_GENERATION);
#endif
#ifndef CHILD_KEEPS_TAG
		fresh_tag(INVALIDATOR);
#endif
#ifndef CHILD_KEEPS_GENERATION
		bump(INVALIDATOR, GENERATION)
#endif
	:: !listed
	fi
#else
	skip
#endif
}

proctype Invalidator() {
	byte table, page, place, value, port;
	bool exchanged;

	do
	:: completed < CHANGES ->
		change();
		lock(INVALIDATOR);
#ifdef CHILD_FIRST
		children();
		parent();
#else
		parent();
		children();
#endif
		unlock(INVALIDATOR);
		d_step { ALONE(INVALIDATOR) -> memory[UGEN]++ }; /* add_seq_cst */
		drain(0);
		d_step {
			completed++;
			poisoned = page;
			freed_tables = table;
			freed_places = place;
			exchanged = false
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
