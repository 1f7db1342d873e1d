/* SPDX-License-Identifier: Apache-2.0 */
/* store.c: pods on disk: directories, locks and state files.
 *
 * Nothing here calls fsync.  What a pod is made of (processes, mounts, sockets) does not survive a reboot, and the
 * state carries the boot id, so a power cut can at worst lose or truncate the record of a pod that is gone anyway: then
 * it is reported as CORRUPT and can be deleted by force. */
#include "store.h"

#include <ctype.h>
#include <dirent.h>
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
#include "lib/buf.h"
#include "lib/io.h"

#define STATE_VERSION 1
#define STATE_MAX     (16u * 1024 * 1024)
#define STATE_TMP     "pod.json.new"
#define CREATE_LOCK_NS (INT64_C(10) * 1000000000)

/* ROOT/pods[/ID], or of the pool, into buf. */
static int below(const char *root, int pool, const char *id, char *buf, size_t size, vc_error **err)
{
    if (vci_join(buf, size, root, pool ? "/pool" : "/pods", id ? "/" : "", id ? id : "", NULL) < 0)
        return vci_fail(err, VC_ERR_CONFIG, 0, "the path below %s is too long (%zu bytes are possible)", root,
                        size - 1);
    return 0;
}

/* Both directories; those of the pool are one. */
static int both_paths(const vc_context *ctx, int pool, const char *id, char run[PATH_MAX], char state[PATH_MAX],
                      vc_error **err)
{
    int r = vci_check_id(pool ? "id of a VM of the pool" : "pod id", id, err);
    if (r == 0)
        r = below(ctx->run_root, pool, id, run, PATH_MAX, err);
    return r ? r : below(pool ? ctx->run_root : ctx->state_root, pool, id, state, PATH_MAX, err);
}

static const char *state_file(const struct vci_pod_dir *d)
{
    return d->pool ? "vm.json" : "pod.json";
}

/* The whole name of its state file, for messages. */
static const char *state_path(const struct vci_pod_dir *d, char buf[PATH_MAX])
{
    snprintf(buf, PATH_MAX, "%s/%s/%s/%s", d->pool ? d->ctx->run_root : d->ctx->state_root, d->pool ? "pool" : "pods",
             d->id, state_file(d));
    return buf;
}

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

static void dir_init(struct vci_pod_dir *d, const vc_context *ctx, int pool, const char *id)
{
    *d = (struct vci_pod_dir){ .ctx = ctx, .pool = pool, .run_fd = -1, .state_fd = -1, .lock_fd = -1, .ledger_fd = -1 };
    vci_join(d->id, sizeof(d->id), id, NULL);
}

void vci_store_close(struct vci_pod_dir *dir)
{
    int *fds[] = { &dir->ledger_fd, &dir->state_fd, &dir->run_fd, &dir->lock_fd };
    for (size_t i = 0; i < sizeof(fds) / sizeof(fds[0]); i++) {
        if (*fds[i] >= 0)
            close(*fds[i]);
        *fds[i] = -1;
    }
    free(dir->run_path);
    dir->run_path = NULL;
    vci_out_done(&dir->later);
}

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

int vci_store_held(const struct vci_pod_dir *dir)
{
    char who[128];
    vcs_autoclose int fd = dir->run_fd < 0 ? -1 : openat(dir->run_fd, "lock", O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    return fd >= 0 && lock_holder(fd, who, sizeof(who));
}

/* flock with a deadline.  The kernel has no flock with a timeout, and a thread that waits in one cannot be told to
 * stop, so it is tried again after 1 to 50 ms: only a caller that must wait for another one's whole operation pays. */
static int take_lock(struct vci_pod_dir *d, int how, int64_t deadline_ns, vc_error **err)
{
    long pause_ns = 1000000;
    while (flock(d->lock_fd, LOCK_EX | LOCK_NB) < 0) {
        char who[128];
        if (errno == EINTR)
            continue;
        if (errno != EWOULDBLOCK)
            return vci_fail(err, VC_ERR_IO, errno, "pod \"%s\": cannot lock %s/lock", d->id, d->run_path);
        if (how == VCI_LOCK_QUIET)
            return vci_fail(err, VC_ERR_BUSY, 0, "\"%s\" is in use", d->id);
        if (how == VCI_LOCK_TRY) {
            lock_holder(d->lock_fd, who, sizeof(who));
            return vci_fail(err, VC_ERR_BUSY, 0, "pod \"%s\" is in use: its lock is held by %s", d->id, who);
        }
        int64_t left = deadline_ns ? deadline_ns - vcs_now_ns() : INT64_MAX;
        if (left <= 0) {
            lock_holder(d->lock_fd, who, sizeof(who));
            return vci_fail(err, VC_ERR_TIMEOUT, 0,
                            "pod \"%s\" stayed in use until the deadline: its lock is held by %s", d->id, who);
        }
        struct timespec ts = { .tv_nsec = left < pause_ns ? (long)left : pause_ns };
        nanosleep(&ts, NULL);
        pause_ns = pause_ns * 2 < 50000000 ? pause_ns * 2 : 50000000;
    }
    return 0;
}

/* Open and lock RUN/lock.  1: the file was removed meanwhile, the pod with it: begin again. */
static int lock_pod(struct vci_pod_dir *d, int how, int64_t deadline_ns, vc_error **err)
{
    struct stat st;
    d->lock_fd = openat(d->run_fd, "lock", O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (d->lock_fd < 0 && errno == ENOENT)
        return 1; /* the directory itself was removed */
    if (d->lock_fd < 0)
        return vci_fail(err, VC_ERR_IO, errno, "pod \"%s\": cannot open %s/lock", d->id, d->run_path);
    int r = take_lock(d, how, deadline_ns, err);
    if (r == 0 && fstat(d->lock_fd, &st) < 0)
        r = vci_fail(err, VC_ERR_IO, errno, "pod \"%s\": cannot look at %s/lock", d->id, d->run_path);
    unsigned char ending = 0;
    if (r == 0 && st.st_size && pread(d->lock_fd, &ending, 1, 0) == 1)
        d->ending = ending;
    return r ? r : st.st_nlink == 0;
}

void vci_store_ending(struct vci_pod_dir *dir, unsigned kinds)
{
    unsigned char byte = (unsigned char)kinds;
    dir->ending = kinds;
    /* On a full disk there is no such note, and the pod can be ended still. */
    if (dir->lock_fd >= 0 && pwrite(dir->lock_fd, &byte, 1, 0) < 0)
        vci_log(dir->ctx, VC_LOG_DEBUG, dir->id, "%s/lock cannot be written: %s", dir->run_path, strerror(errno));
}

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

/* The run directory of a new pod, locked.  1: somebody took it away as a half-made one: begin again. */
static int create_run(struct vci_pod_dir *d, vc_error **err)
{
    int r = make_pod_dir(d, d->run_path);
    if (r == -EEXIST)
        return taken(d->id, err);
    if (r < 0)
        return vci_fail(err, vci_code_of(r), r, "pod \"%s\": cannot make the directory %s", d->id, d->run_path);
    vci_fault_point("store-run-dir-made");
    d->run_fd = open_dir(d->run_path);
    if (d->run_fd < 0)
        return 1;
    /* One that looks for half-made pods, or asks for a pod of this id, may hold the lock for a moment. */
    r = lock_pod(d, VCI_LOCK_EXCLUSIVE, vcs_now_ns() + CREATE_LOCK_NS, err);
    vci_fault_point("store-locked");
    return r;
}

/* The directory of a new pod's state.  -errno. */
static int create_state(struct vci_pod_dir *d, const char *state)
{
    int r = d->pool ? 0 : make_pod_dir(d, state);
    if (r < 0)
        return r;
    vci_fault_point("store-state-dir-made");
    r = d->state_fd = open_dir(state);
    if (r < 0 && !d->pool)
        rmdir(state);
    return r;
}

static int create_in(const vc_context *ctx, int pool, const char *id, struct vci_pod_dir *ret, vc_error **err)
{
    char run[PATH_MAX], state[PATH_MAX];
    int r = both_paths(ctx, pool, id, run, state, err);
    if (r == 0)
        r = vci_store_check_roots(ctx, 1, err);
    if (r)
        return r;
    struct vci_pod_dir d;
    dir_init(&d, ctx, pool, id);
    d.run_path = strdup(run);
    if (!d.run_path)
        return vci_fail(err, VC_ERR_NOMEM, 0, "out of memory");
    while ((r = create_run(&d, err)) == 1) {
        if (d.lock_fd >= 0)
            close(d.lock_fd);
        if (d.run_fd >= 0)
            close(d.run_fd);
        d.lock_fd = d.run_fd = -1;
    }
    if (r) {
        vci_store_close(&d);
        return r;
    }
    r = create_state(&d, state);
    if (r < 0) {
        r = r == -EEXIST ? taken(id, err)
                         : vci_fail(err, vci_code_of(r), r, "pod \"%s\": cannot make the directory %s", id, state);
        unlinkat(d.run_fd, "lock", 0);
        rmdir(run);
        vci_store_close(&d);
        return r;
    }
    d.fresh = 1;
    *ret = d;
    return 0;
}

int vci_store_create(const vc_context *ctx, const char *id, struct vci_pod_dir *ret, vc_error **err)
{
    return create_in(ctx, 0, id, ret, err);
}

int vci_store_create_vm(const vc_context *ctx, const char *id, struct vci_pod_dir *ret, vc_error **err)
{
    return create_in(ctx, 1, id, ret, err);
}

static int trusted(const struct stat *st)
{
    return (st->st_uid == 0 || st->st_uid == geteuid()) && !(st->st_mode & 022);
}

static int check_stat(const struct vci_pod_dir *d, const struct stat *st, const char *path, vc_error **err)
{
    if (trusted(st))
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
    return check_stat(d, &st, path, err);
}

/* One try of vci_store_open; 1: begin again. */
static int open_once(struct vci_pod_dir *d, const char *state, int lock, int64_t deadline_ns, vc_error **err)
{
    d->state_fd = open_dir(state);
    if (d->state_fd < 0 && d->state_fd != -ENOENT)
        return vci_fail(err, vci_code_of(d->state_fd), d->state_fd, "pod \"%s\": cannot open %s", d->id, state);
    d->run_fd = open_dir(d->run_path);
    if (d->run_fd < 0 && d->run_fd != -ENOENT)
        return vci_fail(err, vci_code_of(d->run_fd), d->run_fd, "pod \"%s\": cannot open %s", d->id, d->run_path);
    if (d->state_fd < 0 && d->run_fd < 0)
        return vci_fail(err, VC_ERR_NOTFOUND, 0, "there is no %s \"%s\"", d->pool ? "VM of the pool" : "pod",
                        d->id);
    int foreign = check_owner(d, d->state_fd, state, err);
    if (foreign == 0)
        foreign = check_owner(d, d->run_fd, d->run_path, err);
    if (foreign || lock == VCI_LOCK_NONE)
        return foreign;
    if (d->run_fd < 0) {
        /* Its state is older than this boot: the lock needs a place. */
        int r = vci_make_dir(d->run_path);
        if (r < 0 && r != -EEXIST)
            return vci_fail(err, vci_code_of(r), r, "pod \"%s\": cannot make the directory %s", d->id, d->run_path);
        return 1;
    }
    int r = lock_pod(d, lock, deadline_ns, err);
    if (r)
        return r;
    /* The one who held the lock may just have made the state: a pod must not look half-made then.  (If it was removed
     * instead, the lock's file is gone too, or reading the state says so.) */
    if (d->state_fd < 0 && access(state, F_OK) == 0)
        return 1;
    return 0;
}

static int open_in(const vc_context *ctx, int pool, const char *id, int lock, int64_t deadline_ns,
                   struct vci_pod_dir *ret, vc_error **err)
{
    char run[PATH_MAX], state[PATH_MAX];
    int r = both_paths(ctx, pool, id, run, state, err);
    if (r == 0)
        r = vci_store_check_roots(ctx, 0, err);
    if (r)
        return r;
    do {
        struct vci_pod_dir d;
        dir_init(&d, ctx, pool, id);
        d.run_path = strdup(run);
        r = d.run_path ? open_once(&d, state, lock, deadline_ns, err) : vci_fail(err, VC_ERR_NOMEM, 0, "out of memory");
        if (r == 0)
            *ret = d;
        else
            vci_store_close(&d);
    } while (r == 1);
    return r;
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

/* Is anything mounted at or below the pod's run directory? */
static int mounted_below(const char *path, char *where, size_t size)
{
    vcs_autofclose FILE *f = fopen("/proc/self/mountinfo", "re");
    char *line = NULL;
    size_t room = 0, len = strlen(path);
    int found = 0;
    while (f && !found && getline(&line, &room, f) > 0) {
        /* Field 5 is the mount point; blanks in it are octal escapes, and ids hold none. */
        char *p = line, *end;
        for (int field = 1; field < 5 && p; field++)
            p = strchr(p, ' ') ? strchr(p, ' ') + 1 : NULL;
        if (!p || !(end = strchr(p, ' ')))
            continue;
        *end = '\0';
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

/* Remove what stands in the run directory, the lock excepted. */
static int empty_run(struct vci_pod_dir *dir, vc_error **err)
{
    _Alignas(struct kernel_dirent) char buf[4096];
    if (lseek(dir->run_fd, 0, SEEK_SET) < 0)
        return vci_fail(err, VC_ERR_IO, errno, "pod \"%s\": cannot read %s", dir->id, dir->run_path);
    for (;;) {
        long n = syscall(SYS_getdents64, dir->run_fd, buf, sizeof(buf));
        if (n < 0 && errno == ENOENT)
            return 0; /* its last holder has removed it meanwhile */
        if (n < 0)
            return vci_fail(err, VC_ERR_IO, errno, "pod \"%s\": cannot read %s", dir->id, dir->run_path);
        if (n == 0)
            return 0;
        for (long at = 0; at < n;) {
            const struct kernel_dirent *e = (const struct kernel_dirent *)(const void *)(buf + at);
            at += e->reclen;
            if (!strcmp(e->name, ".") || !strcmp(e->name, "..") || !strcmp(e->name, "lock"))
                continue;
            int r =
                e->type == DT_DIR || unlinkat(dir->run_fd, e->name, 0) < 0 ? vcs_remove_tree(dir->run_fd, e->name) : 0;
            if (r < 0)
                return vci_fail(err, vci_code_of(r), r, "pod \"%s\": cannot remove %s/%s", dir->id, dir->run_path,
                                e->name);
        }
    }
}

/* Does the run directory hold directories, in which something could be mounted?  A directory has a link from each. */
static int has_directories(const struct vci_pod_dir *dir)
{
    struct stat st;
    return fstat(dir->run_fd, &st) < 0 || st.st_nlink != 2;
}

/* Remove the lock and the directory.  One that waits for the lock sees that its file is gone.  A newcomer can have made
 * it anew in between, and may be removing the same directory now: so again, until it is away. */
static int remove_run(const struct vci_pod_dir *dir)
{
    for (int i = 0; i < 10000; i++) {
        struct stat st;
        unlinkat(dir->run_fd, "lock", 0);
        if (rmdir(dir->run_path) == 0 || errno == ENOENT)
            return 0;
        if (errno != ENOTEMPTY)
            return -errno;
        if (fstat(dir->run_fd, &st) == 0 && st.st_nlink == 0)
            return 0; /* what stands there now is another pod's */
    }
    return -ENOTEMPTY;
}

int vci_store_remove(struct vci_pod_dir *dir, vc_error **err)
{
    char run[PATH_MAX], state[PATH_MAX], where[512];
    int r = both_paths(dir->ctx, dir->pool, dir->id, run, state, err);
    if (r)
        return r;
    /* Looked for first: a pod that cannot be removed whole stays a pod. */
    if (dir->run_fd >= 0 && has_directories(dir) && mounted_below(dir->run_path, where, sizeof(where)))
        return vci_fail(err, VC_ERR_BUSY, 0, "pod \"%s\" cannot be removed: something is still mounted at %s", dir->id,
                        where);
    if (dir->state_fd >= 0) {
        unlinkat(dir->state_fd, state_file(dir), 0);
        vci_fault_point("store-state-unlinked");
        r = dir->pool || rmdir(state) == 0 || errno == ENOENT ? 0 : vcs_remove_tree(AT_FDCWD, state);
        if (r < 0)
            return vci_fail(err, vci_code_of(r), r, "pod \"%s\": cannot remove %s", dir->id, state);
        vci_fault_point("store-state-removed");
    }
    if (dir->run_fd >= 0) {
        r = empty_run(dir, err);
        if (r)
            return r;
        vci_fault_point("store-run-emptied");
        r = remove_run(dir);
        if (r < 0)
            return vci_fail(err, vci_code_of(r), r, "pod \"%s\": cannot remove %s", dir->id, dir->run_path);
    }
    vci_store_close(dir);
    return 0;
}

/* Add the ids below one root. */
static int list_root(const char *root, int pool, char ***ids, size_t *n, vc_error **err)
{
    char path[PATH_MAX];
    int r = below(root, pool, NULL, path, sizeof(path), err);
    if (r)
        return r;
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0 && errno == ENOENT)
        return 0;
    vcs_autoclosedir DIR *d = fd >= 0 ? fdopendir(fd) : NULL;
    if (!d) {
        r = vci_fail(err, vci_code_of(errno), errno, "cannot read %s", path);
        if (fd >= 0)
            close(fd);
        return r;
    }
    size_t room = *n;
    for (struct dirent *e; (e = readdir(d));) {
        if (vci_check_id("pod id", e->d_name, NULL))
            continue;
        if (*n == room) {
            room = room ? room * 2 : 16;
            char **more = realloc(*ids, room * sizeof(**ids));
            if (!more)
                return vci_fail(err, VC_ERR_NOMEM, 0, "out of memory");
            *ids = more;
        }
        if (!((*ids)[*n] = strdup(e->d_name)))
            return vci_fail(err, VC_ERR_NOMEM, 0, "out of memory");
        (*n)++;
    }
    return 0;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static int list_in(const vc_context *ctx, int pool, char ***ret_ids, size_t *ret_n, vc_error **err)
{
    char **ids = NULL;
    size_t n = 0;
    int r = vci_store_check_roots(ctx, 0, err);
    if (r == 0 && !pool)
        r = list_root(ctx->state_root, 0, &ids, &n, err);
    if (r == 0 && (pool || strcmp(ctx->state_root, ctx->run_root)))
        r = list_root(ctx->run_root, pool, &ids, &n, err);
    if (r) {
        vci_store_list_free(ids, n);
        return r;
    }
    if (n)
        qsort(ids, n, sizeof(*ids), by_name);
    size_t kept = 0;
    for (size_t i = 0; i < n; i++) {
        if (kept && !strcmp(ids[kept - 1], ids[i]))
            free(ids[i]);
        else
            ids[kept++] = ids[i];
    }
    *ret_ids = ids;
    *ret_n = kept;
    return 0;
}

int vci_store_list(const vc_context *ctx, char ***ret_ids, size_t *ret_n, vc_error **err)
{
    return list_in(ctx, 0, ret_ids, ret_n, err);
}

int vci_store_list_vms(const vc_context *ctx, char ***ret_ids, size_t *ret_n, vc_error **err)
{
    return list_in(ctx, 1, ret_ids, ret_n, err);
}

void vci_store_list_free(char **ids, size_t n)
{
    for (size_t i = 0; i < n; i++)
        free(ids[i]);
    free(ids);
}

static char boot_id[40];

static void read_boot_id(void)
{
    vcs_autoclose int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
    ssize_t n = fd >= 0 ? read(fd, boot_id, sizeof(boot_id) - 1) : 0;
    boot_id[n > 0 ? n : 0] = '\0';
    boot_id[strcspn(boot_id, "\n")] = '\0';
}

const char *vci_store_boot_id(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, read_boot_id);
    return boot_id;
}

/* Plain write(2): the SDK's function asks first whether it is a socket, and this is written several times per call. */
static int write_all(int fd, const char *p, size_t n)
{
    while (n > 0) {
        ssize_t done = write(fd, p, n);
        if (done < 0 && errno != EINTR)
            return -errno;
        if (done > 0) {
            p += done;
            n -= (size_t)done;
        }
    }
    return 0;
}

void vci_store_begin(struct vci_out *out)
{
    vci_out_open(out, NULL, '{');
    vci_out_int(out, "version", STATE_VERSION);
    vci_out_str(out, "boot_id", vci_store_boot_id(), strlen(vci_store_boot_id()));
    vci_out_open(out, "data", '{');
}

/* The end of a record, and is it one that can be read again? */
static int complete(const struct vci_pod_dir *dir, struct vci_out *out, vc_error **err)
{
    vci_out_close(out, '}');
    vci_out_close(out, '}');
    vci_out_close(out, '\n');
    if (out->bad)
        return vci_fail(err, VC_ERR_NOMEM, 0, "out of memory");
    if (out->len > STATE_MAX)
        return vci_fail(err, VC_ERR_RESOURCE, 0,
                        "pod \"%s\": its record would have %zu bytes, and %u are the most: its containers have too much in "
                        "their annotations",
                        dir->id, out->len, STATE_MAX);
    return 0;
}

static int make_state_dir(struct vci_pod_dir *dir, vc_error **err)
{
    char run[PATH_MAX], state[PATH_MAX];
    int r = both_paths(dir->ctx, dir->pool, dir->id, run, state, err);
    if (r)
        return r;
    r = vci_make_dir(state);
    if (r == 0 || r == -EEXIST)
        r = dir->state_fd = open_dir(state);
    return r < 0 ? vci_fail(err, vci_code_of(r), r, "pod \"%s\": cannot make %s", dir->id, state) : 0;
}

/* Replace the state file as a whole. */
static int write_state(struct vci_pod_dir *dir, const struct vci_out *out, vc_error **err)
{
    char path[PATH_MAX];
    int r = dir->state_fd < 0 ? make_state_dir(dir, err) : 0;
    if (r)
        return r;
    /* The lock is held, so a fixed name for the temporary file does, and what a killed caller left is overwritten. */
    vcs_autoclose int fd =
        openat(dir->state_fd, STATE_TMP, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        r = -errno;
    if (r == 0)
        r = write_all(fd, out->text, out->len);
    vci_fault_point("store-state-written");
    if (r == 0 && renameat(dir->state_fd, STATE_TMP, dir->state_fd, state_file(dir)) < 0)
        r = -errno;
    if (r < 0) {
        if (fd >= 0)
            unlinkat(dir->state_fd, STATE_TMP, 0);
        return vci_fail(err, vci_code_of(r), r, "pod \"%s\": cannot write %s", dir->id, state_path(dir, path));
    }
    vci_fault_point("store-state-renamed");
    return 0;
}

int vci_store_write(struct vci_pod_dir *dir, struct vci_out *out, vc_error **err)
{
    int r = complete(dir, out, err);
    if (r == 0)
        r = write_state(dir, out, err);
    if (r == 0)
        vci_out_done(&dir->later); /* it is out of date */
    vci_out_done(out);
    return r;
}

int vci_store_write_later(struct vci_pod_dir *dir, struct vci_out *out, vc_error **err)
{
    int r = complete(dir, out, err);
    if (r) {
        vci_out_done(out);
        return r;
    }
    vci_out_done(&dir->later);
    dir->later = *out;
    *out = (struct vci_out){ 0 };
    return 0;
}

int vci_store_write_now(struct vci_pod_dir *dir, vc_error **err)
{
    if (!dir->later.len)
        return 0;
    int r = write_state(dir, &dir->later, err);
    if (r == 0)
        vci_out_done(&dir->later);
    return r;
}

/* Is it a plain file that nobody else may have written?  A set-aside or planted one is not acted on. */
static int check_state_file(const struct vci_pod_dir *dir, int fd, size_t *ret_size, vc_error **err)
{
    struct stat st;
    char path[PATH_MAX];
    if (fstat(fd, &st) < 0)
        return vci_fail(err, VC_ERR_IO, errno, "pod \"%s\": cannot look at %s", dir->id, state_path(dir, path));
    if (!S_ISREG(st.st_mode))
        return vci_store_corrupt(dir, "it is no plain file", err);
    if (st.st_size > STATE_MAX)
        return vci_store_corrupt(dir, "it is larger than any state is", err);
    *ret_size = (size_t)st.st_size;
    return trusted(&st) ? 0 : check_stat(dir, &st, state_path(dir, path), err);
}

int vci_store_corrupt(const struct vci_pod_dir *dir, const char *why, vc_error **err)
{
    char path[PATH_MAX];
    return vci_fail(err, VC_ERR_CORRUPT, 0, "%s \"%s\": %s cannot be used: %s; %s",
                    dir->pool ? "VM of the pool" : "pod", dir->id, state_path(dir, path), why,
                    dir->pool ? "gc or draining the pool ends it" : "delete the pod with force");
}

/* There is no state file. */
static int no_state(const struct vci_pod_dir *dir, vc_error **err)
{
    if (dir->lock_fd < 0 && dir->run_fd >= 0) {
        char who[128];
        vcs_autoclose int lock = openat(dir->run_fd, "lock", O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
        if (lock >= 0 && lock_holder(lock, who, sizeof(who)))
            return vci_fail(err, VC_ERR_NOTFOUND, 0, "pod \"%s\" is being made or removed by %s", dir->id, who);
    }
    return vci_fail(err, VC_ERR_NOTFOUND, 0,
                    "pod \"%s\" has no state: making it was interrupted; delete it with force", dir->id);
}

/* The whole file into doc->text. */
static int read_state(struct vci_pod_dir *dir, struct vci_doc *doc, size_t *ret_len, vc_error **err)
{
    char path[PATH_MAX];
    size_t size = 0, len = 0;
    vcs_autoclose int fd =
        dir->state_fd < 0 ? -1 : openat(dir->state_fd, state_file(dir), O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (fd < 0 && (dir->state_fd < 0 || errno == ENOENT))
        return no_state(dir, err);
    if (fd < 0)
        return vci_fail(err, vci_code_of(errno), errno, "pod \"%s\": cannot open %s", dir->id, state_path(dir, path));
    int r = check_state_file(dir, fd, &size, err);
    char *text = r ? NULL : vci_doc_room(doc, size);
    if (!text)
        return r ? r : vci_fail(err, VC_ERR_NOMEM, 0, "out of memory");
    while (len < size) {
        ssize_t n = read(fd, text + len, size - len);
        if (n < 0 && errno != EINTR)
            return vci_fail(err, VC_ERR_IO, errno, "pod \"%s\": cannot read %s", dir->id, state_path(dir, path));
        if (n == 0)
            break;
        len += n > 0 ? (size_t)n : 0;
    }
    *ret_len = len;
    return 0;
}

/* Is what was read a state, and one of ours? */
static int check_state(const struct vci_pod_dir *dir, const struct vci_doc *doc, const struct vci_rec **ret_data,
                       int *ret_boot_same, vc_error **err)
{
    const struct vci_rec *all = doc->rec, *version = vci_rec_get(all, "version", VCI_REC_INT);
    const struct vci_rec *data = vci_rec_get(all, "data", VCI_REC_OBJECT);
    const char *boot = vci_rec_str(all, "boot_id");
    char path[PATH_MAX];
    if (!version)
        return vci_store_corrupt(dir, "it is no state of a pod (it has no version)", err);
    if (version->num > STATE_VERSION)
        return vci_fail(err, VC_ERR_UNSUPPORTED, 0,
                        "pod \"%s\": %s was written by a newer release (version %lld; this one reads up to %d)", dir->id,
                        state_path(dir, path), (long long)version->num, STATE_VERSION);
    if (version->num < 1 || !boot || !data)
        return vci_store_corrupt(dir, "it is no state of a pod (\"version\", \"boot_id\" and \"data\" are wanted)", err);
    *ret_data = data;
    if (ret_boot_same)
        *ret_boot_same = !strcmp(boot, vci_store_boot_id());
    return 0;
}

int vci_store_read(struct vci_pod_dir *dir, struct vci_doc *doc, const struct vci_rec **ret_data, int *ret_boot_same,
                   vc_error **err)
{
    size_t len = 0;
    char why[160];
    int r = read_state(dir, doc, &len, err);
    if (r)
        return r;
    r = vci_doc_parse(doc, len);
    if (r == -ENOMEM)
        return vci_fail(err, VC_ERR_NOMEM, 0, "out of memory");
    if (r < 0) {
        snprintf(why, sizeof(why), len ? "%s at byte %zu" : "it is empty", doc->why, doc->at);
        return vci_store_corrupt(dir, why, err);
    }
    return check_state(dir, doc, ret_data, ret_boot_same, err);
}
