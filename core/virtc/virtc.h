/* SPDX-License-Identifier: Apache-2.0 */
/* virtc.h: what the files of the virtc program share. */
#ifndef VIRTC_H
#define VIRTC_H

#include <argp.h>
#include <signal.h>
#include <stdio.h>
#include <vccore/vccore.h>

/* Exit codes of virtc's own failures; `run` and `exec` otherwise exit with the code of the container's process. */
enum {
    VIRTC_FAILED = 1,     /* a command failed */
    VIRTC_USAGE = 2,      /* it was called wrongly */
    VIRTC_RUN_FAILED = 125, /* run, exec: virtc itself failed */
    VIRTC_NOEXEC = 126,   /* run, exec: the program cannot be executed */
    VIRTC_NOCMD = 127     /* run, exec: there is no such program */
};

/* What the global options said. */
struct virtc {
    struct vc_context_options options;
    char **overrides; /* NULL-terminated */
    size_t n_overrides;
    int json;
};

/* A list of words that ends with NULL. */
struct words {
    char **v;
    size_t n;
};

/* One command: `run` gets argv[0] = its full name ("virtc pod create") and what stands behind it. */
struct command {
    const char *name;
    const char *usage; /* after the name */
    const char *doc;   /* one line */
    int (*run)(struct virtc *vt, int argc, char **argv);
};

/* ---- main.c ---- */
/* Find and run argv[1] in a table that ends with a NULL name; without it, or with --help, print the table. */
int virtc_dispatch(struct virtc *vt, const struct command *table, const char *doc, int argc, char **argv);
/* Open the library's context; on failure the error is printed and `*ret` is NULL. */
int virtc_open(struct virtc *vt, vc_context **ret);

/* ---- output.c ---- */
/* Print the error of a failed call, free it and return `exit_code`. */
int virtc_error(const struct virtc *vt, vc_error *err, int exit_code);
/* Print a complaint of virtc itself in the same form. */
int virtc_complain(const struct virtc *vt, int exit_code, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
/* Rows of `columns` cells, the first row the heading; cells are padded, columns parted by two blanks. */
void virtc_table(const char *const *cells, size_t columns, size_t rows);
/* A JSON string literal on stdout. */
void virtc_json_string(const char *text);
/* {"id": ...} or the bare id. */
void virtc_print_id(const struct virtc *vt, const char *id);
/* "268 KiB", "1.5 GiB". */
void virtc_print_size(char buf[24], uint64_t bytes);
/* "12 s", "3 h": how long ago that was. */
void virtc_print_age(char buf[24], int64_t realtime_ns);
/* Write what stdout still holds.  0, or 1 after a complaint when it could not be written; a reader that is gone ends the
 * program silently, as it ends others. */
int virtc_flush_stdout(const struct virtc *vt, int exit_code);
/* For vc_context_options: a line on standard error. */
void virtc_progress(void *arg, const char *text);

/* ---- options.c ---- */
/* Add a copy of a word; exits the program only by returning ENOMEM. */
int words_add(struct words *w, const char *word);
void words_free(struct words *w);
/* "256M" to bytes; 0 or -1. */
int parse_size(const char *text, uint64_t *ret);
int parse_int(const char *text, long min, long max, long *ret);
/* "TERM", "SIGTERM" or "15"; -1 when unknown. */
int parse_signal(const char *text);
/* "auto", "off" or "require" to VC_TEMPLATE_*; -1 for anything else. */
int parse_template(const char *text, uint32_t *ret);
/* The option of that name, for the tables of `run` and `pod create`. */
#define TEMPLATE_OPTION(key, group) \
    {"template", key, "HOW", 0, "How the VM starts: auto, from a saved VM, which the first pod on a host makes; off, by booting; " \
     "require, from one that must be there (default: as configured)", group}
/* For argp: no words at all. */
error_t none_parse(int key, char *arg, struct argp_state *state);

/* Options of everything that runs a program in a container (run, container create, container exec). */
struct process_options {
    struct words args, env, groups, caps;
    const char *user, *cwd;
    const char *in, *out, *err; /* files, or NULL */
    int interactive, terminal, no_new_privs;
    int fds[3];
};
extern const struct argp process_argp;
/* Fill the library's struct from them; opens the files named.  0, or an exit code after a complaint. */
int process_config(const struct virtc *vt, struct process_options *o, int inherit, struct vc_process_config *ret);
void process_options_done(struct process_options *o);

/* Options of a container. */
struct container_options {
    struct process_options process;
    struct words sysctl, rlimits, annotations;
    const char *rootfs, *name;
    int readonly;
    uint64_t memory;
    long pids, cpu_shares, cpu_quota;
};
extern const struct argp container_argp;
int container_config(const struct virtc *vt, struct container_options *o, int inherit, struct vc_process_config *proc,
                     struct vc_container_config *ret);
void container_options_done(struct container_options *o);

/* ---- cancel.c ---- */
/* Signals that are handed to the process in the container instead of acting on virtc. */
void virtc_passed_signals(sigset_t *set);
/* Block the signals that virtc_attend passes on, so that none is lost between start and attend. */
void virtc_hold_signals(void);
/* Call fn(arg) so that SIGINT, SIGTERM, SIGHUP and SIGQUIT cancel what it does with the context (NULL: it is not
 * cancelled, and that is said).  A second one ends the program at once.  *ret_sig: the first that came, or 0. */
int virtc_cancellable(vc_context *ctx, int (*fn)(void *arg), void *arg, int *ret_sig);
/* End as that signal ends a program, so that a shell sees it. */
void virtc_die_of(int sig);

/* ---- lastwords.c ---- */
#define VIRTC_CRASH_STACK 32768
/* From now on a plugin that crashes or ends the program is named. */
void virtc_last_words(const struct virtc *vt);
/* This thread's handlers of crashes run on that memory. */
void virtc_crash_stack(void *mem, size_t size);
/* End at once, as that signal ends a program, saying which plugin keeps virtc from ending well. */
void virtc_give_up(int sig);

/* ---- cmd-run.c ---- */
int cmd_run(struct virtc *vt, int argc, char **argv);
/* Stand in for a process in a container: pass signals and window size to its shim, wait for its end and
 * return its exit code. */
int virtc_attend(const struct virtc *vt, vc_context *ctx, const char *pod, const char *container, const char *exec_id, int pid);
/* Exit code for a failed start of a program. */
int virtc_run_code(const vc_error *err);

extern const struct command pod_commands[], container_commands[], template_commands[], pool_commands[], plugin_commands[],
    config_commands[];
extern const char pod_doc[], container_doc[], template_doc[], pool_doc[], plugin_doc[], config_doc[];
int cmd_gc(struct virtc *vt, int argc, char **argv);

#endif
