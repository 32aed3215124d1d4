/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * silent.pml - devices that keep answers (ATS) and do not say, or say late, that they dropped them.
 *
 * Modelled: one IOVA of one device, which holds a page. In sections of its port, one after the
 * other, it asks for a translation and keeps the answer, uses what it holds (a translated request),
 * or makes a request of an address. A change makes the IOVA lead to the next page; when its
 * invalidation has drained, it asks the device to drop everything, which the device may do at any
 * time or never, and say so at any later time or never, or refuse. The round that asked may at any
 * time be tired of waiting, and blocks the device. Page n is poisoned when change n completes,
 * whatever the device said. Beside all that the host retries (asks again, and unblocks), or resets
 * the device (which has lost everything, and stands still until it is unblocked).
 *
 * Memory, sections and the drain stand in memory.pml.
 *
 * Step                       Function in CSources/CIOMMU
 *   Device: enter            include/ciommu_inline.h: ciommu_enter; port.c:
 *                            ciommu_port_resynchronise
 *   Device: ask, use         translate.c: ciommu_answer_slowly, is_blocked_device;
 *                            device_tlb.c: ciommu_device_tlb_blocks
 *   Device: request          short_way.h: way_open; resolve.c: ciommu_resolve
 *   Control                  device_tlb.c: ciommu_device_tlb_answer, find_open
 *   ask_device: collect, open                         tlb_round.c: ciommu_tlb_round_add, try_open
 *   ask_device: wait         tlb_round.c: wait_for_all, advance
 *   ask_device: block        tlb_round.c: block_failed; device_tlb.c: ciommu_device_tlb_block,
 *                            ciommu_device_tlb_blocked
 *   settle                   invalidate.c: ciommu_unit_settle
 *   Changer                  tlb_ask.c: ciommu_tlbs_settle, ciommu_tlbs_ask
 *   Host: retry, reset       device_tlb_life.c: ciommu_device_tlb_retry, flush, unblock_if,
 *                            ciommu_device_tlb_reset, close_open
 *
 * Made simpler
 *   - Ports keep no pages (protocol.pml), but that the device was found working (tables.pml).
 *   - Threads that change something use locked instructions alone, so they have no FIFO.
 *   - There is a slot for each round's request. A time-out comes at any time.
 *   - What is under tlbs.lock is one step.
 *   - A device does not drop what it is using.
 *   - What is under the table lock is one step: sections that see some of it are drained.
 *   - `tlbs_blocked` and a device-TLB's own word are one word.
 * Left out: devices with several device-TLBs and their parents' (joining, closing), drains that
 * time out, tokens (tokens.pml).
 *
 * Rules that a definition breaks. As in debug.h: TLB_NOT_BLOCKED, TLB_LATE_ACCEPTED,
 * TLB_BEFORE_DRAIN, TLB_LEFT_UNSEEN (here: any block without a move of tablegen), NO_DRAIN. Of the
 * model alone: TIMEOUT_BELIEVED (no answer is taken for one), REFUSAL_BELIEVED (as is a refusal),
 * BLOCK_UNSETTLED (a round that blocked returns before older sections have ended),
 * BLOCKING_SKIPPED (one that meets another's block does), UNBLOCKED_ANYWAY (retry and reset unblock
 * a device that was blocked anew meanwhile), RESET_RUNNING (a device that is reset goes on
 * meanwhile, and holds what a section of before gave it when its requests count as answered).
 *
 * Properties, by the names of the comments beside their assertions
 *   poisoned   nobody uses a page after the change that took it away completed
 *   blocked    a section that began after a round gave up on the device gets nothing, until the
 *              device is unblocked
 *   (end)      all processes come to their ends
 *
 * Bounds, by -D: SECTIONS, CHANGES, HOSTS (retries and resets).
 */

#define READERS 1
#define DRAINS 2

#ifndef SECTIONS
#define SECTIONS 3
#endif
#ifndef CHANGES
#define CHANGES 1
#endif
#ifndef HOSTS
#define HOSTS 1
#endif

#define UGEN 0
#define TABLEGEN 1
#define BLOCKED 2 /* the device-TLB's word */
#define LEAF 3    /* the page */
#define WORDS 4

#define WORKING 0
#define BLOCKING 1
#define BLOCKED_FOR_GOOD 2

#define DEVICE 0
#define PROCESSES 1

/* Threads that ask. */
#define CHANGER 0
#define HOST 1

/* Requests to the device. */
#define REQUESTS (CHANGES + HOSTS + 1)

#define IDLE 0
#define OPEN 1
#define DONE 2
#define FAILED 3 /* late, or refused */

byte completed;  /* changes; pages below are poisoned */
byte held;       /* by the device; or NONE */
bool using;      /* what it holds, in its section */
bool quiet;      /* it is being reset */
bool shut;       /* a round that gave up has returned, and nobody unblocked the device since */

/* tlbs.lock */
byte last_id;
byte id_of[2];    /* what each thread has asked */
byte state_of[2]; /* and what came of it */

bool asked[REQUESTS];   /* the device knows of it */
bool dropped[REQUESTS]; /* and has done so */

/* Table lock. */
byte blocks;

#define USED(page) assert(page == NONE || page >= completed) /* poisoned */

#include "memory.pml"

/* ---- The device ---- */

inline enter() {
	d_step {
		ALONE(DEVICE) && !quiet -> /* exchange_seq_cst */
		born_shut = shut;
		using = false;
		odd[DEVICE] = 1;
		moves(DEVICE)
	};
	load(DEVICE, UGEN, value);
	if
	:: value != seen_ugen -> /* resynchronise */
		load(DEVICE, UGEN, seen_ugen);
		load(DEVICE, TABLEGEN, value);
		if
		:: value != seen_tablegen -> known = false
		:: else
		fi;
		seen_tablegen = value
	:: else
	fi;
	value = 0
}

/* Sets `value` to what stands in the way. */
inline find_blocked() {
#ifdef TLB_NOT_BLOCKED
	value = WORKING
#else
	load(DEVICE, BLOCKED, value)
#endif
}

inline ask() {
	find_blocked();
	if
	:: value == WORKING ->
		load(DEVICE, LEAF, page);
		held = page
	:: else
	fi
}

inline use() {
	find_blocked();
	if
	:: value == WORKING -> page = held
	:: else
	fi
}

inline request() {
	if
	:: known -> load(DEVICE, LEAF, page)
	:: else ->
		find_blocked();
		if
		:: value == WORKING ->
			known = true;
			load(DEVICE, LEAF, page)
		:: else
		fi
	fi
}

proctype Device() {
	byte sections, value, page = NONE;
	byte seen_ugen, seen_tablegen;
	bool known; /* to be working */
	bool born_shut;

	do
	:: sections < SECTIONS ->
		enter();
		if
		:: ask()
		:: held != NONE -> using = true; use()
		:: true -> request()
		fi;
		d_step {
			assert(page == NONE || !born_shut || !shut); /* blocked */
			store(DEVICE, LEAVE, page);
			page = NONE;
			value = 0;
			born_shut = false;
			sections++
		}
	:: else -> break
	od
}

inline answer(id, how) {
	d_step {
		asked[id] = false;
		dropped[id] = false;
		if
		:: id_of[CHANGER] == id && state_of[CHANGER] == OPEN -> state_of[CHANGER] = how
		:: id_of[HOST] == id && state_of[HOST] == OPEN -> state_of[HOST] = how
#ifdef TLB_LATE_ACCEPTED
		:: id_of[CHANGER] > id && state_of[CHANGER] == OPEN -> state_of[CHANGER] = how
		:: id_of[HOST] > id && state_of[HOST] == OPEN -> state_of[HOST] = how
#endif
		:: else /* late */
		fi
	}
}

/* Uses of what was held have ended: a device does not say that it dropped what it is using. */
#define UNUSED (!using || !odd[DEVICE])

#ifdef REFUSAL_BELIEVED
#define REFUSED DONE
#else
#define REFUSED FAILED
#endif

/* What the device may do about one request. */
#define HANDLE(id)                                                                                 \
	:: d_step { asked[id] && !dropped[id] && UNUSED -> dropped[id] = true; held = NONE }           \
	:: dropped[id] -> answer(id, DONE)                                                             \
	:: asked[id] && !dropped[id] -> answer(id, REFUSED)

/* The device's own thread: drops, and says so. */
proctype Control() {
end:
	do
	HANDLE(1)
#if REQUESTS > 2
	HANDLE(2)
#endif
#if REQUESTS > 3
	HANDLE(3)
#endif
	od
}

/* ---- Rounds ---- */

inline settle(who) {
	memory[UGEN]++;
#ifndef NO_DRAIN
	drain(who)
#endif
}

inline wait(who) {
	if
	:: state_of[who] != OPEN
	:: d_step { state_of[who] == OPEN -> state_of[who] = FAILED } /* time-out */
	fi
}

inline block(who) {
	d_step {
#ifndef TLB_LEFT_UNSEEN
		memory[TABLEGEN]++;
#endif
		memory[UGEN]++;
		if
		:: memory[BLOCKED] == WORKING -> memory[BLOCKED] = BLOCKING; blocks++
		:: else
		fi
	};
#if !defined(BLOCK_UNSETTLED) && !defined(NO_DRAIN)
	drain(who);
#endif
	d_step {
		if
		:: memory[BLOCKED] == BLOCKING -> memory[BLOCKED] = BLOCKED_FOR_GOOD
		:: else
		fi
	}
}

/* Asks the device for everything; `forced`: although it is blocked. Leaves what came of it in
 * state_of[who]. */
inline ask_device(who, forced) {
	d_step { /* collect, open */
		unsettled = !forced && memory[BLOCKED] == BLOCKING;
		if
		:: forced || memory[BLOCKED] == WORKING ->
			last_id++;
			id_of[who] = last_id;
			state_of[who] = OPEN;
			asked[last_id] = true
		:: else -> state_of[who] = IDLE
		fi
	};
	wait(who);
#ifdef TIMEOUT_BELIEVED
	state_of[who] = DONE;
#endif
	if
	:: state_of[who] == FAILED -> block(who)
#ifndef BLOCKING_SKIPPED
	:: state_of[who] != FAILED && unsettled -> settle(who)
#endif
	:: else
	fi;
	unsettled = false
}

proctype Changer() {
	byte port;
	bool unsettled;

	do
	:: completed < CHANGES ->
		memory[LEAF] = completed + 1;
#ifdef TLB_BEFORE_DRAIN
		ask_device(CHANGER, false);
		settle(CHANGER);
#else
		settle(CHANGER);
		ask_device(CHANGER, false);
#endif
		d_step {
			completed++;
			shut = shut || (state_of[CHANGER] == FAILED && memory[BLOCKED] != WORKING);
			id_of[CHANGER] = 0;
			state_of[CHANGER] = IDLE
		}
	:: else -> break
	od
}

inline unblock_if() {
	d_step {
		if
#ifdef UNBLOCKED_ANYWAY
		:: true -> memory[BLOCKED] = WORKING; shut = false
#else
		:: blocks == seen_blocks -> memory[BLOCKED] = WORKING; shut = false
		:: else
#endif
		fi
	}
}

inline retry() {
	settle(HOST);
	ask_device(HOST, true);
	if
	:: state_of[HOST] == DONE -> unblock_if()
	:: else
	fi
}

/* Ends a request of before as answered. */
inline close_open() {
	d_step {
		if
		:: state_of[CHANGER] == OPEN -> state_of[CHANGER] = DONE
		:: else
		fi
	}
}

inline reset() {
	close_open();
	settle(HOST);
	unblock_if()
}

proctype Host() {
	byte port, turns, seen_blocks;
	bool unsettled;

	do
	:: turns < HOSTS ->
		if
		:: seen_blocks = blocks;
			retry()
		:: d_step {
				!odd[DEVICE] ->
				held = NONE;
#ifndef RESET_RUNNING
				quiet = true;
#endif
				seen_blocks = blocks
			};
			reset();
			quiet = false
		fi;
		d_step {
			turns++;
			id_of[HOST] = 0;
			state_of[HOST] = IDLE;
			seen_blocks = 0
		}
	:: else -> break
	od
}

init {
	atomic {
		run Device();
		run Buffer(DEVICE);
		run Control();
		run Changer();
		run Host()
	}
}
