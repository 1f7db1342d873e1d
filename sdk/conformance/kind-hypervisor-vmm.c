/* SPDX-License-Identifier: Apache-2.0 */
/* kind-hypervisor-vmm.c: what can be seen of a VMM from outside: its processes, their threads and open files, its
 * sockets. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <string.h>
#include <sys/stat.h>

#include "conformance/kind-hypervisor.h"
#include "lib/io.h"
#include "lib/proc.h"

#define PROCS_MAX 128

/* ---- processes ---- */

/* "FILE of process or thread", at most size - 1 bytes of it; the length, 0 when there is none. */
static size_t read_proc(const char *path, char *ret, size_t size)
{
    vcs_autoclose int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd >= 0 ? vcs_read_full(fd, ret, size - 1) : 0;
    ret[n > 0 ? n : 0] = '\0';
    return n > 0 ? (size_t)n : 0;
}

static int parent_of(int pid)
{
    char path[64], text[1024];
    int parent = 0;
    snprintf(path, sizeof(path), "/proc/%d/stat", pid);
    read_proc(path, text, sizeof(text));
    const char *p = strrchr(text, ')');
    return p && sscanf(p + 1, " %*c %d", &parent) == 1 ? parent : 0;
}

static int has(const int *list, size_t n, int pid)
{
    for (size_t i = 0; i < n; i++)
        if (list[i] == pid)
            return 1;
    return 0;
}

/* Add the children of those listed, and theirs. */
static size_t add_children(int *list, size_t n)
{
    struct {
        int pid, parent;
    } all[1024];
    size_t n_all = 0;
    vcs_autoclosedir DIR *d = opendir("/proc");
    struct dirent *e;
    while (d && n_all < sizeof(all) / sizeof(all[0]) && (e = readdir(d))) {
        int pid = (int)strtol(e->d_name, NULL, 10);
        if (pid > 0) {
            all[n_all].parent = parent_of(pid);
            all[n_all++].pid = pid;
        }
    }
    for (size_t before = 0; before != n;) {
        before = n;
        for (size_t i = 0; i < n_all && n < PROCS_MAX; i++)
            if (has(list, n, all[i].parent) && !has(list, n, all[i].pid))
                list[n++] = all[i].pid;
    }
    return n;
}

static size_t processes(struct vct_pod *pod, int *list)
{
    struct vct_hv_world *w = pod->world;
    size_t n = 0;
    for (size_t i = 0; i < pod->n_procs && n < PROCS_MAX; i++)
        if (vcs_proc_alive(&pod->procs[i]))
            list[n++] = pod->procs[i].pid;
    for (size_t i = 0; w && i < w->n_pids && n < PROCS_MAX; i++)
        if (vcs_proc_alive(&w->pids[i]) && !has(list, n, w->pids[i].pid))
            list[n++] = w->pids[i].pid;
    return n ? add_children(list, n) : 0;
}

/* How often a thread was put on a processor. */
static uint64_t runs_of(int pid, const char *tid)
{
    char path[128], text[4096];
    uint64_t runs = 0;
    snprintf(path, sizeof(path), "/proc/%d/task/%.16s/schedstat", pid, tid);
    read_proc(path, text, sizeof(text));
    if (sscanf(text, "%*s %*s %" SCNu64, &runs) == 1 && runs)
        return runs;
    snprintf(path, sizeof(path), "/proc/%d/task/%.16s/status", pid, tid); /* a kernel that does not count */
    read_proc(path, text, sizeof(text));
    const char *p = strstr(text, "\nvoluntary_ctxt_switches:");
    return p ? strtoull(p + 25, NULL, 10) : 0;
}

void vct_hv_tasks(struct vct_pod *pod, struct vct_hv_tasks *ret)
{
    int list[PROCS_MAX];
    size_t n = processes(pod, list);
    ret->n = 0;
    for (size_t i = 0; i < n; i++) {
        char path[64];
        snprintf(path, sizeof(path), "/proc/%d/task", list[i]);
        vcs_autoclosedir DIR *d = opendir(path);
        struct dirent *e;
        while (d && ret->n < VCT_HV_TASKS && (e = readdir(d)))
            if (e->d_name[0] != '.') {
                ret->v[ret->n].runs = runs_of(list[i], e->d_name);
                ret->v[ret->n++].tid = (int)strtol(e->d_name, NULL, 10);
            }
    }
}

/* The place of a thread; n when it is not there. */
static size_t find(const struct vct_hv_tasks *list, int tid)
{
    size_t i = 0;
    while (i < list->n && list->v[i].tid != tid)
        i++;
    return i;
}

int vct_hv_told(struct vct_pod *pod, const struct vct_hv_tasks *before)
{
    struct vct_hv_tasks now;
    uint64_t counted = 0;
    vct_hv_tasks(pod, &now);
    if (!before->n || !now.n)
        return -1;
    for (size_t i = 0; i < now.n; i++) {
        size_t at = find(before, now.v[i].tid);
        if (at == before->n || before->v[at].runs != now.v[i].runs)
            return 1;
        counted += now.v[i].runs;
    }
    return now.n != before->n ? 1 : counted ? 0 : -1;
}

int vct_hv_settle(struct vct_pod *pod, int timeout_ms)
{
    struct vct_hv_tasks before;
    int64_t end = vcs_now_ns() + (int64_t)timeout_ms * 1000000;
    do {
        vct_hv_tasks(pod, &before);
        poll(NULL, 0, 20); /* a span of time to look at */
        if (vct_hv_told(pod, &before) != 1)
            return 1;
    } while (vcs_now_ns() < end);
    return 0;
}

size_t vct_hv_new_tasks(struct vct_pod *pod, const struct vct_hv_tasks *before)
{
    struct vct_hv_tasks now;
    size_t n = 0;
    vct_hv_tasks(pod, &now);
    for (size_t i = 0; i < now.n; i++)
        n += find(before, now.v[i].tid) == before->n;
    return n;
}

static int has_inode(int pid, const struct stat *file)
{
    char path[300];
    struct stat st;
    snprintf(path, sizeof(path), "/proc/%d/fd", pid);
    vcs_autoclosedir DIR *d = opendir(path);
    struct dirent *e;
    while (d && (e = readdir(d))) {
        if (e->d_name[0] == '.')
            continue;
        snprintf(path, sizeof(path), "/proc/%d/fd/%.16s", pid, e->d_name);
        if (stat(path, &st) == 0 && st.st_dev == file->st_dev && st.st_ino == file->st_ino)
            return 1;
    }
    return d ? 0 : -1;
}

int vct_hv_has_open(struct vct_pod *pod, const char *path)
{
    int list[PROCS_MAX], hidden = 0;
    size_t n = processes(pod, list);
    struct stat file;
    if (stat(path, &file) < 0)
        return -1;
    for (size_t i = 0; i < n; i++) {
        int r = has_inode(list[i], &file);
        if (r == 1)
            return 1;
        hidden |= r < 0;
    }
    return n && !hidden ? 0 : -1;
}

int vct_hv_main(struct vct_pod *pod, struct vc_proc *ret)
{
    struct vct_hv_world *w = pod->world;
    if (w && pod->inst && (!w->n_pids || !vcs_proc_alive(&w->pids[0])))
        vct_hv_ask_pids(pod, vct_call(pod->t, 5000));
    if (w && w->n_pids && vcs_proc_alive(&w->pids[0])) {
        *ret = w->pids[0];
        return 0;
    }
    for (size_t i = 0; i < pod->n_procs; i++)
        if (vcs_proc_alive(&pod->procs[i])) {
            *ret = pod->procs[i];
            return 0;
        }
    return -1;
}

int vct_hv_await_end(const struct vc_proc *p, int timeout_ms)
{
    vcs_autoclose int fd = vcs_proc_fd(p);
    struct pollfd pf = { .fd = fd, .events = POLLIN };
    int64_t end = vcs_now_ns() + (int64_t)timeout_ms * 1000000;
    int r = fd < 0 ? 1 : 0;
    while (r <= 0 && vcs_now_ns() < end && (r == 0 || errno == EINTR))
        r = poll(&pf, 1, vcs_poll_timeout(end));
    return r > 0 ? 0 : -1;
}

/* ---- does the VM run? ---- */

/* Nanoseconds of processor time of all threads; -1: not told. */
static int64_t used_ns(struct vct_pod *pod)
{
    int list[PROCS_MAX];
    size_t n = processes(pod, list);
    int64_t sum = -1;
    for (size_t i = 0; i < n; i++) {
        char path[300], text[128];
        snprintf(path, sizeof(path), "/proc/%d/task", list[i]);
        vcs_autoclosedir DIR *d = opendir(path);
        struct dirent *e;
        while (d && (e = readdir(d))) {
            int64_t ns;
            snprintf(path, sizeof(path), "/proc/%d/task/%.16s/schedstat", list[i], e->d_name);
            read_proc(path, text, sizeof(text));
            if (e->d_name[0] != '.' && sscanf(text, "%" SCNd64, &ns) == 1)
                sum = (sum < 0 ? 0 : sum) + ns;
        }
    }
    return sum;
}

int vct_hv_plain(const struct vct_pod *pod)
{
    return !pod->variant || !strcmp(pod->variant, "good");
}

int vct_hv_runs(struct vct_pod *pod)
{
    struct vc_proc main_proc;
    char value[16], state;
    uint64_t ticks;
    if (vct_fact(pod, "running", value, sizeof(value)) == 0)
        return !strcmp(value, "yes");
    if (vct_hv_main(pod, &main_proc) < 0)
        return -1;
    if (vcs_proc_stat(main_proc.pid, &ticks, &state) == 0 && state == 'T')
        return 0;
    /* A guest that works uses a processor; one that uses none may be idle. */
    int64_t before = used_ns(pod), at = vcs_now_ns();
    poll(NULL, 0, 100); /* a span of time to measure in */
    int64_t after = used_ns(pod), span = vcs_now_ns() - at;
    return before >= 0 && after - before > span / 20 ? 1 : -1;
}

int vct_hv_runs_is(struct vct_pod *pod, int runs, int timeout_ms)
{
    struct vc_proc p;
    int64_t end = vcs_now_ns() + (int64_t)timeout_ms * 1000000;
    int r;
    while ((r = vct_hv_runs(pod)) != -1 && r != runs && vcs_now_ns() < end)
        poll(NULL, 0, 5);
    if (r != -1 || runs != 1)
        return r;
    char state;
    uint64_t ticks;
    if (vct_hv_main(pod, &p) == 0 && vcs_proc_stat(p.pid, &ticks, &state) == 0 && state == 'T')
        return 0;
    return -1;
}

/* ---- URIs ---- */

/* Behind the scheme; NULL: it is another one. */
static const char *after(const char *uri, const char *scheme)
{
    size_t n = strlen(scheme);
    return strncmp(uri, scheme, n) ? NULL : uri + n;
}

/* A decimal number that ends the text. */
static int ends_number(const char *text, uint64_t min, uint64_t max)
{
    char *end;
    errno = 0;
    unsigned long long v = *text >= '0' && *text <= '9' ? strtoull(text, &end, 10) : 0;
    return *text >= '0' && *text <= '9' && !*end && !errno && v >= min && v <= max;
}

static int vsock_form(const char *text)
{
    char cid[24];
    const char *colon = strchr(text, ':');
    if (!colon || (size_t)(colon - text) >= sizeof(cid))
        return 0;
    snprintf(cid, sizeof(cid), "%.*s", (int)(colon - text), text);
    return ends_number(cid, 3, UINT32_MAX - 1) && ends_number(colon + 1, 0, UINT32_MAX - 1);
}

int vct_hv_uri_form(const char *member, const char *uri, char *why, size_t size)
{
    const char *p, *port;
    int agent = strcmp(member, "console") != 0;
    const char *forms =
        agent ? "serial://PATH, vsock://CID:PORT, hvsock://PATH:PORT or unix://PATH" : "unix://PATH or file://PATH";
    int ok = 0;
    for (p = uri; *p; p++)
        if ((unsigned char)*p < ' ' || *p == 0x7f) {
            snprintf(why, size, "%s gives a text with control byte %d at position %d", member, *p, (int)(p - uri));
            return -1;
        }
    if ((p = after(uri, "unix://")))
        ok = *p == '/';
    else if (!agent && (p = after(uri, "file://")))
        ok = *p == '/';
    else if (agent && (p = after(uri, "serial://")))
        ok = *p == '/';
    else if (agent && (p = after(uri, "hvsock://")))
        ok = *p == '/' && (port = strrchr(p, ':')) && ends_number(port + 1, 0, UINT32_MAX - 1);
    else if (agent && (p = after(uri, "vsock://")))
        ok = vsock_form(p);
    if (!ok)
        snprintf(why, size, "%s gives \"%.300s\"; the contract has %s, with absolute paths", member, uri, forms);
    return ok ? 0 : -1;
}

char *vct_hv_uri_path(const char *uri)
{
    const char *p = strstr(uri, "://");
    char *path = p && p[3] == '/' ? strdup(p + 3) : NULL;
    char *colon = path && !strncmp(uri, "hvsock", 6) ? strrchr(path, ':') : NULL;
    if (colon)
        *colon = '\0';
    return path;
}

int vct_hv_uri_works(const char *uri, char *why, size_t size)
{
    vcs_autofree char *path = vct_hv_uri_path(uri);
    if (!path)
        return -1; /* vsock: somebody answers once the guest is up */
    int fd = after(uri, "file://") ? open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC) : vcs_unix_connect(path);
    if (fd < 0) {
        int sys = after(uri, "file://") ? errno : -fd;
        snprintf(why, size, "\"%.300s\" cannot be %s: %s", uri, after(uri, "file://") ? "opened" : "connected to",
                 strerror(sys));
        return 0;
    }
    close(fd);
    return 1;
}

char *vct_hv_image(struct vct_pod *pod, const char *name, off_t size)
{
    char *path;
    if (asprintf(&path, "%s/%s", pod->dir, name) < 0)
        return NULL;
    vcs_autoclose int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd >= 0 && ftruncate(fd, size) == 0)
        return path;
    free(path);
    return NULL;
}
