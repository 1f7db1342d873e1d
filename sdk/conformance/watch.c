/* SPDX-License-Identifier: Apache-2.0 */
/* watch.c: every call into the plugin: tell the parent, compare the process before and after, judge code and text. */
#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <stdint.h>
#include <string.h>

#include "conformance/watch.h"
#include "lib/utf8.h"

#define SEEN_MAX 24
#define POISON   0xa7

_Thread_local struct vct_thread vct_here;
atomic_int vct_running;
struct vct *vct_now;

/* What was seen, by check. */
static struct {
    char id[8];
    char text[1200];
} seen[SEEN_MAX];
static unsigned n_seen;
static unsigned parts;        /* VCT_SNAP_* to compare around each call */
static struct vct_snap *base; /* how it was when vct_watch_parts was called */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

void vct_thread_mine(void)
{
    vct_here.where = VCT_AT_TOOL;
}

void vct_watch_start(struct vct *t)
{
    pthread_mutex_lock(&lock);
    n_seen = 0;
    pthread_mutex_unlock(&lock);
    vct_here = (struct vct_thread){ .where = VCT_AT_TOOL };
    atomic_store(&vct_running, 0);
    vct_now = t;
    vct_watch_parts(0);
    vct_malloc_fail_at(0);
    vct_forbidden_forget();
    setvbuf(stdout, NULL, _IONBF, 0); /* so that it is seen in which call something was printed */
}

void vct_watch_parts(unsigned wanted)
{
    parts = wanted;
    vct_snap_free(base);
    base = wanted ? vct_snap_of(wanted) : NULL;
}

int vct_host_in(void)
{
    int was = vct_here.where;
    vct_here.where = VCT_AT_HOST;
    return was;
}

void vct_host_out(const int *before)
{
    vct_here.where = *before;
}

/* ---- findings ---- */

void vct_observe(struct vct *t, const char *id, const char *fmt, ...)
{
    (void)t;
    int was = vct_host_in();
    pthread_mutex_lock(&lock);
    unsigned i = 0;
    while (i < n_seen && strcmp(seen[i].id, id))
        i++;
    if (i == n_seen && n_seen < SEEN_MAX) {
        const char *op = vct_here.depth ? vct_here.frames[vct_here.depth - 1].name : NULL;
        snprintf(seen[i].id, sizeof(seen[i].id), "%s", id);
        int n = op ? snprintf(seen[i].text, sizeof(seen[i].text), "in %s: ", op) : 0;
        va_list ap;
        va_start(ap, fmt);
        vsnprintf(seen[i].text + n, sizeof(seen[i].text) - (size_t)n, fmt, ap);
        va_end(ap);
        n_seen++;
    }
    pthread_mutex_unlock(&lock);
    vct_host_out(&was);
}

const char *vct_seen(struct vct *t, const char *id)
{
    (void)t;
    const char *text = NULL;
    pthread_mutex_lock(&lock);
    for (unsigned i = 0; i < n_seen && !text; i++)
        if (strcmp(seen[i].id, id) == 0)
            text = seen[i].text;
    pthread_mutex_unlock(&lock);
    return text;
}

/* ---- files and sockets ---- */

/* Is `path` this directory or file, or below it? */
static int is_below(const char *path, const char *top)
{
    size_t n = strlen(top);
    while (n > 1 && top[n - 1] == '/')
        n--;
    return n && !strncmp(path, top, n) && (!path[n] || path[n] == '/');
}

int vct_path_known(const char *path)
{
    char scratch[PATH_MAX];
    if (realpath(vct_now->s->scratch, scratch) && is_below(path, scratch))
        return 1;
    int known = 0;
    vct_lock();
    for (const struct vct_pod *pod = vct_now->pods; pod && !known; pod = pod->next)
        for (size_t i = 0; i < pod->n_res && !known; i++)
            known = pod->res[i].type == VC_RES_PATH && is_below(path, pod->res[i].name);
    vct_unlock();
    return known;
}

void vct_made_outside(const char *path)
{
    vct_observe(vct_now, "S10",
                "it made %s outside its run directory (VC_PATH_RUN) without telling the host: a host that is killed "
                "never finds it again; what is outside has to be recorded by res_add before it is made",
                path);
}

/* ---- out-parameters ---- */

void vct_out(struct vct *t, void *out, size_t size, int poison)
{
    struct vct_thread *h = &vct_here;
    if (size > sizeof(h->outs[0].was) || h->n_outs == VCT_OUTS)
        vct_fail(t, "the tool registered an out-parameter of %zu bytes, or too many", size);
    if (poison)
        memset(out, POISON, size);
    h->outs[h->n_outs].at = out;
    h->outs[h->n_outs].n = size;
    memcpy(h->outs[h->n_outs++].was, out, size);
}

static void look_at_outs(struct vct *t, int code)
{
    struct vct_thread *h = &vct_here;
    for (unsigned i = 0; i < h->n_outs && code < 0; i++) {
        const unsigned char *now = h->outs[i].at, *was = h->outs[i].was;
        size_t at = 0;
        while (at < h->outs[i].n && now[at] == was[at])
            at++;
        if (at < h->outs[i].n)
            vct_observe(t, "E6",
                        "it answered %s and wrote to its out-parameter (byte %zu of %zu was 0x%02x and is 0x%02x); "
                        "out-parameters stay untouched on failure",
                        vct_code(code), at, h->outs[i].n, was[at], now[at]);
    }
    h->n_outs = 0;
}

/* ---- codes and texts ---- */

/* What is wrong with the text of an error; NULL: nothing. */
static const char *text_fault(const char *text)
{
    static _Thread_local char why[128];
    size_t len = strlen(text);
    const unsigned char *p = (const unsigned char *)text;
    if (!len)
        return "is empty";
    if (len > 1024) {
        snprintf(why, sizeof(why), "is %zu bytes long, and 1024 are allowed", len);
        return why;
    }
    for (size_t i = 0, n; i < len; i += n) {
        n = vcs_utf8(p + i, len - i);
        if (!n)
            snprintf(why, sizeof(why), "is not UTF-8 at byte %zu (0x%02x)", i, p[i]);
        else if (p[i] == '\n' || p[i] == '\r')
            snprintf(why, sizeof(why), "has more than one line (newline at byte %zu)", i);
        else if (!vcs_utf8_plain(p + i, n))
            snprintf(why, sizeof(why), "has a control byte (0x%02x) at byte %zu", p[i + n - 1], i);
        else
            continue;
        return why;
    }
    return NULL;
}

static void look_at_answer(struct vct *t, const struct vct_frame *f, int code)
{
    const struct vc_err *err = f->err;
    if (code > 0 || code < VC_E_NOEXEC)
        vct_observe(t, "E1",
                    "it answered %d, which is no code of the contract (0, or VC_E_INVAL -1 to VC_E_NOEXEC -19)", code);
    if (!err)
        return;
    int sets = err->sets - f->sets;
    if (code == VC_OK && sets > 0)
        vct_observe(
            t, "E3",
            "it answered VC_OK and reported an error all the same: \"%.300s\"; on success the report stays empty",
            err->text);
    if (code >= 0)
        return;
    if (sets == 0) {
        vct_observe(t, "E2", "it answered %s without a text (err_set was not called for the call's err)%s",
                    vct_code(code), t->when);
        return;
    }
    const char *why = text_fault(err->text);
    if (why)
        vct_observe(t, "E2", "it answered %s with a text that %s: \"%.200s\"%s", vct_code(code), why, err->text,
                    t->when);
}

/* ---- how much stack ---- */

#define PAINT      0x5c
#define PAINT_SIZE (512 * 1024)

static size_t stack_most;
static char stack_call[64];

void vct_watch_stack(int on)
{
    vct_here.measure = on;
}

size_t vct_stack_most(char *call, size_t size)
{
    snprintf(call, size, "%s", stack_call);
    return stack_most;
}

#if defined(__SANITIZE_ADDRESS__)
#define STACK_FN __attribute__((noinline, no_sanitize_address))
#elif defined(__clang__)
#define STACK_FN __attribute__((noinline, no_sanitize("address", "memory")))
#else
#define STACK_FN __attribute__((noinline))
#endif

/* Fill the stack below; the room next to this function's own frame is left, for it is in use. */
static STACK_FN void paint(void)
{
    char *here = __builtin_frame_address(0);
    volatile char *to = here - 512;
    vct_here.stack = here;
    for (volatile char *p = here - PAINT_SIZE; p < to; p++)
        *p = PAINT;
}

/* How far down the paint is gone. */
static STACK_FN size_t unpainted(void)
{
    volatile char *p = vct_here.stack - PAINT_SIZE;
    while (p < vct_here.stack && *p == PAINT)
        p++;
    return (size_t)(vct_here.stack - p);
}

/* ---- calls ---- */

/* "vct_inst_ops(t)->create" is shown as create. */
static void short_name(const char *expr, char *ret, size_t size)
{
    const char *p = expr + strlen(expr);
    while (p > expr && ((p[-1] >= 'a' && p[-1] <= 'z') || (p[-1] >= 'A' && p[-1] <= 'Z') ||
                        (p[-1] >= '0' && p[-1] <= '9') || p[-1] == '_'))
        p--;
    snprintf(ret, size, "%s", *p ? p : expr);
}

void vct_enter(struct vct *t, const char *expr)
{
    struct vct_thread *h = &vct_here;
    if (h->depth == VCT_FRAMES)
        vct_fail(t, "the tool nested its calls too deep");
    struct vct_frame *f = &h->frames[h->depth];
    *f = (struct vct_frame){ .before = h->where == VCT_AT_FOREIGN ? VCT_AT_TOOL : h->where, .pod = h->pod };
    h->where = VCT_AT_HOST;
    short_name(expr, f->name, sizeof(f->name));
    h->depth++;
    f->written[0] = (off_t)vct_output(t, NULL, 0);
    t->op = f->name;
    snprintf(t->last_op, sizeof(t->last_op), "%s", f->name);
    vct_tell_call(t, f->name);
    f->snap = parts ? vct_snap_of(parts) : NULL;
    vct_now = t;
    vct_process_mine();
    atomic_fetch_add(&vct_running, 1);
    if (h->measure)
        paint();
    h->where = VCT_AT_PLUGIN;
}

void vct_args(struct vct *t, const void *a, int a_is, const void *b, int b_is)
{
    struct vct_frame *f = &vct_here.frames[vct_here.depth - 1];
    if (b_is == 1) {
        const struct vc_call *call = b;
        int has = call && call->size >= offsetof(struct vc_call, err) + sizeof(call->err);
        f->err = has ? call->err : NULL;
    } else if (b_is == 2) {
        f->err = (struct vc_err *)(uintptr_t)b;
    }
    f->sets = f->err ? f->err->sets : 0;
    if (a_is == 2)
        vct_here.pod = a ? ((const vc_host *)a)->ctx : NULL;
    if (a_is != 1 || !a)
        return;
    vct_here.where = VCT_AT_HOST;
    vct_lock();
    for (struct vct_pod *pod = t->pods; pod; pod = pod->next)
        if (pod->inst == a)
            vct_here.pod = pod;
    vct_unlock();
    vct_here.where = VCT_AT_PLUGIN;
}

static void look_at_process(struct vct *t, struct vct_frame *f)
{
    char text[120] = "";
    size_t out = vct_output(t, NULL, 0);
    if (out > (size_t)f->written[0]) {
        vct_output(t, text, sizeof(text));
        text[strcspn(text, "\r\n")] = '\0'; /* a finding is one line; all of it stands below */
        vct_observe(
            t, "E4",
            "%zu bytes were written to standard output or standard error (\"%.100s\"); these belong to the program "
            "that uses the library",
            out - (size_t)f->written[0], text);
    }
    if (!f->snap)
        return;
    struct vct_snap *after = vct_snap_of(parts);
    const char *diff = vct_snap_diff(f->snap, after, parts & VCT_SNAP_PROCESS);
    if (diff[0])
        vct_observe(t, "T1", "the call changed what belongs to the whole process: %s", diff);
    diff = parts & VCT_SNAP_FDS ? vct_snap_no_cloexec(f->snap, after) : "";
    if (diff[0])
        vct_observe(
            t, "T2",
            "%s was opened without close-on-exec (O_CLOEXEC, SOCK_CLOEXEC, F_DUPFD_CLOEXEC): every program that "
            "anyone starts inherits it",
            diff);
    /* A new thread has all signals blocked until it runs for the first time: what an earlier call made is looked at,
     * too. */
    diff = parts & VCT_SNAP_THREADS ? vct_snap_unblocked(base, after) : "";
    if (diff[0])
        vct_observe(t, "T4", "%s: a thread of a plugin blocks all signals, else it takes those of the program", diff);
    diff = vct_snap_new_file(f->snap, after, vct_path_known);
    if (diff[0])
        vct_made_outside(diff);
    vct_snap_free(after);
    vct_snap_free(f->snap);
    f->snap = NULL;
}

int vct_leave(struct vct *t, int code)
{
    struct vct_thread *h = &vct_here;
    int saved = errno;
    atomic_fetch_sub(&vct_running, 1);
    h->where = VCT_AT_HOST;
    struct vct_frame *f = &h->frames[h->depth - 1];
    size_t used = h->measure ? unpainted() : 0;
    if (used > stack_most) {
        stack_most = used;
        snprintf(stack_call, sizeof(stack_call), "%s", f->name);
    }
    look_at_answer(t, f, code);
    look_at_outs(t, code);
    look_at_process(t, f);
    h->where = f->before;
    h->pod = f->pod;
    h->depth--;
    t->op = h->depth ? h->frames[h->depth - 1].name : NULL;
    vct_tell_call(t, t->op);
    errno = saved;
    return code;
}
