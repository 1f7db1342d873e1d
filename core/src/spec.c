/* SPDX-License-Identifier: Apache-2.0 */
/* spec.c: the OCI runtime specification of a container, from its configuration and maybe a given base. */
#include <json-c/json.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "json-strict.h"
#include "mounts.h"
#include "record.h"

/* What every container gets that asks for nothing else. */
#define DEFAULT_CAPS                                                                                                   \
    "[\"CAP_CHOWN\",\"CAP_DAC_OVERRIDE\",\"CAP_FOWNER\",\"CAP_FSETID\",\"CAP_KILL\",\"CAP_NET_BIND_SERVICE\","              \
    "\"CAP_SETFCAP\",\"CAP_SETGID\",\"CAP_SETPCAP\",\"CAP_SETUID\",\"CAP_SYS_CHROOT\"]"
#define MASKED_PATHS                                                                                                   \
    "[\"/proc/acpi\",\"/proc/kcore\",\"/proc/keys\",\"/proc/latency_stats\",\"/proc/sched_debug\",\"/proc/scsi\","          \
    "\"/proc/timer_list\",\"/proc/timer_stats\",\"/sys/dev/block\",\"/sys/devices/virtual/powercap\",\"/sys/firmware\","     \
    "\"/sys/fs/selinux\"]"
#define READONLY_PATHS "[\"/proc/asound\",\"/proc/bus\",\"/proc/fs\",\"/proc/irq\",\"/proc/sys\",\"/proc/sysrq-trigger\"]"
#define NAMESPACES     "[{\"type\":\"pid\"},{\"type\":\"ipc\"},{\"type\":\"uts\"},{\"type\":\"mount\"}]"
#define DEFAULT_PATH   "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

/* An object or array that is being filled.  Where all of a specification is made here it is written as text, member after
 * member, and nothing is in it beforehand; where something is given, it is laid over that. */
struct part {
    struct vci_out *out; /* NULL: `o` is it */
    json_object *o;
};

/* key NULL: an element of an array. */
static void put(struct part p, const char *key, json_object *v)
{
    if (key)
        json_object_object_add(p.o, key, v);
    else
        json_object_array_add(p.o, v);
}

static void put_str(struct part p, const char *key, const char *s)
{
    if (p.out)
        vci_out_str(p.out, key, s, strlen(s));
    else
        put(p, key, json_object_new_string(s));
}

static void put_uint(struct part p, const char *key, uint64_t v)
{
    char text[24];
    if (p.out && v <= INT64_MAX)
        vci_out_int(p.out, key, (int64_t)v);
    else if (p.out)
        vci_out_text(p.out, key, text, (size_t)snprintf(text, sizeof text, "%ju", (uintmax_t)v));
    else
        put(p, key, v > INT64_MAX ? json_object_new_uint64(v) : json_object_new_int64((int64_t)v));
}

/* What is JSON already. */
static void put_text(struct part p, const char *key, const char *text)
{
    if (p.out)
        vci_out_text(p.out, key, text, strlen(text));
    else
        put(p, key, json_tokener_parse(text));
}

static void put_bool(struct part p, const char *key, int on)
{
    put_text(p, key, on ? "true" : "false");
}

/* An array, which takes the place of what is there. */
static struct part open_list(struct part p, const char *key)
{
    struct part list = { .out = p.out };
    if (p.out)
        vci_out_open(p.out, key, '[');
    else
        put(p, key, list.o = json_object_new_array());
    return list;
}

static void close_list(struct part list)
{
    if (list.out)
        vci_out_close(list.out, ']');
}

/* An object, made when it is missing or of another type. */
static struct part open_part(struct part p, const char *key)
{
    struct part m = { .out = p.out };
    if (p.out)
        vci_out_open(p.out, key, '{');
    else if (!key || !json_object_object_get_ex(p.o, key, &m.o) || !json_object_is_type(m.o, json_type_object))
        put(p, key, m.o = json_object_new_object());
    return m;
}

static void close_part(struct part p)
{
    if (p.out)
        vci_out_close(p.out, '}');
}

static void put_strv(struct part p, const char *key, const char *const *v)
{
    struct part list = open_list(p, key);
    for (; v && *v; v++)
        put_str(list, NULL, *v);
    close_list(list);
}

/* Does it have this member already? */
static int has(struct part p, const char *key)
{
    return json_object_object_get_ex(p.o, key, NULL);
}

/* Is it there, and true? */
static int is_on(struct part p, const char *key)
{
    json_object *v = NULL;
    return json_object_object_get_ex(p.o, key, &v) && json_object_get_boolean(v);
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

/* Members of `o`, one below the other as "a.b" says, that are there must be objects: one of another type would be taken for
 * missing where something is laid over it. */
static int check_objects(json_object *o, const char *const *members, const char *what, vc_error **err)
{
    for (; *members; members++) {
        json_object *at = o;
        for (const char *p = *members; at && *p;) {
            char key[24];
            size_t n = strcspn(p, ".");
            snprintf(key, sizeof key, "%.*s", (int)n, p);
            json_object_object_get_ex(at, key, &at);
            p += n + (p[n] == '.');
            if (at && !json_object_is_type(at, json_type_object))
                return vci_fail(err, VC_ERR_INVAL, 0, "\"%.*s\" of the %s is not an object",
                                (int)(p - *members) - (*p != '\0'), *members, what);
        }
    }
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

static int set_user(struct part u, const char *text, const char *group, vc_error **err)
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
    put_uint(u, "uid", numeric ? (uint64_t)uid : 0);
    put_uint(u, "gid", numeric ? (uint64_t)gid : 0);
    if (!numeric)
        put_str(u, "username", user);
    else if (u.o)
        json_object_object_del(u.o, "username");
    return 0;
}

/* The user without a group that stands in a base. */
static const char *user_of(struct part u, char *buf, size_t size)
{
    json_object *v = NULL;
    if (json_object_object_get_ex(u.o, "username", &v) && json_object_is_type(v, json_type_string)) {
        const char *name = json_object_get_string(v);
        snprintf(buf, size, "%.*s", (int)strcspn(name, ":"), name);
    } else {
        snprintf(buf, size, "%lld", json_object_object_get_ex(u.o, "uid", &v) ? (long long)json_object_get_int64(v) : 0);
    }
    return buf;
}

/* OCI knows numbers only; a name stands in the same list as text, and the agent resolves it in the container. */
static int set_groups(struct part u, const char *const *groups, vc_error **err)
{
    struct part list = open_list(u, "additionalGids");
    for (; *groups; groups++) {
        int64_t gid = 0;
        if (!**groups || strchr(*groups, ':'))
            return vci_fail(err, VC_ERR_INVAL, 0, "\"%s\" is not a group: write a name or a number", *groups);
        if (number(*groups, *groups + strlen(*groups), &gid))
            put_uint(list, NULL, (uint64_t)gid);
        else
            put_str(list, NULL, *groups);
    }
    close_list(list);
    return 0;
}

/* User and groups, as far as they are asked for or missing. */
static int set_ids(struct part process, const struct vc_process_config *c, vc_error **err)
{
    char base[80];
    int rc = 0, user = c->user || c->group || !has(process, "user");
    if (!user && !c->groups)
        return 0;
    struct part u = open_part(process, "user");
    if (user)
        rc = set_user(u, c->user ? c->user : c->group ? user_of(u, base, sizeof base) : "0:0", c->group, err);
    if (rc == 0 && c->groups)
        rc = set_groups(u, c->groups, err);
    close_part(u);
    return rc;
}

static int check_caps(const char *const *caps, vc_error **err)
{
    for (size_t i = 0; caps && caps[i]; i++)
        if (strncmp(caps[i], "CAP_", 4) != 0 || !caps[i][4])
            return vci_fail(err, VC_ERR_INVAL, 0, "\"%s\" is not a capability: write it like CAP_NET_ADMIN", caps[i]);
    return 0;
}

/* Each of the five sets by itself. */
static int set_cap_sets(struct part process, const struct vc_capabilities *given, vc_error **err)
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
    if (process.o) /* nothing is left of what is there */
        put(process, "capabilities", NULL);
    struct part c = open_part(process, "capabilities");
    for (size_t i = 0; i < sizeof sets / sizeof *sets; i++) {
        int rc = check_caps(sets[i].caps, err);
        if (rc < 0)
            return rc;
        put_strv(c, sets[i].name, sets[i].caps);
    }
    close_part(c);
    return 0;
}

/* caps NULL: the usual ones. */
static int set_caps(struct part process, const char *const *caps, vc_error **err)
{
    static const char *const sets[] = { "bounding", "effective", "permitted", "inheritable", "ambient" };
    int rc = check_caps(caps, err);
    if (rc < 0)
        return rc;
    struct part c = open_part(process, "capabilities");
    /* Ambient ones survive the change to another user: only those that were asked for do. */
    for (size_t i = 0; i < (caps ? 5u : 3u); i++) {
        if (caps)
            put_strv(c, sets[i], caps);
        else
            put_text(c, sets[i], DEFAULT_CAPS);
    }
    close_part(c);
    return 0;
}

static int check_env(const char *const *env, vc_error **err)
{
    for (; env && *env; env++)
        if (!strchr(*env, '=') || **env == '=')
            return vci_fail(err, VC_ERR_INVAL, 0, "\"%s\" is not an environment variable: write NAME=VALUE", *env);
    return 0;
}

static int set_env(struct part process, const struct vc_process_config *c, int terminal, vc_error **err)
{
    static const char *const usual[] = { DEFAULT_PATH, "TERM=xterm", NULL }, *const without[] = { DEFAULT_PATH, NULL };
    int rc = check_env(c->env, err);
    if (rc == 0 && (c->env || !has(process, "env")))
        put_strv(process, "env", c->env ? c->env : terminal ? usual : without);
    return rc;
}

/* What is to run, and where: as it is said now, or as it was. */
static int check_process(struct part process, const struct vc_process_config *c, vc_error **err)
{
    json_object *args = NULL, *cwd = NULL;
    const char *program = c->args ? c->args[0] : NULL, *dir = c->cwd ? c->cwd : "/";
    if (process.o) {
        json_object_object_get_ex(process.o, "args", &args);
        json_object *first = json_object_is_type(args, json_type_array) ? json_object_array_get_idx(args, 0) : NULL;
        program = json_object_is_type(first, json_type_string) ? json_object_get_string(first) : first ? "" : NULL;
        json_object_object_get_ex(process.o, "cwd", &cwd);
        dir = cwd ? json_object_get_string(cwd) : "";
    }
    if (!program)
        return vci_fail(err, VC_ERR_INVAL, 0, "there is no program to run: the process needs args");
    if (!*program)
        return vci_fail(err, VC_ERR_INVAL, 0, "the program to run has an empty name");
    if (*dir != '/')
        return vci_fail(err, VC_ERR_INVAL, 0, "the working directory \"%s\" is not an absolute path", dir);
    return 0;
}

/* Lay the configuration over what `process` holds.  *ret_terminal: does it have one? */
static int fill_process(struct part process, const struct vc_process_config *c, uint32_t *ret_terminal, vc_error **err)
{
    int terminal = c->terminal || is_on(process, "terminal"), sized = c->rows && c->cols;
    *ret_terminal = (uint32_t)terminal;
    put_bool(process, "terminal", terminal);
    if (terminal && (sized || !has(process, "consoleSize"))) {
        struct part size = open_part(process, "consoleSize");
        put_uint(size, "height", sized ? c->rows : 24);
        put_uint(size, "width", sized ? c->cols : 80);
        close_part(size);
    }
    if (c->args)
        put_strv(process, "args", c->args);
    if (c->cwd || !has(process, "cwd"))
        put_str(process, "cwd", c->cwd ? c->cwd : "/");
    int rc = set_env(process, c, terminal, err);
    if (rc == 0)
        rc = set_ids(process, c, err);
    if (rc == 0 && c->capabilities)
        rc = set_cap_sets(process, c->capabilities, err);
    else if (rc == 0 && (c->caps || !has(process, "capabilities")))
        rc = set_caps(process, c->caps, err);
    if (c->no_new_privs || !has(process, "noNewPrivileges"))
        put_bool(process, "noNewPrivileges", c->no_new_privs != 0);
    return rc < 0 ? rc : check_process(process, c, err);
}

/* The given object, with terminal and size as the configuration says. */
static int given_process(const struct vc_process_config *c, json_object **ret, uint32_t *ret_terminal, vc_error **err)
{
    json_object *o = NULL;
    int rc = parse_object("process", c->process_json, &o, err);
    if (rc < 0)
        return rc;
    static const char *const objects[] = { "user", "capabilities", "consoleSize", NULL };
    if ((rc = check_objects(o, objects, "process", err)) < 0) {
        json_object_put(o);
        return rc;
    }
    json_object_object_del(o, "terminal");
    struct vc_process_config only = { .size = sizeof only, .terminal = c->terminal, .rows = c->rows, .cols = c->cols };
    rc = fill_process((struct part){ .o = o }, &only, ret_terminal, err);
    if (rc < 0)
        json_object_put(o);
    else
        *ret = o;
    return rc;
}

/* The text of what was written, or of `o`. */
static int text_of(struct vci_out *out, json_object *o, char **ret, vc_error **err)
{
    vci_out_json(out, NULL, o);
    char *text = vci_out_take(out);
    if (!text)
        return vci_fail(err, VC_ERR_NOMEM, 0, "out of memory");
    *ret = text;
    return 0;
}

int vci_spec_process(const struct vc_process_config *config, char **ret, uint32_t *ret_terminal, vc_error **err)
{
    struct vci_out out = { 0 };
    json_object *o = NULL;
    int rc;
    if (config->process_json) {
        rc = given_process(config, &o, ret_terminal, err);
    } else {
        vci_out_open(&out, NULL, '{');
        rc = fill_process((struct part){ .out = &out }, config, ret_terminal, err);
        vci_out_close(&out, '}');
    }
    if (rc == 0)
        rc = text_of(&out, o, ret, err);
    json_object_put(o);
    vci_out_done(&out);
    return rc;
}

/* ---- container ---- */

/* "key=value" pairs as an object of strings.  Keys can be anything, and stand there twice. */
static int set_pairs(struct part p, const char *member, const char *const *pairs, const char *what, vc_error **err)
{
    struct part m = { .o = p.out ? json_object_new_object() : open_part(p, member).o };
    int rc = 0;
    for (; rc == 0 && *pairs; pairs++) {
        const char *eq = strchr(*pairs, '=');
        vcs_autofree char *key = eq ? strndup(*pairs, (size_t)(eq - *pairs)) : NULL;
        if (!eq || eq == *pairs)
            rc = vci_fail(err, VC_ERR_INVAL, 0, "the %s \"%s\" has no value: write NAME=VALUE", what, *pairs);
        else if (!key)
            rc = vci_fail(err, VC_ERR_NOMEM, 0, "out of memory");
        else
            put_str(m, key, eq + 1);
    }
    if (p.out) {
        vci_out_json(p.out, member, m.o);
        json_object_put(m.o);
    }
    return rc;
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

static int set_rlimits(struct part process, const char *const *rlimits, vc_error **err)
{
    if (!rlimits || !*rlimits)
        return 0;
    struct part list = open_list(process, "rlimits");
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
        vcs_autofree char *type = strndup(*rlimits, (size_t)(eq - *rlimits));
        if (!type)
            return vci_fail(err, VC_ERR_NOMEM, 0, "out of memory");
        struct part o = open_part(list, NULL);
        put_str(o, "type", type);
        put_uint(o, "hard", hard);
        put_uint(o, "soft", soft);
        close_part(o);
    }
    close_list(list);
    return 0;
}

static int set_resources(struct part l, const struct vc_container_config *c, vc_error **err)
{
    if (c->memory_limit > INT64_MAX || c->cpu_quota < 0 || c->pids_limit < 0)
        return vci_fail(err, VC_ERR_INVAL, 0,
                        "a limit of the container is out of range: limits are positive, or 0 for none");
    struct part res = open_part(l, "resources");
    if (c->memory_limit) {
        struct part memory = open_part(res, "memory");
        put_uint(memory, "limit", c->memory_limit);
        close_part(memory);
    }
    if (c->cpu_quota || c->cpu_shares) {
        struct part cpu = open_part(res, "cpu");
        if (c->cpu_quota) {
            put_uint(cpu, "quota", (uint64_t)c->cpu_quota);
            put_uint(cpu, "period", c->cpu_period ? c->cpu_period : 100000);
        }
        if (c->cpu_shares)
            put_uint(cpu, "shares", c->cpu_shares);
        close_part(cpu);
    }
    if (c->pids_limit) {
        struct part pids = open_part(res, "pids");
        put_uint(pids, "limit", (uint64_t)c->pids_limit);
        close_part(pids);
    }
    close_part(res);
    return 0;
}

static int set_linux(struct part spec, const struct vc_container_config *c, vc_error **err)
{
    struct part l = open_part(spec, "linux");
    int rc = set_resources(l, c, err);
    if (!has(l, "namespaces"))
        put_text(l, "namespaces", NAMESPACES);
    if (!has(l, "devices"))
        put_text(l, "devices", "[]");
    if (!c->spec_json) { /* one that is given says itself what is hidden */
        put_text(l, "maskedPaths", MASKED_PATHS);
        put_text(l, "readonlyPaths", READONLY_PATHS);
    }
    if (rc == 0 && c->sysctl)
        rc = set_pairs(l, "sysctl", c->sysctl, "sysctl", err);
    close_part(l);
    return rc;
}

static int set_process(struct part spec, const struct vc_container_config *c, uint32_t *ret_terminal, vc_error **err)
{
    struct part process = { 0 };
    int rc;
    if (c->process->process_json) {
        rc = given_process(c->process, &process.o, ret_terminal, err);
        if (rc == 0)
            put(spec, "process", process.o);
    } else {
        process = open_part(spec, "process");
        rc = fill_process(process, c->process, ret_terminal, err);
    }
    if (rc == 0)
        rc = set_rlimits(process, c->rlimits, err);
    close_part(process);
    return rc;
}

static int set_mounts(struct part spec, const struct vc_container_config *config, const struct vci_limit *until,
                      vc_error **err)
{
    if (!spec.out)
        return vci_spec_set_mounts(spec.o, config, until, err);
    put_text(spec, "mounts", vci_usual_mounts);
    return 0;
}

static int set_all(struct part spec, const char *hostname, const struct vc_container_config *config,
                   const struct vci_limit *until, struct vci_spec_facts *ret, vc_error **err)
{
    if (!has(spec, "ociVersion"))
        put_str(spec, "ociVersion", "1.0.2");
    int rc = set_process(spec, config, &ret->terminal, err);
    if (rc < 0)
        return rc;
    struct part root = open_part(spec, "root");
    ret->readonly = config->readonly_rootfs || is_on(root, "readonly");
    put_str(root, "path", "rootfs");
    put_bool(root, "readonly", (int)ret->readonly);
    close_part(root);
    if (!has(spec, "hostname") && hostname)
        put_str(spec, "hostname", hostname);
    rc = set_mounts(spec, config, until, err);
    if (rc == 0)
        rc = set_linux(spec, config, err);
    if (rc == 0 && spec.o)
        rc = vci_spec_set_devices(spec.o, config, until, err);
    if (rc == 0 && config->annotations)
        rc = set_pairs(spec, "annotations", config->annotations, "annotation", err);
    return rc;
}

/* The specification over which a configuration is laid. */
static int parse_base(const char *text, json_object **ret, vc_error **err)
{
    static const char *const objects[] = { "process.user", "process.capabilities", "process.consoleSize", "root", "annotations",
                                           "linux.resources.memory", "linux.resources.cpu", "linux.resources.pids",
                                           "linux.sysctl", NULL };
    json_object *o = NULL;
    int rc = parse_object("specification (config.json)", text, &o, err);
    if (rc == 0)
        rc = check_objects(o, objects, "specification", err);
    if (rc < 0)
        json_object_put(o);
    else
        *ret = o;
    return rc;
}

int vci_spec_build(const char *hostname, const struct vc_container_config *config, const char *id,
                   const struct vci_limit *until, char **ret, struct vci_spec_facts *ret_facts, vc_error **err)
{
    struct vci_out out = { 0 };
    json_object *base = NULL;
    int rc = config->spec_json ? parse_base(config->spec_json, &base, err) : 0;
    if (rc < 0) {
        vci_context(err, "container \"%s\"", id);
        return rc;
    }
    if (base)
        json_object_object_del(base, "hooks"); /* they are the host's affair: see hooks.c */
    else if (config->process->process_json || VCI_GIVEN(config, n_mounts) || VCI_GIVEN(config, n_devices))
        base = json_object_new_object(); /* things are put in between */
    struct part spec = { .out = base ? NULL : &out, .o = base };
    if (spec.out)
        vci_out_open(&out, NULL, '{');
    rc = set_all(spec, hostname, config, until, ret_facts, err);
    close_part(spec);
    if (rc == 0)
        rc = text_of(&out, base, ret, err);
    if (rc == 0 && base && (rc = vci_json_check_depth(*ret, err)) < 0)
        free(VCS_TAKE_PTR(*ret));
    json_object_put(base);
    vci_out_done(&out);
    if (rc < 0)
        vci_context(err, "container \"%s\"", id);
    return rc;
}
