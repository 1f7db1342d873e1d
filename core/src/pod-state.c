/* SPDX-License-Identifier: Apache-2.0 */
/* pod-state.c: the record of a pod: reading, writing, and bringing it in line with what lives. */
#include <fcntl.h>
#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base64.h"
#include "lib/io.h"
#include "lib/utf8.h"
#include "mounts.h"

static const char *const state_names[] = { "ready", "running", "paused", "stopped", "making" };

const char *vci_state_name(enum vci_state state)
{
    return state_names[state];
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
    pod->dir.run_fd = pod->dir.state_fd = pod->dir.lock_fd = pod->dir.ledger_fd = -1;
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

static json_object *proc_json(const struct vc_proc *p)
{
    json_object *a = json_object_new_array_ext(2);
    json_object_array_add(a, json_object_new_int(p->pid));
    json_object_array_add(a, json_object_new_int64((int64_t)p->start_ticks));
    return a;
}

static void put_proc(json_object *o, const char *key, const struct vc_proc *p)
{
    if (p->pid > 0)
        json_object_object_add(o, key, proc_json(p));
}

/* Bytes that are no text go in as "KEY_base64": the record must be JSON whatever a plugin saves and a path holds. */
static int put_bytes(json_object *o, const char *key, const char *s, size_t len)
{
    size_t ascii = 0;
    while (ascii < len && (unsigned char)s[ascii] < 0x80)
        ascii++;
    if (ascii == len || vcs_utf8_line(s, len)) {
        json_object_object_add(o, key, json_object_new_string_len(s, (int)len));
        return 0;
    }
    char name[64];
    snprintf(name, sizeof name, "%s_base64", key);
    vcs_autofree char *text = vci_base64(s, len);
    if (text)
        json_object_object_add(o, name, json_object_new_string(text));
    return text ? 0 : -1;
}

/* -1 without memory. */
static int put_str(json_object *o, const char *key, const char *s)
{
    return s ? put_bytes(o, key, s, strlen(s)) : 0;
}

static void put_int(json_object *o, const char *key, int64_t v)
{
    if (v)
        json_object_object_add(o, key, json_object_new_int64(v));
}

static void put_strv(json_object *o, const char *key, char **v)
{
    if (!v || !v[0])
        return;
    json_object *a = json_object_new_array();
    for (; *v; v++)
        json_object_array_add(a, json_object_new_string(*v));
    json_object_object_add(o, key, a);
}

static json_object *ctr_json(const struct vci_ctr *c, int *bad)
{
    json_object *o = json_object_new_object();
    put_str(o, "id", c->id);
    put_str(o, "state", state_names[c->state]);
    *bad |= put_str(o, "rootfs", c->rootfs);
    put_int(o, "readonly", c->readonly);
    put_int(o, "terminal", c->terminal);
    *bad |= put_str(o, "console", c->console);
    if (c->exit_status >= 0)
        json_object_object_add(o, "exit", json_object_new_int(c->exit_status));
    put_proc(o, "shim", &c->shim);
    put_int(o, "pid_set", c->pid_set);
    put_proc(o, "former", &c->former);
    put_int(o, "oom", c->oom_killed);
    put_strv(o, "annotations", c->annotations);
    vci_hooks_put(&c->hooks, o);
    put_int(o, "created_ns", c->created_ns);
    put_int(o, "started_ns", c->started_ns);
    put_int(o, "finished_ns", c->finished_ns);
    if (c->n_disks)
        json_object_object_add(o, "disks", vci_disks_json(c));
    if (!c->n_execs)
        return o;
    json_object *list = json_object_new_array();
    for (size_t i = 0; i < c->n_execs; i++) {
        json_object *e = json_object_new_object();
        put_str(e, "id", c->execs[i].id);
        put_proc(e, "shim", &c->execs[i].shim);
        put_int(e, "terminal", c->execs[i].terminal);
        if (c->execs[i].exit_status >= 0)
            json_object_object_add(e, "exit", json_object_new_int(c->execs[i].exit_status));
        json_object_array_add(list, e);
    }
    json_object_object_add(o, "execs", list);
    return o;
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

static json_object *stack_json(const struct vci_pod *pod, int *bad)
{
    json_object *all = json_object_new_object();
    for (uint32_t k = 1; k <= VCI_KINDS; k++) {
        json_object *o = json_object_new_object();
        put_str(o, "plugin", pod->plugin[k]);
        if (pod->saved[k]) {
            json_object_object_add(o, "version", json_object_new_int64(pod->saved_version[k]));
            *bad |= put_bytes(o, "state", pod->saved[k], pod->saved_len[k]);
        }
        json_object_object_add(all, vci_kind_name(k), o);
    }
    return all;
}

int vci_pod_save(struct vci_pod *pod, vc_error **err)
{
    int rc = save_instances(pod, err);
    if (rc < 0)
        return rc;
    int bad = 0;
    json_object *o = json_object_new_object();
    put_str(o, "id", pod->dir.id);
    put_str(o, "state", state_names[pod->state]);
    put_int(o, "vm", pod->vm);
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
    json_object_object_add(o, "instances", stack_json(pod, &bad));
    if (pod->n_vmm) {
        json_object *a = json_object_new_array();
        for (size_t i = 0; i < pod->n_vmm; i++)
            json_object_array_add(a, proc_json(&pod->vmm[i]));
        json_object_object_add(o, "vmm", a);
    }
    vci_hooks_put(&pod->hooks, o);
    bad |= put_str(o, "netns", pod->netns);
    put_proc(o, "proxy", &pod->proxy);
    bad |= put_str(o, "uri", pod->uri);
    if (pod->n_volumes)
        json_object_object_add(o, "volumes", vci_volumes_json(pod));
    if (pod->n_ctrs) {
        json_object *a = json_object_new_array();
        for (size_t i = 0; i < pod->n_ctrs; i++)
            json_object_array_add(a, ctr_json(pod->ctrs[i], &bad));
        json_object_object_add(o, "containers", a);
    }
    rc = bad ? vci_fail(err, VC_ERR_NOMEM, 0, "out of memory") : vci_store_write(&pod->dir, o, err);
    json_object_put(o);
    if (rc == 0)
        pod->exists = 1;
    return rc;
}

int vci_pod_begin(struct vci_pod *pod, const char *op, vc_error **err)
{
    char *copy = strdup(op);
    if (!copy)
        return vci_fail(err, VC_ERR_NOMEM, 0, "out of memory");
    free(pod->op);
    pod->op = copy;
    pod->op_by = (struct vc_proc){ .pid = getpid() }; /* for people; whether it still goes on is what the lock says */
    return vci_pod_save(pod, err);
}

/* ---- reading ---- */

static json_object *get(json_object *o, const char *key, json_type type)
{
    json_object *v = NULL;
    return json_object_object_get_ex(o, key, &v) && json_object_get_type(v) == type ? v : NULL;
}

static int64_t get_int(json_object *o, const char *key, int64_t def)
{
    json_object *v = get(o, key, json_type_int);
    return v ? json_object_get_int64(v) : def;
}

static const char *get_str(json_object *o, const char *key)
{
    json_object *v = get(o, key, json_type_string);
    return v ? json_object_get_string(v) : NULL;
}

/* 0, or -1 without memory. */
static int copy_bytes(json_object *o, const char *key, char **ret, size_t *ret_len)
{
    char name[64];
    json_object *v = get(o, key, json_type_string);
    *ret = NULL;
    *ret_len = 0;
    if (v) {
        size_t len = (size_t)json_object_get_string_len(v);
        if (!(*ret = malloc(len + 1)))
            return -1;
        memcpy(*ret, json_object_get_string(v), len + 1);
        *ret_len = len;
        return 0;
    }
    snprintf(name, sizeof name, "%s_base64", key);
    const char *text = get_str(o, name);
    /* What is no base64 is treated as what is not there. */
    return text && vci_unbase64(text, ret, ret_len) == -2 ? -1 : 0;
}

static int copy_str(json_object *o, const char *key, char **ret)
{
    size_t len;
    return copy_bytes(o, key, ret, &len);
}

static struct vc_proc proc_of(json_object *a)
{
    struct vc_proc p = { 0 };
    if (a && json_object_is_type(a, json_type_array) && json_object_array_length(a) == 2) {
        p.pid = json_object_get_int(json_object_array_get_idx(a, 0));
        p.start_ticks = (uint64_t)json_object_get_int64(json_object_array_get_idx(a, 1));
        if (p.pid < 2) /* never 0, 1 or a process group */
            p.pid = 0;
    }
    return p;
}

static int copy_strv(json_object *o, const char *key, char ***ret)
{
    json_object *a = get(o, key, json_type_array);
    size_t n = a ? json_object_array_length(a) : 0;
    if (!n)
        return 0;
    char **v = calloc(n + 1, sizeof *v);
    for (size_t i = 0; v && i < n; i++) {
        v[i] = strdup(json_object_get_string(json_object_array_get_idx(a, i)) ?: "");
        if (!v[i]) {
            vci_strv_free(v);
            return -1;
        }
    }
    *ret = v;
    return v ? 0 : -1;
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

static int parse_exit(json_object *o)
{
    int64_t v = get_int(o, "exit", -1);
    return v >= 0 && v <= 255 ? (int)v : -1;
}

/* NULL when the record is fine, else what is wrong with it; "" without memory. */
static const char *parse_ctr(struct vci_pod *pod, json_object *o)
{
    const char *id = get_str(o, "id");
    if (!id || vci_check_id("container id", id, NULL) < 0)
        return "a container has no valid id";
    struct vci_ctr *c = vci_pod_add(pod, id);
    if (!c || copy_str(o, "rootfs", &c->rootfs) < 0 || copy_str(o, "console", &c->console) < 0)
        return "";
    if (parse_state(get_str(o, "state"), &c->state) < 0)
        return "a container has no valid state";
    c->readonly = get_int(o, "readonly", 0) != 0;
    c->terminal = get_int(o, "terminal", 0) != 0;
    c->exit_status = parse_exit(o);
    c->shim = proc_of(get(o, "shim", json_type_array));
    c->pid_set = get_int(o, "pid_set", 0) != 0;
    c->former = proc_of(get(o, "former", json_type_array));
    c->oom_killed = get_int(o, "oom", 0) != 0;
    if (copy_strv(o, "annotations", &c->annotations) < 0)
        return "";
    c->created_ns = get_int(o, "created_ns", 0);
    c->started_ns = get_int(o, "started_ns", 0);
    c->finished_ns = get_int(o, "finished_ns", 0);
    const char *bad = vci_hooks_get(&c->hooks, o);
    if (!bad)
        bad = vci_disks_parse(c, get(o, "disks", json_type_array));
    if (bad)
        return bad;
    json_object *list = get(o, "execs", json_type_array);
    size_t n = list ? json_object_array_length(list) : 0;
    if (n && !(c->execs = calloc(n, sizeof *c->execs)))
        return "";
    for (size_t i = 0; i < n; i++) {
        json_object *e = json_object_array_get_idx(list, i);
        const char *eid = get_str(e, "id");
        if (!eid || vci_check_id("exec id", eid, NULL) < 0)
            return "a process has no valid id";
        struct vci_exec *x = &c->execs[c->n_execs];
        if (!(x->id = strdup(eid)))
            return "";
        c->n_execs++;
        x->shim = proc_of(get(e, "shim", json_type_array));
        x->terminal = get_int(e, "terminal", 0) != 0;
        x->exit_status = parse_exit(e);
    }
    return NULL;
}

static const char *parse_stack(struct vci_pod *pod, json_object *o)
{
    json_object *all = get(o, "instances", json_type_object);
    for (uint32_t k = 1; k <= VCI_KINDS; k++) {
        json_object *i = all ? get(all, vci_kind_name(k), json_type_object) : NULL;
        if (!i || !get_str(i, "plugin"))
            return "a plugin's name is missing in \"instances\"";
        if (copy_str(i, "plugin", &pod->plugin[k]) < 0)
            return "";
        if (copy_bytes(i, "state", &pod->saved[k], &pod->saved_len[k]) < 0)
            return "";
        if (get(i, "state_base64", json_type_string) && !pod->saved[k])
            return "a plugin's \"state_base64\" is no base64";
        pod->saved_version[k] = (uint32_t)get_int(i, "version", 0);
    }
    return NULL;
}

static const char *parse_pod(struct vci_pod *pod, json_object *o)
{
    if (parse_state(get_str(o, "state"), &pod->state) < 0)
        return "\"state\" is not a state of a pod";
    const char *id = get_str(o, "id");
    if (!id || strcmp(id, pod->dir.id) != 0)
        return "\"id\" is not that of its directory";
    pod->vm = get_int(o, "vm", 0) != 0;
    pod->op_by = proc_of(get(o, "op_by", json_type_array));
    pod->owner = proc_of(get(o, "owner", json_type_array));
    pod->flags = (uint32_t)get_int(o, "flags", 0);
    pod->vcpus = (uint32_t)get_int(o, "vcpus", 0);
    pod->memory = (uint64_t)get_int(o, "memory", 0);
    pod->vm_template = (uint32_t)get_int(o, "vm_template", 0);
    const char *from = get_str(o, "template");
    if (from && (strlen(from) != sizeof pod->template_id - 1 ||
                 strspn(from, "0123456789abcdef") != sizeof pod->template_id - 1))
        return "\"template\" is not the id of a template";
    snprintf(pod->template_id, sizeof pod->template_id, "%s", from ? from : "");
    pod->from_pool = get_int(o, "from_pool", 0) != 0;
    pod->created_ns = get_int(o, "created_ns", 0);
    pod->proxy = proc_of(get(o, "proxy", json_type_array));
    if (copy_str(o, "op", &pod->op) < 0 || copy_str(o, "hostname", &pod->hostname) < 0 ||
        copy_str(o, "uri", &pod->uri) < 0 || copy_str(o, "netns", &pod->netns) < 0 || copy_strv(o, "dns", &pod->dns) < 0 ||
        copy_strv(o, "annotations", &pod->annotations) < 0 || copy_strv(o, "settings", &pod->settings) < 0)
        return "";
    const char *bad = parse_stack(pod, o);
    if (!bad)
        bad = vci_hooks_get(&pod->hooks, o);
    if (!bad)
        bad = vci_volumes_parse(pod, get(o, "volumes", json_type_array));
    if (bad)
        return bad;
    json_object *a = get(o, "vmm", json_type_array);
    size_t n = a ? json_object_array_length(a) : 0;
    if (n && !(pod->vmm = calloc(n, sizeof *pod->vmm)))
        return "";
    for (size_t i = 0; i < n; i++)
        pod->vmm[i] = proc_of(json_object_array_get_idx(a, i));
    pod->n_vmm = n;
    a = get(o, "containers", json_type_array);
    n = a ? json_object_array_length(a) : 0;
    if (n > VCI_MAX_CONTAINERS)
        return "there are too many containers";
    for (size_t i = 0; i < n && !bad; i++)
        bad = parse_ctr(pod, json_object_array_get_idx(a, i));
    return bad;
}

int vci_pod_read(struct vci_pod *pod, vc_error **err)
{
    json_object *o = NULL;
    int rc = vci_store_read(&pod->dir, &o, &pod->boot_same, err);
    if (rc < 0)
        return rc;
    const char *bad = parse_pod(pod, o);
    json_object_put(o);
    if (bad && !*bad)
        return vci_fail(err, VC_ERR_NOMEM, 0, "out of memory");
    if (bad)
        return vci_store_corrupt(&pod->dir, bad, err);
    pod->exists = 1;
    return 0;
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
                        c->id, pod->dir.id, state_names[c->state], names_of(ctr_states, names, sizeof names));
    return 0;
}

/* ---- what lives ---- */

/* As vcs_proc_alive, but a process that is on its way out (it can take long to free a VM's memory) does not live. */
int vci_proc_lives(const struct vc_proc *p)
{
    enum { EXITING = 0x4 }; /* PF_EXITING of the kernel, in the field `flags` of /proc/PID/stat */
    char path[32], buf[1024];
    if (p->pid <= 0)
        return 0;
    snprintf(path, sizeof path, "/proc/%d/stat", p->pid);
    vcs_autoclose int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : read(fd, buf, sizeof buf - 1);
    if (n <= 0)
        return 0;
    buf[n] = '\0';
    const char *rest = strrchr(buf, ')');
    char state;
    unsigned flags;
    unsigned long long start;
    if (!rest || sscanf(rest + 1, " %c %*d %*d %*d %*d %*d %u %*u %*u %*u %*u %*u %*u %*d %*d %*d %*d %*d %*d %llu",
                        &state, &flags, &start) != 3)
        return 0;
    return start == p->start_ticks && state != 'Z' && state != 'X' && !(flags & EXITING);
}

static int vm_alive(const struct vci_pod *pod)
{
    if (!pod->vm || !pod->boot_same)
        return 0;
    return pod->n_vmm == 0 || vci_proc_lives(&pod->vmm[0]);
}

/* A process whose shim has ended: its status, by the best evidence there is. */
static int ended_status(const struct vci_pod *pod, const struct vci_ctr *c, const char *exec_id)
{
    int s = vci_exit_read(&pod->dir, c->id, exec_id);
    return s >= 0 ? s : 255;
}

void vci_pod_refresh(struct vci_pod *pod)
{
    int live = pod->state == VCI_READY || pod->state == VCI_RUNNING || pod->state == VCI_PAUSED;
    if (pod->op && strcmp(pod->op, "create") == 0)
        live = 0; /* its processes are not all known yet */
    if (live && pod->vm && !vm_alive(pod)) {
        pod->died = 1;
        pod->state = VCI_STOPPED;
    }
    for (size_t i = 0; i < pod->n_ctrs; i++) {
        struct vci_ctr *c = pod->ctrs[i];
        if (c->state == VCI_STOPPED || c->state == VCI_MAKING)
            continue;
        int shim_gone = c->shim.pid > 0 && (!pod->boot_same || !vci_proc_lives(&c->shim));
        if (!pod->died && !shim_gone)
            continue;
        c->exit_status = ended_status(pod, c, NULL);
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
