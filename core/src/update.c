/* SPDX-License-Identifier: Apache-2.0 */
/* update.c: changing the limits of a container: in the guest first, then in its stored specification.
 *
 * Whatever fails is undone.  A caller that is killed between the two leaves a guest with the new limits and a record
 * with the old ones, which the next restart of the pod brings in line. */
#include <json-c/json.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "json-strict.h"
#include "pod.h"

/* Limits that are "none" when they are not there, and what says so to an agent, which takes what is left out as
 * "unchanged". */
static const struct {
    const char *section, *key;
    int64_t none;
} nones[] = {
    { "memory", "limit", -1 },   { "memory", "swap", -1 },  { "cpu", "quota", -1 },
    { "cpu", "period", 100000 }, { "cpu", "shares", 1024 }, { "pids", "limit", -1 },
};

/* Member of an object, made when it is missing. */
static json_object *member(json_object *o, const char *key)
{
    json_object *v = NULL;
    if (json_object_object_get_ex(o, key, &v) && json_object_is_type(v, json_type_object))
        return v;
    v = json_object_new_object();
    json_object_object_add(o, key, v);
    return v;
}

/* ---- what is asked for ---- */

static int check_sections(json_object *o, vc_error **err)
{
    static const struct {
        const char *name;
        json_type type;
    } known[] = {
        { "memory", json_type_object },  { "cpu", json_type_object },     { "pids", json_type_object },
        { "blockIO", json_type_object }, { "network", json_type_object }, { "hugepageLimits", json_type_array },
    };
    json_object_object_foreach(o, key, value)
    {
        size_t i = 0, n = sizeof known / sizeof *known;
        while (i < n && strcmp(known[i].name, key) != 0)
            i++;
        if (i == n)
            return vci_fail(err, VC_ERR_INVAL, 0, "\"%.80s\" is no section of the resources that can be changed", key);
        if (!json_object_is_type(value, known[i].type))
            return vci_fail(err, VC_ERR_INVAL, 0, "\"%s\" of the resources is not an %s", key,
                            json_type_to_name(known[i].type));
    }
    return 0;
}

static int parse_base(const char *text, json_object **ret, vc_error **err)
{
    json_object *o = NULL;
    int rc = vci_json_parse(text, strlen(text), &o, err);
    if (rc == 0 && !json_object_is_type(o, json_type_object)) {
        json_object_put(o);
        rc = vci_fail(err, VC_ERR_INVAL, 0, "it is not an object");
    }
    if (rc < 0)
        vci_context(err, "\"json\" of struct vc_resources");
    else
        *ret = o;
    return rc;
}

/* The changes as linux.resources. */
static int changes_of(const struct vc_resources *r, json_object **ret, vc_error **err)
{
    json_object *o = NULL;
    int rc = vci_check_resources(r, err);
    if (rc == 0 && r->json)
        rc = parse_base(r->json, &o, err);
    if (rc < 0)
        return rc;
    if (!o)
        o = json_object_new_object();
    if ((rc = check_sections(o, err)) < 0) {
        json_object_put(o);
        return rc;
    }
    if (r->memory_limit)
        json_object_object_add(member(o, "memory"), "limit", json_object_new_int64((int64_t)r->memory_limit));
    if (r->cpu_quota)
        json_object_object_add(member(o, "cpu"), "quota", json_object_new_int64(r->cpu_quota));
    if (r->cpu_period)
        json_object_object_add(member(o, "cpu"), "period", json_object_new_uint64(r->cpu_period));
    if (r->cpu_shares)
        json_object_object_add(member(o, "cpu"), "shares", json_object_new_uint64(r->cpu_shares));
    if (r->pids_limit)
        json_object_object_add(member(o, "pids"), "limit", json_object_new_int64(r->pids_limit));
    if (json_object_object_length(o) == 0) {
        json_object_put(o);
        return vci_fail(err, VC_ERR_INVAL, 0, "there is no limit to be changed");
    }
    *ret = o;
    return 0;
}

/* ---- old and new ---- */

/* Lay `from` over `to`: objects member by member, all else as a whole. */
static void lay_over(json_object *to, json_object *from)
{
    json_object_object_foreach(from, key, value)
    {
        json_object *old = NULL;
        if (json_object_is_type(value, json_type_object) && json_object_object_get_ex(to, key, &old) &&
            json_object_is_type(old, json_type_object))
            lay_over(old, value);
        else
            json_object_object_add(to, key, json_object_get(value));
    }
}

/* The sections of `all` that the changes touch: agents take each of them as a whole. */
static json_object *touched(json_object *all, json_object *changes)
{
    json_object *o = json_object_new_object();
    json_object_object_foreach(changes, key, unused)
    {
        json_object *section = NULL;
        (void)unused;
        if (json_object_object_get_ex(all, key, &section))
            json_object_object_add(o, key, json_object_get(section));
    }
    return o;
}

/* What takes the changes back in the guest: the old sections, "none" where there was no limit.  A copy. */
static json_object *way_back(json_object *old, json_object *changes)
{
    json_object *some = touched(old, changes), *o = NULL, *section = NULL;
    if (json_object_deep_copy(some, &o, NULL) < 0)
        o = NULL;
    json_object_put(some);
    for (size_t i = 0; o && i < sizeof nones / sizeof *nones; i++)
        if (json_object_object_get_ex(changes, nones[i].section, &section) &&
            json_object_object_get_ex(section, nones[i].key, NULL) &&
            !json_object_object_get_ex(member(o, nones[i].section), nones[i].key, NULL))
            json_object_object_add(member(o, nones[i].section), nones[i].key, json_object_new_int64(nones[i].none));
    return o;
}

struct update {
    json_object *changes, *spec, *back;
    char *guest; /* what the agent is told */
    char *text;  /* the new specification */
};

static void update_done(struct update *u)
{
    json_object_put(u->changes);
    json_object_put(u->spec);
    json_object_put(u->back);
    free(u->guest);
    free(u->text);
}

static char *text_of(json_object *o)
{
    const char *text =
        o ? json_object_to_json_string_ext(o, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE) : NULL;
    return text ? strdup(text) : NULL;
}

static int plan(struct vci_pod *pod, struct vci_ctr *c, struct update *u, vc_error **err)
{
    int rc = vci_ctr_load_spec(pod, c, err);
    if (rc < 0)
        return rc;
    u->spec = json_tokener_parse(c->spec);
    if (!json_object_is_type(u->spec, json_type_object))
        return vci_fail(err, VC_ERR_CORRUPT, 0,
                        "the stored specification of container \"%s\" of pod \"%s\" is no JSON object", c->id,
                        pod->dir.id);
    json_object *res = member(member(u->spec, "linux"), "resources");
    u->back = way_back(res, u->changes);
    lay_over(res, u->changes);
    json_object *part = touched(res, u->changes);
    u->guest = text_of(part);
    json_object_put(part);
    u->text = text_of(u->spec);
    if (!u->back || !u->guest || !u->text)
        return vci_fail(err, VC_ERR_NOMEM, 0, "out of memory");
    rc = vci_json_check_depth(u->text, err); /* or the container could not be made again */
    if (rc < 0)
        vci_context(err, "the new specification of container \"%s\"", c->id);
    return rc;
}

/* ---- doing it ---- */

static int tell_guest(struct vci_pod *pod, const char *ctr, const char *resources, vc_error **err)
{
    struct vc_bytes bytes = { .data = resources, .len = strlen(resources) };
    return VCI_CALL(&pod->inst[VC_KIND_AGENT], vci_pod_deadline(pod->ctx, "call_timeout"), err, agent, ctr_update, ctr,
                    bytes);
}

/* The guest may have taken some of the changes, all or none. */
static void take_back(struct vci_pod *pod, const char *ctr, const struct update *u)
{
    vci_autoerror vc_error *e = NULL;
    vcs_autofree char *text = text_of(u->back);
    if (!text || tell_guest(pod, ctr, text, &e) < 0)
        vci_log(pod->ctx, VC_LOG_ERROR, pod->dir.id, "undoing the update of container %s: %s", ctr, vc_error_text(e));
}

static int apply(struct vci_pod *pod, struct vci_ctr *c, const struct update *u, vc_error **err)
{
    struct vci_inst *agent = NULL;
    if (pod->vm) {
        if (!(agent = vci_stack_agent(pod, vci_pod_deadline(pod->ctx, "call_timeout"), err)))
            return vci_rc(err);
        if (!(agent->caps & VC_AG_CAP_UPDATE))
            return vci_fail(err, VC_ERR_UNSUPPORTED, 0, "agent \"%s\" cannot change the limits of containers",
                            pod->plugin[VC_KIND_AGENT]);
    }
    int rc = agent ? tell_guest(pod, c->id, u->guest, err) : 0;
    vci_fault_point("update-applied");
    if (rc == 0) {
        struct vci_ctr changed = { .id = c->id, .spec = u->text };
        rc = vci_ctr_store_spec(pod, &changed, err);
    }
    vci_fault_point("update-stored");
    if (rc < 0 && agent)
        take_back(pod, c->id, u);
    return rc;
}

static int ctr_update(struct vci_pod *pod, vc_context *ctx, const char *id, const char *ctr,
                      const struct vc_resources *resources, vc_error **err)
{
    struct update u = { 0 };
    struct vci_ctr *c = NULL;
    int rc = changes_of(resources, &u.changes, err);
    if (rc == 0)
        rc = vci_pod_open_ctr(pod, ctx, id, ctr, VCI_LOCK_EXCLUSIVE, &c, err);
    if (rc == 0)
        rc = vci_ctr_must_be(pod, c, "change the limits of", VCI_IS(VCI_READY) | VCI_IS(VCI_RUNNING),
                             VCI_IS(VCI_READY) | VCI_IS(VCI_RUNNING) | VCI_IS(VCI_PAUSED), err);
    if (rc == 0)
        rc = plan(pod, c, &u, err);
    if (rc == 0)
        rc = apply(pod, c, &u, err);
    update_done(&u);
    return rc;
}

int vc_container_update(vc_context *ctx, const char *pod, const char *container, const struct vc_resources *resources,
                        vc_error **err)
{
    VCI_NEED(ctx, err);
    VCI_NEED(resources, err);
    struct vci_pod p;
    vc_error *e = NULL;
    vci_pod_init(&p, ctx);
    int rc = ctr_update(&p, ctx, pod, container, resources, &e);
    vci_pod_close(&p);
    return vci_api_end(rc, e, err);
}
