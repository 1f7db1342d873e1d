/* SPDX-License-Identifier: Apache-2.0 */
/* boot.c: from nothing to a VM with a pod's containers made in it, and back to nothing. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/io.h"
#include "lib/proc.h"
#include "mounts.h"
#include "network.h"
#include "pool.h"
#include "template.h"

#define LAST_LINE_MAX 300
#define REPORT_NS     500000000
#define KILLED_NS     INT64_C(3000000000) /* for shims to report processes that were killed in the guest */

/* ---- what the dead say ---- */

/* Last line with text of the file, printable bytes only; "" when there is none. */
static void last_line(int dirfd, const char *name, char *buf, size_t size)
{
    char tail[2048];
    buf[0] = '\0';
    vcs_autoclose int fd = openat(dirfd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    struct stat st;
    if (fd < 0 || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
        return;
    off_t from = st.st_size > (off_t)sizeof tail ? st.st_size - (off_t)sizeof tail : 0;
    ssize_t n = pread(fd, tail, sizeof tail, from);
    while (n > 0 && (unsigned char)tail[n - 1] <= ' ')
        n--;
    ssize_t start = n;
    while (start > 0 && tail[start - 1] != '\n' && tail[start - 1] != '\r' && n - start < (ssize_t)size - 1)
        start--;
    size_t len = 0;
    for (ssize_t i = start; i < n; i++)
        buf[len++] = tail[i] >= ' ' && tail[i] < 127 ? tail[i] : '?';
    buf[len] = '\0';
}

/* The VMM's last words: the last line of the log or console file in its private directory that was written last. */
static void vmm_last_words(const struct vci_pod *pod, char *buf, size_t size)
{
    buf[0] = '\0';
    int run = vci_store_run(&pod->dir, 0, NULL);
    int fd = run < 0 ? -1 : openat(run, vci_kind_name(VC_KIND_HYPERVISOR), O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
    vcs_autoclosedir DIR *d = fd >= 0 ? fdopendir(fd) : NULL;
    if (!d) {
        if (fd >= 0)
            close(fd);
        return;
    }
    struct timespec newest = { 0 };
    for (struct dirent *e; (e = readdir(d));) {
        size_t n = strlen(e->d_name);
        struct stat st;
        char line[LAST_LINE_MAX];
        if (n < 5 || strcmp(e->d_name + n - 4, ".log") != 0)
            continue;
        if (fstatat(dirfd(d), e->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0 || !S_ISREG(st.st_mode) || st.st_size == 0)
            continue;
        int newer = st.st_mtim.tv_sec > newest.tv_sec ||
                    (st.st_mtim.tv_sec == newest.tv_sec && st.st_mtim.tv_nsec >= newest.tv_nsec);
        last_line(dirfd(d), e->d_name, line, sizeof line);
        if (newer && line[0]) {
            newest = st.st_mtim;
            snprintf(buf, size, "%s", line);
        }
    }
}

/* ", 64 MiB of memory, 1 vCPU", which may be why; "" when the pod does not say, and the plugin has no such options. */
static void size_of_vm(const struct vci_pod *pod, char *buf, size_t size)
{
    const struct vci_inst *hv = &pod->inst[VC_KIND_HYPERVISOR];
    int64_t memory = (int64_t)pod->memory, vcpus = pod->vcpus;
    buf[0] = '\0';
    if (!memory && (!hv->section || vci_section_int(hv->section, "memory", &memory) != VC_OK))
        return;
    if (!vcpus && (!hv->section || vci_section_int(hv->section, "vcpus", &vcpus) != VC_OK))
        return;
    const char *unit = memory % (1 << 20) ? "bytes" : "MiB";
    snprintf(buf, size, ", %" PRId64 " %s of memory, %" PRId64 " vCPU%s", memory % (1 << 20) ? memory : memory >> 20, unit,
             vcpus, vcpus == 1 ? "" : "s");
}

int vci_vm_no_agent(struct vci_pod *pod, int rc, int64_t began, vc_error **err)
{
    vci_autoerror vc_error *cause = NULL;
    char words[LAST_LINE_MAX], had[80];
    cause = VCS_TAKE_PTR(*err);
    size_of_vm(pod, had, sizeof had);
    if (pod->n_vmm && !vci_proc_lives(&pod->vmm[0])) {
        vmm_last_words(pod, words, sizeof words);
        return vci_fail(err, VC_ERR_PEER, 0,
                        "the virtual machine of pod \"%s\" (process %d%s) ended before the agent answered%s%s",
                        pod->dir.id, pod->vmm[0].pid, had, words[0] ? "; the last line of its log: " : "", words);
    }
    if (rc == VC_ERR_TIMEOUT)
        return vci_fail(err, rc, 0, "the agent in the virtual machine of pod \"%s\"%s%s%s did not answer within %.1f s (%s)",
                        pod->dir.id, had[0] ? " (" : "", had[0] ? had + 2 : "", had[0] ? ")" : "",
                        (double)(vcs_now_ns() - began) / 1e9, vc_error_text(cause));
    *err = VCS_TAKE_PTR(cause);
    vci_context(err, "cannot reach the agent of pod \"%s\"", pod->dir.id);
    return rc;
}

/* ---- boot ---- */

int vci_vm_note_pids(struct vci_pod *pod, int64_t deadline, vc_error **err)
{
    struct vci_inst *hv = &pod->inst[VC_KIND_HYPERVISOR];
    vc_sink *sink = vci_sink_new();
    free(pod->vmm);
    pod->vmm = NULL;
    pod->n_vmm = 0;
    if (!sink)
        return vci_fail(err, VC_ERR_NOMEM, 0, "out of memory");
    size_t len = 0;
    int rc = VCI_CALL(hv, deadline, err, hypervisor, pids, sink);
    const char *bytes = rc == 0 ? vci_sink_str(sink, &len) : NULL;
    size_t n = len / sizeof(struct vc_proc);
    if (bytes && n && len % sizeof(struct vc_proc) == 0 && (pod->vmm = malloc(len))) {
        memcpy(pod->vmm, bytes, len);
        pod->n_vmm = n;
    } else if (rc == 0 && len) {
        rc = vci_fail(err, VC_ERR_INTERNAL, 0, "hypervisor plugin \"%s\" gave %zu bytes as its list of processes",
                      pod->plugin[VC_KIND_HYPERVISOR], len);
    }
    vci_sink_free(sink);
    return rc;
}

/* The shared directory as the host sees it; NULL without memory. */
static char *shared_path(const struct vci_pod *pod)
{
    char *path;
    return asprintf(&path, "%s/" VCI_SHARED, pod->dir.run_path) < 0 ? NULL : path;
}

/* The directory the guest gets is a small file system of its own: what a hostile guest writes beside the root file
 * systems of its containers cannot fill the host's run directory, and is neither a device nor a program there. */
int vci_vm_share(struct vci_pod *pod, vc_error **err)
{
    unsigned n = 0;
    if (!vci_rootfs_shared(pod))
        return 0;
    vcs_autofree char *path = shared_path(pod);
    if (!path)
        return vci_fail(err, VC_ERR_NOMEM, 0, "out of memory");
    int run = vci_store_run(&pod->dir, 1, err);
    if (run < 0)
        return run;
    if ((mkdirat(run, "shared", 0700) < 0 && errno != EEXIST) || (mkdirat(run, VCI_SHARED, 0700) < 0 && errno != EEXIST))
        return vci_fail(err, vci_code_of(errno), errno, "cannot make %s", path);
    int rc = vci_ledger_add(&pod->dir, VC_RES_MOUNT, "core", path, &n, err);
    if (rc < 0)
        return rc;
    vci_fault_point("shared-noted");
    /* A guest on this kernel has it by a slave of this mount, which is private first so that nobody else has one. */
    int bind = (vci_stack_caps(pod, VC_KIND_HYPERVISOR) & VC_HV_CAP_SHARE_BIND) != 0;
    if (mount("vccore", path, "tmpfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, "mode=0700,size=2m,nr_inodes=8k") < 0 ||
        mount(NULL, path, NULL, MS_PRIVATE, NULL) < 0 || (bind && mount(NULL, path, NULL, MS_SHARED, NULL) < 0))
        return vci_fail(err, vci_code_of(errno), errno, "cannot mount a file system on %s%s", path,
                        errno == EPERM ? ": starting a virtual machine needs the right to mount (root, or CAP_SYS_ADMIN)" : "");
    vci_fault_point("shared-mounted");
    return 0;
}

int vci_vm_describe(struct vci_pod *pod, int64_t deadline, vc_error **err)
{
    struct vci_inst *hv = vci_stack_get(pod, VC_KIND_HYPERVISOR, deadline, err);
    if (!hv)
        return vci_rc(err);
    int has_share = vci_rootfs_shared(pod);
    vcs_autofree char *shared = has_share ? shared_path(pod) : NULL;
    if (has_share && !shared)
        return vci_fail(err, VC_ERR_NOMEM, 0, "out of memory");
    struct vc_vm_config vm = {
        .size = sizeof vm,
        .vcpus = pod->vcpus,
        .memory = pod->memory,
        .shared_dir = shared,
        .share_tag = shared ? VCI_SHARE_TAG : NULL,
        .netns_fd = pod->netns_fd,
    };
    return VCI_CALL(hv, deadline, err, hypervisor, vm_create, &vm);
}

/* What needs no guest, and no process of the VM. */
static int prepare(struct vci_pod *pod, int64_t deadline, vc_error **err)
{
    int rc = 0;
    if (pod->prepared)
        return 0;
    rc = vci_volumes_mount(pod, deadline, err);
    for (size_t i = 0; rc == 0 && i < pod->n_ctrs; i++)
        rc = vci_rootfs_mount(pod, pod->ctrs[i], deadline, err);
    if (rc == 0 && !vci_stack_get(pod, VC_KIND_AGENT, deadline, err))
        rc = vci_rc(err);
    if (rc == 0 && pod->n_ctrs && !vci_stack_get(pod, VC_KIND_SHIM, deadline, err))
        rc = vci_rc(err);
    pod->prepared = rc == 0;
    return rc;
}

/* What a VM from a template needs to become this pod's. */
struct origin {
    char id[VCI_TEMPLATE_ID + 1]; /* "" = it was booted */
    int pool;                     /* it waited in the pool */
    int not_ours;                 /* its guest could not be made one of its own */
    struct vc_template_started started;
};

/* May its VM come from a template at all?  Fills in key and id then.  0: it boots. */
static int may_use_template(struct vci_pod *pod, int64_t deadline, char **ret_key, struct origin *o, vc_error **err)
{
    uint32_t mode = vci_template_mode(pod);
    if (mode == VC_TEMPLATE_OFF)
        return 0;
    /* Where there is no guest, nothing is gained by a template: none is made unless somebody asks for it. */
    int given = mode == VC_TEMPLATE_AUTO && (vci_stack_caps(pod, VC_KIND_HYPERVISOR) & VC_HV_CAP_NO_GUEST);
    if (given && access(pod->ctx->template_dir, F_OK) < 0)
        return 0;
    int rc = vci_template_key(pod, deadline, ret_key, o->id, err);
    if (rc < 0 && rc != VC_ERR_INVAL && mode == VC_TEMPLATE_AUTO && vci_template_may_boot(rc)) {
        vci_log(pod->ctx, rc == VC_ERR_UNSUPPORTED ? VC_LOG_DEBUG : VC_LOG_WARN, pod->dir.id, "the VM boots: %s",
                vc_error_text(*err));
        vc_error_free(VCS_TAKE_PTR(*err));
        return 0;
    }
    if (rc < 0)
        return rc;
    if (given) {
        vcs_autofree char *path = NULL;
        if (asprintf(&path, "%s/%s", pod->ctx->template_dir, o->id) < 0)
            path = NULL;
        return path && access(path, F_OK) == 0;
    }
    return 1;
}

/* Start the VM: out of the pool, from a template, or by booting it, whichever there is first. */
static int start_vm(struct vci_pod *pod, int boot, int64_t deadline, struct origin *o, vc_error **err)
{
    vcs_autofree char *key = NULL;
    pod->template_id[0] = '\0';
    pod->from_pool = 0;
    int rc = vci_vm_describe(pod, deadline, err);
    int use = rc == 0 && !boot ? may_use_template(pod, deadline, &key, o, err) : 0;
    if (rc == 0 && use < 0)
        rc = use;
    if (rc == 0 && use) {
        rc = o->pool = vci_pool_take(pod, key, o->id, deadline, err);
        vci_fault_point("pool-asked");
    }
    if (rc == 0 && !boot)
        rc = vci_vm_share(pod, err);
    if (rc == 0 && use)
        rc = prepare(pod, deadline, err);
    if (rc == 0 && use)
        use = (rc = vci_template_start(pod, key, o->id, deadline, &o->started, err)) == 0;
    if (rc >= 0 && !o->pool && !use) {
        o->id[0] = '\0';
        rc = VCI_CALL(&pod->inst[VC_KIND_HYPERVISOR], deadline, err, hypervisor, vm_start);
    }
    if (rc >= 0)
        rc = vci_vm_note_pids(pod, deadline, err);
    if (rc == 0)
        vci_phase(pod->ctx, pod->dir.id, "vmm-started");
    vci_join(pod->template_id, sizeof pod->template_id, rc == 0 ? o->id : "", NULL);
    pod->from_pool = rc == 0 && o->pool;
    return rc;
}

int vci_vm_proxy(struct vci_pod *pod, int64_t deadline, vc_error **err)
{
    struct vci_inst *hv = &pod->inst[VC_KIND_HYPERVISOR];
    struct vci_inst *proxy = vci_stack_get(pod, VC_KIND_PROXY, deadline, err);
    if (!proxy)
        return vci_rc(err);
    vc_sink *agent_uri = vci_sink_new(), *console = vci_sink_new(), *uri = vci_sink_new();
    int rc = agent_uri && console && uri ? 0 : vci_fail(err, VC_ERR_NOMEM, 0, "out of memory");
    if (rc == 0)
        rc = VCI_CALL(hv, deadline, err, hypervisor, agent_endpoint, agent_uri);
    if (rc == 0 && hv->plugin->ops.hypervisor.console)
        rc = VCI_CALL(hv, deadline, err, hypervisor, console, console);
    if (rc == 0) {
        struct vc_proxy_params params = {
            .size = sizeof params,
            .agent_uri = vci_sink_str(agent_uri, NULL),
            .console_uri = vci_sink_str(console, NULL),
            .netns_fd = pod->netns_fd,
        };
        rc = VCI_CALL(proxy, deadline, err, proxy, start, &params, &pod->proxy, uri);
    }
    if (rc == 0) {
        free(pod->uri);
        pod->uri = strdup(vci_sink_str(uri, NULL));
        if (!pod->uri)
            rc = vci_fail(err, VC_ERR_NOMEM, 0, "out of memory");
    }
    vci_sink_free(agent_uri);
    vci_sink_free(console);
    vci_sink_free(uri);
    if (rc == 0)
        vci_phase(pod->ctx, pod->dir.id, "proxy-started");
    return rc;
}

static int create_sandbox(struct vci_pod *pod, struct vci_inst *agent, int64_t deadline, vc_error **err)
{
    const char *share = vci_rootfs_share_type(pod);
    struct vc_sandbox s = {
        .size = sizeof s,
        .id = pod->dir.id,
        .hostname = pod->hostname,
        .dns = (const char *const *)pod->dns,
        .share_tag = share ? VCI_SHARE_TAG : NULL,
        .share_type = share,
    };
    int rc = VCI_CALL(agent, deadline, err, agent, sandbox_create, &s);
    if (rc == 0)
        vci_phase(pod->ctx, pod->dir.id, "sandbox-created");
    return rc;
}

/* The guest has the clock and the random numbers of its template: it gets its own before anything of the pod runs. */
static int make_it_ours(struct vci_pod *pod, struct vci_inst *agent, const struct origin *o, int64_t deadline,
                        vc_error **err)
{
    unsigned char seed[256];
    if (agent->caps & VC_AG_CAP_NO_GUEST)
        return 0;
    /* So many bytes are never cut short once the kernel's generator is ready. */
    if (getrandom(seed, sizeof seed, 0) != (ssize_t)sizeof seed)
        return vci_fail(err, VC_ERR_IO, errno, "cannot read random bytes for the guest of pod \"%s\"", pod->dir.id);
    struct vc_renew renew = { .size = sizeof renew, .seed = { .data = (const char *)seed, .len = sizeof seed } };
    int rc = VCI_CALL(agent, deadline, err, agent, renew, &renew);
    explicit_bzero(seed, sizeof seed);
    if (rc == 0)
        vci_phase(pod->ctx, pod->dir.id, "guest-renewed");
    vci_fault_point("guest-renewed");
    if (rc < 0 || (!o->started.added_vcpus && !o->started.added_memory))
        return rc;
    if (!(agent->caps & VC_AG_CAP_ONLINE))
        return vci_fail(err, VC_ERR_UNSUPPORTED, 0, "agent \"%s\" cannot take memory and vCPUs that were plugged in into use",
                        pod->plugin[VC_KIND_AGENT]);
    rc = VCI_CALL(agent, deadline, err, agent, online, o->started.added_vcpus);
    if (rc == 0)
        vci_phase(pod->ctx, pod->dir.id, "added-online");
    return rc;
}

/* A VM with its agent connected. */
static int vm_with_agent(struct vci_pod *pod, int boot, int64_t deadline, struct origin *o, vc_error **err)
{
    int64_t began = vcs_now_ns();
    int rc = start_vm(pod, boot, deadline, o, err);
    vci_fault_point("vm-started");
    if (rc == 0)
        rc = vci_vm_proxy(pod, deadline, err);
    if (rc == 0)
        rc = vci_net_plug(pod, deadline, err);
    if (rc == 0)
        rc = prepare(pod, deadline, err);
    vci_fault_point("prepared");
    if (rc < 0)
        return rc;
    int64_t until = o->id[0] ? vci_template_deadline(deadline) : deadline;
    struct vci_inst *agent = vci_stack_agent(pod, until, err);
    if (!agent)
        return vci_vm_no_agent(pod, vci_rc(err), began, err);
    vci_phase(pod->ctx, pod->dir.id, "agent-ready");
    rc = o->id[0] ? make_it_ours(pod, agent, o, until, err) : 0;
    o->not_ours = rc < 0;
    return rc;
}

/* The guest of a template did not become the pod's: unless a template is required, a booted one takes its place. */
static int boot_instead(struct vci_pod *pod, int damaged, int64_t deadline, struct origin *o, vc_error **err)
{
    static const uint32_t order[] = { VC_KIND_HYPERVISOR, VC_KIND_PROXY, VC_KIND_AGENT, VC_KIND_NETWORK };
    vci_log(pod->ctx, VC_LOG_WARN, pod->dir.id, "the VM boots, since the one from template %s is of no use: %s%s", o->id,
            vc_error_text(*err), damaged && !o->pool ? "; the template is removed, and the next pod makes it anew" : "");
    vc_error_free(VCS_TAKE_PTR(*err));
    for (size_t k = 0; k < sizeof order / sizeof *order; k++)
        vci_vm_drop(pod, order[k]);
    if (damaged && !o->pool)
        vci_template_drop(pod->ctx, o->id);
    *o = (struct origin){ 0 };
    if (pod->netns_fd >= 0)
        close(pod->netns_fd);
    pod->netns_fd = -1;
    free(VCS_TAKE_PTR(pod->netns));
    vci_hooks_poststop(pod, NULL); /* what the hooks made went with the network */
    int rc = vci_net_setup(pod, deadline, err);
    if (rc == 0)
        rc = vci_hooks_prestart(pod, NULL, deadline, err);
    return rc < 0 ? rc : vm_with_agent(pod, 1, deadline, o, err);
}

int vci_pod_boot(struct vci_pod *pod, int64_t deadline, vc_error **err)
{
    struct origin from = { 0 };
    pod->prepared = 0;
    int rc = vci_net_setup(pod, deadline, err);
    if (rc == 0)
        rc = vci_hooks_prestart(pod, NULL, deadline, err);
    if (rc == 0)
        rc = vm_with_agent(pod, 0, deadline, &from, err);
    int damaged = vci_template_at_fault(rc);
    if (rc < 0 && pod->template_id[0] && (damaged || (from.not_ours && vci_template_may_boot(rc))) &&
        vci_template_mode(pod) != VC_TEMPLATE_REQUIRE)
        rc = boot_instead(pod, damaged, deadline, &from, err);
    if (rc < 0)
        return rc;
    struct vci_inst *agent = &pod->inst[VC_KIND_AGENT];
    rc = vci_net_configure(pod, agent, deadline, err);
    if (rc == 0)
        rc = create_sandbox(pod, agent, deadline, err);
    vci_fault_point("sandbox-created");
    for (size_t i = 0; rc == 0 && i < pod->n_ctrs; i++)
        rc = vci_ctr_make(pod, pod->ctrs[i], deadline, err);
    if (rc < 0 || !pod->n_ctrs)
        return rc;
    vci_phase(pod->ctx, pod->dir.id, "container-created");
    /* Shims read the record to find the agent. */
    if (!(vci_stack_caps(pod, VC_KIND_SHIM) & VC_SHIM_CAP_NONE))
        rc = vci_pod_save(pod, err);
    for (size_t i = 0; rc == 0 && i < pod->n_ctrs; i++)
        rc = vci_ctr_start_shim(pod, pod->ctrs[i], deadline, err);
    if (rc == 0)
        vci_phase(pod->ctx, pod->dir.id, "shim-started");
    return rc;
}

int vci_pod_start_all(struct vci_pod *pod, int64_t deadline, vc_error **err)
{
    size_t n = 0;
    for (size_t i = 0; i < pod->n_ctrs; i++) {
        if (pod->ctrs[i]->state != VCI_READY)
            continue;
        int rc = vci_ctr_run(pod, pod->ctrs[i], deadline, err);
        if (rc < 0)
            return rc;
        n++;
    }
    if (n)
        vci_phase(pod->ctx, pod->dir.id, "container-started");
    pod->state = VCI_RUNNING;
    return 0;
}

/* ---- and back ---- */

/* Signal the running (and with SIGKILL the frozen) containers whose shims live.  -1: the guest does not answer, so asking it more only takes time. */
static int signal_all(struct vci_pod *pod, struct vci_inst *agent, int32_t sig, uint32_t flags, int64_t deadline)
{
    for (size_t i = 0; i < pod->n_ctrs; i++) {
        const struct vci_ctr *c = pod->ctrs[i];
        vci_autoerror vc_error *e = NULL;
        int may = c->state == VCI_RUNNING || (sig == 9 && c->state == VCI_PAUSED);
        if (!may || (c->shim.pid > 0 ? !vci_proc_lives(&c->shim) : sig == 9))
            continue;
        int rc = VCI_CALL(agent, deadline, &e, agent, signal, c->id, NULL, sig, flags);
        if (rc == VC_ERR_TIMEOUT || rc == VC_ERR_PEER || rc == VC_ERR_PROTOCOL) {
            vci_log(pod->ctx, VC_LOG_WARN, pod->dir.id, "the guest does not answer, so its VM is ended without it: %s",
                    vc_error_text(e));
            return -1;
        }
    }
    return 0;
}

/* Ask the containers to end, then the guest.  Whatever does not answer is ended with the VM. */
static void ask_to_end(struct vci_pod *pod, int64_t deadline)
{
    vci_autoerror vc_error *e = NULL;
    struct vci_inst *agent = vci_stack_agent(pod, deadline, &e);
    if (!agent) {
        vci_log(pod->ctx, VC_LOG_WARN, pod->dir.id, "stopping without the agent: %s", vc_error_text(e));
        return;
    }
    if (pod->state == VCI_RUNNING) {
        if (signal_all(pod, agent, 15, 0, deadline) < 0)
            return;
        for (size_t i = 0; i < pod->n_ctrs; i++)
            if (pod->ctrs[i]->state == VCI_RUNNING && pod->ctrs[i]->shim.pid > 0)
                vcs_proc_wait(&pod->ctrs[i]->shim, deadline, NULL);
    }
    int64_t last = vci_pod_deadline(pod->ctx, "call_timeout");
    if (signal_all(pod, agent, 9, VC_SIGNAL_ALL, last) < 0)
        return;
    /* Nothing outlives that but what hangs in the guest's kernel, and that ends with the VM only. */
    int64_t killed = vcs_now_ns() + KILLED_NS;
    for (size_t i = 0; i < pod->n_ctrs; i++)
        if (pod->ctrs[i]->state == VCI_RUNNING || pod->ctrs[i]->state == VCI_PAUSED)
            vci_ctr_end_shims(pod, pod->ctrs[i], last && last < killed ? last : killed);
    if (VCI_CALL(agent, last, &e, agent, sandbox_destroy) < 0)
        vci_log(pod->ctx, VC_LOG_INFO, pod->dir.id, "the guest did not end by itself: %s", vc_error_text(e));
}

/* A plugin that is gone leaves the work to the ledger. */
void vci_vm_end(struct vci_pod *pod, uint32_t kind, int graceful)
{
    vci_autoerror vc_error *e = NULL;
    int64_t deadline = vci_pod_deadline(pod->ctx, "call_timeout"); /* its own: a slow one must not cost the others theirs */
    if (!pod->inst[kind].handle && !pod->saved[kind])
        return;
    /* What it remembers of processes may be strangers' by now.  Only networks have what outlasts a reboot (addresses). */
    if (!pod->boot_same && kind != VC_KIND_NETWORK)
        return;
    if (vci_store_ending_failed(&pod->dir, kind)) {
        vci_log(
            pod->ctx, VC_LOG_WARN, pod->dir.id,
            "%s plugin \"%s\" did not come back from ending its instance the last time: it is left out now, and only "
            "what the ledger names is removed",
            vci_kind_name(kind), pod->plugin[kind]);
        return;
    }
    vci_store_ending_begin(&pod->dir, kind);
    struct vci_inst *i = vci_stack_get(pod, kind, deadline, &e);
    int rc = i ? 0 : -1;
    if (rc == 0 && kind == VC_KIND_HYPERVISOR)
        rc = VCI_CALL(i, deadline, &e, hypervisor, vm_stop, graceful ? 0 : VC_STOP_FORCE);
    else if (rc == 0 && kind == VC_KIND_PROXY)
        rc = VCI_CALL(i, deadline, &e, proxy, stop);
    else if (rc == 0 && kind == VC_KIND_NETWORK)
        rc = VCI_CALL(i, deadline, &e, network, teardown);
    if (i && rc < 0) {
        vci_log(pod->ctx, VC_LOG_WARN, pod->dir.id, "%s: %s", vci_kind_name(kind), vc_error_text(e));
        vc_error_free(VCS_TAKE_PTR(e));
    }
    if (i)
        rc = VCI_CALL_INST(i, vci_pod_deadline(pod->ctx, "call_timeout"), &e, cleanup);
    vci_store_ending_done(&pod->dir, kind);
    if (rc < 0)
        vci_log(pod->ctx, VC_LOG_WARN, pod->dir.id, "%s: %s", vci_kind_name(kind), vc_error_text(e));
}

void vci_vm_drop(struct vci_pod *pod, uint32_t kind)
{
    vci_vm_end(pod, kind, 0);
    vci_store_ending_over(&pod->dir, 0);
    vci_inst_close(&pod->inst[kind]);
    memset(&pod->inst[kind], 0, sizeof pod->inst[kind]);
    /* Or the next one of this kind would be restored from it. */
    free(VCS_TAKE_PTR(pod->saved[kind]));
    pod->saved_len[kind] = 0;
    if (kind == VC_KIND_PROXY) {
        pod->proxy = (struct vc_proc){ 0 };
        free(VCS_TAKE_PTR(pod->uri));
    } else if (kind == VC_KIND_AGENT) {
        pod->connected = 0;
    }
}

/* The VMM and the proxy, which the pod's record knows as well as the ledger: one of the two files may be damaged. */
static int end_recorded(struct vci_pod *pod, vc_error **err)
{
    for (size_t i = 0; pod->boot_same && i <= pod->n_vmm; i++) {
        const struct vc_proc *p = i < pod->n_vmm ? &pod->vmm[i] : &pod->proxy;
        if (p->pid <= 0 || vcs_proc_kill(p, 9) == -ESRCH)
            continue;
        int r = vcs_proc_wait(p, vci_pod_deadline(pod->ctx, "call_timeout"), NULL);
        if (r < 0)
            return vci_fail(err, vci_code_of(r), r, "process %d of pod \"%s\" was killed but has not ended", p->pid,
                            pod->dir.id);
    }
    return 0;
}

int vci_pod_teardown(struct vci_pod *pod, int graceful, vc_error **err)
{
    pod->dir.cancellable = 0;
    if (vci_pod_has_hooks(pod))
        vci_hooks_end_strays(pod); /* before what they work on is taken away */
    static const uint32_t order[] = { VC_KIND_HYPERVISOR, VC_KIND_PROXY, VC_KIND_AGENT, VC_KIND_SHIM, VC_KIND_NETWORK };
    vci_phase(pod->ctx, pod->dir.id, graceful ? "stopping-containers" : "ending-vm");
    if (graceful)
        ask_to_end(pod, vci_pod_deadline(pod->ctx, "stop_timeout"));
    vci_fault_point("asked-to-end");
    if (graceful)
        vci_phase(pod->ctx, pod->dir.id, "ending-vm");
    for (size_t k = 0; k < sizeof order / sizeof *order; k++) {
        vci_vm_end(pod, order[k], graceful);
        vci_fault_point("instance-ended");
        /* Shims see the VM end and say so: when there is time, they have a moment to report before they are killed. */
        for (size_t i = 0; order[k] == VC_KIND_PROXY && i < pod->n_ctrs; i++)
            vci_ctr_end_shims(pod, pod->ctrs[i], vcs_now_ns() + (graceful ? REPORT_NS : 1));
    }
    vci_store_ending_over(&pod->dir, 0);
    for (size_t i = 0; i < pod->n_ctrs; i++) {
        vci_autoerror vc_error *e = NULL;
        if (vci_rootfs_unmount(pod, pod->ctrs[i]->id, &e) < 0) /* it is in the ledger still, which finds it anywhere */
            vci_log(pod->ctx, VC_LOG_WARN, pod->dir.id, "container %s: %s", pod->ctrs[i]->id, vc_error_text(e));
    }
    vci_fault_point("unmounted");
    int rc = vci_ledger_undo(&pod->dir, vci_pod_deadline(pod->ctx, "call_timeout"), NULL, NULL, err);
    if (rc == 0)
        rc = end_recorded(pod, err);
    if (rc < 0)
        return rc;
    vci_store_ending_over(&pod->dir, 1);
    vci_stack_reset(pod);
    free(pod->vmm);
    pod->vmm = NULL;
    pod->n_vmm = 0;
    pod->proxy = (struct vc_proc){ 0 };
    free(pod->uri);
    pod->uri = NULL;
    pod->vm = 0;
    pod->died = 0;
    vci_disks_forget(pod);
    pod->template_id[0] = '\0';
    pod->from_pool = 0;
    if (pod->netns_fd >= 0)
        close(pod->netns_fd);
    pod->netns_fd = -1;
    free(VCS_TAKE_PTR(pod->netns));
    return 0;
}
