/* SPDX-License-Identifier: Apache-2.0 */
/* checks-instance.c: making, using and ending instances, one and many (I1 to I10, and the table of the group). */
#include <dirent.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "conformance/checks-instance.h"
#include "conformance/steps.h"
#include "lib/io.h"

#define ROUNDS     100 /* lives */
#define LIGHT      500 /* rounds of create and close */
#define WINDOW     100
#define MANY       50
#define LIVES_NS   (INT64_C(1500) * 1000000)
#define TOKEN      "vct-evil"
#define MAX_RSS    (INT64_C(4) << 20)
#define LEAK_ROUND 16 /* bytes a round costs when something leaks */
#define LIVES      8 /* at least */
#define LIVES_WINDOW 2
#define LEAK_LIFE  16 /* bytes a life costs when something leaks; the tool itself needs none */

static const unsigned outside = VCT_SNAP_FDS | VCT_SNAP_THREADS | VCT_SNAP_CHILDREN | VCT_SNAP_FILES | VCT_SNAP_PROCESS;

/* Fail when these parts are not as they were. */
static void must_be_same(struct vct *t, const struct vct_snap *before, unsigned parts, const char *when)
{
    struct vct_snap *after = vct_snap();
    const char *diff = vct_snap_diff(before, after, vct_own_parts(t, parts));
    vct_snap_free(after);
    if (*diff)
        vct_leak(t, "%s: %s; everything an instance has must be gone when close returns", when, diff);
}

/* ---- I1, I2 ---- */

static void check_i1(struct vct *t)
{
    struct vct_pod *pod = vct_pod_new(t, NULL, 0);
    struct vct_snap *before = vct_snap(), *made;
    vct_pod_make(pod);
    made = vct_snap();
    const char *diff =
        vct_snap_diff(before, made, vct_own_parts(t, VCT_SNAP_CHILDREN | VCT_SNAP_FILES | VCT_SNAP_PROCESS));
    if (*diff)
        vct_fail(t, "create had an effect outside: %s; nothing outside of the process may exist because of it", diff);
    vct_snap_free(made);
    const char *left = vct_pod_left(pod);
    VCT_MUST(t, !*left, "create had an effect outside: %s; nothing outside of the process may exist because of it",
             left);
    VCT_MUST(t, !pod->calls[VCT_S_SPAWN],
             "create spawned a process; nothing outside of the process may exist because of it");
    VCT_MUST(t, !pod->calls[VCT_S_RES_ADD],
             "create recorded an external thing (res_add); it may have no external effect");
    vct_pod_close(pod);
    must_be_same(t, before, outside, "after create and close");
    vct_snap_free(before);
}

static void check_i2(struct vct *t)
{
    struct vct_pod *pod = vct_pod_new(t, NULL, 0);
    struct vct_snap *before = vct_snap();
    vct_pod_make(pod);
    vct_must_clean(pod, "of an instance that was just made");
    vct_pod_close(pod);
    must_be_same(t, before, outside, "after create, cleanup and close");
    vct_snap_free(before);
}

/* ---- I3 ---- */

static int64_t resident(void)
{
    vcs_autofclose FILE *f = fopen("/proc/self/statm", "re");
    long long pages = 0;
    if (!f || fscanf(f, "%*s %lld", &pages) != 1)
        return 0;
    return pages * sysconf(_SC_PAGESIZE);
}

/* create, what any host calls, close; a pod of its own, so that the tool keeps nothing either. */
static void light_round(struct vct *t)
{
    vcs_autofree char *bytes = NULL;
    uint32_t health;
    size_t len;
    struct vct_pod *pod = vct_pod_new(t, "round", VCT_NO_WORLD);
    vct_pod_make(pod);
    bytes = vct_bytes_of(pod, &len);
    vct_pod_check(pod, &health);
    vct_pod_close(pod);
    if (vct_pod_restore(pod, t->plugin->state_version, bytes, len) == VC_OK) {
        vct_pod_cleanup(pod);
        vct_pod_close(pod);
    }
    vct_pod_free(pod);
}

static void life_round(struct vct *t)
{
    struct vct_pod *pod = vct_pod_in(t, VCT_ST_UP);
    if (!pod)
        return;
    vct_must_clean(pod, "of an instance that is up");
    vct_pod_free(pod);
}

static void check_i3(struct vct *t)
{
    struct vct_snap *before = NULL;
    size_t heap = 0, grown = SIZE_MAX;
    int64_t rss = 0, end;
    int lives = 0;
    for (int i = 0; i <= LIGHT; i++) {
        if (i % WINDOW == 0 && i > 0) { /* what malloc keeps for itself comes once, a leak in every window */
            size_t used = vct_heap_used();
            if (i > WINDOW && (used < heap || used - heap < grown))
                grown = used < heap ? 0 : used - heap;
            heap = used;
        }
        if (i == WINDOW) {
            before = vct_snap();
            rss = resident();
            heap = vct_heap_used();
        }
        if (i < LIGHT)
            light_round(t);
    }
    must_be_same(t, before, VCT_SNAP_FDS | VCT_SNAP_THREADS | VCT_SNAP_CHILDREN,
                 "after rounds of create, save, restore and close");
    if (grown / WINDOW >= LEAK_ROUND)
        vct_leak(t,
                 "each round of create, save, close, restore, cleanup and close costs %zu bytes of memory; close has "
                 "to free "
                 "all of it",
                 grown / WINDOW);
    if (resident() > rss + MAX_RSS && vct_malloc_works()) /* sanitizers keep what was freed */
        vct_leak(t, "%d rounds of create, save, restore and close made the process %lld KiB larger", LIGHT - WINDOW,
                 (long long)(resident() - rss) / 1024);
    life_round(t);
    vct_snap_free(before);
    before = vct_snap();
    heap = vct_heap_used();
    grown = SIZE_MAX;
    end = vcs_now_ns() + LIVES_NS;
    while (lives < ROUNDS && (lives < LIVES || vcs_now_ns() < end)) {
        life_round(t);
        if (++lives % LIVES_WINDOW)
            continue;
        size_t used = vct_heap_used(), more = used < heap ? 0 : used - heap;
        grown = more < grown ? more : grown;
        heap = used;
    }
    if (grown / LIVES_WINDOW >= LEAK_LIFE && vct_malloc_works())
        vct_leak(t,
                 "each life (create, the members up to state \"up\", cleanup, close) costs %zu bytes of memory; close has to "
                 "free all of it",
                 grown / LIVES_WINDOW);
    vct_note(t, "%d rounds of create and close, %d lives, at least %zu bytes for each", LIGHT, lives, grown / LIVES_WINDOW);
    must_be_same(t, before, VCT_SNAP_FDS | VCT_SNAP_THREADS, "after lives that went up and were cleaned up");
    vct_snap_free(before);
}

/* ---- I4 ---- */

static void look_at_out(struct vct *t, const char *what, int r)
{
    const char *seen = vct_seen(t, "E6");
    if (r != VC_OK && seen)
        vct_fail(t, "%s failed with %s and did not leave its out-parameters alone: %s", what, vct_code(r), seen);
}

/* create with the k-th call of a service failing, for every k. How many creates failed. */
static int create_failing(struct vct *t, enum vct_service s)
{
    int failed = 0;
    for (uint64_t k = 1; k <= 64; k++) {
        struct vct_pod *pod = vct_pod_new(t, NULL, VCT_NO_WORLD);
        char what[96];
        pod->fault = s;
        pod->fault_code = VC_E_NOMEM;
        pod->fault_at = k;
        int r = vct_pod_create(pod), hit = pod->fault_hit;
        pod->fault_at = 0;
        snprintf(what, sizeof(what), "create, whose host service %s failed,", vct_service_name(s));
        look_at_out(t, what, r);
        failed += r != VC_OK;
        vct_pod_free(pod);
        if (!hit)
            break;
    }
    return failed;
}

static void check_i4(struct vct *t)
{
    static const enum vct_service services[] = { VCT_S_ALLOC,   VCT_S_PATH,    VCT_S_SINK_NEW, VCT_S_SINK_BYTES,
                                                 VCT_S_CFG_STR, VCT_S_CFG_INT, VCT_S_CFG_COUNT };
    int failed = 0;
    for (size_t i = 0; i < sizeof(services) / sizeof(services[0]); i++)
        failed += create_failing(t, services[i]);
    for (uint64_t k = 1; k <= 64 && vct_malloc_works(); k++) {
        struct vct_pod *pod = vct_pod_new(t, NULL, VCT_NO_WORLD);
        vct_malloc_fail_at(k);
        int r = vct_pod_create(pod);
        int came = vct_malloc_seen() >= k;
        vct_malloc_fail_at(0);
        look_at_out(t, "create, for which there was not enough memory,", r);
        failed += r != VC_OK;
        vct_pod_free(pod);
        if (!came)
            break;
    }
    struct vct_pod *pod = vct_pod_new(t, NULL, VCT_NO_WORLD);
    int r = vct_pod_restore(pod, t->plugin->state_version, "\377garbage\001", 9);
    look_at_out(t, "restore of bytes that save never wrote", r);
    if (r != VC_OK)
        failed++;
    vct_note(t, "%d failed calls of create and restore looked at", failed);
    if (!failed)
        vct_skip(t, "nothing makes create or restore of this plugin fail");
}

/* ---- I5 ---- */

/* A path of a unix socket that is listened on twice, in text. 1: there is one. */
static int shared_socket(char *text, size_t size)
{
    char line[1024], paths[256][200], path[200];
    unsigned flags;
    int n = 0;
    vcs_autofclose FILE *f = fopen("/proc/net/unix", "re");
    while (f && fgets(line, sizeof(line), f) && n < 256) {
        if (sscanf(line, "%*s %*s %*s %x %*s %*s %*s %199s", &flags, path) != 2 || !(flags & 0x10000) ||
            !strncmp(path, "/proc/", 6)) /* bound through a descriptor: says nothing */
            continue;
        for (int i = 0; i < n; i++)
            if (!strcmp(paths[i], path)) {
                snprintf(text, size, "both listen on the socket %s", path);
                return 1;
            }
        snprintf(paths[n++], sizeof(paths[0]), "%s", path);
    }
    return 0;
}

/* The number after `key` in a word ("guest-cid=5"); 0: none. */
static unsigned long number_after(const char *word, const char *key)
{
    const char *p = strstr(word, key);
    return p ? strtoul(p + strlen(key), NULL, 0) : 0;
}

/* Does a word of one pod's commands name what belongs to the other, or is it an address both cannot have? */
static int shared_word(struct vct_pod *a, struct vct_pod *b, char *text, size_t size)
{
    const char *words = (const char *)vcs_buf_data(&a->argv), *others = (const char *)vcs_buf_data(&b->argv);
    for (size_t i = 0; i < a->argv.len; i += strlen(words + i) + 1) {
        if (strstr(words + i, b->dir)) {
            snprintf(text, size, "a program of one was started with \"%.300s\", a path of the other", words + i);
            return 1;
        }
        unsigned long cid = number_after(words + i, "cid=");
        for (size_t k = 0; cid && k < b->argv.len; k += strlen(others + k) + 1)
            if (number_after(others + k, "cid=") == cid) {
                snprintf(text, size, "both have the vsock CID %lu", cid);
                return 1;
            }
    }
    for (size_t i = 0; i < a->n_res; i++)
        for (size_t k = 0; k < b->n_res; k++)
            if (!strcmp(a->res[i].name, b->res[k].name)) {
                snprintf(text, size, "both have recorded %s (res_add) as theirs", a->res[i].name);
                return 1;
            }
    return 0;
}

/* The effects of the members that led to where a pod is. */
static void still_works(struct vct_pod *pod, const char *when)
{
    char why[512] = "";
    uint32_t health = 0;
    for (const struct vct_op *op = pod->t->kind->ops; op->name; op++)
        if (op->to == pod->state && op->effect && vct_op_there(pod, op) && op->effect(pod, why, sizeof(why)) == 0)
            vct_fail(pod->t, "%s, the other one has lost the effect of its %s: %s; instances must share nothing", when,
                     op->name, why);
    int r = vct_pod_check(pod, &health);
    VCT_MUST(pod->t, r == VC_OK && health == VC_HEALTH_OK,
             "%s, check of the other one, which is up, answers %s with health %u (VC_HEALTH_OK is 1); instances must "
             "share nothing",
             when, vct_code(r), health);
}

static void two_at_once(struct vct *t)
{
    char text[1024];
    struct vct_pod *a = vct_pod_in(t, VCT_ST_UP), *b = a ? vct_pod_in(t, VCT_ST_UP) : NULL;
    if (!b)
        return;
    still_works(a, "While two instances are up");
    still_works(b, "While two instances are up");
    if (shared_socket(text, sizeof(text)) || shared_word(a, b, text, sizeof(text)) ||
        shared_word(b, a, text, sizeof(text)))
        vct_fail(t, "two instances at once: %s; each has to keep to its own VC_PATH_RUN", text);
    vct_must_clean(a, "of one of two instances");
    still_works(b, "When one of two instances was cleaned up");
    vct_must_clean(b, "of the second instance");
    vct_pod_free(a);
    vct_pod_free(b);
}

static void check_i5(struct vct *t)
{
    struct vct_pod *pods[MANY];
    size_t len[MANY];
    for (int i = 0; i < MANY; i++) {
        pods[i] = vct_pod_new(t, NULL, VCT_NO_WORLD);
        vct_pod_make(pods[i]);
        for (int k = 0; k < i; k++)
            VCT_MUST(t, pods[i]->inst != pods[k]->inst,
                     "create gave the same instance to two pods; each pod needs its own");
    }
    for (int i = 0; i < MANY; i++) {
        free(vct_bytes_of(pods[i], &len[i]));
        VCT_MUST(t, pods[i]->caps == pods[0]->caps, "caps of instance %d of %d is 0x%llx, that of the first is 0x%llx",
                 i + 1, MANY, (unsigned long long)pods[i]->caps, (unsigned long long)pods[0]->caps);
    }
    for (int i = MANY - 1; i >= 0; i--) {
        vct_must_clean(pods[i], "of one of fifty instances");
        vct_pod_free(pods[i]);
    }
    two_at_once(t);
}

/* ---- I6 ---- */

static void remove_entries(const char *path)
{
    vcs_autoclosedir DIR *d = opendir(path);
    struct dirent *e;
    while (d && (e = readdir(d)))
        if (strcmp(e->d_name, ".") && strcmp(e->d_name, ".."))
            vcs_remove_tree(dirfd(d), e->d_name);
}

static void clean_twice(struct vct_pod *pod, const char *what)
{
    char when[160];
    snprintf(when, sizeof(when), "of %s", what);
    vct_must_clean(pod, when);
    snprintf(when, sizeof(when), "a second time of %s", what);
    vct_must_clean(pod, when);
    vct_pod_close(pod);
    const char *left = vct_traces(pod);
    if (*left)
        vct_leak(pod->t, "after cleanup and close of %s %s", what, left);
    vct_pod_free(pod);
}

static void check_i6(struct vct *t)
{
    struct vct_pod *pod;
    char what[128];
    for (const uint32_t *s = vct_states; *s; s++) {
        if (!(pod = vct_pod_in(t, *s)))
            continue;
        snprintf(what, sizeof(what), "an instance in state \"%s\"", vct_state_name(*s));
        clean_twice(pod, what);
    }
    if ((pod = vct_pod_in(t, VCT_ST_UP))) {
        if (t->kind->kill_peer(pod) == 0)
            clean_twice(pod, "an instance whose peer was killed");
        else
            vct_pod_free(pod);
    }
    if ((pod = vct_pod_in(t, VCT_ST_UP))) {
        remove_entries(pod->run);
        clean_twice(pod, "an instance whose run directory somebody has emptied");
    }
    if ((pod = vct_pod_in(t, VCT_ST_UP))) {
        size_t len;
        vcs_autofree char *bytes = vct_bytes_of(pod, &len);
        vct_pod_close(pod);
        vct_must_restore(pod, bytes, len, "of an instance that is up");
        clean_twice(pod, "a restored instance");
    }
}

/* ---- I7 ---- */

static int refused(int r)
{
    return r == VC_E_STATE || r == VC_E_EXISTS || r == VC_E_NOTFOUND;
}

/* A member that is not possible in this state: it says so, and nothing has happened. */
static void call_refused(struct vct_pod *pod, const struct vct_op *op)
{
    struct vct *t = pod->t;
    size_t len, len2;
    vcs_autofree char *before = vct_bytes_of(pod, &len);
    uint32_t state = pod->state;
    int r = vct_op_call(pod, op, vct_call(t, 10000));
    VCT_MUST(t, r != VC_OK, "%s in state \"%s\" answers VC_OK; it is not possible there and has to answer VC_E_STATE",
             op->name, vct_state_name(state));
    VCT_MUST(t, refused(r),
             "%s in state \"%s\" answers %s (%s); it is not possible there, which VC_E_STATE says (VC_E_EXISTS or "
             "VC_E_NOTFOUND where the contract says so)",
             op->name, vct_state_name(state), vct_code(r), t->err.text);
    vcs_autofree char *after = vct_bytes_of(pod, &len2);
    VCT_MUST(t, len == len2 && !memcmp(before, after, len),
             "%s in state \"%s\" was refused and has changed the instance all the same "
             "(what save writes: %s)",
             op->name, vct_state_name(state), vct_bytes_diff(before, len, after, len2));
}

/* All members in one state; those that leave it on a pod of their own. */
static void matrix_row(struct vct *t, uint32_t state)
{
    struct vct_pod *pod = vct_pod_in(t, state);
    if (!pod)
        return;
    for (const struct vct_op *op = t->kind->ops; op->name; op++) {
        if (!vct_op_there(pod, op))
            continue;
        if (op->refuse & state)
            call_refused(pod, op);
        else if (op->from & state && (!op->to || op->to == state)) {
            int r = vct_op_call(pod, op, vct_call(t, 10000));
            VCT_MUST(t, r == VC_OK, "%s in state \"%s\" answers %s (%s); it has to work there", op->name,
                     vct_state_name(state), vct_code(r), t->err.text);
        }
    }
    for (const struct vct_op *op = t->kind->ops; op->name; op++) {
        if (!vct_op_there(pod, op) || op->refuse & state || (op->from & state && (!op->to || op->to == state)))
            continue;
        uint32_t from = pod->state;
        int r = vct_op_call(pod, op, vct_call(t, 10000));
        VCT_MUST(t, vct_listed(r), "%s in state \"%s\" answers %d, which is no code of the contract", op->name,
                 vct_state_name(from), r);
        VCT_MUST(t, r == VC_OK || !(op->from & from), "%s in state \"%s\" answers %s (%s); it has to work there",
                 op->name, vct_state_name(from), vct_code(r), t->err.text);
        if (pod->state == state && !(op->from & from))
            continue;
        vct_must_clean(pod, "in the middle of a life");
        vct_pod_free(pod);
        if (!(pod = vct_pod_in(t, state)))
            return;
    }
    vct_must_clean(pod, "after members in the wrong order");
    vct_pod_free(pod);
}

static void check_i7(struct vct *t)
{
    for (const uint32_t *s = vct_states; *s; s++)
        matrix_row(t, *s);
}

/* ---- I8 ---- */

/* Look for a name with the token in it below `dir`, but not in the run directory. 1: found, in text. */
static int find_token(const char *dir, const struct vct_pod *pod, int depth, char *text, size_t size)
{
    vcs_autoclosedir DIR *d = opendir(dir);
    struct dirent *e;
    while (d && (e = readdir(d))) {
        char path[4096];
        if (!strcmp(e->d_name, ".") || !strcmp(e->d_name, "..") ||
            snprintf(path, sizeof(path), "%s/%s", dir, e->d_name) >= (int)sizeof(path) || !strcmp(path, pod->run))
            continue;
        if (strstr(e->d_name, TOKEN) && strcmp(path, pod->dir)) {
            snprintf(text, size, "%.900s", path);
            return 1;
        }
        struct stat st;
        if (depth > 0 && lstat(path, &st) == 0 && S_ISDIR(st.st_mode) && find_token(path, pod, depth - 1, text, size))
            return 1;
    }
    return 0;
}

static void look_outside(struct vct_pod *pod, const char *id)
{
    const char *const dirs[] = { pod->t->s->scratch, "/tmp", "/var/tmp", "/dev/shm", "/run", "." };
    char found[1024];
    for (size_t i = 0; i < sizeof(dirs) / sizeof(dirs[0]); i++)
        if (find_token(dirs[i], pod, i ? 0 : 3, found, sizeof(found)))
            vct_fail(pod->t,
                     "with the pod id \"%s\" the plugin made %s, outside of its VC_PATH_RUN (%s); ids are not parts "
                     "of paths "
                     "unless they were checked",
                     id, found, pod->run);
}

/* Is it a step on the way to an instance that is up? */
static int leads_up(const struct vct_op *op, uint32_t state)
{
    if (op->to)
        return op->to > state && op->to <= VCT_ST_UP;
    return !(op->flags & VCT_OP_PURE) && state < VCT_ST_UP;
}

static void use_id(struct vct *t, const char *id, int valid)
{
    struct vct_pod *pod = vct_pod_new(t, id, 0);
    int r = vct_pod_create(pod);
    VCT_MUST(t, r == VC_OK || !valid,
             "create with the pod id \"%.140s\" (%zu characters) answers %s (%s); ids of the form "
             "[A-Za-z0-9][A-Za-z0-9_.-]{0,127} are what a host gives",
             id, strlen(id), vct_code(r), t->err.text);
    VCT_MUST(t, vct_listed(r), "create with the pod id \"%.140s\" answers %d, which is no code of the contract", id, r);
    if (r != VC_OK) {
        look_outside(pod, id);
        vct_pod_free(pod);
        return;
    }
    for (const struct vct_op *op = t->kind->ops; op->name; op++) {
        if (!vct_op_there(pod, op) || !(op->from & pod->state) || !leads_up(op, pod->state))
            continue;
        r = vct_op_call(pod, op, vct_call(t, 10000));
        VCT_MUST(t, r == VC_OK || !valid,
                 "%s of the pod \"%.140s\" (%zu characters) answers %s (%s); ids of that form have to work", op->name,
                 id, strlen(id), vct_code(r), t->err.text);
    }
    look_outside(pod, id);
    vct_must_clean(pod, "of a pod with an unusual id");
    look_outside(pod, id);
    vct_pod_free(pod);
}

static void check_i8(struct vct *t)
{
    static const char *const invalid[] = {
        "../" TOKEN,
        "../../" TOKEN,
        "../../../" TOKEN,
        "/tmp/" TOKEN,
        "a/" TOKEN,
        "..",
        ".",
        "",
        "-" TOKEN,
        "." TOKEN,
        "a b " TOKEN,
        TOKEN "-\303\244\342\202\254",
        TOKEN "\n",
        "%n%s" TOKEN,
        TOKEN ",x=1",
        "\377\376" TOKEN,
    };
    char name[129];
    use_id(t, "a", 1);
    use_id(t, "0._-Z", 1);
    memset(name, 'x', sizeof(name));
    name[64] = '\0';
    use_id(t, name, 1);
    name[64] = 'x';
    name[128] = '\0';
    use_id(t, name, 1);
    for (size_t i = 0; i < sizeof(invalid) / sizeof(invalid[0]); i++)
        use_id(t, invalid[i], 0);
}

/* ---- I9 ---- */

static uint64_t caps_of(struct vct_pod *pod)
{
    vct_enter(pod->t, "caps");
    uint64_t caps = vct_inst_ops(pod->t)->caps(pod->inst);
    vct_leave(pod->t, 0);
    return caps;
}

static void check_i9(struct vct *t)
{
    uint64_t first = 0;
    int seen = 0;
    for (const uint32_t *s = vct_states; *s; s++) {
        struct vct_pod *pod = vct_pod_in(t, *s);
        size_t len;
        if (!pod)
            continue;
        uint64_t caps = caps_of(pod);
        if (!seen++)
            first = caps;
        VCT_MUST(t, !(caps & ~t->plugin->caps_max),
                 "caps in state \"%s\" is 0x%llx, which is more than the caps_max 0x%llx of the "
                 "descriptor promises",
                 vct_state_name(*s), (unsigned long long)caps, (unsigned long long)t->plugin->caps_max);
        VCT_MUST(t, caps == pod->caps && caps == first,
                 "caps in state \"%s\" is 0x%llx and was 0x%llx right after create; it is constant", vct_state_name(*s),
                 (unsigned long long)caps, (unsigned long long)(caps == pod->caps ? first : pod->caps));
        vcs_autofree char *bytes = vct_bytes_of(pod, &len);
        vct_pod_close(pod);
        vct_must_restore(pod, bytes, len, "in the same process");
        caps = caps_of(pod);
        VCT_MUST(t, caps == first,
                 "caps after restore in state \"%s\" is 0x%llx and was 0x%llx before; a host relies on it in every "
                 "process",
                 vct_state_name(*s), (unsigned long long)caps, (unsigned long long)first);
        vct_must_clean(pod, "of a restored instance");
        vct_pod_free(pod);
    }
}

/* ---- I10 ---- */

static const void *ask_ext(struct vct_pod *pod, const char *id)
{
    vct_enter(pod->t, "ext");
    const void *p = vct_inst_ops(pod->t)->ext(pod->inst, id);
    vct_leave(pod->t, 0);
    return p;
}

static void check_i10(struct vct *t)
{
    static const char *const unknown[] = {
        "",
        "vc.no-such-thing/1",
        "org.example.none/1",
        VC_EXT_TEMPLATE " ",
        VC_EXT_TEMPLATE "x",
        VC_EXT_TEMPLATE "0",
        VC_EXT_TEMPLATE "/",
        (" " VC_EXT_TEMPLATE),
        "VC.TEMPLATE/1",
        "vc.template",
        "vc.template/",
        "vc.template/0",
        "vc.",
        "vc",
        "/",
        "%n%s%n",
        "\377\376",
        "../vc.template/1",
    };
    if (!vct_inst_ops(t)->ext)
        vct_skip(t, "the plugin has no ext member, which is allowed");
    struct vct_pod *pod = vct_pod_new(t, NULL, VCT_NO_WORLD);
    vct_pod_make(pod);
    for (size_t i = 0; i < sizeof(unknown) / sizeof(unknown[0]); i++)
        VCT_MUST(t, !ask_ext(pod, unknown[i]),
                 "ext(\"%s\") answers a table; only the exact id of an interface the plugin has gives "
                 "one, all others NULL",
                 unknown[i]);
    vcs_autofree char *longest = malloc(65537);
    if (!longest)
        vct_skip(t, "the machine has no memory left");
    memset(longest, 'a', 65536);
    memcpy(longest, VC_EXT_TEMPLATE, strlen(VC_EXT_TEMPLATE));
    longest[65536] = '\0';
    VCT_MUST(t, !ask_ext(pod, longest),
             "ext of an id of 64 KiB that begins with \"" VC_EXT_TEMPLATE "\" answers a table; it must be NULL");
    VCT_MUST(t, ask_ext(pod, VC_EXT_TEMPLATE) == ask_ext(pod, VC_EXT_TEMPLATE),
             "ext(\"" VC_EXT_TEMPLATE "\") answers two different tables when asked twice; it is static");
    vct_pod_free(pod);
}

/* ---- the table ---- */

#define ROW(i, r, l, fl, ti, re, rm, f)                                                                                \
    {                                                                                                                  \
        .id = i, .rule = r, .kinds = VCT_ANY_KIND, .level = l, .flags = fl, .title = ti, .reason = re, .remedy = rm,   \
        .run = f                                                                                                       \
    }

const struct vct_check vct_checks_instance[] = {
    ROW("I1", "plugin.h create, close", VCT_QUICK, VCT_NEEDS_MAKE,
        "create has no effect outside, and close takes everything back",
        "A host makes instances just to ask something; what stays behind adds up in a long-lived host.",
        "Start nothing and open nothing outside in create; free memory, descriptors and threads in close.", check_i1),
    ROW("I2", "plugin.h cleanup", VCT_QUICK, 0,
        "cleanup of an instance that was just made works and leaves nothing",
        "A host that fails between create and the first call cleans up: a failure there leaves a pod that "
        "cannot be deleted.",
        "Treat everything that was never made as already removed.", check_i2),
    ROW("I3", "plugin.h close", VCT_FULL, VCT_SLOW, "hundreds of rounds cost no descriptors, threads or memory",
        "An engine keeps a host alive for months and makes an instance for each call: what a round leaks ends it.",
        "Pair every allocation, open and pthread_create with its end in close; run the check under ASan to see "
        "where it was made.",
        check_i3),
    ROW("I4", "plugin.h Results", VCT_QUICK, VCT_NEEDS_MAKE, "a failed create or restore leaves *out alone",
        "A host that looks at *out after a failure would use, or close, an instance that is not there.",
        "Keep the new instance in a variable of your own and store it in *out as the last step.", check_i4),
    ROW("I5", "host.h VC_PATH_RUN", VCT_FULL, VCT_SLOW, "two and fifty instances at once share no path, CID or socket",
        "Pods run beside each other: what they share, one breaks for the other, and one guest reaches the "
        "other's channel.",
        "Name all sockets and files below VC_PATH_RUN; get CIDs and the like from the kernel, not from a constant.",
        check_i5),
    ROW("I6", "plugin.h cleanup", VCT_FULL, VCT_SLOW,
        "cleanup works in every state, twice, and when the peer was killed",
        "Deleting a pod is what people do when something went wrong: it must not depend on anything still being there.",
        "Let each step of cleanup take \"already gone\" (ESRCH, ENOENT) for success and go on with the next one.",
        check_i6),
    ROW("I7", "types.h VC_E_STATE", VCT_FULL, VCT_SLOW,
        "members in the wrong order answer VC_E_STATE, change nothing, never crash",
        "Several commands of people and engines come in any order; a crash takes the whole host process along.",
        "Look at the state at the start of each member and refuse before anything is changed.", check_i7),
    ROW("I8", "host.h VC_PATH_RUN", VCT_FULL, VCT_SLOW, "pod ids of all forms do no harm",
        "Ids come from outside: as a part of a path they lead out of the pod's directory, and long ones cut "
        "paths short.",
        "Take VC_PATH_RUN as the only directory and never put the id into a path; allocate names instead of "
        "fixed buffers.",
        check_i8),
    ROW("I9", "plugin.h caps", VCT_FULL, 0, "caps is constant, within caps_max, and the same after restore",
        "A host decides by caps once what it may call; bits that come and go make calls fail at random.",
        "Find out at create and restore what is possible here, from configuration and machine, not from the "
        "instance's state.",
        check_i9),
    ROW("I10", "plugin.h ext", VCT_QUICK, VCT_NEEDS_MAKE, "ext answers NULL for every id it does not know exactly",
        "A host calls through the table it gets: one for another interface or revision crashes it.",
        "Compare the whole id with strcmp, not the beginning of it.", check_i10),
    ROW("I11", "plugin.h check", VCT_FULL, VCT_SLOW, "check changes nothing, is quick, and says how it really is",
        "check is what tells people and engines that a pod has died; it is asked often, and also when the guest "
        "is stuck.",
        "Look at the process (proc_fd) and the socket, not at what was asked for last; ask the guest nothing.",
        vct_check_i11),
    ROW("I12", "plugin.h cancel", VCT_FULL, VCT_SLOW, "cancel ends a call that waits for a silent peer",
        "People press Ctrl-C and engines time out; a call that cannot be ended holds the pod's lock.",
        "Wait with poll on the peer and on an eventfd that cancel writes to; ask host->cancelled between two waits.",
        vct_check_i12),
    ROW("I13", "types.h deadline_ns", VCT_FULL, VCT_SLOW, "a stuck peer costs no more than the deadline, and no less",
        "A call that overstays its deadline stalls all that wait behind it; one that gives up early fails on a "
        "busy machine.",
        "Compute the time for each poll from deadline_ns; undo what was begun before VC_E_TIMEOUT is returned.",
        vct_check_i13),
    ROW("I14", "types.h deadline_ns", VCT_FULL, VCT_SLOW,
        "a deadline that has passed ends the call at once, without effect",
        "A host that was held up calls with no time left; what is begun then is never waited for and stays behind.",
        "Look at the deadline before anything is started or sent.", vct_check_i14),
    ROW("I15", "types.h VC_E_TIMEOUT", VCT_FULL, VCT_SLOW, "a peer's late answer after a timed-out call does no harm",
        "The answer to the call that timed out comes first: taken for that of the next call, everything is off by one.",
        "Give each request a number and drop answers to others, or make a new connection after a timeout.",
        vct_check_i15),
    ROW("I16", "types.h struct vc_call", VCT_FULL, VCT_SLOW,
        "every member works without error report, deadline and trace id",
        "All members of struct vc_call but size may be 0; hosts use that for calls whose failure is of no interest.",
        "Hand call->err on to err_set as it is (NULL is fine there) and look at pointers of the call before "
        "using them.",
        vct_check_i16),
    { .id = NULL },
};
