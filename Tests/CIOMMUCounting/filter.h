/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * filter.h - system calls that must not be made: seccomp, Linux only.
 */
#ifndef FILTER_H
#define FILTER_H

#include <stdbool.h>

/* False where there is no such thing. */
bool filter_exists(void);

/* From now on every system call of the calling thread but write and exit_group ends the process
 * by SIGSYS. With `tells`, it says first which call it was, and while doing what (`*doing`), and
 * exits with 1. Ends the process with a message where the system refuses. */
void filter_install(bool tells, const char *const *doing);

/* In a child process: does the filter stop a system call? True, too, if there is none. */
bool filter_works(void);

#endif
