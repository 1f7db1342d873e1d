/* SPDX-License-Identifier: Apache-2.0 */
/* model-hypervisor.c: a small hypervisor that keeps every rule of the contract; with -DBAD_ID it breaks just one.
 *
 * Its VMM is a shell that reads commands from a fifo in the private directory and answers through another one.  What it
 * is told has effects that anybody can see: a disk is an open file of it, a vCPU is a process below it, and a VM that
 * is paused is a stopped process.  The guest's agent is a socket that it holds and never accepts from. */
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/stat.h>

#include <vc/template.h>

#include "lib/buf.h"
#include "lib/io.h"
#include "lib/plug.h"
#include "lib/proc.h"

#ifndef MODEL_NAME
#define MODEL_NAME "model-hypervisor"
#endif
#ifdef MODEL_NO_GUEST
#define CAP_GUEST VC_HV_CAP_NO_GUEST
#else
#define CAP_GUEST 0
#endif
#define CAPS (VC_HV_CAP_PAUSE | VC_HV_CAP_RESIZE | VC_HV_CAP_HOTPLUG | CAP_GUEST)

#ifdef BAD_H12
#define SOCKET_MODE 0666
#else
#define SOCKET_MODE 0600
#endif
#define SHELL      "/bin/sh"
#define SLOTS      4 /* disks; in the VMM they are descriptors 4, 5, 6 and 8 */
#define MIB        (UINT64_C(1) << 20)
#define DEF_MEMORY (64 * MIB)
#define MAX_VCPUS  8
#define USUAL_TIME INT64_C(10000000000) /* of a call without a deadline */
#define QUIT_TIME  INT64_C(300000000)   /* for the VMM to end by itself */

struct model {
    const vc_host *host;
    char *pod_id, *run, *label, *params; /* params: NULL = none */
    uint32_t state;                      /* VC_VM_*, but not PAUSED */
    uint32_t paused;
    uint32_t vcpus, max_vcpus;
    uint64_t memory, max_memory;
    struct vc_proc proc;
    char disks[SLOTS][32]; /* "" = free */
    int cancel_fd, netns_fd;
    uint32_t wants_netns, restored;
};

/* $1 directory, $2 vCPUs, $3 memory, $4 number of the first answer, $5 label, $6 kernel parameters. */
static const char script[] =
    "trap '' PIPE; cd \"$1\" || exit 1; exec 7<>vcpu 9<>ctl; n=0 mem=$3\n"
    "up() { (read -r end) <vcpu 3<&- 4<&- 5<&- 6<&- 7<&- 8<&- 9<&- & n=$((n + 1)); }\n"
    "cpus() { while [ $n -lt $1 ]; do up; done; }\n"
    "say() { echo \"$*\" >reply; }\n"
    "echo 'the guest has booted'; cpus $2; say $4 ok $n $mem\n"
    "while read -r id cmd a b <&9; do r=ok; case $cmd in\n"
    "add) b=${b%|}; if [ -r \"$b\" ] && ! [ -d \"$b\" ]; then eval \"exec $a<\\\"\\$b\\\"\"; else r=none; fi;;\n"
    "del) eval \"exec $a<&-\";;\n"
    "cpus) cpus $a;;\n"
    "memory) mem=$a;;\n"
    "esac; say $id $r $n $mem; done\n";
static const int slot_fd[SLOTS] = { 4, 5, 6, 8 };
static const char *const files[] = { "ctl", "reply", "vcpu", "agent.sock", "console" };

static struct model *of(vc_inst *inst)
{
    return (struct model *)inst;
}

/* The start of a call: a cancel that came before it is dropped. */
static struct model *begin(vc_inst *inst)
{
    uint64_t n;

    if (read(of(inst)->cancel_fd, &n, sizeof n) < 0)
        errno = 0;
    return of(inst);
}

static int wrong_state(struct model *m, const struct vc_call *call, const char *what)
{
    return vcs_fail(m->host, call, VC_E_STATE, 0, "the VM of pod %s cannot be %s now", m->pod_id, what);
}

/* Has the call any time left? */
static int in_time(struct model *m, const struct vc_call *call)
{
    if (call->deadline_ns && vcs_now_ns() >= call->deadline_ns)
        return vcs_fail(m->host, call, VC_E_TIMEOUT, 0, "there is no time left for the VM of pod %s", m->pod_id);
    if (m->host->cancelled(m->host, call))
        return vcs_fail(m->host, call, VC_E_CANCELLED, 0, "the call for the VM of pod %s was cancelled", m->pod_id);
    return 0;
}

static int put(struct model *m, const struct vc_call *call, vc_sink *sink, const void *data, size_t n)
{
    int r = m->host->write(m->host, sink, data, n);

    return r < 0 ? vcs_fail(m->host, call, r, 0, "the answer for the VM of pod %s does not fit", m->pod_id) : 0;
}

static char *run_path(struct model *m, const char *name)
{
    char *path;

#ifdef BAD_H10
    if (strcmp(name, "agent.sock") == 0) {
        vcs_autofree char *root = vcs_path(m->host, VC_PATH_RUN_ROOT);

        return asprintf(&path, "%s/%s", root, name) < 0 ? NULL : path;
    }
#endif
    return asprintf(&path, "%s/%s", m->run, name) < 0 ? NULL : path;
}

/* ---- instance ---- */

static void model_close(vc_inst *inst)
{
    struct model *m = of(inst);

    if (m->cancel_fd >= 0)
        close(m->cancel_fd);
    if (m->netns_fd >= 0)
        close(m->netns_fd);
    free(m->pod_id);
    free(m->run);
    free(m->label);
    free(m->params);
    free(m);
}

static int model_create(const vc_host *host, const struct vc_call *call, const vc_config *cfg, const char *pod_id,
                        vc_inst **out)
{
    const char *label = vcs_opt_str(host, cfg, "label");
    struct model *m = calloc(1, sizeof *m);

    if (!m)
        return vcs_fail(host, call, VC_E_NOMEM, 0, "out of memory for the VM of pod %s", pod_id);
    m->host = host;
    m->netns_fd = -1;
    m->vcpus = (uint32_t)vcs_opt_int(host, cfg, "vcpus", 1);
    m->cancel_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (m->cancel_fd < 0) {
        int sys = errno;

        model_close((vc_inst *)m);
        return vcs_fail(host, call, vcs_code_of(sys), sys, "cannot make an event descriptor for pod %s", pod_id);
    }
    m->run = vcs_path(host, VC_PATH_RUN);
    m->pod_id = strdup(pod_id);
    m->label = strdup(label ? label : "");
    if (!m->run || !m->pod_id || !m->label) {
        model_close((vc_inst *)m);
        return vcs_fail(host, call, VC_E_NOMEM, 0, "out of memory for the VM of pod %s", pod_id);
    }
    *out = (vc_inst *)m;
    return 0;
}

static uint32_t sum(const char *text, size_t n)
{
    uint32_t h = 2166136261u;

    for (size_t i = 0; i < n; i++)
        h = (h ^ (unsigned char)text[i]) * 16777619u;
    return h;
}

/* The state is text: a checksum of the rest, the VM, a line for each disk, "params" and the kernel parameters. */
static int model_save(vc_inst *inst, const struct vc_call *call, vc_sink *out)
{
    struct model *m = of(inst);
    struct vcs_buf b = { 0 };
    char head[16];
    int r = vcs_buf_printf(&b, "%u %u %u %u %u %" PRIu64 " %" PRIu64 " %d %" PRIu64 "\n", m->state, m->paused,
                           m->wants_netns, m->vcpus, m->max_vcpus, m->memory, m->max_memory, m->proc.pid,
                           m->proc.start_ticks);

    for (int i = 0; i < SLOTS; i++)
        r |= m->disks[i][0] ? vcs_buf_printf(&b, "disk %d %s\n", i, m->disks[i]) : 0;
    r |= m->params ? vcs_buf_printf(&b, "params %s\n", m->params) : 0;
#ifdef BAD_H18
    r |= vcs_buf_printf(&b, "run %s\n", m->run);
#endif
    if (r == 0) {
        snprintf(head, sizeof head, "%08" PRIx32 "\n", sum((char *)vcs_buf_data(&b), b.len));
        r = m->host->write(m->host, out, head, strlen(head));
        if (r == 0)
            r = m->host->write(m->host, out, vcs_buf_data(&b), b.len);
    } else {
        r = VC_E_NOMEM;
    }
    vcs_buf_done(&b);
    return r < 0 ? vcs_fail(m->host, call, r, 0, "cannot write the state of the VM of pod %s", m->pod_id) : 0;
}

static bool id_ok(const char *id)
{
    size_t n = id ? strlen(id) : 0;

    for (size_t i = 0; i < n; i++)
        if (!isalnum((unsigned char)id[i]) && (i == 0 || !strchr("_.-", id[i])))
            return false;
    return n > 0 && n <= 31;
}

static int find(const struct model *m, const char *id)
{
    for (int i = 0; i < SLOTS; i++)
        if (m->disks[i][0] && strcmp(m->disks[i], id) == 0)
            return i;
    return -1;
}

/* 0, VC_E_CORRUPT or VC_E_NOMEM. */
static int parse(struct model *m, char *text)
{
    char *save = NULL, *rest = strchr(text, '\n'), *line;
    int end = 0;

    if (!rest || strtoul(text, NULL, 16) != sum(rest + 1, strlen(rest + 1)) || rest != text + 8)
        return VC_E_CORRUPT;
    line = strtok_r(rest + 1, "\n", &save);
    if (!line ||
        sscanf(line, "%u %u %u %u %u %" SCNu64 " %" SCNu64 " %d %" SCNu64 "%n", &m->state, &m->paused, &m->wants_netns,
               &m->vcpus, &m->max_vcpus, &m->memory, &m->max_memory, &m->proc.pid, &m->proc.start_ticks, &end) != 9 ||
        line[end] || m->state > VC_VM_STOPPED || m->proc.pid < 0 || m->vcpus > MAX_VCPUS)
        return VC_E_CORRUPT;
    while ((line = strtok_r(NULL, "\n", &save))) {
        char id[33];
        unsigned slot;

#ifdef BAD_H18
        if (strncmp(line, "run ", 4) == 0) {
            free(m->run);
            m->run = strdup(line + 4);
            continue;
        }
#endif
        if (strncmp(line, "params ", 7) == 0 && !m->params) {
            if (!(m->params = strdup(line + 7)))
                return VC_E_NOMEM;
            continue;
        }
        if (sscanf(line, "disk %1u %32s%n", &slot, id, &end) != 2 || line[end] || slot >= SLOTS || !id_ok(id) ||
            m->disks[slot][0] || find(m, id) >= 0)
            return VC_E_CORRUPT;
        snprintf(m->disks[slot], sizeof m->disks[slot], "%.31s", id);
    }
    return 0;
}

static int model_restore(const vc_host *host, const struct vc_call *call, const vc_config *cfg, const char *pod_id,
                         uint32_t version, struct vc_bytes state, vc_inst **out)
{
    vcs_autofree char *text = NULL;
    vc_inst *inst = NULL;
    int r;

    if (version != 1)
        return vcs_fail(host, call, VC_E_UNSUPPORTED, 0, "state version %u of pod %s is unknown, 1 is known", version, pod_id);
    if (state.len < 10 || state.len > 65536 || memchr(state.data, 0, state.len))
        return vcs_fail(host, call, VC_E_CORRUPT, 0, "the stored state of pod %s is no text", pod_id);
    if (!(text = strndup(state.data, state.len)))
        return vcs_fail(host, call, VC_E_NOMEM, 0, "out of memory for the state of pod %s", pod_id);
    r = model_create(host, call, cfg, pod_id, &inst);
    if (r < 0)
        return r;
    r = parse(of(inst), text);
    if (r < 0) {
        model_close(inst);
        return vcs_fail(host, call, r, 0, "the stored state of pod %s is not what this plugin writes", pod_id);
    }
    of(inst)->restored = 1;
    *out = inst;
    return 0;
}

static bool alive(struct model *m)
{
    return m->proc.pid > 0 && vcs_proc_alive(&m->proc);
}

static int model_check(vc_inst *inst, const struct vc_call *call, uint32_t *health)
{
    (void)call;
#ifdef BAD_LIE_PANIC
    abort();
#endif
    *health = alive(of(inst)) ? VC_HEALTH_OK : VC_HEALTH_GONE;
    return 0;
}

static uint64_t model_caps(vc_inst *inst)
{
    (void)inst;
#ifdef BAD_E7_PRETENDS
    return CAPS & ~VC_HV_CAP_PAUSE;
#endif
    return CAPS;
}

static void model_cancel(vc_inst *inst)
{
    uint64_t one = 1;

    if (write(of(inst)->cancel_fd, &one, sizeof one) < 0)
        errno = 0;
}

/* ---- talking to the VMM ---- */

struct talk {
    int reply_fd;    /* open for both, so that it has no end */
    uint64_t number; /* of the command; answers to older ones are dropped */
    uint32_t vcpus;  /* of the answer */
    uint64_t memory;
    bool refused;
};

/* The answer among what came; 1: it is there. */
static int read_answer(struct vcs_buf *b, struct talk *t)
{
    char *end;

    while ((end = b->len ? memchr(vcs_buf_data(b), '\n', b->len) : NULL)) {
        uint64_t number;
        char word[8];
        size_t n = (size_t)(end - (char *)vcs_buf_data(b)) + 1;

        *end = '\0';
        if (sscanf((char *)vcs_buf_data(b), "%" SCNu64 " %7s %u %" SCNu64, &number, word, &t->vcpus, &t->memory) == 4 &&
            number == t->number) {
            t->refused = strcmp(word, "ok") != 0;
            return 1;
        }
        vcs_buf_consume(b, n);
    }
    return b->len > 4096 ? -1 : 0;
}

static int await_answer(struct model *m, const struct vc_call *call, struct talk *t)
{
    int64_t deadline = call->deadline_ns ? call->deadline_ns : vcs_now_ns() + USUAL_TIME;
    vcs_autoclose int pid_fd = vcs_proc_fd(&m->proc);
    struct pollfd p[3] = { { t->reply_fd, POLLIN, 0 }, { pid_fd, POLLIN, 0 }, { m->cancel_fd, POLLIN, 0 } };
    struct vcs_buf b = { 0 };
    int r = pid_fd == -ESRCH ? VC_E_PEER : pid_fd < 0 ? vcs_code_of(pid_fd) : 0, n;

    while (r == 0) {
        n = poll(p, 3, vcs_poll_timeout(deadline));
        if (n < 0 && errno != EINTR)
            r = VC_E_IO;
        else if (p[2].revents && n > 0)
            r = VC_E_CANCELLED;
        else if (p[0].revents && n > 0) {
            unsigned char *mem = vcs_buf_reserve(&b, 512);
            ssize_t got = mem ? read(t->reply_fd, mem, 512) : 0;

            if (!mem)
                r = VC_E_NOMEM;
            if (got > 0)
                vcs_buf_commit(&b, (size_t)got);
            if (r == 0 && (n = read_answer(&b, t)) != 0) {
                r = n < 0 ? VC_E_PROTOCOL : 0;
                break;
            }
        } else if (p[1].revents && n > 0)
            r = VC_E_PEER;
        else if (n <= 0 && vcs_now_ns() >= deadline)
            r = VC_E_TIMEOUT;
    }
    vcs_buf_done(&b);
    return r < 0
               ? vcs_fail(m->host, call, r, 0, "the VMM of pod %s (process %d) gave no answer", m->pod_id, m->proc.pid)
               : 0;
}

static int open_fifo(struct model *m, const struct vc_call *call, const char *name, int flags)
{
    vcs_autofree char *path = run_path(m, name);
    int fd = path ? open(path, flags | O_CLOEXEC | O_NONBLOCK | O_NOFOLLOW) : -1, sys = errno;

    if (!path)
        return vcs_fail(m->host, call, VC_E_NOMEM, 0, "out of memory for the VM of pod %s", m->pod_id);
    return fd >= 0 ? fd
                   : vcs_fail(m->host, call, sys == ENXIO ? VC_E_PEER : vcs_code_of(sys), sys, "cannot open %s", path);
}

/* Send "NUMBER command" and wait for the answer. */
static int tell(struct model *m, const struct vc_call *call, struct talk *t, const char *fmt, ...) VCS_PRINTF(4, 5);
static int tell(struct model *m, const struct vc_call *call, struct talk *t, const char *fmt, ...)
{
    vcs_autofree char *command = NULL, *line = NULL;
    vcs_autoclose int ctl = -1, reply = -1;
    va_list ap;
    int n, r = in_time(m, call);

    if (r < 0)
        return r;
    va_start(ap, fmt);
    n = vasprintf(&command, fmt, ap);
    va_end(ap);
    t->number = (uint64_t)vcs_now_ns();
    if (n < 0 || asprintf(&line, "%" PRIu64 " %s\n", t->number, command) < 0) {
        command = n < 0 ? NULL : command;
        line = NULL;
        return vcs_fail(m->host, call, VC_E_NOMEM, 0, "out of memory for the VM of pod %s", m->pod_id);
    }
    if ((reply = open_fifo(m, call, "reply", O_RDWR)) < 0)
        return reply;
    if ((ctl = open_fifo(m, call, "ctl", O_RDWR)) < 0) /* so that nothing is said to a broken pipe */
        return ctl;
    t->reply_fd = reply;
    if (write(ctl, line, strlen(line)) != (ssize_t)strlen(line))
        return vcs_fail(m->host, call, VC_E_TIMEOUT, errno, "the VMM of pod %s takes no commands", m->pod_id);
    return await_answer(m, call, t);
}

/* ---- VM ---- */

static bool plain(const char *s)
{
    for (; *s; s++)
        if (*s < ' ' || *s > '~')
            return false;
    return true;
}

static int model_vm_create(vc_inst *inst, const struct vc_call *call, const struct vc_vm_config *config)
{
    struct model *m = begin(inst);
    struct vc_vm_config c = { .netns_fd = -1 };
    uint32_t vcpus;

    if (m->state != VC_VM_NONE)
        return vcs_fail(m->host, call, VC_E_EXISTS, 0, "the VM of pod %s was described already", m->pod_id);
    memcpy(&c, config, config->size < sizeof c ? config->size : sizeof c);
    vcpus = c.vcpus ? c.vcpus : m->vcpus;
    c.memory = c.memory ? c.memory : DEF_MEMORY;
    c.max_vcpus = c.max_vcpus ? c.max_vcpus : vcpus > 4 ? vcpus : 4;
    c.max_memory = c.max_memory ? c.max_memory : 4 * c.memory;
    if (vcpus > c.max_vcpus || c.max_vcpus > MAX_VCPUS || c.memory > c.max_memory || c.max_memory > 4096 * MIB)
        return vcs_fail(m->host, call, VC_E_INVAL, 0,
                        "a VM has 1 to %d vCPUs and up to 4096 MiB of memory, not more than its maximum", MAX_VCPUS);
    if (c.shared_dir)
        return vcs_fail(m->host, call, VC_E_UNSUPPORTED, 0, "a model VM cannot have the shared folder %s",
                        c.shared_dir);
    if (c.kernel_params && (!plain(c.kernel_params) || strlen(c.kernel_params) > 2047))
        return vcs_fail(m->host, call, VC_E_INVAL, 0,
                        "kernel parameters have to be printable ASCII of 2047 bytes at most");
    if (c.kernel_params && !(m->params = strdup(c.kernel_params)))
        return vcs_fail(m->host, call, VC_E_NOMEM, 0, "out of memory for the VM of pod %s", m->pod_id);
    if (c.netns_fd >= 0 && (m->netns_fd = fcntl(c.netns_fd, F_DUPFD_CLOEXEC, 3)) < 0)
        return vcs_fail(m->host, call, vcs_code_of(errno), errno, "cannot use the network namespace of pod %s",
                        m->pod_id);
    m->wants_netns = c.netns_fd >= 0;
    m->vcpus = vcpus;
    m->memory = c.memory;
    m->max_vcpus = c.max_vcpus;
    m->max_memory = c.max_memory;
    m->state = VC_VM_CREATED;
    return 0;
}

/* The vCPUs, which are of the VMM's session, end a moment after it. */
static int await_vcpus(struct model *m, const struct vc_call *call, int64_t deadline)
{
    vcs_autoclosedir DIR *d = opendir("/proc");
    struct dirent *e = NULL;
    int r = d ? 0 : -errno;

    while (r == 0 && (e = readdir(d))) {
        char path[64], text[512];
        struct vc_proc v = { .pid = atoi(e->d_name) };
        int session = 0;
        char letter;

        if (v.pid <= 0 || v.pid == m->proc.pid)
            continue;
        snprintf(path, sizeof path, "/proc/%d/stat", v.pid);
        vcs_autoclose int fd = open(path, O_RDONLY | O_CLOEXEC);
        ssize_t n = fd >= 0 ? read(fd, text, sizeof text - 1) : -errno;
        if (n == -EMFILE || n == -ENFILE || n == -ENOMEM)
            r = (int)n;
        text[n > 0 ? n : 0] = '\0';
        char *p = strrchr(text, ')');
        if (p && sscanf(p + 1, " %*c %*d %*d %d", &session) == 1 && session == m->proc.pid &&
            vcs_proc_stat(v.pid, &v.start_ticks, &letter) == 0)
            r = vcs_proc_wait(&v, deadline, NULL);
    }
    return r < 0 ? vcs_fail(m->host, call, vcs_code_of(r), -r, "cannot wait for the vCPUs of pod %s", m->pod_id) : 0;
}

static int end_vmm(struct model *m, const struct vc_call *call, bool force)
{
    int64_t deadline = call && call->deadline_ns ? call->deadline_ns : vcs_now_ns() + USUAL_TIME;
    int r = -ETIMEDOUT;

    if (m->proc.pid > 0) {
        if (!force && vcs_proc_kill(&m->proc, SIGTERM) == 0 && vcs_proc_kill(&m->proc, SIGCONT) == 0)
            r = vcs_proc_wait(&m->proc, vcs_now_ns() + QUIT_TIME, NULL);
        int killed = r < 0 ? vcs_proc_kill(&m->proc, SIGKILL) : 0;
        if (killed < 0 && killed != -ESRCH) /* nobody else will end it: there is nothing to wait for */
            return vcs_fail(m->host, call, vcs_code_of(killed), -killed, "the VMM of pod %s (process %d) cannot be ended",
                            m->pod_id, m->proc.pid);
        r = vcs_proc_wait(&m->proc, deadline, NULL);
        if (r < 0)
            return vcs_fail(m->host, call, vcs_code_of(r), 0, "the VMM of pod %s (process %d) does not end", m->pod_id,
                            m->proc.pid);
        if ((r = await_vcpus(m, call, deadline)) < 0)
            return r;
        m->host->proc_done(m->host, &m->proc);
    }
    m->proc = (struct vc_proc){ 0 };
    m->paused = 0;
    memset(m->disks, 0, sizeof m->disks);
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        vcs_autofree char *path = run_path(m, files[i]);

#ifdef BAD_H12_STAYS
        if (strcmp(files[i], "agent.sock") == 0)
            continue;
#endif
        if (path)
            unlink(path);
    }
    return 0;
}

/* What the VMM finds in the directory.  The socket and the console's descriptor go to *agent and *console. */
static int make_files(struct model *m, const struct vc_call *call, int *agent, int *console)
{
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        vcs_autofree char *path = run_path(m, files[i]);
        int r = 0;

        if (!path)
            return vcs_fail(m->host, call, VC_E_NOMEM, 0, "out of memory for the VM of pod %s", m->pod_id);
        unlink(path);
        if (strcmp(files[i], "console") == 0)
            r = *console = open(path, O_WRONLY | O_CREAT | O_EXCL | O_APPEND | O_CLOEXEC, 0600);
        else if (strcmp(files[i], "agent.sock") != 0)
            r = mkfifo(path, 0600);
        else if (!(CAPS & VC_HV_CAP_NO_GUEST) && (r = *agent = vcs_unix_listen(path, SOCKET_MODE, 16)) < 0)
            errno = -r;
        if (r < 0)
            return vcs_fail(m->host, call, vcs_code_of(errno), errno, "cannot make %s", path);
    }
    return 0;
}

static int spawn(struct model *m, const struct vc_call *call, struct talk *t, int agent, int console)
{
    char vcpus[16], memory[24], number[24];
#ifdef BAD_H9_PARAMS
    if (m->params)
        m->params[strcspn(m->params, ",")] = '\0';
#endif
    const char *argv[] = { "sh",  "-c",   script, "vmm",    m->run,
                           vcpus, memory, number, m->label, m->params ? m->params : "",
                           NULL };
    int32_t fds[1] = { agent };
    struct vc_spawn s = { .size = sizeof s,
                          .path = SHELL,
                          .argv = argv,
                          .fds = fds,
                          .n_fds = agent >= 0,
                          .netns_fd = m->netns_fd,
                          .stdio = { -1, console, -1 } };

#ifdef BAD_H11
    int32_t all[60];

    for (int fd = 3; fd < 60; fd++)
        if (fcntl(fd, F_GETFD) >= 0 && fd != agent)
            all[s.n_fds++] = fd;
    all[0] = agent;
    s.fds = all;
#endif
    t->number = (uint64_t)vcs_now_ns();
    snprintf(vcpus, sizeof vcpus, "%" PRIu32, m->vcpus);
    snprintf(memory, sizeof memory, "%" PRIu64, m->memory);
    snprintf(number, sizeof number, "%" PRIu64, t->number);
    return m->host->spawn(m->host, call, &s, &m->proc);
}

static int start(struct model *m, const struct vc_call *call)
{
    vcs_autoclose int agent = -1, console = -1, reply = -1;
    struct talk t = { 0 };
    int r;

    if (m->state != VC_VM_CREATED)
        return wrong_state(m, call, "started");
    if ((r = in_time(m, call)) < 0)
        return r;
#ifdef BAD_LIE_MOCK
    m->state = VC_VM_RUNNING;
    return VC_OK;
#endif
    if (m->wants_netns && m->netns_fd < 0)
        return vcs_fail(m->host, call, VC_E_STATE, 0,
                        "only the process that called vm_create has the network namespace");
    r = make_files(m, call, &agent, &console);
    if (r == 0)
        r = t.reply_fd = reply = open_fifo(m, call, "reply", O_RDWR);
    if (r >= 0)
        r = spawn(m, call, &t, agent, console);
    if (r == 0)
        r = await_answer(m, call, &t);
    if (r < 0)
        end_vmm(m, &(struct vc_call){ .size = sizeof(struct vc_call) }, true);
    else
        m->state = VC_VM_RUNNING;
    return r;
}

static int model_vm_start(vc_inst *inst, const struct vc_call *call)
{
    return start(begin(inst), call);
}

static int model_vm_stop(vc_inst *inst, const struct vc_call *call, uint32_t flags)
{
    struct model *m = begin(inst);
    int r = m->proc.pid > 0 ? in_time(m, call) : 0;

#ifdef BAD_H2
    if (m->state == VC_VM_STOPPED)
        return wrong_state(m, call, "stopped");
#endif
#ifdef BAD_H2_HUNG
    struct talk t = { 0 };

    if (r == 0 && m->proc.pid > 0 && alive(m) && !m->paused)
        r = tell(m, call, &t, "quit");
#endif
    if (r == 0)
        r = end_vmm(m, call, flags & VC_STOP_FORCE);
    if (r == 0 && m->state == VC_VM_RUNNING)
        m->state = VC_VM_STOPPED;
    return r;
}

static int model_cleanup(vc_inst *inst, const struct vc_call *call)
{
    return model_vm_stop(inst, call, VC_STOP_FORCE);
}

/* What the kernel says of the VMM: VC_VM_*, or a failure. */
static int state_now(struct model *m, const struct vc_call *call)
{
    uint64_t ticks = 0;
    char letter = 0;
    int r;

#ifdef BAD_H1
    if (m->state == VC_VM_STOPPED)
        return VC_VM_CREATED;
#endif
#if defined BAD_LIE_PAUSE || defined BAD_LIE_MOCK
    if (m->state == VC_VM_RUNNING)
        return m->paused ? VC_VM_PAUSED : VC_VM_RUNNING;
#endif
    if (m->state != VC_VM_RUNNING)
        return (int)m->state;
    r = vcs_proc_stat(m->proc.pid, &ticks, &letter);
#ifdef BAD_H3
    if (r < 0 || ticks != m->proc.start_ticks || letter == 'Z')
        return VC_VM_RUNNING;
#endif
    if (r < 0 && r != -ESRCH)
        return vcs_fail(m->host, call, vcs_code_of(r), -r, "cannot look at the VMM of pod %s", m->pod_id);
    if (r < 0 || ticks != m->proc.start_ticks || letter == 'Z' || letter == 'X')
        return VC_VM_STOPPED;
    return letter == 'T' ? VC_VM_PAUSED : VC_VM_RUNNING;
}

static int model_vm_state(vc_inst *inst, const struct vc_call *call, uint32_t *state)
{
    int r = state_now(of(inst), call);

    if (r >= 0)
        *state = (uint32_t)r;
    return r < 0 ? r : 0;
}

static int freeze(struct model *m, const struct vc_call *call, int sig, uint32_t state)
{
    int64_t deadline = call->deadline_ns ? call->deadline_ns : vcs_now_ns() + USUAL_TIME;
    struct pollfd p = { m->cancel_fd, POLLIN, 0 };
    int r;

    if (m->state != VC_VM_RUNNING)
        return wrong_state(m, call, sig == SIGSTOP ? "paused" : "resumed");
#ifdef BAD_H7
    if (sig == SIGSTOP && m->paused)
        return wrong_state(m, call, "paused twice");
#endif
#ifdef BAD_LIE_PAUSE
    m->paused = sig == SIGSTOP;
    return VC_OK;
#endif
#ifdef BAD_LIE_RESUME
    if (sig == SIGCONT)
        return VC_OK;
#endif
    if ((r = in_time(m, call)) < 0 || (r = state_now(m, call)) < 0)
        return r;
    if (r == VC_VM_STOPPED)
        return wrong_state(m, call, sig == SIGSTOP ? "paused" : "resumed");
    r = vcs_proc_kill(&m->proc, sig);
    if (r < 0)
        return vcs_fail(m->host, call, r == -ESRCH ? VC_E_PEER : vcs_code_of(r), -r, "cannot signal the VMM of pod %s",
                        m->pod_id);
    while ((r = state_now(m, call)) >= 0 && r != (int)state && r != VC_VM_STOPPED && vcs_now_ns() < deadline &&
           poll(&p, 1, 1) <= 0)
        continue;
    if (r >= 0 && r != (int)state)
        return vcs_fail(m->host, call,
                        r == VC_VM_STOPPED ? VC_E_PEER
                        : p.revents        ? VC_E_CANCELLED
                                           : VC_E_TIMEOUT,
                        0, "the VMM of pod %s did not follow signal %d", m->pod_id, sig);
    if (r >= 0)
        m->paused = sig == SIGSTOP;
    return r < 0 ? r : 0;
}

static int model_vm_pause(vc_inst *inst, const struct vc_call *call)
{
    return freeze(begin(inst), call, SIGSTOP, VC_VM_PAUSED);
}

static int model_vm_resume(vc_inst *inst, const struct vc_call *call)
{
    return freeze(begin(inst), call, SIGCONT, VC_VM_RUNNING);
}

/* "SCHEMERUN/NAME" of a VM that was started. */
static int put_uri(struct model *m, const struct vc_call *call, const char *scheme, const char *name, vc_sink *uri)
{
    vcs_autofree char *path = run_path(m, name), *text = NULL;

    if (m->state != VC_VM_RUNNING)
        return wrong_state(m, call, "reached");
#ifdef BAD_H6
    scheme = "unix:/";
#endif
#ifdef BAD_H6_MOVES
    scheme = m->restored ? "unix:///." : "unix://";
#endif
    if (!path || asprintf(&text, "%s%s", scheme, path) < 0) {
        text = NULL;
        return vcs_fail(m->host, call, VC_E_NOMEM, 0, "out of memory for the VM of pod %s", m->pod_id);
    }
    return put(m, call, uri, text, strlen(text));
}

static int model_agent_endpoint(vc_inst *inst, const struct vc_call *call, vc_sink *uri)
{
    if (CAPS & VC_HV_CAP_NO_GUEST)
        return of(inst)->state == VC_VM_RUNNING ? 0 : wrong_state(of(inst), call, "reached");
    return put_uri(of(inst), call, "unix://", "agent.sock", uri);
}

static int model_console(vc_inst *inst, const struct vc_call *call, vc_sink *uri)
{
    return of(inst)->state == VC_VM_RUNNING ? put_uri(of(inst), call, "file://", "console", uri) : 0;
}

static int model_pids(vc_inst *inst, const struct vc_call *call, vc_sink *procs)
{
    struct model *m = of(inst);

#ifdef BAD_H4
    return alive(m) ? put(m, call, procs, &(struct vc_proc){ .pid = m->proc.pid }, sizeof m->proc) : 0;
#endif
    return alive(m) ? put(m, call, procs, &m->proc, sizeof m->proc) : 0;
}

static int need_vm(struct model *m, const struct vc_call *call)
{
    if (m->state != VC_VM_RUNNING || m->paused || !alive(m))
        return wrong_state(m, call, "changed, since it does not run,");
    return 0;
}

static int model_device_add(vc_inst *inst, const struct vc_call *call, const struct vc_device *dev,
                            struct vc_device_result *out)
{
    struct model *m = begin(inst);
    struct vc_device d = { 0 };
    struct talk t = { 0 };
    int slot = 0, r = need_vm(m, call);

    char given[64];
    if (r < 0)
        return r;
    memcpy(&d, dev, dev->size < sizeof d ? dev->size : sizeof d);
#ifdef BAD_LIE_HOTPLUG
    return vcs_fail(m->host, call, VC_E_UNSUPPORTED, 0, "the VM of pod %s cannot be given devices", m->pod_id);
#endif
    if (d.type != VC_DEV_BLOCK)
        return vcs_fail(m->host, call, VC_E_UNSUPPORTED, 0, "a model VM has disks only, no device of type %u", d.type);
    if (!id_ok(d.id) || !d.path || d.path[0] != '/' || strchr(d.path, '\n'))
        return vcs_fail(m->host, call, VC_E_INVAL, 0,
                        "a disk has an id of 1 to 31 letters, digits, '_', '.' or '-' and an absolute path");
#ifdef BAD_H5
    if (find(m, d.id) >= 0)
        return out->guest_addr[0] = '\0', VC_OK;
#endif
    if (find(m, d.id) >= 0)
        return vcs_fail(m->host, call, VC_E_EXISTS, 0, "the VM of pod %s has a disk %s", m->pod_id, d.id);
    while (slot < SLOTS && m->disks[slot][0])
        slot++;
    if (slot == SLOTS)
        return vcs_fail(m->host, call, VC_E_RESOURCE, 0, "a model VM has at most %d disks", SLOTS);
#ifdef BAD_LIE_DEVICE
    snprintf(m->disks[slot], sizeof m->disks[slot], "%s", d.id);
    memset(out->guest_addr, 0, 1);
    return VC_OK;
#endif
#ifdef BAD_H5_NO_FD
    if (d.n_fds)
        return vcs_fail(m->host, call, VC_E_INVAL, 0, "a disk has a path and no descriptor");
#elif !defined BAD_H5_PATH
    snprintf(given, sizeof given, "/proc/%d/fd/%d", (int)getpid(), d.n_fds ? d.fds[0] : -1); /* wherever it is by now */
    d.path = d.n_fds ? given : d.path;
#endif
#ifdef BAD_H9
    r = tell(m, call, &t, "add %d %.*s|", slot_fd[slot], (int)strcspn(d.path, ","), d.path);
#else
    r = tell(m, call, &t, "add %d %s|", slot_fd[slot], d.path);
#endif
    if (r < 0)
        return r;
    if (t.refused)
        return vcs_fail(m->host, call, VC_E_NOTFOUND, 0, "the VMM of pod %s cannot open the disk %s", m->pod_id,
                        d.path);
    snprintf(m->disks[slot], sizeof m->disks[slot], "%s", d.id);
#ifdef BAD_H5_CLOSES
    close(d.n_fds ? d.fds[0] : -1);
#endif
    if (out && out->size >= offsetof(struct vc_device_result, guest_addr) + sizeof out->guest_addr)
#ifdef BAD_H5_ADDR
        memset(out->guest_addr, '0', sizeof out->guest_addr);
#else
        snprintf(out->guest_addr, sizeof out->guest_addr, "%02x/00", slot + 1);
#endif
    return 0;
}

static int model_device_del(vc_inst *inst, const struct vc_call *call, const char *id)
{
    struct model *m = begin(inst);
    struct talk t = { 0 };
    int slot, r = need_vm(m, call);

    if (r < 0)
        return r;
    slot = id && id[0] ? find(m, id) : -1;
    if (slot < 0)
        return vcs_fail(m->host, call, VC_E_NOTFOUND, 0, "the VM of pod %s has no disk %.64s", m->pod_id,
                        id ? id : "(null)");
#ifdef BAD_H5_DEL
    r = tell(m, call, &t, "size");
#else
    r = tell(m, call, &t, "del %d", slot_fd[slot]);
#endif
    if (r == 0)
        m->disks[slot][0] = '\0';
    return r;
}

static int grow(struct model *m, const struct vc_call *call, const struct vc_resize *w, struct vc_resize *got)
{
    struct talk t = { 0 };
    int r;

#ifdef BAD_LIE_RESIZE_ZERO
    *got = (struct vc_resize){ .size = sizeof *got };
    return VC_OK;
#endif
#ifdef BAD_LIE_RESIZE_ECHO
    got->vcpus = m->vcpus = w->vcpus ? w->vcpus : m->vcpus;
    got->memory = m->memory = w->memory ? w->memory : m->memory;
    return VC_OK;
#endif
#ifdef BAD_H8
    m->max_vcpus = MAX_VCPUS;
#endif
    if (w->vcpus > m->max_vcpus || w->memory > m->max_memory)
        return vcs_fail(m->host, call, VC_E_RESOURCE, 0, "the VM of pod %s has at most %u vCPUs and %" PRIu64 " bytes",
                        m->pod_id, m->max_vcpus, m->max_memory);
    r = tell(m, call, &t, "size");
    if (r == 0 && w->vcpus > t.vcpus)
        r = tell(m, call, &t, "cpus %" PRIu32, w->vcpus);
    if (r == 0 && w->memory > t.memory) /* it only grows; what it has is in the answer */
        r = tell(m, call, &t, "memory %" PRIu64, w->memory);
    if (r < 0)
        return r;
    m->vcpus = t.vcpus;
    m->memory = t.memory;
    if (got && got->size >= sizeof *got) {
        got->vcpus = t.vcpus;
        got->memory = t.memory;
    }
    return 0;
}

static int model_resize(vc_inst *inst, const struct vc_call *call, const struct vc_resize *want, struct vc_resize *got)
{
    struct model *m = begin(inst);
    struct vc_resize w = { 0 };
    int r = need_vm(m, call);

#ifdef BAD_E7
    return vcs_fail(m->host, call, VC_E_UNSUPPORTED, 0, "the VM of pod %s cannot grow", m->pod_id);
#endif
    memcpy(&w, want, want->size < sizeof w ? want->size : sizeof w);
    return r < 0 ? r : grow(m, call, &w, got);
}

#include "model-hypervisor-template.h"

/* ---- descriptor ---- */

static const struct vc_option options[] = {
    { .key = "label", .type = VC_OPT_STRING, .def = "model", .doc = "A word on the VMM's command line." },
    { .key = "vcpus", .type = VC_OPT_INT, .min = 1, .max = 4, .def = "1", .doc = "vCPUs of a VM that is told none." },
};

static const struct vc_inst_ops inst_ops = {
    .size = sizeof inst_ops,
    .create = model_create,
    .restore = model_restore,
    .save = model_save,
    .check = model_check,
    .cleanup = model_cleanup,
    .close = model_close,
    .caps = model_caps,
    .cancel = model_cancel,
    .ext = model_ext,
};

static const struct vc_hypervisor_ops ops = {
    .size = sizeof ops,
    .vm_create = model_vm_create,
    .vm_start = model_vm_start,
    .vm_stop = model_vm_stop,
    .vm_state = model_vm_state,
    .agent_endpoint = model_agent_endpoint,
    .console = model_console,
    .pids = model_pids,
    .device_add = model_device_add,
    .device_del = model_device_del,
#ifndef BAD_L10
    .vm_pause = model_vm_pause,
#endif
    .vm_resume = model_vm_resume,
    .resize = model_resize,
};

VC_EXPORT const struct vc_plugin vc_plugin_entry = {
    .magic = VC_PLUGIN_MAGIC,
    .abi_major = VC_ABI_MAJOR,
    .abi_minor = VC_ABI_MINOR,
    .size = sizeof(struct vc_plugin),
    .kind = VC_KIND_HYPERVISOR,
    .name = MODEL_NAME,
    .vendor = "libvccore tests",
    .version = "1.0",
    .description = "A hypervisor whose VMM is a shell.",
    .options = options,
    .n_options = sizeof options / sizeof *options,
    .option_stride = sizeof(struct vc_option),
    .state_version = 1,
    .state_version_min = 1,
    .caps_max = CAPS,
    .inst = &inst_ops,
    .ops = &ops,
};
