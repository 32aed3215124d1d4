/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * renewal.pml - the IOTLB's tags run out, and are dealt out anew.
 *
 * Modelled: two address spaces and one IOVA, whose entries of the IOTLB share one way, and as many
 * tags as there are spaces, so that every fresh tag is a renewal. Each space has a reader with a
 * port of its own: a first-level entry, one section after the other, one translation in each, all
 * of which fill the IOTLB. A change makes a space's table lead to its next page and invalidates the
 * space, as a whole or as a range; or a space that is none of the two is made, for which tags are
 * renewed and nothing is drained. Page n of a space belongs to it until its change n completes, and
 * is poisoned at that moment.
 *
 * Memory, sections and the drain stand in memory.pml.
 *
 * Step                       Function in CSources/CIOMMU
 *   Reader: enter, first_level, walk, fill, answer    as in protocol.pml
 *   Reader: way              short_way.h: way_load
 *   Reader: probe            short_way.h: iotlb_leaf
 *   Changer: renew           space.c: renew_tags; iotlb.c: ciommu_iotlb_clear
 *   Changer: whole           space.c: invalidate_whole, fresh_tag
 *   Changer: ranges          space.c: invalidate_ranges, clear_range
 *   Changer: make            space.c: ciommu_spaces_renew_tags, ciommu_spaces_make
 *   Changer: settle          invalidate.c: ciommu_unit_settle
 *
 * Made simpler
 *   - What protocol.pml makes simpler. Page sizes and known tables are left out.
 *   - Tags are dealt out in any order. In the engine in that of the slots, some of which are free:
 *     which ones may change between two renewals.
 *   - All changes are under the table lock, so that one thread makes them. What others could change
 *     while a drain waits stands in the space that is made, which drains nothing.
 *
 * Rules that a definition breaks. As in debug.h: TAG_UNCHECKED, INSERT_UNCHECKED. Of the model
 * alone: RENEW_KEEPS_TAGS (spaces keep their old tags until they get new ones), RENEW_KEEPS_ENTRIES
 * (the IOTLB is not cleared), RENEW_CLEARS_FIRST (it is cleared before the tags are taken away),
 * RENEW_DEALS_FIRST (it is cleared after new tags are out), RENEW_NO_BUMP (generations do not move
 * when the tags are taken away), CLEAR_UNLOCKED (it is cleared without the stripe), TAG_ALONE
 * (after a hit the IOTLB's half of the tag is compared, not how often it was renewed), TAG_FIRST
 * (the tag is loaded before the generation).
 *
 * Properties, by the names of the comments beside their assertions
 *   foreign    nobody gets a page of the other space
 *   stale      a section that began after a change completed gets no older page
 *   poisoned   nobody uses a page after the change that took it away completed
 *   (end)      all processes come to their ends
 *
 * Bounds, by -D: SECTIONS of the first reader, SECOND_SECTIONS of the other, CHANGES. RENEWALS: all
 * changes are spaces that are made.
 */

#define READERS 2 /* and spaces */

#ifndef SECTIONS
#define SECTIONS 1
#endif
#ifndef SECOND_SECTIONS
#define SECOND_SECTIONS SECTIONS
#endif
#ifndef CHANGES
#define CHANGES 1
#endif

#define UGEN 0
#define STRIPE 1
#define ENTRY 2      /* the IOTLB's */
#define GENERATION 3 /* of space 0, then of space 1, as all below */
#define TAG 5
#define LEAF 7
#define WORDS 9

#define CHANGER READERS
#define PROCESSES (READERS + 1)

#define PAGES 8 /* of each space */
#define OF(space, page) ((space) * PAGES + (page))

byte completed[READERS]; /* a space's pages below are poisoned */

#define USED(page) assert((page) % PAGES >= completed[(page) / PAGES]) /* poisoned */

#include "memory.pml"

/* ---- Readers ---- */

/* A tag tells how often tags were renewed; entries of the IOTLB do not. */
#define TAG_OF(renewals, number) ((renewals) * 4 + (number))
#define NUMBER(tag) ((tag) % 4)

#define ENTRY_OF(tag, page) (1 + (tag) * 2 * PAGES + (page))
#define ENTRY_TAG(entry) (((entry) - 1) / (2 * PAGES))
#define ENTRY_PAGE(entry) (((entry) - 1) % (2 * PAGES))

inline enter() {
	d_step {
		ALONE(me) -> /* exchange_seq_cst */
		born = completed[me];
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
		load(me, GENERATION + me, value);
		if
		:: d_step { value == kept_generation -> checked = true; page = kept_page }
		:: d_step { value != kept_generation -> kept_page = NONE; kept_generation = 0 }
		fi;
		value = 0
	:: true /* another page or requester lies there, or less is granted */
	fi
}

inline way() {
#ifdef TAG_FIRST
	load(me, TAG + me, tag);
	load(me, GENERATION + me, generation)
#else
	load(me, GENERATION + me, generation);
	load(me, TAG + me, tag)
#endif
}

/* Sets `page`, or leaves it NONE. */
inline probe() {
	load(me, ENTRY, value);
	if
	:: value != 0 && ENTRY_TAG(value) == NUMBER(tag) ->
		page = ENTRY_PAGE(value);
#ifndef TAG_UNCHECKED
		load(me, TAG + me, value);
		if
#ifdef TAG_ALONE
		:: NUMBER(value) != NUMBER(tag) -> page = NONE
#else
		:: value != tag -> page = NONE
#endif
		:: else
		fi
#endif
	:: else
	fi;
	value = 0
}

inline fill() {
	if /* try-lock */
	:: d_step { ALONE(me) && memory[STRIPE] == 0 -> memory[STRIPE] = 1 };
		load(me, GENERATION + me, value);
		if
#ifndef INSERT_UNCHECKED
		:: value == generation ->
#else
		:: true ->
#endif
			value = 0;
			store(me, ENTRY, ENTRY_OF(NUMBER(tag), page))
		:: else -> value = 0
		fi;
		store(me, STRIPE, 0)
	:: memory[STRIPE] != 0
	fi
}

inline translate() {
	first_level();
	if
	:: page != NONE
	:: else ->
		way();
		if
		:: tag != 0 -> probe()
		:: true
		fi;
		if
		:: page != NONE
		:: else ->
			load(me, LEAF + me, page);
			if
			:: tag != 0 -> fill()
			:: true
			fi
		fi;
		d_step {
			kept_page = page;
			kept_generation = generation;
			checked = true;
			generation = 0;
			tag = 0
		}
	fi
}

proctype Reader(byte me) {
	byte sections;
	byte born; /* changes of the space that completed before the section began */
	byte seen_ugen, generation, tag, value;
	byte page = NONE;
	byte kept_page = NONE, kept_generation; /* the first level */
	bool checked;

	do
	:: sections < (me == 0 -> SECTIONS : SECOND_SECTIONS) ->
		enter();
		translate();
		d_step {
			assert(page / PAGES == me);     /* foreign */
			assert(page % PAGES >= born); /* stale */
			store(me, LEAVE, page);
			page = NONE;
			born = 0;
			sections++
		}
	:: else -> break
	od
}

/* ---- Changes ---- */

/* add_seq_cst */
#define add(counter) d_step { ALONE(CHANGER) -> memory[counter]++ }
/* The lock's holder knows the value. */
#define bump(counter)                                                                              \
	d_step {                                                                                       \
		load(CHANGER, counter, value);                                                             \
		store(CHANGER, counter, value + 1);                                                        \
		value = 0                                                                                  \
	}

inline clear() {
#ifndef CLEAR_UNLOCKED
	d_step { ALONE(CHANGER) && memory[STRIPE] == 0 -> memory[STRIPE] = 1 };
#endif
	store(CHANGER, ENTRY, 0);
#ifndef CLEAR_UNLOCKED
	store(CHANGER, STRIPE, 0)
#endif
}

inline take_away(space) {
#ifndef RENEW_KEEPS_TAGS
	d_step { ALONE(CHANGER) -> memory[TAG + space] = 0 }; /* store_seq_cst */
#endif
#ifndef RENEW_NO_BUMP
	add(GENERATION + space)
#endif
}

inline deal(space, number) {
	store(CHANGER, TAG + space, TAG_OF(renewals, number));
	add(GENERATION + space)
}

inline renew() {
#ifdef RENEW_CLEARS_FIRST
	clear();
#endif
	renewals++;
	take_away(0);
	take_away(1);
#if !defined(RENEW_CLEARS_FIRST) && !defined(RENEW_DEALS_FIRST) && !defined(RENEW_KEEPS_ENTRIES)
	clear();
#endif
	if
	:: first = 1
	:: first = 2
	fi;
	deal(0, first);
	deal(1, 3 - first);
#ifdef RENEW_DEALS_FIRST
	clear();
#endif
	first = 0
}

inline whole(space) {
	renew();
	bump(GENERATION + space)
}

inline ranges(space) {
	add(GENERATION + space);
	load(CHANGER, ENTRY, value);
	if
	:: value != 0 -> clear()
	:: else
	fi;
	value = 0;
	bump(GENERATION + space)
}

proctype Changer() {
	byte changes, page[READERS], value, port, space, first, renewals;

	do
	:: changes < CHANGES ->
		if
		:: space = 0
		:: space = 1
		fi;
		if
		:: renew()
#ifndef RENEWALS
		:: page[space]++;
			store(CHANGER, LEAF + space, OF(space, page[space]));
			if
			:: whole(space)
			:: ranges(space)
			fi;
			add(UGEN);
			drain(0);
			completed[space] = page[space]
#endif
		fi;
		d_step {
			space = 0;
			changes++
		}
	:: else -> break
	od
}

init {
	atomic {
		memory[LEAF] = OF(0, 0);
		memory[LEAF + 1] = OF(1, 0);
		memory[TAG] = 1;
		memory[TAG + 1] = 2;
		run Reader(0);
		run Buffer(0);
		run Reader(1);
		run Buffer(1);
		run Changer();
		run Buffer(CHANGER)
	}
}
