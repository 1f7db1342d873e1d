/* SPDX-License-Identifier: Apache-2.0 */
/* container.c: the agent's half of a container: make, start, exec, signal, destroy. */
#include "container.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "agent.h"
#include "blockdev.h"
#include "cgroup.h"
#include "ctr-ahead.h"
#include "ctr-spawn.h"
#include "lib/io.h"

#define END_TIMEOUT_MS 10000

struct ctr {
    char *id;
    pid_t init;
    int pidfd;
    int sync;         /* the socket to the waiting init; -1 once it has started */
    int ns[VCA_AHEAD_NS]; /* of an init that was made ahead */
    int paused;
    struct vca_cgroup cg;
    struct ctr_mounts *mounts;
    uint8_t *seccomp; /* the packed profile, for further processes; NULL without one */
    size_t seccomp_len;
    char mnt_ns[64]; /* what /proc/PID/ns/mnt says: finds the processes where there is no cgroup */
};

static int report(struct agent_err *err, const struct vca_fault *f)
{
    return agent_fail(err, f->code ? f->code : VCS_RPC_INTERNAL, "%s", f->text);
}

void ctr_prepare_agent(int with_cgroups)
{
    vca_rlimits_keep();
    vca_cgroup_config.disabled = !with_cgroups;
}

/* ---- checks of the message ---- */

static int check_process(const Oci__Process *p, struct vca_fault *f)
{
    if (!p || !p->n_args || !*p->args[0])
        return vca_fail(f, 0, "the specification names no program to run");
    if (*p->apparmor_profile || *p->selinux_label)
        return vca_fail_code(f, VCS_RPC_UNIMPLEMENTED, 0, "AppArmor profiles and SELinux labels are not supported in "
                                                          "the guest");
    return 0;
}

static int check_spec(const Oci__Spec *s, struct vca_fault *f)
{
    if (!s || !s->linux_part || !s->root || !*s->root->path)
        return vca_fail(f, 0, "the specification must have a root path and a linux section");
    const Oci__Hooks *h = s->hooks;
    if (h && (h->n_prestart || h->n_poststart || h->n_poststop || h->n_create_runtime || h->n_create_container ||
              h->n_start_container))
        return vca_fail_code(f, VCS_RPC_UNIMPLEMENTED, 0, "hooks are not run in the guest");
    if (*s->linux_part->mount_label)
        return vca_fail_code(f, VCS_RPC_UNIMPLEMENTED, 0, "mount labels are not supported in the guest");
    if (s->linux_part->n_uid_mappings || s->linux_part->n_gid_mappings)
        return vca_fail_code(f, VCS_RPC_UNIMPLEMENTED, 0, "user namespaces are not supported in the guest");
    return check_process(s->process, f);
}

static const struct {
    const char *name;
    int type;
} ns_names[] = {
    {"mount", CLONE_NEWNS}, {"pid", CLONE_NEWPID},       {"uts", CLONE_NEWUTS},
    {"ipc", CLONE_NEWIPC},  {"network", CLONE_NEWNET},   {"cgroup", CLONE_NEWCGROUP},
};

/* One entry of the list of namespaces: a type to make, or a descriptor to join. */
static int add_namespace(const Oci__LinuxNamespace *ns, struct vca_setup *s, struct vca_spawn *sp, struct vca_fault *f)
{
    size_t i = 0;
    while (i < sizeof(ns_names) / sizeof(ns_names[0]) && strcmp(ns_names[i].name, ns->type) != 0)
        i++;
    if (i == sizeof(ns_names) / sizeof(ns_names[0]))
        return vca_fail_code(f, VCS_RPC_UNIMPLEMENTED, 0, "namespaces of type '%.32s' are not supported in the guest",
                             ns->type);
    int type = ns_names[i].type;
    if (!*ns->path) {
        if (type == CLONE_NEWUTS || type == CLONE_NEWIPC)
            sp->flags |= (uint64_t)type;
        s->own_uts |= type == CLONE_NEWUTS;
        s->own_ipc |= type == CLONE_NEWIPC;
        s->own_cgroup_ns |= type == CLONE_NEWCGROUP;
        return 0; /* mount and pid are always new, the network is the guest's */
    }
    if (type == CLONE_NEWNS)
        return vca_fail_code(f, VCS_RPC_UNIMPLEMENTED, 0, "a container cannot join a mount namespace");
    if (s->n_ns == VCA_MAX_NS)
        return vca_fail(f, 0, "the list of namespaces has more than %d entries", VCA_MAX_NS);
    int fd = open(ns->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return vca_fail(f, errno, "cannot open the %s namespace '%.200s'", ns->type, ns->path);
    if (type == CLONE_NEWPID) {
        if (sp->own_pidns_fd >= 0)
            close(sp->own_pidns_fd);
        sp->pidns_fd = sp->own_pidns_fd = fd;
        sp->flags &= ~(uint64_t)CLONE_NEWPID;
        return 0;
    }
    s->ns_fds[s->n_ns] = fd;
    s->ns_types[s->n_ns++] = type;
    return 0;
}

static int plan_namespaces(const Agent__CreateContainerRequest *req, struct vca_setup *s, struct vca_spawn *sp,
                           struct vca_fault *f)
{
    const Oci__Linux *lin = req->oci->linux_part;
    sp->flags = CLONE_NEWNS | CLONE_NEWPID;
    if (req->sandbox_pidns) {
        sp->pidns_fd = vca_sandbox_pidns();
        if (sp->pidns_fd < 0)
            return vca_fail_code(f, VCS_RPC_PRECONDITION, 0, "the sandbox has no pid namespace for its containers: it "
                                                             "was made without sandbox_pidns");
        sp->flags &= ~(uint64_t)CLONE_NEWPID;
    }
    for (size_t i = 0; i < lin->n_namespaces; i++)
        if (add_namespace(lin->namespaces[i], s, sp, f) < 0)
            return -1;
    if (*req->oci->hostname && !s->own_uts)
        return vca_fail(f, 0, "host name '%.64s' needs a uts namespace of the container's own", req->oci->hostname);
    return 0;
}

/* ---- create ---- */

static int keep_seccomp(struct ctr *c, const Oci__LinuxSeccomp *sec, struct vca_fault *f)
{
    if (!sec)
        return 0;
    c->seccomp_len = oci__linux_seccomp__get_packed_size(sec);
    c->seccomp = malloc(c->seccomp_len + 1);
    if (!c->seccomp)
        return vca_fail(f, ENOMEM, "cannot keep the seccomp profile");
    oci__linux_seccomp__pack(sec, c->seccomp);
    return 0;
}

static int make_cgroup(struct ctr *c, const Agent__CreateContainerRequest *req, struct vca_fault *f)
{
    const Oci__Linux *lin = req->oci->linux_part;
    if (vca_cgroup_create(&c->cg, c->id, lin->cgroups_path, f) < 0)
        return -1;
    if (vca_cgroup_limit(&c->cg, lin->resources, f) < 0)
        return -1;
    return vca_cgroup_devices(&c->cg, lin->resources, f);
}

static int start_init(struct ctr *c, const Agent__CreateContainerRequest *req, struct ctr_child *ret,
                      struct vca_fault *f)
{
    struct vca_setup s = {.spec = req->oci, .process = req->oci->process, .seccomp = req->oci->linux_part->seccomp,
                          .user = req->string_user, .cgroup_fd = c->cg.fd, .init_pidfd = -1};
    struct vca_spawn sp = {.pidns_fd = -1, .own_pidns_fd = -1, .cgroup_fd = c->cg.fd};
    int r = plan_namespaces(req, &s, &sp, f);
    if (r == 0)
        r = vca_spawn(&s, &sp, ret, f);
    for (size_t i = 0; i < s.n_ns; i++)
        close(s.ns_fds[i]);
    if (sp.own_pidns_fd >= 0)
        close(sp.own_pidns_fd);
    if (r < 0)
        return -1;
    c->init = ret->pid;
    c->pidfd = sp.pidfd;
    c->sync = sp.sync;
    if (c->cg.fd < 0) {
        char path[64];
        snprintf(path, sizeof(path), "/proc/%d/ns/mnt", (int)c->init);
        ssize_t n = readlink(path, c->mnt_ns, sizeof(c->mnt_ns) - 1);
        c->mnt_ns[n < 0 ? 0 : n] = '\0';
    }
    return 0;
}

/* Cgroup and init process, from what was made ahead when it fits. */
static int make_processes(struct ctr *c, const Agent__CreateContainerRequest *req, struct ctr_child *ret,
                          struct vca_fault *f)
{
    if (!vca_ahead_take(req, &c->cg))
        return make_cgroup(c, req, f) < 0 ? -1 : start_init(c, req, ret, f);
    if (vca_cgroup_limit(&c->cg, req->oci->linux_part->resources, f) < 0) {
        vca_ahead_drop();
        return -1;
    }
    int r = vca_ahead_use(req, ret, &c->pidfd, &c->sync, c->ns, f);
    c->init = ret->pid;
    return r == -EPIPE ? start_init(c, req, ret, f) : r;
}

/* Let the namespaces go: their mounts hold storages, and the memory of theirs is the cgroup's. */
static void drop_namespaces(struct ctr *c)
{
    for (size_t i = 0; i < VCA_AHEAD_NS; i++) {
        if (c->ns[i] >= 0)
            close(c->ns[i]);
        c->ns[i] = -1;
    }
}

/* Give back what the object holds; the cgroup and storages have been removed or never been made. */
static void free_ctr(struct ctr *c)
{
    if (c->sync >= 0)
        close(c->sync);
    if (c->pidfd >= 0)
        close(c->pidfd);
    vca_cgroup_done(&c->cg);
    free(c->seccomp);
    free(c->id);
    free(c);
}

int ctr_create(const Agent__CreateContainerRequest *req, struct ctr_child *ret_child, struct ctr **ret,
               struct agent_err *err)
{
    struct vca_fault f = {0}, ignored;
    if (check_spec(req->oci, &f) < 0)
        return report(err, &f);
    struct ctr *c = calloc(1, sizeof(*c));
    if (c)
        c->id = strdup(req->container_id);
    if (!c || !c->id) {
        free(c);
        return agent_fail(err, VCS_RPC_EXHAUSTED, "no memory for container %.128s", req->container_id);
    }
    for (size_t i = 0; i < req->oci->n_mounts; i++)
        agent_modules_need("fs:", req->oci->mounts[i]->type);
    memset(c->ns, -1, sizeof(c->ns));
    c->pidfd = c->sync = c->cg.fd = c->cg.events_fd = c->cg.oom_fd = c->cg.devices_prog = -1;
    if (ctr_storages_mount(req->storages, req->n_storages, &c->mounts, err) < 0) {
        free_ctr(c);
        return -1;
    }
    if (vca_blockdev_patch(req->devices, req->n_devices, req->oci->linux_part, &f) < 0 ||
        keep_seccomp(c, req->oci->linux_part->seccomp, &f) < 0 || make_processes(c, req, ret_child, &f) < 0) {
        report(err, &f);
        vca_cgroup_wait_empty(&c->cg, END_TIMEOUT_MS);
        if (vca_cgroup_remove(&c->cg, &ignored) < 0)
            agent_log(AGENT_LOG_WARN, "container %s: %s", c->id, ignored.text);
        ctr_storages_unmount(c->mounts);
        free_ctr(c);
        return -1;
    }
    *ret = c;
    return 0;
}

int ctr_start(struct ctr *c, struct agent_err *err)
{
    struct vca_fault f = {0};
    if (c->sync < 0)
        return agent_fail(err, VCS_RPC_PRECONDITION, "container %s has been started already", c->id);
    int r = vca_spawn_go(c->sync, c->pidfd, &f);
    close(c->sync);
    c->sync = -1;
    return r < 0 ? report(err, &f) : 0;
}

int ctr_exec(struct ctr *c, const Oci__Process *process, const Agent__StringUser *user, struct ctr_child *ret_child,
             struct agent_err *err)
{
    struct vca_fault f = {0};
    if (check_process(process, &f) < 0)
        return report(err, &f);
    if (c->paused)
        return agent_fail(err, VCS_RPC_PRECONDITION, "container %s is paused", c->id);
    Oci__LinuxSeccomp *sec = NULL;
    if (c->seccomp) {
        sec = oci__linux_seccomp__unpack(NULL, c->seccomp_len, c->seccomp);
        if (!sec)
            return agent_fail(err, VCS_RPC_EXHAUSTED, "no memory for the seccomp profile of container %s", c->id);
    }
    struct vca_setup s = {.process = process, .seccomp = sec, .user = user, .cgroup_fd = -1, .init_pidfd = c->pidfd};
    struct vca_spawn sp = {.pidns_fd = c->pidfd, .own_pidns_fd = -1, .cgroup_fd = c->cg.fd};
    int r = vca_spawn(&s, &sp, ret_child, &f);
    if (sec)
        oci__linux_seccomp__free_unpacked(sec, NULL);
    if (r < 0)
        return report(err, &f);
    return 0;
}

/* ---- signals ---- */

/* Without a cgroup: the processes that are in init's mount namespace. */
static int scan_pids(const struct ctr *c, pid_t **ret, size_t *ret_n)
{
    vcs_autoclosedir DIR *dir = opendir("/proc");
    vcs_autofree pid_t *list = NULL;
    size_t n = 0;
    if (!dir)
        return -errno;
    for (struct dirent *e; (e = readdir(dir));) {
        char path[PATH_MAX], link[64], *end;
        long pid = strtol(e->d_name, &end, 10);
        if (*end || pid <= 0)
            continue;
        snprintf(path, sizeof(path), "/proc/%ld/ns/mnt", pid);
        ssize_t len = readlink(path, link, sizeof(link) - 1);
        if (len <= 0)
            continue;
        link[len] = '\0';
        if (strcmp(link, c->mnt_ns) != 0)
            continue;
        pid_t *mem = realloc(list, (n + 1) * sizeof(*mem));
        if (!mem)
            return -ENOMEM;
        list = mem;
        list[n++] = (pid_t)pid;
    }
    *ret = VCS_TAKE_PTR(list);
    *ret_n = n;
    return 0;
}

int ctr_list_pids(struct ctr *c, pid_t **ret, size_t *ret_n, struct agent_err *err)
{
    struct vca_fault f = {0};
    *ret = NULL;
    *ret_n = 0;
    if (c->cg.fd >= 0)
        return vca_cgroup_pids(&c->cg, ret, ret_n, &f) < 0 ? report(err, &f) : 0;
    int r = scan_pids(c, ret, ret_n);
    return r < 0 ? agent_fail_errno(err, VCS_RPC_INTERNAL, -r, "cannot list the processes of container %s", c->id) : 0;
}

int ctr_signal_all(struct ctr *c, int sig, struct agent_err *err)
{
    struct vca_fault f = {0};
    vcs_autofree pid_t *pids = NULL;
    size_t n;
    if (sig < 1 || sig >= NSIG)
        return agent_fail(err, VCS_RPC_INVALID, "signal %d does not exist", sig);
    if (sig == SIGKILL && c->cg.fd >= 0)
        return vca_cgroup_kill(&c->cg, &f) < 0 ? report(err, &f) : 0;
    if (ctr_list_pids(c, &pids, &n, err) < 0)
        return -1;
    for (size_t i = 0; i < n; i++)
        if (kill(pids[i], sig) < 0 && errno != ESRCH)
            return agent_fail_errno(err, VCS_RPC_INTERNAL, errno, "cannot signal process %d of container %s",
                                    (int)pids[i], c->id);
    return 0;
}

int ctr_pause(struct ctr *c, struct agent_err *err)
{
    struct vca_fault f = {0};
    if (c->paused)
        return agent_fail(err, VCS_RPC_PRECONDITION, "container %s is paused already", c->id);
    if (vca_cgroup_freeze(&c->cg, 1, &f) < 0)
        return report(err, &f);
    c->paused = 1;
    return 0;
}

int ctr_resume(struct ctr *c, struct agent_err *err)
{
    struct vca_fault f = {0};
    if (!c->paused)
        return agent_fail(err, VCS_RPC_PRECONDITION, "container %s is not paused", c->id);
    if (vca_cgroup_freeze(&c->cg, 0, &f) < 0)
        return report(err, &f);
    c->paused = 0;
    return 0;
}

/* ---- resources ---- */

int ctr_update(struct ctr *c, const Oci__LinuxResources *resources, struct agent_err *err)
{
    struct vca_fault f = {0};
    if (!resources)
        return agent_fail(err, VCS_RPC_INVALID, "the update of container %s has no resources", c->id);
    if (vca_cgroup_limit(&c->cg, resources, &f) < 0 ||
        (resources->n_devices && vca_cgroup_devices(&c->cg, resources, &f) < 0))
        return report(err, &f);
    return 0;
}

int ctr_stats(struct ctr *c, Agent__StatsContainerResponse *resp, struct agent_err *err)
{
    if (c->cg.fd < 0)
        return agent_fail(err, VCS_RPC_PRECONDITION, "there are no statistics without cgroups");
    resp->cgroup_stats = vca_cgroup_stats(&c->cg);
    return resp->cgroup_stats ? 0 : agent_fail(err, VCS_RPC_EXHAUSTED, "no memory for the statistics of %s", c->id);
}

int ctr_oom_fd(const struct ctr *c)
{
    return c->cg.oom_fd;
}

int ctr_oom_check(struct ctr *c)
{
    return vca_cgroup_oom(&c->cg);
}

/* ---- destroy ---- */

/* Kill what is left and wait until it is gone. */
static int end_processes(struct ctr *c, struct agent_err *err)
{
    struct agent_err ignored;
    int r;
    if (ctr_signal_all(c, SIGKILL, &ignored) < 0)
        agent_log(AGENT_LOG_WARN, "container %s: %s", c->id, ignored.text);
    if (c->cg.fd >= 0) {
        r = vca_cgroup_wait_empty(&c->cg, END_TIMEOUT_MS);
    } else {
        struct pollfd p = {.fd = c->pidfd, .events = POLLIN};
        r = poll(&p, 1, END_TIMEOUT_MS) == 1 ? 0 : -ETIMEDOUT;
    }
    return r < 0 ? agent_fail_errno(err, VCS_RPC_DEADLINE, -r, "the processes of container %s do not end", c->id) : 0;
}

int ctr_destroy(struct ctr *c, struct agent_err *err)
{
    struct vca_fault f = {0};
    int r = end_processes(c, err);
    drop_namespaces(c);
    if (vca_cgroup_remove(&c->cg, &f) < 0 && r == 0)
        r = report(err, &f);
    ctr_storages_unmount(c->mounts);
    free_ctr(c);
    return r;
}
