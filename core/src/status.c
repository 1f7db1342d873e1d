/* SPDX-License-Identifier: Apache-2.0 */
/* status.c: looking at pods: nothing is locked, loaded or changed, and nothing waited for. */
#include <json-c/json.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "pod.h"

#define HALF_TRIES 5

/* A status is one piece of memory: the struct, its pointers, then its strings.  A list of thousands of pods is made of
 * them. */
struct pack {
    char *at; /* where the next string goes; NULL while lengths are summed up */
    size_t len;
};

/* A string of a status is never NULL. */
static const char *put(struct pack *p, const char *s)
{
    size_t n = strlen(s ? s : "") + 1;
    char *to = p->at;
    p->len += n;
    if (!to)
        return NULL;
    memcpy(to, s ? s : "", n);
    p->at += n;
    return to;
}

static size_t count(char *const *list)
{
    size_t n = 0;
    while (list && list[n])
        n++;
    return n;
}

/* The strings of `list` to `to`, which has room for the NULL as well. */
static void put_list(struct pack *p, char *const *list, char **to)
{
    for (; list && *list; list++) {
        const char *s = put(p, *list);
        if (to)
            *to++ = (char *)(uintptr_t)s;
    }
    if (to)
        *to = NULL;
}

void vc_container_status_free(struct vc_container_status *s)
{
    free(s);
}

void vc_container_list_free(struct vc_container_status **list, size_t n)
{
    for (size_t i = 0; list && i < n; i++)
        vc_container_status_free(list[i]);
    free(list);
}

void vc_pod_status_free(struct vc_pod_status *s)
{
    for (size_t i = 0; s && i < s->n_containers; i++)
        vc_container_status_free(s->containers[i]);
    free(s);
}

void vc_pod_list_free(struct vc_pod_status **list, size_t n)
{
    for (size_t i = 0; list && i < n; i++)
        vc_pod_status_free(list[i]);
    free(list);
}

/* The strings of a container's status; those of `s` while p->at is set. */
static void put_ctr(struct pack *p, const struct vci_pod *pod, const struct vci_ctr *c, struct vc_container_status *s,
                    char **annotations)
{
    struct vc_container_status unused;
    s = s ? s : &unused;
    s->id = s->token = put(p, c->id); /* agents and shims call a container's first process as the container */
    s->rootfs = put(p, c->rootfs);
    s->pod = put(p, pod->dir.id);
    s->annotations = annotations;
    put_list(p, c->annotations, annotations);
}

/* Half of a container that nobody is at. */
static int is_rest(const struct vci_ctr *c, int going_on)
{
    return c->state == VCI_MAKING && !going_on;
}

static struct vc_container_status *ctr_status(const struct vci_pod *pod, const struct vci_ctr *c, int going_on)
{
    struct pack p = { 0 };
    size_t pointers = (count(c->annotations) + 1) * sizeof(char *);
    put_ctr(&p, pod, c, NULL, NULL);
    struct vc_container_status *s = calloc(1, sizeof *s + pointers + p.len);
    if (!s)
        return NULL;
    p.at = (char *)(s + 1) + pointers;
    put_ctr(&p, pod, c, s, (char **)(void *)(s + 1));
    s->size = sizeof *s;
    /* What ran when the pod was paused stands still with it, and will run again. */
    s->state = is_rest(c, going_on) ? "broken"
                                    : vci_state_name(c->state == VCI_RUNNING && pod->state == VCI_PAUSED ? VCI_PAUSED : c->state);
    s->reason = is_rest(c, going_on) ? "its creation or removal was interrupted: delete it, or let gc remove what is left of it" : "";
    s->exit_status = c->state == VCI_STOPPED ? c->exit_status : -1;
    s->oom_killed = c->state == VCI_STOPPED && c->oom_killed;
    s->pid = c->state != VCI_STOPPED && c->shim_lives ? c->shim.pid : 0;
    s->created_ns = c->created_ns;
    s->started_ns = c->started_ns;
    s->finished_ns = c->state == VCI_STOPPED && !c->finished_ns ? vci_ctr_ended(pod, c) : c->finished_ns;
    return s;
}

/* The VM runs, and what connects the host with its agent has ended.  (A stop ends it before the VM: that is no reason.) */
static int is_cut_off(const struct vci_pod *pod, int proxy_lives)
{
    int live = pod->state == VCI_READY || pod->state == VCI_RUNNING || pod->state == VCI_PAUSED;
    return live && !pod->op && pod->vm && pod->boot_same && pod->proxy.pid > 0 && !proxy_lives;
}

/* The pod is fine, but for these. */
static void rests_of(const struct vci_pod *pod, int going_on, char *buf, size_t size)
{
    size_t n = 0;
    buf[0] = '\0';
    for (size_t i = 0; i < pod->n_ctrs; i++)
        if (is_rest(pod->ctrs[i], going_on) && n++ == 0)
            snprintf(buf, size, "container %s is broken: its creation or removal was interrupted", pod->ctrs[i]->id);
    if (n > 1)
        snprintf(buf, size, "%zu containers are broken: their creation or removal was interrupted", n);
}

static const char *reason_of(const struct vci_pod *pod, int going_on, int cut_off, char *buf, size_t size)
{
    if (pod->op && going_on)
        snprintf(buf, size, "an operation is going on (%s, by process %d)", pod->op, pod->op_by.pid);
    else if (pod->op)
        snprintf(buf, size, "its last operation (%s, by process %d) has not been finished", pod->op, pod->op_by.pid);
    else if (pod->died == VCI_DIED_HOST)
        snprintf(buf, size, "the host was restarted");
    else if (pod->died)
        snprintf(buf, size, "its virtual machine (process %d) ended without having been stopped",
                 pod->n_vmm ? pod->vmm[0].pid : 0);
    else if (cut_off)
        snprintf(buf, size, "its proxy (process %d) has ended, so nothing in its virtual machine can be reached: stop or delete it",
                 pod->proxy.pid);
    else
        rests_of(pod, going_on, buf, size);
    return buf;
}

/* The strings of a pod's status; those of `s` while p->at is set. */
static void put_pod(struct pack *p, const struct vci_pod *pod, const char *reason, const char *template_id,
                    struct vc_pod_status *s, char **annotations)
{
    struct vc_pod_status unused;
    s = s ? s : &unused;
    s->id = put(p, pod->dir.id);
    s->reason = put(p, reason);
    s->template_id = put(p, template_id);
    s->hostname = put(p, pod->hostname);
    s->hypervisor = put(p, pod->plugin[VC_KIND_HYPERVISOR]);
    s->agent = put(p, pod->plugin[VC_KIND_AGENT]);
    s->proxy = put(p, pod->plugin[VC_KIND_PROXY]);
    s->shim = put(p, pod->plugin[VC_KIND_SHIM]);
    s->network = put(p, pod->plugin[VC_KIND_NETWORK]);
    s->annotations = annotations;
    put_list(p, pod->annotations, annotations);
}

/* A status with room for its containers, `state` being a constant. */
static struct vc_pod_status *new_status(const struct vci_pod *pod, const char *state, const char *reason,
                                        const char *template_id)
{
    struct pack p = { 0 };
    size_t n = count(pod->annotations) + 1;
    put_pod(&p, pod, reason, template_id, NULL, NULL);
    struct vc_pod_status *s = calloc(1, sizeof *s + (n + pod->n_ctrs) * sizeof(char *) + p.len);
    if (!s)
        return NULL;
    char **annotations = (char **)(void *)(s + 1);
    s->size = sizeof *s;
    s->state = state;
    s->containers = (struct vc_container_status **)(void *)(annotations + n);
    p.at = (char *)(s->containers + pod->n_ctrs);
    put_pod(&p, pod, reason, template_id, s, annotations);
    return s;
}

/* An interrupted operation leaves a pod that is neither this nor that, whatever its record says. */
static struct vc_pod_status *pod_status(const struct vci_pod *pod, int going_on)
{
    char reason[256];
    int proxy_lives = pod->state != VCI_STOPPED && pod->boot_same && vci_proc_lives(&pod->proxy);
    int cut_off = is_cut_off(pod, proxy_lives);
    const char *state = (pod->op && !going_on) || cut_off ? "broken" : vci_state_name(pod->state);
    int lives = pod->vm && !pod->died; /* one that died has no VM, and its record still has its origin */
    struct vc_pod_status *s = new_status(pod, state, reason_of(pod, going_on, cut_off, reason, sizeof reason),
                                         lives ? pod->template_id : "");
    if (!s)
        return NULL;
    s->created_ns = pod->created_ns;
    s->from_pool = lives && pod->from_pool;
    s->proxy_pid = proxy_lives ? pod->proxy.pid : 0;
    s->vmm_pid = pod->vmm_lives ? pod->vmm[0].pid : 0;
    for (; s->n_containers < pod->n_ctrs; s->n_containers++) {
        if (!(s->containers[s->n_containers] = ctr_status(pod, pod->ctrs[s->n_containers], going_on))) {
            vc_pod_status_free(s);
            return NULL;
        }
    }
    return s;
}

/* Of a pod whose record is of no use. */
static struct vc_pod_status *bare_status(const char *id, const char *state, const char *reason)
{
    struct vci_pod pod;
    vci_pod_init(&pod, NULL);
    snprintf(pod.dir.id, sizeof pod.dir.id, "%s", id);
    return new_status(&pod, state, reason, "");
}

/* Does the record say that something has been begun and not finished? */
static int is_half(const struct vci_pod *pod)
{
    int half = pod->op != NULL;
    for (size_t i = 0; i < pod->n_ctrs; i++)
        half |= pod->ctrs[i]->state == VCI_MAKING;
    return half;
}

/* Read a pod.  *ret_held: is somebody at what is half of something in it? */
static int open_to_look(struct vci_pod *pod, vc_context *ctx, const char *id, int *ret_held, vc_error **err)
{
    int rc = vci_pod_open(pod, ctx, id, VCI_LOCK_NONE, err);
    *ret_held = 0;
    /* If not, it may have been finished before that was asked, and then there is no half any more, unless the next operation
     * has begun: so again, some times. */
    for (int again = 0; pod->dir.run_path && (rc == VC_ERR_NOTFOUND || (rc == 0 && is_half(pod))); again++) {
        *ret_held = vci_store_held(&pod->dir);
        if (*ret_held || again == HALF_TRIES)
            break;
        vci_pod_close(pod);
        vc_error_free(VCS_TAKE_PTR(*err));
        rc = vci_pod_open(pod, ctx, id, VCI_LOCK_NONE, err);
    }
    if (rc == 0)
        vci_pod_refresh(pod);
    return rc;
}

/* NOTFOUND when there is no such pod (any more); a pod that cannot be read is a status too. */
static int look(vc_context *ctx, const char *id, struct vc_pod_status **ret, vc_error **err)
{
    struct vci_pod pod;
    vci_autoerror vc_error *e = NULL;
    int held, rc = open_to_look(&pod, ctx, id, &held, &e);
    /* A directory with nothing in it is no pod (yet). */
    int nothing = rc == VC_ERR_NOTFOUND && !held && pod.dir.run_path && vci_store_run(&pod.dir, 0, NULL) == VC_ERR_NOTFOUND;
    if (rc == 0) {
        *ret = pod_status(&pod, held);
    } else if (rc == VC_ERR_NOTFOUND && held) {
        *ret = bare_status(id, vci_state_name(VCI_MAKING), vc_error_text(e));
    } else if (pod.dir.run_path && !nothing && rc != VC_ERR_NOMEM) {
        *ret = bare_status(id, "broken", vc_error_text(e));
    } else {
        vci_pod_close(&pod);
        *err = VCS_TAKE_PTR(e);
        return rc;
    }
    vci_pod_close(&pod);
    return *ret ? 0 : vci_fail(err, VC_ERR_NOMEM, 0, "out of memory");
}

int vc_pod_status(vc_context *ctx, const char *id, struct vc_pod_status **ret_status, vc_error **err)
{
    VCI_NEED(ctx, err);
    VCI_NEED(ret_status, err);
    vc_error *e = NULL;
    struct vc_pod_status *s = NULL;
    int rc = look(ctx, id, &s, &e);
    if (rc == 0)
        *ret_status = s;
    return vci_api_end(rc, e, err);
}

int vc_pod_list(vc_context *ctx, struct vc_pod_status ***ret_list, size_t *ret_n, vc_error **err)
{
    VCI_NEED(ctx, err);
    VCI_NEED(ret_list, err);
    VCI_NEED(ret_n, err);
    vc_error *e = NULL;
    char **ids = NULL;
    size_t n = 0, k = 0;
    int rc = vci_store_list(ctx, &ids, &n, &e);
    if (rc < 0)
        return vci_api_end(rc, e, err);
    struct vc_pod_status **list = calloc(n + 1, sizeof *list);
    if (!list)
        rc = vci_fail(&e, VC_ERR_NOMEM, 0, "out of memory");
    for (size_t i = 0; rc == 0 && i < n; i++) {
        rc = look(ctx, ids[i], &list[k], &e);
        if (rc == 0) {
            k++;
        } else if (rc == VC_ERR_NOTFOUND) { /* deleted meanwhile */
            vc_error_free(VCS_TAKE_PTR(e));
            rc = 0;
        }
    }
    vci_store_list_free(ids, n);
    if (rc < 0) {
        vc_pod_list_free(list, k);
        return vci_api_end(rc, e, err);
    }
    *ret_list = list;
    *ret_n = k;
    return 0;
}

int vc_container_status(vc_context *ctx, const char *pod, const char *container,
                        struct vc_container_status **ret_status, vc_error **err)
{
    VCI_NEED(ctx, err);
    VCI_NEED(ret_status, err);
    struct vci_pod p;
    vc_error *e = NULL;
    struct vc_container_status *s = NULL;
    int held, rc = open_to_look(&p, ctx, pod, &held, &e);
    if (rc == 0) {
        struct vci_ctr *c = vci_pod_find(&p, container, &e);
        rc = c ? 0 : vci_rc(&e);
        if (c && !(s = ctr_status(&p, c, held)))
            rc = vci_fail(&e, VC_ERR_NOMEM, 0, "out of memory");
    }
    vci_pod_close(&p);
    if (rc == 0)
        *ret_status = s;
    return vci_api_end(rc, e, err);
}

int vc_container_list(vc_context *ctx, const char *pod, struct vc_container_status ***ret_list, size_t *ret_n,
                      vc_error **err)
{
    VCI_NEED(ctx, err);
    VCI_NEED(ret_list, err);
    VCI_NEED(ret_n, err);
    struct vci_pod p;
    vc_error *e = NULL;
    struct vc_container_status **list = NULL;
    size_t n = 0;
    int held, rc = open_to_look(&p, ctx, pod, &held, &e);
    if (rc == 0) {
        list = calloc(p.n_ctrs + 1, sizeof *list);
        while (list && n < p.n_ctrs && (list[n] = ctr_status(&p, p.ctrs[n], held)))
            n++;
        if (!list || n < p.n_ctrs) {
            vc_container_list_free(list, n);
            rc = vci_fail(&e, VC_ERR_NOMEM, 0, "out of memory");
        }
    }
    vci_pod_close(&p);
    if (rc == 0) {
        *ret_list = list;
        *ret_n = n;
    }
    return vci_api_end(rc, e, err);
}

/* ---- JSON ---- */

static void add(json_object *o, const char *key, const char *s)
{
    json_object_object_add(o, key, json_object_new_string(s));
}

static void add_annotations(json_object *o, char *const *list)
{
    json_object *all = json_object_new_object();
    for (; *list; list++) {
        char *key = strdup(*list);
        size_t n = strcspn(*list, "=");
        if (key) {
            key[n] = '\0';
            add(all, key, (*list)[n] ? *list + n + 1 : "");
        }
        free(key);
    }
    json_object_object_add(o, "annotations", all);
}

static json_object *ctr_json(const struct vc_container_status *c)
{
    json_object *o = json_object_new_object();
    add(o, "id", c->id);
    add(o, "state", c->state);
    add(o, "reason", c->reason);
    json_object_object_add(o, "exit_status", c->exit_status >= 0 ? json_object_new_int(c->exit_status) : NULL);
    json_object_object_add(o, "oom_killed", json_object_new_boolean(c->oom_killed != 0));
    json_object_object_add(o, "pid", json_object_new_int(c->pid));
    add(o, "rootfs", c->rootfs);
    json_object_object_add(o, "created_ns", json_object_new_int64(c->created_ns));
    json_object_object_add(o, "started_ns", json_object_new_int64(c->started_ns));
    json_object_object_add(o, "finished_ns", json_object_new_int64(c->finished_ns));
    add(o, "pod", c->pod);
    add(o, "token", c->token);
    add_annotations(o, c->annotations);
    return o;
}

/* The text of an object, which is freed. */
static int text_of(json_object *o, char **ret, vc_error **err)
{
    const char *text = json_object_to_json_string_ext(o, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE);
    char *copy = text ? strdup(text) : NULL;
    vc_error *e = NULL;
    json_object_put(o);
    if (!copy)
        return vci_api_end(vci_fail(&e, VC_ERR_NOMEM, 0, "out of memory"), e, err);
    *ret = copy;
    return 0;
}

int vc_container_status_json(const struct vc_container_status *s, char **ret_json, vc_error **err)
{
    VCI_NEED(s, err);
    VCI_NEED(ret_json, err);
    return text_of(ctr_json(s), ret_json, err);
}

int vc_pod_status_json(const struct vc_pod_status *s, char **ret_json, vc_error **err)
{
    VCI_NEED(s, err);
    VCI_NEED(ret_json, err);
    json_object *o = json_object_new_object(), *list = json_object_new_array();
    add(o, "id", s->id);
    add(o, "state", s->state);
    add(o, "reason", s->reason);
    add(o, "hypervisor", s->hypervisor);
    add(o, "agent", s->agent);
    add(o, "proxy", s->proxy);
    add(o, "shim", s->shim);
    add(o, "network", s->network);
    add(o, "hostname", s->hostname);
    json_object_object_add(o, "vmm_pid", json_object_new_int(s->vmm_pid));
    json_object_object_add(o, "proxy_pid", json_object_new_int(s->proxy_pid));
    json_object_object_add(o, "template_id", *s->template_id ? json_object_new_string(s->template_id) : NULL);
    json_object_object_add(o, "from_pool", json_object_new_boolean(s->from_pool != 0));
    json_object_object_add(o, "created_ns", json_object_new_int64(s->created_ns));
    for (size_t i = 0; i < s->n_containers; i++)
        json_object_array_add(list, ctr_json(s->containers[i]));
    json_object_object_add(o, "containers", list);
    add_annotations(o, s->annotations);
    return text_of(o, ret_json, err);
}
