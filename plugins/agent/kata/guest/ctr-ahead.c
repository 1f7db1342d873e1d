/* SPDX-License-Identifier: Apache-2.0 */
/* ctr-ahead.c: a process that is made into the init of a container before anybody asks for the container.
 *
 * In a machine that waits for its pod, as a template or paused, there is time for what most containers have in common:
 * a process in namespaces and a cgroup of its own, with proc, /dev, sysfs and the rest mounted, masked and protected on
 * a stage.  When a container is asked for that wants just that, the process gets the request and the container's root,
 * moves the mounts there from the stage, and goes on like any other.  A container that wants anything else does not
 * use it.
 *
 * The stage is a directory in the kernel's first mount, so this is for guests that live in an initramfs only; after
 * the move nothing of the namespace but that first mount and the container's tree is left, as in mounts.c. */
#include "ctr-ahead.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent.h"
#include "ctr-spawn.h"
#include "lib/io.h"

#define STAGE "/.ahead"
#define ORDER_MAX (128u * 1024)

/* ---- which requests fit ---- */

/* Is there nothing in it for which something else than the usual has to be done? */
static int is_usual(const Agent__CreateContainerRequest *q)
{
    const Oci__Spec *s = q->oci;
    const Oci__Linux *lin = s->linux_part;
    return !q->sandbox_pidns && !q->n_devices && *s->hostname && !s->process->terminal && !s->process->oom_score_adj &&
           !lin->n_devices && !lin->n_sysctl && !*lin->cgroups_path && !(lin->resources && lin->resources->n_devices);
}

static int same_lists(char *const *a, size_t n_a, char *const *b, size_t n_b)
{
    if (n_a != n_b)
        return 0;
    for (size_t i = 0; i < n_a; i++)
        if (strcmp(a[i], b[i]) != 0)
            return 0;
    return 1;
}

static int same_mounts(const Oci__Spec *a, const Oci__Spec *b)
{
    if (a->n_mounts != b->n_mounts)
        return 0;
    for (size_t i = 0; i < a->n_mounts; i++) {
        const Oci__Mount *m = a->mounts[i], *k = b->mounts[i];
        if (strcmp(m->destination, k->destination) != 0 || strcmp(m->type, k->type) != 0 ||
            strcmp(m->source, k->source) != 0 || !same_lists(m->options, m->n_options, k->options, k->n_options))
            return 0;
    }
    return 1;
}

/* Can two requests have the same process, as far as that is made ahead? */
static int is_same(const Agent__CreateContainerRequest *q, const Agent__CreateContainerRequest *plan)
{
    const Oci__Linux *a = q->oci->linux_part, *b = plan->oci->linux_part;
    if (a->n_namespaces != b->n_namespaces)
        return 0;
    for (size_t i = 0; i < a->n_namespaces; i++)
        if (strcmp(a->namespaces[i]->type, b->namespaces[i]->type) != 0 || *a->namespaces[i]->path)
            return 0;
    return same_mounts(q->oci, plan->oci) &&
           same_lists(a->masked_paths, a->n_masked_paths, b->masked_paths, b->n_masked_paths) &&
           same_lists(a->readonly_paths, a->n_readonly_paths, b->readonly_paths, b->n_readonly_paths);
}

/* A mount that lies in no other one of the list: it is moved with all that hangs on it. */
static int is_top(const Oci__Spec *s, size_t i)
{
    for (size_t k = 0; k < i; k++) {
        size_t n = strlen(s->mounts[k]->destination);
        if (strncmp(s->mounts[i]->destination, s->mounts[k]->destination, n) == 0 && s->mounts[i]->destination[n] == '/')
            return 0;
    }
    return 1;
}

/* ---- the agent's half ---- */

static struct {
    struct ctr_child child;
    int pidfd, sync, ns[VCA_AHEAD_NS];
    struct vca_cgroup cg;
    Agent__CreateContainerRequest *plan; /* NULL: there is no process */
} ahead = {.child = {.pid = -1, .in = -1, .out = -1, .err = -1}, .pidfd = -1, .sync = -1, .ns = {-1, -1, -1}};

static int make_stage(const Oci__Spec *s, struct vca_fault *f)
{
    char path[300];
    if (mkdir(STAGE, 0700) < 0 && errno != EEXIST)
        return vca_fail(f, errno, "cannot make %s", STAGE);
    for (size_t i = 0; i < s->n_mounts; i++) {
        snprintf(path, sizeof(path), STAGE "%.250s", s->mounts[i]->destination);
        if (is_top(s, i) && mkdir(path, 0700) < 0 && errno != EEXIST)
            return vca_fail(f, errno, "cannot make %s", path);
    }
    return 0;
}

static void hold_namespaces(void)
{
    static const char *const names[VCA_AHEAD_NS] = {"mnt", "ipc", "uts"};
    char path[64];
    for (size_t i = 0; i < VCA_AHEAD_NS; i++) {
        snprintf(path, sizeof(path), "/proc/%d/ns/%s", (int)ahead.child.pid, names[i]);
        ahead.ns[i] = open(path, O_RDONLY | O_CLOEXEC); /* without it, only the end is slower */
    }
}

static int spawn_ahead(const Agent__CreateContainerRequest *plan, struct vca_fault *f)
{
    static unsigned number;
    char name[32];
    struct vca_fault ignored;
    snprintf(name, sizeof(name), ".ahead%u", number++); /* no container has such an id */
    if (make_stage(plan->oci, f) < 0 || vca_cgroup_create(&ahead.cg, name, "", f) < 0)
        return -1;
    struct vca_setup s = {.spec = plan->oci, .process = plan->oci->process, .cgroup_fd = ahead.cg.fd, .init_pidfd = -1,
                          .own_uts = 1, .own_ipc = 1, .ahead = 1};
    struct vca_spawn sp = {.flags = CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWUTS | CLONE_NEWIPC, .pidns_fd = -1,
                           .own_pidns_fd = -1, .cgroup_fd = ahead.cg.fd};
    if (vca_cgroup_devices(&ahead.cg, NULL, f) < 0 || vca_spawn(&s, &sp, &ahead.child, f) < 0) {
        vca_cgroup_remove(&ahead.cg, &ignored);
        vca_cgroup_done(&ahead.cg);
        return -1;
    }
    ahead.pidfd = sp.pidfd;
    ahead.sync = sp.sync;
    hold_namespaces();
    return 0;
}

/* A copy of a message in memory of its own. */
static Agent__CreateContainerRequest *copy_plan(const Agent__CreateContainerRequest *plan)
{
    size_t n = agent__create_container_request__get_packed_size(plan);
    vcs_autofree unsigned char *packed = malloc(n + 1);
    if (!packed)
        return NULL;
    agent__create_container_request__pack(plan, packed);
    return agent__create_container_request__unpack(NULL, n, packed);
}

int ctr_prepare_ahead(const Agent__CreateContainerRequest *plan, struct agent_err *err)
{
    struct vca_fault f = {0};
    if (ahead.plan || vca_cgroup_config.disabled)
        return 0;
    if (!is_usual(plan))
        return agent_fail(err, VCS_RPC_INVALID, "nothing can be done ahead for such a container");
    Agent__CreateContainerRequest *copy = copy_plan(plan);
    if (!copy)
        return agent_fail(err, VCS_RPC_EXHAUSTED, "out of memory");
    if (spawn_ahead(plan, &f) < 0) {
        agent__create_container_request__free_unpacked(copy, NULL);
        return agent_fail(err, f.code ? f.code : VCS_RPC_INTERNAL, "%s", f.text);
    }
    ahead.plan = copy;
    return 0;
}

int vca_ahead_take(const Agent__CreateContainerRequest *req, struct vca_cgroup *ret)
{
    if (!ahead.plan || !is_usual(req) || !is_same(req, ahead.plan))
        return 0;
    agent__create_container_request__free_unpacked(ahead.plan, NULL);
    ahead.plan = NULL;
    *ret = ahead.cg;
    return 1;
}

void vca_ahead_drop(void)
{
    int *fds[] = {&ahead.child.in, &ahead.child.out, &ahead.child.err, &ahead.pidfd, &ahead.sync};
    vca_end_child(ahead.child.pid, ahead.pidfd);
    for (size_t i = 0; i < sizeof(fds) / sizeof(fds[0]); i++)
        vcs_cleanup_fd(fds[i]);
    for (size_t i = 0; i < VCA_AHEAD_NS; i++) {
        vcs_cleanup_fd(&ahead.ns[i]);
        ahead.ns[i] = -1;
    }
}

int vca_ahead_use(const Agent__CreateContainerRequest *req, struct ctr_child *ret, int *pidfd, int *sync,
                  int ns[VCA_AHEAD_NS], struct vca_fault *f)
{
    vcs_autofree unsigned char *order = NULL;
    size_t n = agent__create_container_request__get_packed_size(req);
    int r = n <= ORDER_MAX ? 0 : -EPIPE;
    if (r == 0 && !(order = malloc(n + 1)))
        r = vca_fail(f, ENOMEM, "cannot hand the request on");
    vcs_autoclose int root = r == 0 ? vca_mounts_copy_root(req->oci->root->path, f) : -1;
    if (r == 0 && root < 0)
        r = -1;
    if (r == 0) {
        agent__create_container_request__pack(req, order);
        r = vca_spawn_order(ahead.sync, ahead.pidfd, order, n, root, f);
    }
    if (r < 0) {
        vca_ahead_drop();
        return r;
    }
    *ret = ahead.child;
    *pidfd = ahead.pidfd;
    *sync = ahead.sync;
    memcpy(ns, ahead.ns, sizeof(ahead.ns));
    return 0;
}

/* ---- the child's half ---- */

static int build(const struct vca_setup *s, struct vca_mounts *m, struct vca_fault *f)
{
    vcs_autoclose int cgroup_fd = vca_own_cgroup(s->cgroup_fd);
    if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
        return vca_fail(f, errno, "cannot make the mount namespace private");
    m->guest_cgroup_fd = cgroup_fd;
    if (vca_oom_score(0, f) < 0 || vca_mounts_all(m, s->spec, f) < 0 || vca_mounts_devices(m, s->spec, f) < 0 ||
        vca_mounts_protect(m, s->spec->linux_part, f) < 0)
        return -1;
    return vca_mounts_leave_only(STAGE "/", f);
}

/* The next message: a request, with the root as a mount that is attached nowhere.  NULL: the agent does not want us. */
static Agent__CreateContainerRequest *receive(int sync, int *root)
{
    static unsigned char order[ORDER_MAX];
    union {
        char buf[CMSG_SPACE(sizeof(int))];
        struct cmsghdr align;
    } ctl;
    struct iovec iov = {.iov_base = order, .iov_len = sizeof(order)};
    struct msghdr h = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = ctl.buf, .msg_controllen = sizeof(ctl.buf)};
    ssize_t n;
    do
        n = recvmsg(sync, &h, MSG_CMSG_CLOEXEC);
    while (n < 0 && errno == EINTR);
    struct cmsghdr *c = n > 0 ? CMSG_FIRSTHDR(&h) : NULL;
    if (!c || c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
        return NULL;
    memcpy(root, CMSG_DATA(c), sizeof(*root));
    return agent__create_container_request__unpack(NULL, (size_t)n, order);
}

/* Move what is on the stage to where it belongs, and make the root the root. */
static int enter(int stage, struct vca_mounts *m, const Oci__Spec *spec, struct vca_fault *f)
{
    if (vca_mounts_cover(m, f) < 0)
        return -1;
    for (size_t i = 0; i < spec->n_mounts; i++) {
        if (!is_top(spec, i))
            continue;
        vcs_autoclose int from = openat(stage, spec->mounts[i]->destination + 1, O_PATH | O_DIRECTORY | O_CLOEXEC);
        if (from < 0)
            return vca_fail(f, errno, "cannot open mount %zu (%.100s)", i + 1, spec->mounts[i]->destination);
        if (vca_mounts_put(m, spec->mounts[i], from, f) < 0) {
            struct vca_fault inner = *f;
            return vca_fail_code(f, inner.code, 0, "mount %zu (%.100s): %.340s", i + 1, spec->mounts[i]->destination,
                                 inner.text);
        }
    }
    if (fchdir(m->rootfd) < 0 || chroot(".") < 0)
        return vca_fail(f, errno, "cannot change into the root filesystem '%.200s'", spec->root->path);
    return vca_mounts_finish(m, spec, f);
}

int vca_ahead_run(const struct vca_setup *s, struct vca_setup *ret, int *rootfd, struct vca_fault *f)
{
    vcs_autoclose int stage = open(STAGE, O_PATH | O_DIRECTORY | O_CLOEXEC);
    struct vca_mounts m = {.rootfd = stage, .guest_cgroup_fd = -1}, mine = {.rootfd = -1, .guest_cgroup_fd = -1};
    if (stage < 0)
        return vca_fail(f, errno, "cannot open %s", STAGE);
    if (build(s, &m, f) < 0)
        return -1;
    vca_setup_ready(s->sync);
    const Agent__CreateContainerRequest *q = receive(s->sync, &mine.rootfd);
    if (!q)
        _exit(255);
    *ret = (struct vca_setup){.spec = q->oci, .process = q->oci->process, .seccomp = q->oci->linux_part->seccomp,
                              .user = q->string_user, .sync = s->sync, .cgroup_fd = -1, .init_pidfd = -1,
                              .own_uts = 1, .own_ipc = 1};
    memcpy(ret->stdio, s->stdio, sizeof(ret->stdio));
    if (sethostname(q->oci->hostname, strlen(q->oci->hostname)) < 0)
        return vca_fail(f, errno, "cannot set the host name '%.100s'", q->oci->hostname);
    *rootfd = mine.rootfd;
    return enter(stage, &mine, q->oci, f);
}
