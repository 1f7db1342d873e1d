/* SPDX-License-Identifier: Apache-2.0 */
/* trouble.c: a life with everything that goes wrong in one. */
#include "conformance/trouble.h"

#include <string.h>

#include "conformance/steps.h"
#include "lib/io.h"

void vct_must_not_have_seen(struct vct *t, const char *id)
{
    const char *text = vct_seen(t, id);
    if (text)
        vct_fail(t, "%s", text);
}

/* What a finding says of the circumstances. */
static void now(struct vct *t, const char *fmt, ...) VCS_PRINTF(2, 3);
static void now(struct vct *t, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(t->when, sizeof(t->when), fmt, ap);
    va_end(ap);
}

/* Calls in states where they have to be refused, and calls whose deadline has passed. */
static void wrong_calls(struct vct_pod *pod)
{
    struct vct *t = pod->t;
    now(t, ", called in state \"%s\", where it is refused", vct_state_name(pod->state));
    for (const struct vct_op *op = t->kind->ops; op->name; op++)
        if (op->refuse & pod->state && vct_op_there(pod, op))
            vct_op_call(pod, op, vct_call(t, 2000));
    now(t, ", called with a deadline that has passed");
    for (const struct vct_op *op = t->kind->ops; op->name; op++)
        if (op->from & pod->state && op->flags & VCT_OP_BLOCKS && !op->to && vct_op_there(pod, op)) {
            struct vc_call *call = vct_call(t, 2000);
            call->deadline_ns = 1;
            vct_op_call(pod, op, call);
        }
    now(t, "%s", "");
}

static void end(struct vct_pod *pod)
{
    vct_pod_cleanup(pod);
    vct_pod_close(pod);
    vct_pod_free(pod);
}

/* Restores that have to fail. */
static void garbage(struct vct *t)
{
    static const char noise[] = "\xff\xfe{\"no state\":\x01";
    struct vct_pod *pod = vct_pod_new(t, NULL, VCT_NO_WORLD);
    const struct vc_plugin *p = t->plugin;
    now(t, ", given a state that no plugin has saved");
    if (vct_pod_restore(pod, p->state_version, noise, sizeof(noise) - 1) == VC_OK)
        vct_pod_close(pod);
    if (vct_pod_restore(pod, p->state_version, "", 0) == VC_OK)
        vct_pod_close(pod);
    if (vct_pod_restore(pod, p->state_version + 1000, noise, sizeof(noise) - 1) == VC_OK)
        vct_pod_close(pod);
    now(t, "%s", "");
    vct_pod_free(pod);
}

/* The peer is gone: the calls that worked before are made again. */
static void peer_dies(struct vct *t)
{
    struct vct_pod *pod = vct_pod_in(t, VCT_ST_UP);
    if (!pod)
        return;
    now(t, ", after its peer was killed");
    if (t->kind->kill_peer && t->kind->kill_peer(pod) == 0)
        for (const struct vct_op *op = t->kind->ops; op->name; op++)
            if (op->from & VCT_ST_UP && vct_op_there(pod, op) && (!op->to || op->to == VCT_ST_UP))
                vct_op_call(pod, op, vct_call(t, 2000));
    uint32_t health;
    vct_pod_check(pod, &health);
    now(t, "%s", "");
    end(pod);
}

/* A service fails at its first call, in each step on the way up. */
static void services_fail(struct vct *t)
{
    static const struct {
        enum vct_service s;
        int code;
    } faults[] = {
        { VCT_S_SPAWN, VC_E_PERM },  { VCT_S_PATH, VC_E_NOMEM },    { VCT_S_WRITE, VC_E_RESOURCE },
        { VCT_S_ALLOC, VC_E_NOMEM }, { VCT_S_CFG_STR, VC_E_NOMEM }, { VCT_S_SINK_NEW, VC_E_NOMEM },
    };
    for (size_t i = 0; i < sizeof(faults) / sizeof(faults[0]); i++) {
        struct vct_pod *pod = vct_pod_new(t, NULL, 0);
        vcs_autofree char *bytes = NULL;
        pod->fault = faults[i].s;
        pod->fault_code = faults[i].code;
        pod->fault_at = 1;
        now(t, ", where the first call of the host service %s fails with %s", vct_service_name(faults[i].s),
            vct_code(faults[i].code));
        if (vct_pod_create(pod) == VC_OK) {
            for (const struct vct_op *op = t->kind->ops; op->name && !pod->fault_hit; op++)
                if (op->from & pod->state && vct_op_there(pod, op))
                    vct_op_call(pod, op, vct_call(t, 2000));
            vct_pod_save(pod, &bytes, NULL);
            pod->fault_at = 0;
            now(t, "%s", "");
            vct_pod_cleanup(pod);
        }
        now(t, "%s", "");
        vct_pod_free(pod);
    }
}

/* What a network does in the pod's namespace fails: each such call once, so that attach fails in its middle. */
static void namespace_fails(struct vct *t)
{
    for (uint64_t k = 1, hit = 1; t->kind->kind == VC_KIND_NETWORK && hit && k <= 8; k++) {
        struct vct_pod *pod = vct_pod_new(t, NULL, 0);
        pod->fault = VCT_S_NETNS_RUN;
        pod->fault_code = VC_E_RESOURCE;
        pod->fault_at = k;
        now(t, ", where call %d of the host service netns_run fails with %s", (int)k, vct_code(VC_E_RESOURCE));
        vct_pod_make(pod);
        for (const struct vct_op *op = t->kind->ops; op->name && !pod->fault_hit; op++)
            if (op->from & pod->state && vct_op_there(pod, op))
                vct_op_call(pod, op, vct_call(t, 2000));
        hit = (uint64_t)pod->fault_hit;
        pod->fault_at = 0;
        now(t, "%s", "");
        end(pod);
    }
}

void vct_trouble_only(struct vct *t)
{
    static const uint32_t states[] = { VCT_ST_FRESH, VCT_ST_UP, VCT_ST_DOWN };
    for (size_t i = 0; i < sizeof(states) / sizeof(states[0]); i++) {
        struct vct_pod *pod = vct_pod_in(t, states[i]);
        if (!pod)
            continue;
        wrong_calls(pod);
        end(pod);
    }
    garbage(t);
    peer_dies(t);
    services_fail(t);
    namespace_fails(t);
}

void vct_trouble(struct vct *t)
{
    vct_story(t);
    vct_trouble_only(t);
}
