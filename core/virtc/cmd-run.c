/* SPDX-License-Identifier: Apache-2.0 */
/* cmd-run.c: `virtc run`, and standing in for a process that runs in a container. */
#include "virtc.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <termios.h>
#include <unistd.h>

int virtc_run_code(const vc_error *err)
{
    switch (vc_error_code(err)) {
    case VC_ERR_NOCMD: return VIRTC_NOCMD;
    case VC_ERR_NOEXEC: return VIRTC_NOEXEC;
    default: return VIRTC_RUN_FAILED;
    }
}

int virtc_attend(const struct virtc *vt, vc_context *ctx, const char *pod, const char *container, const char *exec_id, int pid)
{
    struct termios saved;
    int have_tty = tcgetattr(0, &saved) == 0; /* the shim makes it raw; if it is killed, nobody else puts it back */
    sigset_t set;
    virtc_passed_signals(&set);
    int sigs = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    int shim = pid > 0 ? (int)syscall(SYS_pidfd_open, pid, 0) : -1;

    struct pollfd p[2] = {{.fd = shim, .events = POLLIN}, {.fd = sigs, .events = POLLIN}};
    while (shim >= 0 && !(p[0].revents & POLLIN)) {
        if (poll(p, 2, -1) < 0 && errno != EINTR)
            break;
        struct signalfd_siginfo si;
        while (read(sigs, &si, sizeof si) == (ssize_t)sizeof si)
            syscall(SYS_pidfd_send_signal, shim, (int)si.ssi_signo, NULL, 0);
    }
    if (sigs >= 0)
        close(sigs);
    if (shim >= 0)
        close(shim);
    if (have_tty)
        tcsetattr(0, TCSADRAIN, &saved);

    vc_error *err = NULL;
    int32_t status = 0;
    if (vc_container_wait(ctx, pod, container, exec_id, -1, &status, &err) < 0)
        return virtc_error(vt, err, VIRTC_RUN_FAILED);
    return status;
}

enum { OPT_RM = 0x300, OPT_VM_MEMORY };
struct run_args {
    struct container_options c;
    struct pod_options pod;
    int rm;
};
static const struct argp_option run_opts[] = {
    {"rm", OPT_RM, NULL, 0, "Delete the pod when the command has ended (otherwise it stays, stopped, until `virtc pod delete')", 0},
    {"vm-memory", OPT_VM_MEMORY, "SIZE", 0, "Memory of the VM (default: as configured)", 5},
    {0}};

static error_t run_parse(int key, char *arg, struct argp_state *state)
{
    struct run_args *a = state->input;
    switch (key) {
    case ARGP_KEY_INIT:
        state->child_inputs[0] = &a->c;
        state->child_inputs[1] = &a->pod;
        return 0;
    case OPT_RM: a->rm = 1; return 0;
    case OPT_VM_MEMORY:
        if (parse_size(arg, &a->pod.flags.memory) < 0 || !a->pod.flags.memory)
            argp_error(state, "--vm-memory wants a size such as 512M, not \"%s\"", arg);
        return 0;
    case ARGP_KEY_ARGS: {
        int rc = 0;
        for (int i = state->next; i < state->argc && !rc; i++)
            rc = words_add(&a->c.process.args, state->argv[i]);
        return rc;
    }
    case ARGP_KEY_NO_ARGS:
        if (!a->pod.from)
            argp_error(state, "say which command to run, as in `virtc run --rootfs DIR -- sh'");
        return 0;
    default: return ARGP_ERR_UNKNOWN;
    }
}

struct run_call {
    vc_context *ctx;
    const struct vc_pod_config *config;
    char *id;
    vc_error *err;
};
static int call_run(void *arg)
{
    struct run_call *c = arg;
    return vc_pod_run(c->ctx, c->config, &c->id, &c->err);
}

struct end_call {
    vc_context *ctx;
    const char *id;
    int rm;
    vc_error *err;
};
static int call_end(void *arg)
{
    struct end_call *c = arg;
    return c->rm ? vc_pod_delete(c->ctx, c->id, VC_FORCE, &c->err) : vc_pod_stop(c->ctx, c->id, 0, &c->err);
}

static int run_pod(struct virtc *vt, struct run_args *a)
{
    vc_context *ctx;
    int rc = virtc_open(vt, &ctx);
    if (rc)
        return VIRTC_RUN_FAILED;
    struct vc_pod_config config;
    a->pod.flags.id = a->c.name; /* one name for the pod and its only container */
    a->pod.flags.flags = VC_POD_OWNED;
    rc = pod_config(vt, &a->pod, &a->c, 1, &config);
    if (rc) {
        vc_context_free(ctx);
        return rc;
    }

    struct run_call call = {.ctx = ctx, .config = &config};
    vc_error *err = NULL;
    struct vc_pod_status *st = NULL;
    int sig;
    virtc_hold_signals();
    virtc_phase_begin(vt, "starting");
    if (virtc_cancellable(ctx, call_run, &call, &sig) < 0) {
        rc = virtc_run_code(call.err);
        virtc_error(vt, call.err, rc);
        vc_context_free(ctx);
        if (sig)
            virtc_die_of(sig);
        return rc;
    }
    virtc_phase_end();
    char *id = call.id;
    if (sig) /* it came too late to stop the start: now it is for the command */
        raise(sig);
    if (vc_pod_status(ctx, id, &st, &err) == 0 && st->n_containers == 1)
        rc = virtc_attend(vt, ctx, id, st->containers[0]->id, NULL, st->containers[0]->pid);
    else
        rc = virtc_error(vt, err, VIRTC_RUN_FAILED);
    vc_pod_status_free(st);
    struct end_call end = {.ctx = ctx, .id = id, .rm = a->rm};
    if (virtc_cancellable(NULL, call_end, &end, &sig) < 0) {
        virtc_error(vt, end.err, VIRTC_RUN_FAILED);
        rc = rc ? rc : VIRTC_RUN_FAILED;
    }
    free(id);
    vc_context_free(ctx);
    return rc;
}

int cmd_run(struct virtc *vt, int argc, char **argv)
{
    struct run_args a = {0};
    VC_INIT(&a.pod.flags);
    VC_INIT(&a.c.limits);
    static const struct argp_child children[] = {{&container_argp, 0, NULL, 0}, {&pod_argp, 0, NULL, 0}, {0}};
    static const struct argp argp = {
        run_opts, run_parse, "[--] COMMAND [ARG...]",
        "Run COMMAND in a new container in a new VM, pass its output on, and exit with its exit code.\v"
        "Exit code: that of COMMAND; 128+N when signal N ended it; 127 when there is no such command in the "
        "container, 126 when it cannot be executed; 125 when virtc itself failed.\n\n"
        "Signals sent to virtc are passed on to COMMAND.\n\n"
        "Example:\n  virtc run --rm --rootfs ./rootfs -- sh -c 'id; exit 7'",
        children, NULL, NULL};
    argp_err_exit_status = VIRTC_RUN_FAILED; /* the lower codes are the command's */
    int rc = virtc_parse(vt, &argp, ARGP_IN_ORDER, argc, argv, &a) ? VIRTC_RUN_FAILED : run_pod(vt, &a);
    container_options_done(&a.c);
    pod_options_done(&a.pod);
    return rc;
}
