/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * child.h - work in a process of its own, so that a crash or a hang is a result and not an end.
 */
#ifndef PROOF_CHILD_H
#define PROOF_CHILD_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/* What the work came to. In memory that parent and child share. */
struct report {
    uint32_t finished; /* the work has come to its end */
    int32_t status;    /* ciommu_status that setup failed with; 0 = fine */
    uint64_t violations;
    uint64_t operations;
    uint64_t changes;
    char first[400];
};

enum child_end {
    CHILD_RUNS,
    CHILD_FINISHED,
    CHILD_CRASHED, /* a signal, or an end before its time */
    CHILD_HUNG     /* beyond its limit; it was killed */
};

struct child {
    pid_t pid;
    int file; /* of the report */
    struct report *report;
    uint64_t begun; /* milliseconds */
    uint64_t limit; /* milliseconds */
    int signal;     /* that ended it */
};

/* Runs in the child; the report is all zero. */
struct work {
    void (*run)(const void *context, struct report *report, int file);
    const void *context;
    bool quiet; /* what it writes to stderr is dropped */
};

/* False: the system has no process or memory left. */
bool child_start(struct child *child, const struct work *work, uint64_t limit);

/* What it does now; once it has ended, `child->report` stands still. */
enum child_end child_look(struct child *child);

/* Waits for the end. */
enum child_end child_wait(struct child *child);

/* Forgets it. */
void child_forget(struct child *child);

/* "killed by signal 11 (Segmentation fault)" */
void child_tell_end(const struct child *child, enum child_end end, char *text, uint32_t size);

/* The report in an inherited file; NULL if it is none. */
struct report *report_open(int file);

/* Milliseconds of a monotonic clock. */
uint64_t now(void);

#endif
