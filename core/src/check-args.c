/* SPDX-License-Identifier: Apache-2.0 */
/* check-args.c: what a program gives to the public functions: NULL, sizes, flags, reserved members. */
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "context.h"
#include "lib/utf8.h"

#define SIZE_MAX_OF_STRUCT 65536u

int vci_null_argument(const char *function, const char *name, vc_error **err)
{
    vc_error *e = NULL;
    int rc = vci_fail(&e, VC_ERR_INVAL, 0, "%s: the argument \"%s\" is NULL", function, name);
    if (err)
        *err = e;
    else
        vc_error_free(e);
    return rc;
}

int vci_check_size(const void *p, const char *what, size_t min, size_t known, vc_error **err)
{
    uint32_t size;
    memcpy(&size, p, sizeof(size));
    if (size < min || size > SIZE_MAX_OF_STRUCT)
        return vci_fail(err, VC_ERR_INVAL, 0, "the size of %s is %u, and %zu is the least: set it with VC_INIT", what,
                        size, min);
    for (size_t i = known; i < size; i++)
        if (((const unsigned char *)p)[i])
            return vci_fail(err, VC_ERR_INVAL, 0,
                            "%s asks for something that this release does not know (byte %zu is set; it knows %zu)",
                            what, i, known);
    return 0;
}

int vci_check_flags(const char *what, uint32_t flags, uint32_t known, vc_error **err)
{
    if (!(flags & ~known))
        return 0;
    return vci_fail(err, VC_ERR_INVAL, 0, "%s flags 0x%x are not known", what, flags & ~known);
}

static int check_bool(const char *what, uint32_t value, vc_error **err)
{
    return value > 1 ? vci_fail(err, VC_ERR_INVAL, 0, "%s is %u: it must be 0 or 1", what, value) : 0;
}

static int check_texts(const char *what, const char *const *texts, vc_error **err)
{
    for (size_t i = 0; texts && texts[i]; i++)
        if (!vcs_utf8_line(texts[i], strlen(texts[i])))
            return vci_fail(err, VC_ERR_INVAL, 0, "%s \"%.200s\" holds a control byte or is not UTF-8", what, texts[i]);
    return 0;
}

/* What goes to a guest is JSON and protobuf, and both are UTF-8: other bytes would not arrive as they are, or nothing would. */
int vci_check_utf8(const char *what, const char *text, vc_error **err)
{
    size_t len = text ? strlen(text) : 0, at = 0;
    while (at < len && !(text[at] & 0x80))
        at++;
    for (size_t n; at < len && (n = vcs_utf8(text + at, len - at));)
        at += n;
    return at == len ? 0
                     : vci_fail(err, VC_ERR_INVAL, 0, "%s \"%.200s\" is not UTF-8 at byte %zu, as all that goes to a guest must be", what,
                                text, at);
}

static int check_utf8_list(const char *what, const char *const *texts, vc_error **err)
{
    char name[64];
    int r = 0;
    for (size_t i = 0; r == 0 && texts && texts[i]; i++) {
        snprintf(name, sizeof name, "%s[%zu]", what, i);
        r = vci_check_utf8(name, texts[i], err);
    }
    return r;
}

void vci_take(void *dst, size_t known, const void *src)
{
    uint32_t size, full = (uint32_t)known;
    memcpy(&size, src, sizeof size);
    memset(dst, 0, known);
    memcpy(dst, src, size < known ? size : known);
    memcpy(dst, &full, sizeof full);
}

static int check_streams(const struct vc_process_config *c, vc_error **err)
{
    if (c->console && c->use_stdio)
        return vci_fail(err, VC_ERR_INVAL, 0,
                        "\"console\" and \"use_stdio\" of struct vc_process_config are both given: the console is where "
                        "the streams lead");
    if (c->console && c->console[0] != '/')
        return vci_fail(err, VC_ERR_INVAL, 0, "the console \"%s\" is not an absolute path", c->console);
    return 0;
}

static int check_cap_texts(const struct vc_capabilities *given, vc_error **err)
{
    struct vc_capabilities c;
    int r = VCI_CHECK_SIZE(given, struct vc_capabilities, ambient, err);
    if (r)
        return r;
    VCI_TAKE(&c, given);
    const char *const *const sets[] = { c.bounding, c.effective, c.inheritable, c.permitted, c.ambient };
    for (size_t i = 0; r == 0 && i < sizeof sets / sizeof *sets; i++)
        r = check_utf8_list("capabilities", sets[i], err);
    return r;
}

static int check_user(const struct vc_process_config *c, vc_error **err)
{
    if (c->group && (!*c->group || strchr(c->group, ':')))
        return vci_fail(err, VC_ERR_INVAL, 0, "\"%s\" is not a group: write a name or a number", c->group);
    if (c->group && c->user && strchr(c->user, ':'))
        return vci_fail(err, VC_ERR_INVAL, 0,
                        "the user \"%s\" brings a group, and \"group\" of struct vc_process_config is given, too", c->user);
    if (c->process_json && (c->group || c->capabilities))
        return vci_fail(err, VC_ERR_INVAL, 0,
                        "\"%s\" of struct vc_process_config is given together with \"process_json\", which says it already",
                        c->group ? "group" : "capabilities");
    if (c->caps && c->capabilities)
        return vci_fail(err, VC_ERR_INVAL, 0,
                        "\"caps\" and \"capabilities\" of struct vc_process_config are both given: one of them says which "
                        "there are");
    return c->capabilities ? check_cap_texts(c->capabilities, err) : 0;
}

static int check_process_texts(const struct vc_process_config *c, vc_error **err)
{
    int r = check_utf8_list("args", c->args, err);
    if (r == 0)
        r = check_utf8_list("env", c->env, err);
    if (r == 0)
        r = check_utf8_list("groups", c->groups, err);
    if (r == 0)
        r = check_utf8_list("caps", c->caps, err);
    if (r == 0)
        r = vci_check_utf8("the working directory", c->cwd, err);
    if (r == 0)
        r = vci_check_utf8("the user", c->user, err);
    if (r == 0)
        r = vci_check_utf8("the group", c->group, err);
    return r ? r : vci_check_utf8("process_json", c->process_json, err);
}

int vci_check_process_config(const struct vc_process_config *config, vc_error **err)
{
    struct vc_process_config c;
    int r = VCI_CHECK_SIZE(config, struct vc_process_config, process_json, err);
    if (r)
        return r;
    VCI_TAKE(&c, config);
    r = check_bool("\"terminal\" of struct vc_process_config", c.terminal, err);
    if (r == 0)
        r = check_bool("\"no_new_privs\" of struct vc_process_config", c.no_new_privs, err);
    if (r == 0)
        r = check_bool("\"use_stdio\" of struct vc_process_config", c.use_stdio, err);
    if (r == 0)
        r = vci_check_flags("stdio", c.stdio_flags, VC_STDIO_FOREGROUND | VC_STDIO_CONSOLE | VC_STDIO_KEEP_STDIN, err);
    if (r == 0)
        r = check_streams(&c, err);
    if (r == 0)
        r = check_user(&c, err);
    return r ? r : check_process_texts(&c, err);
}

/* ---- lists ---- */

static int check_list(const char *what, const void *list, size_t n, vc_error **err)
{
    if (n && !list)
        return vci_fail(err, VC_ERR_INVAL, 0, "there are %zu %ss, and no list of them", n, what);
    for (size_t i = 0; i < n; i++)
        if (!((void *const *)list)[i])
            return vci_fail(err, VC_ERR_INVAL, 0, "%s %zu is NULL", what, i);
    return 0;
}

static int check_hook_list(const char *what, struct vc_hook *const *list, size_t n, vc_error **err)
{
    int r = check_list(what, list, n, err);
    for (size_t i = 0; r == 0 && i < n; i++)
        r = VCI_CHECK_SIZE(list[i], struct vc_hook, env, err);
    return r;
}

static int check_hooks(const struct vc_hooks *h, vc_error **err)
{
    if (!h)
        return 0;
    int r = VCI_CHECK_SIZE(h, struct vc_hooks, n_poststop, err);
    if (r == 0 && h->reserved)
        r = vci_fail(err, VC_ERR_INVAL, 0, "\"reserved\" of struct vc_hooks is not 0");
    if (r == 0)
        r = check_hook_list("prestart hook", h->prestart, h->n_prestart, err);
    if (r == 0)
        r = check_hook_list("poststart hook", h->poststart, h->n_poststart, err);
    return r ? r : check_hook_list("poststop hook", h->poststop, h->n_poststop, err);
}

static int check_mounts(struct vc_mount *const *list, size_t n, vc_error **err)
{
    int r = check_list("mount", list, n, err);
    for (size_t i = 0; r == 0 && i < n; i++) {
        r = VCI_CHECK_SIZE(list[i], struct vc_mount, options, err);
        if (r == 0)
            r = check_bool("\"readonly\" of struct vc_mount", list[i]->readonly, err);
        if (r == 0)
            r = vci_check_utf8("the type of a mount,", list[i]->type, err);
        if (r == 0)
            r = vci_check_utf8("the source of a mount,", list[i]->source, err);
        if (r == 0)
            r = check_utf8_list("the options of a mount,", list[i]->options, err);
    }
    return r;
}

static int check_devices(struct vc_device_info *const *list, size_t n, vc_error **err)
{
    int r = check_list("device", list, n, err);
    for (size_t i = 0; r == 0 && i < n; i++)
        r = VCI_CHECK_SIZE(list[i], struct vc_device_info, gid, err);
    return r;
}

static int check_volumes(struct vc_volume *const *list, size_t n, vc_error **err)
{
    int r = check_list("volume", list, n, err);
    for (size_t i = 0; r == 0 && i < n; i++) {
        r = VCI_CHECK_SIZE(list[i], struct vc_volume, host_path, err);
        if (r == 0)
            r = check_bool("\"readonly\" of struct vc_volume", list[i]->readonly, err);
    }
    return r;
}

/* ---- containers and pods ---- */

int vci_check_container_config(const struct vc_container_config *config, vc_error **err)
{
    struct vc_container_config c;
    int r = VCI_CHECK_SIZE(config, struct vc_container_config, spec_json, err);
    if (r)
        return r;
    VCI_TAKE(&c, config);
    r = check_bool("\"readonly_rootfs\" of struct vc_container_config", c.readonly_rootfs, err);
    if (r == 0)
        r = check_mounts(c.mounts, c.n_mounts, err);
    if (r == 0)
        r = check_devices(c.devices, c.n_devices, err);
    if (r == 0)
        r = check_hooks(c.hooks, err);
    if (r == 0)
        r = check_utf8_list("sysctl", c.sysctl, err);
    if (r == 0)
        r = check_utf8_list("annotations", c.annotations, err);
    if (r == 0)
        r = vci_check_utf8("spec_json", c.spec_json, err);
    return r || !c.process ? r : vci_check_process_config(c.process, err);
}

int vci_check_pod_config(const struct vc_pod_config *config, vc_error **err)
{
    struct vc_pod_config c;
    int r = VCI_CHECK_SIZE(config, struct vc_pod_config, n_containers, err);
    if (r)
        return r;
    VCI_TAKE(&c, config);
    r = vci_check_flags("pod", c.flags, VC_POD_DEFER_VM | VC_POD_OWNED, err);
    if (r == 0 && c.vm_template > VC_TEMPLATE_REQUIRE)
        r = vci_fail(err, VC_ERR_INVAL, 0, "\"vm_template\" of struct vc_pod_config is %u: it must be one of VC_TEMPLATE_*", c.vm_template);
    if (r == 0)
        r = check_texts("the line of resolv.conf", c.dns, err);
    if (r == 0)
        r = vci_annotations_check(c.annotations, err);
    if (r == 0)
        r = check_texts("the setting", c.settings, err);
    if (r == 0)
        r = check_volumes(c.volumes, c.n_volumes, err);
    if (r == 0)
        r = check_hooks(c.hooks, err);
    if (r == 0)
        r = check_list("container", c.containers, c.n_containers, err);
    for (size_t i = 0; r == 0 && i < c.n_containers; i++) {
        r = vci_check_container_config(c.containers[i], err);
        if (r < 0)
            vci_context(err, "container %zu of the pod", i);
    }
    return r;
}

int vci_check_resources(const struct vc_resources *c, vc_error **err)
{
    int r = VCI_CHECK_SIZE(c, struct vc_resources, json, err);
    if (r == 0 && c->reserved)
        r = vci_fail(err, VC_ERR_INVAL, 0, "\"reserved\" of struct vc_resources is not 0");
    if (r == 0 && (c->memory_limit > INT64_MAX || c->cpu_period > INT64_MAX || c->cpu_shares > INT64_MAX ||
                   c->cpu_quota < -1 || c->pids_limit < -1))
        r = vci_fail(err, VC_ERR_INVAL, 0,
                     "a limit of struct vc_resources is out of range: limits are positive, 0 for unchanged, or -1 for none");
    return r;
}

int vci_check_ps_options(const struct vc_ps_options *c, vc_error **err)
{
    int r = VCI_CHECK_SIZE(c, struct vc_ps_options, args, err);
    if (r == 0 && c->format > VC_PS_TABLE)
        r = vci_fail(err, VC_ERR_INVAL, 0, "\"format\" of struct vc_ps_options is %u: it must be one of VC_PS_*", c->format);
    return r;
}
