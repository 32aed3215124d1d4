/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * child.c - see child.h.
 */
#define _GNU_SOURCE
#include "child.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

uint64_t now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (uint64_t)time.tv_sec * 1000 + (uint64_t)time.tv_nsec / 1000000;
}

struct report *report_open(int file) {
    void *memory = mmap(NULL, sizeof(struct report), PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    return memory == MAP_FAILED ? NULL : memory;
}

static void run_child(const struct child *child, const struct work *work) {
    const struct rlimit none = {0, 0};
    (void)setrlimit(RLIMIT_CORE, &none);
    if (work->quiet) {
        int nowhere = open("/dev/null", O_WRONLY | O_CLOEXEC);
        (void)dup2(nowhere, STDERR_FILENO);
    }
    work->run(work->context, child->report, child->file);
    child->report->finished = 1;
    _exit(0);
}

bool child_start(struct child *child, const struct work *work, uint64_t limit) {
    *child = (struct child){.begun = now(), .limit = limit};
    child->file = memfd_create("report", 0);
    if (child->file < 0 || ftruncate(child->file, sizeof *child->report) != 0) {
        return false;
    }
    child->report = report_open(child->file);
    if (child->report == NULL) {
        return false;
    }
    (void)fflush(NULL); /* or the child writes it again */
    child->pid = fork();
    if (child->pid == 0) {
        run_child(child, work);
    }
    return child->pid > 0;
}

static enum child_end judge(struct child *child, int state) {
    child->signal = WIFSIGNALED(state) ? WTERMSIG(state) : 0;
    bool fine = WIFEXITED(state) && WEXITSTATUS(state) == 0 && child->report->finished != 0;
    return fine ? CHILD_FINISHED : CHILD_CRASHED;
}

enum child_end child_look(struct child *child) {
    int state = 0;
    if (waitpid(child->pid, &state, WNOHANG) == child->pid) {
        return judge(child, state);
    }
    if (now() - child->begun < child->limit) {
        return CHILD_RUNS;
    }
    (void)kill(child->pid, SIGKILL);
    (void)waitpid(child->pid, &state, 0);
    return CHILD_HUNG;
}

enum child_end child_wait(struct child *child) {
    const struct timespec nap = {0, 2000000};
    enum child_end end = child_look(child);
    while (end == CHILD_RUNS) {
        nanosleep(&nap, NULL);
        end = child_look(child);
    }
    return end;
}

void child_forget(struct child *child) {
    (void)munmap(child->report, sizeof *child->report);
    (void)close(child->file);
}

void child_tell_end(const struct child *child, enum child_end end, char *text, uint32_t size) {
    if (end == CHILD_HUNG) {
        (void)snprintf(text, size, "hangs: no end in %llu s",
                       (unsigned long long)(child->limit / 1000));
    } else if (child->signal != 0) {
        (void)snprintf(text, size, "crash: signal %d (%s)", child->signal,
                       strsignal(child->signal));
    } else {
        (void)snprintf(text, size, "crash: an end before its time");
    }
}
