/* SPDX-License-Identifier: Apache-2.0 */
/* container.c: containers of a pod: create, start, stop, delete. */
#include <errno.h>
#include <fcntl.h>
#include <json-c/json.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "ledger-undo.h"
#include "lib/io.h"
#include "lib/proc.h"
#include "mounts.h"

#define DEFAULT_STOP_MS 10000
#define REPORT_NS       200000000 /* for a shim whose process is gone, to say so and end */
#define SPEC_MAX        (4u * 1024 * 1024)
#define STOP_TRIES      10

/* ---- specification on disk: apart from pod.json, which every command reads ---- */

static void spec_name(char *buf, size_t size, const char *ctr)
{
    snprintf(buf, size, "spec-%s.json", ctr);
}

int vci_ctr_store_spec(const struct vci_pod *pod, const struct vci_ctr *c, vc_error **err)
{
    char name[160];
    size_t len = strlen(c->spec);
    if (len > SPEC_MAX) /* it could not be read again */
        return vci_fail(err, VC_ERR_RESOURCE, 0,
                        "the specification of container \"%s\" takes %zu bytes, and %u are the most", c->id, len, SPEC_MAX);
    spec_name(name, sizeof name, c->id);
    /* Nobody reads it before there is a record that knows of the container. */
    int r = vcs_write_file_new(pod->dir.state_fd, name, c->spec, len, 0600);
    if (r == -EEXIST) /* it is changed, or an interrupted operation has left one */
        r = vcs_write_file_atomic(pod->dir.state_fd, name, c->spec, len, 0600, 0);
    if (r < 0)
        return vci_fail(err, vci_code_of(-r), -r, "cannot write %s/pods/%s/%s", pod->ctx->state_root, pod->dir.id,
                        name);
    return 0;
}

int vci_ctr_load_spec(const struct vci_pod *pod, struct vci_ctr *c, vc_error **err)
{
    char name[160];
    size_t len = 0;
    if (c->spec)
        return 0;
    spec_name(name, sizeof name, c->id);
    struct stat st;
    if (fstatat(pod->dir.state_fd, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && !S_ISDIR(st.st_mode) && !S_ISFIFO(st.st_mode) &&
        (!S_ISREG(st.st_mode) || (st.st_uid != 0 && st.st_uid != geteuid()) || st.st_mode & 022))
        return vci_fail(err, VC_ERR_PERM, 0,
                        "%s/pods/%s/%s must be a plain file of root or of the caller that nobody else may write to",
                        pod->ctx->state_root, pod->dir.id, name);
    int r = vcs_read_file(pod->dir.state_fd, name, SPEC_MAX, &c->spec, &len);
    if (r < 0)
        return vci_fail(err, r == -ENOENT || r == -EISDIR || r == -EINVAL ? VC_ERR_CORRUPT : vci_code_of(-r), -r,
                        "cannot read %s/pods/%s/%s", pod->ctx->state_root, pod->dir.id, name);
    json_object *o = json_tokener_parse(c->spec);
    int whole = json_object_is_type(o, json_type_object);
    json_object_put(o);
    if (whole)
        return 0;
    free(VCS_TAKE_PTR(c->spec));
    return vci_fail(err, VC_ERR_CORRUPT, 0,
                    "%s/pods/%s/%s cannot be used: it is cut off or damaged; delete container \"%s\" and make it again",
                    pod->ctx->state_root, pod->dir.id, name, c->id);
}

/* ---- steps ---- */

static int take_hooks(struct vci_ctr *c, const struct vc_container_config *config, vc_error **err)
{
    struct vc_container_config full;
    VCI_TAKE(&full, config);
    int rc = vci_hooks_take_spec(&c->hooks, full.spec_json, err);
    if (rc == 0)
        rc = vci_hooks_take(&c->hooks, full.hooks, err);
    if (rc < 0)
        vci_context(err, "container \"%s\"", c->id);
    return rc;
}

/* The configuration as this release knows it, also when an older program gave it. */
static const struct vc_container_config *whole_config(const struct vc_container_config *config,
                                                      struct vc_container_config *full, struct vc_process_config *process)
{
    VCI_TAKE(full, config);
    if (full->process) {
        VCI_TAKE(process, full->process);
        full->process = process;
        process->terminal |= process->console != NULL;
    }
    return full;
}

int vci_ctr_prepare(struct vci_pod *pod, const struct vc_container_config *config, struct vci_ctr **ret, vc_error **err)
{
    char made[13], path[PATH_MAX];
    struct vc_container_config full;
    struct vc_process_config process;
    struct vci_spec_facts facts;
    int rc = vci_check_container_config(config, err);
    if (rc < 0)
        return rc;
    config = whole_config(config, &full, &process);
    const char *id = config->id;
    if (id) {
        rc = vci_check_id("container id", id, err);
        if (rc < 0)
            return rc;
    } else {
        vci_make_id(made, 12);
        made[12] = '\0';
        id = made;
    }
    for (size_t i = 0; i < pod->n_ctrs; i++)
        if (strcmp(pod->ctrs[i]->id, id) == 0)
            return vci_fail(err, VC_ERR_EXISTS, 0, "pod \"%s\" already has a container \"%s\"%s", pod->dir.id, id,
                            pod->ctrs[i]->state == VCI_MAKING
                                ? ", or half of one whose creation or removal was interrupted: delete it first"
                                : "");
    if (pod->n_ctrs >= VCI_MAX_CONTAINERS)
        return vci_fail(err, VC_ERR_RESOURCE, 0, "pod \"%s\" already has %d containers", pod->dir.id,
                        VCI_MAX_CONTAINERS);
    if (!config->process)
        return vci_fail(err, VC_ERR_INVAL, 0, "container \"%s\" has no process to run", id);
    const struct vci_limit until = vci_pod_limit(pod, 0);
    rc = vci_rootfs_resolve(config->rootfs, &until, path, err);
    if (rc < 0)
        return rc;
    if (config->process->console && (rc = vci_tty_check(config->process->console, &until, err)) < 0)
        return rc;
    struct vci_ctr *c = vci_pod_add(pod, id);
    if (!c || !(c->rootfs = strdup(path)) ||
        (config->process->console && !(c->console = strdup(config->process->console))))
        rc = vci_fail(err, VC_ERR_NOMEM, 0, "out of memory");
    else
        rc = vci_spec_build(pod->hostname, config, id, &until, &c->spec, &facts, err);
    if (rc == 0)
        rc = vci_volumes_check(pod, c->spec, err);
    if (rc == 0)
        rc = vci_disks_take(pod, c, err);
    if (rc == 0)
        rc = vci_annotations_of_spec(c->spec, &c->annotations, err);
    if (rc == 0)
        rc = take_hooks(c, config, err);
    if (rc < 0) {
        if (c)
            vci_pod_drop(pod, c);
        return rc;
    }
    const struct vc_process_config *p = config->process;
    c->state = VCI_MAKING;
    c->readonly = facts.readonly;
    c->terminal = facts.terminal;
    c->stdio_flags = p->stdio_flags;
    c->rows = p->rows;
    c->cols = p->cols;
    for (int i = 0; p->use_stdio && i < 3; i++)
        c->stdio[i] = i > 0 && p->stdio[i] <= 0 ? -1 : p->stdio[i];
    c->created_ns = vci_realtime_ns();
    if (ret)
        *ret = c;
    return 0;
}

int vci_ctr_make(struct vci_pod *pod, struct vci_ctr *c, int64_t deadline, vc_error **err)
{
    struct vci_inst *agent = vci_stack_agent(pod, deadline, err);
    int rc = agent ? vci_ctr_load_spec(pod, c, err) : vci_rc(err);
    if (rc == 0)
        rc = vci_hooks_prestart(pod, c, deadline, err);
    if (rc == 0)
        rc = vci_disks_plug(pod, c, deadline, err);
    if (rc < 0)
        return rc;
    char rootfs[160];
    const char *spec = c->guest_spec ? c->guest_spec : c->spec;
    snprintf(rootfs, sizeof rootfs, "%s/rootfs", c->id);
    struct vc_ctr ctr = {
        .size = sizeof ctr,
        .id = c->id,
        .spec = { .data = spec, .len = strlen(spec) },
        .rootfs = rootfs,
    };
    rc = VCI_CALL(agent, deadline, err, agent, ctr_create, &ctr);
    vci_fault_point("container-made");
    if (rc < 0)
        return rc;
    c->state = VCI_READY;
    c->exit_status = -1;
    c->oom_killed = c->pid_set = 0;
    c->started_ns = c->finished_ns = 0;
    c->shim = c->former = (struct vc_proc){ 0 };
    vci_exit_remove(&pod->dir, c->id, NULL);
    return 0;
}

int vci_shim_start(struct vci_pod *pod, const char *ctr, const char *exec_id, uint32_t terminal, uint32_t stdio_flags,
                   const int32_t stdio[3], int64_t deadline, struct vc_proc *ret, vc_error **err)
{
    char name[300];
    vcs_autofree char *file = NULL;
    struct vci_inst *shim = vci_stack_get(pod, VC_KIND_SHIM, deadline, err);
    if (!shim)
        return vci_rc(err);
    /* Who stands for the shim reports the status without the pod's lock, and so cannot make the directory. */
    int run = vci_store_run(&pod->dir, 1, err);
    if (run < 0)
        return run;
    if (!(shim->caps & VC_SHIM_CAP_NONE) && mkdirat(run, "exit", 0700) < 0 && errno != EEXIST)
        return vci_fail(err, vci_code_of(errno), errno, "cannot make %s/exit", pod->dir.run_path);
    vci_exit_name(name, sizeof name, ctr, exec_id);
    if (asprintf(&file, "%s/%s", pod->dir.run_path, name) < 0) {
        file = NULL;
        return vci_fail(err, VC_ERR_NOMEM, 0, "out of memory");
    }
    struct vc_shim_params p = {
        .size = sizeof p,
        .flags = (terminal ? VC_SHIM_TERMINAL : 0u) | (stdio_flags & VC_STDIO_FOREGROUND ? VC_SHIM_FOREGROUND : 0u) |
                 (stdio_flags & VC_STDIO_CONSOLE ? VC_SHIM_CONSOLE : 0u) |
                 (stdio_flags & VC_STDIO_KEEP_STDIN ? VC_SHIM_KEEP_STDIN : 0u),
        .container_id = ctr,
        .exec_id = exec_id,
        .agent_uri = pod->uri ? pod->uri : "",
        .exit_file = file,
        .stdio = { stdio[0], stdio[1], stdio[2] },
        .netns_fd = -1,
    };
    struct vc_proc proc = { 0 };
    int rc = VCI_CALL(shim, deadline, err, shim, start, &p, &proc);
    vci_fault_point("shim-started");
    if (rc == 0)
        *ret = proc;
    return rc;
}

int vci_ctr_start_shim(struct vci_pod *pod, struct vci_ctr *c, int64_t deadline, vc_error **err)
{
    if (!c->console)
        return vci_shim_start(pod, c->id, "", c->terminal, c->stdio_flags, c->stdio, deadline, &c->shim, err);
    vcs_autoclose int fd = -1;
    const struct vci_limit until = vci_pod_limit(pod, deadline);
    int rc = vci_tty_open(c->console, &until, &fd, err);
    const int32_t stdio[3] = { fd, fd, fd };
    if (rc == 0)
        rc = vci_shim_start(pod, c->id, "", c->terminal, c->stdio_flags | VC_STDIO_CONSOLE, stdio, deadline, &c->shim, err);
    if (rc == 0) /* once: by the time of another start, the path may be that of a stranger's terminal */
        free(VCS_TAKE_PTR(c->console));
    return rc;
}

int vci_ctr_run(struct vci_pod *pod, struct vci_ctr *c, int64_t deadline, vc_error **err)
{
    struct vci_inst *agent = vci_stack_agent(pod, deadline, err);
    if (!agent)
        return vci_rc(err);
    int rc = VCI_CALL(agent, deadline, err, agent, ctr_start, c->id);
    vci_fault_point("container-started");
    if (rc == VC_ERR_STATE) { /* who started it did not live to note it, or did not wait for the answer */
        vci_log(pod->ctx, VC_LOG_WARN, pod->dir.id, "container %s has been started before, and that was not noted: %s", c->id,
                vc_error_text(*err));
        vc_error_free(VCS_TAKE_PTR(*err));
        rc = 0;
    }
    if (rc == 0) {
        c->state = VCI_RUNNING;
        c->started_ns = vci_realtime_ns();
        return 0;
    }
    if (rc == VC_ERR_NOCMD || rc == VC_ERR_NOEXEC) {
        /* It never ran: what is left is a stopped container, without a process on the host. */
        c->exit_status = rc == VC_ERR_NOCMD ? 127 : 126;
        vci_ctr_end_shims(pod, c, vcs_now_ns());
        c->state = VCI_STOPPED;
        c->finished_ns = vci_realtime_ns();
    }
    return rc;
}

/* Wait for one shim, then kill it; its process's status when there is evidence, else -1. */
static int end_shim(struct vci_pod *pod, const char *ctr, const char *exec_id, struct vc_proc *shim, int64_t deadline)
{
    int wait_status = -1;
    if (shim->pid <= 0)
        return -1;
    if (!pod->boot_same) {
        shim->pid = 0;
        return -1;
    }
    int killed = 0, r = vcs_proc_wait(shim, deadline, &wait_status);
    if (r < 0) {
        killed = vcs_proc_kill(shim, 9) == 0;
        r = vcs_proc_wait(shim, vci_pod_deadline(pod->ctx, "call_timeout"), &wait_status);
    }
    char name[64];
    snprintf(name, sizeof name, "%d %llu", shim->pid, (unsigned long long)shim->start_ticks);
    if (r == 0)
        vci_ledger_del_name(&pod->dir, VCI_RES_PROCESS, name, NULL);
    else /* no descriptor, say: whoever removes the pod, or gc, ends it */
        vci_log(pod->ctx, VC_LOG_WARN, pod->dir.id, "the shim of container %s, process %d, has not ended (%s): it stays on record",
                ctr, shim->pid, strerror(-r));
    shim->pid = 0;
    int s = vci_exit_read(&pod->dir, ctr, exec_id);
    return s < 0 && !killed && wait_status >= 0 ? vci_exit_of_wait(wait_status) : s;
}

void vci_ctr_end_shims(struct vci_pod *pod, struct vci_ctr *c, int64_t deadline)
{
    int had = c->shim.pid > 0;
    /* One that was set is not told by the guest to end, and was waited for already. */
    int s = end_shim(pod, c->id, NULL, &c->shim, c->pid_set ? vcs_now_ns() + REPORT_NS : deadline);
    if (s >= 0 && c->state != VCI_STOPPED) {
        c->exit_status = s;
        c->oom_killed = s == 137 && vci_exit_oom(&pod->dir, c->id, NULL);
    }
    else if (had && c->exit_status < 0)
        c->exit_status = c->pid_set ? 137 : 255;
    for (size_t i = 0; i < c->n_execs; i++) {
        struct vci_exec *x = &c->execs[i];
        s = end_shim(pod, c->id, x->id, &x->shim, deadline);
        if (x->exit_status < 0)
            x->exit_status = s >= 0 ? s : 255;
    }
}

static int knows_shim(const struct vci_pod *pod, const struct vc_proc *p)
{
    for (size_t i = 0; i < pod->n_ctrs; i++) {
        const struct vci_ctr *c = pod->ctrs[i];
        if ((c->shim.pid == p->pid && c->shim.start_ticks == p->start_ticks) ||
            (c->former.pid == p->pid && c->former.start_ticks == p->start_ticks))
            return 1;
        for (size_t k = 0; k < c->n_execs; k++)
            if (c->execs[k].shim.pid == p->pid && c->execs[k].shim.start_ticks == p->start_ticks)
                return 1;
    }
    return 0;
}

size_t vci_pod_end_lost_shims(struct vci_pod *pod)
{
    struct vci_ledger_entry *entries = NULL;
    size_t n = 0, ended = 0;
    if (vci_ledger_read(&pod->dir, &entries, &n, NULL) < 0)
        return 0;
    for (size_t i = n; i-- > 0;) {
        struct vc_proc p = { 0 };
        unsigned long long ticks = 0;
        char what[512];
        if (entries[i].type != VCI_RES_PROCESS || strcmp(entries[i].owner, vci_kind_name(VC_KIND_SHIM)) != 0 ||
            sscanf(entries[i].name, "%d %llu", &p.pid, &ticks) != 2)
            continue;
        p.start_ticks = ticks;
        if (knows_shim(pod, &p))
            continue;
        int r = vci_ledger_is_past(&entries[i])
                    ? 0
                    : vci_undo_one(&pod->dir, entries[i].type, entries[i].name,
                                   vci_pod_deadline(pod->ctx, "call_timeout"), what, sizeof what, NULL);
        ended += r > 0;
        if (r >= 0)
            vci_ledger_del(&pod->dir, entries[i].n, NULL);
    }
    vci_ledger_entries_free(entries, n);
    return ended + vci_hooks_end_strays(pod);
}

static void drop_spec(const struct vci_pod *pod, const char *ctr)
{
    char name[160];
    spec_name(name, sizeof name, ctr);
    unlinkat(pod->dir.state_fd, name, 0);
}

/* All of vci_ctr_unmake but its specification. */
static int take_away(struct vci_pod *pod, struct vci_ctr *c, int guest, int64_t deadline, vc_error **err)
{
    int rc = 0;
    if (c->hooks.due) /* one of them may run on, of a caller that was killed: before what it works on is taken away */
        vci_hooks_end_strays(pod);
    if (guest) {
        struct vci_inst *agent = vci_stack_agent(pod, deadline, err);
        rc = agent ? VCI_CALL(agent, deadline, err, agent, ctr_remove, c->id) : vci_rc(err);
    }
    vci_fault_point("container-removed");
    if (rc < 0)
        return rc;
    int64_t until = vcs_now_ns() + (guest ? REPORT_NS : 1);
    vci_ctr_end_shims(pod, c, until);
    end_shim(pod, c->id, NULL, &c->former, until);
    if (guest && c->n_disks)
        rc = vci_disks_unplug(pod, c, deadline, err);
    int r = vci_rootfs_unmount(pod, c->id, rc ? NULL : err);
    rc = rc ? rc : r;
    if (rc == 0 && pod->n_vmm) /* nobody answers success to a guest that keeps what it was given */
        rc = vci_rootfs_unmount_moved(pod, c->id, err);
    if (rc < 0)
        return rc;
    vci_exit_remove(&pod->dir, c->id, NULL);
    for (size_t i = 0; i < c->n_execs; i++)
        vci_exit_remove(&pod->dir, c->id, c->execs[i].id);
    vci_hooks_poststop(pod, c);
    return 0;
}

int vci_ctr_unmake(struct vci_pod *pod, struct vci_ctr *c, int guest, int64_t deadline, vc_error **err)
{
    int rc = take_away(pod, c, guest, deadline, err);
    if (rc == 0 && !pod->dir.later.len) /* the record says already that this is half a container */
        drop_spec(pod, c->id);
    return rc;
}

int vci_pod_drop_halves(struct vci_pod *pod, vc_error **err)
{
    for (size_t i = pod->n_ctrs; i-- > 0;) {
        struct vci_ctr *c = pod->ctrs[i];
        if (c->state != VCI_MAKING)
            continue;
        int rc = vci_ctr_unmake(pod, c, 0, vci_pod_deadline(pod->ctx, "call_timeout"), err);
        if (rc < 0) {
            vci_context(err, "the rest of container \"%s\", whose creation or removal was interrupted", c->id);
            return rc;
        }
        vci_pod_drop(pod, c);
    }
    return 0;
}

/* ---- operations ---- */

/* Open and lock a pod for an operation on its containers. */
static int open_for_change(struct vci_pod *pod, vc_context *ctx, const char *id, vc_error **err)
{
    int rc = vci_pod_open(pod, ctx, id, VCI_LOCK_EXCLUSIVE, err);
    if (rc == 0) {
        vci_pod_refresh(pod);
        rc = vci_pod_check_whole(pod, err);
    }
    return rc;
}

static int pod_must_run(const struct vci_pod *pod, const char *what, int ready_too, vc_error **err)
{
    if (pod->state == VCI_RUNNING || (ready_too && pod->state == VCI_READY))
        return 0;
    return vci_fail(err, VC_ERR_STATE, 0, "cannot %s a container of pod \"%s\": the pod is %s and must be %srunning",
                    what, pod->dir.id, vci_state_name(pod->state), ready_too ? "ready or " : "");
}

/* 0, or a code when a disk of it may still be in the VM.  Its specification stays. */
static int undo_make(struct vci_pod *pod, struct vci_ctr *c)
{
    int guest = pod->connected, rc, left = 0;
    do {
        vci_autoerror vc_error *e = NULL;
        rc = take_away(pod, c, guest, vci_pod_deadline(pod->ctx, "call_timeout"), &e);
        if (rc < 0)
            vci_log(pod->ctx, VC_LOG_WARN, pod->dir.id, "undoing container %s: %s", c->id, vc_error_text(e));
        /* When the guest does not do its part, the host's is done without it: nobody comes back to this container. */
    } while (rc < 0 && guest-- > 0);
    /* Disks are neither's: the VMM takes them out, unless it has just been asked in vain. */
    int whole = rc == 0 && guest > 0, ended = pod->n_vmm && !vci_proc_lives(&pod->vmm[0]);
    if (!whole && !ended && c->n_disks) {
        vci_autoerror vc_error *e = NULL;
        for (size_t i = 0; i < c->n_disks && left == 0; i++)
            left = c->disks[i].stuck ? VC_ERR_BUSY : 0;
        if (left == 0)
            left = vci_disks_unplug(pod, c, vci_pod_deadline(pod->ctx, "call_timeout"), &e);
        if (left < 0)
            vci_log(pod->ctx, VC_LOG_WARN, pod->dir.id,
                    "undoing container %s: a disk may still be in the VM%s%s; half of the container stays, until it is deleted "
                    "or gc removes it, or the VM ends",
                    c->id, e ? ": " : "", e ? vc_error_text(e) : "");
    }
    vci_pod_end_lost_shims(pod);
    return left;
}

/* Make a container in a pod that has a VM already.  *ret_left: with a failure, as undo_make. */
static int make_in_vm(struct vci_pod *pod, struct vci_ctr *c, int *ret_left, vc_error **err)
{
    int64_t deadline = vci_pod_deadline(pod->ctx, "call_timeout");
    struct vci_inst *hv = vci_stack_get(pod, VC_KIND_HYPERVISOR, deadline, err);
    int rc = hv ? vci_rootfs_mount(pod, c, deadline, err) : vci_rc(err);
    if (rc == 0)
        rc = vci_ctr_make(pod, c, deadline, err);
    if (rc == 0)
        rc = vci_ctr_start_shim(pod, c, deadline, err);
    if (rc < 0)
        *ret_left = undo_make(pod, c);
    return rc;
}

static int ctr_create(struct vci_pod *pod, vc_context *ctx, const char *id, const struct vc_container_config *config,
                      char **ret, vc_error **err)
{
    struct vci_ctr *c = NULL;
    int left = 0, rc = config ? 0 : vci_fail(err, VC_ERR_INVAL, 0, "there is no configuration of the container");
    if (rc == 0)
        rc = open_for_change(pod, ctx, id, err);
    if (rc == 0)
        rc = pod_must_run(pod, "create", 1, err);
    if (rc == 0)
        rc = vci_ctr_prepare(pod, config, &c, err);
    if (rc < 0)
        return rc;
    vcs_autofree char *copy = strdup(c->id);
    if (!copy)
        return vci_fail(err, VC_ERR_NOMEM, 0, "out of memory");
    rc = vci_ctr_store_spec(pod, c, err);
    if (rc == 0 && pod->vm)
        rc = vci_pod_note(pod, err); /* with the container "making": whoever finds it so removes it */
    vci_fault_point("container-noted");
    if (rc == 0 && pod->vm)
        rc = make_in_vm(pod, c, &left, err);
    if (rc == 0) {
        c->state = VCI_READY;
        rc = vci_pod_save(pod, err);
        if (rc < 0 && pod->vm)
            left = undo_make(pod, c);
    }
    if (rc == 0) {
        *ret = VCS_TAKE_PTR(copy);
        return 0;
    }
    drop_spec(pod, c->id);
    c->state = VCI_MAKING;
    if (left == 0)
        vci_pod_drop(pod, c);
    vci_pod_save(pod, NULL);
    return rc;
}

int vc_container_create(vc_context *ctx, const char *pod, const struct vc_container_config *config, char **ret_id,
                        vc_error **err)
{
    VCI_NEED(ctx, err);
    struct vci_pod p;
    vc_error *e = NULL;
    char *id = NULL;
    vci_pod_init(&p, ctx);
    int rc = ctr_create(&p, ctx, pod, config, &id, &e);
    vci_pod_close(&p);
    if (rc == 0 && ret_id)
        *ret_id = id;
    else
        free(id);
    return vci_api_end(rc, e, err);
}

/* A stopped container becomes a ready one: its former life is removed, and it is made from its specification, as when a
 * stopped pod is started.  Who is killed meanwhile leaves half a container; a failure leaves a stopped one, as before. */
static int make_again(struct vci_pod *pod, struct vci_ctr *c, vc_error **err)
{
    int left = 0;
    vci_ctr_finish(pod, c); /* while its exit file is there */
    const struct vci_ctr was = *c; /* for its numbers */
    int rc = vci_ctr_load_spec(pod, c, err);
    if (rc == 0)
        rc = vci_ledger_writable(&pod->dir, err);
    if (rc < 0)
        return rc;
    c->state = VCI_MAKING;
    rc = vci_pod_note(pod, err);
    vci_fault_point("restart-noted");
    if (rc == 0)
        rc = take_away(pod, c, 1, vci_pod_deadline(pod->ctx, "call_timeout"), err);
    if (rc == 0) {
        vci_ctr_forget_execs(pod, c);
        rc = make_in_vm(pod, c, &left, err);
    }
    if (rc == 0) {
        rc = vci_pod_save(pod, err); /* from now on it is as one that was never started */
        if (rc < 0)
            left = undo_make(pod, c);
    }
    vci_fault_point("restart-made");
    if (rc == 0)
        return 0;
    c->state = left < 0 ? VCI_MAKING : VCI_STOPPED;
    c->exit_status = was.exit_status;
    c->oom_killed = was.oom_killed;
    c->started_ns = was.started_ns;
    c->finished_ns = was.finished_ns;
    vci_pod_save(pod, NULL);
    return rc;
}

static int ctr_start(struct vci_pod *pod, vc_context *ctx, const char *id, const char *ctr, vc_error **err)
{
    int rc = open_for_change(pod, ctx, id, err);
    struct vci_ctr *c = rc == 0 ? vci_pod_find(pod, ctr, err) : NULL;
    if (!c)
        return vci_rc(err);
    rc = pod_must_run(pod, "start", 0, err);
    if (rc == 0 && c->state != VCI_READY && c->state != VCI_STOPPED)
        rc = vci_fail(err, VC_ERR_STATE, 0, "cannot start container \"%s\" of pod \"%s\": it is %s and must be ready or stopped",
                      ctr, id, vci_ctr_state_name(c));
    if (rc == 0 && c->state == VCI_STOPPED)
        rc = make_again(pod, c, err);
    if (rc < 0)
        return rc;
    int64_t deadline = vci_pod_deadline(ctx, "call_timeout");
    rc = vci_ctr_run(pod, c, deadline, err);
    int r = rc == 0 || c->state == VCI_STOPPED ? vci_pod_save(pod, rc == 0 ? err : NULL) : 0;
    if (rc == 0 && r == 0)
        vci_hooks_poststart(pod, c, deadline);
    return rc < 0 ? rc : r;
}

int vc_container_start(vc_context *ctx, const char *pod, const char *container, vc_error **err)
{
    VCI_NEED(ctx, err);
    struct vci_pod p;
    vc_error *e = NULL;
    vci_pod_init(&p, ctx);
    int rc = ctr_start(&p, ctx, pod, container, &e);
    vci_pod_close(&p);
    return vci_api_end(rc, e, err);
}

/* End the process of a running container; without the lock, because it may take long. */
static int end_process(struct vci_pod *pod, struct vci_ctr *c, int64_t timeout_ms, vc_error **err)
{
    int64_t call = vci_pod_deadline(pod->ctx, "call_timeout");
    struct vci_inst *agent = vci_stack_agent(pod, call, err);
    if (!agent)
        return vci_rc(err);
    vci_autoerror vc_error *e = NULL;
    int rc = 0, over = 0;
    if (timeout_ms >= 0) {
        rc = VCI_CALL(agent, call, &e, agent, signal, c->id, NULL, 15, 0);
        over = c->shim.pid <= 0 ||
               vcs_proc_wait(&c->shim, vci_deadline_ms(timeout_ms ? timeout_ms : DEFAULT_STOP_MS), NULL) == 0;
    }
    if (!over || c->shim.pid <= 0) {
        vc_error_free(VCS_TAKE_PTR(e));
        call = vci_pod_deadline(pod->ctx, "call_timeout");
        rc = VCI_CALL(agent, call, &e, agent, signal, c->id, NULL, 9, VC_SIGNAL_ALL);
        if (rc == VC_ERR_NOTFOUND)
            rc = 0;
    }
    if (rc < 0 && !over) {
        *err = VCS_TAKE_PTR(e);
        return rc;
    }
    if (c->pid_set && !over) /* it is no shim: nothing of the guest ends it */
        vcs_proc_kill(&c->shim, 9);
    if (c->shim.pid > 0 && vcs_proc_wait(&c->shim, call, NULL) < 0)
        return vci_fail(err, VC_ERR_TIMEOUT, 0, "container \"%s\" of pod \"%s\" did not end after SIGKILL", c->id,
                        pod->dir.id);
    return 0;
}

/* Its shim has ended and has not said how its process did: that may run on. */
static int end_lost(struct vci_pod *pod, struct vci_ctr *c, vc_error **err)
{
    int64_t deadline = vci_pod_deadline(pod->ctx, "call_timeout");
    struct vci_inst *agent = vci_stack_agent(pod, deadline, err);
    if (!agent)
        return vci_rc(err);
    int rc = VCI_CALL(agent, deadline, err, agent, signal, c->id, NULL, 9, VC_SIGNAL_ALL);
    if (rc != VC_ERR_NOTFOUND && rc != VC_ERR_STATE)
        return rc;
    vc_error_free(VCS_TAKE_PTR(*err)); /* it has ended as well */
    return 0;
}

/* End its process when it runs, without the lock.  *ret_life: when that was started; -1 when there was none to be ended. */
static int end_unlocked(struct vci_pod *pod, vc_context *ctx, const char *id, const char *ctr, int64_t timeout_ms,
                        int64_t *ret_life, vc_error **err)
{
    int rc = vci_pod_open(pod, ctx, id, VCI_LOCK_NONE, err);
    struct vci_ctr *c = rc == 0 ? vci_pod_find(pod, ctr, err) : NULL;
    if (!c)
        return vci_rc(err);
    int ran = c->state == VCI_RUNNING;
    *ret_life = -1;
    vci_pod_refresh(pod);
    if (c->state == VCI_MAKING)
        return vci_fail(err, VC_ERR_STATE, 0, "cannot stop container \"%s\" of pod \"%s\": it is %s; delete it", ctr, id,
                        vci_ctr_state_name(c));
    if (pod->state == VCI_PAUSED)
        return vci_fail(err, VC_ERR_STATE, 0, "cannot stop container \"%s\": pod \"%s\" is paused", ctr, id);
    /* What is frozen takes no SIGTERM. */
    if (c->state == VCI_PAUSED && timeout_ms >= 0)
        return vci_fail(err, VC_ERR_STATE, 0,
                        "cannot stop container \"%s\" of pod \"%s\" while it is paused: resume it, or stop it at once", ctr,
                        id);
    if (c->state == VCI_RUNNING || c->state == VCI_PAUSED) {
        *ret_life = c->started_ns;
        return end_process(pod, c, timeout_ms, err);
    }
    if (ran && pod->state == VCI_RUNNING && vci_exit_read(&pod->dir, c->id, NULL) < 0)
        return end_lost(pod, c, err);
    return 0;
}

static int ctr_stop(struct vci_pod *pod, vc_context *ctx, const char *id, const char *ctr, int64_t timeout_ms,
                    vc_error **err)
{
    struct vci_ctr *c = NULL;
    int64_t life = -1;
    for (int tries = 0;; tries++) {
        int rc = end_unlocked(pod, ctx, id, ctr, timeout_ms, &life, err);
        if (rc < 0)
            return rc;
        vci_pod_close(pod);
        rc = open_for_change(pod, ctx, id, err);
        c = rc == 0 ? vci_pod_find(pod, ctr, err) : NULL;
        if (!c)
            return vci_rc(err);
        /* Somebody else may have started it while the lock was waited for: that process has not been ended. */
        if ((c->state != VCI_RUNNING && c->state != VCI_PAUSED) || c->started_ns == life)
            break;
        vci_pod_close(pod);
        if (tries == STOP_TRIES)
            return vci_fail(err, VC_ERR_BUSY, 0, "container \"%s\" of pod \"%s\" is started again each time it was ended", ctr, id);
    }
    if (c->state == VCI_MAKING) /* somebody has deleted it meanwhile, or tried to */
        return vci_fail(err, VC_ERR_STATE, 0, "cannot stop container \"%s\" of pod \"%s\": it is %s; delete it", ctr, id,
                        vci_ctr_state_name(c));
    if (c->state == VCI_READY && pod->vm) { /* never started: it goes without having run */
        struct vci_inst *agent = vci_stack_agent(pod, vci_pod_deadline(ctx, "call_timeout"), err);
        int rc = agent ? VCI_CALL(agent, vci_pod_deadline(ctx, "call_timeout"), err, agent, ctr_remove, ctr) : vci_rc(err);
        if (rc < 0)
            return rc;
        vci_ctr_end_shims(pod, c, vcs_now_ns() + REPORT_NS);
    } else if (c->state == VCI_RUNNING || c->state == VCI_PAUSED || c->shim.pid > 0) {
        enum vci_state was = c->state;
        if ((was == VCI_RUNNING || was == VCI_PAUSED) && c->shim.pid <= 0)
            c->exit_status = 137;
        else
            vci_ctr_end_shims(pod, c, vcs_now_ns() + REPORT_NS);
    } else if (c->state == VCI_STOPPED && c->finished_ns) {
        return 0;
    }
    c->state = VCI_STOPPED;
    if (c->exit_status < 0)
        c->exit_status = 137;
    vci_ctr_finish(pod, c);
    return vci_pod_save(pod, err);
}

int vc_container_stop(vc_context *ctx, const char *pod, const char *container, int64_t timeout_ms, vc_error **err)
{
    VCI_NEED(ctx, err);
    struct vci_pod p;
    vc_error *e = NULL;
    vci_pod_init(&p, ctx);
    int rc = ctr_stop(&p, ctx, pod, container, timeout_ms, &e);
    vci_pod_close(&p);
    return vci_api_end(rc, e, err);
}

static int ctr_delete(struct vci_pod *pod, vc_context *ctx, const char *id, const char *ctr, uint32_t flags,
                      vc_error **err)
{
    int rc = vci_check_flags("delete", flags, VC_FORCE, err);
    if (rc == 0)
        rc = open_for_change(pod, ctx, id, err);
    struct vci_ctr *c = rc == 0 ? vci_pod_find(pod, ctr, err) : NULL;
    if (!c)
        return vci_rc(err);
    if ((c->state == VCI_RUNNING || c->state == VCI_PAUSED) && !(flags & VC_FORCE))
        return vci_fail(err, VC_ERR_STATE, 0, "cannot delete container \"%s\" of pod \"%s\": it is %s; stop it first",
                        ctr, id, vci_state_name(c->state));
    if (pod->state == VCI_PAUSED)
        return vci_fail(err, VC_ERR_STATE, 0, "cannot delete container \"%s\": pod \"%s\" is paused", ctr, id);
    int guest = pod->vm && !pod->died && pod->state != VCI_STOPPED;
    rc = vci_ledger_writable(&pod->dir, err);
    if (rc < 0)
        return rc;
    c->state = VCI_MAKING; /* half of it: whoever finds it so removes the rest */
    rc = guest ? vci_pod_note(pod, err) : vci_pod_save(pod, err);
    if (rc == 0)
        rc = vci_ctr_unmake(pod, c, guest, vci_pod_deadline(ctx, "call_timeout"), err);
    if (rc < 0)
        return rc;
    int noted = !pod->dir.later.len;
    vci_pod_drop(pod, c);
    rc = vci_pod_save(pod, err);
    if (rc == 0 && !noted)
        drop_spec(pod, ctr);
    return rc;
}

int vc_container_delete(vc_context *ctx, const char *pod, const char *container, uint32_t flags, vc_error **err)
{
    VCI_NEED(ctx, err);
    struct vci_pod p;
    vc_error *e = NULL;
    vci_pod_init(&p, ctx);
    int rc = ctr_delete(&p, ctx, pod, container, flags, &e);
    vci_pod_close(&p);
    return vci_api_end(rc, e, err);
}
