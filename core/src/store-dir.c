/* SPDX-License-Identifier: Apache-2.0 */
/* store-dir.c: the directories of pods: making, locking, opening and removing them.
 *
 * The state directory is the pod: who wants to change a pod holds the flock of this directory itself, so that there is no
 * moment in which the lock is there and the pod is not, or the other way round.  Whoever got the lock of a directory that
 * was removed meanwhile sees that it has no links any more, and begins again.  A state directory without a record and
 * without a run directory is no pod: somebody is about to make one, or was killed then; the next one who takes its lock
 * removes it.  The run directory is made when the first thing is put there. */
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <time.h>

#include "instance.h"
#include "ledger-undo.h"
#include "lib/io.h"
#include "store.h"

#define TAKE_OVER_TRIES 50 /* a millisecond each */
#define CREATE         (-1) /* in the place of a VCI_LOCK_* */
#define CREATE_LOCK_NS (INT64_C(10) * 1000000000)

/* mkdir -p, mode 0700 for what is new. */
static int make_parents(const char *path)
{
    char buf[PATH_MAX];
    snprintf(buf, sizeof(buf), "%s", path);
    for (char *p = strchr(buf + 1, '/'); p; p = strchr(p + 1, '/')) {
        *p = '\0';
        if (mkdir(buf, 0700) < 0 && errno != EEXIST)
            return -errno;
        *p = '/';
    }
    return 0;
}

int vci_make_dir(const char *path)
{
    if (mkdir(path, 0700) == 0)
        return 0;
    if (errno != ENOENT)
        return -errno;
    int r = make_parents(path);
    if (r < 0)
        return r;
    return mkdir(path, 0700) < 0 ? -errno : 0;
}

/* The kernel has no flock with a timeout: it is tried again after 1 to 50 ms. */
int vci_wait_flock(const vc_context *ctx, int fd, int64_t deadline, int cancellable, const char *what, vc_error **err)
{
    int pause = 1;
    while (flock(fd, LOCK_EX | LOCK_NB) < 0) {
        if (errno == EINTR)
            continue;
        if (errno != EWOULDBLOCK)
            return vci_fail(err, VC_ERR_IO, errno, "cannot lock %s", what);
        if (cancellable && atomic_load(&ctx->cancelled))
            return vci_fail(err, VC_ERR_CANCELLED, 0, "waiting for %s was cancelled", what);
        int left = vcs_poll_timeout(deadline);
        if (left == 0)
            return vci_fail(err, VC_ERR_TIMEOUT, 0, "%s stayed in use until the deadline", what);
        struct pollfd p = { .fd = cancellable ? ctx->cancel_fd : -1, .events = POLLIN };
        poll(&p, 1, left > 0 && left < pause ? left : pause);
        pause = pause * 2 < 50 ? pause * 2 : 50;
    }
    return 0;
}

static int open_dir(const char *path)
{
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
    return fd < 0 ? -errno : fd;
}

static int dir_init(struct vci_pod_dir *d, const vc_context *ctx, int pool, const char *id, const char *run, vc_error **err)
{
    *d = (struct vci_pod_dir){ .ctx = ctx, .pool = pool, .run_fd = VCI_NO_FD, .state_fd = -1, .ledger_fd = -1, .record_fd = -1 };
    vci_join(d->id, sizeof(d->id), id, NULL);
    d->run_path = strdup(run);
    return d->run_path ? 0 : vci_fail(err, VC_ERR_NOMEM, 0, "out of memory");
}

static void close_fd(int *fd)
{
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}

void vci_store_close(struct vci_pod_dir *dir)
{
    int run = atomic_exchange(&dir->run_fd, VCI_NO_FD);
    close_fd(&run);
    close_fd(&dir->ledger_fd);
    close_fd(&dir->record_fd);
    if (dir->locked)
        flock(dir->state_fd, LOCK_UN); /* what the program may have forked meanwhile has a copy of the descriptor */
    dir->locked = 0;
    close_fd(&dir->state_fd);
    free(dir->run_path);
    dir->run_path = NULL;
    vci_out_done(&dir->later);
}

/* ---- whose is it? ---- */

int vci_store_trusts(const struct stat *st)
{
    return (st->st_uid == 0 || st->st_uid == geteuid()) && !(st->st_mode & 022);
}

int vci_store_check_stat(const struct vci_pod_dir *d, const struct stat *st, const char *path, vc_error **err)
{
    if (vci_store_trusts(st))
        return 0;
    return vci_fail(err, VC_ERR_PERM, 0,
                    "pod \"%s\": %s belongs to user %u with mode %o; it must belong to root or to the caller, and nobody "
                    "else may write to it",
                    d->id, path, st->st_uid, st->st_mode & 07777);
}

/* What stands in these directories is acted on (processes killed, paths removed), so nobody else may have made it. */
static int check_owner(const struct vci_pod_dir *d, int fd, const char *path, vc_error **err)
{
    struct stat st;
    if (fd < 0)
        return 0;
    if (fstat(fd, &st) < 0)
        return vci_fail(err, VC_ERR_IO, errno, "pod \"%s\": cannot look at %s", d->id, path);
    return vci_store_check_stat(d, &st, path, err);
}

/* ---- the lock ---- */

/* Who holds the lock?  The kernel knows, so that taking a lock need not write anything.  0: nobody that is known. */
static int lock_holder(int fd, char *buf, size_t size)
{
    struct stat st;
    vcs_autofclose FILE *f = fopen("/proc/locks", "re");
    char line[256];
    int holder = 0;
    snprintf(buf, size, "another process");
    if (!f || fstat(fd, &st) < 0)
        return 0;
    while (fgets(line, sizeof(line), f)) {
        unsigned maj, min;
        unsigned long long ino;
        int pid;
        /* "1: FLOCK  ADVISORY  WRITE 1234 08:01:5678 0 EOF"; "-> FLOCK" are those that wait. */
        if (sscanf(line, "%*d: FLOCK ADVISORY WRITE %d %x:%x:%llu", &pid, &maj, &min, &ino) != 4 || ino != st.st_ino)
            continue;
        /* Some file systems show another device number here than in stat: then the inode must do. */
        if (!holder || (maj == major(st.st_dev) && min == minor(st.st_dev)))
            holder = pid;
    }
    if (holder <= 0)
        return 0;
    char path[32], name[64] = "";
    snprintf(path, sizeof(path), "/proc/%d/comm", holder);
    vcs_autofclose FILE *comm = fopen(path, "re");
    if (comm && fgets(name, sizeof(name), comm))
        name[strcspn(name, "\n")] = '\0';
    snprintf(buf, size, "pid %d%s%s%s", holder, name[0] ? " (" : "", name, name[0] ? ")" : "");
    return 1;
}

int vci_store_holder(const struct vci_pod_dir *dir, char *buf, size_t size)
{
    return lock_holder(dir->state_fd, buf, size);
}

/* The kernel is asked by trying: what /proc/locks shows may be of the moment before. */
int vci_store_held(const struct vci_pod_dir *dir)
{
    if (dir->state_fd < 0 || dir->locked)
        return dir->locked;
    if (flock(dir->state_fd, LOCK_SH | LOCK_NB) < 0)
        return errno == EWOULDBLOCK;
    flock(dir->state_fd, LOCK_UN);
    return 0;
}

static int cannot_lock(const struct vci_pod_dir *d, const char *state, vc_error **err)
{
    return vci_fail(err, VC_ERR_IO, errno, "pod \"%s\": cannot lock the directory %s%s", d->id, state,
                    errno == EBADF || errno == ENOLCK ? " (state_root must be on a local file system)" : "");
}

/* flock with a deadline.  The kernel has no flock with a timeout, and a thread that waits in one cannot be told to
 * stop, so it is tried again after 1 to 50 ms: only a caller that must wait for another one's whole operation pays. */
static int take_lock(const struct vci_pod_dir *d, const char *state, int how, int64_t deadline_ns, vc_error **err)
{
    long pause_ns = 1000000;
    while (flock(d->state_fd, LOCK_EX | LOCK_NB) < 0) {
        char who[128];
        if (errno == EINTR)
            continue;
        if (errno != EWOULDBLOCK)
            return cannot_lock(d, state, err);
        if (how == VCI_LOCK_QUIET)
            return vci_fail(err, VC_ERR_BUSY, 0, "\"%s\" is in use", d->id);
        if (how == VCI_LOCK_TRY) {
            lock_holder(d->state_fd, who, sizeof(who));
            return vci_fail(err, VC_ERR_BUSY, 0, "pod \"%s\" is in use: its lock is held by %s", d->id, who);
        }
        int64_t left = deadline_ns ? deadline_ns - vcs_now_ns() : INT64_MAX;
        if (left <= 0) {
            lock_holder(d->state_fd, who, sizeof(who));
            return vci_fail(err, VC_ERR_TIMEOUT, 0,
                            "pod \"%s\" stayed in use until the deadline: its lock is held by %s", d->id, who);
        }
        struct timespec ts = { .tv_nsec = left < pause_ns ? (long)left : pause_ns };
        nanosleep(&ts, NULL);
        pause_ns = pause_ns * 2 < 50000000 ? pause_ns * 2 : 50000000;
    }
    return 0;
}

/* Take the lock of the open state directory.  1: it was removed meanwhile, the pod with it: begin again. */
static int lock_pod(struct vci_pod_dir *d, const char *state, int how, int64_t deadline_ns, vc_error **err)
{
    struct stat st;
    int r = take_lock(d, state, how, deadline_ns, err);
    if (r)
        return r;
    if (fstat(d->state_fd, &st) < 0)
        return vci_fail(err, VC_ERR_IO, errno, "pod \"%s\": cannot look at %s", d->id, state);
    if (st.st_nlink == 0)
        return 1;
    d->locked = 1;
    return vci_store_trusts(&st) ? 0 : vci_store_check_stat(d, &st, state, err);
}

/* ---- making ---- */

static int taken(const char *id, vc_error **err)
{
    return vci_fail(err, VC_ERR_EXISTS, 0, "a pod \"%s\" exists already; choose another id, or delete it", id);
}

static int make_pod_dir(const struct vci_pod_dir *d, const char *path)
{
    if (mkdir(path, 0700) == 0)
        return 0;
    if (errno != ENOENT)
        return -errno;
    vci_store_new_roots(d->ctx);
    return vci_make_dir(path);
}

/* Is there a record, or a run directory? */
static int is_pod(const struct vci_pod_dir *d, int state_fd)
{
    return faccessat(state_fd, vci_store_state_file(d), F_OK, AT_SYMLINK_NOFOLLOW) == 0 || access(d->run_path, F_OK) == 0;
}

/* There is a directory of this name already.  1: it was no pod, and is gone: begin again. */
static int take_over(const struct vci_pod_dir *d, const char *state, vc_error **err)
{
    struct stat st;
    vcs_autoclose int fd = open_dir(state);
    if (fd == -ENOENT)
        return 1;
    if (fd < 0)
        return vci_fail(err, vci_code_of(fd), fd, "pod \"%s\": cannot open %s", d->id, state);
    for (int tries = 0; flock(fd, LOCK_EX | LOCK_NB) < 0; tries++) {
        /* One that looks holds it for a moment; one that makes this pod, or removes it, for longer. */
        if (errno != EWOULDBLOCK)
            return cannot_lock(d, state, err);
        if (is_pod(d, fd) || tries == TAKE_OVER_TRIES)
            return taken(d->id, err);
        nanosleep(&(struct timespec){ .tv_nsec = 1000000 }, NULL);
    }
    if (fstat(fd, &st) == 0 && st.st_nlink == 0)
        return 1;
    if (is_pod(d, fd))
        return taken(d->id, err);
    int r = vcs_remove_tree(AT_FDCWD, state);
    return r < 0 && r != -ENOENT ? vci_fail(err, vci_code_of(r), r, "pod \"%s\": cannot remove %s", d->id, state) : 1;
}

/* The state directory of a new pod, locked.  1: begin again. */
static int create_state(struct vci_pod_dir *d, const char *state, vc_error **err)
{
    int r = make_pod_dir(d, state);
    if (r == -EEXIST)
        return take_over(d, state, err);
    if (r < 0)
        return vci_fail(err, vci_code_of(r), r, "pod \"%s\": cannot make the directory %s", d->id, state);
    vci_fault_point("store-state-dir-made");
    r = d->state_fd = open_dir(state);
    if (r == -ENOENT)
        return 1;
    if (r < 0) /* it may be another one's by now, so it stays: it is no pod */
        return vci_fail(err, vci_code_of(r), r, "pod \"%s\": cannot open %s", d->id, state);
    /* One that asks for a pod of this id, or collects what is left over, may hold the lock for a moment. */
    r = lock_pod(d, state, VCI_LOCK_EXCLUSIVE, vcs_now_ns() + CREATE_LOCK_NS, err);
    vci_fault_point("store-locked");
    /* Between making and opening it, another one may have taken it for nothing, made it anew and made the pod in it: only
     * what stands there now tells.  A run directory alone is a ruin, which has to be deleted first. */
    if (r == 0 && !d->pool && is_pod(d, d->state_fd)) {
        rmdir(state);
        return taken(d->id, err);
    }
    return r;
}

/* Open the run directory, or make it.  -errno, or a code with its error. */
static int open_run(const struct vci_pod_dir *d, int make, vc_error **err)
{
    struct stat st;
    int fd = open_dir(d->run_path);
    if (fd == -ENOENT && make && d->locked) { /* else somebody may be removing the pod */
        int r = make_pod_dir(d, d->run_path);
        vci_fault_point("store-run-dir-made");
        if (r < 0 && r != -EEXIST)
            return vci_fail(err, vci_code_of(r), r, "pod \"%s\": cannot make the directory %s", d->id, d->run_path);
        fd = open_dir(d->run_path);
    }
    if (fd == -ENOENT)
        return vci_fail(err, VC_ERR_NOTFOUND, 0, "pod \"%s\" has no run directory", d->id);
    if (fd < 0)
        return vci_fail(err, vci_code_of(fd), fd, "pod \"%s\": cannot open %s", d->id, d->run_path);
    int r = check_owner(d, fd, d->run_path, err);
    /* Without the lock it may be that of the next pod of this name. */
    if (r == 0 && !d->locked && d->state_fd >= 0 && fstat(d->state_fd, &st) == 0 && st.st_nlink == 0)
        r = vci_fail(err, VC_ERR_NOTFOUND, 0, "pod \"%s\" was deleted meanwhile", d->id);
    if (r)
        close(fd);
    return r ? r : fd;
}

int vci_store_run(const struct vci_pod_dir *dir, int make, vc_error **err)
{
    static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER; /* plugins ask for its path from any thread */
    struct vci_pod_dir *d = (struct vci_pod_dir *)(uintptr_t)dir;
    if (d->pool)
        return d->state_fd;
    int fd = atomic_load(&d->run_fd);
    if (fd >= 0)
        return fd;
    if (!d->run_path || d->unmade || (fd == VCI_NO_RUN && !make))
        return vci_fail(err, VC_ERR_NOTFOUND, 0, "pod \"%s\" has no run directory", d->id);
    pthread_mutex_lock(&mutex);
    fd = atomic_load(&d->run_fd);
    if (fd < 0)
        fd = open_run(d, make, err);
    if (fd >= 0)
        atomic_store(&d->run_fd, fd);
    else if (fd == VC_ERR_NOTFOUND && d->locked) /* nobody else makes it meanwhile */
        atomic_store(&d->run_fd, VCI_NO_RUN);
    pthread_mutex_unlock(&mutex);
    return fd;
}

int vci_store_run_if_any(const struct vci_pod_dir *dir, vc_error **err)
{
    int fd = vci_store_run(dir, 0, NULL);
    return fd >= 0 || fd == VC_ERR_NOTFOUND ? fd : vci_store_run(dir, 0, err);
}

/* ---- opening ---- */

/* There is no state directory.  1: now there is, since there is a run directory: begin again. */
static int open_ruin(struct vci_pod_dir *d, const char *state, int lock, vc_error **err)
{
    int r = d->pool ? VC_ERR_NOTFOUND : vci_store_run_if_any(d, err);
    if (r == VC_ERR_NOTFOUND)
        return vci_fail(err, VC_ERR_NOTFOUND, 0, "there is no %s \"%s\"", d->pool ? "VM of the pool" : "pod", d->id);
    if (r < 0)
        return r;
    if (lock == VCI_LOCK_NONE)
        return 0;
    r = make_pod_dir(d, state); /* the lock needs a place */
    if (r < 0 && r != -EEXIST)
        return vci_fail(err, vci_code_of(r), r, "pod \"%s\": cannot make the directory %s", d->id, state);
    return 1;
}

/* One try of vci_store_open; 1: begin again. */
static int open_once(struct vci_pod_dir *d, const char *state, int lock, int64_t deadline_ns, vc_error **err)
{
    d->state_fd = open_dir(state);
    if (d->state_fd == -ENOENT)
        return open_ruin(d, state, lock, err);
    if (d->state_fd < 0)
        return vci_fail(err, vci_code_of(d->state_fd), d->state_fd, "pod \"%s\": cannot open %s", d->id, state);
    return lock == VCI_LOCK_NONE ? check_owner(d, d->state_fd, state, err) : lock_pod(d, state, lock, deadline_ns, err);
}

/* lock: VCI_LOCK_*, or CREATE. */
static int open_in(const vc_context *ctx, int pool, const char *id, int lock, int64_t deadline_ns,
                   struct vci_pod_dir *ret, vc_error **err)
{
    char run[PATH_MAX], state[PATH_MAX];
    int r = vci_store_paths(ctx, pool, id, run, state, err);
    if (r == 0)
        r = vci_store_check_roots(ctx, lock == CREATE, err);
    if (r)
        return r;
    do {
        struct vci_pod_dir d;
        r = dir_init(&d, ctx, pool, id, run, err);
        if (r == 0)
            r = lock == CREATE ? create_state(&d, state, err) : open_once(&d, state, lock, deadline_ns, err);
        d.fresh = lock == CREATE;
        if (r == 0)
            *ret = d;
        else
            vci_store_close(&d);
    } while (r == 1);
    return r;
}

int vci_store_create(const vc_context *ctx, const char *id, struct vci_pod_dir *ret, vc_error **err)
{
    return open_in(ctx, 0, id, CREATE, 0, ret, err);
}

int vci_store_create_vm(const vc_context *ctx, const char *id, struct vci_pod_dir *ret, vc_error **err)
{
    return open_in(ctx, 1, id, CREATE, 0, ret, err);
}

int vci_store_open(const vc_context *ctx, const char *id, int lock, int64_t deadline_ns, struct vci_pod_dir *ret,
                   vc_error **err)
{
    return open_in(ctx, 0, id, lock, deadline_ns, ret, err);
}

int vci_store_open_vm(const vc_context *ctx, const char *id, int lock, int64_t deadline_ns, struct vci_pod_dir *ret,
                      vc_error **err)
{
    return open_in(ctx, 1, id, lock, deadline_ns, ret, err);
}

/* ---- removing ---- */

/* Is anything mounted at or below the pod's run directory? */
static int mounted_below(const char *path, char *where, size_t size)
{
    vcs_autofclose FILE *f = fopen("/proc/self/mountinfo", "re");
    char *line = NULL;
    size_t room = 0, len = strlen(path);
    int found = 0;
    while (f && !found && getline(&line, &room, f) > 0) {
        /* Field 5 is the mount point. */
        char *p = line, *end;
        for (int field = 1; field < 5 && p; field++)
            p = strchr(p, ' ') ? strchr(p, ' ') + 1 : NULL;
        if (!p || !(end = strchr(p, ' ')))
            continue;
        *end = '\0';
        vci_unescape_mount(p);
        found = !strncmp(p, path, len) && (p[len] == '/' || !p[len]);
        if (found)
            snprintf(where, size, "%s", p);
    }
    free(line);
    return found;
}

/* What getdents64(2) fills in; libc has a name for it only in recent releases. */
struct kernel_dirent {
    uint64_t ino;
    int64_t off;
    unsigned short reclen;
    unsigned char type;
    char name[];
};

/* Remove what stands in the run directory. */
static int empty_run(const struct vci_pod_dir *dir, int run_fd, vc_error **err)
{
    _Alignas(struct kernel_dirent) char buf[4096];
    if (lseek(run_fd, 0, SEEK_SET) < 0)
        return vci_fail(err, VC_ERR_IO, errno, "pod \"%s\": cannot read %s", dir->id, dir->run_path);
    for (;;) {
        long n = syscall(SYS_getdents64, run_fd, buf, sizeof(buf));
        if (n < 0)
            return vci_fail(err, VC_ERR_IO, errno, "pod \"%s\": cannot read %s", dir->id, dir->run_path);
        if (n == 0)
            return 0;
        for (long at = 0; at < n;) {
            const struct kernel_dirent *e = (const struct kernel_dirent *)(const void *)(buf + at);
            at += e->reclen;
            if (!strcmp(e->name, ".") || !strcmp(e->name, ".."))
                continue;
            int r =
                e->type == DT_DIR || unlinkat(run_fd, e->name, 0) < 0 ? vcs_remove_tree(run_fd, e->name) : 0;
            if (r < 0)
                return vci_fail(err, vci_code_of(r), r, "pod \"%s\": cannot remove %s/%s", dir->id, dir->run_path,
                                e->name);
        }
    }
}

/* Does the run directory hold directories, in which something could be mounted?  A directory has a link from each. */
static int has_directories(int run_fd)
{
    struct stat st;
    return fstat(run_fd, &st) < 0 || st.st_nlink != 2;
}

static int remove_run(const struct vci_pod_dir *dir, int run_fd, vc_error **err)
{
    if (rmdir(dir->run_path) == 0 || errno == ENOENT)
        return 0;
    int r = empty_run(dir, run_fd, err);
    if (r)
        return r;
    vci_fault_point("store-run-emptied");
    if (rmdir(dir->run_path) == 0 || errno == ENOENT)
        return 0;
    return vci_fail(err, vci_code_of(errno), errno, "pod \"%s\": cannot remove %s", dir->id, dir->run_path);
}

int vci_store_remove(struct vci_pod_dir *dir, vc_error **err)
{
    char run[PATH_MAX], state[PATH_MAX], where[512];
    int r = vci_store_paths(dir->ctx, dir->pool, dir->id, run, state, err);
    if (r)
        return r;
    int run_fd = vci_store_run_if_any(dir, err);
    if (run_fd < 0 && run_fd != VC_ERR_NOTFOUND)
        return run_fd;
    /* Looked for first: a pod that cannot be removed whole stays a pod. */
    if (run_fd >= 0 && has_directories(run_fd) && mounted_below(dir->run_path, where, sizeof(where)))
        return vci_fail(err, VC_ERR_BUSY, 0, "pod \"%s\" cannot be removed: something is still mounted at %s", dir->id,
                        where);
    unlinkat(dir->state_fd, vci_store_state_file(dir), 0);
    vci_fault_point("store-state-unlinked");
    if (run_fd >= 0 && !dir->pool) {
        r = remove_run(dir, run_fd, err);
        if (r)
            return r;
        vci_fault_point("store-run-removed");
    }
    r = rmdir(state) == 0 || errno == ENOENT ? 0 : vcs_remove_tree(AT_FDCWD, state);
    if (r < 0)
        return vci_fail(err, vci_code_of(r), r, "pod \"%s\": cannot remove %s", dir->id, state);
    vci_fault_point("store-state-removed");
    vci_store_close(dir);
    return 0;
}

int vci_store_remove_nothing(struct vci_pod_dir *dir)
{
    char run[PATH_MAX], state[PATH_MAX];
    if (!dir->locked || dir->pool || vci_store_run(dir, 0, NULL) != VC_ERR_NOTFOUND ||
        vci_store_paths(dir->ctx, 0, dir->id, run, state, NULL) < 0 || vcs_remove_tree(AT_FDCWD, state) < 0)
        return 0;
    vci_store_close(dir);
    return 1;
}
