/* SPDX-License-Identifier: Apache-2.0 */
/* probe-life.c: the upper part of the ladder (probe.c): the usual life of a pod, the plain way.
 *
 * A life is lived twice: by one instance, and by one that is closed and restored after each step.  What fails in the first
 * is the member's fault, what fails only in the second that of save or restore.  Each step names the check that is about
 * it before it is taken, so that also a crash or a hang is told by that one. */
#include <string.h>

#include "conformance/walk.h"
#include "conformance/watch.h"
#include "run.h"

/* The check that is about a member; the last row of a kind is for those without a row. */
static const struct {
    uint32_t kind;
    const char *op, *id;
} about[] = {
    { VC_KIND_HYPERVISOR, "pids", "H4" },       { VC_KIND_HYPERVISOR, "agent_endpoint", "H6" },
    { VC_KIND_HYPERVISOR, "console", "H6" },    { VC_KIND_HYPERVISOR, "device_add", "H5" },
    { VC_KIND_HYPERVISOR, "device_del", "H5" }, { VC_KIND_HYPERVISOR, "resize", "H8" },
    { VC_KIND_HYPERVISOR, "vm_pause", "H7" },   { VC_KIND_HYPERVISOR, "vm_resume", "H7" },
    { VC_KIND_HYPERVISOR, "vm_stop", "H2" },    { VC_KIND_HYPERVISOR, NULL, "H1" },
    { VC_KIND_AGENT, "connect", "A1" },         { VC_KIND_AGENT, "disconnect", "A2" },
    { VC_KIND_AGENT, "exec", "A4" },            { VC_KIND_AGENT, "wait", "A4" },
    { VC_KIND_AGENT, "signal", "A5" },          { VC_KIND_AGENT, "stdio", "A6" },
    { VC_KIND_AGENT, "ps", "A10" },             { VC_KIND_AGENT, "stats", "A10" },
    { VC_KIND_AGENT, NULL, "A3" },              { VC_KIND_PROXY, "status", "P3" },
    { VC_KIND_PROXY, "stop", "P2" },            { VC_KIND_PROXY, NULL, "P1" },
    { VC_KIND_SHIM, "start", "X1" },            { VC_KIND_SHIM, NULL, "X5" },
    { VC_KIND_NETWORK, "setup", "N1" },         { VC_KIND_NETWORK, "attach", "N3" },
    { VC_KIND_NETWORK, "guest_config", "N11" },
    { VC_KIND_NETWORK, "detach", "N4" },        { VC_KIND_NETWORK, "teardown", "N4" },
    { VC_KIND_NETWORK, NULL, "N2" },
};

static const char *check_about(const struct vct *t, const char *op)
{
    size_t i = 0;
    while (about[i].kind != t->kind->kind || (about[i].op && strcmp(about[i].op, op) != 0))
        i++; /* each kind has a row without a member */
    return about[i].id;
}

struct life {
    struct vct_walk walk; /* first */
    int again;            /* with a restore after each step */
};

static const char *who(const struct life *l)
{
    return l->again ? ", called by an instance that restore has made," : "";
}

/* The answer of a step. */
static void worked(struct life *l, const char *step, int r)
{
    struct vct *t = l->walk.pod->t;
    if (r == VC_OK)
        return;
    if (r > 0 || r < VC_E_NOEXEC) {
        vct_tell_rung(t, VCT_RUNG_EFFECT, "E1");
        vct_fail(t, "%s%s answered %s; VC_OK, or one of VC_E_*, is right", step, who(l), vct_code(r));
    }
    vct_fail(t, "%s%s answered %s, where it has to work: %s", step, who(l), vct_code(r),
             t->err.text[0] ? t->err.text : "no text");
}

/* What changes for the whole process spoils whatever is seen later. */
static void left_alone(struct vct *t)
{
    const char *text = vct_seen(t, "T1");
    int other = text && (strstr(text, "setns(") || strstr(text, "unshare("));
    if (!other && !(text && (strstr(text, "chdir(") || strstr(text, "working directory"))))
        return;
    vct_tell_rung(t, VCT_RUNG_EFFECT, other && t->kind->kind == VC_KIND_NETWORK ? "N10" : "T1");
    vct_fail(t, "%s", text);
}

static void effect(struct life *l, const struct vct_op *op, const char *id)
{
    struct vct_pod *pod = l->walk.pod;
    char why[512] = "";
    left_alone(pod->t);
    if (!op->effect || op->effect(pod, why, sizeof(why)) != 0)
        return;
    /* One that says that there is nothing behind it, and has something. */
    if (pod->t->kind->kind == VC_KIND_NETWORK && pod->t->kind->hollow(pod))
        id = "E7";
    vct_tell_rung(pod->t, VCT_RUNG_EFFECT, id);
    vct_fail(pod->t, "%s%s answered VC_OK, but %s", op->name, who(l), why);
}

/* The check that is about a step other than a member of the kind. */
static const char *check_about_step(const struct life *l)
{
    static const char *const steps[][2] = {
        { "create", "I1" }, { "save", "S1" }, { "check", "I11" }, { "restore", "S2" }, { "cleanup", "I6" },
    };
    for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++)
        if (strcmp(l->walk.step, steps[i][0]) == 0)
            return steps[i][1];
    return "S3";
}

static int around(struct vct_walk *w)
{
    struct life *l = (struct life *)w;
    struct vct *t = w->pod->t;
    const struct vct_op *op = w->op;
    const char *id = !op ? check_about_step(l) : l->again ? "S3" : check_about(t, op->name);
    if (!l->again && strcmp(w->step, "restore") == 0)
        return VC_OK;
    vct_tell_rung(t, VCT_RUNG_LIFE, id);
    worked(l, w->step, vct_walk_step(w));
    if (op)
        effect(l, op, id);
    if (op && op->flags & VCT_OP_IDEM && op->from & w->pod->state && !l->again) {
        vct_tell_rung(t, VCT_RUNG_LIFE, id);
        worked(l, w->step, vct_walk_step(w));
        effect(l, op, id);
    }
    left_alone(t);
    if (l->again && strcmp(w->step, "save") == 0 && w->pod->state != VCT_ST_FRESH) {
        vct_tell_rung(t, VCT_RUNG_LIFE, "S2");
        w->step = "restore";
        worked(l, w->step, vct_walk_step(w));
    }
    return VC_OK;
}

static void caps_hold(struct vct_pod *pod)
{
    struct vct *t = pod->t;
    uint64_t more = pod->caps & ~t->plugin->caps_max;
    if (!more)
        return;
    vct_tell_rung(t, VCT_RUNG_EFFECT, "I9");
    vct_fail(t, "caps answers 0x%llx, and caps_max of the descriptor is 0x%llx: caps has to be a part of it",
             (unsigned long long)pod->caps, (unsigned long long)t->plugin->caps_max);
}

/* A process that is on no record and that cleanup leaves is in the way of whatever comes next. */
static void nobody_left(struct vct *t, struct vct_snap *before)
{
    struct vct_snap *after = vct_snap_settled();
    const char *diff = vct_snap_diff(before, after, VCT_SNAP_CHILDREN);
    if (*diff) {
        vct_tell_rung(t, VCT_RUNG_EFFECT, "T5");
        vct_fail(t, "after a life, cleanup, close, and the end of all processes on record: %s", diff);
    }
    vct_snap_free(after);
    vct_snap_free(before);
}

void vct_probe_life(struct vct *t, struct vct_pod *made)
{
    caps_hold(made);
    vct_tell_rung(t, VCT_RUNG_LIFE, "I2");
    struct life none = { .walk = { .pod = made } };
    worked(&none, "cleanup of an instance that was just made", vct_pod_cleanup(made));
    vct_tell_rung(t, VCT_RUNG_LIFE, "I1");
    vct_pod_close(made);
    vct_pod_free(made);
    for (int again = 0; again <= 1; again++) {
        struct vct_snap *before = vct_snap();
        struct life l = { .walk = { .pod = vct_pod_new(t, NULL, 0), .around = around }, .again = again };
        vct_walk(&l.walk);
        vct_walk_done(&l.walk);
        vct_tell_rung(t, VCT_RUNG_LIFE, "I1");
        vct_pod_close(l.walk.pod);
        vct_pod_free(l.walk.pod);
        nobody_left(t, before);
    }
}
