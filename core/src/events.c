/* SPDX-License-Identifier: Apache-2.0 */
/* events.c: what happens to pods, as a descriptor to poll and a list of events.
 *
 * There is no daemon that could tell: an observer looks.  inotify says which record was replaced and which directory
 * came or went, pidfds say which VMM and which shim has ended, and then that pod is looked at and compared with the
 * last look (events-view.c).  All of these, and an eventfd that is up while something is left to do, are in one epoll
 * instance, which is the descriptor.
 *
 * A pod on which an operation goes on is not looked at: what is seen in the middle of it would be wrong by its end, at
 * which its record is replaced.  Where that is not certain (its VM is gone, and its lock is held) a timer has it looked
 * at again. */
#include "events.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "lib/io.h"
#include "lib/proc.h"

#define ROOT_MASK (IN_CREATE | IN_DELETE | IN_MOVED_FROM | IN_MOVED_TO | IN_ONLYDIR)
#define POD_MASK  (IN_MOVED_TO | IN_DELETE_SELF | IN_ONLYDIR | IN_DONT_FOLLOW)
#define AGAIN_MIN 5000000 /* ns until a look that was put off */
#define AGAIN_MAX 200000000

/* A pod that is known, or about to be. */
struct ev_pod {
    char *id;
    struct vci_view *view; /* NULL: not complete yet */
    int wd;                /* of its state directory; -1 = none */
    int dirty, again;      /* to be looked at; once the timer has fired */
    int unreadable;        /* and that was told */
    int writes;            /* its record was replaced since the last look */
    int half;              /* the last look found it half-made */
    struct ev_pod *next;   /* of those that are dirty */
    struct ev_proc **procs;
    size_t n_procs;
};
/* A process that is waited for. */
struct ev_proc {
    struct vc_proc proc;
    int fd; /* -1 = it has ended */
    struct ev_pod *pod;
};
struct ev_wd {
    int wd;
    struct ev_pod *pod;
};
struct vc_events {
    vc_context *ctx;
    char *only; /* NULL = all pods */
    int epfd, inotify, wake, timer;
    int awake, ticking;
    int64_t pause;
    int state_wd, run_wd;
    int lost, rescan;     /* say so; look at everything */
    struct ev_pod **pods; /* sorted by id */
    size_t n_pods;
    struct ev_wd *wds; /* sorted: the kernel counts upwards */
    size_t n_wds;
    struct ev_pod *dirty, **dirty_end;
    struct vci_queue queue;
};

/* ---- pods ---- */

/* Where it is, or would be. */
static size_t place_of(const vc_events *ev, const char *id, int *ret_there)
{
    size_t lo = 0, hi = ev->n_pods;
    *ret_there = 0;
    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        int c = strcmp(ev->pods[mid]->id, id);
        if (c == 0) {
            *ret_there = 1;
            return mid;
        }
        if (c < 0)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo;
}

static void set_dirty(vc_events *ev, struct ev_pod *p)
{
    p->again = 0;
    if (p->dirty)
        return;
    p->dirty = 1;
    p->next = NULL;
    *ev->dirty_end = p;
    ev->dirty_end = &p->next;
}

/* The pod of that id, which is new when it is not known; NULL without memory. */
static struct ev_pod *get_pod(vc_events *ev, const char *id)
{
    int there;
    size_t at = place_of(ev, id, &there);
    if (there)
        return ev->pods[at];
    struct ev_pod **more = realloc(ev->pods, (ev->n_pods + 1) * sizeof *more);
    if (!more)
        return NULL;
    ev->pods = more;
    struct ev_pod *p = calloc(1, sizeof *p);
    if (!p || !(p->id = strdup(id))) {
        free(p);
        return NULL;
    }
    p->wd = -1;
    memmove(more + at + 1, more + at, (ev->n_pods - at) * sizeof *more);
    more[at] = p;
    ev->n_pods++;
    return p;
}

/* ---- watches ---- */

static struct ev_wd *find_wd(const vc_events *ev, int wd)
{
    size_t lo = 0, hi = ev->n_wds;
    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        if (ev->wds[mid].wd == wd)
            return &ev->wds[mid];
        if (ev->wds[mid].wd < wd)
            lo = mid + 1;
        else
            hi = mid;
    }
    return NULL;
}

static void drop_wd(vc_events *ev, struct ev_pod *p)
{
    struct ev_wd *w = find_wd(ev, p->wd);
    p->wd = -1;
    if (!w)
        return;
    size_t at = (size_t)(w - ev->wds);
    memmove(w, w + 1, (ev->n_wds - at - 1) * sizeof *w);
    ev->n_wds--;
}

static int watch_failed(const vc_events *ev, const char *path, vc_error **err)
{
    int sys = errno;
    (void)ev;
    if (sys == ENOSPC)
        return vci_fail(err, VC_ERR_RESOURCE, 0,
                        "cannot watch %s: this user has no more inotify watches (fs.inotify.max_user_watches)", path);
    return vci_fail(err, vci_code_of(sys), sys, "cannot watch %s", path);
}

/* Watch the pod's record, when its directory is there. */
static int watch_pod(vc_events *ev, struct ev_pod *p, vc_error **err)
{
    char path[PATH_MAX];
    if (p->wd >= 0)
        return 0;
    snprintf(path, sizeof path, "%s/pods/%s", ev->ctx->state_root, p->id);
    int wd = inotify_add_watch(ev->inotify, path, POD_MASK);
    if (wd < 0)
        return errno == ENOENT || errno == ENOTDIR ? 0 : watch_failed(ev, path, err);
    struct ev_wd *w = find_wd(ev, wd);
    if (!w) {
        struct ev_wd *more = realloc(ev->wds, (ev->n_wds + 1) * sizeof *more);
        if (!more) {
            inotify_rm_watch(ev->inotify, wd);
            return vci_fail(err, VC_ERR_NOMEM, 0, "out of memory");
        }
        ev->wds = more;
        size_t at = ev->n_wds++;
        while (at > 0 && more[at - 1].wd > wd) {
            more[at] = more[at - 1];
            at--;
        }
        w = &more[at];
    }
    *w = (struct ev_wd){ .wd = wd, .pod = p };
    p->wd = wd;
    return 0;
}

/* Watch the directory of all pods below a root; it is made when there was no pod yet. */
static int watch_root(vc_events *ev, const char *root, int *wd, vc_error **err)
{
    char path[PATH_MAX];
    if (snprintf(path, sizeof path, "%s/pods", root) >= (int)sizeof path)
        return vci_fail(err, VC_ERR_CONFIG, 0, "the path below %s is too long", root);
    int r = vci_make_dir(path);
    if (r < 0 && r != -EEXIST)
        return vci_fail(err, vci_code_of(r), r, "cannot make %s", path);
    *wd = inotify_add_watch(ev->inotify, path, ROOT_MASK);
    return *wd < 0 ? watch_failed(ev, path, err) : 0;
}

static int watch_roots(vc_events *ev, vc_error **err)
{
    int rc = ev->state_wd < 0 ? watch_root(ev, ev->ctx->state_root, &ev->state_wd, err) : 0;
    return rc < 0 || ev->run_wd >= 0 ? rc : watch_root(ev, ev->ctx->run_root, &ev->run_wd, err);
}

/* ---- processes ---- */

static void close_proc(const vc_events *ev, struct ev_proc *w)
{
    if (w->fd < 0)
        return;
    epoll_ctl(ev->epfd, EPOLL_CTL_DEL, w->fd, NULL); /* a forked process may have a copy of it */
    close(w->fd);
    w->fd = -1;
}

static void drop_proc(const vc_events *ev, struct ev_pod *p, size_t i)
{
    close_proc(ev, p->procs[i]);
    free(p->procs[i]);
    p->procs[i] = p->procs[--p->n_procs];
}

static int add_proc(vc_events *ev, struct ev_pod *p, const struct vc_proc *proc, vc_error **err)
{
    for (size_t i = 0; i < p->n_procs; i++)
        if (p->procs[i]->proc.pid == proc->pid && p->procs[i]->proc.start_ticks == proc->start_ticks)
            return 0;
    vcs_autoclose int fd = vcs_proc_fd(proc);
    if (fd == -ESRCH) { /* since the look */
        set_dirty(ev, p);
        return 0;
    }
    if (fd < 0)
        return vci_fail(err, vci_code_of(fd), fd, "cannot wait for process %d of pod \"%s\"", proc->pid, p->id);
    struct ev_proc **more = realloc(p->procs, (p->n_procs + 1) * sizeof *more);
    if (more)
        p->procs = more;
    struct ev_proc *w = more ? calloc(1, sizeof *w) : NULL;
    if (!w)
        return vci_fail(err, VC_ERR_NOMEM, 0, "out of memory");
    *w = (struct ev_proc){ .proc = *proc, .fd = fd, .pod = p };
    struct epoll_event e = { .events = EPOLLIN, .data.ptr = w };
    if (epoll_ctl(ev->epfd, EPOLL_CTL_ADD, fd, &e) < 0) {
        free(w);
        return vci_fail(err, vci_code_of(errno), errno, "cannot wait for process %d of pod \"%s\"", proc->pid, p->id);
    }
    VCS_TAKE_FD(fd);
    p->procs[p->n_procs++] = w;
    return 0;
}

/* Does the view want that process to be waited for? */
static int wanted(const struct vci_view *v, const struct vc_proc *proc)
{
#define IS(q) ((q).pid == proc->pid && (q).start_ticks == proc->start_ticks)
    if (v->state != VCI_STOPPED && IS(v->vmm))
        return 1;
    for (size_t i = 0; i < v->n_ctrs; i++) {
        const struct vci_view_ctr *c = &v->ctrs[i];
        if (c->state != VCI_STOPPED && IS(c->shim))
            return 1;
        for (size_t k = 0; k < c->n_execs; k++)
            if (c->execs[k].status < 0 && IS(c->execs[k].shim))
                return 1;
    }
    return 0;
#undef IS
}

/* Wait for the processes that the view names, and for no others. */
static int follow(vc_events *ev, struct ev_pod *p, const struct vci_view *v, vc_error **err)
{
    for (size_t i = p->n_procs; i-- > 0;)
        if (p->procs[i]->fd < 0 || !wanted(v, &p->procs[i]->proc))
            drop_proc(ev, p, i);
    int rc = v->state != VCI_STOPPED && v->vmm.pid > 0 ? add_proc(ev, p, &v->vmm, err) : 0;
    for (size_t i = 0; rc == 0 && i < v->n_ctrs; i++) {
        const struct vci_view_ctr *c = &v->ctrs[i];
        if (c->state != VCI_STOPPED && c->shim.pid > 0)
            rc = add_proc(ev, p, &c->shim, err);
        for (size_t k = 0; rc == 0 && k < c->n_execs; k++)
            if (c->execs[k].status < 0 && c->execs[k].shim.pid > 0)
                rc = add_proc(ev, p, &c->execs[k].shim, err);
    }
    return rc;
}

/* Forget a pod that is not in the list of dirty ones. */
static void drop_pod(vc_events *ev, struct ev_pod *p)
{
    int there;
    size_t at = place_of(ev, p->id, &there);
    if (there) {
        memmove(ev->pods + at, ev->pods + at + 1, (ev->n_pods - at - 1) * sizeof *ev->pods);
        ev->n_pods--;
    }
    while (p->n_procs)
        drop_proc(ev, p, p->n_procs - 1);
    if (p->wd >= 0) {
        inotify_rm_watch(ev->inotify, p->wd);
        drop_wd(ev, p);
    }
    free(p->procs);
    vci_view_free(p->view);
    free(p->id);
    free(p);
}

/* ---- looking ---- */

/* Look once more in a moment. */
static int put_off(vc_events *ev, struct ev_pod *p)
{
    p->again = 1;
    if (ev->ticking)
        return 0;
    ev->ticking = 1;
    struct itimerspec in = { .it_value = { .tv_nsec = ev->pause } };
    ev->pause = ev->pause * 2 < AGAIN_MAX ? ev->pause * 2 : AGAIN_MAX;
    return timerfd_settime(ev->timer, 0, &in, NULL);
}

/* The new view takes the old one's place, and the events between them are appended, unless `silent`. */
static int replace(vc_events *ev, struct ev_pod *p, const struct vci_pod *pod, int silent, vc_error **err)
{
    struct vci_view *v = vci_view_new(pod, p->view);
    if (!v)
        return vci_fail(err, VC_ERR_NOMEM, 0, "out of memory");
    int rc = follow(ev, p, v, err);
    if (rc == 0 && !silent && vci_view_events(p->id, p->view, v, &ev->queue) < 0)
        rc = vci_fail(err, VC_ERR_NOMEM, 0, "out of memory");
    if (rc < 0) {
        vci_view_free(v);
        return rc;
    }
    vci_view_free(p->view);
    p->view = v;
    ev->pause = AGAIN_MIN;
    return 0;
}

/* Is the record what it was when this was read?  When nobody held the lock in between, nobody has ended the VM on
 * purpose: who does so replaces or removes the record before the lock is given back. */
static int same_record(const vc_events *ev, const struct vci_pod *was)
{
    struct vci_pod now;
    int same = vci_pod_open(&now, ev->ctx, was->dir.id, VCI_LOCK_NONE, NULL) == 0 && !now.op &&
               now.created_ns == was->created_ns && now.state != VCI_STOPPED && now.n_vmm == was->n_vmm &&
               (!now.n_vmm || (now.vmm[0].pid == was->vmm[0].pid && now.vmm[0].start_ticks == was->vmm[0].start_ticks));
    vci_pod_close(&now);
    return same;
}

/* A record that could be read. */
static int look_at(vc_events *ev, struct ev_pod *p, struct vci_pod *pod, int first, vc_error **err)
{
    int making = pod->op && strcmp(pod->op, "stop") != 0 && strcmp(pod->op, "start") != 0;
    int stopping = pod->op && strcmp(pod->op, "stop") == 0;
    p->half = making;
    if (making)
        return 0;            /* its end replaces the record, or removes it */
    if (pod->op && !p->view) /* in the middle of something, but not of being made: as it was before */
        return replace(ev, p, pod, first, err);
    if (pod->op && !stopping)
        return 0;
    vci_pod_refresh(pod);
    if (pod->died && pod->op)
        return 0;
    if (pod->died && !first && !(p->view && p->view->died)) {
        if (vci_store_held(&pod->dir))
            return put_off(ev, p) < 0 ? vci_fail(err, VC_ERR_IO, errno, "a timer cannot be set") : 0;
        if (!same_record(ev, pod)) {
            set_dirty(ev, p);
            return 0;
        }
    }
    return replace(ev, p, pod, first, err);
}

/* It is not there any more. */
static int look_gone(vc_events *ev, struct ev_pod *p, vc_error **err)
{
    if (p->view && vci_view_events(p->id, p->view, NULL, &ev->queue) < 0)
        return vci_fail(err, VC_ERR_NOMEM, 0, "out of memory");
    /* One that came and went between two looks may have been a whole pod. */
    if (!p->view && (!p->half || p->writes) && strncmp(p->id, "template-", 9) != 0)
        ev->lost = 1;
    return 1;
}

/* 0; 1: it is gone, and to be forgotten; or a code, when it could not be looked at. */
static int look(vc_events *ev, struct ev_pod *p, int first, vc_error **err)
{
    struct vci_pod pod;
    vci_autoerror vc_error *e = NULL;
    vci_pod_init(&pod, ev->ctx);
    int rc = watch_pod(ev, p, err), writes = p->writes;
    if (rc < 0)
        return rc;
    p->writes = 0;
    rc = vci_pod_open(&pod, ev->ctx, p->id, VCI_LOCK_NONE, &e);
    int there = pod.dir.run_path != NULL;
    if (rc == 0) {
        p->unreadable = 0;
        rc = look_at(ev, p, &pod, first, err);
    } else if (rc == VC_ERR_NOTFOUND) {
        p->writes = there ? 0 : writes;
        rc = there ? 0 : look_gone(ev, p, err); /* half of it is there still: being made, or being removed */
    } else if (rc == VC_ERR_NOMEM || rc == VC_ERR_RESOURCE) {
        *err = VCS_TAKE_PTR(e);
    } else {
        ev->lost |= !p->unreadable && !first;
        p->unreadable = 1;
        rc = 0;
    }
    vci_pod_close(&pod);
    return rc;
}

/* Look at the first of those that are dirty. */
static int look_next(vc_events *ev, int first, vc_error **err)
{
    struct ev_pod *p = ev->dirty;
    p->dirty = 0; /* what happens from here on makes it dirty again */
    ev->dirty = p->next;
    if (!ev->dirty)
        ev->dirty_end = &ev->dirty;
    int rc = look(ev, p, first, err);
    if (rc < 0)
        set_dirty(ev, p);
    else if (rc == 1 && !p->dirty)
        drop_pod(ev, p);
    return rc < 0 ? rc : 0;
}

/* Everything may have changed. */
static int scan_all(vc_events *ev, vc_error **err)
{
    char **ids = NULL;
    size_t n = 0;
    int rc = watch_roots(ev, err);
    if (rc == 0)
        rc = vci_store_list(ev->ctx, &ids, &n, err);
    for (size_t i = 0; rc == 0 && i < n; i++) {
        if (ev->only && strcmp(ev->only, ids[i]) != 0)
            continue;
        if (!get_pod(ev, ids[i]))
            rc = vci_fail(err, VC_ERR_NOMEM, 0, "out of memory");
    }
    vci_store_list_free(ids, n);
    for (size_t i = 0; rc == 0 && i < ev->n_pods; i++)
        set_dirty(ev, ev->pods[i]);
    if (rc == 0)
        ev->rescan = 0;
    return rc;
}

/* ---- what the kernel says ---- */

static void root_event(vc_events *ev, const struct inotify_event *e)
{
    int there;
    if (e->mask & (IN_IGNORED | IN_UNMOUNT)) { /* the directory itself is gone: it is made anew */
        if (e->wd == ev->state_wd)
            ev->state_wd = -1;
        if (e->wd == ev->run_wd)
            ev->run_wd = -1;
        ev->rescan = ev->lost = 1;
        return;
    }
    if (!e->len || vci_check_id("pod id", e->name, NULL) < 0 || (ev->only && strcmp(ev->only, e->name) != 0))
        return;
    size_t at = place_of(ev, e->name, &there);
    struct ev_pod *p = there ? ev->pods[at] : NULL;
    /* What is removed and not known was never of interest: the leftovers of a pod in the other root. */
    if (!p && (e->mask & (IN_CREATE | IN_MOVED_TO)) && !(p = get_pod(ev, e->name)))
        ev->rescan = ev->lost = 1;
    if (p)
        set_dirty(ev, p);
}

static void handle(vc_events *ev, const struct inotify_event *e)
{
    if (e->mask & IN_Q_OVERFLOW) {
        ev->rescan = ev->lost = 1;
        return;
    }
    if (e->wd == ev->state_wd || e->wd == ev->run_wd) {
        root_event(ev, e);
        return;
    }
    struct ev_wd *w = find_wd(ev, e->wd);
    struct ev_pod *p = w ? w->pod : NULL;
    if (!p)
        return;
    if (e->mask & IN_IGNORED)
        drop_wd(ev, p);
    else if ((e->mask & IN_MOVED_TO) && strcmp(e->name, "pod.json") != 0)
        return;
    p->writes += (e->mask & IN_MOVED_TO) != 0;
    set_dirty(ev, p);
}

static int read_inotify(vc_events *ev, vc_error **err)
{
    _Alignas(struct inotify_event) char buf[16384];
    ssize_t n = read(ev->inotify, buf, sizeof buf);
    if (n < 0 && errno != EAGAIN && errno != EINTR)
        return vci_fail(err, VC_ERR_IO, errno, "cannot read what inotify says");
    for (ssize_t at = 0; at < n;) {
        const struct inotify_event *e = (const struct inotify_event *)(const void *)(buf + at);
        at += (ssize_t)(sizeof *e + e->len);
        handle(ev, e);
    }
    return 0;
}

static void timer_fired(vc_events *ev)
{
    uint64_t count;
    if (read(ev->timer, &count, sizeof count) < 0 && errno == EAGAIN)
        return;
    ev->ticking = 0;
    for (size_t i = 0; i < ev->n_pods; i++)
        if (ev->pods[i]->again)
            set_dirty(ev, ev->pods[i]);
}

/* Take in what is there, without waiting.  How many things, or a code. */
static int take_in(vc_events *ev, vc_error **err)
{
    struct epoll_event got[64];
    int n = epoll_wait(ev->epfd, got, 64, 0);
    if (n < 0)
        return errno == EINTR ? 0 : vci_fail(err, VC_ERR_IO, errno, "cannot look for events");
    for (int i = 0; i < n; i++) {
        void *p = got[i].data.ptr;
        int rc = 0;
        if (p == &ev->inotify) {
            rc = read_inotify(ev, err);
        } else if (p == &ev->timer) {
            timer_fired(ev);
        } else if (p != &ev->wake) {
            struct ev_proc *w = p;
            close_proc(ev, w);
            set_dirty(ev, w->pod);
        }
        if (rc < 0)
            return rc;
    }
    return n;
}

/* The descriptor is readable as long as something is left to be told or to be looked at. */
static void set_awake(vc_events *ev, int on)
{
    uint64_t one = 1;
    if (on == ev->awake)
        return;
    if (on ? write(ev->wake, &one, sizeof one) == sizeof one : read(ev->wake, &one, sizeof one) == sizeof one)
        ev->awake = on;
}

/* ---- the API ---- */

void vc_events_close(vc_events *ev)
{
    if (!ev)
        return;
    for (struct vc_event *e; (e = vci_queue_take(&ev->queue));)
        vc_event_free(e);
    free(ev->queue.list);
    while (ev->n_pods)
        drop_pod(ev, ev->pods[ev->n_pods - 1]);
    int fds[] = { ev->inotify, ev->wake, ev->timer, ev->epfd };
    for (size_t i = 0; i < sizeof fds / sizeof *fds; i++)
        if (fds[i] >= 0)
            close(fds[i]);
    free(ev->pods);
    free(ev->wds);
    free(ev->only);
    free(ev);
}

static int add_fd(const vc_events *ev, int *fd)
{
    struct epoll_event e = { .events = EPOLLIN, .data.ptr = fd };
    return *fd < 0 ? -1 : epoll_ctl(ev->epfd, EPOLL_CTL_ADD, *fd, &e);
}

static int make_fds(vc_events *ev, vc_error **err)
{
    ev->epfd = epoll_create1(EPOLL_CLOEXEC);
    ev->inotify = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
    if (ev->inotify < 0 && errno == EMFILE)
        return vci_fail(err, VC_ERR_RESOURCE, 0,
                        "cannot watch pods: no descriptor is left, or this user has no more inotify instances "
                        "(fs.inotify.max_user_instances)");
    ev->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    ev->timer = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
    if (ev->epfd < 0 || add_fd(ev, &ev->inotify) < 0 || add_fd(ev, &ev->wake) < 0 || add_fd(ev, &ev->timer) < 0)
        return vci_fail(err, vci_code_of(errno), errno, "cannot watch pods");
    return 0;
}

static int events_open(vc_events *ev, vc_error **err)
{
    int rc = make_fds(ev, err);
    if (rc == 0 && ev->only)
        rc = vci_check_id("pod id", ev->only, err);
    /* Watches come before the first look: what happens from then on is seen. */
    if (rc == 0)
        rc = scan_all(ev, err);
    while (rc == 0 && ev->dirty)
        rc = look_next(ev, 1, err);
    ev->lost = 0; /* nothing was known yet */
    if (rc == 0 && ev->only && !ev->n_pods)
        rc = vci_fail(err, VC_ERR_NOTFOUND, 0, "there is no pod \"%s\"", ev->only);
    return rc;
}

int vc_events_open(vc_context *ctx, const char *pod, vc_events **ret_events, vc_error **err)
{
    VCI_NEED(ctx, err);
    VCI_NEED(ret_events, err);
    vc_error *e = NULL;
    int rc = 0;
    vc_events *ev = calloc(1, sizeof *ev);
    if (ev) {
        ev->ctx = ctx;
        ev->epfd = ev->inotify = ev->wake = ev->timer = ev->state_wd = ev->run_wd = -1;
        ev->pause = AGAIN_MIN;
        ev->dirty_end = &ev->dirty;
        ev->only = pod ? strdup(pod) : NULL;
    }
    if (!ev || (pod && !ev->only))
        rc = vci_fail(&e, VC_ERR_NOMEM, 0, "out of memory");
    else
        rc = events_open(ev, &e);
    if (rc < 0)
        vc_events_close(ev);
    else
        *ret_events = ev;
    return vci_api_end(rc, e, err);
}

int vc_events_fd(const vc_events *events)
{
    return events ? events->epfd : -1;
}

static int events_next(vc_events *ev, struct vc_event **ret, vc_error **err)
{
    while (!ev->queue.n) {
        int rc = 0;
        if (ev->rescan) {
            rc = scan_all(ev, err);
        } else if (ev->dirty) {
            rc = look_next(ev, 0, err);
        } else {
            set_awake(ev, 0);
            rc = take_in(ev, err);
            if (rc == 0)
                break;
        }
        if (rc < 0)
            return rc;
    }
    /* All is known again: said once, however much was lost. */
    if (!ev->queue.n && ev->lost) {
        if (vci_queue_add(&ev->queue, VC_EVENT_LOST, "", NULL, NULL, -1) < 0)
            return vci_fail(err, VC_ERR_NOMEM, 0, "out of memory");
        ev->lost = 0;
    }
    *ret = vci_queue_take(&ev->queue);
    return *ret ? 0 : vci_fail(err, VC_ERR_NOTFOUND, 0, "there is no event now");
}

int vc_events_next(vc_events *events, struct vc_event **ret_event, vc_error **err)
{
    VCI_NEED(events, err);
    VCI_NEED(ret_event, err);
    vc_error *e = NULL;
    struct vc_event *got = NULL;
    int rc = events_next(events, &got, &e);
    if (rc == 0)
        *ret_event = got;
    set_awake(events, events->queue.n || events->dirty || events->rescan || events->lost);
    return vci_api_end(rc, e, err);
}

void vc_event_free(struct vc_event *event)
{
    free(event);
}

const char *vc_event_name(uint32_t type)
{
    static const char *const names[] = {
        [VC_EVENT_POD_CREATED] = "pod-created",
        [VC_EVENT_POD_STARTED] = "pod-started",
        [VC_EVENT_POD_PAUSED] = "pod-paused",
        [VC_EVENT_POD_RESUMED] = "pod-resumed",
        [VC_EVENT_POD_STOPPED] = "pod-stopped",
        [VC_EVENT_POD_DELETED] = "pod-deleted",
        [VC_EVENT_VM_DIED] = "vm-died",
        [VC_EVENT_CONTAINER_CREATED] = "container-created",
        [VC_EVENT_CONTAINER_STARTED] = "container-started",
        [VC_EVENT_CONTAINER_PAUSED] = "container-paused",
        [VC_EVENT_CONTAINER_RESUMED] = "container-resumed",
        [VC_EVENT_CONTAINER_EXITED] = "container-exited",
        [VC_EVENT_CONTAINER_DELETED] = "container-deleted",
        [VC_EVENT_EXEC_STARTED] = "exec-started",
        [VC_EVENT_EXEC_EXITED] = "exec-exited",
        [VC_EVENT_OOM] = "oom",
        [VC_EVENT_LOST] = "lost",
    };
    return type < sizeof names / sizeof *names && names[type] ? names[type] : "unknown";
}
