/* SPDX-License-Identifier: Apache-2.0 */
/* opt-container.c: the options of containers, over what a document says of one. */
#include "virtc.h"

#include <errno.h>
#include <json-c/json.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { OPT_SYSCTL = 0x180, OPT_RLIMIT, OPT_PIDS, OPT_SHARES, OPT_QUOTA, OPT_PERIOD, OPT_READONLY, OPT_ANNOTATION, OPT_MOUNT,
       OPT_DEVICE, OPT_FROM };

static const struct argp_option inner_opts[] = {
    {NULL, 0, NULL, 0, "The container:", 1},
    {"rootfs", 'r', "DIR", 0, "Directory that becomes its root (default: rootfs in the working directory)", 1},
    {"readonly", OPT_READONLY, NULL, 0, "Nothing can be written to its root; kept by the host, not by the guest", 1},
    {"bind", 'v', "SOURCE:PLACE[:OPTION,...]", 0, "Show a directory or file of the host at a place in it; with the option ro read-only (may be repeated)", 1},
    {"mount", OPT_MOUNT, "type=TYPE,src=SOURCE,dst=PLACE,...", 0, "Mount something: bind (default), volume (one of the pod's, by its tag), tmpfs or "
     "another file system of the guest; what else is said are mount options (may be repeated)", 1},
    {"device", OPT_DEVICE, "HOST[:PLACE]", 0, "Give it a device of the host (may be repeated)", 1},
    {"sysctl", OPT_SYSCTL, "NAME=VALUE", 0, "Set a kernel parameter of its namespaces (may be repeated)", 1},
    {"rlimit", OPT_RLIMIT, "RLIMIT_X=SOFT:HARD", 0, "Set a resource limit of its first process (may be repeated)", 1},
    {0}};

static error_t inner_parse(int key, char *arg, struct argp_state *state)
{
    struct container_options *o = state->input;
    const char *wrong = NULL;
    error_t rc = 0;
    switch (key) {
    case ARGP_KEY_INIT: state->child_inputs[0] = &o->process; return 0;
    case 'r': o->rootfs = arg; break;
    case OPT_READONLY: o->readonly = 1; break;
    case 'v': wrong = storage_add_bind(&o->storage, arg); break;
    case OPT_MOUNT: wrong = storage_add_mount(&o->storage, arg); break;
    case OPT_DEVICE: wrong = storage_add_device(&o->storage, arg); break;
    case OPT_SYSCTL: rc = words_add(&o->sysctl, arg); break;
    case OPT_RLIMIT: rc = words_add(&o->rlimits, arg); break;
    default: return ARGP_ERR_UNKNOWN;
    }
    o->touched = 1;
    if (wrong)
        argp_error(state, "%s, not \"%s\"", wrong, arg);
    return rc;
}
static const struct argp_child inner_children[] = {{&process_argp, 0, NULL, 0}, {0}};
const struct argp inner_argp = {inner_opts, inner_parse, NULL, NULL, inner_children, NULL, NULL};

static const struct argp_option limits_opts[] = {
    {NULL, 0, NULL, 0, "Limits of the container:", 4},
    {"memory", 'm', "SIZE", 0, "Limit of its memory, such as 64M", 4},
    {"pids-limit", OPT_PIDS, "N", 0, "Limit of its processes (-1: none)", 4},
    {"cpu-shares", OPT_SHARES, "N", 0, "Its weight against other containers of the pod (1024 = one share)", 4},
    {"cpu-quota", OPT_QUOTA, "USEC", 0, "CPU time in microseconds that it may use in each period (-1: no limit)", 4},
    {"cpu-period", OPT_PERIOD, "USEC", 0, "That period (default: 100000)", 4},
    {0}};

static error_t limits_parse(int key, char *arg, struct argp_state *state)
{
    struct vc_resources *o = state->input;
    long n = 0;
    switch (key) {
    case 'm':
        if (parse_size(arg, &o->memory_limit) < 0 || !o->memory_limit)
            argp_error(state, "--memory wants a size such as 64M, not \"%s\"", arg);
        return 0;
    case OPT_PIDS:
        if (strcmp(arg, "-1") != 0 && parse_int(arg, 1, INT_MAX, &n) < 0)
            argp_error(state, "--pids-limit wants a number from 1 on, or -1, not \"%s\"", arg);
        o->pids_limit = n ? n : -1;
        return 0;
    case OPT_SHARES:
        if (parse_int(arg, 2, 262144, &n) < 0)
            argp_error(state, "--cpu-shares wants a number from 2 to 262144, not \"%s\"", arg);
        o->cpu_shares = (uint64_t)n;
        return 0;
    case OPT_QUOTA:
        if (strcmp(arg, "-1") != 0 && parse_int(arg, 1000, INT_MAX, &n) < 0)
            argp_error(state, "--cpu-quota wants microseconds from 1000 on, or -1, not \"%s\"", arg);
        o->cpu_quota = n ? n : -1;
        return 0;
    case OPT_PERIOD:
        if (parse_int(arg, 1000, 1000000, &n) < 0)
            argp_error(state, "--cpu-period wants microseconds from 1000 to 1000000, not \"%s\"", arg);
        o->cpu_period = (uint64_t)n;
        return 0;
    default: return ARGP_ERR_UNKNOWN;
    }
}
const struct argp limits_argp = {limits_opts, limits_parse, NULL, NULL, NULL, NULL, NULL};

static const struct argp_option container_opts[] = {
    {"name", 'n', "ID", 0, "Its id (default: one is made)", 1},
    {"annotation", OPT_ANNOTATION, "KEY=VALUE", 0, "Note something down with it (may be repeated)", 1},
    {0}};

static error_t container_parse(int key, char *arg, struct argp_state *state)
{
    struct container_options *o = state->input;
    switch (key) {
    case ARGP_KEY_INIT:
        state->child_inputs[0] = o;
        state->child_inputs[1] = &o->limits;
        return 0;
    case 'n': o->name = arg; return 0;
    case OPT_ANNOTATION:
        if (!strchr(arg, '=') || *arg == '=')
            argp_error(state, "--annotation wants KEY=VALUE, not \"%s\"", arg);
        return words_add(&o->annotations, arg);
    default: return ARGP_ERR_UNKNOWN;
    }
}
static const struct argp_child container_children[] = {{&inner_argp, 0, NULL, 0}, {&limits_argp, 0, NULL, 0}, {0}};
const struct argp container_argp = {container_opts, container_parse, NULL, NULL, container_children, NULL, NULL};

static void lay_limits(const struct vc_resources *o, struct vc_container_config *ret)
{
    if (o->memory_limit)
        ret->memory_limit = o->memory_limit;
    if (o->pids_limit)
        ret->pids_limit = o->pids_limit > 0 ? o->pids_limit : 0;
    if (o->cpu_shares)
        ret->cpu_shares = o->cpu_shares;
    if (o->cpu_quota)
        ret->cpu_quota = o->cpu_quota > 0 ? o->cpu_quota : 0;
    if (o->cpu_period)
        ret->cpu_period = o->cpu_period;
}

static int lay_lists(struct container_options *o, struct vc_container_config *ret)
{
    if (words_merge(&o->merged[0], ret->annotations, &o->annotations) || words_merge(&o->merged[1], ret->sysctl, &o->sysctl) ||
        words_merge(&o->merged[2], ret->rlimits, &o->rlimits) || storage_to_container(&o->storage, ret) < 0)
        return -1;
    ret->annotations = (const char *const *)o->merged[0].v;
    ret->sysctl = (const char *const *)o->merged[1].v;
    ret->rlimits = (const char *const *)o->merged[2].v;
    return 0;
}

/* The environment in an OCI specification; the library tells what is wrong with one that cannot be read. */
static int spec_env(const char *spec, struct words *ret)
{
    json_object *o = json_tokener_parse(spec), *process = NULL, *env = NULL;
    int rc = 0;
    if (json_object_object_get_ex(o, "process", &process) && json_object_object_get_ex(process, "env", &env) &&
        json_object_is_type(env, json_type_array))
        for (size_t i = 0; i < json_object_array_length(env) && !rc; i++) {
            const char *text = json_object_get_string(json_object_array_get_idx(env, i));
            rc = words_add(ret, text ? text : "");
        }
    json_object_put(o);
    return rc;
}

int container_config(const struct virtc *vt, struct container_options *o, int inherit, const struct vc_container_config *base,
                     struct vc_process_config *proc, struct vc_container_config *ret)
{
    int code = inherit ? VIRTC_RUN_FAILED : VIRTC_FAILED;
    char *text = NULL;
    vc_error *err = NULL;
    if (o->from && !base) {
        int failed = read_document(vt, code, o->from, &text);
        if (!failed && vc_container_config_from_json(text, &o->document, &err) < 0)
            failed = virtc_error_in(vt, o->from, err, code);
        free(text);
        if (failed)
            return failed;
        base = o->document;
    }
    if (o->process.env.n && base && base->spec_json && spec_env(base->spec_json, &o->process.spec_env))
        return virtc_complain(vt, code, "out of memory");
    int rc = process_config(vt, &o->process, inherit, base ? base->process : NULL, proc);
    if (rc)
        return rc;
    if (base)
        *ret = *base;
    else
        VC_INIT(ret);
    if (!proc->args && !proc->process_json && !ret->spec_json)
        return virtc_complain(vt, code, "say which command the container runs, after --%s", base ? ", or in the document as Cmd.Args" : "");
    ret->process = proc;
    if (o->name)
        ret->id = o->name;
    if (o->rootfs || !ret->rootfs)
        ret->rootfs = o->rootfs ? o->rootfs : "rootfs";
    if (!o->rootfs && !(base && base->rootfs) && access(ret->rootfs, F_OK) < 0 && errno == ENOENT)
        return virtc_complain(vt, code, "there is no directory rootfs here; name the container's root directory with --rootfs");
    if (o->readonly)
        ret->readonly_rootfs = 1;
    lay_limits(&o->limits, ret);
    return lay_lists(o, ret) < 0 ? virtc_complain(vt, code, "out of memory") : 0;
}

void container_options_done(struct container_options *o)
{
    process_options_done(&o->process);
    storage_options_done(&o->storage);
    words_free(&o->sysctl);
    words_free(&o->rlimits);
    words_free(&o->annotations);
    for (size_t i = 0; i < 3; i++)
        words_free(&o->merged[i]);
    vc_container_config_free(o->document);
    o->document = NULL;
}
