/* SPDX-License-Identifier: Apache-2.0 */
/* console.c: where the output of a guest's console is. */
#include <stdlib.h>
#include <string.h>

#include "pod.h"

static int console_of(struct vci_pod *pod, vc_context *ctx, const char *id, char **ret, vc_error **err)
{
    int rc = vci_pod_open(pod, ctx, id, VCI_LOCK_NONE, err);
    if (rc < 0)
        return rc;
    const char *uri = "";
    vc_sink *sink = NULL;
    /* Without what the plugin has saved there is no VM (yet) to have one. */
    if (pod->vm && pod->boot_same && pod->saved[VC_KIND_HYPERVISOR]) {
        int64_t deadline = vci_pod_deadline(ctx, "call_timeout");
        struct vci_inst *hv = vci_stack_get(pod, VC_KIND_HYPERVISOR, deadline, err);
        if (!hv)
            return vci_rc(err);
        if (hv->plugin->ops.hypervisor.console) {
            if (!(sink = vci_sink_new()))
                return vci_fail(err, VC_ERR_NOMEM, 0, "out of memory");
            rc = VCI_CALL(hv, deadline, err, hypervisor, console, sink);
            uri = vci_sink_str(sink, NULL);
        }
    }
    if (rc == 0 && !(*ret = strdup(uri)))
        rc = vci_fail(err, VC_ERR_NOMEM, 0, "out of memory");
    vci_sink_free(sink);
    return rc;
}

int vc_pod_console(vc_context *ctx, const char *id, char **ret_uri, vc_error **err)
{
    VCI_NEED(ctx, err);
    VCI_NEED(ret_uri, err);
    struct vci_pod pod;
    vc_error *e = NULL;
    vci_pod_init(&pod, ctx);
    int rc = console_of(&pod, ctx, id, ret_uri, &e);
    vci_pod_close(&pod);
    return vci_api_end(rc, e, err);
}
