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
    int json, quiet, no_headers;
    /* Who wants to see a command's table of options instead of running it (completion.c); NULL = nobody. */
    void (*collect)(void *arg, const struct argp *argp);
    void *collect_arg;
};

/* A list of words that ends with NULL. */
struct words {
    char **v;
    size_t n;
};

/* One command: `run` gets argv[0] = its full name ("virtc pod create") and what stands behind it.  It reads its options
 * by virtc_parse, before anything else. */
struct command {
    const char *name;
    const char *usage; /* after the name */
    const char *doc;   /* one line */
    int (*run)(struct virtc *vt, int argc, char **argv);
    const struct command *sub; /* a group's commands; then there is no `run` */
    const char *const *sub_doc;
};

/* ---- main.c ---- */
/* Find and run argv[1] in a table that ends with a NULL name; without it, or with --help, print the table. */
int virtc_dispatch(struct virtc *vt, const struct command *table, const char *doc, int argc, char **argv);
extern const struct command virtc_commands[];
extern const struct argp virtc_main_argp;
/* Open the library's context; on failure the error is printed and `*ret` is NULL. */
int virtc_open(struct virtc *vt, vc_context **ret);

/* ---- parse.c ---- */
/* argp_parse with the options that every command has.  0, or VIRTC_USAGE. */
int virtc_parse(struct virtc *vt, const struct argp *argp, unsigned flags, int argc, char **argv, void *input);
/* The same for virtc's own options, without those of every command. */
int virtc_parse_main(struct virtc *vt, const struct argp *argp, int argc, char **argv, void *input);
/* At exit: say as JSON what argp has said while it ended the program. */
void virtc_parse_exit(void);
/* The options that every command has. */
extern const struct argp output_argp;

/* ---- output.c ---- */
/* Print the error of a failed call, free it and return `exit_code`. */
int virtc_error(const struct virtc *vt, vc_error *err, int exit_code);
/* The same about what a document says; path "-": standard input. */
int virtc_error_in(const struct virtc *vt, const char *path, vc_error *err, int exit_code);
/* Print a complaint of virtc itself in the same form. */
int virtc_complain(const struct virtc *vt, int exit_code, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
/* Rows of `columns` cells, the first row the heading; cells are padded, columns parted by two blanks.  With --quiet only the
 * first column of those below the heading. */
void virtc_table(const struct virtc *vt, const char *const *cells, size_t columns, size_t rows);
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
/* What a long action is doing, as a line on the terminal that is overwritten by the next one.  Nothing where standard
 * error is no terminal, or with --quiet or --json. */
void virtc_phase_begin(const struct virtc *vt, const char *text);
/* For vc_context_options. */
void virtc_phase(void *arg, const char *pod, const char *phase);
/* Take that line away. */
void virtc_phase_end(void);
/* "2026-11-22T10:00:00.123Z". */
void virtc_print_time(char buf[40], int64_t realtime_ns);
/* Begin a JSON member: the comma unless it is the first, its name and the colon. */
void virtc_json_key(int *n, const char *name);

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

/* Base and flags as one list; of those with the same key (what stands before "=") that of the flags. */
int words_merge(struct words *ret, const char *const *base, const struct words *flags);
/* A file as text, "-" for standard input.  0, or an exit code after a complaint. */
int read_document(const struct virtc *vt, int exit_code, const char *path, char **ret);

/* Options of everything that runs a program in a container (run, container create, container exec). */
struct process_options {
    struct words args, env, groups, caps;
    const char *user, *group, *cwd;
    const char *in, *out, *err; /* files, or NULL */
    int interactive, terminal, no_new_privs;
    int touched; /* any was given */
    int fds[3];
    struct words merged_env, spec_env; /* spec_env: that of an OCI specification, to which options add */
};
extern const struct argp process_argp, stdio_argp;
/* Fill the library's struct from them; opens the files named.  base (may be NULL) is what a document said: options win,
 * its streams are not used.  inherit: it gets this program's streams.  0, or an exit code after a complaint. */
int process_config(const struct virtc *vt, struct process_options *o, int inherit, const struct vc_process_config *base,
                   struct vc_process_config *ret);
void process_options_done(struct process_options *o);

/* ---- storage.c ---- */
struct storage_options {
    struct vc_mount **mounts;
    struct vc_volume **volumes;
    struct vc_device_info **devices;
    size_t n_mounts, n_volumes, n_devices;
    struct words keep; /* all strings */
    void **joined[3];  /* with those of a document */
};
/* Add one; NULL, or what is wrong with the text. */
const char *storage_add_bind(struct storage_options *o, const char *text);
const char *storage_add_mount(struct storage_options *o, const char *text);
const char *storage_add_volume(struct storage_options *o, const char *text);
const char *storage_add_device(struct storage_options *o, const char *text);
/* Lay those of the options over those of a document.  0 or -1 (no memory). */
int storage_to_container(struct storage_options *o, struct vc_container_config *c);
int storage_to_pod(struct storage_options *o, struct vc_pod_config *c);
void storage_options_done(struct storage_options *o);

/* ---- opt-container.c ---- */
/* Options of a container. */
struct container_options {
    struct process_options process;
    struct storage_options storage;
    struct words sysctl, rlimits, annotations, merged[3];
    const char *rootfs, *name, *from;
    int readonly, touched;
    struct vc_resources limits;
    struct vc_container_config *document;
};
extern const struct argp container_argp; /* all of them */
extern const struct argp inner_argp;     /* those that do not clash with a pod's */
extern const struct argp limits_argp;    /* input: struct vc_resources */
/* As process_config.  base NULL: what --from has named, if anything. */
int container_config(const struct virtc *vt, struct container_options *o, int inherit, const struct vc_container_config *base,
                     struct vc_process_config *proc, struct vc_container_config *ret);
void container_options_done(struct container_options *o);

/* ---- opt-pod.c ---- */
/* Options of a pod: of run, pod create and pod run. */
struct pod_options {
    struct vc_pod_config flags; /* what the options said; members that are lists are not used */
    struct words settings, annotations, dns, merged[3];
    struct storage_options storage;
    const char *from;
    struct vc_pod_config *document;
    struct vc_process_config proc;
    struct vc_container_config ctr, *list[1];
};
extern const struct argp pod_argp;
/* What the library gets: options over document, with the container of the options, when there is one.  It belongs to
 * `o` and `c`.  0, or an exit code after a complaint. */
int pod_config(const struct virtc *vt, struct pod_options *o, struct container_options *c, int inherit, struct vc_pod_config *ret);
void pod_options_done(struct pod_options *o);

/* ---- cancel.c ---- */
/* Those of a list of signals that our caller did not have us ignore. */
void virtc_signals(sigset_t *set, const int *list, size_t n);
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
/* "the id of the pod's only container" when *container is NULL: a copy in *ret (free it), or an exit code after a complaint. */
int virtc_container_id(const struct virtc *vt, vc_context *ctx, const char *pod, const char *container, int exit_code, char **ret);
/* Exit code for a failed start of a program. */
int virtc_run_code(const vc_error *err);

/* ---- cmd-container.c, cmd-pod.c ---- */
void virtc_print_containers(const struct virtc *vt, struct vc_container_status *const *list, size_t n);
/* All "key=value" (may be NULL), or one value (may be NULL). */
void virtc_print_annotations(const struct virtc *vt, char *const *all, const char *value);

extern const struct command pod_commands[], container_commands[], template_commands[], pool_commands[], plugin_commands[],
    config_commands[];
extern const char pod_doc[], container_doc[], template_doc[], pool_doc[], plugin_doc[], config_doc[];
int cmd_gc(struct virtc *vt, int argc, char **argv);
/* ---- cmd-process.c: these and `virtc container ...` are the same ---- */
int cmd_exec(struct virtc *vt, int argc, char **argv);
int cmd_kill(struct virtc *vt, int argc, char **argv);
int cmd_wait(struct virtc *vt, int argc, char **argv);
int cmd_resize(struct virtc *vt, int argc, char **argv);
int cmd_enter(struct virtc *vt, int argc, char **argv);
/* ---- cmd-watch.c ---- */
int cmd_ps(struct virtc *vt, int argc, char **argv);
int cmd_stats(struct virtc *vt, int argc, char **argv);
int cmd_events(struct virtc *vt, int argc, char **argv);
/* ---- cmd-attach.c, cmd-logs.c, completion.c ---- */
int cmd_attach(struct virtc *vt, int argc, char **argv);
int cmd_logs(struct virtc *vt, int argc, char **argv);
int cmd_completion(struct virtc *vt, int argc, char **argv);

/* ---- args.c: POD [CONTAINER] and what most commands about them have ---- */
enum { ARG_POD = 1, ARG_CONTAINER = 2, ARG_OPTIONAL = 3, ARG_ANY = 4, ARG_ANY_POD = 5 };
/* POD; POD CONTAINER; POD [CONTAINER]; [POD [CONTAINER]]; [POD] */
struct ctr_args {
    struct container_options c;
    struct vc_resources limits;
    const char *pod, *container, *exec_id, *from;
    struct words rest; /* words behind them */
    uint32_t flags;
    int ids;           /* ARG_* */
    int command;       /* 1: a command follows, with the options of processes; 2: of containers */
    int max_rest;
    const char *signal;
    long timeout;      /* seconds; -1 = default */
    int detach, interactive, stream, format, until_stopped;
    long rows, cols, interval, lines;
    char *id;          /* of the only container, when it was not named */
};
/* Keys of args_parse; those that are letters are the short option. */
enum { ARGS_ALL = 0x700, ARGS_EXEC, ARGS_STREAM, ARGS_ROWS, ARGS_COLS, ARGS_FROM, ARGS_INTERVAL, ARGS_FORMAT, ARGS_STOPPED, ARGS_LINES };
error_t args_parse(int key, char *arg, struct argp_state *state);
/* Parse, open the context, find the container, call, clean up.  on_fail: exit code of failures before the call. */
int virtc_with_args(struct virtc *vt, int argc, char **argv, const struct argp *argp, struct ctr_args *a,
                    int (*call)(struct virtc *, vc_context *, struct ctr_args *));

#endif
