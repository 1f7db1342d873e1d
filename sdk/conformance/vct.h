/* SPDX-License-Identifier: Apache-2.0 */
/* vct.h: what the parts of vc-plugin-test share.
 *
 * The parent process (main, run, report) reads the command line, runs each check in a child of its own and judges what
 * came back; it never loads a plugin.  The child (child, host, watch, peer, kind-*, checks-*) is a host of its own: it loads
 * the plugin, gives it a scripted world and looks at what it does.  Nothing here uses libvccore.
 *
 * A check is a function.  It drives the plugin through a "pod" (an instance with its host table, its directories and the
 * world of its kind), and ends by returning (pass), or by vct_fail, vct_leak or vct_skip, which do not return. */
#ifndef VCT_H
#define VCT_H

#include <setjmp.h>
#include <stdarg.h>
#include <sys/types.h>

#include <vc/agent.h>
#include <vc/hypervisor.h>
#include <vc/network.h>
#include <vc/proxy.h>
#include <vc/shim.h>
#include <vc/template.h>

#include "lib/buf.h"
#include "lib/cleanup.h"

/* ---- the command line; the same in parent and child (main.c) ---- */

enum vct_level { VCT_QUICK = 1, VCT_FULL = 2, VCT_SOAK = 3 };
enum vct_status { VCT_PASS, VCT_FAIL, VCT_CRASH, VCT_HANG, VCT_LEAK, VCT_WARN, VCT_SKIP };

struct vct_settings {
    char *plugin;         /* absolute path of the .so under test */
    const char *const *set; /* --set KEY=VALUE: options of the plugin; key, value, ..., NULL */
    char *scenario;       /* the scenario file in use; NULL: none (peer.h) */
    char *data_dir;       /* scenarios of the tool's own */
    char *plugin_root, *libexec, *data; /* what VC_PATH_PLUGIN_ROOT, _LIBEXEC and _DATA answer */
    char *scratch;        /* private directory of this check, empty, on a tmpfs where possible */
    enum vct_level level;
    uint64_t seed;
    int timeout_ms;       /* of one check */
    int soak_ms;          /* how long M11 walks at level soak */
    int real;             /* --real: real peers (VMM, guest), no scenario */
    int in_process;       /* --in-process: no child, for a debugger */
    int one_check;        /* --only names a single one: it is to show what it finds itself */
    int verbose;
    char *golden_dir;     /* --golden: states that older releases saved, KIND-NAME-VERSION-STATE.bin (S11); NULL: none */
    int golden_make;      /* --make-golden: S11 writes those of this plugin there */
};

/* ---- checks ---- */

enum {
    VCT_ANY_KIND = 0x3e,      /* bits 1 << VC_KIND_* */
    VCT_HV = 1 << VC_KIND_HYPERVISOR, VCT_AG = 1 << VC_KIND_AGENT, VCT_PX = 1 << VC_KIND_PROXY,
    VCT_SH = 1 << VC_KIND_SHIM, VCT_NW = 1 << VC_KIND_NETWORK
};
enum {
    VCT_RAW = 1 << 0,      /* the plugin is not loaded for it: t->plugin is NULL until the check calls vct_load */
    VCT_NEEDS_ROOT = 1 << 1, /* namespaces, links: SKIP with a reason where the child has no such right */
    VCT_SLOW = 1 << 2,     /* may take ten times --timeout */
    /* What it needs of the plugin, when that is less than a whole life (probe.c; the lowest counts). */
    VCT_NEEDS_FILE = 1 << 3, VCT_NEEDS_OPEN = 1 << 4, VCT_NEEDS_HEAD = 1 << 5, VCT_NEEDS_TABLES = 1 << 6,
    VCT_NEEDS_LOAD = 1 << 7, VCT_NEEDS_CREATE = 1 << 8, VCT_NEEDS_MAKE = 1 << 9
};

struct vct;
struct vct_check {
    const char *id;     /* "H5" */
    const char *rule;   /* "manual 17, R12", or the header that says it: "hypervisor.h vm_stop" */
    uint32_t kinds;     /* VCT_HV | ... */
    enum vct_level level; /* lowest level at which it runs */
    uint32_t flags;
    const char *title;  /* what must hold, one line: "vm_stop twice is no failure" */
    const char *reason; /* why: what breaks for whom if it does not */
    const char *remedy; /* what to do about it */
    void (*run)(struct vct *t);
};
/* One table per group, ended by a row whose id is NULL. */
extern const struct vct_check vct_checks_load[], vct_checks_config[], vct_checks_instance[], vct_checks_state[],
    vct_checks_errors[], vct_checks_threads[], vct_checks_memory[], vct_checks_hypervisor[], vct_checks_agent[],
    vct_checks_proxy[], vct_checks_shim[], vct_checks_network[];

/* End the check. */
void vct_fail(struct vct *t, const char *fmt, ...) VCS_PRINTF(2, 3) __attribute__((noreturn));
void vct_leak(struct vct *t, const char *fmt, ...) VCS_PRINTF(2, 3) __attribute__((noreturn));
void vct_skip(struct vct *t, const char *fmt, ...) VCS_PRINTF(2, 3) __attribute__((noreturn));
/* Go on; the check ends as WARN if nothing worse comes. */
void vct_warn(struct vct *t, const char *fmt, ...) VCS_PRINTF(2, 3);
/* A line for --verbose and for the report of a failure ("walked 14 allocations"). */
void vct_note(struct vct *t, const char *fmt, ...) VCS_PRINTF(2, 3);
#define VCT_MUST(t, cond, ...) do { if (!(cond)) vct_fail(t, __VA_ARGS__); } while (0)
/* The same for a rule that libvccore's loader has, too: a plugin that breaks it is not loaded, and the tool's exit status
 * says so. */
void vct_refuse(struct vct *t, const char *fmt, ...) VCS_PRINTF(2, 3) __attribute__((noreturn));
#define VCT_HOLD(t, cond, ...) do { if (!(cond)) vct_refuse(t, __VA_ARGS__); } while (0)
/* "VC_E_STATE", "VC_OK", "-99 (no code of the contract)" */
const char *vct_code(int code);

/* ---- the host (host.c, host-spawn.c) ---- */

/* Services, for counting and for faults; the order of struct vc_host. */
enum vct_service {
    VCT_S_LOG, VCT_S_LOG_ENABLED, VCT_S_ERR_SET, VCT_S_ERR_CONTEXT, VCT_S_ALLOC, VCT_S_FREE, VCT_S_WRITE, VCT_S_CFG_STR,
    VCT_S_CFG_INT, VCT_S_CFG_COUNT, VCT_S_PATH, VCT_S_SINK_NEW, VCT_S_SINK_BYTES, VCT_S_SINK_FREE, VCT_S_SPAWN,
    VCT_S_PROC_FD, VCT_S_PROC_WAIT, VCT_S_PROC_DONE, VCT_S_NETNS_RUN, VCT_S_RES_ADD, VCT_S_RES_DEL, VCT_S_CANCELLED,
    VCT_S_EXT, VCT_N_SERVICES
};
const char *vct_service_name(enum vct_service s); /* "spawn" */

struct vc_err {
    int code, sys, sets; /* sets: how often err_set was called */
    char text[4096];     /* longer than allowed on purpose, so that too long is seen */
};
struct vc_sink {
    struct vcs_buf buf;
    size_t limit;     /* 0: 1 MiB */
    size_t step;      /* not 0: accepts at most so many bytes in all, then VC_E_RESOURCE (S8) */
    struct vct_pod *pod; /* whose sink_new made it; NULL: the tool's */
};
struct vc_config {
    struct vct_pod *pod;
    int poisoned; /* the call it was valid for has returned: any use is a finding (C8) */
};

#define VCT_PROCS 128
struct vct_res { uint32_t type; char *name; };

/* An instance with its host table and its world. */
struct vct_pod {
    vc_host host;         /* first; host.ctx points here */
    struct vct *t;
    char id[136];
    char *dir;            /* SCRATCH/pods/ID: run/ (VC_PATH_RUN), share/, and what the kind's world needs */
    char *run;            /* DIR/run */
    vc_inst *inst;        /* NULL: none */
    uint64_t caps;        /* as `caps` said after create or restore */
    uint32_t state;       /* VCT_ST_*: what the ops driven so far should have led to */
    const char *variant;  /* variant of the peers (peer.h); NULL: "good" */
    const char *const *set; /* more options, before those of the settings; key, value, ..., NULL */
    struct vc_config cfg;
    void *world;          /* of kind->world_up */
    /* What the host saw. */
    struct vcs_buf log;   /* "LEVEL text\n" */
    struct vc_proc procs[VCT_PROCS]; /* spawned and not taken back by proc_done */
    size_t n_procs;
    struct vct_res *res;  /* res_add without res_del */
    size_t n_res;
    unsigned spawned;
    struct vcs_buf argv;  /* of all spawns: words ended by NUL, each spawn by another NUL */
    uint64_t calls[VCT_N_SERVICES];
    uint64_t allocs, frees;
    struct vcs_buf read_keys; /* option keys asked for, each ended by NUL */
    /* Faults: when fault_at > 0, the fault_at-th call (from 1, counted from arming) of `fault` answers fault_code (NULL for
     * alloc); `hit` tells that it came. */
    enum vct_service fault;
    uint64_t fault_at, fault_seen;
    int fault_code, fault_hit;
    int (*on_service)(struct vct_pod *pod, enum vct_service s); /* before each service; not 0: that is its answer */
    int cancelled;        /* vc_host.cancelled answers 1 */
    /* A host of another age (L14, L15, L16): set between vct_pod_new and vct_pod_make. */
    const vc_host *table; /* what the plugin gets; default &host */
    void *peers;          /* of peer.c; ended by vct_peers_done in world_down */
    struct vct_pod *next;
    int live;             /* between create or restore and the end of close: the table may be used */
    void *lent;           /* host.c: strings lent to the plugin for the duration of a call */
};

/* A sink of the tool's own, for results; its text with a NUL behind it. */
vc_sink *vct_sink_new(struct vct *t);
const char *vct_sink_text(vc_sink *sink);
void vct_sink_free(vc_sink *sink);

/* A pod: directories, host table, and (unless VCT_NO_WORLD) the world of the plugin's kind.  id NULL: made up, unique. */
enum { VCT_NO_WORLD = 1 << 0 };
struct vct_pod *vct_pod_new(struct vct *t, const char *id, unsigned flags);
/* create; fails the check when it fails.  Sets inst, caps, state FRESH. */
void vct_pod_make(struct vct_pod *pod);
/* create / restore, and their code.  caps is called after success. */
int vct_pod_create(struct vct_pod *pod);
int vct_pod_restore(struct vct_pod *pod, uint32_t version, const void *state, size_t len);
/* Is an option of the settings none of the plugin's, or its value none that hosts take?  `why` says which. */
int vct_set_is_wrong(struct vct *t, char *why, size_t size);
/* save into *ret (malloc'ed, NUL behind it). */
int vct_pod_save(struct vct_pod *pod, char **ret, size_t *ret_len);
int vct_pod_check(struct vct_pod *pod, uint32_t *health);
/* Has the plugin a probe?  Its code, and what it wrote. */
int vct_has_probe(struct vct *t);
int vct_pod_probe(struct vct_pod *pod, char *text, size_t size);
int vct_pod_cleanup(struct vct_pod *pod);
void vct_pod_close(struct vct_pod *pod);
/* End what is left of it (processes, resources on record, directories, world), close included.  NULL is fine. */
void vct_pod_free(struct vct_pod *pod);
/* What pods with directories below this one have put on record and left: control groups, the only such things that do not go
 * away with the check's namespaces.  For the keeper, when nothing else runs there. */
void vct_groups_left(const char *scratch, int end); /* end: what is in there, too */
void vct_group_remove(const char *path, int end); /* one such group */
/* The parent is told of them, too (`sign` '+' or '-'): for the case that the keeper is killed (child.c). */
void vct_tell_group(struct vct *t, char sign, const char *path);
/* What of it is still there: living processes, entries of its run directory, recorded resources that exist, links, sockets.
 * "" when nothing is. Text valid until the next call. */
const char *vct_pod_left(struct vct_pod *pod);

/* ---- calls ---- */

/* A call with that much time (0: no deadline) whose error report is empty; `t->err` afterwards says what was reported. */
struct vc_call *vct_call(struct vct *t, int timeout_ms);
/* Every call into the plugin goes through these: they tell the parent which call is running, so that a crash or a hang names it,
 * and watch the process around it (watch.c).  VCT for members that answer a code, VCT_V for the others. */
#define VCT(t, fn, a, b, ...) __extension__({ \
        __auto_type vct_a_ = (a); \
        __auto_type vct_b_ = (b); \
        vct_enter(t, #fn); \
        vct_args(t, vct_a_, _Generic(vct_a_, vc_inst *: 1, const vc_host *: 2, vc_host *: 2, default: 0), vct_b_, \
                 _Generic(vct_b_, struct vc_call *: 1, const struct vc_call *: 1, vc_err *: 2, default: 0)); \
        vct_leave(t, (fn)(vct_a_, vct_b_, ##__VA_ARGS__)); })
#define VCT_V(t, fn, ...) do { vct_enter(t, #fn); (fn)(__VA_ARGS__); vct_leave(t, 0); } while (0)
void vct_args(struct vct *t, const void *a, int a_is, const void *b, int b_is); /* whose instance, which error report */
void vct_enter(struct vct *t, const char *expr); /* "kind->ops->vm_start" is shown as vm_start */
int vct_leave(struct vct *t, int code);
/* Before a call: an out-parameter of it, which is filled with poison (poison 0: left as it is).  When the call fails, every
 * byte has to be as it was (E6). */
void vct_out(struct vct *t, void *out, size_t size, int poison);
/* What the watching of all calls so far has found against the rule of a check ("E1", "T2"); NULL: nothing. */
const char *vct_seen(struct vct *t, const char *id);
void vct_observe(struct vct *t, const char *id, const char *fmt, ...) VCS_PRINTF(3, 4); /* the first one counts */

/* ---- the kinds (kind-*.c) ---- */

/* States of a pod, the same words for all kinds.  hypervisor: FRESH, MADE vm_create, UP running, PAUSED, DOWN stopped.  agent:
 * FRESH, MADE connected, UP sandbox with a running container, DOWN sandbox destroyed.  proxy and shim: FRESH, UP started,
 * DOWN stopped.  network: FRESH, MADE set up, UP attached, DOWN torn down. */
enum { VCT_ST_FRESH = 1 << 0, VCT_ST_MADE = 1 << 1, VCT_ST_UP = 1 << 2, VCT_ST_PAUSED = 1 << 3, VCT_ST_DOWN = 1 << 4, VCT_ST_ALL = 31 };

enum {
    VCT_OP_ANY = 1 << 0,    /* tagged [any] in the contract */
    VCT_OP_BLOCKS = 1 << 1, /* talks to a peer: has to honour deadline and cancel */
    VCT_OP_PURE = 1 << 2,   /* changes nothing */
    VCT_OP_IDEM = 1 << 3    /* idempotent */
};
/* One member of a kind, called with good arguments. */
struct vct_op {
    const char *name;  /* of the member */
    uint32_t flags;
    uint32_t from;     /* states in which it has to work (VC_OK) */
    uint32_t refuse;   /* states in which it has to answer VC_E_STATE (or VC_E_EXISTS, VC_E_NOTFOUND) */
    uint32_t to;       /* state after VC_OK; 0: unchanged */
    uint64_t cap;      /* capability it needs; 0: none.  Without it the member may be NULL or answer VC_E_UNSUPPORTED */
    size_t offset;     /* of the member in the kind's table, to see whether it is there */
    int (*call)(struct vct_pod *pod, const struct vc_call *call); /* through VCT */
    /* After VC_OK: look whether the effect is there.  1: it is, 0: it is not (text in why), -1: cannot be seen here. */
    int (*effect)(struct vct_pod *pod, char *why, size_t size);
};
struct vct_kind {
    uint32_t kind;
    const char *name;
    size_t ops_size;          /* of the table at minor 0 */
    const struct vct_op *ops; /* in the order of a life: every prefix is a sensible story; ended by name NULL */
    uint64_t caps_known;      /* bits the contract knows */
    int (*world_up)(struct vct_pod *pod, char *why, size_t size); /* peers, directories; not 0: cannot be had (the check is skipped with `why`) */
    void (*world_down)(struct vct_pod *pod);
    const char *(*traces)(struct vct_pod *pod); /* what is left outside that only the kind knows of; "" or text; may be NULL */
    /* Kill the peer (VMM, guest, proxy, shim, link) behind the plugin's back. -1: there is none */
    int (*kill_peer)(struct vct_pod *pod);
    /* Calls with arguments that have to fail, each through VCT; the code and text are watched (E1, E2).  Returns how many. */
    int (*bad_calls)(struct vct_pod *pod);
    /* Is it a kind without anything behind it (mock, noop: NO_GUEST, CAP_NONE, pid 0)? */
    int (*hollow)(struct vct_pod *pod);
};
extern const struct vct_kind vct_kind_hypervisor, vct_kind_agent, vct_kind_proxy, vct_kind_shim, vct_kind_network;

/* The op of that name; NULL when the kind has none. */
const struct vct_op *vct_op_find(struct vct *t, const char *name);
/* Is the member there, and its capability claimed? */
int vct_op_there(struct vct_pod *pod, const struct vct_op *op);
/* Call it (timeout_ms 0: the usual 10 s), keep pod->state. */
int vct_op(struct vct_pod *pod, const char *name, int timeout_ms);
/* Call the ops of a life until `state` is reached; fails the check when one fails.  VCT_ST_PAUSED skips the check when the
 * kind or plugin has no pause. */
void vct_go(struct vct_pod *pod, uint32_t state);
/* A whole life: new pod, create, every op that is there in every state where it must work, save after each, the bad calls,
 * cleanup, close.  The checks of groups E and T run it and ask vct_seen afterwards. */
void vct_story(struct vct *t);

/* ---- one run of one check, in the child ---- */

struct vct {
    const struct vct_settings *s;
    const struct vct_check *check;
    const struct vc_plugin *plugin; /* after vct_load */
    const struct vct_kind *kind;
    const void *lib;                /* dlopen's */
    struct vc_err err;              /* of the last vct_call */
    struct vct_pod *pods;           /* all that were not freed */
    const char *op;                 /* the call that is running; NULL between calls */
    char last_op[64];
    int privileged;                 /* the child may make namespaces, links and mounts of its own */
    int own_net;                    /* at least its network and mounts are its own (as root with --in-process, too) */
    int out;                        /* pipe to the parent */
    jmp_buf end;                    /* where vct_fail goes to */
    int status;                     /* VCT_* */
    int refused;                    /* the finding is one of vct_refuse */
    char when[96];                  /* what was done to the plugin before the calls that come now; "" (trouble.c) */
    struct vcs_buf text;            /* of the finding */
    struct vcs_buf notes;
    void *watch;                    /* of watch.c */
    uint64_t random;                /* state of vct_random */
};
/* dlopen the plugin and find its entry, kind and table; fails the check when it cannot be used at all.  Calls the
 * plugin's `load` with vct_process_host. */
void vct_load(struct vct *t);
/* dlopen, and the entry; fails the check when one of them is not to be had. */
const struct vc_plugin *vct_open(struct vct *t);
/* The file is a shared object of this machine (checks-load.c). */
void vct_must_be_elf(struct vct *t);
/* Is it NULL, or a string that ends within the segment of a loaded file that it begins in (checks-load.c)? */
int vct_static_text(const char *text);
/* The table for vc_plugin.load: no pod; path, spawn, res_add and res_del answer VC_E_STATE (host.c). */
const vc_host *vct_process_host(struct vct *t);
/* Tell the parent which call runs now; NULL: none.  For vct_enter and vct_leave (child.c does it). */
void vct_tell_call(struct vct *t, const char *name);
/* How many bytes came out of descriptors 1 and 2 so far in this child; text of them in `ret` (child.c).  Both are one memfd,
 * so it may be asked around each call (E4). */
size_t vct_output(struct vct *t, char *ret, size_t size);
/* This process is a fork of the check's: from now on findings go to where t->end was set in it (child.c; for apart.c). */
void vct_forked(void);
uint64_t vct_random(struct vct *t); /* from --seed and the check's id */
/* The plugin's tables, copied by min(size) over zeroes like a host does. */
const struct vc_inst_ops *vct_inst_ops(struct vct *t);
const void *vct_kind_ops(struct vct *t);

/* ---- watching the process (watch.c, interpose.c) ---- */

/* Once at the start of each check, before it runs: nothing was seen yet (watch.c).  child.c calls it. */
void vct_watch_start(struct vct *t);
struct vct_snap; /* cwd, umask, environ, locale, sigmask, dispositions, rlimits, ids, caps, namespaces, cgroup, 0-2, timers,
                    descriptors with target and CLOEXEC, threads, children */
enum { VCT_SNAP_FDS = 1, VCT_SNAP_THREADS = 2, VCT_SNAP_CHILDREN = 4, VCT_SNAP_PROCESS = 8, VCT_SNAP_FILES = 16 /* /tmp, /dev/shm, cwd */, VCT_SNAP_ALL = 31 };
struct vct_snap *vct_snap(void);
void vct_snap_free(struct vct_snap *s);
/* What differs in those parts, one sentence; "" when nothing does.  Text valid until the next call on this thread. */
const char *vct_snap_diff(const struct vct_snap *before, const struct vct_snap *after, unsigned parts);
/* malloc and its like of the whole process, called while a plugin call runs: fail the k-th from now (0: none); how many came. */
void vct_malloc_fail_at(uint64_t k);
uint64_t vct_malloc_seen(void);
int vct_malloc_works(void); /* 0 in builds (sanitizers) where it cannot be done */
size_t vct_heap_used(void); /* bytes that are allocated, to the byte; 0 where that cannot be done */
/* Calls that a plugin must not make (exit, _exit, abort, raise, fork, ...), made while a plugin call ran; NULL: none. */
const char *vct_forbidden(void);

/* ---- peers (peer.c, scenario.c; peer.h says more) ---- */

/* Does the scenario have such a variant ("good" is always there)? */
int vct_variant_known(struct vct *t, const char *variant);
/* The value of a fact that the scenario's peer keeps ("running", "device.disk0"); 0, or -ENOENT when it has none. */
int vct_fact(struct vct_pod *pod, const char *name, char *value, size_t size);
/* The program to run in place of `path` (a peer), with its words; NULL: run what was asked for.  For host-spawn.c. */
char **vct_peer_program(struct vct_pod *pod, const struct vc_spawn *sp); /* the pod's; valid until its next call */
/* Switch all running peers of the pod to another variant: whatever they are asked next is treated so.  Go to a state with good
 * peers, switch to "silent" or "hung" (late, slow, one-byte, garbage, oversize, endless, dying, half-close: peer.h, any peer has
 * them), call.  NAME@PEER for one peer only: "dying@program" (what the plugin spawns), "hung@agent" (role agent). */
void vct_peer_switch(struct vct_pod *pod, const char *variant);
/* The peer processes are the tool itself, `vc-plugin-test --peer ...`: main calls this before anything else when argv[1] is
 * "--peer", and exits with what it returns.  `--check-scenario FILE` is vct_scenario_check (peer.h). */
int vct_peer_main(int argc, char **argv);

#endif
