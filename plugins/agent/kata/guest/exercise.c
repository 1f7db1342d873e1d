/* SPDX-License-Identifier: Apache-2.0 */
/* exercise.c: in a guest that waits for its pod: the usual container is prepared, and one is rehearsed.
 *
 * A machine that translates the guest's code, or caches what it has learnt of it, is slow in what it does for the first
 * time.  So a program of the guest's own, the agent itself, is run to its end through all that a container goes through:
 * cgroup, namespaces, mounts, a root, the change of identity, output; from the shared folder where there is one, as the
 * programs of containers are, else from memory. */
#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "container.h"
#include "lib/io.h"
#include "settle.h"

#define ID "exercise"
#define PROGRAM "vc-agent"
#define LIMIT_NS 10000000000ll
#define COUNT(list) (sizeof(list) / sizeof((list)[0]))

/* ---- the specification: what the host's side asks for when nothing special is wanted ---- */

/* A default that changes there and not here costs time only: what was made ahead is not used then. */
static const struct {
    const char *destination, *type, *source, *options[6];
} plans[] = {
    {"/proc", "proc", "proc", {"nosuid", "noexec", "nodev"}},
    {"/dev", "tmpfs", "tmpfs", {"nosuid", "strictatime", "mode=755", "size=65536k"}},
    {"/dev/pts", "devpts", "devpts", {"nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"}},
    {"/dev/shm", "tmpfs", "shm", {"nosuid", "noexec", "nodev", "mode=1777", "size=65536k"}},
    {"/dev/mqueue", "mqueue", "mqueue", {"nosuid", "noexec", "nodev"}},
    {"/sys", "sysfs", "sysfs", {"nosuid", "noexec", "nodev", "ro"}},
    /* The last, to be left out where there may be no cgroups. */
    {"/sys/fs/cgroup", "cgroup", "cgroup", {"nosuid", "noexec", "nodev", "relatime", "ro"}},
};
static const char *const namespaces[] = {"ipc", "uts", "mount"};
static const char *const masked[] = {
    "/proc/acpi",       "/proc/kcore",         "/proc/keys",         "/proc/latency_stats",
    "/proc/sched_debug", "/proc/scsi",         "/proc/timer_list",   "/proc/timer_stats",
    "/sys/dev/block",   "/sys/devices/virtual/powercap", "/sys/firmware", "/sys/fs/selinux",
};
static const char *const protected[] = {
    "/proc/asound", "/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger",
};

/* The structures of a message have no const. */
static char *text(const char *s)
{
    return (char *)(uintptr_t)s;
}

static char **list(const char *const *l)
{
    return (char **)(uintptr_t)l;
}

struct plan {
    char root[PATH_MAX];
    Oci__Spec spec;
    Oci__Root root_part;
    Oci__Process process;
    Oci__User user;
    Oci__LinuxCapabilities caps;
    Oci__Linux linux_part;
    Oci__Mount mounts[COUNT(plans)], *mount_list[COUNT(plans)];
    Oci__LinuxNamespace ns[COUNT(namespaces)], *ns_list[COUNT(namespaces)];
    Agent__CreateContainerRequest request;
};

static void plan_process(struct plan *p)
{
    static const char *const args[] = {PROGRAM, "--version"}, *const env[] = {"PATH=/sbin:/bin"};
    static const char *const caps[] = {"CAP_CHOWN", "CAP_KILL", "CAP_SETUID"};
    oci__process__init(&p->process);
    oci__user__init(&p->user);
    oci__linux_capabilities__init(&p->caps);
    p->caps.bounding = p->caps.effective = p->caps.permitted = list(caps);
    p->caps.n_bounding = p->caps.n_effective = p->caps.n_permitted = COUNT(caps);
    p->process.args = list(args);
    p->process.n_args = COUNT(args);
    p->process.env = list(env);
    p->process.n_env = COUNT(env);
    p->process.cwd = text("/");
    p->process.user = &p->user;
    p->process.capabilities = &p->caps;
}

static void plan_linux(struct plan *p)
{
    oci__linux__init(&p->linux_part);
    for (size_t i = 0; i < COUNT(namespaces); i++) {
        oci__linux_namespace__init(&p->ns[i]);
        p->ns[i].type = text(namespaces[i]);
        p->ns_list[i] = &p->ns[i];
    }
    p->linux_part.namespaces = p->ns_list;
    p->linux_part.n_namespaces = COUNT(namespaces);
    p->linux_part.masked_paths = list(masked);
    p->linux_part.n_masked_paths = COUNT(masked);
    p->linux_part.readonly_paths = list(protected);
    p->linux_part.n_readonly_paths = COUNT(protected);
    for (size_t i = 0; i < COUNT(plans); i++) {
        Oci__Mount *m = &p->mounts[i];
        oci__mount__init(m);
        m->destination = text(plans[i].destination);
        m->type = text(plans[i].type);
        m->source = text(plans[i].source);
        m->options = list(plans[i].options);
        while (m->n_options < COUNT(plans[i].options) && plans[i].options[m->n_options])
            m->n_options++;
        p->mount_list[i] = m;
    }
    p->spec.mounts = p->mount_list;
    p->spec.n_mounts = COUNT(plans) - !agent_config.own_kernel;
}

static void plan_request(struct plan *p)
{
    oci__spec__init(&p->spec);
    oci__root__init(&p->root_part);
    agent__create_container_request__init(&p->request);
    plan_process(p);
    plan_linux(p);
    p->root_part.path = p->root;
    p->spec.version = text("1.0.2");
    p->spec.hostname = text(ID);
    p->spec.root = &p->root_part;
    p->spec.process = &p->process;
    p->spec.linux_part = &p->linux_part;
    p->request.container_id = p->request.exec_id = text(ID);
    p->request.oci = &p->spec;
}

/* ---- the root ---- */

static int copy_program(const char *to, struct agent_err *err)
{
    vcs_autoclose int in = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
    vcs_autoclose int out = open(to, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0755);
    ssize_t n = 1;
    while (in >= 0 && out >= 0 && n > 0)
        n = sendfile(out, in, NULL, 1u << 20);
    if (in < 0 || out < 0 || n < 0)
        return agent_fail_errno(err, VCS_RPC_INTERNAL, errno, "the agent's program cannot be copied to %s", to);
    return 0;
}

static int make_root(struct plan *p, const char *below, struct agent_err *err)
{
    static const char *const dirs[] = {"", "/proc", "/dev", "/sys", "/bin"};
    char path[PATH_MAX + 32];
    mkdir(below, 0700);
    if (snprintf(p->root, sizeof(p->root), "%s/" ID, below) >= (int)sizeof(p->root))
        return agent_fail(err, VCS_RPC_INTERNAL, "the path %s is too long", below);
    for (size_t i = 0; i < COUNT(dirs); i++) {
        snprintf(path, sizeof(path), "%s%s", p->root, dirs[i]);
        if (mkdir(path, 0755) < 0 && errno != EEXIST)
            return agent_fail_errno(err, VCS_RPC_INTERNAL, errno, "%s cannot be made", path);
    }
    snprintf(path, sizeof(path), "%s/bin/" PROGRAM, p->root);
    return copy_program(path, err);
}

/* ---- the run ---- */

/* Read a stream to its end, and say whether anything came; -1 when it does not end. */
static int drain(int fd, int64_t deadline)
{
    char some_text[256];
    int some = 0;
    for (;;) {
        ssize_t n = read(fd, some_text, sizeof(some_text));
        if (n == 0)
            return some;
        some |= n > 0;
        struct pollfd pfd = {.fd = fd, .events = POLLIN};
        if (n < 0 && errno != EAGAIN && errno != EINTR)
            return -1;
        if (n < 0 && poll(&pfd, 1, vcs_poll_timeout(deadline)) == 0)
            return -1;
    }
}

static void close_child(struct ctr_child *c)
{
    int *fds[] = {&c->in, &c->out, &c->err};
    for (size_t i = 0; i < COUNT(fds); i++)
        vcs_cleanup_fd(fds[i]);
}

static int run_container(const struct plan *p, struct agent_err *err)
{
    struct ctr_child child = {.pid = -1, .in = -1, .out = -1, .err = -1};
    struct ctr *ctr = NULL;
    struct agent_err after;
    int status = 0;
    if (ctr_create(&p->request, &child, &ctr, err) < 0)
        return -1;
    int r = ctr_start(ctr, err);
    if (r == 0 && drain(child.out, vcs_now_ns() + LIMIT_NS) != 1)
        r = agent_fail(err, VCS_RPC_INTERNAL, "the program of the exercise has written nothing");
    /* It has closed its output, so it ends; one that failed is killed by the removal. */
    if (r == 0 && (waitpid(child.pid, &status, 0) != child.pid || status != 0))
        r = agent_fail(err, VCS_RPC_INTERNAL, "the program of the exercise ended with status %#x", (unsigned)status);
    close_child(&child);
    if (ctr_destroy(ctr, &after) < 0 && r == 0) {
        *err = after;
        r = -1;
    }
    return r;
}

/* The whole of it, with the root in a directory of that one. */
static int rehearse(struct plan *p, const char *below, struct agent_err *err)
{
    int r = make_root(p, below, err);
    if (r == 0) {
        plan_request(p);
        r = run_container(p, err);
    }
    vcs_remove_tree(AT_FDCWD, p->root);
    return r;
}

/* ---- shared folders ---- */

static int rehearse_on(const char *tag, struct plan *p, struct agent_err *err)
{
    /* As the host's side mounts it. */
    static const char *const options[] = {"trans=virtio", "version=9p2000.L", "cache=mmap", "msize=512000", "nodev"};
    Agent__Storage s = AGENT__STORAGE__INIT, *storages[] = {&s};
    struct ctr_mounts *m = NULL;
    char point[PATH_MAX];
    snprintf(point, sizeof(point), "%.3900s/" ID "-share", agent_config.run_dir);
    s.driver = s.fstype = text("9p");
    s.source = text(tag);
    s.mount_point = point;
    s.options = list(options);
    s.n_options = COUNT(options);
    if (ctr_storages_mount(storages, 1, &m, err) < 0)
        return -1;
    int r = rehearse(p, point, err);
    ctr_storages_unmount(m);
    return r;
}

/* On the first 9p device that there is; 1: on none.  One that is too small, or that cannot be written to, is none. */
static int rehearse_on_share(struct plan *p)
{
    vcs_autoclosedir DIR *d = opendir("/sys/bus/virtio/drivers/9pnet_virtio");
    struct agent_err why;
    struct dirent *e;
    while (d && (e = readdir(d))) {
        char file[300];
        vcs_autofree char *tag = NULL;
        snprintf(file, sizeof(file), "%s/mount_tag", e->d_name);
        if (strncmp(e->d_name, "virtio", 6) != 0 || vcs_read_file(dirfd(d), file, 4096, &tag, NULL) < 0)
            continue;
        if (rehearse_on(tag, p, &why) == 0)
            return 0;
        agent_log(AGENT_LOG_INFO, "nothing can be run from the shared folder %s: %s", tag, why.text);
    }
    return 1;
}

int exercise_prepare(struct agent_err *err)
{
    struct plan *p = calloc(1, sizeof(*p));
    if (!p)
        return agent_fail(err, VCS_RPC_EXHAUSTED, "out of memory");
    plan_request(p);
    int r = ctr_prepare_ahead(&p->request, err);
    free(p);
    return r;
}

int exercise_run(struct agent_err *err)
{
    struct plan *p = calloc(1, sizeof(*p));
    if (!p)
        return agent_fail(err, VCS_RPC_EXHAUSTED, "out of memory");
    int r = agent_config.own_kernel ? rehearse_on_share(p) : 1;
    if (r)
        r = rehearse(p, agent_config.run_dir, err);
    free(p);
    return r;
}
