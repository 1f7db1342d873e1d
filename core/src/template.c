/* SPDX-License-Identifier: Apache-2.0 */
/* template.c: finding, checking and starting from saved VMs. */
#include "template.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>

#include "lib/buf.h"
#include "lib/io.h"
#include "lib/utf8.h"

#define PLUGIN_KEY  (16u * 1024)
#define TABLE_MAX   65536u
#define FAILED_S    300 /* how long nobody tries again */
#define REMOVE_NS   (INT64_C(5) * 1000000000) /* for those that start from it just now */
#define MADE_FORMAT 1                         /* of what stands in a template's directory beside vm/ */

uint32_t vci_template_mode(const struct vci_pod *pod)
{
    if (pod->vm_template)
        return pod->vm_template;
    const char *word = vci_conf_str(pod->ctx->conf, "template");
    return word[0] == 'o' ? VC_TEMPLATE_OFF : word[0] == 'r' ? VC_TEMPLATE_REQUIRE : VC_TEMPLATE_AUTO;
}

/* ---- the extension ---- */

int vci_template_ops(struct vci_inst *hv, struct vc_template_ops *ret, vc_error **err)
{
    const struct vci_plugin *p = hv->plugin;
    const void *table = p->inst.ext ? p->inst.ext(hv->handle, VC_EXT_TEMPLATE) : NULL;
    uint32_t head[2]; /* size, reserved */
    if (!table)
        return vci_fail(err, VC_ERR_UNSUPPORTED, 0, "hypervisor \"%s\" has no templates: its VMs boot", p->desc.name);
    memcpy(head, table, sizeof head);
    if (head[0] < offsetof(struct vc_template_ops, start) + sizeof ret->start || head[0] > TABLE_MAX ||
        head[0] % sizeof(void *))
        return vci_fail(err, VC_ERR_INVAL, 0,
                        "%s: the size of its table \"" VC_EXT_TEMPLATE "\" is %u; it must be a multiple of %zu from %zu "
                        "to %u: build it with the SDK's headers",
                        p->path, head[0], sizeof(void *), sizeof *ret, TABLE_MAX);
    if (head[1] && p->desc.abi_minor <= VC_ABI_MINOR)
        return vci_fail(err, VC_ERR_INVAL, 0, "%s: \"reserved\" of its table \"" VC_EXT_TEMPLATE "\" is not 0", p->path);
    memset(ret, 0, sizeof *ret);
    memcpy(ret, table, head[0] < sizeof *ret ? head[0] : sizeof *ret);
    const char *missing = !ret->key     ? "key"
                          : !ret->valid ? "valid"
                          : !ret->boot  ? "boot"
                          : !ret->save  ? "save"
                          : !ret->start ? "start"
                                        : NULL;
    if (missing)
        return vci_fail(err, VC_ERR_INVAL, 0, "%s: the member \"%s\" of its table \"" VC_EXT_TEMPLATE "\" is missing",
                        p->path, missing);
    return 0;
}

/* ---- keys ---- */

/* Lines of text, each NAME=VALUE. */
static int lines_ok(const char *text, size_t len)
{
    if (!len || text[len - 1] != '\n')
        return 0;
    for (const char *line = text, *end; line < text + len; line = end + 1) {
        end = memchr(line, '\n', len - (size_t)(line - text));
        const char *equals = memchr(line, '=', (size_t)(end - line));
        if (!equals || equals == line || !vcs_utf8_line(line, (size_t)(end - line)))
            return 0;
    }
    return 1;
}

/* Not a cryptographic one: whose key it is, is decided by comparing the keys. */
void vci_template_digest(const char *key, char ret_id[VCI_TEMPLATE_ID + 1])
{
    uint64_t a = UINT64_C(0xcbf29ce484222325), b = UINT64_C(0x9ae16a3b2f90404f);
    for (const unsigned char *p = (const unsigned char *)key; *p; p++) {
        a = (a ^ *p) * UINT64_C(0x100000001b3);
        b = (b + *p) * UINT64_C(0x9e3779b97f4a7c15);
        b ^= b >> 29;
    }
    for (int i = 0; i < 2; i++) {
        a = (a ^ (a >> 33)) * UINT64_C(0xff51afd7ed558ccd);
        b = (b ^ (b >> 31)) * UINT64_C(0xc4ceb9fe1a85ec53);
    }
    snprintf(ret_id, VCI_TEMPLATE_ID + 1, "%016llx%016llx", (unsigned long long)(a ^ (a >> 33)),
             (unsigned long long)(b ^ (b >> 33)));
}

static int has_templates(struct vci_pod *pod, struct vci_inst *hv, struct vc_template_ops *ops, int64_t deadline,
                         vc_error **err)
{
    int rc = vci_template_ops(hv, ops, err);
    if (rc < 0)
        return rc;
    struct vci_inst *agent = vci_stack_get(pod, VC_KIND_AGENT, deadline, err);
    if (!agent)
        return vci_rc(err);
    if (!(agent->caps & (VC_AG_CAP_TEMPLATE | VC_AG_CAP_NO_GUEST)))
        return vci_fail(err, VC_ERR_UNSUPPORTED, 0,
                        "agent \"%s\" cannot renew a guest that comes from a template: its VMs boot",
                        pod->plugin[VC_KIND_AGENT]);
    return 0;
}

int vci_template_key(struct vci_pod *pod, int64_t deadline, char **ret_key, char ret_id[VCI_TEMPLATE_ID + 1],
                     vc_error **err)
{
    struct vc_template_ops ops;
    struct vci_inst *hv = vci_stack_get(pod, VC_KIND_HYPERVISOR, deadline, err);
    int rc = hv ? has_templates(pod, hv, &ops, deadline, err) : vci_rc(err);
    if (rc < 0)
        return rc;
    vc_sink *sink = vci_sink_new();
    if (!sink)
        return vci_fail(err, VC_ERR_NOMEM, 0, "out of memory");
    size_t len = 0;
    rc = VCI_CALL_TEMPLATE(hv, &ops, deadline, err, key, sink);
    const char *text = rc == 0 ? vci_sink_str(sink, &len) : NULL;
    char *key = NULL;
    if (rc == 0 && (!text || len > PLUGIN_KEY || !lines_ok(text, len))) {
        rc = vci_fail(err, VC_ERR_INTERNAL, 0,
                      "hypervisor plugin \"%s\": the key of its template must be 1 to %u bytes of UTF-8 in lines of the "
                      "form name=value",
                      pod->plugin[VC_KIND_HYPERVISOR], PLUGIN_KEY);
    } else if (rc == 0 && asprintf(&key, "format=%d\nhypervisor=%s %s\nagent=%s\nshare=%s\n%s", MADE_FORMAT,
                                   hv->plugin->desc.name, hv->plugin->desc.version, pod->plugin[VC_KIND_AGENT],
                                   vci_rootfs_share_type(pod) ? vci_rootfs_share_type(pod) : "none",
                                   text) < 0) {
        rc = vci_fail(err, VC_ERR_NOMEM, 0, "out of memory");
    }
    vci_sink_free(sink);
    if (rc < 0)
        return rc;
    vci_template_digest(key, ret_id);
    *ret_key = key;
    return 0;
}

int vci_template_think(struct vci_pod *pod, vc_context *ctx, const struct vci_pod *like, vc_error **err)
{
    vci_pod_init(pod, ctx);
    pod->dir.ctx = ctx;
    pod->dir.unmade = 1;
    snprintf(pod->dir.id, sizeof pod->dir.id, "template");
    if (asprintf(&pod->dir.run_path, "%s/pods/%s", ctx->run_root, pod->dir.id) < 0) {
        pod->dir.run_path = NULL;
        return vci_fail(err, VC_ERR_NOMEM, 0, "out of memory");
    }
    int rc = like ? vci_pod_take_choice(pod, (const char *const *)like->plugin, (const char *const *)like->settings, err) : 0;
    return rc < 0 ? rc : vci_pod_plan(pod, NULL, err);
}

/* ---- the directory ---- */

int vci_template_root(vc_context *ctx, int make, int *ret_fd, vc_error **err)
{
    int r = make ? vci_make_dir(ctx->template_dir) : 0;
    if (r < 0 && r != -EEXIST)
        return vci_fail(err, vci_code_of(r), r, "cannot make the directory of templates, %s", ctx->template_dir);
    vci_fault_point("template-root");
    return vci_open_trusted(ctx->template_dir, O_RDONLY | O_DIRECTORY, ret_fd, err);
}

/* PERM unless it is of root or the caller, and nobody else may change it (with `closed`: get at it at all). */
static int check_mine(const struct stat *st, const char *path, const char *name, int closed, vc_error **err)
{
    const char *slash = name[0] ? "/" : "";
    if (st->st_uid != 0 && st->st_uid != geteuid())
        return vci_fail(err, VC_ERR_PERM, 0,
                        "%s%s%s belongs to user %u: a template must belong to root or to you (user %u); remove it", path,
                        slash, name, (unsigned)st->st_uid, (unsigned)geteuid());
    if (st->st_mode & (closed ? 077 : 022))
        return vci_fail(err, VC_ERR_PERM, 0, "%s%s%s has mode %04o: others may %s it; remove it, or set mode %04o", path,
                        slash, name, (unsigned)(st->st_mode & 07777), closed ? "look into or change" : "change",
                        closed ? 0700u : 0600u);
    return 0;
}

static int check_file(int dir, const char *path, const char *name, struct vci_template_size *size, vc_error **err)
{
    struct stat st;
    if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
        return vci_fail(err, errno == ENOENT ? VC_ERR_CORRUPT : vci_code_of(errno), errno, "cannot look at %s/%s", path,
                        name);
    if (!S_ISREG(st.st_mode))
        return vci_fail(err, VC_ERR_PERM, 0, "%s/%s is no plain file, as all files of a template must be; remove it", path,
                        name);
    size->disk += (uint64_t)st.st_blocks * 512;
    if (strcmp(name, "key") != 0 && (uint64_t)st.st_size > size->largest)
        size->largest = (uint64_t)st.st_size;
    return check_mine(&st, path, name, 0, err);
}

static int check_vm(int fd, const char *path, struct vci_template_size *size, vc_error **err)
{
    char vm[PATH_MAX];
    struct stat st;
    snprintf(vm, sizeof vm, "%s/vm", path);
    vcs_autoclose int dir = openat(fd, "vm", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (dir < 0 || fstat(dir, &st) < 0)
        return vci_fail(err,
                        errno == ENOENT                       ? VC_ERR_CORRUPT
                        : errno == ELOOP || errno == ENOTDIR ? VC_ERR_PERM
                                                              : vci_code_of(errno),
                        errno, "cannot use the directory %s", vm);
    int rc = check_mine(&st, vm, "", 1, err);
    DIR *d = rc == 0 ? fdopendir(dir) : NULL;
    if (rc == 0 && !d)
        return vci_fail(err, VC_ERR_NOMEM, errno, "cannot read %s", vm);
    if (rc < 0)
        return rc;
    dir = -1; /* it went to `d` */
    for (struct dirent *e; rc == 0 && (e = readdir(d));)
        if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0)
            rc = check_file(dirfd(d), vm, e->d_name, size, err);
    closedir(d);
    return rc;
}

/* The text of its key, NULL-terminated. */
static int read_key(int fd, const char *path, char **ret, struct vci_template_size *size, vc_error **err)
{
    int rc = check_file(fd, path, "key", size, err);
    if (rc < 0)
        return rc;
    vcs_autoclose int file = openat(fd, "key", O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    vcs_autofree char *text = malloc(VCI_TEMPLATE_KEY + 1);
    if (!text)
        return vci_fail(err, VC_ERR_NOMEM, 0, "out of memory");
    ssize_t n = file < 0 ? -errno : vcs_read_full(file, text, VCI_TEMPLATE_KEY + 1);
    if (n < 0)
        return vci_fail(err, vci_code_of((int)n), (int)n, "cannot read %s/key", path);
    if (n > VCI_TEMPLATE_KEY || !lines_ok(text, (size_t)n))
        return vci_fail(err, VC_ERR_CORRUPT, 0,
                        "%s/key is damaged: it must be lines of the form name=value, %d bytes at most", path,
                        VCI_TEMPLATE_KEY);
    text[n] = '\0';
    *ret = VCS_TAKE_PTR(text);
    return 0;
}

int vci_template_check(int fd, const char *path, char **ret_key, struct vci_template_size *ret_size, vc_error **err)
{
    struct stat st;
    struct vci_template_size size = { 0 };
    vcs_autofree char *key = NULL;
    if (fstat(fd, &st) < 0)
        return vci_fail(err, VC_ERR_IO, errno, "cannot look at %s", path);
    int rc = check_mine(&st, path, "", 1, err);
    int k = read_key(fd, path, &key, &size, err);
    int v = rc == 0 && k == 0 ? check_vm(fd, path, &size, err) : ret_size ? check_vm(fd, path, &size, NULL) : 0;
    rc = rc ? rc : k ? k : v;
    if (ret_key)
        *ret_key = VCS_TAKE_PTR(key);
    if (ret_size)
        *ret_size = size;
    return rc;
}

static char *joined(const char *dir, const char *name)
{
    char *path;
    return asprintf(&path, "%s/%s", dir, name) < 0 ? NULL : path;
}

int vci_template_open(vc_context *ctx, const char *id, const char *key, int *ret_fd, char **ret_dir, vc_error **err)
{
    vcs_autofree char *path = NULL, *have = NULL, *vm = NULL;
    vcs_autoclose int fd = -1;
    struct stat mine, now;
    path = joined(ctx->template_dir, id);
    vm = path ? joined(path, "vm") : NULL;
    if (!vm)
        return vci_fail(err, VC_ERR_NOMEM, 0, "out of memory");
    int rc = vci_open_trusted(path, O_RDONLY | O_DIRECTORY, &fd, err);
    if (rc < 0)
        return rc;
    if (flock(fd, LOCK_SH | LOCK_NB) < 0)
        return errno == EWOULDBLOCK
                   ? vci_fail(err, VC_ERR_NOTFOUND, 0, "the template %s is just being made or removed", path)
                   : vci_fail(err, VC_ERR_IO, errno, "cannot lock the template %s", path);
    vci_fault_point("template-shared");
    /* What was opened must be what the path names, from now on and as long as the lock is held. */
    if (fstat(fd, &mine) < 0 || lstat(path, &now) < 0 || mine.st_ino != now.st_ino || mine.st_dev != now.st_dev)
        return vci_fail(err, VC_ERR_NOTFOUND, 0, "the template %s has just been removed", path);
    rc = vci_template_check(fd, path, &have, NULL, err);
    if (rc < 0)
        return rc;
    if (key && strcmp(key, have) != 0)
        return vci_fail(err, VC_ERR_CORRUPT, 0, "the template %s is not what its name says: its key is another one", path);
    *ret_fd = VCS_TAKE_FD(fd);
    *ret_dir = VCS_TAKE_PTR(vm);
    return 0;
}

int vci_template_find(vc_context *ctx, const char *id, const char *key, char **ret_dir, vc_error **err)
{
    vcs_autoclose int fd = -1;
    return vci_template_open(ctx, id, key, &fd, ret_dir, err);
}

/* ---- locks, removing ---- */

int vci_template_lock(vc_context *ctx, int root, const char *id, int64_t deadline, int *ret_fd, vc_error **err)
{
    char name[VCI_TEMPLATE_ID + 8], what[PATH_MAX];
    snprintf(name, sizeof name, "%s.lock", id);
    snprintf(what, sizeof what, "%s/%s", ctx->template_dir, name);
    for (;;) {
        struct stat st;
        vcs_autoclose int fd = openat(root, name, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
        if (fd < 0)
            return vci_fail(err, vci_code_of(errno), errno, "cannot make %s", what);
        int rc = vci_wait_flock(ctx, fd, deadline, 1, what, err);
        if (rc < 0)
            return rc;
        if (fstat(fd, &st) < 0)
            return vci_fail(err, VC_ERR_IO, errno, "cannot look at %s", what);
        if (st.st_nlink == 0) /* its last holder removed it */
            continue;
        vci_fault_point("template-locked");
        *ret_fd = VCS_TAKE_FD(fd);
        return 0;
    }
}

void vci_template_unlock(int root, const char *id, int fd)
{
    char name[VCI_TEMPLATE_ID + 8];
    snprintf(name, sizeof name, "%s.lock", id);
    unlinkat(root, name, 0);
    close(fd);
}

int vci_template_remove(vc_context *ctx, int root, const char *id, int64_t deadline, vc_error **err)
{
    char what[PATH_MAX], going[32], tail[9];
    vcs_autoclose int fd = openat(root, id, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    struct stat mine, now;
    if (fd < 0)
        return vci_fail(err, vci_code_of(errno), errno, "cannot open the template %s/%s", ctx->template_dir, id);
    snprintf(what, sizeof what, "the template %s/%s", ctx->template_dir, id);
    int64_t most = vcs_now_ns() + REMOVE_NS;
    int rc = vci_wait_flock(ctx, fd, deadline && deadline < most ? deadline : most, 0, what, err);
    if (rc < 0)
        return rc;
    if (fstat(fd, &mine) < 0 || fstatat(root, id, &now, AT_SYMLINK_NOFOLLOW) < 0 || mine.st_ino != now.st_ino)
        return vci_fail(err, VC_ERR_NOTFOUND, 0, "%s has just been removed", what);
    vci_make_id(tail, 8);
    snprintf(going, sizeof going, VCI_TEMPLATE_GOING "%s", tail);
    vci_fault_point("template-remove");
    if (renameat(root, id, root, going) < 0)
        return vci_fail(err, vci_code_of(errno), errno, "cannot remove %s", what);
    vci_fault_point("template-renamed-away");
    int r = vcs_remove_tree(root, going);
    vci_fault_point("template-removed");
    return r < 0 ? vci_fail(err, vci_code_of(r), r, "cannot remove %s/%s", ctx->template_dir, going) : 0;
}

void vci_template_note_failure(int root, const char *id, const char *why)
{
    char name[VCI_TEMPLATE_ID + 8];
    snprintf(name, sizeof name, "%s.failed", id);
    if (why)
        vcs_write_file_atomic(root, name, why, strlen(why), 0600, 0);
    else
        unlinkat(root, name, 0);
}

void vci_template_failure(int root, const char *id, char *buf, size_t size)
{
    char name[VCI_TEMPLATE_ID + 8];
    struct stat st;
    struct timespec now;
    snprintf(name, sizeof name, "%s.failed", id);
    buf[0] = '\0';
    vcs_autoclose int fd = openat(root, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    clock_gettime(CLOCK_REALTIME, &now);
    if (fd < 0 || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || st.st_mtim.tv_sec > now.tv_sec ||
        now.tv_sec - st.st_mtim.tv_sec > FAILED_S)
        return;
    ssize_t n = vcs_read_full(fd, buf, size - 1);
    buf[n > 0 ? n : 0] = '\0';
}

void vci_template_sweep(vc_context *ctx, int root, void (*report)(void *arg, const char *id, const char *what), void *arg)
{
    int copy = openat(root, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    vcs_autoclosedir DIR *d = copy >= 0 ? fdopendir(copy) : NULL;
    if (!d) {
        if (copy >= 0)
            close(copy);
        return;
    }
    for (struct dirent *e; (e = readdir(d));) {
        struct stat st;
        size_t n = strlen(e->d_name);
        int half = strncmp(e->d_name, VCI_TEMPLATE_MAKING, sizeof VCI_TEMPLATE_MAKING - 1) == 0 ||
                   strncmp(e->d_name, VCI_TEMPLATE_GOING, sizeof VCI_TEMPLATE_GOING - 1) == 0;
        int lock = n == VCI_TEMPLATE_ID + 5 && strcmp(e->d_name + n - 5, ".lock") == 0;
        if (report && ((n == VCI_TEMPLATE_ID + 7 && strcmp(e->d_name + n - 7, ".failed") == 0) ||
                       strncmp(e->d_name, ".tmp-", 5) == 0)) /* such a note, half-written */
            unlinkat(root, e->d_name, 0);
        if (!half && !lock)
            continue;
        /* Whoever is at it holds its lock. */
        vcs_autoclose int fd = openat(root, e->d_name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
        if (fd < 0 || flock(fd, LOCK_EX | LOCK_NB) < 0)
            continue;
        vci_fault_point("template-sweep");
        /* Its holder may have removed it meanwhile: what has this name now is another one's. */
        if (fstat(fd, &st) < 0 || st.st_nlink == 0)
            continue;
        int r = half ? vcs_remove_tree(root, e->d_name) : unlinkat(root, e->d_name, 0) < 0 ? -errno : 0;
        if (r < 0 && r != -ENOENT)
            vci_log(ctx, VC_LOG_WARN, NULL, "cannot remove %s/%s: %s", ctx->template_dir, e->d_name, strerror(-r));
        else if (half && report)
            report(arg, e->d_name, "removed a half-made template");
    }
}

/* ---- starting from one ---- */

int vci_template_may_boot(int rc)
{
    return rc != VC_ERR_CANCELLED && rc != VC_ERR_NOMEM;
}

int vci_template_at_fault(int rc)
{
    return rc == VC_ERR_CORRUPT || rc == VC_ERR_PEER || rc == VC_ERR_PROTOCOL || rc == VC_ERR_TIMEOUT;
}

/* The template is no good: the next pod makes it anew. */
void vci_template_drop(vc_context *ctx, const char *id)
{
    vci_autoerror vc_error *e = NULL;
    vcs_autoclose int root = -1;
    int rc = vci_template_root(ctx, 0, &root, &e);
    if (rc == 0)
        rc = vci_template_remove(ctx, root, id, 0, &e);
    if (rc < 0 && rc != VC_ERR_NOTFOUND)
        vci_log(ctx, VC_LOG_WARN, NULL, "%s", vc_error_text(e));
}

int64_t vci_template_deadline(int64_t deadline)
{
    int64_t now = vcs_now_ns();
    return deadline ? now + (deadline - now) / 2 : now + INT64_C(30) * 1000000000;
}

/* There is none just now: wait for whoever is making it.  NOTFOUND: nobody is. */
static int await_maker(vc_context *ctx, const char *id, int64_t deadline, vc_error **err)
{
    char name[VCI_TEMPLATE_ID + 8];
    vcs_autoclose int root = -1;
    int lock = -1, rc = vci_template_root(ctx, 0, &root, err);
    snprintf(name, sizeof name, "%s.lock", id);
    if (rc == 0 && faccessat(root, name, F_OK, AT_SYMLINK_NOFOLLOW) < 0)
        rc = VC_ERR_NOTFOUND;
    if (rc == 0)
        rc = vci_template_lock(ctx, root, id, deadline, &lock, err);
    if (rc == 0)
        vci_template_unlock(root, id, lock);
    return rc;
}

/* The pod's template, opened; made when there is none and that is allowed.  1: the VM has to boot. */
static int get_template(struct vci_pod *pod, const char *key, const char *id, int64_t deadline, int *ret_fd,
                        char **ret_dir, vc_error **err)
{
    vc_context *ctx = pod->ctx;
    int must = vci_template_mode(pod) == VC_TEMPLATE_REQUIRE;
    for (int made = 0;; made++) {
        char made_id[VCI_TEMPLATE_ID + 1];
        int rc = vci_template_open(ctx, id, key, ret_fd, ret_dir, err);
        if (rc == 0)
            return 0;
        if (must && rc == VC_ERR_NOTFOUND) {
            vc_error_free(VCS_TAKE_PTR(*err));
            rc = made ? rc : await_maker(ctx, id, vci_template_deadline(deadline), err);
            if (rc == 0)
                continue;
            if (rc != VC_ERR_NOTFOUND)
                return rc;
            vc_error_free(VCS_TAKE_PTR(*err));
            return vci_fail(err, VC_ERR_CONFIG, 0,
                            "there is no template %s for pod \"%s\" in %s: make it with `virtc template create`, or do "
                            "not require one",
                            id, pod->dir.id, ctx->template_dir);
        }
        if (must || !vci_template_may_boot(rc))
            return rc;
        vci_autoerror vc_error *e = VCS_TAKE_PTR(*err);
        int lately = 0; /* what is known of a failure need not be said again */
        if (rc == VC_ERR_NOTFOUND && !made && !(vci_stack_caps(pod, VC_KIND_HYPERVISOR) & VC_HV_CAP_NO_GUEST)) {
            vc_error_free(VCS_TAKE_PTR(e));
            rc = vci_template_make_for(ctx, 0, key, pod, vci_template_deadline(deadline), made_id, &e);
            if (rc == 0)
                continue;
            lately = rc == VC_ERR_STATE;
            if (!vci_template_may_boot(rc)) {
                *err = VCS_TAKE_PTR(e);
                return rc;
            }
        }
        vci_log(ctx, rc == VC_ERR_NOTFOUND ? VC_LOG_DEBUG : lately ? VC_LOG_INFO : VC_LOG_WARN, pod->dir.id,
                "the VM boots, for want of a template: %s", vc_error_text(e));
        if (rc == VC_ERR_CORRUPT)
            vci_template_drop(ctx, id);
        return 1;
    }
}

/* A hypervisor instance that failed half way is of no use any more. */
static int fresh_instance(struct vci_pod *pod, int64_t deadline, vc_error **err)
{
    vci_vm_drop(pod, VC_KIND_HYPERVISOR);
    return vci_vm_describe(pod, deadline, err);
}

int vci_template_start(struct vci_pod *pod, const char *key, const char *id, int64_t deadline,
                       struct vc_template_started *ret_started, vc_error **err)
{
    struct vci_inst *hv = &pod->inst[VC_KIND_HYPERVISOR];
    struct vc_template_ops ops;
    struct vc_template_started started = { .size = sizeof started };
    vcs_autofree char *dir = NULL;
    vcs_autoclose int fd = -1;
    int rc = get_template(pod, key, id, deadline, &fd, &dir, err);
    if (rc == 0)
        rc = vci_template_ops(hv, &ops, err);
    if (rc < 0 || !dir)
        return rc;
    vci_fault_point("template-found");
    rc = VCI_CALL_TEMPLATE(hv, &ops, vci_template_deadline(deadline), err, start, dir, &started);
    vci_fault_point("template-started");
    if (rc == 0) {
        snprintf(pod->template_id, sizeof pod->template_id, "%s", id);
        *ret_started = started;
        return 0;
    }
    vci_context(err, "template %s", id);
    if (vci_template_mode(pod) == VC_TEMPLATE_REQUIRE || !vci_template_may_boot(rc))
        return rc;
    vci_autoerror vc_error *e = VCS_TAKE_PTR(*err);
    vci_log(pod->ctx, VC_LOG_WARN, pod->dir.id, "the VM boots, since it does not start from its template: %s%s",
            vc_error_text(e), vci_template_at_fault(rc) ? "; the template is removed, and the next pod makes it anew" : "");
    vcs_cleanup_fd(&fd);
    fd = -1;
    if (vci_template_at_fault(rc))
        vci_template_drop(pod->ctx, id);
    rc = fresh_instance(pod, deadline, err);
    return rc < 0 ? rc : 1;
}
