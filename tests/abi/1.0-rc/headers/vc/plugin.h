/* SPDX-License-Identifier: Apache-2.0 */
/* vc/plugin.h: the entry point of a plugin and the part of the contract that all five kinds share.
 *
 * A plugin is one shared object, PLUGINROOT/KIND/NAME.so, that exports exactly one symbol:
 *
 *     VC_EXPORT const struct vc_plugin vc_plugin_entry = { ... };
 *
 * Threads.  The host never runs two calls on one instance at once, except members tagged [any]:
 * cancel, caps, ext, and the agent's wait, stdio, signal and tty_resize.  Different instances run
 * in parallel.  Calls of one instance may come from different threads, one after another.
 *
 * Processes.  A pod outlives the process that made it: create, start, exec and delete may each be
 * another process.  So save and restore are mandatory, `close` only forgets (memory, descriptors,
 * threads), and `cleanup` removes every trace from the system.
 *
 * Which calls come when.  Making a pod: create, caps, the kind's own calls, save, close.  Each later
 * process that needs the instance: restore, caps, calls, save (when something may have changed), close.
 * Ending a pod: restore, the kind's stop or teardown, cleanup, close.  Starting a stopped pod again begins
 * with create, never with restore.
 *
 * Files.  A plugin's file and every directory above it belong to root or to the caller, nobody else can
 * write to them, and none is a symbolic link.  (A directory of root with the sticky bit, like /tmp, may be writable
 * by all: what lies in it cannot be replaced by others.)  Install by rename, never by writing over a file in use.
 *
 * Ownership.  (1) Descriptor, tables and options: static, for the life of the process.  (2) Pointers
 * passed into a call: valid until it returns.  (3) Results of variable size go to a vc_sink.
 * (4) Descriptors passed in are borrowed; descriptors in an out-parameter become the receiver's and
 * have CLOEXEC.  (5) An instance is ended by close exactly once.  (6) Nothing allocated on one side
 * is freed on the other.
 *
 * Results.  0 or a negative VC_E_* code.  Out-parameters are untouched on failure.  A call that
 * answers VC_OK has had its effect: success is never reported for something that did not happen.
 *
 * A plugin in C++ lets no exception leave a member.  A plugin never forks, calls exit or abort, writes to descriptors 0-2, or changes process-wide
 * state (cwd, umask, environment, signal dispositions, locale, ids, limits, namespaces). */
#ifndef VC_PLUGIN_H
#define VC_PLUGIN_H

#include "host.h"
#include "types.h"

#ifdef __cplusplus
extern "C" {
#endif

#define VC_PLUGIN_MAGIC 0x31504356u /* "VCP1"; never changes */
#define VC_PLUGIN_SYMBOL "vc_plugin_entry"

/* Put before the definition of vc_plugin_entry.  (In C++ a const object is local to its file otherwise.) */
#ifdef __cplusplus
#define VC_EXPORT extern "C" __attribute__((visibility("default")))
#else
#define VC_EXPORT __attribute__((visibility("default")))
#endif

/* What `check` found. */
enum {
    VC_HEALTH_OK = 1,  /* what the instance stands for is there */
    VC_HEALTH_GONE = 2, /* it is not (never started, stopped, killed) */
    VC_HEALTH_BAD = 3  /* it is there but does not work */
};

/* Members that every kind has. */
struct vc_inst_ops {
    uint32_t size;
    uint32_t reserved; /* 0 */

    /* Make a new instance for pod `pod_id` from checked configuration.  No external effect: nothing
     * outside the process exists because of it. */
    int (*create)(const vc_host *host, const struct vc_call *call, const vc_config *cfg, const char *pod_id, vc_inst **out);
    /* Make an instance from what `save` wrote, maybe by another process or an older release
     * (state_version_min..state_version; VC_E_UNSUPPORTED for any other, VC_E_CORRUPT for bytes that cannot be read).
     * The bytes are hostile input.  No external effect. */
    int (*restore)(const vc_host *host, const struct vc_call *call, const vc_config *cfg, const char *pod_id,
                   uint32_t state_version, struct vc_bytes state, vc_inst **out);
    /* Write what `restore` needs, at most 64 KiB.  Pure; may be called at any time. */
    int (*save)(vc_inst *inst, const struct vc_call *call, vc_sink *out);
    /* Look at the world and say how the instance is (VC_HEALTH_*).  Pure, quick, never waits for a
     * guest.  What the instance stands for counts, not whether this process is connected to it: a
     * restored agent that has not asked its guest yet answers VC_HEALTH_OK while the guest's address
     * is there, and VC_HEALTH_BAD when a connection it had is broken. */
    int (*check)(vc_inst *inst, const struct vc_call *call, uint32_t *health);
    /* Remove every trace from the system: processes, sockets, links.  Idempotent; works on a fresh,
     * half-made, half-removed or dead instance. */
    int (*cleanup)(vc_inst *inst, const struct vc_call *call);
    /* Free memory, descriptors and threads; what runs outside stays.  Never fails. */
    void (*close)(vc_inst *inst);
    /* [any] Capability bits of this instance on this machine: a subset of caps_max, constant. */
    uint64_t (*caps)(vc_inst *inst);
    /* [any] Make the call that is running return VC_E_CANCELLED soon.  May be NULL. */
    void (*cancel)(vc_inst *inst);
    /* [any] An optional interface by id "vc.NAME/REV" or "org.example.NAME/REV"; NULL when unknown.
     * May be NULL. */
    const void *(*ext)(vc_inst *inst, const char *id);
};

/* The descriptor.  Its first 16 bytes never change. */
struct vc_plugin {
    uint32_t magic;          /* VC_PLUGIN_MAGIC */
    uint16_t abi_major;      /* VC_ABI_MAJOR the plugin was built for */
    uint16_t abi_minor;      /* VC_ABI_MINOR of its headers */
    uint32_t size;           /* sizeof (struct vc_plugin) */
    uint32_t min_host_minor; /* the lowest minor of a host it works with */

    uint32_t kind;     /* VC_KIND_* ; must match the directory */
    uint32_t reserved; /* 0 */
    const char *name;  /* [a-z0-9][a-z0-9-]{0,31}; must match the file name */
    const char *vendor;
    const char *version;
    const char *description; /* one sentence */
    const struct vc_option *options;
    uint32_t n_options;
    uint32_t option_stride; /* sizeof (struct vc_option) */
    uint32_t state_version; /* what `save` writes */
    uint32_t state_version_min;
    uint64_t caps_max; /* what this build can do at best; bits 48-63 must be 0 */

    /* Once per process, before anything else; may be NULL.  No external effect. */
    int (*load)(const vc_host *host, vc_err *err);
    /* Can it work here?  Text for a person to `report`; no side effect; may be NULL. */
    int (*probe)(const vc_host *host, const struct vc_call *call, const vc_config *cfg, vc_sink *report);

    const struct vc_inst_ops *inst;
    const void *ops; /* struct vc_hypervisor_ops, vc_agent_ops, vc_proxy_ops, vc_shim_ops, vc_network_ops */
};

/* What a plugin defines. */
extern __attribute__((visibility("default"))) const struct vc_plugin vc_plugin_entry;

#ifdef __cplusplus
}
#endif
#endif
