/* SPDX-License-Identifier: Apache-2.0 */
/* faulty.c: a plugin of any kind (FAULTY_KIND) that does what its kind does with plain processes, and fails in the
 * member that its option `fail` names: for tests of what the core undoes. */
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <vc/agent.h>
#include <vc/hypervisor.h>
#include <vc/network.h>
#include <vc/proxy.h>
#include <vc/shim.h>

#include "lib/io.h"
#include "lib/plug.h"

#define MAX_PROCS 64

struct faulty {
    const vc_host *host;
    char fail[32], wait[32], crash[32], records[512];
    int cancelled; /* eventfd */
    int64_t share, process, code, binary;
    struct vc_proc procs[MAX_PROCS];
    char names[MAX_PROCS][300];
    unsigned n;
};

static struct faulty *of(vc_inst *inst)
{
    return (struct faulty *)inst;
}

/* 0, or the failure that was ordered for this member. */
static int order(struct faulty *f, const struct vc_call *call, const char *member)
{
    if (strcmp(f->wait, member) == 0) {
        struct pollfd p = { .fd = f->cancelled, .events = POLLIN };
        uint64_t n;
        if (read(f->cancelled, &n, sizeof n) == (ssize_t)sizeof n) /* a cancel of before is no cancel of this call */
            vcs_log(f->host, VC_LOG_DEBUG, "an early cancel was dropped");
        vcs_log(f->host, VC_LOG_DEBUG, "%s waits", member);
        int r = poll(&p, 1, vcs_poll_timeout(call->deadline_ns));
        return vcs_fail(f->host, call, r > 0 ? VC_E_CANCELLED : VC_E_TIMEOUT, 0, "%s was %s", member,
                        r > 0 ? "cancelled" : "not answered");
    }
    if (f->records[0] && strcmp(member, "setup") == 0)
        f->host->res_add(f->host, VC_RES_PATH, f->records);
    if (strcmp(f->crash, member) == 0)
        kill(getpid(), SIGKILL);
    if (strcmp(f->fail, member) != 0)
        return VC_OK;
    return vcs_fail(f->host, call, (int)f->code, 0, "%s fails as it was ordered to", member);
}

#if FAULTY_KIND == 1 || FAULTY_KIND == 3 || FAULTY_KIND == 4
static int start_process(struct faulty *f, const struct vc_call *call, const char *name, struct vc_proc *out)
{
    static const char *const argv[] = { "sleep", "1000", NULL };
    struct vc_proc proc = { 0 };
    if (!f->process)
        return VC_OK;
    struct vc_spawn s = {
        .size = sizeof s, .path = "/bin/sleep", .argv = argv, .netns_fd = -1, .stdio = { -1, -1, -1 }
    };
    if (f->n == MAX_PROCS)
        return vcs_fail(f->host, call, VC_E_RESOURCE, 0, "there are %d processes already", MAX_PROCS);
    int rc = f->host->spawn(f->host, call, &s, &proc);
    if (rc < 0)
        return rc;
    snprintf(f->names[f->n], sizeof f->names[0], "%s", name);
    f->procs[f->n++] = proc;
    if (out)
        *out = proc;
    return VC_OK;
}
#endif

static int create(const vc_host *host, const struct vc_call *call, const vc_config *cfg, const char *pod_id,
                  vc_inst **out)
{
    (void)call;
    (void)pod_id;
    struct faulty *f = calloc(1, sizeof *f);
    if (!f)
        return VC_E_NOMEM;
    const char *fail = vcs_opt_str(host, cfg, "fail");
    f->host = host;
    snprintf(f->fail, sizeof f->fail, "%s", fail ? fail : "");
    const char *wait = vcs_opt_str(host, cfg, "wait");
    snprintf(f->wait, sizeof f->wait, "%s", wait ? wait : "");
    f->cancelled = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    const char *crash = vcs_opt_str(host, cfg, "crash"), *records = vcs_opt_str(host, cfg, "records");
    snprintf(f->crash, sizeof f->crash, "%s", crash ? crash : "");
    snprintf(f->records, sizeof f->records, "%s", records ? records : "");
    f->binary = vcs_opt_int(host, cfg, "binary", 0);
    f->share = vcs_opt_int(host, cfg, "share", 0);
    f->process = vcs_opt_int(host, cfg, "process", 0);
    f->code = vcs_opt_int(host, cfg, "code", VC_E_IO);
    int rc = order(f, call, "create");
    if (rc < 0) {
        close(f->cancelled);
        free(f);
        return rc;
    }
    *out = (vc_inst *)f;
    return VC_OK;
}

static int save(vc_inst *inst, const struct vc_call *call, vc_sink *out)
{
    struct faulty *f = of(inst);
    char line[400];
    int rc = order(f, call, "save");
    for (unsigned i = 0; rc == 0 && i < f->n; i++) {
        snprintf(line, sizeof line, "%d %llu %s\n", f->procs[i].pid, (unsigned long long)f->procs[i].start_ticks,
                 f->names[i]);
        rc = vcs_put(f->host, out, line);
    }
    unsigned char bytes[256];
    for (unsigned i = 0; i < sizeof bytes; i++)
        bytes[i] = (unsigned char)i;
    if (rc == 0 && f->binary)
        rc = f->host->write(f->host, out, bytes, sizeof bytes);
    return rc;
}

static void close_inst(vc_inst *inst);

static int restore(const vc_host *host, const struct vc_call *call, const vc_config *cfg, const char *pod_id,
                   uint32_t version, struct vc_bytes state, vc_inst **out)
{
    (void)version;
    int rc = create(host, call, cfg, pod_id, out);
    const char *p = state.data, *end = p + state.len;
    for (unsigned i = 0; rc == 0 && of(*out)->binary && i < 256; i++)
        if (state.len < 256 || (unsigned char)end[(int)i - 256] != i) {
            rc = vcs_fail(host, call, VC_E_CORRUPT, 0, "byte %u of the state is not what was saved", i);
            close_inst(*out);
        }
    if (rc == 0 && of(*out)->binary)
        end -= 256;
    while (rc == 0 && p < end) {
        struct faulty *f = of(*out);
        unsigned long long ticks;
        int pid;
        if (f->n < MAX_PROCS && sscanf(p, "%d %llu %299s", &pid, &ticks, f->names[f->n]) == 3)
            f->procs[f->n++] = (struct vc_proc){ .pid = pid, .start_ticks = ticks };
        p = memchr(p, '\n', (size_t)(end - p));
        if (!p)
            break;
        p++;
    }
    return rc;
}

static int check(vc_inst *inst, const struct vc_call *call, uint32_t *health)
{
    (void)call;
    (void)inst;
    *health = VC_HEALTH_OK;
    return VC_OK;
}

/* The processes are left to the host's ledger. */
static int cleanup(vc_inst *inst, const struct vc_call *call)
{
    return order(of(inst), call, "cleanup");
}

static void cancel(vc_inst *inst)
{
    uint64_t one = 1;
    if (write(of(inst)->cancelled, &one, sizeof one) < 0)
        vcs_log(of(inst)->host, VC_LOG_ERROR, "the cancel is lost");
}

static void close_inst(vc_inst *inst)
{
    close(of(inst)->cancelled);
    free(inst);
}

static uint64_t caps(vc_inst *inst)
{
#if FAULTY_KIND == 1
    return of(inst)->share ? VC_HV_CAP_SHARE_9P : 0;
#else
    (void)inst;
    return 0;
#endif
}

static int plain(vc_inst *inst, const struct vc_call *call, const char *member)
{
    return order(of(inst), call, member);
}

#if FAULTY_KIND == 1
static int vm_create(vc_inst *inst, const struct vc_call *call, const struct vc_vm_config *config)
{
    (void)config;
    return plain(inst, call, "vm_create");
}

static int vm_start(vc_inst *inst, const struct vc_call *call)
{
    int rc = start_process(of(inst), call, "vm", NULL);
    return rc < 0 ? rc : plain(inst, call, "vm_start");
}

static int vm_stop(vc_inst *inst, const struct vc_call *call, uint32_t flags)
{
    (void)flags;
    return plain(inst, call, "vm_stop");
}

static int vm_state(vc_inst *inst, const struct vc_call *call, uint32_t *state)
{
    *state = VC_VM_RUNNING;
    return plain(inst, call, "vm_state");
}

static int agent_endpoint(vc_inst *inst, const struct vc_call *call, vc_sink *uri)
{
    (void)uri;
    return plain(inst, call, "agent_endpoint");
}

static int pids(vc_inst *inst, const struct vc_call *call, vc_sink *procs)
{
    struct faulty *f = of(inst);
    int rc = plain(inst, call, "pids");
    return rc < 0 || !f->n ? rc : f->host->write(f->host, procs, f->procs, f->n * sizeof f->procs[0]);
}

static const struct vc_hypervisor_ops ops = {
    .size = sizeof ops,
    .vm_create = vm_create,
    .vm_start = vm_start,
    .vm_stop = vm_stop,
    .vm_state = vm_state,
    .agent_endpoint = agent_endpoint,
    .console = agent_endpoint,
    .pids = pids,
};
#elif FAULTY_KIND == 2
static int agent_connect(vc_inst *inst, const struct vc_call *call, const char *uri)
{
    (void)uri;
    return plain(inst, call, "connect");
}

static int disconnect(vc_inst *inst, const struct vc_call *call)
{
    return plain(inst, call, "disconnect");
}

static int ping(vc_inst *inst, const struct vc_call *call)
{
    return plain(inst, call, "ping");
}

static int sandbox_create(vc_inst *inst, const struct vc_call *call, const struct vc_sandbox *sandbox)
{
    (void)sandbox;
    return plain(inst, call, "sandbox_create");
}

static int sandbox_destroy(vc_inst *inst, const struct vc_call *call)
{
    return plain(inst, call, "sandbox_destroy");
}

static int ctr_create(vc_inst *inst, const struct vc_call *call, const struct vc_ctr *ctr)
{
    (void)ctr;
    return plain(inst, call, "ctr_create");
}

static int ctr_start(vc_inst *inst, const struct vc_call *call, const char *ctr)
{
    (void)ctr;
    return plain(inst, call, "ctr_start");
}

static int ctr_remove(vc_inst *inst, const struct vc_call *call, const char *ctr)
{
    (void)ctr;
    return plain(inst, call, "ctr_remove");
}

static int agent_exec(vc_inst *inst, const struct vc_call *call, const char *ctr, const struct vc_exec *exec)
{
    (void)ctr;
    (void)exec;
    return plain(inst, call, "exec");
}

static int agent_signal(vc_inst *inst, const struct vc_call *call, const char *ctr, const char *exec_id, int32_t sig,
                        uint32_t flags)
{
    (void)ctr;
    (void)exec_id;
    (void)sig;
    (void)flags;
    return plain(inst, call, "signal");
}

static int agent_wait(vc_inst *inst, const struct vc_call *call, const char *ctr, const char *exec_id, int32_t *status)
{
    (void)ctr;
    (void)exec_id;
    *status = 0;
    return plain(inst, call, "wait");
}

static int agent_stdio(vc_inst *inst, const struct vc_call *call, const char *ctr, const char *exec_id,
                       int32_t out_fds[3])
{
    (void)ctr;
    (void)exec_id;
    out_fds[0] = out_fds[1] = out_fds[2] = -1;
    return plain(inst, call, "stdio");
}

static int tty_resize(vc_inst *inst, const struct vc_call *call, const char *ctr, const char *exec_id, uint32_t rows,
                      uint32_t cols)
{
    (void)ctr;
    (void)exec_id;
    (void)rows;
    (void)cols;
    return plain(inst, call, "tty_resize");
}

static const struct vc_agent_ops ops = {
    .size = sizeof ops,
    .connect = agent_connect,
    .disconnect = disconnect,
    .ping = ping,
    .sandbox_create = sandbox_create,
    .sandbox_destroy = sandbox_destroy,
    .ctr_create = ctr_create,
    .ctr_start = ctr_start,
    .ctr_remove = ctr_remove,
    .exec = agent_exec,
    .signal = agent_signal,
    .wait = agent_wait,
    .stdio = agent_stdio,
    .tty_resize = tty_resize,
};
#elif FAULTY_KIND == 3
static int proxy_start(vc_inst *inst, const struct vc_call *call, const struct vc_proxy_params *params,
                       struct vc_proc *proc, vc_sink *uri)
{
    (void)params;
    (void)uri;
    int rc = start_process(of(inst), call, "proxy", proc);
    return rc < 0 ? rc : plain(inst, call, "start");
}

static int proxy_stop(vc_inst *inst, const struct vc_call *call)
{
    return plain(inst, call, "stop");
}

static int proxy_status(vc_inst *inst, const struct vc_call *call, uint32_t *state)
{
    *state = VC_PROXY_RUNNING;
    return plain(inst, call, "status");
}

static const struct vc_proxy_ops ops = {
    .size = sizeof ops, .start = proxy_start, .stop = proxy_stop, .status = proxy_status
};
#elif FAULTY_KIND == 4
static int shim_start(vc_inst *inst, const struct vc_call *call, const struct vc_shim_params *params,
                      struct vc_proc *proc)
{
    char name[300];
    snprintf(name, sizeof name, "%s:%s", params->container_id, params->exec_id);
    int rc = start_process(of(inst), call, name, proc);
    return rc < 0 ? rc : plain(inst, call, "start");
}

static int shim_stop(vc_inst *inst, const struct vc_call *call, const char *ctr, const char *exec_id)
{
    (void)ctr;
    (void)exec_id;
    return plain(inst, call, "stop");
}

static int shim_status(vc_inst *inst, const struct vc_call *call, const char *ctr, const char *exec_id, uint32_t *state,
                       int32_t *status)
{
    (void)ctr;
    (void)exec_id;
    *state = VC_SHIM_RUNNING;
    if (status)
        *status = -1;
    return plain(inst, call, "status");
}

static const struct vc_shim_ops ops = {
    .size = sizeof ops, .start = shim_start, .stop = shim_stop, .status = shim_status
};
#else
static int setup(vc_inst *inst, const struct vc_call *call, const struct vc_net_request *req, int32_t *out_nsfd)
{
    (void)req;
    *out_nsfd = -1;
    return plain(inst, call, "setup");
}

static int scan(vc_inst *inst, const struct vc_call *call, vc_sink *endpoints)
{
    (void)endpoints;
    return plain(inst, call, "scan");
}

static int attach(vc_inst *inst, const struct vc_call *call, const struct vc_endpoint *ep, struct vc_device *out)
{
    (void)ep;
    (void)out;
    return plain(inst, call, "attach");
}

static int detach(vc_inst *inst, const struct vc_call *call, const char *endpoint_id)
{
    (void)endpoint_id;
    return plain(inst, call, "detach");
}

static int teardown(vc_inst *inst, const struct vc_call *call)
{
    return plain(inst, call, "teardown");
}

static const struct vc_network_ops ops = {
    .size = sizeof ops,
    .setup = setup,
    .scan = scan,
    .attach = attach,
    .detach = detach,
    .guest_config = scan,
    .teardown = teardown,
};
#endif

static const struct vc_inst_ops inst_ops = {
    .size = sizeof inst_ops,
    .create = create,
    .restore = restore,
    .save = save,
    .check = check,
    .cleanup = cleanup,
    .close = close_inst,
    .caps = caps,
    .cancel = cancel,
};

static const struct vc_option options[] = {
    { .key = "fail", .type = VC_OPT_STRING, .doc = "The member that fails." },
    { .key = "crash", .type = VC_OPT_STRING, .doc = "The member that ends the process." },
    { .key = "records", .type = VC_OPT_PATH, .doc = "A path that is recorded without having been made." },
    { .key = "binary", .type = VC_OPT_BOOL, .def = "false", .doc = "Save each of the 256 bytes, too, and miss none." },
    { .key = "wait", .type = VC_OPT_STRING, .doc = "The member that waits until it is cancelled." },
    { .key = "code", .type = VC_OPT_INT, .def = "-13", .min = -19, .max = -1, .doc = "The code it fails with." },
    { .key = "share", .type = VC_OPT_BOOL, .def = "false", .doc = "Claim to show the shared directory to a guest." },
    { .key = "process", .type = VC_OPT_BOOL, .def = "false", .doc = "Start a process that sleeps." },
};

VC_EXPORT const struct vc_plugin vc_plugin_entry = {
    .magic = VC_PLUGIN_MAGIC,
    .abi_major = VC_ABI_MAJOR,
    .abi_minor = VC_ABI_MINOR,
    .size = sizeof(struct vc_plugin),
    .kind = FAULTY_KIND,
    .name = "faulty",
    .vendor = "libvccore tests",
    .version = "1",
    .description = "Fails where it is told to.",
    .options = options,
    .n_options = sizeof options / sizeof *options,
    .option_stride = sizeof(struct vc_option),
    .state_version = 1,
    .state_version_min = 1,
#if FAULTY_KIND == 1
    .caps_max = VC_HV_CAP_SHARE_9P,
#endif
    .inst = &inst_ops,
    .ops = &ops,
};
