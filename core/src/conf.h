/* SPDX-License-Identifier: Apache-2.0 */
/* conf.h: the configuration: libconfig files, drop-ins, overrides, checked against option tables.
 *
 * Top level: hypervisor, agent, proxy, shim, network (names); run_root, state_root, plugin_dir,
 * libexec_dir, data_dir (paths); log_level, log_format; create_timeout, call_timeout, stop_timeout (int,
 * seconds); and one group per plugin, KIND_NAME = { ... } with dashes in NAME written as underscores,
 * e.g. hypervisor_qemu = { memory = "256M"; };. */
#ifndef VCI_CONF_H
#define VCI_CONF_H

#include "context.h"
#include <vc/plugin.h>

/* Kinds: VC_KIND_* to "hypervisor" and back (0 = unknown). */
const char *vci_kind_name(uint32_t kind);
uint32_t vci_kind_of(const char *name);

/* Read file + drop-ins + overrides.  Files and directories must be owned by root or the caller and not
 * writable by others.  Unknown top-level keys and wrong types are errors with file and line. */
int vci_conf_load(const struct vc_context_options *opts, struct vci_conf **ret, vc_error **err);
void vci_conf_free(struct vci_conf *conf);
/* Path of the main file; NULL when there is none. */
const char *vci_conf_file(const struct vci_conf *conf);
/* Chosen plugin of a kind (default stack: qemu, kata, kata, vc, noop). */
const char *vci_conf_plugin(const struct vci_conf *conf, uint32_t kind);
const char *vci_conf_str(const struct vci_conf *conf, const char *key); /* NULL when unset */
int64_t vci_conf_int(const struct vci_conf *conf, const char *key);     /* with the default applied */

/* The section of one plugin as a checked view with defaults filled in: the vc_config of the contract. */
int vci_conf_section(const struct vci_conf *conf, const struct vc_plugin *plugin, struct vc_config **ret, vc_error **err);
void vci_section_free(struct vc_config *section);
int vci_section_str(const struct vc_config *s, const char *key, uint32_t idx, const char **out);
int vci_section_int(const struct vc_config *s, const char *key, int64_t *out);
int vci_section_count(const struct vc_config *s, const char *key, uint32_t *out);
/* The same with what a pod sets ("KIND.option=value", parsed before) over it. */
int vci_conf_section_of(const struct vci_conf *conf, const struct vc_plugin *plugin, char *const *settings, struct vc_config **ret,
                        vc_error **err);
/* pod-settings.c: the plugin that does what the original's backend of that name does; any other name is its own. */
const char *vci_plugin_alias(uint32_t kind, const char *name);
/* One "KIND.option=value": 0, or -1 when it is none. */
int vci_setting_parse(const char *text, uint32_t *ret_kind, const char **ret_key, size_t *ret_len, const char **ret_value);
/* CONFIG when there is a section of a plugin that is not installed. */
int vci_conf_check_sections(const vc_context *ctx, vc_error **err);
/* Text of the configuration in effect (libconfig syntax or JSON), secrets as "***". */
int vci_conf_text(vc_context *ctx, int json, char **ret, vc_error **err);

#endif
