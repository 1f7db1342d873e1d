/* SPDX-License-Identifier: Apache-2.0 */
/* spec.c: the OCI runtime specification of a container, from its configuration and maybe a given base. */
#include <json-c/json.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "mounts.h"

static const char *const default_caps[] = {
    "CAP_CHOWN",   "CAP_DAC_OVERRIDE", "CAP_FOWNER",  "CAP_FSETID", "CAP_KILL",       "CAP_NET_BIND_SERVICE",
    "CAP_SETFCAP", "CAP_SETGID",       "CAP_SETPCAP", "CAP_SETUID", "CAP_SYS_CHROOT", NULL,
};
static const char *const masked_paths[] = {
    "/proc/acpi",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/sys/dev/block",
    "/sys/devices/virtual/powercap",
    "/sys/firmware",
    "/sys/fs/selinux",
    NULL,
};
static const char *const readonly_paths[] = {
    "/proc/asound", "/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger", NULL,
};
#define DEFAULT_PATH "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

static json_object *str(const char *s)
{
    return json_object_new_string(s);
}

static json_object *strv(const char *const *v)
{
    json_object *a = json_object_new_array();
    for (; v && *v; v++)
        json_object_array_add(a, str(*v));
    return a;
}

/* Member of an object, made when it is missing or of another type. */
static json_object *member(json_object *o, const char *key)
{
    json_object *v = NULL;
    if (json_object_object_get_ex(o, key, &v) && json_object_is_type(v, json_type_object))
        return v;
    v = json_object_new_object();
    json_object_object_add(o, key, v);
    return v;
}

static int has(json_object *o, const char *key)
{
    return json_object_object_get_ex(o, key, NULL);
}

static int parse_object(const char *what, const char *text, json_object **ret, vc_error **err)
{
    enum json_tokener_error e = json_tokener_success;
    json_object *o = json_tokener_parse_verbose(text, &e);
    if (!o || !json_object_is_type(o, json_type_object)) {
        json_object_put(o);
        return vci_fail(err, VC_ERR_INVAL, 0, "the %s is not a JSON object%s%s", what,
                        e == json_tokener_success ? "" : ": ",
                        e == json_tokener_success ? "" : json_tokener_error_desc(e));
    }
    *ret = o;
    return 0;
}

/* ---- process ---- */

/* Whole decimal number below 2^32 - 1 up to `end`. */
static int number(const char *s, const char *end, int64_t *ret)
{
    int64_t v = 0;
    if (s == end)
        return 0;
    for (; s < end; s++) {
        if (*s < '0' || *s > '9' || (v = v * 10 + (*s - '0')) >= UINT32_MAX)
            return 0;
    }
    *ret = v;
    return 1;
}

static int set_user(json_object *process, const char *text, const char *group, vc_error **err)
{
    vcs_autofree char *both = NULL;
    if (group && asprintf(&both, "%s:%s", text, group) < 0) {
        both = NULL;
        return vci_fail(err, VC_ERR_NOMEM, 0, "out of memory");
    }
    const char *user = both ? both : text;
    const char *colon = strchr(user, ':'), *end = user + strlen(user);
    int64_t uid = 0, gid = 0;
    if (colon ? colon == user || colon + 1 == end || strchr(colon + 1, ':') : user == end)
        return vci_fail(err, VC_ERR_INVAL, 0, "\"%s\" is not a user: write USER or USER:GROUP, each a name or a number",
                        user);
    int numeric = number(user, colon ? colon : end, &uid) && (!colon || number(colon + 1, end, &gid));
    json_object *u = member(process, "user");
    json_object_object_add(u, "uid", json_object_new_int64(numeric ? uid : 0));
    json_object_object_add(u, "gid", json_object_new_int64(numeric ? gid : 0));
    if (numeric)
        json_object_object_del(u, "username");
    else
        json_object_object_add(u, "username", str(user));
    return 0;
}

/* The user without a group that stands in a base. */
static const char *user_of(json_object *process, char *buf, size_t size)
{
    json_object *u = NULL, *v = NULL;
    json_object_object_get_ex(process, "user", &u);
    if (json_object_object_get_ex(u, "username", &v) && json_object_is_type(v, json_type_string)) {
        const char *name = json_object_get_string(v);
        snprintf(buf, size, "%.*s", (int)strcspn(name, ":"), name);
    } else {
        snprintf(buf, size, "%lld", json_object_object_get_ex(u, "uid", &v) ? (long long)json_object_get_int64(v) : 0);
    }
    return buf;
}

/* OCI knows numbers only; a name stands in the same list as text, and the agent resolves it in the container. */
static int set_groups(json_object *process, const char *const *groups, vc_error **err)
{
    json_object *list = json_object_new_array();
    json_object_object_add(member(process, "user"), "additionalGids", list);
    for (; *groups; groups++) {
        int64_t gid = 0;
        if (!**groups || strchr(*groups, ':'))
            return vci_fail(err, VC_ERR_INVAL, 0, "\"%s\" is not a group: write a name or a number", *groups);
        int numeric = number(*groups, *groups + strlen(*groups), &gid);
        json_object_array_add(list, numeric ? json_object_new_int64(gid) : str(*groups));
    }
    return 0;
}

static int check_caps(const char *const *caps, vc_error **err)
{
    for (size_t i = 0; caps && caps[i]; i++)
        if (strncmp(caps[i], "CAP_", 4) != 0 || !caps[i][4])
            return vci_fail(err, VC_ERR_INVAL, 0, "\"%s\" is not a capability: write it like CAP_NET_ADMIN", caps[i]);
    return 0;
}

/* Each of the five sets by itself. */
static int set_cap_sets(json_object *process, const struct vc_capabilities *given, vc_error **err)
{
    struct vc_capabilities all;
    VCI_TAKE(&all, given);
    const struct {
        const char *name;
        const char *const *caps;
    } sets[] = { { "bounding", all.bounding },
                 { "effective", all.effective },
                 { "permitted", all.permitted },
                 { "inheritable", all.inheritable },
                 { "ambient", all.ambient } };
    json_object *c = json_object_new_object();
    json_object_object_add(process, "capabilities", c);
    for (size_t i = 0; i < sizeof sets / sizeof *sets; i++) {
        int rc = check_caps(sets[i].caps, err);
        if (rc < 0)
            return rc;
        json_object_object_add(c, sets[i].name, strv(sets[i].caps));
    }
    return 0;
}

static int set_caps(json_object *process, const char *const *caps, int given, vc_error **err)
{
    static const char *const sets[] = { "bounding", "effective", "permitted", "inheritable", "ambient" };
    int rc = check_caps(caps, err);
    if (rc < 0)
        return rc;
    json_object *c = member(process, "capabilities");
    /* Ambient ones survive the change to another user: only those that were asked for do. */
    for (size_t i = 0; i < (given ? 5u : 3u); i++)
        json_object_object_add(c, sets[i], strv(caps));
    return 0;
}

static int check_env(const char *const *env, vc_error **err)
{
    for (; env && *env; env++)
        if (!strchr(*env, '=') || **env == '=')
            return vci_fail(err, VC_ERR_INVAL, 0, "\"%s\" is not an environment variable: write NAME=VALUE", *env);
    return 0;
}

static int set_env(json_object *process, const struct vc_process_config *c, int terminal, vc_error **err)
{
    int rc = check_env(c->env, err);
    if (rc < 0)
        return rc;
    if (c->env) {
        json_object_object_add(process, "env", strv(c->env));
    } else if (!has(process, "env")) {
        json_object *env = json_object_new_array();
        json_object_array_add(env, str(DEFAULT_PATH));
        if (terminal)
            json_object_array_add(env, str("TERM=xterm"));
        json_object_object_add(process, "env", env);
    }
    return 0;
}

static int check_process(json_object *process, vc_error **err)
{
    json_object *args = NULL, *cwd = NULL;
    json_object_object_get_ex(process, "args", &args);
    if (!json_object_is_type(args, json_type_array) || json_object_array_length(args) == 0)
        return vci_fail(err, VC_ERR_INVAL, 0, "there is no program to run: the process needs args");
    json_object *first = json_object_array_get_idx(args, 0);
    if (!json_object_is_type(first, json_type_string) || json_object_get_string_len(first) == 0)
        return vci_fail(err, VC_ERR_INVAL, 0, "the program to run has an empty name");
    json_object_object_get_ex(process, "cwd", &cwd);
    if (!json_object_is_type(cwd, json_type_string) || json_object_get_string(cwd)[0] != '/')
        return vci_fail(err, VC_ERR_INVAL, 0, "the working directory \"%s\" is not an absolute path",
                        cwd ? json_object_get_string(cwd) : "");
    return 0;
}

/* Lay the configuration over what `process` holds. */
static int fill_process(json_object *process, const struct vc_process_config *c, vc_error **err)
{
    json_object *t = NULL;
    int terminal = c->terminal || (json_object_object_get_ex(process, "terminal", &t) && json_object_get_boolean(t));
    json_object_object_add(process, "terminal", json_object_new_boolean(terminal));
    int sized = c->rows && c->cols;
    if (terminal && (sized || !has(process, "consoleSize"))) {
        json_object *size = member(process, "consoleSize");
        json_object_object_add(size, "height", json_object_new_int64(sized ? c->rows : 24));
        json_object_object_add(size, "width", json_object_new_int64(sized ? c->cols : 80));
    }
    if (c->args)
        json_object_object_add(process, "args", strv(c->args));
    if (c->cwd || !has(process, "cwd"))
        json_object_object_add(process, "cwd", str(c->cwd ? c->cwd : "/"));
    char uid[80];
    int rc = set_env(process, c, terminal, err);
    if (rc == 0 && (c->user || c->group || !has(process, "user")))
        rc = set_user(process, c->user ? c->user : c->group ? user_of(process, uid, sizeof uid) : "0:0", c->group, err);
    if (rc == 0 && c->groups)
        rc = set_groups(process, c->groups, err);
    if (rc == 0 && c->capabilities)
        rc = set_cap_sets(process, c->capabilities, err);
    else if (rc == 0 && (c->caps || !has(process, "capabilities")))
        rc = set_caps(process, c->caps ? c->caps : default_caps, c->caps != NULL, err);
    if (c->no_new_privs || !has(process, "noNewPrivileges"))
        json_object_object_add(process, "noNewPrivileges", json_object_new_boolean(c->no_new_privs != 0));
    return rc < 0 ? rc : check_process(process, err);
}

/* The given object, with terminal and size as the configuration says. */
static int given_process(const struct vc_process_config *c, json_object **ret, vc_error **err)
{
    json_object *o = NULL;
    int rc = parse_object("process", c->process_json, &o, err);
    if (rc < 0)
        return rc;
    json_object_object_del(o, "terminal");
    struct vc_process_config only = { .size = sizeof only, .terminal = c->terminal, .rows = c->rows, .cols = c->cols };
    rc = fill_process(o, &only, err);
    if (rc < 0)
        json_object_put(o);
    else
        *ret = o;
    return rc;
}

static int text_of(json_object *o, char **ret, vc_error **err)
{
    const char *text = json_object_to_json_string_ext(o, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE);
    char *copy = text ? strdup(text) : NULL;
    if (!copy)
        return vci_fail(err, VC_ERR_NOMEM, 0, "out of memory");
    *ret = copy;
    return 0;
}

int vci_spec_process(const struct vc_process_config *config, char **ret, uint32_t *ret_terminal, vc_error **err)
{
    json_object *o = NULL;
    int rc = 0;
    if (config->process_json) {
        rc = given_process(config, &o, err);
    } else {
        o = json_object_new_object();
        rc = fill_process(o, config, err);
    }
    if (rc == 0)
        rc = text_of(o, ret, err);
    json_object_put(o);
    if (rc == 0)
        *ret_terminal = config->terminal != 0;
    return rc;
}

int vci_spec_terminal(const char *json)
{
    json_object *o = json_tokener_parse(json), *p = NULL, *t = NULL;
    if (!json_object_object_get_ex(o, "process", &p))
        p = o;
    int on = json_object_object_get_ex(p, "terminal", &t) && json_object_get_boolean(t);
    json_object_put(o);
    return on;
}

/* ---- container ---- */

/* "key=value" pairs into an object of strings. */
static int set_pairs(json_object *o, const char *const *pairs, const char *what, vc_error **err)
{
    for (; pairs && *pairs; pairs++) {
        const char *eq = strchr(*pairs, '=');
        if (!eq || eq == *pairs)
            return vci_fail(err, VC_ERR_INVAL, 0, "the %s \"%s\" has no value: write NAME=VALUE", what, *pairs);
        vcs_autofree char *key = strndup(*pairs, (size_t)(eq - *pairs));
        if (!key)
            return vci_fail(err, VC_ERR_NOMEM, 0, "out of memory");
        json_object_object_add(o, key, str(eq + 1));
    }
    return 0;
}

static int limit(const char *s, const char *end, uint64_t *ret)
{
    uint64_t v = 0;
    size_t n = (size_t)(end - s);
    if ((n == 9 && strncmp(s, "unlimited", 9) == 0) || (n == 2 && strncmp(s, "-1", 2) == 0)) {
        *ret = UINT64_MAX;
        return 1;
    }
    if (!n || n > 19)
        return 0;
    for (; s < end; s++) {
        if (*s < '0' || *s > '9')
            return 0;
        v = v * 10 + (uint64_t)(*s - '0');
    }
    *ret = v;
    return 1;
}

static int set_rlimits(json_object *process, const char *const *rlimits, vc_error **err)
{
    if (!rlimits || !*rlimits)
        return 0;
    json_object *list = json_object_new_array();
    json_object_object_add(process, "rlimits", list);
    for (; *rlimits; rlimits++) {
        const char *eq = strchr(*rlimits, '='), *colon = eq ? strchr(eq, ':') : NULL;
        uint64_t soft = 0, hard = 0;
        int ok = eq && strncmp(*rlimits, "RLIMIT_", 7) == 0 && eq > *rlimits + 7 &&
                 limit(eq + 1, colon ? colon : eq + strlen(eq), &soft);
        if (ok && colon)
            ok = limit(colon + 1, colon + strlen(colon), &hard);
        else
            hard = soft;
        if (!ok || soft > hard)
            return vci_fail(err, VC_ERR_INVAL, 0,
                            "\"%s\" is not a limit: write it like RLIMIT_NOFILE=1024:4096, soft not above hard",
                            *rlimits);
        json_object *o = json_object_new_object();
        json_object_object_add(o, "type", json_object_new_string_len(*rlimits, (int)(eq - *rlimits)));
        json_object_object_add(o, "hard", json_object_new_uint64(hard));
        json_object_object_add(o, "soft", json_object_new_uint64(soft));
        json_object_array_add(list, o);
    }
    return 0;
}

static int set_linux(json_object *spec, const struct vc_container_config *c, vc_error **err)
{
    static const char *const namespaces[] = { "pid", "ipc", "uts", "mount" };
    json_object *l = member(spec, "linux"), *res = member(l, "resources");
    if (!has(l, "namespaces")) {
        json_object *list = json_object_new_array();
        for (size_t i = 0; i < sizeof namespaces / sizeof *namespaces; i++) {
            json_object *n = json_object_new_object();
            json_object_object_add(n, "type", str(namespaces[i]));
            json_object_array_add(list, n);
        }
        json_object_object_add(l, "namespaces", list);
    }
    if (!has(l, "devices"))
        json_object_object_add(l, "devices", json_object_new_array());
    if (!c->spec_json && !has(l, "maskedPaths"))
        json_object_object_add(l, "maskedPaths", strv(masked_paths));
    if (!c->spec_json && !has(l, "readonlyPaths"))
        json_object_object_add(l, "readonlyPaths", strv(readonly_paths));
    if (c->memory_limit > INT64_MAX || c->cpu_quota < 0 || c->pids_limit < 0)
        return vci_fail(err, VC_ERR_INVAL, 0,
                        "a limit of the container is out of range: limits are positive, or 0 for none");
    if (c->memory_limit)
        json_object_object_add(member(res, "memory"), "limit", json_object_new_int64((int64_t)c->memory_limit));
    if (c->cpu_quota) {
        json_object_object_add(member(res, "cpu"), "quota", json_object_new_int64(c->cpu_quota));
        json_object_object_add(member(res, "cpu"), "period",
                               json_object_new_uint64(c->cpu_period ? c->cpu_period : 100000));
    }
    if (c->cpu_shares)
        json_object_object_add(member(res, "cpu"), "shares", json_object_new_uint64(c->cpu_shares));
    if (c->pids_limit)
        json_object_object_add(member(res, "pids"), "limit", json_object_new_int64(c->pids_limit));
    return c->sysctl ? set_pairs(member(l, "sysctl"), c->sysctl, "sysctl", err) : 0;
}

static int set_process(json_object *spec, const struct vc_container_config *c, vc_error **err)
{
    if (c->process->process_json) {
        json_object *p = NULL;
        int rc = given_process(c->process, &p, err);
        if (rc < 0)
            return rc;
        json_object_object_add(spec, "process", p);
    } else {
        int rc = fill_process(member(spec, "process"), c->process, err);
        if (rc < 0)
            return rc;
    }
    return set_rlimits(member(spec, "process"), c->rlimits, err);
}

int vci_spec_build(const char *hostname, const struct vc_container_config *config, const char *id, char **ret,
                   vc_error **err)
{
    json_object *spec = NULL;
    int rc = config->spec_json ? parse_object("specification (config.json)", config->spec_json, &spec, err) : 0;
    if (rc < 0)
        return rc;
    if (!spec)
        spec = json_object_new_object();
    json_object_object_del(spec, "hooks"); /* they are the host's affair: see hooks.c */
    if (!has(spec, "ociVersion"))
        json_object_object_add(spec, "ociVersion", str("1.0.2"));
    if (rc == 0)
        rc = set_process(spec, config, err);
    json_object *root = member(spec, "root"), *ro = NULL;
    int readonly =
        config->readonly_rootfs || (json_object_object_get_ex(root, "readonly", &ro) && json_object_get_boolean(ro));
    json_object_object_add(root, "path", str("rootfs"));
    json_object_object_add(root, "readonly", json_object_new_boolean(readonly));
    if (!has(spec, "hostname") && hostname)
        json_object_object_add(spec, "hostname", str(hostname));
    if (rc == 0)
        rc = vci_spec_set_mounts(spec, config, err);
    if (rc == 0)
        rc = set_linux(spec, config, err);
    if (rc == 0)
        rc = vci_spec_set_devices(spec, config, err);
    if (rc == 0 && config->annotations)
        rc = set_pairs(member(spec, "annotations"), config->annotations, "annotation", err);
    if (rc == 0)
        rc = text_of(spec, ret, err);
    json_object_put(spec);
    if (rc < 0)
        vci_context(err, "container \"%s\"", id);
    return rc;
}
