/* SPDX-License-Identifier: Apache-2.0 */
/* spec.h: OCI runtime specification (JSON text) to the agent protocol's messages. */
#ifndef KATA_SPEC_H
#define KATA_SPEC_H

#include <stddef.h>

#include <vc/types.h>

#include "agent.pb-c.h"

/* Where the guest mounts the shared folder. */
#define KATA_GUEST_SHARE "/run/kata-containers/shared/containers/"

/* A result and its memory, which goes in one piece.  Zeroed memory is valid. */
struct kata_spec {
    void *chunks;
    Oci__Spec *spec;                /* kata_spec_parse */
    Oci__Process *process;          /* kata_spec_parse_process; of kata_spec_parse too */
    Oci__LinuxResources *resources; /* kata_spec_parse_resources */
    Agent__StringUser *user;        /* NULL when ids are numbers */
    Agent__Device **devices;        /* disks that were plugged in; kata_spec_parse */
    size_t n_devices;
    char error[512];                /* one sentence that names the JSON path */
};

/* Is it a path below the shared folder? */
int kata_share_path_ok(const char *path);
/* A config.json for a container whose root filesystem is `rootfs` below the shared folder.  Things that mean
 * the host are left out (hooks, paths of namespaces, security labels, CPU numbers).
 * 0, VC_E_INVAL or VC_E_NOMEM with the reason in s->error. */
int kata_spec_parse(struct kata_spec *s, struct vc_bytes json, const char *rootfs);
/* A `process` object / a `linux.resources` object alone. */
int kata_spec_parse_process(struct kata_spec *s, struct vc_bytes json);
int kata_spec_parse_resources(struct kata_spec *s, struct vc_bytes json);
void kata_spec_done(struct kata_spec *s);

#endif
