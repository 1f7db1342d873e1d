/* SPDX-License-Identifier: Apache-2.0 */
/* checks-shim.c: X1 to X8: a shim's process stands for one inside the VM, from its streams to its end. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "conformance/kind-shim.h"
#include "conformance/peer.h"
#include "lib/io.h"
#include "lib/proc.h"

static struct vct_shim_world *world(struct vct_pod *pod)
{
    return pod->world;
}

static const char *fact_name(struct vct_pod *pod, const char *what)
{
    static char name[160];
    snprintf(name, sizeof(name), "%s:%s", what, world(pod)->ctr);
    return name;
}

static struct vct_pod *fresh(struct vct *t)
{
    struct vct_pod *pod = vct_pod_new(t, NULL, 0);
    vct_pod_make(pod);
    if (vct_shim_none(pod))
        vct_skip(t, "this shim has no process (VC_SHIM_CAP_NONE)");
    return pod;
}

/* Without a peer that answers there is nothing inside to look at. */
static void need_inside(struct vct_pod *pod)
{
    if (vct_fact_wait(pod, fact_name(pod, "attached"), NULL, 5000) < 0)
        vct_skip(pod->t, "no scenario says what happens inside: one that keeps the fact %s is needed (--scenario)",
                 fact_name(pod, "attached"));
}

static struct vct_pod *up(struct vct *t)
{
    struct vct_pod *pod = fresh(t);
    vct_go(pod, VCT_ST_UP);
    need_inside(pod);
    return pod;
}

static void done(struct vct_pod *pod)
{
    vct_pod_cleanup(pod);
    vct_pod_free(pod);
}

/* Wait for the end of a process, whoever's child it is. */
static void must_end(struct vct_pod *pod, const struct vc_proc *proc, const char *after)
{
    vcs_autoclose int fd = vcs_proc_fd(proc);
    struct pollfd pf = { .fd = fd, .events = POLLIN };
    VCT_MUST(pod->t, fd < 0 || poll(&pf, 1, 5000) == 1, "the shim's process %d still runs 5 s after %s", proc->pid,
             after);
}

static void must_status(struct vct_pod *pod, uint32_t state, int32_t status, const char *when)
{
    static const char *const words[] = { "VC_SHIM_ABSENT", "VC_SHIM_RUNNING", "VC_SHIM_ENDED" };
    int r = vct_op(pod, "status", 0);
    struct vct_shim_world *w = world(pod);
    VCT_MUST(pod->t, r == VC_OK, "status answered %s %s: %s", vct_code(r), when, pod->t->err.text);
    VCT_MUST(pod->t, w->state == state, "status is %s %s; %s is right",
             w->state <= VC_SHIM_ENDED ? words[w->state] : "no VC_SHIM_* value", when, words[state]);
    VCT_MUST(pod->t, w->status == status, "status gave the exit status %d %s; %d is right", w->status, when, status);
}

/* ---- X1 ---- */

static void x1(struct vct *t)
{
    struct vct_pod *pod = fresh(t);
    vcs_autofree char *state = NULL;
    size_t len = 0;
    int stdio[3], back[2], wstatus = 0;
    struct vct_shim_world *w = world(pod);
    struct {
        struct vc_proc proc;
        int r;
        char text[256];
    } got = { .r = VC_E_INTERNAL };
    VCT_MUST(t, vct_shim_pipes(pod, stdio) == 0 && pipe2(back, O_CLOEXEC) == 0, "no pipes");
    pid_t pid = fork();
    if (pid == 0) {
        vct_forked();
        if (setjmp(t->end))
            _exit(1);
        got.r = vct_shim_start(pod, vct_call(t, 5000), stdio, 0, &got.proc);
        snprintf(got.text, sizeof(got.text), "%.255s", t->err.text);
        int failed = vcs_write_full(back[1], &got, sizeof(got)) < 0;
        if (got.r == VC_OK && vct_pod_save(pod, &state, &len) == VC_OK)
            failed |= vcs_write_full(back[1], state, len) < 0;
        vct_pod_close(pod);
        _exit(failed);
    }
    close(back[1]);
    close(stdio[0]);
    close(stdio[1]);
    int cut = pid < 0 || vcs_read_full(back[0], &got, sizeof(got)) != sizeof(got);
    state = calloc(1, 65537);
    ssize_t n = state ? vcs_read_full(back[0], state, 65536) : -1;
    close(back[0]);
    while (pid > 0 && waitpid(pid, &wstatus, 0) < 0 && errno == EINTR)
        ;
    VCT_MUST(t, !cut && n > 0, "the process that called start ended before it could tell");
    VCT_MUST(t, got.r == VC_OK, "start answered %s: %s", vct_code(got.r), got.text);
    w->proc = got.proc;
    w->started = 1;
    need_inside(pod);
    struct pollfd pf = { .fd = w->out, .events = POLLIN };
    struct sigaction ignore = { .sa_handler = SIG_IGN }, old;
    sigaction(SIGPIPE, &ignore, &old);
    int carries = vcs_write_full(w->in, "x\n", 2) == 0 && poll(&pf, 1, 5000) == 1 && (pf.revents & POLLIN);
    sigaction(SIGPIPE, &old, NULL);
    /* Its streams close a moment before it has ended. */
    vcs_autoclose int end = carries ? -1 : vcs_proc_fd(&got.proc);
    struct pollfd ended = { .fd = end, .events = POLLIN };
    if (end >= 0)
        poll(&ended, 1, 1000);
    VCT_MUST(t, vcs_proc_alive(&got.proc), "the shim's process %d ended with the process that had started it",
             got.proc.pid);
    VCT_MUST(t, carries,
             "the shim's process %d carries nothing any more after the process that had started it ended",
             got.proc.pid);
    vct_pod_close(pod);
    int r = vct_pod_restore(pod, t->plugin->state_version, state, (size_t)n);
    VCT_MUST(t, r == VC_OK, "restore answered %s: %s", vct_code(r), t->err.text);
    pod->state = VCT_ST_UP;
    must_status(pod, VC_SHIM_RUNNING, -1, "in another process than the one that called start");
    r = vct_pod_cleanup(pod);
    VCT_MUST(t, r == VC_OK, "cleanup answered %s: %s", vct_code(r), t->err.text);
    must_end(pod, &got.proc, "cleanup");
    vct_pod_free(pod);
}

/* ---- X2: how it ends ---- */

static void ends_with(struct vct *t, int status)
{
    struct vct_pod *pod = up(t);
    char text[16];
    vcs_autofree char *record = NULL;
    size_t len = 0;
    struct vct_shim_world *w = world(pod);
    must_status(pod, VC_SHIM_RUNNING, -1, "while the process inside runs");
    snprintf(text, sizeof(text), "%d", status);
    vct_fact_set(pod, fact_name(pod, "exit"), text);
    must_end(pod, &w->proc, "the process inside has ended");
    siginfo_t si = { .si_pid = 0 };
    int ours = waitid(P_PID, (id_t)w->proc.pid, &si, WEXITED | WNOHANG | WNOWAIT) == 0 && si.si_pid == w->proc.pid;
    VCT_MUST(t, !ours || (si.si_code == CLD_EXITED && si.si_status == status),
             "the process inside ended with %d, but the shim's with %s%d; it has to exit with the same status", status,
             si.si_code == CLD_EXITED ? "" : "signal ", si.si_status);
    int r = vcs_read_file(AT_FDCWD, w->exit_file, 64, &record, &len);
    VCT_MUST(t, ours || r == 0, "the exit status is neither the shim's own nor in the host's record %s", w->exit_file);
    char want[20];
    snprintf(want, sizeof(want), "%d\n", status);
    VCT_MUST(t, r < 0 || !strcmp(record, want), "the host's record %s holds \"%.20s\"; \"%d\" and a newline are right",
             w->exit_file, record, status);
    must_status(pod, VC_SHIM_ENDED, r == 0 ? status : w->status, "after the process inside has ended");
    VCT_MUST(t, r < 0 || w->status == status, "status gave %d for a process that ended with %d", w->status, status);
    done(pod);
}

static void x2(struct vct *t)
{
    ends_with(t, 0);
    ends_with(t, 7);
    ends_with(t, 137);
    ends_with(t, 255);
}

/* ---- X3, X4: signals and streams ---- */

static void x3(struct vct *t)
{
    static const int signals[] = { SIGUSR1, SIGINT, SIGTERM };
    struct vct_pod *pod = up(t);
    char text[16];
    for (size_t i = 0; i < 3; i++) {
        snprintf(text, sizeof(text), "%d", signals[i]);
        VCT_MUST(t, vcs_proc_kill(&world(pod)->proc, signals[i]) == 0, "the shim's process %d is gone before signal %d",
                 world(pod)->proc.pid, signals[i]);
        VCT_MUST(t, vct_fact_wait(pod, fact_name(pod, "signal"), text, 3000) == 0,
                 "signal %d (%s) to the shim's process did not come to the process inside", signals[i],
                 strsignal(signals[i]));
        VCT_MUST(t, vcs_proc_alive(&world(pod)->proc),
                 "the shim's process ended by signal %d, which is for the process inside; it ends when "
                 "that one does",
                 signals[i]);
    }
    done(pod);
}

/* What is written comes back, for the process inside is cat. */
static void must_echo(struct vct_pod *pod, int in, int out, const char *text, const char *what)
{
    char buf[256] = "";
    size_t n = 0;
    struct pollfd pf = { .fd = out, .events = POLLIN };
    VCT_MUST(pod->t, vcs_write_full(in, text, strlen(text)) == 0, "nothing can be written to the shim's %s: %s", what,
             strerror(errno));
    while (n < strlen(text) && poll(&pf, 1, 5000) == 1) {
        ssize_t got = read(out, buf + n, sizeof(buf) - 1 - n);
        if (got <= 0)
            break;
        n += (size_t)got;
    }
    buf[n] = '\0';
    for (char *p = buf; *p; p++)
        if ((unsigned char)*p < ' ' && *p != '\n')
            *p = '?';
    VCT_MUST(pod->t, !strcmp(buf, text),
             "\"%s\" was written to the shim's %s, and \"%s\" came back from a process inside that is cat", text, what,
             buf);
}

static void x4(struct vct *t)
{
    struct vct_pod *pod = up(t);
    struct winsize size = { .ws_row = 31, .ws_col = 97 };
    struct vc_proc proc = { 0 };
    char name[64];
    int unlocked = 0, number = 0;
    must_echo(pod, world(pod)->in, world(pod)->out, "hello, world", "pipes");
    done(pod);
    vcs_autoclose int master = open("/dev/ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC);
    if (master < 0 || ioctl(master, TIOCSPTLCK, &unlocked) < 0 || ioctl(master, TIOCGPTN, &number) < 0) {
        vct_note(t, "terminals were not looked at: none can be had here (%s)", strerror(errno));
        return;
    }
    snprintf(name, sizeof(name), "/dev/pts/%d", number);
    vcs_autoclose int slave = open(name, O_RDWR | O_NOCTTY | O_CLOEXEC);
    if (slave < 0) {
        vct_note(t, "terminals were not looked at: %s cannot be opened (%s)", name, strerror(errno));
        return;
    }
    ioctl(master, TIOCSWINSZ, &size);
    pod = fresh(t);
    const int stdio[3] = { slave, slave, slave };
    int r = vct_shim_start(pod, vct_call(t, 5000), stdio, VC_SHIM_TERMINAL | VC_SHIM_CONSOLE, &proc);
    VCT_MUST(t, r == VC_OK, "start with a terminal answered %s: %s", vct_code(r), t->err.text);
    world(pod)->proc = proc;
    world(pod)->started = 1;
    pod->state = VCT_ST_UP;
    need_inside(pod);
    if (vct_fact_wait(pod, fact_name(pod, "winsize"), "31x97", 3000) < 0)
        vct_fail(t, "the terminal has 31 rows and 97 columns, of which the process inside was not told");
    size.ws_row = 40;
    ioctl(master, TIOCSWINSZ, &size); /* the kernel tells the terminal's foreground group */
    if (vct_fact_wait(pod, fact_name(pod, "winsize"), "40x97", 500) < 0)
        vcs_proc_kill(&proc, SIGWINCH);
    VCT_MUST(t, vct_fact_wait(pod, fact_name(pod, "winsize"), "40x97", 3000) == 0,
             "the terminal was changed to 40 rows, of which the process inside was not told");
    done(pod);
}

/* ---- X5, X6, X7 ---- */

static void x5(struct vct *t)
{
    struct vct_pod *pod = fresh(t);
    uint32_t health = 0;
    vct_go(pod, VCT_ST_UP);
    VCT_MUST(t, vct_kind_shim.kill_peer(pod) == 0, "the shim's process %d was gone before it was killed",
             world(pod)->proc.pid);
    int r = vct_op(pod, "status", 0);
    VCT_MUST(t, r == VC_OK, "status answered %s after the shim was killed: %s", vct_code(r), t->err.text);
    VCT_MUST(t, world(pod)->state == VC_SHIM_ENDED,
             "status is %u after the shim's process %d was killed; VC_SHIM_ENDED (%d) is right", world(pod)->state,
             world(pod)->proc.pid, VC_SHIM_ENDED);
    VCT_MUST(t, world(pod)->status != 0,
             "status gave the exit status 0 for a shim that was killed; -1 is right, for it is not known");
    r = vct_pod_check(pod, &health);
    VCT_MUST(t, r == VC_OK && health != VC_HEALTH_OK,
             "check answered %s and health %u after the shim was killed; VC_HEALTH_GONE (%d) is right", vct_code(r),
             health, VC_HEALTH_GONE);
    r = vct_op(pod, "stop", 0);
    VCT_MUST(t, r == VC_OK, "stop answered %s for a shim that was killed: %s; it is idempotent", vct_code(r),
             t->err.text);
    r = vct_op(pod, "stop", 0);
    VCT_MUST(t, r == VC_OK, "stop answered %s the second time: %s; it is idempotent", vct_code(r), t->err.text);
    done(pod);
}

static void x6(struct vct *t)
{
    struct vct_pod *pod = fresh(t);
    static const struct {
        const char *ctr, *exec;
    } unknown[] = { { "nobody", "" }, { "nobody", "exec" }, { "ctr", "nobody" } };
    for (int round = 0; round < 2; round++) {
        for (size_t i = 0; i < 3; i++) {
            uint32_t state = VC_SHIM_ABSENT;
            int32_t status = -1;
            int r = vct_shim_stop(pod, vct_call(t, 2000), unknown[i].ctr, unknown[i].exec);
            VCT_MUST(t, r == VC_E_NOTFOUND,
                     "stop of %s/%s, which never had a shim, answered %s; VC_E_NOTFOUND is right", unknown[i].ctr,
                     unknown[i].exec, vct_code(r));
            r = vct_shim_status(pod, vct_call(t, 2000), unknown[i].ctr, unknown[i].exec, &state, &status);
            VCT_MUST(t, r == VC_E_NOTFOUND || (r == VC_OK && state == VC_SHIM_ABSENT),
                     "status of %s/%s, which never had a shim, answered %s and state %u; VC_E_NOTFOUND is right",
                     unknown[i].ctr, unknown[i].exec, vct_code(r), state);
        }
        if (!round)
            vct_go(pod, VCT_ST_UP);
    }
    VCT_MUST(t, vcs_proc_alive(&world(pod)->proc), "the shim's process %d ended when another one was to be stopped",
             world(pod)->proc.pid);
    done(pod);
}

static void x7(struct vct *t)
{
    struct vct_pod *pod = fresh(t);
    vct_go(pod, VCT_ST_UP);
    struct vct_shim_world *w = world(pod);
    VCT_MUST(t, vct_kind_shim.kill_peer(pod) == 0, "the shim's process was gone at once");
    struct pollfd pf = { .fd = w->out, .events = POLLIN };
    char drop[64];
    ssize_t n = 1;
    while (n > 0 && poll(&pf, 1, 3000) == 1)
        n = read(w->out, drop, sizeof(drop));
    VCT_MUST(
        t, n == 0,
        "the shim's process has ended, but its output does not: somebody still holds the stream that start was given "
        "(stdio is borrowed: the plugin may keep no copy)");
    struct sigaction ignore = { .sa_handler = SIG_IGN }, old;
    sigaction(SIGPIPE, &ignore, &old);
    ssize_t wrote = write(w->in, "x", 1);
    int sys = errno;
    sigaction(SIGPIPE, &old, NULL);
    VCT_MUST(t, wrote < 0 && sys == EPIPE,
             "the shim's process has ended, but its input can still be written to: somebody holds a copy of "
             "the stream that start was given");
    done(pod);
}

/* ---- X8: others who see and write to the streams ---- */

/* One who attaches: [0] to write to, [1] to read from; -1 = not wanted. */
struct visitor {
    int in, out;
};

static int attach(struct vct_pod *pod, struct visitor *v, int with_stdin)
{
    const struct vc_shim_ops *ops = vct_kind_ops(pod->t);
    struct vct_shim_world *w = world(pod);
    int in[2] = { -1, -1 }, out[2];
    VCT_MUST(pod->t, pipe2(out, O_CLOEXEC) == 0 && (!with_stdin || pipe2(in, O_CLOEXEC) == 0), "no pipes");
    fcntl(out[1], F_SETFL, O_NONBLOCK);
    const int32_t fds[3] = { in[0], out[1], -1 };
    vct_peer_sync(pod);
    int r = VCT(pod->t, ops->attach, pod->inst, vct_call(pod->t, 5000), w->ctr, "", fds);
    close(out[1]);
    if (with_stdin)
        close(in[0]);
    *v = (struct visitor){ in[1], out[0] };
    if (r != VC_OK) {
        close(v->out);
        if (v->in >= 0)
            close(v->in);
    }
    return r;
}

/* So much comes within 5 s, or the end; how much it was. */
static size_t drain(int fd, size_t want, int *ended)
{
    static char drop[65536];
    struct pollfd pf = { .fd = fd, .events = POLLIN };
    size_t n = 0;
    *ended = 0;
    while (n < want && poll(&pf, 1, 5000) == 1) {
        ssize_t got = read(fd, drop, want - n < sizeof(drop) ? want - n : sizeof(drop));
        if (got <= 0) {
            *ended = 1;
            break;
        }
        n += (size_t)got;
    }
    return n;
}

static void must_see(struct vct_pod *pod, int fd, size_t want, const char *who, const char *what)
{
    int ended;
    size_t n = drain(fd, want, &ended);
    VCT_MUST(pod->t, n == want, "%s got %zu of %zu bytes that %s%s", who, n, want, what,
             ended ? ", and then its end" : "");
}

/* 256 KiB through the shim's own streams, while one who is attached reads nothing. */
static void leave_behind(struct vct_pod *pod, struct visitor *lazy)
{
    enum { PIECE = 2048, PIECES = 128 };
    char piece[PIECE];
    int ended;
    memset(piece, 'z', sizeof(piece));
    for (int i = 0; i < PIECES; i++) {
        VCT_MUST(pod->t, vcs_write_full(world(pod)->in, piece, PIECE) == 0, "the shim's own input is closed");
        size_t n = drain(world(pod)->out, PIECE, &ended);
        VCT_MUST(pod->t, n == PIECE,
                 "while one who attached reads nothing, only %zu of %d bytes came to the shim's own output: it has to "
                 "let go of who does not keep up",
                 (size_t)i * PIECE + n, PIECES * PIECE);
    }
    drain(lazy->out, (size_t)PIECE * PIECES * 2, &ended);
    VCT_MUST(pod->t, ended,
             "one who attached and did not keep up lost output in the middle, and was not let go: it has to see its end");
    close(lazy->out);
}

static void visitors(struct vct_pod *pod)
{
    struct vct *t = pod->t;
    struct visitor a, b;
    must_echo(pod, world(pod)->in, world(pod)->out, "before\n", "pipes");
    int r = attach(pod, &a, 1);
    VCT_MUST(t, r == VC_OK, "attach answered %s: %s", vct_code(r), t->err.text);
    must_echo(pod, world(pod)->in, world(pod)->out, "its own\n", "own pipes, with one attached,");
    must_see(pod, a.out, 8, "one who attached", "the process put out");
    VCT_MUST(t, vcs_write_full(a.in, "typed\n", 6) == 0, "one who attached cannot write: %s", strerror(errno));
    must_see(pod, a.out, 6, "one who attached", "came back from a process inside that is cat");
    must_see(pod, world(pod)->out, 6, "the shim's own output", "were typed by one who attached");
    r = attach(pod, &b, 0);
    VCT_MUST(t, r == VC_OK, "attach answered %s for a second one: %s", vct_code(r), t->err.text);
    close(a.in);
    close(a.out);
    leave_behind(pod, &b);
    must_echo(pod, world(pod)->in, world(pod)->out, "after\n", "pipes, after those who attached have gone,");
}

/* What is left open when the shim's own stdin has ended. */
static void closed_stdin(struct vct *t, uint32_t flags, int want)
{
    struct vct_pod *pod = fresh(t);
    struct vc_proc proc = { 0 };
    struct visitor v;
    int out[2];
    VCT_MUST(t, pipe2(out, O_CLOEXEC) == 0, "no pipe");
    const int stdio[3] = { -1, out[1], out[1] };
    int r = vct_shim_start(pod, vct_call(t, 5000), stdio, flags, &proc);
    close(out[1]);
    VCT_MUST(t, r == VC_OK, "start without a stdin answered %s: %s", vct_code(r), t->err.text);
    world(pod)->proc = proc;
    world(pod)->started = 1;
    pod->state = VCT_ST_UP;
    need_inside(pod);
    for (int i = 0; i < 500 && (r = attach(pod, &v, 1)) == VC_OK && want != VC_OK; i++) { /* it sees the end soon */
        close(v.in);
        close(v.out);
        usleep(10000);
    }
    VCT_MUST(t, r == want, "attach with a stdin answered %s to a process whose stdin %s; %s is right", vct_code(r),
             want == VC_OK ? "is kept open (VC_SHIM_KEEP_STDIN)" : "has ended", vct_code(want));
    if (r == VC_OK) {
        VCT_MUST(t, vcs_write_full(v.in, "kept\n", 5) == 0, "one who attached cannot write: %s", strerror(errno));
        must_see(pod, v.out, 5, "one who attached to a kept stdin", "came back from a process inside that is cat");
        close(v.in);
        close(v.out);
    }
    close(out[0]);
    done(pod);
}

static void x8(struct vct *t)
{
    struct vct_pod *pod = up(t);
    struct visitor v, late;
    int ended;
    if (!(pod->caps & VC_SHIM_CAP_ATTACH))
        vct_skip(t, "this shim claims no VC_SHIM_CAP_ATTACH");
    if (vct_fact_wait(pod, fact_name(pod, "attaches"), NULL, 100) < 0)
        vct_skip(t,
                 "what stands in for the shim's program serves nobody who attaches: a scenario is needed that keeps "
                 "the fact %s (--scenario)",
                 fact_name(pod, "attaches"));
    struct sigaction ignore = { .sa_handler = SIG_IGN };
    sigaction(SIGPIPE, &ignore, NULL);
    visitors(pod);
    int r = attach(pod, &v, 0);
    VCT_MUST(t, r == VC_OK, "attach answered %s: %s", vct_code(r), t->err.text);
    vct_fact_set(pod, fact_name(pod, "exit"), "0");
    must_end(pod, &world(pod)->proc, "the process inside has ended");
    drain(v.out, 1 << 20, &ended);
    VCT_MUST(t, ended,
             "the process has ended, and one who was attached does not see its end: somebody keeps a copy of what "
             "attach was given");
    close(v.out);
    r = attach(pod, &late, 0);
    VCT_MUST(t, r == VC_E_NOTFOUND, "attach to a process that has ended answered %s; VC_E_NOTFOUND is right",
             vct_code(r));
    done(pod);
    closed_stdin(t, 0, VC_E_STATE);
    closed_stdin(t, VC_SHIM_KEEP_STDIN, VC_OK);
}

const struct vct_check vct_checks_shim[] = {
    { "X1", "shim.h, plugin.h Processes", VCT_SH, VCT_FULL, 0, "it survives the process that started it",
      "A runtime's `start` command ends at once; the shim stands for the container for days.",
      "Start it with the host's spawn (own session), give it its own descriptors, and set no PDEATHSIG; save pid and "
      "start time.",
      x1 },
    { "X2", "shim.h", VCT_SH, VCT_QUICK, 0, "it ends as the process inside does, with its exit status",
      "The shim's exit code and the host's record are all that callers learn of how the container ended.",
      "Write the status to a temporary file beside exit_file, rename it, then exit with it; status reads the record.",
      x2 },
    { "X3", "shim.h", VCT_SH, VCT_FULL, 0, "signals to its process go to the process inside",
      "`kill PID`, Ctrl-C and service managers know the shim's pid only.",
      "Catch every signal that can be caught, forward it through the agent, and go on until the process inside ends.",
      x3 },
    { "X4", "shim.h VC_SHIM_TERMINAL", VCT_SH, VCT_FULL, 0, "it carries pipes and terminals, window size included",
      "This is what people see of a container; a missing window size breaks every editor in it.",
      "Copy both ways without changing bytes; with a terminal make it raw, send its size at the start and at SIGWINCH.",
      x4 },
    { "X5", "shim.h status, stop", VCT_SH, VCT_FULL, 0,
      "a shim that was killed is seen, and its end is not taken for success",
      "A container whose shim was killed must not look as if it had ended with 0.",
      "Ask proc_fd in status and check; without a record of the exit status it is -1.", x5 },
    { "X6", "shim.h stop", VCT_SH, VCT_FULL, 0, "ids that never had a shim answer VC_E_NOTFOUND",
      "Hosts tell a finished container from a misspelt one by it.",
      "Look the pair of container and exec id up; VC_E_NOTFOUND when it was never started here.", x6 },
    { "X7", "shim.h stdio, plugin.h Ownership", VCT_SH, VCT_FULL, 0, "no copy of the caller's streams is kept",
      "The reader of the container's output waits for its end; one forgotten copy in the host hangs the pipeline for "
      "ever.",
      "Hand stdio to spawn and nowhere else; close what was duplicated before start returns.", x7 },
    { "X8", "shim.h attach", VCT_SH, VCT_FULL, 0, "who attaches sees and writes to the streams, and holds up nobody",
      "Somebody looks at a container that has run for days; his terminal, or his slowness, must not touch it.",
      "Copy to write ends that do not block; close one that took less than all. Answer only when it is in place.", x8 },
    { .id = NULL },
};
