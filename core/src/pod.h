/* SPDX-License-Identifier: Apache-2.0 */
/* pod.h: a pod in memory, as it was read from its store, and the steps its operations are made of. */
#ifndef VCI_POD_H
#define VCI_POD_H

#include <limits.h>

#include "hooks.h"
#include "instance.h"
#include "open.h"
#include "store.h"

#define VCI_SHARE_TAG      "kataShared"
#define VCI_KINDS          5 /* VC_KIND_* are 1..5 */
#define VCI_MAX_CONTAINERS 1024
#define VCI_MAX_EXECS      256 /* per container: beyond it the oldest ended ones are forgotten */

/* The order is that of the table of transitions in pod-state.c. */
enum vci_state { VCI_READY, VCI_RUNNING, VCI_PAUSED, VCI_STOPPED, VCI_MAKING };

/* How a VM went without having been stopped: by itself, or with the host. */
enum { VCI_DIED_ALONE = 1, VCI_DIED_HOST };

struct vci_disk;
struct vci_volume;

/* A further process of a container. */
struct vci_exec {
    char *id;
    struct vc_proc shim;
    int32_t exit_status; /* -1 = not known here (see the exit file) */
    uint32_t terminal;
};

struct vci_ctr {
    char *id, *rootfs;
    enum vci_state state;
    uint32_t readonly, terminal;
    int32_t exit_status; /* -1 = none */
    struct vc_proc shim;
    int shim_lives;         /* found by vci_pod_refresh, unless it is stopped */
    uint32_t pid_set;       /* `shim` is a process that vc_container_set_pid was given... */
    struct vc_proc former;  /* ...in place of this one, which goes on */
    uint32_t oom_killed;    /* what the shim said about the end of its first process */
    char **annotations;     /* NULL-terminated or NULL: a copy of what its specification has, for looking */
    int64_t created_ns, started_ns, finished_ns;
    struct vci_exec *execs;
    size_t n_execs;
    struct vci_hooks hooks;
    struct vci_disk *disks; /* what it has of the host's disks: mounts.h */
    size_t n_disks;

    /* Of this process only, while the container is made. */
    char *spec; /* config.json; NULL = to be read from the store */
    char *guest_spec; /* the same for the agent, with the guest's names for what is of the host; NULL = as spec */
    int32_t stdio[3];
    uint32_t stdio_flags, rows, cols;
    char *console; /* a terminal of the host, until its shim has it; kept in the record, for a VM that boots later */
};

struct vci_pod {
    vc_context *ctx;
    struct vci_pod_dir dir;
    int exists; /* pod.json was written: its state may be saved again */

    enum vci_state state;
    int vm;        /* a VM was begun, and what it left has not been removed yet */
    int boot_same; /* written since this boot of the host */
    int died;      /* VCI_DIED_*: the VM is gone without having been stopped; found by vci_pod_refresh, and kept until what it
                    * left is removed */
    int vmm_lives; /* likewise: the main one of its processes, unless the pod was stopped */
    char *op;      /* operation that is (or was, when nobody holds the lock) going on; NULL = none */
    struct vc_proc op_by, owner;
    uint32_t flags; /* VC_POD_* */
    uint32_t vcpus;
    uint32_t vm_template; /* VC_TEMPLATE_*; 0 = as configured */
    uint64_t memory;
    char template_id[33]; /* the template its VM came from; "" = it was booted */
    int from_pool;        /* it waited in the pool */
    char *hostname;
    char **dns, **annotations; /* NULL-terminated or NULL */
    char **settings;           /* likewise: options of its plugins, over the configuration */
    int64_t created_ns;

    /* Plugins, indexed by VC_KIND_*: their names, what they saved, and, once used here, their instances. */
    char *plugin[VCI_KINDS + 1];
    char *saved[VCI_KINDS + 1];
    size_t saved_len[VCI_KINDS + 1];
    uint32_t saved_version[VCI_KINDS + 1];
    struct vci_inst inst[VCI_KINDS + 1];
    int connected; /* the agent instance of this process is connected */

    struct vc_proc *vmm; /* the VMM's processes, the main one first */
    size_t n_vmm;
    struct vc_proc proxy;
    char *uri;    /* what agents and shims connect to */
    int netns_fd; /* of this process only */
    char *netns;  /* "DEV:INO PATH" of the network namespace; NULL = the host's, or none yet */
    struct vci_hooks hooks;
    int prepared; /* likewise: what needs no guest is done */

    struct vci_ctr **ctrs;
    size_t n_ctrs;
    struct vci_volume *volumes; /* mounts.h */
    size_t n_volumes;
};

/* Hooks of its own, or of a container. */
static inline int vci_pod_has_hooks(const struct vci_pod *pod)
{
    int any = vci_hooks_any(&pod->hooks);
    for (size_t i = 0; !any && i < pod->n_ctrs; i++)
        any = vci_hooks_any(&pod->ctrs[i]->hooks);
    return any;
}

/* End of a public function: the error goes to the caller, or nowhere. */
static inline int vci_api_end(int rc, vc_error *e, vc_error **err)
{
    if (rc < 0 && err)
        *err = e;
    else
        vc_error_free(e);
    return rc;
}
/* Code of an error that was reported together with a NULL. */
static inline int vci_rc(vc_error *const *err)
{
    int code = err && *err ? vc_error_code(*err) : 0;
    return code < 0 ? code : VC_ERR_INTERNAL;
}

/* Functions of the core want `err` not NULL (except where a failure does not matter): codes are read from it.
 * ---- pod-state.c: the record ---- */
const char *vci_state_name(enum vci_state state);
/* For sentences. */
const char *vci_ctr_state_name(const struct vci_ctr *c);
/* A zeroed pod that can be closed. */
void vci_pod_init(struct vci_pod *pod, vc_context *ctx);
/* Open an existing pod and read it.  NOTFOUND, CORRUPT, BUSY, TIMEOUT.  Look at vci_pod_refresh too. */
int vci_pod_open(struct vci_pod *pod, vc_context *ctx, const char *id, int lock, vc_error **err);
/* Read the record of a pod whose directory is open already. */
int vci_pod_read(struct vci_pod *pod, vc_error **err);
/* Take over what the record (its "data") says.  NULL; what is wrong with it, or "" without memory: then the pod has some of it. */
const char *vci_pod_parse(struct vci_pod *pod, const struct vci_rec *o);
/* Close its instances and its directory (the lock goes with it) and free it.  The pod itself stays. */
void vci_pod_close(struct vci_pod *pod);
/* Write the record, with what the open instances save now. */
int vci_pod_save(struct vci_pod *pod, vc_error **err);
/* The same before something is done outside: it is on disk before anything can be left there: when this returns or, where
 * there is no guest, before the first line of the ledger. */
int vci_pod_note(struct vci_pod *pod, vc_error **err);
/* Begin an operation: note its marker. */
int vci_pod_begin(struct vci_pod *pod, const char *op, vc_error **err);
/* Does that very process live, and is not on its way out?  Reads /proc only. */
int vci_proc_lives(const struct vc_proc *p);
/* Bring states in line with which processes live; reads /proc and exit files only. */
void vci_pod_refresh(struct vci_pod *pod);
/* STATE when an earlier operation on it was interrupted. */
int vci_pod_check_whole(const struct vci_pod *pod, vc_error **err);
/* Open a pod for something with one of its containers: read, in line with what lives and, when it is locked, whole. */
int vci_pod_open_ctr(struct vci_pod *pod, vc_context *ctx, const char *id, const char *ctr, int lock,
                     struct vci_ctr **ret, vc_error **err);
/* STATE unless pod and container are in one of those states; `what` completes "cannot ... container". */
#define VCI_IS(state) (1u << (state))
int vci_ctr_must_be(const struct vci_pod *pod, const struct vci_ctr *c, const char *what, uint32_t pod_states,
                    uint32_t ctr_states, vc_error **err);
/* STATE while the VM of a pod is deferred: it has no processes, and no agent that could be asked. */
int vci_pod_check_vm(const struct vci_pod *pod, const char *what, vc_error **err);
/* The container, or NULL with NOTFOUND in *err. */
struct vci_ctr *vci_pod_find(struct vci_pod *pod, const char *ctr, vc_error **err);
struct vci_exec *vci_ctr_find_exec(const struct vci_pod *pod, struct vci_ctr *c, const char *exec_id, vc_error **err);
/* Append an empty container; NULL without memory. */
struct vci_ctr *vci_pod_add(struct vci_pod *pod, const char *id);
/* Take one out of the list and free it. */
void vci_pod_drop(struct vci_pod *pod, struct vci_ctr *c);
void vci_ctr_free(struct vci_ctr *c);
/* Forget its further processes, and the exit statuses they left. */
void vci_ctr_forget_execs(const struct vci_pod *pod, struct vci_ctr *c);
/* Monotonic deadline `key` seconds from now, from the configuration. */
int64_t vci_pod_deadline(const vc_context *ctx, const char *key);
/* For opening what the caller names: until the deadline (0: that of a call from now on), or until what goes on is cancelled. */
struct vci_limit vci_pod_limit(const struct vci_pod *pod, int64_t deadline);
int64_t vci_realtime_ns(void);
/* Monotonic deadline that many milliseconds (0 or more) from now; a caller's "very long" does not overflow. */
int64_t vci_deadline_ms(int64_t ms);

/* ---- exit.c: exit statuses ---- */
/* Name of the exit file below the run directory: "exit/CTR" or "exit/CTR:EXEC". */
void vci_exit_name(char *buf, size_t size, const char *ctr, const char *exec_id);
/* 0-255, -1 when there is none (yet), or RESOURCE when that cannot be seen now. */
int vci_exit_read(const struct vci_pod_dir *dir, const char *ctr, const char *exec_id);
int vci_exit_write(const struct vci_pod_dir *dir, const char *ctr, const char *exec_id, int status, int oom,
                   vc_error **err);
/* 1 when the status there is that of a process that was ended for want of memory. */
int vci_exit_oom(const struct vci_pod_dir *dir, const char *ctr, const char *exec_id);
/* When it was written, CLOCK_REALTIME; 0 when there is none. */
int64_t vci_exit_time(const struct vci_pod_dir *dir, const char *ctr);
/* When a container ended: as its exit file says, but not before it began; 0 when that is not known. */
int64_t vci_ctr_ended(const struct vci_pod *pod, const struct vci_ctr *c);
/* Note when it ended, unless that is known already: now, if nothing says otherwise. */
void vci_ctr_finish(const struct vci_pod *pod, struct vci_ctr *c);
void vci_exit_remove(const struct vci_pod_dir *dir, const char *ctr, const char *exec_id);
/* 0-255 out of a wait(2) status. */
int vci_exit_of_wait(int wait_status);

/* ---- pod-settings.c: plugins and options that a pod brings along ---- */
/* The names of its plugins: those it asks for, else those of the configuration.  Whether what it asks for is installed,
 * and takes its settings, is checked here.  The names live as long as config and context. */
int vci_pod_choose(vc_context *ctx, const struct vc_pod_config *config, const char *names[VCI_KINDS + 1], vc_error **err);
int vci_pod_take_choice(struct vci_pod *pod, const char *const names[VCI_KINDS + 1], const char *const *settings,
                        vc_error **err);
/* Is an option of this kind of plugin among them? */
int vci_settings_touch(char *const *settings, uint32_t kind);

/* ---- stack.c: the five instances ---- */
/* The instance of a kind, made or restored when it is first asked for; NULL and *err on failure. */
struct vci_inst *vci_stack_get(struct vci_pod *pod, uint32_t kind, int64_t deadline, vc_error **err);
/* The agent, connected. */
struct vci_inst *vci_stack_agent(struct vci_pod *pod, int64_t deadline, vc_error **err);
/* Capability bits of a kind that is open. */
static inline uint64_t vci_stack_caps(const struct vci_pod *pod, uint32_t kind)
{
    return pod->inst[kind].caps;
}
/* CONFIG unless both or neither of them has to do with a guest. */
int vci_stack_fits(vc_context *ctx, const char *hypervisor, const char *agent, vc_error **err);
/* Forget all instances and what they saved. */
void vci_stack_reset(struct vci_pod *pod);

/* ---- boot.c: from nothing to a VM with its containers made, and back ---- */
int vci_pod_boot(struct vci_pod *pod, int64_t deadline, vc_error **err);
/* End the VM and remove everything the pod has outside.  graceful: containers and guest are asked first.
 * Goes on after failures; the first one is returned when something is left. */
int vci_pod_teardown(struct vci_pod *pod, int graceful, vc_error **err);
/* The steps that making a template shares with it.  Describe the VM: nothing is started. */
int vci_vm_describe(struct vci_pod *pod, int64_t deadline, vc_error **err);
/* Note the VMM's processes, for looking at them without the plugin. */
int vci_vm_note_pids(struct vci_pod *pod, int64_t deadline, vc_error **err);
/* Make the file system of the shared directory, when the guest gets one. */
int vci_vm_share(struct vci_pod *pod, vc_error **err);
int vci_vm_proxy(struct vci_pod *pod, int64_t deadline, vc_error **err);
/* Connecting to the agent failed with rc: replace what was reported by what really happened. */
int vci_vm_no_agent(struct vci_pod *pod, int rc, int64_t began, vc_error **err);
/* End an instance and what it has outside: its own way of stopping, then its cleanup. */
void vci_vm_end(struct vci_pod *pod, uint32_t kind, int graceful);
/* End an instance by force, close it and forget it: the next one of this kind is a new one. */
void vci_vm_drop(struct vci_pod *pod, uint32_t kind);
/* Start every container that is ready. */
int vci_pod_start_all(struct vci_pod *pod, int64_t deadline, vc_error **err);

/* ---- pod.c, shared with gc.c and template-make.c ---- */
/* What every pod gets from the configuration: plugins (unless they are chosen already), a host name, its owner. */
int vci_pod_plan(struct vci_pod *pod, const char *hostname, vc_error **err);
/* The locked pod becomes stopped (no-op when it is). */
int vci_pod_do_stop(struct vci_pod *pod, int graceful, vc_error **err);
/* The locked pod is ended when need be and removed. */
int vci_pod_do_delete(struct vci_pod *pod, vc_error **err);

/* ---- container-process.c ---- */
/* vc_container_exec; ctr NULL = the pod's first container. */
int vci_ctr_exec(struct vci_pod *pod, vc_context *ctx, const char *id, const char *ctr,
                 const struct vc_process_config *config, char **ret_id, int32_t *ret_pid, vc_error **err);

/* ---- container.c ---- */
/* Check a container's configuration, add it to the pod and make its specification: nothing outside happens. */
int vci_ctr_prepare(struct vci_pod *pod, const struct vc_container_config *config, struct vci_ctr **ret,
                    vc_error **err);
/* Keep its specification beside pod.json, for when the pod is booted again. */
int vci_ctr_store_spec(const struct vci_pod *pod, const struct vci_ctr *c, vc_error **err);
/* Its specification in c->spec, read when need be. */
int vci_ctr_load_spec(const struct vci_pod *pod, struct vci_ctr *c, vc_error **err);
/* Make it in the running guest (its root file system is mounted already), without its shim. */
int vci_ctr_make(struct vci_pod *pod, struct vci_ctr *c, int64_t deadline, vc_error **err);
int vci_ctr_start_shim(struct vci_pod *pod, struct vci_ctr *c, int64_t deadline, vc_error **err);
/* Run its first process. */
int vci_ctr_run(struct vci_pod *pod, struct vci_ctr *c, int64_t deadline, vc_error **err);
/* Wait for shims to end (until the deadline), then kill them, and note how their processes ended. */
void vci_ctr_end_shims(struct vci_pod *pod, struct vci_ctr *c, int64_t deadline);
/* Remove what it has outside and in the guest (when `guest`). */
int vci_ctr_unmake(struct vci_pod *pod, struct vci_ctr *c, int guest, int64_t deadline, vc_error **err);
/* In a pod without a VM: containers whose creation or removal was interrupted go, and are never made again.  One that
 * cannot be removed stays as it is. */
int vci_pod_drop_halves(struct vci_pod *pod, vc_error **err);
/* End shims that are in the ledger and belong to nothing in the record: their starter failed or was killed.  How many
 * ran. */
size_t vci_pod_end_lost_shims(struct vci_pod *pod);
/* Start a shim; exec_id "" = the first process. */
int vci_shim_start(struct vci_pod *pod, const char *ctr, const char *exec_id, uint32_t terminal, uint32_t stdio_flags,
                   const int32_t stdio[3], int64_t deadline, struct vc_proc *ret, vc_error **err);

/* ---- tty.c: terminals of the host ---- */
/* Could this path be one?  Nothing is opened. */
int vci_tty_check(const char *path, const struct vci_limit *until, vc_error **err);
int vci_tty_open(const char *path, const struct vci_limit *until, int *ret_fd, vc_error **err);

/* ---- rootfs.c ---- */
/* Its path without links; it must be a directory.  `until` may be NULL here and below. */
int vci_rootfs_resolve(const char *path, const struct vci_limit *until, char ret[PATH_MAX], vc_error **err);
/* Does the hypervisor show the shared directory to a guest? */
int vci_rootfs_shared(const struct vci_pod *pod);
/* How the shared folder reaches the guest: the word of the agent's sandbox_create; NULL when there is none. */
const char *vci_rootfs_share_type(const struct vci_pod *pod);
/* Show the container's root file system to the guest at VCI_SHARED/CTR/rootfs, and what else its mounts have of the host. */
int vci_rootfs_mount(struct vci_pod *pod, struct vci_ctr *c, int64_t deadline, vc_error **err);
/* Take them away again; idempotent; never touches what the directories hold, except mount points made by us. */
int vci_rootfs_unmount(struct vci_pod *pod, const char *ctr, vc_error **err);
/* After that: take off what is not where it was mounted any more, since the guest has moved it. */
int vci_rootfs_unmount_moved(struct vci_pod *pod, const char *ctr, vc_error **err);

/* ---- spec.c: text in, text out ---- */
/* What is known of a specification by then, so that nobody has to look for it. */
struct vci_spec_facts {
    uint32_t terminal, readonly; /* of its process; of its root */
};
/* OCI config.json of a container; *ret is malloc'ed. */
int vci_spec_build(const char *hostname, const struct vc_container_config *config, const char *id,
                   const struct vci_limit *until, char **ret, struct vci_spec_facts *ret_facts, vc_error **err);
/* OCI `process` object of a further process. */
int vci_spec_process(const struct vc_process_config *config, char **ret, uint32_t *ret_terminal, vc_error **err);
void vci_strv_free(char **v);
char **vci_strv_copy(const char *const *v); /* NULL for NULL, and without memory when v is not NULL */

/* What the pod's annotations "io.vccore.KIND.option=value" set, with config->settings after it; NULL when they set nothing.  PERM
 * when allow_annotations does not name it. */
int vci_settings_of_annotations(const vc_context *ctx, const struct vc_pod_config *config, char ***ret, vc_error **err);
/* INVAL when one of them is such a one: it is too late for that. */
int vci_settings_check_annotations(const char *const *annotations, vc_error **err);
/* ---- annotations.c: NULL-terminated lists of "key=value" ---- */
/* Lay `more` over *list (NULL = empty), all or none. */
int vci_annotations_merge(char ***list, const char *const *more, vc_error **err);
/* Those of an OCI specification; *ret stays as it is when there are none. */
int vci_annotations_of_spec(const char *spec, char ***ret, vc_error **err);

/* ---- stats.c ---- */
/* What the agent says that the container uses, whatever its state. */
int vci_stats_ask(struct vci_pod *pod, const char *ctr, int64_t deadline, struct vc_container_stats **ret,
                  vc_error **err);

#endif
