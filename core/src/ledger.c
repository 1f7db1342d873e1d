/* SPDX-License-Identifier: Apache-2.0 */
/* ledger.c: the list of every external thing a pod owns, written before it is made.
 *
 * The file grows at its end only, one write(2) per line:
 *   {"add":TYPE,"owner":"hypervisor","name":"..."}   an entry; its number is the offset of the line
 *   {"del":NUMBER}                                   it was removed
 *   {"del_type":TYPE,"name":"..."}                   the latest entry of that type and name was removed
 *   {"boot":"ID"}                                    what follows was written during that boot of the host
 * A caller that is killed while it writes leaves a line without its end: its thing was not made. */
#include "store.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <vc/host.h>

#include "instance.h"
#include "ledger-undo.h"
#include "lib/buf.h"
#include "lib/io.h"

#define LEDGER_MAX    (64u * 1024 * 1024)
#define COMPACT_ABOVE (128 * 1024) /* bytes at which removed entries are thrown out */

/* proc_done may come from any thread while a call runs: appending must not mix with opening. */
static pthread_mutex_t ledger_mutex = PTHREAD_MUTEX_INITIALIZER;

static void put_string(struct vcs_buf *b, const char *text, int *bad)
{
    *bad |= vcs_buf_append(b, "\"", 1) < 0;
    for (; *text; text++) {
        unsigned char c = (unsigned char)*text;
        if (c < 0x20 || c == '"' || c == '\\')
            *bad |= vcs_buf_printf(b, "\\u%04x", c) < 0;
        else
            *bad |= vcs_buf_append(b, text, 1) < 0;
    }
    *bad |= vcs_buf_append(b, "\"", 1) < 0;
}

static int put_add(struct vcs_buf *b, uint32_t type, const char *owner, const char *name)
{
    int bad = vcs_buf_printf(b, "{\"add\":%u,\"owner\":", type) < 0;
    put_string(b, owner, &bad);
    bad |= vcs_buf_append(b, ",\"name\":", 8) < 0;
    put_string(b, name, &bad);
    bad |= vcs_buf_append(b, "}\n", 2) < 0;
    return bad ? -ENOMEM : 0;
}

static int failed(const struct vci_pod_dir *dir, int sys, vc_error **err)
{
    return vci_fail(err, vci_code_of(sys), sys, "pod \"%s\": cannot use %s/ledger", dir->id, dir->run_path);
}

/* A list of entries while it is put together. */
struct list {
    struct vci_ledger_entry *e;
    size_t n, room;
    int old_boot; /* of the lines that are read now */
};

static void drop(struct list *l, size_t i)
{
    free(l->e[i].owner);
    free(l->e[i].name);
    memmove(&l->e[i], &l->e[i + 1], (l->n - i - 1) * sizeof(l->e[0]));
    l->n--;
}

static int get_number(const struct vci_rec *o, const char *key, uint32_t *ret)
{
    int64_t n = vci_rec_int(o, key, -1);
    if (n < 0 || n > UINT32_MAX)
        return 0;
    *ret = (uint32_t)n;
    return 1;
}

int vci_ledger_is_past(const struct vci_ledger_entry *e)
{
    return e->old_boot && e->type != VC_RES_PATH && e->type != VCI_RES_MOUNTPOINT;
}

/* Apply one line.  1 when it makes no sense, -ENOMEM. */
static int apply(struct list *l, const struct vci_rec *o, unsigned offset)
{
    uint32_t v;
    const char *name = vci_rec_str(o, "name"), *owner = vci_rec_str(o, "owner"), *boot = vci_rec_str(o, "boot");
    if (boot) {
        l->old_boot = strcmp(boot, vci_store_boot_id()) != 0;
        return 0;
    }
    if (get_number(o, "add", &v) && name && owner) {
        if (l->n == l->room) {
            size_t room = l->room ? l->room * 2 : 16;
            struct vci_ledger_entry *more = realloc(l->e, room * sizeof(*more));
            if (!more)
                return -ENOMEM;
            l->e = more;
            l->room = room;
        }
        struct vci_ledger_entry e = { .n = offset, .type = v, .old_boot = l->old_boot, .owner = strdup(owner), .name = strdup(name) };
        l->e[l->n++] = e;
        if (!e.owner || !e.name)
            return -ENOMEM;
        return 0;
    }
    if (get_number(o, "del", &v)) {
        for (size_t i = l->n; i-- > 0;)
            if (l->e[i].n == v) {
                drop(l, i);
                break;
            }
        return 0;
    }
    if (get_number(o, "del_type", &v) && name) {
        for (size_t i = l->n; i-- > 0;)
            if (l->e[i].type == v && !strcmp(l->e[i].name, name)) {
                drop(l, i);
                break;
            }
        return 0;
    }
    return 1;
}

static int prepare(struct vci_pod_dir *dir, vc_error **err);

/* Read the file.  *ret_size: how long it is.  `numbers`: those of the entries will be used, so the file is made smaller
 * before, if that is due, and not between. */
static int load(struct vci_pod_dir *dir, struct list *l, int numbers, size_t *ret_size, vc_error **err)
{
    vcs_autofree char *text = NULL;
    size_t size = 0;
    struct stat st;
    int run = vci_store_run_if_any(dir, err);
    *ret_size = 0;
    if (run < 0)
        return run == VC_ERR_NOTFOUND ? 0 : run;
    int there = fstatat(run, "ledger", &st, AT_SYMLINK_NOFOLLOW) == 0;
    if (!there && errno == ENOENT)
        return 0;
    /* What it names is killed and removed: a file from elsewhere is not read. */
    if (there && (!S_ISREG(st.st_mode) || (st.st_uid != 0 && st.st_uid != geteuid()) || st.st_mode & 022))
        return vci_fail(err, VC_ERR_PERM, 0,
                        "pod \"%s\": %s/ledger must be a plain file of root or of the caller that nobody else may write to",
                        dir->id, dir->run_path);
    if (there && numbers && dir->locked && dir->ledger_fd < 0 && st.st_size > COMPACT_ABOVE) {
        pthread_mutex_lock(&ledger_mutex);
        prepare(dir, NULL); /* where that fails, no line can be written either */
        pthread_mutex_unlock(&ledger_mutex);
    }
    int r = vcs_read_file(run, "ledger", LEDGER_MAX, &text, &size);
    if (r == -ENOENT)
        return 0;
    if (r < 0)
        return failed(dir, r, err);
    *ret_size = size;
    struct vci_doc line;
    vci_doc_init(&line);
    for (char *p = text, *nl; r >= 0 && (nl = memchr(p, '\n', size - (size_t)(p - text))); p = nl + 1) {
        char *copy = vci_doc_room(&line, (size_t)(nl - p));
        if (copy)
            memcpy(copy, p, (size_t)(nl - p));
        r = copy ? vci_doc_parse(&line, (size_t)(nl - p)) : -ENOMEM;
        r = r == 0 ? apply(l, line.rec, (unsigned)(p - text)) : r == -EINVAL ? 1 : r;
        if (r == 1 && nl != p)
            vci_log(dir->ctx, VC_LOG_WARN, dir->id, "%s/ledger: the line at byte %zu is not complete and is left out",
                    dir->run_path, (size_t)(p - text));
    }
    vci_doc_done(&line);
    return r < 0 ? failed(dir, r, err) : 0;
}

int vci_ledger_read(struct vci_pod_dir *dir, struct vci_ledger_entry **ret, size_t *ret_n, vc_error **err)
{
    struct list l = { 0 };
    size_t size;
    int r = load(dir, &l, 1, &size, err);
    if (r) {
        vci_ledger_entries_free(l.e, l.n);
        return r;
    }
    *ret = l.e;
    *ret_n = l.n;
    return 0;
}

void vci_ledger_entries_free(struct vci_ledger_entry *entries, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        free(entries[i].owner);
        free(entries[i].name);
    }
    free(entries);
}

/* Throw removed entries out, so that a pod that lives long and runs many processes does not fill the disk. */
static int compact(struct vci_pod_dir *dir, vc_error **err)
{
    struct list l = { 0 };
    struct vcs_buf b = { 0 };
    size_t size;
    int r = load(dir, &l, 0, &size, err), bad = 0, old = -1;
    /* Those of the last boot are found first, and "x" is no boot.  Before the first one, too: what follows no such line is
     * taken for one of the present boot, whichever that is by then. */
    for (size_t i = 0; r == 0 && i < l.n; old = l.e[i++].old_boot) {
        if (l.e[i].old_boot != old)
            bad |= vcs_buf_printf(&b, "{\"boot\":\"%s\"}\n", l.e[i].old_boot ? "x" : vci_store_boot_id()) < 0;
        bad |= put_add(&b, l.e[i].type, l.e[i].owner, l.e[i].name) < 0;
    }
    if (r == 0)
        bad = bad ? -ENOMEM : vcs_write_file_atomic(vci_store_run(dir, 0, NULL), "ledger", vcs_buf_data(&b), b.len, 0600, 0);
    if (r == 0 && bad < 0)
        r = failed(dir, bad, err);
    vcs_buf_done(&b);
    vci_ledger_entries_free(l.e, l.n);
    return r;
}

/* A descriptor, or a code. */
static int open_ledger(struct vci_pod_dir *dir, vc_error **err)
{
    int flags = O_RDWR | O_APPEND | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK;
    int run = vci_store_run(dir, 1, err);
    if (run < 0)
        return run;
    int fd = openat(run, "ledger", flags, 0600);
    return fd < 0 ? failed(dir, errno, err) : fd;
}

/* Make ledger_fd ready for appending, after whatever a killed caller left. */
static int prepare(struct vci_pod_dir *dir, vc_error **err)
{
    if (dir->ledger_fd >= 0)
        return 0;
    int fd = open_ledger(dir, err);
    if (fd < 0)
        return fd;
    struct stat st = { 0 };
    char last = '\n';
    if (!dir->fresh && fstat(fd, &st) == 0 && st.st_size > COMPACT_ABOVE && dir->locked) {
        close(fd);
        int r = compact(dir, err);
        if (r)
            return r;
        fd = open_ledger(dir, err);
        if (fd < 0)
            return fd;
    } else if (st.st_size > 0 && pread(fd, &last, 1, st.st_size - 1) == 1 && last != '\n' && write(fd, "\n", 1) != 1) {
        int sys = errno;
        close(fd);
        return failed(dir, sys, err);
    }
    dir->ledger_fd = fd;
    dir->boot_noted = 0;
    return 0;
}

/* Before the line, in the same write: which boot this is. */
static int put_boot(struct vcs_buf *line, vc_error **err)
{
    struct vcs_buf both = { 0 };
    if (vcs_buf_printf(&both, "{\"boot\":\"%s\"}\n", vci_store_boot_id()) < 0 ||
        vcs_buf_append(&both, vcs_buf_data(line), line->len) < 0) {
        vcs_buf_done(&both);
        return vci_fail(err, VC_ERR_NOMEM, 0, "out of memory");
    }
    vcs_buf_done(line);
    *line = both;
    return 0;
}

/* Append one line; *ret_n (may be NULL) is where it stands. */
static int append(struct vci_pod_dir *dir, struct vcs_buf *line, unsigned *ret_n, vc_error **err)
{
    pthread_mutex_lock(&ledger_mutex);
    int r = vci_store_write_now(dir, err); /* which operation it is, whose thing this is */
    if (r == 0)
        r = prepare(dir, err);
    size_t len = line->len; /* of the line itself, without the one about the boot */
    if (r == 0 && !dir->boot_noted)
        r = put_boot(line, err);
    if (r == 0) {
        ssize_t n;
        do
            n = write(dir->ledger_fd, vcs_buf_data(line), line->len);
        while (n < 0 && errno == EINTR);
        if (n >= 0 && (size_t)n < line->len) {
            /* The disk is full: take the half line back, so that the next one stands alone. */
            off_t end = lseek(dir->ledger_fd, 0, SEEK_CUR);
            if (ftruncate(dir->ledger_fd, end - n) < 0)
                vci_log(dir->ctx, VC_LOG_WARN, dir->id, "%s/ledger: a half line could not be taken back",
                        dir->run_path);
            errno = ENOSPC;
            n = -1;
        }
        if (n < 0)
            r = failed(dir, errno, err);
        else if (ret_n)
            *ret_n = (unsigned)((size_t)lseek(dir->ledger_fd, 0, SEEK_CUR) - len);
        if (n >= 0)
            dir->boot_noted = 1;
    }
    pthread_mutex_unlock(&ledger_mutex);
    vcs_buf_done(line);
    return r;
}

int vci_ledger_add(struct vci_pod_dir *dir, uint32_t type, const char *owner, const char *name, unsigned *ret_n,
                   vc_error **err)
{
    struct vcs_buf line = { 0 };
    if (put_add(&line, type, owner, name) < 0) {
        vcs_buf_done(&line);
        return vci_fail(err, VC_ERR_NOMEM, 0, "out of memory");
    }
    vci_fault_point("ledger-add");
    int r = append(dir, &line, ret_n, err);
    vci_fault_point("ledger-added");
    return r;
}

int vci_ledger_del(struct vci_pod_dir *dir, unsigned n, vc_error **err)
{
    struct vcs_buf line = { 0 };
    if (vcs_buf_printf(&line, "{\"del\":%u}\n", n) < 0)
        return vci_fail(err, VC_ERR_NOMEM, 0, "out of memory");
    vci_fault_point("ledger-del");
    return append(dir, &line, NULL, err);
}

int vci_ledger_del_name(struct vci_pod_dir *dir, uint32_t type, const char *name, vc_error **err)
{
    struct vcs_buf line = { 0 };
    int bad = vcs_buf_printf(&line, "{\"del_type\":%u,\"name\":", type) < 0;
    put_string(&line, name, &bad);
    if (bad || vcs_buf_append(&line, "}\n", 2) < 0) {
        vcs_buf_done(&line);
        return vci_fail(err, VC_ERR_NOMEM, 0, "out of memory");
    }
    vci_fault_point("ledger-del");
    return append(dir, &line, NULL, err);
}

int vci_ledger_writable(struct vci_pod_dir *dir, vc_error **err)
{
    struct stat st;
    int run = vci_store_run(dir, 0, NULL);
    if (run < 0 || fstatat(run, "ledger", &st, AT_SYMLINK_NOFOLLOW) < 0)
        return 0; /* what is wrong with it is said by who reads it */
    vci_autoerror vc_error *e = NULL;
    pthread_mutex_lock(&ledger_mutex);
    int r = S_ISREG(st.st_mode) ? prepare(dir, &e) : 0;
    pthread_mutex_unlock(&ledger_mutex);
    if (r == VC_ERR_RESOURCE) /* a full disk: what is ended makes room, and that it is gone need not be noted */
        return 0;
    if (r && err)
        *err = VCS_TAKE_PTR(e);
    return r;
}

int vci_ledger_undo(struct vci_pod_dir *dir, int64_t deadline_ns, void (*report)(void *, const char *, const char *),
                    void *arg, vc_error **err)
{
    struct list l = { 0 };
    size_t size, left = 0;
    int first = load(dir, &l, 1, &size, err);
    for (size_t i = first ? 0 : l.n; i-- > 0;) {
        const struct vci_ledger_entry *e = &l.e[i];
        vci_autoerror vc_error *why = NULL;
        char what[512];
        int r = vci_ledger_is_past(e) ? 0 : vci_undo_one(dir, e->type, e->name, deadline_ns, what, sizeof(what), &why);
        vci_fault_point("ledger-undone");
        if (r > 0 && report) /* 1: it was there */
            report(arg, dir->id, what);
        if (r < 0 && dir->drop_wrong && e->type == VC_RES_PATH) {
            vci_log(dir->ctx, VC_LOG_WARN, dir->id, "%s; %s recorded it, and the record is dropped: it stays",
                    vc_error_text(why), e->owner);
            vc_error_free(VCS_TAKE_PTR(why));
            r = 0;
        }
        if (r >= 0 && (r = vci_ledger_del(dir, e->n, &why)) == VC_ERR_RESOURCE) {
            /* The disk is full.  That it is gone need not be noted: it would only be looked for once more. */
            vc_error_free(VCS_TAKE_PTR(why));
            r = 0;
        }
        if (r) {
            left++;
            vci_log(dir->ctx, VC_LOG_WARN, dir->id, "%s", vc_error_text(why));
            if (!first) {
                first = r;
                if (err && !*err)
                    *err = VCS_TAKE_PTR(why);
                vci_context_pod(err, dir->id);
            }
        }
    }
    /* Nothing stands in it any more: begin afresh. */
    if (!first && !left && dir->ledger_fd >= 0 && ftruncate(dir->ledger_fd, 0) < 0)
        first = failed(dir, errno, err);
    dir->boot_noted = 0;
    vci_ledger_entries_free(l.e, l.n);
    return first;
}
