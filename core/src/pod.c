/* SPDX-License-Identifier: Apache-2.0 */
/* pod.c: pods: create, start, run, stop, delete. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/io.h"
#include "lib/proc.h"
#include "mounts.h"
#include "template.h"

#define MIN_MEMORY (1u << 20)

/* ---- create ---- */

int vci_pod_plan(struct vci_pod *pod, const char *hostname, vc_error **err)
{
    pod->created_ns = vci_realtime_ns();
    pod->state = VCI_READY;
    pod->hostname = hostname ? strdup(hostname) : strndup(pod->dir.id, 63);
    for (uint32_t k = 1; k <= VCI_KINDS; k++)
        if (!pod->plugin[k] && !(pod->plugin[k] = strdup(vci_conf_plugin(pod->ctx->conf, k))))
            return vci_fail(err, VC_ERR_NOMEM, 0, "out of memory");
    if (!pod->hostname)
        return vci_fail(err, VC_ERR_NOMEM, 0, "out of memory");
    if (pod->flags & VC_POD_OWNED && vcs_proc_identify(getpid(), &pod->owner) < 0)
        return vci_fail(err, VC_ERR_IO, 0, "cannot read the start time of this process from /proc");
    return 0;
}

static int take_config(struct vci_pod *pod, const struct vc_pod_config *config, vc_error **err)
{
    if (config->memory && config->memory < MIN_MEMORY)
        return vci_fail(err, VC_ERR_INVAL, 0,
                        "%llu bytes of memory are too few for a virtual machine: the size is in bytes",
                        (unsigned long long)config->memory);
    pod->flags = config->flags;
    pod->vcpus = config->vcpus;
    pod->memory = config->memory;
    pod->vm_template = config->vm_template;
    if (config->hostname &&
        (!*config->hostname || strlen(config->hostname) > 63 ||
         strspn(config->hostname, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._") !=
             strlen(config->hostname)))
        return vci_fail(err, VC_ERR_INVAL, 0,
                        "\"%.80s\" is not a host name: use up to 63 letters, digits, \"-\" and \".\"",
                        config->hostname);
    pod->dns = vci_strv_copy(config->dns);
    int rc = vci_annotations_merge(&pod->annotations, config->annotations, err);
    if (rc == 0)
        rc = vci_pod_plan(pod, config->hostname, err);
    if (rc < 0)
        return rc;
    pod->vm_template = vci_template_mode(pod); /* one that is started later keeps what it was made for */
    if (config->dns && !pod->dns)
        return vci_fail(err, VC_ERR_NOMEM, 0, "out of memory");
    struct vc_pod_config full;
    VCI_TAKE(&full, config);
    rc = vci_hooks_take(&pod->hooks, full.hooks, err);
    if (rc < 0)
        return rc;
    rc = vci_volumes_take(pod, &full, err);
    if (rc < 0)
        return rc;
    for (size_t i = 0; i < config->n_containers; i++) {
        if (!config->containers || !config->containers[i])
            return vci_fail(err, VC_ERR_INVAL, 0, "container %zu of the pod has no configuration", i);
        rc = vci_ctr_prepare(pod, config->containers[i], NULL, err);
        if (rc < 0)
            return rc;
    }
    return 0;
}

/* All that stands on disk before the first thing outside is made. */
static int begin_on_disk(struct vci_pod *pod, const char *op, int boot, vc_error **err)
{
    pod->vm = boot;
    int rc = vci_pod_begin(pod, op, err);
    for (size_t i = 0; rc == 0 && i < pod->n_ctrs; i++)
        rc = vci_ctr_store_spec(pod, pod->ctrs[i], err);
    return rc;
}

/* Its containers are gone, and its VM. */
static void poststop_all(struct vci_pod *pod)
{
    for (size_t i = 0; i < pod->n_ctrs; i++)
        vci_hooks_poststop(pod, pod->ctrs[i]);
    vci_hooks_poststop(pod, NULL);
}

/* The end of a start. */
static void poststart_all(struct vci_pod *pod, int64_t deadline)
{
    for (size_t i = 0; i < pod->n_ctrs; i++)
        if (pod->ctrs[i]->state == VCI_RUNNING)
            vci_hooks_poststart(pod, pod->ctrs[i], deadline);
    vci_hooks_poststart(pod, NULL, deadline);
}

/* Undo a creation that failed; the cause stands in *err already. */
static void undo_create(struct vci_pod *pod)
{
    vci_autoerror vc_error *e = NULL;
    int rc = vci_pod_teardown(pod, 0, &e);
    if (rc == 0)
        poststop_all(pod);
    if (rc == 0)
        rc = vci_store_remove(&pod->dir, &e);
    if (rc < 0)
        vci_log(pod->ctx, VC_LOG_ERROR, pod->dir.id, "undoing the creation of the pod: %s", vc_error_text(e));
}

static int finish(struct vci_pod *pod, vc_error **err)
{
    free(pod->op);
    pod->op = NULL;
    return vci_pod_save(pod, err);
}

static int create_as(struct vci_pod *pod, vc_context *ctx, const struct vc_pod_config *config, int run, char **ret,
                     vc_error **err)
{
    char made[13];
    const char *plugins[VCI_KINDS + 1] = { NULL };
    const char *id = config->id;
    if (!id) {
        vci_make_id(made, 12);
        made[12] = '\0';
        id = made;
    }
    int rc = vci_check_id("pod id", id, err);
    if (rc < 0)
        return rc;
    vcs_autofree char *copy = strdup(id);
    if (!copy)
        return vci_fail(err, VC_ERR_NOMEM, 0, "out of memory");
    vci_phase(ctx, id, "config-loaded");
    rc = vci_pod_choose(ctx, config, plugins, err);
    if (rc == 0)
        rc = vci_stack_fits(ctx, plugins[VC_KIND_HYPERVISOR], plugins[VC_KIND_AGENT], err);
    if (rc < 0)
        return rc;
    rc = vci_store_create(ctx, id, &pod->dir, err);
    if (rc < 0) {
        vci_pod_init(pod, ctx);
        return rc;
    }
    vci_fault_point("store-created");
    pod->dir.cancellable = 1;
    rc = vci_pod_take_choice(pod, plugins, config->settings, err);
    if (rc == 0)
        rc = take_config(pod, config, err);
    int boot = run || !(config->flags & VC_POD_DEFER_VM);
    if (rc == 0)
        rc = begin_on_disk(pod, run ? "run" : "create", boot, err);
    vci_fault_point("create-noted");
    int64_t deadline = vci_pod_deadline(ctx, "create_timeout");
    if (rc == 0 && boot) {
        rc = vci_pod_boot(pod, deadline, err);
    } else {
        for (size_t i = 0; i < pod->n_ctrs; i++)
            pod->ctrs[i]->state = VCI_READY;
    }
    if (rc == 0 && run)
        rc = vci_pod_start_all(pod, deadline, err);
    if (rc == 0)
        rc = finish(pod, err);
    vci_fault_point("create-done");
    if (rc < 0) {
        undo_create(pod);
        return rc;
    }
    if (run)
        poststart_all(pod, deadline);
    *ret = VCS_TAKE_PTR(copy);
    return 0;
}

static int pod_create(struct vci_pod *pod, vc_context *ctx, const struct vc_pod_config *config, int run, char **ret,
                      vc_error **err)
{
    if (!config)
        return vci_fail(err, VC_ERR_INVAL, 0, "there is no configuration of the pod");
    struct vc_pod_config full;
    char **settings = NULL;
    int rc = vci_check_pod_config(config, err);
    if (rc < 0)
        return rc;
    VCI_TAKE(&full, config);
    rc = vci_settings_of_annotations(ctx, &full, &settings, err);
    if (settings)
        full.settings = (const char *const *)settings;
    if (rc == 0)
        rc = create_as(pod, ctx, &full, run, ret, err);
    vci_strv_free(settings);
    return rc;
}

static int create_or_run(vc_context *ctx, const struct vc_pod_config *config, int run, char **ret_id, vc_error **err)
{
    struct vci_pod pod;
    vc_error *e = NULL;
    char *id = NULL;
    vci_pod_init(&pod, ctx);
    int rc = pod_create(&pod, ctx, config, run, &id, &e);
    vci_pod_close(&pod);
    if (rc == 0 && ret_id)
        *ret_id = id;
    else
        free(id);
    return vci_api_end(rc, e, err);
}

int vc_pod_create(vc_context *ctx, const struct vc_pod_config *config, char **ret_id, vc_error **err)
{
    VCI_NEED(ctx, err);
    return create_or_run(ctx, config, 0, ret_id, err);
}

int vc_pod_run(vc_context *ctx, const struct vc_pod_config *config, char **ret_id, vc_error **err)
{
    VCI_NEED(ctx, err);
    return create_or_run(ctx, config, 1, ret_id, err);
}

/* ---- start ---- */

/* Boot a pod that has no VM: a deferred or a stopped one. */
static int boot_again(struct vci_pod *pod, int64_t deadline, vc_error **err)
{
    for (size_t i = 0; i < pod->n_ctrs; i++)
        vci_ctr_forget_execs(pod, pod->ctrs[i]);
    pod->state = VCI_READY;
    pod->died = 0;
    pod->boot_same = 1;
    return vci_pod_boot(pod, deadline, err);
}

static int pod_start(struct vci_pod *pod, vc_context *ctx, const char *id, vc_error **err)
{
    int rc = vci_pod_open(pod, ctx, id, VCI_LOCK_EXCLUSIVE, err);
    if (rc < 0)
        return rc;
    vci_pod_refresh(pod);
    rc = vci_pod_check_whole(pod, err);
    if (rc == 0 && pod->state != VCI_READY && pod->state != VCI_STOPPED)
        rc = vci_fail(err, VC_ERR_STATE, 0, "cannot start pod \"%s\": it is %s", id,
                      pod->state == VCI_PAUSED ? "paused; resume it" : "running already");
    int boot = pod->state == VCI_STOPPED || !pod->vm;
    if (rc == 0 && boot && pod->vm) { /* its VM died: what it left goes first */
        rc = vci_pod_teardown(pod, 0, err);
        if (rc == 0)
            vci_hooks_poststop(pod, NULL);
    }
    if (rc == 0 && boot)
        rc = vci_pod_drop_halves(pod, err);
    if (rc < 0)
        return rc;
    pod->vm = 1;
    rc = vci_pod_begin(pod, "start", err);
    vci_fault_point("start-noted");
    int64_t deadline = vci_pod_deadline(ctx, "create_timeout");
    pod->dir.cancellable = 1;
    if (rc == 0 && boot)
        rc = boot_again(pod, deadline, err);
    if (rc == 0)
        rc = vci_pod_start_all(pod, deadline, err);
    if (rc == 0)
        rc = finish(pod, err);
    vci_fault_point("start-done");
    if (rc == 0) {
        poststart_all(pod, deadline);
        return 0;
    }
    /* Programs that have run cannot be un-run: the pod ends as a stopped one, with nothing outside. */
    vci_autoerror vc_error *e = NULL;
    pod->state = VCI_RUNNING;
    if (vci_pod_do_stop(pod, 0, &e) < 0)
        vci_log(ctx, VC_LOG_ERROR, id, "undoing the start of the pod: %s", vc_error_text(e));
    return rc;
}

int vc_pod_start(vc_context *ctx, const char *id, vc_error **err)
{
    VCI_NEED(ctx, err);
    struct vci_pod pod;
    vc_error *e = NULL;
    vci_pod_init(&pod, ctx);
    int rc = pod_start(&pod, ctx, id, &e);
    vci_pod_close(&pod);
    return vci_api_end(rc, e, err);
}

/* ---- stop ---- */

int vci_pod_do_stop(struct vci_pod *pod, int graceful, vc_error **err)
{
    if (pod->state == VCI_STOPPED && !pod->vm && !pod->op && pod->boot_same)
        return 0;
    int alive = pod->vm && !pod->died && pod->boot_same && !pod->op;
    int rc = vci_ledger_writable(&pod->dir, err);
    if (rc == 0)
        rc = vci_pod_begin(pod, "stop", err);
    vci_fault_point("stop-noted");
    if (rc == 0)
        rc = vci_pod_teardown(pod, alive && graceful, err);
    if (rc < 0)
        return rc;
    for (size_t i = 0; i < pod->n_ctrs; i++) {
        struct vci_ctr *c = pod->ctrs[i];
        if (c->state == VCI_MAKING)
            continue;
        int ran = c->state == VCI_RUNNING || c->state == VCI_PAUSED;
        if (c->exit_status < 0 && ran)
            c->exit_status = 137;
        vci_ctr_finish(pod, c);
        c->state = VCI_STOPPED;
    }
    vci_autoerror vc_error *e = NULL;
    if (vci_pod_drop_halves(pod, &e) < 0) /* the pod is stopped all the same, and whoever comes next removes it */
        vci_log(pod->ctx, VC_LOG_WARN, pod->dir.id, "%s", vc_error_text(e));
    pod->state = VCI_STOPPED;
    pod->boot_same = 1;
    vci_hooks_poststop(pod, NULL);
    rc = finish(pod, err);
    vci_fault_point("stop-done");
    if (rc == 0)
        vci_phase(pod->ctx, pod->dir.id, "stopped");
    return rc;
}

static int pod_stop(struct vci_pod *pod, vc_context *ctx, const char *id, uint32_t flags, vc_error **err)
{
    int rc = vci_check_flags("stop", flags, VC_FORCE, err);
    if (rc == 0)
        rc = vci_pod_open(pod, ctx, id, VCI_LOCK_EXCLUSIVE, err);
    if (rc < 0)
        return rc;
    vci_pod_refresh(pod);
    int again = pod->op && strcmp(pod->op, "stop") == 0;
    if (!again && !(flags & VC_FORCE))
        rc = vci_pod_check_whole(pod, err);
    if (rc == 0 && pod->state == VCI_PAUSED && !(flags & VC_FORCE))
        rc = vci_fail(err, VC_ERR_STATE, 0, "cannot stop pod \"%s\" while it is paused: resume it, or force it", id);
    return rc < 0 ? rc : vci_pod_do_stop(pod, !(flags & VC_FORCE), err);
}

int vc_pod_stop(vc_context *ctx, const char *id, uint32_t flags, vc_error **err)
{
    VCI_NEED(ctx, err);
    struct vci_pod pod;
    vc_error *e = NULL;
    vci_pod_init(&pod, ctx);
    int rc = pod_stop(&pod, ctx, id, flags, &e);
    vci_pod_close(&pod);
    return vci_api_end(rc, e, err);
}

/* ---- delete ---- */

int vci_pod_do_delete(struct vci_pod *pod, vc_error **err)
{
    int rc = 0;
    char id[sizeof pod->dir.id];
    memcpy(id, pod->dir.id, sizeof id);
    rc = vci_ledger_writable(&pod->dir, err);
    if (rc < 0)
        return rc;
    if (pod->vm)
        rc = vci_pod_teardown(pod, 0, err);
    else /* nothing should be there, but what a killed caller left is in the ledger */
        rc = vci_ledger_undo(&pod->dir, vci_pod_deadline(pod->ctx, "call_timeout"), NULL, NULL, err);
    vci_fault_point("delete-undone");
    if (rc == 0)
        poststop_all(pod);
    if (rc == 0)
        rc = vci_store_remove(&pod->dir, err);
    if (rc == 0)
        vci_phase(pod->ctx, id, "deleted");
    return rc;
}

static int pod_delete(struct vci_pod *pod, vc_context *ctx, const char *id, uint32_t flags, vc_error **err)
{
    int force = (flags & VC_FORCE) != 0;
    int rc = vci_check_flags("delete", flags, VC_FORCE, err);
    if (rc < 0)
        return rc;
    rc = vci_pod_open(pod, ctx, id, VCI_LOCK_EXCLUSIVE, err);
    if (rc < 0 && !pod->dir.run_path)
        return rc;
    pod->dir.drop_wrong = force;
    if (rc < 0 && (!force || rc == VC_ERR_NOMEM)) {
        vci_context(err, "cannot delete pod \"%s\" without force", id);
        return rc;
    }
    if (rc < 0) { /* unreadable or half-made: all that is known of it is its ledger */
        vc_error_free(VCS_TAKE_PTR(*err));
        return vci_pod_do_delete(pod, err);
    }
    vci_pod_refresh(pod);
    if (!force) {
        rc = vci_pod_check_whole(pod, err);
        if (rc == 0 && (pod->state == VCI_RUNNING || pod->state == VCI_PAUSED))
            rc = vci_fail(err, VC_ERR_STATE, 0, "cannot delete pod \"%s\": it is %s; stop it first, or force it", id,
                          vci_state_name(pod->state));
    }
    return rc < 0 ? rc : vci_pod_do_delete(pod, err);
}

int vc_pod_delete(vc_context *ctx, const char *id, uint32_t flags, vc_error **err)
{
    VCI_NEED(ctx, err);
    struct vci_pod pod;
    vc_error *e = NULL;
    vci_pod_init(&pod, ctx);
    int rc = pod_delete(&pod, ctx, id, flags, &e);
    vci_pod_close(&pod);
    return vci_api_end(rc, e, err);
}
