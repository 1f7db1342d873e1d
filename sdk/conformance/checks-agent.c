/* SPDX-License-Identifier: Apache-2.0 */
/* checks-agent.c: A1 to A10: connections, containers, exit codes, streams, and guests that are hostile. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>

#include "conformance/json.h"
#include "conformance/kind-agent.h"
#include "conformance/peer.h"
#include "conformance/watch.h"
#include "lib/io.h"
#include "lib/utf8.h"

#define MS       INT64_C(1000000)
#define STALL_MS 5000
#define GRACE_MS 1000 /* that a call may come back after its deadline on a busy machine */

static struct vct_agent_world *world(struct vct_pod *pod)
{
    return pod->world;
}

/* A pod in that state whose agent talks to a guest. */
static struct vct_pod *with_guest(struct vct *t, uint32_t state)
{
    struct vct_pod *pod = vct_pod_new(t, NULL, 0);
    vct_pod_make(pod);
    if (vct_ag_no_guest(pod))
        vct_skip(t, "this agent talks to no guest (VC_AG_CAP_NO_GUEST)");
    vct_go(pod, state);
    if (vct_ag_ready(pod) != VC_OK)
        vct_fail(t, "connect failed: %s", t->err.text);
    return pod;
}

static void done(struct vct_pod *pod)
{
    vct_pod_cleanup(pod);
    vct_pod_free(pod);
}

#define MUST_OK(pod, r, ...) must_code(pod, r, VC_OK, __VA_ARGS__)

static void must_code(struct vct_pod *pod, int r, int want, const char *fmt, ...) VCS_PRINTF(4, 5);

static void must_code(struct vct_pod *pod, int r, int want, const char *fmt, ...)
{
    char what[256];
    va_list ap;
    if (r == want)
        return;
    va_start(ap, fmt);
    vsnprintf(what, sizeof(what), fmt, ap);
    va_end(ap);
    vct_fail(pod->t, "%s: answered %s%s%s; %s is right", what, vct_code(r), r ? ": " : "", r ? pod->t->err.text : "",
             vct_code(want));
}

static long elapsed_ms(int64_t since)
{
    return (long)((vcs_now_ns() - since) / MS);
}

/* ---- A1, A2: the connection ---- */

static int connect_with(struct vct *t, const char *variant, int ms, long *ret_ms, struct vct_pod **ret)
{
    struct vct_pod *pod = vct_pod_new(t, NULL, 0);
    vct_pod_make(pod);
    if (vct_ag_no_guest(pod))
        vct_skip(t, "this agent talks to no guest (VC_AG_CAP_NO_GUEST)");
    vct_peer_switch(pod, variant);
    int64_t since = vcs_now_ns();
    int r = vct_ag_connect(pod, vct_call(t, ms));
    *ret_ms = elapsed_ms(since);
    *ret = pod;
    return r;
}

static void a1(struct vct *t)
{
    static const char *const never[] = { "absent", "refuse", "silent", "hung" };
    static const char *const in_time[] = { "late-listen", "late", "slow", "one-byte" };
    struct vct_pod *pod;
    long ms;
    for (size_t i = 0; i < sizeof(never) / sizeof(never[0]); i++) {
        int r = connect_with(t, never[i], 300, &ms, &pod);
        VCT_MUST(t, r == VC_E_TIMEOUT || r == VC_E_PEER || r == VC_E_NOTFOUND || r == VC_E_IO,
                 "connect to a guest that is \"%s\" answered %s; VC_E_TIMEOUT is right", never[i], vct_code(r));
        VCT_MUST(t, ms <= 300 + GRACE_MS, "connect to a guest that is \"%s\" took %ld ms with a deadline of 300 ms",
                 never[i], ms);
        done(pod);
    }
    for (size_t i = 0; i < sizeof(in_time) / sizeof(in_time[0]); i++) {
        int r = connect_with(t, in_time[i], 10000, &ms, &pod);
        MUST_OK(pod, r, "connect to a guest that is \"%s\", with a deadline of 10 s", in_time[i]);
        r = vct_ag_ping(pod, vct_call(t, 10000));
        MUST_OK(pod, r, "ping of a guest that is \"%s\"", in_time[i]);
        done(pod);
    }
}

static void a2(struct vct *t)
{
    struct vct_pod *pod = with_guest(t, VCT_ST_MADE), *later;
    vcs_autofree char *state = NULL;
    char path[PATH_MAX], why[512];
    size_t len = 0;
    int r = vct_ag_disconnect(pod, vct_call(t, 2000));
    MUST_OK(pod, r, "disconnect");
    r = vct_ag_disconnect(pod, vct_call(t, 2000));
    MUST_OK(pod, r, "disconnect the second time, which is idempotent");
    r = vct_ag_connect(pod, vct_call(t, 5000));
    MUST_OK(pod, r, "connect after disconnect");
    /* The next process of the host. */
    VCT_MUST(t, vct_pod_save(pod, &state, &len) == VC_OK, "save failed: %s", t->err.text);
    vct_pod_close(pod);
    later = vct_pod_new(t, pod->id, 0);
    r = vct_pod_restore(later, t->plugin->state_version, state, len);
    MUST_OK(later, r, "restore");
    uint32_t health = 0;
    r = vct_pod_check(later, &health);
    MUST_OK(later, r, "check after restore");
    r = vct_ag_ping(later, vct_call(t, 5000));
    MUST_OK(later, r, "ping after restore: the address was connected to before save, and connect does not come again");
    VCT_MUST(t, health == VC_HEALTH_OK,
             "check of a restored agent that has not asked its guest yet gave health %u; VC_HEALTH_OK (%u) is right while "
             "the guest's address is there",
             health, (unsigned)VC_HEALTH_OK);
    /* The guest's agent goes and comes. */
    vct_peer_kill(pod, "agent");
    int64_t since = vcs_now_ns();
    r = vct_ag_ping(later, vct_call(t, 1000));
    VCT_MUST(t, r != VC_OK, "ping answered VC_OK although nobody is there");
    VCT_MUST(t, elapsed_ms(since) <= 1000 + GRACE_MS, "ping took %ld ms with a deadline of 1000 ms", elapsed_ms(since));
    if (vct_peer_listen(pod, "agent", path, sizeof(path), why, sizeof(why)) < 0)
        vct_skip(t, "%s", why);
    world(later)->connected = 0;
    r = vct_ag_connect(later, vct_call(t, 5000));
    MUST_OK(later, r, "connect after the guest's agent was started again");
    r = vct_ag_ping(later, vct_call(t, 5000));
    MUST_OK(later, r, "ping after that");
    vct_pod_cleanup(later);
    vct_pod_close(later);
    vct_pod_free(pod);
}

/* ---- A3: containers ---- */

static void a3(struct vct *t)
{
    struct vct_pod *pod = vct_pod_new(t, NULL, 0);
    char why[256] = "";
    vct_pod_make(pod);
    vct_go(pod, VCT_ST_UP);
    int r = vct_ag_create(pod, vct_call(t, 5000), "one", VCT_AG_SLEEP);
    MUST_OK(pod, r, "ctr_create of a container");
    r = vct_ag_create(pod, vct_call(t, 5000), "two", VCT_AG_SLEEP);
    MUST_OK(pod, r, "ctr_create of another one");
    r = vct_ag_create(pod, vct_call(t, 5000), "one", VCT_AG_SLEEP);
    must_code(pod, r, VC_E_EXISTS, "ctr_create of a container that exists");
    r = vct_ag_start(pod, vct_call(t, 5000), "nobody");
    must_code(pod, r, VC_E_NOTFOUND, "ctr_start of a container that does not exist");
    r = vct_ag_start(pod, vct_call(t, 5000), "two");
    MUST_OK(pod, r, "ctr_start of the second container before the first");
    r = vct_ag_start(pod, vct_call(t, 5000), "two");
    VCT_MUST(t, r == VC_E_STATE || r == VC_E_EXISTS,
             "ctr_start of a container that runs answered %s; VC_E_STATE is right", vct_code(r));
    r = vct_ag_remove(pod, vct_call(t, 5000), "nobody");
    MUST_OK(pod, r, "ctr_remove of a container that does not exist, which is idempotent");
    r = vct_ag_remove(pod, vct_call(t, 5000), "two");
    MUST_OK(pod, r, "ctr_remove of a container that runs");
    r = vct_ag_remove(pod, vct_call(t, 5000), "two");
    MUST_OK(pod, r, "ctr_remove the second time");
    r = vct_ag_start(pod, vct_call(t, 5000), "two");
    must_code(pod, r, VC_E_NOTFOUND, "ctr_start of a container that was removed");
    r = vct_ag_start(pod, vct_call(t, 5000), "one");
    MUST_OK(pod, r, "ctr_start of the first container after the second was removed");
    r = vct_ag_create(pod, vct_call(t, 5000), "two", VCT_AG_SLEEP);
    MUST_OK(pod, r, "ctr_create with the id of a container that was removed");
    char now[64];
    if (!vct_ag_no_guest(pod) && vct_fact(pod, "container:one", now, sizeof(now)) == 0)
        VCT_MUST(t, !strcmp(now, "running"), "the first container is %s in the guest, not running", now);
    const struct vct_op *pause = vct_op_find(t, "ctr_pause");
    if (vct_op_there(pod, pause)) {
        r = vct_op(pod, "ctr_pause", 5000);
        MUST_OK(pod, r, "ctr_pause");
        VCT_MUST(t, pause->effect(pod, why, sizeof(why)) != 0, "ctr_pause answered VC_OK, but %s", why);
        r = vct_op(pod, "ctr_resume", 5000);
        MUST_OK(pod, r, "ctr_resume");
    }
    done(pod);
}

/* ---- A4, A5: how processes end ---- */

static void ends_with(struct vct_pod *pod, const char *args, int want)
{
    int32_t status = -1;
    const char *id = vct_ag_id(pod, "e");
    int r = vct_ag_exec(pod, vct_call(pod->t, 5000), world(pod)->main, id, args, 0);
    MUST_OK(pod, r, "exec of %s", args);
    r = vct_ag_wait(pod, vct_call(pod->t, 10000), world(pod)->main, id, &status);
    MUST_OK(pod, r, "wait for %s", args);
    VCT_MUST(pod->t, status == want, "wait gave status %d for %s; %d is right", status, args, want);
}

static void a4(struct vct *t)
{
    struct vct_pod *pod = with_guest(t, VCT_ST_UP);
    int32_t status = -1;
    ends_with(pod, VCT_AG_EXIT(0), 0);
    ends_with(pod, VCT_AG_EXIT(1), 1);
    ends_with(pod, VCT_AG_EXIT(127), 127);
    ends_with(pod, VCT_AG_EXIT(255), 255);
    ends_with(pod, VCT_AG_KILL(9), 128 + SIGKILL);
    int r = vct_ag_exec(pod, vct_call(t, 5000), world(pod)->main, vct_ag_id(pod, "e"), VCT_AG_NOCMD, 0);
    must_code(pod, r, VC_E_NOCMD, "exec of a program that does not exist");
    r = vct_ag_exec(pod, vct_call(t, 5000), world(pod)->main, vct_ag_id(pod, "e"), VCT_AG_NOEXEC, 0);
    must_code(pod, r, VC_E_NOEXEC, "exec of a file that is no program");
    /* The same of a container's first process. */
    r = vct_ag_create(pod, vct_call(t, 5000), "three", VCT_AG_EXIT(3));
    MUST_OK(pod, r, "ctr_create");
    r = vct_ag_start(pod, vct_call(t, 5000), "three");
    MUST_OK(pod, r, "ctr_start");
    r = vct_ag_wait(pod, vct_call(t, 10000), "three", NULL, &status);
    MUST_OK(pod, r, "wait for a container's first process");
    VCT_MUST(t, status == 3, "wait gave status %d for a container whose process ends with 3", status);
    r = vct_ag_create(pod, vct_call(t, 5000), "four", VCT_AG_NOCMD);
    if (r == VC_OK)
        r = vct_ag_start(pod, vct_call(t, 5000), "four");
    must_code(pod, r, VC_E_NOCMD, "ctr_start of a container whose program does not exist");
    r = vct_ag_remove(pod, vct_call(t, 5000), "four");
    MUST_OK(pod, r, "ctr_remove of a container that could not be started");
    done(pod);
}

struct waiter {
    struct vct_pod *pod;
    const char *ctr, *exec;
    int r;
    int32_t status;
    long ms;
};

static void *wait_thread(void *arg)
{
    struct waiter *w = arg;
    int64_t since = vcs_now_ns();
    vct_thread_mine();
    w->status = -1;
    w->r = vct_ag_wait(w->pod, vct_call(w->pod->t, 4000), w->ctr, w->exec, &w->status);
    w->ms = elapsed_ms(since);
    return NULL;
}

/* wait runs while `end` ends the process. */
static void race(struct vct_pod *pod, const char *ctr, const char *exec, int end, int head_start_ms)
{
    struct vct *t = pod->t;
    struct waiter w = { .pod = pod, .ctr = ctr, .exec = exec };
    pthread_t thread;
    if (pthread_create(&thread, NULL, wait_thread, &w) != 0)
        vct_skip(t, "no thread can be made");
    poll(NULL, 0, head_start_ms); /* from "before" to "well in it": the race is the point */
    int r =
        end ? vct_ag_signal(pod, vct_call(t, 5000), ctr, exec, SIGKILL, 0) : vct_ag_remove(pod, vct_call(t, 5000), ctr);
    pthread_join(thread, NULL);
    MUST_OK(pod, r, "%s while another thread waits for the process", end ? "signal" : "ctr_remove");
    VCT_MUST(t, w.ms < 3500, "wait went on for %ld ms after the process was %s", w.ms,
             end ? "killed" : "removed with its container");
    if (w.r == VC_OK)
        VCT_MUST(t, w.status == 128 + SIGKILL, "wait gave status %d for a process that was killed; 137 is right",
                 w.status);
    else
        VCT_MUST(t, !end && (w.r == VC_E_NOTFOUND || w.r == VC_E_PEER),
                 "wait answered %s while the process was %s; %s is right", vct_code(w.r),
                 end ? "killed" : "removed with its container",
                 end ? "VC_OK with 137" : "VC_OK with 137, or VC_E_NOTFOUND");
}

static void a5(struct vct *t)
{
    static const int starts[] = { 0, 1, 20 };
    struct vct_pod *pod = with_guest(t, VCT_ST_UP);
    char ctr[3][16];
    for (size_t i = 0; i < 3; i++) {
        char id[40];
        snprintf(id, sizeof(id), "%s", vct_ag_id(pod, "e"));
        int r = vct_ag_exec(pod, vct_call(t, 5000), world(pod)->main, id, VCT_AG_SLEEP, 0);
        MUST_OK(pod, r, "exec");
        race(pod, world(pod)->main, id, 1, starts[i]);
        r = vct_ag_signal(pod, vct_call(t, 5000), world(pod)->main, id, SIGTERM, 0);
        must_code(pod, r, VC_E_NOTFOUND, "signal to a process that has ended");
        snprintf(ctr[i], sizeof(ctr[i]), "race%zu", i);
        r = vct_ag_create(pod, vct_call(t, 5000), ctr[i], VCT_AG_SLEEP);
        MUST_OK(pod, r, "ctr_create");
        r = vct_ag_start(pod, vct_call(t, 5000), ctr[i]);
        MUST_OK(pod, r, "ctr_start");
        race(pod, ctr[i], "", 0, starts[i]);
    }
    done(pod);
}

/* ---- A6: streams ---- */

struct pump {
    int fd;
    size_t total, done;
    int error;
};

static unsigned char pattern(size_t at)
{
    return (unsigned char)(at * 31 + (at >> 8) * 7 + (at >> 16));
}

static void *pump_thread(void *arg)
{
    struct pump *p = arg;
    unsigned char buf[65536];
    sigset_t set;
    vct_thread_mine();
    sigemptyset(&set);
    sigaddset(&set, SIGPIPE);
    pthread_sigmask(SIG_BLOCK, &set, NULL);
    while (p->done < p->total && !p->error) {
        size_t n = p->total - p->done < sizeof(buf) ? p->total - p->done : sizeof(buf);
        for (size_t i = 0; i < n; i++)
            buf[i] = pattern(p->done + i);
        int r = vcs_write_full(p->fd, buf, n);
        if (r < 0)
            p->error = -r;
        else
            p->done += n;
    }
    close(p->fd); /* the half close */
    return NULL;
}

static void carry(struct vct_pod *pod, size_t total)
{
    struct vct *t = pod->t;
    int32_t fds[3], status = -1;
    unsigned char buf[65536];
    char id[40];
    snprintf(id, sizeof(id), "%s", vct_ag_id(pod, "e"));
    int r = vct_ag_exec(pod, vct_call(t, 5000), world(pod)->main, id, VCT_AG_CAT, 0);
    MUST_OK(pod, r, "exec of /bin/cat");
    r = vct_ag_stdio(pod, vct_call(t, 5000), world(pod)->main, id, fds);
    MUST_OK(pod, r, "stdio");
    VCT_MUST(t, fds[0] >= 0 && fds[1] >= 0,
             "stdio gave %d, %d and %d: a process without a terminal has a stream to write (0) and two "
             "to read (1, 2)",
             fds[0], fds[1], fds[2]);
    for (int i = 0; i < 3; i++)
        VCT_MUST(t, fds[i] < 0 || (fcntl(fds[i], F_GETFD) & FD_CLOEXEC), "stream %d of stdio has no close-on-exec", i);
    struct pump p = { .fd = fds[0], .total = total };
    pthread_t thread;
    if (pthread_create(&thread, NULL, pump_thread, &p) != 0)
        vct_skip(t, "no thread can be made");
    size_t got = 0, wrong = SIZE_MAX;
    ssize_t n = 1;
    while (n > 0) {
        struct pollfd pf = { .fd = fds[1], .events = POLLIN };
        if (poll(&pf, 1, STALL_MS) <= 0)
            break;
        n = read(fds[1], buf, sizeof(buf));
        if (n < 0 && (errno == EAGAIN || errno == EINTR))
            n = 1;
        else
            for (ssize_t i = 0; i < n; i++, got++)
                if (wrong == SIZE_MAX && buf[i] != pattern(got))
                    wrong = got;
    }
    VCT_MUST(
        t, n <= 0,
        "of %zu bytes through /bin/cat %zu came back, then nothing for 5 s and no end of file: closing the stream for "
        "writing has to reach the process as the end of its input, and its end the stream for reading",
        total, got);
    pthread_join(thread, NULL);
    close(fds[1]);
    VCT_MUST(t, wrong == SIZE_MAX, "of %zu bytes through /bin/cat the one at %zu came back changed", total, wrong);
    VCT_MUST(t, got == total && n == 0, "of %zu bytes through /bin/cat %zu came back before the end of file", total,
             got);
    r = vct_ag_wait(pod, vct_call(t, 10000), world(pod)->main, id, &status);
    MUST_OK(pod, r, "wait for a process whose input has ended");
    VCT_MUST(t, status == 0, "/bin/cat ended with %d after the end of its input; 0 is right", status);
    if (fds[2] >= 0)
        close(fds[2]);
}

static void a6(struct vct *t)
{
    struct vct_pod *pod = with_guest(t, VCT_ST_UP);
    if (!(pod->caps & VC_AG_CAP_STDIO))
        vct_skip(t, "the agent does not claim VC_AG_CAP_STDIO");
    carry(pod, 0);
    carry(pod, 1);
    /* More than any buffer on the way holds; a real guest without hardware help would take long. */
    carry(pod, t->s->real && t->s->level < VCT_SOAK ? (size_t)8 << 20 : (size_t)64 << 20);
    done(pod);
}

/* ---- A7, A8: hostile guests ---- */

/* The most memory that was in use since memory_mark. */
static void memory_mark(void)
{
    vcs_autoclose int fd = open("/proc/self/clear_refs", O_WRONLY | O_CLOEXEC);
    if (fd >= 0 && write(fd, "5", 1) < 0)
        return; /* then it is the most since the process began, which is no less */
}

static long most_kib(void)
{
    char line[256];
    long kib = 0;
    vcs_autofclose FILE *f = fopen("/proc/self/status", "re");
    while (f && fgets(line, sizeof(line), f))
        if (sscanf(line, "VmHWM: %ld", &kib) == 1)
            break;
    return kib;
}

/* Members that ask the guest. */
static int one_call(struct vct_pod *pod, int which, int ms, const char **ret_name)
{
    static const char *const names[] = { "ping", "exec", "ps", "stats" };
    struct vct *t = pod->t;
    vcs_autofree char *text = NULL;
    size_t len = 0;
    *ret_name = names[which];
    if (which == 0)
        return vct_ag_ping(pod, vct_call(t, ms));
    if (which == 1)
        return vct_ag_exec(pod, vct_call(t, ms), world(pod)->main, vct_ag_id(pod, "e"), VCT_AG_SLEEP, 0);
    if (which == 2 && !(pod->caps & VC_AG_CAP_PS))
        return VC_E_UNSUPPORTED;
    if (which == 3 && !(pod->caps & VC_AG_CAP_STATS))
        return VC_E_UNSUPPORTED;
    return vct_ag_listing(pod, vct_call(t, ms), which == 3, world(pod)->main, &text, &len);
}

static void hostile(struct vct *t, const char *variant, int may_work)
{
    struct vct_pod *pod = with_guest(t, VCT_ST_UP);
    const char *name;
    memory_mark();
    long before = most_kib();
    vct_peer_switch(pod, variant);
    for (int i = 0; i < 4; i++) {
        int64_t since = vcs_now_ns();
        int r = one_call(pod, i, 700, &name);
        long ms = elapsed_ms(since), grown = most_kib() - before;
        VCT_MUST(t, may_work || r != VC_OK, "%s answered VC_OK although the guest was \"%s\"", name, variant);
        VCT_MUST(t,
                 r == VC_OK || r == VC_E_PROTOCOL || r == VC_E_PEER || r == VC_E_TIMEOUT || r == VC_E_UNSUPPORTED ||
                     r == VC_E_STATE || r == VC_E_INVAL || r == VC_E_NOTFOUND,
                 "%s answered %s when the guest was \"%s\"; VC_E_PROTOCOL, VC_E_PEER or VC_E_TIMEOUT is right", name,
                 vct_code(r), variant);
        VCT_MUST(t, ms <= 700 + GRACE_MS, "%s took %ld ms with a deadline of 700 ms when the guest was \"%s\"", name,
                 ms, variant);
        VCT_MUST(t, grown < 24 * 1024,
                 "%s made the process grow by %ld KiB when the guest was \"%s\"; an answer has to be bounded", name,
                 grown, variant);
    }
    vct_peer_switch(pod, "good");
    done(pod);
}

static void a7(struct vct *t)
{
    hostile(t, "garbage", 0);
    hostile(t, "oversize", 0);
    hostile(t, "endless", 1);
    hostile(t, "half-close", 0);
    hostile(t, "dying", 0);
    hostile(t, "silent", 0);
    if (vct_variant_known(t, "out-of-order"))
        hostile(t, "out-of-order", 1);
}

static void must_be_clean(struct vct *t, const char *what, const char *text, size_t len, const char *when)
{
    for (size_t i = 0, n; i < len; i += n) {
        n = vcs_utf8_plain(text + i, len - i);
        if (!n)
            vct_fail(t,
                     "%s holds the byte 0x%02x, a control character or none of UTF-8, %s: \"%.*s\" before it; texts from "
                     "a guest have to be cleaned",
                     what, (unsigned char)text[i], when, (int)(i > 60 ? 60 : i), text + (i > 60 ? i - 60 : 0));
    }
}

/* Each entry of the log is a line that begins with its level: a line that does not is a line break of the guest's. */
static void log_must_be_clean(struct vct_pod *pod, const char *when)
{
    const char *log = vcs_buf_str(&pod->log);
    for (const char *nl; log && (nl = strchr(log, '\n')); log = nl + 1) {
        must_be_clean(pod->t, "the log", log, (size_t)(nl - log), when);
        VCT_MUST(pod->t,
                 !log[0] || (log[0] >= '0' && log[0] <= '9') || (log[0] >= 'A' && log[0] <= 'Z') ||
                     (log[0] >= 'a' && log[0] <= 'z'),
                 "the log holds a line break %s; texts from a guest have to be cleaned", when);
    }
}

static void a8(struct vct *t)
{
    static const char *const variants[] = { "rude", "garbage" };
    static const char evil[] = "[\"/no/such/\\u001b[31mred\\u0007\"]";
    const char *name;
    char when[96];
    for (size_t i = 0; i < 2; i++) {
        if (!vct_variant_known(t, variants[i]))
            continue;
        struct vct_pod *pod = with_guest(t, VCT_ST_UP);
        vct_peer_switch(pod, variants[i]);
        for (int k = 0; k < 4; k++) {
            one_call(pod, k, 700, &name);
            snprintf(when, sizeof(when), "after %s with a guest that was \"%s\"", name, variants[i]);
            must_be_clean(t, "the error", t->err.text, strlen(t->err.text), when);
        }
        log_must_be_clean(pod, when);
        vct_peer_switch(pod, "good");
        done(pod);
    }
    /* A name that comes back in the guest's own words. */
    struct vct_pod *pod = with_guest(t, VCT_ST_UP);
    vct_ag_exec(pod, vct_call(t, 5000), world(pod)->main, vct_ag_id(pod, "e"), evil, 0);
    must_be_clean(t, "the error", t->err.text, strlen(t->err.text),
                  "after exec of a program whose name has control bytes");
    log_must_be_clean(pod, "after exec of a program whose name has control bytes");
    done(pod);
}

/* ---- A9, A10: texts ---- */

static void a9(struct vct *t)
{
    struct vct_pod *pod = with_guest(t, VCT_ST_UP);
    vcs_autofree char *large = vct_ag_spec(VCT_AG_SLEEP, 0, (1 << 20) - 512);
    static const char *const broken[] = { "{", "[]", "{\"process\":", "null" };
    VCT_MUST(t, large, "no memory");
    int r = vct_ag_create_spec(pod, vct_call(t, 5000), "empty", "", 0);
    VCT_MUST(t, r != VC_OK, "ctr_create with a specification of 0 bytes answered VC_OK; VC_E_INVAL is right");
    VCT_MUST(t, r == VC_E_INVAL || r == VC_E_CONFIG,
             "ctr_create with a specification of 0 bytes answered %s: %s; VC_E_INVAL is right", vct_code(r),
             t->err.text);
    for (size_t i = 0; i < 4; i++) {
        r = vct_ag_create_spec(pod, vct_call(t, 5000), "broken", broken[i], strlen(broken[i]));
        VCT_MUST(t, r == VC_E_INVAL || r == VC_E_CONFIG || (i == 2 && r == VC_OK),
                 "ctr_create with the specification `%s` answered %s; "
                 "VC_E_INVAL is right",
                 broken[i], vct_code(r));
        vct_ag_remove(pod, vct_call(t, 5000), "broken");
    }
    int64_t since = vcs_now_ns();
    r = vct_ag_create_spec(pod, vct_call(t, 10000), "large", large, strlen(large));
    VCT_MUST(t, r == VC_OK || r == VC_E_RESOURCE || r == VC_E_INVAL,
             "ctr_create with a specification of %zu bytes answered %s: %s; VC_OK "
             "is right, or VC_E_RESOURCE",
             strlen(large), vct_code(r), t->err.text);
    vct_note(t, "a specification of %zu bytes: %s after %ld ms", strlen(large), vct_code(r), elapsed_ms(since));
    if (r == VC_OK) {
        r = vct_ag_remove(pod, vct_call(t, 5000), "large");
        MUST_OK(pod, r, "ctr_remove of the container with a large specification");
    }
    done(pod);
}

static void json_must(struct vct *t, const char *what, const char *text, size_t len, enum vct_json_type type)
{
    char why[256];
    struct vct_json *v = vct_json_parse(text ? text : "", len, why, sizeof(why));
    VCT_MUST(t, v, "the result of %s is no JSON: %s", what, why);
    VCT_MUST(t, v->type == type, "the result of %s is %s, not %s", what, vct_json_what(v),
             type == VCT_JSON_ARRAY ? "an array" : "an object");
    size_t n = 0;
    for (const struct vct_json *o = type == VCT_JSON_ARRAY ? v->first : NULL; o; o = o->next, n++) {
        static const char *const numbers[] = { "pid", "ppid", "uid" };
        for (size_t i = 0; i < 3; i++) {
            const struct vct_json *m = vct_json_get(o, numbers[i]);
            VCT_MUST(t, m && m->type == VCT_JSON_NUMBER && m->whole && m->number >= 0,
                     "entry %zu of %s has no number \"%s\"", n, what, numbers[i]);
        }
        VCT_MUST(t, vct_json_str(o, "cmd"), "entry %zu of %s has no string \"cmd\"", n, what);
    }
    VCT_MUST(t, type != VCT_JSON_ARRAY || n > 0, "%s lists no process, although the container's first one runs", what);
    vct_json_free(v);
}

static void a10(struct vct *t)
{
    struct vct_pod *pod = with_guest(t, VCT_ST_UP);
    if (!(pod->caps & (VC_AG_CAP_PS | VC_AG_CAP_STATS)))
        vct_skip(t, "the agent claims neither VC_AG_CAP_PS nor VC_AG_CAP_STATS");
    for (int stats = 0; stats < 2; stats++) {
        vcs_autofree char *text = NULL;
        size_t len = 0;
        if (!(pod->caps & (stats ? VC_AG_CAP_STATS : VC_AG_CAP_PS)))
            continue;
        int r = vct_ag_listing(pod, vct_call(t, 5000), stats, world(pod)->main, &text, &len);
        if (stats && r == VC_E_STATE && world(pod)->share && !world(pod)->group) {
            vct_note(t, "stats was not looked at: %s", t->err.text); /* the guest is an ordinary process */
            continue;
        }
        MUST_OK(pod, r, "%s", stats ? "stats" : "ps");
        json_must(t, stats ? "stats" : "ps", text, len, stats ? VCT_JSON_OBJECT : VCT_JSON_ARRAY);
        vcs_autofree char *none = NULL;
        r = vct_ag_listing(pod, vct_call(t, 5000), stats, "nobody", &none, &len);
        must_code(pod, r, VC_E_NOTFOUND, "%s of a container that does not exist", stats ? "stats" : "ps");
    }
    done(pod);
}

const struct vct_check vct_checks_agent[] = {
    { "A1", "agent.h connect", VCT_AG, VCT_FULL, 0,
      "a guest that refuses, comes late or is slow is waited for, up to the deadline",
      "A guest boots for seconds and then answers in its own time. An agent that gives up at the first refusal fails "
      "pods at random, one "
      "that waits for ever hangs the host.",
      "In connect, try again while nobody listens and the deadline has not passed; use the deadline for reading and "
      "writing, too, and "
      "put answers together from however many pieces they come in.",
      a1 },
    { "A2", "agent.h connect, plugin.h restore", VCT_AG, VCT_FULL, 0,
      "it reconnects: after disconnect, restore, and a restart of the guest's agent",
      "Each command of a host is another process: it restores and calls. And agents are restarted after they crashed.",
      "Save the address; open the connection at the first call that needs it; throw a broken one away.", a2 },
    { "A3", "agent.h ctr_create, ctr_start, ctr_remove", VCT_AG, VCT_QUICK, 0,
      "containers are told apart: duplicates, order, removal, pause",
      "A pod has several containers in any order, and runtimes repeat their calls after crashes.",
      "VC_E_EXISTS for a known id, VC_E_NOTFOUND for an unknown one, VC_E_STATE for what runs already, VC_OK for "
      "removing what is not "
      "there; map the guest's errors one by one.",
      a3 },
    { "A4", "agent.h wait, exec", VCT_AG, VCT_FULL, 0,
      "exit codes 0, 1, 127, 255, signals, and programs that cannot run",
      "Restart policies, CI systems and shells act on these numbers.",
      "0 to 255 as the process gave it, 128+n for signal n; VC_E_NOCMD and VC_E_NOEXEC from exec and ctr_start when "
      "the program is not "
      "there or no program.",
      a4 },
    { "A5", "agent.h wait [any]", VCT_AG, VCT_FULL, 0, "wait on one thread, signal or removal on another",
      "A shim waits in one thread while kill and delete come in others; a wait that misses the end hangs the shim "
      "for ever.",
      "Register the wait with the guest before anything else, answer from what the guest keeps of an ended process, "
      "and end waits of a "
      "removed container.",
      a5 },
    { "A6", "agent.h stdio", VCT_AG, VCT_FULL, 0,
      "megabytes go through a process's streams whole, and so does the end of its input",
      "Pipes into containers carry archives; one lost or doubled chunk corrupts them, and a half close that is not "
      "carried over hangs the "
      "pipeline.",
      "Handle short writes, keep what was not taken, stop reading from one side while the other is full, and turn "
      "end of file into the "
      "guest's close of stdin.",
      a6 },
    { "A7", "agent.h: the guest is hostile", VCT_AG, VCT_FULL, 0,
      "malformed, oversized, endless or missing answers: an error in time, and bounded memory",
      "Who owns the guest chooses its answers: they must neither crash nor exhaust nor hang the host.",
      "Check each length before memory is taken for it, bound every answer, answer VC_E_PROTOCOL and drop the "
      "connection when it makes no "
      "sense.",
      a7 },
    { "A8", "agent.h: the guest is hostile", VCT_AG, VCT_FULL, 0,
      "no control byte of a guest comes into a log or an error",
      "An escape sequence in an error takes over the operator's terminal; a line break forges log entries.",
      "Replace bytes below 0x20, 0x7f, C1 controls and invalid UTF-8 in every text that comes from a guest.", a8 },
    { "A9", "agent.h vc_ctr.spec", VCT_AG, VCT_FULL, 0, "specifications of 0 bytes and of 1 MiB",
      "Kubernetes makes large ones; a broken caller makes empty ones.",
      "Parse by length, not by NUL; refuse what is no JSON object with VC_E_INVAL; raise limits or answer "
      "VC_E_RESOURCE.",
      a9 },
    { "A10", "agent.h ps, stats", VCT_AG, VCT_FULL, 0, "ps and stats are valid JSON of the promised form",
      "Programs parse them: an array of objects with pid, ppid, uid and cmd, and an object.",
      "Build the text with a JSON library, never by printing a guest's strings into it.", a10 },
    { .id = NULL },
};
