/* SPDX-License-Identifier: Apache-2.0 */
/* plugin.c: the qemu hypervisor plugin: its descriptor and the members of its tables. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>

#include "lib/buf.h"
#include "lib/cleanup.h"
#include "lib/io.h"
#include "lib/plug.h"
#include "qemu.h"
#include "qmp.h"

#define ASK_TIME (INT64_C(10) * 1000000000) /* for one question to QEMU, when the caller sets no deadline */

/* The contract's opaque instance is ours. */
static struct qemu *qemu_of(vc_inst *inst)
{
    return (struct qemu *)inst;
}

/* A cancel belongs to the call that runs, so one that came between two calls is dropped. */
struct qemu *qemu_begin(vc_inst *inst)
{
    struct qemu *q = qemu_of(inst);
    uint64_t n;

    if (read(q->cancel_fd, &n, sizeof(n)) < 0)
        errno = 0; /* there was none */
    return q;
}

/* ---- instance ---- */

static void qemu_close(vc_inst *inst)
{
    struct qemu *q = qemu_of(inst);

    if (q->netns_fd >= 0)
        close(q->netns_fd);
    if (q->cancel_fd >= 0)
        close(q->cancel_fd);
    qemu_config_done(&q->config);
    qemu_vm_done(&q->vm);
    free(q->netns_path);
    free(q->pod_id);
    free(q->run);
    free(q);
}

static int new_instance(const vc_host *host, const struct vc_call *call, const vc_config *cfg, const char *pod_id,
                        struct qemu **ret)
{
    struct qemu *q = calloc(1, sizeof(*q));
    int r;

    if (!q)
        return vcs_fail(host, call, VC_E_NOMEM, 0, "out of memory while making a VM");
    q->host = host;
    q->netns_fd = -1;
    q->cancel_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (q->cancel_fd < 0)
        r = vcs_fail(host, call, vcs_code_of(errno), errno, "cannot make an event descriptor");
    else if (!(q->run = vcs_path(host, VC_PATH_RUN)) || !(q->pod_id = strdup(pod_id)))
        r = vcs_fail(host, call, VC_E_NOMEM, 0, "cannot get the run directory of pod %s", pod_id);
    else
        r = qemu_config_read(host, call, cfg, &q->config);
    if (r < 0)
        qemu_close((vc_inst *)q);
    else
        *ret = q;
    return r;
}

static int qemu_create(const vc_host *host, const struct vc_call *call, const vc_config *cfg, const char *pod_id,
                       vc_inst **out)
{
    struct qemu *q = NULL;
    int r = new_instance(host, call, cfg, pod_id, &q);

    if (r == 0)
        *out = (vc_inst *)q;
    return r;
}

static int qemu_restore(const vc_host *host, const struct vc_call *call, const vc_config *cfg, const char *pod_id,
                        uint32_t state_version, struct vc_bytes state, vc_inst **out)
{
    struct qemu *q = NULL;
    int r;

    if (state_version != QEMU_STATE_VERSION)
        return vcs_fail(host, call, VC_E_UNSUPPORTED, 0, "the stored state of the VM has version %u; this plugin reads %d",
                        state_version, QEMU_STATE_VERSION);
    r = new_instance(host, call, cfg, pod_id, &q);
    if (r == 0 && (r = qemu_state_load(q, call, state)) < 0)
        qemu_close((vc_inst *)q);
    if (r == 0)
        *out = (vc_inst *)q;
    return r;
}

static int qemu_save(vc_inst *inst, const struct vc_call *call, vc_sink *out)
{
    return qemu_state_save(qemu_of(inst), call, out);
}

static int qemu_check(vc_inst *inst, const struct vc_call *call, uint32_t *health)
{
    struct qemu *q = qemu_of(inst);
    vcs_autofree char *path = qemu_run_path(q, "qmp.sock");

    if (!path)
        return vcs_fail(q->host, call, VC_E_NOMEM, 0, "out of memory while looking at the VM");
    *health = !qemu_alive(q) ? VC_HEALTH_GONE : access(path, F_OK) ? VC_HEALTH_BAD : VC_HEALTH_OK;
    return 0;
}

static int qemu_cleanup(vc_inst *inst, const struct vc_call *call)
{
    static const char *const files[] = { "qemu.log", "console.log" };
    struct qemu *q = qemu_begin(inst);
    int r = qemu_launch_stop(q, call, true);

    if (r < 0)
        return r;
    for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
        vcs_autofree char *path = qemu_run_path(q, files[i]);

        if (path)
            unlink(path);
    }
    if (q->state != VC_VM_NONE)
        q->state = VC_VM_STOPPED;
    return 0;
}

static uint64_t qemu_caps(vc_inst *inst)
{
    return VC_HV_CAP_PAUSE | VC_HV_CAP_RESIZE | VC_HV_CAP_SHARE_9P |
           (qemu_of(inst)->config.root_ports ? VC_HV_CAP_HOTPLUG : 0);
}

static void qemu_cancel(vc_inst *inst)
{
    uint64_t one = 1;

    if (write(qemu_of(inst)->cancel_fd, &one, sizeof(one)) < 0)
        errno = 0; /* full: it is cancelled already */
}

/* ---- VM ---- */

static int qemu_vm_create(vc_inst *inst, const struct vc_call *call, const struct vc_vm_config *config)
{
    struct qemu *q = qemu_begin(inst);
    struct vc_vm_config want = { .netns_fd = -1 };
    char link[64], path[4096];
    ssize_t n;
    int r;

    if (q->state != VC_VM_NONE)
        return vcs_fail(q->host, call, VC_E_EXISTS, 0, "the VM of pod %s was described already", q->pod_id);
    memcpy(&want, config, config->size < sizeof(want) ? config->size : sizeof(want));
    if ((r = qemu_config_check_files(q->host, call, &q->config)) < 0 ||
        (r = qemu_vm_describe(q->host, call, &q->config, &want, &q->vm)) < 0)
        return r;
    if (want.netns_fd >= 0) {
        q->netns_fd = fcntl(want.netns_fd, F_DUPFD_CLOEXEC, 3);
        if (q->netns_fd < 0) {
            r = vcs_fail(q->host, call, vcs_code_of(errno), errno, "cannot use the network namespace of pod %s",
                         q->pod_id);
            qemu_vm_done(&q->vm);
            return r;
        }
        q->wants_netns = true;
        /* A bind-mounted namespace has a path that another process can open. */
        snprintf(link, sizeof(link), "/proc/self/fd/%d", q->netns_fd);
        n = readlink(link, path, sizeof(path) - 1);
        if (n > 0 && n < (ssize_t)sizeof(path) - 1 && path[0] == '/')
            q->netns_path = strndup(path, (size_t)n);
    }
    q->state = VC_VM_CREATED;
    return 0;
}

int qemu_start_vm(struct qemu *q, const struct vc_call *call, const struct qemu_start *start)
{
    int r;

    if (q->state == VC_VM_NONE)
        return vcs_fail(q->host, call, VC_E_STATE, 0, "the VM of pod %s was not described yet", q->pod_id);
    if (qemu_alive(q))
        return vcs_fail(q->host, call, VC_E_STATE, 0, "the VM of pod %s runs already", q->pod_id);
    if ((r = qemu_launch_stop(q, call, true)) < 0) /* forget one that died */
        return r;
    q->state = VC_VM_CREATED;
    r = qemu_launch_start(q, call, start);
    if (r == 0)
        q->state = VC_VM_RUNNING;
    return r;
}

static int qemu_vm_start(vc_inst *inst, const struct vc_call *call)
{
    struct qemu *q = qemu_begin(inst);

    return qemu_start_vm(q, call, &(struct qemu_start){ .vm = &q->vm, .memory_fd = -1, .state_fd = -1 });
}

static int qemu_vm_stop(vc_inst *inst, const struct vc_call *call, uint32_t flags)
{
    struct qemu *q = qemu_begin(inst);
    int r = qemu_launch_stop(q, call, flags & VC_STOP_FORCE);

    if (r == 0 && q->state == VC_VM_RUNNING)
        q->state = VC_VM_STOPPED;
    return r;
}

int qemu_ask(struct qemu *q, const struct vc_call *call, struct qmp *ret)
{
    vcs_autofree char *path = qemu_run_path(q, "qmp.sock");
    int64_t deadline = call && call->deadline_ns ? call->deadline_ns : vcs_now_ns() + ASK_TIME;

    if (!qemu_alive(q))
        return vcs_fail(q->host, call, VC_E_STATE, 0, "the VM of pod %s does not run", q->pod_id);
    if (!path)
        return vcs_fail(q->host, call, VC_E_NOMEM, 0, "out of memory while talking to QEMU");
    return qmp_open(ret, q->host, call, path, q->cancel_fd, deadline);
}

static int qemu_vm_state(vc_inst *inst, const struct vc_call *call, uint32_t *state)
{
    struct qemu *q = qemu_begin(inst);
    struct qmp c;
    int r;

    if (q->state != VC_VM_RUNNING) {
        *state = q->state;
        return 0;
    }
    if (!qemu_alive(q)) {
        *state = VC_VM_STOPPED;
        return 0;
    }
    r = qemu_ask(q, call, &c);
    if (r == 0) {
        r = qmp_status(&c, state);
        qmp_close(&c);
    }
    if (r < 0 && !qemu_alive(q)) { /* it ended while it was asked */
        *state = VC_VM_STOPPED;
        return 0;
    }
    return r;
}

/* Let the vCPUs run or not, and see that it is so. */
static int set_running(struct qemu *q, const struct vc_call *call, bool run)
{
    struct qmp c;
    uint32_t state;
    int r = qemu_ask(q, call, &c);

    if (r < 0)
        return r;
    r = qmp_run(&c, run ? "cont" : "stop", NULL, NULL, 0, NULL);
    if (r == 0)
        r = qmp_status(&c, &state);
    if (r == 0 && state != (run ? VC_VM_RUNNING : VC_VM_PAUSED))
        r = vcs_fail(q->host, call, VC_E_PEER, 0, "QEMU did not %s the VM of pod %s", run ? "resume" : "pause",
                     q->pod_id);
    qmp_close(&c);
    return r;
}

static int qemu_vm_pause(vc_inst *inst, const struct vc_call *call)
{
    return set_running(qemu_begin(inst), call, false);
}

static int qemu_vm_resume(vc_inst *inst, const struct vc_call *call)
{
    return set_running(qemu_begin(inst), call, true);
}

/* Answer with what goes to the sink. */
static int put(struct qemu *q, const struct vc_call *call, vc_sink *sink, const void *data, size_t len)
{
    int r = q->host->write(q->host, sink, data, len);

    return r < 0 ? vcs_fail(q->host, call, r, 0, "the answer for the VM of pod %s cannot be given", q->pod_id) : 0;
}

static int qemu_agent_endpoint(vc_inst *inst, const struct vc_call *call, vc_sink *uri)
{
    struct qemu *q = qemu_of(inst);
    vcs_autofree char *text = NULL;
    int r;

    if (q->state != VC_VM_RUNNING)
        return vcs_fail(q->host, call, VC_E_STATE, 0,
                        "the VM of pod %s was not started, so its agent cannot be reached", q->pod_id);
    if (q->vm.channel == QEMU_CHANNEL_VSOCK)
        r = asprintf(&text, "vsock://%u:%d", q->cid, QEMU_VSOCK_PORT);
    else
        r = asprintf(&text, "serial://%s/agent.sock", q->run);
    if (r < 0) {
        text = NULL;
        return vcs_fail(q->host, call, VC_E_NOMEM, 0, "out of memory while naming the agent's channel");
    }
    return put(q, call, uri, text, strlen(text));
}

static int qemu_console(vc_inst *inst, const struct vc_call *call, vc_sink *uri)
{
    struct qemu *q = qemu_of(inst);
    vcs_autofree char *text = NULL;

    if (!q->has_console)
        return 0;
    if (asprintf(&text, "file://%s/console.log", q->run) < 0) {
        text = NULL;
        return vcs_fail(q->host, call, VC_E_NOMEM, 0, "out of memory while naming the console");
    }
    return put(q, call, uri, text, strlen(text));
}

static int qemu_pids(vc_inst *inst, const struct vc_call *call, vc_sink *procs)
{
    struct qemu *q = qemu_of(inst);

    return qemu_alive(q) ? put(q, call, procs, &q->proc, sizeof(q->proc)) : 0;
}

static int need_running(struct qemu *q, const struct vc_call *call)
{
    return qemu_alive(q) ? 0 : vcs_fail(q->host, call, VC_E_STATE, 0, "the VM of pod %s does not run", q->pod_id);
}

static int qemu_device_add(vc_inst *inst, const struct vc_call *call, const struct vc_device *dev,
                           struct vc_device_result *out)
{
    struct qemu *q = qemu_begin(inst);
    struct vc_device d = { 0 };
    int r = need_running(q, call);

    if (r < 0)
        return r;
    memcpy(&d, dev, dev->size < sizeof(d) ? dev->size : sizeof(d));
    return qemu_plug(q, call, &d, out);
}

static int qemu_device_del(vc_inst *inst, const struct vc_call *call, const char *id)
{
    struct qemu *q = qemu_begin(inst);
    int r = need_running(q, call);

    return r < 0 ? r : qemu_unplug(q, call, id);
}

static int qemu_vm_resize(vc_inst *inst, const struct vc_call *call, const struct vc_resize *want,
                          struct vc_resize *got)
{
    struct qemu *q = qemu_begin(inst);
    struct vc_resize w = { 0 };
    int r = need_running(q, call);

    if (r < 0)
        return r;
    memcpy(&w, want, want->size < sizeof(w) ? want->size : sizeof(w));
    return qemu_resize(q, call, &w, got);
}

static const void *qemu_ext(vc_inst *inst, const char *id)
{
    (void)inst;
    return !strcmp(id, VC_EXT_TEMPLATE) ? &qemu_template_ops : NULL;
}

/* ---- descriptor ---- */

/* Can VMs of this configuration come from a template?  VC_OK with a line that says so or why not. */
static int probe_template(struct qemu *q, const struct vc_call *call, const struct qemu_vm *vm, char *line, size_t size)
{
    struct qemu_vm skeleton = qemu_vm_skeleton(&q->config, vm);
    struct vcs_buf key = { 0 };
    int r = qemu_key_write(q, call, &skeleton, &key);

    vcs_buf_done(&key);
    if (r == 0)
        snprintf(line, size, "yes, with %u vCPU%s (up to %u) and %llu MiB (up to %llu); a VM that is to have less boots",
                 skeleton.vcpus, skeleton.vcpus == 1 ? "" : "s", skeleton.max_vcpus, (unsigned long long)(skeleton.memory >> 20),
                 (unsigned long long)(skeleton.max_memory >> 20));
    else if (r == VC_E_UNSUPPORTED)
        snprintf(line, size, "no, VMs boot: their description is too long for a template's key");
    return r == VC_E_UNSUPPORTED ? 0 : r;
}

static int probe_config(struct qemu *q, const struct vc_call *call, vc_sink *report)
{
    const struct qemu_config *c = &q->config;
    struct vc_vm_config usual = { .size = sizeof(usual), .netns_fd = -1 };
    const char *why = "as configured", *firmware = qemu_config_firmware(c);
    vcs_autofree char *text = NULL;
    char template[200];
    struct qemu_vm vm;
    int r = qemu_config_check_files(q->host, call, c);

    if (r < 0 || (r = qemu_vm_describe(q->host, call, c, &usual, &vm)) < 0)
        return r;
    if (c->accel == QEMU_ACCEL_AUTO)
        qemu_kvm_works(&why);
    r = probe_template(q, call, &vm, template, sizeof(template));
    if (r == 0 && asprintf(&text,
                           "qemu: %s\nkernel: %s\ninitrd: %s\nfirmware: %s\naccelerator: %s (%s)\nchannel: %s\n"
                           "templates: %s\n",
                           c->path, c->kernel, c->initrd, firmware ? firmware : "QEMU's default",
                           vm.accel == QEMU_ACCEL_KVM ? "kvm" : "tcg", why,
                           vm.channel == QEMU_CHANNEL_VSOCK ? "vsock" : "serial", template) < 0) {
        text = NULL;
        r = vcs_fail(q->host, call, VC_E_NOMEM, 0, "out of memory while looking at QEMU");
    }
    qemu_vm_done(&vm);
    return r < 0 ? r : vcs_put(q->host, report, text);
}

static int qemu_probe(const vc_host *host, const struct vc_call *call, const vc_config *cfg, vc_sink *report)
{
    struct qemu q = { .host = host, .netns_fd = -1, .cancel_fd = -1 };
    int r = qemu_config_read(host, call, cfg, &q.config);

    if (r == 0) {
        r = probe_config(&q, call, report);
        qemu_config_done(&q.config);
    }
    return r;
}

static const struct vc_inst_ops inst_ops = {
    .size = sizeof(struct vc_inst_ops),
    .create = qemu_create,
    .restore = qemu_restore,
    .save = qemu_save,
    .check = qemu_check,
    .cleanup = qemu_cleanup,
    .close = qemu_close,
    .caps = qemu_caps,
    .cancel = qemu_cancel,
    .ext = qemu_ext,
};

static const struct vc_hypervisor_ops hypervisor_ops = {
    .size = sizeof(struct vc_hypervisor_ops),
    .vm_create = qemu_vm_create,
    .vm_start = qemu_vm_start,
    .vm_stop = qemu_vm_stop,
    .vm_state = qemu_vm_state,
    .agent_endpoint = qemu_agent_endpoint,
    .console = qemu_console,
    .pids = qemu_pids,
    .device_add = qemu_device_add,
    .device_del = qemu_device_del,
    .vm_pause = qemu_vm_pause,
    .vm_resume = qemu_vm_resume,
    .resize = qemu_vm_resize,
};

extern const struct vc_plugin vc_plugin_entry;
VC_EXPORT const struct vc_plugin vc_plugin_entry = {
    .magic = VC_PLUGIN_MAGIC,
    .abi_major = VC_ABI_MAJOR,
    .abi_minor = VC_ABI_MINOR,
    .size = sizeof(struct vc_plugin),
    .min_host_minor = 0,
    .kind = VC_KIND_HYPERVISOR,
    .name = "qemu",
    .vendor = "libvccore",
    .version = "1.0",
    .description = "Virtual machines by QEMU, with KVM where it works and by emulation elsewhere.",
    .options = qemu_options,
    .n_options = QEMU_N_OPTIONS,
    .option_stride = sizeof(struct vc_option),
    .state_version = QEMU_STATE_VERSION,
    .state_version_min = QEMU_STATE_VERSION,
    .caps_max = VC_HV_CAP_PAUSE | VC_HV_CAP_RESIZE | VC_HV_CAP_HOTPLUG | VC_HV_CAP_SHARE_9P,
    .probe = qemu_probe,
    .inst = &inst_ops,
    .ops = &hypervisor_ops,
};
