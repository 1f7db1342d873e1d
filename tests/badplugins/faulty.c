/* SPDX-License-Identifier: Apache-2.0 */
/* faulty.c: a plugin of any kind (FAULTY_KIND) that does what its kind does with plain processes, and fails in the
 * member that its option `fail` names: for tests of what the core undoes. */
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include <vc/agent.h>
#include <vc/hypervisor.h>
#include <vc/network.h>
#include <vc/proxy.h>
#include <vc/shim.h>
#include <vc/template.h>

#include "lib/io.h"
#include "lib/plug.h"
#include "lib/proc.h"

#define MAX_PROCS  64
#define MAX_DISKS  8
#define AGENT_MORE (VC_AG_CAP_STATS | VC_AG_CAP_PAUSE | VC_AG_CAP_UPDATE | VC_AG_CAP_PS)

struct faulty {
    const vc_host *host;
    char fail[32], once[32], wait[32], crash[32], ends[16], records[512], endpoints[4096], guest[1024], trace[512];
    int cancelled; /* eventfd */
    int64_t share, process, code, binary;
    char templates[16], mark[32]; /* the options */
    char ps[512], stats[2048];
    int64_t pause, more, net;
    int asked;                    /* for the table of templates */
    int device;
    struct vc_proc procs[MAX_PROCS];
    char names[MAX_PROCS][300];
    unsigned n;
    int64_t has_disks;
    char disks[MAX_DISKS][32]; /* ids; "" = a free slot */
};

static struct faulty *of(vc_inst *inst)
{
    return (struct faulty *)inst;
}

/* As deep as the stack goes, and on. */
static unsigned overflow(volatile char *above)
{
    static volatile int deeper = 1;
    volatile char here[4096];
    here[0] = above ? above[0] : 0;
    if (!deeper)
        return 0;
    return overflow(here) + (unsigned char)here[0];
}

/* End the program, or never come back, in the way that `ends` says. */
static void end(const struct faulty *f, const char *member)
{
    static int *volatile nowhere; /* or a compiler knows what it points to, and leaves the write out */
    if (strcmp(f->ends, "abort") == 0)
        abort();
    if (strcmp(f->ends, "segv") == 0)
        *nowhere = 1;
    if (strcmp(f->ends, "overflow") == 0)
        f->host->log(f->host, VC_LOG_DEBUG, member, overflow(NULL) & 1);
    if (strcmp(f->ends, "exit") == 0)
        exit(0);
    vcs_log(f->host, VC_LOG_DEBUG, "%s hangs", member);
    while (strcmp(f->ends, "hang") == 0)
        pause();
    kill(getpid(), SIGKILL);
}

static const char *const kinds[] = { "", "hypervisor", "agent", "proxy", "shim", "network" };

/* One line for each call, in a file that all kinds can share. */
__attribute__((format(printf, 2, 3))) static void trace(const struct faulty *f, const char *format, ...)
{
    char line[2048];
    va_list ap;
    int fd = f->trace[0] ? open(f->trace, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600) : -1;
    if (fd < 0)
        return;
    int n = snprintf(line, sizeof line, "%s ", kinds[FAULTY_KIND]);
    va_start(ap, format);
    n += vsnprintf(line + n, sizeof line - 1 - (size_t)n, format, ap);
    va_end(ap);
    n = n < (int)sizeof line - 2 ? n : (int)sizeof line - 2;
    line[n++] = '\n';
    if (write(fd, line, (size_t)n) != n)
        vcs_log(f->host, VC_LOG_ERROR, "cannot write %s", f->trace);
    close(fd);
}

/* 0, or the failure that was ordered for this member. */
static int order(struct faulty *f, const struct vc_call *call, const char *member)
{
    trace(f, "%s", member);
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
        end(f, member);
    static int once;
    if (strcmp(f->once, member) == 0 && !once++)
        return vcs_fail(f->host, call, VC_E_PEER, 0, "%s fails once", member);
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
    const char *once = vcs_opt_str(host, cfg, "once");
    snprintf(f->once, sizeof f->once, "%s", once ? once : "");
    const char *wait = vcs_opt_str(host, cfg, "wait");
    snprintf(f->wait, sizeof f->wait, "%s", wait ? wait : "");
    f->cancelled = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    const char *crash = vcs_opt_str(host, cfg, "crash"), *records = vcs_opt_str(host, cfg, "records");
    const char *ends = vcs_opt_str(host, cfg, "ends");
    snprintf(f->crash, sizeof f->crash, "%s", crash ? crash : "");
    snprintf(f->ends, sizeof f->ends, "%s", ends ? ends : "");
    snprintf(f->records, sizeof f->records, "%s", records ? records : "");
    const char *endpoints = vcs_opt_str(host, cfg, "endpoints"), *guest = vcs_opt_str(host, cfg, "guest");
    snprintf(f->endpoints, sizeof f->endpoints, "%s", endpoints ? endpoints : "");
    snprintf(f->guest, sizeof f->guest, "%s", guest ? guest : "");
    const char *file = vcs_opt_str(host, cfg, "trace");
    snprintf(f->trace, sizeof f->trace, "%s", file ? file : "");
    f->device = vcs_opt_str(host, cfg, "device") ? vcs_opt_str(host, cfg, "device")[0] : 0;
    const char *templates = vcs_opt_str(host, cfg, "templates"), *mark = vcs_opt_str(host, cfg, "mark");
    snprintf(f->templates, sizeof f->templates, "%s", templates ? templates : "");
    snprintf(f->mark, sizeof f->mark, "%s", mark ? mark : "");
    const char *ps = vcs_opt_str(host, cfg, "ps"), *stats = vcs_opt_str(host, cfg, "stats");
    snprintf(f->ps, sizeof f->ps, "%s", ps ? ps : "[]");
    snprintf(f->stats, sizeof f->stats, "%s", stats ? stats : "{}");
    f->pause = vcs_opt_int(host, cfg, "pause", 1);
    f->more = vcs_opt_int(host, cfg, "more", 1);
    f->net = vcs_opt_int(host, cfg, "net", 0);
    f->binary = vcs_opt_int(host, cfg, "binary", 0);
    f->share = vcs_opt_int(host, cfg, "share", 0);
    f->process = vcs_opt_int(host, cfg, "process", 0);
    f->has_disks = vcs_opt_int(host, cfg, "disks", 0);
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
    for (unsigned i = 0; rc == 0 && i < MAX_DISKS; i++) {
        snprintf(line, sizeof line, "0 0 disk:%s\n", f->disks[i]);
        rc = f->disks[i][0] ? vcs_put(f->host, out, line) : 0;
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
        unsigned slot = 0;
        char id[32];
        int pid;
        while (slot < MAX_DISKS - 1 && f->disks[slot][0])
            slot++;
        if (sscanf(p, "0 0 disk:%31s", id) == 1)
            memcpy(f->disks[slot], id, sizeof id);
        else if (f->n < MAX_PROCS && sscanf(p, "%d %llu %299s", &pid, &ticks, f->names[f->n]) == 3)
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
    return (of(inst)->share ? VC_HV_CAP_SHARE_9P : 0) | (of(inst)->pause ? VC_HV_CAP_PAUSE : 0) |
           (of(inst)->has_disks ? VC_HV_CAP_HOTPLUG : 0);
#elif FAULTY_KIND == 2
    uint64_t more = (of(inst)->more ? AGENT_MORE : 0) | (of(inst)->net ? VC_AG_CAP_NET : 0);
    if (!of(inst)->templates[0])
        return more;
    return more | VC_AG_CAP_TEMPLATE | (strcmp(of(inst)->mark, "offline") ? VC_AG_CAP_ONLINE : 0);
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
    struct faulty *f = of(inst);
    uint64_t ticks;
    char letter = 0;
    int stands = f->n && vcs_proc_stat(f->procs[0].pid, &ticks, &letter) == 0 && letter == 'T';
    *state = stands ? VC_VM_PAUSED : VC_VM_RUNNING;
    return plain(inst, call, "vm_state");
}

/* The VM's process stops for real, so that whoever looks sees it. */
static int send_vm(vc_inst *inst, const struct vc_call *call, int sig, const char *member)
{
    struct faulty *f = of(inst);
    uint64_t ticks;
    int rc = plain(inst, call, member);
    if (rc == 0 && f->n && strcmp(f->mark, "deaf") != 0) {
        vcs_proc_kill(&f->procs[0], sig);
        /* The kernel needs a moment. */
        for (char letter = 0; letter != (sig == SIGSTOP ? 'T' : 'S');)
            if (vcs_proc_stat(f->procs[0].pid, &ticks, &letter) < 0)
                return vcs_fail(f->host, call, VC_E_PEER, 0, "the VM is gone");
    }
    return rc;
}

static int vm_pause(vc_inst *inst, const struct vc_call *call)
{
    return send_vm(inst, call, SIGSTOP, "vm_pause");
}

static int vm_resume(vc_inst *inst, const struct vc_call *call)
{
    return send_vm(inst, call, SIGCONT, "vm_resume");
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

static int find_disk(const struct faulty *f, const char *id)
{
    for (int i = 0; i < MAX_DISKS; i++)
        if (strcmp(f->disks[i], id) == 0)
            return i;
    return -1;
}

/* The host gives what stands at the path, opened as the flags say. */
static int device_add(vc_inst *inst, const struct vc_call *call, const struct vc_device *dev, struct vc_device_result *out)
{
    struct faulty *f = of(inst);
    struct stat have, want;
    int slot = find_disk(f, "");
    if (find_disk(f, dev->id) >= 0)
        return vcs_fail(f->host, call, VC_E_EXISTS, 0, "there is a disk %s already", dev->id);
    if (dev->type != VC_DEV_BLOCK || dev->n_fds != 1 || fstat(dev->fds[0], &have) < 0 || stat(dev->path, &want) < 0 ||
        have.st_dev != want.st_dev || have.st_ino != want.st_ino ||
        (fcntl(dev->fds[0], F_GETFL) & O_ACCMODE) != (dev->flags & VC_DEV_READONLY ? O_RDONLY : O_RDWR) || slot < 0)
        return vcs_fail(f->host, call, VC_E_INVAL, 0, "device %s is no disk, or does not come with its file", dev->id);
    snprintf(f->disks[slot], sizeof f->disks[slot], "%s", dev->id);
    snprintf(out->guest_addr, sizeof out->guest_addr, "%02x/00", (unsigned)slot);
    return plain(inst, call, "device_add");
}

static int device_del(vc_inst *inst, const struct vc_call *call, const char *id)
{
    struct faulty *f = of(inst);
    int slot = find_disk(f, id), rc = plain(inst, call, "device_del");
    if (rc == 0 && slot < 0)
        return vcs_fail(f->host, call, VC_E_NOTFOUND, 0, "there is no disk %s", id);
    if (rc == 0)
        f->disks[slot][0] = '\0';
    return rc;
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
    .device_add = device_add,
    .device_del = device_del,
    .vm_pause = vm_pause,
    .vm_resume = vm_resume,
};

/* ---- templates: a file "memory" whose only line is "faulty" ---- */

static int tpl_key(vc_inst *inst, const struct vc_call *call, vc_sink *text)
{
    struct faulty *f = of(inst);
    int rc = order(f, call, "key");
    if (rc < 0 || strcmp(f->mark, "nokey") == 0)
        return rc;
    rc = vcs_put(f->host, text, "mark=");
    if (rc == 0)
        rc = vcs_put(f->host, text, f->mark);
    return rc < 0 || strcmp(f->mark, "unfinished") == 0 ? rc : vcs_put(f->host, text, "\n");
}

/* Only what has the mark of now is valid. */
static int tpl_valid(vc_inst *inst, const struct vc_call *call, struct vc_bytes text)
{
    struct faulty *f = of(inst);
    char want[64];
    int rc = order(f, call, "valid");
    snprintf(want, sizeof want, "mark=%s\n", f->mark);
    if (rc < 0 || (text.len == strlen(want) && memcmp(text.data, want, text.len) == 0))
        return rc;
    return vcs_fail(f->host, call, VC_E_STATE, 0, "the mark is %s now", f->mark);
}

static int tpl_boot(vc_inst *inst, const struct vc_call *call, const char *dir)
{
    (void)dir;
    int rc = start_process(of(inst), call, "vm", NULL);
    return rc < 0 ? rc : order(of(inst), call, "boot");
}

static int tpl_save(vc_inst *inst, const struct vc_call *call, const char *dir)
{
    struct faulty *f = of(inst);
    char path[4096];
    int rc = order(f, call, "template_save");
    if (rc < 0)
        return rc;
    for (; f->n; f->n--) {
        kill(f->procs[f->n - 1].pid, SIGKILL);
        f->host->proc_wait(f->host, call, &f->procs[f->n - 1], NULL);
        f->host->proc_done(f->host, &f->procs[f->n - 1]);
    }
    snprintf(path, sizeof path, "%s/memory", dir);
    FILE *out = fopen(path, "wex");
    if (!out || fputs("faulty\n", out) < 0 || fclose(out) < 0)
        return vcs_fail(f->host, call, VC_E_IO, 0, "cannot write %s", path);
    return chmod(path, strcmp(f->mark, "open") == 0 ? 0666 : 0600) < 0 ? VC_E_IO : VC_OK;
}

static int tpl_start(vc_inst *inst, const struct vc_call *call, const char *dir, struct vc_template_started *out)
{
    struct faulty *f = of(inst);
    char path[4096], text[16] = "";
    snprintf(path, sizeof path, "%s/memory", dir);
    FILE *in = fopen(path, "re");
    if (in && !fgets(text, sizeof text, in))
        text[0] = '\0';
    if (in)
        fclose(in);
    if (strcmp(text, "faulty\n") != 0)
        return vcs_fail(f->host, call, VC_E_CORRUPT, 0, "%s is cut short", path);
    int rc = start_process(f, call, "vm", NULL);
    if (out)
        out->added_vcpus = strcmp(f->mark, "more") == 0;
    return rc < 0 ? rc : order(f, call, "template_start");
}

static const struct vc_template_ops templates = {
    .size = sizeof templates, .key = tpl_key, .valid = tpl_valid, .boot = tpl_boot, .save = tpl_save, .start = tpl_start
};
static struct vc_template_ops bad; /* the same, with what the option asks for wrong */

static const void *ext(vc_inst *inst, const char *id)
{
    const char *how = of(inst)->templates;
    if (!how[0] || strcmp(id, VC_EXT_TEMPLATE) != 0)
        return NULL;
    if (strcmp(how, "yes") == 0)
        return &templates;
    if (strcmp(how, "once") == 0)
        return of(inst)->asked++ ? NULL : &templates;
    bad = templates;
    if (strcmp(how, "size") == 0)
        bad.size = 8;
    else if (strcmp(how, "reserved") == 0)
        bad.reserved = 1;
    else
        bad.save = NULL;
    return &bad;
}
#elif FAULTY_KIND == 2
static int settle(vc_inst *inst, const struct vc_call *call, uint32_t flags)
{
    (void)flags;
    return plain(inst, call, "settle");
}

static int renew(vc_inst *inst, const struct vc_call *call, const struct vc_renew *r)
{
    unsigned char zero[512] = { 0 };
    int rc = plain(inst, call, "renew");
    if (rc == 0 && (r->seed.len < 32 || r->seed.len > 512 || memcmp(r->seed.data, zero, r->seed.len) == 0))
        rc = vcs_fail(of(inst)->host, call, VC_E_INVAL, 0, "the seed is no good");
    return rc;
}

static int online(vc_inst *inst, const struct vc_call *call, uint32_t vcpus)
{
    (void)vcpus;
    return plain(inst, call, "online");
}

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
    for (size_t i = 0; sandbox->dns && sandbox->dns[i]; i++)
        trace(of(inst), "dns %s", sandbox->dns[i]);
    trace(of(inst), "hostname %s", sandbox->hostname);
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
    trace(of(inst), "%s/%s %d%s", ctr, exec_id ? exec_id : "", (int)sig, flags & VC_SIGNAL_ALL ? " all" : "");
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
    trace(of(inst), "%s/%s %u x %u", ctr, exec_id ? exec_id : "", rows, cols);
    return plain(inst, call, "tty_resize");
}

static int net_update(vc_inst *inst, const struct vc_call *call, const struct vc_agent_net *net)
{
    trace(of(inst), "net %.*s", (int)net->json.len, (const char *)net->json.data);
    return plain(inst, call, "net_update");
}

/* Text out of an option, in which single quotes stand for double ones. */
static int put_option(vc_inst *inst, const struct vc_call *call, const char *member, const char *text, vc_sink *sink)
{
    char copy[2048];
    int rc = plain(inst, call, member);
    snprintf(copy, sizeof copy, "%s", text);
    for (char *p = copy; (p = strchr(p, '\''));)
        *p = '"';
    return rc < 0 ? rc : vcs_put(of(inst)->host, sink, copy);
}

static int agent_ps(vc_inst *inst, const struct vc_call *call, const char *ctr, vc_sink *json)
{
    (void)ctr;
    if (strcmp(of(inst)->mark, "crowd") != 0)
        return put_option(inst, call, "ps", of(inst)->ps, json);
    /* Very many, one of them with a long command line. */
    char wide[4003];
    memset(wide, 'x', sizeof wide);
    memcpy(wide + 4000, "\"}", 3);
    int rc = vcs_put(of(inst)->host, json, "[{\"pid\":2,\"cmd\":\"");
    for (int i = 0; rc == VC_OK && i < 30001; i++)
        rc = vcs_put(of(inst)->host, json, i ? ",{\"pid\":1}" : wide);
    return rc == VC_OK ? vcs_put(of(inst)->host, json, "]") : rc;
}

static int agent_stats(vc_inst *inst, const struct vc_call *call, const char *ctr, vc_sink *json)
{
    (void)ctr;
    return put_option(inst, call, "stats", of(inst)->stats, json);
}

static int ctr_pause(vc_inst *inst, const struct vc_call *call, const char *ctr)
{
    (void)ctr;
    return plain(inst, call, "ctr_pause");
}

static int ctr_resume(vc_inst *inst, const struct vc_call *call, const char *ctr)
{
    (void)ctr;
    return plain(inst, call, "ctr_resume");
}

static int ctr_update(vc_inst *inst, const struct vc_call *call, const char *ctr, struct vc_bytes resources)
{
    vcs_log(of(inst)->host, VC_LOG_DEBUG, "update %s %.*s", ctr, (int)resources.len, (const char *)resources.data);
    return plain(inst, call, "ctr_update");
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
    .net_update = net_update,
    .ps = agent_ps,
    .stats = agent_stats,
    .ctr_pause = ctr_pause,
    .ctr_resume = ctr_resume,
    .ctr_update = ctr_update,
    .settle = settle,
    .renew = renew,
    .online = online,
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
    int rc = plain(inst, call, "scan");
    return rc < 0 ? rc : vcs_put(of(inst)->host, endpoints, of(inst)->endpoints);
}

/* The device is that of the call unless the option `device` orders a wrong one. */
static int attach(vc_inst *inst, const struct vc_call *call, const struct vc_endpoint *ep, struct vc_device *out)
{
    static const int32_t fds[] = { 0, -1 };
    int wrong = of(inst)->device;
    vcs_log(of(inst)->host, VC_LOG_DEBUG, "attach %s %s %s %u %u", ep->id, ep->name, ep->mac, ep->mtu, ep->queues);
    out->type = wrong == 't' ? VC_DEV_BLOCK : wrong == 'p' ? VC_DEV_VFIO : VC_DEV_NET;
    out->id = wrong == 'i' ? "no good" : ep->id;
    out->fds = wrong == 'f' ? fds + 1 : fds;
    out->n_fds = wrong == 'n' ? 3 : 1;
    out->queues = 1;
    return plain(inst, call, "attach");
}

static int guest_config(vc_inst *inst, const struct vc_call *call, vc_sink *json)
{
    int rc = plain(inst, call, "guest_config");
    return rc < 0 ? rc : vcs_put(of(inst)->host, json, of(inst)->guest);
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
    .guest_config = guest_config,
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
#if FAULTY_KIND == 1
    .ext = ext,
#endif
};

static const struct vc_option options[] = {
    { .key = "fail", .type = VC_OPT_STRING, .doc = "The member that fails." },
    { .key = "once", .type = VC_OPT_STRING, .doc = "The member that fails in each process for the first time." },
    { .key = "crash", .type = VC_OPT_STRING, .doc = "The member that ends the process." },
    { .key = "ends", .type = VC_OPT_STRING, .doc = "How: abort, segv, overflow, exit, hang (it never comes back), or by SIGKILL." },
    { .key = "records", .type = VC_OPT_PATH, .doc = "A path that is recorded without having been made." },
    { .key = "binary", .type = VC_OPT_BOOL, .def = "false", .doc = "Save each of the 256 bytes, too, and miss none." },
    { .key = "wait", .type = VC_OPT_STRING, .doc = "The member that waits until it is cancelled." },
    { .key = "code", .type = VC_OPT_INT, .def = "-13", .min = -19, .max = -1, .doc = "The code it fails with." },
    { .key = "endpoints", .type = VC_OPT_STRING, .doc = "What scan finds." },
    { .key = "guest", .type = VC_OPT_STRING, .doc = "Settings for the guest." },
    { .key = "net", .type = VC_OPT_BOOL, .def = "false", .doc = "An agent that sets networks up." },
    { .key = "trace", .type = VC_OPT_PATH, .doc = "A file that gets a line for each call." },
    { .key = "device", .type = VC_OPT_STRING, .doc = "What is wrong with the device that attach gives." },
    { .key = "templates", .type = VC_OPT_STRING, .doc = "yes: have templates; once: until they are used; size, reserved, missing: a bad table." },
    { .key = "mark", .type = VC_OPT_STRING, .doc = "What stands in the key of a template; of an agent: offline takes no added vCPUs." },
    { .key = "share", .type = VC_OPT_BOOL, .def = "false", .doc = "Claim to show the shared directory to a guest." },
    { .key = "pause", .type = VC_OPT_BOOL, .def = "true", .doc = "Have VMs that can be paused; mark deaf: without effect." },
    { .key = "more", .type = VC_OPT_BOOL, .def = "true", .doc = "An agent that lists, counts, pauses and limits." },
    { .key = "ps", .type = VC_OPT_STRING, .doc = "What it lists, with single quotes for double ones." },
    { .key = "stats", .type = VC_OPT_STRING, .doc = "What it counts, likewise." },
    { .key = "disks", .type = VC_OPT_BOOL, .def = "false", .doc = "A VM that takes disks." },
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
    .caps_max = VC_HV_CAP_SHARE_9P | VC_HV_CAP_PAUSE | VC_HV_CAP_HOTPLUG,
#elif FAULTY_KIND == 2
    .caps_max = VC_AG_CAP_TEMPLATE | VC_AG_CAP_ONLINE | VC_AG_CAP_NET | AGENT_MORE,
#endif
    .inst = &inst_ops,
    .ops = &ops,
};
