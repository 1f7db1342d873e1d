/* SPDX-License-Identifier: Apache-2.0 */
/* pod.c: instances with their directories and worlds, the calls that every kind has, and the story of a life. */
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <net/if.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#include "conformance/memory-long.h"
#include "conformance/watch.h"
#include "lib/io.h"
#include "lib/proc.h"

#define USUAL_MS 10000
#define CALLS    16

/* ---- calls ---- */

/* The error report of this thread: the check's own for the main one. */
static struct vc_err *my_err(struct vct *t)
{
    static _Thread_local struct vc_err other;
    return gettid() == getpid() ? &t->err : &other;
}

struct vc_call *vct_call(struct vct *t, int timeout_ms)
{
    static _Thread_local struct vc_call ring[CALLS];
    static _Thread_local unsigned turn;
    struct vc_call *call = &ring[turn++ % CALLS];
    struct vc_err *err = my_err(t);
    err->code = err->sys = err->sets = 0;
    err->text[0] = '\0';
    vct_here.err = err;
    *call = (struct vc_call){
        .size = sizeof(*call),
        .deadline_ns = timeout_ms ? vcs_now_ns() + (int64_t)timeout_ms * 1000000 : 0,
        .err = err,
        .trace_id = "vc-plugin-test",
    };
    return call;
}

/* ---- life of a pod ---- */

/* Ids of pods may be anything; the name of their directory may not. */
static int is_plain(const char *id)
{
    size_t n = strspn(id, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_.-");
    return n && !id[n] && id[0] != '.' && n <= 64;
}

static int make_dir(const char *path)
{
    return mkdir(path, 0700) < 0 && errno != EEXIST ? -1 : 0;
}

static int make_dirs(struct vct_pod *pod)
{
    static atomic_uint odd;
    struct vct *t = pod->t;
    vcs_autofree char *pods = NULL, *share = NULL, *state = NULL;
    char name[160];
    if (is_plain(pod->id))
        snprintf(name, sizeof(name), "%s", pod->id);
    else
        snprintf(name, sizeof(name), "odd%u", atomic_fetch_add(&odd, 1));
    if (asprintf(&pods, "%s/pods", t->s->scratch) < 0 || asprintf(&state, "%s/state", t->s->scratch) < 0 ||
        asprintf(&pod->dir, "%s/%s", pods, name) < 0 || asprintf(&pod->run, "%s/run", pod->dir) < 0 ||
        asprintf(&share, "%s/share", pod->dir) < 0)
        return -1;
    return make_dir(pods) < 0 || make_dir(state) < 0 || make_dir(pod->dir) < 0 || make_dir(pod->run) < 0 ||
                   make_dir(share) < 0
               ? -1
               : 0;
}

struct vct_pod *vct_pod_new(struct vct *t, const char *id, unsigned flags)
{
    static atomic_uint n;
    struct vct_pod *pod = calloc(1, sizeof(*pod));
    if (!pod)
        vct_skip(t, "the machine has no memory left");
    pod->t = t;
    if (id)
        snprintf(pod->id, sizeof(pod->id), "%s", id);
    else
        snprintf(pod->id, sizeof(pod->id), "pod%u-%d", atomic_fetch_add(&n, 1), (int)getpid());
    pod->state = VCT_ST_FRESH;
    vct_host_init(pod);
    pod->table = &pod->host;
    if (make_dirs(pod) < 0) {
        int sys = errno;
        free(pod->dir);
        free(pod->run);
        free(pod);
        vct_skip(t, "no directory can be made below %s: %s", t->s->scratch, strerror(sys));
    }
    vct_ledger_read(pod);
    vct_lock();
    pod->next = t->pods;
    t->pods = pod;
    vct_unlock();
    char why[512] = "";
    if (!(flags & VCT_NO_WORLD) && t->kind && t->kind->world_up && t->kind->world_up(pod, why, sizeof(why)))
        vct_skip(t, "%s", why[0] ? why : "the world of this kind of plugin cannot be had here");
    return pod;
}

/* The instance is there: what it can do. */
static int made(struct vct_pod *pod, int r, const char *what, vc_inst *inst)
{
    struct vct *t = pod->t;
    vct_cfg_poison(pod);
    if (r != VC_OK) {
        pod->live = 0;
        return r;
    }
    if (!inst || (uintptr_t)inst == (uintptr_t)UINT64_C(0xa7a7a7a7a7a7a7a7))
        vct_fail(t, "%s answered VC_OK and gave no instance", what);
    pod->inst = inst;
    vct_here.pod = pod;
    vct_enter(t, "caps");
    pod->caps = vct_inst_ops(t)->caps(inst);
    vct_leave(t, 0);
    vct_here.pod = NULL;
    return VC_OK;
}

/* A copy of the id that is valid as long as the call is. */
static char *lent_id(struct vct_pod *pod)
{
    char *id = strdup(pod->id);
    if (!id)
        vct_skip(pod->t, "the machine has no memory left");
    return id;
}

static void take_back(char *text, size_t n)
{
    if (text)
        memset(text, '?', n);
    free(text);
}

int vct_pod_create(struct vct_pod *pod)
{
    struct vct *t = pod->t;
    const struct vc_inst_ops *ops = vct_inst_ops(t);
    struct vc_call *call = vct_call(t, USUAL_MS);
    int r = vct_cfg_check(pod, call->err);
    if (r)
        return r;
    vc_inst *inst;
    char *id = lent_id(pod);
    pod->cfg.poisoned = 0;
    pod->live = 1;
    vct_here.pod = pod;
    vct_out(t, &inst, sizeof(inst), 1);
    r = VCT(t, ops->create, pod->table, call, &pod->cfg, id, &inst);
    vct_here.pod = NULL;
    take_back(id, strlen(id));
    r = made(pod, r, "create", inst);
    if (r == VC_OK)
        pod->state = VCT_ST_FRESH;
    return r;
}

void vct_pod_make(struct vct_pod *pod)
{
    int r = vct_pod_create(pod);
    if (r != VC_OK)
        vct_fail(pod->t, "create answered %s: %s", vct_code(r), pod->t->err.text);
}

int vct_pod_restore(struct vct_pod *pod, uint32_t version, const void *state, size_t len)
{
    struct vct *t = pod->t;
    const struct vc_inst_ops *ops = vct_inst_ops(t);
    struct vc_call *call = vct_call(t, USUAL_MS);
    int r = vct_cfg_check(pod, call->err);
    if (r)
        return r;
    vc_inst *inst;
    char *id = lent_id(pod);
    char *bytes = malloc(len ? len : 1); /* its end is the end of the block, for a sanitizer */
    if (!bytes)
        vct_skip(t, "the machine has no memory left");
    if (len)
        memcpy(bytes, state, len);
    pod->cfg.poisoned = 0;
    pod->live = 1;
    vct_here.pod = pod;
    vct_out(t, &inst, sizeof(inst), 1);
    r = VCT(t, ops->restore, pod->table, call, &pod->cfg, id, version, (struct vc_bytes){ .data = bytes, .len = len },
            &inst);
    vct_here.pod = NULL;
    take_back(bytes, len);
    take_back(id, strlen(id));
    return made(pod, r, "restore", inst);
}

int vct_pod_save(struct vct_pod *pod, char **ret, size_t *ret_len)
{
    struct vct *t = pod->t;
    const struct vc_inst_ops *ops = vct_inst_ops(t);
    vc_sink *sink = vct_sink_new(t);
    vct_here.pod = pod;
    int r = VCT(t, ops->save, pod->inst, vct_call(t, USUAL_MS), sink);
    vct_here.pod = NULL;
    if (r == VC_OK) {
        size_t n = sink->buf.len;
        char *copy = malloc(n + 1);
        if (!copy)
            vct_skip(t, "the machine has no memory left");
        memcpy(copy, vct_sink_text(sink), n);
        copy[n] = '\0';
        *ret = copy;
        if (ret_len)
            *ret_len = n;
    }
    vct_sink_free(sink);
    return r;
}

int vct_pod_check(struct vct_pod *pod, uint32_t *health)
{
    struct vct *t = pod->t;
    const struct vc_inst_ops *ops = vct_inst_ops(t);
    uint32_t got;
    vct_here.pod = pod;
    vct_out(t, &got, sizeof(got), 1);
    int r = VCT(t, ops->check, pod->inst, vct_call(t, USUAL_MS), &got);
    vct_here.pod = NULL;
    if (r == VC_OK && health)
        *health = got;
    return r;
}

int vct_has_probe(struct vct *t)
{
    return t->plugin->size >= offsetof(struct vc_plugin, probe) + sizeof(t->plugin->probe) && t->plugin->probe;
}

int vct_pod_probe(struct vct_pod *pod, char *text, size_t size)
{
    struct vct *t = pod->t;
    vc_sink *sink = vct_sink_new(t);
    pod->cfg.poisoned = 0;
    pod->live = 1;
    vct_here.pod = pod;
    int r = VCT(t, t->plugin->probe, pod->table, vct_call(t, 10000), &pod->cfg, sink);
    vct_here.pod = NULL;
    vct_cfg_poison(pod);
    snprintf(text, size, "%s", vct_sink_text(sink));
    vct_sink_free(sink);
    return r;
}

int vct_pod_cleanup(struct vct_pod *pod)
{
    struct vct *t = pod->t;
    const struct vc_inst_ops *ops = vct_inst_ops(t);
    vct_here.pod = pod;
    int r = VCT(t, ops->cleanup, pod->inst, vct_call(t, USUAL_MS));
    vct_here.pod = NULL;
    return r;
}

void vct_pod_close(struct vct_pod *pod)
{
    struct vct *t = pod->t;
    if (!pod->inst)
        return;
    const struct vc_inst_ops *ops = vct_inst_ops(t);
    vc_inst *inst = pod->inst;
    pod->inst = NULL;
    vct_here.pod = pod;
    VCT_V(t, ops->close, inst);
    vct_here.pod = NULL;
    pod->live = 0;
}

/* ---- what is left ---- */

struct link_look {
    char netns[4096], name[64];
    int found;
};

static void *look_in_netns(void *arg)
{
    struct link_look *l = arg;
    vct_thread_mine();
    vcs_autoclose int fd = open(l->netns, O_RDONLY | O_CLOEXEC);
    if (fd >= 0 && setns(fd, CLONE_NEWNET) == 0)
        l->found = if_nametoindex(l->name) != 0;
    return NULL;
}

static int link_exists(const char *name)
{
    struct link_look l = { .found = 0 };
    const char *colon = strrchr(name, ':');
    if (!colon)
        return if_nametoindex(name) != 0;
    snprintf(l.netns, sizeof(l.netns), "%.*s", (int)(colon - name), name);
    snprintf(l.name, sizeof(l.name), "%s", colon + 1);
    pthread_t thread;
    if (pthread_create(&thread, NULL, look_in_netns, &l) == 0)
        pthread_join(thread, NULL);
    return l.found;
}

static int is_mount(const char *path)
{
    char line[8192], at[4096];
    vcs_autofclose FILE *f = fopen("/proc/self/mountinfo", "re");
    while (f && fgets(line, sizeof(line), f))
        if (sscanf(line, "%*s %*s %*s %*s %4095s", at) == 1 && strcmp(at, path) == 0)
            return 1;
    return 0;
}

static int res_exists(const struct vct_res *res)
{
    if (res->type == VC_RES_LINK)
        return link_exists(res->name);
    if (res->type == VC_RES_MOUNT)
        return is_mount(res->name);
    struct stat st;
    return lstat(res->name, &st) == 0;
}

/* The first entry of the run directory, in name. */
static int run_entry(const struct vct_pod *pod, char *name, size_t size)
{
    vcs_autoclosedir DIR *d = opendir(pod->run);
    struct dirent *e;
    while (d && (e = readdir(d)))
        if (strcmp(e->d_name, ".") && strcmp(e->d_name, "..")) {
            snprintf(name, size, "%s", e->d_name);
            return 1;
        }
    return 0;
}

const char *vct_pod_left(struct vct_pod *pod)
{
    static _Thread_local char text[4600];
    char name[300];
    for (size_t i = 0; i < pod->n_procs; i++)
        if (vcs_proc_alive(&pod->procs[i])) {
            snprintf(text, sizeof(text), "process %d that it spawned still runs", pod->procs[i].pid);
            return text;
        }
    for (size_t i = 0; i < pod->n_res; i++)
        if (res_exists(&pod->res[i])) {
            static const char *const types[] = { "?", "path", "mount", "network namespace", "link", "cgroup" };
            snprintf(text, sizeof(text), "the %s %s that it put on record (res_add) is still there",
                     types[pod->res[i].type <= VC_RES_CGROUP ? pod->res[i].type : 0], pod->res[i].name);
            return text;
        }
    if (run_entry(pod, name, sizeof(name))) {
        snprintf(text, sizeof(text), "%s is still in its run directory", name);
        return text;
    }
    const struct vct_kind *kind = pod->t->kind;
    const char *more = kind && kind->traces ? kind->traces(pod) : NULL;
    return more ? more : "";
}

/* End what runs in the open group.  The kernel shows the processes of this pid namespace only, so whatever group a plugin
 * has put on record, nobody else's processes can be meant (as cgroup.kill would mean them). */
static void end_members(int dirfd)
{
    int pid;
    int fd = openat(dirfd, "cgroup.procs", O_RDONLY | O_CLOEXEC);
    vcs_autofclose FILE *f = fd < 0 ? NULL : fdopen(fd, "r");
    if (!f && fd >= 0)
        close(fd);
    while (f && fscanf(f, "%d", &pid) == 1)
        if (pid > 1 && pid != getpid())
            kill(pid, SIGKILL);
}

static void remove_groups(int dirfd, const char *name, int depth, int end)
{
    struct statfs fs;
    if (unlinkat(dirfd, name, AT_REMOVEDIR) == 0 || depth > 16)
        return;
    int fd = openat(dirfd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    vcs_autoclosedir DIR *d = fd < 0 ? NULL : fdopendir(fd);
    if (!d && fd >= 0)
        close(fd);
    if (!d || fstatfs(fd, &fs) < 0 || (fs.f_type != CGROUP2_SUPER_MAGIC && fs.f_type != CGROUP_SUPER_MAGIC))
        return;
    if (end)
        end_members(fd);
    for (struct dirent *e; (e = readdir(d));)
        if (e->d_type == DT_DIR && e->d_name[0] != '.')
            remove_groups(fd, e->d_name, depth + 1, end);
    unlinkat(dirfd, name, AT_REMOVEDIR);
}

/* A control group on record, with those below it and whatever has not ended there yet.  Without a pid namespace of its own
 * the keeper ends the check's processes, by descent. */
void vct_group_remove(const char *path, int end)
{
    struct stat st;
    struct statx sx;
    int64_t deadline = vcs_now_ns() + INT64_C(2000000000);
    if (statx(AT_FDCWD, path, AT_SYMLINK_NOFOLLOW, 0, &sx) < 0 || sx.stx_attributes & STATX_ATTR_MOUNT_ROOT)
        return; /* not there, or all groups of the machine */
    for (;;) {
        remove_groups(AT_FDCWD, path, 0, end);
        if (lstat(path, &st) < 0 || !end || !vcs_poll_timeout(deadline))
            return;
        poll(NULL, 0, 5);
    }
}

static void groups_on_record(const char *path, int end)
{
    char line[4300];
    unsigned type;
    vcs_autofclose FILE *f = fopen(path, "re");
    while (f && fgets(line, sizeof(line), f)) {
        int at = 0;
        line[strcspn(line, "\n")] = '\0';
        if (sscanf(line, "+res %u %n", &type, &at) == 1 && at && type == VC_RES_CGROUP && line[at] == '/')
            vct_group_remove(line + at, end);
    }
}

void vct_groups_left(const char *scratch, int end)
{
    char path[4300];
    snprintf(path, sizeof(path), "%s/pods", scratch);
    vcs_autoclosedir DIR *d = opendir(path);
    for (struct dirent *e; d && (e = readdir(d));) {
        snprintf(path, sizeof(path), "%s/pods/%s/ledger", scratch, e->d_name);
        if (e->d_name[0] != '.')
            groups_on_record(path, end);
    }
    snprintf(path, sizeof(path), "%s/groups", scratch); /* the world's (groups.c) */
    groups_on_record(path, end);
}

/* Remove what is on record, like a host does with a pod that was left half-made. */
static void remove_res(struct vct_pod *pod)
{
    while (pod->n_res) {
        struct vct_res *res = &pod->res[--pod->n_res];
        if (res->type == VC_RES_MOUNT || res->type == VC_RES_NETNS)
            umount2(res->name, MNT_DETACH);
        if (res->type == VC_RES_PATH || res->type == VC_RES_NETNS)
            unlink(res->name);
        if (res->type == VC_RES_PATH)
            rmdir(res->name);
        if (res->type == VC_RES_CGROUP)
            vct_group_remove(res->name, pod->t->privileged || vct_valgrind_apart());
        free(res->name);
    }
    free(pod->res);
    pod->res = NULL;
}

static void unlist(struct vct_pod *pod)
{
    vct_lock();
    for (struct vct_pod **p = &pod->t->pods; *p; p = &(*p)->next)
        if (*p == pod) {
            *p = pod->next;
            break;
        }
    vct_unlock();
}

void vct_pod_free(struct vct_pod *pod)
{
    if (!pod)
        return;
    struct vct *t = pod->t;
    /* After a finding nobody knows in what state the plugin is. */
    if (t->status == VCT_PASS || t->status == VCT_WARN)
        vct_pod_close(pod);
    unlist(pod);
    for (size_t i = 0; i < pod->n_procs; i++) {
        vcs_proc_kill(&pod->procs[i], SIGKILL);
        vcs_proc_wait(&pod->procs[i], vcs_now_ns() + INT64_C(5000000000), NULL);
    }
    if (t->kind && t->kind->world_down && pod->world)
        t->kind->world_down(pod);
    remove_res(pod);
    vcs_remove_tree(AT_FDCWD, pod->dir);
    vct_cfg_forget(pod);
    vcs_buf_done(&pod->log);
    vcs_buf_done(&pod->argv);
    vcs_buf_done(&pod->read_keys);
    free(pod->dir);
    free(pod->run);
    free(pod);
}

/* ---- the members of a kind ---- */

const struct vct_op *vct_op_find(struct vct *t, const char *name)
{
    for (const struct vct_op *op = t->kind->ops; op->name; op++)
        if (strcmp(op->name, name) == 0)
            return op;
    return NULL;
}

int vct_op_there(struct vct_pod *pod, const struct vct_op *op)
{
    void *member;
    memcpy(&member, (const char *)vct_kind_ops(pod->t) + op->offset, sizeof(member));
    return member && (!op->cap || (pod->caps & op->cap) == op->cap);
}

static int run_op(struct vct_pod *pod, const struct vct_op *op, int timeout_ms)
{
    vct_here.pod = pod;
    int r = op->call(pod, vct_call(pod->t, timeout_ms ? timeout_ms : USUAL_MS));
    vct_here.pod = NULL;
    if (r == VC_OK && op->to)
        pod->state = op->to;
    return r;
}

int vct_op(struct vct_pod *pod, const char *name, int timeout_ms)
{
    const struct vct_op *op = vct_op_find(pod->t, name);
    if (!op)
        vct_fail(pod->t, "the tool asked for the member %s, which the kind %s does not have", name, pod->t->kind->name);
    return run_op(pod, op, timeout_ms);
}

static const char *state_name(uint32_t state)
{
    static const char *const names[] = { "fresh", "made", "up", "paused", "down" };
    for (unsigned i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        if (state == 1u << i)
            return names[i];
    return "?";
}

/* What the last call of this thread reported. */
static const char *said(void)
{
    return vct_here.err && vct_here.err->text[0] ? vct_here.err->text : "no text";
}

static void must(struct vct_pod *pod, const struct vct_op *op)
{
    uint32_t state = pod->state;
    int r = run_op(pod, op, 0);
    if (r != VC_OK)
        vct_fail(pod->t, "%s answered %s in state \"%s\", where it has to work: %s", op->name, vct_code(r),
                 state_name(state), said());
}

/* Is it a step on the way to `state`? On the way up everything that changes something belongs to it; afterwards only
 * what leads to another state. */
static int is_step(const struct vct_pod *pod, const struct vct_op *op, uint32_t state)
{
    if (!(op->from & pod->state) || !vct_op_there((struct vct_pod *)(uintptr_t)pod, op))
        return 0;
    if (op->to)
        return op->to != pod->state && (op->to != VCT_ST_PAUSED || state == VCT_ST_PAUSED) &&
               (op->to != VCT_ST_DOWN || state == VCT_ST_DOWN) && (op->to >= pod->state || pod->state == VCT_ST_PAUSED);
    return !(op->flags & VCT_OP_PURE) && (pod->state == VCT_ST_FRESH || pod->state == VCT_ST_MADE) &&
           state != VCT_ST_DOWN;
}

void vct_go(struct vct_pod *pod, uint32_t state)
{
    struct vct *t = pod->t;
    if (state == VCT_ST_DOWN && pod->state < VCT_ST_UP)
        vct_go(pod, VCT_ST_UP);
    for (int progress = 1; progress && pod->state != state;) {
        progress = 0;
        for (const struct vct_op *op = t->kind->ops; op->name && pod->state != state; op++)
            if (is_step(pod, op, state)) {
                must(pod, op);
                progress |= op->to != 0;
            }
    }
    if (pod->state == state)
        return;
    if (state == VCT_ST_PAUSED)
        vct_skip(t, "the plugin has no pause");
    vct_skip(t, "a %s of this plugin does not get from state \"%s\" to \"%s\"", t->kind->name, state_name(pod->state),
             state_name(state));
}

/* ---- the story ---- */

static void story_save(struct vct_pod *pod)
{
    vcs_autofree char *bytes = NULL;
    uint32_t health;
    int r = vct_pod_save(pod, &bytes, NULL);
    if (r != VC_OK)
        vct_fail(pod->t, "save answered %s: %s", vct_code(r), said());
    r = vct_pod_check(pod, &health);
    if (r != VC_OK)
        vct_fail(pod->t, "check answered %s: %s", vct_code(r), said());
}

/* All members that work in this state and do not leave it. */
static void story_state(struct vct_pod *pod, uint32_t *seen)
{
    if (*seen & pod->state)
        return;
    *seen |= pod->state;
    for (const struct vct_op *op = pod->t->kind->ops; op->name; op++) {
        if (!(op->from & pod->state) || (op->to && op->to != pod->state) || !vct_op_there(pod, op))
            continue;
        must(pod, op);
        if (op->flags & VCT_OP_IDEM)
            must(pod, op);
        if (!(op->flags & VCT_OP_PURE))
            story_save(pod);
    }
    if (pod->state == VCT_ST_UP && pod->t->kind->bad_calls)
        pod->t->kind->bad_calls(pod);
    story_save(pod);
}

void vct_story(struct vct *t)
{
    struct vct_pod *pod = vct_pod_new(t, NULL, 0);
    uint32_t seen = 0;
    vct_pod_make(pod);
    story_state(pod, &seen);
    for (const struct vct_op *op = t->kind->ops; op->name; op++) {
        if (!(op->from & pod->state) || !op->to || op->to == pod->state || !vct_op_there(pod, op))
            continue;
        must(pod, op);
        story_state(pod, &seen);
        if (op->flags & VCT_OP_IDEM && op->from & pod->state)
            must(pod, op);
    }
    for (int i = 0; i < 2; i++) {
        int r = vct_pod_cleanup(pod);
        if (r != VC_OK)
            vct_fail(t, "cleanup answered %s: %s", vct_code(r), said());
    }
    story_save(pod);
    vct_pod_close(pod);
    vct_pod_free(pod);
}
