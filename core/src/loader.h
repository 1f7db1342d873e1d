/* SPDX-License-Identifier: Apache-2.0 */
/* loader.h: find, check and load plugins.  Loaded plugins stay for the life of the process. */
#ifndef VCI_LOADER_H
#define VCI_LOADER_H

#include "context.h"
#include <vc/agent.h>
#include <vc/hypervisor.h>
#include <vc/network.h>
#include <vc/proxy.h>
#include <vc/shim.h>

/* A loaded plugin: private copies of its tables, cut or zero-filled to what this host knows. */
struct vci_plugin {
    struct vci_plugin *next;
    char *path;
    struct vc_plugin desc; /* desc.inst and desc.ops point to the copies below */
    struct vc_inst_ops inst;
    union {
        struct vc_hypervisor_ops hypervisor;
        struct vc_agent_ops agent;
        struct vc_proxy_ops proxy;
        struct vc_shim_ops shim;
        struct vc_network_ops network;
    } ops;
};

/* PLUGINDIR/KIND/NAME.so through all checks of design section 3.  NOTFOUND lists what is installed. */
int vci_plugin_load(vc_context *ctx, uint32_t kind, const char *name, const struct vci_plugin **ret, vc_error **err);
/* Is this the name of a plugin: [a-z0-9][a-z0-9-]{0,31}? */
int vci_plugin_name_ok(const char *name);
/* Names of the installed plugins of a kind, sorted; none when the directory is not there.  0 or -ENOMEM. */
int vci_plugin_names(const vc_context *ctx, uint32_t kind, char ***ret_names, size_t *ret_n);
/* The same with files whose name is no possible name of a plugin, for showing them. */
int vci_plugin_files(const vc_context *ctx, uint32_t kind, char ***ret_names, size_t *ret_n);
void vci_plugin_names_free(char **names, size_t n);

#endif
