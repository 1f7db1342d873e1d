/* SPDX-License-Identifier: Apache-2.0 */
/* hook-run.c: running hooks: in the pod's network namespace, with the OCI state on stdin, bounded in time and output.
 *
 * A hook is the leader of a session and process group of its own.  When its time is over the whole group is killed;
 * what has left the group by then is not found any more.  What a hook that ends by itself leaves running goes on: hooks
 * may start daemons.  The ledger names the hook while it runs, so that one whose caller was killed is ended by the next
 * who removes the pod.
 *
 * The pid that the state names is a process inside the pod's network namespace, because hooks find it by that
 * (docker's libnetwork does): the VMM when it is in there, else the hook itself, which has entered it; 0 once the pod
 * or container is stopped. */
#include <errno.h>
#include <fcntl.h>
#include <json-c/json.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "ledger-undo.h"
#include "lib/buf.h"
#include "lib/io.h"
#include "lib/proc.h"
#include "network.h"

#define OUTPUT_MAX  (64u * 1024)        /* of each stream that is kept */
#define DRAIN_MAX   (1024u * 1024)      /* read after its end, at most: a daemon that it left may go on writing */
#define END_NS      INT64_C(5000000000) /* for the end of what was killed */
#define LOG_LINES   100
#define QUOTE_LINES 3
#define QUOTE_MAX   300

/* ---- the state ---- */

static const char *const bundle_keys[] = {
    "com.github.containers.virtcontainers.pkg.oci.bundle_path",
    "io.katacontainers.pkg.oci.bundle_path",
};

/* "key=value" pairs as an object. */
static json_object *pairs(char **v)
{
    json_object *o = json_object_new_object();
    for (; v && *v; v++) {
        const char *eq = strchr(*v, '=');
        vcs_autofree char *key = eq ? strndup(*v, (size_t)(eq - *v)) : NULL;
        if (key)
            json_object_object_add(o, key, json_object_new_string(eq + 1));
    }
    return o;
}

/* The directory of its config.json: as an annotation says, else where the root file system lies beside one. */
static json_object *bundle_of(json_object *annotations, const struct vci_ctr *c)
{
    json_object *v = NULL;
    for (size_t i = 0; i < sizeof bundle_keys / sizeof *bundle_keys; i++)
        if (json_object_object_get_ex(annotations, bundle_keys[i], &v) && json_object_is_type(v, json_type_string))
            return json_object_get(v);
    const char *slash = c && c->rootfs ? strrchr(c->rootfs, '/') : NULL;
    vcs_autofree char *dir = slash && slash > c->rootfs ? strndup(c->rootfs, (size_t)(slash - c->rootfs)) : NULL;
    vcs_autofree char *file = NULL;
    if (dir && asprintf(&file, "%s/config.json", dir) < 0)
        file = NULL;
    return json_object_new_string(file && access(file, F_OK) == 0 ? dir : "");
}

/* The state but for "pid". */
static json_object *state_of(const struct vci_pod *pod, const struct vci_ctr *c, enum vci_hook_list list)
{
    static const char *const words[VCI_HOOK_LISTS] = { "creating", "running", "stopped" };
    json_object *o = json_object_new_object(), *a = pairs(c ? c->annotations : pod->annotations);
    json_object_object_add(o, "ociVersion", json_object_new_string("1.0.2"));
    json_object_object_add(o, "id", json_object_new_string(c ? c->id : pod->dir.id));
    json_object_object_add(o, "status", json_object_new_string(words[list]));
    json_object_object_add(o, "bundle", bundle_of(a, c ? c : pod->n_ctrs ? pod->ctrs[0] : NULL));
    json_object_object_add(o, "annotations", a);
    return o;
}

/* Is the process in the network namespace of the hook? */
static int in_netns(const struct vc_proc *p, int netns_fd)
{
    char path[40];
    struct stat a, b;
    snprintf(path, sizeof path, "/proc/%d/ns/net", p->pid);
    if (stat(path, &a) < 0 || (netns_fd >= 0 ? fstat(netns_fd, &b) : stat("/proc/self/ns/net", &b)) < 0)
        return 0;
    return a.st_dev == b.st_dev && a.st_ino == b.st_ino;
}

static int pid_for(const struct vci_pod *pod, enum vci_hook_list list, int netns_fd, const struct vc_proc *hook)
{
    if (list == VCI_HOOK_POSTSTOP)
        return 0;
    if (pod->n_vmm && vci_proc_lives(&pod->vmm[0]) && in_netns(&pod->vmm[0], netns_fd))
        return pod->vmm[0].pid;
    return hook->pid;
}

/* ---- one hook ---- */

/* A hook on its way. */
struct run {
    struct vci_pod *pod;
    const struct vci_hook *hook;
    enum vci_hook_list list;
    struct vc_proc proc;
    int in[2], out[2], err[2]; /* read end, write end; -1 = closed */
    const char *text;          /* what is left to be written to its stdin */
    size_t text_len;
    struct vcs_buf said[2]; /* its stdout and stderr */
    int64_t deadline;
    int by_hook;    /* the deadline is the hook's own timeout */
    int killed;     /* VC_ERR_TIMEOUT, VC_ERR_CANCELLED, or another code: why it was killed */
    int status;     /* of wait(2); -1 = somebody else has it */
    char name[300]; /* for sentences */
};

static void shut(int *fd)
{
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}

static int make_pipes(struct run *r, vc_error **err)
{
    int *pairs_of[] = { r->in, r->out, r->err };
    for (size_t i = 0; i < 3; i++)
        if (pipe2(pairs_of[i], O_CLOEXEC) < 0)
            return vci_fail(err, vci_code_of(errno), errno, "%s: no pipe", r->name);
    int bad = vcs_set_nonblock(r->in[1], 1) | vcs_set_nonblock(r->out[0], 1) | vcs_set_nonblock(r->err[0], 1);
    return bad ? vci_fail(err, VC_ERR_IO, 0, "%s: its pipes cannot be set up", r->name) : 0;
}

static int spawn(struct run *r, int netns_fd, vc_error **err)
{
    static const char *const no_env[] = { NULL };
    const struct vci_hook *h = r->hook;
    const char *only_path[] = { h->path, NULL };
    struct vc_spawn s = {
        .size = sizeof s,
        .path = h->path,
        .argv = h->args && h->args[0] ? (const char *const *)h->args : only_path,
        .envp = h->env ? (const char *const *)h->env : no_env,
        .netns_fd = netns_fd,
        .stdio = { r->in[0], r->out[1], r->err[1] },
    };
    int rc = vci_spawn_as(r->pod->ctx, &r->pod->dir, VCI_RES_HOOK, "core", &s, r->deadline, &r->proc, err);
    shut(&r->out[1]);
    shut(&r->err[1]);
    if (rc < 0)
        vci_context(err, "%s", r->name);
    if (rc == VC_ERR_NOTFOUND || rc == VC_ERR_PERM) { /* "no such pod" would be the wrong thing to understand */
        rc = VC_ERR_CONFIG;
        if (!(*err)->fixed)
            (*err)->code = rc;
    }
    return rc;
}

/* Feed it.  Our own copy of the read end is open until all is written, so that there is never a SIGPIPE. */
static void feed(struct run *r)
{
    while (r->text_len) {
        ssize_t n = write(r->in[1], r->text, r->text_len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno == EAGAIN)
            return;
        if (n < 0)
            break;
        r->text += n;
        r->text_len -= (size_t)n;
    }
    shut(&r->in[1]);
    shut(&r->in[0]);
}

/* Read what is there, at most `max` bytes, and keep the beginning. */
static void listen_to(int *fd, struct vcs_buf *said, size_t max)
{
    char buf[8192];
    for (size_t got = 0; *fd >= 0 && got < max;) {
        ssize_t n = read(*fd, buf, sizeof buf);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno == EAGAIN)
            return;
        if (n <= 0) {
            shut(fd);
            return;
        }
        got += (size_t)n;
        size_t room = said->len < OUTPUT_MAX ? OUTPUT_MAX - said->len : 0;
        vcs_buf_append(said, buf, (size_t)n < room ? (size_t)n : room);
    }
}

/* Until it has ended (0), or must be killed (why). */
static int attend(struct run *r, int pidfd)
{
    const vc_context *ctx = r->pod->ctx;
    for (;;) {
        struct pollfd p[5] = {
            { .fd = pidfd, .events = POLLIN },
            { .fd = r->in[1], .events = POLLOUT },
            { .fd = r->out[0], .events = POLLIN },
            { .fd = r->err[0], .events = POLLIN },
            { .fd = r->pod->dir.cancellable ? ctx->cancel_fd : -1, .events = POLLIN },
        };
        int n = poll(p, 5, vcs_poll_timeout(r->deadline));
        if (n < 0 && errno != EINTR)
            return VC_ERR_IO;
        if (n <= 0) {
            if (r->deadline && vcs_poll_timeout(r->deadline) == 0)
                return VC_ERR_TIMEOUT;
            continue;
        }
        if (p[0].revents)
            return 0;
        if (p[4].revents)
            return VC_ERR_CANCELLED;
        if (p[1].revents)
            feed(r);
        if (p[2].revents)
            listen_to(&r->out[0], &r->said[0], OUTPUT_MAX);
        if (p[3].revents)
            listen_to(&r->err[0], &r->said[1], OUTPUT_MAX);
        /* One that never stops writing does not get around its timeout. */
        if (r->deadline && vcs_poll_timeout(r->deadline) == 0)
            return VC_ERR_TIMEOUT;
    }
}

/* Forget it, when it has ended. */
static void finish(struct run *r)
{
    char name[64];
    vci_fault_point("hook-ended");
    if (vcs_proc_wait(&r->proc, vcs_now_ns() + END_NS, &r->status) < 0) {
        vci_log(r->pod->ctx, VC_LOG_WARN, r->pod->dir.id, "%s (process %d) was killed and has not ended", r->name,
                r->proc.pid);
        return; /* it stays in the ledger */
    }
    snprintf(name, sizeof name, "%d %llu", r->proc.pid, (unsigned long long)r->proc.start_ticks);
    vci_ledger_del_name(&r->pod->dir, VCI_RES_HOOK, name, NULL);
    vci_fault_point("hook-reaped");
}

/* ---- how it went ---- */

/* The first lines with text, on one line; "" when there are none. */
static void quote(const char *label, const struct vcs_buf *said, char *buf, size_t size)
{
    const char *p = said->len ? (const char *)vcs_buf_data(said) : "", *end = p + said->len;
    size_t lines = 0, at = 0;
    char text[QUOTE_MAX];
    buf[0] = '\0';
    while (p < end && lines < QUOTE_LINES && at + 4 < sizeof text) {
        const char *nl = memchr(p, '\n', (size_t)(end - p));
        size_t n = (size_t)((nl ? nl : end) - p);
        if (n) {
            if (lines++)
                at += (size_t)snprintf(text + at, sizeof text - at, " | ");
            at += vci_escape(text + at, sizeof text - at, p, n);
        }
        p += n + (nl != NULL);
    }
    if (lines)
        snprintf(buf, size, "; its %s: %s", label, text);
}

static int verdict(struct run *r, vc_error **err)
{
    char out[QUOTE_MAX + 32], errs[QUOTE_MAX + 32], how[160];
    int rc = VC_ERR_PEER;
    if (r->killed == VC_ERR_TIMEOUT) {
        rc = r->killed;
        if (r->by_hook)
            snprintf(how, sizeof how, "did not end within its timeout of %u s and was killed", r->hook->timeout);
        else
            snprintf(how, sizeof how, "did not end before the deadline of the operation and was killed");
    } else if (r->killed) {
        rc = r->killed;
        snprintf(how, sizeof how,
                 r->killed == VC_ERR_CANCELLED ? "was killed, since the operation was cancelled"
                                               : "was killed, since it cannot be waited for");
    } else if (r->status < 0) {
        snprintf(how, sizeof how,
                 "ended, and how is not known: this program ignores SIGCHLD, or waits for processes that "
                 "it did not start");
    } else if (WIFSIGNALED(r->status)) {
        const char *word = sigdescr_np(WTERMSIG(r->status));
        snprintf(how, sizeof how, "was ended by signal %d (%s)", WTERMSIG(r->status), word ? word : "unknown");
    } else if (WEXITSTATUS(r->status)) {
        snprintf(how, sizeof how, "ended with exit status %d", WEXITSTATUS(r->status));
    } else {
        return 0;
    }
    quote("stderr", &r->said[1], errs, sizeof errs);
    quote("stdout", &r->said[0], out, sizeof out);
    return vci_fail(err, rc, 0, "%s %s%s%s", r->name, how, errs, out);
}

/* What it printed, a line each, as far as it is not a flood. */
static void log_output(const struct run *r)
{
    for (size_t s = 0; s < 2 && vci_log_on(r->pod->ctx, VC_LOG_INFO); s++) {
        const char *p = r->said[s].len ? (const char *)vcs_buf_data(&r->said[s]) : "", *end = p + r->said[s].len;
        for (size_t lines = 0; p < end; lines++) {
            const char *nl = memchr(p, '\n', (size_t)(end - p));
            size_t n = (size_t)((nl ? nl : end) - p);
            if (lines == LOG_LINES) {
                vci_log(r->pod->ctx, VC_LOG_INFO, r->pod->dir.id, "%s, %s: more follows, which is left out", r->name,
                        s ? "stderr" : "stdout");
                break;
            }
            if (n)
                vci_log(r->pod->ctx, VC_LOG_INFO, r->pod->dir.id, "%s, %s: %.*s", r->name, s ? "stderr" : "stdout",
                        (int)(n < 2048 ? n : 2048), p);
            p += n + (nl != NULL);
        }
    }
}

static void attend_and_end(struct run *r)
{
    int pidfd = vcs_proc_fd(&r->proc);
    if (pidfd >= 0) {
        feed(r);
        r->killed = attend(r, pidfd);
        close(pidfd);
    } else if (pidfd != -ESRCH) { /* -ESRCH: it has ended already */
        r->killed = vci_code_of(pidfd);
    }
    if (r->killed)
        vci_kill_group(&r->proc);
    finish(r);
    listen_to(&r->out[0], &r->said[0], DRAIN_MAX);
    listen_to(&r->err[0], &r->said[1], DRAIN_MAX);
}

/* Run one and wait for its end. */
static int run_one(struct run *r, json_object *state, int netns_fd, vc_error **err)
{
    int rc = make_pipes(r, err);
    vci_fault_point("hook");
    if (rc == 0)
        rc = spawn(r, netns_fd, err);
    if (rc == 0) {
        json_object_object_add(state, "pid", json_object_new_int(pid_for(r->pod, r->list, netns_fd, &r->proc)));
        r->text = json_object_to_json_string_ext(state, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE);
        r->text_len = r->text ? strlen(r->text) : 0;
        attend_and_end(r);
        log_output(r);
        rc = verdict(r, err);
    }
    for (size_t i = 0; i < 2; i++) {
        shut(&r->in[i]);
        shut(&r->out[i]);
        shut(&r->err[i]);
        vcs_buf_done(&r->said[i]);
    }
    return rc;
}

/* ---- a list ---- */

/* `log`: failures are logged, and the rest is run. */
static int run_list(struct vci_pod *pod, struct vci_ctr *c, enum vci_hook_list list, int64_t deadline, int log,
                    vc_error **err)
{
    struct vci_hooks *h = c ? &c->hooks : &pod->hooks;
    vci_autoerror vc_error *e = NULL;
    int netns_fd = -1, rc = 0;
    if (!h->n[list])
        return 0;
    rc = vci_net_open_ns(pod, &netns_fd, &e);
    if (rc == VC_ERR_NOTFOUND && list == VCI_HOOK_POSTSTOP) { /* it went before them, but what they undo need not have */
        vci_log(pod->ctx, VC_LOG_INFO, pod->dir.id, "poststop hooks: %s", vc_error_text(e));
        vc_error_free(VCS_TAKE_PTR(e));
        rc = 0;
    }
    vcs_autoclose int ns = netns_fd;
    json_object *state = rc == 0 ? state_of(pod, c, list) : NULL;
    for (size_t i = 0; rc == 0 && i < h->n[list]; i++) {
        int64_t now = vcs_now_ns(), until = log && !deadline ? vci_pod_deadline(pod->ctx, "call_timeout") : deadline;
        struct run r = { .pod = pod,
                         .hook = &h->list[list][i],
                         .list = list,
                         .in = { -1, -1 },
                         .out = { -1, -1 },
                         .err = { -1, -1 },
                         .status = -1,
                         .deadline = until };
        int64_t own = now + (int64_t)r.hook->timeout * 1000000000;
        if (r.hook->timeout && (!until || own < until)) {
            r.deadline = own;
            r.by_hook = 1;
        }
        snprintf(r.name, sizeof r.name, "%s hook %zu of %zu of %s \"%.80s\" (%.120s)", vci_hook_list_name(list), i + 1,
                 h->n[list], c ? "container" : "pod", c ? c->id : pod->dir.id, r.hook->path);
        rc = run_one(&r, state, ns, &e);
        if (rc < 0 && log && rc != VC_ERR_CANCELLED) {
            vci_log(pod->ctx, VC_LOG_WARN, pod->dir.id, "%s", vc_error_text(e));
            vc_error_free(VCS_TAKE_PTR(e));
            rc = 0;
        }
    }
    json_object_put(state);
    if (rc < 0 && log)
        vci_log(pod->ctx, VC_LOG_WARN, pod->dir.id, "%s hooks: %s", vci_hook_list_name(list), vc_error_text(e));
    else if (rc < 0 && err)
        *err = VCS_TAKE_PTR(e);
    return log ? 0 : rc;
}

int vci_hooks_prestart(struct vci_pod *pod, struct vci_ctr *c, int64_t deadline, vc_error **err)
{
    struct vci_hooks *h = c ? &c->hooks : &pod->hooks;
    if (!vci_hooks_any(h))
        return 0;
    vci_hooks_poststop(pod, c); /* of its last life, when nobody has told those of its end */
    if (h->n[VCI_HOOK_POSTSTOP]) {
        h->due = 1;
        int rc = vci_pod_save(pod, err);
        vci_fault_point("hooks-noted");
        if (rc < 0)
            return rc;
    }
    int rc = run_list(pod, c, VCI_HOOK_PRESTART, deadline, 0, err);
    if (rc == 0 && h->n[VCI_HOOK_PRESTART])
        vci_phase(pod->ctx, pod->dir.id, c ? "container-prestart-hooks" : "prestart-hooks");
    return rc;
}

void vci_hooks_poststart(struct vci_pod *pod, struct vci_ctr *c, int64_t deadline)
{
    run_list(pod, c, VCI_HOOK_POSTSTART, deadline, 1, NULL);
}

void vci_hooks_poststop(struct vci_pod *pod, struct vci_ctr *c)
{
    struct vci_hooks *h = c ? &c->hooks : &pod->hooks;
    if (!h->due)
        return;
    int cancellable = pod->dir.cancellable;
    pod->dir.cancellable = 0; /* it is part of undoing */
    run_list(pod, c, VCI_HOOK_POSTSTOP, 0, 1, NULL);
    pod->dir.cancellable = cancellable;
    h->due = 0;
    vci_fault_point("poststop-done");
}

size_t vci_hooks_end_strays(struct vci_pod *pod)
{
    struct vci_ledger_entry *entries = NULL;
    size_t n = 0, ended = 0;
    if (vci_ledger_read(&pod->dir, &entries, &n, NULL) < 0)
        return 0;
    for (size_t i = n; i-- > 0;) {
        char what[512];
        if (entries[i].type != VCI_RES_HOOK)
            continue;
        int r = vci_ledger_is_past(&entries[i])
                    ? 0
                    : vci_undo_one(&pod->dir, entries[i].type, entries[i].name,
                                   vci_pod_deadline(pod->ctx, "call_timeout"), what, sizeof what, NULL);
        ended += r > 0;
        if (r >= 0)
            vci_ledger_del(&pod->dir, entries[i].n, NULL);
    }
    vci_ledger_entries_free(entries, n);
    return ended;
}
