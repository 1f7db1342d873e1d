/* SPDX-License-Identifier: Apache-2.0 */
/* steps.c: how the checks of instances and of their state drive a pod: states, single ops, stuck peers. */
#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/stat.h>

#include "conformance/peer.h"
#include "conformance/steps.h"
#include "conformance/watch.h"
#include "lib/proc.h"

const uint32_t vct_states[] = { VCT_ST_FRESH, VCT_ST_MADE, VCT_ST_UP, VCT_ST_PAUSED, VCT_ST_DOWN, 0 };

const char *vct_state_name(uint32_t state)
{
    switch (state) {
    case VCT_ST_FRESH:
        return "fresh";
    case VCT_ST_MADE:
        return "made";
    case VCT_ST_UP:
        return "up";
    case VCT_ST_PAUSED:
        return "paused";
    case VCT_ST_DOWN:
        return "down";
    default:
        return "?";
    }
}

int vct_can_reach(struct vct_pod *pod, uint32_t state)
{
    if (state == VCT_ST_FRESH)
        return 1;
    for (const struct vct_op *op = pod->t->kind->ops; op->name; op++)
        if (op->to == state && vct_op_there(pod, op))
            return 1;
    return 0;
}

int vct_pod_bring(struct vct_pod *pod, uint32_t state)
{
    vct_pod_make(pod);
    if (!vct_can_reach(pod, state)) {
        vct_pod_close(pod);
        return 0;
    }
    if (state != VCT_ST_FRESH)
        vct_go(pod, state);
    return 1;
}

struct vct_pod *vct_pod_in(struct vct *t, uint32_t state)
{
    struct vct_pod *pod = vct_pod_new(t, NULL, 0);
    if (vct_pod_bring(pod, state))
        return pod;
    vct_pod_free(pod);
    return NULL;
}

int vct_op_call(struct vct_pod *pod, const struct vct_op *op, const struct vc_call *call)
{
    vct_here.pod = pod;
    int r = op->call(pod, call);
    vct_here.pod = NULL;
    if (r == VC_OK && op->to)
        pod->state = op->to;
    return r;
}

int vct_is_hollow(struct vct_pod *pod)
{
    return pod->t->kind->hollow && pod->t->kind->hollow(pod);
}

int vct_listed(int code)
{
    return code <= VC_OK && code >= VC_E_NOEXEC;
}

/* ---- what is left ---- */

unsigned vct_own_parts(struct vct *t, unsigned parts)
{
    return t->privileged && !t->s->real ? parts : parts & ~(unsigned)VCT_SNAP_FILES;
}

/* What the kernel writes as \040 and the like. */
static void unescape(char *text)
{
    char *to = text;
    for (const char *p = text; *p; to++) {
        unsigned n = 0;
        int is = p[0] == '\\' && sscanf(p + 1, "%3o", &n) == 1;
        *to = is ? (char)n : *p;
        p += is ? 4 : 1;
    }
    *to = '\0';
}

char *vct_mounts(void)
{
    char line[8192], at[4096];
    struct vcs_buf b = { 0 };
    vcs_autofclose FILE *f = fopen("/proc/self/mountinfo", "re");
    vcs_buf_printf(&b, "\n");
    while (f && fgets(line, sizeof(line), f))
        if (sscanf(line, "%*s %*s %*s %*s %4095s", at) == 1) {
            unescape(at);
            vcs_buf_printf(&b, "%s\n", at);
        }
    char *text = strdup(vcs_buf_str(&b) ? vcs_buf_str(&b) : "\n");
    vcs_buf_done(&b);
    return text;
}

static int path_below(const char *path, const char *dir)
{
    size_t n = strlen(dir);
    return !strncmp(path, dir, n) && path[n] == '/';
}

int vct_mount_unrecorded(const struct vct_pod *pod, const char *before, char *text, size_t size)
{
    vcs_autofree char *now = vct_mounts();
    char key[4100], *save = NULL;
    for (char *at = now ? strtok_r(now, "\n", &save) : NULL; at; at = strtok_r(NULL, "\n", &save)) {
        size_t i = 0;
        snprintf(key, sizeof(key), "\n%s\n", at);
        if (strstr(before, key) || (path_below(at, pod->dir) && !path_below(at, pod->run)))
            continue;
        while (i < pod->n_res && strcmp(pod->res[i].name, at))
            i++;
        if (i < pod->n_res)
            continue;
        snprintf(text, size, "%s", at);
        return 1;
    }
    return 0;
}

/* A word for what an entry of the run directory is, when it is more than a plain file. */
static const char *special(const char *dir, const char *name)
{
    char path[4400];
    struct stat st;
    snprintf(path, sizeof(path), "%s/%s", dir, name);
    if (lstat(path, &st) < 0)
        return NULL;
    return S_ISSOCK(st.st_mode) ? "socket" : S_ISFIFO(st.st_mode) ? "pipe" : NULL;
}

const char *vct_traces(struct vct_pod *pod)
{
    static char text[1024];
    const char *more = pod->t->kind->traces ? pod->t->kind->traces(pod) : "";
    vcs_autoclosedir DIR *d = opendir(pod->run);
    struct dirent *e;
    for (size_t i = 0; i < pod->n_procs; i++)
        if (vcs_proc_alive(&pod->procs[i])) {
            snprintf(text, sizeof(text), "the process %d is still alive", pod->procs[i].pid);
            return text;
        }
    while (d && (e = readdir(d)))
        if (special(pod->run, e->d_name)) {
            snprintf(text, sizeof(text), "the %s %s is still in the run directory", special(pod->run, e->d_name),
                     e->d_name);
            return text;
        }
    for (size_t i = 0; i < pod->n_res; i++)
        if (pod->res[i].type != VC_RES_LINK && access(pod->res[i].name, F_OK) == 0) {
            snprintf(text, sizeof(text), "%s, which was recorded by res_add, is still there", pod->res[i].name);
            return text;
        }
    snprintf(text, sizeof(text), "%s", more ? more : "");
    return text;
}

void vct_must_clean(struct vct_pod *pod, const char *when)
{
    int r = vct_pod_cleanup(pod);
    if (r != VC_OK)
        vct_fail(pod->t, "cleanup %s answers %s (%s); it has to remove every trace and answer VC_OK", when, vct_code(r),
                 pod->t->err.text);
    const char *left = vct_traces(pod);
    if (*left)
        vct_leak(pod->t, "after cleanup %s %s; cleanup removes every trace from the system", when, left);
}

/* ---- stuck peers ---- */

static int parent_of(pid_t pid)
{
    char path[64], text[512], *p;
    int ppid = -1;
    snprintf(path, sizeof(path), "/proc/%d/stat", pid);
    vcs_autoclose int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);
    if (n <= 0)
        return -1;
    text[n] = '\0';
    p = strrchr(text, ')');
    return p && sscanf(p + 1, " %*c %d", &ppid) == 1 ? ppid : -1;
}

static int is_below(pid_t pid, pid_t top)
{
    for (int depth = 0; depth < 16 && pid > 1; depth++) {
        if ((pid = parent_of(pid)) == top)
            return 1;
    }
    return 0;
}

int vct_freeze(struct vct_pod *pod, int on)
{
    int n = 0, sig = on ? SIGSTOP : SIGCONT;
    vcs_autoclosedir DIR *d = opendir("/proc");
    struct dirent *e;
    for (size_t i = 0; i < pod->n_procs; i++)
        if (vcs_proc_alive(&pod->procs[i]) && kill(pod->procs[i].pid, sig) == 0)
            n++;
    while (d && (e = readdir(d))) {
        pid_t pid = (int)strtol(e->d_name, NULL, 10);
        if (pid > 1 && pid != getpid() && is_below(pid, getpid()) && kill(pid, sig) == 0)
            n++;
    }
    return n;
}

/* The state of a life in which the op has to work and has most to talk to. */
static uint32_t best_state(struct vct_pod *pod, const struct vct_op *op)
{
    static const uint32_t order[] = { VCT_ST_UP, VCT_ST_PAUSED, VCT_ST_MADE, VCT_ST_FRESH, VCT_ST_DOWN };
    for (size_t i = 0; i < sizeof(order) / sizeof(order[0]); i++)
        if (op->from & order[i] && vct_can_reach(pod, order[i]))
            return order[i];
    return 0;
}

struct vct_pod *vct_pod_ready(struct vct *t, const struct vct_op *op)
{
    struct vct_pod *pod = vct_pod_new(t, NULL, 0);
    uint32_t state = 0;
    vct_pod_make(pod);
    if (vct_op_there(pod, op))
        state = best_state(pod, op);
    if (!state) {
        vct_pod_free(pod);
        return NULL;
    }
    if (state != VCT_ST_FRESH)
        vct_go(pod, state);
    /* What comes before it in this state of a life: device_del needs a device. */
    for (const struct vct_op *o = t->kind->ops; o != op; o++)
        if (!(o->flags & VCT_OP_PURE) && !o->to && o->from & state && vct_op_there(pod, o)) {
            int r = vct_op_call(pod, o, vct_call(t, 10000));
            VCT_MUST(t, r == VC_OK, "%s in state \"%s\" answers %s (%s); it has to work there", o->name,
                     vct_state_name(state), vct_code(r), t->err.text);
        }
    return pod;
}

void vct_stick(struct vct_pod *pod)
{
    vct_peer_switch(pod, "silent"); /* what is started from now on, too */
    vct_freeze(pod, 1);
}

void vct_unstick(struct vct_pod *pod)
{
    vct_freeze(pod, 0);
    vct_peer_switch(pod, "good");
}

/* ---- states ---- */

char *vct_bytes_of(struct vct_pod *pod, size_t *ret_len)
{
    char *bytes = NULL;
    int r = vct_pod_save(pod, &bytes, ret_len);
    if (r != VC_OK)
        vct_fail(pod->t, "save in state %s answers %s (%s); it may be called at any time and has to work",
                 vct_state_name(pod->state), vct_code(r), pod->t->err.text);
    return bytes;
}

void vct_must_restore(struct vct_pod *pod, const void *state, size_t len, const char *when)
{
    int r = vct_pod_restore(pod, pod->t->plugin->state_version, state, len);
    if (r != VC_OK)
        vct_fail(pod->t, "restore %s answers %s (%s) for the very bytes that save wrote (%zu bytes)", when, vct_code(r),
                 pod->t->err.text, len);
}

const char *vct_bytes_diff(const char *a, size_t a_len, const char *b, size_t b_len)
{
    static char text[512];
    size_t at = 0, from;
    char was[49], is[49];
    while (at < a_len && at < b_len && a[at] == b[at])
        at++;
    from = at > 12 ? at - 12 : 0;
    snprintf(was, sizeof(was), "%.*s", (int)(a_len - from > 40 ? 40 : a_len - from), a + from);
    snprintf(is, sizeof(is), "%.*s", (int)(b_len - from > 40 ? 40 : b_len - from), b + from);
    for (char *p = was; *p; p++)
        *p = (unsigned char)*p < ' ' || (unsigned char)*p > '~' ? '.' : *p;
    for (char *p = is; *p; p++)
        *p = (unsigned char)*p < ' ' || (unsigned char)*p > '~' ? '.' : *p;
    snprintf(text, sizeof(text), "%zu and %zu bytes, from byte %zu on: \"%s\" and \"%s\"", a_len, b_len, at, was, is);
    return text;
}
