/* SPDX-License-Identifier: Apache-2.0 */
/* checks-threads.c: group T: what a plugin does to the process and the threads that it is a guest of. */
#include "conformance/checks-threads.h"

#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>

#include "conformance/steps.h"
#include "conformance/trouble.h"
#include "conformance/watch.h"

#define GRACE_MS 2000 /* for threads and processes that have ended to be gone */

/* ---- T1, T2, T8: what was seen around each call ---- */

/* What no life of an instance has in it. */
static void probe(struct vct *t)
{
    char text[256];
    if (!vct_has_probe(t))
        return;
    struct vct_pod *pod = vct_pod_new(t, NULL, VCT_NO_WORLD);
    vct_pod_probe(pod, text, sizeof(text));
    vct_pod_free(pod);
}

static void check_t1(struct vct *t)
{
    vct_watch_parts(VCT_SNAP_PROCESS);
    probe(t);
    vct_trouble(t);
    vct_watch_parts(0);
    vct_must_not_have_seen(t, "T1");
}

static void check_t2(struct vct *t)
{
    vct_watch_parts(VCT_SNAP_FDS);
    probe(t);
    vct_trouble(t);
    vct_watch_parts(0);
    vct_must_not_have_seen(t, "T2");
}

static void check_t8(struct vct *t)
{
    vct_trouble(t);
    vct_must_not_have_seen(t, "T8");
}

/* ---- T3, T4: what is held after close ---- */

/* Is it as before?  What ends on its own gets a moment. */
static const char *differs(const struct vct_snap *before, unsigned parts)
{
    const char *diff = "";
    for (int i = 0; i < GRACE_MS / 10; i++) {
        struct vct_snap *now = vct_snap_of(parts);
        diff = vct_snap_diff(before, now, parts);
        vct_snap_free(now);
        if (!diff[0])
            break;
        poll(NULL, 0, 10);
    }
    return diff;
}

static void back_to_baseline(struct vct *t, unsigned part, const char *what)
{
    static void (*const lives[])(struct vct * t) = { vct_story, vct_trouble_only };
    static const char *const names[] = { "a whole life", "lives in which calls fail" };
    for (size_t i = 0; i < sizeof(lives) / sizeof(lives[0]); i++) {
        struct vct_snap *before = vct_snap();
        lives[i](t);
        const char *diff = differs(before, part);
        vct_snap_free(before);
        if (diff[0])
            vct_leak(t, "after %s and close: %s; close ends every %s of an instance", names[i], diff, what);
    }
}

/* How many files are mapped.  (What malloc maps for itself has none.) */
static int mapped_files(void)
{
    char line[4300];
    unsigned long inode;
    int n = 0;
    vcs_autofclose FILE *f = fopen("/proc/self/maps", "re");
    while (f && fgets(line, sizeof(line), f))
        n += sscanf(line, "%*s %*s %*s %*s %lu", &inode) == 1 && inode != 0;
    return n;
}

/* The usual way: the process that starts a pod saves and closes while it is up, and another one goes on and ends it.  0:
 * there is no such state. */
static int closed_while(struct vct *t, uint32_t state)
{
    struct vct_pod *pod = vct_pod_in(t, state);
    size_t len;
    if (!pod)
        return 0;
    vcs_autofree char *bytes = vct_bytes_of(pod, &len);
    vct_pod_close(pod);
    vct_must_restore(pod, bytes, len, "of an instance that was closed");
    int r = vct_pod_cleanup(pod); /* what it leaves may be what a descriptor holds, which is the finding */
    VCT_MUST(t, r == VC_OK, "cleanup of a restored instance answers %s (%s)", vct_code(r), t->err.text);
    vct_pod_close(pod);
    vct_pod_free(pod);
    return 1;
}

static void closed_in_each_state(struct vct *t, unsigned part, const char *what)
{
    for (const uint32_t *s = vct_states; *s; s++) {
        struct vct_snap *before = vct_snap();
        int there = closed_while(t, *s), files = mapped_files();
        const char *diff = there ? differs(before, part) : "";
        vct_snap_free(before);
        if (diff[0])
            vct_leak(t,
                     "after save and close in state \"%s\", and restore, cleanup and close: %s; close ends every %s that "
                     "the instance has, whatever state it is in",
                     vct_state_name(*s), diff, what);
        if (part != VCT_SNAP_FDS || !there)
            continue;
        closed_while(t, *s);
        int more = mapped_files() - files;
        if (more > 0)
            vct_leak(t,
                     "each life that is closed in state \"%s\" leaves %d mapping%s of a file (/proc/self/maps); close "
                     "unmaps what the instance has mapped",
                     vct_state_name(*s), more, more == 1 ? "" : "s");
    }
}

static void check_t3(struct vct *t)
{
    back_to_baseline(t, VCT_SNAP_FDS, "descriptor");
    closed_in_each_state(t, VCT_SNAP_FDS, "descriptor");
}

static void check_t4(struct vct *t)
{
    vct_watch_parts(VCT_SNAP_THREADS);
    back_to_baseline(t, VCT_SNAP_THREADS, "thread");
    closed_in_each_state(t, VCT_SNAP_THREADS, "thread");
    vct_watch_parts(0);
    vct_must_not_have_seen(t, "T4");
}

/* ---- T5: processes ---- */

/* One life, with or without its peer killed on the way; then no process may be there that was not there before. */
static void processes_of_a_life(struct vct *t, int kill_it)
{
    struct vct_pod *pod = vct_pod_new(t, NULL, 0);
    struct vct_snap *before = vct_snap();
    vct_pod_make(pod);
    if (!vct_can_reach(pod, VCT_ST_UP)) {
        vct_snap_free(before);
        vct_pod_free(pod);
        return;
    }
    vct_go(pod, VCT_ST_UP);
    if (kill_it && t->kind->kill_peer)
        t->kind->kill_peer(pod);
    vct_must_clean(pod, kill_it ? "after the peer was killed" : "of a pod that was up");
    vct_pod_close(pod);
    const char *diff = differs(before, VCT_SNAP_CHILDREN);
    vct_snap_free(before);
    if (diff[0] && !strstr(diff, " is gone"))
        vct_leak(
            t,
            "after cleanup%s: %s; cleanup ends the processes of an instance, and waits for those that host service "
            "spawn "
            "started (proc_wait)",
            kill_it ? " of an instance whose peer was killed" : "", diff);
    vct_pod_free(pod);
}

static void check_t5(struct vct *t)
{
    processes_of_a_life(t, 0);
    processes_of_a_life(t, 1);
    vct_trouble(t);
    vct_must_not_have_seen(t, "T5");
}

/* ---- T9: how much stack ---- */

static void *story_thread(void *arg)
{
    struct vct *t = arg;
    vct_watch_stack(1);
    vct_story(t);
    vct_watch_stack(0);
    return NULL;
}

static void check_t9(struct vct *t)
{
    pthread_attr_t attr;
    pthread_t thread;
    char call[64];
    pthread_attr_init(&attr);
    pthread_attr_setstacksize(&attr, 8 * 1024 * 1024);
    if (pthread_create(&thread, &attr, story_thread, t) != 0)
        vct_skip(t, "no thread can be made");
    pthread_join(thread, NULL);
    pthread_attr_destroy(&attr);
    size_t most = vct_stack_most(call, sizeof(call));
    vct_note(t, "the call that needs most stack is %s: %zu KiB, host services included", call, (most + 1023) / 1024);
    if (most > 64 * 1024)
        vct_warn(t,
                 "%s needs %zu KiB of stack; threads of other languages and of C libraries other than glibc have 64 to "
                 "128 KiB",
                 call, (most + 1023) / 1024);
}

/* ---- T12, T13, T14: other surroundings ---- */

/* All members of a life, with a look at what each did. */
static void life(struct vct_pod *pod, const char *when)
{
    struct vct *t = pod->t;
    for (const struct vct_op *op = t->kind->ops; op->name; op++) {
        char why[512] = "";
        if (!(op->from & pod->state) || !vct_op_there(pod, op))
            continue;
        int r = vct_op_call(pod, op, vct_call(t, 10000));
        VCT_MUST(t, r == VC_OK, "%s, %s answers %s (%s); it has to work as ever", when, op->name, vct_code(r),
                 t->err.text);
        VCT_MUST(t, !op->effect || op->effect(pod, why, sizeof(why)) != 0,
                 "%s, %s answers VC_OK without its effect: %s", when, op->name, why);
    }
}

static void check_t13(struct vct *t)
{
    struct vct_pod *pod = vct_pod_new(t, NULL, 0);
    for (int fd = 0; fd < 3; fd++)
        close(fd);
    vct_pod_make(pod);
    life(pod, "with descriptors 0, 1 and 2 closed, so that new ones get these numbers");
    vct_must_clean(pod, "with descriptors 0, 1 and 2 closed");
    vct_pod_close(pod);
    vct_pod_free(pod);
    for (int fd = 0; fd < 3; fd++) {
        char link[32], target[256];
        snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
        ssize_t n = readlink(link, target, sizeof(target) - 1);
        if (n > 0)
            vct_leak(t, "descriptor %d, which was closed before, is open after close (%.*s)", fd, (int)n, target);
    }
}

static void check_t14(struct vct *t)
{
    signal(SIGPIPE, SIG_DFL);
    signal(SIGCHLD, SIG_IGN);
    vct_trouble(t); /* a SIGPIPE ends this process, and the parent names the call */
    signal(SIGCHLD, SIG_DFL);
}

const struct vct_check vct_checks_threads[] = {
    { "T1", "plugin.h: process-wide state", VCT_ANY_KIND, VCT_FULL, 0,
      "calls leave what belongs to the whole process alone",
      "The program has other threads: between a chdir or umask and its undoing they open files in the wrong place.",
      "Use absolute paths or *at functions, fchmod in place of umask, MSG_NOSIGNAL in place of a SIGPIPE handler, "
      "netns_run in place of "
      "setns.",
      check_t1 },
    { "T2", "plugin.h: ownership (4)", VCT_ANY_KIND, VCT_FULL, 0, "every new descriptor has close-on-exec",
      "Any thread of the program may start a process at any moment, which inherits what has no close-on-exec: "
      "sockets stay open, "
      "secrets leak.",
      "Give O_CLOEXEC, SOCK_CLOEXEC, EFD_CLOEXEC, \"e\" in fopen, accept4, pipe2, dup3, F_DUPFD_CLOEXEC at the call "
      "that makes it.",
      check_t2 },
    { "T3", "plugin.h close", VCT_ANY_KIND, VCT_FULL, 0, "close gives all descriptors and mappings back, in every state",
      "A daemon opens and closes instances for months, most of them while the pod is up; one descriptor each time ends in EMFILE.",
      "Close in `close` what create, restore and the calls opened, also on the paths where they fail.", check_t3 },
    { "T4", "plugin.h close", VCT_ANY_KIND, VCT_FULL, 0, "threads end with close and take no signals",
      "A thread that goes on uses memory that was freed; one that does not block signals runs the program's handlers.",
      "Block all signals before pthread_create (the thread inherits that); end and join the thread in `close`.",
      check_t4 },
    { "T5", "plugin.h cleanup", VCT_ANY_KIND, VCT_FULL, 0,
      "no process is left, and none was started behind the host's back",
      "A process that is not on record is never found again when the host is killed; a zombie takes a number for ever.",
      "Start programs by host service spawn, end them in stop and cleanup, and wait with proc_wait.", check_t5 },
    { "T6", "plugin.h: threads", VCT_ANY_KIND, VCT_FULL, 0, "instances work in parallel, and [any] members meanwhile",
      "A daemon starts many pods at once, each in a thread of its own.",
      "Keep everything in the instance; what must be shared gets a mutex of its own, held for moments only.",
      vct_check_t6 },
    { "T7", "plugin.h: threads", VCT_ANY_KIND, VCT_FULL, 0, "every call may come from another thread",
      "Hosts have pools of threads; the one that made the instance may be gone when it is used.",
      "No thread-local variables, no locks held between calls, nothing that is tied to the life of a thread.",
      vct_check_t7 },
    { "T8", "host.h: tags", VCT_ANY_KIND, VCT_FULL, 0, "[call] services are used in calls only",
      "The host takes locks of the pod for a call; a service that comes from elsewhere works on what another process "
      "may hold.",
      "Hand what a thread of the plugin finds to the next call and use the services there; log, err_set, proc_fd, "
      "proc_wait, proc_done "
      "and cancelled may be used anywhere.",
      check_t8 },
    { "T9", "plugin.h: threads", VCT_ANY_KIND, VCT_FULL, 0, "64 KiB of stack are enough",
      "Threads of other run times and libraries have small stacks; an overflow looks like a crash without a cause.",
      "Take large buffers from the heap; look for arrays of 16 KiB and more, and for recursion.", check_t9 },
    { "T10", "plugin.h: processes", VCT_ANY_KIND, VCT_FULL, 0, "a forked child of the host that exits does no harm",
      "Programs fork for their own reasons; the child ends with the plugin's destructors in it, and its end belongs "
      "to the program.",
      "No destructors and atexit handlers that touch what is outside; never wait() or waitpid(-1): use proc_wait.",
      vct_check_t10 },
    { "T11", "plugin.h: [any]", VCT_ANY_KIND, VCT_FULL, 0, "[any] members answer while another call waits",
      "A status that waits for a start that waits for a guest shows nothing just when people want to know.",
      "Hold no lock while waiting; caps, ext and cancel read what never changes, or atomics.", vct_check_t11 },
    { "T12", "types.h VC_E_PERM", VCT_ANY_KIND, VCT_FULL, 0, "without privileges it works or answers VC_E_PERM",
      "People run tools as themselves first; \"not permitted\" tells them what to do, a crash or an odd code does not.",
      "Map EPERM and EACCES to VC_E_PERM and name what was not allowed.", vct_check_t12 },
    { "T13", "host.h: 0 is a descriptor", VCT_ANY_KIND, VCT_FULL, 0, "it works with descriptors 0, 1 and 2 closed",
      "Daemons close them; the next socket is then descriptor 0, which code that takes 0 for \"none\" loses.",
      "Use -1 for \"none\" everywhere, also in memory that was zeroed; test with fd >= 0.", check_t13 },
    { "T14", "plugin.h: signal dispositions", VCT_ANY_KIND, VCT_FULL, 0,
      "it works with SIGPIPE at its default and SIGCHLD ignored",
      "A plugin does not choose: a write to a peer that is gone ends the whole program, and waitpid finds nothing.",
      "send with MSG_NOSIGNAL in place of write on sockets; treat ECHILD as \"it has ended\", or wait by proc_wait.",
      check_t14 },
    { .id = NULL },
};
