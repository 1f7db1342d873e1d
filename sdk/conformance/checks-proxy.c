/* SPDX-License-Identifier: Apache-2.0 */
/* checks-proxy.c: P1 to P6: a proxy's process, its address and its end (P7 to P9: checks-proxy-data.c). */
#include <signal.h>
#include <string.h>
#include <sys/stat.h>

#include "conformance/kind-proxy.h"
#include "conformance/peer.h"
#include "conformance/proxy-lanes.h"
#include "lib/io.h"
#include "lib/proc.h"

static struct vct_proxy_world *world(struct vct_pod *pod)
{
    return pod->world;
}

static struct vct_pod *up(struct vct *t)
{
    struct vct_pod *pod = vct_pod_new(t, NULL, 0);
    vct_pod_make(pod);
    vct_go(pod, VCT_ST_UP);
    return pod;
}

/* One that has a process. */
static struct vct_pod *up_real(struct vct *t)
{
    struct vct_pod *pod = up(t);
    if (vct_kind_proxy.hollow(pod))
        vct_skip(t, "this proxy has no process: start gave pid 0 (P4 looks at it)");
    return pod;
}

static uint32_t status(struct vct_pod *pod)
{
    int r = vct_op(pod, "status", 0);
    VCT_MUST(pod->t, r == VC_OK, "status answered %s: %s; it is pure and always possible", vct_code(r),
             pod->t->err.text);
    return world(pod)->status;
}

static const char *status_name(uint32_t s)
{
    static const char *const words[] = { "VC_PROXY_NONE", "VC_PROXY_RUNNING", "VC_PROXY_STOPPED" };
    return s <= VC_PROXY_STOPPED ? words[s] : "no VC_PROXY_* value";
}

static void must_op(struct vct_pod *pod, const char *name, const char *when)
{
    int r = vct_op(pod, name, 0);
    VCT_MUST(pod->t, r == VC_OK, "%s answered %s %s: %s", name, vct_code(r), when, pod->t->err.text);
}

static void p1(struct vct *t)
{
    char why[PATH_MAX + 256];
    struct vct_pod *pod = up_real(t);
    VCT_MUST(t, vct_proxy_pid_true(pod, why, sizeof(why)), "%s", why);
    VCT_MUST(t, strstr(vct_proxy_uri(pod), "://"),
             "start gave the address \"%s\", which is none: unix://PATH, vsock://CID:PORT "
             "and hvsock://PATH:PORT are",
             vct_proxy_uri(pod));
    VCT_MUST(t, vct_proxy_reaches(pod, why, sizeof(why)), "%s", why);
    uint32_t s = status(pod);
    VCT_MUST(t, s == VC_PROXY_RUNNING, "status is %s right after start; VC_PROXY_RUNNING is right", status_name(s));
    vct_pod_cleanup(pod);
    vct_pod_free(pod);
}

static void p2(struct vct *t)
{
    char why[PATH_MAX + 256];
    struct vct_pod *fresh = vct_pod_new(t, NULL, 0);
    vct_pod_make(fresh);
    must_op(fresh, "stop", "on an instance that was never started, where there is nothing to do");
    vct_pod_free(fresh);
    struct vct_pod *pod = up(t);
    must_op(pod, "stop", "after start");
    VCT_MUST(t, vct_kind_proxy.ops[2].effect(pod, why, sizeof(why)) != 0, "stop answered VC_OK, but %s", why);
    uint32_t s = status(pod);
    VCT_MUST(t, s != VC_PROXY_RUNNING, "status is VC_PROXY_RUNNING after stop; VC_PROXY_STOPPED is right");
    must_op(pod, "stop", "the second time; it is idempotent");
    vct_pod_free(pod);
    pod = up(t);
    if (vct_kind_proxy.kill_peer(pod) == 0)
        must_op(pod, "stop", "after its process was killed by somebody else; there is nothing left to do");
    vct_pod_free(pod);
}

static void p3(struct vct *t)
{
    struct vct_pod *pod = up_real(t);
    uint32_t health = 0;
    VCT_MUST(t, vct_kind_proxy.kill_peer(pod) == 0, "the proxy's process %d was gone before it was killed",
             world(pod)->proc.pid);
    uint32_t s = status(pod);
    VCT_MUST(t, s == VC_PROXY_STOPPED,
             "status is %s after the proxy's process %d was killed; VC_PROXY_STOPPED is right", status_name(s),
             world(pod)->proc.pid);
    int r = vct_pod_check(pod, &health);
    VCT_MUST(t, r == VC_OK && health != VC_HEALTH_OK,
             "check answered %s and health %u after the process was killed; VC_HEALTH_GONE (%d) "
             "is right",
             vct_code(r), health, VC_HEALTH_GONE);
    r = vct_pod_cleanup(pod);
    VCT_MUST(t, r == VC_OK, "cleanup answered %s after the process was killed: %s", vct_code(r), t->err.text);
    const char *left = vct_pod_left(pod);
    VCT_MUST(t, !*left, "after cleanup of a proxy that was killed: %s", left);
    vct_pod_free(pod);
}

/* Passed through, so there is no process: what callers see of it all the same. */
static void runs(struct vct_pod *pod, const char *address, const char *when)
{
    struct vct *t = pod->t;
    struct vc_proc proc = { .pid = 0 };
    struct vc_sink *uri = vct_sink_new(t);
    uint32_t health = UINT32_MAX, s = status(pod);
    VCT_MUST(t, s == VC_PROXY_RUNNING, "status is %s %s, which passed %s through; VC_PROXY_RUNNING is right until stop",
             status_name(s), when, address);
    int r = vct_pod_check(pod, &health);
    VCT_MUST(t, r == VC_OK && health == VC_HEALTH_OK,
             "check answered %s and health %u %s, which passed %s through; VC_HEALTH_OK (%d) is right until stop",
             vct_code(r), health, when, address, VC_HEALTH_OK);
    r = vct_proxy_start(pod, vct_call(t, 5000), address, &proc, uri);
    VCT_MUST(t, r == VC_E_EXISTS,
             "a second start answered %s %s, which passed %s through; VC_E_EXISTS is right, for it runs", vct_code(r),
             when, address);
    vct_sink_free(uri);
}

/* It gave a process, for an address that needs none. */
static void must_be_own(struct vct_pod *pod, const char *address)
{
    char why[PATH_MAX + 256];
    VCT_MUST(pod->t, vct_proxy_pid_true(pod, why, sizeof(why)),
             "for %s, %s; pid 0 is right where there is no process: whoever stops the pod would end a stranger",
             address, why);
}

/* It gave pid 0. */
static void passed_through(struct vct_pod *pod, const char *address, const char *became)
{
    struct vct *t = pod->t;
    vcs_autofree char *bytes = NULL;
    size_t len = 0;
    VCT_MUST(t, !strcmp(became, address),
             "start gave no process (pid 0), so it has to pass the agent's address through: \"%s\" became \"%s\"",
             address, became);
    VCT_MUST(t, !pod->spawned, "start gave pid 0, but spawned a process");
    runs(pod, address, "after start");
    int r = vct_pod_save(pod, &bytes, &len);
    VCT_MUST(t, r == VC_OK, "save answered %s after start passed %s through: %s", vct_code(r), address, t->err.text);
    vct_pod_close(pod);
    r = vct_pod_restore(pod, t->plugin->state_version, bytes, len);
    VCT_MUST(t, r == VC_OK, "restore answered %s for the state that save wrote after start had passed %s through: %s",
             vct_code(r), address, t->err.text);
    runs(pod, address, "after restore of one");
    must_op(pod, "stop", "after start");
    uint32_t s = status(pod);
    VCT_MUST(t, s != VC_PROXY_RUNNING, "status is VC_PROXY_RUNNING after stop; VC_PROXY_STOPPED is right");
}

/* An address that any number can connect to may be passed through; then it is the same one, and there is no process. */
static void p4(struct vct *t)
{
    static const char *const addresses[] = { "vsock://3:1024", "hvsock:///run/vm.sock:1024" };
    struct vct_pod *pod = up(t);
    int hollow = vct_kind_proxy.hollow(pod), seen = hollow;
    vcs_autofree char *agent = vct_proxy_agent_uri(pod);
    if (hollow)
        passed_through(pod, agent ? agent : "", vct_proxy_uri(pod));
    else if (agent && !strcmp(vct_proxy_uri(pod), agent))
        must_be_own(pod, agent);
    vct_pod_cleanup(pod);
    vct_pod_free(pod);
    for (size_t i = 0; i < 2; i++) {
        struct vc_proc proc = { .pid = 0 };
        struct vc_sink *uri = vct_sink_new(t);
        pod = vct_pod_new(t, NULL, 0);
        vct_pod_make(pod);
        int r = vct_proxy_start(pod, vct_call(t, 5000), addresses[i], &proc, uri);
        VCT_MUST(t, r == VC_OK || !hollow,
                 "start answered %s for the agent's address %s, although this proxy has no process and could "
                 "pass it through: %s",
                 vct_code(r), addresses[i], t->err.text);
        if (r == VC_OK && !proc.pid) {
            passed_through(pod, addresses[i], vct_sink_text(uri));
        } else if (r == VC_OK) {
            world(pod)->proc = proc;
            must_be_own(pod, addresses[i]);
        }
        VCT_MUST(t, r == VC_OK || !pod->n_procs,
                 "start answered %s, but the process %d that it spawned is still on record", vct_code(r),
                 pod->n_procs ? pod->procs[0].pid : 0);
        seen |= r == VC_OK && !proc.pid;
        vct_pod_cleanup(pod);
        vct_pod_free(pod);
        vct_sink_free(uri);
    }
    if (!seen)
        vct_skip(t, "this proxy always has a process: it refuses addresses that need none");
}

static void p5(struct vct *t)
{
    char why[PATH_MAX + 256];
    struct vct_pod *pod = up(t);
    struct vc_proc first = world(pod)->proc, proc = { .pid = 0 };
    struct vc_sink *uri = vct_sink_new(t);
    vcs_autofree char *agent = vct_proxy_agent_uri(pod);
    unsigned spawned = pod->spawned;
    int r = vct_proxy_start(pod, vct_call(t, 5000), agent, &proc, uri);
    VCT_MUST(t, r == VC_OK || r == VC_E_EXISTS, "the second start answered %s: %s; VC_E_EXISTS is right, for it runs",
             vct_code(r), t->err.text);
    if (r == VC_OK)
        VCT_MUST(t,
                 proc.pid == first.pid && proc.start_ticks == first.start_ticks &&
                     !strcmp(vct_sink_text(uri), vct_proxy_uri(pod)),
                 "the second start gave process %d at \"%s\" beside process %d at \"%s\"; VC_E_EXISTS is right, or the "
                 "same again",
                 proc.pid, vct_sink_text(uri), first.pid, vct_proxy_uri(pod));
    VCT_MUST(t, pod->spawned == spawned, "the second start spawned another process");
    VCT_MUST(t, vct_proxy_pid_true(pod, why, sizeof(why)) && vct_proxy_reaches(pod, why, sizeof(why)),
             "after a second start: %s", why);
    uint32_t s = status(pod);
    VCT_MUST(t, s == VC_PROXY_RUNNING, "status is %s after a second start; VC_PROXY_RUNNING is right", status_name(s));
    vct_sink_free(uri);
    vct_pod_cleanup(pod);
    vct_pod_free(pod);
}

static void p6(struct vct *t)
{
    struct stat st;
    struct vct_pod *pod = up_real(t);
    vcs_autofree char *path = strdup(vct_proxy_socket(pod));
    if (!path || !*path)
        vct_skip(t, "the proxy's address %s is no unix socket", vct_proxy_uri(pod));
    VCT_MUST(t, lstat(path, &st) == 0 && S_ISSOCK(st.st_mode), "there is no socket at %s", path);
    VCT_MUST(t, (st.st_mode & 0077) == 0, "the socket %s has mode %04o, so others may talk to the agent; 0600 is right",
             path, (unsigned)(st.st_mode & 07777));
    must_op(pod, "stop", "after start");
    VCT_MUST(t, lstat(path, &st) < 0, "the socket %s is still there after stop", path);
    vct_pod_free(pod);
    pod = up_real(t);
    free(path);
    path = strdup(vct_proxy_socket(pod));
    int r = vct_pod_cleanup(pod);
    VCT_MUST(t, r == VC_OK, "cleanup answered %s: %s", vct_code(r), t->err.text);
    VCT_MUST(t, path && lstat(path, &st) < 0, "the socket %s is still there after cleanup", path);
    const char *left = vct_pod_left(pod);
    VCT_MUST(t, !*left, "after cleanup: %s", left);
    vct_pod_free(pod);
}

const struct vct_check vct_checks_proxy[] = {
    { "P1", "proxy.h start", VCT_PX, VCT_QUICK, 0, "after start its process runs and its address leads to the agent",
      "The agent plugin and all shims connect to this address right after start. A proxy that answers VC_OK and "
      "carries nothing is "
      "found out only by a pod that hangs.",
      "Answer VC_OK when the process runs and listens: hand it a socket that listens already, or wait for its word. "
      "Start it with the "
      "host's spawn and give back what spawn gave.",
      p1 },
    { "P2", "proxy.h stop", VCT_PX, VCT_FULL, 0, "stop is idempotent, and done when it returns",
      "A pod is stopped by whoever comes, often twice, and after crashes; what follows relies on the process and the "
      "socket being gone.",
      "Answer VC_OK when there is nothing to stop. Kill through a pidfd (proc_fd), wait with proc_wait, then remove "
      "the socket.",
      p2 },
    { "P3", "proxy.h status", VCT_PX, VCT_FULL, 0, "a proxy that was killed is seen by status and check",
      "The host shows a pod as running as long as status says so; nobody would repair it.",
      "Ask the system in status and check (proc_fd of the saved vc_proc), not the memory of what was asked for.", p3 },
    { "P4", "proxy.h start, proc", VCT_PX, VCT_FULL, 0,
      "without a process the agent's address is passed through unchanged, and it runs until stop",
      "With vsock there is nothing to share. pid 0 tells the host that there is no process, and the agent plugin "
      "gets the address as "
      "the hypervisor gave it. By any other pid the host would watch, and end, a stranger.",
      "For an address that any number can connect to, write it to the sink byte for byte and give pid 0, or refuse "
      "with "
      "VC_E_UNSUPPORTED. Keep that it was started, in save too: until stop, status is VC_PROXY_RUNNING, check says "
      "VC_HEALTH_OK, and another start answers VC_E_EXISTS.",
      p4 },
    { "P5", "proxy.h start", VCT_PX, VCT_FULL, 0, "a second start answers VC_E_EXISTS and leaves the first one alone",
      "Two proxies on one channel tear the agent's stream apart, and the second takes the socket from those who know "
      "the first.",
      "Look whether the process runs before anything is made; only an address left by a dead one may be taken over.",
      p5 },
    { "P6", "proxy.h stop, plugin.h cleanup", VCT_PX, VCT_FULL, 0, "its socket has mode 0600 and goes away with it",
      "Whoever can connect runs commands in the pod. A socket that stays makes the next start fail and hides that "
      "nobody listens.",
      "fchmod the socket to 0600 before bind, below VC_PATH_RUN; unlink it in stop and in cleanup.", p6 },
    { "P7", "proxy.h, what a proxy carries", VCT_PX, VCT_FULL, 0,
      "what it carries comes whole and in order, both ways, and one end is not both",
      "The agent's calls and the processes' output go through it. A byte that is lost or doubled breaks a call "
      "far away from its cause; a proxy that stores without limit lets a guest fill the host's memory.",
      "Take from a side only what the other can be given (poll both), go on after a short write with the rest, "
      "and carry the end of one direction over with shutdown(SHUT_WR), not close.",
      vct_proxy_p7 },
    { "P8", "proxy.h, what a proxy carries", VCT_PX, VCT_FULL, 0,
      "clients do not wait for each other, nor suffer from each other",
      "The runtime and one shim per process are connected at once, for as long as the pod lives. One that does "
      "not read, or is killed, is everyday life, and must not be felt by the others.",
      "Serve all of them from one loop that never waits for one (O_NONBLOCK), ignore SIGPIPE, and take EPIPE "
      "and ECONNRESET for the end of that client only. A serial port takes one connection: connect once and share it "
      "by a protocol.",
      vct_proxy_p8 },
    { "P9", "proxy.h, what a proxy carries", VCT_PX, VCT_FULL, 0, "a client that has gone leaves nothing in the proxy",
      "A pod runs for months, and every exec is a client. What each leaves behind adds up until the proxy takes "
      "no more.",
      "Close both ends of a client when both directions are over, also of one that said nothing; end its thread "
      "or process.",
      vct_proxy_p9 },
    { .id = NULL },
};
