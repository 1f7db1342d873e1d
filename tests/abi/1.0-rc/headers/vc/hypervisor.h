/* SPDX-License-Identifier: Apache-2.0 */
/* vc/hypervisor.h: a plugin that makes virtual machines.
 *
 * Life of an instance:  create - vm_create - vm_start - (calls) - vm_stop - cleanup - close, with
 * save after any of them and restore in another process in between.
 * All members are serialised per instance (see plugin.h). */
#ifndef VC_HYPERVISOR_H
#define VC_HYPERVISOR_H

#include "plugin.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Capability bits. */
#define VC_HV_CAP_PAUSE (UINT64_C(1) << 0)      /* vm_pause, vm_resume */
#define VC_HV_CAP_RESIZE (UINT64_C(1) << 1)     /* resize */
#define VC_HV_CAP_HOTPLUG (UINT64_C(1) << 2)    /* device_add, device_del on a running VM */
#define VC_HV_CAP_SHARE_9P (UINT64_C(1) << 3)   /* shared_dir reaches the guest by 9p */
#define VC_HV_CAP_SHARE_FS (UINT64_C(1) << 4)   /* shared_dir reaches the guest by virtio-fs */
#define VC_HV_CAP_NO_GUEST (UINT64_C(1) << 5)   /* there is no guest: agent_endpoint is empty */
#define VC_HV_CAP_SHARE_BIND (UINT64_C(1) << 6) /* the guest runs on the host's kernel (namespaces): shared_dir is in
                                                   its file system from the start, at VC_SHARE_BIND_DIR/share_tag */

/* Where VC_HV_CAP_SHARE_BIND puts the shared folder in the guest.  The host makes shared_dir a mount point with shared
 * propagation (of a group of its own) before vm_start, and the guest's mount is a slave of it: this is how mounts that
 * appear below it later are seen by the guest, and none of the guest's is seen by the host. */
#define VC_SHARE_BIND_DIR "/run/vc-share"

enum { VC_VM_NONE = 0, VC_VM_CREATED = 1, VC_VM_RUNNING = 2, VC_VM_PAUSED = 3, VC_VM_STOPPED = 4 };

enum { VC_STOP_FORCE = 1u << 0 }; /* end it at once, do not ask the guest */

/* What the pod wants of its VM.  0 and NULL mean: as the plugin's configuration says. */
struct vc_vm_config {
    uint32_t size;
    uint32_t flags; /* 0 */
    uint32_t vcpus;
    uint32_t max_vcpus;
    uint64_t memory;     /* bytes */
    uint64_t max_memory; /* bytes */
    const char *shared_dir;  /* host directory the guest gets at, read-write; NULL = none.  The guest
                                mounts it after the start by its tag; directories and mounts that
                                appear below it later are seen by the guest. */
    const char *share_tag;   /* its mount tag */
    const char *kernel_params; /* added at the end of the guest's kernel command line */
    int32_t netns_fd;        /* network namespace to run the VMM in; -1 = the caller's */
    int32_t reserved;
};

/* Devices (device_add).  Which types are possible is the plugin's; VC_E_UNSUPPORTED otherwise. */
enum { VC_DEV_BLOCK = 1, VC_DEV_NET = 2, VC_DEV_VFIO = 3, VC_DEV_VHOST_USER = 4 };
enum { VC_DEV_READONLY = 1u << 0 };
struct vc_device {
    uint32_t size;
    uint32_t type;      /* VC_DEV_* */
    const char *id;     /* unique within the VM: [A-Za-z0-9][A-Za-z0-9_.-]{0,30} */
    const char *path;   /* BLOCK: image or device; VFIO: PCI address; VHOST_USER: socket */
    const char *driver; /* NULL = the plugin's default */
    const char *mac;    /* NET */
    uint64_t flags;     /* VC_DEV_READONLY */
    const int32_t *fds; /* NET: tap descriptors, one per queue, then vhost descriptors.  BLOCK: none, or one: what the
                           host found at `path` and opened (for reading only with VC_DEV_READONLY, else for both).  A
                           plugin that gives the VMM this one, and not what is at `path` by then, is safe from whoever
                           can rename there */
    uint32_t n_fds;
    uint32_t queues;    /* NET: number of tap descriptors */
};
struct vc_device_result {
    uint32_t size;
    uint32_t flags;
    char guest_addr[64]; /* where the guest finds it, e.g. PCI path "02/00"; NUL-terminated */
};

struct vc_resize {
    uint32_t size;
    uint32_t vcpus;  /* 0 = leave */
    uint64_t memory; /* bytes; 0 = leave */
};

struct vc_hypervisor_ops {
    uint32_t size;
    uint32_t reserved; /* 0 */

    /* Describe the VM; nothing is started.  VC_E_EXISTS when called twice. */
    int (*vm_create)(vc_inst *inst, const struct vc_call *call, const struct vc_vm_config *config);
    /* Start it.  Returns when the VMM runs and answers; it need not wait for the guest. */
    int (*vm_start)(vc_inst *inst, const struct vc_call *call);
    /* End it; idempotent, also when the VMM was killed.  On return its processes have ended. */
    int (*vm_stop)(vc_inst *inst, const struct vc_call *call, uint32_t flags);
    /* VC_VM_* as the VMM itself says; a VMM that is gone is VC_VM_STOPPED. */
    int (*vm_state)(vc_inst *inst, const struct vc_call *call, uint32_t *state);
    /* URI of the channel to the agent, once vm_start was called (may be connected to at once):
     *   serial://PATH     unix socket of a virtio-serial port; one client at a time, needs a proxy
     *   vsock://CID:PORT  hvsock://PATH:PORT  unix://PATH
     * Empty when there is no guest. */
    int (*agent_endpoint)(vc_inst *inst, const struct vc_call *call, vc_sink *uri);
    /* URI of the guest's console output (unix://PATH or file://PATH); empty when there is none. */
    int (*console)(vc_inst *inst, const struct vc_call *call, vc_sink *uri);
    /* Array of struct vc_proc, the VMM's main process first; empty when there is none. */
    int (*pids)(vc_inst *inst, const struct vc_call *call, vc_sink *procs);
    /* CAP_HOTPLUG.  VC_E_EXISTS for a known id; VC_E_NOTFOUND for an unknown one. */
    int (*device_add)(vc_inst *inst, const struct vc_call *call, const struct vc_device *dev, struct vc_device_result *out);
    int (*device_del)(vc_inst *inst, const struct vc_call *call, const char *id);
    /* CAP_PAUSE.  Idempotent.  After VC_OK the vCPUs do not (do) run. */
    int (*vm_pause)(vc_inst *inst, const struct vc_call *call);
    int (*vm_resume)(vc_inst *inst, const struct vc_call *call);
    /* CAP_RESIZE.  `got` is what the VM has now.  Above the maximum: VC_E_RESOURCE. */
    int (*resize)(vc_inst *inst, const struct vc_call *call, const struct vc_resize *want, struct vc_resize *got);
};

#ifdef __cplusplus
}
#endif
#endif
