/* SPDX-License-Identifier: Apache-2.0 */
/* pod-state.c: the record of a pod: reading, writing, and bringing it in line with what lives. */
#include <errno.h>
#include <fcntl.h>
#include <json-c/json.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base64.h"
#include "lib/cleanup.h"
#include "lib/io.h"
#include "lib/utf8.h"
#include "mounts.h"

static const char *const state_names[] = { "ready", "running", "paused", "stopped", "making" };

const char *vci_state_name(enum vci_state state)
{
    return state_names[state];
}

const char *vci_ctr_state_name(const struct vci_ctr *c)
{
    return c->state == VCI_MAKING ? "half made or half removed" : state_names[c->state];
}

int64_t vci_realtime_ns(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_REALTIME, &ts);
    return (int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec;
}

int64_t vci_pod_deadline(const vc_context *ctx, const char *key)
{
    int64_t s = vci_conf_int(ctx->conf, key);
    return s > 0 ? vcs_now_ns() + s * 1000000000 : 0;
}

struct vci_limit vci_pod_limit(const struct vci_pod *pod, int64_t deadline)
{
    return (struct vci_limit){ .deadline = deadline ? deadline : vci_pod_deadline(pod->ctx, "call_timeout"),
                               .cancel_fd = pod->dir.cancellable ? pod->ctx->cancel_fd : -1 };
}

int64_t vci_deadline_ms(int64_t ms)
{
    static const int64_t century_ms = INT64_C(100) * 365 * 24 * 3600 * 1000;
    return vcs_now_ns() + (ms < century_ms ? ms : century_ms) * 1000000;
}

void vci_strv_free(char **v)
{
    for (size_t i = 0; v && v[i]; i++)
        free(v[i]);
    free(v);
}

char **vci_strv_copy(const char *const *v)
{
    size_t n = 0;
    while (v && v[n])
        n++;
    char **c = v ? calloc(n + 1, sizeof *c) : NULL;
    for (size_t i = 0; c && i < n; i++) {
        c[i] = strdup(v[i]);
        if (!c[i]) {
            vci_strv_free(c);
            return NULL;
        }
    }
    return c;
}

/* ---- memory ---- */

void vci_pod_init(struct vci_pod *pod, vc_context *ctx)
{
    memset(pod, 0, sizeof *pod);
    pod->ctx = ctx;
    pod->boot_same = 1;
    pod->netns_fd = -1;
    pod->dir.run_fd = VCI_NO_FD;
    pod->dir.state_fd = pod->dir.ledger_fd = pod->dir.record_fd = -1;
}

void vci_ctr_free(struct vci_ctr *c)
{
    if (!c)
        return;
    for (size_t i = 0; i < c->n_execs; i++)
        free(c->execs[i].id);
    free(c->execs);
    free(c->id);
    free(c->rootfs);
    free(c->spec);
    free(c->guest_spec);
    vci_disks_free(c);
    free(c->console);
    vci_strv_free(c->annotations);
    vci_hooks_free(&c->hooks);
    free(c);
}

void vci_ctr_forget_execs(const struct vci_pod *pod, struct vci_ctr *c)
{
    for (size_t i = 0; i < c->n_execs; i++) {
        vci_exit_remove(&pod->dir, c->id, c->execs[i].id);
        free(c->execs[i].id);
    }
    c->n_execs = 0;
}

void vci_pod_close(struct vci_pod *pod)
{
    vci_stack_reset(pod);
    for (size_t i = 0; i < pod->n_ctrs; i++)
        vci_ctr_free(pod->ctrs[i]);
    free(pod->ctrs);
    for (size_t k = 1; k <= VCI_KINDS; k++)
        free(pod->plugin[k]);
    free(pod->op);
    free(pod->hostname);
    free(pod->uri);
    free(pod->netns);
    vci_hooks_free(&pod->hooks);
    free(pod->vmm);
    vci_volumes_free(pod);
    vci_strv_free(pod->dns);
    vci_strv_free(pod->annotations);
    vci_strv_free(pod->settings);
    if (pod->netns_fd >= 0)
        close(pod->netns_fd);
    if (pod->dir.run_path)
        vci_store_close(&pod->dir);
    vci_pod_init(pod, pod->ctx);
}

struct vci_ctr *vci_pod_add(struct vci_pod *pod, const char *id)
{
    struct vci_ctr **list = realloc(pod->ctrs, (pod->n_ctrs + 1) * sizeof *list);
    if (!list)
        return NULL;
    pod->ctrs = list;
    struct vci_ctr *c = calloc(1, sizeof *c);
    if (!c)
        return NULL;
    c->id = strdup(id);
    if (!c->id) {
        free(c);
        return NULL;
    }
    c->exit_status = -1;
    c->stdio[0] = c->stdio[1] = c->stdio[2] = -1;
    pod->ctrs[pod->n_ctrs++] = c;
    return c;
}

void vci_pod_drop(struct vci_pod *pod, struct vci_ctr *c)
{
    for (size_t i = 0; i < pod->n_ctrs; i++) {
        if (pod->ctrs[i] == c) {
            memmove(pod->ctrs + i, pod->ctrs + i + 1, (pod->n_ctrs - i - 1) * sizeof *pod->ctrs);
            pod->n_ctrs--;
            vci_ctr_free(c);
            return;
        }
    }
}

struct vci_ctr *vci_pod_find(struct vci_pod *pod, const char *ctr, vc_error **err)
{
    if (vci_check_id("container id", ctr, err) < 0)
        return NULL;
    for (size_t i = 0; i < pod->n_ctrs; i++)
        if (strcmp(pod->ctrs[i]->id, ctr) == 0)
            return pod->ctrs[i];
    vci_fail(err, VC_ERR_NOTFOUND, 0, "pod \"%s\" has no container \"%s\"", pod->dir.id, ctr);
    return NULL;
}

struct vci_exec *vci_ctr_find_exec(const struct vci_pod *pod, struct vci_ctr *c, const char *exec_id, vc_error **err)
{
    for (size_t i = 0; i < c->n_execs; i++)
        if (strcmp(c->execs[i].id, exec_id) == 0)
            return &c->execs[i];
    vci_fail(err, VC_ERR_NOTFOUND, 0, "container \"%s\" of pod \"%s\" has no process \"%s\"", c->id, pod->dir.id,
             exec_id);
    return NULL;
}

/* ---- writing ---- */

/* Of an array when key is NULL. */
static inline void put_proc(struct vci_out *o, const char *key, const struct vc_proc *p)
{
    if (p->pid <= 0 && key)
        return;
    vci_out_open(o, key, '[');
    vci_out_int(o, NULL, p->pid);
    vci_out_int(o, NULL, (int64_t)p->start_ticks);
    vci_out_close(o, ']');
}

/* Bytes that are no text go in as "KEY_base64": the record must be JSON whatever a plugin saves and a path holds. */
static void put_bytes(struct vci_out *o, const char *key, const char *s, size_t len)
{
    size_t ascii = 0;
    if (vci_out_plain(o, key, strlen(key), s, len))
        return;
    while (ascii < len && (unsigned char)s[ascii] < 0x80)
        ascii++;
    if (ascii == len || vcs_utf8_line(s, len)) {
        vci_out_str(o, key, s, len);
        return;
    }
    char name[64];
    snprintf(name, sizeof name, "%s_base64", key);
    vcs_autofree char *text = vci_base64(s, len);
    if (text)
        vci_out_str(o, name, text, strlen(text));
    else
        o->bad = 1;
}

static inline void put_str(struct vci_out *o, const char *key, const char *s)
{
    if (s)
        put_bytes(o, key, s, strlen(s));
}

static inline void put_int(struct vci_out *o, const char *key, int64_t v)
{
    if (v)
        vci_out_int(o, key, v);
}

static void put_strv(struct vci_out *o, const char *key, char **v)
{
    if (!v || !v[0])
        return;
    vci_out_open(o, key, '[');
    for (; *v; v++)
        vci_out_str(o, NULL, *v, strlen(*v));
    vci_out_close(o, ']');
}

/* What others keep as an object of json-c, which is taken over. */
static void put_json(struct vci_out *o, const char *key, json_object *v)
{
    vci_out_json(o, key, v);
    json_object_put(v);
}

static void put_hooks(struct vci_out *o, const struct vci_hooks *h)
{
    if (!vci_hooks_any(h))
        return;
    json_object *all = json_object_new_object();
    if (!all) {
        o->bad = 1;
        return;
    }
    vci_hooks_put(h, all);
    json_object_object_foreach(all, key, v)
        vci_out_json(o, key, v);
    json_object_put(all);
}

static void put_exit(struct vci_out *o, int32_t status)
{
    if (status >= 0)
        vci_out_int(o, "exit", status);
}

static void put_ctr(struct vci_out *o, const struct vci_ctr *c)
{
    vci_out_open(o, NULL, '{');
    put_str(o, "id", c->id);
    put_str(o, "state", state_names[c->state]);
    put_str(o, "rootfs", c->rootfs);
    put_int(o, "readonly", c->readonly);
    put_int(o, "terminal", c->terminal);
    put_str(o, "console", c->console);
    put_exit(o, c->exit_status);
    put_proc(o, "shim", &c->shim);
    put_int(o, "pid_set", c->pid_set);
    put_proc(o, "former", &c->former);
    put_int(o, "oom", c->oom_killed);
    put_strv(o, "annotations", c->annotations);
    put_hooks(o, &c->hooks);
    put_int(o, "created_ns", c->created_ns);
    put_int(o, "started_ns", c->started_ns);
    put_int(o, "finished_ns", c->finished_ns);
    if (c->n_disks)
        put_json(o, "disks", vci_disks_json(c));
    if (c->n_execs) {
        vci_out_open(o, "execs", '[');
        for (size_t i = 0; i < c->n_execs; i++) {
            vci_out_open(o, NULL, '{');
            put_str(o, "id", c->execs[i].id);
            put_proc(o, "shim", &c->execs[i].shim);
            put_int(o, "terminal", c->execs[i].terminal);
            put_exit(o, c->execs[i].exit_status);
            vci_out_close(o, '}');
        }
        vci_out_close(o, ']');
    }
    vci_out_close(o, '}');
}

/* Take the open instances' states into the record. */
static int save_instances(struct vci_pod *pod, vc_error **err)
{
    for (uint32_t k = 1; k <= VCI_KINDS; k++) {
        if (!pod->inst[k].handle)
            continue;
        char *text = NULL;
        size_t len = 0;
        uint32_t version = 0;
        int rc = vci_inst_save(&pod->inst[k], &text, &len, &version, err);
        if (rc < 0)
            return rc;
        free(pod->saved[k]);
        pod->saved[k] = text;
        pod->saved_len[k] = len;
        pod->saved_version[k] = version;
    }
    return 0;
}

static void put_stack(struct vci_out *o, const struct vci_pod *pod)
{
    vci_out_open(o, "instances", '{');
    for (uint32_t k = 1; k <= VCI_KINDS; k++) {
        vci_out_open(o, vci_kind_name(k), '{');
        put_str(o, "plugin", pod->plugin[k]);
        if (pod->saved[k]) {
            vci_out_int(o, "version", pod->saved_version[k]);
            put_bytes(o, "state", pod->saved[k], pod->saved_len[k]);
        }
        vci_out_close(o, '}');
    }
    vci_out_close(o, '}');
}

static void put_pod(struct vci_out *o, const struct vci_pod *pod)
{
    vci_store_begin(o);
    put_str(o, "id", pod->dir.id);
    put_str(o, "state", state_names[pod->state]);
    put_int(o, "vm", pod->vm);
    put_int(o, "died", pod->died);
    if (pod->op) {
        put_str(o, "op", pod->op);
        put_proc(o, "op_by", &pod->op_by);
    }
    put_proc(o, "owner", &pod->owner);
    put_int(o, "flags", pod->flags);
    put_int(o, "vcpus", pod->vcpus);
    put_int(o, "vm_template", pod->vm_template);
    if (pod->template_id[0])
        put_str(o, "template", pod->template_id);
    put_int(o, "from_pool", pod->from_pool);
    put_int(o, "memory", (int64_t)pod->memory);
    put_str(o, "hostname", pod->hostname);
    put_strv(o, "dns", pod->dns);
    put_strv(o, "annotations", pod->annotations);
    put_strv(o, "settings", pod->settings);
    put_int(o, "created_ns", pod->created_ns);
    put_stack(o, pod);
    if (pod->n_vmm) {
        vci_out_open(o, "vmm", '[');
        for (size_t i = 0; i < pod->n_vmm; i++)
            put_proc(o, NULL, &pod->vmm[i]);
        vci_out_close(o, ']');
    }
    put_hooks(o, &pod->hooks);
    put_str(o, "netns", pod->netns);
    put_proc(o, "proxy", &pod->proxy);
    put_str(o, "uri", pod->uri);
    if (pod->n_volumes)
        put_json(o, "volumes", vci_volumes_json(pod));
    if (pod->n_ctrs) {
        vci_out_open(o, "containers", '[');
        for (size_t i = 0; i < pod->n_ctrs; i++)
            put_ctr(o, pod->ctrs[i]);
        vci_out_close(o, ']');
    }
}

/* A record from before a reboot becomes one of this boot when it is written: by then the processes it names are
 * strangers, and so are those that plugins remember.  Networks keep what outlasts a reboot. */
static void forget_processes(struct vci_pod *pod)
{
    static const struct vc_proc none;
    pod->n_vmm = 0;
    pod->proxy = pod->owner = none;
    for (uint32_t k = 1; k <= VCI_KINDS; k++) {
        if (k == VC_KIND_NETWORK || pod->inst[k].handle)
            continue;
        free(VCS_TAKE_PTR(pod->saved[k]));
        pod->saved_len[k] = 0;
    }
    for (size_t i = 0; i < pod->n_ctrs; i++) {
        struct vci_ctr *c = pod->ctrs[i];
        c->shim = c->former = none;
        for (size_t x = 0; x < c->n_execs; x++)
            c->execs[x].shim = none;
    }
}

int vci_pod_save(struct vci_pod *pod, vc_error **err)
{
    if (!pod->boot_same)
        forget_processes(pod);
    struct vci_out o = { 0 };
    int rc = save_instances(pod, err);
    if (rc < 0)
        return rc;
    put_pod(&o, pod);
    rc = vci_store_write(&pod->dir, &o, err);
    if (rc == 0)
        pod->exists = 1;
    return rc;
}

/* Does anything of an operation that is interrupted outlive its process, but what the ledger names? */
static int has_guest(struct vci_pod *pod)
{
    const struct vci_plugin *agent = NULL, *hv = pod->inst[VC_KIND_HYPERVISOR].plugin;
    if (hv) /* nothing needs to be loaded: the two fit each other */
        return !(hv->desc.caps_max & VC_HV_CAP_NO_GUEST);
    return vci_plugin_load(pod->ctx, VC_KIND_AGENT, pod->plugin[VC_KIND_AGENT], &agent, NULL) < 0 ||
           !(agent->desc.caps_max & VC_AG_CAP_NO_GUEST);
}

int vci_pod_note(struct vci_pod *pod, vc_error **err)
{
    if (!pod->boot_same || has_guest(pod))
        return vci_pod_save(pod, err);
    int rc = save_instances(pod, err);
    if (rc < 0)
        return rc;
    struct vci_out o = { 0 };
    put_pod(&o, pod);
    return vci_store_write_later(&pod->dir, &o, err);
}

int vci_pod_begin(struct vci_pod *pod, const char *op, vc_error **err)
{
    char *copy = strdup(op);
    if (!copy)
        return vci_fail(err, VC_ERR_NOMEM, 0, "out of memory");
    free(pod->op);
    pod->op = copy;
    pod->op_by = (struct vc_proc){ .pid = getpid() }; /* for people; whether it still goes on is what the lock says */
    return vci_pod_note(pod, err);
}

/* ---- reading ---- */

/* 0, or -1 without memory. */
static int copy_bytes(const struct vci_rec *o, const char *key, char **ret, size_t *ret_len)
{
    char name[64];
    const struct vci_rec *v = vci_rec_get(o, key, VCI_REC_STR);
    *ret = NULL;
    *ret_len = 0;
    if (v) {
        if (!(*ret = malloc(v->n + 1)))
            return -1;
        memcpy(*ret, v->str, v->n + 1);
        *ret_len = v->n;
        return 0;
    }
    if (!vci_rec_may_have(o, *key, '4', strlen(key) + strlen("_base64")))
        return 0;
    vci_join(name, sizeof name, key, "_base64", NULL);
    const char *text = vci_rec_str(o, name);
    /* What is no base64 is treated as what is not there. */
    return text && vci_unbase64(text, ret, ret_len) == -2 ? -1 : 0;
}

static int copy_str(const struct vci_rec *o, const char *key, char **ret)
{
    size_t len;
    return copy_bytes(o, key, ret, &len);
}

static struct vc_proc proc_at(const struct vci_rec *a)
{
    struct vc_proc p = { 0 };
    const struct vci_rec *pid = vci_rec_first(a), *start = pid ? vci_rec_next(a, pid) : NULL;
    if (start && a->n == 2 && pid->type == VCI_REC_INT && start->type == VCI_REC_INT && pid->num <= INT32_MAX) {
        p.pid = pid->num < 2 ? 0 : (int32_t)pid->num; /* never 0, 1 or a process group */
        p.start_ticks = (uint64_t)start->num;
    }
    return p;
}

static struct vc_proc proc_of(const struct vci_rec *o, const char *key)
{
    return proc_at(vci_rec_get(o, key, VCI_REC_ARRAY));
}

static int copy_strv(const struct vci_rec *o, const char *key, char ***ret)
{
    const struct vci_rec *a = vci_rec_get(o, key, VCI_REC_ARRAY);
    if (!a || !a->n)
        return 0;
    size_t n = 0;
    char **v = calloc(a->n + 1, sizeof *v);
    for (const struct vci_rec *e = v ? vci_rec_first(a) : NULL; e; e = vci_rec_next(a, e)) {
        if (!(v[n++] = strdup(e->type == VCI_REC_STR ? e->str : ""))) {
            vci_strv_free(v);
            return -1;
        }
    }
    *ret = v;
    return v ? 0 : -1;
}

/* The parts that others read as objects of json-c. */
static const char *read_hooks(struct vci_hooks *h, const struct vci_rec *o)
{
    static const char *const keys[] = { "hooks", "poststop_due" };
    const struct vci_rec *found = vci_rec_get(o, "hooks", VCI_REC_OBJECT);
    if (!found)
        return NULL;
    json_object *part = json_object_new_object();
    if (!part)
        return "";
    json_object_object_add(part, keys[0], vci_rec_json(found));
    json_object_object_add(part, keys[1], json_object_new_int64(vci_rec_int(o, keys[1], 0)));
    const char *bad = vci_hooks_get(h, part);
    json_object_put(part);
    return bad;
}

static const char *read_disks(struct vci_ctr *c, const struct vci_rec *list)
{
    json_object *part = vci_rec_json(list);
    const char *bad = part ? vci_disks_parse(c, part) : list ? "" : NULL;
    json_object_put(part);
    return bad;
}

static const char *read_volumes(struct vci_pod *pod, const struct vci_rec *list)
{
    json_object *part = vci_rec_json(list);
    const char *bad = part ? vci_volumes_parse(pod, part) : list ? "" : NULL;
    json_object_put(part);
    return bad;
}

static int parse_state(const char *s, enum vci_state *ret)
{
    for (size_t i = 0; s && i < sizeof state_names / sizeof *state_names; i++) {
        if (strcmp(s, state_names[i]) == 0) {
            *ret = (enum vci_state)i;
            return 0;
        }
    }
    return -1;
}

static int parse_exit(const struct vci_rec *o)
{
    int64_t v = vci_rec_int(o, "exit", -1);
    return v >= 0 && v <= 255 ? (int)v : -1;
}

/* NULL when the record is fine, else what is wrong with it; "" without memory. */
static const char *parse_ctr(struct vci_pod *pod, const struct vci_rec *o)
{
    const char *id = vci_rec_str(o, "id");
    if (!id || vci_check_id("container id", id, NULL) < 0)
        return "a container has no valid id";
    struct vci_ctr *c = vci_pod_add(pod, id);
    if (!c || copy_str(o, "rootfs", &c->rootfs) < 0 || copy_str(o, "console", &c->console) < 0)
        return "";
    if (parse_state(vci_rec_str(o, "state"), &c->state) < 0)
        return "a container has no valid state";
    c->readonly = vci_rec_int(o, "readonly", 0) != 0;
    c->terminal = vci_rec_int(o, "terminal", 0) != 0;
    c->exit_status = parse_exit(o);
    c->shim = proc_of(o, "shim");
    c->pid_set = vci_rec_int(o, "pid_set", 0) != 0;
    c->former = proc_of(o, "former");
    c->oom_killed = vci_rec_int(o, "oom", 0) != 0;
    if (copy_strv(o, "annotations", &c->annotations) < 0)
        return "";
    c->created_ns = vci_rec_int(o, "created_ns", 0);
    c->started_ns = vci_rec_int(o, "started_ns", 0);
    c->finished_ns = vci_rec_int(o, "finished_ns", 0);
    const char *bad = read_hooks(&c->hooks, o);
    if (!bad)
        bad = read_disks(c, vci_rec_get(o, "disks", VCI_REC_ARRAY));
    if (bad)
        return bad;
    const struct vci_rec *list = vci_rec_get(o, "execs", VCI_REC_ARRAY);
    if (list && list->n && !(c->execs = calloc(list->n, sizeof *c->execs)))
        return "";
    for (const struct vci_rec *e = vci_rec_first(list); e; e = vci_rec_next(list, e)) {
        const char *eid = vci_rec_str(e, "id");
        if (!eid || vci_check_id("exec id", eid, NULL) < 0)
            return "a process has no valid id";
        struct vci_exec *x = &c->execs[c->n_execs];
        if (!(x->id = strdup(eid)))
            return "";
        c->n_execs++;
        x->shim = proc_of(e, "shim");
        x->terminal = vci_rec_int(e, "terminal", 0) != 0;
        x->exit_status = parse_exit(e);
    }
    return NULL;
}

static const char *parse_stack(struct vci_pod *pod, const struct vci_rec *o)
{
    const struct vci_rec *all = vci_rec_get(o, "instances", VCI_REC_OBJECT);
    for (uint32_t k = 1; k <= VCI_KINDS; k++) {
        const struct vci_rec *i = vci_rec_get(all, vci_kind_name(k), VCI_REC_OBJECT);
        if (!i || !vci_rec_str(i, "plugin"))
            return "a plugin's name is missing in \"instances\"";
        if (copy_str(i, "plugin", &pod->plugin[k]) < 0)
            return "";
        if (copy_bytes(i, "state", &pod->saved[k], &pod->saved_len[k]) < 0)
            return "";
        if (vci_rec_str(i, "state_base64") && !pod->saved[k])
            return "a plugin's \"state_base64\" is no base64";
        pod->saved_version[k] = (uint32_t)vci_rec_int(i, "version", 0);
    }
    return NULL;
}

const char *vci_pod_parse(struct vci_pod *pod, const struct vci_rec *o)
{
    if (parse_state(vci_rec_str(o, "state"), &pod->state) < 0)
        return "\"state\" is not a state of a pod";
    const char *id = vci_rec_str(o, "id");
    if (!id || strcmp(id, pod->dir.id) != 0)
        return "\"id\" is not that of its directory";
    pod->vm = vci_rec_int(o, "vm", 0) != 0;
    int64_t died = vci_rec_int(o, "died", 0);
    pod->died = died == VCI_DIED_HOST ? VCI_DIED_HOST : died ? VCI_DIED_ALONE : 0;
    pod->op_by = proc_of(o, "op_by");
    pod->owner = proc_of(o, "owner");
    pod->flags = (uint32_t)vci_rec_int(o, "flags", 0);
    pod->vcpus = (uint32_t)vci_rec_int(o, "vcpus", 0);
    pod->memory = (uint64_t)vci_rec_int(o, "memory", 0);
    pod->vm_template = (uint32_t)vci_rec_int(o, "vm_template", 0);
    const char *from = vci_rec_str(o, "template");
    if (from && (strlen(from) != sizeof pod->template_id - 1 ||
                 strspn(from, "0123456789abcdef") != sizeof pod->template_id - 1))
        return "\"template\" is not the id of a template";
    vci_join(pod->template_id, sizeof pod->template_id, from ? from : "", NULL);
    pod->from_pool = vci_rec_int(o, "from_pool", 0) != 0;
    pod->created_ns = vci_rec_int(o, "created_ns", 0);
    pod->proxy = proc_of(o, "proxy");
    if (copy_str(o, "op", &pod->op) < 0 || copy_str(o, "hostname", &pod->hostname) < 0 ||
        copy_str(o, "uri", &pod->uri) < 0 || copy_str(o, "netns", &pod->netns) < 0 || copy_strv(o, "dns", &pod->dns) < 0 ||
        copy_strv(o, "annotations", &pod->annotations) < 0 || copy_strv(o, "settings", &pod->settings) < 0)
        return "";
    const char *bad = parse_stack(pod, o);
    if (!bad)
        bad = read_hooks(&pod->hooks, o);
    if (!bad)
        bad = read_volumes(pod, vci_rec_get(o, "volumes", VCI_REC_ARRAY));
    if (bad)
        return bad;
    const struct vci_rec *a = vci_rec_get(o, "vmm", VCI_REC_ARRAY);
    if (a && a->n && !(pod->vmm = calloc(a->n, sizeof *pod->vmm)))
        return "";
    for (const struct vci_rec *p = vci_rec_first(a); p; p = vci_rec_next(a, p))
        pod->vmm[pod->n_vmm++] = proc_at(p);
    a = vci_rec_get(o, "containers", VCI_REC_ARRAY);
    if (a && a->n > VCI_MAX_CONTAINERS)
        return "there are too many containers";
    for (const struct vci_rec *c = vci_rec_first(a); c && !bad; c = vci_rec_next(a, c))
        bad = parse_ctr(pod, c);
    return bad;
}

int vci_pod_read(struct vci_pod *pod, vc_error **err)
{
    struct vci_doc doc;
    const struct vci_rec *o;
    vci_doc_init(&doc);
    int rc = vci_store_read(&pod->dir, &doc, &o, &pod->boot_same, err);
    const char *bad = rc < 0 ? NULL : vci_pod_parse(pod, o);
    if (bad)
        rc = *bad ? vci_store_corrupt(&pod->dir, bad, err) : vci_fail(err, VC_ERR_NOMEM, 0, "out of memory");
    vci_doc_done(&doc);
    pod->exists |= rc == 0;
    return rc;
}

int vci_pod_open(struct vci_pod *pod, vc_context *ctx, const char *id, int lock, vc_error **err)
{
    vci_pod_init(pod, ctx);
    int rc = vci_check_id("pod id", id, err);
    if (rc < 0)
        return rc;
    int64_t deadline = lock == VCI_LOCK_EXCLUSIVE ? vci_pod_deadline(ctx, "call_timeout") : 0;
    rc = vci_store_open(ctx, id, lock, deadline, &pod->dir, err);
    if (rc < 0) {
        vci_pod_init(pod, ctx);
        return rc;
    }
    return vci_pod_read(pod, err);
}

int vci_pod_open_ctr(struct vci_pod *pod, vc_context *ctx, const char *id, const char *ctr, int lock,
                     struct vci_ctr **ret, vc_error **err)
{
    int rc = vci_pod_open(pod, ctx, id, lock, err);
    if (rc == 0)
        vci_pod_refresh(pod);
    if (rc == 0 && lock != VCI_LOCK_NONE)
        rc = vci_pod_check_whole(pod, err);
    if (rc < 0)
        return rc;
    *ret = vci_pod_find(pod, ctr, err);
    return *ret ? 0 : vci_rc(err);
}

/* "ready or running". */
static const char *names_of(uint32_t states, char *buf, size_t size)
{
    size_t len = 0;
    buf[0] = '\0';
    for (size_t i = 0; i < sizeof state_names / sizeof *state_names; i++)
        if (states & VCI_IS(i))
            len += (size_t)snprintf(buf + len, size - len, "%s%s", len ? " or " : "", state_names[i]);
    return buf;
}

int vci_ctr_must_be(const struct vci_pod *pod, const struct vci_ctr *c, const char *what, uint32_t pod_states,
                    uint32_t ctr_states, vc_error **err)
{
    char names[64];
    if (!(pod_states & VCI_IS(pod->state)))
        return vci_fail(err, VC_ERR_STATE, 0, "cannot %s container \"%s\": pod \"%s\" is %s and must be %s", what, c->id,
                        pod->dir.id, state_names[pod->state], names_of(pod_states, names, sizeof names));
    if (!(ctr_states & VCI_IS(c->state)))
        return vci_fail(err, VC_ERR_STATE, 0, "cannot %s container \"%s\" of pod \"%s\": it is %s and must be %s", what,
                        c->id, pod->dir.id, vci_ctr_state_name(c), names_of(ctr_states, names, sizeof names));
    return 0;
}

/* ---- what lives ---- */

/* What stands behind the next n blanks; NULL. */
static const char *behind(const char *p, int n)
{
    while (p && n-- > 0 && (p = strchr(p, ' ')))
        p++;
    return p;
}

/* As vcs_proc_alive, but a process that is on its way out (it can take long to free a VM's memory) does not live. */
int vci_proc_lives(const struct vc_proc *p)
{
    enum { EXITING = 0x4 }; /* PF_EXITING of the kernel, in the field `flags` of /proc/PID/stat */
    char path[32], buf[1024];
    if (p->pid <= 0)
        return 0;
    snprintf(path, sizeof path, "/proc/%d/stat", p->pid);
    vcs_autoclose int fd = open(path, O_RDONLY | O_CLOEXEC);
    /* No descriptor, say: what cannot be seen to have ended is not taken for dead (as in vcs_proc_alive). */
    if (fd < 0 && errno != ENOENT && errno != ESRCH)
        return kill(p->pid, 0) == 0 || errno == EPERM;
    ssize_t n = fd < 0 ? -1 : read(fd, buf, sizeof buf - 1);
    if (n <= 0)
        return 0;
    buf[n] = '\0';
    /* The name in field 2 may hold blanks and parentheses: fields are counted from its end. */
    const char *state = behind(strrchr(buf, ')'), 1), *flags = behind(state, 6), *start = behind(flags, 13);
    return start && strtoull(start, NULL, 10) == p->start_ticks && *state != 'Z' && *state != 'X' &&
           !(strtoul(flags, NULL, 10) & EXITING);
}

static int vm_alive(const struct vci_pod *pod)
{
    if (!pod->vm || !pod->boot_same)
        return 0;
    return pod->n_vmm == 0 || pod->vmm_lives;
}

void vci_pod_refresh(struct vci_pod *pod)
{
    int live = pod->state == VCI_READY || pod->state == VCI_RUNNING || pod->state == VCI_PAUSED;
    if (pod->op && strcmp(pod->op, "create") == 0)
        live = 0; /* its processes are not all known yet */
    pod->vmm_lives = pod->n_vmm && pod->state != VCI_STOPPED && pod->boot_same && vci_proc_lives(&pod->vmm[0]);
    if (live && pod->vm && !vm_alive(pod)) {
        pod->died = pod->boot_same ? VCI_DIED_ALONE : VCI_DIED_HOST;
        pod->state = VCI_STOPPED;
    }
    for (size_t i = 0; i < pod->n_ctrs; i++) {
        struct vci_ctr *c = pod->ctrs[i];
        c->shim_lives = c->state != VCI_STOPPED && pod->boot_same && vci_proc_lives(&c->shim);
        if (c->state == VCI_STOPPED || c->state == VCI_MAKING)
            continue;
        if (!pod->died && (c->shim.pid <= 0 || c->shim_lives))
            continue;
        int status = vci_exit_read(&pod->dir, c->id, NULL);
        if (status == VC_ERR_RESOURCE)
            continue; /* it cannot be seen now, and is not made up */
        c->exit_status = status >= 0 ? status : 255;
        c->oom_killed = c->exit_status == 137 && vci_exit_oom(&pod->dir, c->id, NULL);
        c->state = VCI_STOPPED;
    }
}

int vci_pod_check_whole(const struct vci_pod *pod, vc_error **err)
{
    if (!pod->op)
        return 0;
    return vci_fail(
        err, VC_ERR_STATE, 0,
        "the last operation on pod \"%s\" (%s, by process %d) was interrupted: remove the pod with gc or a forced delete",
        pod->dir.id, pod->op, pod->op_by.pid);
}
