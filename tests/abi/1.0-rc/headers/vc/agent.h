/* SPDX-License-Identifier: Apache-2.0 */
/* vc/agent.h: a plugin that talks to the software inside the VM.
 *
 * The guest is hostile: whatever it answers is bounded, checked and has a deadline.
 * exec_id NULL or "" means the container's first process. */
#ifndef VC_AGENT_H
#define VC_AGENT_H

#include "plugin.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Capability bits. */
#define VC_AG_CAP_NET (UINT64_C(1) << 0)    /* net_update */
#define VC_AG_CAP_STATS (UINT64_C(1) << 1)  /* stats */
#define VC_AG_CAP_PAUSE (UINT64_C(1) << 2)  /* ctr_pause, ctr_resume */
#define VC_AG_CAP_UPDATE (UINT64_C(1) << 3) /* ctr_update */
#define VC_AG_CAP_PS (UINT64_C(1) << 4)     /* ps */
#define VC_AG_CAP_NO_GUEST (UINT64_C(1) << 5) /* it talks to nobody: connect takes an empty URI, and
                                                 containers have no process */
#define VC_AG_CAP_STDIO (UINT64_C(1) << 6)  /* stdio */
#define VC_AG_CAP_TEMPLATE (UINT64_C(1) << 7) /* settle, renew: without it VMs with a guest always boot (template.h) */
#define VC_AG_CAP_ONLINE (UINT64_C(1) << 8)   /* online: wanted where VMs from a template get vCPUs or memory added */

enum { VC_SANDBOX_SHARED_PIDNS = 1u << 0 }; /* all containers in one pid namespace */

/* A pod inside the guest. */
struct vc_sandbox {
    uint32_t size;
    uint32_t flags;         /* VC_SANDBOX_* */
    const char *id;
    const char *hostname;   /* NULL = leave the guest's */
    const char *const *dns; /* lines of resolv.conf; NULL-terminated; NULL = none */
    const char *share_tag;  /* mount tag of the shared folder; NULL = none */
    const char *share_type; /* "9p", "virtiofs", or "bind": nothing is to be mounted from outside, the folder is in the
                               guest's file system already, at VC_SHARE_BIND_DIR/share_tag (hypervisor.h) */
};

/* A container inside the guest. */
struct vc_ctr {
    uint32_t size;
    uint32_t flags;        /* 0 */
    const char *id;
    struct vc_bytes spec;  /* OCI runtime specification 1.0 config.json as UTF-8 text.
                              process.user.username, when there, is "user[:group]" by name or number
                              and is resolved inside the container.
                              What comes from the host stands in it so:
                              A mount of type "bind" (or with the option "bind" or "rbind") whose source is not
                              absolute has it in the shared folder, relative to that; it is read-only there already
                              when it has to be.
                              A device in linux.devices with the member "guestAddress" is a disk that was plugged in:
                              the text is what the hypervisor's device_add gave as guest_addr, and it is found by that.
                              Its major and minor, and those of the rule in linux.resources.devices that has the same,
                              stand for the numbers that it has in the guest. */
    const char *rootfs;    /* path of the root filesystem relative to the shared folder */
};

/* A further process in a container. */
struct vc_exec {
    uint32_t size;
    uint32_t flags;          /* 0 */
    const char *id;
    struct vc_bytes process; /* OCI `process` object as UTF-8 text */
};

/* Network settings for the guest (net_update): JSON text
 * {"interfaces":[{"name","mac","mtu","addresses":["10.0.0.2/24"]}],
 *  "routes":[{"dest":"" or CIDR,"gateway","device","source","scope"}],
 *  "neighbors":[{"address":"10.0.0.1","mac":"02:00:00:00:00:01","device":"eth0","state":128}]}.
 * Each list may be left out, and so may mtu (1500), scope (0, global) and state (a NUD_* number of the kernel; 128,
 * permanent).  A route needs a gateway or a device; "" as its dest is the default route.  interfaces are found by
 * their mac and get the name; the routes take the place of those that are there; neighbors are added to them. */
struct vc_agent_net {
    uint32_t size;
    uint32_t flags;
    struct vc_bytes json;
};

enum { VC_SIGNAL_ALL = 1u << 0 }; /* every process of the container */

/* How a guest is to settle (settle). */
enum {
    VC_SETTLE_EXERCISE = 1u << 0 /* also run a process of the guest's own to its end, the way a container is run, so
                                    that a VMM that translates or caches the guest's code has seen it */
};

/* What makes a guest that was started from a template one of its own (renew). */
struct vc_renew {
    uint32_t size;
    uint32_t flags;       /* 0 */
    struct vc_bytes seed; /* random bytes for the guest's generator, 32 to 512, fresh ones for each guest */
};

struct vc_agent_ops {
    uint32_t size;
    uint32_t reserved; /* 0 */

    /* Connect to the agent and wait until it answers (deadline).  The URI is the proxy's.  Nobody
     * listening yet is no failure before the deadline: the guest still boots.  A socket that is not
     * there at all need not be waited for (VC_E_NOTFOUND or VC_E_PEER at once): vm_start and the proxy's
     * start have made it before they answer VC_OK. */
    int (*connect)(vc_inst *inst, const struct vc_call *call, const char *uri);
    /* Drop the connection; the guest goes on.  Idempotent. */
    int (*disconnect)(vc_inst *inst, const struct vc_call *call);
    /* One question, one answer. */
    int (*ping)(vc_inst *inst, const struct vc_call *call);
    int (*sandbox_create)(vc_inst *inst, const struct vc_call *call, const struct vc_sandbox *sandbox);
    /* Remove all containers and ask the guest to end.  Idempotent. */
    int (*sandbox_destroy)(vc_inst *inst, const struct vc_call *call);
    /* The container exists afterwards, its first process does not run.  VC_E_EXISTS for a known id. */
    int (*ctr_create)(vc_inst *inst, const struct vc_call *call, const struct vc_ctr *ctr);
    /* Run its first process.  VC_E_NOCMD: its program does not exist; VC_E_NOEXEC: it cannot be
     * executed; either leaves the container removable.  VC_E_STATE: it was started before, which the host
     * takes for its own start that it did not live to note. */
    int (*ctr_start)(vc_inst *inst, const struct vc_call *call, const char *ctr);
    /* Kill what is left and remove it.  Idempotent: an unknown container is VC_OK. */
    int (*ctr_remove)(vc_inst *inst, const struct vc_call *call, const char *ctr);
    /* Prepare and run a further process.  Errors as ctr_start. */
    int (*exec)(vc_inst *inst, const struct vc_call *call, const char *ctr, const struct vc_exec *exec);
    /* [any] Send a signal; VC_E_NOTFOUND when the process has ended or never was.  With VC_SIGNAL_ALL only the
     * container must be known: that no process of it is left is no failure. */
    int (*signal)(vc_inst *inst, const struct vc_call *call, const char *ctr, const char *exec_id, int32_t sig, uint32_t flags);
    /* [any] Wait for a process: 0-255, 128+n when signal n ended it.  VC_E_PEER when the guest dies. */
    int (*wait)(vc_inst *inst, const struct vc_call *call, const char *ctr, const char *exec_id, int32_t *status);
    /* [any] CAP_STDIO.  Streams of a process: [0] for writing (close it = end of file), [1] and [2] for reading
     * until end of file; -1 where there is none (with a terminal [2] is).  The caller owns them.
     * They work until close. */
    int (*stdio)(vc_inst *inst, const struct vc_call *call, const char *ctr, const char *exec_id, int32_t out_fds[3]);
    /* [any] Size of its terminal.  VC_E_STATE when it has none. */
    int (*tty_resize)(vc_inst *inst, const struct vc_call *call, const char *ctr, const char *exec_id, uint32_t rows, uint32_t cols);
    /* CAP_PS.  JSON array of objects {"pid","ppid","uid","cmd"}; and "comm", the kernel's name of the process, where it
     * is known (else the host takes the name of the program out of "cmd"). */
    int (*ps)(vc_inst *inst, const struct vc_call *call, const char *ctr, vc_sink *json);
    int (*net_update)(vc_inst *inst, const struct vc_call *call, const struct vc_agent_net *net); /* CAP_NET */
    /* CAP_STATS.  JSON object; the host reads these numbers of it, each of which may be left out, and hands the whole on:
     * {"cpu":{"usage":{"total","kernel","user"},"throttling":{"throttledPeriods","throttledTime"}},  (ns)
     *  "memory":{"usage":{"usage","limit","max"},"raw":{"oom_kill"}},  (bytes; max is the peak; how many processes were
     *                                                                 ended for want of memory)
     *  "pids":{"current","limit"},
     *  "blkio":{"ioServiceBytesRecursive":[{"major","minor","op":"Read" or "Write","value"}]}}
     * A limit of 0, or of 2^62 and above, is none.  It also works once the first process has ended. */
    int (*stats)(vc_inst *inst, const struct vc_call *call, const char *ctr, vc_sink *json);
    int (*ctr_pause)(vc_inst *inst, const struct vc_call *call, const char *ctr);                 /* CAP_PAUSE */
    int (*ctr_resume)(vc_inst *inst, const struct vc_call *call, const char *ctr);                /* CAP_PAUSE */
    /* CAP_UPDATE.  OCI linux.resources object as text: the sections that change, each of them whole.  What is left out
     * stays; -1 lifts a limit. */
    int (*ctr_update)(vc_inst *inst, const struct vc_call *call, const char *ctr, struct vc_bytes resources);
    /* CAP_TEMPLATE.  Have the guest do now what it has put off, and answer when it has nothing more to do: it is
     * about to be saved as a template (flags 0), or paused until a pod needs it (VC_SETTLE_EXERCISE).  There is no
     * sandbox in it.  It comes after connect; then come disconnect and, of a VM that waits for a pod, cleanup and
     * close of this instance while the VM lives on: later a new instance, made by create, connects to the same agent.
     * So the agent in the guest must take new connections afterwards, and nothing of this instance may be needed for
     * that.  A failure: no template, no VM in store. */
    int (*settle)(vc_inst *inst, const struct vc_call *call, uint32_t flags);
    /* CAP_TEMPLATE.  First thing after connect in a guest that came from a template: its random number generator
     * takes the seed and goes on from there, its clock is set to the host's, and what it derives from either (machine
     * id) is made anew.  Idempotent.  VC_OK only when all of it is done: a guest that is a copy of another one runs
     * nothing.  After a failure the VM is ended, and the pod's VM boots (unless a template is required); VC_E_PEER,
     * VC_E_PROTOCOL and VC_E_TIMEOUT cost the template, too. */
    int (*renew)(vc_inst *inst, const struct vc_call *call, const struct vc_renew *renew);
    /* CAP_ONLINE.  Take so many vCPUs (0: none, memory only), and all memory, that were plugged in after the guest had
     * booted into use; waits for those that have not shown up yet.  VC_E_TIMEOUT when they do not.  After renew, before
     * sandbox_create, and only when something was plugged in.  Failures lead to what those of renew do. */
    int (*online)(vc_inst *inst, const struct vc_call *call, uint32_t vcpus);
};

#ifdef __cplusplus
}
#endif
#endif
