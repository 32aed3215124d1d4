/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * harness.h - what all stress worlds need: random numbers, naps, and the hook that widens races.
 */
#ifndef PROBE_HARNESS_H
#define PROBE_HARNESS_H

#include <stdbool.h>
#include <stdint.h>

/* Never zero, if the state was not. */
uint64_t probe_random(uint64_t *state);

/* Milliseconds of a monotonic clock. */
uint64_t probe_now(void);

void probe_nap(long nanoseconds);

/* Yield and sleep at the engine's yield points, or do not. Nothing where they are compiled out. */
void probe_widen(bool on);

/* Changer and readers on processors of their own, so that they truly run at once. */
void probe_pin(bool changer);

#endif
