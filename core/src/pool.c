/* SPDX-License-Identifier: Apache-2.0 */
/* pool.c: giving VMs that were started beforehand to pods. */
#include "pool.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "ledger-undo.h"
#include "lib/io.h"
#include "template.h"

#define RESUME_NS INT64_C(5000000000) /* for a VM of the pool to run again; after that it is left */

int vci_pool_open(struct vci_pod *vm, vc_context *ctx, const char *id, int lock, vc_error **err)
{
    vci_pod_init(vm, ctx);
    int64_t deadline = lock == VCI_LOCK_EXCLUSIVE ? vci_pod_deadline(ctx, "call_timeout") : 0;
    int rc = vci_store_open_vm(ctx, id, lock, deadline, &vm->dir, err);
    if (rc < 0) {
        vci_pod_init(vm, ctx);
        return rc;
    }
    rc = vci_pod_read(vm, err);
    if (rc == 0)
        vci_pod_refresh(vm);
    return rc;
}

char *vci_pool_key(struct vci_pod *vm)
{
    char *key = NULL;
    size_t len = 0;
    if (vcs_read_file(vm->dir.state_fd, "key", VCI_TEMPLATE_KEY, &key, &len) < 0)
        return NULL;
    return key;
}

int vci_pool_end(struct vci_pod *vm, vc_error **err)
{
    return vci_pod_do_delete(vm, err);
}

/* ---- taking ---- */

/* Could this pod run in it? */
static int fits(struct vci_pod *pod, struct vci_pod *vm, const char *key, const char *template_id)
{
    const struct vci_plugin *hv = pod->inst[VC_KIND_HYPERVISOR].plugin;
    if (vm->op || strcmp(vm->template_id, template_id) != 0 || !vm->saved[VC_KIND_HYPERVISOR] ||
        vm->saved_version[VC_KIND_HYPERVISOR] != hv->desc.state_version)
        return 0;
    for (uint32_t k = 1; k <= VCI_KINDS; k++)
        if ((k == VC_KIND_HYPERVISOR || k == VC_KIND_AGENT) && strcmp(pod->plugin[k], vm->plugin[k]) != 0)
            return 0;
    vcs_autofree char *its = vci_pool_key(vm);
    return its && strcmp(its, key) == 0;
}

/* What came into the pod's ledger. */
struct taken {
    struct vci_ledger_entry *e;
    size_t n, noted; /* the first `noted` of them */
};

/* The member's things become the pod's, too: under the names they will have there. */
static int note_things(struct vci_pod *pod, struct vci_pod *vm, struct taken *t, vc_error **err)
{
    int rc = vci_ledger_read(&vm->dir, &t->e, &t->n, err);
    size_t len = strlen(vm->dir.run_path);
    for (; rc == 0 && t->noted < t->n; t->noted++) {
        struct vci_ledger_entry *e = &t->e[t->noted];
        if (strncmp(e->name, vm->dir.run_path, len) == 0 && e->name[len] == '/') {
            char *name;
            if (asprintf(&name, "%s%s", pod->dir.run_path, e->name + len) < 0)
                return vci_fail(err, VC_ERR_NOMEM, 0, "out of memory");
            free(e->name);
            e->name = name;
        }
        rc = vci_ledger_add(&pod->dir, e->type, e->owner, e->name, &e->n, err);
        if (rc < 0)
            break;
        vci_fault_point("pool-thing-noted");
    }
    return rc;
}

/* Move one of its directories into the pod's, in place of an empty one. */
static int move_dir(struct vci_pod *pod, struct vci_pod *vm, const char *name, vc_error **err)
{
    int run = vci_store_run(&pod->dir, 1, err);
    if (run < 0)
        return run;
    if (renameat(vm->dir.state_fd, name, run, name) == 0 || errno == ENOENT)
        return 0;
    return vci_fail(err, vci_code_of(errno), errno, "cannot move %s/%s to %s", vm->dir.run_path, name,
                    pod->dir.run_path);
}

/* The pod's own instance, which has started nothing, makes room for that of the VM. */
static int make_room(struct vci_pod *pod, vc_error **err)
{
    struct vci_inst *hv = &pod->inst[VC_KIND_HYPERVISOR];
    int rc = VCI_CALL_INST(hv, vcs_now_ns() + RESUME_NS, err, cleanup);
    vci_inst_close(hv);
    memset(hv, 0, sizeof *hv);
    if (rc < 0)
        return rc;
    const char *name = vci_kind_name(VC_KIND_HYPERVISOR);
    int run = vci_store_run(&pod->dir, 1, err);
    if (run < 0)
        return run;
    if (unlinkat(run, name, AT_REMOVEDIR) < 0 && errno != ENOENT) {
        int r = vcs_remove_tree(run, name);
        if (r < 0)
            return vci_fail(err, vci_code_of(r), r, "cannot remove %s/%s", pod->dir.run_path, name);
    }
    unlinkat(run, VCI_SHARED, AT_REMOVEDIR);
    return 0;
}

/* Restore its instance as the pod's, and let it run. */
static int resume(struct vci_pod *pod, struct vci_pod *vm, int64_t deadline, vc_error **err)
{
    int64_t soon = vcs_now_ns() + RESUME_NS;
    if (deadline && deadline < soon)
        soon = deadline;
    free(pod->saved[VC_KIND_HYPERVISOR]);
    pod->saved[VC_KIND_HYPERVISOR] = VCS_TAKE_PTR(vm->saved[VC_KIND_HYPERVISOR]);
    pod->saved_len[VC_KIND_HYPERVISOR] = vm->saved_len[VC_KIND_HYPERVISOR];
    pod->saved_version[VC_KIND_HYPERVISOR] = vm->saved_version[VC_KIND_HYPERVISOR];
    struct vci_inst *hv = vci_stack_get(pod, VC_KIND_HYPERVISOR, soon, err);
    int rc = hv ? VCI_CALL(hv, soon, err, hypervisor, vm_resume) : vci_rc(err);
    vci_fault_point("pool-resumed");
    if (rc == 0) {
        free(pod->vmm);
        pod->vmm = VCS_TAKE_PTR(vm->vmm);
        pod->n_vmm = vm->n_vmm;
        memcpy(pod->template_id, vm->template_id, sizeof pod->template_id);
    }
    return rc;
}

static int hand_over(struct vci_pod *pod, struct vci_pod *vm, struct taken *t, int64_t deadline, vc_error **err)
{
    if (unlinkat(vm->dir.state_fd, "vm.json", 0) < 0)
        return vci_fail(err, vci_code_of(errno), errno, "cannot take %s/vm.json away", vm->dir.run_path);
    vm->vm = 0; /* from now on what ends it is its ledger */
    vci_fault_point("pool-claimed");
    int rc = make_room(pod, err);
    if (rc == 0)
        rc = note_things(pod, vm, t, err);
    if (rc == 0)
        rc = move_dir(pod, vm, vci_kind_name(VC_KIND_HYPERVISOR), err);
    vci_fault_point("pool-hypervisor-moved");
    if (rc == 0)
        rc = move_dir(pod, vm, "shared", err);
    vci_fault_point("pool-shared-moved");
    if (rc == 0 && unlinkat(vm->dir.state_fd, "ledger", 0) < 0 && errno != ENOENT)
        rc = vci_fail(err, vci_code_of(errno), errno, "cannot remove %s/ledger", vm->dir.run_path);
    vci_fault_point("pool-ledger-gone");
    return rc < 0 ? rc : resume(pod, vm, deadline, err);
}

/* The VM cannot be had after all: end it, and put the pod back to where it was. */
static int give_up(struct vci_pod *pod, struct taken *t, int64_t deadline, vc_error **err)
{
    char what[512];
    if (!pod->inst[VC_KIND_HYPERVISOR].handle) /* what saved it cannot be restored: its ledger ends it */
        free(VCS_TAKE_PTR(pod->saved[VC_KIND_HYPERVISOR]));
    vci_vm_drop(pod, VC_KIND_HYPERVISOR);
    for (size_t i = t->noted; i-- > 0;) {
        int rc = vci_undo_one(&pod->dir, t->e[i].type, t->e[i].name, deadline, what, sizeof what, err);
        if (rc >= 0)
            rc = vci_ledger_del(&pod->dir, t->e[i].n, err);
        if (rc < 0)
            return rc;
    }
    static const char *const dirs[] = { "hypervisor", "shared" };
    for (size_t i = 0; i < sizeof dirs / sizeof *dirs; i++) {
        int run = vci_store_run(&pod->dir, 1, err);
        int r = run < 0 ? run : vcs_remove_tree(run, dirs[i]);
        if (run < 0)
            return run;
        if (r < 0 && r != -ENOENT)
            return vci_fail(err, vci_code_of(r), r, "cannot remove %s/%s", pod->dir.run_path, dirs[i]);
    }
    return vci_vm_describe(pod, deadline, err);
}

/* Log why a member is of no use, and end it. */
static void discard(struct vci_pod *vm, const char *why)
{
    vci_autoerror vc_error *e = NULL;
    char id[sizeof vm->dir.id];
    memcpy(id, vm->dir.id, sizeof id);
    vci_log(vm->ctx, VC_LOG_WARN, id, "a VM of the pool is ended, since no pod can have it: %s", why);
    if (vci_pool_end(vm, &e) < 0)
        vci_log(vm->ctx, VC_LOG_WARN, id, "ending a VM of the pool: %s", vc_error_text(e));
}

/* 1: taken; 0: not this one, and with *failed it was tried. */
static int try_one(struct vci_pod *pod, const char *id, const char *key, const char *template_id, int64_t deadline,
                   int *failed, vc_error **err)
{
    vci_autoerror vc_error *e = NULL;
    struct vci_pod vm;
    struct taken t = { 0 };
    int taken = 0, rc = vci_pool_open(&vm, pod->ctx, id, VCI_LOCK_QUIET, &e);
    if (rc < 0 || !fits(pod, &vm, key, template_id)) {
        vci_pod_close(&vm); /* in use, being made, of another template: nothing that gc would not see to */
        return rc == VC_ERR_NOMEM ? vci_fail(err, rc, 0, "out of memory") : 0;
    }
    if (vm.died) {
        discard(&vm, "its process has ended");
    } else if ((rc = hand_over(pod, &vm, &t, deadline, &e)) == 0) {
        taken = 1;
        if (vci_store_remove(&vm.dir, &e) < 0) /* an empty one, which gc will see to */
            vci_log(pod->ctx, VC_LOG_WARN, pod->dir.id, "%s", vc_error_text(e));
        vci_fault_point("pool-member-gone");
        vci_log(pod->ctx, VC_LOG_DEBUG, pod->dir.id, "took VM %s of the pool", id);
    } else {
        int given = give_up(pod, &t, deadline, err);
        *failed = 1;
        discard(&vm, vc_error_text(e));
        taken = given;
        if (given == 0 && rc == VC_ERR_CANCELLED) {
            *err = VCS_TAKE_PTR(e);
            taken = rc;
        }
    }
    vci_ledger_entries_free(t.e, t.n);
    vci_pod_close(&vm);
    return taken;
}

int vci_pool_take(struct vci_pod *pod, const char *key, const char *template_id, int64_t deadline, vc_error **err)
{
    char **ids = NULL;
    size_t n = 0;
    /* Its VMs are of the configured size, and were started as the configuration says. */
    if (pod->memory || pod->vcpus || vci_settings_touch(pod->settings, VC_KIND_HYPERVISOR))
        return 0;
    int rc = vci_store_list_vms(pod->ctx, &ids, &n, err);
    /* Those that look at the same time begin at different ones. */
    size_t first = n ? (size_t)getpid() % n : 0;
    /* One that does not run again can have cost seconds: the pod does not wait for a second one. */
    int failed = 0;
    for (size_t i = 0; rc == 0 && !failed && i < n; i++)
        rc = try_one(pod, ids[(first + i) % n], key, template_id, deadline, &failed, err);
    vci_store_list_free(ids, n);
    if (rc == 1)
        vci_phase(pod->ctx, pod->dir.id, "pool-taken");
    return rc;
}
