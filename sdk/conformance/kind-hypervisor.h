/* SPDX-License-Identifier: Apache-2.0 */
/* kind-hypervisor.h: a hypervisor's world, and what can be seen of its VMM from outside: for kind-hypervisor.c and the
 * checks of the groups H (checks-hypervisor.c) and of templates (checks-template.c). */
#ifndef VCT_KIND_HYPERVISOR_H
#define VCT_KIND_HYPERVISOR_H

#include "conformance/vct.h"

#define VCT_HV_PIDS  32
#define VCT_HV_TASKS 512
#define VCT_HV_MIB   (UINT64_C(1) << 20)

/* The threads of the VMM's processes, and how often each was put on a processor. */
struct vct_hv_tasks {
    size_t n;
    struct {
        int tid;
        uint64_t runs;
    } v[VCT_HV_TASKS];
};

struct vct_hv_world {
    char *disk;                       /* an image; NULL without memory */
    struct vc_proc pids[VCT_HV_PIDS]; /* as the plugin said last */
    size_t n_pids;
    int pids_bad;        /* they were no whole array */
    uint32_t vm_state;   /* as vm_state said last */
    int started, killed; /* seen in this process */
    uint32_t was;        /* pod->state before the last op */
    struct vcs_buf endpoint, console;
    struct vc_resize got, had; /* of the last two resizes */
    uint64_t want_memory;
    uint32_t want_vcpus;
    char addr[64];
    int was_open;               /* the VMM had the disk open after device_add */
    struct vct_hv_tasks before; /* at the begin of the last op */
};

/* What the VM of the tests is made of: small, with room to grow where the plugin can resize. */
void vct_hv_config(struct vct_pod *pod, struct vc_vm_config *ret);
/* The disk "disk0" on the image at `path`. */
struct vc_device vct_hv_disk(const char *id, const char *path);
/* Make a file of `size` bytes, DIR/name.  malloc'ed path; NULL when it cannot be made. */
char *vct_hv_image(struct vct_pod *pod, const char *name, off_t size);

/* Ask `pids` into the world; the code. */
int vct_hv_ask_pids(struct vct_pod *pod, const struct vc_call *call);
/* The VMM's main process: as pids says, else what the pod spawned; -1: there is none. */
int vct_hv_main(struct vct_pod *pod, struct vc_proc *ret);
/* Text of an URI member ("agent_endpoint", "console"); the code. */
int vct_hv_uri(struct vct_pod *pod, const char *member, struct vcs_buf *ret);
/* Is the URI one of the forms of hypervisor.h?  0, or -1 and what is wrong. */
int vct_hv_uri_form(const char *member, const char *uri, char *why, size_t size);
/* The path of an URI, without scheme and port; malloc'ed, NULL when it has none. */
char *vct_hv_uri_path(const char *uri);
/* Can it be connected to (a file: opened)?  1, 0 and why, -1: cannot be told. */
int vct_hv_uri_works(const char *uri, char *why, size_t size);

/* All threads of the VMM, of what the pod spawned, and of their children. */
void vct_hv_tasks(struct vct_pod *pod, struct vct_hv_tasks *ret);
/* Did any of them run since `before`?  1; 0: not one; -1: there are none, or the kernel does not say. */
int vct_hv_told(struct vct_pod *pod, const struct vct_hv_tasks *before);
/* Wait until the VMM is idle: none of its threads runs for 20 ms.  1; 0: it does not become so in that time. */
int vct_hv_settle(struct vct_pod *pod, int timeout_ms);
/* How many threads are there that were not in `before`. */
size_t vct_hv_new_tasks(struct vct_pod *pod, const struct vct_hv_tasks *before);
/* Does one of the VMM's processes have that file open?  1, 0, or -1 when there is no process to look at. */
int vct_hv_has_open(struct vct_pod *pod, const char *path);
/* Do the vCPUs run?  1, 0, or -1 when it cannot be seen. */
int vct_hv_runs(struct vct_pod *pod);
/* vct_hv_runs has this value within that time: for what a VMM does a moment later. 1, 0, -1. */
int vct_hv_runs_is(struct vct_pod *pod, int runs, int timeout_ms);
/* Wait until a process has ended (is a zombie at least).  0, -1. */
int vct_hv_await_end(const struct vc_proc *p, int timeout_ms);
/* Does the peer of the pod answer as a good one, so that facts and effects mean something? */
int vct_hv_plain(const struct vct_pod *pod);

#endif
