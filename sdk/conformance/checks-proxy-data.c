/* SPDX-License-Identifier: Apache-2.0 */
/* checks-proxy-data.c: P7 to P9: what a proxy carries, for many at once, and what is left of those that have gone. */
#include <dirent.h>
#include <fcntl.h>
#include <string.h>

#include "conformance/kind-proxy.h"
#include "conformance/proxy-lanes.h"
#include "lib/io.h"

#define KIB      ((uint64_t)1024)
#define MIB      (1024 * KIB)
#define HOARD    (64 * MIB) /* so much that nobody reads is stored without limit */
#define STUCK_MS 200        /* nothing moved for so long: what can be stored is stored */
#define TOGETHER 16
#define LEAVERS  8
#define GUESTS   40
#define SPARE    4  /* descriptors and processes that a proxy may keep for the next */
#define THREADS  16 /* threads that may wait for work */

/* ---- P7 ---- */

static void both(struct vct_lane *p, uint64_t n)
{
    vct_lane_more(p, VCT_OUT, n);
    vct_lane_more(p, VCT_IN, n);
}

static void ends(struct vct_lanes *l, struct vct_lane *p, const char *when)
{
    vct_lane_end(p, VCT_OUT);
    vct_lane_end(p, VCT_IN);
    vct_lanes_must(l, when);
}

/* The receiver of one way does not read until nothing more can be sent, and slowly then. */
static void slow_reader(struct vct_lanes *l, int way, const char *stuck, const char *then)
{
    struct vct_lane *p = vct_lanes_dial(l, 0);
    struct vct_way *w = &p->way[way];
    vct_lanes_must(l, "a client connects");
    w->held = 1;
    vct_lane_more(p, way, HOARD);
    int r = vct_lanes_pump(l, STUCK_MS);
    VCT_MUST(l->t, r >= 0, "%s: %s", stuck, l->wrong);
    if (w->sent == HOARD) { /* were they stored, or thrown away? */
        w->held = 0;
        vct_lanes_must(l, then);
        vct_fail(
            l->t,
            "%s: the proxy has taken %llu MiB that nobody reads; it has to stop reading from one side while the other "
            "takes nothing, or a guest fills the host's memory",
            stuck, (unsigned long long)(HOARD / MIB));
    }
    vct_note(l->t, "%s: %llu bytes were taken", stuck, (unsigned long long)w->sent);
    w->held = 0;
    w->gulp = 3000;
    w->goal = w->sent + 4 * MIB;
    vct_lanes_must(l, then);
    ends(l, p, "both sides end their sending");
}

/* One side ends its sending; the answer still comes whole.  This should be so, and is not asked of every proxy: comes
 * last, as nothing can be carried after it went wrong.  0 when it did. */
static int half_close(struct vct_lanes *l, int first, const char *when, const char *then)
{
    struct vct_lane *p = vct_lanes_dial(l, 0);
    vct_lane_more(p, first, 100 * KIB);
    vct_lane_end(p, first);
    int r = vct_lanes_pump(l, VCT_LANES_MS);
    if (r > 0) { /* a proxy that makes more of it does so now, or as soon as it is asked to carry the answer */
        when = then;
        vct_lane_more(p, !first, 300 * KIB);
        vct_lane_end(p, !first);
        r = vct_lanes_pump(l, VCT_LANES_MS);
    }
    if (r > 0 && vct_lane_over(p))
        return 1;
    vct_warn(l->t, "%s: %s; agents whose clients end their sending with the request cannot be used with this proxy", when,
             r < 0 ? l->wrong : "the answer, or the end of the connection, does not come");
    return 0;
}

void vct_proxy_p7(struct vct *t)
{
    struct vct_lanes *l = vct_lanes_new(t);
    struct vct_lane *p = vct_lanes_dial(l, 0);
    vct_lanes_must(l, "a client connects and sends");
    vct_lane_more(p, VCT_IN, 1000);
    vct_lanes_must(l, "the agent answers with 1000 bytes");
    vct_lane_more(p, VCT_OUT, 1000);
    vct_lanes_must(l, "the client sends 1000 bytes more");
    p->way[VCT_OUT].step = p->way[VCT_IN].step = 1;
    p->way[VCT_OUT].lockstep = p->way[VCT_IN].lockstep = 1;
    both(p, 500);
    vct_lanes_must(l, "500 bytes both ways, one after the other");
    p->way[VCT_OUT].lockstep = p->way[VCT_IN].lockstep = 0;
    both(p, 2000);
    vct_lanes_must(l, "2000 bytes both ways, each a write of its own");
    p->way[VCT_OUT].step = 1 + (size_t)(vct_random(t) % 65536);
    p->way[VCT_IN].step = 1 + (size_t)(vct_random(t) % 65536);
    if (p->way[VCT_OUT].step < 512)
        p->way[VCT_OUT].step = 512;
    if (p->way[VCT_IN].step < 512)
        p->way[VCT_IN].step = 512;
    both(p, 4 * MIB);
    vct_lanes_must(l, "4 MiB both ways at once");
    ends(l, p, "both sides end their sending");
    slow_reader(l, VCT_IN, "the agent sends, and the client does not read",
                "the client reads slowly what the agent has sent");
    slow_reader(l, VCT_OUT, "a client sends, and the agent does not read",
                "the agent reads slowly what the client has sent");
    if (half_close(l, VCT_OUT, "a client ends its sending with its request (shutdown)",
                   "the agent answers a client that has ended its sending"))
        half_close(l, VCT_IN, "the agent ends its sending", "a client goes on after the agent has ended its sending");
    vct_lanes_free(l);
}

/* ---- P8 ---- */

static void everyone(struct vct_lanes *l, struct vct_lane **p, int n)
{
    for (int i = 0; i < n; i++)
        p[i] = vct_lanes_dial(l, 0);
    vct_lanes_must(l, "clients connect and stay");
    for (int i = n - 1; i >= 0; i--) { /* the last one first: nobody is served for as long as another waits */
        both(p[i], KIB);
        vct_lanes_must(l, "many are connected, and one after the other talks");
    }
    for (int i = 0; i < n; i++)
        both(p[i], 256 * KIB);
    vct_lanes_must(l, "all clients talk at once");
}

/* One client takes nothing, of another the agent's end takes nothing: the others go on. */
static void stuck_ones(struct vct_lanes *l, struct vct_lane **p, int n)
{
    struct vct_way *in = &p[0]->way[VCT_IN], *out = &p[1]->way[VCT_OUT];
    in->held = out->held = 1;
    vct_lane_more(p[0], VCT_IN, HOARD);
    vct_lane_more(p[1], VCT_OUT, HOARD);
    int r = vct_lanes_pump(l, STUCK_MS);
    VCT_MUST(l->t, r >= 0, "two of the clients are stuck: %s", l->wrong);
    in->apart = out->apart = 1;
    for (int i = 2; i < n; i++)
        both(p[i], 64 * KIB);
    vct_lanes_must(
        l, "client 1 does not read what the agent sends, nor the agent what client 2 sends, and the others go on");
    in->apart = out->apart = 0;
    in->goal = in->sent;
    out->goal = out->sent;
    in->held = out->held = 0;
    vct_lanes_must(l, "those that were stuck read on");
}

/* Some leave in the middle of something, from either side. */
static void leavers(struct vct_lanes *l, struct vct_lane **p, int n)
{
    for (int i = 0; i < n; i++) {
        both(p[i], i < LEAVERS ? HOARD : 256 * KIB);
        p[i]->way[VCT_OUT].apart = p[i]->way[VCT_IN].apart = i < LEAVERS;
        p[i]->way[VCT_IN].held = i == 0 || i == 4; /* leaves with bytes that it has not read */
    }
    vct_lanes_must(l, "all clients talk at once, two of them do not read");
    for (int i = LEAVERS; i < n; i++)
        both(p[i], 256 * KIB);
    for (int i = 0; i < LEAVERS; i++) {
        p[i]->way[VCT_OUT].apart = p[i]->way[VCT_IN].apart = p[i]->way[VCT_IN].held = 0;
        if (i < 5)
            vct_lane_leave(l, p[i]);
        else
            vct_lane_drop(l, p[i]);
    }
    vct_lanes_must(l, "five clients leave without a word, the agent drops three others, and the rest goes on");
}

void vct_proxy_p8(struct vct *t)
{
    struct vct_lanes *l = vct_lanes_new(t);
    struct vct_lane *p[TOGETHER];
    everyone(l, p, TOGETHER);
    stuck_ones(l, p, TOGETHER);
    leavers(l, p, TOGETHER);
    struct vct_lane *late = vct_lanes_dial(l, 0);
    both(late, 10 * KIB);
    vct_lanes_must(l, "another client comes after others have left");
    for (int i = LEAVERS; i < TOGETHER; i++) {
        vct_lane_end(p[i], VCT_OUT);
        vct_lane_end(p[i], VCT_IN);
    }
    ends(l, late, "all end their sending");
    vct_lanes_free(l);
}

/* ---- P9 ---- */

struct held {
    int fds, threads, processes;
};

static int entries(const char *path)
{
    int n = 0;
    DIR *d = opendir(path);
    if (!d)
        return -1;
    for (struct dirent *e; (e = readdir(d));)
        n += e->d_name[0] != '.';
    closedir(d);
    return n;
}

static int parent_of(int pid)
{
    char path[64];
    vcs_autofree char *text = NULL;
    size_t len;
    snprintf(path, sizeof(path), "/proc/%d/status", pid);
    if (vcs_read_file(AT_FDCWD, path, 65536, &text, &len) < 0)
        return -1;
    const char *at = strstr(text, "\nPPid:");
    return at ? (int)strtol(at + 6, NULL, 10) : -1;
}

/* What a process has, and all that it has started; -1: its descriptors cannot be counted. */
static int count(int pid, struct held *h, int depth)
{
    char path[64];
    snprintf(path, sizeof(path), "/proc/%d/fd", pid);
    int fds = entries(path);
    snprintf(path, sizeof(path), "/proc/%d/task", pid);
    int threads = entries(path);
    if (fds < 0 && depth == 0)
        return -1;
    h->fds += fds > 0 ? fds : 0;
    h->threads += threads > 0 ? threads : 0;
    h->processes++;
    DIR *d = depth < 8 ? opendir("/proc") : NULL;
    for (struct dirent *e; d && (e = readdir(d));) {
        int child = e->d_name[0] >= '1' && e->d_name[0] <= '9' ? (int)strtol(e->d_name, NULL, 10) : 0;
        if (child && parent_of(child) == pid)
            count(child, h, depth + 1);
    }
    if (d)
        closedir(d);
    return 0;
}

/* One guest of each kind. */
static void guest(struct vct_lanes *l, int i)
{
    struct vct_lane *p = vct_lanes_dial(l, i % 5 == 4);
    if (i % 5 == 4) { /* says nothing and leaves */
        vct_lane_leave(l, p);
        return;
    }
    both(p, 2000);
    vct_lanes_must(l, "a client comes, talks and goes");
    if (i % 5 == 0) {
        vct_lane_leave(l, p);
    } else if (i % 5 == 1) {
        vct_lane_drop(l, p);
    } else {
        /* Both, and one of them first. */
        vct_lane_end(p, i % 5 == 2 ? VCT_OUT : VCT_IN);
        ends(l, p, "both sides end their sending");
    }
    vct_lanes_must(l, "a client comes, talks and goes");
}

void vct_proxy_p9(struct vct *t)
{
    struct vct_lanes *l = vct_lanes_new(t);
    struct vct_proxy_world *w = l->pod->world;
    struct held before = { 0 }, now;
    if (count(w->proc.pid, &before, 0) < 0)
        vct_skip(t, "the descriptors of the proxy's process %d cannot be counted: /proc/%d/fd is closed to others",
                 w->proc.pid, w->proc.pid);
    for (int i = 0; i < GUESTS; i++)
        guest(l, i);
    int64_t until = vcs_now_ns() + (int64_t)VCT_LANES_MS * 1000000;
    for (;;) {
        now = (struct held){ 0 };
        count(w->proc.pid, &now, 0);
        if (now.fds <= before.fds + SPARE && now.threads <= before.threads + THREADS &&
            now.processes <= before.processes + SPARE)
            break;
        if (vcs_now_ns() >= until)
            vct_leak(
                t,
                "%d clients came and went, and the proxy's process %d is left with %d descriptors (%d before), "
                "%d threads "
                "(%d) and %d processes (%d); whoever has left must leave nothing",
                GUESTS, w->proc.pid, now.fds, before.fds, now.threads, before.threads, now.processes, before.processes);
        vct_lanes_run(l, 10); /* nothing tells of descriptors that another process closes */
    }
    vct_lanes_free(l);
}
