/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * filter.c - see filter.h.
 */
#include "filter.h"

#ifdef __linux__

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static const char *const *told_doing;

static void tell(int number, siginfo_t *info, void *context) {
    (void)number;
    (void)context;
    char line[160];
    int length = snprintf(line, sizeof line, "%s: system call %d at %p\n", *told_doing,
                          info->si_syscall, info->si_call_addr);
    (void)!write(STDERR_FILENO, line, (size_t)length);
    _exit(1);
}

bool filter_exists(void) {
    return true;
}

void filter_install(bool tells, const char *const *doing) {
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_write, 2, 0),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_exit_group, 1, 0),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_TRAP),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    const struct sock_fprog program = {sizeof code / sizeof code[0], code};
    struct sigaction action = {.sa_flags = SA_SIGINFO, .sa_sigaction = tell};
    told_doing = doing;
    if ((tells && sigaction(SIGSYS, &action, NULL) != 0) ||
        prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 ||
        prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) != 0) {
        perror("seccomp");
        exit(1);
    }
}

bool filter_works(void) {
    fflush(NULL);
    pid_t child = fork();
    if (child == 0) {
        filter_install(false, NULL);
        (void)syscall(SYS_getppid);
        _exit(0);
    }
    int status = 0;
    return child > 0 && waitpid(child, &status, 0) == child && WIFSIGNALED(status) &&
           WTERMSIG(status) == SIGSYS;
}

#else

bool filter_exists(void) {
    return false;
}

void filter_install(bool tells, const char *const *doing) {
    (void)tells;
    (void)doing;
}

bool filter_works(void) {
    return true;
}

#endif
