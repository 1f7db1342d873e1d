/* SPDX-License-Identifier: Apache-2.0 */
/* vc/shim.h: a plugin that puts a process on the host for a process inside the VM: it carries its
 * stdio, signals and window size, lives as long as it does and exits with its exit code. */
#ifndef VC_SHIM_H
#define VC_SHIM_H

#include "plugin.h"

#ifdef __cplusplus
extern "C" {
#endif

#define VC_SHIM_CAP_NONE (UINT64_C(1) << 0) /* there is no process: start gives pid 0 */
#define VC_SHIM_CAP_ATTACH (UINT64_C(1) << 1) /* attach */

enum {
    VC_SHIM_TERMINAL = 1u << 0,   /* the process has a terminal; stdio is one too, or will get raw bytes */
    VC_SHIM_FOREGROUND = 1u << 1, /* shares the caller's session, so that it gets the window's signals */
    VC_SHIM_CONSOLE = 1u << 2,    /* stdio is the far end of a terminal made for this process: it becomes
                                     the shim's controlling terminal */
    VC_SHIM_KEEP_STDIN = 1u << 3  /* the end of stdio[0] is not the end of the process's stdin: that stays open until
                                     one who attached later with a stdin has come and all such have ended theirs */
};

enum { VC_SHIM_ABSENT = 0, VC_SHIM_RUNNING = 1, VC_SHIM_ENDED = 2 };

struct vc_shim_params {
    uint32_t size;
    uint32_t flags; /* VC_SHIM_* */
    const char *container_id;
    const char *exec_id;   /* "" = the container's first process */
    const char *agent_uri; /* what the proxy gave */
    const char *exit_file; /* the host's record of the exit status: a shim that can, writes the decimal
                              status and a newline to a temporary file beside it and renames it, before
                              it exits; the host takes the exit code of others.  A second line
                              "oom" says that the container saw its memory run out */
    int32_t stdio[3];      /* borrowed; -1 = /dev/null */
    int32_t netns_fd;      /* namespace to run in; -1 = the caller's */
};

struct vc_shim_ops {
    uint32_t size;
    uint32_t reserved; /* 0 */

    /* Start one.  The process inside the VM exists already (created, maybe not started). */
    int (*start)(vc_inst *inst, const struct vc_call *call, const struct vc_shim_params *params, struct vc_proc *proc);
    /* End one; idempotent; VC_E_NOTFOUND for ids that never had a shim. */
    int (*stop)(vc_inst *inst, const struct vc_call *call, const char *ctr, const char *exec_id);
    /* VC_SHIM_* as the system says now; *status (may be NULL) is the exit status once it is known, else -1. */
    int (*status)(vc_inst *inst, const struct vc_call *call, const char *ctr, const char *exec_id, uint32_t *state, int32_t *status);
    /* CAP_ATTACH.  From now on copy what the process puts out to fds[1] (its stdout; with a terminal all) and fds[2] (its
     * stderr), and what comes from fds[0] to its stdin; -1 = not wanted.  The descriptors are borrowed: the shim has its
     * own when this returns.  [1] and [2] do not block (O_NONBLOCK): of one that cannot take what comes the shim lets go,
     * so that it sees its end; the shim's own stdio is never held up by it.  They are let go when the process has
     * ended, too.  VC_E_NOTFOUND: no such shim, or it has ended; VC_E_STATE: fds[0] is given and the process's stdin is
     * closed already; VC_E_RESOURCE: too many are attached.  May be called by any process that restored the instance. */
    int (*attach)(vc_inst *inst, const struct vc_call *call, const char *ctr, const char *exec_id, const int32_t fds[3]);
};

#ifdef __cplusplus
}
#endif
#endif
