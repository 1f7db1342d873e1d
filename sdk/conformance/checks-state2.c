/* SPDX-License-Identifier: Apache-2.0 */
/* checks-state2.c: damaged and old states, run directories and sinks that fail, hosts that are killed (S5, S7, S8, S10,
 * S11). */
#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include "conformance/apart.h"
#include "conformance/checks-state.h"
#include "conformance/steps.h"
#include "conformance/trouble.h"
#include "conformance/watch.h"
#include "lib/io.h"
#include "lib/proc.h"

#define TRUNCATIONS 300
#define FLIPS       1200
#define KILLS       14 /* points of a life at which S10 kills */
#define SERVICES    4096
#define WRITES      48
#define DYING_MS    500 /* what a process that was killed needs to end, on a busy machine */

/* ---- S5 ---- */

struct damaged {
    struct vct_pod *pod;
    unsigned accepted, refused;
    uint64_t spawned, recorded;
    int warned;
};

static void must_live(struct vct_pod *pod, const char *what)
{
    for (size_t i = 0; i < pod->n_procs; i++)
        VCT_MUST(pod->t, vcs_proc_alive(&pod->procs[i]),
                 "restore of %s, and check, save and close after it, ended process %d; restore has no "
                 "external effect",
                 what, pod->procs[i].pid);
}

/* One damaged state: refused with the right code, or taken; never an effect.  What restore answered. */
static int try_state(struct damaged *d, uint32_t version, const char *bytes, size_t len, const char *what)
{
    struct vct_pod *pod = d->pod;
    struct vct *t = pod->t;
    uint32_t health;
    int r = vct_pod_restore(pod, version, bytes, len);
    if (r == VC_OK) {
        size_t got;
        char *out = NULL;
        d->accepted++;
        vct_pod_check(pod, &health);
        if (vct_pod_save(pod, &out, &got) == VC_OK)
            VCT_MUST(t, got <= VCT_STATE_MAX, "after restore of %s, save writes %zu bytes; at most %d are kept", what,
                     got, VCT_STATE_MAX);
        free(out);
        vct_pod_close(pod);
    } else {
        d->refused++;
        VCT_MUST(t, r == VC_E_CORRUPT || r == VC_E_UNSUPPORTED,
                 "restore of %s answers %s (%s); VC_E_CORRUPT is what says that stored "
                 "state cannot be read (VC_E_UNSUPPORTED: not this version)",
                 what, vct_code(r), t->err.text);
    }
    VCT_MUST(t, pod->calls[VCT_S_SPAWN] == d->spawned && pod->calls[VCT_S_RES_ADD] == d->recorded,
             "restore of %s, and check, save and close after it, %s; restore has no external effect", what,
             pod->calls[VCT_S_SPAWN] != d->spawned ? "started a process" : "recorded an external thing");
    must_live(pod, what);
    return r;
}

static void try_lengths(struct damaged *d, uint32_t version, const char *bytes, size_t len)
{
    char what[96];
    try_state(d, version, "", 0, "no bytes at all");
    size_t step = len / TRUNCATIONS + 1;
    for (size_t n = 1; n < len; n += step) {
        snprintf(what, sizeof(what), "the first %zu of %zu bytes", n, len);
        try_state(d, version, bytes, n, what);
    }
    vcs_autofree char *twice = malloc(2 * len + 2);
    if (!twice)
        return;
    memcpy(twice, bytes, len);
    memcpy(twice + len, bytes, len);
    try_state(d, version, twice, 2 * len, "the right bytes twice, one after another");
    twice[len] = '\0';
    try_state(d, version, twice, len + 1, "the right bytes and a NUL byte");
}

static void try_flips(struct damaged *d, uint32_t version, const char *bytes, size_t len)
{
    struct vct *t = d->pod->t;
    vcs_autofree char *copy = malloc(len + 1);
    char what[96];
    size_t all = len * 8, n = all < FLIPS ? all : FLIPS;
    for (size_t i = 0; copy && i < n; i++) {
        size_t bit = all == n ? i : (size_t)(vct_random(t) % all);
        memcpy(copy, bytes, len);
        copy[bit / 8] = (char)(copy[bit / 8] ^ 1 << bit % 8);
        snprintf(what, sizeof(what), "a state with bit %zu of byte %zu the other way", bit % 8, bit / 8);
        try_state(d, version, copy, len, what);
    }
    for (size_t i = 0; copy && i < n / 4 && len > 0; i++) { /* several bytes of any value */
        memcpy(copy, bytes, len);
        for (int k = 0; k < 4; k++)
            copy[vct_random(t) % len] = (char)(vct_random(t) >> 8);
        snprintf(what, sizeof(what), "a state with four random bytes (round %zu)", i);
        try_state(d, version, copy, len, what);
    }
}

static void try_noise(struct damaged *d, uint32_t version)
{
    static const size_t sizes[] = { 1, 7, 64, 4096, VCT_STATE_MAX, VCT_STATE_MAX + 1, 1024 * 1024 };
    struct vct *t = d->pod->t;
    vcs_autofree char *noise = malloc(1024 * 1024);
    char what[64];
    for (size_t i = 0; noise && i < sizeof(sizes) / sizeof(sizes[0]); i++)
        for (int kind = 0; kind < 4; kind++) {
            for (size_t k = 0; k < sizes[i]; k++)
                noise[k] = kind == 0 ? (char)vct_random(t) : kind == 1 ? '0' : kind == 2 ? '{' : '\n';
            snprintf(what, sizeof(what), "%zu bytes of noise", sizes[i]);
            try_state(d, version, noise, sizes[i], what);
        }
}

static void try_versions(struct damaged *d, const char *bytes, size_t len)
{
    const struct vc_plugin *p = d->pod->t->plugin;
    const uint32_t versions[] = { 0, p->state_version_min - 1, p->state_version + 1, UINT32_MAX, INT32_MAX };
    for (size_t i = 0; i < sizeof(versions) / sizeof(versions[0]); i++) {
        char what[96];
        unsigned before = d->accepted;
        if (versions[i] >= p->state_version_min && versions[i] <= p->state_version)
            continue;
        snprintf(what, sizeof(what), "a state of version %u", versions[i]);
        int r = try_state(d, versions[i], bytes, len, what);
        if (r == VC_E_CORRUPT && !d->warned++)
            vct_warn(d->pod->t,
                     "restore of %s answers VC_E_CORRUPT; VC_E_UNSUPPORTED is right for versions other than %u to %u: the "
                     "state is sound, and another release reads it",
                     what, p->state_version_min, p->state_version);
        VCT_MUST(d->pod->t, d->accepted == before,
                 "restore of %s answers VC_OK; the descriptor says that %u to %u can be read", what,
                 p->state_version_min, p->state_version);
    }
}

void vct_check_s5(struct vct *t)
{
    static const uint32_t states[] = { VCT_ST_FRESH, VCT_ST_UP };
    struct damaged d = { .accepted = 0 };
    for (size_t i = 0; i < 2; i++) {
        size_t len;
        struct vct_pod *pod = vct_pod_in(t, states[i]);
        if (!pod)
            continue;
        vcs_autofree char *bytes = vct_bytes_of(pod, &len);
        vct_pod_close(pod);
        struct vct_snap *before = vct_snap(), *after;
        d.pod = pod;
        d.spawned = pod->calls[VCT_S_SPAWN];
        d.recorded = pod->calls[VCT_S_RES_ADD];
        try_versions(&d, bytes, len);
        try_lengths(&d, t->plugin->state_version, bytes, len);
        try_flips(&d, t->plugin->state_version, bytes, len);
        if (i == 1)
            try_noise(&d, t->plugin->state_version);
        for (int k = 0; k < 15 && pod->n_procs; k++) { /* on a busy machine a killed process lives on for a moment */
            must_live(pod, "one of the damaged states");
            poll(NULL, 0, 20);
        }
        after = vct_snap();
        const char *diff = vct_snap_diff(before, after, vct_own_parts(t, VCT_SNAP_ALL));
        if (*diff)
            vct_leak(t, "after restore of damaged states: %s; a failed restore leaves nothing behind", diff);
        vct_snap_free(before);
        vct_snap_free(after);
        vct_must_restore(pod, bytes, len, "after damaged ones");
        vct_must_clean(pod, "after damaged states");
        vct_pod_free(pod);
    }
    vct_note(t, "%u damaged states refused, %u taken for valid", d.refused, d.accepted);
}

/* ---- S7 ---- */

/* A process that cleanup had to end and to wait for.  One that was killed may look alive for a moment. */
static void must_be_over(struct vct *t, const struct vc_proc *p, const char *when, const char *more)
{
    char state;
    uint64_t ticks;
    if (!vct_has_ended(p, DYING_MS))
        vct_leak(t, "cleanup %s leaves process %d running%s", when, p->pid, more);
    else if (vcs_proc_stat(p->pid, &ticks, &state) == 0 && ticks == p->start_ticks)
        vct_leak(t,
                 "cleanup %s leaves process %d, which has ended%s, not waited for: proc_wait returns when it has ended, and "
                 "reaps it; proc_done comes after that",
                 when, p->pid, vct_how_ended(p));
}

/* A life in a run directory that does not work: any call may fail, with a code and a text; cleanup may not (but where
 * nothing can be removed it may say so). */
static void life_without_run(struct vct_pod *pod, const char *how, int read_only)
{
    struct vct *t = pod->t;
    char when[128];
    int r = vct_pod_create(pod);
    VCT_MUST(t, vct_listed(r) && (r == VC_OK || t->err.text[0]), "create with a run directory that is %s answers %s%s",
             how, vct_code(r), t->err.text[0] ? "" : " without a text; people need to know what cannot be written");
    if (r != VC_OK)
        return;
    for (const struct vct_op *op = t->kind->ops; op->name; op++) {
        if (!vct_op_there(pod, op) || !(op->from & pod->state))
            continue;
        r = vct_op_call(pod, op, vct_call(t, 10000));
        VCT_MUST(t, vct_listed(r) && (r == VC_OK || t->err.text[0]), "%s with a run directory that is %s answers %s%s",
                 op->name, how, vct_code(r),
                 t->err.text[0] ? "" : " without a text; people need to know what cannot be written");
        char why[512] = "";
        VCT_MUST(t, r != VC_OK || !op->effect || op->effect(pod, why, sizeof(why)) != 0,
                 "%s with a run directory that is %s answers "
                 "VC_OK without having had its effect: %s",
                 op->name, how, why);
    }
    snprintf(when, sizeof(when), "with a run directory that is %s", how);
    r = vct_pod_cleanup(pod);
    const char *left = vct_traces(pod);
    if (*left)
        vct_leak(t, "after cleanup %s %s; cleanup removes every trace from the system", when, left);
    /* Where nothing can be removed it is right to say so, even if there was nothing to remove. */
    VCT_MUST(t, r == VC_OK || (read_only && vct_listed(r) && t->err.text[0]),
             "cleanup %s answers %s (%s); it has to remove every trace and "
             "answer VC_OK",
             when, vct_code(r), t->err.text);
    vct_pod_close(pod);
}

/* The run directory goes away, or becomes read-only, under an instance that is up. */
static void run_lost(struct vct *t, int remount)
{
    const char *how = remount ? "read-only since it was up" : "gone since it was up";
    struct vct_pod *pod = vct_pod_new(t, NULL, 0);
    char when[128];
    uint32_t health;
    size_t len;
    if (remount && mount("none", pod->run, "tmpfs", 0, "mode=0700") < 0) {
        vct_pod_free(pod);
        return;
    }
    if (vct_pod_bring(pod, VCT_ST_UP)) {
        vcs_autofree char *bytes = vct_bytes_of(pod, &len);
        vct_pod_close(pod);
        if (remount)
            mount("none", pod->run, NULL, MS_REMOUNT | MS_RDONLY, NULL);
        else
            vcs_remove_tree(AT_FDCWD, pod->run);
        int r = vct_pod_restore(pod, t->plugin->state_version, bytes, len);
        VCT_MUST(t, r == VC_OK,
                 "restore with a run directory that is %s answers %s (%s); the instance is needed for cleanup", how,
                 vct_code(r), t->err.text);
        r = vct_pod_check(pod, &health);
        VCT_MUST(t, r == VC_OK, "check with a run directory that is %s answers %s (%s)", how, vct_code(r), t->err.text);
        snprintf(when, sizeof(when), "with a run directory that is %s", how);
        r = vct_pod_cleanup(pod);
        VCT_MUST(t, r == VC_OK || remount, "cleanup %s answers %s (%s); what is gone is removed already", when,
                 vct_code(r), t->err.text);
        for (size_t i = 0; i < pod->n_procs; i++)
            must_be_over(t, &pod->procs[i], when,
                         "; that a file cannot be removed must not keep it from ending processes");
        vct_pod_close(pod);
    }
    if (remount)
        umount2(pod->run, MNT_DETACH);
    vct_pod_free(pod);
}

static void life_on_mount(struct vct *t, const char *options, unsigned long flags, const char *how)
{
    struct vct_pod *pod = vct_pod_new(t, NULL, 0);
    if (mount("none", pod->run, "tmpfs", flags, options) == 0) {
        life_without_run(pod, how, (flags & MS_RDONLY) != 0);
        umount2(pod->run, MNT_DETACH);
    } else {
        vct_note(t, "a run directory that is %s cannot be had: %s", how, strerror(errno));
    }
    vct_pod_free(pod);
}

void vct_check_s7(struct vct *t)
{
    struct vct_pod *pod = vct_pod_new(t, NULL, 0);
    vcs_remove_tree(AT_FDCWD, pod->run);
    life_without_run(pod, "missing", 0);
    vct_pod_free(pod);
    run_lost(t, 0);
    if (!t->privileged) {
        vct_note(t, "read-only and full run directories need a mount namespace of its own");
        return;
    }
    life_on_mount(t, "mode=0700", MS_RDONLY, "read-only");
    life_on_mount(t, "mode=0700,nr_inodes=1", 0, "full (no file can be made)");
    run_lost(t, 1);
}

/* ---- S8 ---- */

static void short_save(struct vct_pod *pod, size_t step)
{
    struct vct *t = pod->t;
    struct vc_sink sink = { .step = step };
    int r = VCT(t, vct_inst_ops(t)->save, pod->inst, vct_call(t, 10000), &sink);
    size_t wrote = sink.buf.len;
    vcs_buf_done(&sink.buf);
    VCT_MUST(t, r != VC_OK, "save answers VC_OK, but the host's write took only %zu bytes and answered VC_E_RESOURCE",
             wrote);
    VCT_MUST(t, r == VC_E_RESOURCE,
             "save answers %s (%s) where the host's write answered VC_E_RESOURCE; that code is to be passed on",
             vct_code(r), t->err.text);
}

/* The k-th write of each member fails: the member does, too. */
static void failing_write(struct vct_pod *pod, const struct vct_op *op)
{
    struct vct *t = pod->t;
    static const int codes[] = { VC_E_RESOURCE, VC_E_NOMEM };
    for (uint64_t k = 1; k <= 4; k++)
        for (int i = 0; i < 2; i++) {
            uint32_t state = pod->state;
            pod->fault = VCT_S_WRITE;
            pod->fault_code = codes[i];
            pod->fault_seen = 0;
            pod->fault_hit = 0;
            pod->fault_at = k;
            int r = vct_op_call(pod, op, vct_call(t, 10000));
            pod->fault_at = 0;
            if (!pod->fault_hit)
                return;
            VCT_MUST(t, r != VC_OK,
                     "%s answers VC_OK, but its result could not be written: the host's write answered %s", op->name,
                     vct_code(codes[i]));
            VCT_MUST(t, r == codes[i],
                     "%s answers %s (%s) where the host's write answered %s; that code is to be passed on", op->name,
                     vct_code(r), t->err.text, vct_code(codes[i]));
            pod->state = state;
        }
}

void vct_check_s8(struct vct *t)
{
    for (const uint32_t *s = vct_states; *s; s++) {
        struct vct_pod *pod = vct_pod_in(t, *s);
        size_t len, len2;
        if (!pod)
            continue;
        vcs_autofree char *bytes = vct_bytes_of(pod, &len);
        size_t step = len / WRITES + 1;
        for (size_t n = 1; n < len; n += step)
            short_save(pod, n);
        for (const struct vct_op *op = t->kind->ops; op->name; op++)
            if (vct_op_there(pod, op) && op->from & *s && (op->flags & VCT_OP_PURE || op->to > *s))
                if (pod->state == *s)
                    failing_write(pod, op);
        if (pod->state == *s) {
            vcs_autofree char *after = vct_bytes_of(pod, &len2);
            VCT_MUST(t, len == len2 && !memcmp(bytes, after, len),
                     "calls whose results could not be written have changed the instance in "
                     "state \"%s\": %s",
                     vct_state_name(*s), vct_bytes_diff(bytes, len, after, len2));
        }
        vct_must_clean(pod, "after results that could not be written");
        vct_pod_free(pod);
    }
}

/* ---- S10 ---- */

/* What outlives the process that is killed. */
struct record {
    unsigned n;                       /* host services so far */
    unsigned kill_at;                 /* 0: never */
    unsigned char services[SERVICES]; /* which ones */
    char member[64];
    int have; /* there is a saved state: */
    uint32_t state;
    size_t len;
    char bytes[VCT_STATE_MAX];
    size_t n_procs;
    struct vc_proc procs[VCT_PROCS];
};
struct killed {
    struct vct_pod *pod;
    struct record *record;
};
static struct record *recording; /* for the hook, which gets no argument */

static int before_service(struct vct_pod *pod, enum vct_service s)
{
    struct record *rec = recording;
    if (s == VCT_S_LOG || s == VCT_S_LOG_ENABLED || s == VCT_S_ALLOC || s == VCT_S_FREE || s == VCT_S_SINK_FREE ||
        s == VCT_S_ERR_SET)
        return 0;
    if (rec->n < SERVICES)
        rec->services[rec->n] = (unsigned char)s;
    if (++rec->n == rec->kill_at) {
        snprintf(rec->member, sizeof(rec->member), "%s", pod->t->op ? pod->t->op : "?");
        kill(getpid(), SIGKILL);
    }
    return 0;
}

static void keep(struct killed *k)
{
    struct record *rec = k->record;
    struct vct_pod *pod = k->pod;
    size_t len;
    vcs_autofree char *bytes = vct_bytes_of(pod, &len);
    if (len > VCT_STATE_MAX)
        return;
    rec->have = 0;
    memcpy(rec->bytes, bytes, len);
    rec->len = len;
    rec->state = pod->state;
    rec->n_procs = pod->n_procs;
    memcpy(rec->procs, pod->procs, pod->n_procs * sizeof(pod->procs[0]));
    rec->have = 1;
}

static void s10_life(struct vct *t, void *arg)
{
    struct killed *k = arg;
    struct vct_pod *pod = k->pod;
    recording = k->record;
    pod->on_service = before_service;
    vct_pod_make(pod);
    keep(k);
    for (const struct vct_op *op = t->kind->ops; op->name; op++) {
        if (!vct_op_there(pod, op) || !(op->from & pod->state) || op->flags & VCT_OP_PURE)
            continue;
        int r = vct_op_call(pod, op, vct_call(t, 10000));
        VCT_MUST(t, r == VC_OK, "%s answers %s (%s)", op->name, vct_code(r), t->err.text);
        keep(k);
    }
    int r = vct_pod_cleanup(pod);
    VCT_MUST(t, r == VC_OK, "cleanup answers %s (%s)", vct_code(r), t->err.text);
    vct_pod_close(pod);
    pod->on_service = NULL;
}

static void s10_after(struct vct *t, void *arg)
{
    struct killed *k = arg;
    struct record *rec = k->record;
    struct vct_pod *pod = k->pod;
    char when[128];
    if (!rec->have)
        return;
    snprintf(when, sizeof(when), "after the host was killed in %s", rec->member);
    int r = vct_pod_restore(pod, t->plugin->state_version, rec->bytes, rec->len);
    VCT_MUST(t, r == VC_OK, "restore %s answers %s (%s) for the state that was saved last", when, vct_code(r),
             t->err.text);
    pod->state = rec->state;
    r = vct_pod_cleanup(pod);
    VCT_MUST(t, r == VC_OK, "cleanup %s answers %s (%s); it works on what is half-made and half-removed", when,
             vct_code(r), t->err.text);
    for (size_t i = 0; i < rec->n_procs; i++)
        if (vcs_proc_alive(&rec->procs[i])) /* a zombie is of the host that was killed */
            must_be_over(t, &rec->procs[i], when, ", which the saved state knew of");
    vct_pod_close(pod);
}

/* Children of `top` besides this process: what the killed one has left.  (What belongs to the peers is below this one.)
 */
static size_t orphans_of(pid_t top, struct vc_proc *list, size_t max)
{
    vcs_autoclosedir DIR *d = opendir("/proc");
    struct dirent *e;
    size_t n = 0;
    while (d && (e = readdir(d)) && n < max) {
        pid_t pid = (int)strtol(e->d_name, NULL, 10);
        char path[64], text[512], *p;
        int ppid;
        if (pid <= 0 || pid == getpid())
            continue;
        snprintf(path, sizeof(path), "/proc/%d/stat", pid);
        vcs_autoclose int fd = open(path, O_RDONLY | O_CLOEXEC);
        ssize_t got = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);
        text[got > 0 ? got : 0] = '\0';
        p = strrchr(text, ')');
        if (p && sscanf(p + 1, " %*c %d", &ppid) == 1 && ppid == top && vcs_proc_identify(pid, &list[n]) == 0)
            n++;
    }
    return n;
}

static int is_in(const struct vc_proc *p, const struct vc_proc *list, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (list[i].pid == p->pid && list[i].start_ticks == p->start_ticks)
            return 1;
    return 0;
}

/* The first of them that is alive, also a moment later: what a VMM or a proxy started itself ends after it.  Those that
 * were there before (of a guest that had ended, say) do not count. */
static pid_t still_alive(const struct vc_proc *list, size_t n, const struct vc_proc *before, size_t n_before)
{
    int64_t until = vcs_now_ns() + INT64_C(500000000);
    for (size_t i = 0; i < n; i++)
        while (!is_in(&list[i], before, n_before) && vcs_proc_alive(&list[i])) {
            if (vcs_now_ns() >= until)
                return list[i].pid;
            poll(NULL, 0, 5);
        }
    return 0;
}

/* A life that is killed before host service number `at`. */
static void kill_once(struct vct *t, struct record *rec, unsigned at)
{
    struct killed k = { .pod = vct_pod_new(t, NULL, 0), .record = rec };
    struct vct_snap *before = vct_snap();
    struct vc_proc old[VCT_PROCS], orphans[VCT_PROCS];
    size_t n_old = orphans_of(getppid(), old, VCT_PROCS);
    rec->n = 0;
    rec->have = 0;
    rec->kill_at = at;
    int sig = vct_apart_killed(t, s10_life, &k);
    if (!rec->member[0])
        snprintf(rec->member, sizeof(rec->member), "a call");
    VCT_MUST(t, !sig || sig == SIGKILL, "the process was ended by signal %d", sig);
    vct_ledger_read(k.pod); /* all that a host knows now, besides the state */
    sig = sig ? vct_apart_killed(t, s10_after, &k) : 0;
    VCT_MUST(t, !sig, "restore or cleanup after the host was killed in %s was ended by signal %d", rec->member, sig);
    const char *more = t->kind->traces ? t->kind->traces(k.pod) : "";
    if (more && *more)
        vct_leak(t, "after the host was killed in %s, restore and cleanup: %s", rec->member, more);
    struct vct_snap *after = vct_snap();
    const char *diff = vct_snap_diff(before, after, vct_own_parts(t, VCT_SNAP_FILES));
    if (*diff)
        vct_leak(t,
                 "after the host was killed in %s, restore and cleanup: %s; what is outside of VC_PATH_RUN has to be "
                 "recorded by res_add before it is made",
                 rec->member, diff);
    vct_snap_free(before);
    vct_snap_free(after);
    size_t n = orphans_of(getppid(), orphans, VCT_PROCS);
    vct_pod_free(k.pod); /* ends what is on record */
    pid_t pid = still_alive(orphans, n, old, n_old);
    if (pid)
        vct_leak(t,
                 "after the host was killed in %s, cleanup, and the end of all that is on record, process %d is left; "
                 "make processes by vc_host.spawn, which records them",
                 rec->member, pid);
}

/* Worth a look: just before and after something outside is made or removed. */
static int is_turning_point(const struct record *all, unsigned i)
{
    static const enum vct_service heavy[] = { VCT_S_SPAWN, VCT_S_RES_ADD, VCT_S_RES_DEL, VCT_S_PROC_DONE,
                                              VCT_S_NETNS_RUN };
    for (size_t k = 0; k < sizeof(heavy) / sizeof(heavy[0]); k++)
        if (all->services[i] == heavy[k] || (i > 0 && all->services[i - 1] == heavy[k]))
            return 1;
    return 0;
}

/* What is mounted without being on record nobody finds again when the host is killed before the next save. */
static void mounts_recorded(struct vct *t)
{
    struct vct_pod *pod = vct_pod_new(t, NULL, 0);
    vcs_autofree char *before = vct_mounts();
    char path[4200];
    vct_pod_make(pod);
    for (const struct vct_op *op = t->kind->ops; op->name && before; op++) {
        if (!vct_op_there(pod, op) || !(op->from & pod->state) || op->flags & VCT_OP_PURE)
            continue;
        int r = vct_op_call(pod, op, vct_call(t, 10000));
        VCT_MUST(t, r == VC_OK, "%s answers %s (%s)", op->name, vct_code(r), t->err.text);
        if (vct_mount_unrecorded(pod, before, path, sizeof(path)))
            vct_leak(t,
                     "%s mounted %s and did not record it: host service res_add (VC_RES_NETNS or VC_RES_MOUNT) comes before "
                     "the mount is made, also in VC_PATH_RUN",
                     op->name, path);
    }
    vct_must_clean(pod, "at the end of a life");
    vct_pod_free(pod);
}

static void s10_body(struct vct *t, void *arg)
{
    struct record *rec = arg, *all = malloc(sizeof(*all));
    unsigned kills = 0, turns = 0;
    if (!all)
        vct_skip(t, "the machine has no memory left");
    vct_watch_parts(vct_own_parts(t, VCT_SNAP_FILES));
    vct_story(t);
    vct_watch_parts(0);
    vct_must_not_have_seen(t, "S10");
    mounts_recorded(t);
    kill_once(t, rec, 0);
    *all = *rec;
    unsigned n = all->n < SERVICES ? all->n : SERVICES;
    for (unsigned i = 0; i < n; i++)
        turns += (unsigned)is_turning_point(all, i);
    unsigned step = turns > KILLS ? turns / KILLS + 1 : 1, seen = 0;
    for (unsigned i = 0; i < n; i++)
        if (is_turning_point(all, i) && seen++ % step == 0) {
            kill_once(t, rec, i + 1);
            kills++;
        }
    step = n / 6 + 1; /* and some of the rest */
    for (unsigned i = step / 2; i < n; i += step) {
        kill_once(t, rec, i + 1);
        kills++;
    }
    vct_note(t, "a life asks the host %u times; killed at %u of these", n, kills);
    free(all);
}

void vct_check_s10(struct vct *t)
{
    vct_apart(t, s10_body, vct_shared(t, sizeof(struct record)));
}

/* ---- S11 ---- */

static void make_golden(struct vct *t, const char *prefix)
{
    for (const uint32_t *s = vct_states; *s; s++) {
        struct vct_pod *pod = vct_pod_in(t, *s);
        char path[4300];
        size_t len;
        if (!pod)
            continue;
        vcs_autofree char *bytes = vct_bytes_of(pod, &len);
        snprintf(path, sizeof(path), "%s/%s%u-%s.bin", t->s->golden_dir, prefix, t->plugin->state_version,
                 vct_state_name(*s));
        int r = vcs_write_file_atomic(AT_FDCWD, path, bytes, len, 0644, 0);
        VCT_MUST(t, r == 0, "cannot write %s: %s", path, strerror(-r));
        vct_must_clean(pod, "after its state was kept");
        vct_pod_free(pod);
    }
}

static void read_golden(struct vct *t, const char *name, uint32_t version)
{
    const struct vc_plugin *p = t->plugin;
    struct vct_pod *pod = vct_pod_new(t, NULL, 0);
    struct vct_snap *before = vct_snap();
    vcs_autofree char *bytes = NULL;
    char path[4300];
    uint32_t health;
    size_t len;
    snprintf(path, sizeof(path), "%s/%s", t->s->golden_dir, name);
    int r = vcs_read_file(AT_FDCWD, path, VCT_STATE_MAX, &bytes, &len);
    VCT_MUST(t, r == 0, "%s cannot be read: %s", path, strerror(-r));
    r = vct_pod_restore(pod, version, bytes, len);
    if (version < p->state_version_min || version > p->state_version) {
        VCT_MUST(t, r != VC_OK,
                 "restore of %s answers VC_OK, but the descriptor says that versions %u to %u can be read", name,
                 p->state_version_min, p->state_version);
    } else {
        VCT_MUST(t, r == VC_OK,
                 "restore of %s (version %u, saved by an older release) answers %s (%s); the descriptor says that "
                 "versions %u "
                 "to %u can be read",
                 name, version, vct_code(r), t->err.text, p->state_version_min, p->state_version);
        r = vct_pod_check(pod, &health);
        VCT_MUST(t, r == VC_OK, "check after restore of %s answers %s (%s)", name, vct_code(r), t->err.text);
        free(vct_bytes_of(pod, &len));
        r = vct_pod_cleanup(pod);
        VCT_MUST(t, r == VC_OK, "cleanup after restore of %s answers %s (%s)", name, vct_code(r), t->err.text);
        vct_pod_close(pod);
    }
    struct vct_snap *after = vct_snap();
    const char *diff =
        vct_snap_diff(before, after, vct_own_parts(t, VCT_SNAP_CHILDREN | VCT_SNAP_FILES | VCT_SNAP_PROCESS));
    VCT_MUST(t, !*diff, "restore, cleanup and close of %s changed something outside: %s", name, diff);
    vct_snap_free(before);
    vct_snap_free(after);
    vct_pod_free(pod);
}

void vct_check_s11(struct vct *t)
{
    char prefix[128];
    int n = 0;
    snprintf(prefix, sizeof(prefix), "%s-%.64s-", t->kind->name, t->plugin->name);
    if (!t->s->golden_dir)
        vct_skip(t, "no states of older releases were given (--golden DIR with files KIND-NAME-VERSION-STATE.bin)");
    if (t->s->golden_make)
        make_golden(t, prefix);
    vcs_autoclosedir DIR *d = opendir(t->s->golden_dir);
    struct dirent *e;
    VCT_MUST(t, d, "the directory %s cannot be read: %s", t->s->golden_dir, strerror(errno));
    while ((e = readdir(d))) {
        size_t len = strlen(e->d_name);
        char *end;
        if (strncmp(e->d_name, prefix, strlen(prefix)) || len < 5 || strcmp(e->d_name + len - 4, ".bin"))
            continue;
        unsigned long version = strtoul(e->d_name + strlen(prefix), &end, 10);
        if (end == e->d_name + strlen(prefix) || (*end != '-' && *end != '.'))
            continue;
        read_golden(t, e->d_name, (uint32_t)version);
        n++;
    }
    if (!n)
        vct_skip(t, "there is no state of an older release in %s (%sVERSION-STATE.bin)", t->s->golden_dir, prefix);
    vct_note(t, "%d states of older releases were restored", n);
}
