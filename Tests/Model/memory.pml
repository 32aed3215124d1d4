/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * memory.pml - what the models share: the memory of x86-64, sections, and the drain. Included by
 * each, after READERS, PROCESSES, WORDS and USED, and DRAINS where two threads drain.
 *
 * Memory is TSO: each process has a FIFO of stores which its Buffer carries out at any later
 * moment; loads look there first; locked instructions wait until it is empty. Every load, store and
 * locked instruction is one step.
 *
 * A port's `state` is a bit, and whether it moved since the drain looked (`watched`): a counter
 * that never comes round, at no cost. The last use of what was translated is a write through the
 * host pointer, carried out just before the store that ends the section: the latest moment that
 * there is, and so the worst. USED says what must hold then.
 */

/* Words besides those of a model. What LEAVE holds is what was used last. */
#define ENTER 100
#define LEAVE 101

#define NOBODY 255
#define NONE 255

#define DEPTH 6 /* of a FIFO */

#ifndef DRAINS
#define DRAINS 1
#endif

byte memory[WORDS];
bool odd[READERS];

byte pending[PROCESSES];
byte word_of[PROCESSES * DEPTH];
byte value_of[PROCESSES * DEPTH];

/* Whose state each drain waits for; NOBODY once it has moved. */
byte watched[DRAINS] = NOBODY;

hidden byte k;
hidden byte word;

inline load(me, from, to) {
	d_step {
		to = memory[from];
		k = 0;
		do
		:: k < pending[me] ->
			if
			:: word_of[me * DEPTH + k] == from -> to = value_of[me * DEPTH + k]
			:: else
			fi;
			k++
		:: else -> break
		od;
		k = 0
	}
}

inline store(me, to, value) {
	d_step {
		assert(pending[me] < DEPTH); /* full */
		word_of[me * DEPTH + pending[me]] = to;
		value_of[me * DEPTH + pending[me]] = value;
		pending[me]++
	}
}

/* The condition of a locked instruction, which begins a d_step. */
#define ALONE(me) (pending[me] == 0)

inline moves(port) {
	if
	:: watched[0] == port -> watched[0] = NOBODY
	:: else
	fi
#if DRAINS == 2
	;
	if
	:: watched[1] == port -> watched[1] = NOBODY
	:: else
	fi
#endif
}

/* Carries out the stores of one process. */
proctype Buffer(byte me) {
end:
	do
	:: d_step {
		pending[me] > 0 ->
		word = word_of[me * DEPTH];
		if
		:: word == LEAVE ->
			USED(value_of[me * DEPTH]);
			odd[me] = 0;
			moves(me)
		:: word == ENTER ->
			odd[me] = 1;
			moves(me)
		:: else -> memory[word] = value_of[me * DEPTH]
		fi;
		pending[me]--;
		k = 0;
		do
		:: k < pending[me] ->
			word_of[me * DEPTH + k] = word_of[me * DEPTH + k + 1];
			value_of[me * DEPTH + k] = value_of[me * DEPTH + k + 1];
			k++
		:: else -> break
		od;
		word_of[me * DEPTH + pending[me]] = 0;
		value_of[me * DEPTH + pending[me]] = 0;
		k = 0;
		word = 0
	}
	od
}

#ifdef NEW_PORT_MISSED
#define PORTS (READERS - 1)
#else
#define PORTS READERS
#endif

inline drain(drainer) {
	port = 0;
	do
	:: port < PORTS ->
		if
#ifdef LOOK_TWICE
		:: odd[port] -> watched[drainer] = port; watched[drainer] == NOBODY
#elif defined(WAIT_FOR_EVEN)
		:: odd[port] -> !odd[port]
#else
		:: d_step { odd[port] -> watched[drainer] = port }; watched[drainer] == NOBODY
#endif
		:: !odd[port]
		fi;
		port++
	:: else -> break
	od;
	port = 0
}
