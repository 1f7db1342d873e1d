/* SPDX-License-Identifier: Apache-2.0 */
/* launch.c: the start and the end of QEMU's process. */
#include "qemu.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include <linux/vhost.h>

#include "lib/cleanup.h"
#include "lib/io.h"
#include "lib/plug.h"
#include "qmp.h"

#define SECOND     INT64_C(1000000000)
#define START_TIME (30 * SECOND) /* when the caller sets no deadline */
#define QUIT_TIME  (2 * SECOND)  /* for QEMU to end when asked */
#define KILL_TIME  (10 * SECOND) /* for the kernel to end it when killed */
#define BACKLOG    16

char *qemu_run_path(const struct qemu *q, const char *name)
{
    char *s;

    return asprintf(&s, "%s/%s", q->run, name) < 0 ? NULL : s;
}

bool qemu_alive(const struct qemu *q)
{
    int32_t fd;
    int r = q->proc.pid > 0 ? q->host->proc_fd(q->host, &q->proc, &fd) : VC_E_NOTFOUND;

    if (r == VC_OK)
        close(fd);
    /* What cannot be seen to have ended, for want of a descriptor say, is not taken for dead. */
    return r != VC_E_NOTFOUND;
}

static void unlink_run(const struct qemu *q, const char *name)
{
    vcs_autofree char *path = qemu_run_path(q, name);

    if (path)
        unlink(path);
}

/* ---- start ---- */

/* What a start holds until QEMU has it. */
struct start {
    int fds[QEMU_LAUNCH_FDS]; /* for the child, in the order of their numbers from 3 */
    uint32_t n_fds;
    int log_fd, ns_fd;
    char *console;
    int state_nr; /* number of the template's state in the child */
    struct qemu_launch launch;
};

static void start_done(struct start *s)
{
    for (uint32_t i = 0; i < s->n_fds; i++)
        close(s->fds[i]);
    if (s->log_fd >= 0)
        close(s->log_fd);
    if (s->ns_fd >= 0)
        close(s->ns_fd);
    free(s->console);
}

/* Keep a descriptor for the child; its number there. */
static int give(struct start *s, int fd)
{
    s->fds[s->n_fds++] = fd;
    return 3 + (int)s->n_fds - 1;
}

static int listen_at(struct qemu *q, const struct vc_call *call, struct start *s, const char *name, int *ret)
{
    vcs_autofree char *path = qemu_run_path(q, name);
    int fd;

    if (!path)
        return vcs_fail(q->host, call, VC_E_NOMEM, 0, "out of memory while starting QEMU");
    unlink(path); /* of an earlier start: QEMU is not running */
    fd = vcs_unix_listen(path, 0600, BACKLOG);
    if (fd < 0)
        return vcs_fail(q->host, call, vcs_code_of(-fd), -fd, "cannot make the socket %s", path);
    *ret = give(s, fd);
    return 0;
}

static int open_log(struct qemu *q, const struct vc_call *call, const char *name, char **ret_path)
{
    int fd;

    *ret_path = qemu_run_path(q, name);
    if (!*ret_path)
        return vcs_fail(q->host, call, VC_E_NOMEM, 0, "out of memory while starting QEMU");
    fd = open(*ret_path, O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0)
        return vcs_fail(q->host, call, vcs_code_of(errno), errno, "cannot make the file %s", *ret_path);
    return fd;
}

/* A vsock device with an address that nobody has.  The kernel keeps addresses unique, so ask until it agrees. */
static int open_vsock(struct qemu *q, const struct vc_call *call, struct start *s)
{
    int fd = open("/dev/vhost-vsock", O_RDWR | O_CLOEXEC);

    if (fd < 0)
        return vcs_fail(q->host, call, vcs_code_of(errno), errno, "cannot open /dev/vhost-vsock");
    for (int i = 0; i < 64; i++) {
        uint32_t r;
        uint64_t cid;

        if (getrandom(&r, sizeof(r), 0) != sizeof(r))
            break;
        cid = 3 + r % 0x7ffffff0u;
        if (ioctl(fd, VHOST_VSOCK_SET_GUEST_CID, &cid) == 0) {
            s->launch.vhost_fd = give(s, fd);
            s->launch.cid = (uint32_t)cid;
            return 0;
        }
        if (errno != EADDRINUSE)
            break;
    }
    close(fd);
    return vcs_fail(q->host, call, VC_E_IO, errno, "cannot get a vsock address for the VM");
}

/* The network namespace of vm_create, which may have been another process. */
static int open_netns(struct qemu *q, const struct vc_call *call, int *ret)
{
    *ret = -1;
    if (!q->wants_netns)
        return 0;
    if (q->netns_fd >= 0)
        *ret = fcntl(q->netns_fd, F_DUPFD_CLOEXEC, 3);
    else if (q->netns_path)
        *ret = open(q->netns_path, O_RDONLY | O_CLOEXEC);
    else
        return vcs_fail(
            q->host, call, VC_E_STATE, 0,
            "the VM's network namespace has no name, so only the process that called vm_create can start it");
    if (*ret < 0)
        return vcs_fail(q->host, call, vcs_code_of(errno), errno, "cannot open the VM's network namespace %s",
                        q->netns_path ? q->netns_path : "");
    return 0;
}

/* Duplicate a borrowed descriptor for the child. */
static int lend(struct qemu *q, const struct vc_call *call, struct start *s, int fd, int *ret)
{
    int copy = fcntl(fd, F_DUPFD_CLOEXEC, 3);

    if (copy < 0)
        return vcs_fail(q->host, call, vcs_code_of(errno), errno, "cannot hand a file of the template to QEMU");
    *ret = give(s, copy);
    return 0;
}

static int prepare(struct qemu *q, const struct vc_call *call, const struct qemu_start *what, struct start *s)
{
    struct qemu_launch *l = &s->launch;
    vcs_autofree char *log = NULL;
    int r;

    if ((r = qemu_config_check_files(q->host, call, &q->config)) < 0 || (r = open_netns(q, call, &s->ns_fd)) < 0 ||
        (r = listen_at(q, call, s, "qmp.sock", &l->qmp_fd)) < 0)
        return r;
    if (q->vm.channel == QEMU_CHANNEL_SERIAL)
        r = listen_at(q, call, s, "agent.sock", &l->agent_fd);
    else
        r = open_vsock(q, call, s);
    if (r < 0)
        return r;
    if ((s->log_fd = open_log(q, call, "qemu.log", &log)) < 0)
        return s->log_fd;
    if (q->config.console_log) {
        int fd = open_log(q, call, "console.log", &s->console); /* so that its mode is ours */

        if (fd < 0)
            return fd;
        close(fd);
        l->console_path = s->console;
    }
    l->from = what->from;
    if ((what->memory_fd >= 0 && (r = lend(q, call, s, what->memory_fd, &l->memory_fd)) < 0) ||
        (what->state_fd >= 0 && (r = lend(q, call, s, what->state_fd, &s->state_nr)) < 0))
        return r;
    l->firmware = qemu_config_firmware(&q->config);
    if (q->vm.accel == QEMU_ACCEL_TCG && what->from != QEMU_FROM_TEMPLATE) /* a saved guest knows it */
        l->tsc_khz = qemu_tsc_khz();
    return 0;
}

/* The last line that QEMU wrote before it ended; "" when there is none. */
static void last_words(const struct qemu *q, char *buf, size_t size)
{
    vcs_autofree char *path = qemu_run_path(q, "qemu.log");
    vcs_autoclose int fd = path ? open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW) : -1;
    char text[2048], *line;
    const char *colon;
    off_t end = fd >= 0 ? lseek(fd, 0, SEEK_END) : 0;
    ssize_t n =
        end > 0 ? pread(fd, text, sizeof(text) - 1, end > (off_t)sizeof(text) - 1 ? end - (off_t)sizeof(text) + 1 : 0)
                : 0;

    while (n > 0 && (unsigned char)text[n - 1] <= ' ')
        n--;
    text[n > 0 ? n : 0] = '\0';
    line = strrchr(text, '\n');
    line = line ? line + 1 : text;
    colon = strstr(line, ": "); /* "qemu-system-x86_64: -option: reason": the program's name says nothing */
    if (colon && !strncmp(line, "qemu", 4))
        line = (char *)colon + 2;
    for (char *p = line; *p; p++)
        if ((unsigned char)*p < ' ' || *p == 0x7f)
            *p = ' ';
    snprintf(buf, size, "%.*s", (int)size - 1, line);
}

static int spawn(struct qemu *q, const struct vc_call *call, const struct qemu_vm *vm, struct start *s)
{
    struct qemu_args args = { 0 };
    const char *why;
    int32_t fds[QEMU_LAUNCH_FDS];
    int r = qemu_cmdline(&q->config, vm, &s->launch, &args, &why);

    if (r < 0)
        return vcs_fail(q->host, call, r, 0, "%s", why);
    for (uint32_t i = 0; i < s->n_fds; i++)
        fds[i] = s->fds[i];
    r = q->host->spawn(q->host, call,
                       &(struct vc_spawn){ .size = sizeof(struct vc_spawn),
                                           .path = q->config.path,
                                           .argv = (const char *const *)args.v,
                                           .fds = fds,
                                           .n_fds = s->n_fds,
                                           .netns_fd = s->ns_fd,
                                           .stdio = { -1, s->log_fd, s->log_fd } },
                       &q->proc);
    qemu_args_done(&args);
    return r;
}

/* Wait until QEMU answers and says that the VM runs. */
static int await_booted(struct qemu *q, const struct vc_call *call, const char *path, int64_t deadline_ns)
{
    struct qmp c;
    uint32_t state;
    int r = qmp_open(&c, q->host, call, path, q->cancel_fd, deadline_ns);

    if (r < 0)
        return r;
    r = qmp_status(&c, &state);
    if (r == 0 && state != VC_VM_RUNNING)
        r = vcs_fail(q->host, call, VC_E_PEER, 0, "QEMU started the VM, but it does not run");
    qmp_close(&c);
    return r;
}

/* Have QEMU read the state of the template, and wait until its VM runs. */
static int await_restored(struct qemu *q, const struct vc_call *call, const char *path, int64_t deadline_ns,
                          int state_nr, bool *ret_reading)
{
    char incoming[48];
    const struct qmp_request list[] = {
        { "migrate-set-capabilities", "{\"capabilities\":[{\"capability\":\"x-ignore-shared\",\"state\":true}]}" },
        { "migrate-incoming", incoming },
    };
    struct qmp c;
    unsigned done;
    int r;

    snprintf(incoming, sizeof(incoming), "{\"uri\":\"fd:%d\"}", state_nr);
    r = qmp_open_and_run(&c, q->host, call, path, q->cancel_fd, deadline_ns, list, 2, &done);
    *ret_reading = done == 2;
    if (r < 0)
        return r;
    r = qmp_wait_resumed(&c); /* it was saved running, and runs as soon as it is read */
    qmp_close(&c);
    return r;
}

static int await_running(struct qemu *q, const struct vc_call *call, const struct start *s)
{
    vcs_autofree char *path = qemu_run_path(q, "qmp.sock");
    int64_t deadline = call && call->deadline_ns ? call->deadline_ns : vcs_now_ns() + START_TIME;
    bool reading = false;
    char line[700];
    int r;

    if (!path)
        return vcs_fail(q->host, call, VC_E_NOMEM, 0, "out of memory while starting QEMU");
    if (s->launch.from == QEMU_FROM_TEMPLATE)
        r = await_restored(q, call, path, deadline, s->state_nr, &reading);
    else
        r = await_booted(q, call, path, deadline);
    if (r != VC_E_PEER)
        return r;
    last_words(q, line, sizeof(line));
    if (reading)
        return vcs_fail(q->host, call, VC_E_CORRUPT, 0, "%s could not read the saved VM of the template%s%s",
                        q->config.path, *line ? ": " : " and said nothing", line);
    return vcs_fail(q->host, call, VC_E_PEER, 0, "%s ended while it started the VM%s%s", q->config.path,
                    *line ? ": " : " and said nothing", line);
}

int qemu_launch_start(struct qemu *q, const struct vc_call *call, const struct qemu_start *what)
{
    struct start s = { .log_fd = -1,
                       .ns_fd = -1,
                       .launch = { .qmp_fd = -1, .agent_fd = -1, .vhost_fd = -1, .memory_fd = -1 } };
    int r = prepare(q, call, what, &s);

    if (r == 0)
        r = spawn(q, call, what->vm, &s);
    start_done(&s); /* from here on only QEMU holds the sockets, so its end is seen as end of file */
    if (r == 0) {
        q->cid = s.launch.cid;
        q->has_console = q->config.console_log;
        r = await_running(q, call, &s);
        if (r < 0) {
            struct vc_call quiet = { .size = sizeof(quiet) };

            qemu_launch_stop(q, &quiet, true); /* must not touch the error that is being reported */
        }
    }
    if (r < 0) {
        unlink_run(q, "qmp.sock");
        unlink_run(q, "agent.sock");
    }
    return r;
}

/* ---- end ---- */

/* Wait at most so long for the process to end. */
static int await_end(struct qemu *q, const struct vc_call *call, int64_t time_ns)
{
    struct vc_call limited = { .size = sizeof(limited), .deadline_ns = vcs_now_ns() + time_ns };

    if (call && call->deadline_ns && call->deadline_ns < limited.deadline_ns)
        limited.deadline_ns = call->deadline_ns;
    return q->host->proc_wait(q->host, &limited, &q->proc, NULL);
}

/* Ask QEMU to end.  True when it has. */
static bool quit(struct qemu *q, const struct vc_call *call)
{
    vcs_autofree char *path = qemu_run_path(q, "qmp.sock");
    struct vc_call quiet = { .size = sizeof(quiet) }; /* a failure here is no failure: it will be killed */
    int64_t deadline = vcs_now_ns() + QUIT_TIME;
    struct qmp c;
    int r;

    /* A frozen QEMU answers nothing: half of the time is left to kill it. */
    if (call && call->deadline_ns && call->deadline_ns - vcs_now_ns() < 2 * QUIT_TIME)
        deadline = vcs_now_ns() + (call->deadline_ns - vcs_now_ns()) / 2;
    if (!path || qmp_open(&c, q->host, &quiet, path, q->cancel_fd, deadline) < 0)
        return false;
    r = qmp_run(&c, "quit", NULL, NULL, 0, NULL);
    qmp_close(&c);
    /* QEMU may end before its answer is out. */
    return (r == 0 || r == VC_E_PEER) && await_end(q, &quiet, deadline - vcs_now_ns()) == VC_OK;
}

/* Does QEMU hold anything that is lost when it is killed?  Only of a disk does it keep what the guest has written. */
static bool has_disks(const struct qemu *q)
{
    for (uint32_t i = 0; i < QEMU_MAX_PORTS; i++)
        if (q->devices[i].type == VC_DEV_BLOCK)
            return true;
    return false;
}

int qemu_launch_stop(struct qemu *q, const struct vc_call *call, bool force)
{
    int r = 0;

    if (q->proc.pid > 0) {
        if (!qemu_alive(q)) {
            await_end(q, NULL, 0); /* reap it when it is our child */
        } else if (force || !has_disks(q) || !quit(q, call)) {
            int32_t fd;

            r = q->host->proc_fd(q->host, &q->proc, &fd);
            if (r < 0) {
                r = r == VC_E_NOTFOUND
                        ? 0
                        : vcs_fail(q->host, call, r, 0, "cannot reach QEMU (process %d) to end it", q->proc.pid);
            } else {
                if (syscall(SYS_pidfd_send_signal, fd, SIGKILL, NULL, 0u) < 0 && errno != ESRCH)
                    r = vcs_fail(q->host, call, vcs_code_of(errno), errno, "cannot kill QEMU (process %d)",
                                 q->proc.pid);
                close(fd);
            }
            if (r == 0 && (r = await_end(q, call, KILL_TIME)) < 0)
                r = vcs_fail(q->host, call, r, 0, "QEMU (process %d) was killed but has not ended", q->proc.pid);
        }
        if (r < 0)
            return r;
        q->host->proc_done(q->host, &q->proc);
    }
    q->proc = (struct vc_proc){ 0 };
    q->cid = 0;
    memset(q->devices, 0, sizeof(q->devices));
    unlink_run(q, "qmp.sock");
    unlink_run(q, "agent.sock");
    return 0;
}
