/* SPDX-License-Identifier: Apache-2.0 */
/* template-api.c: the templates of a host: listing, making, removing them. */
#include <errno.h>
#include <fcntl.h>
#include <json-c/json.h>
#include <string.h>
#include <sys/stat.h>

#include "lib/io.h"
#include "pool.h"
#include "template.h"

#define RECORD_MAX 65536

/* What is to be thought of one. */
enum verdict {
    FINE,
    STALE,   /* no VM can have its key any more */
    DAMAGED, /* never used, and ours to remove */
    FOREIGN  /* never used, and not ours to touch */
};

/* ---- who uses what ---- */

/* Templates that running pods came from. */
struct users {
    char (*ids)[VCI_TEMPLATE_ID + 1];
    size_t n;
};

static int find_users(vc_context *ctx, struct users *u, vc_error **err)
{
    char **pods = NULL;
    size_t n = 0;
    int rc = vci_store_list(ctx, &pods, &n, err);
    if (rc == 0 && !(u->ids = calloc(n + 1, sizeof *u->ids)))
        rc = vci_fail(err, VC_ERR_NOMEM, 0, "out of memory");
    for (size_t i = 0; rc == 0 && i < n; i++) {
        struct vci_pod pod;
        /* One that cannot be read is nobody's user: a VM goes on without its template's files. */
        if (vci_pod_open(&pod, ctx, pods[i], VCI_LOCK_NONE, NULL) == 0 && pod.template_id[0]) {
            vci_pod_refresh(&pod);
            if (pod.vm && !pod.died && pod.boot_same)
                memcpy(u->ids[u->n++], pod.template_id, sizeof *u->ids);
        }
        vci_pod_close(&pod);
    }
    vci_store_list_free(pods, n);
    return rc;
}

static int count_users(vc_context *ctx, const struct users *u, const char *id, uint32_t *ret, vc_error **err)
{
    uint32_t n = 0, pool = 0;
    for (size_t i = 0; i < u->n; i++)
        n += strcmp(u->ids[i], id) == 0;
    int rc = vci_pool_users(ctx, id, &pool, err);
    *ret = n + pool;
    return rc;
}

/* ---- one template ---- */

/* The value of a line "NAME=..." of a key; "" when there is none. */
static void value_of(const char *key, const char *name, char *buf, size_t size)
{
    size_t n = strlen(name);
    buf[0] = '\0';
    for (const char *line = key; line && *line;) {
        const char *end = strchr(line, '\n');
        if (strncmp(line, name, n) == 0 && line[n] == '=') {
            snprintf(buf, size, "%.*s", (int)(end ? end - line - (ptrdiff_t)n - 1 : 0), line + n + 1);
            return;
        }
        line = end ? end + 1 : NULL;
    }
}

/* Is it stale?  *ret says why. */
static enum verdict judge_key(vc_context *ctx, const char *key, const char *hypervisor, char **ret)
{
    static const char share[] = "\nshare=";
    vci_autoerror vc_error *e = NULL;
    char name[64], version[128];
    struct vci_pod pod;
    struct vc_template_ops ops;
    if (sscanf(hypervisor, "%63s %127[^\n]", name, version) != 2 || !vci_plugin_name_ok(name))
        return *ret = strdup("its key names no hypervisor"), DAMAGED;
    enum verdict v = FINE;
    int rc = vci_template_think(&pod, ctx, NULL, &e);
    if (rc == 0) {
        free(pod.plugin[VC_KIND_HYPERVISOR]);
        pod.plugin[VC_KIND_HYPERVISOR] = strdup(name);
        rc = pod.plugin[VC_KIND_HYPERVISOR] ? 0 : vci_fail(&e, VC_ERR_NOMEM, 0, "out of memory");
    }
    struct vci_inst *hv = rc == 0 ? vci_stack_get(&pod, VC_KIND_HYPERVISOR, vci_pod_deadline(ctx, "call_timeout"), &e) : NULL;
    const char *text = strstr(key, share);
    text = text ? strchr(text + 1, '\n') : NULL;
    if (!hv) {
        v = vc_error_code(e) == VC_ERR_NOTFOUND ? STALE : FOREIGN; /* what cannot be asked now may be later */
    } else if (strcmp(hv->plugin->desc.version, version) != 0) {
        vci_fail(&e, VC_ERR_STATE, 0, "hypervisor plugin \"%s\" has version %s now", name, hv->plugin->desc.version);
        v = STALE;
    } else if ((rc = vci_template_ops(hv, &ops, &e)) < 0) {
        v = rc == VC_ERR_UNSUPPORTED ? STALE : FOREIGN; /* one that is built wrong is no reason to remove anything */
    } else {
        struct vc_bytes bytes = { .data = text ? text + 1 : "", .len = text ? strlen(text + 1) : 0 };
        rc = VCI_CALL_TEMPLATE(hv, &ops, vci_pod_deadline(ctx, "call_timeout"), &e, valid, bytes);
        v = rc == 0 ? FINE : rc == VC_ERR_STATE ? STALE : FOREIGN;
    }
    vci_pod_close(&pod);
    if (v != FINE && asprintf(ret, "%s%s", v == STALE ? "stale: " : "", vc_error_text(e)) < 0)
        *ret = NULL;
    return v;
}

/* What stands in template.json: for people only. */
static void read_record(int fd, struct vc_template_info *info)
{
    vcs_autofree char *text = NULL;
    json_object *o = vcs_read_file(fd, "template.json", RECORD_MAX, &text, NULL) == 0 ? json_tokener_parse(text) : NULL;
    json_object *v;
    if (json_object_object_get_ex(o, "created_ns", &v))
        info->created_ns = json_object_get_int64(v);
    if (json_object_object_get_ex(o, "made_in_ns", &v))
        info->made_in_ns = json_object_get_int64(v);
    json_object_put(o);
}

static void free_info(struct vc_template_info *info)
{
    if (!info)
        return;
    const char *const texts[] = { info->id, info->hypervisor, info->agent, info->path, info->key, info->problem };
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        free((void *)(uintptr_t)texts[i]);
    free(info);
}

/* Look at one.  NULL without memory, or when it has just gone. */
static struct vc_template_info *look(vc_context *ctx, const char *id, enum verdict *ret)
{
    vci_autoerror vc_error *e = NULL;
    vcs_autofree char *dir = NULL, *path = NULL, *key = NULL, *problem = NULL;
    vcs_autoclose int fd = -1;
    char hv[256] = "", agent[128] = "", number[32] = "", digest[VCI_TEMPLATE_ID + 1];
    struct vci_template_size size = { 0 };
    if (asprintf(&path, "%s/%s", ctx->template_dir, id) < 0) {
        path = NULL;
        return NULL;
    }
    int rc = vci_template_open(ctx, id, NULL, &fd, &dir, &e);
    if (rc == 0)
        rc = vci_template_check(fd, path, &key, &size, &e);
    if (rc == VC_ERR_NOTFOUND || rc == VC_ERR_NOMEM)
        return NULL;
    *ret = rc == 0 ? FINE : rc == VC_ERR_CORRUPT ? DAMAGED : FOREIGN;
    if (rc == 0) {
        vci_template_digest(key, digest);
        value_of(key, "hypervisor", hv, sizeof hv);
        value_of(key, "agent", agent, sizeof agent);
        value_of(key, "memory", number, sizeof number);
        if (strcmp(digest, id) != 0) {
            *ret = DAMAGED;
            problem = strdup("its key is not the one that its name stands for");
        } else {
            *ret = judge_key(ctx, key, hv, &problem);
        }
    } else {
        problem = strdup(vc_error_text(e));
        vcs_autoclose int dir_fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        vcs_autofree char *said = NULL; /* shown as a number only */
        if (dir_fd >= 0)
            vci_template_check(dir_fd, path, &said, &size, NULL);
        value_of(said, "memory", number, sizeof number);
    }
    struct vc_template_info *info = calloc(1, sizeof *info);
    if (!info)
        return NULL;
    hv[strcspn(hv, " ")] = '\0';
    info->size = sizeof *info;
    info->id = strdup(id);
    info->hypervisor = strdup(hv);
    info->agent = strdup(agent);
    info->path = VCS_TAKE_PTR(path);
    info->key = key ? VCS_TAKE_PTR(key) : strdup("");
    info->problem = VCS_TAKE_PTR(problem);
    info->disk = size.disk;
    info->memory = strtoull(number, NULL, 10);
    if (!info->memory)
        info->memory = size.largest;
    if (rc == 0)
        read_record(fd, info);
    if (info->id && info->hypervisor && info->agent && info->key && (*ret == FINE || info->problem))
        return info;
    free_info(info);
    return NULL;
}

static int is_id(const char *name)
{
    return strlen(name) == VCI_TEMPLATE_ID && strspn(name, "0123456789abcdef") == VCI_TEMPLATE_ID;
}

static int by_id(const void *a, const void *b)
{
    return strcmp(a, b);
}

/* Ids of all that stand in TEMPLATE_DIR, sorted; none when that is not there. */
static int list_ids(vc_context *ctx, char (**ret)[VCI_TEMPLATE_ID + 1], size_t *ret_n, vc_error **err)
{
    int fd = -1;
    int rc = vci_template_root(ctx, 0, &fd, err);
    if (rc == VC_ERR_NOTFOUND) {
        vc_error_free(VCS_TAKE_PTR(*err));
        return 0;
    }
    if (rc < 0)
        return rc;
    vcs_autoclosedir DIR *d = fdopendir(fd);
    if (!d) {
        close(fd);
        return vci_fail(err, VC_ERR_NOMEM, 0, "out of memory");
    }
    char(*ids)[VCI_TEMPLATE_ID + 1] = NULL;
    size_t n = 0;
    for (struct dirent *e; (e = readdir(d));) {
        if (!is_id(e->d_name))
            continue;
        char(*more)[VCI_TEMPLATE_ID + 1] = realloc(ids, (n + 1) * sizeof *ids);
        if (!more) {
            free(ids);
            return vci_fail(err, VC_ERR_NOMEM, 0, "out of memory");
        }
        ids = more;
        memcpy(ids[n++], e->d_name, sizeof *ids);
    }
    if (n)
        qsort(ids, n, sizeof *ids, by_id);
    *ret = ids;
    *ret_n = n;
    return 0;
}

/* ---- the public functions ---- */

int vc_template_create(vc_context *ctx, uint32_t flags, char **ret_id, vc_error **err)
{
    VCI_NEED(ctx, err);
    vc_error *e = NULL;
    char id[VCI_TEMPLATE_ID + 1];
    int rc = vci_check_flags("template create", flags, VC_FORCE, &e);
    if (rc == 0)
        rc = vci_stack_fits(ctx, vci_conf_plugin(ctx->conf, VC_KIND_HYPERVISOR),
                            vci_conf_plugin(ctx->conf, VC_KIND_AGENT), &e);
    if (rc == 0)
        rc = vci_template_make(ctx, (flags & VC_FORCE) != 0, id, &e);
    if (rc == 0 && ret_id && !(*ret_id = strdup(id)))
        rc = vci_fail(&e, VC_ERR_NOMEM, 0, "out of memory");
    return vci_api_end(rc, e, err);
}

/* The id that pods of this configuration have; "" when they have none. */
static void current_id(vc_context *ctx, char id[VCI_TEMPLATE_ID + 1])
{
    vci_autoerror vc_error *e = NULL;
    vcs_autofree char *key = NULL;
    id[0] = '\0';
    if (vci_template_current(ctx, vci_pod_deadline(ctx, "call_timeout"), &key, id, &e) < 0)
        vci_log(ctx, VC_LOG_DEBUG, NULL, "pods of this configuration have no template: %s", vc_error_text(e));
}

static int list(vc_context *ctx, struct vc_template_info ***ret_list, size_t *ret_n, vc_error **err)
{
    char(*ids)[VCI_TEMPLATE_ID + 1] = NULL, current[VCI_TEMPLATE_ID + 1];
    size_t n = 0, k = 0;
    struct users users = { 0 };
    int rc = list_ids(ctx, &ids, &n, err);
    struct vc_template_info **all = rc == 0 ? calloc(n + 1, sizeof *all) : NULL;
    if (rc == 0 && !all)
        rc = vci_fail(err, VC_ERR_NOMEM, 0, "out of memory");
    if (rc == 0 && n)
        rc = find_users(ctx, &users, err);
    if (rc == 0 && n)
        current_id(ctx, current);
    for (size_t i = 0; rc == 0 && i < n; i++) {
        enum verdict v;
        struct vc_template_info *info = look(ctx, ids[i], &v);
        if (!info)
            continue;
        all[k++] = info;
        rc = count_users(ctx, &users, info->id, &info->pods, err);
        info->current = strcmp(info->id, current) == 0;
        if (info->current && k > 1) { /* it comes first */
            memmove(all + 1, all, (k - 1) * sizeof *all);
            all[0] = info;
        }
    }
    free(ids);
    free(users.ids);
    if (rc < 0) {
        vc_template_list_free(all, k);
        return rc;
    }
    *ret_list = all;
    *ret_n = k;
    return 0;
}

int vc_template_list(vc_context *ctx, struct vc_template_info ***ret_list, size_t *ret_n, vc_error **err)
{
    VCI_NEED(ctx, err);
    VCI_NEED(ret_list, err);
    VCI_NEED(ret_n, err);
    vc_error *e = NULL;
    int rc = list(ctx, ret_list, ret_n, &e);
    return vci_api_end(rc, e, err);
}

void vc_template_list_free(struct vc_template_info **all, size_t n)
{
    for (size_t i = 0; all && i < n; i++)
        free_info(all[i]);
    free(all);
}

int vc_template_json(const struct vc_template_info *info, char **ret_json, vc_error **err)
{
    VCI_NEED(info, err);
    VCI_NEED(ret_json, err);
    json_object *o = json_object_new_object();
    json_object_object_add(o, "id", json_object_new_string(info->id));
    json_object_object_add(o, "current", json_object_new_boolean(info->current != 0));
    json_object_object_add(o, "hypervisor", json_object_new_string(info->hypervisor));
    json_object_object_add(o, "agent", json_object_new_string(info->agent));
    json_object_object_add(o, "path", json_object_new_string(info->path));
    json_object_object_add(o, "key", json_object_new_string(info->key));
    json_object_object_add(o, "problem", info->problem ? json_object_new_string(info->problem) : NULL);
    json_object_object_add(o, "created_ns", json_object_new_int64(info->created_ns));
    json_object_object_add(o, "made_in_ns", json_object_new_int64(info->made_in_ns));
    json_object_object_add(o, "disk", json_object_new_int64((int64_t)info->disk));
    json_object_object_add(o, "memory", json_object_new_int64((int64_t)info->memory));
    json_object_object_add(o, "pods", json_object_new_int64(info->pods));
    const char *text = json_object_to_json_string_ext(o, JSON_C_TO_STRING_PRETTY | JSON_C_TO_STRING_NOSLASHESCAPE);
    char *copy = text ? strdup(text) : NULL;
    json_object_put(o);
    if (!copy)
        return vci_fail(err, VC_ERR_NOMEM, 0, "out of memory");
    *ret_json = copy;
    return 0;
}

static int delete_one(vc_context *ctx, const char *id, uint32_t flags, vc_error **err)
{
    vcs_autoclose int root = -1;
    uint32_t n = 0;
    struct users users = { 0 };
    struct stat st;
    int rc = vci_check_flags("template delete", flags, VC_FORCE, err);
    if (rc == 0 && (!id || !is_id(id)))
        rc = vci_fail(err, VC_ERR_INVAL, 0, "\"%.80s\" is not the id of a template: that has %d hexadecimal digits",
                      id ? id : "", VCI_TEMPLATE_ID);
    if (rc == 0)
        rc = vci_template_root(ctx, 0, &root, err);
    if (rc == 0 && fstatat(root, id, &st, AT_SYMLINK_NOFOLLOW) < 0)
        rc = vci_fail(err, vci_code_of(errno), errno, "cannot look at the template %s/%s", ctx->template_dir, id);
    if (rc == VC_ERR_NOTFOUND) {
        vc_error_free(VCS_TAKE_PTR(*err));
        return vci_fail(err, VC_ERR_NOTFOUND, 0, "there is no template %s in %s", id, ctx->template_dir);
    }
    if (rc == 0 && !(flags & VC_FORCE)) {
        rc = find_users(ctx, &users, err);
        if (rc == 0)
            rc = count_users(ctx, &users, id, &n, err);
        free(users.ids);
        if (rc == 0 && n)
            rc = vci_fail(err, VC_ERR_BUSY, 0,
                          "template %s is in use by %u pod%s or VM%s of the pool; force it, and they go on without it", id,
                          n, n == 1 ? "" : "s", n == 1 ? "" : "s");
    }
    if (rc < 0)
        return rc;
    if (S_ISDIR(st.st_mode))
        return vci_template_remove(ctx, root, id, vci_pod_deadline(ctx, "call_timeout"), err);
    if (unlinkat(root, id, 0) < 0)
        return vci_fail(err, vci_code_of(errno), errno, "cannot remove %s/%s", ctx->template_dir, id);
    return 0;
}

int vc_template_delete(vc_context *ctx, const char *id, uint32_t flags, vc_error **err)
{
    VCI_NEED(ctx, err);
    VCI_NEED(id, err);
    vc_error *e = NULL;
    int rc = delete_one(ctx, id, flags, &e);
    return vci_api_end(rc, e, err);
}

/* ---- leftovers ---- */

struct sweep {
    vc_context *ctx;
    void (*report)(void *arg, const char *id, const char *what);
    void *arg;
    size_t removed;
};

static void tell(struct sweep *s, const char *id, const char *what)
{
    s->removed++;
    vci_log(s->ctx, VC_LOG_INFO, NULL, "gc: template %s: %s", id, what);
    if (s->report)
        s->report(s->arg, id, what);
}

static int sweep_one(struct sweep *s, int root, const char *id, const struct users *users, vc_error **err)
{
    enum verdict v = FINE;
    uint32_t n = 0;
    char what[600];
    struct vc_template_info *info = look(s->ctx, id, &v);
    int rc = info ? count_users(s->ctx, users, id, &n, err) : 0;
    snprintf(what, sizeof what, "removed a template that no pod can start from any more (%s)",
             info && info->problem ? info->problem : "");
    if (info && v == FOREIGN)
        vci_log(s->ctx, VC_LOG_WARN, NULL, "gc: template %s is left alone: %s", id, info->problem);
    free_info(info);
    if (rc < 0 || !info || n || (v != STALE && v != DAMAGED))
        return rc;
    rc = vci_template_remove(s->ctx, root, id, vcs_now_ns(), err); /* one that is looked at just now has time */
    if (rc == 0)
        tell(s, id, what);
    if (rc == VC_ERR_NOTFOUND || rc == VC_ERR_TIMEOUT) {
        vc_error_free(VCS_TAKE_PTR(*err));
        rc = 0;
    }
    return rc;
}

static void tell_half(void *arg, const char *id, const char *what)
{
    tell(arg, id, what);
}

static int sweep_all(struct sweep *s, vc_error **err)
{
    char(*ids)[VCI_TEMPLATE_ID + 1] = NULL;
    size_t n = 0;
    struct users users = { 0 };
    vcs_autoclose int root = -1;
    int rc = vci_template_root(s->ctx, 0, &root, err);
    if (rc == VC_ERR_NOTFOUND) {
        vc_error_free(VCS_TAKE_PTR(*err));
        return 0;
    }
    if (rc == 0)
        vci_template_sweep(s->ctx, root, tell_half, s);
    if (rc == 0)
        rc = list_ids(s->ctx, &ids, &n, err);
    if (rc == 0 && n)
        rc = find_users(s->ctx, &users, err);
    for (size_t i = 0; rc == 0 && i < n; i++)
        rc = sweep_one(s, root, ids[i], &users, err);
    free(users.ids);
    free(ids);
    return rc;
}

int vc_template_gc(vc_context *ctx, void (*report)(void *arg, const char *id, const char *what), void *arg,
                   size_t *ret_removed, vc_error **err)
{
    VCI_NEED(ctx, err);
    vc_error *e = NULL;
    struct sweep s = { .ctx = ctx, .report = report, .arg = arg };
    int rc = sweep_all(&s, &e);
    if (rc == 0 && ret_removed)
        *ret_removed = s.removed;
    return vci_api_end(rc, e, err);
}
