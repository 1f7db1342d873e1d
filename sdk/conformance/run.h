/* SPDX-License-Identifier: Apache-2.0 */
/* run.h: what the parent process, the entry of the child and the reports share. */
#ifndef VCT_RUN_H
#define VCT_RUN_H

#include "vct.h"

#ifndef VCT_VERSION
#define VCT_VERSION "0"
#endif
#ifndef VCT_PLUGIN_DIR
#define VCT_PLUGIN_DIR "/usr/local/lib/vccore"
#endif
#ifndef VCT_LIBEXEC_DIR
#define VCT_LIBEXEC_DIR "/usr/local/libexec/vccore"
#endif
#ifndef VCT_DATA_DIR
#define VCT_DATA_DIR "/usr/local/share/vccore"
#endif
#ifndef VCT_SCENARIO_DIR
#define VCT_SCENARIO_DIR "/usr/local/share/vccore/conformance"
#endif

/* ---- the catalogue (catalogue.c) ---- */

/* All checks, in the order of the catalogue; NULL behind the last. */
const struct vct_check *vct_catalogue(size_t i);
const struct vct_check *vct_catalogue_find(const char *id);
/* Title of the group of a check ("Load and ABI" for "L5"). */
const char *vct_group_title(const char *id);
/* Is the check named by a list of ids and groups ("L,H5")?  Lists are checked by vct_selection_ok. */
int vct_selected(const char *list, const struct vct_check *check);
/* 0, or -1 with the word that names no check in `word`. */
int vct_selection_ok(const char *list, char *word, size_t size);
void vct_explain(FILE *out, const struct vct_check *check);
const char *vct_level_name(enum vct_level level);
const char *vct_kind_name(uint32_t kind);
/* The kind of that name; 0: none. */
uint32_t vct_kind_by_name(const char *name);

/* ---- one run of the tool ---- */

/* How checks are kept apart from the system and from each other (isolate.c). */
enum vct_isolation {
    VCT_ISO_NONE,    /* --in-process */
    VCT_ISO_GROUP,   /* no namespaces to be had: a session and a subreaper of its own */
    VCT_ISO_USER,    /* namespaces, below a user namespace */
    VCT_ISO_ROOT     /* namespaces */
};

/* The rungs that checks stand on; each needs those before it. */
enum vct_rung {
    VCT_RUNG_FILE = 1, /* it is a shared object of this machine */
    VCT_RUNG_OPEN,     /* dlopen, and the entry is there */
    VCT_RUNG_HEAD,     /* magic and numbers of the contract */
    VCT_RUNG_TABLES,   /* descriptor and tables have sizes that hosts take */
    VCT_RUNG_MEMBERS,  /* and the members that hosts want */
    VCT_RUNG_LOAD,     /* `load` works */
    VCT_RUNG_CREATE,   /* `create`, called the plain way, gives an instance, or misses an option */
    VCT_RUNG_MAKE,     /* it gives an instance */
    VCT_RUNG_LIFE,     /* a step of the usual life answers VC_OK (probe-life.c) */
    VCT_RUNG_EFFECT,   /* and has the effect that it should have, and no other */
    VCT_RUNG_TOP
};

struct vct_result {
    const struct vct_check *check;
    enum vct_status status;
    int left_out;            /* not of this kind or level, or not selected: `text` says it */
    int known;               /* the baseline has it */
    int ended;
    int refused;             /* for this a host does not load the plugin */
    const char *reason, *remedy; /* in place of the check's, where a root cause has better ones; NULL: the check's */
    char *text;              /* what was found; the reason of a SKIP */
    struct vcs_buf warnings; /* lines */
    struct vcs_buf notes;    /* lines */
    char call[64];           /* the call it happened in or after; "" */
    int in_call;
    int signal;              /* CRASH: by which */
    int64_t ns;
    char *output;            /* what came out of descriptors 1 and 2 */
    size_t output_len;
};

struct vct_baseline {
    char *path;
    char **ids, **texts; /* in the order of the file */
    int *lines, *seen;
    size_t n;
};

struct vct_run {
    struct vct_settings s;
    char **argv;             /* the command line, for children and for the line that repeats a check */
    const char *program;
    struct vcs_buf repeat;   /* the options that a line which repeats a check needs, too */
    const char *only, *skip;
    int jobs;
    int no_namespaces;
    int list, json, tap, color, write_baseline;
    const char *junit;
    struct vct_baseline baseline;
    const char *child;       /* in a child: id of its check; NULL: the parent */
    int child_fd;
    const char *exe;         /* in a child: the file of the tool, which peers execute, too */
    enum vct_isolation isolation;
    char *base;              /* directory of all scratch directories */
    /* What is known of the plugin. */
    uint32_t kind;
    char name[64], version[64];
    char *misused;           /* the command line does not fit the plugin: why */
    char *broken;            /* it cannot be loaded: why */
    struct {
        enum vct_rung rung;      /* 0: there is none */
        char id[8];              /* the check that should tell it */
        struct vct_result found; /* what the probe ended with */
        const struct vct_check *told; /* the check that tells it; NULL: none that was selected needs the rung */
    } cause;                 /* why most checks cannot say anything */
    char *reproduce;         /* of the line that repeats a check: what follows the id */
    struct vct_result *results;
    size_t n_results;
    int64_t began;
    size_t stale;            /* lines of the baseline that pass now */
};

/* ---- how far a plugin comes at all (probe.c climbs, cause.c tells) ---- */

/* The plugin in this process climbs; what it ends with is the finding.  The first thing that a child is asked. */
void vct_probe(struct vct *t);
/* The usual life, with `made` for a beginning, which it ends (probe-life.c). */
void vct_probe_life(struct vct *t, struct vct_pod *made);
void vct_tell_rung(struct vct *t, enum vct_rung rung, const char *id);
/* The highest rung that a check needs. */
enum vct_rung vct_rung_of(const struct vct_check *c);
/* The probe ended on that rung with that result (which is taken): one check will tell it, `id` if it can be, and all others
 * that need the rung are skipped. */
void vct_cause_take(struct vct_run *run, enum vct_rung rung, const char *id, struct vct_result *r);
/* Does the check not run for no other reason than its level (run.c)? */
int vct_only_level(const struct vct_run *run, const struct vct_check *c);
/* Share it out among the results that are not left out. */
void vct_cause_tell(struct vct_run *run);

/* Exit statuses of the tool. */
enum { VCT_EXIT_CLEAN = 0, VCT_EXIT_FINDINGS = 1, VCT_EXIT_USAGE = 2, VCT_EXIT_NOLOAD = 3, VCT_EXIT_NOTHING = 77 };

/* Look at the plugin and run every selected check; the exit status (run.c). */
int vct_run_all(struct vct_run *run);
/* Add a blank and a word, quoted for a shell. */
void vct_quote(struct vcs_buf *b, const char *word);
void vct_result_done(struct vct_result *r);
/* Why it matters, and what to do about it. */
const char *vct_reason(const struct vct_result *r);
const char *vct_remedy(const struct vct_result *r);
/* Does this status count as a finding? */
int vct_is_finding(const struct vct_result *r);

/* ---- messages of a child (child.c sends, run.c takes) ---- */

enum {
    VCT_MSG_CALL = 'C',   /* name of the call that begins */
    VCT_MSG_LEFT = 'c',   /* it has returned */
    VCT_MSG_NOTE = 'N', VCT_MSG_WARN = 'W',
    VCT_MSG_RESULT = 'R', /* a byte with the status, then text */
    VCT_MSG_PLUGIN = 'K', /* kind, name and version, each on a line */
    VCT_MSG_RUNG = 'G',   /* a step of the ladder begins (probe.c): its number, and the check that tells when it ends there */
    VCT_MSG_REFUSED = 'F', /* hosts refuse the plugin for the finding that follows */
    VCT_MSG_USAGE = 'U',  /* the command line asks for what the plugin does not have: text */
    VCT_MSG_GROUP = 'H',  /* a control group on record: '+' or '-', path */
    VCT_MSG_DONE = 'D',   /* the check's process comes to its end by itself */
    VCT_MSG_ENDED = 'X'   /* the wait status of the check's process, as text; from the keeper */
};
#define VCT_MSG_MAX 3500  /* bytes of one message */
/* Messages go over a socket that keeps them apart (SOCK_SEQPACKET).  In front of each stands this number, which is another
 * one for each child and stands neither in its environment nor in its words: what a plugin writes to the descriptor by
 * mistake has no effect but a warning.  It is no defence against a plugin that wants to pass: that one runs in the process
 * of the check and can do all that the check can. */
#define VCT_MSG_HEAD (sizeof(uint64_t) + 1) /* the number, and a byte for the type */
void vct_set_nonce(uint64_t nonce);
/* In the process of the tool itself (--in-process) messages go to a function. */
void vct_send(int fd, int type, const void *data, size_t len);
void vct_send_to(void (*take)(void *arg, int type, const char *data, size_t len), void *arg);

/* The id of the first thing a child is asked: what is this plugin? */
#define VCT_ID_PLUGIN "plugin"
/* Run one check in this process; sends the result.  `id` as in the catalogue, or VCT_ID_PLUGIN. */
void vct_child_run(const struct vct_settings *s, const char *id, int out, int privileged);

/* From now on a crash of this process sends a note with the place (crash.c). */
void vct_crash_watch(int out);

/* ---- a process of its own for a check (isolate.c) ---- */

struct vct_child {
    pid_t pid;
    int pidfd;
    uint64_t nonce; /* of its messages */
    int out;  /* its messages */
    int mem;  /* memfd: what it writes to descriptors 1 and 2 */
};
/* What can be had on this machine. */
enum vct_isolation vct_isolation_probe(void);
const char *vct_isolation_name(enum vct_isolation isolation);
/* The process of the tool itself, with --in-process: from now on its network and its mounts are its own.  1: they are. */
int vct_isolation_own_net(void);
/* Start the tool anew for one check.  0 or a negative errno. */
int vct_child_start(const struct vct_run *run, const char *id, const char *scratch, struct vct_child *ret);
/* What its threads are doing: a line for the report of a hang. */
void vct_child_threads(const struct vct_child *c, struct vcs_buf *ret);
/* Ask its keeper to end it and to undo what the plugin has put on record. */
void vct_child_stop(const struct vct_child *c);
/* End it and all that it started by force. */
void vct_child_kill(const struct vct_run *run, struct vct_child *c);
/* Before the check begins: SIGCHLD and SIGTERM are kept for vct_keep (keeper.c). */
void vct_keep_begin(void);
/* In the check's own process: signals are what they were. */
void vct_keep_not(void);
/* Wait for the check's process, and reap what becomes an orphan: 1 and its wait status, or 0 when the parent wants this to end,
 * or has ended itself. */
int vct_keep(pid_t check, int parent_fd, int *ret_status);
/* Kill every process below `pid`; how many there were. */
int vct_kill_below(pid_t pid);
/* The child's own side: make the surroundings, run the check in a process below this one, end what it leaves.  Does not
 * return. */
void vct_child_main(struct vct_run *run) __attribute__((noreturn));

#endif
