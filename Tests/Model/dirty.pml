/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * dirty.pml - dirty tracking: D bits in paging structures that the host edits beside walks, which
 * set them, and beside caches, which grant writing only with them.
 *
 * Modelled: one page of one paging domain. An entry above (TOP) is absent, or a large leaf, or
 * names a table, whose entry (LEAF) is the page's leaf. A leaf is clean or dirty. Changes map,
 * unmap, split, merge and protect, switch tracking on and off, and read what is dirty (a round).
 * Readers have a port each: a first-level entry, a known table, one section after the other, one
 * read or write in each, all of which may fill the IOTLB. With ROUNDS a second thread reads what is
 * dirty beside all that.
 *
 * Memory, sections and the drain stand in memory.pml.
 *
 * Step                       Function in CSources/CIOMMU
 *   Reader: enter            include/ciommu_inline.h: ciommu_enter; port.c:
 *                            ciommu_port_resynchronise
 *   Reader: first_level      include/ciommu_inline.h: ciommu_first_level_find_in; port.c:
 *                            ciommu_port_revalidate
 *   Reader: way              short_way.h: way_load
 *   Reader: probe            short_way.h: iotlb_leaf
 *   Reader: walk             walk.h: walk_stage, walk_once, deepest_known, visit_entry
 *   Reader: mark             walk.h: mark
 *   Reader: fill             quick_walk.c: ciommu_iotlb_fill; iotlb.c: ciommu_iotlb_insert
 *   Reader: answer           translate.c: answer_granted; short_way.h: first_level_fill
 *   Changer: map             paging.c: fill, merge; domain_map.c: ciommu_domain_map
 *   Changer: unmap           paging.c: clear, tidy; domain_map.c: ciommu_domain_unmap
 *   Changer: split           paging.c: split
 *   Changer: merge           paging.c: merge
 *   Changer: protect         paging.c: change_rights
 *   Changer: start, stop     paging.c: ciommu_paging_track, clean_tree, ciommu_paging_untrack;
 *                            domain_dirty.c: ciommu_dirty_start, ciommu_dirty_stop
 *   Changer: round           paging.c: take_dirty; domain_dirty.c: ciommu_dirty_read
 *   Changer: end_edit        domain_map.c: ciommu_domain_end_edit; space.c: invalidate_ranges,
 *                            ciommu_space_forget_walks
 *   Changer: retire, Reader: end_reading              page_store.c: ciommu_pages_retire
 *
 * Made simpler
 *   - What stands in protocol.pml: an insertion into the IOTLB, with its check, is one step, as is
 *     clearing (both hold the stripe); there are no tags and no sizes; whole spaces go as ranges.
 *   - ugen moves once for an edit. The engine moves it again before it drains.
 *   - Splitting comes alone. What is split for, in another part of the page, is invalidated too,
 *     which here would only make caches forget.
 *   - Protecting leaves the rights: of interest is that it leaves D.
 *   - A read section of liburcu begins and ends at once, without a store, and a retired table is
 *     free as soon as the last section that was there has ended.
 *   - A bump without a locked instruction knows the value (only the lock's holder writes it).
 * Left out: A bits, which are set by the same exchange; nested spaces (children.pml: a parent's
 * change is one of its children); devices that keep answers (tokens.pml).
 *
 * Rules that a definition breaks. As in debug.h: RIGHTS_WITHOUT_D, DIRTY_NO_INVALIDATE, MARK_PLAIN,
 * SPLIT_WITH_GAP, TABLE_FREED_EARLY, MERGE_KEEPS_WALKGEN, KEEP_WALKGEN, KNOWN_TABLE_UNCHECKED,
 * NO_DRAIN, ONE_BUMP, INSERT_UNCHECKED. Of the model alone: MARK_LOST_GRANTS (an update that lost
 * grants all the same), HIT_WITHOUT_W (a cached answer without W is believed), SPLIT_PLAIN (the
 * table of the parts is stored, not exchanged), SPLIT_CLEAN (its parts are clean), PROTECT_PLAIN
 * (rights are stored, not exchanged), MERGE_TRACKED (pages are merged while tracking is on, with D
 * as the parts had it), CLEAR_LATE (D is cleared after the invalidation), TRACK_NO_INVALIDATE
 * (tracking is switched on without one), ROUND_UNSETTLED (a round that finds nothing does not wait
 * for one that found something).
 *
 * Properties, by the names of the comments beside their assertions
 *   lost       while tracking is on, a page that was written is dirty, or the round that found it
 *              so has not returned yet, at every moment until a round reports it
 *   freed      nobody reads or marks an entry of a table that is free
 *   poisoned   nobody uses the page after its unmap completed
 *   gap        no access faults while the page stays mapped
 *   (end)      all processes come to their ends
 * That nothing grants W without D is the first of these at the moment of a write.
 *
 * Bounds, by -D: READERS (1, 2), SECTIONS of the first, SECOND_SECTIONS of the second, CHANGES,
 * each of a kind that the search chooses, ROUNDS of the second thread. UNTRACKED: tracking is off
 * in the beginning.
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
#ifndef ROUNDS
#define ROUNDS 0
#endif

#define UGEN 0
#define GENERATION 1
#define WALK_GENERATION 2
#define ENTRY 3 /* the IOTLB's */
#define LOCK 4  /* the domain's */
#define TOP 5
#define LEAF 6 /* of table 0, then of the others */
#define TABLES (CHANGES + 1)
#define WORDS (LEAF + TABLES)

#define CHANGER READERS
#define ROUNDER (READERS + 1)
#if ROUNDS
#define PROCESSES (READERS + 2)
#define DRAINS 2
#else
#define PROCESSES (READERS + 1)
#endif

/* What entries hold, and caches: what a page grants. */
#define NOTHING 0
#define CLEAN 1 /* R */
#define DIRTY 2 /* R, W */
#define TABLE 3 /* and its number */

#define ABSENT 98 /* an answer: a fault */
#define LOST 97   /* an entry changed before it was marked */

/* The lock's holder. */
bool tracking;
byte generation, walk_generation;
byte tables = 1; /* that were ever used */
byte rounds;

/* What the properties speak of. */
bool tracked;  /* tracking was switched on, and that has returned */
bool written;  /* since tracking began, or a round that reported the page returned */
byte taken;    /* the round that found it dirty, until it returns */
bool alive;    /* mapped, or its unmap has not completed */
bool unmapped; /* there was, or may be, a moment without it */

bool freed_tables[TABLES];
bool retired_tables[TABLES];
bool reading[READERS];              /* in a read section of liburcu */
bool holds[TABLES * READERS];       /* a reader was when the table was retired, and is */

#define LEAF_NOW (memory[TOP] >= TABLE -> memory[LEAF + memory[TOP] - TABLE] : memory[TOP])
#define KEPT (!written || !tracked || taken != 0 || LEAF_NOW != CLEAN)

#define USED(page)                                                                                 \
	written = written || page == DIRTY;                                                            \
	assert(KEPT); /* lost */                                                                       \
	assert(page == ABSENT || alive) /* poisoned */

#include "memory.pml"

/* ---- Readers ---- */

inline enter() {
	d_step {
		ALONE(me) -> /* exchange_seq_cst */
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
	value = NOTHING
}

#ifdef HIT_WITHOUT_W
#define SUFFICES(granted) ((granted) != NOTHING)
#else
#define SUFFICES(granted) ((granted) == DIRTY || ((granted) == CLEAN && !writes))
#endif

/* Sets `page`, or leaves it NOTHING. */
inline first_level() {
	if
	:: SUFFICES(kept) && checked -> page = kept
	:: SUFFICES(kept) && !checked ->
		load(me, GENERATION, value);
		if
		:: d_step { value == kept_generation -> checked = true; page = kept }
		:: d_step { value != kept_generation -> kept = NOTHING; kept_generation = 0 }
		fi;
		value = NOTHING
	:: true /* another page or requester lies there */
	fi
}

inline way() {
	load(me, GENERATION, way_generation);
	load(me, WALK_GENERATION, way_walk_generation)
}

/* Sets `page`, or leaves it NOTHING. */
inline probe() {
	load(me, ENTRY, value);
	if
	:: SUFFICES(value) -> page = value
	:: else
	fi;
	value = NOTHING
}

/* Sets `slot` to where the leaf lies, and `value` to what it was. */
inline go_down() {
	if
#ifdef KNOWN_TABLE_UNCHECKED
	:: known_walk_generation != NONE ->
#else
	:: known_walk_generation == way_walk_generation ->
#endif
		slot = LEAF + known_table
	:: true ->
		load(me, TOP, value);
		d_step {
			slot = TOP;
			if
			:: value >= TABLE ->
				known_table = value - TABLE;
				known_walk_generation = way_walk_generation;
				slot = LEAF + known_table
			:: else
			fi
		}
	fi;
	if
	:: slot != TOP ->
		d_step {
			assert(!freed_tables[slot - LEAF]); /* freed */
			value = memory[slot]
		}
	:: else
	fi
}

/* Sets D in the entry that was judged as clean, or makes `value` LOST. */
inline mark() {
#ifdef MARK_PLAIN
	d_step { store(me, slot, DIRTY); value = DIRTY }
#else
	d_step {
		ALONE(me) -> /* compare_exchange_seq_cst */
		if
		:: slot != TOP -> assert(!freed_tables[slot - LEAF]) /* freed */
		:: else
		fi;
		if
		:: memory[slot] == value -> memory[slot] = DIRTY; value = DIRTY
#ifdef MARK_LOST_GRANTS
		:: else -> value = DIRTY
#else
		:: else -> value = LOST
#endif
		fi
	}
#endif
}

/* Sets `page`. */
inline walk() {
	do
	:: go_down();
		if
		:: value == CLEAN && writes -> mark()
		:: else
		fi;
		if
		:: value == LOST
		:: value != LOST -> break
		fi
	od;
	slot = 0;
	d_step {
		page = value;
		if
		:: page == NOTHING -> page = ABSENT
#ifdef RIGHTS_WITHOUT_D
		:: page == CLEAN -> page = DIRTY
#endif
		:: else
		fi;
		value = NOTHING
	}
}

inline fill() {
	d_step {
		ALONE(me) ->
		if
#ifndef INSERT_UNCHECKED
		:: memory[GENERATION] == way_generation -> memory[ENTRY] = page
#else
		:: true -> memory[ENTRY] = page
#endif
		:: else
		fi
	}
}

inline answer() {
	d_step {
		kept = page;
		kept_generation = way_generation;
		checked = true
	}
}

inline end_reading() {
	d_step {
		way_generation = 0;
		way_walk_generation = 0;
		reading[me] = false;
		k = 0;
		do
		:: k < TABLES -> holds[k * READERS + me] = false; free_if_unused(k); k++
		:: else -> break
		od;
		k = 0
	}
}

#if READERS == 1
#define HELD(table) holds[table]
#else
#define HELD(table) (holds[(table) * READERS] || holds[(table) * READERS + 1])
#endif

inline free_if_unused(table) {
	if
	:: retired_tables[table] && !HELD(table) -> freed_tables[table] = true
	:: else
	fi
}

inline translate() {
	if
	:: writes = true
	:: writes = false
	fi;
	first_level();
	if
	:: page != NOTHING
	:: else ->
		reading[me] = true;
		way();
		if
		:: probe()
		:: true
		fi;
		if
		:: page != NOTHING
		:: else -> walk();
			if
			:: page != ABSENT -> fill()
			:: true
			fi
		fi;
		if
		:: page != ABSENT -> answer()
		:: else
		fi;
		end_reading()
	fi
}

proctype Reader(byte me) {
	byte sections;
	byte seen_ugen, way_generation, way_walk_generation, value, slot;
	byte page;
	bool writes;
	byte kept, kept_generation; /* the first level */
	bool checked;
	byte known_table, known_walk_generation = NONE; /* the walk cache */

	do
	:: sections < (me == 0 -> SECTIONS : SECOND_SECTIONS) ->
		enter();
		translate();
		d_step {
			assert(page != ABSENT || unmapped); /* gap */
			store(me, LEAVE, (page == ABSENT -> ABSENT : (writes -> DIRTY : CLEAN)));
			page = NOTHING;
			writes = false;
			sections++
		}
	:: else -> break
	od
}

/* ---- Changes ---- */

inline lock(me) {
	d_step { ALONE(me) && memory[LOCK] == 0 -> memory[LOCK] = 1 }
}

inline unlock(me) {
	store(me, LOCK, 0)
}

#define move(me, counter) d_step { ALONE(me) -> memory[counter]++ } /* add_seq_cst */
#define bump(me, counter, value) d_step { value++; store(me, counter, value) }

/* A table goes: walks that are there may go on, others must not come. */
inline retire(me, table) {
	d_step {
		ALONE(me) -> /* call_rcu */
		retired_tables[table] = true;
#ifdef TABLE_FREED_EARLY
		freed_tables[table] = true;
#endif
		k = 0;
		do
		:: k < READERS -> holds[table * READERS + k] = reading[k]; k++
		:: else -> break
		od;
		k = 0;
		free_if_unused(table)
	}
}

inline forget_walks(me) {
	bump(me, WALK_GENERATION, walk_generation)
}

inline invalidate(me) {
#ifndef KEEP_WALKGEN
	if
	:: retired != NONE -> forget_walks(me)
	:: else
	fi;
#endif
	d_step { ALONE(me) -> generation++; memory[GENERATION] = generation }; /* add_seq_cst */
	d_step { ALONE(me) -> memory[ENTRY] = NOTHING };
#ifndef ONE_BUMP
	bump(me, GENERATION, generation);
#endif
	move(me, UGEN)
}

/* Ends an edit, and with it the lock; waits if `waits`. */
inline end_edit(me) {
	if
	:: waits -> invalidate(me)
#ifdef MERGE_KEEPS_WALKGEN
	:: else
#else
	:: else ->
		if
		:: retired != NONE -> forget_walks(me)
		:: else
		fi
#endif
	fi;
#ifdef CLEAR_LATE
	clear_late();
#endif
	if
	:: retired != NONE -> retire(me, retired); retired = NONE
	:: else
	fi;
	unlock(me);
	if
	:: waits -> wait_for_sections(me)
	:: else
	fi
}

inline wait_for_sections(me) {
#ifndef NO_DRAIN
	drain(me - CHANGER)
#else
	skip
#endif
}

/* Is set where an entry changed for good: nothing that was written is forgotten. */
inline check() {
	assert(KEPT) /* lost */
}

/* Where the leaf lies; `slot` is TOP or one of a table's. */
inline find_leaf(me) {
	load(me, TOP, value);
	if
	:: value >= TABLE -> slot = LEAF + value - TABLE
	:: else -> slot = TOP
	fi;
	load(me, slot, value)
}

inline map() {
	d_step {
		value = (tracking -> CLEAN : DIRTY);
		alive = true
	};
	if
	:: slot != TOP || tables == TABLES -> store(CHANGER, slot, value)
	:: slot == TOP && tables < TABLES -> store(CHANGER, LEAF + tables, value);
		store(CHANGER, TOP, TABLE + tables);
		tables++
	:: slot == TOP -> store(CHANGER, TOP, value)
	fi;
	waits = false
}

inline unmap() {
	unmapped = true;
	store(CHANGER, slot, NOTHING);
	if
	:: slot != TOP -> unlink() /* it was the last entry of its table */
	:: true
	fi;
	waits = true
}

inline unlink() {
	store(CHANGER, TOP, NOTHING);
	retired = slot - LEAF
}

inline split() {
#ifdef SPLIT_WITH_GAP
	store(CHANGER, TOP, NOTHING);
#endif
	do
	:: d_step {
#ifdef SPLIT_CLEAN
			store(CHANGER, LEAF + tables, CLEAN)
#else
			store(CHANGER, LEAF + tables, value)
#endif
		};
#ifdef SPLIT_PLAIN
		store(CHANGER, TOP, TABLE + tables);
		break
#else
		d_step {
			ALONE(CHANGER) -> /* compare_exchange_seq_cst */
#ifdef SPLIT_WITH_GAP
			value = NOTHING;
#endif
			if
			:: memory[TOP] == value -> memory[TOP] = TABLE + tables; check(); value = LOST
			:: else -> value = memory[TOP]
			fi
		};
		if
		:: value == LOST -> break
		:: else
		fi
#endif
	od;
	tables++;
	waits = false
}

inline merge() {
#ifdef MERGE_TRACKED
	store(CHANGER, TOP, value);
#else
	store(CHANGER, TOP, DIRTY);
#endif
	retired = slot - LEAF;
	waits = false
}

inline protect() {
#ifdef PROTECT_PLAIN
	store(CHANGER, slot, value);
#else
	do
	:: d_step {
			ALONE(CHANGER) -> /* compare_exchange_seq_cst */
			if
			:: memory[slot] == value -> memory[slot] = value; value = LOST
			:: else -> value = memory[slot]
			fi
		};
		if
		:: value == LOST -> break
		:: else
		fi
	od;
#endif
	waits = true
}

/* Clears D of `slot`, for round `number` or for none; `value` is what the leaf was. */
inline clear_dirty(me) {
	d_step {
		ALONE(me) -> /* fetch_and */
		value = memory[slot];
		if
		:: value == DIRTY ->
			memory[slot] = CLEAN;
			if
			:: number != 0 -> taken = number
			:: else
			fi
		:: else
		fi
	}
}

inline start() {
	tracking = true;
	clear_dirty(CHANGER);
#ifdef TRACK_NO_INVALIDATE
	waits = false
#else
	waits = true
#endif
}

inline stop() {
	d_step {
		tracking = false;
		tracked = false
	};
	if
	:: slot != TOP && value != NOTHING -> merge()
	:: true -> waits = false
	fi
}

/* Reads what is dirty. */
inline round(me) {
	d_step { rounds++; number = rounds };
#ifndef CLEAR_LATE
	clear_dirty(me);
#endif
	waits = value == DIRTY
}

#ifdef CLEAR_LATE
/* What was found dirty is cleared only now. */
inline clear_late() {
	if
	:: number != 0 && waits -> clear_dirty(CHANGER)
	:: else
	fi
}
#endif

/* A round without anything to report waits for one that had. */
inline settle_round(me) {
	move(me, UGEN);
	wait_for_sections(me)
}

inline round_returns() {
	d_step {
		if
		:: number >= taken -> taken = 0; written = false
		:: else
		fi;
		number = 0
	}
}

inline read_dirty(me) {
	round(me);
#ifdef DIRTY_NO_INVALIDATE
	waits = false;
	end_edit(me);
#else
	if
	:: waits -> end_edit(me)
	:: else -> end_edit(me);
#ifndef ROUND_UNSETTLED
		settle_round(me)
#endif
	fi;
#endif
	round_returns()
}

proctype Changer() {
	byte changes, value, slot, port, number;
	byte retired = NONE;
	bool waits;

	do
	:: changes < CHANGES ->
		lock(CHANGER);
		find_leaf(CHANGER);
		if
		:: tracking -> read_dirty(CHANGER)
		:: value == NOTHING -> map(); end_edit(CHANGER)
		:: value != NOTHING -> unmap();
			end_edit(CHANGER);
			d_step { alive = false; written = false }
		:: slot == TOP && value != NOTHING && tables < TABLES -> split(); end_edit(CHANGER)
#ifdef MERGE_TRACKED
		:: slot != TOP && value != NOTHING -> merge(); end_edit(CHANGER)
#else
		:: slot != TOP && value != NOTHING && !tracking -> merge(); end_edit(CHANGER)
#endif
		:: value != NOTHING -> protect(); end_edit(CHANGER)
		:: !tracking -> start();
			end_edit(CHANGER);
			d_step { tracked = true; written = false }
		:: tracking -> stop(); end_edit(CHANGER)
		fi;
		check();
		d_step {
			value = 0;
			slot = 0;
			waits = false;
			changes++
		}
	:: else -> break
	od
}

#if ROUNDS
proctype Rounder() {
	byte turns, value, slot, port, number;
	byte retired = NONE;
	bool waits;

	do
	:: turns < ROUNDS ->
		lock(ROUNDER);
		find_leaf(ROUNDER);
		if
		:: tracking -> read_dirty(ROUNDER)
		:: !tracking -> unlock(ROUNDER)
		fi;
		d_step {
			value = 0;
			slot = 0;
			waits = false;
			turns++
		}
	:: else -> break
	od
}
#endif

init {
	atomic {
		byte index = 0;
#ifdef UNTRACKED
		memory[TOP] = DIRTY;
#else
		tracking = true;
		tracked = true;
		memory[TOP] = CLEAN;
#endif
		if
		:: memory[LEAF] = memory[TOP]; memory[TOP] = TABLE
		:: true
		fi;
		alive = true;
		do
		:: index < READERS ->
			run Reader(index);
			run Buffer(index);
			index++
		:: else -> break
		od;
		index = 0;
		run Changer();
		run Buffer(CHANGER);
#if ROUNDS
		run Rounder();
		run Buffer(ROUNDER)
#endif
	}
}
