/* SPDX-License-Identifier: Apache-2.0 */
/* check-args.c: what a program gives to the public functions: NULL, sizes, flags, reserved members. */
#include <stddef.h>
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

int vci_check_process_config(const struct vc_process_config *c, vc_error **err)
{
    int r = VCI_CHECK_SIZE(c, struct vc_process_config, process_json, err);
    if (r == 0)
        r = check_bool("\"terminal\" of struct vc_process_config", c->terminal, err);
    if (r == 0)
        r = check_bool("\"no_new_privs\" of struct vc_process_config", c->no_new_privs, err);
    if (r == 0)
        r = check_bool("\"use_stdio\" of struct vc_process_config", c->use_stdio, err);
    return r ? r : vci_check_flags("stdio", c->stdio_flags, VC_STDIO_FOREGROUND | VC_STDIO_CONSOLE, err);
}

int vci_check_container_config(const struct vc_container_config *c, vc_error **err)
{
    int r = VCI_CHECK_SIZE(c, struct vc_container_config, spec_json, err);
    if (r == 0)
        r = check_bool("\"readonly_rootfs\" of struct vc_container_config", c->readonly_rootfs, err);
    return r || !c->process ? r : vci_check_process_config(c->process, err);
}

int vci_check_pod_config(const struct vc_pod_config *c, vc_error **err)
{
    int r = VCI_CHECK_SIZE(c, struct vc_pod_config, n_containers, err);
    if (r == 0)
        r = vci_check_flags("pod", c->flags, VC_POD_DEFER_VM | VC_POD_OWNED, err);
    if (r == 0 && c->vm_template > VC_TEMPLATE_REQUIRE)
        r = vci_fail(err, VC_ERR_INVAL, 0, "\"vm_template\" of struct vc_pod_config is %u: it must be one of VC_TEMPLATE_*", c->vm_template);
    if (r == 0)
        r = check_texts("the line of resolv.conf", c->dns, err);
    if (r == 0)
        r = check_texts("the annotation", c->annotations, err);
    for (size_t i = 0; r == 0 && c->containers && i < c->n_containers; i++)
        if (c->containers[i])
            r = vci_check_container_config(c->containers[i], err);
    return r;
}
