/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * entry.pml - entries of the IOTLB that are stored and loaded by halves, where there are no 16-byte
 * accesses: the counter of a set, around them. For processors weaker than x86-64.
 *
 * Modelled: one way of one set, in which the entries of two pages replace each other. An entry's
 * low half names its page, the high half is the leaf: which page's, and of which generation. An
 * inserter stores leaves of either page, an invalidator moves the generation and clears one page,
 * readers look for a page. Each is one thread.
 *
 * Memory is weaker than in the other models. Stores wait in a process's buffer and are carried out
 * in any order, but that those of one word keep theirs, that a release store waits for all before
 * it, and that no store passes a fence. Locked instructions that are seq_cst wait until the buffer
 * is empty, and so does taking the stripe (who gives it back and takes it again finds its own
 * release store done, and so all before that). Loads of a reader pass each other where neither an
 * acquire load nor a fence forbids it: both orders of the halves are searched.
 *
 * Step                       Function in CSources/CIOMMU
 *   Reader: look             iotlb.c: ciommu_iotlb_find_halves, load_halves
 *   store_entry              iotlb.c: store_entry, store_halves
 *   Inserter                 iotlb.c: ciommu_iotlb_insert
 *   Invalidator              space.c: invalidate_ranges; iotlb.c: ciommu_iotlb_clear_page
 *
 * Made simpler
 *   - The counter never comes round (in C: after 2^31 stores to one set during one look).
 *   - Sections, first levels and drains stand in protocol.pml: here a look that begins after the
 *     invalidation has cleared must not find what it cleared, which is more than is needed.
 * Left out: several ways (each is looked at for itself), larger pages.
 *
 * Rules that a definition breaks. As in debug.h: TORN_ENTRY (no counter at all), INSERT_UNCHECKED.
 * Of the model alone: ODD_LATE (no fence after the counter turns odd), EVEN_EARLY (it turns even
 * without release), ODD_ACCEPTED (an odd counter is taken), LOOK_LATE (the first look at the
 * counter is no acquire), LOOK_EARLY (no fence before the second), LOOK_ONCE (no second look),
 * CLEAR_UNLOCKED (clearing without the stripe).
 *
 * Properties, by the names of the comments beside their assertions
 *   torn       no look for a page finds another page's leaf
 *   stale      no look that began after an invalidation finds an older leaf
 *   (end)      all processes come to their ends
 *
 * Bounds, by -D: LOOKS, INSERTIONS, CHANGES.
 */

#ifndef LOOKS
#define LOOKS 2
#endif
#ifndef INSERTIONS
#define INSERTIONS 2
#endif
#ifndef CHANGES
#define CHANGES 1
#endif

/* ---- Memory ---- */

#define SEQUENCE 0
#define LOW 1
#define HIGH 2
#define STRIPE 3
#define GENERATION 4
#define WORDS 5

#define INSERTER 0
#define INVALIDATOR 1
#define WRITERS 2

#define DEPTH 5 /* of a buffer */

byte memory[WORDS];
byte pending[WRITERS];
byte word_of[WRITERS * DEPTH];
byte value_of[WRITERS * DEPTH];
byte group_of[WRITERS * DEPTH]; /* how many fences came before, since the buffer was empty */
bool waits[WRITERS * DEPTH];    /* a release store */
byte fences[WRITERS];

byte completed; /* leaves of older generations are not to be found */

hidden byte k;

inline put(me, to, value, release) {
	d_step {
		assert(pending[me] < DEPTH); /* full */
		word_of[me * DEPTH + pending[me]] = to;
		value_of[me * DEPTH + pending[me]] = value;
		group_of[me * DEPTH + pending[me]] = fences[me];
		waits[me * DEPTH + pending[me]] = release;
		pending[me]++
	}
}

#define store_relaxed(me, to, value) put(me, to, value, 0)
#define store_release(me, to, value) put(me, to, value, 1)

inline fence_release(me) {
	d_step {
		if
		:: pending[me] > 0 -> fences[me]++
		:: else
		fi
	}
}

/* The condition of a locked instruction, which begins a d_step. */
#define ALONE(me) (pending[me] == 0)

/* May the `which`-th store pass the one before it, `earlier`? */
#define PASSES(which, earlier) \
	(word_of[which] != word_of[earlier] && group_of[which] == group_of[earlier] && !waits[which])

#define BASE (me * DEPTH)

/* Carries out the stores of one process. */
proctype Buffer(byte me) {
	byte which;

end:
	do
	:: atomic {
		pending[me] > 0 ->
		which = 0;
		do
		:: which + 1 < pending[me] -> which++
		:: break
		od;
		k = 0;
		do
		:: k < which && PASSES(BASE + which, BASE + k) -> k++
		:: else -> break
		od;
		if
		:: k == which ->
			memory[word_of[BASE + which]] = value_of[BASE + which];
			pending[me]--;
			do
			:: k < pending[me] ->
				word_of[BASE + k] = word_of[BASE + k + 1];
				value_of[BASE + k] = value_of[BASE + k + 1];
				group_of[BASE + k] = group_of[BASE + k + 1];
				waits[BASE + k] = waits[BASE + k + 1];
				k++
			:: else -> break
			od;
			word_of[BASE + pending[me]] = 0;
			value_of[BASE + pending[me]] = 0;
			group_of[BASE + pending[me]] = 0;
			waits[BASE + pending[me]] = 0;
			if
			:: pending[me] == 0 -> fences[me] = 0
			:: else
			fi
		:: else
		fi;
		k = 0;
		which = 0
	}
	od
}

/* ---- Writers ---- */

#define LEAF_OF(page, generation) ((page) * 4 + (generation))
#define LEAF_PAGE(leaf) ((leaf) / 4)
#define LEAF_GENERATION(leaf) ((leaf) % 4)

inline lock(me) {
	d_step { ALONE(me) && memory[STRIPE] == 0 -> memory[STRIPE] = 1 } /* exchange_acquire */
}

inline unlock(me) {
	store_release(me, STRIPE, 0)
}

/* Under the stripe, so that the counter in memory is the writer's own. */
inline store_entry(me, low, high) {
#ifdef TORN_ENTRY
	store_relaxed(me, LOW, low);
	store_relaxed(me, HIGH, high)
#else
	d_step {
		sequence = memory[SEQUENCE] + 1;
		put(me, SEQUENCE, sequence, 0)
	};
#ifndef ODD_LATE
	fence_release(me);
#endif
	store_relaxed(me, LOW, low);
	store_relaxed(me, HIGH, high);
#ifdef EVEN_EARLY
	store_relaxed(me, SEQUENCE, sequence + 1);
#else
	store_release(me, SEQUENCE, sequence + 1);
#endif
	sequence = 0
#endif
}

proctype Inserter() {
	byte insertions, page, generation, sequence;

	do
	:: insertions < INSERTIONS ->
		d_step { generation = memory[GENERATION] }; /* before the walk */
		if
		:: page = 1
		:: page = 2
		fi;
		if /* try-lock */
		:: lock(INSERTER);
			if
#ifndef INSERT_UNCHECKED
			:: memory[GENERATION] == generation ->
#else
			:: true ->
#endif
				store_entry(INSERTER, page, LEAF_OF(page, generation))
			:: else
			fi;
			unlock(INSERTER)
		:: memory[STRIPE] != 0
		fi;
		d_step {
			page = 0;
			generation = 0;
			insertions++
		}
	:: else -> break
	od
}

proctype Invalidator() {
	byte sequence;

	do
	:: completed < CHANGES ->
		d_step { ALONE(INVALIDATOR) -> memory[GENERATION]++ }; /* add_seq_cst */
#ifndef CLEAR_UNLOCKED
		lock(INVALIDATOR);
#endif
		if
		:: memory[LOW] == 1 -> store_entry(INVALIDATOR, 0, 0)
		:: else
		fi;
#ifndef CLEAR_UNLOCKED
		unlock(INVALIDATOR);
#endif
		d_step { ALONE(INVALIDATOR) -> completed++ } /* ugen: add_seq_cst */
	:: else -> break
	od
}

/* ---- Readers ---- */

#ifdef ODD_ACCEPTED
#define IS_EVEN(sequence) true
#else
#define IS_EVEN(sequence) ((sequence) % 2 == 0)
#endif

inline look() {
#ifdef TORN_ENTRY
	d_step { before = 0 };
#elif defined(LOOK_LATE)
	skip;
#else
	d_step { before = memory[SEQUENCE] }; /* load_acquire */
#endif
	if
	:: IS_EVEN(before) ->
		/* Halves: either may be loaded first, and without a fence the second look before them. */
		if
		:: d_step { low = memory[LOW] }; d_step { high = memory[HIGH] }
		:: d_step { high = memory[HIGH] }; d_step { low = memory[LOW] }
#ifdef LOOK_EARLY
		:: d_step { after = memory[SEQUENCE]; looked = true };
			d_step { low = memory[LOW] }; d_step { high = memory[HIGH] }
		:: d_step { low = memory[LOW] }; d_step { after = memory[SEQUENCE]; looked = true };
			d_step { high = memory[HIGH] }
#endif
		fi;
#ifdef LOOK_LATE
		d_step { before = memory[SEQUENCE] };
#endif
		if
#if defined(TORN_ENTRY) || defined(LOOK_ONCE)
		:: after = before
#else
		:: !looked -> d_step { after = memory[SEQUENCE] }
		:: looked
#endif
		fi;
		if
		:: low == page && after == before && IS_EVEN(before) ->
			assert(LEAF_PAGE(high) == page);                      /* torn */
			assert(page == 2 || LEAF_GENERATION(high) >= born)    /* stale */
		:: else
		fi
	:: else
	fi
}

proctype Reader() {
	byte looks, page, before, after, low, high, born;
	bool looked;

	do
	:: looks < LOOKS ->
		d_step { born = completed }; /* the section's enter: a full barrier */
		if
		:: page = 1
		:: page = 2
		fi;
		look();
		d_step {
			page = 0;
			before = 0;
			after = 0;
			low = 0;
			high = 0;
			born = 0;
			looked = false;
			looks++
		}
	:: else -> break
	od
}

init {
	atomic {
		run Reader();
		run Inserter();
		run Invalidator();
		run Buffer(INSERTER);
		run Buffer(INVALIDATOR)
	}
}
