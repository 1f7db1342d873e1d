/* SPDX-License-Identifier: Apache-2.0 */
/* ns.c: a hypervisor plugin to copy: its "VM" is a set of Linux namespaces.
 *
 * IT ISOLATES NOTHING.  There is no virtual machine: what runs in a pod runs on the host's kernel, and root in a
 * container is root of the host.  It is here so that a new plugin starts from one that works, and for tests.
 *
 * The VMM is `vc-agent --namespaces`, two processes: an outer one, which this file starts, and in new namespaces an inner
 * one, PID 1 of the "guest".  A plugin for a real VMM differs in what it spawns and in what it says to it afterwards, and
 * in little else; the parts to replace are marked with "YOURS".
 *
 * Four rules explain most of the code:
 *   1. A pod outlives the process that made it.  Each call may come in another process than the one before, after `save`
 *      and `restore`: nothing may be needed that is not in the saved state or can be looked up in the system.
 *   2. Whatever is made outside of this process is known to the host before it is made: `spawn` and `res_add` do that,
 *      and all files are in VC_PATH_RUN, which the host removes.  So nothing is lost when the host's process is killed.
 *   3. VC_OK means that it has happened.  After vm_stop no process is left, after vm_pause none runs.
 *   4. A failure is a code, for the host, and one sentence, for people, that names the thing and what would be right.
 *
 * The file is C11 and C++ both (`./configure CC=g++`).  It uses the SDK's helpers (vcsdk/...: formatted errors, sockets,
 * processes by pid and start time), which are optional: the contract is <vc/...> alone. */
#include <ctype.h>
#include <fcntl.h>
#include <ftw.h>
#include <linux/magic.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#include <vc/hypervisor.h>
#include <vcsdk/io.h>
#include <vcsdk/plug.h>
#include <vcsdk/proc.h>

#define STATE_MAX (64u * 1024)
#define PATH_SIZE 4096
#define USUAL_NS  INT64_C(5000000000) /* for what must end soon, when the call has no deadline */

/* One instance: one pod's VM.  The contract leaves the content to the plugin. */
struct vc_inst {
    const vc_host *host; /* valid until close */
    char *pod_id;
    char *run;        /* VC_PATH_RUN: console.log and agent.sock are there */
    char *agent_path; /* option agent_path, or its default */
    char *log_level;  /* option log */
    uint32_t state;   /* VC_VM_*, as far as calls have brought it; PAUSED is asked of the kernel */
    char *share_dir, *share_tag, *netns_path;
    char *cgroup; /* the control group to be in; NULL: there are none here, and no pause */
    int netns_fd; /* -1: none, or not in this process */
    int has_netns;
    struct vc_proc outer, init; /* pid 0: none */
    int cancel_fd;
};

/* ---- small helpers ---- */

static int no_memory(const vc_host *host, const struct vc_call *call)
{
    return vcs_fail(host, call, VC_E_NOMEM, 0, "out of memory");
}

static int64_t deadline_of(const struct vc_call *call)
{
    return call && call->deadline_ns ? call->deadline_ns : vcs_now_ns() + USUAL_NS;
}

/* Wait for events of fd, the deadline, or cancel().  VC_OK: there is something. */
static int wait_fd(vc_inst *inst, const struct vc_call *call, int fd, short events)
{
    int64_t deadline = deadline_of(call);
    for (;;) {
        struct pollfd p[2] = { { fd, events, 0 }, { inst->cancel_fd, POLLIN, 0 } };
        int n = poll(p, 2, vcs_poll_timeout(deadline));
        if (n < 0 && errno != EINTR)
            return vcs_fail(inst->host, call, VC_E_IO, errno, "cannot wait for the namespaces of pod %s", inst->pod_id);
        if (n > 0 && p[1].revents)
            return vcs_fail(inst->host, call, VC_E_CANCELLED, 0, "the call for pod %s was cancelled", inst->pod_id);
        if (n > 0)
            return VC_OK;
        if (n == 0)
            return vcs_fail(inst->host, call, VC_E_TIMEOUT, 0, "the namespaces of pod %s did not answer in time", inst->pod_id);
    }
}

/* A cancel belongs to the call that runs: one that came too late for the last call is not for this one. */
static void begin(vc_inst *inst)
{
    uint64_t n;
    if (read(inst->cancel_fd, &n, sizeof(n)) < 0)
        errno = 0;
}

/* A file in VC_PATH_RUN, or another directory. */
static char *path_of(const char *dir, const char *name)
{
    char *text = NULL;
    return dir && asprintf(&text, "%s/%s", dir, name) >= 0 ? text : NULL;
}

static int put(vc_inst *inst, const struct vc_call *call, vc_sink *sink, const char *text)
{
    int r = text ? vcs_put(inst->host, sink, text) : (int)VC_E_NOMEM;
    return r == VC_OK ? r : vcs_fail(inst->host, call, r, 0, "cannot write a result for pod %s", inst->pod_id);
}

static int is_up(const vc_inst *inst)
{
    return inst->state == VC_VM_RUNNING;
}

/* ---- control group: how the "VM" is paused ---- */

/* Where control groups of version 2 can be made; NULL when that is not possible here. */
static const char *find_cgroups(void)
{
    static const char *const points[] = { "/sys/fs/cgroup", "/sys/fs/cgroup/unified" }; /* as systemd has them */
    struct statfs st;
    for (size_t i = 0; i < sizeof(points) / sizeof(points[0]); i++)
        if (statfs(points[i], &st) == 0 && st.f_type == CGROUP2_SUPER_MAGIC && access(points[i], W_OK) == 0)
            return points[i];
    return NULL;
}

static int write_group(const vc_inst *inst, const char *name, const char *text)
{
    char path[PATH_SIZE + 32];
    snprintf(path, sizeof(path), "%s/%s", inst->cgroup, name);
    vcs_autoclose int fd = open(path, O_WRONLY | O_CLOEXEC);
    return fd < 0 || write(fd, text, strlen(text)) < 0 ? -errno : 0;
}

/* Does cgroup.events, which can be polled for changes (POLLPRI), hold this line?  *ret_fd is the caller's. */
static int group_event(const vc_inst *inst, const char *line, int *ret_fd)
{
    char path[PATH_SIZE + 32], text[256];
    snprintf(path, sizeof(path), "%s/cgroup.events", inst->cgroup ? inst->cgroup : "");
    *ret_fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = *ret_fd < 0 ? -1 : read(*ret_fd, text, sizeof(text) - 1);
    text[n > 0 ? n : 0] = '\0';
    return strstr(text, line) != NULL;
}

static int remove_visit(const char *path, const struct stat *st, int type, struct FTW *at)
{
    (void)st;
    (void)at;
    if (type == FTW_DP && rmdir(path) < 0 && errno != ENOENT)
        return errno;
    return 0;
}

/* End whatever is in the group, and remove it with those below it, which the agent has made. */
static int remove_group(vc_inst *inst, const struct vc_call *call)
{
    int sys;
    if (!inst->cgroup || access(inst->cgroup, F_OK) < 0)
        return VC_OK;
    write_group(inst, "cgroup.kill", "1"); /* usually nothing is left; kernels before 5.14 cannot do this */
    while ((sys = nftw(inst->cgroup, remove_visit, 16, FTW_DEPTH | FTW_PHYS)) == EBUSY) {
        vcs_autoclose int fd = -1;
        if (!group_event(inst, "populated 1", &fd))
            break;
        int r = wait_fd(inst, call, fd, POLLPRI);
        if (r != VC_OK)
            return r;
    }
    if (sys == EBUSY) /* the last process went between the two questions */
        sys = nftw(inst->cgroup, remove_visit, 16, FTW_DEPTH | FTW_PHYS);
    if (sys < 0)
        sys = errno;
    if (sys && sys != ENOENT)
        return vcs_fail(inst->host, call, vcs_code_of(sys), sys, "cannot remove the control group %s", inst->cgroup);
    inst->host->res_del(inst->host, VC_RES_CGROUP, inst->cgroup);
    return VC_OK;
}

/* Rule 2: told to the host, then made. */
static int make_group(vc_inst *inst, const struct vc_call *call)
{
    if (!inst->cgroup)
        return VC_OK;
    int r = inst->host->res_add(inst->host, VC_RES_CGROUP, inst->cgroup);
    if (r != VC_OK)
        return vcs_fail(inst->host, call, r, 0, "cannot record the control group %s", inst->cgroup);
    if (mkdir(inst->cgroup, 0755) < 0)
        return vcs_fail(inst->host, call, vcs_code_of(errno), errno, "cannot make the control group %s", inst->cgroup);
    return VC_OK;
}

/* Its name: always the same for a pod, so that the group, and by it every process, is found also when the host was killed
 * before it could save.  The number is made of VC_PATH_RUN, since hosts with other run roots may have a pod of that name. */
static char *group_of(const char *root, const vc_inst *inst)
{
    char *path = NULL;
    uint32_t hash = 2166136261u;
    for (const char *p = inst->run; *p; p++)
        hash = (hash ^ (unsigned char)*p) * 16777619u;
    return asprintf(&path, "%s/vccore-ns.%s.%08x", root, inst->pod_id, hash) < 0 ? NULL : path;
}

/* ---- life of an instance ---- */

static void ns_close(vc_inst *inst)
{
    /* Only what is in this process: the VM goes on. */
    char *strings[] = { inst->pod_id, inst->run, inst->agent_path, inst->log_level,
                        inst->share_dir, inst->share_tag, inst->netns_path, inst->cgroup };
    for (size_t i = 0; i < sizeof(strings) / sizeof(strings[0]); i++)
        free(strings[i]);
    if (inst->netns_fd >= 0)
        close(inst->netns_fd);
    if (inst->cancel_fd >= 0)
        close(inst->cancel_fd);
    free(inst);
}

static char *agent_program(const vc_host *host, const vc_config *cfg)
{
    vcs_autofree char *dir = vcs_path(host, VC_PATH_LIBEXEC);
    const char *option = vcs_opt_str(host, cfg, "agent_path");
    return option ? strdup(option) : path_of(dir, "vc-agent");
}

static int ns_create(const vc_host *host, const struct vc_call *call, const vc_config *cfg, const char *pod_id,
                     vc_inst **out)
{
    const char *level, *groups = find_cgroups();
    vc_inst *inst = (vc_inst *)calloc(1, sizeof(*inst));
    if (!inst)
        return no_memory(host, call);
    inst->host = host;
    inst->netns_fd = -1;
    inst->cancel_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    inst->pod_id = strdup(pod_id);
    inst->run = vcs_path(host, VC_PATH_RUN);
    /* The host has checked the section against the table of options: what comes here has the right type and range. */
    inst->agent_path = agent_program(host, cfg);
    level = vcs_opt_str(host, cfg, "log");
    inst->log_level = strdup(level ? level : "warn");
    if (groups && inst->run && inst->pod_id)
        inst->cgroup = group_of(groups, inst);
    if (inst->cancel_fd < 0 || !inst->pod_id || !inst->run || !inst->agent_path || !inst->log_level ||
        (groups && !inst->cgroup)) {
        int r = inst->cancel_fd < 0 ? vcs_fail(host, call, VC_E_RESOURCE, errno, "cannot make an event descriptor")
                                    : no_memory(host, call);
        ns_close(inst);
        return r;
    }
    *out = inst;
    return VC_OK;
}

/* The state, version 1: lines "KEY VALUE".  A later version of the plugin that adds a key makes it version 2 and goes
 * on reading version 1 (state_version_min). */
static int ns_save(vc_inst *inst, const struct vc_call *call, vc_sink *out)
{
    char text[256 + 3 * PATH_SIZE];
    int n = snprintf(text, sizeof(text), "state %u\nnetns %d\nouter %d %llu\ninit %d %llu\n", inst->state, inst->has_netns,
                     inst->outer.pid, (unsigned long long)inst->outer.start_ticks, inst->init.pid,
                     (unsigned long long)inst->init.start_ticks);
    const char *keys[] = { "share_dir", "share_tag", "netns_path" };
    const char *values[] = { inst->share_dir, inst->share_tag, inst->netns_path };
    for (int i = 0; i < 3; i++)
        if (values[i] && n < (int)sizeof(text))
            n += snprintf(text + n, sizeof(text) - (size_t)n, "%s %s\n", keys[i], values[i]);
    if (n >= (int)sizeof(text))
        return vcs_fail(inst->host, call, VC_E_RESOURCE, 0, "the state of pod %s is too long", inst->pod_id);
    return put(inst, call, out, text);
}

/* "PID TICKS" */
static int read_proc(const char *text, struct vc_proc *ret)
{
    unsigned long long ticks;
    int end = 0;
    if (sscanf(text, "%9d %20llu%n", &ret->pid, &ticks, &end) != 2 || text[end] || ret->pid < 0 || ret->pid == 1)
        return -EINVAL;
    ret->start_ticks = ticks;
    return 0;
}

static int read_path(const char *text, char **ret)
{
    if (*ret || *text != '/' || strlen(text) >= PATH_SIZE)
        return -EINVAL;
    return (*ret = strdup(text)) ? 0 : -ENOMEM;
}

/* One line of the state, which may be anything: 0, -EINVAL when this plugin never writes such a line, -ENOMEM. */
static int read_line(vc_inst *inst, const char *key, const char *value)
{
    if (!strcmp(key, "state") && value[0] >= '0' && value[0] < '0' + VC_VM_STOPPED + 1 && !value[1]) {
        inst->state = (uint32_t)(value[0] - '0');
        return inst->state == VC_VM_PAUSED ? -EINVAL : 0;
    }
    if (!strcmp(key, "netns") && (value[0] == '0' || value[0] == '1') && !value[1]) {
        inst->has_netns = value[0] - '0';
        return 0;
    }
    if (!strcmp(key, "outer"))
        return read_proc(value, &inst->outer);
    if (!strcmp(key, "init"))
        return read_proc(value, &inst->init);
    if (!strcmp(key, "share_dir"))
        return read_path(value, &inst->share_dir);
    if (!strcmp(key, "netns_path"))
        return read_path(value, &inst->netns_path);
    if (!strcmp(key, "share_tag") && !inst->share_tag && *value)
        return (inst->share_tag = strdup(value)) ? 0 : -ENOMEM;
    return -EINVAL;
}

static int ns_restore(const vc_host *host, const struct vc_call *call, const vc_config *cfg, const char *pod_id,
                      uint32_t state_version, struct vc_bytes state, vc_inst **out)
{
    vc_inst *inst = NULL;
    int bad = 0, lines = 0;
    if (state_version != 1)
        return vcs_fail(host, call, VC_E_UNSUPPORTED, 0, "the stored state of pod %s is of version %u; 1 is known", pod_id,
                        state_version);
    if (!state.data || !state.len || state.len > STATE_MAX || memchr(state.data, 0, state.len) ||
        ((const char *)state.data)[state.len - 1] != '\n')
        return vcs_fail(host, call, VC_E_CORRUPT, 0, "the stored state of pod %s is no text, or cut short", pod_id);
    char *save = NULL;
    vcs_autofree char *text = strndup((const char *)state.data, state.len);
    if (!text)
        return no_memory(host, call);
    int r = ns_create(host, call, cfg, pod_id, &inst);
    if (r != VC_OK)
        return r;
    for (char *line = strtok_r(text, "\n", &save); line && !bad; line = strtok_r(NULL, "\n", &save), lines++) {
        char *value = strchr(line, ' ');
        if (value)
            *value++ = '\0';
        bad = value ? read_line(inst, line, value) : -EINVAL;
    }
    if (!bad && (lines < 4 || !inst->share_dir != !inst->share_tag))
        bad = -EINVAL;
    if (bad) {
        ns_close(inst);
        return bad == -ENOMEM ? no_memory(host, call)
                              : vcs_fail(host, call, VC_E_CORRUPT, 0,
                                         "the stored state of pod %s is not what this plugin writes", pod_id);
    }
    *out = inst;
    return VC_OK;
}

static int ns_check(vc_inst *inst, const struct vc_call *call, uint32_t *health)
{
    (void)call;
    *health = is_up(inst) && vcs_proc_alive(&inst->outer) ? VC_HEALTH_OK : VC_HEALTH_GONE;
    return VC_OK;
}

/* YOURS: what your VM can do here. */
static uint64_t ns_caps(vc_inst *inst)
{
    /* True on this machine, not only possible: a bit that is set is relied on. */
    return VC_HV_CAP_SHARE_BIND | (inst->cgroup ? VC_HV_CAP_PAUSE : 0);
}

static void ns_cancel(vc_inst *inst)
{
    uint64_t one = 1;
    if (write(inst->cancel_fd, &one, sizeof(one)) < 0) /* full: it was cancelled very often already */
        return;
}

/* ---- the VM ---- */

/* Letters, digits, '_', '.', '-', and not a name that means something. */
static int tag_ok(const char *tag)
{
    size_t n = strlen(tag);
    for (size_t i = 0; i < n; i++)
        if (!isalnum((unsigned char)tag[i]) && (i == 0 || !strchr("_.-", tag[i])))
            return 0;
    return n > 0 && n <= 64;
}

static int take_netns(vc_inst *inst, const struct vc_call *call, int fd)
{
    char link[64], path[PATH_SIZE];
    if (fd < 0)
        return VC_OK;
    inst->netns_fd = fcntl(fd, F_DUPFD_CLOEXEC, 3); /* the caller's is only borrowed */
    if (inst->netns_fd < 0)
        return vcs_fail(inst->host, call, vcs_code_of(errno), errno, "the network namespace of pod %s is no open descriptor",
                    inst->pod_id);
    inst->has_netns = 1;
    /* If the VM is started by another process than this one, the namespace is found by its path. */
    snprintf(link, sizeof(link), "/proc/self/fd/%d", inst->netns_fd);
    ssize_t n = readlink(link, path, sizeof(path) - 1);
    path[n > 0 ? n : 0] = '\0';
    if (path[0] == '/' && !strchr(path, '\n') && !(inst->netns_path = strdup(path)))
        return no_memory(inst->host, call);
    return VC_OK;
}

/* YOURS: what of the VM's description is kept for the start, and what of it cannot be had. */
static int ns_vm_create(vc_inst *inst, const struct vc_call *call, const struct vc_vm_config *config)
{
    struct vc_vm_config c;
    int r;
    /* The host may be older or newer than these headers: what it does not have reads as zero. */
    memset(&c, 0, sizeof(c));
    memcpy(&c, config, config->size < sizeof(c) ? config->size : sizeof(c));
    if (inst->state != VC_VM_NONE)
        return vcs_fail(inst->host, call, VC_E_EXISTS, 0, "the VM of pod %s was described already", inst->pod_id);
    if (c.kernel_params && *c.kernel_params)
        return vcs_fail(inst->host, call, VC_E_UNSUPPORTED, 0,
                    "the kernel of pod %s is the host's and takes no parameters (\"%.100s\")", inst->pod_id, c.kernel_params);
    if (!c.shared_dir != !c.share_tag || (c.shared_dir && (*c.shared_dir != '/' || strchr(c.shared_dir, '\n') ||
                                                           strlen(c.shared_dir) >= PATH_SIZE || !tag_ok(c.share_tag))))
        return vcs_fail(inst->host, call, VC_E_INVAL, 0,
                    "the shared folder of pod %s needs an absolute path in one line, and a tag of letters, digits, '_', '.' "
                    "and '-'", inst->pod_id);
    if (c.vcpus || c.max_vcpus || c.memory || c.max_memory)
        vcs_log(inst->host, VC_LOG_INFO, "the wanted vCPUs and memory are not looked at: a pod has those of the host");
    if (c.shared_dir && (!(inst->share_dir = strdup(c.shared_dir)) || !(inst->share_tag = strdup(c.share_tag))))
        r = no_memory(inst->host, call);
    else
        r = take_netns(inst, call, c.netns_fd);
    if (r != VC_OK) { /* nothing of it has happened: the call may be made again */
        free(inst->share_dir);
        free(inst->share_tag);
        inst->share_dir = inst->share_tag = NULL;
        if (inst->netns_fd >= 0)
            close(inst->netns_fd);
        inst->netns_fd = -1;
        inst->has_netns = 0;
        return r;
    }
    inst->state = VC_VM_CREATED;
    return VC_OK;
}

/* What one start needs for as long as it lasts. */
struct start {
    int log_fd, listen_fd, netns_fd;
    int ready[2]; /* a pipe: what the VMM says first */
};

static int prepare_start(vc_inst *inst, const struct vc_call *call, struct start *s)
{
    vcs_autofree char *log = path_of(inst->run, "console.log"), *sock = path_of(inst->run, "agent.sock");
    if (!log || !sock)
        return no_memory(inst->host, call);
    s->log_fd = open(log, O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (s->log_fd < 0 || pipe2(s->ready, O_CLOEXEC) < 0)
        return vcs_fail(inst->host, call, vcs_code_of(errno), errno, "cannot make %s, or a pipe", log);
    /* The agent's channel is made here and handed over: it can be connected to from now on, and waits to be served. */
    s->listen_fd = vcs_unix_listen(sock, 0600, 64);
    if (s->listen_fd < 0)
        return vcs_fail(inst->host, call, vcs_code_of(s->listen_fd), s->listen_fd, "cannot listen at %s", sock);
    if (inst->netns_fd >= 0)
        s->netns_fd = fcntl(inst->netns_fd, F_DUPFD_CLOEXEC, 3);
    else if (inst->netns_path)
        s->netns_fd = open(inst->netns_path, O_RDONLY | O_CLOEXEC);
    if (inst->has_netns && s->netns_fd < 0)
        return vcs_fail(inst->host, call, VC_E_NOTFOUND, 0, "the network namespace of pod %s (%s) is not there any more",
                        inst->pod_id, inst->netns_path ? inst->netns_path : "without a name");
    return make_group(inst, call);
}

static void end_start(struct start *s)
{
    int fds[] = { s->log_fd, s->listen_fd, s->netns_fd, s->ready[0], s->ready[1] };
    for (size_t i = 0; i < sizeof(fds) / sizeof(fds[0]); i++)
        if (fds[i] >= 0)
            close(fds[i]);
}

/* YOURS: the command line of the VMM. */
static int spawn_vmm(vc_inst *inst, const struct vc_call *call, struct start *s)
{
    vcs_autofree char *share = NULL;
    const char *argv[16] = { "vc-agent", "--namespaces", "--listen-fd", "3", "--ready-fd", "4", "--log", inst->log_level };
    int n = 8;
    /* Descriptors are handed over by their place in this list: the first becomes 3, the next 4, ... */
    const int32_t fds[] = { s->listen_fd, s->ready[1] };
    struct vc_spawn sp;
    if (inst->share_dir) {
        if (asprintf(&share, "%s=%s", inst->share_tag, inst->share_dir) < 0)
            return no_memory(inst->host, call);
        argv[n++] = "--share";
        argv[n++] = share;
    }
    if (inst->cgroup) {
        argv[n++] = "--cgroup";
        argv[n++] = inst->cgroup;
    }
    if (!inst->has_netns) /* a VM without network cards has no network: not the host's */
        argv[n++] = "--new-net";
    memset(&sp, 0, sizeof(sp));
    sp.size = sizeof(sp);
    sp.path = inst->agent_path;
    sp.argv = argv;
    sp.fds = fds;
    sp.n_fds = 2;
    sp.netns_fd = s->netns_fd;
    sp.stdio[0] = -1;
    sp.stdio[1] = sp.stdio[2] = s->log_fd;
    return inst->host->spawn(inst->host, call, &sp, &inst->outer); /* it says itself what was wrong */
}

/* YOURS: how a VMM says that it runs.  This one writes "pid N" and "ready", or "error ERRNO SENTENCE". */
static int await_vmm(vc_inst *inst, const struct vc_call *call, struct start *s)
{
    char text[512] = "";
    size_t len = 0;
    int pid = 0, end = 0;
    close(s->ready[1]); /* else its end would never be seen */
    s->ready[1] = -1;
    for (;;) {
        int r = wait_fd(inst, call, s->ready[0], POLLIN);
        if (r != VC_OK)
            return r;
        ssize_t n = read(s->ready[0], text + len, sizeof(text) - 1 - len);
        if (n < 0 && errno == EINTR)
            continue;
        len += n > 0 ? (size_t)n : 0;
        text[len] = '\0';
        if (sscanf(text, "pid %9d\nready%n", &pid, &end) == 1 && end && text[end] == '\n')
            break;
        if (n <= 0 || len == sizeof(text) - 1) {
            const char *why = strstr(text, "error ");
            int sys = 0;
            if (!why || sscanf(why, "error %9d %n", &sys, &end) != 1)
                return vcs_fail(inst->host, call, VC_E_PEER, 0, "%s ended before it made the namespaces of pod %s",
                                inst->agent_path, inst->pod_id);
            return vcs_fail(inst->host, call, vcs_code_of(sys), sys, "the namespaces of pod %s cannot be made: %.*s",
                            inst->pod_id, (int)strcspn(why + end, "\n"), why + end);
        }
    }
    if (pid <= 1 || vcs_proc_identify(pid, &inst->init) < 0)
        return vcs_fail(inst->host, call, VC_E_PEER, 0, "PID 1 of pod %s has ended at once", inst->pod_id);
    return VC_OK;
}

/* Kill one and wait for its end; the ledger forgets it then. */
static int end_process(vc_inst *inst, const struct vc_call *call, struct vc_proc *proc)
{
    if (proc->pid <= 0)
        return VC_OK;
    int sys = vcs_proc_kill(proc, SIGKILL); /* by pid and start time: never another one's */
    if (sys < 0 && sys != -ESRCH)
        return vcs_fail(inst->host, call, vcs_code_of(sys), sys, "cannot end process %d of pod %s", proc->pid, inst->pod_id);
    int r = inst->host->proc_wait(inst->host, call, proc, NULL);
    if (r != VC_OK)
        return r;
    inst->host->proc_done(inst->host, proc);
    memset(proc, 0, sizeof(*proc));
    return VC_OK;
}

/* Remove a file of VC_PATH_RUN, if it is there. */
static int remove_file(vc_inst *inst, const struct vc_call *call, const char *name)
{
    vcs_autofree char *path = path_of(inst->run, name);
    if (!path)
        return no_memory(inst->host, call);
    if (unlink(path) < 0 && errno != ENOENT && errno != ENOTDIR)
        return vcs_fail(inst->host, call, vcs_code_of(errno), errno, "cannot remove %s", path);
    return VC_OK;
}

/* Leave nothing of the VM.  The inner process first: with it goes, before its end can be seen, everything in its pid
 * namespace, frozen or not. */
static int end_vm(vc_inst *inst, const struct vc_call *call)
{
    int r = end_process(inst, call, &inst->init);
    if (r == VC_OK)
        r = end_process(inst, call, &inst->outer);
    if (r == VC_OK)
        r = remove_group(inst, call);
    return r == VC_OK ? remove_file(inst, call, "agent.sock") : r;
}

static int ns_vm_start(vc_inst *inst, const struct vc_call *call)
{
    struct start s = { -1, -1, -1, { -1, -1 } };
    begin(inst);
    if (inst->state == VC_VM_NONE)
        return vcs_fail(inst->host, call, VC_E_STATE, 0, "the VM of pod %s was not described yet", inst->pod_id);
    if (is_up(inst) && vcs_proc_alive(&inst->outer))
        return vcs_fail(inst->host, call, VC_E_STATE, 0, "the VM of pod %s runs already", inst->pod_id);
    if (call && call->deadline_ns && call->deadline_ns <= vcs_now_ns())
        return vcs_fail(inst->host, call, VC_E_TIMEOUT, 0, "there is no time left to start the VM of pod %s", inst->pod_id);
    if (geteuid() != 0)
        return vcs_fail(inst->host, call, VC_E_PERM, 0, "the namespaces of pod %s can be made by root only", inst->pod_id);
    vcs_log(inst->host, VC_LOG_WARN,
            "this isolates NOTHING: the pod runs on the host's kernel, as root; for trying out and tests only");
    int r = end_vm(inst, call); /* what is left of one that died */
    if (r == VC_OK)
        r = prepare_start(inst, call, &s);
    if (r == VC_OK)
        r = spawn_vmm(inst, call, &s);
    if (r == VC_OK)
        r = await_vmm(inst, call, &s);
    end_start(&s);
    if (r == VC_OK) {
        inst->state = VC_VM_RUNNING;
        return VC_OK;
    }
    /* Undone, without a word about what else may go wrong, and without the deadline that may just have passed. */
    struct vc_call quiet;
    memset(&quiet, 0, sizeof(quiet));
    quiet.size = sizeof(quiet);
    quiet.deadline_ns = vcs_now_ns() + USUAL_NS;
    begin(inst);
    end_vm(inst, &quiet);
    inst->state = inst->state == VC_VM_RUNNING ? (uint32_t)VC_VM_STOPPED : inst->state;
    return r;
}

/* Forced or not: there is nobody to be asked, since the host's file systems need no shutdown. */
static int ns_vm_stop(vc_inst *inst, const struct vc_call *call, uint32_t flags)
{
    (void)flags;
    begin(inst);
    int r = end_vm(inst, call);
    if (r == VC_OK && is_up(inst))
        inst->state = VC_VM_STOPPED;
    return r;
}

/* Like stop, and more: no file of ours is left, not even the log. */
static int ns_cleanup(vc_inst *inst, const struct vc_call *call)
{
    int r = ns_vm_stop(inst, call, VC_STOP_FORCE);
    return r == VC_OK ? remove_file(inst, call, "console.log") : r;
}

/* Asked of the system, not of memory: it may have been killed, or paused by another process. */
static int ns_vm_state(vc_inst *inst, const struct vc_call *call, uint32_t *state)
{
    vcs_autoclose int fd = -1;
    (void)call;
    if (is_up(inst) && !vcs_proc_alive(&inst->outer))
        *state = VC_VM_STOPPED;
    else if (is_up(inst) && group_event(inst, "frozen 1", &fd))
        *state = VC_VM_PAUSED;
    else
        *state = inst->state;
    return VC_OK;
}

/* A URI that begins with `scheme`, of a file in VC_PATH_RUN. */
static int put_uri(vc_inst *inst, const struct vc_call *call, vc_sink *sink, const char *scheme, const char *name)
{
    vcs_autofree char *dir = NULL;
    if (asprintf(&dir, "%s%s", scheme, inst->run) < 0)
        return no_memory(inst->host, call);
    vcs_autofree char *uri = path_of(dir, name);
    return put(inst, call, sink, uri);
}

/* YOURS: where the agent in the guest is reached, as vsock://CID:PORT, serial://PATH or hvsock://PATH:PORT. */
static int ns_agent_endpoint(vc_inst *inst, const struct vc_call *call, vc_sink *uri)
{
    if (!is_up(inst))
        return vcs_fail(inst->host, call, VC_E_STATE, 0, "the VM of pod %s was not started, so its agent cannot be reached",
                        inst->pod_id);
    return put_uri(inst, call, uri, "unix://", "agent.sock");
}

static int ns_console(vc_inst *inst, const struct vc_call *call, vc_sink *uri)
{
    return is_up(inst) ? put_uri(inst, call, uri, "file://", "console.log") : VC_OK;
}

static int ns_pids(vc_inst *inst, const struct vc_call *call, vc_sink *procs)
{
    const struct vc_proc both[] = { inst->outer, inst->init };
    if (!is_up(inst) || !vcs_proc_alive(&inst->outer))
        return VC_OK;
    int r = inst->host->write(inst->host, procs, both, sizeof(both));
    return r == VC_OK ? r : vcs_fail(inst->host, call, r, 0, "cannot write the processes of pod %s", inst->pod_id);
}

/* YOURS: pause and resume.  Freeze or thaw, and see that it is so: the kernel needs a moment until the last process has
 * stopped. */
static int set_frozen(vc_inst *inst, const struct vc_call *call, int frozen)
{
    begin(inst);
    if (!is_up(inst) || !vcs_proc_alive(&inst->outer))
        return vcs_fail(inst->host, call, VC_E_STATE, 0, "the VM of pod %s does not run", inst->pod_id);
    if (!inst->cgroup)
        return vcs_fail(inst->host, call, VC_E_UNSUPPORTED, 0, "there are no control groups of version 2 to pause pod %s by",
                        inst->pod_id);
    int sys = write_group(inst, "cgroup.freeze", frozen ? "1" : "0");
    if (sys < 0)
        return vcs_fail(inst->host, call, vcs_code_of(sys), sys, "cannot %s %s", frozen ? "freeze" : "thaw", inst->cgroup);
    for (;;) {
        vcs_autoclose int fd = -1;
        if (group_event(inst, frozen ? "frozen 1" : "frozen 0", &fd))
            return VC_OK;
        int r = wait_fd(inst, call, fd, POLLPRI);
        if (r != VC_OK && frozen)
            write_group(inst, "cgroup.freeze", "0"); /* not half of it */
        if (r != VC_OK)
            return r;
    }
}

static int ns_vm_pause(vc_inst *inst, const struct vc_call *call)
{
    return set_frozen(inst, call, 1);
}

static int ns_vm_resume(vc_inst *inst, const struct vc_call *call)
{
    return set_frozen(inst, call, 0);
}

/* For a person who asks whether this can work here. */
static int ns_probe(const vc_host *host, const struct vc_call *call, const vc_config *cfg, vc_sink *report)
{
    vcs_autofree char *agent = agent_program(host, cfg), *text = NULL;
    if (!agent || asprintf(&text, "agent: %s\npause: %s\nisolation: none\n", agent,
                           find_cgroups() ? "by a control group" : "no, there are no control groups of version 2 to be written") < 0)
        return no_memory(host, call);
    if (access(agent, X_OK) < 0)
        return vcs_fail(host, call, vcs_code_of(errno), errno, "cannot execute the agent %s: set agent_path", agent);
    if (geteuid() != 0)
        return vcs_fail(host, call, VC_E_PERM, 0, "namespaces can be made by root only");
    return vcs_put(host, report, text);
}

/* ---- the tables ---- */

/* YOURS: what a person may configure; the host checks it, fills in the defaults and prints help from it. */
static const struct vc_option ns_options[] = {
    { "agent_path", VC_OPT_PATH, VC_OPT_MUST_EXIST, 0, 0, NULL, NULL,
      "The program vc-agent; by default the one of the host's installation." },
    { "log", VC_OPT_ENUM, 0, 0, 0, "warn", "error warn info debug", "What the agent writes to the console." },
};

/* In the order of the headers; what a plugin cannot do is NULL, and its capability bit is not set. */
static const struct vc_inst_ops ns_inst_ops = {
    .size = sizeof(struct vc_inst_ops),
    .reserved = 0,
    .create = ns_create,
    .restore = ns_restore,
    .save = ns_save,
    .check = ns_check,
    .cleanup = ns_cleanup,
    .close = ns_close,
    .caps = ns_caps,
    .cancel = ns_cancel,
    .ext = NULL,
};

static const struct vc_hypervisor_ops ns_hypervisor_ops = {
    .size = sizeof(struct vc_hypervisor_ops),
    .reserved = 0,
    .vm_create = ns_vm_create,
    .vm_start = ns_vm_start,
    .vm_stop = ns_vm_stop,
    .vm_state = ns_vm_state,
    .agent_endpoint = ns_agent_endpoint,
    .console = ns_console,
    .pids = ns_pids,
    .device_add = NULL, /* VC_HV_CAP_HOTPLUG */
    .device_del = NULL,
    .vm_pause = ns_vm_pause,
    .vm_resume = ns_vm_resume,
    .resize = NULL, /* VC_HV_CAP_RESIZE */
};

/* The one symbol that is exported (plugin.map). */
VC_EXPORT const struct vc_plugin vc_plugin_entry = {
    .magic = VC_PLUGIN_MAGIC,
    .abi_major = VC_ABI_MAJOR,
    .abi_minor = VC_ABI_MINOR,
    .size = sizeof(struct vc_plugin),
    .min_host_minor = 0,
    .kind = VC_KIND_HYPERVISOR,
    .reserved = 0,
    .name = "ns",
    .vendor = "libvccore",
    .version = "1.0",
    .description = "No VM, only Linux namespaces: isolates NOTHING, for trying out and tests.",
    .options = ns_options,
    .n_options = sizeof(ns_options) / sizeof(ns_options[0]),
    .option_stride = sizeof(struct vc_option),
    .state_version = 1,
    .state_version_min = 1,
    .caps_max = VC_HV_CAP_SHARE_BIND | VC_HV_CAP_PAUSE,
    .load = NULL,
    .probe = ns_probe,
    .inst = &ns_inst_ops,
    .ops = &ns_hypervisor_ops,
};
