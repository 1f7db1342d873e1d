/* SPDX-License-Identifier: Apache-2.0 */
/* sleeper-hypervisor.c: a hypervisor whose VM is a process that sleeps, and that has pausing, templates and a shared folder.
 *
 * Whether the VM is paused is what the kernel says of its process (SIGSTOP, SIGCONT).  A file "vm" in the private
 * directory has the process's number in it, so that a test sees where that directory has gone; the VM cannot be told
 * anything without it.  The state is "STATE PID TICKS". */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <vc/template.h>

#include "lib/io.h"
#include "lib/plug.h"
#include "lib/proc.h"

struct sleeper {
    const vc_host *host;
    char *run, *fail;
    uint32_t state; /* VC_VM_* */
    struct vc_proc proc;
};

static struct sleeper *of(vc_inst *inst)
{
    return (struct sleeper *)inst;
}

static int order(struct sleeper *f, const struct vc_call *call, const char *member)
{
    return f->fail && strcmp(f->fail, member) == 0
               ? vcs_fail(f->host, call, VC_E_PEER, 0, "%s fails as it was ordered to", member)
               : 0;
}

static void sleeper_close(vc_inst *inst)
{
    free(of(inst)->run);
    free(of(inst)->fail);
    free(inst);
}

static int sleeper_create(const vc_host *host, const struct vc_call *call, const vc_config *cfg, const char *pod_id,
                       vc_inst **out)
{
    struct sleeper *f = calloc(1, sizeof *f);
    const char *fail = vcs_opt_str(host, cfg, "fail");
    (void)pod_id;
    if (!f)
        return VC_E_NOMEM;
    f->host = host;
    f->run = vcs_path(host, VC_PATH_RUN);
    f->fail = fail ? strdup(fail) : NULL;
    if (!f->run || (fail && !f->fail)) {
        sleeper_close((vc_inst *)f);
        return vcs_fail(host, call, VC_E_NOMEM, 0, "there is no private directory");
    }
    *out = (vc_inst *)f;
    return 0;
}

static int sleeper_restore(const vc_host *host, const struct vc_call *call, const vc_config *cfg, const char *pod_id,
                        uint32_t version, struct vc_bytes state, vc_inst **out)
{
    unsigned long long ticks;
    vc_inst *inst = NULL;
    char text[64];
    (void)version;
    snprintf(text, sizeof text, "%.*s", (int)(state.len < 63 ? state.len : 63), (const char *)state.data);
    int r = sleeper_create(host, call, cfg, pod_id, &inst);
    if (r < 0)
        return r;
    if (sscanf(text, "%u %d %llu", &of(inst)->state, &of(inst)->proc.pid, &ticks) != 3)
        r = vcs_fail(host, call, VC_E_CORRUPT, 0, "\"%s\" is no state", text);
    else
        r = order(of(inst), call, "restore");
    if (r < 0) {
        sleeper_close(inst);
        return r;
    }
    of(inst)->proc.start_ticks = ticks;
    *out = inst;
    return 0;
}

static int sleeper_save(vc_inst *inst, const struct vc_call *call, vc_sink *out)
{
    struct sleeper *f = of(inst);
    char text[64];
    (void)call;
    snprintf(text, sizeof text, "%u %d %llu", f->state, f->proc.pid, (unsigned long long)f->proc.start_ticks);
    return vcs_put(f->host, out, text);
}

static int sleeper_check(vc_inst *inst, const struct vc_call *call, uint32_t *health)
{
    (void)call;
    *health = vcs_proc_alive(&of(inst)->proc) ? VC_HEALTH_OK : VC_HEALTH_GONE;
    return 0;
}

static uint64_t sleeper_caps(vc_inst *inst)
{
    (void)inst;
    return VC_HV_CAP_NO_GUEST | VC_HV_CAP_PAUSE | (geteuid() == 0 ? VC_HV_CAP_SHARE_9P : 0);
}

static int sleeper_vm_create(vc_inst *inst, const struct vc_call *call, const struct vc_vm_config *config)
{
    (void)config;
    if (of(inst)->state)
        return vcs_fail(of(inst)->host, call, VC_E_STATE, 0, "this instance has a VM already");
    of(inst)->state = VC_VM_CREATED;
    return 0;
}

static int sleeper_vm_start(vc_inst *inst, const struct vc_call *call)
{
    static const char *const argv[] = { "sleep", "1000", NULL };
    struct sleeper *f = of(inst);
    char path[4096], text[16];
    struct vc_spawn s = {
        .size = sizeof s, .path = "/bin/sleep", .argv = argv, .netns_fd = -1, .stdio = { -1, -1, -1 }
    };
    int r = f->host->spawn(f->host, call, &s, &f->proc);
    if (r < 0)
        return r;
    f->state = VC_VM_RUNNING;
    snprintf(path, sizeof path, "%s/vm", f->run);
    snprintf(text, sizeof text, "%d", f->proc.pid);
    vcs_autoclose int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0 || write(fd, text, strlen(text)) < 0)
        return vcs_fail(f->host, call, VC_E_IO, errno, "cannot write %s", path);
    return order(f, call, "vm_start");
}

static int sleeper_vm_stop(vc_inst *inst, const struct vc_call *call, uint32_t flags)
{
    struct sleeper *f = of(inst);
    (void)flags;
    if (f->proc.pid > 0) {
        vcs_proc_kill(&f->proc, SIGKILL);
        int r = vcs_proc_wait(&f->proc, call->deadline_ns, NULL);
        if (r < 0)
            return vcs_fail(f->host, call, vcs_code_of(-r), -r, "process %d does not end", f->proc.pid);
        f->host->proc_done(f->host, &f->proc);
    }
    f->proc = (struct vc_proc){ 0 };
    f->state = VC_VM_STOPPED;
    return 0;
}

static int sleeper_cleanup(vc_inst *inst, const struct vc_call *call)
{
    char path[4096];
    int r = sleeper_vm_stop(inst, call, VC_STOP_FORCE);
    snprintf(path, sizeof path, "%s/vm", of(inst)->run);
    unlink(path);
    return r;
}

/* The private directory is that of the VM. */
static int reach(struct sleeper *f, const struct vc_call *call)
{
    char path[4096], text[16] = "";
    snprintf(path, sizeof path, "%s/vm", f->run);
    vcs_autoclose int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || read(fd, text, sizeof text - 1) < 0 || atoi(text) != f->proc.pid)
        return vcs_fail(f->host, call, VC_E_PEER, 0, "%s is not that of process %d", path, f->proc.pid);
    return 0;
}

static int tell(vc_inst *inst, const struct vc_call *call, int sig, uint32_t state, const char *member)
{
    struct sleeper *f = of(inst);
    int r = reach(f, call);
    if (r == 0)
        r = order(f, call, member);
    if (r == 0 && vcs_proc_kill(&f->proc, sig) < 0)
        r = vcs_fail(f->host, call, VC_E_PEER, 0, "process %d has ended", f->proc.pid);
    /* The one that pauses it has started it. */
    if (r == 0 && sig == SIGSTOP && waitpid(f->proc.pid, NULL, WUNTRACED) < 0)
        r = vcs_fail(f->host, call, VC_E_PEER, errno, "process %d does not stop", f->proc.pid);
    if (r == 0)
        f->state = state;
    return r;
}

static int sleeper_vm_pause(vc_inst *inst, const struct vc_call *call)
{
    return tell(inst, call, SIGSTOP, VC_VM_PAUSED, "vm_pause");
}

static int sleeper_vm_resume(vc_inst *inst, const struct vc_call *call)
{
    return tell(inst, call, SIGCONT, VC_VM_RUNNING, "vm_resume");
}

static int sleeper_vm_state(vc_inst *inst, const struct vc_call *call, uint32_t *state)
{
    (void)call;
    *state = of(inst)->state;
    return 0;
}

static int sleeper_agent_endpoint(vc_inst *inst, const struct vc_call *call, vc_sink *uri)
{
    (void)inst;
    (void)call;
    (void)uri;
    return 0;
}

static int sleeper_pids(vc_inst *inst, const struct vc_call *call, vc_sink *procs)
{
    struct sleeper *f = of(inst);
    (void)call;
    return f->proc.pid > 0 ? f->host->write(f->host, procs, &f->proc, sizeof f->proc) : 0;
}

/* ---- templates ---- */

static int tpl_key(vc_inst *inst, const struct vc_call *call, vc_sink *text)
{
    (void)call;
    return vcs_put(of(inst)->host, text, "sleeper=1\n");
}

static int tpl_valid(vc_inst *inst, const struct vc_call *call, struct vc_bytes text)
{
    (void)inst;
    (void)call;
    (void)text;
    return 0;
}

static int tpl_boot(vc_inst *inst, const struct vc_call *call, const char *dir)
{
    (void)dir;
    return sleeper_vm_start(inst, call);
}

static int tpl_save(vc_inst *inst, const struct vc_call *call, const char *dir)
{
    vcs_autoclose int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int r = fd < 0 ? -errno : vcs_write_file_atomic(fd, "memory", "fake", 4, 0600, 0);
    return r < 0 ? vcs_fail(of(inst)->host, call, vcs_code_of(r), r, "cannot save") : sleeper_vm_stop(inst, call, 0);
}

static int tpl_start(vc_inst *inst, const struct vc_call *call, const char *dir, struct vc_template_started *out)
{
    char path[4096];
    (void)out;
    snprintf(path, sizeof path, "%s/memory", dir);
    if (access(path, R_OK) < 0)
        return vcs_fail(of(inst)->host, call, VC_E_CORRUPT, errno, "cannot read %s", path);
    return sleeper_vm_start(inst, call);
}

static const void *sleeper_ext(vc_inst *inst, const char *id)
{
    static const struct vc_template_ops ops = {
        .size = sizeof ops, .key = tpl_key, .valid = tpl_valid, .boot = tpl_boot, .save = tpl_save, .start = tpl_start
    };
    (void)inst;
    return strcmp(id, VC_EXT_TEMPLATE) == 0 ? &ops : NULL;
}

static const struct vc_inst_ops inst_ops = {
    .size = sizeof inst_ops,
    .create = sleeper_create,
    .restore = sleeper_restore,
    .save = sleeper_save,
    .check = sleeper_check,
    .cleanup = sleeper_cleanup,
    .close = sleeper_close,
    .caps = sleeper_caps,
    .ext = sleeper_ext,
};

static const struct vc_hypervisor_ops ops = {
    .size = sizeof ops,
    .vm_create = sleeper_vm_create,
    .vm_start = sleeper_vm_start,
    .vm_stop = sleeper_vm_stop,
    .vm_state = sleeper_vm_state,
    .agent_endpoint = sleeper_agent_endpoint,
    .console = sleeper_agent_endpoint,
    .pids = sleeper_pids,
    .vm_pause = sleeper_vm_pause,
    .vm_resume = sleeper_vm_resume,
};

static const struct vc_option options[] = {
    { .key = "fail", .type = VC_OPT_STRING, .doc = "The member that fails." },
};

VC_EXPORT const struct vc_plugin vc_plugin_entry = {
    .magic = VC_PLUGIN_MAGIC,
    .abi_major = VC_ABI_MAJOR,
    .abi_minor = VC_ABI_MINOR,
    .size = sizeof(struct vc_plugin),
    .kind = VC_KIND_HYPERVISOR,
    .name = "sleeper",
    .vendor = "libvccore tests",
    .version = "1",
    .description = "A process that sleeps.",
    .options = options,
    .n_options = sizeof options / sizeof *options,
    .option_stride = sizeof(struct vc_option),
    .state_version = 1,
    .state_version_min = 1,
    .caps_max = VC_HV_CAP_NO_GUEST | VC_HV_CAP_PAUSE | VC_HV_CAP_SHARE_9P,
    .inst = &inst_ops,
    .ops = &ops,
};
