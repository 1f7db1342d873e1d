/* SPDX-License-Identifier: Apache-2.0 */
/* watch.h: where each thread of the child is (in the tool, in the plugin, in a host service), for host, watch and
 * interpose. */
#ifndef VCT_WATCH_H
#define VCT_WATCH_H

#include <stdatomic.h>
#include <sys/socket.h>

#include "conformance/vct.h"

enum vct_where {
    VCT_AT_FOREIGN, /* a thread that the tool did not make: the plugin's */
    VCT_AT_TOOL,
    VCT_AT_PLUGIN, /* in a call that the tool made into the plugin */
    VCT_AT_HOST,   /* in a host service */
    VCT_AT_NETNS   /* in a function of the plugin that netns_run runs */
};

#define VCT_OUTS   8
#define VCT_FRAMES 4

/* One call into the plugin. */
struct vct_frame {
    int before; /* where the thread was */
    char name[64];
    struct vc_err *err; /* of the call (NULL: none), and how often it was set when the call began */
    int sets;
    struct vct_pod *pod; /* what vct_here.pod was before */
    struct vct_snap *snap;
    off_t written[2]; /* bytes on 1 and 2 */
};

struct vct_thread {
    int where;
    int depth; /* of frames */
    struct vct_frame frames[VCT_FRAMES];
    struct vc_err *err;  /* of the last vct_call of this thread */
    struct vct_pod *pod; /* whose instance the running call is for; NULL: not known */
    struct {
        void *at;
        unsigned char was[512];
        size_t n;
    } outs[VCT_OUTS]; /* vct_out, for the next call */
    unsigned n_outs;
    int measure; /* vct_watch_stack */
    char *stack; /* where the painted part of the stack ends */
};
extern _Thread_local struct vct_thread vct_here;

/* How many calls into the plugin run, in all threads. */
extern atomic_int vct_running;

/* The check that runs in this process; NULL outside. */
extern struct vct *vct_now;

/* A thread that the tool made says so: what it does outside of calls is not the plugin's doing. */
void vct_thread_mine(void);

/* What vct_enter and vct_leave compare besides the cheap parts: VCT_SNAP_*; 0: nothing.  Set by the checks T1 and T2.
 */
void vct_watch_parts(unsigned parts);

/* From now on measure how much stack the calls of this thread use (0: no more).  Most so far, and in which call. */
void vct_watch_stack(int on);
size_t vct_stack_most(char *call, size_t size);

/* The host part of a function: `int was VCT_IN_HOST;` at its start. */
int vct_host_in(void);
void vct_host_out(const int *before);
#define VCT_IN_HOST __attribute__((unused, cleanup(vct_host_out))) = vct_host_in()

/* A call that a plugin must not make, with its arguments, for the report; kind: "E5" ends the process or raises a
 * signal, "T5" makes a process, "T1" changes what belongs to the whole process. */
void vct_forbid(const char *check, const char *fmt, ...) VCS_PRINTF(2, 3);
void vct_forbidden_forget(void);
void vct_process_mine(void); /* the process that calls it is the one of the check */
/* Is the code that runs now the plugin's, in the process of the check? */
int vct_in_plugin(void);
/* The same without the threads of the plugin's own. */
int vct_on_call_thread(void);
/* A message came by recvmsg, called from there: did it bring descriptors without close-on-exec (interpose-fds.c)? */
void vct_received(int fd, struct msghdr *msg, int flags, void *caller);

/* vct_snap of some parts. */
struct vct_snap *vct_snap_of(unsigned parts);
/* A descriptor that is new, or another one than before, without close-on-exec; "" when there is none. */
const char *vct_snap_no_cloexec(const struct vct_snap *before, const struct vct_snap *after);
/* A file that is new and not `known`; "" when there is none. */
const char *vct_snap_new_file(const struct vct_snap *before, const struct vct_snap *after,
                              int (*known)(const char *path));
/* The plugin made something at that path (absolute, or as vct_snap names it): is it the tool's affair, or on record? */
int vct_path_known(const char *path);
/* It was made outside of the run directory and not told of (S10). */
void vct_made_outside(const char *path);
/* A thread that is new and does not block signals; "" when there is none. */
const char *vct_snap_unblocked(const struct vct_snap *before, const struct vct_snap *after);

/* Start a process for a pod (host-spawn.c).  0 or VC_E_*, with text in err (may be NULL). */
int vct_spawn(struct vct_pod *pod, const struct vc_spawn *sp, struct vc_proc *out, struct vc_err *err);
/* Has it ended, or does it within so many ms?  (What was killed goes on for a moment.)  A process that waits to be reaped
 * has ended. */
int vct_has_ended(const struct vc_proc *p, int ms);
/* How a child of this process that nobody has waited for ended, to be put behind "ended": " by SIGSEGV (Segmentation
 * fault)", " with exit status 3"; "" when that cannot be told.  It is not reaped. */
const char *vct_how_ended(const struct vc_proc *p);
/* Ledger of a pod: in memory and in the file DIR/ledger, so that another process knows it, too. */
int vct_ledger_proc(struct vct_pod *pod, const struct vc_proc *proc);
int vct_ledger_proc_done(struct vct_pod *pod, const struct vc_proc *proc);
int vct_ledger_res(struct vct_pod *pod, uint32_t type, const char *name);
int vct_ledger_res_done(struct vct_pod *pod, uint32_t type, const char *name);
void vct_ledger_read(struct vct_pod *pod);
void vct_lock(void);
void vct_unlock(void);
/* Fill in an error of the tool's own. */
int vct_err_fill(struct vc_err *err, int code, int sys, const char *fmt, ...) VCS_PRINTF(4, 5);
/* What the configuration view hands out is made unusable when the call it was for has returned. */
void vct_cfg_poison(struct vct_pod *pod);
void vct_cfg_forget(struct vct_pod *pod);
/* Are the options given for this pod fit for the plugin's table?  0, or VC_E_CONFIG with the reason in err. */
int vct_cfg_check(struct vct_pod *pod, struct vc_err *err);
/* Fill in the host table of a pod. */
void vct_host_init(struct vct_pod *pod);

#endif
