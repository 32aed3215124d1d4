/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * tables.pml - from a source id to host memory: what the guest's or the host's tables name
 * (tablegen), bindings and the spaces that they are made with and lose (birth), and the memory map
 * (mapgen).
 *
 * Modelled: one IOVA of one source id, in three steps. The guest's context entry (CONTEXT) names a
 * root, the entry below it (LEAF) an output address, the memory map (MAP) the page of the host that
 * lies there. A change makes one of them lead elsewhere, so that the IOVA leads to the next page:
 * page n belongs to it until change n completes, and is poisoned at that moment. What ports resolve
 * they keep, and publish in the unit as a binding with a space. Its slot is the only one of the
 * pool: when the space is retired, by a change or because room was needed, it comes back after a
 * grace period, and may become another's. Readers have a port each: a first-level entry, a binding,
 * a window into the memory map. With ATTACHED the host's device table stands in place of the
 * guest's: roots are domains, each with a slot of its own, and are attached, replaced and detached;
 * and the source's device-TLB may be blocked, which who resolves looks at, and nobody else.
 *
 * Memory, sections and the drain stand in memory.pml.
 *
 * Step                       Function in CSources/CIOMMU
 *   Reader: enter            include/ciommu_inline.h: ciommu_enter
 *   Reader: resynchronise    port.c: ciommu_port_resynchronise
 *   Reader: first_level      port.c: ciommu_port_revalidate
 *   Reader: recall           resolve.h: port_binding
 *   Reader: resolve          translate.c: ciommu_answer_slowly; resolve.c: ciommu_resolve,
 *                            unit_binding, walk_binding, take_attachment
 *   Reader: publish          binding.c: ciommu_bindings_publish; space.c: make
 *   Reader: way              short_way.h: way_load
 *   Reader: host             memory.h: ciommu_memory_host
 *   Reader: keep             short_way.h: first_level_fill
 *   Changer: unlink          binding.c: unlink_binding; space.c: ciommu_spaces_release
 *   Changer: change_tables   invalidate.c: ciommu_unit_change_tables, ciommu_unit_settle
 *   Changer: set_root        unit.c: set_registers
 *   Changer: replace, detach, attach                  attach.c
 *   Changer: block           tlb_round.c: block_failed; device_tlb_life.c: unlink_tlb
 *   Changer: change_leaf     invalidate.c: ciommu_unit_apply; space.c: ciommu_spaces_invalidate
 *   Changer: change_memory   memory.c: publish; unit.c: memory_changed
 *   Worker                   binding.c: evict; space.c: slot_returns
 *
 * Made simpler
 *   - What stands in protocol.pml is left out: the IOTLB, known tables, tags. An invalidation of a
 *     space is one move of its generation.
 *   - A grace period is liburcu's: it ends when no reader is in a read section that it found. A
 *     read section begins and ends at once, without a store.
 *   - What is under the table lock, and under it alone, is no word of memory: the slot's life. The
 *     lock is a locked instruction, giving it back a store.
 *   - The first level and the window may miss at will (other pages).
 *   - A change of the root is one of the context entry, at the moment at which the register moves.
 *   - Known tables hold host pointers too and die with the window.
 *
 * Rules that a definition breaks. As in debug.h: IGNORE_TABLEGEN, IGNORE_MAPGEN, WINDOWS_KEPT,
 * PUBLISH_UNCHECKED, ALIVE_ONCE, DETACH_NO_TABLEGEN, REPLACE_WITH_GAP, TLB_LEFT_UNSEEN (here: any
 * block without a move of tablegen). Of the model alone: TABLEGEN_LATE (a resolver loads tablegen
 * after the guest's entry), TABLEGEN_ONCE (it moves before the tables change, not after), UGEN_LATE
 * (a section loads ugen after tablegen and mapgen), MAPGEN_EARLY (mapgen moves before the map),
 * BORN_LATE (a space is listed where invalidations find it only after its first walk), NO_GRACE (a
 * slot comes back at once), RETIRED_QUIETLY (retirement leaves the generation), BIRTH_KEPT (it
 * leaves the birth), ONE_KIND (a section that finds the tables changed does not look at the map).
 *
 * Properties, by the names of the comments beside their assertions
 *   stale      a section that began after a change completed gets no older page
 *   poisoned   nobody uses a page after the change that took it away completed
 *   foreign    no walk begins at another's root
 *   gap        (ATTACHED) there is no moment without an attachment while one replaces another
 *   (end)      all processes come to their ends
 *
 * Bounds, by -D: READERS (1, 2), SECTIONS of the first, SECOND_SECTIONS of the second, CHANGES, one
 * after the other, each of a kind that the search chooses, EVICTIONS. MEETING: the memory map is
 * changed by a second thread, once, beside changes of the other kinds; output address n lies at
 * page 2n, or 2n + 1 after that.
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
#ifndef EVICTIONS
#define EVICTIONS 1
#endif

#ifdef ATTACHED
#define SLOTS (CHANGES + 1)
#else
#define SLOTS 1
#endif

#define UGEN 0
#define TABLEGEN 1
#define MAPGEN 2
#define LOCK 3    /* the table lock */
#define CONTEXT 4 /* the root; ATTACHED: the attachment's domain + 1, or 0 */
#define BINDING 5 /* the unit's: the birth of its space + 1, or 0 */
#define BLOCKED 6 /* ATTACHED: the source's device-TLB is */
#define GENERATION 7 /* of slot 0, then of the others */
#define BIRTH (GENERATION + SLOTS)
#define SHAPE (BIRTH + SLOTS) /* the root of the space in the slot */
#define LEAF (SHAPE + SLOTS)  /* of root 0, then of the others */
#define MAP (LEAF + CHANGES + 1)
#define WORDS (MAP + CHANGES + 1)

#define CHANGER READERS
#define WORKER (READERS + 1)
#ifdef MEETING
#define MEMORY_CHANGER (READERS + 2)
#define PROCESSES (READERS + 3)
#define DRAINS 2
#define MAPPED(output) (2 * (output))
#else
#define PROCESSES (READERS + 2)
#define MAPPED(output) (output)
#endif

#define FOREIGN 99 /* another's root */
#define ABSENT 98  /* no page: blocked */

byte completed; /* changes; pages below are poisoned */

/* Table lock. */
mtype = { FREE, MADE, LISTED, RETIRED, DEFERRED, TAKEN };
mtype life = FREE;

bool detached; /* ATTACHED: there was, or may be, a moment without an attachment */

bool reading[READERS]; /* in a read section of liburcu */

#ifdef MEETING
#define IS_GOOD(page, completed, moved) ((page) / 2 >= completed && (page) != moved)
byte moved = 255; /* the page that the memory's change took away when it completed */
#else
#define IS_GOOD(page, completed, moved) ((page) >= completed)
#endif

#define USED(page) assert(IS_GOOD(page, completed, moved)) /* poisoned */

#include "memory.pml"

inline lock(me) {
	d_step { ALONE(me) && memory[LOCK] == 0 -> memory[LOCK] = 1 }
}

inline unlock(me) {
	store(me, LOCK, 0)
}

/* add_seq_cst, or a seq_cst store of the next value by the only one who writes it. */
#define move(me, counter) d_step { ALONE(me) -> memory[counter]++ }

/* ---- Readers ---- */

inline enter() {
	d_step {
		ALONE(me) -> /* exchange_seq_cst */
		born = completed;
#ifdef MEETING
		born_moved = moved;
#endif
		odd[me] = 1;
		moves(me)
	};
	load(me, UGEN, value);
	if
	:: value != seen_ugen -> resynchronise()
	:: else -> value = 0
	fi
}

inline resynchronise() {
#ifndef UGEN_LATE
	load(me, UGEN, seen_ugen);
#endif
	load(me, TABLEGEN, value);
	d_step {
		checked = false;
#ifdef ONE_KIND
		one_kind = value != seen_tablegen;
#endif
#ifndef IGNORE_TABLEGEN
		if
		:: value != seen_tablegen -> known_slot = NONE; known_birth = 0; drop()
		:: else
		fi;
#endif
		seen_tablegen = value;
		value = 0
	};
	load(me, MAPGEN, value);
	d_step {
#ifndef IGNORE_MAPGEN
		if
#ifdef ONE_KIND
		:: value != seen_mapgen && !one_kind ->
#else
		:: value != seen_mapgen ->
#endif
#ifndef WINDOWS_KEPT
			window = NONE;
			window_page = 0;
#endif
			drop()
		:: else
		fi;
#endif
		seen_mapgen = value;
		value = 0
	};
#ifdef UGEN_LATE
	load(me, UGEN, seen_ugen)
#endif
}

inline drop() {
	kept_page = NONE;
	kept_generation = 0;
	kept_slot = 0
}

/* Sets `page`, or leaves it NONE. */
inline first_level() {
	if
	:: kept_page != NONE && checked -> page = kept_page
	:: kept_page != NONE && !checked ->
		load(me, GENERATION + kept_slot, value);
		if
		:: d_step { value == kept_generation -> checked = true; page = kept_page }
		:: d_step { value != kept_generation -> drop() }
		fi;
		value = 0
	:: true /* another page or requester lies there, or less is granted */
	fi
}

/* Sets `slot` and `birth` from what the port knows, or leaves `slot` NONE. */
inline recall() {
	if
	:: known_slot != NONE ->
		load(me, BIRTH + known_slot, value);
		if
		:: value == known_birth -> slot = known_slot; birth = known_birth
		:: else
		fi;
		value = 0
	:: else
	fi
}

inline remember() {
	known_slot = slot;
	known_birth = birth
}

/* Finds a binding, or makes one, with a space of its own if the slot is free. Table lock. */
inline publish() {
	load(me, BINDING, value);
	if
	:: value != 0 -> d_step { slot = 0; birth = value - 1; remember() }
	:: value == 0 && life == FREE ->
		d_step {
#ifdef BORN_LATE
			life = MADE;
#else
			life = LISTED;
#endif
			store(me, SHAPE, root)
		};
		move(me, GENERATION); /* add_seq_cst */
		d_step {
			slot = 0;
			birth = memory[BIRTH];
			remember();
			store(me, BINDING, birth + 1)
		}
	:: value == 0 && life == LISTED && memory[SHAPE] == root -> /* others' bindings refer to it */
		d_step {
			slot = 0;
			birth = memory[BIRTH];
			remember();
			store(me, BINDING, birth + 1)
		}
	:: value == 0 && life != FREE
	fi;
	value = 0
}

#ifdef ATTACHED

/* Sets `slot`, or `page`. */
inline resolve() {
	load(me, BLOCKED, value);
	if
	:: value != 0 -> page = ABSENT
	:: else ->
		load(me, CONTEXT, value);
		d_step {
			if
			:: value == 0 -> page = ABSENT
			:: else -> slot = value - 1; birth = 0; remember()
			fi
		}
	fi;
	value = 0
}

#else

inline take_tablegen() {
	load(me, TABLEGEN, tablegen)
}

/* Sets `slot`, or `root` alone, which nothing is kept of. */
inline resolve() {
#ifndef TABLEGEN_LATE
	take_tablegen();
#endif
	load(me, BINDING, value);
	if
	:: value != 0 ->
		birth = value - 1;
		load(me, BIRTH, value);
		d_step {
			if
			:: value == birth -> slot = 0; remember()
			:: else -> birth = 0
			fi
		}
	:: else
	fi;
	value = 0;
	if
	:: slot != NONE
	:: else ->
		load(me, CONTEXT, root);
#ifdef TABLEGEN_LATE
		take_tablegen();
#endif
		if /* try-lock */
		:: tablegen % 2 == 0 -> lock(me);
			load(me, TABLEGEN, value);
			if
#ifdef PUBLISH_UNCHECKED
			:: true -> publish()
#else
			:: value == tablegen -> publish()
			:: value != tablegen
#endif
			fi;
			value = 0;
			unlock(me)
		:: true /* busy, or odd */
		fi
	fi;
	tablegen = 0
}

#endif

/* What is kept carries the generation loaded here, if the space lives. */
inline way() {
	load(me, GENERATION + slot, generation);
#ifndef ALIVE_ONCE
	load(me, BIRTH + slot, value);
	if
	:: value == birth -> alive = true
	:: else
	fi;
	value = 0;
#else
	alive = true;
#endif
	load(me, SHAPE + slot, root);
	assert(root != FOREIGN) /* foreign */
}

inline host() {
	if
	:: window == output -> page = window_page
	:: true ->
		load(me, MAP + output, page);
		d_step { window = output; window_page = page }
	fi
}

inline walk() {
	load(me, LEAF + root, output);
	host();
	output = 0
}

inline keep() {
	d_step {
		if
		:: alive ->
			kept_page = page;
			kept_generation = generation;
			kept_slot = slot;
			checked = true
		:: else
		fi;
#ifdef BORN_LATE
		if
		:: slot != NONE && life == MADE -> life = LISTED
		:: else
		fi;
#endif
		alive = false;
		generation = 0;
		slot = NONE;
		birth = 0;
		root = 0
	}
}

inline translate() {
	first_level();
	if
	:: page != NONE
	:: else ->
		reading[me] = true;
		recall();
		if
		:: slot == NONE -> resolve()
		:: else
		fi;
		if
		:: page != NONE
		:: page == NONE && slot != NONE -> way(); walk(); keep()
		:: page == NONE && slot == NONE -> walk(); keep()
		fi;
		reading[me] = false
	fi
}

proctype Reader(byte me) {
	byte sections;
	byte born; /* changes that completed before the section began */
#ifdef MEETING
	byte born_moved = NONE;
#endif
	byte seen_ugen = NONE, seen_tablegen, seen_mapgen;
	byte page = NONE, output, root, slot = NONE, birth, generation, tablegen, value;
	bool alive;
	byte known_slot = NONE, known_birth;               /* the binding */
	byte kept_page = NONE, kept_generation, kept_slot; /* the first level */
	bool checked;
	byte window = NONE, window_page;
#ifdef ONE_KIND
	bool one_kind;
#endif

	do
	:: sections < (me == 0 -> SECTIONS : SECOND_SECTIONS) ->
		enter();
		translate();
		d_step {
			assert(page != ABSENT || detached);     /* gap */
			assert(page == ABSENT || IS_GOOD(page, born, born_moved)); /* stale */
			store(me, LEAVE, page);
			page = NONE;
			born = 0;
			sections++
		}
	:: else -> break
	od
}

/* ---- Changes ---- */

inline bump_ugen(me) {
	move(me, UGEN)
}

inline settle() {
	settle_beside(CHANGER, 0)
}

inline settle_beside(me, drainer) {
	bump_ugen(me);
	drain(drainer)
}

inline begin_table_change(me) {
	move(me, TABLEGEN)
}

inline finish_table_change(me) {
#ifndef TABLEGEN_ONCE
	move(me, TABLEGEN);
#endif
	bump_ugen(me)
}

/* The space loses its last reference. Table lock. */
inline retire(me) {
	life = RETIRED;
#ifndef BIRTH_KEPT
	move(me, BIRTH);
#endif
#ifndef RETIRED_QUIETLY
	move(me, GENERATION);
#endif
#ifdef NO_GRACE
	if
	:: life = FREE
	:: life = TAKEN; store(me, SHAPE, FOREIGN)
	fi
#else
	life = DEFERRED /* call_rcu */
#endif
}

/* The binding goes, and its space with it, or not: other sources' bindings may refer to it. Table
 * lock. */
inline unlink(me) {
	load(me, BINDING, value);
	if
	:: value != 0 -> store(me, BINDING, 0)
	:: else
	fi;
	value = 0;
	if
	:: life == LISTED -> retire(me)
	:: true
	fi
}

inline change_tables() {
	begin_table_change(CHANGER);
	unlink(CHANGER);
	finish_table_change(CHANGER)
}

/* A new root, whose leaf leads to the next page. */
inline new_root() {
	d_step { root++; output = next; store(CHANGER, LEAF + root, output) }
}

#ifdef ATTACHED

inline begin_attachment_change() {
	lock(CHANGER);
#ifndef DETACH_NO_TABLEGEN
	begin_table_change(CHANGER);
#endif
}

inline finish_attachment_change() {
#ifndef DETACH_NO_TABLEGEN
	finish_table_change(CHANGER);
#endif
	unlock(CHANGER);
	settle()
}

inline change_binding() {
	new_root();
	if
	:: begin_attachment_change(); /* replace */
#ifdef REPLACE_WITH_GAP
		store(CHANGER, CONTEXT, 0);
#endif
		store(CHANGER, CONTEXT, root + 1);
		finish_attachment_change();
		complete()
	:: detached = true; /* detach, then attach */
		begin_attachment_change();
		store(CHANGER, CONTEXT, 0);
		finish_attachment_change();
		complete();
		lock(CHANGER);
		store(CHANGER, CONTEXT, root + 1);
		unlock(CHANGER)
	:: detached = true; /* block; for ever */
		lock(CHANGER);
#ifndef TLB_LEFT_UNSEEN
		begin_table_change(CHANGER);
#endif
		store(CHANGER, BLOCKED, 1);
#ifndef TLB_LEFT_UNSEEN
		finish_table_change(CHANGER);
#endif
		unlock(CHANGER);
		settle();
		complete()
	fi
}

#else

inline change_binding() {
	new_root();
	if
	:: store(CHANGER, CONTEXT, root); /* the guest's entry */
		lock(CHANGER);
		change_tables()
	:: lock(CHANGER); /* set_root */
		begin_table_change(CHANGER);
		move_root();
		finish_table_change(CHANGER);
		change_tables()
	fi;
	unlock(CHANGER);
	settle();
	complete()
}

inline move_root() {
	d_step { ALONE(CHANGER) -> memory[CONTEXT] = root } /* store_seq_cst */
}

#endif

inline change_leaf() {
	d_step { output = next; store(CHANGER, LEAF + root, output) };
	lock(CHANGER);
#ifdef ATTACHED
	load(CHANGER, GENERATION + root, value);
	store(CHANGER, GENERATION + root, value + 1);
#else
	if
	:: life == LISTED ->
		load(CHANGER, GENERATION, value);
		store(CHANGER, GENERATION, value + 1)
	:: else
	fi;
#endif
	value = 0;
	unlock(CHANGER);
	settle();
	complete()
}

inline change_memory() {
#ifdef MAPGEN_EARLY
	move(CHANGER, MAPGEN);
	store(CHANGER, MAP + output, next);
#else
	store(CHANGER, MAP + output, next);
	move(CHANGER, MAPGEN);
#endif
	settle();
	complete()
}

inline complete() {
	d_step {
		completed++;
		next++
	}
}

proctype Changer() {
	byte root, output, value, port;
	byte next = 1; /* the page to which the next change leads */

	do
	:: completed < CHANGES ->
		if
		:: change_binding()
		:: change_leaf()
#ifndef MEETING
		:: change_memory()
#endif
		fi
	:: else -> break
	od
}

#ifdef MEETING
/* Another thread changes the memory map: its own lock, not the table lock. */
proctype MemoryChanger() {
	byte output, port;

	if
	:: output = 0
	:: output = 1
	fi;
	store(MEMORY_CHANGER, MAP + output, 2 * output + 1);
	move(MEMORY_CHANGER, MAPGEN);
	settle_beside(MEMORY_CHANGER, 1);
	moved = 2 * output
}
#endif

/* liburcu's thread: makes room, and takes slots back after a grace period. */
proctype Worker() {
	byte evictions, value, port;

end:
	do
	:: evictions < EVICTIONS ->
		lock(WORKER);
		unlink(WORKER);
		unlock(WORKER);
		evictions++
	:: life == DEFERRED ->
		do
		:: port < READERS -> !reading[port]; port++
		:: else -> break
		od;
		port = 0;
		lock(WORKER);
		if
		:: life = FREE
		:: life = TAKEN; /* by another's space */
			store(WORKER, SHAPE, FOREIGN);
			move(WORKER, GENERATION)
		fi;
		unlock(WORKER)
	od
}

init {
	atomic {
		byte index = 0;
		do
		:: index <= CHANGES -> memory[MAP + index] = MAPPED(index); index++
		:: else -> break
		od;
#ifdef ATTACHED
		memory[CONTEXT] = 1;
		index = 0;
		do
		:: index <= CHANGES -> memory[SHAPE + index] = index; index++
		:: else -> break
		od;
#endif
		index = 0;
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
#ifdef MEETING
		run MemoryChanger();
		run Buffer(MEMORY_CHANGER);
#endif
#ifndef ATTACHED
		run Worker();
		run Buffer(WORKER)
#endif
	}
}
