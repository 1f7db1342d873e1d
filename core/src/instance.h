/* SPDX-License-Identifier: Apache-2.0 */
/* instance.h: one plugin instance of a pod with the host services it was given. */
#ifndef VCI_INSTANCE_H
#define VCI_INSTANCE_H

#ifdef HAVE_CONFIG_H
#include <config.h> /* VC_FAULT_POINTS */
#endif

#include "calls.h"
#include "conf.h"
#include "loader.h"
#include "store.h"

struct vci_inst {
    const struct vci_plugin *plugin; /* NULL: not opened */
    vc_context *ctx;
    struct vci_pod_dir *dir;         /* borrowed; its pod */
    struct vc_config *section;
    int kept; /* that is the context's */
    struct vc_host host;             /* ctx = this struct */
    vc_inst *handle;
    uint64_t caps;
    char hint[160]; /* what create, restore or probe did wrong with its host, for when it fails without a reason */
};

/* Load plugin KIND/NAME, check its section and make an instance (state NULL) or restore one.  `settings` (NULL = none) are
 * of the pod, over the section.  The struct must not move afterwards (the host table points to it). */
int vci_inst_open(struct vci_inst *i, vc_context *ctx, struct vci_pod_dir *dir, uint32_t kind, const char *name,
                  char *const *settings, const char *state, size_t state_len, uint32_t state_version, int64_t deadline_ns, vc_error **err);
/* close(); safe on a zeroed struct. */
void vci_inst_close(struct vci_inst *i);
/* The end of a context: what its instances had in common. */
void vci_inst_forget_kept(vc_context *ctx);
/* save(): *ret is malloc'ed and NUL-terminated as well; version of the plugin in *ret_version. */
int vci_inst_save(struct vci_inst *i, char **ret, size_t *ret_len, uint32_t *ret_version, vc_error **err);

/* A call into a plugin that vc_context_cancel can end. */
struct vci_running {
    struct vci_inst *inst; /* NULL: this one cannot be cancelled */
    struct vci_running *next;
};
/* CANCELLED when the context was.  Each begin that returned 0 needs its end. */
int vci_call_begin(struct vci_inst *i, struct vci_running *r, vc_error **err);
void vci_call_end(struct vci_inst *i, struct vci_running *r);
/* Note a call for vc_plugin_calls, until vci_calls_leave. */
static inline int vci_inst_enter(const struct vci_inst *i, const char *member)
{
    return vci_calls_enter(i->plugin->desc.kind, i->plugin->desc.name, i->plugin->path, member);
}
/* Was this work cancelled? */
static inline int vci_cancelled(const struct vci_pod_dir *dir)
{
    return dir && dir->cancellable && atomic_load_explicit(&dir->ctx->cancelled, memory_order_relaxed);
}

/* One call into a plugin: VCI_CALL (&inst, deadline_ns, err, hypervisor, vm_start, ARGS-after-call...).  Evaluates to the checked
 * result; UNSUPPORTED when the member is NULL. */
#define VCI_CALL(i, deadline, errp, kind, member, ...) \
    __extension__({ \
        struct vci_inst *ci_ = (i); \
        struct vci_running run_; \
        int rc_; \
        if (!ci_->plugin || !ci_->plugin->ops.kind.member) { \
            rc_ = vci_fail((errp), VC_ERR_UNSUPPORTED, 0, "%s plugin \"%s\" cannot do %s", #kind, \
                           ci_->plugin ? ci_->plugin->desc.name : "?", #member); \
        } else if ((rc_ = vci_call_begin(ci_, &run_, (errp))) == 0) { \
            vc_error obj_; \
            struct vc_call call_ = {.size = sizeof call_, .deadline_ns = (deadline), .err = (vc_err *)vci_error_init(&obj_)}; \
            int note_ = vci_inst_enter(ci_, #member); \
            rc_ = ci_->plugin->ops.kind.member(ci_->handle, &call_ __VA_OPT__(, ) __VA_ARGS__); \
            vci_calls_leave(note_); \
            vci_call_end(ci_, &run_); \
            rc_ = vci_error_from_plugin((errp), &obj_, rc_, #kind, ci_->plugin->desc.name, #member, NULL); \
        } \
        rc_; \
    })
/* The same for members of vc_inst_ops. */
#define VCI_CALL_INST(i, deadline, errp, member, ...) \
    __extension__({ \
        struct vci_inst *ci_ = (i); \
        vc_error obj_; \
        struct vc_call call_ = {.size = sizeof call_, .deadline_ns = (deadline), .err = (vc_err *)vci_error_init(&obj_)}; \
        int note_ = vci_inst_enter(ci_, #member); \
        int rc_ = ci_->plugin->inst.member(ci_->handle, &call_ __VA_OPT__(, ) __VA_ARGS__); \
        vci_calls_leave(note_); \
        vci_error_from_plugin((errp), &obj_, rc_, vci_kind_name(ci_->plugin->desc.kind), \
                              ci_->plugin->desc.name, #member, NULL); \
    })

/* The services without a pod, for vc_plugin.load: valid for the life of the process. */
const struct vc_host *vci_host_global(void);
/* Fill in the services of an instance. */
void vci_host_init(struct vc_host *host, void *ctx);

/* Sinks: a struct vcs_buf bounded to 1 MiB behind the contract's opaque vc_sink. */
vc_sink *vci_sink_new(void);
const char *vci_sink_str(vc_sink *sink, size_t *ret_len); /* NUL-terminated; lives with the sink */
void vci_sink_free(vc_sink *sink);

/* vc_host.spawn, also for core's own use: recorded in dir's ledger under `owner`, as that type, before the exec.  TIMEOUT when
 * the exec has not happened by the deadline (0 = none). */
int vci_spawn_as(vc_context *ctx, struct vci_pod_dir *dir, uint32_t type, const char *owner, const struct vc_spawn *s,
                 int64_t deadline, struct vc_proc *out, vc_error **err);
/* The same for VCI_RES_PROCESS. */
int vci_spawn(vc_context *ctx, struct vci_pod_dir *dir, const char *owner, const struct vc_spawn *s, int64_t deadline,
              struct vc_proc *out, vc_error **err);

/* Fault points of the kill-at-each-step tests (only with --enable-fault-points): counts, and when the count
 * equals VC_FAULT_AT of the environment, kills this process with SIGKILL.  VC_FAULT_COUNT=FILE: write the
 * total there at exit. */
#ifdef VC_FAULT_POINTS
void vci_fault_point(const char *name);
#else
#define vci_fault_point(name) ((void)0)
#endif

#endif
