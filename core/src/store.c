/* SPDX-License-Identifier: Apache-2.0 */
/* store.c: pods on disk: their names, and the files with their state.
 *
 * Nothing here calls fsync.  What a pod is made of (processes, mounts, sockets) does not survive a reboot, and the
 * state carries the boot id, so a power cut can at worst lose or truncate the record of a pod that is gone anyway: then
 * it is reported as CORRUPT and can be deleted by force. */
#include "store.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "instance.h"
#include "lib/buf.h"
#include "lib/io.h"

#define STATE_VERSION 1
#define STATE_MAX     (16u * 1024 * 1024)
#define STATE_TMP     "pod.json.new"
/* What a record begins with, and one character: '0' and the plugins that are being ended, by bits.  It is the one thing in a
 * record that is changed where it stands. */
#define ENDING_HEAD   "{\"ending\":\""
#define ENDING_AT     (sizeof(ENDING_HEAD) - 1)

/* ROOT/pods[/ID], or of the pool, into buf. */
static int below(const char *root, int pool, const char *id, char *buf, size_t size, vc_error **err)
{
    if (vci_join(buf, size, root, pool ? "/pool" : "/pods", id ? "/" : "", id ? id : "", NULL) < 0)
        return vci_fail(err, VC_ERR_CONFIG, 0, "the path below %s is too long (%zu bytes are possible)", root,
                        size - 1);
    return 0;
}

int vci_store_paths(const vc_context *ctx, int pool, const char *id, char run[PATH_MAX], char state[PATH_MAX],
                      vc_error **err)
{
    int r = vci_check_id(pool ? "id of a VM of the pool" : "pod id", id, err);
    if (r == 0)
        r = below(ctx->run_root, pool, id, run, PATH_MAX, err);
    return r ? r : below(pool ? ctx->run_root : ctx->state_root, pool, id, state, PATH_MAX, err);
}

const char *vci_store_state_file(const struct vci_pod_dir *d)
{
    return d->pool ? "vm.json" : "pod.json";
}

/* The whole name of its state file, for messages. */
static const char *state_path(const struct vci_pod_dir *d, char buf[PATH_MAX])
{
    snprintf(buf, PATH_MAX, "%s/%s/%s/%s", d->pool ? d->ctx->run_root : d->ctx->state_root, d->pool ? "pool" : "pods",
             d->id, vci_store_state_file(d));
    return buf;
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
    vci_out_str(out, "ending", "0", 1);
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

/* ---- which plugin is being ended ---- */

static char ending_code(const struct vci_pod_dir *dir)
{
    return (char)('0' + (dir->ending >> 1));
}

/* What the record says; 0 when that is nothing that is written there. */
static unsigned ending_of(const char *code)
{
    return code[0] >= '0' && code[0] < '0' + 32 && !code[1] ? (unsigned)(code[0] - '0') << 1 : 0;
}

/* On a damaged store there is no such note, and the pod can be ended still. */
static void note_ending(struct vci_pod_dir *dir)
{
    char code = ending_code(dir);
    if (dir->record_fd < 0)
        return;
    if (pwrite(dir->record_fd, &code, 1, ENDING_AT) == 1)
        dir->ending_noted = dir->ending;
    else
        vci_log(dir->ctx, VC_LOG_DEBUG, dir->id, "the note of what is being ended cannot be written: %s", strerror(errno));
}

void vci_store_ending_begin(struct vci_pod_dir *dir, unsigned kind)
{
    dir->ending |= 1u << kind;
    note_ending(dir);
}

int vci_store_ending_failed(const struct vci_pod_dir *dir, unsigned kind)
{
    return (dir->ending & 1u << kind) != 0;
}

void vci_store_ending_done(struct vci_pod_dir *dir, unsigned kind)
{
    dir->ending &= ~(1u << kind);
}

void vci_store_ending_over(struct vci_pod_dir *dir, int all)
{
    if (all)
        dir->ending = 0;
    if (dir->ending != dir->ending_noted)
        note_ending(dir);
}

/* ---- writing ---- */

/* From now on this is its record. */
static void keep_record(struct vci_pod_dir *dir, int fd)
{
    if (dir->record_fd >= 0)
        close(dir->record_fd);
    dir->record_fd = fd;
    dir->ending_noted = dir->ending;
}

/* Replace the state file as a whole. */
static int write_state(struct vci_pod_dir *dir, struct vci_out *out, vc_error **err)
{
    char path[PATH_MAX];
    int r = 0;
    out->text[ENDING_AT] = ending_code(dir);
    /* The lock is held, so a fixed name for the temporary file does, and what a killed caller left is overwritten. */
    vcs_autoclose int fd =
        openat(dir->state_fd, STATE_TMP, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        r = -errno;
    if (r == 0)
        r = write_all(fd, out->text, out->len);
    vci_fault_point("store-state-written");
    if (r == 0 && renameat(dir->state_fd, STATE_TMP, dir->state_fd, vci_store_state_file(dir)) < 0)
        r = -errno;
    if (r < 0) {
        if (fd >= 0)
            unlinkat(dir->state_fd, STATE_TMP, 0);
        return vci_fail(err, vci_code_of(r), r, "pod \"%s\": cannot write %s", dir->id, state_path(dir, path));
    }
    keep_record(dir, VCS_TAKE_FD(fd));
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
    return vci_store_trusts(&st) ? 0 : vci_store_check_stat(dir, &st, state_path(dir, path), err);
}

int vci_store_corrupt(const struct vci_pod_dir *dir, const char *why, vc_error **err)
{
    char path[PATH_MAX];
    return vci_fail(err, VC_ERR_CORRUPT, 0, "%s \"%s\": %s cannot be used: %s; %s",
                    dir->pool ? "VM of the pool" : "pod", dir->id, state_path(dir, path), why,
                    dir->pool ? "gc or draining the pool ends it" : "delete the pod with force");
}

/* There is no state file. */
static int no_state(struct vci_pod_dir *dir, vc_error **err)
{
    char who[128], id[sizeof(dir->id)];
    vci_join(id, sizeof(id), dir->id, NULL);
    if (!dir->locked && vci_store_held(dir)) {
        vci_store_holder(dir, who, sizeof(who));
        return vci_fail(err, VC_ERR_NOTFOUND, 0, "pod \"%s\" is being made or removed by %s", id, who);
    }
    if (!dir->pool && vci_store_run(dir, 0, NULL) == VC_ERR_NOTFOUND) {
        vci_store_remove_nothing(dir);
        return vci_fail(err, VC_ERR_NOTFOUND, 0, "there is no pod \"%s\"", id);
    }
    return vci_fail(err, VC_ERR_NOTFOUND, 0,
                    "pod \"%s\" has no state: making it was interrupted; delete it with force", id);
}

/* Who holds the lock may have to write to it. */
static int open_state(const struct vci_pod_dir *dir, int flags)
{
    return openat(dir->state_fd, vci_store_state_file(dir), flags | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
}

/* The whole file into doc->text. */
static int read_state(struct vci_pod_dir *dir, struct vci_doc *doc, size_t *ret_len, vc_error **err)
{
    char path[PATH_MAX];
    size_t size = 0, len = 0;
    vcs_autoclose int fd = dir->state_fd < 0 ? -1 : open_state(dir, dir->locked ? O_RDWR : O_RDONLY);
    int writable = fd >= 0 && dir->locked;
    if (fd < 0 && dir->state_fd >= 0 && dir->locked && errno != ENOENT)
        fd = open_state(dir, O_RDONLY);
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
    if (writable && len > ENDING_AT + 1 && !memcmp(text, ENDING_HEAD, ENDING_AT) && text[ENDING_AT + 1] == '"')
        keep_record(dir, VCS_TAKE_FD(fd));
    return 0;
}

/* Is what was read a state, and one of ours? */
static int check_state(struct vci_pod_dir *dir, const struct vci_doc *doc, const struct vci_rec **ret_data,
                       int *ret_boot_same, vc_error **err)
{
    const struct vci_rec *all = doc->rec, *version = vci_rec_get(all, "version", VCI_REC_INT);
    const struct vci_rec *data = vci_rec_get(all, "data", VCI_REC_OBJECT);
    const char *boot = vci_rec_str(all, "boot_id"), *ending = vci_rec_str(all, "ending");
    char path[PATH_MAX];
    if (!version)
        return vci_store_corrupt(dir, "it is no state of a pod (it has no version)", err);
    if (version->num > STATE_VERSION)
        return vci_fail(err, VC_ERR_UNSUPPORTED, 0,
                        "pod \"%s\": %s was written by a newer release (version %lld; this one reads up to %d)", dir->id,
                        state_path(dir, path), (long long)version->num, STATE_VERSION);
    if (version->num < 1 || !boot || !data)
        return vci_store_corrupt(dir, "it is no state of a pod (\"version\", \"boot_id\" and \"data\" are wanted)", err);
    if (dir->locked && ending)
        dir->ending = dir->ending_noted = ending_of(ending);
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
