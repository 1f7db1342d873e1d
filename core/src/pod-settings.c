/* SPDX-License-Identifier: Apache-2.0 */
/* pod-settings.c: the plugins a pod chooses for itself, and what it sets of their options. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "conf-impl.h"
#include "pod.h"

/* What the original calls its backends, and the plugins that do the same. */
static const struct {
    uint32_t kind;
    const char *original, *name;
} aliases[] = {
    { VC_KIND_PROXY, "noopProxy", "noop" }, { VC_KIND_PROXY, "noProxy", "none" },   { VC_KIND_PROXY, "ccProxy", "cc" },
    { VC_KIND_PROXY, "kataProxy", "kata" }, { VC_KIND_SHIM, "noopShim", "noop" },   { VC_KIND_SHIM, "ccShim", "cc" },
    { VC_KIND_SHIM, "kataShim", "kata" },   { VC_KIND_NETWORK, "CNI", "cni" },      { VC_KIND_NETWORK, "CNM", "cnm" },
};

const char *vci_plugin_alias(uint32_t kind, const char *name)
{
    for (size_t i = 0; i < sizeof aliases / sizeof *aliases; i++)
        if (aliases[i].kind == kind && strcmp(aliases[i].original, name) == 0)
            return aliases[i].name;
    return name;
}

/* ---- settings: "KIND.option=value" ---- */

int vci_setting_parse(const char *text, uint32_t *ret_kind, const char **ret_key, size_t *ret_len, const char **ret_value)
{
    const char *eq = strchr(text, '='), *dot = strchr(text, '.');
    if (!eq || !dot || dot > eq || dot == text || dot + 1 == eq)
        return -1;
    *ret_kind = 0;
    for (uint32_t k = 1; k <= VCI_KINDS; k++) {
        const char *name = vci_kind_name(k);
        if (strlen(name) == (size_t)(dot - text) && strncmp(name, text, (size_t)(dot - text)) == 0)
            *ret_kind = k;
    }
    *ret_key = dot + 1;
    *ret_len = (size_t)(eq - dot - 1);
    *ret_value = eq + 1;
    return *ret_kind ? 0 : -1;
}

/* What the original takes from annotations: files, which are options of the hypervisor here, and their digests. */
#define ASSETS "com.github.containers.virtcontainers."
static const struct {
    const char *name, *option;
} assets[] = {
    { "KernelPath", "kernel" }, { "ImagePath", "image" }, { "HypervisorPath", "path" }, { "FirmwarePath", "firmware" },
    { "KernelHash", NULL },     { "ImageHash", NULL },    { "HypervisorHash", NULL },   { "FirmwareHash", NULL },
    { "AssetHashType", NULL },
};

/* An annotation that sets an option: the setting that it is, to be freed, or NULL. */
static int setting_of(const char *annotation, char **ret, vc_error **err)
{
    uint32_t kind;
    const char *key, *value;
    size_t len;
    *ret = NULL;
    if (strncmp(annotation, "io.vccore.", 10) == 0 && vci_setting_parse(annotation + 10, &kind, &key, &len, &value) == 0)
        return (*ret = strdup(annotation + 10)) ? 0 : vci_fail(err, VC_ERR_NOMEM, 0, "out of memory");
    if (strncmp(annotation, ASSETS, sizeof ASSETS - 1) != 0)
        return 0;
    key = annotation + sizeof ASSETS - 1;
    for (size_t i = 0; i < sizeof assets / sizeof *assets; i++) {
        len = strlen(assets[i].name);
        if (strncmp(key, assets[i].name, len) != 0 || key[len] != '=')
            continue;
        if (!assets[i].option) /* who asks for a check must not think that there was one */
            return vci_fail(err, VC_ERR_UNSUPPORTED, 0, "the annotation \"" ASSETS "%s\" asks for a file to be checked by its digest, "
                            "which is not done here", assets[i].name);
        if (asprintf(ret, "hypervisor.%s%s", assets[i].option, key + len) < 0) {
            *ret = NULL;
            return vci_fail(err, VC_ERR_NOMEM, 0, "out of memory");
        }
    }
    return 0;
}

/* Does the administrator's list name what this sets? */
static int is_allowed(const char *list, const char *setting)
{
    size_t kind = strcspn(setting, "."), whole = strcspn(setting, "=");
    for (const char *p = list ? list : ""; *p; p += strspn(p, " \t\n,")) {
        size_t n = strcspn(p, " \t\n,");
        if ((n == whole && strncmp(p, setting, n) == 0) ||
            (n == kind + 2 && strncmp(p, setting, kind + 1) == 0 && p[kind + 1] == '*'))
            return 1;
        p += n;
    }
    return 0;
}

int vci_settings_of_annotations(const vc_context *ctx, const struct vc_pod_config *config, char ***ret, vc_error **err)
{
    size_t n = 0, k = 0, own = 0;
    while (config->annotations && config->annotations[k])
        k++;
    while (config->settings && config->settings[own])
        own++;
    char **all = k ? calloc(k + own + 1, sizeof *all) : NULL;
    int rc = k && !all ? vci_fail(err, VC_ERR_NOMEM, 0, "out of memory") : 0;
    for (size_t i = 0; rc == 0 && i < k; i++) {
        rc = setting_of(config->annotations[i], &all[n], err);
        if (rc == 0 && all[n] && !is_allowed(vci_conf_str(ctx->conf, "allow_annotations"), all[n]))
            rc = vci_fail(err, VC_ERR_PERM, 0,
                          "the pod's annotation \"%.*s\" sets an option, which \"allow_annotations\" of the "
                          "configuration does not name",
                          (int)strcspn(config->annotations[i], "="), config->annotations[i]);
        n += all[n] != NULL;
    }
    /* Those that the caller sets himself come later, and win. */
    for (size_t i = 0, from = n; rc == 0 && from && i < own; i++)
        if (!(all[n++] = strdup(config->settings[i])))
            rc = vci_fail(err, VC_ERR_NOMEM, 0, "out of memory");
    if (rc < 0 || !n) {
        vci_strv_free(all);
        return rc;
    }
    *ret = all;
    return 0;
}

int vci_settings_check_annotations(const char *const *annotations, vc_error **err)
{
    for (; annotations && *annotations; annotations++) {
        vcs_autofree char *setting = NULL;
        int rc = setting_of(*annotations, &setting, err);
        if (rc < 0)
            return rc;
        if (setting)
            return vci_fail(err, VC_ERR_INVAL, 0,
                            "the annotation \"%.*s\" sets an option, which is read when a pod is made: it has no effect later",
                            (int)strcspn(*annotations, "="), *annotations);
    }
    return 0;
}

int vci_settings_touch(char *const *settings, uint32_t kind)
{
    uint32_t k;
    const char *key, *value;
    size_t len;
    for (; settings && *settings; settings++)
        if (vci_setting_parse(*settings, &k, &key, &len, &value) == 0 && k == kind)
            return 1;
    return 0;
}

/* Files that an option names must be there; what is configured is looked at by vc_context_check. */
static int check_paths(const struct vc_config *section, uint32_t kind, char *const *settings, vc_error **err)
{
    for (; settings && *settings; settings++) {
        uint32_t k;
        const char *key, *value;
        size_t len;
        vci_setting_parse(*settings, &k, &key, &len, &value);
        for (size_t i = 0; k == kind && i < section->n; i++) {
            const struct vci_entry *e = &section->e[i];
            if (strlen(e->opt->key) != len || strncmp(e->opt->key, key, len) != 0)
                continue;
            if (e->opt->type == VC_OPT_PATH && (e->opt->flags & VC_OPT_MUST_EXIST) && e->str && access(e->str, F_OK) < 0)
                return vci_fail(err, VC_ERR_CONFIG, errno, "the pod's setting \"%s.%s\" names %s", vci_kind_name(kind),
                                e->opt->key, e->str);
        }
    }
    return 0;
}

/* The section of one kind, with the pod's settings over it, against the option table of the plugin that the pod gets. */
static int check_kind(vc_context *ctx, uint32_t kind, const char *name, char *const *settings, vc_error **err)
{
    const struct vci_plugin *p;
    struct vc_config *section = NULL;
    int rc = vci_plugin_load(ctx, kind, name, &p, err);
    if (rc == 0)
        rc = vci_conf_section_of(ctx->conf, &p->desc, settings, &section, err);
    if (rc == 0)
        rc = check_paths(section, kind, settings, err);
    vci_section_free(section);
    return rc;
}

int vci_pod_choose(vc_context *ctx, const struct vc_pod_config *config, const char *names[VCI_KINDS + 1], vc_error **err)
{
    const char *const asked[VCI_KINDS + 1] = { NULL, config->hypervisor, config->agent, config->proxy, config->shim,
                                               config->network };
    char *const *settings = (char *const *)(uintptr_t)config->settings;
    for (size_t i = 0; settings && settings[i]; i++) {
        uint32_t kind;
        const char *key, *value;
        size_t len;
        if (vci_setting_parse(settings[i], &kind, &key, &len, &value) < 0)
            return vci_fail(err, VC_ERR_INVAL, 0,
                            "the pod's setting \"%.200s\" must read KIND.option=value, where KIND is hypervisor, agent, "
                            "proxy, shim or network",
                            settings[i]);
    }
    for (uint32_t k = 1; k <= VCI_KINDS; k++) {
        names[k] = asked[k] ? vci_plugin_alias(k, asked[k]) : vci_conf_plugin(ctx->conf, k);
        if (!asked[k] && !vci_settings_touch(settings, k))
            continue;
        int rc = check_kind(ctx, k, names[k], settings, err);
        if (rc < 0) {
            if (asked[k] && strcmp(asked[k], names[k]) != 0)
                vci_context(err, "%s \"%s\"", vci_kind_name(k), asked[k]);
            return rc;
        }
    }
    return 0;
}

int vci_pod_take_choice(struct vci_pod *pod, const char *const names[VCI_KINDS + 1], const char *const *settings,
                        vc_error **err)
{
    int bad = 0;
    for (uint32_t k = 1; k <= VCI_KINDS; k++) {
        free(pod->plugin[k]);
        bad |= !(pod->plugin[k] = strdup(names[k]));
    }
    vci_strv_free(pod->settings);
    pod->settings = vci_strv_copy(settings);
    bad |= settings && !pod->settings;
    return bad ? vci_fail(err, VC_ERR_NOMEM, 0, "out of memory") : 0;
}
