/* SPDX-License-Identifier: Apache-2.0 */
/* vc/host.h: the services a host gives to a plugin.
 *
 * A plugin links to nothing of the host: all it may ask comes through this table, so that any host,
 * a fake one in a test included, can run any plugin.  Each instance gets a table of its own (its
 * `ctx` tells the host which pod is meant); it is valid from create/restore until close returns.
 * The table given to vc_plugin.load is valid for the life of the process and has no pod: there,
 * path, spawn, res_add and res_del answer VC_E_STATE.  Of the members below only `ext` may be NULL.
 *
 * Errors: spawn, proc_wait and netns_run fill in call->err themselves when they fail, so a plugin that just
 * passes their code on has said what was wrong (but for what fn answered in netns_run).
 * All others answer a code and no text: write, cfg_*, path, sink_*, proc_fd, proc_done, res_add, res_del, and so does
 * every service for a NULL argument or, where it needs a pod, without one.  There the plugin calls err_set.
 *
 * Tags: [any] may be called from any thread at any time.  [call] only on the thread of a call that
 * the host made into this instance, while that call lasts. */
#ifndef VC_HOST_H
#define VC_HOST_H

#include "types.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Directories and paths a plugin may ask for (vc_host.path). */
enum {
    VC_PATH_RUN = 1,        /* private directory of this instance, mode 0700, made by the host and
                               removed by it with all it holds when the pod is deleted */
    VC_PATH_RUN_ROOT = 2,   /* the host's run root, e.g. /run/vccore */
    VC_PATH_STATE_ROOT = 3, /* the host's state root, e.g. /var/lib/vccore */
    VC_PATH_PLUGIN_ROOT = 4, /* where the plugins lie: PLUGINROOT/KIND/NAME.so */
    VC_PATH_LIBEXEC = 5,    /* helper programs of the host's installation (vc-proxy, vc-shim); a vendor's own are
                               elsewhere, named by an option of type PATH that has a default */
    VC_PATH_DATA = 6,       /* read-only data of the host's installation (guest kernel, initramfs) */
    VC_PATH_CONFIG = 7      /* the configuration file in use; empty when there is none */
};

/* Flags of vc_spawn. */
enum {
    VC_SPAWN_SAME_SESSION = 1u << 0, /* stay in the caller's session and process group (a shim that
                                        shares the caller's terminal); default: a new session */
    VC_SPAWN_CTTY = 1u << 1          /* new session whose controlling terminal is stdio[0] */
};

/* A process to start.  Mind that 0 is a descriptor: netns_fd and stdio are -1 when there is none. */
struct vc_spawn {
    uint32_t size;
    uint32_t flags;           /* VC_SPAWN_* */
    const char *path;         /* absolute path of the program */
    const char *const *argv;  /* NULL-terminated; argv[0] included */
    const char *const *envp;  /* NULL-terminated; NULL = only PATH with the usual directories */
    const int32_t *fds;       /* descriptors to hand over; they become 3, 4, 5, ... in this order */
    uint32_t n_fds;
    int32_t netns_fd;         /* network namespace to start it in; -1 = the caller's */
    int32_t stdio[3];         /* descriptors for 0, 1, 2; -1 = /dev/null */
    int32_t reserved;         /* 0 */
    const char *cgroup;       /* NULL; for a later minor (VC_E_UNSUPPORTED otherwise) */
};

/* Kinds of external things a plugin makes by itself and tells the host about (res_add). */
enum {
    VC_RES_PATH = 1,  /* file, socket or empty directory outside VC_PATH_RUN; name = absolute path */
    VC_RES_MOUNT = 2, /* mount; name = mount point */
    VC_RES_NETNS = 3, /* named network namespace; name = path of its bind mount */
    VC_RES_LINK = 4,  /* network link; name = "LINK" in the caller's namespace or "NETNSPATH:LINK" */
    VC_RES_CGROUP = 5 /* cgroup directory; name = absolute path */
};

typedef struct vc_host vc_host;
struct vc_host {
    uint32_t size;
    uint32_t abi_minor;  /* the minor this host implements */
    void *ctx;           /* the host's; a plugin leaves it alone */
    const char *name;    /* name and version of the host, for messages */
    const char *version;

    /* [any] Log one line (no newline needed; control bytes are escaped by the host). */
    void (*log)(const vc_host *host, int32_t level, const char *msg, uint64_t len);
    /* [any] Is this level logged?  1 or 0. */
    int (*log_enabled)(const vc_host *host, int32_t level);

    /* [any] Report a failure: one sentence that names the thing, says what was wrong and what would
     * be right; at most 1 KiB, one line.  sys_errno is 0 or an errno.  err may be NULL.  Returns
     * code, so that `return host->err_set (...)` works.  What the member answers is what counts: another
     * code given here is forgotten, and the text stays. */
    int (*err_set)(const vc_host *host, vc_err *err, int32_t code, int32_t sys_errno, const char *msg, uint64_t len);
    /* [any] Put "msg: " before the text that is there already. */
    void (*err_context)(const vc_host *host, vc_err *err, const char *msg, uint64_t len);

    /* [any] Memory, zeroed.  NULL when there is none.  Use of these is optional, but what came from
     * alloc goes back through free. */
    void *(*alloc)(const vc_host *host, uint64_t size);
    void (*free)(const vc_host *host, void *mem);

    /* [call] Append to a result.  Returns VC_OK, VC_E_NOMEM or VC_E_RESOURCE (too long); no error is reported. */
    int (*write)(const vc_host *host, vc_sink *sink, const void *data, uint64_t len);

    /* [call, within create, restore and probe] Read the section of this plugin.  Only declared keys;
     * VC_E_NOTFOUND when the key is unset and has no default.  Strings live until the call ends.
     * cfg_str serves STRING, PATH, ENUM and (with idx) LIST; cfg_int serves INT, SIZE and BOOL. */
    int (*cfg_str)(const vc_host *host, const vc_config *cfg, const char *key, uint32_t idx, const char **out);
    int (*cfg_int)(const vc_host *host, const vc_config *cfg, const char *key, int64_t *out);
    int (*cfg_count)(const vc_host *host, const vc_config *cfg, const char *key, uint32_t *out);

    /* [call] Append the path named by VC_PATH_* (no trailing slash) to the sink. */
    int (*path)(const vc_host *host, uint32_t which, vc_sink *sink);
    /* [call] An empty sink of the plugin's own, for results of path; ends with sink_free. */
    int (*sink_new)(const vc_host *host, vc_sink **out);
    /* [call] The bytes that a sink holds, with a NUL behind them; valid until the next use of the sink. */
    int (*sink_bytes)(const vc_host *host, vc_sink *sink, struct vc_bytes *out);
    /* [call] Free a sink made by sink_new; NULL is fine. */
    void (*sink_free)(const vc_host *host, vc_sink *sink);

    /* [call] Start a process.  The host writes it to the pod's ledger before the program is
     * executed, so it is found again whatever happens to the caller.  Returns after the program was
     * executed (or could not be: VC_E_NOTFOUND, VC_E_PERM, VC_E_IO with the path in the text; VC_E_TIMEOUT when
     * the file system it is on did not answer by the deadline of the call).  call->err is filled in.  One that ends by
     * itself stays a zombie of this process until proc_wait has reaped it. */
    int (*spawn)(const vc_host *host, const struct vc_call *call, const struct vc_spawn *spawn, struct vc_proc *out);
    /* [any] A pidfd of the process, CLOEXEC, owned by the caller.  VC_E_NOTFOUND when it is gone, is
     * a zombie, or another process has its pid now.  To signal it, pidfd_send_signal by this descriptor, or
     * vcs_proc_kill of the helpers: both are right. */
    int (*proc_fd)(const vc_host *host, const struct vc_proc *proc, int32_t *pidfd);
    /* [any] Wait until the process has ended (reaping it when it is a child of this process).
     * *status is the wait(2) status when it was a child, else -1; `status` may be NULL.  Returns at once for one
     * that has ended already, by itself or killed: call it for those too, before proc_done.  Fills in call->err. */
    int (*proc_wait)(const vc_host *host, const struct vc_call *call, const struct vc_proc *proc, int32_t *status);
    /* [any] Forget a process that has ended: takes it from the ledger.  It does not reap: proc_wait comes before.
     * VC_E_NOTFOUND: it is not on record, so it was done before; some hosts answer VC_OK then.  VC_E_NOMEM, VC_E_IO,
     * VC_E_RESOURCE and VC_E_PERM: the ledger could not be written, and the host will see by itself that it has ended.
     * So there is nothing to be done after any of them.  VC_E_INVAL without proc, VC_E_STATE without a pod. */
    int (*proc_done)(const vc_host *host, const struct vc_proc *proc);

    /* [call] Run fn(arg) on a thread that is inside the network namespace; returns what fn does.  That thread is
     * not the call's: fn uses [any] services only, and leaves results in arg. */
    int (*netns_run)(const vc_host *host, const struct vc_call *call, int32_t netns_fd, int (*fn)(void *), void *arg);

    /* [call] Tell the host about an external thing BEFORE it is made; the host removes it, in
     * reverse order of making, when the pod is deleted or was left half-made.  res_del after it was
     * removed.  Processes are recorded by spawn, files under VC_PATH_RUN need no record.  VC_E_EXISTS: a control
     * group of that name is there already and not on this pod's record, so it is somebody else's. */
    int (*res_add)(const vc_host *host, uint32_t type, const char *name);
    int (*res_del)(const vc_host *host, uint32_t type, const char *name);

    /* [any] 1 when the call was cancelled or its deadline has passed. */
    int (*cancelled)(const vc_host *host, const struct vc_call *call);
    /* [any] An optional service by id "vc.NAME/REV"; NULL when unknown.  The only member that may be NULL: VC_HAS. */
    const void *(*ext)(const vc_host *host, const char *id);
};

#ifdef __cplusplus
}
#endif
#endif
