/* SPDX-License-Identifier: Apache-2.0 */
/* pool-fill.c: making, listing and ending the VMs of the pool. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/io.h"
#include "pool.h"
#include "template.h"

#define MAX_VMS 1024
#define ID_LEN  12

/* ---- making one ---- */

/* End an instance, and what this process and the record know of it. */
static void forget(struct vci_pod *vm, uint32_t kind)
{
    vci_vm_drop(vm, kind);
    unlinkat(vm->dir.state_fd, vci_kind_name(kind), AT_REMOVEDIR); /* a pod that takes it would have to look into it */
}

/* Have the guest do all that it can do before it knows its pod, and let go of it. */
static int settle(struct vci_pod *vm, int64_t began, int64_t deadline, vc_error **err)
{
    if (vci_stack_caps(vm, VC_KIND_HYPERVISOR) & VC_HV_CAP_NO_GUEST)
        return 0;
    int rc = vci_vm_proxy(vm, deadline, err);
    if (rc < 0)
        return rc;
    vci_fault_point("pool-proxy-started");
    struct vci_inst *agent = vci_stack_agent(vm, deadline, err);
    if (!agent)
        return vci_vm_no_agent(vm, vci_rc(err), began, err);
    rc = VCI_CALL(agent, deadline, err, agent, settle, VC_SETTLE_EXERCISE);
    if (rc == 0)
        rc = VCI_CALL(agent, deadline, err, agent, disconnect);
    vm->connected = 0;
    vci_fault_point("pool-settled");
    if (rc < 0)
        return rc;
    forget(vm, VC_KIND_PROXY);
    return 0;
}

/* Describe the VM, and put down what it will be before it is started. */
static int prepare(struct vci_pod *vm, int64_t deadline, char **ret_key, char id[VCI_TEMPLATE_ID + 1], vc_error **err)
{
    int rc = vci_vm_describe(vm, deadline, err);
    if (rc == 0 && !(vci_stack_caps(vm, VC_KIND_HYPERVISOR) & VC_HV_CAP_PAUSE))
        rc = vci_fail(err, VC_ERR_UNSUPPORTED, 0,
                      "hypervisor \"%s\" cannot pause a virtual machine, so there is no pool of them",
                      vm->plugin[VC_KIND_HYPERVISOR]);
    if (rc == 0)
        rc = vci_template_key(vm, deadline, ret_key, id, err);
    if (rc < 0)
        return rc;
    snprintf(vm->template_id, sizeof vm->template_id, "%s", id);
    rc = vcs_write_file_atomic(vm->dir.state_fd, "key", *ret_key, strlen(*ret_key), 0600, 0);
    if (rc < 0)
        return vci_fail(err, vci_code_of(rc), rc, "cannot write %s/key", vm->dir.run_path);
    rc = vci_pod_begin(vm, "fill", err);
    vci_fault_point("pool-noted");
    return rc;
}

static int start(struct vci_pod *vm, int64_t deadline, vc_error **err)
{
    vcs_autofree char *key = NULL;
    char id[VCI_TEMPLATE_ID + 1];
    struct vc_template_started started;
    int64_t began = vcs_now_ns();
    int rc = prepare(vm, deadline, &key, id, err);
    if (rc == 0)
        rc = vci_vm_share(vm, err);
    if (rc == 0)
        rc = vci_template_start(vm, key, id, deadline, &started, err);
    vci_fault_point("pool-vm-started");
    if (rc == 0)
        rc = vci_vm_note_pids(vm, deadline, err);
    if (rc == 0)
        rc = settle(vm, began, deadline, err);
    if (rc < 0)
        return rc;
    if (vm->inst[VC_KIND_AGENT].handle)
        forget(vm, VC_KIND_AGENT);
    rc = VCI_CALL(&vm->inst[VC_KIND_HYPERVISOR], deadline, err, hypervisor, vm_pause);
    vci_fault_point("pool-paused");
    return rc;
}

/* Add one. */
static int make_one(vc_context *ctx, vc_error **err)
{
    struct vci_pod vm;
    char id[ID_LEN + 1];
    vci_pod_init(&vm, ctx);
    vci_make_id(id, ID_LEN);
    id[ID_LEN] = '\0';
    int rc = vci_store_create_vm(ctx, id, &vm.dir, err);
    if (rc < 0)
        return rc;
    vci_fault_point("pool-store-created");
    vm.dir.cancellable = 1;
    vm.vm = 1;
    vm.vm_template = VC_TEMPLATE_REQUIRE; /* a VM that had to boot would be no gain */
    rc = vci_pod_plan(&vm, NULL, err);
    if (rc == 0)
        rc = start(&vm, vci_pod_deadline(ctx, "create_timeout"), err);
    if (rc == 0) {
        free(VCS_TAKE_PTR(vm.op));
        vm.state = VCI_PAUSED;
        rc = vci_pod_save(&vm, err);
        vci_fault_point("pool-made");
    }
    if (rc < 0) {
        vci_autoerror vc_error *e = NULL;
        if (vci_pool_end(&vm, &e) < 0)
            vci_log(ctx, VC_LOG_ERROR, id, "undoing a VM of the pool: %s", vc_error_text(e));
    }
    vci_pod_close(&vm);
    return rc;
}

/* ---- filling ---- */

/* One at a time fills the pool: the next one counts what is there then. */
static int lock_pool(vc_context *ctx, int *ret_fd, vc_error **err)
{
    vcs_autofree char *path = NULL;
    if (asprintf(&path, "%s/pool", ctx->run_root) < 0) {
        path = NULL;
        return vci_fail(err, VC_ERR_NOMEM, 0, "out of memory");
    }
    int r = vci_make_dir(path);
    if (r < 0 && r != -EEXIST)
        return vci_fail(err, vci_code_of(r), r, "cannot make the directory %s", path);
    vcs_autoclose int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return vci_fail(err, vci_code_of(errno), errno, "cannot open %s", path);
    r = vci_wait_flock(ctx, fd, vci_pod_deadline(ctx, "create_timeout"), 1, path, err);
    if (r < 0)
        return r;
    *ret_fd = VCS_TAKE_FD(fd);
    return 0;
}

/* Members whose VM lives and runs from this template; with `ready`, only those that a pod may take. */
static int count_members(vc_context *ctx, const char *template_id, int ready, uint32_t *ret, vc_error **err)
{
    char **ids = NULL;
    size_t n = 0;
    *ret = 0;
    int rc = vci_store_list_vms(ctx, &ids, &n, err);
    for (size_t i = 0; rc == 0 && i < n; i++) {
        struct vci_pod vm;
        if (vci_pool_open(&vm, ctx, ids[i], VCI_LOCK_NONE, NULL) == 0)
            *ret += !vm.died && !(ready && vm.op) && strcmp(vm.template_id, template_id) == 0;
        vci_pod_close(&vm);
    }
    vci_store_list_free(ids, n);
    return rc;
}

int vci_pool_users(vc_context *ctx, const char *template_id, uint32_t *ret, vc_error **err)
{
    return count_members(ctx, template_id, 0, ret, err);
}

static int fill(vc_context *ctx, uint32_t n, uint32_t *made, vc_error **err)
{
    vcs_autoclose int lock = -1;
    char id[VCI_TEMPLATE_ID + 1];
    uint32_t there = 0;
    if (n > MAX_VMS)
        return vci_fail(err, VC_ERR_INVAL, 0, "a pool of %u virtual machines is too large: %d are possible", n, MAX_VMS);
    if (n == 0)
        n = (uint32_t)vci_conf_int(ctx->conf, "pool");
    if (n == 0)
        return 0;
    int rc = vci_stack_fits(ctx, vci_conf_plugin(ctx->conf, VC_KIND_HYPERVISOR),
                            vci_conf_plugin(ctx->conf, VC_KIND_AGENT), err);
    if (rc == 0)
        rc = lock_pool(ctx, &lock, err);
    vci_fault_point("pool-locked");
    if (rc == 0)
        rc = vci_template_make(ctx, 0, id, err);
    if (rc == 0)
        rc = count_members(ctx, id, 1, &there, err);
    while (rc == 0 && there + *made < n) {
        rc = make_one(ctx, err);
        *made += rc == 0;
    }
    return rc;
}

int vc_pool_fill(vc_context *ctx, uint32_t n, uint32_t *ret_made, vc_error **err)
{
    VCI_NEED(ctx, err);
    vc_error *e = NULL;
    uint32_t made = 0;
    int rc = fill(ctx, n, &made, &e);
    if (ret_made)
        *ret_made = made;
    return vci_api_end(rc, e, err);
}

/* ---- looking ---- */

/* What is wrong with the template of a member; NULL when nothing is. */
static const char *template_problem(struct vc_template_info *const *list, size_t n, const char *id)
{
    for (size_t i = 0; i < n; i++)
        if (strcmp(list[i]->id, id) == 0)
            return list[i]->problem;
    return "its template is gone";
}

/* Why gc ends it; NULL when it is fine. */
static const char *problem(const struct vci_pod *vm, struct vc_template_info *const *list, size_t n)
{
    if (vm->op)
        return vci_store_held(&vm->dir) ? "it is being made" : "making it was interrupted";
    return vm->died ? "its process has ended" : template_problem(list, n, vm->template_id);
}

static struct vc_pool_vm *describe(vc_context *ctx, const char *id, struct vc_template_info *const *list, size_t n)
{
    struct vci_pod vm;
    const char *why = NULL;
    int rc = vci_pool_open(&vm, ctx, id, VCI_LOCK_NONE, NULL);
    if (rc == 0)
        why = problem(&vm, list, n);
    else if (rc == VC_ERR_NOTFOUND)
        why = vci_store_held(&vm.dir) ? "it is being made, taken or ended" : "making it was interrupted";
    else
        why = "its record cannot be read";
    int gone = rc < 0 && !vm.dir.run_path;
    struct vc_pool_vm *v = gone ? NULL : calloc(1, sizeof *v);
    if (v) {
        v->size = sizeof *v;
        v->vmm_pid = vm.n_vmm ? vm.vmm[0].pid : 0;
        v->created_ns = vm.created_ns;
        v->id = strdup(id);
        v->template_id = strdup(vm.template_id);
        v->problem = why ? strdup(why) : NULL;
    }
    vci_pod_close(&vm);
    return v;
}

static void free_one(struct vc_pool_vm *v)
{
    free((char *)(uintptr_t)v->id);
    free((char *)(uintptr_t)v->template_id);
    free((char *)(uintptr_t)v->problem);
    free(v);
}

void vc_pool_list_free(struct vc_pool_vm **list, size_t n)
{
    for (size_t i = 0; list && i < n; i++)
        free_one(list[i]);
    free(list);
}

int vc_pool_list(vc_context *ctx, struct vc_pool_vm ***ret_list, size_t *ret_n, vc_error **err)
{
    VCI_NEED(ctx, err);
    VCI_NEED(ret_list, err);
    VCI_NEED(ret_n, err);
    struct vc_template_info **templates = NULL;
    struct vc_pool_vm **list = NULL;
    vc_error *e = NULL;
    char **ids = NULL;
    size_t n = 0, n_templates = 0, done = 0;
    int rc = vci_store_list_vms(ctx, &ids, &n, &e);
    if (rc == 0 && n)
        rc = vc_template_list(ctx, &templates, &n_templates, &e);
    if (rc == 0 && n && !(list = calloc(n, sizeof *list)))
        rc = vci_fail(&e, VC_ERR_NOMEM, 0, "out of memory");
    for (size_t i = 0; rc == 0 && i < n; i++)
        if ((list[done] = describe(ctx, ids[i], templates, n_templates)))
            done++;
    vc_template_list_free(templates, n_templates);
    vci_store_list_free(ids, n);
    if (rc == 0) {
        *ret_list = list;
        *ret_n = done;
    } else {
        vc_pool_list_free(list, done);
    }
    return vci_api_end(rc, e, err);
}

/* ---- ending ---- */

static int drain_one(vc_context *ctx, const char *id, uint32_t *ended, vc_error **err)
{
    struct vci_pod vm;
    int rc = vci_pool_open(&vm, ctx, id, VCI_LOCK_EXCLUSIVE, err);
    if (vm.dir.locked) { /* else it has just gone, or stays in use */
        vc_error_free(VCS_TAKE_PTR(*err));
        rc = vci_pool_end(&vm, err);
        *ended += rc == 0;
    } else if (rc == VC_ERR_NOTFOUND) {
        vc_error_free(VCS_TAKE_PTR(*err));
        rc = 0;
    }
    vci_pod_close(&vm);
    return rc;
}

int vc_pool_drain(vc_context *ctx, uint32_t *ret_ended, vc_error **err)
{
    VCI_NEED(ctx, err);
    vc_error *e = NULL;
    char **ids = NULL;
    size_t n = 0;
    uint32_t ended = 0;
    int rc = vci_store_list_vms(ctx, &ids, &n, &e);
    for (size_t i = 0; i < n; i++) {
        vc_error *one = NULL;
        int r = drain_one(ctx, ids[i], &ended, &one);
        if (r < 0 && rc == 0) { /* go on with the others; the first failure is the answer */
            rc = r;
            e = VCS_TAKE_PTR(one);
        }
        vc_error_free(one);
    }
    vci_store_list_free(ids, n);
    if (ret_ended)
        *ret_ended = ended;
    return vci_api_end(rc, e, err);
}

/* Why the locked member must go; NULL when it may stay. */
static const char *why_end(const struct vci_pod *vm, int rc, struct vc_template_info *const *list, size_t n)
{
    if (rc == VC_ERR_NOTFOUND || (rc == 0 && vm->op))
        return "ended a VM of the pool whose making or taking was interrupted";
    if (rc == VC_ERR_CORRUPT)
        return "ended a VM of the pool whose record is damaged";
    if (rc < 0)
        return NULL;
    if (vm->died)
        return "removed a VM of the pool whose process has ended";
    return template_problem(list, n, vm->template_id) ? "ended a VM of the pool whose template is of no use any more"
                                                      : NULL;
}

int vci_pool_gc(vc_context *ctx, void (*report)(void *arg, const char *id, const char *what), void *arg, vc_error **err)
{
    struct vc_template_info **templates = NULL;
    char **ids = NULL;
    size_t n = 0, n_templates = 0;
    int first = vci_store_list_vms(ctx, &ids, &n, err);
    if (first == 0 && n)
        first = vc_template_list(ctx, &templates, &n_templates, err);
    int known = first == 0;
    for (size_t i = 0; known && i < n; i++) {
        struct vci_pod vm;
        vc_error *e = NULL;
        int r = vci_pool_open(&vm, ctx, ids[i], VCI_LOCK_QUIET, &e);
        const char *why = !vm.dir.locked ? NULL : why_end(&vm, r, templates, n_templates);
        vc_error_free(VCS_TAKE_PTR(e));
        r = why ? vci_pool_end(&vm, &e) : 0;
        if (why && r == 0 && report)
            report(arg, ids[i], why);
        if (r < 0 && first == 0) {
            first = r;
            *err = VCS_TAKE_PTR(e);
        }
        vc_error_free(e);
        vci_pod_close(&vm);
    }
    vc_template_list_free(templates, n_templates);
    vci_store_list_free(ids, n);
    return first;
}
