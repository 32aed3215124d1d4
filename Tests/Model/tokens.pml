/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * tokens.pml - what a device keeps itself (ATS): answers that it stores inside the section that
 * produced them, or later, with a token.
 *
 * Modelled: one IOVA of one device. The guest's context entry (CONTEXT) names a root, the entry
 * below it (LEAF) a page. A change makes one of them lead to the next page; when its invalidation
 * has moved the generations and drained, it asks the device to drop everything. Page n is poisoned
 * when change n completes. The device asks in sections of its port, one after the other: each
 * either asks for a translation, and stores the answer at once or keeps it with its token, or
 * stores what it kept if the token is still good.
 *
 * Memory, sections and the drain stand in memory.pml.
 *
 * Step                       Function in CSources/CIOMMU
 *   Device: enter            include/ciommu_inline.h: ciommu_enter; port.c:
 *                            ciommu_port_resynchronise
 *   Device: ask              translate.c: ciommu_answer_slowly, answer_granted, give_token
 *   Device: check            port.c: ciommu_ats_token_valid
 *   Changer: change_binding  invalidate.c: ciommu_unit_change_tables
 *   Changer: change_leaf     space.c: invalidate_whole, invalidate_ranges
 *   Changer: settle          invalidate.c: ciommu_unit_settle; tlb_ask.c: ciommu_tlbs_settle
 *
 * Made simpler
 *   - The device stores, and drops, at one moment, under a lock of its own.
 *   - The device answers. One that does not is blocked: silent.pml.
 *   - The space stays: retirement moves its generation like an invalidation, and slots do not
 *     repeat generations (tables.pml).
 *   - There is one changer, so that the table lock is not needed.
 * Left out: IOTLB and walk cache (protocol.pml: they answer with the generation that is stamped).
 *
 * Rules that a definition breaks. As in debug.h: TOKEN_UNCHECKED, TLB_BEFORE_DRAIN, NO_DRAIN. Of
 * the model alone: TOKEN_WITHOUT_TABLES (tablegen is not compared), TOKEN_WITHOUT_GENERATION,
 * TOKEN_STAMPED_LATE (its generation is loaded after the walk), TOKEN_OF_NOW (its ugen is loaded
 * when it is given, not when the section began), CHECKED_OUTSIDE (it is checked before the
 * section).
 *
 * Properties, by the names of the comments beside their assertions
 *   held       the device stores no page that is poisoned, and holds none when it becomes so
 *   (end)      all processes come to their ends
 *
 * Bounds, by -D: SECTIONS, CHANGES.
 */

#define READERS 1

#ifndef SECTIONS
#define SECTIONS 3
#endif
#ifndef CHANGES
#define CHANGES 1
#endif

#define UGEN 0
#define TABLEGEN 1
#define CONTEXT 2
#define GENERATION 3
#define LEAF 4 /* of root 0, then of the others */
#define WORDS (LEAF + CHANGES + 1)

#define DEVICE 0
#define CHANGER 1
#define PROCESSES 2

byte completed; /* changes; pages below are poisoned */
byte held = 255; /* by the device; NONE */

#define USED(page) assert(page == NONE)

#include "memory.pml"

/* add_seq_cst, or a seq_cst store of the next value by the only one who writes it. */
#define move(counter) d_step { ALONE(CHANGER) -> memory[counter]++ }

/* ---- The device ---- */

inline enter() {
	d_step {
		ALONE(DEVICE) -> /* exchange_seq_cst */
		odd[DEVICE] = 1;
		moves(DEVICE)
	};
	load(DEVICE, UGEN, value);
	if
	:: value != seen_ugen -> /* resynchronise */
		load(DEVICE, UGEN, seen_ugen);
		load(DEVICE, TABLEGEN, value);
		if
		:: value != seen_tablegen -> known_root = NONE
		:: else
		fi;
		seen_tablegen = value
	:: else
	fi;
	value = 0
}

inline hold(page) {
	d_step {
		assert(page >= completed); /* held */
		held = page
	}
}

/* Asks for a translation, and stores the answer, or keeps it with its token. */
inline ask() {
	if
	:: known_root != NONE
	:: known_root == NONE -> load(DEVICE, CONTEXT, known_root)
	fi;
#ifndef TOKEN_STAMPED_LATE
	load(DEVICE, GENERATION, generation);
#endif
	load(DEVICE, LEAF + known_root, page);
#ifdef TOKEN_STAMPED_LATE
	load(DEVICE, GENERATION, generation);
#endif
	if
	:: hold(page); page = NONE; generation = 0
	:: tables = seen_tablegen;
#ifdef TOKEN_OF_NOW
		load(DEVICE, UGEN, ugen)
#else
		ugen = seen_ugen
#endif
	fi
}

/* Sets `good`. */
inline check() {
#ifdef TOKEN_UNCHECKED
	good = true;
#else
	load(DEVICE, UGEN, value);
	if
	:: value == ugen -> good = true
	:: else ->
		good = true;
#ifndef TOKEN_WITHOUT_GENERATION
		load(DEVICE, GENERATION, value);
		good = good && value == generation;
#endif
#ifndef TOKEN_WITHOUT_TABLES
		load(DEVICE, TABLEGEN, value);
		good = good && value == tables;
#endif
	fi;
	value = 0
#endif
}

proctype Device() {
	byte sections, value;
	byte seen_ugen = NONE, seen_tablegen, known_root = NONE;
	byte page = NONE, ugen, tables, generation; /* what is kept with its token */
	bool good;

	do
	:: sections < SECTIONS ->
#ifdef CHECKED_OUTSIDE
		if
		:: page != NONE -> check()
		:: else
		fi;
#endif
		enter();
		if
		:: page == NONE -> ask()
		:: page != NONE ->
#ifndef CHECKED_OUTSIDE
			check();
#endif
			if
			:: good -> hold(page)
			:: else
			fi;
			d_step {
				good = false;
				page = NONE;
				ugen = 0;
				tables = 0;
				generation = 0
			}
		fi;
		d_step {
			store(DEVICE, LEAVE, NONE);
			sections++
		}
	:: else -> break
	od
}

/* ---- Changes ---- */

inline settle() {
	move(UGEN);
#ifdef TLB_BEFORE_DRAIN
	held = NONE;
#endif
#ifndef NO_DRAIN
	drain(0);
#endif
#ifndef TLB_BEFORE_DRAIN
	held = NONE /* asked, it has dropped everything */
#endif
}

proctype Changer() {
	byte root, value, port;

	do
	:: completed < CHANGES ->
		if
		:: root++; /* the context entry */
			store(CHANGER, LEAF + root, completed + 1);
			store(CHANGER, CONTEXT, root);
			move(TABLEGEN);
			move(TABLEGEN);
			move(UGEN)
		:: store(CHANGER, LEAF + root, completed + 1);
			load(CHANGER, GENERATION, value);
			store(CHANGER, GENERATION, value + 1);
			value = 0
		fi;
		settle();
		d_step {
			completed++;
			assert(held >= completed) /* held */
		}
	:: else -> break
	od
}

init {
	atomic {
		run Device();
		run Buffer(DEVICE);
		run Changer();
		run Buffer(CHANGER)
	}
}
