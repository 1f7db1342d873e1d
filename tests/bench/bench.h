/* SPDX-License-Identifier: Apache-2.0 */
/* bench.h: what the groups of figures share. */
#ifndef BENCH_H
#define BENCH_H

#include <dirent.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { RUNS = 9, MAX_ARGS = 128, MAX_PHASES = 32 };

/* template_dir is a setting, "template_dir=PATH": the bench's own templates. */
extern const char *virtc, *rootfs, *workdir, *template_dir;

/* A program that was run. */
struct ran {
    int status;                /* wait status */
    int64_t start, first, end; /* first: first byte of its output, 0 = none */
    long max_rss_kb;           /* see for_memory */
    char out[65536];
    size_t out_len;
    uint64_t out_total;
};

int64_t now_ns(void);
__attribute__((noreturn, format(printf, 1, 2))) void die(const char *fmt, ...);
/* A line of figures; v is sorted.  Returns the median. */
double report(const char *name, const char *unit, double *v, size_t n);
/* While this is set, programs are started so that max_rss_kb is theirs, which takes longer. */
extern int for_memory;
/* Run argv; its standard input is `in` (or /dev/null); its standard output is read.  `stop_at_first`: kill it
 * after the first byte. */
void run(char *const *argv, int in, int stop_at_first, struct ran *r);
/* virtc with these words; dies unless it exits with `want` (-1: any). */
void run_virtc(struct ran *r, int in, int want, ...);
/* A whole file, malloc'ed and NUL-terminated; NULL when it cannot be read. */
char *slurp(const char *path, size_t *ret_n);
__attribute__((format(printf, 1, 2))) char *text(const char *fmt, ...);
/* Proportional set size in KiB; 0 when there is no such process. */
double pss_of(int pid);

/* Times between the phases that virtc logs, the kernel's and that of the first byte; names as they come. */
struct phases {
    char name[MAX_PHASES][32];
    double ms[MAX_PHASES][RUNS];
    size_t n, runs[MAX_PHASES];
};
struct moment {
    char name[32];
    int64_t at;
};
/* The phases in a log of virtc (--log-format json, --debug). */
size_t read_moments(const char *log, struct moment *m, size_t max);
void add_phases(struct phases *ph, const char *log, const struct ran *r);
void report_phases(const char *prefix, struct phases *ph);

/* A context with plugins that do nothing, its pods below `workdir`. */
struct vc_context *bench_context(void);
/* Create, start, stop and delete a pod n times. */
void bench_cycles(struct vc_context *ctx, const char *pod, size_t n);
/* bench-pods.c: the rest of group cycle, and group list. */
void bench_more_cycles(void);
void bench_list(void);
/* The groups of bench-vm.c; 0: there is no such group. */
int bench_vm(const char *group);

#endif
