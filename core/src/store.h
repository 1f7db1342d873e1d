/* SPDX-License-Identifier: Apache-2.0 */
/* store.h: where pods stand on disk: directories, locks, atomic state files, the ledger.
 *
 *   STATE_ROOT/pods/ID/              whose flock is the lock of the pod
 *   STATE_ROOT/pods/ID/pod.json      state (mode 0600), whole or not at all
 *   RUN_ROOT/pods/ID/                made when the first thing is put there
 *   RUN_ROOT/pods/ID/ledger          one JSON line per external thing, appended before it is made
 *   RUN_ROOT/pods/ID/{hypervisor,agent,proxy,shim,network}/   private directories of the instances
 *   RUN_ROOT/pods/ID/shared/fs/      what the guest sees: a file system of its own.  A mount point cannot be renamed, the
 *                                    directory above it can, which is how a VM of the pool gets to a pod
 *   RUN_ROOT/pods/ID/exit/           exit statuses written by shims
 *   RUN_ROOT/state-root, STATE_ROOT/run-root   symbolic links: each root names the other
 *   RUN_ROOT/pool/ID/                the same of a VM that waits for a pod; its state, vm.json, stands in it
 * All directories 0700. */
#ifndef VCI_STORE_H
#define VCI_STORE_H

#include <limits.h>
#include <stdatomic.h>
#include <sys/stat.h>

#include "context.h"
#include "record.h"
#include <vc/host.h>

#define VCI_SHARED "shared/fs"

enum { VCI_NO_FD = -1, VCI_NO_RUN = -2 }; /* not opened; known not to be there */

/* An open, perhaps locked pod directory. */
struct vci_pod_dir {
    const vc_context *ctx;
    char id[129];
    int state_fd;         /* O_DIRECTORY; -1 when it does not exist, which only one without the lock sees */
    int locked;           /* by state_fd */
    atomic_int run_fd;    /* see vci_store_run */
    int ledger_fd;        /* O_APPEND; -1 until the first entry */
    int drop_wrong;       /* a forced delete: recorded paths that cannot be removed are forgotten, with a warning */
    int boot_noted;       /* the ledger was told which boot this is */
    int fresh;            /* made by vci_store_create: there is no ledger yet */
    int pool;             /* a VM of the pool: below RUN_ROOT/pool, both directories are one */
    int cancellable;      /* what goes on can be cancelled; undoing it cannot */
    int record_fd;        /* its record, while the lock is held and it can be written to; else -1 */
    unsigned ending;      /* see vci_store_ending_begin; bits by VC_KIND_* */
    unsigned ending_noted; /* what of that is on disk */
    int unmade;           /* stands for a pod that is only thought of: nothing of it is on disk, nothing can be made */
    char *run_path;       /* RUN_ROOT/pods/ID */
    struct vci_out later; /* see vci_store_write_later */
};

/* QUIET: as TRY, without looking for who holds it. */
enum { VCI_LOCK_NONE = 0, VCI_LOCK_EXCLUSIVE = 1, VCI_LOCK_TRY = 2, VCI_LOCK_QUIET = 3 };

/* Make one directory, mode 0700, and those above it when they are missing.  0 or -errno; -EEXIST when it is there. */
int vci_make_dir(const char *path);
/* flock(fd, LOCK_EX) until the deadline (TIMEOUT), or until the context is cancelled when `cancellable`; `what` is for
 * the error. */
int vci_wait_flock(const vc_context *ctx, int fd, int64_t deadline, int cancellable, const char *what, vc_error **err);
/* CONFIG when the pods of one root belong with another one than the configured other root.  `make`: note that the two
 * belong together.  Once they do, it is not asked again. */
int vci_store_check_roots(const vc_context *ctx, int make, vc_error **err);
/* One of them was not there: it is told of the other one. */
void vci_store_new_roots(const vc_context *ctx);
/* Make a new pod's state directory and take its lock.  EXISTS when the id is taken (or being made). */
int vci_store_create(const vc_context *ctx, const char *id, struct vci_pod_dir *ret, vc_error **err);
/* Open an existing one.  NOTFOUND when there is no such pod; BUSY (TRY) or TIMEOUT (deadline) says which
 * pid holds the lock.  Works when one of the two directories is missing. */
int vci_store_open(const vc_context *ctx, const char *id, int lock, int64_t deadline_ns, struct vci_pod_dir *ret, vc_error **err);
/* The run directory's descriptor, which stays the pod's: opened when it is first asked for, and with `make` made.  Or a code:
 * NOTFOUND when there is none, PERM when somebody else may have put something into it.  Any thread. */
int vci_store_run(const struct vci_pod_dir *dir, int make, vc_error **err);
/* The same where none need be: NOTFOUND comes without an error. */
int vci_store_run_if_any(const struct vci_pod_dir *dir, vc_error **err);
/* A plugin that takes its caller down while it ends its instance must not do so for ever.  `begin` notes that it is about to,
 * `done` that it came back; `over`, after one or more of them, brings what is noted up to date, and with `all` takes it away.
 * `failed`: did this one not come back the last time? */
int vci_store_ending_failed(const struct vci_pod_dir *dir, unsigned kind);
void vci_store_ending_begin(struct vci_pod_dir *dir, unsigned kind);
void vci_store_ending_done(struct vci_pod_dir *dir, unsigned kind);
void vci_store_ending_over(struct vci_pod_dir *dir, int all);
/* Does anybody hold its lock now? */
int vci_store_held(const struct vci_pod_dir *dir);
/* Who?  "another process" and 0 when that is not known, or nobody does. */
int vci_store_holder(const struct vci_pod_dir *dir, char *buf, size_t size);
void vci_store_close(struct vci_pod_dir *dir); /* drops the lock; the pod stays */
/* Remove both directories (the record first, so that it is no pod any more) and drop the lock.  Refuses while
 * something is mounted below. */
int vci_store_remove(struct vci_pod_dir *dir, vc_error **err);
/* It has no record: when it has no run directory either, and the lock is held, remove and close it.  1: done. */
int vci_store_remove_nothing(struct vci_pod_dir *dir);
/* For store*.c only: both directories (those of the pool are one), the name of the file in it; may what belongs to `st` be
 * acted on, and if not, the error that says so. */
int vci_store_paths(const vc_context *ctx, int pool, const char *id, char run[PATH_MAX], char state[PATH_MAX], vc_error **err);
const char *vci_store_state_file(const struct vci_pod_dir *d);
int vci_store_trusts(const struct stat *st);
int vci_store_check_stat(const struct vci_pod_dir *d, const struct stat *st, const char *path, vc_error **err);
/* Ids of all pods in either root, sorted. */
int vci_store_list(const vc_context *ctx, char ***ret_ids, size_t *ret_n, vc_error **err);
void vci_store_list_free(char **ids, size_t n);
/* The same three for VMs of the pool. */
int vci_store_create_vm(const vc_context *ctx, const char *id, struct vci_pod_dir *ret, vc_error **err);
int vci_store_open_vm(const vc_context *ctx, const char *id, int lock, int64_t deadline_ns, struct vci_pod_dir *ret, vc_error **err);
int vci_store_list_vms(const vc_context *ctx, char ***ret_ids, size_t *ret_n, vc_error **err);

/* pod.json: {"ending":"0","version":1,"boot_id":...,"data":{...}}.  Between vci_store_begin and vci_store_write, the members of `data` are
 * put into `out`, which the latter frees. */
void vci_store_begin(struct vci_out *out);
int vci_store_write(struct vci_pod_dir *dir, struct vci_out *out, vc_error **err);
/* The same before the next line of the ledger, and not at all when that does not come before the next vci_store_write: what
 * nothing outside hangs on needs not be on disk. */
int vci_store_write_later(struct vci_pod_dir *dir, struct vci_out *out, vc_error **err);
/* Now is when that is needed. */
int vci_store_write_now(struct vci_pod_dir *dir, vc_error **err);
/* CORRUPT names file and reason, a newer version is UNSUPPORTED.  *ret_data stands in the document.  *ret_boot_same: was it
 * written since this boot? */
int vci_store_read(struct vci_pod_dir *dir, struct vci_doc *doc, const struct vci_rec **ret_data, int *ret_boot_same,
                   vc_error **err);
/* The id of this boot. */
const char *vci_store_boot_id(void);
/* CORRUPT: the file cannot be used, because of that. */
int vci_store_corrupt(const struct vci_pod_dir *dir, const char *why, vc_error **err);

/* ---- ledger ---- */
enum {
    VCI_RES_PROCESS = 101, /* name "PID START_TICKS" */
    VCI_RES_MOUNTPOINT = 102, /* an empty directory or file made inside a user's rootfs as a mount point:
                                name "DEV:INO PATH"; removed only when it is that inode and empty */
    VCI_RES_HOOK = 103 /* as PROCESS: the leader of a process group, which is ended with it */
    /* and VC_RES_* of the contract */
};
struct vci_ledger_entry {
    unsigned n; /* where its line stands in the file */
    uint32_t type;
    int old_boot; /* recorded before the last reboot, which only paths survive */
    char *owner;  /* "core", "hypervisor", ... */
    char *name;
};
/* Append (before the thing is made): *ret_n names it. */
int vci_ledger_add(struct vci_pod_dir *dir, uint32_t type, const char *owner, const char *name, unsigned *ret_n, vc_error **err);
/* Take it out (after it was removed). */
int vci_ledger_del(struct vci_pod_dir *dir, unsigned n, vc_error **err);
int vci_ledger_del_name(struct vci_pod_dir *dir, uint32_t type, const char *name, vc_error **err);
/* What stands in it now, oldest first. A half-written last line counts as an entry whose thing was not made. */
int vci_ledger_read(struct vci_pod_dir *dir, struct vci_ledger_entry **ret, size_t *ret_n, vc_error **err);
/* Is it something that a reboot has ended, whatever has its name now? */
int vci_ledger_is_past(const struct vci_ledger_entry *e);
void vci_ledger_entries_free(struct vci_ledger_entry *entries, size_t n);
/* Can what will be removed be taken out of it?  Asked before anything is ended, on a file system that may be read-only. */
int vci_ledger_writable(struct vci_pod_dir *dir, vc_error **err);
/* Remove everything in it in reverse order: processes are killed (identity checked) and waited for, mounts
 * detached, paths unlinked, namespaces and links removed.  Entries that could not be removed stay, and the
 * first error is returned after all were tried.  report may be NULL. */
int vci_ledger_undo(struct vci_pod_dir *dir, int64_t deadline_ns, void (*report)(void *, const char *, const char *), void *arg, vc_error **err);

#endif
