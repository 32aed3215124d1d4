/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * main.c - every test of the kernel that needs no Swift: deterministic cases, randomised trials for
 * as long as wanted, and the proof that they would notice a broken rule.
 */
#define _GNU_SOURCE
#include "proof.h"

#include <fnmatch.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static const char help[] =
    "usage: proof COMMAND [OPTION ...]\n"
    "\n"
    "commands\n"
    "  cases              every deterministic case\n"
    "  trials             every randomised trial, one after another\n"
    "  soak               all trials over and over, each slice in a process of its own\n"
    "  mutants            breaks every rule in turn, and shows what notices it, and how fast\n"
    "\n"
    "options\n"
    "  --only GLOB        those whose name matches\n"
    "  --list             names them and runs nothing\n"
    "  --seed N           begin with this seed; without, with one from the clock, which is told\n"
    "  --seconds S        trials: how long each runs; 1 without\n"
    "  --minutes M        soak: how long it runs; 30 without\n"
    "  --jobs N           soak: slices at a time; without, half as many as processors\n"
    "  --release PROGRAM  soak: the same program without test switches; every other slice is its\n"
    "  --repeat N         mutants: tells the median of N runs of each; 1 without\n"
    "  --help             this text\n"
    "\n"
    "The exit code is 0 if all is well, 1 if anything failed, 2 if the command is not "
    "understood.\n";

bool is_wanted(const struct options *options, const char *name) {
    return options->only == NULL || fnmatch(options->only, name, 0) == 0;
}

uint64_t next_seed(uint64_t *state) {
    *state = *state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    uint64_t seed = *state >> 32;
    return seed == 0 ? 1 : seed;
}

void report_trial(const struct probe_trial *trial, uint64_t seed, uint32_t milliseconds,
                  struct report *report) {
    const struct probe_trial_options options = {.seed = seed, .milliseconds = milliseconds};
    struct probe_trial_result result = {0};
    report->status = trial->run(trial, &options, &result);
    report->violations = result.violations;
    report->operations = result.operations;
    report->changes = result.changes;
    (void)snprintf(report->first, sizeof report->first, "%s", result.first);
}

enum { ONLY = 1, LIST, SEED, SECONDS, MINUTES, JOBS, RELEASE, REPEAT, HELP };

static const struct option known[] = {
    {"only", required_argument, NULL, ONLY},
    {"list", no_argument, NULL, LIST},
    {"seed", required_argument, NULL, SEED},
    {"seconds", required_argument, NULL, SECONDS},
    {"minutes", required_argument, NULL, MINUTES},
    {"jobs", required_argument, NULL, JOBS},
    {"release", required_argument, NULL, RELEASE},
    {"repeat", required_argument, NULL, REPEAT},
    {"help", no_argument, NULL, HELP},
    {NULL, 0, NULL, 0},
};

/* A number in first...last; the program ends if it is none. */
static double number(const char *name, double first, double last) {
    char *end = NULL;
    double value = strtod(optarg, &end);
    if (end == optarg || *end != 0 || !(value >= first && value <= last)) {
        (void)fprintf(stderr, "proof: --%s takes a number from %g to %g, not '%s'\n", name, first,
                      last, optarg);
        exit(2);
    }
    return value;
}

static void take(int option, struct options *options) {
    switch (option) {
    case ONLY:
        options->only = optarg;
        break;
    case LIST:
        options->list = true;
        break;
    case SEED:
        options->seed = (uint64_t)number("seed", 1, 4294967295.0);
        break;
    case SECONDS:
        options->seconds = number("seconds", 0.001, 1e6);
        break;
    case MINUTES:
        options->minutes = number("minutes", 0.01, 1e6);
        break;
    case JOBS:
        options->jobs = (uint32_t)number("jobs", 1, 1024);
        break;
    case RELEASE:
        options->release = optarg;
        break;
    case REPEAT:
        options->repetitions = (uint32_t)number("repeat", 1, 99);
        break;
    case HELP:
        (void)fputs(help, stdout);
        exit(0);
    default:
        (void)fputs("proof: try --help\n", stderr);
        exit(2);
    }
}

static uint64_t seed_of_the_clock(void) {
    struct timespec time;
    clock_gettime(CLOCK_REALTIME, &time);
    return ((uint64_t)time.tv_sec * 1000003 ^ (uint64_t)time.tv_nsec) % 4294967295u + 1;
}

int main(int count, char **arguments) {
    static const struct {
        const char *name;
        int (*run)(const struct options *options);
    } commands[] = {
        {"cases", run_cases}, {"trials", run_trials}, {"soak", run_soak}, {"mutants", run_mutants}};
    long processors = sysconf(_SC_NPROCESSORS_ONLN);
    struct options options = {.seed = seed_of_the_clock(),
                              .seconds = 1,
                              .minutes = 30,
                              .jobs = processors < 2 ? 1 : (uint32_t)processors / 2,
                              .repetitions = 1};
    (void)setvbuf(stdout, NULL, _IOLBF, 0);
    if (count > 1 && strcmp(arguments[1], "slice") == 0) {
        return run_slice(arguments + 2, count - 2);
    }
    for (int option; (option = getopt_long(count, arguments, "", known, NULL)) != -1;) {
        take(option, &options);
    }
    for (size_t index = 0; index < sizeof commands / sizeof *commands && optind < count; index++) {
        if (strcmp(arguments[optind], commands[index].name) == 0 && optind + 1 == count) {
            return commands[index].run(&options);
        }
    }
    (void)fputs(help, stderr);
    return 2;
}
